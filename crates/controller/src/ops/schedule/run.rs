//! Beginning the backups of schedules, and deleting what they do not retain any more.

use linstor_api::backup::BackupCreate;
use linstor_api::reply::Reply;
use linstor_model::backup::history::{self, End, Triple};
use linstor_model::backup::retention;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::remote::Target;
use linstor_model::{Model, Remote};

use super::super::{backup, snapshot};
use super::inherit::{PREFERRED_NODE, active, effective};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// What became of an attempt to begin a backup.
pub(crate) enum Started {
    /// It was begun.
    Begun,
    /// It cannot be begun at this moment, or need not be any more.
    NotNow,
}

/// Why schedules have no effect for a remote; the end of a sentence.
pub(super) fn not_for(remote: &Remote) -> Option<&'static str> {
    match remote.target {
        Target::S3(_) => None,
        Target::Linstor(_) => Some("schedules do not ship to LINSTOR clusters yet"),
        Target::Ebs(_) => Some("schedules do not ship to EBS"),
    }
}

/// Whether a resource definition has a resource with a disk.
pub(crate) fn is_deployed(model: &Model, name: &ResourceName) -> bool {
    model.resources_of(name).any(|row| !row.is_diskless())
}

/// Whether a backup of a schedule is being made.
pub(crate) fn is_running(model: &Model, of: &Triple) -> bool {
    let mut backups = model.shipments();
    backups.any(|(_, backup)| backup.triple().as_ref() == Some(of))
}

/// What a backup that is due waits for before it is begun.
pub(crate) fn held(model: &Model, of: &Triple, is_unlocked: bool) -> Option<String> {
    let remote = model.remotes.get(&of.remote)?;
    if let Some(why) = not_for(remote) {
        return Some(why.to_owned());
    }
    (!is_unlocked)
        .then(|| "the master passphrase was not entered since the controller started".to_owned())
}

/// Begins a backup that is due, with the times that were counted when it was found to be.
///
/// # Errors
///
/// Why it was not begun. That is noted, and counts as a backup that has failed.
pub(crate) async fn start(
    cluster: &Cluster,
    of: &Triple,
    incremental: bool,
    counted_from: u64,
) -> Result<Started, Refusal> {
    let model = cluster.model();
    let node = effective(&model, of, PREFERRED_NODE).filter(|node| {
        let name = NodeName::parse(node).ok();
        name.is_some_and(|name| model.node(&name).is_some())
    });
    let request = BackupCreate {
        rsc_name: Some(of.resource.to_string()),
        node_name: node,
        incremental,
        ..BackupCreate::default()
    };
    let wanted = of.clone();
    let is_due = move |tx: &mut Transaction<'_>| {
        let row = tx.definitions.get(&wanted.resource);
        let is_active = row.is_some_and(|row| active(tx, row).contains(&wanted));
        let run = tx.run(&wanted);
        let is_due = is_active
            && run.is_some_and(|run| run.counted_from == Some(counted_from))
            && !is_running(tx, &wanted);
        if is_due {
            // What a failed attempt has left is of no use any more.
            let left = retention::failed(tx, &wanted);
            snapshot::delete_unused(tx, &wanted.resource, &left);
        }
        is_due
    };
    match backup::create_scheduled(cluster, of, request, is_due).await {
        Ok(true) => Ok(Started::Begun),
        Ok(false) => Ok(Started::NotNow),
        Err(refusal) => {
            note_failure(cluster, of, incremental, &refusal).await?;
            Err(refusal)
        }
    }
}

/// Notes that a backup was not begun.
async fn note_failure(
    cluster: &Cluster,
    of: &Triple,
    incremental: bool,
    Refusal(replies): &Refusal,
) -> Result<(), Refusal> {
    let of = of.clone();
    let why = replies.iter().find(|reply| reply.is_error());
    let why = why.map_or_else(String::new, in_words);
    let change = move |tx: &mut Transaction<'_>| {
        tx.plan(|draft, _, seeds| {
            let on = (&of.resource, &of.remote);
            let end = End::Failed(why);
            history::ended(
                draft,
                on,
                Some(&of.schedule),
                incremental,
                end,
                seeds.now_ms,
            );
        });
        Ok(())
    };
    cluster.commit(change).await.map(drop)
}

/// A reply in one sentence or two.
pub(crate) fn in_words(reply: &Reply) -> String {
    let parts = [Some(&reply.message), reply.cause.as_ref()];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    parts.join(" ")
}

/// Deletes what a schedule does not retain any more, after one of its full backups was made.
///
/// # Errors
///
/// Why not all of it was deleted; it has to be tried again.
pub(crate) async fn expire(cluster: &Cluster, of: &Triple) -> Result<(), Refusal> {
    let model = cluster.model();
    let Some(schedule) = model.schedules.get(&of.schedule) else {
        return Ok(());
    };
    let count = |keep: Option<i32>| keep.and_then(|keep| usize::try_from(keep).ok());
    let remote = model.remotes.get(&of.remote);
    let is_bucket = remote.is_some_and(|remote| matches!(remote.target, Target::S3(_)));
    if let Some(keep) = count(schedule.keep_remote).filter(|_| is_bucket) {
        let deleted = backup::expire(cluster, of, keep).await?;
        if !deleted.is_empty() {
            tracing::info!(resource = %of.resource, remote = %of.remote, schedule = %of.schedule, "backups that are not retained any more were deleted: {}", deleted.join(", "));
        }
    }
    let keep = count(schedule.keep_local);
    let of = of.clone();
    let change = move |tx: &mut Transaction<'_>| {
        if let Some(keep) = keep {
            let surplus = retention::local(tx, &of, keep);
            snapshot::delete_unused(tx, &of.resource, &surplus);
        }
        tx.plan(|draft, _, _| history::expired(draft, &of));
        Ok(())
    };
    cluster.commit(change).await.map(drop)
}
