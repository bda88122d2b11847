//! The connection between controller and satellite: frames on a byte stream, and TCP as that byte stream.
//!
//! In reading order: [`Connection`] turns any byte stream into two streams of messages, [`tcp`] creates byte streams,
//! [`NetError`] is the error of both. Nothing in [`Connection`] depends on the kind of stream: it
//! may be one over TLS, and in tests a pipe in memory.

mod connection;
mod error;
pub mod tcp;

pub use connection::{Connection, Receiver, Sender};
pub use error::NetError;

use linstor_wire::{ToController, ToSatellite};

/// The controller's end of a connection.
pub type ControllerSide = Connection<ToSatellite, ToController>;

/// The satellite's end of a connection.
pub type SatelliteSide = Connection<ToController, ToSatellite>;
