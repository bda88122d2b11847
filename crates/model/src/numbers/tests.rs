use std::sync::Arc;

use linstor_wire::Secret;
use proptest::prelude::{any, proptest};
use proptest::prop_assert_eq;
use uuid::Uuid;

use super::*;
use crate::Draft;
use crate::name::ResourceGroupName;
use crate::{DiskKind, DrbdDefinition, DrbdResource, Node, Resource, VolumeDefinition};
use linstor_api::prop;
use linstor_api::sorted_map::SortedMap;

fn ranges(text: &str) -> Ranges {
    Ranges::parse(text, &TCP_PORTS).unwrap()
}

/// Ranges are printed sorted and merged; invalid text is refused with a reason.
#[test]
fn ranges_are_normalised() {
    for (given, stored) in [
        ("5", "5"),
        ("5-10", "5-10"),
        ("5-5", "5"),
        (" 5 - 10 ", "5-10"),
        ("20-30,5-10", "5-10,20-30"),
        ("5-10,11-12", "5-12"),
        ("5-10,7-8", "5-10"),
        ("5-10, 8-20 ,30", "5-20,30"),
        ("1-65535", "1-65535"),
    ] {
        assert_eq!(ranges(given).to_string(), stored, "{given}");
    }
    for bad in [
        "",
        ",",
        "5,",
        "a",
        "5-",
        "-5",
        "10-5",
        "5-6-7",
        "0",
        "65536",
        "1-65536",
        "5 6",
        "+5",
        "99999999999",
    ] {
        assert!(Ranges::parse(bad, &TCP_PORTS).is_err(), "{bad}");
    }
}

/// The lowest number that is free and not blocked, across the ends of ranges.
#[test]
fn the_lowest_free_number_is_found() {
    let mut used = Used::default();
    for number in [10, 11, 12, 20, 21] {
        used.insert(number);
    }
    let free = |range: &str, blocked: &str| {
        let blocked = match blocked {
            "" => Ranges::default(),
            text => ranges(text),
        };
        ranges(range).lowest_free(&used, &blocked)
    };
    assert_eq!(free("10-15", ""), Some(13));
    assert_eq!(free("10-15", "13-14"), Some(15));
    assert_eq!(free("10-12,20-25", ""), Some(22));
    assert_eq!(free("10-12,20-25", "22-25"), None);
    assert_eq!(free("10-12", ""), None);
    assert_eq!(free("9", "9"), None);
    assert_eq!(free("9-30", "9,13-19"), Some(22));
    assert_eq!(used.count_within(&ranges("11-20")), 3);
    assert_eq!(used.count_within(&ranges("1-9,30")), 0);
}

proptest! {
    /// Runs behave like a set of numbers.
    #[test]
    fn runs_are_a_set(steps in proptest::collection::vec((any::<bool>(), 0_u32..40), 0..200)) {
        let mut runs = Used::default();
        let mut set = std::collections::BTreeSet::new();
        for (add, number) in steps {
            if add {
                runs.insert(number);
                set.insert(number);
            } else {
                runs.remove(number);
                set.remove(&number);
            }
            for number in 0..41 {
                prop_assert_eq!(runs.contains(number), set.contains(&number));
                let free = (number..).find(|candidate| !set.contains(candidate)).unwrap();
                prop_assert_eq!(runs.next_free(number), free);
            }
            let all = Ranges::parse("1-40", &(0..=100)).unwrap();
            prop_assert_eq!(runs.count_within(&all), set.range(1..).count() as u64);
        }
    }

    /// Text is either refused or parsed to ranges that print and parse to the same.
    #[test]
    fn ranges_read_back(text in "[0-9, -]{0,20}") {
        if let Ok(ranges) = Ranges::parse(&text, &TCP_PORTS) {
            prop_assert_eq!(Ranges::parse(&ranges.to_string(), &TCP_PORTS).unwrap(), ranges);
        }
    }
}

fn definition(name: &str, minor: Option<u32>) -> ResourceDefinition {
    let volume = VolumeDefinition {
        uuid: Uuid::nil(),
        size_kib: 1024,
        gross_size: false,
        encrypted: false,
        props: SortedMap::new(),
        minor,
        implied_minor: false,
        first_copy_on: None,
        initialized: true,
        restored: false,
        luks: None,
        file_system_on: Default::default(),
        granularity_kib: 0,
        device_kib: None,
        pinned: false,
    };
    ResourceDefinition {
        snapshots: Default::default(),
        backups: Default::default(),
        connections: Vec::new(),
        clone_failure: None,
        name: ResourceName::parse(name).unwrap(),
        external_name: None,
        uuid: Uuid::nil(),
        group: ResourceGroupName::parse("DfltRscGrp").unwrap(),
        layer_stack: vec![],
        props: SortedMap::new(),
        drbd: Some(DrbdDefinition {
            secret: Secret::new("x"),
            peer_slots: 7,
            al_stripes: 1,
            al_stripe_kib: 32,
            transport: "TCP".into(),
            wished_port: None,
            implied: false,
        }),
        volumes: SortedMap::from([(0, volume)]),
    }
}

fn resource(name: &str, node: &str, node_id: u32, port: u16) -> Resource {
    Resource {
        node: node_name(node),
        name: ResourceName::parse(name).unwrap(),
        uuid: Uuid::nil(),
        created_at: 0,
        layer_stack: vec![],
        props: SortedMap::new(),
        drbd: Some(DrbdResource {
            node_id,
            ports: vec![port],
            peer_slots: 7,
            disk: DiskKind::Diskful,
            never_votes: false,
        }),
        volumes: SortedMap::new(),
        inactive: false,
        inactive_since: 0,
    }
}

fn node_name(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn add_node(draft: &mut Draft, name: &str, props: &[(&str, &str)]) {
    draft.put_node(Node {
        name: node_name(name),
        uuid: Uuid::nil(),
        node_type: linstor_api::kind::NodeType::Satellite,
        net_interfaces: vec![],
        props: props
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        connections: Vec::new(),
        evacuate: false,
        evacuate_to: Vec::new(),
        evacuate_not_to: Vec::new(),
        evicted: false,
        host: None,
    });
}

fn with_controller_prop(draft: &mut Draft, key: &str, value: &str) {
    let mut row = crate::Controller::clone(&draft.controller);
    row.props.insert(key.into(), value.into());
    draft.put_controller(row);
}

/// A port is the preferred one, else a peer's, else the lowest free one that is not blocked.
#[test]
fn ports_are_shared_with_peers_where_possible() {
    let mut draft = Draft::new(Model::empty(Uuid::nil()));
    for node in ["n1", "n2", "n3"] {
        add_node(&mut draft, node, &[]);
    }
    let mut first = definition("res1", Some(1000));
    draft.put_resource_definition(first.clone());
    draft.put_resource_definition(definition("res2", Some(1001)));
    assert_eq!(
        allocate_port(&draft, &node_name("n1"), &first, &BTreeSet::new()),
        Ok(7000)
    );
    draft.put_resource(resource("res2", "n1", 0, 7000));
    assert_eq!(
        allocate_port(&draft, &node_name("n1"), &first, &BTreeSet::new()),
        Ok(7001)
    );
    draft.put_resource(resource("res1", "n1", 0, 7001));
    // n2 has 7000 free, but the peer uses 7001.
    assert_eq!(
        allocate_port(&draft, &node_name("n2"), &first, &BTreeSet::new()),
        Ok(7001)
    );
    draft.put_resource(resource("res2", "n2", 1, 7001));
    assert_eq!(
        allocate_port(&draft, &node_name("n2"), &first, &BTreeSet::new()),
        Ok(7000)
    );
    first.drbd.as_mut().unwrap().wished_port = Some(9000);
    assert_eq!(
        allocate_port(&draft, &node_name("n2"), &first, &BTreeSet::new()),
        Ok(9000)
    );
    add_node(
        &mut draft,
        "n2",
        &[(prop::TCP_PORTS_BLOCKED, "7000-7001,9000")],
    );
    assert_eq!(
        allocate_port(&draft, &node_name("n2"), &first, &BTreeSet::new()),
        Ok(7002)
    );
    let reply = check_port(&draft, &node_name("n2"), &first.name, 9000)
        .unwrap_err()
        .remove(0);
    assert!(reply.cause.unwrap().contains("7000-7001,9000"));
    let taken = check_port(&draft, &node_name("n2"), &first.name, 7001)
        .unwrap_err()
        .remove(0);
    assert_eq!(taken.ret_code, code::FAIL_INVLD_RSC_PORT);
    assert!(taken.cause.unwrap().contains("res2"));
    assert_eq!(
        check_port(&draft, &node_name("n2"), &first.name, 443),
        Ok(443)
    );
    assert!(check_port(&draft, &node_name("n2"), &first.name, 0).is_err());
}

/// The reply for an exhausted range has the range, the number of used ones, and the property that widens it.
#[test]
fn exhaustion_says_what_to_do() {
    let mut draft = Draft::new(Model::empty(Uuid::nil()));
    add_node(&mut draft, "n1", &[(prop::TCP_PORT_AUTO_RANGE, "7000")]);
    with_controller_prop(&mut draft, prop::MINOR_NR_AUTO_RANGE, "5-6");
    for (index, name) in ["res1", "res2"].into_iter().enumerate() {
        let minor = allocate_minor(&draft, &Ranges::default()).unwrap();
        assert_eq!(minor, 5 + index as u32);
        draft.put_resource_definition(definition(name, Some(minor)));
    }
    let reply = allocate_minor(&draft, &Ranges::default())
        .unwrap_err()
        .remove(0);
    assert_eq!(reply.ret_code, code::FAIL_POOL_EXHAUSTED_MINOR_NR);
    assert!(reply.cause.unwrap().contains("2 of the 2 numbers in 5-6"));
    assert!(reply.correction.unwrap().contains("MinorNrAutoRange"));

    draft.put_resource(resource("res1", "n1", 0, 7000));
    let other = Arc::clone(&draft.definitions[&ResourceName::parse("res2").unwrap()]);
    let reply = allocate_port(&draft, &node_name("n1"), &other, &BTreeSet::new())
        .unwrap_err()
        .remove(0);
    assert_eq!(reply.ret_code, code::FAIL_POOL_EXHAUSTED_TCP_PORT);
    assert!(reply.message.contains("n1"));

    for id in 1..32 {
        let node = format!("m{id}");
        add_node(&mut draft, &node, &[]);
        draft.put_resource(resource("res1", &node, id, 7000));
    }
    let name = ResourceName::parse("res1").unwrap();
    let reply = allocate_node_id(&draft, &name).unwrap_err().remove(0);
    assert_eq!(reply.ret_code, code::FAIL_POOL_EXHAUSTED_NODE_ID);
}

/// Numbers are free again when their rows are deleted, and requested ones are checked.
#[test]
fn numbers_come_back() {
    let mut draft = Draft::new(Model::empty(Uuid::nil()));
    for name in ["res1", "res2", "res3"] {
        let minor = allocate_minor(&draft, &Ranges::default()).unwrap();
        draft.put_resource_definition(definition(name, Some(minor)));
    }
    let second = ResourceName::parse("res2").unwrap();
    assert!(check_minor(&draft, 1001).is_err());
    draft.remove(&crate::model::RowKey::ResourceDefinition(second.clone()));
    assert_eq!(check_minor(&draft, 1001), Ok(1001));
    assert_eq!(allocate_minor(&draft, &Ranges::default()), Ok(1001));
    assert_eq!(
        check_minor(&draft, 1 << 20).unwrap_err()[0].ret_code,
        code::FAIL_INVLD_MINOR_NR
    );
    assert_eq!(check_minor(&draft, 500_000), Ok(500_000));
    assert!(check_minor(&draft, -1).is_err());

    add_node(&mut draft, "n1", &[]);
    add_node(&mut draft, "n2", &[]);
    draft.put_resource(resource("res1", "n2", 1, 7000));
    let name = ResourceName::parse("res1").unwrap();
    assert_eq!(allocate_node_id(&draft, &name), Ok(0));
    assert!(check_node_id(&draft, &name, 1).is_err() && check_node_id(&draft, &name, 32).is_err());
    assert_eq!(check_node_id(&draft, &name, 31), Ok(31));

    let mut row = definition("res9", None);
    assert_eq!(allocate_volume_number(&row), Ok(1));
    let volume = row.volumes.remove(&0).unwrap();
    assert_eq!(allocate_volume_number(&row), Ok(0));
    row.volumes.insert(1, volume);
    assert_eq!(allocate_volume_number(&row), Ok(0));
}

/// Assigning a number visits runs, not numbers: a full range costs as much as an empty one.
#[test]
fn allocation_steps_over_runs() {
    let mut draft = Draft::new(Model::empty(Uuid::nil()));
    add_node(&mut draft, "n1", &[]);
    for index in 0..999_u32 {
        let name = format!("res{index}");
        draft.put_resource_definition(definition(&name, Some(1000 + index)));
        draft.put_resource(resource(&name, "n1", 0, 7000 + index as u16));
    }
    assert_eq!(draft.used_minors, Used(OrdMap::unit(1000, 1998)));
    let ports = &draft.used_ports[&node_name("n1")];
    assert_eq!(*ports, Used(OrdMap::unit(7000, 7998)));
    assert_eq!(allocate_minor(&draft, &Ranges::default()), Ok(1999));
    let last = Arc::clone(&draft.definitions[&ResourceName::parse("res0").unwrap()]);
    assert_eq!(
        allocate_port(&draft, &node_name("n1"), &last, &BTreeSet::new()),
        Ok(7999)
    );
}
