//! Specs: what a node must have. Complete in themselves, so that execution has no choices left.
//!
//! A spec that is absent requests nothing: it never means "destroy". Destruction is an explicit [`Target::Destroyed`].

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use linstor_api::external_file::FilePath;
use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::name::{NodeName, ResourceName, SnapshotName, StoragePoolName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::key::Key;
use crate::secret::Secret;

mod shipping;

pub use shipping::{InboundSpec, OutboundSpec, ShippingLink};

/// Names and values; keys as LINSTOR's property catalogue has them.
pub type Props = BTreeMap<String, String>;

/// What a node must have of one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spec {
    /// The node itself.
    Node(Arc<NodeSpec>),
    /// A resource.
    Resource(Arc<ResourceSpec>),
    /// A snapshot.
    Snapshot(Arc<SnapshotSpec>),
}

impl Spec {
    /// The object.
    pub fn key(&self) -> Key {
        match self {
            Spec::Node(_) => Key::Node,
            Spec::Resource(resource) => Key::Resource(resource.name.clone()),
            Spec::Snapshot(snapshot) => {
                Key::Snapshot(snapshot.resource.clone(), snapshot.name.clone())
            }
        }
    }

    /// The object's identity on the node.
    pub fn uuid(&self) -> Uuid {
        match self {
            Spec::Node(node) => node.uuid,
            Spec::Resource(resource) => resource.uuid,
            Spec::Snapshot(snapshot) => snapshot.uuid,
        }
    }

    /// What the node is to do once.
    pub fn once(&self) -> &[Instruction] {
        match self {
            Spec::Node(_) | Spec::Snapshot(_) => &[],
            Spec::Resource(resource) => &resource.once,
        }
    }
}

impl From<NodeSpec> for Spec {
    fn from(node: NodeSpec) -> Spec {
        Spec::Node(Arc::new(node))
    }
}

impl From<ResourceSpec> for Spec {
    fn from(resource: ResourceSpec) -> Spec {
        Spec::Resource(Arc::new(resource))
    }
}

impl From<SnapshotSpec> for Spec {
    fn from(snapshot: SnapshotSpec) -> Spec {
        Spec::Snapshot(Arc::new(snapshot))
    }
}

/// What a node is and which pools it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Identity of the cluster; part of every ownership tag.
    pub cluster_id: Uuid,
    /// The node's name in the cluster.
    pub name: NodeName,
    /// The node's identity.
    pub uuid: Uuid,
    /// Properties that the satellite itself heeds (controller's satellite properties, then the node's).
    #[serde(default)]
    pub props: Props,
    /// The node's storage pools.
    #[serde(default)]
    pub pools: Vec<PoolSpec>,
    /// The external files that its resources need. Those that are not here any more are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSpec>,
}

/// An external file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileSpec {
    /// Where it belongs.
    pub path: FilePath,
    /// Its content in base64. What people put into files may be secret.
    #[serde(with = "crate::secret::on_link")]
    pub content: Secret,
    /// Where a file with one of these suffixes exists, and none without, it is that one that gets the content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alt_suffixes: Vec<String>,
}

/// A storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Name of the pool's definition.
    pub name: StoragePoolName,
    /// Identity of the pool on this node.
    pub uuid: Uuid,
    /// What it is made of.
    pub kind: ProviderKind,
    /// Effective properties; `StorDriver/StorPoolName` is its VG, VG/thin pool, zpool or directory.
    #[serde(default)]
    pub props: Props,
    /// Name of the space that it shares with pools of other nodes, if one node after the other may change it: the node
    /// asks for its turn ([`crate::ToController::Turns`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<String>,
}

/// The state that a resource must reach on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Up and usable.
    Up,
    /// Devices taken down, storage not removed (deactivated resources).
    Down,
    /// The same as the first step of a delete: only once another node has the data, so that nothing is written to this
    /// replica alone.
    Leaving,
    /// Devices down, metadata and storage removed.
    Destroyed,
}

/// Everything a node must have of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceSpec {
    /// Devices, the DRBD resource and files have it as written.
    pub name: ResourceName,
    /// Identity of the resource on this node; part of the ownership tag of its volumes.
    pub uuid: Uuid,
    /// The state that it must reach.
    pub target: Target,
    /// Whether the last up-to-date copy may be destroyed, because the whole resource definition is being deleted.
    #[serde(default)]
    pub allow_last_copy: bool,
    /// Layers, top first; the last one is [`LayerSpec::Storage`].
    pub layers: Vec<LayerSpec>,
    /// Volumes in number order.
    pub volumes: Vec<VolumeSpec>,
    /// Backing volumes that a resource which became diskless no longer needs: destroyed once the layers above have
    /// released them, under the same guards as [`Target::Destroyed`].
    #[serde(default)]
    pub destroy_storage: Vec<StorageRef>,
    /// What is done once and then reported by its id. One that is reported is left out of later specs.
    #[serde(default)]
    pub once: Vec<Instruction>,
    /// Its backing volumes get other content while it is down; only with [`Target::Down`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll_back: Option<RollBack>,
    /// Its backing volumes are in space that other nodes use, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedStorage>,
}

/// Backing volumes that resources of several nodes have, of which one at a time is up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SharedStorage {
    /// The identity in their ownership tag, the same on all these nodes.
    pub owner: Uuid,
    /// Another node's resource still has them: they are not destroyed with this one, only deactivated on the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
}

impl ResourceSpec {
    /// The identity in the ownership tag of its backing volumes.
    pub fn storage_owner(&self) -> Uuid {
        self.shared
            .as_ref()
            .map_or(self.uuid, |shared| shared.owner)
    }

    /// The DRBD layer, when the stack has one.
    pub fn drbd(&self) -> Option<&DrbdSpec> {
        self.layers.iter().find_map(|layer| match layer {
            LayerSpec::Drbd(drbd) => Some(&**drbd),
            LayerSpec::Luks(_) | LayerSpec::Storage => None,
        })
    }

    /// The DRBD layer, to be changed.
    pub fn drbd_mut(&mut self) -> Option<&mut DrbdSpec> {
        self.layers.iter_mut().find_map(|layer| match layer {
            LayerSpec::Drbd(drbd) => Some(&mut **drbd),
            LayerSpec::Luks(_) | LayerSpec::Storage => None,
        })
    }

    /// The LUKS layer, when the stack has one.
    pub fn luks(&self) -> Option<&LuksSpec> {
        self.layers.iter().find_map(|layer| match layer {
            LayerSpec::Luks(luks) => Some(luks),
            LayerSpec::Drbd(_) | LayerSpec::Storage => None,
        })
    }

    /// Removes all secrets: they are not written to a disk of the node.
    pub fn remove_secrets(&mut self) {
        for layer in &mut self.layers {
            match layer {
                LayerSpec::Drbd(drbd) => drbd.secret = Secret::default(),
                LayerSpec::Luks(luks) => {
                    luks.withheld = None;
                    for volume in &mut luks.volumes {
                        volume.key = Secret::default();
                    }
                }
                LayerSpec::Storage => {}
            }
        }
        for instruction in &mut self.once {
            match &mut instruction.action {
                Action::ChangeLuksKey { former } => *former = Secret::default(),
                Action::NewGeneration
                | Action::MakeFileSystem { .. }
                | Action::RestoreSnapshot(_) => {}
            }
        }
    }
}

/// Of what a node must have for as long as the spec is in force: instructions and the generation ids of new metadata
/// are left out, so that a node that has carried them out gets no new spec.
impl Hash for ResourceSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ResourceSpec {
            name,
            uuid,
            target,
            allow_last_copy,
            layers,
            volumes,
            destroy_storage,
            once: _,
            roll_back,
            shared,
        } = self;
        (name, uuid, target, allow_last_copy).hash(state);
        (layers, volumes, destroy_storage, roll_back, shared).hash(state);
    }
}

/// One level of a resource's stack, with what the node must know to build it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerSpec {
    /// Replication.
    Drbd(Box<DrbdSpec>),
    /// Encryption.
    Luks(LuksSpec),
    /// Volumes in storage pools.
    Storage,
}

impl LayerSpec {
    /// The kind of layer.
    pub const fn kind(&self) -> LayerKind {
        match self {
            LayerSpec::Drbd(_) => LayerKind::Drbd,
            LayerSpec::Luks(_) => LayerKind::Luks,
            LayerSpec::Storage => LayerKind::Storage,
        }
    }
}

/// Something that a node does once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instruction {
    /// Names it in the report that it is done.
    pub id: Uuid,
    /// Number of the volume that it is about.
    pub volume: u32,
    /// What is to be done.
    pub action: Action,
}

/// What an [`Instruction`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Begin a new DRBD generation: what is on this replica when its metadata is created is the up-to-date data.
    NewGeneration,
    /// Make a file system, unless there is something on the volume.
    MakeFileSystem {
        /// As `FileSystem/Type` has it.
        kind: String,
        /// As `FileSystem/MkfsParams` has it.
        #[serde(default)]
        parameters: String,
    },
    /// Replace the key of the LUKS headers of the volume by the one in the spec.
    ChangeLuksKey {
        /// The key that they have so far. Empty where it is not known.
        #[serde(
            with = "crate::secret::on_link",
            default,
            skip_serializing_if = "Secret::is_empty"
        )]
        former: Secret,
    },
    /// Make the backing volume with the data of a snapshot of the same pool, not of nothing. What the layers above have
    /// written on it is there, but for DRBD's metadata, which is made anew.
    RestoreSnapshot(SnapshotSource),
}

/// The snapshot that a volume is made of: that of the volume with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotSource {
    /// Name of the resource definition that it is of.
    pub resource: ResourceName,
    /// Identity of the resource on this node that it is of.
    pub resource_uuid: Uuid,
    /// Its name.
    pub snapshot: SnapshotName,
    /// Its identity on this node.
    pub snapshot_uuid: Uuid,
}

/// A rollback of the backing volumes of a resource that is down. It is done once: a node that has noted it does nothing
/// more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RollBack {
    /// Names it.
    pub id: Uuid,
    /// The snapshot whose content the volumes get. None where the node has no part of it: the volumes are removed, and what
    /// is made in their place gets its content from a peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SnapshotSource>,
    /// The volumes themselves return to the snapshot. Otherwise they are removed, and made again of the snapshot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
    /// Nothing is changed yet: it is only made sure that nothing uses the volumes and that the snapshot is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prepare: bool,
}

/// A backing volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StorageRef {
    /// Volume number.
    pub number: u32,
    /// What it holds.
    pub suffix: StorageSuffix,
    /// Name of the storage pool that it is in.
    pub pool: StoragePoolName,
}

/// One volume of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Volume number.
    pub number: u32,
    /// The state that it must reach; [`Target::Destroyed`] while the volume definition is being deleted.
    pub target: Target,
    /// Size that the user of the volume sees, in KiB.
    pub usable_kib: u64,
    /// Backing volumes that are in use have the size that they have, whatever is asked of new ones: a DRBD device above
    /// them would no longer have its metadata at their end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed_size: bool,
    /// Its backing volumes; none for a diskless resource.
    #[serde(default)]
    pub storage: BTreeMap<StorageSuffix, StorageSpec>,
}

impl VolumeSpec {
    /// The backing volume with the data.
    pub fn data(&self) -> Option<&StorageSpec> {
        self.storage.get(&StorageSuffix::Data)
    }
}

/// A backing volume that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StorageSpec {
    /// Name of the storage pool.
    pub pool: StoragePoolName,
    /// Its least size in KiB: what its pool makes of it may be more.
    pub size_kib: u64,
    /// Effective properties of the storage driver (`StorDriver/*`, `sys/fs/*`).
    #[serde(default)]
    pub props: Props,
}

/// DRBD's part of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DrbdVolumeSpec {
    /// Volume number.
    pub number: u32,
    /// Device minor, the same on all nodes.
    pub minor: u32,
    /// The generation id that a never written volume has, 16 upper-case hex digits.
    pub day0_gi: String,
    /// How to set up new metadata.
    pub initial: InitialState,
    /// The backing device has been grown everywhere and this node is the one that grows DRBD.
    #[serde(default)]
    pub grow: bool,
    /// Grown space needs no resync, as it reads as zeros on all replicas.
    #[serde(default)]
    pub grow_assume_clean: bool,
    /// Backing volumes of all replicas are rounded up to multiples of this many KiB, as far as their pools' granularity
    /// is known.
    #[serde(default)]
    pub granularity_kib: u64,
    /// The largest internal metadata that a replica has at the end of its backing volume, in KiB.
    #[serde(default)]
    pub internal_metadata_kib: u64,
    /// Options of section `disk`, effective for this volume.
    #[serde(default)]
    pub disk_options: Props,
}

/// The generation ids of new metadata, unless a new generation begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialState {
    /// Reads as zeros like every replica did on day 0: only what was written since differs.
    SameAsDay0,
    /// Unknown content: everything is synchronised from a peer.
    FullSync,
}

/// See the one of [`ResourceSpec`].
impl Hash for InitialState {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The DRBD layer of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DrbdSpec {
    /// Secret that peers prove to each other. Empty where it is not known: the satellite's own files do not have it.
    #[serde(
        with = "crate::secret::on_link",
        default,
        skip_serializing_if = "Secret::is_empty"
    )]
    pub secret: Secret,
    /// This node's DRBD node id.
    pub node_id: u32,
    /// Name of this host as `uname -n` prints it; drbdadm finds its own section by it.
    pub uname: String,
    /// Address that peers reach this node by.
    pub address: IpAddr,
    /// TCP port on this node.
    pub port: u16,
    /// No local disk.
    pub diskless: bool,
    /// The disk is not attached, and its storage is neither made nor removed (`DrbdOptions/SkipDisk`). One that is
    /// attached is not detached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_disk: bool,
    /// How many peers the metadata has room for.
    pub peer_slots: u32,
    /// Activity log stripes.
    pub al_stripes: u32,
    /// Size of an activity log stripe in KiB.
    pub al_stripe_kib: u32,
    /// Section `options`.
    #[serde(default)]
    pub options: Props,
    /// Section `net`, common to all connections.
    #[serde(default)]
    pub net_options: Props,
    /// Section `disk`, common to all volumes; includes peer-device options.
    #[serde(default)]
    pub disk_options: Props,
    /// Section `handlers`.
    #[serde(default)]
    pub handlers: Props,
    /// All other nodes, in name order.
    #[serde(default)]
    pub peers: Vec<PeerSpec>,
    /// DRBD's part of the volumes, in number order.
    pub volumes: Vec<DrbdVolumeSpec>,
}

impl DrbdSpec {
    /// Its part of a volume.
    pub fn volume(&self, number: u32) -> Option<&DrbdVolumeSpec> {
        self.volumes.iter().find(|volume| volume.number == number)
    }
}

/// The LUKS layer of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LuksSpec {
    /// Why the spec has no keys, if it has none: devices that are open remain open, no other one can be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// LUKS's part of the volumes, in number order.
    pub volumes: Vec<LuksVolumeSpec>,
}

impl LuksSpec {
    /// Its part of a volume.
    pub fn volume(&self, number: u32) -> Option<&LuksVolumeSpec> {
        self.volumes.iter().find(|volume| volume.number == number)
    }
}

/// Why the controller does not send keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// The master passphrase was not entered since the controller started.
    Locked,
    /// The link to the satellite is not encrypted, and the controller is set to send no keys over such links.
    PlainLink,
    /// A key in the database cannot be opened with the master key.
    Corrupt,
}

/// LUKS's part of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LuksVolumeSpec {
    /// Volume number.
    pub number: u32,
    /// Key or passphrase of its headers. Empty where it is not known: the satellite's own files do not have it.
    #[serde(
        with = "crate::secret::on_link",
        default,
        skip_serializing_if = "Secret::is_empty"
    )]
    pub key: Secret,
    /// The key has 256 random bits: deriving it slowly would protect nothing.
    #[serde(default)]
    pub generated: bool,
    /// Where the data begins on the device below, in KiB.
    pub header_kib: u64,
    /// Open devices pass discards on.
    #[serde(default)]
    pub allow_discards: bool,
    /// Further options of `cryptsetup luksFormat`, on one line.
    #[serde(default)]
    pub format_options: String,
    /// Further options of `cryptsetup open`, on one line.
    #[serde(default)]
    pub open_options: String,
}

/// One path of a connection, from address to address; the ports are those of the hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PathSpec {
    /// This node's address.
    pub local: IpAddr,
    /// The peer's address.
    pub peer: IpAddr,
}

/// Another node of the same DRBD resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeerSpec {
    /// The node's name in the cluster.
    pub node: NodeName,
    /// Its host name.
    pub uname: String,
    /// Its DRBD node id.
    pub node_id: u32,
    /// Address to reach it by from this node.
    pub address: IpAddr,
    /// TCP port on the peer.
    pub port: u16,
    /// Address that the peer reaches this node by, where it differs from [`DrbdSpec::address`].
    #[serde(default)]
    pub local_address: Option<IpAddr>,
    /// The paths of this connection; none where it has one, between the hosts' own addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathSpec>,
    /// The peer has no disk.
    pub diskless: bool,
    /// The peer votes for quorum; false for a pure client.
    pub tiebreaker: bool,
    /// Section `net` of this connection.
    #[serde(default)]
    pub net_options: Props,
    /// Section `disk` of this connection.
    #[serde(default)]
    pub disk_options: Props,
}

/// A snapshot of a resource's volumes. It has a spec only while it is taken or destroyed: between the two a node has
/// nothing to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotSpec {
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Name of the snapshot.
    pub name: SnapshotName,
    /// Identity of the snapshot on this node; part of the ownership tag of its volumes.
    pub uuid: Uuid,
    /// Identity of the resource on this node that it is of; part of the ownership tag of the resource's volumes.
    pub resource_uuid: Uuid,
    /// What is to be done.
    pub target: SnapshotTarget,
    /// Its backing volumes.
    pub volumes: Vec<SnapshotVolumeSpec>,
}

/// What a node has to do about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotTarget {
    /// Take it, while a suspension of I/O is held. Without that, and if the suspension ends before all volumes are taken,
    /// the snapshot has failed: its volumes may not be of one moment.
    Taken {
        /// The suspension.
        lease: Uuid,
    },
    /// Take it while the resource is down, so that nothing changes its volumes.
    TakenWhileDown,
    /// Remove all of it.
    Destroyed,
    /// Send it into a bucket; it is there already.
    Sent(Box<ShipmentSpec>),
    /// Make it of what is in a bucket.
    Received(Box<ReceiptSpec>),
    /// Send it to a node of another cluster; it is there already.
    SentToPeer(Box<OutboundSpec>),
    /// Make it of what a node of another cluster sends.
    ReceivedFromPeer(Box<InboundSpec>),
}

/// A snapshot that is received from a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReceiptSpec {
    /// Names it.
    pub id: Uuid,
    /// The bucket.
    pub bucket: BucketSpec,
    /// The objects of each volume, by its number: what all of it is made of, and then the changes, in their order.
    pub objects: BTreeMap<u32, Vec<ReceivedObject>>,
}

/// An object that is received.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReceivedObject {
    /// Its key.
    pub key: String,
    /// Its size in bytes; one of another size is refused.
    pub bytes: u64,
}

/// A snapshot that is sent into a bucket: an object of parts for each volume, as LINSTOR has them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShipmentSpec {
    /// Names it.
    pub id: Uuid,
    /// The bucket.
    pub bucket: BucketSpec,
    /// The objects by the numbers of the volumes.
    pub objects: BTreeMap<u32, ObjectSpec>,
    /// The snapshot of the same resource whose content the receiver has: only what changed since is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseSpec>,
}

/// An object that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectSpec {
    /// Its key.
    pub key: String,
    /// The upload of its parts, which the controller has begun.
    pub upload: String,
}

/// A snapshot that an incremental one is based on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BaseSpec {
    /// Its name.
    pub snapshot: SnapshotName,
    /// Its identity on this node.
    pub uuid: Uuid,
}

/// A bucket of an S3 store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BucketSpec {
    /// URL of the store, or its host and port.
    pub endpoint: String,
    /// The bucket's name.
    pub name: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket is part of the path instead of the host name.
    #[serde(default)]
    pub use_path_style: bool,
    /// How long the store may take for an answer, in milliseconds.
    pub timeout_ms: u64,
    /// Access key.
    #[serde(
        with = "crate::secret::on_link",
        default,
        skip_serializing_if = "Secret::is_empty"
    )]
    pub access_key: Secret,
    /// Secret key.
    #[serde(
        with = "crate::secret::on_link",
        default,
        skip_serializing_if = "Secret::is_empty"
    )]
    pub secret_key: Secret,
    /// Why the keys are not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
}

impl SnapshotSpec {
    /// Removes all secrets: they are not written to a disk of the node.
    pub fn remove_secrets(&mut self) {
        let bucket = match &mut self.target {
            SnapshotTarget::Sent(shipment) => &mut shipment.bucket,
            SnapshotTarget::Received(receipt) => &mut receipt.bucket,
            SnapshotTarget::SentToPeer(spec) => {
                spec.link.own = Secret::default();
                return;
            }
            SnapshotTarget::ReceivedFromPeer(spec) => {
                spec.link.own = Secret::default();
                return;
            }
            SnapshotTarget::Taken { .. }
            | SnapshotTarget::TakenWhileDown
            | SnapshotTarget::Destroyed => return,
        };
        bucket.access_key = Secret::default();
        bucket.secret_key = Secret::default();
    }
}

/// A backing volume of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotVolumeSpec {
    /// Volume number.
    pub number: u32,
    /// What it holds.
    pub suffix: StorageSuffix,
    /// Name of the storage pool.
    pub pool: StoragePoolName,
    /// Size of the backing volume in KiB.
    pub size_kib: u64,
    /// Effective properties of the storage driver (`StorDriver/*`).
    #[serde(default)]
    pub props: Props,
}
