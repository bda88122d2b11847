//! Files as devices: `fallocate`, `truncate`, `losetup`, `stat`, `df`, `cp`, `filefrag`.

use super::args::{Args, Options, size_kib};
use super::files::{FS_MAJOR, FS_MINOR, Image};
use super::machine::{LoopDevice, Machine};
use super::tool::{Rng, ToolOutput, ToolResult, fail, missing};

const FALLOCATE: Options = Options {
    flags: &["-x|--posix", "-v"],
    valued: &["-l|--length", "-o"],
};

/// `fallocate`.
pub(crate) fn fallocate(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &FALLOCATE)?;
    let path = args.only()?;
    let Some(length) = args.value("--length") else {
        return missing("fallocate without -l");
    };
    let kib = size_kib(length, 'b')?;
    if !machine.files.is_dir(super::files::parent(path)) {
        let text = format!("fallocate: cannot open {path}: No such file or directory\n");
        return fail(1, text);
    }
    let old = machine.files.image(path).cloned().unwrap_or_default();
    if let Some((_, size_kib, used_kib)) = machine.files.mount_of(path) {
        let more = kib.saturating_sub(old.used_bytes() / 1024);
        if used_kib + more > size_kib {
            // Before 2.39 it ignores that `posix_fallocate` failed, and leaves the file that it has opened.
            if machine.old_util_linux {
                machine.files.put_image(path, old);
                return Ok(ToolOutput::nothing());
            }
            return fail(
                1,
                format!("fallocate: {path}: fallocate failed: No space left on device\n"),
            );
        }
    }
    let size_bytes = old.size_bytes.max(kib * 1024);
    machine.files.put_image(
        path,
        Image {
            size_bytes,
            allocated: true,
            ..old
        },
    );
    Ok(ToolOutput::nothing())
}

const TRUNCATE: Options = Options {
    flags: &["-c"],
    valued: &["-s|--size"],
};

/// `truncate`.
pub(crate) fn truncate(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &TRUNCATE)?;
    let path = args.only()?;
    let Some(size) = args.value("--size") else {
        return missing("truncate without -s");
    };
    let size_bytes = size_kib(size, 'b')? * 1024;
    let mut image = machine.files.image(path).cloned().unwrap_or_default();
    image.size_bytes = size_bytes;
    image.blocks.split_off(&(size_bytes / 4096));
    machine.files.put_image(path, image);
    Ok(ToolOutput::nothing())
}

const LOSETUP: Options = Options {
    flags: &[
        "-f|--find",
        "--show",
        "-l|--list",
        "-n|--noheadings",
        "--raw",
        "-a|--all",
        "--nooverlap",
    ],
    valued: &[
        "-O|--output",
        "-c|--set-capacity",
        "-d|--detach",
        "-j|--associated",
        "--direct-io",
    ],
};

/// `losetup`.
pub(crate) fn losetup(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &LOSETUP)?;
    machine.clear_detached_loops();
    let number = |path: &str| {
        path.strip_prefix("/dev/loop")
            .and_then(|n| n.parse::<u32>().ok())
    };
    if let Some(path) = args.value("--detach") {
        let Some(number) = number(path).filter(|n| machine.loops.contains_key(n)) else {
            return fail(
                1,
                format!("losetup: {path}: detach failed: No such device or address\n"),
            );
        };
        // The kernel detaches a device in use after its last close; `losetup -d` succeeds immediately.
        if let Some(device) = machine.loops.get_mut(&number) {
            device.autoclear = true;
        }
        machine.clear_detached_loops();
        return Ok(ToolOutput::nothing());
    }
    if let Some(path) = args.value("--set-capacity") {
        let size = number(path)
            .and_then(|n| machine.loops.get(&n))
            .and_then(|device| machine.files.image(&device.file))
            .map(|image| image.size_bytes);
        let device = number(path).and_then(|n| machine.loops.get_mut(&n));
        let (Some(size), Some(device)) = (size, device) else {
            return fail(
                1,
                format!("losetup: {path}: set capacity failed: No such device or address\n"),
            );
        };
        device.size_bytes = size;
        return Ok(ToolOutput::nothing());
    }
    if args.has("--find") && args.has("--show") {
        let path = args.only()?;
        let Some(image) = machine.files.image(path) else {
            return fail(
                1,
                format!(
                    "losetup: {path}: failed to set up loop device: No such file or directory\n"
                ),
            );
        };
        let (size_bytes, inode) = (image.size_bytes / 512 * 512, image.inode);
        let free = (0..).find(|n| !machine.loops.contains_key(n)).unwrap_or(0);
        machine.loops.insert(
            free,
            LoopDevice {
                file: machine.files.real(path),
                inode,
                size_bytes,
                autoclear: false,
            },
        );
        return Ok(ToolOutput::out(format!("/dev/loop{free}\n")));
    }
    if args.has("--list") {
        return list(machine, &args);
    }
    missing("losetup in this form")
}

fn list(machine: &Machine, args: &Args) -> ToolResult {
    if !args.has("--noheadings") || !args.has("--raw") {
        return missing("losetup -l without -n --raw");
    }
    let columns: Vec<&str> = args
        .value("--output")
        .unwrap_or("NAME,BACK-FILE")
        .split(',')
        .collect();
    let mut text = String::new();
    // The newest first.
    for (number, device) in machine.loops.iter().rev() {
        let mut cells = Vec::new();
        for column in &columns {
            cells.push(match *column {
                "NAME" => format!("/dev/loop{number}"),
                "BACK-FILE" if machine.files.has_image(&device.file) => device.file.clone(),
                "BACK-FILE" => format!("{} (deleted)", device.file),
                "BACK-INO" => device.inode.to_string(),
                // util-linux aligns the two numbers, and --raw escapes the blanks.
                "BACK-MAJ:MIN" => format!("{FS_MAJOR:>8}:{FS_MINOR:<3}").replace(' ', r"\x20"),
                "OFFSET" | "SIZELIMIT" => "0".to_owned(),
                other => return missing(format!("losetup -O {other}")),
            });
        }
        text.push_str(&cells.join(" "));
        text.push('\n');
    }
    Ok(ToolOutput::out(text))
}

const STAT: Options = Options {
    flags: &["-L|--dereference"],
    valued: &["-c|--format"],
};

/// `stat -c %s`.
pub(crate) fn stat(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &STAT)?;
    let path = args.only()?;
    let Some(usage) = machine.files.usage(path) else {
        return fail(
            1,
            format!("stat: cannot statx '{path}': No such file or directory\n"),
        );
    };
    let Some(format) = args.value("--format") else {
        return missing("stat without -c");
    };
    match format {
        "%s" => Ok(ToolOutput::out(format!("{}\n", usage.size_bytes))),
        _ => missing(format!("stat -c {format:?}")),
    }
}

const DF: Options = Options {
    flags: &[],
    valued: &["-B|--block-size", "--output"],
};

/// `df --output=size,avail`.
pub(crate) fn df(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &DF)?;
    let path = args.only()?;
    if machine.files.usage(path.trim_end_matches("/.")).is_some() && path.ends_with("/.") {
        return fail(1, format!("df: {path}: Not a directory\n"));
    }
    let Some((_, size_kib, used_kib)) = machine.files.mount_of(path) else {
        return fail(1, format!("df: {path}: No such file or directory\n"));
    };
    let (size, free) = (size_kib * 1024, size_kib.saturating_sub(used_kib) * 1024);
    match (args.value("--block-size"), args.value("--output")) {
        (Some("1"), Some("size,avail")) => Ok(ToolOutput::out(format!(
            "{:>12} {:>12}\n{size:>12} {free:>12}\n",
            "1B-blocks", "Avail"
        ))),
        other => missing(format!("df {other:?}")),
    }
}

const FILEFRAG: Options = Options {
    flags: &["-v"],
    valued: &["-b"],
};

/// `filefrag -v -b1024`, with an extent for each block that was written.
pub(crate) fn filefrag(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &FILEFRAG)?;
    if !args.has("-v") || args.value("-b") != Some("1024") {
        return missing("filefrag without -v -b1024");
    }
    let mut text = String::from("Filesystem type is: 58465342\n");
    for path in args.positional() {
        let Some(image) = machine.files.image(path) else {
            return fail(1, "open: No such file or directory\n");
        };
        let (bytes, kib) = (image.size_bytes, image.size_bytes / 1024);
        let own = machine.files.real(path);
        let shared = machine.files.shared_blocks(image, |other| other != own);
        text.push_str(&format!(
            "File size of {path} is {bytes} ({kib} blocks of 1024 bytes)\n ext: logical_offset: physical_offset: length: expected: flags:\n"
        ));
        for (n, number) in image.blocks.keys().enumerate() {
            let (from, to) = (number * 4, number * 4 + 3);
            let flags = if shared.contains(number) {
                "shared"
            } else {
                ""
            };
            text.push_str(&format!("{n}: {from}..{to}: 0..3: 4: 0: {flags}\n"));
        }
        let extents = image.blocks.len();
        text.push_str(&format!("{path}: {extents} extents found\n"));
    }
    Ok(ToolOutput::out(text))
}

const CP: Options = Options {
    flags: &["-f"],
    valued: &["--reflink", "--sparse"],
};

/// `cp` of a file.
pub(crate) fn cp(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &CP)?;
    let [from, to] = args.positional() else {
        return missing("cp");
    };
    if machine.files.usage(from).is_none() {
        return fail(
            1,
            format!("cp: cannot stat '{from}': No such file or directory\n"),
        );
    }
    let shared = match args.value("--reflink") {
        None | Some("never") => false,
        Some("auto") => machine.files.has_reflinks(to),
        Some("always") if machine.files.has_reflinks(to) => true,
        Some("always") => {
            let text =
                format!("cp: failed to clone '{to}' from '{from}': Operation not supported\n");
            return fail(1, text);
        }
        Some(other) => return missing(format!("cp --reflink={other}")),
    };
    match machine.files.copy(from, to, shared) {
        Ok(()) => Ok(ToolOutput::nothing()),
        Err(_) => fail(
            1,
            format!("cp: cannot create regular file '{to}': No such file or directory\n"),
        ),
    }
}
