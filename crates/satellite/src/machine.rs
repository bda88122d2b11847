//! The machine as the tools see it: the host's seam, with a bound on how much runs at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linstor_host::{Cmd, Deadline, Host, Output, Watch};
use linstor_wire::spec::Props;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::Instant;

use crate::failure::Result;
use crate::turns::Turns;

/// Commands that run at the same time. Each is bounded by its own deadline, so a stuck tool holds one place only.
const COMMANDS_MAX: usize = 32;
/// Locks in the table that no task holds.
const IDLE_LOCKS_MAX: usize = 1024;

/// Times of commands that properties of the controller or of the node set; where they set none, the command's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Limits {
    run: Option<Duration>,
    stall: Option<Duration>,
    poll: Option<Duration>,
    term_wait: Option<Duration>,
    kill_wait: Option<Duration>,
}

impl Limits {
    fn of(props: &Props) -> Self {
        let ms = |key: &str| {
            let ms: u64 = props.get(key)?.trim().parse().ok()?;
            (ms > 0).then(|| Duration::from_millis(ms))
        };
        Limits {
            run: ms("ExtCmd/WaitTimeout"),
            stall: ms("ExtCmd/IoStallTimeout"),
            poll: ms("ExtCmd/IoPollInterval"),
            term_wait: ms("ExtCmd/TermTimeout"),
            kill_wait: ms("ExtCmd/KillTimeout"),
        }
    }

    fn apply(self, given: Deadline) -> Deadline {
        let (limit, watch) = match given.watch {
            // A command with another limit than the usual one has its reason.
            Watch::Run if given.limit != Deadline::default().limit => (given.limit, Watch::Run),
            Watch::Run => (self.run.unwrap_or(given.limit), Watch::Run),
            Watch::Io { poll } => {
                let poll = self.poll.unwrap_or(poll);
                (self.stall.unwrap_or(given.limit), Watch::Io { poll })
            }
        };
        Deadline {
            limit,
            watch,
            term_wait: self.term_wait.unwrap_or(given.term_wait),
            kill_wait: self.kill_wait.unwrap_or(given.kill_wait),
        }
    }
}

/// The host and what orders the access to it.
pub struct Machine {
    host: Arc<dyn Host>,
    running: Semaphore,
    limits: Mutex<Limits>,
    /// Turns at what other machines change, too.
    pub turns: Turns,
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
            limits: Mutex::default(),
            turns: Turns::default(),
            locks: Mutex::new(BTreeMap::new()),
        }
    }

    /// The host, for files and devices.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// Takes over the times of commands from the node's properties.
    pub fn set_limits(&self, props: &Props) {
        *self.limits.lock().expect("no code panics while holding it") = Limits::of(props);
    }

    /// Runs a command whose non-zero exit code is a failure.
    pub async fn run(&self, cmd: Cmd) -> Result<Output> {
        Ok(self.try_run(cmd).await?.ok()?)
    }

    /// Runs a command whose exit code the caller evaluates.
    pub async fn try_run(&self, cmd: Cmd) -> Result<Output> {
        // The semaphore is never closed, so an error cannot happen; without a permit the command runs all the same.
        let _permit = self.running.acquire().await.ok();
        let limits = *self.limits.lock().expect("no code panics while holding it");
        let deadline = limits.apply(cmd.time_limit());
        let cmd = cmd.deadline(deadline);
        let (shown, begun) = (cmd.to_string(), Instant::now());
        tracing::debug!(cmd = shown, "run");
        let output = self.host.run(cmd).await;
        let took_ms = begun.elapsed().as_millis() as u64;
        tracing::debug!(cmd = shown, took_ms, "ended");
        Ok(output?)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Properties change the usual limit and that of commands that do I/O, but no limit that a command has for a reason.
    #[test]
    fn properties_set_times_of_commands() {
        let props: Props = [
            ("ExtCmd/WaitTimeout", "60000"),
            ("ExtCmd/IoStallTimeout", "90000"),
            ("ExtCmd/TermTimeout", "1500"),
            ("ExtCmd/KillTimeout", "0"),
            ("ExtCmd/IoPollInterval", "soon"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let limits = Limits::of(&props);
        let seconds = Duration::from_secs;
        let usual = limits.apply(Deadline::default());
        assert_eq!((usual.limit, usual.watch), (seconds(60), Watch::Run));
        assert_eq!(usual.term_wait, Duration::from_millis(1500));
        assert_eq!(usual.kill_wait, Deadline::default().kill_wait);
        let own = limits.apply(Deadline::run(seconds(5)));
        assert_eq!(own.limit, seconds(5));
        let given = Deadline::stall(seconds(30));
        let stalled = limits.apply(given);
        assert_eq!((stalled.limit, stalled.watch), (seconds(90), given.watch));
        assert_eq!(Limits::default().apply(given), given);
    }
}
