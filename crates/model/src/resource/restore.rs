//! Resources whose data is that of a snapshot.
//!
//! The new backing volumes are made of those of the snapshot, in the same storage: on each node of its own part. DRBD's
//! metadata is new, with a day-0 generation that all of them have, since their content is the same.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_wire::spec::SnapshotSource;

use super::row::VolumeSource;
use super::{DiskKind, DrbdResource, Resource, Seeds, Volume, checks, deactivated};
use super::{shared, volumes};
use crate::draft::Draft;
use crate::layer::luks;
use crate::model::Model;
use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::numbers;
use crate::observed::Observed;
use crate::{
    LuksKey, LuksKeyChange, ResourceDefinition, Snapshot, SnapshotDefinition, StoragePool,
    VolumeDefinition,
};

/// Pools of a snapshot to pools of the new resources.
pub type RenamedPools = BTreeMap<StoragePoolName, StoragePoolName>;

/// Prepares a definition without resources for those that are made of a snapshot on these nodes: it has the snapshot's
/// layers and properties, its volume definitions the sizes and keys.
///
/// # Errors
///
/// When the definition has other layers, volumes that the snapshot does not have, or other sizes; when keys have to be
/// sealed for it and there is no master key.
pub fn prepare_restore(
    draft: &mut Draft,
    seeds: &mut Seeds<'_>,
    name: &ResourceName,
    snapshot: &SnapshotDefinition,
    nodes: &BTreeSet<NodeName>,
) -> Result<(), Vec<Reply>> {
    let definition = checks::definition(draft, name)?;
    let mut prepared = ResourceDefinition::clone(&definition);
    let parts = nodes.iter().filter_map(|node| snapshot.on(node));
    for part in parts {
        let layers = &part.resource.layer_stack;
        if prepared.layer_stack.is_empty() {
            prepared.layer_stack.clone_from(layers);
        }
        if prepared.layer_stack != *layers {
            return Err(vec![other_layers(&prepared, layers)]);
        }
    }
    if let (Some(drbd), Some(log)) = (&mut prepared.drbd, snapshot.activity_log) {
        drbd.al_stripes = log.stripes;
        drbd.al_stripe_kib = log.stripe_kib;
    }
    prepared.props.extend(snapshot.definition_props.clone());
    for (number, volume) in &mut prepared.volumes {
        if !draft.is_deleting_volume(name, *number) {
            prepare_volume(seeds, snapshot, *number, volume, nodes)?;
        }
    }
    draft.put_resource_definition(prepared);
    Ok(())
}

fn other_layers(definition: &ResourceDefinition, layers: &[LayerKind]) -> Reply {
    let shown = |layers: &[LayerKind]| {
        let names: Vec<&str> = layers.iter().map(|layer| layer.as_str()).collect();
        names.join(", ")
    };
    let text = format!(
        "Resource definition '{}' does not have the layers of the snapshot.",
        definition.name
    );
    Reply::new(code::FAIL_INVLD_LAYER_STACK, text)
        .cause(format!(
            "Its layers are {}; the data of the snapshot is that of {}.",
            shown(&definition.layer_stack),
            shown(layers)
        ))
        .correction(
            "Restore it into a resource definition without layers, or with those of the snapshot.",
        )
}

fn prepare_volume(
    seeds: &mut Seeds<'_>,
    snapshot: &SnapshotDefinition,
    number: u32,
    volume: &mut VolumeDefinition,
    nodes: &BTreeSet<NodeName>,
) -> Result<(), Vec<Reply>> {
    let (of, its) = (&snapshot.resource, &snapshot.name);
    let Some(then) = snapshot.volumes.get(&number) else {
        let text = format!("Snapshot '{its}' of resource '{of}' has no volume {number}.");
        return Err(vec![
            Reply::new(code::FAIL_NOT_FOUND_SNAPSHOT_VLM_DFN, text)
                .cause("The resource definition has a volume definition with that number.")
                .correction(
                    "Delete the volume definition, or restore into another resource definition.",
                )
                .about("VlmNr", number.to_string()),
        ]);
    };
    if (then.size_kib, then.gross_size) != (volume.size_kib, volume.gross_size) {
        let text = format!(
            "Volume definition {number} does not have the size of volume {number} in snapshot '{its}' of resource '{of}'."
        );
        let gross = |volume: &VolumeDefinition| if volume.gross_size { " (gross)" } else { "" };
        return Err(vec![
            Reply::new(code::FAIL_INVLD_VLM_SIZE, text)
                .cause(format!(
                    "It has {} KiB{}, that of the snapshot has {} KiB{}.",
                    volume.size_kib,
                    gross(volume),
                    then.size_kib,
                    gross(then)
                ))
                .correction("Restore the volume definitions too, and resize the volume afterwards.")
                .about("VlmNr", number.to_string()),
        ]);
    }
    // New metadata begins with a generation of its own: data that is written from now on is not that of the other resource.
    let is_day0 = |key: &str| key.ends_with(prop::DRBD_CURRENT_GI);
    let props = then.props.iter().filter(|(key, _)| !is_day0(key));
    let props = props.map(|(key, value)| (key.clone(), value.clone()));
    volume.props.extend(props);
    volume.restored = true;
    volume.initialized = false;
    volume.first_copy_on = None;
    volume.encrypted |= then.encrypted;
    volume.granularity_kib = then.granularity_kib;
    // What is on it fills the device that it was on.
    volume.device_kib = then.device_kib;
    volume.pinned = then.pinned;
    volume.luks = restored_key(seeds, volume, then, nodes)?;
    Ok(())
}

/// The key of the LUKS headers that come with the snapshot. Where the volume definition has a key already, the headers get
/// that one.
fn restored_key(
    seeds: &mut Seeds<'_>,
    volume: &VolumeDefinition,
    then: &VolumeDefinition,
    nodes: &BTreeSet<NodeName>,
) -> Result<Option<LuksKey>, Vec<Reply>> {
    let Some(luks) = &then.luks else {
        return Ok(volume.luks.clone());
    };
    let Some(master_key) = seeds.master_key else {
        return Err(vec![luks::locked()]);
    };
    let open = |volume: &VolumeDefinition| {
        let keys = luks::Keys::Master(master_key).of(volume);
        keys.map_err(|_| vec![unreadable_key()])
    };
    let (key, former) = open(then)?;
    // Headers that had another key when the snapshot was taken.
    let change = luks.change.as_ref().map(|change| &change.on & nodes);
    let change = change.filter(|on| !on.is_empty()).map(|on| (former, on));
    let options = luks.format_options.clone();
    let (mut restored, change) = match &volume.luks {
        None => (
            luks::seal(seeds, volume, &key, luks.supplied, options)?,
            change,
        ),
        Some(own) => {
            let own = LuksKey {
                format_options: options,
                ..own.clone()
            };
            match (open(volume)?.0 == key, change) {
                (true, change) => (own, change),
                (false, None) => (own, Some((key, nodes.clone()))),
                (false, Some(_)) => return Err(vec![key_was_changing()]),
            }
        }
    };
    if let Some((former, on)) = change {
        let former = luks::seal(seeds, volume, &former, true, String::new())?.key;
        let id = (seeds.uuid)();
        restored.change = Some(LuksKeyChange { id, former, on });
    }
    Ok(Some(restored))
}

fn key_was_changing() -> Reply {
    let text = "The encrypted volumes of the snapshot cannot get another key.";
    Reply::new(code::FAIL_INVLD_CRYPT_PASSPHRASE, text)
        .cause("Their key was being changed when the snapshot was taken.")
        .correction("Restore it without a new key, and change the key afterwards.")
}

fn unreadable_key() -> Reply {
    Reply::new(
        code::FAIL_NOT_FOUND_CRYPT_KEY,
        "The key of an encrypted volume cannot be opened.",
    )
    .cause("It is not sealed with the master key that was entered.")
    .correction("Restore the database of the controller from a copy that was made before.")
}

/// Makes a resource of the part that its node has of a snapshot. [`prepare_restore`] has prepared its definition.
///
/// Returns the row and replies in addition to that of the creation.
///
/// # Errors
///
/// When the node cannot have the resource, or when a pool is named that is in other storage than the snapshot.
pub fn restore_resource(
    draft: &mut Draft,
    observed: &Observed,
    seeds: &mut Seeds<'_>,
    name: &ResourceName,
    snapshot: &SnapshotDefinition,
    part: &Snapshot,
    renamed: &RenamedPools,
) -> Result<(Resource, Vec<Reply>), Vec<Reply>> {
    let was = &part.resource;
    let definition = checks::definition(draft, name)?;
    let node = checks::node(draft, &was.node)?;
    checks::absent(draft, &definition, &node)?;
    let mut replies = Vec::new();
    let mut row = Resource {
        node: node.name.clone(),
        name: definition.name.clone(),
        uuid: (seeds.uuid)(),
        created_at: seeds.now_ms,
        layer_stack: was.layer_stack.clone(),
        props: was.props.clone(),
        drbd: None,
        volumes: Default::default(),
        inactive: false,
        inactive_since: 0,
    };
    row.props.remove(prop::MIGRATE_FROM);
    for number in definition.volumes.keys() {
        let Some(then) = was.volumes.get(number) else {
            continue;
        };
        if draft.is_deleting_volume(name, *number) {
            continue;
        }
        let mut pool = |pool: &StoragePoolName, suffix| {
            let (pool, warning) = pool_of(draft, &node.name, pool, renamed, suffix)?;
            if let Some(warning) = warning.filter(|warning| !replies.contains(warning)) {
                replies.push(warning);
            }
            Ok::<_, Vec<Reply>>(pool)
        };
        let mut extra_storage = BTreeMap::new();
        for (suffix, then) in &then.extra_storage {
            extra_storage.insert(*suffix, pool(then, *suffix)?);
        }
        let volume = Volume {
            uuid: (seeds.uuid)(),
            pool: pool(&then.pool, StorageSuffix::Data)?,
            extra_storage,
            unit_kib: then.unit_kib,
            props: then.props.clone(),
            source: Some(VolumeSource {
                id: (seeds.uuid)(),
                of: SnapshotSource {
                    resource: snapshot.resource.clone(),
                    resource_uuid: shared::owner(draft, was),
                    snapshot: snapshot.name.clone(),
                    snapshot_uuid: part.uuid,
                },
                equal: !snapshot.may_differ,
            }),
        };
        row.volumes.insert(*number, volume);
    }
    if let Some(pool) = row.volumes.values().next().map(|volume| &volume.pool)
        && row.props.contains_key(prop::STOR_POOL_NAME)
    {
        let key = prop::STOR_POOL_NAME.to_owned();
        row.props.insert(key, pool.to_string());
    }
    let disk = DiskKind::Diskful;
    checks::layers(observed, &node, &row, disk)?;
    checks::drbd(draft, observed, &definition, &node, &row, disk)?;
    checks::pools(draft, observed, &definition, &node, &row)?;
    if let Some(then) = &was.drbd {
        let unusable = observed.unusable_ports(&node.name);
        let port = numbers::allocate_port(draft, &node.name, &definition, &unusable)?;
        let node_id = numbers::check_node_id(draft, name, then.node_id.into());
        row.drbd = Some(DrbdResource {
            node_id: node_id.or_else(|_| numbers::allocate_node_id(draft, name))?,
            ports: vec![port],
            peer_slots: then.peer_slots,
            disk,
            never_votes: false,
        });
        checks::peer_slots(draft, &definition, &row)?;
    }
    if shared::check_activation(draft, observed, &row).is_err() {
        row.inactive = true;
        replies.push(deactivated(&row));
    }
    draft.put_resource(row.clone());
    volumes::note_replica(draft, observed, &row);
    Ok((row, replies))
}

/// The pool of a new volume: that of the snapshot's, or the one that the request names in its place. The warning if there
/// is no such pool on the node.
fn pool_of(
    model: &Model,
    node: &NodeName,
    of: &StoragePoolName,
    renamed: &RenamedPools,
    suffix: StorageSuffix,
) -> Result<(StoragePoolName, Option<Reply>), Vec<Reply>> {
    let Some(wanted) = renamed.get(of).filter(|wanted| *wanted != of) else {
        return Ok((of.clone(), None));
    };
    let Some(to) = model.pool(node, wanted) else {
        let text = format!("Storage pool '{wanted}' does not exist on node '{node}'.");
        let reply = Reply::new(code::WARN_NOT_FOUND, text)
            .cause(format!(
                "The request names it in the place of storage pool '{of}', which is used."
            ))
            .about("Node", node.as_str());
        return Ok((of.clone(), Some(reply)));
    };
    let from = model.pool(node, of);
    // Metadata is not that of the snapshot.
    if suffix != StorageSuffix::Data || from.is_some_and(|from| is_same_storage(from, to)) {
        return Ok((to.name.clone(), None));
    }
    let text = format!(
        "A snapshot in storage pool '{of}' on node '{node}' cannot be restored in storage pool '{wanted}'."
    );
    Err(vec![
        Reply::new(code::FAIL_INVLD_STOR_DRIVER, text)
            .cause("Volumes are made of a snapshot in the storage that it is in: the same thin pool, dataset or directory.")
            .correction(format!(
                "Name a storage pool with the same value of {}, or none.",
                prop::STOR_DRIVER_STOR_POOL_NAME
            ))
            .about("Node", node.as_str()),
    ])
}

/// Whether volumes of two pools of a node are in the same storage.
fn is_same_storage(one: &StoragePool, other: &StoragePool) -> bool {
    let tool = |pool: &StoragePool| match pool.kind {
        ProviderKind::ZfsThin => ProviderKind::Zfs,
        ProviderKind::FileThin => ProviderKind::File,
        kind => kind,
    };
    let place = |pool: &StoragePool| {
        let place = pool.props.get(prop::STOR_DRIVER_STOR_POOL_NAME);
        place.map(|place| place.trim_end_matches('/').to_owned())
    };
    tool(one) == tool(other) && place(one).is_some() && place(one) == place(other)
}
