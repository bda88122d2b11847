//! Status: the state of a node's resources, pools and tools.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::drbd_state::{ConnectionState, DiskState, ReplicationState, Suspension};
use linstor_api::kind::{DrbdKind, LayerKind, ProviderKind, StorageSuffix};
use linstor_api::reply::Reply;
use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::newer;

/// What a node is able to do, probed when a controller connects and whenever there is a reason to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Host name as `uname -n` prints it.
    pub uname: String,
    /// Kernel release.
    #[serde(default)]
    pub kernel: String,
    /// Distribution and its version, as `/etc/os-release` names it; empty when it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// The DRBD in the kernel, when there is one of a known kind.
    #[serde(default, deserialize_with = "newer::if_known")]
    pub drbd: Option<DrbdInfo>,
    /// Layers that can be used.
    #[serde(default, deserialize_with = "newer::known")]
    pub layers: Vec<LayerKind>,
    /// Providers that can be used.
    #[serde(default, deserialize_with = "newer::known")]
    pub providers: Vec<ProviderKind>,
    /// Why the other layers cannot be used.
    #[serde(default, deserialize_with = "newer::with_known_keys")]
    pub unsupported_layers: BTreeMap<LayerKind, Vec<String>>,
    /// Why the other providers cannot be used.
    #[serde(default, deserialize_with = "newer::with_known_keys")]
    pub unsupported_providers: BTreeMap<ProviderKind, Vec<String>>,
    /// Hash of the token of the REST API that is on the node; empty when there is none, and absent from a satellite that
    /// takes no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// DRBD options that the node's drbd-utils do not have, as `section/name`: they are in no `.res` file.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown_drbd_options: BTreeSet<String>,
    /// Resources in DRBD that are not LINSTOR's, or no more: their minors and ports cannot be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_drbd: Vec<ForeignDrbd>,
    /// Digest algorithms of the kernel's crypto interface, each with its priority.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, u32>,
}

/// A resource in DRBD that belongs to no spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignDrbd {
    /// Its name in DRBD.
    pub name: String,
    /// Minors of its devices.
    #[serde(default)]
    pub minors: BTreeSet<u32>,
    /// Ports that its connections listen on.
    #[serde(default)]
    pub ports: BTreeSet<u16>,
}

/// The DRBD of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrbdInfo {
    /// Which kind.
    pub kind: DrbdKind,
    /// Kernel module's version, for example `9.2.18`.
    pub version: String,
    /// Version of drbd-utils.
    pub utils: String,
}

/// How an attempt to reach a spec ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Outcome {
    /// The object matches its spec.
    Done,
    /// Something else has to happen first; the node tries again when it has.
    Waiting {
        /// What for, as the end of a sentence that begins with "waiting for".
        on: String,
        /// How far that is, where it is known.
        #[serde(default)]
        done_percent: Option<u8>,
        /// What was moved, where the node sends or receives something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<Moved>,
    },
    /// A step failed; the node tries again by itself.
    Failed {
        /// Errors as the caller is shown them; never empty.
        replies: Vec<Reply>,
    },
}

/// How much of a snapshot was sent or received, before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Bytes that were, in all volumes.
    pub bytes: u64,
    /// Bytes that are left of the volume at which the node is; of later ones it is not known yet.
    pub rest_bytes: u64,
    /// Bytes in a second, on average since the node began.
    pub bytes_per_s: u64,
}

/// A node's view of one resource. Sent whole whenever any of it changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Display name.
    pub name: String,
    /// Identity of the resource on this node.
    pub uuid: Uuid,
    /// DRBD's view; none when the resource is not up in DRBD.
    #[serde(default)]
    pub drbd: Option<DrbdStatus>,
    /// Volumes in number order; only those that exist.
    #[serde(default)]
    pub volumes: Vec<VolumeStatus>,
}

/// DRBD's view of a resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DrbdStatus {
    /// The resource is primary here.
    pub in_use: bool,
    /// Why I/O is suspended, if it is.
    #[serde(default)]
    pub suspended: Option<Suspension>,
    /// Whether it could be made primary now; not known on 8.4.
    #[serde(default)]
    pub may_promote: Option<bool>,
    /// DRBD's promotion score; not known on 8.4.
    #[serde(default)]
    pub promotion_score: Option<i32>,
    /// Peer node name to the state of the connection.
    #[serde(default)]
    pub connections: SortedMap<String, ConnectionState>,
    /// A volume has lost its quorum; DRBD 9 only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quorum_lost: bool,
    /// A disk failed again each time it was attached: the satellite does not attach it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disk_given_up: bool,
}

/// One volume as the node sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeStatus {
    /// Volume number.
    pub number: u32,
    /// Device that users open.
    #[serde(default)]
    pub device_path: Option<String>,
    /// Device of the storage pool below.
    #[serde(default)]
    pub backing_device: Option<String>,
    /// Space taken in the pool, in KiB.
    #[serde(default)]
    pub allocated_kib: Option<u64>,
    /// Size that users see, in KiB.
    #[serde(default)]
    pub usable_kib: Option<u64>,
    /// Size of the backing volume, in KiB.
    #[serde(default)]
    pub backing_kib: Option<u64>,
    /// Backing volumes that hold something else than the data.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "newer::with_known_keys"
    )]
    pub extra_storage: BTreeMap<StorageSuffix, StorageStatus>,
    /// The open LUKS device on the volume with the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub luks: Option<LuksStatus>,
    /// State of its disk in DRBD.
    #[serde(default)]
    pub disk_state: Option<DiskState>,
    /// Peer node name to the state of the replication with it.
    #[serde(default)]
    pub replication: SortedMap<String, ReplicationStatus>,
}

/// An open LUKS device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LuksStatus {
    /// Its path.
    pub device: String,
    /// Its size in KiB.
    pub size_kib: u64,
}

/// A backing volume as the node sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// Its device.
    #[serde(default)]
    pub device: Option<String>,
    /// Its size in KiB.
    #[serde(default)]
    pub size_kib: Option<u64>,
    /// Space taken in the pool, in KiB.
    #[serde(default)]
    pub allocated_kib: Option<u64>,
}

/// Replication of one volume with one peer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicationStatus {
    /// The replication state.
    pub state: ReplicationState,
    /// The peer's disk state as seen from here.
    #[serde(default)]
    pub peer_disk: Option<DiskState>,
    /// Progress of a resync in percent.
    #[serde(default)]
    pub done_percent: Option<f64>,
}

/// A storage pool as the node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Name of the pool's definition.
    pub name: String,
    /// Free space in KiB; none when it is not known.
    #[serde(default)]
    pub free_kib: Option<u64>,
    /// Total space in KiB; none when it is not known.
    #[serde(default)]
    pub total_kib: Option<u64>,
    /// Volumes are rounded up to multiples of this many KiB (VG extent, volblocksize, 1 for files).
    #[serde(default)]
    pub granularity_kib: Option<u64>,
    /// A thin pool allocates and discards in multiples of this many KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_kib: Option<u64>,
    /// How full the metadata of a thin pool is, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_permille: Option<u32>,
    /// What a volume reserves beyond its size, in thousandths of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_permille: Option<u32>,
    /// The largest logical sector of the devices below, in bytes; none where that is no matter of devices, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_bytes: Option<u32>,
    /// Whether the file system of a FILE pool can share blocks between files, as snapshots do; none when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_reflinks: Option<bool>,
    /// Why the pool cannot be used, or, as a warning, not be relied upon; none when all is well.
    #[serde(default)]
    pub problem: Option<Reply>,
}
