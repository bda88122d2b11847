//! `dmsetup`: listing crypt mappings, linear mappings, and suspending the I/O of logical volumes. A linear mapping
//! claims the device below it; its content is not modelled.

use super::lvm::dm_name;
use super::machine::Machine;
use super::tool::{Rng, ToolOutput, ToolResult, fail, missing};

pub(crate) fn dmsetup(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["ls"] => Ok(list(
            volumes(machine)
                .chain(machine.crypts.keys().cloned())
                .chain(machine.linear.keys().cloned()),
        )),
        ["ls", "--target", "crypt"] => Ok(list(machine.crypts.keys().cloned())),
        ["create", name, "--table", table] => create(machine, name, table),
        ["remove", name] => match machine.linear.remove(*name) {
            Some(_) => Ok(ToolOutput::nothing()),
            None => {
                let text = format!(
                    "device-mapper: remove ioctl on {name}  failed: No such device or address\n"
                );
                fail(1, format!("{text}Command failed.\n"))
            }
        },
        ["suspend" | "resume", name] => {
            if !suspendable(machine, name) {
                return fail(1, format!("Device {name} not found\nCommand failed.\n"));
            }
            if args[0] == "suspend" {
                machine.suspended.insert((*name).to_owned());
            } else {
                machine.suspended.remove(*name);
            }
            Ok(ToolOutput::nothing())
        }
        ["info", "-c", "--noheadings", "-o", "suspended", name] => {
            if !suspendable(machine, name) {
                return fail(1, "Device does not exist.\nCommand failed.\n");
            }
            let suspended = machine.suspended.contains(*name);
            Ok(ToolOutput::out(if suspended {
                "Suspended\n"
            } else {
                "Active\n"
            }))
        }
        ["message", name, "0", message] => metadata_snapshot(machine, name, message),
        other => missing(format!("dmsetup {other:?}")),
    }
}

/// The kernel has one snapshot of the metadata of a thin pool at a time.
fn metadata_snapshot(machine: &mut Machine, name: &str, message: &str) -> ToolResult {
    let Some(pool) = super::lvm::pool_of(machine, name, "-tpool") else {
        return fail(1, format!("Device {name} not found\nCommand failed.\n"));
    };
    let done = match message {
        "reserve_metadata_snap" => machine.metadata_snapshots.insert(pool),
        "release_metadata_snap" => machine.metadata_snapshots.remove(&pool),
        other => return missing(format!("dmsetup message {other}")),
    };
    if done {
        return Ok(ToolOutput::nothing());
    }
    let text = format!("device-mapper: message ioctl on {name}  failed: Device or resource busy\n");
    fail(1, format!("{text}Command failed.\n"))
}

fn create(machine: &mut Machine, name: &str, table: &str) -> ToolResult {
    let ["0", _, "linear", below, "0"] = table.split(' ').collect::<Vec<_>>()[..] else {
        return missing(format!("dmsetup table {table}"));
    };
    if machine.linear.contains_key(name) {
        let text = format!(
            "device-mapper: create ioctl on {name}  failed: Device or resource busy\nCommand failed.\n"
        );
        return fail(1, text);
    }
    let Some(dev) = machine.device(below) else {
        return missing(format!("dmsetup table over {below}"));
    };
    machine.linear.insert(name.to_owned(), dev);
    Ok(ToolOutput::nothing())
}

fn suspendable(machine: &Machine, name: &str) -> bool {
    machine.crypts.contains_key(name) || volumes(machine).any(|known| known == name)
}

fn volumes(machine: &Machine) -> impl Iterator<Item = String> {
    machine.lvm.vgs.iter().flat_map(|(vg, group)| {
        let active = group.lvs.iter().filter(|(_, lv)| lv.active);
        active.map(move |(lv, _)| dm_name(vg, lv))
    })
}

fn list(names: impl Iterator<Item = String>) -> ToolOutput {
    let mut names: Vec<String> = names.collect();
    names.sort();
    if names.is_empty() {
        return ToolOutput::out("No devices found\n");
    }
    let line = |(minor, name): (usize, &String)| format!("{name}\t(254:{minor})\n");
    ToolOutput::out(names.iter().enumerate().map(line).collect::<String>())
}
