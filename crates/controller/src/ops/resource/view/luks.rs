//! What LUKS shows of a resource and of its volumes.

use linstor_api::kind::StorageSuffix;
use serde::Serialize as Derive;
use serde::ser::{Serialize, Serializer};

use super::{Row, VolumeRow};

#[derive(Derive)]
pub(super) struct LuksJson<'a, 'r> {
    pub(super) luks_volumes: LuksVolumes<'a, 'r>,
}

pub(super) struct LuksVolumes<'a, 'r>(pub(super) &'r Row<'a>, pub(super) StorageSuffix);

impl Serialize for LuksVolumes<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let volumes = self.0.volumes();
        let volumes = volumes.filter(|volume| volume.row.pool_of(self.1).is_some());
        serializer.collect_seq(volumes.map(|volume| volume.luks(self.1)))
    }
}

#[derive(Derive)]
pub(super) struct LuksVolumeJson<'a> {
    volume_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_size_kib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable_size_kib: Option<u64>,
    opened: bool,
}

impl<'a> VolumeRow<'a, '_> {
    /// The open device is known of the volume with the data.
    pub(super) fn luks(&self, suffix: StorageSuffix) -> LuksVolumeJson<'a> {
        let storage = self.storage(suffix);
        let open = self.status.and_then(|status| status.luks.as_ref());
        let open = open.filter(|_| suffix == StorageSuffix::Data);
        LuksVolumeJson {
            volume_number: self.number,
            device_path: open.map(|luks| luks.device.as_str()),
            backing_device: storage.device_path,
            allocated_size_kib: storage.usable_size_kib,
            usable_size_kib: open.map(|luks| luks.size_kib),
            opened: open.is_some() || (suffix != StorageSuffix::Data && self.is_open()),
        }
    }

    fn is_open(&self) -> bool {
        self.status.is_some_and(|status| status.luks.is_some())
    }
}
