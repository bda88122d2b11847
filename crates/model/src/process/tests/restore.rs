//! Resources made of a snapshot: of which replicas the content is known, what nodes are told, and until when.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_wire::spec::{DrbdVolumeSpec, InitialState, SnapshotSource};

use super::*;
use crate::master_key::Key;
use crate::name::SnapshotName;
use crate::resource::{
    NewResource, RenamedPools, Seeds, new_resource, prepare_restore, restore_resource,
};
use crate::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};
use crate::{LuksKey, SnapshotDefinition};

fn copy() -> ResourceName {
    ResourceName::parse("copy").unwrap()
}

/// Runs a plan with identities that are all different.
fn plan<T>(
    draft: &mut Draft,
    key: Option<&Key>,
    plan: impl FnOnce(&mut Draft, &mut Seeds<'_>) -> T,
) -> T {
    let mut next = 5000 + u128::from(draft.generation) + draft.touched().len() as u128 * 100;
    let mut ids = || {
        next += 1;
        uuid(next)
    };
    let mut seeds = Seeds {
        now_ms: 9,
        uuid: &mut ids,
        fill: &mut |bytes| bytes.fill(7),
        master_key: key,
    };
    plan(draft, &mut seeds)
}

/// The cluster with a snapshot of `r1` on its two nodes, and a definition `copy` for it.
fn with_snapshot(change: impl FnOnce(&mut Draft)) -> (Draft, SnapshotDefinition) {
    let mut draft = cluster();
    draft.edit_resource_definition(&r1(), |row| {
        let volume = row.volumes.get_mut(&0).unwrap();
        volume.initialized = true;
        volume.device_kib = Some(SIZE_KIB + 60);
    });
    change(&mut draft);
    let mut next = 1000;
    let mut ids = || {
        next += 1;
        uuid(next)
    };
    let new = NewSnapshot {
        resource: r1(),
        name: SnapshotName::parse("s1").unwrap(),
        nodes: [node(0), node(1)].into(),
        reason: SnapshotReason::Request,
        props: Default::default(),
    };
    let mut snapshot = snapshot::row(&draft, new, 7, &mut ids).unwrap();
    snapshot.state = SnapshotState::Successful;
    draft.put_snapshot_definition(snapshot.clone());
    let mut definition = ResourceDefinition::clone(&draft.definitions[&r1()]);
    definition.name = copy();
    definition.uuid = uuid(6);
    definition.props = Default::default();
    let volume = definition.volumes.get_mut(&0).unwrap();
    volume.uuid = uuid(7);
    volume.minor = Some(1001);
    volume.first_copy_on = None;
    volume.initialized = false;
    volume.device_kib = None;
    volume.luks = None;
    draft.put_resource_definition(definition);
    (draft, snapshot)
}

fn restore(
    draft: &mut Draft,
    snapshot: &SnapshotDefinition,
    key: Option<&Key>,
) -> Result<(), Vec<Reply>> {
    let observed = Observed::default();
    let nodes: BTreeSet<NodeName> = [node(0), node(1)].into();
    plan(draft, key, |draft, seeds| {
        prepare_restore(draft, seeds, &copy(), snapshot, &nodes)?;
        for part in snapshot.snapshots.values() {
            let none = RenamedPools::new();
            restore_resource(draft, &observed, seeds, &copy(), snapshot, part, &none)?;
        }
        Ok(())
    })
}

fn spec_of(draft: &Draft, index: usize) -> ResourceSpec {
    resource_spec(draft, &copy(), &node(index)).unwrap()
}

fn source_of(draft: &Draft, index: usize) -> Option<(Uuid, SnapshotSource)> {
    let spec = spec_of(draft, index);
    let mut once = spec.once.into_iter();
    once.find_map(|instruction| match instruction.action {
        Action::RestoreSnapshot(source) => Some((instruction.id, source)),
        _ => None,
    })
}

fn drbd_of(spec: &ResourceSpec) -> &DrbdVolumeSpec {
    &spec.drbd().unwrap().volumes[0]
}

/// Each node makes its replica of its own part. They are equal on day 0; a replica that comes later is not, nor is one of
/// which the disk was removed meanwhile.
#[test]
fn only_what_is_made_of_the_snapshot_is_equal() {
    let (mut draft, snapshot) = with_snapshot(|_| {});
    restore(&mut draft, &snapshot, None).unwrap();
    for index in 0..2 {
        let part = snapshot.on(&node(index)).unwrap();
        let (_, source) = source_of(&draft, index).unwrap();
        let expected = SnapshotSource {
            resource: r1(),
            resource_uuid: uuid(40 + index as u128),
            snapshot: snapshot.name.clone(),
            snapshot_uuid: part.uuid,
        };
        assert_eq!(source, expected);
        let spec = spec_of(&draft, index);
        assert_eq!(drbd_of(&spec).initial, InitialState::SameAsDay0);
        assert_eq!(spec.drbd().unwrap().node_id, index as u32);
        // What is on it fills the device that it was on.
        assert_eq!(spec.volumes[0].usable_kib, SIZE_KIB + 60);
        assert_eq!(
            draft.restored_from(part, &node(index)).map(|row| &row.name),
            Some(&copy())
        );
    }
    assert!(draft.pending_definitions().any(|name| *name == copy()));
    let observed = Observed::default();
    plan(&mut draft, None, |draft, seeds| {
        let new = NewResource::new(copy(), node(2), DiskKind::Diskful);
        let new = NewResource {
            pool: Some(StoragePoolName::parse("thin").unwrap()),
            ..new
        };
        new_resource(draft, &observed, seeds, new).unwrap();
    });
    assert_eq!(source_of(&draft, 2), None);
    assert_eq!(drbd_of(&spec_of(&draft, 2)).initial, InitialState::FullSync);
    // The same definition without any disk begins with nothing again.
    for index in 0..3 {
        draft.remove(&RowKey::Resource(copy(), node(index)));
    }
    once::pass_on(&mut draft, &copy(), &node(0));
    assert!(!draft.definitions[&copy()].volumes[&0].restored);
}

/// The instruction is given until its node has reported it, by the id of this very volume.
#[test]
fn a_source_is_needed_until_it_is_reported() {
    let (mut draft, snapshot) = with_snapshot(|_| {});
    restore(&mut draft, &snapshot, None).unwrap();
    let mut observed = Observed::default();
    let (id, _) = source_of(&draft, 0).unwrap();
    for (done, left) in [(uuid(1), true), (id, false)] {
        let row = draft.resource(&copy(), &node(0)).unwrap();
        let applied = Applied {
            uuid: row.uuid,
            generation: 1,
            outcome: Outcome::Done,
            done: vec![done],
            at: 0,
            next_try: None,
        };
        let key = RowKey::Resource(copy(), node(0));
        observed.applied.insert(key, Arc::new(applied));
        advance(&mut draft, &observed, &copy(), 10);
        assert_eq!(source_of(&draft, 0).is_some(), left);
    }
    assert!(source_of(&draft, 1).is_some());
    let part = snapshot.on(&node(0)).unwrap();
    assert_eq!(draft.restored_from(part, &node(0)), None);
}

/// Where DRBD did not wait for the other disks, the parts of a snapshot may differ.
#[test]
fn asynchronous_replicas_are_synchronised() {
    for (protocol, expected) in [
        ("C", InitialState::SameAsDay0),
        ("A", InitialState::FullSync),
        ("B", InitialState::FullSync),
    ] {
        let (mut draft, snapshot) = with_snapshot(|draft| {
            draft.edit_resource_definition(&r1(), |row| {
                let key = "DrbdOptions/Net/protocol".to_owned();
                row.props.insert(key, protocol.to_owned());
            });
        });
        restore(&mut draft, &snapshot, None).unwrap();
        assert_eq!(drbd_of(&spec_of(&draft, 1)).initial, expected, "{protocol}");
    }
}

/// The key of encrypted volumes comes with them, sealed for the new definition; one that was chosen before replaces it.
#[test]
fn keys_come_with_the_data() {
    let key = Key::new([3; 32]);
    let sealed = |of: u128, text: &str| LuksKey {
        key: key.seal([1; 12], &LuksKey::purpose(uuid(of)), &Secret::new(text)),
        supplied: false,
        format_options: "--iter-time 1".to_owned(),
        change: None,
    };
    let luks = |draft: &mut Draft| {
        let layers = vec![LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage];
        draft.edit_resource_definition(&r1(), |row| {
            row.layer_stack.clone_from(&layers);
            row.volumes.get_mut(&0).unwrap().luks = Some(sealed(5, "its key"));
        });
        for index in 0..2 {
            draft.edit_resource(&r1(), &node(index), |row| {
                row.layer_stack.clone_from(&layers)
            });
        }
    };
    let (mut draft, snapshot) = with_snapshot(luks);
    let refused = restore(&mut draft.clone(), &snapshot, None).unwrap_err();
    assert_eq!(refused[0].ret_code, code::FAIL_NOT_FOUND_CRYPT_KEY);
    restore(&mut draft, &snapshot, Some(&key)).unwrap();
    let spec = |draft: &Draft| {
        crate::project::resource_spec(draft, &copy(), &node(0), Keys::Master(&key)).unwrap()
    };
    let revealed = |spec: &ResourceSpec| spec.luks().unwrap().volumes[0].key.reveal().to_owned();
    assert_eq!(revealed(&spec(&draft)), "its key");
    assert_eq!(
        spec(&draft).luks().unwrap().volumes[0].format_options,
        "--iter-time 1"
    );
    assert!(!draft.definitions[&copy()].volumes[&0].changes_key());

    let (mut draft, snapshot) = with_snapshot(luks);
    draft.edit_resource_definition(&copy(), |row| {
        row.volumes.get_mut(&0).unwrap().luks = Some(sealed(7, "another"));
    });
    restore(&mut draft, &snapshot, Some(&key)).unwrap();
    let spec = spec(&draft);
    assert_eq!(revealed(&spec), "another");
    let formers = spec
        .once
        .iter()
        .filter_map(|instruction| match &instruction.action {
            Action::ChangeLuksKey { former } => Some(former.reveal()),
            _ => None,
        });
    assert_eq!(formers.collect::<Vec<_>>(), ["its key"]);
    let change = draft.definitions[&copy()].volumes[&0]
        .luks
        .clone()
        .unwrap()
        .change
        .unwrap();
    assert_eq!(change.on, [node(0), node(1)].into());
}
