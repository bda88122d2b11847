//! Rows: one per aggregate, stored as human-readable JSON under `(kind, key)`.
//!
//! What is stored: what users asked for, the numbers given out for it, and the phase of every change that takes longer
//! than one commit. What is not: anything a node can tell (see [`crate::observed`]) and anything that follows from
//! other rows (the indexes of [`crate::Model`]). Times are milliseconds since the Unix epoch.

use std::collections::BTreeMap;
use std::net::IpAddr;

use linstor_api::kind::{DrbdKind, Encryption, LayerKind, NodeType, ProviderKind};
use linstor_wire::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{GroupName, NetIfName, NodeName, PoolName, ResourceName};

/// Names and values.
pub type Props = BTreeMap<String, String>;

/// When a change was asked for: the time for people, the generation for telling whether a node has tried it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Generation of the model that holds the change (see [`crate::Draft::since`]).
    pub generation: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What there is once in a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    /// Identity of the cluster; part of every ownership tag.
    pub cluster_id: Uuid,
    /// Grows with each controller that takes over the store.
    #[serde(default)]
    pub epoch: u64,
    /// Controller properties.
    #[serde(default)]
    pub props: Props,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its identity.
    pub uuid: Uuid,
    /// What it does in the cluster.
    pub node_type: NodeType,
    /// Its addresses, in the order they were created; exactly one is active when the node has a satellite.
    pub net_interfaces: Vec<NetInterface>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
    /// Set while the node is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting: Option<Since>,
    /// The node is to be emptied.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evacuate: bool,
    /// The node was given up on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evicted: bool,
    /// What the satellite said of itself when it was last connected; peers' files need the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostFacts>,
}

/// Facts about a host that plans need while it is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Host name as `uname -n` says it.
    pub uname: String,
    /// Kind of DRBD in its kernel.
    #[serde(default)]
    pub drbd: Option<DrbdKind>,
    /// Version of the DRBD kernel module.
    #[serde(default)]
    pub drbd_version: Option<String>,
}

/// An address of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetInterface {
    /// Its name.
    pub name: NetIfName,
    /// Its identity.
    pub uuid: Uuid,
    /// The address.
    pub address: IpAddr,
    /// Port of the satellite, when the interface may be used to reach it.
    #[serde(default)]
    pub satellite_port: Option<u16>,
    /// How the satellite is reached.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// The controller connects through this one.
    #[serde(default)]
    pub active: bool,
}

/// A storage pool's name in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolDefinition {
    /// Its name.
    pub name: PoolName,
    /// Its identity.
    pub uuid: Uuid,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
}

/// A storage pool on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The node.
    pub node: NodeName,
    /// Name of its definition.
    pub name: PoolName,
    /// Its identity.
    pub uuid: Uuid,
    /// What it is made of.
    pub kind: ProviderKind,
    /// Its properties; `StorDriver/StorPoolName` says where it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
    /// Name of the space it shares with pools of other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_name: Option<String>,
    /// Locking of shared space is done by somebody else.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external_locking: bool,
    /// Volumes are rounded up to multiples of this many KiB, once the satellite has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity_kib: Option<u64>,
}

/// How replicas are chosen. None means "not said here": per field, the request wins over the group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectFilter {
    /// How many diskful replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place_count: Option<u32>,
    /// How many more than there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_place_count: Option<u32>,
    /// Only these nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeName>>,
    /// Only these pools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<PoolName>>,
    /// Pools for diskless replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskless_pools: Option<Vec<PoolName>>,
    /// Not on nodes that have one of these resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_place_with: Option<Vec<String>>,
    /// Not on nodes that have a resource whose name matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_place_with_regex: Option<String>,
    /// Node properties (`key` or `key=value`) that must be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same: Option<Vec<String>>,
    /// Node properties (`key` or `key=value`) that must differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub different: Option<Vec<String>>,
    /// Node property to how many replicas share one value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_different: Option<BTreeMap<String, u32>>,
    /// Layers, top first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_stack: Option<Vec<LayerKind>>,
    /// Only pools of these kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<ProviderKind>>,
    /// Give every other node a diskless replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskless_on_remaining: Option<bool>,
    /// Kind of the diskless replicas, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskless_type: Option<String>,
}

/// Defaults and rules for resource definitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Its identity.
    pub uuid: Uuid,
    /// A text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How replicas are chosen.
    #[serde(default)]
    pub filter: SelectFilter,
    /// Peer slots for new resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_slots: Option<u32>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
    /// Volume groups by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volume_groups: BTreeMap<u32, VolumeGroup>,
}

/// Defaults for one volume of a group's definitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Its identity.
    pub uuid: Uuid,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
    /// Sizes mean the backing volume, metadata included.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gross_size: bool,
}

/// What is the same for all replicas of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: ResourceName,
    /// A name given by another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    /// Its identity.
    pub uuid: Uuid,
    /// Its group.
    pub group: GroupName,
    /// Layers, top first; empty means that each resource decides (spec core 5.2 step 4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_stack: Vec<LayerKind>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
    /// DRBD's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdDefinition>,
    /// Volume definitions by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<u32, VolumeDefinition>,
    /// Set while it is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting: Option<Since>,
}

/// DRBD's part of a resource definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrbdDefinition {
    /// Secret that peers prove to each other.
    pub secret: Secret,
    /// Peer slots for new resources.
    pub peer_slots: u32,
    /// Activity log stripes.
    pub al_stripes: u32,
    /// Size of an activity log stripe in KiB.
    pub al_stripe_kib: u32,
    /// `TCP` or another transport.
    pub transport: String,
    /// Port that new resources should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wished_port: Option<u16>,
}

/// One volume, the same for all replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeDefinition {
    /// Its identity.
    pub uuid: Uuid,
    /// Size in KiB as asked for: of what users see, or of the backing volume when `gross_size` is set.
    pub size_kib: u64,
    /// See `size_kib`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gross_size: bool,
    /// To be encrypted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub encrypted: bool,
    /// Its properties; `DrbdCurrentGi` is the day-0 generation id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
    /// DRBD minor, the same on all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// Node that holds the first copy (spec core 5.2 step 6); none before the first diskful replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_copy_on: Option<NodeName>,
    /// A replica has been up to date, and all that were online then had made their metadata; from then on new replicas
    /// never start a new history.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initialized: bool,
    /// A replica has been up to date, perhaps while others were still being made: nobody else may become the first copy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has_history: bool,
    /// Backing volumes are rounded up to multiples of this many KiB; only grows (spec core, trap 30).
    #[serde(default, skip_serializing_if = "is_default")]
    pub granularity_kib: u64,
    /// Set while it is being grown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Set while it is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting: Option<Since>,
}

/// A volume that is being grown (design section 7: grow below, grow DRBD, done).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// Since when.
    pub since: Since,
    /// What is being done.
    pub step: ResizeStep,
}

/// Steps of growing a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeStep {
    /// All replicas grow their backing volumes.
    Storage,
    /// One replica grows DRBD for all.
    Drbd {
        /// The node that does.
        on: NodeName,
    },
}

/// A replica: a resource definition on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The node.
    pub node: NodeName,
    /// Name of its definition.
    pub name: ResourceName,
    /// Its identity; part of the ownership tag of its volumes.
    pub uuid: Uuid,
    /// When it was created.
    pub created_at: u64,
    /// Layers, top first; ends with STORAGE.
    pub layer_stack: Vec<LayerKind>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
    /// DRBD's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdResource>,
    /// Its volumes by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<u32, Volume>,
    /// What is being done with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub phase: ResourcePhase,
    /// Devices are to be down, data stays.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inactive: bool,
}

impl Resource {
    /// Whether it has no disk of its own, or is to have none.
    pub fn is_diskless(&self) -> bool {
        self.drbd
            .as_ref()
            .is_some_and(|drbd| drbd.disk.is_diskless())
    }
}

/// DRBD's part of a resource. Node id, ports and slots live as long as the resource (spec core, trap 10).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrbdResource {
    /// Node id, unique in the definition.
    pub node_id: u32,
    /// TCP ports on this node; the first one is used.
    pub ports: Vec<u16>,
    /// How many peers the metadata has room for.
    pub peer_slots: u32,
    /// Whether, and what kind of, diskless.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disk: DiskKind,
}

/// What disk a DRBD resource has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    /// A local disk.
    #[default]
    Diskful,
    /// None; votes for quorum.
    Diskless,
    /// None; made for the sake of its vote and removed when no longer needed.
    TieBreaker,
    /// None; does not vote.
    Client,
}

impl DiskKind {
    /// Whether there is no local disk.
    pub const fn is_diskless(self) -> bool {
        !matches!(self, DiskKind::Diskful)
    }
}

/// A volume of a replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its identity.
    pub uuid: Uuid,
    /// Its storage pool on the node.
    pub pool: PoolName,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub props: Props,
}

/// What is being done with a replica. Each phase ends by itself; none waits for ever without a reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourcePhase {
    /// Nothing: it is there.
    #[default]
    Present,
    /// Deleting, first step: its devices go down as soon as another replica has the data. It stays a peer of the others
    /// until then; storage stays.
    TakingDown {
        /// Since when.
        since: Since,
    },
    /// Deleting, last step: metadata and storage are removed. Peers forget it once it is vouched for.
    Destroying {
        /// Since when.
        since: Since,
        /// The data is known to be on another replica too, or nobody is left who could have it: the node need not
        /// find out by itself, which it could not once its peers have forgotten it.
        #[serde(default)]
        vouched: bool,
    },
    /// A diskless replica gets a disk; done when the satellite has made it, or, when it replaces another replica,
    /// when it is up to date and that one has been marked for deletion.
    AddingDisk {
        /// Since when.
        since: Since,
        /// Replica to delete once this one is up to date.
        #[serde(default)]
        migrate_from: Option<NodeName>,
    },
    /// A diskful replica gave up its disk: DRBD lets go of it once another replica has the data, then the storage is
    /// removed. For its peers it has a disk until all of that is done.
    RemovingDisk {
        /// Since when.
        since: Since,
        /// Volume number to the pool its storage is to be removed from.
        storage: BTreeMap<u32, PoolName>,
    },
}

impl ResourcePhase {
    /// Whether the replica is on its way out.
    pub const fn is_deleting(&self) -> bool {
        matches!(
            self,
            ResourcePhase::TakingDown { .. } | ResourcePhase::Destroying { .. }
        )
    }

    /// Whether the replica holds, or may still hold, something of use to its peers.
    ///
    /// One that goes is a peer until its node has let go of the device and the data is known to be elsewhere: peers
    /// that forgot it earlier would leave what was written meanwhile on it alone.
    pub const fn is_peer(&self) -> bool {
        !matches!(self, ResourcePhase::Destroying { vouched: true, .. })
    }

    /// Whether nothing is being done.
    pub const fn is_present(&self) -> bool {
        matches!(self, ResourcePhase::Present)
    }
}

/// A key-value store instance of a client program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyValueStore {
    /// Its name.
    pub name: crate::name::KvsName,
    /// What the client stored.
    pub props: Props,
}
