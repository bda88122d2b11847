//! The row of a resource.

use std::collections::BTreeMap;

use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::row::{Props, Since, is_default};

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
        storage: SortedMap<u32, StoragePoolName>,
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
