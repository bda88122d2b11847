//! What DRBD's kernel has to agree to: disks that come and go, volumes of somebody else, the verify algorithm, sizes, and
//! options that the tools do not have.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{HEAL_LIMIT, create, create_both, delete, device, wait_for_job};
use crate::cluster::Cluster;
use crate::report::Skip;
use crate::story::{Drbd, drbd_kind};

/// How much later than the kernel all nodes show a new size.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);

/// A disk is removed and added twice within a minute; each time it is attached at once.
pub fn toggled(cluster: &Cluster) -> Result<()> {
    if drbd_kind(cluster)? == Drbd::V84 {
        bail!(Skip("DRBD 8.4 has no replicas without a disk"));
    }
    let name = "toggled";
    create_both(cluster, name, ["node2", "node3"])?;
    for _ in 0..2 {
        cluster.linstor(&["resource", "toggle-disk", "--diskless", "node3", name])?;
        let add = ["resource", "toggle-disk", "node3", name, "-s", "pool"];
        cluster.linstor(&add)?;
        cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
    }
    delete(cluster, name)
}

/// There is a volume of the resource's name that somebody else has made: it is not touched, and the resource that could
/// not be created can be deleted.
pub fn foreign_volume(cluster: &Cluster) -> Result<()> {
    let (name, node) = ("foreign", cluster.node(3));
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    on(&[
        "lvcreate",
        "-q",
        "-y",
        "-L",
        "4M",
        "-n",
        "foreign_00000",
        "vg0",
    ])?;
    let answer = create(cluster, name, "20M", "node3")?;
    ensure!(
        answer.contains("does not belong to this resource"),
        "the answer does not name the volume: {answer}"
    );
    wait_for_job(cluster, name, "node3", &["does not belong"])?;
    delete(cluster, name)?;
    let volumes = on(&["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
    ensure!(
        volumes.contains("foreign_00000"),
        "it was removed: {volumes}"
    );
    on(&["lvremove", "-q", "-f", "vg0/foreign_00000"]).map(drop)
}

/// The verify algorithm that was chosen is one that the kernels have: DRBD verifies with it, and stays connected.
pub fn verified(cluster: &Cluster) -> Result<()> {
    let name = "verified";
    create_both(cluster, name, ["node2", "node3"])?;
    let node = cluster.node(2);
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    let shown = on(&["drbdsetup", "show", name])?;
    ensure!(
        shown.contains("verify-alg"),
        "no algorithm was chosen: {shown}"
    );
    on(&["drbdadm", "verify", name])?;
    cluster.wait_until("the verification to end", HEAL_LIMIT, || {
        let state = on(&["drbdsetup", "status", name, "--verbose", "--statistics"])?;
        ensure!(
            !state.contains("StandAlone"),
            "the connection was cut: {state}"
        );
        Ok(!state.contains("Verify"))
    })?;
    cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
    delete(cluster, name)
}

/// A resize right after the creation is carried out, and all nodes show the new size soon after the kernel has it.
pub fn sizes(cluster: &Cluster) -> Result<()> {
    let name = "sized";
    create(cluster, name, "20M", "node2")?;
    cluster.linstor(&[
        "resource",
        "create",
        "node3",
        name,
        "--storage-pool",
        "pool",
    ])?;
    cluster.linstor(&["volume-definition", "set-size", name, "0", "60M"])?;
    let wanted_kib = 60 << 10;
    for node in [cluster.node(2), cluster.node(3)] {
        let device = device(cluster, name, node)?;
        let size = format!("/sys/block/{}/size", device.trim_start_matches("/dev/"));
        cluster.wait_until("the device to have its size", HEAL_LIMIT, || {
            let sectors = cluster.lab.exec_ok(node, &["cat", &size])?;
            Ok(sectors.trim().parse::<u64>()? / 2 >= wanted_kib)
        })?;
    }
    let since = Instant::now();
    cluster.wait_until("all nodes to show the size", HEAL_LIMIT, || {
        let rows = cluster.linstor_json(&["volume", "list", "-r", name])?;
        let sizes = rows.iter().flat_map(|row| {
            let volumes = row["volumes"].as_array().cloned().unwrap_or_default();
            volumes.into_iter().filter_map(|volume| {
                volume["layer_data_list"][0]["data"]["usable_size_kib"].as_u64()
            })
        });
        let sizes: Vec<u64> = sizes.collect();
        Ok(sizes.len() >= 2 && sizes.iter().all(|kib| *kib >= wanted_kib))
    })?;
    let took = since.elapsed();
    // The command line itself takes about a second here.
    ensure!(
        took < SHOWN_WITHIN + Duration::from_secs(3),
        "it took {took:?}"
    );
    delete(cluster, name)
}

/// An option that drbd-utils do not have is left out of the file: the resource goes on.
pub fn unknown_option(cluster: &Cluster) -> Result<()> {
    let name = "newer";
    create_both(cluster, name, ["node2", "node3"])?;
    let key = "DrbdOptions/Net/load-balance-paths";
    cluster.linstor(&["resource-definition", "set-property", name, key, "no"])?;
    cluster.wait_up_to_date(name, 2, HEAL_LIMIT)?;
    let jobs = cluster.linstor_json(&["jobs", "list"])?;
    let about = |job: &serde_json::Value| job["obj_refs"]["RscDfn"] == name;
    ensure!(!jobs.iter().any(about), "the file is refused: {jobs:?}");
    delete(cluster, name)
}
