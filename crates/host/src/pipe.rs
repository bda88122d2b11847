//! Pipes: programs, each of which reads the output of the one before it, between a reader and a writer.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::cmd::{Cmd, Deadline, write_reason};
use crate::error::{RunError, Seconds};

/// The reader whose bytes the first program of a pipe reads.
pub type PipeInput<'a> = &'a mut (dyn AsyncRead + Send + Unpin);
/// The writer that receives the output of the last program of a pipe.
pub type PipeOutput<'a> = &'a mut (dyn AsyncWrite + Send + Unpin);

/// Default limit of a pipe's time without I/O.
const STALL_DEFAULT: Duration = Duration::from_secs(60);

/// Commands, each of which reads the output of the one before it. Never a shell line.
#[derive(Debug, Clone)]
pub struct Pipe {
    cmds: Vec<Cmd>,
    deadline: Deadline,
    bytes_max: Option<u64>,
    bytes_per_second: Option<u64>,
    moved: Moved,
}

impl Pipe {
    /// A pipe of one command, limited by its time without I/O.
    ///
    /// The commands' own deadlines and limits are ignored, and none may have an input of its own.
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

    /// Appends a command.
    #[must_use]
    pub fn to(mut self, next: Cmd) -> Pipe {
        assert!(next.input().is_none(), "`{next}` reads from the pipe");
        self.cmds.push(next);
        self
    }

    /// Sets the deadline. [`Watch::Io`](crate::Watch::Io) counts the bytes that this process moves to and from the
    /// programs, and those that the programs read and write.
    #[must_use]
    pub fn deadline(mut self, deadline: Deadline) -> Pipe {
        self.deadline = deadline;
        self
    }

    /// Sets the limit of bytes from the reader, and of bytes to the writer.
    #[must_use]
    pub fn bytes_max(mut self, bytes: u64) -> Pipe {
        self.bytes_max = Some(bytes);
        self
    }

    /// Sets the limit of bytes per second from the reader, and of those to the writer.
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: u64) -> Pipe {
        assert!(bytes > 0, "a pipe with a rate of 0 bytes per second");
        self.bytes_per_second = Some(bytes);
        self
    }

    /// The commands, in order; at least one.
    pub fn cmds(&self) -> &[Cmd] {
        &self.cmds
    }

    /// The deadline.
    pub fn time_limit(&self) -> Deadline {
        self.deadline
    }

    /// The limit of bytes in each direction.
    pub fn bytes_limit(&self) -> Option<u64> {
        self.bytes_max
    }

    /// The limit of bytes per second in each direction.
    pub fn rate_limit(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// The bytes moved so far; can be read while the pipe runs.
    pub fn moved(&self) -> Moved {
        self.moved.clone()
    }
}

impl fmt::Display for Pipe {
    /// The commands quoted for a shell.
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

/// The bytes that a pipe has moved so far.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    read: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

impl Moved {
    /// Bytes from the reader that were written to the first program.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes from the last program that were written to the writer.
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
    /// Its exit status.
    pub status: ProgramStatus,
    /// The last part of its standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramStatus {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It still exists after SIGKILL.
    Running,
    /// Its exit status could not be read.
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

/// A pipe that did not move all bytes from its reader, through its programs, to its writer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct PipeError {
    /// The commands as [`Pipe`] prints them.
    pub pipe: String,
    /// The first failure.
    pub cause: PipeCause,
    /// The ended programs, in order; empty if none was started.
    pub programs: Vec<ProgramEnd>,
}

/// Why a pipe failed.
#[derive(Debug)]
pub enum PipeCause {
    /// A program did not start, or the fake host does not implement it.
    Run(RunError),
    /// The program of this index failed. Those before it may have been killed by SIGPIPE, and those after it may have
    /// failed because their input is truncated.
    Program(usize),
    /// The reader failed.
    Read(io::Error),
    /// The writer failed.
    Write(io::Error),
    /// The programs succeeded without reading their whole input.
    InputLeft,
    /// There were more bytes than the limit.
    TooMuch {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// The deadline was exceeded.
    TimedOut {
        /// Run time until then.
        after: Duration,
        /// Which limit it exceeded, as a clause.
        why: &'static str,
        /// A process still exists after SIGKILL, as one in uninterruptible sleep does, and may still change something.
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
            PipeCause::InputLeft => format!("`{pipe}` ended without reading its whole input"),
            PipeCause::TooMuch { bytes_max } => {
                format!("`{pipe}` moved more than {bytes_max} bytes and was killed")
            }
            PipeCause::TimedOut { after, why, .. } => {
                format!("`{pipe}` was killed after {}: {why}", Seconds(*after))
            }
        }
    }
}

/// The program that caused the failure: the first that failed and was not killed by SIGPIPE, since SIGPIPE means that
/// a later program stopped reading.
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
