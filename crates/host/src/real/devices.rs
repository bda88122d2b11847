//! Block devices and ports.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::files::blocking;
use crate::error::FileError;
use crate::host::{DeviceUse, Place, PortState};

/// Interval at which a device is checked for; udev needs some milliseconds for the symlinks of a new one.
const DEVICE_POLL: Duration = Duration::from_millis(20);
/// A directory for each block device of the kernel; that of a mapped one has its name in `dm/name`.
const BLOCK_DEVICES: &str = "/sys/block";
/// The unit of the file `size` in such a directory, whatever the device's own is.
const SECTOR_BYTES: u64 = 512;
const ZERO_CHUNK_BYTES: u64 = 1024 * 1024;

pub(super) async fn block_device_size(path: &Path) -> Result<Option<u64>, FileError> {
    blocking("find block device", path, |path| {
        let kind = match fs::metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !kind.is_block_device() {
            return Ok(None);
        }
        fs::File::open(path)?.seek(SeekFrom::End(0)).map(Some)
    })
    .await
}

pub(super) async fn mapped_device_size(name: &str) -> Result<Option<u64>, FileError> {
    let name = name.to_owned();
    blocking(
        "find a mapped device in",
        Path::new(BLOCK_DEVICES),
        move |all| {
            for entry in fs::read_dir(all)? {
                let device = entry?.path();
                // Any of them may go meanwhile.
                let mapped = fs::read_to_string(device.join("dm/name")).unwrap_or_default();
                if mapped.trim_end() != name {
                    continue;
                }
                let sectors = fs::read_to_string(device.join("size"))?;
                let sectors = sectors.trim_end().parse::<u64>();
                return sectors
                    .map(|number| Some(number * SECTOR_BYTES))
                    .map_err(io::Error::other);
            }
            Ok(None)
        },
    )
    .await
}

pub(super) async fn wait_for_device(path: &Path, limit: Duration) -> Result<u64, FileError> {
    let give_up = Instant::now() + limit;
    loop {
        // Opening a device that is being set up can fail; it is an error only at the deadline.
        let found = block_device_size(path).await;
        if let Ok(Some(bytes)) = found {
            return Ok(bytes);
        }
        if Instant::now() >= give_up {
            found?;
            let source = io::Error::from(io::ErrorKind::TimedOut);
            return Err(FileError {
                action: "wait for block device",
                path: path.to_owned(),
                source,
            });
        }
        sleep(DEVICE_POLL).await;
    }
}

pub(super) async fn read_at(path: &Path, place: Place, len: usize) -> Result<Vec<u8>, FileError> {
    blocking("read from", path, move |path| {
        let mut file = fs::File::open(path)?;
        seek(&mut file, place)?;
        let mut bytes = Vec::with_capacity(len);
        file.take(len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
    .await
}

pub(super) async fn zero(path: &Path, place: Place, len: u64) -> Result<(), FileError> {
    blocking("overwrite with zeros in", path, move |path| {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        let start = seek(&mut file, place)?;
        let mut left = len.min(end.saturating_sub(start));
        let zeros = vec![0_u8; usize::try_from(left.min(ZERO_CHUNK_BYTES)).unwrap_or(0)];
        while left > 0 {
            let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            file.write_all(&zeros[..chunk])?;
            left -= chunk as u64;
        }
        file.sync_all()
    })
    .await
}

pub(super) async fn write_at(path: &Path, offset: u64, content: Vec<u8>) -> Result<(), FileError> {
    blocking("write into", path, move |path| {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        if offset.saturating_add(content.len() as u64) > end {
            return Err(io::Error::other("it is not that large"));
        }
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&content)
    })
    .await
}

pub(super) async fn sync(path: &Path) -> Result<(), FileError> {
    blocking("write to its disk", path, |path| {
        fs::OpenOptions::new().write(true).open(path)?.sync_all()
    })
    .await
}

/// Seeks to a position; a position before the start is the start.
fn seek(file: &mut fs::File, place: Place) -> io::Result<u64> {
    match place {
        Place::FromStart(bytes) => file.seek(SeekFrom::Start(bytes)),
        Place::FromEnd(bytes) => {
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(end.saturating_sub(bytes)))
        }
    }
}

pub(super) async fn device_use(path: &Path) -> Result<DeviceUse, FileError> {
    blocking("find users of", path, |path| {
        // On a block device, O_EXCL without O_CREAT fails with EBUSY if the device is claimed.
        let exclusive = nix::libc::O_EXCL | nix::libc::O_NONBLOCK;
        let mut options = fs::OpenOptions::new();
        match options.read(true).custom_flags(exclusive).open(path) {
            Ok(_) => return Ok(DeviceUse::Free),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DeviceUse::Free),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(error),
        }
        let device = fs::metadata(path)?.rdev();
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let number = format!("{major}:{minor}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if let Some(on) = mounts.lines().find_map(|line| mount_point(line, &number)) {
            return Ok(DeviceUse::Mounted { on });
        }
        let holders = fs::read_dir(format!("/sys/dev/block/{number}/holders"));
        let above = holders.ok().and_then(|mut entries| entries.next());
        let by = above.and_then(Result::ok);
        Ok(DeviceUse::Claimed {
            by: by.map(|entry| entry.file_name().to_string_lossy().into_owned()),
        })
    })
    .await
}

/// The mount point of this device, if this line of `/proc/self/mountinfo` is about it.
fn mount_point(line: &str, number: &str) -> Option<String> {
    let mut fields = line.split_ascii_whitespace();
    (fields.nth(2)? == number).then_some(())?;
    fields.nth(1).map(str::to_owned)
}

pub(super) async fn test_bind(port: u16) -> Result<PortState, FileError> {
    blocking(
        "find a listener in",
        Path::new("/proc/net/tcp"),
        move |_| {
            // The wildcard of both families, as each DRBD resource listens on one address of either.
            for address in ["[::]", "0.0.0.0"] {
                match TcpListener::bind(format!("{address}:{port}")) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        return Ok(PortState::Busy {
                            holder: holder(port),
                        });
                    }
                    // The kernel has no IPv6.
                    Err(error) if address == "[::]" && error.raw_os_error() == Some(97) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(PortState::Free)
        },
    )
    .await
}

/// Name and process id of the process with this socket.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| {
            table
                .lines()
                .skip(1)
                .find_map(|line| listener_inode(line, port))
        })?;
    let socket = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = descriptors
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == socket.as_str()));
        if holds {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// The socket's inode, if this line of `/proc/net/tcp` is a listener on the port.
fn listener_inode(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let (_, hex) = local.rsplit_once(':')?;
    let listens = state == LISTEN && u16::from_str_radix(hex, 16) == Ok(port);
    (listens && inode != "0").then(|| inode.to_owned())
}
