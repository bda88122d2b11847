//! The model: all rows, and the indexes that follow from them.
//!
//! Persistent maps: a clone is a pointer, so that readers keep the snapshot they started with while the one writer goes
//! on. Rows are shared by [`Arc`]; only [`crate::Draft`] replaces them.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use linstor_api::kind::NodeType;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::held;
use crate::name::{KeyValueStoreName, NodeName, ResourceGroupName, ResourceName, StoragePoolName};
use crate::numbers::Used;
use crate::unknown::{self, Unknown};
use crate::{
    Controller, Epoch, Held, KeyValueStore, Node, Props, Resource, ResourceDefinition,
    ResourceGroup, StoragePool, StoragePoolDefinition,
};

/// Name of the group that definitions without a group belong to.
pub const DEFAULT_GROUP: &str = "DfltRscGrp";
/// Name of the pool that is used when nothing names one.
pub const DEFAULT_POOL: &str = "DfltStorPool";
/// Name of the pool of diskless resources; every node with a satellite has it.
pub const DEFAULT_DISKLESS_POOL: &str = "DfltDisklessStorPool";

/// What identifies a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKey {
    /// The controller's own row.
    Controller,
    /// The epoch.
    Epoch,
    /// A node.
    Node(NodeName),
    /// A storage pool definition.
    StoragePoolDefinition(StoragePoolName),
    /// A storage pool.
    StoragePool(NodeName, StoragePoolName),
    /// A resource group.
    ResourceGroup(ResourceGroupName),
    /// A resource definition with its volume definitions.
    ResourceDefinition(ResourceName),
    /// A resource with its volumes.
    Resource(ResourceName, NodeName),
    /// A key-value store instance.
    KeyValueStore(KeyValueStoreName),
}

impl RowKey {
    /// The kind as stored.
    pub const fn kind(&self) -> &'static str {
        match self {
            RowKey::Controller => "controller",
            RowKey::Epoch => "epoch",
            RowKey::Node(_) => "node",
            RowKey::StoragePoolDefinition(_) => "storage_pool_definition",
            RowKey::StoragePool(..) => "storage_pool",
            RowKey::ResourceGroup(_) => "resource_group",
            RowKey::ResourceDefinition(_) => "resource_definition",
            RowKey::Resource(..) => "resource",
            RowKey::KeyValueStore(_) => "key_value_store",
        }
    }

    /// The key as stored: upper-case, parts joined by `/`, which no name contains.
    pub fn key(&self) -> String {
        let text = match self {
            RowKey::Controller | RowKey::Epoch => String::new(),
            RowKey::Node(node) => node.to_string(),
            RowKey::StoragePoolDefinition(pool) => pool.to_string(),
            RowKey::StoragePool(node, pool) => format!("{node}/{pool}"),
            RowKey::ResourceGroup(group) => group.to_string(),
            RowKey::ResourceDefinition(name) => name.to_string(),
            RowKey::Resource(name, node) => format!("{name}/{node}"),
            RowKey::KeyValueStore(name) => name.to_string(),
        };
        text.to_ascii_uppercase()
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.key())
    }
}

/// A stored row as the store returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// See [`RowKey::kind`].
    pub kind: String,
    /// See [`RowKey::key`].
    pub key: String,
    /// The row's JSON.
    pub json: String,
}

/// What is reserved in a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolUse {
    /// How many volumes are in it.
    pub volumes: u32,
    /// How much they may grow to, in KiB.
    pub reserved_kib: u64,
}

/// All rows and their indexes.
#[derive(Debug, Clone)]
pub struct Model {
    /// Number of the commit that made it; grows by one per batch.
    pub generation: u64,
    /// The controller's own row.
    pub controller: Arc<Controller>,
    /// The epoch.
    pub epoch: Arc<Epoch>,
    /// Rows that cannot be read.
    pub held: Arc<Held>,
    /// Nodes.
    pub nodes: OrdMap<NodeName, Arc<Node>>,
    /// Storage pool definitions.
    pub pool_definitions: OrdMap<StoragePoolName, Arc<StoragePoolDefinition>>,
    /// Storage pools.
    pub pools: OrdMap<(NodeName, StoragePoolName), Arc<StoragePool>>,
    /// Resource groups.
    pub groups: OrdMap<ResourceGroupName, Arc<ResourceGroup>>,
    /// Resource definitions.
    pub definitions: OrdMap<ResourceName, Arc<ResourceDefinition>>,
    /// Resources; ordered by definition, so that a definition's replicas stand together.
    pub resources: OrdMap<(ResourceName, NodeName), Arc<Resource>>,
    /// Key-value store instances.
    pub key_value_stores: OrdMap<KeyValueStoreName, Arc<KeyValueStore>>,

    /// Members of rows that this version does not know; only rows that have some.
    pub(crate) unknown: OrdMap<RowKey, Arc<Unknown>>,

    // Indexes, maintained by `Draft`.
    pub(crate) resources_by_node: OrdMap<NodeName, OrdSet<ResourceName>>,
    pub(crate) replicas: OrdMap<ResourceName, OrdSet<NodeName>>,
    pub(crate) definitions_by_group: OrdMap<ResourceGroupName, OrdSet<ResourceName>>,
    pub(crate) minors: OrdMap<u32, (ResourceName, u32)>,
    pub(crate) ports: OrdMap<(NodeName, u16), ResourceName>,
    pub(crate) used_minors: Used,
    pub(crate) used_ports: OrdMap<NodeName, Used>,
    pub(crate) pool_use: OrdMap<(NodeName, StoragePoolName), PoolUse>,
    pub(crate) pending: OrdSet<ResourceName>,
}

impl Model {
    /// A cluster without anything, not even its defaults (see [`crate::Draft::create_defaults`]).
    pub fn empty(cluster_id: Uuid) -> Self {
        Model {
            generation: 0,
            controller: Arc::new(Controller {
                cluster_id,
                epoch: 0,
                props: Props::new(),
                settling: Vec::new(),
            }),
            epoch: Arc::default(),
            held: Arc::default(),
            nodes: OrdMap::new(),
            pool_definitions: OrdMap::new(),
            pools: OrdMap::new(),
            groups: OrdMap::new(),
            definitions: OrdMap::new(),
            resources: OrdMap::new(),
            key_value_stores: OrdMap::new(),
            unknown: OrdMap::new(),
            resources_by_node: OrdMap::new(),
            replicas: OrdMap::new(),
            definitions_by_group: OrdMap::new(),
            minors: OrdMap::new(),
            ports: OrdMap::new(),
            used_minors: Used::default(),
            used_ports: OrdMap::new(),
            pool_use: OrdMap::new(),
            pending: OrdSet::new(),
        }
    }

    /// Builds the model from stored rows. Never fails: what cannot be read, or refers to what cannot be read, is held
    /// ([`crate::held`]) and the rest serves.
    pub fn load(generation: u64, rows: Vec<StoredRow>, fresh_cluster_id: Uuid) -> Model {
        let mut held = Held::default();
        let mut draft = crate::Draft::new(Model::empty(fresh_cluster_id));
        // Parents before children, so that a reference to a missing parent is seen.
        const ORDER: [&str; 9] = [
            "controller",
            "epoch",
            "node",
            "storage_pool_definition",
            "storage_pool",
            "resource_group",
            "resource_definition",
            "resource",
            "key_value_store",
        ];
        let incomplete = !rows.is_empty() && !rows.iter().any(|row| row.kind == "controller");
        if incomplete {
            let row = StoredRow {
                kind: "controller".to_owned(),
                key: String::new(),
                json: String::new(),
            };
            held.add(row, "it is not there".to_owned());
        }
        let mut by_kind: std::collections::BTreeMap<usize, Vec<StoredRow>> = Default::default();
        for row in rows {
            match ORDER.iter().position(|kind| *kind == row.kind) {
                Some(place) => by_kind.entry(place).or_default().push(row),
                None => held.add(row, "this version knows no such kind of row".to_owned()),
            }
        }
        for row in by_kind.into_values().flatten() {
            if let Err(reason) = take_over(&mut draft, &row) {
                held.add(row, reason);
            }
        }
        let mut model = draft.into_model();
        model.generation = generation;
        if !held.is_empty() {
            held::hold(&mut model, held);
        }
        model
    }

    /// A node by what a caller wrote; names compare without case.
    pub fn node(&self, name: &NodeName) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// A pool of a node.
    pub fn pool(&self, node: &NodeName, pool: &StoragePoolName) -> Option<&Arc<StoragePool>> {
        self.pools.get(&(node.clone(), pool.clone()))
    }

    /// All pools of a node.
    pub fn pools_of<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = &'a Arc<StoragePool>> {
        self.pool_definitions
            .keys()
            .filter_map(move |pool| self.pool(node, pool))
    }

    /// A replica.
    pub fn resource(&self, name: &ResourceName, node: &NodeName) -> Option<&Arc<Resource>> {
        self.resources.get(&(name.clone(), node.clone()))
    }

    /// All replicas of a definition, in node order.
    pub fn resources_of<'a>(
        &'a self,
        name: &'a ResourceName,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.replicas
            .get(name)
            .into_iter()
            .flat_map(|nodes| nodes.iter())
            .filter_map(move |node| self.resources.get(&(name.clone(), node.clone())))
    }

    /// All replicas on a node, in name order.
    pub fn resources_on<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.resources_by_node
            .get(node)
            .into_iter()
            .flat_map(|names| names.iter())
            .filter_map(move |name| self.resources.get(&(name.clone(), node.clone())))
    }

    /// How many replicas a node has.
    pub fn resource_count_on(&self, node: &NodeName) -> usize {
        self.resources_by_node.get(node).map_or(0, OrdSet::len)
    }

    /// Names of a group's definitions.
    pub fn definitions_of<'a>(
        &'a self,
        group: &ResourceGroupName,
    ) -> impl Iterator<Item = &'a ResourceName> + use<'a> {
        self.definitions_by_group
            .get(group)
            .into_iter()
            .flat_map(|names| names.iter())
    }

    /// Names of a group's definitions, or of all when no group is given, that come after a name.
    pub fn definitions_after<'a>(
        &'a self,
        group: Option<&ResourceGroupName>,
        after: Option<&ResourceName>,
    ) -> Box<dyn Iterator<Item = &'a ResourceName> + 'a> {
        let from = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
        let range = (from, Bound::Unbounded);
        match group {
            None => Box::new(self.definitions.range(range).map(|(name, _)| name)),
            Some(group) => {
                let names = self.definitions_by_group.get(group);
                Box::new(
                    names
                        .into_iter()
                        .flat_map(move |names| names.range(range.clone())),
                )
            }
        }
    }

    /// What is reserved in a pool.
    pub fn pool_use(&self, node: &NodeName, pool: &StoragePoolName) -> PoolUse {
        self.pool_use
            .get(&(node.clone(), pool.clone()))
            .copied()
            .unwrap_or_default()
    }

    /// Which volume has a minor.
    pub fn minor_owner(&self, minor: u32) -> Option<&(ResourceName, u32)> {
        self.minors.get(&minor)
    }

    /// Which resource has a port on a node.
    pub fn port_owner(&self, node: &NodeName, port: u16) -> Option<&ResourceName> {
        self.ports.get(&(node.clone(), port))
    }

    /// All minors given out, ascending.
    pub fn minors_in_use(&self) -> impl Iterator<Item = u32> + '_ {
        self.minors.keys().copied()
    }

    /// All ports given out on a node, ascending.
    pub fn ports_in_use<'a>(&'a self, node: &NodeName) -> impl Iterator<Item = u16> + use<'a> {
        let range = (node.clone(), 0)..=(node.clone(), u16::MAX);
        self.ports.range(range).map(|((_, port), _)| *port)
    }

    /// Whether a definition has a change under way.
    pub fn is_pending(&self, name: &ResourceName) -> bool {
        self.pending.contains(name)
    }

    /// Definitions with a change under way (see [`crate::phase`]).
    pub fn pending_definitions(&self) -> impl Iterator<Item = &ResourceName> {
        self.pending.iter()
    }

    /// Nodes that a satellite runs on.
    pub fn satellites(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values().filter(|node| match node.node_type {
            NodeType::Satellite | NodeType::Combined => true,
            NodeType::Controller
            | NodeType::Auxiliary
            | NodeType::RemoteSpdk
            | NodeType::EbsTarget => false,
        })
    }

    /// Whether a row is the same in another model, or is in neither.
    pub fn has_same_row(&self, other: &Model, key: &RowKey) -> bool {
        fn same<T: PartialEq>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
        }
        match key {
            RowKey::Controller => self.controller == other.controller,
            RowKey::Epoch => self.epoch == other.epoch,
            RowKey::Node(node) => same(self.nodes.get(node), other.nodes.get(node)),
            RowKey::StoragePoolDefinition(pool) => same(
                self.pool_definitions.get(pool),
                other.pool_definitions.get(pool),
            ),
            RowKey::StoragePool(node, pool) => same(self.pool(node, pool), other.pool(node, pool)),
            RowKey::ResourceGroup(group) => same(self.groups.get(group), other.groups.get(group)),
            RowKey::ResourceDefinition(name) => {
                same(self.definitions.get(name), other.definitions.get(name))
            }
            RowKey::Resource(name, node) => {
                same(self.resource(name, node), other.resource(name, node))
            }
            RowKey::KeyValueStore(name) => same(
                self.key_value_stores.get(name),
                other.key_value_stores.get(name),
            ),
        }
    }

    /// The JSON of a row, or none when there is no such row.
    pub fn row_json(&self, key: &RowKey) -> Option<String> {
        fn json<T: Serialize>(row: Option<&Arc<T>>) -> Option<String> {
            row.map(|row| serde_json::to_string(&**row).expect("rows have string keys only"))
        }
        let json = match key {
            RowKey::Controller => json(Some(&self.controller)),
            RowKey::Epoch => json((*self.epoch != Epoch::default()).then_some(&self.epoch)),
            RowKey::Node(node) => json(self.nodes.get(node)),
            RowKey::StoragePoolDefinition(pool) => json(self.pool_definitions.get(pool)),
            RowKey::StoragePool(node, pool) => json(self.pool(node, pool)),
            RowKey::ResourceGroup(group) => json(self.groups.get(group)),
            RowKey::ResourceDefinition(name) => json(self.definitions.get(name)),
            RowKey::Resource(name, node) => json(self.resource(name, node)),
            RowKey::KeyValueStore(name) => json(self.key_value_stores.get(name)),
        };
        match self.unknown.get(key) {
            Some(unknown) => json.map(|json| unknown::write(&json, unknown)),
            None => json,
        }
    }
}

/// Takes one stored row into the draft, or says why not.
fn take_over(draft: &mut crate::Draft, row: &StoredRow) -> Result<(), String> {
    let mut unknown = None;
    let mut parse = Parse {
        json: &row.json,
        unknown: &mut unknown,
    };
    fn known(condition: bool, what: &str, name: &dyn fmt::Display) -> Result<(), String> {
        if condition {
            Ok(())
        } else {
            Err(format!(
                "it refers to {what} '{name}', which is not there or cannot be read"
            ))
        }
    }
    let key =
        match row.kind.as_str() {
            "controller" => {
                let controller: Controller = parse.row()?;
                draft.put_epoch(Epoch {
                    number: controller.epoch,
                    ..Epoch::default()
                });
                draft.put_controller(controller);
                RowKey::Controller
            }
            "epoch" => {
                // Where it counts too little, satellites say so.
                draft.put_epoch(parse.row().or_else(|reason| {
                    match held::epoch_number(&row.json) {
                        Some(number) => Ok(Epoch {
                            number,
                            ..Epoch::default()
                        }),
                        None => Err(reason),
                    }
                })?);
                RowKey::Epoch
            }
            "node" => {
                let node: Node = parse.row()?;
                let key = RowKey::Node(node.name.clone());
                draft.put_node(node);
                key
            }
            "storage_pool_definition" => {
                let definition: StoragePoolDefinition = parse.row()?;
                let key = RowKey::StoragePoolDefinition(definition.name.clone());
                draft.put_storage_pool_definition(definition);
                key
            }
            "storage_pool" => {
                let pool: StoragePool = parse.row()?;
                known(draft.nodes.contains_key(&pool.node), "node", &pool.node)?;
                known(
                    draft.pool_definitions.contains_key(&pool.name),
                    "storage pool definition",
                    &pool.name,
                )?;
                let key = RowKey::StoragePool(pool.node.clone(), pool.name.clone());
                draft.put_storage_pool(pool);
                key
            }
            "resource_group" => {
                let group: ResourceGroup = parse.row()?;
                let key = RowKey::ResourceGroup(group.name.clone());
                draft.put_resource_group(group);
                key
            }
            "resource_definition" => {
                let definition: ResourceDefinition = parse.row()?;
                known(
                    draft.groups.contains_key(&definition.group),
                    "resource group",
                    &definition.group,
                )?;
                let key = RowKey::ResourceDefinition(definition.name.clone());
                draft.put_resource_definition(definition);
                key
            }
            "resource" => {
                let resource: Resource = parse.row()?;
                known(
                    draft.definitions.contains_key(&resource.name),
                    "resource definition",
                    &resource.name,
                )?;
                known(
                    draft.nodes.contains_key(&resource.node),
                    "node",
                    &resource.node,
                )?;
                for volume in resource.volumes.values() {
                    for pool in volume.pools() {
                        let found = draft.pool(&resource.node, pool).is_some();
                        known(found, "storage pool", pool)?;
                    }
                }
                let key = RowKey::Resource(resource.name.clone(), resource.node.clone());
                draft.put_resource(resource);
                key
            }
            _ => {
                let store: KeyValueStore = parse.row()?;
                let key = RowKey::KeyValueStore(store.name.clone());
                draft.put_key_value_store(store);
                key
            }
        };
    if key.key() != row.key {
        draft.remove(&key);
        return Err(format!(
            "it is stored under a key that is not its own ({})",
            key.key()
        ));
    }
    if let Some(unknown) = unknown {
        draft.put_unknown(key, unknown);
    }
    Ok(())
}

/// Reads one row.
struct Parse<'a> {
    json: &'a str,
    unknown: &'a mut Option<Unknown>,
}

impl Parse<'_> {
    fn row<T: DeserializeOwned + Serialize>(&mut self) -> Result<T, String> {
        let (row, unknown) = unknown::read(self.json)?;
        *self.unknown = unknown;
        Ok(row)
    }
}
