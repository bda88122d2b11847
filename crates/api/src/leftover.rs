//! What earlier identities of a node have left on it. An addition to LINSTOR's API.

use crate::lenient::object;

object! {
    /// A volume or a DRBD resource that belongs to no resource of the cluster.
    pub struct Leftover {
        /// Identifies it in a request to remove it. It has the mark of the volume, so that it never means another one.
        pub id: String,
        /// `VOLUME` or `DRBD`.
        pub kind: String,
        /// Name of the volume in its pool, or of the resource in DRBD.
        pub name: String,
        /// The storage pool of a volume.
        pub storage_pool: Option<String>,
        /// Device of a volume; empty while it has none.
        pub device_path: String,
        /// Size of a volume.
        pub size_kib: Option<u64>,
        /// Space that a volume takes in its pool, where that is known.
        pub allocated_size_kib: Option<u64>,
        /// Minors that DRBD has in use.
        pub minor_numbers: Vec<u32>,
        /// TCP ports that DRBD has in use.
        pub tcp_ports: Vec<u32>,
        /// Identity of the cluster that made it.
        pub cluster_id: Option<String>,
        /// Another cluster made it.
        pub other_cluster: bool,
        /// Identity that the resource had on the node.
        pub resource_uuid: Option<String>,
        /// Why it is not removed; absent where it can be.
        pub reason: Option<String>,
    }

    /// Body of `POST /v1/nodes/{node}/leftovers/forget`.
    pub struct LeftoversForget {
        /// Ids as the list has them.
        pub ids: Vec<String>,
    }
}
