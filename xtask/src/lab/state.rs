//! A lab's folder, `target/lab/NAME`, with its whole state.
//!
//! ```text
//! lock            held by the program that changes the lab
//! lab.json        State
//! agent           this program, as guests run it
//! modules/        the kernel's modules, in the layout of `modprobe -d`
//! nodeN/          process.json, console.log, disk*.img, state.img, logs of `spawn`
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::LabConfig;
use super::network::Pair;
use super::node::Node;
use super::protocol;

/// The state that outlives the program that started the lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// [`protocol::VERSION`] of the agents.
    pub version: u32,
    /// The configuration.
    pub config: LabConfig,
    /// The kernel's release.
    pub release: String,
    /// Name of the network namespace.
    pub netns: String,
    /// Folders whose current contents guests see, not those at boot.
    pub live_folders: Vec<PathBuf>,
    /// `up` has finished: every agent has answered.
    pub ready: bool,
    /// Links that are cut.
    pub cuts: BTreeSet<Pair>,
}

/// Paths of a lab.
#[derive(Clone, Debug)]
pub struct LabDir {
    root: PathBuf,
}

impl LabDir {
    /// The folder of the lab `name`.
    pub fn of(name: &str) -> Result<LabDir> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
            bail!("a lab's name is up to 32 letters, digits, - and _: not `{name}`");
        }
        let root = labs().join(name);
        // The kernel's command line is split at spaces, its disk options at commas and colons.
        if root
            .to_string_lossy()
            .contains(|c: char| c.is_whitespace() || ",:\"'".contains(c))
        {
            bail!(
                "{}: no spaces, quotes, commas or colons allowed in the path",
                root.display()
            );
        }
        Ok(LabDir { root })
    }

    /// The folder, which is mounted at `/mnt` in guests.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A name for the network namespace that differs from those of other checkouts' labs.
    pub fn netns_name(&self) -> String {
        let name = self.root.file_name().unwrap_or_default().to_string_lossy();
        // FNV-1a, which is stable between builds; the standard library's hash is not.
        let hash = self
            .root
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0x811c_9dc5, |hash, byte| {
                (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
            });
        format!("lab-{name}-{hash:08x}")
    }

    /// Folder of one guest.
    pub fn node(&self, node: Node) -> PathBuf {
        self.root.join(node.to_string())
    }

    /// Console output of all boots of a guest.
    pub fn console(&self, node: Node) -> PathBuf {
        self.node(node).join("console.log")
    }

    /// Root of the module tree.
    pub fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }

    /// The program that guests run as `init` and as agent.
    pub fn agent(&self) -> PathBuf {
        self.root.join("agent")
    }

    /// Locks the lab; an error if another program has locked it.
    pub fn lock(&self) -> Result<Flock<File>> {
        // Next to the folder, which `down` removes while it holds the lock.
        let path = self.root.with_extension("lock");
        fs::create_dir_all(labs())?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((_, Errno::EWOULDBLOCK)) => {
                bail!("another program is changing this lab ({})", path.display())
            }
            Err((_, error)) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }

    /// Reads the state; none if there is no lab.
    pub fn load(&self) -> Result<Option<State>> {
        let path = self.root.join("lab.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let state: State = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is of another version: `down`, then `up`",
                path.display()
            )
        })?;
        if state.version != protocol::VERSION {
            bail!("the lab was started by another version of this program: `down`, then `up`");
        }
        Ok(Some(state))
    }

    /// Writes the state atomically.
    pub fn save(&self, state: &State) -> Result<()> {
        let fresh = self.root.join("lab.json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(state)?)?;
        Ok(fs::rename(&fresh, self.root.join("lab.json"))?)
    }

    /// Removes the folder.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.root.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The workspace this program was built from, and the target folder if it is elsewhere.
pub fn live_folders() -> Vec<PathBuf> {
    let (workspace, target) = (workspace(), target());
    if target.starts_with(&workspace) {
        vec![workspace]
    } else {
        vec![workspace, target]
    }
}

fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    workspace().join(target)
}

fn labs() -> PathBuf {
    target().join("lab")
}

/// Names of all labs that have a folder.
pub fn all_names() -> Vec<String> {
    let Ok(entries) = fs::read_dir(labs()) else {
        return Vec::new();
    };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
