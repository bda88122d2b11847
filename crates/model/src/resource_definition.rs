//! Resource definitions: what is the same on all nodes.

use linstor_api::kind::LayerKind;
use linstor_api::sorted_map::SortedMap;
use linstor_wire::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{ResourceGroupName, ResourceName};
use crate::row::Props;
use crate::volume_definition::VolumeDefinition;

/// What is the same for all replicas of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceDefinition {
    /// Its name.
    pub name: ResourceName,
    /// A name given by another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    /// Its identity.
    pub uuid: Uuid,
    /// Its group.
    pub group: ResourceGroupName,
    /// Layers, top first; empty means that each resource decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_stack: Vec<LayerKind>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// DRBD's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdDefinition>,
    /// Volume definitions by number.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub volumes: SortedMap<u32, VolumeDefinition>,
}

/// DRBD's part of a resource definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrbdDefinition {
    /// Secret that peers prove to each other.
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
    /// Port that new resources should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wished_port: Option<u16>,
}
