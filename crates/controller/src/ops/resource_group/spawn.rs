//! Spawning: a resource definition made after the pattern of a group, with its resources.

use linstor_api::code;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::resource_group::ResourceGroupSpawn;
use linstor_model::ResourceGroup;
use linstor_model::layer::luks;
use linstor_model::name::{NodeName, ResourceGroupName, ResourceName};

use super::super::request::{Wait, wait};
use super::super::resource_definition::create::NewDefinition;
use super::super::volume_definition::create::NewVolumeDefinition;
use super::super::{
    autoplace, name, resource_definition, select_filter, storage_pool, volume_definition,
};
use super::{context, peer_slots};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Creates a definition, its volume definitions and its resources: all of it, or nothing.
pub async fn spawn(cluster: &Cluster, group: String, request: ResourceGroupSpawn) -> Vec<Reply> {
    let mut context = context(&group);
    let given = request.resource_definition_name.as_deref();
    if let Some(name) = given.filter(|name| !name.is_empty()) {
        context = context.about("RscDfn", name);
    } else if check_named(&request).is_err() {
        context = context.about("RscDfn", given.unwrap_or(UNNAMED));
    }
    let work = async {
        let group = name::group(&group)?;
        check_named(&request)?;
        check_passphrases(&request, cluster.master_key().is_some())?;
        let slots = peer_slots(request.peer_slots)?;
        let deploys = !request.definitions_only;
        if deploys {
            storage_pool::refresh_thin(cluster).await;
        }
        let committed = cluster.commit(move |tx| add(tx, &group, request, slots));
        let committed = committed.await?;
        let (name, nodes) = committed.value;
        let mut replies = committed.replies;
        if !nodes.is_empty() {
            let deployed = Wait::Deployed(name.clone(), nodes);
            replies.append(&mut wait(cluster, deployed, committed.generation).await);
        }
        for reply in &mut replies {
            reply
                .obj_refs
                .get_or_insert_with("RscDfn".to_owned(), || name.to_string());
        }
        Ok(replies)
    };
    context.run(work).await
}

fn check_named(request: &ResourceGroupSpawn) -> Result<(), Refusal> {
    let given = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    if given(&request.resource_definition_name) || given(&request.resource_definition_external_name)
    {
        return Ok(());
    }
    let message = "The new resource definition has neither a name nor an external name.";
    Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause("A name can only be left out where an external name is given.")
        .correction("Give 'resource_definition_name' or 'resource_definition_external_name'.")
        .into())
}

fn check_passphrases(request: &ResourceGroupSpawn, unlocked: bool) -> Result<(), Refusal> {
    let given = request.volume_passphrases.len();
    if given == 0 {
        return Ok(());
    }
    if given != request.volume_sizes.len() {
        return Err(Reply::new(
            code::FAIL_INVLD_VLM_SIZES,
            format!(
                "{given} passphrases were given for {} volumes.",
                request.volume_sizes.len()
            ),
        )
        .cause("Each volume needs a passphrase, or none.")
        .correction("Give one passphrase per size.")
        .into());
    }
    if !unlocked {
        return Err(luks::locked().into());
    }
    Ok(())
}

fn add(
    tx: &mut Transaction<'_>,
    group: &ResourceGroupName,
    request: ResourceGroupSpawn,
    slots: Option<u32>,
) -> Result<(ResourceName, Vec<NodeName>), Refusal> {
    let group = name::known_group(tx, group)?.clone();
    let filter = select_filter::effective(&group.filter, request.select_filter.as_ref())?;
    let count = request.volume_sizes.len();
    let note = check_count(&group, count, request.partial)?;
    tx.replies(note);
    let external_name = request.resource_definition_external_name;
    let new = NewDefinition {
        name: request.resource_definition_name.unwrap_or_default(),
        external_name: external_name.filter(|name| !name.is_empty()),
        group: Some(group.name.to_string()),
        layers: filter.layer_stack.clone().unwrap_or_default(),
        props: request.resource_definition_props,
        peer_slots: slots.or(group.peer_slots),
        ..NewDefinition::default()
    };
    let name = resource_definition::create::add(tx, new)?;
    let mut patterns = group.volume_groups.iter();
    let mut passphrases = request.volume_passphrases.iter();
    for size_kib in request.volume_sizes {
        let pattern = patterns.next();
        let given = passphrases.next().filter(|text| !text.reveal().is_empty());
        let passphrase = given
            .map(volume_definition::create::passphrase)
            .transpose()?;
        let new = NewVolumeDefinition {
            number: pattern.map(|(number, _)| *number),
            size_kib,
            gross_size: pattern.is_some_and(|(_, pattern)| pattern.gross_size),
            passphrase,
            ..NewVolumeDefinition::default()
        };
        volume_definition::create::add(tx, &name, new)?;
    }
    if request.definitions_only {
        let message = format!(
            "Resource definition '{name}' and {count} volume definitions were created, but no resources."
        );
        let reply = Reply::new(code::INFO_NO_RSC_SPAWNED, message);
        tx.reply(reply.cause("The request asks for the definitions only."));
        return Ok((name, Vec::new()));
    }
    let nodes = autoplace::place(tx, &name, &filter)?;
    Ok((name, nodes))
}

/// There is one size for each volume group, unless the caller asks for less.
fn check_count(
    group: &ResourceGroup,
    sizes: usize,
    partial: bool,
) -> Result<Option<Reply>, Refusal> {
    let groups = group.volume_groups.len();
    if groups == 0 && !partial {
        let message = format!(
            "Resource group '{}' has no volume groups: any number of volumes is accepted.",
            group.name
        );
        let ret_code = code::MASK_INFO | code::MASK_RSC_GRP;
        return Ok(Some(Reply::new(ret_code, message)));
    }
    if sizes == groups || partial {
        return Ok(None);
    }
    Err(Reply::new(
        code::FAIL_INVLD_VLM_SIZES,
        format!("Invalid count of volume sizes to spawn a resource definition from resource group '{}'.", group.name),
    )
    .cause(format!("Volume sizes given: {sizes}, volume groups: {groups}."))
    .correction("Give one size per volume group, or ask for a partial spawn.")
    .into())
}
