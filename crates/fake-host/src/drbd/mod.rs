//! DRBD: the kernel module of each machine, the protocol between machines, and the three tools.
//!
//! Data is modelled by content, not by counters: a write goes to the backing device of every connected replica, a
//! resync copies blocks, and the generation ids decide as the kernel does who is the source. Whether data was lost
//! can therefore be read from the devices.

mod adjust;
mod adm;
mod app;
mod attach;
mod compare;
mod exposed;
mod grow;
mod held;
mod json;
mod link;
mod metadata;
mod metatool;
mod quorum;
mod res;
mod resfile;
mod resync;
mod role;
mod setup;
mod status;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::machine::Dev;

pub(crate) use adm::drbdadm;
pub use app::AppIo;
pub(crate) use app::{good_backing, read as app_read, write as app_write};
pub(crate) use held::{Held, counters, flush};
pub(crate) use link::{heal, lose_all, try_connect};
pub(crate) use metadata::Metadata;
pub(crate) use metatool::drbdmeta;
pub(crate) use quorum::{agree, settle};
pub(crate) use resync::tick as resync_tick;
pub(crate) use role::{close as close_device, open as open_device};
pub(crate) use setup::{drbdsetup, leave_all};
pub(crate) use view::{View, changes, dump, view, volume_state};

/// The DRBD version of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrbdKind {
    /// DRBD 9: many peers, diskless peers, quorum.
    V9,
    /// DRBD 8.4, which is part of Linux: one peer, no quorum, no intentionally diskless nodes.
    V84,
}

/// Names and values of options, as in the configuration.
pub(crate) type Options = BTreeMap<String, String>;

/// The kernel module of one machine.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) kind: DrbdKind,
    pub(crate) resources: BTreeMap<String, Resource>,
}

#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) node_id: u32,
    pub(crate) options: Options,
    pub(crate) role: Role,
    /// The resource was promoted automatically by opening a device, and is demoted when it is closed.
    pub(crate) auto_promoted: bool,
    pub(crate) suspended: bool,
    pub(crate) volumes: BTreeMap<u32, Volume>,
    /// By the peer's node id; always 1 for 8.4.
    pub(crate) connections: BTreeMap<u32, Connection>,
    /// Node ids of the last partition that had quorum.
    pub(crate) members: BTreeSet<u32>,
}

#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) minor: u32,
    /// Intentionally diskless.
    pub(crate) client: bool,
    pub(crate) disk: Disk,
    pub(crate) backing: Option<Backing>,
    pub(crate) disk_options: Options,
    pub(crate) size_kib: u64,
    /// Limit in KiB, set by option `size` or by `resize --size`, until the next `resize` or `down`.
    pub(crate) user_kib: Option<u64>,
    pub(crate) quorum: bool,
    pub(crate) opened: u32,
    /// Requests that 8.4 holds back although the suspension is over that they were under way at.
    pub(crate) held: Held,
    /// Exposed data generation: the one that applications have read on this node.
    pub(crate) exposed: Option<u64>,
    /// The kernel has a bitmap of a disk that is gone: nothing is attached before it is detached.
    pub(crate) stale_bitmap: bool,
}

/// The locations of a volume's data and metadata.
#[derive(Debug, Clone)]
pub(crate) struct Backing {
    pub(crate) path: String,
    pub(crate) dev: Dev,
    pub(crate) meta_path: String,
    pub(crate) meta: Dev,
    pub(crate) superblock: u64,
}

impl Backing {
    pub(crate) fn is_internal(&self) -> bool {
        self.dev == self.meta
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// The peer's host name.
    pub(crate) name: String,
    pub(crate) link: Link,
    pub(crate) net: Options,
    /// Local and remote address, each `ipv4:1.2.3.4:7000`.
    pub(crate) paths: Vec<(String, String)>,
    /// The other end, while connected.
    pub(crate) peer: Option<PeerRef>,
    pub(crate) devices: BTreeMap<u32, PeerDevice>,
    /// `--discard-my-data`: become sync target if the next handshake detects a split brain.
    pub(crate) discard_my_data: bool,
}

/// The other end of a connection: host, resource, and the key of its connection to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerRef {
    pub(crate) host: String,
    pub(crate) resource: String,
    pub(crate) key: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct PeerDevice {
    pub(crate) repl: Repl,
    /// The peer is not intentionally diskless.
    pub(crate) bitmap: bool,
    /// Number of blocks that were out of sync when the running resync started.
    pub(crate) resync_total: u64,
}

impl PeerDevice {
    pub(crate) fn new() -> Self {
        PeerDevice {
            repl: Repl::Off,
            bitmap: true,
            resync_total: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Unknown,
    Primary,
    Secondary,
}

/// Disk states in the kernel's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disk {
    Diskless,
    Failed,
    Inconsistent,
    Outdated,
    DUnknown,
    UpToDate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    StandAlone,
    Connecting,
    Connected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Repl {
    Off,
    Established,
    SyncSource,
    SyncTarget,
    PausedSyncS,
    PausedSyncT,
}

macro_rules! prints_as_named {
    ($($kind:ty),*) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )*};
}

prints_as_named!(Role, Disk, Link, Repl);

impl Repl {
    /// Writes are replicated to the peer.
    pub(crate) fn mirrors(self) -> bool {
        self != Repl::Off
    }

    pub(crate) fn is_syncing(self) -> bool {
        matches!(self, Repl::SyncSource | Repl::SyncTarget)
    }
}

impl Kernel {
    pub(crate) fn new(kind: DrbdKind) -> Self {
        Kernel {
            kind,
            resources: BTreeMap::new(),
        }
    }

    pub(crate) fn crash(&mut self) {
        self.resources.clear();
    }

    pub(crate) fn has_minor(&self, minor: u32) -> bool {
        self.find_minor(minor).is_some()
    }

    /// The resource and number of the volume with this minor.
    pub(crate) fn find_minor(&self, minor: u32) -> Option<(String, u32)> {
        self.resources.iter().find_map(|(name, resource)| {
            let (number, _) = resource
                .volumes
                .iter()
                .find(|(_, volume)| volume.minor == minor)?;
            Some((name.clone(), *number))
        })
    }

    pub(crate) fn size_kib(&self, minor: u32) -> u64 {
        self.resources
            .values()
            .flat_map(|resource| resource.volumes.values())
            .find(|volume| volume.minor == minor)
            .map_or(0, |volume| volume.size_kib)
    }

    /// The device below a minor.
    pub(crate) fn backing_of(&self, minor: u32) -> Option<&Dev> {
        self.resources
            .values()
            .flat_map(|resource| resource.volumes.values())
            .find(|volume| volume.minor == minor)
            .and_then(|volume| volume.backing.as_ref())
            .map(|backing| &backing.dev)
    }

    /// The resource that has a device attached.
    pub(crate) fn user_of_backing(&self, dev: &Dev) -> Option<String> {
        let uses = |volume: &Volume| {
            volume
                .backing
                .as_ref()
                .is_some_and(|backing| backing.dev == *dev || backing.meta == *dev)
        };
        self.resources
            .iter()
            .find(|(_, resource)| resource.volumes.values().any(uses))
            .map(|(name, _)| name.clone())
    }

    pub(crate) fn backing_renamed(&mut self, from: &Dev, to: &Dev) {
        for volume in self
            .resources
            .values_mut()
            .flat_map(|r| r.volumes.values_mut())
        {
            if let Some(backing) = &mut volume.backing {
                if backing.dev == *from {
                    backing.dev = to.clone();
                }
                if backing.meta == *from {
                    backing.meta = to.clone();
                }
            }
        }
    }

    /// Whether DRBD listens on this port.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        let suffix = format!(":{port}");
        self.resources
            .values()
            .flat_map(|resource| resource.connections.values())
            .any(|connection| {
                connection.link != Link::StandAlone
                    && connection
                        .paths
                        .iter()
                        .any(|(local, _)| local.ends_with(&suffix))
            })
    }
}

impl Resource {
    pub(crate) fn new(node_id: u32, options: Options) -> Self {
        Resource {
            node_id,
            options,
            role: Role::Secondary,
            auto_promoted: false,
            suspended: false,
            volumes: BTreeMap::new(),
            connections: BTreeMap::new(),
            members: BTreeSet::new(),
        }
    }

    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

impl Connection {
    pub(crate) fn new(name: &str, net: Options) -> Self {
        Connection {
            name: name.to_owned(),
            link: Link::StandAlone,
            net,
            paths: Vec::new(),
            peer: None,
            devices: BTreeMap::new(),
            discard_my_data: false,
        }
    }

    pub(crate) fn two_primaries(&self) -> bool {
        self.net
            .get("allow-two-primaries")
            .is_some_and(|v| v == "yes")
    }
}
