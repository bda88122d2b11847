//! Connections: establishing them, the handshake, losing them.

use std::time::Duration;

use super::compare::{Basis, Verdict, compare};
use super::exposed::{self, Trust};
use super::metadata::{
    CRASHED_PRIMARY, NODE_EXISTS, PEER_CONNECTED, PEER_DEVICE_SEEN, PEER_OUTDATED,
};
use super::{Disk, DrbdKind, Link, PeerRef, Repl, Role, held, resync};
use crate::world::{Timer, World};

/// Time from `connect` to the first attempt, and from a peer's appearance to the next attempt.
const CONNECT_AFTER: Duration = Duration::from_millis(100);

/// Options that must be equal at both ends.
const MUST_MATCH: &[(&str, &str)] = &[
    ("cram-hmac-alg", ""),
    ("shared-secret", ""),
    ("protocol", "C"),
];

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// By a command on this end: becomes StandAlone.
    Disconnect,
    /// The network or the peer failed: becomes Connecting.
    Failure,
}

/// `connect`: starts to establish a connection.
pub(crate) fn connect(world: &mut World, node: &str, name: &str, key: u32) {
    let Some(connection) = world.connection_mut(node, name, key) else {
        return;
    };
    let ports: Vec<u16> = connection
        .paths
        .iter()
        .filter_map(|(local, _)| local.rsplit_once(':')?.1.parse().ok())
        .collect();
    if connection.link == Link::StandAlone {
        connection.link = Link::Connecting;
    }
    let Some(machine) = world.machines.get(node) else {
        return;
    };
    if ports
        .iter()
        .any(|port| machine.busy_ports.contains_key(port))
    {
        give_up(world, node, name, key);
    } else {
        again(world, node, name, key);
    }
}

/// The connection becomes StandAlone; 8.4 removes such connections.
fn give_up(world: &mut World, node: &str, name: &str, key: u32) {
    let kind = world
        .kernel(node)
        .map_or(DrbdKind::V9, |kernel| kernel.kind);
    let Some(resource) = world.resource_mut(node, name) else {
        return;
    };
    match kind {
        DrbdKind::V9 => {
            if let Some(connection) = resource.connections.get_mut(&key) {
                connection.link = Link::StandAlone;
            }
        }
        DrbdKind::V84 => {
            resource.connections.remove(&key);
        }
    }
}

fn again(world: &mut World, node: &str, name: &str, key: u32) {
    let timer = Timer::Connect {
        node: node.to_owned(),
        resource: name.to_owned(),
        key,
    };
    world.after(CONNECT_AFTER, timer);
}

/// Schedules an attempt for every connection that is Connecting.
pub(crate) fn heal(world: &mut World) {
    let mut waiting = Vec::new();
    for (node, machine) in &world.machines {
        for (name, resource) in &machine.drbd.resources {
            for (key, connection) in &resource.connections {
                if connection.link == Link::Connecting {
                    waiting.push((node.clone(), name.clone(), *key));
                }
            }
        }
    }
    for (node, name, key) in waiting {
        again(world, &node, &name, key);
    }
}

/// One attempt to connect.
pub(crate) fn try_connect(world: &mut World, node: &str, name: &str, key: u32) {
    let waits = |world: &World, node: &str, name: &str, key: u32| {
        world
            .connection(node, name, key)
            .is_some_and(|c| c.link == Link::Connecting)
    };
    if !waits(world, node, name, key) {
        return;
    }
    let Some(peer) = find_peer(world, node, name, key) else {
        return;
    };
    if !waits(world, &peer.host, &peer.resource, peer.key) || world.is_cut(node, &peer.host) {
        return;
    }
    let me = PeerRef {
        host: node.to_owned(),
        resource: name.to_owned(),
        key,
    };
    match handshake(world, &me, &peer) {
        Handshake::Agreed(verdicts) => {
            establish(world, &me, &peer, &verdicts);
        }
        Handshake::Refused => {
            for end in [&me, &peer] {
                give_up(world, &end.host, &end.resource, end.key);
            }
        }
        Handshake::NotNow => {}
    }
}

/// The other end, found by address.
fn find_peer(world: &World, node: &str, name: &str, key: u32) -> Option<PeerRef> {
    let connection = world.connection(node, name, key)?;
    let reversed: Vec<(&String, &String)> = connection
        .paths
        .iter()
        .map(|(local, remote)| (remote, local))
        .collect();
    let matches = |host: &str, resource_name: &str| -> Option<PeerRef> {
        let resource = world.resource(host, resource_name)?;
        let (key, _) = resource.connections.iter().find(|(_, c)| {
            c.paths
                .iter()
                .any(|(local, remote)| reversed.contains(&(local, remote)))
        })?;
        Some(PeerRef {
            host: host.to_owned(),
            resource: resource_name.to_owned(),
            key: *key,
        })
    };
    for (host, machine) in world
        .machines
        .iter()
        .filter(|(host, m)| *host != node && m.up)
    {
        let reachable = reversed
            .iter()
            .any(|(remote, _)| machine.has_address(remote));
        if !reachable {
            continue;
        }
        // Nearly always a resource of the same name; checking it first is faster in large clusters.
        let found = matches(host, name).or_else(|| {
            machine
                .drbd
                .resources
                .keys()
                .find_map(|other| matches(host, other))
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

enum Handshake {
    Agreed(Vec<(u32, Verdict)>),
    /// Both ends become StandAlone.
    Refused,
    /// Both ends try again after the next change.
    NotNow,
}

fn handshake(world: &World, me: &PeerRef, peer: &PeerRef) -> Handshake {
    let kind = |host: &str| world.kernel(host).map(|kernel| kernel.kind);
    if kind(&me.host) != kind(&peer.host) {
        return Handshake::Refused;
    }
    let (Some(mine), Some(theirs)) = (
        world.connection(&me.host, &me.resource, me.key),
        world.connection(&peer.host, &peer.resource, peer.key),
    ) else {
        return Handshake::NotNow;
    };
    let differs = |(option, default): &(&str, &str)| {
        let of =
            |net: &super::Options| net.get(*option).map_or(*default, String::as_str).to_owned();
        of(&mine.net) != of(&theirs.net)
    };
    if MUST_MATCH.iter().any(differs) {
        return Handshake::Refused;
    }
    let (Some(my_resource), Some(peer_resource)) = (
        world.resource(&me.host, &me.resource),
        world.resource(&peer.host, &peer.resource),
    ) else {
        return Handshake::NotNow;
    };
    if kind(&me.host) == Some(DrbdKind::V9)
        && (peer_resource.node_id != me.key || my_resource.node_id != peer.key)
    {
        return Handshake::Refused;
    }
    let two = my_resource.role == Role::Primary && peer_resource.role == Role::Primary;
    let mut verdicts = Vec::new();
    for number in my_resource
        .volumes
        .keys()
        .filter(|n| peer_resource.volumes.contains_key(n))
    {
        for (without, with) in [(me, peer), (peer, me)] {
            match exposed::trust(world, without, with, *number) {
                Some(Trust::Never) => return Handshake::Refused,
                Some(Trust::NotNow) => return Handshake::NotNow,
                Some(Trust::Takes | Trust::Older) | None => {}
            }
        }
        let Some(verdict) = judge(world, me, peer, *number) else {
            continue;
        };
        if !acceptable(world, me, peer, *number, verdict, Target::MayBeInUse) {
            return Handshake::Refused;
        }
        verdicts.push((
            *number,
            resolve(verdict, mine.discard_my_data, theirs.discard_my_data),
        ));
    }
    if is_unwanted(world, me, peer) || is_unwanted(world, peer, me) {
        return Handshake::NotNow;
    }
    if two && !(mine.two_primaries() && theirs.two_primaries()) {
        return Handshake::NotNow;
    }
    Handshake::Agreed(verdicts)
}

/// One side has a disk for which the other side, which treats it as intentionally diskless, has no bitmap.
fn is_unwanted(world: &World, has_disk: &PeerRef, expects_none: &PeerRef) -> bool {
    let Some(expecting) =
        world.connection(&expects_none.host, &expects_none.resource, expects_none.key)
    else {
        return false;
    };
    expecting.devices.iter().any(|(number, device)| {
        let attached = world
            .volume(&has_disk.host, &has_disk.resource, *number)
            .is_some_and(|volume| volume.backing.is_some());
        attached && !device.bitmap
    })
}

/// Compares the two replicas of a volume; `None` if one side has no disk.
pub(super) fn judge(world: &World, me: &PeerRef, peer: &PeerRef, number: u32) -> Option<Verdict> {
    let mine = world.metadata(&me.host, &me.resource, number)?;
    let theirs = world.metadata(&peer.host, &peer.resource, number)?;
    Some(compare(mine, me.key, theirs, peer.key, me.host < peer.host))
}

/// A split brain is resolved only if exactly one side connects with `--discard-my-data`.
fn resolve(verdict: Verdict, i_discard: bool, peer_discards: bool) -> Verdict {
    match (verdict, i_discard, peer_discards) {
        (Verdict::SplitBrain, true, false) => Verdict::Target(Basis::Everything),
        (Verdict::SplitBrain, false, true) => Verdict::Source(Basis::Everything),
        (other, ..) => other,
    }
}

/// Whether the data of the local disk may be in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// It may be in use: it must not be replaced under a primary.
    MayBeInUse,
    /// It is not: the disk has just been attached.
    JustAttached,
}

fn acceptable(
    world: &World,
    me: &PeerRef,
    peer: &PeerRef,
    number: u32,
    verdict: Verdict,
    mine: Target,
) -> bool {
    let state = |end: &PeerRef| {
        let resource = world.resource(&end.host, &end.resource)?;
        let discards = resource
            .connections
            .get(&end.key)
            .is_some_and(|c| c.discard_my_data);
        Some((resource.role, resource.volumes.get(&number)?.disk, discards))
    };
    let (Some((my_role, my_disk, i_discard)), Some((peer_role, peer_disk, peer_discards))) =
        (state(me), state(peer))
    else {
        return true;
    };
    if !sizes_fit(world, me, peer, number) {
        return false;
    }
    let can = |source: Disk, target_role: Role, target_disk: Disk| {
        // A primary whose UpToDate data would be replaced refuses; so does a source without UpToDate data.
        source > Disk::Inconsistent
            && !(target_role == Role::Primary && target_disk == Disk::UpToDate)
    };
    match resolve(verdict, i_discard, peer_discards) {
        Verdict::NoSync => true,
        Verdict::Source(_) => can(my_disk, peer_role, peer_disk),
        Verdict::Target(_) if mine == Target::JustAttached => peer_disk > Disk::Inconsistent,
        Verdict::Target(_) => can(peer_disk, my_role, my_disk),
        Verdict::SplitBrain | Verdict::Unrelated => false,
    }
}

/// UpToDate data is never truncated because a peer's disk is smaller.
fn sizes_fit(world: &World, me: &PeerRef, peer: &PeerRef, number: u32) -> bool {
    let facts = |end: &PeerRef| {
        let volume = world.volume(&end.host, &end.resource, number)?;
        Some((
            volume.size_kib,
            super::attach::capacity_kib(world, &end.host, volume)?,
            volume.disk,
        ))
    };
    let (Some(mine), Some(theirs)) = (facts(me), facts(peer)) else {
        return true;
    };
    let good = |(_, _, disk): &(u64, u64, Disk)| *disk >= Disk::Outdated;
    (!good(&mine) || theirs.1 >= mine.0) && (!good(&theirs) || mine.1 >= theirs.0)
}

fn establish(world: &mut World, me: &PeerRef, peer: &PeerRef, verdicts: &[(u32, Verdict)]) {
    for (end, other) in [(me, peer), (peer, me)] {
        if let Some(connection) = world.connection_mut(&end.host, &end.resource, end.key) {
            connection.link = Link::Connected;
            connection.peer = Some(other.clone());
            connection.discard_my_data = false;
            for device in connection.devices.values_mut() {
                device.repl = Repl::Established;
                device.resync_total = 0;
            }
        }
        for number in volumes(world, end) {
            world.edit_metadata(&end.host, &end.resource, number, |metadata| {
                let peer = metadata.peer_mut(end.key);
                peer.flags |= NODE_EXISTS | PEER_CONNECTED;
                peer.flags &= !PEER_OUTDATED;
            });
        }
    }
    for number in volumes(world, me) {
        agree_on_size(world, me, peer, number);
        exposed::apply(world, me, peer, number);
        exposed::apply(world, peer, me, number);
        let verdict = verdicts
            .iter()
            .find(|(n, _)| *n == number)
            .map(|(_, verdict)| *verdict);
        if let Some(verdict) = verdict {
            apply(world, me, peer, number, verdict);
        }
    }
}

fn volumes(world: &World, end: &PeerRef) -> Vec<u32> {
    world
        .resource(&end.host, &end.resource)
        .map(|resource| resource.volumes.keys().copied().collect())
        .unwrap_or_default()
}

/// The handshake for a volume whose disk was attached while connected.
pub(super) fn negotiate(
    world: &mut World,
    me: &PeerRef,
    peer: &PeerRef,
    number: u32,
    mine: Target,
) {
    agree_on_size(world, me, peer, number);
    match judge(world, me, peer, number) {
        None => {}
        Some(verdict) if acceptable(world, me, peer, number, verdict, mine) => {
            apply(world, me, peer, number, verdict);
        }
        Some(_) => lose(world, &me.host, &me.resource, me.key, Loss::Disconnect),
    }
}

/// The agreed size is the smallest capacity, unless UpToDate data has a size already. 8.4 grows both ends to the
/// smallest capacity, also if the devices grew while disconnected; the handshake decides which blocks are
/// resynchronised.
fn agree_on_size(world: &mut World, me: &PeerRef, peer: &PeerRef, number: u32) {
    let facts = |world: &World, end: &PeerRef| {
        let volume = world.volume(&end.host, &end.resource, number)?;
        let capacity = super::attach::capacity_kib(world, &end.host, volume);
        Some((volume.size_kib, capacity, volume.disk))
    };
    let (Some(mine), Some(theirs)) = (facts(world, me), facts(world, peer)) else {
        return;
    };
    let kind = world.kernel(&me.host).map(|kernel| kernel.kind);
    let user = |end: &PeerRef| world.volume(&end.host, &end.resource, number)?.user_kib;
    let user_kib = [user(me), user(peer)].into_iter().flatten().min();
    let size_kib = match (mine, theirs) {
        ((_, None, _), (size, ..)) | ((size, ..), (_, None, _)) => size,
        ((a_kib, Some(a), _), (b_kib, Some(b), _))
            if kind == Some(DrbdKind::V84)
                && user_kib.is_none()
                && a_kib.max(b_kib) < a.min(b)
                && a_kib.min(b_kib) > 0 =>
        {
            grow_together(world, [me, peer], number, a_kib.min(b_kib), a.min(b));
            return;
        }
        ((a, _, good), (b, _, other)) if good >= Disk::Outdated && other >= Disk::Outdated => {
            a.min(b)
        }
        ((size, _, good), _) if good >= Disk::Outdated => size,
        (_, (size, _, good)) if good >= Disk::Outdated => size,
        ((_, Some(a), _), (_, Some(b), _)) => user_kib.map_or(a.min(b), |kib| kib.min(a).min(b)),
    };
    if size_kib == 0 {
        return;
    }
    // Comparing sizes moves metadata to the end of a device that has grown, too.
    for end in [me, peer] {
        super::grow::grow(world, &end.host, &end.resource, number, size_kib);
        if let Some(volume) = world.volume_mut(&end.host, &end.resource, number) {
            volume.user_kib = user_kib;
        }
    }
}

fn grow_together(world: &mut World, ends: [&PeerRef; 2], number: u32, old_kib: u64, size_kib: u64) {
    for end in ends {
        super::grow::grow(world, &end.host, &end.resource, number, size_kib);
        super::grow::mark_new(world, &end.host, &end.resource, number, old_kib, size_kib);
    }
}

/// Applies the result of the handshake.
pub(super) fn apply(
    world: &mut World,
    me: &PeerRef,
    peer: &PeerRef,
    number: u32,
    verdict: Verdict,
) {
    for end in [me, peer] {
        world.edit_metadata(&end.host, &end.resource, number, |metadata| {
            metadata.peer_mut(end.key).flags |= PEER_DEVICE_SEEN;
            metadata.set(CRASHED_PRIMARY, false);
        });
    }
    match verdict {
        Verdict::NoSync => same_data(world, me, peer, number),
        Verdict::Source(basis) => resync::start(world, me, peer, number, basis),
        Verdict::Target(basis) => resync::start(world, peer, me, number, basis),
        Verdict::SplitBrain | Verdict::Unrelated => {
            lose(world, &me.host, &me.resource, me.key, Loss::Disconnect);
        }
    }
}

/// Two replicas are equal: if one is UpToDate, so is the other.
fn same_data(world: &mut World, me: &PeerRef, peer: &PeerRef, number: u32) {
    let disk = |world: &World, end: &PeerRef| {
        world
            .volume(&end.host, &end.resource, number)
            .map_or(Disk::Diskless, |v| v.disk)
    };
    let best = disk(world, me).max(disk(world, peer));
    for end in [me, peer] {
        world.edit_metadata(&end.host, &end.resource, number, |metadata| {
            let slot = metadata.peer_mut(end.key);
            slot.bitmap_uuid = 0;
            slot.out_of_sync = Default::default();
        });
        if disk(world, end) >= Disk::Outdated && best == Disk::UpToDate {
            world.set_disk(&end.host, &end.resource, number, Disk::UpToDate);
        }
    }
}

/// Disconnects from this end.
pub(crate) fn lose(world: &mut World, node: &str, name: &str, key: u32, loss: Loss) {
    let Some(connection) = world.connection_mut(node, name, key) else {
        return;
    };
    let peer = connection.peer.take();
    connection.link = match loss {
        Loss::Disconnect => Link::StandAlone,
        Loss::Failure => Link::Connecting,
    };
    end_replication(world, node, name, key);
    let Some(peer) = peer else {
        if loss == Loss::Disconnect {
            give_up(world, node, name, key);
        }
        return;
    };
    if loss == Loss::Disconnect {
        outdate_when_leaving(world, node, name, key, &peer);
    }
    if let Some(theirs) = world.connection_mut(&peer.host, &peer.resource, peer.key) {
        theirs.peer = None;
        theirs.link = Link::Connecting;
    }
    end_replication(world, &peer.host, &peer.resource, peer.key);
    match loss {
        Loss::Failure => again(world, node, name, key),
        Loss::Disconnect => give_up(world, node, name, key),
    }
}

fn end_replication(world: &mut World, node: &str, name: &str, key: u32) {
    held::end_without_connection(world, node, name);
    let Some(connection) = world.connection_mut(node, name, key) else {
        return;
    };
    for device in connection.devices.values_mut() {
        device.repl = Repl::Off;
        device.resync_total = 0;
    }
    let end = PeerRef {
        host: node.to_owned(),
        resource: name.to_owned(),
        key,
    };
    for number in volumes(world, &end) {
        world.edit_metadata(node, name, number, |metadata| {
            metadata.peer_mut(key).flags &= !PEER_CONNECTED;
        });
        resync::resume_paused(world, node, name, number);
    }
}

/// A node that disconnects from a primary by command marks its own disk Outdated.
fn outdate_when_leaving(world: &mut World, node: &str, name: &str, key: u32, peer: &PeerRef) {
    let primary = |host: &str, name: &str| {
        world
            .resource(host, name)
            .is_some_and(|resource| resource.role == Role::Primary)
    };
    let others_keep_us = world
        .peers(node, name)
        .iter()
        .any(|(other, end)| *other != key && primary(&end.host, &end.resource));
    if !primary(&peer.host, &peer.resource) || others_keep_us || primary(node, name) {
        return;
    }
    let end = PeerRef {
        host: node.to_owned(),
        resource: name.to_owned(),
        key,
    };
    for number in volumes(world, &end) {
        let good = world
            .volume(node, name, number)
            .is_some_and(|v| v.disk > Disk::Outdated);
        if good {
            world.set_disk(node, name, number, Disk::Outdated);
            world.edit_metadata(&peer.host, &peer.resource, number, |metadata| {
                metadata.peer_mut(peer.key).flags |= PEER_OUTDATED;
            });
        }
    }
}

/// All connections between two nodes, or all of a node that crashed.
pub(crate) fn lose_all(world: &mut World, node: &str, other: Option<&str>) {
    let mut lost = Vec::new();
    if let Some(machine) = world.machines.get(node) {
        for (name, resource) in &machine.drbd.resources {
            for (key, connection) in &resource.connections {
                let Some(peer) = &connection.peer else {
                    continue;
                };
                if other.is_none_or(|other| other == peer.host) {
                    lost.push((name.clone(), *key));
                }
            }
        }
    }
    for (name, key) in lost {
        lose(world, node, &name, key, Loss::Failure);
    }
}
