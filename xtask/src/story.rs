//! The scenario that the demo shows and the test checks: a volume on two machines that survives failures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, Replica};
use crate::demo::Times;
use crate::lab::{Exec, Node};

const VOLUME: &str = "400M";
const SYNC_LIMIT: Duration = Duration::from_secs(90);
/// Limit of the time that fio reads between two writes.
const WRITES_LIMIT: Duration = Duration::from_secs(6);
const MOUNT: &str = "/media";

/// The DRBD version of the guests' kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drbd {
    /// DRBD 8.4, which is part of Linux: two replicas, promoted by command.
    V84,
    /// DRBD 9.
    V9,
}

/// Runs the scenario; fails at the first unexpected result.
pub fn run(cluster: &mut Cluster, times: &mut Times) -> Result<()> {
    let drbd = drbd_kind(cluster)?;
    println!(
        "The kernel's DRBD is {}.",
        if drbd == Drbd::V9 {
            "version 9"
        } else {
            "the in-tree 8.4"
        }
    );
    times.take("nodes and thin pools", || set_up(cluster))?;
    let (first, second) = times.take("spawn a replicated volume", || spawn(cluster))?;
    times.take("ext4: write on one node, read on the other", || {
        write_and_read(cluster, drbd, first, second)
    })?;
    controller_dies(cluster, drbd, first, times)?;
    power_loss(cluster, first, second, times)?;
    times.take("migrate a replica to the third node", || {
        migrate(cluster, drbd, first, second)
    })?;
    times.take("delete; no remains", || clean_up(cluster, drbd, first))
}

/// The version of the loaded module.
pub fn drbd_kind(cluster: &Cluster) -> Result<Drbd> {
    let text = cluster
        .lab
        .exec_ok(cluster.node(1), &["cat", "/proc/drbd"])
        .context("DRBD is not loaded")?;
    Ok(if text.starts_with("version: 9") {
        Drbd::V9
    } else {
        Drbd::V84
    })
}

/// Runs a `linstor` command; prints it and its output.
pub fn show(cluster: &Cluster, args: &[&str]) -> Result<String> {
    println!("\n$ linstor {}", args.join(" "));
    let text = cluster.linstor(args)?;
    print!("{text}");
    Ok(text)
}

/// Runs a command on a node; prints it and its output.
fn on(cluster: &Cluster, node: Node, argv: &[&str]) -> Result<String> {
    println!("\n{node}$ {}", argv.join(" "));
    let text = cluster.lab.exec_ok(node, argv)?;
    print!("{text}");
    Ok(text)
}

/// Creates the nodes and their storage pools.
pub fn set_up(cluster: &Cluster) -> Result<()> {
    for node in cluster.lab.nodes() {
        let lvm = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
        lvm(&["pvcreate", "-q", "/dev/ubda"])?;
        lvm(&["vgcreate", "-q", "vg0", "/dev/ubda"])?;
        lvm(&["lvcreate", "-q", "-T", "-l", "90%FREE", "vg0/thin"])?;
        let (name, address) = (node.to_string(), node.address().to_string());
        show(cluster, &["node", "create", &name, &address])?;
    }
    cluster.wait_until("all nodes to be online", Duration::from_secs(20), || {
        let nodes = cluster.linstor_json(&["node", "list"])?;
        Ok(nodes
            .iter()
            .all(|node| node["connection_status"] == "ONLINE"))
    })?;
    show(cluster, &["node", "list"])?;
    for node in cluster.lab.nodes() {
        let name = node.to_string();
        show(
            cluster,
            &[
                "storage-pool",
                "create",
                "lvmthin",
                &name,
                "pool",
                "vg0/thin",
            ],
        )?;
    }
    show(cluster, &["storage-pool", "list"])?;
    Ok(())
}

fn spawn(cluster: &Cluster) -> Result<(Node, Node)> {
    show(
        cluster,
        &[
            "resource-group",
            "create",
            "fast",
            "--storage-pool",
            "pool",
            "--place-count",
            "2",
        ],
    )?;
    show(cluster, &["volume-group", "create", "fast"])?;
    show(
        cluster,
        &["resource-group", "spawn-resources", "fast", "data", VOLUME],
    )?;
    cluster.wait_up_to_date("data", 2, SYNC_LIMIT)?;
    show(cluster, &["resource", "list"])?;
    let nodes: Vec<_> = diskful(cluster)?
        .into_iter()
        .map(|replica| replica.node)
        .collect();
    ensure!(nodes.len() == 2, "replicas are on {nodes:?}");
    Ok((
        cluster.node_named(&nodes[0])?,
        cluster.node_named(&nodes[1])?,
    ))
}

fn diskful(cluster: &Cluster) -> Result<Vec<Replica>> {
    Ok(cluster
        .replicas("data")?
        .into_iter()
        .filter(|replica| !replica.diskless)
        .collect())
}

fn device(cluster: &Cluster, node: Node) -> Result<String> {
    let replicas = cluster.replicas("data")?;
    let replica = replicas
        .into_iter()
        .find(|replica| replica.node == node.to_string());
    replica
        .and_then(|replica| replica.device)
        .with_context(|| format!("{node} has no device"))
}

/// Promotes the resource if DRBD does not do so automatically, and mounts the volume.
fn mount(cluster: &Cluster, drbd: Drbd, node: Node) -> Result<()> {
    if drbd == Drbd::V84 {
        on(cluster, node, &["drbdadm", "primary", "data"])?;
    }
    on(cluster, node, &["mount", &device(cluster, node)?, MOUNT])?;
    Ok(())
}

fn unmount(cluster: &Cluster, drbd: Drbd, node: Node) -> Result<()> {
    on(cluster, node, &["umount", MOUNT])?;
    if drbd == Drbd::V84 {
        on(cluster, node, &["drbdadm", "secondary", "data"])?;
    }
    Ok(())
}

fn write_and_read(cluster: &Cluster, drbd: Drbd, first: Node, second: Node) -> Result<()> {
    if drbd == Drbd::V84 {
        on(cluster, first, &["drbdadm", "primary", "data"])?;
    }
    on(
        cluster,
        first,
        &["mkfs.ext4", "-q", &device(cluster, first)?],
    )?;
    on(cluster, first, &["mount", &device(cluster, first)?, MOUNT])?;
    on(
        cluster,
        first,
        &[
            "dd",
            "if=/dev/urandom",
            "of=/media/letter",
            "bs=1M",
            "count=20",
            "conv=fsync",
            "status=none",
        ],
    )?;
    let written = on(cluster, first, &["sha256sum", "/media/letter"])?;
    unmount(cluster, drbd, first)?;
    mount(cluster, drbd, second)?;
    let read = on(cluster, second, &["sha256sum", "/media/letter"])?;
    ensure!(written == read, "the other node reads different data");
    unmount(cluster, drbd, second)
}

/// The controller is killed while data is written: writes continue, and no data is lost.
fn controller_dies(cluster: &mut Cluster, drbd: Drbd, node: Node, times: &mut Times) -> Result<()> {
    mount(cluster, drbd, node)?;
    let fio = [
        "fio",
        "--name=load",
        "--filename=/media/load",
        "--rw=randwrite",
        "--bs=4k",
        "--size=16M",
        "--direct=1",
        "--verify=crc32c",
        "--do_verify=1",
        "--time_based",
        "--runtime=10",
        "--minimal",
    ];
    println!("\n{node}$ {} &", fio.join(" "));
    let load = cluster.lab.spawn(node, "fio", Exec::new(&fio))?;
    std::thread::sleep(Duration::from_secs(2));
    println!(
        "\n{}$ kill -9 $(pidof linstor-controller)",
        cluster.controller_node()
    );
    cluster.kill_controller()?;
    // The device's counter of written sectors shows that writes continue without a controller.
    let name = format!("drbd{}", minor_of(cluster, node)?);
    let before = sectors_written(cluster, node, &name)?;
    let begin = Instant::now();
    let mut after = before;
    // fio verifies between two writes.
    while after == before && begin.elapsed() < WRITES_LIMIT {
        std::thread::sleep(Duration::from_secs(1));
        after = sectors_written(cluster, node, &name)?;
    }
    ensure!(
        after > before,
        "no write was completed without a controller"
    );
    println!(
        "{} KiB were written in {:.0} s without a controller",
        (after - before) / 2,
        begin.elapsed().as_secs_f64()
    );
    let status = times.take("fio with verify while the controller is killed", || {
        cluster.lab.wait(&load, Duration::from_secs(60))
    })?;
    ensure!(status.success(), "fio ended with {status}");
    let took = cluster.start_controller()?;
    times.note("controller restart to first answer", took);
    on(cluster, node, &["sha256sum", "/media/letter"])?;
    cluster.wait_up_to_date("data", 2, SYNC_LIMIT)?;
    show(cluster, &["resource", "list"])?;
    Ok(())
}

/// Minor of the only DRBD device on the node.
fn minor_of(cluster: &Cluster, node: Node) -> Result<String> {
    let text = cluster.lab.exec_ok(node, &["ls", "/sys/block"])?;
    let minor = text
        .lines()
        .find_map(|name| name.strip_prefix("drbd").map(str::to_owned));
    minor.context("there is no DRBD device")
}

fn sectors_written(cluster: &Cluster, node: Node, device: &str) -> Result<u64> {
    let text = cluster
        .lab
        .exec_ok(node, &["cat", &format!("/sys/block/{device}/stat")])?;
    let field = text
        .split_whitespace()
        .nth(6)
        .context("no counter of written sectors")?;
    Ok(field.parse()?)
}

/// A replica loses power, writes continue, and after the boot only the difference is resynchronised.
fn power_loss(cluster: &Cluster, first: Node, second: Node, times: &mut Times) -> Result<()> {
    // The controller's node must not lose power, nor the one with the mounted replica.
    let (survivor, victim) = (first, second);
    println!("\n*** {victim} loses power ***");
    cluster.lab.kill(victim)?;
    let begin = Instant::now();
    on(
        cluster,
        survivor,
        &[
            "dd",
            "if=/dev/urandom",
            "of=/media/more",
            "bs=1M",
            "count=10",
            "conv=fsync",
            "status=none",
        ],
    )?;
    times.note(
        "power loss of a replica: the next 10 MiB are on disk",
        begin.elapsed(),
    );
    let written = on(cluster, survivor, &["sha256sum", "/media/more"])?;
    println!("\n*** {victim} gets power ***");
    times.take("boot it", || cluster.lab.boot(victim))?;
    cluster.start_satellite(victim)?;
    let sync = cluster.wait_up_to_date("data", 2, SYNC_LIMIT)?;
    times.note("resync of the difference", sync);
    let resynced = resynced_kib(cluster, victim)?;
    println!("{victim} copied {resynced} KiB of {VOLUME}: the difference and DRBD's activity log");
    ensure!(
        resynced < 200 * 1024,
        "{resynced} KiB is not only the difference"
    );
    show(cluster, &["resource", "list"])?;
    ensure!(
        written == on(cluster, survivor, &["sha256sum", "/media/more"])?,
        "data changed"
    );
    Ok(())
}

/// Data in KiB that a node received from its peers since it booted.
fn resynced_kib(cluster: &Cluster, node: Node) -> Result<u64> {
    let argv = ["drbdsetup", "status", "data", "--verbose", "--statistics"];
    let text = cluster.lab.exec_ok(node, &argv)?;
    let fields = text
        .split_whitespace()
        .filter_map(|field| field.strip_prefix("received:"));
    Ok(fields.filter_map(|number| number.parse::<u64>().ok()).sum())
}

/// Moves a replica to the third node: with DRBD 9 it is added first, with 8.4 the old one is removed first.
fn migrate(cluster: &Cluster, drbd: Drbd, first: Node, second: Node) -> Result<()> {
    let third = cluster
        .lab
        .nodes()
        .into_iter()
        .find(|node| *node != first && *node != second);
    let third = third.context("there is no third node")?.to_string();
    let old = second.to_string();
    let add = [
        "resource",
        "create",
        &third,
        "data",
        "--storage-pool",
        "pool",
    ];
    let remove = ["resource", "delete", &old, "data"];
    if drbd == Drbd::V84 {
        show(cluster, &remove)?;
        show(cluster, &add)?;
    } else {
        show(cluster, &add)?;
        cluster.wait_up_to_date("data", 3, SYNC_LIMIT)?;
        show(cluster, &["resource", "list"])?;
        show(
            cluster,
            &["resource", "delete", "--keep-tiebreaker", &old, "data"],
        )
        .or_else(|_| show(cluster, &remove))?;
    }
    cluster.wait_up_to_date("data", 2, SYNC_LIMIT)?;
    show(cluster, &["resource", "list"])?;
    let there = diskful(cluster)?;
    ensure!(
        there.iter().any(|replica| replica.node == third),
        "{third} has no replica"
    );
    ensure!(
        there.iter().all(|replica| replica.node != old),
        "{old} still has one"
    );
    Ok(())
}

fn clean_up(cluster: &Cluster, drbd: Drbd, mounted: Node) -> Result<()> {
    let refused = cluster.try_linstor(&["resource-definition", "delete", "data"])?;
    println!(
        "\n$ linstor resource-definition delete data      (while it is mounted)\n{}",
        refused.text
    );
    ensure!(refused.code == 10, "a volume in use was deleted");
    unmount(cluster, drbd, mounted)?;
    // DRBD reports to the controller that the device is no longer open.
    cluster.wait_until("the volume to be unused", Duration::from_secs(10), || {
        Ok(cluster
            .replicas("data")?
            .iter()
            .all(|replica| !replica.in_use))
    })?;
    show(cluster, &["resource-definition", "delete", "data"])?;
    show(cluster, &["resource", "list"])?;
    for node in cluster.lab.nodes() {
        let volumes = cluster
            .lab
            .exec_ok(node, &["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
        let left: Vec<_> = volumes
            .split_whitespace()
            .filter(|name| *name != "thin")
            .collect();
        ensure!(left.is_empty(), "{node} still has {left:?}");
        let files = cluster
            .lab
            .exec_ok(node, &["find", "/var/lib/linstor.d", "-name", "*.res"])?;
        ensure!(files.trim().is_empty(), "{node} still has {files}");
        let status = cluster.lab.exec_ok(node, &["drbdsetup", "status"])?;
        ensure!(
            !status.contains("data"),
            "{node} still has DRBD up: {status}"
        );
    }
    println!("\nNo volume, no file and no DRBD device is left on any node.");
    Ok(())
}
