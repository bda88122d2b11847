//! Nodes.

use std::collections::BTreeMap;

use linstor_api::kind::{DrbdKind, LayerKind, NodeType, ProviderKind};
use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::connection::Connection;
use crate::name::NodeName;
use crate::net_interface::NetInterface;
use crate::row::{Props, is_default};

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its identity.
    pub uuid: Uuid,
    /// What it does in the cluster.
    pub node_type: NodeType,
    /// Its addresses, in the order they were created; exactly one is active when the node has a satellite.
    pub net_interfaces: Vec<NetInterface>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// What is set for it and nodes whose names come after its own, in the order of those names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// The node is to be emptied.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evacuate: bool,
    /// The only nodes that its replicas go to; any other one if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evacuate_to: Vec<NodeName>,
    /// Nodes that its replicas do not go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evacuate_not_to: Vec<NodeName>,
    /// The node was evicted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evicted: bool,
    /// What the satellite reported of its host when it was last connected; peers' files need the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostFacts>,
}

/// Facts about a host that plans need while it is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Host name as `uname -n` prints it.
    pub uname: String,
    /// Kinds of storage pools that its satellite offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderKind>,
    /// Layers that its satellite offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerKind>,
    /// Kind of DRBD in its kernel.
    #[serde(default)]
    pub drbd: Option<DrbdKind>,
    /// Version of the DRBD kernel module.
    #[serde(default)]
    pub drbd_version: Option<String>,
    /// Digest algorithms of the kernel's crypto interface, each with its priority.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, u32>,
}
