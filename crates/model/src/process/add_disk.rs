//! Giving a diskless resource a disk: done once its node has made it.

use serde::{Deserialize, Serialize};

use super::{Context, Kind, Next, Object, Process, Progress, Steps, Undone, Wait, remove_disk};
use crate::DiskKind;
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;

/// A disk that is being added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddDisk {
    /// The resource's definition.
    pub resource: ResourceName,
    /// The resource's node.
    pub node: NodeName,
    /// What kind of diskless it was.
    pub was: DiskKind,
}

impl Steps for AddDisk {
    fn subject(&self) -> Object {
        Object::Resource(self.resource.clone(), self.node.clone())
    }

    fn progress(&self, _: &Model, _: &Observed) -> Progress {
        Progress::only("adding-disk")
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        match now.draft.resource(&self.resource, &self.node) {
            Some(replica) if !process.reached(now.observed, replica) => {
                Next::Wait(vec![Wait::apply(replica)])
            }
            Some(_) | None => Next::Done,
        }
    }

    fn undo(&self, _: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        undo(now, &self.resource, &self.node, self.was)
    }
}

/// Takes a disk that is being added away again, if another resource has one.
pub(super) fn undo(
    now: &mut Context<'_>,
    name: &ResourceName,
    node: &NodeName,
    to: DiskKind,
) -> Result<Undone, String> {
    let other = now.draft.resources_of(name).find(|other| {
        other.node != *node
            && !other.is_diskless()
            && now.draft.process_of(other).is_none()
            && now.observed.is_up_to_date(name, &other.node)
    });
    if other.is_none() {
        return Err("No other resource with a disk is online and UpToDate.".to_owned());
    }
    match remove_disk::detach(now.draft, name, node, to) {
        Some(remove) => Ok(Next::Step(Kind::from(remove)).into()),
        None => Ok(Next::Done.into()),
    }
}
