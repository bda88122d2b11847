//! The journal: all requests to the fake machines and their results.

use std::fmt;
use std::time::Duration;

/// A request to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the node.
    pub node: String,
    /// Time since the cluster was created.
    pub at: Duration,
    /// The command line, or `write PATH`, `rename PATH`, ... for requests that are not commands.
    pub text: String,
    /// Whether it is a request that changes something.
    pub mutating: bool,
    /// How it ended.
    pub completion: Completion,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It has not ended, or never will: the caller dropped the future, or the machine crashed.
    Unfinished,
    /// The command ended with this exit code.
    Ran(i32),
    /// The command was killed at its deadline.
    TimedOut,
    /// The program is not installed.
    NotFound,
    /// The fake does not implement it.
    Unsupported,
}

impl fmt::Display for Entry {
    /// The node and the command; the exit code only if it is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.text)?;
        match self.completion {
            Completion::Ran(0) => Ok(()),
            Completion::Ran(code) => write!(f, " -> {code}"),
            Completion::Unfinished => write!(f, " -> unfinished"),
            Completion::TimedOut => write!(f, " -> timed out"),
            Completion::NotFound => write!(f, " -> not found"),
            Completion::Unsupported => write!(f, " -> unsupported"),
        }
    }
}

/// Whether a command changes something.
pub(crate) fn mutates(program: &str, args: &[String]) -> bool {
    let has = |name: &str| args.iter().any(|arg| arg == name);
    if has("--version") {
        return false;
    }
    match program {
        "filefrag" | "lvs" | "vgs" | "pvs" | "pvdisplay" | "lsblk" | "blkid" | "df" | "stat"
        | "lvm" | "lvmconfig" | "udevadm" | "uname" | "zstd" | "thin_dump" | "thin_delta" => false,
        "zfs" => !["list", "get", "send", "version", "-n"]
            .into_iter()
            .any(has),
        "zpool" => !(has("list") || has("status") || has("get")),
        "losetup" => !(has("-l") || has("--list") || has("-a") || has("-j")),
        "dmsetup" => !(has("ls") || has("info") || has("table") || has("status") || has("version")),
        "blockdev" => !has("--getsize64"),
        "wipefs" => has("-a") || has("--all"),
        "cryptsetup" => {
            !(has("isLuks") || has("luksDump") || has("status") || has("--test-passphrase"))
        }
        "drbdmeta" => !(has("get-gi") || has("show-gi") || has("dump-md")),
        "drbdsetup" => {
            let verb = args
                .iter()
                .find(|arg| !arg.starts_with('-'))
                .map_or("", String::as_str);
            // `check-resize` only stores the device's size for drbd-utils.
            !(matches!(
                verb,
                "status"
                    | "events2"
                    | "show"
                    | "role"
                    | "cstate"
                    | "dstate"
                    | "help"
                    | "xml-help"
                    | "check-resize"
            ) || verb.starts_with("wait-"))
        }
        "drbdadm" => {
            let queries = [
                "status",
                "dump",
                "dump-md",
                "get-gi",
                "role",
                "cstate",
                "dstate",
                "--version",
                "-d",
            ];
            !(queries.iter().any(|query| has(query))
                || args.iter().any(|arg| arg.starts_with("sh-")))
        }
        _ => true,
    }
}
