//! What the volumes of LVM thin pools have allocated: `thin_dump` and `thin_delta` read it from a snapshot of the pool's
//! metadata, of which the kernel has one at a time.

use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use linstor_api::code;
use linstor_host::{Cmd, StreamEvent};
use tempfile::SpooledTempFile;

use super::lvm::{NO_DRBD, mapped_name};
use crate::failure::{Failure, Result, bounded};
use crate::machine::Machine;
use crate::thin_stream::map::{Map, Range};

/// How much of a map is held in memory, in bytes. What is longer is in a file without a name.
const MAP_BYTES_IN_MEMORY: usize = 8 * 1024 * 1024;
/// Bytes of a range in a map.
const RANGE_BYTES: usize = 16;
/// How much a program's errors may be, in bytes.
const ERRORS_BYTES_MAX: usize = 1000;

/// The thin pool's own device.
pub fn pool_device(vg: &str, pool: &str) -> String {
    format!("{}-tpool", mapped_name(vg, pool))
}

/// The ranges of a volume that are to be sent, in their order.
pub struct Ranges {
    file: SpooledTempFile,
    /// How many bytes are mapped in them.
    pub mapped_bytes: u64,
}

impl Ranges {
    fn new(directory: &Path) -> Ranges {
        Ranges {
            file: tempfile::spooled_tempfile_in(MAP_BYTES_IN_MEMORY, directory),
            mapped_bytes: 0,
        }
    }

    fn add(&mut self, range: Range) -> io::Result<()> {
        // Offsets are multiples of a sector.
        let first = range.offset | u64::from(range.is_mapped);
        let mut bytes = [0; RANGE_BYTES];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[8..].copy_from_slice(&range.bytes.to_be_bytes());
        if range.is_mapped {
            self.mapped_bytes = self.mapped_bytes.saturating_add(range.bytes);
        }
        self.file.write_all(&bytes)
    }

    /// The ranges.
    ///
    /// # Errors
    ///
    /// When the file that they are in cannot be read.
    pub fn read(
        mut self,
    ) -> io::Result<impl Iterator<Item = std::result::Result<Range, String>> + Send> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut file = BufReader::new(self.file);
        Ok(std::iter::from_fn(move || {
            let mut bytes = [0; RANGE_BYTES];
            match file.read_exact(&mut bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
                Err(error) => return Some(Err(error.to_string())),
            }
            let number = |at: usize| {
                let bytes = bytes[at..at + 8].try_into().expect("it has eight bytes");
                u64::from_be_bytes(bytes)
            };
            Some(Ok(Range {
                offset: number(0) & !1,
                bytes: number(8),
                is_mapped: number(0) & 1 == 1,
            }))
        }))
    }
}

/// What a volume has allocated, or what differs from another volume of the same pool that it is a snapshot of, or that has
/// the same origin. `directory` is where a long map is put.
///
/// # Errors
///
/// When the programs fail, or print something else.
pub async fn map(
    machine: &Machine,
    (vg, pool): (&str, &str),
    name: &str,
    base: Option<&str>,
    directory: &Path,
) -> Result<Ranges> {
    let _turn = machine
        .lock(&format!("metadata-snapshot/{vg}/{pool}"))
        .await;
    let device = pool_device(vg, pool);
    let id = thin_id(machine, vg, name).await?;
    let base = match base {
        Some(base) => Some(thin_id(machine, vg, base).await?),
        None => None,
    };
    if message(machine, &device, "reserve_metadata_snap")
        .await
        .is_err()
    {
        // One that ended while it held it has left it behind.
        message(machine, &device, "release_metadata_snap").await?;
        message(machine, &device, "reserve_metadata_snap").await?;
    }
    let metadata = format!("/dev/mapper/{}", mapped_name(vg, &format!("{pool}_tmeta")));
    let cmd = match base {
        None => Cmd::new("thin_dump")
            .args(["--metadata-snap", "--dev-id"])
            .arg(id.to_string()),
        Some(base) => Cmd::new("thin_delta")
            .args(["--metadata-snap", "--thin1"])
            .arg(base.to_string())
            .arg("--thin2")
            .arg(id.to_string()),
    };
    let ranges = read(machine, cmd.arg(metadata), directory).await;
    let released = message(machine, &device, "release_metadata_snap").await;
    let ranges = ranges?;
    released.map(|()| ranges)
}

async fn message(machine: &Machine, device: &str, text: &str) -> Result<()> {
    let cmd = Cmd::new("dmsetup").args(["message", device, "0", text]);
    machine.run(cmd).await.map(drop)
}

/// The number of a volume in the metadata of its pool.
async fn thin_id(machine: &Machine, vg: &str, name: &str) -> Result<u32> {
    let cmd = Cmd::new("lvs")
        .args(["--config", NO_DRBD, "--noheadings", "-o", "thin_id"])
        .arg(format!("{vg}/{name}"));
    let printed = machine.run(cmd).await?.stdout;
    printed.trim().parse().map_err(|_| {
        let message = format!("Logical volume '{vg}/{name}' is not a thin volume.");
        Failure::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause(format!("Its number is '{}'.", bounded(printed.trim(), 40)))
    })
}

async fn read(machine: &Machine, cmd: Cmd, directory: &Path) -> Result<Ranges> {
    let shown = cmd.to_string();
    let failed = |cause: String| {
        let message = format!("`{shown}` did not print the map of a volume.");
        Failure::new(code::FAIL_UNKNOWN_ERROR, message).cause(cause)
    };
    let mut lines = machine.host().stream(cmd).await?;
    let (mut map, mut ranges) = (Map::default(), Ranges::new(directory));
    let mut errors = String::new();
    while let Some(event) = lines.next().await {
        match event {
            StreamEvent::Line(line) => {
                if let Some(range) = map.line(&line).map_err(failed)? {
                    let added = ranges.add(range);
                    added.map_err(|error| {
                        failed(format!(
                            "It cannot be held in {}: {error}",
                            directory.display()
                        ))
                    })?;
                }
            }
            StreamEvent::ErrorLine(line) if errors.len() < ERRORS_BYTES_MAX => {
                errors.push_str(&line);
                errors.push(' ');
            }
            StreamEvent::ErrorLine(_) => {}
            StreamEvent::LineTooLong => return Err(failed("A line is too long.".to_owned())),
            StreamEvent::Ended(Some(0)) => {
                map.end().map_err(failed)?;
                return Ok(ranges);
            }
            StreamEvent::Ended(code) => {
                let how = code.map_or("by a signal".to_owned(), |code| format!("with {code}"));
                return Err(failed(format!("It ended {how}. {}", errors.trim())));
            }
        }
    }
    Err(failed("Its output ended early.".to_owned()))
}
