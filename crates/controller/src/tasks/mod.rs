//! What the controller does by itself, without being asked.

pub mod advance;
pub mod auto_snapshot;
pub mod backup;
pub mod balance;
pub mod scheduled_backup;
pub mod settle;
mod shipping;
pub mod upkeep;
