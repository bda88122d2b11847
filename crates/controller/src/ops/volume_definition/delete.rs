//! Deleting a volume definition with its volumes.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::model::RowKey;
use linstor_model::name::ResourceName;
use linstor_model::process::delete_volume_definition;
use uuid::Uuid;

use super::super::reply::{deleted, marked, nothing_to_delete};
use super::super::request::wait_done;
use super::super::{name, resource};
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Deletes a volume definition and its volumes on all nodes.
pub async fn delete(cluster: &Cluster, name: String, number: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name, Some(&number));
    let work = async {
        let (name, number) = (name::resource(&name)?, name::volume_number_text(&number)?);
        let target = name.clone();
        let committed = cluster.commit(move |tx| mark(tx, &target, number)).await?;
        let (uuid, done) = committed.value;
        let what = label(&name, number);
        let gone = |model: &Model| {
            let definition = model.definitions.get(&name);
            let volume = definition.and_then(|definition| definition.volumes.get(&number));
            volume.is_none_or(|volume| volume.uuid != uuid)
        };
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

/// Returns its identity, and what each node's entries are once its volume is deleted.
fn mark(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    number: u32,
) -> Result<(Uuid, Vec<Reply>), Refusal> {
    let definition = tx.definitions.get(name).cloned();
    let row = definition
        .as_ref()
        .and_then(|definition| definition.volumes.get(&number));
    let Some(row) = row else {
        return Err(nothing_to_delete(
            tx,
            &RowKey::ResourceDefinition(name.clone()),
            &label(name, number),
        )
        .into());
    };
    resource::check_unused(tx, name)?;
    if tx.resources_of(name).next().is_none() {
        delete_volume_definition::remove_volume(tx, name, number);
        return Ok((row.uuid, Vec::new()));
    }
    let mut done = Vec::new();
    for resource in tx.resources_of(name) {
        let entry = resource::volume_entry(tx, resource, number, code::DELETED, "deleted");
        done.extend(entry);
        let message = format!("Deleted volume {number} of '{name}' on '{}'", resource.node);
        done.push(Reply::new(code::MODIFIED, message));
    }
    let now_ms = tx.now_ms;
    delete_volume_definition::begin(tx, name, number, now_ms);
    Ok((row.uuid, done))
}
