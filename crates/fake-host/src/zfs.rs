//! ZFS: pools, file systems, volumes, snapshots and clones.

mod pool;
mod stream;

use std::collections::BTreeMap;

use super::args::{Args, Options};
use super::content::{BLOCK_BYTES, Block, Blocks};
use super::machine::{Dev, IoFault, Machine, set};
use super::tool::{Rng, Stop, ToolOutput, ToolResult, fail, missing};

pub(crate) use pool::zpool;
pub(crate) use stream::receive;

/// Default volblocksize in KiB, in OpenZFS 2.2 and 2.1.
const BLOCK_SIZE_DEFAULT: u64 = 16 * 1024;
const BLOCK_SIZE_DEFAULT_2_1: u64 = 8 * 1024;
/// Space of a disk that a pool does not use: labels, and the rest after the last metaslab.
const LABEL_BYTES: u64 = 9 << 19;
const METASLAB_BYTES: u64 = 128 << 20;

/// All zpools of a machine. Durable, and imported at every boot.
#[derive(Debug, Default)]
pub(crate) struct Zfs {
    pub(crate) is_2_1: bool,
    pub(crate) pools: BTreeMap<String, Pool>,
    /// All datasets by full name; snapshots are `volume@snapshot`.
    datasets: BTreeMap<String, Dataset>,
    /// Number of snapshots that were taken.
    taken: u64,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) size_bytes: u64,
    /// `ONLINE`, `DEGRADED`, ...
    pub(crate) health: &'static str,
    pub(crate) read_only: bool,
}

#[derive(Debug, Clone)]
struct Dataset {
    kind: Kind,
    /// User properties, and other properties that were set explicitly.
    props: BTreeMap<String, String>,
    blocks: Blocks,
    size_bytes: u64,
    block_size: u64,
    /// Its whole size is reserved.
    thick: bool,
    origin: Option<String>,
    /// Of a snapshot: how many were taken before it.
    taken: u64,
    /// Of a snapshot: its identity, the same wherever it is received.
    guid: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Filesystem,
    Volume,
    Snapshot,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Filesystem => "filesystem",
            Kind::Volume => "volume",
            Kind::Snapshot => "snapshot",
        }
    }
}

impl Dataset {
    fn written(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK_BYTES
    }

    /// Bytes of blocks that are not those of another one.
    fn differs_from(&self, other: &Dataset) -> u64 {
        let own = self.blocks.iter();
        let differing = own.filter(|(number, block)| other.blocks.get(number) != Some(block));
        differing.count() as u64 * BLOCK_BYTES
    }
}

impl Zfs {
    /// Creates a zpool with its root file system.
    pub(crate) fn add_pool(&mut self, name: &str, size_bytes: u64) {
        let pool = Pool {
            size_bytes,
            health: "ONLINE",
            read_only: false,
        };
        self.pools.insert(name.to_owned(), pool);
        self.datasets.insert(name.to_owned(), filesystem());
    }

    pub(crate) fn is_volume(&self, name: &str) -> bool {
        self.volume(name).is_some()
    }

    fn volume(&self, name: &str) -> Option<&Dataset> {
        self.datasets
            .get(name)
            .filter(|dataset| dataset.kind == Kind::Volume)
    }

    /// Names of all volumes and snapshots.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let all = self.datasets.iter();
        let volumes = all.filter(|(_, dataset)| dataset.kind != Kind::Filesystem);
        volumes.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn volume_size_bytes(&self, name: &str) -> Option<u64> {
        self.volume(name).map(|volume| volume.size_bytes)
    }

    pub(crate) fn blocks(&self, name: &str) -> Option<&Blocks> {
        Some(&self.volume(name)?.blocks)
    }

    pub(crate) fn block_mut(&mut self, name: &str, block: u64) -> Option<&mut Block> {
        self.datasets.get_mut(name)?.blocks.get_mut(&block)
    }

    pub(crate) fn put(
        &mut self,
        name: &str,
        block: u64,
        content: Option<Block>,
    ) -> Result<(), IoFault> {
        let volume = self.volume(name).ok_or(IoFault)?;
        let grows = content.is_some() && !volume.blocks.contains_key(&block) && !volume.thick;
        if grows && self.available(name) < BLOCK_BYTES {
            return Err(IoFault);
        }
        let volume = self.datasets.get_mut(name).ok_or(IoFault)?;
        set(&mut volume.blocks, block, content);
        Ok(())
    }

    /// The space of a dataset alone: of a snapshot what the next one, or the volume, does not have; of a clone what its
    /// origin does not have.
    fn used(&self, name: &str, dataset: &Dataset) -> u64 {
        match dataset.kind {
            Kind::Filesystem => 0,
            Kind::Snapshot => {
                let volume = name.split('@').next().unwrap_or(name);
                let later = self.snapshots(volume);
                let mut later = later.filter(|(_, other)| other.taken > dataset.taken);
                let next = later.next().map(|(_, next)| next);
                let next = next.or_else(|| self.datasets.get(volume));
                next.map_or(0, |next| dataset.differs_from(next))
            }
            Kind::Volume => {
                let origin = dataset.origin.as_ref().and_then(|o| self.datasets.get(o));
                let own = origin.map_or(dataset.written(), |origin| dataset.differs_from(origin));
                if dataset.thick {
                    own.max(dataset.size_bytes)
                } else {
                    own
                }
            }
        }
    }

    /// The snapshots of a volume in the order in which they were taken.
    fn snapshots(&self, volume: &str) -> impl Iterator<Item = (&String, &Dataset)> {
        let below = format!("{volume}@");
        let all = self.datasets.iter();
        let mut found: Vec<_> = all.filter(|(name, _)| name.starts_with(&below)).collect();
        found.sort_by_key(|(_, snapshot)| snapshot.taken);
        found.into_iter()
    }

    fn used_below(&self, name: &str) -> u64 {
        let (inside, snapshots) = (format!("{name}/"), format!("{name}@"));
        let below = |other: &str| {
            other == name || other.starts_with(&inside) || other.starts_with(&snapshots)
        };
        self.datasets
            .iter()
            .filter(|(other, _)| below(other))
            .map(|(name, dataset)| self.used(name, dataset))
            .sum()
    }

    fn available(&self, name: &str) -> u64 {
        let pool = name.split(['/', '@']).next().unwrap_or(name);
        let size = self.pools.get(pool).map_or(0, |pool| pool.size_bytes);
        size.saturating_sub(self.used_below(pool))
    }

    /// What is below a dataset, as `zfs list` sorts: by name, the snapshots of one volume by the time they were taken.
    fn children(&self, name: &str) -> Vec<String> {
        let (inside, snapshots) = (format!("{name}/"), format!("{name}@"));
        let below = |other: &&String| other.starts_with(&inside) || other.starts_with(&snapshots);
        let mut names: Vec<String> = self.datasets.keys().filter(below).cloned().collect();
        names.sort_by_cached_key(|name| match name.split_once('@') {
            Some((volume, _)) => (volume.to_owned(), Some(self.datasets[name].taken)),
            None => (name.clone(), None),
        });
        names
    }

    /// A property as `zfs get -p` and `zfs list -p` print it.
    fn property(&self, name: &str, dataset: &Dataset, property: &str) -> Result<String, Stop> {
        let volume = dataset.kind == Kind::Volume;
        let number = |n: u64| Ok(n.to_string());
        match property {
            "name" => Ok(name.to_owned()),
            "type" => Ok(dataset.kind.as_str().to_owned()),
            "used" => number(self.used_below(name)),
            "refer" | "referenced" => number(dataset.written()),
            "available" | "avail" if dataset.kind != Kind::Snapshot => number(self.available(name)),
            "available" | "avail" => Ok("-".to_owned()),
            "volsize" if dataset.kind != Kind::Filesystem => number(dataset.size_bytes),
            "volblocksize" if volume => number(dataset.block_size),
            "volsize" | "volblocksize" => Ok("-".to_owned()),
            "quota" | "refquota" if dataset.kind == Kind::Filesystem => Ok(dataset
                .props
                .get(property)
                .cloned()
                .unwrap_or_else(|| "0".to_owned())),
            "origin" => Ok(dataset.origin.clone().unwrap_or_else(|| "-".to_owned())),
            "refreservation" => number(if dataset.thick { dataset.size_bytes } else { 0 }),
            "clones" => {
                let clones = self
                    .datasets
                    .iter()
                    .filter(|(_, d)| d.origin.as_deref() == Some(name));
                Ok(clones
                    .map(|(name, _)| name.as_str())
                    .collect::<Vec<_>>()
                    .join(","))
            }
            user if user.contains(':') => Ok(self.inherited(name, user)),
            other => missing(format!("zfs property {other}")),
        }
    }

    /// A user property, inherited from the parent datasets.
    fn inherited(&self, name: &str, property: &str) -> String {
        let mut at = name;
        loop {
            if let Some(value) = self.datasets.get(at).and_then(|d| d.props.get(property)) {
                return value.clone();
            }
            match at.rsplit_once(['/', '@']) {
                Some((above, _)) => at = above,
                None => return "-".to_owned(),
            }
        }
    }
}

fn filesystem() -> Dataset {
    Dataset {
        kind: Kind::Filesystem,
        props: BTreeMap::new(),
        blocks: Blocks::new(),
        size_bytes: 0,
        block_size: 0,
        thick: false,
        origin: None,
        taken: 0,
        guid: 0,
    }
}

/// `zfs`.
pub(crate) fn zfs(machine: &mut Machine, rng: &mut Rng, args: &[String]) -> ToolResult {
    let Some((command, args)) = args.split_first() else {
        return missing("zfs");
    };
    match command.as_str() {
        "list" => list(&machine.zfs, args),
        "get" => get(&machine.zfs, args),
        "create" => create(&mut machine.zfs, args),
        "set" => set_property(machine, args),
        "destroy" => destroy(machine, args),
        "rename" => rename(machine, args),
        "snapshot" => snapshot(&mut machine.zfs, rng, args),
        "send" => stream::send(&machine.zfs, args),
        "clone" => clone(&mut machine.zfs, args),
        "rollback" => rollback(machine, args),
        "version" | "--version" if machine.zfs.is_2_1 => Ok(ToolOutput::out(
            "zfs-2.1.11-1+deb12u1\nzfs-kmod-2.1.11-1+deb12u1\n",
        )),
        "version" | "--version" => Ok(ToolOutput::out("zfs-2.2.3-1\nzfs-kmod-2.2.3-1\n")),
        other => missing(format!("zfs {other}")),
    }
}

fn absent<T>(name: &str) -> Result<T, Stop> {
    fail(1, format!("cannot open '{name}': dataset does not exist\n"))
}

const LIST: Options = Options {
    flags: &["-r", "-H", "-p"],
    valued: &["-o", "-t", "-d", "-s"],
};

fn list(zfs: &Zfs, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &LIST)?;
    if !args.has("-H") || !args.has("-p") {
        return missing("zfs list without -H -p");
    }
    let columns: Vec<&str> = args.value("-o").unwrap_or("name").split(',').collect();
    let kinds: Vec<&str> = args
        .value("-t")
        .unwrap_or("filesystem,volume")
        .split(',')
        .collect();
    let roots: Vec<String> = match args.positional() {
        [] => zfs.pools.keys().cloned().collect(),
        named => named.to_vec(),
    };
    let mut text = String::new();
    for root in roots {
        if !zfs.datasets.contains_key(&root) {
            return absent(&root);
        }
        let mut names = vec![root.clone()];
        if args.has("-r") || args.positional().is_empty() {
            names.extend(zfs.children(&root));
        }
        for name in names {
            let dataset = &zfs.datasets[&name];
            if !kinds.contains(&dataset.kind.as_str()) && !kinds.contains(&"all") {
                continue;
            }
            let mut cells = Vec::new();
            for column in &columns {
                cells.push(zfs.property(&name, dataset, column)?);
            }
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
    }
    Ok(ToolOutput::out(text))
}

const GET: Options = Options {
    flags: &["-H", "-p", "-r"],
    valued: &["-o", "-t", "-s"],
};

fn get(zfs: &Zfs, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &GET)?;
    if !args.has("-H") || !args.has("-p") || args.has("-r") {
        return missing("zfs get other than -H -p");
    }
    let [properties, names @ ..] = args.positional() else {
        return missing("zfs get");
    };
    let columns: Vec<&str> = args
        .value("-o")
        .unwrap_or("name,property,value,source")
        .split(',')
        .collect();
    let mut text = String::new();
    for name in names {
        let Some(dataset) = zfs.datasets.get(name) else {
            return absent(name);
        };
        for property in properties.split(',') {
            let value = zfs.property(name, dataset, property)?;
            let cells = columns.iter().map(|column| match *column {
                "name" => name.as_str(),
                "property" => property,
                "value" => value.as_str(),
                _ => "-",
            });
            text.push_str(&cells.collect::<Vec<_>>().join("\t"));
            text.push('\n');
        }
    }
    Ok(ToolOutput::out(text))
}

/// Parses a size as `zfs` accepts it: `100KB`, `1G`, `4096`.
fn bytes(text: &str) -> Result<u64, Stop> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits]
        .parse()
        .or_else(|_| missing(format!("size {text}")))?;
    match text[digits..]
        .trim_end_matches(['B', 'b'])
        .trim_end_matches('i')
    {
        "" => Ok(number),
        "K" | "k" => Ok(number << 10),
        "M" | "m" => Ok(number << 20),
        "G" | "g" => Ok(number << 30),
        "T" | "t" => Ok(number << 40),
        _ => missing(format!("size {text}")),
    }
}

const CREATE: Options = Options {
    flags: &["-s", "-n", "-P", "-p", "-v"],
    valued: &["-V", "-o", "-b"],
};

fn create(zfs: &mut Zfs, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &CREATE)?;
    let name = args.only()?;
    if zfs.datasets.contains_key(name) {
        return fail(
            1,
            format!("cannot create '{name}': dataset already exists\n"),
        );
    }
    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
    if !zfs.datasets.contains_key(parent) {
        if !parent.contains('/') {
            return fail(1, format!("cannot open '{parent}': no such pool\n"));
        }
        return fail(
            1,
            format!("cannot create '{name}': no such pool '{parent}'\n"),
        );
    }
    let mut dataset = filesystem();
    dataset.props = settings(&args)?;
    if let Some(size) = args.value("-V") {
        let block_size = match args
            .value("-b")
            .or(dataset.props.get("volblocksize").map(String::as_str))
        {
            Some(text) => bytes(text)?,
            None if zfs.is_2_1 => BLOCK_SIZE_DEFAULT_2_1,
            None => BLOCK_SIZE_DEFAULT,
        };
        dataset.kind = Kind::Volume;
        dataset.block_size = block_size;
        dataset.size_bytes = bytes(size)?.next_multiple_of(block_size);
        dataset.thick = !args.has("-s");
    }
    if args.has("-n") {
        let mut text = format!("create\t{name}\n");
        if dataset.kind == Kind::Volume {
            text.push_str(&format!("property\tvolsize\t{}\n", dataset.size_bytes));
            if !zfs.is_2_1 {
                text.push_str(&format!("property\tvolblocksize\t{}\n", dataset.block_size));
            }
            if dataset.thick {
                let size = dataset.size_bytes;
                text.push_str(&format!("property\trefreservation\t{size}\n"));
            }
        }
        return if args.has("-P") {
            Ok(ToolOutput::out(text))
        } else {
            missing("zfs create -n without -P")
        };
    }
    if dataset.thick && zfs.available(parent) < dataset.size_bytes {
        return fail(1, format!("cannot create '{name}': out of space\n"));
    }
    zfs.datasets.insert(name.to_owned(), dataset);
    Ok(ToolOutput::nothing())
}

fn set_property(machine: &mut Machine, args: &[String]) -> ToolResult {
    let Some((name, settings)) = args.split_last() else {
        return missing("zfs set");
    };
    let zfs = &mut machine.zfs;
    let available = zfs.available(name);
    let Some(dataset) = zfs.datasets.get_mut(name) else {
        return absent(name);
    };
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            return missing(format!("zfs set {setting}"));
        };
        if key != "volsize" {
            dataset.props.insert(key.to_owned(), value.to_owned());
            continue;
        }
        let size = bytes(value)?;
        if !size.is_multiple_of(dataset.block_size.max(1)) {
            let text = format!(
                "cannot set property for '{name}': 'volsize' must be a multiple of volume block size ({}K)\n",
                dataset.block_size / 1024
            );
            return fail(1, text);
        }
        if dataset.thick && size > dataset.size_bytes + available {
            return fail(
                1,
                format!("cannot set property for '{name}': size is greater than available space\n"),
            );
        }
        dataset.size_bytes = size;
        dataset.blocks.split_off(&(size / BLOCK_BYTES));
    }
    Ok(ToolOutput::nothing())
}

const DESTROY: Options = Options {
    flags: &["-r", "-R", "-f", "-d", "-v"],
    valued: &[],
};

fn destroy(machine: &mut Machine, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &DESTROY)?;
    let name = args.only()?.to_owned();
    if !machine.zfs.datasets.contains_key(&name) {
        if name.contains('@') {
            return fail(
                1,
                "could not find any snapshots to destroy; check snapshot names.\n",
            );
        }
        return absent(&name);
    }
    if machine.user_of(&Dev::Zvol(name.clone())).is_some() {
        return fail(1, format!("cannot destroy '{name}': dataset is busy\n"));
    }
    let zfs = &mut machine.zfs;
    let clones: Vec<String> = zfs
        .datasets
        .iter()
        .filter(|(_, d)| {
            d.origin
                .as_deref()
                .is_some_and(|o| o == name || o.starts_with(&format!("{name}@")))
        })
        .map(|(clone, _)| clone.clone())
        .collect();
    if !clones.is_empty() && !args.has("-R") {
        return fail(
            1,
            format!(
                "cannot destroy '{name}': snapshot has dependent clones\n\
                 use '-R' to destroy the following datasets:\n{}\n",
                clones.join("\n")
            ),
        );
    }
    let children = zfs.children(&name);
    if !children.is_empty() && !args.has("-r") && !args.has("-R") {
        return fail(
            1,
            format!(
                "cannot destroy '{name}': volume has children\n\
                 use '-r' to destroy the following datasets:\n{}\n",
                children.join("\n")
            ),
        );
    }
    for gone in children.iter().chain(&clones).chain([&name]) {
        zfs.datasets.remove(gone);
    }
    Ok(ToolOutput::nothing())
}

fn rename(machine: &mut Machine, args: &[String]) -> ToolResult {
    let [old, new] = args else {
        return missing(format!("zfs rename {args:?}"));
    };
    let zfs = &mut machine.zfs;
    if zfs.datasets.contains_key(new) {
        return fail(
            1,
            format!("cannot rename '{old}': dataset already exists\n"),
        );
    }
    let Some(dataset) = zfs.datasets.remove(old) else {
        return absent(old);
    };
    zfs.datasets.insert(new.clone(), dataset);
    let below: Vec<String> = zfs.children(old);
    for name in below {
        if let Some(dataset) = zfs.datasets.remove(&name) {
            zfs.datasets
                .insert(name.replacen(old.as_str(), new, 1), dataset);
        }
    }
    for dataset in zfs.datasets.values_mut() {
        if let Some(origin) = &mut dataset.origin
            && (origin == old || origin.starts_with(&format!("{old}@")))
        {
            *origin = origin.replacen(old.as_str(), new, 1);
        }
    }
    machine
        .drbd
        .backing_renamed(&Dev::Zvol(old.clone()), &Dev::Zvol(new.clone()));
    Ok(ToolOutput::nothing())
}

const SNAPSHOT: Options = Options {
    flags: &["-r"],
    valued: &["-o"],
};

fn snapshot(zfs: &mut Zfs, rng: &mut Rng, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &SNAPSHOT)?;
    let props = settings(&args)?;
    for name in args.positional() {
        let Some((volume, _)) = name.split_once('@') else {
            return missing(format!("zfs snapshot {name}"));
        };
        let Some(source) = zfs.datasets.get(volume).cloned() else {
            return absent(volume);
        };
        if zfs.datasets.contains_key(name) {
            return fail(
                1,
                format!("cannot create snapshot '{name}': dataset already exists\n"),
            );
        }
        // What the volume has reserved is for new writes only, so all that it has must fit into the pool once more.
        let own = zfs.used(volume, &source).min(source.written());
        if source.thick && zfs.available(volume) < own {
            let text = format!("cannot create snapshot '{name}': out of space\n");
            return fail(1, text);
        }
        zfs.taken += 1;
        let snapshot = Dataset {
            kind: Kind::Snapshot,
            props: props.clone(),
            thick: false,
            origin: None,
            taken: zfs.taken,
            guid: rng.next() | 1,
            ..source
        };
        zfs.datasets.insert(name.clone(), snapshot);
    }
    Ok(ToolOutput::nothing())
}

fn clone(zfs: &mut Zfs, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &SNAPSHOT)?;
    let [snapshot, name] = args.positional() else {
        return missing("zfs clone");
    };
    let Some(source) = zfs.datasets.get(snapshot).cloned() else {
        return absent(snapshot);
    };
    if zfs.datasets.contains_key(name) {
        return fail(
            1,
            format!("cannot create '{name}': dataset already exists\n"),
        );
    }
    let mut props = settings(&args)?;
    let reserved = props.remove("refreservation");
    let reserved = reserved.map_or(Ok(0), |size| bytes(&size))?;
    if reserved > zfs.available(name) {
        return fail(1, format!("cannot create '{name}': out of space\n"));
    }
    let mut dataset = Dataset {
        kind: Kind::Volume,
        props,
        origin: Some(snapshot.clone()),
        thick: reserved > 0,
        guid: 0,
        ..source
    };
    dataset.block_size = dataset.block_size.max(512);
    zfs.datasets.insert(name.clone(), dataset);
    Ok(ToolOutput::nothing())
}

/// The properties that options `-o` set.
fn settings(args: &Args) -> Result<BTreeMap<String, String>, Stop> {
    let pairs = args
        .all("-o")
        .iter()
        .map(|option| match option.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => missing(format!("-o {option}")),
        });
    pairs.collect()
}

const ROLLBACK: Options = Options {
    flags: &["-r", "-R", "-f"],
    valued: &[],
};

fn rollback(machine: &mut Machine, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &ROLLBACK)?;
    let name = args.only()?;
    let Some(source) = machine.zfs.datasets.get(name).cloned() else {
        return absent(name);
    };
    let Some((volume, _)) = name.split_once('@') else {
        return missing(format!("zfs rollback {name}"));
    };
    let later = machine.zfs.snapshots(volume);
    let later: Vec<&str> = later
        .filter(|(_, other)| other.taken > source.taken)
        .map(|(name, _)| name.as_str())
        .collect();
    if !later.is_empty() {
        if args.has("-r") || args.has("-R") {
            return missing("zfs rollback that destroys snapshots");
        }
        let later = later.join("\n");
        return fail(
            1,
            format!(
                "cannot rollback to '{name}': more recent snapshots or bookmarks exist\n\
                 use '-r' to force deletion of the following snapshots and bookmarks:\n{later}\n"
            ),
        );
    }
    if machine.user_of(&Dev::Zvol(volume.to_owned())).is_some() {
        return fail(1, format!("cannot rollback '{volume}': dataset is busy\n"));
    }
    if let Some(volume) = machine.zfs.datasets.get_mut(volume) {
        volume.blocks = source.blocks;
        volume.size_bytes = source.size_bytes;
    }
    Ok(ToolOutput::nothing())
}
