//! Takes the steps of processes, and notes when a first deployment is over.
//!
//! Level-triggered: the processes of a definition or a node are advanced when anything that concerns them changed
//! (rows, or what nodes report), when the controller starts, and at their deadline; each time it is the same pure
//! function on the state as it is then. Nothing is done on a timer otherwise.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use linstor_model::model::RowKey;
use linstor_model::process::{self, Object};
use linstor_model::{Draft, Model, Observed};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::transaction::Transaction;

/// How long after a commit that was not stored it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long the end of a first deployment waits to be noted together with others: nobody waits for that.
const NOTE_AFTER: Duration = Duration::from_millis(20);
/// The longest sleep until a deadline; a longer one begins anew.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// How many objects one commit advances at most, so that requests get their turn in between.
const OBJECTS_PER_COMMIT_MAX: usize = 64;

/// Nodes and resource definitions whose processes may have a step to take.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    keys: Mutex<BTreeSet<RowKey>>,
    marked: Notify,
    /// Something with a process is among them.
    process_marked: Notify,
}

impl Pending {
    /// Something that concerns the processes or the first deployment of a resource definition, or the processes of a node
    /// itself, has changed.
    pub(crate) fn mark(&self, model: &Model, key: RowKey) {
        let has_process = match &key {
            RowKey::ResourceDefinition(name) => model.processes_of(name).next().is_some(),
            _ => true,
        };
        self.lock().insert(key);
        self.marked.notify_one();
        if has_process {
            self.process_marked.notify_one();
        }
    }

    /// As much as one commit takes, and whether more is left.
    fn take_some(&self) -> (BTreeSet<RowKey>, bool) {
        let mut keys = self.lock();
        let mut some = BTreeSet::new();
        while some.len() < OBJECTS_PER_COMMIT_MAX
            && let Some(key) = keys.pop_first()
        {
            some.insert(key);
        }
        (some, !keys.is_empty())
    }

    fn put_back(&self, some: BTreeSet<RowKey>) {
        self.lock().extend(some);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<RowKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    mark_everything(&cluster);
    loop {
        let stored = advance_marked(&cluster).await;
        let wake_at = match stored {
            true => at_first_deadline(&cluster),
            false => Some(Instant::now() + RETRY_AFTER),
        };
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe: a timer that begins anew is computed anew. Before the marks, which a store that fails would
            // otherwise have tried again at once.
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            // Cancel-safe: the notice is consumed only when this arm wins; all marks are taken afterwards.
            () = cluster.shared.pending.marked.notified(), if stored => {
                // Cancel-safe, and late at worst.
                let process = cluster.shared.pending.process_marked.notified();
                let _ = tokio::time::timeout(NOTE_AFTER, process).await;
            }
        }
        mark_expired(&cluster);
    }
}

fn mark_everything(cluster: &Cluster) {
    let model = cluster.model();
    for name in model.pending_definitions() {
        let key = RowKey::ResourceDefinition(name.clone());
        cluster.shared.pending.mark(&model, key);
    }
    for process in model.processes.values() {
        mark_objects(cluster, &process.objects());
    }
}

fn mark_objects(cluster: &Cluster, objects: &[Object]) {
    let model = cluster.model();
    for object in objects {
        cluster.shared.pending.mark(&model, object.row());
    }
}

fn at_first_deadline(cluster: &Cluster) -> Option<Instant> {
    let (at, _) = cluster.model().first_deadline()?;
    let left = at.saturating_sub(cluster.env().now_ms());
    Some(Instant::now() + Duration::from_millis(left).min(SLEEP_MAX))
}

fn mark_expired(cluster: &Cluster) {
    let model = cluster.model();
    if let Some((at, process)) = model.first_deadline()
        && at <= cluster.env().now_ms()
    {
        mark_objects(cluster, &process.objects());
    }
}

/// Takes the steps that can be taken; returns whether all of them were stored.
async fn advance_marked(cluster: &Cluster) -> bool {
    loop {
        let (pending, more) = cluster.shared.pending.take_some();
        if pending.is_empty() {
            return true;
        }
        let (observed, now) = (cluster.observed(), cluster.env().now_ms());
        // Most of the time there is no step to take; then the writer's queue is spared.
        let mut trial = Draft::new(Model::clone(&cluster.model()));
        let mut step = |key| process::advance_once(&mut trial, &observed, key, now);
        if pending.iter().any(&mut step) {
            let again = pending.clone();
            let result = cluster
                .commit(move |tx| Ok(advance_as_fits(tx, &observed, pending, now)))
                .await;
            match result {
                // What the store does not take at once with the others comes next.
                Ok(committed) if committed.changed => {
                    cluster.shared.pending.put_back(committed.value);
                    continue;
                }
                Ok(committed) if committed.value.is_empty() => {}
                Ok(committed) => {
                    cluster.shared.pending.put_back(committed.value);
                    return false;
                }
                Err(refusal) => {
                    // The writer has logged why.
                    tracing::debug!(?refusal, "steps of processes were not stored");
                    cluster.shared.pending.put_back(again);
                    return false;
                }
            }
        }
        if !more {
            return true;
        }
    }
}

/// Takes the steps that the store takes at once; returns where others are left.
fn advance_as_fits(
    tx: &mut Transaction<'_>,
    observed: &Observed,
    pending: BTreeSet<RowKey>,
    now_ms: u64,
) -> BTreeSet<RowKey> {
    let mut left = BTreeSet::new();
    for key in pending {
        let step = |tx: &mut Transaction<'_>| process::advance_once(tx, observed, &key, now_ms);
        loop {
            match tx.if_fits(step) {
                Some(true) => {}
                Some(false) => break,
                None => {
                    left.insert(key);
                    break;
                }
            }
        }
    }
    left
}
