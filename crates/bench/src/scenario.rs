//! What is measured, in the order in which the cluster grows.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};

use crate::daemon::{self, Controller};
use crate::figure::{Figure, Goal, Samples};
use crate::placement;
use crate::reference;
use crate::rest::{Encoding, Rest};
use crate::restart;
use crate::satellites::Satellite;

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Cold start and memory of idle programs.
    Idle,
    /// Spawning with one client and with many.
    Spawn,
    /// Lists of all resources, and memory with as many as they show.
    View,
    /// Events of DRBD from all satellites: memory, and how soon views show them.
    Events,
    /// Restart with many resources.
    Restart,
    /// Memory with as many resources as there are at the end.
    Memory,
    /// Placement in a large cluster.
    Placement,
    /// Restart of a satellite with many resources that have not changed, on a fake machine.
    Unchanged,
    /// Restart of a satellite with many snapshots, on a fake machine.
    Snapshots,
    /// Restart of the real satellite with many volumes in files; needs root.
    Files,
    /// A cluster of 1,000 nodes with 100,000 resources: memory, spawning, restart, and whether a commit costs more.
    Scale,
}

/// What is measured, and how large the cluster is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to measure; all when empty.
    pub only: Vec<Part>,
    /// Simulated satellites.
    pub satellites: usize,
    /// Resources (two per definition) at the end.
    pub resources: usize,
}

impl Settings {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn needs_cluster(&self) -> bool {
        [
            Part::Spawn,
            Part::View,
            Part::Events,
            Part::Restart,
            Part::Memory,
        ]
        .iter()
        .any(|part| self.has(*part))
    }
}

pub const GROUP: &str = "bench";
const CLIENTS: usize = 64;
const VOLUME_KIB: u64 = 102_400;
const SERIAL_SPAWNS: usize = 300;
const VIEW_ROWS: usize = 10_000;
const RESTART_RESOURCES: usize = 30_000;

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Runs the scenarios on a fresh controller.
pub async fn run(
    controller: &Path,
    satellite: &Path,
    settings: &Settings,
) -> anyhow::Result<Vec<Figure>> {
    let directory = tempfile::tempdir()?;
    let mut figures = Vec::new();
    let fdatasync = reference::fdatasync_ms(directory.path())?;
    let sync_ms = fdatasync.percentile(50.0);
    let about = format!("this disk, 4 KiB appends, {} ms", fdatasync.summary());
    figures.push(Figure::new(
        "reference: fdatasync",
        sync_ms,
        "ms",
        Goal::None,
        about,
    ));
    if settings.has(Part::Idle) {
        idle_figures(
            &mut figures,
            controller,
            satellite,
            directory.path(),
            sync_ms,
        )
        .await?;
    }
    if settings.needs_cluster() {
        cluster_figures(
            &mut figures,
            controller,
            directory.path(),
            settings,
            sync_ms,
        )
        .await?;
    }
    if settings.has(Part::Placement) {
        figures.push(placement::figure()?);
    }
    if settings.has(Part::Unchanged) {
        restart::unchanged_figures(&mut figures, controller, directory.path()).await?;
    }
    if settings.has(Part::Snapshots) {
        restart::snapshot_figures(&mut figures, controller, directory.path()).await?;
    }
    if settings.has(Part::Files) {
        restart::file_figures(&mut figures, controller, satellite, directory.path()).await?;
    }
    if settings.has(Part::Scale) {
        scale_figures(&mut figures, controller, directory.path()).await?;
    }
    Ok(figures)
}

/// What the programs need while they have nothing to do.
async fn idle_figures(
    figures: &mut Vec<Figure>,
    controller: &Path,
    satellite: &Path,
    directory: &Path,
    sync_ms: f64,
) -> anyhow::Result<()> {
    let mut cold = Vec::new();
    for attempt in 0..5 {
        let fresh = directory.join(format!("cold{attempt}"));
        let (_stopped_at_once, time) = Controller::start(controller, &fresh, 23_371).await?;
        cold.push(ms(time));
    }
    let cold = Samples::new(cold);
    let about = format!(
        "{:.0} fdatasyncs; 5 fresh databases",
        cold.percentile(50.0) / sync_ms
    );
    figures.push(Figure::new(
        "controller: cold start to first answer",
        cold.percentile(50.0),
        "ms",
        Goal::AtMost(150.0),
        about,
    ));
    let (rss, anonymous) = daemon::idle_satellite_mib(satellite, directory, 23_366).await?;
    figures.push(Figure::new(
        "satellite: memory idle",
        rss,
        "MiB",
        Goal::AtMost(15.0),
        format!("RSS, {anonymous:.1} MiB of it anonymous"),
    ));
    Ok(())
}

/// One controller whose cluster grows.
async fn cluster_figures(
    figures: &mut Vec<Figure>,
    controller: &Path,
    directory: &Path,
    settings: &Settings,
    sync_ms: f64,
) -> anyhow::Result<()> {
    let (mut running, _) = Controller::start(controller, &directory.join("main"), 23_370).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let about = format!("RSS, {:.1} MiB of it anonymous", running.anonymous_mib()?);
    figures.push(Figure::new(
        "controller: memory idle",
        running.rss_mib()?,
        "MiB",
        Goal::AtMost(25.0),
        about,
    ));
    let satellites = join_satellites(running.port, settings.satellites).await?;
    let empty_mib = running.rss_mib()?;
    let about = format!("RSS with {} nodes", settings.satellites);
    figures.push(Figure::new(
        "controller: memory with nodes",
        empty_mib,
        "MiB",
        Goal::None,
        about,
    ));

    if settings.has(Part::Spawn) {
        spawn_figures(figures, &running, sync_ms).await?;
    }
    if settings.has(Part::View) {
        fill(running.port, VIEW_ROWS / 2).await?;
        memory_figure(figures, &running, empty_mib, VIEW_ROWS)?;
        view_figures(figures, &running, &satellites[0]).await?;
    }
    if settings.has(Part::Events) {
        fill(running.port, VIEW_ROWS / 2).await?;
        event_figures(figures, &running, &satellites).await?;
    }
    if settings.has(Part::Restart) && settings.resources >= RESTART_RESOURCES {
        fill(running.port, RESTART_RESOURCES / 2).await?;
        restart_figure(figures, &mut running, RESTART_RESOURCES, 250.0).await?;
        wait_online(running.port, settings.satellites).await?;
    }
    if settings.has(Part::Memory) && settings.resources > VIEW_ROWS {
        fill(running.port, settings.resources / 2).await?;
        memory_figure(figures, &running, empty_mib, settings.resources)?;
    }
    Ok(())
}

/// Registers the satellites with a thin pool each, and the group that resources are spawned from.
async fn join_satellites(port: u16, count: usize) -> anyhow::Result<Vec<Satellite>> {
    let mut rest = Rest::connect(port).await?;
    let mut satellites = Vec::new();
    for index in 0..count {
        let satellite = Satellite::start(format!("node{index:04}"))?;
        let node = json!({
            "name": satellite.name, "type": "SATELLITE",
            "net_interfaces": [{
                "name": "default", "address": "127.0.0.1",
                "satellite_port": satellite.address.port(), "satellite_encryption_type": "PLAIN",
            }],
        });
        rest.expect(Method::POST, "/v1/nodes", Some(&node)).await?;
        satellites.push(satellite);
    }
    wait_online(port, count).await?;
    for satellite in &satellites {
        let pool = json!({
            "storage_pool_name": "thin", "provider_kind": "LVM_THIN",
            "props": {"StorDriver/StorPoolName": "vg0/thin"},
        });
        let path = format!("/v1/nodes/{}/storage-pools", satellite.name);
        rest.expect(Method::POST, &path, Some(&pool)).await?;
    }
    let group = json!({"name": GROUP, "select_filter": {"place_count": 2, "storage_pool": "thin"}});
    rest.expect(Method::POST, "/v1/resource-groups", Some(&group))
        .await?;
    rest.expect(
        Method::POST,
        &format!("/v1/resource-groups/{GROUP}/volume-groups"),
        Some(&json!({})),
    )
    .await?;
    // Odd replica counts need no tie breaker, two replicas do: without it each definition has exactly two resources.
    let props = json!({"override_props": {"DrbdOptions/auto-add-quorum-tiebreaker": "false"}});
    rest.expect(
        Method::PUT,
        &format!("/v1/resource-groups/{GROUP}"),
        Some(&props),
    )
    .await?;
    Ok(satellites)
}

pub async fn wait_online(port: u16, count: usize) -> anyhow::Result<()> {
    let mut rest = Rest::connect(port).await?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let bytes = rest.expect(Method::GET, "/v1/nodes", None).await?;
        let nodes: Vec<Value> = serde_json::from_slice(&bytes)?;
        let online = nodes
            .iter()
            .filter(|node| node["connection_status"] == "ONLINE")
            .count();
        if online == count {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{online} of {count} nodes are online after a minute"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The resource definition of this number.
pub fn resource_name(index: usize) -> String {
    format!("bench-{index:06}")
}

/// Spawns one definition with a volume of this size; returns how long that took in milliseconds.
pub async fn spawn_one(rest: &mut Rest, index: usize, kib: u64) -> anyhow::Result<f64> {
    let body = json!({"resource_definition_name": resource_name(index), "volume_sizes": [kib]});
    let begin = Instant::now();
    rest.expect(
        Method::POST,
        &format!("/v1/resource-groups/{GROUP}/spawn"),
        Some(&body),
    )
    .await?;
    Ok(ms(begin.elapsed()))
}

/// How many definitions there are.
async fn definitions(rest: &mut Rest) -> anyhow::Result<usize> {
    let bytes = rest
        .expect(Method::GET, "/v1/resource-definitions", None)
        .await?;
    Ok(serde_json::from_slice::<Vec<Value>>(&bytes)?.len())
}

async fn spawn_figures(
    figures: &mut Vec<Figure>,
    controller: &Controller,
    sync_ms: f64,
) -> anyhow::Result<()> {
    let mut rest = Rest::connect(controller.port).await?;
    let (begin, cpu_ms) = (Instant::now(), controller.cpu_ms()?);
    let mut serial = Vec::new();
    for index in 0..SERIAL_SPAWNS {
        serial.push(spawn_one(&mut rest, index, VOLUME_KIB).await?);
    }
    let rate = SERIAL_SPAWNS as f64 / begin.elapsed().as_secs_f64();
    let serial = Samples::new(serial);
    let about = format!(
        "{} ms; one is {:.1} fdatasyncs, {:.2} ms of the controller's CPU",
        serial.summary(),
        serial.percentile(50.0) / sync_ms,
        (controller.cpu_ms()? - cpu_ms) / SERIAL_SPAWNS as f64
    );
    figures.push(Figure::new(
        "spawn, one client",
        rate,
        "1/s",
        Goal::AtLeast(1000.0),
        about,
    ));

    let (begin, cpu_ms) = (Instant::now(), controller.cpu_ms()?);
    let samples = spawn_many(
        controller.port,
        SERIAL_SPAWNS..SERIAL_SPAWNS + 3000,
        VOLUME_KIB,
    )
    .await?;
    let rate = samples.len() as f64 / begin.elapsed().as_secs_f64();
    let cpu_ms = (controller.cpu_ms()? - cpu_ms) / samples.len() as f64;
    let samples = Samples::new(samples);
    let about = format!(
        "{} ms; {:.1} per fdatasync time, {cpu_ms:.2} ms of the controller's CPU each",
        samples.summary(),
        rate * sync_ms / 1e3
    );
    figures.push(Figure::new(
        "spawn, 64 clients",
        rate,
        "1/s",
        Goal::AtLeast(5000.0),
        about,
    ));
    Ok(())
}

/// Spawns the definitions of these indexes from many clients; returns how long each took.
pub async fn spawn_many(port: u16, indexes: Range<usize>, kib: u64) -> anyhow::Result<Vec<f64>> {
    let next = Arc::new(AtomicUsize::new(indexes.start));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let next = next.clone();
        clients.spawn(async move {
            let mut rest = Rest::connect(port).await?;
            let mut samples = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= indexes.end {
                    return anyhow::Ok(samples);
                }
                samples.push(spawn_one(&mut rest, index, kib).await?);
            }
        });
    }
    let mut samples = Vec::new();
    while let Some(client) = clients.join_next().await {
        samples.extend(client??);
    }
    Ok(samples)
}

/// Spawns until there are so many definitions.
async fn fill(port: u16, to: usize) -> anyhow::Result<()> {
    let mut rest = Rest::connect(port).await?;
    let there = definitions(&mut rest).await?;
    if there < to {
        spawn_many(port, there..to, VOLUME_KIB)
            .await
            .context("fill the cluster")?;
    }
    Ok(())
}

fn memory_figure(
    figures: &mut Vec<Figure>,
    controller: &Controller,
    empty_mib: f64,
    resources: usize,
) -> anyhow::Result<()> {
    let per_resource = (controller.rss_mib()? - empty_mib) * 1024.0 / resources as f64;
    let name = format!("controller: memory per resource at {resources}");
    let about = format!("RSS {:.0} MiB", controller.rss_mib()?);
    figures.push(Figure::new(
        &name,
        per_resource,
        "KiB",
        Goal::AtMost(4.0),
        about,
    ));
    Ok(())
}

async fn view_figures(
    figures: &mut Vec<Figure>,
    controller: &Controller,
    sick: &Satellite,
) -> anyhow::Result<()> {
    for encoding in [Encoding::Plain, Encoding::Gzip] {
        let with = match encoding {
            Encoding::Plain => "",
            Encoding::Gzip => ", gzip",
        };
        let list = view(controller, encoding).await?;
        let name = format!("view/resources, {VIEW_ROWS} rows{with}");
        figures.push(list.figure(&name));
        sick.fall_silent();
        let list = view(controller, encoding).await?;
        sick.speak();
        figures.push(list.figure(&format!("{name}, one satellite silent")));
    }
    Ok(())
}

/// Events of DRBD each second, from all satellites together.
const EVENTS_PER_S: u32 = 10_000;
/// How long they last.
const EVENTS_FOR: Duration = Duration::from_secs(60);

/// What the controller needs while all satellites report changes, and how soon a change is in a view.
async fn event_figures(
    figures: &mut Vec<Figure>,
    controller: &Controller,
    satellites: &[Satellite],
) -> anyhow::Result<()> {
    let mut rest = Rest::connect(controller.port).await?;
    for satellite in satellites {
        satellite.report_events(EVENTS_PER_S / satellites.len() as u32);
    }
    // Buffers grow to what they need at first.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before_mib, cpu_ms, begin) = (controller.rss_mib()?, controller.cpu_ms()?, Instant::now());
    let (mut samples, mut score) = (Vec::new(), 1_000_000);
    while begin.elapsed() < EVENTS_FOR {
        score += 1;
        let marked_at = Instant::now();
        satellites[0].mark(score);
        while !shows(&mut rest, &satellites[0], score).await? {
            anyhow::ensure!(
                marked_at.elapsed() < Duration::from_secs(30),
                "an event is in no view"
            );
        }
        samples.push(ms(marked_at.elapsed()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let cpu = (controller.cpu_ms()? - cpu_ms) / ms(begin.elapsed());
    let grown_mib = controller.rss_mib()? - before_mib;
    for satellite in satellites {
        satellite.report_events(0);
    }
    let samples = Samples::new(samples);
    let name = format!("events, {EVENTS_PER_S}/s for {} s", EVENTS_FOR.as_secs());
    let about = format!("{} ms; {:.0} % of one core", samples.summary(), cpu * 100.0);
    let goal = Goal::AtMost(1000.0);
    figures.push(Figure::new(
        &format!("{name}: until a view shows one"),
        samples.percentile(99.0),
        "ms",
        goal,
        about,
    ));
    let about = format!("RSS {before_mib:.0} MiB before");
    let goal = Goal::AtMost(8.0);
    figures.push(Figure::new(
        &format!("{name}: memory grows by"),
        grown_mib,
        "MiB",
        goal,
        about,
    ));
    Ok(())
}

/// Whether the view of the satellite's marked resource has this score.
async fn shows(rest: &mut Rest, satellite: &Satellite, score: i32) -> anyhow::Result<bool> {
    let Some(name) = satellite.marked() else {
        tokio::time::sleep(Duration::from_millis(1)).await;
        return Ok(false);
    };
    let path = format!(
        "/v1/view/resources?resources={name}&nodes={}",
        satellite.name
    );
    let rows = rest.expect(Method::GET, &path, None).await?;
    let rows: Vec<Value> = serde_json::from_slice(&rows)?;
    Ok(rows
        .iter()
        .any(|row| row["layer_object"]["drbd"]["promotion_score"] == score))
}

/// A list that was read several times.
struct List {
    samples: Samples,
    bytes: usize,
    received: usize,
    /// Processor time of the controller for each.
    cpu_ms: f64,
}

impl List {
    fn figure(&self, name: &str) -> Figure {
        let median = self.samples.percentile(50.0);
        let about = format!(
            "{} ms; {:.1} MB ({:.1} received), {:.0} memory copies of it, {:.0} ms of the controller's CPU",
            self.samples.summary(),
            self.bytes as f64 / 1e6,
            self.received as f64 / 1e6,
            median / reference::memory_copy_ms(self.bytes),
            self.cpu_ms
        );
        Figure::new(name, median, "ms", Goal::AtMost(25.0), about)
    }
}

/// Reads the whole list until the client has all of it.
async fn view(controller: &Controller, encoding: Encoding) -> anyhow::Result<List> {
    const ROUNDS: usize = 20;
    let mut rest = Rest::connect(controller.port).await?;
    let cpu_ms = controller.cpu_ms()?;
    let mut samples = Vec::new();
    let (mut bytes, mut received) = (0, 0);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let (body, on_wire) = rest.read("/v1/view/resources", encoding).await?;
        samples.push(ms(begin.elapsed()));
        (bytes, received) = (body.len(), on_wire);
        let rows = serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&body)?.len();
        anyhow::ensure!(rows == VIEW_ROWS, "{rows} rows instead of {VIEW_ROWS}");
    }
    Ok(List {
        samples: Samples::new(samples),
        bytes,
        received,
        cpu_ms: (controller.cpu_ms()? - cpu_ms) / ROUNDS as f64,
    })
}

/// How many nodes, and how many resources, the largest cluster has.
const SCALE_NODES: usize = 1_000;
const SCALE_RESOURCES: usize = 100_000;
/// How many resources there are when a commit is measured for the first time.
const SCALE_RESOURCES_BEFORE: usize = 10_000;

/// What a large cluster needs, and whether a change of one definition costs more in it.
async fn scale_figures(
    figures: &mut Vec<Figure>,
    controller: &Path,
    directory: &Path,
) -> anyhow::Result<()> {
    let (mut running, _) = Controller::start(controller, &directory.join("scale"), 23_372).await?;
    let _satellites = join_satellites(running.port, SCALE_NODES).await?;
    let empty_mib = running.rss_mib()?;
    // The default range has numbers for 49,000 volumes.
    let range = json!({"override_props": {"MinorNrAutoRange": "1000-99999"}});
    let mut rest = Rest::connect(running.port).await?;
    rest.expect(Method::POST, "/v1/controller/properties", Some(&range))
        .await?;
    fill(running.port, SCALE_RESOURCES_BEFORE / 2).await?;
    let before = commits(&running).await?;
    let begin = Instant::now();
    fill(running.port, SCALE_RESOURCES / 2).await?;
    let rate =
        (SCALE_RESOURCES - SCALE_RESOURCES_BEFORE) as f64 / 2.0 / begin.elapsed().as_secs_f64();
    let after = commits(&running).await?;
    let about =
        format!("{CLIENTS} clients, from {SCALE_RESOURCES_BEFORE} to {SCALE_RESOURCES} resources");
    let name = format!("spawn, {SCALE_NODES} nodes");
    figures.push(Figure::new(&name, rate, "1/s", Goal::None, about));
    memory_figure(figures, &running, empty_mib, SCALE_RESOURCES)?;
    let about = format!(
        "CPU {:.2} ms at {SCALE_RESOURCES_BEFORE} resources, {:.2} ms at {SCALE_RESOURCES}; {} ms and {} ms on the clock",
        before.cpu_ms,
        after.cpu_ms,
        before.samples.summary(),
        after.samples.summary()
    );
    let name = format!("commit at {SCALE_RESOURCES} resources against {SCALE_RESOURCES_BEFORE}");
    let ratio = after.cpu_ms / before.cpu_ms;
    figures.push(Figure::new(&name, ratio, "times", Goal::AtMost(1.5), about));
    restart_figure(figures, &mut running, SCALE_RESOURCES, 1000.0).await
}

/// How long a controller that was killed takes until it answers a question about resources again.
async fn restart_figure(
    figures: &mut Vec<Figure>,
    controller: &mut Controller,
    resources: usize,
    goal_ms: f64,
) -> anyhow::Result<()> {
    let time = controller.restart("/v1/view/resources?limit=1").await?;
    let cpu_ms = controller.cpu_ms()?;
    let about = format!(
        "killed before, to the first answer; {cpu_ms:.0} ms of its CPU, {:.1} µs for each resource",
        cpu_ms * 1e3 / resources as f64
    );
    let name = format!("controller: restart with {resources} resources");
    let goal = Goal::AtMost(goal_ms);
    figures.push(Figure::new(&name, ms(time), "ms", goal, about));
    Ok(())
}

/// Changes of one property of one definition, one after the other.
struct Commits {
    samples: Samples,
    /// Processor time of the controller for each.
    cpu_ms: f64,
}

async fn commits(controller: &Controller) -> anyhow::Result<Commits> {
    const ROUNDS: usize = 500;
    // What the commits before left to be done is not what one costs.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle_ms = controller.cpu_ms()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle_per_ms = (controller.cpu_ms()? - idle_ms) / 1e3;
    let mut rest = Rest::connect(controller.port).await?;
    let (begin, cpu_ms) = (Instant::now(), controller.cpu_ms()?);
    let mut samples = Vec::new();
    for round in 0..ROUNDS {
        let change = json!({"override_props": {"Aux/bench": round.to_string()}});
        let path = format!("/v1/resource-definitions/{}", resource_name(round));
        let begin = Instant::now();
        rest.expect(Method::PUT, &path, Some(&change)).await?;
        samples.push(ms(begin.elapsed()));
    }
    let idle_ms = idle_per_ms * ms(begin.elapsed());
    Ok(Commits {
        samples: Samples::new(samples),
        cpu_ms: (controller.cpu_ms()? - cpu_ms - idle_ms).max(0.0) / ROUNDS as f64,
    })
}
