//! Layers: the size that each one adds, and the layers that may be below it. Sizes and stacks are folds over the layers
//! of a resource; DRBD 8.4 is [`drbd84`].

pub mod drbd;
pub mod drbd84;
pub mod luks;

use linstor_api::kind::{LayerKind, StorageSuffix};

use crate::{Resource, ResourceDefinition};

/// Backing volumes of one volume, and their sizes in KiB.
pub type Backing = Vec<(StorageSuffix, u64)>;

/// The layers that may be directly below a layer.
pub const fn below(layer: LayerKind) -> &'static [LayerKind] {
    use LayerKind::*;
    match layer {
        Drbd => drbd::BELOW,
        Nvme => &[Luks, Storage, Writecache, Cache, Bcache],
        Writecache => &[Nvme, Luks, Storage, Cache, Bcache],
        Cache => &[Nvme, Luks, Storage, Writecache, Bcache],
        Bcache => &[Nvme, Luks, Storage, Writecache],
        Luks => luks::BELOW,
        Storage => &[],
    }
}

/// The layers that this version implements.
pub const BUILDABLE: &[LayerKind] = &[LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage];

/// Rounds up; sizes near the end of the number range are not changed, as no volume is that large.
pub(crate) fn align_up(value: u64, to: u64) -> u64 {
    value.checked_next_multiple_of(to.max(1)).unwrap_or(value)
}

/// Usable size of a resource's volume, in KiB: that of its DRBD device once that is fixed, else what was asked for; 0 if
/// the volume does not exist.
pub fn usable_kib(definition: &ResourceDefinition, number: u32, resource: &Resource) -> u64 {
    let Some(volume) = definition.volumes.get(&number) else {
        return 0;
    };
    match volume.device_kib {
        Some(kib) if resource.layer_stack.contains(&LayerKind::Drbd) => kib,
        Some(_) | None if volume.gross_size => {
            net_kib(definition, number, resource, volume.size_kib)
        }
        Some(_) | None => volume.size_kib,
    }
}

/// What a backing volume of `kib` leaves above all layers, in KiB.
pub fn net_kib(definition: &ResourceDefinition, number: u32, resource: &Resource, kib: u64) -> u64 {
    let Some(volume) = definition.volumes.get(&number) else {
        return kib;
    };
    let layers = resource.layer_stack.iter().rev();
    layers.fold(kib, |kib, layer| match layer {
        LayerKind::Drbd => drbd::net_kib(definition, number, resource, kib),
        LayerKind::Luks => luks::net_kib(volume, kib),
        // Layers that are not implemented yet add nothing.
        LayerKind::Storage
        | LayerKind::Nvme
        | LayerKind::Writecache
        | LayerKind::Cache
        | LayerKind::Bcache => kib,
    })
}

/// The unit of a resource's backing volume with data, in KiB.
fn unit_kib(definition: &ResourceDefinition, number: u32, resource: &Resource) -> u64 {
    let own = resource.volumes.get(&number).map(|volume| volume.unit_kib);
    let known = definition.volumes.get(&number).map(|v| v.granularity_kib);
    let unit = own.filter(|kib| *kib > 0).or(known);
    unit.unwrap_or(0).max(4)
}

/// The backing volumes of a resource's volume, the data volume first; none for a diskless resource.
pub fn backing(definition: &ResourceDefinition, number: u32, resource: &Resource) -> Backing {
    let Some(volume) = definition.volumes.get(&number) else {
        return Backing::new();
    };
    if resource.is_diskless() {
        return Backing::new();
    }
    let usable_kib = usable_kib(definition, number, resource);
    let mut backing = vec![(StorageSuffix::Data, usable_kib)];
    for layer in &resource.layer_stack {
        match layer {
            LayerKind::Drbd => drbd::add_metadata(definition, number, resource, &mut backing),
            LayerKind::Luks => luks::add_headers(volume, &mut backing),
            LayerKind::Storage
            | LayerKind::Nvme
            | LayerKind::Writecache
            | LayerKind::Cache
            | LayerKind::Bcache => {}
        }
    }
    if volume.gross_size {
        backing[0].1 = match volume.device_kib {
            Some(_) => backing[0].1.max(volume.size_kib),
            None => volume.size_kib,
        };
    }
    let unit_kib = unit_kib(definition, number, resource);
    for (_, kib) in &mut backing {
        *kib = align_up(*kib, unit_kib);
    }
    backing
}

/// Size of the data volume, in KiB; 0 for a diskless resource.
pub fn data_kib(definition: &ResourceDefinition, number: u32, resource: &Resource) -> u64 {
    let backing = backing(definition, number, resource);
    backing.first().map_or(0, |(_, kib)| *kib)
}
