//! Resource groups: the templates that resource definitions are spawned from.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::resource_group::{ResourceGroup as Json, ResourceGroupModify};
use linstor_model::Draft;
use linstor_model::model::{DEFAULT_GROUP, RowKey};
use linstor_model::name::ResourceGroupName;
use linstor_model::{Props, ResourceGroup, SelectFilter};
use uuid::Uuid;

use super::filter::{Names, PropFilter};
use super::property::{self, Owner};
use super::reply::{Context, Refusal, created, deleted, exists, modified, nothing_to_delete};
use super::{names, select_filter};
use crate::cluster::Cluster;

/// Replicas of a group that says nothing about them.
const DEFAULT_PLACE_COUNT: u32 = 2;

fn describe(name: impl std::fmt::Display) -> String {
    format!("resource group '{name}'")
}

pub(super) fn context(mask: i64, name: &str) -> Context {
    Context::new(code::MASK_RSC_GRP | mask, format!("Resource group: {name}")).about("RscGrp", name)
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

/// The groups that the filters leave.
pub fn list(cluster: &Cluster, names: &Names, props: &PropFilter) -> Vec<Json> {
    let model = cluster.model();
    let groups = model.groups.values();
    let wanted = groups.filter(|row| names.wants(row.name.as_str()) && props.meets(&row.props));
    wanted.map(|row| show(row)).collect()
}

/// One group.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = names::group(name)?;
    let model = cluster.model();
    Ok(show(names::known_group(&model, &name)?))
}

/// How many peers a new replica's metadata shall have room for.
pub(super) fn peer_slots(given: Option<i32>) -> Result<Option<u32>, Refusal> {
    match given {
        None => Ok(None),
        Some(slots) if (1..=31).contains(&slots) => Ok(u32::try_from(slots).ok()),
        Some(slots) => Err(Reply::new(
            code::FAIL_INVLD_PROP,
            format!("The number of peer slots {slots} is not valid."),
        )
        .cause("DRBD's metadata has room for 1 to 31 peers.")
        .correction("Use a number from 1 to 31.")
        .into()),
    }
}

/// Adds a group.
pub async fn create(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &request.name);
    let work = async {
        let name = names::group(&request.name)?;
        let mut filter = SelectFilter {
            place_count: Some(DEFAULT_PLACE_COUNT),
            ..SelectFilter::default()
        };
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
        let committed = cluster.commit(move |draft| Ok(add(draft, group, request.props)?));
        Ok(committed.await?.value)
    };
    context.run(work).await
}

fn add(
    draft: &mut Draft,
    mut group: ResourceGroup,
    props: linstor_api::properties::Properties,
) -> Result<Vec<Reply>, Refusal> {
    if draft.groups.contains_key(&group.name) {
        return Err(exists(code::FAIL_EXISTS_RSC_GRP, &describe(&group.name)).into());
    }
    let mut replies = Vec::new();
    let change = property::change(props, vec![], vec![]);
    property::apply(
        Owner::ResourceGroup,
        &mut group.props,
        &change,
        &mut replies,
    )?;
    replies.insert(0, created(&describe(&group.name), group.uuid));
    draft.put_resource_group(group);
    Ok(replies)
}

/// The group of definitions that name none; made again when somebody removed it (spec core 1.4).
pub(super) fn default_group(draft: &mut Draft, uuid: Uuid) -> ResourceGroupName {
    let name = ResourceGroupName::parse(DEFAULT_GROUP).expect("the constant is a valid name");
    if !draft.groups.contains_key(&name) {
        draft.put_resource_group(ResourceGroup {
            name: name.clone(),
            uuid,
            description: Some("Default resource group".to_owned()),
            filter: SelectFilter {
                place_count: Some(DEFAULT_PLACE_COUNT),
                ..SelectFilter::default()
            },
            peer_slots: None,
            props: Props::new(),
            volume_groups: Default::default(),
        });
    }
    name
}

/// Changes a group. Definitions that have fewer replicas than its new place count get more.
pub async fn modify(cluster: &Cluster, name: String, request: ResourceGroupModify) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name);
    let work = async {
        let name = names::group(&name)?;
        let facts = super::Facts::gather(cluster);
        let committed = cluster.commit(move |draft| Ok(edit(draft, &facts, &name, &request)?));
        let committed = committed.await?;
        let (mut replies, touched) = committed.value;
        replies.append(&mut super::wait_all(cluster, &touched, committed.generation).await);
        Ok(replies)
    };
    context.run(work).await
}

type Edited = (Vec<Reply>, Vec<linstor_model::name::ResourceName>);

fn edit(
    draft: &mut Draft,
    facts: &super::Facts,
    name: &ResourceGroupName,
    request: &ResourceGroupModify,
) -> Result<Edited, Refusal> {
    let known = names::known_group(draft, name)?.clone();
    let mut group = ResourceGroup::clone(&known);
    let mut replies = Vec::new();
    if let Some(filter) = &request.select_filter {
        select_filter::merge(&mut group.filter, filter)?;
    }
    if let Some(text) = &request.description {
        group.description = Some(text.clone()).filter(|text| !text.is_empty());
    }
    if let Some(slots) = peer_slots(request.peer_slots)? {
        group.peer_slots = Some(slots);
    }
    let change = property::change(
        request.override_props.clone(),
        request.delete_props.clone(),
        request.delete_namespaces.clone(),
    );
    let props_changed = property::apply(
        Owner::ResourceGroup,
        &mut group.props,
        &change,
        &mut replies,
    )?;
    replies.push(modified(&describe(&group.name), group.uuid));
    if *known == group {
        return Ok((replies, vec![]));
    }
    let count_changed = known.filter.place_count != group.filter.place_count;
    draft.put_resource_group(group);
    let definitions: Vec<_> = draft.definitions_of(name).cloned().collect();
    if count_changed {
        for definition in &definitions {
            replies.append(&mut super::placement::fill_up(draft, facts, definition)?);
        }
    }
    if super::concerns_helpers(&change) {
        for definition in &definitions {
            replies.append(&mut super::helpers_after_change(draft, facts, definition));
        }
    }
    let touched = if props_changed || count_changed {
        definitions
    } else {
        vec![]
    };
    Ok((replies, touched))
}

/// Removes a group that no definition belongs to.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = names::group(&name)?;
        let committed = cluster.commit(move |draft| {
            let Some(group) = draft.groups.get(&name).cloned() else {
                return Err(vec![nothing_to_delete(
                    draft,
                    &RowKey::ResourceGroup(name.clone()),
                    &describe(&name),
                )]);
            };
            if draft.definitions_of(&name).next().is_some() {
                return Err(vec![
                    Reply::new(
                        code::FAIL_EXISTS_RSC_DFN,
                        format!(
                            "Cannot delete {} because it has existing resource definitions.",
                            describe(&group.name)
                        ),
                    )
                    .cause("Resource definitions need their group.")
                    .correction("Delete its resource definitions, or move them to another group."),
                ]);
            }
            draft.remove(&RowKey::ResourceGroup(name));
            Ok(vec![deleted(&describe(&group.name), group.uuid)])
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}
