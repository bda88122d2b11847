//! Shipping a snapshot to another LINSTOR cluster: a snapshot is taken, the other cluster's controller is asked to receive it and
//! says where, one node sends it there, and the other controller says how that ended.
//!
//! What has to be said to the other controller is said by the task for shipments, which reads the step here
//! ([`ShipSnapshot::call`]), and notes in the same row that it was said. All of it can be said again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_wire::Secret;
use linstor_wire::spec::{OutboundSpec, ShippingLink};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ship_backup::{self, LIMIT, ShipBackup, Status, prop_key};
use super::shipment::Shipment;
use super::{
    Context, Kind, Next, Object, Process, ProcessId, Progress, Steps, Undone, Wait, delete_snapshot,
};
use crate::draft::Draft;
use crate::model::{Model, RowKey};
use crate::name::{NodeName, RemoteName, ResourceName, SnapshotName};
use crate::observed::Observed;
use crate::row::is_default;
use crate::snapshot::SnapshotState;

/// How long the other controller is called that does not answer, when something has ended here.
pub const TELL_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long the other controller may take to make the resource.
pub const CONFIRM_LIMIT: Duration = Duration::from_secs(3600);
/// How long nodes wait for each other, unless `BackupShipping/L2LReceiveStartedTimeout` says otherwise.
const SILENCE_LIMIT: Duration = Duration::from_secs(300);
const STEPS: u32 = 4;

/// A snapshot that is being shipped to another cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShipSnapshot {
    /// Names it towards the other cluster, and on the connection of the nodes.
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
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at: u64,
    /// The snapshot that it is based on; none if all of it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The snapshot was made for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub own_snapshot: bool,
    /// What is to become of it there.
    pub target: Target,
    /// The own certificate with its key, PEM.
    #[serde(with = "linstor_wire::secret::in_store")]
    pub identity: Secret,
    /// Since when the other controller is asked and does not answer, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<u64>,
    /// The other controller has accepted it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub accepted: bool,
    /// The node that receives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Receiver>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Reply>,
    /// The other controller knows that it has failed, or was aborted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub told: bool,
    /// The step.
    pub step: Step,
}

/// The snapshot that one is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its name here.
    pub snapshot: SnapshotName,
    /// Its identity here.
    pub uuid: Uuid,
    /// Its name there.
    pub there: String,
    /// The node there that has it.
    pub node: String,
}

/// What is to become of a snapshot in the other cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Name of the resource definition.
    pub resource: String,
    /// The node; any one if none.
    pub node: Option<String>,
    /// Its net interface; the first one if none.
    pub interface: Option<String>,
    /// Its storage pool for what is not renamed.
    pub pool: Option<String>,
    /// Storage pools by those here.
    pub renamed: BTreeMap<String, String>,
    /// The resource group of a new resource definition.
    pub group: Option<String>,
    /// The resource definition is moved into the group although it has resources.
    pub moves_group: bool,
    /// Only the snapshot is wanted.
    pub download_only: bool,
    /// A resource that is there is replaced.
    pub force_restore: bool,
}

/// The node that receives a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Names what is sent there.
    pub id: Uuid,
    /// Its address.
    pub address: IpAddr,
    /// The TCP port.
    pub port: u16,
    /// Its certificate, PEM.
    pub certificate: String,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The snapshot is being taken.
    Take,
    /// The other controller is asked to receive it, once it is its turn on its node, and says where.
    Offer,
    /// The node sends it.
    Send,
    /// All was sent; the other controller has yet to say what it made of it.
    Confirm,
    /// It has failed or was aborted: the other controller is told.
    Abandon,
}

/// What has to be said to the other controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// That it is to receive the snapshot.
    Ship,
    /// That it is not to receive it any more.
    Abort,
}

fn failure(cause: impl Into<String>) -> Reply {
    Reply::new(code::FAIL_UNKNOWN_ERROR, "The snapshot was not shipped.")
        .cause(cause)
        .correction("Ship it again.")
}

/// How long nodes of different clusters wait for each other.
pub fn silence_limit(model: &Model, resource: &ResourceName, node: &NodeName) -> Duration {
    let key = prop::L2L_RECEIVE_STARTED_TIMEOUT;
    let of_definition = model.definitions.get(resource);
    let set = of_definition
        .and_then(|row| row.props.get(key))
        .or_else(|| model.node(node)?.props.get(key))
        .or_else(|| model.controller.props.get(key));
    let set = set.and_then(|text| text.parse::<i64>().ok());
    match set.map(u64::try_from) {
        // Less than 0 is without an end: as long as the whole may take.
        Some(Err(_)) => LIMIT,
        Some(Ok(ms @ 1..)) => Duration::from_millis(ms),
        Some(Ok(0)) | None => SILENCE_LIMIT,
    }
}

/// Begins to ship a snapshot whose row is there, and which is perhaps still being taken.
pub fn begin(draft: &mut Draft, shipped: ShipSnapshot, now_ms: u64) -> ProcessId {
    let props = [
        (prop::BACKUP_START_TIMESTAMP, shipped.started_at.to_string()),
        (prop::BACKUP_SOURCE_NODE, shipped.node.to_string()),
        (prop::BACKUP_TARGET_REMOTE, shipped.remote.to_string()),
    ];
    let base = shipped.base.as_ref();
    let base = base.map(|base| (prop::BACKUP_LAST_SNAPSHOT, base.snapshot.to_string()));
    draft.edit_snapshot(&shipped.resource, &shipped.snapshot, |row| {
        for (key, value) in props.into_iter().chain(base) {
            row.props.insert(prop_key(&shipped.remote, key), value);
        }
        row.props
            .remove(&prop_key(&shipped.remote, prop::BACKUP_FAILURE));
    });
    shipped.note(draft, Status::Prepare);
    let id = draft.begin_process(shipped, now_ms);
    let limit = u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX);
    draft.set_deadline(id, now_ms.saturating_add(limit));
    id
}

/// Notes that the other controller was asked and has not answered.
pub fn asked(draft: &mut Draft, id: ProcessId, now_ms: u64) {
    let Some(process) = draft.processes.get(&id).cloned() else {
        return;
    };
    let Some(shipped) = draft.outbound(id).filter(|of| of.step == Step::Offer) else {
        return;
    };
    let asked = ShipSnapshot {
        asked_at: shipped.asked_at.or(Some(now_ms)),
        ..shipped.clone()
    };
    draft.put_process(Process {
        kind: asked.into(),
        ..Process::clone(&process)
    });
}

/// Notes that the other controller has accepted it.
pub fn accepted(draft: &mut Draft, id: ProcessId, now_ms: u64) {
    let Some(shipped) = draft.outbound(id).filter(|of| of.step == Step::Offer) else {
        return;
    };
    let accepted = ShipSnapshot {
        accepted: true,
        ..shipped.clone()
    };
    draft.restart_step(id, accepted.into(), now_ms);
}

/// Notes where it is to be sent; the node does so from now on. Returns whether that is still wanted.
pub fn receive(draft: &mut Draft, id: ProcessId, receiver: Receiver, now_ms: u64) -> bool {
    let found = draft.outbound(id);
    let Some(shipped) = found.filter(|of| matches!(of.step, Step::Offer | Step::Send)) else {
        return found.is_some_and(|of| of.step == Step::Confirm);
    };
    let known = shipped.receiver.as_ref().is_some_and(|known| {
        let place = |of: &Receiver| (of.address, of.port);
        place(known) == place(&receiver) && known.certificate == receiver.certificate
    });
    if known && shipped.step == Step::Send {
        return true;
    }
    let shipped = ShipSnapshot {
        receiver: Some(receiver),
        accepted: true,
        ..shipped.clone()
    };
    shipped.note(draft, Status::Shipping);
    draft.restart_step(id, shipped.at(Step::Send), now_ms);
    true
}

/// Notes what the other controller says of its end.
pub fn ended(draft: &mut Draft, id: ProcessId, failed: Option<Reply>, now_ms: u64) {
    let found = draft.outbound(id);
    let Some(shipped) = found.filter(|of| of.step != Step::Abandon).cloned() else {
        return;
    };
    match failed {
        None => {
            shipped.note(draft, Status::Success);
            draft.remove(&RowKey::Process(id));
        }
        Some(why) => {
            let shipped = ShipSnapshot {
                told: true,
                ..shipped
            };
            draft.restart_step(id, shipped.because(why), now_ms);
        }
    }
}

/// Notes that the other controller wants no more of it.
pub fn aborted(draft: &mut Draft, id: ProcessId, now_ms: u64) {
    let found = draft.outbound(id);
    let Some(shipped) = found.filter(|of| of.step != Step::Abandon).cloned() else {
        return;
    };
    let why = failure("The other cluster has aborted it.");
    let shipped = ShipSnapshot {
        told: true,
        ..shipped
    };
    draft.restart_step(id, shipped.because(why), now_ms);
}

/// Notes that it has failed for good.
pub fn failed(draft: &mut Draft, id: ProcessId, why: Reply, now_ms: u64) {
    let found = draft.outbound(id);
    let Some(shipped) = found.filter(|of| of.step != Step::Abandon).cloned() else {
        return;
    };
    draft.restart_step(id, shipped.because(why), now_ms);
}

/// Notes that the other controller was told, or cannot be. A snapshot that was made for what was aborted is deleted.
pub fn told(draft: &mut Draft, id: ProcessId, now_ms: u64) {
    let Some(shipped) = draft.outbound(id).filter(|of| of.step == Step::Abandon) else {
        return;
    };
    let shipped = shipped.clone();
    draft.remove(&RowKey::Process(id));
    shipped.end(draft, now_ms);
}

impl ShipSnapshot {
    fn at(&self, step: Step) -> Kind {
        ShipSnapshot {
            step,
            ..self.clone()
        }
        .into()
    }

    fn because(&self, why: Reply) -> Kind {
        ShipSnapshot {
            step: Step::Abandon,
            failure: Some(why),
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

    /// What becomes of a snapshot that was not shipped.
    fn end(&self, draft: &mut Draft, now_ms: u64) {
        let (name, snapshot) = (&self.resource, &self.snapshot);
        let Some(failure) = &self.failure else {
            self.note(draft, Status::Aborted);
            let row = draft.snapshot(name, snapshot);
            let row = row.filter(|_| self.own_snapshot);
            let nodes = row.map(|row| row.snapshots.keys().cloned().collect());
            if let Some(nodes) = nodes {
                delete_snapshot::begin(draft, name, snapshot, nodes, now_ms);
            }
            return;
        };
        self.note(draft, Status::Failed);
        let why = [Some(&failure.message), failure.cause.as_ref()];
        let why: Vec<&str> = why.into_iter().flatten().map(String::as_str).collect();
        let key = prop_key(&self.remote, prop::BACKUP_FAILURE);
        draft.edit_snapshot(name, snapshot, |row| {
            row.props.insert(key, why.join(" "));
        });
    }

    /// The name that the other cluster knows it by, as LINSTOR makes such names.
    pub fn label(&self) -> String {
        format!(".stlt;{}_{}_{}", self.resource, self.snapshot, self.id)
    }

    /// What the node has to send.
    pub(crate) fn spec(&self, model: &Model) -> Option<OutboundSpec> {
        let receiver = self.receiver.as_ref()?;
        let base = match &self.base {
            Some(base) => Some(self.shipment().base(model, &base.snapshot, base.uuid)?),
            None => None,
        };
        let limit = silence_limit(model, &self.resource, &self.node);
        Some(OutboundSpec {
            id: receiver.id,
            shipment: self.id,
            address: receiver.address,
            port: receiver.port,
            link: ShippingLink {
                own: self.identity.clone(),
                peer: receiver.certificate.clone(),
            },
            limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            base,
        })
    }

    /// Whether the node sends others that began before, as many as it may at a time.
    fn waits_for_others(&self, process: &Process, model: &Model) -> bool {
        let key = prop::MAX_CONCURRENT_BACKUPS;
        let of_node = model.node(&self.node).and_then(|row| row.props.get(key));
        let limit = of_node.or_else(|| model.controller.props.get(key));
        let Some(limit) = limit.and_then(|text| text.parse::<u64>().ok()) else {
            return false;
        };
        let others = model.processes.values().filter(|other| {
            other.id < process.id
                && match &other.kind {
                    Kind::ShipBackup(ShipBackup { node, step, .. }) => {
                        let moves = [ship_backup::Step::Begin, ship_backup::Step::Send];
                        *node == self.node && moves.contains(step)
                    }
                    Kind::ShipSnapshot(of) => {
                        of.node == self.node && matches!(of.step, Step::Offer | Step::Send)
                    }
                    _ => false,
                }
        });
        others.count() as u64 >= limit
    }

    /// What has to be said to the other controller now.
    pub fn call(&self, process: &Process, model: &Model) -> Option<Call> {
        match self.step {
            Step::Offer if !self.accepted && !self.waits_for_others(process, model) => {
                Some(Call::Ship)
            }
            Step::Abandon => Some(Call::Abort),
            Step::Take | Step::Offer | Step::Send | Step::Confirm => None,
        }
    }

    /// Why it is not waited for any longer that the other controller says something, at a time in milliseconds since the
    /// Unix epoch.
    pub fn silent(&self, process: &Process, model: &Model, now_ms: u64) -> Option<Reply> {
        let (limit, what) = match self.step {
            Step::Offer if self.accepted => (
                silence_limit(model, &self.resource, &self.node),
                "has accepted it, and has not said where it is to be sent",
            ),
            Step::Confirm => (CONFIRM_LIMIT, "has not said what it has made of it"),
            _ => return None,
        };
        let lasted = now_ms.saturating_sub(process.since.at);
        let over = u128::from(lasted) >= limit.as_millis();
        over.then(|| {
            failure(format!(
                "The cluster of the remote {} {what} for {} s.",
                self.remote,
                limit.as_secs()
            ))
        })
    }

    fn take(&self, now: &Context<'_>) -> Next {
        let (name, snapshot) = (&self.resource, &self.snapshot);
        let Some(row) = now.draft.snapshot(name, snapshot) else {
            return Next::Step(self.because(failure("The snapshot was deleted.")));
        };
        if now.draft.taking_of(name, snapshot).is_some() {
            return Next::Wait(vec![Wait::snapshot(&self.node, name, snapshot)]);
        }
        match (row.state, &row.failure) {
            (SnapshotState::Successful, _) => Next::Step(self.at(Step::Offer)),
            (_, Some(why)) => Next::Step(self.because(why.clone())),
            (_, None) => Next::Step(self.because(failure("The snapshot was not taken."))),
        }
    }

    /// Why it cannot be sent any more.
    fn lost(&self, model: &Model) -> Option<Reply> {
        let base = self.base.as_ref().map(|base| (&base.snapshot, base.uuid));
        let remote = (&self.remote, self.remote_uuid);
        self.shipment().lost(model, remote, base).map(failure)
    }

    fn offer(&self, process: &Process, now: &Context<'_>) -> Next {
        if let Some(why) = self.lost(now.draft) {
            return Next::Step(self.because(why));
        }
        let why = if self.accepted {
            format!(
                "the cluster of the remote {} prepares to receive it",
                self.remote
            )
        } else if self.waits_for_others(process, now.draft) {
            format!(
                "it sends other backups, as many at a time as {} says",
                prop::MAX_CONCURRENT_BACKUPS
            )
        } else {
            format!(
                "the controller asks the cluster of the remote {}",
                self.remote
            )
        };
        Next::Wait(vec![Wait::state(&self.node, why)])
    }

    fn send(&self, process: &Process, now: &Context<'_>) -> Next {
        if let Some(why) = self.lost(now.draft) {
            return Next::Step(self.because(why));
        }
        let unknown = || failure("The node failed without a reason.");
        match self.shipment().wait(process, now, unknown) {
            Ok(None) => Next::Step(self.at(Step::Confirm)),
            Ok(Some(wait)) => Next::Wait(vec![wait]),
            Err(why) => Next::Step(self.because(why)),
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

impl Steps for ShipSnapshot {
    fn subject(&self) -> Object {
        // It outlives its snapshot: the other cluster is still to be told.
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
            Step::Offer => ("asking-remote", 2),
            Step::Send => ("sending", 3),
            Step::Confirm => ("waiting-for-remote", 4),
            Step::Abandon => ("telling-remote", 4),
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
            Step::Offer => self.offer(process, now),
            Step::Send => self.send(process, now),
            Step::Confirm => {
                let why = format!(
                    "the cluster of the remote {} makes the resource",
                    self.remote
                );
                Next::Wait(vec![Wait::state(&self.node, why)])
            }
            Step::Abandon => {
                let why = format!(
                    "the cluster of the remote {} is told that it is not sent",
                    self.remote
                );
                Next::Wait(vec![Wait::state(&self.node, why)])
            }
        }
    }

    fn undo(&self, process: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        if self.step == Step::Abandon {
            return Err("The other cluster is being told already.".to_owned());
        }
        if process.has_expired(now.now_ms) {
            let why = failure("It was not sent within seven days.");
            return Ok(Next::Step(self.because(why)).into());
        }
        self.note(now.draft, Status::Aborting);
        Ok(Next::Step(self.at(Step::Abandon)).into())
    }
}

impl Model {
    /// A snapshot that is being shipped to another cluster.
    pub fn outbound(&self, id: ProcessId) -> Option<&ShipSnapshot> {
        match &self.processes.get(&id)?.kind {
            Kind::ShipSnapshot(shipped) => Some(shipped),
            _ => None,
        }
    }

    /// The snapshots that are being shipped to other clusters.
    pub fn outbounds(&self) -> impl Iterator<Item = (ProcessId, &ShipSnapshot)> {
        self.processes
            .values()
            .filter_map(|process| match &process.kind {
                Kind::ShipSnapshot(shipped) => Some((process.id, shipped)),
                _ => None,
            })
    }

    /// What needs a snapshot because it is shipped, or what is shipped is based on it.
    pub fn outbound_with(
        &self,
        name: &ResourceName,
        snapshot: &SnapshotName,
    ) -> Option<&ShipSnapshot> {
        self.processes_of(name)
            .find_map(|process| match &process.kind {
                Kind::ShipSnapshot(of) => {
                    let base = of.base.as_ref().map(|base| &base.snapshot);
                    let needs = !matches!(of.step, Step::Confirm | Step::Abandon)
                        && (of.snapshot == *snapshot || base == Some(snapshot));
                    needs.then_some(of)
                }
                _ => None,
            })
    }
}
