//! Files as volumes: `fallocate`, `truncate`, `df`.

use std::path::Path;
use std::time::Duration;

use linstor_api::code;
use linstor_host::{Cmd, Deadline};

use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::tools::error::ErrorKind;

/// Pre-allocation can mean writing zeros, so only a standstill ends it.
const ALLOCATE_STALL: Duration = Duration::from_secs(45);

/// Files of one command.
const FILES_MAX: usize = 200;

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

/// Makes a copy of a file that shares its blocks with it until either is written. Fails where the file system cannot do
/// that.
pub async fn reflink(machine: &Machine, file: &str, copy: &str) -> Result<()> {
    let cmd = Cmd::new("cp").args(["--reflink=always", file, copy]);
    machine.run(cmd).await.map(drop)
}

/// How much of some files other files have as well: writing there takes new blocks, allocated as the files are.
pub async fn shared_kib(machine: &Machine, files: &[String]) -> Result<u64> {
    let mut kib = 0;
    for files in files.chunks(FILES_MAX) {
        let cmd = Cmd::new("filefrag").args(["-v", "-b1024"]);
        let output = machine.run(cmd.args(files.iter().cloned())).await?;
        kib += parse_shared(&output.stdout);
    }
    Ok(kib)
}

/// Lines of `number: logical: physical: length: expected: flags`, the expected place only where it is another one.
fn parse_shared(text: &str) -> u64 {
    let shared = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(':').map(str::trim).collect();
        let length = cells.get(3)?.parse::<u64>().ok()?;
        let mut flags = cells.last()?.split(',');
        flags.any(|flag| flag == "shared").then_some(length)
    });
    shared.sum()
}

/// Total and free KiB of the file system that a directory is on; `None` if there is no such directory.
pub async fn space(machine: &Machine, directory: &str) -> Result<Option<(u64, u64)>> {
    // The dot: what is asked about has to be a directory.
    let path = format!("{directory}/.");
    let cmd = Cmd::new("df").args(["-B", "1", "--output=size,avail", &path]);
    let output = machine.try_run(cmd).await?;
    // It also fails when it cannot look into another mount, and prints what it was asked for all the same.
    if let Some(space) = parse_space(&output.stdout) {
        return Ok(Some(space));
    }
    match ErrorKind::of(&output) {
        Some(ErrorKind::NotFound) => Ok(None),
        Some(ErrorKind::NoDirectory) => Err(Failure::new(
            code::FAIL_STOR_POOL_CONFIGURATION_ERROR,
            format!("'{directory}' is a file, not a directory."),
        )
        .cause("Volumes of a storage pool of this kind are files in a directory.")
        .correction("Remove the file and create the directory, or create the storage pool with another one.")),
        _ => output.ok().map(|_| None).map_err(Failure::from),
    }
}

/// Whether the file system that a directory is on is known to be read-only.
pub async fn is_read_only(machine: &Machine, directory: &str) -> bool {
    let host = machine.host();
    let usage = host.file_usage(Path::new(directory)).await;
    let mounts = host.read(Path::new("/proc/self/mountinfo")).await;
    match (usage, mounts) {
        (Ok(Some(usage)), Ok(mounts)) => {
            let device = format!("{}:{}", usage.id.major, usage.id.minor);
            parse_read_only(&String::from_utf8_lossy(&mounts), &device)
        }
        _ => false,
    }
}

/// Whether all mounts of a file system are read-only (`proc(5)`); one that is mounted for writing can be written.
fn parse_read_only(mounts: &str, device: &str) -> bool {
    let options = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let of = words.nth(2)?;
        let own = words.nth(2)?;
        let of_file_system = line.rsplit(' ').next()?;
        (of == device).then(|| [own, of_file_system].join(","))
    });
    let read_only: Vec<bool> = options
        .map(|options| options.split(',').any(|option| option == "ro"))
        .collect();
    !read_only.is_empty() && read_only.iter().all(|read_only| *read_only)
}

fn parse_space(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().nth(1)?;
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    Some((numbers.next()?.ok()? / 1024, numbers.next()?.ok()? / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What df prints.
    #[test]
    fn numbers_are_read() {
        let text = "   1B-blocks       Avail\n 25210912768 24119009280\n";
        assert_eq!(parse_space(text), Some((24_620_032, 23_553_720)));
        assert_eq!(parse_space("x\n"), None);
    }

    /// What filefrag 1.47 prints on XFS: shared, written since, and never written.
    #[test]
    fn shared_blocks_are_counted() {
        let text = "Filesystem type is: 58465342\n\
            File size of a.img is 10485760 (10240 blocks of 1024 bytes)\n \
            ext:     logical_offset:        physical_offset: length:   expected: flags:\n   \
            0:        0..    1023:      10336..     11359:   1024:            \n   \
            1:     1024..    4095:       1120..      4191:   3072:      11360: shared\n   \
            2:     4096..   10239:       4192..     10335:   6144:             last,unwritten,eof\n\
            a.img: 2 extents found\n\
            File size of b.img is 10485760 (10240 blocks of 1024 bytes)\n   \
            0:        0..    4095:         96..      4191:   4096:             last,shared\n\
            b.img: 1 extent found\n";
        assert_eq!(parse_shared(text), 3072 + 4096);
        assert_eq!(parse_shared("a shared b\n"), 0);
    }

    /// What Linux prints: the mount's own options, and those of the file system.
    #[test]
    fn read_only_file_systems() {
        let mounts = "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
                      90 24 8:17 / /srv/pool rw,relatime shared:9 - ext4 /dev/sdb1 ro,errors=remount-ro\n\
                      91 24 8:33 / /srv/a ro,relatime - xfs /dev/sdc1 rw\n\
                      92 24 8:33 / /srv/b rw,relatime - xfs /dev/sdc1 rw\n";
        assert!(!parse_read_only(mounts, "8:1"));
        assert!(parse_read_only(mounts, "8:17"), "after an error");
        assert!(!parse_read_only(mounts, "8:33"), "one of two mounts");
        assert!(!parse_read_only(mounts, "9:9") && !parse_read_only("", "8:1"));
    }
}
