//! Takes the steps of processes, and notes when a first deployment is over.
//!
//! Level-triggered: the processes of a definition or a node are advanced when anything that concerns them changed (rows,
//! or what nodes report), when the controller starts, and at their deadline; each time it is the same pure function on
//! the state as it is then. Nothing is done on a timer otherwise.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use linstor_model::name::{NodeName, ResourceName};
use linstor_model::process::{self, Object};
use linstor_model::{Draft, Model, Observed};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::transaction::Transaction;

/// How long after a commit that was not stored it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The longest sleep until a deadline; a longer one begins anew.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// How many definitions one commit advances at most, so that requests get their turn in between.
const DEFINITIONS_PER_COMMIT_MAX: usize = 64;

/// What may have a step to take.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    marks: Mutex<Marks>,
    marked: Notify,
}

#[derive(Debug, Clone, Default)]
struct Marks {
    definitions: BTreeSet<ResourceName>,
    nodes: BTreeSet<NodeName>,
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.nodes.is_empty()
    }
}

impl Pending {
    /// Something that concerns the processes of a definition has changed.
    pub(crate) fn mark(&self, name: &ResourceName) {
        self.lock().definitions.insert(name.clone());
        self.marked.notify_one();
    }

    /// Something that concerns the processes of a node itself has changed.
    pub(crate) fn mark_node(&self, node: &NodeName) {
        self.lock().nodes.insert(node.clone());
        self.marked.notify_one();
    }

    /// As much as one commit takes, and whether more is left.
    fn take_some(&self) -> (Marks, bool) {
        let mut marks = self.lock();
        let mut some = Marks {
            nodes: std::mem::take(&mut marks.nodes),
            ..Marks::default()
        };
        while some.definitions.len() < DEFINITIONS_PER_COMMIT_MAX
            && let Some(name) = marks.definitions.pop_first()
        {
            some.definitions.insert(name);
        }
        (some, !marks.definitions.is_empty())
    }

    fn put_back(&self, some: Marks) {
        let mut marks = self.lock();
        marks.definitions.extend(some.definitions);
        marks.nodes.extend(some.nodes);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
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
            () = cluster.shared.pending.marked.notified(), if stored => {}
        }
        mark_expired(&cluster);
    }
}

fn mark_everything(cluster: &Cluster) {
    let model = cluster.model();
    for name in model.pending_definitions() {
        cluster.shared.pending.mark(name);
    }
    for process in model.processes.values() {
        mark_objects(cluster, &process.objects());
    }
}

fn mark_objects(cluster: &Cluster, objects: &[Object]) {
    for object in objects {
        match (object, object.definition()) {
            (_, Some(name)) => cluster.shared.pending.mark(name),
            (Object::Node(node), None) => cluster.shared.pending.mark_node(node),
            (_, None) => {}
        }
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

/// Takes the steps that can be taken; says whether all of them were stored.
async fn advance_marked(cluster: &Cluster) -> bool {
    loop {
        let (marks, more) = cluster.shared.pending.take_some();
        if marks.is_empty() {
            return true;
        }
        let (observed, now) = (cluster.observed(), cluster.env().now_ms());
        // Most of the time there is no step to take; then the writer's queue is spared.
        let mut trial = Draft::new(Model::clone(&cluster.model()));
        if advance(&mut trial, &observed, &marks, now) {
            let again = marks.clone();
            let result = cluster
                .commit(move |tx| Ok(advance_as_fits(tx, &observed, marks, now)))
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
    marks: Marks,
    now_ms: u64,
) -> Marks {
    let mut left = Marks::default();
    for node in marks.nodes {
        let step = |tx: &mut Transaction<'_>| process::advance_node(tx, observed, &node, now_ms);
        if tx.if_fits(step).is_none() {
            left.nodes.insert(node);
        }
    }
    for name in marks.definitions {
        let step = |tx: &mut Transaction<'_>| process::advance_once(tx, observed, &name, now_ms);
        loop {
            match tx.if_fits(step) {
                Some(true) => {}
                Some(false) => break,
                None => {
                    left.definitions.insert(name);
                    break;
                }
            }
        }
    }
    left
}

fn advance(draft: &mut Draft, observed: &Observed, marks: &Marks, now_ms: u64) -> bool {
    let mut changed = false;
    for name in &marks.definitions {
        changed |= process::advance(draft, observed, name, now_ms);
    }
    for node in &marks.nodes {
        changed |= process::advance_node(draft, observed, node, now_ms);
    }
    changed
}
