//! ZFS and ZFS_THIN: volumes, marked with a user property.
//!
//! A volume cannot be destroyed while it has snapshots, nor a snapshot while it has clones. Both get a name of their own
//! then, which makes theirs free, and the mark of what is deleted; they are destroyed with the last one that depends on
//! them. A snapshot is found by its mark, wherever its volume is.

pub mod received;

use linstor_wire::spec::Props;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Backing, Owner, Presence, SnapshotOf, Space, Storage, Wanted, absent, appearance_limit,
    extra_options, foreign, in_use, lost, measure, no_room, trouble,
};
use crate::failure::{Failure, Result};
use crate::observation::Dataset;
use crate::tools::zfs::{self, Entry};

/// Which property has further options of `zfs create`.
const OPTIONS_KEY: &str = "StorDriver/ZfscreateOptions";
/// What the name of a volume or snapshot begins with that is deleted and has to wait for what depends on it.
const DELETED_PREFIX: &str = "_deleted_";

/// See [`super::find`].
pub async fn find(
    storage: Storage<'_>,
    dataset: &str,
    name: &str,
    owner: Owner,
) -> Result<Presence> {
    let entries = storage.observations.zfs(storage.machine, dataset).await?;
    let full = format!("{dataset}/{name}");
    let Some(entries) = entries.as_ref() else {
        return Ok(Presence::PoolAbsent);
    };
    let Some(entry) = entries.get(&full) else {
        return Ok(Presence::Absent);
    };
    let owned = check_owner(&full, entry, owner);
    Ok(Presence::of(backing(&full, entry), owned))
}

/// See [`super::ensure`].
pub async fn ensure(
    storage: Storage<'_>,
    dataset: &str,
    sparse: bool,
    wanted: &Wanted<'_>,
) -> Result<Backing> {
    match find(storage, dataset, wanted.name, wanted.owner).await? {
        Presence::Present(found) if found.size_kib >= wanted.size_kib => return Ok(found),
        Presence::Foreign(failure) => return Err(failure),
        Presence::Present(_) | Presence::Absent | Presence::PoolAbsent => {}
    }
    let _turn = storage.machine.lock(&format!("zfs/{dataset}")).await;
    let done = bring_about(storage, dataset, sparse, wanted).await;
    if done.is_err() {
        storage.observations.zfs_unknown(dataset).await;
    }
    done
}

async fn bring_about(
    storage: Storage<'_>,
    dataset: &str,
    sparse: bool,
    wanted: &Wanted<'_>,
) -> Result<Backing> {
    let machine = storage.machine;
    let entries = storage.observations.zfs(machine, dataset).await?;
    let entries = entries
        .as_ref()
        .as_ref()
        .ok_or_else(|| absent(&format!("ZFS dataset '{dataset}'")))?;
    let full = format!("{dataset}/{}", wanted.name);
    let mut entry = match (entries.get(&full), &wanted.source) {
        (None, Some(source)) => restore(storage, entries, &full, sparse, wanted, source).await?,
        (None, None) => {
            let options = extra_options(wanted.props, OPTIONS_KEY)?;
            let owner = wanted.owner.value();
            let block_kib = zfs::new_block_kib(machine, dataset, wanted.size_kib, &options).await?;
            let size_kib = wanted.size_kib.next_multiple_of(block_kib.max(1));
            zfs::create(machine, &full, size_kib, sparse, &owner, &options)
                .await
                .map_err(|f| no_room(f, &format!("ZFS volume '{full}' cannot be created.")))?;
            Entry {
                used_kib: if sparse { 0 } else { size_kib },
                block_kib,
                owner: Some(owner),
                ..Entry::default()
            }
        }
        (Some(entry), _) => {
            check_owner(&full, entry, wanted.owner)?;
            let is_small = entry.size_kib < wanted.size_kib;
            if is_small && measure::now(storage, &device(&full)).await? < wanted.size_kib {
                let size_kib = wanted.size_kib.next_multiple_of(entry.block_kib.max(1));
                let resized = zfs::resize(machine, &full, size_kib).await;
                resized
                    .map_err(|f| no_room(f, &format!("ZFS volume '{full}' cannot be grown.")))?;
            }
            entry.clone()
        }
    };
    let device = device(&full);
    let limit = appearance_limit(wanted.props);
    entry.size_kib = measure::device(storage, &device, wanted.size_kib, limit).await?;
    let found = backing(&full, &entry);
    let entered = |entries: &mut Dataset| {
        entries.insert(full, entry);
    };
    storage.observations.zfs_changed(dataset, entered).await;
    Ok(found)
}

/// Makes a volume of a snapshot.
async fn restore(
    storage: Storage<'_>,
    entries: &Dataset,
    full: &str,
    sparse: bool,
    wanted: &Wanted<'_>,
    source: &SnapshotOf<'_>,
) -> Result<Entry> {
    let machine = storage.machine;
    let found = marked(entries, source.owner);
    let (snapshot, of) = found.ok_or_else(|| lost(&format!("ZFS snapshot '{}'", source.name())))?;
    let reserved_kib = (!sparse).then_some(of.size_kib);
    let owner = wanted.owner.value();
    let made = async {
        zfs::clone(machine, snapshot, full, &owner, reserved_kib).await?;
        let made = zfs::get(machine, full).await?;
        let made = made.ok_or_else(|| lost(&format!("ZFS volume '{full}'")))?;
        if made.size_kib < wanted.size_kib {
            let size_kib = wanted.size_kib.next_multiple_of(made.block_kib.max(1));
            zfs::resize(machine, full, size_kib).await?;
        }
        Ok(made)
    };
    let made = made.await;
    made.map_err(|f| no_room(f, &format!("ZFS volume '{full}' cannot be created.")))
}

/// The snapshot with a mark. A snapshot of ours has one of its own, not its volume's.
fn marked(entries: &Dataset, owner: Owner) -> Option<(&String, &Entry)> {
    let value = owner.value();
    let mut entries = entries.iter();
    entries.find(|(_, entry)| entry.snapshot && entry.owner.as_deref() == Some(&value))
}

/// See [`super::find_snapshot`].
pub async fn find_snapshot(
    storage: Storage<'_>,
    dataset: &str,
    of: &SnapshotOf<'_>,
) -> Result<Presence> {
    let entries = storage.observations.zfs(storage.machine, dataset).await?;
    let Some(entries) = entries.as_ref() else {
        return Ok(Presence::PoolAbsent);
    };
    if let Some((name, entry)) = marked(entries, of.owner) {
        return Ok(Presence::Present(snapshot_backing(name, entry)));
    }
    let name = format!("{dataset}/{}@{}", of.volume, of.snapshot);
    Ok(match entries.get(&name) {
        None => Presence::Absent,
        Some(entry) => Presence::of(
            snapshot_backing(&name, entry),
            check_owner(&name, entry, of.owner),
        ),
    })
}

/// See [`super::take_snapshot`].
pub async fn take_snapshot(
    storage: Storage<'_>,
    dataset: &str,
    of: &SnapshotOf<'_>,
) -> Result<Backing> {
    let machine = storage.machine;
    let _turn = machine.lock(&format!("zfs/{dataset}")).await;
    match find_snapshot(storage, dataset, of).await? {
        Presence::Present(taken) => return Ok(taken),
        Presence::Foreign(failure) => return Err(failure),
        Presence::PoolAbsent => return Err(absent(&format!("ZFS dataset '{dataset}'"))),
        Presence::Absent => {}
    }
    match find(storage, dataset, of.volume, of.volume_owner).await? {
        Presence::Present(_) => {}
        Presence::Foreign(failure) => return Err(failure),
        Presence::Absent | Presence::PoolAbsent => {
            return Err(lost(&format!("ZFS volume '{dataset}/{}'", of.volume)));
        }
    }
    let name = format!("{dataset}/{}@{}", of.volume, of.snapshot);
    let options = extra_options(of.props, "StorDriver/ZfsSnapshotOptions")?;
    let taken = async {
        zfs::snapshot(machine, &name, &of.owner.value(), options).await?;
        let taken = zfs::get(machine, &name).await?;
        taken.ok_or_else(|| lost(&format!("ZFS snapshot '{name}'")))
    };
    let entry = match taken.await {
        Ok(entry) => entry,
        Err(failure) => {
            storage.observations.zfs_unknown(dataset).await;
            let what = format!("ZFS snapshot '{name}' cannot be taken.");
            return Err(no_room(failure, &what));
        }
    };
    let found = snapshot_backing(&name, &entry);
    let entered = |entries: &mut Dataset| {
        entries.insert(name, entry);
    };
    storage.observations.zfs_changed(dataset, entered).await;
    Ok(found)
}

/// See [`super::roll_back`].
pub async fn roll_back(storage: Storage<'_>, dataset: &str, of: &SnapshotOf<'_>) -> Result<()> {
    let machine = storage.machine;
    let _turn = machine.lock(&format!("zfs/{dataset}")).await;
    let full = format!("{dataset}/{}", of.volume);
    let entries = storage.observations.zfs(machine, dataset).await?;
    let entries = entries
        .as_ref()
        .as_ref()
        .ok_or_else(|| absent(&format!("ZFS dataset '{dataset}'")))?;
    let volume = entries.get(&full);
    let volume = volume.ok_or_else(|| lost(&format!("ZFS volume '{full}'")))?;
    check_owner(&full, volume, of.volume_owner)?;
    let found = marked(entries, of.owner);
    let found = found.filter(|(name, _)| name.starts_with(&format!("{full}@")));
    let what = format!("Snapshot '{}' of ZFS volume '{full}'", of.snapshot);
    let (snapshot, entry) = found.ok_or_else(|| lost(&what))?;
    let rolled_back = async {
        in_use::refuse(machine, &device(&full)).await?;
        zfs::roll_back(machine, snapshot).await?;
        let limit = appearance_limit(of.props);
        measure::device(storage, &device(&full), entry.size_kib, limit).await
    };
    let rolled_back = rolled_back.await;
    storage.observations.zfs_unknown(dataset).await;
    let what = format!("ZFS volume '{full}' cannot be rolled back.");
    rolled_back.map(drop).map_err(|failure| failure.under(what))
}

/// See [`super::destroy`].
pub async fn destroy(storage: Storage<'_>, dataset: &str, name: &str, owner: Owner) -> Result<()> {
    let full = format!("{dataset}/{name}");
    let aside = format!(
        "{dataset}/{DELETED_PREFIX}{name}_{}",
        owner.resource.simple()
    );
    let value = owner.value();
    let is_ours = move |entry: &&Entry| entry.owner.as_deref() == Some(&value);
    let named = |entries: &Dataset| {
        if entries.get(&full).as_ref().is_some_and(&is_ours) {
            return Some(full.clone());
        }
        // It was renamed, and not marked any more.
        let renamed = |name: &&String| name.starts_with(&aside) && !name.contains('@');
        let mut renamed = entries.iter().filter(|(name, _)| renamed(name));
        let found = renamed.find(|(_, entry)| is_ours(entry));
        found.map(|(name, _)| name.clone())
    };
    destroy_named(storage, dataset, &named, &aside, owner.cluster).await
}

/// See [`super::destroy_snapshot`].
pub async fn destroy_snapshot(
    storage: Storage<'_>,
    dataset: &str,
    of: &SnapshotOf<'_>,
) -> Result<()> {
    let aside = format!(
        "{DELETED_PREFIX}{}_{}",
        of.snapshot,
        of.owner.resource.simple()
    );
    let named = |entries: &Dataset| marked(entries, of.owner).map(|(name, _)| name.clone());
    destroy_named(storage, dataset, &named, &aside, of.owner.cluster).await?;
    received::destroy(storage, dataset, of).await
}

/// Destroys a volume or a snapshot, or has it wait for what depends on it under another name; `aside` is that of a
/// volume in full, that of a snapshot without its volume.
async fn destroy_named(
    storage: Storage<'_>,
    dataset: &str,
    named: &impl Fn(&Dataset) -> Option<String>,
    aside: &str,
    cluster: Uuid,
) -> Result<()> {
    let (machine, observations) = (storage.machine, storage.observations);
    let found = |entries: &Option<Dataset>| entries.as_ref().and_then(named);
    if found(&*observations.zfs(machine, dataset).await?).is_none() {
        return Ok(());
    }
    let turn = machine.lock(&format!("zfs/{dataset}")).await;
    let entries = observations.zfs(machine, dataset).await?;
    let (Some(entries), Some(name)) = (entries.as_ref(), found(&entries)) else {
        return Ok(());
    };
    let aside = match name.split_once('@') {
        Some((volume, _)) => format!("{volume}@{aside}"),
        None => aside.to_owned(),
    };
    // A volume that a rollback has made anew has the owner of the one before, which may still wait under this name.
    let aside = match name.starts_with(&aside) {
        true => name.clone(),
        false => {
            let mut names = (1..).map(|number| match number {
                1 => aside.clone(),
                _ => format!("{aside}_{number}"),
            });
            let free = names.find(|name| !entries.contains_key(name));
            free.unwrap_or(aside)
        }
    };
    let destroyed = async {
        if !name.contains('@') {
            in_use::refuse(machine, &device(&name)).await?;
        }
        if !has_dependants(entries, &name) {
            return zfs::destroy(machine, &name).await;
        }
        if name != aside {
            zfs::rename(machine, &name, &aside).await?;
        }
        zfs::set_owner(machine, &aside, &deleted_mark(cluster)).await
    };
    if let Err(failure) = destroyed.await {
        observations.zfs_unknown(dataset).await;
        return Err(failure.under(format!(
            "ZFS volume or snapshot '{name}' cannot be destroyed."
        )));
    }
    let destroyed_at = Instant::now();
    drop(turn);
    let entries = observations.zfs_within(machine, dataset, destroyed_at.elapsed());
    if found(&*entries.await?).is_some() {
        return Err(measure::still_there(&format!(
            "ZFS volume or snapshot '{name}'"
        )));
    }
    reap(storage, dataset, cluster).await
}

/// See [`super::reap`].
pub async fn reap(storage: Storage<'_>, dataset: &str, cluster: Uuid) -> Result<()> {
    let (machine, observations) = (storage.machine, storage.observations);
    let free = |entries: &Option<Dataset>| {
        entries
            .as_ref()
            .map_or_else(Vec::new, |entries| without_dependants(entries, cluster))
    };
    if free(&*observations.zfs(machine, dataset).await?).is_empty() {
        return Ok(());
    }
    let _turn = machine.lock(&format!("zfs/{dataset}")).await;
    let entries = observations.zfs(machine, dataset).await?;
    let mut destroyed = Ok(());
    for name in free(&entries) {
        destroyed = zfs::destroy(machine, &name).await;
        if destroyed.is_err() {
            break;
        }
    }
    observations.zfs_unknown(dataset).await;
    destroyed
}

/// What is deleted and nothing depends on, in an order in which it can be destroyed.
fn without_dependants(entries: &Dataset, cluster: Uuid) -> Vec<String> {
    let mark = deleted_mark(cluster);
    let is_deleted = |(name, entry): &(&String, &Entry)| {
        let own = name.rsplit(['/', '@']).next().unwrap_or_default();
        own.starts_with(DELETED_PREFIX) && entry.owner.as_deref() == Some(&mark)
    };
    let mut deleted: Vec<&String> = entries.iter().filter(is_deleted).map(|(n, _)| n).collect();
    if deleted.is_empty() {
        return Vec::new();
    }
    let mut left = entries.clone();
    let mut free = Vec::new();
    while let Some(at) = deleted.iter().position(|name| !has_dependants(&left, name)) {
        let name = deleted.swap_remove(at);
        left.remove(name);
        free.push(name.clone());
    }
    free
}

/// Whether a volume has snapshots, or a snapshot clones.
fn has_dependants(entries: &Dataset, name: &str) -> bool {
    match name.contains('@') {
        true => entries
            .values()
            .any(|entry| entry.origin.as_deref() == Some(name)),
        false => {
            let below = format!("{name}@");
            entries.keys().any(|name| name.starts_with(&below))
        }
    }
}

/// The mark of what is deleted and has to wait for what depends on it.
fn deleted_mark(cluster: Uuid) -> String {
    format!("{cluster}/deleted")
}

/// See [`super::space`].
pub async fn space(
    storage: Storage<'_>,
    dataset: &str,
    sparse: bool,
    props: &Props,
) -> Result<Space> {
    let machine = storage.machine;
    let absent = || absent(&format!("ZFS dataset '{dataset}'"));
    let pool = dataset.split('/').next().unwrap_or(dataset);
    let state = zfs::pool_state(machine, pool).await?.ok_or_else(absent)?;
    let trouble = trouble::of_zpool(pool, &state);
    if trouble.as_ref().is_some_and(Failure::is_error) {
        // Queries of a pool without devices wait for them.
        return Ok(Space {
            trouble,
            ..Space::default()
        });
    }
    let seen = zfs::space(machine, dataset).await?.ok_or_else(absent)?;
    let options = extra_options(props, OPTIONS_KEY)?;
    let granularity_kib = zfs::default_block_kib(machine, dataset, &options).await;
    let overhead_permille = match sparse {
        true => None,
        false => zfs::overhead_permille(machine, dataset, &options)
            .await
            .unwrap_or_default(),
    };
    Ok(Space {
        free_kib: Some(seen.available_kib),
        // What the zpool has is more than a dataset gets: parity, quotas, and reservations of others are in it.
        total_kib: Some(seen.available_kib.saturating_add(seen.used_kib)),
        granularity_kib: granularity_kib.unwrap_or_default(),
        overhead_permille,
        trouble,
        ..Space::default()
    })
}

fn device(full: &str) -> String {
    format!("/dev/zvol/{full}")
}

pub(super) fn backing(full: &str, entry: &Entry) -> Backing {
    Backing {
        path: device(full),
        size_kib: entry.size_kib,
        allocated_kib: Some(entry.used_kib),
    }
}

fn snapshot_backing(full: &str, entry: &Entry) -> Backing {
    Backing {
        path: full.to_owned(),
        ..backing(full, entry)
    }
}

fn check_owner(full: &str, entry: &Entry, owner: Owner) -> Result<()> {
    let value = owner.value();
    if entry.owner.as_deref() == Some(value.as_str()) {
        return Ok(());
    }
    Err(foreign(
        &format!("ZFS volume '{full}'"),
        entry.owner.as_deref(),
        owner,
        &format!("zfs destroy {full}"),
        &format!("zfs set {}={value} {full}", zfs::OWNER),
    ))
}
