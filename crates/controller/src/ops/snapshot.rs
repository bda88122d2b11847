//! Snapshots: none exist, as this version cannot take them. What is asked about one is answered as absent, so that clients
//! can clean up.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::snapshot::{Snapshot, SnapshotRestore};
use linstor_model::Model;
use linstor_model::name::{ResourceName, SnapshotName};

use super::name;
use super::reply::{not_found, not_implemented};
use super::request::Context;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

fn context(mask: i64, name: &str, snapshot: &str) -> Context {
    let object = format!("Resource: {name}, Snapshot: {snapshot}");
    Context::new(code::MASK_SNAPSHOT | mask, object)
        .about("RscDfn", name)
        .about("Snapshot", snapshot)
}

fn missing(name: &ResourceName, snapshot: &SnapshotName) -> Refusal {
    let what = format!("snapshot '{snapshot}' of resource '{name}'");
    not_found(code::FAIL_NOT_FOUND_SNAPSHOT_DFN, &what).into()
}

/// Checks that a definition and the nodes of a snapshot of it exist.
fn known(model: &Model, name: &str, nodes: &[String]) -> Result<ResourceName, Refusal> {
    let name = name::resource(name)?;
    name::known_definition(model, &name)?;
    for node in nodes {
        name::known_resource(model, &name, &name::node(node)?)?;
    }
    Ok(name)
}

/// The snapshots of a definition, which has to exist.
pub fn list(cluster: &Cluster, name: &str) -> Result<[(); 0], Refusal> {
    known(&cluster.model(), name, &[]).map(|_| [])
}

/// One snapshot, whether its definition exists or not.
pub fn one(name: &str, snapshot: &str) -> Result<(), Refusal> {
    let (name, snapshot) = (name::resource(name)?, name::snapshot(snapshot)?);
    let what = format!("snapshot '{snapshot}' of resource '{name}'");
    Err(not_found(code::FAIL_NOT_FOUND_SNAPSHOT, &what).into())
}

/// Takes a snapshot.
pub async fn create(cluster: &Cluster, name: String, request: Snapshot) -> Vec<Reply> {
    let snapshot = request.name.unwrap_or_default();
    let work = async {
        name::snapshot(&snapshot)?;
        known(&cluster.model(), &name, &request.nodes)?;
        Ok(vec![not_implemented("Taking snapshots")])
    };
    context(code::MASK_CRT, &name, &snapshot).run(work).await
}

/// Takes several snapshots at once.
pub async fn create_multi(cluster: &Cluster, requests: Vec<Snapshot>) -> Vec<Reply> {
    let named = requests.iter().map(|request| {
        let name = request.resource_name.as_deref().unwrap_or_default();
        let snapshot = request.name.as_deref().unwrap_or_default();
        format!("Resource: {name}, Snapshot: {snapshot}")
    });
    let object = named.collect::<Vec<_>>().join("; ");
    let work = async {
        for request in &requests {
            name::snapshot(request.name.as_deref().unwrap_or_default())?;
            let name = request.resource_name.as_deref().unwrap_or_default();
            known(&cluster.model(), name, &request.nodes)?;
        }
        Ok(match requests.is_empty() {
            true => Vec::new(),
            false => vec![not_implemented("Taking snapshots")],
        })
    };
    let context = Context::new(code::MASK_SNAPSHOT | code::MASK_CRT, object);
    context.run(work).await
}

/// Changes a snapshot's properties.
pub async fn modify(cluster: &Cluster, name: String, snapshot: String) -> Vec<Reply> {
    let work = async {
        let wanted = name::snapshot(&snapshot)?;
        Err(missing(&known(&cluster.model(), &name, &[])?, &wanted))
    };
    context(code::MASK_MOD, &name, &snapshot).run(work).await
}

/// Deletes a snapshot. One that does not exist is no error, whether its definition does or not.
pub async fn delete(name: String, snapshot: String) -> Vec<Reply> {
    let work = async {
        name::snapshot(&snapshot).map_err(Refusal::plain)?;
        name::resource(&name)?;
        let message = format!("Snapshot '{snapshot}' of resource '{name}' not found.");
        let reply = Reply::new(code::WARN_NOT_FOUND, message);
        Ok(vec![
            reply.cause("It does not exist, so that nothing was deleted."),
        ])
    };
    context(code::MASK_DEL, &name, &snapshot).run(work).await
}

/// Returns a resource to one of its snapshots.
pub async fn rollback(cluster: &Cluster, name: String, snapshot: String) -> Vec<Reply> {
    let work = async {
        let wanted = name::snapshot(&snapshot)?;
        Err(missing(&known(&cluster.model(), &name, &[])?, &wanted))
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
        let name = known(&model, &name, &[])?;
        name::known_definition(&model, &target)?;
        Err(missing(&name, &wanted))
    };
    context.run(work).await
}
