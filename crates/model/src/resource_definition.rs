//! Resource definitions: the data that is the same on all nodes.

use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::sorted_map::SortedMap;
use linstor_wire::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backup::history::History;
use crate::connection::Connection;
use crate::name::{ResourceGroupName, ResourceName, SnapshotName};
use crate::row::{Props, is_default};
use crate::volume_definition::VolumeDefinition;

/// The data of a resource that is the same on all nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceDefinition {
    /// Its name.
    pub name: ResourceName,
    /// The external name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    /// Its identity.
    pub uuid: Uuid,
    /// Name of its resource group.
    pub group: ResourceGroupName,
    /// Layers, top first; if empty, each resource has its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_stack: Vec<LayerKind>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// The DRBD part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdDefinition>,
    /// Volume definitions by number.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub volumes: SortedMap<u32, VolumeDefinition>,
    /// What is set for pairs of its resources, in the order of their nodes' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// What became of its snapshots so far.
    #[serde(default, skip_serializing_if = "is_default")]
    pub snapshots: SnapshotHistory,
    /// What became of its backups so far.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub backups: History,
    /// It was to be a clone and has no data: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_failure: Option<Box<Reply>>,
}

/// What became of the snapshots of a resource definition so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotHistory {
    /// The largest sequence number of a snapshot that was deleted: none gets it, or a smaller one, again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub newest: u64,
    /// A rollback has made the volumes anew when this was the largest sequence number: those of older snapshots are no
    /// longer there, so that nothing returns to them in place.
    #[serde(default, skip_serializing_if = "is_default")]
    pub remade_after: u64,
    /// The last rollback that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// A rollback that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollback {
    /// Names it.
    pub id: Uuid,
    /// Name of the snapshot.
    pub snapshot: SnapshotName,
    /// Why it failed; the resource has the content that it had before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Reply>,
}

/// The DRBD part of a resource definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrbdDefinition {
    /// Shared secret with which peers authenticate each other.
    #[serde(with = "linstor_wire::secret::in_store")]
    pub secret: Secret,
    /// Peer slots for new resources.
    pub peer_slots: u32,
    /// Activity log stripes.
    pub al_stripes: u32,
    /// Size of an activity log stripe in KiB.
    pub al_stripe_kib: u32,
    /// `TCP` or another transport.
    pub transport: String,
    /// Preferred port of new resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wished_port: Option<u16>,
    /// Nobody named DRBD or gave one of its values. It is shown from the first replica that has DRBD on, as LINSTOR makes this
    /// part only then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub implied: bool,
}
