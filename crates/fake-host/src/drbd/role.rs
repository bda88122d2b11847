//! Promotion and demotion, by command or by opening a device.

use super::metadata::{CRASHED_PRIMARY, PEER_OUTDATED, PRIMARY_IND};
use super::{Disk, DrbdKind, PeerRef, Repl, Role};
use crate::world::World;

/// A state change that the kernel refuses: error number and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) number: i32,
    pub(crate) text: &'static str,
    pub(crate) exit_code: i32,
}

const TWO_PRIMARIES: Refused = Refused {
    number: -1,
    text: "Multiple primaries not allowed by config",
    exit_code: 11,
};
pub(super) const NO_DATA: Refused = Refused {
    number: -2,
    text: "Need access to UpToDate data",
    exit_code: 17,
};
pub(super) const IN_USE: Refused = Refused {
    number: -12,
    text: "Device is held open by someone",
    exit_code: 11,
};
const NO_QUORUM: Refused = Refused {
    number: -25,
    text: "No quorum",
    exit_code: 11,
};
pub(super) const UNWANTED_DISK: Refused = Refused {
    number: -10,
    text: "State change was refused by peer node
additional info from kernel:
Probably this node is marked as intentional diskless on a peer",
    exit_code: 11,
};

/// Promotes a resource.
pub(crate) fn primary(
    world: &mut World,
    node: &str,
    name: &str,
    force: bool,
) -> Result<(), Refused> {
    let Some(resource) = world.resource(node, name) else {
        return Err(NO_DATA);
    };
    if resource.role == Role::Primary {
        return Ok(());
    }
    for (key, connection) in &resource.connections {
        let Some(peer) = &connection.peer else {
            continue;
        };
        let primary = world
            .resource(&peer.host, &peer.resource)
            .is_some_and(|r| r.role == Role::Primary);
        if primary
            && !resource
                .connections
                .get(key)
                .is_some_and(super::Connection::two_primaries)
        {
            return Err(TWO_PRIMARIES);
        }
    }
    // The peers vote as well; they may be connected to a primary that this node is not connected to.
    if world.far_primary(node, name) {
        return Err(TWO_PRIMARIES);
    }
    let numbers: Vec<u32> = resource.volumes.keys().copied().collect();
    for number in &numbers {
        let quorum = world
            .volume(node, name, *number)
            .is_none_or(|volume| volume.quorum);
        if !quorum && !force {
            return Err(NO_QUORUM);
        }
        let disk = world
            .volume(node, name, *number)
            .map_or(Disk::Diskless, |volume| volume.disk);
        let usable = force && disk >= Disk::Inconsistent;
        if !good_copy_in_reach(world, node, name, *number) && !usable {
            return Err(NO_DATA);
        }
    }
    if let Some(resource) = world.resource_mut(node, name) {
        resource.role = Role::Primary;
    }
    for number in numbers {
        if force {
            outdate_absent(world, node, name, number);
        }
        world.edit_metadata(node, name, number, |metadata| {
            metadata.set(PRIMARY_IND, true)
        });
        if force && !good_copy_in_reach(world, node, name, number) {
            declare_good(world, node, name, number);
        }
    }
    Ok(())
}

/// `primary --force`: removes the disconnected peers from the partition.
fn outdate_absent(world: &mut World, node: &str, name: &str, number: u32) {
    let Some(resource) = world.resource(node, name) else {
        return;
    };
    let absent: Vec<u32> = resource
        .connections
        .iter()
        .filter(|(_, connection)| connection.peer.is_none())
        .map(|(key, _)| *key)
        .collect();
    world.edit_metadata(node, name, number, |metadata| {
        for key in absent {
            metadata.peer_mut(key).flags |= PEER_OUTDATED;
        }
    });
}

/// Whether UpToDate data can be read on this node: from the local disk or a peer's.
pub(super) fn good_copy_in_reach(world: &World, node: &str, name: &str, number: u32) -> bool {
    let good = |node: &str, name: &str| {
        world
            .volume(node, name, number)
            .is_some_and(|volume| volume.disk == Disk::UpToDate)
    };
    let through_peer = world.peers(node, name).iter().any(|(key, peer)| {
        let replicates = world
            .connection(node, name, *key)
            .and_then(|connection| connection.devices.get(&number))
            .is_some_and(|device| device.repl != Repl::Off);
        replicates && good(&peer.host, &peer.resource)
    });
    good(node, name) || through_peer
}

/// Makes the local disk UpToDate.
fn declare_good(world: &mut World, node: &str, name: &str, number: u32) {
    let fresh = world.rng.next();
    world.edit_metadata(node, name, number, |metadata| {
        metadata.new_generation(&[], fresh)
    });
    world.set_disk(node, name, number, Disk::UpToDate);
    for (key, peer) in world.peers(node, name) {
        let me = PeerRef {
            host: node.to_owned(),
            resource: name.to_owned(),
            key,
        };
        super::link::negotiate(world, &me, &peer, number, super::link::Target::MayBeInUse);
    }
}

/// Demotes a resource.
pub(crate) fn secondary(world: &mut World, node: &str, name: &str) -> Result<(), Refused> {
    let Some(resource) = world.resource_mut(node, name) else {
        return Ok(());
    };
    if resource.role != Role::Primary {
        return Ok(());
    }
    if resource.volumes.values().any(|volume| volume.opened > 0) {
        return Err(IN_USE);
    }
    resource.role = Role::Secondary;
    resource.auto_promoted = false;
    let numbers: Vec<u32> = resource.volumes.keys().copied().collect();
    for number in numbers {
        world.edit_metadata(node, name, number, |metadata| {
            metadata.set(PRIMARY_IND, false);
            metadata.set(CRASHED_PRIMARY, false);
        });
    }
    Ok(())
}

/// An application opens a device for writing. DRBD 9 promotes automatically.
pub(crate) fn open(world: &mut World, node: &str, minor: u32) -> Result<(), Refused> {
    let kernel = world.kernel(node);
    let Some((name, number)) = kernel.and_then(|kernel| kernel.find_minor(minor)) else {
        return Err(Refused {
            number: 0,
            text: "No such device",
            exit_code: 1,
        });
    };
    let kind = kernel.map_or(DrbdKind::V9, |kernel| kernel.kind);
    let Some(resource) = world.resource(node, &name) else {
        return Err(NO_DATA);
    };
    if resource.role != Role::Primary {
        if kind == DrbdKind::V84 || resource.option("auto-promote") == Some("no") {
            return Err(Refused {
                number: 0,
                text: "Wrong medium type",
                exit_code: 1,
            });
        }
        primary(world, node, &name, false)?;
        if let Some(resource) = world.resource_mut(node, &name) {
            resource.auto_promoted = true;
        }
    }
    if let Some(volume) = world.volume_mut(node, &name, number) {
        volume.opened += 1;
    }
    Ok(())
}

/// The application closes the device.
pub(crate) fn close(world: &mut World, node: &str, minor: u32) {
    let Some((name, number)) = world
        .kernel(node)
        .and_then(|kernel| kernel.find_minor(minor))
    else {
        return;
    };
    if let Some(volume) = world.volume_mut(node, &name, number) {
        volume.opened = volume.opened.saturating_sub(1);
    }
    let idle = world.resource(node, &name).is_some_and(|resource| {
        resource.auto_promoted && resource.volumes.values().all(|volume| volume.opened == 0)
    });
    if idle {
        // No device is open, which is the only reason for a refusal.
        let _demoted = secondary(world, node, &name);
    }
}
