//! The row of a resource.

use std::collections::BTreeMap;

use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::row::{Props, is_default};

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
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// DRBD's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdResource>,
    /// Its volumes by number.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub volumes: SortedMap<u32, Volume>,
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

/// DRBD's part of a resource. Node id, ports and slots live as long as the resource.
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
    /// The storage pool of its data on the node; one without storage for a diskless resource.
    pub pool: StoragePoolName,
    /// The storage pools of its other backing volumes. Still there while the disk is being removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_storage: BTreeMap<StorageSuffix, StoragePoolName>,
    /// Its properties.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
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
