//! The status of a resource that is reported: facts about its storage and DRBD's state, joined when it is sent.

use linstor_api::drbd_state::{Quorum, Role, Suspension};
use linstor_api::kind::StorageSuffix;
use linstor_wire::spec::{DrbdSpec, ResourceSpec, Target, VolumeSpec};
use linstor_wire::status::{
    DrbdStatus, ReplicationStatus, ResourceStatus, StorageStatus, VolumeStatus,
};

use crate::drbd::observed::{Observed, ObservedDrbd};
use crate::drbd::status::{DrbdConnection, DrbdResource};
use crate::drbd::v84;
use crate::shared::Tracked;

/// The status of a resource.
pub fn of(spec: &ResourceSpec, tracked: &Tracked, observed: &ObservedDrbd) -> ResourceStatus {
    let drbd = spec.drbd();
    let seen = drbd
        .filter(|_| !tracked.former)
        .and_then(|_| match observed.get(&spec.name) {
            Observed::Present(resource) => Some(resource),
            Observed::Absent | Observed::Unknown => None,
        });
    let volumes = spec
        .volumes
        .iter()
        .filter_map(|v| volume(spec, tracked, v, seen.as_ref()))
        .collect();
    ResourceStatus {
        name: spec.name.to_string(),
        uuid: spec.uuid,
        drbd: drbd
            .zip(seen.as_ref())
            .map(|(spec, resource)| drbd_status(spec, resource, tracked)),
        volumes,
    }
}

fn drbd_status(spec: &DrbdSpec, resource: &DrbdResource, tracked: &Tracked) -> DrbdStatus {
    DrbdStatus {
        in_use: resource.role == Role::Primary,
        suspended: Some(resource.suspended.clone()).filter(Suspension::is_suspended),
        may_promote: resource.may_promote,
        promotion_score: resource.promotion_score,
        connections: resource
            .connections
            .values()
            .filter_map(|c| Some((peer(spec, c)?.to_owned(), c.state.clone())))
            .collect(),
        quorum_lost: {
            let mut devices = resource.devices.values();
            devices.any(|device| device.quorum == Some(Quorum::Lost))
        },
        disk_given_up: tracked.mending.has_given_up() && !spec.skip_disk,
    }
}

/// The cluster's name for a peer of DRBD. 8.4 does not name its only one; a name of DRBD 9 that the spec does not have is
/// that of a node that is no peer any more.
fn peer<'a>(spec: &'a DrbdSpec, connection: &DrbdConnection) -> Option<&'a str> {
    let by_name = spec.peers.iter().find(|p| p.uname == connection.name);
    let only = match spec.peers.as_slice() {
        [peer] if v84::is_unnamed(&connection.name) => Some(peer),
        _ => None,
    };
    by_name.or(only).map(|p| p.node.as_str())
}

fn volume(
    spec: &ResourceSpec,
    tracked: &Tracked,
    volume: &VolumeSpec,
    seen: Option<&DrbdResource>,
) -> Option<VolumeStatus> {
    let facts = |suffix| tracked.volumes.get(&(volume.number, suffix));
    let extra = volume.storage.keys().filter(|s| **s != StorageSuffix::Data);
    let extra = extra.filter_map(|suffix| {
        let facts = facts(*suffix)?;
        let status = StorageStatus {
            device: facts.backing_device.clone(),
            size_kib: facts.backing_kib,
            allocated_kib: facts.allocated_kib,
        };
        Some((*suffix, status))
    });
    let extra = extra.collect();
    let facts = facts(StorageSuffix::Data);
    let device = seen.and_then(|r| r.devices.get(&volume.number));
    if facts.is_none() && device.is_none() {
        return None;
    }
    let up = spec.target == Target::Up && volume.target == Target::Up;
    let backing_device = facts.and_then(|f| f.backing_device.clone());
    let backing_kib = facts.and_then(|f| f.backing_kib);
    let (device_path, usable_kib) = match (spec.drbd(), device) {
        (Some(_), Some(device)) => (
            Some(format!("/dev/drbd{}", device.minor)),
            device
                .size_kib
                .filter(|kib| *kib > 0)
                .or(Some(volume.usable_kib)),
        ),
        (Some(_), None) => (None, None),
        (None, _) if spec.luks().is_some() => {
            let open = tracked.luks.get(&volume.number);
            (
                open.map(|luks| luks.device.clone()),
                open.map(|luks| luks.size_kib),
            )
        }
        (None, _) => (backing_device.clone(), backing_kib),
    };
    let mut status = VolumeStatus {
        number: volume.number,
        device_path: device_path.filter(|_| up),
        backing_device,
        allocated_kib: facts.and_then(|f| f.allocated_kib),
        usable_kib,
        backing_kib,
        extra_storage: extra,
        luks: tracked.luks.get(&volume.number).cloned(),
        disk_state: device.map(|d| d.disk.clone()),
        ..VolumeStatus::default()
    };
    if let (Some(drbd), Some(resource)) = (spec.drbd(), seen) {
        for connection in resource.connections.values() {
            let found = connection.volumes.get(&volume.number);
            if let (Some(peer), Some(seen)) = (peer(drbd, connection), found) {
                let replication = ReplicationStatus {
                    state: seen.replication.clone(),
                    peer_disk: Some(seen.disk.clone()),
                    done_percent: seen.done,
                };
                status.replication.insert(peer.to_owned(), replication);
            }
        }
    }
    Some(status)
}
