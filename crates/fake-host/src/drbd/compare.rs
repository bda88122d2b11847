//! The handshake: which of two replicas has the newer data, and which blocks differ.

use super::metadata::{CRASHED_PRIMARY, JUST_CREATED, Metadata, same};

/// The result of comparing two replicas, seen from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Equal data.
    NoSync,
    /// This replica is the sync source.
    Source(Basis),
    /// The peer is the sync source.
    Target(Basis),
    /// Split brain: both have changes that the other lacks.
    SplitBrain,
    /// Unrelated data: no common generation.
    Unrelated,
}

/// Which blocks may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Those that either replica has marked as out of sync for the other.
    Bitmap,
    /// Those that the source has marked as out of sync for this third node.
    BitmapFor(u32),
    /// All blocks.
    Everything,
}

/// Compares generation ids, by the kernel's rules in the kernel's order.
///
/// `my_slot` is the index of the peer's bitmap at this replica, `peer_slot` that of this replica's bitmap at the peer.
pub(crate) fn compare(
    mine: &Metadata,
    my_slot: u32,
    peers: &Metadata,
    peer_slot: u32,
    i_resolve: bool,
) -> Verdict {
    let or_created = |generation: u64| {
        if generation & !1 == 0 {
            JUST_CREATED
        } else {
            generation
        }
    };
    let (me, peer) = (or_created(mine.current), or_created(peers.current));
    match (same(me, JUST_CREATED), same(peer, JUST_CREATED)) {
        (true, true) => return Verdict::NoSync,
        (true, false) => return Verdict::Target(Basis::Everything),
        (false, true) => return Verdict::Source(Basis::Everything),
        (false, false) => {}
    }
    if same(me, peer) {
        return same_generation(mine, my_slot, peers, peer_slot, i_resolve);
    }
    let set = |generation: u64| generation & !1 != 0;
    let my_base = mine.peer(my_slot).bitmap_uuid;
    let peer_base = peers.peer(peer_slot).bitmap_uuid;
    if set(peer_base) && same(me, peer_base) {
        return Verdict::Target(Basis::Bitmap);
    }
    if let Some(other) = slot_with_base(peers, me) {
        return Verdict::Target(Basis::BitmapFor(other));
    }
    if set(my_base) && same(my_base, peer) {
        return Verdict::Source(Basis::Bitmap);
    }
    if let Some(other) = slot_with_base(mine, peer) {
        return Verdict::Source(Basis::BitmapFor(other));
    }
    match (peers.in_history(me), mine.in_history(peer)) {
        (true, false) => return Verdict::Target(Basis::Everything),
        (false, true) => return Verdict::Source(Basis::Everything),
        (true, true) | (false, false) => {}
    }
    if set(my_base) && same(my_base, peer_base) {
        return Verdict::SplitBrain;
    }
    let common = |old: &u64| set(*old) && (peers.in_history(*old) || same(*old, peer_base));
    if mine.history.iter().any(common) || (set(my_base) && peers.in_history(my_base)) {
        return Verdict::SplitBrain;
    }
    Verdict::Unrelated
}

/// Both have the same generation: they differ only if a primary crashed.
fn same_generation(
    mine: &Metadata,
    my_slot: u32,
    peers: &Metadata,
    peer_slot: u32,
    i_resolve: bool,
) -> Verdict {
    let nothing_marked =
        mine.peer(my_slot).out_of_sync.is_empty() && peers.peer(peer_slot).out_of_sync.is_empty();
    match (mine.has(CRASHED_PRIMARY), peers.has(CRASHED_PRIMARY)) {
        (false, false) => Verdict::NoSync,
        // Every acknowledged write is on both; without marked blocks there is nothing to synchronise.
        _ if nothing_marked => Verdict::NoSync,
        (true, false) => Verdict::Source(Basis::Bitmap),
        (false, true) => Verdict::Target(Basis::Bitmap),
        (true, true) if i_resolve => Verdict::Source(Basis::Bitmap),
        (true, true) => Verdict::Target(Basis::Bitmap),
    }
}

/// The node id of another peer whose bitmap has this generation as its base.
fn slot_with_base(metadata: &Metadata, generation: u64) -> Option<u32> {
    metadata
        .peers
        .iter()
        .position(|peer| {
            peer.allocated && peer.bitmap_uuid & !1 != 0 && same(peer.bitmap_uuid, generation)
        })
        .map(|slot| slot as u32)
}
