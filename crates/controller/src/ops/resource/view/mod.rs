//! Resources as answers show them. Borrowed from a snapshot and written straight into the answer, because a cluster has
//! tens of thousands of them and clients ask for all; [`linstor_api::resource::Resource`] reads what is written here.

use linstor_api::drbd_state::{ConnectionState, DiskState, ReplicationState, Suspension};
use linstor_api::flag::{drbd_resource, resource as flag, volume as volume_flag};
use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::properties::EffectiveProperty;
use linstor_api::sorted_map::SortedMap;
use linstor_model::process::migrate::{Migrate, Step::AddDisk};
use linstor_model::process::{Kind, delete_resource, resize};
use linstor_model::{
    DiskKind, DrbdDefinition, DrbdResource, Node, Process, Props, Resource, ResourceDefinition,
    StoragePool, Volume, VolumeDefinition,
};
use linstor_model::{Model, Observed};
use linstor_wire::status::{DrbdStatus, Outcome, ReplicationStatus, ResourceStatus, VolumeStatus};
use serde::Serialize as Derive;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::collections::BTreeMap;

use super::effective;
use crate::ops::filter::Names;

mod luks;

use luks::{LuksJson, LuksVolumes};

/// What rows are shown from.
pub(super) struct Sources<'a> {
    model: &'a Model,
    observed: &'a Observed,
    /// Of the last row: resources of one definition follow each other.
    definition: Option<&'a ResourceDefinition>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(model: &'a Model, observed: &'a Observed) -> Self {
        Sources {
            model,
            observed,
            definition: None,
        }
    }

    /// A resource with its volumes in these pools, or without volumes.
    pub(super) fn row(&mut self, row: &'a Resource, pools: Option<&'a Names>) -> Option<Row<'a>> {
        if self.definition.is_none_or(|last| last.name != row.name) {
            self.definition = self.model.definitions.get(&row.name).map(|found| &**found);
        }
        let key = (row.name.clone(), row.node.clone());
        let status = self.observed.resources.get(&key).map(|status| &**status);
        let mut volumes = row.volumes.values();
        let first_pool = volumes
            .next()
            .and_then(|volume| self.model.pool(&row.node, &volume.pool));
        Some(Row {
            model: self.model,
            observed: self.observed,
            row,
            first_pool: first_pool.map(|pool| &**pool),
            definition: self.definition?,
            node: self.model.nodes.get(&row.node)?,
            status: status.filter(|status| status.uuid == row.uuid),
            live: self.observed.is_online(&row.node),
            process: self.model.process_of(row).map(|process| &**process),
            pools,
        })
    }
}

/// A resource with all that its answer is made of.
pub(super) struct Row<'a> {
    model: &'a Model,
    observed: &'a Observed,
    row: &'a Resource,
    definition: &'a ResourceDefinition,
    node: &'a Node,
    /// The node's last report, of whatever age: device paths and sizes do not change while the node is away.
    status: Option<&'a ResourceStatus>,
    /// Whether the node is online, so that its report is current.
    live: bool,
    /// What is being done with it.
    process: Option<&'a Process>,
    /// The pool of the first volume, which is that of most others.
    first_pool: Option<&'a StoragePool>,
    /// Which volumes to show; none when volumes are not shown at all.
    pools: Option<&'a Names>,
}

impl<'a> Row<'a> {
    /// Reads a byte of each part of these rows, one step of pointers after the other, so that they are in the cache when
    /// the rows are written.
    ///
    /// A row's parts lie far apart, and there are more rows than any cache holds. Without work in between the processor
    /// waits for parts of many rows at once (figures: docs/decisions/long-lists.md).
    pub(super) fn fetch(rows: &[Self]) {
        let mut sum = 0_u8;
        for Row {
            row, definition, ..
        } in rows
        {
            sum ^= row
                .volumes
                .first_key_value()
                .map_or(0, |(_, v)| v.uuid.as_bytes()[0]);
            sum ^= row
                .props
                .first_key_value()
                .map_or(0, |(key, value)| first(key) ^ first(value));
            sum ^= row.layer_stack.first().map_or(0, |kind| *kind as u8);
            sum ^= row.drbd.as_ref().map_or(0, |drbd| drbd.ports.len() as u8);
            sum ^= definition
                .volumes
                .first_key_value()
                .map_or(0, |(_, v)| v.minor.is_some().into());
            sum ^= first(definition.name.as_str());
        }
        for Row {
            row, definition, ..
        } in rows
        {
            let drbd = row.drbd.as_ref();
            sum ^= drbd
                .and_then(|drbd| drbd.ports.first())
                .map_or(0, |port| *port as u8);
            let drbd = definition.drbd.as_ref();
            sum ^= drbd.map_or(0, |drbd| {
                first(drbd.secret.reveal()) ^ first(&drbd.transport)
            });
        }
        let statuses = || rows.iter().filter_map(|row| row.status);
        for status in statuses() {
            sum ^= status
                .volumes
                .first()
                .map_or(0, |volume| volume.number as u8);
            let drbd = status.drbd.as_ref();
            let connection = drbd.and_then(|drbd| drbd.connections.first_key_value());
            sum ^= connection.map_or(0, |(peer, _)| peer.len() as u8);
        }
        for status in statuses() {
            let drbd = status.drbd.as_ref();
            let connection = drbd.and_then(|drbd| drbd.connections.first_key_value());
            sum ^= connection.map_or(0, |(peer, state)| first(peer) ^ first(state.as_str()));
            for volume in &status.volumes {
                let device = volume.device_path.as_deref();
                let backing = volume.backing_device.as_deref();
                let disk = volume.disk_state.as_ref().map(DiskState::as_str);
                let texts = [device, backing, disk].into_iter().flatten();
                sum ^= texts.map(first).fold(0, |a, b| a ^ b);
                let peer = volume.replication.first_key_value();
                sum ^= peer.map_or(0, |(peer, _)| peer.len() as u8);
            }
        }
        for volume in statuses().flat_map(|status| &status.volumes) {
            let peer = volume.replication.first_key_value();
            sum ^= peer.map_or(0, |(peer, status)| {
                first(peer) ^ first(status.state.as_str())
            });
        }
        std::hint::black_box(sum);
    }

    /// Whether the node has applied what its process asks for.
    fn has_reached(&self) -> bool {
        let since = self.process.map_or(0, |process| process.since.generation);
        let (name, node) = (&self.row.name, &self.row.node);
        let applied = self
            .observed
            .applied_since(name, node, self.row.uuid, since);
        applied.is_some_and(|applied| applied.outcome == Outcome::Done)
    }

    fn drbd_status(&self) -> Option<&'a DrbdStatus> {
        self.status.filter(|_| self.live)?.drbd.as_ref()
    }

    fn flags(&self) -> u64 {
        let set = |condition: bool, bits: u64| if condition { bits } else { 0 };
        let drbd = self.row.drbd.as_ref();
        let disk = match drbd.map_or(DiskKind::Diskful, |drbd| drbd.disk) {
            DiskKind::Diskful => 0,
            DiskKind::Diskless | DiskKind::Client => flag::DRBD_DISKLESS,
            DiskKind::TieBreaker => flag::TIE_BREAKER,
        };
        let changing = match self.process.map(|process| &process.kind) {
            Some(Kind::DeleteResource(delete)) => match delete.step {
                delete_resource::Step::TakeDown => flag::DELETE | flag::DRBD_DELETE,
                delete_resource::Step::Destroy { .. } => flag::DELETE,
            },
            Some(Kind::AddDisk(_) | Kind::Migrate(Migrate { step: AddDisk, .. }))
                if !self.has_reached() =>
            {
                flag::DRBD_DISKLESS | flag::DISK_ADD_REQUESTED | flag::DISK_ADDING
            }
            Some(Kind::RemoveDisk(_)) => {
                flag::DRBD_DISKLESS | flag::DISK_REMOVE_REQUESTED | flag::DISK_REMOVING
            }
            Some(_) | None => 0,
        };
        let inactive = set(self.row.inactive, flag::INACTIVE);
        let restored = set(self.row.is_being_restored(), flag::RESTORE_FROM_SNAPSHOT);
        disk | changing | inactive | restored | set(self.node.evacuate, flag::EVACUATE)
    }

    /// Whether the resource has a layer of its stack: nothing of a diskless one is encrypted.
    fn has_layer(&self, kind: Option<&LayerKind>) -> bool {
        kind != Some(&LayerKind::Luks) || !self.row.is_diskless()
    }

    fn has_external_metadata(&self) -> bool {
        let mut volumes = self.row.volumes.values();
        volumes.any(|volume| volume.extra_storage.contains_key(&StorageSuffix::DrbdMeta))
    }

    fn pool(&self, volume: &Volume) -> Option<&'a StoragePool> {
        let same = |pool: &&StoragePool| pool.name == volume.pool;
        let other = || self.model.pool(&self.row.node, &volume.pool);
        self.first_pool
            .filter(same)
            .or_else(|| other().map(|pool| &**pool))
    }

    pub(super) fn volumes(&self) -> impl Iterator<Item = VolumeRow<'a, '_>> {
        self.row.volumes.iter().filter_map(|(number, row)| {
            let wanted = self
                .pools
                .is_none_or(|pools| pools.wants(row.pool.as_str()));
            let definition = self.definition.volumes.get(number).filter(|_| wanted)?;
            let seen = self.status.map_or(&[][..], |status| &status.volumes);
            Some(VolumeRow {
                resource: self,
                number: *number,
                row,
                definition,
                status: seen.iter().find(|volume| volume.number == *number),
            })
        })
    }
}

/// A text's first byte.
fn first(text: &str) -> u8 {
    text.as_bytes().first().copied().unwrap_or_default()
}

/// Flags by their names.
struct Flags(&'static [(&'static str, u64)], u64);

impl Flags {
    fn is_empty(&self) -> bool {
        self.1 == 0
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let set = self.0.iter().filter(|(_, bits)| self.1 & bits == *bits);
        serializer.collect_seq(set.map(|(name, _)| *name))
    }
}

fn is_empty(props: &&Props) -> bool {
    props.is_empty()
}

#[derive(Derive)]
struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    in_use: Option<bool>,
}

#[derive(Derive)]
struct ResourceJson<'a, 'r> {
    name: &'a str,
    node_name: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    props: &'a Props,
    #[serde(skip_serializing_if = "Flags::is_empty")]
    flags: Flags,
    layer_object: Layer<'a, 'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    uuid: uuid::Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_props: Option<BTreeMap<&'static str, EffectiveProperty>>,
    create_timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Volumes<'a, 'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_name: Option<&'a str>,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reported = self.status.filter(|_| self.live);
        ResourceJson {
            name: self.definition.name.as_str(),
            node_name: self.node.name.as_str(),
            props: &self.row.props,
            flags: Flags(flag::ALL.flags, self.flags()),
            layer_object: Layer {
                resource: self,
                level: 0,
                suffix: StorageSuffix::Data,
            },
            state: reported.map(|status| State {
                in_use: status.drbd.as_ref().map(|drbd| drbd.in_use),
            }),
            uuid: self.row.uuid,
            effective_props: effective::properties(
                self.model,
                self.definition,
                self.row,
                self.node,
                self.first_pool,
            ),
            create_timestamp: self.row.created_at,
            volumes: self.pools.map(|_| Volumes(self)),
            shared_name: self.first_pool.and_then(|pool| pool.shared_name.as_deref()),
        }
        .serialize(serializer)
    }
}

pub(super) struct Volumes<'a, 'r>(pub(super) &'r Row<'a>);

impl Serialize for Volumes<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.volumes())
    }
}

/// A level of the layer tree with all below it, of the backing volumes that hold the same.
struct Layer<'a, 'r> {
    resource: &'r Row<'a>,
    level: usize,
    suffix: StorageSuffix,
}

impl Serialize for Layer<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stack = &self.resource.row.layer_stack;
        let kind = stack.get(self.level).copied().unwrap_or(LayerKind::Storage);
        let mut map = serializer.serialize_map(None)?;
        let mut next = self.level + 1;
        if !self.resource.has_layer(stack.get(next)) {
            next += 1;
        }
        if next < stack.len() {
            let below = |suffix| Layer {
                resource: self.resource,
                level: next,
                suffix,
            };
            let children: &[Layer<'_, '_>] = match kind {
                LayerKind::Drbd if self.resource.has_external_metadata() => {
                    &[below(StorageSuffix::Data), below(StorageSuffix::DrbdMeta)]
                }
                _ => &[below(self.suffix)],
            };
            map.serialize_entry("children", children)?;
        }
        if self.suffix != StorageSuffix::Data {
            map.serialize_entry("resource_name_suffix", &self.suffix)?;
        }
        map.serialize_entry("type", &kind)?;
        match (kind, &self.resource.row.drbd) {
            (LayerKind::Drbd, Some(drbd)) => {
                map.serialize_entry("drbd", &drbd_json(self.resource, drbd))?;
            }
            (LayerKind::Storage, _) => {
                map.serialize_entry(
                    "storage",
                    &StorageJson {
                        storage_volumes: StorageVolumes(self.resource, self.suffix),
                    },
                )?;
            }
            (LayerKind::Luks, _) => {
                let luks = LuksJson {
                    luks_volumes: LuksVolumes(self.resource, self.suffix),
                };
                map.serialize_entry("luks", &luks)?;
            }
            // What other layers have is for those who bring them.
            (_, _) => {}
        }
        map.end()
    }
}

#[derive(Derive)]
struct StorageJson<'a, 'r> {
    storage_volumes: StorageVolumes<'a, 'r>,
}

struct StorageVolumes<'a, 'r>(&'r Row<'a>, StorageSuffix);

impl Serialize for StorageVolumes<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let volumes = self.0.volumes();
        let volumes = volumes.filter(|volume| volume.row.pool_of(self.1).is_some());
        serializer.collect_seq(volumes.map(|volume| volume.storage(self.1)))
    }
}

#[derive(Derive)]
struct DrbdDefinitionJson<'a> {
    peer_slots: u32,
    al_stripes: u32,
    al_stripe_size_kib: u32,
    port: i32,
    transport_type: &'a str,
    secret: &'a str,
    down: bool,
}

fn drbd_definition(drbd: &DrbdDefinition) -> DrbdDefinitionJson<'_> {
    DrbdDefinitionJson {
        peer_slots: drbd.peer_slots,
        al_stripes: drbd.al_stripes,
        al_stripe_size_kib: drbd.al_stripe_kib,
        port: drbd.wished_port.map_or(-1, i32::from),
        transport_type: &drbd.transport,
        secret: drbd.secret.reveal(),
        down: false,
    }
}

#[derive(Derive)]
struct DrbdJson<'a, 'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    drbd_resource_definition: Option<DrbdDefinitionJson<'a>>,
    node_id: u32,
    tcp_ports: &'a [u16],
    peer_slots: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    al_stripes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    al_size: Option<u32>,
    #[serde(skip_serializing_if = "Flags::is_empty")]
    flags: Flags,
    drbd_volumes: DrbdVolumes<'a, 'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<Connections<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion_score: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    may_promote: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended: Option<&'a Suspension>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum_lost: Option<bool>,
}

fn drbd_json<'a, 'r>(resource: &'r Row<'a>, drbd: &'a DrbdResource) -> DrbdJson<'a, 'r> {
    let common = resource.definition.drbd.as_ref();
    let status = resource.drbd_status();
    let mut flags = match drbd.disk {
        DiskKind::Diskful => 0,
        DiskKind::Diskless | DiskKind::TieBreaker => drbd_resource::DISKLESS,
        DiskKind::Client => drbd_resource::DISKLESS | drbd_resource::CLIENT,
    };
    if resource
        .definition
        .volumes
        .values()
        .any(|volume| volume.initialized)
    {
        flags |= drbd_resource::INITIALIZED;
    }
    DrbdJson {
        drbd_resource_definition: common.map(drbd_definition),
        node_id: drbd.node_id,
        tcp_ports: &drbd.ports,
        peer_slots: drbd.peer_slots,
        al_stripes: common.map(|common| common.al_stripes),
        al_size: common.map(|common| common.al_stripe_kib),
        flags: Flags(drbd_resource::ALL.flags, flags),
        drbd_volumes: DrbdVolumes(resource),
        connections: status.map(Connections),
        promotion_score: status.and_then(|status| status.promotion_score),
        may_promote: status.and_then(|status| status.may_promote),
        suspended: status.and_then(|status| status.suspended.as_ref()),
        quorum_lost: status.map(|status| status.quorum_lost).filter(|lost| *lost),
    }
}

struct Connections<'a>(&'a DrbdStatus);

impl Serialize for Connections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Derive)]
        struct Connection<'a> {
            connected: bool,
            message: &'a ConnectionState,
        }
        let connections = self.0.connections.iter();
        serializer.collect_map(connections.map(|(peer, state)| {
            let connected = *state == ConnectionState::Connected;
            (
                peer,
                Connection {
                    connected,
                    message: state,
                },
            )
        }))
    }
}

struct DrbdVolumes<'a, 'r>(&'r Row<'a>);

impl Serialize for DrbdVolumes<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.volumes().map(|volume| volume.drbd()))
    }
}

/// A volume with all that its answer is made of.
pub(super) struct VolumeRow<'a, 'r> {
    resource: &'r Row<'a>,
    pub(super) number: u32,
    row: &'a Volume,
    definition: &'a VolumeDefinition,
    status: Option<&'a VolumeStatus>,
}

#[derive(Derive)]
struct VolumeJson<'a, 'r> {
    volume_number: u32,
    storage_pool_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_kind: Option<ProviderKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_size_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable_size_kib: Option<u64>,
    #[serde(skip_serializing_if = "is_empty")]
    props: &'a Props,
    #[serde(skip_serializing_if = "Flags::is_empty")]
    flags: Flags,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<VolumeStateJson<'a>>,
    layer_data_list: VolumeLayers<'a, 'r>,
    uuid: uuid::Uuid,
}

#[derive(Derive)]
struct VolumeStateJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_state: Option<DiskStateJson<'a>>,
    #[serde(skip_serializing_if = "Replications::is_empty")]
    replication_states: Replications<'a>,
}

/// DRBD's word for a disk, and how far it is while it is being synchronised.
struct DiskStateJson<'a> {
    state: &'a DiskState,
    syncing: Option<f64>,
}

impl Serialize for DiskStateJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.syncing {
            Some(percent) => serializer.collect_str(&format_args!("SyncTarget({percent:.2}%)")),
            None => self.state.serialize(serializer),
        }
    }
}

struct Replications<'a>(&'a SortedMap<String, ReplicationStatus>);

impl Replications<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Replications<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Derive)]
        struct Replication<'a> {
            replication_state: &'a ReplicationState,
            #[serde(skip_serializing_if = "Option::is_none")]
            done_percentage: Option<f64>,
        }
        serializer.collect_map(self.0.iter().map(|(peer, status)| {
            let replication = Replication {
                replication_state: &status.state,
                done_percentage: status.done_percent,
            };
            (peer, replication)
        }))
    }
}

#[derive(Derive)]
struct DrbdVolumeJson<'a> {
    drbd_volume_definition: DrbdVolumeDefinitionJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_size_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable_size_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext_meta_stor_pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_state: Option<&'a DiskState>,
}

#[derive(Derive)]
struct DrbdVolumeDefinitionJson {
    volume_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    minor_number: Option<u32>,
}

#[derive(Derive)]
struct StorageVolumeJson<'a> {
    volume_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_size_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable_size_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_state: Option<&'static str>,
}

/// LINSTOR shows the list of the states of a storage volume, which is empty while there is nothing to say about it.
const NO_STORAGE_STATES: &str = "[]";

impl<'a> VolumeRow<'a, '_> {
    fn flags(&self) -> u64 {
        let Row { model, row, .. } = self.resource;
        let of_volume = model.process_of_volume(&row.name, self.number);
        let processes = self
            .resource
            .process
            .into_iter()
            .chain(of_volume.map(|row| &**row));
        let flags = processes.map(|process| match &process.kind {
            Kind::DeleteResource(_) | Kind::DeleteVolumeDefinition(_) => volume_flag::DELETE,
            Kind::Resize(resize) => match &resize.step {
                resize::Step::Storage => volume_flag::RESIZE,
                resize::Step::Drbd { on } if *on == row.node => {
                    volume_flag::RESIZE | volume_flag::DRBD_RESIZE
                }
                resize::Step::Drbd { .. } => 0,
            },
            _ => 0,
        });
        flags.fold(0, |all, flags| all | flags)
    }

    fn state(&self) -> Option<VolumeStateJson<'a>> {
        let status = self.status.filter(|_| self.resource.live)?;
        let syncing = status.replication.values().find_map(|replication| {
            (replication.state == ReplicationState::SyncTarget)
                .then_some(replication.done_percent)?
        });
        Some(VolumeStateJson {
            disk_state: status
                .disk_state
                .as_ref()
                .map(|state| DiskStateJson { state, syncing }),
            replication_states: Replications(&status.replication),
        })
    }

    fn drbd(&self) -> DrbdVolumeJson<'a> {
        let status = self.status;
        let luks = status.and_then(|status| status.luks.as_ref());
        DrbdVolumeJson {
            drbd_volume_definition: DrbdVolumeDefinitionJson {
                volume_number: self.number,
                minor_number: self.definition.minor,
            },
            device_path: status.and_then(|status| status.device_path.as_deref()),
            backing_device: match luks {
                Some(luks) => Some(luks.device.as_str()),
                None => status.and_then(|status| status.backing_device.as_deref()),
            },
            allocated_size_kib: match luks {
                Some(luks) => Some(luks.size_kib),
                None => status.and_then(|status| status.backing_kib),
            },
            usable_size_kib: status.and_then(|status| status.usable_kib),
            ext_meta_stor_pool: self
                .row
                .extra_storage
                .get(&StorageSuffix::DrbdMeta)
                .map(|pool| pool.as_str()),
            disk_state: status
                .filter(|_| self.resource.live)
                .and_then(|status| status.disk_state.as_ref()),
        }
    }

    fn storage(&self, suffix: StorageSuffix) -> StorageVolumeJson<'a> {
        let status = self.status;
        if suffix != StorageSuffix::Data {
            let status = status.and_then(|status| status.extra_storage.get(&suffix));
            return StorageVolumeJson {
                volume_number: self.number,
                device_path: status.and_then(|status| status.device.as_deref()),
                allocated_size_kib: status.and_then(|status| status.allocated_kib),
                usable_size_kib: status.and_then(|status| status.size_kib),
                disk_state: status.map(|_| NO_STORAGE_STATES),
            };
        }
        StorageVolumeJson {
            volume_number: self.number,
            device_path: status.and_then(|status| status.backing_device.as_deref()),
            allocated_size_kib: status.and_then(|status| status.allocated_kib),
            usable_size_kib: status.and_then(|status| status.backing_kib),
            disk_state: status.map(|_| NO_STORAGE_STATES),
        }
    }
}

impl Serialize for VolumeRow<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.status;
        VolumeJson {
            volume_number: self.number,
            storage_pool_name: self.row.pool.as_str(),
            provider_kind: self.resource.pool(self.row).map(|pool| pool.kind),
            device_path: status.and_then(|status| status.device_path.as_deref()),
            allocated_size_kib: status.and_then(|status| status.allocated_kib),
            usable_size_kib: status.and_then(|status| status.usable_kib),
            props: &self.row.props,
            flags: Flags(volume_flag::ALL.flags, self.flags()),
            state: self.state(),
            layer_data_list: VolumeLayers(self),
            uuid: self.row.uuid,
        }
        .serialize(serializer)
    }
}

/// A volume's layers, top first: CSI takes the last one for the storage.
struct VolumeLayers<'a, 'r>(&'r VolumeRow<'a, 'r>);

impl Serialize for VolumeLayers<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Derive)]
        struct Level<T> {
            r#type: LayerKind,
            data: T,
        }
        let stack = &self.0.resource.row.layer_stack;
        let mut seq = serializer.serialize_seq(None)?;
        let resource = self.0.resource;
        for kind in stack.iter().filter(|kind| resource.has_layer(Some(kind))) {
            match kind {
                LayerKind::Drbd => {
                    seq.serialize_element(&Level {
                        r#type: *kind,
                        data: self.0.drbd(),
                    })?;
                }
                LayerKind::Luks => {
                    seq.serialize_element(&Level {
                        r#type: *kind,
                        data: self.0.luks(StorageSuffix::Data),
                    })?;
                }
                LayerKind::Storage
                | LayerKind::Nvme
                | LayerKind::Writecache
                | LayerKind::Cache
                | LayerKind::Bcache => {
                    seq.serialize_element(&Level {
                        r#type: *kind,
                        data: self.0.storage(StorageSuffix::Data),
                    })?;
                }
            }
        }
        seq.end()
    }
}
