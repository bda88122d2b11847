//! Quorum, by the kernel's rules.

use std::collections::BTreeSet;
use std::time::Duration;

use super::metadata::{NODE_EXISTS, PEER_DEVICE_SEEN, PEER_OUTDATED};
use super::{Disk, DrbdKind, PeerRef, Repl, Resource, Volume, link};
use crate::world::{Timer, World};

/// The votes of a resource's nodes about one volume.
#[derive(Debug, Default)]
struct Census {
    up_to_date: usize,
    present: usize,
    outdated: usize,
    quorumless: usize,
    unknown: usize,
    diskless: usize,
    missing_diskless: usize,
    /// An UpToDate peer that has quorum itself; it suffices for a diskless node.
    quorate_peers: usize,
}

/// Returns all resources whose state may have changed, including those of peers.
pub(crate) fn settle(world: &mut World) -> BTreeSet<(String, String)> {
    let mut seen = BTreeSet::new();
    while let Some((node, name)) = world.touched.pop_first() {
        if !seen.insert((node.clone(), name.clone())) {
            continue;
        }
        let Some(resource) = world.resource(&node, &name) else {
            continue;
        };
        let mut changed = false;
        for number in resource.volumes.keys().copied().collect::<Vec<_>>() {
            let quorum = has_quorum(world, &node, &name, number);
            if let Some(volume) = world
                .machines
                .get_mut(&node)
                .and_then(|m| m.drbd.resources.get_mut(&name))
                .and_then(|resource| resource.volumes.get_mut(&number))
            {
                changed |= volume.quorum != quorum;
                volume.quorum = quorum;
            }
        }
        remember_members(world, &node, &name);
        catch_up(world, &node, &name);
        for (_, peer) in world.peers(&node, &name) {
            let key = (peer.host, peer.resource);
            if changed {
                // A diskless peer's quorum may depend on this node's.
                seen.remove(&key);
            }
            if !seen.contains(&key) {
                world.touched.insert(key);
            }
        }
    }
    seen
}

/// A replica that received no writes, because it was connected to the primary only through others, is resynchronised by
/// a peer as soon as there is no such primary any more.
fn catch_up(world: &mut World, node: &str, name: &str) {
    let Some(resource) = world.resource(node, name) else {
        return;
    };
    let behind: Vec<u32> = resource
        .volumes
        .iter()
        .filter(|(_, volume)| volume.disk == Disk::Outdated && volume.backing.is_some())
        .map(|(number, _)| *number)
        .collect();
    if behind.is_empty() || world.far_primary(node, name) {
        return;
    }
    for number in behind {
        let good = world.peers(node, name).into_iter().find(|(key, peer)| {
            let established = world
                .connection(node, name, *key)
                .and_then(|connection| connection.devices.get(&number))
                .is_some_and(|device| device.repl == Repl::Established);
            let volume = world.volume(&peer.host, &peer.resource, number);
            established
                && volume
                    .is_some_and(|volume| volume.disk == Disk::UpToDate && volume.backing.is_some())
        });
        if let Some((key, peer)) = good {
            let me = PeerRef {
                host: node.to_owned(),
                resource: name.to_owned(),
                key,
            };
            link::negotiate(world, &me, &peer, number, link::Target::MayBeInUse);
        }
    }
}

/// Time after which a disconnected node no longer belongs to the partition.
const AGREED_AFTER: Duration = Duration::from_secs(1);

/// Updates the members of the partition. A node that connects is a member immediately; a node that disconnects remains
/// one until the others have had the time to agree.
fn remember_members(world: &mut World, node: &str, name: &str) {
    let members = reachable(world, node, name);
    let machine = world.machines.get_mut(node);
    let Some(resource) = machine.and_then(|machine| machine.drbd.resources.get_mut(name)) else {
        return;
    };
    resource.members.extend(&members);
    if resource.members != members {
        let timer = Timer::Members {
            node: node.to_owned(),
            resource: name.to_owned(),
        };
        world.after(AGREED_AFTER, timer);
    }
}

/// Removes the disconnected nodes from the partition, if it has quorum.
pub(crate) fn agree(world: &mut World, node: &str, name: &str) {
    let members = reachable(world, node, name);
    if let Some(resource) = world.resource_mut(node, name)
        && resource.volumes.values().all(|volume| volume.quorum)
    {
        resource.members = members;
    }
}

/// Node ids of all other nodes that this node is connected to, directly or through others.
fn reachable(world: &World, node: &str, name: &str) -> BTreeSet<u32> {
    let ids =
        |(host, resource): &(String, String)| world.resource(host, resource).map(|r| r.node_id);
    let me = world.resource(node, name).map(|resource| resource.node_id);
    world
        .partition(node, name)
        .iter()
        .filter_map(ids)
        .filter(|id| Some(*id) != me)
        .collect()
}

fn threshold(setting: &str, voters: usize) -> usize {
    match setting {
        "off" => 0,
        "majority" => voters / 2 + 1,
        "all" => voters,
        number => number.parse().unwrap_or(0),
    }
}

fn has_quorum(world: &World, node: &str, name: &str, number: u32) -> bool {
    let Some(resource) = world.resource(node, name) else {
        return true;
    };
    let Some(volume) = resource.volumes.get(&number) else {
        return true;
    };
    let setting = resource.option("quorum").unwrap_or("off");
    if setting == "off"
        || world
            .kernel(node)
            .is_none_or(|kernel| kernel.kind == DrbdKind::V84)
    {
        return true;
    }
    let mut census = census(world, node, name, number, resource, volume);
    let absent = |census: &Census| census.outdated + census.quorumless + census.unknown;
    let here = census.up_to_date + census.present;
    if absent(&census) >= threshold(setting, absent(&census) + here) {
        // The disconnected nodes may have quorum together, so their state is unknown.
        census.unknown += census.quorumless;
        census.quorumless = 0;
    }
    let voters = if census.unknown > 0 {
        absent(&census) + here
    } else {
        here
    };
    let quorum_at = threshold(setting, voters);
    let redundancy = resource
        .option("quorum-minimum-redundancy")
        .unwrap_or("off");
    let enough = here >= quorum_at && census.up_to_date >= threshold(redundancy, voters);
    if census.quorate_peers > 0 || enough {
        return true;
    }
    // Half of an even number of voters: the partition with the majority of the diskless nodes has quorum.
    let diskless_majority = threshold("majority", census.diskless + census.missing_diskless);
    voters != 0
        && voters.is_multiple_of(2)
        && here + 1 == quorum_at
        && census.diskless >= diskless_majority
        && volume.quorum
}

fn census(
    world: &World,
    node: &str,
    name: &str,
    number: u32,
    resource: &Resource,
    volume: &Volume,
) -> Census {
    let mut census = Census::default();
    let metadata = world.metadata(node, name, number);
    match (volume.disk, metadata) {
        (Disk::UpToDate, Some(_)) => census.up_to_date += 1,
        (_, Some(_)) => census.present += 1,
        (_, None) if volume.client => census.diskless += 1,
        (_, None) => census.unknown += 1,
    }
    for id in 0..super::metadata::NODE_IDS {
        let connection = resource.connections.get(&id);
        let known = metadata.map(|metadata| metadata.peer(id));
        let exists = known.is_some_and(|peer| {
            peer.allocated || peer.flags & (NODE_EXISTS | PEER_DEVICE_SEEN) != 0
        });
        if id == resource.node_id || (metadata.is_some() && !exists) {
            continue;
        }
        if metadata.is_none() && connection.is_none() {
            continue;
        }
        let client = match connection {
            Some(connection) => connection.devices.get(&number).is_some_and(|d| !d.bitmap),
            None => known.is_some_and(|peer| peer.flags & PEER_DEVICE_SEEN == 0),
        };
        let peer = connection.and_then(|connection| connection.peer.as_ref());
        let at_peer = peer.and_then(|peer| world.volume(&peer.host, &peer.resource, number));
        match at_peer {
            Some(theirs) if theirs.disk == Disk::Diskless && (client || metadata.is_none()) => {
                census.diskless += 1;
            }
            Some(theirs) if theirs.disk == Disk::UpToDate => {
                census.up_to_date += 1;
                census.quorate_peers += usize::from(metadata.is_none() && theirs.quorum);
            }
            Some(_) => census.present += 1,
            None if client => census.missing_diskless += 1,
            None if known.is_some_and(|peer| peer.flags & PEER_OUTDATED != 0) => {
                census.outdated += 1
            }
            None if volume.quorum && !resource.members.contains(&id) => census.quorumless += 1,
            None => census.unknown += 1,
        }
    }
    census
}
