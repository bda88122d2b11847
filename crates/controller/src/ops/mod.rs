//! What callers can ask for: one file or directory per noun, verbs over the functions of the model, no HTTP.
//!
//! Every changing verb runs the same way (see [`request`]): it parses, plans on a draft, makes one atomic commit, waits within
//! limits for the satellites, and answers with replies. What follows from the change without being asked for is settled by
//! the writer (see [`crate::settle`]). A reading verb takes a snapshot and never waits. [`name`] turns text into names and
//! rows, [`property`] checks properties, [`reply`] holds replies that many verbs give.

pub mod auth_token;
pub mod autoplace;
pub mod backup;
pub mod config;
pub mod connection;
pub mod controller;
pub mod database;
pub mod encryption;
pub mod error_report;
pub mod event;
pub mod external_file;
pub mod filter;
pub mod job;
pub mod key_value_store;
pub mod leftover;
pub mod metrics;
pub mod name;
pub mod net_interface;
pub mod node;
pub mod physical_storage;
pub mod property;
pub mod query_size;
pub mod reactor;
pub mod remote;
pub mod reply;
pub mod request;
pub mod resource;
pub mod resource_definition;
pub mod resource_group;
pub mod schedule;
pub mod select_filter;
pub mod snapshot;
pub mod sos_report;
pub mod statistics;
pub mod storage_pool;
pub mod storage_pool_definition;
pub mod volume;
pub mod volume_definition;
pub mod volume_group;
