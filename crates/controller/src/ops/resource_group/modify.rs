//! Changing a resource group. Its definitions follow (see [`crate::settle`]).

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::resource_group::ResourceGroupModify;
use linstor_model::model::DEFAULT_GROUP;
use linstor_model::name::{NodeName, ResourceGroupName};
use linstor_model::{Model, ResourceGroup};

use super::super::property::{self, Owner};
use super::super::reply::modified;
use super::super::{name, resource, select_filter};
use super::{context, default_group, label, peer_slots, unknown_pools};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Changes a group. Definitions that have fewer resources than its new place count get more; where that is not possible,
/// the group is changed all the same, and the definition's entry has the reason.
pub async fn modify(cluster: &Cluster, name: String, request: ResourceGroupModify) -> Vec<Reply> {
    let context = context(&name);
    let work = async {
        let name = name::group(&name)?;
        let before = cluster.model();
        let target = name.clone();
        let edited = cluster.commit(move |tx| edit(tx, &target, request)).await?;
        let mut replies = edited.replies;
        if edited.changed && edited.value {
            let mut followed = follow(cluster, &before, &name, edited.generation).await;
            replies.append(&mut followed);
        }
        Ok(replies)
    };
    context.run(work).await
}

/// Returns whether resources have to follow.
fn edit(
    tx: &mut Transaction<'_>,
    name: &ResourceGroupName,
    request: ResourceGroupModify,
) -> Result<bool, Refusal> {
    if name.as_str().eq_ignore_ascii_case(DEFAULT_GROUP) {
        // Its deletion sets it back: a later use makes it again.
        default_group(tx);
    }
    let known = name::known_group(tx, name)?.clone();
    let mut group = ResourceGroup::clone(&known);
    if let Some(filter) = &request.select_filter {
        select_filter::merge(&mut group.filter, filter)?;
        if group.filter.pools != known.filter.pools {
            tx.replies(unknown_pools(tx, &group.filter));
        }
    }
    if let Some(text) = request.description {
        group.description = Some(text).filter(|text| !text.is_empty());
    }
    if let Some(slots) = peer_slots(request.peer_slots)? {
        group.peer_slots = Some(slots);
    }
    let change = property::change(
        request.override_props,
        request.delete_props,
        request.delete_namespaces,
    );
    tx.replies(property::apply(
        Owner::ResourceGroup,
        &mut group.props,
        &change,
    )?);
    tx.reply(modified(&label(&group.name), group.uuid));
    let concerns_resources =
        known.props != group.props || known.filter.place_count != group.filter.place_count;
    tx.put_resource_group(group);
    Ok(concerns_resources)
}

/// Waits until the nodes of a group's definitions have followed a change, those of new resources too.
async fn follow(
    cluster: &Cluster,
    before: &Model,
    group: &ResourceGroupName,
    generation: u64,
) -> Vec<Reply> {
    let model = cluster.model();
    let mut replies: Vec<Reply> = Vec::new();
    let mut updated = Vec::new();
    for name in model.definitions_of(group) {
        let existed = |node: &NodeName| before.resource(name, node).is_some();
        let nodes = resource::nodes_of(&model, name);
        let new: Vec<NodeName> = nodes.into_iter().filter(|node| !existed(node)).collect();
        let applied = resource::applied(cluster, name, generation).await;
        let mask = code::MASK_RSC | code::MASK_CRT;
        let deployed = match &new[..] {
            [] => applied.replies.clone(),
            new => resource::deployed(cluster, name, new, generation).await,
        };
        for reply in deployed {
            let reply = match &new[..] {
                [] => reply,
                _ => reply.with_mask(mask).about("RscDfn", name.as_str()),
            };
            // The same warning about the same node is given once, however many definitions it is about.
            if !replies.contains(&reply) {
                replies.push(reply);
            }
        }
        updated.extend(applied.nodes.iter().map(|node| {
            let message = format!("Updated Resource definition '{name}' on '{node}'");
            Reply::new(code::MODIFIED, message)
        }));
    }
    replies.append(&mut updated);
    replies
}
