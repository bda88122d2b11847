//! Reading one resource, those of a definition, and their volumes.

use linstor_api::code;

use super::super::filter::Names;
use super::super::name;
use super::super::reply::not_found;
use super::label;
use super::view::{Sources, Volumes};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// The resources of one definition, without volumes.
pub fn of_definition(
    cluster: &Cluster,
    name: &str,
    (offset, limit): (usize, usize),
) -> Result<Vec<u8>, Refusal> {
    let name = name::resource(name)?;
    let (model, observed) = (cluster.model(), cluster.observed());
    name::known_definition(&model, &name)?;
    let mut sources = Sources::new(&model, &observed);
    let rows = model.resources_of(&name).skip(offset).take(limit);
    let shown = rows.filter_map(|row| sources.row(row, None));
    Ok(linstor_api::list::to_vec(shown))
}

/// One resource, without volumes.
pub fn one(cluster: &Cluster, name: &str, node: &str) -> Result<Vec<u8>, Refusal> {
    let (name, node) = (name::resource(name)?, name::node(node)?);
    let (model, observed) = (cluster.model(), cluster.observed());
    name::known_definition(&model, &name)?;
    // A node that does not exist has no resources either.
    let row = model
        .resource(&name, &node)
        .ok_or_else(|| not_found(code::FAIL_NOT_FOUND_RSC, &label(&name, &node)))?;
    let shown = Sources::new(&model, &observed).row(row, None);
    Ok(serde_json::to_vec(&shown).expect("resources are made of strings and numbers"))
}

/// The volumes of a resource.
pub fn volumes(cluster: &Cluster, name: &str, node: &str) -> Result<Vec<u8>, Refusal> {
    let (name, node) = (name::resource(name)?, name::node(node)?);
    let (model, observed) = (cluster.model(), cluster.observed());
    let row = name::known_resource(&model, &name, &node)?;
    let all = Names::default();
    let shown = Sources::new(&model, &observed).row(row, Some(&all));
    let volumes = shown.as_ref().map(Volumes);
    Ok(serde_json::to_vec(&volumes).expect("volumes are made of strings and numbers"))
}

/// One volume of a resource.
pub fn volume(cluster: &Cluster, name: &str, node: &str, number: &str) -> Result<Vec<u8>, Refusal> {
    let (name, node) = (name::resource(name)?, name::node(node)?);
    let number = name::volume_number_text(number)?;
    let (model, observed) = (cluster.model(), cluster.observed());
    let row = name::known_resource(&model, &name, &node)?;
    let shown = Sources::new(&model, &observed).row(row, None);
    let volume = shown
        .as_ref()
        .and_then(|row| row.volumes().find(|volume| volume.number == number));
    match volume {
        Some(volume) => {
            Ok(serde_json::to_vec(&volume).expect("volumes are made of strings and numbers"))
        }
        None => {
            let what = format!(
                "volume with volume number '{number}' on resource '{name}' on node '{node}'"
            );
            Err(not_found(code::FAIL_NOT_FOUND_VLM, &what).into())
        }
    }
}
