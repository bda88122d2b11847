//! Deleting a volume definition: its volumes are destroyed on all nodes, then it is removed from its definition.

use serde::{Deserialize, Serialize};

use super::{Context, Next, Object, Process, Progress, Steps, Undone};
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;

/// The deletion of a volume definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteVolumeDefinition {
    /// Its definition.
    pub resource: ResourceName,
    /// Its number.
    pub volume: u32,
}

/// Begins the deletion of a volume definition, in place of its growth; does nothing if it is being deleted already.
pub fn begin(draft: &mut Draft, name: &ResourceName, number: u32, now_ms: u64) {
    let Some(definition) = draft.definitions.get(name).cloned() else {
        return;
    };
    if draft.is_deleting_volume(name, number) {
        return;
    }
    if let Some(process) = draft.process_of_volume(name, number).cloned() {
        draft.remove(&RowKey::Process(process.id));
    }
    let delete = DeleteVolumeDefinition {
        resource: definition.name.clone(),
        volume: number,
    };
    draft.begin_process(delete, now_ms);
}

impl Steps for DeleteVolumeDefinition {
    fn subject(&self) -> Object {
        Object::VolumeDefinition(self.resource.clone(), self.volume)
    }

    fn progress(&self, _: &Model, _: &Observed) -> Progress {
        Progress::only("removing-volumes")
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let waits = process.unapplied(now, &self.resource);
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        remove_volume(now.draft, &self.resource, self.volume);
        Next::Done
    }

    fn undo(&self, _: &Process, _: &mut Context<'_>) -> Result<Undone, String> {
        Err("The storage of its volumes is being destroyed on all nodes.".to_owned())
    }
}

/// Removes a volume definition and its volumes.
pub fn remove_volume(draft: &mut Draft, name: &ResourceName, number: u32) {
    if let Some(process) = draft.process_of_volume(name, number).cloned() {
        draft.remove(&RowKey::Process(process.id));
    }
    let nodes: Vec<NodeName> = draft
        .resources_of(name)
        .map(|replica| replica.node.clone())
        .collect();
    for node in nodes {
        draft.edit_resource(name, &node, |replica| {
            replica.volumes.remove(&number);
        });
    }
    draft.edit_resource_definition(name, |definition| {
        definition.volumes.remove(&number);
    });
}
