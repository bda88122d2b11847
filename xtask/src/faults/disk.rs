//! The storage below a replica fails, or is not there.

use anyhow::{Context, Result, ensure};

use super::{
    HEAL_LIMIT, create_both, delete, jobs_say, others_go_on, same_everywhere, undoing, write,
};
use crate::cluster::Cluster;
use crate::lab::Node;

/// LVM's own configuration of a machine.
const LVM_LOCAL: &str = "/etc/lvm/lvmlocal.conf";
/// Hides all disks from LVM, as if they were not there.
const NO_DISKS: &str = "devices { global_filter = [ \"r|.*|\" ] }\n";

/// The disk below the primary returns errors: its application goes on with the peer's data, and the disk is
/// synchronised once it works again.
pub fn failing(cluster: &Cluster) -> Result<()> {
    create_both(cluster, "failing", ["node2", "node3"])?;
    let (peer, victim) = (cluster.node(2), cluster.node(3));
    let on = |words: &[&str]| cluster.lab.exec_ok(victim, words);
    on(&["drbdadm", "primary", "failing"])?;
    write(cluster, "failing", victim, 0)?;
    let volume = "vg0-failing_00000";
    let table = on(&["dmsetup", "table", volume])?;
    let sectors = table
        .split_whitespace()
        .nth(1)
        .context("a table has a length")?
        .to_owned();
    let broken = || -> Result<()> {
        map(cluster, victim, volume, &format!("0 {sectors} error"))?;
        write(cluster, "failing", victim, 4)?;
        cluster.wait_until("the disk to be given up", HEAL_LIMIT, || {
            Ok(disk_state(cluster, "failing", victim)?.as_deref() == Some("Diskless"))
        })?;
        jobs_say(cluster, "failing", "node3", &["Input/output error"])?;
        ensure!(
            disk_state(cluster, "failing", peer)?.as_deref() == Some("UpToDate"),
            "the peer has no good copy"
        );
        others_go_on(cluster, "node3")?;
        write(cluster, "failing", victim, 8)
    };
    undoing(broken, || map(cluster, victim, volume, table.trim()))?;
    cluster.wait_up_to_date("failing", 2, HEAL_LIMIT)?;
    on(&["drbdadm", "secondary", "failing"])?;
    same_everywhere(cluster, "failing", &[peer, victim])?;
    delete(cluster, "failing")
}

/// What the device mapper does with a volume; LVM does not know.
fn map(cluster: &Cluster, node: Node, volume: &str, table: &str) -> Result<()> {
    let dmsetup = |words: &[&str]| {
        cluster
            .lab
            .exec_ok(node, &[&["dmsetup"], words].concat())
            .map(drop)
    };
    dmsetup(&["suspend", "--noflush", volume])?;
    let loaded = dmsetup(&["load", volume, "--table", table]);
    dmsetup(&["resume", volume])?;
    loaded
}

fn disk_state(cluster: &Cluster, resource: &str, node: Node) -> Result<Option<String>> {
    let replicas = cluster.replicas(resource)?;
    let replica = replicas
        .into_iter()
        .find(|replica| replica.node == node.to_string());
    Ok(replica.and_then(|replica| replica.disk_state))
}

/// A node boots without its disk; when the disk is back, one of its volumes is still gone for good.
pub fn missing(cluster: &Cluster) -> Result<()> {
    let (peer, victim) = (cluster.node(2), cluster.node(3));
    for name in ["hidden", "removed"] {
        create_both(cluster, name, ["node2", "node3"])?;
        cluster.lab.exec_ok(peer, &["drbdadm", "primary", name])?;
        write(cluster, name, peer, 0)?;
    }
    let lvm_local = cluster.lab.exec_ok(victim, &["cat", LVM_LOCAL])?;
    let without_disk = || -> Result<()> {
        cluster.lab.write_file(victim, LVM_LOCAL, NO_DISKS)?;
        cluster.lab.kill(victim)?;
        write(cluster, "hidden", peer, 4)?;
        cluster.lab.boot(victim)?;
        cluster.start_satellite(victim)?;
        let words = ["Volume group 'vg0' does not exist"];
        jobs_say(cluster, "hidden", "node3", &words)?;
        let pools = cluster.try_linstor(&["storage-pool", "list"])?.text;
        ensure!(
            pools.contains("(node3) Volume group 'vg0' does not exist"),
            "the pools do not say what is wrong: {pools}"
        );
        others_go_on(cluster, "node2")?;
        for name in ["hidden", "removed"] {
            write(cluster, name, peer, 8)?;
        }
        // The administrator sees the disk, and removes the wrong volume.
        let see = "devices { global_filter = [ \"a|.*|\" ] }";
        let remove = ["lvremove", "-q", "-f", "--config", see, "vg0/removed_00000"];
        cluster.lab.exec_ok(victim, &remove).map(drop)
    };
    undoing(without_disk, || {
        cluster
            .lab
            .write_file(victim, LVM_LOCAL, lvm_local.as_str())
    })?;
    for name in ["hidden", "removed"] {
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        cluster.lab.exec_ok(peer, &["drbdadm", "secondary", name])?;
        same_everywhere(cluster, name, &[peer, victim])?;
        delete(cluster, name)?;
    }
    Ok(())
}
