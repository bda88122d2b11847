//! The reconciler: looks at each resource when there is a reason to, or time has passed, and brings it to its spec.
//!
//! It takes no input but the table of resources. Each resource is worked on by one task at a time; tasks of different
//! resources share nothing but the turn at a volume group, so that a sick one delays no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use linstor_api::code;
use linstor_wire::spec::{ResourceSpec, Target};
use linstor_wire::status::Outcome;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check;
use crate::drbd::last_copy::{self, Verdict};
use crate::drbd::layer as drbd;
use crate::drbd::picture::Seen;
use crate::failure::{Failure, Result};
use crate::layers::{Attempt, storage};
use crate::outbox::AppliedEntry;
use crate::shared::{Shared, Tracked};
use crate::spec_store::{Notes, Record};

/// Resources that are worked on at the same time.
const TASKS_MAX: usize = 256;
/// Pauses after the first, second... failed attempt; the last one repeats.
const BACKOFF_S: [u64; 7] = [1, 2, 5, 10, 20, 40, 60];

/// Works until dropped.
pub async fn run(shared: Arc<Shared>) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    loop {
        start_due(&shared, &mut tasks);
        let next = next_due(&shared);
        tokio::select! {
            biased;
            // A task ended: its place is free. Cancel-safe.
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a task of the reconciler ended by itself");
                }
            }
            // A spec or DRBD changed. Cancel-safe: a missed wake-up is stored.
            () = shared.wake.notified() => {}
            // Somebody's time has come. A full house waits for a task to end.
            () = tokio::time::sleep_until(next), if tasks.len() < TASKS_MAX => {}
        }
    }
}

fn next_due(shared: &Shared) -> Instant {
    let state = shared.state();
    let waiting = state.resources.values().filter(|t| t.running.is_none());
    let next = waiting.map(|t| t.due).min();
    next.unwrap_or_else(|| Instant::now() + shared.options.pass_interval)
}

fn start_due(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let now = Instant::now();
    let mut state = shared.state();
    if state.node.is_none() {
        return;
    }
    let due = |t: &Tracked| t.running.is_none() && t.due <= now;
    // What is to come up goes before what is to go.
    let mut keys: Vec<(bool, Instant, String)> = state
        .resources
        .iter()
        .filter(|(_, t)| due(t))
        .map(|(key, t)| {
            let goes = t.forgotten || t.record.spec.target != Target::Up;
            (goes, t.due, key.clone())
        })
        .collect();
    keys.sort();
    for (_, _, key) in keys {
        if tasks.len() >= TASKS_MAX {
            break;
        }
        state.attempts += 1;
        let number = state.attempts;
        if let Some(tracked) = state.resources.get_mut(&key) {
            tracked.running = Some(number);
            tracked.again = false;
            tasks.spawn(attempt(Arc::clone(shared), key, number));
        }
    }
}

/// One attempt at one resource, and what follows from its outcome.
async fn attempt(shared: Arc<Shared>, key: String, number: u64) {
    // A resource that was forgotten and comes again under the same name waits for the attempt at the old one.
    let _turn = shared.machine.lock(&format!("resource/{key}")).await;
    let begun = {
        let state = shared.state();
        let tracked = state.resources.get(&key);
        tracked
            .map(|t| (t.record.clone(), t.forgotten))
            .zip(state.node.clone())
            .map(|(tracked, node)| (tracked, node, state.info.drbd.clone()))
    };
    let Some(((record, forgotten), node, drbd)) = begun else {
        return;
    };
    let attempt = Attempt {
        shared: &shared,
        key: &key,
        spec: &record.spec,
        node,
        drbd,
    };
    let started = Instant::now();
    let result = if forgotten {
        forget(&attempt).await
    } else {
        bring_to_spec(&attempt).await
    };
    let tried = (&record, forgotten);
    finish(&shared, &key, number, tried, result, started.elapsed());
}

fn finish(
    shared: &Shared,
    key: &str,
    number: u64,
    (record, forgotten): (&Record, bool),
    result: Result<()>,
    took: Duration,
) {
    let (generation, spec) = (record.revision.generation, &record.spec);
    let mut state = shared.state();
    let state = &mut *state;
    let found = state.resources.get_mut(key);
    let Some(tracked) = found.filter(|t| t.running == Some(number)) else {
        return;
    };
    tracked.running = None;
    let outcome = match result {
        Ok(()) => {
            if tracked.failures > 0 {
                tracing::info!(resource = spec.name, "is as it should be again");
            }
            tracked.failures = 0;
            tracked.due = Instant::now() + shared.options.pass_interval;
            Outcome::Done
        }
        Err(failure) => failed(tracked, spec, failure, took),
    };
    let outdated = tracked.forgotten != forgotten || tracked.record.spec != *spec;
    if tracked.again || outdated {
        tracked.due = Instant::now();
    }
    // A newer spec is waiting: its own outcome is what counts.
    let owed = tracked.owed.is_some_and(|owed| owed <= generation);
    let retry_in = match &outcome {
        Outcome::Done => None,
        Outcome::Failed { .. } => Some(tracked.due.saturating_duration_since(Instant::now())),
    };
    // Each failure is told, for the time of the next attempt: at most once a minute when it lasts.
    if !outdated && (owed || retry_in.is_some() || tracked.told.as_ref() != Some(&outcome)) {
        tracked.owed = tracked.owed.filter(|owed| *owed > generation);
        tracked.told = Some(outcome.clone());
        let entry = AppliedEntry {
            generation,
            uuid: spec.uuid,
            outcome,
            retry_in_ms: retry_in.map(|pause| pause.as_millis() as u64),
        };
        state.outbox.applied(&spec.name, entry);
        shared.outgoing.notify_one();
    }
}

/// Notes a failed attempt, and when the next one is.
fn failed(tracked: &mut Tracked, spec: &ResourceSpec, failure: Failure, took: Duration) -> Outcome {
    let repeated = match &tracked.told {
        Some(Outcome::Failed { replies }) => replies.first() == Some(failure.reply()),
        Some(Outcome::Done) | None => false,
    };
    if repeated {
        tracing::debug!(resource = spec.name, %failure, "failed again");
    } else {
        tracing::warn!(resource = spec.name, %failure, took_ms = took.as_millis() as u64, "failed");
    }
    let step = (tracked.failures as usize).min(BACKOFF_S.len() - 1);
    tracked.failures = tracked.failures.saturating_add(1);
    let due = Instant::now() + Duration::from_secs(BACKOFF_S[step]);
    // What DRBD gave up is mended once a minute, which must not become two by pauses that end too early.
    tracked.due = tracked.mendable_at().map_or(due, |at| due.min(at));
    Outcome::Failed {
        replies: vec![failure.into_reply()],
    }
}

async fn bring_to_spec(attempt: &Attempt<'_>) -> Result<()> {
    check::resource(attempt.spec)?;
    attempt.shared.save(attempt.key).await?;
    match attempt.spec.target {
        Target::Up => up(attempt).await,
        Target::Down => {
            drbd::down(attempt).await?;
            look_at_volumes(attempt).await
        }
        Target::Leaving => {
            guard_last_copy(attempt).await?;
            drbd::down(attempt).await?;
            look_at_volumes(attempt).await
        }
        Target::Destroyed => destroyed(attempt).await,
    }
}

/// Removes the record and DRBD's files of a resource that the controller no longer has. What it has on this node stays.
async fn forget(attempt: &Attempt<'_>) -> Result<()> {
    let host = attempt.shared.machine.host();
    // A file without a spec would bring the resource back at the next boot.
    let files = drbd::Files::of(attempt);
    host.remove_file(&files.res).await?;
    host.remove_file(&files.adjusted).await?;
    attempt.shared.drop_forgotten(attempt.key).await
}

async fn up(attempt: &Attempt<'_>) -> Result<()> {
    drbd::check(attempt)?;
    guard_disks(attempt).await?;
    let devices = storage::ensure(attempt).await?;
    drbd::up(attempt, &devices).await?;
    if attempt.spec.drbd.is_none() {
        make_plain_filesystems(attempt, &devices).await?;
    }
    // Volumes that DRBD has let go of.
    let mut going: Vec<(u32, &str)> = Vec::new();
    for volume in attempt
        .spec
        .volumes
        .iter()
        .filter(|v| v.target == Target::Destroyed)
    {
        going.push((volume.number, &volume.pool));
    }
    going.extend(going_disks(attempt.spec));
    for (number, pool) in going {
        guard_leftover(attempt, number, pool).await?;
        storage::destroy(attempt, pool, number).await?;
    }
    Ok(())
}

/// Before a volume under a running resource goes: where the resource stays and only its disk goes, another node must
/// have the data now.
async fn guard_leftover(attempt: &Attempt<'_>, number: u32, pool: &str) -> Result<()> {
    let stays = attempt
        .spec
        .volumes
        .iter()
        .any(|v| v.number == number && v.target != Target::Destroyed);
    if !stays || storage::look(attempt, pool, number).await?.is_none() {
        return Ok(());
    }
    last_copy::guard_diskless(attempt, number)
}

async fn make_plain_filesystems(
    attempt: &Attempt<'_>,
    devices: &BTreeMap<u32, crate::providers::Backing>,
) -> Result<()> {
    for volume in &attempt.spec.volumes {
        let Some(backing) = devices.get(&volume.number) else {
            continue;
        };
        let Some(wish) = crate::drbd::steps::FileSystemWish::of(volume)? else {
            continue;
        };
        let notes = attempt.notes();
        if notes
            .volumes
            .get(&volume.number)
            .is_some_and(|v| v.filesystem_done)
        {
            continue;
        }
        wish.make_if_empty(attempt, &backing.path)
            .await
            .map_err(|f| {
                f.context(
                    code::FAIL_UNKNOWN_ERROR,
                    format!(
                        "No file system could be made on volume {} of '{}'.",
                        volume.number, attempt.spec.name
                    ),
                )
            })?;
        let number = volume.number;
        let change = |notes: &mut Notes| {
            notes.volumes.entry(number).or_default().filesystem_done = true;
        };
        attempt.note(change).await?;
    }
    Ok(())
}

/// Looks whether the volumes of a resource that is down are still there, for its status only.
async fn look_at_volumes(attempt: &Attempt<'_>) -> Result<()> {
    for volume in &attempt.spec.volumes {
        let found = storage::look(attempt, &volume.pool, volume.number).await?;
        storage::tell_facts(attempt, volume.number, found.as_ref());
    }
    Ok(())
}

async fn destroyed(attempt: &Attempt<'_>) -> Result<()> {
    guard_last_copy(attempt).await?;
    drbd::down(attempt).await?;
    for (number, pool) in storage_of(attempt.spec) {
        storage::destroy(attempt, pool, number).await?;
    }
    Ok(())
}

/// Before a replica goes: another node must have its data.
async fn guard_last_copy(attempt: &Attempt<'_>) -> Result<()> {
    let left = left(attempt, &storage_of(attempt.spec)).await?;
    if left.is_empty() {
        return Ok(());
    }
    guard(attempt, &left).await
}

/// Before DRBD comes up without the disks that it is to let go of: another node must have their data. Once DRBD is up it
/// is asked about each disk anyway.
async fn guard_disks(attempt: &Attempt<'_>) -> Result<()> {
    let going = going_disks(attempt.spec);
    if going.is_empty() || drbd::known(attempt).await? != Seen::Absent {
        return Ok(());
    }
    let left = left(attempt, &going).await?;
    if left.is_empty() {
        return Ok(());
    }
    guard(attempt, &left).await
}

/// Where a replica that became diskless had its volumes.
fn going_disks(spec: &ResourceSpec) -> Vec<(u32, &str)> {
    let going = spec.destroy_storage.iter();
    going.map(|s| (s.number, s.pool.as_str())).collect()
}

/// Everything that a replica has in storage pools.
fn storage_of(spec: &ResourceSpec) -> Vec<(u32, &str)> {
    let diskless = spec.drbd.as_ref().is_some_and(|d| d.diskless);
    let own = spec.volumes.iter().filter(|_| !diskless);
    own.map(|v| (v.number, v.pool.as_str()))
        .chain(going_disks(spec))
        .collect()
}

/// The volumes that are still there.
async fn left<'a>(
    attempt: &Attempt<'_>,
    volumes: &[(u32, &'a str)],
) -> Result<Vec<(u32, &'a str)>> {
    let mut left = Vec::new();
    for (number, pool) in volumes {
        if storage::look(attempt, pool, *number).await?.is_some() {
            left.push((*number, *pool));
        }
    }
    Ok(left)
}

/// Sees to it that the last up-to-date copy is not what is about to go.
async fn guard(attempt: &Attempt<'_>, left: &[(u32, &str)]) -> Result<()> {
    match last_copy::guard(attempt, left).await? {
        Verdict::MayGo => Ok(()),
        Verdict::Ask => {
            // DRBD is down, after a reboot in the middle of a deletion for example. The peers can be asked.
            let spec = with_disks(attempt.spec, left);
            let up = Attempt {
                shared: attempt.shared,
                key: attempt.key,
                spec: &spec,
                node: Arc::clone(&attempt.node),
                drbd: attempt.drbd.clone(),
            };
            let devices = storage::ensure(&up).await?;
            drbd::up(&up, &devices).await?;
            last_copy::guard_after_asking(attempt).await
        }
    }
}

/// The replica as it was with these disks, which need nothing but to be there.
fn with_disks(spec: &ResourceSpec, left: &[(u32, &str)]) -> ResourceSpec {
    let mut spec = spec.clone();
    spec.target = Target::Up;
    spec.destroy_storage.clear();
    if let Some(drbd) = &mut spec.drbd {
        drbd.diskless = false;
    }
    spec.volumes.retain_mut(|volume| {
        let Some((_, pool)) = left.iter().find(|(number, _)| *number == volume.number) else {
            return false;
        };
        volume.target = Target::Up;
        volume.pool = (*pool).to_owned();
        volume
            .props
            .retain(|key, _| !key.starts_with("FileSystem/"));
        if let Some(layer) = &mut volume.drbd {
            layer.grow = false;
        }
        true
    });
    spec
}
