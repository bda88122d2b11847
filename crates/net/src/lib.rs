//! The link between controller and satellite: frames on a byte stream, and TCP as that byte stream.
//!
//! In reading order: [`Connection`] turns any byte stream into two streams of messages, [`tcp`] makes byte streams,
//! [`NetError`] says what can go wrong. TLS will be one more maker of byte streams beside [`tcp`]: nothing in
//! [`Connection`] knows what carries it, which is also how tests run over an in-memory pipe.

mod connection;
mod error;
pub mod tcp;

pub use connection::{Connection, Receiver, Sender};
pub use error::NetError;

use linstor_wire::{ToController, ToSatellite};

/// A connection as the controller holds it.
pub type ControllerSide = Connection<ToSatellite, ToController>;

/// A connection as the satellite holds it.
pub type SatelliteSide = Connection<ToController, ToSatellite>;
