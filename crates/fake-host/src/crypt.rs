//! `cryptsetup`: LUKS headers and open mappings. Data is not encrypted, only offset by the header.

use super::args::{Args, Options};
use super::content::{BLOCK_BYTES, Block};
use super::machine::{Dev, Machine};
use super::signature;
use super::tool::{Rng, Stop, ToolOutput, ToolResult, fail, missing};

/// Bytes of a sector, the unit of cryptsetup's sizes.
const SECTOR_BYTES: u64 = 512;
/// Where the data begins by default, in sectors: after 16 MiB.
const OFFSET_SECTORS: u64 = 32_768;
/// Offset of the passphrase in the fake header; before it is that of the data, in sectors.
const KEY_AT: usize = 3000;
/// Longest passphrase that is read from standard input as a line.
const LINE_BYTES_MAX: usize = 512;

/// An open mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) backing: Dev,
    pub(crate) offset_blocks: u64,
    /// Its size when it was opened or resized.
    pub(crate) size_bytes: u64,
}

/// What a fake header has.
struct Header {
    key: Vec<u8>,
    offset_blocks: u64,
}

const OPTIONS: Options = Options {
    flags: &[
        "-q|--batch-mode",
        "--allow-discards",
        "--readonly|-r",
        "--test-passphrase",
        "-v|--verbose",
    ],
    valued: &[
        "--pbkdf-memory",
        "--pbkdf-force-iterations",
        "--tries|-T",
        "--type|-M",
        "--key-file|-d",
        "--key-slot|-S",
        "--pbkdf",
        "--cipher|-c",
        "--key-size|-s",
        "--hash|-h",
        "--iter-time|-i",
        "--sector-size",
        "--offset|-o",
        "--luks2-metadata-size",
        "--luks2-keyslots-size",
    ],
};

/// `cryptsetup`.
pub(crate) fn cryptsetup(
    machine: &mut Machine,
    rng: &mut Rng,
    args: &[String],
    stdin: &[u8],
) -> ToolResult {
    if args.first().is_some_and(|arg| arg == "--version") {
        return Ok(ToolOutput::out(
            "cryptsetup 2.6.1 flags: UDEV BLKID KEYRING FIPS KERNEL_CAPI \n",
        ));
    }
    let args = Args::parse(args, &OPTIONS)?;
    // A passphrase from standard input ends with the line.
    let mut lines = stdin.split(|byte| *byte == b'\n');
    let key = lines.next().unwrap_or_default();
    if key.len() > LINE_BYTES_MAX {
        return fail(1, "Maximum interactive passphrase length exceeded.\n");
    }
    match args.positional() {
        [verb, dev] if verb == "luksFormat" => {
            let offset = args.value("--offset").and_then(|text| text.parse().ok());
            format(machine, rng, dev, key, offset.unwrap_or(OFFSET_SECTORS))
        }
        [verb, dev] if verb == "open" && args.has("--test-passphrase") => test(machine, dev, key),
        [verb, dev, name] if verb == "open" || verb == "luksOpen" => open(machine, dev, name, key),
        [verb, name] if verb == "close" || verb == "luksClose" => close(machine, name),
        [verb, dev] if verb == "isLuks" => {
            let dev = device(machine, dev)?;
            let code = if header_of(machine, &dev).is_some() {
                0
            } else {
                1
            };
            Ok(ToolOutput {
                code,
                ..ToolOutput::default()
            })
        }
        [verb, name] if verb == "resize" => resize(machine, name, key),
        [verb, name] if verb == "status" => match machine.crypts.get(name) {
            Some(mapping) => Ok(ToolOutput::out(format!(
                "/dev/mapper/{name} is active.\n  type:    LUKS2\n  size:    {} sectors\n",
                mapping.size_bytes / SECTOR_BYTES
            ))),
            None => fail(4, format!("/dev/mapper/{name} is inactive.\n")),
        },
        [verb, dev] if verb == "luksChangeKey" => {
            let new = lines.next().unwrap_or_default();
            change_key(machine, dev, key, new)
        }
        other => missing(format!("cryptsetup {other:?}")),
    }
}

fn format(
    machine: &mut Machine,
    rng: &mut Rng,
    path: &str,
    key: &[u8],
    offset_sectors: u64,
) -> ToolResult {
    let dev = device(machine, path)?;
    if machine.user_of(&dev).is_some() {
        return fail(
            5,
            format!("Cannot exclusively open {path}, device in use.\n"),
        );
    }
    if machine.size_bytes(&dev) < offset_sectors * SECTOR_BYTES + BLOCK_BYTES {
        return fail(1, format!("Device {path} is too small.\n"));
    }
    let marker = rng.next();
    let header = Header {
        key: key.to_vec(),
        offset_blocks: offset_sectors * SECTOR_BYTES / BLOCK_BYTES,
    };
    write_header(machine, &dev, &header, marker)
}

fn write_header(machine: &mut Machine, dev: &Dev, header: &Header, marker: u64) -> ToolResult {
    let Some(Block::Bytes(mut bytes)) = signature::first_block("crypto_LUKS", marker) else {
        return missing("a LUKS signature");
    };
    bytes.resize(KEY_AT - 8, 0);
    bytes.extend_from_slice(&header.offset_blocks.to_le_bytes());
    bytes.extend_from_slice(&(header.key.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&header.key);
    match machine.put(dev, 0, Block::of(&bytes)) {
        Ok(()) => Ok(ToolOutput::nothing()),
        Err(_) => fail(4, "Cannot wipe header on device.\n"),
    }
}

/// The header of a device that a passphrase opens.
fn unlocked(machine: &Machine, path: &str, dev: &Dev, key: &[u8]) -> Result<Header, Stop> {
    match header_of(machine, dev) {
        None => fail(1, format!("Device {path} is not a valid LUKS device.\n")),
        Some(header) if header.key != key => fail(2, "No key available with this passphrase.\n"),
        Some(header) => Ok(header),
    }
}

fn test(machine: &Machine, path: &str, key: &[u8]) -> ToolResult {
    let dev = device(machine, path)?;
    unlocked(machine, path, &dev, key).map(|_| ToolOutput::nothing())
}

fn open(machine: &mut Machine, path: &str, name: &str, key: &[u8]) -> ToolResult {
    let dev = device(machine, path)?;
    if machine.crypts.contains_key(name) {
        return fail(5, format!("Device {name} already exists.\n"));
    }
    let header = unlocked(machine, path, &dev, key)?;
    if machine.user_of(&dev).is_some() {
        return fail(
            5,
            format!("Cannot use device {path} which is in use (already mapped or mounted).\n"),
        );
    }
    let mapping = Mapping {
        size_bytes: payload_bytes(machine, &dev, header.offset_blocks),
        backing: dev,
        offset_blocks: header.offset_blocks,
    };
    machine.crypts.insert(name.to_owned(), mapping);
    Ok(ToolOutput::nothing())
}

/// An open device gets all of a backing device that has grown. The key of LUKS2 is in the kernel's keyring, so that
/// cryptsetup asks for the passphrase.
fn resize(machine: &mut Machine, name: &str, key: &[u8]) -> ToolResult {
    let Some(mapping) = machine.crypts.get(name) else {
        return fail(4, format!("Device {name} is not active.\n"));
    };
    let (backing, offset) = (mapping.backing.clone(), mapping.offset_blocks);
    let path = machine.path(&backing);
    unlocked(machine, &path, &backing, key)?;
    let size_bytes = payload_bytes(machine, &backing, offset);
    if let Some(mapping) = machine.crypts.get_mut(name) {
        mapping.size_bytes = size_bytes;
    }
    Ok(ToolOutput::nothing())
}

fn close(machine: &mut Machine, name: &str) -> ToolResult {
    if !machine.crypts.contains_key(name) {
        return fail(4, format!("Device {name} is not active.\n"));
    }
    if machine.user_of(&Dev::Crypt(name.to_owned())).is_some() {
        return fail(5, format!("Device {name} is still in use.\n"));
    }
    machine.crypts.remove(name);
    Ok(ToolOutput::nothing())
}

fn change_key(machine: &mut Machine, path: &str, old: &[u8], new: &[u8]) -> ToolResult {
    let dev = device(machine, path)?;
    let mut header = unlocked(machine, path, &dev, old)?;
    header.key = new.to_vec();
    write_header(machine, &dev, &header, 0)
}

/// What a device has behind its header.
fn payload_bytes(machine: &Machine, backing: &Dev, offset_blocks: u64) -> u64 {
    machine
        .size_bytes(backing)
        .saturating_sub(offset_blocks * BLOCK_BYTES)
}

/// The header of a LUKS device.
fn header_of(machine: &Machine, dev: &Dev) -> Option<Header> {
    let bytes = machine.get(dev, 0).ok()??.bytes();
    if !bytes.starts_with(b"LUKS") {
        return None;
    }
    let number = |at: usize, len: usize| {
        let bytes = bytes.get(at..at + len)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0_u64, |n, b| n << 8 | u64::from(*b)),
        )
    };
    let length = usize::try_from(number(KEY_AT, 4)?).ok()?;
    Some(Header {
        offset_blocks: number(KEY_AT - 8, 8)?,
        key: bytes.get(KEY_AT + 4..KEY_AT + 4 + length)?.to_vec(),
    })
}

fn device(machine: &Machine, path: &str) -> Result<Dev, Stop> {
    match machine.device(path) {
        Some(dev) => Ok(dev),
        None => fail(
            4,
            format!("Device {path} does not exist or access denied.\n"),
        ),
    }
}
