//! The reconciler: looks at each resource when there is a reason to, or time has passed, and brings it to its spec.
//!
//! It takes no input but the table of resources. Each resource is worked on by one task at a time; tasks of different
//! resources share nothing but the turn at a volume group, so that a sick one delays no other.

use std::sync::Arc;
use std::time::Duration;

use linstor_wire::Key;
use linstor_wire::spec::{ResourceSpec, Spec, StorageRef, Target};
use linstor_wire::status::Outcome;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check;
use crate::failure::{Failure, Result};
use crate::layers::{self, Attempt, filesystem, storage};
use crate::outbox::AppliedEntry;
use crate::shared::{Shared, State, Tracked};
use crate::space;
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
    let waiting = state.objects.values().filter(|t| t.running.is_none());
    let next = waiting.map(|t| t.due).min();
    next.unwrap_or_else(|| Instant::now() + shared.options.pass_interval)
}

fn start_due(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let now = Instant::now();
    let mut state = shared.state();
    if state.node().is_none() {
        return;
    }
    let due = |t: &Tracked| t.running.is_none() && t.due <= now;
    // What is to come up goes before what is to go.
    let mut keys: Vec<(bool, Instant, Key)> = state
        .objects
        .iter()
        .filter(|(_, t)| due(t))
        .map(|(key, t)| {
            let goes = |spec: &ResourceSpec| t.forgotten || spec.target != Target::Up;
            (
                t.resource().is_some_and(|spec| goes(spec)),
                t.due,
                key.clone(),
            )
        })
        .collect();
    keys.sort();
    for (_, _, key) in keys {
        if tasks.len() >= TASKS_MAX {
            break;
        }
        state.attempts += 1;
        let number = state.attempts;
        if let Some(tracked) = state.objects.get_mut(&key) {
            tracked.running = Some(number);
            tracked.again = false;
            tasks.spawn(attempt(Arc::clone(shared), key, number));
        }
    }
}

/// One attempt at one object, and what follows from its outcome.
async fn attempt(shared: Arc<Shared>, key: Key, number: u64) {
    // An object that was forgotten and comes again under the same name waits for the attempt at the old one.
    let _turn = shared
        .machine
        .lock(&format!("attempt/{}", key.folded()))
        .await;
    let begun = {
        let state = shared.state();
        let tracked = state.objects.get(&key);
        tracked
            .map(|t| (t.record.clone(), t.forgotten))
            .zip(state.node().cloned())
            .map(|(tracked, node)| (tracked, node, state.info.drbd.clone()))
    };
    let Some(((record, forgotten), node, drbd)) = begun else {
        return;
    };
    let started = Instant::now();
    let result = match &record.spec {
        Spec::Node(_) => bring_node_to_spec(&shared).await,
        Spec::Resource(spec) => {
            let attempt = Attempt {
                shared: &shared,
                key: &key,
                spec,
                node,
                drbd,
            };
            let done = if forgotten {
                forget(&attempt).await
            } else {
                bring_to_spec(&attempt).await
            };
            done.map_err(|failure| vec![failure])
        }
    };
    let tried = (&record, forgotten);
    finish(&shared, &key, number, tried, result, started.elapsed());
}

fn finish(
    shared: &Shared,
    key: &Key,
    number: u64,
    (record, forgotten): (&Record, bool),
    result: std::result::Result<(), Vec<Failure>>,
    took: Duration,
) {
    let (generation, spec) = (record.revision.generation, &record.spec);
    let mut state = shared.state();
    let state = &mut *state;
    let found = state.objects.get_mut(key);
    let Some(tracked) = found.filter(|t| t.running == Some(number)) else {
        return;
    };
    tracked.running = None;
    let outcome = match result {
        Ok(()) => {
            if tracked.failures > 0 {
                tracing::info!(%key, "matches its spec again");
            }
            tracked.failures = 0;
            tracked.due = Instant::now() + shared.options.pass_interval;
            Outcome::Done
        }
        Err(failures) => failed(tracked, key, failures, took),
    };
    let outdated = tracked.forgotten != forgotten || tracked.record.spec != *spec;
    if tracked.again || outdated {
        tracked.due = Instant::now();
    }
    // A newer spec is waiting: its own outcome is what counts.
    let owed = tracked.owed.is_some_and(|owed| owed <= generation);
    let retry_in = match &outcome {
        Outcome::Done | Outcome::Waiting { .. } => None,
        Outcome::Failed { .. } => Some(tracked.due.saturating_duration_since(Instant::now())),
    };
    // Each failure is told, for the time of the next attempt: at most once a minute when it lasts.
    if !outdated
        && !tracked.refused
        && (owed || retry_in.is_some() || tracked.told.as_ref() != Some(&outcome))
    {
        tracked.owed = tracked.owed.filter(|owed| *owed > generation);
        tracked.told = Some(outcome.clone());
        let entry = AppliedEntry {
            generation,
            uuid: spec.uuid(),
            outcome,
            done: match spec {
                Spec::Node(_) => Vec::new(),
                Spec::Resource(spec) => layers::done(spec, &tracked.record.notes),
            },
            retry_in_ms: retry_in.map(|pause| pause.as_millis() as u64),
        };
        state.outbox.applied(key, entry);
        shared.outgoing.notify_one();
    }
}

/// Notes a failed attempt, and when the next one is.
fn failed(tracked: &mut Tracked, key: &Key, failures: Vec<Failure>, took: Duration) -> Outcome {
    let first = failures.first();
    let repeated = match &tracked.told {
        Some(Outcome::Failed { replies }) => replies.first() == first.map(Failure::reply).as_ref(),
        Some(Outcome::Done | Outcome::Waiting { .. }) | None => false,
    };
    let failure = first.map(ToString::to_string).unwrap_or_default();
    if repeated {
        tracing::debug!(%key, failure, "failed again");
    } else {
        tracing::warn!(%key, failure, took_ms = took.as_millis() as u64, "failed");
    }
    let step = (tracked.failures as usize).min(BACKOFF_S.len() - 1);
    tracked.failures = tracked.failures.saturating_add(1);
    let due = Instant::now() + Duration::from_secs(BACKOFF_S[step]);
    // What DRBD gave up is mended once a minute, which must not become two by pauses that end too early.
    tracked.due = tracked.mendable_at().map_or(due, |at| due.min(at));
    Outcome::Failed {
        replies: failures.into_iter().map(Failure::into_reply).collect(),
    }
}

/// The node has what its spec says when each of its storage pools can be used.
async fn bring_node_to_spec(shared: &Shared) -> std::result::Result<(), Vec<Failure>> {
    shared
        .save(&Key::Node)
        .await
        .map_err(|failure| vec![failure])?;
    let pools = space::look(shared).await;
    let problems = pools.iter().filter_map(|pool| pool.problem.clone());
    let failures: Vec<Failure> = problems.map(Failure::from).collect();
    let owed = |state: &State| state.objects.get(&Key::Node)?.owed;
    let mut state = shared.state();
    if owed(&state).is_some() {
        // Before the outcome, so that who waits for that finds it.
        state.outbox.space(pools, None);
        shared.outgoing.notify_one();
    }
    drop(state);
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

async fn bring_to_spec(attempt: &Attempt<'_>) -> Result<()> {
    let spec = attempt.spec;
    check::resource(spec)?;
    // Its pools are in the node's.
    attempt.shared.save(&Key::Node).await?;
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
