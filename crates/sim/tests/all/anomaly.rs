//! Every step of every scenario fails once.

use linstor_fake_host::DrbdKind;
use linstor_sim::anomaly::{STRIKES, Scenario, every_step};
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

fn check(scenario: Scenario) {
    let mut wrong = Vec::new();
    for shape in SHAPES
        .into_iter()
        .filter(|shape| scenario.is_possible(*shape))
    {
        for strike in STRIKES {
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

/// A replica goes.
#[test]
fn delete_replica() {
    check(Scenario::DeleteReplica);
}

/// A replica loses its disk.
#[test]
fn remove_disk() {
    check(Scenario::RemoveDisk);
}

/// A replica gets a disk.
#[test]
fn add_disk() {
    check(Scenario::AddDisk);
}

/// A replica is taken down.
#[test]
fn deactivate() {
    check(Scenario::Deactivate);
}

/// A replica that was taken down comes up.
#[test]
fn activate() {
    check(Scenario::Activate);
}

/// A node comes back.
#[test]
fn node_returns() {
    check(Scenario::NodeReturns);
}
