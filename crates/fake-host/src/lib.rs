//! Machines in memory as [`linstor_host::Host`], for tests: tools, files, devices and the DRBD kernel module. No
//! release contains this crate.
//!
//! The content of devices is modelled for block storage and DRBD, since replication and deletion are about content.
//! Every other tool is modelled by its state only.
//!
//! In reading order: [`FakeCluster`] is what a test uses, [`FakeHost`] is one of its machines; `world` is the whole
//! state, `machine` that of one machine; then one module per family of tools. Tools print what the real ones print, and
//! an option that the fake does not implement is a distinct error, never a success.
//!
//! Time is tokio's, random numbers come from one seed, and nothing depends on the order of a hash map.

mod args;
mod block_tools;
mod cluster;
mod content;
mod crypt;
mod data;
mod drbd;
mod fault;
mod files;
mod host;
mod images;
mod journal;
mod lvm;
mod machine;
mod mapper;
mod pipe;
mod programs;
mod signature;
mod tool;
mod world;
mod zfs;
mod zstd;

pub use cluster::{FakeCluster, VolumeState};
pub use drbd::{AppIo, DrbdKind};
pub use fault::{Effect, Fault, Match};
pub use host::FakeHost;
pub use journal::{Completion, Entry};
pub use world::Config;
