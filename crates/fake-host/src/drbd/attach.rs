//! Attaching and detaching disks; creating and removing resources, minors and peers.

use super::link::{self, Loss};
use super::metadata::{
    AL_CLEAN, CONSISTENT, CRASHED_PRIMARY, Metadata, PEER_FULL_SYNC, PRIMARY_IND, WAS_UP_TO_DATE,
    internal_kib,
};
use super::res::metadata_at;
use super::role::{self, Refused};
use super::{
    Backing, Connection, Disk, DrbdKind, Link, Options, PeerDevice, PeerRef, Resource, Role, Volume,
};
use crate::content::Ranges;
use crate::machine::Machine;
use crate::signature::last_block;
use crate::world::World;

const KIB_PER_BLOCK: u64 = 4;

/// An error of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code of drbdsetup.
    pub(crate) exit_code: i32,
    /// The text that drbdsetup prints after the name of the object.
    pub(crate) text: String,
}

/// An error with the kernel's error number.
pub(crate) fn failure<T>(number: u32, text: &str) -> Result<T, Failure> {
    Err(Failure {
        exit_code: 10,
        text: format!("Failure: ({number}) {text}"),
    })
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        let text = format!("State change failed: ({}) {}", refused.number, refused.text);
        Failure {
            exit_code: refused.exit_code,
            text,
        }
    }
}

const NO_SLOT: &str =
    "Invalid configuration request\nadditional info from kernel:\nNot enough free bitmap slots";
const NOT_KNOWN: (u32, &str) = (158, "Unknown resource");
pub(super) const NO_MINOR: (u32, &str) = (127, "Device minor not allocated");
pub(super) const TOO_SMALL: (u32, &str) = (111, "Low.dev. smaller than requested DRBD-dev. size.");
const NO_METADATA: (u32, &str) = (
    119,
    "No valid meta-data signature found.\n\
     \n\t==> Use 'drbdadm create-md res' to initialize meta-data area. <==\n",
);

/// `new-resource`.
pub(crate) fn new_resource(
    world: &mut World,
    node: &str,
    name: &str,
    node_id: u32,
    options: Options,
) -> Result<(), Failure> {
    world.touched.insert((node.to_owned(), name.to_owned()));
    let Some(machine) = world.machines.get_mut(node) else {
        return failure(NOT_KNOWN.0, NOT_KNOWN.1);
    };
    if machine.drbd.resources.contains_key(name) {
        // In 8.4 a repeated request succeeds.
        return match machine.drbd.kind {
            DrbdKind::V84 => Ok(()),
            DrbdKind::V9 => failure(174, "Already exists\n"),
        };
    }
    machine.modules.insert("drbd".to_owned());
    machine
        .drbd
        .resources
        .insert(name.to_owned(), Resource::new(node_id, options));
    Ok(())
}

/// `new-minor`.
pub(crate) fn new_minor(
    world: &mut World,
    node: &str,
    name: &str,
    minor: u32,
    number: u32,
    client: bool,
) -> Result<(), Failure> {
    let taken = world
        .kernel(node)
        .is_some_and(|kernel| kernel.has_minor(minor));
    let Some(resource) = world.resource_mut(node, name) else {
        return failure(NOT_KNOWN.0, NOT_KNOWN.1);
    };
    if taken || resource.volumes.contains_key(&number) {
        return failure(161, "Minor or volume exists already (delete it first)");
    }
    let volume = Volume {
        minor,
        client,
        disk: Disk::Diskless,
        backing: None,
        disk_options: Options::new(),
        size_kib: 0,
        user_kib: None,
        quorum: false,
        opened: 0,
        held: Default::default(),
        exposed: None,
        stale_bitmap: false,
    };
    resource.volumes.insert(number, volume);
    for connection in resource.connections.values_mut() {
        connection
            .devices
            .entry(number)
            .or_insert_with(PeerDevice::new);
    }
    // A volume that is created while connected starts to replicate.
    for (key, peer) in world.peers(node, name) {
        let shared = world.volume(&peer.host, &peer.resource, number).is_some();
        for (host, resource, key) in [(node, name, key), (&*peer.host, &*peer.resource, peer.key)] {
            if let Some(device) = world
                .peer_device_mut(host, resource, key, number)
                .filter(|_| shared)
            {
                device.repl = super::Repl::Established;
            }
        }
        let me = PeerRef {
            host: node.to_owned(),
            resource: name.to_owned(),
            key,
        };
        link::negotiate(world, &me, &peer, number, link::Target::JustAttached);
    }
    Ok(())
}

/// Size in KiB of the data area of an attached disk.
pub(crate) fn capacity_kib(world: &World, node: &str, volume: &Volume) -> Option<u64> {
    let backing = volume.backing.as_ref()?;
    let machine = world.machines.get(node)?;
    let kib = machine.size_bytes(&backing.dev) / 1024;
    if !backing.is_internal() {
        return Some(kib);
    }
    let metadata = metadata_at(machine, backing)?;
    Some(kib.saturating_sub(metadata.internal_kib(kib)) / KIB_PER_BLOCK * KIB_PER_BLOCK)
}

/// The locations of data and metadata, if both devices exist.
pub(crate) fn find_backing(
    machine: &Machine,
    path: &str,
    meta_path: &str,
) -> Result<Backing, Failure> {
    let Some(dev) = machine.device(path) else {
        return failure(104, "Can not open backing device.");
    };
    let internal = meta_path == "internal" || meta_path == path;
    let meta_path = if internal { path } else { meta_path };
    let Some(meta) = machine.device(meta_path) else {
        return failure(105, "Can not open meta device.");
    };
    let superblock = if internal {
        last_block(machine.size_bytes(&dev)).unwrap_or(0)
    } else {
        0
    };
    let (path, meta_path) = (path.to_owned(), meta_path.to_owned());
    Ok(Backing {
        path,
        dev,
        meta_path,
        meta,
        superblock,
    })
}

/// `attach`.
pub(crate) fn attach(
    world: &mut World,
    node: &str,
    minor: u32,
    path: &str,
    meta_path: &str,
    options: Options,
) -> Result<(), Failure> {
    let Some((name, number)) = world
        .kernel(node)
        .and_then(|kernel| kernel.find_minor(minor))
    else {
        return failure(NO_MINOR.0, NO_MINOR.1);
    };
    let Some(machine) = world.machines.get(node) else {
        return failure(NO_MINOR.0, NO_MINOR.1);
    };
    if world
        .volume(node, &name, number)
        .is_some_and(|volume| volume.backing.is_some())
    {
        return failure(124, "Device is attached to a disk (use detach first)");
    }
    if world
        .volume(node, &name, number)
        .is_some_and(|volume| volume.stale_bitmap)
    {
        let text = "Invalid configuration request\nadditional info from kernel:\n\
                    already has a bitmap, this should not happen";
        return failure(162, text);
    }
    let backing = find_backing(machine, path, meta_path)?;
    if machine.user_of(&backing.dev).is_some() {
        let text = "Lower device is already claimed. This usually means it is mounted.";
        return failure(114, text);
    }
    if machine.is_broken(&backing.dev) || machine.is_broken(&backing.meta) {
        return failure(
            118,
            "IO error(s) occurred during initial access to meta-data.\n",
        );
    }
    let Some(metadata) = metadata_at(machine, &backing).cloned() else {
        return failure(NO_METADATA.0, NO_METADATA.1);
    };
    if metadata.version != machine.drbd.kind {
        return failure(NO_METADATA.0, NO_METADATA.1);
    }
    let device_kib = machine.size_bytes(&backing.dev) / 1024;
    if is_unwanted(world, node, &name, number) {
        return Err(role::UNWANTED_DISK.into());
    }
    if is_older_than_seen(world, node, &name, number, &metadata) {
        return failure(
            150,
            "Can only attach to the data we lost last (see kernel log).",
        );
    }
    claim(world, node, &name, number, backing, options);
    take_up(world, node, &name, number, &metadata)?;
    if let Some(machine) = world.machines.get_mut(node) {
        super::metatool::note_end(machine, minor, device_kib);
    }
    for (key, peer) in world.peers(node, &name) {
        let me = PeerRef {
            host: node.to_owned(),
            resource: name.clone(),
            key,
        };
        link::negotiate(world, &me, &peer, number, link::Target::JustAttached);
    }
    Ok(())
}

/// A connected peer that treats this node as an intentionally diskless one has no bitmap for its disk.
fn is_unwanted(world: &World, node: &str, name: &str, number: u32) -> bool {
    world.peers(node, name).iter().any(|(_, peer)| {
        world
            .connection(&peer.host, &peer.resource, peer.key)
            .and_then(|connection| connection.devices.get(&number))
            .is_some_and(|device| !device.bitmap)
    })
}

/// An application that has read newer data here must not read older data later: without a peer that has the newer data,
/// the disk is not attached.
fn is_older_than_seen(
    world: &World,
    node: &str,
    name: &str,
    number: u32,
    found: &Metadata,
) -> bool {
    let primary = world
        .resource(node, name)
        .is_some_and(|r| r.role == Role::Primary);
    let seen = world
        .volume(node, name, number)
        .and_then(|volume| volume.exposed);
    let differs = seen.is_some_and(|seen| !super::metadata::same(seen, found.current));
    primary && differs && !super::role::good_copy_in_reach(world, node, name, number)
}

fn claim(
    world: &mut World,
    node: &str,
    name: &str,
    number: u32,
    backing: Backing,
    options: Options,
) {
    if let Some(volume) = world.volume_mut(node, name, number) {
        volume.backing = Some(backing);
        volume.user_kib = user_kib(&options);
        volume.disk_options = options;
        volume.client = false;
    }
}

/// The size that option `size` of section `disk` names, in KiB.
pub(super) fn user_kib(options: &Options) -> Option<u64> {
    options.get("size")?.trim_end_matches('k').parse().ok()
}

/// Derives the disk state from the metadata of a disk that was just attached.
fn take_up(
    world: &mut World,
    node: &str,
    name: &str,
    number: u32,
    found: &Metadata,
) -> Result<(), Failure> {
    let Some(volume) = world.volume(node, name, number) else {
        return Ok(());
    };
    let capacity = capacity_kib(world, node, volume).unwrap_or(0);
    let good = found.has(CONSISTENT);
    let size_kib = match (found.size_kib, volume.size_kib) {
        (0, 0) => capacity,
        (0, connected) => connected.min(capacity),
        // A size beyond any device means the size of the backing device.
        (agreed, _) if good && agreed > capacity && agreed < 1 << 40 => {
            release(world, node, name, number);
            return failure(TOO_SMALL.0, TOO_SMALL.1);
        }
        (agreed, _) => agreed.min(capacity),
    };
    let user_kib = volume.user_kib;
    if user_kib.is_some_and(|kib| kib > capacity) {
        release(world, node, name, number);
        return failure(TOO_SMALL.0, TOO_SMALL.1);
    }
    let size_kib = user_kib.map_or(size_kib, |kib| kib.min(size_kib));
    if !initialise(world, node, name, number, size_kib) {
        release(world, node, name, number);
        return failure(162, NO_SLOT);
    }
    if let Some(volume) = world.volume_mut(node, name, number) {
        volume.size_kib = size_kib;
    }
    let disk = match (good, found.has(WAS_UP_TO_DATE)) {
        (false, _) => Disk::Inconsistent,
        (true, false) => Disk::Outdated,
        (true, true) => Disk::UpToDate,
    };
    world.set_disk(node, name, number, disk);
    Ok(())
}

fn release(world: &mut World, node: &str, name: &str, number: u32) {
    if let Some(volume) = world.volume_mut(node, name, number) {
        volume.backing = None;
    }
}

/// Prepares metadata for this size and these peers; false if there is no bitmap slot for one of them.
fn initialise(world: &mut World, node: &str, name: &str, number: u32, size_kib: u64) -> bool {
    let peers = wanted_bitmaps(world, node, name, number);
    let Some(resource) = world.resource(node, name) else {
        return false;
    };
    let (node_id, primary) = (resource.node_id, resource.role == Role::Primary);
    let done = world.edit_metadata(node, name, number, |metadata| {
        let v84_without_size = metadata.version == DrbdKind::V84 && metadata.size_kib == 0;
        metadata.node_id = Some(node_id);
        metadata.size_kib = size_kib;
        if metadata.has(PRIMARY_IND) {
            metadata.set(CRASHED_PRIMARY, true);
        }
        metadata.set(PRIMARY_IND, primary);
        metadata.set(AL_CLEAN, false);
        let enough = peers.iter().all(|peer| metadata.allocate(*peer));
        for peer in &mut metadata.peers {
            // 8.4 treats a device without an agreed size as one that has grown from size 0.
            if peer.flags & PEER_FULL_SYNC != 0 || (v84_without_size && peer.allocated) {
                peer.out_of_sync = Ranges::below(size_kib / KIB_PER_BLOCK);
                peer.flags &= !PEER_FULL_SYNC;
            }
        }
        enough
    });
    done == Some(true)
}

/// Peers for which this disk needs a bitmap.
fn wanted_bitmaps(world: &World, node: &str, name: &str, number: u32) -> Vec<u32> {
    let Some(resource) = world.resource(node, name) else {
        return Vec::new();
    };
    let wants = |connection: &Connection| {
        connection
            .devices
            .get(&number)
            .is_none_or(|device| device.bitmap)
    };
    resource
        .connections
        .iter()
        .filter(|(_, c)| wants(c))
        .map(|(key, _)| *key)
        .collect()
}

/// `detach`; with `client`, the volume becomes intentionally diskless.
pub(crate) fn detach(
    world: &mut World,
    node: &str,
    minor: u32,
    client: bool,
) -> Result<(), Failure> {
    let Some((name, number)) = world
        .kernel(node)
        .and_then(|kernel| kernel.find_minor(minor))
    else {
        return failure(NO_MINOR.0, NO_MINOR.1);
    };
    let primary = world
        .resource(node, &name)
        .is_some_and(|r| r.role == Role::Primary);
    let good_elsewhere = world.peers(node, &name).iter().any(|(_, peer)| {
        world
            .volume(&peer.host, &peer.resource, number)
            .is_some_and(|volume| volume.disk == Disk::UpToDate)
    });
    let attached = world
        .volume(node, &name, number)
        .is_some_and(|v| v.backing.is_some());
    if attached && primary && !good_elsewhere {
        return Err(role::NO_DATA.into());
    }
    world.edit_metadata(node, &name, number, |metadata| {
        metadata.set(PRIMARY_IND, false)
    });
    world.fail_disk(node, &name, number);
    if let Some(volume) = world.volume_mut(node, &name, number) {
        volume.stale_bitmap = false;
        volume.client = client;
    }
    Ok(())
}

/// `new-peer`, or the first part of `connect` in 8.4.
pub(crate) fn new_peer(
    world: &mut World,
    node: &str,
    name: &str,
    key: u32,
    peer_name: &str,
    net: Options,
) -> Result<(), Failure> {
    let Some(resource) = world.resource_mut(node, name) else {
        return failure(NOT_KNOWN.0, NOT_KNOWN.1);
    };
    if resource.connections.contains_key(&key) {
        return failure(174, "Already exists\n");
    }
    let mut connection = Connection::new(peer_name, net);
    let numbers: Vec<u32> = resource.volumes.keys().copied().collect();
    for number in &numbers {
        connection.devices.insert(*number, PeerDevice::new());
    }
    resource.connections.insert(key, connection);
    for number in numbers {
        if !allocate(world, node, name, key, number) {
            if let Some(resource) = world.resource_mut(node, name) {
                resource.connections.remove(&key);
            }
            return failure(162, NO_SLOT);
        }
    }
    Ok(())
}

fn allocate(world: &mut World, node: &str, name: &str, key: u32, number: u32) -> bool {
    world
        .edit_metadata(node, name, number, |metadata| metadata.allocate(key))
        .unwrap_or(true)
}

/// Sets whether a peer needs a bitmap; an intentionally diskless one does not.
pub(crate) fn want_bitmap(
    world: &mut World,
    node: &str,
    name: &str,
    key: u32,
    number: u32,
    bitmap: bool,
) {
    let Some(device) = world.peer_device_mut(node, name, key, number) else {
        return;
    };
    if device.bitmap == bitmap {
        return;
    }
    device.bitmap = bitmap;
    if bitmap {
        allocate(world, node, name, key, number);
    } else {
        world.edit_metadata(node, name, number, |metadata| {
            let seen = metadata.peer(key).flags;
            metadata.forget(key);
            metadata.peer_mut(key).flags = seen & super::metadata::NODE_EXISTS;
        });
    }
    // Connections that were refused because of this setting may succeed now.
    link::heal(world);
}

/// `del-peer`.
pub(crate) fn del_peer(world: &mut World, node: &str, name: &str, key: u32) -> Result<(), Failure> {
    if world.resource(node, name).is_none() {
        return failure(NOT_KNOWN.0, NOT_KNOWN.1);
    }
    if world.connection(node, name, key).is_none() {
        let text =
            "Invalid configuration request\nadditional info from kernel:\nunknown connection";
        return failure(162, text);
    }
    link::lose(world, node, name, key, Loss::Disconnect);
    if let Some(resource) = world.resource_mut(node, name) {
        resource.connections.remove(&key);
    }
    Ok(())
}

/// `forget-peer`.
pub(crate) fn forget_peer(
    world: &mut World,
    node: &str,
    name: &str,
    key: u32,
) -> Result<(), Failure> {
    if world.resource(node, name).is_none() {
        return failure(NOT_KNOWN.0, NOT_KNOWN.1);
    }
    if world.connection(node, name, key).is_some() {
        return failure(125, "Device has a net-config (use disconnect first)");
    }
    let numbers: Vec<u32> = world
        .resource(node, name)
        .map(|r| r.volumes.keys().copied().collect())
        .unwrap_or_default();
    for number in numbers {
        world.edit_metadata(node, name, number, |metadata| metadata.forget(key));
    }
    Ok(())
}

/// `down`.
pub(crate) fn down(world: &mut World, node: &str, name: &str) -> Result<(), Refused> {
    let Some(resource) = world.resource(node, name) else {
        return Ok(());
    };
    let numbers: Vec<u32> = resource.volumes.keys().copied().collect();
    let keys: Vec<u32> = resource.connections.keys().copied().collect();
    let in_use = resource.volumes.values().any(|volume| volume.opened > 0);
    let kind = world
        .kernel(node)
        .map_or(DrbdKind::V9, |kernel| kernel.kind);
    match (in_use, kind) {
        (false, _) => role::secondary(world, node, name)?,
        // The error of DRBD 9 if the device is open.
        (true, DrbdKind::V9) => return Err(role::NO_DATA),
        (true, DrbdKind::V84) => return Err(role::IN_USE),
    }
    for key in keys {
        link::lose(world, node, name, key, Loss::Disconnect);
    }
    for number in numbers {
        world.edit_metadata(node, name, number, |metadata| {
            metadata.set(PRIMARY_IND, false);
            metadata.set(AL_CLEAN, metadata.version == DrbdKind::V9);
        });
    }
    world.touched.insert((node.to_owned(), name.to_owned()));
    if let Some(machine) = world.machines.get_mut(node) {
        machine.drbd.resources.remove(name);
    }
    Ok(())
}

/// Whether a device is large enough for metadata.
pub(crate) fn fits(device_kib: u64, max_peers: u32) -> bool {
    device_kib > internal_kib(device_kib, max_peers, 32) + KIB_PER_BLOCK
}

/// `disconnect`.
pub(crate) fn disconnect(
    world: &mut World,
    node: &str,
    name: &str,
    key: u32,
) -> Result<(), Failure> {
    match world
        .connection(node, name, key)
        .map(|connection| connection.link)
    {
        None => failure(171, "Invalid peer-node-id\n"),
        Some(Link::StandAlone) => Ok(()),
        Some(Link::Connecting | Link::Connected) => {
            link::lose(world, node, name, key, Loss::Disconnect);
            Ok(())
        }
    }
}
