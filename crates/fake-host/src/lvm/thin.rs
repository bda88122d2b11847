//! `thin_dump` and `thin_delta`: the chunks of thin volumes, read from the snapshot of their pool's metadata.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::machine::Machine;
use super::super::tool::{Rng, ToolOutput, ToolResult, fail, missing};
use super::{Lv, LvKind, Vg, dm_name};

/// Sectors of a KiB.
const SECTORS: u64 = 2;

/// The number of a thin volume in the metadata of its pool: the same as long as the volume exists.
pub(super) fn id(lv: &Lv) -> u32 {
    let bytes = lv.uuid.bytes();
    let hash = bytes.fold(5381_u32, |hash, byte| {
        hash.wrapping_mul(33) ^ u32::from(byte)
    });
    (hash & 0x7f_ffff) + 1
}

/// The thin pool whose own device, or whose metadata, has this name in the device mapper.
pub(crate) fn pool_of(machine: &Machine, name: &str, suffix: &str) -> Option<(String, String)> {
    machine.lvm.vgs.iter().find_map(|(vg_name, vg)| {
        let pools = vg.lvs.iter();
        let mut pools = pools.filter(|(_, lv)| matches!(lv.kind, LvKind::ThinPool(_)));
        let (pool, _) =
            pools.find(|(pool, _)| format!("{}{suffix}", dm_name(vg_name, pool)) == name)?;
        Some((vg_name.clone(), pool.clone()))
    })
}

fn chunks<'a>(vg: &'a Vg, pool: &str, number: u32) -> Option<&'a BTreeMap<u64, u64>> {
    vg.lvs.values().find_map(|lv| match &lv.kind {
        LvKind::Thin {
            pool: of, chunks, ..
        } if of == pool && id(lv) == number => Some(chunks),
        _ => None,
    })
}

fn head(chunk_kib: u64) -> String {
    let sectors = chunk_kib * SECTORS;
    format!(
        "<superblock uuid=\"\" time=\"1\" transaction=\"2\" version=\"2\" data_block_size=\"{sectors}\" nr_data_blocks=\"0\">\n"
    )
}

fn opened<'a>(machine: &'a Machine, device: &str) -> Result<(&'a Vg, String), String> {
    let name = device.strip_prefix("/dev/mapper/").unwrap_or(device);
    let found = pool_of(machine, name, "_tmeta");
    let (vg, pool) = found.ok_or_else(|| format!("Couldn't stat path '{device}'\n"))?;
    if !machine
        .metadata_snapshots
        .contains(&(vg.clone(), pool.clone()))
    {
        return Err("no current metadata snap\n".to_owned());
    }
    Ok((&machine.lvm.vgs[&vg], pool))
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_default()
}

pub(crate) fn thin_dump(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ["--metadata-snap", "--dev-id", volume, device] = args.as_slice() else {
        return missing(format!("thin_dump {args:?}"));
    };
    let (vg, pool) = match opened(machine, device) {
        Ok(opened) => opened,
        Err(text) => return fail(1, text),
    };
    let Some(chunks) = chunks(vg, &pool, number(volume)) else {
        return fail(1, "unknown device\n");
    };
    let chunk_kib = vg.pool(&pool).map_or(64, |pool| pool.chunk_kib);
    let mut text = head(chunk_kib);
    let count = chunks.len();
    let _infallible = writeln!(
        text,
        "  <device dev_id=\"{volume}\" mapped_blocks=\"{count}\" transaction=\"0\" creation_time=\"0\" snap_time=\"1\">"
    );
    for (chunk, data) in chunks {
        let _infallible = writeln!(
            text,
            "    <single_mapping origin_block=\"{chunk}\" data_block=\"{data}\" time=\"0\"/>"
        );
    }
    text.push_str("  </device>\n</superblock>\n");
    Ok(ToolOutput::out(text))
}

pub(crate) fn thin_delta(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ["--metadata-snap", "--thin1", left, "--thin2", right, device] = args.as_slice() else {
        return missing(format!("thin_delta {args:?}"));
    };
    let (vg, pool) = match opened(machine, device) {
        Ok(opened) => opened,
        Err(text) => return fail(1, text),
    };
    let both = chunks(vg, &pool, number(left)).zip(chunks(vg, &pool, number(right)));
    let Some((before, after)) = both else {
        return fail(1, "no such device\n");
    };
    let chunk_kib = vg.pool(&pool).map_or(64, |pool| pool.chunk_kib);
    let mut text = head(chunk_kib);
    let _infallible = writeln!(text, "  <diff left=\"{left}\" right=\"{right}\">");
    let all: std::collections::BTreeSet<&u64> = before.keys().chain(after.keys()).collect();
    for chunk in all {
        let kind = match (before.get(chunk), after.get(chunk)) {
            (Some(before), Some(after)) if before == after => "same",
            (Some(_), Some(_)) => "different",
            (Some(_), None) => "left_only",
            (None, _) => "right_only",
        };
        let _infallible = writeln!(text, "    <{kind} begin=\"{chunk}\" length=\"1\"/>");
    }
    text.push_str("  </diff>\n</superblock>\n");
    Ok(ToolOutput::out(text))
}
