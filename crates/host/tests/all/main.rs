//! Scenarios on the fake machines, and the real one's own peculiarities.

mod chaos;
mod drbd;
mod events;
mod faults;
mod lab;
mod real;
mod storage;
