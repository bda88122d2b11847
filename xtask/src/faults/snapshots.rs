//! Snapshots of resources that are written to: of one moment on all nodes and of all resources, with I/O held back for a
//! short time only; and the way back to one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{HEAL_LIMIT, create_both, delete, device, same_everywhere};
use crate::cluster::Cluster;
use crate::lab::{Background, Exec, Node};
use crate::story::{Drbd, drbd_kind};

/// How many snapshots are taken for the measurement.
const SNAPSHOTS: usize = 20;
/// The longest time that I/O may be held back.
const HELD_MAX: Duration = Duration::from_secs(30);
/// Size of the volumes.
const SIZE_MIB: u32 = 20;

/// Writes the next number to each device in turn, 4 KiB each with direct I/O, and prints the writes that took long: seconds
/// since 1970 at which they ended, and milliseconds.
const WRITER: &str = r"
import mmap, os, sys, time
devices = [os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC) for path in sys.argv[1:]]
page, number = mmap.mmap(-1, 4096), 0
while not os.path.exists('/tmp/stop-writer'):
    number += 1
    page[0:8] = number.to_bytes(8, 'little')
    for device in devices:
        begun = time.time()
        os.pwrite(device, page, 4096 * (number % 1024))
        took = (time.time() - begun) * 1000
        if took > 20:
            print(f'{time.time():.3f} {took:.0f}', flush=True)
";

/// Prints the largest number that the writer has written to each of these devices.
const LARGEST: &str = r"
import sys
for path in sys.argv[1:]:
    with open(path, 'rb') as device:
        pages = (device.read(4096) for _ in range(1024))
        print(max(int.from_bytes(page[0:8], 'little') for page in pages))
";

/// Of resources that are written to.
pub fn while_written(cluster: &Cluster) -> Result<()> {
    let (names, nodes) = (["snapa", "snapb"], ["node2", "node3"]);
    let (writer_on, other) = (cluster.node(2), cluster.node(3));
    let mut devices = Vec::new();
    for name in names {
        create_both(cluster, name, nodes)?;
        cluster
            .lab
            .exec_ok(writer_on, &["drbdadm", "primary", name])?;
        devices.push(device(cluster, name, writer_on)?);
    }
    let writer = write(cluster, writer_on, &devices)?;
    let taken = (0..SNAPSHOTS).try_for_each(|number| {
        let snapshot = format!("s{number}");
        let multiple = ["snapshot", "create-multiple", &snapshot, "--resources"];
        let taken = cluster.linstor(&[&multiple[..], &names].concat());
        // Two of them are looked into.
        if number > 1 {
            for name in names {
                cluster.linstor(&["snapshot", "delete", name, &snapshot])?;
            }
        }
        taken.map(drop)
    });
    let slow = stop(cluster, writer_on, &writer)?;
    taken?;
    report(slow)?;
    for snapshot in ["s0", "s1"] {
        let copies = names.map(|name| format!("{name}_00000_{snapshot}"));
        for name in &copies {
            let sums = [writer_on, other].map(|node| sum(cluster, node, name));
            let [here, there] = sums;
            ensure!(here? == there?, "{name} is not the same on both nodes");
        }
        let [first, second] = largest(cluster, writer_on, &copies)?[..] else {
            anyhow::bail!("two numbers are expected");
        };
        ensure!(
            first == second || first == second + 1,
            "{snapshot}: '{}' is at {first}, '{}' at {second}",
            names[0],
            names[1],
        );
        println!("      {snapshot}: both resources at number {second}, the same on both nodes");
    }
    for name in names {
        cluster
            .lab
            .exec_ok(writer_on, &["drbdadm", "secondary", name])?;
        for snapshot in ["s0", "s1"] {
            cluster.linstor(&["snapshot", "delete", name, snapshot])?;
        }
        delete(cluster, name)?;
    }
    Ok(())
}

fn write(cluster: &Cluster, node: Node, devices: &[String]) -> Result<Background> {
    cluster
        .lab
        .exec_ok(node, &["rm", "-f", "/tmp/stop-writer"])?;
    let argv: Vec<&str> = ["python3", "-c", WRITER]
        .into_iter()
        .chain(devices.iter().map(String::as_str))
        .collect();
    cluster.lab.spawn(node, "writer", Exec::new(&argv))
}

/// Ends the writer; the writes that took long, in milliseconds.
fn stop(cluster: &Cluster, node: Node, writer: &Background) -> Result<Vec<u64>> {
    cluster.lab.exec_ok(node, &["touch", "/tmp/stop-writer"])?;
    let status = cluster.lab.wait(writer, HELD_MAX)?;
    let log = std::fs::read_to_string(writer.log()).context("read what the writer printed")?;
    ensure!(status.success(), "the writer failed: {log}");
    let slow = log
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.parse().ok());
    Ok(slow.collect())
}

/// The longest writes are those that a snapshot has held back.
fn report(mut slow: Vec<u64>) -> Result<()> {
    slow.sort_unstable();
    let held = &slow[slow.len().saturating_sub(SNAPSHOTS)..];
    let (Some(max), Some(p50)) = (held.last(), held.get(held.len() / 2)) else {
        anyhow::bail!("no write was held back");
    };
    println!(
        "      I/O held back by {SNAPSHOTS} snapshots of two resources: p50 {p50} ms, max {max} ms"
    );
    ensure!(
        u128::from(*max) < HELD_MAX.as_millis(),
        "I/O was held back for {max} ms"
    );
    Ok(())
}

/// The checksum of a snapshot's data, without DRBD's metadata behind it, which is each node's own.
fn sum(cluster: &Cluster, node: Node, volume: &str) -> Result<String> {
    let path = open(cluster, node, volume)?;
    let size = format!("--bytes={}", SIZE_MIB << 20);
    let script = format!("head {size} {path} | sha256sum");
    cluster.lab.exec_ok(node, &["bash", "-c", &script])
}

/// Activates a snapshot, which LVM skips.
fn open(cluster: &Cluster, node: Node, volume: &str) -> Result<String> {
    let lv = format!("vg0/{volume}");
    cluster.lab.exec_ok(node, &["lvchange", "-ay", "-K", &lv])?;
    Ok(format!("/dev/{lv}"))
}

fn largest(cluster: &Cluster, node: Node, volumes: &[String]) -> Result<Vec<u64>> {
    let paths = volumes.iter().map(|volume| open(cluster, node, volume));
    let paths: Vec<String> = paths.collect::<Result<_>>()?;
    let argv: Vec<&str> = ["python3", "-c", LARGEST]
        .into_iter()
        .chain(paths.iter().map(String::as_str))
        .collect();
    let text = cluster.lab.exec_ok(node, &argv)?;
    text.lines().map(|line| Ok(line.trim().parse()?)).collect()
}

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
