//! Scenarios on fake machines.

mod chaos;
mod drbd;
mod events;
mod faults;
mod lab;
mod pipe;
mod storage;
mod transcripts;
