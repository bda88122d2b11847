//! Which blocks a thin volume has, or in which it differs from another one: what `thin_dump` and `thin_delta -m` print.
//!
//! Read line by line: the map of a large volume has millions of them.

/// Bytes of a sector, in which the size of blocks is given.
const SECTOR: u64 = 512;

/// A part of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it is mapped; where it is not, it was.
    pub is_mapped: bool,
}

/// Reads what the program prints, in which ranges that are the same in both volumes are left out.
#[derive(Debug, Default)]
pub struct Map {
    block_bytes: Option<u64>,
    is_closed: bool,
}

impl Map {
    /// What a line has; nothing if no range.
    ///
    /// # Errors
    ///
    /// When it is none that the program prints.
    pub fn line(&mut self, line: &str) -> Result<Option<Range>, String> {
        let line = line.trim();
        let Some(rest) = line.strip_prefix('<') else {
            return match line.is_empty() {
                true => Ok(None),
                false => Err(unexpected(line)),
            };
        };
        let name = rest.split([' ', '>', '/']).next().unwrap_or_default();
        let number = |attribute: &str| -> Result<u64, String> {
            let (_, value) = rest
                .split_once(&format!(" {attribute}=\""))
                .ok_or_else(|| unexpected(line))?;
            let value = value.split('"').next().unwrap_or_default();
            value.parse().map_err(|_| unexpected(line))
        };
        let (begin, blocks, is_mapped) = match name {
            "superblock" => {
                self.block_bytes = number("data_block_size")?.checked_mul(SECTOR);
                return Ok(None);
            }
            "device" | "diff" | "same" => return Ok(None),
            // The end of an element.
            "" => {
                self.is_closed = rest == "/superblock>";
                return Ok(None);
            }
            "single_mapping" => (number("origin_block")?, 1, true),
            "range_mapping" => (number("origin_begin")?, number("length")?, true),
            "different" | "right_only" => (number("begin")?, number("length")?, true),
            "left_only" => (number("begin")?, number("length")?, false),
            _ => return Err(unexpected(line)),
        };
        let block = self.block_bytes.filter(|bytes| *bytes > 0);
        let block = block.ok_or("the size of blocks is missing")?;
        let range = begin.checked_mul(block).zip(blocks.checked_mul(block));
        let (offset, bytes) = range.ok_or_else(|| unexpected(line))?;
        Ok(Some(Range {
            offset,
            bytes,
            is_mapped,
        }))
    }

    /// Makes sure that all was printed: what breaks off would be sent as a volume with fewer blocks.
    ///
    /// # Errors
    ///
    /// When it breaks off.
    pub fn end(&self) -> Result<(), String> {
        match self.is_closed {
            true => Ok(()),
            false => Err("the map of blocks breaks off".to_owned()),
        }
    }
}

/// The ranges in the output of the program.
#[cfg(test)]
pub(super) fn ranges_of(text: &str) -> Result<Vec<Range>, String> {
    let mut map = Map::default();
    let mut ranges = Vec::new();
    for line in text.lines() {
        ranges.extend(map.line(line)?);
    }
    map.end().map(|()| ranges)
}

fn unexpected(line: &str) -> String {
    let shown: String = line.escape_debug().take(200).collect();
    format!("the map of blocks has an unexpected line: {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<superblock uuid=\"\" time=\"1\" transaction=\"2\" data_block_size=\"128\" nr_data_blocks=\"0\">";

    fn ranges(lines: &[&str]) -> Result<Vec<(u64, u64, bool)>, String> {
        let all = ranges_of(&lines.join("\n"))?.into_iter();
        Ok(all
            .map(|range| (range.offset, range.bytes, range.is_mapped))
            .collect())
    }

    /// Each kind of line, whatever its indentation; what is the same in both is left out.
    #[test]
    fn maps_are_read() {
        let block = 65_536;
        let delta = [
            HEAD,
            "  <diff left=\"1\" right=\"2\">",
            "    <same begin=\"0\" length=\"3\"/>",
            "    <different begin=\"3\" length=\"2\"/>",
            "    <left_only begin=\"5\" length=\"1\"/>",
            "    <right_only begin=\"6\" length=\"1\"/>",
            "  </diff>",
            "</superblock>",
            "",
        ];
        let expected = [
            (3 * block, 2 * block, true),
            (5 * block, block, false),
            (6 * block, block, true),
        ];
        assert_eq!(ranges(&delta).unwrap(), expected);
        let dump = [
            HEAD,
            "<device dev_id=\"1\" mapped_blocks=\"3\" transaction=\"0\" creation_time=\"0\" snap_time=\"1\">",
            "<range_mapping origin_begin=\"0\" data_begin=\"7\" length=\"2\" time=\"0\"/>",
            "<single_mapping origin_block=\"9\" data_block=\"8\" time=\"1\"/>",
            "</device>",
            "</superblock>",
        ];
        assert_eq!(
            ranges(&dump).unwrap(),
            [(0, 2 * block, true), (9 * block, block, true)]
        );
    }

    /// A map that breaks off, or has what nobody knows, is refused.
    #[test]
    fn broken_maps_are_refused() {
        let mapping = "<single_mapping origin_block=\"9\" data_block=\"8\" time=\"1\"/>";
        for lines in [
            &[][..],
            &[HEAD],
            &[HEAD, mapping],
            &[mapping, "</superblock>"],
            &[HEAD, "<another/>", "</superblock>"],
            &[HEAD, "text", "</superblock>"],
            &[
                HEAD,
                "<single_mapping origin_block=\"-1\"/>",
                "</superblock>",
            ],
            &[HEAD, "<single_mapping/>", "</superblock>"],
            &[
                HEAD,
                "<different begin=\"18446744073709551615\" length=\"2\"/>",
                "</superblock>",
            ],
        ] {
            assert!(ranges(lines).is_err(), "{lines:?}");
        }
    }
}
