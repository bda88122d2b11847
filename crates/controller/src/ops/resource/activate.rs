//! Deactivation takes a resource's devices down and keeps its data; activation brings them up again.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::resource;

use super::super::name;
use super::{context, in_use, label, volume_entries};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Takes a resource's devices down, or brings them up.
pub async fn set_active(cluster: &Cluster, name: String, node: String, active: bool) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name, &node);
    let work = async {
        let (name, node) = (name::resource(&name)?, name::node(&node)?);
        let target = (name.clone(), node.clone());
        let committed = cluster
            .commit(move |tx| set(tx, &target.0, &target.1, active))
            .await?;
        let mut replies = committed.replies;
        if !committed.value {
            return Ok(replies);
        }
        let applied = super::applied(cluster, &name, committed.generation).await;
        replies.extend(applied.replies);
        if applied.nodes.contains(&node) {
            let model = cluster.model();
            let row = model.resource(&name, &node);
            let volumes = |done: &str| {
                let entries = row.map(|row| volume_entries(&model, row, code::MODIFIED, done));
                entries.unwrap_or_default()
            };
            let message = |text: &str| Reply::new(code::MODIFIED, format!("{text} on '{node}'"));
            if active {
                replies.push(message("Reactivating resource"));
                replies.push(message("Resource activated"));
            } else {
                replies.append(&mut volumes("deactivated"));
                replies.push(message("Resource deactivated"));
                replies.append(&mut volumes("is inactive"));
                replies.push(message("Finished deactivation of resource"));
            }
        }
        Ok(replies)
    };
    context.run(work).await
}

/// Returns whether the node has something to do.
fn set(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    node: &NodeName,
    active: bool,
) -> Result<bool, Refusal> {
    name::known_definition(tx, name)?;
    let row = name::known_resource(tx, name, node)?.clone();
    if row.inactive != active {
        let verb = if active { "activated" } else { "deactivated" };
        let message = format!("The {} is {verb} already.", label(&row.name, &row.node));
        tx.reply(Reply::new(code::INFO_NOOP, message));
        return Ok(false);
    }
    if !active && tx.observed.in_use(name, node) == Some(true) {
        return Err(in_use(name, node));
    }
    if active {
        resource::shared::check_activation(tx, &tx.observed, &row)?;
    }
    let now_ms = tx.now_ms;
    resource::set_active(tx, name, node, active, now_ms);
    Ok(true)
}
