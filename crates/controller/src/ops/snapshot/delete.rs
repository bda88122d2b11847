//! Deleting a snapshot, on all of its nodes or on some of them.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::name::{NodeName, ResourceName, SnapshotName};
use linstor_model::process::{self, delete_snapshot};
use linstor_model::{Model, SnapshotDefinition};

use super::super::filter::Names;
use super::super::name;
use super::super::reply::{capital, deleted};
use super::super::request::wait_done;
use super::{context, label, volume_entries};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Deletes a snapshot on these nodes, or on all if none is given. One that does not exist is no error, whether its
/// definition does or not.
pub async fn delete(
    cluster: &Cluster,
    name: String,
    snapshot: String,
    nodes: Vec<String>,
) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name, &snapshot);
    let work = async {
        let snapshot = name::snapshot(&snapshot).map_err(Refusal::plain)?;
        let name = name::resource(&name)?;
        let wanted = (name.clone(), snapshot.clone());
        let committed = cluster.commit(move |tx| mark(tx, &wanted.0, &wanted.1, nodes));
        let committed = committed.await?;
        let mut replies = committed.replies;
        let Some(Marked { row, nodes, done }) = committed.value else {
            return Ok(replies);
        };
        let is_gone = |model: &Model| {
            let now = model.snapshot(&name, &snapshot);
            let now = now.filter(|now| now.uuid == row.uuid);
            now.is_none_or(|now| nodes.iter().all(|node| now.on(node).is_none()))
        };
        let what = label(&name, &snapshot);
        let mut reasons = wait_done(cluster, &name, &what, is_gone).await;
        let model = cluster.model();
        if !is_gone(&model) {
            replies.append(&mut reasons);
            return Ok(replies);
        }
        replies.extend(done);
        if !nodes.is_empty() {
            let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
            let message = format!(
                "{} on nodes '{}' deleted.",
                capital(&what),
                names.join(", ")
            );
            replies.push(Reply::new(code::DELETED, message));
        }
        if model
            .snapshot(&name, &snapshot)
            .is_none_or(|now| now.uuid != row.uuid)
        {
            replies.push(deleted(&what, row.uuid));
        }
        Ok(replies)
    };
    context.run(work).await
}

/// A snapshot whose deletion has begun.
struct Marked {
    row: SnapshotDefinition,
    /// The nodes on which it is deleted.
    nodes: BTreeSet<NodeName>,
    /// The entries of the nodes once it is deleted on them.
    done: Vec<Reply>,
}

fn mark(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    snapshot: &SnapshotName,
    given: Vec<String>,
) -> Result<Option<Marked>, Refusal> {
    let Some(row) = tx.snapshot(name, snapshot).cloned() else {
        let message = format!("Snapshot definition {snapshot} of resource {name} not found.");
        let reply = Reply::new(code::WARN_NOT_FOUND, message)
            .cause("It does not exist, so that nothing was deleted.")
            .details(format!("Resource: {name}, Snapshot: {snapshot}"));
        tx.reply(reply);
        return Ok(None);
    };
    let wanted = Names::new(given.clone());
    let nodes = row
        .snapshots
        .keys()
        .filter(|node| wanted.wants(node.as_str()));
    let nodes: BTreeSet<NodeName> = nodes.cloned().collect();
    for node in &nodes {
        check_unused(tx, &row, node)?;
    }
    let is_known = |given: &&String| {
        let mut nodes = nodes.iter();
        nodes.any(|node| node.as_str().eq_ignore_ascii_case(given))
    };
    let unknown = given
        .iter()
        .filter(|name| !name.is_empty() && !is_known(name));
    let unknown: Vec<&str> = unknown.map(String::as_str).collect();
    let what = label(&row.resource, &row.name);
    let message = format!("Marked snapshot for deletion {what}");
    match nodes.is_empty() {
        true => tx.reply(Reply::new(code::DELETED, message)),
        false => tx.replies(
            nodes
                .iter()
                .map(|node| Reply::new(code::DELETED, format!("{message} on nodes '{node}'"))),
        ),
    }
    if !unknown.is_empty() {
        let shown: String = unknown.join(", ").escape_debug().take(200).collect();
        let message = format!(
            "Snapshot definition {snapshot} of resource {name} was not found on given nodes: {shown}"
        );
        tx.reply(Reply::new(code::WARN_NOT_FOUND, message));
    }
    let mut done = Vec::new();
    for (node, part) in &row.snapshots {
        if nodes.contains(node) {
            done.extend(volume_entries(
                tx,
                &row,
                node,
                part,
                code::DELETED,
                "deleted",
            ));
            let message = format!("Deleted snapshot '{snapshot}' of '{name}' on '{node}'");
            done.push(Reply::new(code::MODIFIED, message));
        } else if tx.observed.is_online(node) {
            let message = format!("Updated snapshot '{snapshot}' of '{name}' on '{node}'");
            done.push(Reply::new(code::MODIFIED, message));
        }
    }
    // One without any part on a node is removed at once.
    if !nodes.is_empty() || wanted.is_all() {
        begin(tx, &row, nodes.clone());
    }
    Ok(Some(Marked {
        row: SnapshotDefinition::clone(&row),
        nodes,
        done,
    }))
}

/// Refuses while a volume is being made of the part of a node, or a backup of it.
fn check_unused(
    tx: &Transaction<'_>,
    row: &SnapshotDefinition,
    node: &NodeName,
) -> Result<(), Refusal> {
    let backup = tx.shipment_with(&row.resource, &row.name).map(|of| {
        let what = format!("a backup that it sends to the remote {}", of.remote);
        (&of.node, what)
    });
    let shipped = tx.outbound_with(&row.resource, &row.name).map(|of| {
        let what = format!("what it ships to the cluster of the remote {}", of.remote);
        (&of.node, what)
    });
    let mut sent = backup.into_iter().chain(shipped);
    if let Some((_, what)) = sent.find(|(by, _)| *by == node) {
        let message = format!("The {} is not deleted.", label(&row.resource, &row.name));
        return Err(Reply::new(code::FAIL_IN_USE, message)
            .cause(format!("Node '{node}' needs it for {what}."))
            .correction("Wait until that is done, or abort the backup first.")
            .about("Node", node.as_str())
            .into());
    }
    let part = row.on(node);
    let Some(restored) = part.and_then(|part| tx.restored_from(part, node)) else {
        return Ok(());
    };
    let message = format!("The {} is not deleted.", label(&row.resource, &row.name));
    let what = format!("Resource '{}' on node '{node}'", restored.name);
    Err(Reply::new(code::FAIL_IN_USE, message)
        .cause(format!("{what} is being made of it."))
        .correction("Wait until that is done, or delete the resource first.")
        .about("Node", node.as_str())
        .into())
}

fn begin(tx: &mut Transaction<'_>, row: &SnapshotDefinition, nodes: BTreeSet<NodeName>) {
    tx.plan(|draft, observed, seeds| {
        delete_snapshot::begin(draft, &row.resource, &row.name, nodes, seeds.now_ms);
        process::advance(draft, observed, &row.resource, seeds.now_ms);
    });
}

/// Begins to delete snapshots on all of their nodes; those that something needs remain.
pub(crate) fn delete_unused(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    snapshots: &[SnapshotName],
) {
    for snapshot in snapshots {
        let Some(row) = tx.snapshot(name, snapshot).cloned() else {
            continue;
        };
        let mut nodes = row.snapshots.keys();
        if nodes.all(|node| check_unused(tx, &row, node).is_ok()) {
            begin(tx, &row, row.snapshots.keys().cloned().collect());
        }
    }
}

/// Begins to delete the oldest of the automatic snapshots of a definition that are more than `retained`.
pub(crate) fn delete_oldest(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    prefix: &str,
    retained: usize,
) {
    let mut rows: Vec<_> = tx.snapshots_of(name).cloned().collect();
    rows.retain(|row| {
        let number = row.name.as_str().strip_prefix(prefix).unwrap_or_default();
        let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        row.reason == linstor_model::snapshot::SnapshotReason::Automatic
            && row.is_successful()
            && numbered
            && tx.deletion_of_snapshot(name, &row.name).is_none()
            && row
                .snapshots
                .keys()
                .all(|node| check_unused(tx, row, node).is_ok())
    });
    rows.sort_by_key(|row| row.sequence_number);
    let surplus = rows.len().saturating_sub(retained);
    for row in &rows[..surplus] {
        begin(tx, row, row.snapshots.keys().cloned().collect());
    }
}
