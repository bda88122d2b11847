//! One seed, from an empty cluster to an empty cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use linstor_fake_host::DrbdKind;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::check;
use crate::cluster::{Shape, Sim};
use crate::fault::{self, Cure, Kind};
use crate::trace::Trace;
use crate::workload::{Op, Workload};

/// Limit for a cluster without faults to complete all operations.
const REST_LIMIT: Duration = Duration::from_secs(900);
/// Interval at which the invariants are checked until then.
const REST_POLL: Duration = Duration::from_secs(2);
/// Longer than the time between two passes of a satellite over the same resource. The first one may still remove its
/// own records; the next one must not change anything.
const PASS: Duration = Duration::from_secs(40);
/// Limit of a call: its own deadlines must end it earlier.
const CALL_LIMIT: Duration = Duration::from_secs(400);

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// Seed of the random numbers.
    pub seed: u64,
    /// The configuration of the nodes.
    pub shape: Shape,
    /// Number of steps.
    pub steps: u32,
    /// Percentage of steps that inject a fault.
    pub fault_percent: u32,
    /// The kinds of faults.
    pub faults: Vec<Kind>,
    /// Percentage of operations that evacuate a node, or restore one.
    pub evacuation_percent: u32,
    /// Percentage of operations that are about snapshots, or make a definition of one.
    pub snapshot_percent: u32,
}

impl Parameters {
    /// No random steps and no random faults: the caller plays a scenario of its own.
    pub(crate) const fn untroubled(shape: Shape) -> Parameters {
        Parameters {
            seed: 1,
            shape,
            steps: 0,
            fault_percent: 0,
            faults: Vec::new(),
            evacuation_percent: 0,
            snapshot_percent: 0,
        }
    }

    /// The parameters of a seed: half of the seeds have DRBD 9, a quarter 8.4, a quarter no DRBD.
    pub fn of(seed: u64) -> Parameters {
        let mut dice = SmallRng::seed_from_u64(seed ^ 0x51a0);
        let drbd = match seed % 4 {
            0 | 1 => Some(DrbdKind::V9),
            2 => Some(DrbdKind::V84),
            _ => None,
        };
        let nodes = match drbd {
            Some(DrbdKind::V9) => dice.random_range(3..=4),
            Some(DrbdKind::V84) => dice.random_range(2..=3),
            None => 2,
        };
        let thin = dice.random_bool(0.5);
        Parameters {
            seed,
            shape: Shape { drbd, nodes, thin },
            steps: dice.random_range(6..=14),
            fault_percent: dice.random_range(0..=40),
            faults: fault::ALL.to_vec(),
            evacuation_percent: match (drbd, seed % 3) {
                (Some(DrbdKind::V9), 0) => 25,
                _ => 0,
            },
            snapshot_percent: 0,
        }
    }

    /// The parameters of a seed with thin volumes, whose users take snapshots.
    pub fn with_snapshots(seed: u64) -> Parameters {
        let parameters = Parameters::of(seed);
        Parameters {
            shape: Shape {
                thin: true,
                ..parameters.shape
            },
            steps: parameters.steps + 6,
            snapshot_percent: 50,
            ..parameters
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Violated invariants.
    pub failures: Vec<String>,
    /// The trace of events.
    pub trace: Vec<String>,
    /// Every command of every machine.
    pub commands: Vec<String>,
    /// Operations that the workload did not carry out, with their numbers.
    pub excluded: BTreeMap<&'static str, u32>,
}

/// A run in progress.
pub(crate) struct Run {
    pub(crate) sim: Sim,
    parameters: Parameters,
    dice: SmallRng,
    workload: Workload,
    cures: Vec<(Instant, Cure)>,
    commands: Vec<String>,
}

/// Runs a seed.
pub fn seed(parameters: &Parameters, loud: bool) -> Report {
    let parameters = parameters.clone();
    on_own_runtime(async move {
        let trace = Trace::new(loud);
        trace.add(format_args!("{parameters:?}"));
        let mut run = Run::new(parameters, trace).await;
        run.whole().await;
        run.end().await
    })
}

/// Runs a future on one thread with its own paused time.
pub(crate) fn on_own_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can always be built");
    runtime.block_on(work)
}

impl Run {
    pub(crate) async fn new(parameters: Parameters, trace: Trace) -> Run {
        Run {
            sim: Sim::new(parameters.seed, parameters.shape, trace).await,
            dice: SmallRng::seed_from_u64(parameters.seed),
            parameters,
            workload: Workload::default(),
            cures: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Ends all processes and returns the result.
    pub(crate) async fn end(mut self) -> Report {
        self.sim.end().await;
        self.collect();
        for failure in &self.sim.failures {
            self.sim.trace.add(format_args!("FAILURE {failure}"));
        }
        Report {
            trace: self.sim.trace.lines(),
            failures: self.sim.failures,
            commands: self.commands,
            excluded: self.workload.excluded,
        }
    }

    /// Creates the nodes in the controller.
    pub(crate) async fn register(&mut self) {
        let refused = self.sim.register().await;
        if !refused.is_empty() {
            self.sim
                .failures
                .push(format!("the nodes were refused: {refused:?}"));
        }
    }

    async fn whole(&mut self) {
        self.register().await;
        for _ in 0..self.parameters.steps {
            self.step().await;
        }
        self.sim.trace.add("all faults are repaired");
        fault::cure_all(&mut self.sim).await;
        self.cures.clear();
        self.workload.close_all(&self.sim).await;
        self.activate_all().await;
        self.come_to_rest("after the workload").await;
        if self.sim.failures.is_empty() {
            self.delete_everything().await;
        }
    }

    async fn step(&mut self) {
        if self.dice.random_range(0..100) < self.parameters.fault_percent {
            self.fault().await;
        } else if self.dice.random_bool(0.4) {
            self.application().await;
        } else {
            self.operation();
        }
        let pause = match self.dice.random_range(0..4) {
            0 => 0,
            1 => self.dice.random_range(0..100),
            2 => self.dice.random_range(0..2_000),
            _ => self.dice.random_range(0..20_000),
        };
        sleep(Duration::from_millis(pause)).await;
        self.tend().await;
    }

    async fn fault(&mut self) {
        let index = self
            .dice
            .random_range(0..self.parameters.faults.len().max(1));
        let Some(kind) = self.parameters.faults.get(index).copied() else {
            return;
        };
        let (what, cure) = fault::strike(&mut self.sim, kind, &mut self.dice).await;
        self.sim.trace.add(format_args!("fault: {what}"));
        self.cure_later(cure);
    }

    fn cure_later(&mut self, cure: Cure) {
        if cure == Cure::Nothing {
            return;
        }
        let wait = Duration::from_millis(self.dice.random_range(10..30_000));
        self.cures.push((Instant::now() + wait, cure));
    }

    async fn application(&mut self) {
        let Some(cluster) = self.sim.cluster() else {
            return;
        };
        let done = self
            .workload
            .application(&self.sim, &cluster.model(), &mut self.dice)
            .await;
        if let Some(done) = done {
            self.sim.trace.add(done);
        }
    }

    fn operation(&mut self) {
        let Some(cluster) = self.sim.cluster() else {
            return;
        };
        let evacuation_percent = self.parameters.evacuation_percent;
        if evacuation_percent > 0 && self.dice.random_range(0..100) < evacuation_percent {
            let model = cluster.model();
            for op in self.workload.evacuation(&self.sim, &model, &mut self.dice) {
                self.ask(op);
            }
            return;
        }
        let snapshot_percent = self.parameters.snapshot_percent;
        if snapshot_percent > 0 && self.dice.random_range(0..100) < snapshot_percent {
            let model = cluster.model();
            if let Some(op) = self.workload.snapshot(&self.sim, &model, &mut self.dice) {
                self.ask(op);
            }
            return;
        }
        let op = self
            .workload
            .next(&self.sim, &cluster.model(), &mut self.dice);
        let Some(op) = op else { return };
        // Somebody else asks for something of the same resource at the same time.
        let other = self
            .workload
            .beside(&op, &self.sim, &cluster.model(), &mut self.dice);
        self.ask(op);
        if let Some(other) = other {
            self.ask(other);
        }
    }

    pub(crate) fn ask(&mut self, op: Op) {
        let Some(cluster) = self.sim.cluster() else {
            return;
        };
        let what = op.to_string();
        self.sim.trace.add(&what);
        self.sim.call(what, op.run(cluster));
    }

    /// Carries out due repairs, schedules the restart of processes that ended, and checks that every wait has a reason.
    pub(crate) async fn tend(&mut self) {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.cures)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.cures = later;
        for (_, cure) in due {
            self.sim.trace.add(&cure);
            fault::cure(&mut self.sim, &cure).await;
        }
        for node in self.sim.nodes() {
            // A fault at a command crashed the machine.
            if !self.sim.fake.is_up(&node) && self.sim.has_satellite(&node) {
                self.sim.trace.add(format_args!("{node} has lost power"));
                self.sim.kill_satellite(&node).await;
                self.cure_later(Cure::Boot(node));
            }
        }
        if self.sim.has_controller() && self.sim.store_is_dead().await {
            self.sim.trace.add("the controller dies at a store write");
            self.sim.kill_controller().await;
            self.cure_later(Cure::Controller);
        }
        if let Some(cluster) = self.sim.cluster() {
            self.sim.failures.extend(check::explained(&cluster));
        }
    }

    /// Waits until all invariants hold, and checks that no command changes anything afterwards.
    pub(crate) async fn come_to_rest(&mut self, when: &str) {
        let left = self.sim.finish_calls(CALL_LIMIT).await;
        if left > 0 {
            self.sim
                .failures
                .push(format!("{left} calls did not end within {CALL_LIMIT:?}"));
        }
        let give_up = Instant::now() + REST_LIMIT;
        loop {
            // First, so that the last operations and repairs have begun.
            sleep(REST_POLL).await;
            let wrong = check::at_rest(&self.sim);
            if wrong.is_empty() {
                break;
            }
            if Instant::now() >= give_up {
                let failures = wrong.into_iter().map(|wrong| format!("{when}: {wrong}"));
                self.sim.failures.extend(failures);
                return;
            }
        }
        self.sim.trace.add(format_args!("at rest {when}"));
        sleep(PASS).await;
        self.collect();
        sleep(PASS).await;
        let changes: Vec<String> = self
            .sim
            .fake
            .journal()
            .iter()
            .filter(|entry| entry.mutating)
            .map(|entry| format!("{when}, at rest: {entry}"))
            .collect();
        self.sim.failures.extend(changes);
        let wrong = check::at_rest(&self.sim);
        self.sim.failures.extend(
            wrong
                .into_iter()
                .map(|wrong| format!("{when}, later: {wrong}")),
        );
    }

    /// Restores nodes, and activates all inactive resources: changes that they missed are applied then.
    async fn activate_all(&mut self) {
        // Calls in progress may deactivate further resources.
        self.finish_calls().await;
        let Some(cluster) = self.sim.cluster() else {
            return;
        };
        let model = cluster.model();
        // What cannot be moved would wait for ever.
        for row in model.nodes.values().filter(|row| row.evacuate) {
            let node = row.name.to_string();
            self.ask(Op::RestoreNode { node });
        }
        for row in model.resources.values().filter(|row| row.inactive) {
            let (name, node) = (row.name.to_string(), row.node.to_string());
            self.ask(Op::SetActive {
                name,
                node,
                active: true,
            });
        }
    }

    async fn finish_calls(&mut self) {
        let left = self.sim.finish_calls(CALL_LIMIT).await;
        if left > 0 {
            self.sim
                .failures
                .push(format!("{left} calls did not end within {CALL_LIMIT:?}"));
        }
    }

    /// Deletes all resource definitions and checks that nothing of them is left on any node.
    async fn delete_everything(&mut self) {
        let Some(cluster) = self.sim.cluster() else {
            return;
        };
        // A definition with snapshots is not deleted.
        let model = cluster.model();
        for row in model.snapshots.values().flat_map(|rows| rows.values()) {
            let (name, snapshot) = (row.resource.to_string(), row.name.to_string());
            self.ask(Op::DeleteSnapshot { name, snapshot });
        }
        if !model.snapshots.is_empty() {
            self.come_to_rest("after deleting all snapshots").await;
        }
        let names: Vec<String> = cluster
            .model()
            .definitions
            .keys()
            .map(ToString::to_string)
            .collect();
        for name in names {
            self.workload.release(&self.sim, &name);
            self.ask(Op::DeleteDefinition { name });
        }
        self.come_to_rest("after deleting everything").await;
        if !cluster.model().definitions.is_empty() {
            self.sim
                .failures
                .push("resource definitions are left".to_owned());
        }
    }

    /// Moves the commands from the machines' journal to the report.
    pub(crate) fn collect(&mut self) {
        let entries = self.sim.fake.take_journal();
        self.commands.extend(
            entries
                .iter()
                .map(|entry| format!("{:>9.3} {entry}", entry.at.as_secs_f64())),
        );
    }
}
