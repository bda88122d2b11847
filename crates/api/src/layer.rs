//! What each layer shows of a resource and of its volumes.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::kind::LayerKind;
use crate::lenient::{Word, object};
use crate::sorted_map::SortedMap;

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
        pub connections: SortedMap<String, DrbdConnection>,
        /// How well suited it is to become primary.
        pub promotion_score: Option<i32>,
        /// Whether it could become primary now.
        pub may_promote: Option<bool>,
        /// Why its I/O is suspended, with commas between reasons; not a member of LINSTOR's.
        pub suspended: Option<String>,
        /// It has lost its quorum; not a member of LINSTOR's.
        pub quorum_lost: Option<bool>,
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
}

/// What a layer has on a resource, its volumes, and what it shows of each in addition to what all layers show.
macro_rules! layer {
    (
        $what:literal, $resource:ident: $volumes:ident, $volume:ident {
            $($(#[$about:meta])* $device:ident,)*
        } $({ $($(#[$more_about:meta])* $more:ident: $type:ty,)+ })?
    ) => {
        object! {
            #[doc = concat!("What ", $what, " has on a resource.")]
            pub struct $resource {
                /// Its volumes.
                pub $volumes: Vec<$volume>,
            }

            #[doc = concat!("What ", $what, " has on a volume.")]
            pub struct $volume {
                /// Its number.
                pub volume_number: Option<i32>,
                /// Its device, for example `/dev/vg/res1_00000`.
                pub device_path: Option<String>,
                $($(#[$about])* pub $device: Option<String>,)*
                /// The space it takes, in KiB.
                pub allocated_size_kib: Option<i64>,
                /// The space it gives, in KiB.
                pub usable_size_kib: Option<i64>,
                /// A word for its state.
                pub disk_state: Option<String>,
                $($($(#[$more_about])* pub $more: $type,)+)?
            }
        }
    };
}

layer! {
    "encryption", LuksResource: luks_volumes, LuksVolume {
        /// The device below.
        backing_device,
    } {
        /// Whether the device is open.
        opened: Option<bool>,
        /// Whether its key cannot be read.
        corrupted_key: Option<bool>,
    }
}
layer! { "a storage pool", StorageResource: storage_volumes, StorageVolume {} }
layer! {
    "NVMe", NvmeResource: nvme_volumes, NvmeVolume {
        /// The device below.
        backing_device,
    }
}
layer! {
    "dm-writecache", WritecacheResource: writecache_volumes, WritecacheVolume {
        /// The device with the cache.
        device_path_cache,
    }
}
layer! {
    "dm-cache", CacheResource: cache_volumes, CacheVolume {
        /// The device with the cache.
        device_path_cache,
        /// The device with the cache's metadata.
        device_meta_cache,
    }
}
layer! {
    "bcache", BcacheResource: bcache_volumes, BcacheVolume {
        /// The device with the cache.
        device_path_cache,
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
