//! What is made of snapshots: volume definitions and resources of other resource definitions, with the data.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::secret_text::SecretText;
use linstor_api::snapshot::SnapshotRestore;
use linstor_model::name::{NodeName, ResourceName, SnapshotName};
use linstor_model::process::restore_backup::RestoreBackup;
use linstor_model::resource::{RenamedPools, prepare_restore, restore_resource};
use linstor_model::{Model, Observed, SnapshotDefinition};
use tokio::time::Instant;

use super::super::reply::{exists, not_found};
use super::super::request::{Context, WAIT, Wait};
use super::super::volume_definition::create::NewVolumeDefinition;
use super::super::{name, resource, resource_definition, storage_pool, volume_definition};
use super::label;
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

fn missing(name: &ResourceName, snapshot: &SnapshotName) -> Refusal {
    not_found(code::FAIL_NOT_FOUND_SNAPSHOT_DFN, &label(name, snapshot)).into()
}

/// A snapshot, and the definition that something of it is restored into.
struct Target {
    name: ResourceName,
    snapshot: SnapshotName,
    to: ResourceName,
}

impl Target {
    /// The snapshot, if it was taken and is not being deleted.
    fn usable(&self, tx: &Transaction<'_>) -> Result<SnapshotDefinition, Refusal> {
        name::known_definition(tx, &self.name)?;
        let target = name::known_definition(tx, &self.to)?;
        let row = tx.snapshot(&self.name, &self.snapshot);
        let row = row.ok_or_else(|| missing(&self.name, &self.snapshot))?;
        resource_definition::check_not_deleting(tx, target)?;
        if row.is_successful() {
            return Ok(SnapshotDefinition::clone(row));
        }
        let message = format!(
            "The {} cannot be restored.",
            label(&self.name, &self.snapshot)
        );
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message);
        let cause = match &row.failure {
            Some(failure) => format!("It was not taken: {}", failure.message),
            None => "It is not taken yet.".to_owned(),
        };
        Err(reply
            .cause(cause)
            .correction("Restore a snapshot that is successful.")
            .into())
    }
}

/// Makes volume definitions as a snapshot has them, with the same numbers and sizes: all or none of them.
pub async fn restore_volume_definitions(
    cluster: &Cluster,
    name: String,
    snapshot: String,
    request: SnapshotRestore,
) -> Vec<Reply> {
    let to = request.to_resource.unwrap_or_default();
    let object = format!("Volume definitions of resource: {to}");
    let parse = || {
        Ok(Target {
            to: name::resource(&to)?,
            snapshot: name::snapshot(&snapshot)?,
            name: name::resource(&name)?,
        })
    };
    Context::new(code::MASK_SNAPSHOT | code::MASK_CRT, object)
        .change(cluster, parse, add_volume_definitions)
        .await
}

fn add_volume_definitions(tx: &mut Transaction<'_>, target: Target) -> Result<Wait, Refusal> {
    let snapshot = target.usable(tx)?;
    let definition = name::known_definition(tx, &target.to)?.clone();
    let mut numbers = snapshot.volumes.keys();
    if let Some(number) = numbers.find(|number| definition.volumes.contains_key(number)) {
        let to = &definition.name;
        let what =
            format!("volume definition with number '{number}' of resource definition '{to}'");
        return Err(exists(code::FAIL_EXISTS_VLM_DFN, &what).into());
    }
    define_volumes(tx, &target.to, &snapshot, &[])?;
    let message = format!(
        "Volume definitions of resource definition '{}' restored from resource '{}', snapshot '{}'.",
        definition.name, snapshot.resource, snapshot.name
    );
    tx.reply(Reply::new(code::DELETED, message).details("Resource UUIDs: "));
    Ok(Wait::Nothing)
}

/// Makes volume definitions as a snapshot has them. Those for which a passphrase is given get it in the place of the key
/// that comes with their data.
pub(in super::super) fn define_volumes(
    tx: &mut Transaction<'_>,
    to: &ResourceName,
    snapshot: &SnapshotDefinition,
    passphrases: &[SecretText],
) -> Result<(), Refusal> {
    let replies = tx.reply_count();
    let mut passphrases = passphrases.iter();
    for (number, volume) in &snapshot.volumes {
        let given = passphrases.next().filter(|text| !text.reveal().is_empty());
        let new = NewVolumeDefinition {
            number: Some(*number),
            size_kib: i64::try_from(volume.size_kib).unwrap_or(i64::MAX),
            gross_size: volume.gross_size,
            passphrase: given
                .map(volume_definition::create::passphrase)
                .transpose()?,
            ..NewVolumeDefinition::default()
        };
        volume_definition::create::add(tx, to, new)?;
    }
    tx.truncate_replies(replies);
    tx.edit_resource_definition(to, |row| {
        for (number, volume) in &mut row.volumes {
            // Its key comes with its data.
            volume.encrypted |= snapshot.volumes.get(number).is_some_and(|v| v.encrypted);
        }
    });
    Ok(())
}

/// Makes resources of a definition without any, with the data of a snapshot.
pub async fn restore_resources(
    cluster: &Cluster,
    name: String,
    snapshot: String,
    request: SnapshotRestore,
) -> Vec<Reply> {
    let to = request.to_resource.clone().unwrap_or_default();
    let given: Vec<&str> = request.nodes.iter().map(String::as_str).collect();
    let nodes = match given.is_empty() {
        true => String::new(),
        false => format!("Nodes: {}; ", given.join(", ")),
    };
    let context = Context::new(
        code::MASK_RSC | code::MASK_CRT,
        format!("{nodes}Resource: {to}"),
    )
    .about("RscDfn", &to);
    let work = async {
        let target = Target {
            to: name::resource(&to).map_err(Refusal::plain)?,
            snapshot: name::snapshot(&snapshot)?,
            name: name::resource(&name)?,
        };
        let (given, renamed) = (parse_nodes(&request.nodes)?, parse_pools(&request)?);
        let to = target.to.clone();
        storage_pool::refresh_thin(cluster).await;
        let committed = cluster.commit(move |tx| add_resources(tx, &target, &given, &renamed));
        let committed = committed.await?;
        let mut replies = committed.replies;
        let deployed = resource::deployed(cluster, &to, &committed.value, committed.generation);
        replies.extend(deployed.await.into_iter().map(as_restored));
        if !replies.iter().any(|reply| code::is_error(reply.ret_code)) {
            wait_restored(cluster, &to).await;
        }
        Ok(replies)
    };
    context.run(work).await
}

/// What LINSTOR says about resources while it restores them is said about the snapshot.
fn as_restored(mut reply: Reply) -> Reply {
    if reply.ret_code == code::MODIFIED {
        reply.ret_code |= code::MASK_SNAPSHOT | code::MASK_CRT;
    }
    reply
}

fn parse_nodes(given: &[String]) -> Result<Vec<NodeName>, Refusal> {
    let named = given.iter().filter(|name| !name.is_empty());
    named.map(|name| name::node(name)).collect()
}

fn parse_pools(request: &SnapshotRestore) -> Result<RenamedPools, Refusal> {
    let renamed = request.stor_pool_rename.iter();
    renamed
        .map(|(from, to)| Ok((name::pool(from)?, name::pool(to)?)))
        .collect()
}

/// Waits until nodes that are online have reported that their volumes are made: then the snapshot can be deleted.
pub(in super::super) async fn wait_restored(cluster: &Cluster, name: &ResourceName) {
    let deadline = Instant::now() + WAIT;
    let done = |model: &Model, observed: &Observed| {
        let mut rows = model.resources_of(name);
        let left = rows.any(|row| row.is_being_restored() && observed.is_online(&row.node));
        (!left).then_some(())
    };
    let _ = cluster.wait_until(name, deadline, done).await;
}

fn add_resources(
    tx: &mut Transaction<'_>,
    target: &Target,
    given: &[NodeName],
    renamed: &RenamedPools,
) -> Result<Vec<NodeName>, Refusal> {
    let snapshot = target.usable(tx)?;
    let to = name::known_definition(tx, &target.to)?.name.clone();
    if tx.resources_of(&to).next().is_some() {
        let message = "Cannot restore to resource definition which already has resources";
        return Err(Reply::new(code::FAIL_EXISTS_RSC, message)
            .cause(format!("Resource definition '{to}' has resources."))
            .correction("Restore into a new resource definition.")
            .into());
    }
    let nodes = nodes_of(tx, &snapshot, given)?;
    restore(tx, &to, &snapshot, &nodes, renamed)?;
    if tx
        .definitions
        .get(&to)
        .is_some_and(|row| row.volumes.is_empty())
    {
        let text = format!("No volumes have been defined for resource '{to}'");
        tx.reply(Reply::new(code::WARN_NOT_FOUND, text));
    }
    let rows: Vec<_> = tx
        .resources_of(&to)
        .map(|row| row.uuid.to_string())
        .collect();
    let on = match given.is_empty() {
        true => String::new(),
        false => {
            let names: Vec<String> = given.iter().map(|node| format!("'{node}'")).collect();
            format!(" on nodes {}", names.join(", "))
        }
    };
    let message = format!(
        "Resource '{to}'{on} restored from resource '{}', snapshot '{}'.",
        snapshot.resource, snapshot.name
    );
    let reply = Reply::new(code::CREATED, message);
    tx.reply(reply.details(format!("Resource UUIDs: {}", rows.join(", "))));
    Ok(nodes.into_iter().collect())
}

/// Makes the resource of a snapshot that a backup has become.
pub(crate) fn restore_backup(
    tx: &mut Transaction<'_>,
    backup: &RestoreBackup,
) -> Result<(), Refusal> {
    let target = Target {
        name: backup.resource.clone(),
        snapshot: backup.snapshot.clone(),
        to: backup.resource.clone(),
    };
    let nodes = [backup.node.clone()];
    add_resources(tx, &target, &nodes, &RenamedPools::new()).map(drop)
}

/// Makes resources of a snapshot on these nodes, which have parts of it.
pub(in super::super) fn restore(
    tx: &mut Transaction<'_>,
    to: &ResourceName,
    snapshot: &SnapshotDefinition,
    nodes: &BTreeSet<NodeName>,
    renamed: &RenamedPools,
) -> Result<(), Refusal> {
    tx.plan(|draft, _, seeds| prepare_restore(draft, seeds, to, snapshot, nodes))?;
    if tx
        .definitions
        .get(to)
        .is_some_and(|row| row.volumes.is_empty())
    {
        let reply = Reply::new(code::WARN_NOT_FOUND, "No volumes to restore.")
            .cause("The target resource definition has no volume definitions, so that the restored resources are empty.")
            .correction("Restore the volume definitions into the target resource definition first.");
        tx.reply(reply);
    }
    // The node of the first one must be online for the resource to become usable.
    let mut nodes: Vec<&NodeName> = nodes.iter().collect();
    nodes.sort_by_key(|node| !tx.observed.is_online(node));
    for part in nodes.into_iter().filter_map(|node| snapshot.on(node)) {
        let (_, warnings) = tx.plan(|draft, observed, seeds| {
            restore_resource(draft, observed, seeds, to, snapshot, part, renamed)
        })?;
        tx.replies(warnings);
    }
    Ok(())
}

/// The nodes that resources are restored on: those that were named, or all with a part of the snapshot that can have
/// resources.
fn nodes_of(
    tx: &mut Transaction<'_>,
    snapshot: &SnapshotDefinition,
    given: &[NodeName],
) -> Result<BTreeSet<NodeName>, Refusal> {
    let mut nodes = BTreeSet::new();
    for node in given {
        let node = name::known_node(tx, node)?.name.clone();
        if snapshot.on(&node).is_none() {
            let what = label(&snapshot.resource, &snapshot.name);
            let names: Vec<&str> = snapshot.snapshots.keys().map(NodeName::as_str).collect();
            return Err(not_found(
                code::FAIL_NOT_FOUND_SNAPSHOT,
                &format!("{what} on node '{node}'"),
            )
            .cause("A resource is made of the part of the snapshot that its node has.")
            .correction(format!(
                "Name nodes with a part of it: {}. Resources on others can be created afterwards.",
                names.join(", ")
            ))
            .about("Node", node.as_str())
            .into());
        }
        check_kept(tx, snapshot, &node)?;
        nodes.insert(node);
    }
    if !given.is_empty() {
        return Ok(nodes);
    }
    for node in snapshot.snapshots.keys() {
        let leaves = tx.node(node).is_some_and(|row| row.evacuate || row.evicted);
        if leaves {
            let message = format!("Nothing is restored on node '{node}': it is evacuated.");
            let reply = Reply::new(code::MASK_WARN, message);
            tx.reply(reply.about("Node", node.as_str()));
            continue;
        }
        check_kept(tx, snapshot, node)?;
        nodes.insert(node.clone());
    }
    match nodes.is_empty() {
        false => Ok(nodes),
        true => Err(Reply::new(
            code::FAIL_EVACUATING,
            format!(
                "The {} cannot be restored.",
                label(&snapshot.resource, &snapshot.name)
            ),
        )
        .cause("All nodes that have a part of it are evacuated.")
        .correction("Restore one of the nodes first ('linstor node restore').")
        .into()),
    }
}

/// Refuses while the part of a node is being deleted.
fn check_kept(
    tx: &Transaction<'_>,
    snapshot: &SnapshotDefinition,
    node: &NodeName,
) -> Result<(), Refusal> {
    let (name, own) = (&snapshot.resource, &snapshot.name);
    let deletion = tx.deletion_of_snapshot(name, own);
    if !deletion.is_some_and(|(_, deletion)| deletion.nodes.contains(node)) {
        return Ok(());
    }
    let message = format!("The {} cannot be restored.", label(name, own));
    Err(Reply::new(code::FAIL_RSC_BUSY, message)
        .cause(format!("It is being deleted on node '{node}'."))
        .correction("Restore another snapshot, or take a new one.")
        .about("Node", node.as_str())
        .into())
}
