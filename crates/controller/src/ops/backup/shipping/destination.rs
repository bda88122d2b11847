//! The cluster that receives: says what a snapshot can be based on, and accepts shipments.

use std::collections::BTreeMap;
use std::net::IpAddr;

use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::sorted_map::SortedMap;
use linstor_api::{code, prop};
use linstor_model::name::{NodeName, ResourceName, SnapshotName, StoragePoolName};
use linstor_model::process::peer::{self, Base, Peer};
use linstor_model::process::{self, ProcessId};
use linstor_model::{Model, SnapshotDefinition, space};
use uuid::Uuid;

use super::super::super::{name, storage_pool};
use super::super::restore::{self, Plan, Stack};
use super::conversation::{Entry, PrevSnap, PrevSnapAnswer, Ship, ShipAnswer};
use super::{check_certificate, new_identity, not_alike, remote_of};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// The digits of a number in base 36.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// How many of them are appended to names of snapshots.
const SHORT_DIGITS: usize = 8;
/// Longest name of a snapshot.
const NAME_BYTES_MAX: usize = 48;

fn entries(cluster: &Cluster, Refusal(replies): Refusal) -> Vec<Entry> {
    let now_ms = cluster.env().now_ms();
    let entries = replies.iter().map(|reply| Entry::new(reply, now_ms));
    entries.collect()
}

/// A cluster asks whether its snapshot can be received, and what it can be based on.
pub fn prev_snap(cluster: &Cluster, said: &PrevSnap, is_alike: bool) -> PrevSnapAnswer {
    match find_base(cluster, said, is_alike) {
        Ok(answer) => answer,
        Err(refusal) => PrevSnapAnswer {
            responses: entries(cluster, refusal),
            ..PrevSnapAnswer::default()
        },
    }
}

fn find_base(
    cluster: &Cluster,
    said: &PrevSnap,
    is_alike: bool,
) -> Result<PrevSnapAnswer, Refusal> {
    let (model, observed) = (cluster.model(), cluster.observed());
    remote_of(&model, &said.src_cluster_id)?;
    if !is_alike {
        return Err(not_alike("The cluster that sends it").into());
    }
    let resource = name::resource(&said.dst_rsc_name)?;
    let node = said.dst_node_name.as_ref().filter(|text| !text.is_empty());
    let node = node.map(|text| name::node(text)).transpose()?;
    if let Some(node) = &node {
        name::known_node(&model, node)?;
    }
    let mut answer = PrevSnapAnswer {
        can_receive: true,
        ..PrevSnapAnswer::default()
    };
    let mut best: Option<(&SnapshotDefinition, String, &NodeName)> = None;
    for row in model.snapshots_of(&resource) {
        let uuid = source_uuid(row);
        let is_usable = row.is_successful()
            && said.src_snap_dfn_uuids.contains(&uuid)
            && model.deletion_of_snapshot(&resource, &row.name).is_none();
        let newer = best
            .as_ref()
            .is_none_or(|(best, ..)| row.sequence_number > best.sequence_number);
        let mut nodes = row.snapshots.keys();
        let on =
            nodes.find(|on| node.as_ref().is_none_or(|node| node == *on) && observed.is_online(on));
        if let Some(on) = on.filter(|_| is_usable && newer) {
            best = Some((row, uuid, on));
        }
    }
    if let Some((row, uuid, on)) = best {
        answer.prev_snap_uuid = Some(uuid);
        answer.dst_base_snap_name = Some(row.name.to_string());
        answer.dst_actual_node_name = Some(on.to_string());
    }
    Ok(answer)
}

/// Identity of a snapshot in the cluster that has sent it.
fn source_uuid(row: &SnapshotDefinition) -> String {
    let sent = row.props.get(prop::SOURCE_SNAPSHOT_UUID).cloned();
    sent.unwrap_or_else(|| row.uuid.to_string())
}

/// What is appended to the names of snapshots of another cluster: the same for all of them.
fn short(cluster: Uuid) -> String {
    let mut number = cluster.as_u128();
    let digits = (0..SHORT_DIGITS).map(|_| {
        let digit = usize::try_from(number % 36).expect("it is below 36");
        number /= 36;
        char::from(DIGITS[digit])
    });
    digits.collect()
}

/// The name that a snapshot of another cluster gets.
fn named(snapshot: &str, from: Uuid, own: Uuid) -> String {
    if from == own {
        return snapshot.to_owned();
    }
    let short = short(from);
    let room = NAME_BYTES_MAX - short.len() - 1;
    let kept: String = snapshot.chars().take(room).collect();
    format!("{kept}_{short}")
}

/// A cluster asks to receive a snapshot.
pub async fn ship(cluster: &Cluster, said: Ship, is_alike: bool) -> ShipAnswer {
    match accept(cluster, said, is_alike).await {
        Ok(()) => ShipAnswer {
            can_receive: true,
            responses: Vec::new(),
        },
        Err(refusal) => ShipAnswer {
            can_receive: false,
            responses: entries(cluster, refusal),
        },
    }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn refused(id: &str, ret_code: i64, cause: impl Into<String>, correction: &str) -> Refusal {
    restore::refused(id, ret_code, cause, correction)
}

async fn accept(cluster: &Cluster, said: Ship, is_alike: bool) -> Result<(), Refusal> {
    let remote = remote_of(&cluster.model(), &said.src_cluster_id)?;
    let certificate = given(&said.src_certificate).map(str::to_owned);
    let Some(certificate) = certificate.filter(|_| is_alike) else {
        return Err(not_alike("The cluster that sends it").into());
    };
    check_certificate(&certificate)?;
    let from = said.src_cluster_id.parse::<Uuid>().unwrap_or_default();
    let label = said.src_stlt_remote_name.clone();
    if is_known(cluster, from, &label).await? {
        return Ok(());
    }
    let target = name::resource(&said.dst_rsc_name)?;
    let id = format!("{}_{}", said.meta_data.rsc_name, said.src_backup_name);
    let id: String = id.chars().filter(|c| !c.is_control()).take(120).collect();
    // It is the last part of what the sender calls it.
    let shipment = label
        .rsplit('_')
        .next()
        .and_then(|text| text.parse::<Uuid>().ok());
    let shipment = shipment.ok_or_else(|| {
        let cause = "The other cluster does not say which shipment it is.";
        refused(&id, code::FAIL_INVLD_REQUEST, cause, "Ship it again.")
    })?;
    storage_pool::refresh_thin(cluster).await;
    let meta = said.meta_data.as_ref().clone();
    let stack = restore::stack(&id, &meta)?;
    if stack.layers.contains(&LayerKind::Luks) {
        let cause = "Encrypted volumes cannot be shipped yet.";
        let correction = "Back it up to an S3 remote instead.";
        return Err(refused(&id, code::FAIL_INVLD_LAYER_KIND, cause, correction));
    }
    let model = cluster.model();
    let base = find_given_base(&model, &id, &target, &said)?;
    let mut renamed: SortedMap<String, String> =
        said.stor_pool_rename_map.clone().into_iter().collect();
    if let Some(pool) = given(&said.dst_stor_pool) {
        renamed.get_or_insert_with("*".to_owned(), || pool.to_owned());
    }
    let (node, volumes) = match &base {
        Some((row, node)) => (node.clone(), as_base(&id, row, node, &stack)?),
        None => choose(cluster, &id, given(&said.dst_node_name), &stack, &renamed)?,
    };
    if volumes.keys().ne(meta.rsc_dfn.vlm_dfns.keys()) {
        let cause = "Its description does not have the same volumes everywhere.";
        return Err(refused(
            &id,
            code::FAIL_INVLD_BACKUP_CONFIG,
            cause,
            "Ship it again.",
        ));
    }
    for (pool, _) in volumes.values() {
        let row = name::known_pool(&model, &node, pool)?;
        if row.kind != ProviderKind::LvmThin {
            let cause = format!(
                "Storage pool '{pool}' on node '{node}' is of kind {}.",
                row.kind
            );
            let correction = "Ship it to a pool of kind LVM_THIN ('--target-storage-pool').";
            return Err(refused(
                &id,
                code::FAIL_INVLD_STOR_DRIVER,
                cause,
                correction,
            ));
        }
    }
    restore::check_space(cluster, &id, &node, &stack, &volumes)?;
    if said.force_restore {
        restore::check_no_resources(&model, &id, &target)?;
    }
    let address = address(&model, &id, &node, given(&said.dst_node_net_if_name))?;
    let own = model.controller.cluster_id;
    let peer = Peer {
        cluster: from,
        resource: said.src_rsc_name.clone(),
        snapshot: said.src_backup_name.clone(),
        remote: said.src_l2l_remote_name.clone(),
        label,
        shipment,
        address,
        port: 0,
        busy: Default::default(),
        identity: new_identity(shipment)?,
        certificate,
        base: base.map(|(row, _)| Base {
            snapshot: row.name,
            uuid: row.uuid,
        }),
        announced: false,
        told: false,
    };
    let plan = Plan {
        remote: remote.name.clone(),
        remote_uuid: remote.uuid,
        snapshot: named(&said.src_backup_name, from, own),
        id,
        meta,
        peer: Some(peer),
        objects: volumes.keys().map(|number| (*number, Vec::new())).collect(),
        node,
        target,
        volumes,
        keys: BTreeMap::new(),
        group: given(&said.dst_rsc_grp).map(str::to_owned),
        moves_group: said.force_rsc_grp,
        download_only: said.download_only,
        replaces: false,
    };
    cluster.commit(move |tx| begin(tx, plan)).await?;
    Ok(())
}

/// Whether a shipment is being received already: it is said again where.
async fn is_known(cluster: &Cluster, from: Uuid, label: &str) -> Result<bool, Refusal> {
    let find = |model: &Model| {
        let mut all = model.received_from(from);
        all.find(|(_, _, peer)| peer.label == label)
            .map(|(id, of, _)| (id, of.failure.is_some()))
    };
    match find(&cluster.model()) {
        None => Ok(false),
        Some((_, true)) => {
            let cause = "It is being removed, as it could not be received.";
            Err(refused(label, code::FAIL_IN_USE, cause, "Ship it again."))
        }
        Some((id, false)) => {
            let committed = cluster.commit(move |tx| {
                tx.plan(|draft, _, _| peer::announce_again(draft, id));
                Ok(())
            });
            committed.await.map(|_| true)
        }
    }
}

/// The snapshot that the sender says it is based on, and the node that has it.
fn find_given_base(
    model: &Model,
    id: &str,
    target: &ResourceName,
    said: &Ship,
) -> Result<Option<(SnapshotDefinition, NodeName)>, Refusal> {
    let Some(base) = given(&said.dst_base_snap_name) else {
        return Ok(None);
    };
    let node = name::node(given(&said.dst_actual_node_name).unwrap_or_default())?;
    let snapshot = SnapshotName::parse(base).ok();
    let row = snapshot.and_then(|snapshot| model.snapshot(target, &snapshot));
    let row = row.filter(|row| row.is_successful() && row.on(&node).is_some());
    match row {
        Some(row) => Ok(Some((SnapshotDefinition::clone(row), node))),
        None => {
            let cause = format!(
                "The snapshot '{}' that it is based on is not on node '{node}' any more.",
                base.escape_debug()
            );
            Err(refused(
                id,
                code::FAIL_NOT_FOUND_SNAPSHOT,
                cause,
                "Ship it again.",
            ))
        }
    }
}

/// Pools and sizes of the volumes of a base, which have to be those of what is based on it.
fn as_base(
    id: &str,
    row: &SnapshotDefinition,
    node: &NodeName,
    stack: &Stack<'_>,
) -> Result<BTreeMap<u32, (StoragePoolName, u64)>, Refusal> {
    let other = || {
        let cause = format!(
            "Its volumes are not those of the snapshot '{}' that it is based on.",
            row.name
        );
        refused(
            id,
            code::FAIL_INVLD_VLM_SIZE,
            cause,
            "Ship all of it ('--full').",
        )
    };
    let part = row.on(node).ok_or_else(other)?;
    let mut volumes = BTreeMap::new();
    for volume in &stack.storage {
        let then = part.volumes.get(&volume.vlm_nr);
        let data = then.and_then(|then| then.storage.get(&StorageSuffix::Data));
        let data = data.ok_or_else(other)?;
        let kib = volume.usable_size.and_then(|kib| u64::try_from(kib).ok());
        if kib != Some(data.size_kib) {
            return Err(other());
        }
        volumes.insert(volume.vlm_nr, (data.pool.clone(), data.size_kib));
    }
    Ok(volumes)
}

/// Pools and sizes of the backing volumes by number.
type Volumes = BTreeMap<u32, (StoragePoolName, u64)>;

/// The node that was named, or the one whose pools have the most space.
fn choose(
    cluster: &Cluster,
    id: &str,
    named: Option<&str>,
    stack: &Stack<'_>,
    renamed: &SortedMap<String, String>,
) -> Result<(NodeName, Volumes), Refusal> {
    let (model, observed) = (cluster.model(), cluster.observed());
    if let Some(named) = named {
        let node = name::node(named)?;
        let node = name::known_node(&model, &node)?.name.clone();
        let volumes = restore::placed(&model, id, &node, stack, renamed)?;
        return Ok((node, volumes));
    }
    let mut why = None;
    let mut best: Option<(u64, NodeName, Volumes)> = None;
    for (node, row) in &model.nodes {
        if row.evacuate || row.evicted || !observed.is_online(node) {
            continue;
        }
        let volumes = match restore::placed(&model, id, node, stack, renamed) {
            Ok(volumes) => volumes,
            Err(refusal) => {
                why.get_or_insert(refusal);
                continue;
            }
        };
        let pools = volumes
            .values()
            .filter_map(|(pool, _)| model.pool(node, pool));
        let free = pools.map(|pool| {
            space::of_pool(&model, &observed, pool)
                .free_kib
                .unwrap_or(0)
        });
        let free = free.min().unwrap_or(0);
        if best.as_ref().is_none_or(|(most, ..)| free > *most) {
            best = Some((free, node.clone(), volumes));
        }
    }
    match (best, why) {
        (Some((_, node, volumes)), _) => Ok((node, volumes)),
        (None, Some(refusal)) => Err(refusal),
        (None, None) => {
            let cause = "No node is connected that could receive it.";
            Err(refused(
                id,
                code::FAIL_NOT_CONNECTED,
                cause,
                "Connect a node with a storage pool of kind LVM_THIN.",
            ))
        }
    }
}

/// The address that the other cluster's node sends to.
fn address(
    model: &Model,
    id: &str,
    node: &NodeName,
    interface: Option<&str>,
) -> Result<IpAddr, Refusal> {
    let row = name::known_node(model, node)?;
    let mut all = row.net_interfaces.iter();
    let found = match interface {
        Some(given) => all.find(|of| of.name.as_str().eq_ignore_ascii_case(given)),
        None => all.next(),
    };
    found.map(|of| of.address).ok_or_else(|| {
        let cause = match interface {
            Some(given) => format!(
                "Node '{node}' has no net interface '{}'.",
                given.escape_debug()
            ),
            None => format!("Node '{node}' has no net interface."),
        };
        let correction = "Name one that it has ('--target-net-if').";
        refused(id, code::FAIL_NOT_FOUND_NET_IF, cause, correction)
    })
}

fn begin(tx: &mut Transaction<'_>, mut plan: Plan) -> Result<ProcessId, Refusal> {
    let port = peer::free_port(tx, &plan.node, &Default::default());
    let port = port.ok_or_else(|| {
        let cause = format!(
            "All TCP ports for shipments are in use on node '{}'.",
            plan.node
        );
        let correction = format!(
            "Extend the property '{}'.",
            prop::BACKUP_SHIPPING_TCP_PORT_RANGE
        );
        let ret_code = code::FAIL_POOL_EXHAUSTED_BACKUP_SHIPPING_TCP_PORT;
        refused(&plan.id, ret_code, cause, &correction)
    })?;
    let mut props = Vec::new();
    if let Some(peer) = &mut plan.peer {
        peer.port = port;
        props.push((prop::FROM_CLUSTER_UUID, peer.cluster.to_string()));
        let uuid = plan.meta.snap_dfn_uuid.clone();
        props.extend(uuid.map(|uuid| (prop::SOURCE_SNAPSHOT_UUID, uuid)));
    }
    let (id, _) = restore::begin(tx, plan)?;
    let restored = tx.restoration(id).cloned();
    if let Some(of) = restored.filter(|of| of.own_snapshot) {
        tx.plan(|draft, _, _| {
            draft.edit_snapshot(&of.resource, &of.snapshot, |row| {
                for (key, value) in props {
                    row.props.insert(key.to_owned(), value);
                }
            });
        });
    }
    Ok(id)
}

/// Ends the reception of a shipment that the other cluster does not know any more.
pub async fn forget(cluster: &Cluster, id: ProcessId) -> Result<(), Refusal> {
    let committed = cluster.commit(move |tx| {
        tx.plan(|draft, observed, seeds| {
            peer::aborted(draft, id);
            if let Some(process) = draft.processes.get(&id).cloned() {
                // One that takes back already what it did goes on with that.
                let _ended = process::cancel(draft, observed, &process, seeds.now_ms);
            }
        });
        Ok(())
    });
    committed.await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are those of the snapshots with the same end for the same cluster, and never too long.
    #[test]
    fn snapshots_are_named_after_their_cluster() {
        let (one, own) = (Uuid::from_u128(35 + 36 * 10), Uuid::from_u128(7));
        assert_eq!(named("s1", one, own), "s1_za000000");
        assert_eq!(named("s1", own, own), "s1");
        for length in [1, 38, 39, 40, 48] {
            let name = named(&"a".repeat(length), one, own);
            assert!(SnapshotName::parse(&name).is_ok(), "{name}");
        }
    }
}
