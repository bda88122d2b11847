//! The space of the pools: queried after own changes, at intervals, and on request.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use linstor_wire::Key;
use linstor_wire::spec::{NodeSpec, PoolSpec};
use linstor_wire::status::PoolStatus;
use tokio::time::Instant;
use uuid::Uuid;

use crate::check::{PoolPlace, pool_place};
use crate::failure::{Failure, Result};
use crate::layers::storage;
use crate::providers::{self, Space, file, lvm, trouble};
use crate::shared::Shared;
use crate::spec_store::Notes;

/// Pause after a query: changes within it cause one query.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after a change the space is queried again after each pause: a resync and a new file system fill thin volumes.
const UNSETTLED: Duration = Duration::from_secs(5);
/// How long a pool may take to answer before the others are reported without it.
const POOL_LIMIT: Duration = Duration::from_secs(20);

/// The file that identifies the directory of a FILE pool.
const DIRECTORY_ID_FILE: &str = ".linstor-directory";

/// Queries the space of all pools.
pub async fn query(shared: &Shared) -> Vec<PoolStatus> {
    let Some(node) = shared.state().node().cloned() else {
        return Vec::new();
    };
    // A pool on a failing disk must not delay the report of the others.
    let reports = node.pools.iter().map(|pool| pool_status(shared, pool));
    futures::future::join_all(reports).await
}

async fn pool_status(shared: &Shared, pool: &PoolSpec) -> PoolStatus {
    let space = async {
        let place = pool_place(pool)?;
        let mut space = providers::space(shared.storage(), &place, &pool.props).await?;
        if let PoolPlace::File { directory, sparse } = &place
            && space.trouble.is_none()
        {
            space.trouble = other_file_system(shared, pool, directory).await?;
            let file = format!("{directory}/{DIRECTORY_ID_FILE}");
            space.has_reflinks = file::has_reflinks(shared.storage(), directory, &file).await?;
            if space.has_reflinks == Some(true) && !sparse {
                let promised_kib = file::promised_kib(shared.storage(), directory).await?;
                space.free_kib = space.free_kib.map(|kib| kib.saturating_sub(promised_kib));
            }
        }
        Ok::<Space, Failure>(space)
    };
    let mut status = PoolStatus {
        name: pool.name.to_string(),
        ..PoolStatus::default()
    };
    match tokio::time::timeout(POOL_LIMIT, space).await {
        Ok(Ok(space)) => set(&mut status, space),
        Ok(Err(failure)) => {
            let failure = failure.about("StorPoolDfn", pool.name.as_str());
            status.problem = Some(failure.reply());
        }
        Err(_) => {
            let text = format!(
                "Storage pool '{}' did not answer within {} s.",
                pool.name,
                POOL_LIMIT.as_secs()
            );
            let ret_code = linstor_api::code::FAIL_STOR_POOL_CONFIGURATION_ERROR;
            let problem = linstor_api::reply::Reply::new(ret_code, text);
            status.problem = Some(problem.about("StorPoolDfn", pool.name.as_str()));
        }
    }
    status
}

fn set(status: &mut PoolStatus, space: Space) {
    status.free_kib = space.free_kib;
    status.total_kib = space.total_kib;
    status.granularity_kib = space.granularity_kib;
    status.chunk_kib = space.chunk_kib;
    status.metadata_permille = space.metadata_permille;
    status.overhead_permille = space.overhead_permille;
    status.sector_bytes = space.sector_bytes;
    status.has_reflinks = space.has_reflinks;
    let trouble = space.trouble;
    status.problem = trouble.map(|failure| failure.about("StorPoolDfn", &*status.name).reply());
}

/// Whether a FILE pool's directory is another one than it was: when its file system is not mounted, the empty directory
/// below is there all the same, and volumes made in it would be lost from sight. A file in the directory, and the notes
/// of the node, have what identifies it.
async fn other_file_system(
    shared: &Shared,
    pool: &PoolSpec,
    directory: &str,
) -> Result<Option<Failure>> {
    let host = shared.machine.host();
    let file = format!("{directory}/{DIRECTORY_ID_FILE}");
    let _turn = shared.machine.lock(&format!("directory/{directory}")).await;
    let found = match host.read(Path::new(&file)).await {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let Some(node) = shared.state().node().cloned() else {
        return Ok(None);
    };
    let known = shared
        .notes(&Key::Node)
        .directories
        .get(&pool.uuid)
        .cloned();
    if let Some(known) = known {
        let is_other = found.as_ref() != Some(&known);
        return Ok(is_other.then(|| trouble::of_other_file_system(directory, &file)));
    }
    let id = match found.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => {
            let id = format!("{:016x}", host.random_u64());
            let written = host.write_atomic(Path::new(&file), id.as_bytes(), 0o644);
            if let Err(error) = written.await {
                tracing::debug!(file, %error, "the directory is not identified");
                return Ok(None);
            }
            id
        }
    };
    let pools = node.pools.iter().map(|pool| pool.uuid);
    let pools: BTreeSet<Uuid> = pools.collect();
    let note = |notes: &mut Notes| {
        notes.directories.retain(|pool, _| pools.contains(pool));
        notes.directories.insert(pool.uuid, id);
    };
    shared.note(&Key::Node, node.uuid, note).await?;
    Ok(None)
}

/// Reports the space of the pools whenever it has changed.
pub async fn run(shared: Arc<Shared>) {
    let mut reported: Option<(Option<Arc<NodeSpec>>, Vec<PoolStatus>)> = None;
    let mut logged = BTreeMap::new();
    activate_thin_pools(&shared).await;
    let mut unsettled_until = Instant::now();
    loop {
        let interval = match Instant::now() < unsettled_until {
            true => PAUSE,
            false => shared.options.space_interval,
        };
        tokio::select! {
            biased;
            // A volume came or went, or is being synchronised. Cancel-safe: a missed notice is stored.
            () = shared.space_changed.notified() => {}
            // Applications write into thin volumes without telling us.
            () = tokio::time::sleep(interval) => {}
        }
        if shared.unsettled.swap(false, Ordering::Relaxed) {
            unsettled_until = Instant::now() + UNSETTLED;
        }
        let node = shared.state().node().cloned();
        if node.is_none() {
            continue;
        }
        // LVM's commands wait for each other: none that can wait delays a snapshot for which I/O is suspended.
        shared.suspensions.none_held().await;
        let seen = (node, query(&shared).await);
        log_changes(&mut logged, &seen.1);
        // What it does not get in time is reported later.
        let _ = tokio::time::timeout(POOL_LIMIT, storage::observe_allocated(&shared)).await;
        if reported.as_ref() != Some(&seen) {
            let pools = seen.1.clone();
            shared.report(|outbox| outbox.space(pools, None));
            reported = Some(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Activates the thin pools of the node's spec, once when the satellite starts: at boot nothing else may do it where
/// LVM's activation by itself is limited, and a pool without active volumes shows no space.
async fn activate_thin_pools(shared: &Shared) {
    let Some(node) = shared.state().node().cloned() else {
        return;
    };
    for pool in &node.pools {
        if let Ok(PoolPlace::LvmThin { vg, pool }) = pool_place(pool)
            && let Err(failure) = lvm::activate_pool(shared.storage(), &vg, &pool).await
        {
            tracing::warn!(vg, pool, %failure, "thin pool not activated");
        }
    }
}

/// Logs once that a pool is in trouble, and once that it is not any more.
fn log_changes(logged: &mut BTreeMap<String, String>, pools: &[PoolStatus]) {
    for pool in pools {
        let now = pool.problem.as_ref().map(|problem| problem.message.clone());
        if logged.get(&pool.name) == now.as_ref() {
            continue;
        }
        match (&pool.problem, now) {
            (Some(problem), Some(message)) => {
                let cause = problem.cause.as_deref().unwrap_or_default();
                tracing::warn!(pool = pool.name, message, cause, "storage pool in trouble");
                logged.insert(pool.name.clone(), message);
            }
            _ => {
                tracing::info!(pool = pool.name, "storage pool can be used again");
                logged.remove(&pool.name);
            }
        }
    }
}
