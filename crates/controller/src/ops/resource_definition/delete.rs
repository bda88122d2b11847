//! Deleting a resource definition, or all its resources.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::model::RowKey;
use linstor_model::name::ResourceName;
use linstor_model::process::{self, delete_resource_definition};
use uuid::Uuid;

use super::super::reply::{deleted, marked, nothing_to_delete};
use super::super::request::wait_done;
use super::super::{name, resource};
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Deletes a definition with all its resources.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = name::resource(&name)?;
        let target = name.clone();
        let committed = cluster.commit(move |tx| mark(tx, &target)).await?;
        let (what, uuid, done) = committed.value;
        let gone = |model: &Model| {
            let row = model.definitions.get(&name);
            row.is_none_or(|row| row.uuid != uuid)
        };
        if gone(&cluster.model()) {
            return Ok(vec![deleted(&what, uuid)]);
        }
        let mut replies = vec![marked(&what, uuid)];
        let mut reasons = wait_done(cluster, &name, &what, gone).await;
        if gone(&cluster.model()) {
            replies.extend(done);
            replies.push(deleted(&what, uuid));
        } else {
            replies.append(&mut reasons);
        }
        Ok(replies)
    };
    context.run(work).await
}

/// Returns what it is, its identity, and what each node's entries are once its resource is deleted.
fn mark(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
) -> Result<(String, Uuid, Vec<Reply>), Refusal> {
    let Some(known) = tx.definitions.get(name).cloned() else {
        return Err(
            nothing_to_delete(tx, &RowKey::ResourceDefinition(name.clone()), &label(name)).into(),
        );
    };
    if tx.snapshots_of(name).next().is_some() {
        let message = format!("Cannot delete {} because it has snapshots.", label(name));
        return Err(Reply::new(code::FAIL_EXISTS_SNAPSHOT_DFN, message)
            .cause("They would lose what they are of.")
            .correction("Delete its snapshots first.")
            .into());
    }
    resource::check_unused(tx, name)?;
    let mut done = Vec::new();
    for row in tx.resources_of(name) {
        done.extend(resource::volume_entries(tx, row, code::DELETED, "deleted"));
        let message = format!("Resource '{name}' on '{}' marked for deletion", row.node);
        done.push(Reply::new(code::MODIFIED, message));
    }
    tx.plan(|draft, observed, seeds| {
        delete_resource_definition::begin(draft, name, seeds.now_ms);
        process::advance(draft, observed, name, seeds.now_ms)
    });
    Ok((label(&known.name), known.uuid, done))
}

/// Deletes all resources of a definition but not the definition.
pub async fn truncate(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = name::resource(&name)?;
        let target = name.clone();
        let committed = cluster.commit(move |tx| {
            name::known_definition(tx, &target)?;
            resource::check_unused(tx, &target)?;
            let nodes = resource::nodes_of(tx, &target);
            for node in &nodes {
                resource::delete::take_down(tx, &target, node);
            }
            Ok(nodes)
        });
        let committed = committed.await?;
        let nodes = committed.value;
        if nodes.is_empty() {
            let message = format!("The {} has no resources.", label(&name));
            return Ok(vec![Reply::new(code::WARN_NOT_FOUND, message)]);
        }
        let mut replies = vec![Reply::new(
            code::DELETED,
            format!("All resources of {} marked for deletion.", label(&name)),
        )];
        replies.extend(committed.replies);
        replies.append(&mut resource::delete::wait_gone(cluster, &name, &nodes).await);
        Ok(replies)
    };
    context.run(work).await
}
