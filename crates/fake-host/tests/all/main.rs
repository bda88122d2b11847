//! Scenarios on fake machines.

mod chaos;
mod drbd;
mod events;
mod faults;
mod lab;
mod storage;
