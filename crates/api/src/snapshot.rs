//! Snapshots, and what is made of them.

use crate::lenient::{Word, object};
use crate::sorted_map::SortedMap;

object! {
    /// `POST /v1/resource-definitions/{name}/snapshots`, and one of `POST /v1/actions/snapshot/multi`: a snapshot as answers
    /// show it, of which a request fills the first members.
    pub struct Snapshot {
        /// Its name.
        pub name: Option<String>,
        /// The resource definition; in requests only in one for several snapshots.
        pub resource_name: Option<String>,
        /// The nodes that have it; in a request all with a disk when empty.
        pub nodes: Vec<String>,
        /// The properties of its resource definition, and its own over them. Requests have them in vain.
        pub props: SortedMap<String, String>,
        /// Its own properties.
        pub snapshot_definition_props: SortedMap<String, String>,
        /// The properties that its resource definition had.
        pub resource_definition_props: SortedMap<String, String>,
        /// Flags.
        pub flags: Vec<Word>,
        /// The volume definitions as they were.
        pub volume_definitions: Vec<SnapshotVolumeDefinition>,
        /// Identity.
        pub uuid: Option<String>,
        /// Its parts on the nodes.
        pub snapshots: Vec<SnapshotNode>,
    }

    /// A volume definition of a snapshot.
    pub struct SnapshotVolumeDefinition {
        /// Its number.
        pub volume_number: Option<i32>,
        /// Its size.
        pub size_kib: i64,
        /// Its own properties.
        pub snapshot_volume_definition_props: SortedMap<String, String>,
        /// The properties that the volume definition had.
        pub volume_definition_props: SortedMap<String, String>,
    }

    /// The part of a snapshot on a node.
    pub struct SnapshotNode {
        /// Name of the snapshot.
        pub snapshot_name: Option<String>,
        /// The node.
        pub node_name: Option<String>,
        /// When it was taken, in milliseconds since the Unix epoch.
        pub create_timestamp: Option<i64>,
        /// Flags.
        pub flags: Vec<Word>,
        /// Identity.
        pub uuid: Option<String>,
        /// Its own properties.
        pub snapshot_props: SortedMap<String, String>,
        /// The properties that the resource had.
        pub resource_props: SortedMap<String, String>,
        /// Its volumes.
        pub snapshot_volumes: Vec<SnapshotVolume>,
    }

    /// A volume of a snapshot on a node.
    pub struct SnapshotVolume {
        /// Identity.
        pub uuid: Option<String>,
        /// Its number.
        pub vlm_nr: Option<i32>,
        /// Its state, if that is not as it should be.
        pub state: Option<String>,
        /// The properties that the volume had, and its own over them.
        pub props: SortedMap<String, String>,
        /// Its own properties.
        pub snapshot_volume_props: SortedMap<String, String>,
        /// The properties that the volume had.
        pub volume_props: SortedMap<String, String>,
    }

    /// `POST /v1/actions/snapshot/multi`.
    pub struct SnapshotCreateMulti {
        /// The snapshots to take at the same time.
        pub snapshots: Vec<Snapshot>,
    }

    /// `POST .../snapshot-restore-resource/{snapshot}` and `.../snapshot-restore-volume-definition/{snapshot}`.
    pub struct SnapshotRestore {
        /// The resource definition that gets the data.
        pub to_resource: Option<String>,
        /// The nodes; all that have the snapshot when empty.
        pub nodes: Vec<String>,
        /// Pools of the snapshot to pools of the new resources.
        pub stor_pool_rename: SortedMap<String, String>,
    }

    /// `POST .../snapshot-rollback/{snapshot}`.
    pub struct SnapshotRollback {
        /// How ZFS volumes return to the snapshot.
        pub zfs_rollback_strategy: Option<String>,
    }
}
