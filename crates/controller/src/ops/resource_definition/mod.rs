//! Resource definitions: what is the same for all resources of a name.

pub mod clone;
pub mod create;
pub mod delete;
pub mod external_name;
pub mod modify;
pub mod quorum;

pub use clone::{clone, clone_status};
pub use create::create;
pub use delete::{delete, truncate};
pub use modify::modify;
pub use quorum::quorum;

use std::ops::Bound;

use linstor_api::code;
use linstor_api::flag::resource_definition as flag;
use linstor_api::kind::LayerKind;
use linstor_api::layer::DrbdResourceDefinition;
use linstor_api::reply::Reply;
use linstor_api::resource_definition::{
    ResourceDefinition as Json, ResourceDefinitionLayer, ResourceDefinitionSyncStatus,
};
use linstor_model::name::ResourceName;
use linstor_model::{DrbdDefinition, Model, ResourceDefinition};

use super::filter::{Names, PropFilter};
use super::request::Context;
use super::{name, volume_definition};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

pub(super) fn label(name: impl std::fmt::Display) -> String {
    format!("resource definition '{name}'")
}

pub(super) fn context(mask: i64, name: &str) -> Context {
    let object = format!("Resource definition: {name}");
    Context::new(code::MASK_RSC_DFN | mask, object).about("RscDfn", name)
}

/// DRBD's part of a definition as answers show it.
pub fn show_drbd(drbd: &DrbdDefinition) -> DrbdResourceDefinition {
    let number = |value: u32| i32::try_from(value).ok();
    DrbdResourceDefinition {
        resource_name_suffix: String::new(),
        peer_slots: number(drbd.peer_slots),
        al_stripes: number(drbd.al_stripes),
        al_stripe_size_kib: Some(drbd.al_stripe_kib.into()),
        port: Some(drbd.wished_port.map_or(-1, i32::from)),
        transport_type: Some(drbd.transport.clone()),
        secret: Some(drbd.secret.reveal().to_owned()),
        down: Some(false),
    }
}

/// Whether a replica has DRBD.
pub(super) fn has_drbd(model: &Model, definition: &ResourceDefinition) -> bool {
    let mut resources = model.resources_of(&definition.name);
    resources.any(|row| row.drbd.is_some())
}

/// The layers that a definition shows: those it names, and DRBD when it was given values of its own or a replica has it.
pub(super) fn shown_layers(model: &Model, definition: &ResourceDefinition) -> Vec<LayerKind> {
    let mut layers = definition.layer_stack.clone();
    if let Some(drbd) = &definition.drbd
        && !layers.contains(&LayerKind::Drbd)
        && (!drbd.implied || has_drbd(model, definition))
    {
        layers.insert(0, LayerKind::Drbd);
    }
    layers
}

fn flags(model: &Model, definition: &ResourceDefinition) -> u64 {
    let set = |condition: bool, bit: u64| if condition { bit } else { 0 };
    let failed = definition.clone_failure.is_some();
    set(model.is_deleting_definition(definition), flag::DELETE)
        | set(failed, flag::FAILED)
        | set(
            !failed && model.cloning_of(definition).is_some(),
            flag::CLONING,
        )
}

/// A definition as answers show it.
pub fn show(model: &Model, definition: &ResourceDefinition, with_volumes: bool) -> Json {
    let layer = |kind: LayerKind| ResourceDefinitionLayer {
        r#type: Some(kind.into()),
        data: match kind {
            LayerKind::Drbd => definition.drbd.as_ref().map(show_drbd),
            _ => None,
        },
    };
    let volumes = definition.volumes.iter().filter(|_| with_volumes);
    let volumes =
        volumes.map(|(number, row)| volume_definition::show(model, definition, *number, row));
    Json {
        name: definition.name.to_string(),
        external_name: definition.external_name.clone(),
        props: definition.props.clone(),
        flags: flag::ALL.names(flags(model, definition)),
        layer_data: shown_layers(model, definition)
            .into_iter()
            .map(layer)
            .collect(),
        uuid: Some(definition.uuid.to_string()),
        resource_group_name: Some(definition.group.to_string()),
        volume_definitions: volumes.collect(),
    }
}

/// The definitions that the filters leave, as the text of a list in pieces.
pub fn list(
    cluster: &Cluster,
    names: Names,
    props: PropFilter,
    with_volumes: bool,
    (mut offset, mut limit): (usize, usize),
) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    let model = cluster.model();
    let mut passed: Option<ResourceName> = None;
    linstor_api::list::pieces(move |out| {
        let begin = passed.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = model.definitions.range((begin, Bound::Unbounded));
        let rows = rows.map(|(_, row)| row);
        let wanted = rows.filter(|row| names.wants(row.name.as_str()) && props.meets(&row.props));
        let mut last = None;
        for row in wanted.skip(offset).take(limit) {
            limit -= 1;
            out.push(&show(&model, row, with_volumes));
            if !out.has_room() {
                last = Some(row.name.clone());
                break;
            }
        }
        (passed, offset) = (last, 0);
    })
}

/// One definition.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = name::resource(name)?;
    let model = cluster.model();
    let row = name::known_definition(&model, &name)?;
    Ok(show(&model, row, false))
}

/// Whether all replicas with a disk are up to date.
pub fn sync_status(cluster: &Cluster, name: &str) -> Result<ResourceDefinitionSyncStatus, Refusal> {
    let name = name::resource(name)?;
    let (model, observed) = (cluster.model(), cluster.observed());
    name::known_definition(&model, &name)?;
    let synced_on_all = model
        .resources_of(&name)
        .filter(|replica| {
            replica
                .drbd
                .as_ref()
                .is_some_and(|drbd| !drbd.disk.is_diskless())
        })
        .all(|replica| observed.is_up_to_date(&name, &replica.node));
    Ok(ResourceDefinitionSyncStatus { synced_on_all })
}

/// Refuses additions to a definition that is being deleted.
pub(super) fn check_not_deleting(
    model: &Model,
    definition: &ResourceDefinition,
) -> Result<(), Refusal> {
    if !model.is_deleting_definition(definition) {
        return Ok(());
    }
    Err(Reply::new(
        code::FAIL_IN_USE,
        format!("The {} is being deleted.", label(&definition.name)),
    )
    .cause("Nothing can be added to it any more.")
    .correction("Wait until it is deleted, then create it again.")
    .into())
}
