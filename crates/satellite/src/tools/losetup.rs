//! Loop devices.

use linstor_host::{Cmd, FileId};

use crate::failure::Result;
use crate::machine::Machine;

/// A loop device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// Its path.
    pub path: String,
    /// The file behind it.
    pub file: FileId,
    /// It shows the file from its start to its end.
    pub is_whole: bool,
}

/// All loop devices.
pub async fn list(machine: &Machine) -> Result<Vec<LoopDevice>> {
    let columns = "NAME,BACK-INO,BACK-MAJ:MIN,OFFSET,SIZELIMIT";
    let cmd = Cmd::new("losetup").args(["-l", "-n", "--raw", "-O", columns]);
    let output = machine.run(cmd).await?;
    Ok(output.stdout.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<LoopDevice> {
    // The two numbers of a device are aligned with blanks, which are escaped.
    let line = line.replace(r"\x20", "");
    let mut cells = line.split_whitespace();
    let path = cells.next()?.to_owned();
    let inode = cells.next()?.parse().ok()?;
    let (major, minor) = cells.next()?.split_once(':')?;
    let file = FileId {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        inode,
    };
    Some(LoopDevice {
        path,
        file,
        is_whole: cells.all(|number| number == "0"),
    })
}

/// Puts a loop device on a file.
pub async fn attach(machine: &Machine, file: &str) -> Result<String> {
    let cmd = Cmd::new("losetup").args(["-f", "--show", file]);
    Ok(machine.run(cmd).await?.stdout.trim().to_owned())
}

/// Makes a loop device see the new size of its file.
pub async fn refresh(machine: &Machine, device: &str) -> Result<()> {
    let cmd = Cmd::new("losetup").args(["-c", device]);
    machine.run(cmd).await.map(drop)
}

/// Removes a loop device. One that is open is removed by the kernel when it is closed, which is no failure of the
/// command.
pub async fn detach(machine: &Machine, device: &str) -> Result<()> {
    let cmd = Cmd::new("losetup").args(["-d", device]);
    machine.run(cmd).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What util-linux 2.38 prints for a device of a whole file and for one of a part of it.
    #[test]
    fn devices_are_read() {
        let whole = parse(r"/dev/loop0 9977989 \x20\x20\x20\x20\x20254:0\x20\x20 0 0").unwrap();
        let file = FileId {
            major: 254,
            minor: 0,
            inode: 9_977_989,
        };
        let expected = LoopDevice {
            path: "/dev/loop0".into(),
            file,
            is_whole: true,
        };
        assert_eq!(whole, expected);
        let part = parse("/dev/loop11 9977989 254:0 1048576 0").unwrap();
        assert!(part.file == file && !part.is_whole);
        assert_eq!(parse("/dev/loop1"), None);
    }
}
