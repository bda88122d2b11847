//! Deletions and inactive resources: no replica is deleted before its data is on another one, and an inactive resource
//! is resized when it is activated.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{HEAL_LIMIT, create_both, delete, device, undoing, wait_for_job, write};
use crate::cluster::Cluster;
use crate::lab::Node;
use crate::story::{Drbd, drbd_kind};

/// Time for DRBD to reconnect and resynchronise the peer, and for the satellite's next attempt.
const LEAVE_LIMIT: Duration = Duration::from_secs(150);
/// Initial size of the volumes.
const OLD_MIB: u32 = 20;
/// DRBD pings an idle peer every ten seconds.
const NOTICE_LIMIT: Duration = Duration::from_secs(40);

/// A replica with the only UpToDate data is deleted: it reports what it waits for, and is deleted once its peer is
/// UpToDate.
pub fn replica(cluster: &Cluster) -> Result<()> {
    goes_after(cluster, "leaving", |cluster, name| {
        cluster.try_linstor(&["resource", "delete", "node3", name])?;
        wait_for_job(cluster, name, "node3", &["last up-to-date"])
    })
}

/// The same for removing only the disk. DRBD 8.4 has no diskless replicas, and the request is refused.
pub fn disk(cluster: &Cluster) -> Result<()> {
    let toggle = ["resource", "toggle-disk", "--diskless", "node3"];
    if drbd_kind(cluster)? == Drbd::V84 {
        create_both(cluster, "shrinking", ["node2", "node3"])?;
        let answer = cluster.try_linstor(&[&toggle[..], &["shrinking"]].concat())?;
        ensure!(
            answer.code != 0 && answer.text.contains("8.4"),
            "the request was accepted: {}",
            answer.text
        );
        return delete(cluster, "shrinking");
    }
    goes_after(cluster, "shrinking", |cluster, name| {
        // The controller knows two UpToDate disks; only the nodes know that they differ.
        cluster.try_linstor(&[&toggle[..], &[name]].concat())?;
        Ok(())
    })
}

/// A replica or disk of node3 is removed while node2 lacks the last writes; afterwards node2 has them.
fn goes_after(
    cluster: &Cluster,
    name: &str,
    ask: impl FnOnce(&Cluster, &str) -> Result<()>,
) -> Result<()> {
    create_both(cluster, name, ["node2", "node3"])?;
    let (behind, ahead) = (cluster.node(2), cluster.node(3));
    let mut written = String::new();
    let apart = || {
        let on = |argv: &[&str]| cluster.lab.exec_ok(ahead, argv);
        cluster.wait_until("DRBD to detect the lost connection", NOTICE_LIMIT, || {
            Ok(on(&["drbdsetup", "status", name])?.contains("connection:"))
        })?;
        on(&["drbdadm", "primary", name])?;
        write(cluster, name, ahead, 4)?;
        written = sum(cluster, name, ahead, OLD_MIB)?;
        on(&["drbdadm", "secondary", name])?;
        ask(cluster, name)?;
        let state = on(&["drbdsetup", "status", name])?;
        ensure!(
            state.contains("disk:UpToDate"),
            "the last UpToDate disk was removed: {state}"
        );
        Ok(())
    };
    cluster.lab.cut(behind, ahead)?;
    undoing(apart, || cluster.lab.heal(behind, ahead))?;
    cluster.wait_until("the other replica to have the data", LEAVE_LIMIT, || {
        if drbd_kind(cluster)? == Drbd::V9 && name == "shrinking" {
            // The controller refuses this until it knows that the other disk is UpToDate.
            cluster.try_linstor(&["resource", "toggle-disk", "--diskless", "node3", name])?;
        }
        let replicas = cluster.replicas(name)?;
        let disks: Vec<&str> = replicas
            .iter()
            .filter(|replica| !replica.diskless)
            .map(|replica| replica.node.as_str())
            .collect();
        Ok(disks == ["node2"])
    })?;
    cluster.wait_until("the backing volume to be deleted", HEAL_LIMIT, || {
        let volumes = cluster
            .lab
            .exec_ok(ahead, &["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
        Ok(!volumes.contains(name))
    })?;
    cluster.lab.exec_ok(behind, &["drbdadm", "primary", name])?;
    let found = sum(cluster, name, behind, OLD_MIB)?;
    cluster
        .lab
        .exec_ok(behind, &["drbdadm", "secondary", name])?;
    ensure!(found == written, "the last writes are lost");
    delete(cluster, name)
}

/// Checksum of the first MiB of a resource that is primary on the node.
fn sum(cluster: &Cluster, name: &str, node: Node, mib: u32) -> Result<String> {
    let device = device(cluster, name, node)?;
    let script = format!("head -c {mib}M {device} | sha256sum");
    cluster.lab.exec_ok(node, &["sh", "-c", &script])
}

/// A volume is resized while a replica is inactive: answer and jobs report what it waits for, and the resize completes
/// after the activation.
pub fn growth_while_inactive(cluster: &Cluster) -> Result<()> {
    let name = "resting";
    create_both(cluster, name, ["node2", "node3"])?;
    let (up, down) = (cluster.node(2), cluster.node(3));
    cluster.lab.exec_ok(up, &["drbdadm", "primary", name])?;
    write(cluster, name, up, 4)?;
    let written = sum(cluster, name, up, OLD_MIB)?;
    cluster.lab.exec_ok(up, &["drbdadm", "secondary", name])?;
    cluster.linstor(&["resource", "deactivate", "node3", name])?;
    let set_size = ["volume-definition", "set-size", name, "0", "60M"];
    let answer = cluster.try_linstor(&set_size)?;
    ensure!(
        answer.text.to_lowercase().contains("activate"),
        "the answer does not name the inactive resource: {}",
        answer.text
    );
    if drbd_kind(cluster)? == Drbd::V84 {
        ensure!(
            answer.code != 0,
            "the request was accepted: {}",
            answer.text
        );
        cluster.linstor(&["resource", "activate", "node3", name])?;
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        cluster.linstor(&set_size)?;
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        return delete(cluster, name);
    }
    let jobs = cluster.linstor(&["-m", "jobs", "list"])?;
    ensure!(
        jobs.contains("deactivated"),
        "no job names the inactive resource: {jobs}"
    );
    cluster.linstor(&["resource", "activate", "node3", name])?;
    cluster.wait_until("both devices to grow", HEAL_LIMIT, || {
        for node in [up, down] {
            let device = device(cluster, name, node)?;
            let size = format!("/sys/block/{}/size", device.trim_start_matches("/dev/"));
            let sectors = cluster.lab.exec_ok(node, &["cat", &size])?;
            if sectors.trim().parse::<u64>()? * 512 < 60 << 20 {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
    for node in [up, down] {
        cluster.lab.exec_ok(node, &["drbdadm", "primary", name])?;
        let found = sum(cluster, name, node, OLD_MIB)?;
        cluster.lab.exec_ok(node, &["drbdadm", "secondary", name])?;
        ensure!(found == written, "the data on {node} has changed");
    }
    delete(cluster, name)
}
