//! Moves changes on that take longer than one commit.
//!
//! Level-triggered: a definition is looked at when anything about it changed (rows or what nodes say), when the
//! controller starts, and on a slow timer; each look is the same pure function on the state as it is then.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use linstor_model::name::{NodeName, ResourceName};
use linstor_model::{Draft, Model, Observed, phase};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::transaction::Transaction;

/// How often everything pending is looked at, whether or not something is known to have changed.
const EVERYTHING_INTERVAL: Duration = Duration::from_secs(10);
/// How many definitions one commit moves on at most, so that requests get their turn in between.
const DEFINITIONS_PER_COMMIT_MAX: usize = 64;

/// What is to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    names: Mutex<BTreeSet<ResourceName>>,
    marked: Notify,
}

impl Pending {
    /// A definition with a change under way, or what is known of it, has changed.
    pub(crate) fn mark(&self, name: &ResourceName) {
        self.lock().insert(name.clone());
        self.marked.notify_one();
    }

    /// A node's row, or the number of its replicas, has changed.
    pub(crate) fn mark_nodes(&self) {
        self.marked.notify_one();
    }

    fn take_some(&self) -> Vec<ResourceName> {
        let mut names = self.lock();
        let some: Vec<ResourceName> = names
            .iter()
            .take(DEFINITIONS_PER_COMMIT_MAX)
            .cloned()
            .collect();
        for name in &some {
            names.remove(name);
        }
        some
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<ResourceName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(EVERYTHING_INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe: a mark is consumed only when this arm wins; all marks are drained below.
            () = cluster.shared.pending.marked.notified() => {}
            // Cancel-safe: a tick is consumed only when this arm wins. The first one is at once: the start.
            _ = timer.tick() => mark_everything(&cluster),
        }
        advance_marked(&cluster).await;
    }
}

fn mark_everything(cluster: &Cluster) {
    for name in cluster.model().pending_definitions() {
        cluster.shared.pending.mark(name);
    }
}

async fn advance_marked(cluster: &Cluster) {
    loop {
        let names = cluster.shared.pending.take_some();
        let nodes = nodes_leaving(&cluster.model());
        if names.is_empty() && nodes.is_empty() {
            return;
        }
        let last = names.len() < DEFINITIONS_PER_COMMIT_MAX;
        let (observed, now) = (cluster.observed(), cluster.env().now_ms());
        // Most looks find nothing to do; those need not stand in the writer's queue.
        let mut trial = Draft::new(Model::clone(&cluster.model()));
        if advance_all(&mut trial, &observed, &names, &nodes, now) {
            let result = cluster
                .commit(move |tx| {
                    for node in &nodes {
                        phase::advance_node(tx, node);
                    }
                    let mut left = names;
                    left.retain(|name| {
                        let advance =
                            |tx: &mut Transaction<'_>| phase::advance(tx, &observed, name, now);
                        tx.if_fits(advance).is_none()
                    });
                    Ok(left)
                })
                .await;
            match result {
                // What the store did not take at once with the others comes next; what it never takes, with the timer.
                Ok(committed) if committed.changed => {
                    for name in &committed.value {
                        cluster.shared.pending.mark(name);
                    }
                }
                Ok(_) => {}
                Err(refusal) => {
                    // Tried again with the timer; the writer has logged why.
                    tracing::debug!(?refusal, "phases were not moved on");
                    return;
                }
            }
        }
        if last {
            return;
        }
    }
}

fn nodes_leaving(model: &Model) -> Vec<NodeName> {
    let leaving = model.nodes.values().filter(|node| node.deleting.is_some());
    leaving.map(|node| node.name.clone()).collect()
}

fn advance_all(
    draft: &mut Draft,
    observed: &Observed,
    names: &[ResourceName],
    nodes: &[NodeName],
    now_ms: u64,
) -> bool {
    let mut changed = false;
    for name in names {
        changed |= phase::advance(draft, observed, name, now_ms);
    }
    for node in nodes {
        changed |= phase::advance_node(draft, node);
    }
    changed
}
