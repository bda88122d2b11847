//! Restoring a backup: one node receives its volumes as a snapshot of the target, the full backup first and then all that
//! is based on it; the resource is made of that snapshot once all of it is there. Whatever fails before removes what was
//! received, and the resource definition if it was made for it.
//!
//! It comes from the bucket of a remote, or another cluster sends it ([`super::peer`]).

use std::collections::BTreeMap;

use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_wire::spec::{ReceiptSpec, ReceivedObject};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::peer::Peer;
use super::ship_backup::{LIMIT, Status};
use super::shipment::Shipment;
use super::{
    Context, Kind, Next, Object, Process, ProcessId, Progress, Steps, Undone, Wait,
    delete_resource, delete_snapshot,
};
use crate::draft::Draft;
use crate::layer::luks::Keys;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, RemoteName, ResourceName, SnapshotName};
use crate::observed::Observed;
use crate::row::is_default;
use crate::snapshot::SnapshotState;

const STEPS: u32 = 3;

/// A backup that is being restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreBackup {
    /// Names what its node receives.
    pub id: Uuid,
    /// Name of the resource definition that it is restored to.
    pub resource: ResourceName,
    /// Name of the snapshot that it becomes.
    pub snapshot: SnapshotName,
    /// The remote.
    pub remote: RemoteName,
    /// Identity of the remote.
    pub remote_uuid: Uuid,
    /// The node.
    pub node: NodeName,
    /// The id of the backup.
    pub backup: String,
    /// The objects by the number of the volume, in the order in which they are received.
    pub objects: BTreeMap<u32, Vec<ReceivedObject>>,
    /// A resource is made of it.
    pub makes_resource: bool,
    /// The resources that the definition has are deleted first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub replaces: bool,
    /// The resource definition was made for it.
    pub own_definition: bool,
    /// The snapshot was made for it; otherwise it was there.
    pub own_snapshot: bool,
    /// The cluster that sends it; none if it comes from a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Reply>,
    /// The step.
    pub step: Step,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The node receives the volumes.
    Receive,
    /// The resources that were there are being deleted. From now on what was received is the only copy.
    Clear,
    /// The controller makes the resource.
    Restore,
    /// It has failed or was aborted: what was received is removed.
    Abandon,
    /// It is done: the cluster that has sent it is told.
    Report,
}

fn failure(cause: impl Into<String>) -> Reply {
    Reply::new(code::FAIL_UNKNOWN_ERROR, "The backup was not restored.")
        .cause(cause)
        .correction("Restore it again.")
}

/// Begins to restore a backup into a resource definition and a snapshot whose rows are there.
pub fn begin(draft: &mut Draft, restore: RestoreBackup, now_ms: u64) -> ProcessId {
    let props = [
        (prop::BACKUP_TO_RESTORE, restore.backup.clone()),
        (prop::BACKUP_SOURCE_REMOTE, restore.remote.to_string()),
        (prop::BACKUP_TARGET_NODE, restore.node.to_string()),
    ];
    draft.edit_snapshot(&restore.resource, &restore.snapshot, |row| {
        for (key, value) in props {
            row.props.insert(prop_key(key), value);
        }
    });
    restore.note(draft, Status::Shipping);
    let id = draft.begin_process(restore, now_ms);
    let limit = u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX);
    draft.set_deadline(id, now_ms.saturating_add(limit));
    id
}

/// Notes that the resource was made.
pub fn restored(draft: &mut Draft, id: ProcessId, now_ms: u64) {
    let found = draft.restoration(id);
    let Some(restore) = found.filter(|of| of.step == Step::Restore) else {
        return;
    };
    match restore.peer {
        Some(_) => {
            let reported = restore.at(Step::Report);
            draft.restart_step(id, reported, now_ms);
        }
        None => {
            draft.remove(&RowKey::Process(id));
        }
    }
}

/// Notes that the resource cannot be made.
pub fn failed(draft: &mut Draft, id: ProcessId, failure: Reply, now_ms: u64) {
    let found = draft.restoration(id);
    let Some(restore) = found.filter(|of| of.step == Step::Restore).cloned() else {
        return;
    };
    draft.restart_step(id, restore.because(failure), now_ms);
}

/// A property of a snapshot about the backup that it is restored from.
pub fn prop_key(key: &str) -> String {
    format!("{}/{key}", prop::BACKUP_TARGET_NAMESPACE)
}

impl RestoreBackup {
    fn at(&self, step: Step) -> Kind {
        RestoreBackup {
            step,
            ..self.clone()
        }
        .into()
    }

    fn because(&self, failure: Reply) -> Kind {
        RestoreBackup {
            step: Step::Abandon,
            failure: Some(failure),
            ..self.clone()
        }
        .into()
    }

    fn note(&self, draft: &mut Draft, status: Status) {
        let key = prop_key(prop::BACKUP_SHIPPING_STATUS);
        draft.edit_snapshot(&self.resource, &self.snapshot, |row| {
            row.props.insert(key, status.as_str().to_owned());
        });
    }

    /// What the node has to receive.
    pub(crate) fn spec(&self, model: &Model, keys: Keys<'_>) -> Option<ReceiptSpec> {
        let remote = model.remotes.get(&self.remote)?;
        Some(ReceiptSpec {
            id: self.id,
            bucket: remote.bucket(model, keys)?,
            objects: self.objects.clone(),
        })
    }

    /// Whether the resources that it replaces are gone, or being deleted.
    fn is_only_copy(&self, model: &Model) -> bool {
        let mut rows = model.resources_of(&self.resource);
        self.replaces && rows.all(|row| model.is_deleting(row))
    }

    pub(super) fn shipment(&self) -> Shipment<'_> {
        Shipment {
            resource: &self.resource,
            snapshot: &self.snapshot,
            node: &self.node,
        }
    }

    fn receive(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let row = now.draft.snapshot(&self.resource, &self.snapshot);
        if row.and_then(|row| row.on(&self.node)).is_none() {
            let cause = format!("Node '{}' does not have the snapshot any more.", self.node);
            return Next::Step(self.because(failure(cause)));
        }
        let remote = now.draft.remotes.get(&self.remote);
        if remote.is_none_or(|remote| remote.uuid != self.remote_uuid) {
            let cause = format!("The remote {} was deleted.", self.remote);
            return Next::Step(self.because(failure(cause)));
        }
        if let Some(elsewhere) = self.at_another_port(process, now) {
            return Next::Step(elsewhere);
        }
        let unknown = || failure("The node failed without a reason.");
        match self.shipment().wait(process, now, unknown) {
            Ok(None) => {}
            Ok(Some(wait)) => return Next::Wait(vec![wait]),
            Err(why) => return Next::Step(self.because(why)),
        }
        let now_ms = now.now_ms;
        now.draft
            .edit_snapshot(&self.resource, &self.snapshot, |row| {
                row.state = SnapshotState::Successful;
                row.taken_at.get_or_insert(now_ms);
            });
        self.note(now.draft, Status::Success);
        match (self.makes_resource, self.replaces, &self.peer) {
            (true, true, _) => Next::Step(self.at(Step::Clear)),
            (true, false, _) => Next::Step(self.at(Step::Restore)),
            (false, _, Some(_)) => Next::Step(self.at(Step::Report)),
            (false, _, None) => Next::Done,
        }
    }

    /// Deletes the resources that are there.
    fn clear(&self, now: &mut Context<'_>) -> Next {
        let rows: Vec<_> = now.draft.resources_of(&self.resource).cloned().collect();
        let left: Vec<_> = rows
            .iter()
            .filter(|row| !now.draft.is_deleting(row))
            .collect();
        if rows.is_empty() {
            return Next::Step(self.at(Step::Restore));
        }
        let in_use = |node: &NodeName| now.observed.in_use(&self.resource, node) == Some(true);
        if let Some(row) = left.iter().find(|row| in_use(&row.node)) {
            let (name, node) = (&self.resource, &row.node);
            let message = "The backup was not restored.";
            let reply = Reply::new(code::FAIL_IN_USE, message)
                .cause(format!("Resource '{name}' is in use on node '{node}'."))
                .correction("Unmount it, and restore the backup again.");
            return Next::Step(self.because(reply));
        }
        if left.is_empty() {
            return Next::Wait(rows.iter().map(|row| Wait::apply(row)).collect());
        }
        for row in left {
            delete_resource::begin(now.draft, &row.name, &row.node, now.now_ms);
        }
        Next::Note(Kind::RestoreBackup(self.clone()))
    }

    /// Removes the snapshot, then the resource definition.
    fn abandon(&self, now: &mut Context<'_>) -> Next {
        if self.is_only_copy(now.draft) {
            return Next::Done;
        }
        let row = now.draft.snapshot(&self.resource, &self.snapshot);
        if let Some(row) = row.filter(|_| self.own_snapshot).cloned() {
            let deletion = now
                .draft
                .deletion_of_snapshot(&self.resource, &self.snapshot);
            if deletion.is_some() {
                let wait = Wait::snapshot(&self.node, &self.resource, &self.snapshot);
                return Next::Wait(vec![wait]);
            }
            let nodes = row.snapshots.keys().cloned().collect();
            let (name, snapshot) = (&self.resource, &self.snapshot);
            delete_snapshot::begin(now.draft, name, snapshot, nodes, now.now_ms);
            return Next::Note(Kind::RestoreBackup(self.clone()));
        }
        if self.peer.as_ref().is_some_and(|peer| !peer.told) {
            let why = "the cluster that sends it is told that it is not received";
            return Next::Wait(vec![Wait::state(&self.node, why)]);
        }
        let is_used = now.draft.resources_of(&self.resource).next().is_some()
            || now.draft.snapshots_of(&self.resource).next().is_some();
        if self.own_definition && !is_used {
            now.draft
                .remove(&RowKey::ResourceDefinition(self.resource.clone()));
        }
        Next::Done
    }
}

impl Steps for RestoreBackup {
    fn subject(&self) -> Object {
        Object::ResourceDefinition(self.resource.clone())
    }

    fn others(&self) -> Vec<Object> {
        vec![Object::Snapshot(
            self.resource.clone(),
            self.snapshot.clone(),
        )]
    }

    fn progress(&self, model: &Model, observed: &Observed) -> Progress {
        let (step, number) = match self.step {
            Step::Receive => ("receiving", 1),
            Step::Clear => ("deleting-resources", 2),
            Step::Restore => ("making-resource", STEPS),
            Step::Abandon => ("removing", STEPS),
            Step::Report => ("telling-remote", STEPS),
        };
        let progress = Progress::numbered(step, number, STEPS);
        match self.step {
            Step::Receive => self.shipment().progress(progress, model, observed),
            _ => progress,
        }
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        match self.step {
            Step::Receive => self.receive(process, now),
            Step::Clear => self.clear(now),
            Step::Restore => {
                let why = "the controller makes the resource of the snapshot";
                Next::Wait(vec![Wait::state(&self.node, why)])
            }
            Step::Abandon => self.abandon(now),
            Step::Report => {
                let why = "the cluster that has sent it is told that it is received";
                Next::Wait(vec![Wait::state(&self.node, why)])
            }
        }
    }

    fn undo(&self, process: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        match self.step {
            Step::Receive if process.has_expired(now.now_ms) => {
                let failure = failure("It was not received within seven days.");
                Ok(Next::Step(self.because(failure)).into())
            }
            // The deletion goes on by itself, and what was received remains as a snapshot.
            Step::Clear => Ok(Next::Done.into()),
            Step::Receive | Step::Restore => Ok(Next::Step(self.at(Step::Abandon)).into()),
            Step::Abandon => Err("What was received is being removed already.".to_owned()),
            Step::Report => Ok(Next::Done.into()),
        }
    }
}

impl Model {
    /// A backup that is being restored.
    pub fn restoration(&self, id: ProcessId) -> Option<&RestoreBackup> {
        match &self.processes.get(&id)?.kind {
            Kind::RestoreBackup(restore) => Some(restore),
            _ => None,
        }
    }

    /// The backup that is being restored into a resource definition.
    pub fn restoration_of(&self, name: &ResourceName) -> Option<(ProcessId, &RestoreBackup)> {
        self.processes_of(name)
            .find_map(|process| match &process.kind {
                // One that only has to be reported is restored.
                Kind::RestoreBackup(restore) if restore.step != Step::Report => {
                    Some((process.id, restore))
                }
                _ => None,
            })
    }
}
