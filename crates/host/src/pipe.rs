//! Programs whose output is the next one's input, between a reader and a writer of ours.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::cmd::{Cmd, Deadline, write_reason};
use crate::error::{RunError, Seconds};

/// Where a pipe's first program reads from.
pub type PipeInput<'a> = &'a mut (dyn AsyncRead + Send + Unpin);
/// Where a pipe's last program writes to.
pub type PipeOutput<'a> = &'a mut (dyn AsyncWrite + Send + Unpin);

/// How long a pipe may go without I/O, if nothing else is set.
const STALL_DEFAULT: Duration = Duration::from_secs(60);

/// Commands, each of which reads what the one before it writes. Never a shell line.
#[derive(Debug, Clone)]
pub struct Pipe {
    cmds: Vec<Cmd>,
    deadline: Deadline,
    bytes_max: Option<u64>,
    bytes_per_second: Option<u64>,
    moved: Moved,
}

impl Pipe {
    /// A pipe of one command, with a deadline by I/O progress.
    ///
    /// The commands' own deadlines and limits are not heeded, and none may have an input of its own.
    pub fn new(first: Cmd) -> Pipe {
        let pipe = Pipe {
            cmds: Vec::new(),
            deadline: Deadline::stall(STALL_DEFAULT),
            bytes_max: None,
            bytes_per_second: None,
            moved: Moved::default(),
        };
        pipe.to(first)
    }

    /// Adds the command that reads what the last one writes.
    #[must_use]
    pub fn to(mut self, next: Cmd) -> Pipe {
        assert!(next.input().is_none(), "`{next}` reads from the pipe");
        self.cmds.push(next);
        self
    }

    /// Sets how long the pipe may run. [`Watch::Io`](crate::Watch::Io) counts what moves between us and the programs,
    /// and what the programs read and write.
    #[must_use]
    pub fn deadline(mut self, deadline: Deadline) -> Pipe {
        self.deadline = deadline;
        self
    }

    /// Accepts at most so many bytes from the reader, and as many for the writer.
    #[must_use]
    pub fn bytes_max(mut self, bytes: u64) -> Pipe {
        self.bytes_max = Some(bytes);
        self
    }

    /// Moves at most so many bytes a second from the reader, and as many to the writer.
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: u64) -> Pipe {
        assert!(bytes > 0, "a pipe that moves nothing never ends");
        self.bytes_per_second = Some(bytes);
        self
    }

    /// The commands, in order; at least one.
    pub fn cmds(&self) -> &[Cmd] {
        &self.cmds
    }

    /// How long the pipe may run.
    pub fn time_limit(&self) -> Deadline {
        self.deadline
    }

    /// The accepted number of bytes, each way.
    pub fn bytes_limit(&self) -> Option<u64> {
        self.bytes_max
    }

    /// The accepted speed, each way.
    pub fn rate_limit(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// How much has been moved; can be read while the pipe runs.
    pub fn moved(&self) -> Moved {
        self.moved.clone()
    }
}

impl fmt::Display for Pipe {
    /// The commands as one could type them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, cmd) in self.cmds.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            cmd.fmt(f)?;
        }
        Ok(())
    }
}

/// How much a pipe has moved so far.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    read: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

impl Moved {
    /// Bytes from the reader that the first program accepted.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes from the last program that the writer accepted.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// For implementations of [`Host`](crate::Host).
    pub fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// For implementations of [`Host`](crate::Host).
    pub fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A program of a pipe that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramEnd {
    /// The command as [`Cmd`] prints it.
    pub cmd: String,
    /// How it ended.
    pub status: ProgramStatus,
    /// The end of its standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramStatus {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It had not ended when this was written down: it outlived SIGKILL.
    Running,
    /// Its end could not be read.
    Unknown,
}

impl fmt::Display for ProgramEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.cmd)?;
        match self.status {
            ProgramStatus::Exited(code) => write!(f, "ended with exit code {code}")?,
            ProgramStatus::Killed(signal) => write!(f, "was killed by signal {signal}")?,
            ProgramStatus::Running => f.write_str("still runs")?,
            ProgramStatus::Unknown => f.write_str("ended, and its exit code could not be read")?,
        }
        write_reason(f, &self.stderr)
    }
}

/// A pipe that did not move everything from its reader, through its programs, to its writer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct PipeError {
    /// The commands as [`Pipe`] prints them.
    pub pipe: String,
    /// What went wrong first.
    pub cause: PipeCause,
    /// How the programs ended, in order; empty if none was started.
    pub programs: Vec<ProgramEnd>,
}

/// What went wrong with a pipe.
#[derive(Debug)]
pub enum PipeCause {
    /// A program did not start, or the fake host cannot tell what it does.
    Run(RunError),
    /// The program of this index failed. Those before it may have been killed by SIGPIPE, those after it may have
    /// complained about a truncated input.
    Program(usize),
    /// The reader failed.
    Read(io::Error),
    /// The writer failed.
    Write(io::Error),
    /// The programs ended well before they had read everything.
    InputLeft,
    /// There were more bytes than accepted.
    TooMuch {
        /// The limit.
        bytes_max: u64,
    },
    /// It took too long.
    TimedOut {
        /// How long it ran.
        after: Duration,
        /// What it exceeded, as a clause.
        why: &'static str,
        /// A process outlived SIGKILL, as one stuck in the kernel does, and may still do something.
        outlived_kill: bool,
    },
}

impl PipeError {
    fn message(&self) -> String {
        let pipe = &self.pipe;
        match &self.cause {
            PipeCause::Run(error) => error.to_string(),
            PipeCause::Program(index) => match self.programs.get(*index) {
                Some(program) if self.programs.len() == 1 => program.to_string(),
                Some(program) => format!("`{pipe}`: {program}"),
                None => format!("`{pipe}` failed"),
            },
            PipeCause::Read(error) => format!("the input of `{pipe}` could not be read: {error}"),
            PipeCause::Write(error) => {
                format!("the output of `{pipe}` could not be written: {error}")
            }
            PipeCause::InputLeft => format!("`{pipe}` ended without having read its whole input"),
            PipeCause::TooMuch { bytes_max } => {
                format!("`{pipe}` moved more than {bytes_max} bytes and was ended")
            }
            PipeCause::TimedOut { after, why, .. } => {
                format!("`{pipe}` was ended after {}: {why}", Seconds(*after))
            }
        }
    }
}

/// The program to blame when at least one failed: the first that was not killed by SIGPIPE, since that only says that
/// a later one stopped reading.
pub fn first_failure(programs: &[ProgramEnd]) -> Option<usize> {
    const SIGPIPE: i32 = 13;
    let failed = |program: &ProgramEnd| {
        !matches!(
            program.status,
            ProgramStatus::Running | ProgramStatus::Exited(0)
        )
    };
    let first = programs
        .iter()
        .position(|program| failed(program) && program.status != ProgramStatus::Killed(SIGPIPE));
    first.or_else(|| programs.iter().position(failed))
}
