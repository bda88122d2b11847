//! Being primary for a moment, for what DRBD does only then.
//!
//! It is noted first: a resource that stays primary because the attempt failed or the satellite died looks like one that
//! an application uses, and is refused to everybody else. The next attempt ends what was left.

use std::time::Duration;

use linstor_api::drbd_state::Role;
use linstor_api::kind::DrbdKind;
use linstor_wire::spec::DrbdSpec;

use super::layer;
use super::picture::Seen;
use crate::drbd::adm;
use crate::drbd::status::DrbdResource;
use crate::failure::Result;
use crate::layers::Attempt;
use crate::spec_store::Notes;

/// How long a new volume may take until it can be made primary for its file system.
const PROMOTE_WAIT: Duration = Duration::from_secs(10);
/// Attempts to make a volume secondary again: udev still has a new file system open.
const SECONDARY_ATTEMPTS: u32 = 7;
/// The first pause between them.
const SECONDARY_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between them.
const SECONDARY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Makes a volume primary as soon as it is up to date, for the satellite to write to it.
pub async fn begin_writing(attempt: &Attempt<'_>, drbd: &DrbdSpec, number: u32) -> Result<()> {
    let Some(volume) = drbd.volume(number) else {
        return Ok(());
    };
    let promotable = |seen: &Seen| match seen {
        Seen::Present(r) => r.is_up_to_date(number) && r.may_promote.unwrap_or(true),
        Seen::Unknown | Seen::Absent => false,
    };
    let picture = &attempt.shared.picture;
    picture
        .wait(&attempt.spec.name, PROMOTE_WAIT, promotable)
        .await;
    begin(attempt, layer::kind(attempt)?, volume.minor).await
}

/// Makes it secondary again.
pub async fn end_writing(attempt: &Attempt<'_>, drbd: &DrbdSpec, number: u32) -> Result<()> {
    let Some(volume) = drbd.volume(number) else {
        return Ok(());
    };
    let kind = layer::kind(attempt)?;
    let mut pause = SECONDARY_PAUSE;
    for _ in 1..SECONDARY_ATTEMPTS {
        if end(attempt, kind, volume.minor).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(SECONDARY_PAUSE_MAX);
    }
    end(attempt, kind, volume.minor).await
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

/// Ends what an earlier attempt began; `before` is what DRBD has now. Somebody may have opened the device meanwhile: then
/// it is tried again with the next attempt.
pub async fn end_left_over(
    attempt: &Attempt<'_>,
    kind: DrbdKind,
    before: Option<&DrbdResource>,
) -> Result<()> {
    for minor in attempt.notes().promoted {
        if before.is_none_or(|resource| resource.role != Role::Primary) {
            forget(attempt, minor).await?;
        } else if let Err(failure) = end(attempt, kind, minor).await {
            tracing::info!(resource = attempt.spec.name, minor, %failure, "stays primary");
        }
    }
    Ok(())
}

async fn forget(attempt: &Attempt<'_>, minor: u32) -> Result<()> {
    let change = |notes: &mut Notes| {
        notes.promoted.remove(&minor);
    };
    attempt.note(change).await
}
