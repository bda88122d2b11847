//! Snapshots: what the volumes of a resource held at one moment, with everything that was set for the resource then.
//!
//! A snapshot outlives its resources and their properties, so it has copies of their rows. Its own place in the model is
//! below the resource definition, which is not deleted while it has snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_api::sorted_map::SortedMap;
use linstor_wire::spec::{SnapshotSpec, SnapshotTarget, SnapshotVolumeSpec};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::draft::Draft;
use crate::layer;
use crate::layer::luks::Keys;
use crate::model::Model;
use crate::name::{NodeName, ResourceName, SnapshotName, StoragePoolName};
use crate::process::{Kind, restore_backup, roll_back, ship_backup, ship_snapshot, take_snapshot};
use crate::props;
use crate::resource::shared;
use crate::row::{Props, is_default};
use crate::{Resource, ResourceDefinition, VolumeDefinition};

/// A snapshot of a resource definition, with its parts on the nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotDefinition {
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Its name.
    pub name: SnapshotName,
    /// Its identity.
    pub uuid: Uuid,
    /// When it was asked for.
    pub created_at: u64,
    /// Grows with each snapshot of the resource definition: the largest is that of the most recent one.
    pub sequence_number: u64,
    /// How far it is.
    pub state: SnapshotState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Reply>,
    /// When its data was that of its resource; the same on all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<u64>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reason: SnapshotReason,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// Properties that the resource definition had.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub definition_props: Props,
    /// Layers that the resource definition had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_stack: Vec<LayerKind>,
    /// How DRBD's metadata on its volumes is laid out; none without DRBD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_log: Option<ActivityLog>,
    /// DRBD acknowledged writes before all disks had them: its parts may differ.
    #[serde(default, skip_serializing_if = "is_default")]
    pub may_differ: bool,
    /// The volume definitions as they were.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub volumes: SortedMap<u32, VolumeDefinition>,
    /// Its parts on the nodes.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub snapshots: SortedMap<NodeName, Snapshot>,
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// It is being taken.
    Incomplete,
    /// It was taken on all its nodes, and all of it is of one moment.
    Successful,
    /// It could not be taken.
    FailedDeployment,
    /// It could not be taken, as a node was not connected.
    FailedDisconnect,
}

/// Who asked for a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotReason {
    /// A request.
    #[default]
    Request,
    /// The interval in `AutoSnapshot/RunEvery` was over.
    Automatic,
    /// A rollback, to return to if it fails.
    Safety,
    /// A clone, which is made of it. Lists do not show it.
    Clone,
}

/// The activity log of DRBD's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityLog {
    /// Its stripes.
    pub stripes: u32,
    /// Size of a stripe in KiB.
    pub stripe_kib: u32,
}

/// The part of a snapshot that is on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its identity; part of the ownership tag of its volumes.
    pub uuid: Uuid,
    /// The resource as it was.
    pub resource: Resource,
    /// Its volumes by number.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub volumes: SortedMap<u32, SnapshotVolume>,
}

/// A volume of a snapshot on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotVolume {
    /// Its identity.
    pub uuid: Uuid,
    /// Its backing volumes.
    pub storage: BTreeMap<StorageSuffix, SnapshotStorage>,
}

/// A backing volume of a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotStorage {
    /// Its storage pool.
    pub pool: StoragePoolName,
    /// Size of the backing volume that it is of, in KiB.
    pub size_kib: u64,
}

impl SnapshotDefinition {
    /// Whether it was taken.
    pub fn is_successful(&self) -> bool {
        self.state == SnapshotState::Successful
    }

    /// The part of one node.
    pub fn on(&self, node: &NodeName) -> Option<&Snapshot> {
        self.snapshots.get(node)
    }
}

impl Snapshot {
    /// The storage pools that it is in.
    pub fn pools(&self) -> impl Iterator<Item = &StoragePoolName> {
        let volumes = self.volumes.values();
        volumes.flat_map(|volume| volume.storage.values().map(|storage| &storage.pool))
    }
}

/// What the row of a new snapshot has that does not follow from its resources.
#[derive(Debug, Clone)]
pub struct NewSnapshot {
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Its name.
    pub name: SnapshotName,
    /// The nodes.
    pub nodes: BTreeSet<NodeName>,
    /// Who asks for it.
    pub reason: SnapshotReason,
    /// Its properties.
    pub props: Props,
}

/// The row of a new snapshot: copies of the rows of its resource definition and resources. None if the definition is not
/// there.
pub fn row(
    model: &Model,
    new: NewSnapshot,
    now_ms: u64,
    uuid: &mut dyn FnMut() -> Uuid,
) -> Option<SnapshotDefinition> {
    let definition = model.definitions.get(&new.resource)?;
    let mut snapshots = SortedMap::new();
    let mut node_ids = Vec::new();
    for replica in model.resources_of(&new.resource) {
        if !replica.is_diskless() {
            node_ids.extend(replica.drbd.as_ref().map(|drbd| drbd.node_id));
        }
        if new.nodes.contains(&replica.node) {
            snapshots.insert(replica.node.clone(), of_resource(definition, replica, uuid));
        }
    }
    let mut props = new.props;
    let node_ids: Vec<String> = node_ids.iter().map(ToString::to_string).collect();
    props.insert(prop::NODE_IDS_TO_RESET.to_owned(), node_ids.join(","));
    Some(SnapshotDefinition {
        resource: definition.name.clone(),
        name: new.name,
        uuid: uuid(),
        created_at: now_ms,
        sequence_number: model.newest_snapshot(&new.resource) + 1,
        state: SnapshotState::Incomplete,
        failure: None,
        taken_at: None,
        reason: new.reason,
        props,
        definition_props: definition.props.clone(),
        layer_stack: definition.layer_stack.clone(),
        activity_log: definition.drbd.as_ref().map(|drbd| ActivityLog {
            stripes: drbd.al_stripes,
            stripe_kib: drbd.al_stripe_kib,
        }),
        may_differ: is_asynchronous(model, definition),
        volumes: live_volumes(model, definition),
        snapshots,
    })
}

/// Whether DRBD replicates with protocol A or B on a connection of a definition.
fn is_asynchronous(model: &Model, definition: &ResourceDefinition) -> bool {
    let asynchronous = |protocol: Option<&String>| protocol.is_some_and(|p| p != "C");
    let replicas = || model.resources_of(&definition.name);
    let mut replicated = replicas().filter(|row| row.drbd.is_some());
    replicated.any(|row| {
        let mut peers = replicas().filter(|peer| peer.node != row.node);
        let common = props::drbd_options(model, definition, row);
        asynchronous(common.net.get("protocol"))
            || peers.any(|peer| {
                let of = props::connection_options(model, definition, &row.node, &peer.node);
                asynchronous(of.net.get("protocol"))
            })
    })
}

/// The volume definitions that are not being deleted.
fn live_volumes(
    model: &Model,
    definition: &ResourceDefinition,
) -> SortedMap<u32, VolumeDefinition> {
    let volumes = definition.volumes.iter();
    let live = volumes.filter(|(number, _)| !model.is_deleting_volume(&definition.name, **number));
    live.map(|(number, volume)| (*number, volume.clone()))
        .collect()
}

fn of_resource(
    definition: &ResourceDefinition,
    replica: &Resource,
    uuid: &mut dyn FnMut() -> Uuid,
) -> Snapshot {
    let mut volumes = SortedMap::new();
    for (number, volume) in &replica.volumes {
        let backing = layer::backing(definition, *number, replica).into_iter();
        let storage = backing.filter_map(|(suffix, size_kib)| {
            let pool = volume.pool_of(suffix)?.clone();
            Some((suffix, SnapshotStorage { pool, size_kib }))
        });
        let volume = SnapshotVolume {
            storage: storage.collect(),
            uuid: uuid(),
        };
        volumes.insert(*number, volume);
    }
    let mut resource = replica.clone();
    for volume in resource.volumes.values_mut() {
        volume.source = None;
    }
    Snapshot {
        uuid: uuid(),
        resource,
        volumes,
    }
}

/// What a node has to do about a snapshot; none when that is nothing.
pub(crate) fn spec(
    model: &Model,
    name: &ResourceName,
    snapshot: &SnapshotName,
    node: &NodeName,
    keys: Keys<'_>,
) -> Option<SnapshotSpec> {
    let row = model.snapshot(name, snapshot)?;
    let own = row.on(node)?;
    let target = target(model, row, node, keys)?;
    let volumes = own.volumes.iter().flat_map(|(number, volume)| {
        volume.storage.iter().map(|(suffix, storage)| {
            let pool = model.pool(node, &storage.pool).map(|pool| &**pool);
            let definition = model.definitions.get(name);
            let props = definition.map(|definition| {
                props::volume_storage_props(model, definition, *number, &own.resource, pool)
            });
            SnapshotVolumeSpec {
                number: *number,
                suffix: *suffix,
                pool: storage.pool.clone(),
                size_kib: storage.size_kib,
                props: props.unwrap_or_default(),
            }
        })
    });
    Some(SnapshotSpec {
        resource: row.resource.clone(),
        name: row.name.clone(),
        uuid: own.uuid,
        resource_uuid: shared::owner(model, &own.resource),
        target,
        volumes: volumes.collect(),
    })
}

/// What a node has to do about a snapshot, by what is being done with it.
fn target(
    model: &Model,
    row: &SnapshotDefinition,
    node: &NodeName,
    keys: Keys<'_>,
) -> Option<SnapshotTarget> {
    let (name, snapshot) = (&row.resource, &row.name);
    let mut targets = model
        .processes_of(name)
        .filter_map(|process| match &process.kind {
            Kind::DeleteSnapshot(delete) => {
                let here = delete.snapshot == *snapshot && delete.nodes.contains(node);
                here.then_some(SnapshotTarget::Destroyed)
            }
            Kind::TakeSnapshot(take) => {
                let taken = take.step == take_snapshot::Step::Take
                    && take.snapshots().any(|of| of == (name, snapshot));
                taken.then_some(SnapshotTarget::Taken { lease: take.lease })
            }
            Kind::RollBack(of) => {
                let taken =
                    of.step == roll_back::Step::Secure && of.safety.as_ref() == Some(snapshot);
                taken.then_some(SnapshotTarget::TakenWhileDown)
            }
            Kind::ShipBackup(of) => {
                let sent = of.step == ship_backup::Step::Send
                    && of.snapshot == *snapshot
                    && of.node == *node;
                let spec = sent.then(|| of.spec(model, keys)).flatten()?;
                Some(SnapshotTarget::Sent(Box::new(spec)))
            }
            Kind::ShipSnapshot(of) => {
                let sent = of.step == ship_snapshot::Step::Send
                    && of.snapshot == *snapshot
                    && of.node == *node;
                let spec = sent.then(|| of.spec(model)).flatten()?;
                Some(SnapshotTarget::SentToPeer(Box::new(spec)))
            }
            Kind::RestoreBackup(of) => {
                let received = of.step == restore_backup::Step::Receive
                    && of.snapshot == *snapshot
                    && of.node == *node;
                if let Some(peer) = &of.peer {
                    let spec = received.then(|| peer.spec(model, of)).flatten()?;
                    return Some(SnapshotTarget::ReceivedFromPeer(Box::new(spec)));
                }
                let spec = received.then(|| of.spec(model, keys)).flatten()?;
                Some(SnapshotTarget::Received(Box::new(spec)))
            }
            _ => None,
        });
    targets.next()
}

/// Snapshots of the model.
impl Model {
    /// A snapshot.
    pub fn snapshot(
        &self,
        name: &ResourceName,
        snapshot: &SnapshotName,
    ) -> Option<&Arc<SnapshotDefinition>> {
        self.snapshots.get(name)?.get(snapshot)
    }

    /// The snapshots of a definition, in the order of their names.
    pub fn snapshots_of<'a>(
        &'a self,
        name: &ResourceName,
    ) -> impl Iterator<Item = &'a Arc<SnapshotDefinition>> + use<'a> {
        let of_definition = self.snapshots.get(name).into_iter();
        of_definition.flat_map(|snapshots| snapshots.values())
    }

    /// The resource that is being made of a snapshot on a node, if there is one.
    pub fn restored_from<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        node: &'a NodeName,
    ) -> Option<&'a Arc<Resource>> {
        self.resources_on(node).find(|row| {
            let mut sources = row.volumes.values().filter_map(|v| v.source.as_ref());
            row.is_being_restored()
                && sources.any(|source| source.of.snapshot_uuid == snapshot.uuid)
        })
    }

    /// The snapshots with a part on a node.
    pub fn snapshots_on<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = &'a Arc<SnapshotDefinition>> {
        let names = self.snapshots_by_node.get(node).into_iter().flatten();
        names.filter_map(|(name, snapshot)| self.snapshot(name, snapshot))
    }
}

impl Draft {
    /// Changes a snapshot in place; nothing happens when it is not there.
    pub fn edit_snapshot(
        &mut self,
        name: &ResourceName,
        snapshot: &SnapshotName,
        edit: impl FnOnce(&mut SnapshotDefinition),
    ) {
        if let Some(row) = self.snapshot(name, snapshot) {
            let mut row = SnapshotDefinition::clone(row);
            edit(&mut row);
            self.put_snapshot_definition(row);
        }
    }
}
