//! Archives as `tar` and `gzip` read them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, without a leading slash.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// Size of a block of an archive, in bytes.
const BLOCK: usize = 512;
/// Place of the name in a header, and its length.
const NAME: (usize, usize) = (0, 100);
/// Place of the part of a path that stands before the name, and its length.
const PREFIX: (usize, usize) = (345, 155);
/// Place of the checksum.
const CHECKSUM: usize = 148;

/// The files as a compressed archive; `at` is their time, in seconds since the Unix epoch. A file whose path has no place
/// in a header (more than 255 bytes) is left out.
pub fn tar_gz(entries: &[Entry], at: u64) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    let mut write = |bytes: &[u8]| out.write_all(bytes).expect("writing into memory succeeds");
    for entry in entries {
        let Some(header) = header(entry, at) else {
            continue;
        };
        write(&header);
        write(&entry.content);
        let rest = entry.content.len() % BLOCK;
        write(&[0; BLOCK][..(BLOCK - rest) % BLOCK]);
    }
    // Two empty blocks end an archive.
    write(&[0; 2 * BLOCK]);
    out.finish().expect("writing into memory succeeds")
}

fn header(entry: &Entry, at: u64) -> Option<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |place: usize, bytes: &[u8]| {
        header[place..place + bytes.len()].copy_from_slice(bytes);
    };
    let (prefix, name) = split(&entry.path)?;
    put(NAME.0, name.as_bytes());
    put(PREFIX.0, prefix.as_bytes());
    // Mode, owner, group, size, time: octal, each with an end of its own.
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", entry.content.len()).as_bytes());
    put(136, format!("{at:011o}\0").as_bytes());
    // A usual file, in the format of POSIX.
    put(156, b"0");
    put(257, b"ustar\x0000");
    // The checksum is that of a header with spaces in its place.
    put(CHECKSUM, &[b' '; 8]);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM..CHECKSUM + 8].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

/// A path as the header has it: what stands before a slash, and the rest.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME.1 {
        return Some(("", path));
    }
    let slashes = path.match_indices('/');
    let mut halves = slashes.map(|(at, _)| (&path[..at], &path[at + 1..]));
    halves.find(|(prefix, name)| prefix.len() <= PREFIX.1 && name.len() <= NAME.1)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The tool reads what was written: short and long names, empty files and files of any length.
    #[test]
    fn tar_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let long = format!("{}/{}", "d".repeat(120), "n".repeat(90));
        let entries = [
            ("top/empty", Vec::new()),
            ("top/text", b"hello\n".to_vec()),
            ("top/block", vec![7; BLOCK]),
            (long.as_str(), vec![9; 3 * BLOCK + 1]),
        ]
        .map(|(path, content)| Entry {
            path: path.to_owned(),
            content,
        });
        let archive = directory.path().join("a.tar.gz");
        std::fs::write(&archive, tar_gz(&entries, 1_700_000_000)).unwrap();
        let unpacked = Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(unpacked.success());
        for entry in &entries {
            let found = std::fs::read(directory.path().join(&entry.path)).unwrap();
            assert_eq!(found, entry.content, "{}", entry.path);
        }
    }

    /// A path that no header has room for is left out, and the others are there.
    #[test]
    fn too_long_a_path_is_left_out() {
        assert_eq!(split(&"x".repeat(101)), None);
        assert_eq!(split("a/b"), Some(("", "a/b")));
    }
}
