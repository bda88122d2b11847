//! The model: all rows, and the indexes that follow from them.
//!
//! Persistent maps: a clone is a pointer, so that readers keep the snapshot they started with while the one writer goes
//! on. Rows are shared by [`Arc`]; only [`crate::Draft`] replaces them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use linstor_api::kind::NodeType;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::external_file::FilePath;
use crate::held::{self, Unreadable};
use crate::name::{
    KeyValueStoreName, NodeName, RemoteName, ResourceGroupName, ResourceName, ScheduleName,
    StoragePoolName,
};
use crate::numbers::Used;
use crate::process::ProcessId;
use crate::row_version::{Members, Migrations, RowVersions};
use crate::unknown::{self, Unknown};
use crate::{
    Controller, Epoch, ExternalFile, Held, KeyValueStore, MasterKey, Node, Process, Props, Remote,
    Resource, ResourceDefinition, ResourceGroup, Schedule, StoragePool, StoragePoolDefinition,
};

/// Name of the group that definitions without a group belong to.
pub const DEFAULT_GROUP: &str = "DfltRscGrp";
/// Name of the pool that is used when nothing names one.
pub const DEFAULT_POOL: &str = "DfltStorPool";
/// Name of the pool of diskless resources; every node with a satellite has it.
pub const DEFAULT_DISKLESS_POOL: &str = "DfltDisklessStorPool";

macro_rules! row_kinds {
    ($($(#[$doc:meta])* $kind:ident = $text:literal,)*) => {
        /// The kinds of rows. Their order is that in which they are read: rows refer to rows of kinds before their own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum RowKind {
            $($(#[$doc])* $kind,)*
        }

        impl RowKind {
            /// All kinds.
            pub const ALL: &[RowKind] = &[$(RowKind::$kind,)*];

            /// As stored.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(RowKind::$kind => $text,)*
                }
            }
        }
    };
}

row_kinds! {
    /// The versions of the rows.
    RowVersions = "row_versions",
    /// The controller's own row.
    Controller = "controller",
    /// The epoch.
    Epoch = "epoch",
    /// Nodes.
    Node = "node",
    /// Storage pool definitions.
    StoragePoolDefinition = "storage_pool_definition",
    /// Storage pools.
    StoragePool = "storage_pool",
    /// Resource groups.
    ResourceGroup = "resource_group",
    /// Resource definitions with their volume definitions.
    ResourceDefinition = "resource_definition",
    /// Resources with their volumes.
    Resource = "resource",
    /// Key-value store instances.
    KeyValueStore = "key_value_store",
    /// The master key.
    MasterKey = "master_key",
    /// Remotes of backups.
    Remote = "remote",
    /// Schedules of backups.
    Schedule = "schedule",
    /// External files.
    ExternalFile = "external_file",
    /// Processes.
    Process = "process",
}

impl RowKind {
    /// The kind that is stored as this text.
    pub fn parse(text: &str) -> Option<RowKind> {
        let mut kinds = RowKind::ALL.iter().copied();
        kinds.find(|kind| kind.as_str() == text)
    }
}

/// What identifies a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKey {
    /// The versions of the rows.
    RowVersions,
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
    /// The master key.
    MasterKey,
    /// A remote.
    Remote(RemoteName),
    /// A schedule.
    Schedule(ScheduleName),
    /// An external file.
    ExternalFile(FilePath),
    /// A process.
    Process(ProcessId),
}

impl RowKey {
    /// The kind.
    pub const fn kind(&self) -> RowKind {
        match self {
            RowKey::RowVersions => RowKind::RowVersions,
            RowKey::Controller => RowKind::Controller,
            RowKey::Epoch => RowKind::Epoch,
            RowKey::Node(_) => RowKind::Node,
            RowKey::StoragePoolDefinition(_) => RowKind::StoragePoolDefinition,
            RowKey::StoragePool(..) => RowKind::StoragePool,
            RowKey::ResourceGroup(_) => RowKind::ResourceGroup,
            RowKey::ResourceDefinition(_) => RowKind::ResourceDefinition,
            RowKey::Resource(..) => RowKind::Resource,
            RowKey::KeyValueStore(_) => RowKind::KeyValueStore,
            RowKey::MasterKey => RowKind::MasterKey,
            RowKey::Remote(_) => RowKind::Remote,
            RowKey::Schedule(_) => RowKind::Schedule,
            RowKey::ExternalFile(_) => RowKind::ExternalFile,
            RowKey::Process(_) => RowKind::Process,
        }
    }

    /// The key as stored: upper-case, parts joined by `/`, which no name contains. A path is stored as it is.
    pub fn key(&self) -> String {
        let text = match self {
            RowKey::RowVersions | RowKey::Controller | RowKey::Epoch | RowKey::MasterKey => {
                String::new()
            }
            RowKey::Node(node) => node.to_string(),
            RowKey::StoragePoolDefinition(pool) => pool.to_string(),
            RowKey::StoragePool(node, pool) => format!("{node}/{pool}"),
            RowKey::ResourceGroup(group) => group.to_string(),
            RowKey::ResourceDefinition(name) => name.to_string(),
            RowKey::Resource(name, node) => format!("{name}/{node}"),
            RowKey::KeyValueStore(name) => name.to_string(),
            RowKey::Remote(name) => name.to_string(),
            RowKey::Schedule(name) => name.to_string(),
            RowKey::ExternalFile(path) => return path.to_string(),
            RowKey::Process(id) => id.to_string(),
        };
        text.to_ascii_uppercase()
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().as_str(), self.key())
    }
}

/// A stored row as the store returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// See [`RowKind::as_str`].
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
    /// Number of the last change that is in it; each one has a number of its own.
    pub generation: u64,
    /// The versions that rows are written with.
    pub migrations: Migrations,
    /// The versions of the rows in the database.
    pub row_versions: Arc<RowVersions>,
    /// Rows that are of an older version in the database than here.
    pub older_rows: OrdSet<RowKey>,
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
    /// The master key, once a passphrase was set.
    pub master_key: Option<Arc<MasterKey>>,
    /// Remotes of backups.
    pub remotes: OrdMap<RemoteName, Arc<Remote>>,
    /// Schedules of backups.
    pub schedules: OrdMap<ScheduleName, Arc<Schedule>>,
    /// External files.
    pub external_files: OrdMap<FilePath, Arc<ExternalFile>>,
    /// What takes several steps and is not finished.
    pub processes: OrdMap<ProcessId, Arc<Process>>,

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
    pub(crate) processes_by_definition: OrdMap<ResourceName, OrdSet<ProcessId>>,
    pub(crate) processes_by_node: OrdMap<NodeName, OrdSet<ProcessId>>,
    pub(crate) deadlines: OrdSet<(u64, ProcessId)>,
}

impl Model {
    /// A cluster without anything, not even its defaults (see [`crate::Draft::create_defaults`]).
    pub fn empty(cluster_id: Uuid) -> Self {
        Model {
            generation: 0,
            migrations: Migrations::default(),
            row_versions: Arc::default(),
            older_rows: OrdSet::new(),
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
            master_key: None,
            remotes: OrdMap::new(),
            schedules: OrdMap::new(),
            external_files: OrdMap::new(),
            unknown: OrdMap::new(),
            processes: OrdMap::new(),
            resources_by_node: OrdMap::new(),
            replicas: OrdMap::new(),
            definitions_by_group: OrdMap::new(),
            minors: OrdMap::new(),
            ports: OrdMap::new(),
            used_minors: Used::default(),
            used_ports: OrdMap::new(),
            pool_use: OrdMap::new(),
            pending: OrdSet::new(),
            processes_by_definition: OrdMap::new(),
            processes_by_node: OrdMap::new(),
            deadlines: OrdSet::new(),
        }
    }

    /// Builds the model from stored rows. Never fails: what cannot be read, or refers to what cannot be read, is held
    /// ([`crate::held`]) and the rest serves.
    pub fn load(generation: u64, rows: Vec<StoredRow>, fresh_cluster_id: Uuid) -> Model {
        let migrations = Migrations::default();
        Model::load_with(migrations, generation, rows, fresh_cluster_id)
    }

    /// See [`Model::load`]; with other migrations than those of this build.
    pub fn load_with(
        migrations: Migrations,
        generation: u64,
        rows: Vec<StoredRow>,
        fresh_cluster_id: Uuid,
    ) -> Model {
        let mut held = Held::default();
        let empty = Model {
            migrations,
            ..Model::empty(fresh_cluster_id)
        };
        let mut draft = crate::Draft::new(empty);
        let incomplete = !rows.is_empty() && !rows.iter().any(|row| row.kind == "controller");
        if incomplete {
            let row = StoredRow {
                kind: "controller".to_owned(),
                key: String::new(),
                json: String::new(),
            };
            held.add(row, "it is not there".to_owned().into());
        }
        let mut by_kind: BTreeMap<RowKind, Vec<StoredRow>> = BTreeMap::new();
        for row in rows {
            match RowKind::parse(&row.kind) {
                Some(kind) => by_kind.entry(kind).or_default().push(row),
                None => {
                    let reason = "this version knows no such kind of row".to_owned();
                    held.add(row, reason.into());
                }
            }
        }
        let mut made = Vec::new();
        for (kind, rows) in by_kind {
            for row in rows {
                match take_over(&mut draft, kind, &row) {
                    Ok(processes) => made.extend(processes),
                    Err(unreadable) => held.add(row, unreadable),
                }
            }
        }
        for process in made {
            if let Err((row, reason)) = put_made(&mut draft, generation, process) {
                held.add(row, reason.into());
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

    /// Whether a definition has a process or its first deployment is not complete.
    pub fn is_pending(&self, name: &ResourceName) -> bool {
        self.pending.contains(name)
    }

    /// Definitions with a process, or whose first deployment is not complete.
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
            RowKey::RowVersions => self.row_versions == other.row_versions,
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
            RowKey::MasterKey => same(self.master_key.as_ref(), other.master_key.as_ref()),
            RowKey::Remote(name) => same(self.remotes.get(name), other.remotes.get(name)),
            RowKey::Schedule(name) => same(self.schedules.get(name), other.schedules.get(name)),
            RowKey::ExternalFile(path) => same(
                self.external_files.get(path),
                other.external_files.get(path),
            ),
            RowKey::Process(id) => same(self.processes.get(id), other.processes.get(id)),
        }
    }

    /// The JSON of a row, or none when there is no such row.
    pub fn row_json(&self, key: &RowKey) -> Option<String> {
        fn json<T: Serialize>(row: Option<&Arc<T>>) -> Option<String> {
            row.map(|row| serde_json::to_string(&**row).expect("rows have string keys only"))
        }
        let stored = !self.row_versions.versions.is_empty();
        let json = match key {
            RowKey::RowVersions => json(stored.then_some(&self.row_versions)),
            RowKey::Controller => json(Some(&self.controller)),
            RowKey::Epoch => json((*self.epoch != Epoch::default()).then_some(&self.epoch)),
            RowKey::Node(node) => json(self.nodes.get(node)),
            RowKey::StoragePoolDefinition(pool) => json(self.pool_definitions.get(pool)),
            RowKey::StoragePool(node, pool) => json(self.pool(node, pool)),
            RowKey::ResourceGroup(group) => json(self.groups.get(group)),
            RowKey::ResourceDefinition(name) => json(self.definitions.get(name)),
            RowKey::Resource(name, node) => json(self.resource(name, node)),
            RowKey::KeyValueStore(name) => json(self.key_value_stores.get(name)),
            RowKey::MasterKey => json(self.master_key.as_ref()),
            RowKey::Remote(name) => json(self.remotes.get(name)),
            RowKey::Schedule(name) => json(self.schedules.get(name)),
            RowKey::ExternalFile(path) => json(self.external_files.get(path)),
            RowKey::Process(id) => json(self.processes.get(id)),
        };
        let json = match self.unknown.get(key) {
            Some(unknown) => unknown::write(&json?, unknown),
            None => json?,
        };
        Some(match self.migrations.version(key.kind()) {
            1 => json,
            // First, so that a row of today's version is known by its beginning.
            version => format!("{}{}", unknown::version_prefix(version), &json[1..]),
        })
    }
}

/// Takes one stored row into the draft, or fails with the reason. Returns the processes that its migration made of it.
fn take_over(
    draft: &mut crate::Draft,
    kind: RowKind,
    row: &StoredRow,
) -> Result<Vec<Members>, Unreadable> {
    let mut parse = Parse {
        kind,
        json: &row.json,
        migrations: draft.migrations,
        unknown: None,
        is_older: false,
        processes: Vec::new(),
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
    let key = match kind {
        RowKind::RowVersions => {
            draft.put_row_versions(parse.row()?);
            RowKey::RowVersions
        }
        RowKind::Controller => {
            let controller: Controller = parse.row()?;
            draft.put_epoch(Epoch {
                number: controller.epoch,
                ..Epoch::default()
            });
            draft.put_controller(controller);
            RowKey::Controller
        }
        RowKind::Epoch => {
            // If it is too small, satellites report that.
            draft.put_epoch(parse.row().or_else(|unreadable| {
                match held::epoch_number(&row.json) {
                    Some(number) if unreadable.newer.is_none() => Ok(Epoch {
                        number,
                        ..Epoch::default()
                    }),
                    _ => Err(unreadable),
                }
            })?);
            RowKey::Epoch
        }
        RowKind::Node => {
            let node: Node = parse.row()?;
            let key = RowKey::Node(node.name.clone());
            draft.put_node(node);
            key
        }
        RowKind::StoragePoolDefinition => {
            let definition: StoragePoolDefinition = parse.row()?;
            let key = RowKey::StoragePoolDefinition(definition.name.clone());
            draft.put_storage_pool_definition(definition);
            key
        }
        RowKind::StoragePool => {
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
        RowKind::ResourceGroup => {
            let group: ResourceGroup = parse.row()?;
            let key = RowKey::ResourceGroup(group.name.clone());
            draft.put_resource_group(group);
            key
        }
        RowKind::ResourceDefinition => {
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
        RowKind::Resource => {
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
        RowKind::KeyValueStore => {
            let store: KeyValueStore = parse.row()?;
            let key = RowKey::KeyValueStore(store.name.clone());
            draft.put_key_value_store(store);
            key
        }
        RowKind::MasterKey => {
            draft.put_master_key(parse.row()?);
            RowKey::MasterKey
        }
        RowKind::Remote => {
            let remote: Remote = parse.row()?;
            let key = RowKey::Remote(remote.name.clone());
            draft.put_remote(remote);
            key
        }
        RowKind::Schedule => {
            let schedule: Schedule = parse.row()?;
            let key = RowKey::Schedule(schedule.name.clone());
            draft.put_schedule(schedule);
            key
        }
        RowKind::ExternalFile => {
            let file: ExternalFile = parse.row()?;
            let key = RowKey::ExternalFile(file.path.clone());
            draft.put_external_file(file);
            key
        }
        RowKind::Process => {
            let process: Process = parse.row()?;
            if let Some(missing) = process.missing(draft) {
                let reason = format!("it works on {missing}, which is not there or cannot be read");
                return Err(reason.into());
            }
            let key = RowKey::Process(process.id);
            draft.put_process(process);
            key
        }
    };
    if key.key() != row.key {
        draft.remove(&key);
        let own = key.key();
        return Err(format!("it is stored under a key that is not its own ({own})").into());
    }
    draft.note_stored(key, parse.unknown, parse.is_older);
    Ok(parse.processes)
}

/// Puts a process that was made of a row of an older version, unless it is stored already: processes are written before
/// the rows that they were made of.
fn put_made(
    draft: &mut crate::Draft,
    generation: u64,
    mut row: Members,
) -> Result<(), (StoredRow, String)> {
    let id = ProcessId::next(draft, generation);
    row.insert("id".to_owned(), id.to_string().into());
    let made = Value::Object(row);
    let process = Process::deserialize(&made).map_err(|error| {
        let row = StoredRow {
            kind: RowKind::Process.as_str().to_owned(),
            key: id.to_string(),
            json: made.to_string(),
        };
        (
            row,
            format!("it cannot be made of a row of an older version: {error}"),
        )
    })?;
    let mut stored = draft.processes.values();
    if !stored.any(|stored| stored.subject() == process.subject()) {
        draft.put_process(process);
        draft.note_stored(RowKey::Process(id), None, true);
    }
    Ok(())
}

/// Reads one row.
struct Parse<'a> {
    kind: RowKind,
    json: &'a str,
    migrations: Migrations,
    unknown: Option<Unknown>,
    is_older: bool,
    processes: Vec<Members>,
}

impl Parse<'_> {
    fn row<T: DeserializeOwned + Serialize>(&mut self) -> Result<T, Unreadable> {
        let read = unknown::read(self.json, self.kind, self.migrations)?;
        (self.unknown, self.is_older) = (read.unknown, read.is_older);
        self.processes = read.processes;
        Ok(read.row)
    }
}
