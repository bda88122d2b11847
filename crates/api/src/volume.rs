//! A volume: one numbered part of a resource.

use crate::layer::VolumeLayer;
use crate::lenient::{Word, object};
use crate::properties::Properties;
use crate::reply::Reply;
use crate::sorted_map::SortedMap;

object! {
    /// A volume of a resource.
    pub struct Volume {
        /// Its number.
        pub volume_number: Option<i32>,
        /// The pool it is in.
        pub storage_pool_name: Option<String>,
        /// What the pool is made of (see [`crate::kind::ProviderKind`]).
        pub provider_kind: Option<Word>,
        /// The device of its topmost layer; missing until there is one.
        pub device_path: Option<String>,
        /// The space it takes in the pool, in KiB; missing when unknown.
        pub allocated_size_kib: Option<i64>,
        /// The space it gives, in KiB.
        pub usable_size_kib: Option<i64>,
        /// Properties.
        pub props: Properties,
        /// Flags (see [`crate::flag::volume`]).
        pub flags: Vec<Word>,
        /// What its satellite last reported of it; missing when it reported nothing.
        pub state: Option<VolumeState>,
        /// Its layers, top first.
        pub layer_data_list: Vec<VolumeLayer>,
        /// Unique id.
        pub uuid: Option<String>,
        /// What is wrong with it at the moment.
        pub reports: Vec<Reply>,
    }

    /// What a satellite says of a volume.
    pub struct VolumeState {
        /// DRBD's word, for example `UpToDate` or `SyncTarget(37.50%)`.
        pub disk_state: Option<String>,
        /// By peer.
        pub replication_states: SortedMap<String, ReplicationState>,
    }

    /// The replication of a volume with one peer.
    pub struct ReplicationState {
        /// DRBD's word, for example `Established`.
        pub replication_state: Option<String>,
        /// How far a running resync is.
        pub done_percentage: Option<f64>,
    }
}
