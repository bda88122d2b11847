//! Makes a volume primary for a short time, for what DRBD does only on a primary.
//!
//! It is noted first: a resource that is still primary because the attempt failed or the satellite crashed looks like
//! one that an application uses, and no other node can be promoted. The next attempt makes it secondary.

use linstor_api::drbd_state::Role;
use linstor_api::kind::DrbdKind;
use linstor_wire::spec::DrbdSpec;

use super::layer;
use super::observed::Observed;
use crate::drbd::adm;
use crate::drbd::status::DrbdResource;
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::shared::Shared;
use crate::spec_store::Notes;
use crate::stop::{self, Awaited, Check};

/// Makes a volume primary as soon as it is up to date, for the satellite to write to it.
pub async fn begin_writing(
    attempt: &Attempt<'_>,
    drbd: &DrbdSpec,
    number: u32,
) -> stop::Result<()> {
    let Some(volume) = drbd.volume(number) else {
        return Ok(());
    };
    let promotable = move |seen: &Observed| match seen {
        Observed::Present(r) => r.is_up_to_date(number) && r.may_promote.unwrap_or(true),
        Observed::Unknown | Observed::Absent => false,
    };
    // If it is not up to date in time, 'drbdsetup primary' fails with the reason.
    let what = Awaited::Promotable(number);
    attempt.wait_for_drbd(what, promotable).await?;
    attempt.go_on()?;
    Ok(begin(attempt, layer::kind(attempt)?, volume.minor).await?)
}

/// Makes it secondary again. If udev has the new file system open, [`end_left_over`] of a later attempt does.
pub async fn end_writing(attempt: &Attempt<'_>, drbd: &DrbdSpec, number: u32) -> stop::Result<()> {
    let Some(volume) = drbd.volume(number) else {
        return Ok(());
    };
    match end(attempt, layer::kind(attempt)?, volume.minor).await {
        Ok(()) => Ok(()),
        Err(failure) => closed(attempt, volume.minor, &failure).await,
    }
}

/// Waits until a volume can be made secondary, which has just failed with `failure`.
async fn closed(attempt: &Attempt<'_>, minor: u32, failure: &Failure) -> stop::Result<()> {
    let never = |_: &Shared| Check::NotYet(None);
    if !attempt.wait(Awaited::Closed, never).await? {
        tracing::info!(resource = %attempt.spec.name, minor, %failure, "the volume remains primary");
    }
    Ok(())
}

/// Makes a volume primary.
pub async fn begin(attempt: &Attempt<'_>, kind: DrbdKind, minor: u32) -> Result<()> {
    let change = |notes: &mut Notes| {
        notes.promoted.insert(minor);
    };
    attempt.note(change).await?;
    adm::primary(&attempt.shared.machine, kind, &attempt.spec.name, minor).await
}

/// Makes it secondary again.
pub async fn end(attempt: &Attempt<'_>, kind: DrbdKind, minor: u32) -> Result<()> {
    adm::secondary(&attempt.shared.machine, kind, &attempt.spec.name, minor).await?;
    forget(attempt, minor).await
}

/// Makes volumes secondary that an earlier attempt made primary; `before` is what DRBD has now. If a process has opened
/// the device meanwhile, the next attempt tries again.
pub async fn end_left_over(
    attempt: &Attempt<'_>,
    kind: DrbdKind,
    before: Option<&DrbdResource>,
) -> stop::Result<()> {
    for minor in attempt.notes().promoted {
        if before.is_none_or(|resource| resource.role != Role::Primary) {
            forget(attempt, minor).await?;
        } else if let Err(failure) = end(attempt, kind, minor).await {
            match attempt.has_begun(Awaited::Closed) {
                true => closed(attempt, minor, &failure).await?,
                false => {
                    tracing::info!(resource = %attempt.spec.name, minor, %failure, "the volume remains primary");
                }
            }
        }
    }
    attempt.end_wait(Awaited::Closed);
    Ok(())
}

async fn forget(attempt: &Attempt<'_>, minor: u32) -> Result<()> {
    let change = |notes: &mut Notes| {
        notes.promoted.remove(&minor);
    };
    attempt.note(change).await
}
