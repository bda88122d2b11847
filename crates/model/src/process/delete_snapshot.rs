//! Deleting a snapshot, on all of its nodes or on some of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Context, Kind, Next, Object, Process, Progress, Steps, Undone, Wait, take_snapshot};
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName, SnapshotName};
use crate::observed::Observed;

/// The deletion of a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteSnapshot {
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Name of the snapshot.
    pub snapshot: SnapshotName,
    /// The nodes whose parts of it are removed.
    pub nodes: BTreeSet<NodeName>,
}

/// Begins to delete the parts of a snapshot on these nodes; its row is removed with the last part. One that is being taken
/// has failed with that.
pub fn begin(
    draft: &mut Draft,
    name: &ResourceName,
    snapshot: &SnapshotName,
    mut nodes: BTreeSet<NodeName>,
    now_ms: u64,
) {
    take_snapshot::abort(draft, name, snapshot, now_ms);
    let Some(row) = draft.snapshot(name, snapshot).cloned() else {
        return;
    };
    nodes.retain(|node| row.on(node).is_some());
    if row.snapshots.is_empty() {
        remove(draft, &row.resource, &row.name);
        return;
    }
    let former = draft
        .deletion_of_snapshot(name, snapshot)
        .map(|(id, deletion)| {
            nodes.extend(deletion.nodes.iter().cloned());
            (id, deletion.nodes == nodes)
        });
    let delete = DeleteSnapshot {
        resource: row.resource.clone(),
        snapshot: row.name.clone(),
        nodes,
    };
    match former {
        Some((_, true)) => {}
        Some((id, false)) => draft.restart_step(id, delete.into(), now_ms),
        None if delete.nodes.is_empty() => {}
        None => drop(draft.begin_process(delete, now_ms)),
    }
}

/// Begins to delete all parts of snapshots that are on a node.
pub fn begin_on_node(draft: &mut Draft, node: &NodeName, now_ms: u64) {
    for (name, snapshot) in on_node(draft, node) {
        begin(draft, &name, &snapshot, [node.clone()].into(), now_ms);
    }
}

/// Drops all parts of snapshots that are on a node, which is lost.
pub fn drop_on_node(draft: &mut Draft, node: &NodeName, now_ms: u64) {
    for (name, snapshot) in on_node(draft, node) {
        take_snapshot::abort(draft, &name, &snapshot, now_ms);
        remove_part(draft, &name, &snapshot, node);
    }
}

fn on_node(model: &Model, node: &NodeName) -> Vec<(ResourceName, SnapshotName)> {
    let snapshots = model.snapshots_on(node);
    let names = snapshots.map(|row| (row.resource.clone(), row.name.clone()));
    names.collect()
}

/// Removes the part of one node, and the row with the last one.
fn remove_part(draft: &mut Draft, name: &ResourceName, snapshot: &SnapshotName, node: &NodeName) {
    draft.edit_snapshot(name, snapshot, |row| {
        row.snapshots.remove(node);
    });
    let row = draft.snapshot(name, snapshot);
    if row.is_some_and(|row| row.snapshots.is_empty()) {
        remove(draft, name, snapshot);
    }
}

fn remove(draft: &mut Draft, name: &ResourceName, snapshot: &SnapshotName) {
    let newest = draft.newest_snapshot(name);
    if let Some(definition) = draft.definitions.get(name)
        && definition.snapshots.newest < newest
    {
        draft.edit_resource_definition(name, |row| row.snapshots.newest = newest);
    }
    let key = RowKey::SnapshotDefinition(name.clone(), snapshot.clone());
    draft.remove(&key);
}

impl Steps for DeleteSnapshot {
    fn subject(&self) -> Object {
        Object::Snapshot(self.resource.clone(), self.snapshot.clone())
    }

    fn progress(&self, model: &Model, _: &Observed) -> Progress {
        let row = model.snapshot(&self.resource, &self.snapshot);
        let is_left = |node: &&NodeName| row.is_some_and(|row| row.on(node).is_some());
        let left = self.nodes.iter().filter(is_left).count();
        let all = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        Progress::of_removals("removing-snapshots", all, left)
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let Some(row) = now.draft.snapshot(&self.resource, &self.snapshot).cloned() else {
            return Next::Done;
        };
        let parts = self
            .nodes
            .iter()
            .filter_map(|node| Some((node, row.on(node)?)));
        let (gone, left): (Vec<_>, Vec<_>) = parts.partition(|(node, part)| {
            let key = (&self.resource, &self.snapshot, *node);
            let applied = now.observed.snapshot_applied(key, part.uuid);
            applied.is_some_and(|applied| process.is_done_by(applied))
        });
        for (node, _) in &gone {
            remove_part(now.draft, &self.resource, &self.snapshot, node);
        }
        match (left.is_empty(), gone.is_empty()) {
            (true, _) => Next::Done,
            (false, false) => Next::Note(Kind::DeleteSnapshot(self.clone())),
            (false, true) => Next::Wait(
                left.iter()
                    .map(|(node, _)| Wait::snapshot(node, &self.resource, &self.snapshot))
                    .collect(),
            ),
        }
    }

    fn undo(&self, _: &Process, _: &mut Context<'_>) -> Result<Undone, String> {
        Err("Nodes may have removed it already.".to_owned())
    }
}

impl Model {
    /// The deletion of a snapshot that is under way.
    pub fn deletion_of_snapshot(
        &self,
        name: &ResourceName,
        snapshot: &SnapshotName,
    ) -> Option<(super::ProcessId, &DeleteSnapshot)> {
        self.processes_of(name)
            .find_map(|process| match &process.kind {
                Kind::DeleteSnapshot(delete) if delete.snapshot == *snapshot => {
                    Some((process.id, delete))
                }
                _ => None,
            })
    }
}
