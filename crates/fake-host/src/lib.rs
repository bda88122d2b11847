//! Machines in memory behind [`linstor_host::Host`], for tests: tools, files, devices and the kernel's DRBD. No release
//! contains this crate.
//!
//! The content of devices is modelled for block storage and DRBD, since replication and deletion are about content.
//! Every other tool is a table of states.
//!
//! In reading order: [`FakeCluster`] is what a test holds, [`FakeHost`] is one of its machines; `world` is all state
//! there is, `machine` one machine's; then one module per family of tools. Tools print what the real ones print, and
//! what the fake does not know about a tool is an error of its own, never a success.
//!
//! Time is tokio's, randomness comes from one seed, and nothing depends on the order of a hash map.

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
pub use journal::{Entry, Outcome};
pub use world::Config;
