//! What goes, and what is down: data is elsewhere before it goes, and what could not be done meanwhile is made up for.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{HEAL_LIMIT, create_both, delete, device, jobs_say, undoing, write};
use crate::cluster::Cluster;
use crate::lab::Node;
use crate::story::{Drbd, drbd_kind};

/// DRBD connects again, the peer fetches what it lacks, and the satellite tries again after its pause.
const LEAVE_LIMIT: Duration = Duration::from_secs(150);
/// How large the volumes are at first.
const OLD_MIB: u32 = 20;
/// DRBD pings an idle peer every ten seconds.
const NOTICE_LIMIT: Duration = Duration::from_secs(40);

/// A replica that alone has what was written last is deleted: it says what it waits for, and goes when its peer has that.
pub fn replica(cluster: &Cluster) -> Result<()> {
    goes_after(cluster, "leaving", |cluster, name| {
        cluster.try_linstor(&["resource", "delete", "node3", name])?;
        jobs_say(cluster, name, "node3", &["last up-to-date"])
    })
}

/// The same where only the disk goes. DRBD 8.4 has no replicas without one, and says so.
pub fn disk(cluster: &Cluster) -> Result<()> {
    let toggle = ["resource", "toggle-disk", "--diskless", "node3"];
    if drbd_kind(cluster)? == Drbd::V84 {
        create_both(cluster, "shrinking", ["node2", "node3"])?;
        let answer = cluster.try_linstor(&[&toggle[..], &["shrinking"]].concat())?;
        ensure!(
            answer.code != 0 && answer.text.contains("8.4"),
            "it was taken: {}",
            answer.text
        );
        return delete(cluster, "shrinking");
    }
    goes_after(cluster, "shrinking", |cluster, name| {
        // The controller sees two good disks; only the nodes know that they are not the same.
        cluster.try_linstor(&[&toggle[..], &[name]].concat())?;
        Ok(())
    })
}

/// Something of node3 goes while node2 lacks what was written last; then node2 has it all.
fn goes_after(
    cluster: &Cluster,
    name: &str,
    ask: impl FnOnce(&Cluster, &str) -> Result<()>,
) -> Result<()> {
    create_both(cluster, name, ["node2", "node3"])?;
    let (behind, ahead) = (cluster.node(2), cluster.node(3));
    let mut written = String::new();
    let apart = || {
        let on = |words: &[&str]| cluster.lab.exec_ok(ahead, words);
        cluster.wait_until("DRBD to miss its peer", NOTICE_LIMIT, || {
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
            "the last copy is gone: {state}"
        );
        Ok(())
    };
    cluster.lab.cut(behind, ahead)?;
    undoing(apart, || cluster.lab.heal(behind, ahead))?;
    cluster.wait_until("the rest to have the data", LEAVE_LIMIT, || {
        if drbd_kind(cluster)? == Drbd::V9 && name == "shrinking" {
            // Refused by the controller as long as it sees that the other disk is behind.
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
    cluster.wait_until("its storage to be gone", HEAL_LIMIT, || {
        let volumes = cluster
            .lab
            .exec_ok(ahead, &["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
        Ok(!volumes.contains(name))
    })?;
    cluster.lab.exec_ok(behind, &["drbdadm", "primary", name])?;
    let kept = sum(cluster, name, behind, OLD_MIB)?;
    cluster
        .lab
        .exec_ok(behind, &["drbdadm", "secondary", name])?;
    ensure!(kept == written, "what was written last is lost");
    delete(cluster, name)
}

/// What the first so many MiB of a resource that is primary on the node contain.
fn sum(cluster: &Cluster, name: &str, node: Node, mib: u32) -> Result<String> {
    let device = device(cluster, name, node)?;
    let script = format!("head -c {mib}M {device} | sha256sum");
    cluster.lab.exec_ok(node, &["sh", "-c", &script])
}

/// A volume grows while a replica is deactivated: everybody says that it is waited for, and it is made up for then.
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
        "the answer does not say what it takes: {}",
        answer.text
    );
    if drbd_kind(cluster)? == Drbd::V84 {
        ensure!(answer.code != 0, "it was taken: {}", answer.text);
        cluster.linstor(&["resource", "activate", "node3", name])?;
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        cluster.linstor(&set_size)?;
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        return delete(cluster, name);
    }
    let jobs = cluster.linstor(&["-m", "jobs", "list"])?;
    ensure!(
        jobs.contains("deactivated"),
        "no job says what it waits for: {jobs}"
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
        let kept = sum(cluster, name, node, OLD_MIB)?;
        cluster.lab.exec_ok(node, &["drbdadm", "secondary", name])?;
        ensure!(kept == written, "{node} has something else than before");
    }
    delete(cluster, name)
}
