//! The machine this process runs on: Linux.

mod devices;
mod files;
mod group;
mod pipe;
mod run;
mod stream;

use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::cmd::{Cmd, Output};
use crate::error::{FileError, RunError};
use crate::host::{DeviceUse, FileUsage, Host, LineStream, Place, PortState, Uname};
use crate::pipe::{Pipe, PipeError, PipeInput, PipeOutput, ProgramEnd};

/// The directories that are searched for programs, in this order. `PATH` is ignored: what a satellite runs as root must
/// not depend on how it was started.
pub const PROGRAM_DIRS: &[&str] = &[
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
];

/// Linux.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealHost;

#[async_trait]
impl Host for RealHost {
    async fn run(&self, cmd: Cmd) -> Result<Output, RunError> {
        run::run(cmd).await
    }

    async fn stream(&self, cmd: Cmd) -> Result<LineStream, RunError> {
        stream::stream(cmd).await
    }

    async fn pipe(
        &self,
        pipe: Pipe,
        input: Option<PipeInput<'_>>,
        output: Option<PipeOutput<'_>>,
    ) -> Result<Vec<ProgramEnd>, PipeError> {
        pipe::pipe(pipe, input, output).await
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        files::read(path).await
    }

    async fn write_atomic(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
        files::write_atomic(path, content, mode).await
    }

    async fn write_in_place(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        files::write_in_place(path, content).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        files::rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> Result<bool, FileError> {
        files::remove_file(path).await
    }

    async fn create_dir_all(&self, path: &Path) -> Result<(), FileError> {
        files::create_dir_all(path).await
    }

    async fn list_dir(&self, path: &Path) -> Result<Vec<String>, FileError> {
        files::list_dir(path).await
    }

    async fn file_usage(&self, path: &Path) -> Result<Option<FileUsage>, FileError> {
        files::file_usage(path).await
    }

    async fn block_device_size(&self, path: &Path) -> Result<Option<u64>, FileError> {
        devices::block_device_size(path).await
    }

    async fn mapped_device_size(&self, name: &str) -> Result<Option<u64>, FileError> {
        devices::mapped_device_size(name).await
    }

    async fn wait_for_device(&self, path: &Path, limit: Duration) -> Result<u64, FileError> {
        devices::wait_for_device(path, limit).await
    }

    async fn read_at(&self, path: &Path, place: Place, len: usize) -> Result<Vec<u8>, FileError> {
        devices::read_at(path, place, len).await
    }

    async fn zero(&self, path: &Path, place: Place, len: u64) -> Result<(), FileError> {
        devices::zero(path, place, len).await
    }

    async fn write_at(&self, path: &Path, offset: u64, content: Vec<u8>) -> Result<(), FileError> {
        devices::write_at(path, offset, content).await
    }

    async fn sync(&self, path: &Path) -> Result<(), FileError> {
        devices::sync(path).await
    }

    async fn device_use(&self, path: &Path) -> Result<DeviceUse, FileError> {
        devices::device_use(path).await
    }

    async fn test_bind(&self, port: u16) -> Result<PortState, FileError> {
        devices::test_bind(port).await
    }

    fn uname(&self) -> Uname {
        match nix::sys::utsname::uname() {
            Ok(name) => Uname {
                node: name.nodename().to_string_lossy().into_owned(),
                release: name.release().to_string_lossy().into_owned(),
                machine: name.machine().to_string_lossy().into_owned(),
            },
            // The kernel documents no failure other than a bad pointer.
            Err(errno) => panic!("uname: {errno}"),
        }
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    fn random_u64(&self) -> u64 {
        // A machine whose kernel has no random numbers cannot run TLS either.
        OsRng.try_next_u64().expect("the kernel has random numbers")
    }
}
