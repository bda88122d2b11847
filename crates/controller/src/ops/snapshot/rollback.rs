//! Rolling a resource back to one of its snapshots.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::kind::ProviderKind;
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_api::snapshot::SnapshotRollback;
use linstor_model::name::{NodeName, ResourceName, SnapshotName};
use linstor_model::process::roll_back::{self, usable_part};
use linstor_model::props::{self, Purpose, Scope};
use linstor_model::snapshot::{self, NewSnapshot, SnapshotReason};
use linstor_model::{Model, Resource, SnapshotDefinition, skip_disk};
use uuid::Uuid;

use super::super::reply::{deleted, not_found};
use super::super::request::wait_done;
use super::super::{name, resource, schedule};
use super::{context, label, volume_entries};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How ZFS volumes return to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// In place.
    Rollback,
    /// Made anew of the snapshot.
    Clone,
    /// In place where that is possible.
    Dynamic,
}

impl Strategy {
    fn parse(text: &str) -> Option<Strategy> {
        match text.to_ascii_lowercase().as_str() {
            "rollback" => Some(Strategy::Rollback),
            "clone" => Some(Strategy::Clone),
            "dynamic" => Some(Strategy::Dynamic),
            _ => None,
        }
    }
}

/// A rollback that has begun.
struct Begun {
    id: Uuid,
    name: ResourceName,
    snapshot: SnapshotName,
    /// The safety snapshot, if there is one.
    safety: Option<SnapshotDefinition>,
    /// The strategy that was asked for and is none.
    unknown: Option<String>,
}

/// Returns a resource to one of its snapshots.
pub async fn rollback(
    cluster: &Cluster,
    name: String,
    snapshot: String,
    request: SnapshotRollback,
) -> Vec<Reply> {
    let work = async {
        let wanted = (name::resource(&name)?, name::snapshot(&snapshot)?);
        let asked = request.zfs_rollback_strategy;
        let committed = cluster.commit(move |tx| begin(tx, &wanted.0, &wanted.1, asked));
        let begun = committed.await?.value;
        let what = format!("resource definition '{}'", begun.name);
        let is_over = |model: &Model| {
            let running = model.rollback_of(&begun.name);
            running.is_none_or(|running| running.id != begun.id) && is_gone(model, &begun)
        };
        let reasons = wait_done(cluster, &begun.name, &what, is_over).await;
        let model = cluster.model();
        let definition = model.definitions.get(&begun.name);
        let last = definition.and_then(|row| row.snapshots.rollback.as_ref());
        match last.filter(|last| last.id == begun.id) {
            Some(last) => match &last.failure {
                Some(failure) => Ok(vec![failure.clone(), unchanged(&begun)]),
                None => Ok([entries(&model, &begun), reasons].concat()),
            },
            None if !reasons.is_empty() => Ok(reasons),
            None => Ok(vec![unchanged(&begun)]),
        }
    };
    context(code::MASK_MOD, &name, &snapshot).run(work).await
}

/// Whether the safety snapshot was deleted.
fn is_gone(model: &Model, begun: &Begun) -> bool {
    let safety = begun.safety.as_ref();
    safety.is_none_or(|row| model.snapshot(&begun.name, &row.name).is_none())
}

fn unchanged(begun: &Begun) -> Reply {
    let message = format!("Resource '{}' was not rolled back.", begun.name);
    Reply::new(code::INFO_ABORTED_FAILED_SNAPSHOT_ROLLBACK, message)
        .details("It has the content that it had before.")
        .about("RscDfn", begun.name.as_str())
        .about("Snapshot", begun.snapshot.as_str())
}

/// The entries about a rollback that was carried out.
fn entries(model: &Model, begun: &Begun) -> Vec<Reply> {
    let (name, snapshot) = (&begun.name, &begun.snapshot);
    let rows: Vec<&Resource> = model.resources_of(name).map(|row| &**row).collect();
    let on_each = |text: &str| {
        let entry = |row: &&Resource| {
            let message = format!("Resource '{name}' on '{}' {text}", row.node);
            Reply::new(code::MODIFIED, message)
        };
        rows.iter().map(entry).collect::<Vec<_>>()
    };
    let mut replies = on_each("taken down");
    let Some(safety) = &begun.safety else {
        replies.extend(on_each(&format!(
            "rolled back to snapshot '{snapshot}' in place"
        )));
        replies.push(restored(begun, &rows));
        return replies;
    };
    let what = label(name, &safety.name);
    for (node, part) in &safety.snapshots {
        let created = volume_entries(model, safety, node, part, code::CREATED, "created");
        replies.extend(created);
        let message = format!("Took {what} on '{node}'");
        replies.push(Reply::new(code::MODIFIED, message));
    }
    replies.extend(on_each("is rolled back"));
    let message = format!("Volumes of resource definition '{name}' are made anew.");
    replies.push(Reply::new(code::DELETED, message));
    for row in &rows {
        replies.extend(resource::volume_entries(
            model,
            row,
            code::DELETED,
            "deleted",
        ));
        let message = format!("Volumes of resource '{name}' on '{}' removed", row.node);
        replies.push(Reply::new(code::MODIFIED, message));
    }
    replies.push(restored(begun, &rows));
    for row in &rows {
        replies.extend(resource::volume_entries(
            model,
            row,
            code::CREATED,
            "created",
        ));
    }
    replies.extend(on_each("is up"));
    for (node, part) in &safety.snapshots {
        let message = format!("Marked snapshot for deletion {what} on nodes '{node}'");
        replies.push(Reply::new(code::DELETED, message));
        replies.extend(volume_entries(
            model,
            safety,
            node,
            part,
            code::DELETED,
            "deleted",
        ));
        let message = format!("Deleted snapshot '{}' of '{name}' on '{node}'", safety.name);
        replies.push(Reply::new(code::MODIFIED, message));
    }
    let nodes: Vec<&str> = safety.snapshots.keys().map(NodeName::as_str).collect();
    let message = format!("{what} on nodes '{}' deleted.", nodes.join(", "));
    replies.push(Reply::new(code::DELETED, message));
    replies.push(deleted(&what, safety.uuid));
    replies.extend(rows.iter().map(|row| {
        let deployed = code::MASK_RSC | code::MASK_CRT;
        Reply::new(deployed, "Resource already deployed as requested")
            .about("Node", row.node.as_str())
    }));
    for reply in &mut replies {
        // Those of the safety snapshot too are about the rollback.
        reply
            .obj_refs
            .insert("Snapshot".to_owned(), snapshot.to_string());
    }
    replies
}

fn restored(begun: &Begun, rows: &[&Resource]) -> Reply {
    let (name, snapshot) = (&begun.name, &begun.snapshot);
    let message =
        format!("Resource '{name}' restored from resource '{name}', snapshot '{snapshot}'.");
    let uuids: Vec<String> = rows.iter().map(|row| row.uuid.to_string()).collect();
    let mut details = format!("Resource UUIDs: {}", uuids.join(", "));
    if let Some(unknown) = &begun.unknown {
        let shown: String = unknown.escape_debug().take(100).collect();
        details.push_str(&format!(
            "\nThere is no strategy '{shown}'; the default was used."
        ));
    }
    Reply::new(code::MASK_RSC | code::MASK_CRT | code::CREATED, message).details(details)
}

fn begin(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    snapshot: &SnapshotName,
    asked: Option<String>,
) -> Result<Begun, Refusal> {
    name::known_definition(tx, name)?;
    let Some(row) = tx.snapshot(name, snapshot).cloned() else {
        let what = label(name, snapshot);
        return Err(not_found(code::FAIL_NOT_FOUND_SNAPSHOT_DFN, &what).into());
    };
    let (name, snapshot) = (&row.resource, &row.name);
    let given = asked.filter(|text| !text.is_empty());
    let strategy = given.as_deref().map(Strategy::parse);
    let unknown = given.filter(|_| strategy == Some(None));
    let strategy = strategy.flatten().unwrap_or_else(|| configured(tx, name));
    let mut obstacles = obstacles(tx, &row);
    let in_place = match strategy {
        _ if !is_all_zfs(tx, name) => false,
        Strategy::Clone => false,
        Strategy::Dynamic => newer(tx, &row).is_none(),
        Strategy::Rollback => {
            obstacles.extend(newer(tx, &row));
            true
        }
    };
    if !obstacles.is_empty() {
        return Err(obstacles.into());
    }
    let nodes = tx.resources_of(name).filter(|row| !row.is_diskless());
    let nodes: BTreeSet<NodeName> = nodes.map(|row| row.node.clone()).collect();
    let (id, suffix) = (tx.uuid(), tx.uuid());
    let new = NewSnapshot {
        resource: name.clone(),
        name: name::snapshot(&format!(
            "safety-snap-{}",
            &suffix.simple().to_string()[..10]
        ))?,
        nodes,
        reason: SnapshotReason::Safety,
        props: Default::default(),
    };
    let safety = tx.plan(|draft, _, seeds| {
        let safety = match in_place {
            true => None,
            false => snapshot::row(draft, new, seeds.now_ms, seeds.uuid),
        };
        if let Some(safety) = &safety {
            draft.put_snapshot_definition(safety.clone());
        }
        let safety_name = safety.as_ref().map(|safety| safety.name.clone());
        roll_back::begin(draft, &row, safety_name, id, seeds.now_ms);
        safety
    });
    Ok(Begun {
        id,
        name: name.clone(),
        snapshot: snapshot.clone(),
        safety,
        unknown,
    })
}

fn configured(model: &Model, name: &ResourceName) -> Strategy {
    let definition = model.definitions.get(name);
    let text = definition.and_then(|definition| {
        let scope = Scope::definition(definition);
        let key = prop::STOR_DRIVER_ZFS_ROLLBACK_STRATEGY;
        props::effective(model, Purpose::Policy, &scope, key)
    });
    let strategy = text.and_then(Strategy::parse);
    strategy.unwrap_or(Strategy::Dynamic)
}

/// Whether all volumes of a definition are ZFS's.
fn is_all_zfs(model: &Model, name: &ResourceName) -> bool {
    let replicas = model.resources_of(name).filter(|row| !row.is_diskless());
    let mut pools = replicas.flat_map(|row| {
        let pools = row.volumes.values().flat_map(|volume| volume.pools());
        pools.map(|pool| model.pool(&row.node, pool).map(|pool| pool.kind))
    });
    pools.all(|kind| matches!(kind, Some(ProviderKind::Zfs | ProviderKind::ZfsThin)))
}

/// Why volumes of ZFS cannot return to a snapshot in place.
fn newer(model: &Model, row: &SnapshotDefinition) -> Option<Reply> {
    let (name, snapshot) = (&row.resource, &row.name);
    let rows = model.snapshots_of(name);
    let newer = rows.filter(|other| other.sequence_number > row.sequence_number);
    let newer: Vec<&str> = newer.map(|row| row.name.as_str()).collect();
    let remade = model.definitions.get(name);
    let remade = remade.is_some_and(|row_of| row_of.snapshots.remade_after >= row.sequence_number);
    let cause = match (newer.is_empty(), remade) {
        (true, false) => return None,
        (false, _) => format!("There are more recent snapshots: {}.", newer.join(", ")),
        (true, true) => {
            "The volumes were made anew by a rollback after the snapshot was taken.".to_owned()
        }
    };
    let message = format!(
        "Resource '{name}' cannot return to snapshot '{snapshot}' in place, as strategy Rollback asks for."
    );
    let reply = Reply::new(code::FAIL_DEPENDEND_BACKUP, message).cause(cause);
    Some(reply.correction(
        "Use strategy Clone or Dynamic, which keeps more recent snapshots, or delete these.",
    ))
}

/// All that stands in the way of a rollback.
fn obstacles(tx: &Transaction<'_>, row: &SnapshotDefinition) -> Vec<Reply> {
    let (name, snapshot) = (&row.resource, &row.name);
    let what = label(name, snapshot);
    let mut found = Vec::new();
    if !row.is_successful() {
        let reply = Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            format!("The {what} cannot be used."),
        );
        found.push(match &row.failure {
            Some(failure) => reply.cause(format!("It has failed: {}", failure.message)),
            None => reply.cause("It has not been taken yet."),
        });
    }
    if let Some(busy) = busy(tx, name) {
        found.push(busy);
    }
    if let Some((remote, schedule)) = schedule::first_enabled(tx, name) {
        let message = format!("Resource definition '{name}' has an active schedule.");
        found.push(
            Reply::new(code::FAIL_IN_USE, message)
                .cause(format!(
                    "Schedule '{schedule}' backs it up to remote '{remote}'."
                ))
                .correction("Disable the schedule for it, and enable it again after the rollback."),
        );
    }
    let mut usable = false;
    for replica in tx.resources_of(name) {
        let node = &replica.node;
        if !tx.observed.is_online(node) {
            let message = format!("No active connection to satellite '{node}'");
            let reply = Reply::new(code::FAIL_NOT_CONNECTED, message)
                .cause("A rollback changes the resource on all of its nodes.")
                .correction("Bring the node online, or delete the resource there.");
            found.push(reply.about("Node", node.as_str()));
        }
        if tx.observed.in_use(name, node) == Some(true) {
            found.extend(resource::in_use(name, node).0);
        }
        let definition = tx.definitions.get(name);
        let is_skipped = definition.is_some_and(|row| skip_disk::is_set(tx, row, replica));
        if replica.drbd.is_some() && is_skipped {
            let message = format!("The disk of resource '{name}' on node '{node}' is not used.");
            let reply = Reply::new(code::FAIL_INVLD_RSC_STATE, message)
                .cause("Property DrbdOptions/SkipDisk is set.")
                .correction(
                    "Replace the disk and remove the property, or delete the resource there.",
                );
            found.push(reply.about("Node", node.as_str()));
        }
        let has_part = usable_part(row, replica).is_some();
        usable |= has_part;
        if replica.drbd.is_none() && !has_part {
            found.push(without_part(row, node));
        }
    }
    if !usable {
        let message = format!("No node of resource '{name}' has what is needed of {what}.");
        let reply = Reply::new(code::FAIL_NOT_FOUND_SNAPSHOT, message)
            .cause("A node needs its part of the snapshot, and a disk in the same pool with the same layers and DRBD node id as then.")
            .correction("Restore the snapshot into another resource definition.");
        found.push(reply);
    }
    found
}

fn without_part(row: &SnapshotDefinition, node: &NodeName) -> Reply {
    let (name, snapshot) = (&row.resource, &row.name);
    let message =
        format!("Resource '{name}' on node '{node}' cannot return to snapshot '{snapshot}'.");
    Reply::new(code::FAIL_NOT_FOUND_SNAPSHOT, message)
        .cause("The node has no part of it that fits, and without DRBD it does not get the data from another node.")
        .correction(format!("Delete resource '{name}' on node '{node}' first."))
        .about("Node", node.as_str())
}

/// What is being done with a definition.
fn busy(model: &Model, name: &ResourceName) -> Option<Reply> {
    let process = model.processes_of(name).next()?;
    let message = format!("Resource definition '{name}' cannot be rolled back now.");
    let ret_code = match model.rollback_of(name) {
        Some(_) => code::FAIL_SNAPSHOT_ROLLBACK_IN_PROGRESS,
        None => code::FAIL_RSC_BUSY,
    };
    let (id, kind) = (process.id, process.kind.name().as_str());
    Some(
        Reply::new(ret_code, message)
            .cause(format!("Job {id} ({kind}) works on it."))
            .correction(format!(
                "Wait until it is finished, or cancel it: 'linstor job show {id}'."
            )),
    )
}
