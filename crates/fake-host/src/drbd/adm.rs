//! `drbdadm`.

use super::adjust::{adjust, connect, local};
use super::resfile::{Config, PARSE_ERROR, parse};
use super::{DrbdKind, metatool, setup};
use crate::tool::{Stop, ToolOutput, ToolResult, fail, missing};
use crate::world::World;

/// A command line of drbdadm.
#[derive(Debug, Default)]
struct Call {
    file: Option<String>,
    dry_run: bool,
    skip_disk: bool,
    max_peers: Option<String>,
    /// Options that drbdadm passes to the program it runs.
    backend: Vec<String>,
    command: String,
    targets: Vec<String>,
}

/// `drbdadm`.
pub(crate) fn drbdadm(world: &mut World, node: &str, args: &[String]) -> ToolResult {
    let kind = world
        .kernel(node)
        .map_or(DrbdKind::V9, |kernel| kernel.kind);
    if matches!(args, [only] if only == "--version" || only == "-V") {
        return Ok(ToolOutput::out(version(world, node)));
    }
    let call = parse_call(args, kind)?;
    let configs = configs(world, node, call.file.as_deref(), kind)?;
    if call.command == "sh-nop" {
        return Ok(ToolOutput::nothing());
    }
    if call.targets.is_empty() {
        return missing(format!("drbdadm {} without resource", call.command));
    }
    let mut output = ToolOutput::nothing();
    for target in &call.targets {
        let (name, volume) = match target.split_once('/') {
            Some((name, volume)) => (name, volume.parse::<u32>().ok()),
            None => (target.as_str(), None),
        };
        let chosen: Vec<&Config> = configs
            .iter()
            .filter(|config| name == "all" || config.name == name)
            .collect();
        if chosen.is_empty() {
            return fail(
                1,
                format!("'{name}' not defined in your config (for this host).\n"),
            );
        }
        for config in chosen {
            let one = run(world, node, &call, config, volume)?;
            output.stdout.extend(one.stdout);
            output.stderr.push_str(&one.stderr);
        }
    }
    Ok(output)
}

fn parse_call(args: &[String], kind: DrbdKind) -> Result<Call, Stop> {
    let mut call = Call::default();
    let mut rest = args.iter().peekable();
    let mut backend = false;
    while let Some(arg) = rest.next() {
        if !call.command.is_empty() && !arg.starts_with('-') {
            call.targets.push(arg.clone());
        } else if !arg.starts_with('-') {
            call.command.clone_from(arg);
        } else if backend {
            call.backend.push(arg.clone());
        } else {
            match arg.as_str() {
                "--" => backend = true,
                "-c" | "--config-file" => call.file = rest.next().cloned(),
                "-d" | "--dry-run" => call.dry_run = true,
                "-v" | "-vv" | "-vvv" | "--verbose" => {}
                "--skip-disk" => call.skip_disk = true,
                "--max-peers" if kind == DrbdKind::V84 => {
                    return fail(
                        1,
                        "drbdadm: unrecognized option '--max-peers'\ntry 'drbdadm help'\n",
                    );
                }
                "--max-peers" => call.max_peers = rest.next().cloned(),
                "--force" | "--assume-clean" | "--discard-my-data" | "--diskless" => {
                    call.backend.push(arg.clone());
                }
                other => match other.strip_prefix("--max-peers=") {
                    Some(number) => call.max_peers = Some(number.to_owned()),
                    None => return missing(format!("drbdadm {other}")),
                },
            }
        }
    }
    Ok(call)
}

/// The resources in the file, or in all files that the default configuration includes.
fn configs(
    world: &World,
    node: &str,
    file: Option<&str>,
    kind: DrbdKind,
) -> Result<Vec<Config>, Stop> {
    let Some(machine) = world.machines.get(node) else {
        return Ok(Vec::new());
    };
    let paths = match file {
        Some(path) => vec![path.to_owned()],
        None => {
            let mut paths = machine.files.matching("/etc/drbd.d/", ".res");
            paths.extend(machine.files.matching("/var/lib/linstor.d/", ".res"));
            paths
        }
    };
    let mut all: Vec<Config> = Vec::new();
    for path in paths {
        let Ok(content) = machine.files.read(&path) else {
            return fail(20, format!("Can not open '{path}'.\n."));
        };
        match parse(&String::from_utf8_lossy(&content), kind) {
            Ok(found) => all.extend(found),
            Err(error) => {
                let text = format!("{path}:{}: Parse error: {}\n", error.line, error.what);
                return fail(PARSE_ERROR, text);
            }
        }
    }
    if all.is_empty() && file.is_none() {
        return fail(1, "no resources defined!\n");
    }
    Ok(all)
}

fn run(
    world: &mut World,
    node: &str,
    call: &Call,
    config: &Config,
    volume: Option<u32>,
) -> ToolResult {
    let (kind, host) = local(world, node, config)?;
    let host = host.clone();
    let name = config.name.clone();
    if call.dry_run {
        return missing("drbdadm --dry-run");
    }
    let each = |numbers: Option<u32>| -> Vec<(u32, super::resfile::VolumeConfig)> {
        host.volumes
            .iter()
            .filter(|(number, _)| numbers.is_none_or(|only| only == **number))
            .map(|(number, volume)| (*number, volume.clone()))
            .collect()
    };
    let subject = |minor: u32| match kind {
        DrbdKind::V9 => name.clone(),
        DrbdKind::V84 => minor.to_string(),
    };
    let mut output = ToolOutput::nothing();
    let mut append = |one: ToolOutput| {
        output.stdout.extend(one.stdout);
        output.stderr.push_str(&one.stderr);
    };
    match call.command.as_str() {
        "adjust" => return adjust(world, node, config, call.skip_disk),
        "down" => return backend(world, node, call, &["down", &name]),
        "create-md" | "wipe-md" | "dump-md" => {
            for (_, volume) in each(volume) {
                append(metadata_command(world, node, call, kind, &volume)?);
            }
        }
        "primary" | "secondary" => {
            let minor = each(volume).first().map_or(0, |(_, volume)| volume.minor);
            return backend(world, node, call, &[&call.command, &subject(minor)]);
        }
        "resize" | "detach" | "suspend-io" | "resume-io" | "new-current-uuid" => {
            for (_, volume) in each(volume) {
                let minor = volume.minor.to_string();
                append(backend(world, node, call, &[&call.command, &minor])?);
                if call.command == "resize" {
                    setup::drbdsetup(world, node, &["check-resize".to_owned(), minor])?;
                }
            }
        }
        // The end of a connection of 8.4 is its removal; the file has what the next one is made of.
        "connect" if kind == DrbdKind::V84 => return connect(world, node, config),
        "connect" | "disconnect" => {
            let keys: Vec<u32> = world
                .resource(node, &name)
                .map(|resource| resource.connections.keys().copied().collect())
                .unwrap_or_default();
            for key in keys {
                append(backend(
                    world,
                    node,
                    call,
                    &[&call.command, &name, &key.to_string()],
                )?);
            }
        }
        other => return missing(format!("drbdadm {other}")),
    }
    Ok(output)
}

fn backend(world: &mut World, node: &str, call: &Call, command: &[&str]) -> ToolResult {
    let mut args: Vec<String> = command.iter().map(|arg| (*arg).to_owned()).collect();
    args.splice(1..1, call.backend.iter().cloned());
    let program = match world.kernel(node).map(|kernel| kernel.kind) {
        Some(DrbdKind::V84) => "drbdsetup-84",
        Some(DrbdKind::V9) | None => "drbdsetup",
    };
    setup::drbdsetup(world, node, &args).map_err(|stop| match stop {
        Stop::Failed(mut output) => {
            output.stderr.push_str(&format!(
                "Command '{program} {}' terminated with exit code {}\n",
                command.join(" "),
                output.code
            ));
            Stop::Failed(output)
        }
        Stop::Missing(_) | Stop::Wait => stop,
    })
}

fn metadata_command(
    world: &mut World,
    node: &str,
    call: &Call,
    kind: DrbdKind,
    volume: &super::resfile::VolumeConfig,
) -> ToolResult {
    let Some(disk) = &volume.disk else {
        return Ok(ToolOutput::nothing());
    };
    let (format, index) = match kind {
        DrbdKind::V9 => ("v09", volume.meta_disk.as_str()),
        DrbdKind::V84 => ("v08", volume.meta_disk.as_str()),
    };
    let (device, index) = if index == "internal" {
        (disk.as_str(), "internal")
    } else {
        (index, "flex-external")
    };
    let mut args: Vec<String> = call.backend.clone();
    args.extend([
        volume.minor.to_string(),
        format.to_owned(),
        device.to_owned(),
        index.to_owned(),
    ]);
    args.push(call.command.clone());
    if call.command == "create-md" && kind == DrbdKind::V9 {
        args.push(call.max_peers.clone().unwrap_or_else(|| "1".to_owned()));
    }
    metatool::drbdmeta(world, node, &args)
}

fn version(world: &World, node: &str) -> String {
    let loaded = world
        .machines
        .get(node)
        .is_some_and(|m| m.modules.contains("drbd"));
    let kind = world
        .kernel(node)
        .map(|kernel| kernel.kind)
        .filter(|_| loaded);
    let (code, name) = match kind {
        Some(DrbdKind::V9) => ("0x090212", "9.2.18"),
        Some(DrbdKind::V84) => ("0x08040b", "8.4.11"),
        None => ("0x000000", "0.0.0"),
    };
    format!(
        "DRBDADM_BUILDTAG=GIT-hash:\\ 409097fe02187f83790b88ac3e0d94f3c167adab\\ reproducible\\ \
         build\\,\\ 2023-01-09\\ 14:51:18\nDRBDADM_API_VERSION=2\n\
         DRBD_KERNEL_VERSION_CODE={code}\nDRBD_KERNEL_VERSION={name}\n\
         DRBDADM_VERSION_CODE=0x091600\nDRBDADM_VERSION=9.22.0\n"
    )
}
