//! Replicas where they are needed: "give me the data on this node", and the way back (spec core 5.3).

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::resource::ResourceMakeAvailable;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::place::{self, PlaceRequest};
use linstor_model::resource::NewResource;
use linstor_model::{DiskKind, SelectFilter};
use linstor_model::{Draft, stack};

use super::super::reply::Refusal;
use super::super::{Facts, names, resource};
use super::{Made, check_not_deleting, deployed, make, make_chosen};
use crate::cluster::Cluster;

const BY: &str = "make-available";

/// Makes the data of a definition usable on a node; does nothing when it is already.
pub async fn make_available(
    cluster: &Cluster,
    name: String,
    node: String,
    request: ResourceMakeAvailable,
) -> Vec<Reply> {
    let context = resource::context(code::MASK_CRT, &name, &node);
    let work = async {
        let (name, node) = (names::resource(&name)?, names::node(&node)?);
        let layers = match &request.layer_list[..] {
            [] => None,
            words => {
                let (layers, _) = stack::complete(stack::parse(words)?);
                stack::check(&layers)?;
                Some(layers)
            }
        };
        super::refresh_thin(cluster).await;
        let facts = Facts::gather(cluster);
        let target = (name.clone(), node);
        let committed = cluster.commit(move |draft| {
            let (name, node) = target;
            let ports = request
                .drbd_tcp_ports
                .iter()
                .map(|port| i64::from(*port))
                .collect();
            let wish = Wish {
                diskful: request.diskful,
                layers,
                ports,
            };
            Ok(provide(draft, &facts, &name, &node, wish)?)
        });
        let committed = committed.await?;
        let Made { mut replies, nodes } = committed.value;
        if committed.changed {
            let mut more = deployed(cluster, &name, &nodes, committed.generation).await;
            replies.append(&mut more);
        }
        if replies.is_empty() {
            let message = "The resource is available already.";
            replies.push(Reply::new(code::INFO_NOOP, message));
        }
        Ok(replies)
    };
    context.run(work).await
}

struct Wish {
    diskful: bool,
    layers: Option<Vec<LayerKind>>,
    ports: Vec<i64>,
}

fn provide(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    node: &NodeName,
    wish: Wish,
) -> Result<Made, Refusal> {
    let definition = names::known_definition(draft, name)?.clone();
    names::known_node(draft, node)?;
    check_not_deleting(&definition)?;
    let mut made = Made::default();
    let Some(row) = draft.resource(name, node).cloned() else {
        let has_data = draft
            .resources_of(name)
            .any(|peer| peer.drbd.is_some() && !peer.is_diskless());
        if has_data && !wish.diskful {
            let replica = NewResource {
                layer_stack: wish.layers,
                ports: wish.ports,
                ..NewResource::new(name.clone(), node.clone(), DiskKind::Diskless)
            };
            make(draft, facts, replica, &mut made)?;
        } else {
            place_here(draft, facts, name, node, wish.layers, &mut made)?;
        }
        made.replies
            .append(&mut super::super::helpers_after_change(draft, facts, name));
        return Ok(made);
    };
    if super::create::revive(draft, &row)? || row.inactive {
        draft.edit_resource(name, node, |row| row.inactive = false);
        let message = format!("{} is made available again", resource::describe(name, node));
        made.replies.push(Reply::new(
            code::MODIFIED,
            super::super::reply::capital(&message),
        ));
        made.nodes.push(row.node.clone());
    }
    let disk = row.drbd.as_ref().map(|drbd| drbd.disk);
    if wish.diskful && disk.is_some_and(DiskKind::is_diskless) {
        place_here(draft, facts, name, node, wish.layers, &mut made)?;
    } else if disk == Some(DiskKind::TieBreaker) {
        draft.edit_resource(name, node, |row| {
            if let Some(drbd) = &mut row.drbd {
                drbd.disk = DiskKind::Diskless;
            }
        });
        let message = format!(
            "{} is no longer a tie breaker",
            resource::describe(name, node)
        );
        made.replies.push(Reply::new(
            code::MODIFIED,
            super::super::reply::capital(&message),
        ));
    }
    made.replies
        .append(&mut super::super::helpers_after_change(draft, facts, name));
    Ok(made)
}

/// A replica with a disk on this very node, in the best pool that the group's rules leave there.
fn place_here(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    node: &NodeName,
    layers: Option<Vec<LayerKind>>,
    made: &mut Made,
) -> Result<(), Refusal> {
    let definition = names::known_definition(draft, name)?.clone();
    let group = names::known_group(draft, &definition.group)?;
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
        ..PlaceRequest::of_definition(draft, &definition, &filter)
    };
    let placement = place::choose(draft, &facts.observed, &request)?;
    make_chosen(draft, facts, name, &filter, &placement.chosen, BY, made)
}

/// Removes a replica that [`make_available`] may have made, as far as no data is lost: diskless ones go, others stay.
pub async fn unmake_available(cluster: &Cluster, name: String, node: String) -> Vec<Reply> {
    let context = resource::context(code::MASK_DEL, &name, &node);
    let work = async {
        let (parsed, host) = (names::resource(&name)?, names::node(&node)?);
        let model = cluster.model();
        names::known_definition(&model, &parsed)?;
        names::known_node(&model, &host)?;
        let what = resource::describe(&parsed, &host);
        let row = model.resource(&parsed, &host);
        let disk = row.and_then(|row| row.drbd.as_ref()).map(|drbd| drbd.disk);
        match disk {
            Some(DiskKind::Diskless | DiskKind::Client) => {
                Ok(resource::delete(cluster, name.clone(), node.clone(), true).await)
            }
            _ if row.is_none() => {
                let message = format!("There is no {what}, nothing was to be done.");
                Ok(vec![Reply::new(code::INFO_NOOP, message)])
            }
            Some(DiskKind::Diskful | DiskKind::TieBreaker) | None => {
                let message = format!("The {what} is kept: it is not merely a diskless client.");
                Ok(vec![Reply::new(code::INFO_NOOP, message)])
            }
        }
    };
    context.run(work).await
}
