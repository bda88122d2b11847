//! The controller: the cluster handle, the operations behind the REST API, the links to the satellites, and what it
//! does by itself.
//!
//! Reading order: [`cluster`] (reads and commits), [`transaction`] and [`settle`] (how a change is planned), [`writer`]
//! (how a commit becomes durable), [`observing`] (what becomes of a commit and of what nodes report), [`link`] (one
//! task per satellite), [`wait`], [`tasks`], [`start`], [`program`].

mod archive;
pub mod cluster;
pub mod commit;
pub mod config;
mod due;
pub mod env;
mod epoch;
pub mod error_report;
mod https;
pub mod jobs;
pub mod link;
mod mailbox;
pub mod observing;
pub mod ops;
pub mod program;
pub mod rest;
mod settle;
pub mod start;
mod store_request;
pub mod tasks;
pub mod transaction;
mod turns;
pub mod wait;
mod waiters;
pub mod writer;

pub use cluster::{Cluster, Superseded};
pub use commit::Committed;
pub use start::{Controller, Options};
pub use transaction::{Refusal, Transaction};
