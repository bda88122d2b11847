//! Growing a volume: all nodes grow their backing storage, then one node grows DRBD for all.

use serde::{Deserialize, Serialize};

use super::{Context, Next, Object, Process, ProcessId, Progress, Steps, Undone, Wait};
use crate::device_size;
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::row::is_default;
use crate::{Resource, ResourceDefinition, VolumeDefinition};

/// The growth of a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// Its definition.
    pub resource: ResourceName,
    /// Its number.
    pub volume: u32,
    /// The size it had, none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Size>,
    /// The step.
    pub step: Step,
}

/// Steps of growing a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// All nodes grow their backing storage.
    Storage,
    /// One node grows DRBD for all.
    Drbd {
        /// The node that does.
        on: NodeName,
    },
}

/// A size as a volume definition has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// See [`VolumeDefinition::size_kib`].
    pub size_kib: u64,
    /// See [`VolumeDefinition::gross_size`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub gross_size: bool,
    /// See [`VolumeDefinition::device_kib`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_kib: Option<u64>,
}

impl Size {
    /// The size of a volume definition.
    pub const fn of(volume: &VolumeDefinition) -> Size {
        Size {
            size_kib: volume.size_kib,
            gross_size: volume.gross_size,
            device_kib: volume.device_kib,
        }
    }
}

/// Begins to grow a volume, or to grow it to another size if it grows already. Its definition has the new size; `from` is
/// the one before.
pub fn begin(draft: &mut Draft, name: &ResourceName, number: u32, from: Size, now_ms: u64) {
    let Some(definition) = draft.definitions.get(name).cloned() else {
        return;
    };
    let in_progress = draft.resize_of(name, number);
    let from = in_progress.map_or(Some(from), |resize| resize.from);
    let mut after = ResourceDefinition::clone(&definition);
    if let (Some(volume), Some(from)) = (after.volumes.get_mut(&number), from) {
        volume.device_kib = from.device_kib;
    }
    let resize = Resize {
        resource: definition.name.clone(),
        volume: number,
        from,
        step: Step::Storage,
    };
    device_size::begin_growth(draft, &after, number);
    match process_of(draft, name, number) {
        Some(id) => draft.restart_step(id, resize.into(), now_ms),
        None => drop(draft.begin_process(resize, now_ms)),
    }
}

/// Withdraws the growth of a volume, whatever its step: a node may never be able to do its part. The volume has its size
/// before; what nodes have grown is not made smaller.
pub fn withdraw(draft: &mut Draft, observed: &Observed, name: &ResourceName, number: u32) {
    let Some(id) = process_of(draft, name, number) else {
        return;
    };
    if let Some(resize) = draft.resize_of(name, number).cloned() {
        device_size::withdraw(draft, observed, &resize);
    }
    draft.remove(&RowKey::Process(id));
}

/// The id of the process that grows a volume.
fn process_of(draft: &Draft, name: &ResourceName, number: u32) -> Option<ProcessId> {
    let process = draft.process_of_volume(name, number)?;
    matches!(process.kind, super::Kind::Resize(_)).then_some(process.id)
}

impl Steps for Resize {
    fn subject(&self) -> Object {
        Object::VolumeDefinition(self.resource.clone(), self.volume)
    }

    fn progress(&self, _: &Model, _: &Observed) -> Progress {
        let (step, number) = match self.step {
            Step::Storage => ("growing-storage", 1),
            Step::Drbd { .. } => ("growing-drbd", 2),
        };
        Progress::numbered(step, number, 2)
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        match &self.step {
            Step::Storage => self.grow_storage(process, now),
            Step::Drbd { on } => self.grow_drbd(process, now, on),
        }
    }

    fn undo(&self, _: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        if self.from.is_none() {
            return Err("The size before is not known.".to_owned());
        }
        device_size::withdraw(now.draft, now.observed, self);
        Ok(Undone {
            next: Next::Done,
            remains: Some(
                "Storage that nodes have grown is not made smaller; the next growth uses it.",
            ),
        })
    }
}

impl Resize {
    fn grow_storage(&self, process: &Process, now: &Context<'_>) -> Next {
        let mut waits = Vec::new();
        for replica in self.remaining(now) {
            if !process.reached(now.observed, replica) {
                waits.push(Wait::apply(replica));
            } else if is_in_the_way(now.draft, replica) {
                waits.push(Wait::activate(
                    replica,
                    "it is deactivated, and DRBD grows only what it sees",
                ));
            }
        }
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        match self.grower(now) {
            Some(on) => Next::Step(self.at(Step::Drbd { on })),
            None => self.wait_for_grower(now),
        }
    }

    fn grow_drbd(&self, process: &Process, now: &Context<'_>, on: &NodeName) -> Next {
        let grower = self.remaining(now).find(|replica| replica.node == *on);
        if let Some(grower) = grower.filter(|replica| may_grow(replica)) {
            if process.reached(now.observed, grower) {
                return Next::Done;
            }
            if now.observed.is_online(on) {
                return Next::Wait(vec![Wait::apply(grower)]);
            }
        }
        // Another one grows it when the one that should have cannot.
        match (self.grower(now), grower) {
            (Some(other), _) if other != *on => Next::Step(self.at(Step::Drbd { on: other })),
            (_, Some(grower)) => Next::Wait(vec![Wait::apply(grower)]),
            (_, None) => self.wait_for_grower(now),
        }
    }

    fn at(&self, step: Step) -> super::Kind {
        Resize {
            step,
            ..self.clone()
        }
        .into()
    }

    /// The resources that are not being deleted.
    fn remaining<'a>(&'a self, now: &'a Context<'_>) -> impl Iterator<Item = &'a Resource> {
        let draft = &*now.draft;
        let resources = draft.resources_of(&self.resource).map(|row| &**row);
        resources.filter(|replica| !draft.is_deleting(replica))
    }

    /// The node that grows DRBD for all: its disk is up to date.
    fn grower(&self, now: &Context<'_>) -> Option<NodeName> {
        let mut able = self.remaining(now).filter(|replica| may_grow(replica));
        able.find(|replica| now.observed.is_up_to_date(&self.resource, &replica.node))
            .map(|replica| replica.node.clone())
    }

    /// Without a resource that DRBD replicates there is nothing more to grow.
    fn wait_for_grower(&self, now: &Context<'_>) -> Next {
        let replicated = self.remaining(now).filter(|row| is_replicated(row));
        let waits: Vec<Wait> = replicated
            .map(|replica| Wait::state(&replica.node, "no resource is UpToDate to grow DRBD"))
            .collect();
        match waits.is_empty() {
            true => Next::Done,
            false => Next::Wait(waits),
        }
    }
}

/// Begins the steps of all volumes that grow again, after a resource was activated: what it had applied while it was down
/// does not count.
pub(crate) fn restart(draft: &mut Draft, name: &ResourceName, now_ms: u64) {
    let processes: Vec<_> = draft.processes_of(name).cloned().collect();
    for process in processes {
        if let super::Kind::Resize(resize) = &process.kind {
            draft.restart_step(process.id, resize.at(Step::Storage), now_ms);
        }
    }
}

/// Whether a volume cannot grow because of this resource: DRBD grows no volume some of whose peers it does not see, and a
/// deactivated one is not seen. Its own part is done once it is activated.
pub fn is_in_the_way(model: &Model, replica: &Resource) -> bool {
    is_replicated(replica) && replica.inactive && !model.is_deleting(replica)
}

fn is_replicated(replica: &Resource) -> bool {
    replica.drbd.is_some() && !replica.is_diskless()
}

/// Whether DRBD of this resource can grow the volume for all.
fn may_grow(replica: &Resource) -> bool {
    is_replicated(replica) && !replica.inactive
}
