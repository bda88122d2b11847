//! Faults and their repair.

use std::fmt;
use std::time::Duration;

use linstor_fake_host::{self as fake, Effect, Match};
use linstor_host::{Cmd, Host};
use linstor_store::memory;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::cluster::{Sim, VOLUME_GROUP};
use crate::net::Reach;

/// Longer than the duration of a command into which a fault was injected.
const STRUCK: Duration = Duration::from_secs(1);
/// Name of the logical volume that fills a volume group.
const BALLAST: &str = "ballast";

/// A kind of fault, which can be disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The connection between controller and satellite is closed, and new ones are refused.
    LinkCut,
    /// The connection between controller and satellite drops all data silently.
    LinkSilent,
    /// The network between two nodes is cut.
    PeersCut,
    /// A satellite is killed.
    SatelliteCrash,
    /// A machine loses power.
    HostCrash,
    /// The controller is killed.
    ControllerCrash,
    /// The controller is killed at a store write.
    ControllerCrashAtWrite,
    /// A store write fails.
    StoreFails,
    /// The disk of the store is full.
    StoreFull,
    /// Commands fail before their work.
    CommandFails,
    /// Commands fail after their work.
    CommandLies,
    /// A command hangs until its deadline.
    CommandHangs,
    /// A machine loses power at a command.
    CommandCrashes,
    /// All commands of a node take longer.
    SlowNode,
    /// A volume group is full.
    FullPool,
}

/// All kinds.
pub const ALL: [Kind; 15] = [
    Kind::LinkCut,
    Kind::LinkSilent,
    Kind::PeersCut,
    Kind::SatelliteCrash,
    Kind::HostCrash,
    Kind::ControllerCrash,
    Kind::ControllerCrashAtWrite,
    Kind::StoreFails,
    Kind::StoreFull,
    Kind::CommandFails,
    Kind::CommandLies,
    Kind::CommandHangs,
    Kind::CommandCrashes,
    Kind::SlowNode,
    Kind::FullPool,
];

/// The repair of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cure {
    /// Restores the connection to a node.
    Link(String),
    /// Restores the network between two nodes.
    Peers(String, String),
    /// Starts a machine or its satellite.
    Boot(String),
    /// Starts a controller.
    Controller,
    /// The disk of the store has room again.
    StoreRoom,
    /// Removes the logical volume that fills a volume group.
    Space(String),
    /// None: the fault ends by itself.
    Nothing,
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cure::Link(node) => write!(f, "connection to {node} restored"),
            Cure::Peers(a, b) => write!(f, "network between {a} and {b} restored"),
            Cure::Boot(node) => write!(f, "{node} starts"),
            Cure::Controller => write!(f, "a controller starts"),
            Cure::StoreRoom => write!(f, "the store has room again"),
            Cure::Space(node) => write!(f, "{node} has space again"),
            Cure::Nothing => write!(f, "no repair"),
        }
    }
}

fn effect_fault(node: &str, mutating: bool, effect: Effect) -> fake::Fault {
    fake::Fault {
        node: node.to_owned(),
        matches: if mutating {
            Match::Mutating
        } else {
            Match::Any
        },
        skip: 0,
        times: 1,
        effect,
    }
}

/// Injects a fault now or into a later command. Returns its description and its repair.
pub async fn strike(sim: &mut Sim, kind: Kind, dice: &mut SmallRng) -> (String, Cure) {
    let nodes = sim.nodes();
    let node = nodes.choose(dice).cloned().unwrap_or_default();
    match kind {
        Kind::LinkCut => {
            sim.net.set_reach(&node, Reach::Refused);
            (format!("connection to {node} closed"), Cure::Link(node))
        }
        Kind::LinkSilent => {
            sim.net.set_reach(&node, Reach::Silent);
            (format!("connection to {node} silent"), Cure::Link(node))
        }
        Kind::PeersCut => {
            let others: Vec<&String> = nodes.iter().filter(|other| **other != node).collect();
            let other = others
                .choose(dice)
                .map_or(node.clone(), |other| (*other).clone());
            sim.fake.cut(&node, &other);
            (
                format!("network between {node} and {other} cut"),
                Cure::Peers(node, other),
            )
        }
        Kind::SatelliteCrash => {
            sim.kill_satellite(&node).await;
            (format!("satellite of {node} killed"), Cure::Boot(node))
        }
        Kind::HostCrash => {
            sim.crash_host(&node).await;
            (format!("{node} loses power"), Cure::Boot(node))
        }
        Kind::ControllerCrash => {
            sim.kill_controller().await;
            ("controller killed".to_owned(), Cure::Controller)
        }
        Kind::ControllerCrashAtWrite | Kind::StoreFails => strike_store(sim, kind, dice),
        Kind::StoreFull => {
            sim.store.set_full(Some("database or disk is full"));
            ("the store is full".to_owned(), Cure::StoreRoom)
        }
        Kind::CommandFails
        | Kind::CommandLies
        | Kind::CommandHangs
        | Kind::CommandCrashes
        | Kind::SlowNode => (strike_commands(sim, kind, &node, dice), Cure::Nothing),
        Kind::FullPool => {
            let filled = fill(sim, &node).await;
            (
                format!("volume group of {node} filled: {filled}"),
                Cure::Space(node),
            )
        }
    }
}

fn strike_store(sim: &mut Sim, kind: Kind, dice: &mut SmallRng) -> (String, Cure) {
    let before = dice.random_bool(0.5);
    let fault = match (kind, before) {
        (Kind::StoreFails, true) => memory::Fault::BeforeWrite,
        (Kind::StoreFails, false) => memory::Fault::AfterWrite,
        (_, true) => memory::Fault::DeadBeforeWrite,
        (_, false) => memory::Fault::DeadAfterWrite,
    };
    let nth = sim.store.attempts() + dice.random_range(1..=4);
    sim.store.fail_write(nth, fault);
    (format!("store write {nth}: {fault:?}"), Cure::Nothing)
}

fn strike_commands(sim: &Sim, kind: Kind, node: &str, dice: &mut SmallRng) -> String {
    let code = dice.random_range(1..=20);
    let before = dice.random_bool(0.5);
    let mutating = dice.random_bool(0.7);
    let (effect, times) = match kind {
        Kind::CommandFails => (Effect::FailsBefore(code), dice.random_range(1..=3)),
        Kind::CommandLies => (Effect::FailsAfter(code), dice.random_range(1..=2)),
        Kind::CommandHangs => (Effect::Hangs, 1),
        Kind::SlowNode => (
            Effect::Slow(Duration::from_millis(dice.random_range(100..3000))),
            40,
        ),
        _ if before => (Effect::CrashBefore, 1),
        _ => (Effect::CrashAfter, 1),
    };
    let skip = dice.random_range(0..8);
    let fault = effect_fault(node, mutating, effect)
        .after(skip)
        .times(times);
    sim.fake.inject(fault);
    format!(
        "{node}: {effect:?}, {times} times after {skip} commands, changing ones only: {mutating}"
    )
}

/// Fills 95 % of a node's free extents.
async fn fill(sim: &Sim, node: &str) -> bool {
    let host = sim.fake.host(node);
    let name = ["-n", BALLAST, VOLUME_GROUP, "-l", "95%FREE", "-y"].map(str::to_owned);
    host.run(Cmd::new("lvcreate").args(name))
        .await
        .is_ok_and(|output| output.success())
}

/// Repairs a fault.
pub async fn cure(sim: &mut Sim, cure: &Cure) {
    match cure {
        Cure::Link(node) => sim.net.set_reach(node, Reach::Open),
        Cure::Peers(a, b) => sim.fake.heal(a, b),
        Cure::Boot(node) => sim.boot(node).await,
        Cure::Controller => sim.start_controller().await,
        Cure::StoreRoom => sim.store.set_full(None),
        Cure::Space(node) => {
            if !sim.fake.is_up(node) {
                sim.boot(node).await;
            }
            if sim
                .fake
                .logical_volumes(node, VOLUME_GROUP)
                .iter()
                .any(|name| name == BALLAST)
            {
                let host = sim.fake.host(node);
                let path = format!("{VOLUME_GROUP}/{BALLAST}");
                let args = ["-f".to_owned(), path, "-y".to_owned()];
                let removed = host.run(Cmd::new("lvremove").args(args)).await;
                if !removed.is_ok_and(|output| output.success()) {
                    sim.trace
                        .add(format_args!("ballast of {node} could not be removed"));
                }
            }
        }
        Cure::Nothing => {}
    }
}

/// Repairs all faults.
pub async fn cure_all(sim: &mut Sim) {
    sim.fake.disarm();
    sim.store.revive();
    sim.store.set_full(None);
    // A fault may have been injected into a command that is still running: it ends with the command.
    tokio::time::sleep(STRUCK).await;
    let nodes = sim.nodes();
    for node in &nodes {
        sim.net.set_reach(node, Reach::Open);
        sim.boot(node).await;
        for other in nodes.iter().filter(|other| *other > node) {
            sim.fake.heal(node, other);
        }
        cure(sim, &Cure::Space(node.clone())).await;
    }
    sim.start_controller().await;
}
