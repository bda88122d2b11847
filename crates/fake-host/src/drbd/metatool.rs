//! `drbdmeta`.

use std::sync::Arc;

use super::attach::{find_backing, fits};
use super::grow::move_metadata;
use super::metadata::{
    AL_CLEAN, AL_DISABLED, CONNECTED_IND, CONSISTENT, CRASHED_PRIMARY, FULL_SYNC, Metadata,
    NODE_IDS, PEER_CONNECTED, PEER_DEVICE_SEEN, PEER_FENCING, PEER_FULL_SYNC, PEER_OUT_DATED,
    PEER_OUTDATED, PRIMARY_IND, PRIMARY_LOST_QUORUM, WAS_UP_TO_DATE,
};
use super::res::{edit_metadata_at, metadata_at};
use super::resfile::{Statement, statements};
use super::{Backing, DrbdKind};
use crate::content::Block;
use crate::machine::Machine;
use crate::signature::last_block;
use crate::tool::{Stop, ToolOutput, ToolResult, fail, missing};
use crate::world::World;

/// A command line of drbdmeta.
struct Call {
    force: bool,
    node_id: Option<u32>,
    al_stripes: u32,
    al_stripe_kib: u32,
    minor: u32,
    kind: DrbdKind,
    path: String,
    index: String,
    command: String,
    arguments: Vec<String>,
}

fn parse_call(args: &[String]) -> Result<Call, Stop> {
    let mut call = Call {
        force: false,
        node_id: None,
        al_stripes: 1,
        al_stripe_kib: 32,
        minor: 0,
        kind: DrbdKind::V9,
        path: String::new(),
        index: String::new(),
        command: String::new(),
        arguments: Vec::new(),
    };
    let number = |text: Option<&str>| -> Result<u32, Stop> {
        let text = text.unwrap_or("");
        text.parse()
            .or_else(|_| missing(format!("drbdmeta with number `{text}`")))
    };
    let mut positional: Vec<&str> = Vec::new();
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        let (name, value) = arg
            .split_once('=')
            .map_or((arg, None), |(n, v)| (n, Some(v)));
        match name {
            "--force" => call.force = true,
            "--node-id" => call.node_id = Some(number(value.or_else(|| rest.next()))?),
            "--al-stripes" => call.al_stripes = number(value.or_else(|| rest.next()))?,
            "--al-stripe-size-kB" => call.al_stripe_kib = number(value.or_else(|| rest.next()))?,
            other if other.starts_with("--") => return missing(format!("drbdmeta {other}")),
            _ => positional.push(arg),
        }
    }
    let [minor, format, path, index, command, arguments @ ..] = positional.as_slice() else {
        return missing(format!("drbdmeta {positional:?}"));
    };
    call.minor = number(Some(minor))?;
    call.kind = match *format {
        "v09" => DrbdKind::V9,
        "v08" => DrbdKind::V84,
        other => return missing(format!("drbdmeta format {other}")),
    };
    if !matches!(*index, "internal" | "flex-external") {
        return missing(format!("drbdmeta index {index}"));
    }
    (call.path, call.index) = ((*path).to_owned(), (*index).to_owned());
    call.command = (*command).to_owned();
    call.arguments = arguments.iter().map(|arg| (*arg).to_owned()).collect();
    Ok(call)
}

/// `drbdmeta`.
pub(crate) fn drbdmeta(world: &mut World, node: &str, args: &[String]) -> ToolResult {
    let call = parse_call(args)?;
    let fresh = world.rng.next();
    let Some(machine) = world.machines.get_mut(node) else {
        return missing("drbdmeta nowhere");
    };
    if machine.device(&call.path).is_none() {
        return fail(
            20,
            format!("open({}) failed: No such file or directory\n", call.path),
        );
    }
    let backing = match call.index.as_str() {
        "internal" => find_backing(machine, &call.path, "internal"),
        _ => find_backing(machine, &call.path, &call.path).map(|b| Backing { superblock: 0, ..b }),
    };
    let Ok(backing) = backing else {
        return fail(
            20,
            format!("open({}) failed: No such file or directory\n", call.path),
        );
    };
    let attached = machine.drbd.user_of_backing(&backing.meta).is_some();
    let reads = matches!(call.command.as_str(), "get-gi" | "dump-md");
    if attached && !(reads && call.force) {
        return fail(20, format!("Device '{}' is configured!\n", call.minor));
    }
    if machine.is_broken(&backing.meta) {
        return fail(
            20,
            format!("pread({}) failed: Input/output error\n", call.path),
        );
    }
    match call.command.as_str() {
        "create-md" => create(machine, &call, &backing, fresh),
        "get-gi" => get_gi(machine, &call, &backing, attached),
        "set-gi" => set_gi(machine, &call, &backing),
        "restore-md" => restore(machine, &call, &backing),
        "check-resize" => check_resize(machine, &call, &backing),
        "dump-md" => dump(machine, &call, &backing),
        "wipe-md" => {
            if found(machine, &call, &backing).is_err() {
                let stderr = "There appears to be no drbd meta data to wipe out?\n".to_owned();
                return Ok(ToolOutput {
                    stderr,
                    ..ToolOutput::default()
                });
            }
            write(machine, &backing, None)?;
            Ok(ToolOutput::out(
                "Wiping meta data...\nDRBD meta data block successfully wiped out.\n",
            ))
        }
        "write-dev-uuid" | "apply-al" => {
            found(machine, &call, &backing)?;
            Ok(ToolOutput::nothing())
        }
        other => missing(format!("drbdmeta {other}")),
    }
}

fn found<'a>(machine: &'a Machine, call: &Call, backing: &Backing) -> Result<&'a Metadata, Stop> {
    match metadata_at(machine, backing).filter(|metadata| metadata.version == call.kind) {
        Some(metadata) => Ok(metadata),
        None => fail(1, "No valid meta data found\n"),
    }
}

fn write(machine: &mut Machine, backing: &Backing, metadata: Option<Metadata>) -> Result<(), Stop> {
    let block = metadata.map(|metadata| Block::Metadata(Arc::new(metadata)));
    match machine.put(&backing.meta, backing.superblock, block) {
        Ok(()) => Ok(()),
        Err(_) => fail(20, "md_sync: pwrite failed: Input/output error\n"),
    }
}

fn create(machine: &mut Machine, call: &Call, backing: &Backing, fresh: u64) -> ToolResult {
    let max_peers = match call.arguments.first() {
        None => 1,
        Some(text) => match text.parse() {
            Ok(number @ 1..=31) => number,
            Ok(_) | Err(_) => return missing(format!("create-md for {text} peers")),
        },
    };
    let device_kib = machine.size_bytes(&backing.meta) / 1024;
    if backing.superblock > 0 && !fits(device_kib, max_peers) {
        return fail(
            40,
            "Device size would be truncated, which\nwould corrupt data and result in\n\
             'access beyond end of device' errors.\n",
        );
    }
    let mut metadata = Metadata::new(call.kind, max_peers, fresh);
    (metadata.al_stripes, metadata.al_stripe_kib) = (call.al_stripes, call.al_stripe_kib);
    let mut stdout = String::new();
    if let Some(old) = metadata_at(machine, backing) {
        if !call.force {
            return fail(1, "Operation canceled.\n");
        }
        if old.version != call.kind {
            // Existing metadata is converted to the new format.
            metadata = Metadata {
                version: call.kind,
                max_peers: 1,
                ..old.clone()
            };
            metadata
                .history
                .resize(if call.kind == DrbdKind::V9 { 32 } else { 2 }, 0);
            stdout.push_str(
                "Valid meta-data of another version found, convert it?\n\
             *** confirmation forced via --force option ***\n",
            );
        } else {
            stdout.push_str(
                "Do you really want to overwrite the existing meta-data?\n\
             *** confirmation forced via --force option ***\n",
            );
        }
    }
    write(machine, backing, Some(metadata))?;
    note_end(machine, call.minor, device_kib);
    stdout.push_str(
        "initializing activity log\n\
     Writing meta data...\nNew drbd meta data block successfully created.\n",
    );
    Ok(ToolOutput::out(stdout))
}

const FLAGS_9: &[u32] = &[
    CONSISTENT,
    WAS_UP_TO_DATE,
    PRIMARY_IND,
    CRASHED_PRIMARY,
    AL_CLEAN,
    AL_DISABLED,
    PRIMARY_LOST_QUORUM,
];
const PEER_FLAGS_9: &[u32] = &[
    PEER_CONNECTED,
    PEER_OUTDATED,
    PEER_FENCING,
    PEER_FULL_SYNC,
    PEER_DEVICE_SEEN,
];
const FLAGS_84: &[u32] = &[
    CONSISTENT,
    WAS_UP_TO_DATE,
    PRIMARY_IND,
    CONNECTED_IND,
    FULL_SYNC,
    PEER_OUT_DATED,
    CRASHED_PRIMARY,
];

/// The line that `get-gi` prints.
fn gi_line(metadata: &Metadata, slot: u32) -> String {
    let uuids = [
        metadata.current,
        metadata.peer(slot).bitmap_uuid,
        metadata.history[0],
        metadata.history[1],
    ];
    let mut fields: Vec<String> = uuids.iter().map(|uuid| format!("{uuid:016X}")).collect();
    let bit = |set: bool| if set { "1" } else { "0" }.to_owned();
    match metadata.version {
        DrbdKind::V9 => {
            fields.extend(FLAGS_9.iter().map(|flag| bit(metadata.has(*flag))));
            let peer = metadata.peer(slot).flags;
            fields.extend(PEER_FLAGS_9.iter().map(|flag| bit(peer & flag != 0)));
        }
        DrbdKind::V84 => fields.extend(FLAGS_84.iter().map(|flag| bit(metadata.has(*flag)))),
    }
    fields.join(":")
}

/// The bitmap slot that `get-gi` and `set-gi` are about.
fn slot(call: &Call) -> Result<u32, Stop> {
    match (call.kind, call.node_id) {
        (DrbdKind::V9, Some(id)) if id < NODE_IDS => Ok(id),
        (DrbdKind::V9, _) => fail(
            10,
            format!(
                "The {} command requires the --node-id option\n",
                call.command
            ),
        ),
        (DrbdKind::V84, _) => Ok(1),
    }
}

fn get_gi(machine: &Machine, call: &Call, backing: &Backing, attached: bool) -> ToolResult {
    let slot = slot(call)?;
    match metadata_at(machine, backing).filter(|metadata| metadata.version == call.kind) {
        Some(metadata) => {
            let stale = format!(
                "# Output might be stale, since minor {} is attached\n",
                call.minor
            );
            let stderr = if attached { stale } else { String::new() };
            let line = format!("{}\n", gi_line(metadata, slot));
            Ok(ToolOutput {
                stderr,
                ..ToolOutput::out(line)
            })
        }
        // The real tool prints nothing here.
        None => fail(1, ""),
    }
}

fn set_gi(machine: &mut Machine, call: &Call, backing: &Backing) -> ToolResult {
    let slot = slot(call)?;
    let previous = gi_line(found(machine, call, backing)?, slot);
    let Some(text) = call.arguments.first() else {
        return missing("set-gi without ids");
    };
    if !call.force {
        return Ok(ToolOutput::out(
            "\nWrite new GI to disk?\nstdin not a TTY, not waiting for confirmation\nOperation canceled.\n",
        ));
    }
    let flags: &[u32] = match call.kind {
        DrbdKind::V9 => FLAGS_9,
        DrbdKind::V84 => FLAGS_84,
    };
    let mut wrong = None;
    edit_metadata_at(machine, backing, |metadata| {
        for (i, field) in text
            .split(':')
            .enumerate()
            .filter(|(_, field)| !field.is_empty())
        {
            let Ok(value) = u64::from_str_radix(field, 16) else {
                wrong = Some(field.to_owned());
                return;
            };
            let peer_flag = PEER_FLAGS_9.get(i.wrapping_sub(4 + flags.len()));
            match i {
                0 => metadata.current = value,
                1 => metadata.peer_mut(slot).bitmap_uuid = value,
                2 | 3 => metadata.history[i - 2] = value,
                _ => match (flags.get(i - 4), peer_flag) {
                    (Some(flag), _) => metadata.set(*flag, value == 1),
                    (None, Some(flag)) => {
                        let bits = &mut metadata.peer_mut(slot).flags;
                        *bits = if value == 1 {
                            *bits | flag
                        } else {
                            *bits & !flag
                        };
                    }
                    (None, None) => wrong = Some(field.to_owned()),
                },
            }
        }
    });
    if let Some(field) = wrong {
        return missing(format!("set-gi with field `{field}`"));
    }
    let now = gi_line(found(machine, call, backing)?, slot);
    Ok(ToolOutput::out(format!(
        "\nWrite new GI to disk?\n*** confirmation forced via --force option ***\n\
         previously {previous}\nset GI to  {now}\n"
    )))
}

/// `restore-md FILE`, with empty bitmaps only.
fn restore(machine: &mut Machine, call: &Call, backing: &Backing) -> ToolResult {
    let Some(path) = call.arguments.first() else {
        return missing("restore-md without file");
    };
    let Ok(text) = machine.files.read(path) else {
        return fail(20, format!("open of dump file '{path}' failed.\n"));
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let Ok(parsed) = statements(&text) else {
        return fail(10, "parse error in dump file\n");
    };
    let created = metadata_at(machine, backing).filter(|md| md.version == call.kind);
    let mut metadata = match created {
        Some(metadata) => metadata.clone(),
        None => return missing("restore-md onto a device without metadata"),
    };
    metadata.flags = 0;
    for statement in &parsed {
        restore_field(&mut metadata, statement, call.kind)?;
    }
    let device_kib = machine.size_bytes(&backing.meta) / 1024;
    if backing.superblock > 0 {
        let room = device_kib.saturating_sub(metadata.internal_kib(device_kib)) / 4 * 4;
        metadata.size_kib = metadata.size_kib.min(room);
    }
    write(machine, backing, Some(metadata))?;
    Ok(ToolOutput::out("Successfully restored meta data\n"))
}

fn hex(text: &str) -> Result<u64, Stop> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .or_else(|_| fail(10, format!("parse error at `{text}`\n")))
}

fn decimal(text: &str) -> Result<u64, Stop> {
    text.parse()
        .or_else(|_| fail(10, format!("parse error at `{text}`\n")))
}

fn restore_field(
    metadata: &mut Metadata,
    statement: &Statement,
    kind: DrbdKind,
) -> Result<(), Stop> {
    let tokens: Vec<&str> = statement.tokens.iter().map(String::as_str).collect();
    if let ([section], Some(body)) = (tokens.as_slice(), &statement.body) {
        return restore_section(metadata, section, body);
    }
    match tokens.as_slice() {
        ["version", version] => {
            let expected = if kind == DrbdKind::V9 { "v09" } else { "v08" };
            if *version != expected {
                return fail(10, format!("dump is for {version}, not for {expected}\n"));
            }
        }
        ["max-peers", n] => metadata.max_peers = decimal(n)? as u32,
        ["current-uuid", uuid] => metadata.current = hex(uuid)?,
        ["flags", flags] => metadata.flags = hex(flags)? as u32,
        ["la-size-sect", sectors] => metadata.size_kib = decimal(sectors)? / 2,
        ["device-uuid", uuid] => metadata.device_uuid = hex(uuid)?,
        ["al-stripes", n] => metadata.al_stripes = decimal(n)? as u32,
        ["al-stripe-size-4k", n] => metadata.al_stripe_kib = decimal(n)? as u32 * 4,
        ["node-id" | "bm-byte-per-bit" | "la-peer-max-bio-size", _] => {}
        other => return fail(10, format!("parse error at {other:?}\n")),
    }
    Ok(())
}

fn restore_section(metadata: &mut Metadata, section: &str, body: &[Statement]) -> Result<(), Stop> {
    let items = || {
        body.iter()
            .map(|item| item.tokens.iter().map(String::as_str).collect::<Vec<_>>())
    };
    match section {
        "uuid" => {
            for (i, item) in items().enumerate() {
                match (i, item.as_slice()) {
                    (_, ["flags", flags]) => metadata.flags = hex(flags)? as u32,
                    (0, [uuid]) => metadata.current = hex(uuid)?,
                    (1, [uuid]) => metadata.peer_mut(1).bitmap_uuid = hex(uuid)?,
                    (2 | 3, [uuid]) => metadata.history[i - 2] = hex(uuid)?,
                    (_, other) => return missing(format!("restore-md with uuid {other:?}")),
                }
            }
        }
        "history-uuids" => {
            for (i, item) in items().enumerate().take(metadata.history.len()) {
                metadata.history[i] = hex(item.first().unwrap_or(&""))?;
            }
        }
        "bm" if body.is_empty() => {}
        _ if section.starts_with("bitmap[") && body.is_empty() => {}
        _ => {
            let id = index(section).filter(|id| section.starts_with("peer[") && *id < NODE_IDS);
            let Some(id) = id else {
                return missing(format!("restore-md with {section}"));
            };
            for item in items() {
                match item.as_slice() {
                    ["bitmap-uuid", uuid] => metadata.peer_mut(id).bitmap_uuid = hex(uuid)?,
                    ["flags", flags] => metadata.peer_mut(id).flags = hex(flags)? as u32,
                    ["bitmap-index" | "bitmap-dagtag", _] => {}
                    other => return missing(format!("restore-md with {other:?}")),
                }
            }
        }
    }
    Ok(())
}

/// The number in `peer[3]`.
fn index(section: &str) -> Option<u32> {
    section.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// Where drbd-utils note the end of a minor's backing device, to find internal metadata after it has grown.
fn end_file(minor: u32) -> String {
    format!("/var/lib/drbd/drbd-minor-{minor}.lkbd")
}

/// Notes where a device ends; the real tools add its path.
pub(super) fn note_end(machine: &mut Machine, minor: u32, device_kib: u64) {
    let text = format!("{}\n", device_kib * 1024);
    let path = end_file(minor);
    machine.files.create_dir_all("/var/lib/drbd");
    // The tools ignore a failure, too.
    let _noted = machine.files.write(&path, text.as_bytes(), 0o600);
}

fn noted_end_kib(machine: &Machine, minor: u32) -> Option<u64> {
    let text = machine.files.read(&end_file(minor)).ok()?;
    let text = String::from_utf8(text).ok()?;
    let bytes: u64 = text.trim().parse().ok()?;
    Some(bytes / 1024)
}

/// `check-resize`: moves internal metadata to the end of a device that has grown while DRBD was down, and notes where the
/// device ends.
fn check_resize(machine: &mut Machine, call: &Call, backing: &Backing) -> ToolResult {
    if backing.superblock == 0 {
        return Ok(ToolOutput::nothing());
    }
    if metadata_at(machine, backing).is_some() {
        let device_kib = machine.size_bytes(&backing.meta) / 1024;
        note_end(machine, call.minor, device_kib);
        return Ok(ToolOutput::nothing());
    }
    let Some(known_kib) = noted_end_kib(machine, call.minor) else {
        return Ok(ToolOutput::nothing());
    };
    let device_kib = machine.size_bytes(&backing.meta) / 1024;
    let old = Backing {
        superblock: last_block(known_kib * 1024).unwrap_or(0),
        ..backing.clone()
    };
    if known_kib >= device_kib || metadata_at(machine, &old).is_none() {
        return Ok(ToolOutput::nothing());
    }
    if !move_metadata(machine, &old, backing.superblock) {
        return fail(20, "pwrite failed: Input/output error\n");
    }
    note_end(machine, call.minor, device_kib);
    Ok(ToolOutput::out(
        "Moving the internal meta data to its proper location\nInternal drbd meta data successfully moved.\n",
    ))
}

fn dump(machine: &Machine, call: &Call, backing: &Backing) -> ToolResult {
    let metadata = found(machine, call, backing)?;
    let mut text = String::from("# DRBD meta data dump\n#\n\n");
    let hex = |uuid: u64| format!("0x{uuid:016X}");
    match metadata.version {
        DrbdKind::V84 => {
            text.push_str(&format!(
                "version \"v08\";\n\nuuid {{\n    {}; {}; {}; {};\n    flags 0x{:08X};\n}}\n",
                hex(metadata.current),
                hex(metadata.peer(1).bitmap_uuid),
                hex(metadata.history[0]),
                hex(metadata.history[1]),
                metadata.flags
            ));
        }
        DrbdKind::V9 => {
            let node_id = metadata.node_id.map_or(-1, i64::from);
            text.push_str(&format!(
                "version \"v09\";\n\nmax-peers {};\n\nnode-id {node_id};\ncurrent-uuid {};\n\
                 flags 0x{:08X};\n",
                metadata.max_peers,
                hex(metadata.current),
                metadata.flags
            ));
            for (id, peer) in metadata.peers.iter().enumerate() {
                let index = if peer.allocated { id as i64 } else { -1 };
                text.push_str(&format!(
                    "peer[{id}] {{\n    bitmap-index {index};\n    bitmap-uuid {};\n    \
                     bitmap-dagtag 0x0000000000000000;\n    flags 0x{:08X};\n}}\n",
                    hex(peer.bitmap_uuid),
                    peer.flags
                ));
            }
        }
    }
    text.push_str(&format!(
        "la-size-sect {};\nbm-byte-per-bit 4096;\ndevice-uuid {};\nal-stripes {};\nal-stripe-size-4k {};\n",
        metadata.size_kib * 2,
        hex(metadata.device_uuid),
        metadata.al_stripes,
        metadata.al_stripe_kib / 4
    ));
    Ok(ToolOutput::out(text))
}
