//! Pipes of programs.

use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::PROGRAM_DIRS;
use super::group::{self, Group};
use super::run::{NO_PROGRESS, PIPES_LINGER, expire, find, spawn};
use crate::cmd::Deadline;
use crate::error::RunError;
use crate::pipe::{
    Pipe, PipeCause, PipeError, PipeInput, PipeOutput, ProgramEnd, ProgramStatus, first_failure,
};

/// Size of the copy buffer in bytes, in each direction.
const CHUNK_BYTES: usize = 128 * 1024;
/// Chunks per second at a limited rate, so that the flow is even.
const CHUNKS_PER_SECOND: u64 = 10;
/// Bytes that are retained of the end of each program's standard error.
const STDERR_BYTES_MAX: usize = 64 * 1024;

/// Runs a pipe; see [`crate::Host::pipe`].
pub(super) async fn pipe(
    pipe: Pipe,
    input: Option<PipeInput<'_>>,
    output: Option<PipeOutput<'_>>,
) -> Result<Vec<ProgramEnd>, PipeError> {
    let started = Instant::now();
    let result = run(&pipe, input, output, started).await;
    let moved = pipe.moved();
    let (read, written) = (moved.read(), moved.written());
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &result {
        Ok(_) => tracing::debug!(%pipe, read, written, took_ms, "pipe ended"),
        Err(error) => {
            tracing::debug!(%pipe, read, written, %error, took_ms, "pipe failed")
        }
    }
    result
}

async fn run(
    pipe: &Pipe,
    input: Option<PipeInput<'_>>,
    mut output: Option<PipeOutput<'_>>,
    started: Instant,
) -> Result<Vec<ProgramEnd>, PipeError> {
    let error = |cause, programs| PipeError {
        pipe: pipe.to_string(),
        cause,
        programs,
    };
    let mut programs = Programs::start(pipe, input.is_some(), output.is_some())
        .map_err(|source| error(PipeCause::Run(source), Vec::new()))?;
    // A reborrow: the writer is used again below.
    let writer = output
        .as_mut()
        .map(|output| &mut **output as PipeOutput<'_>);
    let mut stdin = programs.stdin.take();
    let mut cause = drive(pipe, &mut programs, (input, &mut stdin), writer, started).await;
    let ended = programs.end(pipe.time_limit()).await;
    // Not before: end of file would make the first program treat an aborted stream as complete.
    drop(stdin);
    if let Some(PipeCause::TimedOut { outlived_kill, .. }) = &mut cause {
        *outlived_kill = !ended;
    }
    // The receiver treats a shutdown as the end of a complete stream, so the writer is shut down only after success.
    if let (None, Some(output)) = (&cause, output) {
        cause = match timeout(pipe.time_limit().limit, output.shutdown()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(PipeCause::Write(error)),
            Err(_) => Some(PipeCause::TimedOut {
                after: started.elapsed(),
                why: NO_PROGRESS,
                outlived_kill: false,
            }),
        };
    }
    match cause {
        None => Ok(programs.ends),
        Some(cause) => Err(error(cause, programs.ends)),
    }
}

/// Moves bytes until all programs have succeeded and all bytes are moved, or until there is a reason to kill them.
async fn drive(
    pipe: &Pipe,
    programs: &mut Programs,
    (input, stdin): (Option<PipeInput<'_>>, &mut Option<ChildStdin>),
    output: Option<PipeOutput<'_>>,
    started: Instant,
) -> Option<PipeCause> {
    let (deadline, moved) = (pipe.time_limit(), pipe.moved());
    let stdout = programs.stdout.take();
    let feed = async {
        if let (Some(input), Some(to)) = (input, &mut *stdin) {
            copy(input, to, pipe, |bytes| moved.add_read(bytes)).await?;
        }
        *stdin = None;
        Ok(())
    };
    let drain = async {
        match (stdout, output) {
            (Some(stdout), Some(output)) => {
                copy(stdout, output, pipe, |bytes| moved.add_written(bytes)).await
            }
            _ => Ok(()),
        }
    };
    let leaders: Vec<_> = programs.groups.iter().filter_map(Group::leader).collect();
    let io_bytes = || {
        group::io_bytes(&leaders)
            .wrapping_add(moved.read())
            .wrapping_add(moved.written())
    };
    let expired = expire(io_bytes, deadline, started);
    tokio::pin!(feed, drain, expired);
    let (mut fed, mut drained, mut input_left) = (false, false, false);
    // After one program failed the others have this long to end by themselves, since their standard error may explain
    // more.
    let mut give_up: Option<Instant> = None;
    loop {
        let failed = first_failure(&programs.ends).map(PipeCause::Program);
        if programs.tasks.is_empty() {
            if failed.is_some() {
                return failed;
            }
            if fed && drained {
                return input_left.then_some(PipeCause::InputLeft);
            }
        }
        if failed.is_some() && give_up.is_none() {
            give_up = Some(Instant::now() + deadline.term_wait);
        }
        tokio::select! {
            biased;
            // Cancel-safe: both copies store their progress in the futures, which are polled again.
            copied = &mut feed, if !fed => match copied {
                Ok(()) => fed = true,
                // The first program closed its standard input; its exit code decides whether that is a failure.
                Err(Copy::Write(_)) => (fed, input_left) = (true, true),
                Err(Copy::Read(error)) => return Some(PipeCause::Read(error)),
                Err(Copy::TooMuch(bytes_max)) => return Some(PipeCause::TooMuch { bytes_max }),
            },
            copied = &mut drain, if !drained => match copied {
                Ok(()) => drained = true,
                Err(Copy::Write(error)) => return Some(PipeCause::Write(error)),
                Err(Copy::Read(error)) => return Some(PipeCause::Read(error)),
                Err(Copy::TooMuch(bytes_max)) => return Some(PipeCause::TooMuch { bytes_max }),
            },
            // Cancel-safe: the end of a program is recorded in the same poll that takes it from the tasks.
            ended = programs.next_end(), if !programs.tasks.is_empty() => {
                // Processes that a program left running when it ended by itself are daemons.
                programs.groups[ended].release();
            }
            () = until(give_up) => return failed,
            why = &mut expired => {
                let after = started.elapsed();
                return failed.or(Some(PipeCause::TimedOut { after, why, outlived_kill: false }));
            }
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}

/// Why a copy ended before the end of its reader.
enum Copy {
    Read(io::Error),
    Write(io::Error),
    TooMuch(u64),
}

/// Copies to the end of the reader within the pipe's limits, and flushes the writer.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    pipe: &Pipe,
    moved: impl Fn(u64),
) -> Result<(), Copy> {
    let rate = pipe.rate_limit();
    let chunk = rate.map_or(CHUNK_BYTES, |rate| {
        usize::try_from(rate / CHUNKS_PER_SECOND)
            .unwrap_or(usize::MAX)
            .clamp(1, CHUNK_BYTES)
    });
    let mut buffer = vec![0; chunk];
    let mut total: u64 = 0;
    let mut next = Instant::now();
    loop {
        let bytes = from.read(&mut buffer).await.map_err(Copy::Read)?;
        if bytes == 0 {
            return to.flush().await.map_err(Copy::Write);
        }
        total += bytes as u64;
        if let Some(bytes_max) = pipe.bytes_limit().filter(|bytes_max| total > *bytes_max) {
            return Err(Copy::TooMuch(bytes_max));
        }
        let mut rest = &buffer[..bytes];
        while !rest.is_empty() {
            let written = to.write(rest).await.map_err(Copy::Write)?;
            if written == 0 {
                return Err(Copy::Write(io::Error::from(io::ErrorKind::WriteZero)));
            }
            moved(written as u64);
            rest = &rest[written..];
        }
        if let Some(rate) = rate {
            // Pauses are not made up for later: the limit applies to every second.
            next = next.max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            sleep_until(next).await;
        }
    }
}

/// The programs of a pipe. Dropping them kills their process groups.
struct Programs {
    /// One task per program: waits for it and reads its standard error.
    tasks: JoinSet<(usize, ProgramStatus, Vec<u8>)>,
    groups: Vec<Group>,
    /// The programs, in order; those that have not ended have the status `Running`.
    ends: Vec<ProgramEnd>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
}

impl Programs {
    /// Starts all programs; if one cannot be started, kills those that were.
    fn start(pipe: &Pipe, feeds: bool, drains: bool) -> Result<Programs, RunError> {
        for cmd in pipe.cmds() {
            find(cmd.program(), PROGRAM_DIRS)?;
        }
        let mut programs = Programs {
            tasks: JoinSet::new(),
            groups: Vec::new(),
            ends: Vec::new(),
            stdin: None,
            stdout: None,
        };
        let piped = |ours: bool| if ours { Stdio::piped() } else { Stdio::null() };
        let mut stdin = piped(feeds);
        let last = pipe.cmds().len() - 1;
        for (index, cmd) in pipe.cmds().iter().enumerate() {
            let (stdout, stdin_next) = if index == last {
                (piped(drains), Stdio::null())
            } else {
                let (reader, writer) = io::pipe().map_err(|source| RunError::Spawn {
                    cmd: cmd.to_string(),
                    source,
                })?;
                (Stdio::from(writer), Stdio::from(reader))
            };
            let (mut child, group) = spawn(cmd, std::mem::replace(&mut stdin, stdin_next), stdout)?;
            if index == 0 {
                programs.stdin = child.stdin.take();
            }
            if index == last {
                programs.stdout = child.stdout.take();
            }
            programs.groups.push(group);
            programs.ends.push(ProgramEnd {
                cmd: cmd.to_string(),
                status: ProgramStatus::Running,
                stderr: String::new(),
            });
            programs.tasks.spawn(async move {
                let (status, stderr) = wait(child).await;
                (index, status, stderr)
            });
        }
        Ok(programs)
    }

    /// Waits until one more program has ended and returns its index. Must not be called when all have ended.
    async fn next_end(&mut self) -> usize {
        match self.tasks.join_next().await {
            Some(Ok((index, status, stderr))) => {
                let end = &mut self.ends[index];
                end.status = status;
                end.stderr = String::from_utf8_lossy(&stderr).into_owned();
                index
            }
            Some(Err(died)) => std::panic::resume_unwind(died.into_panic()),
            None => pending().await,
        }
    }

    async fn all_ended(&mut self) {
        while !self.tasks.is_empty() {
            self.next_end().await;
        }
    }

    /// Kills the process groups of the running programs; `false` if a leader still exists afterwards.
    async fn end(&mut self, deadline: Deadline) -> bool {
        if self.tasks.is_empty() {
            return true;
        }
        self.signal(Signal::SIGTERM);
        let heeded = timeout(deadline.term_wait, self.all_ended()).await.is_ok();
        // Also if the leaders ended after SIGTERM: their children may have ignored it.
        self.signal(Signal::SIGKILL);
        let dead = heeded || timeout(deadline.kill_wait, self.all_ended()).await.is_ok();
        self.groups.iter_mut().for_each(Group::release);
        dead
    }

    fn signal(&self, signal: Signal) {
        for group in &self.groups {
            group.signal(signal);
        }
    }
}

/// Waits for a program and reads its standard error.
async fn wait(mut child: Child) -> (ProgramStatus, Vec<u8>) {
    let stderr = child.stderr.take();
    let mut text = Vec::new();
    let status = {
        let read = read_end(stderr, &mut text);
        tokio::pin!(read);
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                () = &mut read, if open => open = false,
                status = child.wait() => {
                    if open {
                        // Processes that it left running may hold its standard error open for ever.
                        let _still_open = timeout(PIPES_LINGER, read).await;
                    }
                    break status;
                }
            }
        }
    };
    (status.map_or(ProgramStatus::Unknown, program_status), text)
}

fn program_status(status: ExitStatus) -> ProgramStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProgramStatus::Exited(code),
        (None, Some(signal)) => ProgramStatus::Killed(signal),
        (None, None) => ProgramStatus::Unknown,
    }
}

/// Reads to the end and retains the last bytes: errors are printed after any amount of progress reports.
async fn read_end(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    // If standard error cannot be read, only the text of a message is shorter.
    while from.read_buf(into).await.is_ok_and(|bytes| bytes > 0) {
        if into.len() > 2 * STDERR_BYTES_MAX {
            into.drain(..into.len() - STDERR_BYTES_MAX);
        }
    }
    into.drain(..into.len().saturating_sub(STDERR_BYTES_MAX));
}
