//! Resource definitions: the data that is the same on all nodes.

use linstor_api::kind::LayerKind;
use linstor_api::sorted_map::SortedMap;
use linstor_wire::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::connection::Connection;
use crate::name::{ResourceGroupName, ResourceName};
use crate::row::Props;
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
}
