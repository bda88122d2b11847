//! Where internal metadata is while backing devices grow.
//!
//! It is at the end of a device. drbd-utils search it there, and where they last noted the end. DRBD moves it to the new end
//! of a device that has grown when it compares sizes with a peer, whether the volume grows or not, and notes nothing;
//! what it leaves behind can be read until it is overwritten. A device that then grows once more has its metadata at neither
//! place, or old metadata where the end was noted, which would be taken for its own. `drbdadm resize` notes the end also where
//! it has moved nothing, as a peer was away, and so does an `adjust` that resizes (docs/facts.md, DRBD). Hence the end is noted
//! before each growth of a device, if the metadata is there: from then on it is there, or at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use linstor_api::drbd_state::DiskState;
use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_wire::spec::{DrbdSpec, StorageRef};

use super::layer::{self, Disk};
use super::metadata::Place;
use super::observed::Observed;
use super::{adm, metadata, steps};
use crate::failure::Result;
use crate::layers::{self, Attempt, storage};
use crate::spec_store::{Stage, VolumeNotes};
use crate::stop;

/// Where drbd-utils note the end of a minor's device.
fn file(minor: u32) -> PathBuf {
    format!("/var/lib/drbd/drbd-minor-{minor}.lkbd").into()
}

/// Notes the present ends of devices that are about to grow, for drbd-utils and in the resource's own notes. Fails if a device
/// that DRBD does not have attached has no metadata: it is not grown then.
pub async fn note(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> stop::Result<()> {
    let growing = growing(attempt).await?;
    if growing.is_empty() {
        return Ok(());
    }
    let mut spec = attempt.spec.clone();
    spec.volumes
        .retain(|volume| growing.contains_key(&volume.number));
    // As large as they are.
    let storage = spec.volumes.iter_mut().flat_map(|v| v.storage.values_mut());
    storage.for_each(|storage| storage.size_kib = 0);
    let below = layers::up_below(&attempt.with_spec(&spec), Some(LayerKind::Drbd)).await?;
    let (kind, machine) = (layer::kind(attempt)?, &attempt.shared.machine);
    for (number, disk) in Disk::all(&below) {
        let Some(volume) = drbd.volume(number) else {
            continue;
        };
        let place = disk.metadata(kind, volume.minor);
        if growing.get(&number) == Some(&true) {
            if metadata::read(machine, &place).await?.is_none() {
                // It has grown before, and DRBD has not noticed: what was noted then counts.
                continue;
            }
            adm::check_resize(machine, volume.minor).await?;
        } else if find(attempt, number, &place).await? {
            metadata::note_end(machine, &place).await?;
        } else {
            return Err(steps::no_metadata(attempt, number, place.device).into());
        }
        let noted = steps::read_text(machine.host(), &file(volume.minor)).await?;
        let change = |notes: &mut VolumeNotes| notes.device_end = noted;
        attempt.note_volume(number, change).await?;
    }
    Ok(())
}

/// Whether a device that DRBD does not have attached has metadata. Moves internal metadata to its end from where that was
/// noted.
pub async fn find(attempt: &Attempt<'_>, number: u32, place: &Place<'_>) -> Result<bool> {
    let machine = &attempt.shared.machine;
    if metadata::read(machine, place).await?.is_some() {
        return Ok(true);
    }
    if place.external.is_some() {
        return Ok(false);
    }
    metadata::follow_growth(machine, place).await?;
    if metadata::read(machine, place).await?.is_some() {
        return Ok(true);
    }
    // drbdadm may have noted a later end, where none is.
    let notes = attempt.notes();
    let volume = notes.volumes.get(&number);
    let Some(noted) = volume.and_then(|volume| volume.device_end.as_ref()) else {
        return Ok(false);
    };
    let file = file(place.minor);
    let host = machine.host();
    host.write_atomic(&file, noted.as_bytes(), 0o600).await?;
    metadata::follow_growth(machine, place).await?;
    Ok(metadata::read(machine, place).await?.is_some())
}

/// Volumes with internal metadata whose devices are there and smaller than they should be, and whether DRBD has them attached.
async fn growing(attempt: &Attempt<'_>) -> stop::Result<BTreeMap<u32, bool>> {
    let mut growing = BTreeMap::new();
    if attempt.skips_disk() {
        return Ok(growing);
    }
    for volume in attempt.live_volumes() {
        let is_external = volume.storage.contains_key(&StorageSuffix::DrbdMeta);
        let stage = attempt.stage(volume.number);
        let is_empty = matches!(stage, Some(Stage::New | Stage::Replacement));
        let Some(wanted) = volume.storage.get(&StorageSuffix::Data) else {
            continue;
        };
        if volume.fixed_size || is_external || is_empty {
            continue;
        }
        let data = StorageRef {
            number: volume.number,
            suffix: StorageSuffix::Data,
            pool: wanted.pool.clone(),
        };
        let found = storage::find(attempt, &data).await?;
        if found.is_some_and(|found| found.size_kib < wanted.size_kib) {
            growing.insert(volume.number, false);
        }
    }
    if growing.is_empty() {
        return Ok(growing);
    }
    if let Observed::Present(resource) = layer::known(attempt).await? {
        for (number, device) in &resource.devices {
            if let Some(is_attached) = growing.get_mut(number) {
                *is_attached = device.disk != DiskState::Diskless;
            }
        }
    }
    Ok(growing)
}
