//! The guard of the last up-to-date copy: nothing that holds it is destroyed unless the whole definition goes.

use linstor_api::code;
use linstor_api::kind::DrbdKind;
use linstor_wire::spec::VolumeSpec;

use crate::drbd::metadata::{self, Place};
use crate::drbd::picture::Seen;
use crate::drbd::status::DrbdResource;
use crate::failure::{Failure, Result};
use crate::layers::{Attempt, storage};
use crate::spec_store::{LastCopy, Notes, Stage};

/// How long peers may take to connect when they are asked.
const ASK_WAIT: std::time::Duration = std::time::Duration::from_secs(15);
/// Why a replica stays.
const NOT_ELSEWHERE: &str = "No other connected node has all of its volumes up to date.";
/// How long DRBD's state may take to become known.
const KNOWN_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether every volume that is up to date here is up to date on a connected peer, too.
pub fn verdict(resource: &DrbdResource) -> LastCopy {
    let only_here =
        |volume: &&u32| resource.is_up_to_date(**volume) && !resource.has_up_to_date_peer(**volume);
    if resource.devices.keys().any(|volume| only_here(&volume)) {
        LastCopy::Here
    } else {
        LastCopy::Elsewhere
    }
}

/// Notes what is known of other copies, for the time when DRBD is down and cannot be asked any more.
pub async fn remember(attempt: &Attempt<'_>, resource: &DrbdResource) -> Result<()> {
    let verdict = verdict(resource);
    let change = |notes: &mut Notes| notes.last_copy = Some(verdict);
    attempt.note(change).await
}

/// What the guard says of a replica that it does not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be destroyed.
    MayGo,
    /// With DRBD down nobody knows: bring it up and ask the peers.
    Ask,
}

/// Refuses to go on if the data of this replica may be the last of it.
pub async fn guard(attempt: &Attempt<'_>, volumes: &[(u32, &str)]) -> Result<Verdict> {
    if attempt.spec.allow_last_copy || attempt.spec.drbd.is_none() || volumes.is_empty() {
        return Ok(Verdict::MayGo);
    }
    let (name, picture) = (&attempt.spec.name, &attempt.shared.picture);
    if attempt.drbd.is_some() {
        picture
            .wait(name, KNOWN_WAIT, |seen| *seen != Seen::Unknown)
            .await;
    }
    match picture.get(name) {
        Seen::Present(resource) => match verdict(&resource) {
            LastCopy::Elsewhere => Ok(Verdict::MayGo),
            LastCopy::Here => Err(refused(attempt, NOT_ELSEWHERE)),
        },
        Seen::Unknown | Seen::Absent => guard_while_down(attempt, volumes).await,
    }
}

/// The same after DRBD was brought up for this, which gives the peers some time to connect.
pub async fn guard_after_asking(attempt: &Attempt<'_>) -> Result<()> {
    let elsewhere = |seen: &Seen| match seen {
        Seen::Present(resource) => verdict(resource) == LastCopy::Elsewhere,
        Seen::Unknown | Seen::Absent => false,
    };
    let (name, picture) = (&attempt.spec.name, &attempt.shared.picture);
    if picture.wait(name, ASK_WAIT, elsewhere).await {
        return Ok(());
    }
    Err(refused(attempt, NOT_ELSEWHERE))
}

/// With DRBD down only the notes and the metadata can tell.
async fn guard_while_down(attempt: &Attempt<'_>, volumes: &[(u32, &str)]) -> Result<Verdict> {
    match attempt.notes().last_copy {
        Some(LastCopy::Elsewhere) => return Ok(Verdict::MayGo),
        // A peer that was not up to date then may be now, or become so from this replica.
        Some(LastCopy::Here) => return Ok(Verdict::Ask),
        None => {}
    }
    for (number, pool) in volumes {
        let in_use = matches!(attempt.stage(*number), None | Some(Stage::Ready));
        if in_use && holds_data(attempt, *number, pool).await? {
            return Ok(Verdict::Ask);
        }
    }
    Ok(Verdict::MayGo)
}

/// Whether the metadata of a volume says that data was written to it since day 0.
async fn holds_data(attempt: &Attempt<'_>, number: u32, pool: &str) -> Result<bool> {
    let layer = attempt
        .spec
        .volumes
        .iter()
        .find(|v| v.number == number)
        .and_then(|v: &VolumeSpec| v.drbd.as_ref());
    let backing = storage::look(attempt, pool, number).await?;
    let (Some(layer), Some(backing)) = (layer, backing) else {
        return Ok(false);
    };
    let kind = attempt.drbd.as_ref().map_or(DrbdKind::Drbd9, |d| d.kind);
    let place = Place {
        kind,
        minor: layer.minor,
        device: &backing.path,
    };
    let day0 = u64::from_str_radix(&layer.day0_gi, 16).unwrap_or(0);
    let ids = metadata::look(&attempt.shared.machine, &place).await?;
    Ok(ids.is_some_and(|ids| {
        ids.up_to_date && !ids.is_just_created() && ids.current & !1 != day0 & !1
    }))
}

fn refused(attempt: &Attempt<'_>, cause: &str) -> Failure {
    let name = &attempt.spec.name;
    Failure::new(
        code::FAIL_INSUFFICIENT_REPLICA_COUNT,
        format!(
            "The replica of '{name}' on this node is kept, as it may be the last up-to-date one."
        ),
    )
    .cause(cause)
    .correction(
        "Wait until another replica is up to date, or delete the whole resource definition.",
    )
    .about("RscDfn", name.clone())
}

/// Refuses to destroy the disk that a replica without disk had, unless a connected peer has the volume up to date.
pub fn guard_diskless(attempt: &Attempt<'_>, number: u32) -> Result<()> {
    if attempt.spec.allow_last_copy || attempt.spec.drbd.is_none() {
        return Ok(());
    }
    match attempt.shared.picture.get(&attempt.spec.name) {
        Seen::Present(resource) if resource.has_up_to_date_peer(number) => Ok(()),
        Seen::Present(_) | Seen::Absent | Seen::Unknown => Err(refused(
            attempt,
            "No other connected node has this volume up to date.",
        )),
    }
}
