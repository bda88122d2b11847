//! Programs, one file each: typed arguments in, typed results out. No policy here.

pub mod cryptsetup;
pub mod error;
pub mod files;
pub mod filesystem;
pub mod losetup;
pub mod lsblk;
pub mod lvm;
pub mod option_line;
pub mod thin;
pub mod volume_group;
pub mod zfs;
