//! DRBD: the size of its metadata, and how new metadata is initialised.

use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_wire::spec::InitialState;

use super::{Backing, align_up, drbd84};
use crate::model::Model;
use crate::{Resource, ResourceDefinition, props};

/// The layers that may be directly below it.
pub const BELOW: &[LayerKind] = &[
    LayerKind::Nvme,
    LayerKind::Luks,
    LayerKind::Storage,
    LayerKind::Writecache,
    LayerKind::Cache,
    LayerKind::Bcache,
];

/// The smallest volume that DRBD replicates, in KiB.
pub const SIZE_KIB_MIN: u64 = 4;
/// The largest volume that DRBD replicates, in KiB: 1 PiB.
pub const SIZE_KIB_MAX: u64 = 1 << 40;
/// Size of DRBD's superblock, in KiB.
const SUPERBLOCK_KIB: u64 = 4;
/// Data per bit of DRBD's bitmap, in KiB.
const BITMAP_BLOCK_KIB: u64 = 4;
/// Minimum size of external metadata, in KiB, so that small volumes can grow without resizing it.
const EXTERNAL_MIN_KIB: u64 = 1024;

/// The parameters of the metadata's size, in addition to the size of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Number of peer slots.
    pub peer_slots: u32,
    /// Activity log stripes.
    pub al_stripes: u32,
    /// KiB per stripe.
    pub al_stripe_kib: u32,
}

impl Metadata {
    fn of(definition: &ResourceDefinition, resource: &Resource) -> Option<Self> {
        let common = definition.drbd.as_ref()?;
        Some(Metadata {
            peer_slots: resource.drbd.as_ref()?.peer_slots,
            al_stripes: common.al_stripes,
            al_stripe_kib: common.al_stripe_kib,
        })
    }

    /// Size of the metadata for a device of `kib`: bitmap, activity log and superblock.
    pub fn kib(self, kib: u64) -> u64 {
        let bits = kib.div_ceil(BITMAP_BLOCK_KIB);
        let per_peer_bytes = align_up(bits.div_ceil(8), 8);
        let bitmap_bytes = per_peer_bytes * u64::from(self.peer_slots);
        let bitmap_kib = align_up(bitmap_bytes.div_ceil(1024), 4);
        let activity_log_kib = u64::from(self.al_stripes) * u64::from(self.al_stripe_kib);
        align_up(bitmap_kib + activity_log_kib + SUPERBLOCK_KIB, 4)
    }

    /// Gross size of a device whose usable size, with internal metadata, is `net_kib`.
    pub fn gross_kib(self, net_kib: u64) -> u64 {
        let net_kib = align_up(net_kib, 4);
        let mut gross = net_kib;
        // The bitmap covers the gross size; the iteration converges quickly, since the bitmap is thousands of times
        // smaller.
        for _ in 0..64 {
            let next = net_kib + self.kib(gross);
            if next <= gross {
                break;
            }
            gross = next;
        }
        gross
    }

    /// Usable size of a device of `gross_kib` with internal metadata.
    pub fn net_kib(self, gross_kib: u64) -> u64 {
        let gross = gross_kib / 4 * 4;
        gross.saturating_sub(self.kib(gross))
    }
}

fn is_external(number: u32, resource: &Resource) -> bool {
    let volume = resource.volumes.get(&number);
    volume.is_some_and(|v| v.extra_storage.contains_key(&StorageSuffix::DrbdMeta))
}

/// Usable size, for the layer above, of a device of `kib`.
pub(super) fn net_kib(
    definition: &ResourceDefinition,
    number: u32,
    resource: &Resource,
    kib: u64,
) -> u64 {
    match Metadata::of(definition, resource) {
        Some(metadata) if !is_external(number, resource) => metadata.net_kib(kib),
        Some(_) => kib / 4 * 4,
        None => kib,
    }
}

/// Adds the metadata to the backing volumes: to the size of the data volume, or as a volume of its own.
pub(super) fn add_metadata(
    definition: &ResourceDefinition,
    number: u32,
    resource: &Resource,
    backing: &mut Backing,
) {
    let Some(metadata) = Metadata::of(definition, resource) else {
        return;
    };
    let data_kib = backing[0].1;
    if is_external(number, resource) {
        // DRBD uses the whole data device, and its bitmap covers it.
        let unit_kib = super::unit_kib(definition, number, resource);
        let kib = metadata.kib(align_up(data_kib, unit_kib));
        backing.push((StorageSuffix::DrbdMeta, kib.max(EXTERNAL_MIN_KIB)));
    } else {
        backing[0].1 = metadata.gross_kib(data_kib);
    }
}

/// The largest size, including rounding, of the internal metadata of a resource's replicas.
pub fn internal_metadata_kib(model: &Model, definition: &ResourceDefinition, number: u32) -> u64 {
    let replicas = model.resources_of(&definition.name);
    let internal = replicas.filter(|r| !r.is_diskless() && !is_external(number, r));
    let kib = internal.map(|replica| {
        let data_kib = super::data_kib(definition, number, replica);
        data_kib.saturating_sub(super::usable_kib(definition, number, replica))
    });
    kib.max().unwrap_or(0)
}

/// How new metadata is initialised if the replica does not start the data. The day-0 generation is used only if the new
/// backing volume has the content that those of all replicas had on day 0, zeros or that of a snapshot, and no full sync
/// is requested. With LUKS in
/// between, unwritten blocks are other noise on each node: as in LINSTOR that counts as equal, since a full sync would
/// allocate all of a thin volume.
pub fn initial_state(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    resource: &Resource,
) -> InitialState {
    let volume = resource.volumes.get(&number);
    let pool = volume.and_then(|volume| model.pool(&resource.node, &volume.pool));
    let common = definition.volumes.get(&number);
    let (initialized, restored) = common.map_or((false, false), |v| (v.initialized, v.restored));
    let as_on_day0 = match volume.and_then(|volume| volume.source.as_ref()) {
        Some(source) => source.equal,
        None => !restored && pool.is_none_or(|pool| pool.kind.new_volume_is_zero()),
    };
    if as_on_day0
        && !props::force_initial_sync(definition)
        && !(initialized && drbd84::bitmap_lost_day0(model, resource))
    {
        InitialState::SameAsDay0
    } else {
        InitialState::FullSync
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn metadata(peer_slots: u32, al_stripes: u32, al_stripe_kib: u32) -> Metadata {
        Metadata {
            peer_slots,
            al_stripes,
            al_stripe_kib,
        }
    }

    /// Metadata sizes from LINSTOR's tests.
    #[test]
    fn metadata_sizes_are_those_of_drbd() {
        assert_eq!(metadata(5, 1, 32).net_kib(2048), 2008);
        assert_eq!(metadata(15, 2, 64).gross_kib(2048), 2184);
        let large = metadata(11, 4, 2048).gross_kib(245_603_100);
        assert_eq!(large - 245_603_100, 90_676);
    }

    /// The usable size of the gross size is never less than the net size.
    #[test]
    fn gross_leaves_net() {
        for net in [4, 5, 100, 1 << 20, 1 << 30, 1 << 39] {
            for peers in [1, 7, 31] {
                let metadata = metadata(peers, 1, 32);
                let gross = metadata.gross_kib(net);
                assert!(metadata.net_kib(gross) >= net, "{net} {peers}");
            }
        }
    }
}
