use linstor_api::prop;

use super::*;
use crate::Draft;
use crate::connection::{self, Connection};
use crate::name::NetInterfaceName;
use crate::place::fixture::{Cluster, cluster, node, pool, resource};
use crate::{NetInterface, Props, ResourceGroup, StoragePool, VolumeGroup};

const NODES: &str = "n1: sp1 100\n n2: sp1 100\n n3 drbd84: sp1 100";

/// A resource `res` with one volume on all nodes.
fn deployed() -> Cluster {
    let mut cluster = cluster(NODES);
    cluster
        .define("res", &[1])
        .put("res", "sp1", &["n1", "n2", "n3"]);
    cluster.draft.put_resource_group(ResourceGroup {
        volume_groups: [(
            0,
            VolumeGroup {
                uuid: uuid::Uuid::nil(),
                props: Props::new(),
                gross_size: false,
            },
        )]
        .into(),
        ..ResourceGroup::clone(cluster.draft.groups.values().next().unwrap())
    });
    cluster
}

/// Writes a value at a level of the resource on n1.
fn set(draft: &mut Draft, level: Level, key: &str, value: &str) {
    let insert = |props: &mut Props| drop(props.insert(key.to_owned(), value.to_owned()));
    let (name, on) = (resource("res"), node("n1"));
    match level {
        Level::Volume => draft.edit_resource(&name, &on, |row| {
            insert(&mut row.volumes.get_mut(&0).unwrap().props);
        }),
        Level::Resource => draft.edit_resource(&name, &on, |row| insert(&mut row.props)),
        Level::StoragePool => {
            let mut row = StoragePool::clone(draft.pool(&on, &pool("sp1")).unwrap());
            insert(&mut row.props);
            draft.put_storage_pool(row);
        }
        Level::StoragePoolDefinition => {
            let mut row =
                crate::StoragePoolDefinition::clone(&draft.pool_definitions[&pool("sp1")]);
            insert(&mut row.props);
            draft.put_storage_pool_definition(row);
        }
        Level::Node => draft.edit_node(&on, |row| insert(&mut row.props)),
        Level::VolumeDefinition => draft.edit_resource_definition(&name, |row| {
            insert(&mut row.volumes.get_mut(&0).unwrap().props);
        }),
        Level::VolumeGroup | Level::ResourceGroup => {
            let mut row = ResourceGroup::clone(draft.groups.values().next().unwrap());
            match level {
                Level::ResourceGroup => insert(&mut row.props),
                _ => insert(&mut row.volume_groups.get_mut(&0).unwrap().props),
            }
            draft.put_resource_group(row);
        }
        Level::ResourceDefinition => {
            draft.edit_resource_definition(&name, |row| insert(&mut row.props))
        }
        Level::NodeConnection => draft.edit_node(&on, |row| connect(&mut row.connections, insert)),
        Level::ResourceConnection => draft.edit_resource_definition(&name, |row| {
            connect(&mut row.connections, insert);
        }),
        Level::Controller => {
            let mut row = crate::Controller::clone(&draft.controller);
            insert(&mut row.props);
            draft.put_controller(row);
        }
    }
}

/// Writes a value at the connection of n1 and n2.
fn connect(connections: &mut Vec<Connection>, insert: impl Fn(&mut Props)) {
    let known = connections.first().cloned();
    let new = || Connection::new(uuid::Uuid::nil(), &node("n2"), &node("n1"));
    let mut row = known.unwrap_or_else(new);
    insert(&mut row.props);
    connection::put(connections, row);
}

/// For every purpose the nearest level takes precedence, level by level, in the order of `docs/facts.md`.
#[test]
fn the_nearest_level_wins() {
    for (purpose, order) in [
        (Purpose::DrbdResource, "R RD RG N C"),
        (Purpose::DrbdVolume, "V R VD VG RD RG N C"),
        (Purpose::DrbdConnection, "RC RD NC RG C"),
        (Purpose::Address, "SP R RD RG N C"),
        (Purpose::StoragePool, "R VD RD RG N"),
        (Purpose::MetadataPool, "VD VG R RD RG N"),
        (Purpose::StorageDriver, "V R SP N VD RD VG RG C"),
        (Purpose::FileSystem, "R VD VG RD RG"),
        (Purpose::Cache, "VD VG R RD RG N C"),
        (Purpose::Policy, "RD RG C"),
        (Purpose::AutoDiskful, "R N RD RG C"),
        (Purpose::Granularity, "VD RD VG RG C"),
        (Purpose::SkipDisk, "R SP N RD C"),
        (Purpose::PeerSlots, "RD RG C"),
        (Purpose::Node, "N C"),
        (Purpose::Oversubscription, "SP SPD C"),
        (Purpose::MinThinFree, "SP RD RG N C"),
    ] {
        let levels: Vec<Level> = order.split(' ').map(level).collect();
        assert_eq!(purpose.levels(), levels, "{purpose:?}");
        let mut cluster = deployed();
        // From the furthest to the nearest, each one overrides the one before.
        for level in levels.iter().rev() {
            set(&mut cluster.draft, *level, "key", &format!("{level:?}"));
            let model = &cluster.draft;
            let definition = &model.definitions[&resource("res")];
            let row = model.resource(&resource("res"), &node("n1")).unwrap();
            let scope = Scope {
                connection: connection::of_resources(definition, &node("n1"), &node("n2")),
                node_connection: connection::of_nodes(model, &node("n2"), &node("n1")),
                ..Scope::volume(model, definition, row, 0)
            };
            let found = chain(model, purpose, &scope).find("key");
            assert_eq!(
                found,
                Some((format!("{level:?}").as_str(), *level)),
                "{purpose:?}"
            );
        }
    }
}

fn level(name: &str) -> Level {
    match name {
        "V" => Level::Volume,
        "R" => Level::Resource,
        "SP" => Level::StoragePool,
        "SPD" => Level::StoragePoolDefinition,
        "N" => Level::Node,
        "VD" => Level::VolumeDefinition,
        "VG" => Level::VolumeGroup,
        "RD" => Level::ResourceDefinition,
        "RG" => Level::ResourceGroup,
        "RC" => Level::ResourceConnection,
        "NC" => Level::NodeConnection,
        "C" => Level::Controller,
        name => panic!("{name}"),
    }
}

fn options(cluster: &Cluster, on: &str) -> DrbdOptions {
    let definition = &cluster.draft.definitions[&resource("res")];
    let row = cluster.draft.resource(&resource("res"), &node(on)).unwrap();
    drbd_options(&cluster.draft, definition, row)
}

/// Values as `key=value`, in order of keys.
fn shown(props: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = props
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(" ")
}

/// Namespaces become sections; peer device options are among those of the disk.
#[test]
fn namespaces_become_sections() {
    let mut cluster = deployed();
    for (level, key, value) in [
        (
            Level::Controller,
            "DrbdOptions/Resource/on-no-quorum",
            "io-error",
        ),
        (
            Level::ResourceDefinition,
            "DrbdOptions/Resource/quorum",
            "majority",
        ),
        (Level::ResourceGroup, "DrbdOptions/Net/protocol", "A"),
        (Level::ResourceDefinition, "DrbdOptions/Net/protocol", "C"),
        (Level::Controller, "DrbdOptions/Net/ping-int", "7"),
        (
            Level::Controller,
            "DrbdOptions/PeerDevice/c-max-rate",
            "1000",
        ),
        (
            Level::ResourceGroup,
            "DrbdOptions/Disk/on-io-error",
            "detach",
        ),
        (
            Level::ResourceDefinition,
            "DrbdOptions/Handlers/quorum-lost",
            "/bin/true",
        ),
        (Level::ResourceDefinition, "DrbdOptionsX/Net/protocol", "B"),
    ] {
        set(&mut cluster.draft, level, key, value);
    }
    let sections = options(&cluster, "n1");
    assert_eq!(
        shown(&sections.options),
        "on-no-quorum=io-error quorum=majority"
    );
    assert_eq!(shown(&sections.net), "ping-int=7 protocol=C");
    assert_eq!(shown(&sections.disk), "c-max-rate=1000 on-io-error=detach");
    assert_eq!(shown(&sections.handlers), "quorum-lost=/bin/true");
    let old = options(&cluster, "n3");
    assert_eq!(
        (shown(&old.options).as_str(), shown(&old.handlers).as_str()),
        ("", "")
    );
    assert_eq!(shown(&old.net), "ping-int=7 protocol=C");
}

/// The automatically chosen algorithm is used unless a user has set one or disabled it.
#[test]
fn verify_algorithm() {
    let mut cluster = deployed();
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        prop::DRBD_AUTO_VERIFY_ALG,
        "crct10dif",
    );
    assert_eq!(shown(&options(&cluster, "n1").net), "verify-alg=crct10dif");
    set(
        &mut cluster.draft,
        Level::Controller,
        prop::DRBD_DISABLE_AUTO_VERIFY_ALGO,
        "True",
    );
    assert_eq!(shown(&options(&cluster, "n1").net), "");
    set(
        &mut cluster.draft,
        Level::ResourceGroup,
        "DrbdOptions/Net/verify-alg",
        "sha1",
    );
    assert_eq!(shown(&options(&cluster, "n1").net), "verify-alg=sha1");
}

/// If the controller manages a granularity, only its value counts.
#[test]
fn managed_granularity() {
    let mut cluster = deployed();
    set(
        &mut cluster.draft,
        Level::ResourceGroup,
        prop::DRBD_DISK_RS_DISCARD_GRANULARITY,
        "4096",
    );
    set(
        &mut cluster.draft,
        Level::ResourceGroup,
        "DrbdOptions/Disk/al-extents",
        "6007",
    );
    let volume = |cluster: &Cluster| {
        let definition = &cluster.draft.definitions[&resource("res")];
        let row = cluster
            .draft
            .resource(&resource("res"), &node("n1"))
            .unwrap();
        shown(&volume_disk_options(&cluster.draft, definition, 0, row))
    };
    assert_eq!(volume(&cluster), "al-extents=6007");
    assert_eq!(shown(&options(&cluster, "n1").disk), "al-extents=6007");
    set(
        &mut cluster.draft,
        Level::VolumeDefinition,
        prop::DRBD_DISK_RS_DISCARD_GRANULARITY,
        "65536",
    );
    assert_eq!(
        volume(&cluster),
        "al-extents=6007 rs-discard-granularity=65536"
    );
    set(
        &mut cluster.draft,
        Level::Controller,
        prop::DRBD_AUTO_RS_DISCARD_GRANULARITY,
        "false",
    );
    assert_eq!(
        shown(&options(&cluster, "n1").disk),
        "al-extents=6007 rs-discard-granularity=4096"
    );
}

/// A connection has options of its own only if the levels that count for it have other values.
#[test]
fn connections() {
    let mut cluster = deployed();
    set(
        &mut cluster.draft,
        Level::Controller,
        "DrbdOptions/Net/ping-int",
        "7",
    );
    let connection = |cluster: &Cluster| {
        let definition = &cluster.draft.definitions[&resource("res")];
        shown(&connection_options(&cluster.draft, definition, &node("n1"), &node("n2")).net)
    };
    assert_eq!(connection(&cluster), "");
    set(
        &mut cluster.draft,
        Level::Node,
        "DrbdOptions/Net/ping-int",
        "9",
    );
    assert_eq!(connection(&cluster), "ping-int=7");
    let rate = "DrbdOptions/PeerDevice/c-max-rate";
    set(&mut cluster.draft, Level::ResourceConnection, rate, "500");
    let definition = &cluster.draft.definitions[&resource("res")];
    let options = |peer: &str| {
        let (local, peer) = (node("n1"), node(peer));
        connection_options(&cluster.draft, definition, &local, &peer)
    };
    assert_eq!(shown(&options("n2").disk), "c-max-rate=500");
    assert_eq!(shown(&options("n3").disk), "", "another connection");
}

/// A path needs a net interface of both nodes; those of the connection of resources take precedence.
#[test]
fn paths_have_two_ends() {
    let mut cluster = deployed();
    let paths = |cluster: &Cluster| {
        let definition = &cluster.draft.definitions[&resource("res")];
        let paths = connection::paths(&cluster.draft, definition, &node("n2"), &node("n1"));
        let shown = paths
            .iter()
            .map(|path| format!("{}-{}", path.local, path.peer));
        shown.collect::<Vec<_>>().join(" ")
    };
    let first = cluster.draft.node(&node("n1")).unwrap().net_interfaces[0].clone();
    for (at, last) in [("n1", 1), ("n2", 2)] {
        let second = NetInterface {
            name: NetInterfaceName::parse("second").unwrap(),
            address: [10, 9, 9, last].into(),
            ..first.clone()
        };
        cluster
            .draft
            .edit_node(&node(at), |row| row.net_interfaces.push(second));
    }
    let draft = &mut cluster.draft;
    set(draft, Level::NodeConnection, "Paths/p/n1", "second");
    assert_eq!(paths(&cluster), "", "one end");
    set(
        &mut cluster.draft,
        Level::NodeConnection,
        "Paths/p/N2",
        "SECOND",
    );
    assert_eq!(paths(&cluster), "10.9.9.2-10.9.9.1");
    for (key, value) in [("Paths/a/n1", "second"), ("Paths/a/n2", "second")] {
        set(&mut cluster.draft, Level::ResourceConnection, key, value);
    }
    set(
        &mut cluster.draft,
        Level::ResourceConnection,
        "Paths/b/n1",
        "nosuch",
    );
    set(
        &mut cluster.draft,
        Level::ResourceConnection,
        "Paths/b/n2",
        "second",
    );
    assert_eq!(paths(&cluster), "10.9.9.2-10.9.9.1");
    connection::remove_resource(&mut cluster.draft, &resource("res"), &node("n1"));
    connection::remove_node(&mut cluster.draft, &node("n2"));
    assert_eq!(
        paths(&cluster),
        "",
        "connections end with their nodes and resources"
    );
}

/// The preferred interface, else the one named default, else the first.
#[test]
fn addresses() {
    let mut cluster = deployed();
    let address = |cluster: &Cluster| {
        let row = cluster
            .draft
            .resource(&resource("res"), &node("n1"))
            .unwrap();
        address_of(&cluster.draft, row).map(|address| address.to_string())
    };
    let nic = |name: &str, last: u8| NetInterface {
        name: NetInterfaceName::parse(name).unwrap(),
        uuid: uuid::Uuid::nil(),
        address: [10, 9, 9, last].into(),
        satellite_port: None,
        encryption: None,
        active: false,
    };
    cluster.draft.edit_node(&node("n1"), |row| {
        row.net_interfaces.insert(0, nic("data", 1));
        row.net_interfaces.push(nic("backup", 2));
    });
    assert_eq!(address(&cluster).unwrap(), "10.0.0.0");
    set(&mut cluster.draft, Level::Node, prop::PREF_NIC, "DATA");
    assert_eq!(address(&cluster).unwrap(), "10.9.9.1");
    set(
        &mut cluster.draft,
        Level::StoragePool,
        prop::PREF_NIC,
        "backup",
    );
    assert_eq!(address(&cluster).unwrap(), "10.9.9.2");
    set(
        &mut cluster.draft,
        Level::StoragePool,
        prop::PREF_NIC,
        "gone",
    );
    assert_eq!(address(&cluster).unwrap(), "10.0.0.0");
    cluster
        .draft
        .edit_node(&node("n1"), |row| drop(row.net_interfaces.remove(1)));
    assert_eq!(address(&cluster).unwrap(), "10.9.9.1");
    cluster
        .draft
        .edit_node(&node("n1"), |row| row.net_interfaces.clear());
    assert_eq!(address(&cluster), None);
}

/// A satellite gets only properties that it uses: no policies, no auxiliary properties, no secrets of the controller.
#[test]
fn what_satellites_get() {
    let mut cluster = deployed();
    for (level, key, value) in [
        (Level::Controller, "ExtCmd/WaitTimeout", "45000"),
        (Level::Controller, "encrypted/masterkey", "secret"),
        (Level::Controller, "Autoplacer/Weights/MaxFreeSpace", "1"),
        (Level::Controller, "DrbdOptions/Net/ping-int", "7"),
        (
            Level::Controller,
            "StorDriver/WaitTimeoutAfterCreate",
            "5000",
        ),
        (Level::Node, "Aux/rack", "7"),
        (Level::Node, "ExtCmd/WaitTimeout", "9000"),
        (Level::StoragePool, prop::STOR_DRIVER_STOR_POOL_NAME, "vg0"),
        (Level::StoragePool, "Aux/note", "x"),
        (
            Level::ResourceDefinition,
            prop::STOR_DRIVER_LVCREATE_OPTIONS,
            "--foo",
        ),
        (Level::ResourceDefinition, prop::FILE_SYSTEM_TYPE, "ext4"),
        (
            Level::ResourceDefinition,
            "sys/fs/blkio_throttle_read",
            "100",
        ),
    ] {
        set(&mut cluster.draft, level, key, value);
    }
    let model = &cluster.draft;
    let host = &model.nodes[&node("n1")];
    assert_eq!(
        shown(&satellite_props(model, host)),
        "ExtCmd/WaitTimeout=9000 StorDriver/WaitTimeoutAfterCreate=5000"
    );
    let row = model.pool(&node("n1"), &pool("sp1")).unwrap();
    assert_eq!(
        shown(&pool_props(model, row)),
        "StorDriver/StorPoolName=vg0 StorDriver/WaitTimeoutAfterCreate=5000"
    );
    let definition = &model.definitions[&resource("res")];
    let replica = model.resource(&resource("res"), &node("n1")).unwrap();
    assert_eq!(
        shown(&volume_storage_props(
            model,
            definition,
            0,
            replica,
            Some(row)
        )),
        "StorDriver/LvcreateOptions=--foo StorDriver/WaitTimeoutAfterCreate=5000 \
         sys/fs/blkio_throttle_read=100"
    );
}

/// The day-0 generation is read where it is written, and a stored `ForceInitialSync` does not change.
#[test]
fn first_generations() {
    let mut cluster = deployed();
    let volume =
        |cluster: &Cluster| day0_gi(&cluster.draft.definitions[&resource("res")].volumes[&0]);
    assert_eq!(volume(&cluster), "0000000000000000");
    set(
        &mut cluster.draft,
        Level::VolumeDefinition,
        prop::DRBD_CURRENT_GI,
        "A1B2C3D4E5F60718",
    );
    assert_eq!(volume(&cluster), "A1B2C3D4E5F60718");
    let forced =
        |cluster: &Cluster| force_initial_sync(&cluster.draft.definitions[&resource("res")]);
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        prop::DRBD_FORCE_INITIAL_SYNC,
        "true",
    );
    assert!(!forced(&cluster));
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        prop::DRBD_FORCE_INITIAL_SYNC_PERMANENT,
        "True",
    );
    assert!(forced(&cluster));
}

/// Every option in the table reaches the section of its kind from every level that may have it, and from the nearest one
/// its value.
#[test]
fn every_option_reaches_its_section() {
    use linstor_api::drbd_option::{self, Domain, Section};
    for option in drbd_option::ALL {
        let [near, far] = match option.domain {
            Domain::Boolean => ["yes".to_owned(), "no".to_owned()],
            Domain::Text => ["near".to_owned(), "far".to_owned()],
            Domain::OneOf(words) | Domain::NumberOr(_, _, words) => {
                [words[0].to_owned(), words[1].to_owned()]
            }
            Domain::Number(min, max) | Domain::Size(min, max, _) => {
                [max.to_string(), min.to_string()]
            }
        };
        let in_no_file = ["diskless", "resync-after"].contains(&option.name);
        let mut levels = vec![
            Level::Controller,
            Level::ResourceGroup,
            Level::ResourceDefinition,
        ];
        let of_volumes = option.section == Section::Disk || option.name == "bitmap";
        if of_volumes {
            levels.extend([Level::VolumeGroup, Level::VolumeDefinition, Level::Volume]);
        }
        for level in levels {
            let mut cluster = deployed();
            for switch in [
                prop::DRBD_AUTO_RS_DISCARD_GRANULARITY,
                prop::DRBD_AUTO_DISCARD_GRANULARITY,
            ] {
                set(&mut cluster.draft, Level::Controller, switch, "false");
            }
            if level != Level::Controller {
                set(&mut cluster.draft, Level::Controller, &option.key(), &far);
            }
            set(&mut cluster.draft, level, &option.key(), &near);
            let all = options(&cluster, "n1");
            let (name, on) = (resource("res"), node("n1"));
            let definition = &cluster.draft.definitions[&name];
            let row = cluster.draft.resource(&name, &on).unwrap();
            let of_volume = volume_disk_options(&cluster.draft, definition, 0, row);
            let section = match option.section {
                Section::Resource => &all.options,
                Section::Net => &all.net,
                Section::Disk | Section::PeerDevice if of_volumes => &of_volume,
                Section::Disk | Section::PeerDevice => &all.disk,
                Section::Handlers => &all.handlers,
            };
            let expected = (!in_no_file).then_some(&near);
            assert_eq!(
                section.get(option.name),
                expected,
                "{} at {level:?}",
                option.key()
            );
        }
    }
}

/// With an exact size DRBD gets the size of the volume definition.
#[test]
fn an_exact_size_is_written() {
    let mut cluster = deployed();
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        prop::DRBD_EXACT_SIZE,
        "true",
    );
    let definition = &cluster.draft.definitions[&resource("res")];
    for on in ["n1", "n3"] {
        let row = cluster.draft.resource(&resource("res"), &node(on)).unwrap();
        let disk = volume_disk_options(&cluster.draft, definition, 0, row);
        assert_eq!(
            disk["size"],
            format!("{}k", definition.volumes[&0].size_kib)
        );
    }
}

/// What DRBD's kernel refuses is found, and where each side of it comes from.
#[test]
fn options_that_exclude_each_other_are_found() {
    let two_primaries = "DrbdOptions/Net/allow-two-primaries";
    let found = |cluster: &Cluster| {
        let definition = &cluster.draft.definitions[&resource("res")];
        let scope = Scope::definition(definition);
        let levels = chain(&cluster.draft, Purpose::DrbdConnection, &scope);
        conflict::conflict(&levels).map(|found| (found.key, found.protocol_level))
    };
    let mut cluster = deployed();
    set(
        &mut cluster.draft,
        Level::ResourceGroup,
        two_primaries,
        "yes",
    );
    assert_eq!(found(&cluster), None);
    set(
        &mut cluster.draft,
        Level::Controller,
        conflict::PROTOCOL,
        "A",
    );
    assert_eq!(
        found(&cluster),
        Some((two_primaries, Some(Level::Controller)))
    );
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        conflict::PROTOCOL,
        "C",
    );
    assert_eq!(found(&cluster), None);
    let congestion = "DrbdOptions/Net/on-congestion";
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        congestion,
        "pull-ahead",
    );
    assert_eq!(
        found(&cluster),
        Some((congestion, Some(Level::ResourceDefinition)))
    );
    let fencing = "DrbdOptions/Net/fencing";
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        congestion,
        "block",
    );
    set(
        &mut cluster.draft,
        Level::ResourceDefinition,
        fencing,
        "resource-and-stonith",
    );
    assert_eq!(found(&cluster), None);
}
