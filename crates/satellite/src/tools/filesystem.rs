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

/// The signatures on a device, by `blkid`'s names, as they are on it now: udev, and `lsblk` with it, shows for some time
/// what was there before.
pub async fn signatures(machine: &Machine, device: &str) -> Result<Vec<String>> {
    let output = machine.run(Cmd::new("wipefs").args(["-p", device])).await?;
    Ok(parse_signatures(&output.stdout))
}

/// Lines of `offset,uuid,label,type`.
fn parse_signatures(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    let types = lines.filter_map(|line| Some(line.rsplit_once(',')?.1.to_owned()));
    types.filter(|name| !name.is_empty()).collect()
}

/// The type of what is on a device, if anything is: a file system, another signature or a partition table. Without `-p`
/// blkid answers from its memory of the device.
pub async fn type_of(machine: &Machine, device: &str) -> Result<Option<String>> {
    let cmd = Cmd::new("blkid").args(["-p", "-o", "export", "-s", "TYPE", "-s", "PTTYPE", device]);
    let output = machine.try_run(cmd).await?;
    match output.code {
        // Nothing was found.
        2 => return Ok(None),
        // There are several that exclude each other.
        8 => return Ok(Some("several signatures".to_owned())),
        _ => {}
    }
    // DRBD's metadata at the end of a device is nothing that its user has put there.
    Ok(parse_type(&output.ok()?.stdout).filter(|found| found != "drbd"))
}

fn parse_type(text: &str) -> Option<String> {
    let value = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key));
    value("TYPE=").or(value("PTTYPE=")).map(str::to_owned)
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
        let text = "DEVNAME=/dev/vg0/r_00000\nTYPE=ext4\n";
        assert_eq!(parse_type(text).as_deref(), Some("ext4"));
        let text = "DEVNAME=/dev/x\nPTTYPE=dos\n";
        assert_eq!(parse_type(text).as_deref(), Some("dos"));
        assert_eq!(parse_type("DEVNAME=/dev/x\n"), None);
    }

    /// What wipefs of util-linux 2.38 and of 2.33 prints.
    #[test]
    fn signatures_are_found() {
        assert_eq!(parse_signatures(""), Vec::<String>::new());
        let text = "0x438,03e7ffa3-596b-4a77-8fd4-53290c2e9821,,ext4\n";
        assert_eq!(parse_signatures(text), ["ext4"]);
        let text = "# offset,uuid,label,type\n0x200,,,gpt\n0x3ffffe00,,,gpt\n0x1fe,,,PMBR\n";
        assert_eq!(parse_signatures(text), ["gpt", "gpt", "PMBR"]);
    }
}
