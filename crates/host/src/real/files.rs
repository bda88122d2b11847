//! Files. Each function runs on the blocking pool, since it makes several system calls.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::sys::stat::{major, minor};

use crate::error::FileError;
use crate::host::{FileId, FileUsage};

/// Unit of `st_blocks`, whatever the file system's own block size is.
const STAT_BLOCK_BYTES: u64 = 512;

/// Makes the names of temporary files unique within this process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Runs blocking file work; an error names the action and the path.
pub(super) async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, FileError> {
    let started = Instant::now();
    let path = path.to_owned();
    let for_error = path.clone();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    let took_ms = started.elapsed().as_secs_f64() * 1e3;
    tracing::debug!(action, path = %for_error.display(), took_ms, "file accessed");
    done.unwrap_or_else(|died| Err(io::Error::other(died)))
        .map_err(|source| FileError {
            action,
            path: for_error,
            source,
        })
}

pub(super) async fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    blocking("read", path, |path| fs::read(path)).await
}

pub(super) async fn file_usage(path: &Path) -> Result<Option<FileUsage>, FileError> {
    blocking("find", path, |path| {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(FileUsage {
            id: FileId {
                major: major(found.dev()),
                minor: minor(found.dev()),
                inode: found.ino(),
            },
            size_bytes: found.len(),
            allocated_bytes: found.blocks() * STAT_BLOCK_BYTES,
        }))
    })
    .await
}

pub(super) async fn write_atomic(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let content = content.to_owned();
    blocking("write", path, move |path| {
        let temporary = temporary_beside(path)?;
        let written = write_synced(&temporary, &content, mode)
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| sync_parent(path));
        if written.is_err() {
            let _maybe_never_created = fs::remove_file(&temporary);
        }
        written
    })
    .await
}

pub(super) async fn write_in_place(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let content = content.to_owned();
    blocking("write", path, move |path| {
        // One write call: for files of sysfs and configfs each call is one command.
        fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(&content)
    })
    .await
}

pub(super) async fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    let to = to.to_owned();
    blocking("rename", from, move |from| {
        fs::rename(from, &to)?;
        sync_parent(&to)?;
        if from.parent() == to.parent() {
            Ok(())
        } else {
            sync_parent(from)
        }
    })
    .await
}

pub(super) async fn remove_file(path: &Path) -> Result<bool, FileError> {
    blocking("remove", path, |path| match fs::remove_file(path) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    })
    .await
}

pub(super) async fn create_dir_all(path: &Path) -> Result<(), FileError> {
    blocking("create directory", path, |path| fs::create_dir_all(path)).await
}

pub(super) async fn list_dir(path: &Path) -> Result<Vec<String>, FileError> {
    blocking("list directory", path, |path| {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    })
    .await
}

/// A name in the same directory, as a rename is atomic only within one file system. The name has no suffix that
/// configurations include by pattern (`*.res`).
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{number}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

fn write_synced(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A rename is durable after an fsync of the directory.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
