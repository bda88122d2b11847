//! The protocol between the host and a guest's agent, over TCP.
//!
//! A connection carries one request. Both sides send frames: one byte of kind, the payload's
//! length as a big-endian u32, the payload. The host opens with [`Kind::Request`]; the agent
//! ends with [`Kind::Exit`], [`Kind::Reply`] or [`Kind::Error`].

use std::io::{self, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// TCP port of the agent, away from the ports of the software under test.
pub const AGENT_PORT: u16 = 1077;

/// Raised whenever frames or requests change: a lab belongs to the program that started it.
pub const VERSION: u32 = 1;

/// Longest frame in bytes; a longer one means that the stream is corrupt.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Window of standard input, in bytes, that the agent has not confirmed: limits the guest's memory.
pub const STDIN_WINDOW_BYTES: usize = 256 << 10;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Host to agent: a [`Request`] as JSON, first frame of every connection.
    Request,
    /// Host to agent: bytes for the command's standard input.
    Stdin,
    /// Host to agent: standard input ends here.
    StdinEnd,
    /// Agent to host: this many bytes (u32) of standard input were written to the command.
    StdinTaken,
    /// Agent to host: bytes of the command's standard output.
    Stdout,
    /// Agent to host: bytes of the command's standard error.
    Stderr,
    /// Agent to host: the command ended; its raw wait status (i32).
    Exit,
    /// Agent to host: a [`Reply`] as JSON.
    Reply,
    /// Agent to host: the request failed; text.
    Error,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Request,
        Kind::Stdin,
        Kind::StdinEnd,
        Kind::StdinTaken,
        Kind::Stdout,
        Kind::Stderr,
        Kind::Exit,
        Kind::Reply,
        Kind::Error,
    ];

    fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A command to run in a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandLine {
    /// Program and arguments, passed unchanged.
    pub argv: Vec<String>,
    /// Variables in addition to the agent's environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: String,
}

/// A request to an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Queries the agent's [`VERSION`].
    Ping,
    /// Run a command; its streams are transferred over this connection.
    Exec {
        /// The command.
        command: CommandLine,
        /// Whether [`Kind::Stdin`] frames follow; otherwise its input is empty.
        stdin: bool,
    },
    /// Start a command that outlives the connection.
    Spawn {
        /// The command.
        command: CommandLine,
        /// Guest path of the file that receives both output streams.
        log: String,
    },
    /// Query the status of the command that `Spawn` started as `pid`.
    Poll {
        /// Process id in the guest.
        pid: i32,
    },
    /// Send a signal to the process group that `Spawn` started as `pid`.
    Signal {
        /// Process id in the guest.
        pid: i32,
        /// Signal number.
        signal: i32,
    },
}

/// An agent's answer to everything but `Exec`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Answer to `Ping`.
    Pong {
        /// The agent's [`VERSION`].
        version: u32,
    },
    /// The spawned command runs with this process id.
    Spawned {
        /// Process id in the guest.
        pid: i32,
    },
    /// Raw wait status of a spawned command, or none while it runs.
    Status {
        /// As `waitpid` reports it.
        wait_status: Option<i32>,
    },
    /// Success without a value.
    Done,
}

/// One frame.
#[derive(Debug)]
pub struct Frame {
    /// The kind of the payload.
    pub kind: Kind,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Sends one frame.
pub fn send(mut to: impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(payload.len() + 5);
    message.push(kind as u8);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(payload);
    to.write_all(&message)
}

/// Sends a frame whose payload is JSON.
pub fn send_json(to: impl Write, kind: Kind, value: &impl Serialize) -> Result<()> {
    send(to, kind, &serde_json::to_vec(value)?)?;
    Ok(())
}

/// Collects bytes into frames: reads may time out in the middle of a frame.
#[derive(Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    /// Reads once from `stream`; false when the other side has closed it.
    pub fn fill(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut chunk = [0; 64 << 10];
        let count = stream.read(&mut chunk)?;
        self.bytes.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }

    /// Takes the next complete frame, if there is one.
    pub fn next(&mut self) -> Result<Option<Frame>> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let kind = Kind::from_byte(head[0]).context("unknown kind of frame")?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            bail!("frame of {length} bytes");
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame {
            kind,
            payload: payload.to_vec(),
        };
        self.bytes.drain(..5 + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_cut_anywhere() {
        // Every prefix of the stream yields only complete frames, and the whole stream yields all.
        let mut wire = Vec::new();
        send(&mut wire, Kind::Stdout, b"some output").unwrap();
        send(&mut wire, Kind::Exit, &7_i32.to_be_bytes()).unwrap();
        for cut in 0..=wire.len() {
            let mut buffer = FrameBuffer {
                bytes: wire[..cut].to_vec(),
            };
            let mut kinds = Vec::new();
            while let Some(frame) = buffer.next().unwrap() {
                kinds.push(frame.kind);
            }
            buffer.bytes.extend_from_slice(&wire[cut..]);
            while let Some(frame) = buffer.next().unwrap() {
                kinds.push(frame.kind);
            }
            assert_eq!(kinds, [Kind::Stdout, Kind::Exit]);
        }
    }

    #[test]
    fn a_stream_out_of_step_is_refused() {
        // A frame with an unknown kind or too great a length is an error.
        let mut buffer = FrameBuffer {
            bytes: vec![200, 0, 0, 0, 0],
        };
        assert!(buffer.next().is_err());
        let mut buffer = FrameBuffer {
            bytes: vec![Kind::Stdout as u8, 255, 0, 0, 0],
        };
        assert!(buffer.next().is_err());
    }
}
