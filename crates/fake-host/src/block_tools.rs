//! Tools for block devices in general: `blkid`, `wipefs`, `lsblk`, `mkfs`, `blockdev`, `dmsetup`, `dd`, `shred`.

use super::args::{Args, Options};
use super::content::BLOCK_BYTES;
use super::machine::{Dev, Machine};
use super::signature;
use super::tool::{Rng, Stop, ToolOutput, ToolResult, fail, missing};
use super::world::World;

const BLKID: Options = Options {
    flags: &["-p|--probe"],
    valued: &["-o|--output", "-s|--match-tag"],
};

/// `blkid -o export DEVICE`, also with `-p` and tags; exit code 2 if there is no signature.
pub(crate) fn blkid(world: &mut World, node: &str, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &BLKID)?;
    if args.value("--output") != Some("export") {
        return missing("blkid without -o export");
    }
    let path = args.only()?;
    let Some(machine) = world.machines.get(node) else {
        return missing("blkid nowhere");
    };
    let Some(dev) = machine.device(path) else {
        return fail(2, "");
    };
    let (machine, dev) = match readable(world, node, dev) {
        Some(found) => found,
        // A secondary DRBD device cannot be opened.
        None => return fail(2, ""),
    };
    let Some(found) = signature::find(machine, &dev).into_iter().next() else {
        return fail(2, "");
    };
    let mut text = format!("DEVNAME={path}\n");
    if args.has("--probe") {
        if args.all("--match-tag") != ["TYPE", "PTTYPE"] {
            return missing("blkid -p with other tags than TYPE and PTTYPE");
        }
        text.push_str(&format!("TYPE={}\n", found.kind));
        return Ok(ToolOutput::out(text));
    }
    if let Ok(Some(block)) = machine.get(&dev, found.block) {
        let bytes = block.bytes();
        let marker = bytes[2048..2056]
            .iter()
            .fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        if matches!(found.kind, "ext4" | "xfs" | "crypto_LUKS") {
            text.push_str(&format!("UUID={marker:016x}\n"));
        }
    }
    let block_size = match found.kind {
        // The block size that mkfs chooses for small file systems.
        "ext4" if machine.size_bytes(&dev) < 512 << 20 => Some(1024),
        "ext4" => Some(4096),
        "xfs" => Some(512),
        "LVM2_member" => {
            text.push_str(&format!("UUID={}\n", lvm_uuid(path)));
            None
        }
        _ => None,
    };
    if let Some(bytes) = block_size {
        text.push_str(&format!("BLOCK_SIZE={bytes}\n"));
    }
    text.push_str(&format!("TYPE={}\n", found.kind));
    Ok(ToolOutput::out(text))
}

/// An identifier in LVM's form, derived from the device's path.
fn lvm_uuid(path: &str) -> String {
    let digits: String = path.bytes().map(|byte| format!("{byte:02}")).collect();
    let digits = format!("{digits:0>32}");
    let digits = &digits[digits.len() - 32..];
    let parts = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32].map(|part| &digits[part]);
    parts.join("-")
}

/// The node and backing device from which a device's content is read; for a DRBD device an UpToDate disk here or at a
/// peer.
fn readable<'a>(world: &'a World, node: &str, dev: Dev) -> Option<(&'a Machine, Dev)> {
    let Dev::Drbd(minor) = dev else {
        return Some((world.machines.get(node)?, dev));
    };
    let (name, number) = world.kernel(node)?.find_minor(minor)?;
    let primary = world.resource(node, &name)?.role == super::drbd::Role::Primary;
    let auto = world.kernel(node)?.kind == super::drbd::DrbdKind::V9;
    if !primary && !auto {
        return None;
    }
    let (host, backing) = super::drbd::good_backing(world, node, &name, number)?;
    Some((world.machines.get(&host)?, backing))
}

const WIPEFS: Options = Options {
    flags: &[
        "-a|--all",
        "-f|--force",
        "-q|--quiet",
        "-p|--parsable",
        "-n|--no-act",
    ],
    valued: &["-t|--types"],
};

/// `wipefs -a`, and `wipefs -p`, which lists.
pub(crate) fn wipefs(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &WIPEFS)?;
    let lists = args.has("--parsable") && !args.has("--all");
    if !args.has("--all") && !lists {
        return missing("wipefs with neither -a nor -p");
    }
    let mut text = String::new();
    for path in args.positional() {
        let Some(dev) = machine.device(path) else {
            return fail(
                1,
                format!(
                    "wipefs: error: {path}: probing initialization failed: No such file or directory\n"
                ),
            );
        };
        if machine.user_of(&dev).is_some() && !args.has("--force") && !lists {
            return fail(
                1,
                format!(
                    "wipefs: error: {path}: probing initialization failed: Device or resource busy\n"
                ),
            );
        }
        if machine.is_broken(&dev) {
            return fail(
                1,
                format!(
                    "wipefs: error: {path}: probing initialization failed: Input/output error\n"
                ),
            );
        }
        if lists {
            for found in signature::find(machine, &dev) {
                text.push_str(&format!("{:#x},,,{}\n", found.offset_bytes, found.kind));
            }
            continue;
        }
        for found in signature::find(machine, &dev) {
            let magic = found.magic;
            let bytes: Vec<String> = magic.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!(
                "{path}: {} bytes were erased at offset 0x{:08x} ({}): {}\n",
                magic.len(),
                found.offset_bytes,
                found.kind,
                bytes.join(" ")
            ));
        }
        signature::wipe(machine, &dev);
        if let Dev::Disk(path) = &dev
            && let Some(disk) = machine.disks.get_mut(path)
        {
            disk.used_by = None;
        }
    }
    Ok(ToolOutput::out(text))
}

/// `mkfs.ext4` and `mkfs.xfs`: write one block, which contains the signature.
pub(crate) fn mkfs(world: &mut World, node: &str, kind: &str, args: &[String]) -> ToolResult {
    let Some(path) = args.last() else {
        return missing("mkfs without device");
    };
    let Some(dev) = world
        .machines
        .get(node)
        .and_then(|machine| machine.device(path))
    else {
        let text = format!("The file {path} does not exist and no size was specified.\n");
        return fail(1, text);
    };
    let marker = world.rng.next();
    let block = signature::first_block(kind, marker);
    match dev {
        Dev::Drbd(minor) => {
            if super::drbd::open_device(world, node, minor).is_err() {
                let text = format!(
                    "mkfs.{kind}: Wrong medium type while trying to determine filesystem size\n"
                );
                return fail(1, text);
            }
            let found = world
                .kernel(node)
                .and_then(|kernel| kernel.find_minor(minor));
            let (name, number) = found.unwrap_or_default();
            let written = super::drbd::app_write(world, node, &name, number, 0, block.as_ref());
            super::drbd::close_device(world, node, minor);
            match written {
                Ok(()) => Ok(ToolOutput::nothing()),
                Err(_) => fail(1, format!("mkfs: {path}: Input/output error\n")),
            }
        }
        other => {
            let Some(machine) = world.machines.get_mut(node) else {
                return missing("mkfs nowhere");
            };
            if machine.user_of(&other).is_some() {
                return fail(
                    1,
                    format!(
                        "{path} is apparently in use by the system; will not make a filesystem here!\n"
                    ),
                );
            }
            match machine.put(&other, 0, block) {
                Ok(()) => Ok(ToolOutput::nothing()),
                Err(_) => fail(1, format!("mkfs: {path}: Input/output error\n")),
            }
        }
    }
}

/// `blockdev --getsize64`.
pub(crate) fn blockdev(world: &mut World, node: &str, args: &[String]) -> ToolResult {
    let Some(machine) = world.machines.get(node) else {
        return missing("blockdev nowhere");
    };
    match args {
        [option, path] if option == "--getsize64" => match machine.device(path) {
            Some(dev) if readable(world, node, dev.clone()).is_none() => fail(
                1,
                format!("blockdev: cannot open {path}: Wrong medium type\n"),
            ),
            Some(dev) => Ok(ToolOutput::out(format!("{}\n", machine.size_bytes(&dev)))),
            None => fail(
                1,
                format!("blockdev: cannot open {path}: No such file or directory\n"),
            ),
        },
        other => missing(format!("blockdev {other:?}")),
    }
}

const LSBLK: Options = Options {
    flags: &[
        "-P|--pairs",
        "-b|--bytes",
        "-p|--paths",
        "-n|--noheadings",
        "-J|--json",
    ],
    valued: &["-o|--output", "-I|--include", "-e|--exclude"],
};

/// `lsblk -P`: disks. What is on them it has from udev, which may be out of date; nothing may rely on it.
pub(crate) fn lsblk(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &LSBLK)?;
    if !args.has("--pairs") || !args.has("--bytes") {
        return missing("lsblk without -P -b");
    }
    let columns: Vec<&str> = args
        .value("--output")
        .unwrap_or("NAME,SIZE,TYPE")
        .split(',')
        .collect();
    let mut text = String::new();
    for (path, disk) in &machine.disks {
        if !args.positional().is_empty() && !args.positional().contains(path) {
            continue;
        }
        let name = if args.has("--paths") {
            path.as_str()
        } else {
            path.trim_start_matches("/dev/")
        };
        let mut cells = Vec::new();
        for column in &columns {
            let value = match *column {
                "NAME" | "KNAME" => name.to_owned(),
                "PATH" => path.clone(),
                "SIZE" => (disk.size_kib * 1024).to_string(),
                "TYPE" => "disk".to_owned(),
                "ROTA" | "RM" | "RO" => "0".to_owned(),
                "LOG-SEC" => disk.sector_bytes.to_string(),
                "MODEL" => "FAKE_DISK".to_owned(),
                "MAJ:MIN" => "8:0".to_owned(),
                "PKNAME" | "MOUNTPOINT" | "SERIAL" | "WWN" | "TRAN" => String::new(),
                other => return missing(format!("lsblk -o {other}")),
            };
            cells.push(format!("{column}=\"{value}\""));
        }
        text.push_str(&cells.join(" "));
        text.push('\n');
    }
    Ok(ToolOutput::out(text))
}

/// `dd` between devices.
pub(crate) fn dd(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let (mut from, mut to) = (None, None);
    for arg in args {
        match arg.split_once('=') {
            Some(("if", path)) => from = Some(path),
            Some(("of", path)) => to = Some(path),
            Some(("bs" | "conv" | "oflag" | "iflag" | "status", _)) => {}
            _ => return missing(format!("dd {arg}")),
        }
    }
    let (Some(from), Some(to)) = (from, to) else {
        return missing("dd without if and of");
    };
    let (source, target) = (device(machine, from)?, device(machine, to)?);
    let Ok(content) = machine.range(&source, 0, u64::MAX) else {
        return fail(
            1,
            format!("dd: error reading '{from}': Input/output error\n"),
        );
    };
    let size = machine.size_bytes(&source);
    if size > machine.size_bytes(&target) {
        return fail(
            1,
            format!("dd: error writing '{to}': No space left on device\n"),
        );
    }
    let old = machine.range(&target, 0, u64::MAX).unwrap_or_default();
    for block in old
        .keys()
        .filter(|block| **block < size / BLOCK_BYTES && !content.contains_key(block))
    {
        if machine.put(&target, *block, None).is_err() {
            return fail(1, format!("dd: error writing '{to}': Input/output error\n"));
        }
    }
    for (block, content) in content {
        if machine.put(&target, block, Some(content)).is_err() {
            return fail(1, format!("dd: error writing '{to}': Input/output error\n"));
        }
    }
    Ok(ToolOutput::nothing())
}

const SHRED: Options = Options {
    flags: &["-z|--zero", "-v", "-f"],
    valued: &["-s|--size", "-n|--iterations"],
};

/// `shred -s SIZE -z`.
pub(crate) fn shred(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &SHRED)?;
    let path = args.only()?.to_owned();
    if !args.has("--zero") {
        return missing("shred without -z");
    }
    let dev = device(machine, &path)?;
    let size = machine.size_bytes(&dev);
    let end = match args.value("--size") {
        Some(text) => (super::args::size_kib(text, 'b')? * 1024).min(size),
        None => size,
    };
    let blocks = machine
        .range(&dev, 0, end / BLOCK_BYTES)
        .unwrap_or_default();
    for block in blocks.into_keys() {
        if machine.put(&dev, block, None).is_err() {
            return fail(
                1,
                format!("shred: {path}: error writing: Input/output error\n"),
            );
        }
    }
    Ok(ToolOutput::nothing())
}

fn device(machine: &Machine, path: &str) -> Result<Dev, Stop> {
    match machine.device(path) {
        Some(dev) => Ok(dev),
        None => fail(1, format!("{path}: No such file or directory\n")),
    }
}
