//! Snapshots of resources that are written to: of one moment on all nodes and of all resources, with I/O held back for a
//! short time only; and the way back to one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::{HEAL_LIMIT, create_both, delete, device, same_everywhere};
use crate::cluster::Cluster;
use crate::lab::{Background, Exec, Node};
use crate::story::{Drbd, drbd_kind};

/// How many snapshots are taken for the measurement.
const SNAPSHOTS: usize = 6;
/// The longest time that I/O may be held back. Most of it is LVM's, see [`lvm_alone`], whose commands take seconds on a
/// guest with one busy processor.
const HELD_MAX: Duration = Duration::from_secs(20);
/// What applications need at most to end after the last suspension.
const END_MAX: Duration = Duration::from_secs(5);
/// Size of the volumes.
const SIZE_MIB: u32 = 20;

/// Writes the next number to each device in turn, 4 KiB each with direct I/O, while another thread reads them. Prints the
/// writes and reads that took long: what, seconds since 1970 at which it ended, and milliseconds.
const APPLICATION: &str = r"
import mmap, os, sys, threading, time
stop = lambda: os.path.exists('/tmp/stop-application')
def timed(what, io):
    begun = time.time()
    io()
    took = (time.time() - begun) * 1000
    if took > 20:
        print(f'{what} {time.time():.3f} {took:.0f}', flush=True)
def write():
    devices = [os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC) for path in sys.argv[1:]]
    page, number = mmap.mmap(-1, 4096), 0
    while not stop():
        number += 1
        page[0:8] = number.to_bytes(8, 'little')
        for device in devices:
            timed('write', lambda: os.pwrite(device, page, 4096 * (number % 1024)))
def read():
    devices = [os.open(path, os.O_RDONLY | os.O_DIRECT) for path in sys.argv[1:]]
    page, number = mmap.mmap(-1, 4096), 0
    while not stop():
        number += 1
        for device in devices:
            timed('read', lambda: os.preadv(device, [page], 4096 * (number * 7 % 1024)))
        time.sleep(0.002)
threads = [threading.Thread(target=each) for each in (write, read)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
";

/// Prints the largest number that was written to each of these devices.
const LARGEST: &str = r"
import sys
for path in sys.argv[1:]:
    with open(path, 'rb') as device:
        pages = (device.read(4096) for _ in range(1024))
        print(max(int.from_bytes(page[0:8], 'little') for page in pages))
";

/// Of resources that are written to and read.
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
    let idle = lvm_alone(cluster, writer_on, names[0])?;
    let application = start(cluster, writer_on, &devices)?;
    let busy = lvm_alone(cluster, writer_on, names[0])?;
    println!(
        "      'lvcreate --snapshot' by itself: {idle} ms, and {busy} ms while the volume is written to"
    );
    let mut taken_at = Vec::new();
    let taken = (0..SNAPSHOTS).try_for_each(|number| {
        let snapshot = format!("s{number}");
        let multiple = ["snapshot", "create-multiple", &snapshot, "--resources"];
        let begun = now();
        let taken = cluster.linstor(&[&multiple[..], &names].concat());
        taken_at.push((begun, now()));
        // Two of them are looked into.
        if number > 1 {
            for name in names {
                cluster.linstor(&["snapshot", "delete", name, &snapshot])?;
            }
        }
        taken.map(drop)
    });
    let slow = stop(cluster, writer_on, &application)?;
    taken?;
    report(&slow, &taken_at)?;
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

/// How long LVM needs for a snapshot of a volume, in milliseconds: the median of five.
fn lvm_alone(cluster: &Cluster, node: Node, name: &str) -> Result<u64> {
    let script = format!(
        "for i in 1 2 3 4 5; do a=$(date +%s%N); \
         lvcreate -qq -y --snapshot -kn -ay --name alone vg0/{name}_00000 >/dev/null; b=$(date +%s%N); \
         echo $(((b-a)/1000000)); lvremove -qq -f vg0/alone >/dev/null; done"
    );
    let text = cluster.lab.exec_ok(node, &["bash", "-c", &script])?;
    let mut ms: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    ms.sort_unstable();
    ensure!(ms.len() == 5, "five times are expected: {text}");
    Ok(ms[2])
}

/// Seconds since 1970, as guests have them.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// A write or read that took long.
struct Slow {
    is_write: bool,
    ended_at: f64,
    ms: u64,
}

fn start(cluster: &Cluster, node: Node, devices: &[String]) -> Result<Background> {
    cluster
        .lab
        .exec_ok(node, &["rm", "-f", "/tmp/stop-application"])?;
    let argv: Vec<&str> = ["python3", "-c", APPLICATION]
        .into_iter()
        .chain(devices.iter().map(String::as_str))
        .collect();
    cluster.lab.spawn(node, "application", Exec::new(&argv))
}

/// Ends the application, none of whose requests may still be held back; those that took long.
fn stop(cluster: &Cluster, node: Node, application: &Background) -> Result<Vec<Slow>> {
    cluster
        .lab
        .exec_ok(node, &["touch", "/tmp/stop-application"])?;
    let status = cluster.lab.wait(application, END_MAX).with_context(|| {
        let requests = cluster.lab.exec_ok(node, &["cat", "/proc/drbd"]);
        format!("DRBD's requests: {}", requests.unwrap_or_default())
    })?;
    let log = std::fs::read_to_string(application.log()).context("read what it printed")?;
    ensure!(status.success(), "the application failed: {log}");
    let slow = log.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(Slow {
            is_write: words.next()? == "write",
            ended_at: words.next()?.parse().ok()?,
            ms: words.next()?.parse().ok()?,
        })
    });
    Ok(slow.collect())
}

/// How long each snapshot has held I/O back: the longest write that ended while it was taken.
fn report(slow: &[Slow], taken_at: &[(f64, f64)]) -> Result<()> {
    let held = taken_at.iter().map(|(begun, ended)| {
        let of_it = slow.iter().filter(|io| io.is_write);
        let of_it = of_it.filter(|io| (*begun..ended + 1.0).contains(&io.ended_at));
        of_it.map(|io| io.ms).max().unwrap_or(0)
    });
    let mut held: Vec<u64> = held.collect();
    let reads = slow.iter().filter(|io| !io.is_write).map(|io| io.ms);
    let reads = reads.max().unwrap_or(0);
    held.sort_unstable();
    let (Some(max), Some(p50)) = (held.last(), held.get(held.len() / 2)) else {
        anyhow::bail!("no snapshot was taken");
    };
    println!(
        "      I/O held back by {SNAPSHOTS} snapshots of two resources: p50 {p50} ms, max {max} ms; the longest read {reads} ms"
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
