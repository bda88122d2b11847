//! Programs that a node needs are missing, as after the removal of a package.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{
    HEAL_LIMIT, create, create_both, delete, others_go_on, undoing, wait_for_job, wait_for_node,
    write,
};
use crate::cluster::Cluster;
use crate::lab::Node;

/// All of LVM is one program with many names.
const LVM: &[&str] = &["lvm"];
const DRBD: &[&str] = &["drbdadm", "drbdsetup", "drbdmeta"];

/// Tools are removed while the satellite runs: existing resources work, new ones wait and report the missing program.
pub fn vanish(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    create_both(cluster, "steady", ["node2", "node3"])?;
    let primary = ["drbdadm", "primary", "steady"];
    cluster.lab.exec_ok(node, &primary)?;
    for (name, programs, missed) in [
        // Which of LVM's programs is needed first depends on what the satellite knows of the volume group.
        ("without-lvm", LVM, &["pvs", "lvs", "lvcreate"][..]),
        ("without-drbd", DRBD, &["drbdmeta"]),
    ] {
        let hidden = || -> Result<()> {
            hide(cluster, node, programs)?;
            let answer = create(cluster, name, "20M", "node3")?;
            let named = missed
                .iter()
                .any(|program| answer.contains(&format!("'{program}' is not installed")));
            ensure!(
                answer.contains("(node3)") && named,
                "the answer does not name the missing program: {answer}"
            );
            wait_for_job(cluster, name, "node3", &["is not installed"])?;
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

/// A satellite starts on a node without tools. DRBD in the kernel is not affected; once the tools are installed, the
/// satellite finds them, and the node supports DRBD and LVM again.
pub fn absent_at_start(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    create_both(cluster, "existing", ["node2", "node3"])?;
    let all = [LVM, DRBD].concat();
    let without = || -> Result<()> {
        cluster.kill_satellite(node)?;
        hide(cluster, node, &all)?;
        cluster.start_satellite(node)?;
        wait_for_node(cluster, "node3", "ONLINE")?;
        wait_for_job(
            cluster,
            "existing",
            "node3",
            &["'drbdadm' is not installed"],
        )?;
        ensure!(
            !supports_drbd_and_lvm(cluster)?,
            "the node reports DRBD as supported"
        );
        let refused = create(cluster, "refused", "20M", "node3")?;
        ensure!(
            refused.contains("node3") && refused.contains("'drbdadm' is not installed"),
            "the answer does not name the missing program: {refused}"
        );
        others_go_on(cluster, "node2")?;
        let seen_by_peer = cluster.replicas("existing")?;
        ensure!(
            seen_by_peer
                .iter()
                .any(|replica| replica.node == "node2" && replica.connected),
            "DRBD is no longer connected: {seen_by_peer:?}"
        );
        Ok(())
    };
    undoing(without, || give_back(cluster, node, &all))?;
    cluster.wait_until("the node to support DRBD again", HEAL_LIMIT, || {
        supports_drbd_and_lvm(cluster)
    })?;
    cluster.wait_up_to_date("existing", 2, HEAL_LIMIT)?;
    others_go_on(cluster, "node3")?;
    delete(cluster, "refused")?;
    delete(cluster, "existing")
}

/// Whether the controller reports DRBD and LVM as supported by the node.
fn supports_drbd_and_lvm(cluster: &Cluster) -> Result<bool> {
    let nodes = cluster.linstor_json(&["node", "list"])?;
    let node = nodes
        .iter()
        .find(|node| node["name"] == "node3")
        .context("there is no node3")?;
    let has = |list: &str, kind: &str| {
        let kinds = node[list].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|found| found == kind))
    };
    Ok(has("resource_layers", "DRBD") && has("storage_providers", "LVM_THIN"))
}

/// Hides programs on one guest: its root is an overlay of its own.
fn hide(cluster: &Cluster, node: Node, programs: &[&str]) -> Result<()> {
    for program in programs {
        let (there, away) = places(program)?;
        cluster.lab.exec_ok(node, &["mv", &there, &away])?;
    }
    Ok(())
}

/// Undoes [`hide`], even a partial one.
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

/// The path of a program, which is the same on this machine and in every guest, and its path while it is hidden.
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
