//! Archives as `tar` and `gzip` read them.

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

/// The files as a compressed archive; `at` is their time, in seconds since the Unix epoch. A file whose path is absolute,
/// leads out of the archive or cannot be written is left out, and that is logged.
pub fn tar_gz(entries: &[Entry], at: u64) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_mtime(at);
        header.set_size(entry.content.len() as u64);
        // The path is checked before anything is written.
        if let Err(error) = archive.append_data(&mut header, &entry.path, entry.content.as_slice())
        {
            tracing::warn!(path = entry.path, %error, "a file is left out of an archive");
        }
    }
    let packed = archive.into_inner().and_then(GzEncoder::finish);
    packed.expect("writing into memory succeeds")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn read(packed: &[u8]) -> Vec<Entry> {
        let mut archive = tar::Archive::new(GzDecoder::new(packed));
        let files = archive.entries().unwrap().map(|file| {
            let mut file = file.unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            let path = file.path().unwrap().display().to_string();
            Entry { path, content }
        });
        files.collect()
    }

    fn entry(path: &str, content: Vec<u8>) -> Entry {
        let path = path.to_owned();
        Entry { path, content }
    }

    /// Short and long names, empty files and files of any length are read as they were written.
    #[test]
    fn entries_are_read_again() {
        let long = format!("{}/{}", "d".repeat(200), "n".repeat(200));
        let entries = [
            entry("top/empty", Vec::new()),
            entry("top/text", b"hello\n".to_vec()),
            entry(&long, vec![9; 1537]),
        ];
        assert_eq!(read(&tar_gz(&entries, 1_700_000_000)), entries);
    }

    /// No file would be unpacked outside of the folder; the others are there.
    #[test]
    fn paths_do_not_lead_out() {
        let good = entry("top/a", vec![1]);
        let bad = ["/etc/passwd", "../x", "a/../../x", "a/.."];
        let mut entries: Vec<Entry> = bad.map(|path| entry(path, vec![2])).into();
        entries.push(good.clone());
        assert_eq!(read(&tar_gz(&entries, 0)), [good]);
    }
}
