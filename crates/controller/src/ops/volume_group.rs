//! Volume groups: the settings of a resource group for one volume of its definitions.

use linstor_api::code;
use linstor_api::flag::volume_group as flag;
use linstor_api::reply::Reply;
use linstor_api::volume_group::{VolumeGroup as Json, VolumeGroupModify};
use linstor_model::name::ResourceGroupName;
use linstor_model::{Props, ResourceGroup, VolumeGroup};

use super::name;
use super::property::{self, Owner};
use super::reply::{created, deleted, exists, modified, not_found};
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

fn label(group: &ResourceGroupName, number: u32) -> String {
    format!("volume group with number '{number}' of resource group '{group}'")
}

/// LINSTOR marks every change of a volume group as a creation, and names the group twice.
fn context(group: &str) -> Context {
    let object = format!("Volume groups for resource group '{group}'");
    Context::new(code::MASK_VLM_GRP | code::MASK_CRT, object)
        .about("RscGrp", group)
        .about("VlmGrp", group)
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
    let group = name::group(group)?;
    let model = cluster.model();
    let rows = &name::known_group(&model, &group)?.volume_groups;
    Ok(rows
        .iter()
        .map(|(number, row)| show(*number, row))
        .collect())
}

fn missing(group: &ResourceGroupName, number: u32) -> Refusal {
    not_found(code::FAIL_NOT_FOUND_VLM_GRP, &label(group, number)).into()
}

/// One volume group.
pub fn one(cluster: &Cluster, group: &str, number: &str) -> Result<Json, Refusal> {
    let (group, number) = (name::group(group)?, name::volume_number_text(number)?);
    let model = cluster.model();
    let rows = &name::known_group(&model, &group)?.volume_groups;
    let row = rows.get(&number).ok_or_else(|| missing(&group, number))?;
    Ok(show(number, row))
}

/// Adds a volume group, with the lowest free number unless one is given.
pub async fn create(cluster: &Cluster, group: String, request: Json) -> Vec<Reply> {
    let context = context(&group);
    let parse = || {
        name::known_flags(&flag::ALL, &request.flags).map_err(Refusal::plain)?;
        let group = name::group(&group)?;
        let number = request.volume_number.map(i64::from);
        Ok((group, number.map(name::volume_number).transpose()?, request))
    };
    context.change(cluster, parse, add).await
}

fn add(
    tx: &mut Transaction<'_>,
    (name, number, request): (ResourceGroupName, Option<u32>, Json),
) -> Result<Wait, Refusal> {
    let mut group = ResourceGroup::clone(name::known_group(tx, &name)?);
    if tx.definitions_of(&name).next().is_some() {
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
        None => (0..=name::VOLUME_NUMBER_MAX)
            .find(|number| !group.volume_groups.contains_key(number))
            .ok_or_else(|| {
                let message = "No volume number is free.";
                Reply::new(code::FAIL_POOL_EXHAUSTED_VLM_NR, message)
            })?,
    };
    let what = label(&group.name, number);
    // Once it has a number, LINSTOR treats it as a volume definition.
    let refused = |Refusal(replies): Refusal| {
        let marked = replies.into_iter().map(|reply| {
            reply
                .with_mask(code::MASK_VLM_DFN | code::MASK_CRT)
                .about("VlmNr", number.to_string())
        });
        Refusal(marked.collect())
    };
    if group.volume_groups.contains_key(&number) {
        return Err(refused(exists(code::FAIL_EXISTS_VLM_GRP, &what).into()));
    }
    let mut row = VolumeGroup {
        uuid: tx.uuid(),
        props: Props::new(),
        gross_size: flag::ALL.bits_of(&request.flags) & flag::GROSS_SIZE != 0,
    };
    let replies = property::set(Owner::VolumeGroup, &mut row.props, request.props);
    tx.replies(replies.map_err(refused)?);
    tx.reply(created(&what, row.uuid).about("VlmNr", number.to_string()));
    group.volume_groups.insert(number, row);
    tx.put_resource_group(group);
    Ok(Wait::Nothing)
}

/// Changes a volume group; definitions that were spawned before are not changed.
pub async fn modify(
    cluster: &Cluster,
    group: String,
    number: String,
    request: VolumeGroupModify,
) -> Vec<Reply> {
    let parse = || Ok((name::group(&group)?, name::volume_number_text(&number)?));
    context(&group)
        .about("VlmNr", &number)
        .change(cluster, parse, move |tx, (name, number)| {
            let mut group = ResourceGroup::clone(name::known_group(tx, &name)?);
            let what = label(&group.name, number);
            let Some(row) = group.volume_groups.get_mut(&number) else {
                return Err(missing(&name, number));
            };
            name::known_flags(&flag::ALL, &request.flags)?;
            let bits = if row.gross_size { flag::GROSS_SIZE } else { 0 };
            row.gross_size = flag::ALL.modified(bits, &request.flags) & flag::GROSS_SIZE != 0;
            let change = property::change(
                request.override_props,
                request.delete_props,
                request.delete_namespaces,
            );
            tx.replies(property::apply(
                Owner::VolumeGroup,
                &mut row.props,
                &change,
            )?);
            tx.reply(modified(&what, row.uuid));
            tx.put_resource_group(group);
            Ok(Wait::Nothing)
        })
        .await
}

/// Removes a volume group.
pub async fn delete(cluster: &Cluster, group: String, number: String) -> Vec<Reply> {
    let parse = || Ok((name::group(&group)?, name::volume_number_text(&number)?));
    context(&group)
        .about("VlmNr", &number)
        .change(cluster, parse, |tx, (name, number)| {
            let mut group = ResourceGroup::clone(name::known_group(tx, &name)?);
            // LINSTOR answers this deletion alone with an error.
            let row = group.volume_groups.remove(&number);
            let row = row.ok_or_else(|| missing(&name, number))?;
            tx.reply(deleted(&label(&group.name, number), row.uuid));
            tx.put_resource_group(group);
            Ok(Wait::Nothing)
        })
        .await
}
