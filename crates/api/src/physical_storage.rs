//! Block devices of nodes, and pools that are made of them.

use crate::lenient::{Word, object};
use crate::properties::Properties;
use crate::sorted_map::SortedMap;

object! {
    /// Devices of one size and kind, of all nodes.
    pub struct PhysicalStorage {
        /// Size in bytes.
        pub size: i64,
        /// Whether they are rotating disks.
        pub rotational: bool,
        /// The devices of each node.
        pub nodes: SortedMap<String, Vec<PhysicalStorageDevice>>,
    }

    /// A device in a group of [`PhysicalStorage`].
    pub struct PhysicalStorageDevice {
        /// Path, for example `/dev/sdb`.
        pub device: String,
        /// Model, as the device reports it.
        pub model: String,
        /// Serial number.
        pub serial: String,
        /// World wide name.
        pub wwn: String,
        /// An addition to LINSTOR's answer: links in `/dev/disk/by-id`.
        pub links: Vec<String>,
        /// An addition: why no pool can be made of it; only in lists of all devices.
        pub reason: Option<String>,
    }

    /// A device of one node.
    pub struct PhysicalStorageNode {
        /// Size in bytes.
        pub size: i64,
        /// Whether it is a rotating disk.
        pub rotational: bool,
        /// See [`PhysicalStorageDevice`].
        pub device: String,
        /// See [`PhysicalStorageDevice`].
        pub model: String,
        /// See [`PhysicalStorageDevice`].
        pub serial: String,
        /// See [`PhysicalStorageDevice`].
        pub wwn: String,
        /// See [`PhysicalStorageDevice`].
        pub links: Vec<String>,
        /// See [`PhysicalStorageDevice`].
        pub reason: Option<String>,
    }

    /// A pool to make of devices.
    pub struct PhysicalStorageCreate {
        /// LVM, LVM_THIN, ZFS or ZFS_THIN.
        pub provider_kind: Word,
        /// Paths of the devices.
        pub device_paths: Vec<String>,
        /// `JBOD`, and for ZFS `RAID1`, `RAID5`, `RAID6` or `RAID10`.
        pub raid_level: Word,
        /// Volume group, zpool, or `VG/POOL`.
        pub pool_name: String,
        /// Deduplication and compression below LVM.
        pub vdo_enable: bool,
        /// Size of VDO's slabs.
        pub vdo_slab_size_kib: i64,
        /// Size of the VDO volume.
        pub vdo_logical_size_kib: i64,
        /// The storage pool to create on it.
        pub with_storage_pool: Option<PhysicalStoragePool>,
        /// Self-encrypting disks get a password.
        pub sed: bool,
        /// Further arguments of `pvcreate`.
        pub pv_create_arguments: Vec<String>,
        /// Further arguments of `vgcreate`.
        pub vg_create_arguments: Vec<String>,
        /// Further arguments of `lvcreate`.
        pub lv_create_arguments: Vec<String>,
        /// Further arguments of `zpool create`.
        pub zpool_create_arguments: Vec<String>,
        /// An addition: signatures on the devices are erased.
        pub wipe_signatures: Option<bool>,
    }

    /// The storage pool to create on a new pool.
    pub struct PhysicalStoragePool {
        /// Its name.
        pub name: String,
        /// Its properties.
        pub props: Properties,
        /// The name under which it shares its space.
        pub shared_space: Option<String>,
        /// Whether changes of the shared space are serialized by something else.
        pub external_locking: bool,
    }
}
