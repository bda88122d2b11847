//! An object of any size from a stream: in parts, several of them on their way, in constant memory.
//!
//! The size of a stream is not known before its end, and an object has at most 10,000 parts. So parts grow: the first ones are
//! held in memory, the later ones in files without a name, one of which is filled while the others are sent. A part that is
//! on its way is kept until the store has it, so that it alone is sent again when that fails.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};
use thiserror::Error as ThisError;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinSet;

use crate::bucket::Bucket;
use crate::content::Content;
use crate::error::Error;
use crate::multipart::{PARTS_MAX, Part};

const MIB: u64 = 1024 * 1024;

/// Sizes of parts: up to which number they have which size. Together they hold 10 TiB.
const GROWTH: [(u16, u64); 3] = [(5000, 6 * MIB), (7500, 128 * MIB), (PARTS_MAX, 4096 * MIB)];

/// How an object is cut.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Up to which number parts have which size in bytes. All but the last part have at least 5 MiB.
    pub sizes: Vec<(u16, u64)>,
    /// Larger parts are held in files.
    pub in_memory_max: u64,
    /// Where these files are.
    pub directory: PathBuf,
    /// How many parts are on their way at a time.
    pub at_once: usize,
}

/// Why an object was not written. What was sent of it remains until the upload is aborted.
#[derive(Debug, ThisError)]
pub enum UploadError {
    /// The stream failed.
    #[error("the data cannot be read: {0}")]
    Read(io::Error),
    /// A part cannot be held in a file.
    #[error("no file for a part can be written in {directory}: {error}")]
    File {
        /// Where.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The stream is longer than objects can be.
    #[error("the data does not fit into {PARTS_MAX} parts")]
    TooLong,
}

impl Parts {
    /// Objects of up to 10 TiB, at most five parts of 6 MiB of them in memory.
    pub fn new(directory: PathBuf) -> Parts {
        Parts {
            sizes: GROWTH.to_vec(),
            in_memory_max: 6 * MIB,
            directory,
            at_once: 4,
        }
    }

    fn size(&self, number: u16) -> Option<u64> {
        let mut sizes = self.sizes.iter();
        sizes
            .find(|(last, _)| number <= *last)
            .map(|(_, size)| *size)
    }

    fn file_error(&self, error: io::Error) -> UploadError {
        UploadError::File {
            directory: self.directory.clone(),
            error,
        }
    }
}

/// A part that was read.
struct Filled {
    content: Content,
    md5: [u8; 16],
    is_last: bool,
}

impl Filled {
    /// Whether the store has this part already: an upload that was interrupted goes on.
    fn is(&self, part: &Part) -> bool {
        let hex: String = self.md5.iter().map(|byte| format!("{byte:02x}")).collect();
        part.bytes == self.content.len() && part.etag.trim_matches('"').eq_ignore_ascii_case(&hex)
    }
}

impl Bucket {
    /// Writes an object of parts from a stream, and completes it. `upload` is what [`Bucket::begin`] returned; parts that it
    /// has already, and that are the same, are not sent again. `sent` counts the bytes that the store has.
    ///
    /// # Errors
    ///
    /// When the stream or the store fails; then the upload has to be aborted, or is continued with the same stream.
    pub async fn write(
        &self,
        key: &str,
        upload: &str,
        from: &mut (dyn AsyncRead + Send + Unpin),
        parts: &Parts,
        sent: &Arc<AtomicU64>,
    ) -> Result<u64, UploadError> {
        let there = self.parts(key, upload).await?;
        let mut sending = Sending::new();
        let mut done: Vec<Part> = Vec::new();
        // Buffers of parts that were sent: the allocator would not give their memory back.
        let mut free: Vec<BytesMut> = Vec::new();
        for number in 1.. {
            let Some(size) = parts.size(number) else {
                match fill_memory(from, 1, BytesMut::new()).await?.content.len() {
                    0 => break,
                    _ => return Err(UploadError::TooLong),
                }
            };
            let filled = fill(from, parts, size, &mut free).await?;
            let is_last = filled.is_last;
            // An object has at least one part, which may be empty.
            if filled.content.len() > 0 || number == 1 {
                let known = there.iter().find(|part| part.number == number);
                if let Some(part) = known.filter(|part| filled.is(part)) {
                    sent.fetch_add(part.bytes, Ordering::Relaxed);
                    done.push(part.clone());
                } else {
                    if sending.len() >= parts.at_once {
                        done.extend(next(&mut sending, &mut free).await?);
                    }
                    let (bucket, key, upload) = (self.clone(), key.to_owned(), upload.to_owned());
                    let sent = Arc::clone(sent);
                    sending.spawn(async move {
                        let md5 = BASE64.encode(filled.md5);
                        let content = filled.content.clone();
                        let part = bucket
                            .put_content(&key, &upload, number, content, md5)
                            .await?;
                        sent.fetch_add(part.bytes, Ordering::Relaxed);
                        Ok((part, filled.content))
                    });
                }
            }
            // A failure is seen before more is read.
            while let Some(ended) = sending.try_join_next() {
                done.push(joined(ended, &mut free)?);
            }
            if is_last {
                break;
            }
        }
        while let Some(part) = next(&mut sending, &mut free).await? {
            done.push(part);
        }
        done.sort_by_key(|part| part.number);
        self.complete(key, upload, &done).await?;
        Ok(done.iter().map(|part| part.bytes).sum())
    }
}

/// Parts on their way, which come back with what they were.
type Sending = JoinSet<Result<(Part, Content), Error>>;

async fn next(sending: &mut Sending, free: &mut Vec<BytesMut>) -> Result<Option<Part>, Error> {
    let ended = sending.join_next().await;
    ended.map(|ended| joined(ended, free)).transpose()
}

fn joined(
    ended: Result<Result<(Part, Content), Error>, tokio::task::JoinError>,
    free: &mut Vec<BytesMut>,
) -> Result<Part, Error> {
    let (part, content) = ended.expect("it does not panic and is not aborted")?;
    if let Content::Memory(bytes) = content
        && let Ok(mut buffer) = bytes.try_into_mut()
    {
        buffer.clear();
        free.push(buffer);
    }
    Ok(part)
}

/// Reads a part: all of it, or what there is until the end.
async fn fill(
    from: &mut (dyn AsyncRead + Send + Unpin),
    parts: &Parts,
    size: u64,
    free: &mut Vec<BytesMut>,
) -> Result<Filled, UploadError> {
    match size <= parts.in_memory_max {
        true => fill_memory(from, size, free.pop().unwrap_or_default()).await,
        false => fill_file(from, parts, size).await,
    }
}

async fn fill_memory(
    from: &mut (dyn AsyncRead + Send + Unpin),
    size: u64,
    mut bytes: BytesMut,
) -> Result<Filled, UploadError> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    // Growing would take twice as much.
    bytes.reserve(size);
    while bytes.len() < size {
        let mut limited = (&mut *from).take(u64::try_from(size - bytes.len()).unwrap_or(u64::MAX));
        let read = limited.read_buf(&mut bytes).await;
        if read.map_err(UploadError::Read)? == 0 {
            break;
        }
    }
    let is_last = bytes.len() < size;
    let bytes = bytes.freeze();
    Ok(Filled {
        md5: Md5::digest(&bytes).into(),
        content: Content::Memory(bytes),
        is_last,
    })
}

async fn fill_file(
    from: &mut (dyn AsyncRead + Send + Unpin),
    parts: &Parts,
    size: u64,
) -> Result<Filled, UploadError> {
    let file = tempfile::tempfile_in(&parts.directory).map_err(|error| parts.file_error(error))?;
    let file = Arc::new(file);
    let (mut hash, mut filled) = (Md5::new(), 0);
    while filled < size {
        let piece = fill_memory(from, MIB.min(size - filled), BytesMut::new()).await?;
        let Content::Memory(bytes) = piece.content else {
            unreachable!("it was read into memory")
        };
        hash.update(&bytes);
        filled += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let into = Arc::clone(&file);
        let written = tokio::task::spawn_blocking(move || write_all(&into, &bytes));
        let written = written.await.map_err(io::Error::other);
        written
            .and_then(|written| written)
            .map_err(|error| parts.file_error(error))?;
        if piece.is_last {
            break;
        }
    }
    Ok(Filled {
        content: Content::File(file, filled),
        md5: hash.finalize().into(),
        is_last: filled < size,
    })
}

fn write_all(mut file: &std::fs::File, bytes: &Bytes) -> io::Result<()> {
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is a size for each part, and together they hold as much as is promised.
    #[test]
    fn parts_hold_ten_tebibytes() {
        let parts = Parts::new(PathBuf::new());
        let sizes = (1..=PARTS_MAX).map(|number| parts.size(number).unwrap());
        assert!(
            sizes
                .clone()
                .all(|size| (5 * MIB..=5120 * MIB).contains(&size))
        );
        assert!(sizes.sum::<u64>() > 10 * 1024 * 1024 * MIB);
        assert_eq!(parts.size(PARTS_MAX + 1), None);
    }
}
