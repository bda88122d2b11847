//! Evacuation and eviction of nodes, and their restoration.

use std::sync::Arc;

use linstor_api::node::{NodeEvacuate, NodeRestore};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
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

/// Moves a node's replicas to other nodes: each is deleted once its replacement is UpToDate and it is not in use. Those that
/// cannot be moved now are tried again in the background, until the node is restored.
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
        tx.edit_node(&node, |row| {
            row.evacuate = true;
            row.evacuate_to = targets;
            row.evacuate_not_to = others;
        });
        // As LINSTOR does, in capitals; it is not removed by a restoration.
        for mut replica in replicas(tx, &node) {
            let source = node.as_str().to_ascii_uppercase();
            replica.props.insert(prop::MIGRATE_FROM.to_owned(), source);
            tx.put_resource(replica);
        }
        Ok(Wait::Applied(empty(tx, &node)))
    };
    context()
        .fresh_space(true)
        .change(cluster, parse, plan)
        .await
}

/// Begins what can be begun to empty a node that is being evacuated. Returns the resources that are moved or deleted; why
/// others are not is in the replies.
pub(crate) fn empty(tx: &mut Transaction<'_>, node: &NodeName) -> Vec<ResourceName> {
    let Some(row) = tx.node(node).cloned() else {
        return Vec::new();
    };
    let allowed = |other: &&NodeName| {
        (row.evacuate_to.is_empty() || row.evacuate_to.contains(other))
            && !row.evacuate_not_to.contains(other)
    };
    let nodes: Vec<NodeName> = tx.nodes.keys().filter(allowed).cloned().collect();
    let replicas = replicas(tx, node).into_iter();
    let begun = replicas.filter_map(|row| move_away(tx, &row, &nodes).then_some(row.name));
    begun.collect()
}

/// What becomes of a replica on a node that is evacuated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Another one takes its place.
    Replaced,
    /// There are enough others.
    Deleted,
    /// It is being moved, is in use, or others are still being synchronised.
    Waits,
}

fn fate(tx: &Transaction<'_>, row: &Resource) -> Fate {
    let (name, from) = (&row.name, &row.node);
    let used = tx.observed.in_use(name, from) != Some(false);
    if is_moving(tx, name, from) {
        return Fate::Waits;
    }
    if row.is_diskless() {
        // A tie breaker follows from the other replicas.
        let breaker = row.drbd.as_ref().map(|drbd| drbd.disk) == Some(DiskKind::TieBreaker);
        return if used || breaker {
            Fate::Waits
        } else {
            Fate::Deleted
        };
    }
    let lasts = |other: &&Arc<Resource>| {
        let node = tx.node(&other.node);
        other.node != *from
            && !other.is_diskless()
            && !tx.is_deleting(other)
            && !is_moving(tx, name, &other.node)
            && node.is_some_and(|node| !node.evacuate && !node.evicted)
    };
    let others: Vec<&Arc<Resource>> = tx.resources_of(name).filter(lasts).collect();
    let definition = tx.definitions.get(name);
    let group = definition.and_then(|definition| tx.groups.get(&definition.group));
    let wanted = group
        .and_then(|group| group.filter.place_count)
        .unwrap_or(1)
        .max(1) as usize;
    let up_to_date = |other: &&&Arc<Resource>| tx.observed.is_up_to_date(name, &other.node);
    match others.iter().filter(up_to_date).count() >= wanted {
        true if used => Fate::Waits,
        true => Fate::Deleted,
        false if others.len() >= wanted => Fate::Waits,
        false => Fate::Replaced,
    }
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
    match fate(tx, row) {
        Fate::Waits => return false,
        Fate::Deleted => {
            resource::delete::take_down(tx, name, from);
            return true;
        }
        Fate::Replaced => {}
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
        .details("The replica is not moved yet.")
        .correction(
            "It is moved once another node can take it. Make room on one, or restore the node.",
        );
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
        Ok(Wait::Applied(replace_all(tx, &node)))
    };
    context()
        .fresh_space(true)
        .change(cluster, parse, plan)
        .await
}

/// Marks a node as evicted and places a replica elsewhere for each of its own. Returns the resources for which that was
/// possible; the reasons for the others are in the replies.
pub(crate) fn replace_all(tx: &mut Transaction<'_>, node: &NodeName) -> Vec<ResourceName> {
    tx.edit_node(node, |row| row.evicted = true);
    let mut filled = Vec::new();
    for row in replicas(tx, node)
        .into_iter()
        .filter(|row| row.drbd.is_some())
    {
        let message = format!(
            "No other node takes the place of '{node}' for '{}'.",
            row.name
        );
        let count = replica_count(tx, &row.name);
        match tx.attempt(|tx| autoplace::fill_up_to(tx, &row.name, count)) {
            Ok(()) => filled.push(row.name),
            Err(Refusal(why)) => {
                let cause = why.into_iter().next().map(|reply| reply.message);
                let reply = Reply::new(code::WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER, message);
                tx.reply(reply.cause(cause.unwrap_or_default()));
            }
        }
    }
    filled
}

/// How many replicas are restored at most after an eviction, if a property sets that.
fn replica_count(tx: &Transaction<'_>, name: &ResourceName) -> Option<u32> {
    let key = prop::DRBD_AUTO_EVICT_MIN_REPLICA_COUNT;
    let definition = tx.definitions.get(name)?;
    let of_definition = definition.props.get(key);
    of_definition
        .or_else(|| tx.controller.props.get(key))?
        .parse()
        .ok()
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
            evacuate_to: Vec::new(),
            evacuate_not_to: Vec::new(),
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
