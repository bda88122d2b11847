//! Snapshots that are received: ZFS receives them with a volume of their own. It has the name of a volume that is deleted and
//! has to wait for its snapshots, and gets the mark of one as soon as all is there; so it goes with the snapshot, or with the
//! last volume that was made of it. Before that it has a mark that nobody else looks for.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{SnapshotOf, Storage, absent, lost};
use super::{DELETED_PREFIX, deleted_mark, zfs};
use crate::failure::{Failure, Result};
use crate::tools::error::ErrorKind;

/// How long a program that was ended may still be receiving.
const BUSY_LIMIT: Duration = Duration::from_secs(30);
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// The volume that a snapshot is received with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its full name.
    pub volume: String,
    /// Its mark while it is received.
    pub mark: String,
    name: String,
}

impl Received {
    /// That of a snapshot.
    pub fn of(dataset: &str, of: &SnapshotOf<'_>) -> Received {
        let uuid = of.owner.resource.simple();
        Received {
            volume: format!("{dataset}/{DELETED_PREFIX}{}_{uuid}", of.volume),
            mark: format!("{}/receiving.{uuid}", of.owner.cluster),
            name: of.snapshot.to_owned(),
        }
    }

    /// The full name of the snapshot that the stream of this number is received as.
    pub fn snapshot(&self, index: usize, count: usize) -> String {
        let volume = &self.volume;
        match index + 1 == count {
            true => format!("{volume}@{}", self.name),
            false => format!("{volume}@{DELETED_PREFIX}{index}"),
        }
    }
}

/// Takes over what was received: the snapshot gets its mark, what it was made of goes.
pub async fn take_over(
    storage: Storage<'_>,
    dataset: &str,
    of: &SnapshotOf<'_>,
    size_kib: u64,
) -> Result<()> {
    let machine = storage.machine;
    let _turn = machine.lock(&format!("zfs/{dataset}")).await;
    let received = Received::of(dataset, of);
    let snapshot = received.snapshot(0, 1);
    storage.observations.zfs_unknown(dataset).await;
    let entries = storage.observations.zfs(machine, dataset).await?;
    let entries = entries
        .as_ref()
        .as_ref()
        .ok_or_else(|| absent(&format!("ZFS dataset '{dataset}'")))?;
    let taken_over = async {
        let volume = entries.get(&received.volume);
        let volume = volume.ok_or_else(|| lost(&format!("ZFS volume '{}'", received.volume)))?;
        let entry = entries.get(&snapshot);
        let entry = entry.ok_or_else(|| lost(&format!("ZFS snapshot '{snapshot}'")))?;
        let wanted_kib = size_kib.next_multiple_of(volume.block_kib.max(1));
        if entry.size_kib != wanted_kib {
            let message = format!("ZFS snapshot '{snapshot}' is not what was to be received.");
            let code = linstor_api::code::FAIL_INVLD_VLM_SIZE;
            return Err(Failure::new(code, message).cause(format!(
                "The stream is of a volume of {} KiB, and not of {wanted_kib} KiB.",
                entry.size_kib
            )));
        }
        zfs::set_owner(machine, &snapshot, &of.owner.value()).await?;
        let below = format!("{}@", received.volume);
        let earlier = entries.keys().filter(|name| name.starts_with(&below));
        for name in earlier.filter(|name| **name != snapshot) {
            zfs::destroy(machine, name).await?;
        }
        zfs::set_owner(machine, &received.volume, &deleted_mark(of.owner.cluster)).await
    };
    let taken_over = taken_over.await;
    storage.observations.zfs_unknown(dataset).await;
    taken_over
}

/// Destroys what was received of a snapshot, and was not taken over.
pub(super) async fn destroy(
    storage: Storage<'_>,
    dataset: &str,
    of: &SnapshotOf<'_>,
) -> Result<()> {
    let (machine, observations) = (storage.machine, storage.observations);
    let received = Received::of(dataset, of);
    let is_there = async || -> Result<bool> {
        let entries = observations.zfs(machine, dataset).await?;
        let entries = entries.as_ref().as_ref();
        let entry = entries.and_then(|entries| entries.get(&received.volume));
        Ok(entry.is_some_and(|entry| entry.owner.as_ref() == Some(&received.mark)))
    };
    if !is_there().await? {
        return Ok(());
    }
    let _turn = machine.lock(&format!("zfs/{dataset}")).await;
    let deadline = Instant::now() + BUSY_LIMIT;
    while is_there().await? {
        let destroyed = zfs::destroy_with_snapshots(machine, &received.volume).await;
        observations.zfs_unknown(dataset).await;
        match destroyed {
            Ok(()) => return Ok(()),
            // The kernel removes what was not received to its end.
            Err(failure) if failure.kind() == ErrorKind::NotFound => {}
            Err(failure) if failure.kind() == ErrorKind::InUse && Instant::now() < deadline => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(failure) => {
                let message = format!("ZFS volume '{}' cannot be destroyed.", received.volume);
                return Err(failure.under(message));
            }
        }
    }
    Ok(())
}
