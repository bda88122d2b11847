//! An object of any size into a stream; what breaks off goes on where it was.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt as _;
use hyper::header::{CONTENT_RANGE, ETAG, IF_MATCH, RANGE};
use hyper::{Response, StatusCode, body::Incoming};
use thiserror::Error as ThisError;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::request::{Sent, Signer};

/// How often in a row a connection may break without a byte in between.
const BREAKS_MAX: u32 = 5;

/// Why an object was not read to its end.
#[derive(Debug, ThisError)]
pub enum DownloadError {
    /// The stream failed.
    #[error("the data cannot be written: {0}")]
    Write(io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The object is not as long as it should be.
    #[error("the object '{key}' has {found} bytes instead of {expected}")]
    Length {
        /// The object.
        key: String,
        /// What there was.
        found: u64,
        /// What a listing said.
        expected: u64,
    },
    /// The object was replaced meanwhile.
    #[error("the object '{0}' was replaced while it was read")]
    Replaced(String),
}

impl Bucket {
    /// Reads an object of this size into a stream. `received` counts the bytes.
    ///
    /// # Errors
    ///
    /// When the store or the stream fails, or the object is not what it was when it was listed.
    pub async fn read_into(
        &self,
        key: &str,
        bytes: u64,
        into: &mut (dyn AsyncWrite + Send + Unpin),
        received: &AtomicU64,
    ) -> Result<(), DownloadError> {
        let what = format!("reading the object '{}'", key.escape_debug());
        let (mut at, mut etag, mut breaks) = (0_u64, None::<String>, 0);
        loop {
            let response = self.open_at(&what, key, at, etag.as_deref()).await;
            let response = match response {
                Err(Error::Answered(answered)) if answered.status == 412 => {
                    return Err(DownloadError::Replaced(key.to_owned()));
                }
                response => response?,
            };
            if at > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                let reason = "the store does not go on where it was".to_owned();
                return Err(Error::Unreadable { what, reason }.into());
            }
            let found = response.headers().get(ETAG);
            etag = found.and_then(|etag| Some(etag.to_str().ok()?.to_owned()));
            let before = at;
            let broken = self.copy(response, into, &mut at, received).await?;
            if at > bytes || broken.is_none() {
                break;
            }
            let Some(error) = broken.filter(|_| at < bytes) else {
                break;
            };
            breaks = if at > before { 1 } else { breaks + 1 };
            if breaks > BREAKS_MAX {
                return Err(error.into());
            }
            tracing::debug!("{error}; going on at byte {at}");
        }
        match at == bytes {
            true => Ok(()),
            false => Err(DownloadError::Length {
                key: key.to_owned(),
                found: at,
                expected: bytes,
            }),
        }
    }

    async fn open_at(
        &self,
        what: &str,
        key: &str,
        at: u64,
        etag: Option<&str>,
    ) -> Result<Response<Incoming>, Error> {
        let mut headers = Vec::new();
        if at > 0 {
            headers.push((RANGE, format!("bytes={at}-")));
            headers.extend(etag.map(|etag| (IF_MATCH, etag.to_owned())));
        }
        let sent = Sent {
            headers: &headers,
            ..Sent::default()
        };
        let sign = |signer: &Signer<'_>| {
            signer.sign(signer.bucket.get_object(Some(signer.credentials), key))
        };
        let response = self.call(what, sent, sign).await?;
        let range = response.headers().get(CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let begins = range.is_none_or(|range| range.starts_with(&format!("bytes {at}-")));
        match begins {
            true => Ok(response),
            false => Err(Error::Unreadable {
                what: what.to_owned(),
                reason: "it begins elsewhere than asked for".to_owned(),
            }),
        }
    }

    /// Copies until the end, or until the connection breaks. Returns why it broke.
    async fn copy(
        &self,
        response: Response<Incoming>,
        into: &mut (dyn AsyncWrite + Send + Unpin),
        at: &mut u64,
        received: &AtomicU64,
    ) -> Result<Option<Error>, DownloadError> {
        let mut body = response.into_body();
        loop {
            let frame = match timeout(self.0.timeout, body.frame()).await {
                Err(_) => return Ok(Some(self.late(self.0.timeout))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Ok(Some(self.unreachable(&error))),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                into.write_all(&data).await.map_err(DownloadError::Write)?;
                let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                *at += bytes;
                received.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }
}
