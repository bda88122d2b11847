//! Clones of resource definitions with their data. This version cannot make any; what is wrong with a request is found all
//! the same.

use linstor_api::code;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::resource_definition::{
    ResourceDefinitionClone, ResourceDefinitionCloneStarted as Started,
};
use linstor_model::Model;
use linstor_model::layer::luks;
use linstor_model::name::ResourceName;
use linstor_model::stack;

use super::super::name;
use super::super::reply::{exists, not_found};
use super::super::request::Context;
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// What stands for the name of a clone that has none.
const NO_NAME: &str = "__invalid_name__";

/// Clones a definition, which has to exist.
pub async fn clone(
    cluster: &Cluster,
    name: String,
    request: ResourceDefinitionClone,
) -> Result<Started, Refusal> {
    let source = name::resource(&name)?;
    let model = cluster.model();
    let source = name::known_definition(&model, &source)?.name.clone();
    let given = request.name.clone().unwrap_or_default();
    let context = match &request.name {
        Some(name) => context(code::MASK_CRT, name),
        None => unnamed_context(),
    };
    let unlocked = cluster.master_key().is_some();
    let refused = async { Err(refusal(&model, &source, &request, unlocked)) };
    let messages = context.run(refused).await;
    let clone = match given.as_str() {
        "" => NO_NAME,
        given => given,
    };
    Ok(Started {
        location: format!("/v1/resource-definitions/{source}/clone/{}", escaped(clone)),
        source_name: source.to_string(),
        clone_name: clone.to_owned(),
        messages,
    })
}

fn unnamed_context() -> Context {
    Context::new(code::MASK_RSC_DFN | code::MASK_CRT, "Resource definition")
        .about("RscDfn", UNNAMED)
}

/// The status of a clone; there are none.
pub fn clone_status(name: &str, clone: &str) -> Result<(), Refusal> {
    let (name, clone) = (name::resource(name)?, name::resource(clone)?);
    let what = format!("clone '{clone}' of resource definition '{name}'");
    Err(not_found(code::FAIL_NOT_FOUND_RSC_DFN, &what).into())
}

fn refusal(
    model: &Model,
    source: &ResourceName,
    request: &ResourceDefinitionClone,
    unlocked: bool,
) -> Refusal {
    check(model, source, request, unlocked)
        .err()
        .unwrap_or_else(|| {
            let message = "The storage pools of the source do not support clones.";
            Reply::new(code::FAIL_INVLD_PROVIDER, message)
                .cause("Cloning is not implemented yet by this controller.")
                .correction("Nothing was changed. Copy the data, or use a later version.")
                .into()
        })
}

fn check(
    model: &Model,
    source: &ResourceName,
    request: &ResourceDefinitionClone,
    unlocked: bool,
) -> Result<(), Refusal> {
    let given = request.name.as_deref().filter(|name| !name.is_empty());
    let Some(given) = given else {
        let (ret_code, message) = match &request.external_name {
            Some(_) => (
                code::FAIL_UNKNOWN_ERROR,
                "A clone cannot have an external name only.",
            ),
            None => (
                code::FAIL_INVLD_RSC_NAME,
                "No name for the clone was given.",
            ),
        };
        return Err(Reply::new(ret_code, message)
            .correction("Give 'name'.")
            .into());
    };
    let clone = name::resource(given)?;
    if model.definitions.contains_key(&clone) {
        return Err(exists(code::FAIL_EXISTS_RSC_DFN, &label(&clone)).into());
    }
    stack::check(&stack::complete(stack::parse(&request.layer_list)?).0).or_else(|replies| {
        match request.layer_list.is_empty() {
            true => Ok(()),
            false => Err(replies),
        }
    })?;
    if let Some(group) = request
        .resource_group
        .as_ref()
        .filter(|group| !group.is_empty())
    {
        name::known_group(model, &name::group(group)?)?;
    }
    if !request.volume_passphrases.is_empty() && !unlocked {
        return Err(luks::locked().into());
    }
    let mut with_data = model.resources_of(source);
    if !with_data.any(|row| !row.is_diskless() && !row.volumes.is_empty()) {
        let message = "No suitable storage pools were found for the clone.";
        return Err(Reply::new(code::FAIL_NOT_ENOUGH_NODES, message)
            .cause(format!("The {} has no volumes with data.", label(source)))
            .into());
    }
    Ok(())
}

/// A text as an element of a path.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
