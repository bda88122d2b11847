//! What controller and satellite say to each other.
//!
//! Frames are length-prefixed JSON of one closed enum per direction: [`ToSatellite`] and [`ToController`]. JSON, because
//! a capture can be read by a person and because a reader passes over fields that it does not know, which is what
//! neighbouring versions need. Configuration travels as specs ([`spec`]), observations as status ([`status`]).
//!
//! The controller dials; a satellite never does. The conversation (all numbers grow, nothing is ever re-used):
//!
//! ```text
//! controller                                  satellite
//!   Hello{epoch}            ->
//!                           <-                  Welcome{info} | Refused
//!   SyncBegin{node}         ->
//!   Apply{resources}...     ->                  (every resource once, in chunks)
//!   SyncEnd                 ->
//!                           <-                  Space, Status..., Synced
//!   Apply{resources,forget} ->                  (whenever a spec changed)
//!                           <-                  Applied (per resource), Status, Space (whenever they changed)
//! ```

pub mod message;
pub mod secret;
pub mod spec;
pub mod status;

pub use message::{ToController, ToSatellite};
pub use secret::Secret;
