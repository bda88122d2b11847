//! The whole cluster in one process: the real controller and real satellites on fake machines, on paused time, with
//! seeded faults.
//!
//! In reading order: [`run`] runs one seed; [`cluster`] has the processes, [`net`] the connections between them, and
//! [`env`](mod@env) the clock and random numbers of the seed; [`workload`] is what users and applications do, [`fault`]
//! injects faults; [`check`] has the invariants that hold once all faults are repaired; [`anomaly`] makes every single
//! step of a scenario fail, [`held`] damages rows; [`newer`] has peers of the next version; [`trace`] is the list of
//! events.
//!
//! The same seed gives the same trace: there is one thread, one clock, and one source of random numbers.

pub mod anomaly;
pub mod check;
pub mod cluster;
pub mod env;
pub mod fault;
pub mod held;
pub mod net;
pub mod newer;
pub mod run;
pub mod trace;
pub mod workload;

pub use cluster::Sim;
pub use run::{Parameters, Report};
