//! The way back to a snapshot.

use anyhow::{Result, ensure};

use super::{HEAL_LIMIT, create_both, delete, device, same_everywhere};
use crate::cluster::Cluster;
use crate::story::{Drbd, drbd_kind};

/// A rollback brings the data of the snapshot back on both nodes, without a resync; refused while the resource is in use.
pub fn rolled_back(cluster: &Cluster) -> Result<()> {
    let (name, node) = ("rolled", cluster.node(2));
    create_both(cluster, name, ["node2", "node3"])?;
    let tie_breakers = tie_breakers(cluster, name)?;
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    on(&["drbdadm", "primary", name])?;
    super::write(cluster, name, node, 2)?;
    let before = on(&["sha256sum", &device(cluster, name, node)?])?;
    // Taken while it is in use, which DRBD's metadata in it says.
    cluster.linstor(&["snapshot", "create", name, "old"])?;
    super::write(cluster, name, node, 2)?;
    let back = ["snapshot", "rollback", name, "old"];
    let refused = cluster.try_linstor(&back)?;
    ensure!(
        refused.code != 0 && refused.text.contains("in use"),
        "a resource in use is rolled back: {}",
        refused.text
    );
    on(&["drbdadm", "secondary", name])?;
    cluster.linstor(&["snapshot", "create", name, "new"])?;
    // To the older one, then to the newer one, which is still there.
    for (snapshot, is_old) in [("old", true), ("new", false), ("old", true)] {
        cluster.linstor(&["snapshot", "rollback", name, snapshot])?;
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
        let state = on(&["drbdsetup", "status", name, "--verbose", "--statistics"]);
        println!("      {}", moved(&state.unwrap_or_default()));
        same_everywhere(cluster, name, &[node, cluster.node(3)])?;
        on(&["drbdadm", "primary", name])?;
        let now = on(&["sha256sum", &device(cluster, name, node)?])?;
        on(&["drbdadm", "secondary", name])?;
        ensure!(
            (now == before) == is_old,
            "it is not the data of '{snapshot}'"
        );
    }
    ensure!(
        self::tie_breakers(cluster, name)? == tie_breakers,
        "the tie breaker is another one"
    );
    for snapshot in ["new", "old"] {
        cluster.linstor(&["snapshot", "delete", name, snapshot])?;
    }
    delete(cluster, name)
}

/// What was synchronised, as DRBD 9 counts it.
fn moved(status: &str) -> String {
    let words = status.split_whitespace();
    let counts = words.filter(|word| word.starts_with("received:") || word.starts_with("sent:"));
    format!(
        "synchronised after the rollback: {}",
        counts.collect::<Vec<_>>().join(" ")
    )
}

/// The nodes of the tie breakers; DRBD 8.4 has none.
fn tie_breakers(cluster: &Cluster, name: &str) -> Result<Vec<String>> {
    if drbd_kind(cluster)? == Drbd::V84 {
        return Ok(Vec::new());
    }
    let rows = cluster.linstor_json(&["resource", "list", "-r", name])?;
    let is_one = |row: &&serde_json::Value| row["flags"].to_string().contains("TIE_BREAKER");
    let nodes = rows.iter().filter(is_one);
    Ok(nodes.map(|row| row["node_name"].to_string()).collect())
}
