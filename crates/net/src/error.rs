//! What can go wrong on a link.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A link could not be made, or is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The peer sent, or we were about to send, a frame above the limit. The stream cannot be read on.
    #[error("a frame of the {direction} direction exceeds {bytes_max} bytes")]
    FrameTooLarge {
        /// `incoming` or `outgoing`.
        direction: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// A frame is not a message that this version understands.
    #[error(
        "a frame of {bytes} bytes is not a known message: {reason}; it begins with {excerpt:?}"
    )]
    NotUnderstood {
        /// How long the frame is.
        bytes: usize,
        /// The parser's words.
        reason: String,
        /// The frame's beginning, bounded.
        excerpt: String,
    },
    /// The message cannot be written as JSON.
    #[error("the message cannot be written as JSON: {reason}")]
    NotWritable {
        /// The serializer's words.
        reason: String,
    },
    /// The peer is gone, or the stream failed.
    #[error("the connection is closed")]
    Closed {
        /// Why, if the stream said so.
        #[source]
        source: Option<io::Error>,
    },
    /// Nobody could be reached at the address.
    #[error("no connection to {address}")]
    Dial {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address did not answer in time.
    #[error("no answer from {address} within {after:?}")]
    DialTimeout {
        /// The address.
        address: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}
