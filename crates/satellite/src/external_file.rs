//! External files: written where the satellite's settings allow it, and removed when no resource of the node needs them.
//!
//! Only files directly in an allowed directory are written, by replacing them as a whole: a symbolic link, a pipe or a
//! device under the name is replaced, never followed or written to. What was written is noted before, so that a file
//! that is not needed any more is known after a crash; one that somebody has changed since is left where it is.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use linstor_api::code;
use linstor_api::external_file::FilePath;
use linstor_wire::Key;
use linstor_wire::digest::sha256;
use linstor_wire::question::FileState;
use linstor_wire::spec::FileSpec;
use uuid::Uuid;

use crate::failure::{Failure, Result};
use crate::shared::Shared;
use crate::spec_store::{Notes, WrittenFile};

/// The largest file that is read to compare it, in bytes; what the controller stores is smaller.
const READ_BYTES_MAX: u64 = 1024 * 1024;
/// Programs of any user read their configuration.
const MODE: u32 = 0o644;

/// Brings the files of the node to its spec. What fails for one file does not keep the others from being written.
pub async fn apply(shared: &Shared) -> Vec<Failure> {
    let Some(node) = shared.state().node().cloned() else {
        return Vec::new();
    };
    let mut failures = Vec::new();
    for file in &node.files {
        if let Err(failure) = write(shared, node.uuid, file).await {
            failures.push(failure);
        }
    }
    let written = shared.notes(&Key::Node).files;
    let needed = |path: &String| node.files.iter().any(|file| file.path.as_str() == path);
    let surplus: BTreeMap<_, _> = written
        .into_iter()
        .filter(|(path, _)| !needed(path))
        .collect();
    for (path, written) in surplus {
        let removed = async {
            remove(shared, &written).await?;
            let forget = |notes: &mut Notes| drop(notes.files.remove(&path));
            shared.note(&Key::Node, node.uuid, forget).await
        };
        if let Err(failure) = removed.await {
            failures.push(failure);
        }
    }
    failures
}

async fn write(shared: &Shared, node: Uuid, file: &FileSpec) -> Result<()> {
    let path = &file.path;
    check(shared, path)?;
    check_suffixes(file)?;
    let content = BASE64.decode(file.content.reveal()).map_err(|_| {
        let message = format!("The content of the external file '{path}' is not base64.");
        Failure::new(code::FAIL_INVLD_EXT_FILE, message)
    })?;
    let at = place(shared, path, &file.alt_suffixes).await?;
    let wanted = WrittenFile {
        sha256: sha256(&content),
        at,
    };
    if digest_of(shared, &wanted.at).await?.as_ref() != Some(&wanted.sha256) {
        let noted = wanted.clone();
        let note = |notes: &mut Notes| {
            notes.files.insert(path.to_string(), noted);
        };
        shared.note(&Key::Node, node, note).await?;
        let (host, at) = (shared.machine.host(), Path::new(&wanted.at));
        if let Some(directory) = at.parent() {
            host.create_dir_all(directory).await?;
        }
        host.write_atomic(at, &content, MODE).await?;
        tracing::info!(path = wanted.at, "the external file was written");
    }
    // Its suffix may have changed, or it had the content before the node was asked to write it.
    let note = |notes: &mut Notes| {
        notes.files.insert(path.to_string(), wanted);
    };
    shared.note(&Key::Node, node, note).await
}

async fn remove(shared: &Shared, written: &WrittenFile) -> Result<()> {
    match digest_of(shared, &written.at).await? {
        Some(digest) if digest == written.sha256 => {
            shared
                .machine
                .host()
                .remove_file(Path::new(&written.at))
                .await?;
            tracing::info!(
                path = written.at,
                "the external file was removed: nothing needs it"
            );
        }
        Some(_) => {
            tracing::warn!(
                path = written.at,
                "the external file is not needed any more, and is left where it is: it was changed on this node"
            );
        }
        None => {}
    }
    Ok(())
}

/// What a file is on the node.
pub async fn state(
    shared: &Shared,
    path: &FilePath,
    alt_suffixes: &[String],
    wanted: Option<&str>,
) -> Result<FileState> {
    // Nobody is told what is elsewhere.
    if check(shared, path).is_err() {
        return Ok(FileState::default());
    }
    let at = place(shared, path, alt_suffixes).await?;
    let digest = digest_of(shared, &at).await?;
    Ok(FileState {
        allowed: true,
        content_matches: digest.is_some() && digest.as_deref() == wanted,
        path: digest.map(|_| at),
    })
}

/// Whether the settings allow a file: its directory must be one of theirs.
fn check(shared: &Shared, path: &FilePath) -> Result<()> {
    let refuse = |cause: String| {
        let message = format!("The external file '{path}' is not allowed on this node.");
        Err(Failure::new(code::FAIL_ACC_DENIED_EXT_FILE, message)
            .cause(cause)
            .correction(
                "Name its directory in 'allowExtFiles' of section [files] in linstor_satellite.toml and restart the \
                 satellite.",
            ))
    };
    let text = path.as_str();
    // `Path` would take '/a/./b' and '/a//b' for '/a/b'.
    let parts = text.split('/').skip(1);
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    if parts.clone().any(odd) {
        return refuse(
            "A satellite writes no file whose path has an empty part, '.' or '..' in it."
                .to_owned(),
        );
    }
    let allowed = &shared.options.file_directories;
    match Path::new(text).parent() {
        Some(directory) if allowed.iter().any(|known| known == directory) => Ok(()),
        Some(directory) => refuse(format!(
            "The settings of the satellite do not allow files in '{}'.",
            directory.display()
        )),
        None => refuse("It has no directory.".to_owned()),
    }
}

fn check_suffixes(file: &FileSpec) -> Result<()> {
    let sound = |suffix: &String| {
        !suffix.is_empty() && suffix.chars().all(|c| (' '..='~').contains(&c) && c != '/')
    };
    if file.alt_suffixes.iter().all(sound) {
        return Ok(());
    }
    let message = format!(
        "A suffix of the external file '{}' is not valid.",
        file.path
    );
    Err(Failure::new(code::FAIL_INVLD_EXT_FILE, message))
}

/// The file that gets the content: the one under the path, else one with a suffix that is there, such as a configuration
/// that was disabled by renaming it.
async fn place(shared: &Shared, path: &FilePath, alt_suffixes: &[String]) -> Result<String> {
    let host = shared.machine.host();
    let exists =
        async |path: &str| Ok::<_, Failure>(host.file_usage(Path::new(path)).await?.is_some());
    if !exists(path.as_str()).await? {
        for suffix in alt_suffixes {
            let with_suffix = format!("{path}{suffix}");
            if exists(&with_suffix).await? {
                return Ok(with_suffix);
            }
        }
    }
    Ok(path.to_string())
}

/// The digest of what is in a file; none if there is no file. What is too large to be one of ours has none of ours.
async fn digest_of(shared: &Shared, path: &str) -> Result<Option<String>> {
    let host = shared.machine.host();
    match host.file_usage(Path::new(path)).await? {
        None => Ok(None),
        // A pipe would be waited for, and a device has no end; neither has a size.
        Some(usage) if usage.size_bytes == 0 || usage.size_bytes > READ_BYTES_MAX => {
            Ok(Some(String::new()))
        }
        Some(_) => match host.read(Path::new(path)).await {
            Ok(content) => Ok(Some(sha256(&content))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        },
    }
}
