//! DRBD's metadata: generation ids, flags and bitmaps.

use super::super::content::{BLOCK_BYTES, Ranges};
use super::DrbdKind;

/// Current generation id of metadata that was just created by `create-md`.
pub(crate) const JUST_CREATED: u64 = 4;
/// Number of node ids: 0 to 31.
pub(crate) const NODE_IDS: u32 = 32;
const HISTORY: usize = 32;
/// Bit of a generation id: the node was primary when it got the id. Not part of the id's identity.
pub(crate) const PRIMARY_BIT: u64 = 1;

pub(crate) const CONSISTENT: u32 = 1 << 0;
pub(crate) const PRIMARY_IND: u32 = 1 << 1;
pub(crate) const CONNECTED_IND: u32 = 1 << 2;
pub(crate) const FULL_SYNC: u32 = 1 << 3;
pub(crate) const WAS_UP_TO_DATE: u32 = 1 << 4;
pub(crate) const PEER_OUT_DATED: u32 = 1 << 5;
pub(crate) const CRASHED_PRIMARY: u32 = 1 << 6;
pub(crate) const AL_CLEAN: u32 = 1 << 7;
pub(crate) const AL_DISABLED: u32 = 1 << 8;
pub(crate) const PRIMARY_LOST_QUORUM: u32 = 1 << 9;

pub(crate) const PEER_CONNECTED: u32 = 1 << 0;
pub(crate) const PEER_OUTDATED: u32 = 1 << 1;
pub(crate) const PEER_FENCING: u32 = 1 << 2;
pub(crate) const PEER_FULL_SYNC: u32 = 1 << 3;
pub(crate) const PEER_DEVICE_SEEN: u32 = 1 << 4;
pub(crate) const NODE_EXISTS: u32 = 1 << 16;

/// The metadata of one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) version: DrbdKind,
    pub(crate) max_peers: u32,
    pub(crate) al_stripes: u32,
    pub(crate) al_stripe_kib: u32,
    /// Set when the metadata is first attached.
    pub(crate) node_id: Option<u32>,
    pub(crate) current: u64,
    pub(crate) flags: u32,
    /// By node id, always [`NODE_IDS`] of them.
    pub(crate) peers: Vec<PeerMetadata>,
    /// History UUIDs, youngest first.
    pub(crate) history: Vec<u64>,
    /// Size agreed with the peers; zero before the first agreement.
    pub(crate) size_kib: u64,
    pub(crate) device_uuid: u64,
    /// All blocks written since the metadata was created: those that a peer without its own bitmap may lack.
    pub(crate) since_day0: Ranges,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PeerMetadata {
    pub(crate) bitmap_uuid: u64,
    pub(crate) flags: u32,
    /// Has a bitmap slot of its own.
    pub(crate) allocated: bool,
    pub(crate) out_of_sync: Ranges,
}

impl Metadata {
    pub(crate) fn new(version: DrbdKind, max_peers: u32, device_uuid: u64) -> Self {
        let flags = match version {
            DrbdKind::V9 => AL_CLEAN,
            DrbdKind::V84 => 0,
        };
        Metadata {
            version,
            max_peers,
            al_stripes: 1,
            al_stripe_kib: 32,
            node_id: None,
            current: JUST_CREATED,
            flags,
            peers: vec![PeerMetadata::default(); NODE_IDS as usize],
            history: vec![0; if version == DrbdKind::V9 { HISTORY } else { 2 }],
            size_kib: 0,
            device_uuid,
            since_day0: Ranges::default(),
        }
    }

    /// The bytes that `read_at` returns: DRBD's magic.
    pub(crate) fn superblock(&self) -> Vec<u8> {
        let mut bytes = vec![0_u8; BLOCK_BYTES as usize];
        bytes[0..8].copy_from_slice(&self.size_kib.wrapping_mul(2).to_be_bytes());
        bytes[8..16].copy_from_slice(&self.current.to_be_bytes());
        match self.version {
            DrbdKind::V9 => bytes[60..64].copy_from_slice(&0x8374_026D_u32.to_be_bytes()),
            DrbdKind::V84 => bytes[60..64].copy_from_slice(&0x8374_026B_u32.to_be_bytes()),
        }
        bytes
    }

    pub(crate) fn peer(&self, node_id: u32) -> &PeerMetadata {
        &self.peers[node_id as usize]
    }

    pub(crate) fn peer_mut(&mut self, node_id: u32) -> &mut PeerMetadata {
        &mut self.peers[node_id as usize]
    }

    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn set(&mut self, flag: u32, on: bool) {
        if on {
            self.flags |= flag
        } else {
            self.flags &= !flag
        }
    }

    pub(crate) fn push_history(&mut self, generation: u64) {
        let known = self.history.iter().any(|old| same(*old, generation));
        if generation & !PRIMARY_BIT == 0 || same(generation, JUST_CREATED) || known {
            return;
        }
        self.history.pop();
        self.history.insert(0, generation & !PRIMARY_BIT);
    }

    pub(crate) fn in_history(&self, generation: u64) -> bool {
        self.history.iter().any(|old| same(*old, generation))
    }

    /// Allocates a bitmap slot to a peer; it starts with all blocks written so far. False if there is no free slot.
    pub(crate) fn allocate(&mut self, node_id: u32) -> bool {
        if self.peer(node_id).allocated {
            return true;
        }
        let used = self.peers.iter().filter(|peer| peer.allocated).count();
        if used >= self.max_peers as usize {
            return false;
        }
        let since_day0 = self.since_day0.clone();
        let peer = self.peer_mut(node_id);
        peer.allocated = true;
        peer.out_of_sync.union(&since_day0);
        true
    }

    /// Frees a peer's slot and removes all data about the peer.
    pub(crate) fn forget(&mut self, node_id: u32) {
        let me = self.node_id;
        let day0 = self
            .peers
            .iter()
            .enumerate()
            .find(|(id, peer)| {
                Some(*id as u32) != me
                    && *id as u32 != node_id
                    && !peer.allocated
                    && peer.flags == 0
            })
            .map_or(0, |(_, peer)| peer.bitmap_uuid);
        *self.peer_mut(node_id) = PeerMetadata {
            bitmap_uuid: day0,
            ..PeerMetadata::default()
        };
    }

    /// Marks blocks as out of sync for a peer.
    pub(crate) fn dirty(&mut self, node_id: u32, start: u64, end: u64) {
        self.peer_mut(node_id).out_of_sync.insert(start, end);
    }

    /// Whether the next write needs a new generation: a peer that is not `in_touch` would not receive it, and its
    /// bitmap has no base generation yet.
    pub(crate) fn needs_generation(&self, in_touch: &[u32]) -> bool {
        let is_day0 = self.version == DrbdKind::V9
            && !same(self.current, JUST_CREATED)
            && self.history.iter().all(|old| *old == 0)
            && self.peers.iter().all(|peer| peer.bitmap_uuid == 0);
        let waiting = |(id, peer): (usize, &PeerMetadata)| {
            let id = id as u32;
            Some(id) != self.node_id
                && !in_touch.contains(&id)
                && peer.bitmap_uuid == 0
                && (peer.allocated || peer.flags & NODE_EXISTS != 0)
        };
        is_day0 || self.peers.iter().enumerate().any(waiting)
    }

    /// Starts a new generation. For peers that are not `in_touch` the old one becomes the base of their bitmap; a base
    /// that is older covers the newer changes as well.
    pub(crate) fn new_generation(&mut self, in_touch: &[u32], fresh: u64) {
        let was_created = same(self.current, JUST_CREATED);
        let previous = if was_created {
            fresh ^ 0x5555_5555_0000
        } else {
            self.current
        };
        let me = self.node_id;
        for (id, peer) in self.peers.iter_mut().enumerate() {
            let id = id as u32;
            if Some(id) != me && !in_touch.contains(&id) && peer.bitmap_uuid == 0 {
                peer.bitmap_uuid = previous & !PRIMARY_BIT;
            }
        }
        self.current = fresh & !PRIMARY_BIT;
    }
}

/// Whether two generation ids are the same generation.
pub(crate) fn same(a: u64, b: u64) -> bool {
    a & !PRIMARY_BIT == b & !PRIMARY_BIT
}

/// Size of internal metadata in KiB, for a device (with the metadata on it) of this size.
pub(crate) fn internal_kib(device_kib: u64, max_peers: u32, al_kib: u64) -> u64 {
    let per_peer_bytes = device_kib.div_ceil(4).div_ceil(8).next_multiple_of(8);
    let bitmap_kib = (per_peer_bytes * u64::from(max_peers))
        .div_ceil(1024)
        .next_multiple_of(4);
    bitmap_kib + al_kib + 4
}

impl Metadata {
    pub(crate) fn internal_kib(&self, device_kib: u64) -> u64 {
        let al_kib = u64::from(self.al_stripes) * u64::from(self.al_stripe_kib);
        internal_kib(device_kib, self.max_peers, al_kib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as real tools make them for a device of 100 MiB: 102340 KiB with 7 peers, 102360 KiB with one.
    #[test]
    fn sizes_match_real_devices() {
        assert_eq!(102_400 - internal_kib(102_400, 7, 32), 102_340);
        assert_eq!(102_400 - internal_kib(102_400, 1, 32), 102_360);
    }
}
