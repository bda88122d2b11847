//! Resources where they are needed: the data of a definition made usable on a node, and the way back.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::resource::ResourceMakeAvailable;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::place::{self, PlaceRequest};
use linstor_model::resource::{self, NewResource};
use linstor_model::stack;
use linstor_model::{DiskKind, SelectFilter};

use super::super::reply::capital;
use super::super::request::Wait;
use super::super::{autoplace, name, resource_definition};
use super::activate::set_active;
use super::create::{add, registered_entries, withdraw_deletion};
use super::{context, delete, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

const BY: &str = "make-available";

/// Makes the data of a definition usable on a node; does nothing when it is already.
pub async fn make_available(
    cluster: &Cluster,
    name: String,
    node: String,
    request: ResourceMakeAvailable,
) -> Vec<Reply> {
    let parse = || {
        let (name, node) = (name::resource(&name)?, name::node(&node)?);
        let layers = match &request.layer_list[..] {
            [] => None,
            given => {
                let (layers, _) = stack::complete(stack::parse(given)?);
                stack::check(&layers)?;
                Some(layers)
            }
        };
        Ok((name, node, layers))
    };
    if let Err(replies) = hand_over(cluster, &name, &node).await {
        return replies;
    }
    let ports = request.drbd_tcp_ports.iter();
    let ports = ports.map(|port| i64::from(*port)).collect();
    let diskful = request.diskful;
    context(code::MASK_CRT, &name, &node)
        .fresh_space(true)
        .change(cluster, parse, move |tx, (name, node, layers)| {
            let wanted = Wanted {
                diskful,
                layers,
                ports,
            };
            let nodes = provide(tx, &name, &node, wanted)?;
            if tx.reply_count() == 0 {
                let message = "The resource is deployed as requested already.";
                tx.reply(Reply::new(code::MASK_SUCCESS, message));
            }
            Ok(Wait::Deployed(name, nodes))
        })
        .await
}

/// Deactivates the resource that has the volumes of this one, which is inactive, in a shared storage pool; refused where it
/// is in use.
async fn hand_over(cluster: &Cluster, name: &str, node: &str) -> Result<(), Vec<Reply>> {
    let (Ok(name), Ok(node)) = (name::resource(name), name::node(node)) else {
        return Ok(());
    };
    let model = cluster.model();
    let row = model.resource(&name, &node).filter(|row| row.inactive);
    let siblings = row.map(|row| resource::shared::siblings(&model, row));
    for active in siblings
        .into_iter()
        .flatten()
        .filter(|other| !other.inactive)
    {
        let (name, node) = (name.to_string(), active.node.to_string());
        let replies = set_active(cluster, name, node, false).await;
        if replies.iter().any(Reply::is_error) {
            return Err(replies);
        }
    }
    Ok(())
}

struct Wanted {
    diskful: bool,
    layers: Option<Vec<LayerKind>>,
    ports: Vec<i64>,
}

fn provide(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    node: &NodeName,
    wanted: Wanted,
) -> Result<Vec<NodeName>, Refusal> {
    let definition = name::known_definition(tx, name)?.clone();
    name::known_node(tx, node)?;
    resource_definition::check_not_deleting(tx, &definition)?;
    let Some(row) = tx.resource(name, node).cloned() else {
        let has_data = tx
            .resources_of(name)
            .any(|peer| peer.drbd.is_some() && !peer.is_diskless());
        if !has_data || wanted.diskful {
            return place_here(tx, name, node, wanted.layers, BY);
        }
        let new = NewResource {
            layer_stack: wanted.layers,
            ports: wanted.ports,
            ..NewResource::new(name.clone(), node.clone(), DiskKind::Diskless)
        };
        return Ok(vec![add(tx, new)?]);
    };
    let mut nodes = Vec::new();
    let what = label(name, node);
    if row.inactive {
        resource::shared::check_activation(tx, &tx.observed, &row)?;
    }
    if withdraw_deletion(tx, &row)? || row.inactive {
        let now_ms = tx.now_ms;
        resource::set_active(tx, name, node, true, now_ms);
        let message = format!("{} is made available again", capital(&what));
        tx.reply(Reply::new(code::MODIFIED, message));
        nodes.push(row.node.clone());
    }
    let disk = row.drbd.as_ref().map(|drbd| drbd.disk);
    if wanted.diskful && disk.is_some_and(DiskKind::is_diskless) {
        nodes.append(&mut place_here(tx, name, node, wanted.layers, BY)?);
    } else if disk == Some(DiskKind::TieBreaker) {
        tx.edit_resource(name, node, |row| {
            if let Some(drbd) = &mut row.drbd {
                drbd.disk = DiskKind::Diskless;
            }
        });
        let message = format!("{} is no longer a tie breaker", capital(&what));
        tx.reply(Reply::new(code::MODIFIED, message));
    }
    Ok(nodes)
}

/// A resource with a disk on this very node, in the best pool that the group's rules leave there.
pub(crate) fn place_here(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    node: &NodeName,
    layers: Option<Vec<LayerKind>>,
    by: &'static str,
) -> Result<Vec<NodeName>, Refusal> {
    let definition = name::known_definition(tx, name)?.clone();
    let group = name::known_group(tx, &definition.group)?;
    // Who asks for this node means it, whatever the rules for the choice of nodes are.
    let filter = SelectFilter {
        place_count: None,
        additional_place_count: Some(1),
        nodes: None,
        diskless_on_remaining: None,
        same: None,
        different: None,
        x_different: None,
        layer_stack: layers.or_else(|| group.filter.layer_stack.clone()),
        ..group.filter.clone()
    };
    let only = BTreeSet::from([node.clone()]);
    let request = PlaceRequest {
        only_nodes: Some(&only),
        ..PlaceRequest::of_definition(tx, &definition, &filter)
    };
    let placement = place::choose(tx, &tx.observed, &request)?;
    let existed = tx.resource(name, node).is_some();
    let nodes = autoplace::add_chosen(tx, name, &filter, &placement.chosen, by)?;
    if let Some(row) = tx.resource(name, node).filter(|_| !existed).cloned() {
        tx.replies(registered_entries(&row));
    }
    Ok(nodes)
}

/// Removes a resource that [`make_available`] may have made, as far as no data is lost: diskless ones are removed, others are not.
pub async fn unmake_available(cluster: &Cluster, name: String, node: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name, &node);
    let work = async {
        let (parsed, host) = (name::resource(&name)?, name::node(&node)?);
        let model = cluster.model();
        name::known_definition(&model, &parsed)?;
        name::known_node(&model, &host)?;
        let what = label(&parsed, &host);
        let row = model.resource(&parsed, &host);
        let disk = row.and_then(|row| row.drbd.as_ref()).map(|drbd| drbd.disk);
        match disk {
            Some(DiskKind::Diskless | DiskKind::Client) => {
                Ok(delete::delete(cluster, name.clone(), node.clone(), true).await)
            }
            _ if row.is_none() => {
                let message = format!("There is no {what}, nothing was to be done.");
                Ok(vec![Reply::new(code::INFO_NOOP, message)])
            }
            Some(DiskKind::Diskful | DiskKind::TieBreaker) | None => {
                let message =
                    format!("The {what} is not deleted: it has a disk or is a tie-breaker.");
                Ok(vec![Reply::new(code::INFO_NOOP, message)])
            }
        }
    };
    context.run(work).await
}
