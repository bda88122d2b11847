//! An object on its way to whoever reads its stream.

use std::sync::atomic::AtomicU64;

use linstor_host::{Cmd, Deadline, Host, Pipe, PipeCause, PipeError};
use linstor_s3::{Bucket, DownloadError};
use linstor_wire::spec::ReceivedObject;
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, DuplexStream};

use super::{BUFFER, STALL};
use crate::thin_stream::StreamError;

/// Why an object was not read to its end.
#[derive(Debug, Error)]
pub(super) enum Broken {
    /// It was not downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A program failed, as zstd does of what is damaged.
    #[error(transparent)]
    Program(#[from] PipeError),
    /// Its stream is damaged, or was not taken.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Reads a stream through zstd. Does not end when the result is not read any more: the reader has the reason.
pub(super) async fn decompress(
    host: &dyn Host,
    packed: &mut DuplexStream,
    plain: &mut DuplexStream,
) -> Result<(), PipeError> {
    let pipe = Pipe::new(Cmd::new("zstd").args(["--decompress", "--stdout", "--quiet"]));
    let pipe = pipe.deadline(Deadline::stall(STALL));
    match host.pipe(pipe, Some(packed), Some(plain)).await {
        Err(error) if matches!(error.cause, PipeCause::Write(_)) => {
            tracing::debug!(%error, "the stream is not read any more");
            std::future::pending().await
        }
        ended => ended.map(drop),
    }
}

/// Downloads an object through zstd into `plain`, while `read` reads the other end of that.
pub(super) async fn unpack(
    host: &dyn Host,
    bucket: &Bucket,
    object: &ReceivedObject,
    received: &AtomicU64,
    mut plain: DuplexStream,
    read: impl Future<Output = Result<(), Broken>> + Send,
) -> Result<(), Broken> {
    let (mut packed, mut from) = tokio::io::duplex(BUFFER);
    // What is shut down is whole.
    let download = async {
        let into: &mut (dyn AsyncWrite + Send + Unpin) = &mut packed;
        let read = bucket.read_into(&object.key, object.bytes, into, received);
        read.await.map_err(Broken::from)?;
        let ended = packed.shutdown().await;
        ended.map_err(|error| Broken::from(StreamError::Stream(error)))
    };
    let unpack = async {
        let ended = decompress(host, &mut from, &mut plain).await;
        ended.map_err(Broken::from)
    };
    tokio::try_join!(download, unpack, read).map(drop)
}
