//! Publishes a stored model and takes over what nodes report, and wakes who waits for that.
//!
//! An update is a short critical section on a persistent map and wakes only who waits for that very definition, so that
//! many callers and many satellites do not wake each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linstor_api::code;
use linstor_api::kind::ConnectionStatus;
use linstor_model::external_file::needs_any;
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName, SnapshotName, StoragePoolName};
use linstor_model::observed::{Applied, NodeStatus, ObservedPool};
use linstor_model::process::{Kind, Object};
use linstor_model::watermark::Trend;
use linstor_model::{Model, Observed, layer};
use linstor_wire::Key;
use linstor_wire::message::{SuspensionEnd, SuspensionState};
use linstor_wire::status::{NodeInfo, Outcome, PoolStatus, ResourceStatus};
use uuid::Uuid;

use crate::cluster::Cluster;

/// A pool that will be full within this time is logged, in seconds.
const FORECAST_SECONDS: f64 = 86_400.0;

impl Cluster {
    /// Makes a stored model the one that is read, and wakes links, tasks and waits for what was touched.
    pub(crate) fn publish(&self, model: Arc<Model>, touched: &BTreeSet<RowKey>) {
        let before = self.model();
        let reach = Reach::of(&before, &model, touched);
        self.shared.model.store(Arc::clone(&model));
        self.note_unmade(touched);
        self.forget_removed(&model, touched);
        self.shared.announce();
        for (name, nodes) in &reach.definitions {
            let key = RowKey::ResourceDefinition(name.clone());
            let exists = model.definitions.contains_key(name);
            self.shared.waiters.touched(&key, model.generation, exists);
            let spec = Key::Resource(name.clone());
            self.shared.mailboxes.touch(&spec, nodes);
            self.shared.waiters.wake(&key);
            if model.is_pending(name) {
                self.shared.pending.mark(&model, key);
            }
        }
        for ((name, snapshot), nodes) in &reach.snapshots {
            let key = Key::Snapshot(name.clone(), snapshot.clone());
            self.shared.mailboxes.touch(&key, nodes);
        }
        for node in &reach.nodes {
            let key = RowKey::Node(node.clone());
            let exists = model.node(node).is_some();
            self.shared.waiters.touched(&key, model.generation, exists);
            self.shared.mailboxes.touch(&Key::Node, [node]);
        }
        if touched.iter().any(|key| matches!(key, RowKey::Node(_))) {
            self.shared.mailboxes.nodes_changed.notify_one();
            self.shared.waiters.wake_nodes();
        }
        for node in &reach.changed_nodes {
            if model.processes_on(node).next().is_some() {
                self.shared.pending.mark(&model, RowKey::Node(node.clone()));
            }
        }
        let is_new = |key: &RowKey| match key {
            RowKey::StoragePool(node, pool) => before.pool(node, pool).is_none(),
            RowKey::Node(node) => {
                let is_target = |model: &Model| {
                    let row = model.node(node);
                    row.is_some_and(|row| !row.evicted && !row.evacuate)
                };
                is_target(&model) && !is_target(&before)
            }
            _ => false,
        };
        if touched.iter().any(is_new) {
            self.shared.due.pool_added.notify_one();
        }
        if !model.controller.settling.is_empty() {
            self.shared.settling.notify_one();
        }
        let of_backups = |key: &RowKey| {
            matches!(
                key,
                RowKey::Process(_) | RowKey::Node(_) | RowKey::Controller
            )
        };
        if touched.iter().any(of_backups) {
            self.shared.backups.notify_one();
        }
        if !model.schedules.is_empty() || !before.schedules.is_empty() {
            self.shared.schedules.notify_one();
        }
    }

    fn note_unmade(&self, touched: &BTreeSet<RowKey>) {
        let model = self.model();
        let mut unmade = lock(&self.shared.unmade);
        for key in touched {
            let RowKey::Resource(name, node) = key else {
                continue;
            };
            let names = unmade.entry(node.clone()).or_default();
            if let Some(row) = model.resource(name, node) {
                self.shared.due.stored(row);
            }
            match model.resource(name, node) {
                Some(_) => names.insert(name.clone()),
                None => names.remove(name),
            };
            if names.is_empty() {
                unmade.remove(node);
            }
        }
    }

    /// Removes what is known of rows that were deleted, or that are another object under the same name.
    fn forget_removed(&self, model: &Model, touched: &BTreeSet<RowKey>) {
        let removed: Vec<&RowKey> = touched
            .iter()
            .filter(|key| match key {
                RowKey::Node(node) => model.node(node).is_none(),
                RowKey::StoragePool(node, pool) => model.pool(node, pool).is_none(),
                RowKey::Resource(..) | RowKey::SnapshotDefinition(..) => true,
                RowKey::Process(id) => !model.processes.contains_key(id),
                RowKey::RowVersions
                | RowKey::Controller
                | RowKey::Epoch
                | RowKey::StoragePoolDefinition(_)
                | RowKey::ResourceGroup(_)
                | RowKey::ResourceDefinition(_)
                | RowKey::KeyValueStore(_)
                | RowKey::MasterKey
                | RowKey::AuthTokens
                | RowKey::Remote(_)
                | RowKey::Schedule(_)
                | RowKey::ExternalFile(_) => false,
            })
            .collect();
        if removed.is_empty() {
            return;
        }
        for key in &removed {
            if let RowKey::Node(node) = key {
                self.shared.requests.forget(node);
            }
        }
        self.shared.observe(|observed| {
            for key in removed {
                match key {
                    RowKey::Node(node) => {
                        observed.nodes.remove(node);
                        observed.foreign_drbd.remove(node);
                        observed.busy_ports.remove(node);
                        observed.applied.remove(key);
                    }
                    RowKey::StoragePool(node, pool) => {
                        let key = (node.clone(), pool.clone());
                        observed.trends.remove(&key);
                        drop(observed.pools.remove(&key));
                    }
                    RowKey::Resource(name, node) => forget_replica(observed, model, name, node),
                    RowKey::SnapshotDefinition(name, snapshot) => {
                        forget_snapshot(observed, model, name, snapshot);
                    }
                    RowKey::Process(_) => forget_suspensions(observed, model),
                    RowKey::RowVersions
                    | RowKey::Controller
                    | RowKey::Epoch
                    | RowKey::StoragePoolDefinition(_)
                    | RowKey::ResourceGroup(_)
                    | RowKey::ResourceDefinition(_)
                    | RowKey::KeyValueStore(_)
                    | RowKey::MasterKey
                    | RowKey::AuthTokens
                    | RowKey::Remote(_)
                    | RowKey::Schedule(_)
                    | RowKey::ExternalFile(_) => {}
                }
            }
        });
    }

    /// Takes over a new state of the connection to a node. It counts from when it began, whatever else is new.
    pub(crate) fn observe_node(
        &self,
        node: &NodeName,
        connection: ConnectionStatus,
        update: impl FnOnce(&mut NodeStatus),
    ) {
        let now = self.env().now_ms();
        self.shared.observe(|observed| {
            // A node that was just removed must not get an entry again.
            if self.model().node(node).is_none() {
                return;
            }
            let status = observed.nodes.entry(node.clone());
            let status = status.or_insert_with(|| NodeStatus {
                connection,
                since: now,
                reason: None,
                info: None,
                version: None,
            });
            if status.connection != connection {
                status.connection = connection;
                status.since = now;
                observed.busy_ports.remove(node);
            }
            let Some(status) = observed.nodes.get_mut(node) else {
                return;
            };
            update(status);
            if !is_connected(connection) {
                // The satellite ends them with the connection, whether it can report that or not.
                let ended = SuspensionState::Ended {
                    reason: SuspensionEnd::ControllerLost,
                };
                let held = observed.suspensions.keys().filter(|(_, on)| on == node);
                for key in held.cloned().collect::<Vec<_>>() {
                    observed.suspensions.insert(key, ended.clone());
                }
            }
            note_foreign(observed, node);
        });
        self.node_changed(node);
    }

    /// Takes over what a connected node is able to do now.
    pub(crate) fn observe_info(&self, node: &NodeName, info: NodeInfo) {
        self.shared.observe(|observed| {
            if let Some(status) = observed.nodes.get_mut(node) {
                status.info = Some(Arc::new(info));
            }
            note_foreign(observed, node);
        });
        self.node_changed(node);
    }

    /// Wakes who waits, and what is pending on the node, after a change of a node.
    fn node_changed(&self, node: &NodeName) {
        let model = self.model();
        for name in model.pending_definitions() {
            if model.resource(name, node).is_some() {
                let key = RowKey::ResourceDefinition(name.clone());
                self.shared.pending.mark(&model, key);
            }
        }
        self.shared.waiters.wake_all();
    }

    /// Takes over the status of replicas on a node. Those that the model does not have are ignored.
    pub(crate) fn observe_status(
        &self,
        node: &NodeName,
        resources: Vec<ResourceStatus>,
        gone: &[Key],
    ) {
        let mut names = Vec::with_capacity(resources.len() + gone.len());
        let mut given_up = Vec::new();
        let now = self.env().now_ms();
        self.shared.observe(|observed| {
            let model = self.model();
            for status in resources {
                let Ok(name) = ResourceName::parse(&status.name) else {
                    continue;
                };
                let known = model.resource(&name, node);
                if let Some(replica) = known.filter(|replica| replica.uuid == status.uuid) {
                    // The model's own names: no second copy of them, and compared by their addresses.
                    let key = (replica.name.clone(), replica.node.clone());
                    if status.drbd.as_ref().is_some_and(|drbd| drbd.disk_given_up) {
                        given_up.push(name.clone());
                    }
                    let in_use = status.drbd.as_ref().is_some_and(|drbd| drbd.in_use);
                    self.shared.due.use_reported(replica, in_use, now);
                    observed.resources.insert(key, Arc::new(status));
                    names.push(name);
                }
            }
            for key in gone {
                if let Key::Resource(name) = key {
                    observed.resources.remove(&(name.clone(), node.clone()));
                    names.push(name.clone());
                }
            }
        });
        let model = self.model();
        for name in &names {
            self.changed(&model, name);
        }
        for name in given_up {
            let key = RowKey::ResourceDefinition(name);
            self.shared.pending.mark(&model, key);
        }
    }

    /// Takes over the outcome of an attempt at an object of a node. One that the model does not have is ignored.
    pub(crate) fn observe_applied(&self, node: &NodeName, key: &Key, mut applied: Applied) {
        let model = self.model();
        let Some((row, uuid)) = applied_row(&model, key, node) else {
            return;
        };
        if applied.uuid != uuid {
            return;
        }
        let busy = busy_port(&applied.outcome);
        self.shared.observe(|observed| {
            if let Some(port) = busy {
                observed
                    .busy_ports
                    .entry(node.clone())
                    .or_default()
                    .insert(port);
            }
            if let Some(before) = observed.applied_to(key, node)
                && before.uuid == applied.uuid
                && is_same(&before.outcome, &applied.outcome)
            {
                // Reported again, for the time of the next attempt or its progress: it is so since the first time.
                applied.at = before.at;
            }
            let applied = Arc::new(applied);
            match row {
                AppliedRow::Row(row) => drop(observed.applied.insert(row, applied)),
                AppliedRow::Snapshot(part) => drop(observed.snapshots.insert(part, applied)),
            }
        });
        if let (Some(port), Key::Resource(name)) = (busy, key) {
            self.shared
                .due
                .port_is_busy((name.clone(), node.clone()), port);
        }
        self.applied_changed(&model, key);
    }

    /// Notes that newer models ask nothing more of these objects than what has been tried already.
    pub(crate) fn observe_unchanged(&self, node: &NodeName, keys: &[Key], generation: u64) {
        if keys.is_empty() {
            return;
        }
        self.shared.observe(|observed| {
            for key in keys {
                if let Some(applied) = observed.applied_to(key, node) {
                    let applied = Arc::make_mut(applied);
                    applied.generation = applied.generation.max(generation);
                }
            }
        });
        let model = self.model();
        for key in keys {
            self.applied_changed(&model, key);
        }
    }

    fn applied_changed(&self, model: &Model, key: &Key) {
        match key {
            Key::Node => self.shared.waiters.wake_nodes(),
            Key::Resource(name) | Key::Snapshot(name, _) => self.changed(model, name),
            Key::Other(_) => {}
        }
    }

    /// Takes over the space of a node's pools.
    ///
    /// What is reserved for replicas created since `connected_at` that the node has not made yet is still to be taken
    /// off the free space; older ones are in it.
    pub(crate) fn observe_space(&self, node: &NodeName, pools: Vec<PoolStatus>, connected_at: u64) {
        let at = self.env().now_ms();
        self.shared.observe(|observed| {
            let model = self.model();
            let unmade_kib = self.unmade_kib(&model, observed, node, connected_at);
            for status in pools {
                let Ok(pool) = StoragePoolName::parse(&status.name) else {
                    continue;
                };
                if model.pool(node, &pool).is_none() {
                    continue;
                }
                let reserved = model.pool_use(node, &pool).reserved_kib;
                let unmade = unmade_kib.get(&pool).copied().unwrap_or(0);
                let key = (node.clone(), pool.clone());
                let trend = Trend::with(observed.trends.get(&key).copied(), &status, at);
                self.log_forecast(&key, observed.trends.get(&key).copied(), trend, at);
                match trend {
                    Some(trend) => observed.trends.insert(key, trend),
                    None => observed.trends.remove(&key),
                };
                let seen = ObservedPool {
                    status,
                    at,
                    reserved_kib_then: reserved.saturating_sub(unmade),
                };
                observed.pools.insert((node.clone(), pool), seen);
            }
        });
        self.shared.waiters.wake_nodes();
    }

    /// Logs once that a pool will be full within a day, if it goes on filling as it does.
    fn log_forecast(
        &self,
        (node, pool): &(NodeName, StoragePoolName),
        before: Option<Trend>,
        now: Option<Trend>,
        at: u64,
    ) {
        let soon = |trend: Option<Trend>| {
            let seconds = trend?.full_in_seconds(at)?;
            (seconds < FORECAST_SECONDS).then_some(seconds)
        };
        if let (None, Some(seconds)) = (soon(before), soon(now)) {
            let hours = (seconds / 3600.0).ceil();
            tracing::warn!(%node, %pool, hours, "storage pool will be full soon at the rate at which it fills");
        }
    }

    /// How much of each pool is reserved for resources that the node has not made yet.
    fn unmade_kib(
        &self,
        model: &Model,
        observed: &Observed,
        node: &NodeName,
        connected_at: u64,
    ) -> BTreeMap<StoragePoolName, u64> {
        let mut kib_of = BTreeMap::new();
        let mut unmade = lock(&self.shared.unmade);
        let Some(names) = unmade.get_mut(node) else {
            return kib_of;
        };
        names.retain(|name| {
            let row = model.resource(name, node);
            row.is_some_and(|row| {
                let applied = observed.applied_since(name, node, row.uuid, 0);
                let done = applied.is_some_and(|applied| applied.outcome == Outcome::Done);
                row.created_at >= connected_at && !done
            })
        });
        for name in names.iter() {
            let rows = (model.resource(name, node), model.definitions.get(name));
            let (Some(row), Some(definition)) = rows else {
                continue;
            };
            for (number, volume) in &row.volumes {
                for (suffix, kib) in layer::backing(definition, *number, row) {
                    if let Some(pool) = volume.pool_of(suffix) {
                        *kib_of.entry(pool.clone()).or_default() += kib;
                    }
                }
            }
        }
        kib_of
    }

    /// Takes over the state of a suspension of I/O.
    pub(crate) fn observe_suspension(&self, node: &NodeName, lease: Uuid, state: SuspensionState) {
        let model = self.model();
        let mut processes = model.processes.values();
        let Some(process) = processes.find(
            |process| matches!(&process.kind, Kind::TakeSnapshot(take) if take.lease == lease),
        ) else {
            return;
        };
        self.shared.observe(|observed| {
            observed.suspensions.insert((lease, node.clone()), state);
        });
        for name in process.objects().iter().filter_map(Object::definition) {
            self.changed(&model, name);
        }
    }

    /// Takes over which turns at shared spaces a node wants or has.
    pub(crate) fn observe_turns(
        &self,
        node: &NodeName,
        wanted: &BTreeMap<String, Uuid>,
        held: &BTreeSet<String>,
    ) {
        let now = tokio::time::Instant::now();
        let turns = &self.shared.turns;
        for node in turns.named(&self.model(), node, (wanted, held), now) {
            self.shared.mailboxes.turns(&node);
        }
    }

    /// Wakes who waits for a change of a definition.
    fn changed(&self, model: &Model, name: &ResourceName) {
        let key = RowKey::ResourceDefinition(name.clone());
        self.shared.waiters.wake(&key);
        if model.is_pending(name) {
            self.shared.pending.mark(model, key);
        }
    }
}

/// No code panics while it holds the lock; if some did, the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forget_replica(observed: &mut Observed, model: &Model, name: &ResourceName, node: &NodeName) {
    let key = (name.clone(), node.clone());
    let uuid = model.resource(name, node).map(|replica| replica.uuid);
    if observed.resources.get(&key).map(|status| status.uuid) != uuid {
        observed.resources.remove(&key);
    }
    let key = RowKey::Resource(key.0, key.1);
    if observed.applied.get(&key).map(|applied| applied.uuid) != uuid {
        observed.applied.remove(&key);
    }
}

/// Finds resources in DRBD of which the node's own report says that they are not LINSTOR's.
fn note_foreign(observed: &mut Observed, node: &NodeName) {
    let info = observed
        .nodes
        .get(node)
        .and_then(|status| status.info.as_ref());
    let found = info.filter(|info| !info.foreign_drbd.is_empty());
    match found.map(|info| Arc::new(info.foreign_drbd.clone())) {
        Some(found) => observed.foreign_drbd.insert(node.clone(), found),
        None => observed.foreign_drbd.remove(node),
    };
}

/// The port that an attempt found in use.
fn busy_port(outcome: &Outcome) -> Option<u16> {
    let Outcome::Failed { replies } = outcome else {
        return None;
    };
    let mut busy = replies.iter().filter(|reply| {
        reply.ret_code & code::MASK_BITS_CODE == code::FAIL_INVLD_RSC_PORT & code::MASK_BITS_CODE
    });
    busy.find_map(|reply| reply.obj_refs.get("TcpPort")?.parse().ok())
}

/// Whether an outcome is the one before, or the same wait that has got further.
fn is_same(before: &Outcome, now: &Outcome) -> bool {
    match (before, now) {
        (Outcome::Waiting { on: before, .. }, Outcome::Waiting { on: now, .. }) => before == now,
        _ => before == now,
    }
}

fn forget_snapshot(
    observed: &mut Observed,
    model: &Model,
    name: &ResourceName,
    snapshot: &SnapshotName,
) {
    let row = model.snapshot(name, snapshot);
    for node in model.nodes.keys() {
        let part = (name.clone(), snapshot.clone(), node.clone());
        let uuid = row.and_then(|row| row.on(node)).map(|part| part.uuid);
        if observed.snapshots.get(&part).map(|applied| applied.uuid) != uuid {
            observed.snapshots.remove(&part);
        }
    }
}

/// Drops what is known of suspensions that nobody needs any more.
fn forget_suspensions(observed: &mut Observed, model: &Model) {
    if observed.suspensions.is_empty() {
        return;
    }
    let held = |lease| {
        let mut kinds = model.processes.values().map(|process| &process.kind);
        kinds.any(|kind| matches!(kind, Kind::TakeSnapshot(take) if take.lease == lease))
    };
    let gone = observed
        .suspensions
        .keys()
        .filter(|(lease, _)| !held(*lease));
    for key in gone.cloned().collect::<Vec<_>>() {
        observed.suspensions.remove(&key);
    }
}

/// The part of a snapshot that is on a node.
type Part = (ResourceName, SnapshotName, NodeName);

/// Where the outcome of an attempt at an object is.
enum AppliedRow {
    Row(RowKey),
    Snapshot(Part),
}

/// Where the outcome of an attempt at an object of the model is, with the model's own names, and the object's identity.
fn applied_row(model: &Model, key: &Key, node: &NodeName) -> Option<(AppliedRow, Uuid)> {
    match key {
        Key::Node => {
            let row = model.node(node)?;
            Some((AppliedRow::Row(RowKey::Node(row.name.clone())), row.uuid))
        }
        Key::Resource(name) => {
            let row = model.resource(name, node)?;
            let key = RowKey::Resource(row.name.clone(), row.node.clone());
            Some((AppliedRow::Row(key), row.uuid))
        }
        Key::Snapshot(name, snapshot) => {
            let row = model.snapshot(name, snapshot)?;
            let part = (row.resource.clone(), row.name.clone(), node.clone());
            Some((AppliedRow::Snapshot(part), row.on(node)?.uuid))
        }
        Key::Other(_) => None,
    }
}

/// Whether the satellite is connected, synchronised or not.
pub(crate) fn is_connected(status: ConnectionStatus) -> bool {
    match status {
        ConnectionStatus::Connected
        | ConnectionStatus::Online
        | ConnectionStatus::Authenticated => true,
        ConnectionStatus::Offline
        | ConnectionStatus::VersionMismatch
        | ConnectionStatus::FullSyncFailed
        | ConnectionStatus::AuthenticationError
        | ConnectionStatus::Unknown
        | ConnectionStatus::HostnameMismatch
        | ConnectionStatus::OtherController
        | ConnectionStatus::NoStltConn
        | ConnectionStatus::MissingExtTools
        | ConnectionStatus::DuplicateUname => false,
    }
}

/// Which specs a set of touched rows may have changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reach {
    /// Definitions, each with the nodes that have, or had, a replica of it.
    definitions: BTreeMap<ResourceName, BTreeSet<NodeName>>,
    /// Snapshots, each with the nodes that have, or had, a part of it or a resource that it is of.
    snapshots: BTreeMap<(ResourceName, SnapshotName), BTreeSet<NodeName>>,
    /// Nodes whose own spec may have changed.
    nodes: BTreeSet<NodeName>,
    /// Nodes with a process or a resource that was touched.
    changed_nodes: BTreeSet<NodeName>,
}

impl Reach {
    fn of(before: &Model, after: &Model, touched: &BTreeSet<RowKey>) -> Reach {
        let mut reach = Reach::default();
        let (old, new) = (&before.controller, &after.controller);
        // The progress of settling is in no spec.
        if (old.cluster_id, &old.props) != (new.cluster_id, &new.props) {
            reach.nodes.extend(after.nodes.keys().cloned());
            reach.add(before, after, after.definitions.keys());
        }
        for key in touched {
            match key {
                RowKey::RowVersions
                | RowKey::Controller
                | RowKey::Epoch
                | RowKey::KeyValueStore(_)
                | RowKey::MasterKey
                | RowKey::Remote(_)
                | RowKey::Schedule(_)
                | RowKey::ExternalFile(_) => {}
                // The link then checks whether its satellite has its token.
                RowKey::AuthTokens => {
                    let (old, new) = (&before.auth_tokens.tokens, &after.auth_tokens.tokens);
                    let changed = new.iter().filter(|(id, token)| old.get(id) != Some(token));
                    let nodes = changed.filter_map(|(_, token)| token.node.as_ref());
                    reach.nodes.extend(nodes.map(|node| node.name.clone()));
                }
                RowKey::ResourceDefinition(name) => reach.add(before, after, [name].into_iter()),
                RowKey::Resource(name, node) => {
                    reach.add(before, after, [name].into_iter());
                    reach.changed_nodes.insert(node.clone());
                    if let Some(nodes) = reach.definitions.get_mut(name) {
                        nodes.insert(node.clone());
                    }
                }
                RowKey::Process(id) => {
                    let versions = [before.processes.get(id), after.processes.get(id)];
                    for object in versions.into_iter().flatten().flat_map(|row| row.objects()) {
                        reach.add(before, after, object.definition().into_iter());
                        match object {
                            Object::Node(node) => drop(reach.changed_nodes.insert(node)),
                            Object::Snapshot(name, snapshot) => {
                                reach.add_snapshot(before, after, &name, &snapshot);
                            }
                            _ => {}
                        }
                    }
                }
                RowKey::SnapshotDefinition(name, snapshot) => {
                    reach.add(before, after, [name].into_iter());
                    reach.add_snapshot(before, after, name, snapshot);
                }
                RowKey::ResourceGroup(group) => {
                    reach.add(before, after, after.definitions_of(group))
                }
                RowKey::Node(node) | RowKey::StoragePool(node, _) => {
                    reach.nodes.insert(node.clone());
                    let names = after.resources_on(node).map(|replica| &replica.name);
                    reach.add(before, after, names);
                }
                RowKey::StoragePoolDefinition(pool) => {
                    for node in after.nodes.keys() {
                        if after.pool(node, pool).is_some() {
                            reach.nodes.insert(node.clone());
                            let names = after.resources_on(node).map(|replica| &replica.name);
                            reach.add(before, after, names);
                        }
                    }
                }
            }
        }
        reach.add_needed_files(before, after, touched);
        reach
    }

    /// External files are in the spec of the nodes whose resources need them.
    fn add_needed_files(&mut self, before: &Model, after: &Model, touched: &BTreeSet<RowKey>) {
        if before.external_files.is_empty() && after.external_files.is_empty() {
            return;
        }
        if touched
            .iter()
            .any(|key| matches!(key, RowKey::ExternalFile(_)))
        {
            self.nodes.extend(after.nodes.keys().cloned());
        }
        let needs = |model: &Model, name| {
            model
                .definitions
                .get(name)
                .is_some_and(|row| needs_any(row))
        };
        for (name, nodes) in &self.definitions {
            if needs(before, name) || needs(after, name) {
                self.nodes.extend(nodes.iter().cloned());
            }
        }
    }

    fn add_snapshot(
        &mut self,
        before: &Model,
        after: &Model,
        name: &ResourceName,
        snapshot: &SnapshotName,
    ) {
        let key = (name.clone(), snapshot.clone());
        let nodes = self.snapshots.entry(key).or_default();
        for model in [before, after] {
            let parts = model.snapshot(name, snapshot).into_iter();
            nodes.extend(parts.flat_map(|row| row.snapshots.keys().cloned()));
            nodes.extend(model.resources_of(name).map(|replica| replica.node.clone()));
        }
        for node in nodes.iter() {
            if after.processes_on(node).next().is_some() {
                self.changed_nodes.insert(node.clone());
            }
        }
    }

    fn add<'a>(
        &mut self,
        before: &Model,
        after: &Model,
        names: impl Iterator<Item = &'a ResourceName>,
    ) {
        for name in names {
            if self.definitions.contains_key(name) {
                continue;
            }
            let replicas = before.resources_of(name).chain(after.resources_of(name));
            let nodes = replicas.map(|replica| replica.node.clone()).collect();
            self.definitions.insert(name.clone(), nodes);
        }
    }
}
