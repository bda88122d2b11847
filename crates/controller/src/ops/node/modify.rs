//! Changing a node's type and properties.

use linstor_api::code;
use linstor_api::kind::NodeType;
use linstor_api::node::NodeModify;
use linstor_api::reply::Reply;
use linstor_model::{Model, Node};

use super::super::names;
use super::super::property::{self, Owner};
use super::super::reply::modified;
use super::super::request::Wait;
use super::{context, describe};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

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
        Ok((names::node(&name)?, wanted, change))
    };
    let plan = context.change(cluster, parse, |tx, (name, wanted, change)| {
        let mut node = Node::clone(names::known_node(tx, &name)?);
        if let Some(wanted) = wanted {
            change_type(tx, &mut node, wanted)?;
        }
        tx.replies(property::apply(Owner::Node, &mut node.props, &change)?);
        tx.reply(modified(&describe(&node.name), node.uuid));
        tx.put_node(node);
        Ok(Wait::Nothing)
    });
    plan.await
}

fn change_type(model: &Model, node: &mut Node, wanted: NodeType) -> Result<(), Refusal> {
    let keeps_satellite = node.node_type.has_satellite() == wanted.has_satellite();
    if !keeps_satellite && model.resource_count_on(&node.name) > 0 {
        return Err(Reply::new(
            code::FAIL_INVLD_NODE_TYPE,
            format!("The type of node '{}' cannot become {wanted}.", node.name),
        )
        .cause("The node has resources, which need a satellite.")
        .correction("Delete its resources first.")
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
