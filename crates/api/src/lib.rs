//! The words LINSTOR's REST API speaks: JSON types, kinds, reply codes, property keys and sizes.
//!
//! A pure crate: no I/O, no clock, no randomness. The wire between controller and satellite and the
//! model build on its kinds; the command line and the REST server build on its JSON types.
//!
//! Reading order: [`kind`] and [`reply`] first, then one module per noun.

pub mod code;
pub mod kind;
pub mod reply;
