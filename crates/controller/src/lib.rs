//! The controller: the cluster handle, the operations behind the REST API, the links to the satellites, and what it does
//! by itself.
//!
//! Reading order: [`cluster`] (reads and commits), [`writer`] (how a commit becomes durable), [`observing`] (what
//! becomes of a commit and of what nodes say), [`link`] (one task per satellite), [`wait`], [`tasks`], [`start`],
//! [`program`].

pub mod cluster;
pub mod config;
pub mod env;
mod epoch;
pub mod jobs;
pub mod link;
pub mod observing;
pub mod ops;
pub mod program;
pub mod rest;
pub mod start;
pub mod tasks;
pub mod wait;
pub mod writer;

pub use cluster::{Cluster, Committed, Superseded};
pub use start::{Controller, Options};
