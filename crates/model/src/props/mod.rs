//! Properties: names and values of nearly every object, their rules, and their inheritance.
//!
//! [`inherit`] defines whose value counts for which purpose; [`drbd`] and [`storage`] turn values into parts of specs.

pub mod conflict;
pub mod drbd;
pub mod inherit;
pub mod storage;

pub use drbd::{
    ConnectionOptions, DrbdOptions, address_of, connection_options, day0_gi, drbd_options,
    force_initial_sync, volume_disk_options,
};
pub use inherit::{Chain, Level, Purpose, Scope, below, chain, effective};
pub use storage::{file_system, pool_props, satellite_props, volume_storage_props};

pub use linstor_api::prop::is_true;

const STOR_DRIVER: &str = "StorDriver";
const FILE_SYSTEM: &str = "FileSystem";

#[cfg(test)]
mod tests;
