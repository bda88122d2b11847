//! The reporting commands: `lvs`, `vgs`, `pvs` and `pvdisplay --columns`.

use super::change::{FAILED, not_found};
use super::{Lv, LvKind, Vg, dm_name, thin};
use crate::args::{Args, Missing, Options};
use crate::machine::{Dev, Machine};
use crate::tool::{Rng, Stop, ToolOutput, ToolResult, fail, missing};

const REPORT: Options = Options {
    flags: &[
        "--noheadings",
        "--nosuffix",
        "-a|--all",
        "--columns",
        "-C",
        "-v|--verbose",
        "--readonly",
    ],
    valued: &[
        "-o|--options",
        "--separator",
        "--units",
        "--config",
        "-S|--select",
        "-O|--sort",
        "--reportformat",
    ],
};

/// A report of LVM: its rows, and how to get a field of a row.
struct Report<'a, Row> {
    object: &'static str,
    args: &'a Args,
    rows: Vec<Row>,
    field: &'a dyn Fn(&Row, &str, &Units) -> Result<String, Missing>,
    defaults: &'static str,
}

struct Units {
    unit: char,
    suffix: bool,
}

impl Units {
    fn of(args: &Args) -> Result<Units, Missing> {
        let units = args.value("--units").unwrap_or("r");
        let unit = match units {
            "k" | "m" | "g" | "b" | "s" => units.chars().next().unwrap_or('k'),
            // LVM chooses the unit by the value; the fake always uses MiB.
            "r" | "h" => 'm',
            other => return Err(Missing::new(format!("--units {other}"))),
        };
        Ok(Units {
            unit,
            suffix: !args.has("--nosuffix"),
        })
    }

    fn kib(&self, kib: u64) -> String {
        if kib == 0 {
            // LVM prints zero without digits or unit.
            return "0".to_owned();
        }
        let number = match self.unit {
            'b' => format!("{}", kib * 1024),
            's' => format!("{}", kib * 2),
            'k' => format!("{:.2}", kib as f64),
            'm' => format!("{:.2}", kib as f64 / 1024.0),
            _ => format!("{:.2}", kib as f64 / 1_048_576.0),
        };
        let suffix = match self.unit {
            'b' => "B",
            's' => "S",
            'k' => "k",
            'm' => "m",
            _ => "g",
        };
        if self.suffix { number + suffix } else { number }
    }
}

impl<Row> Report<'_, Row> {
    fn print(self) -> ToolResult {
        let units = Units::of(self.args)?;
        if let Some(sort) = self.args.value("--sort").filter(|key| *key != "pv_name") {
            return missing(format!("--sort {sort}"));
        }
        let options = self.args.value("--options").unwrap_or(self.defaults);
        let options = options
            .strip_prefix('+')
            .map_or(options.to_owned(), |more| {
                format!("{},{more}", self.defaults)
            });
        let fields: Vec<&str> = options.split(',').map(str::trim).collect();
        let mut table = Vec::new();
        for row in &self.rows {
            if !selected(self.args.value("--select"), |name| {
                (self.field)(row, name, &units)
            })? {
                continue;
            }
            let mut cells = Vec::new();
            for field in &fields {
                cells.push((self.field)(row, field, &units)?);
            }
            table.push(cells);
        }
        match self.args.value("--reportformat") {
            Some("json") => Ok(ToolOutput::out(json(self.object, &fields, &table))),
            Some(other) if other != "basic" => missing(format!("--reportformat {other}")),
            Some(_) | None => self.text(&fields, &table),
        }
    }

    fn text(&self, fields: &[&str], table: &[Vec<String>]) -> ToolResult {
        // Without separator LVM aligns columns and prints short headings, which no program should parse.
        let Some(separator) = self.args.value("--separator") else {
            if fields.len() > 1 || !self.args.has("--noheadings") {
                return missing("a report of several columns without --separator");
            }
            let lines = table.iter().map(|cells| format!("  {}\n", cells.join(" ")));
            return Ok(ToolOutput::out(lines.collect::<String>()));
        };
        if !self.args.has("--noheadings") {
            return missing("a report with headings");
        }
        let lines = table
            .iter()
            .map(|cells| format!("  {}\n", cells.join(separator)));
        Ok(ToolOutput::out(lines.collect::<String>()))
    }
}

fn json(object: &str, fields: &[&str], table: &[Vec<String>]) -> String {
    let rows: Vec<String> = table
        .iter()
        .map(|cells| {
            let pairs = fields.iter().zip(cells).map(|(field, cell)| {
                format!(
                    "\"{field}\":\"{}\"",
                    cell.replace('\\', "\\\\").replace('"', "\\\"")
                )
            });
            format!("              {{{}}}", pairs.collect::<Vec<_>>().join(", "))
        })
        .collect();
    format!(
        "  {{\n      \"report\": [\n          {{\n              \"{object}\": [\n\
         {}\n              ]\n          }}\n      ]\n  }}\n",
        rows.join(",\n")
    )
}

/// LVM's selection with equality only: `a=b`, joined by `&&` or `||`.
fn selected(
    selection: Option<&str>,
    field: impl Fn(&str) -> Result<String, Missing>,
) -> Result<bool, Missing> {
    let Some(selection) = selection else {
        return Ok(true);
    };
    for all in selection.split("||") {
        let mut holds = true;
        for condition in all.split("&&") {
            let (name, value) = condition
                .split_once('=')
                .ok_or_else(|| Missing::new(format!("--select {selection}")))?;
            let (name, negated) = name
                .trim()
                .strip_suffix('!')
                .map_or((name.trim(), false), |name| (name, true));
            let value = value.trim().trim_matches(['"', '\'']);
            let actual = field(name)?;
            let equal = match name {
                "lv_tags" | "vg_tags" | "tags" => {
                    let value = value.trim_matches(['{', '}']);
                    actual.split(',').any(|tag| tag == value)
                }
                _ => actual == value,
            };
            holds &= equal != negated;
        }
        if holds {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `lvs`.
pub(crate) fn lvs(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &REPORT)?;
    let mut rows: Vec<(&str, &Vg, &str, &Lv)> = Vec::new();
    for (vg_name, vg, only) in wanted(machine, args.positional())? {
        if vg.exported {
            return fail(FAILED, format!("  Volume group {vg_name} is exported\n"));
        }
        for (name, lv) in &vg.lvs {
            if only.as_deref().is_none_or(|only| only == name) {
                rows.push((vg_name, vg, name, lv));
            }
        }
    }
    let field = |(vg_name, vg, name, lv): &(&str, &Vg, &str, &Lv), field: &str, units: &Units| {
        lv_field(machine, (vg_name, vg, name, lv), field, units)
    };
    let defaults = "lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent";
    Report {
        object: "lv",
        args: &args,
        rows,
        field: &field,
        defaults,
    }
    .print()
}

/// A volume group of the command line, and the logical volume if one is given.
type Wanted<'a> = (&'a str, &'a Vg, Option<String>);

/// The volume groups of the command line, and the logical volume if one is given.
fn wanted<'a>(machine: &'a Machine, names: &[String]) -> Result<Vec<Wanted<'a>>, Stop> {
    let all = &machine.lvm.vgs;
    if names.is_empty() {
        return Ok(all
            .iter()
            .map(|(name, vg)| (name.as_str(), vg, None))
            .collect());
    }
    let mut found = Vec::new();
    for name in names {
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        let (vg_name, lv) = name
            .split_once('/')
            .map_or((name, None), |(vg, lv)| (vg, Some(lv)));
        let Some((vg_name, vg)) = all.get_key_value(vg_name) else {
            let text = format!(
                "  Volume group \"{vg_name}\" not found\n  Cannot process volume group {vg_name}\n"
            );
            return fail(FAILED, text);
        };
        if let Some(lv) = lv.filter(|lv| !vg.lvs.contains_key(*lv)) {
            return fail(FAILED, not_found(vg_name, lv));
        }
        found.push((vg_name.as_str(), vg, lv.map(str::to_owned)));
    }
    Ok(found)
}

fn lv_field(
    machine: &Machine,
    (vg_name, vg, name, lv): (&str, &Vg, &str, &Lv),
    field: &str,
    units: &Units,
) -> Result<String, Missing> {
    let percent = |part: u64, all: u64| format!("{:.2}", part as f64 * 100.0 / all.max(1) as f64);
    let nothing = String::new();
    Ok(match (field, &lv.kind) {
        ("lv_name" | "lv", _) => name.to_owned(),
        ("lv_full_name", _) => format!("{vg_name}/{name}"),
        ("lv_path" | "path", LvKind::ThinPool(_)) => nothing,
        ("lv_path" | "path", _) => format!("/dev/{vg_name}/{name}"),
        ("lv_dm_path", _) => format!("/dev/mapper/{}", dm_name(vg_name, name)),
        ("lv_size" | "size", _) => units.kib(lv.size_kib),
        ("lv_uuid", _) => lv.uuid.clone(),
        ("lv_tags" | "tags", _) => lv.tags.iter().cloned().collect::<Vec<_>>().join(","),
        ("lv_attr" | "attr", _) => attributes(machine, vg_name, name, lv),
        ("lv_active" | "active", _) => if lv.active { "active" } else { "" }.to_owned(),
        ("thin_id", LvKind::Thin { .. }) => thin::id(lv).to_string(),
        ("thin_id", _) => nothing,
        ("pool_lv", LvKind::Thin { pool, .. }) => pool.clone(),
        ("origin", LvKind::Thin { origin, .. }) => origin.clone().unwrap_or_default(),
        ("origin", LvKind::CowSnapshot { origin, .. }) => origin.clone(),
        ("data_percent", LvKind::ThinPool(pool)) if in_use(vg, name, lv) => {
            percent(pool.used_kib(), lv.size_kib)
        }
        ("data_percent", LvKind::Thin { pool, chunks, .. }) if lv.active => {
            let chunk_kib = vg.pool(pool).map_or(64, |pool| pool.chunk_kib);
            percent(
                (chunks.len() as u64 * chunk_kib).min(lv.size_kib),
                lv.size_kib,
            )
        }
        ("data_percent", LvKind::CowSnapshot { .. }) => "0.00".to_owned(),
        // A new pool uses 111 metadata blocks, and a volume's first mapping uses one; 64 bytes per mapped chunk is
        // close to the real usage.
        ("metadata_percent", LvKind::ThinPool(pool)) if in_use(vg, name, lv) => {
            let volumes = vg.thin_volumes(name);
            let blocks = 111 + volumes.min(1) as u64;
            percent(
                blocks * 4 + pool.shares.len() as u64 * 64 / 1024,
                pool.metadata_kib,
            )
        }
        ("lv_metadata_size", LvKind::ThinPool(pool)) => units.kib(pool.metadata_kib),
        ("chunk_size" | "chunksize", LvKind::ThinPool(pool)) => units.kib(pool.chunk_kib),
        ("chunk_size" | "chunksize", _) => units.kib(0),
        ("zero", LvKind::ThinPool(pool)) => if pool.zero { "zero" } else { "" }.to_owned(),
        ("stripes", _) => lv.layout.legs.to_string(),
        ("segtype", LvKind::Thick { .. } | LvKind::CowSnapshot { .. }) => {
            lv.layout.segment_type.clone()
        }
        ("segtype", LvKind::ThinPool(_)) => "thin-pool".to_owned(),
        ("segtype", LvKind::Thin { .. }) => "thin".to_owned(),
        ("pool_lv" | "origin" | "data_percent" | "metadata_percent", _) => nothing,
        ("lv_metadata_size" | "zero", _) => nothing,
        (vg_field_name, _) => vg_field(machine, (vg_name, vg), vg_field_name, units)?,
    })
}

/// Whether a thin pool works: volumes of an inactive one keep it in use, which is not in its letters.
fn in_use(vg: &Vg, name: &str, lv: &Lv) -> bool {
    lv.active || vg.active_thin_volumes(name) > 0
}

/// The ten letters of `lv_attr`.
fn attributes(machine: &Machine, vg: &str, name: &str, lv: &Lv) -> String {
    let (kind, target) = match &lv.kind {
        LvKind::Thick { .. } => lv.layout.letters(),
        LvKind::CowSnapshot { .. } => ('s', 's'),
        LvKind::ThinPool(_) => ('t', 't'),
        LvKind::Thin { .. } => ('V', 't'),
    };
    let permission = if lv.read_only { 'r' } else { 'w' };
    let state = match lv.active {
        true if machine.suspended.contains(&dm_name(vg, name)) => 's',
        true => 'a',
        false => '-',
    };
    let used = machine
        .user_of(&Dev::Lv(vg.to_owned(), name.to_owned()))
        .is_some();
    // An active thin volume holds its pool open.
    let open = used
        || machine
            .lvm
            .vgs
            .get(vg)
            .is_some_and(|group| group.active_thin_volumes(name) > 0);
    let zero = match &lv.kind {
        LvKind::ThinPool(pool) if pool.zero => 'z',
        LvKind::Thin { pool, .. } => {
            let zeroing = machine
                .lvm
                .vgs
                .get(vg)
                .and_then(|vg| vg.pool(pool))
                .is_some_and(|p| p.zero);
            if zeroing { 'z' } else { '-' }
        }
        LvKind::Thick { .. } | LvKind::CowSnapshot { .. } | LvKind::ThinPool(_) => '-',
    };
    let full = match &lv.kind {
        LvKind::ThinPool(pool) => pool.used_kib() + pool.chunk_kib > lv.size_kib,
        LvKind::Thick { .. } | LvKind::CowSnapshot { .. } | LvKind::Thin { .. } => false,
    };
    let health = if machine.is_broken(&Dev::Lv(vg.to_owned(), name.to_owned())) {
        'p'
    } else if full {
        'D'
    } else {
        '-'
    };
    let skip = if lv.skip_activation { 'k' } else { '-' };
    let open = if open { 'o' } else { '-' };
    let inherited = 'i';
    [
        kind, permission, inherited, '-', state, open, target, zero, health, skip,
    ]
    .iter()
    .collect()
}

/// `vgs`.
pub(crate) fn vgs(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &REPORT)?;
    let rows = wanted(machine, args.positional())?;
    let field = |(name, vg, _): &(&str, &Vg, Option<String>), field: &str, units: &Units| {
        vg_field(machine, (name, vg), field, units)
    };
    let defaults = "vg_name,pv_count,lv_count,vg_attr,vg_size,vg_free";
    Report {
        object: "vg",
        args: &args,
        rows,
        field: &field,
        defaults,
    }
    .print()
}

fn vg_field(
    machine: &Machine,
    (name, vg): (&str, &Vg),
    field: &str,
    units: &Units,
) -> Result<String, Missing> {
    let missing = vg.pvs.keys().filter(|pv| !machine.disks.contains_key(*pv));
    let missing = missing.count();
    Ok(match field {
        "vg_name" | "vg" => name.to_owned(),
        "vg_uuid" => vg.uuid.clone(),
        "vg_extent_size" => units.kib(vg.extent_kib),
        "vg_size" => units.kib(vg.total_extents() * vg.extent_kib),
        "vg_free" => units.kib(vg.free.len() as u64 * vg.extent_kib),
        "vg_extent_count" => vg.total_extents().to_string(),
        "vg_free_count" => vg.free.len().to_string(),
        "pv_count" => vg.pvs.len().to_string(),
        "lv_count" => vg.lvs.len().to_string(),
        "vg_attr" => format!(
            "wz{}{}n-",
            if vg.exported { 'x' } else { '-' },
            if missing > 0 { 'p' } else { '-' }
        ),
        "vg_tags" => vg.tags.iter().cloned().collect::<Vec<_>>().join(","),
        "vg_missing_pv_count" => missing.to_string(),
        "vg_lock_type" | "lock_type" => String::new(),
        other => return Err(Missing::new(format!("report field {other}"))),
    })
}

/// `pvs` and `pvdisplay --columns`, which print the same.
pub(crate) fn pvs(machine: &mut Machine, _: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &REPORT)?;
    let mut rows: Vec<(&str, &str, Option<&Vg>)> = Vec::new();
    for (vg_name, vg) in &machine.lvm.vgs {
        rows.extend(
            vg.pvs
                .keys()
                .map(|pv| (pv.as_str(), vg_name.as_str(), Some(vg))),
        );
    }
    rows.extend(
        machine
            .lvm
            .spare_pvs
            .iter()
            .map(|pv| (pv.as_str(), "", None)),
    );
    rows.sort_by_key(|(pv, ..)| *pv);
    rows.retain(|(pv, ..)| {
        args.positional().is_empty() || args.positional().iter().any(|wanted| wanted == pv)
    });
    let field = |(pv, vg_name, vg): &(&str, &str, Option<&Vg>), field: &str, units: &Units| {
        let disk_kib = machine.disks.get(*pv).map_or(0, |disk| disk.size_kib);
        let extents = vg.map_or(0, |vg| {
            vg.pvs.get(*pv).copied().unwrap_or(0) * vg.extent_kib
        });
        Ok(match (field, vg) {
            ("pv_name" | "pv", _) if machine.disks.contains_key(*pv) => (*pv).to_owned(),
            ("pv_name" | "pv", _) => "[unknown]".to_owned(),
            ("vg_name" | "vg", _) => (*vg_name).to_owned(),
            ("dev_size", _) => units.kib(disk_kib),
            ("pv_size", Some(_)) => units.kib(extents),
            ("pv_size" | "pv_free", None) => units.kib(disk_kib),
            ("pv_attr", Some(_)) => "a--".to_owned(),
            ("pv_attr", None) => "---".to_owned(),
            ("pv_missing", _) => String::new(),
            (other, Some(vg)) => vg_field(machine, (vg_name, vg), other, units)?,
            (other, None) => return Err(Missing::new(format!("report field {other}"))),
        })
    };
    let defaults = "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free";
    Report {
        object: "pv",
        args: &args,
        rows,
        field: &field,
        defaults,
    }
    .print()
}

/// `pvdisplay`, only with `--columns`.
pub(crate) fn pvdisplay(machine: &mut Machine, rng: &mut Rng, args: &[String]) -> ToolResult {
    if !args.iter().any(|arg| arg == "--columns" || arg == "-C") {
        return missing("pvdisplay without --columns");
    }
    pvs(machine, rng, args)
}
