//! Clusters for tests, parsed from text.

use std::sync::Arc;

use linstor_api::kind::{ConnectionStatus, DrbdKind, LayerKind, NodeType, ProviderKind};
use linstor_api::sorted_map::SortedMap;
use linstor_wire::Secret;
use linstor_wire::status::{DrbdInfo, NodeInfo, PoolStatus};
use uuid::Uuid;

use super::*;
use crate::Draft;
use crate::model::DEFAULT_GROUP;
use crate::name::{NetInterfaceName, ResourceGroupName, ResourceName};
use crate::observed::{NodeStatus, ObservedPool};
use crate::{
    Controller, DiskKind, DrbdDefinition, DrbdResource, HostFacts, NetInterface, StoragePool,
    StoragePoolDefinition, Volume, VolumeDefinition,
};

pub(crate) const GIB: u64 = 1 << 20;

/// A cluster for a test.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) draft: Draft,
    pub(crate) observed: Observed,
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub(crate) fn pool(name: &str) -> StoragePoolName {
    StoragePoolName::parse(name).unwrap()
}

pub(crate) fn resource(name: &str) -> ResourceName {
    ResourceName::parse(name).unwrap()
}

/// Parses a size: `10` is in GiB, `10M` in MiB, `10T` in TiB.
fn size(text: &str) -> u64 {
    match text.strip_suffix('T') {
        Some(tera) => tera.parse::<u64>().unwrap() * 1024 * GIB,
        None => match text.strip_suffix('M') {
            Some(mega) => mega.parse::<u64>().unwrap() * 1024,
            None => text.parse::<u64>().unwrap() * GIB,
        },
    }
}

/// Parses nodes, one per line: `name key=value ... : pool free[/total] [KIND] [@shared], pool ...`.
///
/// Keys get the prefix `Aux/`. The flags are `offline`, `nodrbd`, `drbd84` and `drbd9.x.y`.
pub(crate) fn cluster(text: &str) -> Cluster {
    let mut draft = Draft::new(Model::empty(Uuid::nil()));
    draft.put_resource_group(crate::ResourceGroup {
        name: ResourceGroupName::parse(DEFAULT_GROUP).unwrap(),
        uuid: Uuid::nil(),
        description: None,
        filter: SelectFilter::default(),
        peer_slots: None,
        props: SortedMap::new(),
        volume_groups: SortedMap::new(),
    });
    let mut cluster = Cluster {
        draft,
        observed: Observed::default(),
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (head, pools) = line.split_once(':').unwrap_or((line, ""));
        let mut tokens = head.split_whitespace();
        let name = tokens.next().unwrap();
        cluster.add_node(name, tokens);
        cluster.add_pool(
            name,
            DEFAULT_DISKLESS_POOL,
            ProviderKind::Diskless,
            0,
            0,
            None,
        );
        for pool in pools
            .split(',')
            .map(str::trim)
            .filter(|pool| !pool.is_empty())
        {
            let mut kind = ProviderKind::Lvm;
            let mut shared = None;
            let mut tokens = pool.split_whitespace();
            let (pool, space) = (tokens.next().unwrap(), tokens.next().unwrap());
            for token in tokens {
                match token.strip_prefix('@') {
                    Some(name) => shared = Some(name),
                    None => kind = token.parse().unwrap(),
                }
            }
            let (free, total) = space.split_once('/').unwrap_or((space, space));
            cluster.add_pool(name, pool, kind, size(free), size(total), shared);
        }
    }
    cluster
}

impl Cluster {
    fn add_node<'a>(&mut self, name: &str, tokens: impl Iterator<Item = &'a str>) {
        let mut props = SortedMap::new();
        let mut connection = ConnectionStatus::Online;
        let mut layers = vec![LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage];
        let mut drbd = Some((DrbdKind::Drbd9, "9.2.18"));
        for token in tokens {
            if let Some((key, value)) = token.split_once('=') {
                props.insert(format!("Aux/{key}"), value.to_owned());
            } else if let Some(version) = token.strip_prefix("drbd9") {
                let version = &token[token.len() - version.len() - 1..];
                drbd = Some((DrbdKind::Drbd9, version));
            } else {
                match token {
                    "offline" => connection = ConnectionStatus::Offline,
                    "drbd84" => drbd = Some((DrbdKind::Drbd84, "8.4.11")),
                    "nodrbd" => {
                        drbd = None;
                        layers.remove(0);
                    }
                    flag => panic!("unknown flag {flag}"),
                }
            }
        }
        self.draft.put_node(Node {
            name: node(name),
            uuid: Uuid::nil(),
            node_type: NodeType::Satellite,
            net_interfaces: vec![NetInterface {
                name: NetInterfaceName::parse("default").unwrap(),
                uuid: Uuid::nil(),
                address: [10, 0, 0, self.draft.nodes.len() as u8].into(),
                satellite_port: Some(3366),
                encryption: None,
                active: true,
            }],
            props,
            connections: Vec::new(),
            evacuate: false,
            evacuate_to: Vec::new(),
            evacuate_not_to: Vec::new(),
            evicted: false,
            host: Some(HostFacts {
                uname: name.to_owned(),
                providers: Vec::new(),
                layers: Vec::new(),
                drbd: drbd.map(|drbd| drbd.0),
                drbd_version: drbd.map(|drbd| drbd.1.to_owned()),
                digests: Default::default(),
            }),
        });
        let info = NodeInfo {
            uname: name.to_owned(),
            drbd: drbd.map(|(kind, version)| DrbdInfo {
                kind,
                version: version.to_owned(),
                utils: "9.34.0".to_owned(),
            }),
            layers,
            providers: ProviderKind::ALL.to_vec(),
            ..NodeInfo::default()
        };
        self.observed.nodes.insert(
            node(name),
            NodeStatus {
                connection,
                since: 0,
                reason: None,
                info: Some(Arc::new(info)),
                version: None,
            },
        );
    }

    fn add_pool(
        &mut self,
        on: &str,
        name: &str,
        kind: ProviderKind,
        free_kib: u64,
        total_kib: u64,
        shared: Option<&str>,
    ) {
        self.draft
            .put_storage_pool_definition(StoragePoolDefinition {
                name: pool(name),
                uuid: Uuid::nil(),
                props: SortedMap::new(),
            });
        self.draft.put_storage_pool(StoragePool {
            node: node(on),
            name: pool(name),
            uuid: Uuid::nil(),
            kind,
            props: SortedMap::new(),
            shared_name: shared.map(str::to_owned),
            external_locking: false,
            granularity_kib: None,
        });
        self.observed.pools.insert(
            (node(on), pool(name)),
            ObservedPool {
                status: PoolStatus {
                    name: name.to_owned(),
                    free_kib: Some(free_kib),
                    total_kib: Some(total_kib),
                    granularity_kib: None,
                    ..PoolStatus::default()
                },
                at: 0,
                reserved_kib_then: 0,
            },
        );
    }

    /// Adds a definition with volumes of these sizes in GiB.
    pub(crate) fn define(&mut self, name: &str, sizes_gib: &[u64]) -> &mut Self {
        let volumes = sizes_gib.iter().enumerate().map(|(number, gib)| {
            let volume = VolumeDefinition {
                uuid: Uuid::nil(),
                size_kib: gib * GIB,
                gross_size: false,
                encrypted: false,
                props: SortedMap::new(),
                minor: Some(1000 + self.draft.definitions.len() as u32 * 10 + number as u32),
                implied_minor: false,
                first_copy_on: None,
                initialized: false,
                restored: false,
                luks: None,
                file_system_on: Default::default(),
                granularity_kib: 0,
                device_kib: None,
                pinned: false,
            };
            (number as u32, volume)
        });
        let row = ResourceDefinition {
            snapshots: Default::default(),
            backups: Default::default(),
            connections: Vec::new(),
            clone_failure: None,
            name: resource(name),
            external_name: None,
            uuid: Uuid::nil(),
            group: ResourceGroupName::parse(DEFAULT_GROUP).unwrap(),
            layer_stack: vec![LayerKind::Drbd, LayerKind::Storage],
            props: SortedMap::new(),
            drbd: Some(DrbdDefinition {
                secret: Secret::new("secret"),
                peer_slots: 7,
                al_stripes: 1,
                al_stripe_kib: 32,
                transport: "TCP".into(),
                wished_port: None,
                implied: false,
            }),
            volumes: volumes.collect(),
        };
        self.draft.put_resource_definition(row);
        self
    }

    /// Adds replicas. Their sizes are subtracted from the reported free space, as if the nodes had reported since.
    pub(crate) fn put(&mut self, name: &str, pool_name: &str, nodes: &[&str]) -> &mut Self {
        for on in nodes {
            self.put_replica(name, pool_name, on, DiskKind::Diskful);
        }
        self
    }

    pub(crate) fn put_replica(&mut self, name: &str, pool_name: &str, on: &str, disk: DiskKind) {
        let definition = Arc::clone(&self.draft.definitions[&resource(name)]);
        let volumes = definition.volumes.keys().map(|number| {
            let volume = Volume {
                uuid: Uuid::nil(),
                pool: pool(pool_name),
                extra_storage: Default::default(),
                unit_kib: 0,
                props: SortedMap::new(),
                source: None,
            };
            (*number, volume)
        });
        let key = (node(on), pool(pool_name));
        let before = self.draft.pool_use(&key.0, &key.1).reserved_kib;
        self.draft.put_resource(Resource {
            node: node(on),
            name: resource(name),
            uuid: Uuid::nil(),
            created_at: 0,
            layer_stack: vec![LayerKind::Drbd, LayerKind::Storage],
            props: SortedMap::new(),
            drbd: Some(DrbdResource {
                node_id: crate::numbers::allocate_node_id(&self.draft, &resource(name)).unwrap(),
                ports: vec![7000 + self.draft.definitions.len() as u16],
                peer_slots: 7,
                disk,
                never_votes: false,
            }),
            volumes: volumes.collect(),
            inactive: false,
            inactive_since: 0,
        });
        let after = self.draft.pool_use(&key.0, &key.1).reserved_kib;
        if let Some(seen) = self.observed.pools.get_mut(&key) {
            seen.reserved_kib_then = after;
            seen.status.free_kib = seen
                .status
                .free_kib
                .map(|free| free.saturating_sub(after - before));
        }
    }

    /// Sets a property of the controller.
    pub(crate) fn controller_prop(&mut self, key: &str, value: &str) -> &mut Self {
        let mut row = Controller::clone(&self.draft.controller);
        row.props.insert(key.into(), value.into());
        self.draft.put_controller(row);
        self
    }

    /// Sets a property of a definition.
    pub(crate) fn prop(&mut self, name: &str, key: &str, value: &str) -> &mut Self {
        self.draft.edit_resource_definition(&resource(name), |row| {
            row.props.insert(key.into(), value.into());
        });
        self
    }

    /// Places replicas and returns the result as text: `node:pool ...`, or the number of the code.
    pub(crate) fn place(&self, name: &str, filter: &SelectFilter) -> String {
        match self.try_place(name, filter) {
            Ok(placement) if placement.chosen.is_empty() => {
                let code = placement.replies[0].ret_code & code::MASK_BITS_CODE;
                format!("{code}")
            }
            Ok(placement) => {
                let chosen = placement.chosen.iter();
                let shown: Vec<String> = chosen
                    .map(|chosen| format!("{}:{}", chosen.node, chosen.pool))
                    .collect();
                shown.join(" ")
            }
            Err(replies) => format!("{}", replies[0].ret_code & code::MASK_BITS_CODE),
        }
    }

    pub(crate) fn try_place(
        &self,
        name: &str,
        filter: &SelectFilter,
    ) -> Result<Placement, Vec<Reply>> {
        let definition = &self.draft.definitions[&resource(name)];
        let request = PlaceRequest::of_definition(&self.draft, definition, filter);
        choose(&self.draft, &self.observed, &request)
    }

    /// Places and creates the replicas.
    pub(crate) fn deploy(&mut self, name: &str, filter: &SelectFilter) -> String {
        let placement = self.try_place(name, filter).unwrap();
        for chosen in &placement.chosen {
            let (pool, on) = (chosen.pool.to_string(), chosen.node.to_string());
            self.put_replica(name, &pool, &on, DiskKind::Diskful);
        }
        let nodes: Vec<&str> = placement.chosen.iter().map(|c| c.node.as_str()).collect();
        nodes.join(" ")
    }
}

/// A filter for a number of replicas.
pub(crate) fn count(replicas: u32) -> SelectFilter {
    SelectFilter {
        place_count: Some(replicas),
        ..SelectFilter::default()
    }
}

/// Changes a filter.
pub(crate) trait Change: Sized {
    fn same(self, keys: &[&str]) -> Self;
    fn different(self, keys: &[&str]) -> Self;
    fn x_different(self, key: &str, max: u32) -> Self;
    fn pools(self, names: &[&str]) -> Self;
    fn not_with(self, names: &[&str]) -> Self;
    fn not_with_regex(self, regex: &str) -> Self;
}

impl Change for SelectFilter {
    fn same(mut self, keys: &[&str]) -> Self {
        self.same = Some(keys.iter().map(|key| format!("Aux/{key}")).collect());
        self
    }

    fn different(mut self, keys: &[&str]) -> Self {
        self.different = Some(keys.iter().map(|key| format!("Aux/{key}")).collect());
        self
    }

    fn x_different(mut self, key: &str, max: u32) -> Self {
        let map = self.x_different.get_or_insert_default();
        map.insert(format!("Aux/{key}"), max);
        self
    }

    fn pools(mut self, names: &[&str]) -> Self {
        self.pools = Some(names.iter().map(|name| pool(name)).collect());
        self
    }

    fn not_with(mut self, names: &[&str]) -> Self {
        self.not_place_with = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    fn not_with_regex(mut self, regex: &str) -> Self {
        self.not_place_with_regex = Some(regex.to_owned());
        self
    }
}
