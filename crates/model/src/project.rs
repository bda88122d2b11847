//! Projection: the model as one node must have it. Pure, and the only place that turns rows and processes into specs.

use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_wire::Key;
use linstor_wire::secret::Secret;
use linstor_wire::spec::{
    Action, DrbdSpec, DrbdVolumeSpec, FileSpec, Instruction, LayerSpec, NodeSpec, PeerSpec,
    PoolSpec, ResourceSpec, Spec, StorageRef, StorageSpec, Target, VolumeSpec,
};

use crate::connection;
use crate::external_file;
use crate::layer;
use crate::layer::luks::{self, Keys};
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::process::{clone_definition, delete_resource, resize};
use crate::props;
use crate::resource::shared;
use crate::skip_disk;
use crate::snapshot;
use crate::{Node, Resource, ResourceDefinition, StoragePool, VolumeDefinition};

/// What a node must have of an object; none when there is no such object on it.
pub fn spec(model: &Model, node: &NodeName, key: &Key, keys: Keys<'_>) -> Option<Spec> {
    match key {
        Key::Node => node_spec(model, node).map(Spec::from),
        Key::Resource(name) => resource_spec(model, name, node, keys).map(Spec::from),
        Key::Snapshot(name, snapshot) => {
            snapshot::spec(model, name, snapshot, node, keys).map(Spec::from)
        }
        Key::Other(_) => None,
    }
}

/// What a node is and which pools it has; none when there is no such node.
pub fn node_spec(model: &Model, name: &NodeName) -> Option<NodeSpec> {
    let node = model.node(name)?;
    Some(NodeSpec {
        cluster_id: model.controller.cluster_id,
        name: node.name.clone(),
        uuid: node.uuid,
        props: props::satellite_props(model, node),
        pools: model
            .pools_of(name)
            .map(|pool| PoolSpec {
                name: pool.name.clone(),
                uuid: pool.uuid,
                kind: pool.kind,
                props: props::pool_props(model, pool),
                // A file system and a lock manager order the changes of several nodes by themselves.
                turns: pool
                    .shared_name
                    .clone()
                    .filter(|_| pool.kind == ProviderKind::Lvm && !pool.external_locking),
            })
            .collect(),
        files: external_file::needed_on(model, name)
            .map(|file| FileSpec {
                path: file.path.clone(),
                content: Secret::new(file.content.clone()),
                alt_suffixes: file.alt_suffixes.clone(),
            })
            .collect(),
    })
}

/// What a node must have of a definition; none when it has no replica of it.
pub fn resource_spec(
    model: &Model,
    name: &ResourceName,
    node: &NodeName,
    keys: Keys<'_>,
) -> Option<ResourceSpec> {
    let definition = model.definitions.get(name)?;
    let replica = model.resource(name, node)?;
    let host = model.node(node)?;
    let deletion = model.deletion_of(replica);
    let roll_back = model.rollback_of(name);
    let is_rolled_back = roll_back.is_some_and(|of| of.is_down());
    // There is nothing yet that its volumes could be made of.
    let cloning = model.cloning_of(definition);
    if cloning.is_some_and(|clone| clone.step == clone_definition::Step::Snapshot)
        && deletion.is_none()
    {
        return None;
    }
    let target = match deletion {
        Some(delete_resource::Step::TakeDown) => Target::Leaving,
        Some(delete_resource::Step::Destroy { .. }) => Target::Destroyed,
        None if replica.inactive || is_rolled_back => Target::Down,
        None => Target::Up,
    };
    let removed = model.removed_storage(replica).into_iter().flatten();
    let destroy_storage = removed
        .flat_map(|(number, pool)| {
            let volume = replica.volumes.get(number);
            let extra = volume.into_iter().flat_map(|v| &v.extra_storage);
            let extra = extra.map(|(suffix, pool)| (*suffix, pool));
            let all = std::iter::once((StorageSuffix::Data, pool)).chain(extra);
            all.map(|(suffix, pool)| StorageRef {
                number: *number,
                suffix,
                pool: pool.clone(),
            })
        })
        .collect();
    let shared = shared::spec(model, definition, replica);
    Some(ResourceSpec {
        name: definition.name.clone(),
        uuid: replica.uuid,
        target,
        // Nothing is destroyed that another resource has, too.
        allow_last_copy: shared.as_ref().is_some_and(|shared| shared.keep)
            || model.is_deleting_definition(definition)
            || deletion.is_some_and(|step| match step {
                delete_resource::Step::TakeDown => delete_resource::is_last_diskful(model, replica),
                delete_resource::Step::Destroy { data_elsewhere } => *data_elsewhere,
            }),
        layers: layers(model, definition, replica, host, keys).unwrap_or_default(),
        volumes: replica
            .volumes
            .keys()
            .filter(|number| definition.volumes.contains_key(number))
            .map(|number| volume_spec(model, definition, *number, replica))
            .collect(),
        destroy_storage,
        once: match target {
            Target::Up | Target::Down => once(model, definition, replica, keys),
            Target::Leaving | Target::Destroyed => Vec::new(),
        },
        roll_back: match target {
            Target::Down => roll_back.and_then(|of| of.spec(model, replica)),
            Target::Up | Target::Leaving | Target::Destroyed => None,
        },
        shared,
    })
}

/// The layers; none when a part of one is missing, as is the address of a node without net interfaces. A satellite
/// refuses a spec without layers and leaves the resource as it is.
fn layers(
    model: &Model,
    definition: &ResourceDefinition,
    replica: &Resource,
    host: &Node,
    keys: Keys<'_>,
) -> Option<Vec<LayerSpec>> {
    let mut layers = Vec::new();
    for kind in &replica.layer_stack {
        layers.push(match kind {
            LayerKind::Drbd => {
                let drbd = drbd_spec(model, definition, replica, host)?;
                LayerSpec::Drbd(Box::new(drbd))
            }
            LayerKind::Luks => LayerSpec::Luks(luks::spec(model, definition, replica, keys)),
            LayerKind::Storage => LayerSpec::Storage,
            // Refused when the resource is made.
            LayerKind::Nvme | LayerKind::Writecache | LayerKind::Cache | LayerKind::Bcache => {
                return None;
            }
        });
    }
    Some(layers)
}

/// What the node has to do once, and has not reported as done.
fn once(
    model: &Model,
    definition: &ResourceDefinition,
    replica: &Resource,
    keys: Keys<'_>,
) -> Vec<Instruction> {
    let mut once = Vec::new();
    let disks = replica.volumes.iter().filter(|_| !replica.is_diskless());
    for (number, own) in disks {
        let deleting = model.is_deleting_volume(&definition.name, *number);
        let Some(volume) = definition.volumes.get(number).filter(|_| !deleting) else {
            continue;
        };
        if let Some(source) = &own.source {
            once.push(Instruction {
                id: source.id,
                volume: *number,
                action: Action::RestoreSnapshot(source.of.clone()),
            });
        }
        let is_first = volume.first_copy_on.as_ref() == Some(&replica.node);
        if replica.drbd.is_some() && is_first && !volume.initialized {
            once.push(Instruction {
                id: volume.uuid,
                volume: *number,
                action: Action::NewGeneration,
            });
        }
        let luks = volume.luks.as_ref();
        if let Some(change) = luks.and_then(|luks| luks.change.as_ref())
            && change.on.contains(&replica.node)
        {
            let former = keys.of(volume).map(|(_, former)| former);
            once.push(Instruction {
                id: change.id,
                volume: *number,
                action: Action::ChangeLuksKey {
                    former: former.unwrap_or_default(),
                },
            });
        }
        if volume.file_system_on.contains(&replica.node)
            && let Some((kind, parameters)) =
                props::file_system(model, definition, *number, replica)
        {
            once.push(Instruction {
                id: own.uuid,
                volume: *number,
                action: Action::MakeFileSystem { kind, parameters },
            });
        }
    }
    once
}

fn volume_spec(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    replica: &Resource,
) -> VolumeSpec {
    let roll_back = model.rollback_of(&definition.name);
    let drops = |number| roll_back.is_some_and(|of| of.drops(model, number));
    let backing = layer::backing(definition, number, replica);
    let storage = backing.into_iter().filter_map(|(suffix, size_kib)| {
        let pool = replica.volumes.get(&number)?.pool_of(suffix)?;
        let row = model.pool(&replica.node, pool).map(|row| &**row);
        let spec = StorageSpec {
            pool: pool.clone(),
            size_kib,
            props: props::volume_storage_props(model, definition, number, replica, row),
        };
        Some((suffix, spec))
    });
    VolumeSpec {
        number,
        target: match model.is_deleting_volume(&definition.name, number) || drops(number) {
            true => Target::Destroyed,
            false => Target::Up,
        },
        usable_kib: layer::usable_kib(definition, number, replica),
        fixed_size: replica.drbd.is_some() && model.resize_of(&definition.name, number).is_none(),
        storage: storage.collect(),
    }
}

fn drbd_volume(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    volume: &VolumeDefinition,
    replica: &Resource,
) -> Option<DrbdVolumeSpec> {
    Some(DrbdVolumeSpec {
        number,
        minor: volume.minor?,
        day0_gi: props::day0_gi(volume),
        initial: layer::drbd::initial_state(model, definition, number, replica),
        grow: grows_here(model, definition, number, &replica.node),
        grow_assume_clean: !props::force_initial_sync(definition)
            && model.resources_of(&definition.name).all(|other| {
                pool_of(model, other, number).is_none_or(|pool| pool.kind.new_volume_is_zero())
            }),
        granularity_kib: volume.granularity_kib,
        internal_metadata_kib: layer::drbd::internal_metadata_kib(model, definition, number),
        disk_options: props::volume_disk_options(model, definition, number, replica),
    })
}

fn grows_here(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    node: &NodeName,
) -> bool {
    let resize = model.resize_of(&definition.name, number);
    resize.is_some_and(|resize| match &resize.step {
        resize::Step::Storage => false,
        resize::Step::Drbd { on } => on == node,
    })
}

/// The pool of a replica's volume; none for a diskless one.
fn pool_of<'a>(model: &'a Model, replica: &Resource, number: u32) -> Option<&'a StoragePool> {
    let pool = &replica.volumes.get(&number)?.pool;
    let row = model.pool(&replica.node, pool)?;
    (row.kind != ProviderKind::Diskless).then_some(&**row)
}

fn drbd_spec(
    model: &Model,
    definition: &ResourceDefinition,
    replica: &Resource,
    host: &Node,
) -> Option<DrbdSpec> {
    let (drbd, common) = (replica.drbd.as_ref()?, definition.drbd.as_ref()?);
    let options = props::drbd_options(model, definition, replica);
    // A deactivated replica is still a peer: its bitmap slot has what it misses, and a peer that forgot it would
    // take old data for current when it comes back.
    let peers = model
        .resources_of(&definition.name)
        .filter(|peer| peer.node != replica.node && is_peer(model, peer))
        .filter(|peer| !shared::is_represented(model, peer))
        .filter(|peer| {
            !shared::siblings(model, replica)
                .iter()
                .any(|s| s.node == peer.node)
        })
        .filter_map(|peer| peer_spec(model, definition, replica, peer))
        .collect();
    Some(DrbdSpec {
        secret: common.secret.clone(),
        node_id: drbd.node_id,
        uname: uname(host),
        address: props::address_of(model, replica)?,
        port: *drbd.ports.first()?,
        diskless: drbd.disk.is_diskless(),
        skip_disk: skip_disk::is_set(model, definition, replica),
        peer_slots: drbd.peer_slots,
        al_stripes: common.al_stripes,
        al_stripe_kib: common.al_stripe_kib,
        options: options.options,
        net_options: options.net,
        disk_options: options.disk,
        handlers: options.handlers,
        peers,
        volumes: replica
            .volumes
            .keys()
            .filter_map(|number| {
                let volume = definition.volumes.get(number)?;
                drbd_volume(model, definition, *number, volume, replica)
            })
            .collect(),
    })
}

/// Host name of a node; until its satellite has reported it, the node's name is the best guess.
fn uname(node: &Node) -> String {
    match &node.host {
        Some(host) => host.uname.clone(),
        None => node.name.to_string(),
    }
}

/// Whether peers know a resource. One that is being deleted is a peer until its devices are down and its data is known
/// to be elsewhere: peers that forgot it earlier would leave what was written meanwhile on it alone.
fn is_peer(model: &Model, replica: &Resource) -> bool {
    let forgotten = delete_resource::Step::Destroy {
        data_elsewhere: true,
    };
    model.deletion_of(replica) != Some(&forgotten)
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
        node: host.name.clone(),
        uname: uname(host),
        node_id: drbd.node_id,
        address: props::address_of(model, peer)?,
        port: *drbd.ports.first()?,
        local_address: None,
        paths: connection::paths(model, definition, &local.node, &peer.node),
        // While its node may still refuse to detach the disk, it has one.
        diskless: peer.is_diskless() && model.removed_storage(peer).is_none(),
        tiebreaker: drbd.disk != crate::DiskKind::Client,
        net_options: options.net,
        disk_options: options.disk,
    })
}
