//! The lowest layer: volumes in storage pools.

use std::collections::BTreeMap;

use linstor_api::code;
use linstor_wire::spec::{Target, VolumeSpec};

use super::Attempt;
use crate::check::{PoolPlace, pool_place};
use crate::failure::{Failure, Result};
use crate::providers::{self, Backing, Owner, Presence, Wanted};
use crate::shared::VolumeFacts;
use crate::spec_store::{Notes, Stage};

/// The name of a volume in its pool.
pub fn volume_name(resource: &str, number: u32) -> String {
    format!("{resource}_{number:05}")
}

/// Whose this resource's volumes are.
pub fn owner(attempt: &Attempt<'_>) -> Owner {
    Owner {
        cluster: attempt.node.cluster_id,
        resource: attempt.spec.uuid,
    }
}

/// Where a pool of the node is.
pub fn place(attempt: &Attempt<'_>, pool: &str) -> Result<PoolPlace> {
    let found = attempt
        .node
        .pools
        .iter()
        .find(|p| p.name.eq_ignore_ascii_case(pool));
    match found {
        Some(spec) => pool_place(spec),
        None => Err(Failure::new(
            code::FAIL_NOT_FOUND_STOR_POOL,
            format!(
                "Storage pool '{}' is not known to this node.",
                pool.escape_debug()
            ),
        )),
    }
}

/// Makes sure that the volumes that should be up have their devices. Diskless ones are not in the result.
pub async fn ensure(attempt: &Attempt<'_>) -> Result<BTreeMap<u32, Backing>> {
    let mut devices = BTreeMap::new();
    let mut first_failure = None;
    for volume in attempt
        .spec
        .volumes
        .iter()
        .filter(|v| v.target == Target::Up)
    {
        match ensure_volume(attempt, volume).await {
            Ok(Some(backing)) => {
                tell_facts(attempt, volume.number, Some(&backing));
                devices.insert(volume.number, backing);
            }
            Ok(None) => {}
            // The other volumes are brought up all the same.
            Err(failure) => first_failure = first_failure.or(Some(failure)),
        }
    }
    match first_failure {
        Some(failure) => Err(failure),
        None => Ok(devices),
    }
}

async fn ensure_volume(attempt: &Attempt<'_>, volume: &VolumeSpec) -> Result<Option<Backing>> {
    if attempt.spec.drbd.as_ref().is_some_and(|d| d.diskless) {
        return Ok(None);
    }
    let place = place(attempt, &volume.pool)?;
    if place == PoolPlace::Diskless {
        return Ok(None);
    }
    let name = volume_name(&attempt.spec.name, volume.number);
    let storage = attempt.shared.storage();
    let stage = begin(attempt, volume.number, &place, &name).await?;
    let owner = owner(attempt);
    let wanted = Wanted {
        name: &name,
        size_kib: volume.backing_kib,
        owner,
        props: &volume.props,
        is_new: stage != Stage::Ready,
    };
    let backing = providers::ensure(storage, &place, &wanted).await?;
    if wanted.is_new {
        attempt.shared.space_changed.notify_one();
        if attempt.spec.drbd.is_none() {
            attempt.set_stage(volume.number, Stage::Ready).await?;
        }
    }
    Ok(Some(backing))
}

/// How far the creation of a volume is. It is written down before anything is made: after a crash it is known that
/// nothing on the volume is worth keeping.
async fn begin(attempt: &Attempt<'_>, number: u32, place: &PoolPlace, name: &str) -> Result<Stage> {
    let stage = attempt.stage(number);
    if let Some(stage @ (Stage::New | Stage::Replacement)) = stage {
        return Ok(stage);
    }
    let storage = attempt.shared.storage();
    match providers::look(storage, place, name, owner(attempt)).await? {
        // Without its pool nobody knows whether the volume is gone; the provider says what is missing.
        Presence::Present(_) | Presence::PoolAbsent => return Ok(Stage::Ready),
        Presence::Absent => {}
    }
    let next = match stage {
        None | Some(Stage::New | Stage::Replacement) => Stage::New,
        Some(Stage::Ready | Stage::LetGo) => {
            may_replace(attempt, place, name)?;
            tracing::warn!(
                name,
                "a volume that was in use is gone; it is made again and synchronised"
            );
            Stage::Replacement
        }
    };
    attempt.set_stage(number, next).await?;
    Ok(next)
}

/// A volume that was in use can be made again only where its content comes from a peer. A directory may just not be
/// mounted.
fn may_replace(attempt: &Attempt<'_>, place: &PoolPlace, name: &str) -> Result<()> {
    let replicated = attempt
        .spec
        .drbd
        .as_ref()
        .is_some_and(|d| !d.peers.is_empty());
    if replicated && !matches!(place, PoolPlace::File { .. }) {
        return Ok(());
    }
    Err(Failure::new(
        code::FAIL_INVLD_RSC_STATE,
        format!("Volume '{name}' was in use and is gone."),
    )
    .cause("It was removed behind the satellite's back, or what it is stored on is missing.")
    .correction("Bring it back, or delete the resource on this node and create it again."))
}

/// The backing device of a volume, if it is there.
pub async fn look(attempt: &Attempt<'_>, pool: &str, number: u32) -> Result<Option<Backing>> {
    let name = volume_name(&attempt.spec.name, number);
    let place = place(attempt, pool)?;
    let storage = attempt.shared.storage();
    match providers::look(storage, &place, &name, owner(attempt)).await? {
        Presence::Absent | Presence::PoolAbsent => Ok(None),
        Presence::Present(backing) => Ok(Some(backing)),
    }
}

/// Destroys a volume.
pub async fn destroy(attempt: &Attempt<'_>, pool: &str, number: u32) -> Result<()> {
    let place = place(attempt, pool)?;
    let name = volume_name(&attempt.spec.name, number);
    let storage = attempt.shared.storage();
    providers::destroy(storage, &place, &name, owner(attempt))
        .await
        .map_err(|failure| match failure.code() {
            code::FAIL_IN_USE => in_use(attempt, failure),
            _ => failure,
        })?;
    let change = |notes: &mut Notes| {
        notes.volumes.remove(&number);
    };
    attempt.note(change).await?;
    tell_facts(attempt, number, None);
    attempt.shared.space_changed.notify_one();
    Ok(())
}

/// As the controller refuses what it knows to be in use.
fn in_use(attempt: &Attempt<'_>, failure: Failure) -> Failure {
    let (name, node) = (&attempt.spec.name, &attempt.node.name);
    let message = format!("Resource '{name}' is still in use on node '{node}'.");
    failure
        .context(code::FAIL_IN_USE, message)
        .details("Resource is mounted/in use.")
        .correction(format!("Un-mount resource '{name}' on the node '{node}'."))
        .about("RscDfn", name.clone())
        .about("Node", node.clone())
}

/// Takes over what is known of a volume's storage; it is told to the controller when it is news.
pub fn tell_facts(attempt: &Attempt<'_>, number: u32, backing: Option<&Backing>) {
    let mut state = attempt.shared.state();
    let Some(tracked) = state.resources.get_mut(attempt.key) else {
        return;
    };
    let changed = match backing {
        None => tracked.volumes.remove(&number).is_some(),
        Some(backing) => {
            let facts = VolumeFacts {
                backing_device: Some(backing.path.clone()),
                backing_kib: Some(backing.size_kib),
                allocated_kib: backing.allocated_kib,
            };
            tracked.volumes.insert(number, facts.clone()) != Some(facts)
        }
    };
    if changed {
        state.outbox.status(&attempt.spec.name);
        drop(state);
        attempt.shared.outgoing.notify_one();
    }
}
