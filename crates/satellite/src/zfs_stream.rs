//! The stream that `zfs send` writes of a snapshot of a volume and `zfs receive` reads (OpenZFS, `sys/zfs_ioctl.h`): looked at
//! on its way, so that damage is found before ZFS is told that all of it was there, and without ZFS where a backup is verified.
//!
//! A stream is a sequence of records of 312 bytes in the byte order of the machine that wrote it. Those that begin, have an
//! object or data are followed by so many bytes of payload. Each record but the first one has in its last 32 bytes the
//! Fletcher-4 sum of all that was before them, and the last one that of all records before it.

use crate::thin_stream::StreamError;

/// Bytes of a record.
const RECORD: usize = 312;
/// Where in a record the sum of all that was before is.
const SUM_AT: usize = 280;
const MAGIC: u64 = 0x2_f5ba_cbac;
/// The kind of data that a volume is.
const VOLUME: u32 = 3;
/// A stream of one snapshot, not of several ones with their properties.
const SINGLE: u64 = 1;
/// The largest block of ZFS.
const PAYLOAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

const BEGIN: u32 = 0;
const OBJECT: u32 = 1;
const FREE_OBJECTS: u32 = 2;
const WRITE: u32 = 3;
const FREE: u32 = 4;
const END: u32 = 5;
const WRITE_BY_REFERENCE: u32 = 6;
const SPILL: u32 = 7;
const WRITE_EMBEDDED: u32 = 8;
const OBJECT_RANGE: u32 = 9;
const REDACT: u32 = 10;

/// A sum of 32-bit words, as ZFS has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fletcher4([u64; 4]);

impl Fletcher4 {
    fn add(&mut self, word: u32) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(u64::from(word));
        *b = b.wrapping_add(*a);
        *c = c.wrapping_add(*b);
        *d = d.wrapping_add(*c);
    }
}

/// Which snapshot a stream is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Identity of the snapshot, the same wherever it is received.
    pub to: u64,
    /// Identity of the snapshot that it has to be received on top of; 0 if all of it is in the stream.
    pub from: u64,
}

/// Looks at a stream as it passes.
#[derive(Debug, Default)]
pub struct Checker {
    at: u64,
    is_big_endian: bool,
    sum: Fletcher4,
    /// Bytes of a word that is not complete.
    word: Vec<u8>,
    record: Vec<u8>,
    payload: u64,
    begin: Option<Begin>,
    has_ended: bool,
}

impl Checker {
    /// Looks at the next bytes.
    ///
    /// # Errors
    ///
    /// When the stream is none of a volume, or is damaged.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let length = usize::try_from(self.payload).unwrap_or(usize::MAX);
                let (some, rest) = bytes.split_at(length.min(bytes.len()));
                self.count(some);
                self.payload -= some.len() as u64;
                bytes = rest;
                continue;
            }
            if self.has_ended {
                return Err(self.damaged("it goes on after its end"));
            }
            let missing = RECORD - self.record.len();
            let (some, rest) = bytes.split_at(missing.min(bytes.len()));
            self.record.extend_from_slice(some);
            bytes = rest;
            if self.record.len() == RECORD {
                let record = std::mem::take(&mut self.record);
                self.payload = self.take_record(&record)?;
                // Its memory is used again.
                self.record = record;
                self.record.clear();
            }
        }
        Ok(())
    }

    /// Makes sure that all of it was there.
    ///
    /// # Errors
    ///
    /// When it breaks off.
    pub fn end(&self) -> Result<Begin, StreamError> {
        match self.begin.filter(|_| self.has_ended && self.payload == 0) {
            Some(begin) if self.record.is_empty() => Ok(begin),
            _ => Err(StreamError::Truncated(self.at + self.record.len() as u64)),
        }
    }

    fn damaged(&self, what: &str) -> StreamError {
        StreamError::Damaged(format!("{what} at byte {}", self.at))
    }

    /// Adds bytes to the sum.
    fn count(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
        let mut bytes = bytes;
        if !self.word.is_empty() {
            let missing = 4 - self.word.len();
            let (some, rest) = bytes.split_at(missing.min(bytes.len()));
            self.word.extend_from_slice(some);
            bytes = rest;
            if let Ok(word) = <[u8; 4]>::try_from(self.word.as_slice()) {
                self.sum.add(self.number(word));
                self.word.clear();
            }
        }
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            self.sum.add(self.number(*word));
        }
        self.word.extend_from_slice(rest);
    }

    fn number(&self, word: [u8; 4]) -> u32 {
        match self.is_big_endian {
            true => u32::from_be_bytes(word),
            false => u32::from_le_bytes(word),
        }
    }

    fn u32(&self, record: &[u8], at: usize) -> u32 {
        let bytes = record[at..at + 4].try_into().expect("it has four bytes");
        self.number(bytes)
    }

    fn u64(&self, record: &[u8], at: usize) -> u64 {
        let bytes: [u8; 8] = record[at..at + 8].try_into().expect("it has eight bytes");
        match self.is_big_endian {
            true => u64::from_be_bytes(bytes),
            false => u64::from_le_bytes(bytes),
        }
    }

    fn sum_at(&self, record: &[u8], at: usize) -> Fletcher4 {
        Fletcher4(std::array::from_fn(|index| {
            self.u64(record, at + 8 * index)
        }))
    }

    /// Looks at a record; returns how many bytes of payload follow.
    fn take_record(&mut self, record: &[u8]) -> Result<u64, StreamError> {
        if self.begin.is_none() {
            self.is_big_endian = record[8..16] == MAGIC.to_be_bytes();
        }
        let kind = self.u32(record, 0);
        if (kind == BEGIN) != self.begin.is_none() {
            return Err(self.damaged("its begin is not where it should be"));
        }
        let before = self.sum;
        self.count(&record[..SUM_AT]);
        let told = self.sum_at(record, SUM_AT);
        if kind != BEGIN && told != Fletcher4::default() && told != self.sum {
            return Err(self.damaged("a checksum does not fit"));
        }
        self.count(&record[SUM_AT..]);
        let round = |bytes: u32| u64::from(bytes).next_multiple_of(8);
        let u32 = |at: usize| self.u32(record, at);
        let u64 = |at: usize| self.u64(record, at);
        let payload = match kind {
            BEGIN => {
                if u64(8) != MAGIC {
                    return Err(self.damaged("no stream of ZFS begins"));
                }
                if u64(16) & 3 != SINGLE || u32(32) != VOLUME {
                    return Err(self.damaged("it is not of one snapshot of a volume"));
                }
                let payload = u64::from(u32(4));
                self.begin = Some(Begin {
                    to: u64(40),
                    from: u64(48),
                });
                payload
            }
            OBJECT => match u32(36) {
                0 => round(u32(28)),
                raw => u64::from(raw),
            },
            WRITE if record[50] != 0 => u64(96),
            WRITE => u64(32),
            SPILL => match u64(40) {
                0 => u64(16),
                compressed => compressed,
            },
            WRITE_EMBEDDED => round(u32(52)),
            FREE_OBJECTS | FREE | WRITE_BY_REFERENCE | OBJECT_RANGE | REDACT => 0,
            END => {
                if self.sum_at(record, 8) != before {
                    return Err(self.damaged("the checksum of all of it does not fit"));
                }
                self.has_ended = true;
                0
            }
            _ => return Err(self.damaged("an unknown record begins")),
        };
        if payload > PAYLOAD_BYTES_MAX {
            return Err(self.damaged("a record has more data than a block can have"));
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 8192;

    /// Writes a stream, as the description of the format has it.
    struct Writer {
        bytes: Vec<u8>,
        sum: Fletcher4,
        is_big_endian: bool,
    }

    impl Writer {
        fn new(is_big_endian: bool) -> Writer {
            Writer {
                bytes: Vec::new(),
                sum: Fletcher4::default(),
                is_big_endian,
            }
        }

        fn add(&mut self, bytes: &[u8]) {
            for word in bytes.as_chunks::<4>().0 {
                self.sum.add(match self.is_big_endian {
                    true => u32::from_be_bytes(*word),
                    false => u32::from_le_bytes(*word),
                });
            }
            self.bytes.extend(bytes);
        }

        fn put(&self, record: &mut [u8], at: usize, value: u64, bytes: usize) {
            let (le, be) = (value.to_le_bytes(), value.to_be_bytes());
            let value = match self.is_big_endian {
                true => &be[8 - bytes..],
                false => &le[..bytes],
            };
            record[at..at + bytes].copy_from_slice(value);
        }

        fn record(&mut self, kind: u32, members: &[(usize, u64, usize)], payload: &[u8]) {
            let mut record = vec![0; RECORD];
            self.put(&mut record, 0, u64::from(kind), 4);
            for (at, value, bytes) in members {
                self.put(&mut record, *at, *value, *bytes);
            }
            let (head, _) = record.split_at(SUM_AT);
            let head = head.to_vec();
            self.add(&head);
            if kind != BEGIN {
                for (index, value) in self.sum.0.into_iter().enumerate() {
                    self.put(&mut record, SUM_AT + 8 * index, value, 8);
                }
            }
            self.add(&record[SUM_AT..]);
            self.add(payload);
        }

        fn begin(&mut self, to: u64, from: u64) {
            let members = [
                (8, MAGIC, 8),
                (16, SINGLE, 8),
                (32, 3, 4),
                (40, to, 8),
                (48, from, 8),
            ];
            self.record(BEGIN, &members, &[]);
        }

        fn end(&mut self) {
            let sum = self.sum.0;
            let sum: Vec<(usize, u64, usize)> = sum
                .into_iter()
                .enumerate()
                .map(|(index, value)| (8 + 8 * index, value, 8))
                .collect();
            self.record(END, &sum, &[]);
        }
    }

    /// With a record of each kind that volumes have.
    fn stream(is_big_endian: bool) -> Vec<u8> {
        let mut writer = Writer::new(is_big_endian);
        writer.begin(7, 5);
        writer.record(FREE_OBJECTS, &[(8, 0, 8), (16, 1, 8)], &[]);
        writer.record(OBJECT, &[(8, 1, 8), (28, 13, 4)], &[1; 16]);
        writer.record(WRITE, &[(8, 1, 8), (32, BLOCK as u64, 8)], &[7; BLOCK]);
        // Compressed: what is in the stream is shorter.
        let compressed = &[(8, 1, 8), (32, BLOCK as u64, 8), (50, 15, 1), (96, 512, 8)];
        writer.record(WRITE, compressed, &[9; 512]);
        writer.record(
            WRITE_EMBEDDED,
            &[(8, 1, 8), (48, 512, 4), (52, 21, 4)],
            &[3; 24],
        );
        writer.record(FREE, &[(8, 1, 8), (16, 65_536, 8), (24, u64::MAX, 8)], &[]);
        writer.record(SPILL, &[(8, 2, 8), (16, 512, 8)], &[4; 512]);
        writer.end();
        writer.bytes
    }

    fn check(stream: &[u8], piece: usize) -> Result<Begin, StreamError> {
        let mut checker = Checker::default();
        for some in stream.chunks(piece) {
            checker.feed(some)?;
        }
        checker.end()
    }

    /// Whatever pieces it comes in, and whichever machine wrote it.
    #[test]
    fn whole_streams_are_accepted() {
        for is_big_endian in [false, true] {
            let stream = stream(is_big_endian);
            for piece in [1, 3, 311, 312, 313, 5000, stream.len()] {
                assert_eq!(check(&stream, piece).unwrap(), Begin { to: 7, from: 5 });
            }
        }
    }

    /// One that breaks off anywhere, in which any byte is another one, or that goes on, is not.
    #[test]
    fn damage_is_found() {
        let stream = stream(false);
        for length in 0..stream.len() {
            let result = check(&stream[..length], 4096);
            assert!(matches!(result, Err(StreamError::Truncated(_))), "{length}");
        }
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] ^= 0x40;
            assert!(check(&changed, 4096).is_err(), "byte {at}");
        }
        let longer = [&stream[..], &[0]].concat();
        assert!(matches!(check(&longer, 4096), Err(StreamError::Damaged(_))));
    }

    /// Streams of file systems, of several snapshots, and what is none.
    #[test]
    fn other_streams_are_refused() {
        for members in [
            [(8, MAGIC, 8), (16, SINGLE, 8), (32, 2, 4)],
            [(8, MAGIC, 8), (16, 2, 8), (32, 3, 4)],
            [(8, 1, 8), (16, SINGLE, 8), (32, 3, 4)],
        ] {
            let mut writer = Writer::new(false);
            writer.record(BEGIN, &members, &[]);
            writer.end();
            let result = check(&writer.bytes, 4096);
            assert!(
                matches!(result, Err(StreamError::Damaged(_))),
                "{members:?}"
            );
        }
        assert!(check(&[0x61; 1000], 4096).is_err());
        let mut writer = Writer::new(false);
        writer.begin(1, 0);
        writer.record(WRITE, &[(32, u64::MAX, 8)], &[]);
        assert!(check(&writer.bytes, 4096).is_err());
    }
}
