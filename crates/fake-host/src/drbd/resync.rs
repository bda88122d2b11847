//! Resync: copies the blocks that are out of sync, at the configured rate.

use std::time::Duration;

use super::compare::Basis;
use super::metadata::JUST_CREATED;
use super::{Disk, PeerRef, Repl};
use crate::content::Ranges;
use crate::world::{Timer, World};

const TICK: Duration = Duration::from_millis(100);
const KIB_PER_BLOCK: u64 = 4;

/// Starts a resync, or pauses it until another resync of the same target has finished.
pub(super) fn start(
    world: &mut World,
    source: &PeerRef,
    target: &PeerRef,
    number: u32,
    basis: Basis,
) {
    mark(world, source, target, number, basis);
    let busy = world
        .resource(&target.host, &target.resource)
        .is_some_and(|resource| {
            resource.connections.iter().any(|(key, connection)| {
                *key != target.key
                    && connection
                        .devices
                        .get(&number)
                        .is_some_and(|d| d.repl == Repl::SyncTarget)
            })
        });
    world.set_disk(&target.host, &target.resource, number, Disk::Inconsistent);
    let (at_source, at_target) = if busy {
        (Repl::PausedSyncS, Repl::PausedSyncT)
    } else {
        (Repl::SyncSource, Repl::SyncTarget)
    };
    let total = world
        .metadata(&source.host, &source.resource, number)
        .map_or(0, |metadata| metadata.peer(source.key).out_of_sync.len());
    for (end, repl) in [(source, at_source), (target, at_target)] {
        if let Some(device) = world.peer_device_mut(&end.host, &end.resource, end.key, number) {
            device.repl = repl;
            device.resync_total = total;
        }
    }
    if !busy {
        world.after(TICK, timer(source, number));
    }
}

fn timer(source: &PeerRef, number: u32) -> Timer {
    Timer::Resync {
        node: source.host.clone(),
        resource: source.resource.clone(),
        key: source.key,
        volume: number,
    }
}

/// Marks the blocks to be copied as out of sync on both sides, so that an interrupted resync can be resumed.
fn mark(world: &mut World, source: &PeerRef, target: &PeerRef, number: u32, basis: Basis) {
    let size_kib = world
        .volume(&source.host, &source.resource, number)
        .map_or(0, |v| v.size_kib);
    let marked = |world: &World, end: &PeerRef, slot: u32| {
        world
            .metadata(&end.host, &end.resource, number)
            .map(|metadata| metadata.peer(slot).out_of_sync.clone())
            .unwrap_or_default()
    };
    let mut blocks = match basis {
        Basis::Everything => Ranges::below(size_kib / KIB_PER_BLOCK),
        Basis::Bitmap => marked(world, source, source.key),
        Basis::BitmapFor(other) => marked(world, source, other),
    };
    blocks.union(&marked(world, target, target.key));
    blocks.remove(size_kib / KIB_PER_BLOCK, u64::MAX);
    let target_now = world
        .metadata(&target.host, &target.resource, number)
        .map_or(JUST_CREATED, |metadata| metadata.current);
    let fresh = world.rng.next() & !1;
    let base = world.edit_metadata(&source.host, &source.resource, number, |metadata| {
        let slot = metadata.peer_mut(source.key);
        slot.out_of_sync = blocks.clone();
        match basis {
            // The target now has a part of the source's data: its old generation is no longer valid.
            Basis::Everything | Basis::Bitmap if slot.bitmap_uuid == 0 => slot.bitmap_uuid = fresh,
            Basis::BitmapFor(_) => slot.bitmap_uuid = target_now,
            Basis::Everything | Basis::Bitmap => {}
        }
        slot.bitmap_uuid
    });
    world.edit_metadata(&target.host, &target.resource, number, |metadata| {
        metadata.peer_mut(target.key).out_of_sync = blocks;
        // The resync of a grown part has no base generation.
        let grown = basis == Basis::Bitmap && base == Some(fresh);
        if let Some(base) = base.filter(|_| basis == Basis::Everything || grown) {
            metadata.current = base;
            metadata.peer_mut(target.key).bitmap_uuid = 0;
        }
    });
}

/// Copies the blocks of one tick.
pub(crate) fn tick(world: &mut World, node: &str, name: &str, key: u32, number: u32) {
    let Some(connection) = world.connection(node, name, key) else {
        return;
    };
    let syncing = connection
        .devices
        .get(&number)
        .is_some_and(|d| d.repl == Repl::SyncSource);
    let Some(target) = connection.peer.clone().filter(|_| syncing) else {
        return;
    };
    let source = PeerRef {
        host: node.to_owned(),
        resource: name.to_owned(),
        key,
    };
    let blocks = world.config.resync_kib_per_second / KIB_PER_BLOCK / 10;
    let ranges = world
        .metadata(node, name, number)
        .map(|metadata| metadata.peer(key).out_of_sync.first(blocks.max(1)))
        .unwrap_or_default();
    for (start, end) in &ranges {
        if !copy(world, &source, &target, number, *start, *end) {
            return;
        }
        for end_of_link in [&source, &target] {
            world.edit_metadata(
                &end_of_link.host,
                &end_of_link.resource,
                number,
                |metadata| {
                    metadata
                        .peer_mut(end_of_link.key)
                        .out_of_sync
                        .remove(*start, *end);
                },
            );
        }
    }
    world
        .touched
        .insert((source.host.clone(), source.resource.clone()));
    let left = world
        .metadata(node, name, number)
        .is_some_and(|metadata| !metadata.peer(key).out_of_sync.is_empty());
    if left {
        world.after(TICK, timer(&source, number));
    } else {
        finish(world, &source, &target, number);
    }
}

/// Copies blocks; false if one of the disks failed.
fn copy(
    world: &mut World,
    source: &PeerRef,
    target: &PeerRef,
    number: u32,
    start: u64,
    end: u64,
) -> bool {
    let backing = |world: &World, of: &PeerRef| {
        world
            .volume(&of.host, &of.resource, number)
            .and_then(|volume| volume.backing.clone())
    };
    let (Some(from), Some(to)) = (backing(world, source), backing(world, target)) else {
        return false;
    };
    let Some(Ok(mut content)) = world
        .machines
        .get(&source.host)
        .map(|machine| machine.range(&from.dev, start, end))
    else {
        world.fail_disk(&source.host, &source.resource, number);
        return false;
    };
    let Some(machine) = world.machines.get_mut(&target.host) else {
        return false;
    };
    let old = machine.range(&to.dev, start, end).unwrap_or_default();
    let zeroed = old
        .keys()
        .filter(|block| !content.contains_key(block))
        .copied()
        .collect::<Vec<_>>();
    let mut ok = !machine.is_broken(&to.dev);
    for block in zeroed {
        ok = ok && machine.put(&to.dev, block, None).is_ok();
    }
    while let Some((block, new)) = content.pop_first() {
        if old.get(&block) != Some(&new) {
            ok = ok && machine.put(&to.dev, block, Some(new)).is_ok();
        }
    }
    if !ok {
        world.fail_disk(&target.host, &target.resource, number);
    }
    ok
}

/// The resync has finished: the target gets the source's generation and its bitmaps of other peers.
fn finish(world: &mut World, source: &PeerRef, target: &PeerRef, number: u32) {
    let Some(theirs) = world
        .metadata(&source.host, &source.resource, number)
        .cloned()
    else {
        return;
    };
    let own_id = theirs.node_id;
    world.edit_metadata(&target.host, &target.resource, number, |metadata| {
        for old in theirs.history.iter().rev() {
            metadata.push_history(*old);
        }
        for slot in &theirs.peers {
            metadata.push_history(slot.bitmap_uuid);
        }
        let old = metadata.current;
        metadata.push_history(old);
        metadata.current = theirs.current;
        metadata.since_day0.union(&theirs.since_day0);
        let me = metadata.node_id;
        for id in 0..super::metadata::NODE_IDS {
            let is_pair = Some(id) == me || Some(id) == own_id || id == target.key;
            if is_pair || !metadata.peer(id).allocated {
                continue;
            }
            let at_source = theirs.peer(id);
            let slot = metadata.peer_mut(id);
            slot.bitmap_uuid = at_source.bitmap_uuid;
            if at_source.allocated {
                slot.out_of_sync = at_source.out_of_sync.clone();
            }
        }
        let slot = metadata.peer_mut(target.key);
        slot.bitmap_uuid = 0;
        slot.out_of_sync = Ranges::default();
    });
    world.edit_metadata(&source.host, &source.resource, number, |metadata| {
        let base = metadata.peer(source.key).bitmap_uuid;
        metadata.push_history(base);
        metadata.peer_mut(source.key).bitmap_uuid = 0;
    });
    tell_others(world, source, target, number, theirs.current);
    for end in [source, target] {
        if let Some(device) = world.peer_device_mut(&end.host, &end.resource, end.key, number) {
            device.repl = Repl::Established;
            device.resync_total = 0;
        }
    }
    let disk = world
        .volume(&source.host, &source.resource, number)
        .map(|volume| volume.disk);
    world.set_disk(
        &target.host,
        &target.resource,
        number,
        disk.unwrap_or(Disk::Inconsistent),
    );
    resume_paused(world, &target.host, &target.resource, number);
}

/// Replicas with the same generation as the source clear their bitmaps of the target.
fn tell_others(world: &mut World, source: &PeerRef, target: &PeerRef, number: u32, current: u64) {
    let Some(target_id) = world
        .resource(&target.host, &target.resource)
        .map(|resource| resource.node_id)
    else {
        return;
    };
    for (_, other) in world.peers(&source.host, &source.resource) {
        if other.host == target.host {
            continue;
        }
        let whole = world
            .volume(&other.host, &other.resource, number)
            .is_some_and(|volume| volume.disk == Disk::UpToDate);
        world.edit_metadata(&other.host, &other.resource, number, |metadata| {
            if whole && super::metadata::same(metadata.current, current) {
                let slot = metadata.peer_mut(target_id);
                slot.bitmap_uuid = 0;
                slot.out_of_sync = Ranges::default();
            }
        });
    }
}

/// Resumes resyncs that were paused because of another one.
pub(super) fn resume_paused(world: &mut World, node: &str, name: &str, number: u32) {
    let Some(resource) = world.resource(node, name) else {
        return;
    };
    let repl = |connection: &super::Connection| connection.devices.get(&number).map(|d| d.repl);
    if resource
        .connections
        .values()
        .any(|c| repl(c) == Some(Repl::SyncTarget))
    {
        return;
    }
    let waiting = resource
        .connections
        .iter()
        .find(|(_, connection)| repl(connection) == Some(Repl::PausedSyncT))
        .and_then(|(key, connection)| Some((*key, connection.peer.clone()?)));
    let Some((key, peer)) = waiting else { return };
    let me = PeerRef {
        host: node.to_owned(),
        resource: name.to_owned(),
        key,
    };
    for end in [&me, &peer] {
        if let Some(device) = world.peer_device_mut(&end.host, &end.resource, end.key, number) {
            device.repl = Repl::Established;
        }
    }
    super::link::negotiate(world, &me, &peer, number, super::link::Target::MayBeInUse);
    resume_paused(world, node, name, number);
}
