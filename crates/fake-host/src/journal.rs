//! What was asked of the fake machines.

use std::fmt;
use std::time::Duration;

/// Something that a host was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// On which node.
    pub node: String,
    /// Time since the cluster was made.
    pub at: Duration,
    /// The command line, or `write PATH` and the like for requests that run no program.
    pub text: String,
    /// Whether it is meant to change anything.
    pub mutating: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Not finished, or never: the caller went away or the machine crashed.
    Unfinished,
    /// Ran, with this exit code.
    Ran(i32),
    /// Ended by its deadline.
    TimedOut,
    /// Not installed.
    NotFound,
    /// The fake does not know it.
    Unsupported,
}

impl fmt::Display for Entry {
    /// The node and the command; the exit code only when it is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.text)?;
        match self.outcome {
            Outcome::Ran(0) => Ok(()),
            Outcome::Ran(code) => write!(f, " -> {code}"),
            Outcome::Unfinished => write!(f, " -> unfinished"),
            Outcome::TimedOut => write!(f, " -> timed out"),
            Outcome::NotFound => write!(f, " -> not found"),
            Outcome::Unsupported => write!(f, " -> unsupported"),
        }
    }
}

/// Whether a command is meant to change anything.
pub(crate) fn mutates(program: &str, args: &[String]) -> bool {
    let has = |word: &str| args.iter().any(|arg| arg == word);
    if has("--version") {
        return false;
    }
    match program {
        "lvs" | "vgs" | "pvs" | "pvdisplay" | "lsblk" | "blkid" | "df" | "stat" | "lvm"
        | "lvmconfig" | "udevadm" | "uname" | "zstd" => false,
        "zfs" => !(has("list") || has("get") || has("version") || has("-n")),
        "zpool" => !(has("list") || has("status") || has("get")),
        "losetup" => !(has("-l") || has("--list") || has("-a") || has("-j")),
        "dmsetup" => !(has("ls") || has("info") || has("table") || has("status") || has("version")),
        "blockdev" => !has("--getsize64"),
        "cryptsetup" => !(has("isLuks") || has("luksDump") || has("status") || has("--version")),
        "drbdmeta" => !(has("get-gi") || has("show-gi") || has("dump-md")),
        "drbdsetup" => {
            let verb = args
                .iter()
                .find(|arg| !arg.starts_with('-'))
                .map_or("", String::as_str);
            // `check-resize` writes down for drbd-utils what there is, when somebody gets round to it.
            !(matches!(
                verb,
                "status"
                    | "events2"
                    | "show"
                    | "role"
                    | "cstate"
                    | "dstate"
                    | "help"
                    | "check-resize"
            ) || verb.starts_with("wait-"))
        }
        "drbdadm" => {
            let looks = [
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
            !(looks.iter().any(|word| has(word)) || args.iter().any(|arg| arg.starts_with("sh-")))
        }
        _ => true,
    }
}
