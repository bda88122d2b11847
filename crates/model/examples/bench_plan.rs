//! Times planning in a large cluster: 1,000 nodes, 10,000 pools, 50,000 resources with three replicas each.
//!
//! `cargo run --release -p linstor-model --example bench_plan [resources]` prints the median and the 99th percentile of
//! each kind of plan in microseconds, as the clock on the wall has it and as the processor was busy with it. On a shared
//! machine the best round tells most.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use linstor_api::kind::{ConnectionStatus, DrbdKind, LayerKind, NodeType, ProviderKind};
use linstor_api::sorted_map::SortedMap;
use linstor_model::model::DEFAULT_GROUP;
use linstor_model::name::{NodeName, ResourceGroupName, ResourceName, StoragePoolName};
use linstor_model::observed::{NodeStatus, ObservedPool};
use linstor_model::place::{PlaceRequest, choose};
use linstor_model::quorum;
use linstor_model::resource::{NewResource, Seeds, new_resource};
use linstor_model::{
    DiskKind, DrbdDefinition, DrbdResource, Node, Resource, ResourceDefinition, ResourceGroup,
    SelectFilter, StoragePool, StoragePoolDefinition, Volume, VolumeDefinition,
};
use linstor_model::{Draft, Model, Observed, numbers};
use linstor_wire::Secret;
use linstor_wire::status::{DrbdInfo, NodeInfo, PoolStatus};
use uuid::Uuid;

const NODES: usize = 1_000;
const POOLS_PER_NODE: usize = 10;
const GIB: u64 = 1 << 20;

fn node_name(index: usize) -> NodeName {
    NodeName::parse(&format!("node-{index:04}.example.com")).expect("a valid name")
}

fn pool_name(index: usize) -> StoragePoolName {
    StoragePoolName::parse(&format!("pool{index}")).expect("a valid name")
}

fn resource_name(index: usize) -> ResourceName {
    ResourceName::parse(&format!("pvc-{index:08x}")).expect("a valid name")
}

fn definition(index: usize, minor: u32) -> ResourceDefinition {
    let volume = VolumeDefinition {
        uuid: Uuid::from_u128(index as u128),
        size_kib: 10 * GIB,
        gross_size: false,
        encrypted: false,
        props: SortedMap::new(),
        minor: Some(minor),
        implied_minor: false,
        first_copy_on: None,
        initialized: true,
        restored: false,
        luks: None,
        file_system_on: Default::default(),
        granularity_kib: 4096,
        device_kib: None,
        pinned: false,
    };
    ResourceDefinition {
        snapshots: Default::default(),
        backups: Default::default(),
        connections: Vec::new(),
        clone_failure: None,
        name: resource_name(index),
        external_name: None,
        uuid: Uuid::from_u128(index as u128),
        group: ResourceGroupName::parse(DEFAULT_GROUP).expect("a valid name"),
        layer_stack: vec![LayerKind::Drbd, LayerKind::Storage],
        props: SortedMap::new(),
        drbd: Some(DrbdDefinition {
            secret: Secret::new("0123456789abcdefghij"),
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

fn replica(definition: usize, node: usize, pool: usize, node_id: u32, port: u16) -> Resource {
    let volume = Volume {
        uuid: Uuid::nil(),
        pool: pool_name(pool),
        extra_storage: Default::default(),
        unit_kib: 0,
        props: SortedMap::new(),
        source: None,
    };
    Resource {
        node: node_name(node),
        name: resource_name(definition),
        uuid: Uuid::nil(),
        created_at: 0,
        layer_stack: vec![LayerKind::Drbd, LayerKind::Storage],
        props: SortedMap::new(),
        drbd: Some(DrbdResource {
            node_id,
            ports: vec![port],
            peer_slots: 7,
            disk: DiskKind::Diskful,
            never_votes: false,
        }),
        volumes: SortedMap::from([(0, volume)]),
        inactive: false,
        inactive_since: 0,
    }
}

fn add_node(draft: &mut Draft, observed: &mut Observed, index: usize) {
    let props = [
        ("Aux/zone".to_owned(), format!("zone{}", index % 3)),
        ("Aux/rack".to_owned(), format!("rack{}", index / 20)),
    ];
    draft.put_node(Node {
        name: node_name(index),
        uuid: Uuid::nil(),
        node_type: NodeType::Satellite,
        net_interfaces: Vec::new(),
        props: props.into_iter().collect(),
        connections: Vec::new(),
        evacuate: false,
        evacuate_to: Vec::new(),
        evacuate_not_to: Vec::new(),
        evicted: false,
        host: None,
    });
    let info = NodeInfo {
        drbd: Some(DrbdInfo {
            kind: DrbdKind::Drbd9,
            version: "9.2.18".into(),
            utils: "9.34.0".into(),
        }),
        layers: vec![LayerKind::Drbd, LayerKind::Storage],
        ..NodeInfo::default()
    };
    let status = NodeStatus {
        connection: ConnectionStatus::Online,
        since: 0,
        reason: None,
        info: Some(Arc::new(info)),
        version: None,
    };
    observed.nodes.insert(node_name(index), status);
    for pool in 0..POOLS_PER_NODE {
        draft.put_storage_pool(StoragePool {
            node: node_name(index),
            name: pool_name(pool),
            uuid: Uuid::nil(),
            kind: if pool % 2 == 0 {
                ProviderKind::LvmThin
            } else {
                ProviderKind::Lvm
            },
            props: SortedMap::new(),
            shared_name: None,
            external_locking: false,
            granularity_kib: Some(4096),
        });
    }
}

fn cluster(resources: usize) -> (Draft, Observed) {
    let mut draft = Draft::new(Model::empty(Uuid::nil()));
    let mut observed = Observed::default();
    draft.put_resource_group(ResourceGroup {
        name: ResourceGroupName::parse(DEFAULT_GROUP).expect("a valid name"),
        uuid: Uuid::nil(),
        description: None,
        filter: SelectFilter::default(),
        peer_slots: None,
        props: SortedMap::new(),
        volume_groups: SortedMap::new(),
    });
    for pool in 0..POOLS_PER_NODE {
        draft.put_storage_pool_definition(StoragePoolDefinition {
            name: pool_name(pool),
            uuid: Uuid::nil(),
            props: SortedMap::new(),
        });
    }
    for index in 0..NODES {
        add_node(&mut draft, &mut observed, index);
    }
    for index in 0..resources {
        draft.put_resource_definition(definition(index, 1000 + index as u32));
        for copy in 0..3 {
            let node = (index * 7 + copy * 331) % NODES;
            let port = 7000 + (index / NODES * 3 + copy) as u16;
            draft.put_resource(replica(
                index,
                node,
                index % POOLS_PER_NODE,
                copy as u32,
                port,
            ));
        }
    }
    for index in 0..NODES {
        for pool in 0..POOLS_PER_NODE {
            let key = (node_name(index), pool_name(pool));
            // As the controller does it: news are filed under the names that the rows have.
            let key = draft
                .pools
                .get_key_value(&key)
                .map_or(key, |(key, _)| key.clone());
            let reserved = draft.pool_use(&key.0, &key.1).reserved_kib;
            let total = 4096 * GIB;
            let status = PoolStatus {
                name: key.1.to_string(),
                // Every pool a little different, so that scores differ.
                free_kib: Some(total - reserved / 2 - (index * 37 + pool) as u64),
                total_kib: Some(total),
                granularity_kib: Some(4096),
                ..PoolStatus::default()
            };
            let seen = ObservedPool {
                status,
                at: 0,
                reserved_kib_then: reserved,
            };
            observed.pools.insert(key, seen);
        }
    }
    (draft, observed)
}

/// How long this thread has been on a processor; the kernel counts it to the nanosecond.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn time(what: &str, rounds: usize, mut plan: impl FnMut()) {
    let mut wall: Vec<Duration> = Vec::with_capacity(rounds);
    let mut cpu: Vec<Duration> = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let busy_before = busy();
        let started = Instant::now();
        plan();
        wall.push(started.elapsed());
        cpu.push(busy().saturating_sub(busy_before));
    }
    let show = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (median, p99) = (times[rounds / 2], times[rounds * 99 / 100]);
        format!(
            "best {:8.1} median {:8.1} p99 {:8.1}",
            micros(times[0]),
            micros(median),
            micros(p99)
        )
    };
    println!(
        "{what:38} wall {}   busy {}",
        show(&mut wall),
        show(&mut cpu)
    );
}

fn main() {
    let resources = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(48_000);
    let started = Instant::now();
    let (draft, observed) = cluster(resources);
    println!(
        "{NODES} nodes, {} pools, {} resources; built in {:.1} s",
        draft.pools.len(),
        draft.resources.len(),
        started.elapsed().as_secs_f64()
    );
    let next = definition(resources, 60_000);
    let three = SelectFilter {
        place_count: Some(3),
        ..SelectFilter::default()
    };
    let racks = SelectFilter {
        same: Some(vec!["Aux/zone".into()]),
        different: Some(vec!["Aux/rack".into()]),
        ..three.clone()
    };
    let pairs = SelectFilter {
        place_count: Some(5),
        x_different: Some(std::collections::BTreeMap::from([("Aux/rack".into(), 2)])),
        ..three.clone()
    };
    let apart = SelectFilter {
        not_place_with_regex: Some("00ab".into()),
        ..three.clone()
    };
    let too_many = SelectFilter {
        place_count: Some(1001),
        ..three.clone()
    };
    for (what, filter, rounds, possible) in [
        ("place 3", &three, 1000, true),
        ("place 3, same zone, different racks", &racks, 1000, true),
        ("place 5, two per rack", &pairs, 1000, true),
        ("place 3, not with a pattern", &apart, 100, true),
        ("refuse 1001, with the reasons", &too_many, 100, false),
    ] {
        time(what, rounds, || {
            let request = PlaceRequest::of_definition(&draft, &next, filter);
            let placement = choose(&draft, &observed, &request);
            assert_eq!(placement.is_ok(), possible);
            black_box(placement).ok();
        });
    }
    time("spawn: choose 3, make them, help", 500, || {
        let mut draft = Draft::new(Model::clone(&draft));
        draft.put_resource_definition(next.clone());
        let request = PlaceRequest::of_definition(&draft, &next, &three);
        let placement = choose(&draft, &observed, &request).expect("there is room");
        let mut uuid = || Uuid::from_u128(1);
        let mut seeds = Seeds {
            now_ms: 0,
            uuid: &mut uuid,
            fill: &mut |bytes| bytes.fill(7),
            master_key: None,
        };
        for chosen in placement.chosen {
            let new = NewResource {
                pool: Some(chosen.pool),
                ..NewResource::new(next.name.clone(), chosen.node, DiskKind::Diskful)
            };
            new_resource(&mut draft, &observed, &mut seeds, new).expect("it was placed");
        }
        black_box(quorum::settle(
            &mut draft, &observed, &next.name, &mut seeds,
        ));
    });
    let node = node_name(0);
    time("lowest free minor", 10_000, || {
        black_box(numbers::allocate_minor(&draft, &observed.foreign_minors())).ok();
    });
    time("port on a node", 10_000, || {
        black_box(numbers::allocate_port(
            &draft,
            &node,
            &next,
            &observed.unusable_ports(&node),
        ))
        .ok();
    });
}
