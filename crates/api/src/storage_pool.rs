//! A storage pool: the part of a node's storage that volumes are made of.

use crate::lenient::{Word, object};
use crate::properties::Properties;
use crate::reply::Reply;

object! {
    /// A storage pool, in answers and as the body that creates one.
    pub struct StoragePool {
        /// Its name; the same name on several nodes is one storage pool definition.
        pub storage_pool_name: String,
        /// The node it is on.
        pub node_name: Option<String>,
        /// What it is made of (see [`crate::kind::ProviderKind`]).
        pub provider_kind: Word,
        /// Properties.
        pub props: Properties,
        /// Facts that follow from its kind.
        pub static_traits: Properties,
        /// Free space in KiB; missing when unknown, the largest number for diskless pools.
        pub free_capacity: Option<i64>,
        /// Total space in KiB; missing when unknown, the largest number for diskless pools.
        pub total_capacity: Option<i64>,
        /// The name under which several pools share their free space; `node;pool` when they do not.
        pub free_space_mgr_name: Option<String>,
        /// Unique id.
        pub uuid: Option<String>,
        /// What is wrong with it at the moment.
        pub reports: Vec<Reply>,
        /// Whether its volumes can be snapshotted.
        pub supports_snapshots: Option<bool>,
        /// The name under which it shares its space; only in requests.
        pub shared_space: Option<String>,
        /// Whether locking of the shared space is done by something else, like clustered LVM.
        pub external_locking: bool,
    }
}
