//! Deleting a resource definition: its resources first, then its row.

use serde::{Deserialize, Serialize};

use super::{Context, Next, Object, Process, Progress, Steps, Undone, Wait, delete_resource};
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;

/// The deletion of a resource definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteResourceDefinition {
    /// The definition.
    pub resource: ResourceName,
    /// How many resources it had at first; 0 if that is not known.
    pub resources: u32,
}

/// Begins the deletion of a resource definition and of all its resources; does nothing if it is being deleted already.
pub fn begin(draft: &mut Draft, name: &ResourceName, now_ms: u64) {
    let Some(definition) = draft.definitions.get(name).cloned() else {
        return;
    };
    let resources = draft.resources_of(name).map(|row| row.node.clone());
    let nodes: Vec<NodeName> = resources.collect();
    if !draft.is_deleting_definition(&definition) {
        let delete = DeleteResourceDefinition {
            resource: definition.name.clone(),
            resources: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
        };
        draft.begin_process(delete, now_ms);
    }
    for node in nodes {
        delete_resource::begin(draft, name, &node, now_ms);
    }
}

impl Steps for DeleteResourceDefinition {
    fn subject(&self) -> Object {
        Object::ResourceDefinition(self.resource.clone())
    }

    fn progress(&self, model: &Model, _: &Observed) -> Progress {
        let left = model.resources_of(&self.resource).count();
        Progress::of_removals("removing-resources", self.resources, left)
    }

    fn step(&self, _: &Process, now: &mut Context<'_>) -> Next {
        let left = now.draft.resources_of(&self.resource);
        let waits: Vec<Wait> = left.map(|replica| Wait::apply(replica)).collect();
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        let key = RowKey::ResourceDefinition(self.resource.clone());
        now.draft.remove(&key);
        Next::Done
    }

    fn undo(&self, _: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        let replicas: Vec<_> = now.draft.resources_of(&self.resource).cloned().collect();
        if self.resources == 0 || replicas.len() < self.resources as usize {
            return Err("Some of its resources have been destroyed already.".to_owned());
        }
        delete_resource::undo_all(now.draft, &replicas)?;
        Ok(Next::Done.into())
    }
}
