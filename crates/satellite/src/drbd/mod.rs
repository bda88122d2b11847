//! DRBD: its files, programs, metadata and events. One file per concern, no policy here.

pub mod adm;
pub mod events;
pub mod metadata;
pub mod picture;
pub mod resfile;
pub mod status;
