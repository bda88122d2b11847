//! What nodes reported: in memory only, and reported again after a restart of the controller.
//!
//! Without an entry nothing is known; an entry is the last report of the node. Entries of a node that is not online
//! remain: people are better served by the last known state than by none. The node's status marks them as stale, and
//! plans must not rely on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use linstor_api::drbd_state::{DiskState, ReplicationState};
use linstor_api::kind::ConnectionStatus;
use linstor_wire::Key;
use linstor_wire::message::SuspensionState;
use linstor_wire::status::{ForeignDrbd, NodeInfo, Outcome, PoolStatus, ResourceStatus};
use uuid::Uuid;

use crate::model::RowKey;
use crate::name::{NodeName, ResourceName, SnapshotName, StoragePoolName};
use crate::numbers::Ranges;
use crate::storage_pool::StoragePool;
use crate::watermark::Trend;

/// What is known of a node's satellite.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStatus {
    /// State of the connection.
    pub connection: ConnectionStatus,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Why it is not online, for a person.
    pub reason: Option<String>,
    /// The satellite's last report of the node's capabilities.
    pub info: Option<Arc<NodeInfo>>,
    /// Version that the satellite reported.
    pub version: Option<String>,
}

/// How far an object of a node has got: the node itself or a resource on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// Identity of the object.
    pub uuid: Uuid,
    /// The newest generation of the model whose spec was tried.
    pub generation: u64,
    /// How it went.
    pub outcome: Outcome,
    /// Ids of the spec's instructions that have been carried out.
    pub done: Vec<Uuid>,
    /// Since when it is so, in milliseconds since the Unix epoch.
    pub at: u64,
    /// When the satellite tries again, in milliseconds since the Unix epoch; only after a failure.
    pub next_try: Option<u64>,
}

/// What is known of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedPool {
    /// The satellite's report.
    pub status: PoolStatus,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// How much was reserved in the pool (model) at the time of the report; what was reserved since is not in it.
    pub reserved_kib_then: u64,
}

/// Everything that nodes reported. A clone is a pointer.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Satellites.
    pub nodes: OrdMap<NodeName, NodeStatus>,
    /// Pools.
    pub pools: OrdMap<(NodeName, StoragePoolName), ObservedPool>,
    /// How fast pools fill.
    pub trends: OrdMap<(NodeName, StoragePoolName), Trend>,
    /// Replicas, as their nodes see them.
    pub resources: OrdMap<(ResourceName, NodeName), Arc<ResourceStatus>>,
    /// Resources in DRBD that are not LINSTOR's; only of nodes that have such.
    pub foreign_drbd: OrdMap<NodeName, Arc<Vec<ForeignDrbd>>>,
    /// Ports that nodes found in use, until they connect anew.
    pub busy_ports: OrdMap<NodeName, BTreeSet<u16>>,
    /// How far nodes and resources have got, by [`RowKey::Node`] and [`RowKey::Resource`].
    pub applied: OrdMap<RowKey, Arc<Applied>>,
    /// How far nodes have got with their parts of snapshots.
    pub snapshots: OrdMap<(ResourceName, SnapshotName, NodeName), Arc<Applied>>,
    /// Suspensions of I/O by which snapshots are taken.
    pub suspensions: OrdMap<(Uuid, NodeName), SuspensionState>,
}

impl Observed {
    /// Whether the node is connected and synchronised.
    pub fn is_online(&self, node: &NodeName) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|status| status.connection == ConnectionStatus::Online)
    }

    /// Whether snapshots can be taken of volumes of a pool. Of FILE pools it depends on their file system, which only the
    /// node knows.
    pub fn supports_snapshots(&self, pool: &StoragePool) -> bool {
        let seen = self.pools.get(&(pool.node.clone(), pool.name.clone()));
        let has_reflinks = seen.and_then(|seen| seen.status.has_reflinks);
        pool.kind.supports_snapshots() && has_reflinks != Some(false)
    }

    /// The last report of a replica's node, if that is online.
    pub fn live(&self, name: &ResourceName, node: &NodeName) -> Option<&Arc<ResourceStatus>> {
        if !self.is_online(node) {
            return None;
        }
        self.resources.get(&(name.clone(), node.clone()))
    }

    /// Minors that no volume can have on all nodes.
    pub fn foreign_minors(&self) -> Ranges {
        let resources = self.foreign_drbd.values().flat_map(|all| &**all);
        Ranges::of(resources.flat_map(|resource| &resource.minors).copied())
    }

    /// Ports that no resource can have on a node, other than those of LINSTOR's own resources.
    pub fn unusable_ports(&self, node: &NodeName) -> BTreeSet<u16> {
        let foreign = self
            .foreign_drbd
            .get(node)
            .into_iter()
            .flat_map(|all| &**all);
        let busy = self.busy_ports.get(node).into_iter().flatten();
        foreign
            .flat_map(|resource| &resource.ports)
            .chain(busy)
            .copied()
            .collect()
    }

    /// Whether the replica was last seen as primary; none when its node is not online.
    pub fn in_use(&self, name: &ResourceName, node: &NodeName) -> Option<bool> {
        let status = self.live(name, node)?;
        status.drbd.as_ref().map(|drbd| drbd.in_use)
    }

    /// Whether all volumes of the replica are up to date on its own disk.
    pub fn is_up_to_date(&self, name: &ResourceName, node: &NodeName) -> bool {
        self.live(name, node).is_some_and(|status| {
            !status.volumes.is_empty()
                && status
                    .volumes
                    .iter()
                    .all(|volume| volume.disk_state == Some(DiskState::UpToDate))
        })
    }

    /// How much of the replica's disk is synchronised, in percent, while it is the target of a synchronisation.
    pub fn sync_percent(&self, name: &ResourceName, node: &NodeName) -> Option<f64> {
        let status = self.live(name, node)?;
        let volumes = status.volumes.iter();
        let peers = volumes.flat_map(|volume| volume.replication.values());
        peers
            .filter(|peer| peer.state == ReplicationState::SyncTarget)
            .filter_map(|peer| peer.done_percent)
            .reduce(f64::min)
    }

    /// Whether the node has tried the spec of this generation or a newer one for this very resource; and how it went.
    pub fn applied_since(
        &self,
        name: &ResourceName,
        node: &NodeName,
        uuid: Uuid,
        generation: u64,
    ) -> Option<&Applied> {
        let key = RowKey::Resource(name.clone(), node.clone());
        self.applied_of(&key, uuid)
            .filter(|applied| applied.generation >= generation)
    }

    /// How far a node has got with its part of a snapshot, if anything is known of it.
    pub fn snapshot_applied(
        &self,
        (name, snapshot, node): (&ResourceName, &SnapshotName, &NodeName),
        uuid: Uuid,
    ) -> Option<&Applied> {
        let key = (name.clone(), snapshot.clone(), node.clone());
        let applied = self.snapshots.get(&key).map(|applied| &**applied);
        applied.filter(|applied| applied.uuid == uuid)
    }

    /// How far the object of a node with this identity has got, if anything is known of it.
    pub fn applied_of_key(&self, key: &Key, node: &NodeName, uuid: Uuid) -> Option<&Applied> {
        match key {
            Key::Node | Key::Other(_) => self.applied_of(&RowKey::Node(node.clone()), uuid),
            Key::Resource(name) => self.applied_since(name, node, uuid, 0),
            Key::Snapshot(name, snapshot) => self.snapshot_applied((name, snapshot, node), uuid),
        }
    }

    /// How far an object of a node has got.
    pub fn applied_to(&mut self, key: &Key, node: &NodeName) -> Option<&mut Arc<Applied>> {
        match key {
            Key::Node | Key::Other(_) => self.applied.get_mut(&RowKey::Node(node.clone())),
            Key::Resource(name) => {
                let key = RowKey::Resource(name.clone(), node.clone());
                self.applied.get_mut(&key)
            }
            Key::Snapshot(name, snapshot) => {
                let key = (name.clone(), snapshot.clone(), node.clone());
                self.snapshots.get_mut(&key)
            }
        }
    }

    /// How far the object with this identity has got, if anything is known of it.
    pub fn applied_of(&self, key: &RowKey, uuid: Uuid) -> Option<&Applied> {
        let applied = self.applied.get(key).map(|applied| &**applied);
        applied.filter(|applied| applied.uuid == uuid)
    }
}
