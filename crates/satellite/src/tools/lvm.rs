//! LVM: what is there, and one function per change.

use std::collections::{BTreeMap, BTreeSet};

use linstor_api::code;
use linstor_host::Cmd;

use crate::failure::{Failure, Result};
use crate::machine::Machine;

/// Columns that `lvs` is asked for, in the order of [`parse_lv`]; the group's own follow each.
const LV_COLUMNS: &str = "lv_name,lv_path,lv_size,pool_lv,data_percent,metadata_percent,lv_attr,\
                          chunk_size,lv_tags,vg_extent_size,vg_size,vg_free,vg_missing_pv_count,vg_attr";
/// Columns that `vgs` is asked for, in the order of [`parse_vg`].
const VG_COLUMNS: &str = "vg_extent_size,vg_size,vg_free,vg_missing_pv_count,vg_attr";
/// How many of the columns are the group's.
const VG_COLUMN_COUNT: usize = 5;
/// DRBD devices may hold LVM signatures of guests; scanning them would keep them open.
pub(super) const NO_DRBD: &str = r#"devices { filter=["r|^/dev/drbd.*|"] }"#;
/// A volume group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VolumeGroup {
    /// Volumes are multiples of this.
    pub extent_kib: u64,
    /// Its size.
    pub size_kib: u64,
    /// What no volume takes.
    pub free_kib: u64,
    /// Its volumes by name.
    pub volumes: BTreeMap<String, LogicalVolume>,
    /// Its physical volumes.
    pub devices: BTreeSet<String>,
    /// Physical volumes that were not found.
    pub missing_devices: u32,
    /// The letters of `vg_attr`.
    pub attr: String,
}

/// A logical volume.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogicalVolume {
    /// Its device.
    pub path: String,
    /// Its size.
    pub size_kib: u64,
    /// The thin pool that it is in.
    pub pool: Option<String>,
    /// How much of it, or of the thin pool that it is, is allocated.
    pub data_percent: Option<f64>,
    /// How full a thin pool's metadata is.
    pub metadata_percent: Option<f64>,
    /// The letters of `lv_attr`.
    pub attr: String,
    /// Chunk size of a thin pool.
    pub chunk_kib: u64,
    /// Its tags.
    pub tags: BTreeSet<String>,
}

impl LogicalVolume {
    /// Whether it has a device with a table (`lvs(8)`, the state in `lv_attr`). A suspended one has: activating it
    /// would resume its I/O.
    pub fn is_active(&self) -> bool {
        matches!(
            self.attr.as_bytes().get(4),
            Some(b'a' | b's' | b'I' | b'S' | b'm' | b'M' | b'c' | b'C')
        )
    }

    /// Whether a thin pool works: it is active itself, or through an active volume of it. The latter shows in its numbers,
    /// and not in `lv_attr`.
    pub fn is_in_use(&self) -> bool {
        self.is_active() || self.data_percent.is_some()
    }

    /// Whether it is a snapshot of a thick volume.
    pub fn is_copy_on_write(&self) -> bool {
        matches!(self.attr.as_bytes().first(), Some(b's' | b'S'))
    }

    /// Whether it is a thin pool.
    pub fn is_thin_pool(&self) -> bool {
        self.attr.starts_with('t')
    }

    /// Whether new chunks of the thin pool are zeroed.
    pub fn zeroes(&self) -> bool {
        self.attr.as_bytes().get(7) == Some(&b'z')
    }
}

/// The state of a volume group; `None` if it does not exist. `known` are its physical volumes as of the last query,
/// which saves a scan of all disks.
pub async fn observe(
    machine: &Machine,
    vg: &str,
    known: Option<BTreeSet<String>>,
) -> Result<Option<VolumeGroup>> {
    if let Some(devices) = known.filter(|d| !d.is_empty()) {
        match with_devices(machine, vg, devices).await {
            Ok(group) if group.missing_devices == 0 => return Ok(Some(group)),
            // Its physical volumes changed, or it does not exist any more.
            Ok(_) | Err(_) => {}
        }
    }
    let devices = devices(machine, vg).await?;
    if devices.is_empty() {
        return Ok(None);
    }
    with_devices(machine, vg, devices).await.map(Some)
}

async fn with_devices(
    machine: &Machine,
    vg: &str,
    devices: BTreeSet<String>,
) -> Result<VolumeGroup> {
    let filter = filter(devices.iter().map(String::as_str));
    let cmd = report("lvs", LV_COLUMNS, &filter).arg(vg);
    let lvs = match machine.try_run(cmd).await?.ok() {
        Ok(output) => output.stdout,
        Err(error) => {
            refuse_exported(machine, vg, &filter).await?;
            return Err(error.into());
        }
    };
    let mut group = None;
    let mut volumes = BTreeMap::new();
    for line in lvs.lines().filter(|l| !l.trim().is_empty()) {
        let (own, of_group) = split_columns(line).ok_or_else(|| not_understood("lvs", line))?;
        let (name, volume) = parse_lv(own).ok_or_else(|| not_understood("lvs", line))?;
        volumes.insert(name, volume);
        group = group.or(parse_vg(of_group));
    }
    let mut group = match group {
        Some(group) => group,
        // A group without volumes.
        None => {
            let cmd = report("vgs", VG_COLUMNS, &filter).arg(vg);
            let vgs = machine.run(cmd).await?.stdout;
            parse_vg(&vgs).ok_or_else(|| not_understood("vgs", &vgs))?
        }
    };
    group.volumes = volumes;
    group.devices = devices;
    Ok(group)
}

/// LVM lists no volumes of an exported group, so that it must not be taken for an empty one.
async fn refuse_exported(machine: &Machine, vg: &str, filter: &str) -> Result<()> {
    let cmd = report("vgs", VG_COLUMNS, filter).arg(vg);
    let group = parse_vg(&machine.try_run(cmd).await?.stdout);
    match group.is_some_and(|group| group.attr.as_bytes().get(2) == Some(&b'x')) {
        true => Err(Failure::new(
            code::FAIL_STOR_POOL_CONFIGURATION_ERROR,
            format!("Volume group '{vg}' cannot be used."),
        )
        .cause("It is exported, so that LVM makes nothing of it available.")
        .correction(format!("Run 'vgimport {vg}'."))),
        false => Ok(()),
    }
}

/// Splits a line of `lvs` into the volume's columns and the group's.
fn split_columns(line: &str) -> Option<(&str, &str)> {
    let (at, _) = line.rmatch_indices(';').nth(VG_COLUMN_COUNT - 1)?;
    Some((&line[..at], &line[at + 1..]))
}

/// A line as a pool and its group.
#[cfg(test)]
pub(crate) fn parse_line(line: &str) -> Option<(LogicalVolume, VolumeGroup)> {
    let (own, of_group) = split_columns(line)?;
    Some((parse_lv(own)?.1, parse_vg(of_group)?))
}

async fn devices(machine: &Machine, vg: &str) -> Result<BTreeSet<String>> {
    let cmd = report("pvs", "pv_name", NO_DRBD)
        .arg("-S")
        .arg(format!("vg_name={vg}"));
    let listed = machine.run(cmd).await?.stdout;
    Ok(listed
        .lines()
        .map(str::trim)
        // A missing one is printed as `[unknown]`.
        .filter(|l| l.starts_with('/'))
        .map(str::to_owned)
        .collect())
}

/// A harmless command that fails where LVM cannot work.
pub fn probe() -> Cmd {
    report("vgs", "vg_name", NO_DRBD)
}

/// A change of a volume group: everything but its own devices is hidden from LVM.
pub struct Change<'a> {
    machine: &'a Machine,
    vg: &'a str,
    filter: String,
}

/// What a new volume is.
#[derive(Debug, Clone, Default)]
pub struct NewVolume<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its size, in KiB.
    pub size_kib: u64,
    /// The thin pool, for a thin one.
    pub thin_pool: Option<&'a str>,
    /// Its tag.
    pub tag: &'a str,
    /// `--type`, if it was asked for.
    pub segment_type: Option<&'a str>,
    /// Further options, split and checked.
    pub options: Vec<String>,
    /// Only on these physical volumes; on any if there is none.
    pub devices: Vec<String>,
}

impl<'a> Change<'a> {
    /// Prepares changes of a volume group that was observed.
    pub fn of(machine: &'a Machine, vg: &'a str, group: &VolumeGroup) -> Self {
        Change {
            machine,
            vg,
            filter: filter(group.devices.iter().map(String::as_str)),
        }
    }

    /// Creates a volume with its tag in one step.
    pub async fn create(&self, new: &NewVolume<'_>) -> Result<()> {
        let mut cmd = self.cmd("lvcreate").arg("-y");
        cmd = match new.thin_pool {
            Some(pool) => cmd
                .arg("--virtualsize")
                .arg(format!("{}k", new.size_kib))
                .arg(self.vg)
                .args(["--thinpool", pool]),
            None => cmd
                .arg("--size")
                .arg(format!("{}k", new.size_kib))
                .arg(self.vg),
        };
        cmd = cmd.args(["--name", new.name, "--addtag", new.tag]);
        if let Some(segment_type) = new.segment_type {
            cmd = cmd.args(["--type", segment_type]);
        }
        let cmd = cmd.args(new.options.iter().cloned());
        self.run(cmd.args(new.devices.iter().cloned())).await
    }

    /// Takes a snapshot of a thin volume: read-only, active, and not activated together with its group.
    ///
    /// I/O waits meanwhile, so that it is not waited for what has time until later: udev's links to the new device, and
    /// `dmeventd`, which watches the pool already.
    pub async fn snapshot(
        &self,
        volume: &str,
        name: &str,
        tag: &str,
        options: Vec<String>,
    ) -> Result<()> {
        let cmd = self.cmd("lvcreate").args(["-y", "--snapshot"]);
        let cmd = cmd
            .args(["--setactivationskip", "y", "--ignoreactivationskip"])
            .args(["--activate", "y", "--permission", "r"])
            .args(["--noudevsync", "--ignoremonitoring"])
            .args(["--name", name, "--addtag", tag])
            .args(options);
        self.run(cmd.arg(self.full(volume))).await
    }

    /// Takes a snapshot of a thick volume, read-only, with this much room for what is overwritten in either.
    pub async fn copy_on_write(
        &self,
        volume: &str,
        name: &str,
        room_kib: u64,
        tag: &str,
    ) -> Result<()> {
        let cmd = self.cmd("lvcreate").args(["-y", "--snapshot", "--size"]);
        let cmd = cmd.arg(format!("{room_kib}k")).args([
            "--permission",
            "r",
            "--name",
            name,
            "--addtag",
            tag,
        ]);
        self.run(cmd.arg(self.full(volume))).await
    }

    /// Makes a thin volume with the content of a snapshot.
    pub async fn restore(&self, snapshot: &str, name: &str, tag: &str) -> Result<()> {
        let cmd = self.cmd("lvcreate").args(["-y", "--snapshot"]);
        let cmd = cmd
            .args(["--setactivationskip", "n", "--activate", "y"])
            .args(["--name", name, "--addtag", tag]);
        self.run(cmd.arg(self.full(snapshot))).await
    }

    /// The physical volumes of the group that options of `pvs` select, in their order.
    pub async fn select_devices(&self, options: Vec<String>) -> Result<Vec<String>> {
        let cmd = report("pvs", "pv_name", &self.filter).args(options);
        let listed = self.machine.run(cmd).await?.stdout;
        let paths = listed.lines().map(str::trim);
        Ok(paths
            .filter(|l| l.starts_with('/'))
            .map(str::to_owned)
            .collect())
    }

    /// Grows a volume.
    pub async fn resize(&self, name: &str, size_kib: u64) -> Result<()> {
        let cmd = self.cmd("lvresize").arg("--size");
        let cmd = cmd.arg(format!("{size_kib}k")).arg("-f");
        self.run(cmd.arg(self.full(name))).await
    }

    /// Removes a volume.
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.run(self.cmd("lvremove").arg("-f").arg(self.full(name)))
            .await
    }

    /// Makes a volume's device appear.
    pub async fn activate(&self, name: &str) -> Result<()> {
        let cmd = self.cmd("lvchange").args(["-ay", "-K"]);
        self.run(cmd.arg(self.full(name))).await
    }

    /// Makes a volume what a snapshot is: read-only, and not activated with its group.
    pub async fn seal(&self, name: &str) -> Result<()> {
        let cmd = self.cmd("lvchange");
        let cmd = cmd.args(["--permission", "r", "--setactivationskip", "y"]);
        self.run(cmd.arg(self.full(name))).await
    }

    /// Makes a volume's device disappear. Fails while it is open, after LVM has waited some seconds.
    pub async fn deactivate(&self, name: &str) -> Result<()> {
        self.run(self.cmd("lvchange").arg("-an").arg(self.full(name)))
            .await
    }

    /// Makes a thin pool zero new chunks.
    pub async fn zero_new_chunks(&self, pool: &str) -> Result<()> {
        let cmd = self.cmd("lvchange").args(["--zero", "y"]);
        self.run(cmd.arg(self.full(pool))).await
    }

    fn cmd(&self, program: &'static str) -> Cmd {
        Cmd::new(program).args(["--config", self.filter.as_str()])
    }

    fn full(&self, name: &str) -> String {
        format!("{}/{name}", self.vg)
    }

    async fn run(&self, cmd: Cmd) -> Result<()> {
        self.machine.run(cmd).await.map(drop)
    }
}

pub(super) fn report(program: &'static str, columns: &str, config: &str) -> Cmd {
    Cmd::new(program)
        .args(["--config", config])
        .args(["-o", columns, "--separator", ";"])
        .args(["--noheadings", "--units", "k", "--nosuffix"])
}

/// LVM's configuration in which it sees these devices and no other.
pub(super) fn filter<'a>(devices: impl IntoIterator<Item = &'a str>) -> String {
    let mut accepted: String = devices
        .into_iter()
        .map(|device| format!(r#""a|^{}$|", "#, pattern(device)))
        .collect();
    accepted.push_str(r#""r|.*|""#);
    format!("devices {{ filter=[{accepted}] }}")
}

/// The device mapper's name of a logical volume: hyphens in names are doubled, one joins the two.
pub fn mapped_name(vg: &str, name: &str) -> String {
    let doubled = |name: &str| name.replace('-', "--");
    format!("{}-{}", doubled(vg), doubled(name))
}

/// A path as a regular expression: names as `a+b` have characters that mean something in one.
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '.' | '+' | '*' | '?' | '(' | ')' | '{' | '}' | '$' => {
                pattern.extend(['[', c, ']']);
            }
            c if c.is_ascii_alphanumeric() || "/_-:,=@#%~".contains(c) => pattern.push(c),
            // A character that the configuration or the expression would read as something else.
            _ => pattern.push('.'),
        }
    }
    pattern
}

fn not_understood(program: &str, text: &str) -> Failure {
    Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("The output of '{program}' is not understood."),
    )
    .details(crate::failure::bounded(text, 200))
}

fn parse_vg(text: &str) -> Option<VolumeGroup> {
    let line = text.lines().find(|l| !l.trim().is_empty())?;
    let cells: Vec<&str> = line.trim().split(';').collect();
    let [extent, size, free, missing, attr] = cells[..] else {
        return None;
    };
    Some(VolumeGroup {
        extent_kib: kib(extent)?,
        size_kib: kib(size)?,
        free_kib: kib(free)?,
        missing_devices: missing.trim().parse().ok()?,
        attr: attr.trim().to_owned(),
        ..VolumeGroup::default()
    })
}

fn parse_lv(line: &str) -> Option<(String, LogicalVolume)> {
    let cells: Vec<&str> = line.trim().split(';').map(str::trim).collect();
    let [name, path, size, pool, data, metadata, attr, chunk, tags] = cells[..] else {
        return None;
    };
    let percent = |text: &str| text.parse::<f64>().ok().filter(|p| p.is_finite());
    let volume = LogicalVolume {
        path: path.to_owned(),
        size_kib: kib(size)?,
        pool: (!pool.is_empty()).then(|| pool.to_owned()),
        data_percent: percent(data),
        metadata_percent: percent(metadata),
        attr: attr.to_owned(),
        chunk_kib: kib(chunk).unwrap_or(0),
        tags: tags
            .split(',')
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    Some((name.to_owned(), volume))
}

/// A size as LVM prints it with `--units k --nosuffix`: `1048576.00`, in some locales with a comma.
fn kib(text: &str) -> Option<u64> {
    let whole = text.trim().split(['.', ',']).next()?;
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What LVM 2.03 prints for a thin pool, a tagged thin volume and a thick one.
    #[test]
    fn volumes_are_read() {
        let pool = parse_lv("  thin;;307200.00;;7.31;11.13;twi-aotz--;64.00;").unwrap();
        assert_eq!(pool.0, "thin");
        assert!(pool.1.is_thin_pool() && pool.1.zeroes());
        assert_eq!((pool.1.chunk_kib, pool.1.data_percent), (64, Some(7.31)));
        let line = "  r_00000;/dev/vg0/r_00000;153600.00;thin;0.00;;Vwi-a-tz--;0;linstor-rs.a.b,x";
        let (_, thin) = parse_lv(line).unwrap();
        assert_eq!(thin.pool.as_deref(), Some("thin"));
        assert!(thin.is_active() && thin.tags.contains("linstor-rs.a.b"));
        let (_, thick) = parse_lv("  t;/dev/vg0/t;4096.00;;;;-wi-------;0;").unwrap();
        assert!(!thick.is_active() && thick.pool.is_none() && thick.data_percent.is_none());
        let states = [('s', true), ('d', false), ('i', false), ('X', false)];
        for (state, active) in states {
            let line = format!("  t;/dev/vg0/t;4096.00;;;;-wi-{state}-----;0;");
            assert_eq!(parse_lv(&line).unwrap().1.is_active(), active, "{state}");
        }
    }

    /// A volume group's numbers.
    #[test]
    fn a_group_is_read() {
        let group = parse_vg("  4096.00;1044480.00;0;0;wz--n-\n").unwrap();
        assert_eq!(
            (group.extent_kib, group.size_kib, group.free_kib),
            (4096, 1_044_480, 0)
        );
        assert!(parse_vg("  4096.00;x\n").is_none());
        let line = "  thin;;307200.00;;7.31;11.13;twi-aotz--;64.00;;4096.00;1044480.00;0;1;wz-pn-";
        let (own, of_group) = split_columns(line).unwrap();
        assert!(parse_lv(own).is_some());
        assert_eq!(parse_vg(of_group).unwrap().missing_devices, 1);
    }

    #[test]
    fn names_in_the_device_mapper() {
        assert_eq!(mapped_name("vg0", "Data_00000"), "vg0-Data_00000");
        assert_eq!(mapped_name("a-b", "c--d"), "a--b-c----d");
    }

    /// LVM sees the group's own devices and nothing else.
    #[test]
    fn the_filter_ends_with_reject_all() {
        assert_eq!(
            filter(["/dev/sda", "/dev/mapper/a+b.c"]),
            r#"devices { filter=["a|^/dev/sda$|", "a|^/dev/mapper/a[+]b[.]c$|", "r|.*|"] }"#
        );
        assert_eq!(pattern(r#"/dev/a"]\|b"#), "/dev/a....b");
    }

    proptest::proptest! {
        /// Whatever LVM prints, nothing panics.
        #[test]
        fn never_panics(line in ".{0,100}") {
            let _ = (parse_lv(&line), parse_vg(&line), split_columns(&line));
        }
    }
}
