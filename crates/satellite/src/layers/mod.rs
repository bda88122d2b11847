//! Layers: one level of a resource's stack each.
//!
//! Every layer has the same calls. [`up`] and [`grow`] call the lowest layer first, and each layer gets the devices of
//! the one below and returns its own; all others call the top layer first. The reconciler calls what is here and knows
//! no layer. `storage` is the lowest one; DRBD has a directory of its own, [`crate::drbd`].

pub mod filesystem;
pub mod luks;
pub mod roll_back;
pub mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;

use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_wire::Key;
use linstor_wire::spec::{
    Action, LayerSpec, NodeSpec, ResourceSpec, StorageRef, Target, VolumeSpec,
};
use linstor_wire::status::DrbdInfo;
use uuid::Uuid;

use crate::drbd::adjust::Files;
use crate::drbd::{layer as drbd, promotion};
use crate::failure::Result;
use crate::providers::Backing;
use crate::shared::{Shared, Tracked};
use crate::spec_store::{Notes, Stage, VolumeNotes};
use crate::stop;

/// Devices of a resource's volumes, by volume number and what they hold.
pub type Devices = BTreeMap<(u32, StorageSuffix), Backing>;

/// One attempt to bring one resource to its spec.
pub struct Attempt<'a> {
    /// Everything shared.
    pub shared: &'a Shared,
    /// The resource's key.
    pub key: &'a Key,
    /// Which spec of the resource this is for; see [`crate::shared::Tracked::version`].
    pub version: u64,
    /// Its spec.
    pub spec: &'a ResourceSpec,
    /// The node.
    pub node: Arc<NodeSpec>,
    /// The kernel's DRBD, if there is one.
    pub drbd: Option<DrbdInfo>,
}

impl<'a> Attempt<'a> {
    /// The same attempt for another spec of the resource.
    pub fn with_spec<'b>(&'b self, spec: &'b ResourceSpec) -> Attempt<'b>
    where
        'a: 'b,
    {
        Attempt {
            shared: self.shared,
            key: self.key,
            version: self.version,
            spec,
            node: Arc::clone(&self.node),
            drbd: self.drbd.clone(),
        }
    }

    /// Volumes that are to be up.
    pub fn live_volumes(&self) -> impl Iterator<Item = &'a VolumeSpec> + use<'a> {
        let volumes = self.spec.volumes.iter();
        volumes.filter(|volume| volume.target == Target::Up)
    }

    /// Whether what is below DRBD is neither made nor removed.
    pub fn skips_disk(&self) -> bool {
        self.spec.drbd().is_some_and(|drbd| drbd.skip_disk)
    }

    /// The notes of this resource as they are now.
    pub fn notes(&self) -> Notes {
        self.shared.notes(self.key)
    }

    /// Changes the notes of this resource.
    pub async fn note(&self, change: impl FnOnce(&mut Notes)) -> Result<()> {
        self.shared.note(self.key, self.spec.uuid, change).await
    }

    /// Changes the notes of a volume.
    pub async fn note_volume(
        &self,
        volume: u32,
        change: impl FnOnce(&mut VolumeNotes),
    ) -> Result<()> {
        self.note(|notes| change(notes.volumes.entry(volume).or_default()))
            .await
    }

    /// How far the creation of a volume is; `None` if it never began here, as far as is known.
    pub fn stage(&self, volume: u32) -> Option<Stage> {
        self.notes().volumes.get(&volume).map(|v| v.stage)
    }

    /// Notes how far the creation of a volume is.
    pub async fn set_stage(&self, volume: u32, stage: Stage) -> Result<()> {
        self.note_volume(volume, |notes| notes.stage = stage).await
    }

    /// Called by a layer whose device of a volume is complete: when it is the top one, the volume is in use from now
    /// on. A layer that writes on what is below before it is the top's turn sets [`Stage::Ready`] itself.
    pub async fn completed(&self, layer: LayerKind, volume: u32) -> Result<()> {
        let is_top = self.spec.layers.first().map(LayerSpec::kind) == Some(layer);
        if !is_top || matches!(self.stage(volume), None | Some(Stage::Ready)) {
            return Ok(());
        }
        self.set_stage(volume, Stage::Ready).await
    }
}

/// Refuses what a layer cannot do on this node, before anything is changed.
pub async fn check(attempt: &Attempt<'_>) -> stop::Result<()> {
    for layer in &attempt.spec.layers {
        match layer {
            LayerSpec::Drbd(spec) => drbd::check(attempt, spec).await?,
            LayerSpec::Luks(_) | LayerSpec::Storage => {}
        }
    }
    Ok(())
}

/// Brings all layers up, in the size of the spec. Returns the devices of the top one.
pub async fn up(attempt: &Attempt<'_>) -> stop::Result<Devices> {
    up_below(attempt, None).await
}

/// Brings the layers below one up; all of them when there is no such layer.
pub async fn up_below(attempt: &Attempt<'_>, above: Option<LayerKind>) -> stop::Result<Devices> {
    let mut devices = Devices::new();
    for layer in attempt.spec.layers.iter().rev() {
        if above == Some(layer.kind()) {
            break;
        }
        if layer.kind() != LayerKind::Drbd && attempt.skips_disk() {
            continue;
        }
        let made = match layer {
            LayerSpec::Drbd(spec) => drbd::up(attempt, spec, &devices).await?,
            LayerSpec::Luks(spec) => luks::up(attempt, spec, &devices).await?,
            LayerSpec::Storage => storage::up(attempt).await?,
        };
        grow(attempt, layer).await?;
        devices = made;
    }
    Ok(devices)
}

/// Lets a layer that is up grow onto devices below it that have grown.
async fn grow(attempt: &Attempt<'_>, layer: &LayerSpec) -> stop::Result<()> {
    match layer {
        LayerSpec::Drbd(spec) => drbd::grow(attempt, spec).await,
        // They are brought up in the size that they should have.
        LayerSpec::Luks(_) | LayerSpec::Storage => Ok(()),
    }
}

/// Takes all layers down. What they have written on the devices below is not removed.
pub async fn down(attempt: &Attempt<'_>) -> stop::Result<()> {
    for layer in &attempt.spec.layers {
        match layer {
            LayerSpec::Drbd(spec) => drbd::down(attempt, spec).await?,
            LayerSpec::Luks(_) => luks::down(attempt).await?,
            LayerSpec::Storage => storage::down(attempt).await?,
        }
    }
    Ok(())
}

/// Takes down what DRBD has of a resource that an earlier identity of this node had: the others went on without it, and
/// it must not be taken for the resource's data.
pub async fn end_former(attempt: &Attempt<'_>) -> stop::Result<()> {
    let is_former = |tracked: &Tracked| tracked.former;
    let is_former = attempt
        .shared
        .state()
        .objects
        .get(attempt.key)
        .is_some_and(is_former);
    if !is_former {
        return Ok(());
    }
    for layer in &attempt.spec.layers {
        match layer {
            LayerSpec::Drbd(_) => drbd::end_former(attempt).await?,
            LayerSpec::Luks(_) | LayerSpec::Storage => {}
        }
    }
    if let Some(tracked) = attempt.shared.state().objects.get_mut(attempt.key) {
        tracked.former = false;
    }
    Ok(())
}

/// Finds out for the status what a resource that is down has.
pub async fn observe(attempt: &Attempt<'_>) -> Result<()> {
    storage::observe(attempt).await
}

/// Removes the files that would bring a resource up at the next boot although no spec of it exists.
pub async fn forget(attempt: &Attempt<'_>) -> Result<()> {
    for layer in &attempt.spec.layers {
        match layer {
            LayerSpec::Drbd(_) => Files::of(attempt).remove(attempt).await?,
            LayerSpec::Luks(_) | LayerSpec::Storage => {}
        }
    }
    Ok(())
}

/// Ids of the instructions that have been carried out. What is in use has its generation.
pub fn done(spec: &ResourceSpec, notes: &Notes) -> Vec<Uuid> {
    let in_use = |number: u32| {
        let volume = notes.volumes.get(&number);
        volume.is_some_and(|v| matches!(v.stage, Stage::Ready | Stage::Released))
    };
    let done = spec.once.iter().filter(|i| match i.action {
        Action::NewGeneration | Action::RestoreSnapshot(_) => in_use(i.volume),
        Action::MakeFileSystem { .. } => filesystem::is_made(notes, i),
        Action::ChangeLuksKey { .. } => {
            let volume = notes.volumes.get(&i.volume);
            volume.is_some_and(|volume| volume.key_changed == Some(i.id))
        }
    });
    done.map(|instruction| instruction.id).collect()
}

/// Refuses to give up the resource on this node if its data may be the last of it.
pub async fn guard(attempt: &Attempt<'_>) -> stop::Result<()> {
    for layer in &attempt.spec.layers {
        match layer {
            LayerSpec::Drbd(_) => drbd::guard(attempt).await?,
            LayerSpec::Luks(_) | LayerSpec::Storage => {}
        }
    }
    Ok(())
}

/// Removes what all layers have of these backing volumes.
pub async fn remove(attempt: &Attempt<'_>, volumes: &[StorageRef]) -> stop::Result<()> {
    for volume in volumes {
        attempt.go_on()?;
        for layer in &attempt.spec.layers {
            match layer {
                LayerSpec::Drbd(_) => drbd::remove(attempt, volume).await?,
                LayerSpec::Luks(_) => luks::remove(attempt, volume).await?,
                LayerSpec::Storage => storage::remove(attempt, volume).await?,
            }
        }
    }
    Ok(())
}

/// Whether a volume whose backing volume was lost gets its content from a peer.
fn is_replicated(spec: &ResourceSpec) -> bool {
    spec.layers.iter().any(|layer| match layer {
        LayerSpec::Drbd(drbd) => !drbd.peers.is_empty(),
        LayerSpec::Luks(_) | LayerSpec::Storage => false,
    })
}

/// Lets the satellite itself write to a volume of the top layer, until [`end_writing`].
async fn begin_writing(attempt: &Attempt<'_>, volume: u32) -> stop::Result<()> {
    match attempt.spec.layers.first() {
        Some(LayerSpec::Drbd(drbd)) => promotion::begin_writing(attempt, drbd, volume).await,
        Some(LayerSpec::Luks(_) | LayerSpec::Storage) | None => Ok(()),
    }
}

async fn end_writing(attempt: &Attempt<'_>, volume: u32) -> stop::Result<()> {
    match attempt.spec.layers.first() {
        Some(LayerSpec::Drbd(drbd)) => promotion::end_writing(attempt, drbd, volume).await,
        Some(LayerSpec::Luks(_) | LayerSpec::Storage) | None => Ok(()),
    }
}
