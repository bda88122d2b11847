//! Specs: what a node must have. Complete in themselves, so that execution is left without choices.
//!
//! A spec that is absent says nothing: it never means "destroy". Destruction is an explicit [`Target::Destroyed`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use linstor_api::kind::ProviderKind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secret::Secret;

/// Names and values; keys as LINSTOR's property catalogue has them.
pub type Props = BTreeMap<String, String>;

/// What a node is and which pools it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Identity of the cluster; part of every ownership tag.
    pub cluster_id: Uuid,
    /// The node's name in the cluster.
    pub name: String,
    /// The node's identity.
    pub uuid: Uuid,
    /// Properties that the satellite itself heeds (controller's satellite properties, then the node's).
    #[serde(default)]
    pub props: Props,
    /// The node's storage pools.
    #[serde(default)]
    pub pools: Vec<PoolSpec>,
}

/// A storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Name of the pool's definition.
    pub name: String,
    /// Identity of the pool on this node.
    pub uuid: Uuid,
    /// What it is made of.
    pub kind: ProviderKind,
    /// Effective properties; `StorDriver/StorPoolName` says where it is (VG, VG/thin pool, zpool, directory).
    #[serde(default)]
    pub props: Props,
}

/// What should become of a resource on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Up and usable.
    Up,
    /// Storage kept, devices taken down (deactivated resources).
    Down,
    /// The same as the first step of a delete: only once another node has the data, so that nothing is written to this
    /// replica alone.
    Leaving,
    /// Gone: devices down, metadata and storage removed.
    Destroyed,
}

/// Everything a node must have of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceSpec {
    /// Display name; devices, DRBD resource and files carry it as written.
    pub name: String,
    /// Identity of the resource on this node; part of the ownership tag of its volumes.
    pub uuid: Uuid,
    /// What should become of it.
    pub target: Target,
    /// Whether the last up-to-date copy may go, because the whole resource definition is being deleted.
    #[serde(default)]
    pub allow_last_copy: bool,
    /// The DRBD layer, when the stack has one.
    #[serde(default)]
    pub drbd: Option<DrbdSpec>,
    /// Volumes in number order.
    pub volumes: Vec<VolumeSpec>,
    /// Backing volumes that a resource which became diskless no longer needs: destroyed once DRBD has let go of them,
    /// under the same guards as [`Target::Destroyed`].
    #[serde(default)]
    pub destroy_storage: Vec<StorageRef>,
}

/// A backing volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageRef {
    /// Volume number.
    pub number: u32,
    /// Name of the storage pool that it is in.
    pub pool: String,
}

/// One volume of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Volume number.
    pub number: u32,
    /// Name of the storage pool; a pool of kind DISKLESS for a diskless resource.
    pub pool: String,
    /// What should become of it; [`Target::Destroyed`] while the volume definition is being deleted.
    pub target: Target,
    /// Size that the user of the volume sees, in KiB.
    pub usable_kib: u64,
    /// Size of the backing volume, in KiB: metadata included, rounded for all replicas alike.
    pub backing_kib: u64,
    /// Effective properties for the storage driver and for mkfs (`StorDriver/*`, `FileSystem/*`).
    #[serde(default)]
    pub props: Props,
    /// The volume's part of the DRBD layer.
    #[serde(default)]
    pub drbd: Option<DrbdVolumeSpec>,
}

/// DRBD's part of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrbdVolumeSpec {
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
    /// Options of section `disk`, effective for this volume.
    #[serde(default)]
    pub disk_options: Props,
}

/// What the generation ids of new metadata say (spec core 6.4 step 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialState {
    /// This node holds the first copy: up to date, new current id, day-0 bitmap id.
    First,
    /// Reads as zeros like the first copy did on day 0: only what was written since differs.
    SameAsDay0,
    /// Unknown content: everything is synchronised from a peer.
    FullSync,
}

/// The DRBD layer of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Name of this host as `uname -n` says it; drbdadm finds its own section by it.
    pub uname: String,
    /// Address that peers reach this node by.
    pub address: IpAddr,
    /// TCP port on this node.
    pub port: u16,
    /// No local disk.
    pub diskless: bool,
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
}

/// Another node of the same DRBD resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSpec {
    /// The node's name in the cluster.
    pub node: String,
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
