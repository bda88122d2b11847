//! Questions of a controller to a node: what is asked for once by somebody who waits, and is no part of a spec.
//!
//! A question and its answer belong to one connection, and are lost with it; the controller then answers that it does
//! not know the outcome. So a question must be safe to ask again: what was made already is a refusal that names it.

use std::collections::BTreeSet;

use linstor_api::external_file::FilePath;
use linstor_api::kind::ProviderKind;
use linstor_api::name::FileName;
use linstor_api::reply::Reply;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::spec::{BucketSpec, ReceivedObject};

/// How much the files of an [`Answer::Files`] have together, in bytes: escaped as JSON they still fit into a frame.
pub const FILES_BYTES_MAX: usize = 1024 * 1024;

/// What a controller asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The whole block devices of the node.
    BlockDevices,
    /// Make a volume group, a thin pool or a zpool of block devices.
    CreateDevicePool(Box<DevicePool>),
    /// The satellite's settings.
    Settings,
    /// Log at this level until the satellite ends.
    LogLevel {
        /// One of the levels that LINSTOR has.
        level: String,
    },
    /// Run `drbd-reactorctl`. Its configurations are files, hence their names.
    Reactor(ReactorOrder),
    /// The state of the machine, for a person who looks for an error.
    Support {
        /// Messages of the log from this time on, in seconds since the Unix epoch.
        since: u64,
    },
    /// What earlier identities of the node have left on it.
    Leftovers,
    /// What an external file is on the node, and whether the satellite may write it.
    ExternalFile {
        /// Its path.
        path: FilePath,
        /// As in [`crate::spec::FileSpec`].
        #[serde(default)]
        alt_suffixes: Vec<String>,
        /// SHA-256 of its content, in hexadecimal digits; none where the controller has no such file.
        #[serde(default)]
        sha256: Option<String>,
    },
    /// Read an object of a backup to its end, and write nothing. The answer has what is wrong with it.
    VerifyObject(Box<VerifiedObject>),
    /// Remove these of them.
    Forget {
        /// Their [`Leftover::id`]s.
        ids: BTreeSet<String>,
    },
}

/// An object of a backup that is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedObject {
    /// Its bucket.
    pub bucket: BucketSpec,
    /// Its key and size.
    pub object: ReceivedObject,
    /// What it has to hold.
    pub kind: StreamKind,
    /// Size of the volume that it is of, in KiB.
    pub volume_kib: u64,
}

/// The stream of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamKind {
    /// That of `thin_send`.
    Thin,
    /// That of `zfs send`.
    Zfs,
}

/// Orders to drbd-reactor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReactorOrder {
    /// Report the state of one of its configurations, or of all.
    Status {
        /// Name of the resource.
        resource: Option<FileName>,
    },
    /// Move a resource to another node.
    Evict {
        /// Name of the resource.
        resource: FileName,
        /// Whether to wait until another node has taken it over.
        wait: bool,
    },
    /// Stop using a configuration.
    Disable {
        /// Name of the configuration.
        config: FileName,
        /// Whether what it started is stopped too.
        now: bool,
    },
    /// Use a configuration.
    Enable {
        /// Name of the configuration.
        config: FileName,
    },
    /// Stop and start a configuration.
    Restart {
        /// Name of the configuration.
        config: FileName,
    },
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::BlockDevices`].
    BlockDevices(Vec<BlockDevice>),
    /// To [`Question::Settings`].
    Settings(Settings),
    /// To [`Question::Reactor`]: the program was run, or could not be.
    Program(ProgramEnd),
    /// To [`Question::Support`], in the order in which they were made.
    Files(Vec<File>),
    /// To [`Question::Leftovers`].
    Leftovers(Vec<Leftover>),
    /// To [`Question::ExternalFile`].
    ExternalFile(FileState),
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

/// What belongs to no resource of the node's specs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// What it is.
    pub what: LeftoverKind,
    /// Name of the volume in its pool, or of the resource in DRBD.
    pub name: String,
    /// Cluster and resource of the mark of a volume, or of all volumes below a resource of DRBD.
    #[serde(default)]
    pub owner: Option<(Uuid, Uuid)>,
    /// Why it is not removed.
    #[serde(default)]
    pub kept_because: Option<String>,
}

/// What a [`Leftover`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// A volume with a mark.
    Volume {
        /// Its storage pool.
        pool: String,
        /// Its device; empty while it has none.
        path: String,
        /// Its size.
        size_kib: u64,
        /// What it takes in its pool.
        #[serde(default)]
        allocated_kib: Option<u64>,
    },
    /// A resource that is up in DRBD.
    Drbd {
        /// Minors of its devices.
        minors: BTreeSet<u32>,
        /// Ports that its connections listen on.
        ports: BTreeSet<u16>,
    },
}

impl Leftover {
    /// Identifies it: with the mark, so that it never means another volume of the same name.
    pub fn id(&self) -> String {
        let kind = match &self.what {
            LeftoverKind::Volume { pool, .. } => format!("volume/{pool}"),
            LeftoverKind::Drbd { .. } => "drbd".to_owned(),
        };
        let owner = self
            .owner
            .map(|(cluster, resource)| format!("/{cluster}/{resource}"));
        format!("{kind}/{}{}", self.name, owner.unwrap_or_default())
    }
}

/// What an external file is on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Whether the satellite's settings allow its directory.
    pub allowed: bool,
    /// Where it is; none if it is not there, or not allowed.
    #[serde(default)]
    pub path: Option<String>,
    /// Whether it has the content that was asked about.
    #[serde(default)]
    pub content_matches: bool,
}

/// How a program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramEnd {
    /// Exit code; -1 where the program could not be run.
    pub code: i32,
    /// Standard output.
    #[serde(default)]
    pub stdout: String,
    /// Standard error, or why the program could not be run.
    #[serde(default)]
    pub stderr: String,
}

/// Settings of a satellite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Directory of `linstor_satellite.toml`.
    pub directory: String,
    /// Address that it listens on; none for all.
    #[serde(default)]
    pub address: Option<String>,
    /// Port that it listens on.
    pub port: u16,
    /// Level of the log, or a filter of levels; none where no log was started.
    #[serde(default)]
    pub log_level: Option<String>,
}

/// A text about the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Name, without a directory.
    pub name: String,
    /// Content.
    pub text: String,
}
