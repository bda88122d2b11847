//! A volume group on a disk that all nodes have: a volume exists once and moves from node to node with its data, and
//! changes that several nodes make at the same time leave the group whole.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::lab::{Exec, Node};

/// The disk.
const DISK: &str = "/dev/ubdo";
const VG: &str = "vgsan";
const POOL: &str = "san";
const RESOURCE: &str = "moves";
const DEVICE: &str = "/dev/vgsan/moves_00000";
/// Resources that each node makes while the others make theirs.
const AT_ONCE: u32 = 4;
const LIMIT: Duration = Duration::from_secs(120);

/// Moves a volume between two nodes, then has all nodes make and remove volumes at the same time.
pub fn check(cluster: &Cluster) -> Result<()> {
    let nodes = cluster.lab.nodes();
    cluster.lab.exec_ok(nodes[0], &["pvcreate", "-q", DISK])?;
    cluster
        .lab
        .exec_ok(nodes[0], &["vgcreate", "-q", VG, DISK])?;
    for node in &nodes {
        let pool = [&node.to_string(), POOL, VG, "--shared-space", POOL];
        cluster.linstor(&[&["storage-pool", "create", "lvm"], &pool[..]].concat())?;
    }
    define(cluster, RESOURCE)?;
    for node in &nodes[..2] {
        create(cluster, *node, RESOURCE)?;
    }
    moves(cluster, nodes[0], nodes[1])?;
    at_once(cluster, &nodes)?;
    for node in &nodes {
        ensure!(
            volumes(cluster, *node)?.is_empty(),
            "{node} still sees volumes"
        );
        cluster.linstor(&["storage-pool", "delete", &node.to_string(), POOL])?;
    }
    cluster.lab.exec_ok(nodes[0], &["vgremove", "-q", VG])?;
    Ok(())
}

fn define(cluster: &Cluster, resource: &str) -> Result<()> {
    let layers = ["--layer-list", "storage", resource];
    cluster.linstor(&[&["resource-definition", "create"], &layers[..]].concat())?;
    cluster.linstor(&["volume-definition", "create", resource, "20M"])?;
    Ok(())
}

fn create(cluster: &Cluster, node: Node, resource: &str) -> Result<()> {
    let name = node.to_string();
    let create = [
        "resource",
        "create",
        &name,
        resource,
        "--storage-pool",
        POOL,
    ];
    cluster.linstor(&create)?;
    Ok(())
}

fn moves(cluster: &Cluster, first: Node, second: Node) -> Result<()> {
    let (from, to) = (first.to_string(), second.to_string());
    let on = |node: Node, script: &str| cluster.lab.exec_ok(node, &["sh", "-e", "-c", script]);
    on(
        first,
        &format!(
            "mkfs.ext4 -q {DEVICE}; mkdir -p /mnt/san; mount {DEVICE} /mnt/san; \
             dd if=/dev/urandom of=/mnt/san/data bs=1M count=4 conv=fsync status=none"
        ),
    )?;
    let before = on(first, "sha256sum /mnt/san/data")?;
    ensure!(
        on(second, &format!("test ! -e {DEVICE}")).is_ok(),
        "both nodes have the device"
    );
    let refused = cluster.try_linstor(&["resource", "activate", &to, RESOURCE])?;
    ensure!(
        refused.code != 0
            && refused
                .text
                .contains("active in the same shared storage pool"),
        "a second resource is activated: {}",
        refused.text
    );
    let refused = cluster.try_linstor(&["resource", "deactivate", &from, RESOURCE])?;
    ensure!(
        refused.text.contains("still in use"),
        "a mounted resource is deactivated: {}",
        refused.text
    );
    let refused = cluster.try_linstor(&["resource", "activate", &to, RESOURCE])?;
    ensure!(
        refused.code != 0,
        "a resource is activated while the other one is mounted: {}",
        refused.text
    );
    on(first, "umount /mnt/san")?;
    let down = || -> Result<bool> {
        let answer = cluster.try_linstor(&["resource", "activate", &to, RESOURCE])?;
        Ok(answer.code == 0)
    };
    cluster.wait_until("the other node to have the volume", LIMIT, down)?;
    ensure!(
        on(first, &format!("test ! -e {DEVICE}")).is_ok(),
        "the first node still has the device"
    );
    let mount = format!("mkdir -p /mnt/san; mount {DEVICE} /mnt/san; sha256sum /mnt/san/data");
    ensure!(on(second, &mount)? == before, "the data is another one");
    on(second, "umount /mnt/san")?;
    // It was the first that made the volume; the second still has it.
    cluster.linstor(&["resource", "delete", &from, RESOURCE])?;
    ensure!(
        volumes(cluster, first)? == ["moves_00000"],
        "the volume went with one of its resources"
    );
    cluster.linstor(&["volume-definition", "set-size", RESOURCE, "0", "40M"])?;
    cluster.linstor(&["resource-definition", "delete", RESOURCE])?;
    ensure!(volumes(cluster, second)?.is_empty(), "the volume is left");
    Ok(())
}

/// All nodes change the group at the same time. Without turns LVM loses changes: each node writes the metadata that it has
/// read and changed.
fn at_once(cluster: &Cluster, nodes: &[Node]) -> Result<()> {
    let linstor = cluster.program("linstor");
    let mut names = Vec::new();
    let mut script = String::new();
    for node in nodes {
        for number in 0..AT_ONCE {
            let resource = format!("at-once-{node}-{number}");
            define(cluster, &resource)?;
            script.push_str(&format!(
                "{linstor} resource create {node} {resource} --storage-pool {POOL} || echo FAILED & "
            ));
            names.push(resource);
        }
    }
    let run = |script: &str| -> Result<()> {
        let script = format!("{script} wait");
        let exec = Exec::new(&["bash", "-c", &script]).timeout(Duration::from_secs(300));
        let said = cluster.lab.run_ok(cluster.controller_node(), exec)?;
        ensure!(!said.contains("FAILED"), "{said}");
        Ok(())
    };
    run(&script)?;
    let mut expected: Vec<String> = names.iter().map(|name| format!("{name}_00000")).collect();
    expected.sort();
    for node in nodes {
        ensure!(
            volumes(cluster, *node)? == expected,
            "{node} sees {:?}",
            volumes(cluster, *node)?
        );
    }
    cluster.lab.exec_ok(nodes[0], &["vgck", VG])?;
    let ranges = ["lvs", "--noheadings", "-o", "seg_pe_ranges", VG];
    let ranges = cluster.lab.exec_ok(nodes[0], &ranges)?;
    let mut ranges: Vec<&str> = ranges.split_whitespace().collect();
    ranges.sort_unstable();
    let count = ranges.len();
    ranges.dedup();
    ensure!(
        ranges.len() == count,
        "volumes have the same extents: {ranges:?}"
    );
    let delete =
        |name: &String| format!("{linstor} resource-definition delete {name} || echo FAILED & ");
    run(&names.iter().map(delete).collect::<String>())
}

/// Names of the logical volumes as a node sees them, in order.
fn volumes(cluster: &Cluster, node: Node) -> Result<Vec<String>> {
    let text = cluster
        .lab
        .exec_ok(node, &["lvs", "--noheadings", "-o", "lv_name", VG])?;
    let mut names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    names.sort();
    Ok(names)
}
