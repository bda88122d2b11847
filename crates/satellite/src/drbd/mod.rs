//! DRBD: its layer, its files, programs, metadata and events.

pub mod adjust;
pub mod adm;
pub mod ends;
pub mod events;
pub mod foreign;
pub mod grow;
pub mod last_copy;
pub mod layer;
pub mod mending;
pub mod metadata;
pub mod observed;
pub mod pinned;
pub mod promotion;
pub mod resfile;
pub mod status;
pub mod steps;
pub mod v84;
pub mod watch;
