//! `resize`: growing volumes whose backing devices have grown.

use std::sync::Arc;

use super::attach::{Failure, NO_MINOR, TOO_SMALL, capacity_kib, failure};
use super::res::{PeerEnd, metadata_at};
use super::{Backing, DrbdKind, PeerRef, Role};
use crate::content::Block;
use crate::machine::Machine;
use crate::signature::last_block;
use crate::world::World;

const KIB_PER_BLOCK: u64 = 4;

/// The options of `resize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resize {
    /// `--assume-clean`: the new part is not resynchronised.
    pub(crate) assume_clean: bool,
    /// `--size` in KiB; all replicas store the limit until the next `resize`, or until they are down.
    pub(crate) user_kib: Option<u64>,
}

/// `resize`: the new size is that of the smallest connected backing device.
pub(crate) fn resize(
    world: &mut World,
    node: &str,
    minor: u32,
    how: Resize,
) -> Result<(), Failure> {
    let Some((name, number)) = world
        .kernel(node)
        .and_then(|kernel| kernel.find_minor(minor))
    else {
        return failure(NO_MINOR.0, NO_MINOR.1);
    };
    let old_kib = world
        .volume(node, &name, number)
        .map_or(0, |volume| volume.size_kib);
    let Some(ends) = replicas(world, node, &name, number)? else {
        return Ok(());
    };
    let room = |(host, resource): &PeerEnd| {
        capacity_kib(world, host, world.volume(host, resource, number)?)
    };
    let Some(room_kib) = ends.iter().filter_map(room).min() else {
        return Ok(());
    };
    let own_kib = ends.first().and_then(&room);
    if how
        .user_kib
        .is_some_and(|kib| own_kib.is_some_and(|own| own < kib))
    {
        return failure(TOO_SMALL.0, TOO_SMALL.1);
    }
    let size_kib = how.user_kib.map_or(room_kib, |kib| kib.min(room_kib));
    for (host, resource) in &ends {
        if let Some(volume) = world.volume_mut(host, resource, number) {
            volume.user_kib = how.user_kib;
        }
    }
    if size_kib <= old_kib {
        // DRBD makes a connected volume smaller if it is told so, and moves metadata to the end of a device that grew.
        let wanted_kib = how.user_kib.map_or(old_kib, |_| size_kib);
        for (host, resource) in &ends {
            grow(world, host, resource, number, wanted_kib);
        }
        return Ok(());
    }
    for (host, resource) in &ends {
        grow(world, host, resource, number, size_kib);
    }
    if !how.assume_clean {
        mark_new(world, node, &name, number, old_kib, size_kib);
        sync_grown_part(world, node, &name, number);
    }
    Ok(())
}

/// Marks the new part as out of sync for every peer.
pub(super) fn mark_new(
    world: &mut World,
    node: &str,
    name: &str,
    number: u32,
    old_kib: u64,
    size_kib: u64,
) {
    world.edit_metadata(node, name, number, |metadata| {
        let allocated = |id: &u32| metadata.peer(*id).allocated;
        let peers: Vec<u32> = (0..super::metadata::NODE_IDS).filter(allocated).collect();
        for id in peers {
            metadata.dirty(id, old_kib / KIB_PER_BLOCK, size_kib / KIB_PER_BLOCK);
        }
    });
}

/// The connected replicas that grow together, this one first; `None` if DRBD 9 lacks a connection to a replica.
fn replicas(
    world: &World,
    node: &str,
    name: &str,
    number: u32,
) -> Result<Option<Vec<PeerEnd>>, Failure> {
    if world.metadata(node, name, number).is_none() {
        return failure(138, "Device does not have a disk-config");
    }
    let mut ends = vec![(node.to_owned(), name.to_owned())];
    for (key, peer) in world.peers(node, name) {
        let device = world
            .connection(node, name, key)
            .and_then(|c| c.devices.get(&number));
        if device.is_some_and(|device| device.repl.is_syncing()) {
            return failure(130, "Resize not allowed during resync.");
        }
        if world.volume(&peer.host, &peer.resource, number).is_some() {
            ends.push((peer.host, peer.resource));
        }
    }
    let primary = |(host, name): &PeerEnd| {
        world
            .resource(host, name)
            .is_some_and(|resource| resource.role == Role::Primary)
    };
    match world.kernel(node).map(|kernel| kernel.kind) {
        Some(DrbdKind::V84) if ends.len() > 1 && !ends.iter().any(primary) => {
            failure(131, "Need one Primary node to resize.")
        }
        Some(DrbdKind::V9) if a_replica_is_away(world, node, name, number) => Ok(None),
        Some(_) | None => Ok(Some(ends)),
    }
}

/// DRBD 9 does not grow a volume if a replica is not connected.
fn a_replica_is_away(world: &World, node: &str, name: &str, number: u32) -> bool {
    let Some(resource) = world.resource(node, name) else {
        return false;
    };
    resource.connections.values().any(|connection| {
        let diskful = connection
            .devices
            .get(&number)
            .is_some_and(|device| device.bitmap);
        diskful && connection.peer.is_none()
    })
}

fn sync_grown_part(world: &mut World, node: &str, name: &str, number: u32) {
    for (key, peer) in world.peers(node, name) {
        let has_disk = world
            .volume(&peer.host, &peer.resource, number)
            .is_some_and(|volume| volume.backing.is_some());
        if has_disk {
            let me = PeerRef {
                host: node.to_owned(),
                resource: name.to_owned(),
                key,
            };
            super::resync::start(world, &me, &peer, number, super::compare::Basis::Bitmap);
        }
    }
}

/// `check-resize`: stores the current size of the backing device, outside the kernel.
pub(crate) fn remember_size(world: &mut World, node: &str, minor: u32) {
    let Some(machine) = world.machines.get_mut(node) else {
        return;
    };
    if let Some(dev) = machine.drbd.backing_of(minor).cloned() {
        let device_kib = machine.size_bytes(&dev) / 1024;
        super::metatool::note_end(machine, minor, device_kib);
    }
}

/// Moves internal metadata to the new end of the device and stores the new size. The old location becomes part of the
/// data area, with its content.
pub(super) fn grow(world: &mut World, node: &str, name: &str, number: u32, size_kib: u64) {
    let Some(volume) = world.volume_mut(node, name, number) else {
        return;
    };
    volume.size_kib = size_kib;
    let Some(backing) = volume.backing.clone() else {
        return;
    };
    if let Some(machine) = world.machines.get_mut(node)
        && backing.is_internal()
    {
        let end = last_block(machine.size_bytes(&backing.dev)).unwrap_or(0);
        // What is left at the old place is in the data area now, and is metadata until something is written there.
        let left =
            metadata_at(machine, &backing).map(|left| Block::Metadata(Arc::new(left.clone())));
        if move_metadata(machine, &backing, end) && end != backing.superblock {
            // If the device cannot be written, the next access detaches the disk.
            let _written = machine.put(&backing.meta, backing.superblock, left);
        }
        if let Some(backing) = world
            .volume_mut(node, name, number)
            .and_then(|volume| volume.backing.as_mut())
        {
            backing.superblock = end;
        }
    }
    world.edit_metadata(node, name, number, |metadata| metadata.size_kib = size_kib);
}

/// Moves a superblock within its device.
pub(crate) fn move_metadata(machine: &mut Machine, backing: &Backing, to: u64) -> bool {
    if backing.superblock == to {
        return true;
    }
    match machine.get(&backing.meta, backing.superblock) {
        Ok(Some(block @ Block::Metadata(_))) => {
            machine.put(&backing.meta, to, Some(block)).is_ok()
                && machine.put(&backing.meta, backing.superblock, None).is_ok()
        }
        Ok(_) | Err(_) => false,
    }
}
