//! Seeds.

use std::collections::BTreeMap;

use linstor_sim::{Plan, Report, run};

/// How many seeds there are, in two shards for two cores.
const SEEDS: u64 = 2000;
/// Lines of the trace that are shown of a seed that failed.
const SHOWN: usize = 400;
/// How many failed seeds are shown in full.
const SHOWN_SEEDS: usize = 5;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn check(plan: &Plan) -> Option<String> {
    failure(plan, &run::seed(plan, false))
}

fn failure(plan: &Plan, report: &Report) -> Option<String> {
    if report.failures.is_empty() {
        return None;
    }
    let skip = report.trace.len().saturating_sub(SHOWN);
    let trace = report.trace[skip..].join("\n");
    Some(format!("seed {}:\n{trace}\n", plan.seed))
}

/// Runs every second seed, from the given one on.
fn shard(first: u64) {
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let begun = std::time::Instant::now();
    let mut excluded: BTreeMap<&str, u32> = BTreeMap::new();
    let mut failed: Vec<(u64, String)> = Vec::new();
    for seed in (first..seeds).step_by(2) {
        let plan = Plan::of(seed);
        let report = run::seed(&plan, false);
        for (why, count) in &report.excluded {
            *excluded.entry(why).or_default() += count;
        }
        failed.extend(failure(&plan, &report).map(|text| (seed, text)));
    }
    let took = begun.elapsed();
    println!(
        "{} seeds in {took:?}, {} failed",
        seeds.saturating_sub(first).div_ceil(2),
        failed.len()
    );
    println!("left out: {excluded:?}");
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

/// One seed with its full trace: `SIM_SEED=42 cargo test -p linstor-sim one_seed -- --nocapture`.
#[test]
fn one_seed() {
    let seed = number("SIM_SEED");
    let plan = Plan::of(seed.unwrap_or(1));
    let report = run::seed(&plan, seed.is_some());
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
            run::seed(&Plan::of(seed), false),
            run::seed(&Plan::of(seed), false),
        );
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.commands, second.commands, "seed {seed}");
    }
}

/// With nothing going wrong, everything works.
#[test]
fn without_faults() {
    for seed in 0..40 {
        let plan = Plan {
            fault_percent: 0,
            ..Plan::of(seed)
        };
        assert_eq!(check(&plan), None);
    }
}
