//! The DRBD layer: the calls of [`crate::layers`] for DRBD.

use std::collections::BTreeMap;

use linstor_api::code;
use linstor_api::drbd_state::DiskState;
use linstor_api::kind::{DrbdKind, LayerKind, StorageSuffix};
use linstor_wire::spec::{DrbdSpec, StorageRef, Target};

use super::adjust::{self, Configuration, Files, take_down};
use super::metadata::Place;
use super::observed::Observed;
use super::status::DrbdResource;
use super::{adm, ends, grow, last_copy, pinned, promotion, steps, v84};
use crate::failure::{Failure, Result};
use crate::layers::{Attempt, Devices, storage};
use crate::probe;
use crate::providers::Backing;
use crate::spec_store::{Notes, Stage};
use crate::stop::{self, Awaited};

/// What a volume's disk is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The device with the data.
    pub data: Backing,
    /// The device with the metadata, if that is external.
    pub meta: Option<Backing>,
}

/// Disks by volume number.
pub type Disks = BTreeMap<u32, Disk>;

impl Disk {
    /// Of what the layer below gives.
    pub fn all(below: &Devices) -> Disks {
        let data = below
            .iter()
            .filter(|((_, suffix), _)| *suffix == StorageSuffix::Data);
        let disk = data.map(|((number, _), data)| {
            let meta = below.get(&(*number, StorageSuffix::DrbdMeta)).cloned();
            let data = data.clone();
            (*number, Disk { data, meta })
        });
        disk.collect()
    }

    /// Where its metadata is.
    pub fn metadata(&self, kind: DrbdKind, minor: u32) -> Place<'_> {
        Place {
            kind,
            minor,
            device: &self.meta.as_ref().unwrap_or(&self.data).path,
            external: self.meta.as_ref().map(|_| self.data.size_kib),
        }
    }
}

/// Refuses what this node's DRBD cannot do, to come up without a disk that may hold the last up-to-date copy, and to grow a
/// device whose metadata would not be found any more.
pub async fn check(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> stop::Result<()> {
    check_node(attempt, drbd)?;
    last_copy::guard_disks(attempt).await?;
    ends::note(attempt, drbd).await
}

fn check_node(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> Result<()> {
    let uname = attempt.shared.machine.host().uname().node;
    if drbd.uname != uname {
        // The controller may not know the new name yet.
        attempt.shared.doubts.notify_one();
        return Err(Failure::new(
            code::FAIL_INVLD_NODE_NAME,
            format!(
                "The name of this host is '{uname}', but the controller has '{}'.",
                drbd.uname
            ),
        )
        .cause("drbdadm finds its node's section of a resource by the name of the host.")
        .correction("The satellite reports the name when the controller connects; the resource is configured after that."));
    }
    v84::check(kind(attempt)?, attempt.spec, drbd)
}

/// Brings the resource up on the devices below.
pub async fn up(attempt: &Attempt<'_>, drbd: &DrbdSpec, below: &Devices) -> stop::Result<Devices> {
    let disks = Disk::all(below);
    let seen = known(attempt).await?;
    if pinned::is_any(drbd) && seen != Observed::Absent {
        grow::ask(attempt).await;
    }
    let config = Configuration::of(attempt, drbd, &disks)?;
    let before = match &seen {
        Observed::Present(resource) => Some(resource),
        Observed::Absent | Observed::Unknown => None,
    };
    if before.is_none() {
        steps::check_minors(attempt, drbd)?;
        steps::check_port(attempt, drbd).await?;
        // Once DRBD is up, the note on other copies from the last time it was taken down is out of date.
        let change = |notes: &mut Notes| notes.last_copy = None;
        attempt.note(change).await?;
    }
    promotion::end_left_over(attempt, config.kind, before).await?;
    steps::prepare_metadata(attempt, config.kind, drbd, &disks, before).await?;
    if let Some(resource) = before {
        detach_disks(attempt, &disks, resource).await?;
    }
    attempt.go_on()?;
    adjust::adjust(attempt, &config, before).await?;
    adjust::settle(attempt, &disks).await?;
    let devices = attempt.live_volumes().filter_map(|volume| {
        let device = Backing {
            path: format!("/dev/drbd{}", drbd.volume(volume.number)?.minor),
            size_kib: volume.usable_kib,
            allocated_kib: None,
        };
        Some(((volume.number, StorageSuffix::Data), device))
    });
    Ok(devices.collect())
}

/// Grows volumes whose backing devices have been grown everywhere.
pub async fn grow(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> stop::Result<()> {
    grow::ask_sizes(attempt).await;
    grow::grow(attempt, drbd, kind(attempt)?).await?;
    Ok(grow::remember_sizes(attempt, drbd).await?)
}

/// Refuses to give up the resource if no other node has its data.
pub async fn guard(attempt: &Attempt<'_>) -> stop::Result<()> {
    last_copy::guard(attempt).await
}

/// Before a backing volume of a resource that is not deleted is destroyed: if the resource becomes diskless, another
/// node must have the data now. The metadata is destroyed with the backing volume.
pub async fn remove(attempt: &Attempt<'_>, volume: &StorageRef) -> Result<()> {
    let is_disk = volume.suffix == StorageSuffix::Data && attempt.spec.target == Target::Up;
    let is_live = attempt.live_volumes().any(|v| v.number == volume.number);
    if !is_disk || !is_live || storage::find(attempt, volume).await?.is_none() {
        return Ok(());
    }
    last_copy::guard_diskless(attempt, volume.number)
}

/// Takes the resource down and removes its `.res` file, but neither metadata nor storage.
pub async fn down(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> stop::Result<()> {
    // A module that no probe has found yet can have the resource up.
    let may_be_up = attempt.drbd.is_some()
        || probe::module_version(&attempt.shared.machine)
            .await
            .is_some();
    if may_be_up && let Observed::Present(resource) = known(attempt).await? {
        // If an earlier attempt has begun to take it down, DRBD no longer shows all of it.
        let is_whole = !attempt.has_begun(Awaited::Down);
        if is_whole {
            last_copy::remember(attempt, &resource).await?;
        }
        if is_whole && attempt.spec.target == Target::Down {
            // Another node may have grown it since the last pass, and its devices may grow while it is down.
            grow::ask_sizes(attempt).await;
            grow::remember_sizes(attempt, drbd).await?;
        }
        take_down(attempt).await?;
    }
    Files::of(attempt).remove(attempt).await?;
    if let Some(tracked) = attempt.shared.state().objects.get_mut(attempt.key) {
        tracked.files_checked = None;
    }
    Ok(())
}

/// Takes a resource down that an earlier identity of the node had.
pub async fn end_former(attempt: &Attempt<'_>) -> stop::Result<()> {
    if attempt.drbd.is_some() && matches!(known(attempt).await?, Observed::Present(_)) {
        tracing::warn!(resource = %attempt.spec.name, "taken down: it is of an earlier identity of this node");
        take_down(attempt).await?;
    }
    Ok(())
}

/// The kind of the loaded module.
pub fn kind(attempt: &Attempt<'_>) -> Result<DrbdKind> {
    let info = attempt.drbd.as_ref().ok_or_else(|| {
        attempt.shared.doubts.notify_one();
        Failure::new(
            code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
            "This node has no DRBD.",
        )
        .cause(why_missing(attempt))
        .correction("Install drbd-utils and the kernel module, then run 'modprobe drbd'.")
    })?;
    Ok(info.kind)
}

/// Why the last probe found no DRBD.
fn why_missing(attempt: &Attempt<'_>) -> String {
    let state = attempt.shared.state();
    let reasons = state.info.unsupported_layers.get(&LayerKind::Drbd);
    reasons.map(|reasons| reasons.join(" ")).unwrap_or_else(|| {
        "The kernel module 'drbd' is not loaded, or drbd-utils are not installed.".to_owned()
    })
}

/// The resource in DRBD, once DRBD's state is known.
pub async fn known(attempt: &Attempt<'_>) -> stop::Result<Observed> {
    let name = &attempt.spec.name;
    let is_known = |seen: &Observed| *seen != Observed::Unknown;
    if attempt.wait_for_drbd(Awaited::DrbdState, is_known).await? {
        let seen = attempt.shared.observed_drbd.get(name);
        if seen == Observed::Absent {
            attempt.end_wait(Awaited::Down);
        }
        return Ok(seen);
    }
    Err(Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("The state of resource '{name}' in DRBD is not known."),
    )
    .cause("'drbdsetup events2' does not report it; the satellite starts that program again and again.")
    .correction("See the satellite's log for the reason.")
    .into())
}

/// Detaches the disks of volumes that are to be diskless, if another node has the data.
async fn detach_disks(attempt: &Attempt<'_>, disks: &Disks, resource: &DrbdResource) -> Result<()> {
    if attempt.skips_disk() {
        return Ok(());
    }
    for volume in attempt.live_volumes() {
        let Some(device) = resource.devices.get(&volume.number) else {
            continue;
        };
        if disks.contains_key(&volume.number) || device.disk == DiskState::Diskless {
            continue;
        }
        last_copy::guard_attached(attempt)?;
        adm::detach(&attempt.shared.machine, device.minor).await?;
        attempt.set_stage(volume.number, Stage::Released).await?;
    }
    Ok(())
}
