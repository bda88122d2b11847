//! A target for each decoder. Decoders of single tools are private: their properties are beside them.

mod bodies;
mod frames;
mod rows;
mod texts;

use std::path::{Path, PathBuf};

/// The contents of all files below a folder of the repository.
fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(folder),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("it is in the repository") {
            let path = entry.expect("it is listed").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), std::fs::read(&path).expect("it is listed"))),
            }
        }
    }
    found.sort();
    found
}
