//! The seam: everything that a satellite asks of its machine.

use std::any::Any;
use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::cmd::{Cmd, Output};
use crate::error::{FileError, RunError};
use crate::pipe::{Pipe, PipeError, PipeInput, PipeOutput, ProgramEnd};

/// A machine.
///
/// Paths are absolute. Every method may be called from several tasks at once.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Runs a command to its end.
    ///
    /// A non-zero exit code is an `Ok`: what it means depends on the command, see [`Output::ok`]. A dropped
    /// future ends the command's process group.
    async fn run(&self, cmd: Cmd) -> Result<Output, RunError>;

    /// Starts a command that is expected to run for long, and hands out its lines as they come.
    ///
    /// The command's deadline is not heeded. A dropped stream ends the process group.
    async fn stream(&self, cmd: Cmd) -> Result<LineStream, RunError>;

    /// Runs a pipe: what `input` gives goes through all programs into `output`.
    ///
    /// `Ok` means that every program ended with exit code 0 and everything was moved; only then is `output` shut down.
    /// Without `input` the first program reads nothing, without `output` what the last one writes is dropped. A
    /// dropped future ends all process groups.
    async fn pipe(
        &self,
        pipe: Pipe,
        input: Option<PipeInput<'_>>,
        output: Option<PipeOutput<'_>>,
    ) -> Result<Vec<ProgramEnd>, PipeError>;

    /// Reads a whole (small) file.
    async fn read(&self, path: &Path) -> Result<Vec<u8>, FileError>;

    /// Replaces a file durably: afterwards, crash or not, it has the old content or the new one.
    ///
    /// Temporary file in the same directory, fsync, rename, fsync of the directory. Directories are not created.
    async fn write_atomic(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), FileError>;

    /// Writes into an existing file as it is: for the files by which one talks to the kernel.
    async fn write_in_place(&self, path: &Path, content: &[u8]) -> Result<(), FileError>;

    /// Renames a file durably, replacing the target.
    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;

    /// Removes a file; tells whether there was one.
    async fn remove_file(&self, path: &Path) -> Result<bool, FileError>;

    /// Creates a directory and what is missing above it.
    async fn create_dir_all(&self, path: &Path) -> Result<(), FileError>;

    /// Names of the entries of a directory, sorted.
    async fn list_dir(&self, path: &Path) -> Result<Vec<String>, FileError>;

    /// Size of a block device in bytes; `None` if there is none at this path.
    async fn block_device_size(&self, path: &Path) -> Result<Option<u64>, FileError>;

    /// Waits until a block device appears; its size in bytes, or an error of kind `TimedOut`.
    async fn wait_for_device(&self, path: &Path, limit: Duration) -> Result<u64, FileError>;

    /// Reads some bytes of a file or block device. Fewer than `len` only at its end.
    async fn read_at(&self, path: &Path, place: Place, len: usize) -> Result<Vec<u8>, FileError>;

    /// Overwrites some bytes of a file or block device with zeros, durably. Stops at its end.
    async fn zero(&self, path: &Path, place: Place, len: u64) -> Result<(), FileError>;

    /// Whether somebody has claimed a block device for himself: a mount, swap, or a device above it. Who only has it open
    /// has not. A device that is not there is free.
    async fn device_use(&self, path: &Path) -> Result<DeviceUse, FileError>;

    /// Whether a TCP port is free on this machine.
    async fn test_bind(&self, port: u16) -> Result<PortState, FileError>;

    /// What the machine calls itself.
    fn uname(&self) -> Uname;

    /// The wall clock, for people to read. Durations are measured with `tokio::time`.
    fn wall_clock(&self) -> SystemTime;

    /// A random number, for generation ids and the like.
    fn random_u64(&self) -> u64;
}

/// A place in a file or device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// So many bytes after the start.
    FromStart(u64),
    /// So many bytes before the end.
    FromEnd(u64),
}

/// Whether a TCP port can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    /// Nobody listens.
    Free,
    /// Somebody does.
    Busy {
        /// Name and process id of who, if that could be found; the kernel's own sockets belong to nobody.
        holder: Option<String>,
    },
}

/// Whether a block device is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceUse {
    /// Nobody has claimed it.
    Free,
    /// It is mounted in this mount namespace.
    Mounted {
        /// On which directory, as `/proc/self/mountinfo` writes it.
        on: String,
    },
    /// Another device, swap, or a mount in another namespace.
    Claimed {
        /// Name of the device above it, if that is what it is.
        by: Option<String>,
    },
}

/// What `uname` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uname {
    /// The name of the host (`uname -n`).
    pub node: String,
    /// The kernel's release (`uname -r`).
    pub release: String,
    /// The machine's architecture (`uname -m`).
    pub machine: String,
}

/// The lines of a running command. Dropping it ends the command.
#[derive(Debug)]
pub struct LineStream {
    events: mpsc::Receiver<StreamEvent>,
    /// Ends the command when dropped.
    _guard: Box<dyn Any + Send>,
}

/// Something that a running command said or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// A line of standard output, without its end.
    Line(String),
    /// A line of standard error, without its end.
    ErrorLine(String),
    /// A line exceeded the limit; the stream is useless from here on and ends.
    LineTooLong,
    /// The command ended, with this exit code if it had one. The last event.
    Ended(Option<i32>),
}

impl LineStream {
    /// For implementations of [`Host`]: dropping `guard` ends the command.
    pub fn new(events: mpsc::Receiver<StreamEvent>, guard: Box<dyn Any + Send>) -> Self {
        LineStream {
            events,
            _guard: guard,
        }
    }

    /// The next event; `None` after the last. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        self.events.recv().await
    }

    /// An event that is already here.
    pub fn try_next(&mut self) -> Option<StreamEvent> {
        self.events.try_recv().ok()
    }
}
