//! The command server inside a guest.
//!
//! One thread and one TCP connection per request. A command's process group is killed when its
//! connection is closed, so that nothing outlives the caller by accident; `Spawn` starts a command
//! that outlives it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::protocol::{
    self, AGENT_PORT, CommandLine, Frame, FrameBuffer, Kind, Reply, Request, STDIN_WINDOW_BYTES,
};

/// Time between SIGTERM and SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(2);

/// Interval at which the guest's writes to the lab's folder are flushed to the host.
const SHARE_FLUSH_PERIOD: Duration = Duration::from_millis(300);

/// Wait statuses of spawned commands by process id; none while running.
type Spawned = Arc<Mutex<BTreeMap<i32, Option<i32>>>>;

/// Serves requests for ever.
pub fn run() -> Result<ExitCode> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, AGENT_PORT))
        .with_context(|| format!("listen on port {AGENT_PORT}"))?;
    thread::spawn(flush_share);
    let spawned = Spawned::default();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let spawned = Arc::clone(&spawned);
        thread::spawn(move || {
            if let Err(error) = serve(stream, &spawned) {
                eprintln!("lab agent: {error:#}");
            }
        });
    }
    bail!("the listener ended")
}

/// Flushes hostfs, which the guest's kernel may write back half a minute later; logs
/// in the lab's folder are read on the host while they are written.
fn flush_share() {
    let Ok(share) = File::open(super::GUEST_SHARE) else {
        return;
    };
    loop {
        thread::sleep(SHARE_FLUSH_PERIOD);
        // An error here repeats in the next round, and there is no caller to report it to.
        let _ = nix::unistd::syncfs(&share);
    }
}

fn serve(mut stream: TcpStream, spawned: &Spawned) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = FrameBuffer::default();
    let request = loop {
        match buffer.next()? {
            Some(Frame {
                kind: Kind::Request,
                payload,
            }) => break serde_json::from_slice(&payload)?,
            Some(frame) => bail!("{:?} frame before the request", frame.kind),
            None if buffer.fill(&mut stream)? => {}
            // A connection without a request, as of a port check.
            None => return Ok(()),
        }
    };
    let outcome = match request {
        Request::Exec { command, stdin } => match start(&command, stdin) {
            Ok(child) => return Session::new(stream, buffer, child)?.run(),
            Err(error) => Err(error),
        },
        Request::Ping => Ok(Reply::Pong {
            version: protocol::VERSION,
        }),
        Request::Spawn { command, log } => spawn(&command, &log, spawned),
        Request::Poll { pid } => status(spawned, pid),
        Request::Signal { pid, signal } => deliver(spawned, pid, signal),
    };
    match outcome {
        Ok(reply) => protocol::send_json(&stream, Kind::Reply, &reply),
        Err(error) => Ok(protocol::send(
            &stream,
            Kind::Error,
            format!("{error:#}").as_bytes(),
        )?),
    }
}

fn prepare(command: &CommandLine) -> Result<Command> {
    let (program, arguments) = command.argv.split_first().context("an empty command")?;
    let mut prepared = Command::new(program);
    prepared
        .args(arguments)
        .current_dir(&command.cwd)
        .stdin(Stdio::null());
    prepared.envs(command.env.iter().map(|(name, value)| (name, value)));
    // A process group of its own: signals are sent to the whole group, and never to the agent's.
    prepared.process_group(0);
    Ok(prepared)
}

fn start(command: &CommandLine, stdin: bool) -> Result<Child> {
    let mut prepared = prepare(command)?;
    prepared.stdout(Stdio::piped()).stderr(Stdio::piped());
    if stdin {
        prepared.stdin(Stdio::piped());
    }
    prepared
        .spawn()
        .with_context(|| format!("start {}", command.argv[0]))
}

fn spawn(command: &CommandLine, log: &str, spawned: &Spawned) -> Result<Reply> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    let file = file.with_context(|| format!("open {log}"))?;
    let mut prepared = prepare(command)?;
    prepared.stdout(file.try_clone()?).stderr(file);
    let mut child = prepared
        .spawn()
        .with_context(|| format!("start {}", command.argv[0]))?;
    let pid = child.id().cast_signed();
    lock(spawned).insert(pid, None);
    let spawned = Arc::clone(spawned);
    thread::spawn(move || {
        let status = child.wait().map_or(-1, ExitStatusExt::into_raw);
        lock(&spawned).insert(pid, Some(status));
    });
    Ok(Reply::Spawned { pid })
}

fn status(spawned: &Spawned, pid: i32) -> Result<Reply> {
    let wait_status = *lock(spawned)
        .get(&pid)
        .with_context(|| format!("no command {pid}"))?;
    Ok(Reply::Status { wait_status })
}

fn deliver(spawned: &Spawned, pid: i32, signal: i32) -> Result<Reply> {
    let table = lock(spawned);
    let running = table
        .get(&pid)
        .with_context(|| format!("no command {pid}"))?
        .is_none();
    if running {
        killpg(Pid::from_raw(pid), Signal::try_from(signal)?)?;
    }
    Ok(Reply::Done)
}

fn lock(spawned: &Spawned) -> std::sync::MutexGuard<'_, BTreeMap<i32, Option<i32>>> {
    spawned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running `Exec`.
struct Session {
    stream: TcpStream,
    buffer: FrameBuffer,
    group: Pid,
    stdin: Option<ChildStdin>,
    /// Input that is not yet written to the command, and whether more may follow.
    pending: Vec<u8>,
    stdin_ended: bool,
    stdout: Option<File>,
    stderr: Option<File>,
    /// Receives the wait status, as four bytes, from the thread that reaps the command.
    exit: PipeReader,
}

impl Session {
    fn new(stream: TcpStream, buffer: FrameBuffer, mut child: Child) -> Result<Session> {
        let group = Pid::from_raw(child.id().cast_signed());
        let stdin = child.stdin.take();
        if let Some(stdin) = &stdin {
            // A command that does not read its input must not block the agent.
            fcntl(stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let stdout = child
            .stdout
            .take()
            .map(|pipe| File::from(std::os::fd::OwnedFd::from(pipe)));
        let stderr = child
            .stderr
            .take()
            .map(|pipe| File::from(std::os::fd::OwnedFd::from(pipe)));
        let (exit, mut report) = io::pipe()?;
        thread::spawn(move || {
            let status = child.wait().map_or(-1, ExitStatusExt::into_raw);
            // Fails only if the session has ended; its caller no longer waits for the status.
            let _ = report.write_all(&status.to_be_bytes());
        });
        let (pending, stdin_ended) = (Vec::new(), false);
        Ok(Session {
            stream,
            buffer,
            group,
            stdin,
            pending,
            stdin_ended,
            stdout,
            stderr,
            exit,
        })
    }

    fn run(mut self) -> Result<()> {
        let outcome = self.relay();
        if !matches!(outcome, Ok(true)) {
            let group = self.group;
            // The caller closed the connection. The leader is reaped before or after: in both cases the group's
            // id is not reused while a member exists.
            let _ = killpg(group, Signal::SIGTERM);
            thread::sleep(TERM_GRACE);
            let _ = killpg(group, Signal::SIGKILL);
        }
        outcome.map(|_| ())
    }

    /// Moves bytes until the command ends (true) or the caller closes the connection (false).
    fn relay(&mut self) -> Result<bool> {
        loop {
            self.take_frames()?;
            let ready = self.wait(PollTimeout::NONE)?;
            if ready.caller && !self.buffer.fill(&mut self.stream)? {
                return Ok(false);
            }
            if ready.stdin {
                self.feed()?;
            }
            self.forward(&ready)?;
            if ready.exit {
                return self.finish().map(|()| true);
            }
        }
    }

    fn take_frames(&mut self) -> Result<()> {
        while let Some(frame) = self.buffer.next()? {
            match frame.kind {
                Kind::Stdin => self.pending.extend_from_slice(&frame.payload),
                Kind::StdinEnd => self.stdin_ended = true,
                other => bail!("{other:?} frame from the caller"),
            }
            if self.pending.len() > 2 * STDIN_WINDOW_BYTES {
                bail!("the caller ignores the window of standard input");
            }
        }
        if self.stdin_ended && self.pending.is_empty() {
            self.stdin = None;
        }
        Ok(())
    }

    fn wait(&self, timeout: PollTimeout) -> Result<Ready> {
        let stdin = self.stdin.as_ref().filter(|_| !self.pending.is_empty());
        let watched: [Option<(BorrowedFd<'_>, PollFlags)>; 5] = [
            Some((self.stream.as_fd(), PollFlags::POLLIN)),
            stdin.map(|pipe| (pipe.as_fd(), PollFlags::POLLOUT)),
            self.stdout
                .as_ref()
                .map(|pipe| (pipe.as_fd(), PollFlags::POLLIN)),
            self.stderr
                .as_ref()
                .map(|pipe| (pipe.as_fd(), PollFlags::POLLIN)),
            Some((self.exit.as_fd(), PollFlags::POLLIN)),
        ];
        let mut fds: Vec<PollFd<'_>> = watched
            .iter()
            .flatten()
            .map(|(fd, flags)| PollFd::new(*fd, *flags))
            .collect();
        loop {
            match poll(&mut fds, timeout) {
                Ok(_) => break,
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut fired = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut next = |slot: usize| watched[slot].is_some() && fired.next().unwrap_or(false);
        Ok(Ready {
            caller: next(0),
            stdin: next(1),
            stdout: next(2),
            stderr: next(3),
            exit: next(4),
        })
    }

    /// Writes as much input to the command as it accepts now.
    fn feed(&mut self) -> Result<()> {
        let Some(stdin) = &mut self.stdin else {
            return Ok(());
        };
        let taken = match stdin.write(&self.pending) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => {
                // The command closed its input, as `head` does: discard further input.
                self.stdin = None;
                self.pending.len()
            }
        };
        self.pending.drain(..taken);
        let count = u32::try_from(taken)?;
        Ok(protocol::send(
            &self.stream,
            Kind::StdinTaken,
            &count.to_be_bytes(),
        )?)
    }

    fn forward(&mut self, ready: &Ready) -> Result<()> {
        if ready.stdout {
            forward(&self.stream, Kind::Stdout, &mut self.stdout)?;
        }
        if ready.stderr {
            forward(&self.stream, Kind::Stderr, &mut self.stderr)?;
        }
        Ok(())
    }

    /// Sends the output that the command wrote before it ended. Its children may hold the pipes open for
    /// ever, so this does not wait for the end of the pipes.
    fn finish(&mut self) -> Result<()> {
        loop {
            let ready = self.wait(PollTimeout::ZERO)?;
            if !ready.stdout && !ready.stderr {
                break;
            }
            self.forward(&ready)?;
        }
        let mut status = [0; 4];
        self.exit.read_exact(&mut status)?;
        Ok(protocol::send(&self.stream, Kind::Exit, &status)?)
    }
}

/// The result of `poll`.
struct Ready {
    caller: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    exit: bool,
}

/// Reads a pipe once and sends the bytes; closes the pipe at its end.
fn forward(stream: &TcpStream, kind: Kind, pipe: &mut Option<File>) -> Result<()> {
    let Some(open) = pipe else { return Ok(()) };
    let mut chunk = [0; 64 << 10];
    match open.read(&mut chunk)? {
        0 => *pipe = None,
        count => protocol::send(stream, kind, &chunk[..count])?,
    }
    Ok(())
}
