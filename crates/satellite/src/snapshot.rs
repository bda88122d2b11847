//! Takes and destroys snapshots. Between the two nothing is to be done about one, and it has no spec.

use linstor_api::code;
use linstor_wire::Key;
use linstor_wire::spec::{NodeSpec, SnapshotSpec, SnapshotTarget, SnapshotVolumeSpec};
use uuid::Uuid;

use crate::check::{self, PoolPlace, pool_place};
use crate::failure::{Failure, Result};
use crate::layers::storage::volume_name;
use crate::providers::{self, Owner, Presence, SnapshotOf, in_use};
use crate::shared::Shared;
use crate::shipment;
use crate::stop::{self, Awaited};

/// Brings a snapshot to its spec.
pub async fn bring_to_spec(
    shared: &Shared,
    key: &Key,
    spec: &SnapshotSpec,
    node: &NodeSpec,
) -> stop::Result<()> {
    check::snapshot(spec)?;
    let begun = match &spec.target {
        SnapshotTarget::Sent(shipment) => Some((shipment.id, &shipment.bucket, Awaited::Sent)),
        SnapshotTarget::Received(receipt) => {
            if shared.notes(key).received == Some(receipt.id) {
                return Ok(());
            }
            Some((receipt.id, &receipt.bucket, Awaited::Received))
        }
        SnapshotTarget::SentToPeer(of) => {
            let (to, what) = ((of.id, &of.link), Awaited::Sent);
            return shipment::carry_over(shared, key, spec, node, to, what).await;
        }
        SnapshotTarget::ReceivedFromPeer(of) => {
            if shared.notes(key).received == Some(of.id) {
                return Ok(());
            }
            let (from, what) = ((of.id, &of.link), Awaited::Received);
            return shipment::carry_over(shared, key, spec, node, from, what).await;
        }
        SnapshotTarget::Taken { .. }
        | SnapshotTarget::TakenWhileDown
        | SnapshotTarget::Destroyed => None,
    };
    if let Some((id, bucket, what)) = begun {
        return shipment::carry(shared, key, spec, node, (id, bucket), what).await;
    }
    shared.shipments.stop(shared, key).await;
    match &spec.target {
        SnapshotTarget::Taken { lease } => take(shared, key, spec, node, *lease).await?,
        SnapshotTarget::TakenWhileDown => take_while_down(shared, key, spec, node).await?,
        SnapshotTarget::Destroyed => {
            shared.save(&Key::Node).await?;
            shared.save(key).await?;
            destroy(shared, spec, node).await?;
        }
        SnapshotTarget::Sent(_)
        | SnapshotTarget::Received(_)
        | SnapshotTarget::SentToPeer(_)
        | SnapshotTarget::ReceivedFromPeer(_) => {}
    }
    Ok(())
}

/// Takes all volumes while the suspension is held, or fails. What was taken before it failed is destroyed with the
/// snapshot.
async fn take(
    shared: &Shared,
    key: &Key,
    spec: &SnapshotSpec,
    node: &NodeSpec,
    lease: Uuid,
) -> Result<()> {
    // Taken already: what is reported again after the suspension is what was reported while it was held.
    if shared.notes(key).taken_under == Some(lease) {
        return Ok(());
    }
    check_lease(shared, spec, lease)?;
    // Written down first, but only what a destruction needs: I/O waits meanwhile.
    shared.save(key).await?;
    for volume in &spec.volumes {
        let (name, place) = (name_of(spec, volume), place(node, volume)?);
        let of = snapshot_of(spec, node, volume, &name);
        providers::take_snapshot(shared.storage(), &place, &of).await?;
    }
    check_lease(shared, spec, lease)?;
    shared.space_unsettled();
    let note = |notes: &mut crate::spec_store::Notes| notes.taken_under = Some(lease);
    shared.note(key, spec.uuid, note).await
}

/// Takes all volumes of a resource that is down. What was taken before is as it would be now.
async fn take_while_down(
    shared: &Shared,
    key: &Key,
    spec: &SnapshotSpec,
    node: &NodeSpec,
) -> Result<()> {
    shared.save(key).await?;
    for volume in &spec.volumes {
        let (name, place) = (name_of(spec, volume), place(node, volume)?);
        let of = snapshot_of(spec, node, volume, &name);
        let found = providers::find(shared.storage(), &place, of.volume, of.volume_owner).await?;
        if let Presence::Present(backing) = found {
            in_use::refuse(&shared.machine, &backing.path).await?;
        }
        providers::take_snapshot(shared.storage(), &place, &of).await?;
    }
    shared.space_unsettled();
    Ok(())
}

async fn destroy(shared: &Shared, spec: &SnapshotSpec, node: &NodeSpec) -> Result<()> {
    for volume in &spec.volumes {
        let (name, place) = (name_of(spec, volume), place(node, volume)?);
        let of = snapshot_of(spec, node, volume, &name);
        providers::destroy_snapshot(shared.storage(), &place, &of).await?;
    }
    shared.space_unsettled();
    Ok(())
}

fn check_lease(shared: &Shared, spec: &SnapshotSpec, lease: Uuid) -> Result<()> {
    if shared.suspensions.is_suspended(lease) {
        return Ok(());
    }
    let (name, snapshot) = (&spec.resource, &spec.name);
    Err(Failure::new(
        code::FAIL_INVLD_RSC_STATE,
        format!("Snapshot '{snapshot}' of resource '{name}' is not taken."),
    )
    .cause("I/O of the resource is not suspended any more, so that the volumes would not be of one moment.")
    .correction("Delete the snapshot, and take another one."))
}

pub(crate) fn name_of(spec: &SnapshotSpec, volume: &SnapshotVolumeSpec) -> String {
    volume_name(&spec.resource, volume.suffix, volume.number)
}

pub(crate) fn place(node: &NodeSpec, volume: &SnapshotVolumeSpec) -> Result<PoolPlace> {
    let found = node.pools.iter().find(|pool| pool.name == volume.pool);
    match found {
        Some(spec) => pool_place(spec),
        None => Err(Failure::new(
            code::FAIL_NOT_FOUND_STOR_POOL,
            format!("Storage pool '{}' is not known to this node.", volume.pool),
        )),
    }
}

pub(crate) fn snapshot_of<'a>(
    spec: &'a SnapshotSpec,
    node: &NodeSpec,
    volume: &'a SnapshotVolumeSpec,
    name: &'a str,
) -> SnapshotOf<'a> {
    let cluster = node.cluster_id;
    SnapshotOf {
        volume: name,
        volume_owner: Owner {
            cluster,
            resource: spec.resource_uuid,
        },
        snapshot: spec.name.as_str(),
        owner: Owner {
            cluster,
            resource: spec.uuid,
        },
        props: &volume.props,
    }
}
