//! The handshake: which of two replicas has the newer data, and what differs.

use super::metadata::{CRASHED_PRIMARY, JUST_CREATED, Metadata, same};

/// What two replicas do about their differences, seen from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same data.
    NoSync,
    /// This one is the source.
    Source(Basis),
    /// The peer is the source.
    Target(Basis),
    /// Both have changes that the other lacks.
    SplitBrain,
    /// No common ancestor.
    Unrelated,
}

/// Which blocks may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Those that either has marked for the other.
    Bitmap,
    /// Those that the source has marked for this third node.
    BitmapFor(u32),
    /// All.
    Everything,
}

/// Compares generation ids, by the kernel's rules in the kernel's order.
///
/// `my_slot` is where I keep what concerns the peer, `peer_slot` where the peer keeps what concerns me.
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

/// Both have the same generation: only a crash can have left them different.
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
        // Every acknowledged write reached both; without marks there is nothing to do.
        _ if nothing_marked => Verdict::NoSync,
        (true, false) => Verdict::Source(Basis::Bitmap),
        (false, true) => Verdict::Target(Basis::Bitmap),
        (true, true) if i_resolve => Verdict::Source(Basis::Bitmap),
        (true, true) => Verdict::Target(Basis::Bitmap),
    }
}

/// The slot of another node whose bitmap counts from this generation.
fn slot_with_base(metadata: &Metadata, generation: u64) -> Option<u32> {
    metadata
        .peers
        .iter()
        .position(|peer| {
            peer.allocated && peer.bitmap_uuid & !1 != 0 && same(peer.bitmap_uuid, generation)
        })
        .map(|slot| slot as u32)
}
