//! The draft: the only place that changes a model.
//!
//! A draft starts as a snapshot, takes changes, keeps the indexes right, and remembers which rows it touched. Dropping
//! it drops the changes; [`Draft::savepoint`] and [`Draft::rollback`] do so for one of several commits in a batch.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use linstor_api::kind::StorageSuffix;

use crate::layer;
use crate::model::{Model, PoolUse, RowKey};
use crate::name::{NodeName, ResourceName, SnapshotName, StoragePoolName};
use crate::process::{Object, ProcessId};
use crate::row_version::RowVersions;
use crate::unknown::Unknown;
use crate::{
    AuthTokens, Controller, Epoch, ExternalFile, KeyValueStore, MasterKey, Node, Process, Remote,
    Resource, ResourceDefinition, ResourceGroup, Schedule, Since, SnapshotDefinition, StoragePool,
    StoragePoolDefinition,
};

/// A model that is being changed.
#[derive(Debug, Clone)]
pub struct Draft {
    model: Model,
    touched: BTreeSet<RowKey>,
}

/// A point that a draft can return to.
#[derive(Debug)]
pub struct Savepoint(Draft);

impl Deref for Draft {
    type Target = Model;
    fn deref(&self) -> &Model {
        &self.model
    }
}

fn add<K: Ord + Clone, V: Ord + Clone>(index: &mut OrdMap<K, OrdSet<V>>, key: &K, value: &V) {
    index.entry(key.clone()).or_default().insert(value.clone());
}

fn take<K: Ord + Clone, V: Ord + Clone>(index: &mut OrdMap<K, OrdSet<V>>, key: &K, value: &V) {
    let empty = index.get_mut(key).is_some_and(|set| {
        set.remove(value);
        set.is_empty()
    });
    if empty {
        index.remove(key);
    }
}

/// Makes a name the very one that the row it refers to has.
fn share<K: Ord + Clone, V>(rows: &OrdMap<K, V>, name: &mut K) {
    if let Some((same, _)) = rows.get_key_value(name) {
        *name = same.clone();
    }
}

fn minors(row: &ResourceDefinition) -> impl Iterator<Item = u32> {
    row.volumes.values().filter_map(|volume| volume.minor)
}

impl Draft {
    /// A draft on top of a snapshot.
    pub fn new(model: Model) -> Self {
        Draft {
            model,
            touched: BTreeSet::new(),
        }
    }

    /// Where [`Draft::rollback`] returns to.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.clone())
    }

    /// Drops everything since the savepoint.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        *self = savepoint.0;
    }

    /// The rows touched so far.
    pub fn touched(&self) -> &BTreeSet<RowKey> {
        &self.touched
    }

    /// The changed model.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The changed model and the rows touched.
    pub fn into_parts(self) -> (Model, BTreeSet<RowKey>) {
        (self.model, self.touched)
    }

    /// The time and generation of a change that this draft makes. No two changes have the same generation.
    pub fn since(&self, now_ms: u64) -> Since {
        Since {
            at: now_ms,
            generation: self.model.generation + 1,
        }
    }

    /// Sets the number of the commit that this draft will be.
    pub fn set_generation(&mut self, generation: u64) {
        self.model.generation = generation;
    }

    /// Replaces the versions of the rows.
    pub fn put_row_versions(&mut self, row: RowVersions) {
        self.touched.insert(RowKey::RowVersions);
        self.model.row_versions = Arc::new(row);
    }

    /// Replaces the controller's own row.
    pub fn put_controller(&mut self, row: Controller) {
        self.touched.insert(RowKey::Controller);
        self.model.controller = Arc::new(row);
    }

    /// Replaces the epoch.
    pub fn put_epoch(&mut self, row: Epoch) {
        self.touched.insert(RowKey::Epoch);
        self.model.epoch = Arc::new(row);
    }

    /// Adds or replaces a node.
    pub fn put_node(&mut self, row: Node) {
        self.touched.insert(RowKey::Node(row.name.clone()));
        self.model.nodes.insert(row.name.clone(), Arc::new(row));
    }

    /// Adds or replaces a storage pool definition.
    pub fn put_storage_pool_definition(&mut self, row: StoragePoolDefinition) {
        self.touched
            .insert(RowKey::StoragePoolDefinition(row.name.clone()));
        self.model
            .pool_definitions
            .insert(row.name.clone(), Arc::new(row));
    }

    /// Adds or replaces a storage pool.
    pub fn put_storage_pool(&mut self, row: StoragePool) {
        self.touched
            .insert(RowKey::StoragePool(row.node.clone(), row.name.clone()));
        self.model
            .pools
            .insert((row.node.clone(), row.name.clone()), Arc::new(row));
    }

    /// Adds or replaces a resource group.
    pub fn put_resource_group(&mut self, row: ResourceGroup) {
        self.touched.insert(RowKey::ResourceGroup(row.name.clone()));
        self.model.groups.insert(row.name.clone(), Arc::new(row));
    }

    /// Adds or replaces a key-value store instance.
    pub fn put_key_value_store(&mut self, row: KeyValueStore) {
        self.touched.insert(RowKey::KeyValueStore(row.name.clone()));
        self.model
            .key_value_stores
            .insert(row.name.clone(), Arc::new(row));
    }

    /// Replaces the master key.
    pub fn put_master_key(&mut self, row: MasterKey) {
        self.touched.insert(RowKey::MasterKey);
        self.model.master_key = Some(Arc::new(row));
    }

    /// Replaces the tokens of the REST API.
    pub fn put_auth_tokens(&mut self, row: AuthTokens) {
        self.touched.insert(RowKey::AuthTokens);
        self.model.auth_tokens = Arc::new(row);
    }

    /// Adds or replaces a remote.
    pub fn put_remote(&mut self, row: Remote) {
        self.touched.insert(RowKey::Remote(row.name.clone()));
        self.model.remotes.insert(row.name.clone(), Arc::new(row));
    }

    /// Adds or replaces a schedule.
    pub fn put_schedule(&mut self, row: Schedule) {
        self.touched.insert(RowKey::Schedule(row.name.clone()));
        self.model.schedules.insert(row.name.clone(), Arc::new(row));
    }

    /// Adds or replaces an external file.
    pub fn put_external_file(&mut self, row: ExternalFile) {
        self.touched.insert(RowKey::ExternalFile(row.path.clone()));
        self.model
            .external_files
            .insert(row.path.clone(), Arc::new(row));
    }

    /// Adds or replaces a resource definition.
    pub fn put_resource_definition(&mut self, mut row: ResourceDefinition) {
        share(&self.model.groups, &mut row.group);
        let name = row.name.clone();
        let old = self.model.definitions.get(&name).cloned();
        self.touched
            .insert(RowKey::ResourceDefinition(name.clone()));
        // Most changes are of neither.
        if old.as_ref().map(|old| &old.group) != Some(&row.group) {
            if let Some(old) = &old {
                take(&mut self.model.definitions_by_group, &old.group, &name);
            }
            add(&mut self.model.definitions_by_group, &row.group, &name);
        }
        if !old.as_ref().is_some_and(|old| minors(old).eq(minors(&row))) {
            old.iter().flat_map(|old| minors(old)).for_each(|minor| {
                self.model.used_minors.remove(minor);
            });
            minors(&row).for_each(|minor| self.model.used_minors.insert(minor));
        }
        self.reserve(&name, false);
        self.model.definitions.insert(name.clone(), Arc::new(row));
        // Sizes are the definition's, so what its replicas reserve may have changed.
        self.reserve(&name, true);
        self.index_pending(&name);
    }

    /// Adds or replaces a replica.
    pub fn put_resource(&mut self, mut row: Resource) {
        // One copy of each name for all rows: less memory, and a comparison is one of addresses.
        share(&self.model.definitions, &mut row.name);
        share(&self.model.nodes, &mut row.node);
        for volume in row.volumes.values_mut() {
            share(&self.model.pool_definitions, &mut volume.pool);
            for pool in volume.extra_storage.values_mut() {
                share(&self.model.pool_definitions, pool);
            }
        }
        let (name, node) = (row.name.clone(), row.node.clone());
        self.unindex_resource(&name, &node);
        self.touched
            .insert(RowKey::Resource(name.clone(), node.clone()));
        add(&mut self.model.resources_by_node, &node, &name);
        for port in row.drbd.iter().flat_map(|drbd| &drbd.ports) {
            let used = self.model.used_ports.entry(node.clone()).or_default();
            used.insert(u32::from(*port));
        }
        let row = Arc::new(row);
        self.index_replica(&name, &node, Some(Arc::clone(&row)));
        self.model
            .resources
            .insert((name.clone(), node.clone()), row);
        self.reserve_replica(&name, &node, true);
        self.index_pending(&name);
    }

    /// Adds or replaces a snapshot.
    pub fn put_snapshot_definition(&mut self, mut row: SnapshotDefinition) {
        share(&self.model.definitions, &mut row.resource);
        let (name, snapshot) = (row.resource.clone(), row.name.clone());
        self.unindex_snapshot(&name, &snapshot);
        let key = (name.clone(), snapshot.clone());
        for node in row.snapshots.keys() {
            add(&mut self.model.snapshots_by_node, node, &key);
        }
        let of_definition = self.model.snapshots.entry(name.clone()).or_default();
        of_definition.insert(snapshot.clone(), Arc::new(row));
        self.touched
            .insert(RowKey::SnapshotDefinition(name, snapshot));
    }

    /// Adds or replaces a process.
    pub fn put_process(&mut self, row: Process) {
        self.replace_process(row.id, Some(row));
    }

    /// Changes a node in place; nothing happens when it is not there.
    pub fn edit_node(&mut self, name: &NodeName, edit: impl FnOnce(&mut Node)) {
        if let Some(row) = self.model.nodes.get(name) {
            let mut row = Node::clone(row);
            edit(&mut row);
            self.put_node(row);
        }
    }

    /// Changes a resource definition in place; nothing happens when it is not there.
    pub fn edit_resource_definition(
        &mut self,
        name: &ResourceName,
        edit: impl FnOnce(&mut ResourceDefinition),
    ) {
        if let Some(row) = self.model.definitions.get(name) {
            let mut row = ResourceDefinition::clone(row);
            edit(&mut row);
            self.put_resource_definition(row);
        }
    }

    /// Changes a replica in place; nothing happens when it is not there.
    pub fn edit_resource(
        &mut self,
        name: &ResourceName,
        node: &NodeName,
        edit: impl FnOnce(&mut Resource),
    ) {
        if let Some(row) = self.model.resource(name, node) {
            let mut row = Resource::clone(row);
            edit(&mut row);
            self.put_resource(row);
        }
    }

    /// Notes how a row is stored that was just read: what in it this version does not know, and whether it is of an
    /// older version.
    pub(crate) fn note_stored(&mut self, key: RowKey, unknown: Option<Unknown>, is_older: bool) {
        self.touched.remove(&key);
        if is_older {
            self.model.older_rows.insert(key.clone());
        }
        if let Some(unknown) = unknown {
            self.model.unknown.insert(key, Arc::new(unknown));
        }
    }

    /// Removes a row; nothing happens when it is not there.
    pub fn remove(&mut self, key: &RowKey) {
        match key {
            RowKey::RowVersions | RowKey::Controller | RowKey::Epoch => return,
            RowKey::Node(node) => {
                self.end_processes(&Object::Node(node.clone()));
                self.model.nodes.remove(node);
            }
            RowKey::StoragePoolDefinition(pool) => drop(self.model.pool_definitions.remove(pool)),
            RowKey::StoragePool(node, pool) => {
                drop(self.model.pools.remove(&(node.clone(), pool.clone())))
            }
            RowKey::ResourceGroup(group) => drop(self.model.groups.remove(group)),
            RowKey::KeyValueStore(name) => drop(self.model.key_value_stores.remove(name)),
            RowKey::MasterKey => self.model.master_key = None,
            RowKey::AuthTokens => self.model.auth_tokens = Arc::default(),
            RowKey::Remote(name) => drop(self.model.remotes.remove(name)),
            RowKey::Schedule(name) => drop(self.model.schedules.remove(name)),
            RowKey::ExternalFile(path) => drop(self.model.external_files.remove(path)),
            RowKey::Process(id) => self.replace_process(*id, None),
            RowKey::ResourceDefinition(name) => {
                self.end_processes(&Object::ResourceDefinition(name.clone()));
                self.unindex_definition(name);
                self.model.definitions.remove(name);
                self.model.pending.remove(name);
            }
            RowKey::Resource(name, node) => {
                self.end_processes(&Object::Resource(name.clone(), node.clone()));
                self.unindex_resource(name, node);
                self.model.resources.remove(&(name.clone(), node.clone()));
                self.index_replica(name, node, None);
                self.index_pending(name);
            }
            RowKey::SnapshotDefinition(name, snapshot) => {
                self.end_processes(&Object::Snapshot(name.clone(), snapshot.clone()));
                self.unindex_snapshot(name, snapshot);
                let empty = self.model.snapshots.get_mut(name).is_some_and(|rows| {
                    rows.remove(snapshot);
                    rows.is_empty()
                });
                if empty {
                    self.model.snapshots.remove(name);
                }
            }
        }
        self.model.unknown.remove(key);
        self.touched.insert(key.clone());
    }

    /// Removes the processes that an object, which is about to be removed, was the subject of.
    fn end_processes(&mut self, removed: &Object) {
        let ids = match (removed, removed.definition()) {
            (_, Some(name)) => self.model.processes_by_definition.get(name),
            (Object::Node(node), None) => self.model.processes_by_node.get(node),
            (_, None) => None,
        };
        for id in ids.cloned().unwrap_or_default() {
            let ends = self.model.processes.get(&id).is_some_and(|process| {
                match (process.subject(), removed) {
                    // Its volume definitions are part of it.
                    (Object::VolumeDefinition(of, _), Object::ResourceDefinition(name)) => {
                        of == *name
                    }
                    (subject, removed) => subject == *removed,
                }
            });
            if ends {
                self.remove(&RowKey::Process(id));
            }
        }
    }

    fn replace_process(&mut self, id: ProcessId, row: Option<Process>) {
        self.touched.insert(RowKey::Process(id));
        let (old, new) = (self.model.processes.get(&id).cloned(), row.map(Arc::new));
        let both = || old.iter().chain(&new);
        // What is reserved for a resource depends on its process.
        let subjects: BTreeSet<(ResourceName, NodeName)> = both()
            .filter_map(|row| row.kind.resource())
            .map(|(name, node)| (name.clone(), node.clone()))
            .collect();
        for (name, node) in &subjects {
            self.reserve_replica(name, node, false);
        }
        if let Some(old) = &old {
            self.index_process(old, false);
        }
        match &new {
            Some(new) => {
                self.index_process(new, true);
                self.model.processes.insert(id, Arc::clone(new));
            }
            None => drop(self.model.processes.remove(&id)),
        }
        for (name, node) in &subjects {
            self.reserve_replica(name, node, true);
        }
        for object in both().flat_map(|row| row.objects()) {
            if let Some(name) = object.definition() {
                self.index_pending(name);
            }
        }
    }

    fn index_process(&mut self, process: &Process, put: bool) {
        let model = &mut self.model;
        if let Some(deadline) = process.deadline {
            match put {
                true => model.deadlines.insert((deadline, process.id)),
                false => model.deadlines.remove(&(deadline, process.id)),
            };
        }
        for object in process.objects() {
            let (by_node, by_definition) = (
                &mut model.processes_by_node,
                &mut model.processes_by_definition,
            );
            match (&object, object.definition(), put) {
                (_, Some(name), true) => add(by_definition, name, &process.id),
                (_, Some(name), false) => take(by_definition, name, &process.id),
                (Object::Node(node), None, true) => add(by_node, node, &process.id),
                (Object::Node(node), None, false) => take(by_node, node, &process.id),
                (_, None, _) => {}
            }
        }
    }

    fn unindex_definition(&mut self, name: &ResourceName) {
        let Some(old) = self.model.definitions.get(name).cloned() else {
            return;
        };
        take(&mut self.model.definitions_by_group, &old.group, name);
        for minor in minors(&old) {
            self.model.used_minors.remove(minor);
        }
        self.reserve(name, false);
    }

    fn index_replica(&mut self, name: &ResourceName, node: &NodeName, row: Option<Arc<Resource>>) {
        let others = self
            .model
            .resources_of(name)
            .filter(|row| row.node != *node);
        let mut rows: Vec<Arc<Resource>> = others.chain(&row).cloned().collect();
        rows.sort_by(|a, b| a.node.cmp(&b.node));
        match rows.is_empty() {
            true => drop(self.model.replicas.remove(name)),
            false => drop(self.model.replicas.insert(name.clone(), rows.into())),
        }
    }

    fn unindex_resource(&mut self, name: &ResourceName, node: &NodeName) {
        let Some(old) = self.model.resource(name, node).cloned() else {
            return;
        };
        self.reserve_replica(name, node, false);
        take(&mut self.model.resources_by_node, node, name);
        for port in old.drbd.iter().flat_map(|drbd| &drbd.ports) {
            if let Some(used) = self.model.used_ports.get_mut(node) {
                used.remove(u32::from(*port));
            }
        }
    }

    fn unindex_snapshot(&mut self, name: &ResourceName, snapshot: &SnapshotName) {
        let Some(old) = self.model.snapshot(name, snapshot).cloned() else {
            return;
        };
        let key = (old.resource.clone(), old.name.clone());
        for node in old.snapshots.keys() {
            take(&mut self.model.snapshots_by_node, node, &key);
        }
    }

    /// Adds to, or takes from, the pools what the replicas of a definition reserve.
    fn reserve(&mut self, name: &ResourceName, put: bool) {
        let resources = self.model.resources_of(name);
        let nodes: Vec<NodeName> = resources.map(|row| row.node.clone()).collect();
        for node in nodes {
            self.reserve_replica(name, &node, put);
        }
    }

    fn reserve_replica(&mut self, name: &ResourceName, node: &NodeName, put: bool) {
        let Some(resource) = self.model.resource(name, node).cloned() else {
            return;
        };
        let Some(definition) = self.model.definitions.get(name).cloned() else {
            return;
        };
        let mut entries: Vec<(StoragePoolName, u64)> = Vec::new();
        for (number, volume) in &resource.volumes {
            let backing = layer::backing(&definition, *number, &resource);
            let kib = |suffix| {
                let mut found = backing.iter().filter(|(of, _)| *of == suffix);
                found.next().map_or(0, |(_, kib)| *kib)
            };
            entries.push((volume.pool.clone(), kib(StorageSuffix::Data)));
            let extra = volume.extra_storage.iter();
            entries.extend(extra.map(|(suffix, pool)| (pool.clone(), kib(*suffix))));
        }
        // What is being removed is free again for others, but its pool is still in use.
        let removed = self.model.removed_storage(&resource).into_iter().flatten();
        entries.extend(removed.map(|(_, pool)| (pool.clone(), 0)));
        for (pool, kib) in entries {
            // Names as the pool's row has them: placement walks both maps in step and knows a clone by its address.
            let key = match self
                .model
                .pools
                .get_key_value(&(node.clone(), pool.clone()))
            {
                Some((key, _)) => key.clone(),
                None => (node.clone(), pool),
            };
            let used: &mut PoolUse = self.model.pool_use.entry(key).or_default();
            if put {
                used.volumes += 1;
                used.reserved_kib = used.reserved_kib.saturating_add(kib);
            } else {
                used.volumes = used.volumes.saturating_sub(1);
                used.reserved_kib = used.reserved_kib.saturating_sub(kib);
            }
        }
    }

    fn index_pending(&mut self, name: &ResourceName) {
        let model = &self.model;
        let definition = model.definitions.get(name);
        // Only DRBD's state shows that a volume is initialized.
        let replicated = |resource: &Arc<Resource>| {
            let drbd = resource.drbd.as_ref();
            drbd.is_some_and(|drbd| !drbd.disk.is_diskless())
        };
        let deploying = definition.is_some_and(|definition| {
            let volumes = || definition.volumes.values();
            volumes().any(|volume| !volume.file_system_on.is_empty() || volume.changes_key())
                || volumes().any(|volume| !volume.initialized)
                    && model.resources_of(name).any(replicated)
                || model.resources_of(name).any(|row| row.is_being_restored())
        });
        if deploying || model.processes_by_definition.contains_key(name) {
            self.model.pending.insert(name.clone());
        } else {
            self.model.pending.remove(name);
        }
    }
}
