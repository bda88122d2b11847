//! Settles in the background what a change of a group or of the controller left over (see [`crate::settle`]).

use std::time::Duration;

use linstor_api::code;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::settle;

/// Pause before a commit that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    loop {
        let left = !cluster.model().controller.settling.is_empty();
        let pause = if left && !step(&cluster).await {
            RETRY
        } else if left {
            Duration::ZERO
        } else {
            Duration::MAX
        };
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe: nothing depends on the number of notices; the model has what is left.
            () = cluster.shared.settling.notified(), if !left => {}
            // Cancel-safe: a timer that begins anew is only later.
            () = tokio::time::sleep(pause), if left => {}
        }
    }
}

/// One commit; returns whether it was made.
async fn step(cluster: &Cluster) -> bool {
    let Ok(committed) = cluster.commit(|tx| Ok(settle::resume(tx))).await else {
        // The writer has logged why.
        return false;
    };
    for (resource, refusal) in committed.value {
        let reason: Vec<&str> = refusal.0.iter().map(|r| r.message.as_str()).collect();
        tracing::warn!(%resource, reason = reason.join(" "), "the missing resources up to the place count could not be placed");
    }
    for reply in committed
        .replies
        .iter()
        .filter(|reply| !code::is_warning(reply.ret_code))
    {
        tracing::info!(message = reply.message, refs = ?reply.obj_refs, "settled");
    }
    true
}
