//! The satellite's files, with which it can act without its controller.
//!
//! `identity.json` has the node's identity and the newest epoch that was accepted. `node.json` and
//! `resources/<NAME>.json` and `snapshots/<NAME>.<SNAPSHOT>.json` have an object's newest spec, and the notes by which a half-done step is recognised after a
//! crash. Everything is written before it is acted upon. A file that cannot be read is renamed and logged; the others
//! are used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linstor_api::name::NodeName;
use linstor_host::Host;
use linstor_wire::spec::{RollBack, Spec};
use linstor_wire::{Key, Wanted};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::failure::{Failure, Result};
use crate::suspension::Suspended;

/// Properties may be confidential.
const MODE: u32 = 0o600;
/// What I/O is suspended of.
const SUSPENDED_FILE: &str = "suspended.json";
/// What is appended to the name of a file that cannot be read.
const QUARANTINE_SUFFIX: &str = ".unreadable";

/// Who this satellite is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: Uuid,
    /// The node's name in it.
    pub node_name: NodeName,
    /// The node's identity.
    pub node_uuid: Uuid,
    /// The epoch of the newest controller that was obeyed.
    pub epoch: u64,
    /// Which start of a controller made that epoch.
    #[serde(default)]
    pub start: Uuid,
}

impl Identity {
    /// What identifies the node for all time.
    pub fn node(&self) -> (Uuid, Uuid) {
        (self.cluster_id, self.node_uuid)
    }
}

/// How new a spec is: a newer controller's is newer than any of an older one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision {
    /// Epoch of the controller that sent it.
    #[serde(default)]
    pub epoch: u64,
    /// The model's generation that it is from.
    #[serde(default)]
    pub generation: u64,
}

/// An object with its newest spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How new the spec is.
    pub revision: Revision,
    /// The spec.
    pub spec: Spec,
    /// What was begun or found out.
    pub notes: Notes,
}

/// A record on disk. The spec has the features that a satellite must know to act on it, as it has on the wire: an older
/// version must not act on what it does not understand.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    revision: Revision,
    /// A [`Wanted`], which is read by itself.
    wanted: serde_json::Value,
    #[serde(default)]
    notes: Notes,
}

/// What has to be known after a crash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// By volume number.
    #[serde(default)]
    pub volumes: BTreeMap<u32, VolumeNotes>,
    /// Whether another node had the data when DRBD was last taken down.
    #[serde(default)]
    pub last_copy: Option<LastCopy>,
    /// DRBD minors that the satellite has made primary and not yet secondary again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub promoted: BTreeSet<u32>,
    /// The suspension of I/O under which all volumes of a snapshot were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_under: Option<Uuid>,
    /// The receipt by which all volumes of a snapshot were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Uuid>,
    /// The last rollback of a resource that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RollBack>,
    /// The directories that FILE pools were in, by the pools' identities: what was written into each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<Uuid, String>,
    /// The external files that were written, by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, WrittenFile>,
}

/// An external file that was written, or was about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Where: the path of the file, perhaps with a suffix.
    pub at: String,
    /// SHA-256 of its content, in hexadecimal digits. A file that has another one was changed by somebody else.
    pub sha256: String,
}

/// Notes on one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeNotes {
    /// How far its creation is.
    pub stage: Stage,
    /// The file system that was made, or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<FileSystemMade>,
    /// DRBD is being grown in two steps, and this is the size of the first one, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growing_kib: Option<u64>,
    /// The instruction by which its LUKS headers got the key that they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_changed: Option<Uuid>,
    /// What drbd-utils noted of the end of its device when its metadata was there, and the device was about to grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_end: Option<String>,
    /// The size that it had in DRBD when it was last seen there, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered_kib: Option<u64>,
    /// The instruction by which the content of a snapshot was copied into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Uuid>,
}

/// An instruction to make a file system was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystemMade {
    /// Its id.
    pub instruction: Uuid,
    /// The type of what is on the volume, as blkid has it.
    pub kind: String,
}

/// How far the creation of a volume is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Begun: it holds no data, every step may be done again.
    New,
    /// Begun in place of one that was in use and is lost: as new, but its content can only come from a peer.
    Replacement,
    /// In use: nothing on it may be initialised again.
    #[default]
    Ready,
    /// Detached for good, as another node has the data: its content is out of date and need not be guarded.
    #[serde(rename = "let_go")]
    Released,
}

/// Whether another node has the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastCopy {
    /// Another connected node was up to date, or this one was not.
    Elsewhere,
    /// No other up-to-date copy was seen.
    Here,
}

/// Everything that was found at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The node's identity, if a controller has ever connected.
    pub identity: Option<Identity>,
    /// The node and its resources.
    pub objects: BTreeMap<Key, Record>,
    /// What was suspended, or about to be.
    pub suspended: Suspended,
}

/// The files.
#[derive(Debug, Clone)]
pub struct SpecStore {
    directory: PathBuf,
}

impl SpecStore {
    /// A store below a directory.
    pub fn new(directory: PathBuf) -> Self {
        SpecStore { directory }
    }

    /// Reads everything.
    pub async fn load(&self, host: &dyn Host) -> Result<Loaded> {
        host.create_dir_all(&self.resources()).await?;
        host.create_dir_all(&self.snapshots()).await?;
        let mut loaded = Loaded {
            identity: read(host, &self.directory.join("identity.json")).await,
            objects: BTreeMap::new(),
            suspended: read(host, &self.directory.join(SUSPENDED_FILE))
                .await
                .unwrap_or_default(),
        };
        let mut paths = vec![self.file(&Key::Node)];
        for directory in [self.resources(), self.snapshots()] {
            for name in host.list_dir(&directory).await? {
                if name.ends_with(".json") {
                    paths.push(directory.join(name));
                }
            }
        }
        for path in paths {
            let Some(stored) = read::<Stored>(host, &path).await else {
                continue;
            };
            match stored.read() {
                Ok(record) if self.file(&record.spec.key()) == path => {
                    loaded.objects.insert(record.spec.key(), record);
                }
                Ok(_) => quarantine(host, &path, "it is the record of another object").await,
                Err(why) => quarantine(host, &path, &why).await,
            }
        }
        Ok(loaded)
    }

    /// Writes the node's identity.
    pub async fn save_identity(&self, host: &dyn Host, identity: &Identity) -> Result<()> {
        write(host, &self.directory.join("identity.json"), identity).await
    }

    /// Writes what is suspended, or about to be.
    pub async fn save_suspended(&self, host: &dyn Host, suspended: &Suspended) -> Result<()> {
        write(host, &self.directory.join(SUSPENDED_FILE), suspended).await
    }

    /// Writes a record, without its secrets.
    pub async fn save(&self, host: &dyn Host, record: &Record) -> Result<()> {
        let path = self.file(&record.spec.key());
        let stored = Stored::of(record).map_err(|error| not_json(&path, &error))?;
        write(host, &path, &stored).await
    }

    /// Removes a record.
    pub async fn remove(&self, host: &dyn Host, key: &Key) -> Result<()> {
        host.remove_file(&self.file(key)).await?;
        Ok(())
    }

    fn resources(&self) -> PathBuf {
        self.directory.join("resources")
    }

    fn snapshots(&self) -> PathBuf {
        self.directory.join("snapshots")
    }

    fn file(&self, key: &Key) -> PathBuf {
        match key {
            Key::Node => self.directory.join("node.json"),
            Key::Resource(name) => {
                let name = name.as_str().to_ascii_uppercase();
                self.resources().join(format!("{name}.json"))
            }
            // No name has a dot.
            Key::Snapshot(name, snapshot) => {
                let name = format!("{name}.{snapshot}").to_ascii_uppercase();
                self.snapshots().join(format!("{name}.json"))
            }
            Key::Other(_) => unreachable!("no spec has such a key"),
        }
    }
}

impl Stored {
    fn of(record: &Record) -> serde_json::Result<Stored> {
        let mut spec = record.spec.clone();
        match &mut spec {
            Spec::Resource(resource) => Arc::make_mut(resource).remove_secrets(),
            Spec::Snapshot(snapshot) => Arc::make_mut(snapshot).remove_secrets(),
            Spec::Node(_) => {}
        }
        Ok(Stored {
            revision: record.revision,
            wanted: serde_json::to_value(Wanted::new(&spec))?,
            notes: record.notes.clone(),
        })
    }

    fn read(self) -> std::result::Result<Record, String> {
        let wanted = serde_json::from_str::<Wanted>(&self.wanted.to_string());
        Ok(Record {
            revision: self.revision,
            spec: wanted.map_err(|error| error.to_string())?.read()?,
            notes: self.notes,
        })
    }
}

fn not_json(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(
        linstor_api::code::FAIL_IMPL_ERROR,
        format!("Cannot write '{}' as JSON.", path.display()),
    )
    .cause(error.to_string())
}

async fn write<T: Serialize>(host: &dyn Host, path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_vec_pretty(value).map_err(|error| not_json(path, &error))?;
    Ok(host.write_atomic(path, &json, MODE).await?)
}

async fn read<T: DeserializeOwned>(host: &dyn Host, path: &Path) -> Option<T> {
    let bytes = match host.read(path).await {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return None,
        Err(e) => {
            tracing::error!(path = %path.display(), error = %e.source, "a file of the satellite cannot be read");
            return None;
        }
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(e) => {
            quarantine(host, path, &e.to_string()).await;
            None
        }
    }
}

async fn quarantine(host: &dyn Host, path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(QUARANTINE_SUFFIX);
    let aside = PathBuf::from(aside);
    tracing::error!(path = %path.display(), aside = %aside.display(), why, "a file of the satellite cannot be parsed and was renamed");
    if let Err(e) = host.rename(path, &aside).await {
        tracing::error!(path = %path.display(), error = %e.source, "a file of the satellite that cannot be parsed cannot be renamed");
    }
}
