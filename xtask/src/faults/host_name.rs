//! A host's name differs from the one the controller knows. DRBD's configuration contains host names and must be
//! updated.

use anyhow::{Context, Result, ensure};

use super::{
    HEAL_LIMIT, create, create_both, delete, others_go_on, undoing, wait_for_job, wait_for_node,
};
use crate::cluster::Cluster;
use crate::lab::Node;

/// The name changes while the satellite runs, changes back, and is that of another host when the satellite starts.
pub fn check(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    create_both(cluster, "named", ["node2", "node3"])?;
    let back = || rename(cluster, node, "node3");
    undoing(|| changes(cluster, node), back)?;
    is_learned(cluster, node, "node3")?;
    delete(cluster, "newcomer")?;
    undoing(|| is_taken(cluster, node), back)?;
    wait_for_node(cluster, "node3", "ONLINE")?;
    for name in ["named", "latecomer"] {
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        delete(cluster, name)?;
    }
    Ok(())
}

fn rename(cluster: &Cluster, node: Node, name: &str) -> Result<()> {
    cluster.lab.exec_ok(node, &["hostname", name]).map(drop)
}

/// While the satellite runs: a resource that is created before the controller knows the new name reports it, and is
/// deployed afterwards.
fn changes(cluster: &Cluster, node: Node) -> Result<()> {
    rename(cluster, node, "stranger")?;
    let answer = create(cluster, "newcomer", "20M", "node3")?;
    // The satellite may have reported the new name by then.
    let known = uname(cluster)? == "stranger";
    ensure!(
        known || answer.contains("(node3) The name of this host is 'stranger'"),
        "the answer does not contain the host name: {answer}"
    );
    others_go_on(cluster, "node2")?;
    is_learned(cluster, node, "stranger")?;
    cluster.wait_up_to_date("newcomer", 1, HEAL_LIMIT).map(drop)
}

/// Waits until the controller knows the name and the DRBD configuration of both hosts contains it.
fn is_learned(cluster: &Cluster, node: Node, name: &str) -> Result<()> {
    cluster.wait_until("the controller to know the host name", HEAL_LIMIT, || {
        Ok(uname(cluster)? == name)
    })?;
    let section = format!("on \"{name}\"");
    for host in [cluster.node(2), node] {
        cluster.wait_until("DRBD's configuration to be updated", HEAL_LIMIT, || {
            let file = ["cat", "/var/lib/linstor.d/named.res"];
            Ok(cluster.lab.exec_ok(host, &file)?.contains(&section))
        })?;
    }
    cluster.wait_up_to_date("named", 2, HEAL_LIMIT)?;
    // drbdadm finds the host's own section by its name.
    let state = cluster.lab.exec_ok(node, &["drbdadm", "dstate", "named"])?;
    ensure!(state.contains("UpToDate"), "drbdadm reports {state}");
    Ok(())
}

/// The host name that the controller knows.
fn uname(cluster: &Cluster) -> Result<String> {
    let nodes = cluster.linstor_json(&["node", "list"])?;
    let node = nodes
        .iter()
        .find(|node| node["name"] == "node3")
        .context("there is no node3")?;
    Ok(node["props"]["NodeUname"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// DRBD cannot distinguish two hosts of one name: the second one is refused, with the reason.
fn is_taken(cluster: &Cluster, node: Node) -> Result<()> {
    cluster.kill_satellite(node)?;
    rename(cluster, node, "node2")?;
    cluster.start_satellite(node)?;
    wait_for_node(cluster, "node3", "DUPLICATE_UNAME")?;
    let shown = cluster.linstor(&["node", "list"])?;
    ensure!(
        shown.contains("DUPLICATE UNAME"),
        "the node list does not report the duplicate host name: {shown}"
    );
    create(cluster, "latecomer", "20M", "node2")?;
    let second = [
        "resource",
        "create",
        "node3",
        "latecomer",
        "--storage-pool",
        "pool",
    ];
    cluster.try_linstor(&second)?;
    let texts = ["the name of its host is 'node2', as is that of the host of node 'node2'"];
    wait_for_job(cluster, "latecomer", "node3", &texts)?;
    others_go_on(cluster, "node2")
}
