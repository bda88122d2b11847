//! Running a command until it ends.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::PROGRAM_DIRS;
use super::group::{self, Group};
use crate::cmd::{Cmd, Deadline, Output, Stdin, Watch};
use crate::error::RunError;

/// Time to read the output streams after the program ended, if processes it left running hold them open.
pub(super) const PIPES_LINGER: Duration = Duration::from_millis(500);
/// The reason for killing a command that does no I/O.
pub(super) const NO_PROGRESS: &str = "it made no progress";
const READ_CHUNK_BYTES: usize = 16 * 1024;

/// Runs a command; see [`crate::Host::run`].
pub(super) async fn run(cmd: Cmd) -> Result<Output, RunError> {
    let started = Instant::now();
    let (mut child, mut group) = spawn_alone(&cmd)?;
    let mut captured = Captured::default();
    let end = {
        let streams = feed_and_read(&mut child, cmd.input(), &mut captured, cmd.output_limit());
        tokio::pin!(streams);
        watch(&mut child, &group, cmd.time_limit(), streams, started).await
    };
    let output = |code| captured.output(&cmd, code);
    let result = match end {
        End::Exited(status) => {
            group.release();
            match (status.code(), status.signal()) {
                (Some(code), _) => Ok(output(code)),
                (None, Some(signal)) => Err(RunError::Killed {
                    signal,
                    output: Box::new(output(-1)),
                }),
                (None, None) => Ok(output(-1)),
            }
        }
        End::TooLong { why } => {
            let outlived_kill = !end_group(&mut child, &mut group, cmd.time_limit()).await;
            let after = started.elapsed();
            Err(RunError::TimedOut {
                after,
                why,
                output: Box::new(output(-1)),
                outlived_kill,
            })
        }
        End::TooMuch => {
            end_group(&mut child, &mut group, cmd.time_limit()).await;
            Err(RunError::OutputTooLarge {
                cmd: cmd.to_string(),
                bytes_max: cmd.output_limit(),
            })
        }
        End::Io(source) => {
            end_group(&mut child, &mut group, cmd.time_limit()).await;
            Err(RunError::Pipe {
                cmd: cmd.to_string(),
                source,
            })
        }
    };
    log(&cmd, started.elapsed(), &result);
    result
}

/// Starts a program with pipes as its standard streams.
pub(super) fn spawn_alone(cmd: &Cmd) -> Result<(Child, Group), RunError> {
    let stdin = if cmd.input().is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    spawn(cmd, stdin, Stdio::piped())
}

/// Starts a program as the leader of its own process group.
pub(super) fn spawn(cmd: &Cmd, stdin: Stdio, stdout: Stdio) -> Result<(Child, Group), RunError> {
    let program = find(cmd.program(), PROGRAM_DIRS)?;
    let child = Command::new(program)
        .args(cmd.arguments())
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", PROGRAM_DIRS.join(":"))
        .current_dir("/")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| RunError::Spawn {
            cmd: cmd.to_string(),
            source,
        })?;
    let group = Group::new(child.id());
    Ok((child, group))
}

pub(super) fn find(program: &str, dirs: &[&str]) -> Result<PathBuf, RunError> {
    dirs.iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| RunError::NotFound {
            program: program.to_owned(),
            searched: dirs.iter().map(|dir| (*dir).to_owned()).collect(),
        })
}

/// The output of a program so far; owned outside the reading future, so that a timeout does not lose it.
#[derive(Debug, Default)]
struct Captured {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Captured {
    fn output(&self, cmd: &Cmd, code: i32) -> Output {
        Output {
            cmd: cmd.to_string(),
            code,
            stdout: String::from_utf8_lossy(&self.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
        }
    }
}

enum Streams {
    Closed,
    TooMuch,
}

/// Writes standard input and reads both outputs at the same time: a program may write before it has read everything.
fn feed_and_read<'a>(
    child: &mut Child,
    input: Option<&'a Stdin>,
    captured: &'a mut Captured,
    bytes_max: usize,
) -> impl Future<Output = io::Result<Streams>> + use<'a> {
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    async move {
        let feed = async {
            if let (Some(mut pipe), Some(input)) = (stdin, input) {
                // If a program does not read its input to the end, its exit code decides whether it failed.
                let _closed_early = pipe.write_all(input.reveal()).await;
            }
            Ok(true)
        };
        let (_, out, err) = tokio::try_join!(
            feed,
            read_limited(stdout, &mut captured.stdout, bytes_max),
            read_limited(stderr, &mut captured.stderr, bytes_max),
        )?;
        Ok(if out && err {
            Streams::Closed
        } else {
            Streams::TooMuch
        })
    }
}

/// Reads to the end; `false` if there is more than the limit.
async fn read_limited(
    pipe: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<bool> {
    let Some(mut pipe) = pipe else {
        return Ok(true);
    };
    loop {
        into.reserve(READ_CHUNK_BYTES);
        if pipe.read_buf(into).await? == 0 {
            return Ok(true);
        }
        if into.len() > bytes_max {
            into.truncate(bytes_max);
            return Ok(false);
        }
    }
}

enum End {
    Exited(ExitStatus),
    TooLong { why: &'static str },
    TooMuch,
    Io(io::Error),
}

/// Waits until the program ends or there is a reason to kill it.
async fn watch(
    child: &mut Child,
    group: &Group,
    deadline: Deadline,
    mut streams: std::pin::Pin<&mut impl Future<Output = io::Result<Streams>>>,
    started: Instant,
) -> End {
    let leaders: Vec<_> = group.leader().into_iter().collect();
    let expired = expire(|| group::io_bytes(&leaders), deadline, started);
    tokio::pin!(expired);
    let mut closed = false;
    loop {
        tokio::select! {
            biased;
            // Cancel-safe: the progress is stored in `captured` and in the future, which is polled again.
            read = &mut streams, if !closed => match read {
                Ok(Streams::Closed) => closed = true,
                Ok(Streams::TooMuch) => return End::TooMuch,
                Err(error) => return End::Io(error),
            },
            // Waiting for a child is cancel-safe.
            status = child.wait() => {
                let status = match status {
                    Ok(status) => status,
                    Err(error) => return End::Io(error),
                };
                if !closed {
                    // Output that is still in the pipes belongs to the program. Processes it left running may hold them
                    // open, so the time is limited.
                    match timeout(PIPES_LINGER, streams).await {
                        Ok(Ok(Streams::TooMuch)) => return End::TooMuch,
                        Ok(Err(error)) => return End::Io(error),
                        Ok(Ok(Streams::Closed)) | Err(_) => {}
                    }
                }
                return End::Exited(status);
            },
            why = &mut expired => return End::TooLong { why },
        }
    }
}

/// Ends when the deadline is exceeded, with the reason; `io_bytes` changes with every byte that is read or written.
pub(super) async fn expire(
    io_bytes: impl Fn() -> u64,
    deadline: Deadline,
    started: Instant,
) -> &'static str {
    let poll = match deadline.watch {
        Watch::Run => {
            tokio::time::sleep_until(started + deadline.limit).await;
            return "it took too long";
        }
        Watch::Io { poll } => poll,
    };
    let mut progressed_at = started;
    let mut bytes = io_bytes();
    loop {
        sleep(poll.min(deadline.limit)).await;
        let bytes_now = io_bytes();
        if bytes_now != bytes {
            bytes = bytes_now;
            progressed_at = Instant::now();
        } else if progressed_at.elapsed() >= deadline.limit {
            return NO_PROGRESS;
        }
    }
}

/// Kills the whole process group; `false` if its leader still exists afterwards.
async fn end_group(child: &mut Child, group: &mut Group, deadline: Deadline) -> bool {
    group.signal(Signal::SIGTERM);
    let ended = timeout(deadline.term_wait, child.wait()).await.is_ok();
    // Also if the leader ended after SIGTERM: its children may have ignored it.
    group.signal(Signal::SIGKILL);
    let dead = ended || timeout(deadline.kill_wait, child.wait()).await.is_ok();
    group.release();
    dead
}

fn log(cmd: &Cmd, took: Duration, result: &Result<Output, RunError>) {
    let took_ms = took.as_secs_f64() * 1e3;
    match result {
        Ok(output) => tracing::debug!(cmd = %cmd, code = output.code, took_ms, "command ended"),
        Err(error) => tracing::debug!(cmd = %cmd, %error, took_ms, "command failed"),
    }
}
