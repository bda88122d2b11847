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

    /// What is in a bucket.
    pub struct BackupList {
        /// Backups by id; those without a description by the key of an object.
        pub linstor: SortedMap<String, Backup>,
        /// The other objects.
        pub other: BackupOther,
    }

    /// Objects that are no backups of LINSTOR.
    pub struct BackupOther {
        /// Their keys.
        pub files: Vec<String>,
    }

    /// A backup.
    pub struct Backup {
        /// Its id: the key of its description without `.meta`.
        pub id: String,
        /// When it began, local time of the controller, `yyyyMMdd_HHmmss`.
        pub start_time: Option<String>,
        /// When it began, in milliseconds since the Unix epoch.
        pub start_timestamp: Option<i64>,
        /// When it ended, local time of the controller, `yyyyMMdd_HHmmss`.
        pub finished_time: Option<String>,
        /// When it ended, in milliseconds since the Unix epoch.
        pub finished_timestamp: Option<i64>,
        /// The resource that it is of.
        pub origin_rsc: String,
        /// Its snapshot.
        pub origin_snap: String,
        /// The node that sent it.
        pub origin_node: Option<String>,
        /// Why it cannot be restored.
        pub fail_messages: Option<String>,
        /// Its volumes.
        pub vlms: Vec<BackupVolume>,
        /// Whether it was sent successfully.
        pub success: Option<bool>,
        /// Whether it is being sent.
        pub shipping: Option<bool>,
        /// Whether all objects are there that restoring it needs, also those of the backups that it is based on.
        pub restorable: Option<bool>,
        /// Its description in the bucket.
        pub s3: Option<BackupS3>,
        /// The key of the description of the backup that it is based on.
        pub based_on_id: Option<String>,
    }

    /// A volume of a backup.
    pub struct BackupVolume {
        /// Its number.
        pub vlm_nr: i64,
        /// When it was sent, local time of the controller, `yyyyMMdd_HHmmss`.
        pub finished_time: Option<String>,
        /// When it was sent, in milliseconds since the Unix epoch.
        pub finished_timestamp: Option<i64>,
        /// Its object.
        pub s3: Option<BackupVolumeS3>,
    }

    /// The description of a backup in a bucket.
    pub struct BackupS3 {
        /// Its key.
        pub meta_name: Option<String>,
    }

    /// The object of a volume.
    pub struct BackupVolumeS3 {
        /// Its key.
        pub key: Option<String>,
    }

    /// What restoring a backup needs.
    pub struct BackupInfo {
        /// The resource that it is of.
        pub rsc: String,
        /// Its snapshot.
        pub snap: String,
        /// The key of the description of the full backup that it goes back to.
        pub full: Option<String>,
        /// Its id.
        pub latest: String,
        /// How many backups are restored.
        pub count: i32,
        /// What is downloaded, in KiB.
        pub dl_size_kib: i64,
        /// What the volumes occupied, in KiB.
        pub alloc_size_kib: i64,
        /// The storage pools.
        pub storpools: Vec<BackupInfoStorPool>,
    }

    /// The backups that wait: by node, or by snapshot.
    pub struct BackupQueues {
        /// Nodes with the backups that wait for them.
        pub node_queues: Vec<NodeQueue>,
        /// Backups that wait, with the nodes that they wait for.
        pub snap_queues: Vec<SnapQueue>,
    }

    /// A node that backups wait for.
    pub struct NodeQueue {
        /// Its name.
        pub node_name: String,
        /// The backups; none where the node itself is listed for a backup.
        pub queue: Vec<SnapQueue>,
    }

    /// A backup that waits.
    pub struct SnapQueue {
        /// The resource definition.
        pub resource_name: String,
        /// The snapshot.
        pub snapshot_name: String,
        /// The remote.
        pub remote_name: String,
        /// Whether it is based on another one.
        pub incremental: bool,
        /// The snapshot of that one.
        pub based_on: Option<String>,
        /// When it was begun, in milliseconds since 1970.
        pub start_timestamp: Option<i64>,
        /// The node that is to send it.
        pub pref_node: Option<String>,
        /// The nodes; none where the backup itself is listed for a node.
        pub queue: Vec<NodeQueue>,
    }

    /// A storage pool of a backup.
    pub struct BackupInfoStorPool {
        /// Its name.
        pub name: String,
        /// What it is made of.
        pub provider_kind: Option<String>,
        /// The pool that replaces it.
        pub target_name: Option<String>,
        /// What is free in that pool afterwards, in KiB; negative when it has not enough.
        pub remaining_space_kib: Option<i64>,
        /// Its volumes.
        pub vlms: Vec<BackupInfoVolume>,
    }

    /// A volume of a backup in a storage pool.
    pub struct BackupInfoVolume {
        /// The key of its object.
        pub name: Option<String>,
        /// The layer that it is the storage of.
        pub layer_type: String,
        /// What is downloaded, in KiB.
        pub dl_size_kib: Option<i64>,
        /// What it occupied, in KiB; known of the latest backup.
        pub alloc_size_kib: Option<i64>,
        /// Its size, in KiB; known of the latest backup.
        pub usable_size_kib: Option<i64>,
    }
}
