//! Resource groups: the templates that resource definitions are spawned from.

pub mod adjust;
pub mod modify;
pub mod spawn;

pub use adjust::adjust;
pub use modify::modify;
pub use spawn::spawn;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::resource_group::ResourceGroup as Json;
use linstor_model::model::{DEFAULT_GROUP, RowKey};
use linstor_model::name::ResourceGroupName;
use linstor_model::{Model, Props, ResourceGroup, SelectFilter};

use super::filter::{Names, PropFilter};
use super::property::{self, Owner};
use super::reply::{created, deleted, exists, nothing_to_delete};
use super::request::{Context, Wait};
use super::{name, select_filter};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Place count of a group that has none.
const DEFAULT_PLACE_COUNT: u32 = 2;

fn label(name: impl std::fmt::Display) -> String {
    format!("resource group '{name}'")
}

/// LINSTOR marks every change of a group as a creation.
pub(super) fn context(name: &str) -> Context {
    let mask = code::MASK_RSC_GRP | code::MASK_CRT;
    Context::new(mask, format!("Resource group: {name}")).about("RscGrp", name)
}

/// A group as answers show it.
pub fn show(group: &ResourceGroup) -> Json {
    Json {
        name: group.name.to_string(),
        description: group.description.clone().unwrap_or_default(),
        props: group.props.clone(),
        select_filter: Some(select_filter::show(&group.filter)),
        uuid: Some(group.uuid.to_string()),
        peer_slots: group.peer_slots.and_then(|slots| i32::try_from(slots).ok()),
    }
}

/// The groups that the filters leave, without the first `offset` ones and at most `limit`.
pub fn list(
    cluster: &Cluster,
    names: &Names,
    props: &PropFilter,
    (offset, limit): (usize, usize),
) -> Vec<Json> {
    let model = cluster.model();
    let groups = model.groups.values();
    let wanted = groups.filter(|row| names.wants(row.name.as_str()) && props.meets(&row.props));
    let page = wanted.skip(offset).take(limit);
    page.map(|row| show(row)).collect()
}

/// One group.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = name::group(name)?;
    let model = cluster.model();
    Ok(show(name::known_group(&model, &name)?))
}

/// How many peers a new resource's metadata is to have room for; 0 is no number of its own.
pub(super) fn peer_slots(given: Option<i32>) -> Result<Option<u32>, Refusal> {
    match given {
        None | Some(0) => Ok(None),
        Some(slots) if (1..=31).contains(&slots) => Ok(u32::try_from(slots).ok()),
        Some(slots) => Err(Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            format!("The number of peer slots {slots} is not valid."),
        )
        .cause("DRBD's metadata has room for 1 to 31 peers.")
        .correction("Use a number from 1 to 31, or leave it out.")
        .plain()
        .into()),
    }
}

/// The warning for pools that a filter names and no node has.
pub(super) fn unknown_pools(model: &Model, filter: &SelectFilter) -> Option<Reply> {
    let named = filter.pools.iter().flatten();
    let unknown: Vec<&str> = named
        .filter(|name| !model.pools.keys().any(|(_, pool)| pool == *name))
        .map(|name| name.as_str())
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let message = format!(
        "The following configured storage pools do not exist on any node:\n\t{}",
        unknown.join("\n\t")
    );
    let reply = Reply::new(code::WARN_NOT_FOUND, message)
        .correction("Create them, or name other storage pools.");
    Some(reply.plain())
}

/// Creates a group.
pub async fn create(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let context = context(&request.name);
    let parse = || {
        let name = name::group(&request.name)?;
        let mut filter = default_filter();
        select_filter::merge(&mut filter, &request.select_filter.unwrap_or_default())?;
        let group = ResourceGroup {
            name,
            uuid: cluster.env().uuid(),
            description: Some(request.description).filter(|text| !text.is_empty()),
            filter,
            peer_slots: peer_slots(request.peer_slots)?,
            props: Props::new(),
            volume_groups: Default::default(),
        };
        Ok((group, request.props))
    };
    let work = context.change(cluster, parse, |tx, (mut group, props)| {
        let what = label(&group.name);
        if tx.groups.contains_key(&group.name) {
            return Err(exists(code::FAIL_EXISTS_RSC_GRP, &what).into());
        }
        tx.replies(unknown_pools(tx, &group.filter));
        // The entry of the group is the only one that clients expect about its properties.
        let warnings = property::set(Owner::ResourceGroup, &mut group.props, props)?;
        let warnings = warnings
            .into_iter()
            .filter(|reply| !code::is_success(reply.ret_code));
        tx.replies(warnings);
        tx.reply(created(&what, group.uuid));
        tx.put_resource_group(group);
        Ok(Wait::Nothing)
    });
    work.await
}

fn default_filter() -> SelectFilter {
    SelectFilter {
        place_count: Some(DEFAULT_PLACE_COUNT),
        ..SelectFilter::default()
    }
}

/// The group of definitions that name none; created again when it was deleted.
pub(super) fn default_group(tx: &mut Transaction<'_>) -> ResourceGroupName {
    let name = ResourceGroupName::parse(DEFAULT_GROUP).expect("the constant is a valid name");
    if !tx.groups.contains_key(&name) {
        let group = ResourceGroup {
            name: name.clone(),
            uuid: tx.uuid(),
            description: Some("Default resource group".to_owned()),
            filter: default_filter(),
            peer_slots: None,
            props: Props::new(),
            volume_groups: Default::default(),
        };
        tx.put_resource_group(group);
    }
    name
}

/// Deletes a group that no definition belongs to.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    context(&name)
        .change(
            cluster,
            || name::group(&name),
            |tx, name| {
                let Some(group) = tx.groups.get(&name).cloned() else {
                    return Err(nothing_to_delete(
                        tx,
                        &RowKey::ResourceGroup(name.clone()),
                        &label(&name),
                    )
                    .into());
                };
                let what = label(&group.name);
                if tx.definitions_of(&name).next().is_some() {
                    return Err(Reply::new(
                        code::FAIL_EXISTS_RSC_DFN,
                        format!(
                            "Cannot delete {what} because it has existing resource definitions."
                        ),
                    )
                    .cause("Resource definitions need their group.")
                    .correction("Delete its resource definitions, or move them to another group.")
                    .into());
                }
                tx.remove(&RowKey::ResourceGroup(name));
                tx.reply(deleted(&what, group.uuid));
                Ok(Wait::Nothing)
            },
        )
        .await
}
