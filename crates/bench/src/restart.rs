//! Restarts of a satellite whose specs have not changed.
//!
//! Two satellites: one in this process on a fake machine with thin volumes and DRBD, where every command is counted, and the
//! real program on this machine with volumes in files, which needs root and loop devices.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hyper::Method;
use linstor_fake_host::{Config, DrbdKind, FakeCluster, FakeHost};
use linstor_net::tcp;
use linstor_satellite::{Options, Satellite};
use serde_json::json;
use tokio::task::JoinSet;

use crate::daemon::{self, Controller};
use crate::figure::{Figure, Goal, Samples};
use crate::rest::Rest;
use crate::scenario::{GROUP, ms, resource_name, spawn_many, spawn_one, wait_online};

const NODE: &str = "node0000";
/// How many resources the fake machine has.
const UNCHANGED: usize = 1_500;
/// How many volumes in files the real satellite has.
const FILES: usize = 500;
/// How many resources the fake machine has of which snapshots are taken, and how many snapshots.
const SNAPSHOT_RESOURCES: usize = 10;
const SOME_SNAPSHOTS: usize = 1_000;
const MANY_SNAPSHOTS: usize = 10_000;
/// Size of a volume on the fake machine, and of one in a file, in KiB.
const THIN_KIB: u64 = 102_400;
const FILE_KIB: u64 = 1_024;
/// How many spawns are measured before the restart.
const SPAWNS: usize = 20;

/// Registers the satellite on port `satellite` with one pool at the controller on port `controller`, and the group whose
/// resources have one replica in it.
async fn join(
    rest: &mut Rest,
    controller: u16,
    satellite: u16,
    kind: &str,
    place: &str,
) -> anyhow::Result<()> {
    let node = json!({
        "name": NODE, "type": "SATELLITE",
        "net_interfaces": [{
            "name": "default", "address": "127.0.0.1",
            "satellite_port": satellite, "satellite_encryption_type": "PLAIN",
        }],
        "props": {"TcpPortAutoRange": "7000-9999"},
    });
    rest.expect(Method::POST, "/v1/nodes", Some(&node)).await?;
    wait_online(controller, 1).await?;
    let pool = json!({
        "storage_pool_name": "pool", "provider_kind": kind,
        "props": {"StorDriver/StorPoolName": place},
    });
    let path = format!("/v1/nodes/{NODE}/storage-pools");
    rest.expect(Method::POST, &path, Some(&pool)).await?;
    let mut filter = json!({"place_count": 1, "storage_pool": "pool"});
    if kind == "FILE" {
        filter["layer_stack"] = json!(["STORAGE"]);
    }
    let group = json!({"name": GROUP, "select_filter": filter});
    rest.expect(Method::POST, "/v1/resource-groups", Some(&group))
        .await?;
    let path = format!("/v1/resource-groups/{GROUP}/volume-groups");
    rest.expect(Method::POST, &path, Some(&json!({}))).await?;
    Ok(())
}

/// Makes the controller dial at once, and waits until the node is online.
async fn reconnected(rest: &mut Rest, port: u16) -> anyhow::Result<()> {
    let path = format!("/v1/nodes/{NODE}/reconnect");
    rest.expect(Method::PUT, &path, None).await?;
    wait_online(port, 1).await
}

/// A fake machine with a thin pool, on which changes take no time.
fn fake_machine() -> FakeCluster {
    let machines = FakeCluster::new(1);
    machines.configure(|config| config.change_time = Duration::ZERO);
    machines.add_host(NODE, DrbdKind::V9);
    machines.add_volume_group(NODE, "vg0", 1 << 30);
    machines.add_thin_pool(NODE, "vg0", "thin", 1 << 29);
    machines
}

/// A satellite on a fake machine; dropping it is a crash.
fn serve(host: FakeHost, address: SocketAddr) -> anyhow::Result<(JoinSet<()>, SocketAddr)> {
    let listener = tcp::listen(address)?;
    let address = listener.local_addr()?;
    let satellite = Satellite::new(Arc::new(host), Options::default());
    let mut tasks = JoinSet::new();
    let running = satellite.clone();
    tasks.spawn(async move {
        if let Err(failure) = running.run().await {
            eprintln!("the satellite ended: {failure}");
        }
    });
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = tcp::accept(&listener).await {
            let satellite = satellite.clone();
            connections.spawn(async move {
                // The controller dials again when a connection ends.
                let _ = satellite.serve_connection(stream).await;
            });
        }
    });
    Ok((tasks, address))
}

/// A restart with many resources of which none has changed: time until the node is online, and commands that change something.
pub async fn unchanged_figures(
    figures: &mut Vec<Figure>,
    controller: &Path,
    directory: &Path,
) -> anyhow::Result<()> {
    let (running, _) = Controller::start(controller, &directory.join("unchanged"), 23_373).await?;
    let mut rest = Rest::connect(running.port).await?;
    let machines = fake_machine();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut satellite, address) = serve(machines.host(NODE), any_port)?;
    join(
        &mut rest,
        running.port,
        address.port(),
        "LVM_THIN",
        "vg0/thin",
    )
    .await?;
    spawn_many(running.port, 0..UNCHANGED, THIN_KIB).await?;

    machines.configure(|config| *config = Config::default());
    satellite.shutdown().await;
    machines.take_journal();
    let begin = Instant::now();
    let (_satellite, _) = serve(machines.host(NODE), address)?;
    reconnected(&mut rest, running.port).await?;
    let online = ms(begin.elapsed());
    let commands = machines.journal().len();
    figures.push(Figure::new(
        &format!("satellite: restart with {UNCHANGED} unchanged resources"),
        online,
        "ms",
        Goal::AtMost(1000.0),
        format!("fake machine, {commands} commands and file accesses until online"),
    ));
    // All passes of a start are over by then.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let journal = machines.take_journal();
    let changing = journal.iter().filter(|entry| {
        // Its own files hold specs and the identity of the controller; whether a pool has reflinks is found out by a copy.
        let own = ["/var/lib/linstor/satellite", "/.linstor-directory.copy"];
        entry.mutating && !own.iter().any(|own| entry.text.contains(own))
    });
    let changing: Vec<String> = changing.map(|entry| entry.text.clone()).collect();
    figures.push(Figure::new(
        "satellite: changing commands after that restart",
        changing.len() as f64,
        "",
        Goal::AtMost(0.0),
        match changing.first() {
            None => format!("{} commands and file accesses in 40 s", journal.len()),
            Some(first) => format!("the first one: {first}"),
        },
    ));
    Ok(())
}

/// Restarts of a satellite on a fake machine with more and more snapshots of the same volumes.
pub async fn snapshot_figures(
    figures: &mut Vec<Figure>,
    controller: &Path,
    directory: &Path,
) -> anyhow::Result<()> {
    let (running, _) = Controller::start(controller, &directory.join("snapshots"), 23_375).await?;
    let mut rest = Rest::connect(running.port).await?;
    let machines = fake_machine();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut satellite, address) = serve(machines.host(NODE), any_port)?;
    let port = running.port;
    join(&mut rest, port, address.port(), "LVM_THIN", "vg0/thin").await?;
    spawn_many(port, 0..SNAPSHOT_RESOURCES, THIN_KIB).await?;
    let (mut online, mut taken) = (Vec::new(), 0);
    for wanted in [0, SOME_SNAPSHOTS, MANY_SNAPSHOTS] {
        while taken < wanted {
            let snapshot =
                |index| json!({"resource_name": resource_name(index), "name": format!("s{taken}")});
            let snapshots: Vec<_> = (0..SNAPSHOT_RESOURCES).map(snapshot).collect();
            let body = json!({ "snapshots": snapshots });
            let path = "/v1/actions/snapshot/multi";
            rest.expect(Method::POST, path, Some(&body)).await?;
            taken += SNAPSHOT_RESOURCES;
        }
        satellite.shutdown().await;
        let begin = Instant::now();
        satellite = serve(machines.host(NODE), address)?.0;
        reconnected(&mut rest, port).await?;
        online.push(ms(begin.elapsed()));
    }
    let more = online[1] - online[0];
    figures.push(Figure::new(
        &format!("satellite: {SOME_SNAPSHOTS} snapshots at a restart"),
        more,
        "ms more",
        Goal::AtMost(200.0),
        format!(
            "fake machine, {SNAPSHOT_RESOURCES} resources, online after {:.0} ms without",
            online[0]
        ),
    ));
    figures.push(Figure::new(
        &format!("satellite: restart with {MANY_SNAPSHOTS} snapshots"),
        online[2],
        "ms",
        Goal::AtMost(2000.0),
        "the same machine, until online".to_owned(),
    ));
    Ok(())
}

/// The real satellite with volumes in files. Its loop devices are detached when it is dropped.
struct Files {
    binary: PathBuf,
    directory: PathBuf,
    child: Child,
}

impl Files {
    const PORT: u16 = 23_381;

    fn start(binary: &Path, directory: &Path) -> anyhow::Result<Self> {
        let pool = directory.join("pool");
        std::fs::create_dir_all(&pool)?;
        let child = daemon::spawn_satellite(binary, directory, Self::PORT)?;
        Ok(Files {
            binary: binary.into(),
            directory: directory.into(),
            child,
        })
    }

    fn pool(&self) -> String {
        self.directory.join("pool").display().to_string()
    }

    /// Kills it without warning and starts it again.
    fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = daemon::spawn_satellite(&self.binary, &self.directory, Self::PORT)?;
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // The process may be gone already; either way nothing is left of it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let list = Command::new("losetup")
            .args(["--list", "--noheadings", "--output", "NAME,BACK-FILE"])
            .output();
        let text = list.map_or(String::new(), |out| {
            String::from_utf8_lossy(&out.stdout).into_owned()
        });
        for line in text.lines() {
            if let Some((device, file)) = line.split_once(char::is_whitespace)
                && file.trim().starts_with(&self.pool())
            {
                // Nothing more can be done about a device that is not detached.
                let _ = Command::new("losetup").args(["--detach", device]).status();
            }
        }
    }
}

/// A restart of the real satellite with volumes in files, and the first new resource after it.
pub async fn file_figures(
    figures: &mut Vec<Figure>,
    controller: &Path,
    satellite: &Path,
    directory: &Path,
) -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        println!("Not measured: volumes in files, which need root.");
        return Ok(());
    }
    let (running, _) = Controller::start(controller, &directory.join("files"), 23_374).await?;
    let mut rest = Rest::connect(running.port).await?;
    let mut files = Files::start(satellite, &directory.join("files-satellite"))?;
    join(&mut rest, running.port, Files::PORT, "FILE", &files.pool()).await?;
    spawn_many(running.port, 0..FILES - SPAWNS, FILE_KIB).await?;
    let mut before = Vec::new();
    for index in FILES - SPAWNS..FILES {
        before.push(spawn_one(&mut rest, index, FILE_KIB).await?);
    }
    let before = Samples::new(before);

    let begin = Instant::now();
    files.restart()?;
    let deadline = begin + Duration::from_secs(60);
    while tokio::net::TcpStream::connect(("127.0.0.1", Files::PORT))
        .await
        .is_err()
    {
        ensure!(Instant::now() < deadline, "the satellite does not listen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    reconnected(&mut rest, running.port).await?;
    let online = ms(begin.elapsed());
    let first = spawn_one(&mut rest, FILES, FILE_KIB).await?;
    figures.push(Figure::new(
        &format!("satellite: restart with {FILES} volumes in files"),
        online,
        "ms",
        Goal::AtMost(2000.0),
        "the real program on this machine, killed before, until online".to_owned(),
    ));
    figures.push(Figure::new(
        "first spawn after that restart against others",
        first / before.percentile(50.0),
        "times",
        Goal::AtMost(1.5),
        format!("{first:.0} ms; before {} ms", before.summary()),
    ));
    for index in 0..=FILES {
        let path = format!("/v1/resource-definitions/{}", resource_name(index));
        rest.expect(Method::DELETE, &path, None)
            .await
            .context("remove the volumes")?;
    }
    Ok(())
}
