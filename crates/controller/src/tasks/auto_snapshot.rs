//! Automatic snapshots: taken at the interval in `AutoSnapshot/RunEvery`, of which `AutoSnapshot/Keep` are retained.
//!
//! When the next one is due is in memory: after a start the first ones are due after their interval, so that nothing
//! is made up for. Only definitions with an interval are ever looked for, and only after the model has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use linstor_api::prop;
use linstor_model::Model;
use linstor_model::name::{ResourceName, SnapshotName};
use linstor_model::props::{self, Purpose, Scope};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::ops::snapshot;

/// How often it is checked what is due.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many are retained where nothing else is set.
const RETAINED: i64 = 10;
/// How the names of automatic snapshots begin where nothing else is set.
const PREFIX: &str = "autoSnap";

/// When the next snapshot of a definition is due, in milliseconds since the Unix epoch, and its interval.
type Due = BTreeMap<ResourceName, (u64, u64)>;

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    let (mut due, mut seen) = (Due::new(), None);
    loop {
        let model = cluster.model();
        if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &model)) {
            schedule(&model, &mut due, cluster.env().now_ms(), seen.is_none());
            seen = Some(model);
        }
        take_due(&cluster, &mut due).await;
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Notes intervals that are new, changed or gone. A new one is due at once, unless the controller has just started.
fn schedule(model: &Model, due: &mut Due, now_ms: u64, is_start: bool) {
    let in_groups = model
        .groups
        .values()
        .any(|group| group.props.contains_key(prop::AUTO_SNAPSHOT_RUN_EVERY));
    let everywhere = in_groups
        || model
            .controller
            .props
            .contains_key(prop::AUTO_SNAPSHOT_RUN_EVERY);
    let intervals: BTreeMap<ResourceName, u64> = model
        .definitions
        .values()
        .filter(|row| everywhere || row.props.contains_key(prop::AUTO_SNAPSHOT_RUN_EVERY))
        .filter_map(|row| Some((row.name.clone(), interval_ms(model, &row.name)?)))
        .collect();
    due.retain(|name, _| intervals.contains_key(name));
    for (name, interval) in intervals {
        let after_it = (now_ms + interval, interval);
        let known = due.get(&name).map(|(_, known)| *known);
        match known {
            Some(known) if known == interval => {}
            Some(_) => drop(due.insert(name, after_it)),
            None if is_start => drop(due.insert(name, after_it)),
            None => drop(due.insert(name, (now_ms, interval))),
        }
    }
}

fn value<'a>(model: &'a Model, name: &ResourceName, key: &str) -> Option<&'a str> {
    let definition = model.definitions.get(name)?;
    props::effective(model, Purpose::Policy, &Scope::definition(definition), key)
}

fn interval_ms(model: &Model, name: &ResourceName) -> Option<u64> {
    let minutes: u64 = value(model, name, prop::AUTO_SNAPSHOT_RUN_EVERY)?
        .parse()
        .ok()?;
    (minutes > 0).then(|| minutes.saturating_mul(60_000))
}

async fn take_due(cluster: &Cluster, due: &mut Due) {
    let now_ms = cluster.env().now_ms();
    let now: Vec<ResourceName> = due
        .iter()
        .filter(|(_, (at, _))| *at <= now_ms)
        .map(|(name, _)| name.clone())
        .collect();
    for name in now {
        if let Some((at, interval)) = due.get_mut(&name) {
            *at = now_ms + *interval;
        }
        if !is_ready(cluster, &name) {
            tracing::info!(resource = %name, "no automatic snapshot is taken: a node is offline, or nothing is deployed");
            continue;
        }
        let cluster = cluster.clone();
        // One that takes long delays no other.
        tokio::spawn(async move { take(&cluster, name).await });
    }
}

fn is_ready(cluster: &Cluster, name: &ResourceName) -> bool {
    let (model, observed) = (cluster.model(), cluster.observed());
    let mut resources = model.resources_of(name).peekable();
    resources.peek().is_some() && resources.all(|row| observed.is_online(&row.node))
}

/// The first name from a number on that no snapshot has, and the number after it.
fn next_name(model: &Model, name: &ResourceName, prefix: &str) -> Option<(SnapshotName, u64)> {
    let definition = model.definitions.get(name)?;
    let next = definition.props.get(prop::AUTO_SNAPSHOT_NEXT_ID);
    let mut id: u64 = next.and_then(|id| id.parse().ok()).unwrap_or(0);
    loop {
        let snapshot = SnapshotName::parse(&format!("{prefix}{id:05}")).ok()?;
        id += 1;
        if model.snapshot(name, &snapshot).is_none() {
            return Some((snapshot, id));
        }
    }
}

async fn take(cluster: &Cluster, name: ResourceName) {
    let model = cluster.model();
    let prefix = value(&model, &name, prop::AUTO_SNAPSHOT_PREFIX)
        .unwrap_or(PREFIX)
        .to_owned();
    let Some((snapshot, next)) = next_name(&model, &name, &prefix) else {
        tracing::warn!(resource = %name, prefix, "no automatic snapshot is taken: its name would not be valid");
        return;
    };
    let of = name.clone();
    let replies = snapshot::create_automatic(cluster, name.clone(), snapshot.clone(), move |tx| {
        tx.edit_resource_definition(&of, |row| {
            row.props
                .insert(prop::AUTO_SNAPSHOT_NEXT_ID.to_owned(), next.to_string());
        });
    });
    let replies = replies.await;
    if let Some(error) = replies.iter().find(|reply| reply.is_error()) {
        tracing::warn!(resource = %name, %snapshot, message = error.message, cause = error.cause, "the automatic snapshot was not taken");
        return;
    }
    tracing::info!(resource = %name, %snapshot, "automatic snapshot taken");
    let retained =
        value(&model, &name, prop::AUTO_SNAPSHOT_KEEP).and_then(|keep| keep.parse().ok());
    let retained: i64 = retained.unwrap_or(RETAINED);
    let Some(retained) = usize::try_from(retained)
        .ok()
        .filter(|retained| *retained > 0)
    else {
        return;
    };
    let change = move |tx: &mut crate::transaction::Transaction<'_>| {
        snapshot::delete_oldest(tx, &name, &prefix, retained);
        Ok(())
    };
    if let Err(refusal) = cluster.commit(change).await {
        tracing::warn!(
            ?refusal,
            "automatic snapshots that are no longer retained were not deleted"
        );
    }
}
