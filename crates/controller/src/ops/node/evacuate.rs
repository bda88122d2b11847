//! Evacuation and eviction of nodes, and their restoration.

use linstor_api::code;
use linstor_api::node::{NodeEvacuate, NodeRestore};
use linstor_api::reply::Reply;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::place::{self, PlaceRequest};
use linstor_model::process::{Kind, delete_resource, migrate};
use linstor_model::resource::{GiveDisk, NewResource};
use linstor_model::{DiskKind, Node, Resource, SelectFilter};

use super::super::request::{Context, Wait};
use super::super::{autoplace, name, resource};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// These calls refuse without operation and object bits, and have no object that details name.
fn context() -> Context {
    Context::new(0, "")
}

/// Moves a node's replicas to other nodes: each is deleted once its replacement is UpToDate and it is not in use.
pub async fn evacuate(cluster: &Cluster, name: String, request: NodeEvacuate) -> Vec<Reply> {
    let parse = || {
        let nodes = |given: &[String]| -> Result<Vec<NodeName>, Refusal> {
            given.iter().map(|name| name::node(name)).collect()
        };
        let targets = nodes(&request.target)?;
        Ok((name::node(&name)?, targets, nodes(&request.do_not_target)?))
    };
    let plan = |tx: &mut Transaction<'_>, (name, targets, others): (NodeName, Vec<_>, Vec<_>)| {
        let node = name::known_node(tx, &name)?.name.clone();
        // Placement leaves such a node out.
        tx.edit_node(&node, |row| row.evacuate = true);
        let allowed = |other: &NodeName| {
            (targets.is_empty() || targets.contains(other)) && !others.contains(other)
        };
        let nodes = tx.nodes.keys().filter(|other| allowed(other)).cloned();
        let nodes: Vec<NodeName> = nodes.collect();
        let mut moved = Vec::new();
        for row in replicas(tx, &node) {
            moved.extend(move_away(tx, &row, &nodes).then(|| row.name.clone()));
        }
        Ok(Wait::Applied(moved))
    };
    context()
        .fresh_space(true)
        .change(cluster, parse, plan)
        .await
}

fn replicas(tx: &Transaction<'_>, node: &NodeName) -> Vec<Resource> {
    let rows = tx.resources_on(node).filter(|row| !tx.is_deleting(row));
    rows.map(|row| Resource::clone(row)).collect()
}

/// Begins the move of a replica to one of the nodes. Returns whether it is on its way; why it is not is an entry of the
/// answer.
fn move_away(tx: &mut Transaction<'_>, row: &Resource, nodes: &[NodeName]) -> bool {
    let (name, from) = (&row.name, &row.node);
    if row.drbd.is_none() {
        let message = format!("Resource '{name}' cannot be evacuated from node '{from}'.");
        let reply = Reply::new(code::WARN_NOT_EVACUATING, message)
            .cause("It is not a DRBD resource, so that nothing copies its data.")
            .correction("Copy its data to another node, and delete it.");
        tx.reply(reply.plain());
        return false;
    }
    if row.is_diskless() || is_moving(tx, name, from) {
        return false;
    }
    let moved = tx.attempt(|tx| {
        // Its replies name nodes and pools; this call reports only replicas that do not move.
        let replies = tx.reply_count();
        replace(tx, row, nodes)?;
        tx.truncate_replies(replies);
        Ok(())
    });
    let Err(Refusal(why)) = moved else {
        return true;
    };
    let message = format!("No other node can take resource '{name}' of node '{from}'.");
    let cause = why.into_iter().next();
    let reply = Reply::new(code::WARN_NOT_EVACUATING, message)
        .cause(cause.map_or_else(String::new, |reply| reply.message))
        .details("The replica is not moved.")
        .correction("Make room on another node, and evacuate again.");
    tx.reply(reply.plain());
    false
}

fn is_moving(tx: &Transaction<'_>, name: &ResourceName, from: &NodeName) -> bool {
    tx.processes_of(name)
        .any(|process| matches!(&process.kind, Kind::Migrate(row) if row.from == *from))
}

fn replace(tx: &mut Transaction<'_>, row: &Resource, nodes: &[NodeName]) -> Result<(), Refusal> {
    let name = &row.name;
    let definition = name::known_definition(tx, name)?.clone();
    let group = name::known_group(tx, &definition.group)?;
    let filter = SelectFilter {
        place_count: None,
        additional_place_count: Some(1),
        nodes: Some(nodes.to_vec()),
        ..group.filter.clone()
    };
    let request = PlaceRequest::of_definition(tx, &definition, &filter);
    let placement = place::choose(tx, &tx.observed, &request)?;
    let Some(chosen) = placement.chosen.into_iter().next() else {
        return Err(placement.replies.into());
    };
    if chosen.converts {
        let disk = GiveDisk {
            pool: Some(chosen.pool),
            migrate_from: Some(row.node.clone()),
            diskful_by: Some("auto-placer"),
        };
        return resource::create::add_disk(tx, name, &chosen.node, disk);
    }
    let new = NewResource {
        pool: Some(chosen.pool),
        layer_stack: Some(row.layer_stack.clone()),
        diskful_by: Some("auto-placer"),
        ..NewResource::new(name.clone(), chosen.node, DiskKind::Diskful)
    };
    let node = resource::create::add_placed(tx, new)?.node;
    let now_ms = tx.now_ms;
    migrate::begin(tx, name, &node, &row.node, now_ms);
    Ok(())
}

/// Evicts a node that is offline: the controller does not connect to it any more, and its replicas do not count.
pub async fn evict(cluster: &Cluster, name: String) -> Vec<Reply> {
    let parse = || name::node(&name);
    let plan = |tx: &mut Transaction<'_>, name: NodeName| {
        let node = name::known_node(tx, &name)?.name.clone();
        if tx.observed.is_online(&node) {
            let message = format!("Node '{node}' is online and cannot be evicted.");
            return Err(Reply::new(code::FAIL_IN_USE | code::MASK_NODE, message)
                .cause("Only an offline node can be evicted.")
                .correction("Evacuate it, or stop its satellite first.")
                .into());
        }
        tx.edit_node(&node, |row| row.evicted = true);
        let mut filled = Vec::new();
        for row in replicas(tx, &node) {
            let message = format!(
                "No other node takes the place of '{node}' for '{}'.",
                row.name
            );
            match tx.attempt(|tx| autoplace::fill_up(tx, &row.name)) {
                Ok(()) => filled.push(row.name),
                Err(Refusal(why)) => {
                    let cause = why.into_iter().next().map(|reply| reply.message);
                    let reply = Reply::new(code::WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER, message);
                    tx.reply(reply.cause(cause.unwrap_or_default()));
                }
            }
        }
        Ok(Wait::Applied(filled))
    };
    context()
        .fresh_space(true)
        .change(cluster, parse, plan)
        .await
}

/// Cancels an evacuation or an eviction. Migrations of replicas end; the new replicas are not deleted.
pub async fn restore(cluster: &Cluster, name: String, request: NodeRestore) -> Vec<Reply> {
    let parse = || name::node(&name);
    let deletes = request.delete_resources == Some(true);
    let plan = move |tx: &mut Transaction<'_>, name: NodeName| {
        let node = Node::clone(name::known_node(tx, &name)?);
        let name = node.name.clone();
        if !node.evicted && !node.evacuate {
            let message = format!("Node '{name}' is neither evicted nor evacuated.");
            let reply = Reply::new(code::MASK_ERROR, message);
            return Err(reply.cause("There is nothing to restore.").into());
        }
        let was_evicted = node.evicted;
        tx.put_node(Node {
            evicted: false,
            evacuate: false,
            ..node
        });
        let mut changed = Vec::new();
        for row in replicas(tx, &name) {
            let moving = is_moving(tx, &row.name, &name);
            migrate::end(tx, &row.name, &name);
            if was_evicted && deletes {
                let now_ms = tx.now_ms;
                delete_resource::begin(tx, &row.name, &name, now_ms);
            } else if moving || row.drbd.is_none() {
                let message = format!("Resource '{}' restored on '{name}'", row.name);
                tx.reply(Reply::new(code::MODIFIED, message));
            }
            changed.push(row.name);
        }
        let message = format!("Successfully restored node {name}");
        tx.reply(Reply::new(code::MASK_SUCCESS | code::MASK_NODE, message));
        Ok(Wait::Applied(changed))
    };
    let replies = context().change(cluster, parse, plan).await;
    if let Ok(name) = name::node(&name)
        && !replies.iter().any(Reply::is_error)
        && !cluster.observed().is_online(&name)
    {
        cluster.reconnect(&name);
    }
    replies
}
