//! A clone of thick volumes on real kernels: their data is copied from a snapshot that is removed afterwards.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::lab::Node;
use crate::providers;

const LIMIT: Duration = Duration::from_secs(120);
const POOL: &str = "cthick";
const SOURCE: &str = "thicksource";
const CLONE: &str = "thickclone";
const BYTES: u64 = 40 << 20;

/// Both replicas of the clone have what the source had; nothing else is left in the volume group.
pub fn check(cluster: &Cluster) -> Result<()> {
    let kind = &providers::LINUX[0];
    let nodes = &cluster.lab.nodes()[..2];
    for node in nodes {
        kind.set_up(cluster, *node)?;
        let name = node.to_string();
        cluster.linstor(&[
            "storage-pool",
            "create",
            kind.subcommand,
            &name,
            POOL,
            kind.location,
        ])?;
    }
    cluster.linstor(&["resource-definition", "create", SOURCE])?;
    let size = format!("{}M", BYTES >> 20);
    cluster.linstor(&["volume-definition", "create", SOURCE, &size])?;
    let place = ["--auto-place", "2", "--storage-pool", POOL];
    cluster.linstor(&[&["resource", "create", SOURCE], &place[..]].concat())?;
    cluster.wait_up_to_date(SOURCE, 2, LIMIT)?;
    let replicas = cluster.replicas(SOURCE)?;
    let device = replicas.iter().find_map(|replica| replica.device.clone());
    let device = device.unwrap_or_default();
    let fill = format!(
        "drbdadm primary {SOURCE} && dd if=/dev/urandom of={device} bs=1M count={} oflag=direct status=none; \
         drbdadm secondary {SOURCE}",
        BYTES >> 20
    );
    cluster.lab.exec_ok(nodes[0], &["sh", "-c", &fill])?;
    let before = sums(cluster, nodes, SOURCE)?;
    ensure!(before[0] == before[1], "the replicas of the source differ");
    cluster.linstor(&["resource-definition", "clone", SOURCE, CLONE])?;
    cluster.wait_up_to_date(CLONE, 2, LIMIT)?;
    let after = sums(cluster, nodes, CLONE)?;
    ensure!(
        after == before,
        "the clone is not its source: {after:?}, {before:?}"
    );
    for node in nodes {
        let list = ["lvs", "--noheadings", "-o", "lv_name", kind.location];
        let volumes = cluster.lab.exec_ok(*node, &list)?;
        ensure!(
            !volumes.contains("_CF_"),
            "{node} has a snapshot left: {volumes}"
        );
    }
    let refused = cluster.try_linstor(&["snapshot", "create", SOURCE, "s1"])?;
    ensure!(
        refused.text.contains("does not support snapshots"),
        "a snapshot of a thick volume is taken: {}",
        refused.text
    );
    for resource in [CLONE, SOURCE] {
        cluster.linstor(&["resource-definition", "delete", resource])?;
    }
    for node in nodes {
        cluster.linstor(&["storage-pool", "delete", &node.to_string(), POOL])?;
    }
    Ok(())
}

/// Checksums of the data on each node, read from the disk: DRBD writes below the page cache of its backing device.
fn sums(cluster: &Cluster, nodes: &[Node], resource: &str) -> Result<Vec<String>> {
    let vg = providers::LINUX[0].location;
    let script = format!(
        "dd if=/dev/{vg}/{resource}_00000 bs=1M count={} iflag=direct status=none | sha256sum",
        BYTES >> 20
    );
    let sum = |node: &Node| cluster.lab.exec_ok(*node, &["sh", "-c", &script]);
    nodes.iter().map(sum).collect()
}
