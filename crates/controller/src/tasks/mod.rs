//! What the controller does by itself, without being asked.

pub mod advance;
pub mod balance;
pub mod settle;
pub mod upkeep;
