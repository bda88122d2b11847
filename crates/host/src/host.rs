//! The interface between the satellite and the machine it runs on.

use std::any::Any;
use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::cmd::{Cmd, Output};
use crate::error::{FileError, RunError};
use crate::pipe::{Pipe, PipeError, PipeInput, PipeOutput, ProgramEnd};

/// A machine: its programs, files, devices, ports, clock and random numbers.
///
/// Paths are absolute. Every method may be called from several tasks at once.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Runs a command to its end.
    ///
    /// A non-zero exit code is an `Ok`: its meaning depends on the command, see [`Output::ok`]. Dropping the future
    /// kills the command's process group.
    async fn run(&self, cmd: Cmd) -> Result<Output, RunError>;

    /// Starts a long-running command and streams the lines of its output.
    ///
    /// The command's deadline is ignored. Dropping the stream kills the process group.
    async fn stream(&self, cmd: Cmd) -> Result<LineStream, RunError>;

    /// Runs a pipe: the bytes of `input` pass through all programs into `output`.
    ///
    /// `Ok` means that every program ended with exit code 0 and all bytes were moved; only then is `output` shut down.
    /// Without `input` the first program's standard input is empty, without `output` the last one's output is
    /// discarded. Dropping the future kills all process groups.
    async fn pipe(
        &self,
        pipe: Pipe,
        input: Option<PipeInput<'_>>,
        output: Option<PipeOutput<'_>>,
    ) -> Result<Vec<ProgramEnd>, PipeError>;

    /// Reads a whole (small) file.
    async fn read(&self, path: &Path) -> Result<Vec<u8>, FileError>;

    /// Replaces a file durably: after a crash at any time it has either the old or the new content.
    ///
    /// Temporary file in the same directory, fsync, rename, fsync of the directory. Directories are not created.
    async fn write_atomic(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), FileError>;

    /// Writes into an existing file without replacing it: for files of sysfs, configfs and procfs.
    async fn write_in_place(&self, path: &Path, content: &[u8]) -> Result<(), FileError>;

    /// Renames a file durably, replacing the target.
    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;

    /// Removes a file; returns whether it existed.
    async fn remove_file(&self, path: &Path) -> Result<bool, FileError>;

    /// Creates a directory and its missing parents.
    async fn create_dir_all(&self, path: &Path) -> Result<(), FileError>;

    /// Names of the entries of a directory, sorted.
    async fn list_dir(&self, path: &Path) -> Result<Vec<String>, FileError>;

    /// Identity and size of a file, with symbolic links followed; `None` if there is none at this path.
    async fn file_usage(&self, path: &Path) -> Result<Option<FileUsage>, FileError>;

    /// Size of a block device in bytes; `None` if there is none at this path.
    async fn block_device_size(&self, path: &Path) -> Result<Option<u64>, FileError>;

    /// Size in bytes of the device that the device mapper has under this name; `None` if it has none. Unlike the paths below
    /// `/dev` it does not depend on udev, which needs a moment for a new device.
    async fn mapped_device_size(&self, name: &str) -> Result<Option<u64>, FileError>;

    /// Waits until a block device exists; returns its size in bytes, or an error of kind `TimedOut`.
    async fn wait_for_device(&self, path: &Path, limit: Duration) -> Result<u64, FileError>;

    /// Reads `len` bytes of a file or block device; fewer only at its end.
    async fn read_at(&self, path: &Path, place: Place, len: usize) -> Result<Vec<u8>, FileError>;

    /// Overwrites `len` bytes of a file or block device with zeros, durably; stops at its end.
    async fn zero(&self, path: &Path, place: Place, len: u64) -> Result<(), FileError>;

    /// Writes bytes into a file or block device, all of them before its end. They are durable after [`Host::sync`].
    async fn write_at(&self, path: &Path, offset: u64, content: Vec<u8>) -> Result<(), FileError>;

    /// Makes durable what was written into a file or block device.
    async fn sync(&self, path: &Path) -> Result<(), FileError>;

    /// Whether a block device is claimed exclusively: by a mount, as swap, or by a device on top of it. A process that
    /// has it open does not claim it. A device that does not exist is free.
    async fn device_use(&self, path: &Path) -> Result<DeviceUse, FileError>;

    /// Whether a TCP port is free on this machine.
    async fn test_bind(&self, port: u16) -> Result<PortState, FileError>;

    /// Host name, kernel release and architecture.
    fn uname(&self) -> Uname;

    /// The wall clock, for timestamps. Durations are measured with `tokio::time`.
    fn wall_clock(&self) -> SystemTime;

    /// A random number, for DRBD's generation identifiers and other identifiers.
    fn random_u64(&self) -> u64;
}

/// The identity of a file, whatever path leads to it: directories are symbolic links, or mounted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// Major number of its file system's device.
    pub major: u64,
    /// Minor number of its file system's device.
    pub minor: u64,
    /// Its inode.
    pub inode: u64,
}

/// Size of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileUsage {
    /// Which file it is.
    pub id: FileId,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Bytes that are allocated for it on its file system.
    pub allocated_bytes: u64,
}

/// A position in a file or device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Bytes after the start.
    FromStart(u64),
    /// Bytes before the end.
    FromEnd(u64),
}

/// Whether a TCP port can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    /// No socket listens on it.
    Free,
    /// A socket listens on it.
    Busy {
        /// Name and process id of the listener; `None` for sockets of the kernel, or if it was not found.
        holder: Option<String>,
    },
}

/// Whether a block device is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceUse {
    /// Not claimed.
    Free,
    /// It is mounted in this mount namespace.
    Mounted {
        /// The mount point, as `/proc/self/mountinfo` writes it.
        on: String,
    },
    /// Claimed by another device, as swap, or by a mount in another namespace.
    Claimed {
        /// Name of the device on top of it, if there is one.
        by: Option<String>,
    },
}

/// The output of `uname`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uname {
    /// The name of the host (`uname -n`).
    pub node: String,
    /// The kernel's release (`uname -r`).
    pub release: String,
    /// The machine's architecture (`uname -m`).
    pub machine: String,
}

/// The output of a running command, line by line. Dropping it kills the command.
#[derive(Debug)]
pub struct LineStream {
    events: mpsc::Receiver<StreamEvent>,
    /// Kills the command when dropped.
    _guard: Box<dyn Any + Send>,
}

/// An event of a running command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// A line of standard output, without the newline.
    Line(String),
    /// A line of standard error, without the newline.
    ErrorLine(String),
    /// A line exceeded the limit; the stream ends.
    LineTooLong,
    /// The command ended, with this exit code unless a signal killed it. The last event.
    Ended(Option<i32>),
}

impl LineStream {
    /// For implementations of [`Host`]: dropping `guard` kills the command.
    pub fn new(events: mpsc::Receiver<StreamEvent>, guard: Box<dyn Any + Send>) -> Self {
        LineStream {
            events,
            _guard: guard,
        }
    }

    /// The next event; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        self.events.recv().await
    }

    /// The next event, if it has already been received.
    pub fn try_next(&mut self) -> Option<StreamEvent> {
        self.events.try_recv().ok()
    }
}
