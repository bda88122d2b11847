//! Snapshots: what the volumes of a resource held at one moment. One file for each verb.

pub(super) mod create;
mod delete;
mod modify;
pub(super) mod restore;
mod rollback;

pub(crate) use create::begin_for_backup;
pub use create::{create, create_automatic, create_multi};
pub use delete::delete;
pub(crate) use delete::{delete_oldest, delete_unused};
pub use modify::modify;
pub(crate) use restore::restore_backup;
pub(super) use restore::wait_restored;
pub use restore::{restore_resources, restore_volume_definitions};
pub use rollback::rollback;

use linstor_api::flag::snapshot_definition as flag;
use linstor_api::reply::Reply;
use linstor_api::snapshot::{
    Snapshot as Json, SnapshotNode, SnapshotVolume, SnapshotVolumeDefinition,
};
use linstor_api::{code, prop};
use linstor_model::name::{NodeName, ResourceName, SnapshotName};
use linstor_model::snapshot::{SnapshotReason, SnapshotState};
use linstor_model::{Model, Props, Snapshot, SnapshotDefinition};

use super::filter::Names;
use super::request::Context;
use super::{name, volume_definition};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

fn context(mask: i64, name: &str, snapshot: &str) -> Context {
    let object = format!("Resource: {name}, Snapshot: {snapshot}");
    Context::new(code::MASK_SNAPSHOT | mask, object)
        .about("RscDfn", name)
        .about("Snapshot", snapshot)
}

fn label(name: &ResourceName, snapshot: &SnapshotName) -> String {
    format!("snapshot '{snapshot}' of resource '{name}'")
}

/// The flags of a snapshot, which follow from its state.
fn flags(model: &Model, row: &SnapshotDefinition) -> u64 {
    let deletion = model.deletion_of_snapshot(&row.resource, &row.name);
    let deleting = deletion.is_some_and(|(_, deletion)| {
        let mut nodes = row.snapshots.keys();
        nodes.all(|node| deletion.nodes.contains(node))
    });
    let state = match row.state {
        SnapshotState::Incomplete => 0,
        SnapshotState::Successful => flag::SUCCESSFUL,
        SnapshotState::FailedDeployment => flag::FAILED_DEPLOYMENT,
        SnapshotState::FailedDisconnect => flag::FAILED_DISCONNECT,
    };
    let reason = match row.reason {
        SnapshotReason::Request | SnapshotReason::Clone => 0,
        SnapshotReason::Automatic => flag::AUTO_SNAPSHOT,
        SnapshotReason::Safety => flag::SAFETY_SNAPSHOT,
    };
    state | reason | if deleting { flag::DELETE } else { 0 }
}

/// Properties over others.
fn merged(below: &Props, above: &Props) -> Props {
    let mut merged = below.clone();
    merged.extend(above.clone());
    merged
}

/// A snapshot as answers show it.
fn show(model: &Model, row: &SnapshotDefinition) -> Json {
    let mut props = row.props.clone();
    let number = row.sequence_number.to_string();
    props.insert(prop::SEQUENCE_NUMBER.to_owned(), number);
    let volumes = row
        .volumes
        .iter()
        .map(|(number, volume)| SnapshotVolumeDefinition {
            volume_number: i32::try_from(*number).ok(),
            size_kib: i64::try_from(volume.size_kib).unwrap_or(i64::MAX),
            volume_definition_props: volume_definition::shown_props(
                model,
                row.snapshots.values().map(|part| &part.resource),
                *number,
                volume,
            ),
            ..SnapshotVolumeDefinition::default()
        });
    Json {
        name: Some(row.name.to_string()),
        resource_name: Some(row.resource.to_string()),
        nodes: row.snapshots.keys().map(ToString::to_string).collect(),
        props: merged(&row.definition_props, &props),
        snapshot_definition_props: props,
        resource_definition_props: row.definition_props.clone(),
        flags: flag::ALL.names(flags(model, row)),
        volume_definitions: volumes.collect(),
        uuid: Some(row.uuid.to_string()),
        snapshots: row
            .snapshots
            .iter()
            .map(|(node, part)| show_on_node(row, node, part))
            .collect(),
    }
}

fn show_on_node(row: &SnapshotDefinition, node: &NodeName, part: &Snapshot) -> SnapshotNode {
    let volumes = part.volumes.iter().map(|(number, volume)| {
        let of_resource = part.resource.volumes.get(number);
        let props = of_resource.map(|volume| volume.props.clone());
        SnapshotVolume {
            uuid: Some(volume.uuid.to_string()),
            vlm_nr: i32::try_from(*number).ok(),
            props: props.clone().unwrap_or_default(),
            volume_props: props.unwrap_or_default(),
            ..SnapshotVolume::default()
        }
    });
    SnapshotNode {
        snapshot_name: Some(row.name.to_string()),
        node_name: Some(node.to_string()),
        create_timestamp: row.taken_at.and_then(|at| i64::try_from(at).ok()),
        uuid: Some(part.uuid.to_string()),
        resource_props: part.resource.props.clone(),
        snapshot_volumes: volumes.collect(),
        ..SnapshotNode::default()
    }
}

/// Whether lists show a snapshot.
fn is_shown(row: &SnapshotDefinition) -> bool {
    row.reason != SnapshotReason::Clone
}

/// The snapshots of a definition, which has to exist.
pub fn list(cluster: &Cluster, name: &str) -> Result<Vec<Json>, Refusal> {
    let name = name::resource(name)?;
    let model = cluster.model();
    name::known_definition(&model, &name)?;
    let rows = model.snapshots_of(&name).filter(|row| is_shown(row));
    Ok(rows.map(|row| show(&model, row)).collect())
}

/// The snapshots of these definitions that are on these nodes.
pub fn view(cluster: &Cluster, nodes: &Names, resources: &Names) -> Vec<Json> {
    let model = cluster.model();
    let rows = model.snapshots.values().flat_map(|rows| rows.values());
    let wanted = rows.filter(|row| {
        let mut on = row.snapshots.keys();
        let on_node = nodes.is_all() || on.any(|node| nodes.wants(node.as_str()));
        on_node && resources.wants(row.resource.as_str()) && is_shown(row)
    });
    wanted.map(|row| show(&model, row)).collect()
}

/// One snapshot, whether its definition exists or not.
pub fn one(cluster: &Cluster, name: &str, snapshot: &str) -> Result<Json, Refusal> {
    let (name, snapshot) = (name::resource(name)?, name::snapshot(snapshot)?);
    let model = cluster.model();
    let row = model.snapshot(&name, &snapshot).ok_or_else(|| {
        let message = format!("Snapshot '{snapshot}' not found.");
        Reply::new(code::FAIL_NOT_FOUND_SNAPSHOT, message)
            .cause(format!("Resource '{name}' has no snapshot of this name."))
            .correction("List its snapshots, and use one of their names.")
    })?;
    Ok(show(&model, row))
}

/// The entries about the volumes of a snapshot on a node that are taken or destroyed.
fn volume_entries(
    model: &Model,
    row: &SnapshotDefinition,
    node: &NodeName,
    part: &Snapshot,
    ret_code: i64,
    done: &str,
) -> Vec<Reply> {
    let entry = |(number, volume): (&u32, &linstor_model::snapshot::SnapshotVolume)| {
        let storage = volume.storage.values().next()?;
        let kind = model.pool(node, &storage.pool)?.kind;
        let kind = kind.as_str().replace('_', " ");
        let (name, snapshot) = (&row.resource, &row.name);
        let message = format!(
            "({node}) Snapshot [{kind}] with name '{snapshot}' of resource '{name}', volume number {number} {done}."
        );
        let reply = Reply::new(ret_code, message).about("VlmNr", number.to_string());
        Some(
            reply
                .about("RscDfn", name.as_str())
                .about("Snapshot", snapshot.as_str()),
        )
    };
    part.volumes.iter().filter_map(entry).collect()
}

/// Resources of a definition that has snapshots on a storage pool, as messages list what is in it.
pub(super) fn in_pool(
    model: &Model,
    node: &NodeName,
    pool: &linstor_model::name::StoragePoolName,
) -> Vec<String> {
    let rows = model.snapshots_on(node);
    let volumes = rows.flat_map(|row| {
        let volumes = row
            .on(node)
            .into_iter()
            .flat_map(|part| part.volumes.iter());
        let in_pool = volumes.filter(|(_, volume)| {
            let mut storage = volume.storage.values();
            storage.any(|storage| storage.pool == *pool)
        });
        in_pool.map(|(number, _)| format!("{}/{number}, snapshot '{}'", row.resource, row.name))
    });
    volumes.collect()
}
