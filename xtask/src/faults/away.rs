//! Absent machines: a node without power, a killed controller.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{HEAL_LIMIT, create, create_second, delete};
use crate::cluster::Cluster;

/// A node without power: a delete waits for that node only, reports it, and completes when the node is back.
pub fn offline_satellite(cluster: &Cluster) -> Result<()> {
    create(cluster, "apart", "20M", "node2")?;
    create_second(cluster, "apart", "node3")?;
    cluster.wait_up_to_date("apart", 2, HEAL_LIMIT)?;
    let node = cluster.node(3);
    cluster.lab.kill(node)?;
    cluster.wait_until("the node to be OFFLINE", Duration::from_secs(20), || {
        let nodes = cluster.linstor_json(&["node", "list"])?;
        Ok(nodes
            .iter()
            .any(|node| node["name"] == "node3" && node["connection_status"] == "OFFLINE"))
    })?;
    let answer = cluster.try_linstor(&["resource-definition", "delete", "apart"])?;
    ensure!(
        answer.text.contains("node3"),
        "the answer does not name the offline node: {}",
        answer.text
    );
    cluster.wait_until(
        "the resource on the online node to be deleted",
        HEAL_LIMIT,
        || {
            Ok(cluster
                .replicas("apart")?
                .iter()
                .all(|replica| replica.node == "node3"))
        },
    )?;
    let jobs = cluster.linstor(&["-m", "jobs", "list"])?;
    ensure!(
        jobs.contains("apart") && jobs.contains("node3"),
        "no job names the resource definition and the node it waits for: {jobs}"
    );
    cluster.lab.boot(node)?;
    cluster.start_satellite(node)?;
    cluster.wait_until("the delete to end", HEAL_LIMIT, || {
        let definitions = cluster.linstor_json(&["resource-definition", "list"])?;
        Ok(definitions
            .iter()
            .all(|definition| definition["name"] != "apart"))
    })?;
    let volumes = cluster
        .lab
        .exec_ok(node, &["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
    ensure!(
        !volumes.contains("apart"),
        "node3 still has its volume: {volumes}"
    );
    Ok(())
}

/// Without a controller, a rebooted node's satellite brings up the resources of its stored specs.
pub fn no_controller(cluster: &mut Cluster) -> Result<()> {
    create(cluster, "alone", "20M", "node2")?;
    create_second(cluster, "alone", "node3")?;
    cluster.wait_up_to_date("alone", 2, HEAL_LIMIT)?;
    cluster.kill_controller()?;
    let node = cluster.node(3);
    cluster.lab.kill(node)?;
    cluster.lab.boot(node)?;
    cluster.start_satellite(node)?;
    cluster.wait_until(
        "DRBD to be UpToDate without a controller",
        HEAL_LIMIT,
        || {
            let status = cluster.lab.exec(node, &["drbdsetup", "status", "alone"])?;
            let text = String::from_utf8_lossy(&status.stdout).into_owned();
            Ok(text.contains("disk:UpToDate") && text.contains("peer-disk:UpToDate"))
        },
    )?;
    cluster
        .start_controller()
        .context("start the controller again")?;
    cluster.wait_up_to_date("alone", 2, HEAL_LIMIT)?;
    delete(cluster, "alone")
}
