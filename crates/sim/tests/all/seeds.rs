//! Runs of many seeds.

use std::collections::BTreeMap;

use linstor_sim::{Parameters, Report, run};

/// Number of seeds, which run in two shards for two cores.
const SEEDS: u64 = 1200;
/// Number of seeds whose users take snapshots.
const SNAPSHOT_SEEDS: u64 = 400;
/// Seeds beyond those that found something, and what.
const FOUND: [(u64, &str); 5] = [
    (
        7592,
        "a copy behind a closed LUKS device was taken for one that is lost",
    ),
    (
        7725,
        "an evacuation gave a disk to a replica that was losing its own, which was removed all the same",
    ),
    (
        6185,
        "a resync stayed paused when the source of the one before it lost its disk",
    ),
    (8136, "the same, while a node is evacuated"),
    (
        8417,
        "metadata that DRBD had moved was lost when its device grew once more while DRBD was down",
    ),
];
/// The same of those with snapshots.
const FOUND_WITH_SNAPSHOTS: [(u64, &str); 2] = [
    (
        889,
        "a clone that had failed got a replica, which had no data",
    ),
    (
        1910,
        "a snapshot of two replicas that were not connected was not the same on both",
    ),
];
/// Lines of the trace that are printed of a failed seed.
const SHOWN: usize = 400;
/// Number of failed seeds that are printed in full.
const SHOWN_SEEDS: usize = 5;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn check(parameters: &Parameters) -> Option<String> {
    failure(parameters, &run::seed(parameters, false))
}

fn failure(parameters: &Parameters, report: &Report) -> Option<String> {
    if report.failures.is_empty() {
        return None;
    }
    let skip = report.trace.len().saturating_sub(SHOWN);
    let trace = report.trace[skip..].join("\n");
    Some(format!("seed {}:\n{trace}\n", parameters.seed))
}

/// Runs every second seed, starting with the given one.
fn shard(first: u64) {
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let begun = std::time::Instant::now();
    let mut excluded: BTreeMap<&str, u32> = BTreeMap::new();
    let mut failed: Vec<(u64, String)> = Vec::new();
    for seed in (first..seeds).step_by(2) {
        let parameters = Parameters::of(seed);
        let report = run::seed(&parameters, false);
        for (why, count) in &report.excluded {
            *excluded.entry(why).or_default() += count;
        }
        failed.extend(failure(&parameters, &report).map(|text| (seed, text)));
    }
    let took = begun.elapsed();
    println!(
        "{} seeds in {took:?}, {} failed",
        seeds.saturating_sub(first).div_ceil(2),
        failed.len()
    );
    println!("excluded: {excluded:?}");
    let numbers: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    let texts: Vec<&str> = failed
        .iter()
        .take(SHOWN_SEEDS)
        .map(|(_, text)| text.as_str())
        .collect();
    assert!(
        failed.is_empty(),
        "{} seeds failed: {numbers:?}\n{}\nreplay one with SIM_SEED=N cargo test -p linstor-sim one_seed -- --nocapture",
        failed.len(),
        texts.join("\n"),
    );
}

/// Random users, applications and faults: half of the seeds with DRBD 9, a quarter with 8.4, a quarter without DRBD.
#[test]
fn even_seeds() {
    shard(0);
}

/// The other half.
#[test]
fn odd_seeds() {
    shard(1);
}

/// The same, with users that take snapshots, roll back to them, and make other resources of them.
#[test]
fn seeds_with_snapshots() {
    let seeds = number("SIM_SNAPSHOT_SEEDS").unwrap_or(SNAPSHOT_SEEDS);
    let failed: Vec<String> = (0..seeds)
        .filter_map(|seed| check(&Parameters::with_snapshots(seed)))
        .collect();
    let shown = failed.iter().take(SHOWN_SEEDS).map(String::as_str);
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds failed\n{}\nreplay one with SIM_SNAPSHOTS=1 SIM_SEED=N cargo test -p linstor-sim one_seed -- --nocapture",
        failed.len(),
        shown.collect::<Vec<_>>().join("\n"),
    );
}

/// What seeds beyond the first ones found stays found.
#[test]
fn seeds_that_found_something() {
    for (seed, what) in FOUND_WITH_SNAPSHOTS {
        let failed = check(&Parameters::with_snapshots(seed));
        assert_eq!(failed, None, "{what}");
    }
    for (seed, what) in FOUND {
        let failed = check(&Parameters::of(seed));
        assert_eq!(failed, None, "{what}");
    }
}

/// One seed with its full trace: `SIM_SEED=42 cargo test -p linstor-sim one_seed -- --nocapture`.
#[test]
fn one_seed() {
    let seed = number("SIM_SEED");
    let parameters = match std::env::var("SIM_SNAPSHOTS") {
        Ok(_) => Parameters::with_snapshots(seed.unwrap_or(1)),
        Err(_) => Parameters::of(seed.unwrap_or(1)),
    };
    let report = run::seed(&parameters, seed.is_some());
    if seed.is_some() && std::env::var("SIM_COMMANDS").is_ok() {
        println!("{}", report.commands.join("\n"));
    }
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
}

/// The same seed gives the same trace, to the last command.
#[test]
fn seeds_repeat() {
    for seed in 0..16 {
        let (first, second) = (
            run::seed(&Parameters::of(seed), false),
            run::seed(&Parameters::of(seed), false),
        );
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.commands, second.commands, "seed {seed}");
    }
}

/// Without faults all operations succeed.
#[test]
fn without_faults() {
    for seed in 0..40 {
        let parameters = Parameters {
            fault_percent: 0,
            ..Parameters::of(seed)
        };
        assert_eq!(check(&parameters), None);
    }
}
