//! What the controller does for backups that are being made or restored, and for snapshots that are shipped. At the store of
//! those that are made: begins their uploads, writes their descriptions, and removes what was sent of those that have failed or
//! were aborted. What is said to other clusters is in [`super::shipping`]. All of it can be done again: a controller that starts
//! goes on with what the rows of the processes say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use linstor_api::reply::Reply;
use linstor_model::backup::describe::{describe, volume_keys};
use linstor_model::layer::luks::Keys;
use linstor_model::process::restore_backup;
use linstor_model::process::ship_backup::{self, CLEANUP_LIMIT, ShipBackup, Step};
use linstor_model::process::{Kind, Process, ProcessId};
use linstor_model::remote::Target;
use linstor_s3::{Bucket, Error};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::shipping;
use crate::cluster::Cluster;
use crate::ops::backup::bucket;
use crate::ops::snapshot;
use crate::transaction::{Refusal, Transaction};

/// How often it is looked whether another cluster is silent.
const LOOK: Duration = Duration::from_millis(500);
/// How long after a failure it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How long a store is tried that does not answer.
const TRY_LIMIT: Duration = Duration::from_secs(3600);
const LOCKED: &str = "the master passphrase was not entered since the controller started";
/// How often an upload is aborted: a part that was on its way may come after the first time.
const ABORTS: usize = 3;

/// Runs until shutdown.
pub(crate) async fn run(cluster: Cluster, shutdown: CancellationToken) {
    let mut tasks: JoinSet<ProcessId> = JoinSet::new();
    let mut at_work: BTreeSet<ProcessId> = BTreeSet::new();
    loop {
        let model = cluster.model();
        let now_ms = cluster.env().now_ms();
        for process in model.processes.values() {
            let has_work = match &process.kind {
                Kind::ShipBackup(backup) => backup.work(process, &model),
                Kind::RestoreBackup(restore) => {
                    restore.step == restore_backup::Step::Restore || restore.call().is_some()
                }
                Kind::ShipSnapshot(of) => {
                    of.call(process, &model).is_some()
                        || of.silent(process, &model, now_ms).is_some()
                }
                _ => false,
            };
            if has_work && at_work.insert(process.id) {
                tasks.spawn(advance(cluster.clone(), process.id));
            }
        }
        tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => return,
            // Cancel-safe.
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                Ok(id) => drop(at_work.remove(&id)),
                Err(error) => tracing::error!(%error, "a task of a backup panicked"),
            },
            // Cancel-safe: a notice that is lost after another arm has won is not needed, as everything is looked at.
            () = cluster.shared.backups.notified() => {}
            // The other cluster of a shipment may be silent for too long.
            () = tokio::time::sleep(LOOK), if model.outbounds().next().is_some() => {}
        }
    }
}

/// Does what a backup or a shipment needs now; returns its id.
async fn advance(cluster: Cluster, id: ProcessId) -> ProcessId {
    let model = cluster.model();
    let Some(process) = model.processes.get(&id) else {
        return id;
    };
    let (resource, done, pause) = match &process.kind {
        Kind::ShipBackup(of) => {
            let done = match of.step {
                Step::Begin => begin(&cluster, process, of).await,
                Step::Describe => write_description(&cluster, process, of).await,
                Step::Abandon => abandon(&cluster, process, of).await,
                Step::Take | Step::Send => Ok(()),
            };
            (&of.resource, done, RETRY_AFTER)
        }
        Kind::RestoreBackup(of) if of.step == restore_backup::Step::Restore => {
            let done = make_resource(&cluster, id).await;
            (&of.resource, done, RETRY_AFTER)
        }
        Kind::RestoreBackup(of) => {
            let done = shipping::inbound(&cluster, process, of).await;
            (&of.resource, done, shipping::RETRY_AFTER)
        }
        Kind::ShipSnapshot(of) => {
            let done = shipping::outbound(&cluster, process, of).await;
            (&of.resource, done, shipping::RETRY_AFTER)
        }
        _ => return id,
    };
    if let Err(why) = done {
        tracing::warn!(%id, %resource, "backup: {why}");
        tokio::time::sleep(pause).await;
    }
    id
}

/// Why something was not done, and is tried again.
pub(super) type Again = Result<(), String>;

/// The bucket; none when the remote is another one by now.
fn open(cluster: &Cluster, backup: &ShipBackup) -> Result<Option<Bucket>, String> {
    let model = cluster.model();
    let remote = model.remotes.get(&backup.remote);
    let Some(remote) = remote.filter(|remote| remote.uuid == backup.remote_uuid) else {
        return Ok(None);
    };
    let Target::S3(s3) = &remote.target else {
        return Ok(None);
    };
    let Some(key) = cluster.master_key() else {
        return Err(LOCKED.to_owned());
    };
    let refused = |Refusal(replies): Refusal| {
        let first = replies.into_iter().next();
        first.map_or_else(String::new, |reply| reply.message)
    };
    let settings = bucket::settings(&model, &key, remote, s3).map_err(refused)?;
    let opened = Bucket::new(&settings);
    opened.map(Some).map_err(|error| error.to_string())
}

pub(super) async fn commit<T: Send + 'static>(
    cluster: &Cluster,
    change: impl FnOnce(&mut Transaction<'_>) -> T + Send + 'static,
) -> Result<T, String> {
    let committed = cluster.commit(move |tx| Ok(change(tx))).await;
    let refused = "the database could not be written";
    committed
        .map(|done| done.value)
        .map_err(|_| refused.to_owned())
}

pub(super) fn has_lasted(cluster: &Cluster, process: &Process, limit: Duration) -> bool {
    let lasted = cluster.env().now_ms().saturating_sub(process.since.at);
    u128::from(lasted) >= limit.as_millis()
}

/// The store has refused, or not answered for long: the backup has failed.
async fn fail(cluster: &Cluster, process: &Process, message: String, error: &Error) -> Again {
    if error.is_transient() && !has_lasted(cluster, process, TRY_LIMIT) {
        return Err(error.to_string());
    }
    let Refusal(replies) = bucket::failed(message, error);
    let reply = replies.into_iter().next();
    give_up(cluster, process.id, reply).await
}

async fn give_up(cluster: &Cluster, id: ProcessId, reply: Option<Reply>) -> Again {
    let change = move |tx: &mut Transaction<'_>| {
        if let Some(reply) = reply {
            tx.plan(|draft, _, seeds| ship_backup::failed(draft, id, reply, seeds.now_ms));
        }
    };
    commit(cluster, change).await
}

async fn begin(cluster: &Cluster, process: &Process, backup: &ShipBackup) -> Again {
    let model = cluster.model();
    let Some(row) = model.snapshot(&backup.resource, &backup.snapshot) else {
        return Ok(());
    };
    let Some(bucket) = open(cluster, backup)? else {
        return Ok(());
    };
    let objects = backup.objects(row);
    let mut uploads = BTreeMap::new();
    let mut failed = None;
    for (number, key) in &objects {
        match bucket.begin(key).await {
            Ok(upload) => drop(uploads.insert(*number, upload)),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let begun = uploads.clone();
    let id = process.id;
    let is_wanted = match &failed {
        Some(_) => Ok(false),
        None => {
            let change = move |tx: &mut Transaction<'_>| {
                tx.plan(|draft, _, seeds| ship_backup::begun(draft, id, begun, seeds.now_ms))
            };
            commit(cluster, change).await
        }
    };
    if is_wanted != Ok(true) {
        for (number, upload) in &uploads {
            if let Err(error) = bucket.abort(&objects[number], upload).await {
                tracing::warn!("an upload remains in the bucket: {error}");
            }
        }
    }
    match failed {
        Some(error) => {
            let message = format!("The backup cannot be sent to the remote {}.", backup.remote);
            fail(cluster, process, message, &error).await
        }
        None => is_wanted.map(drop),
    }
}

async fn write_description(cluster: &Cluster, process: &Process, backup: &ShipBackup) -> Again {
    let now_ms = cluster.env().now_ms();
    let bucket = open(cluster, backup)?;
    let (Some(key), Some(exported)) = (cluster.master_key(), cluster.exported()) else {
        return Err(LOCKED.to_owned());
    };
    let env = cluster.env();
    let keys = volume_keys(
        &cluster.model(),
        backup,
        Keys::Master(&key),
        &exported,
        &mut |bytes| env.fill(bytes),
    );
    let Ok(keys) = keys else {
        let lost = Reply::new(
            linstor_api::code::FAIL_UNKNOWN_ERROR,
            "The backup was not made.",
        )
        .cause("The key of an encrypted volume cannot be opened with the master key.")
        .correction("Restore the database of the controller from a copy that was made before.");
        return give_up(cluster, process.id, Some(lost)).await;
    };
    let (model, observed) = (cluster.model(), cluster.observed());
    let described = describe(&model, &observed, backup, keys.as_ref(), now_ms);
    let (Some(meta), Some(bucket)) = (described, bucket) else {
        let lost = Reply::new(
            linstor_api::code::FAIL_UNKNOWN_ERROR,
            "The backup was not made.",
        )
        .cause("Its snapshot or its remote was deleted before it was described.")
        .correction("Make another one.");
        return give_up(cluster, process.id, Some(lost)).await;
    };
    let text = serde_json::to_vec(&meta).map_err(|error| error.to_string())?;
    if let Err(error) = bucket.put(&backup.meta, text.into()).await {
        let message = format!(
            "The description of the backup '{}' was not written.",
            backup.meta
        );
        return fail(cluster, process, message, &error).await;
    }
    let bytes = stored_bytes(&bucket, backup).await;
    let id = process.id;
    let change = move |tx: &mut Transaction<'_>| {
        tx.plan(|draft, _, seeds| ship_backup::described(draft, id, bytes, seeds.now_ms))
    };
    if commit(cluster, change).await? {
        tracing::info!(resource = %backup.resource, remote = %backup.remote, "the backup '{}' is made", backup.meta);
    }
    Ok(())
}

/// How many bytes the objects of a backup have; none if the store does not say of all of them.
async fn stored_bytes(bucket: &Bucket, backup: &ShipBackup) -> Option<u64> {
    let mut bytes: u64 = 0;
    for key in backup.keys().into_iter().filter(|key| *key != backup.meta) {
        let page = bucket.list(&key, None).await.ok()?;
        let object = page.objects.iter().find(|object| object.key == key)?;
        bytes = bytes.saturating_add(object.bytes);
    }
    Some(bytes)
}

async fn abandon(cluster: &Cluster, process: &Process, backup: &ShipBackup) -> Again {
    let removed = match backup.uploads.is_empty() {
        true => Ok(()),
        false => match open(cluster, backup) {
            Ok(None) => Ok(()),
            Ok(Some(bucket)) => remove(&bucket, backup).await,
            Err(why) => Err(why),
        },
    };
    if let Err(why) = removed {
        if !has_lasted(cluster, process, CLEANUP_LIMIT) {
            return Err(why);
        }
        tracing::error!(
            "what was sent of the backup '{}' remains in the bucket of the remote {}: {why}",
            backup.meta,
            backup.remote
        );
    }
    if let Some(failure) = &backup.failure {
        tracing::warn!(resource = %backup.resource, remote = %backup.remote, message = failure.message, cause = failure.cause, "the backup was not made");
    }
    let id = process.id;
    let change = move |tx: &mut Transaction<'_>| {
        tx.plan(|draft, _, seeds| ship_backup::abandoned(draft, id, seeds.now_ms));
    };
    commit(cluster, change).await
}

/// Makes the resource of the snapshot that a backup has become.
async fn make_resource(cluster: &Cluster, id: ProcessId) -> Again {
    let change = move |tx: &mut Transaction<'_>| {
        let Some(restore) = tx.restoration(id).cloned() else {
            return;
        };
        let made = tx.attempt(|tx| snapshot::restore_backup(tx, &restore));
        tx.plan(|draft, _, seeds| match made {
            Ok(()) => restore_backup::restored(draft, id, seeds.now_ms),
            Err(Refusal(replies)) => {
                if let Some(reply) = replies.into_iter().find(Reply::is_error) {
                    restore_backup::failed(draft, id, reply, seeds.now_ms);
                }
            }
        });
    };
    commit(cluster, change).await
}

/// Removes all that was sent of a backup.
async fn remove(bucket: &Bucket, backup: &ShipBackup) -> Again {
    let key = backup.key().ok_or("its key is damaged")?;
    for (number, upload) in &backup.uploads {
        let object = key.volume(*number);
        for _ in 0..ABORTS {
            let aborted = bucket.abort(&object, upload).await;
            aborted.map_err(|error| error.to_string())?;
            match bucket.parts(&object, upload).await {
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error.to_string()),
                Ok(_) => {}
            }
        }
    }
    let kept = bucket.delete(&backup.keys()).await;
    let kept = kept.map_err(|error| error.to_string())?;
    match kept.first() {
        None => Ok(()),
        Some(kept) => Err(format!("'{}' was not deleted: {}", kept.key, kept.reason)),
    }
}
