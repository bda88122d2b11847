//! What a request carries: bytes in memory, or a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

/// How much of a file is in memory at a time.
const PIECE_BYTES: u64 = 256 * 1024;

/// The body of a request.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body with bytes.
pub fn body(bytes: Bytes) -> Body {
    Content::from(bytes).to_body()
}

/// What a request carries; it can be sent several times.
#[derive(Clone)]
pub enum Content {
    /// Bytes.
    Memory(Bytes),
    /// The first bytes of a file.
    File(Arc<File>, u64),
}

impl Default for Content {
    fn default() -> Self {
        Content::Memory(Bytes::new())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Content::Memory(bytes)
    }
}

impl Content {
    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match self {
            Content::Memory(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Content::File(_, bytes) => *bytes,
        }
    }

    /// A body with it.
    pub fn to_body(&self) -> Body {
        match self {
            Content::Memory(bytes) => Full::new(bytes.clone())
                .map_err(|never| match never {})
                .boxed_unsync(),
            Content::File(file, bytes) => {
                let pieces = pieces(Arc::clone(file), *bytes);
                StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
            }
        }
    }
}

fn pieces(
    file: Arc<File>,
    bytes: u64,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::try_unfold(0, move |at| {
        let file = Arc::clone(&file);
        async move {
            if at == bytes {
                return Ok(None);
            }
            let size = PIECE_BYTES.min(bytes - at);
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; usize::try_from(size).map_err(io::Error::other)?];
                file.read_exact_at(&mut piece, at)?;
                Ok::<_, io::Error>(Bytes::from(piece))
            });
            let piece = read.await.map_err(io::Error::other)??;
            Ok(Some((piece, at + size)))
        }
    })
}
