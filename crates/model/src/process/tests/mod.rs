//! Steps are taken when, and only when, nodes have applied what was asked of them.

mod cancel;
mod restore;
mod restore_backup;
mod roll_back;
mod shared;
mod ship_backup;
mod ship_snapshot;
mod snapshot;

use std::sync::Arc;

use linstor_api::kind::{ConnectionStatus, LayerKind, NodeType, ProviderKind};
use linstor_api::reply::Reply;
use linstor_wire::Secret;
use linstor_wire::spec::{Action, ResourceSpec, Target, Withheld};
use linstor_wire::status::{DrbdStatus, ResourceStatus, VolumeStatus};
use uuid::Uuid;

use super::*;
use crate::Model;
use crate::layer::luks::Keys;
use crate::model::RowKey;
use crate::name::{NetInterfaceName, ResourceGroupName, StoragePoolName};
use crate::observed::{Applied, NodeStatus};
use crate::{
    DiskKind, DrbdDefinition, DrbdResource, NetInterface, Node, ResourceDefinition, ResourceGroup,
    SelectFilter, StoragePool, StoragePoolDefinition, Volume, VolumeDefinition,
};

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
const SIZE_KIB: u64 = 100 * 1024;

fn resource_spec(model: &Model, name: &ResourceName, node: &NodeName) -> Option<ResourceSpec> {
    let keys = Keys::Withheld(Withheld::Locked);
    crate::project::resource_spec(model, name, node, keys)
}

fn node(index: usize) -> NodeName {
    NodeName::parse(NAMES[index]).unwrap()
}

fn r1() -> ResourceName {
    ResourceName::parse("r1").unwrap()
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Three nodes with a thin pool, one definition, replicas on the first two.
fn cluster() -> Draft {
    let mut draft = Draft::new(Model::empty(uuid(1)));
    let pool = StoragePoolName::parse("thin").unwrap();
    draft.put_storage_pool_definition(StoragePoolDefinition {
        name: pool.clone(),
        uuid: uuid(2),
        props: Default::default(),
    });
    let group = ResourceGroupName::parse(crate::model::DEFAULT_GROUP).unwrap();
    draft.put_resource_group(ResourceGroup {
        name: group.clone(),
        uuid: uuid(3),
        description: None,
        filter: SelectFilter::default(),
        peer_slots: None,
        props: Default::default(),
        volume_groups: Default::default(),
    });
    for index in 0..3 {
        draft.put_node(Node {
            name: node(index),
            uuid: uuid(10 + index as u128),
            node_type: NodeType::Satellite,
            net_interfaces: vec![NetInterface {
                name: NetInterfaceName::parse("default").unwrap(),
                uuid: uuid(20 + index as u128),
                address: [10, 0, 0, 1 + index as u8].into(),
                satellite_port: Some(3366),
                encryption: None,
                active: true,
            }],
            props: Default::default(),
            connections: Vec::new(),
            evacuate: false,
            evacuate_to: Vec::new(),
            evacuate_not_to: Vec::new(),
            evicted: false,
            host: None,
        });
        draft.put_storage_pool(StoragePool {
            node: node(index),
            name: pool.clone(),
            uuid: uuid(30 + index as u128),
            kind: ProviderKind::LvmThin,
            props: Default::default(),
            shared_name: None,
            external_locking: false,
            granularity_kib: None,
        });
    }
    let volume = VolumeDefinition {
        uuid: uuid(5),
        size_kib: SIZE_KIB,
        gross_size: false,
        encrypted: false,
        props: Default::default(),
        minor: Some(1000),
        implied_minor: false,
        first_copy_on: Some(node(0)),
        initialized: false,
        restored: false,
        luks: None,
        file_system_on: Default::default(),
        granularity_kib: 64,
        device_kib: None,
        pinned: false,
    };
    draft.put_resource_definition(ResourceDefinition {
        snapshots: Default::default(),
        backups: Default::default(),
        connections: Vec::new(),
        clone_failure: None,
        name: r1(),
        external_name: None,
        uuid: uuid(4),
        group,
        layer_stack: vec![LayerKind::Drbd, LayerKind::Storage],
        props: Default::default(),
        drbd: Some(DrbdDefinition {
            secret: Secret::new("s"),
            peer_slots: 7,
            al_stripes: 1,
            al_stripe_kib: 32,
            transport: "TCP".into(),
            wished_port: None,
            implied: false,
        }),
        volumes: [(0, volume)].into(),
    });
    for index in 0..2 {
        put_replica(&mut draft, index);
    }
    draft
}

fn put_replica(draft: &mut Draft, index: usize) {
    let volume = Volume {
        uuid: uuid(50 + index as u128),
        pool: StoragePoolName::parse("thin").unwrap(),
        extra_storage: Default::default(),
        unit_kib: 0,
        props: Default::default(),
        source: None,
    };
    draft.put_resource(Resource {
        node: node(index),
        name: r1(),
        uuid: uuid(40 + index as u128),
        created_at: 0,
        layer_stack: vec![LayerKind::Drbd, LayerKind::Storage],
        props: Default::default(),
        drbd: Some(DrbdResource {
            node_id: index as u32,
            ports: vec![7000],
            peer_slots: 7,
            disk: DiskKind::Diskful,
            never_votes: false,
        }),
        volumes: [(0, volume)].into(),
        inactive: false,
        inactive_since: 0,
    });
}

fn online(observed: &mut Observed, index: usize) {
    observed.nodes.insert(
        node(index),
        NodeStatus {
            connection: ConnectionStatus::Online,
            since: 0,
            reason: None,
            info: None,
            version: None,
        },
    );
}

fn applied(observed: &mut Observed, index: usize, generation: u64, outcome: Outcome) {
    let uuid = uuid(40 + index as u128);
    let applied = Applied {
        uuid,
        generation,
        outcome,
        done: Vec::new(),
        at: 0,
        next_try: None,
    };
    let key = RowKey::Resource(r1(), node(index));
    observed.applied.insert(key, Arc::new(applied));
}

fn disk(observed: &mut Observed, index: usize, state: &str, in_use: bool) {
    let status = ResourceStatus {
        name: "r1".into(),
        uuid: uuid(40 + index as u128),
        drbd: Some(DrbdStatus {
            in_use,
            ..DrbdStatus::default()
        }),
        volumes: vec![VolumeStatus {
            number: 0,
            disk_state: Some(state.into()),
            ..VolumeStatus::default()
        }],
    };
    observed
        .resources
        .insert((r1(), node(index)), Arc::new(status));
}

fn kind(draft: &Draft, index: usize) -> Option<Kind> {
    let replica = draft.resource(&r1(), &node(index)).unwrap();
    Some(draft.process_of(replica)?.kind.clone())
}

fn exists(draft: &Draft, index: usize) -> bool {
    draft.resource(&r1(), &node(index)).is_some()
}

fn delete(draft: &mut Draft, index: usize) -> Since {
    let since = draft.since(1);
    delete_resource::begin(draft, &r1(), &node(index), 1);
    since
}

fn remove_disk(draft: &mut Draft, index: usize) -> Since {
    let since = draft.since(1);
    remove_disk::begin(draft, &r1(), &node(index), DiskKind::Diskless, 1);
    since
}

fn target(draft: &Draft, index: usize) -> Target {
    resource_spec(draft, &r1(), &node(index)).unwrap().target
}

/// A resource is taken down first, then its storage is destroyed, and its row is removed last; an older report changes
/// nothing.
#[test]
fn a_delete_takes_one_step_per_report() {
    let mut draft = cluster();
    let since = delete(&mut draft, 1);
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    applied(&mut observed, 1, since.generation - 1, Outcome::Done);
    assert!(!advance(&mut draft, &observed, &r1(), 6));
    assert_eq!(target(&draft, 1), Target::Leaving);

    let failed = Outcome::Failed {
        replies: vec![Reply::new(1, "no")],
    };
    applied(&mut observed, 1, since.generation, failed);
    assert!(!advance(&mut draft, &observed, &r1(), 6));

    applied(&mut observed, 1, since.generation, Outcome::Done);
    draft.set_generation(since.generation);
    assert!(advance(&mut draft, &observed, &r1(), 7));
    assert_eq!(target(&draft, 1), Target::Destroyed);
    assert!(
        !advance(&mut draft, &observed, &r1(), 8),
        "the next step needs its own report"
    );

    applied(&mut observed, 1, since.generation + 1, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 9));
    assert!(!exists(&draft, 1) && draft.processes.is_empty());
    assert_eq!(
        draft
            .pool_use(&node(1), &StoragePoolName::parse("thin").unwrap())
            .volumes,
        0
    );
}

/// Deleting a definition ends when its last replica is deleted; a node that is away delays only its own part.
#[test]
fn a_definition_waits_only_for_who_is_away() {
    let mut draft = cluster();
    let since = draft.since(5);
    delete_resource_definition::begin(&mut draft, &r1(), 5);
    draft.set_generation(since.generation);
    let mut observed = Observed::default();
    (0..2).for_each(|index| applied(&mut observed, index, since.generation, Outcome::Done));
    assert!(advance(&mut draft, &observed, &r1(), 6));
    let destroying = since.generation + 1;
    online(&mut observed, 0);
    applied(&mut observed, 0, destroying, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 6));
    assert!(!exists(&draft, 0) && exists(&draft, 1));
    assert!(draft.definitions.contains_key(&r1()));
    assert!(draft.pending_definitions().any(|name| *name == r1()));
    online(&mut observed, 1);
    applied(&mut observed, 1, destroying, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 7));
    assert!(draft.definitions.is_empty() && draft.resources.is_empty());
    assert!(draft.processes.is_empty());
    assert_eq!(draft.pending_definitions().count(), 0);
    assert!(!draft.uses_minor(1000));
}

fn begins_generation(draft: &Draft, index: usize) -> bool {
    let spec = resource_spec(draft, &r1(), &node(index)).unwrap();
    let mut instructions = spec.once.iter();
    instructions.any(|instruction| instruction.action == Action::NewGeneration)
}

/// One replica begins the first generation, and none does once it was reported, or a replica was up to date: one that
/// fails for good does not make a reinstalled node begin another generation, empty, next to the data.
#[test]
fn one_generation_begins() {
    let reported = |observed: &mut Observed| {
        applied(observed, 0, 1, Outcome::Done);
        let applied = observed
            .applied
            .get_mut(&RowKey::Resource(r1(), node(0)))
            .unwrap();
        Arc::make_mut(applied).done = vec![cluster().definitions[&r1()].volumes[&0].uuid];
    };
    for seen in [
        (|observed| disk(observed, 0, "UpToDate", false)) as fn(&mut Observed),
        |observed| disk(observed, 1, "UpToDate", false),
        reported,
    ] {
        let mut draft = cluster();
        let mut observed = Observed::default();
        (0..2).for_each(|index| online(&mut observed, index));
        advance(&mut draft, &observed, &r1(), 1);
        assert!(begins_generation(&draft, 0) && !begins_generation(&draft, 1));
        let standing = |draft: &Draft| {
            let mut hasher = std::hash::DefaultHasher::new();
            let spec = resource_spec(draft, &r1(), &node(0)).unwrap();
            std::hash::Hash::hash(&spec, &mut hasher);
            std::hash::Hasher::finish(&hasher)
        };
        let before = standing(&draft);
        seen(&mut observed);
        assert!(advance(&mut draft, &observed, &r1(), 2));
        assert!(!begins_generation(&draft, 0) && !begins_generation(&draft, 1));
        assert_eq!(standing(&draft), before, "there is nothing to send");
    }
}

/// When the node where the first generation begins is deleted, another one begins it only if nothing was ever written:
/// a replica that is still being made must not begin a second one.
#[test]
fn the_first_generation_is_passed_on_only_before_it_began() {
    for (seen, then) in [
        (None, true),
        (Some("Inconsistent"), true),
        (Some("UpToDate"), false),
    ] {
        let mut draft = cluster();
        let mut observed = Observed::default();
        (0..2).for_each(|index| online(&mut observed, index));
        if let Some(state) = seen {
            disk(&mut observed, 0, state, false);
        }
        advance(&mut draft, &observed, &r1(), 1);
        assert!(!begins_generation(&draft, 1));
        delete_resource::remove_resource(&mut draft, &r1(), &node(0));
        assert_eq!(begins_generation(&draft, 1), then, "alpha was {seen:?}");
    }
}

/// A file system is asked for until it is reported as made, whatever becomes of the generation, and by another replica
/// when the one that was to make it is deleted.
#[test]
fn a_file_system_is_asked_for_until_it_is_made() {
    let mut draft = cluster();
    draft.edit_resource_definition(&r1(), |definition| {
        let (key, value) = ("FileSystem/Type".to_owned(), "ext4".to_owned());
        definition.props.insert(key, value);
        let volume = definition.volumes.get_mut(&0).unwrap();
        volume.file_system_on.insert(node(0));
        volume.initialized = true;
    });
    let asked = |draft: &Draft, index| {
        let spec = resource_spec(draft, &r1(), &node(index)).unwrap();
        spec.once.into_iter().map(|i| i.id).collect::<Vec<_>>()
    };
    assert_eq!(asked(&draft, 0), [uuid(50)]);
    assert!(asked(&draft, 1).is_empty());
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    disk(&mut observed, 0, "UpToDate", false);
    advance(&mut draft, &observed, &r1(), 1);
    assert_eq!(asked(&draft, 0), [uuid(50)]);
    assert!(draft.pending_definitions().any(|name| *name == r1()));
    delete_resource::remove_resource(&mut draft, &r1(), &node(0));
    assert_eq!(asked(&draft, 1), [uuid(51)]);
    applied(&mut observed, 1, 1, Outcome::Done);
    let made = observed
        .applied
        .get_mut(&RowKey::Resource(r1(), node(1)))
        .unwrap();
    Arc::make_mut(made).done = vec![uuid(51)];
    assert!(advance(&mut draft, &observed, &r1(), 2));
    assert!(asked(&draft, 1).is_empty());
}

/// A replica that is deleted is a peer until another one is known to have the data, so that nothing is written to it
/// alone.
#[test]
fn a_replica_that_goes_is_a_peer_until_its_data_is_elsewhere() {
    let mut draft = cluster();
    let since = delete(&mut draft, 1);
    let peers = |draft: &Draft| {
        let spec = resource_spec(draft, &r1(), &node(0)).unwrap();
        spec.drbd().unwrap().peers.len()
    };
    assert_eq!(peers(&draft), 1);
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    applied(&mut observed, 1, since.generation, Outcome::Done);
    draft.set_generation(since.generation);
    advance(&mut draft, &observed, &r1(), 2);
    assert_eq!(target(&draft, 1), Target::Destroyed);
    assert_eq!(peers(&draft), 1, "alpha may still need it");
    disk(&mut observed, 0, "UpToDate", false);
    advance(&mut draft, &observed, &r1(), 3);
    assert_eq!(peers(&draft), 0);
}

/// The last copy may be destroyed when no replica is to have the data afterwards.
#[test]
fn the_last_replica_of_all_asks_nobody() {
    let mut draft = cluster();
    let allowed = |draft: &Draft, index| {
        let spec = resource_spec(draft, &r1(), &node(index)).unwrap();
        spec.allow_last_copy
    };
    delete(&mut draft, 1);
    assert!(!allowed(&draft, 1));
    delete(&mut draft, 0);
    assert!(allowed(&draft, 0) && allowed(&draft, 1));
}

/// For its peers a replica has its disk until its node has detached it.
#[test]
fn peers_learn_of_a_removed_disk_last() {
    let mut draft = cluster();
    let since = remove_disk(&mut draft, 1);
    let diskless = |draft: &Draft, index: usize| {
        let spec = resource_spec(draft, &r1(), &node(index)).unwrap();
        let drbd = spec.drbd().unwrap();
        (drbd.diskless, drbd.peers[0].diskless)
    };
    assert_eq!(diskless(&draft, 0), (false, false));
    assert_eq!(diskless(&draft, 1), (true, false));
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    applied(&mut observed, 1, since.generation, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 2));
    assert_eq!(diskless(&draft, 0), (false, true));
}

/// A replica that is deactivated has not detached its disk: that is done once it has been activated.
#[test]
fn removing_a_disk_waits_for_a_deactivated_replica() {
    let mut draft = cluster();
    let since = remove_disk(&mut draft, 1);
    draft.edit_resource(&r1(), &node(1), |row| row.inactive = true);
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    applied(&mut observed, 1, since.generation, Outcome::Done);
    assert!(!advance(&mut draft, &observed, &r1(), 2));
    draft.set_generation(since.generation);
    crate::resource::set_active(&mut draft, &r1(), &node(1), true, 3);
    assert!(
        !advance(&mut draft, &observed, &r1(), 4),
        "what it did while it was down does not count"
    );
    applied(&mut observed, 1, since.generation + 1, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 5));
    assert_eq!(kind(&draft, 1), None);
}

fn begin_growth(draft: &mut Draft) -> Since {
    let since = draft.since(1);
    draft.edit_resource_definition(&r1(), |row| {
        let volume = row.volumes.get_mut(&0).unwrap();
        volume.initialized = true;
        volume.size_kib *= 2;
    });
    let from = resize::Size {
        size_kib: SIZE_KIB,
        gross_size: false,
        device_kib: None,
    };
    resize::begin(draft, &r1(), 0, from, 1);
    since
}

/// DRBD grows nothing whose other replicas it does not see: a deactivated one is waited for, and does its part first.
#[test]
fn growing_waits_for_a_deactivated_replica() {
    let mut draft = cluster();
    draft.edit_resource(&r1(), &node(1), |row| row.inactive = true);
    let since = begin_growth(&mut draft);
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    (0..2).for_each(|index| disk(&mut observed, index, "UpToDate", false));
    (0..2).for_each(|index| applied(&mut observed, index, since.generation, Outcome::Done));
    assert!(!advance(&mut draft, &observed, &r1(), 2));

    draft.set_generation(since.generation);
    crate::resource::set_active(&mut draft, &r1(), &node(1), true, 3);
    assert!(
        !advance(&mut draft, &observed, &r1(), 4),
        "beta has not grown since it was activated"
    );
    let both = since.generation + 1;
    (0..2).for_each(|index| applied(&mut observed, index, both, Outcome::Done));
    draft.set_generation(both);
    assert!(advance(&mut draft, &observed, &r1(), 5));
    let step = |draft: &Draft| draft.resize_of(&r1(), 0).unwrap().step.clone();
    assert_eq!(step(&draft), resize::Step::Drbd { on: node(0) });

    // Whoever is to grow DRBD is taken down: another one does, once it can.
    draft.edit_resource(&r1(), &node(0), |row| row.inactive = true);
    applied(&mut observed, 0, both + 1, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 6));
    assert_eq!(step(&draft), resize::Step::Drbd { on: node(1) });
}

/// Growing: storage everywhere, then DRBD on an up-to-date replica, then done.
#[test]
fn growing_goes_below_first() {
    let mut draft = cluster();
    let since = begin_growth(&mut draft);
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    disk(&mut observed, 1, "UpToDate", false);
    applied(&mut observed, 0, since.generation, Outcome::Done);
    assert!(
        !advance(&mut draft, &observed, &r1(), 2),
        "beta has not grown"
    );
    applied(&mut observed, 1, since.generation, Outcome::Done);
    draft.set_generation(since.generation);
    assert!(advance(&mut draft, &observed, &r1(), 3));
    let grows = |draft: &Draft, index| {
        let spec = resource_spec(draft, &r1(), &node(index)).unwrap();
        spec.drbd().unwrap().volumes[0].grow
    };
    assert_eq!(
        (grows(&draft, 0), grows(&draft, 1)),
        (false, true),
        "alpha is not up to date"
    );
    applied(&mut observed, 1, since.generation + 1, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 4));
    assert!(draft.resize_of(&r1(), 0).is_none());
}

fn migrate() -> migrate::Migrate {
    migrate::Migrate {
        resource: r1(),
        node: node(2),
        from: node(0),
        was: DiskKind::Diskless,
        step: migrate::Step::AddDisk,
    }
}

/// A replica is replaced only when the new one is up to date and the old one is not in use.
#[test]
fn migration_never_drops_the_last_good_copy() {
    let mut draft = cluster();
    put_replica(&mut draft, 2);
    let since = draft.since(1);
    draft.begin_process(migrate(), 1);
    let mut observed = Observed::default();
    (0..3).for_each(|index| online(&mut observed, index));
    applied(&mut observed, 2, since.generation, Outcome::Done);
    disk(&mut observed, 0, "UpToDate", true);
    disk(&mut observed, 2, "Inconsistent", false);
    advance(&mut draft, &observed, &r1(), 2);
    assert_eq!(kind(&draft, 0), None);
    disk(&mut observed, 2, "UpToDate", false);
    advance(&mut draft, &observed, &r1(), 3);
    assert_eq!(kind(&draft, 0), None, "alpha is in use");
    disk(&mut observed, 0, "UpToDate", false);
    assert!(advance(&mut draft, &observed, &r1(), 4));
    assert_eq!(
        kind(&draft, 0).map(|kind| kind.name()),
        Some(KindName::DeleteResource)
    );
    assert_eq!(kind(&draft, 2), None);
}

/// A node is removed, with its pools, when its last replica is deleted.
#[test]
fn a_node_goes_last() {
    let mut draft = cluster();
    let observed = Observed::default();
    delete_node::begin(&mut draft, &node(2), 1);
    assert!(advance_node(&mut draft, &observed, &node(2), 2));
    assert!(draft.node(&node(2)).is_none() && draft.pools_of(&node(2)).next().is_none());
    delete_node::begin(&mut draft, &node(1), 1);
    assert!(
        !advance_node(&mut draft, &observed, &node(1), 2),
        "it still has a replica"
    );
}

/// Everything that is stored comes back, and what cannot be read does not keep the rest from serving.
#[test]
fn rows_survive_a_reload_and_bad_ones_are_set_aside() {
    let draft = cluster();
    let mut rows: Vec<_> = draft
        .touched()
        .iter()
        .map(|key| crate::model::StoredRow {
            kind: key.kind().as_str().into(),
            key: key.key(),
            json: draft.row_json(key).unwrap(),
        })
        .collect();
    rows.iter_mut()
        .filter(|row| row.key == "R1/BETA")
        .for_each(|row| row.json.truncate(20));
    rows.push(crate::model::StoredRow {
        kind: "resource".into(),
        key: "R9/ALPHA".into(),
        json: rows
            .iter()
            .find(|row| row.key == "R1/ALPHA")
            .unwrap()
            .json
            .replace("r1", "r9"),
    });
    let model = Model::load(7, rows, uuid(99));
    assert_eq!(model.generation, 7);
    assert_eq!(model.resources.len(), 1);
    assert_eq!(
        model.resource(&r1(), &node(0)),
        draft.resource(&r1(), &node(0))
    );
    let held = model.held.rows().iter();
    let keys: Vec<_> = held.map(|held| held.row.key.as_str()).collect();
    assert_eq!(
        keys,
        ["", "R1/BETA", "R9/ALPHA"],
        "no controller row either"
    );
}

/// A replica that is deleted while it is losing its disk takes what is left of the disk with it.
#[test]
fn a_disk_on_its_way_out_goes_with_its_replica() {
    let mut draft = cluster();
    let pool = StoragePoolName::parse("thin").unwrap();
    remove_disk(&mut draft, 1);
    delete(&mut draft, 1);
    assert_eq!(draft.processes.len(), 1);
    let row = draft.resource(&r1(), &node(1)).unwrap();
    assert_eq!(
        draft.deletion_of(row),
        Some(&delete_resource::Step::TakeDown)
    );
    assert_eq!(draft.pool_use(&node(1), &pool).volumes, 1);
    assert_eq!(row.volumes[&0].pool, pool);
    assert_eq!(row.drbd.as_ref().unwrap().disk, DiskKind::Diskful);
}

/// A node that cannot ask its peers any more may destroy its copy once the controller knows of another one; not before.
#[test]
fn the_controller_tells_that_the_data_is_elsewhere() {
    let mut draft = cluster();
    let since = delete(&mut draft, 1);
    let mut observed = Observed::default();
    (0..2).for_each(|index| online(&mut observed, index));
    applied(&mut observed, 1, since.generation, Outcome::Done);
    let allowed = |draft: &Draft| {
        let spec = resource_spec(draft, &r1(), &node(1)).unwrap();
        spec.allow_last_copy
    };
    disk(&mut observed, 0, "Inconsistent", false);
    draft.set_generation(since.generation);
    assert!(advance(&mut draft, &observed, &r1(), 2));
    assert_eq!(target(&draft, 1), Target::Destroyed);
    assert!(!allowed(&draft), "alpha has not got the data yet");
    disk(&mut observed, 0, "UpToDate", false);
    assert!(advance(&mut draft, &observed, &r1(), 3));
    assert!(allowed(&draft));
}

/// A deactivated replica is still a peer of the others, so that their bitmaps have what it misses.
#[test]
fn a_deactivated_replica_is_not_forgotten() {
    let mut draft = cluster();
    draft.edit_resource(&r1(), &node(1), |row| row.inactive = true);
    assert_eq!(target(&draft, 1), Target::Down);
    let spec = resource_spec(&draft, &r1(), &node(0)).unwrap();
    assert_eq!(spec.drbd().unwrap().peers.len(), 1);
}

/// Ids are short, are never given out twice and are read back; other texts are not.
#[test]
fn ids_are_short_and_read_back() {
    let mut draft = cluster();
    draft.set_generation(40);
    delete_resource_definition::begin(&mut draft, &r1(), 1);
    let ids: Vec<String> = draft.processes.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["41", "41-2", "41-3"]);
    for id in &ids {
        assert_eq!(id.parse::<ProcessId>().unwrap().to_string(), *id);
    }
    for bad in [
        "",
        "-",
        "x",
        "41-",
        "41-1",
        "41-0",
        "-2",
        "+41",
        "41-2-3",
        "99999999999999999999",
    ] {
        assert!(bad.parse::<ProcessId>().is_err(), "{bad}");
    }
}

/// Grown space of thin pools needs no synchronisation, unless the definition asks for a full one.
#[test]
fn grown_space_is_synchronised_where_a_full_sync_is_asked_for() {
    let mut draft = cluster();
    let assumed = |draft: &Draft| {
        let spec = resource_spec(draft, &r1(), &node(0)).unwrap();
        spec.drbd().unwrap().volumes[0].grow_assume_clean
    };
    assert!(assumed(&draft));
    let mut forced = ResourceDefinition::clone(&draft.definitions[&r1()]);
    let key = linstor_api::prop::DRBD_FORCE_INITIAL_SYNC_PERMANENT.to_owned();
    forced.props.insert(key, "True".to_owned());
    draft.put_resource_definition(forced);
    assert!(!assumed(&draft));
}
