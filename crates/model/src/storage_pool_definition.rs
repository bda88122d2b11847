//! Storage pool definitions: the names of storage pools in the cluster.

use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::StoragePoolName;
use crate::row::Props;

/// A storage pool's name in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoragePoolDefinition {
    /// Its name.
    pub name: StoragePoolName,
    /// Its identity.
    pub uuid: Uuid,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
}
