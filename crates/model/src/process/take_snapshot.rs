//! Taking snapshots of one or several resource definitions, all of one moment: I/O is suspended on all nodes of the
//! resources, then the snapshots are taken, then I/O is resumed.
//!
//! The suspension is a lease that each satellite ends by itself ([`linstor_wire::message::SUSPENSION_MAX`] after it was
//! asked for, with the connection, at its next start), so nothing that happens here can leave I/O suspended. A snapshot
//! counts only if each node took its part while it held the lease. Whatever else happens the snapshot has failed: its row
//! has the reason, and remains until somebody deletes it.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_api::drbd_state::ConnectionState;
use linstor_api::reply::Reply;
use linstor_wire::message::{SUSPENSION_MAX, SuspensionEnd, SuspensionState};
use linstor_wire::status::Outcome;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Context, Kind, Next, Object, Process, ProcessId, Progress, Steps, Undone, Wait};
use crate::draft::Draft;
use crate::model::Model;
use crate::name::{NodeName, ResourceName, SnapshotName};
use crate::observed::Observed;
use crate::snapshot::SnapshotState;
use crate::{Resource, SnapshotDefinition};

/// Snapshots that are taken at the same moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakeSnapshot {
    /// Name of the resource definition of the first one.
    pub resource: ResourceName,
    /// Name of the first one.
    pub snapshot: SnapshotName,
    /// The others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<SnapshotRef>,
    /// The nodes whose I/O is suspended.
    pub nodes: BTreeSet<NodeName>,
    /// Names the suspension.
    pub lease: Uuid,
    /// The start of the controller that began it, see [`crate::Epoch`]: the next one does not know what nodes have done
    /// meanwhile.
    pub start: Uuid,
    /// The step.
    pub step: Step,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Name of the snapshot.
    pub snapshot: SnapshotName,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// I/O is suspended.
    Suspend,
    /// The snapshots are taken.
    Take,
    /// I/O is resumed, whether the snapshots were taken or have failed.
    Resume,
}

/// Why snapshots have failed.
struct Failed {
    state: SnapshotState,
    reply: Reply,
}

/// A suspension of I/O that a node is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Names it.
    pub id: Uuid,
    /// The resources.
    pub resources: Vec<ResourceName>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub until: u64,
    /// It may be begun. Once snapshots are taken it is too late: I/O has not been suspended all the time.
    pub may_begin: bool,
}

/// Begins to take snapshots whose rows were just made.
pub fn begin(
    draft: &mut Draft,
    mut snapshots: Vec<SnapshotRef>,
    nodes: BTreeSet<NodeName>,
    lease: Uuid,
    now_ms: u64,
) {
    if snapshots.is_empty() {
        return;
    }
    let first = snapshots.remove(0);
    let take = TakeSnapshot {
        resource: first.resource,
        snapshot: first.snapshot,
        others: snapshots,
        nodes,
        lease,
        start: draft.epoch.start,
        step: Step::Suspend,
    };
    let id = draft.begin_process(take, now_ms);
    let deadline = now_ms.saturating_add(SUSPENSION_MAX.as_millis() as u64);
    draft.set_deadline(id, deadline);
}

/// Ends the taking of a snapshot, if it is being taken: it has failed, with all that are taken at the same moment.
pub(super) fn abort(draft: &mut Draft, name: &ResourceName, snapshot: &SnapshotName, now_ms: u64) {
    let Some((id, take)) = draft.taking_of(name, snapshot) else {
        return;
    };
    if take.step == Step::Resume {
        return;
    }
    let take = take.clone();
    take.note_failure(
        draft,
        &failed("It was deleted while it was taken.".to_owned()),
    );
    draft.restart_step(id, take.at(Step::Resume), now_ms);
}

fn failed(cause: String) -> Failed {
    let message = "The snapshot was not taken.";
    Failed {
        state: SnapshotState::FailedDeployment,
        reply: Reply::new(code::FAIL_UNKNOWN_ERROR, message).cause(cause),
    }
}

fn disconnected(node: &NodeName) -> Failed {
    let message = format!("No active connection to satellite '{node}'");
    let reply = Reply::new(code::FAIL_NOT_CONNECTED, message)
        .cause("The connection was lost while the snapshot was taken.")
        .correction("Delete the snapshot, and take another one when the node is connected.");
    Failed {
        state: SnapshotState::FailedDisconnect,
        reply: reply.about("Node", node.as_str()),
    }
}

fn failed_on(node: &NodeName, replies: &[Reply]) -> Failed {
    let Some(mut reply) = replies.first().cloned() else {
        return failed(format!("Node '{node}' failed without a reason."));
    };
    reply.message = format!("({node}) {}", reply.message);
    Failed {
        state: SnapshotState::FailedDeployment,
        reply,
    }
}

/// A resource with a disk that is not up to date: its data is not that of the others.
pub fn not_up_to_date(replica: &Resource) -> Reply {
    let (name, node) = (&replica.name, &replica.node);
    let message = format!(
        "Resource '{name}' on node '{node}' is not UpToDate, so that no snapshot is taken."
    );
    Reply::new(code::FAIL_SNAPSHOT_NOT_UPTODATE, message)
        .correction("Wait until all its disks are UpToDate, then take the snapshot again.")
        .about("Node", node.as_str())
}

/// The first replica of a definition on these nodes whose disk is not up to date.
pub fn first_not_up_to_date<'a>(
    model: &'a Model,
    observed: &Observed,
    name: &ResourceName,
    nodes: &BTreeSet<NodeName>,
) -> Option<&'a Resource> {
    let replicas = model.resources_of(name).map(|row| &**row);
    let mut disks = replicas.filter(|row| {
        let with_disk = row.drbd.is_some() && !row.is_diskless() && !row.volumes.is_empty();
        with_disk && takes_part(model, row) && nodes.contains(&row.node)
    });
    disks.find(|row| !observed.is_up_to_date(name, &row.node))
}

/// DRBD does not replicate between two nodes of a snapshot: what each has may not be of the same moment.
pub fn not_connected(name: &ResourceName, (node, peer): (&NodeName, &NodeName)) -> Reply {
    let message = format!(
        "Resource '{name}' is not connected between nodes '{node}' and '{peer}', so that no snapshot is taken."
    );
    Reply::new(code::FAIL_SNAPSHOT_NOT_UPTODATE, message)
        .cause("One of them may lack what was written to the other one.")
        .correction("Wait until DRBD has connected them, or name the nodes that have the data.")
        .about("Node", node.as_str())
}

/// The first two replicas of a snapshot between which DRBD is known not to be connected.
pub fn first_not_connected<'a>(
    model: &'a Model,
    observed: &Observed,
    name: &ResourceName,
    nodes: &BTreeSet<NodeName>,
) -> Option<(&'a NodeName, &'a NodeName)> {
    let replicas = model.resources_of(name).map(|row| &row.node);
    let parts: Vec<&NodeName> = replicas.filter(|node| nodes.contains(*node)).collect();
    parts.iter().find_map(|node| {
        let drbd = observed.live(name, node)?.drbd.as_ref()?;
        let peer = parts.iter().find(|peer| {
            let state = drbd.connections.get(peer.as_str());
            state.is_some_and(|state| *state != ConnectionState::Connected)
        });
        Some((*node, *peer?))
    })
}

/// Whether a resource can have I/O.
pub fn takes_part(model: &Model, replica: &Resource) -> bool {
    !replica.inactive && !model.is_deleting(replica)
}

impl Steps for TakeSnapshot {
    fn subject(&self) -> Object {
        Object::Snapshot(self.resource.clone(), self.snapshot.clone())
    }

    fn others(&self) -> Vec<Object> {
        let object = |of: &SnapshotRef| Object::Snapshot(of.resource.clone(), of.snapshot.clone());
        self.others.iter().map(object).collect()
    }

    fn progress(&self, _: &Model, _: &Observed) -> Progress {
        let (step, number) = match self.step {
            Step::Suspend => ("suspending-io", 1),
            Step::Take => ("taking-snapshots", 2),
            Step::Resume => ("resuming-io", 3),
        };
        Progress::numbered(step, number, 3)
    }

    fn step(&self, process: &Process, now: &mut Context<'_>) -> Next {
        let next = match self.step {
            Step::Suspend => self.suspend(now),
            Step::Take => self.take(process, now),
            Step::Resume => return self.resume(now),
        };
        next.unwrap_or_else(|why| {
            self.note_failure(now.draft, &why);
            Next::Step(self.at(Step::Resume))
        })
    }

    fn undo(&self, process: &Process, now: &mut Context<'_>) -> Result<Undone, String> {
        if self.step == Step::Resume {
            return Err("I/O is being resumed.".to_owned());
        }
        let why = match process.has_expired(now.now_ms) {
            true => format!("It was not taken within {} s.", SUSPENSION_MAX.as_secs()),
            false => "The job was cancelled.".to_owned(),
        };
        self.note_failure(now.draft, &failed(why));
        Ok(Undone {
            next: Next::Step(self.at(Step::Resume)),
            remains: Some("The failed snapshots remain until they are deleted."),
        })
    }
}

impl TakeSnapshot {
    fn at(&self, step: Step) -> Kind {
        TakeSnapshot {
            step,
            ..self.clone()
        }
        .into()
    }

    /// Names of the resource definitions and of their snapshots.
    pub fn snapshots(&self) -> impl Iterator<Item = (&ResourceName, &SnapshotName)> {
        let others = self.others.iter().map(|of| (&of.resource, &of.snapshot));
        std::iter::once((&self.resource, &self.snapshot)).chain(others)
    }

    /// The rows of the snapshots.
    fn rows<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = &'a SnapshotDefinition> {
        let rows = self.snapshots();
        rows.filter_map(|(name, snapshot)| model.snapshot(name, snapshot).map(|row| &**row))
    }

    /// The state of the suspension on a node; fails where it has ended, or cannot be.
    fn suspension(&self, now: &Context<'_>, node: &NodeName) -> Result<bool, Failed> {
        match now.observed.suspensions.get(&(self.lease, node.clone())) {
            _ if !now.observed.is_online(node) => Err(disconnected(node)),
            None => Ok(false),
            Some(SuspensionState::Suspended) => Ok(true),
            Some(SuspensionState::Failed { replies }) => Err(failed_on(node, replies)),
            Some(SuspensionState::Ended { reason }) => Err(match reason {
                SuspensionEnd::ControllerLost => disconnected(node),
                SuspensionEnd::Asked | SuspensionEnd::Expired => failed(format!(
                    "Node '{node}' has resumed I/O before the snapshot was taken on all nodes."
                )),
            }),
        }
    }

    /// The nodes that have not suspended I/O.
    fn unsuspended(&self, now: &Context<'_>) -> Result<Vec<Wait>, Failed> {
        if self.start != now.draft.epoch.start {
            let cause = "The controller was started again while it was taken.";
            return Err(failed(cause.to_owned()));
        }
        let mut waits = Vec::new();
        for node in &self.nodes {
            if !self.suspension(now, node)? {
                waits.push(Wait::state(node, "it suspends I/O"));
            }
        }
        Ok(waits)
    }

    fn suspend(&self, now: &Context<'_>) -> Result<Next, Failed> {
        let waits = self.unsuspended(now)?;
        if !waits.is_empty() {
            return Ok(Next::Wait(waits));
        }
        self.are_connected(now)?;
        for row in self.rows(now.draft) {
            let name = &row.resource;
            if let Some(replica) = first_not_up_to_date(now.draft, now.observed, name, &self.nodes)
            {
                return Err(Failed {
                    state: SnapshotState::FailedDeployment,
                    reply: not_up_to_date(replica),
                });
            }
        }
        Ok(Next::Step(self.at(Step::Take)))
    }

    /// Fails if DRBD does not replicate between all nodes of a snapshot.
    fn are_connected(&self, now: &Context<'_>) -> Result<(), Failed> {
        let apart = self.rows(now.draft).find_map(|row| {
            let nodes = row.snapshots.keys().cloned().collect();
            let (name, observed) = (&row.resource, now.observed);
            let apart = first_not_connected(now.draft, observed, name, &nodes)?;
            Some(not_connected(name, apart))
        });
        match apart {
            Some(reply) => Err(Failed {
                state: SnapshotState::FailedDeployment,
                reply,
            }),
            None => Ok(()),
        }
    }

    fn take(&self, process: &Process, now: &mut Context<'_>) -> Result<Next, Failed> {
        self.unsuspended(now)?;
        let mut waits = Vec::new();
        for row in self.rows(now.draft) {
            for (node, part) in &row.snapshots {
                let key = (&row.resource, &row.name, node);
                let applied = now.observed.snapshot_applied(key, part.uuid);
                let applied = applied.filter(|a| a.generation >= process.since.generation);
                match applied.map(|applied| &applied.outcome) {
                    Some(Outcome::Done) => {}
                    Some(Outcome::Failed { replies }) => return Err(failed_on(node, replies)),
                    Some(Outcome::Waiting { .. }) | None => {
                        waits.push(Wait::snapshot(node, &row.resource, &row.name));
                    }
                }
            }
        }
        if !waits.is_empty() {
            return Ok(Next::Wait(waits));
        }
        // Seen by now, if it was so when I/O was suspended.
        self.are_connected(now)?;
        let now_ms = now.now_ms;
        for (name, snapshot) in self.snapshots() {
            now.draft.edit_snapshot(name, snapshot, |row| {
                row.state = SnapshotState::Successful;
                row.taken_at = Some(now_ms);
            });
        }
        Ok(Next::Step(self.at(Step::Resume)))
    }

    fn resume(&self, now: &Context<'_>) -> Next {
        let suspended = |node: &&NodeName| {
            let state = now.observed.suspensions.get(&(self.lease, (*node).clone()));
            state == Some(&SuspensionState::Suspended) && now.observed.is_online(node)
        };
        let waits = self.nodes.iter().filter(suspended);
        let waits: Vec<Wait> = waits
            .map(|node| Wait::state(node, "it resumes I/O"))
            .collect();
        match waits.is_empty() {
            true => Next::Done,
            false => Next::Wait(waits),
        }
    }

    fn note_failure(&self, draft: &mut Draft, why: &Failed) {
        for (name, snapshot) in self.snapshots() {
            draft.edit_snapshot(name, snapshot, |row| {
                row.state = why.state;
                row.failure = Some(why.reply.clone());
            });
        }
    }
}

impl Model {
    /// The process that takes a snapshot.
    pub fn taking_of(
        &self,
        name: &ResourceName,
        snapshot: &SnapshotName,
    ) -> Option<(ProcessId, &TakeSnapshot)> {
        self.processes_of(name)
            .find_map(|process| match &process.kind {
                Kind::TakeSnapshot(take) => {
                    let found = take.snapshots().any(|of| of == (name, snapshot));
                    found.then_some((process.id, take))
                }
                _ => None,
            })
    }

    /// The suspensions of I/O that a node is to hold.
    pub fn leases_of(&self, node: &NodeName) -> Vec<Lease> {
        let taking = self
            .processes
            .values()
            .filter_map(|process| match &process.kind {
                Kind::TakeSnapshot(take) => Some((process, take)),
                _ => None,
            });
        let held = taking.filter(|(_, take)| {
            take.step != Step::Resume && take.start == self.epoch.start && take.nodes.contains(node)
        });
        held.map(|(process, take)| {
            let names = take.snapshots().map(|(name, _)| name);
            let here = names.filter(|name| {
                let replica = self.resource(name, node);
                replica.is_some_and(|replica| takes_part(self, replica))
            });
            let here: BTreeSet<ResourceName> = here.cloned().collect();
            Lease {
                id: take.lease,
                resources: here.into_iter().collect(),
                until: process.began_at + SUSPENSION_MAX.as_millis() as u64,
                may_begin: take.step == Step::Suspend,
            }
        })
        .collect()
    }
}
