use linstor_api::kind::ConnectionStatus;

use super::*;
use crate::HostFacts;
use crate::place::fixture::{Cluster, GIB, cluster, node, pool, resource};
use crate::process::{Kind, remove_disk};

const TWO: &str = "n1: DfltStorPool 100, thin 100 LVM_THIN\n n2: DfltStorPool 100, thin 100 LVM_THIN\n n3: other 100";

fn request(on: &str, disk: DiskKind) -> NewResource {
    NewResource::new(resource("res"), node(on), disk)
}

fn make(cluster: &mut Cluster, new: NewResource) -> Result<(Resource, Vec<Reply>), Vec<Reply>> {
    let observed = cluster.observed.clone();
    let mut next = cluster.draft.resources.len() as u128 * 100;
    let mut uuid = || {
        next += 1;
        Uuid::from_u128(next)
    };
    let mut seeds = Seeds {
        now_ms: 7,
        uuid: &mut uuid,
        fill: &mut |bytes| bytes.fill(7),
        master_key: None,
    };
    new_resource(&mut cluster.draft, &observed, &mut seeds, new)
}

fn refused(cluster: &mut Cluster, new: NewResource) -> i64 {
    let before = cluster.draft.touched().len();
    let replies = make(cluster, new).unwrap_err();
    assert_eq!(
        cluster.draft.touched().len(),
        before,
        "a refusal changes nothing"
    );
    replies[0].ret_code
}

fn one_volume(nodes: &str) -> Cluster {
    let mut cluster = cluster(nodes);
    cluster.define("res", &[1]);
    cluster
}

/// A new resource has its identity, numbers and volumes, and its definition names the initial replica.
#[test]
fn a_new_replica_is_complete() {
    let mut cluster = cluster(TWO);
    cluster.define("res", &[1, 2]);
    cluster.prop("res", prop::DRBD_FORCE_INITIAL_SYNC, "True");
    let mut row =
        crate::StoragePool::clone(cluster.draft.pool(&node("n1"), &pool("thin")).unwrap());
    row.granularity_kib = Some(64);
    cluster.draft.put_storage_pool(row);
    let mut asked = request("N1", DiskKind::Diskful);
    asked.pool = Some(pool("THIN"));
    let (row, replies) = make(&mut cluster, asked).unwrap();
    assert_eq!(replies, []);
    assert_eq!((row.node.as_str(), row.created_at), ("n1", 7));
    assert_eq!(row.layer_stack, [LayerKind::Drbd, LayerKind::Storage]);
    let drbd = row.drbd.as_ref().unwrap();
    assert_eq!(
        (drbd.node_id, &drbd.ports[..], drbd.peer_slots),
        (0, &[7000][..], 7)
    );
    let pools: Vec<&str> = row
        .volumes
        .values()
        .map(|volume| volume.pool.as_str())
        .collect();
    assert_eq!(pools, ["thin", "thin"]);
    let mut uuids: Vec<Uuid> = row.volumes.values().map(|volume| volume.uuid).collect();
    uuids.push(row.uuid);
    uuids.dedup();
    assert_eq!(uuids.len(), 3);
    assert_eq!(row.props.get(prop::DISKFUL_BY), None);
    let definition = &cluster.draft.definitions[&resource("res")];
    assert_eq!(
        definition.props[prop::DRBD_FORCE_INITIAL_SYNC_PERMANENT],
        "True"
    );
    for volume in definition.volumes.values() {
        assert_eq!(volume.first_copy_on, Some(node("n1")));
        assert_eq!(volume.granularity_kib, 64);
        assert_eq!(
            volume.props[prop::DRBD_DISK_DISCARD_ZEROES_IF_ALIGNED],
            "yes"
        );
    }
    let (second, _) = make(&mut cluster, request("n2", DiskKind::Diskful)).unwrap();
    assert_eq!(
        second.volumes[&0].pool.as_str(),
        "thin",
        "as the replica that exists"
    );
    assert_eq!(
        second.drbd.unwrap().ports,
        [7000],
        "as the replica that exists"
    );
    let definition = &cluster.draft.definitions[&resource("res")];
    assert_eq!(definition.volumes[&0].first_copy_on, Some(node("n1")));
}

/// The pool is that of the request, inherited, that of peers, or the default; the error names the missing one.
#[test]
fn pools_are_found() {
    let place = |cluster: &mut Cluster, on: &str| {
        make(cluster, request(on, DiskKind::Diskful))
            .map(|(row, _)| row.volumes[&0].pool.to_string())
            .map_err(|replies| replies[0].ret_code)
    };
    let mut plain = one_volume(TWO);
    assert_eq!(place(&mut plain, "n1").unwrap(), "DfltStorPool");
    assert_eq!(
        place(&mut plain, "n3"),
        Err(code::FAIL_NOT_FOUND_DFLT_STOR_POOL)
    );
    let mut inherited = one_volume(TWO);
    inherited.prop("res", prop::STOR_POOL_NAME, "thin");
    assert_eq!(place(&mut inherited, "n1").unwrap(), "thin");
    assert_eq!(
        place(&mut inherited, "n3"),
        Err(code::FAIL_NOT_FOUND_DFLT_STOR_POOL)
    );
    let diskless = make(&mut inherited, request("n3", DiskKind::Diskless))
        .unwrap()
        .0;
    assert_eq!(diskless.volumes[&0].pool.as_str(), "DfltDisklessStorPool");
    let mut adapted = one_volume(TWO);
    let mut asked = request("n1", DiskKind::Diskful);
    asked.pool = Some(pool("DfltDisklessStorPool"));
    let (row, replies) = make(&mut adapted, asked).unwrap();
    assert_eq!(row.drbd.unwrap().disk, DiskKind::Diskless);
    assert_eq!(replies[0].ret_code, code::WARN_ALL_DISKLESS);
}

/// Nodes, layers, DRBD versions, storage providers, space and peer slots are checked before anything changes.
#[test]
fn refusals() {
    let mut there = one_volume(TWO);
    there.put("res", "DfltStorPool", &["n1"]);
    assert_eq!(
        refused(&mut there, request("n1", DiskKind::Diskful)),
        code::FAIL_EXISTS_RSC
    );
    assert_eq!(
        refused(&mut there, request("n9", DiskKind::Diskful)),
        code::FAIL_NOT_FOUND_NODE
    );
    let mut thin = request("n2", DiskKind::Diskful);
    thin.pool = Some(pool("thin"));
    assert_eq!(refused(&mut there, thin), code::FAIL_SP_MIXING_NOT_ALLOWED);
    there
        .draft
        .edit_node(&node("n2"), |row| row.evacuate = true);
    assert_eq!(
        refused(&mut there, request("n2", DiskKind::Diskful)),
        code::FAIL_EVACUATING
    );

    let mut unknown = one_volume(TWO);
    let other = NewResource::new(resource("other"), node("n1"), DiskKind::Diskful);
    assert_eq!(refused(&mut unknown, other), code::FAIL_NOT_FOUND_RSC_DFN);
    let mut cache = request("n1", DiskKind::Diskful);
    cache.layer_stack = Some(vec![LayerKind::Cache, LayerKind::Storage]);
    assert_eq!(refused(&mut unknown, cache), code::FAIL_INVLD_LAYER_STACK);
    let mut luks = request("n1", DiskKind::Diskful);
    luks.layer_stack = Some(vec![LayerKind::Luks, LayerKind::Storage]);
    assert_eq!(refused(&mut unknown, luks), code::FAIL_NOT_FOUND_CRYPT_KEY);

    let mut large = cluster("n1: DfltStorPool 100");
    large.define("res", &[60, 60]);
    assert_eq!(
        refused(&mut large, request("n1", DiskKind::Diskful)),
        code::FAIL_NOT_ENOUGH_FREE_SPACE
    );
    let mut nodrbd = one_volume("n1 nodrbd: DfltStorPool 100");
    assert_eq!(
        refused(&mut nodrbd, request("n1", DiskKind::Diskful)),
        code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER
    );
    let mut storage = request("n1", DiskKind::Diskful);
    storage.layer_stack = Some(vec![LayerKind::Storage]);
    assert!(make(&mut nodrbd, storage).unwrap().0.drbd.is_none());
}

/// DRBD 8.4: two diskful replicas, no diskless ones, and never together with DRBD 9.
#[test]
fn drbd_84() {
    let nodes = "n1 drbd84: sp1 100\n n2 drbd84: sp1 100\n n3 drbd84: sp1 100\n n4: sp1 100";
    let mut cluster = one_volume(nodes);
    cluster.prop("res", prop::STOR_POOL_NAME, "sp1");
    make(&mut cluster, request("n1", DiskKind::Diskful)).unwrap();
    for (on, disk, why) in [
        (
            "n2",
            DiskKind::Diskless,
            "does not support diskless resources",
        ),
        ("n4", DiskKind::Diskful, "never mixes both"),
    ] {
        let replies = make(&mut cluster, request(on, disk)).unwrap_err();
        assert!(
            replies[0].cause.as_ref().unwrap().contains(why),
            "{replies:?}"
        );
    }
    make(&mut cluster, request("n2", DiskKind::Diskful)).unwrap();
    let replies = make(&mut cluster, request("n3", DiskKind::Diskful)).unwrap_err();
    assert!(
        replies[0]
            .cause
            .as_ref()
            .unwrap()
            .contains("at most two replicas")
    );
}

/// The last reported DRBD version of an offline node counts.
#[test]
fn facts_of_nodes_that_are_away() {
    let mut cluster = one_volume("n1 drbd84: sp1 100\n n2: sp1 100");
    cluster.prop("res", prop::STOR_POOL_NAME, "sp1");
    cluster.put("res", "sp1", &["n2"]);
    let seen = cluster.observed.nodes.get_mut(&node("n1")).unwrap();
    (seen.info, seen.connection) = (None, ConnectionStatus::Offline);
    assert!(make(&mut cluster, request("n1", DiskKind::Diskful)).is_err());
    cluster.draft.edit_node(&node("n1"), |row| {
        row.host = Some(HostFacts {
            uname: "n1".into(),
            providers: Vec::new(),
            layers: Vec::new(),
            drbd: None,
            drbd_version: None,
            digests: Default::default(),
        });
    });
    assert!(make(&mut cluster, request("n1", DiskKind::Diskful)).is_ok());
}

/// Metadata without a free peer slot is detected before the resource is created.
#[test]
fn peer_slots_are_counted() {
    let mut cluster = one_volume("n1: sp1 100\n n2: sp1 100\n n3: sp1 100\n n4: sp1 100");
    cluster.prop("res", prop::STOR_POOL_NAME, "sp1");
    cluster
        .draft
        .edit_resource_definition(&resource("res"), |row| {
            row.drbd.as_mut().unwrap().peer_slots = 1;
        });
    make(&mut cluster, request("n1", DiskKind::Diskful)).unwrap();
    make(&mut cluster, request("n2", DiskKind::Diskful)).unwrap();
    make(&mut cluster, request("n4", DiskKind::Diskless)).unwrap();
    assert_eq!(
        refused(&mut cluster, request("n3", DiskKind::Diskful)),
        code::FAIL_INSUFFICIENT_PEER_SLOTS
    );
}

/// In a shared space the second resource is created inactive.
#[test]
fn shared_space_has_one_active_replica() {
    let mut cluster = one_volume("n1: sp1 100 @san\n n2: sp1 100 @san");
    cluster.prop("res", prop::STOR_POOL_NAME, "sp1");
    assert!(
        !make(&mut cluster, request("n1", DiskKind::Diskful))
            .unwrap()
            .0
            .inactive
    );
    let (row, replies) = make(&mut cluster, request("n2", DiskKind::Diskful)).unwrap();
    assert!(row.inactive);
    assert_eq!(replies[0].ret_code, code::WARN_RSC_DEACTIVATED);
    let node_id = row.drbd.map(|drbd| drbd.node_id);
    assert_eq!(node_id, Some(0), "that of the metadata, which they share");
}

/// A volume that is added later is created on every resource, and its initial replica is on an online node.
#[test]
fn volumes_come_later() {
    let mut cluster = one_volume("n1 offline: sp1 100\n n2: sp1 100\n n3: sp1 100");
    cluster.prop("res", prop::STOR_POOL_NAME, "sp1");
    cluster.put("res", "sp1", &["n1", "n2"]);
    cluster.put_replica("res", "DfltDisklessStorPool", "n3", DiskKind::TieBreaker);
    let mut volume = cluster.draft.definitions[&resource("res")].volumes[&0].clone();
    volume.minor = Some(2000);
    let mut add = |cluster: &mut Cluster, number: u32, size_kib: u64| {
        volume.size_kib = size_kib;
        let row = volume.clone();
        cluster
            .draft
            .edit_resource_definition(&resource("res"), |definition| {
                definition.volumes.insert(number, row);
            });
        let observed = cluster.observed.clone();
        let mut uuid = || Uuid::from_u128(5);
        let mut seeds = Seeds {
            now_ms: 7,
            uuid: &mut uuid,
            fill: &mut |bytes| bytes.fill(7),
            master_key: None,
        };
        add_volume(
            &mut cluster.draft,
            &observed,
            &mut seeds,
            &resource("res"),
            number,
        )
    };
    add(&mut cluster, 1, GIB).unwrap();
    let pools: Vec<String> = cluster
        .draft
        .resources_of(&resource("res"))
        .map(|row| row.volumes[&1].pool.to_string())
        .collect();
    assert_eq!(pools, ["sp1", "sp1", "DfltDisklessStorPool"]);
    let definition = &cluster.draft.definitions[&resource("res")];
    assert_eq!(definition.volumes[&1].first_copy_on, Some(node("n2")));
    let replies = add(&mut cluster, 2, 200 * GIB).unwrap_err();
    assert_eq!(replies[0].ret_code, code::FAIL_NOT_ENOUGH_FREE_SPACE);
}

/// Toggling the disk does not change numbers; the storage to be removed is stored.
#[test]
fn disks_come_and_go() {
    let mut cluster = one_volume("n1: sp1 100\n n2: sp1 100");
    cluster.prop("res", prop::STOR_POOL_NAME, "sp1");
    cluster.put("res", "sp1", &["n1"]);
    cluster.put_replica("res", "DfltDisklessStorPool", "n2", DiskKind::Diskless);
    let before = cluster
        .draft
        .resource(&resource("res"), &node("n2"))
        .unwrap()
        .drbd
        .clone()
        .unwrap();
    let observed = cluster.observed.clone();
    let mut uuid = Uuid::nil;
    let mut seeds = Seeds {
        now_ms: 7,
        uuid: &mut uuid,
        fill: &mut |bytes| bytes.fill(7),
        master_key: None,
    };
    let (name, on) = (resource("res"), node("n2"));
    give_disk(
        &mut cluster.draft,
        &observed,
        &mut seeds,
        &name,
        &on,
        GiveDisk::default(),
    )
    .unwrap();
    let row = cluster.draft.resource(&name, &on).unwrap();
    let process = cluster.draft.process_of(row).unwrap();
    assert!(matches!(process.kind, Kind::AddDisk(_)));
    assert_eq!(process.since.at, 7);
    assert_eq!(row.volumes[&0].pool.as_str(), "sp1");
    let drbd = row.drbd.as_ref().unwrap();
    assert_eq!((drbd.node_id, &drbd.ports), (before.node_id, &before.ports));
    let again = give_disk(
        &mut cluster.draft,
        &observed,
        &mut seeds,
        &name,
        &on,
        GiveDisk::default(),
    );
    assert_eq!(
        again.unwrap_err()[0].ret_code,
        code::WARN_RSC_ALREADY_HAS_DISK
    );
    let used = |cluster: &Cluster| cluster.draft.pool_use(&node("n1"), &pool("sp1")).volumes;
    assert_eq!(used(&cluster), 1);
    remove_disk::begin(
        &mut cluster.draft,
        &name,
        &node("n1"),
        DiskKind::Diskless,
        8,
    );
    let row = cluster.draft.resource(&name, &node("n1")).unwrap();
    let removed = cluster.draft.removed_storage(row).unwrap();
    assert_eq!(removed[&0], pool("sp1"));
    assert_eq!(used(&cluster), 1, "until it is removed");
}

/// A resource that is losing its disk keeps it when it is to have one, for whatever reason; it never has two operations in
/// progress, nor a disk that is in use and removed at the same time.
#[test]
fn a_disk_that_is_being_removed_is_kept() {
    let begin = || {
        let mut cluster = one_volume("n1: sp1 100, sp2 100\n n2: sp1 100");
        cluster.put("res", "sp1", &["n1", "n2"]);
        let (name, on) = (resource("res"), node("n1"));
        remove_disk::begin(&mut cluster.draft, &name, &on, DiskKind::Diskless, 8);
        cluster
    };
    let give = |cluster: &mut Cluster, disk: GiveDisk| {
        let observed = cluster.observed.clone();
        let mut uuid = Uuid::nil;
        let mut seeds = Seeds {
            now_ms: 9,
            uuid: &mut uuid,
            fill: &mut |bytes| bytes.fill(7),
            master_key: None,
        };
        let (name, on) = (resource("res"), node("n1"));
        give_disk(&mut cluster.draft, &observed, &mut seeds, &name, &on, disk)
    };
    let in_pool = |name: &str| GiveDisk {
        pool: Some(pool(name)),
        diskful_by: Some("user"),
        ..GiveDisk::default()
    };
    let moved = GiveDisk {
        migrate_from: Some(node("n2")),
        ..in_pool("sp1")
    };
    for disk in [GiveDisk::default(), in_pool("sp1"), moved] {
        let mut cluster = begin();
        give(&mut cluster, disk.clone()).unwrap();
        let name = resource("res");
        let row = cluster.draft.resource(&name, &node("n1")).unwrap();
        assert_eq!(row.volumes[&0].pool, pool("sp1"));
        assert!(!row.is_diskless());
        assert_eq!(cluster.draft.removed_storage(row), None);
        let kinds = cluster.draft.processes_of(&name).map(|of| &of.kind);
        match (&kinds.collect::<Vec<_>>()[..], disk.migrate_from) {
            ([Kind::AddDisk(_)], None) => {}
            ([Kind::Migrate(of)], Some(from)) => assert_eq!(of.from, from),
            (other, _) => panic!("{other:?}"),
        }
    }
    let mut cluster = begin();
    let refused = give(&mut cluster, in_pool("sp2")).unwrap_err();
    assert_eq!(refused[0].ret_code, code::FAIL_RSC_BUSY);
    let row = cluster.draft.resource(&resource("res"), &node("n1"));
    assert!(cluster.draft.removed_storage(row.unwrap()).is_some());
}
