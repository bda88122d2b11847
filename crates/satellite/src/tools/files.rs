//! Files as volumes: `fallocate`, `truncate`, `stat`, `df`.

use std::time::Duration;

use linstor_host::{Cmd, Deadline};

use crate::failure::Result;
use crate::machine::Machine;
use crate::tools::error::ErrorKind;

/// Pre-allocation can mean writing zeros, so only a standstill ends it.
const ALLOCATE_STALL: Duration = Duration::from_secs(45);

/// Which file it is, whatever path leads to it: directories are symbolic links, or mounted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// Major number of its file system's device.
    pub major: u64,
    /// Minor number of its file system's device.
    pub minor: u64,
    /// Its inode.
    pub inode: u64,
}

/// A file's size and what it takes on its file system, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Which file it is.
    pub id: FileId,
    /// Where it ends.
    pub size_kib: u64,
    /// Blocks that are allocated.
    pub allocated_kib: u64,
}

/// Makes a file at least this long with every block allocated.
pub async fn allocate(machine: &Machine, file: &str, size_kib: u64) -> Result<()> {
    let cmd = Cmd::new("fallocate")
        .args(["-x", "-l"])
        .arg(format!("{size_kib}KiB"))
        .arg(file)
        .deadline(Deadline::stall(ALLOCATE_STALL));
    machine.run(cmd).await.map(drop)
}

/// Makes a file this long with a hole at its end.
pub async fn extend(machine: &Machine, file: &str, size_kib: u64) -> Result<()> {
    let cmd = Cmd::new("truncate")
        .arg("-s")
        .arg(format!("{size_kib}KiB"))
        .arg(file);
    machine.run(cmd).await.map(drop)
}

/// The size and usage of a file; `None` if there is none.
pub async fn usage(machine: &Machine, file: &str) -> Result<Option<Usage>> {
    let cmd = Cmd::new("stat").args(["-L", "-c", "%s %b %B %i %d", file]);
    let output = machine.try_run(cmd).await?;
    if ErrorKind::of(&output) == Some(ErrorKind::NotFound) {
        return Ok(None);
    }
    Ok(parse_usage(&output.ok()?.stdout))
}

fn parse_usage(text: &str) -> Option<Usage> {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (size, blocks, block, inode, device) = (next()?, next()?, next()?, next()?, next()?);
    Some(Usage {
        id: FileId {
            // As glibc puts the two numbers together.
            major: (device >> 8 & 0xfff) | (device >> 32 & !0xfff),
            minor: (device & 0xff) | (device >> 12 & !0xff),
            inode,
        },
        size_kib: size / 1024,
        allocated_kib: blocks.checked_mul(block)? / 1024,
    })
}

/// Total and free KiB of the file system that a directory is on; `None` if there is no such directory.
pub async fn space(machine: &Machine, directory: &str) -> Result<Option<(u64, u64)>> {
    let cmd = Cmd::new("df").args(["-B", "1", "--output=size,avail", directory]);
    let output = machine.try_run(cmd).await?;
    if ErrorKind::of(&output) == Some(ErrorKind::NotFound) {
        return Ok(None);
    }
    Ok(parse_space(&output.ok()?.stdout))
}

fn parse_space(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().nth(1)?;
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    Some((numbers.next()?.ok()? / 1024, numbers.next()?.ok()? / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stat and df print.
    #[test]
    fn numbers_are_read() {
        let usage = parse_usage("104857600 8 512 9977989 65024\n").unwrap();
        assert_eq!((usage.size_kib, usage.allocated_kib), (102_400, 4));
        let FileId {
            major,
            minor,
            inode,
        } = usage.id;
        assert_eq!((major, minor, inode), (254, 0, 9_977_989));
        let text = "   1B-blocks       Avail\n 25210912768 24119009280\n";
        assert_eq!(parse_space(text), Some((24_620_032, 23_553_720)));
        assert_eq!(parse_space("x\n"), None);
    }
}
