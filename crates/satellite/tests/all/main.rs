//! The satellite on fake machines, driven over its own wire.

mod bench;
mod drbd;
mod failing_disk;
mod link;
mod storage;
