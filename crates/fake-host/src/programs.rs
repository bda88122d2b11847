//! The functions that implement the programs.

use super::machine::Machine;
use super::tool::{Rng, Stop, ToolOutput, ToolResult, fail, missing};
use super::world::World;
use super::{block_tools, crypt, drbd, images, lvm, mapper, zfs, zstd};

/// A tool that accesses only its own machine.
type Local = fn(&mut Machine, &mut Rng, &[String]) -> ToolResult;

const LOCAL: &[(&str, Local)] = &[
    ("lvs", lvm::lvs),
    ("vgs", lvm::vgs),
    ("pvs", lvm::pvs),
    ("pvdisplay", lvm::pvdisplay),
    ("lvcreate", lvm::lvcreate),
    ("lvremove", lvm::lvremove),
    ("lvresize", lvm::lvresize),
    ("lvextend", lvm::lvresize),
    ("lvreduce", lvm::lvresize),
    ("lvrename", lvm::lvrename),
    ("lvchange", lvm::lvchange),
    ("lvconvert", lvm::lvconvert),
    ("pvcreate", lvm::pvcreate),
    ("pvremove", lvm::pvremove),
    ("vgcreate", lvm::vgcreate),
    ("vgremove", lvm::vgremove),
    ("vgexport", lvm::vgexport),
    ("vgimport", lvm::vgimport),
    ("lvm", lvm::lvmconfig),
    ("thin_dump", lvm::thin_dump),
    ("thin_delta", lvm::thin_delta),
    ("zfs", zfs::zfs),
    ("zpool", zfs::zpool),
    ("fallocate", images::fallocate),
    ("truncate", images::truncate),
    ("losetup", images::losetup),
    ("stat", images::stat),
    ("df", images::df),
    ("cp", images::cp),
    ("filefrag", images::filefrag),
    ("wipefs", block_tools::wipefs),
    ("lsblk", block_tools::lsblk),
    ("dmsetup", mapper::dmsetup),
    ("dd", block_tools::dd),
    ("shred", block_tools::shred),
    ("modprobe", modprobe),
    ("udevadm", udevadm),
];

/// Runs a program on a node.
pub(crate) fn run(
    world: &mut World,
    node: &str,
    program: &str,
    args: &[String],
    stdin: &[u8],
) -> ToolResult {
    if let ([only], Some(version)) = (args, version(program))
        && only == "--version"
    {
        return Ok(ToolOutput::out(version));
    }
    match program {
        "zstd" => return zstd::zstd(args, stdin),
        "drbdadm" => return drbd::drbdadm(world, node, args),
        "drbdsetup" => return drbd::drbdsetup(world, node, args),
        "drbdmeta" => return drbd::drbdmeta(world, node, args),
        "sync" => return sync(world, node, args),
        "blockdev" => return block_tools::blockdev(world, node, args),
        "blkid" => return block_tools::blkid(world, node, args),
        "mkfs.ext4" => return block_tools::mkfs(world, node, "ext4", args),
        "mkfs.xfs" => return block_tools::mkfs(world, node, "xfs", args),
        _ => {}
    }
    let World { machines, rng, .. } = world;
    let Some(machine) = machines.get_mut(node) else {
        return missing("a program nowhere");
    };
    if program == "cryptsetup" {
        return crypt::cryptsetup(machine, rng, args, stdin);
    }
    if let ("zfs", [receive, args @ ..]) = (program, args)
        && receive == "receive"
    {
        return zfs::receive(&mut machine.zfs, args, stdin);
    }
    match LOCAL.iter().find(|(name, _)| *name == program) {
        Some((_, tool)) => tool(machine, rng, args),
        None => missing(format!("program {program}")),
    }
}

/// The output of programs for which only the version is implemented.
fn version(program: &str) -> Option<&'static str> {
    match program {
        "lvs" | "vgs" | "pvs" | "lvcreate" => Some(
            "  LVM version:     2.03.16(2) (2022-05-18)\n  Library version: 1.02.185 (2022-05-18)\n  \
             Driver version:  4.47.0\n",
        ),
        "losetup" | "lsblk" | "blkid" | "wipefs" => Some("losetup from util-linux 2.38.1\n"),
        "thin_check" => Some("0.9.0\n"),
        _ => None,
    }
}

fn modprobe(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    for name in args.iter().filter(|arg| !arg.starts_with('-')) {
        if machine.missing_tools.contains(&format!("module {name}")) {
            return fail(
                1,
                format!(
                    "modprobe: FATAL: Module {name} not found in directory /lib/modules/6.1.0\n"
                ),
            );
        }
        machine.modules.insert(name.clone());
    }
    Ok(ToolOutput::nothing())
}

/// Of a DRBD device.
fn sync(world: &mut World, node: &str, args: &[String]) -> ToolResult {
    let [data, path] = args else {
        return missing(format!("sync {args:?}"));
    };
    let minor = path.strip_prefix("/dev/drbd").and_then(|m| m.parse().ok());
    match minor.filter(|_| data == "--data") {
        None => missing(format!("sync {args:?}")),
        Some(minor) if drbd::flush(world, node, minor).is_some() => Ok(ToolOutput::nothing()),
        Some(_) => fail(
            1,
            format!("sync: error opening '{path}': Wrong medium type\n"),
        ),
    }
}

fn udevadm(_: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    match args.first().map(String::as_str) {
        // Device nodes are created immediately.
        Some("settle" | "trigger") => Ok(ToolOutput::nothing()),
        Some("--version") => Ok(ToolOutput::out("252\n")),
        other => Err(Stop::Missing(super::args::Missing::new(format!(
            "udevadm {other:?}"
        )))),
    }
}
