//! The commands of LVM that change volume groups and physical volumes.

use std::collections::{BTreeMap, BTreeSet};

use super::Vg;
use super::change::{FAILED, vg_mut};
use crate::args::{Args, Options, size_kib};
use crate::machine::{Dev, Machine};
use crate::tool::{Rng, ToolOutput, ToolResult, fail, missing};

const DEVICE: Options = Options {
    flags: &[
        "-y|--yes",
        "-f|--force",
        "-ff|--really-force",
        "-v|--verbose",
    ],
    valued: &["--config", "-Z|--zero"],
};

/// `pvcreate`.
pub(crate) fn pvcreate(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &DEVICE)?;
    let mut stdout = String::new();
    for path in args.positional() {
        let Some(disk) = machine.disks.get_mut(path) else {
            return fail(FAILED, format!("  No device found for {path}.\n"));
        };
        if disk.used_by.is_some() {
            return fail(
                FAILED,
                format!("  Can't initialize physical volume \"{path}\"\n"),
            );
        }
        disk.used_by = Some("LVM2_member");
        disk.blocks.clear();
        machine.lvm.spare_pvs.insert(path.clone());
        stdout.push_str(&format!(
            "  Physical volume \"{path}\" successfully created.\n"
        ));
    }
    Ok(ToolOutput::out(stdout))
}

/// `pvremove`.
pub(crate) fn pvremove(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &DEVICE)?;
    let mut stdout = String::new();
    for path in args.positional() {
        if !machine.lvm.spare_pvs.remove(path) {
            let text = format!("  Cannot use {path}: it is no unused physical volume\n");
            return fail(FAILED, text);
        }
        if let Some(disk) = machine.disks.get_mut(path) {
            disk.used_by = None;
        }
        stdout.push_str(&format!(
            "  Labels on physical volume \"{path}\" successfully wiped.\n"
        ));
    }
    Ok(ToolOutput::out(stdout))
}

const GROUP: Options = Options {
    flags: &["-y|--yes", "-f|--force", "-v|--verbose"],
    valued: &[
        "--config",
        "-s|--physicalextentsize",
        "--addtag",
        "--shared",
    ],
};

/// `vgcreate VG PV…`.
pub(crate) fn vgcreate(machine: &mut Machine, rng: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &GROUP)?;
    let [name, pvs @ ..] = args.positional() else {
        return missing("vgcreate without VG");
    };
    if machine.lvm.vgs.contains_key(name) {
        let text = format!("  A volume group called {name} already exists.\n");
        return fail(FAILED, text);
    }
    let extent_kib = match args.value("--physicalextentsize") {
        Some(size) => size_kib(size, 'm')?,
        None => 4096,
    };
    let mut extents = BTreeMap::new();
    for path in pvs {
        let usable = machine.lvm.spare_pvs.remove(path)
            || machine
                .disks
                .get(path)
                .is_some_and(|disk| disk.used_by.is_none());
        let Some(disk) = machine.disks.get_mut(path).filter(|_| usable) else {
            return fail(FAILED, format!("  No device found for {path}.\n"));
        };
        disk.used_by = Some("LVM2_member");
        // The first MiB contains LVM's metadata.
        extents.insert(
            path.clone(),
            disk.size_kib.saturating_sub(1024) / extent_kib,
        );
    }
    let vg = Vg {
        uuid: rng.lvm_uuid(),
        extent_kib,
        free: (0..extents.values().sum()).collect(),
        pvs: extents,
        stale: BTreeMap::new(),
        lvs: BTreeMap::new(),
        exported: false,
        tags: args
            .all("--addtag")
            .iter()
            .cloned()
            .collect::<BTreeSet<_>>(),
    };
    machine.lvm.vgs.insert(name.clone(), vg);
    Ok(ToolOutput::out(format!(
        "  Volume group \"{name}\" successfully created\n"
    )))
}

/// `vgexport VG`.
pub(crate) fn vgexport(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    set_exported(machine, args, true)
}

/// `vgimport VG`.
pub(crate) fn vgimport(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    set_exported(machine, args, false)
}

fn set_exported(machine: &mut Machine, args: &[String], exported: bool) -> ToolResult {
    let args = Args::parse(args, &GROUP)?;
    let name = args.only()?;
    let vg = vg_mut(&mut machine.lvm, name)?;
    if vg.lvs.values().any(|lv| lv.active) {
        let text = format!("  Volume group \"{name}\" has active logical volumes\n");
        return fail(FAILED, text);
    }
    vg.exported = exported;
    let done = if exported { "exported" } else { "imported" };
    Ok(ToolOutput::out(format!(
        "  Volume group \"{name}\" successfully {done}\n"
    )))
}

/// `vgremove VG`.
pub(crate) fn vgremove(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &GROUP)?;
    let name = args.only()?;
    let mut text = String::new();
    if args.has("--force") {
        let in_use = |lv: &String| {
            machine
                .user_of(&Dev::Lv(name.to_owned(), lv.clone()))
                .is_some()
        };
        let volumes = machine
            .lvm
            .vgs
            .get(name)
            .map(|vg| vg.lvs.keys().cloned().collect::<Vec<_>>());
        let volumes = volumes.unwrap_or_default();
        if volumes.iter().any(in_use) {
            return missing("vgremove -f with a volume in use");
        }
        let vg = vg_mut(&mut machine.lvm, name)?;
        for volume in volumes {
            vg.remove(&volume);
            text.push_str(&format!(
                "  Logical volume \"{volume}\" successfully removed.\n"
            ));
        }
    }
    let vg = vg_mut(&mut machine.lvm, name)?;
    if !vg.lvs.is_empty() {
        let text = format!(
            "  Volume group \"{name}\" still contains {} logical volume(s)\n",
            vg.lvs.len()
        );
        return fail(FAILED, text);
    }
    let pvs = std::mem::take(&mut vg.pvs);
    machine.lvm.vgs.remove(name);
    machine.lvm.spare_pvs.extend(pvs.into_keys());
    text.push_str(&format!("  Volume group \"{name}\" successfully removed\n"));
    Ok(ToolOutput::out(text))
}

/// `lvmconfig` and `lvm version`: only versions and settings.
pub(crate) fn lvmconfig(_: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["version"] | ["--version"] => Ok(ToolOutput::out(
            "  LVM version:     2.03.16(2) (2022-05-18)\n  Library version: 1.02.185 (2022-05-18)\n  \
             Driver version:  4.47.0\n",
        )),
        other => missing(format!("lvm {other:?}")),
    }
}
