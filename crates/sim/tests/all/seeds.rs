//! Seeds.

use linstor_sim::{Plan, run};

/// Lines of the trace that are shown of a seed that failed.
const SHOWN: usize = 400;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn check(plan: &Plan, loud: bool) -> Option<String> {
    let report = run::seed(plan, loud);
    if report.failures.is_empty() {
        return None;
    }
    let skip = report.trace.len().saturating_sub(SHOWN);
    Some(format!(
        "seed {}:\n{}\n",
        plan.seed,
        report.trace[skip..].join("\n")
    ))
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

/// A spawn, and a delete, with nothing going wrong.
#[test]
fn without_faults() {
    for seed in 0..8 {
        let plan = Plan {
            fault_percent: 0,
            ..Plan::of(seed)
        };
        assert_eq!(check(&plan, false), None);
    }
}
