//! Snapshots as requests name them.

use crate::lenient::{Word, object};
use crate::sorted_map::SortedMap;

object! {
    /// `POST /v1/resource-definitions/{name}/snapshots`, and one of `POST /v1/actions/snapshot/multi`: a snapshot as answers
    /// show it, of which a request fills the first members.
    pub struct Snapshot {
        /// Its name.
        pub name: Option<String>,
        /// The resource definition; only in a request for several snapshots.
        pub resource_name: Option<String>,
        /// The nodes whose resources are taken; all with a disk when empty.
        pub nodes: Vec<String>,
        /// Properties.
        pub props: SortedMap<String, String>,
        /// Properties of the snapshot definition.
        pub snapshot_definition_props: SortedMap<String, String>,
        /// Flags.
        pub flags: Vec<Word>,
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
