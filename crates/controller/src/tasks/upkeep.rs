//! What becomes due with time and not by a request: nodes that are offline for long are evicted, the evacuation of a node
//! goes on, and a diskless resource that is in use for long gets a disk. And what a node reports: a port that is in use is replaced.

use std::collections::BTreeMap;
use std::time::Duration;

use linstor_api::prop;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::process::Kind;
use linstor_model::props::{self, Purpose, Scope};
use linstor_model::{Model, Observed, Resource, eviction, numbers};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::due::{AUTO_DISKFUL, Replica};
use crate::ops::node::evacuate;
use crate::ops::resource::{delete, make_available};
use crate::transaction::Transaction;

/// How often it is checked what is due.
const INTERVAL: Duration = Duration::from_secs(10);
/// What has been seen so far. A controller that starts begins anew: nothing is due sooner for that.
#[derive(Debug, Default)]
struct Seen {
    /// Until when the time that a node is offline did not count: peers were connected to it, or it was evicted. One that
    /// somebody restores before it is back is not evicted at once again.
    not_before: BTreeMap<NodeName, u64>,
    /// Why an offline node was not evicted, as far as it was logged.
    stood_down: BTreeMap<NodeName, eviction::StandDown>,
}

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    let mut seen = Seen::default();
    for row in cluster.model().resources.values() {
        cluster.shared.due.stored(row);
    }
    let mut next = Instant::now() + INTERVAL;
    loop {
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe: the ports are noted, and a missed notice is stored.
            () = cluster.shared.due.port_busy.notified() => {
                choose_other_ports(&cluster).await;
                continue;
            }
            () = tokio::time::sleep_until(next) => next = Instant::now() + INTERVAL,
        }
        evict(&cluster, &mut seen).await;
        go_on_evacuating(&cluster).await;
        give_disks(&cluster).await;
        remove_surplus(&cluster).await;
    }
}

async fn evict(cluster: &Cluster, seen: &mut Seen) {
    let (model, observed, now) = (cluster.model(), cluster.observed(), cluster.env().now_ms());
    let mut due = Vec::new();
    for node in model.satellites() {
        let name = &node.name;
        let status = observed.nodes.get(name);
        let Some(status) = status.filter(|_| eviction::is_offline(&observed, node)) else {
            seen.not_before.remove(name);
            seen.stood_down.remove(name);
            continue;
        };
        if node.evicted || eviction::is_seen(&model, &observed, name) {
            seen.not_before.insert(name.clone(), now);
        }
        let not_before = seen.not_before.get(name).copied().unwrap_or(0);
        let since = status.since.max(not_before);
        match eviction::check(&model, &observed, node, since, now) {
            Ok(()) => due.push((name.clone(), since)),
            Err(why @ (eviction::StandDown::NotAllowed | eviction::StandDown::NotYet(_))) => {
                seen.stood_down.insert(name.clone(), why);
            }
            Err(why) => {
                if seen.stood_down.insert(name.clone(), why.clone()) != Some(why.clone()) {
                    tracing::warn!(node = %name, %why, "the node is offline for long and is not evicted");
                }
            }
        }
    }
    for (name, since) in due {
        let node = name.clone();
        let change = move |tx: &mut Transaction<'_>| {
            // As things are now: another node may have been lost meanwhile.
            let row = tx.node(&node).cloned();
            let is_due = row.is_some_and(|row| {
                let check = eviction::check(tx, &tx.observed, &row, since, tx.now_ms);
                check.is_ok()
            });
            Ok(is_due.then(|| evacuate::replace_all(tx, &node)))
        };
        match cluster.commit(change).await {
            Ok(committed) if committed.changed => {
                for reply in &committed.replies {
                    tracing::info!(node = %name, message = reply.message, "evicted");
                }
                tracing::warn!(node = %name, "the node was evicted: it was offline for too long");
                seen.not_before.insert(name, cluster.env().now_ms());
            }
            Ok(_) => {}
            Err(refusal) => tracing::warn!(node = %name, ?refusal, "the node cannot be evicted"),
        }
    }
}

async fn go_on_evacuating(cluster: &Cluster) {
    let model = cluster.model();
    let evacuated = model.nodes.values().filter(|node| node.evacuate);
    let left = evacuated.filter(|node| {
        let mut replicas = model.resources_on(&node.name);
        replicas.any(|replica| replica.drbd.is_some() && !model.is_deleting(replica))
    });
    for name in left.map(|node| node.name.clone()).collect::<Vec<_>>() {
        let node = name.clone();
        let change = move |tx: &mut Transaction<'_>| {
            let evacuated = tx.node(&node).is_some_and(|row| row.evacuate);
            Ok(match evacuated {
                true => evacuate::empty(tx, &node),
                false => Vec::new(),
            })
        };
        if let Ok(committed) = cluster.commit(change).await
            && committed.changed
        {
            tracing::info!(node = %name, resources = ?committed.value, "the evacuation goes on");
        }
    }
}

/// Whether a diskless resource is in use now.
fn is_used(model: &Model, observed: &Observed, (name, node): &Replica) -> bool {
    let row = model.resource(name, node);
    row.is_some_and(|row| row.is_diskless()) && observed.in_use(name, node) == Some(true)
}

/// After how many minutes in use a diskless resource of a definition gets a disk; none if it never does.
fn minutes(model: &Model, name: &ResourceName, node: &NodeName) -> Option<u64> {
    let definition = model.definitions.get(name)?;
    let scope = Scope::resource(model, definition, model.resource(name, node)?);
    let value = props::effective(model, Purpose::AutoDiskful, &scope, prop::DRBD_AUTO_DISKFUL);
    value?.parse().ok()
}

async fn give_disks(cluster: &Cluster) {
    let (model, observed, now) = (cluster.model(), cluster.observed(), cluster.env().now_ms());
    let used = cluster
        .shared
        .due
        .in_use(|replica| is_used(&model, &observed, replica));
    let mut due = Vec::new();
    for (replica, since) in used {
        let (name, node) = &replica;
        let row = model.resource(name, node);
        let changes =
            row.is_none_or(|row| model.is_deleting(row) || model.process_of(row).is_some());
        if changes {
            cluster.shared.due.in_use_again(&replica, now);
        } else if minutes(&model, name, node).is_some_and(|minutes| since + minutes * 60_000 <= now)
        {
            due.push(replica);
        }
    }
    for (name, node) in due {
        let (of, on) = (name.clone(), node.clone());
        let change = move |tx: &mut Transaction<'_>| {
            let row = tx.resource(&of, &on).filter(|row| row.is_diskless());
            match row.is_some() {
                true => make_available::place_here(tx, &of, &on, None, AUTO_DISKFUL),
                false => Ok(Vec::new()),
            }
        };
        match cluster.commit(change).await {
            Ok(_) => {
                tracing::info!(resource = %name, %node, "a diskless resource in use gets a disk")
            }
            Err(refusal) => {
                // Again after the same time.
                cluster
                    .shared
                    .due
                    .in_use_again(&(name.clone(), node.clone()), now);
                tracing::warn!(resource = %name, %node, ?refusal, "a diskless resource in use cannot get a disk");
            }
        }
    }
}

/// Removes the replica that became one too many when a diskless resource got a disk, once that is UpToDate.
async fn remove_surplus(cluster: &Cluster) {
    let (model, observed) = (cluster.model(), cluster.observed());
    let made = cluster.shared.due.auto_diskful(|(name, node)| {
        let row = model.resource(name, node);
        let by = row.and_then(|row| row.props.get(prop::DISKFUL_BY));
        by.is_some_and(|by| by == AUTO_DISKFUL)
    });
    let found = made.into_iter().filter_map(|(name, node)| {
        let surplus = surplus(&model, &observed, &name, &node)?;
        Some((name, surplus))
    });
    for (name, node) in found.collect::<Vec<_>>() {
        let (of, on) = (name.clone(), node.clone());
        let change = move |tx: &mut Transaction<'_>| {
            delete::take_down(tx, &of, &on);
            Ok(())
        };
        if cluster.commit(change).await.is_ok() {
            tracing::info!(resource = %name, %node, "a replica is deleted: there are more than the place count");
        }
    }
}

/// The replica that is deleted as one became diskful that was in use: none unless all that remain are UpToDate.
fn surplus(
    model: &Model,
    observed: &Observed,
    name: &ResourceName,
    new: &NodeName,
) -> Option<NodeName> {
    let definition = model.definitions.get(name)?;
    let scope = Scope::resource(model, definition, model.resource(name, new)?);
    let allowed = props::effective(
        model,
        Purpose::AutoDiskful,
        &scope,
        prop::DRBD_AUTO_DISKFUL_ALLOW_CLEANUP,
    );
    if !allowed.is_some_and(props::is_true) {
        return None;
    }
    let wanted = model.groups.get(&definition.group)?.filter.place_count?;
    let diskful: Vec<_> = model
        .resources_of(name)
        .filter(|replica| !replica.is_diskless() && !model.is_deleting(replica))
        .collect();
    let at_rest = diskful.iter().all(|replica| {
        let process = model.process_of(replica).map(|process| &process.kind);
        let busy = matches!(
            process,
            Some(Kind::AddDisk(_) | Kind::Migrate(_) | Kind::RemoveDisk(_))
        );
        !busy && observed.is_up_to_date(name, &replica.node)
    });
    if !at_rest || diskful.len() <= wanted.max(1) as usize {
        return None;
    }
    let mut others = diskful.iter().rev().filter(|replica| replica.node != *new);
    let unused = others.find(|replica| observed.in_use(name, &replica.node) == Some(false))?;
    Some(unused.node.clone())
}

/// Gives resources another port whose node found theirs in use, by another program for example.
async fn choose_other_ports(cluster: &Cluster) {
    for ((name, node), busy) in cluster.shared.due.take_busy_ports() {
        let (of, on) = (name.clone(), node.clone());
        let change = move |tx: &mut Transaction<'_>| {
            let Some(definition) = tx.definitions.get(&of).cloned() else {
                return Ok(None);
            };
            let has_it = |row: &Resource| {
                let drbd = row.drbd.as_ref();
                drbd.is_some_and(|drbd| drbd.ports.contains(&busy))
            };
            let row = tx
                .resource(&of, &on)
                .filter(|row| has_it(row) && !tx.is_deleting(row));
            if row.is_none() {
                return Ok(None);
            }
            let unusable = tx.observed.unusable_ports(&on);
            let port = numbers::allocate_port(tx, &on, &definition, &unusable)?;
            tx.edit_resource(&of, &on, |row| {
                if let Some(drbd) = &mut row.drbd {
                    drbd.ports
                        .iter_mut()
                        .filter(|old| **old == busy)
                        .for_each(|old| *old = port);
                }
            });
            Ok(Some(port))
        };
        match cluster.commit(change).await {
            Ok(committed) => {
                if let Some(port) = committed.value {
                    tracing::warn!(resource = %name, %node, busy, port, "the port is in use on the node, another one was chosen");
                }
            }
            Err(refusal) => {
                tracing::warn!(resource = %name, %node, busy, ?refusal, "the port is in use on the node, and there is no other");
            }
        }
    }
}
