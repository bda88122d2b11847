//! The commands of LVM that change logical volumes.

use std::collections::{BTreeMap, BTreeSet};

use linstor_host::DeviceUse;

use super::layout::Layout;
use super::{KIB_PER_BLOCK, Lv, LvKind, Lvm, ThinPool, Vg, cut, dm_name};
use crate::args::{Args, Options, size_kib};
use crate::content::Blocks;
use crate::machine::{Dev, Machine};
use crate::signature;
use crate::tool::{Rng, Stop, ToolOutput, ToolResult, fail, missing};

/// LVM's exit code for a failed command.
pub(super) const FAILED: i32 = 5;

const CREATE: Options = Options {
    flags: &[
        "-y|--yes",
        "-s|--snapshot",
        "-v|--verbose",
        "-K|--ignoreactivationskip",
        "-q|--quiet",
        "--noudevsync",
        "--ignoremonitoring",
    ],
    valued: &[
        "-L|--size",
        "-l|--extents",
        "-V|--virtualsize",
        "-n|--name",
        "-T|--thin",
        "--thinpool",
        "--type",
        "-a|--activate",
        "-k|--setactivationskip",
        "-p|--permission",
        "-c|--chunksize",
        "--poolmetadatasize",
        "--poolmetadataspare",
        "-W|--wipesignatures",
        "-Z|--zero",
        "-i|--stripes",
        "-I|--stripesize",
        "-m|--mirrors",
        "--addtag",
        "--config",
        "--discards",
        "--errorwhenfull",
    ],
};

/// `lvcreate`.
pub(crate) fn lvcreate(machine: &mut Machine, rng: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(&with_thin_value(args), &CREATE)?;
    let kind = args.value("--type").unwrap_or("");
    if args.has("--snapshot") {
        return create_snapshot(machine, rng, &args);
    }
    let makes_pool = kind == "thin-pool" || (args.has("--thin") && !args.has("--virtualsize"));
    if makes_pool {
        return create_pool(&mut machine.lvm, rng, &args);
    }
    if args.has("--virtualsize") {
        return create_thin(&mut machine.lvm, rng, &args);
    }
    create_thick(machine, rng, &args)
}

/// `-T` has no value in LVM; the pool is the next positional argument. `--thinpool` without `-V` names a pool as well.
fn with_thin_value(args: &[String]) -> Vec<String> {
    let mut given = Vec::new();
    for arg in args {
        // As a valued option it would consume the next option.
        let alone = matches!(arg.as_str(), "-T" | "--thin");
        given.push(if alone {
            "--thin=".to_owned()
        } else {
            arg.clone()
        });
    }
    given
}

fn create_thick(machine: &mut Machine, rng: &mut Rng, args: &Args) -> ToolResult {
    let (vg_name, name) = vg_and_name(args)?;
    let vg = vg_mut(&mut machine.lvm, &vg_name)?;
    free_name(vg, &vg_name, &name)?;
    let layout = Layout::of(args)?;
    let extents = wanted_extents(vg, args)?;
    let rounded = [
        layout.remark_on_creation(),
        &rounded(vg, args.value("--size"))?,
        &layout.rounded(extents, vg.extent_kib),
    ]
    .concat();
    let extents = extents.next_multiple_of(layout.data);
    let overhead = layout.overhead(extents);
    let mut lv = thick(vg, rng, &vg_name, extents, overhead)?;
    lv.layout = layout;
    let mut lv = with_options(lv, args)?;
    if args.value("--zero") != Some("n") {
        lv.blocks.remove(&0);
    }
    vg.lvs.insert(name.clone(), lv);
    let wipes = args.value("--wipesignatures").or(args.value("--zero")) != Some("n");
    if wipes {
        signature::wipe(machine, &Dev::Lv(vg_name, name.clone()));
    }
    Ok(created(&rounded, &name))
}

fn thick(vg: &mut Vg, rng: &mut Rng, vg_name: &str, count: u64, overhead: u64) -> Result<Lv, Stop> {
    let mut extents = take(vg, vg_name, count + overhead)?;
    let overhead = extents.split_off(usize::try_from(count).unwrap_or(usize::MAX));
    vg.pick_up(&overhead, 0);
    let blocks = vg.pick_up(&extents, 0);
    let size_kib = count * vg.extent_kib;
    let lv = new_lv(rng, LvKind::Thick { extents }, size_kib, blocks);
    Ok(Lv { overhead, ..lv })
}

fn create_pool(lvm: &mut Lvm, rng: &mut Rng, args: &Args) -> ToolResult {
    let (vg_name, name) = match (
        args.positional(),
        args.value("--name"),
        args.value("--thinpool"),
    ) {
        ([vg], Some(name), _) | ([vg], None, Some(name)) => (vg.clone(), name.to_owned()),
        ([path], None, None) => split(path)?,
        other => return missing(format!("thin pool named by {other:?}")),
    };
    let vg = vg_mut(lvm, &vg_name)?;
    free_name(vg, &vg_name, &name)?;
    let metadata_kib = match args.value("--poolmetadatasize") {
        Some(size) => size_kib(size, 'm')?,
        None => 4096,
    };
    // Metadata, and a spare for its repair.
    let overhead = 2 * vg.extents_for(metadata_kib);
    let count = match args.value("--extents") {
        Some(_) => wanted_extents(vg, args)?.saturating_sub(overhead),
        None => wanted_extents(vg, args)?,
    };
    take(vg, &vg_name, overhead)?;
    let extents = take(vg, &vg_name, count)?;
    // Blocks of a pool are never read before they are written.
    vg.pick_up(&extents, 0);
    let chunk_kib = args
        .value("--chunksize")
        .map_or(Ok(64), |size| size_kib(size, 'k'))?;
    let pool = ThinPool {
        extents,
        chunk_kib,
        metadata_kib: metadata_kib.next_multiple_of(vg.extent_kib),
        zero: args.value("--zero") != Some("n"),
        shares: BTreeMap::new(),
        next_chunk: 0,
    };
    let size_kib = count * vg.extent_kib;
    let lv = new_lv(rng, LvKind::ThinPool(pool), size_kib, Blocks::new());
    vg.lvs.insert(name.clone(), with_options(lv, args)?);
    // The number of chunks is limited.
    let limit = format!(
        "  Thin pool volume with chunk size {chunk_kib}.00 KiB can address at most <{:.2} TiB of data.\n",
        chunk_kib as f64 * 15.88 / 64.0
    );
    Ok(created(&limit, &name))
}

fn create_thin(lvm: &mut Lvm, rng: &mut Rng, args: &Args) -> ToolResult {
    let virtual_kib = size_kib(args.value("--virtualsize").unwrap_or("0"), 'm')?;
    let (vg_name, pool) = match (args.positional(), args.value("--thinpool")) {
        ([vg], Some(pool)) => (
            vg.clone(),
            pool.rsplit('/').next().unwrap_or(pool).to_owned(),
        ),
        ([path], None) => split(path)?,
        other => return missing(format!("thin volume in {other:?}")),
    };
    let Some(name) = args.value("--name") else {
        return missing("lvcreate without --name");
    };
    let vg = vg_mut(lvm, &vg_name)?;
    let rounded = rounded(vg, args.value("--virtualsize"))?;
    if let Err(Stop::Failed(refused)) = free_name(vg, &vg_name, name) {
        let stdout = rounded.into_bytes();
        return Err(Stop::Failed(ToolOutput { stdout, ..refused }));
    }
    if vg.pool(&pool).is_none() {
        let text = format!("  Pool {pool} not found in Volume group {vg_name}.\n");
        return fail(FAILED, text);
    }
    let size_kib = virtual_kib.next_multiple_of(vg.extent_kib);
    let kind = LvKind::Thin {
        pool,
        origin: None,
        chunks: BTreeMap::new(),
    };
    let lv = with_options(new_lv(rng, kind, size_kib, Blocks::new()), args)?;
    vg.lvs.insert(name.to_owned(), lv);
    Ok(created(&rounded, name))
}

fn create_snapshot(machine: &mut Machine, rng: &mut Rng, args: &Args) -> ToolResult {
    let (vg_name, origin) = split(args.only()?)?;
    let Some(name) = args.value("--name") else {
        return missing("lvcreate without --name");
    };
    let vg = vg_mut(&mut machine.lvm, &vg_name)?;
    free_name(vg, &vg_name, name)?;
    let Some(source) = vg.lvs.get(&origin).cloned() else {
        return fail(FAILED, not_found(&vg_name, &origin));
    };
    let lv = match &source.kind {
        LvKind::Thin { pool, chunks, .. } => {
            let (pool, chunks) = (pool.clone(), chunks.clone());
            if let Some(pool) = vg.pool_mut(&pool) {
                for chunk in chunks.values() {
                    *pool.shares.entry(*chunk).or_default() += 1;
                }
            }
            let kind = LvKind::Thin {
                pool,
                origin: Some(origin),
                chunks,
            };
            let mut lv = new_lv(rng, kind, source.size_kib, source.blocks);
            // LVM's default for thin snapshots: they are skipped at activation.
            lv.skip_activation = args.value("--setactivationskip") != Some("n");
            lv.active = !lv.skip_activation || args.has("--ignoreactivationskip");
            lv
        }
        LvKind::Thick { .. } => {
            let count = wanted_extents(vg, args)?;
            let extents = take(vg, &vg_name, count)?;
            vg.pick_up(&extents, 0);
            let kind = LvKind::CowSnapshot { origin, extents };
            new_lv(rng, kind, source.size_kib, source.blocks)
        }
        LvKind::CowSnapshot { .. } | LvKind::ThinPool(_) => {
            return missing("a snapshot of a snapshot or of a thin pool");
        }
    };
    vg.lvs.insert(name.to_owned(), with_options(lv, args)?);
    Ok(created("", name))
}

const REMOVE: Options = Options {
    flags: &["-y|--yes", "-f|--force", "-v|--verbose", "-q|--quiet"],
    valued: &["--config"],
};

/// `lvremove`.
pub(crate) fn lvremove(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &REMOVE)?;
    let (vg_name, name) = split(args.only()?)?;
    existing(&mut machine.lvm, &vg_name, &name)?;
    if !args.has("--force") && !args.has("--yes") {
        return missing("lvremove that asks for confirmation");
    }
    in_use(machine, &vg_name, &name)?;
    let vg = vg_mut(&mut machine.lvm, &vg_name)?;
    vg.remove(&name);
    machine.suspended.remove(&dm_name(&vg_name, &name));
    Ok(ToolOutput::out(format!(
        "  Logical volume \"{name}\" successfully removed.\n"
    )))
}

const RESIZE: Options = Options {
    flags: &["-y|--yes", "-f|--force", "-v|--verbose", "-r|--resizefs"],
    valued: &["-L|--size", "-l|--extents", "--config"],
};

/// `lvresize`, `lvextend` and `lvreduce`.
pub(crate) fn lvresize(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &RESIZE)?;
    let (vg_name, name) = split(args.positional().first().map_or("", String::as_str))?;
    let vg = vg_mut(&mut machine.lvm, &vg_name)?;
    let per = vg.extent_kib;
    let Some(lv) = vg.lvs.get(&name) else {
        let text = format!("  Logical volume {name} not found in volume group {vg_name}.\n");
        return fail(FAILED, text);
    };
    let old_kib = lv.size_kib;
    let size = args.value("--size").unwrap_or("");
    let asked_kib = match size.strip_prefix('+') {
        Some(more) => old_kib + size_kib(more, 'm')?,
        None if size.is_empty() => return missing("lvresize without --size"),
        None => size_kib(size, 'm')?,
    };
    let new_kib = asked_kib.next_multiple_of(per * lv.layout.data);
    let mut remarks = match asked_kib.is_multiple_of(per) {
        true => String::new(),
        false => format!(
            "  Rounding size to boundary between physical extents: {:.2} MiB.\n",
            asked_kib.next_multiple_of(per) as f64 / 1024.0
        ),
    };
    remarks.push_str(&lv.layout.remarks_on_growth(asked_kib.div_ceil(per), per));
    let (old, new) = (old_kib / per, new_kib / per);
    if old == new {
        let text = format!("  New size ({new} extents) matches existing size ({old} extents).\n");
        return fail(FAILED, text);
    }
    if new < old && !args.has("--force") && !args.has("--yes") {
        return missing("lvresize that asks for confirmation");
    }
    resize(vg, &vg_name, &name, old, new)?;
    // `lvresize` resumes the device with its new table.
    machine.suspended.remove(&dm_name(&vg_name, &name));
    let size = |kib: u64| format!("{:.2} MiB", kib as f64 / 1024.0);
    Ok(ToolOutput::out(format!(
        "{remarks}  Size of logical volume {vg_name}/{name} changed from {} ({old} extents) to {} ({new} extents).\n  \
         Logical volume {vg_name}/{name} successfully resized.\n",
        size(old_kib),
        size(new_kib)
    )))
}

fn resize(vg: &mut Vg, vg_name: &str, name: &str, old: u64, new: u64) -> Result<(), Stop> {
    let Some(mut lv) = vg.lvs.remove(name) else {
        return fail(FAILED, not_found(vg_name, name));
    };
    let new_kib = new * vg.extent_kib;
    let resized = match &mut lv.kind {
        LvKind::Thick { extents } if new > old => {
            let overhead = lv.layout.overhead(new) - lv.overhead.len() as u64;
            take_more(vg, new - old + overhead).map(|mut more| {
                let added = usize::try_from(new - old).unwrap_or(usize::MAX);
                lv.overhead.extend(more.split_off(added));
                lv.blocks.extend(vg.pick_up(&more, old));
                extents.extend(more);
            })
        }
        LvKind::Thick { .. } if lv.layout != Layout::default() => {
            missing("lvresize of a striped volume to less")
        }
        LvKind::Thick { extents } => {
            let tail = lv.blocks.split_off(&(new_kib / KIB_PER_BLOCK));
            let tail = tail
                .into_iter()
                .map(|(b, c)| (b - new_kib / KIB_PER_BLOCK, c))
                .collect();
            let freed = extents.split_off(usize::try_from(new).unwrap_or(usize::MAX));
            vg.give_back(&freed, tail);
            Ok(())
        }
        LvKind::ThinPool(pool) if new > old => {
            take_more(vg, new - old).map(|more| pool.extents.extend(more))
        }
        LvKind::Thin { pool, chunks, .. } => {
            let pool = pool.clone();
            if let Some(pool) = vg.pool_mut(&pool) {
                let first_gone = new_kib.div_ceil(pool.chunk_kib);
                for chunk in chunks.split_off(&first_gone).values() {
                    pool.release(*chunk);
                }
            }
            cut(&mut lv.blocks, new_kib);
            Ok(())
        }
        LvKind::ThinPool(_) => fail(
            FAILED,
            "  Thin pool volumes cannot be reduced in size yet.\n",
        ),
        LvKind::CowSnapshot { .. } => missing("lvresize of a thick snapshot"),
    };
    if resized.is_ok() {
        lv.size_kib = new_kib;
    }
    vg.lvs.insert(name.to_owned(), lv);
    resized
}

const RENAME: Options = Options {
    flags: &["-y|--yes", "-v|--verbose"],
    valued: &["--config"],
};

/// `lvrename`: `VG/OLD NEW`, `VG OLD NEW` or `VG/OLD VG/NEW`.
pub(crate) fn lvrename(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &RENAME)?;
    let (vg_name, old, new) = match args.positional() {
        [vg, old, new] => (vg.clone(), old.clone(), new.clone()),
        [path, new] => {
            let (vg, old) = split(path)?;
            (vg, old, new.clone())
        }
        other => return missing(format!("lvrename {other:?}")),
    };
    let new = new.rsplit('/').next().unwrap_or(&new).to_owned();
    let vg = vg_mut(&mut machine.lvm, &vg_name)?;
    if !vg.lvs.contains_key(&old) {
        let text = format!(
            "  Existing logical volume \"{old}\" not found in volume group \"{vg_name}\"\n"
        );
        return fail(FAILED, text);
    }
    if vg.lvs.contains_key(&new) {
        let text =
            format!("  Logical Volume \"{new}\" already exists in volume group \"{vg_name}\"\n");
        return fail(FAILED, text);
    }
    if let Some(lv) = vg.lvs.remove(&old) {
        vg.lvs.insert(new.clone(), lv);
    }
    for lv in vg.lvs.values_mut() {
        match &mut lv.kind {
            LvKind::Thin {
                origin: Some(origin),
                ..
            }
            | LvKind::CowSnapshot { origin, .. }
                if *origin == old =>
            {
                origin.clone_from(&new);
            }
            LvKind::Thin { pool, .. } if *pool == old => pool.clone_from(&new),
            LvKind::Thick { .. }
            | LvKind::CowSnapshot { .. }
            | LvKind::ThinPool(_)
            | LvKind::Thin { .. } => {}
        }
    }
    machine.drbd.backing_renamed(
        &Dev::Lv(vg_name.clone(), old.clone()),
        &Dev::Lv(vg_name.clone(), new.clone()),
    );
    Ok(ToolOutput::out(format!(
        "  Renamed \"{old}\" to \"{new}\" in volume group \"{vg_name}\"\n"
    )))
}

const CHANGE: Options = Options {
    flags: &[
        "-y|--yes",
        "-f|--force",
        "-K|--ignoreactivationskip",
        "-v|--verbose",
        "--refresh",
    ],
    valued: &[
        "-a|--activate",
        "-k|--setactivationskip",
        "-p|--permission",
        "--addtag",
        "--deltag",
        "-Z|--zero",
        "--config",
    ],
};

/// `lvchange`.
pub(crate) fn lvchange(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &CHANGE)?;
    let mut stdout = String::new();
    for path in args.positional() {
        let (vg_name, name) = split(path)?;
        existing(&mut machine.lvm, &vg_name, &name)?;
        let off = matches!(args.value("--activate"), Some("n" | "-n" | "ln" | "-an"));
        if off {
            in_use(machine, &vg_name, &name)?;
        }
        let vg = vg_mut(&mut machine.lvm, &vg_name)?;
        let Some(lv) = vg.lvs.get_mut(&name) else {
            continue;
        };
        let mut changed = false;
        if args.has("--activate") {
            // A volume with the activation-skip flag remains inactive, without a message, unless -K is given.
            let skipped = lv.skip_activation && !args.has("--ignoreactivationskip");
            lv.active = if off { false } else { lv.active || !skipped };
            // Activation and deactivation resume the device.
            machine.suspended.remove(&dm_name(&vg_name, &name));
        }
        if let Some(permission) = args.value("--permission") {
            lv.read_only = permission == "r";
            changed = true;
        }
        if let Some(skip) = args.value("--setactivationskip") {
            lv.skip_activation = skip == "y";
            changed = true;
        }
        lv.tags.extend(args.all("--addtag").iter().cloned());
        lv.tags.retain(|tag| !args.all("--deltag").contains(tag));
        changed |= args.has("--addtag") || args.has("--deltag");
        if let (Some(zero), LvKind::ThinPool(pool)) = (args.value("--zero"), &mut lv.kind) {
            if pool.zero && zero == "y" {
                let text = format!("  Logical volume {vg_name}/{name} already zero new blocks.\n");
                return fail(FAILED, text);
            }
            pool.zero = zero == "y";
            changed = true;
        }
        if changed {
            stdout.push_str(&format!("  Logical volume {vg_name}/{name} changed.\n"));
        }
    }
    Ok(ToolOutput::out(stdout))
}

const CONVERT: Options = Options {
    flags: &["-y|--yes", "-f|--force", "--merge", "-v|--verbose"],
    valued: &["--config"],
};

/// `lvconvert --merge VG/SNAPSHOT`: the origin gets the snapshot's content, and the snapshot is removed.
pub(crate) fn lvconvert(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &CONVERT)?;
    if !args.has("--merge") {
        return missing("lvconvert other than --merge");
    }
    let (vg_name, name) = split(args.only()?)?;
    existing(&mut machine.lvm, &vg_name, &name)?;
    let origin = match &machine.lvm.lv(&vg_name, &name).map(|lv| lv.kind.clone()) {
        Some(
            LvKind::Thin {
                origin: Some(origin),
                ..
            }
            | LvKind::CowSnapshot { origin, .. },
        ) => origin.clone(),
        Some(_) | None => {
            let text = format!("  Command on LV {vg_name}/{name} is invalid: it is no snapshot.\n");
            return fail(FAILED, text);
        }
    };
    let origin_dev = Dev::Lv(vg_name.clone(), origin.clone());
    let active = machine.lvm.is_active(&vg_name, &origin);
    if active && machine.user_of(&origin_dev).is_some() {
        // Real LVM merges at the next activation then; the satellite must not depend on that.
        return missing("merging into a volume in use");
    }
    let vg = vg_mut(&mut machine.lvm, &vg_name)?;
    let (Some(snapshot), Some(old)) = (vg.lvs.get(&name).cloned(), vg.lvs.get(&origin).cloned())
    else {
        return fail(FAILED, not_found(&vg_name, &origin));
    };
    if let (LvKind::Thin { .. }, LvKind::Thin { .. }) = (&snapshot.kind, &old.kind) {
        merge_thin(vg, &name, &origin, snapshot, &old);
    } else {
        if let Some(lv) = vg.lvs.get_mut(&origin) {
            lv.blocks = snapshot.blocks;
        }
        vg.remove(&name);
    }
    Ok(ToolOutput::out(format!(
        "  Merging of thin snapshot {vg_name}/{name} will occur on next activation of {vg_name}/{origin}.\n"
    )))
}

/// For thin volumes, merging means that the snapshot replaces the origin.
fn merge_thin(vg: &mut Vg, name: &str, origin: &str, snapshot: Lv, old: &Lv) {
    let grand_origin = match &old.kind {
        LvKind::Thin { origin, .. } => origin.clone(),
        LvKind::Thick { .. } | LvKind::CowSnapshot { .. } | LvKind::ThinPool(_) => None,
    };
    let mut merged = Lv {
        tags: old.tags.clone(),
        uuid: old.uuid.clone(),
        ..snapshot
    };
    (merged.active, merged.read_only, merged.skip_activation) =
        (old.active, old.read_only, old.skip_activation);
    if let LvKind::Thin {
        origin,
        pool,
        chunks,
    } = &mut merged.kind
    {
        *origin = grand_origin;
        // Removing both volumes below releases their chunks; this reference preserves the shared ones.
        let (pool, chunks) = (pool.clone(), chunks.clone());
        if let Some(pool) = vg.pool_mut(&pool) {
            for chunk in chunks.values() {
                *pool.shares.entry(*chunk).or_default() += 1;
            }
        }
    }
    let others: BTreeSet<String> = vg
        .lvs
        .iter()
        .filter(|(_, lv)| matches!(&lv.kind, LvKind::Thin { origin: Some(o), .. } if o == origin))
        .map(|(name, _)| name.clone())
        .collect();
    vg.remove(name);
    vg.remove(origin);
    vg.lvs.insert(origin.to_owned(), merged);
    for other in others {
        if let Some(LvKind::Thin { origin: o, .. }) = vg.lvs.get_mut(&other).map(|lv| &mut lv.kind)
        {
            *o = Some(origin.to_owned());
        }
    }
}

fn with_options(mut lv: Lv, args: &Args) -> Result<Lv, Stop> {
    lv.tags.extend(args.all("--addtag").iter().cloned());
    match args.value("--permission") {
        None | Some("rw") => {}
        Some("r") => lv.read_only = true,
        Some(other) => return missing(format!("lvcreate --permission {other}")),
    }
    if let Some(skip) = args.value("--setactivationskip") {
        lv.skip_activation = skip == "y";
    }
    match args.value("--activate") {
        None => {}
        Some("y" | "ay") => {
            lv.active = !lv.skip_activation || args.has("--ignoreactivationskip");
        }
        Some("n") => lv.active = false,
        Some(other) => return missing(format!("lvcreate --activate {other}")),
    }
    Ok(lv)
}

fn new_lv(rng: &mut Rng, kind: LvKind, size_kib: u64, blocks: Blocks) -> Lv {
    Lv {
        uuid: rng.lvm_uuid(),
        kind,
        size_kib,
        layout: Layout::default(),
        overhead: Vec::new(),
        blocks,
        tags: BTreeSet::new(),
        active: true,
        read_only: false,
        skip_activation: false,
    }
}

fn wanted_extents(vg: &Vg, args: &Args) -> Result<u64, Stop> {
    if let Some(size) = args.value("--size") {
        return Ok(vg.extents_for(size_kib(size, 'm')?));
    }
    let Some(extents) = args.value("--extents") else {
        return missing("lvcreate without a size");
    };
    let of = |percent: &str, all: u64| percent.parse::<u64>().ok().map(|p| all * p / 100);
    let wanted = if let Some(percent) = extents.strip_suffix("%FREE") {
        of(percent, vg.free.len() as u64)
    } else if let Some(percent) = extents.strip_suffix("%VG") {
        of(percent, vg.total_extents())
    } else {
        extents.parse().ok()
    };
    wanted.map_or_else(|| missing(format!("--extents {extents}")), Ok)
}

fn take(vg: &mut Vg, vg_name: &str, count: u64) -> Result<Vec<u64>, Stop> {
    let free = vg.free.len();
    vg.take(count).map_or_else(
        || {
            let text = format!(
                "  Volume group \"{vg_name}\" has insufficient free space ({free} extents): \
                 {count} required.\n"
            );
            fail(FAILED, text)
        },
        Ok,
    )
}

/// The same for a volume that grows, for which LVM has another message.
fn take_more(vg: &mut Vg, count: u64) -> Result<Vec<u64>, Stop> {
    let free = vg.free.len();
    let text =
        format!("  Insufficient free space: {count} extents needed, but only {free} available\n");
    vg.take(count).map_or_else(|| fail(FAILED, text), Ok)
}

fn vg_and_name(args: &Args) -> Result<(String, String), Stop> {
    let Some(vg) = args.positional().first() else {
        return missing("lvcreate without VG");
    };
    let Some(name) = args.value("--name") else {
        return missing("lvcreate without --name");
    };
    Ok((
        vg.clone(),
        name.rsplit('/').next().unwrap_or(name).to_owned(),
    ))
}

/// `VG/LV` or `/dev/VG/LV`.
pub(super) fn split(path: &str) -> Result<(String, String), Stop> {
    let path = path.strip_prefix("/dev/").unwrap_or(path);
    match path.split_once('/') {
        Some((vg, lv)) if !lv.contains('/') => Ok((vg.to_owned(), lv.to_owned())),
        Some(_) | None => missing(format!("logical volume `{path}`")),
    }
}

pub(super) fn vg_mut<'a>(lvm: &'a mut Lvm, name: &str) -> Result<&'a mut Vg, Stop> {
    match lvm.vgs.get_mut(name) {
        Some(vg) => Ok(vg),
        None => fail(
            FAILED,
            format!("  Volume group \"{name}\" not found\n  Cannot process volume group {name}\n"),
        ),
    }
}

fn existing(lvm: &mut Lvm, vg_name: &str, name: &str) -> Result<(), Stop> {
    let vg = vg_mut(lvm, vg_name)?;
    if vg.lvs.contains_key(name) {
        Ok(())
    } else {
        fail(FAILED, not_found(vg_name, name))
    }
}

fn in_use(machine: &Machine, vg: &str, name: &str) -> Result<(), Stop> {
    let dev = Dev::Lv(vg.to_owned(), name.to_owned());
    let how = match machine.device_use(&dev) {
        DeviceUse::Claimed { .. } => "is used by another device",
        DeviceUse::Mounted { .. } => "contains a filesystem in use",
        DeviceUse::Free if machine.user_of(&dev).is_some() => "in use",
        DeviceUse::Free => return Ok(()),
    };
    fail(FAILED, format!("  Logical volume {vg}/{name} {how}.\n"))
}

fn free_name(vg: &Vg, vg_name: &str, name: &str) -> Result<(), Stop> {
    if vg.lvs.contains_key(name) {
        let text =
            format!("  Logical Volume \"{name}\" already exists in volume group \"{vg_name}\"\n");
        return fail(FAILED, text);
    }
    Ok(())
}

pub(super) fn not_found(vg: &str, lv: &str) -> String {
    format!("  Failed to find logical volume \"{vg}/{lv}\"\n")
}

fn created(remarks: &str, name: &str) -> ToolOutput {
    ToolOutput::out(format!("{remarks}  Logical volume \"{name}\" created.\n"))
}

/// LVM's message for a size that is not a multiple of the extent size.
fn rounded(vg: &Vg, size: Option<&str>) -> Result<String, Stop> {
    let kib = size.map_or(Ok(0), |size| size_kib(size, 'm'))?;
    if kib.is_multiple_of(vg.extent_kib) {
        return Ok(String::new());
    }
    let mib = kib.next_multiple_of(vg.extent_kib) as f64 / 1024.0;
    Ok(format!(
        "  Rounding up size to full physical extent {mib:.2} MiB\n"
    ))
}
