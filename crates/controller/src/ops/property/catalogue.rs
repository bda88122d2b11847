//! Which property may stand at which object, and what its value may be: facts of LINSTOR's property catalogue
//! and of `drbdsetup`'s options, one line each, sorted by key.

/// At the controller.
pub const C: u16 = 1;
/// At a node.
pub const N: u16 = 1 << 1;
/// At a storage pool definition.
pub const SPD: u16 = 1 << 2;
/// At a storage pool.
pub const SP: u16 = 1 << 3;
/// At a resource definition or a resource group.
pub const RD: u16 = 1 << 4;
/// At a resource.
pub const R: u16 = 1 << 5;
/// At a volume definition or a volume group.
pub const VD: u16 = 1 << 6;
/// At a volume.
pub const V: u16 = 1 << 7;
/// At a connection of two nodes.
pub const NC: u16 = 1 << 8;
/// At a connection of two resources.
pub const RC: u16 = 1 << 9;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Anything.
    Text,
    /// Anything but nothing.
    NonEmpty,
    /// A whole number.
    Integer,
    /// Digits only.
    Digits,
    /// Digits, and perhaps a fraction.
    Decimal,
    /// A whole number within limits.
    Range(i64, i64),
    /// A number within limits.
    Float(f64, f64),
    /// `7000-7999`, or several of these, or single numbers, with commas; all of them within limits.
    NumberRange(u32, u32),
    /// `yes` or `no`.
    YesNo,
    /// `true`, `false`, `yes` or `no`; kept as the first two.
    TrueFalse,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// A whole number within limits or one of some words.
    RangeOrOneOf(i64, i64, &'static [&'static str]),
    /// Name of a storage pool.
    StoragePoolName,
    /// Name of a storage pool, `.internal`, or nothing.
    PoolNameOrInternal,
    /// Letters, digits, `-` and `_`.
    Word,
    /// Words with slashes: a volume group, a thin pool, a data set, a directory.
    Place,
    /// 16 hexadecimal digits.
    Hex16,
    /// `64k`.
    BlockSize,
    /// A number of KiB from 100 on, or a percentage.
    SizeOrPercent,
    /// A number, perhaps with a unit or a percent sign.
    SizeWithUnit,
}

/// Key, objects it may stand at, what its value may be.
#[rustfmt::skip]
pub const RULES: &[(&str, u16, Shape)] = &[
    ("AllowMixingStoragePoolDriver", C | RD, Shape::TrueFalse),
    ("Auth/TokenAuthenticationEnabled", C, Shape::TrueFalse),
    ("AutoSnapshot/Keep", C | RD, Shape::Integer),
    ("AutoSnapshot/NextAutoId", C | RD, Shape::Integer),
    ("AutoSnapshot/RunEvery", C | RD, Shape::Integer),
    ("AutoplaceTarget", C | N, Shape::TrueFalse),
    ("Autoplacer/MaxThroughput", C | N | SP, Shape::Integer),
    ("Autoplacer/MinThinFreeSpace", C | N | SP | RD, Shape::SizeWithUnit),
    ("Autoplacer/PreSelectScript", C, Shape::Text),
    ("Autoplacer/PreSelectScriptTimeout", C, Shape::Integer),
    ("Autoplacer/Weights/MaxFreeSpace", C, Shape::Decimal),
    ("Autoplacer/Weights/MaxThroughput", C, Shape::Decimal),
    ("Autoplacer/Weights/MinReservedSpace", C, Shape::Decimal),
    ("Autoplacer/Weights/MinRscCount", C, Shape::Decimal),
    ("BCache/Blocksize", C | N | RD | VD, Shape::Integer),
    ("BCache/Bucketsize", C | N | RD | VD, Shape::Integer),
    ("BCache/CacheReplacementPolicy", C | N | RD | VD, Shape::OneOf(&["lru", "fifo"])),
    ("BCache/DataOffset", C | N | RD | VD, Shape::Integer),
    ("BCache/Discard", C | N | RD | VD, Shape::TrueFalse),
    ("BCache/PoolName", C | N | RD | VD, Shape::StoragePoolName),
    ("BCache/Size", C | N | RD | VD, Shape::SizeOrPercent),
    ("BCache/Writeback", C | N | RD | VD, Shape::TrueFalse),
    ("BackupShipping/AllowForceRestore", C | RD, Shape::Text),
    ("BackupShipping/BackupTimeout", C, Shape::Integer),
    ("BackupShipping/L2LReceiveStartedTimeout", C | N | RD, Shape::Integer),
    ("BackupShipping/L2LSkipWaitForStart", C | N | RD, Shape::TrueFalse),
    ("BackupShipping/MaxConcurrentBackupsPerNode", C | N, Shape::Integer),
    ("BackupShipping/S3KeySuffix", C, Shape::Text),
    ("BalanceResourcesEnabled", C | RD, Shape::TrueFalse),
    ("BalanceResourcesGracePeriod", C, Shape::Integer),
    ("BalanceResourcesInterval", C, Shape::Integer),
    ("BalanceResourcesSkipDiskLimit", C | RD, Shape::Integer),
    ("Cache/Blocksize", C | N | RD | VD, Shape::Integer),
    ("Cache/CachePool", C | N | RD | VD, Shape::StoragePoolName),
    ("Cache/Cachesize", C | N | RD | VD, Shape::SizeOrPercent),
    ("Cache/FlushTimeout", C | N | RD | VD, Shape::Integer),
    ("Cache/MetaPool", C | N | RD | VD, Shape::StoragePoolName),
    ("Cache/Metasize", C | N | RD | VD, Shape::SizeOrPercent),
    ("Cache/OpMode", C | N | RD | VD, Shape::OneOf(&["writeback", "writethrough", "passthrough"])),
    ("Cache/Policy", C | N | RD | VD, Shape::OneOf(&["mq", "smq", "cleaner"])),
    ("Clone/BalanceAfterClone", C | RD, Shape::TrueFalse),
    ("Clone/DdBlocksize", C | SPD | RD, Shape::BlockSize),
    ("CopyAllSnaps", C | RD, Shape::TrueFalse),
    ("CopyAllSnapsOnEvacuate", C | N, Shape::TrueFalse),
    ("DrbdCurrentGi", VD, Shape::Hex16),
    ("DrbdOptions/AutoEvictAfterTime", C | N, Shape::Integer),
    ("DrbdOptions/AutoEvictAllowEviction", C | N, Shape::TrueFalse),
    ("DrbdOptions/AutoEvictMaxDisconnectedNodes", C, Shape::Range(0, 100)),
    ("DrbdOptions/AutoEvictMinReplicaCount", C | RD, Shape::Integer),
    ("DrbdOptions/Disk/al-extents", C | RD | VD | V, Shape::Range(67, 65534)),
    ("DrbdOptions/Disk/al-updates", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/block-size", C | RD | VD | V, Shape::Range(512, 4096)),
    ("DrbdOptions/Disk/disable-write-same", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/discard-granularity", C | RD | VD | V, Shape::Range(0, 134217728)),
    ("DrbdOptions/Disk/discard-zeroes-if-aligned", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/disk-barrier", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/disk-drain", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/disk-flushes", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/disk-timeout", C | RD | VD | V, Shape::Range(0, 6000)),
    ("DrbdOptions/Disk/diskless", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/max-bio-size", C | RD | VD | V, Shape::Range(512, 1048576)),
    ("DrbdOptions/Disk/md-flushes", C | RD | VD | V, Shape::YesNo),
    ("DrbdOptions/Disk/on-io-error", C | RD | VD | V, Shape::OneOf(&[
        "pass_on", "call-local-io-error", "detach"
    ])),
    ("DrbdOptions/Disk/read-balancing", C | RD | VD | V, Shape::OneOf(&[
        "prefer-local", "prefer-remote", "round-robin", "least-pending",
        "when-congested-remote", "32K-striping", "64K-striping", "128K-striping",
        "256K-striping", "512K-striping", "1M-striping"
    ])),
    ("DrbdOptions/Disk/resync-after", C | RD | VD | V, Shape::Text),
    ("DrbdOptions/Disk/rs-discard-granularity", C | RD | VD | V, Shape::Range(0, 1048576)),
    ("DrbdOptions/ExactSize", RD, Shape::TrueFalse),
    ("DrbdOptions/ForceInitialSync", C | RD, Shape::TrueFalse),
    ("DrbdOptions/Handlers/after-resync-target", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/before-resync-source", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/before-resync-target", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/fence-peer", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/initial-split-brain", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/local-io-error", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/out-of-sync", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/pri-lost", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/pri-lost-after-sb", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/pri-on-incon-degr", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/quorum-lost", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/split-brain", C | RD, Shape::Text),
    ("DrbdOptions/Handlers/unfence-peer", C | RD, Shape::Text),
    ("DrbdOptions/Net/after-sb-0pri", C | RD | NC | RC, Shape::OneOf(&[
        "disconnect", "discard-younger-primary", "discard-older-primary",
        "discard-zero-changes", "discard-least-changes", "discard-local",
        "discard-remote"
    ])),
    ("DrbdOptions/Net/after-sb-1pri", C | RD | NC | RC, Shape::OneOf(&[
        "disconnect", "consensus", "discard-secondary", "call-pri-lost-after-sb",
        "violently-as0p"
    ])),
    ("DrbdOptions/Net/after-sb-2pri", C | RD | NC | RC, Shape::OneOf(&[
        "disconnect", "call-pri-lost-after-sb", "violently-as0p"
    ])),
    ("DrbdOptions/Net/allow-remote-read", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/allow-two-primaries", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/always-asbp", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/congestion-extents", C | RD | NC | RC, Shape::Range(67, 65534)),
    ("DrbdOptions/Net/congestion-fill", C | RD | NC | RC, Shape::Range(0, 20971520)),
    ("DrbdOptions/Net/connect-int", C | RD | NC | RC, Shape::Range(1, 120)),
    ("DrbdOptions/Net/cram-hmac-alg", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/csums-after-crash-only", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/csums-alg", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/data-integrity-alg", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/fencing", C | RD | NC | RC, Shape::OneOf(&[
        "dont-care", "resource-only", "resource-and-stonith"
    ])),
    ("DrbdOptions/Net/ko-count", C | RD | NC | RC, Shape::Range(0, 200)),
    ("DrbdOptions/Net/load-balance-paths", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/max-buffers", C | RD | NC | RC, Shape::Range(32, 131072)),
    ("DrbdOptions/Net/max-epoch-size", C | RD | NC | RC, Shape::Range(1, 20000)),
    ("DrbdOptions/Net/on-congestion", C | RD | NC | RC, Shape::OneOf(&[
        "block", "pull-ahead", "disconnect"
    ])),
    ("DrbdOptions/Net/ping-int", C | RD | NC | RC, Shape::Range(1, 120)),
    ("DrbdOptions/Net/ping-timeout", C | RD | NC | RC, Shape::Range(1, 300)),
    ("DrbdOptions/Net/protocol", C | RD | NC | RC, Shape::OneOf(&["A", "B", "C"])),
    ("DrbdOptions/Net/rcvbuf-size", C | RD | NC | RC, Shape::Range(0, 134217728)),
    ("DrbdOptions/Net/rdma-ctrl-rcvbuf-size", C | RD | NC | RC, Shape::Range(0, 10485760)),
    ("DrbdOptions/Net/rdma-ctrl-sndbuf-size", C | RD | NC | RC, Shape::Range(0, 10485760)),
    ("DrbdOptions/Net/rr-conflict", C | RD | NC | RC, Shape::OneOf(&[
        "disconnect", "call-pri-lost", "violently", "retry-connect", "auto-discard"
    ])),
    ("DrbdOptions/Net/shared-secret", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/sndbuf-size", C | RD | NC | RC, Shape::Range(0, 134217728)),
    ("DrbdOptions/Net/socket-check-timeout", C | RD | NC | RC, Shape::Range(0, 300)),
    ("DrbdOptions/Net/tcp-cork", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/timeout", C | RD | NC | RC, Shape::Range(1, 600)),
    ("DrbdOptions/Net/tls", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/tls-certificate", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/tls-keyring", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/tls-privkey", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/transport", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/Net/use-rle", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Net/verify-alg", C | RD | NC | RC, Shape::Text),
    ("DrbdOptions/PeerDevice/bitmap", C | RD | VD | V | NC | RC, Shape::YesNo),
    ("DrbdOptions/PeerDevice/c-delay-target", C | RD | NC | RC, Shape::Range(1, 100)),
    ("DrbdOptions/PeerDevice/c-fill-target", C | RD | NC | RC, Shape::Range(0, 1048576)),
    ("DrbdOptions/PeerDevice/c-max-rate", C | RD | NC | RC, Shape::Range(0, 4194304)),
    ("DrbdOptions/PeerDevice/c-min-rate", C | RD | NC | RC, Shape::Range(0, 4194304)),
    ("DrbdOptions/PeerDevice/c-plan-ahead", C | RD | NC | RC, Shape::Range(0, 300)),
    ("DrbdOptions/PeerDevice/peer-tiebreaker", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/PeerDevice/resync-rate", C | RD | NC | RC, Shape::Range(1, 8388608)),
    ("DrbdOptions/PeerDevice/resync-without-replication", C | RD | NC | RC, Shape::YesNo),
    ("DrbdOptions/Resource/auto-promote", C | RD, Shape::YesNo),
    ("DrbdOptions/Resource/auto-promote-timeout", C | RD, Shape::Range(0, 600)),
    ("DrbdOptions/Resource/cpu-mask", C | RD, Shape::Text),
    ("DrbdOptions/Resource/drbd8-api-compatibility", C | RD, Shape::YesNo),
    ("DrbdOptions/Resource/max-io-depth", C | RD, Shape::Range(4, 4294967295)),
    ("DrbdOptions/Resource/on-no-data-accessible", C | RD, Shape::OneOf(&[
        "io-error", "suspend-io"
    ])),
    ("DrbdOptions/Resource/on-no-quorum", C | RD, Shape::OneOf(&["io-error", "suspend-io"])),
    ("DrbdOptions/Resource/on-suspended-primary-outdated", C | RD, Shape::OneOf(&[
        "disconnect", "force-secondary"
    ])),
    ("DrbdOptions/Resource/peer-ack-delay", C | RD, Shape::Range(1, 10000)),
    ("DrbdOptions/Resource/peer-ack-window", C | RD, Shape::Range(2048, 204800)),
    ("DrbdOptions/Resource/quorum", C | RD, Shape::RangeOrOneOf(1, 32, &[
        "off", "majority", "all"
    ])),
    ("DrbdOptions/Resource/quorum-minimum-redundancy", C | RD, Shape::RangeOrOneOf(1, 32, &[
        "off", "majority", "all"
    ])),
    ("DrbdOptions/Resource/twopc-retry-timeout", C | RD, Shape::Range(1, 50)),
    ("DrbdOptions/Resource/twopc-timeout", C | RD, Shape::Range(50, 600)),
    ("DrbdOptions/SkipDisk", C | N | SP | RD | R, Shape::OneOf(&["True"])),
    ("DrbdOptions/auto-add-quorum-tiebreaker", C | RD, Shape::TrueFalse),
    ("DrbdOptions/auto-diskful", C | RD, Shape::Integer),
    ("DrbdOptions/auto-diskful-allow-cleanup", C | N | RD | R, Shape::TrueFalse),
    ("DrbdOptions/auto-quorum", C | RD, Shape::OneOf(&["io-error", "suspend-io", "disabled"])),
    ("DrbdOptions/auto-resync-after-disable", C, Shape::TrueFalse),
    ("DrbdOptions/auto-rs-discard-granularity", C | RD | VD, Shape::Text),
    ("DrbdOptions/auto-verify-algo-allowed-user-list", C, Shape::Text),
    ("DrbdOptions/auto-verify-algo-disable", C | RD, Shape::TrueFalse),
    ("DrbdProxy/AutoEnable", C | N, Shape::TrueFalse),
    ("DrbdProxy/CompressionType", RD, Shape::OneOf(&["zlib", "lzma", "lz4", "zstd"])),
    ("EBS/VolumeType", C | N | SP | RD | VD, Shape::Text),
    ("Encryption/Passphrase", VD, Shape::Text),
    ("ExtCmd/IoPollInterval", C | N, Shape::Integer),
    ("ExtCmd/IoStallTimeout", C | N, Shape::Integer),
    ("ExtCmd/KillTimeout", C | N, Shape::Integer),
    ("ExtCmd/TermTimeout", C | N, Shape::Integer),
    ("ExtCmd/WaitTimeout", C | N, Shape::Integer),
    ("ExtCmdWaitTimeout", C, Shape::Integer),
    ("FileSystem/Group", RD | R | VD, Shape::Text),
    ("FileSystem/MkfsParams", RD | R | VD, Shape::Text),
    ("FileSystem/Type", RD | R | VD, Shape::OneOf(&["ext4", "xfs"])),
    ("FileSystem/User", RD | R | VD, Shape::Text),
    ("Linstor/Drbd/InitialUptoDateOn", VD, Shape::Text),
    ("Linstor/Drbd/OutsideAddress", C | N | SP | RD | R, Shape::StoragePoolName),
    ("Linstor/Drbd/auto-block-size", C | RD | VD, Shape::Text),
    ("Linstor/Drbd/auto-discard-granularity", C | RD | VD, Shape::Text),
    ("Linstor/Drbd/freeze-block-size", VD, Shape::Text),
    ("Luks/AllowDiscards", C | N | SP | RD | R | VD, Shape::TrueFalse),
    ("MaxFreeCapacityOversubscriptionRatio", C | SPD | SP, Shape::Float(0.0, 1000.0)),
    ("MaxOversubscriptionRatio", C | SPD | SP, Shape::Float(0.0, 1000.0)),
    ("MaxTotalCapacityOversubscriptionRatio", C | SPD | SP, Shape::Float(0.0, 1000.0)),
    ("MinorNrAutoRange", C, Shape::NumberRange(0, 1_048_575)),
    ("NVMe/Port", C | RD, Shape::Range(1, 65535)),
    ("NVMe/PrefNic", C | SP | R, Shape::StoragePoolName),
    ("NVMe/TRType", C | RD, Shape::OneOf(&["rdma", "tcp"])),
    ("OverrideVlmId", VD, Shape::Text),
    ("PeerSlots", R, Shape::Range(1, 31)),
    ("PeerSlotsNewResource", C | RD, Shape::Range(1, 31)),
    ("PrefNic", N | SP | RD | R, Shape::StoragePoolName),
    ("REST/AutoHTTPS", C, Shape::TrueFalse),
    ("REST/disable-http-metrics", C, Shape::TrueFalse),
    ("SearchDomain", C, Shape::Text),
    ("Site", C | N, Shape::Text),
    ("Snapshot/BalanceAfterRestore", C | RD, Shape::TrueFalse),
    ("SpecStltPortAutoRange", C, Shape::NumberRange(1, 65_535)),
    ("StorDriver/DMStats", C, Shape::TrueFalse),
    ("StorDriver/EBS/Remote", SP, Shape::StoragePoolName),
    ("StorDriver/FileDir", SP, Shape::Text),
    ("StorDriver/LuksFormatOptions", C | N | SP | RD | R | VD, Shape::Text),
    ("StorDriver/LuksOpenOptions", C | N | SP | RD | R | VD, Shape::Text),
    ("StorDriver/LvcreateOptions", C | N | SP | RD | VD, Shape::Text),
    ("StorDriver/LvcreatePvSelection", C | N | SP | RD | VD, Shape::Text),
    ("StorDriver/LvcreateSnapshotOptions", C | N | SP | RD | VD, Shape::Text),
    ("StorDriver/LvcreateType", SP | RD | VD, Shape::OneOf(&[
        "linear", "striped", "mirror", "raid0", "raid1", "raid4", "raid5", "raid6",
        "raid10", "lzma", "lz4"
    ])),
    ("StorDriver/LvmVg", SP, Shape::Word),
    ("StorDriver/RemoteSpdk/ApiHost", C | N | SP, Shape::NonEmpty),
    ("StorDriver/RemoteSpdk/ApiPort", C | N | SP, Shape::Digits),
    ("StorDriver/RemoteSpdk/UserName", C | N | SP, Shape::NonEmpty),
    ("StorDriver/RemoteSpdk/UserNameEnv", C | N | SP, Shape::NonEmpty),
    ("StorDriver/RemoteSpdk/UserPassword", C | N | SP, Shape::NonEmpty),
    ("StorDriver/RemoteSpdk/UserPasswordEnv", C | N | SP, Shape::NonEmpty),
    ("StorDriver/SizesCacheTime", C | N, Shape::Integer),
    ("StorDriver/StorPoolName", SP, Shape::Place),
    ("StorDriver/ThinPool", SP, Shape::Word),
    ("StorDriver/WaitTimeoutAfterCreate", C | SP, Shape::Digits),
    ("StorDriver/ZPool", SP, Shape::Place),
    ("StorDriver/ZPoolThin", SP, Shape::Place),
    ("StorDriver/Zfs/DeleteStrategy", C | RD, Shape::OneOf(&["Delete", "Rename", "Dynamic"])),
    ("StorDriver/Zfs/RollbackStrategy", C | RD, Shape::OneOf(&["Rollback", "Clone", "Dynamic"])),
    ("StorDriver/ZfsSnapshotOptions", C | N | SP | RD | VD, Shape::Text),
    ("StorDriver/ZfscreateOptions", C | N | SP | RD | VD, Shape::Text),
    ("StorPoolName", N | RD | R | VD | V, Shape::StoragePoolName),
    ("StorPoolNameDrbdMeta", N | RD | R | VD | V, Shape::PoolNameOrInternal),
    ("TcpPortAutoRange", C | N, Shape::NumberRange(1, 65_535)),
    ("TcpPortsBlocked", C | N, Shape::NumberRange(1, 65_535)),
    ("UpdateCacheInterval", C, Shape::Integer),
    ("UseZFSClone", C | RD, Shape::TrueFalse),
    ("Writecache/Options/Additional", C | N | RD | VD, Shape::Text),
    ("Writecache/Options/AutocommitBlocks", C | N | RD | VD, Shape::Integer),
    ("Writecache/Options/AutocommitTime", C | N | RD | VD, Shape::Integer),
    ("Writecache/Options/Fua", C | N | RD | VD, Shape::OneOf(&["On", "Off"])),
    ("Writecache/Options/HighWatermark", C | N | RD | VD, Shape::Integer),
    ("Writecache/Options/LowWatermark", C | N | RD | VD, Shape::Integer),
    ("Writecache/Options/StartSector", C | N | RD | VD, Shape::Integer),
    ("Writecache/Options/WritebackJobs", C | N | RD | VD, Shape::Integer),
    ("Writecache/PoolName", C | N | RD | VD, Shape::StoragePoolName),
    ("Writecache/Size", C | N | RD | VD, Shape::SizeOrPercent),
    ("sys/fs/blkio_throttle_read", C | N | SPD | SP | RD | R | VD | V, Shape::Integer),
    ("sys/fs/blkio_throttle_read_iops", C | N | SPD | SP | RD | R | VD | V, Shape::Integer),
    ("sys/fs/blkio_throttle_write", C | N | SPD | SP | RD | R | VD | V, Shape::Integer),
    ("sys/fs/blkio_throttle_write_iops", C | N | SPD | SP | RD | R | VD | V, Shape::Integer),
];
