//! Questions of a controller to a node: what is asked for once by somebody who waits, and is no part of a spec.
//!
//! A question and its answer belong to one connection, and are lost with it; the controller then answers that it does
//! not know the outcome. So a question must be safe to ask again: what was made already is a refusal that names it.

use linstor_api::kind::ProviderKind;
use linstor_api::reply::Reply;
use serde::{Deserialize, Serialize};

/// What a controller asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The whole block devices of the node.
    BlockDevices,
    /// Make a volume group, a thin pool or a zpool of block devices.
    CreateDevicePool(Box<DevicePool>),
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::BlockDevices`].
    BlockDevices(Vec<BlockDevice>),
    /// What was done.
    Done(Vec<Reply>),
    /// Nothing was done, or all of it was taken back.
    Failed(Reply),
}

/// A whole block device: a disk, a multipath device or an md array.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Its path, for example `/dev/sdb`.
    pub path: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Whether it is a rotating disk.
    #[serde(default)]
    pub rotational: bool,
    /// Size of its logical sectors in bytes.
    #[serde(default)]
    pub sector_bytes: u64,
    /// Model, as the device reports it.
    #[serde(default)]
    pub model: String,
    /// Serial number.
    #[serde(default)]
    pub serial: String,
    /// World wide name.
    #[serde(default)]
    pub wwn: String,
    /// Its links in `/dev/disk/by-id`, whose names remain when disks are added or removed.
    #[serde(default)]
    pub links: Vec<String>,
    /// Why no pool can be made of it; none if one can.
    #[serde(default)]
    pub unusable: Option<String>,
}

/// A pool to make of block devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePool {
    /// LVM, LVM_THIN, ZFS or ZFS_THIN.
    pub kind: ProviderKind,
    /// Volume group, `VG/POOL` or zpool.
    pub place: String,
    /// Paths of the devices.
    pub devices: Vec<String>,
    /// How they are combined.
    #[serde(default)]
    pub raid: RaidLevel,
    /// Signatures of file systems, volume groups and partition tables on the devices are erased first; otherwise a device
    /// with one is refused.
    #[serde(default)]
    pub wipe: bool,
    /// Further arguments of `pvcreate`.
    #[serde(default)]
    pub pv_arguments: Vec<String>,
    /// Further arguments of `vgcreate`.
    #[serde(default)]
    pub vg_arguments: Vec<String>,
    /// Further arguments of `lvcreate` for the thin pool.
    #[serde(default)]
    pub lv_arguments: Vec<String>,
    /// Further arguments of `zpool create`.
    #[serde(default)]
    pub zpool_arguments: Vec<String>,
}

/// How the devices of a zpool are combined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RaidLevel {
    /// One after the other, without redundancy.
    #[default]
    Jbod,
    /// All have the same content.
    Raid1,
    /// One device may fail.
    Raid5,
    /// Two devices may fail.
    Raid6,
    /// Pairs of devices with the same content.
    Raid10,
}

impl RaidLevel {
    /// The words that callers use.
    pub const WORDS: [(&str, RaidLevel); 5] = [
        ("JBOD", RaidLevel::Jbod),
        ("RAID1", RaidLevel::Raid1),
        ("RAID5", RaidLevel::Raid5),
        ("RAID6", RaidLevel::Raid6),
        ("RAID10", RaidLevel::Raid10),
    ];

    /// How few devices it needs.
    pub fn devices_min(self) -> usize {
        match self {
            RaidLevel::Jbod => 1,
            RaidLevel::Raid1 => 2,
            RaidLevel::Raid5 => 3,
            RaidLevel::Raid6 | RaidLevel::Raid10 => 4,
        }
    }
}
