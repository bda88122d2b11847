//! Writing long lists row by row.
//!
//! `view/resources` of a large cluster has tens of thousands of rows. Each row is built, written and dropped
//! before the next one is built, so that the answer costs its text and one row, not a second copy of the cluster.

use std::io::{self, Write};

use serde::Serialize;

/// Writes the rows as one JSON array.
pub fn write<W, I>(mut out: W, rows: I) -> io::Result<()>
where
    W: Write,
    I: IntoIterator,
    I::Item: Serialize,
{
    out.write_all(b"[")?;
    for (index, row) in rows.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut out, &row)?;
    }
    out.write_all(b"]")
}

/// The rows as the text of one JSON array.
pub fn to_vec<I>(rows: I) -> serde_json::Result<Vec<u8>>
where
    I: IntoIterator,
    I::Item: Serialize,
{
    let mut text = Vec::new();
    write(&mut text, rows).map_err(serde_json::Error::io)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row by row gives the same text as all at once.
    #[test]
    fn rows_make_an_array() {
        assert_eq!(to_vec(Vec::<u8>::new()).unwrap(), b"[]");
        assert_eq!(to_vec(["a", "b"]).unwrap(), br#"["a","b"]"#);
    }
}
