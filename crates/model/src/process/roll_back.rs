//! Rolling a resource back to one of its snapshots.
//!
//! The resource is taken down on all nodes, a safety snapshot is taken of what it holds, each node gives its backing
//! volumes the content of its part of the snapshot, DRBD's metadata included, and all come up again. As all parts are of
//! one moment their generations are the same, and nothing is synchronised; a node without a usable part gets empty volumes
//! and everything from a peer. Nothing comes up before every node has done its part: an older replica could not be told
//! from a newer one of the same generation. If a node fails, all return to the safety snapshot in the same way.
//!
//! ZFS can also return a volume to its most recent snapshot in place. A safety snapshot would be more recent, so there is
//! none, and no way back.

mod guard;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_wire::spec;
use linstor_wire::status::Outcome;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use guard::refuses;

use super::{
    Context, Kind, Next, Object, Process, Progress, Steps, Undone, Wait, delete_snapshot,
    delete_volume_definition,
};
use crate::draft::Draft;
use crate::model::Model;
use crate::name::{NodeName, ResourceName, SnapshotName};
use crate::numbers;
use crate::observed::{Applied, Observed};
use crate::resource::shared;
use crate::resource_definition::Rollback;
use crate::snapshot::{Snapshot, SnapshotState};
use crate::{Resource, ResourceDefinition, SnapshotDefinition, Volume, VolumeDefinition};

/// How long nodes may take before everything is taken back, in milliseconds.
const DEADLINE_MS: u64 = 10 * 60 * 1000;

/// A rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollBack {
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Name of the snapshot.
    pub snapshot: SnapshotName,
    /// The snapshot to return to if it fails; none when volumes return to the snapshot in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<SnapshotName>,
    /// Names it to the nodes.
    pub id: Uuid,
    /// The step.
    pub step: Step,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Reply>,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The resource is taken down on all nodes.
    TakeDown,
    /// The safety snapshot is taken.
    Secure,
    /// Volumes get the content of the snapshot.
    RollBack,
    /// Volumes get the content of the safety snapshot, as the rollback has failed.
    Return,
    /// The resource comes up on all nodes.
    BringUp,
}

/// Begins a rollback. The row of the safety snapshot was just made, if there is to be one.
pub fn begin(
    draft: &mut Draft,
    row: &SnapshotDefinition,
    safety: Option<SnapshotName>,
    id: Uuid,
    now_ms: u64,
) {
    let roll_back = RollBack {
        resource: row.resource.clone(),
        snapshot: row.name.clone(),
        safety,
        id,
        step: Step::TakeDown,
        failure: None,
    };
    let process = draft.begin_process(roll_back, now_ms);
    draft.set_deadline(process, now_ms.saturating_add(DEADLINE_MS));
}

/// The part of a snapshot that the volumes of a resource can get the content of: it has a disk of the same layers in the
/// same pools, and is the same node to DRBD, whose metadata names it.
pub fn usable_part<'a>(row: &'a SnapshotDefinition, replica: &Resource) -> Option<&'a Snapshot> {
    let part = row.on(&replica.node)?;
    let then = &part.resource;
    let node_id = |resource: &Resource| resource.drbd.as_ref().map(|drbd| drbd.node_id);
    let same_pools = |(number, volume): (&u32, &Volume)| {
        let storage = part.volumes.get(number).map(|volume| &volume.storage);
        let mut storage = storage.into_iter().flatten();
        storage.all(|(suffix, storage)| volume.pool_of(*suffix) == Some(&storage.pool))
    };
    let is_usable = !replica.is_diskless()
        && then.layer_stack == replica.layer_stack
        && node_id(then) == node_id(replica)
        && replica.volumes.iter().all(same_pools);
    is_usable.then_some(part)
}

impl Steps for RollBack {
    fn subject(&self) -> Object {
        Object::ResourceDefinition(self.resource.clone())
    }

    fn others(&self) -> Vec<Object> {
        let names = std::iter::once(&self.snapshot).chain(&self.safety);
        names
            .map(|name| Object::Snapshot(self.resource.clone(), name.clone()))
            .collect()
    }

    fn progress(&self, _: &Model, _: &Observed) -> Progress {
        let (step, number) = match self.step {
            Step::TakeDown => ("taking-down", 1),
            Step::Secure => ("taking-safety-snapshot", 2),
            Step::RollBack => ("rolling-back", 3),
            Step::Return => ("returning-to-safety-snapshot", 3),
            Step::BringUp => ("bringing-up", 4),
        };
        Progress::numbered(step, number, 4)
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        match self.step {
            Step::TakeDown => self.take_down(process, now),
            Step::Secure => self.secure(process, now),
            Step::RollBack => self.roll_back(process, now),
            Step::Return => self.return_to_safety(process, now),
            Step::BringUp => self.bring_up(process, now),
        }
    }

    fn undo(&self, process: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        let why = match process.has_expired(now.now_ms) {
            true => format!("It was not finished within {} s.", DEADLINE_MS / 1000),
            false => "The job was cancelled.".to_owned(),
        };
        let aborted = self.failed(aborted(&self.resource, why));
        match (self.step, &self.safety) {
            (Step::TakeDown | Step::Secure, _) => Ok(Next::Step(aborted.at(Step::BringUp)).into()),
            (Step::RollBack, Some(_)) => Ok(aborted.begin_return(now).into()),
            (Step::RollBack, None) => Err(
                "Its ZFS volumes return to the snapshot in place, and nodes may have done so."
                    .to_owned(),
            ),
            (Step::Return, _) => Err("It returns to what it was before.".to_owned()),
            (Step::BringUp, _) => Err("The resource is being brought up.".to_owned()),
        }
    }
}

impl RollBack {
    fn at(&self, step: Step) -> Kind {
        RollBack {
            step,
            ..self.clone()
        }
        .into()
    }

    fn failed(&self, why: Reply) -> RollBack {
        RollBack {
            failure: Some(why),
            ..self.clone()
        }
    }

    /// Whether the resource is down, or is being taken down.
    pub fn is_down(&self) -> bool {
        self.step != Step::BringUp
    }

    /// The snapshot whose content the volumes get in this step.
    fn target<'a>(&self, model: &'a Model) -> Option<&'a SnapshotDefinition> {
        let name = match self.step {
            Step::RollBack => &self.snapshot,
            Step::Return => self.safety.as_ref()?,
            Step::TakeDown | Step::Secure | Step::BringUp => return None,
        };
        model.snapshot(&self.resource, name).map(|row| &**row)
    }

    /// Whether a volume definition goes, as it came after the snapshot.
    pub fn drops(&self, model: &Model, number: u32) -> bool {
        let target = self.target(model);
        target.is_some_and(|row| !row.volumes.contains_key(&number))
    }

    /// What the node of a resource does in this step.
    pub fn spec(&self, model: &Model, replica: &Resource) -> Option<spec::RollBack> {
        if replica.is_diskless() || !self.is_down() {
            return None;
        }
        let prepare = matches!(self.step, Step::TakeDown | Step::Secure);
        let row = match self.target(model) {
            Some(row) => row,
            None => model.snapshot(&self.resource, &self.snapshot)?,
        };
        let part = usable_part(row, replica);
        Some(spec::RollBack {
            id: self.id,
            to: part.map(|part| spec::SnapshotSource {
                resource: row.resource.clone(),
                resource_uuid: shared::owner(model, &part.resource),
                snapshot: row.name.clone(),
                snapshot_uuid: part.uuid,
            }),
            in_place: self.safety.is_none(),
            prepare,
        })
    }

    /// Nothing has been changed yet: what happens then ends it.
    fn take_down(&self, process: &Process, now: &mut Context<'_>) -> Next {
        if let Some(why) = self.obstacle(process, now) {
            return Next::Step(self.failed(why).at(Step::BringUp));
        }
        let waits = process.unapplied(now, &self.resource);
        match (waits.is_empty(), &self.safety) {
            (false, _) => Next::Wait(waits),
            (true, Some(_)) => Next::Step(self.at(Step::Secure)),
            (true, None) => self.begin_roll_back(now),
        }
    }

    /// Why the nodes cannot take the resource down.
    fn obstacle(&self, process: &Process, now: &Context<'_>) -> Option<Reply> {
        let mut replicas = now.draft.resources_of(&self.resource);
        let offline = replicas.find(|replica| !now.observed.is_online(&replica.node));
        match offline {
            Some(replica) => Some(disconnected(&replica.node)),
            None => self.failure_on_a_node(process, now),
        }
    }

    fn failure_on_a_node(&self, process: &Process, now: &Context<'_>) -> Option<Reply> {
        let mut replicas = now.draft.resources_of(&self.resource);
        replicas.find_map(|replica| {
            let (name, node) = (&replica.name, &replica.node);
            let applied = now.observed.applied_since(name, node, replica.uuid, 0);
            failure_in(process, node, applied)
        })
    }

    fn secure(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let safety = self.safety.as_ref();
        let row = safety.and_then(|name| now.draft.snapshot(&self.resource, name).cloned());
        let Some(row) = row else {
            let why = aborted(&self.resource, "Its safety snapshot is gone.".to_owned());
            return Next::Step(self.failed(why).at(Step::BringUp));
        };
        let mut waits = Vec::new();
        for (node, part) in &row.snapshots {
            let key = (&row.resource, &row.name, node);
            let applied = now.observed.snapshot_applied(key, part.uuid);
            let why = match now.observed.is_online(node) {
                true => failure_in(process, node, applied),
                false => Some(disconnected(node)),
            };
            if let Some(why) = why {
                return Next::Step(self.failed(why).at(Step::BringUp));
            }
            if !applied.is_some_and(|applied| process.is_done_by(applied)) {
                waits.push(Wait::snapshot(node, &row.resource, &row.name));
            }
        }
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        let now_ms = now.now_ms;
        now.draft.edit_snapshot(&row.resource, &row.name, |row| {
            row.state = SnapshotState::Successful;
            row.taken_at = Some(now_ms);
        });
        self.begin_roll_back(now)
    }

    fn begin_roll_back(&self, now: &mut Context<'_>) -> Next {
        set_volumes(now, &self.resource, &self.snapshot);
        Next::Step(self.at(Step::RollBack))
    }

    fn begin_return(&self, now: &mut Context<'_>) -> Next {
        if let Some(safety) = &self.safety {
            set_volumes(now, &self.resource, safety);
        }
        Next::Step(self.at(Step::Return))
    }

    fn roll_back(&self, process: &Process, now: &mut Context<'_>) -> Next {
        if self.safety.is_some()
            && let Some(why) = self.failure_on_a_node(process, now)
        {
            return self.failed(why).begin_return(now);
        }
        let waits = process.unapplied(now, &self.resource);
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        self.end(now, &self.snapshot);
        Next::Step(self.at(Step::BringUp))
    }

    fn return_to_safety(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let waits = process.unapplied(now, &self.resource);
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        if let Some(safety) = &self.safety {
            self.end(now, safety);
        }
        Next::Step(self.at(Step::BringUp))
    }

    /// The volumes have the content of a snapshot: those that it does not have are gone.
    fn end(&self, now: &mut Context<'_>, snapshot: &SnapshotName) {
        let name = &self.resource;
        let Some(row) = now.draft.snapshot(name, snapshot).cloned() else {
            return;
        };
        let definition = now.draft.definitions.get(name);
        let numbers = definition.iter().flat_map(|row| row.volumes.keys());
        let dropped = numbers.filter(|number| !row.volumes.contains_key(number));
        for number in dropped.copied().collect::<Vec<_>>() {
            delete_volume_definition::remove_volume(now.draft, name, number);
        }
        let newest = now.draft.newest_snapshot(name);
        let (remade, done) = (self.safety.is_some(), self.failure.is_none());
        now.draft.edit_resource_definition(name, |definition| {
            if remade {
                definition.snapshots.remade_after = newest;
            }
            if done {
                definition.snapshots.rollback = Some(Rollback {
                    id: self.id,
                    snapshot: self.snapshot.clone(),
                    failure: None,
                });
            }
        });
    }

    /// A node that is away comes up when it returns.
    fn bring_up(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let mut waits = process.unapplied(now, &self.resource);
        waits.retain(|wait| now.observed.is_online(&wait.node));
        if !waits.is_empty() {
            return Next::Wait(waits);
        }
        if let Some(failure) = &self.failure {
            now.draft
                .edit_resource_definition(&self.resource, |definition| {
                    definition.snapshots.rollback = Some(Rollback {
                        id: self.id,
                        snapshot: self.snapshot.clone(),
                        failure: Some(failure.clone()),
                    });
                });
        }
        if let Some(safety) = &self.safety
            && let Some(row) = now.draft.snapshot(&self.resource, safety).cloned()
        {
            let nodes = row.snapshots.keys().cloned().collect();
            delete_snapshot::begin(now.draft, &self.resource, safety, nodes, now.now_ms);
        }
        Next::Done
    }
}

/// Gives a definition the volume definitions that a snapshot has, and its resources their volumes. Those that the snapshot
/// does not have remain until nodes have destroyed their volumes.
fn set_volumes(now: &mut Context<'_>, name: &ResourceName, snapshot: &SnapshotName) {
    let draft = &mut *now.draft;
    let Some(row) = draft.snapshot(name, snapshot).cloned() else {
        return;
    };
    let Some(definition) = draft.definitions.get(name).cloned() else {
        return;
    };
    let mut changed = ResourceDefinition::clone(&definition);
    for (number, then) in &row.volumes {
        let before = changed.volumes.get(number);
        let unusable = now.observed.foreign_minors();
        let minor = match before {
            Some(before) => before.minor,
            None => then
                .minor
                .filter(|minor| !draft.used_minors.contains(*minor)),
        };
        let minor = match (minor, then.minor) {
            (None, Some(_)) => numbers::allocate_minor(draft, &unusable).ok(),
            (minor, _) => minor,
        };
        let granularity_kib = before.map_or(0, |before| before.granularity_kib);
        let volume = VolumeDefinition {
            minor,
            initialized: true,
            file_system_on: Default::default(),
            granularity_kib: granularity_kib.max(then.granularity_kib),
            ..then.clone()
        };
        changed.volumes.insert(*number, volume);
        draft.put_resource_definition(changed.clone());
    }
    let replicas: Vec<_> = draft.resources_of(name).cloned().collect();
    for replica in replicas {
        let part = usable_part(&row, &replica);
        let mut changed = Resource::clone(&replica);
        if let (Some(drbd), Some(part)) = (&mut changed.drbd, part)
            && let Some(then) = &part.resource.drbd
        {
            drbd.peer_slots = then.peer_slots;
        }
        for (number, volume) in &row.volumes {
            if changed.volumes.contains_key(number) {
                continue;
            }
            let then = part.and_then(|part| part.resource.volumes.get(number));
            let made = |volume: Volume| Volume {
                source: None,
                ..volume
            };
            let like = || {
                let other = replica.volumes.values().next()?;
                Some(Volume {
                    uuid: Uuid::from_u128(replica.uuid.as_u128() ^ volume.uuid.as_u128()),
                    props: Default::default(),
                    ..other.clone()
                })
            };
            if let Some(volume) = then.cloned().or_else(like) {
                changed.volumes.insert(*number, made(volume));
            }
        }
        if changed != *replica {
            draft.put_resource(changed);
        }
    }
}

/// Why a node failed in this step.
fn failure_in(process: &Process, node: &NodeName, applied: Option<&Applied>) -> Option<Reply> {
    let applied = applied.filter(|applied| applied.generation >= process.since.generation)?;
    let Outcome::Failed { replies } = &applied.outcome else {
        return None;
    };
    let mut reply = replies.first().cloned().unwrap_or_else(|| {
        let message = "The node failed without a reason.";
        Reply::new(code::FAIL_UNKNOWN_ERROR, message)
    });
    reply.message = format!("({node}) {}", reply.message);
    Some(reply)
}

fn disconnected(node: &NodeName) -> Reply {
    let message = format!("No active connection to satellite '{node}'");
    Reply::new(code::FAIL_NOT_CONNECTED, message)
        .cause("The connection was lost before anything was rolled back.")
        .correction("Roll back when the node is connected.")
        .about("Node", node.as_str())
}

fn aborted(name: &ResourceName, why: String) -> Reply {
    let message = format!("Resource '{name}' was not rolled back.");
    Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause(why)
        .details("It has the content that it had before.")
}

impl Model {
    /// The rollback of a resource definition that is under way.
    pub fn rollback_of(&self, name: &ResourceName) -> Option<&RollBack> {
        self.processes_of(name)
            .find_map(|process| match &process.kind {
                Kind::RollBack(roll_back) => Some(roll_back),
                _ => None,
            })
    }

    /// The largest sequence number that a snapshot of a definition has, or had.
    pub fn newest_snapshot(&self, name: &ResourceName) -> u64 {
        let numbers = self.snapshots_of(name).map(|row| row.sequence_number);
        let newest = numbers.max().unwrap_or(0);
        let before = self.definitions.get(name).map(|row| row.snapshots.newest);
        newest.max(before.unwrap_or(0))
    }
}
