//! Diskless nodes store the exposed data generation: the one that applications have read. They accept no older one.

use super::metadata::{Metadata, same};
use super::{Disk, PeerRef, Role};
use crate::world::World;

/// How a diskless node judges a peer's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It has the exposed generation or a newer one, or no generation is exposed yet.
    Takes,
    /// It is newer, but an application uses the exposed generation.
    NotNow,
    /// It is older than the exposed generation.
    Older,
    /// It is unrelated to the exposed generation.
    Never,
}

/// Judges a peer's disk, if this node has none and the peer's is UpToDate.
pub(super) fn trust(world: &World, me: &PeerRef, peer: &PeerRef, number: u32) -> Option<Trust> {
    let mine = world.volume(&me.host, &me.resource, number)?;
    let theirs = world.volume(&peer.host, &peer.resource, number)?;
    let offered = world.metadata(&peer.host, &peer.resource, number)?;
    if mine.backing.is_some() || theirs.disk != Disk::UpToDate {
        return None;
    }
    let Some(shown) = mine.exposed.filter(|shown| !same(*shown, offered.current)) else {
        return Some(Trust::Takes);
    };
    if descends(offered, shown) {
        let primary = world
            .resource(&me.host, &me.resource)
            .is_some_and(|resource| resource.role == Role::Primary);
        return Some(if primary { Trust::NotNow } else { Trust::Takes });
    }
    let older = world
        .peers(&me.host, &me.resource)
        .iter()
        .any(|(_, other)| {
            world
                .metadata(&other.host, &other.resource, number)
                .is_some_and(|metadata| {
                    same(metadata.current, shown) && descends(metadata, offered.current)
                })
        });
    Some(if older { Trust::Older } else { Trust::Never })
}

/// Whether data descends from a generation: it is a bitmap UUID or a history UUID of its metadata.
fn descends(metadata: &Metadata, ancestor: u64) -> bool {
    let based = metadata
        .peers
        .iter()
        .any(|peer| peer.bitmap_uuid != 0 && same(peer.bitmap_uuid, ancestor));
    based || metadata.in_history(ancestor)
}

/// Stores a peer's generation as the exposed one, or marks the peer's disk Outdated if it is older.
pub(super) fn apply(world: &mut World, me: &PeerRef, peer: &PeerRef, number: u32) {
    match trust(world, me, peer, number) {
        Some(Trust::Takes) => {
            let current = world
                .metadata(&peer.host, &peer.resource, number)
                .map(|metadata| metadata.current);
            show(world, &me.host, &me.resource, number, current);
        }
        Some(Trust::Older) => world.set_disk(&peer.host, &peer.resource, number, Disk::Outdated),
        Some(Trust::NotNow | Trust::Never) | None => {}
    }
}

/// Stores the exposed generation.
pub(super) fn show(world: &mut World, node: &str, name: &str, number: u32, current: Option<u64>) {
    if let Some(volume) = world.volume_mut(node, name, number)
        && current.is_some()
    {
        volume.exposed = current;
    }
}
