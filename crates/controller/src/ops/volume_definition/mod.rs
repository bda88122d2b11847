//! Volume definitions: the size of one volume of a resource definition.

pub mod create;
pub mod delete;
pub mod modify;

pub use create::create;
pub use delete::delete;
pub use modify::{modify, set_passphrase};

use linstor_api::flag::volume_definition as flag;
use linstor_api::kind::LayerKind;
use linstor_api::layer::DrbdVolumeDefinition;
use linstor_api::volume_definition::{VolumeDefinition as Json, VolumeDefinitionLayer};
use linstor_api::{code, prop};
use linstor_model::name::ResourceName;
use linstor_model::process::KindName;
use linstor_model::{Model, Props, Resource, ResourceDefinition, VolumeDefinition};

use super::request::Context;
use super::{name, resource_definition, storage_pool};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

fn label(name: &ResourceName, number: u32) -> String {
    format!("volume definition with number '{number}' of resource definition '{name}'")
}

fn context(mask: i64, name: &str, number: Option<&str>) -> Context {
    let object = match number {
        Some(number) => format!("Resource definition: {name}, Volume number: {number}"),
        None => format!("Volume definitions for resource definition '{name}'"),
    };
    let context = Context::new(code::MASK_VLM_DFN | mask, object).about("RscDfn", name);
    match number {
        Some(number) => context.about("VlmNr", number),
        None => context,
    }
}

/// A volume definition as answers show it.
pub fn show(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    row: &VolumeDefinition,
) -> Json {
    let signed = i32::try_from(number).ok();
    let layer = |kind: LayerKind| VolumeDefinitionLayer {
        r#type: kind.into(),
        data: match kind {
            LayerKind::Drbd => row.minor.map(|minor| DrbdVolumeDefinition {
                resource_name_suffix: String::new(),
                volume_number: signed,
                minor_number: i32::try_from(minor).ok(),
            }),
            _ => None,
        },
    };
    let implied = row.implied_minor
        && definition.layer_stack.is_empty()
        && !resource_definition::has_drbd(model, definition);
    let layers = resource_definition::shown_layers(model, definition)
        .into_iter()
        .filter(|kind| *kind != LayerKind::Drbd || !implied);
    Json {
        volume_number: signed,
        size_kib: i64::try_from(row.size_kib).unwrap_or(i64::MAX),
        props: {
            let resources = model.resources_of(&definition.name).map(|row| &**row);
            shown_props(model, resources, number, row)
        },
        flags: flag::ALL.names(flags(model, &definition.name, number, row)),
        layer_data: layers.map(layer).collect(),
        uuid: Some(row.uuid.to_string()),
    }
}

/// Its properties, the granularity of its pools, and the sealed passphrase of its user, of which only the controller can make
/// anything.
pub(super) fn shown_props<'a>(
    model: &Model,
    resources: impl Iterator<Item = &'a Resource>,
    number: u32,
    row: &VolumeDefinition,
) -> Props {
    let mut props = row.props.clone();
    let pool = |replica: &Resource| {
        let volume = replica.volumes.get(&number)?;
        storage_pool::granularity_kib(model.pool(&replica.node, &volume.pool)?)
    };
    if let Some(kib) = resources.filter_map(pool).max() {
        let key = prop::STOR_DRIVER_ALLOCATION_GRANULARITY.to_owned();
        props.insert(key, kib.to_string());
    }
    if let Some(luks) = row.luks.as_ref().filter(|luks| luks.supplied) {
        let key = prop::ENCRYPTION_PASSPHRASE.to_owned();
        props.insert(key, luks.key.text().to_owned());
    }
    props
}

/// The flags that follow from a volume definition's state.
pub(super) fn flags(
    model: &Model,
    name: &ResourceName,
    number: u32,
    row: &VolumeDefinition,
) -> u64 {
    let set = |condition: bool, bits: u64| if condition { bits } else { 0 };
    let process = model.process_of_volume(name, number);
    let process = process.map(|process| process.kind.name());
    let deleting = process == Some(KindName::DeleteVolumeDefinition);
    set(deleting, flag::DELETE)
        | set(row.encrypted, flag::ENCRYPTED)
        | set(process == Some(KindName::Resize), flag::RESIZE)
        | set(row.gross_size, flag::GROSS_SIZE)
        | set(row.initialized, flag::DRBD_INITIALIZED)
}

/// All volume definitions of a definition.
pub fn list(cluster: &Cluster, name: &str) -> Result<Vec<Json>, Refusal> {
    let name = name::resource(name)?;
    let model = cluster.model();
    let definition = name::known_definition(&model, &name)?;
    let rows = definition.volumes.iter();
    Ok(rows
        .map(|(number, row)| show(&model, definition, *number, row))
        .collect())
}

/// One volume definition.
pub fn one(cluster: &Cluster, name: &str, number: &str) -> Result<Json, Refusal> {
    let (name, number) = (name::resource(name)?, name::volume_number_text(number)?);
    let model = cluster.model();
    let row = name::known_volume_definition(&model, &name, number)?;
    let definition = name::known_definition(&model, &name)?;
    Ok(show(&model, definition, number, row))
}
