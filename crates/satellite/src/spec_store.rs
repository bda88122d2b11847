//! What the satellite keeps on its own disk, so that it can act without its controller.
//!
//! What we store: who we are and the newest epoch that we obeyed (`identity.json`), the node's spec (`node.json`), and
//! one file per resource with its newest spec and the notes that make a half-done step recognisable after a crash
//! (`resources/<NAME>.json`). Everything is written before it is acted upon. A file that cannot be read is put aside
//! and reported; the others serve.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use linstor_host::Host;
use linstor_wire::Secret;
use linstor_wire::spec::{NodeSpec, ResourceSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::failure::{Failure, Result};
use crate::suspension::Suspended;

/// Properties are nobody else's business.
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
    pub node_name: String,
    /// The node's identity.
    pub node_uuid: Uuid,
    /// The epoch of the newest controller that was obeyed.
    pub epoch: u64,
    /// Which start of a controller made that epoch.
    #[serde(default)]
    pub start: Uuid,
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

/// The node's own spec on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// How new the spec is.
    #[serde(flatten)]
    pub revision: Revision,
    /// The spec.
    #[serde(flatten)]
    pub spec: NodeSpec,
}

/// A resource on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How new the spec is.
    #[serde(flatten)]
    pub revision: Revision,
    /// The spec.
    pub spec: ResourceSpec,
    /// What was begun or found out.
    #[serde(default)]
    pub notes: Notes,
}

/// What a crash must not make us forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// By volume number.
    #[serde(default)]
    pub volumes: BTreeMap<u32, VolumeNotes>,
    /// What was known of other copies when DRBD was last taken down.
    #[serde(default)]
    pub last_copy: Option<LastCopy>,
    /// DRBD minors that were made primary for a moment.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub promoted: BTreeSet<u32>,
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
    /// The size in DRBD for which drbd-utils know where its device ends, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered_kib: Option<u64>,
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
    /// Begun: nothing that is on it is worth keeping, every step may be done again.
    New,
    /// Begun in place of one that was in use and is gone: as new, but its content can only come from a peer.
    Replacement,
    /// In use: nothing on it may be initialised again.
    #[default]
    Ready,
    /// Let go of, as another node has the data: what is on it gets older and need not be asked for.
    LetGo,
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
    /// Who we are, if we ever knew.
    pub identity: Option<Identity>,
    /// The node's spec.
    pub node: Option<NodeRecord>,
    /// Resources by key.
    pub resources: BTreeMap<String, Record>,
    /// What was suspended, or about to be.
    pub suspended: Suspended,
}

/// The files.
#[derive(Debug, Clone)]
pub struct SpecStore {
    directory: PathBuf,
}

/// The form of a name that is compared: names differing in case only are the same.
pub fn key(name: &str) -> String {
    name.to_ascii_uppercase()
}

impl SpecStore {
    /// A store below a directory.
    pub fn new(directory: PathBuf) -> Self {
        SpecStore { directory }
    }

    /// Reads everything.
    pub async fn load(&self, host: &dyn Host) -> Result<Loaded> {
        host.create_dir_all(&self.resources()).await?;
        let mut loaded = Loaded {
            identity: read(host, &self.directory.join("identity.json")).await,
            node: read(host, &self.directory.join("node.json")).await,
            resources: BTreeMap::new(),
            suspended: read(host, &self.directory.join(SUSPENDED_FILE))
                .await
                .unwrap_or_default(),
        };
        for name in host.list_dir(&self.resources()).await? {
            let Some(stem) = name.strip_suffix(".json") else {
                continue;
            };
            let path = self.resources().join(&name);
            let Some(record) = read::<Record>(host, &path).await else {
                continue;
            };
            if key(&record.spec.name) == stem {
                loaded.resources.insert(stem.to_owned(), record);
            } else {
                quarantine(host, &path, "it belongs to a resource of another name").await;
            }
        }
        Ok(loaded)
    }

    /// Keeps who we are.
    pub async fn save_identity(&self, host: &dyn Host, identity: &Identity) -> Result<()> {
        write(host, &self.directory.join("identity.json"), identity).await
    }

    /// Keeps the node's spec.
    pub async fn save_node(&self, host: &dyn Host, node: &NodeRecord) -> Result<()> {
        write(host, &self.directory.join("node.json"), node).await
    }

    /// Keeps what is suspended, or about to be.
    pub async fn save_suspended(&self, host: &dyn Host, suspended: &Suspended) -> Result<()> {
        write(host, &self.directory.join(SUSPENDED_FILE), suspended).await
    }

    /// Keeps a resource.
    pub async fn save_resource(&self, host: &dyn Host, record: &Record) -> Result<()> {
        let mut record = record.clone();
        if let Some(drbd) = record.spec.drbd_mut() {
            drbd.secret = Secret::default();
        }
        write(host, &self.file(&key(&record.spec.name)), &record).await
    }

    /// Forgets a resource.
    pub async fn remove_resource(&self, host: &dyn Host, key: &str) -> Result<()> {
        host.remove_file(&self.file(key)).await?;
        Ok(())
    }

    fn resources(&self) -> PathBuf {
        self.directory.join("resources")
    }

    fn file(&self, key: &str) -> PathBuf {
        self.resources().join(format!("{key}.json"))
    }
}

async fn write<T: Serialize>(host: &dyn Host, path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_vec_pretty(value).map_err(|e| {
        Failure::new(
            linstor_api::code::FAIL_IMPL_ERROR,
            format!("Cannot write '{}' as JSON.", path.display()),
        )
        .cause(e.to_string())
    })?;
    Ok(host.write_atomic(path, &json, MODE).await?)
}

async fn read<T: DeserializeOwned>(host: &dyn Host, path: &Path) -> Option<T> {
    let bytes = match host.read(path).await {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return None,
        Err(e) => {
            tracing::error!(path = %path.display(), error = %e.source, "cannot read own state");
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
    tracing::error!(path = %path.display(), aside = %aside.display(), why, "put own state aside");
    if let Err(e) = host.rename(path, &aside).await {
        tracing::error!(path = %path.display(), error = %e.source, "cannot put own state aside");
    }
}
