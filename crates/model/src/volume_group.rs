//! Volume groups: the templates of volume definitions.

use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::row::{Props, is_default};

/// Defaults for one volume of a group's definitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Its identity.
    pub uuid: Uuid,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// Sizes mean the backing volume, metadata included.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gross_size: bool,
}
