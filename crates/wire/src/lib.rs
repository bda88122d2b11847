//! The protocol between controller and satellite.
//!
//! Frames are length-prefixed JSON of one closed enum per direction: [`ToSatellite`] and [`ToController`]. JSON,
//! because a capture can be read by a person and because a reader ignores members that it does not know, which is what
//! neighbouring versions need. Configuration travels as specs ([`spec`]), each of one object ([`key`]) and each read by
//! itself ([`wanted`]); observations travel as status ([`status`]); what is asked for once, as [`question`].
//!
//! The controller dials; a satellite never does. The conversation (all numbers grow, nothing is ever re-used):
//!
//! ```text
//! controller                                  satellite
//!   Hello{epoch}            ->
//!                           <-                  Welcome{info} | Refused
//!   SyncBegin               ->
//!   Apply{specs}...         ->                  (every object once, the node first, in chunks)
//!   SyncEnd                 ->
//!                           <-                  Space, Status..., Synced
//!   Apply{specs,forget}     ->                  (whenever a spec changed)
//!                           <-                  Applied (per object), Status, Space (whenever they changed)
//!   Ask{id,question}        ->
//!                           <-                  Answer{id,answer}
//! ```

pub mod auth_token;
pub mod digest;
pub mod key;
pub mod message;
mod newer;
pub mod question;
pub mod secret;
pub mod spec;
pub mod status;
pub mod wanted;

pub use key::Key;
pub use message::{ToController, ToSatellite};
pub use secret::Secret;
pub use wanted::Wanted;
