//! The whole cluster in one process: the real controller and real satellites on fake machines, on paused time, with
//! seeded faults.
//!
//! In reading order: [`run`] is what one seed is from its first to its last second; [`cluster`] holds the processes and
//! what may befall them, on the wires of [`net`], with the [`env`](mod@env) of the seed; [`workload`] is what users and
//! applications do, [`fault`] what goes wrong; [`check`] says what must be true once everything is mended;
//! [`anomaly`] lets every single step of a scenario fail, [`held`] damages rows; [`newer`] has
//! peers of the next version; [`trace`] tells what happened.
//!
//! The same seed gives the same trace: there is one thread, one clock, and one source of randomness.

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
pub use run::{Plan, Report};
