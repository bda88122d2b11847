//! Volume definitions.

use std::collections::BTreeSet;

use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::master_key::Sealed;
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
    /// Nobody asked for this minor: it is shown once a replica has DRBD.
    #[serde(default, skip_serializing_if = "is_default")]
    pub implied_minor: bool,
    /// The key of its LUKS headers; none before one was supplied or the first resource with the LUKS layer was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub luks: Option<LuksKey>,
    /// Node where the first generation of the data begins; none before the first diskful replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_copy_on: Option<NodeName>,
    /// A replica has begun the first generation of the data, or was up to date: from then on no replica begins a new one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initialized: bool,
    /// Its data began with that of a snapshot: replicas that are not made of it have other content on day 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restored: bool,
    /// Nodes that are still to make the file system that was asked for when the volume was made there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub file_system_on: BTreeSet<NodeName>,
    /// The largest unit of its backing volumes in KiB; only grows. Those whose own is not known are multiples of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub granularity_kib: u64,
    /// Size of its DRBD device in KiB; none while no resource has a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_kib: Option<u64>,
    /// The size of the device is in the `.res` files, as not all resources have the same room for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pinned: bool,
}

impl VolumeDefinition {
    /// Whether some of its LUKS headers still have a former key.
    pub fn changes_key(&self) -> bool {
        self.luks.as_ref().is_some_and(|luks| luks.change.is_some())
    }

    /// Notes that the LUKS header on a node has the new key, or is not there any more, if that is so for this change. The
    /// former key is dropped with the last header that has it.
    pub fn key_changed(&mut self, node: &NodeName, is_done: impl Fn(Uuid) -> bool) {
        let Some(luks) = &mut self.luks else { return };
        if let Some(change) = &mut luks.change
            && is_done(change.id)
        {
            change.on.remove(node);
            if change.on.is_empty() {
                luks.change = None;
            }
        }
    }
}

/// The key of the LUKS headers of a volume, the same on all nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LuksKey {
    /// The key, sealed with the master key for [`LuksKey::purpose`].
    pub key: Sealed,
    /// A user chose it. Otherwise it has 256 random bits.
    #[serde(default, skip_serializing_if = "is_default")]
    pub supplied: bool,
    /// Options of `cryptsetup luksFormat` for all headers of the volume: the size of the header depends on them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format_options: String,
    /// Headers that still have another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<LuksKeyChange>,
}

/// A key that is being replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LuksKeyChange {
    /// Names the change in the reports of the nodes.
    pub id: Uuid,
    /// The key before, sealed as the new one.
    pub former: Sealed,
    /// Nodes that have not reported it as done.
    pub on: BTreeSet<NodeName>,
}

impl LuksKey {
    /// What the key of a volume definition is sealed for.
    pub fn purpose(volume_definition: Uuid) -> String {
        format!("LUKS key of volume definition {volume_definition}")
    }
}
