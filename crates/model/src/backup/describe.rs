//! The description of a backup that this cluster has made.

use std::collections::BTreeMap;

use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_api::{flag, prop};
use linstor_wire::spec::Withheld;

use super::meta::{
    Definition, DrbdDefinition, DrbdLayer, DrbdVolumeDefinition, Encrypted, Layer, LayerVolume,
    Meta, Object, Objects, Pool, Props, Resource, Volume, VolumeDefinition,
};
use crate::layer::luks::{self, Keys};
use crate::master_key::linstor::{Exported, MasterKey, Random};
use crate::model::Model;
use crate::name::ResourceName;
use crate::observed::Observed;
use crate::process::ship_backup::ShipBackup;
use crate::{Snapshot, SnapshotDefinition};

/// Block size of a zvol by default, in KiB.
const ZVOL_BLOCK_KIB: u64 = 16;
/// LINSTOR names DRBD's transport by the protocol below.
const TRANSPORT: &str = "IP";

/// The keys of encrypted volumes, as a description has them.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeKeys {
    master_key: MasterKey,
    volumes: BTreeMap<u32, Encrypted>,
}

/// Seals the keys of a backup's volumes for its description; none if they are not encrypted.
///
/// # Errors
///
/// When a key is not known: its volume could not be restored.
pub fn volume_keys(
    model: &Model,
    backup: &ShipBackup,
    keys: Keys<'_>,
    exported: &Exported,
    fill: &mut dyn FnMut(&mut [u8]),
) -> Result<Option<VolumeKeys>, Withheld> {
    let row = model.snapshot(&backup.resource, &backup.snapshot);
    let part = row.and_then(|row| Some((row, row.on(&backup.node)?)));
    let Some((row, part)) = part.filter(|(_, part)| luks::has_headers(&part.resource)) else {
        return Ok(None);
    };
    let mut volumes = BTreeMap::new();
    for number in part.volumes.keys() {
        let volume = row.volumes.get(number).ok_or(Withheld::Corrupt)?;
        let key = keys.on(&backup.node, volume)?;
        let sealed = exported.key.encrypt(&Random::of(fill), &key);
        volumes.insert(*number, Encrypted(sealed.ok_or(Withheld::Corrupt)?));
    }
    Ok(Some(VolumeKeys {
        master_key: exported.sealed.clone(),
        volumes,
    }))
}

/// Describes a backup whose volumes were all sent, with the keys of those that are encrypted. None when its snapshot is not
/// there any more.
pub fn describe(
    model: &Model,
    observed: &Observed,
    backup: &ShipBackup,
    keys: Option<&VolumeKeys>,
    finished_ms: u64,
) -> Option<Meta> {
    let row = model.snapshot(&backup.resource, &backup.snapshot)?;
    let part = row.on(&backup.node)?;
    let finished = i64::try_from(finished_ms).unwrap_or(i64::MAX);
    let objects = backup.objects(row).into_iter().map(|(number, key)| {
        let object = Object {
            name: key,
            finished_timestamp: finished,
            node: Some(backup.node.to_string()),
        };
        (number, Objects(vec![object]))
    });
    let described = snapshot(model, observed, row, part, keys);
    Some(Meta {
        rsc_name: backup.key()?.resource,
        start_timestamp: i64::try_from(backup.started_at).unwrap_or(i64::MAX),
        finish_timestamp: finished,
        based_on: backup.base.as_ref().map(|base| base.meta.clone()),
        backups: objects.collect(),
        ..described
    })
}

/// Describes the part of a snapshot on a node, without objects and times.
pub fn snapshot(
    model: &Model,
    observed: &Observed,
    row: &SnapshotDefinition,
    part: &Snapshot,
    keys: Option<&VolumeKeys>,
) -> Meta {
    let volumes = row.volumes.iter().map(|(number, volume)| {
        let described = VolumeDefinition {
            vlm_dfn_props: of(&volume.props),
            flags: flags(volume),
            size: volume.size_kib,
            ..VolumeDefinition::default()
        };
        (*number, described)
    });
    let own_volumes = part.resource.volumes.iter().map(|(number, volume)| {
        let described = Volume {
            vlm_props: of(&volume.props),
            ..Volume::default()
        };
        (*number, described)
    });
    Meta {
        rsc_name: row.resource.to_string(),
        node_name: part.resource.node.to_string(),
        start_timestamp: 0,
        finish_timestamp: 0,
        based_on: None,
        layer_data: layers(model, observed, row, part, keys),
        rsc_dfn: Definition {
            snap_dfn_props: snapshot_props(row),
            rsc_dfn_props: definition_props(model, row),
            flags: 0,
            vlm_dfns: volumes.collect(),
        },
        rsc: Resource {
            rsc_props: of(&part.resource.props),
            vlms: own_volumes.collect(),
            ..Resource::default()
        },
        luks_info: keys.map(|keys| keys.master_key.clone()),
        backups: BTreeMap::new(),
        cluster_id: Some(model.controller.cluster_id.to_string()),
        snap_dfn_uuid: Some(row.uuid.to_string()),
    }
}

fn of(props: &crate::Props) -> Props {
    let pairs = props.iter();
    pairs
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// LINSTOR writes them while the description is on its way, and shows that.
fn snapshot_props(row: &SnapshotDefinition) -> Props {
    let mut props = of(&row.props);
    for (key, value) in &mut props {
        if key.starts_with(prop::BACKUP_SOURCE_NAMESPACE)
            && key.ends_with(prop::BACKUP_SHIPPING_STATUS)
        {
            *value = "Uploading Metadata".to_owned();
        }
    }
    props.insert(
        prop::SEQUENCE_NUMBER.to_owned(),
        row.sequence_number.to_string(),
    );
    props
}

/// What was in force for the resource definition by itself and by its group: another cluster has not that group.
fn definition_props(model: &Model, row: &SnapshotDefinition) -> Props {
    let definition = model.definitions.get(&row.resource);
    let group = definition.and_then(|definition| model.groups.get(&definition.group));
    let mut props = group.map(|group| of(&group.props)).unwrap_or_default();
    props.extend(of(&row.definition_props));
    // What is restored is not what its generation identifiers say.
    let key = prop::DRBD_FORCE_INITIAL_SYNC_PERMANENT;
    props.insert(key.to_owned(), "True".to_owned());
    // The size of the headers depends on them, wherever they were set.
    let mut volumes = row.volumes.values();
    let options = volumes.find_map(|volume| volume.luks.as_ref());
    if let Some(luks) = options.filter(|luks| !luks.format_options.is_empty()) {
        let key = prop::LUKS_FORMAT_OPTIONS.to_owned();
        props.insert(key, luks.format_options.clone());
    }
    props
}

fn flags(volume: &crate::VolumeDefinition) -> u64 {
    let flags = [
        (volume.gross_size, flag::volume_definition::GROSS_SIZE),
        (volume.encrypted, flag::volume_definition::ENCRYPTED),
    ];
    let set = flags.into_iter().filter(|(is_set, _)| *is_set);
    set.fold(0, |flags, (_, flag)| flags | flag)
}

/// The layers, the top one first, each with the one below it.
fn layers(
    model: &Model,
    observed: &Observed,
    row: &SnapshotDefinition,
    part: &Snapshot,
    keys: Option<&VolumeKeys>,
) -> Layer {
    let storage = Layer {
        kind: "storage".to_owned(),
        volume_list: storage(model, observed, &row.resource, part),
        ..Layer::default()
    };
    let storage = match keys {
        None => storage,
        Some(keys) => {
            let volumes = keys.volumes.iter().map(|(number, key)| LayerVolume {
                kind: "luks".to_owned(),
                vlm_nr: *number,
                encrypted_password: Some(key.clone()),
                ..LayerVolume::default()
            });
            Layer {
                kind: "luks".to_owned(),
                volume_list: volumes.collect(),
                children: vec![storage],
                ..Layer::default()
            }
        }
    };
    let has_drbd = part.resource.layer_stack.contains(&LayerKind::Drbd);
    let drbd = part.resource.drbd.as_ref().filter(|_| has_drbd);
    let Some(drbd) = drbd else {
        return storage;
    };
    let log = row.activity_log.as_ref();
    let (stripes, stripe_kib) = log.map_or((1, 32), |log| (log.stripes, log.stripe_kib));
    let volumes = part.volumes.keys().map(|number| LayerVolume {
        kind: "drbd".to_owned(),
        vlm_nr: *number,
        drbd_vlm_dfn: Some(DrbdVolumeDefinition {
            vlm_nr: *number,
            ..DrbdVolumeDefinition::default()
        }),
        ..LayerVolume::default()
    });
    let ports = u32::try_from(drbd.ports.len()).unwrap_or(u32::MAX);
    Layer {
        kind: "drbd".to_owned(),
        drbd: Some(DrbdLayer {
            drbd_rsc_dfn: DrbdDefinition {
                rsc_name_suffix: String::new(),
                peer_slots: drbd.peer_slots,
                al_stripes: stripes,
                al_stripe_size: u64::from(stripe_kib),
                port: None,
                transport_type: TRANSPORT.to_owned(),
            },
            node_id: drbd.node_id,
            port_count: Some(ports.max(1)),
            peer_slots: drbd.peer_slots,
            al_stripes: stripes,
            al_stripe_size: u64::from(stripe_kib),
            flags: 0,
        }),
        volume_list: volumes.collect(),
        children: vec![storage],
        ..Layer::default()
    }
}

/// The backing volumes with data. What they occupy is what their node reports of the volumes that the snapshot is of.
fn storage(
    model: &Model,
    observed: &Observed,
    name: &ResourceName,
    part: &Snapshot,
) -> Vec<LayerVolume> {
    let node = &part.resource.node;
    let live = observed.live(name, node);
    let volumes = live.iter().flat_map(|live| &live.volumes);
    let allocated: BTreeMap<u32, u64> = volumes
        .filter_map(|volume| Some((volume.number, volume.allocated_kib?)))
        .collect();
    let kib = |kib: u64| Some(i64::try_from(kib).unwrap_or(i64::MAX));
    let volumes = part.volumes.iter().filter_map(|(number, volume)| {
        let data = volume
            .storage
            .get(&linstor_api::kind::StorageSuffix::Data)?;
        let pool = model.pool(node, &data.pool)?;
        let kind = pool.kind;
        let used = allocated.get(number).copied().unwrap_or(data.size_kib);
        Some(LayerVolume {
            kind: volume_kind(kind).to_owned(),
            vlm_nr: *number,
            stor_pool_api: Some(Pool::new(data.pool.to_string(), kind)),
            usable_size: kib(data.size_kib),
            allocated_size: kib(used),
            snapshot_usable_size: kib(data.size_kib),
            snapshot_allocated_size: kib(used),
            extent_size: match kind {
                ProviderKind::Zfs | ProviderKind::ZfsThin => {
                    let of = part.resource.volumes.get(number);
                    let unit = of.map(|volume| volume.unit_kib).filter(|unit| *unit > 0);
                    kib(unit.or(pool.granularity_kib).unwrap_or(ZVOL_BLOCK_KIB))
                }
                _ => None,
            },
            ..LayerVolume::default()
        })
    });
    volumes.collect()
}

/// What LINSTOR calls a volume in a pool of this kind.
fn volume_kind(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Lvm => "lvm",
        ProviderKind::LvmThin => "lvmThin",
        ProviderKind::Zfs => "zfs",
        ProviderKind::ZfsThin => "zfsThin",
        ProviderKind::File => "file",
        ProviderKind::FileThin => "fileThin",
        _ => "diskless",
    }
}
