//! Rollbacks: nothing comes up before every node has done its part, and whatever fails leads back to what was before.

use linstor_wire::spec::{SnapshotTarget, Spec};

use super::*;
use crate::name::SnapshotName;
use crate::process::roll_back::{self, Step, refuses, usable_part};
use crate::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};

fn name(text: &str) -> SnapshotName {
    SnapshotName::parse(text).unwrap()
}

fn put_snapshot(draft: &mut Draft, named: &str, on: &[usize], reason: SnapshotReason) {
    let mut next = 1000 * u128::from(named.as_bytes()[1]);
    let mut ids = || {
        next += 1;
        uuid(next)
    };
    let new = NewSnapshot {
        resource: r1(),
        name: name(named),
        nodes: on.iter().map(|index| node(*index)).collect(),
        reason,
        props: Default::default(),
    };
    let mut row = snapshot::row(draft, new, 7, &mut ids).unwrap();
    row.state = SnapshotState::Successful;
    draft.put_snapshot_definition(row);
}

/// A rollback that has begun of two replicas, of which so many have a part of the snapshot.
fn begun(on: &[usize], safety: bool) -> (Draft, Observed) {
    let (mut draft, mut observed) = (cluster(), Observed::default());
    for index in 0..2 {
        online(&mut observed, index);
        disk(&mut observed, index, "UpToDate", false);
    }
    advance(&mut draft, &observed, &r1(), 500);
    put_snapshot(&mut draft, "s1", on, SnapshotReason::Request);
    if safety {
        put_snapshot(&mut draft, "xy", &[0, 1], SnapshotReason::Safety);
        draft.edit_snapshot(&r1(), &name("xy"), |row| {
            row.state = SnapshotState::Incomplete
        });
    }
    let row = draft.snapshot(&r1(), &name("s1")).unwrap().clone();
    let safety = safety.then(|| name("xy"));
    roll_back::begin(&mut draft, &row, safety, uuid(77), 1_000);
    commit(&mut draft);
    (draft, observed)
}

fn step(draft: &Draft) -> Option<Step> {
    draft.rollback_of(&r1()).map(|of| of.step)
}

/// A node has done what the step asks of the resource.
fn done(draft: &Draft, observed: &mut Observed, index: usize) {
    applied(observed, index, draft.generation, Outcome::Done);
}

fn failed() -> Outcome {
    let reply = Reply::new(linstor_api::code::FAIL_IN_USE, "It is in use.");
    Outcome::Failed {
        replies: vec![reply],
    }
}

fn secured(draft: &Draft, observed: &mut Observed, index: usize) {
    let row = draft.snapshot(&r1(), &name("xy")).unwrap();
    let applied = Applied {
        uuid: row.on(&node(index)).unwrap().uuid,
        generation: draft.generation,
        outcome: Outcome::Done,
        done: Vec::new(),
        at: 0,
        next_try: None,
    };
    let key = (r1(), name("xy"), node(index));
    observed.snapshots.insert(key, Arc::new(applied));
}

/// What is asked for is in the generation after the one that nodes have reported about.
fn commit(draft: &mut Draft) {
    draft.set_generation(draft.generation + 1);
}

fn go(draft: &mut Draft, observed: &Observed) -> bool {
    let changed = advance(draft, observed, &r1(), 2_000);
    if changed {
        commit(draft);
    }
    changed
}

fn spec(draft: &Draft, index: usize) -> ResourceSpec {
    resource_spec(draft, &r1(), &node(index)).unwrap()
}

fn safety_target(draft: &Draft, index: usize) -> Option<SnapshotTarget> {
    let key = linstor_wire::Key::Snapshot(r1(), name("xy"));
    let keys = Keys::Withheld(Withheld::Locked);
    match crate::project::spec(draft, &node(index), &key, keys)? {
        Spec::Snapshot(spec) => Some(spec.target.clone()),
        _ => None,
    }
}

/// To where a node that has begun brings its volumes.
fn to(draft: &Draft, index: usize) -> Option<String> {
    let roll_back = spec(draft, index).roll_back.unwrap();
    Some(roll_back.to?.snapshot.to_string())
}

/// Down on all, safety snapshot on all, rolled back on all, up on all: each step waits for both nodes. One without a part
/// gets everything from its peer, and sizes are those of the snapshot.
#[test]
fn a_resource_is_rolled_back() {
    let (mut draft, mut observed) = begun(&[0], true);
    draft.edit_resource_definition(&r1(), |row| {
        row.volumes.get_mut(&0).unwrap().size_kib = 2 * SIZE_KIB;
    });
    for index in 0..2 {
        let spec = spec(&draft, index);
        assert_eq!(spec.target, Target::Down);
        assert!(spec.roll_back.unwrap().prepare);
    }
    done(&draft, &mut observed, 0);
    assert!(!go(&mut draft, &observed), "one node is not down");
    done(&draft, &mut observed, 1);
    assert!(go(&mut draft, &observed));
    assert_eq!(step(&draft), Some(Step::Secure));
    assert_eq!(
        safety_target(&draft, 1),
        Some(SnapshotTarget::TakenWhileDown)
    );
    secured(&draft, &mut observed, 0);
    assert!(!go(&mut draft, &observed));
    secured(&draft, &mut observed, 1);
    assert!(go(&mut draft, &observed));
    assert_eq!(step(&draft), Some(Step::RollBack));
    let own = spec(&draft, 0).roll_back.unwrap();
    assert!(!own.prepare && !own.in_place);
    assert_eq!(to(&draft, 0).as_deref(), Some("s1"));
    assert_eq!(to(&draft, 1), None);
    let size = draft.definitions[&r1()].volumes[&0].size_kib;
    assert_eq!(size, SIZE_KIB);
    done(&draft, &mut observed, 0);
    assert!(!go(&mut draft, &observed), "nothing comes up before both");
    // Even when its node is away: it would not know that its data is older.
    observed.nodes.remove(&node(1));
    assert!(!go(&mut draft, &observed));
    online(&mut observed, 1);
    done(&draft, &mut observed, 1);
    assert!(go(&mut draft, &observed));
    assert_eq!(step(&draft), Some(Step::BringUp));
    let up = spec(&draft, 0);
    assert_eq!((up.target, up.roll_back), (Target::Up, None));
    for index in 0..2 {
        done(&draft, &mut observed, index);
    }
    assert!(go(&mut draft, &observed));
    assert_eq!(step(&draft), None);
    assert_eq!(safety_target(&draft, 0), Some(SnapshotTarget::Destroyed));
    let history = &draft.definitions[&r1()].snapshots;
    assert_eq!(history.remade_after, 2);
    let last = history.rollback.as_ref().unwrap();
    assert_eq!((last.id, last.failure.as_ref()), (uuid(77), None));
}

/// What fails before anything was changed leaves all as it is; what fails then returns to the safety snapshot, on the node
/// without a part too.
#[test]
fn a_failure_leads_back() {
    for how in ["in use", "away", "pool full"] {
        let (mut draft, mut observed) = begun(&[0], true);
        let mut wanted = Step::BringUp;
        match how {
            "in use" => applied(&mut observed, 1, draft.generation, failed()),
            "away" => drop(observed.nodes.remove(&node(1))),
            _ => {
                for index in 0..2 {
                    done(&draft, &mut observed, index);
                }
                go(&mut draft, &observed);
                for index in 0..2 {
                    secured(&draft, &mut observed, index);
                }
                go(&mut draft, &observed);
                applied(&mut observed, 0, draft.generation, failed());
                wanted = Step::Return;
            }
        }
        assert!(go(&mut draft, &observed));
        assert_eq!(step(&draft), Some(wanted), "{how}");
        if wanted == Step::Return {
            assert_eq!(to(&draft, 0).as_deref(), Some("xy"));
            assert_eq!(to(&draft, 1).as_deref(), Some("xy"));
            for index in 0..2 {
                done(&draft, &mut observed, index);
            }
            assert!(go(&mut draft, &observed));
        }
        for index in 0..2 {
            online(&mut observed, index);
            done(&draft, &mut observed, index);
        }
        assert!(go(&mut draft, &observed));
        let last = draft.definitions[&r1()].snapshots.rollback.clone().unwrap();
        assert!(last.failure.is_some(), "{how}");
        assert_eq!(spec(&draft, 0).target, Target::Up);
        assert_eq!(safety_target(&draft, 0), Some(SnapshotTarget::Destroyed));
    }
}

/// It is cancelled by a person or by its deadline, in place only before anything was changed.
#[test]
fn it_is_cancelled() {
    for (safety, rolled, expected) in [
        (true, false, Some(Step::BringUp)),
        (true, true, Some(Step::Return)),
        (false, false, Some(Step::BringUp)),
        (false, true, None),
    ] {
        let (mut draft, mut observed) = begun(&[0, 1], safety);
        if rolled {
            for index in 0..2 {
                done(&draft, &mut observed, index);
            }
            go(&mut draft, &observed);
        }
        if rolled && safety {
            for index in 0..2 {
                secured(&draft, &mut observed, index);
            }
            go(&mut draft, &observed);
        }
        let process = draft.processes_of(&r1()).next().unwrap().clone();
        assert!(process.deadline.is_some());
        let cancelled = cancel(&mut draft, &observed, &process, 3_000);
        assert_eq!(cancelled.is_ok(), expected.is_some());
        if expected.is_some() {
            assert_eq!(step(&draft), expected);
        } else {
            assert!(spec(&draft, 0).roll_back.unwrap().in_place);
        }
    }
}

/// Volumes that came after the snapshot are destroyed, those that went since are made again.
#[test]
fn volumes_are_those_of_the_snapshot() {
    let (mut draft, mut observed) = begun(&[0, 1], false);
    let mut other = draft.definitions[&r1()].volumes[&0].clone();
    other.minor = Some(1001);
    draft.edit_resource_definition(&r1(), |row| {
        row.volumes.insert(1, other);
        row.volumes.remove(&0);
    });
    for index in 0..2 {
        draft.edit_resource(&r1(), &node(index), |row| {
            let volume = row.volumes[&0].clone();
            row.volumes.insert(1, volume);
            row.volumes.remove(&0);
        });
        done(&draft, &mut observed, index);
    }
    assert!(go(&mut draft, &observed));
    let targets = |draft: &Draft| -> Vec<(u32, Target)> {
        let volumes = spec(draft, 0).volumes;
        volumes.iter().map(|v| (v.number, v.target)).collect()
    };
    assert_eq!(targets(&draft), [(0, Target::Up), (1, Target::Destroyed)]);
    assert_eq!(draft.definitions[&r1()].volumes[&0].minor, Some(1000));
    for index in 0..2 {
        done(&draft, &mut observed, index);
    }
    assert!(go(&mut draft, &observed));
    assert_eq!(targets(&draft), [(0, Target::Up)]);
}

/// Resources, sizes and other processes are not changed while it is under way; a lost node takes its resource with it.
#[test]
fn what_it_knows_is_not_changed() {
    let (draft, _) = begun(&[0, 1], true);
    let before = Model::clone(&draft);
    let refused = |change: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::new(before.clone());
        change(&mut draft);
        refuses(&before, &draft).is_some()
    };
    assert!(refused(&|draft| put_replica(draft, 2)));
    assert!(refused(&|draft| {
        draft.edit_resource(&r1(), &node(0), |row| row.inactive = true);
    }));
    assert!(refused(&|draft| {
        draft.edit_resource_definition(&r1(), |row| {
            row.volumes.get_mut(&0).unwrap().size_kib += 4;
        });
    }));
    assert!(refused(&|draft| {
        delete_resource::begin(draft, &r1(), &node(0), 5);
    }));
    assert!(refused(&|draft| {
        delete_snapshot::begin(draft, &r1(), &name("s1"), [node(0)].into(), 5);
    }));
    assert!(!refused(&|draft| {
        draft.remove(&RowKey::Resource(r1(), node(0)));
    }));
    assert!(!refused(&|draft| {
        draft.edit_resource_definition(&r1(), |row| {
            row.props.insert("Aux/a".to_owned(), "b".to_owned());
        });
    }));
}

/// A part can be used on a disk in the same pool with the same layers and node id.
#[test]
fn which_parts_can_be_used() {
    let (draft, _) = begun(&[0, 1], true);
    let row = draft.snapshot(&r1(), &name("s1")).unwrap();
    let usable = |change: &dyn Fn(&mut Resource)| {
        let mut replica = Resource::clone(draft.resource(&r1(), &node(0)).unwrap());
        change(&mut replica);
        usable_part(row, &replica).is_some()
    };
    assert!(usable(&|_| {}));
    assert!(!usable(&|row| row.drbd.as_mut().unwrap().node_id = 5));
    assert!(!usable(
        &|row| row.drbd.as_mut().unwrap().disk = DiskKind::Diskless
    ));
    assert!(!usable(&|row| row.layer_stack = vec![LayerKind::Storage]));
    assert!(!usable(&|row| {
        row.volumes.get_mut(&0).unwrap().pool = StoragePoolName::parse("other").unwrap();
    }));
}

/// The number of a deleted snapshot is not given out again.
#[test]
fn sequence_numbers_are_not_used_again() {
    let (mut draft, mut observed) = (cluster(), Observed::default());
    put_snapshot(&mut draft, "s1", &[0], SnapshotReason::Request);
    put_snapshot(&mut draft, "s2", &[0], SnapshotReason::Request);
    delete_snapshot::begin(&mut draft, &r1(), &name("s2"), [node(0)].into(), 5);
    let row = draft.snapshot(&r1(), &name("s2")).unwrap();
    let part = Applied {
        uuid: row.on(&node(0)).unwrap().uuid,
        generation: draft.generation + 1,
        outcome: Outcome::Done,
        done: Vec::new(),
        at: 0,
        next_try: None,
    };
    let key = (r1(), name("s2"), node(0));
    observed.snapshots.insert(key, Arc::new(part));
    assert!(go(&mut draft, &observed));
    put_snapshot(&mut draft, "s3", &[0], SnapshotReason::Request);
    let row = draft.snapshot(&r1(), &name("s3")).unwrap();
    assert_eq!(row.sequence_number, 3);
}
