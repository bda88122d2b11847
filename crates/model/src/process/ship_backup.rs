//! Making a backup: a snapshot is taken, one node sends it into the bucket of an S3 remote, and the description comes last,
//! so that a backup without one does not exist.
//!
//! The controller begins, and aborts, the uploads of the objects; their ids are in the row. So whichever side ends meanwhile,
//! the node goes on with the parts that are missing, or all that was sent is removed. What the controller has to do at the
//! store is done by its task for backups, which reads the step here ([`ShipBackup::work`]), and notes in the same row that
//! it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use linstor_api::kind::StorageSuffix;
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_wire::spec::{ObjectSpec, ShipmentSpec};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::shipment::Shipment;
use super::{
    Context, Kind, Next, Object, Process, ProcessId, Progress, Steps, Undone, Wait, delete_snapshot,
};
use crate::SnapshotDefinition;
use crate::backup::MetaKey;
use crate::backup::history::{self, Began, End, Made, Triple};
use crate::draft::Draft;
use crate::layer::luks::Keys;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, RemoteName, ResourceName, ScheduleName, SnapshotName};
use crate::observed::Observed;
use crate::snapshot::SnapshotState;

/// How long a backup may take: nodes may be away meanwhile, and a link slow.
pub const LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the controller tries to remove what was sent of a backup that has failed.
pub const CLEANUP_LIMIT: Duration = Duration::from_secs(3600);
const STEPS: u32 = 4;
/// The number of a return code, without what it is about.
const CODE: i64 = 0xffff;

/// A backup that is being made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShipBackup {
    /// Names what its node sends.
    pub id: Uuid,
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Name of the snapshot.
    pub snapshot: SnapshotName,
    /// The remote.
    pub remote: RemoteName,
    /// Identity of the remote.
    pub remote_uuid: Uuid,
    /// The node that sends it.
    pub node: NodeName,
    /// The key of its description.
    pub meta: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at: u64,
    /// The backup that it is based on; none of a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The schedule that it is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// The snapshot was made for it.
    #[serde(default)]
    pub own_snapshot: bool,
    /// The uploads that were begun, by the number of the volume.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uploads: BTreeMap<u32, String>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Reply>,
    /// The step.
    pub step: Step,
}

/// The backup that an incremental one is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its snapshot.
    pub snapshot: SnapshotName,
    /// Identity of the snapshot.
    pub uuid: Uuid,
    /// The key of its description.
    pub meta: String,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The snapshot is being taken.
    Take,
    /// The controller begins the uploads, once it is this backup's turn on its node.
    Begin,
    /// The node sends the volumes.
    Send,
    /// The controller writes the description.
    Describe,
    /// It has failed or was aborted: the controller removes what was sent.
    Abandon,
}

/// How a backup is, as LINSTOR writes it into the properties of its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has begun, and nothing was sent.
    Prepare,
    /// It is being sent.
    Shipping,
    /// It was aborted, and what was sent is being removed.
    Aborting,
    /// It was aborted.
    Aborted,
    /// It was made.
    Success,
    /// It has failed.
    Failed,
}

impl Status {
    /// As LINSTOR writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Prepare => "Prepare Shipping",
            Status::Shipping => "Shipping",
            Status::Aborting => "Aborting",
            Status::Aborted => "Aborted",
            Status::Success => "Success",
            Status::Failed => "Failed",
        }
    }
}

/// A property of a snapshot about its backup on a remote.
pub fn prop_key(remote: &RemoteName, key: &str) -> String {
    format!("{}/{remote}/{key}", prop::BACKUP_SOURCE_NAMESPACE)
}

/// Begins to make a backup of a snapshot whose row is there, and which is perhaps still being taken.
pub fn begin(draft: &mut Draft, backup: ShipBackup, now_ms: u64) -> ProcessId {
    let props = [
        (prop::BACKUP_START_TIMESTAMP, backup.started_at.to_string()),
        (prop::BACKUP_SOURCE_NODE, backup.node.to_string()),
        (prop::BACKUP_TARGET_REMOTE, backup.remote.to_string()),
    ];
    let base = backup.base.as_ref();
    let base = base.map(|base| (prop::BACKUP_LAST_SNAPSHOT, base.snapshot.to_string()));
    let full = (prop::BACKUP_LAST_FULL, backup.full_of_chain(draft));
    let (name, snapshot) = (&backup.resource, &backup.snapshot);
    draft.edit_snapshot(name, snapshot, |row| {
        for (key, value) in props.into_iter().chain(base).chain([full]) {
            row.props.insert(prop_key(&backup.remote, key), value);
        }
        if let Some(schedule) = backup.schedule.as_ref().filter(|_| backup.own_snapshot) {
            let key = prop::BACKUP_SHIPPED_BY_SCHEDULE.to_owned();
            row.props.insert(key, schedule.to_string());
        }
        row.props
            .remove(&prop_key(&backup.remote, prop::BACKUP_FAILURE));
    });
    backup.note(draft, Status::Prepare);
    if let Some(of) = backup.triple() {
        let began = Began {
            at: backup.started_at,
            incremental: backup.base.is_some(),
        };
        history::began(draft, &of, began);
    }
    let id = draft.begin_process(backup, now_ms);
    let limit = u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX);
    draft.set_deadline(id, now_ms.saturating_add(limit));
    id
}

/// Notes that the uploads were begun: the node sends its parts from now on. Returns whether that is still wanted.
pub fn begun(
    draft: &mut Draft,
    id: ProcessId,
    uploads: BTreeMap<u32, String>,
    now_ms: u64,
) -> bool {
    let Some(backup) = draft.shipment(id).filter(|of| of.step == Step::Begin) else {
        return false;
    };
    let backup = ShipBackup {
        uploads,
        ..backup.clone()
    };
    backup.note(draft, Status::Shipping);
    draft.restart_step(id, backup.at(Step::Send), now_ms);
    true
}

/// Notes that the description was written: the backup is made, and its objects have so many bytes. Returns whether that was
/// still wanted.
pub fn described(draft: &mut Draft, id: ProcessId, bytes: Option<u64>, now_ms: u64) -> bool {
    let Some(backup) = draft.shipment(id).filter(|of| of.step == Step::Describe) else {
        return false;
    };
    let backup = backup.clone();
    backup.note(draft, Status::Success);
    let made = Made {
        began_at: backup.started_at,
        ended_at: now_ms,
        incremental: backup.base.is_some(),
        bytes,
    };
    backup.remember(draft, End::Made(made), now_ms);
    draft.remove(&RowKey::Process(id));
    true
}

/// Notes that a step of the controller has failed for good.
pub fn failed(draft: &mut Draft, id: ProcessId, failure: Reply, now_ms: u64) {
    let found = draft.shipment(id);
    let Some(backup) = found.filter(|of| of.step != Step::Abandon).cloned() else {
        return;
    };
    draft.restart_step(id, backup.because(failure), now_ms);
}

/// Notes that what was sent is removed. A snapshot that was made for a backup that was aborted goes with it.
pub fn abandoned(draft: &mut Draft, id: ProcessId, now_ms: u64) {
    let Some(backup) = draft.shipment(id).filter(|of| of.step == Step::Abandon) else {
        return;
    };
    let backup = backup.clone();
    draft.remove(&RowKey::Process(id));
    backup.end(draft, now_ms);
}

impl ShipBackup {
    fn at(&self, step: Step) -> Kind {
        ShipBackup {
            step,
            ..self.clone()
        }
        .into()
    }

    fn because(&self, failure: Reply) -> Kind {
        ShipBackup {
            step: Step::Abandon,
            failure: Some(failure),
            ..self.clone()
        }
        .into()
    }

    fn note(&self, draft: &mut Draft, status: Status) {
        let key = prop_key(&self.remote, prop::BACKUP_SHIPPING_STATUS);
        draft.edit_snapshot(&self.resource, &self.snapshot, |row| {
            row.props.insert(key, status.as_str().to_owned());
        });
    }

    /// What becomes of the snapshot of a backup that was not made.
    fn end(&self, draft: &mut Draft, now_ms: u64) {
        let Some(failure) = &self.failure else {
            self.note(draft, Status::Aborted);
            self.remember(draft, End::Aborted, now_ms);
            if self.own_snapshot {
                let row = draft.snapshot(&self.resource, &self.snapshot);
                let nodes = row.map(|row| row.snapshots.keys().cloned().collect());
                let nodes = nodes.unwrap_or_default();
                delete_snapshot::begin(draft, &self.resource, &self.snapshot, nodes, now_ms);
            }
            return;
        };
        self.note(draft, Status::Failed);
        let why = [Some(&failure.message), failure.cause.as_ref()];
        let why: Vec<&str> = why.into_iter().flatten().map(String::as_str).collect();
        let why = why.join(" ");
        self.remember(draft, End::Failed(why.clone()), now_ms);
        let key = prop_key(&self.remote, prop::BACKUP_FAILURE);
        draft.edit_snapshot(&self.resource, &self.snapshot, |row| {
            row.props.insert(key, why);
        });
    }

    fn remember(&self, draft: &mut Draft, end: End, now_ms: u64) {
        let of = (&self.resource, &self.remote);
        let schedule = self.schedule.as_ref();
        history::ended(draft, of, schedule, self.base.is_some(), end, now_ms);
    }

    /// The schedule that it is made for, with what it is of.
    pub fn triple(&self) -> Option<Triple> {
        Some(Triple {
            resource: self.resource.clone(),
            remote: self.remote.clone(),
            schedule: self.schedule.clone()?,
        })
    }

    /// The snapshot of the full backup that its chain begins with.
    fn full_of_chain(&self, model: &Model) -> String {
        let Some(base) = &self.base else {
            return self.snapshot.to_string();
        };
        let row = model.snapshot(&self.resource, &base.snapshot);
        let key = prop_key(&self.remote, prop::BACKUP_LAST_FULL);
        let full = row.and_then(|row| row.props.get(&key).cloned());
        full.unwrap_or_else(|| base.snapshot.to_string())
    }

    /// The key of the description; none if what the row has is none.
    pub fn key(&self) -> Option<MetaKey> {
        MetaKey::parse(&self.meta)
    }

    /// The keys of the objects by the number of the volume, those of a snapshot.
    pub fn objects(&self, row: &SnapshotDefinition) -> BTreeMap<u32, String> {
        let (Some(key), Some(part)) = (self.key(), row.on(&self.node)) else {
            return BTreeMap::new();
        };
        let numbers = part.volumes.keys();
        numbers
            .map(|number| (*number, key.volume(*number)))
            .collect()
    }

    /// All keys that it may have written, the description first: without it nothing is left that looks whole.
    pub fn keys(&self) -> Vec<String> {
        let numbers = self.uploads.keys();
        let volumes = self.key().into_iter().flat_map(|key| {
            let of = numbers.clone().map(move |number| key.volume(*number));
            of.collect::<Vec<_>>()
        });
        std::iter::once(self.meta.clone()).chain(volumes).collect()
    }

    /// What the node has to send.
    pub(crate) fn spec(&self, model: &Model, keys: Keys<'_>) -> Option<ShipmentSpec> {
        let key = self.key()?;
        let objects = self.uploads.iter().map(|(number, upload)| {
            let object = ObjectSpec {
                key: key.volume(*number),
                upload: upload.clone(),
            };
            (*number, object)
        });
        let base = match &self.base {
            Some(base) => Some(self.shipment().base(model, &base.snapshot, base.uuid)?),
            None => None,
        };
        let remote = model.remotes.get(&self.remote)?;
        Some(ShipmentSpec {
            id: self.id,
            bucket: remote.bucket(model, keys)?,
            objects: objects.collect(),
            base,
        })
    }

    /// How many backups a node sends at a time; none if any number.
    fn limit(&self, model: &Model) -> Option<u64> {
        let key = prop::MAX_CONCURRENT_BACKUPS;
        let of_node = model.node(&self.node).and_then(|row| row.props.get(key));
        let set = of_node.or_else(|| model.controller.props.get(key));
        set.and_then(|text| text.parse().ok())
    }

    /// Whether it is its turn: those that are sent have their places, the others get what is left in the order in which they
    /// were asked for. One that waits for its own node takes no place of the cluster's.
    fn is_its_turn(&self, process: &Process, model: &Model) -> bool {
        let key = prop::MAX_CONCURRENT_BACKUPS_OF_CLUSTER;
        let all = model.controller.props.get(key);
        let all: Option<u64> = all.and_then(|text| text.parse().ok());
        let mut places: BTreeMap<&NodeName, u64> = BTreeMap::new();
        let mut taken = 0;
        for (_, of) in model.shipments().filter(|(_, of)| of.step == Step::Send) {
            *places.entry(&of.node).or_default() += 1;
            taken += 1;
        }
        for (id, of) in model.shipments().filter(|(_, of)| of.step == Step::Begin) {
            let on_node = places.entry(&of.node).or_default();
            let is_free = of.limit(model).is_none_or(|max| *on_node < max)
                && all.is_none_or(|max| taken < max);
            if id == process.id {
                return is_free;
            }
            *on_node += u64::from(is_free);
            taken += u64::from(is_free);
        }
        false
    }

    /// Whether it waits until others are sent.
    pub fn is_queued(&self, process: &Process, model: &Model) -> bool {
        self.step == Step::Begin && !self.is_its_turn(process, model)
    }

    /// Whether the controller has something to do at the store now.
    pub fn work(&self, process: &Process, model: &Model) -> bool {
        match self.step {
            Step::Take | Step::Send => false,
            Step::Begin => self.is_its_turn(process, model),
            Step::Describe | Step::Abandon => true,
        }
    }

    fn failure(cause: impl Into<String>) -> Reply {
        Reply::new(code::FAIL_UNKNOWN_ERROR, "The backup was not made.")
            .cause(cause)
            .correction("Make another one.")
    }

    fn take(&self, now: &Context<'_>) -> Next {
        let Some(row) = now.draft.snapshot(&self.resource, &self.snapshot) else {
            return Next::Step(self.because(Self::failure("Its snapshot was deleted.")));
        };
        if now
            .draft
            .taking_of(&self.resource, &self.snapshot)
            .is_some()
        {
            let wait = Wait::snapshot(&self.node, &self.resource, &self.snapshot);
            return Next::Wait(vec![wait]);
        }
        match (row.state, &row.failure) {
            (SnapshotState::Successful, _) => Next::Step(self.at(Step::Begin)),
            (_, Some(failure)) => Next::Step(self.because(failure.clone())),
            (_, None) => Next::Step(self.because(Self::failure("Its snapshot was not taken."))),
        }
    }

    fn begin_uploads(&self, process: &Process, now: &Context<'_>) -> Next {
        if let Some(failure) = self.lost(now.draft) {
            return Next::Step(self.because(failure));
        }
        let why = match self.work(process, now.draft) {
            true => "the controller begins the upload".to_owned(),
            false => format!(
                "other backups are sent, as many at a time as {} and {} say",
                prop::MAX_CONCURRENT_BACKUPS,
                prop::MAX_CONCURRENT_BACKUPS_OF_CLUSTER
            ),
        };
        Next::Wait(vec![Wait::state(&self.node, why)])
    }

    /// Why it cannot be sent any more.
    fn lost(&self, model: &Model) -> Option<Reply> {
        let base = self.base.as_ref().map(|base| (&base.snapshot, base.uuid));
        let remote = (&self.remote, self.remote_uuid);
        let lost = self.shipment().lost(model, remote, base);
        lost.map(Self::failure)
    }

    fn send(&self, process: &Process, now: &mut Context<'_>) -> Next {
        if let Some(failure) = self.lost(now.draft) {
            return Next::Step(self.because(failure));
        }
        let unknown = || Self::failure("The node failed without a reason.");
        match self.shipment().wait(process, now, unknown) {
            Ok(None) => Next::Step(self.at(Step::Describe)),
            Ok(Some(wait)) => Next::Wait(vec![wait]),
            // The storage has no changes since the base, and nothing was sent yet.
            Err(failure)
                if self.base.is_some()
                    && failure.ret_code & CODE == code::FAIL_NOT_FOUND_SNAPSHOT & CODE =>
            {
                let key = prop_key(&self.remote, prop::BACKUP_LAST_SNAPSHOT);
                let full = prop_key(&self.remote, prop::BACKUP_LAST_FULL);
                now.draft
                    .edit_snapshot(&self.resource, &self.snapshot, |row| {
                        row.props.remove(&key);
                        row.props.insert(full, self.snapshot.to_string());
                    });
                let full = ShipBackup {
                    base: None,
                    ..self.clone()
                };
                Next::Step(full.into())
            }
            Err(failure) => Next::Step(self.because(failure)),
        }
    }

    fn shipment(&self) -> Shipment<'_> {
        Shipment {
            resource: &self.resource,
            snapshot: &self.snapshot,
            node: &self.node,
        }
    }
}

impl Steps for ShipBackup {
    fn subject(&self) -> Object {
        // It outlives its snapshot: what was sent is still to be removed.
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
            Step::Take => ("taking-snapshot", 1),
            Step::Begin => ("beginning-upload", 2),
            Step::Send => ("sending", 3),
            Step::Describe => ("describing", 4),
            Step::Abandon => ("removing-upload", 4),
        };
        let progress = Progress::numbered(step, number, STEPS);
        match self.step {
            Step::Send => self.shipment().progress(progress, model, observed),
            _ => progress,
        }
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        match self.step {
            Step::Take => self.take(now),
            Step::Begin => self.begin_uploads(process, now),
            Step::Send => self.send(process, now),
            Step::Describe => {
                let why =
                    "the controller writes the description, for which it needs the master key";
                Next::Wait(vec![Wait::state(&self.node, why)])
            }
            Step::Abandon => {
                let why = "the controller removes what was sent, for which it needs the master key";
                Next::Wait(vec![Wait::state(&self.node, why)])
            }
        }
    }

    fn undo(&self, process: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        if self.step == Step::Abandon {
            return Err("What was sent is being removed already.".to_owned());
        }
        if process.has_expired(now.now_ms) {
            let failure = Self::failure("It was not made within seven days.");
            return Ok(Next::Step(self.because(failure)).into());
        }
        self.note(now.draft, Status::Aborting);
        Ok(Next::Step(self.at(Step::Abandon)).into())
    }
}

impl Model {
    /// A backup that is being made.
    pub fn shipment(&self, id: ProcessId) -> Option<&ShipBackup> {
        match &self.processes.get(&id)?.kind {
            Kind::ShipBackup(backup) => Some(backup),
            _ => None,
        }
    }

    /// The backups that are being made.
    pub fn shipments(&self) -> impl Iterator<Item = (ProcessId, &ShipBackup)> {
        self.processes
            .values()
            .filter_map(|process| match &process.kind {
                Kind::ShipBackup(backup) => Some((process.id, backup)),
                _ => None,
            })
    }

    /// The backup that is being made of a snapshot, or that is based on it.
    pub fn shipment_with(
        &self,
        name: &ResourceName,
        snapshot: &SnapshotName,
    ) -> Option<&ShipBackup> {
        self.processes_of(name)
            .find_map(|process| match &process.kind {
                Kind::ShipBackup(of) => {
                    let base = of.base.as_ref().map(|base| &base.snapshot);
                    let needs = of.step != Step::Abandon
                        && (of.snapshot == *snapshot || base == Some(snapshot));
                    needs.then_some(of)
                }
                _ => None,
            })
    }
}

/// Whether backups can be made of a backing volume: only those with data are sent, as in LINSTOR.
pub fn is_sent(suffix: StorageSuffix) -> bool {
    suffix == StorageSuffix::Data
}
