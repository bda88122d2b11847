//! Placing resources by rules.

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::resource::AutoPlaceRequest;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::place::{self, Chosen, PlaceRequest};
use linstor_model::resource::{GiveDisk, NewResource};
use linstor_model::{DiskKind, SelectFilter, stack};

use super::request::{Context, Wait};
use super::resource::create::{add_disk, add_placed};
use super::{name, resource_definition, select_filter};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Places resources of a definition by rules.
pub async fn autoplace(cluster: &Cluster, name: String, request: AutoPlaceRequest) -> Vec<Reply> {
    let object = format!("Auto-placing resource: {name}");
    Context::new(code::MASK_RSC | code::MASK_CRT, object)
        .about("RscDfn", &name)
        .fresh_space(true)
        .change(
            cluster,
            || name::resource(&name),
            move |tx, name| {
                let definition = name::known_definition(tx, &name)?;
                let group = name::known_group(tx, &definition.group)?;
                let filter = filter_of(&group.filter, &request)?;
                let nodes = place(tx, &name, &filter)?;
                Ok(Wait::Deployed(name, nodes))
            },
        )
        .await
}

fn filter_of(group: &SelectFilter, request: &AutoPlaceRequest) -> Result<SelectFilter, Refusal> {
    let mut filter = select_filter::effective(group, Some(&request.select_filter))?;
    if request.diskless_on_remaining {
        filter.diskless_on_remaining = Some(true);
    }
    if let Some(given) = request
        .layer_list
        .as_ref()
        .filter(|given| !given.is_empty())
    {
        filter.layer_stack = Some(stack::complete(stack::parse(given)?).0);
    }
    Ok(filter)
}

/// Creates as many resources as a filter asks for and are missing. Returns their nodes.
pub(crate) fn place(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    filter: &SelectFilter,
) -> Result<Vec<NodeName>, Refusal> {
    let definition = name::known_definition(tx, name)?.clone();
    resource_definition::check_not_deleting(tx, &definition)?;
    // The layers that a definition has count before those that are asked for.
    let filter = &SelectFilter {
        layer_stack: filter
            .layer_stack
            .clone()
            .filter(|_| definition.layer_stack.is_empty()),
        ..filter.clone()
    };
    let request = PlaceRequest::of_definition(tx, &definition, filter);
    if filter.diskless_on_remaining == Some(true) && !request.layer_stack.contains(&LayerKind::Drbd)
    {
        let message = format!(
            "Resource '{}' cannot be diskless on the remaining nodes.",
            definition.name
        );
        return Err(Reply::new(code::FAIL_INVLD_LAYER_STACK, message)
            .cause("Without the DRBD layer there are no diskless resources.")
            .correction("Leave 'diskless_on_remaining' out, or use the layers DRBD, STORAGE.")
            .into());
    }
    let placement = place::choose(tx, &tx.observed, &request)?;
    let (remaining, warnings) = match filter.diskless_on_remaining {
        Some(true) => place::remaining_nodes(tx, &tx.observed, &request, &placement.chosen),
        Some(false) | None => (Vec::new(), Vec::new()),
    };
    tx.replies(placement.replies.iter().cloned());
    if !placement.chosen.is_empty() {
        tx.reply(placement.reply(definition.name.as_str()));
    }
    tx.replies(warnings);
    let mut nodes = add_chosen(tx, name, filter, &placement.chosen, "auto-placer")?;
    for node in remaining {
        if tx.resource(name, &node).is_some() {
            // A tie breaker there becomes a client like the others.
            tx.edit_resource(name, &node, |row| {
                if let Some(drbd) = &mut row.drbd {
                    drbd.disk = DiskKind::Client;
                }
            });
            continue;
        }
        let new = NewResource {
            layer_stack: filter.layer_stack.clone(),
            ..NewResource::new(name.clone(), node, DiskKind::Client)
        };
        nodes.push(add_placed(tx, new)?.node);
    }
    Ok(nodes)
}

/// Creates the resources that placement chose; a diskless one that is there gets a disk. Returns their nodes.
pub(super) fn add_chosen(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    filter: &SelectFilter,
    chosen: &[Chosen],
    by: &'static str,
) -> Result<Vec<NodeName>, Refusal> {
    let mut nodes = Vec::new();
    for chosen in chosen {
        if chosen.converts {
            let disk = GiveDisk {
                pool: Some(chosen.pool.clone()),
                migrate_from: None,
                diskful_by: Some(by),
            };
            add_disk(tx, name, &chosen.node, disk)?;
            nodes.push(chosen.node.clone());
        } else {
            let new = NewResource {
                pool: Some(chosen.pool.clone()),
                layer_stack: filter.layer_stack.clone(),
                ..NewResource::new(name.clone(), chosen.node.clone(), DiskKind::Diskful)
            };
            nodes.push(add_placed(tx, new)?.node);
        }
    }
    Ok(nodes)
}

/// Creates as many resources as a definition's group asks for; surplus ones are left alone. Replies only when resources
/// were created or could not be.
pub(crate) fn fill_up(tx: &mut Transaction<'_>, name: &ResourceName) -> Result<(), Refusal> {
    fill_up_to(tx, name, None)
}

/// As [`fill_up`], to this many replicas at most.
pub(crate) fn fill_up_to(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    at_most: Option<u32>,
) -> Result<(), Refusal> {
    let definition = name::known_definition(tx, name)?;
    if tx.is_deleting_definition(definition) {
        return Ok(());
    }
    let mut filter = name::known_group(tx, &definition.group)?.filter.clone();
    filter.place_count = filter
        .place_count
        .map(|count| at_most.map_or(count, |most| count.min(most)));
    let replies = tx.reply_count();
    let of_definition = |reply: Reply| {
        let reply = reply.with_mask(code::MASK_RSC | code::MASK_CRT);
        reply.about("RscDfn", name.as_str())
    };
    match place(tx, name, &filter) {
        Ok(nodes) if nodes.is_empty() => tx.truncate_replies(replies),
        Ok(_) => tx.complete_replies(replies, of_definition),
        Err(Refusal(replies)) => {
            return Err(Refusal(replies.into_iter().map(of_definition).collect()));
        }
    }
    Ok(())
}
