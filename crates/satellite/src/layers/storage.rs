//! The lowest layer: volumes in storage pools.

use std::sync::Arc;

use linstor_api::code;
use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_api::name::{ResourceName, StoragePoolName};
use linstor_wire::Key;
use linstor_wire::spec::{
    Action, ResourceSpec, SnapshotSource, StorageRef, StorageSpec, VolumeSpec,
};
use uuid::Uuid;

use super::{Attempt, Devices, is_replicated};
use crate::check::{PoolPlace, pool_place};
use crate::failure::{Failure, Result};
use crate::providers::{self, Backing, Owner, Presence, SnapshotOf, Wanted};
use crate::shared::{Shared, VolumeFacts};
use crate::spec_store::{Notes, Stage};
use crate::stop;

/// The name of a backing volume in its pool.
pub fn volume_name(resource: &ResourceName, suffix: StorageSuffix, number: u32) -> String {
    format!("{resource}{suffix}_{number:05}")
}

/// Whose this resource's volumes are.
pub(super) fn owner(attempt: &Attempt<'_>) -> Owner {
    Owner {
        cluster: attempt.node.cluster_id,
        resource: attempt.spec.storage_owner(),
    }
}

/// Where a pool of the node is.
pub(super) fn place(attempt: &Attempt<'_>, pool: &StoragePoolName) -> Result<PoolPlace> {
    let found = attempt.node.pools.iter().find(|p| p.name == *pool);
    match found {
        Some(spec) => pool_place(spec),
        None => Err(Failure::new(
            code::FAIL_NOT_FOUND_STOR_POOL,
            format!("Storage pool '{pool}' is not known to this node."),
        )),
    }
}

/// The snapshot that the backing volume with the data is made of, while it is being made. One that was in use and is lost
/// is not made of it again: its content is older than that of the peers.
pub fn source<'a>(attempt: &'a Attempt<'_>, number: u32) -> Option<&'a SnapshotSource> {
    instruction(attempt, number).map(|(_, source)| source)
}

/// The same, with the id of the instruction.
fn instruction<'a>(attempt: &'a Attempt<'_>, number: u32) -> Option<(Uuid, &'a SnapshotSource)> {
    let mut once = attempt.spec.once.iter().filter(|i| i.volume == number);
    let source = once.find_map(|instruction| match &instruction.action {
        Action::RestoreSnapshot(source) => Some((instruction.id, source)),
        Action::NewGeneration | Action::MakeFileSystem { .. } | Action::ChangeLuksKey { .. } => {
            None
        }
    });
    source.filter(|_| attempt.stage(number) == Some(Stage::New))
}

/// Makes sure that the volumes that should be up have their devices.
pub async fn up(attempt: &Attempt<'_>) -> stop::Result<Devices> {
    let mut devices = Devices::new();
    let mut first_failure = None;
    let mut copied = Vec::new();
    for volume in attempt.live_volumes() {
        for (suffix, wanted) in &volume.storage {
            attempt.go_on()?;
            match ensure(attempt, volume, *suffix, wanted).await {
                Ok((backing, copy)) => {
                    note_facts(attempt, volume.number, *suffix, Some(&backing));
                    copied.extend(copy.map(|id| (volume.number, id)));
                    devices.insert((volume.number, *suffix), backing);
                }
                // A failure of one volume does not keep the others down.
                Err(failure) => first_failure = first_failure.or(Some(failure)),
            }
        }
    }
    if let Some(failure) = first_failure {
        return Err(failure.into());
    }
    for (number, id) in copied {
        attempt.copied(number, id).await?;
        attempt
            .note_volume(number, |notes| notes.copied = Some(id))
            .await?;
        attempt.completed(LayerKind::Storage, number).await?;
    }
    Ok(devices)
}

async fn ensure(
    attempt: &Attempt<'_>,
    volume: &VolumeSpec,
    suffix: StorageSuffix,
    wanted: &StorageSpec,
) -> Result<(Backing, Option<Uuid>)> {
    let place = place(attempt, &wanted.pool)?;
    let name = volume_name(&attempt.spec.name, suffix, volume.number);
    let storage = attempt.shared.storage();
    let (stage, found) = begin(attempt, volume.number, suffix, &place, &name).await?;
    let size_kib = match found {
        Some(found) if volume.fixed_size => wanted.size_kib.min(found.size_kib),
        Some(_) | None => wanted.size_kib,
    };
    let instruction = instruction(attempt, volume.number).filter(|_| suffix == StorageSuffix::Data);
    // No thick volume can be made of a snapshot: the data is copied into an empty one.
    let copy = instruction.filter(|_| matches!(place, PoolPlace::Lvm { .. }));
    let is_copied = match copy {
        Some((id, _)) if noted_copy(attempt, volume.number) == Some(id) => {
            let found = providers::find(storage, &place, &name, owner(attempt)).await?;
            matches!(found, Presence::Present(_))
        }
        Some(_) | None => false,
    };
    let is_filled = is_copied || copy.is_some_and(|(id, _)| attempt.copies(volume.number, id));
    let source = instruction.map(|(_, source)| source);
    let source_name = source.map(|of| volume_name(&of.resource, suffix, volume.number));
    let cluster = attempt.node.cluster_id;
    let wanted = Wanted {
        name: &name,
        size_kib,
        owner: owner(attempt),
        props: &wanted.props,
        // What was copied, or is at present, is not wiped.
        is_new: stage != Stage::Ready && !is_filled,
        source: source
            .zip(source_name.as_deref())
            .map(|(of, name)| SnapshotOf {
                volume: name,
                volume_owner: Owner {
                    cluster,
                    resource: of.resource_uuid,
                },
                snapshot: of.snapshot.as_str(),
                owner: Owner {
                    cluster,
                    resource: of.snapshot_uuid,
                },
                props: &wanted.props,
            }),
    };
    let of = wanted.source;
    let wanted = Wanted {
        source: of.filter(|_| copy.is_none()),
        ..wanted
    };
    let backing = providers::ensure(storage, &place, &wanted).await?;
    if wanted.is_new {
        attempt.shared.space_unsettled();
    }
    if let (Some((id, _)), Some(of), false) = (copy, of, is_copied) {
        let Presence::Present(snapshot) = providers::find_snapshot(storage, &place, &of).await?
        else {
            let message = format!("The snapshot that '{name}' is made of is not on this node.");
            return Err(Failure::new(code::FAIL_NOT_FOUND_SNAPSHOT, message));
        };
        if let PoolPlace::Lvm { vg } = &place {
            providers::lvm::activate(storage, vg, &of.name()).await?;
        }
        attempt.begin_copy(volume.number, id, &snapshot.path, &backing.path);
        return Ok((backing, Some(id)));
    }
    if stage != Stage::Ready {
        attempt.completed(LayerKind::Storage, volume.number).await?;
    }
    Ok((backing, None))
}

/// The instruction by which the content of a volume was copied.
fn noted_copy(attempt: &Attempt<'_>, number: u32) -> Option<Uuid> {
    attempt.notes().volumes.get(&number)?.copied
}

/// How far the creation of a volume is, and the volume if it is in use. It is written down before anything is made:
/// after a crash the volume is known to hold no data.
async fn begin(
    attempt: &Attempt<'_>,
    number: u32,
    suffix: StorageSuffix,
    place: &PoolPlace,
    name: &str,
) -> Result<(Stage, Option<Backing>)> {
    let stage = attempt.stage(number);
    if let Some(stage @ (Stage::New | Stage::Replacement)) = stage {
        return Ok((stage, None));
    }
    let storage = attempt.shared.storage();
    let mut presence = providers::find(storage, place, name, owner(attempt)).await?;
    if presence == Presence::Absent && attempt.spec.shared.is_some() {
        // Another node may have made it since the pool was last queried.
        storage.observations.all_unknown().await;
        presence = providers::find(storage, place, name, owner(attempt)).await?;
    }
    match presence {
        Presence::Present(found) => return Ok((Stage::Ready, Some(found))),
        // It is not known whether the volume is there; the provider fails with what is missing.
        Presence::PoolAbsent => return Ok((Stage::Ready, None)),
        Presence::Foreign(failure) => return Err(failure),
        Presence::Absent => {}
    }
    let next = match stage {
        None | Some(Stage::New | Stage::Replacement) => Stage::New,
        Some(Stage::Ready | Stage::Released) => {
            may_replace(attempt, suffix, place, name)?;
            tracing::warn!(
                name,
                "a volume that was in use does not exist any more; it is created again and synchronised"
            );
            Stage::Replacement
        }
    };
    attempt.set_stage(number, next).await?;
    Ok((next, None))
}

/// A volume that was in use is created again only if its content comes from a peer: that of data, not that of metadata
/// whose data still exists. A FILE pool's file system may just not be mounted.
fn may_replace(
    attempt: &Attempt<'_>,
    suffix: StorageSuffix,
    place: &PoolPlace,
    name: &str,
) -> Result<()> {
    let from_peer = suffix == StorageSuffix::Data && is_replicated(attempt.spec);
    if from_peer && !matches!(place, PoolPlace::File { .. }) {
        return Ok(());
    }
    Err(Failure::new(
        code::FAIL_INVLD_RSC_STATE,
        format!("Volume '{name}' was in use and does not exist any more."),
    )
    .cause(
        "It was not the satellite that removed it, or the disks of its storage pool are missing.",
    )
    .correction("Restore it, or delete the resource on this node and create it again."))
}

/// A backing volume, if it is there.
pub async fn find(attempt: &Attempt<'_>, volume: &StorageRef) -> Result<Option<Backing>> {
    let name = volume_name(&attempt.spec.name, volume.suffix, volume.number);
    let place = place(attempt, &volume.pool)?;
    let storage = attempt.shared.storage();
    match providers::find(storage, &place, &name, owner(attempt)).await? {
        Presence::Absent | Presence::PoolAbsent | Presence::Foreign(_) => Ok(None),
        Presence::Present(backing) => Ok(Some(backing)),
    }
}

/// Has the devices of backing volumes disappear that another node may come to use.
pub async fn down(attempt: &Attempt<'_>) -> Result<()> {
    if attempt.spec.shared.is_none() {
        return Ok(());
    }
    for volume in own_volumes(attempt.spec) {
        release(attempt, &volume).await?;
        // What another node writes meanwhile must not be taken for a volume that is still to be made here.
        let is_begun = matches!(
            attempt.stage(volume.number),
            Some(Stage::New | Stage::Replacement)
        );
        if is_begun {
            let forget = |notes: &mut Notes| {
                notes.volumes.remove(&volume.number);
            };
            attempt.note(forget).await?;
        }
    }
    Ok(())
}

async fn release(attempt: &Attempt<'_>, volume: &StorageRef) -> Result<()> {
    let place = place(attempt, &volume.pool)?;
    let name = volume_name(&attempt.spec.name, volume.suffix, volume.number);
    let released = providers::release(attempt.shared.storage(), &place, &name, owner(attempt));
    released.await.map_err(|failure| match failure.code() {
        code::FAIL_IN_USE => in_use(attempt, failure),
        _ => failure,
    })
}

/// Whether the backing volumes of a resource that is down exist, for its status only.
pub async fn observe(attempt: &Attempt<'_>) -> Result<()> {
    for volume in own_volumes(attempt.spec) {
        let mut found = find(attempt, &volume).await?;
        if let (Some(found), true) = (&mut found, attempt.spec.shared.is_some()) {
            found.path.clear();
        }
        note_facts(attempt, volume.number, volume.suffix, found.as_ref());
    }
    Ok(())
}

/// Takes over the space that backing volumes take in their pools now.
pub async fn observe_allocated(shared: &Shared) {
    let (node, resources) = {
        let state = shared.state();
        let Some(node) = state.node().cloned() else {
            return;
        };
        let resources = state.resources();
        let resources = resources.map(|(key, spec)| (key.clone(), Arc::clone(spec)));
        (node, resources.collect::<Vec<_>>())
    };
    for place in node.pools.iter().filter_map(|pool| pool_place(pool).ok()) {
        if let Err(failure) = providers::reap(shared.storage(), &place, node.cluster_id).await {
            tracing::debug!(%failure, "what was marked for deletion is still there");
        }
    }
    for (key, spec) in resources {
        for volume in own_volumes(&spec) {
            let pool = node.pools.iter().find(|pool| pool.name == volume.pool);
            let Some(Ok(place)) = pool.map(pool_place) else {
                continue;
            };
            let name = volume_name(&spec.name, volume.suffix, volume.number);
            let owner = Owner {
                cluster: node.cluster_id,
                resource: spec.storage_owner(),
            };
            let found = providers::find(shared.storage(), &place, &name, owner).await;
            if let Ok(Presence::Present(backing)) = found {
                note_allocated(shared, &key, (volume.number, volume.suffix), &backing);
            }
        }
    }
}

/// Only of a volume that is known: one that is being made or destroyed is no business of whoever looks at the pool.
fn note_allocated(shared: &Shared, key: &Key, volume: (u32, StorageSuffix), backing: &Backing) {
    let mut state = shared.state();
    let tracked = state.objects.get_mut(key);
    let Some(facts) = tracked.and_then(|tracked| tracked.volumes.get_mut(&volume)) else {
        return;
    };
    if facts.allocated_kib == backing.allocated_kib {
        return;
    }
    facts.allocated_kib = backing.allocated_kib;
    state.outbox.status(key);
    drop(state);
    shared.outgoing.notify_one();
}

/// The backing volumes that a spec has.
pub fn own_volumes(spec: &ResourceSpec) -> impl Iterator<Item = StorageRef> {
    let volumes = spec.volumes.iter();
    volumes.flat_map(|volume| {
        let storage = volume.storage.iter();
        storage.map(|(suffix, storage)| StorageRef {
            number: volume.number,
            suffix: *suffix,
            pool: storage.pool.clone(),
        })
    })
}

/// Destroys a backing volume.
pub async fn remove(attempt: &Attempt<'_>, volume: &StorageRef) -> Result<()> {
    let StorageRef { number, suffix, .. } = *volume;
    attempt
        .shared
        .copies
        .stop(attempt.shared, attempt.key)
        .await;
    let place = place(attempt, &volume.pool)?;
    let name = volume_name(&attempt.spec.name, suffix, number);
    let storage = attempt.shared.storage();
    if attempt.spec.shared.is_some() {
        // Another node may have made it since the pool was last queried.
        storage.observations.all_unknown().await;
    }
    if attempt
        .spec
        .shared
        .as_ref()
        .is_some_and(|shared| shared.keep)
    {
        release(attempt, volume).await?;
    } else {
        providers::destroy(storage, &place, &name, owner(attempt))
            .await
            .map_err(|failure| match failure.code() {
                code::FAIL_IN_USE => in_use(attempt, failure),
                _ => failure,
            })?;
    }
    if suffix == StorageSuffix::Data {
        let change = |notes: &mut Notes| {
            notes.volumes.remove(&number);
        };
        attempt.note(change).await?;
    }
    note_facts(attempt, number, suffix, None);
    attempt.shared.space_unsettled();
    Ok(())
}

/// As the controller refuses what it knows to be in use.
pub fn in_use(attempt: &Attempt<'_>, failure: Failure) -> Failure {
    let (name, node) = (&attempt.spec.name, &attempt.node.name);
    let message = format!("Resource '{name}' is still in use on node '{node}'.");
    failure
        .context(code::FAIL_IN_USE, message)
        .details("Resource is mounted/in use.")
        .correction(format!("Un-mount resource '{name}' on the node '{node}'."))
        .about("RscDfn", name.as_str())
        .about("Node", node.as_str())
}

/// Stores what is known of a backing volume; a change is reported to the controller.
fn note_facts(
    attempt: &Attempt<'_>,
    number: u32,
    suffix: StorageSuffix,
    backing: Option<&Backing>,
) {
    let mut state = attempt.shared.state();
    let Some(tracked) = state.objects.get_mut(attempt.key) else {
        return;
    };
    let key = (number, suffix);
    let mut grown = false;
    let changed = match backing {
        None => tracked.volumes.remove(&key).is_some(),
        Some(backing) => {
            let facts = VolumeFacts {
                backing_device: Some(backing.path.clone()).filter(|path| !path.is_empty()),
                backing_kib: Some(backing.size_kib),
                allocated_kib: backing.allocated_kib,
            };
            let old = tracked.volumes.insert(key, facts.clone());
            let size_kib = old.as_ref().map(|old| old.backing_kib);
            grown = size_kib.is_some_and(|kib| kib != facts.backing_kib);
            old != Some(facts)
        }
    };
    if changed {
        state.outbox.status(attempt.key);
        drop(state);
        attempt.shared.outgoing.notify_one();
    } else {
        drop(state);
    }
    if grown {
        attempt.shared.space_unsettled();
    }
}
