//! Reads and writes by applications.

use super::{Disk, DrbdKind, Repl, Role};
use crate::content::{BLOCK_BYTES, Block};
use crate::machine::Dev;
use crate::world::World;

/// Why an application's I/O request was not completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppIo {
    /// The resource or volume does not exist on this node, or the machine is down.
    #[error("no such device")]
    NoDevice,
    /// The resource is not primary here.
    #[error("not primary")]
    NotPrimary,
    /// No UpToDate disk can be reached, or quorum is lost with `on-no-quorum io-error`.
    #[error("I/O error")]
    IoError,
    /// The request is frozen: I/O is suspended, or quorum is lost with `on-no-quorum suspend-io`.
    #[error("suspended")]
    Suspended,
    /// Beyond the end of the device.
    #[error("beyond the end")]
    BeyondEnd,
}

fn check(world: &World, node: &str, name: &str, number: u32, block: u64) -> Result<(), AppIo> {
    if world.machines.get(node).is_none_or(|machine| !machine.up) {
        return Err(AppIo::NoDevice);
    }
    let resource = world.resource(node, name).ok_or(AppIo::NoDevice)?;
    let volume = resource.volumes.get(&number).ok_or(AppIo::NoDevice)?;
    if resource.role != Role::Primary {
        return Err(AppIo::NotPrimary);
    }
    if resource.suspended {
        return Err(AppIo::Suspended);
    }
    if resource.volumes.values().any(|volume| !volume.quorum) {
        let waits = resource.option("on-no-quorum") != Some("io-error");
        return Err(if waits {
            AppIo::Suspended
        } else {
            AppIo::IoError
        });
    }
    if (block + 1) * BLOCK_BYTES > volume.size_kib * 1024 {
        return Err(AppIo::BeyondEnd);
    }
    Ok(())
}

/// Writes a block; acknowledged when every connected replica has it.
pub(crate) fn write(
    world: &mut World,
    node: &str,
    name: &str,
    number: u32,
    block: u64,
    content: Option<&Block>,
) -> Result<(), AppIo> {
    check(world, node, name, number, block)?;
    if !super::role::good_copy_in_reach(world, node, name, number) {
        return Err(AppIo::IoError);
    }
    let mut replicas = replicas(world, node, name, number);
    new_generation(world, number, &replicas, node, name);
    leave_behind(world, node, name, number, &replicas);
    let mut failed = Vec::new();
    for (host, resource) in &replicas {
        let backing = world
            .volume(host, resource, number)
            .and_then(|v| v.backing.clone());
        let written =
            backing
                .zip(world.machines.get_mut(host))
                .is_some_and(|(backing, machine)| {
                    machine.put(&backing.dev, block, content.cloned()).is_ok()
                });
        if !written {
            failed.push((host.clone(), resource.clone()));
        }
    }
    for (host, resource) in &failed {
        world.fail_disk(host, resource, number);
    }
    replicas.retain(|replica| !failed.contains(replica));
    if !failed.is_empty() {
        // Writes that the failed replicas lack belong to a generation that they do not have.
        new_generation(world, number, &replicas, node, name);
    }
    mark(world, number, block, &replicas);
    let good = |(host, resource): &(String, String)| {
        world
            .volume(host, resource, number)
            .is_some_and(|volume| volume.disk == Disk::UpToDate)
    };
    let Some((host, resource)) = replicas.iter().find(|replica| good(replica)) else {
        return Err(AppIo::IoError);
    };
    let current = world
        .metadata(host, resource, number)
        .map(|metadata| metadata.current);
    if let Some(volume) = world.volume_mut(node, name, number) {
        volume.exposed = current;
    }
    Ok(())
}

/// The disks that a write on this node is replicated to, the local one first.
fn replicas(world: &World, node: &str, name: &str, number: u32) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let attached = |host: &str, name: &str| {
        world
            .volume(host, name, number)
            .is_some_and(|volume| volume.backing.is_some())
    };
    if attached(node, name) {
        found.push((node.to_owned(), name.to_owned()));
    }
    for (key, peer) in world.peers(node, name) {
        let mirrors = world
            .connection(node, name, key)
            .and_then(|connection| connection.devices.get(&number))
            .is_some_and(|device| device.repl.mirrors());
        if mirrors && attached(&peer.host, &peer.resource) {
            found.push((peer.host, peer.resource));
        }
    }
    found
}

/// The node ids for which a replica has bitmap slots and which get the same writes, whether the replica is connected to
/// them itself or only the writer is.
fn slots_for(world: &World, replica: &(String, String), others: &[(String, String)]) -> Vec<u32> {
    let v84 = world
        .kernel(&replica.0)
        .is_some_and(|kernel| kernel.kind == DrbdKind::V84);
    others
        .iter()
        .filter(|other| *other != replica)
        .filter_map(|(host, name)| world.resource(host, name))
        .map(|resource| if v84 { 1 } else { resource.node_id })
        .collect()
}

/// Starts a new generation on all connected replicas, if an absent one would otherwise have equal generation ids later.
fn new_generation(
    world: &mut World,
    number: u32,
    replicas: &[(String, String)],
    node: &str,
    name: &str,
) {
    // The generation of a sync target is known to its sync source alone.
    let whole = |world: &World, (host, resource): &(String, String)| {
        world
            .volume(host, resource, number)
            .is_some_and(|v| v.disk >= Disk::Outdated)
    };
    let whole: Vec<_> = replicas
        .iter()
        .filter(|r| whole(world, r))
        .cloned()
        .collect();
    let mut needed = false;
    for replica in &whole {
        let mut in_touch = slots_for(world, replica, replicas);
        in_touch.extend(clients(world, replica, number));
        needed |= world
            .metadata(&replica.0, &replica.1, number)
            .is_some_and(|metadata| metadata.needs_generation(&in_touch));
    }
    if !needed {
        return;
    }
    let fresh = world.rng.next();
    for replica in &whole {
        let in_touch = slots_for(world, replica, replicas);
        world.edit_metadata(&replica.0, &replica.1, number, |metadata| {
            let old = metadata.current;
            metadata.new_generation(&in_touch, fresh);
            if replica.0 != node || replica.1 != name {
                metadata.push_history(old);
            }
        });
        // Diskless nodes record the new generation.
        for (_, peer) in world.peers(&replica.0, &replica.1) {
            let diskless = world
                .volume(&peer.host, &peer.resource, number)
                .is_some_and(|volume| volume.backing.is_none());
            if diskless {
                super::exposed::show(world, &peer.host, &peer.resource, number, Some(fresh & !1));
            }
        }
    }
}

/// Replicas that are connected to the writer only through others receive no writes, and are marked Outdated.
fn leave_behind(
    world: &mut World,
    node: &str,
    name: &str,
    number: u32,
    replicas: &[(String, String)],
) {
    for end in world.partition(node, name) {
        let good = world
            .volume(&end.0, &end.1, number)
            .is_some_and(|volume| volume.disk == Disk::UpToDate && volume.backing.is_some());
        if good && !replicas.contains(&end) {
            world.set_disk(&end.0, &end.1, number, Disk::Outdated);
        }
    }
}

/// Node ids of peers that are intentionally diskless: they have no data that could be out of sync.
fn clients(world: &World, replica: &(String, String), number: u32) -> Vec<u32> {
    let Some(resource) = world.resource(&replica.0, &replica.1) else {
        return Vec::new();
    };
    let client = |connection: &super::Connection| {
        connection
            .devices
            .get(&number)
            .is_some_and(|device| !device.bitmap)
    };
    resource
        .connections
        .iter()
        .filter(|(_, c)| client(c))
        .map(|(key, _)| *key)
        .collect()
}

/// Marks the block as out of sync on every replica, for the replicas that lack it.
fn mark(world: &mut World, number: u32, block: u64, replicas: &[(String, String)]) {
    for replica in replicas {
        let in_touch = slots_for(world, replica, replicas);
        world.edit_metadata(&replica.0, &replica.1, number, |metadata| {
            metadata.since_day0.insert(block, block + 1);
            let me = metadata.node_id;
            for id in 0..super::metadata::NODE_IDS {
                if Some(id) == me || !metadata.peer(id).allocated {
                    continue;
                }
                if in_touch.contains(&id) {
                    metadata.peer_mut(id).out_of_sync.remove(block, block + 1);
                } else {
                    metadata.dirty(id, block, block + 1);
                }
            }
        });
    }
}

/// Reads a block from the local disk if it is UpToDate, otherwise from a peer.
pub(crate) fn read(
    world: &World,
    node: &str,
    name: &str,
    number: u32,
    block: u64,
) -> Result<Option<Block>, AppIo> {
    check(world, node, name, number, block)?;
    for (host, dev) in good_backings(world, node, name, number) {
        if let Some(Ok(content)) = world.machines.get(&host).map(|m| m.get(&dev, block)) {
            return Ok(content);
        }
    }
    Err(AppIo::IoError)
}

/// The first UpToDate disk that can be reached: host and backing device.
pub(crate) fn good_backing(
    world: &World,
    node: &str,
    name: &str,
    number: u32,
) -> Option<(String, Dev)> {
    good_backings(world, node, name, number).into_iter().next()
}

fn good_backings(world: &World, node: &str, name: &str, number: u32) -> Vec<(String, Dev)> {
    let mut sources = vec![(node.to_owned(), name.to_owned())];
    for (key, peer) in world.peers(node, name) {
        let replicates = world
            .connection(node, name, key)
            .and_then(|connection| connection.devices.get(&number))
            .is_some_and(|device| device.repl != Repl::Off);
        if replicates {
            sources.push((peer.host, peer.resource));
        }
    }
    sources
        .into_iter()
        .filter_map(|(host, resource)| {
            let volume = world.volume(&host, &resource, number)?;
            let backing = volume
                .backing
                .as_ref()
                .filter(|_| volume.disk == Disk::UpToDate)?;
            Some((host, backing.dev.clone()))
        })
        .collect()
}
