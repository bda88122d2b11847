//! The reconciler: makes an attempt to bring each object to its spec when something changed, and after an interval.
//!
//! It takes no input but the table of resources. Each resource is worked on by one task at a time; tasks of different
//! resources share nothing but the lock of a volume group, so that one that hangs delays no other.

use std::sync::Arc;
use std::time::Duration;

use linstor_wire::Key;
use linstor_wire::spec::{ResourceSpec, Spec, StorageRef, Target};
use linstor_wire::status::Outcome;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::check;
use crate::external_file;
use crate::failure::Failure;
use crate::layers::{self, Attempt, filesystem, storage};
use crate::outbox::AppliedEntry;
use crate::shared::{Shared, State, Tracked};
use crate::snapshot;
use crate::space;
use crate::spec_store::Record;
use crate::stop::{self, Stop, Waiting};

/// Resources that are worked on at the same time.
const TASKS_MAX: usize = 256;
/// Pauses after the first, second... failed attempt; the last one repeats.
const BACKOFF_S: [u64; 7] = [1, 2, 5, 10, 20, 40, 60];

/// A wait that ends sooner is not worth a report.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// Works until dropped.
pub async fn run(shared: Arc<Shared>) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    loop {
        start_due(&shared, &mut tasks);
        let next = next_due(&shared).min(report_waiting(&shared));
        tokio::select! {
            biased;
            // A task ended: its place is free. Cancel-safe.
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a task of the reconciler panicked");
                }
            }
            // A spec changed, or something has happened that an object waits for. Cancel-safe: a missed wake-up is
            // stored.
            () = shared.wake.notified() => {}
            // The next attempt is due. When all tasks are in use, it waits for one to end.
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
    // Resources that come up are served before those that are taken down or destroyed.
    let mut keys: Vec<(bool, Instant, Key)> = state
        .objects
        .iter()
        .filter(|(_, t)| due(t))
        .map(|(key, t)| {
            let goes_down = |spec: &ResourceSpec| t.forgotten || spec.target != Target::Up;
            (
                t.resource().is_some_and(|spec| goes_down(spec)),
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
            tracked.waiting = None;
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
            .map(|t| (t.record.clone(), t.forgotten, t.version))
            .zip(state.node().cloned())
            .map(|(tracked, node)| (tracked, node, state.info.drbd.clone()))
    };
    let Some(((record, forgotten, version), node, drbd)) = begun else {
        return;
    };
    let started = Instant::now();
    let ended = match &record.spec {
        Spec::Node(_) => match bring_node_to_spec(&shared).await {
            Ok(()) => Ended::Done,
            Err(failures) => Ended::Failed(failures),
        },
        Spec::Snapshot(_) if forgotten => {
            shared.shipments.stop(&shared, &key).await;
            match shared.drop_forgotten(&key).await {
                Ok(()) => Ended::Done,
                Err(failure) => Ended::Failed(vec![failure]),
            }
        }
        Spec::Snapshot(spec) => end(snapshot::bring_to_spec(&shared, &key, spec, &node).await),
        Spec::Resource(spec) => {
            let attempt = Attempt {
                shared: &shared,
                key: &key,
                version,
                spec,
                node,
                drbd,
            };
            let done = if forgotten {
                forget(&attempt).await
            } else {
                bring_to_spec(&attempt).await
            };
            end(done)
        }
    };
    let tried = (&record, version);
    finish(&shared, &key, number, tried, ended, started.elapsed());
    // The condition may have become true since the attempt checked it.
    shared.recheck(&key);
}

fn end(result: stop::Result<()>) -> Ended {
    match result {
        Ok(()) => Ended::Done,
        Err(Stop::Failed(failure)) => Ended::Failed(vec![failure]),
        Err(Stop::Waiting(waiting)) => Ended::Waiting(waiting),
        Err(Stop::Superseded) => Ended::Superseded,
    }
}

/// How an attempt ended.
enum Ended {
    /// The object matches its spec.
    Done,
    /// A step failed.
    Failed(Vec<Failure>),
    /// Something else has to happen first.
    Waiting(Waiting),
    /// There is a newer spec.
    Superseded,
}

fn finish(
    shared: &Shared,
    key: &Key,
    number: u64,
    (record, version): (&Record, u64),
    ended: Ended,
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
    let outdated = tracked.version != version;
    let outcome = match ended {
        Ended::Superseded => None,
        Ended::Waiting(waiting) => {
            tracked.due = waiting.until;
            tracked.waiting = Some(waiting).filter(|_| !outdated);
            None
        }
        Ended::Done => {
            if tracked.failures > 0 {
                tracing::info!(%key, "matches its spec again");
            }
            tracked.failures = 0;
            tracked.due = Instant::now() + shared.options.pass_interval;
            Some(Outcome::Done)
        }
        Ended::Failed(failures) => Some(failed(tracked, key, failures, took)),
    };
    if tracked.again || outdated {
        tracked.due = Instant::now();
    }
    let Some(outcome) = outcome else { return };
    tracked.waits.clear();
    // A newer spec is waiting: its own outcome is what counts.
    let owed = tracked.owed.is_some_and(|owed| owed <= generation);
    let retry_in = match &outcome {
        Outcome::Done | Outcome::Waiting { .. } => None,
        Outcome::Failed { .. } => Some(tracked.due.saturating_duration_since(Instant::now())),
    };
    // Each failure is reported, for the time of the next attempt: at most once a minute when it lasts.
    if !outdated
        && !tracked.refused
        && (owed || retry_in.is_some() || tracked.reported.as_ref() != Some(&outcome))
    {
        tracked.owed = tracked.owed.filter(|owed| *owed > generation);
        tracked.reported = Some(outcome.clone());
        let entry = AppliedEntry {
            generation,
            uuid: spec.uuid(),
            outcome,
            done: done(&tracked.record),
            retry_in_ms: retry_in.map(|pause| pause.as_millis() as u64),
        };
        state.outbox.applied(key, entry);
        shared.outgoing.notify_one();
    }
}

/// Reports waits that last, and how far they are. Returns when the next one is to be reported.
fn report_waiting(shared: &Shared) -> Instant {
    let now = Instant::now();
    let mut next = now + shared.options.pass_interval;
    let mut state = shared.state();
    let State {
        objects, outbox, ..
    } = &mut *state;
    for (key, tracked) in objects {
        let Some(waiting) = &tracked.waiting else {
            continue;
        };
        let Some(begun) = tracked.waits.get_mut(&waiting.what) else {
            continue;
        };
        let done_percent = waiting.done.map(|hundredths| (hundredths / 100) as u8);
        let report = Some((tracked.record.revision.generation, done_percent));
        let at = begun.since + REPORT_AFTER;
        if begun.reported == report || tracked.refused {
            continue;
        }
        if at > now {
            next = next.min(at);
            continue;
        }
        if begun.reported.is_none() {
            tracing::info!(%key, "waiting for {}", waiting.what);
        }
        begun.reported = report;
        let outcome = Outcome::Waiting {
            on: waiting.what.to_string(),
            done_percent,
            moved: shared.shipments.moved(key),
        };
        tracked.reported = Some(outcome.clone());
        let entry = AppliedEntry {
            generation: tracked.record.revision.generation,
            uuid: tracked.record.spec.uuid(),
            outcome,
            done: done(&tracked.record),
            retry_in_ms: None,
        };
        outbox.applied(key, entry);
        shared.outgoing.notify_one();
    }
    next
}

/// Ids of the spec's instructions that have been carried out.
fn done(record: &Record) -> Vec<Uuid> {
    match &record.spec {
        Spec::Node(_) | Spec::Snapshot(_) => Vec::new(),
        Spec::Resource(spec) => layers::done(spec, &record.notes),
    }
}

/// Notes a failed attempt, and when the next one is.
fn failed(tracked: &mut Tracked, key: &Key, failures: Vec<Failure>, took: Duration) -> Outcome {
    let first = failures.first();
    let repeated = match &tracked.reported {
        Some(Outcome::Failed { replies }) => replies.first() == first.map(Failure::reply).as_ref(),
        Some(Outcome::Done | Outcome::Waiting { .. }) | None => false,
    };
    let failure = first.map(ToString::to_string).unwrap_or_default();
    if repeated {
        tracing::debug!(%key, failure, "object still does not match its spec");
    } else {
        tracing::warn!(%key, failure, took_ms = took.as_millis() as u64, "object does not match its spec");
    }
    let step = (tracked.failures as usize).min(BACKOFF_S.len() - 1);
    tracked.failures = tracked.failures.saturating_add(1);
    let due = Instant::now() + Duration::from_secs(BACKOFF_S[step]);
    // The next attempt is no later than DRBD's connections and disks are set up again.
    tracked.due = tracked.mending.next().map_or(due, |at| due.min(at));
    Outcome::Failed {
        replies: failures.iter().map(Failure::reply).collect(),
    }
}

/// The node matches its spec when each of its storage pools can be used.
async fn bring_node_to_spec(shared: &Shared) -> std::result::Result<(), Vec<Failure>> {
    shared
        .save(&Key::Node)
        .await
        .map_err(|failure| vec![failure])?;
    let pools = space::query(shared).await;
    let problems = pools.iter().filter_map(|pool| pool.problem.clone());
    let problems = problems.filter(linstor_api::reply::Reply::is_error);
    let mut failures: Vec<Failure> = problems.map(Failure::from).collect();
    failures.append(&mut external_file::apply(shared).await);
    let owed = |state: &State| state.objects.get(&Key::Node)?.owed;
    let mut state = shared.state();
    if owed(&state).is_some() {
        // Reported before the outcome: a caller that waits for the outcome reads it then.
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

async fn bring_to_spec(attempt: &Attempt<'_>) -> stop::Result<()> {
    let spec = attempt.spec;
    check::resource(spec)?;
    // Its pools are in the node's.
    attempt.shared.save(&Key::Node).await?;
    attempt.shared.save(attempt.key).await?;
    attempt.resumed().await?;
    layers::end_former(attempt).await?;
    match spec.target {
        Target::Up => {
            layers::check(attempt).await?;
            let devices = layers::up(attempt).await?;
            layers::remove(attempt, &leftovers(spec)).await?;
            filesystem::make(attempt, &devices).await
        }
        Target::Down => {
            layers::down(attempt).await?;
            if let Some(wanted) = &spec.roll_back {
                layers::roll_back::roll_back(attempt, wanted).await?;
            }
            Ok(layers::observe(attempt).await?)
        }
        Target::Leaving => {
            layers::guard(attempt).await?;
            layers::down(attempt).await?;
            Ok(layers::observe(attempt).await?)
        }
        Target::Destroyed => {
            layers::guard(attempt).await?;
            layers::down(attempt).await?;
            let all = storage::own_volumes(spec).chain(spec.destroy_storage.iter().cloned());
            layers::remove(attempt, &all.collect::<Vec<_>>()).await
        }
    }
}

/// Removes the record of a resource that the controller no longer has, and what would bring the resource back at the
/// next boot. Its volumes on this node are not removed.
async fn forget(attempt: &Attempt<'_>) -> stop::Result<()> {
    match layers::end_former(attempt).await {
        // It is in use, for example.
        Err(Stop::Failed(failure)) => {
            tracing::warn!(key = %attempt.key, %failure, "not taken down");
        }
        ended => ended?,
    }
    layers::forget(attempt).await?;
    attempt
        .shared
        .copies
        .stop(attempt.shared, attempt.key)
        .await;
    Ok(attempt.shared.drop_forgotten(attempt.key).await?)
}

/// Backing volumes that are destroyed although the resource is not: those of volumes that are deleted, and those of a
/// resource that has become diskless.
fn leftovers(spec: &ResourceSpec) -> Vec<StorageRef> {
    let deleted = |volume: &StorageRef| {
        let mut volumes = spec.volumes.iter();
        volumes.any(|v| v.number == volume.number && v.target == Target::Destroyed)
    };
    let own = storage::own_volumes(spec).filter(deleted);
    own.chain(spec.destroy_storage.iter().cloned()).collect()
}
