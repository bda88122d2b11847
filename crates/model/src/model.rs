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
use uuid::Uuid;

use crate::external_file::FilePath;
use crate::name::{
    KeyValueStoreName, NodeName, RemoteName, ResourceGroupName, ResourceName, ScheduleName,
    SnapshotName, StoragePoolName,
};
use crate::numbers::Used;
use crate::process::ProcessId;
use crate::row_version::{Migrations, RowVersions};
use crate::unknown::{self, Unknown};
use crate::{
    AuthTokens, Controller, Epoch, ExternalFile, Held, KeyValueStore, MasterKey, Node, Process,
    Props, Remote, Resource, ResourceDefinition, ResourceGroup, Schedule, SnapshotDefinition,
    StoragePool, StoragePoolDefinition,
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
    /// Snapshots of resource definitions, with their parts on the nodes.
    SnapshotDefinition = "snapshot_definition",
    /// Key-value store instances.
    KeyValueStore = "key_value_store",
    /// The master key.
    MasterKey = "master_key",
    /// Tokens of the REST API.
    AuthTokens = "auth_tokens",
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
    /// A snapshot of a resource definition.
    SnapshotDefinition(ResourceName, SnapshotName),
    /// A key-value store instance.
    KeyValueStore(KeyValueStoreName),
    /// The master key.
    MasterKey,
    /// Tokens of the REST API.
    AuthTokens,
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
            RowKey::SnapshotDefinition(..) => RowKind::SnapshotDefinition,
            RowKey::KeyValueStore(_) => RowKind::KeyValueStore,
            RowKey::MasterKey => RowKind::MasterKey,
            RowKey::AuthTokens => RowKind::AuthTokens,
            RowKey::Remote(_) => RowKind::Remote,
            RowKey::Schedule(_) => RowKind::Schedule,
            RowKey::ExternalFile(_) => RowKind::ExternalFile,
            RowKey::Process(_) => RowKind::Process,
        }
    }

    /// The key as stored: upper-case, parts joined by `/`, which no name contains. A path is stored as it is.
    pub fn key(&self) -> String {
        let text = match self {
            RowKey::RowVersions
            | RowKey::Controller
            | RowKey::Epoch
            | RowKey::MasterKey
            | RowKey::AuthTokens => String::new(),
            RowKey::Node(node) => node.to_string(),
            RowKey::StoragePoolDefinition(pool) => pool.to_string(),
            RowKey::StoragePool(node, pool) => format!("{node}/{pool}"),
            RowKey::ResourceGroup(group) => group.to_string(),
            RowKey::ResourceDefinition(name) => name.to_string(),
            RowKey::Resource(name, node) => format!("{name}/{node}"),
            RowKey::SnapshotDefinition(name, snapshot) => format!("{name}/{snapshot}"),
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
    /// Snapshots by resource definition and name.
    pub snapshots: OrdMap<ResourceName, OrdMap<SnapshotName, Arc<SnapshotDefinition>>>,
    /// Key-value store instances.
    pub key_value_stores: OrdMap<KeyValueStoreName, Arc<KeyValueStore>>,
    /// The master key, once a passphrase was set.
    pub master_key: Option<Arc<MasterKey>>,
    /// Tokens of the REST API.
    pub auth_tokens: Arc<AuthTokens>,
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
    pub(crate) snapshots_by_node: OrdMap<NodeName, OrdSet<(ResourceName, SnapshotName)>>,
    /// Resources of each definition, in the order of their nodes.
    pub(crate) replicas: OrdMap<ResourceName, Arc<[Arc<Resource>]>>,
    pub(crate) definitions_by_group: OrdMap<ResourceGroupName, OrdSet<ResourceName>>,
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
            snapshots: OrdMap::new(),
            key_value_stores: OrdMap::new(),
            master_key: None,
            auth_tokens: Arc::default(),
            remotes: OrdMap::new(),
            schedules: OrdMap::new(),
            external_files: OrdMap::new(),
            unknown: OrdMap::new(),
            processes: OrdMap::new(),
            resources_by_node: OrdMap::new(),
            snapshots_by_node: OrdMap::new(),
            replicas: OrdMap::new(),
            definitions_by_group: OrdMap::new(),
            used_minors: Used::default(),
            used_ports: OrdMap::new(),
            pool_use: OrdMap::new(),
            pending: OrdSet::new(),
            processes_by_definition: OrdMap::new(),
            processes_by_node: OrdMap::new(),
            deadlines: OrdSet::new(),
        }
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
        self.resources_of(name).find(|row| row.node == *node)
    }

    /// All replicas of a definition, in node order.
    pub fn resources_of<'a>(
        &'a self,
        name: &ResourceName,
    ) -> impl Iterator<Item = &'a Arc<Resource>> + use<'a> {
        let rows = self.replicas.get(name).into_iter();
        rows.flat_map(|rows| rows.iter())
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
            .filter_map(move |name| self.resource(name, node))
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

    /// Whether a volume has a minor; it may be one of a row that cannot be read.
    pub fn uses_minor(&self, minor: u32) -> bool {
        self.used_minors.contains(minor)
    }

    /// Whether a resource has a port on a node; it may be one of a row that cannot be read.
    pub fn uses_port(&self, node: &NodeName, port: u16) -> bool {
        let used = self.used_ports.get(node);
        used.is_some_and(|used| used.contains(port.into()))
    }

    /// Which volume has a minor. Searches all: for messages.
    pub fn minor_owner(&self, minor: u32) -> Option<(&ResourceName, u32)> {
        self.definitions.iter().find_map(|(name, row)| {
            let mut volumes = row.volumes.iter();
            let found = volumes.find(|(_, volume)| volume.minor == Some(minor))?;
            Some((name, *found.0))
        })
    }

    /// Which resource has a port on a node. Searches all of the node: for messages.
    pub fn port_owner(&self, node: &NodeName, port: u16) -> Option<&ResourceName> {
        let has_port = |row: &&Arc<Resource>| {
            let drbd = row.drbd.as_ref();
            drbd.is_some_and(|drbd| drbd.ports.contains(&port))
        };
        let names = self.resources_by_node.get(node)?;
        let mut rows = names.iter().filter_map(|name| self.resource(name, node));
        rows.find(has_port).map(|owner| &owner.name)
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
            RowKey::SnapshotDefinition(name, snapshot) => same(
                self.snapshot(name, snapshot),
                other.snapshot(name, snapshot),
            ),
            RowKey::KeyValueStore(name) => same(
                self.key_value_stores.get(name),
                other.key_value_stores.get(name),
            ),
            RowKey::MasterKey => same(self.master_key.as_ref(), other.master_key.as_ref()),
            RowKey::AuthTokens => self.auth_tokens == other.auth_tokens,
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
            RowKey::SnapshotDefinition(name, snapshot) => json(self.snapshot(name, snapshot)),
            RowKey::KeyValueStore(name) => json(self.key_value_stores.get(name)),
            RowKey::MasterKey => json(self.master_key.as_ref()),
            RowKey::AuthTokens => {
                json((*self.auth_tokens != AuthTokens::default()).then_some(&self.auth_tokens))
            }
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
