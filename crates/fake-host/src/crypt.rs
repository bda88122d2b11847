//! `cryptsetup`: LUKS headers and open mappings. Data is not encrypted, only offset by the header.

use super::args::{Args, Options};
use super::content::{BLOCK_BYTES, Block};
use super::machine::{Dev, Machine};
use super::signature;
use super::tool::{Rng, Stop, ToolOutput, ToolResult, fail, missing};

/// Size of the LUKS2 header: 16 MiB.
const HEADER_BLOCKS: u64 = 16 * 1024 * 1024 / BLOCK_BYTES;
/// Offset of the passphrase in the fake header.
const KEY_AT: usize = 3000;

/// An open mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) backing: Dev,
    pub(crate) offset_blocks: u64,
}

const OPTIONS: Options = Options {
    flags: &[
        "-q|--batch-mode",
        "--allow-discards",
        "--readonly|-r",
        "-v|--verbose",
    ],
    valued: &[
        "--pbkdf-memory",
        "--tries|-T",
        "--type|-M",
        "--key-file|-d",
        "--pbkdf",
        "--cipher|-c",
        "--key-size|-s",
        "--hash|-h",
        "--iter-time|-i",
        "--sector-size",
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
    let key = stdin
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    match args.positional() {
        [verb, dev] if verb == "luksFormat" => format(machine, rng, dev, key),
        [verb, dev, name] if verb == "open" || verb == "luksOpen" => open(machine, dev, name, key),
        [verb, name] if verb == "close" || verb == "luksClose" => close(machine, name),
        [verb, dev] if verb == "isLuks" => {
            let dev = device(machine, dev)?;
            let code = if key_of(machine, &dev).is_some() {
                0
            } else {
                1
            };
            Ok(ToolOutput {
                code,
                ..ToolOutput::default()
            })
        }
        [verb, name] if verb == "resize" || verb == "status" => match machine.crypts.get(name) {
            // A fake mapping always has the size of its backing device.
            Some(_) if verb == "resize" => Ok(ToolOutput::nothing()),
            Some(_) => Ok(ToolOutput::out(format!("/dev/mapper/{name} is active.\n"))),
            None => fail(4, format!("Device {name} is not active.\n")),
        },
        [verb, dev] if verb == "luksChangeKey" => change_key(machine, dev, stdin),
        other => missing(format!("cryptsetup {other:?}")),
    }
}

fn format(machine: &mut Machine, rng: &mut Rng, path: &str, key: &[u8]) -> ToolResult {
    let dev = device(machine, path)?;
    if machine.user_of(&dev).is_some() {
        return fail(
            5,
            format!("Cannot exclusively open {path}, device in use.\n"),
        );
    }
    if machine.size_bytes(&dev) < (HEADER_BLOCKS + 1) * BLOCK_BYTES {
        return fail(1, format!("Device {path} is too small.\n"));
    }
    let marker = rng.next();
    write_header(machine, &dev, key, marker)
}

fn write_header(machine: &mut Machine, dev: &Dev, key: &[u8], marker: u64) -> ToolResult {
    let Some(Block::Bytes(mut bytes)) = signature::first_block("crypto_LUKS", marker) else {
        return missing("a LUKS signature");
    };
    bytes.resize(KEY_AT, 0);
    bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
    bytes.extend_from_slice(key);
    match machine.put(dev, 0, Block::of(&bytes)) {
        Ok(()) => Ok(ToolOutput::nothing()),
        Err(_) => fail(4, "Cannot wipe header on device.\n"),
    }
}

fn open(machine: &mut Machine, path: &str, name: &str, key: &[u8]) -> ToolResult {
    let dev = device(machine, path)?;
    if machine.crypts.contains_key(name) {
        return fail(5, format!("Device {name} already exists.\n"));
    }
    let Some(expected) = key_of(machine, &dev) else {
        return fail(1, format!("Device {path} is not a valid LUKS device.\n"));
    };
    if expected != key {
        return fail(2, "No key available with this passphrase.\n");
    }
    if machine.user_of(&dev).is_some() {
        return fail(
            5,
            format!("Cannot use device {path} which is in use (already mapped or mounted).\n"),
        );
    }
    let mapping = Mapping {
        backing: dev,
        offset_blocks: HEADER_BLOCKS,
    };
    machine.crypts.insert(name.to_owned(), mapping);
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

fn change_key(machine: &mut Machine, path: &str, stdin: &[u8]) -> ToolResult {
    let dev = device(machine, path)?;
    let mut lines = stdin.split(|byte| *byte == b'\n');
    let (old, new) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    if key_of(machine, &dev).as_deref() != Some(old) {
        return fail(2, "No key available with this passphrase.\n");
    }
    write_header(machine, &dev, new, 0)
}

/// The passphrase of a LUKS device.
fn key_of(machine: &Machine, dev: &Dev) -> Option<Vec<u8>> {
    let bytes = machine.get(dev, 0).ok()??.bytes();
    if !bytes.starts_with(b"LUKS") {
        return None;
    }
    let length = bytes[KEY_AT..KEY_AT + 4]
        .iter()
        .rev()
        .fold(0_usize, |n, b| n << 8 | usize::from(*b));
    Some(bytes.get(KEY_AT + 4..KEY_AT + 4 + length)?.to_vec())
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
