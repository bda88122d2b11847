//! Resource groups: the templates of resource definitions.

use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::ResourceGroupName;
use crate::row::Props;
use crate::select_filter::SelectFilter;
use crate::volume_group::VolumeGroup;

/// A template for resource definitions: properties and auto-place settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// Its name.
    pub name: ResourceGroupName,
    /// Its identity.
    pub uuid: Uuid,
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Auto-place settings.
    #[serde(default)]
    pub filter: SelectFilter,
    /// Peer slots for new resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_slots: Option<u32>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// Volume groups by number.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub volume_groups: SortedMap<u32, VolumeGroup>,
}
