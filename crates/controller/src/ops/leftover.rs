//! What earlier identities of a node have left on it: volumes with a mark of no resource, and what is up in DRBD without a
//! spec. Shown first, and removed only as it was shown.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::leftover::{Leftover as Json, LeftoversForget};
use linstor_api::reply::Reply;
use linstor_model::Model;
use linstor_model::name::NodeName;
use linstor_wire::question::{Answer, Leftover, LeftoverKind, Question};
use tokio::time::Instant;
use uuid::Uuid;

use super::name;
use super::request::{Context, WAIT};
use super::storage_pool::WAIT_SPACE;
use crate::cluster::Cluster;
use crate::transaction::Refusal;
use crate::wait::{not_answered, of_satellite};

/// What is left on a node.
pub async fn list(cluster: &Cluster, node: &str) -> Result<Vec<Json>, Refusal> {
    let node = known(&cluster.model(), node)?;
    let found = find(cluster, &node).await?;
    let own = cluster.model().controller.cluster_id;
    Ok(found.into_iter().map(|found| show(found, own)).collect())
}

fn known(model: &Model, node: &str) -> Result<NodeName, Refusal> {
    let node = name::node(node)?;
    Ok(name::known_node(model, &node)?.name.clone())
}

async fn find(cluster: &Cluster, node: &NodeName) -> Result<Vec<Leftover>, Refusal> {
    let deadline = Instant::now() + WAIT_SPACE;
    let answer = cluster.ask(node, Question::Leftovers, deadline).await?;
    let Answer::Leftovers(mut found) = answer else {
        return Err(not_answered(node, answer).into());
    };
    if !found.is_empty() {
        // A node sees the volumes of others in a shared pool, and knows nothing of a spec that was not sent yet.
        let model = cluster.model();
        let resources = model.resources.values().map(|row| row.uuid);
        // What a snapshot is of may be there for its sake.
        let snapshots = model.snapshots.values().flat_map(|all| all.values());
        let parts = snapshots.flat_map(|row| row.snapshots.values());
        // Volumes in a shared pool are their definition's.
        let definitions = model.definitions.values().map(|row| row.uuid);
        let ours: BTreeSet<Uuid> = resources
            .chain(definitions)
            .chain(parts.flat_map(|part| [part.uuid, part.resource.uuid]))
            .collect();
        found.retain(|found| {
            found
                .owner
                .is_none_or(|(_, resource)| !ours.contains(&resource))
        });
    }
    Ok(found)
}

fn show(found: Leftover, own: Uuid) -> Json {
    let mut json = Json {
        id: found.id(),
        name: found.name,
        cluster_id: found.owner.map(|(cluster, _)| cluster.to_string()),
        other_cluster: found.owner.is_some_and(|(cluster, _)| cluster != own),
        resource_uuid: found.owner.map(|(_, resource)| resource.to_string()),
        reason: found.kept_because,
        ..Json::default()
    };
    match found.what {
        LeftoverKind::Volume {
            pool,
            path,
            size_kib,
            allocated_kib,
        } => {
            json.kind = "VOLUME".into();
            json.storage_pool = Some(pool);
            json.device_path = path;
            json.size_kib = Some(size_kib);
            json.allocated_size_kib = allocated_kib;
        }
        LeftoverKind::Drbd { minors, ports } => {
            json.kind = "DRBD".into();
            json.minor_numbers = minors.into_iter().collect();
            json.tcp_ports = ports.into_iter().map(u32::from).collect();
        }
    }
    json
}

/// Removes what the list has under these ids.
pub async fn forget(cluster: &Cluster, node: &str, request: LeftoversForget) -> Vec<Reply> {
    let work = async {
        let node = known(&cluster.model(), node)?;
        let ids: BTreeSet<String> = request.ids.into_iter().collect();
        if ids.is_empty() {
            let message = format!("The request does not say what node '{node}' is to forget.");
            return Err(Reply::new(code::FAIL_INVLD_CONF, message)
                .cause("Nothing is removed that was not shown before.")
                .correction(format!(
                    "'linstor node forget {node}' lists what is left; name the ids in 'ids'."
                ))
                .into());
        }
        let found = find(cluster, &node).await?;
        let shown: BTreeSet<String> = found.iter().map(Leftover::id).collect();
        if let Some(unknown) = ids.iter().find(|id| !shown.contains(*id)) {
            let message = format!(
                "Node '{node}' has no leftover '{}'.",
                unknown.escape_debug()
            );
            return Err(Reply::new(code::FAIL_NOT_FOUND_VLM, message)
                .cause("It was removed, or a resource has it.")
                .details("Nothing was removed.")
                .correction(format!("See 'linstor node forget {node}'."))
                .into());
        }
        let question = Question::Forget { ids };
        match cluster.ask(&node, question, Instant::now() + WAIT).await? {
            Answer::Done(replies) => Ok(of_satellite(&node, &replies)),
            answer => Err(not_answered(&node, answer).into()),
        }
    };
    let context = Context::new(code::MASK_NODE | code::MASK_DEL, format!("Node: {node}"));
    context.about("Node", node).run(work).await
}
