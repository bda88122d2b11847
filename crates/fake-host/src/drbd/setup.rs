//! `drbdsetup`.

use super::adjust::message;
use super::attach::{self, Failure};
use super::link::{self, Loss};
use super::role;
use super::status::Detail;
use super::{Disk, DrbdKind, Link, held, resfile, view};
use crate::args::{Args, Options};
use crate::tool::{Stop, ToolOutput, ToolResult, fail, missing};
use crate::world::World;

const OPTIONS: Options = Options {
    flags: &[
        "--force",
        "--json",
        "--verbose",
        "--statistics|-s",
        "--diskless",
        "--assume-clean",
        "--clear-bitmap",
        "--discard-my-data",
        "--now",
    ],
    valued: &[
        "--wait-after-sb",
        "--wfc-timeout",
        "--force=",
        "--diskless=",
        "--size",
    ],
};

/// `drbdsetup`, except for `events2` without `--now`, which is a stream.
pub(crate) fn drbdsetup(world: &mut World, node: &str, args: &[String]) -> ToolResult {
    let switches: Vec<String> = args
        .iter()
        .map(|arg| arg.strip_suffix("=yes").unwrap_or(arg).to_owned())
        .collect();
    let wait_after_sb = |arg: &String| arg != "--wait-after-sb";
    let args = Args::parse(
        &switches
            .into_iter()
            .filter(wait_after_sb)
            .collect::<Vec<_>>(),
        &OPTIONS,
    )?;
    let Some((command, subjects)) = args.positional().split_first() else {
        return missing("drbdsetup without command");
    };
    let subject = subjects.first().map_or("", String::as_str);
    match command.as_str() {
        "status" => status(world, node, subject, &args),
        "show" => show(world, node, subject),
        "events2" => events_now(world, node, subject, &args),
        "primary" | "secondary" => role_command(world, node, command, subject, &args),
        "down" => down(world, node, subject),
        "detach" => {
            let minor = number(subject)?;
            done(
                attach::detach(world, node, minor, args.has("--diskless")),
                subject,
            )
        }
        "resize" => {
            let minor = number(subject)?;
            let how = super::grow::Resize {
                assume_clean: args.has("--assume-clean"),
                user_kib: args.value("--size").map(kib).transpose()?,
            };
            done(super::grow::resize(world, node, minor, how), subject)
        }
        "check-resize" => {
            super::grow::remember_size(world, node, number(subject)?);
            Ok(ToolOutput::nothing())
        }
        "suspend-io" | "resume-io" => {
            let Some((name, _)) = by_minor(world, node, number(subject)?) else {
                return no_minor(subject);
            };
            if let Some(resource) = world.resource_mut(node, &name) {
                resource.suspended = command == "suspend-io";
            }
            match command.as_str() {
                "suspend-io" => held::begin(world, node, &name),
                _ => held::end_without_connection(world, node, &name),
            }
            Ok(ToolOutput::nothing())
        }
        "new-current-uuid" => new_current_uuid(world, node, subject, &args),
        "wait-connect-resource" => wait_connect(world, node, subject),
        "del-peer" | "forget-peer" | "connect" | "disconnect" => {
            let Some(key) = subjects.get(1) else {
                return missing(format!("drbdsetup {command}"));
            };
            peer_command(world, node, command, subject, number(key)?, &args)
        }
        "xml-help" => {
            let kind = world
                .kernel(node)
                .map_or(DrbdKind::V9, |kernel| kernel.kind);
            match resfile::xml_help(kind, subject) {
                Some(text) => Ok(ToolOutput::out(text)),
                None => fail(20, "No such command.\n"),
            }
        }
        other => missing(format!("drbdsetup {other}")),
    }
}

fn number(text: &str) -> Result<u32, Stop> {
    text.parse()
        .or_else(|_| missing(format!("a number instead of `{text}`")))
}

/// Parses a size with a unit; zero means no size.
fn kib(text: &str) -> Result<u64, Stop> {
    let digits = text.strip_suffix(['k', 'K']);
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(kib) => Ok(kib),
        None => missing(format!("size {text}")),
    }
}

fn by_minor(world: &World, node: &str, minor: u32) -> Option<(String, u32)> {
    world.kernel(node)?.find_minor(minor)
}

fn no_minor(subject: &str) -> ToolResult {
    fail(
        10,
        format!("{subject}: Failure: (127) Device minor not allocated\n"),
    )
}

fn done<E: Into<Failure>>(result: Result<(), E>, subject: &str) -> ToolResult {
    match result.map_err(Into::into) {
        Ok(()) => Ok(ToolOutput::nothing()),
        Err(failure) => fail(failure.exit_code, message(&failure, subject)),
    }
}

/// In DRBD 9 the command names the resource, in 8.4 the minor.
fn role_command(
    world: &mut World,
    node: &str,
    command: &str,
    subject: &str,
    args: &Args,
) -> ToolResult {
    let v84 = world
        .kernel(node)
        .is_some_and(|kernel| kernel.kind == DrbdKind::V84);
    let name = if v84 {
        match by_minor(world, node, number(subject)?) {
            Some((name, _)) => name,
            None => return no_minor(subject),
        }
    } else {
        subject.to_owned()
    };
    if world.resource(node, &name).is_none() {
        return fail(10, format!("{subject}: Failure: (158) Unknown resource\n"));
    }
    let result = match command {
        "primary" => role::primary(world, node, &name, args.has("--force")),
        _ => role::secondary(world, node, &name),
    };
    done(result, subject)
}

fn down(world: &mut World, node: &str, name: &str) -> ToolResult {
    let result = attach::down(world, node, name);
    done(result, name)
}

fn peer_command(
    world: &mut World,
    node: &str,
    command: &str,
    name: &str,
    key: u32,
    args: &Args,
) -> ToolResult {
    match command {
        "del-peer" => done(attach::del_peer(world, node, name, key), name),
        "forget-peer" => done(attach::forget_peer(world, node, name, key), name),
        "disconnect" => done(attach::disconnect(world, node, name, key), name),
        _ => {
            if world.connection(node, name, key).is_none() {
                return fail(
                    10,
                    format!("{name}: Failure: (171) Invalid peer-node-id\n\n"),
                );
            }
            if let Some(connection) = world.connection_mut(node, name, key) {
                connection.discard_my_data = args.has("--discard-my-data");
            }
            link::connect(world, node, name, key);
            Ok(ToolOutput::nothing())
        }
    }
}

fn new_current_uuid(world: &mut World, node: &str, subject: &str, args: &Args) -> ToolResult {
    let Some((name, number)) = by_minor(world, node, number(subject)?) else {
        return no_minor(subject);
    };
    if world.metadata(node, &name, number).is_none() {
        return fail(
            10,
            format!("{subject}: Failure: (138) Device does not have a disk-config\n"),
        );
    }
    let fresh = world.rng.next();
    let clear = args.has("--clear-bitmap");
    world.edit_metadata(node, &name, number, |metadata| {
        metadata.new_generation(&[], fresh);
        if clear {
            for peer in &mut metadata.peers {
                peer.bitmap_uuid = 0;
                peer.out_of_sync = Default::default();
            }
        }
    });
    if !clear {
        return Ok(ToolOutput::nothing());
    }
    world.set_disk(node, &name, number, Disk::UpToDate);
    // Skips the initial sync: connected peers with new metadata get the generation.
    for (_, peer) in world.peers(node, &name) {
        let inconsistent = world
            .volume(&peer.host, &peer.resource, number)
            .is_some_and(|volume| volume.disk == Disk::Inconsistent);
        let taken = world.edit_metadata(&peer.host, &peer.resource, number, |metadata| {
            metadata.current = fresh & !1;
            metadata.peer_mut(peer.key).out_of_sync = Default::default();
        });
        if inconsistent && taken.is_some() {
            world.set_disk(&peer.host, &peer.resource, number, Disk::UpToDate);
        }
    }
    Ok(ToolOutput::nothing())
}

/// Waits until every connection is established or has failed; the caller limits the wait.
fn wait_connect(world: &mut World, node: &str, name: &str) -> ToolResult {
    let Some(resource) = world.resource(node, name) else {
        return fail(10, format!("{name}: No such resource\n"));
    };
    if resource
        .connections
        .values()
        .any(|connection| connection.link == Link::Connecting)
    {
        return Err(Stop::Wait);
    }
    Ok(ToolOutput::nothing())
}

fn events_now(world: &mut World, node: &str, name: &str, args: &Args) -> ToolResult {
    if !args.has("--now") {
        return missing("drbdsetup events2 as a command instead of a stream");
    }
    let mut text = String::new();
    for resource in names(world, node, name)? {
        for line in view::dump(
            &view::view(world, node, &resource),
            "exists",
            args.has("--statistics"),
        ) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.push_str("exists -\n");
    Ok(ToolOutput::out(text))
}

fn names(world: &World, node: &str, name: &str) -> Result<Vec<String>, Stop> {
    let Some(kernel) = world.kernel(node) else {
        return Ok(Vec::new());
    };
    if name.is_empty() || name == "all" {
        return Ok(kernel.resources.keys().cloned().collect());
    }
    if !kernel.resources.contains_key(name) {
        let mut absent = ToolOutput::err(10, format!("{name}: No such resource\n"));
        if kernel.resources.is_empty() && kernel.kind == DrbdKind::V9 {
            absent.stdout = b"# No currently configured DRBD found.\n".to_vec();
        }
        return Err(Stop::Failed(absent));
    }
    Ok(vec![name.to_owned()])
}

/// What a resource is configured with, as far as anybody reads it: the sections with options are left out.
fn show(world: &mut World, node: &str, name: &str) -> ToolResult {
    let names = names(world, node, name)?;
    let v9 = world
        .kernel(node)
        .is_some_and(|kernel| kernel.kind == DrbdKind::V9);
    let mut text = String::new();
    for name in &names {
        let Some(resource) = world.resource(node, name) else {
            continue;
        };
        let paths = resource
            .connections
            .values()
            .flat_map(|connection| &connection.paths);
        let plain = |address: &str| address.replacen(':', " ", 1);
        let mut lines = vec![if v9 {
            format!("resource \"{name}\" {{")
        } else {
            format!("resource {name} {{")
        }];
        if !v9 {
            for (_, remote) in paths.clone() {
                let remote = plain(remote);
                lines.push(format!(
                    "    _remote_host {{\n        address\t\t\t{remote};\n    }}"
                ));
            }
        }
        lines.push("    _this_host {".to_owned());
        match v9 {
            true => lines.push(format!("        node-id\t\t\t{};", resource.node_id)),
            false => lines.extend(
                paths
                    .clone()
                    .map(|(local, _)| format!("        address\t\t\t{};", plain(local))),
            ),
        }
        for (number, volume) in &resource.volumes {
            lines.push(format!("        volume {number} {{"));
            lines.push(format!("            device\t\t\tminor {};", volume.minor));
            match &volume.backing {
                Some(backing) => {
                    let meta = match backing.is_internal() {
                        true => "internal".to_owned(),
                        false => format!("\"{}\"", backing.meta_path),
                    };
                    lines.push(format!("            disk\t\t\t\"{}\";", backing.path));
                    lines.push(format!("            meta-disk\t\t\t{meta};"));
                }
                None if v9 => lines.push("            disk\t\t\tnone;".to_owned()),
                None => {}
            }
            lines.push("        }".to_owned());
        }
        lines.push("    }".to_owned());
        if v9 {
            for (peer, connection) in &resource.connections {
                lines.push(format!("    connection {{\n        _peer_node_id {peer};"));
                for (local, remote) in &connection.paths {
                    let (local, remote) = (plain(local), plain(remote));
                    lines.push(format!(
                        "        path {{\n            _this_host {local};\n            _remote_host {remote};\n        }}"
                    ));
                }
                lines.push("    }".to_owned());
            }
        }
        lines.push("}".to_owned());
        text.push_str(&lines.join("\n"));
        text.push_str("\n\n");
    }
    Ok(ToolOutput::out(text))
}

fn status(world: &mut World, node: &str, name: &str, args: &Args) -> ToolResult {
    let names = names(world, node, name)?;
    let v9 = world
        .kernel(node)
        .is_some_and(|kernel| kernel.kind == DrbdKind::V9);
    if args.has("--json") {
        if !v9 {
            return fail(20, "status: unrecognized option '--json'\n");
        }
        return Ok(ToolOutput::out(super::json::text(world, node, &names)));
    }
    let detail = Detail {
        verbose: args.has("--verbose"),
        statistics: args.has("--statistics"),
    };
    if names.is_empty() {
        return Ok(ToolOutput::out("# No currently configured DRBD found.\n"));
    }
    let mut text = String::new();
    for name in &names {
        text.push_str(&super::status::text(world, node, name, detail));
    }
    Ok(ToolOutput::out(text))
}

/// Disconnects all connections of a machine that is being shut down.
pub(crate) fn leave_all(world: &mut World, node: &str) {
    let names: Vec<String> = world
        .kernel(node)
        .map(|k| k.resources.keys().cloned().collect())
        .unwrap_or_default();
    for name in names {
        let keys: Vec<u32> = world
            .resource(node, &name)
            .map(|r| r.connections.keys().copied().collect())
            .unwrap_or_default();
        for key in keys {
            link::lose(world, node, &name, key, Loss::Disconnect);
        }
    }
}
