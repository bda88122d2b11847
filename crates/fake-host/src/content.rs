//! The content of a device: sparse blocks, and sets of block ranges.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::drbd::Metadata;

/// Size of a block: DRBD's bitmap granularity.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// The content of one block that is not all zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// Bytes; the rest of the block is zeros.
    Bytes(Vec<u8>),
    /// DRBD's superblock, which represents all of its metadata, so that metadata is copied, snapshotted, overwritten
    /// and left on freed space exactly as real metadata is.
    Metadata(Arc<Metadata>),
}

impl Block {
    /// A block as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = match self {
            Block::Bytes(bytes) => bytes.clone(),
            Block::Metadata(metadata) => metadata.superblock(),
        };
        bytes.resize(BLOCK_BYTES as usize, 0);
        bytes
    }

    /// The block that has these bytes; `None` if they are all zeros.
    pub(crate) fn of(bytes: &[u8]) -> Option<Block> {
        let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
        Some(Block::Bytes(bytes[..used].to_vec()))
    }
}

/// Blocks that are not all zeros, by number.
pub(crate) type Blocks = BTreeMap<u64, Block>;

/// A set of numbers, stored as ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ranges {
    /// Start to end (exclusive); neither overlapping nor adjacent.
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    /// All numbers below `end`.
    pub(crate) fn below(end: u64) -> Ranges {
        let mut all = Ranges::default();
        all.insert(0, end);
        all
    }

    pub(crate) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        let touching: Vec<u64> = self
            .ranges
            .range(..=end)
            .rev()
            .take_while(|(_, e)| **e >= start)
            .map(|(s, _)| *s)
            .collect();
        for s in touching {
            let e = self.ranges.remove(&s).unwrap_or(s);
            start = start.min(s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
    }

    pub(crate) fn remove(&mut self, start: u64, end: u64) {
        let touched: Vec<(u64, u64)> = self
            .ranges
            .range(..end)
            .rev()
            .take_while(|(_, e)| **e > start)
            .map(|(s, e)| (*s, *e))
            .collect();
        for (s, e) in touched {
            self.ranges.remove(&s);
            if s < start {
                self.ranges.insert(s, start);
            }
            if e > end {
                self.ranges.insert(end, e);
            }
        }
    }

    pub(crate) fn union(&mut self, other: &Ranges) {
        for (start, end) in &other.ranges {
            self.insert(*start, *end);
        }
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.ranges
            .range(..=number)
            .next_back()
            .is_some_and(|(_, end)| *end > number)
    }

    pub(crate) fn len(&self) -> u64 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The lowest `count` numbers, as ranges.
    pub(crate) fn first(&self, count: u64) -> Vec<(u64, u64)> {
        let mut left = count;
        let mut found = Vec::new();
        for (start, end) in &self.ranges {
            if left == 0 {
                break;
            }
            let taken = (end - start).min(left);
            found.push((*start, start + taken));
            left -= taken;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adjacent ranges are merged, and a range is split when a part of it is removed.
    #[test]
    fn ranges_merge_and_split() {
        let mut set = Ranges::default();
        set.insert(0, 4);
        set.insert(8, 12);
        set.insert(4, 8);
        assert_eq!(set, Ranges::below(12));
        set.remove(2, 5);
        assert_eq!(set.len(), 9);
        assert!(set.contains(1) && !set.contains(2) && !set.contains(4) && set.contains(5));
        assert_eq!(set.first(4), vec![(0, 2), (5, 7)]);
        set.remove(0, 100);
        assert!(set.is_empty());
    }
}
