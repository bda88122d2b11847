//! Growing DRBD onto backing devices that have grown.
//!
//! The new part of thin volumes reads as zeros on all replicas, so that it needs no resync. One piece of it does: where
//! DRBD's metadata was, at the old end of the backing devices, the replicas differ. Such volumes grow in two steps:
//! first over that piece, which is synchronised, and then over all the rest, which is assumed to be clean. DRBD's state
//! and the notes show which step is done, so that growth continues after a crash at any point; a piece that is
//! synchronised once more does no harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linstor_api::code;
use linstor_api::drbd_state::{ConnectionState, DiskState, ReplicationState};
use linstor_api::kind::DrbdKind;
use linstor_wire::spec::{DrbdSpec, DrbdVolumeSpec, VolumeSpec};
use tokio::time::{Instant, sleep};

use super::{pinned, promotion, v84};
use crate::drbd::adm;
use crate::drbd::events::parse;
use crate::drbd::observed::Observed;
use crate::drbd::status::{DrbdDevice, DrbdPeerVolume, DrbdResource, DrbdState};
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::shared::Shared;
use crate::spec_store::Notes;
use crate::stop::{self, Awaited, Check};

/// How long the direction of a resync may take to be decided while the volume is primary for that.
const DECIDED_LIMIT: Duration = Duration::from_secs(5);
/// How often DRBD is asked meanwhile.
const DECIDED_PAUSE: Duration = Duration::from_millis(250);
/// Backing volumes are rounded up to at least this much by pools whose granularity was not known: an LVM extent.
const ROUNDING_KIB: u64 = 4096;
/// DRBD's sizes are multiples of this.
const BLOCK_KIB: u64 = 4;

/// Asks DRBD for the sizes of volumes if one is smaller than its spec, as far as is known.
pub async fn ask_sizes(attempt: &Attempt<'_>) {
    let small = attempt
        .live_volumes()
        .any(|volume| size_kib(attempt, volume.number).is_some_and(|kib| kib < volume.usable_kib));
    if small {
        ask(attempt).await;
    }
}

/// Asks DRBD for the sizes of volumes: they change without an event.
pub async fn ask(attempt: &Attempt<'_>) {
    let name = &attempt.spec.name;
    let observed_drbd = &attempt.shared.observed_drbd;
    // Without an answer the last known size remains.
    if let Ok(output) = attempt.shared.machine.try_run(adm::now(name)).await
        && observed_drbd.sizes(name, &output.stdout)
    {
        attempt.shared.report(|outbox| outbox.status(attempt.key));
    }
}

/// Size of a volume in DRBD as far as is known; 0 if it is there without one.
pub fn size_kib(attempt: &Attempt<'_>, volume: u32) -> Option<u64> {
    match attempt.shared.observed_drbd.get(&attempt.spec.name) {
        Observed::Present(resource) => {
            let device = resource.devices.get(&volume)?;
            Some(device.size_kib.unwrap_or(0))
        }
        Observed::Unknown | Observed::Absent => None,
    }
}

/// Grows volumes whose backing devices have been grown everywhere.
pub async fn grow(attempt: &Attempt<'_>, drbd: &DrbdSpec, kind: DrbdKind) -> stop::Result<()> {
    for volume in attempt.live_volumes() {
        let Some(layer) = drbd.volume(volume.number).filter(|l| l.grow) else {
            continue;
        };
        let growth = Growth {
            attempt,
            drbd,
            kind,
            volume,
            layer,
        };
        if !growth.has(volume.usable_kib) {
            attempt.go_on()?;
            growth.run().await.map_err(|stop| {
                let message = format!(
                    "DRBD cannot grow volume {} of resource '{}'.",
                    volume.number, attempt.spec.name
                );
                stop.map_failure(|f| f.context(code::FAIL_UNKNOWN_ERROR, message))
            })?;
        }
        growth.note(None).await?;
    }
    Ok(())
}

/// How a volume begins to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// With a step to this size, which is synchronised.
    Step(u64),
    /// That step was made.
    Made,
    /// All at once: everything new is synchronised.
    Whole,
}

impl Beginning {
    /// Of a volume that has `size_kib` now, when the last first step went to `noted`.
    fn of(volume: &VolumeSpec, layer: &DrbdVolumeSpec, size_kib: u64, noted: Option<u64>) -> Self {
        if noted == Some(size_kib) {
            return Beginning::Made;
        }
        // Metadata grows with the volume, so that the old one was not larger; what was rounded up lies before it.
        let rounding_kib = layer.granularity_kib.max(ROUNDING_KIB);
        let step =
            (size_kib + layer.internal_metadata_kib + rounding_kib).next_multiple_of(BLOCK_KIB);
        if step < volume.usable_kib {
            Beginning::Step(step)
        } else {
            Beginning::Whole
        }
    }
}

/// How the other replicas with a disk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copies {
    /// All have the same data.
    Same,
    /// Something is out of sync, and no resync is running.
    Idle,
    /// Something is being synchronised or verified.
    Busy,
    /// One is not connected, or not up to date.
    Away,
}

/// One volume that grows.
struct Growth<'a> {
    attempt: &'a Attempt<'a>,
    drbd: &'a DrbdSpec,
    kind: DrbdKind,
    volume: &'a VolumeSpec,
    layer: &'a DrbdVolumeSpec,
}

impl Growth<'_> {
    async fn run(&self) -> stop::Result<()> {
        let wanted_kib = self.volume.usable_kib;
        let mut assume_clean = self.layer.grow_assume_clean;
        if self.has_copies() {
            // DRBD refuses to resize during a resync.
            if !self.synced().await? {
                return Err(away().into());
            }
            let now_kib = size_kib(self.attempt, self.volume.number).unwrap_or(0);
            match Beginning::of(self.volume, self.layer, now_kib, self.noted()) {
                Beginning::Step(to_kib) if assume_clean => {
                    // Noted first: a step that was made without a note would be made again.
                    self.note(Some(to_kib)).await?;
                    self.resize((Some(to_kib), false), to_kib).await?;
                    if !self.synced().await? {
                        return Err(away().into());
                    }
                }
                Beginning::Made => {}
                Beginning::Step(_) | Beginning::Whole => assume_clean = false,
            }
        }
        // Where the file has a size, DRBD would take all of the backing devices without one.
        let size_kib = pinned::kib(self.layer).map(|_| wanted_kib);
        self.resize((size_kib, assume_clean), wanted_kib).await
    }

    /// Whether another replica has a disk.
    fn has_copies(&self) -> bool {
        self.drbd.peers.iter().any(|peer| !peer.diskless)
    }

    fn has(&self, kib: u64) -> bool {
        size_kib(self.attempt, self.volume.number).is_some_and(|size| size >= kib)
    }

    fn noted(&self) -> Option<u64> {
        let notes = self.attempt.notes();
        notes.volumes.get(&self.volume.number)?.growing_kib
    }

    async fn note(&self, growing_kib: Option<u64>) -> Result<()> {
        let number = self.volume.number;
        let change = |notes: &mut Notes| {
            if let Some(volume) = notes.volumes.get_mut(&number) {
                volume.growing_kib = growing_kib;
            }
        };
        self.attempt.note(change).await
    }

    /// Resizes as in [`adm::resize`], and waits until the size shows.
    async fn resize(&self, how: (Option<u64>, bool), expected_kib: u64) -> stop::Result<()> {
        let (attempt, number) = (self.attempt, self.volume.number);
        let shown = Awaited::Size(number, expected_kib);
        if !attempt.has_begun(shown) {
            self.order(how, expected_kib).await?;
        }
        ask_sizes(attempt).await;
        let large = move |seen: &Observed| match seen {
            Observed::Present(resource) => resource
                .devices
                .get(&number)
                .is_some_and(|d| d.size_kib.unwrap_or(0) >= expected_kib),
            Observed::Unknown | Observed::Absent => false,
        };
        if attempt.wait_for_drbd(shown, large).await? {
            return Ok(());
        }
        let name = &attempt.spec.name;
        let message = format!(
            "Volume {number} of resource '{name}' is still smaller than {expected_kib} KiB in DRBD."
        );
        let cause =
            "The backing device of a peer is not large enough, or the peer is not connected.";
        let failure = Failure::new(code::FAIL_UNKNOWN_ERROR, message);
        Err(failure.cause(cause).into())
    }

    /// Has DRBD resize the volume.
    async fn order(&self, (size_kib, clean): (Option<u64>, bool), expected_kib: u64) -> Result<()> {
        let (attempt, number) = (self.attempt, self.volume.number);
        let (machine, name) = (&attempt.shared.machine, &attempt.spec.name);
        let now = match attempt.shared.observed_drbd.get(name) {
            Observed::Present(resource) => Some(resource),
            Observed::Unknown | Observed::Absent => None,
        };
        if v84::resizes_only_primary(self.kind, now.as_ref()) {
            promotion::begin(attempt, self.kind, self.layer.minor).await?;
            let grown = adm::resize(machine, self.layer.minor, size_kib, clean).await;
            if grown.is_ok() {
                // Each side decides by the roles that it sees whose data is copied, when it hears of the other's size.
                let large = |now: &DrbdResource| {
                    let device = now.devices.get(&number);
                    device.is_some_and(|d| d.size_kib.unwrap_or(0) >= expected_kib)
                };
                decided(attempt, large).await;
            }
            promotion::end(attempt, self.kind, self.layer.minor).await?;
            grown
        } else {
            adm::resize(machine, self.layer.minor, size_kib, clean).await
        }
    }

    /// Waits until all replicas are the same; false if one of them is away.
    async fn synced(&self) -> stop::Result<bool> {
        let (attempt, number) = (self.attempt, self.volume.number);
        let (begins, ends) = (Awaited::ResyncBegins(number), Awaited::Resync(number));
        let connected = Awaited::Connected(number);
        loop {
            // No event has the amount that is out of sync, so DRBD is asked for it; later changes come as events.
            let before = attempt.shared.observed_drbd.get(&attempt.spec.name);
            let copies = match now(attempt).await {
                Some(now) => self.copies(&now),
                None => Copies::Away,
            };
            let awaited = match copies {
                Copies::Same => None,
                Copies::Idle => Some(begins),
                Copies::Busy => Some(ends),
                Copies::Away => Some(connected),
            };
            for other in [begins, ends, connected] {
                if awaited != Some(other) {
                    attempt.end_wait(other);
                }
            }
            let Some(awaited) = awaited else {
                return Ok(true);
            };
            if attempt.wait(awaited, self.changes(awaited, before)).await? {
                continue;
            }
            return match copies {
                // What differs was found by a verification, for example, and is not what has grown.
                Copies::Same | Copies::Idle => Ok(true),
                Copies::Away => Ok(false),
                Copies::Busy => {
                    let message = "A resync of the volume makes no progress.";
                    let failure = Failure::new(code::FAIL_UNKNOWN_ERROR, message);
                    let correction = "The volume is grown by itself when all replicas are in sync.";
                    Err(failure.correction(correction).into())
                }
            };
        }
    }

    /// Whether DRBD has changed what is waited for since it was as it is in `before`.
    fn changes(
        &self,
        awaited: Awaited,
        before: Observed,
    ) -> impl Fn(&Shared) -> Check + Send + Sync + use<> {
        let (name, number) = (self.attempt.spec.name.clone(), self.volume.number);
        let for_end = awaited == Awaited::Resync(number);
        let has_begun = AtomicBool::new(false);
        move |shared| {
            let seen = shared.observed_drbd.get(&name);
            if let Observed::Present(resource) = &seen
                && for_end
                && resource.is_syncing()
            {
                has_begun.store(true, Ordering::Relaxed);
                return Check::NotYet(resource.done_hundredths(number));
            }
            Check::of(seen != before || has_begun.load(Ordering::Relaxed))
        }
    }

    fn copies(&self, now: &DrbdResource) -> Copies {
        let wanted = self.drbd.peers.iter().filter(|p| !p.diskless).count();
        let established = |peer: &&DrbdPeerVolume| {
            peer.replication == ReplicationState::Established && peer.disk == DiskState::UpToDate
        };
        let same = |peer: &&DrbdPeerVolume| peer.out_of_sync_kib == Some(0);
        if now.is_syncing() {
            Copies::Busy
        } else if self.peers(now).filter(established).count() < wanted {
            Copies::Away
        } else if self.peers(now).filter(established).all(|peer| same(&peer)) {
            Copies::Same
        } else {
            Copies::Idle
        }
    }

    /// The volume as the peers with a disk have it.
    fn peers<'b>(&'b self, now: &'b DrbdResource) -> impl Iterator<Item = &'b DrbdPeerVolume> {
        let volumes = now.connections.values().filter_map(|connection| {
            let volume = connection.volumes.get(&self.volume.number)?;
            (connection.state == ConnectionState::Connected).then_some(volume)
        });
        volumes.filter(|volume| volume.disk != DiskState::Diskless)
    }
}

/// DRBD 9 does not grow a volume while a replica is not connected. 8.4 would, and would never synchronise the new space
/// if nothing is written before the other replica is connected again.
fn away() -> Failure {
    Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        "Another replica of the volume is not connected, or not up to date.",
    )
    .correction("The volume is grown by itself when all replicas are connected and up to date.")
}

/// Waits until the volume has grown and the direction of the resync is decided. This does not end the attempt: the
/// volume is primary during the wait, and no longer.
pub async fn decided(attempt: &Attempt<'_>, has_grown: impl Fn(&DrbdResource) -> bool) {
    let give_up = Instant::now() + DECIDED_LIMIT;
    while Instant::now() < give_up {
        if let Some(now) = now(attempt).await {
            let mut volumes = now.connections.values().flat_map(|c| c.volumes.values());
            let is_decided = volumes.all(|v| {
                v.replication != ReplicationState::Established || v.out_of_sync_kib == Some(0)
            });
            if is_decided && has_grown(&now) {
                return;
            }
        }
        sleep(DECIDED_PAUSE).await;
    }
}

/// The resource as DRBD has it now: events do not have the amount that is out of sync.
async fn now(attempt: &Attempt<'_>) -> Option<DrbdResource> {
    let cmd = adm::now(&attempt.spec.name);
    let output = attempt.shared.machine.run(cmd).await.ok()?;
    let mut state = DrbdState::default();
    for line in output.stdout.lines() {
        state.apply(parse(line));
    }
    state.resources.remove(attempt.spec.name.as_str())
}

/// Notes the sizes that volumes have in DRBD: no file may have smaller ones, see [`pinned::safe`].
pub async fn remember_sizes(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> Result<()> {
    let Observed::Present(seen) = attempt.shared.observed_drbd.get(&attempt.spec.name) else {
        return Ok(());
    };
    for volume in &drbd.volumes {
        let attached = |device: &&DrbdDevice| device.disk != DiskState::Diskless;
        let device = seen.devices.get(&volume.number).filter(attached);
        let kib = device.and_then(|device| device.size_kib).unwrap_or(0);
        let notes = attempt.notes();
        let known = notes.volumes.get(&volume.number);
        if kib == 0 || known.and_then(|volume| volume.remembered_kib) == Some(kib) {
            continue;
        }
        let change = |notes: &mut Notes| {
            if let Some(volume) = notes.volumes.get_mut(&volume.number) {
                volume.remembered_kib = Some(kib);
            }
        };
        attempt.note(change).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use linstor_wire::spec::{InitialState, Props, Target};

    use super::*;

    /// The first step covers the old metadata and what was rounded up, and is left out when that is all there is.
    #[test]
    fn the_first_step_covers_old_metadata() {
        let layer = |granularity_kib| DrbdVolumeSpec {
            number: 0,
            minor: 1000,
            day0_gi: String::new(),
            initial: InitialState::FullSync,
            grow: true,
            grow_assume_clean: true,
            granularity_kib,
            internal_metadata_kib: 70,
            disk_options: Props::new(),
        };
        let volume = |usable_kib| VolumeSpec {
            number: 0,
            target: Target::Up,
            usable_kib,
            fixed_size: false,
            storage: BTreeMap::new(),
        };
        let of = |usable, granularity, size, noted| {
            Beginning::of(&volume(usable), &layer(granularity), size, noted)
        };
        assert_eq!(of(1 << 20, 0, 1000, None), Beginning::Step(5168));
        assert_eq!(of(1 << 20, 8192, 1000, None), Beginning::Step(9264));
        assert_eq!(of(1 << 20, 0, 5168, Some(5168)), Beginning::Made);
        assert_eq!(of(1 << 20, 0, 5168, Some(4)), Beginning::Step(9336));
        assert_eq!(of(5168, 0, 1000, None), Beginning::Whole);
    }
}
