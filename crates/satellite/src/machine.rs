//! The machine as the tools see it: the host's seam, with a bound on how much runs at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use linstor_host::{Cmd, Host, Output};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::failure::Result;

/// Commands that run at the same time. Each is bounded by its own deadline, so a stuck tool holds one place only.
const COMMANDS_MAX: usize = 32;
/// Locks in the table that no task holds.
const IDLE_LOCKS_MAX: usize = 1024;

/// The host and what orders the access to it.
pub struct Machine {
    host: Arc<dyn Host>,
    running: Semaphore,
    /// One lock per thing whose changes the kernel or the tool serialises anyhow, for example `lvm/vg0`: waiting
    /// here costs no process.
    locks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Machine {
    /// Wraps a host.
    pub fn new(host: Arc<dyn Host>) -> Self {
        Machine {
            host,
            running: Semaphore::new(COMMANDS_MAX),
            locks: Mutex::new(BTreeMap::new()),
        }
    }

    /// The host, for files and devices.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// Runs a command whose non-zero exit code is a failure.
    pub async fn run(&self, cmd: Cmd) -> Result<Output> {
        Ok(self.try_run(cmd).await?.ok()?)
    }

    /// Runs a command whose exit code the caller evaluates.
    pub async fn try_run(&self, cmd: Cmd) -> Result<Output> {
        // The semaphore is never closed, so an error cannot happen; without a permit the command runs all the same.
        let _permit = self.running.acquire().await.ok();
        tracing::debug!(%cmd, "run");
        Ok(self.host.run(cmd).await?)
    }

    /// Waits for its turn to change something that takes one change at a time.
    pub async fn lock(&self, what: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().expect("no code panics while holding it");
            if locks.len() > IDLE_LOCKS_MAX {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(what.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}
