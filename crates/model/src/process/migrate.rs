//! Moving a disk to a diskless resource: it gets a disk, and the resource it replaces is deleted once the new one is up to
//! date and the old one is not in use, so that the number of copies that are up to date never drops.

use serde::{Deserialize, Serialize};

use linstor_api::prop;

use super::{
    Context, Kind, Next, Object, Process, ProcessId, Progress, Steps, Undone, Wait, add_disk,
    delete_resource,
};
use crate::DiskKind;
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;

/// A disk that moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Migrate {
    /// The definition.
    pub resource: ResourceName,
    /// The node that gets a disk.
    pub node: NodeName,
    /// The node whose resource is replaced.
    pub from: NodeName,
    /// What kind of diskless the resource on `node` was.
    pub was: DiskKind,
    /// The step.
    pub step: Step,
}

/// Its steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The node makes the disk.
    AddDisk,
    /// DRBD synchronises it.
    Sync,
}

/// Begins the replacement of the resource on `from` by one that was just made, with a disk, on `node`.
pub fn begin(
    draft: &mut Draft,
    resource: &ResourceName,
    node: &NodeName,
    from: &NodeName,
    now_ms: u64,
) {
    let migrate = Migrate {
        resource: resource.clone(),
        node: node.clone(),
        from: from.clone(),
        was: DiskKind::Diskless,
        step: Step::AddDisk,
    };
    draft.begin_process(migrate, now_ms);
}

/// Ends the replacement of the resource on `from`; both replicas remain.
pub fn end(draft: &mut Draft, resource: &ResourceName, from: &NodeName) {
    let ended: Vec<(ProcessId, NodeName)> = draft
        .processes_of(resource)
        .filter_map(|process| match &process.kind {
            Kind::Migrate(row) if row.from == *from => Some((process.id, row.node.clone())),
            _ => None,
        })
        .collect();
    for (id, node) in ended {
        draft.remove(&RowKey::Process(id));
        draft.edit_resource(resource, &node, |replica| {
            replica.props.remove(prop::MIGRATE_FROM);
        });
    }
}

impl Steps for Migrate {
    fn subject(&self) -> Object {
        Object::Resource(self.resource.clone(), self.node.clone())
    }

    fn others(&self) -> Vec<Object> {
        vec![Object::Resource(self.resource.clone(), self.from.clone())]
    }

    fn progress(&self, _: &Model, observed: &Observed) -> Progress {
        let (step, number) = match self.step {
            Step::AddDisk => ("adding-disk", 1),
            Step::Sync => ("synchronising", 2),
        };
        let percent = observed
            .sync_percent(&self.resource, &self.node)
            .filter(|_| self.step == Step::Sync);
        Progress {
            percent,
            ..Progress::numbered(step, number, 2)
        }
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let Some(replica) = now.draft.resource(&self.resource, &self.node).cloned() else {
            return Next::Done;
        };
        if self.step == Step::AddDisk {
            return match process.reached(now.observed, &replica) {
                true => Next::Step(
                    Migrate {
                        step: Step::Sync,
                        ..self.clone()
                    }
                    .into(),
                ),
                false => Next::Wait(vec![Wait::apply(&replica)]),
            };
        }
        let source = now.draft.resource(&self.resource, &self.from);
        if source.is_some_and(|source| !now.draft.is_deleting(source)) {
            let mut waits = Vec::new();
            if !now.observed.is_up_to_date(&self.resource, &self.node) {
                waits.push(Wait::state(&self.node, "it is not yet UpToDate"));
            }
            match now.observed.in_use(&self.resource, &self.from) {
                Some(false) => {}
                Some(true) => waits.push(Wait::state(&self.from, "its resource is in use")),
                None => waits.push(Wait::state(
                    &self.from,
                    "it is not known whether its resource is in use",
                )),
            }
            if !waits.is_empty() {
                return Next::Wait(waits);
            }
            delete_resource::begin(now.draft, &self.resource, &self.from, now.now_ms);
        }
        now.draft
            .edit_resource(&self.resource, &self.node, |replica| {
                replica.props.remove(prop::MIGRATE_FROM);
            });
        Next::Done
    }

    fn undo(&self, _: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        add_disk::undo(now, &self.resource, &self.node, self.was)
    }
}
