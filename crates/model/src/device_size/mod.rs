//! The size of a volume's DRBD device. All resources of the definition have it, whatever the units of their pools are.
//!
//! It is fixed when the first resource with a disk is made: what its backing volume, rounded up to its unit, leaves. Each
//! later resource gets a backing volume that holds it. Where one holds more than another, the size is in the `.res` files
//! (`size` in section `disk`), because DRBD would take whatever all connected nodes have room for. A growth and a report
//! of a node that has more (somebody grew it by hand) change it; nothing makes it smaller.

use linstor_api::prop;

use crate::layer::{self, align_up, drbd84};
use crate::model::Model;
use crate::name::ResourceName;
use crate::process::resize::Resize;
use crate::{Draft, Observed, Resource, ResourceDefinition, VolumeDefinition};

/// Whether the device has exactly the size that was asked for (`DrbdOptions/ExactSize`). For a volume whose given size
/// is that of its backing volumes this has no meaning.
pub fn is_exact(definition: &ResourceDefinition, volume: &VolumeDefinition) -> bool {
    let value = definition.props.get(prop::DRBD_EXACT_SIZE);
    value.is_some_and(|value| prop::is_true(value)) && !volume.gross_size
}

/// The size that a node's `.res` file names, in KiB; none where DRBD determines it. While a volume grows it is the
/// size before: the node that grows DRBD sets the new one for all.
pub fn pinned_kib(model: &Model, definition: &ResourceDefinition, number: u32) -> Option<u64> {
    let volume = definition.volumes.get(&number)?;
    if is_exact(definition, volume) {
        return Some(volume.size_kib);
    }
    if !volume.pinned || drbd84::has_resource(model, &definition.name) {
        return None;
    }
    match model
        .resize_of(&definition.name, number)
        .map(|resize| resize.from)
    {
        Some(from) => from?.device_kib,
        None => volume.device_kib,
    }
}

/// The resources of a definition that replicate a volume on a disk.
fn replicas<'a>(
    model: &'a Model,
    name: &'a ResourceName,
    number: u32,
) -> impl Iterator<Item = &'a Resource> {
    let all = model.resources_of(name).map(|row| &**row);
    all.filter(move |row| {
        row.drbd.is_some() && !row.is_diskless() && row.volumes.contains_key(&number)
    })
}

/// What the backing volumes of a resource leave for the device, in KiB.
fn room_kib(definition: &ResourceDefinition, number: u32, resource: &Resource) -> u64 {
    let data_kib = layer::data_kib(definition, number, resource);
    layer::net_kib(definition, number, resource, data_kib)
}

/// Updates a definition for a resource that got a disk: fixes the size with the first one, and pins it where this one
/// has more room than the others, or may have.
pub(crate) fn note_replica(
    model: &Model,
    definition: &mut ResourceDefinition,
    number: u32,
    row: &Resource,
) {
    let Some(volume) = definition.volumes.get(&number) else {
        return;
    };
    if row.drbd.is_none() {
        return;
    }
    let exact_kib = is_exact(definition, volume).then_some(volume.size_kib);
    let name = definition.name.clone();
    let others: Vec<&Resource> = replicas(model, &name, number)
        .filter(|other| other.node != row.node)
        .collect();
    // Data that was on a device of that size needs it, whichever resource is the first.
    let is_fixed = !others.is_empty() || volume.restored;
    let mut device_kib = volume.device_kib.filter(|_| is_fixed);
    let mut pinned = volume.pinned && is_fixed;
    let mut without = definition.clone();
    if device_kib.is_none() {
        change(&mut without, number, |volume| volume.device_kib = None);
        let first = std::slice::from_ref(&row);
        let basis = if others.is_empty() { first } else { &others };
        let room = basis.iter().map(|row| room_kib(&without, number, row));
        device_kib = exact_kib.or(room.min());
    }
    change(&mut without, number, |volume| {
        volume.device_kib = device_kib
    });
    let is_unit_known = row.volumes[&number].unit_kib > 0;
    let differs = Some(room_kib(&without, number, row)) != device_kib || !is_unit_known;
    pinned |= differs && !others.is_empty();
    change(definition, number, |volume| {
        volume.device_kib = device_kib;
        volume.pinned = pinned;
    });
}

fn change(
    definition: &mut ResourceDefinition,
    number: u32,
    change: impl FnOnce(&mut VolumeDefinition),
) {
    if let Some(volume) = definition.volumes.get_mut(&number) {
        change(volume);
    }
}

/// The size of the device once a volume has grown to the size that `after` has: what all its resources have room for, at
/// most; none if it is not replicated.
pub fn after_growth(model: &Model, after: &ResourceDefinition, number: u32) -> Option<u64> {
    let volume = after.volumes.get(&number)?;
    let replicas = || replicas(model, &after.name, number);
    let mut asked = after.clone();
    change(&mut asked, number, |volume| volume.device_kib = None);
    let asked_kib = replicas().map(|row| layer::usable_kib(&asked, number, row));
    let asked_kib = align_up(asked_kib.min()?, 4);
    let least_kib = asked_kib.max(volume.device_kib.unwrap_or(0));
    if volume.pinned {
        return Some(least_kib);
    }
    change(&mut asked, number, |volume| {
        volume.device_kib = Some(least_kib);
    });
    replicas().map(|row| room_kib(&asked, number, row)).min()
}

/// Fixes the size of a device that is to grow, and pins it where it has several replicas: otherwise DRBD would grow by
/// itself on a node that comes back after its backing volume has grown, and would take the old place of its metadata for
/// equal on all replicas.
pub(crate) fn begin_growth(draft: &mut Draft, after: &ResourceDefinition, number: u32) {
    let device_kib = after_growth(draft, after, number);
    let pinned = device_kib.is_some() && replicas(draft, &after.name, number).nth(1).is_some();
    draft.edit_resource_definition(&after.name, |definition| {
        change(definition, number, |volume| {
            volume.device_kib = device_kib;
            volume.pinned |= pinned;
        });
    });
}

/// Takes a growth back: the volume has its size before. What nodes have grown remains so, so that resources may have
/// different room; DRBD must not take it. If DRBD has grown already, as nodes reported, that is its size.
pub(crate) fn withdraw(draft: &mut Draft, observed: &Observed, resize: &Resize) {
    let (name, number) = (&resize.resource, resize.volume);
    let Some(from) = resize.from else {
        return;
    };
    draft.edit_resource_definition(name, |definition| {
        change(definition, number, |volume| {
            volume.size_kib = from.size_kib;
            volume.gross_size = from.gross_size;
            volume.device_kib = from.device_kib;
            volume.pinned |= from.device_kib.is_some();
        });
    });
    let Some(definition) = draft.definitions.get(name) else {
        return;
    };
    let reported = replicas(draft, name, number).filter_map(|row| {
        let status = observed.resources.get(&(name.clone(), row.node.clone()))?;
        let volume = status.volumes.iter().find(|v| v.number == number)?;
        let sizes = (volume.backing_kib, volume.usable_kib);
        learned_kib(definition, number, row, sizes)
    });
    if let Some(kib) = reported.max() {
        learn(draft, name, number, kib);
    }
}

/// The size of a volume's device as its node reports it (sizes of the backing volume and of the device), if it is one to be
/// learned: both are larger than the definition knows. The device alone is larger where DRBD's metadata is smaller than
/// it could be.
pub fn learned_kib(
    definition: &ResourceDefinition,
    number: u32,
    row: &Resource,
    (backing_kib, device_kib): (Option<u64>, Option<u64>),
) -> Option<u64> {
    let volume = definition.volumes.get(&number)?;
    if row.drbd.is_none() || row.is_diskless() || is_exact(definition, volume) {
        return None;
    }
    let backing_kib = backing_kib?;
    if backing_kib <= layer::data_kib(definition, number, row) {
        return None;
    }
    let kib = device_kib?.min(layer::net_kib(definition, number, row, backing_kib));
    (volume.device_kib.is_none_or(|known| kib > known)).then_some(kib)
}

/// Without resources a volume has no device.
pub fn forget(draft: &mut Draft, name: &ResourceName, number: u32) {
    let is_known = draft.definitions.get(name).is_some_and(|row| {
        let volume = row.volumes.get(&number);
        volume.is_some_and(|volume| volume.device_kib.is_some())
    });
    if is_known {
        draft.edit_resource_definition(name, |definition| {
            change(definition, number, |volume| {
                volume.device_kib = None;
                volume.pinned = false;
            });
        });
    }
}

/// Stores a size that was learned: resources that are made later get backing volumes for it. Those that there are may have
/// been made larger by different amounts.
pub fn learn(draft: &mut Draft, name: &ResourceName, number: u32, kib: u64) {
    let pinned = replicas(draft, name, number).nth(1).is_some();
    draft.edit_resource_definition(name, |definition| {
        change(definition, number, |volume| {
            volume.device_kib = volume.device_kib.max(Some(kib));
            volume.pinned |= pinned;
        });
    });
}

#[cfg(test)]
mod tests;
