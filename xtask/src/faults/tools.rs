//! Programs that a node needs are not there, as when somebody removes a package.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{
    HEAL_LIMIT, create, create_both, delete, jobs_say, others_go_on, undoing, wait_for_node, write,
};
use crate::cluster::Cluster;
use crate::lab::Node;

/// All of LVM is one program with many names.
const LVM: &[&str] = &["lvm"];
const DRBD: &[&str] = &["drbdadm", "drbdsetup", "drbdmeta"];

/// Tools vanish while the satellite runs: what is up goes on, what is new waits and says for which program.
pub fn vanish(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    create_both(cluster, "steady", ["node2", "node3"])?;
    let primary = ["drbdadm", "primary", "steady"];
    cluster.lab.exec_ok(node, &primary)?;
    for (name, programs, missed) in [
        // Which of LVM's names is needed first depends on what is known of the volume group.
        ("without-lvm", LVM, &["pvs", "lvs", "lvcreate"][..]),
        ("without-drbd", DRBD, &["drbdmeta"]),
    ] {
        let hidden = || -> Result<()> {
            hide(cluster, node, programs)?;
            let said = create(cluster, name, "20M", "node3")?;
            let named = missed
                .iter()
                .any(|program| said.contains(&format!("'{program}' is not installed")));
            ensure!(
                said.contains("(node3)") && named,
                "the answer does not say what is missing: {said}"
            );
            jobs_say(cluster, name, "node3", &["is not installed"])?;
            others_go_on(cluster, "node2")?;
            write(cluster, "steady", node, 0)
        };
        undoing(hidden, || give_back(cluster, node, programs))?;
        cluster.wait_up_to_date(name, 1, HEAL_LIMIT)?;
        delete(cluster, name)?;
    }
    cluster.wait_up_to_date("steady", 2, HEAL_LIMIT)?;
    let secondary = ["drbdadm", "secondary", "steady"];
    cluster.lab.exec_ok(node, &secondary)?;
    delete(cluster, "steady")
}

/// A satellite starts on a node without tools. DRBD in the kernel goes on; once the tools are there, the satellite
/// finds them, and the node is able again to do what it was.
pub fn absent_at_start(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    create_both(cluster, "kept", ["node2", "node3"])?;
    let all = [LVM, DRBD].concat();
    let without = || -> Result<()> {
        cluster.kill_satellite(node)?;
        hide(cluster, node, &all)?;
        cluster.start_satellite(node)?;
        wait_for_node(cluster, "node3", "ONLINE")?;
        jobs_say(cluster, "kept", "node3", &["'drbdadm' is not installed"])?;
        ensure!(!is_able(cluster)?, "the node claims to have DRBD");
        let refused = create(cluster, "refused", "20M", "node3")?;
        ensure!(
            refused.contains("node3") && refused.contains("'drbdadm' is not installed"),
            "the answer does not say what is missing: {refused}"
        );
        others_go_on(cluster, "node2")?;
        let seen_by_peer = cluster.replicas("kept")?;
        ensure!(
            seen_by_peer
                .iter()
                .any(|replica| replica.node == "node2" && replica.connected),
            "the kernels are not connected any more: {seen_by_peer:?}"
        );
        Ok(())
    };
    undoing(without, || give_back(cluster, node, &all))?;
    cluster.wait_until("the node to have DRBD again", HEAL_LIMIT, || {
        is_able(cluster)
    })?;
    cluster.wait_up_to_date("kept", 2, HEAL_LIMIT)?;
    others_go_on(cluster, "node3")?;
    delete(cluster, "refused")?;
    delete(cluster, "kept")
}

/// Whether the controller knows that the node has DRBD and LVM.
fn is_able(cluster: &Cluster) -> Result<bool> {
    let nodes = cluster.linstor_json(&["node", "list"])?;
    let node = nodes
        .iter()
        .find(|node| node["name"] == "node3")
        .context("there is no node3")?;
    let has = |list: &str, word: &str| {
        let words = node[list].as_array();
        words.is_some_and(|words| words.iter().any(|found| found == word))
    };
    Ok(has("resource_layers", "DRBD") && has("storage_providers", "LVM_THIN"))
}

/// Takes programs away on one guest: its root is an overlay of its own.
fn hide(cluster: &Cluster, node: Node, programs: &[&str]) -> Result<()> {
    for program in programs {
        let (there, away) = places(program)?;
        cluster.lab.exec_ok(node, &["mv", &there, &away])?;
    }
    Ok(())
}

/// Undoes [`hide`], as far as it got.
fn give_back(cluster: &Cluster, node: Node, programs: &[&str]) -> Result<()> {
    for program in programs {
        let (there, away) = places(program)?;
        if cluster
            .lab
            .exec(node, &["test", "-e", &away])?
            .status
            .success()
        {
            cluster.lab.exec_ok(node, &["mv", &away, &there])?;
        }
    }
    Ok(())
}

/// Where a program is, on this machine as in every guest, and where it is while it is hidden.
fn places(program: &str) -> Result<(String, String)> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut places = folders.map(|folder| Path::new(folder).join(program));
    let there: &mut PathBuf = places
        .iter_mut()
        .find(|place| place.exists())
        .with_context(|| format!("{program} is not installed"))?;
    let there = there.display().to_string();
    let away = format!("{there}.hidden");
    Ok((there, away))
}
