//! Errors of commands, files and devices.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cmd::Output;

/// A command did not start, or did not end by itself.
///
/// A command that ended with a non-zero exit code is no `RunError`: it has an [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program is in none of the searched directories.
    #[error("program `{program}` is not installed (searched: {})", searched.join(", "))]
    NotFound {
        /// The program, without a path.
        program: String,
        /// The searched directories.
        searched: Vec<String>,
    },
    /// The command exceeded its deadline, and its process group was killed.
    #[error("`{}` was killed after {}: {why}", output.cmd, Seconds(*after))]
    TimedOut {
        /// Run time until then.
        after: Duration,
        /// Which limit it exceeded, as a clause.
        why: &'static str,
        /// The output until then. Whether the command changed anything is unknown.
        output: Box<Output>,
        /// The process still exists after SIGKILL, as one in uninterruptible sleep does, and may still change
        /// something.
        outlived_kill: bool,
    },
    /// A signal from another process or the kernel ended the command.
    #[error("`{}` was killed by signal {signal}", output.cmd)]
    Killed {
        /// Number of the signal.
        signal: i32,
        /// The output until then.
        output: Box<Output>,
    },
    /// The program exists but cannot be started.
    #[error("`{cmd}` could not be started")]
    Spawn {
        /// The command.
        cmd: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The output or exit status could not be read.
    #[error("`{cmd}` ran, but its output or exit status could not be read")]
    Pipe {
        /// The command.
        cmd: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The output exceeded the limit, and the process group was killed.
    #[error("`{cmd}` printed more than {bytes_max} bytes and was killed")]
    OutputTooLarge {
        /// The command.
        cmd: String,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// Only from a fake host: it does not implement this program or option.
    #[error("the fake host does not support `{cmd}`: {missing}")]
    Unsupported {
        /// The command.
        cmd: String,
        /// What is not implemented.
        missing: String,
    },
    /// Only from a fake host: the machine crashed while the command ran.
    #[error("the host crashed while `{cmd}` ran")]
    HostGone {
        /// The command.
        cmd: String,
    },
}

/// An operation on a file or device failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct FileError {
    /// The operation, as a verb phrase: "read", "write", "list directory".
    pub action: &'static str,
    /// The file or device.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

impl FileError {
    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

pub(crate) struct Seconds(pub(crate) Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
