//! ZFS and ZFS_THIN: volumes, marked with a user property.

use linstor_api::code;
use linstor_wire::spec::Props;
use tokio::time::Instant;

use super::{
    Backing, Owner, Presence, Space, Storage, Wanted, absent, appearance_limit, extra_options,
    foreign, in_use, measure, no_room, trouble,
};
use crate::failure::{Failure, Result};
use crate::observation::Dataset;
use crate::tools::zfs::{self, Entry};

/// Which property has further options of `zfs create`.
const OPTIONS_KEY: &str = "StorDriver/ZfscreateOptions";

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
    let mut entry = match entries.get(&full) {
        None => {
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
        Some(entry) => {
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

/// See [`super::destroy`].
pub async fn destroy(storage: Storage<'_>, dataset: &str, name: &str, owner: Owner) -> Result<()> {
    if !matches!(
        find(storage, dataset, name, owner).await?,
        Presence::Present(_)
    ) {
        return Ok(());
    }
    let full = format!("{dataset}/{name}");
    let turn = storage.machine.lock(&format!("zfs/{dataset}")).await;
    let entries = storage.observations.zfs(storage.machine, dataset).await?;
    let Some(entries) = entries.as_ref() else {
        return Ok(());
    };
    let Some(entry) = entries.get(&full) else {
        return Ok(());
    };
    check_owner(&full, entry, owner)?;
    let below = format!("{full}@");
    if let Some(snapshot) = entries.keys().find(|k| k.starts_with(&below)) {
        return Err(Failure::new(
            code::FAIL_EXISTS_SNAPSHOT,
            format!("ZFS volume '{full}' cannot be destroyed."),
        )
        .cause(format!("Snapshot '{snapshot}' depends on it."))
        .correction("Delete the snapshots first."));
    }
    let destroyed = async {
        in_use::refuse(storage.machine, &device(&full)).await?;
        zfs::destroy(storage.machine, &full).await
    };
    if let Err(failure) = destroyed.await {
        storage.observations.zfs_unknown(dataset).await;
        return Err(failure.under(format!("ZFS volume '{full}' cannot be destroyed.")));
    }
    let destroyed_at = Instant::now();
    drop(turn);
    let (observations, machine) = (storage.observations, storage.machine);
    let entries = observations.zfs_within(machine, dataset, destroyed_at.elapsed());
    let is_there = |entries: &Dataset| entries.contains_key(&full);
    match entries.await?.as_ref().as_ref().is_some_and(is_there) {
        true => Err(measure::still_there(&format!("ZFS volume '{full}'"))),
        false => Ok(()),
    }
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

fn backing(full: &str, entry: &Entry) -> Backing {
    Backing {
        path: device(full),
        size_kib: entry.size_kib,
        allocated_kib: Some(entry.used_kib),
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
