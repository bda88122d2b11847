//! Snapshots: taken only while all nodes hold the suspension; whatever else happens, they have failed and I/O is resumed.

use std::collections::BTreeSet;

use linstor_api::drbd_state::ConnectionState;
use linstor_wire::message::{SuspensionEnd, SuspensionState};
use linstor_wire::spec::{SnapshotTarget, Spec};

use super::*;
use crate::name::SnapshotName;
use crate::process::take_snapshot::SnapshotRef;
use crate::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};

fn s1() -> SnapshotName {
    SnapshotName::parse("s1").unwrap()
}

fn lease() -> Uuid {
    uuid(900)
}

fn suspension(observed: &mut Observed, index: usize, state: SuspensionState) {
    observed.suspensions.insert((lease(), node(index)), state);
}

fn part_applied(draft: &Draft, observed: &mut Observed, index: usize, outcome: Outcome) {
    let row = draft.snapshot(&r1(), &s1()).unwrap();
    let applied = Applied {
        uuid: row.on(&node(index)).unwrap().uuid,
        generation: draft.generation + 1,
        outcome,
        done: Vec::new(),
        at: 0,
        next_try: None,
    };
    observed
        .snapshots
        .insert((r1(), s1(), node(index)), Arc::new(applied));
}

fn target(draft: &Draft, index: usize) -> Option<SnapshotTarget> {
    let key = linstor_wire::Key::Snapshot(r1(), s1());
    let keys = Keys::Withheld(Withheld::Locked);
    match crate::project::spec(draft, &node(index), &key, keys)? {
        Spec::Snapshot(spec) => Some(spec.target.clone()),
        _ => None,
    }
}

/// A snapshot that is about to be taken of the two replicas, which are up to date.
fn begun() -> (Draft, Observed) {
    let (mut draft, mut observed) = (cluster(), Observed::default());
    for index in 0..2 {
        online(&mut observed, index);
        disk(&mut observed, index, "UpToDate", false);
    }
    // That the first generation has begun is noted once.
    advance(&mut draft, &observed, &r1(), 500);
    let mut next = 1000;
    let mut ids = || {
        next += 1;
        uuid(next)
    };
    let new = NewSnapshot {
        resource: r1(),
        name: s1(),
        nodes: [node(0), node(1)].into(),
        reason: SnapshotReason::Request,
        props: Default::default(),
    };
    let row = snapshot::row(&draft, new, 7, &mut ids).unwrap();
    draft.put_snapshot_definition(row);
    let of = SnapshotRef {
        resource: r1(),
        snapshot: s1(),
    };
    let nodes: BTreeSet<NodeName> = [node(0), node(1)].into();
    take_snapshot::begin(&mut draft, vec![of], nodes, lease(), 1_000);
    (draft, observed)
}

fn state(draft: &Draft) -> SnapshotState {
    draft.snapshot(&r1(), &s1()).unwrap().state
}

/// Suspended on both nodes, taken on both, resumed on both: each step waits for both.
#[test]
fn a_snapshot_is_taken() {
    let (mut draft, mut observed) = begun();
    let step = |draft: &mut Draft, observed: &Observed| advance(draft, observed, &r1(), 2_000);
    assert!(!step(&mut draft, &observed));
    let leases = draft.leases_of(&node(0));
    assert_eq!(
        (leases.len(), leases[0].may_begin, leases[0].until),
        (1, true, 31_000)
    );
    assert_eq!(leases[0].resources, [r1()]);
    suspension(&mut observed, 0, SuspensionState::Suspended);
    assert!(!step(&mut draft, &observed));
    assert_eq!(target(&draft, 0), None, "not before all I/O is suspended");
    suspension(&mut observed, 1, SuspensionState::Suspended);
    assert!(step(&mut draft, &observed));
    assert_eq!(
        target(&draft, 0),
        Some(SnapshotTarget::Taken { lease: lease() })
    );
    assert!(
        !draft.leases_of(&node(0))[0].may_begin,
        "too late to begin one"
    );
    part_applied(&draft, &mut observed, 0, Outcome::Done);
    assert!(!step(&mut draft, &observed));
    part_applied(&draft, &mut observed, 1, Outcome::Done);
    assert!(step(&mut draft, &observed));
    assert_eq!(state(&draft), SnapshotState::Successful);
    assert_eq!(draft.snapshot(&r1(), &s1()).unwrap().taken_at, Some(2_000));
    assert_eq!(
        (draft.leases_of(&node(0)).len(), target(&draft, 0)),
        (0, None)
    );
    assert!(!step(&mut draft, &observed), "I/O is not resumed yet");
    for index in 0..2 {
        let reason = SuspensionEnd::Asked;
        suspension(&mut observed, index, SuspensionState::Ended { reason });
    }
    assert!(step(&mut draft, &observed));
    assert!(draft.processes.is_empty());
}

/// Replicas that DRBD has not connected may not have the same data: neither when I/O is suspended nor when all is taken.
#[test]
fn replicas_that_are_not_connected() {
    for (while_taking, state_of_it, expected) in [
        (false, ConnectionState::Connecting, false),
        (false, ConnectionState::StandAlone, false),
        (true, ConnectionState::Connecting, false),
        (true, ConnectionState::Connected, true),
    ] {
        let (mut draft, mut observed) = begun();
        for index in 0..2 {
            suspension(&mut observed, index, SuspensionState::Suspended);
        }
        if while_taking {
            assert!(advance(&mut draft, &observed, &r1(), 1_200));
            part_applied(&draft, &mut observed, 0, Outcome::Done);
            part_applied(&draft, &mut observed, 1, Outcome::Done);
        }
        let status = observed.resources.get_mut(&(r1(), node(1))).unwrap();
        let drbd = Arc::make_mut(status).drbd.as_mut().unwrap();
        drbd.connections
            .insert(node(0).to_string(), state_of_it.clone());
        assert!(advance(&mut draft, &observed, &r1(), 2_000));
        let row = draft.snapshot(&r1(), &s1()).unwrap();
        assert_eq!(row.is_successful(), expected, "{state_of_it:?}");
        assert_eq!(row.failure.is_none(), expected, "{state_of_it:?}");
    }
}

/// Everything that can go wrong in either step, and what the snapshot is then.
#[test]
fn whatever_goes_wrong_resumes() {
    type Trouble = fn(&mut Draft, &mut Observed);
    let failed = SnapshotState::FailedDeployment;
    let disconnected = SnapshotState::FailedDisconnect;
    let troubles: [(&str, Trouble, SnapshotState); 7] = [
        (
            "a node goes away",
            |_, o| drop(o.nodes.remove(&node(1))),
            disconnected,
        ),
        (
            "the connection was lost for a moment",
            |_, o| {
                let reason = SuspensionEnd::ControllerLost;
                suspension(o, 1, SuspensionState::Ended { reason });
            },
            disconnected,
        ),
        (
            "the lease ended",
            |_, o| {
                let reason = SuspensionEnd::Expired;
                suspension(o, 0, SuspensionState::Ended { reason });
            },
            failed,
        ),
        (
            "I/O cannot be suspended",
            |_, o| {
                let replies = vec![Reply::new(-1, "drbdsetup failed")];
                suspension(o, 0, SuspensionState::Failed { replies });
            },
            failed,
        ),
        (
            "the controller was started again",
            |d, _| {
                let start = uuid(901);
                d.put_epoch(crate::Epoch {
                    start,
                    ..crate::Epoch::default()
                });
            },
            failed,
        ),
        (
            "time is up",
            |d, _| {
                let process = Process::clone(d.processes.values().next().unwrap());
                d.put_process(Process {
                    deadline: Some(1_500),
                    ..process
                });
            },
            failed,
        ),
        (
            "it is deleted",
            |d, _| delete_snapshot::begin(d, &r1(), &s1(), [node(0), node(1)].into(), 1_500),
            failed,
        ),
    ];
    for taking in [false, true] {
        for (what, trouble, expected) in troubles {
            let (mut draft, mut observed) = begun();
            if taking {
                for index in 0..2 {
                    suspension(&mut observed, index, SuspensionState::Suspended);
                }
                assert!(advance(&mut draft, &observed, &r1(), 1_200), "{what}");
                part_applied(&draft, &mut observed, 0, Outcome::Done);
            }
            trouble(&mut draft, &mut observed);
            advance(&mut draft, &observed, &r1(), 2_000);
            assert_eq!(state(&draft), expected, "{what}, taking {taking}");
            assert!(
                draft.snapshot(&r1(), &s1()).unwrap().failure.is_some(),
                "{what}"
            );
            assert!(draft.leases_of(&node(0)).is_empty(), "{what}");
            let taken = matches!(target(&draft, 0), Some(SnapshotTarget::Taken { .. }));
            assert!(!taken, "{what}: nothing is taken any more");
        }
    }
}

/// A disk that is not up to date when I/O is suspended, and a node that fails at its part.
#[test]
fn what_nodes_report_fails_it() {
    let (mut draft, mut observed) = begun();
    disk(&mut observed, 1, "Inconsistent", false);
    for index in 0..2 {
        suspension(&mut observed, index, SuspensionState::Suspended);
    }
    advance(&mut draft, &observed, &r1(), 2_000);
    let failure = draft
        .snapshot(&r1(), &s1())
        .unwrap()
        .failure
        .clone()
        .unwrap();
    assert_eq!(
        failure.ret_code,
        linstor_api::code::FAIL_SNAPSHOT_NOT_UPTODATE
    );
    let (mut draft, mut observed) = begun();
    for index in 0..2 {
        suspension(&mut observed, index, SuspensionState::Suspended);
    }
    advance(&mut draft, &observed, &r1(), 2_000);
    let replies = vec![Reply::new(-1, "lvcreate failed")];
    part_applied(&draft, &mut observed, 1, Outcome::Failed { replies });
    advance(&mut draft, &observed, &r1(), 2_000);
    let failure = draft
        .snapshot(&r1(), &s1())
        .unwrap()
        .failure
        .clone()
        .unwrap();
    assert_eq!(failure.message, "(beta) lvcreate failed");
}

/// Each part goes when its node has removed it, an offline node's later, and the row with the last one.
#[test]
fn a_snapshot_is_deleted() {
    let (mut draft, mut observed) = begun();
    let id = *draft.processes.keys().next().unwrap();
    draft.remove(&RowKey::Process(id));
    delete_snapshot::begin(&mut draft, &r1(), &s1(), [node(0), node(1)].into(), 3_000);
    assert_eq!(target(&draft, 1), Some(SnapshotTarget::Destroyed));
    assert!(!advance(&mut draft, &observed, &r1(), 4_000));
    part_applied(&draft, &mut observed, 0, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 4_000));
    let left: Vec<_> = draft
        .snapshot(&r1(), &s1())
        .unwrap()
        .snapshots
        .keys()
        .cloned()
        .collect();
    assert_eq!(left, [node(1)]);
    delete_snapshot::drop_on_node(&mut draft, &node(1), 5_000);
    assert!(draft.snapshot(&r1(), &s1()).is_none() && draft.processes.is_empty());
}
