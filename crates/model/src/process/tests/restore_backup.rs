//! Restored backups: a resource is made once all is received, and what has failed leaves nothing.

use std::collections::BTreeMap;

use linstor_wire::spec::{ReceivedObject, SnapshotTarget, Spec};

use super::*;
use crate::SnapshotDefinition;
use crate::name::{RemoteName, SnapshotName};
use crate::process::restore_backup::{self, RestoreBackup, Step};
use crate::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};

fn s1() -> SnapshotName {
    SnapshotName::parse("s1").unwrap()
}

fn r2() -> ResourceName {
    ResourceName::parse("r2").unwrap()
}

/// A backup that is being restored to a definition that was made for it.
fn begun() -> (Draft, Observed, ProcessId) {
    let (mut draft, mut observed) = (cluster(), Observed::default());
    online(&mut observed, 0);
    super::ship_backup::put_remote(&mut draft);
    let mut next = 2000;
    let mut ids = || {
        next += 1;
        uuid(next)
    };
    let new = NewSnapshot {
        resource: r1(),
        name: s1(),
        nodes: [node(0)].into(),
        reason: SnapshotReason::Request,
        props: Default::default(),
    };
    let row = snapshot::row(&draft, new, 7, &mut ids).unwrap();
    let definition = draft.definitions[&r1()].clone();
    draft.put_resource_definition(ResourceDefinition {
        name: r2(),
        uuid: uuid(70),
        volumes: Default::default(),
        ..ResourceDefinition::clone(&definition)
    });
    draft.put_snapshot_definition(SnapshotDefinition {
        resource: r2(),
        ..row
    });
    let object = ReceivedObject {
        key: "r1_00000_back_20250328_150859".to_owned(),
        bytes: 7,
    };
    let restore = RestoreBackup {
        id: uuid(60),
        resource: r2(),
        snapshot: s1(),
        remote: RemoteName::parse("s3").unwrap(),
        remote_uuid: uuid(50),
        node: node(0),
        backup: "r1_back_20250328_150859".to_owned(),
        objects: BTreeMap::from([(0, vec![object])]),
        makes_resource: true,
        replaces: false,
        own_definition: true,
        own_snapshot: true,
        peer: None,
        failure: None,
        step: Step::Receive,
    };
    let id = restore_backup::begin(&mut draft, restore, 1_000);
    (draft, observed, id)
}

fn target(draft: &Draft) -> Option<SnapshotTarget> {
    let key = linstor_wire::Key::Snapshot(r2(), s1());
    match crate::project::spec(draft, &node(0), &key, Keys::Withheld(Withheld::Locked))? {
        Spec::Snapshot(spec) => Some(spec.target.clone()),
        _ => None,
    }
}

fn report(draft: &Draft, observed: &mut Observed, outcome: Outcome) {
    let row = draft.snapshot(&r2(), &s1()).unwrap();
    let applied = Applied {
        uuid: row.on(&node(0)).unwrap().uuid,
        generation: draft.generation + 1,
        outcome,
        done: Vec::new(),
        at: 0,
        next_try: None,
    };
    let key = (r2(), s1(), node(0));
    observed.snapshots.insert(key, Arc::new(applied));
}

fn step(draft: &Draft, id: ProcessId) -> Option<Step> {
    draft.restoration(id).map(|of| of.step)
}

/// The snapshot is good once its node has received it; then the controller makes the resource.
#[test]
fn a_backup_is_restored() {
    let (mut draft, mut observed, id) = begun();
    assert!(!advance(&mut draft, &observed, &r2(), 1_100));
    assert!(matches!(target(&draft), Some(SnapshotTarget::Received(_))));
    report(&draft, &mut observed, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r2(), 1_200));
    assert_eq!(step(&draft, id), Some(Step::Restore));
    assert_eq!(target(&draft), None);
    let row = draft.snapshot(&r2(), &s1()).unwrap();
    assert_eq!(row.state, SnapshotState::Successful);
    restore_backup::restored(&mut draft, id, 1_250);
    assert_eq!(step(&draft, id), None);
}

/// A failure, and a cancelled job, remove the snapshot and then the definition.
#[test]
fn what_fails_leaves_nothing() {
    for cancelled in [false, true] {
        let (mut draft, mut observed, id) = begun();
        if cancelled {
            let process = draft.processes[&id].clone();
            cancel(&mut draft, &observed, &process, 1_100).unwrap();
        } else {
            let replies = vec![Reply::new(1, "It is damaged.")];
            report(&draft, &mut observed, Outcome::Failed { replies });
        }
        assert!(advance(&mut draft, &observed, &r2(), 1_200));
        assert_eq!(target(&draft), Some(SnapshotTarget::Destroyed));
        assert_eq!(step(&draft, id), Some(Step::Abandon));
        report(&draft, &mut observed, Outcome::Done);
        assert!(advance(&mut draft, &observed, &r2(), 1_300));
        assert!(draft.processes.is_empty());
        assert!(!draft.definitions.contains_key(&r2()));
    }
}
