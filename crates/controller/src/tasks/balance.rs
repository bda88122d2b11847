//! Balances definitions at intervals, and fills up those that lack resources when there is a new pool or node.

use std::time::Duration;

use linstor_model::balance::{self, Step};
use linstor_model::name::ResourceName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::ops::autoplace;
use crate::ops::resource::delete;
use crate::transaction::Transaction;

/// How long after a pool or a node was added resources are placed there: several are usually added together.
const AFTER_NEW_POOL: Duration = Duration::from_secs(30);
/// How often it is checked whether the interval has become shorter.
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    let mut last = Instant::now();
    let mut fill_at = None;
    loop {
        let interval = Duration::from_secs(balance::interval_seconds(&cluster.model()));
        let due = last + interval;
        let next = fill_at.map_or(due, |at: Instant| at.min(due));
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe: a missed notice is stored.
            () = cluster.shared.due.pool_added.notified() => {
                fill_at.get_or_insert(Instant::now() + AFTER_NEW_POOL);
                continue;
            }
            // Cancel-safe: a timer that begins anew is computed anew.
            () = tokio::time::sleep_until(next.min(Instant::now() + INTERVAL_MAX)) => {}
        }
        let now = Instant::now();
        let whole = now >= last + interval;
        if whole || fill_at.is_some_and(|at| now >= at) {
            run_once(&cluster, whole).await;
            fill_at = None;
        }
        if whole {
            last = now;
        }
    }
}

/// Balances all definitions; without `whole` only what is missing is placed.
async fn run_once(cluster: &Cluster, whole: bool) {
    let (model, observed, now) = (cluster.model(), cluster.observed(), cluster.env().now_ms());
    let mut due = Vec::new();
    for definition in model.definitions.values() {
        match balance::check(&model, &observed, definition, now) {
            Ok(None) => {}
            Ok(Some(step)) if whole || step == Step::Add => due.push(definition.name.clone()),
            Ok(Some(_)) => {}
            Err(why) => tracing::debug!(resource = %definition.name, %why, "not balanced"),
        }
    }
    for name in due {
        balance_one(cluster, &name, whole).await;
    }
}

async fn balance_one(cluster: &Cluster, name: &ResourceName, whole: bool) {
    let of = name.clone();
    let change = move |tx: &mut Transaction<'_>| {
        let Some(definition) = tx.definitions.get(&of).cloned() else {
            return Ok(None);
        };
        // As things are now: an earlier step may have taken the space.
        let step = balance::check(tx, &tx.observed, &definition, tx.now_ms)
            .ok()
            .flatten();
        match &step {
            Some(Step::Add) => autoplace::fill_up(tx, &of)?,
            Some(Step::Remove(node)) if whole => delete::take_down(tx, &of, node),
            Some(Step::Remove(_)) | None => return Ok(None),
        }
        Ok(step)
    };
    match cluster.commit(change).await {
        Ok(committed) if committed.changed => {
            tracing::info!(resource = %name, step = ?committed.value, "balanced");
        }
        Ok(_) => {}
        Err(refusal) => {
            let reason: Vec<&str> = refusal.0.iter().map(|r| r.message.as_str()).collect();
            tracing::warn!(resource = %name, reason = reason.join(" "), "the missing resources up to the place count could not be placed");
        }
    }
}
