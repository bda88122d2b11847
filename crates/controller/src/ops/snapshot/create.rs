//! Taking snapshots, of one resource definition or of several at the same moment.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::code;
use linstor_api::drbd_state::ConnectionState;
use linstor_api::kind::ProviderKind;
use linstor_api::properties::Properties;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::snapshot::Snapshot as Json;
use linstor_model::name::{NodeName, ResourceName, SnapshotName};
use linstor_model::process::take_snapshot::{
    self, SnapshotRef, first_not_connected, first_not_up_to_date, takes_part,
};
use linstor_model::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};
use linstor_model::{Model, Observed, Props, Resource, skip_disk, watermark};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::name;
use super::super::property::{self, Owner};
use super::super::reply::{exists, registered};
use super::super::request::{Context, WAIT, still_working};
use super::{context, label, volume_entries};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// A snapshot that is asked for.
struct Wanted {
    resource: ResourceName,
    snapshot: SnapshotName,
    /// The nodes; all with a disk if none is given.
    nodes: Vec<NodeName>,
    props: Properties,
    reason: SnapshotReason,
}

/// Snapshots that are being taken.
struct Taking {
    snapshots: Vec<SnapshotRef>,
    /// The nodes whose I/O is suspended.
    nodes: BTreeSet<NodeName>,
    lease: Uuid,
}

/// Takes a snapshot of a resource definition.
pub async fn create(cluster: &Cluster, name: String, mut request: Json) -> Vec<Reply> {
    let context = match &request.name {
        Some(snapshot) => context(code::MASK_CRT, &name, snapshot),
        None => {
            let object = format!("Resource: {name}, Snapshot: null");
            Context::new(code::MASK_SNAPSHOT | code::MASK_CRT, object)
                .about("RscDfn", &name)
                .about("Snapshot", UNNAMED)
        }
    };
    request.resource_name = Some(name);
    context.run(take(cluster, vec![request])).await
}

/// Takes several snapshots at the same moment, all or none of them.
pub async fn create_multi(cluster: &Cluster, mut requests: Vec<Json>) -> Vec<Reply> {
    if requests.len() == 1 {
        let request = requests.remove(0);
        let name = request.resource_name.clone().unwrap_or_default();
        return create(cluster, name, request).await;
    }
    let named = requests.iter().map(|request| {
        let name = request.resource_name.as_deref().unwrap_or_default();
        let snapshot = request.name.as_deref().unwrap_or_default();
        format!("Resource: {name}, Snapshot: {snapshot}")
    });
    let object = format!("Snapshots [{}]", named.collect::<Vec<_>>().join(", "));
    let context = Context::new(code::MASK_SNAPSHOT | code::MASK_CRT, object);
    context.run(take(cluster, requests)).await
}

/// Takes a snapshot whose interval is over.
pub async fn create_automatic(
    cluster: &Cluster,
    resource: ResourceName,
    snapshot: SnapshotName,
    prepare: impl FnOnce(&mut Transaction<'_>) + Send + 'static,
) -> Vec<Reply> {
    let wanted = Wanted {
        resource,
        snapshot,
        nodes: Vec::new(),
        props: Properties::new(),
        reason: SnapshotReason::Automatic,
    };
    let context = context(
        code::MASK_CRT,
        wanted.resource.as_str(),
        wanted.snapshot.as_str(),
    );
    context.run(take_all(cluster, vec![wanted], prepare)).await
}

/// Begins to take the snapshot that a clone is made of.
pub(in super::super) fn begin_for_clone(
    tx: &mut Transaction<'_>,
    resource: &ResourceName,
    snapshot: &SnapshotName,
) -> Result<(), Refusal> {
    let wanted = Wanted {
        resource: resource.clone(),
        snapshot: snapshot.clone(),
        nodes: Vec::new(),
        props: Properties::new(),
        reason: SnapshotReason::Clone,
    };
    begin(tx, vec![wanted]).map(drop)
}

async fn take(cluster: &Cluster, requests: Vec<Json>) -> Result<Vec<Reply>, Refusal> {
    let wanted = requests.into_iter().map(|request| {
        Ok(Wanted {
            snapshot: name::snapshot(&request.name.unwrap_or_default())?,
            resource: name::resource(&request.resource_name.unwrap_or_default())?,
            nodes: {
                let nodes = request.nodes.iter().filter(|node| !node.is_empty());
                nodes
                    .map(|node| name::node(node))
                    .collect::<Result<_, _>>()?
            },
            props: request.snapshot_definition_props,
            reason: SnapshotReason::Request,
        })
    });
    let wanted: Vec<Wanted> = wanted.collect::<Result<_, Refusal>>()?;
    take_all(cluster, wanted, |_| {}).await
}

async fn take_all(
    cluster: &Cluster,
    wanted: Vec<Wanted>,
    prepare: impl FnOnce(&mut Transaction<'_>) + Send + 'static,
) -> Result<Vec<Reply>, Refusal> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let single = wanted.len() == 1;
    let committed = cluster.commit(move |tx| {
        prepare(tx);
        begin(tx, wanted)
    });
    let committed = committed.await?;
    let mut replies = committed.replies;
    replies.append(&mut taken(cluster, &committed.value, single).await);
    Ok(replies)
}

/// Waits until snapshots are taken and I/O is resumed. Returns the entries about it.
async fn taken(cluster: &Cluster, taking: &Taking, single: bool) -> Vec<Reply> {
    let Some(first) = taking.snapshots.first() else {
        return Vec::new();
    };
    let deadline = Instant::now() + WAIT;
    let done = |model: &Model, _: &Observed| {
        let row = model.taking_of(&first.resource, &first.snapshot);
        row.is_none_or(|(_, take)| take.lease != taking.lease)
            .then_some(())
    };
    if cluster
        .wait_until(&first.resource, deadline, done)
        .await
        .is_none()
    {
        return vec![still_working(&label(&first.resource, &first.snapshot))];
    }
    let model = cluster.model();
    for of in &taking.snapshots {
        let row = model.snapshot(&of.resource, &of.snapshot);
        match row.map(|row| (row.state, row.failure.clone())) {
            Some((SnapshotState::Successful, _)) => {}
            Some((_, Some(failure))) => return vec![failure],
            Some((_, None)) | None => {
                let message = format!("The {} was not taken.", label(&of.resource, &of.snapshot));
                let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message);
                return vec![reply.cause("It was deleted while it was taken.")];
            }
        }
    }
    entries(&model, taking, single)
}

/// The entries about snapshots that were taken: of each node in each phase.
fn entries(model: &Model, taking: &Taking, single: bool) -> Vec<Reply> {
    let names: Vec<&str> = taking
        .snapshots
        .iter()
        .map(|of| of.resource.as_str())
        .collect();
    let names = names.join(", ");
    let mut replies = Vec::new();
    for phase in [
        ("Suspended IO", "for snapshot"),
        ("Took snapshot", ""),
        ("Resumed IO", "after snapshot"),
    ] {
        for node in &taking.nodes {
            for of in &taking.snapshots {
                let (name, snapshot) = (&of.resource, &of.snapshot);
                let Some(row) = model.snapshot(name, snapshot) else {
                    continue;
                };
                match row.on(node) {
                    Some(part) if phase.0.starts_with("Took") => {
                        replies.extend(volume_entries(
                            model,
                            row,
                            node,
                            part,
                            code::CREATED,
                            "created",
                        ));
                    }
                    Some(_) => {}
                    None => replies.extend(without_part(model, node, name, snapshot, single)),
                }
            }
            let (what, why) = phase;
            let message = format!("{what} of '[{names}]' on '{node}' {why}");
            replies.push(Reply::new(code::MODIFIED, message.trim_end()));
        }
    }
    replies
}

/// The entries of a node that has no part of a snapshot.
fn without_part(
    model: &Model,
    node: &NodeName,
    name: &ResourceName,
    snapshot: &SnapshotName,
    single: bool,
) -> Vec<Reply> {
    let mut snapshots = model.snapshots_of(name);
    let knows_it =
        model.resource(name, node).is_some() || snapshots.any(|row| row.on(node).is_some());
    let mut messages = Vec::new();
    if !knows_it {
        messages.push(format!("({node}) Skipping processing resource: {name}"));
    }
    messages.push(format!(
        "({node}) Skipping processing unknown snapshot '{snapshot}' of resource '{name}'"
    ));
    let entries = messages.into_iter().map(|message| {
        let reply = Reply::new(0, message).cause("The snapshot has no part on this node.");
        match single {
            true => reply.about("RscDfn", name.as_str()),
            false => reply,
        }
    });
    entries.collect()
}

/// Makes the row of a snapshot of which a backup is made, and begins to take it.
pub(crate) fn begin_for_backup(
    tx: &mut Transaction<'_>,
    resource: ResourceName,
    snapshot: SnapshotName,
) -> Result<(), Refusal> {
    let wanted = Wanted {
        resource,
        snapshot,
        nodes: Vec::new(),
        props: Properties::new(),
        reason: SnapshotReason::Request,
    };
    begin(tx, vec![wanted]).map(drop)
}

/// Makes the rows of snapshots and begins to take them.
fn begin(tx: &mut Transaction<'_>, wanted: Vec<Wanted>) -> Result<Taking, Refusal> {
    let mut snapshots = Vec::new();
    let mut nodes = BTreeSet::new();
    for wanted in wanted {
        let (name, snapshot) = (wanted.resource.clone(), wanted.snapshot.clone());
        nodes.extend(add(tx, wanted)?);
        snapshots.push(SnapshotRef {
            resource: name,
            snapshot,
        });
    }
    let lease = tx.uuid();
    let taking = Taking {
        snapshots,
        nodes,
        lease,
    };
    let (refs, nodes) = (taking.snapshots.clone(), taking.nodes.clone());
    tx.plan(|draft, _, seeds| take_snapshot::begin(draft, refs, nodes, lease, seeds.now_ms));
    Ok(taking)
}

/// Makes the row of a snapshot. Returns the nodes whose I/O has to be suspended for it.
fn add(tx: &mut Transaction<'_>, wanted: Wanted) -> Result<BTreeSet<NodeName>, Refusal> {
    let definition = name::known_definition(tx, &wanted.resource)?.clone();
    let name = &definition.name;
    if tx.snapshot(name, &wanted.snapshot).is_some() {
        let message = format!(
            "A snapshot definition with the name '{}' already exists in resource definition '{name}'.",
            wanted.snapshot
        );
        let what = label(name, &wanted.snapshot);
        let mut reply = exists(code::FAIL_EXISTS_SNAPSHOT_DFN, &what);
        reply.message = message;
        return Err(reply.into());
    }
    check_idle(tx, name)?;
    let nodes = nodes_of(tx, name, &wanted.nodes, wanted.reason)?;
    let suspended: BTreeSet<NodeName> = {
        let replicas = tx.resources_of(name).filter(|row| takes_part(tx, row));
        let nodes = replicas.map(|row| row.node.clone());
        nodes.filter(|node| tx.observed.is_online(node)).collect()
    };
    check_unseen(tx, name, &suspended)?;
    if let Some(replica) = first_not_up_to_date(tx, &tx.observed, name, &suspended) {
        return Err(take_snapshot::not_up_to_date(replica).into());
    }
    if let Some(apart) = first_not_connected(tx, &tx.observed, name, &nodes) {
        return Err(take_snapshot::not_connected(name, apart).into());
    }
    let mut props = Props::new();
    if !wanted.props.is_empty() {
        tx.replies(property::set(Owner::Snapshot, &mut props, wanted.props)?);
    }
    let new = NewSnapshot {
        resource: name.clone(),
        name: wanted.snapshot.clone(),
        nodes,
        reason: wanted.reason,
        props,
    };
    let row = tx.plan(|draft, _, seeds| {
        let row = snapshot::row(draft, new, seeds.now_ms, seeds.uuid)?;
        draft.put_snapshot_definition(row.clone());
        Some(row)
    });
    if let Some(row) = row {
        let mut what = label(name, &row.name);
        if !wanted.nodes.is_empty() {
            let nodes: Vec<String> = wanted
                .nodes
                .iter()
                .map(|node| format!("'{node}'"))
                .collect();
            what = format!("{what} on nodes {}", nodes.join(", "));
        }
        tx.reply(registered(&what, row.uuid));
    }
    Ok(suspended)
}

/// Refuses while the disks or sizes of a definition change, and while it is deleted.
fn check_idle(tx: &Transaction<'_>, name: &ResourceName) -> Result<(), Refusal> {
    let definition = tx.definitions.get(name);
    let deleting = definition.is_some_and(|row| tx.is_deleting_definition(row));
    let mut numbers = definition.iter().flat_map(|row| row.volumes.keys());
    let growing = numbers.any(|number| tx.resize_of(name, *number).is_some());
    let cause = match (deleting, growing) {
        (true, _) => "It is being deleted.",
        (false, true) => "A volume of it is being resized.",
        (false, false) => return Ok(()),
    };
    let message = format!("No snapshot of resource definition '{name}' can be taken now.");
    Err(Reply::new(code::FAIL_RSC_BUSY, message)
        .cause(cause)
        .correction("Wait until that is finished; GET /v1/jobs shows it.")
        .into())
}

/// The nodes of a snapshot: those that were named, or all with a disk that can take part.
fn nodes_of(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    given: &[NodeName],
    reason: SnapshotReason,
) -> Result<BTreeSet<NodeName>, Refusal> {
    for node in given {
        let replica = name::known_resource(tx, name, node)?;
        if replica.is_diskless() {
            let message = format!("Cannot create snapshot from diskless resource on node '{node}'");
            return Err(Reply::new(code::FAIL_SNAPSHOTS_NOT_SUPPORTED, message)
                .cause("Without a disk there is nothing on the node that a snapshot could be of.")
                .correction("Name nodes with a disk, or none to take it on all of them.")
                .about("Node", node.as_str())
                .into());
        }
    }
    let is_given = |row: &Resource| given.is_empty() || given.contains(&row.node);
    let replicas = tx
        .resources_of(name)
        .filter(|row| !row.is_diskless() && is_given(row));
    let replicas: Vec<_> = replicas.cloned().collect();
    let mut warnings = Vec::new();
    let mut nodes = BTreeSet::new();
    let mut offline = None;
    for replica in &replicas {
        let node = &replica.node;
        check_storage(tx, replica, reason)?;
        let evacuated = tx.node(node).is_some_and(|row| row.evacuate || row.evicted);
        let why = if evacuated {
            "it is evacuated"
        } else if !tx.observed.is_online(node) {
            offline = Some(node.clone());
            "it is not connected"
        } else if !takes_part(tx, replica) {
            "its resource is not active"
        } else {
            nodes.insert(node.clone());
            continue;
        };
        if !given.is_empty() && !evacuated {
            return Err(cannot_take(name, node, why));
        }
        let message = format!("No snapshot of resource '{name}' is taken on node '{node}': {why}.");
        warnings.push(Reply::new(code::WARN_NOT_CONNECTED, message).about("Node", node.as_str()));
    }
    if nodes.is_empty() {
        return Err(
            match (&offline, replicas.is_empty() || warnings.is_empty()) {
                (Some(node), _) => cannot_take(name, node, "it is not connected"),
                (None, true) => no_resource(code::FAIL_NOT_CONNECTED, name),
                (None, false) => no_resource(code::FAIL_NOT_FOUND_RSC, name),
            },
        );
    }
    tx.replies(warnings);
    Ok(nodes)
}

fn no_resource(ret_code: i64, name: &ResourceName) -> Refusal {
    let message =
        format!("Resource definition '{name}' has no resource that a snapshot can be taken of.");
    Reply::new(ret_code, message)
        .cause("A snapshot needs an active resource with a disk, on a node that is online and not evacuated.")
        .correction("Create a resource, or bring its node online.")
        .into()
}

fn cannot_take(name: &ResourceName, node: &NodeName, why: &str) -> Refusal {
    let ret_code = match why {
        "it is not connected" => code::FAIL_NOT_CONNECTED,
        _ => code::FAIL_INVLD_RSC_STATE,
    };
    let message = format!("No snapshot of resource '{name}' can be taken on node '{node}': {why}.");
    Reply::new(ret_code, message)
        .cause("Snapshots are taken by the satellites of active resources.")
        .correction(
            "Bring the node online or activate its resource, or leave it out of the request.",
        )
        .about("Node", node.as_str())
        .into()
}

/// Refuses where a disk is skipped, a pool has no snapshots, or there is no room for one.
fn check_storage(
    tx: &Transaction<'_>,
    replica: &Resource,
    reason: SnapshotReason,
) -> Result<(), Refusal> {
    let (name, node) = (&replica.name, &replica.node);
    let definition = tx.definitions.get(name);
    if replica.drbd.is_some() && definition.is_some_and(|row| skip_disk::is_set(tx, row, replica)) {
        return Err(take_snapshot::not_up_to_date(replica).into());
    }
    let mut pools: BTreeMap<_, _> = BTreeMap::new();
    for pool in replica.volumes.values().flat_map(|volume| volume.pools()) {
        if let Some(row) = tx.pool(node, pool) {
            pools.insert(pool, row);
        }
    }
    for row in pools.values() {
        let key = (node.clone(), row.name.clone());
        let status = tx.observed.pools.get(&key).map(|seen| &seen.status);
        // A clone copies the data of thick volumes, from a snapshot that is removed at once.
        let is_copied = reason == SnapshotReason::Clone && row.kind == ProviderKind::Lvm;
        if !is_copied && !tx.observed.supports_snapshots(row) {
            let message = format!("Storage driver '{}' does not support snapshots.", row.kind);
            return Err(Reply::new(code::FAIL_SNAPSHOTS_NOT_SUPPORTED, message)
                .cause(format!(
                    "Resource '{name}' has a volume in storage pool '{}' on node '{node}', which is of this kind.",
                    row.name
                ))
                .correction("Move the volume to a thin pool (LVM_THIN), to ZFS, or to files on a file system with reflinks.")
                .about("Node", node.as_str())
                .about("StorPoolDfn", row.name.as_str())
                .into());
        }
        watermark::check_snapshot(tx, row, status)?;
        if row.kind.is_thin() && status.is_some_and(|status| status.free_kib == Some(0)) {
            let message = format!("Storage pool '{}' on node '{node}' is full.", row.name);
            return Err(Reply::new(code::FAIL_NOT_ENOUGH_FREE_SPACE, message)
                .cause("A snapshot takes space with each change of its volume.")
                .correction("Add space to the pool, or delete snapshots or volumes in it.")
                .about("Node", node.as_str())
                .about("StorPoolDfn", row.name.as_str())
                .into());
        }
    }
    Ok(())
}

/// Refuses where a node whose satellite is not connected is connected in DRBD: its I/O cannot be suspended.
fn check_unseen(
    tx: &Transaction<'_>,
    name: &ResourceName,
    suspended: &BTreeSet<NodeName>,
) -> Result<(), Refusal> {
    let hidden = tx.resources_of(name).find(|row| {
        let node = &row.node;
        let is_connected = |seen_from: &NodeName| {
            let status = tx.observed.live(name, seen_from);
            let drbd = status.and_then(|status| status.drbd.as_ref());
            let state = drbd.and_then(|drbd| drbd.connections.get(node.as_str()));
            state == Some(&ConnectionState::Connected)
        };
        !tx.observed.is_online(node) && suspended.iter().any(is_connected)
    });
    match hidden {
        Some(row) => Err(cannot_take(name, &row.node, "it is not connected")),
        None => Ok(()),
    }
}
