//! Replicas come into being: asked for one by one ([`create`]), placed by rules ([`autoplace`], [`adjust`]), spawned
//! from a group ([`spawn`]), or made where they are needed ([`available`]).

pub mod available;
pub mod create;
pub mod spawn;

use std::collections::BTreeSet;

use linstor_api::reply::Reply;
use linstor_api::resource::AutoPlaceRequest;
use linstor_api::resource_group::ResourceGroupAdjust;
use linstor_api::{code, kind::ProviderKind};
use linstor_model::name::{NodeName, ResourceName, StoragePoolName};
use linstor_model::place::{self, Chosen, PlaceRequest};
use linstor_model::resource::{GiveDisk, NewResource};
use linstor_model::{DiskKind, Resource, SelectFilter};
use linstor_model::{Draft, stack};
use tokio::time::Instant;

use super::reply::{Refusal, registered};
use super::{Facts, names, resource, resource_definition, resource_group, select_filter};
use crate::cluster::Cluster;

/// Reports of space that are not older than this are as good as new ones, in milliseconds: what was promised since is
/// known here, and only what is written into thin volumes meanwhile is not.
const FRESH_MS: u64 = 5_000;

/// Asks the nodes whose thin pools have not been looked at for a while to look again.
pub(super) async fn refresh_thin(cluster: &Cluster) {
    let (model, observed) = (cluster.model(), cluster.observed());
    let now = cluster.env().now_ms();
    let stale = |pool: &&std::sync::Arc<linstor_model::StoragePool>| {
        let seen = observed.pools.get(&(pool.node.clone(), pool.name.clone()));
        pool.kind.is_thin()
            && pool.kind != ProviderKind::Diskless
            && observed.is_online(&pool.node)
            && seen.is_none_or(|seen| now.saturating_sub(seen.at) > FRESH_MS)
    };
    let nodes = model
        .pools
        .values()
        .filter(stale)
        .map(|pool| pool.node.clone());
    let nodes: Vec<NodeName> = nodes.collect::<BTreeSet<_>>().into_iter().collect();
    if !nodes.is_empty() {
        cluster
            .refresh_space(&nodes, Instant::now() + super::WAIT_SPACE)
            .await;
    }
}

/// The replicas that a commit made or gave a disk, for the waits after it.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) replies: Vec<Reply>,
    pub(super) nodes: Vec<NodeName>,
}

/// What is said of a replica that was made.
pub(super) fn made_replies(row: &Resource) -> Vec<Reply> {
    let refs = |reply: Reply| {
        reply
            .about("Node", row.node.as_str())
            .about("RscDfn", row.name.as_str())
    };
    let what = resource::describe(&row.name, &row.node);
    let mut reply = refs(registered(&what, row.uuid));
    reply.ret_code |= code::MASK_RSC | code::MASK_CRT;
    let mut replies = vec![reply];
    for (number, volume) in &row.volumes {
        let message = format!("Volume with number '{number}' on {what} successfully registered");
        let reply = Reply::new(code::MASK_VLM | code::MASK_CRT | code::CREATED, message)
            .details(format!("Volume UUID is: {}", volume.uuid))
            .about("VlmNr", number.to_string())
            .about("UUID", volume.uuid.to_string());
        replies.push(refs(reply));
    }
    replies
}

/// Makes one replica.
pub(super) fn make(
    draft: &mut Draft,
    facts: &Facts,
    wish: NewResource,
    made: &mut Made,
) -> Result<(), Refusal> {
    let (row, mut said) = facts.seeded(|seeds| {
        linstor_model::resource::new_resource(draft, &facts.observed, seeds, wish)
    })?;
    // The first replica settles what its definition left open.
    let open = draft
        .definitions
        .get(&row.name)
        .is_some_and(|known| known.layer_stack.is_empty());
    if open {
        let layers = row.layer_stack.clone();
        draft.edit_resource_definition(&row.name, |definition| definition.layer_stack = layers);
    }
    made.replies.append(&mut made_replies(&row));
    made.replies.append(&mut said);
    made.nodes.push(row.node);
    Ok(())
}

/// Gives a diskless replica a disk.
pub(super) fn give_disk(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    node: &NodeName,
    wish: GiveDisk,
    made: &mut Made,
) -> Result<(), Refusal> {
    facts.seeded(|seeds| {
        linstor_model::resource::give_disk(draft, &facts.observed, seeds, name, node, wish)
    })?;
    made.replies.push(Reply::new(
        code::MASK_RSC | code::MASK_MOD | code::MODIFIED,
        format!(
            "Addition of disk to {} registered",
            resource::describe(name, node)
        ),
    ));
    made.nodes.push(node.clone());
    Ok(())
}

/// Makes what was chosen.
fn make_chosen(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    filter: &SelectFilter,
    chosen: &[Chosen],
    by: &'static str,
    made: &mut Made,
) -> Result<(), Refusal> {
    for chosen in chosen {
        if chosen.converts {
            let wish = GiveDisk {
                pool: Some(chosen.pool.clone()),
                migrate_from: None,
                diskful_by: Some(by),
            };
            give_disk(draft, facts, name, &chosen.node, wish, made)?;
        } else {
            let wish = NewResource {
                pool: Some(chosen.pool.clone()),
                layer_stack: filter.layer_stack.clone(),
                diskful_by: Some(by),
                ..NewResource::new(name.clone(), chosen.node.clone(), DiskKind::Diskful)
            };
            make(draft, facts, wish, made)?;
        }
    }
    Ok(())
}

/// Places as many replicas as a filter asks for and are not there yet.
pub(super) fn place_replicas(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    filter: &SelectFilter,
) -> Result<Made, Refusal> {
    let definition = names::known_definition(draft, name)?.clone();
    check_not_deleting(&definition)?;
    let request = PlaceRequest::of_definition(draft, &definition, filter);
    let placement = place::choose(draft, &facts.observed, &request)?;
    let mut made = Made {
        replies: placement.replies.clone(),
        nodes: Vec::new(),
    };
    if !placement.chosen.is_empty() {
        made.replies.push(placement.reply(definition.name.as_str()));
    }
    let remaining = match filter.diskless_on_remaining {
        Some(true) => {
            let all = place::remaining_nodes(draft, &facts.observed, &request, &placement.chosen);
            made.replies.extend(all.1);
            all.0
        }
        Some(false) | None => Vec::new(),
    };
    make_chosen(
        draft,
        facts,
        name,
        filter,
        &placement.chosen,
        "auto-placer",
        &mut made,
    )?;
    for node in remaining {
        if draft.resource(name, &node).is_some() {
            // A tie breaker there becomes a client like the others.
            draft.edit_resource(name, &node, |row| {
                if let Some(drbd) = &mut row.drbd {
                    drbd.disk = DiskKind::Client;
                }
            });
            continue;
        }
        let wish = NewResource {
            layer_stack: filter.layer_stack.clone(),
            ..NewResource::new(name.clone(), node, DiskKind::Client)
        };
        make(draft, facts, wish, &mut made)?;
    }
    made.replies
        .append(&mut super::helpers_after_change(draft, facts, name));
    Ok(made)
}

pub(super) fn check_not_deleting(
    definition: &linstor_model::ResourceDefinition,
) -> Result<(), Refusal> {
    if definition.deleting.is_none() {
        return Ok(());
    }
    Err(Reply::new(
        code::FAIL_IN_USE,
        format!(
            "The {} is being deleted.",
            resource_definition::describe(&definition.name)
        ),
    )
    .cause("Nothing can be added to it any more.")
    .correction("Wait until it is gone, then create it again.")
    .into())
}

/// Gives a definition as many replicas as its group asks for; too many are left alone. Only what was done is said.
pub(super) fn fill_up(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
) -> Result<Vec<Reply>, Refusal> {
    let definition = names::known_definition(draft, name)?;
    let has_replicas = draft.resources_of(name).next().is_some();
    if definition.deleting.is_some() || !has_replicas {
        return Ok(Vec::new());
    }
    let filter = names::known_group(draft, &definition.group)?.filter.clone();
    let made = place_replicas(draft, facts, name, &filter)?;
    Ok(if made.nodes.is_empty() {
        Vec::new()
    } else {
        made.replies
    })
}

/// Gives every replica of a definition a volume that was added to it.
pub(super) fn add_volumes(
    draft: &mut Draft,
    facts: &Facts,
    name: &ResourceName,
    number: u32,
) -> Result<Vec<Reply>, Refusal> {
    if draft.resources_of(name).next().is_some() {
        facts.seeded(|seeds| {
            linstor_model::resource::add_volume(draft, &facts.observed, seeds, name, number)
        })?;
    }
    Ok(Vec::new())
}

/// Waits until all nodes of a definition have followed a commit and the new replicas can be used. Says what became of
/// each new one.
pub(super) async fn deployed(
    cluster: &Cluster,
    name: &ResourceName,
    nodes: &[NodeName],
    generation: u64,
) -> Vec<Reply> {
    let deadline = Instant::now() + super::WAIT;
    let model = cluster.model();
    let all = super::nodes_of(&model, name);
    let mut replies = Vec::new();
    let mut done = Vec::new();
    for node in &all {
        let said = cluster
            .wait_applied(name, std::slice::from_ref(node), generation, deadline)
            .await;
        if said.is_empty() {
            done.push(node.clone());
        }
        replies.extend(said);
    }
    let shown = |node: &NodeName| model.resource(name, node).map(|row| row.node.clone());
    let new: Vec<NodeName> = nodes
        .iter()
        .filter(|node| done.contains(node))
        .cloned()
        .collect();
    for node in new.iter().filter_map(shown) {
        let message = format!("Created resource '{name}' on '{node}'");
        replies.push(Reply::new(
            code::MASK_RSC | code::MASK_CRT | code::CREATED,
            message,
        ));
    }
    let names: Vec<String> = nodes.iter().map(|node| format!("'{node}'")).collect();
    for node in done
        .iter()
        .filter(|node| !nodes.contains(node))
        .filter_map(shown)
    {
        let message = format!(
            "Added peer(s) {} to resource '{name}' on '{node}'",
            names.join(", ")
        );
        replies.push(Reply::new(
            code::MASK_RSC | code::MASK_MOD | code::MODIFIED,
            message,
        ));
    }
    if replies.iter().any(Reply::is_error) || new.is_empty() {
        return replies;
    }
    let deadline = Instant::now() + super::WAIT_READY;
    replies.append(&mut cluster.wait_ready(name, &new, deadline).await);
    replies
}

/// Places replicas of a definition by rules.
pub async fn autoplace(cluster: &Cluster, name: String, request: AutoPlaceRequest) -> Vec<Reply> {
    let context = resource_definition::context(code::MASK_CRT, &name);
    let work = async {
        let name = names::resource(&name)?;
        refresh_thin(cluster).await;
        let facts = Facts::gather(cluster);
        let target = name.clone();
        let committed = cluster.commit(move |draft| {
            let definition = names::known_definition(draft, &target)?;
            let group = names::known_group(draft, &definition.group)?;
            let filter = autoplace_filter(&group.filter, &request)?;
            Ok(place_replicas(draft, &facts, &target, &filter)?)
        });
        let committed = committed.await?;
        let Made { mut replies, nodes } = committed.value;
        if committed.changed {
            let mut more = deployed(cluster, &name, &nodes, committed.generation).await;
            replies.append(&mut more);
        }
        Ok(replies)
    };
    context.run(work).await
}

fn autoplace_filter(
    group: &SelectFilter,
    request: &AutoPlaceRequest,
) -> Result<SelectFilter, Refusal> {
    let mut filter = select_filter::effective(group, Some(&request.select_filter))?;
    if request.diskless_on_remaining {
        filter.diskless_on_remaining = Some(true);
    }
    if let Some(words) = request
        .layer_list
        .as_ref()
        .filter(|words| !words.is_empty())
    {
        let (layers, _) = stack::complete(stack::parse(words)?);
        stack::check(&layers)?;
        filter.layer_stack = Some(layers);
    }
    Ok(filter)
}

/// Gives every definition of a group, or of all groups, as many replicas as its rules ask for.
pub async fn adjust(
    cluster: &Cluster,
    group: Option<String>,
    request: ResourceGroupAdjust,
) -> Vec<Reply> {
    let context = resource_group::context(code::MASK_MOD, group.as_deref().unwrap_or_default());
    let work = async {
        let group = match group {
            Some(given) => Some(names::group(&given)?),
            None => None,
        };
        let model = cluster.model();
        if let Some(group) = &group {
            names::known_group(&model, group)?;
        }
        refresh_thin(cluster).await;
        let wanted = model.definitions.values().filter(|row| {
            row.deleting.is_none() && group.as_ref().is_none_or(|group| row.group == *group)
        });
        let targets: Vec<ResourceName> = wanted.map(|row| row.name.clone()).collect();
        let mut replies = Vec::new();
        for name in targets {
            replies.append(&mut adjust_one(cluster, name, request.clone()).await);
        }
        if replies.is_empty() {
            replies.push(Reply::new(code::INFO_NOOP, "There was nothing to adjust."));
        }
        Ok(replies)
    };
    context.run(work).await
}

/// One commit for each definition: one that cannot be placed does not keep the others from it.
async fn adjust_one(
    cluster: &Cluster,
    name: ResourceName,
    request: ResourceGroupAdjust,
) -> Vec<Reply> {
    let facts = Facts::gather(cluster);
    let target = name.clone();
    let committed = cluster.commit(move |draft| {
        let definition = names::known_definition(draft, &target)?;
        let group = names::known_group(draft, &definition.group)?;
        let filter = select_filter::effective(&group.filter, request.select_filter.as_ref())?;
        Ok(place_replicas(draft, &facts, &target, &filter)?)
    });
    match committed.await {
        Ok(committed) => {
            let Made { mut replies, nodes } = committed.value;
            if committed.changed {
                let mut more = deployed(cluster, &name, &nodes, committed.generation).await;
                replies.append(&mut more);
            }
            replies
        }
        Err(replies) => replies,
    }
}

/// The pool that a request names in a replica's properties.
pub(super) fn named_pool(given: Option<&String>) -> Result<Option<StoragePoolName>, Refusal> {
    match given.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Some(names::pool(name)?)),
        None => Ok(None),
    }
}
