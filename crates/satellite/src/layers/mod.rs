//! Layers: one level of a volume's stack each. They apply and remove their level, given the devices below.

pub mod storage;

use std::sync::Arc;

use linstor_wire::spec::{NodeSpec, ResourceSpec};
use linstor_wire::status::DrbdInfo;

use crate::failure::Result;
use crate::shared::Shared;
use crate::spec_store::{Notes, Stage};

/// One attempt to bring one resource to its spec.
pub struct Attempt<'a> {
    /// Everything shared.
    pub shared: &'a Shared,
    /// The resource's key.
    pub key: &'a str,
    /// Its spec.
    pub spec: &'a ResourceSpec,
    /// The node.
    pub node: Arc<NodeSpec>,
    /// The kernel's DRBD, if there is one.
    pub drbd: Option<DrbdInfo>,
}

impl Attempt<'_> {
    /// The notes of this replica as they are now.
    pub fn notes(&self) -> Notes {
        self.shared.notes(self.key)
    }

    /// Changes the notes of this replica.
    pub async fn note(&self, change: impl FnOnce(&mut Notes)) -> Result<()> {
        self.shared.note(self.key, self.spec.uuid, change).await
    }

    /// How far the creation of a volume is; `None` if it never began here, as far as is known.
    pub fn stage(&self, volume: u32) -> Option<Stage> {
        self.notes().volumes.get(&volume).map(|v| v.stage)
    }

    /// Notes how far the creation of a volume is.
    pub async fn set_stage(&self, volume: u32, stage: Stage) -> Result<()> {
        let change = |notes: &mut Notes| {
            notes.volumes.entry(volume).or_default().stage = stage;
        };
        self.note(change).await
    }
}
