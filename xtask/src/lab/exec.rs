//! Running commands in a guest, on the host's side.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::protocol::{self, CommandLine, FrameBuffer, Kind, Reply, Request, STDIN_WINDOW_BYTES};

/// Default timeout of a command.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// Interval at which a connection without data is checked for a guest without power.
const TICK: Duration = Duration::from_millis(500);

/// A command did not end in time and was killed.
#[derive(Debug)]
pub struct TimedOut(Duration);

impl fmt::Display for TimedOut {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f32();
        write!(
            to,
            "no end after {seconds:.0} s (the timeout); the command was killed"
        )
    }
}

impl std::error::Error for TimedOut {}

/// A command for a guest, with its options.
pub struct Exec {
    pub(super) command: CommandLine,
    stdin: Option<Box<dyn Read + Send>>,
    timeout: Duration,
}

impl Exec {
    /// Program and arguments, passed unchanged.
    pub fn new<S: AsRef<str>>(argv: &[S]) -> Exec {
        let argv = argv.iter().map(|arg| arg.as_ref().to_owned()).collect();
        let command = CommandLine {
            argv,
            env: Vec::new(),
            cwd: "/".to_owned(),
        };
        Exec {
            command,
            stdin: None,
            timeout: TIMEOUT_DEFAULT,
        }
    }

    /// Standard input; empty by default.
    pub fn stdin(mut self, input: impl Read + Send + 'static) -> Exec {
        self.stdin = Some(Box::new(input));
        self
    }

    /// After this long the command is killed and the call fails.
    pub fn timeout(mut self, timeout: Duration) -> Exec {
        self.timeout = timeout;
        self
    }

    /// Adds a variable to the guest's environment.
    pub fn env(mut self, name: &str, value: &str) -> Exec {
        self.command.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Working directory in the guest; `/` otherwise.
    pub fn cwd(mut self, directory: &str) -> Exec {
        self.command.cwd = directory.to_owned();
        self
    }

    /// The command for messages.
    pub fn shown(&self) -> String {
        self.command.argv.join(" ")
    }
}

/// How to connect to a guest's agent, and to detect that the guest has no power.
pub(super) trait Line {
    /// A new connection to the agent.
    fn connect(&self) -> Result<TcpStream>;
    /// Whether the guest still has power.
    fn has_power(&self) -> bool;
}

/// Runs a command and writes its output to the two writers while it runs.
pub(super) fn stream(
    line: &dyn Line,
    exec: Exec,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<ExitStatus> {
    let deadline = Instant::now() + exec.timeout;
    let mut connection = Connection::open(line, deadline)?;
    let request = Request::Exec {
        command: exec.command,
        stdin: exec.stdin.is_some(),
    };
    protocol::send_json(&connection.stream, Kind::Request, &request)?;
    let (taken, window) = channel();
    if let Some(input) = exec.stdin {
        let to = connection.stream.try_clone()?;
        // Not joined: reading standard input cannot be interrupted.
        thread::spawn(move || pump_stdin(input, &to, &window));
    }
    loop {
        let Some(frame) = connection.receive()? else {
            return Err(TimedOut(exec.timeout).into());
        };
        match frame.kind {
            Kind::Stdout => stdout
                .write_all(&frame.payload)
                .and_then(|()| stdout.flush())?,
            Kind::Stderr => stderr
                .write_all(&frame.payload)
                .and_then(|()| stderr.flush())?,
            Kind::StdinTaken => report_taken(&taken, &frame.payload)?,
            Kind::Exit => {
                return Ok(ExitStatus::from_raw(i32::from_be_bytes(four(
                    &frame.payload,
                )?)));
            }
            Kind::Error => bail!("{}", String::from_utf8_lossy(&frame.payload)),
            other => bail!("{other:?} frame from the agent"),
        }
    }
}

/// Runs a command and collects its output.
pub(super) fn output(line: &dyn Line, exec: Exec) -> Result<Output> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let shown = exec.shown();
    let status = stream(line, exec, &mut stdout, &mut stderr).with_context(|| {
        let (out, err) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        format!("`{shown}`\n{out}{err}").trim_end().to_owned()
    })?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Sends one request and returns the reply.
pub(super) fn call(line: &dyn Line, request: &Request, timeout: Duration) -> Result<Reply> {
    let mut connection = Connection::open(line, Instant::now() + timeout)?;
    protocol::send_json(&connection.stream, Kind::Request, request)?;
    let frame = connection.receive()?.context("the agent does not answer")?;
    match frame.kind {
        Kind::Reply => Ok(serde_json::from_slice(&frame.payload)?),
        Kind::Error => bail!("{}", String::from_utf8_lossy(&frame.payload)),
        other => bail!("{other:?} frame from the agent"),
    }
}

struct Connection<'a> {
    line: &'a dyn Line,
    stream: TcpStream,
    buffer: FrameBuffer,
    deadline: Instant,
}

impl<'a> Connection<'a> {
    fn open(line: &'a dyn Line, deadline: Instant) -> Result<Connection<'a>> {
        let stream = line.connect()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        Ok(Connection {
            line,
            stream,
            buffer: FrameBuffer::default(),
            deadline,
        })
    }

    /// The next frame, or none when the deadline has passed.
    fn receive(&mut self) -> Result<Option<protocol::Frame>> {
        loop {
            if let Some(frame) = self.buffer.next()? {
                return Ok(Some(frame));
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left.min(TICK)))?;
            match self.buffer.fill(&mut self.stream) {
                Ok(true) => {}
                Ok(false) => bail!("the agent closed the connection"),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if !self.line.has_power() {
                        bail!("the node lost its power");
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read from the agent"),
            }
        }
    }
}

fn four(payload: &[u8]) -> Result<[u8; 4]> {
    payload
        .try_into()
        .context("a number of four bytes was expected")
}

fn report_taken(taken: &Sender<usize>, payload: &[u8]) -> Result<()> {
    let count = u32::from_be_bytes(four(payload)?);
    // The thread may have ended already.
    let _ = taken.send(count as usize);
    Ok(())
}

/// Sends input as fast as the command reads it, until either ends.
fn pump_stdin(mut input: Box<dyn Read + Send>, to: &TcpStream, window: &Receiver<usize>) {
    let mut outstanding = 0;
    let mut chunk = [0; 32 << 10];
    loop {
        while outstanding + chunk.len() > STDIN_WINDOW_BYTES {
            match window.recv() {
                Ok(count) => outstanding -= count.min(outstanding),
                Err(_) => return,
            }
        }
        let count = match input.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) => count,
            Err(_) => 0,
        };
        let sent = match count {
            0 => protocol::send(to, Kind::StdinEnd, &[]),
            _ => protocol::send(to, Kind::Stdin, &chunk[..count]),
        };
        if count == 0 || sent.is_err() {
            return;
        }
        outstanding += count;
    }
}
