//! Backups on remotes.

use crate::lenient::object;
use crate::secret_text::SecretText;
use crate::sorted_map::SortedMap;

object! {
    /// A backup that is to be made.
    pub struct BackupCreate {
        /// The resource definition.
        pub rsc_name: Option<String>,
        /// The node that ships.
        pub node_name: Option<String>,
        /// Name of the snapshot; made of the time when none.
        pub snap_name: Option<String>,
        /// Whether only what changed since the last backup is shipped.
        pub incremental: bool,
        /// Name of the snapshot at the target.
        pub dst_snap_name: Option<String>,
    }

    /// A backup that is to be restored.
    pub struct BackupRestore {
        /// The resource definition that it is of.
        pub src_rsc_name: Option<String>,
        /// Its snapshot.
        pub src_snap_name: Option<String>,
        /// Its id.
        pub last_backup: Option<String>,
        /// Storage pools by those of the backup.
        pub stor_pool_map: SortedMap<String, String>,
        /// The resource definition that it is restored to.
        pub target_rsc_name: Option<String>,
        /// The master passphrase of the cluster that made it.
        pub passphrase: Option<SecretText>,
        /// The node that it is restored on.
        pub node_name: Option<String>,
        /// Whether only the snapshot is restored, not the resource.
        pub download_only: bool,
        /// Whether the target is restored although it has resources.
        pub force_restore: bool,
        /// The resource group of the target.
        pub dst_rsc_grp: Option<String>,
        /// Whether the target is moved into the group although it has resources.
        pub force_mv_rsc_grp: bool,
    }

    /// Backups that are to be stopped.
    pub struct BackupAbort {
        /// The resource definition.
        pub rsc_name: Option<String>,
        /// Whether restores are.
        pub restore: Option<bool>,
        /// Whether uploads are.
        pub create: Option<bool>,
        /// Only those of this snapshot.
        pub snapshot: Option<String>,
    }

    /// A snapshot that is to be shipped to another cluster.
    pub struct BackupShip {
        /// The node that ships.
        pub src_node_name: Option<String>,
        /// The resource definition.
        pub src_rsc_name: Option<String>,
        /// The resource definition at the target.
        pub dst_rsc_name: Option<String>,
        /// The node that receives.
        pub dst_node_name: Option<String>,
        /// Its net interface.
        pub dst_net_if_name: Option<String>,
        /// Its storage pool.
        pub dst_stor_pool: Option<String>,
        /// Storage pools of the target by those of the source.
        pub stor_pool_rename: SortedMap<String, String>,
        /// Whether only the snapshot is restored, not the resource.
        pub download_only: bool,
        /// Whether the target is restored although it has resources.
        pub force_restore: bool,
        /// Whether only what changed may be shipped; true by default.
        pub allow_incremental: Option<bool>,
        /// The resource group of the target.
        pub dst_rsc_grp: Option<String>,
        /// Whether the target is moved into the group although it has resources.
        pub force_mv_rsc_grp: bool,
        /// The snapshot.
        pub src_snap_name: Option<String>,
        /// Its name at the target.
        pub dst_snap_name: Option<String>,
    }

    /// A backup whose size and storage pools are asked for.
    pub struct BackupInfoRequest {
        /// The resource definition that it is of.
        pub src_rsc_name: Option<String>,
        /// Its snapshot.
        pub src_snap_name: Option<String>,
        /// Its id.
        pub last_backup: Option<String>,
        /// Storage pools by those of the backup.
        pub stor_pool_map: SortedMap<String, String>,
        /// The node whose free space counts.
        pub node_name: Option<String>,
    }
}
