//! What the controller does by itself, without being asked.

pub mod advance;
pub mod settle;
pub mod upkeep;
