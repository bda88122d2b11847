//! LVM and LVM_THIN: logical volumes, marked with a tag.

use std::time::Duration;

use linstor_api::{code, unit};
use linstor_wire::spec::Props;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Backing, Owner, Presence, SnapshotOf, Space, Storage, Wanted, absent, appearance_limit,
    extra_options, foreign, in_use, lost, measure, no_room, no_snapshots, trouble,
};
use crate::failure::{Failure, Result};
use crate::tools::filesystem;
use crate::tools::lvm::{Change, LogicalVolume, NewVolume, VolumeGroup, mapped_name};
use crate::turns::Turn;

/// How old a query of free space may be: one query serves all pools of a volume group.
const SPACE_AGE_MAX: Duration = Duration::from_millis(200);
/// What our tags begin with.
pub(super) const TAG_PREFIX: &str = "linstor-rs.";

/// See [`super::find`].
pub async fn find(storage: Storage<'_>, vg: &str, name: &str, owner: Owner) -> Result<Presence> {
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let Some(group) = group.as_ref() else {
        return Ok(Presence::PoolAbsent);
    };
    let Some(volume) = group.volumes.get(name) else {
        return Ok(Presence::Absent);
    };
    let owned = check_owner(vg, name, volume, owner);
    Ok(Presence::of(backing(volume), owned))
}

/// See [`super::ensure`].
pub async fn ensure(
    storage: Storage<'_>,
    vg: &str,
    thin_pool: Option<&str>,
    wanted: &Wanted<'_>,
) -> Result<Backing> {
    if let Some(found) = as_wanted(storage, vg, wanted).await? {
        return Ok(found);
    }
    let _lock = storage.machine.lock(&format!("lvm/{vg}")).await;
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let found = group
        .as_ref()
        .as_ref()
        .and_then(|g| g.volumes.get(wanted.name));
    // What is only activated is changed on this node alone.
    let _turn = match found.is_none_or(|volume| volume.size_kib < wanted.size_kib) {
        true => turn(storage, vg).await?,
        false => None,
    };
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let group = group
        .as_ref()
        .as_ref()
        .ok_or_else(|| absent(&format!("Volume group '{vg}'")))?;
    let change = Change::of(storage.machine, vg, group);
    let done = bring_about(storage, vg, thin_pool, wanted, group, &change).await;
    if done.is_err() {
        storage.observations.lvm_unknown(vg).await;
    }
    done
}

/// Waits until no other node changes the volume group, whose state is unknown then if one may have.
async fn turn<'a>(storage: Storage<'a>, vg: &str) -> Result<Option<Turn<'a>>> {
    let random = || u128::from(storage.machine.host().random_u64());
    let id = Uuid::from_u128(random() << 64 | random());
    let turn = storage.machine.turns.take(vg, id).await?;
    if turn.is_some() {
        storage.observations.lvm_unknown(vg).await;
    }
    Ok(turn)
}

/// The volume, if nothing has to be done.
async fn as_wanted(storage: Storage<'_>, vg: &str, wanted: &Wanted<'_>) -> Result<Option<Backing>> {
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let Some(volume) = group
        .as_ref()
        .as_ref()
        .and_then(|g| g.volumes.get(wanted.name))
    else {
        return Ok(None);
    };
    check_owner(vg, wanted.name, volume, wanted.owner)?;
    let ready = volume.is_active() && volume.size_kib >= wanted.size_kib && !wanted.is_new;
    Ok(ready.then(|| backing(volume)))
}

async fn bring_about(
    storage: Storage<'_>,
    vg: &str,
    thin_pool: Option<&str>,
    wanted: &Wanted<'_>,
    group: &VolumeGroup,
    change: &Change<'_>,
) -> Result<Backing> {
    let what = format!("Logical volume '{vg}/{}'", wanted.name);
    let path = format!("/dev/{vg}/{}", wanted.name);
    match group.volumes.get(wanted.name) {
        None => create(vg, thin_pool, wanted, group, change)
            .await
            .map_err(|f| no_room(f, &format!("{what} cannot be created.")))?,
        Some(volume) => {
            check_owner(vg, wanted.name, volume, wanted.owner)?;
            let is_small = volume.size_kib < wanted.size_kib;
            if is_small && measure::now(storage, &path).await? < wanted.size_kib {
                let resized = change.resize(wanted.name, wanted.size_kib).await;
                resized.map_err(|f| no_room(f, &format!("{what} cannot be grown.")))?;
            }
            if !volume.is_active() {
                change.activate(wanted.name).await?;
            }
        }
    }
    let limit = appearance_limit(wanted.props);
    let size_kib = measure::device(storage, &path, wanted.size_kib, limit).await?;
    if wanted.is_new && thin_pool.is_none() {
        // Whatever was on these extents before must not be taken for a file system or for DRBD's metadata. A volume in
        // use was wiped by an attempt that did not come to its end.
        match in_use::refuse(storage.machine, &path).await {
            Ok(()) => filesystem::wipe(storage.machine, &path).await?,
            Err(failure) => tracing::info!(vg, name = wanted.name, %failure, "volume not wiped"),
        }
    }
    // What it takes does not change when it grows.
    let source = wanted.source.map(|source| source.name());
    let data_percent = thin_pool.map(|_| {
        let before = group.volumes.get(wanted.name);
        let before = before.or_else(|| group.volumes.get(&source?));
        let used_kib = before.map_or(0.0, |v| v.data_percent.unwrap_or(0.0) * v.size_kib as f64);
        used_kib / size_kib.max(1) as f64
    });
    let seen = LogicalVolume {
        path,
        size_kib,
        pool: thin_pool.map(str::to_owned),
        data_percent,
        metadata_percent: None,
        attr: "-wi-a-----".to_owned(),
        chunk_kib: 0,
        tags: [wanted.owner.tag()].into(),
    };
    let found = backing(&seen);
    let name = wanted.name.to_owned();
    let entered = |group: &mut VolumeGroup| {
        let kib = thick_kib(&seen);
        let before = group
            .volumes
            .insert(name, seen)
            .as_ref()
            .map_or(0, thick_kib);
        group.free_kib = group.free_kib.saturating_sub(kib.saturating_sub(before));
    };
    storage.observations.lvm_changed(vg, entered).await;
    Ok(found)
}

async fn create(
    vg: &str,
    thin_pool: Option<&str>,
    wanted: &Wanted<'_>,
    group: &VolumeGroup,
    change: &Change<'_>,
) -> Result<()> {
    if let Some(failure) = trouble::of_group(vg, group) {
        return Err(failure);
    }
    if let Some(source) = &wanted.source {
        return restore(vg, thin_pool, wanted, source, group, change).await;
    }
    // Metadata of copies and parity comes on top, which LVM finds.
    let needed_kib =
        u128::from(wanted.size_kib) * u128::from(1000 + overhead_permille(wanted.props)) / 1000;
    if thin_pool.is_none() && u128::from(group.free_kib) < needed_kib {
        let (needed, free) = (needed_kib, group.free_kib);
        let message =
            format!("Volume group '{vg}' has {free} KiB free, and {needed} KiB are needed.");
        return Err(Failure::new(code::FAIL_NOT_ENOUGH_FREE_SPACE, message));
    }
    if let Some(pool) = thin_pool {
        let found = group.volumes.get(pool).filter(|v| v.is_thin_pool());
        let found = found.ok_or_else(|| absent(&format!("Thin pool '{vg}/{pool}'")))?;
        // LVM activates a pool that is not active.
        let trouble = trouble::of_thin_pool(vg, pool, found).filter(|_| found.is_in_use());
        if let Some(failure) = trouble {
            return Err(failure);
        }
        if !found.zeroes() {
            // Replicas that were never synchronised must read the same where only one of them was written.
            change.zero_new_chunks(pool).await?;
        }
    }
    let tag = wanted.owner.tag();
    let segment_type = wanted.props.get("StorDriver/LvcreateType");
    if let Some(word) = segment_type {
        check_segment_type(word)?;
    }
    let new = NewVolume {
        name: wanted.name,
        size_kib: wanted.size_kib,
        thin_pool,
        tag: &tag,
        segment_type: segment_type.map(String::as_str),
        options: extra_options(wanted.props, "StorDriver/LvcreateOptions")?,
        devices: match thin_pool {
            Some(_) => Vec::new(),
            None => select_devices(vg, wanted, change).await?,
        },
    };
    change.create(&new).await
}

/// Makes a volume of a snapshot. It is in the snapshot's thin pool.
async fn restore(
    vg: &str,
    thin_pool: Option<&str>,
    wanted: &Wanted<'_>,
    source: &SnapshotOf<'_>,
    group: &VolumeGroup,
    change: &Change<'_>,
) -> Result<()> {
    let name = source.name();
    let what = format!("Snapshot '{vg}/{name}'");
    let snapshot = group.volumes.get(&name).ok_or_else(|| lost(&what))?;
    check_owner(vg, &name, snapshot, source.owner)?;
    if thin_pool.is_none() || snapshot.pool.as_deref() != thin_pool {
        let pool = snapshot.pool.as_deref().unwrap_or("none");
        return Err(Failure::new(
            code::FAIL_INVLD_STOR_DRIVER,
            format!("{what} cannot be restored in another thin pool."),
        )
        .cause(format!("It is in the thin pool '{pool}'.")));
    }
    change
        .restore(&name, wanted.name, &wanted.owner.tag())
        .await?;
    if snapshot.size_kib < wanted.size_kib {
        change.resize(wanted.name, wanted.size_kib).await?;
    }
    Ok(())
}

/// See [`super::take_snapshot`].
pub async fn take_snapshot(
    storage: Storage<'_>,
    vg: &str,
    pool: Option<&str>,
    of: &SnapshotOf<'_>,
) -> Result<Backing> {
    let name = of.name();
    let _lock = storage.machine.lock(&format!("lvm/{vg}")).await;
    let _turn = turn(storage, vg).await?;
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let group = group
        .as_ref()
        .as_ref()
        .ok_or_else(|| absent(&format!("Volume group '{vg}'")))?;
    if let Some(taken) = group.volumes.get(&name) {
        check_owner(vg, &name, taken, of.owner)?;
        return Ok(backing(taken));
    }
    let volume = group.volumes.get(of.volume);
    let volume = volume.ok_or_else(|| lost(&format!("Logical volume '{vg}/{}'", of.volume)))?;
    check_owner(vg, of.volume, volume, of.volume_owner)?;
    if volume.pool.as_deref() != pool {
        return Err(no_snapshots(of.volume));
    }
    let of_pool = || trouble::of_thin_pool(vg, pool?, group.volumes.get(pool?)?);
    if let Some(failure) = trouble::of_group(vg, group).or_else(of_pool) {
        return Err(failure);
    }
    let options = extra_options(of.props, "StorDriver/LvcreateSnapshotOptions")?;
    let path = format!("/dev/{vg}/{name}");
    let taken = async {
        let change = Change::of(storage.machine, vg, group);
        let tag = of.owner.tag();
        match pool {
            Some(_) => change.snapshot(of.volume, &name, &tag, options).await?,
            None => {
                let room_kib = copy_on_write_kib(volume.size_kib);
                change
                    .copy_on_write(of.volume, &name, room_kib, &tag)
                    .await?;
            }
        }
        measure::mapped(storage, &mapped_name(vg, &name), volume.size_kib).await
    };
    let size_kib = match taken.await {
        Ok(size_kib) => size_kib,
        Err(failure) => {
            storage.observations.lvm_unknown(vg).await;
            let what = format!("Snapshot '{vg}/{name}' cannot be taken.");
            return Err(no_room(failure, &what));
        }
    };
    if pool.is_none() {
        // LVM makes it no larger than it ever needs.
        storage.observations.lvm_unknown(vg).await;
    }
    let seen = LogicalVolume {
        path,
        size_kib,
        attr: "Vri-a-t--k".to_owned(),
        tags: [of.owner.tag()].into(),
        ..volume.clone()
    };
    let found = backing(&seen);
    let entered = |group: &mut VolumeGroup| {
        group.volumes.insert(name, seen);
    };
    storage.observations.lvm_changed(vg, entered).await;
    Ok(found)
}

/// Room for a copy-on-write snapshot whose volume is overwritten as a whole, with LVM's own tables.
fn copy_on_write_kib(size_kib: u64) -> u64 {
    const TABLES_KIB: u64 = 4096;
    size_kib + size_kib / 100 + TABLES_KIB
}

/// The physical volumes that a new volume may be on; none where it may be on all.
async fn select_devices(vg: &str, wanted: &Wanted<'_>, change: &Change<'_>) -> Result<Vec<String>> {
    const KEY: &str = "StorDriver/LvcreatePvSelection";
    let options = extra_options(wanted.props, KEY)?;
    if options.is_empty() {
        return Ok(Vec::new());
    }
    let devices = change.select_devices(options).await?;
    if devices.is_empty() {
        let message = format!("Property '{KEY}' selects no physical volume of '{vg}'.");
        return Err(Failure::new(code::FAIL_INVLD_PROP, message)
            .cause("A new volume is made on the physical volumes that it selects.")
            .correction(format!("Change property '{KEY}'.")));
    }
    Ok(devices)
}

fn check_segment_type(word: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !word.is_empty() && word.len() <= 32 && word.chars().all(plain) {
        return Ok(());
    }
    Err(Failure::new(
        code::FAIL_INVLD_PROP,
        "Property 'StorDriver/LvcreateType' cannot be used.",
    )
    .cause(format!("'{}' is not a segment type.", word.escape_debug())))
}

/// See [`super::destroy`].
pub async fn destroy(storage: Storage<'_>, vg: &str, name: &str, owner: Owner) -> Result<()> {
    let machine = storage.machine;
    if !matches!(find(storage, vg, name, owner).await?, Presence::Present(_)) {
        return Ok(());
    }
    let lock = machine.lock(&format!("lvm/{vg}")).await;
    let turn = turn(storage, vg).await?;
    let group = storage.observations.lvm(machine, vg).await?;
    let Some(group) = group.as_ref() else {
        return Ok(());
    };
    let Some(volume) = group.volumes.get(name) else {
        return Ok(());
    };
    check_owner(vg, name, volume, owner)?;
    let change = Change::of(machine, vg, group);
    let removed = async {
        if volume.is_active() {
            in_use::refuse(machine, &volume.path).await?;
        }
        // One with copy on write would take its origin with it.
        if volume.is_active() && !volume.is_copy_on_write() {
            // Fails if a process has opened it meanwhile. Its content is still untouched then.
            change.deactivate(name).await?;
        }
        change.remove(name).await
    };
    if let Err(failure) = removed.await {
        storage.observations.lvm_unknown(vg).await;
        return Err(failure.under(format!("Logical volume '{vg}/{name}' cannot be removed.")));
    }
    // Volumes that are removed at the same time are looked for with one query.
    let removed_at = Instant::now();
    drop((turn, lock));
    let observations = storage.observations;
    let group = observations.lvm_within(machine, vg, removed_at.elapsed());
    let is_there = |group: &VolumeGroup| group.volumes.contains_key(name);
    match group.await?.as_ref().as_ref().is_some_and(is_there) {
        true => Err(measure::still_there(&format!(
            "Logical volume '{vg}/{name}'"
        ))),
        false => Ok(()),
    }
}

/// See [`super::release`].
pub async fn release(storage: Storage<'_>, vg: &str, name: &str, owner: Owner) -> Result<()> {
    let machine = storage.machine;
    if !matches!(find(storage, vg, name, owner).await?, Presence::Present(_)) {
        return Ok(());
    }
    let _turn = machine.lock(&format!("lvm/{vg}")).await;
    // Another node may have made it meanwhile.
    storage.observations.lvm_unknown(vg).await;
    let group = storage.observations.lvm(machine, vg).await?;
    let Some(group) = group.as_ref() else {
        return Ok(());
    };
    let found = group.volumes.get(name).filter(|volume| volume.is_active());
    let Some(volume) = found else {
        return Ok(());
    };
    in_use::refuse(machine, &volume.path).await?;
    let released = Change::of(machine, vg, group).deactivate(name).await;
    storage.observations.lvm_unknown(vg).await;
    released.map_err(|f| {
        f.under(format!(
            "Logical volume '{vg}/{name}' cannot be deactivated."
        ))
    })
}

/// Activates a thin pool that is not active.
pub async fn activate_pool(storage: Storage<'_>, vg: &str, pool: &str) -> Result<()> {
    let _turn = storage.machine.lock(&format!("lvm/{vg}")).await;
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let Some(group) = group.as_ref() else {
        return Ok(());
    };
    let found = group.volumes.get(pool).filter(|v| v.is_thin_pool());
    if found.is_none_or(LogicalVolume::is_active) {
        return Ok(());
    }
    tracing::info!(vg, pool, "thin pool is not active, it is activated");
    let activated = Change::of(storage.machine, vg, group).activate(pool).await;
    storage.observations.lvm_unknown(vg).await;
    activated
}

/// Makes a volume that was filled what a snapshot is.
pub async fn seal(storage: Storage<'_>, vg: &str, name: &str) -> Result<()> {
    let _turn = storage.machine.lock(&format!("lvm/{vg}")).await;
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let Some(group) = group.as_ref() else {
        return Err(absent(&format!("Volume group '{vg}'")));
    };
    let sealed = Change::of(storage.machine, vg, group).seal(name).await;
    storage.observations.lvm_unknown(vg).await;
    sealed
}

/// Has the device of a snapshot appear, which is not activated with its group.
pub async fn activate(storage: Storage<'_>, vg: &str, name: &str) -> Result<()> {
    let _turn = storage.machine.lock(&format!("lvm/{vg}")).await;
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let Some(group) = group.as_ref() else {
        return Err(absent(&format!("Volume group '{vg}'")));
    };
    let found = group.volumes.get(name);
    if found.is_none_or(LogicalVolume::is_active) {
        return Ok(());
    }
    let activated = Change::of(storage.machine, vg, group).activate(name).await;
    storage.observations.lvm_unknown(vg).await;
    activated
}

/// See [`super::space`].
pub async fn space(
    storage: Storage<'_>,
    vg: &str,
    thin_pool: Option<&str>,
    props: &Props,
) -> Result<Space> {
    let observations = storage.observations;
    let group = observations
        .lvm_within(storage.machine, vg, SPACE_AGE_MAX)
        .await?;
    let group = group
        .as_ref()
        .as_ref()
        .ok_or_else(|| absent(&format!("Volume group '{vg}'")))?;
    let sectors = observations.sector_bytes(storage.machine, &group.devices);
    let sector_bytes = sectors.await.unwrap_or_else(|failure| {
        tracing::warn!(vg, %failure, "the sectors of its devices are not known");
        None
    });
    let Some(pool) = thin_pool else {
        return Ok(Space {
            sector_bytes,
            free_kib: Some(group.free_kib),
            total_kib: Some(group.size_kib),
            granularity_kib: Some(group.extent_kib),
            overhead_permille: Some(overhead_permille(props)).filter(|permille| *permille > 0),
            trouble: trouble::of_group(vg, group),
            ..Space::default()
        });
    };
    let volume = group.volumes.get(pool).filter(|v| v.is_thin_pool());
    let volume = volume.ok_or_else(|| absent(&format!("Thin pool '{vg}/{pool}'")))?;
    // Not known of a pool that is not active.
    let free = |used: f64| volume.size_kib as f64 * (100.0 - used.clamp(0.0, 100.0)) / 100.0;
    Ok(Space {
        sector_bytes,
        free_kib: volume.data_percent.map(|used| free(used) as u64),
        total_kib: Some(volume.size_kib),
        // Volumes of a thin pool, too, are whole extents.
        granularity_kib: Some(group.extent_kib),
        trouble: trouble::of_group(vg, group).or_else(|| trouble::of_thin_pool(vg, pool, volume)),
        metadata_permille: volume
            .metadata_percent
            .map(|percent| (percent.clamp(0.0, 100.0) * 10.0) as u32),
        chunk_kib: Some(volume.chunk_kib).filter(|kib| *kib > 0),
        ..Space::default()
    })
}

/// What copies and parity take, in thousandths of a thick volume's size.
fn overhead_permille(props: &Props) -> u32 {
    unit::lvm_overhead_permille(|key| props.get(key).map(String::as_str))
}

/// What a volume takes directly from its group.
fn thick_kib(volume: &LogicalVolume) -> u64 {
    if volume.pool.is_none() {
        volume.size_kib
    } else {
        0
    }
}

pub(super) fn backing(volume: &LogicalVolume) -> Backing {
    let allocated_kib = match (&volume.pool, volume.data_percent) {
        (None, _) => Some(volume.size_kib),
        (Some(_), percent) => {
            percent.map(|p| (volume.size_kib as f64 * p.clamp(0.0, 100.0) / 100.0) as u64)
        }
    };
    Backing {
        path: volume.path.clone(),
        size_kib: volume.size_kib,
        allocated_kib,
    }
}

fn check_owner(vg: &str, name: &str, volume: &LogicalVolume, owner: Owner) -> Result<()> {
    let tag = owner.tag();
    if volume.tags.contains(&tag) {
        return Ok(());
    }
    let other = volume.tags.iter().find(|t| t.starts_with(TAG_PREFIX));
    Err(foreign(
        &format!("Logical volume '{vg}/{name}'"),
        other.map(String::as_str),
        owner,
        &format!("lvremove {vg}/{name}"),
        &format!("lvchange --addtag {tag} {vg}/{name}"),
    ))
}
