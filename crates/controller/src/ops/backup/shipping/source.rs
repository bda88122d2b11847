//! The cluster that sends: begins shipments, and is told where they are received and how they ended.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::tz::TimeZone;
use linstor_api::backup::BackupShip;
use linstor_api::kind::{ProviderKind, StorageSuffix};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::name::{NodeName, ResourceName, SnapshotName};
use linstor_model::process::ship_snapshot::{self, Base, Receiver, ShipSnapshot, Step, Target};
use linstor_model::process::{self, ProcessId};
use linstor_model::{Model, Remote, SnapshotDefinition};
use linstor_wire::Secret;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::super::name;
use super::super::super::request::{WAIT, still_working};
use super::super::create::{refused, say_name, say_sender, senders, snapshot_to_send};
use super::super::list::shown;
use super::super::{bad_snapshot, run};
use super::call::{Peer, not_linstor};
use super::conversation::{
    Abort, Done, PREV_SNAP, PrevSnap, PrevSnapAnswer, Receive, first_error, own_version,
};
use super::{check_certificate, new_identity, not_alike, remote_of};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// A snapshot that is to be shipped.
struct Wanted {
    resource: ResourceName,
    /// The snapshot; none to take one whose name is made of the time.
    snapshot: SnapshotName,
    /// Its name was not given.
    is_generated: bool,
    remote: Remote,
    /// The node that should send it.
    node: Option<NodeName>,
    target: Target,
    started_at: u64,
    /// Only what changed may be sent.
    is_incremental: bool,
    /// The snapshot that the other cluster has.
    there: Option<There>,
    id: Uuid,
    identity: Secret,
}

/// A snapshot of this cluster that the other one has.
struct There {
    uuid: Uuid,
    snapshot: String,
    node: String,
}

/// Ships a snapshot to another cluster.
pub async fn ship(cluster: &Cluster, on: String, request: BackupShip) -> Vec<Reply> {
    run(begin(cluster, on, request)).await
}

fn text(given: Option<String>) -> Option<String> {
    given.filter(|text| !text.is_empty())
}

async fn begin(cluster: &Cluster, on: String, request: BackupShip) -> Result<Vec<Reply>, Refusal> {
    let model = cluster.model();
    let remote = name::remote(&on)?;
    let remote = Remote::clone(name::known_remote(&model, &remote)?);
    if !matches!(remote.target, linstor_model::remote::Target::Linstor(_)) {
        return Err(not_linstor(&remote.name).into());
    }
    let resource = name::resource(&request.src_rsc_name.unwrap_or_default())?;
    let resource = name::known_definition(&model, &resource)?.name.clone();
    let there = name::resource(&request.dst_rsc_name.unwrap_or_default())?;
    let given = text(request.src_snap_name).map(|text| {
        name::group(&text).map_err(|_| bad_snapshot(&text))?;
        SnapshotName::parse(&text).map_err(|_| bad_snapshot(&text))
    });
    let given = given.transpose()?;
    if let Some(text) = text(request.dst_snap_name) {
        let message = format!(
            "The snapshot cannot be named '{}' there.",
            text.escape_debug()
        );
        return Err(Reply::new(code::FAIL_INVLD_REQUEST, message)
            .cause(
                "The cluster that receives it names it by its own name and that of this cluster.",
            )
            .correction("Leave 'dst_snap_name' out.")
            .into());
    }
    let node = text(request.src_node_name);
    let node = node.map(|text| name::node(&text)).transpose()?;
    if let Some(node) = &node {
        name::known_node(&model, node)?;
    }
    let target = Target {
        resource: there.to_string(),
        node: text(request.dst_node_name),
        interface: text(request.dst_net_if_name),
        pool: text(request.dst_stor_pool),
        renamed: request.stor_pool_rename.into_iter().collect(),
        group: text(request.dst_rsc_grp),
        moves_group: request.force_mv_rsc_grp,
        download_only: request.download_only,
        force_restore: request.force_restore,
    };
    let started_at = cluster.env().now_ms();
    let at = i64::try_from(started_at).unwrap_or(i64::MAX);
    let at = shown(at, &TimeZone::system()).unwrap_or_default();
    let generated = format!("back_{at}");
    let generated = SnapshotName::parse(&generated).map_err(|_| bad_snapshot(&generated))?;
    let is_incremental = request.allow_incremental != Some(false);
    let there = ask(
        cluster,
        &remote,
        &resource,
        given.as_ref(),
        &target,
        is_incremental,
    )
    .await?;
    let id = cluster.env().uuid();
    let wanted = Wanted {
        is_generated: given.is_none(),
        snapshot: given.unwrap_or(generated),
        resource: resource.clone(),
        remote,
        node,
        target,
        started_at,
        is_incremental,
        there,
        identity: new_identity(id)?,
        id,
    };
    let committed = cluster.commit(move |tx| plan(tx, wanted)).await?;
    let mut replies = committed.replies;
    let id = committed.value;
    // Sending it takes long; that it was begun does not.
    let mut failure = None;
    let deadline = Instant::now() + WAIT;
    let begun = cluster.wait_until(&resource, deadline, |model, _| {
        let Some(of) = model.outbound(id) else {
            return Some(());
        };
        failure = of.failure.clone();
        (!matches!(of.step, Step::Take | Step::Offer)).then_some(())
    });
    if begun.await.is_none() {
        replies.push(still_working(&format!(
            "the shipment of resource '{resource}'"
        )));
    }
    match failure {
        Some(failure) => Err(Refusal(vec![failure])),
        None => Ok(replies),
    }
}

/// Asks the other cluster whether it can receive, and what the snapshot can be based on.
async fn ask(
    cluster: &Cluster,
    remote: &Remote,
    resource: &ResourceName,
    snapshot: Option<&SnapshotName>,
    target: &Target,
    is_incremental: bool,
) -> Result<Option<There>, Refusal> {
    let model = cluster.model();
    let candidates = model.snapshots_of(resource).filter(|row| {
        is_incremental
            && row.is_successful()
            && snapshot != Some(&row.name)
            && model.deletion_of_snapshot(resource, &row.name).is_none()
    });
    let said = PrevSnap {
        src_version: own_version().to_vec(),
        src_cluster_id: model.controller.cluster_id.to_string(),
        dst_rsc_name: target.resource.clone(),
        src_snap_dfn_uuids: candidates.map(|row| row.uuid.to_string()).collect(),
        dst_node_name: target.node.clone(),
    };
    let peer = Peer::new(remote)?;
    let message = format!(
        "No snapshot of resource '{resource}' can be shipped to the remote {}.",
        remote.name
    );
    let answered = peer.call::<PrevSnapAnswer>(PREV_SNAP, &said).await;
    let answered = answered.map_err(|error| error.reply(message.clone()))?;
    let body = answered.body;
    if !answered.is_ok || !body.can_receive {
        let error = first_error(&body.responses, &peer.name);
        return Err(error
            .unwrap_or_else(|| {
                Reply::new(code::FAIL_UNKNOWN_ERROR | code::MASK_BACKUP, message)
                    .cause("Its cluster refuses it, and does not say why.")
                    .correction("See the log of the other cluster's controller.")
            })
            .into());
    }
    if !answered.is_alike {
        return Err(not_alike(&format!("The cluster of the remote {}", peer.name)).into());
    }
    let uuid = body.prev_snap_uuid.and_then(|text| text.parse().ok());
    Ok(
        match (uuid, body.dst_base_snap_name, body.dst_actual_node_name) {
            (Some(uuid), Some(snapshot), Some(node)) => Some(There {
                uuid,
                snapshot,
                node,
            }),
            _ => None,
        },
    )
}

fn plan(tx: &mut Transaction<'_>, wanted: Wanted) -> Result<ProcessId, Refusal> {
    let (resource, name) = (wanted.resource.clone(), wanted.snapshot.clone());
    if tx.remotes.get(&wanted.remote.name).map(|row| row.uuid) != Some(wanted.remote.uuid) {
        let why = "The remote was changed meanwhile.";
        return Err(refused(&resource, why, "Try again."));
    }
    let (row, own_snapshot) = snapshot_to_send(tx, &resource, &name)?;
    let mut nodes = senders(tx, &row)?;
    nodes.retain(|node| is_thin(tx, &row, node));
    if nodes.is_empty() {
        let why = "Only snapshots in storage pools of kind LVM_THIN, of volumes that are not encrypted, can be shipped to another cluster yet.";
        let correction =
            "Back it up to an S3 remote instead, or move it to a pool of kind LVM_THIN.";
        return Err(refused(&resource, why, correction));
    }
    let there = wanted.there.as_ref();
    let base = there.and_then(|there| find_base(tx, &row, &nodes, there));
    let (base, nodes) = match base {
        Some((base, having)) => (Some(base), having),
        None => (None, nodes),
    };
    let busy = |node: &NodeName| {
        let others = tx.outbounds().filter(|(_, of)| of.node == *node).count();
        others + tx.shipments().filter(|(_, of)| of.node == *node).count()
    };
    let node = nodes
        .iter()
        .min_by_key(|node| (wanted.node.as_ref() != Some(*node), busy(node)))
        .cloned()
        .expect("there is a node");
    if wanted.is_generated {
        say_name(tx, &resource, &wanted.remote.name, &name);
    }
    if wanted.is_incremental && base.is_none() {
        let message = format!("All of resource {resource} is shipped.");
        tx.reply(Reply::new(code::MASK_INFO, message).cause(
            "The other cluster has no snapshot of it that is still on a node here that can send it and has the same volumes.",
        ));
    }
    say_sender(
        tx,
        &resource,
        (&wanted.remote.name, &name),
        (wanted.node.as_ref(), &node),
    );
    let shipped = ShipSnapshot {
        id: wanted.id,
        resource,
        snapshot: name,
        remote: wanted.remote.name,
        remote_uuid: wanted.remote.uuid,
        node,
        started_at: wanted.started_at,
        base,
        own_snapshot,
        target: wanted.target,
        identity: wanted.identity,
        asked_at: None,
        accepted: false,
        receiver: None,
        failure: None,
        told: false,
        step: Step::Take,
    };
    Ok(tx.plan(|draft, observed, seeds| {
        let resource = shipped.resource.clone();
        let id = ship_snapshot::begin(draft, shipped, seeds.now_ms);
        process::advance(draft, observed, &resource, seeds.now_ms);
        id
    }))
}

/// Whether the part of a snapshot on a node is in thin pools of LVM, and not encrypted.
fn is_thin(tx: &Transaction<'_>, row: &SnapshotDefinition, node: &NodeName) -> bool {
    let Some(part) = row.on(node) else {
        return false;
    };
    let layers = &part.resource.layer_stack;
    let mut pools = part.volumes.values().map(|volume| {
        let data = volume.storage.get(&StorageSuffix::Data)?;
        tx.pool(node, &data.pool).map(|pool| pool.kind)
    });
    !layers.contains(&linstor_api::kind::LayerKind::Luks)
        && pools.all(|kind| kind == Some(ProviderKind::LvmThin))
}

/// The snapshot that the other cluster has, and the nodes that have it too.
fn find_base(
    tx: &Transaction<'_>,
    row: &SnapshotDefinition,
    nodes: &BTreeSet<NodeName>,
    there: &There,
) -> Option<(Base, BTreeSet<NodeName>)> {
    let mut rows = tx.snapshots_of(&row.resource);
    let base = rows.find(|base| base.uuid == there.uuid)?;
    let is_usable = base.is_successful()
        && base.uuid != row.uuid
        && base.sequence_number < row.sequence_number
        && tx
            .deletion_of_snapshot(&base.resource, &base.name)
            .is_none();
    if !is_usable {
        return None;
    }
    let sizes = |of: &SnapshotDefinition, node: &NodeName| -> Option<Vec<(u32, u64, u64)>> {
        let part = of.on(node)?;
        let volumes = part.volumes.iter();
        let sizes = volumes.map(|(number, volume)| {
            let data = volume.storage.get(&StorageSuffix::Data)?;
            Some((*number, data.size_kib, of.volumes.get(number)?.size_kib))
        });
        sizes.collect()
    };
    // Replicas that may differ are no base of each other.
    let sender = shipped_by(base);
    let having = nodes.iter().filter(|node| {
        let same_replica = !base.may_differ || sender.as_deref() == Some(node.as_str());
        let then = sizes(base, node);
        same_replica && then.is_some() && then == sizes(row, node)
    });
    let having: BTreeSet<NodeName> = having.cloned().collect();
    let found = Base {
        snapshot: base.name.clone(),
        uuid: base.uuid,
        there: there.snapshot.clone(),
        node: there.node.clone(),
    };
    (!having.is_empty()).then_some((found, having))
}

/// The node that has shipped a snapshot, as its properties say; none if several remotes disagree.
fn shipped_by(base: &SnapshotDefinition) -> Option<String> {
    let suffix = format!("/{}", prop::BACKUP_SOURCE_NODE);
    let mut nodes = base.props.iter().filter_map(|(key, value)| {
        let of_remote = key.starts_with(prop::BACKUP_SOURCE_NAMESPACE) && key.ends_with(&suffix);
        of_remote.then_some(value)
    });
    let first = nodes.next()?;
    nodes.all(|node| node == first).then(|| first.clone())
}

/// The shipment with a label.
fn labelled(model: &Model, label: &str) -> Option<ProcessId> {
    let mut all = model.outbounds();
    all.find(|(_, of)| of.label() == label).map(|(id, _)| id)
}

fn unknown(label: &str) -> Reply {
    let message = format!("The shipment '{}' is not known.", label.escape_debug());
    Reply::new(code::FAIL_NOT_FOUND_BACKUP | code::MASK_BACKUP, message)
        .cause("It has ended, or was aborted.")
        .correction("Ship the snapshot again.")
}

/// The other cluster says where a shipment is received.
pub async fn receive(cluster: &Cluster, said: Receive) -> Vec<Reply> {
    let work = async {
        let label = said.src_stlt_remote_name.clone();
        let id = labelled(&cluster.model(), &label).ok_or_else(|| unknown(&label))?;
        let model = cluster.model();
        let remote = model.outbound(id).map(|of| of.remote.to_string());
        let remote = remote.unwrap_or_default();
        if !said.can_receive {
            let why = first_error(&said.responses, &remote);
            let why = why.unwrap_or_else(|| {
                Reply::new(code::FAIL_UNKNOWN_ERROR, "The snapshot was not shipped.")
                    .cause("The other cluster cannot receive it.")
            });
            return end(cluster, id, Some(why)).await;
        }
        let invalid = |what: &str| {
            Reply::new(code::FAIL_INVLD_REQUEST | code::MASK_BACKUP, what)
                .cause(
                    "A shipment is sent to an address, a TCP port and a node with a certificate.",
                )
                .correction("Ship the snapshot again.")
        };
        let address = said.dst_stlt_ip.parse::<IpAddr>();
        let address = address.map_err(|_| invalid("The address of the node is not valid."))?;
        let port = said.dst_stlt_ports.values().next().copied();
        let port = port.filter(|port| *port > 0);
        let port = port.ok_or_else(|| invalid("There is no TCP port."))?;
        let certificate = said.dst_certificate.unwrap_or_default();
        check_certificate(&certificate)?;
        let committed =
            cluster.commit(move |tx| {
                let receiver = Receiver {
                    id: tx.uuid(),
                    address,
                    port,
                    certificate,
                };
                Ok(tx.plan(|draft, _, seeds| {
                    ship_snapshot::receive(draft, id, receiver, seeds.now_ms)
                }))
            });
        match committed.await?.value {
            true => Ok(vec![Reply::new(
                code::MASK_INFO | code::MASK_BACKUP,
                "It is sent there.",
            )]),
            false => Err(unknown(&label).into()),
        }
    };
    run(work).await
}

async fn end(
    cluster: &Cluster,
    id: ProcessId,
    failure: Option<Reply>,
) -> Result<Vec<Reply>, Refusal> {
    let committed = cluster.commit(move |tx| {
        tx.plan(|draft, _, seeds| ship_snapshot::ended(draft, id, failure, seeds.now_ms));
        Ok(())
    });
    committed.await?;
    Ok(vec![Reply::new(
        code::MASK_INFO | code::MASK_BACKUP,
        "The shipment has ended.",
    )])
}

/// The other cluster says how a shipment ended.
pub async fn done(cluster: &Cluster, said: Done) -> Vec<Reply> {
    let work = async {
        let model = cluster.model();
        let Some(id) = labelled(&model, &said.stlt_remote_name) else {
            // It was said before.
            return Ok(vec![Reply::new(
                code::MASK_INFO | code::MASK_BACKUP,
                "The shipment has ended already.",
            )]);
        };
        let remote = model.outbound(id).map(|of| of.remote.to_string());
        let failure = first_error(&said.responses, &remote.unwrap_or_default());
        end(cluster, id, failure).await
    };
    run(work).await
}

/// The other cluster, which sends or receives them, ends shipments.
pub async fn abort(cluster: &Cluster, said: Abort) -> Vec<Reply> {
    let work = async {
        let remote = remote_of(&cluster.model(), &said.cluster_id)?;
        let named = said.rsc_and_snap_names_to_abort;
        let sender = said.cluster_id.parse::<Uuid>().unwrap_or_default();
        let committed = cluster.commit(move |tx| {
            let is_named = |resource: &ResourceName, snapshot: &str| {
                named.iter().any(|(name, snapshots)| {
                    resource.as_str().eq_ignore_ascii_case(name)
                        && snapshots.iter().any(|given| {
                            // LINSTOR appends what it calls the cluster that has sent it.
                            let rest = given.strip_prefix(snapshot);
                            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
                        })
                })
            };
            let inbound: Vec<ProcessId> = tx
                .received_from(sender)
                .filter(|(_, of, peer)| is_named(&of.resource, &peer.snapshot))
                .map(|(id, _, _)| id)
                .collect();
            let outbound: Vec<ProcessId> = tx
                .outbounds()
                .filter(|(_, of)| of.remote_uuid == remote.uuid)
                .filter(|(_, of)| is_named(&of.resource, of.snapshot.as_str()))
                .map(|(id, _)| id)
                .collect();
            let count = inbound.len() + outbound.len();
            for id in inbound {
                tx.plan(|draft, observed, seeds| {
                    process::peer::aborted(draft, id);
                    if let Some(process) = draft.processes.get(&id).cloned() {
                        // One that takes back already what it did goes on with that.
                        let _ended = process::cancel(draft, observed, &process, seeds.now_ms);
                    }
                });
            }
            for id in outbound {
                tx.plan(|draft, _, seeds| ship_snapshot::aborted(draft, id, seeds.now_ms));
            }
            Ok(count)
        });
        let count = committed.await?.value;
        let message = format!("{count} shipments are ended.");
        Ok(vec![Reply::new(
            code::MASK_INFO | code::MASK_BACKUP,
            message,
        )])
    };
    run(work).await
}
