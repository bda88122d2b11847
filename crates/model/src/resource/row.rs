//! The row of a resource.

use std::collections::BTreeMap;

use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_api::sorted_map::SortedMap;
use linstor_wire::spec::SnapshotSource;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::row::{Props, is_default};

/// A resource: a resource definition on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The node.
    pub node: NodeName,
    /// Name of its resource definition.
    pub name: ResourceName,
    /// Its identity; part of the ownership tag of its volumes.
    pub uuid: Uuid,
    /// When it was created.
    pub created_at: u64,
    /// Layers, top first; ends with STORAGE.
    pub layer_stack: Vec<LayerKind>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// DRBD's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdResource>,
    /// Its volumes by number.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub volumes: SortedMap<u32, Volume>,
    /// It is inactive: its devices are down, its data is preserved.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inactive: bool,
    /// Generation of the model that it was deactivated with; 0 if it never was active. Its devices are down once its node
    /// has applied that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inactive_since: u64,
}

impl Resource {
    /// Whether volumes of it are still to be made of a snapshot.
    pub fn is_being_restored(&self) -> bool {
        let mut volumes = self.volumes.values();
        !self.is_diskless() && volumes.any(|volume| volume.source.is_some())
    }

    /// Whether it is, or is to become, diskless.
    pub fn is_diskless(&self) -> bool {
        self.drbd
            .as_ref()
            .is_some_and(|drbd| drbd.disk.is_diskless())
    }
}

/// The DRBD part of a resource. Node id, ports and peer slots do not change during its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrbdResource {
    /// Node id, unique in the definition.
    pub node_id: u32,
    /// TCP ports on this node; the first one is used.
    pub ports: Vec<u16>,
    /// Number of peer slots in the metadata.
    pub peer_slots: u32,
    /// Diskful, or the kind of diskless resource.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disk: DiskKind,
    /// A user has made it a client: it does not vote even if nobody else breaks a tie.
    #[serde(default, skip_serializing_if = "is_default")]
    pub never_votes: bool,
}

/// Diskful, or the kind of diskless DRBD resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    /// Diskful.
    #[default]
    Diskful,
    /// Diskless; votes for quorum.
    Diskless,
    /// Diskless; created for its vote, and deleted when no longer needed.
    TieBreaker,
    /// Diskless; does not vote.
    Client,
}

impl DiskKind {
    /// Whether it is diskless.
    pub const fn is_diskless(self) -> bool {
        !matches!(self, DiskKind::Diskful)
    }
}

/// A volume of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its identity.
    pub uuid: Uuid,
    /// The storage pool of its data on the node; a diskless pool for a diskless resource.
    pub pool: StoragePoolName,
    /// The storage pools of its other backing volumes; present until the disk is removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_storage: BTreeMap<StorageSuffix, StoragePoolName>,
    /// The backing volume with its data is a multiple of this many KiB, by its pool and the options when it was made; 0
    /// if that was not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit_kib: u64,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// What its data is made of, until its node has reported that it is; otherwise of nothing, or it comes from peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<VolumeSource>,
}

/// A snapshot that the backing volume with the data is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeSource {
    /// Names it in the report of the node that it is done.
    pub id: Uuid,
    /// The snapshot. It is not deleted before that.
    pub of: SnapshotSource,
    /// What DRBD replicates is the same in all replicas that are made of it.
    pub equal: bool,
}

impl Volume {
    /// The pool of one of its backing volumes.
    pub fn pool_of(&self, suffix: StorageSuffix) -> Option<&StoragePoolName> {
        match suffix {
            StorageSuffix::Data => Some(&self.pool),
            StorageSuffix::DrbdMeta => self.extra_storage.get(&suffix),
        }
    }

    /// The pools of all its backing volumes.
    pub fn pools(&self) -> impl Iterator<Item = &StoragePoolName> {
        std::iter::once(&self.pool).chain(self.extra_storage.values())
    }
}
