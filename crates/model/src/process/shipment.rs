//! What the processes of backups share: what a node reported of a snapshot that it sends or receives, and what is noted of it in
//! the snapshot's properties.

use linstor_api::reply::Reply;
use linstor_wire::spec::BaseSpec;
use linstor_wire::status::Outcome;
use uuid::Uuid;

use super::{Context, Process, Progress, Wait};
use crate::model::Model;
use crate::name::{NodeName, RemoteName, ResourceName, SnapshotName};
use crate::observed::{Applied, Observed};

/// The part of a snapshot that a node sends or receives.
pub(super) struct Shipment<'a> {
    pub resource: &'a ResourceName,
    pub snapshot: &'a SnapshotName,
    pub node: &'a NodeName,
}

impl Shipment<'_> {
    fn applied<'a>(&self, model: &Model, observed: &'a Observed) -> Option<&'a Applied> {
        let part = model.snapshot(self.resource, self.snapshot)?;
        let key = (self.resource, self.snapshot, self.node);
        observed.snapshot_applied(key, part.on(self.node)?.uuid)
    }

    /// A step in which the node sends or receives it, with how much of it that was.
    pub fn progress(&self, step: Progress, model: &Model, observed: &Observed) -> Progress {
        let applied = self.applied(model, observed);
        match applied.map(|applied| &applied.outcome) {
            Some(Outcome::Waiting {
                done_percent,
                moved,
                ..
            }) => Progress {
                percent: done_percent.map(f64::from),
                moved: *moved,
                ..step
            },
            Some(Outcome::Done | Outcome::Failed { .. }) | None => step,
        }
    }

    /// The snapshot that it is based on, as the node has it; none if it is not there any more.
    pub fn base(&self, model: &Model, snapshot: &SnapshotName, uuid: Uuid) -> Option<BaseSpec> {
        let row = model.snapshot(self.resource, snapshot)?;
        let part = row.on(self.node).filter(|_| row.uuid == uuid)?;
        Some(BaseSpec {
            snapshot: snapshot.clone(),
            uuid: part.uuid,
        })
    }

    /// Why it cannot be sent to a remote any more: its own part, the remote, or what it is based on is gone.
    pub fn lost(
        &self,
        model: &Model,
        (remote, remote_uuid): (&RemoteName, Uuid),
        base: Option<(&SnapshotName, Uuid)>,
    ) -> Option<String> {
        let row = model.snapshot(self.resource, self.snapshot);
        if row.and_then(|row| row.on(self.node)).is_none() {
            return Some(format!(
                "Node '{}' has no part of its snapshot any more.",
                self.node
            ));
        }
        let row = model.remotes.get(remote);
        if row.is_none_or(|row| row.uuid != remote_uuid) {
            return Some(format!("The remote {remote} was deleted."));
        }
        let (snapshot, uuid) = base?;
        self.base(model, snapshot, uuid).is_none().then(|| {
            format!(
                "The snapshot '{snapshot}' that it is based on was deleted on node '{}'.",
                self.node
            )
        })
    }

    /// What is waited for, in the step that has the node do it; none once the node has done it.
    ///
    /// # Errors
    ///
    /// Why the node failed; `unknown` if it did not say why.
    pub fn wait(
        &self,
        process: &Process,
        now: &Context<'_>,
        unknown: impl FnOnce() -> Reply,
    ) -> Result<Option<Wait>, Reply> {
        let applied = self.applied(now.draft, now.observed);
        let applied = applied.filter(|a| a.generation >= process.since.generation);
        match applied.map(|applied| &applied.outcome) {
            Some(Outcome::Done) => Ok(None),
            Some(Outcome::Failed { replies }) => {
                let mut why = replies.first().cloned().unwrap_or_else(unknown);
                why.message = format!("({}) {}", self.node, why.message);
                Err(why)
            }
            Some(Outcome::Waiting { .. }) | None => Ok(Some(Wait::snapshot(
                self.node,
                self.resource,
                self.snapshot,
            ))),
        }
    }
}

impl Model {
    /// Whether a snapshot, or one that is based on it, is being sent to a bucket or to another cluster.
    pub fn is_being_sent(&self, name: &ResourceName, snapshot: &SnapshotName) -> bool {
        self.shipment_with(name, snapshot).is_some() || self.outbound_with(name, snapshot).is_some()
    }
}
