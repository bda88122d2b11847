//! Property keys: complete paths as they stand in property maps.

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $key:literal;)+) => {
        $($(#[$doc])* pub const $name: &str = $key;)+

        /// Every key of this module, with the name of its constant.
        pub const NAMES: &[(&str, &str)] = &[$((stringify!($name), $key),)+];
    };
}

/// The namespace that is free for everybody.
pub const AUX: &str = "Aux/";
/// The namespace of DRBD's resource options.
pub const DRBD_RESOURCE_OPTIONS: &str = "DrbdOptions/Resource";
/// The namespace of DRBD's net options.
pub const DRBD_NET_OPTIONS: &str = "DrbdOptions/Net";
/// The namespace of DRBD's disk options.
pub const DRBD_DISK_OPTIONS: &str = "DrbdOptions/Disk";
/// The namespace of DRBD's peer device options.
pub const DRBD_PEER_DEVICE_OPTIONS: &str = "DrbdOptions/PeerDevice";
/// The namespace of DRBD's handlers.
pub const DRBD_HANDLER_OPTIONS: &str = "DrbdOptions/Handlers";
/// A value that keeps DRBD's metadata on the data device, whatever an object of lower priority sets.
pub const META_INTERNAL: &str = ".internal";
/// How a boolean is written by the controller itself.
pub const TRUE: &str = "True";
/// How a boolean is written by the controller itself.
pub const FALSE: &str = "False";

keys! {
    /// Node: the net interface the controller is connected to.
    CUR_STLT_CONN_NAME = "CurStltConnName";
    /// Node: the host name its satellite reported.
    NODE_UNAME = "NodeUname";
    /// Controller: whether callers of the REST API authenticate with a token.
    TOKEN_AUTHENTICATION = "Auth/TokenAuthenticationEnabled";
    /// The net interface that DRBD uses.
    PREF_NIC = "PrefNic";
    /// The net interface that NVMe uses.
    NVME_PREF_NIC = "NVMe/PrefNic";
    /// The net interface for paths through address translation.
    DRBD_OUTSIDE_ADDRESS = "Linstor/Drbd/OutsideAddress";
    /// The pool that volumes are made in.
    STOR_POOL_NAME = "StorPoolName";
    /// The pool that DRBD's metadata is put in.
    STOR_POOL_NAME_DRBD_META = "StorPoolNameDrbdMeta";
    /// Storage pool: volume group, volume group and thin pool, dataset or directory.
    STOR_DRIVER_STOR_POOL_NAME = "StorDriver/StorPoolName";
    /// What volumes of a pool are multiples of, in KiB; shown, never set.
    STOR_DRIVER_ALLOCATION_GRANULARITY = "StorDriver/internal/AllocationGranularity";
    /// How long a new device may take to appear, in milliseconds.
    STOR_DRIVER_WAIT_TIMEOUT_AFTER_CREATE = "StorDriver/WaitTimeoutAfterCreate";
    /// How long answers of LVM are good, in seconds.
    STOR_DRIVER_SIZES_CACHE_TIME = "StorDriver/SizesCacheTime";
    /// `--type` of `lvcreate`.
    STOR_DRIVER_LVCREATE_TYPE = "StorDriver/LvcreateType";
    /// More options of `lvcreate`.
    STOR_DRIVER_LVCREATE_OPTIONS = "StorDriver/LvcreateOptions";
    /// More options of `lvcreate --snapshot`.
    STOR_DRIVER_LVCREATE_SNAPSHOT_OPTIONS = "StorDriver/LvcreateSnapshotOptions";
    /// More options of `zfs create`.
    STOR_DRIVER_ZFSCREATE_OPTIONS = "StorDriver/ZfscreateOptions";
    /// More options of `zfs snapshot`.
    STOR_DRIVER_ZFS_SNAPSHOT_OPTIONS = "StorDriver/ZfsSnapshotOptions";
    /// How a ZFS volume is rolled back to a snapshot.
    STOR_DRIVER_ZFS_ROLLBACK_STRATEGY = "StorDriver/Zfs/RollbackStrategy";
    /// How a ZFS volume with snapshots is deleted.
    STOR_DRIVER_ZFS_DELETE_STRATEGY = "StorDriver/Zfs/DeleteStrategy";
    /// The base of the two ratios below.
    MAX_OVERSUBSCRIPTION_RATIO = "MaxOversubscriptionRatio";
    /// How many times a thin pool's free space may be allocated to volumes.
    MAX_FREE_CAPACITY_OVERSUBSCRIPTION_RATIO = "MaxFreeCapacityOversubscriptionRatio";
    /// How many times a thin pool's total space may be allocated to volumes.
    MAX_TOTAL_CAPACITY_OVERSUBSCRIPTION_RATIO = "MaxTotalCapacityOversubscriptionRatio";
    /// Whether a node or pool is a target of placement.
    AUTOPLACE_TARGET = "AutoplaceTarget";
    /// Weight of free space in placement.
    AUTOPLACER_WEIGHT_MAX_FREE_SPACE = "Autoplacer/Weights/MaxFreeSpace";
    /// Weight of reserved space in placement.
    AUTOPLACER_WEIGHT_MIN_RESERVED_SPACE = "Autoplacer/Weights/MinReservedSpace";
    /// Weight of the number of resources in placement.
    AUTOPLACER_WEIGHT_MIN_RSC_COUNT = "Autoplacer/Weights/MinRscCount";
    /// Weight of throughput in placement; accepted without effect.
    AUTOPLACER_WEIGHT_MAX_THROUGHPUT = "Autoplacer/Weights/MaxThroughput";
    /// How much of a thin pool must stay free, as size or percentage.
    AUTOPLACER_MIN_THIN_FREE_SPACE = "Autoplacer/MinThinFreeSpace";
    /// How full a pool may be, in percent, until it is warned about.
    WATERMARK_WARN = "Watermark/Warn";
    /// How full a pool may be, in percent, for volumes to be placed in it.
    WATERMARK_PLACE = "Watermark/Place";
    /// How full a pool may be, in percent, for snapshots to be taken in it.
    WATERMARK_SNAPSHOT = "Watermark/Snapshot";
    /// How full a pool may be, in percent, for volumes to be created or grown in it.
    WATERMARK_PROTECT = "Watermark/Protect";
    /// Property of a snapshot: DRBD node ids of the resources that had a disk, separated by commas.
    NODE_IDS_TO_RESET = "BackupShipping/BackupNodeIdsToReset";
    /// Property of a snapshot: its place among the snapshots of its resource definition.
    SEQUENCE_NUMBER = "SequenceNumber";
    /// How many automatic snapshots are retained.
    AUTO_SNAPSHOT_KEEP = "AutoSnapshot/Keep";
    /// Number of the next automatic snapshot.
    AUTO_SNAPSHOT_NEXT_ID = "AutoSnapshot/NextAutoId";
    /// How the names of automatic snapshots begin.
    AUTO_SNAPSHOT_PREFIX = "AutoSnapshot/Prefix";
    /// Minutes between automatic snapshots.
    AUTO_SNAPSHOT_RUN_EVERY = "AutoSnapshot/RunEvery";
    /// Whether replicas may be on pools of different kinds.
    ALLOW_MIXING_STOR_POOL_DRIVER = "AllowMixingStoragePoolDriver";
    /// TCP ports that are given to resources.
    TCP_PORT_AUTO_RANGE = "TcpPortAutoRange";
    /// TCP ports that are not given to resources.
    TCP_PORTS_BLOCKED = "TcpPortsBlocked";
    /// Minor numbers that are given to DRBD devices.
    MINOR_NR_AUTO_RANGE = "MinorNrAutoRange";
    /// How many peers the metadata of one resource has room for; counts when it is made.
    PEER_SLOTS = "PeerSlots";
    /// How many peers a new replica's metadata has room for.
    PEER_SLOTS_NEW_RESOURCE = "PeerSlotsNewResource";
    /// Whether a third, diskless replica is added for quorum.
    DRBD_AUTO_ADD_QUORUM_TIEBREAKER = "DrbdOptions/auto-add-quorum-tiebreaker";
    /// DRBD's quorum.
    DRBD_QUORUM = "DrbdOptions/Resource/quorum";
    /// What DRBD does without quorum.
    DRBD_ON_NO_QUORUM = "DrbdOptions/Resource/on-no-quorum";
    /// Who set the quorum: `user` or `linstor`.
    DRBD_QUORUM_SET_BY = "Internal/Drbd/QuorumSetBy";
    /// Accepted without effect.
    DRBD_AUTO_QUORUM = "DrbdOptions/auto-quorum";
    /// After how many minutes in use a diskless resource gets a disk.
    DRBD_AUTO_DISKFUL = "DrbdOptions/auto-diskful";
    /// Whether the replica that became one too many is removed afterwards.
    DRBD_AUTO_DISKFUL_ALLOW_CLEANUP = "DrbdOptions/auto-diskful-allow-cleanup";
    /// Whether nodes are evicted after they were offline for too long.
    DRBD_AUTO_EVICT_ALLOW_EVICTION = "DrbdOptions/AutoEvictAllowEviction";
    /// How long is too long, in minutes.
    DRBD_AUTO_EVICT_AFTER_TIME = "DrbdOptions/AutoEvictAfterTime";
    /// How many nodes may be away at once, in percent.
    DRBD_AUTO_EVICT_MAX_DISCONNECTED_NODES = "DrbdOptions/AutoEvictMaxDisconnectedNodes";
    /// How many replicas are restored.
    DRBD_AUTO_EVICT_MIN_REPLICA_COUNT = "DrbdOptions/AutoEvictMinReplicaCount";
    /// Whether resyncs of one pool are not put in a row.
    DRBD_DISABLE_AUTO_RESYNC_AFTER = "DrbdOptions/auto-resync-after-disable";
    /// Whether no verify algorithm is chosen.
    DRBD_DISABLE_AUTO_VERIFY_ALGO = "DrbdOptions/auto-verify-algo-disable";
    /// The chosen verify algorithm.
    DRBD_AUTO_VERIFY_ALG = "DrbdOptions/auto-verify-alg";
    /// The verify algorithms to choose from.
    DRBD_AUTO_VERIFY_ALGO_ALLOWED = "DrbdOptions/auto-verify-algo-allowed-list";
    /// More verify algorithms to choose from.
    DRBD_AUTO_VERIFY_ALGO_ALLOWED_USER = "DrbdOptions/auto-verify-algo-allowed-user-list";
    /// Whether DRBD's device has exactly the size asked for.
    DRBD_EXACT_SIZE = "DrbdOptions/ExactSize";
    /// Whether new replicas are synced in full.
    DRBD_FORCE_INITIAL_SYNC = "DrbdOptions/ForceInitialSync";
    /// The same, as it was when the first replica was made.
    DRBD_FORCE_INITIAL_SYNC_PERMANENT = "DrbdOptions/ForceInitialSyncPermanent";
    /// Whether DRBD comes up without its disks.
    DRBD_SKIP_DISK = "DrbdOptions/SkipDisk";
    /// Volume definition: the generation all replicas begin with.
    DRBD_CURRENT_GI = "DrbdCurrentGi";
    /// Volume definition: the node whose data counts at first.
    DRBD_INITIAL_UPTODATE_ON = "Linstor/Drbd/InitialUptoDateOn";
    /// Whether DRBD's disk option `rs-discard-granularity` is kept up.
    DRBD_AUTO_RS_DISCARD_GRANULARITY = "DrbdOptions/auto-rs-discard-granularity";
    /// Whether DRBD's disk option `discard-granularity` is kept up.
    DRBD_AUTO_DISCARD_GRANULARITY = "Linstor/Drbd/auto-discard-granularity";
    /// Whether DRBD's block size is kept up.
    DRBD_AUTO_BLOCK_SIZE = "Linstor/Drbd/auto-block-size";
    /// Volume definition: whether DRBD's block size stays as it is.
    DRBD_FREEZE_BLOCK_SIZE = "Linstor/Drbd/freeze-block-size";
    /// DRBD's disk option of this name.
    DRBD_DISK_DISCARD_ZEROES_IF_ALIGNED = "DrbdOptions/Disk/discard-zeroes-if-aligned";
    /// The smallest unit in which DRBD's device is written, in bytes.
    DRBD_DISK_BLOCK_SIZE = "DrbdOptions/Disk/block-size";
    /// DRBD's disk option of this name.
    DRBD_DISK_RS_DISCARD_GRANULARITY = "DrbdOptions/Disk/rs-discard-granularity";
    /// DRBD's disk option of this name.
    DRBD_DISK_DISCARD_GRANULARITY = "DrbdOptions/Disk/discard-granularity";
    /// DRBD's disk option of this name.
    DRBD_DISK_RESYNC_AFTER = "DrbdOptions/Disk/resync-after";
    /// Resource: who made it diskful.
    DISKFUL_BY = "DiskfulBy";
    /// Resource: the node whose replica is deleted once this one is UpToDate.
    MIGRATE_FROM = "MigrateFrom";
    /// Of a clone: the resource definition that it was made of.
    CLONED_FROM = "cloned-from";
    /// Whether replicas are moved to where the rules want them.
    BALANCE_RESOURCES_ENABLED = "BalanceResourcesEnabled";
    /// How often, in seconds.
    BALANCE_RESOURCES_INTERVAL = "BalanceResourcesInterval";
    /// How old a resource must be, in seconds.
    BALANCE_RESOURCES_GRACE_PERIOD = "BalanceResourcesGracePeriod";
    /// How many replicas may be without their disks.
    BALANCE_RESOURCES_SKIP_DISK_LIMIT = "BalanceResourcesSkipDiskLimit";
    /// How often free space is asked for, in seconds.
    UPDATE_CACHE_INTERVAL = "UpdateCacheInterval";
    /// How long an external command may run, in milliseconds.
    EXT_CMD_WAIT_TIMEOUT = "ExtCmd/WaitTimeout";
    /// The older name of the one above.
    EXT_CMD_WAIT_TIMEOUT_OLD = "ExtCmdWaitTimeout";
    /// How long it may take to end after being asked to.
    EXT_CMD_TERM_TIMEOUT = "ExtCmd/TermTimeout";
    /// How long it may take to end after being killed.
    EXT_CMD_KILL_TIMEOUT = "ExtCmd/KillTimeout";
    /// The domain that is appended to node names when they are resolved.
    SEARCH_DOMAIN = "SearchDomain";
    /// The file system to make on a new volume.
    FILE_SYSTEM_TYPE = "FileSystem/Type";
    /// Options of the program that makes it.
    FILE_SYSTEM_MKFS_PARAMS = "FileSystem/MkfsParams";
    /// The owner of its root directory.
    FILE_SYSTEM_USER = "FileSystem/User";
    /// The group of its root directory.
    FILE_SYSTEM_GROUP = "FileSystem/Group";
    /// The cluster's id towards other clusters.
    CLUSTER_LOCAL_ID = "Cluster/LocalID";
    /// How long a store may take for an answer about backups, in seconds.
    BACKUP_TIMEOUT = "BackupShipping/BackupTimeout";
    /// Property of a snapshot: how the properties about a backup of it begin; the name of the remote follows.
    BACKUP_SOURCE_NAMESPACE = "BackupShipping/Source";
    /// Of a backup: when it began, in milliseconds since the Unix epoch.
    BACKUP_START_TIMESTAMP = "BackupStartTimestamp";
    /// Of a backup: the node that sends it.
    BACKUP_SOURCE_NODE = "SrcNode";
    /// Of a backup: the remote that it is sent to.
    BACKUP_TARGET_REMOTE = "BackupTargetRemote";
    /// Of a backup: the snapshot of the one that it is based on.
    BACKUP_LAST_SNAPSHOT = "BackupLastSnapshot";
    /// Of a backup: the snapshot of the full one of its chain.
    BACKUP_LAST_FULL = "LastFullBackupTimestamp";
    /// Property of a snapshot: the schedule that had it taken.
    BACKUP_SHIPPED_BY_SCHEDULE = "Schedule/BackupShippedBySchedule";
    /// Of a backup: how far it is.
    BACKUP_SHIPPING_STATUS = "ShippingStatus";
    /// Of a backup: why it has failed.
    BACKUP_FAILURE = "FailureReason";
    /// Property of a snapshot: how the properties begin about the backup that it is restored from.
    BACKUP_TARGET_NAMESPACE = "BackupShipping/Target";
    /// Of a restored backup: its id.
    BACKUP_TO_RESTORE = "BackupToRestore";
    /// Of a restored backup: the remote that it comes from.
    BACKUP_SOURCE_REMOTE = "BackupSrcRemote";
    /// Of a restored backup: the node that receives it.
    BACKUP_TARGET_NODE = "DstNode";
    /// How many backups a node sends at a time; any number if negative.
    MAX_CONCURRENT_BACKUPS = "BackupShipping/MaxConcurrentBackupsPerNode";
    /// How many backups the cluster sends at a time; any number if negative. Not one of LINSTOR's.
    MAX_CONCURRENT_BACKUPS_OF_CLUSTER = "BackupShipping/MaxConcurrentBackups";
    /// How long nodes of different clusters wait for each other while one ships to the other, in milliseconds.
    L2L_RECEIVE_STARTED_TIMEOUT = "BackupShipping/L2LReceiveStartedTimeout";
    /// Of a snapshot that another cluster has sent: the identity of that cluster.
    FROM_CLUSTER_UUID = "Backup/FromClusterUUID";
    /// Of a snapshot that another cluster has sent: the identity of the snapshot there.
    SOURCE_SNAPSHOT_UUID = "Backup/Target/SourceSnapDfnUUID";
    /// What is appended to the names of the objects of backups.
    S3_KEY_SUFFIX = "BackupShipping/S3KeySuffix";
    /// TCP ports for shipping backups.
    BACKUP_SHIPPING_TCP_PORT_RANGE = "BackupShipping/TcpPortRange";
    /// The older name of the one above.
    SNAPSHOT_SHIPPING_TCP_PORT_RANGE = "SnapshotShipping/TcpPortRange";
    /// Whether all snapshots move with an evacuated resource.
    COPY_ALL_SNAPS_ON_EVACUATE = "CopyAllSnapsOnEvacuate";
    /// Options of `cryptsetup luksFormat`.
    LUKS_FORMAT_OPTIONS = "StorDriver/LuksFormatOptions";
    /// Options of `cryptsetup open`.
    LUKS_OPEN_OPTIONS = "StorDriver/LuksOpenOptions";
    /// Whether encrypted devices pass discards on.
    LUKS_ALLOW_DISCARDS = "Luks/AllowDiscards";
    /// Volume definition: the passphrase of the user.
    ENCRYPTION_PASSPHRASE = "Encryption/Passphrase";
    /// Volume definition: the encrypted key.
    CRYPT_PASSWD = "CryptPasswd";
    /// Storage pool: whether its volumes can be snapshotted (static trait).
    TRAIT_SUPPORTS_SNAPSHOTS = "SupportsSnapshots";
    /// Storage pool: `Thin` or `Fat` (static trait).
    TRAIT_PROVISIONING = "Provisioning";
    /// Storage pool: the unit of allocation (static trait).
    TRAIT_ALLOCATION_UNIT = "AllocationUnit";
}

/// Whether a property's value means yes. Clients and the controller write it in several ways.
pub fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key stands once, and no key has a slash at either end.
    #[test]
    fn keys_are_unique_paths() {
        let mut seen = std::collections::BTreeSet::new();
        for (_, key) in NAMES {
            assert!(seen.insert(key), "{key} stands twice");
            assert!(!key.starts_with('/') && !key.ends_with('/') && key.len() <= 256);
        }
    }

    /// Booleans are compared without regard to case.
    #[test]
    fn booleans_are_read_in_any_case() {
        assert!(is_true("True") && is_true("yes") && is_true("TRUE"));
        assert!(!is_true("False") && !is_true("no") && !is_true("1"));
    }
}
