//! How the nodes and storage pools of new resources are chosen.

use std::collections::BTreeMap;

use linstor_api::kind::{LayerKind, ProviderKind};
use serde::{Deserialize, Serialize};

use crate::name::{NodeName, StoragePoolName};

/// How replicas are chosen. None means "not given": per field, the request has precedence over the group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectFilter {
    /// How many diskful replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place_count: Option<u32>,
    /// How many more than there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_place_count: Option<u32>,
    /// Only these nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeName>>,
    /// Only these pools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<StoragePoolName>>,
    /// Pools for diskless replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskless_pools: Option<Vec<StoragePoolName>>,
    /// Not on nodes that have one of these resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_place_with: Option<Vec<String>>,
    /// Not on nodes that have a resource whose name matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_place_with_regex: Option<String>,
    /// Node properties (`key` or `key=value`) that must be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same: Option<Vec<String>>,
    /// Node properties (`key` or `key=value`) that must differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub different: Option<Vec<String>>,
    /// Node property to how many replicas share one value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_different: Option<BTreeMap<String, u32>>,
    /// Layers, top first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_stack: Option<Vec<LayerKind>>,
    /// Only pools of these kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<ProviderKind>>,
    /// Give every other node a diskless replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskless_on_remaining: Option<bool>,
    /// Kind of the diskless replicas, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskless_type: Option<String>,
}
