//! ZFS: what is there, and one function per change.

use std::collections::BTreeMap;

use linstor_api::{code, unit};
use linstor_host::Cmd;

use crate::failure::{Failure, Result, bounded};
use crate::machine::Machine;
use crate::tools::error::ErrorKind;

/// The user property with a volume's owner.
pub const OWNER: &str = "linstor-rs:owner";
/// Columns that `zfs list` is asked for, in the order of [`parse`].
const COLUMNS: &str = "name,type,used,refer,volsize,volblocksize,origin,linstor-rs:owner";
/// The largest block size that ZFS chooses by itself, in KiB: pools of dRAID have large sectors.
const DEFAULT_BLOCK_KIB_MAX: u64 = 128;

/// A volume or snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// It is a snapshot.
    pub snapshot: bool,
    /// What it and what depends on it takes, or reserves.
    pub used_kib: u64,
    /// What it refers to.
    pub refer_kib: u64,
    /// Its size.
    pub size_kib: u64,
    /// Sizes are multiples of this.
    pub block_kib: u64,
    /// The snapshot that it is a clone of.
    pub origin: Option<String>,
    /// The value of [`OWNER`]. A snapshot without one of its own has that of its volume.
    pub owner: Option<String>,
}

/// Volumes and snapshots below a dataset by full name; `None` if the dataset is not there.
pub async fn list(machine: &Machine, dataset: &str) -> Result<Option<BTreeMap<String, Entry>>> {
    let cmd = Cmd::new("zfs")
        .args(["list", "-r", "-H", "-p", "-o", COLUMNS])
        .args(["-t", "volume,snapshot", dataset]);
    let output = machine.try_run(cmd).await?;
    if ErrorKind::of(&output) == Some(ErrorKind::NotFound) {
        return Ok(None);
    }
    parse_list(&output.ok()?.stdout).map(Some)
}

/// One volume or snapshot; `None` if it is not there.
pub async fn get(machine: &Machine, name: &str) -> Result<Option<Entry>> {
    let cmd = Cmd::new("zfs")
        .args(["list", "-H", "-p", "-o", COLUMNS])
        .args(["-t", "volume,snapshot", name]);
    let output = machine.try_run(cmd).await?;
    if ErrorKind::of(&output) == Some(ErrorKind::NotFound) {
        return Ok(None);
    }
    Ok(parse_list(&output.ok()?.stdout)?.remove(name))
}

fn parse_list(text: &str) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (name, entry) = parse(line).ok_or_else(|| {
            Failure::new(
                code::FAIL_UNKNOWN_ERROR,
                "The output of 'zfs list' is not understood.",
            )
            .details(bounded(line, 200))
        })?;
        entries.insert(name, entry);
    }
    Ok(entries)
}

fn parse(line: &str) -> Option<(String, Entry)> {
    let cells: Vec<&str> = line.split('\t').collect();
    let [name, kind, used, refer, volsize, block, origin, owner] = cells[..] else {
        return None;
    };
    let kib = |text: &str| text.parse::<u64>().map_or(0, |bytes| bytes / 1024);
    let given = |text: &str| (text != "-" && !text.is_empty()).then(|| text.to_owned());
    let entry = Entry {
        snapshot: kind == "snapshot",
        used_kib: kib(used),
        refer_kib: kib(refer),
        size_kib: kib(volsize),
        block_kib: kib(block),
        origin: given(origin),
        owner: given(owner),
    };
    Some((name.to_owned(), entry))
}

/// Space of a dataset, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What can still be written.
    pub available_kib: u64,
    /// What is taken, and what is reserved.
    pub used_kib: u64,
}

/// The space of a dataset; `None` if it does not exist.
pub async fn space(machine: &Machine, dataset: &str) -> Result<Option<Space>> {
    let cmd = Cmd::new("zfs")
        .args(["get", "-H", "-p", "-o", "property,value"])
        .args(["available,used", dataset]);
    let output = machine.try_run(cmd).await?;
    if ErrorKind::of(&output) == Some(ErrorKind::NotFound) {
        return Ok(None);
    }
    Ok(Some(parse_space(&output.ok()?.stdout)))
}

fn parse_space(text: &str) -> Space {
    let kib = |property: &str| {
        let value = text
            .lines()
            .filter_map(|l| l.split_once(char::is_whitespace))
            .find(|(name, _)| *name == property);
        value
            .and_then(|(_, v)| v.trim().parse::<u64>().ok())
            .map_or(0, |bytes| bytes / 1024)
    };
    Space {
        available_kib: kib("available"),
        used_kib: kib("used"),
    }
}

/// The state of a zpool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolState {
    /// `ONLINE` when all is well.
    pub health: String,
    /// It is imported read-only.
    pub read_only: bool,
}

/// The state of a zpool; `None` if it is not imported.
pub async fn pool_state(machine: &Machine, pool: &str) -> Result<Option<PoolState>> {
    let cmd = Cmd::new("zpool").args(["list", "-H", "-p", "-o", "health,readonly", pool]);
    let output = machine.try_run(cmd).await?;
    if ErrorKind::of(&output) == Some(ErrorKind::NotFound) {
        return Ok(None);
    }
    Ok(parse_pool_state(&output.ok()?.stdout))
}

/// Reads a line of `zpool list`.
pub(crate) fn parse_pool_state(text: &str) -> Option<PoolState> {
    let mut words = text.split_whitespace();
    Some(PoolState {
        health: words.next()?.to_owned(),
        read_only: words.next() == Some("on"),
    })
}

/// Makes a zpool of devices and the words that combine them; `force` has it taken although there is something on them.
pub async fn create_pool(
    machine: &Machine,
    name: &str,
    vdevs: &[String],
    force: bool,
    arguments: &[String],
) -> Result<()> {
    let cmd = Cmd::new("zpool").args(["create", "-m", "none"]);
    let cmd = cmd
        .args(force.then_some("-f"))
        .args(arguments.iter().cloned());
    machine
        .run(cmd.arg(name).args(vdevs.iter().cloned()))
        .await
        .map(drop)
}

/// Creates a volume with its owner's property in one step.
pub async fn create(
    machine: &Machine,
    volume: &str,
    size_kib: u64,
    sparse: bool,
    owner: &str,
    options: &[String],
) -> Result<()> {
    let mut cmd = Cmd::new("zfs").arg("create");
    if sparse {
        cmd = cmd.arg("-s");
    }
    let cmd = cmd
        .arg("-V")
        .arg(format!("{size_kib}KB"))
        .arg("-o")
        .arg(format!("{OWNER}={owner}"))
        .args(options.iter().cloned())
        .arg(volume);
    machine.run(cmd).await.map(drop)
}

/// Grows a volume.
pub async fn resize(machine: &Machine, volume: &str, size_kib: u64) -> Result<()> {
    let cmd = Cmd::new("zfs")
        .arg("set")
        .arg(format!("volsize={size_kib}KB"))
        .arg(volume);
    machine.run(cmd).await.map(drop)
}

/// Destroys a volume or snapshot that nothing depends on. Fails while it is open.
pub async fn destroy(machine: &Machine, name: &str) -> Result<()> {
    machine
        .run(Cmd::new("zfs").args(["destroy", name]))
        .await
        .map(drop)
}

/// Destroys a volume with its snapshots. Fails while it is open, or received into, or a snapshot has clones.
pub async fn destroy_with_snapshots(machine: &Machine, volume: &str) -> Result<()> {
    let cmd = Cmd::new("zfs").args(["destroy", "-r", volume]);
    machine.run(cmd).await.map(drop)
}

/// The command that writes the stream of a snapshot, or of what changed since an earlier one of the same volume.
pub fn send(snapshot: &str, base: Option<&str>) -> Cmd {
    let cmd = Cmd::new("zfs").arg("send");
    let cmd = match base {
        Some(base) => cmd.args(["-i", base]),
        None => cmd,
    };
    cmd.arg(snapshot)
}

/// How many bytes [`send`] will write, about.
pub async fn send_bytes(machine: &Machine, snapshot: &str, base: Option<&str>) -> Result<u64> {
    let cmd = Cmd::new("zfs").args(["send", "-n", "-P"]);
    let cmd = match base {
        Some(base) => cmd.args(["-i", base]),
        None => cmd,
    };
    let printed = machine.run(cmd.arg(snapshot)).await?.stdout;
    let mut lines = printed.lines();
    let size = lines.find_map(|line| line.strip_prefix("size")?.trim().parse().ok());
    size.ok_or_else(|| {
        Failure::new(
            code::FAIL_UNKNOWN_ERROR,
            "The output of 'zfs send -n -P' is not understood.",
        )
        .details(bounded(&printed, 200))
    })
}

/// The command that reads a stream into a new volume with its owner's property, or on top of its most recent snapshot.
pub fn receive(snapshot: &str, owner: &str, is_first: bool) -> Cmd {
    let cmd = Cmd::new("zfs").arg("receive");
    let cmd = match is_first {
        true => cmd.arg("-o").arg(format!("{OWNER}={owner}")),
        // Whatever has touched the volume meanwhile is taken back.
        false => cmd.arg("-F"),
    };
    cmd.arg(snapshot)
}

/// Takes a snapshot, with its owner's property, in one step.
pub async fn snapshot(
    machine: &Machine,
    name: &str,
    owner: &str,
    options: Vec<String>,
) -> Result<()> {
    let cmd = Cmd::new("zfs").args(["snapshot", "-o"]);
    let cmd = cmd.arg(format!("{OWNER}={owner}")).args(options);
    machine.run(cmd.arg(name)).await.map(drop)
}

/// Makes a volume of a snapshot, with its owner's property, in one step; one with a reservation of this many KiB if any.
pub async fn clone(
    machine: &Machine,
    snapshot: &str,
    volume: &str,
    owner: &str,
    reserved_kib: Option<u64>,
) -> Result<()> {
    let mut cmd = Cmd::new("zfs").args(["clone", "-o"]);
    cmd = cmd.arg(format!("{OWNER}={owner}"));
    if let Some(kib) = reserved_kib {
        cmd = cmd.arg("-o").arg(format!("refreservation={kib}KB"));
    }
    machine.run(cmd.args([snapshot, volume])).await.map(drop)
}

/// Gives a volume the content of its most recent snapshot. Fails if there is a later one, and while it is open.
pub async fn roll_back(machine: &Machine, snapshot: &str) -> Result<()> {
    let cmd = Cmd::new("zfs").args(["rollback", snapshot]);
    machine.run(cmd).await.map(drop)
}

/// Gives a volume or a snapshot another name.
pub async fn rename(machine: &Machine, name: &str, new: &str) -> Result<()> {
    let cmd = Cmd::new("zfs").args(["rename", name, new]);
    machine.run(cmd).await.map(drop)
}

/// Changes the owner's property of a volume or a snapshot.
pub async fn set_owner(machine: &Machine, name: &str, owner: &str) -> Result<()> {
    let cmd = Cmd::new("zfs").arg("set");
    let cmd = cmd.arg(format!("{OWNER}={owner}")).arg(name);
    machine.run(cmd).await.map(drop)
}

/// What the size of a new volume with these options has to be a multiple of, in KiB: a command is run only if the options
/// do not say it and it matters for this size.
pub async fn new_block_kib(
    machine: &Machine,
    dataset: &str,
    size_kib: u64,
    options: &[String],
) -> Result<u64> {
    if let Some(kib) = unit::volume_block_kib(options) {
        return Ok(kib);
    }
    if size_kib.is_multiple_of(DEFAULT_BLOCK_KIB_MAX) {
        return Ok(DEFAULT_BLOCK_KIB_MAX);
    }
    let kib = default_block_kib(machine, dataset, options).await?;
    Ok(kib.unwrap_or(DEFAULT_BLOCK_KIB_MAX))
}

/// The block size that a new volume would get, in KiB.
pub async fn default_block_kib(
    machine: &Machine,
    dataset: &str,
    options: &[String],
) -> Result<Option<u64>> {
    let cmd = Cmd::new("zfs")
        .args(["create", "-n", "-P", "-s", "-V", "1048576KB"])
        .args(options.iter().cloned())
        .arg(format!("{dataset}/linstor_dry_run"));
    if let Some(kib) = parse_block_size(&machine.run(cmd).await?.stdout) {
        return Ok(Some(kib));
    }
    // Versions before 2.2 do not print the default.
    let output = machine.run(Cmd::new("zfs").arg("version")).await?;
    Ok(default_of_version(&output.stdout))
}

fn parse_block_size(text: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["property", "volblocksize", size] => unit::size_kib(size),
            _ => None,
        }
    })
}

/// What a new volume with a reservation reserves beyond its size, in thousandths of its size: the volume's own metadata,
/// and the parity of raidz, which for small blocks is as large as the data.
pub async fn overhead_permille(
    machine: &Machine,
    dataset: &str,
    options: &[String],
) -> Result<Option<u32>> {
    let cmd = Cmd::new("zfs")
        .args(["create", "-n", "-P", "-V", "1048576KB"])
        .args(options.iter().cloned())
        .arg(format!("{dataset}/linstor_dry_run"));
    Ok(parse_overhead(&machine.run(cmd).await?.stdout))
}

fn parse_overhead(text: &str) -> Option<u32> {
    let bytes = |key: &str| {
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let found = words.next() == Some("property") && words.next() == Some(key);
            found.then(|| words.next()?.parse::<u64>().ok()).flatten()
        })
    };
    let (size, reserved) = (bytes("volsize")?, bytes("refreservation")?);
    let beyond = reserved.checked_sub(size)?;
    let permille = u128::from(beyond) * 1000 / u128::from(size.max(1));
    u32::try_from(permille).ok()
}

/// OpenZFS 2.2 doubled the default.
fn default_of_version(text: &str) -> Option<u64> {
    let version = text.lines().next()?.trim().strip_prefix("zfs-")?;
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(if (major, minor) >= (2, 2) { 16 } else { 8 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume, a snapshot of it, and a volume without owner.
    #[test]
    fn entries_are_read() {
        let line = "tank/r_00000\tvolume\t1073741824\t57344\t104857600\t8192\ttank/a@s\tc/r";
        let (name, entry) = parse(line).unwrap();
        assert_eq!(name, "tank/r_00000");
        assert_eq!((entry.size_kib, entry.block_kib), (102_400, 8));
        assert_eq!(entry.owner.as_deref(), Some("c/r"));
        assert_eq!(entry.origin.as_deref(), Some("tank/a@s"));
        let line = "tank/r_00000@s\tsnapshot\t0\t57344\t104857600\t-\t-\t-";
        let (_, snapshot) = parse(line).unwrap();
        assert!(snapshot.snapshot && snapshot.owner.is_none());
    }

    /// Space properties and the dry run's block size.
    #[test]
    fn numbers_are_read() {
        let space = parse_space("available\t1024000\nused\t2048\n");
        assert_eq!((space.available_kib, space.used_kib), (1000, 2));
        // On raidz a volume reserves more than its size.
        let thick = "create\ttank/x\nproperty\tvolblocksize\t8192\nproperty\trefreservation\t1610612736\nproperty\tvolsize\t1073741824\n";
        assert_eq!(parse_overhead(thick), Some(500));
        assert_eq!(
            parse_overhead("create\ttank/x\nproperty\tvolsize\t1073741824\n"),
            None
        );
        let dry = "create\ttank/linstor_dry_run\nproperty\tvolsize\t1073741824\nproperty\tvolblocksize\t16384\n";
        assert_eq!(parse_block_size(dry), Some(16));
        // With `-o volblocksize=64k` it prints what it was given.
        assert_eq!(parse_block_size("property\tvolblocksize\t64k\n"), Some(64));
        let old = "zfs-2.1.11-1+deb12u1\nzfs-kmod-2.1.11-1+deb12u1\n";
        assert_eq!(default_of_version(old), Some(8));
        assert_eq!(default_of_version("zfs-2.2.3-1\n"), Some(16));
    }

    proptest::proptest! {
        /// Whatever ZFS prints, nothing panics.
        #[test]
        fn never_panics(line in ".{0,100}") {
            let _ = (parse(&line), parse_space(&line), parse_block_size(&line));
            let _ = (parse_overhead(&line), parse_pool_state(&line));
        }
    }
}
