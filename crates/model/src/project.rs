//! Projection: the model as one node must have it. Pure, and the only place that turns phases into specs.

use linstor_api::kind::{DrbdKind, LayerKind, ProviderKind};
use linstor_wire::spec::{
    DrbdSpec, DrbdVolumeSpec, InitialState, NodeSpec, PeerSpec, PoolSpec, ResourceSpec, StorageRef,
    Target, VolumeSpec,
};

use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::phase;
use crate::props;
use crate::sizing;
use crate::{
    Node, ResizeStep, Resource, ResourceDefinition, ResourcePhase, StoragePool, VolumeDefinition,
};

/// What a node is and which pools it has; none when there is no such node.
pub fn node_spec(model: &Model, name: &NodeName) -> Option<NodeSpec> {
    let node = model.node(name)?;
    Some(NodeSpec {
        cluster_id: model.controller.cluster_id,
        name: node.name.to_string(),
        uuid: node.uuid,
        props: props::satellite_props(model, node),
        pools: model
            .pools_of(name)
            .map(|pool| PoolSpec {
                name: pool.name.to_string(),
                uuid: pool.uuid,
                kind: pool.kind,
                props: props::pool_props(model, pool),
            })
            .collect(),
    })
}

/// What a node must have of a definition; none when it has no replica of it.
pub fn resource_spec(model: &Model, name: &ResourceName, node: &NodeName) -> Option<ResourceSpec> {
    let definition = model.definitions.get(name)?;
    let replica = model.resource(name, node)?;
    let host = model.node(node)?;
    let target = match &replica.phase {
        ResourcePhase::TakingDown { .. } => Target::Leaving,
        ResourcePhase::Destroying { .. } => Target::Destroyed,
        ResourcePhase::Present
        | ResourcePhase::AddingDisk { .. }
        | ResourcePhase::RemovingDisk { .. } => {
            if replica.inactive {
                Target::Down
            } else {
                Target::Up
            }
        }
    };
    let destroy_storage = match &replica.phase {
        ResourcePhase::RemovingDisk { storage, .. } => storage
            .iter()
            .map(|(number, pool)| StorageRef {
                number: *number,
                pool: pool.to_string(),
            })
            .collect(),
        _ => Vec::new(),
    };
    Some(ResourceSpec {
        name: definition.name.to_string(),
        uuid: replica.uuid,
        target,
        allow_last_copy: definition.deleting.is_some()
            || match replica.phase {
                ResourcePhase::TakingDown { .. } => phase::goes_alone(model, replica),
                ResourcePhase::Destroying { vouched, .. } => vouched,
                ResourcePhase::Present
                | ResourcePhase::AddingDisk { .. }
                | ResourcePhase::RemovingDisk { .. } => false,
            },
        drbd: drbd_spec(model, definition, replica, host),
        volumes: replica
            .volumes
            .keys()
            .filter_map(|number| {
                let volume = definition.volumes.get(number)?;
                Some(volume_spec(model, definition, *number, volume, replica))
            })
            .collect(),
        destroy_storage,
    })
}

fn has_drbd(replica: &Resource) -> bool {
    replica.layer_stack.contains(&LayerKind::Drbd)
}

fn volume_spec(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    volume: &VolumeDefinition,
    replica: &Resource,
) -> VolumeSpec {
    let pool = &replica.volumes[&number].pool;
    let row = model.pool(&replica.node, pool);
    let drbd = match (&replica.drbd, volume.minor) {
        (Some(_), Some(minor)) if has_drbd(replica) => Some(DrbdVolumeSpec {
            minor,
            day0_gi: props::day0_gi(volume),
            initial: initial_state(model, definition, number, volume, replica),
            grow: grows_here(volume, &replica.node),
            grow_assume_clean: model.resources_of(&definition.name).all(|other| {
                pool_of(model, other, number).is_none_or(|pool| pool.kind.new_volume_is_zero())
            }),
            granularity_kib: volume.granularity_kib,
            disk_options: props::volume_disk_options(model, definition, number, replica),
        }),
        _ => None,
    };
    VolumeSpec {
        number,
        pool: pool.to_string(),
        target: if volume.deleting.is_some() {
            Target::Destroyed
        } else {
            Target::Up
        },
        usable_kib: sizing::usable_kib(definition, volume, replica),
        backing_kib: sizing::backing_kib(definition, volume, replica),
        props: props::volume_storage_props(
            model,
            definition,
            number,
            replica,
            row.map(|row| &**row),
        ),
        drbd,
    }
}

fn grows_here(volume: &VolumeDefinition, node: &NodeName) -> bool {
    volume
        .resize
        .as_ref()
        .is_some_and(|resize| match &resize.step {
            ResizeStep::Storage => false,
            ResizeStep::Drbd { on } => on == node,
        })
}

/// The pool of a replica's volume; none for a diskless one.
fn pool_of<'a>(model: &'a Model, replica: &Resource, number: u32) -> Option<&'a StoragePool> {
    let pool = &replica.volumes.get(&number)?.pool;
    let row = model.pool(&replica.node, pool)?;
    (row.kind != ProviderKind::Diskless).then_some(&**row)
}

/// How new metadata starts (spec core 6.4 step 5). The day-0 shortcut is taken only when the new backing volume reads as
/// zeros like the first copy did, and nobody asked for a full sync. DRBD 8.4 keeps one bitmap, which says nothing of
/// day 0 any more once two replicas have met: there a later replica always gets a full sync.
fn initial_state(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    volume: &VolumeDefinition,
    replica: &Resource,
) -> InitialState {
    let first = volume.first_copy_on.as_ref() == Some(&replica.node);
    let zero = pool_of(model, replica, number).is_none_or(|pool| pool.kind.new_volume_is_zero());
    let host = model
        .node(&replica.node)
        .and_then(|node| node.host.as_ref());
    let one_bitmap = host.is_some_and(|host| host.drbd == Some(DrbdKind::Drbd84));
    if first && !volume.initialized {
        InitialState::First
    } else if zero && !props::force_initial_sync(definition) && !(one_bitmap && volume.initialized)
    {
        InitialState::SameAsDay0
    } else {
        InitialState::FullSync
    }
}

fn drbd_spec(
    model: &Model,
    definition: &ResourceDefinition,
    replica: &Resource,
    host: &Node,
) -> Option<DrbdSpec> {
    if !has_drbd(replica) {
        return None;
    }
    let (drbd, common) = (replica.drbd.as_ref()?, definition.drbd.as_ref()?);
    let options = props::drbd_options(model, definition, replica);
    // A deactivated replica stays a peer: its slot in the bitmap says what it misses, and a peer that forgot it would
    // take old data for current when it comes back.
    let peers = model
        .resources_of(&definition.name)
        .filter(|peer| peer.node != replica.node && peer.phase.is_peer())
        .filter_map(|peer| peer_spec(model, definition, replica, peer))
        .collect();
    Some(DrbdSpec {
        secret: common.secret.clone(),
        node_id: drbd.node_id,
        uname: uname(host),
        address: props::address_of(model, replica)?,
        port: *drbd.ports.first()?,
        diskless: drbd.disk.is_diskless(),
        peer_slots: drbd.peer_slots,
        al_stripes: common.al_stripes,
        al_stripe_kib: common.al_stripe_kib,
        options: options.options,
        net_options: options.net,
        disk_options: options.disk,
        handlers: options.handlers,
        peers,
    })
}

/// Host name of a node; until its satellite has said so, the node's name is the best guess.
fn uname(node: &Node) -> String {
    match &node.host {
        Some(host) => host.uname.clone(),
        None => node.name.to_string(),
    }
}

fn peer_spec(
    model: &Model,
    definition: &ResourceDefinition,
    local: &Resource,
    peer: &Resource,
) -> Option<PeerSpec> {
    let drbd = peer.drbd.as_ref()?;
    let host = model.node(&peer.node)?;
    let options = props::connection_options(model, definition, &local.node, &peer.node);
    Some(PeerSpec {
        node: host.name.to_string(),
        uname: uname(host),
        node_id: drbd.node_id,
        address: props::address_of(model, peer)?,
        port: *drbd.ports.first()?,
        local_address: None,
        // While its node may still refuse to let go of the disk, it has one.
        diskless: peer.is_diskless() && !matches!(peer.phase, ResourcePhase::RemovingDisk { .. }),
        tiebreaker: drbd.disk != crate::DiskKind::Client,
        net_options: options.net,
        disk_options: options.disk,
    })
}
