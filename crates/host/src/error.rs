//! What can go wrong between us and the machine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cmd::Output;

/// A command did not run to an end of its own.
///
/// A command that ended with a non-zero exit code is not here: that is an [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No such program in the directories that are searched.
    #[error("program `{program}` is not installed (looked in {})", looked_in.join(", "))]
    NotFound {
        /// The program's bare name.
        program: String,
        /// The directories.
        looked_in: Vec<String>,
    },
    /// It took too long, so its process group was ended.
    #[error("`{}` was ended after {}: {why}", output.cmd, Seconds(*after))]
    TimedOut {
        /// How long it ran.
        after: Duration,
        /// What it exceeded, as a clause.
        why: &'static str,
        /// What it had said by then. Whether it had changed anything is unknown.
        output: Box<Output>,
        /// The process outlived SIGKILL, as one stuck in the kernel does, and may still do something.
        outlived_kill: bool,
    },
    /// A signal that we did not send ended it.
    #[error("`{}` was killed by signal {signal}", output.cmd)]
    Killed {
        /// The signal's number.
        signal: i32,
        /// What it had said by then.
        output: Box<Output>,
    },
    /// It could not be started.
    #[error("`{cmd}` could not be started")]
    Spawn {
        /// The command.
        cmd: String,
        /// Why.
        source: io::Error,
    },
    /// Its output or its end could not be read.
    #[error("`{cmd}` ran, but its outcome could not be read")]
    Pipe {
        /// The command.
        cmd: String,
        /// Why.
        source: io::Error,
    },
    /// It said more than anybody wants to hear, and was ended.
    #[error("`{cmd}` printed more than {bytes_max} bytes and was ended")]
    OutputTooLarge {
        /// The command.
        cmd: String,
        /// The limit.
        bytes_max: usize,
    },
    /// Only from a fake host: it does not know this program or option, so it can say nothing about the outcome.
    #[error("the fake host does not support `{cmd}`: {missing}")]
    Unsupported {
        /// The command.
        cmd: String,
        /// What is missing.
        missing: String,
    },
    /// Only from a fake host: the machine crashed while the command ran.
    #[error("the host crashed while `{cmd}` ran")]
    HostGone {
        /// The command.
        cmd: String,
    },
}

/// Something with a file or a device failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct FileError {
    /// What was tried, as a verb phrase: "read", "write", "list directory".
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why it failed.
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
