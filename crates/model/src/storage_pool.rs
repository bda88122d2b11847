//! Storage pools of nodes.

use linstor_api::kind::ProviderKind;
use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::draft::Draft;
use crate::model::{DEFAULT_DISKLESS_POOL, DEFAULT_POOL, RowKey};
use crate::name::{NodeName, StoragePoolName};
use crate::row::{Props, is_default};

/// A storage pool on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoragePool {
    /// The node.
    pub node: NodeName,
    /// Name of its definition.
    pub name: StoragePoolName,
    /// Its identity.
    pub uuid: Uuid,
    /// What it is made of.
    pub kind: ProviderKind,
    /// Its properties; `StorDriver/StorPoolName` is its volume group, thin pool, dataset or directory.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// Name of the space it shares with pools of other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_name: Option<String>,
    /// Locking of shared space is done by somebody else.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external_locking: bool,
    /// Volumes are rounded up to multiples of this many KiB, once the satellite has reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity_kib: Option<u64>,
}

/// Removes a pool of a node, and its definition when it was the last one and no default.
pub fn remove(draft: &mut Draft, node: &NodeName, pool: &StoragePoolName) {
    draft.remove(&RowKey::StoragePool(node.clone(), pool.clone()));
    let used = draft
        .nodes
        .keys()
        .any(|other| draft.pool(other, pool).is_some());
    let default = [DEFAULT_POOL, DEFAULT_DISKLESS_POOL]
        .iter()
        .any(|name| pool.as_str().eq_ignore_ascii_case(name));
    if !used && !default {
        draft.remove(&RowKey::StoragePoolDefinition(pool.clone()));
    }
}
