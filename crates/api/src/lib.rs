//! The words LINSTOR's REST API speaks: JSON types, kinds, reply codes, property keys and sizes.
//!
//! A pure crate: no I/O, no clock, no randomness. The wire between controller and satellite and the
//! model build on its kinds; the command line and the REST server build on its JSON types.
//!
//! Reading order: [`kind`], [`name`] and [`reply`] first, then [`lenient`] (how every JSON type is read and written) and
//! [`request`] (how a server reads a body), then one module per noun. [`flag`], [`prop`] and [`drbd_option`] hold the
//! words that appear inside flags and property maps, [`drbd_state`] DRBD's states, [`tool_option`] what may be given to programs, [`size`] turns `10G` into numbers and back.

pub mod code;
pub mod drbd_option;
pub mod drbd_state;
pub mod error_report;
pub mod flag;
pub mod kind;
pub mod lenient;
pub mod list;
pub mod name;
pub mod prop;
pub mod reply;
pub mod request;
pub mod secret_text;
pub mod size;
pub mod snapshot;
pub mod sorted_map;
pub mod tool_option;
pub mod unit;

pub mod auth_token;
pub mod auto_select_filter;
pub mod backup;
pub mod config;
pub mod connection;
pub mod controller;
pub mod encryption;
pub mod external_file;
pub mod job;
pub mod key_value_store;
pub mod layer;
pub mod leftover;
pub mod net_interface;
pub mod node;
pub mod physical_storage;
pub mod properties;
pub mod query_size;
pub mod quorum;
pub mod reactor;
pub mod remote;
pub mod resource;
pub mod resource_definition;
pub mod resource_group;
pub mod schedule;
pub mod storage_pool;
pub mod storage_pool_definition;
pub mod volume;
pub mod volume_definition;
pub mod volume_group;
