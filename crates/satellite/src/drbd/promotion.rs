//! Being primary for a moment, for what DRBD does only then.
//!
//! It is noted first: a resource that stays primary because the attempt failed or the satellite died looks like one that
//! an application uses, and is refused to everybody else. The next attempt ends what was left.

use linstor_api::drbd_state::Role;
use linstor_api::kind::DrbdKind;

use crate::drbd::adm;
use crate::drbd::status::DrbdResource;
use crate::failure::Result;
use crate::layers::Attempt;
use crate::spec_store::Notes;

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
