//! DRBD's resources and their state, as events report them.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::drbd_state::{
    ConnectionState, DiskState, Quorum, ReplicationState, Role, Suspension,
};

/// All DRBD resources of the node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrbdState {
    /// By name, as DRBD has it.
    pub resources: BTreeMap<String, DrbdResource>,
}

/// A resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrbdResource {
    /// Its role on this node.
    pub role: Role,
    /// Why I/O is suspended.
    pub suspended: Suspension,
    /// Whether it could be made primary; DRBD 9 only.
    pub may_promote: Option<bool>,
    /// DRBD 9 only.
    pub promotion_score: Option<i32>,
    /// By volume number.
    pub devices: BTreeMap<u32, DrbdDevice>,
    /// By [`connection_key`].
    pub connections: BTreeMap<String, DrbdConnection>,
}

/// A volume's device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrbdDevice {
    /// Minor number.
    pub minor: u32,
    /// State of its disk.
    pub disk: DiskState,
    /// Diskless on purpose; DRBD 9 only.
    pub client: Option<bool>,
    /// DRBD 9 only.
    pub quorum: Option<Quorum>,
    /// Size in KiB; 0 while it is not known.
    pub size_kib: Option<u64>,
}

/// A connection to a peer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrbdConnection {
    /// Name of the peer: its host name on DRBD 9, `peer` or empty on 8.4.
    pub name: String,
    /// The peer's node id; always 0 on 8.4.
    pub peer_node_id: u32,
    /// Its state.
    pub state: ConnectionState,
    /// The peer's role.
    pub role: Role,
    /// TCP ports that this node listens on for it.
    pub ports: BTreeSet<u16>,
    /// By volume number.
    pub volumes: BTreeMap<u32, DrbdPeerVolume>,
}

/// A volume as the peer has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrbdPeerVolume {
    /// State of the replication.
    pub replication: ReplicationState,
    /// State of the peer's disk.
    pub disk: DiskState,
    /// Percentage of a running resync that is done.
    pub done: Option<f64>,
    /// KiB that differ.
    pub out_of_sync_kib: Option<u64>,
}

impl DrbdResource {
    /// Whether a device is up to date here, per volume.
    pub fn is_up_to_date(&self, volume: u32) -> bool {
        self.devices
            .get(&volume)
            .is_some_and(|d| d.disk == DiskState::UpToDate)
    }

    /// Whether a connected peer has the volume up to date.
    pub fn has_up_to_date_peer(&self, volume: u32) -> bool {
        self.connections.values().any(|connection| {
            connection.state == ConnectionState::Connected
                && connection
                    .volumes
                    .get(&volume)
                    .is_some_and(|v| v.disk == DiskState::UpToDate)
        })
    }

    /// Whether a connected peer has a disk for the volume that is not up to date.
    pub fn has_peer_behind(&self, volume: u32) -> bool {
        self.connections.values().any(|connection| {
            connection.state == ConnectionState::Connected
                && connection.volumes.get(&volume).is_some_and(|v| {
                    matches!(
                        v.disk,
                        DiskState::Inconsistent
                            | DiskState::Outdated
                            | DiskState::Consistent
                            | DiskState::Negotiating
                            | DiskState::Attaching
                    )
                })
        })
    }

    /// Whether a resync runs on any volume.
    pub fn is_syncing(&self) -> bool {
        let mut volumes = self.connections.values().flat_map(|c| c.volumes.values());
        volumes.any(|volume| volume.replication.is_syncing())
    }

    /// How far the resyncs of a volume are, in hundredths of a percent, if any runs: the one that is least far.
    pub fn done_hundredths(&self, volume: u32) -> Option<u16> {
        let volumes = self.connections.values();
        let volumes = volumes.filter_map(|connection| connection.volumes.get(&volume));
        let done = volumes.filter(|volume| volume.replication.is_syncing());
        done.filter_map(|volume| Some((volume.done?.clamp(0.0, 100.0) * 100.0).round() as u16))
            .min()
    }

    /// Whether it is primary here or on a peer.
    pub fn has_primary(&self) -> bool {
        let mut peers = self.connections.values();
        self.role == Role::Primary || peers.any(|peer| peer.role == Role::Primary)
    }
}

/// The key of a connection. 8.4 has neither ids nor names, but only one connection.
pub fn connection_key(name: &str, peer_node_id: u32) -> String {
    if name.is_empty() {
        format!("#{peer_node_id}")
    } else {
        name.to_owned()
    }
}

/// Percentages of running resyncs by volume number, from `drbdsetup status --verbose --statistics` of DRBD 8.4.
pub fn parse_progress(text: &str) -> BTreeMap<u32, f64> {
    let mut progress = BTreeMap::new();
    let mut volume = None;
    for word in text.split_whitespace() {
        match word.split_once(':') {
            Some(("volume", number)) => volume = number.parse::<u32>().ok(),
            Some(("done", percent)) => {
                let percent = percent.parse::<f64>().ok().filter(|p| p.is_finite());
                progress.extend(volume.zip(percent));
            }
            _ => {}
        }
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resync of a large volume shows that it gets on long before its next percent; the slowest peer counts.
    #[test]
    fn a_slow_resync_gets_on() {
        let connection = |replication, done| {
            let volume = DrbdPeerVolume {
                replication,
                done: Some(done),
                ..DrbdPeerVolume::default()
            };
            DrbdConnection {
                volumes: [(0, volume)].into(),
                ..DrbdConnection::default()
            }
        };
        let of = |slow| {
            let connections = [
                (
                    "a".to_owned(),
                    connection(ReplicationState::SyncSource, slow),
                ),
                (
                    "b".to_owned(),
                    connection(ReplicationState::SyncSource, 70.0),
                ),
                (
                    "c".to_owned(),
                    connection(ReplicationState::Established, 0.0),
                ),
            ];
            DrbdResource {
                connections: connections.into(),
                ..DrbdResource::default()
            }
        };
        assert_eq!(of(41.07).done_hundredths(0), Some(4107));
        assert_eq!(of(41.08).done_hundredths(0), Some(4108));
        assert_eq!(of(41.08).done_hundredths(1), None);
    }

    /// What 8.4 prints during a resync.
    #[test]
    fn progress_is_read() {
        let text = "t2 role:Secondary suspended:no\n    write-ordering:flush\n  \
                    volume:0 minor:1011 disk:Inconsistent\n      size:102360 read:0\n  \
                    peer connection:Connected role:Secondary congested:no\n    volume:0 \
                    replication:SyncTarget peer-disk:UpToDate done:97.23\n        \
                    resync-suspended:no\n        received:1260 sent:0 out-of-sync:2836\n";
        assert_eq!(parse_progress(text), BTreeMap::from([(0, 97.23)]));
    }
}
