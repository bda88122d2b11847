//! Connections of nodes and of resources.

use crate::lenient::object;
use crate::properties::{Overrides, Properties};

object! {
    /// What is set for two nodes, or for the resources of a definition on them.
    pub struct Connection {
        /// The node whose name comes first.
        pub node_a: String,
        /// The other node.
        pub node_b: String,
        /// Properties.
        pub props: Properties,
    }

    /// `PUT /v1/resource-definitions/{name}/drbd-proxy`.
    pub struct DrbdProxyModify {
        /// Properties to set.
        pub override_props: Overrides,
        /// Properties to remove.
        pub delete_props: Vec<String>,
        /// Namespaces of properties to remove.
        pub delete_namespaces: Vec<String>,
        /// What compresses the data.
        pub compression_type: Option<String>,
        /// Properties of the compression.
        pub compression_props: Properties,
    }
}
