//! Deleting a resource.

use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::process::delete_resource;
use linstor_model::{DiskKind, Model};
use uuid::Uuid;

use super::super::reply::{deleted, marked, nothing_to_delete};
use super::super::request::{Wait, wait, wait_done};
use super::super::{name, resource_definition};
use super::{context, in_use, label, volume_entries};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Refuses when a resource cannot be deleted: it is in use, or others without a disk live on its data.
pub(in super::super) fn check(
    tx: &Transaction<'_>,
    name: &ResourceName,
    node: &NodeName,
) -> Result<(), Refusal> {
    if tx.observed.in_use(name, node) == Some(true) {
        return Err(in_use(name, node));
    }
    let Some(replica) = tx.resource(name, node) else {
        return Ok(());
    };
    let others = || {
        let all = tx.resources_of(name);
        all.filter(|other| other.node != *node && !tx.is_deleting(other))
    };
    let last = !replica.is_diskless() && others().all(|other| other.is_diskless());
    let needed_by: Vec<String> = others()
        .filter(|other| {
            let drbd = other.drbd.as_ref();
            drbd.is_some_and(|drbd| drbd.disk != DiskKind::TieBreaker)
        })
        .map(|other| other.node.to_string())
        .collect();
    if last && !needed_by.is_empty() {
        return Err(Reply::new(
            code::FAIL_IN_USE,
            format!("Last resource of '{name}' with a disk still has diskless resources attached."),
        )
        .cause("Deleting it would take the data away from them.")
        .details(format!("Diskless resources on: {}", needed_by.join(", ")))
        .correction("Delete the diskless resources first.")
        .into());
    }
    Ok(())
}

/// Begins the deletion of a resource.
pub(crate) fn take_down(tx: &mut Transaction<'_>, name: &ResourceName, node: &NodeName) {
    tx.plan(|draft, _, seeds| delete_resource::begin(draft, name, node, seeds.now_ms));
}

/// Waits until resources are deleted. Returns the reason when they are not.
pub(in super::super) async fn wait_gone(
    cluster: &Cluster,
    name: &ResourceName,
    nodes: &[NodeName],
) -> Vec<Reply> {
    let model = cluster.model();
    let identity = |node: &NodeName| Some((node.clone(), model.resource(name, node)?.uuid));
    let deleting: Vec<(NodeName, Uuid)> = nodes.iter().filter_map(identity).collect();
    let done = |model: &Model| {
        !deleting.iter().any(|(node, uuid)| {
            let row = model.resource(name, node);
            row.is_some_and(|row| row.uuid == *uuid && model.is_deleting(row))
        })
    };
    wait_done(cluster, name, &resource_definition::label(name), done).await
}

/// Deletes a resource.
pub async fn delete(
    cluster: &Cluster,
    name: String,
    node: String,
    keep_tiebreaker: bool,
) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name, &node);
    let work = async {
        let (name, node) = (name::resource(&name)?, name::node(&node)?);
        let target = (name.clone(), node.clone());
        let committed = cluster
            .commit(move |tx| mark(tx, &target.0, &target.1, keep_tiebreaker))
            .await?;
        let Marked { what, uuid, done } = committed.value;
        let mut replies = committed.replies;
        let model = cluster.model();
        let row = model.resource(&name, &node).filter(|row| row.uuid == uuid);
        if row.is_some_and(|row| !model.is_deleting(row)) {
            // It becomes the tie breaker instead.
            let applied = Wait::Applied(vec![name]);
            replies.append(&mut wait(cluster, applied, committed.generation).await);
            return Ok(replies);
        }
        replies.insert(0, marked(&what, uuid));
        replies.append(&mut wait_gone(cluster, &name, std::slice::from_ref(&node)).await);
        let model = cluster.model();
        let row = model.resource(&name, &node).filter(|row| row.uuid == uuid);
        if row.is_none() {
            replies.extend(done);
            replies.push(deleted(&label(&name, &node), uuid));
        }
        Ok(replies)
    };
    context.run(work).await
}

/// A resource whose deletion has begun.
struct Marked {
    what: String,
    uuid: Uuid,
    /// The entries of its node and its peers once it is deleted.
    done: Vec<Reply>,
}

fn mark(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    node: &NodeName,
    keep_tiebreaker: bool,
) -> Result<Marked, Refusal> {
    let Some(resource) = tx.resource(name, node).cloned() else {
        return Err(nothing_to_delete(
            tx,
            &RowKey::Resource(name.clone(), node.clone()),
            &label(name, node),
        )
        .into());
    };
    check(tx, name, node)?;
    let disk = resource.drbd.as_ref().map(|drbd| drbd.disk);
    if disk == Some(DiskKind::TieBreaker) && !keep_tiebreaker {
        disable_tie_breaker(tx, name);
    }
    let mut done = Vec::new();
    for peer in tx.resources_of(name).filter(|peer| peer.node != *node) {
        if tx.observed.is_online(&peer.node) {
            let message = format!(
                "Notified '{}' that '{name}' is being cleaned up on Node(s): [{node}]",
                peer.node
            );
            done.push(Reply::new(code::MODIFIED, message));
        }
    }
    done.extend(volume_entries(tx, &resource, code::DELETED, "deleted"));
    let message = format!("Cleaning up '{name}' on '{node}'");
    done.push(Reply::new(code::MODIFIED, message));
    take_down(tx, name, node);
    Ok(Marked {
        what: label(&resource.name, &resource.node),
        uuid: resource.uuid,
        done,
    })
}

/// Deleting a tie breaker turns automatic tie breakers of the definition off.
fn disable_tie_breaker(tx: &mut Transaction<'_>, name: &ResourceName) {
    let key = prop::DRBD_AUTO_ADD_QUORUM_TIEBREAKER;
    tx.edit_resource_definition(name, |row| {
        row.props.insert(key.to_owned(), prop::FALSE.to_owned());
    });
    tx.reply(Reply::new(
        code::INFO_PROP_SET,
        format!(
            "Disabling auto-tiebreaker on resource-definition '{name}' as tiebreaker resource was manually deleted"
        ),
    ));
}
