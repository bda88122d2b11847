//! Volume definitions.

use std::collections::BTreeSet;

use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::NodeName;
use crate::row::{Props, is_default};

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
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub props: Props,
    /// DRBD minor, the same on all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// Node where the first generation of the data begins; none before the first diskful replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_copy_on: Option<NodeName>,
    /// A replica has begun the first generation of the data, or was up to date: from then on no replica begins a new one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initialized: bool,
    /// Nodes that are still to make the file system that was asked for when the volume was made there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub file_system_on: BTreeSet<NodeName>,
    /// Backing volumes are rounded up to multiples of this many KiB; only grows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub granularity_kib: u64,
}
