//! Deleting a node, and giving one up that is lost.

use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::ConnectionStatus;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::process::{self, delete_node, delete_resource, delete_snapshot};
use linstor_model::{Model, Observed};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::reply::{deleted, marked, nothing_to_delete};
use super::super::request::{WAIT, Wait, still_working};
use super::super::{name, resource};
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How long a node's row may exist after its last resource before the answer has a warning.
const NODE_ROW_GONE: Duration = Duration::from_secs(5);

/// Deletes a node with everything on it.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = name::node(&name)?;
        let target = name.clone();
        let committed = cluster.commit(move |tx| mark(tx, &target)).await?;
        let Marked {
            uuid,
            what,
            resources,
            done,
        } = committed.value;
        if resources.is_empty() && is_gone(&cluster.model(), &name, uuid) {
            return Ok(vec![deleted(&what, uuid)]);
        }
        let mut replies = vec![marked(&what, uuid)];
        replies.extend(committed.replies);
        let deadline = Instant::now() + WAIT;
        for (resource, done) in resources.iter().zip(done) {
            let left = |model: &Model, observed: &Observed| {
                let gone = model.resource(resource, &name).is_none();
                (gone || !observed.is_online(&name)).then_some(())
            };
            cluster.wait_until(resource, deadline, left).await;
            if cluster.model().resource(resource, &name).is_none() {
                replies.extend(done);
            }
        }
        // The node itself is removed in a commit of its own, right after its last resource.
        let model = cluster.model();
        let left = |resource| model.resource(resource, &name).is_some();
        let grace = match resources.iter().any(left) {
            true => Duration::ZERO,
            false => NODE_ROW_GONE,
        };
        let gone = |_: Option<&_>| is_gone(&cluster.model(), &name, uuid).then_some(());
        let gone = cluster.wait_node(&name, Instant::now() + grace, gone).await;
        replies.push(if gone.is_some() {
            deleted(&what, uuid)
        } else if cluster.observed().is_online(&name) {
            still_working(&what)
        } else {
            crate::wait::not_connected(&name)
        });
        Ok(replies)
    };
    context.run(work).await
}

fn is_gone(model: &Model, name: &NodeName, uuid: Uuid) -> bool {
    model.node(name).is_none_or(|node| node.uuid != uuid)
}

struct Marked {
    uuid: Uuid,
    what: String,
    resources: Vec<ResourceName>,
    /// The entries about each of them once it is deleted.
    done: Vec<Vec<Reply>>,
}

fn mark(tx: &mut Transaction<'_>, name: &NodeName) -> Result<Marked, Refusal> {
    let Some(node) = tx.node(name).cloned() else {
        return Err(nothing_to_delete(tx, &RowKey::Node(name.clone()), &label(name)).into());
    };
    if node.evicted {
        return Err(Reply::new(
            code::WARN_NODE_EVICTED,
            format!("The node '{name}' is evicted and cannot be deleted."),
        )
        .correction("Use 'node lost' to get rid of it.")
        .into());
    }
    let resources: Vec<_> = tx.resources_on(name).map(|r| r.name.clone()).collect();
    for resource in &resources {
        resource::delete::check(tx, resource, name).map_err(|Refusal(replies)| {
            let why = replies.into_iter().next().map(|reply| reply.message);
            Reply::new(
                code::FAIL_NODE_HAS_USED_RSC,
                format!(
                    "The node '{name}' cannot be deleted: its resource '{resource}' is needed."
                ),
            )
            .cause(why.unwrap_or_default())
            .correction("Take the resource out of use, or give another node a replica first.")
        })?;
    }
    let done = tx.resources_on(name).map(|row| {
        let mut done = resource::volume_entries(tx, row, code::DELETED, "deleted");
        // References of the node's resources are those of their volumes only.
        for reply in &mut done {
            reply
                .obj_refs
                .insert("RscDfn".to_owned(), row.name.to_string());
        }
        let message = format!("Deleted resource '{}' on '{name}'", row.name);
        done.push(Reply::new(code::MODIFIED, message));
        done
    });
    let done = done.collect();
    tx.plan(|draft, observed, seeds| {
        delete_node::begin(draft, name, seeds.now_ms);
        process::advance_node(draft, observed, name, seeds.now_ms)
    });
    Ok(Marked {
        uuid: node.uuid,
        what: label(&node.name),
        resources,
        done,
    })
}

/// Drops a node that will not come back, with everything on it, at once.
pub async fn lost(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let parse = || name::node(&name);
    let plan = context.change(cluster, parse, |tx, name| {
        let Some(node) = tx.node(&name).cloned() else {
            let key = RowKey::Node(name.clone());
            return Err(nothing_to_delete(tx, &key, &label(&name)).into());
        };
        if is_connected(&tx.observed, &name) {
            return Err(Reply::new(
                code::FAIL_EXISTS_NODE_CONN,
                format!("Node '{name}' has an active connection to the controller."),
            )
            .cause("A node that is there is not lost.")
            .correction("Use 'node delete' instead.")
            .into());
        }
        let resources: Vec<_> = tx.resources_on(&name).map(|r| r.name.clone()).collect();
        for resource in &resources {
            delete_resource::remove_resource(tx, resource, &name);
        }
        tx.plan(|draft, _, seeds| delete_snapshot::drop_on_node(draft, &name, seeds.now_ms));
        delete_node::remove_node(tx, &name);
        // What was waiting for this node only is done.
        tx.plan(|draft, observed, seeds| {
            for resource in &resources {
                process::advance(draft, observed, resource, seeds.now_ms);
            }
        });
        tx.reply(deleted(&label(&node.name), node.uuid));
        Ok(Wait::Nothing)
    });
    plan.await
}

fn is_connected(observed: &Observed, name: &NodeName) -> bool {
    observed.nodes.get(name).is_some_and(|status| {
        matches!(
            status.connection,
            ConnectionStatus::Online
                | ConnectionStatus::Connected
                | ConnectionStatus::Authenticated
        )
    })
}
