//! Placement alone: the pure function, without HTTP or store.

use std::sync::Arc;
use std::time::Instant;

use linstor_api::kind::{ConnectionStatus, DrbdKind, LayerKind, NodeType, ProviderKind};
use linstor_model::name::{NodeName, ResourceGroupName, StoragePoolName};
use linstor_model::observed::{NodeStatus, ObservedPool};
use linstor_model::place::{self, PlaceRequest};
use linstor_model::{Draft, Model, Observed};
use linstor_model::{Node, Props, ResourceGroup, SelectFilter, StoragePool, StoragePoolDefinition};
use linstor_wire::status::{DrbdInfo, NodeInfo, PoolStatus};

use crate::figure::{Figure, Goal, Samples};

const NODES: usize = 1_000;
const POOLS_PER_NODE: usize = 10;
const ROUNDS: usize = 300;

/// How long choosing three of 10,000 pools on 1,000 nodes takes.
pub fn figure() -> anyhow::Result<Figure> {
    let (model, observed) = cluster()?;
    let group = ResourceGroup {
        name: ResourceGroupName::parse("bench")?,
        uuid: Default::default(),
        description: None,
        filter: SelectFilter {
            place_count: Some(3),
            ..SelectFilter::default()
        },
        peer_slots: None,
        props: Props::new(),
        volume_groups: Default::default(),
    };
    let mut samples = Vec::new();
    for round in 0..ROUNDS {
        let mut request = PlaceRequest::of_group(&group, &group.filter);
        request.needed_kib = 1 << (10 + round % 10);
        let begin = Instant::now();
        let placement = place::choose(&model, &observed, &request)
            .map_err(|replies| anyhow::anyhow!("not placed: {replies:?}"))?;
        samples.push(begin.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(
            placement.chosen.len() == 3,
            "{} replicas instead of 3",
            placement.chosen.len()
        );
    }
    let samples = Samples::new(samples);
    Ok(Figure::new(
        "autoplace, 1,000 nodes, 10,000 pools, p99",
        samples.percentile(99.0),
        "ms",
        Goal::AtMost(1.0),
        format!(
            "{} ms; p50 is {:.1} times reading the rows of all pools",
            samples.summary(),
            samples.percentile(50.0) / reading_ms(&model)
        ),
    ))
}

/// How long it takes to read every pool's row once, in milliseconds: what no choice among all of them can be faster than.
fn reading_ms(model: &Model) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let begin = Instant::now();
        let rows = model.pools.values();
        std::hint::black_box(rows.filter(|row| row.kind.is_thin()).count());
        begin.elapsed().as_secs_f64() * 1e3
    });
    Samples::new(rounds.collect()).percentile(50.0)
}

fn cluster() -> anyhow::Result<(Model, Observed)> {
    let mut draft = Draft::new(Model::empty(Default::default()));
    let mut observed = Observed::default();
    let info = Arc::new(NodeInfo {
        uname: "node".into(),
        kernel: String::new(),
        drbd: Some(DrbdInfo {
            kind: DrbdKind::Drbd9,
            version: "9.2.18".into(),
            utils: "9.22.0".into(),
        }),
        layers: vec![LayerKind::Drbd, LayerKind::Storage],
        providers: vec![ProviderKind::LvmThin],
        ..NodeInfo::default()
    });
    for pool in 0..POOLS_PER_NODE {
        let name = StoragePoolName::parse(&format!("pool{pool}"))?;
        draft.put_storage_pool_definition(StoragePoolDefinition {
            name,
            uuid: Default::default(),
            props: Props::new(),
        });
    }
    for index in 0..NODES {
        let node = NodeName::parse(&format!("node{index:04}"))?;
        draft.put_node(Node {
            name: node.clone(),
            uuid: Default::default(),
            node_type: NodeType::Satellite,
            net_interfaces: Vec::new(),
            props: Props::new(),
            connections: Vec::new(),
            evacuate: false,
            evacuate_to: Vec::new(),
            evacuate_not_to: Vec::new(),
            evicted: false,
            host: None,
        });
        let status = NodeStatus {
            connection: ConnectionStatus::Online,
            since: 0,
            reason: None,
            info: Some(info.clone()),
            version: None,
        };
        observed.nodes.insert(node.clone(), status);
        for pool in 0..POOLS_PER_NODE {
            let name = StoragePoolName::parse(&format!("pool{pool}"))?;
            draft.put_storage_pool(StoragePool {
                node: node.clone(),
                name: name.clone(),
                uuid: Default::default(),
                kind: ProviderKind::LvmThin,
                props: Props::new(),
                shared_name: None,
                external_locking: false,
                granularity_kib: Some(64),
            });
            // Every pool has another amount of free space, so that there is something to choose.
            let free = (1 << 30) + ((index * 7919 + pool * 104_729) % 100_003) as u64 * 1024;
            let status = PoolStatus {
                name: name.to_string(),
                free_kib: Some(free),
                total_kib: Some(2 << 30),
                granularity_kib: Some(64),
                ..PoolStatus::default()
            };
            let seen = ObservedPool {
                status,
                at: 0,
                reserved_kib_then: 0,
            };
            observed.pools.insert((node.clone(), name), seen);
        }
    }
    Ok((draft.into_model(), observed))
}
