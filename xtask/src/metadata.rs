//! External DRBD metadata on real kernels: created, used, grown beyond its first size, deactivated and activated, moved
//! to another node, and deleted without remains.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::lab::Node;
use crate::story::{Drbd, drbd_kind};
use crate::{growth, providers};

const SYNC_LIMIT: Duration = Duration::from_secs(90);
const RESOURCE: &str = "extmeta";
/// Storage pool of the data: name and backing storage.
const DATA: (&str, &str) = ("edata", "vgthin/tp");
/// Storage pool of the metadata: name and backing storage.
const META: (&str, &str) = ("emeta", "vgthick");
/// Metadata for this size needs more than the first extent of 4 MiB: one bit per 4 KiB for each of 7 peers.
const LARGE: &str = "24G";
const LARGE_BYTES: u64 = 24 << 30;

/// Creates, uses, resizes and deletes a replicated volume with external metadata.
pub fn check(cluster: &Cluster) -> Result<()> {
    let nodes = cluster.lab.nodes();
    for node in &nodes {
        for kind in [&providers::LINUX[0], &providers::LINUX[1]] {
            kind.set_up(cluster, *node)?;
        }
        let name = node.to_string();
        for (kind, (pool, place)) in [("lvmthin", DATA), ("lvm", META)] {
            cluster.linstor(&["storage-pool", "create", kind, &name, pool, place])?;
        }
        let ratio = ["storage-pool", "set-property", &name, DATA.0];
        let ratio = ratio
            .into_iter()
            .chain(["MaxOversubscriptionRatio", "1000"]);
        cluster.linstor(&ratio.collect::<Vec<_>>())?;
    }
    cluster.linstor(&["resource-definition", "create", RESOURCE])?;
    let verify = ["drbd-options", "--verify-alg", "crc32c", RESOURCE];
    cluster.linstor(&[&["resource-definition"], &verify[..]].concat())?;
    let external = ["set-property", RESOURCE, "StorPoolNameDrbdMeta", META.0];
    cluster.linstor(&[&["resource-definition"], &external[..]].concat())?;
    cluster.linstor(&["volume-definition", "create", RESOURCE, "40M"])?;
    let place = ["--auto-place", "2", "--storage-pool", DATA.0];
    cluster.linstor(&[&["resource", "create", RESOURCE], &place[..]].concat())?;
    cluster.wait_up_to_date(RESOURCE, 2, SYNC_LIMIT)?;
    let replicas = cluster.replicas(RESOURCE)?;
    let diskful: Vec<_> = replicas.iter().filter(|r| !r.diskless).collect();
    let (first, second) = (&diskful[0].node, cluster.node_named(&diskful[1].node)?);
    let first = cluster.node_named(first)?;
    for node in [first, second] {
        has_both(cluster, node)?;
    }
    growth::check(cluster, RESOURCE)?;

    // Both disks are attached again with their existing metadata.
    for node in [first, second] {
        let name = node.to_string();
        cluster.linstor(&["resource", "deactivate", &name, RESOURCE])?;
        cluster.linstor(&["resource", "activate", &name, RESOURCE])?;
        cluster.wait_up_to_date(RESOURCE, 2, SYNC_LIMIT)?;
    }

    let meta_before = kib(cluster, first, META.1, ".meta")?;
    cluster.linstor(&["volume-definition", "set-size", RESOURCE, "0", LARGE])?;
    let minor = diskful[0].device.clone().unwrap_or_default();
    let minor = minor.trim_start_matches("/dev/").to_owned();
    cluster.wait_until("the device to grow", SYNC_LIMIT, || {
        let path = format!("/sys/block/{minor}/size");
        let sectors = cluster.lab.exec_ok(first, &["cat", &path])?;
        Ok(sectors.trim().parse::<u64>()? * 512 >= LARGE_BYTES)
    })?;
    cluster.wait_up_to_date(RESOURCE, 2, SYNC_LIMIT)?;
    let meta_after = kib(cluster, first, META.1, ".meta")?;
    ensure!(
        meta_after > meta_before,
        "the metadata has {meta_after} KiB of {meta_before} KiB before"
    );

    if drbd_kind(cluster)? == Drbd::V9 {
        let others = nodes.iter().filter(|n| **n != first && **n != second);
        for node in others {
            let name = node.to_string();
            let disk = ["toggle-disk", &name, RESOURCE, "--storage-pool", DATA.0];
            cluster.linstor(&[&["resource"], &disk[..]].concat())?;
            cluster.wait_up_to_date(RESOURCE, 3, SYNC_LIMIT)?;
            has_both(cluster, *node)?;
            let none = ["resource", "toggle-disk", &name, RESOURCE, "--diskless"];
            cluster.linstor(&none)?;
            cluster.wait_until("the backing volumes to be deleted", SYNC_LIMIT, || {
                Ok(nothing_left(cluster, *node).is_ok())
            })?;
        }
    }

    cluster.linstor(&["resource-definition", "delete", RESOURCE])?;
    for node in &nodes {
        nothing_left(cluster, *node)?;
        let name = node.to_string();
        for (pool, _) in [DATA, META] {
            cluster.linstor(&["storage-pool", "delete", &name, pool])?;
        }
    }
    Ok(())
}

/// Checks that data and metadata are in their pools, and that DRBD uses them.
fn has_both(cluster: &Cluster, node: Node) -> Result<()> {
    for ((_, place), suffix) in [(DATA, ""), (META, ".meta")] {
        kib(cluster, node, place, suffix)?;
    }
    let file = format!("/var/lib/linstor.d/{RESOURCE}.res");
    let text = cluster.lab.exec_ok(node, &["cat", &file])?;
    let meta = format!("meta-disk /dev/{}/{RESOURCE}.meta_00000;", META.1);
    ensure!(text.contains(&meta), "{node} has {text}");
    let shown = cluster
        .lab
        .exec_ok(node, &["drbdsetup", "show", RESOURCE])?;
    ensure!(shown.contains(".meta_00000"), "{node} has {shown}");
    Ok(())
}

/// Size of a logical volume of the resource.
fn kib(cluster: &Cluster, node: Node, place: &str, suffix: &str) -> Result<u64> {
    let group = place.split('/').next().unwrap_or(place);
    let volume = format!("{group}/{RESOURCE}{suffix}_00000");
    let argv = [
        "lvs",
        "--noheadings",
        "--nosuffix",
        "--units",
        "k",
        "-o",
        "lv_size",
    ];
    let argv = [&argv[..], &[volume.as_str()]].concat();
    let size: f64 = cluster.lab.exec_ok(node, &argv)?.trim().parse()?;
    Ok(size as u64)
}

fn nothing_left(cluster: &Cluster, node: Node) -> Result<()> {
    let names = cluster
        .lab
        .exec_ok(node, &["lvs", "--noheadings", "-o", "lv_name"])?;
    ensure!(!names.contains(RESOURCE), "{node} still has {names}");
    Ok(())
}
