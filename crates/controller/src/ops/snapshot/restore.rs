//! What is made of snapshots: resources that return to one, and other definitions with its data. This version makes
//! neither.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::snapshot::SnapshotRestore;
use linstor_model::Model;
use linstor_model::name::{ResourceName, SnapshotName};

use super::super::name;
use super::super::reply::not_found;
use super::super::request::Context;
use super::context;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

fn missing(name: &ResourceName, snapshot: &SnapshotName) -> Refusal {
    let what = format!("snapshot '{snapshot}' of resource '{name}'");
    not_found(code::FAIL_NOT_FOUND_SNAPSHOT_DFN, &what).into()
}

fn known(model: &Model, name: &str) -> Result<ResourceName, Refusal> {
    let name = name::resource(name)?;
    name::known_definition(model, &name)?;
    Ok(name)
}

/// Returns a resource to one of its snapshots.
pub async fn rollback(cluster: &Cluster, name: String, snapshot: String) -> Vec<Reply> {
    let work = async {
        let wanted = name::snapshot(&snapshot)?;
        Err(missing(&known(&cluster.model(), &name)?, &wanted))
    };
    context(code::MASK_MOD, &name, &snapshot).run(work).await
}

/// What a restore makes of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Volume definitions.
    VolumeDefinitions,
    /// Resources with the data.
    Resources,
}

/// Restores a snapshot into another definition.
pub async fn restore(
    cluster: &Cluster,
    name: String,
    snapshot: String,
    request: SnapshotRestore,
    restored: Restored,
) -> Vec<Reply> {
    let to = request.to_resource.unwrap_or_default();
    let context = match restored {
        Restored::VolumeDefinitions => {
            let object = format!("Volume definitions of resource: {to}");
            Context::new(code::MASK_SNAPSHOT | code::MASK_CRT, object)
        }
        Restored::Resources => {
            let object = format!("Resource: {to}");
            Context::new(code::MASK_RSC | code::MASK_CRT, object).about("RscDfn", &to)
        }
    };
    let work = async {
        let target = name::resource(&to).map_err(|refusal| match restored {
            Restored::VolumeDefinitions => refusal,
            Restored::Resources => refusal.plain(),
        })?;
        let wanted = name::snapshot(&snapshot)?;
        let model = cluster.model();
        let name = known(&model, &name)?;
        name::known_definition(&model, &target)?;
        Err(missing(&name, &wanted))
    };
    context.run(work).await
}
