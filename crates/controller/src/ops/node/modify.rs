//! Changing a node's type and properties.

use std::collections::BTreeSet;

use linstor_api::kind::{DrbdKind, NodeType};
use linstor_api::node::NodeModify;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::name::NodeName;
use linstor_model::{Model, Node};

use super::super::name;
use super::super::property::{self, Owner};
use super::super::reply::modified;
use super::super::request::Wait;
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Changes a node's type and properties.
pub async fn modify(cluster: &Cluster, name: String, request: NodeModify) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name);
    let parse = || {
        let wanted = match request.node_type.as_deref() {
            None | Some("") => None,
            Some(word) => Some(node_type(word)?),
        };
        let change = property::change(
            request.override_props,
            request.delete_props,
            request.delete_namespaces,
        );
        Ok((name::node(&name)?, wanted, change))
    };
    let plan = context.change(cluster, parse, |tx, (name, wanted, change)| {
        let before = name::known_node(tx, &name)?.clone();
        let mut node = Node::clone(&before);
        check_interface(&node, &change)?;
        if let Some(wanted) = wanted {
            change_type(tx, &mut node, wanted)?;
        }
        tx.replies(property::apply(Owner::Node, &mut node.props, &change)?);
        tx.replies(without_effect(tx, &node, &change));
        tx.reply(modified(&label(&node.name), node.uuid));
        if node == *before {
            return Ok(Wait::Nothing);
        }
        // Peers of its resources take it over too. A node that is away does when it is back.
        let resources = tx.resources_on(&node.name);
        let peers = resources.flat_map(|row| tx.resources_of(&row.name));
        let concerned: BTreeSet<&NodeName> =
            peers.map(|row| &row.node).chain([&node.name]).collect();
        let online = concerned
            .into_iter()
            .filter(|node| tx.observed.is_online(node));
        let online = online.cloned().collect();
        tx.put_node(node);
        let applied = Reply::new(code::MODIFIED, "Node changes applied.");
        Ok(Wait::Nodes(online, applied))
    });
    plan.await
}

/// The preferred net interface has to be there.
fn check_interface(node: &Node, change: &PropertiesModify) -> Result<(), Refusal> {
    let Some(Some(wanted)) = change.override_props.get(prop::PREF_NIC) else {
        return Ok(());
    };
    let mut known = node.net_interfaces.iter().map(|row| row.name.as_str());
    if known.any(|name| name.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let (shown, name) = (wanted.escape_debug(), &node.name);
    let message = format!("The network interface '{shown}' of node '{name}' does not exist.");
    Err(Reply::new(code::FAIL_INVLD_PROP, message)
        .cause(format!("The property {} names it.", prop::PREF_NIC))
        .correction("Create the network interface first, or name another one.")
        .into())
}

/// Whether a node may be evicted matters for the replicas of DRBD 9 only.
fn without_effect(tx: &Transaction<'_>, node: &Node, change: &PropertiesModify) -> Option<Reply> {
    let key = prop::DRBD_AUTO_EVICT_ALLOW_EVICTION;
    let status = tx.observed.nodes.get(&node.name)?;
    let drbd = status.info.as_deref()?.drbd.as_ref();
    let is_9 = drbd.is_some_and(|drbd| drbd.kind == DrbdKind::Drbd9);
    if is_9 || !change.override_props.contains_key(key) {
        return None;
    }
    let (name, cause) = (&node.name, "The node has no DRBD 9.");
    let message = format!("The property '{key}' has no effect on node '{name}'.");
    Some(Reply::new(code::WARN_UNEFFECTIVE_PROP, message).cause(cause))
}

fn change_type(model: &Model, node: &mut Node, wanted: NodeType) -> Result<(), Refusal> {
    let loses_satellite = node.node_type.has_satellite() && !wanted.has_satellite();
    let pools: Vec<&str> = model
        .pools_of(&node.name)
        .map(|p| p.name.as_str())
        .collect();
    if loses_satellite && !pools.is_empty() {
        return Err(Reply::new(
            code::FAIL_INVLD_STOR_DRIVER,
            format!("The type of node '{}' cannot become {wanted}.", node.name),
        )
        .cause(format!(
            "The node has storage pools, which need a satellite: {}.",
            pools.join(", ")
        ))
        .correction("Delete the node, and create it with the other type.")
        .into());
    }
    node.node_type = wanted;
    Ok(())
}

pub(super) fn node_type(word: &str) -> Result<NodeType, Refusal> {
    if word.is_empty() {
        return Ok(NodeType::Satellite);
    }
    let parsed = word.parse::<NodeType>().map_err(|error| {
        Reply::new(code::FAIL_INVLD_NODE_TYPE, format!("{error}."))
            .cause("The node type is not known.")
            .correction("Use SATELLITE, COMBINED, CONTROLLER or AUXILIARY.")
    })?;
    match parsed {
        NodeType::RemoteSpdk | NodeType::EbsTarget => Err(Reply::new(
            code::FAIL_INVLD_NODE_TYPE,
            format!("Nodes of type {parsed} are not implemented yet by this controller."),
        )
        .cause("They run inside the controller's host, which this version cannot do.")
        .correction("Use SATELLITE, COMBINED, CONTROLLER or AUXILIARY.")
        .into()),
        _ => Ok(parsed),
    }
}
