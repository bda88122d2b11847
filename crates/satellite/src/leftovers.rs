//! What earlier identities of the node, or of its resources, have left: volumes that carry a mark of none of its resources,
//! and what is up in DRBD without a spec. A mark is the proof: nothing is removed for its name alone.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::code;
use linstor_api::name::ResourceName;
use linstor_api::reply::Reply;
use linstor_wire::question::{Leftover, LeftoverKind};
use linstor_wire::spec::Spec;
use uuid::Uuid;

use crate::check::{PoolPlace, pool_place};
use crate::drbd::{adm, foreign};
use crate::failure::{Failure, Result};
use crate::providers::{self, Owner, marked};
use crate::shared::Shared;

/// A leftover, and what is needed to remove it.
struct Found {
    leftover: Leftover,
    /// The pool of a volume, and its mark.
    volume: Option<(PoolPlace, Owner)>,
}

/// All of them.
pub async fn list(shared: &Shared) -> Result<Vec<Leftover>> {
    let found = find(shared).await?;
    Ok(found.into_iter().map(|found| found.leftover).collect())
}

async fn find(shared: &Shared) -> Result<Vec<Found>> {
    let (node, known) = {
        let state = shared.state();
        let records = state.objects.values().map(|tracked| &tracked.record.spec);
        let owners = records.flat_map(|spec| match spec {
            Spec::Resource(resource) => [resource.uuid, resource.storage_owner()],
            Spec::Node(_) | Spec::Snapshot(_) => [spec.uuid(); 2],
        });
        let known: BTreeSet<Uuid> = owners.collect();
        (state.node().cloned(), known)
    };
    let Some(node) = node else {
        return Err(Failure::new(
            code::FAIL_UNKNOWN_ERROR,
            "The satellite does not know its storage pools yet.",
        )
        .correction("Try again in a moment."));
    };
    // What somebody has made or removed by hand counts.
    shared.observations.all_unknown().await;
    let mut volumes = Vec::new();
    for pool in &node.pools {
        let place = pool_place(pool)?;
        for volume in marked::list(shared.storage(), &place).await? {
            if known.contains(&volume.owner.resource) {
                continue;
            }
            let owner = volume.owner;
            let leftover = Leftover {
                what: LeftoverKind::Volume {
                    pool: pool.name.to_string(),
                    path: volume.path,
                    size_kib: volume.size_kib,
                    allocated_kib: volume.allocated_kib,
                },
                name: volume.name,
                owner: Some((owner.cluster, owner.resource)),
                kept_because: None,
            };
            volumes.push(Found {
                leftover,
                volume: Some((place.clone(), owner)),
            });
        }
    }
    let mut found = in_drbd(shared, &volumes).await?;
    found.append(&mut volumes);
    Ok(found)
}

/// What is up in DRBD without a spec: ours if each of its disks is a leftover of ours.
async fn in_drbd(shared: &Shared, volumes: &[Found]) -> Result<Vec<Found>> {
    let has_drbd = shared.state().info.drbd.is_some();
    let foreign = match foreign::all(shared) {
        Some(foreign) => foreign,
        None if !has_drbd => Vec::new(),
        None => {
            let message = "The state of DRBD is not known on this node.";
            return Err(Failure::new(code::FAIL_UNKNOWN_ERROR, message)
                .correction("Try again in a moment."));
        }
    };
    let owners: BTreeMap<&str, Owner> = volumes
        .iter()
        .filter_map(|found| match &found.leftover.what {
            LeftoverKind::Volume { path, .. } => Some((path.as_str(), found.volume.as_ref()?.1)),
            LeftoverKind::Drbd { .. } => None,
        })
        .collect();
    let mut all = Vec::new();
    for resource in foreign {
        let shown = foreign::show(&shared.machine, &resource.name).await?;
        let disks = shown.disks.iter().map(|disk| owners.get(disk.as_str()));
        let disks: Option<BTreeSet<(Uuid, Uuid)>> = disks
            .map(|owner| owner.map(|owner| (owner.cluster, owner.resource)))
            .collect();
        let is_whole = shown.disks.len() == resource.minors.len();
        let owner = disks.filter(|owners| owners.len() == 1 && is_whole);
        let owner = owner.and_then(|owners| owners.into_iter().next());
        let kept_because = owner.is_none().then(|| {
            format!(
                "no mark on its disks shows that LINSTOR made it; 'drbdsetup down {}' takes it down",
                resource.name
            )
        });
        let mut ports = resource.ports;
        ports.extend(shown.ports);
        all.push(Found {
            leftover: Leftover {
                what: LeftoverKind::Drbd {
                    minors: resource.minors,
                    ports,
                },
                name: resource.name,
                owner,
                kept_because,
            },
            volume: None,
        });
    }
    Ok(all)
}

/// Removes those with these ids: first what is up in DRBD, then volumes. One that is not there any more is removed.
pub async fn forget(shared: &Shared, ids: &BTreeSet<String>) -> Result<Vec<Reply>> {
    let mut replies = Vec::new();
    for found in find(shared).await? {
        if !ids.contains(&found.leftover.id()) {
            continue;
        }
        replies.push(match remove(shared, &found).await {
            Ok(what) => Reply::new(code::DELETED, format!("{what} removed.")),
            Err(failure) => failure.reply(),
        });
    }
    shared.space_unsettled();
    Ok(replies)
}

async fn remove(shared: &Shared, found: &Found) -> Result<String> {
    let leftover = &found.leftover;
    let (name, details) = (&leftover.name, leftover.kept_because.as_deref());
    if let Some(why) = details {
        let message = format!("'{}' is not removed.", name.escape_debug());
        return Err(Failure::new(code::FAIL_IN_USE, message).cause(why));
    }
    match (&leftover.what, &found.volume) {
        (LeftoverKind::Volume { pool, .. }, Some((place, owner))) => {
            providers::destroy(shared.storage(), place, name, *owner).await?;
            tracing::warn!(pool, name, owner = owner.value(), "leftover volume removed");
            Ok(format!("Volume '{name}' of storage pool '{pool}'"))
        }
        _ => {
            let resource = ResourceName::parse(name)
                .map_err(|error| Failure::new(code::FAIL_INVLD_RSC_NAME, format!("{error}.")))?;
            adm::down(&shared.machine, &resource)
                .await
                .map_err(|failure| {
                    failure.context(
                        code::FAIL_IN_USE,
                        format!("DRBD cannot take down resource '{name}'."),
                    )
                })?;
            tracing::warn!(name, "leftover taken down in DRBD");
            Ok(format!("Resource '{name}' in DRBD"))
        }
    }
}
