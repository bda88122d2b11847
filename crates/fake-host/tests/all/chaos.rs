//! Random sequences of faults: with quorum enabled no acknowledged write is lost.

use std::time::Duration;

use linstor_fake_host::DrbdKind;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::lab::{Lab, Part};

const SEEDS: u64 = 60;
const STEPS: u32 = 60;

/// Crashes, network failures and slow resyncs, with an application that writes on any node where it can. When all
/// faults are repaired, all replicas are UpToDate and have all writes.
#[tokio::test(start_paused = true)]
async fn with_quorum_nothing_is_lost() {
    let only = std::env::var("CHAOS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..SEEDS, |seed| seed..seed + 1) {
        for parts in [
            [Part::First, Part::LikeDay0, Part::LikeDay0],
            [Part::First, Part::FullSync, Part::LikeDay0],
            [Part::First, Part::LikeDay0, Part::Diskless],
        ] {
            run(seed, &parts).await;
        }
    }
}

/// An application, and the faults it runs through.
struct Story {
    lab: Lab,
    rng: SmallRng,
    /// The node on which the application holds the device open.
    open: Option<usize>,
    value: u64,
    log: Vec<String>,
}

async fn run(seed: u64, parts: &[Part]) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let lab = Lab::with_quorum(parts.len());
    let speed = rng.random_range(1000..200_000);
    lab.cluster
        .configure(|config| config.resync_kib_per_second = speed);
    lab.deploy_all(parts).await;
    let mut story = Story {
        lab,
        rng,
        open: None,
        value: 0,
        log: Vec::new(),
    };
    let verbose = std::env::var("CHAOS_SEED").is_ok();
    for _ in 0..STEPS {
        story.step().await;
        if verbose {
            show(&story.lab, story.log.last()).await;
        }
    }
    mend(&story.lab).await;
    if verbose {
        show(&story.lab, None).await;
    }
    let context = format!("seed {seed}, {parts:?}:\n{}", story.log.join("\n"));
    let lies = story.lab.cluster.lost_writes("r");
    assert!(lies.is_empty(), "{lies:?}\n{context}");
    for (i, _) in parts
        .iter()
        .enumerate()
        .filter(|(_, part)| **part != Part::Diskless)
    {
        assert_eq!(story.lab.disk(i + 1), "UpToDate", "n{}\n{context}", i + 1);
    }
    assert!(story.lab.cluster.violations().is_empty(), "{context}");
}

impl Story {
    async fn step(&mut self) {
        let (a, b) = (self.rng.random_range(1..=3), self.rng.random_range(1..=3));
        let (node, other) = (format!("n{a}"), format!("n{b}"));
        let cluster = self.lab.cluster.clone();
        match self.rng.random_range(0..10) {
            0 if cluster.is_up(&node) => {
                self.log.push(format!("crash {node}"));
                cluster.crash(&node);
                self.open = self.open.filter(|holder| *holder != a);
            }
            1 | 2 if !cluster.is_up(&node) => {
                self.log.push(format!("boot {node}"));
                cluster.boot(&node);
                self.lab.adjust(a).await;
            }
            3 if a != b => {
                self.log.push(format!("cut {node} {other}"));
                cluster.cut(&node, &other);
            }
            4 | 5 if a != b => {
                self.log.push(format!("heal {node} {other}"));
                cluster.heal(&node, &other);
            }
            6 => {
                if let Some(holder) = self.open.take() {
                    self.log.push(format!("close n{holder}"));
                    self.lab.close(holder);
                }
            }
            7 if self.open.is_none() && cluster.open(&node, "r", 0).is_ok() => {
                self.log.push(format!("open {node}"));
                self.open = Some(a);
            }
            8 => {
                let pause = Duration::from_millis(self.rng.random_range(0..3000));
                self.log.push(format!("pause {pause:?}"));
                tokio::time::sleep(pause).await;
            }
            _ => self.write(),
        }
    }

    fn write(&mut self) {
        self.value += 1;
        let block = self.rng.random_range(0..20);
        let Some(holder) = self.open else { return };
        let done = self
            .lab
            .cluster
            .write(&format!("n{holder}"), "r", 0, block, self.value);
        self.log
            .push(format!("write n{holder} {block}={}: {done:?}", self.value));
    }
}

/// Prints the state of all nodes, for debugging one seed.
async fn show(lab: &Lab, step: Option<&String>) {
    println!("{step:?}");
    for node in (1..=3).filter(|n| lab.cluster.is_up(&format!("n{n}"))) {
        let line = "drbdmeta --force --node-id 0 1000 v09 /dev/vg/r_00000 internal dump-md";
        let dump = lab.try_run(node, line).await.stdout;
        let ids: Vec<&str> = dump
            .lines()
            .filter_map(|l| l.split_once("uuid 0x"))
            .map(|(_, id)| &id[..4])
            .collect();
        let state = lab.cluster.drbd(&format!("n{node}"), "r", 0);
        println!("  n{node}: {state:?} {:?}", ids.get(..4));
    }
}

async fn mend(lab: &Lab) {
    for (a, b) in [("n1", "n2"), ("n1", "n3"), ("n2", "n3")] {
        lab.cluster.heal(a, b);
    }
    for node in 1..=3 {
        if !lab.cluster.is_up(&format!("n{node}")) {
            lab.cluster.boot(&format!("n{node}"));
        }
        lab.adjust(node).await;
    }
    lab.settle().await;
}

/// The same seed gives the same sequence of events, to the last line of the journal.
#[tokio::test(start_paused = true)]
async fn histories_repeat() {
    let mut journals = Vec::new();
    for _ in 0..2 {
        let lab = Lab::new(2, DrbdKind::V9);
        lab.deploy_all(&[Part::First, Part::FullSync]).await;
        let status = lab
            .run(1, "drbdsetup status r --verbose --statistics")
            .await;
        let journal: Vec<String> = lab
            .cluster
            .journal()
            .iter()
            .map(|e| format!("{:?} {e}", e.at))
            .collect();
        journals.push((journal, status));
    }
    assert_eq!(journals[0], journals[1]);
}
