//! Volume groups: what a resource group says about one volume of its definitions.

use linstor_api::code;
use linstor_api::flag::volume_group as flag;
use linstor_api::reply::Reply;
use linstor_api::volume_group::{VolumeGroup as Json, VolumeGroupModify};
use linstor_model::Draft;
use linstor_model::model::RowKey;
use linstor_model::name::ResourceGroupName;
use linstor_model::{Props, ResourceGroup, VolumeGroup};
use uuid::Uuid;

use super::names;
use super::property::{self, Owner};
use super::reply::{
    Context, Refusal, created, deleted, exists, modified, not_found, nothing_to_delete,
};
use crate::cluster::Cluster;

fn describe(group: &ResourceGroupName, number: u32) -> String {
    format!("volume group with number '{number}' of resource group '{group}'")
}

fn context(mask: i64, group: &str) -> Context {
    let object = format!("Resource group: {group}");
    Context::new(code::MASK_VLM_GRP | mask, object).about("RscGrp", group)
}

fn show(number: u32, row: &VolumeGroup) -> Json {
    Json {
        volume_number: i32::try_from(number).ok(),
        props: row.props.clone(),
        uuid: Some(row.uuid.to_string()),
        flags: flag::ALL.names(if row.gross_size { flag::GROSS_SIZE } else { 0 }),
    }
}

/// All volume groups of a group.
pub fn list(cluster: &Cluster, group: &str) -> Result<Vec<Json>, Refusal> {
    let group = names::group(group)?;
    let model = cluster.model();
    let rows = &names::known_group(&model, &group)?.volume_groups;
    Ok(rows
        .iter()
        .map(|(number, row)| show(*number, row))
        .collect())
}

fn missing(group: &ResourceGroupName, number: u32) -> Refusal {
    not_found(code::FAIL_NOT_FOUND_VLM_GRP, &describe(group, number)).into()
}

/// One volume group.
pub fn one(cluster: &Cluster, group: &str, number: &str) -> Result<Json, Refusal> {
    let (group, number) = (names::group(group)?, names::volume_number_text(number)?);
    let model = cluster.model();
    let rows = &names::known_group(&model, &group)?.volume_groups;
    let row = rows.get(&number).ok_or_else(|| missing(&group, number))?;
    Ok(show(number, row))
}

/// Adds a volume group, with the lowest free number unless one is given.
pub async fn create(cluster: &Cluster, group: String, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &group);
    let work = async {
        let group = names::group(&group)?;
        let number = match request.volume_number {
            Some(number) => Some(names::volume_number(number.into())?),
            None => None,
        };
        let uuid = cluster.env().uuid();
        let committed =
            cluster.commit(move |draft| Ok(add(draft, &group, number, uuid, &request)?));
        Ok(committed.await?.value)
    };
    context.run(work).await
}

fn add(
    draft: &mut Draft,
    name: &ResourceGroupName,
    number: Option<u32>,
    uuid: Uuid,
    request: &Json,
) -> Result<Vec<Reply>, Refusal> {
    let mut group = ResourceGroup::clone(names::known_group(draft, name)?);
    if draft.definitions_of(name).next().is_some() {
        return Err(Reply::new(
            code::FAIL_EXISTS_RSC_DFN,
            format!("A volume group cannot be created while resource group '{}' has resource definitions.", group.name),
        )
        .cause("The existing definitions would not match their group any more.")
        .correction("Use a new resource group, or add volume definitions.")
        .into());
    }
    let number = match number {
        Some(number) => number,
        None => (0..=names::VOLUME_NUMBER_MAX)
            .find(|number| !group.volume_groups.contains_key(number))
            .ok_or_else(|| {
                let message = "No volume number is free.";
                Reply::new(code::FAIL_POOL_EXHAUSTED_VLM_NR, message)
            })?,
    };
    if group.volume_groups.contains_key(&number) {
        return Err(exists(code::FAIL_EXISTS_VLM_GRP, &describe(&group.name, number)).into());
    }
    let mut row = VolumeGroup {
        uuid,
        props: Props::new(),
        gross_size: flag::ALL.bits_of(&request.flags) & flag::GROSS_SIZE != 0,
    };
    let mut replies =
        vec![created(&describe(&group.name, number), uuid).about("VlmGrp", number.to_string())];
    let change = property::change(request.props.clone(), vec![], vec![]);
    property::apply(Owner::VolumeGroup, &mut row.props, &change, &mut replies)?;
    group.volume_groups.insert(number, row);
    draft.put_resource_group(group);
    Ok(replies)
}

/// Changes a volume group; what was spawned before stays as it is.
pub async fn modify(
    cluster: &Cluster,
    group: String,
    number: String,
    request: VolumeGroupModify,
) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &group).about("VlmGrp", &number);
    let work = async {
        let (name, number) = (names::group(&group)?, names::volume_number_text(&number)?);
        let committed = cluster.commit(move |draft| {
            let known = names::known_group(draft, &name)?.clone();
            let mut group = ResourceGroup::clone(&known);
            let Some(row) = group.volume_groups.get_mut(&number) else {
                return Err(missing(&name, number).into());
            };
            let bits = if row.gross_size { flag::GROSS_SIZE } else { 0 };
            row.gross_size = flag::ALL.modified(bits, &request.flags) & flag::GROSS_SIZE != 0;
            let change = property::change(
                request.override_props,
                request.delete_props,
                request.delete_namespaces,
            );
            let mut replies = Vec::new();
            property::apply(Owner::VolumeGroup, &mut row.props, &change, &mut replies)?;
            replies.push(modified(&describe(&known.name, number), row.uuid));
            if *known != group {
                draft.put_resource_group(group);
            }
            Ok(replies)
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}

/// Removes a volume group.
pub async fn delete(cluster: &Cluster, group: String, number: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &group).about("VlmGrp", &number);
    let work = async {
        let (name, number) = (names::group(&group)?, names::volume_number_text(&number)?);
        let committed = cluster.commit(move |draft| {
            let mut group = ResourceGroup::clone(names::known_group(draft, &name)?);
            let Some(row) = group.volume_groups.remove(&number) else {
                return Err(vec![nothing_to_delete(
                    draft,
                    &RowKey::ResourceGroup(name.clone()),
                    &describe(&name, number),
                )]);
            };
            let reply = deleted(&describe(&group.name, number), row.uuid);
            draft.put_resource_group(group);
            Ok(vec![reply])
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}
