//! The space of the pools: queried after own changes, at intervals, and on request.

use std::sync::Arc;
use std::time::Duration;

use linstor_wire::spec::{NodeSpec, PoolSpec};
use linstor_wire::status::PoolStatus;

use crate::check::pool_place;
use crate::providers::{self, Space};
use crate::shared::Shared;

/// Pause after a query: changes within it cause one query.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a pool may take to answer before the others are reported without it.
const POOL_LIMIT: Duration = Duration::from_secs(20);

/// Queries the space of all pools.
pub async fn query(shared: &Shared) -> Vec<PoolStatus> {
    let Some(node) = shared.state().node().cloned() else {
        return Vec::new();
    };
    // A pool on a failing disk must not delay the report of the others.
    let reports = node.pools.iter().map(|pool| pool_status(shared, pool));
    futures::future::join_all(reports).await
}

async fn pool_status(shared: &Shared, pool: &PoolSpec) -> PoolStatus {
    let space = async {
        let place = pool_place(pool)?;
        providers::space(shared.storage(), &place, &pool.props).await
    };
    let mut status = PoolStatus {
        name: pool.name.to_string(),
        ..PoolStatus::default()
    };
    match tokio::time::timeout(POOL_LIMIT, space).await {
        Ok(Ok(space)) => set(&mut status, &space),
        Ok(Err(failure)) => {
            let failure = failure.about("StorPoolDfn", pool.name.as_str());
            status.problem = Some(failure.reply());
        }
        Err(_) => {
            let text = format!(
                "Storage pool '{}' did not answer within {} s.",
                pool.name,
                POOL_LIMIT.as_secs()
            );
            let ret_code = linstor_api::code::FAIL_STOR_POOL_CONFIGURATION_ERROR;
            let problem = linstor_api::reply::Reply::new(ret_code, text);
            status.problem = Some(problem.about("StorPoolDfn", pool.name.as_str()));
        }
    }
    status
}

fn set(status: &mut PoolStatus, space: &Space) {
    status.free_kib = space.free_kib;
    status.total_kib = space.total_kib;
    status.granularity_kib = space.granularity_kib;
}

/// Reports the space of the pools whenever it has changed.
pub async fn run(shared: Arc<Shared>) {
    let mut reported: Option<(Option<Arc<NodeSpec>>, Vec<PoolStatus>)> = None;
    loop {
        tokio::select! {
            biased;
            // A volume came or went. Cancel-safe: a missed notice is stored.
            () = shared.space_changed.notified() => {}
            // Applications write into thin volumes without telling us.
            () = tokio::time::sleep(shared.options.space_interval) => {}
        }
        let node = shared.state().node().cloned();
        if node.is_none() {
            continue;
        }
        let seen = (node, query(&shared).await);
        if reported.as_ref() != Some(&seen) {
            let pools = seen.1.clone();
            shared.report(|outbox| outbox.space(pools, None));
            reported = Some(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
