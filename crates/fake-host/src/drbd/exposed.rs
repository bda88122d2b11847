//! Nodes without disk remember which generation they have shown to applications, and take no older one afterwards.

use super::metadata::{Metadata, same};
use super::{Disk, PeerRef, Role};
use crate::world::World;

/// What a node without disk makes of a peer's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It has the generation that was shown, or nothing was shown yet, or a newer one.
    Takes,
    /// It is newer, but an application is using the older one.
    NotNow,
    /// It is older.
    Older,
    /// It is something else.
    Never,
}

/// Judges a peer's disk, if this end has none and the peer's claims to be good.
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

/// Whether data has a generation among its ancestors.
fn descends(metadata: &Metadata, ancestor: u64) -> bool {
    let based = metadata
        .peers
        .iter()
        .any(|peer| peer.bitmap_uuid != 0 && same(peer.bitmap_uuid, ancestor));
    based || metadata.in_history(ancestor)
}

/// Remembers what a peer shows, or informs it that it is behind.
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

/// Remembers a generation.
pub(super) fn show(world: &mut World, node: &str, name: &str, number: u32, current: Option<u64>) {
    if let Some(volume) = world.volume_mut(node, name, number)
        && current.is_some()
    {
        volume.exposed = current;
    }
}
