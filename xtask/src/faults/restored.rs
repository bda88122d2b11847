//! A snapshot that is taken while an application writes, a resource that is made of it on all nodes, and clones.

use anyhow::{Context, Result, ensure};

use super::{HEAL_LIMIT, create_both, delete, device, same_everywhere};
use crate::cluster::Cluster;
use crate::lab::{Exec, Node};

const SOURCE: &str = "written";
const COPY: &str = "restored";
const CLONE: &str = "cloned";
const SNAPSHOT: &str = "s1";
const MOUNT: &str = "/mnt/written";

/// The parts of the snapshot are the same on both nodes although a file system is written meanwhile; so is the resource
/// that is made of it, without a synchronisation, whose file system is clean and has what was there before the snapshot.
pub fn from_a_snapshot(cluster: &Cluster) -> Result<()> {
    let nodes = [cluster.node(2), cluster.node(3)];
    create_both(cluster, SOURCE, ["node2", "node3"])?;
    let bytes = write_and_take(cluster, nodes[0])?;
    let parts = sums(
        cluster,
        &nodes,
        &format!("{SOURCE}_00000_{SNAPSHOT}"),
        bytes,
    )?;
    ensure!(parts[0] == parts[1], "the parts of the snapshot differ");
    cluster.linstor(&["resource-definition", "create", COPY])?;
    let of = [
        "--from-resource",
        SOURCE,
        "--from-snapshot",
        SNAPSHOT,
        "--to-resource",
        COPY,
    ];
    let volumes = ["snapshot", "volume-definition", "restore"];
    cluster.linstor(&[&volumes[..], &of].concat())?;
    let resources = ["snapshot", "resource", "restore"];
    cluster.linstor(&[&resources[..], &of].concat())?;
    cluster.wait_up_to_date(COPY, 2, HEAL_LIMIT)?;
    let copies = sums(cluster, &nodes, &format!("{COPY}_00000"), bytes)?;
    ensure!(copies == parts, "the restored volumes are not the snapshot");
    not_synchronised(cluster, &nodes, COPY)?;
    for node in nodes {
        read(cluster, node)?;
    }
    same_everywhere(cluster, COPY, &nodes)?;
    cloned(cluster, &nodes, bytes)?;
    cluster.linstor(&["snapshot", "delete", SOURCE, SNAPSHOT])?;
    delete(cluster, SOURCE)?;
    // Without the snapshot it has its data still.
    read(cluster, nodes[1])?;
    delete(cluster, COPY)
}

/// A clone has what its source has now, on all nodes, without a synchronisation.
fn cloned(cluster: &Cluster, nodes: &[Node; 2], bytes: u64) -> Result<()> {
    let now = sums(cluster, nodes, &format!("{SOURCE}_00000"), bytes)?;
    ensure!(now[0] == now[1], "the replicas of the source differ");
    cluster.linstor(&["resource-definition", "clone", SOURCE, CLONE])?;
    cluster.wait_up_to_date(CLONE, 2, HEAL_LIMIT)?;
    let copies = sums(cluster, nodes, &format!("{CLONE}_00000"), bytes)?;
    ensure!(
        copies == now,
        "the clone is not its source: {copies:?}, {now:?}"
    );
    not_synchronised(cluster, nodes, CLONE)?;
    let volumes = cluster
        .lab
        .exec_ok(nodes[0], &["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
    ensure!(!volumes.contains("_CF_"), "its snapshot is left: {volumes}");
    same_everywhere(cluster, CLONE, nodes)?;
    delete(cluster, CLONE)
}

/// DRBD has copied nothing between these nodes.
fn not_synchronised(cluster: &Cluster, nodes: &[Node; 2], name: &str) -> Result<()> {
    for node in nodes {
        let log = cluster.lab.exec_ok(*node, &["dmesg"])?;
        // DRBD 9 begins one of nothing where it has compared equal data sets.
        let synchronised = |line: &&str| {
            line.contains(name) && line.contains("Began resync") && !line.contains("[0 bits set]")
        };
        let line = log.lines().find(synchronised);
        ensure!(line.is_none(), "{node} synchronised: {line:?}");
    }
    Ok(())
}

/// Makes a file system, and takes a snapshot between a file that is there and one that is being written. Returns the size
/// of the device.
fn write_and_take(cluster: &Cluster, node: Node) -> Result<u64> {
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    let path = device(cluster, SOURCE, node)?;
    on(&["drbdadm", "primary", SOURCE])?;
    on(&["mkfs.ext4", "-q", &path])?;
    on(&["mkdir", "-p", MOUNT])?;
    on(&["mount", &path, MOUNT])?;
    let file = format!("{MOUNT}/before");
    on(&["sh", "-c", &format!("seq 100000 > {file}; sync {file}")])?;
    let script = format!(
        "i=0; while [ ! -e {MOUNT}/stop ]; do i=$((i+1)); seq $i $((i+9999)) > {MOUNT}/during$((i%8)); sync; done"
    );
    let writer = cluster
        .lab
        .spawn(node, "writer", Exec::new(&["sh", "-c", &script]))?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let taken = cluster.linstor(&["snapshot", "create", SOURCE, SNAPSHOT]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    on(&["touch", &format!("{MOUNT}/stop")])?;
    cluster.lab.wait(&writer, HEAL_LIMIT)?;
    taken?;
    on(&["rm", &file])?;
    on(&["umount", MOUNT])?;
    let bytes = on(&["blockdev", "--getsize64", &path])?;
    on(&["drbdadm", "secondary", SOURCE])?;
    bytes.trim().parse().context("the size of a device")
}

/// Checksums of the first bytes of a logical volume on each node, as they are on the disk: DRBD writes below the page
/// cache of its backing device, which keeps what was once read of it.
fn sums(cluster: &Cluster, nodes: &[Node], volume: &str, bytes: u64) -> Result<Vec<String>> {
    let script = format!(
        "dd if=/dev/vg0/{volume} bs=1M count={bytes} iflag=direct,count_bytes status=none | sha256sum"
    );
    let sum = |node: &Node| cluster.lab.exec_ok(*node, &["sh", "-c", &script]);
    nodes.iter().map(sum).collect()
}

/// Checks the file system of the copy on a node, and the file that was there before the snapshot.
fn read(cluster: &Cluster, node: Node) -> Result<()> {
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    let path = device(cluster, COPY, node)?;
    on(&["drbdadm", "primary", COPY])?;
    on(&["mkdir", "-p", MOUNT])?;
    // Mounted, so that the journal is replayed.
    on(&["mount", &path, MOUNT])?;
    let file = format!("{MOUNT}/before");
    let same = on(&["sh", "-c", &format!("seq 100000 | cmp - {file}")]);
    on(&["umount", MOUNT])?;
    let clean = on(&["e2fsck", "-f", "-n", &path]);
    on(&["drbdadm", "secondary", COPY])?;
    same?;
    clean.map(drop)
}
