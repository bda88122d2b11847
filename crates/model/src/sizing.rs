//! Sizes: from what a user asked for to what the backing volume must have (spec core 6.3).

use crate::{Resource, ResourceDefinition, VolumeDefinition};

/// DRBD's superblock in KiB.
const SUPERBLOCK_KIB: u64 = 4;
/// What one bit of DRBD's bitmap stands for, in KiB.
const BITMAP_BLOCK_KIB: u64 = 4;

/// Rounds up; sizes near the end of the number range stay as they are, as no volume is that large.
fn align_up(value: u64, to: u64) -> u64 {
    value.checked_next_multiple_of(to.max(1)).unwrap_or(value)
}

/// Size of DRBD's internal metadata for a backing volume of `gross_kib`.
pub fn drbd_internal_metadata_kib(
    gross_kib: u64,
    peer_slots: u32,
    al_stripes: u32,
    al_stripe_kib: u32,
) -> u64 {
    let bits = gross_kib.div_ceil(BITMAP_BLOCK_KIB);
    let per_peer_bytes = align_up(bits.div_ceil(8), 8);
    let bitmap_kib = align_up((per_peer_bytes * u64::from(peer_slots)).div_ceil(1024), 4);
    let activity_log_kib = u64::from(al_stripes) * u64::from(al_stripe_kib);
    align_up(bitmap_kib + activity_log_kib + SUPERBLOCK_KIB, 4)
}

/// Size of the backing volume that leaves `net_kib` to users beside DRBD's internal metadata.
pub fn drbd_gross_kib(net_kib: u64, peer_slots: u32, al_stripes: u32, al_stripe_kib: u32) -> u64 {
    let net_kib = align_up(net_kib, 4);
    let mut gross = net_kib;
    // The bitmap covers the gross size: it converges within a few rounds, as it is thousands of times smaller.
    for _ in 0..64 {
        let next =
            net_kib + drbd_internal_metadata_kib(gross, peer_slots, al_stripes, al_stripe_kib);
        if next <= gross {
            break;
        }
        gross = next;
    }
    gross
}

/// What a backing volume of `gross_kib` leaves to users beside DRBD's internal metadata.
pub fn drbd_net_kib(gross_kib: u64, peer_slots: u32, al_stripes: u32, al_stripe_kib: u32) -> u64 {
    let gross = gross_kib / 4 * 4;
    gross.saturating_sub(drbd_internal_metadata_kib(
        gross,
        peer_slots,
        al_stripes,
        al_stripe_kib,
    ))
}

/// Size of the backing volume of a replica, in KiB; 0 for a diskless one.
pub fn backing_kib(
    definition: &ResourceDefinition,
    volume: &VolumeDefinition,
    resource: &Resource,
) -> u64 {
    let granularity = volume.granularity_kib.max(4);
    match (&resource.drbd, &definition.drbd) {
        (Some(drbd), _) if drbd.disk.is_diskless() => 0,
        (Some(drbd), Some(common)) if !volume.gross_size => align_up(
            drbd_gross_kib(
                volume.size_kib,
                drbd.peer_slots,
                common.al_stripes,
                common.al_stripe_kib,
            ),
            granularity,
        ),
        _ => align_up(volume.size_kib, granularity),
    }
}

/// Size that users of a replica's volume see, in KiB.
pub fn usable_kib(
    definition: &ResourceDefinition,
    volume: &VolumeDefinition,
    resource: &Resource,
) -> u64 {
    match (&resource.drbd, &definition.drbd) {
        (Some(drbd), Some(common)) if volume.gross_size => drbd_net_kib(
            volume.size_kib,
            drbd.peer_slots,
            common.al_stripes,
            common.al_stripe_kib,
        ),
        _ => volume.size_kib,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that the original's tests state (spec clients section 7, `MetaDataApiTest`).
    #[test]
    fn metadata_sizes_are_those_of_drbd() {
        assert_eq!(drbd_net_kib(2048, 5, 1, 32), 2008);
        assert_eq!(drbd_gross_kib(2048, 15, 2, 64), 2184);
        assert_eq!(
            drbd_gross_kib(245_603_100, 11, 4, 2048) - 245_603_100,
            90_676
        );
    }

    /// The gross size always leaves at least the net size.
    #[test]
    fn gross_leaves_net() {
        for net in [4, 5, 100, 1 << 20, 1 << 30, 1 << 39] {
            for peers in [1, 7, 31] {
                let gross = drbd_gross_kib(net, peers, 1, 32);
                assert!(drbd_net_kib(gross, peers, 1, 32) >= net, "{net} {peers}");
            }
        }
    }
}
