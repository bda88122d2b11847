//! Processes: changes that take several steps over one or many objects, each step taken once nodes have reported.
//!
//! A process is a row of its own: what it does and in which step it is ([`Kind`]), since when, until when. There is one
//! file for each kind, with one pure function ([`Steps::step`]) that is given the model, what nodes report and the
//! time, and returns what comes next: wait, change, done. [`crate::project`] turns rows and processes into specs. The same
//! code runs in the happy case and after a restart of either side. Nothing here waits: a step that cannot be taken yet
//! is taken by a later call.
//!
//! How to write one: `docs/adding-a-process.md`.

pub mod add_disk;
pub mod clone_definition;
pub mod delete_node;
pub mod delete_resource;
pub mod delete_resource_definition;
pub mod delete_snapshot;
pub mod delete_volume_definition;
mod id;
pub mod migrate;
pub mod peer;
pub mod remove_disk;
pub mod resize;
pub mod restore_backup;
pub mod roll_back;
pub mod ship_backup;
pub mod ship_snapshot;
mod shipment;
pub mod take_snapshot;

use std::fmt;
use std::sync::Arc;

use linstor_wire::status::{Moved, Outcome};
use serde::{Deserialize, Serialize};

pub use id::ProcessId;

use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, ResourceName, SnapshotName};
use crate::observed::{Applied, Observed};
use crate::once;
use crate::row::{Since, is_default};
use crate::skip_disk;
use crate::{Resource, ResourceDefinition};

/// A change that takes several steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub id: ProcessId,
    /// What it does, to which objects, and in which step it is.
    pub kind: Kind,
    /// When it began, in milliseconds since the Unix epoch.
    pub began_at: u64,
    /// When its step began: a node has done its part once it has applied the spec of this generation.
    pub since: Since,
    /// When it is cancelled if it is not finished, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// It was cancelled, and takes back what it did.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cancelled: bool,
}

/// An object that a process works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A node.
    Node(NodeName),
    /// A resource definition.
    ResourceDefinition(ResourceName),
    /// A volume definition.
    VolumeDefinition(ResourceName, u32),
    /// A resource.
    Resource(ResourceName, NodeName),
    /// A snapshot of a resource definition.
    Snapshot(ResourceName, SnapshotName),
}

impl Object {
    /// The definition that it is, or is a part of.
    pub fn definition(&self) -> Option<&ResourceName> {
        match self {
            Object::Node(_) => None,
            Object::ResourceDefinition(name)
            | Object::VolumeDefinition(name, _)
            | Object::Resource(name, _)
            | Object::Snapshot(name, _) => Some(name),
        }
    }

    /// The row whose processes are advanced together with those of this object: the node, or the resource definition that
    /// it is, or is a part of.
    pub fn row(&self) -> RowKey {
        match self {
            Object::Node(node) => RowKey::Node(node.clone()),
            Object::ResourceDefinition(name)
            | Object::VolumeDefinition(name, _)
            | Object::Resource(name, _)
            | Object::Snapshot(name, _) => RowKey::ResourceDefinition(name.clone()),
        }
    }

    /// Whether its row is there.
    fn exists(&self, model: &Model) -> bool {
        match self {
            Object::Node(node) => model.node(node).is_some(),
            Object::ResourceDefinition(name) => model.definitions.contains_key(name),
            Object::VolumeDefinition(name, number) => {
                let definition = model.definitions.get(name);
                definition.is_some_and(|row| row.volumes.contains_key(number))
            }
            Object::Resource(name, node) => model.resource(name, node).is_some(),
            Object::Snapshot(name, snapshot) => model.snapshot(name, snapshot).is_some(),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Node(node) => write!(f, "node '{node}'"),
            Object::ResourceDefinition(name) => write!(f, "resource definition '{name}'"),
            Object::VolumeDefinition(name, number) => {
                write!(f, "volume definition {number} of '{name}'")
            }
            Object::Resource(name, node) => write!(f, "resource '{name}' on node '{node}'"),
            Object::Snapshot(name, snapshot) => {
                write!(f, "snapshot '{snapshot}' of resource '{name}'")
            }
        }
    }
}

/// What a process waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The node that has something to do.
    pub node: NodeName,
    /// Why.
    pub reason: Reason,
}

/// Why a process waits for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The node has not yet applied the spec of this resource.
    Apply(ResourceName),
    /// The node has not yet applied the spec of this snapshot.
    Snapshot(ResourceName, SnapshotName),
    /// The resource is deactivated, and the step needs its devices. The text has the reason.
    Activate(ResourceName, &'static str),
    /// A state that is reached by itself or by what users do; the text names it.
    State(String),
}

/// What comes next in a process.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing can be done before one of these came about.
    Wait(Vec<Wait>),
    /// The next step: nodes have to apply its specs.
    Step(Kind),
    /// The same step, of which more is known now.
    Note(Kind),
    /// It is finished.
    Done,
}

/// How what a process did is taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Undone {
    /// Whether that takes further steps.
    next: Next,
    /// What cannot be taken back, for a person.
    pub remains: Option<&'static str>,
}

impl From<Next> for Undone {
    fn from(next: Next) -> Undone {
        Undone {
            next,
            remains: None,
        }
    }
}

/// What a step is decided by, and where its changes are made.
pub struct Context<'a> {
    /// The rows.
    pub draft: &'a mut Draft,
    /// What nodes report.
    pub observed: &'a Observed,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// How far a process is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The step's name, in lower case with `-` between words.
    pub step: &'static str,
    /// Its number, from 1.
    pub number: u32,
    /// How many steps there are.
    pub of: u32,
    /// How much of this step is done, in percent, where that is known.
    pub percent: Option<f64>,
    /// What a node has sent or received in it.
    pub moved: Option<Moved>,
}

impl Progress {
    /// Of a process with one step.
    const fn only(step: &'static str) -> Progress {
        Progress::numbered(step, 1, 1)
    }

    /// Of a step that does not report how much of it is done.
    const fn numbered(step: &'static str, number: u32, of: u32) -> Progress {
        Progress {
            step,
            number,
            of,
            percent: None,
            moved: None,
        }
    }

    /// Of a process that removes objects and has removed all but `left`.
    fn of_removals(step: &'static str, all: u32, left: usize) -> Progress {
        let removed = f64::from(all) - left as f64;
        Progress {
            percent: (all > 0).then(|| (100.0 * removed / f64::from(all)).clamp(0.0, 100.0)),
            ..Progress::only(step)
        }
    }
}

/// What a kind of process is made of.
pub trait Steps {
    /// The object that it changes first of all. It ends when this object's row is removed.
    fn subject(&self) -> Object;

    /// Other objects that it works on.
    fn others(&self) -> Vec<Object> {
        Vec::new()
    }

    /// How far it is.
    fn progress(&self, model: &Model, observed: &Observed) -> Progress;

    /// Takes the next step when that is possible. Changes the draft unless the answer is to wait.
    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next;

    /// Takes back what was done. If that is not possible, fails with the reason and changes nothing.
    fn undo(&self, process: &Process, now: &mut Context<'_>) -> Result<Undone, String>;
}

macro_rules! kinds {
    ($($kind:ident in $module:ident is $name:literal,)+) => {
        /// What a process does, with what it has to remember, its step included.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $kind($module::$kind),
            )+
        }

        /// The kinds of processes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum KindName {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $kind,
            )+
        }

        impl KindName {
            /// All of them.
            pub const ALL: &[KindName] = &[$(KindName::$kind),+];

            /// As clients see it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(KindName::$kind => $name,)+
                }
            }
        }

        impl Kind {
            /// Which of the kinds it is.
            pub const fn name(&self) -> KindName {
                match self {
                    $(Kind::$kind(_) => KindName::$kind,)+
                }
            }

            fn steps(&self) -> &dyn Steps {
                match self {
                    $(Kind::$kind(steps) => steps,)+
                }
            }
        }

        $(
            impl From<$module::$kind> for Kind {
                fn from(steps: $module::$kind) -> Kind {
                    Kind::$kind(steps)
                }
            }
        )+
    };
}

kinds! {
    DeleteNode in delete_node is "node-delete",
    DeleteResourceDefinition in delete_resource_definition is "resource-definition-delete",
    DeleteVolumeDefinition in delete_volume_definition is "volume-definition-delete",
    DeleteResource in delete_resource is "resource-delete",
    Resize in resize is "volume-definition-resize",
    AddDisk in add_disk is "disk-add",
    RemoveDisk in remove_disk is "disk-remove",
    Migrate in migrate is "disk-migrate",
    TakeSnapshot in take_snapshot is "snapshot-create",
    DeleteSnapshot in delete_snapshot is "snapshot-delete",
    RollBack in roll_back is "snapshot-rollback",
    ShipBackup in ship_backup is "backup-create",
    RestoreBackup in restore_backup is "backup-restore",
    ShipSnapshot in ship_snapshot is "backup-ship",
    CloneDefinition in clone_definition is "resource-definition-clone",
}

impl Process {
    /// The object that it changes first of all.
    pub fn subject(&self) -> Object {
        self.kind.steps().subject()
    }

    /// All objects that it works on, the subject first.
    pub fn objects(&self) -> Vec<Object> {
        let mut objects = vec![self.subject()];
        objects.append(&mut self.kind.steps().others());
        objects
    }

    /// The object that it changes first of all, if it is not there.
    pub(crate) fn missing(&self, model: &Model) -> Option<Object> {
        Some(self.subject()).filter(|subject| !subject.exists(model))
    }

    /// How far it is.
    pub fn progress(&self, model: &Model, observed: &Observed) -> Progress {
        self.kind.steps().progress(model, observed)
    }

    /// What it waits for as things are; nothing when its next step can be taken.
    pub fn waits(&self, model: &Model, observed: &Observed) -> Vec<Wait> {
        let mut scratch = Draft::new(model.clone());
        let mut now = Context {
            draft: &mut scratch,
            observed,
            // Nothing of it is stored.
            now_ms: 0,
        };
        match self.kind.steps().step(self, &mut now) {
            Next::Wait(waits) => waits,
            Next::Step(_) | Next::Note(_) | Next::Done => Vec::new(),
        }
    }

    /// Whether the node has applied what this step asks of a resource.
    fn reached(&self, observed: &Observed, replica: &Resource) -> bool {
        let (name, node) = (&replica.name, &replica.node);
        let applied = observed.applied_since(name, node, replica.uuid, 0);
        applied.is_some_and(|applied| self.is_done_by(applied))
    }

    /// Whether an outcome is that of what this step asks for.
    fn is_done_by(&self, applied: &Applied) -> bool {
        applied.generation >= self.since.generation && applied.outcome == Outcome::Done
    }

    /// The resources of a definition whose nodes have not applied what this step asks of them.
    fn unapplied(&self, now: &Context<'_>, name: &ResourceName) -> Vec<Wait> {
        let resources = now.draft.resources_of(name);
        resources
            .filter(|replica| !self.reached(now.observed, replica))
            .map(|replica| Wait::apply(replica))
            .collect()
    }

    fn then(&self, next: Next, now: &mut Context<'_>) -> bool {
        let (kind, since) = match next {
            Next::Wait(_) => return false,
            Next::Done => {
                now.draft.remove(&RowKey::Process(self.id));
                return true;
            }
            Next::Note(kind) => (kind, self.since),
            Next::Step(kind) => (kind, now.draft.since(now.now_ms)),
        };
        now.draft.put_process(Process {
            kind,
            since,
            ..self.clone()
        });
        true
    }

    fn has_expired(&self, now_ms: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now_ms)
    }
}

impl Wait {
    fn apply(replica: &Resource) -> Wait {
        Wait {
            node: replica.node.clone(),
            reason: Reason::Apply(replica.name.clone()),
        }
    }

    fn snapshot(node: &NodeName, name: &ResourceName, snapshot: &SnapshotName) -> Wait {
        Wait {
            node: node.clone(),
            reason: Reason::Snapshot(name.clone(), snapshot.clone()),
        }
    }

    fn state(node: &NodeName, text: impl Into<String>) -> Wait {
        Wait {
            node: node.clone(),
            reason: Reason::State(text.into()),
        }
    }

    fn activate(replica: &Resource, why: &'static str) -> Wait {
        Wait {
            node: replica.node.clone(),
            reason: Reason::Activate(replica.name.clone(), why),
        }
    }
}

/// Takes every step that can be taken now of a definition's first deployment and its processes. Returns whether there
/// was any.
pub fn advance(draft: &mut Draft, observed: &Observed, name: &ResourceName, now_ms: u64) -> bool {
    let mut changed = false;
    while advance_definition(draft, observed, name, now_ms) {
        changed = true;
    }
    changed
}

/// Takes the first step that can be taken now of the processes of a resource definition, or of a node itself. Returns
/// whether there was one. Rows of other kinds have no processes of their own, see [`Object::row`].
pub fn advance_once(draft: &mut Draft, observed: &Observed, key: &RowKey, now_ms: u64) -> bool {
    match key {
        RowKey::ResourceDefinition(name) => advance_definition(draft, observed, name, now_ms),
        RowKey::Node(name) => advance_node(draft, observed, name, now_ms),
        _ => false,
    }
}

fn advance_definition(
    draft: &mut Draft,
    observed: &Observed,
    name: &ResourceName,
    now_ms: u64,
) -> bool {
    if draft.held.holds_definition(name) {
        return false;
    }
    if once::note_done(draft, observed, name) || skip_disk::note_given_up(draft, observed, name) {
        return true;
    }
    let processes: Vec<_> = draft.processes_of(name).cloned().collect();
    let mut processes = processes.iter();
    processes.any(|process| advance_process(draft, observed, process, now_ms))
}

/// Takes the first step that can be taken now of the processes of a node itself. Returns whether there was one.
pub fn advance_node(draft: &mut Draft, observed: &Observed, name: &NodeName, now_ms: u64) -> bool {
    let processes: Vec<_> = draft.processes_on(name).cloned().collect();
    let mut processes = processes.iter();
    processes.any(|process| advance_process(draft, observed, process, now_ms))
}

fn advance_process(draft: &mut Draft, observed: &Observed, process: &Process, now_ms: u64) -> bool {
    if draft.held.refuses_process(process).is_some() {
        return false;
    }
    let mut now = Context {
        draft,
        observed,
        now_ms,
    };
    if process.has_expired(now_ms) {
        if now.cancel(process).is_err() {
            // It cannot be taken back any more and continues.
            let mut process = process.clone();
            process.deadline = None;
            now.draft.put_process(process);
        }
        return true;
    }
    let next = process.kind.steps().step(process, &mut now);
    process.then(next, &mut now)
}

impl Context<'_> {
    fn cancel(&mut self, process: &Process) -> Result<Undone, String> {
        if process.cancelled {
            return Err("It was cancelled already, and takes back what it did.".to_owned());
        }
        let undone = process.kind.steps().undo(process, self)?;
        process.then(undone.next.clone(), self);
        if let Some(current) = self.draft.processes.get(&process.id).cloned() {
            self.draft.put_process(Process {
                cancelled: true,
                deadline: None,
                ..Process::clone(&current)
            });
        }
        Ok(undone)
    }
}

/// Cancels a process: takes back what it did, at once or in further steps. The error is the reason why that is not
/// possible; nothing is changed then.
pub fn cancel(
    draft: &mut Draft,
    observed: &Observed,
    process: &Process,
    now_ms: u64,
) -> Result<Undone, String> {
    let mut now = Context {
        draft,
        observed,
        now_ms,
    };
    now.cancel(process)
}

impl Draft {
    /// Begins a process; its first step is the one of `kind`.
    pub(crate) fn begin_process(&mut self, kind: impl Into<Kind>, now_ms: u64) -> ProcessId {
        let kind = kind.into();
        debug_assert!(
            kind.resource().is_none_or(|(name, node)| {
                let row = self.resource(name, node);
                row.is_none_or(|row| self.process_of(row).is_none())
            }),
            "{kind:?} begins while something else is done with the resource"
        );
        let since = self.since(now_ms);
        let id = ProcessId::next(self, since.generation);
        self.put_process(Process {
            id,
            kind,
            began_at: now_ms,
            since,
            deadline: None,
            cancelled: false,
        });
        id
    }

    /// Sets when a process is cancelled if it is not finished.
    pub(crate) fn set_deadline(&mut self, id: ProcessId, deadline: u64) {
        if let Some(process) = self.processes.get(&id) {
            let process = Process {
                deadline: Some(deadline),
                ..Process::clone(process)
            };
            self.put_process(process);
        }
    }

    /// Begins the step of a process again: what nodes applied before does not count.
    pub(crate) fn restart_step(&mut self, id: ProcessId, kind: Kind, now_ms: u64) {
        if let Some(process) = self.processes.get(&id) {
            let process = Process {
                kind,
                since: self.since(now_ms),
                cancelled: false,
                ..Process::clone(process)
            };
            self.put_process(process);
        }
    }
}

/// Processes by object.
impl Model {
    /// The processes that work on a definition, its volume definitions or its resources.
    pub fn processes_of(&self, name: &ResourceName) -> impl Iterator<Item = &Arc<Process>> {
        let ids = self.processes_by_definition.get(name);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.processes.get(id))
    }

    /// The processes that work on a node itself.
    pub fn processes_on(&self, node: &NodeName) -> impl Iterator<Item = &Arc<Process>> {
        let ids = self.processes_by_node.get(node);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.processes.get(id))
    }

    /// What is being done with a resource.
    pub fn process_of(&self, replica: &Resource) -> Option<&Arc<Process>> {
        self.processes_of(&replica.name).find(|process| {
            let subject = process.kind.resource();
            subject.is_some_and(|(name, node)| *name == replica.name && *node == replica.node)
        })
    }

    /// What is being done with a volume definition.
    pub fn process_of_volume(&self, name: &ResourceName, number: u32) -> Option<&Arc<Process>> {
        self.processes_of(name)
            .find(|process| process.kind.volume() == Some((name, number)))
    }

    /// Whether a resource is being deleted.
    pub fn is_deleting(&self, replica: &Resource) -> bool {
        self.deletion_of(replica).is_some()
    }

    /// The step of a resource's deletion.
    pub fn deletion_of(&self, replica: &Resource) -> Option<&delete_resource::Step> {
        match &self.process_of(replica)?.kind {
            Kind::DeleteResource(delete) => Some(&delete.step),
            _ => None,
        }
    }

    /// The storage of a disk that is being removed: volume numbers and their pools.
    pub fn removed_storage(&self, replica: &Resource) -> Option<&remove_disk::Storage> {
        match &self.process_of(replica)?.kind {
            Kind::RemoveDisk(remove) => Some(&remove.storage),
            _ => None,
        }
    }

    /// Whether a resource definition is being deleted.
    pub fn is_deleting_definition(&self, definition: &ResourceDefinition) -> bool {
        self.processes_of(&definition.name)
            .any(|process| process.kind.name() == KindName::DeleteResourceDefinition)
    }

    /// Whether a node is being deleted.
    pub fn is_deleting_node(&self, node: &NodeName) -> bool {
        self.processes_on(node)
            .any(|process| process.kind.name() == KindName::DeleteNode)
    }

    /// The growth of a volume that is under way.
    pub fn resize_of(&self, name: &ResourceName, number: u32) -> Option<&resize::Resize> {
        match &self.process_of_volume(name, number)?.kind {
            Kind::Resize(resize) => Some(resize),
            _ => None,
        }
    }

    /// Whether a volume definition is being deleted.
    pub fn is_deleting_volume(&self, name: &ResourceName, number: u32) -> bool {
        let process = self.process_of_volume(name, number);
        process.is_some_and(|process| process.kind.name() == KindName::DeleteVolumeDefinition)
    }

    /// When the first process is cancelled for having taken too long, in milliseconds since the Unix epoch. A process
    /// whose objects are held takes no step, its cancellation included.
    pub fn first_deadline(&self) -> Option<(u64, &Arc<Process>)> {
        let deadlines = self.deadlines.iter();
        let mut processes = deadlines.filter_map(|(at, id)| Some((*at, self.processes.get(id)?)));
        processes.find(|(_, process)| self.held.refuses_process(process).is_none())
    }
}

impl Kind {
    /// The resource that it changes, if it changes one first of all. No resource has two such processes.
    pub fn resource(&self) -> Option<(&ResourceName, &NodeName)> {
        match self {
            Kind::DeleteResource(of) => Some((&of.resource, &of.node)),
            Kind::AddDisk(of) => Some((&of.resource, &of.node)),
            Kind::RemoveDisk(of) => Some((&of.resource, &of.node)),
            Kind::Migrate(of) => Some((&of.resource, &of.node)),
            Kind::DeleteNode(_)
            | Kind::DeleteResourceDefinition(_)
            | Kind::DeleteVolumeDefinition(_)
            | Kind::Resize(_)
            | Kind::TakeSnapshot(_)
            | Kind::DeleteSnapshot(_)
            | Kind::RollBack(_)
            | Kind::ShipBackup(_)
            | Kind::RestoreBackup(_)
            | Kind::ShipSnapshot(_)
            | Kind::CloneDefinition(_) => None,
        }
    }

    /// The volume definition that it changes, if it changes one first of all. None has two such processes.
    pub fn volume(&self) -> Option<(&ResourceName, u32)> {
        match self {
            Kind::DeleteVolumeDefinition(of) => Some((&of.resource, of.volume)),
            Kind::Resize(of) => Some((&of.resource, of.volume)),
            Kind::DeleteNode(_)
            | Kind::DeleteResourceDefinition(_)
            | Kind::DeleteResource(_)
            | Kind::AddDisk(_)
            | Kind::RemoveDisk(_)
            | Kind::Migrate(_)
            | Kind::TakeSnapshot(_)
            | Kind::DeleteSnapshot(_)
            | Kind::RollBack(_)
            | Kind::ShipBackup(_)
            | Kind::RestoreBackup(_)
            | Kind::ShipSnapshot(_)
            | Kind::CloneDefinition(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
