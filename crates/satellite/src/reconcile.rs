//! The reconciler: looks at each resource when there is a reason to, or time has passed, and brings it to its spec.
//!
//! It takes no input but the table of resources. Each resource is worked on by one task at a time; tasks of different
//! resources share nothing but the turn at a volume group, so that a sick one delays no other.

use std::sync::Arc;
use std::time::Duration;

use linstor_wire::spec::{ResourceSpec, StorageRef, Target};
use linstor_wire::status::Outcome;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check;
use crate::failure::{Failure, Result};
use crate::layers::{self, Attempt, filesystem, storage};
use crate::outbox::AppliedEntry;
use crate::shared::{Shared, Tracked};
use crate::spec_store::Record;

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
            done: layers::done(spec, &tracked.record.notes),
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
    let spec = attempt.spec;
    check::resource(spec)?;
    attempt.shared.save(attempt.key).await?;
    match spec.target {
        Target::Up => {
            layers::check(attempt).await?;
            let devices = layers::up(attempt).await?;
            layers::remove(attempt, &leftovers(spec)).await?;
            filesystem::make(attempt, &devices).await
        }
        Target::Down => {
            layers::down(attempt).await?;
            layers::observe(attempt).await
        }
        Target::Leaving => {
            layers::guard(attempt).await?;
            layers::down(attempt).await?;
            layers::observe(attempt).await
        }
        Target::Destroyed => {
            layers::guard(attempt).await?;
            layers::down(attempt).await?;
            let all = storage::own_volumes(spec).chain(spec.destroy_storage.iter().cloned());
            layers::remove(attempt, &all.collect::<Vec<_>>()).await
        }
    }
}

/// Removes the record of a resource that the controller no longer has, and what would bring the resource back at the next
/// boot. What it has on this node stays.
async fn forget(attempt: &Attempt<'_>) -> Result<()> {
    layers::forget(attempt).await?;
    attempt.shared.drop_forgotten(attempt.key).await
}

/// Backing volumes that are destroyed while the resource stays: those of volumes that are deleted, and those of a
/// resource that has become diskless.
fn leftovers(spec: &ResourceSpec) -> Vec<StorageRef> {
    let deleted = |volume: &StorageRef| {
        let mut volumes = spec.volumes.iter();
        volumes.any(|v| v.number == volume.number && v.target == Target::Destroyed)
    };
    let own = storage::own_volumes(spec).filter(deleted);
    own.chain(spec.destroy_storage.iter().cloned()).collect()
}
