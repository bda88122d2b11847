//! A node: a machine of the cluster.

use crate::lenient::{Word, object};
use crate::net_interface::NetInterface;
use crate::properties::{Overrides, Properties};
use crate::sorted_map::SortedMap;

object! {
    /// A node, in answers and as the body that creates one.
    pub struct Node {
        /// Its name.
        pub name: String,
        /// What it does in the cluster (see [`crate::kind::NodeType`]).
        pub r#type: Word,
        /// Flags (see [`crate::flag::node`]).
        pub flags: Vec<Word>,
        /// Properties.
        pub props: Properties,
        /// Its addresses.
        pub net_interfaces: Vec<NetInterface>,
        /// What the controller knows of its connection (see [`crate::kind::ConnectionStatus`]).
        pub connection_status: Option<Word>,
        /// Unique id.
        pub uuid: Option<String>,
        /// Kinds of storage pools that can be made there.
        pub storage_providers: Vec<Word>,
        /// Layers that can be used there.
        pub resource_layers: Vec<Word>,
        /// Kinds of storage pools that cannot be made there, with the reasons.
        pub unsupported_providers: SortedMap<String, Vec<String>>,
        /// Layers that cannot be used there, with the reasons.
        pub unsupported_layers: SortedMap<String, Vec<String>>,
        /// When it is evicted unless it comes online, in milliseconds since 1970.
        pub eviction_timestamp: Option<i64>,
        /// `LINUX` or `WINDOWS`.
        pub platform: Option<Word>,
        /// The distribution and its version.
        pub os_variant: Option<String>,
    }

    /// `PUT /v1/nodes/{node}`.
    pub struct NodeModify {
        /// Its new type.
        pub node_type: Option<String>,
        /// Properties to set.
        pub override_props: Overrides,
        /// Properties to remove.
        pub delete_props: Vec<String>,
        /// Namespaces of properties to remove.
        pub delete_namespaces: Vec<String>,
    }

    /// `PUT /v1/nodes/{node}/restore`.
    pub struct NodeRestore {
        /// Delete its resources instead of keeping them.
        pub delete_resources: Option<bool>,
        /// Delete its snapshots instead of keeping them.
        pub delete_snapshots: Option<bool>,
    }

    /// `PUT /v1/nodes/{node}/evacuate`.
    pub struct NodeEvacuate {
        /// The only nodes that may take its resources.
        pub target: Vec<String>,
        /// Nodes that may not take its resources.
        pub do_not_target: Vec<String>,
    }
}
