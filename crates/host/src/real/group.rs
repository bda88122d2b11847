//! Process groups: every command leads one, so that killing the group ends all processes the command started.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A process group that is killed when this value is dropped.
#[derive(Debug)]
pub(super) struct Group {
    leader: Option<Pid>,
}

impl Group {
    pub(super) fn new(leader: Option<u32>) -> Self {
        let leader = leader
            .and_then(|pid| i32::try_from(pid).ok())
            .map(Pid::from_raw);
        Group { leader }
    }

    /// Sends a signal to every process of the group. A group without processes is no error.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            let _gone_already = killpg(leader, signal);
        }
    }

    /// The leader ended by itself: processes it left running (such as dmeventd) are daemons and are not killed.
    pub(super) fn release(&mut self) {
        self.leader = None;
    }

    /// The leader of the group, until [`Group::release`].
    pub(super) fn leader(&self) -> Option<Pid> {
        self.leader
    }
}

/// Bytes read and written so far by all existing processes of these groups; only for detecting progress.
pub(super) fn io_bytes(leaders: &[Pid]) -> u64 {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let mut total: u64 = 0;
    for entry in entries.flatten() {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|n| n.parse::<i32>().is_ok());
        let group = is_process.then(|| group_of(&entry.path())).flatten();
        if group.is_some_and(|group| leaders.contains(&Pid::from_raw(group))) {
            total = total.wrapping_add(io_of(&entry.path()));
        }
    }
    total
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// The group of a process: the third field after the command's name, which is in parentheses and may contain any bytes.
fn group_of(process: &Path) -> Option<i32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(2)?.parse().ok()
}

fn io_of(process: &Path) -> u64 {
    let Ok(io) = fs::read_to_string(process.join("io")) else {
        return 0;
    };
    let counted = ["rchar", "wchar", "read_bytes", "write_bytes"];
    io.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| counted.contains(name))
        .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .fold(0, u64::wrapping_add)
}
