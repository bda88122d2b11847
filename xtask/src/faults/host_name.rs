//! A host is called otherwise than the controller thinks. DRBD's files name hosts, so that they have to follow.

use anyhow::{Context, Result, ensure};

use super::{
    HEAL_LIMIT, create, create_both, delete, jobs_say, others_go_on, undoing, wait_for_node,
};
use crate::cluster::Cluster;
use crate::lab::Node;

/// The name changes under a running satellite, changes back, and is another host's when the satellite starts.
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

/// Under a running satellite: what is asked for before the controller knows the name says so, and all follows.
fn changes(cluster: &Cluster, node: Node) -> Result<()> {
    rename(cluster, node, "stranger")?;
    let said = create(cluster, "newcomer", "20M", "node3")?;
    // The controller may have been told the name by then.
    let known = uname(cluster)? == "stranger";
    ensure!(
        known || said.contains("(node3) This host is called 'stranger'"),
        "the answer does not name the host's name: {said}"
    );
    others_go_on(cluster, "node2")?;
    is_learned(cluster, node, "stranger")?;
    cluster.wait_up_to_date("newcomer", 1, HEAL_LIMIT).map(drop)
}

/// Waits until the controller has learned the name and the files of both hosts say it.
fn is_learned(cluster: &Cluster, node: Node, name: &str) -> Result<()> {
    cluster.wait_until("the controller to learn the name", HEAL_LIMIT, || {
        Ok(uname(cluster)? == name)
    })?;
    let section = format!("on \"{name}\"");
    for host in [cluster.node(2), node] {
        cluster.wait_until("DRBD's files to follow", HEAL_LIMIT, || {
            let file = ["cat", "/var/lib/linstor.d/named.res"];
            Ok(cluster.lab.exec_ok(host, &file)?.contains(&section))
        })?;
    }
    cluster.wait_up_to_date("named", 2, HEAL_LIMIT)?;
    // drbdadm finds the host's own part by its name.
    let state = cluster.lab.exec_ok(node, &["drbdadm", "dstate", "named"])?;
    ensure!(state.contains("UpToDate"), "drbdadm sees {state}");
    Ok(())
}

/// What the controller takes for the host's name.
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

/// Two hosts of one name cannot be told apart by DRBD: the second one is not taken, and told why.
fn is_taken(cluster: &Cluster, node: Node) -> Result<()> {
    cluster.kill_satellite(node)?;
    rename(cluster, node, "node2")?;
    cluster.start_satellite(node)?;
    wait_for_node(cluster, "node3", "DUPLICATE_UNAME")?;
    let shown = cluster.linstor(&["node", "list"])?;
    ensure!(
        shown.contains("DUPLICATE UNAME"),
        "the list does not say what is wrong: {shown}"
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
    let words = ["its host calls itself 'node2', as the host of node 'node2' does"];
    jobs_say(cluster, "latecomer", "node3", &words)?;
    others_go_on(cluster, "node2")
}
