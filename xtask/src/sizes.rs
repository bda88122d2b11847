//! Sizes on real kernels: two replicas in pools with different units have the same size, when they are made, when one
//! joins, when they grow and when a disk is removed and added; and no block differs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::growth::Side;
use crate::lab::Node;
use crate::story::{Drbd, drbd_kind};

const SYNC_LIMIT: Duration = Duration::from_secs(90);
/// The size of a new volume: a multiple of no unit but 4 KiB.
const SIZE_KIB: u64 = 40_004;
/// What it grows to.
const GROWN_KIB: u64 = 60_012;

/// A pool of one node.
struct Pool {
    /// Its subcommand of `linstor storage-pool create`.
    subcommand: &'static str,
    name: &'static str,
    location: &'static str,
    /// Creates the backing storage unless it exists.
    setup: &'static str,
    /// A property of the pool: options of new volumes.
    option: Option<(&'static str, &'static str)>,
}

/// Two pools for a volume.
pub struct Pair {
    first: &'static Pool,
    second: &'static Pool,
    /// The providers differ, which DRBD 8.4 cannot have.
    pub mixed: bool,
}

const fn pair(first: &'static Pool, second: &'static Pool, mixed: bool) -> Pair {
    Pair {
        first,
        second,
        mixed,
    }
}

const THICK: Pool = Pool {
    subcommand: "lvm",
    name: "uthick",
    location: "vgthick",
    setup: "vgs vgthick || { pvcreate -q /dev/ubda && vgcreate -q vgthick /dev/ubda; }",
    option: None,
};
/// Two disks, extents of 1 MiB.
const STRIPED: Pool = Pool {
    subcommand: "lvm",
    name: "ustriped",
    location: "vgstriped",
    setup: "vgs vgstriped || { mkdir -p /var/lib/linstor-pools && cd /var/lib/linstor-pools && \
            for n in 1 2; do truncate -s 200M pv$n && losetup /dev/loop5$n pv$n; done && \
            pvcreate -q /dev/loop51 /dev/loop52 && vgcreate -q -s 1m vgstriped /dev/loop51 /dev/loop52; }",
    option: Some(("StorDriver/LvcreateOptions", "-i 2")),
};
const THIN: Pool = Pool {
    subcommand: "lvmthin",
    name: "uthin",
    location: "vgthin/tp",
    setup: "vgs vgthin || { pvcreate -q /dev/ubdb && vgcreate -q vgthin /dev/ubdb && \
            lvcreate -q -T -l 90%FREE vgthin/tp; }",
    option: None,
};
const FILES: Pool = Pool {
    subcommand: "file",
    name: "ufiles",
    location: "/var/lib/linstor-pools/ufiles",
    setup: "mkdir -p /var/lib/linstor-pools/ufiles",
    option: None,
};
const SPARSE: Pool = Pool {
    subcommand: "filethin",
    name: "usparse",
    location: "/var/lib/linstor-pools/usparse",
    setup: "mkdir -p /var/lib/linstor-pools/usparse",
    option: None,
};

const fn zpool(subcommand: &'static str, name: &'static str, option: &'static str) -> Pool {
    Pool {
        subcommand,
        name,
        location: "tank",
        setup: "zpool list tank || zpool create -f tank /dev/ubdc",
        option: Some(("StorDriver/ZfscreateOptions", option)),
    }
}

const BLOCKS_4K: Pool = zpool("zfsthin", "u4k", "-b 4k");
const BLOCKS_16K: Pool = zpool("zfs", "u16k", "-b16K");
const BLOCKS_64K: Pool = zpool("zfs", "u64k", "-o volblocksize=64k");
const BLOCKS_128K: Pool = zpool("zfsthin", "u128k", "-ovolblocksize=128K");

/// On kernels without ZFS.
pub const LINUX: &[Pair] = &[
    pair(&THICK, &STRIPED, false),
    pair(&STRIPED, &THICK, false),
    pair(&FILES, &SPARSE, false),
    pair(&STRIPED, &THIN, true),
    pair(&THIN, &THICK, true),
];

/// On a kernel with ZFS.
pub const ZFS: &[Pair] = &[
    pair(&BLOCKS_4K, &BLOCKS_64K, false),
    pair(&BLOCKS_64K, &BLOCKS_16K, false),
    pair(&BLOCKS_16K, &BLOCKS_128K, false),
];

/// The name that a check has in the report.
impl Pair {
    /// For people.
    pub fn name(&self) -> String {
        format!("{}, then {}", self.first.name, self.second.name)
    }
}

/// One volume in pools of a pair.
pub fn check(cluster: &Cluster, pair: &Pair) -> Result<()> {
    let kind = drbd_kind(cluster)?;
    let begin = Instant::now();
    let nodes = cluster.lab.nodes();
    let homes = [(nodes[0], pair.first), (nodes[1], pair.second)];
    for (node, pool) in homes {
        create_pool(cluster, node, pool)?;
    }
    let resource = format!("sizes-{}-{}", pair.first.name, pair.second.name);
    let definition = |args: &[&str]| cluster.linstor(&[&["resource-definition"], args].concat());
    definition(&["create", &resource])?;
    definition(&["drbd-options", "--verify-alg", "crc32c", &resource])?;
    if pair.mixed {
        let key = "AllowMixingStoragePoolDriver";
        definition(&["set-property", &resource, key, "True"])?;
    }
    let size = format!("{SIZE_KIB}K");
    cluster.linstor(&["volume-definition", "create", &resource, &size])?;
    add(cluster, homes[0], &resource, 1)?;
    let before_kib = backing_kib(cluster, homes[0].0, &resource)?;
    add(cluster, homes[1], &resource, 2)?;
    let now_kib = backing_kib(cluster, homes[0].0, &resource)?;
    ensure!(
        now_kib == before_kib,
        "the first replica's storage had {before_kib} KiB and has {now_kib} KiB"
    );
    let sides = sides(cluster, &resource)?;
    same_size(&sides, SIZE_KIB)?;
    sides[0].role("primary")?;
    sides[0]
        .write(&["oflag=direct"])
        .or_else(|_| sides[0].write(&[]))?;
    sides[0].role("secondary")?;
    sides[0].verify()?;

    let size = format!("{GROWN_KIB}K");
    cluster.linstor(&["volume-definition", "set-size", &resource, "0", &size])?;
    cluster.wait_until("the device to grow", SYNC_LIMIT, || {
        Ok(sides[0].bytes()? >= GROWN_KIB * 1024)
    })?;
    cluster.wait_up_to_date(&resource, 2, SYNC_LIMIT)?;
    same_size(&sides, GROWN_KIB)?;
    sides[0].verify()?;

    let second = homes[1].0.to_string();
    if kind == Drbd::V9 {
        let disk = |more: &[&str]| {
            let args = ["resource", "toggle-disk", &second, &resource];
            cluster.linstor(&[&args[..], more].concat())
        };
        disk(&["--diskless"])?;
        cluster.wait_until("the disk to be removed", SYNC_LIMIT, || {
            let replicas = cluster.replicas(&resource)?;
            Ok(replicas
                .iter()
                .any(|row| row.node == second && row.diskless))
        })?;
        disk(&["--storage-pool", pair.second.name])?;
    } else {
        cluster.linstor(&["resource", "delete", &second, &resource])?;
        cluster.wait_until("the replica to be removed", SYNC_LIMIT, || {
            Ok(cluster.replicas(&resource)?.len() == 1)
        })?;
        add(cluster, homes[1], &resource, 2)?;
    }
    cluster.wait_up_to_date(&resource, 2, SYNC_LIMIT)?;
    same_size(&sides, GROWN_KIB)?;
    sides[0].verify()?;
    definition(&["delete", &resource])?;
    for (node, pool) in homes {
        let name = node.to_string();
        cluster.linstor(&["storage-pool", "delete", &name, pool.name])?;
    }
    println!("{}: {:.1} s", pair.name(), begin.elapsed().as_secs_f64());
    Ok(())
}

fn create_pool(cluster: &Cluster, node: Node, pool: &Pool) -> Result<()> {
    cluster.lab.exec_ok(node, &["sh", "-c", pool.setup])?;
    let name = node.to_string();
    let create = ["storage-pool", "create", pool.subcommand];
    let place = [name.as_str(), pool.name, pool.location];
    cluster.linstor(&[&create[..], &place[..]].concat())?;
    if let Some((key, value)) = pool.option {
        let set = ["storage-pool", "set-property", &name, pool.name, key, value];
        cluster.linstor(&set)?;
    }
    Ok(())
}

/// Creates a resource, which is then the last of so many.
fn add(cluster: &Cluster, (node, pool): (Node, &Pool), resource: &str, count: usize) -> Result<()> {
    let name = node.to_string();
    let create = [
        "resource",
        "create",
        &name,
        resource,
        "--storage-pool",
        pool.name,
    ];
    cluster.linstor(&create)?;
    cluster.wait_up_to_date(resource, count, SYNC_LIMIT)?;
    Ok(())
}

fn sides<'a>(cluster: &'a Cluster, resource: &'a str) -> Result<Vec<Side<'a>>> {
    let replicas = cluster.replicas(resource)?;
    let diskful = replicas.iter().filter(|replica| !replica.diskless);
    diskful
        .map(|replica| Side::of(cluster, resource, replica))
        .collect()
}

fn same_size(sides: &[Side<'_>], least_kib: u64) -> Result<()> {
    let sizes: Result<Vec<u64>> = sides.iter().map(Side::bytes).collect();
    let sizes = sizes?;
    ensure!(
        sizes.len() == 2 && sizes[0] == sizes[1] && sizes[0] >= least_kib * 1024,
        "the devices have {sizes:?} bytes, {least_kib} KiB were asked for"
    );
    Ok(())
}

/// Size of the device below DRBD on a node.
fn backing_kib(cluster: &Cluster, node: Node, resource: &str) -> Result<u64> {
    let file = format!("/var/lib/linstor.d/{resource}.res");
    let text = cluster.lab.exec_ok(node, &["cat", &file])?;
    let disks = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("disk /dev/"));
    let disk = disks.map(|rest| rest.trim_end_matches(';')).next();
    let device = format!("/dev/{}", disk.context("the file names a disk")?);
    let bytes = cluster
        .lab
        .exec_ok(node, &["blockdev", "--getsize64", &device])?;
    Ok(bytes.trim().parse::<u64>()? / 1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::providers;

    /// The document has a row for each check, and none for anything else.
    #[test]
    fn the_document_has_every_check() {
        let text = include_str!("../../docs/storage.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows = rows.filter_map(|rest| Some(rest.split_once('`')?.0.to_owned()));
        let pairs = LINUX.iter().chain(ZFS).map(Pair::name);
        let kinds = providers::LINUX.iter().chain(providers::ZFS);
        let kinds = kinds.map(|kind| kind.subcommand.to_owned());
        let checks: BTreeSet<String> = pairs.chain(kinds).collect();
        assert_eq!(rows.collect::<BTreeSet<_>>(), checks);
    }
}
