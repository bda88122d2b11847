//! In every scenario every step fails once.

use linstor_fake_host::DrbdKind;
use linstor_model::process::KindName;
use linstor_sim::anomaly::{STRIKES, Scenario, cancel_at_every_step, every_step};
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
        "{} failed, the first:\n{}",
        wrong.len(),
        wrong[0]
    );
}

/// A resource is made.
#[test]
fn spawn() {
    check(Scenario::Spawn);
}

/// A replica is added.
#[test]
fn add_replica() {
    check(Scenario::AddReplica);
}

/// A replica is deactivated.
#[test]
fn deactivate() {
    check(Scenario::Deactivate);
}

/// A deactivated replica is activated.
#[test]
fn activate() {
    check(Scenario::Activate);
}

/// A node reboots.
#[test]
fn node_returns() {
    check(Scenario::NodeReturns);
}

/// A resource is made of a snapshot of another one: its content is that of the snapshot on both nodes.
#[test]
fn restore() {
    check(Scenario::Restore);
}

/// Cancels a process of this kind at each of its steps, on every shape that it is possible on: whatever that comes to, no
/// data is lost, nothing is left over, and what is there is as the rows say.
fn check_cancel(kind: KindName) {
    let (mut steps, mut wrong) = (0, Vec::new());
    for shape in SHAPES {
        if !Scenario::Process(kind).is_possible(shape) {
            continue;
        }
        match cancel_at_every_step(shape, kind) {
            Ok(seen) => steps += seen,
            Err(text) => wrong.push(text),
        }
    }
    println!("{kind:?}: {steps} steps cancelled");
    assert!(
        wrong.is_empty(),
        "{} failed, the first:\n{}",
        wrong.len(),
        wrong[0]
    );
    assert!(steps > 0, "{kind:?} was never seen at work");
}

/// The tests of each kind of process. One that is not listed does not compile.
macro_rules! processes {
    ($($name:ident $kind:ident,)+) => {
        $(
            mod $name {
                use super::*;

                #[test]
                fn fails_at_every_step() {
                    check(Scenario::Process(KindName::$kind));
                }

                #[test]
                fn is_cancelled_at_every_step() {
                    check_cancel(KindName::$kind);
                }
            }
        )+

        const _: fn(KindName) = |kind| match kind {
            $(KindName::$kind => (),)+
            // A store answers on a socket, which paused time does not wait for: see `backup`.
            KindName::ShipBackup | KindName::RestoreBackup | KindName::ShipSnapshot => (),
        };
    };
}

processes! {
    delete_node DeleteNode,
    delete_resource_definition DeleteResourceDefinition,
    delete_volume_definition DeleteVolumeDefinition,
    delete_resource DeleteResource,
    resize Resize,
    add_disk AddDisk,
    remove_disk RemoveDisk,
    migrate Migrate,
    take_snapshot TakeSnapshot,
    delete_snapshot DeleteSnapshot,
    roll_back RollBack,
    clone_definition CloneDefinition,
}
