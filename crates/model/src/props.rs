//! Properties: names and values at nearly every object, their rules, and how they are inherited (spec core 2).
//!
//! [`inherit`] says whose value counts for which purpose; [`drbd`] and [`storage`] turn values into what specs carry.

pub mod drbd;
pub mod inherit;
pub mod storage;

pub use drbd::{
    ConnectionOptions, DrbdOptions, address_of, connection_options, drbd_options,
    volume_disk_options,
};
pub use inherit::{Chain, Level, Purpose, Scope, chain, effective};
pub use storage::{node_props, pool_props, volume_props};

const DRBD_RESOURCE: &str = "DrbdOptions/Resource";
const DRBD_NET: &str = "DrbdOptions/Net";
const DRBD_DISK: &str = "DrbdOptions/Disk";
const DRBD_PEER_DEVICE: &str = "DrbdOptions/PeerDevice";
const DRBD_HANDLERS: &str = "DrbdOptions/Handlers";
const AUTO_VERIFY_ALGO: &str = "DrbdOptions/auto-verify-algo";
const AUTO_VERIFY_ALGO_DISABLE: &str = "DrbdOptions/auto-verify-algo-disable";
const AUTO_RS_DISCARD_GRANULARITY: &str = "DrbdOptions/auto-rs-discard-granularity";
const AUTO_DISCARD_GRANULARITY: &str = "Linstor/Drbd/auto-discard-granularity";
const PREF_NIC: &str = "PrefNic";
const STOR_DRIVER: &str = "StorDriver";
const FILE_SYSTEM: &str = "FileSystem";

/// Whether a value means yes: users and the controller write booleans differently.
pub fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("yes")
}
