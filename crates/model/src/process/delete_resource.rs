//! Deleting a resource: with DRBD its devices go down before its storage is destroyed.
//!
//! The node takes the device down while its peers still know it, and only once one of them has the data; then the peers
//! forget it, then the storage is destroyed. So the number of copies that are up to date never drops to none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Context, Kind, Next, Object, Process, Progress, Steps, Undone, Wait};
use crate::Resource;
use crate::connection;
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::once;
use crate::resource::shared;
use crate::row::is_default;

/// The deletion of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteResource {
    /// Its definition.
    pub resource: ResourceName,
    /// Its node.
    pub node: NodeName,
    /// The step.
    pub step: Step,
}

/// Its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Its devices are taken down as soon as another resource has the data. It is still a peer of the others, and its
    /// storage is not removed.
    TakeDown,
    /// Metadata and storage are destroyed.
    Destroy {
        /// Another resource has the data too, or none is left that could have it: peers forget this one, and its node
        /// need not find out by itself, which it could not once its peers have forgotten it.
        #[serde(default, skip_serializing_if = "is_default")]
        data_elsewhere: bool,
    },
}

/// Begins the deletion of a resource, in place of what else is being done with it. One that is being deleted already
/// continues in its present step.
///
/// One that is losing its disk still has it: it is deleted as if it had not begun to, so that its storage is destroyed.
pub fn begin(draft: &mut Draft, name: &ResourceName, node: &NodeName, now_ms: u64) {
    let Some(replica) = draft.resource(name, node).cloned() else {
        return;
    };
    if draft.is_deleting(&replica) {
        return;
    }
    if let Some(process) = draft.process_of(&replica).cloned() {
        if let Kind::RemoveDisk(remove) = &process.kind {
            remove.give_back(draft);
        }
        draft.remove(&RowKey::Process(process.id));
    }
    // One that shares its volumes waits until others that are deleted have let go of them.
    let shares = !shared::siblings(draft, &replica).is_empty();
    let step = match replica.drbd {
        Some(_) => Step::TakeDown,
        None if shares => Step::TakeDown,
        None => Step::Destroy {
            data_elsewhere: false,
        },
    };
    let delete = DeleteResource {
        resource: replica.name.clone(),
        node: replica.node.clone(),
        step,
    };
    draft.begin_process(delete, now_ms);
}

/// Withdraws the deletion of a resource whose storage is still there. Returns whether there was one to withdraw.
pub fn withdraw(draft: &mut Draft, replica: &Resource) -> bool {
    let taking_down = draft.deletion_of(replica) == Some(&Step::TakeDown);
    if taking_down && let Some(process) = draft.process_of(replica).cloned() {
        draft.remove(&RowKey::Process(process.id));
    }
    taking_down
}

impl Steps for DeleteResource {
    fn subject(&self) -> Object {
        Object::Resource(self.resource.clone(), self.node.clone())
    }

    fn progress(&self, _: &Model, _: &Observed) -> Progress {
        let (step, number) = match self.step {
            Step::TakeDown => ("taking-down", 1),
            Step::Destroy { .. } => ("destroying", 2),
        };
        Progress::numbered(step, number, 2)
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let Some(replica) = now.draft.resource(&self.resource, &self.node).cloned() else {
            return Next::Done;
        };
        let reached = process.reached(now.observed, &replica);
        let data_elsewhere = || data_is_elsewhere(now.draft, now.observed, &replica);
        if self.step == Step::TakeDown {
            let awaited = shared::awaited(now.draft, &replica);
            if !awaited.is_empty() {
                return Next::Wait(
                    awaited
                        .into_iter()
                        .map(|other| Wait::apply(other))
                        .collect(),
                );
            }
        }
        match self.step {
            Step::TakeDown if reached => Next::Step(self.destroy(data_elsewhere())),
            Step::Destroy { .. } if reached => {
                remove_resource(now.draft, &self.resource, &self.node);
                Next::Done
            }
            Step::Destroy {
                data_elsewhere: false,
            } if data_elsewhere() => Next::Note(self.destroy(true)),
            Step::TakeDown | Step::Destroy { .. } => Next::Wait(vec![Wait::apply(&replica)]),
        }
    }

    fn undo(&self, _: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        let definition = now.draft.definitions.get(&self.resource);
        if definition.is_some_and(|definition| now.draft.is_deleting_definition(definition)) {
            return Err("Its resource definition is being deleted; cancel that.".to_owned());
        }
        if now.draft.is_deleting_node(&self.node) {
            return Err("Its node is being deleted; cancel that.".to_owned());
        }
        self.check_undo().map(|()| Next::Done.into())
    }
}

impl DeleteResource {
    fn destroy(&self, data_elsewhere: bool) -> Kind {
        let step = Step::Destroy { data_elsewhere };
        DeleteResource {
            step,
            ..self.clone()
        }
        .into()
    }

    fn check_undo(&self) -> Result<(), String> {
        match self.step {
            Step::TakeDown => Ok(()),
            Step::Destroy { .. } => Err(format!(
                "The storage of resource '{}' on node '{}' is being destroyed.",
                self.resource, self.node
            )),
        }
    }
}

/// Withdraws the deletions of several resources, all of them or none.
pub(super) fn undo_all(draft: &mut Draft, replicas: &[Arc<Resource>]) -> Result<(), String> {
    for replica in replicas {
        if let Some(process) = draft.process_of(replica)
            && let Kind::DeleteResource(delete) = &process.kind
        {
            delete.check_undo()?;
        }
    }
    for replica in replicas {
        withdraw(draft, replica);
    }
    Ok(())
}

/// Removes a resource's row.
pub fn remove_resource(draft: &mut Draft, name: &ResourceName, node: &NodeName) {
    draft.remove(&RowKey::Resource(name.clone(), node.clone()));
    once::pass_on(draft, name, node);
    connection::remove_resource(draft, name, node);
}

/// Whether the data is kept when a resource is destroyed: it has no disk, or another one is up to date and is not being
/// deleted, or no other one with a disk is left at all (then this was the last one, and whoever deleted it was asked).
fn data_is_elsewhere(draft: &Draft, observed: &Observed, replica: &Resource) -> bool {
    let name = &replica.name;
    replica.is_diskless()
        || shared::keeps_storage(draft, replica)
        || is_last_diskful(draft, replica)
        || lasting(draft, name).any(|other| observed.is_up_to_date(name, &other.node))
}

/// Whether there is no other resource with a disk that is not being deleted.
pub fn is_last_diskful(model: &Model, replica: &Resource) -> bool {
    lasting(model, &replica.name).all(|other| other.node == replica.node)
}

/// The resources with a disk that are not being deleted.
fn lasting<'a>(
    model: &'a Model,
    name: &'a ResourceName,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    model
        .resources_of(name)
        .filter(|replica| !replica.is_diskless() && !model.is_deleting(replica))
}
