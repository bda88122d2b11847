//! The volumes of a pool that carry a mark, whoever they belong to.

use std::path::Path;

use uuid::Uuid;

use super::{Owner, Storage, file, lvm, zfs};
use crate::check::PoolPlace;
use crate::failure::Result;

/// A volume with a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its name in the pool.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// Its device; empty while it has none.
    pub path: String,
    /// Its size.
    pub size_kib: u64,
    /// What it takes in the pool.
    pub allocated_kib: Option<u64>,
}

impl Owner {
    /// Reads the mark of [`Owner::tag`].
    pub fn of_tag(tag: &str) -> Option<Owner> {
        Self::of(tag.strip_prefix(lvm::TAG_PREFIX)?.split_once('.')?)
    }

    /// Reads the mark of [`Owner::value`].
    pub fn of_value(value: &str) -> Option<Owner> {
        Self::of(value.split_once('/')?)
    }

    fn of((cluster, resource): (&str, &str)) -> Option<Owner> {
        let uuid = |text: &str| Uuid::parse_str(text).ok();
        Some(Owner {
            cluster: uuid(cluster)?,
            resource: uuid(resource)?,
        })
    }
}

/// The volumes of a pool with a mark; none if the pool does not exist.
pub async fn list(storage: Storage<'_>, place: &PoolPlace) -> Result<Vec<Marked>> {
    match place {
        PoolPlace::Diskless => Ok(Vec::new()),
        PoolPlace::Lvm { vg } => of_group(storage, vg, None).await,
        PoolPlace::LvmThin { vg, pool } => of_group(storage, vg, Some(pool)).await,
        PoolPlace::Zfs { dataset, .. } => of_dataset(storage, dataset).await,
        PoolPlace::File { directory, .. } => of_directory(storage, directory).await,
    }
}

async fn of_group(storage: Storage<'_>, vg: &str, pool: Option<&String>) -> Result<Vec<Marked>> {
    let group = storage.observations.lvm(storage.machine, vg).await?;
    let volumes = group.as_ref().iter().flat_map(|group| &group.volumes);
    let of_pool = volumes.filter(|(_, volume)| volume.pool.as_ref() == pool);
    let marked = of_pool.filter_map(|(name, volume)| {
        let owner = volume.tags.iter().find_map(|tag| Owner::of_tag(tag))?;
        let backing = lvm::backing(volume);
        Some(Marked {
            name: name.clone(),
            owner,
            path: backing.path,
            size_kib: backing.size_kib,
            allocated_kib: backing.allocated_kib,
        })
    });
    Ok(marked.collect())
}

async fn of_dataset(storage: Storage<'_>, dataset: &str) -> Result<Vec<Marked>> {
    let entries = storage.observations.zfs(storage.machine, dataset).await?;
    let entries = entries.as_ref().iter().flatten();
    // A snapshot has the property of its volume.
    let marked = entries
        .filter(|(_, entry)| !entry.snapshot)
        .filter_map(|(full, entry)| {
            let name = full.strip_prefix(dataset)?.strip_prefix('/')?;
            let owner = Owner::of_value(entry.owner.as_deref()?)?;
            let backing = zfs::backing(full, entry);
            Some(Marked {
                // One of a dataset below is that pool's.
                name: Some(name).filter(|name| !name.contains('/'))?.to_owned(),
                owner,
                path: backing.path,
                size_kib: backing.size_kib,
                allocated_kib: backing.allocated_kib,
            })
        });
    Ok(marked.collect())
}

async fn of_directory(storage: Storage<'_>, directory: &str) -> Result<Vec<Marked>> {
    let host = storage.machine.host();
    let mut marked = Vec::new();
    for entry in host.list_dir(Path::new(directory)).await? {
        let Some(name) = entry.strip_suffix(file::FILE_SUFFIX) else {
            continue;
        };
        let path = file::file_path(directory, name);
        let mark = file::mark(storage, &path).await?;
        let Some(owner) = mark.as_deref().and_then(Owner::of_value) else {
            continue;
        };
        let Some(usage) = file::usage(storage, &path).await? else {
            continue;
        };
        let backing = file::backing(storage, &usage).await?;
        marked.push(Marked {
            name: name.to_owned(),
            owner,
            path: backing.path,
            size_kib: backing.size_kib,
            allocated_kib: backing.allocated_kib,
        });
    }
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written as a mark is read; nothing else is.
    #[test]
    fn marks_are_read() {
        let owner = Owner {
            cluster: Uuid::from_u128(1),
            resource: Uuid::from_u128(2),
        };
        assert_eq!(Owner::of_tag(&owner.tag()), Some(owner));
        assert_eq!(Owner::of_value(&owner.value()), Some(owner));
        for other in ["linstor-rs.", "linstor-rs.x.y", "backup", ""] {
            assert_eq!(Owner::of_tag(other), None, "{other}");
            assert_eq!(Owner::of_value(other), None, "{other}");
        }
    }
}
