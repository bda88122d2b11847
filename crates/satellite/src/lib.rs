//! The satellite: brings a node to its specs, and reports the node's state.
//!
//! In reading order: [`satellite`] is the whole thing as one object; [`link`] talks with the controller and puts
//! specs into [`shared`], by way of [`spec_store`]; [`reconcile`] brings each resource to its spec through the
//! [`layers`] (storage below, DRBD above), which use [`providers`] (one per kind of pool), [`drbd`] and [`tools`];
//! [`questions`] answers what the controller asks apart from specs;
//! [`suspension`] holds suspensions of I/O, apart from all of that;
//! [`watch`] follows DRBD's events; [`facts`] keeps the node's capabilities up to date with [`probe`]; these,
//! [`status`] and [`space`] report through [`outbox`].
//!
//! Three rules hold everywhere. Applying a spec twice runs no changing command the second time. Applying it after a
//! failure or crash at any point reaches it. And what cannot be proven to be ours is never changed or destroyed.

pub mod auth_token;
pub mod block_devices;
pub mod check;
pub mod copying;
pub mod device_pool;
pub mod drbd;
pub mod external_file;
pub mod facts;
pub mod failure;
pub mod layers;
pub mod leftovers;
pub mod link;
pub mod machine;
pub mod observation;
pub mod options;
pub mod outbox;
pub mod probe;
pub mod providers;
pub mod questions;
pub mod reconcile;
pub mod satellite;
pub mod shared;
pub mod shipment;
pub mod snapshot;
pub mod space;
pub mod spec_store;
pub mod status;
pub mod stop;
pub mod support;
pub mod suspension;
pub mod thin_stream;
pub mod tools;
pub mod turns;

pub use options::Options;
pub use satellite::Satellite;
pub mod zfs_stream;
