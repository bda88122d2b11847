//! Changing a resource definition.

use linstor_api::kind::LayerKind;
use linstor_api::reply::Reply;
use linstor_api::resource_definition::ResourceDefinitionModify;
use linstor_api::{code, prop};
use linstor_model::name::ResourceName;
use linstor_model::{Draft, DrbdDefinition, Model, ResourceDefinition, numbers, stack};

use super::super::property::{self, Owner};
use super::super::reply::modified;
use super::super::request::Wait;
use super::super::{name, resource_group};
use super::create::{drbd, group, port};
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Changes a definition.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    request: ResourceDefinitionModify,
) -> Vec<Reply> {
    let parse = || Ok((name::resource(&name)?, request));
    context(code::MASK_MOD, &name)
        .change(cluster, parse, edit)
        .await
}

fn edit(
    tx: &mut Transaction<'_>,
    (name, request): (ResourceName, ResourceDefinitionModify),
) -> Result<Wait, Refusal> {
    let known = name::known_definition(tx, &name)?.clone();
    let mut row = ResourceDefinition::clone(&known);
    let change = property::change(
        request.override_props,
        request.delete_props,
        request.delete_namespaces,
    );
    tx.replies(property::apply(
        Owner::ResourceDefinition,
        &mut row.props,
        &change,
    )?);
    check_exact_size(tx, &known, &row)?;
    let (wished_port, slots) = (
        port(request.drbd_port)?,
        resource_group::peer_slots(request.drbd_peer_slots)?,
    );
    if let Some(drbd) = &mut row.drbd {
        drbd.wished_port = wished_port.or(drbd.wished_port);
        drbd.peer_slots = slots.unwrap_or(drbd.peer_slots);
        drbd.implied &= wished_port.is_none() && slots.is_none();
    }
    if !request.layer_stack.is_empty() {
        let warning = change_layers(tx, &mut row, &request.layer_stack)?;
        tx.replies(warning);
    }
    if let Some(given) = request.resource_group.filter(|given| !given.is_empty()) {
        row.group = group(tx, Some(&given))?;
    }
    tx.reply(modified(&label(&row.name), row.uuid));
    tx.put_resource_definition(row);
    Ok(Wait::Applied(vec![name]))
}

fn check_exact_size(
    model: &Model,
    before: &ResourceDefinition,
    after: &ResourceDefinition,
) -> Result<(), Refusal> {
    let exact = |row: &ResourceDefinition| {
        row.props
            .get(prop::DRBD_EXACT_SIZE)
            .is_some_and(|value| prop::is_true(value))
    };
    if exact(after) && !exact(before) && model.resources_of(&after.name).next().is_some() {
        return Err(Reply::new(
            code::FAIL_INVLD_PROP,
            format!(
                "The property {} cannot be set any more.",
                prop::DRBD_EXACT_SIZE
            ),
        )
        .cause(format!("The {} has resources already.", label(&after.name)))
        .correction("Set it before the first resource is made.")
        .into());
    }
    Ok(())
}

fn change_layers(
    tx: &Transaction<'_>,
    row: &mut ResourceDefinition,
    given: &[String],
) -> Result<Option<Reply>, Refusal> {
    let (layers, added) = stack::complete(stack::parse(given)?);
    stack::check(&layers)?;
    if layers != row.layer_stack && tx.resources_of(&row.name).next().is_some() {
        return Err(Reply::new(
            code::FAIL_EXISTS_RSC,
            format!("The layer stack of {} cannot be changed.", label(&row.name)),
        )
        .cause("It has resources, which were built with the layers it had.")
        .correction("Delete the resources first.")
        .into());
    }
    row.layer_stack = layers;
    let replicated = row.layer_stack.contains(&LayerKind::Drbd);
    if replicated && row.drbd.is_none() {
        row.drbd = Some(DrbdDefinition {
            peer_slots: numbers::peer_slots(tx, row),
            ..drbd(tx, None, None)
        });
        let mut taken = Draft::new(Model::clone(tx));
        for number in row.volumes.keys().copied().collect::<Vec<_>>() {
            let minor = numbers::allocate_minor(&taken, &tx.observed.foreign_minors())?;
            if let Some(volume) = row.volumes.get_mut(&number) {
                volume.minor = Some(minor);
            }
            taken.put_resource_definition(row.clone());
        }
    }
    if !replicated {
        row.drbd = None;
        row.volumes
            .values_mut()
            .for_each(|volume| volume.minor = None);
    }
    Ok(added)
}
