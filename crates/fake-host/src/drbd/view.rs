//! The state that DRBD reports: objects with fields, printed as events, as status text or as JSON.

use super::metadata::PEER_OUTDATED;
use super::role::good_copy_in_reach;
use super::{Connection, Disk, DrbdKind, Link, PeerDevice, Repl, Resource, Role, Volume};
use crate::cluster::VolumeState;
use crate::world::World;

/// The objects of a resource, in the order in which they are created.
pub(crate) type View = Vec<Object>;

/// An object of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    kind: &'static str,
    /// The fields that identify it, as printed.
    id: String,
    /// The fields that are printed after the identity in every event but `destroy`.
    appendix: String,
    /// Fields that are printed together.
    groups: Vec<String>,
    /// Groups shown with `--statistics` only, printed after the others.
    statistics: String,
    /// After a change of one field all fields are printed.
    whole: bool,
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The objects of a resource; empty if the resource does not exist.
pub(crate) fn view(world: &World, node: &str, name: &str) -> View {
    let Some(resource) = world.resource(node, name) else {
        return View::new();
    };
    let kind = world
        .kernel(node)
        .map_or(DrbdKind::V9, |kernel| kernel.kind);
    let shown = Shown {
        world,
        node,
        name,
        kind,
    };
    let mut view = vec![shown.resource(resource)];
    for (number, volume) in &resource.volumes {
        view.push(shown.device(*number, volume));
    }
    for (key, connection) in &resource.connections {
        view.push(shown.connection(*key, connection));
        for number in resource.volumes.keys() {
            view.push(shown.peer_device(*key, connection, *number));
        }
        if kind == DrbdKind::V9 {
            for (local, remote) in &connection.paths {
                let established = connection.link == Link::Connected;
                view.push(Object {
                    kind: "path",
                    id: format!(
                        "{} local:{local} peer:{remote}",
                        shown.connection_id(*key, connection)
                    ),
                    appendix: String::new(),
                    groups: vec![format!(" established:{}", yes(established))],
                    statistics: String::new(),
                    whole: false,
                });
            }
        }
    }
    view
}

struct Shown<'a> {
    world: &'a World,
    node: &'a str,
    name: &'a str,
    kind: DrbdKind,
}

impl Shown<'_> {
    fn resource(&self, resource: &Resource) -> Object {
        let mut groups = vec![
            format!(" role:{}", resource.role),
            format!(" suspended:{}", suspended(resource)),
        ];
        let mut statistics = String::new();
        if self.kind == DrbdKind::V9 {
            let (may, score) = promotion(self.world, self.node, self.name, resource);
            groups.push(" force-io-failures:no".to_owned());
            groups.push(format!(" may_promote:{} promotion_score:{score}", yes(may)));
        }
        statistics.push_str(" write-ordering:flush");
        let id = format!("name:{}", self.name);
        Object {
            kind: "resource",
            id,
            appendix: String::new(),
            groups,
            statistics,
            whole: false,
        }
    }

    fn device(&self, number: u32, volume: &Volume) -> Object {
        let mut groups = Vec::new();
        if self.kind == DrbdKind::V9 {
            let backing = volume
                .backing
                .as_ref()
                .map_or("none", |backing| &backing.path);
            groups.push(format!(" backing_dev:{backing}"));
        }
        groups.push(format!(" disk:{}", volume.disk));
        if self.kind == DrbdKind::V9 {
            let client = volume.client && volume.disk == Disk::Diskless;
            groups.push(format!(
                " client:{} quorum:{}",
                yes(client),
                yes(volume.quorum)
            ));
        }
        Object {
            kind: "device",
            id: format!("name:{} volume:{number}", self.name),
            appendix: format!(" minor:{}", volume.minor),
            groups,
            statistics: format!(
                " size:{} read:0 written:0 al-writes:0 bm-writes:0 upper-pending:0 \
                 lower-pending:0 al-suspended:no blocked:no",
                volume.size_kib
            ),
            whole: true,
        }
    }

    fn connection_id(&self, key: u32, connection: &Connection) -> String {
        match self.kind {
            DrbdKind::V9 => {
                format!(
                    "name:{} peer-node-id:{key} conn-name:{}",
                    self.name, connection.name
                )
            }
            DrbdKind::V84 => format!("name:{} peer-node-id:0 conn-name:peer", self.name),
        }
    }

    fn connection(&self, key: u32, connection: &Connection) -> Object {
        let mut statistics = String::from(" congested:no");
        if self.kind == DrbdKind::V9 {
            statistics.push_str(" ap-in-flight:0 rs-in-flight:0");
        }
        Object {
            kind: "connection",
            id: self.connection_id(key, connection),
            appendix: String::new(),
            groups: vec![
                format!(" connection:{}", connection.link),
                format!(" role:{}", peer_role(self.world, connection)),
            ],
            statistics,
            whole: false,
        }
    }

    fn peer_device(&self, key: u32, connection: &Connection, number: u32) -> Object {
        let fallback = PeerDevice::new();
        let device = connection.devices.get(&number).unwrap_or(&fallback);
        let disk = peer_disk(self.world, self.node, self.name, key, connection, number);
        let mut groups = vec![format!(" replication:{}", device.repl)];
        let paused = matches!(device.repl, Repl::PausedSyncS | Repl::PausedSyncT);
        let suspended = format!(
            " resync-suspended:{}",
            if paused { "dependency" } else { "no" }
        );
        let out_of_sync_kib = out_of_sync(self.world, self.node, self.name, key, number) * 4;
        if self.kind == DrbdKind::V9 {
            let client = is_client(self.world, connection, device, number);
            groups.push(format!(" peer-disk:{disk} peer-client:{}", yes(client)));
            groups.push(suspended);
            groups.push(
                done(device, out_of_sync_kib / 4)
                    .map(|d| format!(" done:{d}"))
                    .unwrap_or_default(),
            );
        } else {
            groups.push(format!(" peer-disk:{disk}"));
            groups.push(suspended);
        }
        Object {
            kind: "peer-device",
            id: format!("{} volume:{number}", self.connection_id(key, connection)),
            appendix: String::new(),
            groups,
            statistics: format!(
                " received:0 sent:0 out-of-sync:{out_of_sync_kib} pending:0 unacked:0"
            ),
            whole: false,
        }
    }
}

pub(super) fn suspended(resource: &Resource) -> String {
    let lost = resource.role == Role::Primary
        && resource.volumes.values().any(|volume| !volume.quorum)
        && resource.option("on-no-quorum") != Some("io-error");
    let reasons: Vec<&str> = [(resource.suspended, "user"), (lost, "quorum")]
        .into_iter()
        .filter_map(|(holds, reason)| holds.then_some(reason))
        .collect();
    if reasons.is_empty() {
        "no".to_owned()
    } else {
        reasons.join(",")
    }
}

/// `may_promote` and `promotion_score`, as drbdsetup computes them.
fn promotion(world: &World, node: &str, name: &str, resource: &Resource) -> (bool, u32) {
    let mut devices_good = 0;
    let mut all_have_disk = true;
    let mut least_copies = u32::MAX;
    for (number, volume) in &resource.volumes {
        if !volume.quorum {
            return (false, 0);
        }
        let mut copies = u32::from(volume.disk == Disk::UpToDate);
        devices_good += copies;
        all_have_disk &= matches!(volume.disk, Disk::UpToDate | Disk::Inconsistent);
        for (key, connection) in &resource.connections {
            let disk = peer_disk(world, node, name, *key, connection, *number);
            copies += u32::from(disk == Disk::UpToDate);
        }
        least_copies = least_copies.min(copies);
    }
    if resource.volumes.is_empty() || least_copies == 0 {
        return (false, 0);
    }
    let peer_primary = resource
        .connections
        .values()
        .any(|c| peer_role(world, c) == Role::Primary);
    let in_reach = resource
        .volumes
        .keys()
        .all(|n| good_copy_in_reach(world, node, name, *n));
    let may = resource.role != Role::Primary && !peer_primary && in_reach;
    (
        may,
        u32::from(all_have_disk) * 10_000 + devices_good.min(99) * 100 + least_copies.min(99),
    )
}

pub(super) fn peer_role(world: &World, connection: &Connection) -> Role {
    connection
        .peer
        .as_ref()
        .and_then(|peer| world.resource(&peer.host, &peer.resource))
        .map_or(Role::Unknown, |resource| resource.role)
}

pub(super) fn peer_disk(
    world: &World,
    node: &str,
    name: &str,
    key: u32,
    connection: &Connection,
    number: u32,
) -> Disk {
    match &connection.peer {
        Some(peer) => world
            .volume(&peer.host, &peer.resource, number)
            .map_or(Disk::Diskless, |volume| volume.disk),
        None => {
            let outdated = world
                .metadata(node, name, number)
                .is_some_and(|metadata| metadata.peer(key).flags & PEER_OUTDATED != 0);
            if outdated {
                Disk::Outdated
            } else {
                Disk::DUnknown
            }
        }
    }
}

pub(super) fn is_client(
    world: &World,
    connection: &Connection,
    device: &PeerDevice,
    number: u32,
) -> bool {
    match &connection.peer {
        Some(peer) => world
            .volume(&peer.host, &peer.resource, number)
            .is_some_and(|volume| volume.client && volume.disk == Disk::Diskless),
        None => !device.bitmap,
    }
}

/// Blocks marked as out of sync for a peer.
pub(super) fn out_of_sync(world: &World, node: &str, name: &str, key: u32, number: u32) -> u64 {
    world
        .metadata(node, name, number)
        .map_or(0, |metadata| metadata.peer(key).out_of_sync.len())
}

/// Percentage of a running resync.
pub(super) fn done(device: &PeerDevice, left: u64) -> Option<String> {
    if device.repl <= Repl::Established {
        return None;
    }
    let total = device.resync_total.max(1);
    Some(format!(
        "{:.2}",
        100.0 * total.saturating_sub(left) as f64 / total as f64
    ))
}

impl Object {
    fn line(&self, action: &str, groups: &str, statistics: bool) -> String {
        let statistics = if statistics {
            self.statistics.as_str()
        } else {
            ""
        };
        format!(
            "{action} {} {}{}{groups}{statistics}",
            self.kind, self.id, self.appendix
        )
    }
}

/// The lines for all objects, with `exists` or `create`.
pub(crate) fn dump(view: &View, action: &str, statistics: bool) -> Vec<String> {
    view.iter()
        .map(|object| object.line(action, &object.groups.concat(), statistics))
        .collect()
}

/// The lines for the differences between two views.
pub(crate) fn changes(old: &View, new: &View, statistics: bool) -> Vec<String> {
    let find = |view: &View, object: &Object| {
        view.iter()
            .find(|other| other.kind == object.kind && other.id == object.id)
            .cloned()
    };
    let mut lines = Vec::new();
    for gone in old
        .iter()
        .rev()
        .filter(|object| find(new, object).is_none())
    {
        lines.push(format!("destroy {} {}", gone.kind, gone.id));
    }
    for object in new {
        let Some(before) = find(old, object) else {
            lines.push(object.line("create", &object.groups.concat(), statistics));
            continue;
        };
        let stats = statistics && before.statistics != object.statistics;
        if before.groups == object.groups && before.appendix == object.appendix && !stats {
            continue;
        }
        let changed = object
            .groups
            .iter()
            .zip(&before.groups)
            .filter(|(now, then)| object.whole || now != then)
            .map(|(now, _)| now.as_str());
        lines.push(object.line(
            "change",
            &changed.collect::<String>(),
            stats || (statistics && object.whole),
        ));
    }
    lines
}

/// A volume's state for assertions.
pub(crate) fn volume_state(
    world: &World,
    node: &str,
    name: &str,
    number: u32,
) -> Option<VolumeState> {
    let resource = world.resource(node, name)?;
    let volume = resource.volumes.get(&number)?;
    let peers = resource.connections.iter().map(|(key, connection)| {
        let repl = connection
            .devices
            .get(&number)
            .map_or(Repl::Off, |device| device.repl);
        let disk = peer_disk(world, node, name, *key, connection, number);
        let shown = (
            connection.link.to_string(),
            repl.to_string(),
            disk.to_string(),
        );
        (connection.name.clone(), shown)
    });
    Some(VolumeState {
        role: resource.role.to_string(),
        disk: volume.disk.to_string(),
        quorum: volume.quorum,
        size_kib: volume.size_kib,
        peers: peers.collect(),
    })
}
