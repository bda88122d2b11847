//! Errors of a connection between controller and satellite.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A connection could not be established, or failed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A frame to be sent or received exceeds the limit. The stream cannot be used any further.
    #[error("a frame of the {direction} direction exceeds {bytes_max} bytes")]
    FrameTooLarge {
        /// `incoming` or `outgoing`.
        direction: &'static str,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// A frame is not a message that this version knows.
    #[error(
        "a frame of {bytes} bytes is not a known message: {reason}; it begins with {excerpt:?}"
    )]
    NotUnderstood {
        /// Length of the frame.
        bytes: usize,
        /// The parser's message.
        reason: String,
        /// The beginning of the frame, bounded.
        excerpt: String,
    },
    /// The message cannot be written as JSON.
    #[error("the message cannot be written as JSON: {reason}")]
    NotWritable {
        /// The serializer's message.
        reason: String,
    },
    /// The peer closed the connection, or the stream failed.
    #[error("the connection is closed")]
    Closed {
        /// The error of the stream, if there was one.
        #[source]
        source: Option<io::Error>,
    },
    /// The connection to the address failed.
    #[error("no connection to {address}")]
    Dial {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The connection to the address was not established in time.
    #[error("no answer from {address} within {after:?}")]
    DialTimeout {
        /// The address.
        address: SocketAddr,
        /// The time limit.
        after: Duration,
    },
    /// Listening on the address failed.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}
