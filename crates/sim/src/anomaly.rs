//! Scenarios in which every command, and every store write, fails once.

use std::sync::Arc;
use std::time::Duration;

use linstor_controller::Cluster;
use linstor_fake_host::{self as fake, DrbdKind, Effect, Match};
use linstor_model::process::KindName;
use linstor_model::{Model, ResourceDefinition};
use linstor_store::memory;
use tokio::time::{Instant, sleep};

use crate::cluster::{POOL_KIB, Shape, VOLUME_GROUP};
use crate::fault;
use crate::run::{Parameters, Report, Run, on_own_runtime};
use crate::trace::Trace;
use crate::workload::Op;

/// The resource that all scenarios are about.
const NAME: &str = "r1";
/// Its size at first, and after it was grown.
const SIZES_KIB: [u64; 2] = [8 * 1024, 24 * 1024];
/// A snapshot of it, and what is made of that.
const SNAPSHOT: &str = "s1";
const COPY: &str = "r2";
/// An application writes into so many blocks.
const BLOCKS: u64 = 8;
/// What was written before and after the snapshot.
const WRITTEN: [u64; 2] = [1, 2];
/// How long the scenario is watched for crashes before everything is mended.
const WATCHED: Duration = Duration::from_secs(20);
/// How often it is looked whether there was another step.
const CANCEL_LOOK: Duration = Duration::from_millis(5);
/// The most commands or writes that a scenario can have; more would be a loop.
const STEPS_MAX: u32 = 400;

/// Something that users do every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A resource with two replicas is made.
    Spawn,
    /// It gets one more replica, or with DRBD 8.4 the second one.
    AddReplica,
    /// A replica is deactivated.
    Deactivate,
    /// A deactivated replica is activated.
    Activate,
    /// A node with a replica comes back after a loss of power.
    NodeReturns,
    /// Another resource is made of a snapshot of it.
    Restore,
    /// A process of this kind goes from its first step to its last.
    Process(KindName),
}

impl Scenario {
    /// Whether nodes like these can do it.
    pub fn is_possible(self, shape: Shape) -> bool {
        match self {
            Scenario::Process(KindName::AddDisk | KindName::RemoveDisk | KindName::Migrate) => {
                shape.drbd == Some(DrbdKind::V9)
            }
            Scenario::Process(
                KindName::TakeSnapshot
                | KindName::DeleteSnapshot
                | KindName::RollBack
                | KindName::CloneDefinition,
            )
            | Scenario::Restore => shape.thin,
            Scenario::Process(
                KindName::ShipBackup | KindName::RestoreBackup | KindName::ShipSnapshot,
            ) => false,
            Scenario::Process(
                KindName::DeleteNode
                | KindName::DeleteResourceDefinition
                | KindName::DeleteVolumeDefinition
                | KindName::DeleteResource
                | KindName::Resize,
            )
            | Scenario::Spawn
            | Scenario::AddReplica
            | Scenario::Deactivate
            | Scenario::Activate
            | Scenario::NodeReturns => true,
        }
    }
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// A command that is meant to change something, on whichever node it runs.
    Command(Effect),
    /// A write of the store.
    Write(memory::Fault),
}

/// All that is tried.
pub const STRIKES: [Strike; 8] = [
    Strike::Command(Effect::FailsBefore(7)),
    Strike::Command(Effect::FailsAfter(7)),
    Strike::Command(Effect::CrashBefore),
    Strike::Command(Effect::CrashAfter),
    Strike::Write(memory::Fault::BeforeWrite),
    Strike::Write(memory::Fault::AfterWrite),
    Strike::Write(memory::Fault::DeadBeforeWrite),
    Strike::Write(memory::Fault::DeadAfterWrite),
];

/// How often something failed until the scenario passed untouched, or what was wrong.
pub fn every_step(shape: Shape, scenario: Scenario, strike: Strike) -> Result<u32, String> {
    for nth in 0..STEPS_MAX {
        let (report, struck) = once(shape, scenario, strike, nth);
        if !report.failures.is_empty() {
            return Err(format!(
                "{shape:?}, {scenario:?}, {strike:?}, number {nth}:\n{}\n{}",
                report.trace.join("\n"),
                report.commands.join("\n"),
            ));
        }
        if !struck {
            return Ok(nth);
        }
    }
    Err(format!(
        "{shape:?}, {scenario:?}, {strike:?}: no end after {STEPS_MAX} steps"
    ))
}

/// The scenario with one failure; tells whether it struck.
fn once(shape: Shape, scenario: Scenario, strike: Strike, nth: u32) -> (Report, bool) {
    on_own_runtime(async move {
        let mut run = Run::new(Parameters::untroubled(shape), Trace::new(false)).await;
        let struck = play(&mut run, scenario, strike, nth).await;
        (run.end().await, struck)
    })
}

/// Brings about what the scenario begins with.
async fn prepare(run: &mut Run, scenario: Scenario) {
    run.register().await;
    if scenario != Scenario::Spawn {
        let place = if scenario == Scenario::AddReplica {
            1
        } else {
            2
        };
        run.ask(spawn(run, place));
        run.come_to_rest("before").await;
    }
    match scenario {
        Scenario::Process(KindName::AddDisk) => {
            ask_about_replica(run, Scenario::Process(KindName::RemoveDisk));
            run.come_to_rest("without the disk").await;
        }
        Scenario::Process(KindName::Migrate) => {
            if let Some(node) = free_node(run) {
                run.ask(Op::Create {
                    name: NAME.to_owned(),
                    node,
                    diskless: true,
                });
                run.come_to_rest("with a diskless replica").await;
            }
        }
        Scenario::Activate => {
            ask_about_replica(run, Scenario::Deactivate);
            run.come_to_rest("deactivated").await;
        }
        Scenario::Restore => {
            write_all(run, 1);
            run.ask(Op::Snapshot {
                name: NAME.to_owned(),
                snapshot: SNAPSHOT.to_owned(),
            });
            run.come_to_rest("with a snapshot").await;
            write_all(run, 2);
        }
        Scenario::Process(KindName::CloneDefinition) => write_all(run, 1),
        Scenario::Spawn
        | Scenario::AddReplica
        | Scenario::Deactivate
        | Scenario::NodeReturns
        | Scenario::Process(
            KindName::DeleteNode
            | KindName::DeleteResourceDefinition
            | KindName::DeleteVolumeDefinition
            | KindName::DeleteResource
            | KindName::Resize
            | KindName::RemoveDisk
            | KindName::TakeSnapshot
            | KindName::ShipBackup
            | KindName::RestoreBackup
            | KindName::ShipSnapshot,
        ) => {}
        Scenario::Process(KindName::DeleteSnapshot | KindName::RollBack) => {
            write(run, WRITTEN[0]);
            run.ask(snapshot(SNAPSHOT));
            run.come_to_rest("with a snapshot").await;
            write(run, WRITTEN[1]);
            // What is written after the snapshot may be given up.
            run.sim.fake.release(NAME);
        }
    }
}

fn snapshot(snapshot: &str) -> Op {
    Op::Snapshot {
        name: NAME.to_owned(),
        snapshot: snapshot.to_owned(),
    }
}

/// An application writes a value into the first block.
fn write(run: &mut Run, value: u64) {
    let Some(node) = diskful_node(run) else {
        return;
    };
    let fake = &run.sim.fake;
    let written = fake.open(&node, NAME, 0).and_then(|()| {
        let written = fake.write(&node, NAME, 0, 0, value);
        fake.close(&node, NAME, 0);
        written.map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        run.sim
            .failures
            .push(format!("{value} is not written: {error}"));
    }
}

/// After a rollback every replica has what the snapshot has, and after one that has failed what was written since.
fn check_content(run: &mut Run) {
    let Some(cluster) = run.sim.cluster() else {
        return;
    };
    let model = cluster.model();
    let rolled_back = model.definitions.values().any(is_rolled_back);
    let wanted = WRITTEN[usize::from(!rolled_back)];
    for row in model.resources.values().filter(|row| !row.is_diskless()) {
        let path = format!("/dev/{VOLUME_GROUP}/{NAME}_00000");
        let found = run.sim.fake.peek(row.node.as_str(), &path, 0);
        if found != Some(wanted) {
            let text = format!("{path} on {} has {found:?}, not {wanted}", row.node);
            run.sim.failures.push(text);
        }
    }
}

fn is_rolled_back(definition: &Arc<ResourceDefinition>) -> bool {
    let last = definition.snapshots.rollback.as_ref();
    last.is_some_and(|last| last.failure.is_none())
}

/// Cancels a process of this kind at each of its steps, in a run for each. Returns how many steps there were, or what was
/// wrong.
pub fn cancel_at_every_step(shape: Shape, kind: KindName) -> Result<u32, String> {
    for nth in 0..STEPS_MAX {
        let (report, cancelled) = on_own_runtime(async move {
            let mut run = Run::new(Parameters::untroubled(shape), Trace::new(false)).await;
            let cancelled = play_and_cancel(&mut run, kind, nth).await;
            (run.end().await, cancelled)
        });
        if !report.failures.is_empty() {
            return Err(format!(
                "{shape:?}, {kind:?}, cancelled at step {nth}:\n{}\n{}",
                report.trace.join("\n"),
                report.commands.join("\n"),
            ));
        }
        if !cancelled {
            return Ok(nth);
        }
    }
    Err(format!(
        "{shape:?}, {kind:?}: no end after {STEPS_MAX} steps"
    ))
}

/// Cancels what goes on after so many commits and changing commands; tells whether there was anything to cancel.
async fn play_and_cancel(run: &mut Run, kind: KindName, nth: u32) -> bool {
    let scenario = Scenario::Process(kind);
    prepare(run, scenario).await;
    begin(run, scenario).await;
    let (mut seen, mut last) = (0, progress(run));
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        let now = progress(run);
        if now != last {
            last = now;
            seen += 1;
        }
        let busy = |cluster: Cluster| {
            let model = cluster.model();
            let mut processes = model.processes.values();
            processes.any(|process| process.kind.name() == kind)
        };
        if seen > nth && run.sim.cluster().is_some_and(busy) {
            run.ask(Op::Cancel);
            run.come_to_rest("after it was cancelled").await;
            if kind == KindName::RollBack {
                check_content(run);
            }
            return true;
        }
        sleep(CANCEL_LOOK).await;
    }
    run.come_to_rest("untouched").await;
    false
}

/// What a step changes: the generation, and how many commands ran that change something.
fn progress(run: &Run) -> (u64, usize) {
    let generation = run
        .sim
        .cluster()
        .map_or(0, |cluster| cluster.model().generation);
    let journal = run.sim.fake.journal();
    (
        generation,
        journal.iter().filter(|entry| entry.mutating).count(),
    )
}

async fn play(run: &mut Run, scenario: Scenario, strike: Strike, nth: u32) -> bool {
    prepare(run, scenario).await;
    if scenario == Scenario::NodeReturns {
        run.sim.crash_host("n1").await;
        sleep(Duration::from_secs(10)).await;
    }
    let from = diskful_node(run);
    let writes_before = run.sim.store.attempts();
    match strike {
        Strike::Command(effect) => run.sim.fake.inject(fake::Fault {
            node: String::new(),
            matches: Match::Mutating,
            skip: nth,
            times: 1,
            effect,
        }),
        Strike::Write(fault) => run
            .sim
            .store
            .fail_write(writes_before + 1 + u64::from(nth), fault),
    }
    begin(run, scenario).await;
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        run.tend().await;
        sleep(Duration::from_secs(1)).await;
    }
    let struck = match strike {
        Strike::Command(_) => run.sim.fake.disarm() == 0,
        Strike::Write(_) => run.sim.store.attempts() > writes_before + u64::from(nth),
    };
    run.sim.trace.add(format_args!("struck: {struck}"));
    fault::cure_all(&mut run.sim).await;
    run.come_to_rest("after the failure").await;
    let is_rollback = scenario == Scenario::Process(KindName::RollBack);
    if is_rollback {
        check_content(run);
    }
    if !is_reached(run, scenario, from.as_deref()) {
        run.sim.trace.add("it was refused, and is asked for again");
        begin(run, scenario).await;
        run.come_to_rest("after the second attempt").await;
        if !is_reached(run, scenario, from.as_deref()) {
            run.sim
                .failures
                .push(format!("{scenario:?} was not reached"));
        }
        if is_rollback {
            check_content(run);
        }
    }
    struck
}

fn spawn(run: &Run, place: i32) -> Op {
    Op::Spawn {
        name: NAME.to_owned(),
        kib: SIZES_KIB[0],
        place,
        drbd: run.sim.shape.drbd.is_some(),
    }
}

async fn begin(run: &mut Run, scenario: Scenario) {
    let name = NAME.to_owned();
    let op = match scenario {
        Scenario::Spawn => spawn(run, 2),
        Scenario::AddReplica => {
            let Some(node) = free_node(run) else { return };
            Op::Create {
                name,
                node,
                diskless: false,
            }
        }
        Scenario::Process(KindName::Resize) => Op::Grow {
            name,
            kib: SIZES_KIB[1],
        },
        Scenario::Process(KindName::DeleteResourceDefinition) => Op::DeleteDefinition { name },
        Scenario::Process(KindName::DeleteVolumeDefinition) => Op::DeleteVolume { name },
        Scenario::Process(KindName::DeleteNode) => {
            let Some(node) = diskful_node(run) else {
                return;
            };
            Op::DeleteNode { node }
        }
        Scenario::Process(KindName::Migrate) => {
            let Some(from) = diskful_node(run) else {
                return;
            };
            let model = run.sim.cluster().map(|cluster| cluster.model());
            let mut rows = model.iter().flat_map(|model| model.resources.values());
            let Some(to) = rows.find(|row| row.is_diskless()) else {
                return;
            };
            let node = to.node.to_string();
            Op::Migrate { name, node, from }
        }
        Scenario::Process(KindName::TakeSnapshot) => {
            let model = run.sim.cluster().map(|cluster| cluster.model());
            let rows = model.iter().flat_map(|model| model.snapshots.values());
            let taken = rows.map(|rows| rows.len()).sum::<usize>();
            snapshot(&format!("{SNAPSHOT}{taken}"))
        }
        Scenario::Process(KindName::DeleteSnapshot) => Op::DeleteSnapshot {
            name,
            snapshot: SNAPSHOT.to_owned(),
        },
        Scenario::Process(
            KindName::ShipBackup | KindName::RestoreBackup | KindName::ShipSnapshot,
        ) => return,
        Scenario::Process(KindName::RollBack) => Op::RollBack {
            name,
            snapshot: SNAPSHOT.to_owned(),
        },
        Scenario::Process(KindName::CloneDefinition) => Op::Clone {
            name,
            to: COPY.to_owned(),
        },
        Scenario::Process(KindName::DeleteResource | KindName::RemoveDisk | KindName::AddDisk)
        | Scenario::Deactivate
        | Scenario::Activate => return ask_about_replica(run, scenario),
        Scenario::NodeReturns => return run.sim.boot("n1").await,
        Scenario::Restore => Op::Restore {
            name,
            snapshot: SNAPSHOT.to_owned(),
            to: COPY.to_owned(),
        },
    };
    run.ask(op);
}

/// Asks for what is done with one of the replicas, always the same one.
fn ask_about_replica(run: &mut Run, scenario: Scenario) {
    let Some(cluster) = run.sim.cluster() else {
        return;
    };
    let model = cluster.model();
    let replica = match scenario {
        Scenario::Process(KindName::AddDisk) => {
            model.resources.values().find(|row| row.is_diskless())
        }
        _ => model.resources.values().find(|row| !row.is_diskless()),
    };
    let Some(replica) = replica else { return };
    let (name, node) = (replica.name.to_string(), replica.node.to_string());
    let toggle = |disk| Op::Toggle {
        name: name.clone(),
        node: node.clone(),
        disk,
    };
    let set_active = |active| Op::SetActive {
        name: name.clone(),
        node: node.clone(),
        active,
    };
    run.ask(match scenario {
        Scenario::Process(KindName::RemoveDisk) => toggle(false),
        Scenario::Process(KindName::AddDisk) => toggle(true),
        Scenario::Deactivate => set_active(false),
        Scenario::Activate => set_active(true),
        _ => Op::Delete { name, node },
    });
}

/// An application writes into the resource.
fn write_all(run: &mut Run, value: u64) {
    let Some(node) = diskful_node(run) else {
        return;
    };
    let fake = &run.sim.fake;
    let opened = fake.open(&node, NAME, 0);
    let written = opened.and_then(|()| {
        let mut blocks = 0..BLOCKS;
        blocks.try_for_each(|block| {
            let done = fake.write(&node, NAME, 0, block, value);
            done.map_err(|error| error.to_string())
        })
    });
    fake.close(&node, NAME, 0);
    if let Err(error) = written {
        let failure = format!("it cannot be written: {error}");
        run.sim.failures.push(failure);
    }
}

/// Whether there are two copies with what was written first.
fn is_copied(run: &Run, model: &Model) -> bool {
    let rows = model.resources.values();
    let copies = rows.filter(|row| row.name.as_str() == COPY && !row.is_diskless());
    let contents: Vec<_> = copies.map(|row| content(run, row.node.as_str())).collect();
    contents == vec![vec![1; BLOCKS as usize]; 2]
}

/// What the backing volume of the copy has on a node.
fn content(run: &Run, node: &str) -> Vec<u64> {
    let device = format!("/dev/{VOLUME_GROUP}/{COPY}_00000");
    let read = |block| run.sim.fake.peek(node, &device, block);
    (0..BLOCKS).filter_map(read).collect()
}

/// A node without a replica.
fn free_node(run: &Run) -> Option<String> {
    let model = run.sim.cluster()?.model();
    let has = |node: &String| model.resources.keys().any(|(_, on)| on.as_str() == node);
    run.sim.nodes().into_iter().find(|node| !has(node))
}

/// The first node with a disk.
fn diskful_node(run: &Run) -> Option<String> {
    let model = run.sim.cluster()?.model();
    let mut rows = model.resources.values();
    let row = rows.find(|row| !row.is_diskless())?;
    Some(row.node.to_string())
}

fn is_reached(run: &Run, scenario: Scenario, from: Option<&str>) -> bool {
    let Some(cluster) = run.sim.cluster() else {
        return false;
    };
    let model = cluster.model();
    let size = |model: &Model| {
        let definition = model.definitions.values().next()?;
        Some(definition.volumes.get(&0)?.size_kib)
    };
    let disks = model.resources.values().filter(|row| !row.is_diskless());
    let with_disk = disks.count();
    debug_assert!(SIZES_KIB[1] < POOL_KIB);
    match scenario {
        Scenario::Spawn | Scenario::AddReplica => model.resources.len() >= 2,
        Scenario::Deactivate => model.resources.values().any(|row| row.inactive),
        Scenario::Activate => model.resources.values().all(|row| !row.inactive),
        Scenario::NodeReturns => run.sim.fake.is_up("n1"),
        Scenario::Restore => is_copied(run, &model),
        Scenario::Process(kind) => match kind {
            KindName::Resize => size(&model) == Some(SIZES_KIB[1]),
            KindName::DeleteResourceDefinition => model.definitions.is_empty(),
            KindName::DeleteVolumeDefinition => {
                model.definitions.values().all(|row| row.volumes.is_empty())
            }
            KindName::DeleteNode => {
                from.is_none_or(|from| model.nodes.keys().all(|node| node.as_str() != from))
            }
            // Without its disk the replica may have become a tie breaker.
            KindName::DeleteResource | KindName::RemoveDisk => with_disk == 1,
            KindName::AddDisk => with_disk == 2,
            KindName::TakeSnapshot => {
                let mut rows = model.snapshots.values().flat_map(|rows| rows.values());
                rows.any(|row| row.is_successful())
            }
            KindName::DeleteSnapshot => model.snapshots.values().all(|rows| rows.is_empty()),
            KindName::RollBack => model.definitions.values().any(is_rolled_back),
            KindName::ShipBackup | KindName::RestoreBackup | KindName::ShipSnapshot => false,
            KindName::CloneDefinition => is_copied(run, &model),
            KindName::Migrate => {
                let mut disks = model.resources.values().filter(|row| !row.is_diskless());
                with_disk == 2 && disks.all(|row| Some(row.node.as_str()) != from)
            }
        },
    }
}
