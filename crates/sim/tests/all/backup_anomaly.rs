//! A backup is made, and restored, while everything fails once: each command of the node, and each side at each step. In real
//! time, as the store answers on a socket.

use std::time::Duration;

use linstor_api::backup::BackupRestore;
use linstor_controller::ops;
use linstor_fake_host::{Effect, Fault, Match};
use linstor_sim::workload::Op;
use linstor_wire::Secret;
use tokio::time::{Instant, sleep};

use super::backup::{Kind, NAME, PASSPHRASE, World};

const NODE: &str = "n2";
/// More steps than a restoration has.
const STEPS_MAX: u32 = 60;
const CONTENT: [(u64, u64); 3] = [(0, 1), (5, 2), (6, 3)];

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// A command fails, before or after it has done its work.
    Command(Effect),
    /// The satellite is killed.
    Satellite,
    /// The controller is killed.
    Controller,
}

async fn chain(kind: Kind) -> World {
    let world = World::of(kind, false).await;
    world.write(&[(0, 1), (5, 2)]);
    world.backup(false).await;
    world.write(&[(6, 3)]);
    world.backup(true).await;
    world
}

/// How much has changed: the generation, and the changing commands of the node.
fn progress(world: &World) -> u64 {
    let journal = world.sim.fake.journal();
    let changing = journal
        .iter()
        .filter(|entry| entry.mutating && entry.node == NODE);
    let generation = world
        .sim
        .cluster()
        .map_or(0, |cluster| cluster.model().generation);
    generation + changing.count() as u64
}

/// What a node has of a resource in its pools.
fn left(world: &World, name: &str) -> Vec<String> {
    let fake = &world.sim.fake;
    let all = fake.logical_volumes(NODE, "vg0").into_iter();
    let mut all: Vec<String> = all.chain(fake.zfs_volumes(NODE)).collect();
    all.retain(|volume| volume.contains(&format!("{name}_00000")));
    all
}

/// Restores with one strike after so many steps; whether it struck.
async fn restore(world: &mut World, strike: Strike, nth: u32) -> bool {
    let name = format!("copy{nth}");
    let mut before = progress(world);
    if let Strike::Command(effect) = strike {
        world.sim.fake.inject(Fault {
            node: NODE.to_owned(),
            matches: Match::Mutating,
            skip: nth,
            times: 1,
            effect,
        });
    }
    let request = BackupRestore {
        src_rsc_name: Some(NAME.to_owned()),
        target_rsc_name: Some(name.clone()),
        node_name: Some(NODE.to_owned()),
        ..BackupRestore::default()
    };
    let cluster = world.sim.cluster().unwrap();
    let restoring =
        tokio::spawn(async move { ops::backup::restore(&cluster, "s3".to_owned(), request).await });
    let mut has_struck = false;
    let mut seen = 0;
    while !restoring.is_finished() {
        let now = progress(world);
        if now != before {
            (before, seen) = (now, seen + 1);
        }
        if seen <= nth || has_struck {
            sleep(Duration::from_millis(2)).await;
            continue;
        }
        match strike {
            Strike::Command(_) => sleep(Duration::from_millis(2)).await,
            Strike::Satellite => {
                world.sim.kill_satellite(NODE).await;
                world.sim.start_satellite(NODE);
                has_struck = true;
            }
            Strike::Controller => {
                world.sim.kill_controller().await;
                restoring.abort();
                world.sim.start_controller().await;
                let cluster = world.sim.cluster().unwrap();
                let passphrase = Secret::new(PASSPHRASE);
                let unlocked = ops::encryption::at_start(&cluster, &passphrase);
                unlocked.await.unwrap();
                has_struck = true;
                break;
            }
        }
    }
    let text = format!("{strike:?} at step {nth}");
    world
        .until(&text, |world| world.model().processes.is_empty())
        .await;
    if matches!(strike, Strike::Command(_)) {
        has_struck = world.sim.fake.disarm() == 0;
    }
    let there = world.model();
    let there = there.definitions.contains_key(&name.parse().unwrap());
    if !there {
        let gone = |world: &World| left(world, &name).is_empty();
        world.until(&text, gone).await;
        return has_struck;
    }
    let device = world.device(&name);
    let is_made = |world: &World| {
        let model = world.model();
        let mut rows = model.resources_of(&name.parse().unwrap());
        rows.all(|row| row.volumes.values().all(|volume| volume.source.is_none()))
    };
    world.until(&text, is_made).await;
    assert_eq!(world.content(NODE, &device), CONTENT.into(), "{text}");
    // The node may not be connected yet.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !left(world, &name).is_empty() {
        assert!(
            Instant::now() < deadline,
            "{text}: {:?}",
            left(world, &name)
        );
        let cluster = world.sim.cluster().unwrap();
        let model = world.model();
        for row in model.snapshots_of(&name.parse().unwrap()) {
            let (name, snapshot) = (name.clone(), row.name.to_string());
            let delete = Op::DeleteSnapshot { name, snapshot };
            let _repeated = delete.run(cluster.clone()).await;
        }
        let name = name.clone();
        let _repeated = Op::DeleteDefinition { name }.run(cluster).await;
        sleep(Duration::from_millis(20)).await;
    }
    has_struck
}

async fn every_step(kind: Kind, strike: Strike) {
    let mut world = chain(kind).await;
    for nth in 0..STEPS_MAX {
        if !restore(&mut world, strike, nth).await {
            assert!(nth > 3, "{strike:?}: only {nth} steps");
            return;
        }
    }
    panic!("{strike:?}: no end after {STEPS_MAX} steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_fail_while_lvm_receives() {
    every_step(Kind::Thin, Strike::Command(Effect::FailsBefore(7))).await;
    every_step(Kind::Thin, Strike::Command(Effect::FailsAfter(7))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_fail_while_zfs_receives() {
    every_step(Kind::Zfs, Strike::Command(Effect::FailsBefore(7))).await;
    every_step(Kind::Zfs, Strike::Command(Effect::FailsAfter(7))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn satellites_are_killed_while_they_receive() {
    every_step(Kind::Thin, Strike::Satellite).await;
    every_step(Kind::Zfs, Strike::Satellite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_are_killed_while_nodes_receive() {
    every_step(Kind::Thin, Strike::Controller).await;
    every_step(Kind::Zfs, Strike::Controller).await;
}
