//! `zpool`.

use super::{LABEL_BYTES, METASLAB_BYTES, Zfs};
use crate::args::{Args, Options};
use crate::machine::Machine;
use crate::tool::{Rng, ToolOutput, ToolResult, fail, missing};

const ZPOOL: Options = Options {
    flags: &["-H", "-p", "-f", "-P", "-v", "-L"],
    valued: &["-o", "-O", "-m"],
};

/// `zpool`.
pub(crate) fn zpool(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let Some((command, args)) = args.split_first() else {
        return missing("zpool");
    };
    let args = Args::parse(args, &ZPOOL)?;
    match (command.as_str(), args.positional()) {
        ("list", names) => zpool_list(&machine.zfs, &args, names),
        ("create", [name, disks @ ..]) if !disks.is_empty() => {
            let mut kib = 0;
            for path in disks {
                let Some(disk) = machine.disks.get_mut(path).filter(|d| d.used_by.is_none()) else {
                    return fail(
                        1,
                        format!("cannot open '{path}': no such device or it is in use\n"),
                    );
                };
                disk.used_by = Some("zfs_member");
                kib += disk.size_kib;
            }
            let whole = (kib * 1024).saturating_sub(LABEL_BYTES) / METASLAB_BYTES;
            machine.zfs.add_pool(name, whole * METASLAB_BYTES);
            Ok(ToolOutput::nothing())
        }
        ("destroy", [name]) => {
            if machine.zfs.pools.remove(name).is_none() {
                return fail(1, format!("cannot open '{name}': no such pool\n"));
            }
            let inside = format!("{name}/");
            machine
                .zfs
                .datasets
                .retain(|n, _| n != name && !n.starts_with(&inside));
            Ok(ToolOutput::nothing())
        }
        (other, _) => missing(format!("zpool {other}")),
    }
}

fn zpool_list(zfs: &Zfs, args: &Args, names: &[String]) -> ToolResult {
    if !args.has("-H") || !args.has("-p") {
        return missing("zpool list without -H -p");
    }
    let names: Vec<String> = if names.is_empty() {
        zfs.pools.keys().cloned().collect()
    } else {
        names.to_vec()
    };
    let mut text = String::new();
    for name in names {
        let Some(pool) = zfs.pools.get(&name) else {
            return fail(1, format!("cannot open '{name}': no such pool\n"));
        };
        let used = zfs.used_below(&name);
        let mut cells = Vec::new();
        for column in args
            .value("-o")
            .unwrap_or("name,size,alloc,free,health")
            .split(',')
        {
            cells.push(match column {
                "name" => name.clone(),
                "size" => pool.size_bytes.to_string(),
                "free" => pool.size_bytes.saturating_sub(used).to_string(),
                "alloc" | "allocated" => used.to_string(),
                "health" => pool.health.to_owned(),
                "readonly" => if pool.read_only { "on" } else { "off" }.to_owned(),
                other => return missing(format!("zpool property {other}")),
            });
        }
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    Ok(ToolOutput::out(text))
}
