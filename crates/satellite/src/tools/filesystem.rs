//! Signatures and file systems on a device: `wipefs`, `blkid`, `mkfs`.

use std::path::Path;
use std::time::Duration;

use linstor_host::{Cmd, Deadline, Place};

use crate::failure::Result;
use crate::machine::Machine;

/// How much is zeroed at both ends of a device: where DRBD keeps its superblock.
const END_BYTES: u64 = 4096;
/// mkfs writes all over a device, so only a standstill ends it.
const MKFS_STALL: Duration = Duration::from_secs(45);

/// Removes every signature, and what DRBD would take for metadata.
pub async fn wipe(machine: &Machine, device: &str) -> Result<()> {
    machine
        .run(Cmd::new("wipefs").args(["-a", "-f", device]))
        .await?;
    let path = Path::new(device);
    let host = machine.host();
    host.zero(path, Place::FromStart(0), END_BYTES).await?;
    host.zero(path, Place::FromEnd(END_BYTES), END_BYTES)
        .await?;
    Ok(())
}

/// The type of what is on a device, if anything is.
pub async fn type_of(machine: &Machine, device: &str) -> Result<Option<String>> {
    let cmd = Cmd::new("blkid").args(["-o", "export", device]);
    let output = machine.try_run(cmd).await?;
    // 2 means that nothing was found.
    if output.code == 2 {
        return Ok(None);
    }
    // DRBD's metadata at the end of a device is nothing that its user has put there.
    Ok(parse_type(&output.ok()?.stdout).filter(|found| found != "drbd"))
}

fn parse_type(text: &str) -> Option<String> {
    let value = |line: &str| line.trim().strip_prefix("TYPE=").map(str::to_owned);
    text.lines().find_map(value)
}

/// A file system that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// As blkid has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }
}

impl std::str::FromStr for FileSystem {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        match word.to_ascii_lowercase().as_str() {
            "ext4" => Ok(FileSystem::Ext4),
            "xfs" => Ok(FileSystem::Xfs),
            _ => Err(format!("'{}' is not one of ext4, xfs", word.escape_debug())),
        }
    }
}

/// Makes a file system, without discarding: what a new thin volume does not have need not be discarded.
pub async fn make(
    machine: &Machine,
    kind: FileSystem,
    parameters: &[String],
    device: &str,
) -> Result<()> {
    let cmd = match kind {
        FileSystem::Ext4 => Cmd::new("mkfs.ext4").args(["-q", "-F", "-E", "nodiscard"]),
        FileSystem::Xfs => Cmd::new("mkfs.xfs").args(["-q", "-f", "-K"]),
    };
    let cmd = cmd
        .args(parameters.iter().cloned())
        .arg(device)
        .deadline(Deadline::stall(MKFS_STALL));
    machine.run(cmd).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What blkid exports.
    #[test]
    fn a_type_is_found() {
        let text = "DEVNAME=/dev/vg0/r_00000\nUUID=b2a1\nBLOCK_SIZE=4096\nTYPE=ext4\n";
        assert_eq!(parse_type(text).as_deref(), Some("ext4"));
        assert_eq!(parse_type("DEVNAME=/dev/x\nPTTYPE=dos\n"), None);
    }
}
