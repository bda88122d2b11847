//! The backing volumes of a resource that is down get the content of a snapshot.

use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_wire::spec::{RollBack, SnapshotSource, StorageRef, StorageSpec, Target, VolumeSpec};

use super::storage::{self, owner, place, volume_name};
use super::{Attempt, remove};
use crate::failure::{Failure, Result};
use crate::providers::{self, Backing, Owner, Presence, SnapshotOf, Wanted, in_use};
use crate::spec_store::{Notes, Stage};
use crate::stop;

/// Rolls all volumes back, unless that was done. Whatever interrupts it, it is done again from the start: the volumes are
/// not used before all nodes have done it.
pub async fn roll_back(attempt: &Attempt<'_>, wanted: &RollBack) -> stop::Result<()> {
    if attempt.notes().rolled_back.as_ref() == Some(wanted) {
        return Ok(());
    }
    check(attempt, wanted).await?;
    if wanted.prepare {
        return Ok(());
    }
    for volume in attempt.live_volumes() {
        attempt.go_on()?;
        for (suffix, own) in &volume.storage {
            match &wanted.to {
                Some(source) if wanted.in_place => {
                    return_to(attempt, volume, (*suffix, own), source).await?;
                }
                source => renew(attempt, volume, (*suffix, own), source.as_ref()).await?,
            }
        }
        let stage = match wanted.to {
            Some(_) => Stage::Ready,
            None => Stage::Replacement,
        };
        attempt.set_stage(volume.number, stage).await?;
    }
    // Those that came after the snapshot.
    let dropped = attempt.spec.volumes.iter();
    let dropped = dropped.filter(|volume| volume.target == Target::Destroyed);
    let dropped: Vec<StorageRef> = dropped.flat_map(storage_of).collect();
    remove(attempt, &dropped).await?;
    attempt.shared.space_unsettled();
    let note = |notes: &mut Notes| notes.rolled_back = Some(wanted.clone());
    Ok(attempt.note(note).await?)
}

fn storage_of(volume: &VolumeSpec) -> impl Iterator<Item = StorageRef> {
    volume.storage.iter().map(|(suffix, storage)| StorageRef {
        number: volume.number,
        suffix: *suffix,
        pool: storage.pool.clone(),
    })
}

/// Refuses where something uses a volume, or the snapshot is not there, before any volume is changed.
async fn check(attempt: &Attempt<'_>, wanted: &RollBack) -> Result<()> {
    for volume in storage::own_volumes(attempt.spec) {
        if let Some(backing) = storage::find(attempt, &volume).await? {
            let free = in_use::refuse(&attempt.shared.machine, &backing.path).await;
            free.map_err(|failure| storage::in_use(attempt, failure))?;
        }
    }
    let Some(source) = &wanted.to else {
        return Ok(());
    };
    for volume in attempt.live_volumes() {
        for (suffix, own) in &volume.storage {
            let name = volume_name(&source.resource, *suffix, volume.number);
            find(attempt, own, &snapshot_of(attempt, own, source, &name)).await?;
        }
    }
    Ok(())
}

fn snapshot_of<'a>(
    attempt: &Attempt<'_>,
    own: &'a StorageSpec,
    source: &'a SnapshotSource,
    name: &'a str,
) -> SnapshotOf<'a> {
    let owner = |resource| Owner {
        cluster: attempt.node.cluster_id,
        resource,
    };
    SnapshotOf {
        volume: name,
        volume_owner: owner(source.resource_uuid),
        snapshot: source.snapshot.as_str(),
        owner: owner(source.snapshot_uuid),
        props: &own.props,
    }
}

/// The snapshot of a volume, which must be there.
async fn find(attempt: &Attempt<'_>, own: &StorageSpec, of: &SnapshotOf<'_>) -> Result<Backing> {
    let place = place(attempt, &own.pool)?;
    match providers::find_snapshot(attempt.shared.storage(), &place, of).await? {
        Presence::Present(found) => Ok(found),
        Presence::Foreign(failure) => Err(failure),
        Presence::Absent | Presence::PoolAbsent => {
            let (volume, snapshot) = (of.volume, of.snapshot);
            let message = format!("Snapshot '{snapshot}' of volume '{volume}' does not exist.");
            Err(Failure::new(code::FAIL_NOT_FOUND_SNAPSHOT, message)
                .cause("It was not the satellite that removed it, or its storage pool is missing.")
                .correction("Delete the snapshot on this node; its resource then gets everything from a peer."))
        }
    }
}

/// Returns a volume to a snapshot in place.
async fn return_to(
    attempt: &Attempt<'_>,
    volume: &VolumeSpec,
    (suffix, own): (StorageSuffix, &StorageSpec),
    source: &SnapshotSource,
) -> Result<()> {
    let name = volume_name(&source.resource, suffix, volume.number);
    let of = SnapshotOf {
        volume_owner: owner(attempt),
        ..snapshot_of(attempt, own, source, &name)
    };
    let place = place(attempt, &own.pool)?;
    providers::roll_back(attempt.shared.storage(), &place, &of).await
}

/// Removes a volume, and makes it again of a snapshot if there is one.
async fn renew(
    attempt: &Attempt<'_>,
    volume: &VolumeSpec,
    (suffix, own): (StorageSuffix, &StorageSpec),
    source: Option<&SnapshotSource>,
) -> Result<()> {
    let number = volume.number;
    let pool = own.pool.clone();
    let old = StorageRef {
        number,
        suffix,
        pool,
    };
    storage::remove(attempt, &old).await?;
    // From now on the volume is one that was in use and is lost.
    attempt.set_stage(number, Stage::Replacement).await?;
    let Some(source) = source else {
        return Ok(());
    };
    let name = volume_name(&source.resource, suffix, number);
    let of = snapshot_of(attempt, own, source, &name);
    let snapshot = find(attempt, own, &of).await?;
    let wanted = Wanted {
        name: &name,
        // What is at its end, DRBD's metadata for example, remains there.
        size_kib: snapshot.size_kib,
        owner: owner(attempt),
        props: &own.props,
        is_new: false,
        source: Some(of),
    };
    let place = place(attempt, &own.pool)?;
    providers::ensure(attempt.shared.storage(), &place, &wanted).await?;
    Ok(())
}
