//! Begins the backups of schedules when they are due, and has deleted what they do not retain any more.
//!
//! What was done is in the rows of the resource definitions (`model::backup::history`): after a start, or a time in which the
//! clock was wrong, a backup that is due is begun once, however many times have passed. What is due is computed anew for the
//! definitions that have changed, and looked for when something was stored, when the next one is due, and now and then, as
//! the clock may be set.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use linstor_model::backup::history::{self, Due, RETRY_AFTER_MAX_MS, Triple};
use linstor_model::name::ResourceName;
use linstor_model::{Model, ResourceDefinition};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::ops::schedule::run::{self, Started, in_words};
use crate::ops::schedule::{active, local_times};
use crate::transaction::{Refusal, Transaction};

/// The longest pause: the clock may be set meanwhile, which nothing tells.
const RECHECK: Duration = Duration::from_secs(30);
/// How long further commits are waited for.
const SETTLE: Duration = Duration::from_millis(200);
/// How long after a backup that could not be begun at that moment it is tried again.
const NOT_NOW: Duration = Duration::from_secs(2);
/// How long after a failure of the database, or of a deletion, it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Once [`BURST`] backups were begun, one is begun in each such time: each suspends I/O for its snapshot, and lists a bucket.
const SPREAD: Duration = Duration::from_secs(2);
/// How many backups are begun at once.
const BURST: u32 = 8;
/// A time that counts as done and that is so far in the future was noted while the clock was wrong, in milliseconds.
const WRONG_CLOCK_MS: u64 = 60_000;
/// How many definitions one commit changes at most.
const PER_COMMIT_MAX: usize = 64;

/// A schedule that is enabled for a resource definition.
#[derive(Debug)]
struct Use {
    of: Triple,
    due: Due,
    counted_from: u64,
    expires: bool,
}

/// What was found out about a definition.
#[derive(Debug)]
struct Known {
    row: Arc<ResourceDefinition>,
    uses: Vec<Use>,
    /// Runs whose times have to be counted from now on, or not any more.
    uncounted: Vec<(Triple, bool)>,
}

#[derive(Debug)]
struct State {
    /// The model that was last seen.
    seen: Option<Arc<Model>>,
    known: BTreeMap<ResourceName, Known>,
    /// What is at work.
    at_work: HashMap<Id, Triple>,
    /// What is not tried before a time.
    not_before: BTreeMap<Triple, Instant>,
    /// From when on the next backup is begun without a pause, if fewer than [`BURST`] were begun before.
    free_at: Instant,
}

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    let mut tasks: JoinSet<Option<Duration>> = JoinSet::new();
    let mut state = State {
        seen: None,
        known: BTreeMap::new(),
        at_work: HashMap::new(),
        not_before: BTreeMap::new(),
        free_at: Instant::now(),
    };
    loop {
        let wake_at = pass(&cluster, &mut state, &mut tasks).await;
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe.
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                let (id, pause) = match ended {
                    Ok(ended) => ended,
                    Err(error) => {
                        tracing::error!(%error, "a task of a scheduled backup panicked");
                        (error.id(), Some(RETRY_AFTER))
                    }
                };
                if let (Some(of), Some(pause)) = (state.at_work.remove(&id), pause) {
                    state.not_before.insert(of, Instant::now() + pause);
                }
            }
            // Cancel-safe: a notice that is lost after this arm has won is not needed, as everything is looked at.
            () = cluster.shared.schedules.notified() => {
                let _ended = timeout(SETTLE, shutdown.cancelled()).await;
            }
            // Cancel-safe: a timer that begins anew is computed anew.
            () = sleep_until(wake_at) => {}
        }
    }
}

/// Begins what is due; returns when to look again.
async fn pass(
    cluster: &Cluster,
    state: &mut State,
    tasks: &mut JoinSet<Option<Duration>>,
) -> Instant {
    let recheck = Instant::now() + RECHECK;
    refresh(&cluster.model(), state);
    let now_ms = cluster.env().now_ms();
    if !count(cluster, state, now_ms).await {
        return recheck;
    }
    let (model, now) = (cluster.model(), Instant::now());
    state.not_before.retain(|_, at| *at > now);
    let mut wake_at = state
        .not_before
        .values()
        .copied()
        .fold(recheck, Instant::min);
    let uses = state.known.values().flat_map(|known| &known.uses);
    let is_free = |of: &Triple| {
        let mut at_work = state.at_work.values();
        !state.not_before.contains_key(of) && !at_work.any(|other| other == of)
    };
    let (mut due, mut expiring) = (Vec::new(), Vec::new());
    for entry in uses.filter(|entry| is_free(&entry.of)) {
        let is_held = || run::held(&model, &entry.of, cluster.master_key().is_some()).is_some();
        if entry.expires {
            if !is_held() {
                expiring.push(entry.of.clone());
            }
            continue;
        }
        let Some(at) = entry.due.at() else { continue };
        if at > now_ms {
            wake_at = wake_at.min(now + Duration::from_millis(at - now_ms));
        } else if run::is_deployed(&model, &entry.of.resource)
            && !run::is_running(&model, &entry.of)
            && !is_held()
        {
            let incremental = entry.due.is_incremental_at(now_ms);
            due.push((at, entry.of.clone(), incremental, entry.counted_from));
        }
    }
    for of in expiring {
        let id = tasks.spawn(expire(cluster.clone(), of.clone())).id();
        state.at_work.insert(id, of);
    }
    // The longest due first.
    due.sort();
    for (_, of, incremental, counted_from) in due {
        let from = state.free_at.max(now);
        if from > now + SPREAD * BURST {
            wake_at = wake_at.min(from - SPREAD * BURST);
            break;
        }
        state.free_at = from + SPREAD;
        let work = begin(cluster.clone(), of.clone(), incremental, counted_from);
        let id = tasks.spawn(work).id();
        state.at_work.insert(id, of);
    }
    wake_at
}

/// Computes anew what is due of definitions that have changed, or of all where what they inherit has.
fn refresh(model: &Arc<Model>, state: &mut State) {
    if model.schedules.is_empty() {
        state.known.clear();
        state.seen = None;
        return;
    }
    let inherits_same = state.seen.as_ref().is_some_and(|seen| {
        Arc::ptr_eq(&seen.controller, &model.controller)
            && seen.groups.ptr_eq(&model.groups)
            && seen.schedules.ptr_eq(&model.schedules)
            && seen.remotes.ptr_eq(&model.remotes)
    });
    if !inherits_same {
        state.known.clear();
    }
    let same = |seen: &Arc<Model>| inherits_same && seen.definitions.ptr_eq(&model.definitions);
    if state.seen.as_ref().is_some_and(same) {
        return;
    }
    state
        .known
        .retain(|name, _| model.definitions.contains_key(name));
    let after = local_times();
    for (name, row) in &model.definitions {
        let known = state.known.get(name);
        if known.is_none_or(|known| !Arc::ptr_eq(&known.row, row)) {
            state.known.insert(name.clone(), look(model, row, &after));
        }
    }
    state.seen = Some(Arc::clone(model));
}

fn look(
    model: &Model,
    row: &Arc<ResourceDefinition>,
    after: &dyn Fn(&linstor_model::cron::Cron, u64) -> Option<u64>,
) -> Known {
    let active = active(model, row);
    let (mut uses, mut uncounted) = (Vec::new(), Vec::new());
    for of in &active {
        let Some(schedule) = model.schedules.get(&of.schedule) else {
            continue;
        };
        let run = model.run(of);
        let Some((run, counted_from)) = run.and_then(|run| Some((run, run.counted_from?))) else {
            uncounted.push((of.clone(), true));
            continue;
        };
        uses.push(Use {
            of: of.clone(),
            due: Due::of(schedule, run, counted_from, after),
            counted_from,
            expires: run.expires,
        });
    }
    for (remote, on_remote) in &row.backups {
        for (schedule, run) in &on_remote.runs {
            let of = Triple {
                resource: row.name.clone(),
                remote: remote.clone(),
                schedule: schedule.clone(),
            };
            if run.counted_from.is_some() && !active.contains(&of) {
                uncounted.push((of, false));
            }
        }
    }
    Known {
        row: Arc::clone(row),
        uses,
        uncounted,
    }
}

/// Notes from when on times count: from now on where a schedule was enabled, or where the clock was set back. Returns whether
/// that was stored.
async fn count(cluster: &Cluster, state: &mut State, now_ms: u64) -> bool {
    let mut changes: Vec<(Triple, Option<u64>)> = Vec::new();
    for known in state.known.values() {
        let uncounted = known.uncounted.iter();
        changes.extend(uncounted.map(|(of, counts)| (of.clone(), counts.then_some(now_ms))));
        let limit = now_ms.saturating_add(WRONG_CLOCK_MS);
        let wrong = known.uses.iter().filter(|entry| {
            let retry = entry.due.retry.map_or(0, |(at, _)| at);
            entry.counted_from > limit || retry > limit.saturating_add(RETRY_AFTER_MAX_MS)
        });
        for entry in wrong {
            tracing::warn!(resource = %entry.of.resource, schedule = %entry.of.schedule, "the clock was set back: times of the schedule count from now on");
            changes.push((entry.of.clone(), Some(now_ms)));
        }
    }
    if changes.is_empty() {
        return true;
    }
    for chunk in changes.chunks(PER_COMMIT_MAX) {
        let chunk = chunk.to_vec();
        let change = move |tx: &mut Transaction<'_>| {
            for (of, at) in &chunk {
                let note = |tx: &mut Transaction<'_>| {
                    tx.plan(|draft, _, _| history::count_from(draft, of, *at));
                };
                // What the store does not take at once with the others comes next.
                if tx.if_fits(note).is_none() {
                    break;
                }
            }
            Ok(())
        };
        if let Err(refusal) = cluster.commit(change).await {
            // The writer has logged why.
            tracing::debug!(?refusal, "what is due of schedules was not stored");
            return false;
        }
    }
    refresh(&cluster.model(), state);
    true
}

/// Begins a backup. Returns how long it is not tried again.
async fn begin(
    cluster: Cluster,
    of: Triple,
    incremental: bool,
    counted_from: u64,
) -> Option<Duration> {
    let (resource, remote, schedule) = (&of.resource, &of.remote, &of.schedule);
    match run::start(&cluster, &of, incremental, counted_from).await {
        Ok(Started::Begun) => {
            tracing::info!(%resource, %remote, %schedule, "a scheduled backup was begun");
            None
        }
        Ok(Started::NotNow) => Some(NOT_NOW),
        Err(refusal) => {
            tracing::warn!(%resource, %remote, %schedule, reason = words(&refusal), "a scheduled backup was not begun");
            // The next attempt is in the row, unless that could not be written.
            Some(NOT_NOW)
        }
    }
}

/// Deletes what is not retained any more. Returns how long it is not tried again.
async fn expire(cluster: Cluster, of: Triple) -> Option<Duration> {
    let Err(refusal) = run::expire(&cluster, &of).await else {
        return None;
    };
    let (resource, remote, schedule) = (&of.resource, &of.remote, &of.schedule);
    tracing::warn!(%resource, %remote, %schedule, reason = words(&refusal), "what the schedule does not retain any more was not deleted");
    Some(RETRY_AFTER)
}

fn words(Refusal(replies): &Refusal) -> String {
    let first = replies.iter().find(|reply| reply.is_error());
    first.map_or_else(String::new, in_words)
}
