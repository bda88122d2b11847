//! Making backups, and aborting them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use linstor_api::backup::{BackupAbort, BackupCreate};
use linstor_api::kind::{ProviderKind, StorageSuffix};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::backup::MetaKey;
use linstor_model::backup::history::Triple;
use linstor_model::layer::luks;
use linstor_model::name::{NodeName, RemoteName, ResourceName, ScheduleName, SnapshotName};
use linstor_model::process::ship_backup::{self, Base, ShipBackup, Step};
use linstor_model::process::{self, Kind, ProcessId};
use linstor_model::snapshot::SnapshotStorage;
use linstor_model::{Model, Remote, SnapshotDefinition};
use tokio::time::Instant;

use super::super::request::{WAIT, still_working};
use super::super::{name, snapshot};
use super::bucket::{self, Listed};
use super::list::{prefix, shown};
use super::{bad_snapshot, run};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// A backup that is to be made.
struct Wanted {
    resource: ResourceName,
    /// The snapshot; none to take one whose name is made of the time.
    snapshot: SnapshotName,
    /// Its name was not given.
    is_generated: bool,
    remote: Remote,
    /// The schedule that it is made for.
    schedule: Option<ScheduleName>,
    /// The node that should send it.
    node: Option<NodeName>,
    meta: MetaKey,
    started_at: u64,
    is_incremental: bool,
    /// Backups of this cluster that it may be based on, the most recent first: the identities of their snapshots, the keys
    /// of their descriptions, and the nodes that sent them.
    bases: Vec<(String, String, String)>,
}

/// Makes a backup.
pub async fn create(cluster: &Cluster, on: String, request: BackupCreate) -> Vec<Reply> {
    run(begin(cluster, on, request)).await
}

async fn begin(
    cluster: &Cluster,
    on: String,
    request: BackupCreate,
) -> Result<Vec<Reply>, Refusal> {
    let wanted = prepare(cluster, on, request).await?;
    let resource = wanted.resource.clone();
    let committed = cluster.commit(move |tx| plan(tx, wanted)).await?;
    let mut replies = committed.replies;
    let id = committed.value;
    // Sending it takes long; that it was begun does not.
    let has_begun = |model: &Model| {
        let backup = model.shipment(id);
        backup.is_none_or(|backup| !matches!(backup.step, Step::Take | Step::Begin))
    };
    let deadline = Instant::now() + WAIT;
    let begun = cluster.wait_until(&resource, deadline, |model, _| {
        has_begun(model).then_some(())
    });
    if begun.await.is_none() {
        replies.push(still_working(&format!(
            "the backup of resource '{resource}'"
        )));
        return Ok(replies);
    }
    let model = cluster.model();
    let failure = model.shipment(id).and_then(|backup| backup.failure.clone());
    if let Some(failure) = failure {
        return Err(Refusal(vec![failure]));
    }
    Ok(replies)
}

/// Begins to make a backup for a schedule if the check, which may also change things, still says so. Returns whether it was
/// begun: it is not while another one has the name that is made of the time.
pub(crate) async fn create_scheduled(
    cluster: &Cluster,
    of: &Triple,
    request: BackupCreate,
    is_due: impl FnOnce(&mut Transaction<'_>) -> bool + Send + 'static,
) -> Result<bool, Refusal> {
    let mut wanted = match prepare(cluster, of.remote.to_string(), request).await {
        Err(Refusal(replies)) if replies.iter().all(is_taken) => return Ok(false),
        prepared => prepared?,
    };
    wanted.schedule = Some(of.schedule.clone());
    let committed = cluster.commit(move |tx| {
        let is_taken = tx.snapshot(&wanted.resource, &wanted.snapshot).is_some();
        if is_taken || !is_due(tx) {
            return Ok(false);
        }
        plan(tx, wanted).map(|_| true)
    });
    Ok(committed.await?.value)
}

fn is_taken(reply: &Reply) -> bool {
    reply.ret_code & code::MASK_BITS_CODE == code::FAIL_EXISTS_SNAPSHOT & code::MASK_BITS_CODE
}

/// Reads what the bucket has, and what a request says.
async fn prepare(cluster: &Cluster, on: String, request: BackupCreate) -> Result<Wanted, Refusal> {
    let model = cluster.model();
    let resource = name::resource(&request.rsc_name.unwrap_or_default())?;
    let resource = name::known_definition(&model, &resource)?.name.clone();
    let given = request.snap_name.filter(|text| !text.is_empty());
    let given = given.map(|text| {
        // Snapshots have names as resource groups have.
        name::group(&text).map_err(|_| bad_snapshot(&text))?;
        SnapshotName::parse(&text).map_err(|_| bad_snapshot(&text))
    });
    let given = given.transpose()?;
    let remote = super::remote(&model, &on)?.clone();
    let opened = bucket::open(cluster, &on)?;
    let node = request.node_name.filter(|text| !text.is_empty());
    let node = node.map(|text| name::node(&text)).transpose()?;
    if let Some(node) = &node {
        name::known_node(&model, node)?;
    }
    let started_at = cluster.env().now_ms();
    let at = i64::try_from(started_at).unwrap_or(i64::MAX);
    let at = shown(at, &TimeZone::system()).unwrap_or_default();
    let backup = format!("back_{at}");
    let generated = SnapshotName::parse(&backup).map_err(|_| bad_snapshot(&backup))?;
    let suffix = model.controller.props.get(prop::S3_KEY_SUFFIX);
    let named = given.as_ref().filter(|given| **given != generated);
    let meta = MetaKey {
        resource: resource.to_string(),
        backup,
        suffix: suffix.cloned().unwrap_or_default(),
        snapshot: named.map(ToString::to_string),
    };
    check_key(&meta)?;
    let listed = opened.list(cluster, &prefix(resource.as_str())).await?;
    check_unused(&listed, &meta)?;
    Ok(Wanted {
        is_generated: given.is_none(),
        snapshot: given.unwrap_or(generated),
        bases: bases(&model, &listed),
        resource,
        remote,
        schedule: None,
        node,
        meta,
        started_at,
        is_incremental: request.incremental,
    })
}

/// Refuses a key that would not be read back as what it is.
fn check_key(meta: &MetaKey) -> Result<(), Refusal> {
    if MetaKey::parse(&meta.key()).as_ref() == Some(meta) {
        return Ok(());
    }
    let message = format!(
        "'{}' is not a valid name of a backup.",
        meta.key().escape_debug()
    );
    Err(Reply::new(code::FAIL_INVLD_BACKUP_CONFIG, message)
        .cause("It is made of the names of the resource and of the snapshot, of the time, and of a suffix.")
        .correction(format!("Change the property '{}'.", prop::S3_KEY_SUFFIX))
        .into())
}

fn check_unused(listed: &Listed, meta: &MetaKey) -> Result<(), Refusal> {
    let key = meta.key();
    let catalogue = &listed.catalogue;
    if !catalogue.backups.contains_key(&key) && !catalogue.loose.contains_key(&key) {
        return Ok(());
    }
    let message = format!("The backup '{}' exists already.", meta.id());
    Err(Reply::new(code::FAIL_EXISTS_SNAPSHOT, message)
        .cause("Its name has the time in seconds, and another one was begun in the same second.")
        .correction("Try again.")
        .into())
}

/// The backups of this cluster that can be restored, the most recent first.
fn bases(model: &Model, listed: &Listed) -> Vec<(String, String, String)> {
    let local = model.controller.cluster_id.to_string();
    let backups = listed.catalogue.backups.iter();
    let mut own: Vec<_> = backups
        .filter(|(_, backup)| {
            backup.lacks.is_empty() && backup.summary.cluster.as_deref() == Some(local.as_str())
        })
        .filter_map(|(key, backup)| {
            let summary = &backup.summary;
            let snapshot = summary.snapshot.clone()?;
            Some((
                summary.started_at,
                snapshot,
                key.clone(),
                summary.node.clone(),
            ))
        })
        .collect();
    own.sort();
    let own = own.into_iter().rev();
    own.map(|(_, snapshot, key, node)| (snapshot, key, node))
        .collect()
}

fn plan(tx: &mut Transaction<'_>, wanted: Wanted) -> Result<ProcessId, Refusal> {
    let (resource, name) = (wanted.resource.clone(), wanted.snapshot.clone());
    if tx.remotes.get(&wanted.remote.name).map(|row| row.uuid) != Some(wanted.remote.uuid) {
        return Err(super::remote(tx, wanted.remote.name.as_str())
            .err()
            .unwrap_or_else(|| {
                refused(&resource, "The remote was changed meanwhile.", "Try again.")
            }));
    }
    let (row, own_snapshot) = snapshot_to_send(tx, &resource, &name)?;
    let nodes = senders(tx, &row)?;
    let base = match wanted.is_incremental {
        true => find_base(tx, &row, &nodes, &wanted),
        false => None,
    };
    let node = choose(tx, nodes, &wanted, base.as_ref());
    if wanted.is_generated {
        say_name(tx, &resource, &wanted.remote.name, &name);
    }
    if wanted.is_incremental && base.is_none() {
        let message = format!("The backup of resource {resource} is a full one.");
        let reply = Reply::new(code::MASK_INFO, message)
            .cause("No backup on this remote, whose snapshot is still on a node that can send it and has the same volumes, could be its base.");
        tx.reply(reply);
    }
    say_sender(
        tx,
        &resource,
        (&wanted.remote.name, &name),
        (wanted.node.as_ref(), &node),
    );
    let backup = ShipBackup {
        id: tx.uuid(),
        resource,
        snapshot: name,
        remote: wanted.remote.name,
        remote_uuid: wanted.remote.uuid,
        node,
        meta: wanted.meta.key(),
        started_at: wanted.started_at,
        base: base.map(|(base, _)| base),
        schedule: wanted.schedule,
        own_snapshot,
        uploads: Default::default(),
        failure: None,
        step: Step::Take,
    };
    Ok(tx.plan(|draft, observed, seeds| {
        let resource = backup.resource.clone();
        let id = ship_backup::begin(draft, backup, seeds.now_ms);
        process::advance(draft, observed, &resource, seeds.now_ms);
        id
    }))
}

/// The snapshot that is sent, and whether it is made for that.
pub(super) fn snapshot_to_send(
    tx: &mut Transaction<'_>,
    resource: &ResourceName,
    name: &SnapshotName,
) -> Result<(Arc<SnapshotDefinition>, bool), Refusal> {
    let is_own = tx.snapshot(resource, name).is_none();
    match is_own {
        true => {
            let before = tx.reply_count();
            snapshot::begin_for_backup(tx, resource.clone(), name.clone())?;
            tx.truncate_replies(before);
        }
        false => check_snapshot(tx, resource, name)?,
    }
    let row = tx.snapshot(resource, name).cloned();
    let row = row.ok_or_else(|| refused(resource, "Its snapshot is not there.", "Try again."))?;
    Ok((row, is_own))
}

/// Says which name the snapshot has got.
pub(super) fn say_name(
    tx: &mut Transaction<'_>,
    resource: &ResourceName,
    remote: &RemoteName,
    name: &SnapshotName,
) {
    let message = format!(
        "Generated snapshot name for backup of resource {resource} to remote {remote}: {name}"
    );
    tx.reply(Reply::new(code::MASK_INFO, message).about("Snapshot", name.as_str()));
}

/// Says that a snapshot is being sent, and by which node if that is not the one that was named.
pub(super) fn say_sender(
    tx: &mut Transaction<'_>,
    resource: &ResourceName,
    (remote, name): (&RemoteName, &SnapshotName),
    (given, node): (Option<&NodeName>, &NodeName),
) {
    if let Some(given) = given.filter(|given| *given != node) {
        let message = format!("Node '{given}' does not send the backup, '{node}' does.");
        tx.reply(Reply::new(code::MASK_INFO, message).cause(
            "It has not the snapshots that are needed, is not connected, or must not send backups.",
        ));
    }
    let message = format!("Shipping of resource {resource} to remote {remote} in progress.");
    let reply = Reply::new(code::CREATED | code::MASK_BACKUP, message);
    tx.reply(reply.about("Snapshot", name.as_str()));
}

pub(super) fn refused(resource: &ResourceName, cause: &str, correction: &str) -> Refusal {
    let message = format!("No backup of resource '{resource}' can be made.");
    Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause(cause)
        .correction(correction)
        .into()
}

/// Refuses a snapshot that was not taken, or that something is done with.
pub(super) fn check_snapshot(
    tx: &Transaction<'_>,
    resource: &ResourceName,
    name: &SnapshotName,
) -> Result<(), Refusal> {
    let row = tx.snapshot(resource, name);
    let cause = if row.is_none_or(|row| !row.is_successful()) {
        "The snapshot was not taken successfully."
    } else if tx.deletion_of_snapshot(resource, name).is_some() {
        "The snapshot is being deleted."
    } else if tx
        .shipments()
        .any(|(_, of)| of.resource == *resource && of.snapshot == *name)
        || tx
            .outbounds()
            .any(|(_, of)| of.resource == *resource && of.snapshot == *name)
    {
        "A backup of the snapshot is being made already."
    } else {
        return Ok(());
    };
    let correction = "Use another snapshot, or none to have one taken.";
    Err(refused(resource, cause, correction))
}

/// The nodes that can send a snapshot.
pub(super) fn senders(
    tx: &Transaction<'_>,
    row: &SnapshotDefinition,
) -> Result<BTreeSet<NodeName>, Refusal> {
    let (mut nodes, mut why) = (BTreeSet::new(), "It has no part on a node.".to_owned());
    for (node, part) in &row.snapshots {
        let pools = part.volumes.values().filter_map(|volume| {
            let data = volume.storage.get(&StorageSuffix::Data)?;
            tx.pool(node, &data.pool)
        });
        let mut kinds = pools.map(|pool| pool.kind);
        let limit = tx.node(node).and_then(|row| {
            let own = row.props.get(prop::MAX_CONCURRENT_BACKUPS);
            own.or_else(|| tx.controller.props.get(prop::MAX_CONCURRENT_BACKUPS))
        });
        let away = tx.node(node).is_none_or(|row| row.evacuate || row.evicted);
        why = if let Some(kind) = kinds.find(|kind| !can_send(*kind)) {
            format!(
                "A storage pool on node '{node}' is of kind {kind}, whose snapshots cannot be sent."
            )
        } else if !tx.observed.is_online(node) {
            format!("Node '{node}' is not connected.")
        } else if away {
            format!("Node '{node}' is being evacuated.")
        } else if limit.is_some_and(|limit| limit == "0") {
            let key = prop::MAX_CONCURRENT_BACKUPS;
            format!("Node '{node}' must not send backups, as '{key}' is 0.")
        } else {
            nodes.insert(node.clone());
            continue;
        };
    }
    match nodes.is_empty() {
        true => Err(refused(
            &row.resource,
            &why,
            "Bring a node online that has the snapshot in a pool of kind LVM_THIN, ZFS or ZFS_THIN.",
        )),
        false => Ok(nodes),
    }
}

/// Whether snapshots in a storage pool of this kind can be sent. LINSTOR sends no others either: files have no map of what
/// changed.
pub(super) fn can_send(kind: ProviderKind) -> bool {
    is_zfs(kind) || kind == ProviderKind::LvmThin
}

/// Whether streams of pools of this kind are ZFS's.
pub(super) fn is_zfs(kind: ProviderKind) -> bool {
    matches!(kind, ProviderKind::Zfs | ProviderKind::ZfsThin)
}

/// The backup that an incremental one is based on, and the nodes that have its snapshot.
fn find_base(
    tx: &Transaction<'_>,
    row: &SnapshotDefinition,
    nodes: &BTreeSet<NodeName>,
    wanted: &Wanted,
) -> Option<(Base, Vec<NodeName>)> {
    let mut bases = wanted.bases.iter();
    bases.find_map(|(uuid, meta, sender)| {
        let mut rows = tx.snapshots_of(&row.resource);
        let base = rows.find(|base| base.uuid.to_string() == *uuid)?;
        let usable = base.is_successful()
            && base.uuid != row.uuid
            && base.sequence_number < row.sequence_number
            && tx
                .deletion_of_snapshot(&base.resource, &base.name)
                .is_none()
            && base.volumes.len() == row.volumes.len()
            && base.volumes.iter().all(|(number, volume)| {
                let now = row.volumes.get(number);
                now.is_some_and(|now| now.size_kib == volume.size_kib)
            });
        let has_same = |node: &&NodeName| {
            let volumes = |of: &SnapshotDefinition| -> Option<Vec<(u32, SnapshotStorage)>> {
                let part = of.on(node)?;
                let volumes = part.volumes.iter();
                let volumes = volumes.filter_map(|(number, volume)| {
                    let data = volume.storage.get(&StorageSuffix::Data)?;
                    Some((*number, data.clone()))
                });
                Some(volumes.collect())
            };
            let (then, now) = (volumes(base), volumes(row));
            let mut pools = then.iter().flatten();
            let has_zfs = pools.any(|(_, data)| {
                let pool = tx.pool(node, &data.pool);
                pool.is_some_and(|pool| is_zfs(pool.kind))
            });
            let resource = base.on(node).map(|part| &part.resource);
            let has_luks = resource.is_some_and(luks::has_headers);
            // Replicas that may differ are no base of each other; each replica has snapshots of its own in ZFS, and is
            // encrypted with a header of its own.
            let is_own = base.may_differ || has_zfs || has_luks;
            let same_replica = !is_own || node.as_str() == sender;
            same_replica && then.is_some() && then == now
        };
        let mut having: Vec<NodeName> = nodes.iter().filter(has_same).cloned().collect();
        having.sort_by_key(|node| node.as_str() != sender);
        let base = Base {
            snapshot: base.name.clone(),
            uuid: base.uuid,
            meta: meta.clone(),
        };
        (usable && !having.is_empty()).then_some((base, having))
    })
}

/// The node that sends: the one that was asked for, or that has sent the base, or that sends the fewest.
fn choose(
    tx: &Transaction<'_>,
    nodes: BTreeSet<NodeName>,
    wanted: &Wanted,
    base: Option<&(Base, Vec<NodeName>)>,
) -> NodeName {
    let candidates = match base {
        Some((_, having)) => having.clone(),
        None => nodes.into_iter().collect(),
    };
    let rank = |(index, node): &(usize, NodeName)| {
        let busy = tx.shipments().filter(|(_, of)| of.node == *node).count();
        let order = base.map_or(0, |_| *index);
        (wanted.node.as_ref() != Some(node), order, busy)
    };
    let chosen = candidates.into_iter().enumerate().min_by_key(rank);
    chosen.expect("there is a node").1
}

/// Stops backups that are being made. Nothing that was sent of them remains, and only snapshots that were made for them are
/// deleted.
pub async fn abort(cluster: &Cluster, on: String, request: BackupAbort) -> Vec<Reply> {
    run(async {
        let model = cluster.model();
        let remote = name::remote(&on)?;
        let remote = name::known_remote(&model, &remote)?.name.clone();
        let resource = name::resource(&request.rsc_name.unwrap_or_default())?;
        let resource = name::known_definition(&model, &resource)?.name.clone();
        let snapshot = request.snapshot.filter(|text| !text.is_empty());
        let snapshot = snapshot.map(|text| name::snapshot(&text)).transpose()?;
        // Neither is both.
        let given = (request.create.unwrap_or(false), request.restore.unwrap_or(false));
        let (uploads, downloads) = match given {
            (false, false) => (true, true),
            given => given,
        };
        let name = resource.clone();
        let committed = cluster.commit(move |tx| {
            let wanted = |of_resource: &ResourceName, of: &SnapshotName, on: &RemoteName| {
                let named = snapshot.as_ref().is_none_or(|name| of == name);
                named && *of_resource == name && *on == remote
            };
            let of_resource = tx.processes_of(&name).cloned();
            let found: Vec<_> = of_resource
                .filter(|row| match &row.kind {
                    Kind::ShipBackup(of) => {
                        uploads && wanted(&of.resource, &of.snapshot, &of.remote)
                    }
                    Kind::RestoreBackup(of) => {
                        downloads && wanted(&of.resource, &of.snapshot, &of.remote)
                    }
                    Kind::ShipSnapshot(of) => {
                        uploads && wanted(&of.resource, &of.snapshot, &of.remote)
                    }
                    _ => false,
                })
                .collect();
            for process in &found {
                // One that takes back already what it did goes on with that.
                let _ended = tx.plan(|draft, observed, seeds| {
                    process::cancel(draft, observed, process, seeds.now_ms)
                });
            }
            Ok(found.iter().map(|process| process.id).collect::<Vec<_>>())
        });
        let aborted = committed.await?.value;
        if aborted.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + WAIT;
        let is_over = |model: &Model| {
            let mut ids = aborted.iter();
            ids.all(|id| !model.processes.contains_key(id))
        };
        let over = cluster.wait_until(&resource, deadline, |model, _| is_over(model).then_some(()));
        if over.await.is_none() {
            return Ok(vec![still_working(&format!("the backups of resource '{resource}'"))]);
        }
        let message = format!(
            "Successfully aborted all in-progress backup-shipments and restores of resource {resource}"
        );
        Ok(vec![Reply::new(code::MODIFIED, message)])
    })
    .await
}
