//! What each layer shows of a resource and of its volumes.

use std::collections::BTreeMap;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::kind::LayerKind;
use crate::lenient::{Word, object};

object! {
    /// One level of a resource's layer tree; exactly one of the members named after layers is there.
    pub struct ResourceLayer {
        /// The levels below: the data first, then what serves it (metadata, cache).
        pub children: Vec<ResourceLayer>,
        /// Tells the branches of the tree apart, for example `.meta`.
        pub resource_name_suffix: String,
        /// Which layer (see [`crate::kind::LayerKind`]).
        pub r#type: Option<Word>,
        /// DRBD.
        pub drbd: Option<DrbdResource>,
        /// Encryption.
        pub luks: Option<LuksResource>,
        /// The storage pool's volumes.
        pub storage: Option<StorageResource>,
        /// NVMe over fabrics.
        pub nvme: Option<NvmeResource>,
        /// dm-writecache.
        pub writecache: Option<WritecacheResource>,
        /// dm-cache.
        pub cache: Option<CacheResource>,
        /// bcache.
        pub bcache: Option<BcacheResource>,
    }

    /// What DRBD has on a resource definition.
    pub struct DrbdResourceDefinition {
        /// Tells the branches of the tree apart.
        pub resource_name_suffix: String,
        /// How many peers a replica's metadata has room for.
        pub peer_slots: Option<i32>,
        /// Stripes of the activity log.
        pub al_stripes: Option<i32>,
        /// Size of a stripe in KiB.
        pub al_stripe_size_kib: Option<i64>,
        /// The TCP port its resources use where it is free; -1 when none is wished (older clients need a number).
        pub port: Option<i32>,
        /// The transport of the connections.
        pub transport_type: Option<String>,
        /// The secret its replicas share.
        pub secret: Option<String>,
        /// Whether DRBD shall be down.
        pub down: Option<bool>,
    }

    /// What DRBD has on a volume definition.
    pub struct DrbdVolumeDefinition {
        /// Tells the branches of the tree apart.
        pub resource_name_suffix: String,
        /// The volume's number.
        pub volume_number: Option<i32>,
        /// The minor number of its device.
        pub minor_number: Option<i32>,
    }

    /// What DRBD has on a resource.
    pub struct DrbdResource {
        /// What all replicas have in common.
        pub drbd_resource_definition: Option<DrbdResourceDefinition>,
        /// Its node id.
        pub node_id: Option<i32>,
        /// Its TCP ports, one per path.
        pub tcp_ports: Vec<i32>,
        /// How many peers its metadata has room for.
        pub peer_slots: Option<i32>,
        /// Stripes of its activity log.
        pub al_stripes: Option<i32>,
        /// Size of a stripe in KiB.
        pub al_size: Option<i64>,
        /// Flags (see [`crate::flag::drbd_resource`]).
        pub flags: Vec<Word>,
        /// Its volumes.
        pub drbd_volumes: Vec<DrbdVolume>,
        /// Its connections by peer.
        pub connections: BTreeMap<String, DrbdConnection>,
        /// How well suited it is to become primary.
        pub promotion_score: Option<i32>,
        /// Whether it could become primary now.
        pub may_promote: Option<bool>,
    }

    /// A connection to a peer.
    pub struct DrbdConnection {
        /// Whether it is established.
        pub connected: Option<bool>,
        /// DRBD's word for its state, for example `StandAlone`.
        pub message: Option<String>,
    }

    /// A volume in the DRBD layer.
    pub struct DrbdVolume {
        /// What all replicas have in common.
        pub drbd_volume_definition: Option<DrbdVolumeDefinition>,
        /// Its device, for example `/dev/drbd1000`.
        pub device_path: Option<String>,
        /// The device below.
        pub backing_device: Option<String>,
        /// The device with its metadata; missing when that is on the backing device.
        pub meta_disk: Option<String>,
        /// The space it takes, in KiB.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// DRBD's word for its state.
        pub disk_state: Option<String>,
        /// The pool with its metadata; missing when that is on the backing device.
        pub ext_meta_stor_pool: Option<String>,
    }

    /// What encryption has on a resource.
    pub struct LuksResource {
        /// Its volumes.
        pub luks_volumes: Vec<LuksVolume>,
    }

    /// A volume in the encryption layer.
    pub struct LuksVolume {
        /// Its number.
        pub volume_number: Option<i32>,
        /// Its device.
        pub device_path: Option<String>,
        /// The device below.
        pub backing_device: Option<String>,
        /// The space it takes, in KiB.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// A word for its state.
        pub disk_state: Option<String>,
        /// Whether the device is open.
        pub opened: Option<bool>,
        /// Whether its key cannot be read.
        pub corrupted_key: Option<bool>,
    }

    /// What a storage pool has on a resource.
    pub struct StorageResource {
        /// Its volumes.
        pub storage_volumes: Vec<StorageVolume>,
    }

    /// A volume of a storage pool.
    pub struct StorageVolume {
        /// Its number.
        pub volume_number: Option<i32>,
        /// Its device, for example `/dev/vg/res1_00000`.
        pub device_path: Option<String>,
        /// The space it takes, in KiB.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// A word for its state.
        pub disk_state: Option<String>,
    }

    /// What NVMe has on a resource.
    pub struct NvmeResource {
        /// Its volumes.
        pub nvme_volumes: Vec<NvmeVolume>,
    }

    /// A volume in the NVMe layer.
    pub struct NvmeVolume {
        /// Its number.
        pub volume_number: Option<i32>,
        /// Its device.
        pub device_path: Option<String>,
        /// The device below.
        pub backing_device: Option<String>,
        /// The space it takes, in KiB.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// A word for its state.
        pub disk_state: Option<String>,
    }

    /// What dm-writecache has on a resource.
    pub struct WritecacheResource {
        /// Its volumes.
        pub writecache_volumes: Vec<WritecacheVolume>,
    }

    /// A volume in the dm-writecache layer.
    pub struct WritecacheVolume {
        /// Its number.
        pub volume_number: Option<i32>,
        /// Its device.
        pub device_path: Option<String>,
        /// The device with the cache.
        pub device_path_cache: Option<String>,
        /// The space it takes, in KiB.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// A word for its state.
        pub disk_state: Option<String>,
    }

    /// What dm-cache has on a resource.
    pub struct CacheResource {
        /// Its volumes.
        pub cache_volumes: Vec<CacheVolume>,
    }

    /// A volume in the dm-cache layer.
    pub struct CacheVolume {
        /// Its number.
        pub volume_number: Option<i32>,
        /// Its device.
        pub device_path: Option<String>,
        /// The device with the cache.
        pub device_path_cache: Option<String>,
        /// The device with the cache's metadata.
        pub device_meta_cache: Option<String>,
        /// The space it takes, in KiB.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// A word for its state.
        pub disk_state: Option<String>,
    }

    /// What bcache has on a resource.
    pub struct BcacheResource {
        /// Its volumes.
        pub bcache_volumes: Vec<BcacheVolume>,
    }

    /// A volume in the bcache layer.
    pub struct BcacheVolume {
        /// Its number.
        pub volume_number: Option<i32>,
        /// Its device.
        pub device_path: Option<String>,
        /// The device with the cache.
        pub device_path_cache: Option<String>,
        /// The space it takes, in KiB.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// A word for its state.
        pub disk_state: Option<String>,
    }
}

/// One layer of a volume, in the flat list that a volume carries (top first, storage last).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "type", content = "data")]
pub enum VolumeLayer {
    /// DRBD.
    #[serde(rename = "DRBD")]
    Drbd(DrbdVolume),
    /// Encryption.
    #[serde(rename = "LUKS")]
    Luks(LuksVolume),
    /// The storage pool's volume.
    #[serde(rename = "STORAGE")]
    Storage(StorageVolume),
    /// NVMe over fabrics.
    #[serde(rename = "NVME")]
    Nvme(NvmeVolume),
    /// dm-writecache.
    #[serde(rename = "WRITECACHE")]
    Writecache(WritecacheVolume),
    /// dm-cache.
    #[serde(rename = "CACHE")]
    Cache(CacheVolume),
    /// bcache.
    #[serde(rename = "BCACHE")]
    Bcache(BcacheVolume),
    /// A layer that a newer server knows.
    #[default]
    Unknown,
}

impl<'de> Deserialize<'de> for VolumeLayer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Tagged {
            r#type: String,
            #[serde(default)]
            data: serde_json::Value,
        }
        fn data<T: Default + serde::de::DeserializeOwned, E: Error>(
            value: serde_json::Value,
        ) -> Result<T, E> {
            let given: Option<T> = serde_json::from_value(value).map_err(E::custom)?;
            Ok(given.unwrap_or_default())
        }
        let Tagged {
            r#type,
            data: value,
        } = Tagged::deserialize(deserializer)?;
        Ok(match r#type.parse::<LayerKind>() {
            Ok(LayerKind::Drbd) => VolumeLayer::Drbd(data(value)?),
            Ok(LayerKind::Luks) => VolumeLayer::Luks(data(value)?),
            Ok(LayerKind::Storage) => VolumeLayer::Storage(data(value)?),
            Ok(LayerKind::Nvme) => VolumeLayer::Nvme(data(value)?),
            Ok(LayerKind::Writecache) => VolumeLayer::Writecache(data(value)?),
            Ok(LayerKind::Cache) => VolumeLayer::Cache(data(value)?),
            Ok(LayerKind::Bcache) => VolumeLayer::Bcache(data(value)?),
            Err(_) => VolumeLayer::Unknown,
        })
    }
}

impl crate::lenient::Lenient for VolumeLayer {
    fn read_or_null<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Self>, D::Error> {
        crate::lenient::read_object(deserializer)
    }
}
