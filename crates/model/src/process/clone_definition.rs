//! Cloning a resource definition: a snapshot of its resources, resources of the clone that are made of it, then the snapshot
//! is deleted.
//!
//! All rows of the clone are made at once, so that whatever stands in its way is found before anything is done. Nodes are
//! told of them once the snapshot was taken.

use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::ProviderKind;
use linstor_api::reply::Reply;
use linstor_wire::status::Outcome;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Context, Kind, Next, Object, Process, Progress, Steps, Undone, Wait, delete_resource,
    delete_snapshot, take_snapshot,
};
use crate::draft::Draft;
use crate::layer;
use crate::model::{Model, RowKey};
use crate::name::{ResourceName, SnapshotName};
use crate::observed::Observed;
use crate::snapshot::SnapshotState;
use crate::{Resource, ResourceDefinition};

/// How long it may take until one node at least has the data, where nothing is copied.
pub const CLONE_MAX: Duration = Duration::from_secs(10 * 60);
/// The least that is copied in a second, in KiB: a slow disk that others use, too.
const COPIED_KIB_PER_SECOND: u64 = 5 * 1024;

/// A clone that is being made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloneDefinition {
    /// Name of the clone.
    pub resource: ResourceName,
    /// Its identity: another definition of its name is not it.
    pub uuid: Uuid,
    /// Name of the resource definition that is cloned.
    pub source: ResourceName,
    /// The snapshot of it that the clone is made of.
    pub snapshot: SnapshotName,
    /// The step.
    pub step: Step,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The snapshot is taken.
    Snapshot,
    /// Volumes are made of it.
    Copy,
    /// It has failed: its resources are deleted.
    Discard,
}

/// Begins to clone: the rows of the clone were just made, and its snapshot is about to be taken.
pub fn begin(draft: &mut Draft, clone: CloneDefinition, now_ms: u64) {
    let limit_ms = clone.limit(draft).as_millis() as u64;
    let id = draft.begin_process(clone, now_ms);
    draft.set_deadline(id, now_ms.saturating_add(limit_ms));
}

impl Steps for CloneDefinition {
    fn subject(&self) -> Object {
        // With the clone alone it would end before the snapshot is deleted.
        Object::Snapshot(self.source.clone(), self.snapshot.clone())
    }

    fn others(&self) -> Vec<Object> {
        vec![Object::ResourceDefinition(self.resource.clone())]
    }

    fn progress(&self, model: &Model, observed: &Observed) -> Progress {
        let (step, number) = match self.step {
            Step::Snapshot => ("taking-snapshot", 1),
            Step::Copy => ("copying-data", 2),
            Step::Discard => ("removing-resources", 2),
        };
        Progress {
            percent: self.copied_percent(model, observed),
            ..Progress::numbered(step, number, 2)
        }
    }

    fn step(&self, _: &Process, now: &mut Context<'_>) -> Next {
        match self.step {
            Step::Snapshot => self.take(now),
            Step::Copy => self.copy(now),
            Step::Discard => self.discard(now),
        }
    }

    fn undo(&self, process: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        let cause = match process.has_expired(now.now_ms) {
            true => {
                let minutes = self.limit(now.draft).as_secs() / 60;
                format!("It was not made within {minutes} min.")
            }
            false => "The job was cancelled.".to_owned(),
        };
        match self.step {
            Step::Snapshot => {
                take_snapshot::abort(now.draft, &self.source, &self.snapshot, now.now_ms);
            }
            Step::Copy if self.resources(now.draft).any(has_data) => {
                return Err("A resource of it has the data already.".to_owned());
            }
            Step::Copy => {}
            Step::Discard => return Err("It has failed, and is being removed.".to_owned()),
        }
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, "The clone was not made.").cause(cause);
        Ok(self.fail(now, reply).into())
    }
}

/// Whether a resource of a clone has the data of its source.
fn has_data(row: &Resource) -> bool {
    !row.is_diskless() && !row.is_being_restored()
}

impl CloneDefinition {
    fn at(&self, step: Step) -> Kind {
        CloneDefinition {
            step,
            ..self.clone()
        }
        .into()
    }

    /// Whether a definition is the clone.
    pub fn makes(&self, definition: &ResourceDefinition) -> bool {
        definition.uuid == self.uuid
    }

    /// The resources of the clone.
    fn resources<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = &'a Resource> {
        let definition = model.definitions.get(&self.resource);
        let is_it = definition.is_some_and(|row| self.makes(row));
        let rows = model.resources_of(&self.resource);
        rows.filter(move |_| is_it).map(|row| &**row)
    }

    /// How long it may take.
    fn limit(&self, model: &Model) -> Duration {
        let definition = model.definitions.get(&self.resource);
        let copied_kib = |row: &Resource| -> u64 {
            let volumes = row.volumes.iter().filter(|(_, volume)| {
                let pool = model.pool(&row.node, &volume.pool);
                pool.is_some_and(|pool| pool.kind == ProviderKind::Lvm)
            });
            let sizes = volumes.filter_map(|(number, _)| {
                layer::backing(definition?, *number, row).first().copied()
            });
            sizes.map(|(_, kib)| kib).sum()
        };
        let most = self.resources(model).map(copied_kib).max().unwrap_or(0);
        CLONE_MAX + Duration::from_secs(most / COPIED_KIB_PER_SECOND)
    }

    /// How much of the data is copied on the node that is behind most; none where nothing is copied.
    fn copied_percent(&self, model: &Model, observed: &Observed) -> Option<f64> {
        let rows = self.resources(model).filter(|row| row.is_being_restored());
        let percents = rows.filter_map(|row| {
            let applied = observed.applied_since(&row.name, &row.node, row.uuid, 0)?;
            match &applied.outcome {
                Outcome::Waiting { done_percent, .. } => done_percent.map(f64::from),
                Outcome::Done | Outcome::Failed { .. } => None,
            }
        });
        percents.min_by(f64::total_cmp)
    }

    fn take(&self, now: &mut Context<'_>) -> Next {
        let row = now.draft.snapshot(&self.source, &self.snapshot);
        let state = row.map(|row| (row.state, row.failure.clone()));
        match state {
            Some((SnapshotState::Incomplete, _)) => {
                let taking = now.draft.taking_of(&self.source, &self.snapshot);
                let nodes = taking.into_iter().flat_map(|(_, take)| &take.nodes);
                let why = "the snapshot that is cloned is taken";
                Next::Wait(nodes.map(|node| Wait::state(node, why)).collect())
            }
            Some((SnapshotState::Successful, _)) => Next::Step(self.at(Step::Copy)),
            Some((_, failure)) => {
                let message = "The snapshot that is cloned was not taken.";
                let unknown = || Reply::new(code::FAIL_UNKNOWN_ERROR, message);
                let reply = failure.unwrap_or_else(unknown);
                self.fail(now, reply)
            }
            None => Next::Done,
        }
    }

    fn copy(&self, now: &mut Context<'_>) -> Next {
        let left = self.resources(now.draft);
        let left = left.filter(|row| row.is_being_restored());
        let waits: Vec<Wait> = left.map(Wait::apply).collect();
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        self.delete_snapshot(now);
        Next::Done
    }

    /// Notes why there is no clone, and begins to delete its resources. Nodes that were not told of them have nothing.
    fn fail(&self, now: &mut Context<'_>, reply: Reply) -> Next {
        let rows = self.resources(now.draft);
        let nodes: Vec<_> = rows.map(|row| row.node.clone()).collect();
        for node in &nodes {
            match self.step {
                Step::Snapshot => {
                    let key = RowKey::Resource(self.resource.clone(), node.clone());
                    now.draft.remove(&key);
                }
                Step::Copy | Step::Discard => {
                    delete_resource::begin(now.draft, &self.resource, node, now.now_ms);
                }
            }
        }
        let definition = now.draft.definitions.get(&self.resource);
        if definition.is_some_and(|row| self.makes(row)) {
            now.draft.edit_resource_definition(&self.resource, |row| {
                row.clone_failure = Some(Box::new(reply));
            });
        }
        Next::Step(self.at(Step::Discard))
    }

    fn discard(&self, now: &mut Context<'_>) -> Next {
        let waits: Vec<Wait> = self.resources(now.draft).map(Wait::apply).collect();
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        self.delete_snapshot(now);
        Next::Done
    }

    fn delete_snapshot(&self, now: &mut Context<'_>) {
        let row = now.draft.snapshot(&self.source, &self.snapshot);
        let nodes = row.map(|row| row.snapshots.keys().cloned().collect());
        let nodes = nodes.unwrap_or_default();
        delete_snapshot::begin(now.draft, &self.source, &self.snapshot, nodes, now.now_ms);
    }
}

impl Model {
    /// The process that makes a clone, if there is one.
    pub fn cloning_of(&self, definition: &ResourceDefinition) -> Option<&CloneDefinition> {
        self.processes_of(&definition.name)
            .find_map(|process| match &process.kind {
                Kind::CloneDefinition(clone) if clone.makes(definition) => Some(clone),
                _ => None,
            })
    }
}
