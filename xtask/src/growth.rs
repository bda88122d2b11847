//! A volume is resized while an application writes to it: no data is lost, and all replicas are equal to the last
//! block.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::cluster::{Cluster, Replica};
use crate::lab::{Background, Exec, Node};
use crate::story::{Drbd, drbd_kind};

const SYNC_LIMIT: Duration = Duration::from_secs(90);
/// Offset in KiB at which the application writes: the data before it is compared afterwards.
const WRITES_FROM_KIB: u64 = 16 << 10;
/// Size in KiB of the area that it writes repeatedly.
const WRITES_KIB: u64 = 16 << 10;

/// The volume of a resource on one node of the lab.
pub struct Side<'a> {
    cluster: &'a Cluster,
    resource: &'a str,
    node: Node,
    device: String,
    minor: String,
    drbd: Drbd,
}

impl<'a> Side<'a> {
    /// Of a resource that is up.
    pub fn of(cluster: &'a Cluster, resource: &'a str, replica: &Replica) -> Result<Self> {
        let device = replica.device.clone().context("a device")?;
        let minor = device.trim_start_matches("/dev/drbd").to_owned();
        Ok(Side {
            cluster,
            resource,
            node: cluster.node_named(&replica.node)?,
            device,
            minor,
            drbd: drbd_kind(cluster)?,
        })
    }

    fn run(&self, argv: &[&str]) -> Result<String> {
        self.cluster.lab.exec_ok(self.node, argv)
    }

    /// `drbdsetup primary` or `secondary`: 8.4 expects a minor, 9 the resource's name.
    pub fn role(&self, role: &str) -> Result<()> {
        let object = match self.drbd {
            Drbd::V84 => &self.minor,
            Drbd::V9 => self.resource,
        };
        self.run(&["drbdsetup", role, object]).map(drop)
    }

    /// Size from the kernel's sysfs: in DRBD 8.4 a device that is not primary cannot be opened.
    pub fn bytes(&self) -> Result<u64> {
        let sectors = self.run(&["cat", &format!("/sys/block/drbd{}/size", self.minor)])?;
        Ok(sectors.trim().parse::<u64>()? * 512)
    }

    /// Writes more than 1 MiB at the beginning of the device, with these options of `dd`.
    pub fn write(&self, direct: &[&str]) -> Result<()> {
        let of = format!("of={}", self.device);
        let mut argv = vec!["dd", "if=/usr/bin/bash", &of, "bs=1M", "conv=fsync"];
        argv.extend(direct);
        argv.push("status=none");
        self.run(&argv).map(drop)
    }

    /// Starts an application that writes until it is killed.
    fn keep_writing(&self) -> Result<Background> {
        let script = format!(
            "i=0; while dd if=/dev/urandom of={} bs=64k count=1 seek=$(({} + i % {})) \
             oflag=direct conv=notrunc status=none; do i=$((i + 1)); echo $i; done",
            self.device,
            WRITES_FROM_KIB / 64,
            WRITES_KIB / 64
        );
        let lab = &self.cluster.lab;
        lab.spawn(self.node, "writer", Exec::new(&["sh", "-c", &script]))
    }

    /// Compares the replicas block by block (`drbdadm verify`); fails if they differ.
    pub fn verify(&self) -> Result<()> {
        // The kernel's log is a ring buffer: messages about earlier runs may be overwritten at any time.
        self.run(&["dmesg", "--clear"])?;
        let ended = || -> Result<bool> {
            let log = self.run(&["dmesg"])?;
            Ok(log.contains("Online verify done") || log.contains("Online verify found"))
        };
        self.run(&["drbdadm", "verify", self.resource])?;
        self.cluster
            .wait_until("the verification to end", SYNC_LIMIT, ended)?;
        let now = self.run(&[
            "drbdsetup",
            "events2",
            "--now",
            "--statistics",
            self.resource,
        ])?;
        let peers: Vec<&str> = now
            .split_whitespace()
            .filter(|w| w.starts_with("out-of-sync:"))
            .collect();
        ensure!(
            !peers.is_empty() && peers.iter().all(|field| *field == "out-of-sync:0"),
            "replicas of {} differ: {now}",
            self.resource
        );
        Ok(())
    }
}

/// Number of writes of the application.
fn writes(application: &Background) -> Result<usize> {
    let log = std::fs::read_to_string(application.log())?;
    Ok(log.lines().count())
}

/// Writes to a volume of 40 MiB, resizes it to 60 MiB while it is written and to 100 MiB while it is not in use, and
/// compares the data.
pub fn check(cluster: &Cluster, resource: &str) -> Result<()> {
    let replicas = cluster.replicas(resource)?;
    let diskful: Vec<_> = replicas
        .iter()
        .filter(|replica| !replica.diskless)
        .collect();
    let writer = Side::of(cluster, resource, diskful[0])?;
    let reader = Side::of(cluster, resource, diskful[1])?;
    let before = writer.bytes()?;
    ensure!(before >= 40 << 20, "the device has {before} bytes");
    writer.role("primary")?;
    writer
        .write(&["oflag=direct"])
        .or_else(|_| writer.write(&[]))?;
    let application = writer.keep_writing()?;
    grow(&writer, 60)?;
    let at_once = writes(&application)?;
    cluster.wait_until(
        "the application to continue writing",
        Duration::from_secs(10),
        || Ok(writes(&application)? > at_once + 5),
    )?;
    cluster.lab.signal(&application, Signal::SIGKILL)?;
    cluster.wait_until("the device to be closed", Duration::from_secs(10), || {
        Ok(writer.role("secondary").is_ok())
    })?;
    writer.verify()?;
    grow(&reader, 100)?;
    writer.verify()?;
    reader.role("primary")?;
    let length: u64 = reader
        .run(&["stat", "-Lc", "%s", "/usr/bin/bash"])?
        .trim()
        .parse()?;
    let length = length.to_string();
    reader.run(&["cmp", "-n", &length, "/usr/bin/bash", &reader.device])?;
    reader.role("secondary")
}

fn grow(side: &Side<'_>, mib: u64) -> Result<()> {
    let begin = Instant::now();
    let size = format!("{mib}M");
    side.cluster
        .linstor(&["volume-definition", "set-size", side.resource, "0", &size])?;
    side.cluster
        .wait_until("the device to grow", Duration::from_secs(30), || {
            Ok(side.bytes()? >= mib << 20)
        })?;
    println!(
        "{} has grown to {size} in {:.1} s",
        side.resource,
        begin.elapsed().as_secs_f64()
    );
    side.cluster.wait_up_to_date(side.resource, 2, SYNC_LIMIT)?;
    Ok(())
}
