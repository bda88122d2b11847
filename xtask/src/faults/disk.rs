//! The storage below a replica fails or is missing.

use anyhow::{Context, Result, ensure};

use super::{
    HEAL_LIMIT, create_both, delete, others_go_on, same_everywhere, undoing, wait_for_job, write,
};
use crate::cluster::Cluster;
use crate::lab::Node;

/// LVM's own configuration of a machine.
const LVM_LOCAL: &str = "/etc/lvm/lvmlocal.conf";
/// Hides all disks from LVM, as if they did not exist.
const NO_DISKS: &str = "devices { global_filter = [ \"r|.*|\" ] }\n";

/// The disk below the primary returns errors: DRBD detaches it, the application continues with the peer's data, and the
/// disk is resynchronised once it works again.
pub fn failing(cluster: &Cluster) -> Result<()> {
    create_both(cluster, "failing", ["node2", "node3"])?;
    let (peer, victim) = (cluster.node(2), cluster.node(3));
    let on = |argv: &[&str]| cluster.lab.exec_ok(victim, argv);
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
        cluster.wait_until("the failed disk to be detached", HEAL_LIMIT, || {
            Ok(disk_state(cluster, "failing", victim)?.as_deref() == Some("Diskless"))
        })?;
        wait_for_job(cluster, "failing", "node3", &["Input/output error"])?;
        ensure!(
            disk_state(cluster, "failing", peer)?.as_deref() == Some("UpToDate"),
            "the peer's disk is not UpToDate"
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

/// Replaces the device mapper table of a volume, without LVM.
fn map(cluster: &Cluster, node: Node, volume: &str, table: &str) -> Result<()> {
    let dmsetup = |args: &[&str]| {
        cluster
            .lab
            .exec_ok(node, &[&["dmsetup"], args].concat())
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

/// A node boots without its disk; when the disk is back, one of its volumes has been removed for good.
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
        let texts = ["Volume group 'vg0' does not exist"];
        wait_for_job(cluster, "hidden", "node3", &texts)?;
        let pools = cluster.try_linstor(&["storage-pool", "list"])?.text;
        ensure!(
            pools.contains("(node3) Volume group 'vg0' does not exist"),
            "the storage pool list does not report the missing volume group: {pools}"
        );
        others_go_on(cluster, "node2")?;
        for name in ["hidden", "removed"] {
            write(cluster, name, peer, 8)?;
        }
        // The administrator makes the disk visible, and removes the wrong volume.
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
