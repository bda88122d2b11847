//! The catalogue of properties: at which objects a key may be set, what its value may be, its default and unit, and who
//! reads it. Facts of LINSTOR's catalogue, one entry each, sorted by key; DRBD's options come from [`drbd_option`].

use linstor_api::drbd_option::{self, DrbdOption, Section};
use linstor_api::tool_option::{self, Tool};

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
/// At a connection of two nodes or of two resources.
pub const CONN: u16 = 1 << 8;
/// At the DRBD Proxy of a resource definition.
pub const PROXY: u16 = 1 << 9;
/// At the DRBD Proxy of a resource definition, with LZMA.
pub const LZMA: u16 = 1 << 10;
/// At the DRBD Proxy of a resource definition, with zlib.
pub const ZLIB: u16 = 1 << 11;
/// At the DRBD Proxy of a resource definition, with Zstandard.
pub const ZSTD: u16 = 1 << 12;
/// LINSTOR's list of properties does not have it, at nodes or anywhere: accepted, and not listed.
const UNLISTED_AT_NODE: u16 = 1 << 13;
const UNLISTED: u16 = 1 << 14;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Anything.
    Text,
    /// One line of text, which may be empty.
    Line,
    /// Options of a program.
    Options(&'static Tool),
    /// The value of an option in DRBD's configuration.
    DrbdText,
    /// A command line in DRBD's configuration.
    DrbdHandler,
    /// Anything but nothing.
    NonEmpty,
    /// A whole number.
    Integer,
    /// A whole number from 0 on.
    NotNegative,
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
    /// `true`, `false`, `yes` or `no`; stored as the first two.
    TrueFalse,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// A whole number within limits or one of some words.
    RangeOrOneOf(i64, i64, &'static [&'static str]),
    /// Name of a storage pool or of a network interface.
    Name,
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

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Where it may be set.
    pub at: u16,
    /// What its value may be.
    pub shape: Shape,
    /// What counts while it is not set; empty when nothing does.
    pub default: &'static str,
    /// The unit of its value; empty when it has none.
    pub unit: &'static str,
    /// The file or folder below `crates` whose code uses the key; none while it has no effect.
    pub reader: Option<&'static str>,
    /// What it is for.
    pub info: &'static str,
}

impl Rule {
    /// Whether it may be set at one of these places.
    pub const fn is_at(&self, place: u16) -> bool {
        self.at & place != 0
    }

    /// Whether LINSTOR's own list for these places has it.
    pub const fn is_listed(&self, place: u16) -> bool {
        self.is_at(place)
            && self.at & UNLISTED == 0
            && !(place == N && self.at & UNLISTED_AT_NODE != 0)
    }
}

/// The rules of a key: several where objects of one kind take other values than those of another.
pub fn rules(key: &str) -> impl Iterator<Item = Rule> {
    let from = RULES.partition_point(|(known, _)| *known < key);
    let own = RULES[from..]
        .iter()
        .take_while(move |(known, _)| *known == key);
    let drbd = drbd_option::by_key(key).map(of_drbd_option);
    own.map(|(_, rule)| *rule).chain(drbd)
}

/// Every key with its rule.
pub fn all() -> impl Iterator<Item = (String, Rule)> {
    let own = RULES.iter().map(|(key, rule)| ((*key).to_owned(), *rule));
    let drbd = drbd_option::ALL.iter();
    own.chain(drbd.map(|option| (option.key(), of_drbd_option(option))))
}

fn of_drbd_option(option: &DrbdOption) -> Rule {
    use linstor_api::drbd_option::Domain;
    // Whether there is a bitmap at all belongs to the volume, although DRBD has it per peer.
    let volumes = option.section == Section::Disk || option.name == "bitmap";
    let connections = matches!(option.section, Section::Net | Section::PeerDevice);
    let limit = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Rule {
        at: C | RD | if volumes { VD | V } else { 0 } | if connections { CONN } else { 0 },
        shape: match option.domain {
            Domain::Boolean => YesNo,
            Domain::Text if option.section == Section::Handlers => DrbdHandler,
            Domain::Text => DrbdText,
            Domain::OneOf(words) => OneOf(words),
            Domain::Number(min, max) | Domain::Size(min, max, _) => Range(limit(min), limit(max)),
            Domain::NumberOr(min, max, words) => RangeOrOneOf(limit(min), limit(max), words),
        },
        default: match option.default {
            "yes" => "True",
            "no" => "False",
            other => other,
        },
        unit: option.unit,
        // drbdadm reads one resource's file, and knows no other resource to wait for; whether a replica is diskless is
        // a matter of its resource.
        reader: match option.name {
            "resync-after" | "diskless" => NOBODY,
            _ => PROJECT,
        },
        info: "",
    }
}

const fn rule(
    at: u16,
    shape: Shape,
    default: &'static str,
    reader: Option<&'static str>,
    info: &'static str,
) -> Rule {
    Rule {
        at,
        shape,
        default,
        unit: "",
        reader,
        info,
    }
}

const fn measured(unit: &'static str, rule: Rule) -> Rule {
    Rule { unit, ..rule }
}

use Shape::{
    BlockSize, Decimal, Digits, DrbdHandler, DrbdText, Float, Hex16, Integer, Line, Name, NonEmpty,
    NotNegative, NumberRange, OneOf, Options, Place, PoolNameOrInternal, Range, RangeOrOneOf,
    SizeOrPercent, SizeWithUnit, Text, TrueFalse, Word, YesNo,
};

/// Nothing uses the key: whoever makes something use it names the place here.
const NOBODY: Option<&str> = None;
const AUTOMATIC: Option<&str> = Some("model/src/automatic.rs");
const BLOCK_SIZE: Option<&str> = Some("model/src/block_size.rs");
const EVICTION: Option<&str> = Some("model/src/eviction.rs");
const MACHINE: Option<&str> = Some("satellite/src/machine.rs");
const HTTPS: Option<&str> = Some("controller/src/https.rs");
const METRICS: Option<&str> = Some("controller/src/ops/metrics.rs");
const FILTER: Option<&str> = Some("model/src/place/filter.rs");
const ENCRYPTION: Option<&str> = Some("model/src/layer/luks.rs");
const FORCE_RESTORE: Option<&str> = Some("controller/src/ops/backup/forced.rs");
const CREATE_BACKUP: Option<&str> = Some("controller/src/ops/backup/create.rs");
const REMOTE: Option<&str> = Some("model/src/remote.rs");
const SHIP_BACKUP: Option<&str> = Some("model/src/process/ship_backup.rs");
const SHIP_SNAPSHOT: Option<&str> = Some("model/src/process/ship_snapshot.rs");
const PEER: Option<&str> = Some("model/src/process/peer.rs");
const BALANCE: Option<&str> = Some("model/src/balance.rs");
const LVM: Option<&str> = Some("satellite/src/providers/lvm.rs");
const AUTH_TOKEN: Option<&str> = Some("model/src/auth_token.rs");
const MKFS: Option<&str> = Some("satellite/src/layers/filesystem.rs");
const NUMBERS: Option<&str> = Some("model/src/numbers");
const POOLS: Option<&str> = Some("model/src/resource");
const PROJECT: Option<&str> = Some("model/src/props/drbd.rs");
const ROLLBACK: Option<&str> = Some("controller/src/ops/snapshot/rollback.rs");
const PROPERTY: Option<&str> = Some("controller/src/ops/property");
const PROVIDERS: Option<&str> = Some("satellite/src/providers");
const QUORUM: Option<&str> = Some("model/src/quorum");
const SCORE: Option<&str> = Some("model/src/place/score.rs");
const SPACE: Option<&str> = Some("model/src/space.rs");
const AUTO_SNAPSHOT: Option<&str> = Some("controller/src/tasks/auto_snapshot.rs");
const UPKEEP: Option<&str> = Some("controller/src/tasks/upkeep.rs");
const WATERMARK: Option<&str> = Some("model/src/watermark.rs");
const VOLUME_DEFINITION: Option<&str> = Some("controller/src/ops/volume_definition");

/// Sets of places that many keys have.
const CACHE: u16 = C | N | RD | VD;
const LUKS: u16 = C | N | SP | RD | R | VD;
const DRIVER: u16 = C | N | SP | RD | VD;
const THROTTLE: u16 = C | N | SPD | SP | RD | R | VD | V;

const GROUP_OF_FILES: &str = "If neither user nor group is given, use the current user of the Linstor process. \
    If only User is given, use the user's group";
const USER_OF_FILES: &str = "If neither user nor group is given, use the current user of the Linstor process. \
    If only Group is given, use 'nobody' as user";

/// Keys in order.
#[rustfmt::skip]
const RULES: &[(&str, Rule)] = &[
    ("AllowMixingStoragePoolDriver", rule(C | RD, TrueFalse, "false", FILTER,
        "Whether replicas may be in pools of different drivers, to migrate from one to the other")),
    ("Auth/TokenAuthenticationEnabled", rule(C, TrueFalse, "", AUTH_TOKEN,
        "Whether callers need a token. Has an effect once there is a token of a user")),
    ("AutoSnapshot/Keep", rule(C | RD, Integer, "10", AUTO_SNAPSHOT,
        "How many automatic snapshots are retained; the oldest are deleted first. 0 and less retain all")),
    ("AutoSnapshot/NextAutoId", rule(C | RD, Integer, "", AUTO_SNAPSHOT, "Number of the next automatic snapshot")),
    ("AutoSnapshot/Prefix", rule(UNLISTED | RD, Word, "autoSnap", AUTO_SNAPSHOT,
        "How the names of automatic snapshots begin; a number of at least five digits follows")),
    ("AutoSnapshot/RunEvery", rule(C | RD, Integer, "", AUTO_SNAPSHOT,
        "Minutes between automatic snapshots. Unset, 0 and less take none")),
    ("AutoplaceTarget", rule(C | N, TrueFalse, "", FILTER, "Whether the pools of a node are chosen automatically")),
    ("Autoplacer/MaxThroughput", rule(C | N | SP, Integer, "", NOBODY, "The throughput a pool is capable of")),
    ("Autoplacer/MinThinFreeSpace", rule(C | N | SP | RD, SizeWithUnit, "10%", FILTER,
        "How much of a thin pool has to be free for new volumes: a size (KiB without a unit) or a percentage")),
    ("Autoplacer/PreSelectScript", rule(C, Text, "", NOBODY,
        "Script that chooses among pools, a file in /etc/linstor/selector/")),
    ("Autoplacer/PreSelectScriptTimeout", rule(C, Integer, "5000", NOBODY, "How long the script may run, in ms")),
    ("Autoplacer/Weights/MaxFreeSpace", rule(C, Decimal, "1.0", SCORE, "Weight of much free space in placement")),
    ("Autoplacer/Weights/MaxThroughput", rule(C, Decimal, "0.0", NOBODY, "Weight of throughput in placement")),
    ("Autoplacer/Weights/MinReservedSpace", rule(C, Decimal, "0.0", SCORE,
        "Weight of little reserved space in placement")),
    ("Autoplacer/Weights/MinRscCount", rule(C, Decimal, "0.0", SCORE, "Weight of few resources in placement")),
    ("BCache/Blocksize", rule(CACHE, Integer, "", NOBODY, "Block size of bcache")),
    ("BCache/Bucketsize", rule(CACHE, Integer, "", NOBODY, "Bucket size of bcache")),
    ("BCache/CacheReplacementPolicy", rule(CACHE, OneOf(&["lru", "fifo"]), "", NOBODY,
        "Which cached data is replaced (default: lru)")),
    ("BCache/DataOffset", rule(CACHE, Integer, "", NOBODY, "Offset of the data on the backing device")),
    ("BCache/Discard", rule(CACHE, TrueFalse, "", NOBODY, "Whether bcache discards")),
    ("BCache/PoolName", rule(CACHE, Name, "", NOBODY, "Pool of the cache device of bcache")),
    ("BCache/Size", rule(CACHE, SizeOrPercent, "5%", NOBODY,
        "Size of the cache device: percent of the volume, or KiB, at least 524288")),
    ("BCache/Writeback", rule(CACHE, TrueFalse, "", NOBODY, "Whether bcache writes back")),
    ("BackupShipping/AllowForceRestore", rule(C | RD, Text, "false", FORCE_RESTORE,
        "Whether an existing resource may be deleted to restore a received backup")),
    ("BackupShipping/BackupTimeout", measured("seconds", rule(C, Integer, "5", REMOTE,
        "Time limit in seconds for requests that list or delete backups"))),
    ("BackupShipping/L2LReceiveStartedTimeout", rule(C | N | RD, Integer, "300000", SHIP_SNAPSHOT,
        "How long nodes of two clusters wait for each other while one ships, in ms; -1 without an end")),
    ("BackupShipping/L2LSkipWaitForStart", rule(C | N | RD, TrueFalse, "false", NOBODY,
        "Whether a request to ship ends once the snapshot is taken")),
    ("BackupShipping/MaxConcurrentBackups", rule(UNLISTED | C, Integer, "-1", SHIP_BACKUP,
        "How many backups the cluster ships at once; less than 0: any number")),
    ("BackupShipping/MaxConcurrentBackupsPerNode", rule(C | N, Integer, "-1", SHIP_BACKUP,
        "How many backups a node ships at once; less than 0: any number")),
    ("BackupShipping/S3KeySuffix", rule(C, Text, "", CREATE_BACKUP,
        "Suffix of backup names, to tell clusters apart in one bucket")),
    ("BackupShipping/TcpPortRange", rule(C | N | UNLISTED, NumberRange(1, 65_535), "", PEER,
        "TCP ports on which nodes receive snapshots of other clusters (default: 12000-12999)")),
    ("BalanceResourcesEnabled", rule(C | RD, TrueFalse, "true", BALANCE,
        "Whether missing replicas are placed and surplus ones deleted")),
    ("BalanceResourcesGracePeriod", rule(C, Integer, "3600", BALANCE,
        "Seconds that all resources of a definition have to exist before it is balanced")),
    ("BalanceResourcesInterval", rule(C, Integer, "3600", BALANCE, "Seconds between two runs of balancing")),
    ("BalanceResourcesSkipDiskLimit", rule(C | RD, Integer, "1", BALANCE,
        "How many replicas of a definition may have SkipDisk before it is not balanced")),
    ("Cache/Blocksize", rule(CACHE, Integer, "4096", NOBODY, "Block size of dm-cache")),
    ("Cache/CachePool", rule(CACHE, Name, "", NOBODY, "Pool of the cache device of dm-cache")),
    ("Cache/Cachesize", rule(CACHE, SizeOrPercent, "5%", NOBODY,
        "Size of the cache device: percent of the volume, or KiB")),
    ("Cache/FlushTimeout", rule(CACHE, Integer, "180000", NOBODY,
        "How long a suspension waits for dirty blocks to be written to the origin device")),
    ("Cache/MetaPool", rule(CACHE, Name, "", NOBODY,
        "Pool of the metadata device of dm-cache; that of CachePool if unset")),
    ("Cache/Metasize", rule(CACHE, SizeOrPercent, "12288", NOBODY,
        "Size of the metadata device: percent of the volume, or KiB")),
    ("Cache/OpMode", rule(CACHE, OneOf(&["writeback", "writethrough", "passthrough"]), "writethrough", NOBODY,
        "Operation mode of dm-cache")),
    ("Cache/Policy", rule(CACHE, OneOf(&["mq", "smq", "cleaner"]), "smq", NOBODY, "Replacement policy of dm-cache")),
    ("Clone/BalanceAfterClone", rule(C | RD, TrueFalse, "", NOBODY,
        "Whether a clone gets one more replica, so that balancing can remove the one on the fullest node")),
    ("Clone/DdBlocksize", rule(C | SPD | RD, BlockSize, "64k", NOBODY,
        "Block size of dd when it copies a volume, for example 64k, 1M or 16M")),
    ("CopyAllSnaps", rule(C | RD, TrueFalse, "", NOBODY, "Whether a new replica gets all snapshots of its resource")),
    ("CopyAllSnapsOnEvacuate", rule(C | N, TrueFalse, "true", NOBODY,
        "Whether the snapshots of an evacuated resource are moved, too")),
    ("DrbdCurrentGi", rule(VD, Hex16, "", VOLUME_DEFINITION,
        "DRBD generation that all replicas begin with when the initial sync is skipped")),
    ("DrbdOptions/AutoEvictAfterTime", rule(C | N, Integer, "60", EVICTION,
        "After how many minutes offline a node is evicted")),
    ("DrbdOptions/AutoEvictAllowEviction", rule(C | N, TrueFalse, "true", EVICTION, "Whether a node may be evicted")),
    ("DrbdOptions/AutoEvictMaxDisconnectedNodes", rule(C, Range(0, 100), "34", EVICTION,
        "If more than this percentage of the nodes is offline at once, none is evicted")),
    ("DrbdOptions/AutoEvictMinReplicaCount", rule(C | RD, Integer, "The place count set for the resource group", Some("controller/src/ops/node/evacuate.rs"),
        "How many replicas a resource has to have after an eviction")),
    ("DrbdOptions/ExactSize", rule(RD, TrueFalse, "", VOLUME_DEFINITION,
        "Whether DRBD's device has exactly the size of the volume definition: the 'size' option of its configuration")),
    ("DrbdOptions/ForceInitialSync", rule(C | RD, TrueFalse, "false", POOLS,
        "Whether thin volumes are synced in full at first; resources made while it is set are so for good")),
    ("DrbdOptions/Proxy/memlimit", measured("bytes", rule(PROXY, Range(16_777_216, i64::MAX), "16777216", NOBODY, ""))),
    ("DrbdOptions/Proxy/ping-timeout", measured("1/10 seconds", rule(PROXY, Range(1, 300), "200", NOBODY, ""))),
    ("DrbdOptions/Proxy/rcvbuf-size", measured("bytes", rule(PROXY, Range(0, 10_485_760), "0", NOBODY, ""))),
    ("DrbdOptions/Proxy/read-loops", rule(PROXY, Range(0, 2_147_483_647), "0", NOBODY, "")),
    ("DrbdOptions/Proxy/sndbuf-size", measured("bytes", rule(PROXY, Range(0, 10_485_760), "0", NOBODY, ""))),
    ("DrbdOptions/ProxyCompression/contexts", rule(LZMA, Range(1, 253), "thread count", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/depth", rule(LZMA, Range(0, 1000), "0", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/dict-size", rule(LZMA, Range(4096, 1_610_612_736), "32768", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/fallback-to-zlib", rule(LZMA, OneOf(&["off", "on"]), "off", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/lc", rule(LZMA, Range(0, 4), "3", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/level", rule(LZMA, Range(1, 9), "4", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/level", rule(ZLIB, Range(1, 9), "2", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/level", rule(ZSTD, Range(1, 22), "3", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/lp", rule(LZMA, Range(0, 4), "0", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/mf", rule(LZMA, OneOf(&["hc4", "hc3", "bt2", "bt3", "bt4"]), "hc3", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/mode", rule(LZMA, OneOf(&["fast", "normal"]), "fast", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/nice-len", rule(LZMA, Range(0, 273), "273", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/numa-threshold", rule(LZMA, Range(0, 253), "0", NOBODY, "")),
    ("DrbdOptions/ProxyCompression/pb", rule(LZMA, Range(0, 4), "2", NOBODY, "")),
    ("DrbdOptions/SkipDisk", rule(C | N | SP | RD | R, OneOf(&["True"]), "", Some("model/src/skip_disk.rs"),
        "Whether DRBD is brought up without its disks (adjust --skip-disk). Set by itself when a disk fails; delete it to \
        end that")),
    ("DrbdOptions/auto-add-quorum-tiebreaker", rule(C | RD, TrueFalse, "", QUORUM,
        "Whether tie breakers are made and deleted automatically")),
    ("DrbdOptions/auto-diskful", rule(C | RD, Integer, "", UPKEEP,
        "After how many minutes as a diskless primary a resource gets a disk")),
    ("DrbdOptions/auto-diskful-allow-cleanup", rule(C | N | RD | R, TrueFalse, "", UPKEEP,
        "Whether a replica that became one too many by auto-diskful is removed once the new one is in sync")),
    ("DrbdOptions/auto-quorum", rule(C | RD, OneOf(&["io-error", "suspend-io", "disabled"]), "", PROPERTY,
        "Deprecated, without effect: use DrbdOptions/Resource/quorum")),
    ("DrbdOptions/auto-resync-after-disable", rule(C, TrueFalse, "", NOBODY,
        "Whether resyncs in one pool are not put in a row by DRBD's resync-after")),
    ("DrbdOptions/auto-rs-discard-granularity", rule(C | RD | VD, Text, "", PROJECT,
        "If false, DRBD's rs-discard-granularity is not set automatically. Unset or true, it is, and replaces what was \
        set at the volume definition")),
    ("DrbdOptions/auto-verify-algo-allowed-user-list", rule(C, Text, "", Some("model/src/automatic.rs"),
        "More verify algorithms to choose from, separated by semicolons")),
    ("DrbdOptions/auto-verify-algo-disable", rule(C | RD, TrueFalse, "", PROJECT,
        "Whether no verify algorithm is chosen automatically")),
    ("DrbdProxy/AutoEnable", rule(C | N, TrueFalse, "false", NOBODY, "")),
    ("DrbdProxy/CompressionType", rule(RD, OneOf(&["zlib", "lzma", "lz4", "zstd"]), "", NOBODY, "")),
    ("EBS/VolumeType", rule(DRIVER, Text, "gp2", NOBODY, "Type of an EBS volume, for example gp2 or gp3")),
    ("Encryption/Passphrase", rule(VD, Text, "", NOBODY, "Passphrase of an encrypted volume, chosen by the user")),
    ("ExtCmd/IoPollInterval", rule(C | N, NotNegative, "", MACHINE,
        "How often the I/O of a command is looked up in /proc/<pid>/io, in ms")),
    ("ExtCmd/IoStallTimeout", rule(C | N, NotNegative, "", MACHINE,
        "How long a command that is expected to do I/O may do none, in ms")),
    ("ExtCmd/KillTimeout", rule(C | N, NotNegative, "", MACHINE,
        "How long a command may take to end after SIGKILL, in ms")),
    ("ExtCmd/TermTimeout", rule(C | N, NotNegative, "", MACHINE,
        "How long a command may take to end after SIGTERM, in ms")),
    ("ExtCmd/WaitTimeout", rule(C | N, NotNegative, "", MACHINE, "How long a command may run, in ms")),
    ("ExtCmdWaitTimeout", rule(C, NotNegative, "", PROPERTY, "Deprecated: use ExtCmd/WaitTimeout")),
    ("FileSystem/Group", rule(RD | R | VD, Text, GROUP_OF_FILES, NOBODY,
        "Group of the root directory of a new file system, as a name or a number")),
    ("FileSystem/MkfsParams", rule(RD | R | VD, Text, "", MKFS, "More parameters of mkfs")),
    ("FileSystem/Type", rule(RD | R | VD, OneOf(&["ext4", "xfs"]), "", MKFS,
        "The file system to make on a new volume")),
    ("FileSystem/User", rule(RD | R | VD, Text, USER_OF_FILES, NOBODY,
        "Owner of the root directory of a new file system, as a name or a number")),
    ("Linstor/Drbd/InitialUptoDateOn", rule(VD, Text, "", AUTOMATIC, "Set by itself: the node whose replica is UpToDate at first")),
    ("Linstor/Drbd/OutsideAddress", rule(C | N | SP | RD | R, Name, "", NOBODY,
        "Network interface with the address by which peers outside connect")),
    ("Linstor/Drbd/auto-block-size", rule(C | RD | VD, Text, "", BLOCK_SIZE,
        "Whether DRBD's block-size is set automatically")),
    ("Linstor/Drbd/auto-discard-granularity", rule(C | RD | VD, Text, "", PROJECT,
        "If false, DRBD's discard-granularity is not set automatically. Unset or true, it is, and replaces what was set \
        at the volume definition")),
    ("Linstor/Drbd/freeze-block-size", rule(VD, Text, "", BLOCK_SIZE,
        "Whether DRBD's block-size stays as it is; set by itself when a resource becomes primary")),
    ("Luks/AllowDiscards", rule(LUKS, TrueFalse, "false", ENCRYPTION,
        "Whether encrypted devices pass discards on (--allow-discards), from when they are opened the next time")),
    ("MaxFreeCapacityOversubscriptionRatio", rule(C | SPD | SP, Float(0.0, 1000.0), "", SPACE,
        "How many times the free space of a pool may be allocated to thin volumes (default 20)")),
    ("MaxOversubscriptionRatio", rule(C | SPD | SP, Float(0.0, 1000.0), "", SPACE,
        "What counts for both MaxFreeCapacityOversubscriptionRatio and MaxTotalCapacityOversubscriptionRatio while they \
        are not set (default 20)")),
    ("MaxTotalCapacityOversubscriptionRatio", rule(C | SPD | SP, Float(0.0, 1000.0), "", SPACE,
        "How many times the capacity of a pool may be allocated to thin volumes (default 20)")),
    ("MinorNrAutoRange", rule(C, NumberRange(0, 1_048_575), "", NUMBERS, "Minor numbers for volumes of DRBD")),
    ("NVMe/Port", rule(C | RD, Range(1, 65_535), "", NOBODY, "Port of NVMe targets")),
    ("NVMe/PrefNic", rule(C | SP | R, Name, "", NOBODY, "Network interface for NVMe")),
    ("NVMe/TRType", rule(C | RD, OneOf(&["rdma", "tcp"]), "rdma", NOBODY, "Transport of NVMe")),
    ("OverrideVlmId", rule(VD, Line, "", NOBODY,
        "Name of the backing volume instead of '<resource>_<volume number>', for migrations")),
    ("PeerSlots", rule(R, Range(1, 31), "", POOLS, "How many peers the metadata of a resource has room for")),
    ("PeerSlotsNewResource", rule(C | RD, Range(1, 31), "", NUMBERS,
        "How many peers the metadata of new resources has room for (default 7). It cannot be changed later: leave room \
        for more replicas")),
    ("PrefNic", rule(N | SP | RD | R, Name, "", PROJECT, "Network interface that peers connect to")),
    ("REST/AutoHTTPS", rule(C, TrueFalse, "", HTTPS,
        "Whether HTTPS is served with a self-signed certificate when none is configured")),
    ("REST/disable-http-metrics", rule(C, TrueFalse, "", METRICS,
        "Whether /metrics is not served over HTTP when HTTPS is enabled")),
    ("SearchDomain", rule(C, Text, "", NOBODY, "Domain of node names that have none")),
    ("Site", rule(C | N, Text, "", NOBODY, "")),
    ("Snapshot/BalanceAfterRestore", rule(C | RD, TrueFalse, "", NOBODY,
        "Whether a restored resource gets one more replica, so that balancing can remove the one on the fullest node")),
    ("SpecStltPortAutoRange", rule(C, NumberRange(1, 65_535), "", NOBODY,
        "TCP ports for satellites inside the controller")),
    ("StorDriver/DMStats", rule(C, TrueFalse, "", NOBODY, "Whether dmstats counts for new logical volumes")),
    ("StorDriver/EBS/Remote", rule(SP, Name, "", NOBODY, "")),
    ("StorDriver/FileDir", rule(SP, Line, "", PROPERTY, "")),
    ("StorDriver/LuksFormatOptions", rule(LUKS, Text, "", ENCRYPTION,
        "More options of cryptsetup luksFormat. They are the same for all replicas of a volume: what the volume definition \
        and the objects above it have when its first encrypted replica is created")),
    ("StorDriver/LuksOpenOptions", rule(LUKS, Text, "", ENCRYPTION, "More options of cryptsetup open")),
    ("StorDriver/LvcreateOptions", rule(DRIVER, Options(&tool_option::LVCREATE), "", LVM, "More options of every lvcreate")),
    ("StorDriver/LvcreatePvSelection", rule(UNLISTED | DRIVER, Options(&tool_option::PV_SELECTION), "", LVM,
        "Parameters of the command that lists physical volumes for lvcreate")),
    ("StorDriver/LvcreateSnapshotOptions", rule(DRIVER, Options(&tool_option::LVCREATE_SNAPSHOT), "", LVM,
        "More options of every lvcreate --snapshot")),
    ("StorDriver/LvcreateType", rule(SP | RD | VD, OneOf(&[
        "linear", "striped", "mirror", "raid0", "raid1", "raid4", "raid5", "raid6", "raid10", "lzma", "lz4",
        ]), "linear", LVM, "")),
    ("StorDriver/LvmVg", rule(SP, Word, "", PROPERTY, "")),
    ("StorDriver/RemoteSpdk/ApiHost", rule(C | N | SP, NonEmpty, "", NOBODY, "Host of a remote SPDK's API")),
    ("StorDriver/RemoteSpdk/ApiPort", rule(C | N | SP, Digits, "", NOBODY, "Port of a remote SPDK's API")),
    ("StorDriver/RemoteSpdk/UserName", rule(C | N | SP, NonEmpty, "", NOBODY, "User of a remote SPDK's API")),
    ("StorDriver/RemoteSpdk/UserNameEnv", rule(C | N | SP, NonEmpty, "", NOBODY,
        "Environment variable with the user of a remote SPDK's API")),
    ("StorDriver/RemoteSpdk/UserPassword", rule(C | N | SP, NonEmpty, "", NOBODY, "Password of a remote SPDK's API")),
    ("StorDriver/RemoteSpdk/UserPasswordEnv", rule(C | N | SP, NonEmpty, "", NOBODY,
        "Environment variable with the password of a remote SPDK's API")),
    ("StorDriver/SizesCacheTime", rule(C | N, Integer, "", NOBODY,
        "How long the output of lvs and vgs is good, in ms")),
    ("StorDriver/StorPoolName", rule(SP, Place, "", Some("satellite/src/check.rs"), "")),
    ("StorDriver/ThinPool", rule(SP, Word, "", PROPERTY, "")),
    ("StorDriver/WaitTimeoutAfterCreate", rule(C | SP, Digits, "", PROVIDERS, "")),
    ("StorDriver/ZPool", rule(SP, Place, "", PROPERTY, "")),
    ("StorDriver/ZPoolThin", rule(SP, Place, "", PROPERTY, "")),
    ("StorDriver/Zfs/DeleteStrategy", rule(C | RD, OneOf(&["Delete", "Rename", "Dynamic"]), "Dynamic", NOBODY,
        "How a ZFS volume with snapshots is deleted: Delete refuses, Rename renames it, Dynamic deletes if that is \
        possible and else renames")),
    ("StorDriver/Zfs/RollbackStrategy", rule(C | RD, OneOf(&["Rollback", "Clone", "Dynamic"]), "Dynamic", ROLLBACK,
        "How a ZFS volume is rolled back: Rollback uses 'zfs rollback', Clone renames it and uses 'zfs clone', Dynamic \
        rolls back if that is possible and else clones")),
    ("StorDriver/ZfsSnapshotOptions", rule(DRIVER, Options(&tool_option::ZFS_SNAPSHOT), "", PROVIDERS,
        "More options of every zfs snapshot")),
    ("StorDriver/ZfscreateOptions", rule(DRIVER, Options(&tool_option::ZFS_CREATE), "", Some("satellite/src/providers/zfs.rs"),
        "More options of every zfs create")),
    ("StorPoolName", rule(N | RD | R | VD | V, Name, "", POOLS, "Pool of the volumes")),
    ("StorPoolNameDrbdMeta", rule(N | RD | R | VD | V, PoolNameOrInternal, "", POOLS,
        "Pool of DRBD's external metadata")),
    ("TcpPortAutoRange", rule(C | N | UNLISTED_AT_NODE, NumberRange(1, 65_535), "", NUMBERS,
        "TCP ports for resources (default: 7000-7999)")),
    ("TcpPortsBlocked", rule(C | N | UNLISTED, NumberRange(1, 65_535), "", NUMBERS,
        "TCP ports that resources do not get")),
    ("UpdateCacheInterval", rule(C, Integer, "180", NOBODY, "Seconds between two queries of the free space of pools")),
    ("UseZFSClone", rule(C | RD, TrueFalse, "false", NOBODY,
        "Whether clones in ZFS pools depend on their snapshot instead of being copied")),
    ("Watermark/Place", rule(UNLISTED | C | SPD | SP, Float(0.0, 100.0), "", FILTER,
        "How full a pool may be, in percent, for new volumes to be placed in it by itself")),
    ("Watermark/Protect", rule(UNLISTED | C | SPD | SP, Float(0.0, 100.0), "", WATERMARK,
        "How full a pool may be, in percent, for volumes to be created or grown in it at all")),
    ("Watermark/Snapshot", rule(UNLISTED | C | SPD | SP, Float(0.0, 100.0), "", WATERMARK,
        "How full a pool may be, in percent, for snapshots to be made in it")),
    ("Watermark/Warn", rule(UNLISTED | C | SPD | SP, Float(0.0, 100.0), "", WATERMARK,
        "How full a pool may be, in percent, until a warning is shown with it")),
    ("Writecache/Options/Additional", rule(CACHE, Text, "", NOBODY, "More arguments of dm-writecache")),
    ("Writecache/Options/AutocommitBlocks", rule(CACHE, Integer, "64 for pmem, 65536 for ssd", NOBODY,
        "After how many blocks that were written without a FLUSH they are committed")),
    ("Writecache/Options/AutocommitTime", rule(CACHE, Integer, "1000", NOBODY,
        "After how many milliseconds without a FLUSH what was written is committed")),
    ("Writecache/Options/Fua", rule(CACHE, OneOf(&["On", "Off"]), "On", NOBODY,
        "Whether data is written back with FUA: argument fua or nofua")),
    ("Writecache/Options/HighWatermark", rule(CACHE, Integer, "50", NOBODY,
        "Used percentage at which writing back begins")),
    ("Writecache/Options/LowWatermark", rule(CACHE, Integer, "45", NOBODY,
        "Used percentage at which writing back ends")),
    ("Writecache/Options/StartSector", rule(CACHE, Integer, "0", NOBODY,
        "Offset on the cache device, in sectors of 512 bytes")),
    ("Writecache/Options/WritebackJobs", rule(CACHE, Integer, "unlimited", NOBODY,
        "How many blocks are written back at once: fewer take longer in all, and let reads pass sooner")),
    ("Writecache/PoolName", rule(CACHE, Name, "", NOBODY, "Pool of the cache device of dm-writecache")),
    ("Writecache/Size", rule(CACHE, SizeOrPercent, "", NOBODY,
        "Size of the cache device: percent of the volume, or KiB")),
    ("sys/fs/blkio_throttle_read", rule(THROTTLE, Integer, "", NOBODY,
        "Bytes read per second: /sys/fs/cgroup/blkio/blkio.throttle.read_bps_device")),
    ("sys/fs/blkio_throttle_read_iops", rule(THROTTLE, Integer, "", NOBODY,
        "Reads per second: /sys/fs/cgroup/blkio/blkio.throttle.read_iops_device")),
    ("sys/fs/blkio_throttle_write", rule(THROTTLE, Integer, "", NOBODY,
        "Bytes written per second: /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")),
    ("sys/fs/blkio_throttle_write_iops", rule(THROTTLE, Integer, "", NOBODY,
        "Writes per second: /sys/fs/cgroup/blkio/blkio.throttle.write_iops_device")),
];
