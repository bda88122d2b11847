//! The lab's network namespace.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::tool::Tool;

/// Limit for a killed guest to exit: the kernel clears its memory first.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);

/// A named network namespace of `ip netns`.
#[derive(Clone, Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// The namespace of that name, which need not exist.
    pub fn named(name: &str) -> Netns {
        Netns {
            name: name.to_owned(),
        }
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Whether the namespace exists.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Creates the namespace.
    pub fn create(&self) -> Result<()> {
        Tool::new("ip").args(["netns", "add", &self.name]).run()
    }

    /// Kills all processes inside and removes the namespace with its interfaces.
    pub fn destroy(&self) -> Result<()> {
        self.kill_all()?;
        if self.exists() {
            Tool::new("ip").args(["netns", "del", &self.name]).run()?;
        }
        Ok(())
    }

    /// Runs `action` on a thread inside the namespace. Sockets it opens and processes it starts
    /// belong there; the calling thread is not moved.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let namespace = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        thread::scope(|scope| {
            let worker = scope.spawn(|| -> Result<T> {
                setns(&namespace, CloneFlags::CLONE_NEWNET).context("enter the network")?;
                Ok(action())
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// All processes inside; none of them may outlive the lab.
    fn kill_all(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let inside = self.processes();
            if inside.is_empty() {
                return Ok(());
            }
            for pid in &inside {
                // The process may have ended since.
                let _ = kill(*pid, Signal::SIGKILL);
            }
            if start.elapsed() > KILL_TIMEOUT {
                bail!(
                    "processes in network namespace {} still exist after SIGKILL: {inside:?}",
                    self.name
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn processes(&self) -> Vec<Pid> {
        let Ok(ours) = fs::metadata(self.path()) else {
            return Vec::new();
        };
        // No namespace (after a reboot only a plain file is left), or the namespace of this process.
        if same_namespace(&ours, Path::new("/proc/self/ns/net")) {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            same_namespace(&ours, &PathBuf::from(format!("/proc/{pid}/ns/net")))
        })
        .map(Pid::from_raw)
        .collect()
    }
}

fn same_namespace(ours: &fs::Metadata, theirs: &Path) -> bool {
    fs::metadata(theirs)
        .is_ok_and(|theirs| theirs.ino() == ours.ino() && theirs.dev() == ours.dev())
}
