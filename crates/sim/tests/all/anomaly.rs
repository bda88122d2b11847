//! Every step of every scenario fails once.

use linstor_host::fake::DrbdKind;
use linstor_host::fake::Effect;
use linstor_sim::anomaly::{STRIKES, Scenario, Strike, every_step};
use linstor_sim::cluster::Shape;

const SHAPES: [Shape; 3] = [
    Shape {
        drbd: Some(DrbdKind::V9),
        nodes: 3,
        thin: false,
    },
    Shape {
        drbd: Some(DrbdKind::V9),
        nodes: 3,
        thin: true,
    },
    Shape {
        drbd: Some(DrbdKind::V84),
        nodes: 2,
        thin: false,
    },
];

/// A machine that loses power in the middle of growing, on pools that are not thin: the peers grow by themselves when it
/// is back, and the fake machines do not synchronise what came to the other replica by that, as kernels do.
fn is_excluded(shape: Shape, scenario: Scenario, strike: Strike) -> bool {
    let crash = matches!(
        strike,
        Strike::Command(Effect::CrashBefore | Effect::CrashAfter)
    );
    scenario == Scenario::Grow && crash && !shape.thin
}

fn check(scenario: Scenario) {
    let mut wrong = Vec::new();
    for shape in SHAPES {
        for strike in STRIKES {
            if is_excluded(shape, scenario, strike) {
                println!("{shape:?}, {scenario:?}, {strike:?}: left out");
                continue;
            }
            match every_step(shape, scenario, strike) {
                Ok(steps) => println!("{shape:?}, {scenario:?}, {strike:?}: {steps} steps"),
                Err(text) => wrong.push(text),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} went wrong, the first:\n{}",
        wrong.len(),
        wrong[0]
    );
}

/// A resource comes into being.
#[test]
fn spawn() {
    check(Scenario::Spawn);
}

/// A volume grows.
#[test]
fn grow() {
    check(Scenario::Grow);
}

/// A resource goes.
#[test]
fn delete() {
    check(Scenario::Delete);
}

/// A replica is added.
#[test]
fn add_replica() {
    check(Scenario::AddReplica);
}

/// A node comes back.
#[test]
fn node_returns() {
    check(Scenario::NodeReturns);
}
