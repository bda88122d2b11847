//! Changing a resource group. Its definitions follow (see [`crate::settle`]).

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::resource_group::ResourceGroupModify;
use linstor_model::ResourceGroup;
use linstor_model::name::ResourceGroupName;

use super::super::property::{self, Owner};
use super::super::reply::modified;
use super::super::request::Wait;
use super::super::{names, select_filter};
use super::{context, describe, peer_slots};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Changes a group. Definitions that have fewer resources than its new place count get more.
pub async fn modify(cluster: &Cluster, name: String, request: ResourceGroupModify) -> Vec<Reply> {
    let parse = || Ok((names::group(&name)?, request));
    context(code::MASK_MOD, &name)
        .change(cluster, parse, edit)
        .await
}

fn edit(
    tx: &mut Transaction<'_>,
    (name, request): (ResourceGroupName, ResourceGroupModify),
) -> Result<Wait, Refusal> {
    let known = names::known_group(tx, &name)?.clone();
    let mut group = ResourceGroup::clone(&known);
    if let Some(filter) = &request.select_filter {
        select_filter::merge(&mut group.filter, filter)?;
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
    tx.reply(modified(&describe(&group.name), group.uuid));
    let concerns_resources =
        known.props != group.props || known.filter.place_count != group.filter.place_count;
    tx.put_resource_group(group);
    Ok(match concerns_resources {
        true => Wait::Applied(tx.definitions_of(&name).cloned().collect()),
        false => Wait::Nothing,
    })
}
