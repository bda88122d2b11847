//! Writing long lists row by row.
//!
//! `view/resources` of a large cluster has tens of thousands of rows. Rows are written one by one, and what is written
//! leaves in pieces, so that the answer costs a piece or two, not a second copy of the cluster, and its reader has work
//! before its end is made.

use serde::Serialize;

/// How much is written before it leaves: enough that waking the reader for each piece does not count, and little enough
/// to be sent while it is still in the processor's cache.
pub const PIECE_BYTES: usize = 256 * 1024;
/// Room for the rows that make a piece full.
const LAST_ROWS_BYTES: usize = 64 * 1024;

/// The rows as the text of one JSON array.
pub fn to_vec<I>(rows: I) -> Vec<u8>
where
    I: IntoIterator,
    I::Item: Serialize,
{
    let mut written = Rows::begin();
    for row in rows {
        written.push(&row);
    }
    written.end()
}

/// One JSON array in pieces. `fill` is called for each: it pushes rows until there are no more, or until there is no
/// room; in this case it is called again. A few rows too many do no harm.
pub fn pieces<F: FnMut(&mut Rows)>(fill: F) -> Pieces<F> {
    Pieces {
        fill,
        next: Some(Rows::begin()),
    }
}

/// See [`pieces`].
pub struct Pieces<F> {
    fill: F,
    /// The piece that is to be filled; none after the last one.
    next: Option<Rows>,
}

impl<F: FnMut(&mut Rows)> Iterator for Pieces<F> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut rows = self.next.take()?;
        (self.fill)(&mut rows);
        if rows.has_room() {
            return Some(rows.end());
        }
        // There will be another large one: room for all of it at once, because growing means copying.
        let text = Vec::with_capacity(PIECE_BYTES + LAST_ROWS_BYTES);
        let is_first = rows.is_first;
        self.next = Some(Rows { text, is_first });
        Some(rows.text)
    }
}

/// A part of an array, being written.
pub struct Rows {
    text: Vec<u8>,
    is_first: bool,
}

impl Rows {
    fn begin() -> Self {
        let (text, is_first) = (b"[".to_vec(), true);
        Rows { text, is_first }
    }

    /// Writes one row.
    ///
    /// # Panics
    ///
    /// When the row is not JSON, such as a map whose keys are no strings.
    pub fn push<T: Serialize>(&mut self, row: &T) {
        if !self.is_first {
            self.text.push(b',');
        }
        self.is_first = false;
        serde_json::to_writer(&mut self.text, row).expect("rows are made of strings and numbers");
    }

    /// Whether more rows may be pushed.
    pub fn has_room(&self) -> bool {
        self.text.len() < PIECE_BYTES
    }

    fn end(mut self) -> Vec<u8> {
        self.text.push(b']');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row by row gives the same text as all at once.
    #[test]
    fn rows_make_an_array() {
        assert_eq!(to_vec(Vec::<u8>::new()), b"[]");
        assert_eq!(to_vec(["a", "b"]), br#"["a","b"]"#);
    }

    /// Pieces put together are the whole, wherever the last row falls, and only the last one may be small.
    #[test]
    fn pieces_make_the_whole() {
        let row = "x".repeat(PIECE_BYTES / 4 - 3);
        for count in 0..10 {
            let mut left = count;
            let pieces = pieces(|rows| {
                while left > 0 && rows.has_room() {
                    rows.push(&row);
                    left -= 1;
                }
            });
            let pieces: Vec<Vec<u8>> = pieces.collect();
            let (_, full) = pieces.split_last().expect("at least the brackets");
            assert!(full.iter().all(|piece| piece.len() >= PIECE_BYTES));
            assert_eq!(pieces.concat(), to_vec(vec![&row; count]), "{count} rows");
        }
    }
}
