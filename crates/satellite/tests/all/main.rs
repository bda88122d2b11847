//! The satellite on fake machines, driven over its own wire.

mod bench;
mod device_pool;
mod drbd;
mod external_file;
mod external_metadata;
mod facts;
mod failing_disk;
mod growth;
mod last_copy;
mod leftovers;
mod link;
mod luks;
mod real;
mod resfile;
mod restored;
mod shared;
mod shipping;
mod sizes;
mod snapshots;
mod storage;
mod suspension;
mod trouble;
mod waiting;
