//! Backups on remotes: made, listed, restored and deleted.

pub mod bucket;
mod create;
mod delete;
mod forced;
mod info;
mod list;
mod queue;
mod restore;
mod sealed;
pub mod shipping;
mod verify;

pub(crate) use create::create_scheduled;
pub use create::{abort, create};
pub(crate) use delete::expire;
pub use delete::{Selection, delete};
pub use list::list;
pub use queue::{QueueFilter, queue};
pub use shipping::ship;
pub use verify::Verifications;

use std::future::Future;

use linstor_api::backup::{BackupInfo, BackupInfoRequest, BackupRestore};
use linstor_api::code;
use linstor_api::remote::NodeCreateEbs;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_model::remote::Target;
use linstor_model::{Model, Remote};

use super::name;
use super::reply::not_implemented;
use super::request::Context;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

type Done = Result<Vec<Reply>, Refusal>;

/// LINSTOR's replies about backups have neither operation bits nor references.
async fn run(work: impl Future<Output = Done>) -> Vec<Reply> {
    Context::new(0, "").run(work).await
}

fn missing(what: &str) -> Done {
    Err(not_implemented(what).into())
}

/// A remote that has to be there, for calls whose refusals are about backups.
fn remote<'a>(model: &'a Model, given: &str) -> Result<&'a Remote, Refusal> {
    let about = |Refusal(replies): Refusal| {
        let about = replies
            .into_iter()
            .map(|reply| reply.with_mask(code::MASK_BACKUP));
        Refusal(about.collect())
    };
    let name = name::remote(given).map_err(about)?;
    Ok(name::known_remote(model, &name).map_err(about)?)
}

fn not_s3(remote: &Remote) -> Refusal {
    let message = format!("The remote {} is not an s3 remote.", remote.name);
    Reply::new(code::FAIL_INVLD_REMOTE_NAME | code::MASK_BACKUP, message)
        .cause("Only S3 remotes hold backups that can be listed.")
        .correction("Use an S3 remote.")
        .into()
}

fn bad_snapshot(given: &str) -> Reply {
    let shown = given.escape_debug();
    let message = format!("'{shown}' is not a valid snapshot name.");
    Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause("It has characters that are not allowed, or too many or too few.")
        .correction(
            "Use letters, digits, '-' and '_', beginning with a letter or '_', 2 to 48 characters.",
        )
}

/// Refuses a request that names no backup at all.
fn identified(given: [&Option<String>; 3]) -> Result<(), Refusal> {
    if given.into_iter().flatten().any(|text| !text.is_empty()) {
        return Ok(());
    }
    let message =
        "One of backup ID, resource name or snapshot name is required, but none was given";
    Err(Reply::new(code::FAIL_INVLD_REQUEST, message)
        .cause("The request does not identify a backup.")
        .correction("Give 'last_backup', 'src_rsc_name' or 'src_snap_name'.")
        .into())
}

/// Restores a backup. The first refusal is of a request that names none.
///
/// # Errors
///
/// That request's refusal, which has a status of its own.
pub async fn restore(
    cluster: &Cluster,
    on: String,
    request: BackupRestore,
) -> Result<Vec<Reply>, Refusal> {
    identified([
        &request.last_backup,
        &request.src_rsc_name,
        &request.src_snap_name,
    ])?;
    let work = async {
        let model = cluster.model();
        let node = name::node(request.node_name.as_deref().unwrap_or_default())?;
        let node = name::known_node(&model, &node)?.name.clone();
        let target = request.target_rsc_name.as_deref().unwrap_or_default();
        let target = name::resource(target)?;
        restore::restore(cluster, &on, node, target, request).await
    };
    Ok(run(work).await)
}

/// What restoring a backup needs.
///
/// # Errors
///
/// Why it is not known; the refusal of a request that names no backup has a status of its own.
pub async fn info(
    cluster: &Cluster,
    on: &str,
    request: BackupInfoRequest,
) -> Result<Result<BackupInfo, Refusal>, Refusal> {
    identified([
        &request.last_backup,
        &request.src_rsc_name,
        &request.src_snap_name,
    ])?;
    Ok(info::info(cluster, on, request).await)
}

/// Reads a backup to its end. The first refusal is of a request that names none.
///
/// # Errors
///
/// That request's refusal, which has a status of its own.
pub async fn verify(
    cluster: &Cluster,
    on: &str,
    request: BackupInfoRequest,
) -> Result<Vec<Reply>, Refusal> {
    identified([
        &request.last_backup,
        &request.src_rsc_name,
        &request.src_snap_name,
    ])?;
    Ok(run(verify::verify(cluster, on, request)).await)
}

/// Creates the node that serves an EBS remote.
pub async fn create_ebs_node(cluster: &Cluster, request: NodeCreateEbs) -> Vec<Reply> {
    let name = request.name.as_deref().unwrap_or(UNNAMED);
    let object = format!("Node: {}", request.name.as_deref().unwrap_or_default());
    let work = async {
        let model = cluster.model();
        let remote = name::remote(&request.ebs_remote_name)?;
        let remote = name::known_remote(&model, &remote)?;
        name::node(request.name.as_deref().unwrap_or_default())?;
        let Target::Ebs(_) = &remote.target else {
            let message = format!("The remote {} is not an ebs remote.", remote.name);
            return Err(Reply::new(code::FAIL_INVLD_REMOTE_NAME, message)
                .cause("Such a node serves an EBS remote.")
                .correction("Use an EBS remote.")
                .into());
        };
        missing("A node of type EBS_TARGET")
    };
    Context::new(code::MASK_NODE | code::MASK_CRT, object)
        .about("Node", name)
        .run(work)
        .await
}
