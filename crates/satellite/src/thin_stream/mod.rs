//! The stream that `thin_send` writes and `thin_recv` reads (LINBIT's thin-send-recv, format 1.1): what the volumes of an
//! LVM thin pool hold, all of it or what changed since a snapshot. LINSTOR's backups are made of it.
//!
//! All numbers are big-endian. Each chunk has a header of 28 bytes: magic (8), offset (8) and length (8) in bytes, command
//! (4). The first one begins the stream, the last one ends it and has the counts of what was between, so that a
//! stream that breaks off is known. Only blocks that are mapped are part of it; what changed is told by `thin_delta`, what
//! there is by `thin_dump` ([`map`]).

pub mod map;

use std::io;

use async_trait::async_trait;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use map::Range;

/// Format 1.1.
const MAGIC: u64 = 0x24c4_f02a_ae2e_4fa9;
/// Format 1.0, which has neither a begin nor an end: a stream that breaks off between two chunks is not known as such.
const MAGIC_1_0: u64 = 0xca7f_00d5_de7e_c7ed;
/// Bytes of a header.
const HEADER: usize = 28;
/// Bytes of the counts at the end.
const COUNTS: usize = 24;
/// How much of a volume is in memory at a time.
const PIECE_BYTES: u64 = 1024 * 1024;

const DATA: u32 = 0;
const UNMAP: u32 = 1;
const BEGIN: u32 = 2;
const END: u32 = 3;
/// A chunk with such a command may be left out by those who do not know it.
const OPTIONAL: u32 = 1 << 31;

/// Why a stream was not carried to its end.
#[derive(Debug, Error)]
pub enum StreamError {
    /// It is not what `thin_send` writes, or it was changed.
    #[error("the stream is damaged: {0}")]
    Damaged(String),
    /// It breaks off.
    #[error("the stream breaks off after {0} bytes")]
    Truncated(u64),
    /// It is of a larger volume.
    #[error("the stream has data at byte {end}, beyond the volume's {bytes} bytes")]
    TooLarge {
        /// Where its data ends.
        end: u64,
        /// The volume's size.
        bytes: u64,
    },
    /// The volume cannot be read or written.
    #[error("the volume: {0}")]
    Volume(io::Error),
    /// The stream cannot be read or written.
    #[error("the stream: {0}")]
    Stream(io::Error),
}

/// A volume that is sent.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads so many bytes.
    async fn read(&self, offset: u64, bytes: u64) -> io::Result<Vec<u8>>;
}

/// A volume that is filled.
#[async_trait]
pub trait Target: Send {
    /// Writes these bytes.
    async fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Removes what is there, so that it reads as zeros.
    async fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()>;
}

/// What a stream has had so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    chunks: u64,
    data: u64,
    unmap: u64,
}

impl Counts {
    fn to_bytes(self) -> [u8; COUNTS] {
        let mut bytes = [0; COUNTS];
        let numbers = [self.chunks, self.data, self.unmap];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn count(&mut self, command: u32) {
        self.chunks += 1;
        match command {
            DATA => self.data += 1,
            UNMAP => self.unmap += 1,
            _ => {}
        }
    }
}

fn header(offset: u64, length: u64, command: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC.to_be_bytes());
    bytes[8..16].copy_from_slice(&offset.to_be_bytes());
    bytes[16..24].copy_from_slice(&length.to_be_bytes());
    bytes[24..].copy_from_slice(&command.to_be_bytes());
    bytes
}

/// Sends ranges of a volume of this size. A mapped block that ends beyond the volume is sent up to its end.
///
/// # Errors
///
/// When the volume or the stream fails, or a range cannot be read.
pub async fn send(
    ranges: impl IntoIterator<Item = Result<Range, String>, IntoIter: Send>,
    volume_bytes: u64,
    from: &dyn Source,
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(), StreamError> {
    let mut counts = Counts::default();
    let write = StreamError::Stream;
    to.write_all(&header(0, 0, BEGIN)).await.map_err(write)?;
    counts.count(BEGIN);
    for range in ranges {
        let range = range.map_err(StreamError::Damaged)?;
        let end = range.offset.saturating_add(range.bytes).min(volume_bytes);
        let Some(bytes) = end.checked_sub(range.offset).filter(|bytes| *bytes > 0) else {
            continue;
        };
        let command = if range.is_mapped { DATA } else { UNMAP };
        let head = header(range.offset, bytes, command);
        to.write_all(&head).await.map_err(write)?;
        counts.count(command);
        if !range.is_mapped {
            continue;
        }
        let mut at = range.offset;
        while at < end {
            let piece = PIECE_BYTES.min(end - at);
            let content = from.read(at, piece).await.map_err(StreamError::Volume)?;
            if u64::try_from(content.len()).ok() != Some(piece) {
                let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(StreamError::Volume(error));
            }
            to.write_all(&content).await.map_err(write)?;
            at += piece;
        }
    }
    counts.count(END);
    let head = header(0, COUNTS as u64, END);
    to.write_all(&head).await.map_err(write)?;
    to.write_all(&counts.to_bytes()).await.map_err(write)?;
    to.flush().await.map_err(write)
}

/// Reads a stream, and knows where in it it is.
struct Reader<'a> {
    from: &'a mut (dyn AsyncRead + Send + Unpin),
    at: u64,
}

impl Reader<'_> {
    /// Fills the buffer; false at the end of the stream.
    async fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, StreamError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read = self.from.read(&mut buffer[filled..]).await;
            match read.map_err(StreamError::Stream)? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(StreamError::Truncated(self.at)),
                bytes => filled += bytes,
            }
        }
        self.at += u64::try_from(filled).unwrap_or(u64::MAX);
        Ok(true)
    }

    async fn need(&mut self, buffer: &mut [u8]) -> Result<(), StreamError> {
        match self.fill(buffer).await? {
            true => Ok(()),
            false => Err(StreamError::Truncated(self.at)),
        }
    }
}

/// Fills a volume of this size from a stream, to its end.
///
/// # Errors
///
/// When the stream is damaged, breaks off or is of a larger volume, or the volume or the stream fails. The volume is then
/// partly written.
pub async fn receive(
    from: &mut (dyn AsyncRead + Send + Unpin),
    volume_bytes: u64,
    to: &mut dyn Target,
) -> Result<(), StreamError> {
    let mut reader = Reader { from, at: 0 };
    let mut counts = Counts::default();
    let (mut magic, mut ended) = (None, false);
    let mut piece = vec![0; usize::try_from(PIECE_BYTES).expect("it is a MiB")];
    loop {
        let mut head = [0; HEADER];
        if !reader.fill(&mut head).await? {
            return match magic {
                None => Err(StreamError::Truncated(0)),
                Some(MAGIC_1_0) => Ok(()),
                Some(_) if ended => Ok(()),
                Some(_) => Err(StreamError::Truncated(reader.at)),
            };
        }
        let number = |at: usize| {
            let bytes: [u8; 8] = head[at..at + 8].try_into().expect("it has eight bytes");
            u64::from_be_bytes(bytes)
        };
        let (found, offset, length) = (number(0), number(8), number(16));
        let command = u32::from_be_bytes(head[24..].try_into().expect("it has four bytes"));
        let place = reader.at;
        let damaged = |what: &str| StreamError::Damaged(format!("{what} at byte {place}"));
        if ended {
            return Err(damaged("it goes on after its end"));
        }
        let known = *magic.get_or_insert(found);
        if found != known || !matches!(known, MAGIC | MAGIC_1_0) {
            return Err(damaged("no chunk begins"));
        }
        if known == MAGIC && (command == BEGIN) != (counts.chunks == 0) {
            return Err(damaged("its begin is not where it should be"));
        }
        if known == MAGIC_1_0 && !matches!(command, DATA | UNMAP) {
            return Err(damaged("its format does not have this chunk"));
        }
        counts.count(command);
        let end = offset.saturating_add(length);
        if matches!(command, DATA | UNMAP) && end > volume_bytes {
            let bytes = volume_bytes;
            return Err(StreamError::TooLarge { end, bytes });
        }
        match command {
            DATA => {
                let mut at = offset;
                while at < end {
                    let bytes = PIECE_BYTES.min(end - at);
                    let some = &mut piece[..usize::try_from(bytes).expect("it is a MiB")];
                    reader.need(some).await?;
                    to.write(at, some).await.map_err(StreamError::Volume)?;
                    at += bytes;
                }
            }
            UNMAP => to
                .discard(offset, length)
                .await
                .map_err(StreamError::Volume)?,
            BEGIN if length == 0 => {}
            END if length == COUNTS as u64 => {
                let mut told = [0; COUNTS];
                reader.need(&mut told).await?;
                if told != counts.to_bytes() {
                    return Err(damaged("it has other chunks than its end says"));
                }
                ended = true;
            }
            command if command & OPTIONAL != 0 => {
                let mut left = length;
                while left > 0 {
                    let bytes = PIECE_BYTES.min(left);
                    let some = &mut piece[..usize::try_from(bytes).expect("it is a MiB")];
                    reader.need(some).await?;
                    left -= bytes;
                }
            }
            _ => return Err(damaged("an unknown chunk begins")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::map::ranges_of;
    use super::*;

    /// Written by thin-send-recv 1.1.3 of a volume of blocks of 512 bytes, block n full of n: `thin_send snap`.
    const FULL: &str = include_str!("fixtures/full.hex");
    /// `thin_send base snap`.
    const CHANGES: &str = include_str!("fixtures/changes.hex");
    /// What it read then.
    const DUMP: &str = include_str!("fixtures/thin_dump.xml");
    const DELTA: &str = include_str!("fixtures/thin_delta.xml");
    const BLOCK: u64 = 512;
    const BYTES: u64 = 16 * BLOCK;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
        pairs
            .map(|pair| u8::from_str_radix(&pair, 16).unwrap())
            .collect()
    }

    struct Blocks;

    #[async_trait]
    impl Source for Blocks {
        async fn read(&self, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
            let block = |at: u64| u8::try_from(at / BLOCK).unwrap();
            Ok((offset..offset + bytes).map(block).collect())
        }
    }

    struct Memory(Vec<u8>);

    impl Memory {
        fn place(&mut self, offset: u64, bytes: u64) -> &mut [u8] {
            let place = |at: u64| usize::try_from(at).unwrap();
            &mut self.0[place(offset)..place(offset + bytes)]
        }
    }

    #[async_trait]
    impl Target for Memory {
        async fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.place(offset, bytes.len() as u64)
                .copy_from_slice(bytes);
            Ok(())
        }

        async fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
            self.place(offset, bytes).fill(0);
            Ok(())
        }
    }

    async fn received(mut stream: &[u8], bytes: u64) -> Result<Vec<u8>, StreamError> {
        let mut memory = Memory(vec![0xff; usize::try_from(bytes).unwrap()]);
        receive(&mut stream, bytes, &mut memory).await?;
        Ok(memory.0)
    }

    /// The same stream as LINBIT's program writes, to the byte.
    #[tokio::test]
    async fn streams_are_written_alike() {
        for (map, stream) in [(DUMP, bytes(FULL)), (DELTA, bytes(CHANGES))] {
            let mut sent = Vec::new();
            let ranges = ranges_of(map).unwrap().into_iter().map(Ok);
            send(ranges, BYTES, &Blocks, &mut sent).await.unwrap();
            assert!(sent == stream);
        }
        // A last block that is larger than what is left of the volume.
        let mut sent = Vec::new();
        let ranges = ranges_of(DUMP).unwrap().into_iter().map(Ok);
        send(ranges, 9 * BLOCK + 7, &Blocks, &mut sent)
            .await
            .unwrap();
        assert_eq!(sent.len(), bytes(FULL).len() - 505);
        received(&sent, 9 * BLOCK + 7).await.unwrap();
    }

    /// What LINBIT's program writes is read: blocks that it has, blocks that it removes, and the rest as it was.
    #[tokio::test]
    async fn streams_are_read_alike() {
        let blocks = |memory: &[u8]| -> Vec<u8> {
            let blocks = memory.chunks(usize::try_from(BLOCK).unwrap());
            let each = blocks.map(|block| {
                assert!(block.iter().all(|byte| *byte == block[0]));
                block[0]
            });
            each.collect()
        };
        let x = 0xff;
        let full = received(&bytes(FULL), BYTES).await.unwrap();
        assert_eq!(
            blocks(&full),
            [0, 1, 2, x, x, x, x, x, x, 9, x, x, x, x, x, x]
        );
        let changes = received(&bytes(CHANGES), BYTES).await.unwrap();
        assert_eq!(
            blocks(&changes),
            [x, 1, 2, x, 0, 0, x, x, x, 9, x, x, x, x, x, x]
        );
    }

    /// A stream that breaks off anywhere, that goes on, that has another chunk, or is of a larger volume, is refused.
    #[tokio::test]
    async fn damage_is_found() {
        let full = bytes(FULL);
        for length in 0..full.len() {
            let result = received(&full[..length], BYTES).await;
            assert!(matches!(result, Err(StreamError::Truncated(_))), "{length}");
        }
        let mut longer = full.clone();
        longer.extend(&full[..HEADER]);
        let result = received(&longer, BYTES).await;
        assert!(matches!(result, Err(StreamError::Damaged(_))));
        let too_small = received(&full, 9 * BLOCK).await;
        assert!(matches!(too_small, Err(StreamError::TooLarge { .. })));
        // Without its second chunk.
        let second = HEADER + 3 * 512;
        let without = [&full[..HEADER], &full[HEADER + second..]].concat();
        assert!(matches!(
            received(&without, BYTES).await,
            Err(StreamError::Damaged(_))
        ));
        for at in [0, 7, 24, 27, HEADER, HEADER + 24] {
            let mut other = full.clone();
            other[at] ^= 0x40;
            assert!(received(&other, BYTES).await.is_err(), "{at}");
        }
    }

    /// The older format has neither begin nor end, and chunks that may be left out are.
    #[tokio::test]
    async fn older_and_newer_streams_are_read() {
        let full = bytes(FULL);
        let mut older = full[HEADER..full.len() - HEADER - COUNTS].to_vec();
        for at in [0, HEADER + 3 * 512] {
            older[at..at + 8].copy_from_slice(&MAGIC_1_0.to_be_bytes());
        }
        let read = received(&older, BYTES).await.unwrap();
        assert!(read == received(&bytes(FULL), BYTES).await.unwrap());
        let mut newer = full[..full.len() - HEADER - COUNTS].to_vec();
        newer.extend(header(0, 3, OPTIONAL | 7));
        newer.extend(b"abc");
        newer.extend(header(0, COUNTS as u64, END));
        let counts = Counts {
            chunks: 5,
            data: 2,
            unmap: 0,
        };
        newer.extend(counts.to_bytes());
        received(&newer, BYTES).await.unwrap();
    }
}
