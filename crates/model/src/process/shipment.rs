//! What a node reported of a snapshot that it sends or receives, for the processes of backups.

use linstor_api::reply::Reply;
use linstor_wire::status::{Moved, Outcome};

use super::{Context, Process, Wait};
use crate::model::Model;
use crate::name::{NodeName, ResourceName, SnapshotName};
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

    /// How much of it was sent or received.
    pub fn percent(&self, model: &Model, observed: &Observed) -> Option<f64> {
        match self.applied(model, observed)?.outcome {
            Outcome::Waiting { done_percent, .. } => done_percent.map(f64::from),
            Outcome::Done | Outcome::Failed { .. } => None,
        }
    }

    /// What was sent or received.
    pub fn moved(&self, model: &Model, observed: &Observed) -> Option<Moved> {
        match self.applied(model, observed)?.outcome {
            Outcome::Waiting { moved, .. } => moved,
            Outcome::Done | Outcome::Failed { .. } => None,
        }
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
