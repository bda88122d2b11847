//! The guard of the last up-to-date copy: it is destroyed only if the whole resource definition is deleted.

use std::collections::BTreeMap;

use linstor_api::code;
use linstor_api::kind::{DrbdKind, LayerKind, StorageSuffix};
use linstor_wire::spec::{ResourceSpec, StorageRef, StorageSpec, Target};

use super::layer::{self, Disk, Disks};
use super::metadata;
use super::observed::Observed;
use super::status::DrbdResource;
use crate::failure::{Failure, Result};
use crate::layers::{self, Attempt, storage};
use crate::shared::Shared;
use crate::spec_store::{LastCopy, Notes, Stage};
use crate::stop::{self, Awaited, Check};

/// Why a replica is not removed.
const NOT_ELSEWHERE: &str = "No other connected node has all of its volumes up to date.";

/// Whether every volume that is up to date here is up to date on a connected peer, too.
pub fn verdict(resource: &DrbdResource) -> LastCopy {
    let only_here =
        |volume: &&u32| resource.is_up_to_date(**volume) && !resource.has_up_to_date_peer(**volume);
    if resource.devices.keys().any(|volume| only_here(&volume)) {
        LastCopy::Here
    } else {
        LastCopy::Elsewhere
    }
}

/// Notes what is known of other copies, for the time when DRBD is down and cannot be asked any more.
pub async fn remember(attempt: &Attempt<'_>, resource: &DrbdResource) -> Result<()> {
    if resource.devices.is_empty() {
        return Ok(());
    }
    let verdict = verdict(resource);
    let change = |notes: &mut Notes| notes.last_copy = Some(verdict);
    attempt.note(change).await
}

/// Before the resource is taken down for good, or destroyed: another node must have its data.
pub async fn guard(attempt: &Attempt<'_>) -> stop::Result<()> {
    let own = storage::own_volumes(attempt.spec);
    let all = own.chain(attempt.spec.destroy_storage.iter().cloned());
    guard_storage(attempt, &all.collect::<Vec<_>>()).await
}

/// Before DRBD comes up without the disks that it is to give up: another node must have their data. Once DRBD is up it
/// is asked about each disk anyway.
pub async fn guard_disks(attempt: &Attempt<'_>) -> stop::Result<()> {
    let disks = &attempt.spec.destroy_storage;
    if disks.is_empty() {
        return Ok(());
    }
    match layer::known(attempt).await? {
        Observed::Present(_) if !attempt.has_begun(Awaited::Peer) => Ok(()),
        Observed::Present(_) | Observed::Absent | Observed::Unknown => {
            guard_storage(attempt, disks).await
        }
    }
}

/// Before a disk is detached from DRBD that is up.
pub fn guard_attached(attempt: &Attempt<'_>) -> Result<()> {
    match attempt.shared.observed_drbd.get(&attempt.spec.name) {
        Observed::Present(resource)
            if !attempt.spec.allow_last_copy && verdict(&resource) == LastCopy::Here =>
        {
            Err(refused(attempt, NOT_ELSEWHERE))
        }
        Observed::Present(_) | Observed::Absent | Observed::Unknown => Ok(()),
    }
}

async fn guard_storage(attempt: &Attempt<'_>, storage: &[StorageRef]) -> stop::Result<()> {
    if attempt.spec.allow_last_copy {
        return Ok(());
    }
    let mut disks = present(attempt, storage).await?;
    if disks.is_empty() {
        return Ok(());
    }
    if attempt.drbd.is_some() {
        let is_known = |seen: &Observed| *seen != Observed::Unknown;
        attempt.wait_for_drbd(Awaited::DrbdState, is_known).await?;
    }
    match attempt.shared.observed_drbd.get(&attempt.spec.name) {
        Observed::Present(_) if attempt.has_begun(Awaited::Peer) => {
            return ask_peers(attempt).await;
        }
        Observed::Present(resource) => match verdict(&resource) {
            LastCopy::Elsewhere => return Ok(()),
            LastCopy::Here => return catch_up(attempt, &resource).await,
        },
        Observed::Unknown | Observed::Absent => {}
    }
    // DRBD is down, after a reboot in the middle of a deletion for example: only the notes and the metadata are left to
    // decide.
    let ask = match attempt.notes().last_copy {
        Some(LastCopy::Elsewhere) => return Ok(()),
        // A peer that was not up to date then may be now, or become so from this replica.
        Some(LastCopy::Here) => true,
        None => {
            disks.retain(|number, _| matches!(attempt.stage(*number), None | Some(Stage::Ready)));
            false
        }
    };
    if disks.is_empty() {
        return Ok(());
    }
    let spec = with_disks(attempt.spec, storage, &disks);
    let up = attempt.with_spec(&spec);
    let below = layers::up_below(&up, Some(LayerKind::Drbd)).await?;
    if !ask && !any_holds_data(attempt, &Disk::all(&below)).await? {
        return Ok(());
    }
    if let Some(drbd) = spec.drbd() {
        attempt.begin_wait(Awaited::Peer);
        layer::up(&up, drbd, &below).await?;
    }
    ask_peers(attempt).await
}

/// Waits until a connected peer that is behind has caught up; refuses if there is none.
async fn catch_up(attempt: &Attempt<'_>, resource: &DrbdResource) -> stop::Result<()> {
    let only_here =
        |number: &&u32| resource.is_up_to_date(**number) && !resource.has_up_to_date_peer(**number);
    let Some(number) = resource.devices.keys().find(only_here).copied() else {
        return Ok(());
    };
    let what = Awaited::Resync(number);
    if !resource.has_peer_behind(number) && !attempt.has_begun(what) {
        return Err(refused(attempt, NOT_ELSEWHERE).into());
    }
    let name = attempt.spec.name.clone();
    let caught_up = move |shared: &Shared| match shared.observed_drbd.get(&name) {
        Observed::Present(now) if now.is_syncing() => Check::NotYet(now.done_hundredths(number)),
        Observed::Present(now) => Check::of(now.has_up_to_date_peer(number)),
        Observed::Unknown | Observed::Absent => Check::NotYet(None),
    };
    match attempt.wait(what, caught_up).await? {
        true => Ok(()),
        false => Err(refused(attempt, NOT_ELSEWHERE).into()),
    }
}

/// Waits until a peer has the data; DRBD is up for that.
async fn ask_peers(attempt: &Attempt<'_>) -> stop::Result<()> {
    let elsewhere = |seen: &Observed| match seen {
        Observed::Present(resource) => verdict(resource) == LastCopy::Elsewhere,
        Observed::Unknown | Observed::Absent => false,
    };
    match attempt.wait_for_drbd(Awaited::Peer, elsewhere).await? {
        true => Ok(()),
        false => Err(refused(attempt, NOT_ELSEWHERE).into()),
    }
}

/// Those of the disks that are still there.
async fn present(attempt: &Attempt<'_>, storage: &[StorageRef]) -> Result<Disks> {
    let mut disks = Disks::new();
    let of = |suffix| storage.iter().filter(move |v| v.suffix == suffix);
    for volume in of(StorageSuffix::Data) {
        if let Some(data) = storage::find(attempt, volume).await? {
            disks.insert(volume.number, Disk { data, meta: None });
        }
    }
    for volume in of(StorageSuffix::DrbdMeta) {
        if let Some(disk) = disks.get_mut(&volume.number) {
            disk.meta = storage::find(attempt, volume).await?;
        }
    }
    Ok(disks)
}

async fn any_holds_data(attempt: &Attempt<'_>, disks: &Disks) -> Result<bool> {
    for (number, disk) in disks {
        if holds_data(attempt, *number, disk).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether data was written to a volume since day 0, by its metadata.
async fn holds_data(attempt: &Attempt<'_>, number: u32, disk: &Disk) -> Result<bool> {
    let Some(volume) = attempt.spec.drbd().and_then(|drbd| drbd.volume(number)) else {
        return Ok(false);
    };
    let kind = attempt.drbd.as_ref().map_or(DrbdKind::Drbd9, |d| d.kind);
    let place = disk.metadata(kind, volume.minor);
    let day0 = u64::from_str_radix(&volume.day0_gi, 16).unwrap_or(0);
    let ids = metadata::read(&attempt.shared.machine, &place).await?;
    Ok(ids.is_some_and(|ids| {
        ids.up_to_date && !ids.is_just_created() && ids.current & !1 != day0 & !1
    }))
}

/// The resource as it was with these disks, which need nothing but to be there.
fn with_disks(spec: &ResourceSpec, storage: &[StorageRef], disks: &Disks) -> ResourceSpec {
    let mut spec = spec.clone();
    spec.target = Target::Up;
    spec.destroy_storage.clear();
    spec.once.clear();
    spec.volumes.retain_mut(|volume| {
        volume.target = Target::Up;
        let own = storage.iter().filter(|v| v.number == volume.number);
        let own = own.map(|v| {
            let (pool, props) = (v.pool.clone(), BTreeMap::new());
            let size_kib = 0;
            (
                v.suffix,
                StorageSpec {
                    pool,
                    size_kib,
                    props,
                },
            )
        });
        volume.storage = own.collect();
        disks.contains_key(&volume.number)
    });
    if let Some(drbd) = spec.drbd_mut() {
        drbd.diskless = false;
        drbd.skip_disk = false;
        for volume in &mut drbd.volumes {
            volume.grow = false;
        }
    }
    spec
}

fn refused(attempt: &Attempt<'_>, cause: &str) -> Failure {
    let name = &attempt.spec.name;
    Failure::new(
        code::FAIL_INSUFFICIENT_REPLICA_COUNT,
        format!(
            "The replica of resource '{name}' on this node is not removed, as it may be the last up-to-date one."
        ),
    )
    .cause(cause)
    .correction(
        "Wait until another replica is up to date, or delete the whole resource definition.",
    )
    .about("RscDfn", name.as_str())
}

/// Refuses to destroy the disk that a replica without disk had, unless a connected peer has the volume up to date.
pub fn guard_diskless(attempt: &Attempt<'_>, number: u32) -> Result<()> {
    if attempt.spec.allow_last_copy {
        return Ok(());
    }
    match attempt.shared.observed_drbd.get(&attempt.spec.name) {
        Observed::Present(resource) if resource.has_up_to_date_peer(number) => Ok(()),
        Observed::Present(_) | Observed::Absent | Observed::Unknown => Err(refused(
            attempt,
            "No other connected node has this volume up to date.",
        )),
    }
}
