//! Random histories: whatever happens, nothing acknowledged is lost while quorum is asked for.

use std::time::Duration;

use linstor_host::fake::DrbdKind;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::lab::{Lab, Part};

const SEEDS: u64 = 60;
const STEPS: u32 = 60;

/// Crashes, cut links and slow resyncs, with an application that writes wherever it may. In the end, when everything
/// is mended, all replicas have everything.
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

async fn run(seed: u64, parts: &[Part]) {
    let mut dice = SmallRng::seed_from_u64(seed);
    let lab = Lab::with_quorum(parts.len());
    lab.cluster
        .configure(|config| config.resync_kib_per_second = dice.random_range(1000..200_000));
    lab.deploy_all(parts).await;
    let mut open: Option<usize> = None;
    let mut value = 0;
    let mut log = Vec::new();
    for _ in 0..STEPS {
        let (a, b) = (dice.random_range(1..=3), dice.random_range(1..=3));
        let (node, other) = (format!("n{a}"), format!("n{b}"));
        if std::env::var("CHAOS_SEED").is_ok() {
            show(&lab, log.last()).await;
        }
        match dice.random_range(0..10) {
            0 if lab.cluster.is_up(&node) => {
                log.push(format!("crash {node}"));
                lab.cluster.crash(&node);
                open = open.filter(|holder| *holder != a);
            }
            1 | 2 if !lab.cluster.is_up(&node) => {
                log.push(format!("boot {node}"));
                lab.cluster.boot(&node);
                lab.adjust(a).await;
            }
            3 if a != b => {
                log.push(format!("cut {node} {other}"));
                lab.cluster.cut(&node, &other);
            }
            4 | 5 if a != b => {
                log.push(format!("heal {node} {other}"));
                lab.cluster.heal(&node, &other);
            }
            6 => {
                if let Some(holder) = open.take() {
                    log.push(format!("close n{holder}"));
                    lab.close(holder);
                }
            }
            7 if open.is_none() && lab.cluster.open(&node, "r", 0).is_ok() => {
                log.push(format!("open {node}"));
                open = Some(a);
            }
            8 => {
                let pause = Duration::from_millis(dice.random_range(0..3000));
                log.push(format!("pause {pause:?}"));
                tokio::time::sleep(pause).await;
            }
            _ => {
                value += 1;
                let block = dice.random_range(0..20);
                if let Some(holder) = open {
                    let done = lab
                        .cluster
                        .write(&format!("n{holder}"), "r", 0, block, value);
                    log.push(format!("write n{holder} {block}={value}: {done:?}"));
                }
            }
        }
    }
    mend(&lab).await;
    if std::env::var("CHAOS_SEED").is_ok() {
        show(&lab, log.last()).await;
    }
    let story = || format!("seed {seed}, {parts:?}:\n{}", log.join("\n"));
    let lies = lab.cluster.broken_promises("r");
    assert!(lies.is_empty(), "{lies:?}\n{}", story());
    for (i, part) in parts
        .iter()
        .enumerate()
        .filter(|(_, part)| **part != Part::Diskless)
    {
        assert_eq!(
            lab.disk(i + 1),
            "UpToDate",
            "n{} ({part:?})\n{}",
            i + 1,
            story()
        );
    }
    assert!(lab.cluster.violations().is_empty(), "{}", story());
}

/// Prints where everything is, for whoever looks into one seed.
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

/// The same seed gives the same history, to the last line of the journal.
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
