//! Nodes that leave: emptied, evicted, and lost with what they come back with.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{
    HEAL_LIMIT, create_both, create_second, delete, same_everywhere, undoing, wait_for_node,
};
use crate::cluster::Cluster;
use crate::report::Skip;
use crate::story::{Drbd, drbd_kind};

/// An offline node is evicted a minute after it went offline, and that is noticed at intervals.
const EVICTION_LIMIT: Duration = Duration::from_secs(180);

/// A lost node comes back with the old replica in its kernel and on its disks: that is not served, is listed, and is removed
/// when it is asked for, after which the node takes a new replica.
pub fn lost_and_back(cluster: &Cluster) -> Result<()> {
    let (name, node) = ("stale", cluster.node(3));
    let address = node.address().to_string();
    create_both(cluster, name, ["node2", "node3"])?;
    cluster.lab.kill(node)?;
    wait_for_node(cluster, "node3", "OFFLINE")?;
    cluster.linstor(&["node", "lost", "node3"])?;
    let replicas = cluster.replicas(name)?;
    ensure!(
        replicas.iter().all(|replica| replica.node != "node3"),
        "the replica of a lost node is still there"
    );
    cluster.lab.boot(node)?;
    cluster.start_satellite(node)?;
    cluster.linstor(&["node", "create", "node3", &address])?;
    wait_for_node(cluster, "node3", "ONLINE")?;
    cluster.linstor(&[
        "storage-pool",
        "create",
        "lvmthin",
        "node3",
        "pool",
        "vg0/thin",
    ])?;
    cluster.wait_until("the old replica to be down", HEAL_LIMIT, || {
        let status = cluster.lab.exec(node, &["drbdsetup", "status", name])?;
        Ok(!String::from_utf8_lossy(&status.stdout).contains("disk:"))
    })?;
    let list = cluster.linstor(&["node", "forget", "node3"])?;
    ensure!(list.contains("stale_00000"), "not listed: {list}");
    let volumes = || {
        let lvs = ["lvs", "--noheadings", "-o", "lv_name", "vg0"];
        cluster.lab.exec_ok(node, &lvs)
    };
    ensure!(
        volumes()?.contains("stale_00000"),
        "the list has removed it"
    );
    cluster.linstor(&["node", "forget", "--yes", "node3"])?;
    ensure!(!volumes()?.contains("stale_00000"), "it was not removed");
    let list = cluster.linstor(&["node", "forget", "node3"])?;
    ensure!(!list.contains("stale_00000"), "still listed: {list}");
    create_second(cluster, name, "node3")?;
    cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
    same_everywhere(cluster, name, &[cluster.node(2), node])?;
    delete(cluster, name)
}

/// A node is emptied: its replica is deleted once another node has the data; then it is restored.
pub fn emptied(cluster: &Cluster) -> Result<()> {
    if drbd_kind(cluster)? == Drbd::V84 {
        bail!(Skip(
            "DRBD 8.4 has two replicas, so that none can be made before the other one goes"
        ));
    }
    let name = "moving";
    create_both(cluster, name, ["node2", "node3"])?;
    let body = || {
        for _ in 0..2 {
            cluster.linstor(&["node", "evacuate", "node3"])?;
        }
        cluster.wait_until("the replica to be on node1", HEAL_LIMIT, || {
            let replicas = cluster.replicas(name)?;
            let diskful = replicas.iter().filter(|replica| !replica.diskless);
            let nodes: Vec<&str> = diskful.map(|replica| replica.node.as_str()).collect();
            Ok(nodes == ["node1", "node2"])
        })?;
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        same_everywhere(cluster, name, &[cluster.node(1), cluster.node(2)])
    };
    undoing(body, || {
        cluster.linstor(&["node", "restore", "node3"]).map(drop)
    })?;
    delete(cluster, name)
}

/// A node without power is evicted after its time, and another one takes its place; it comes back evicted and is restored.
pub fn evicted(cluster: &Cluster) -> Result<()> {
    if drbd_kind(cluster)? == Drbd::V84 {
        bail!(Skip(
            "DRBD 8.4 has two replicas, so that none can be made while the other one is away"
        ));
    }
    let (name, node) = ("evicted", cluster.node(3));
    create_both(cluster, name, ["node2", "node3"])?;
    let set = |key: &str, value: &str| {
        let key = format!("DrbdOptions/{key}");
        cluster
            .linstor(&["node", "set-property", "node3", &key, value])
            .map(drop)
    };
    set("AutoEvictAfterTime", "1")?;
    set("AutoEvictAllowEviction", "True")?;
    cluster.lab.kill(node)?;
    let body = || {
        cluster.wait_until("the node to be evicted", EVICTION_LIMIT, || {
            let nodes = cluster.linstor(&["-m", "node", "list"])?;
            Ok(nodes.contains("EVICTED"))
        })?;
        cluster.wait_until("another node to have the data", HEAL_LIMIT, || {
            let replicas = cluster.replicas(name)?;
            let mut replicas = replicas.iter().filter(|replica| replica.node == "node1");
            Ok(replicas.any(|replica| replica.disk_state.as_deref() == Some("UpToDate")))
        })
    };
    undoing(body, || {
        cluster.lab.boot(node)?;
        cluster.start_satellite(node)?;
        let restore = ["node", "restore", "--delete-resources", "node3"];
        cluster.linstor(&restore)?;
        wait_for_node(cluster, "node3", "ONLINE")?;
        set("AutoEvictAllowEviction", "False")
    })?;
    cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
    delete(cluster, name)
}
