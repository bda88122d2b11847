//! What goes wrong, and how it is mended.

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

/// Longer than a command takes that a fault has struck already.
const STRUCK: Duration = Duration::from_secs(1);
/// Name of the volume that fills a pool.
const BALLAST: &str = "ballast";

/// A kind of fault, for switching single ones off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The wire between controller and satellite is cut.
    LinkCut,
    /// The wire between controller and satellite goes silent.
    LinkSilent,
    /// The wire between two nodes is cut.
    PeersCut,
    /// A satellite is killed.
    SatelliteCrash,
    /// A machine loses power.
    HostCrash,
    /// The controller is killed.
    ControllerCrash,
    /// The controller dies at a store write.
    ControllerCrashAtWrite,
    /// A store write fails.
    StoreFails,
    /// The disk of the store is full.
    StoreFull,
    /// Commands fail without having done anything.
    CommandFails,
    /// Commands fail after they have done their work.
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

/// All of them.
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

/// What mends a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cure {
    /// The wire to a node works again.
    Link(String),
    /// The wire between two nodes works again.
    Peers(String, String),
    /// A machine or its satellite starts again.
    Boot(String),
    /// A controller starts.
    Controller,
    /// The disk of the store has room again.
    StoreRoom,
    /// What filled a pool is removed.
    Space(String),
    /// Nothing: it is over when it has struck.
    Nothing,
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cure::Link(node) => write!(f, "link to {node} mended"),
            Cure::Peers(a, b) => write!(f, "wire between {a} and {b} mended"),
            Cure::Boot(node) => write!(f, "{node} starts"),
            Cure::Controller => write!(f, "a controller starts"),
            Cure::StoreRoom => write!(f, "the store has room again"),
            Cure::Space(node) => write!(f, "{node} has space again"),
            Cure::Nothing => write!(f, "nothing to mend"),
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

/// Lets something go wrong now, or soon. Says what, and what mends it.
pub async fn strike(sim: &mut Sim, kind: Kind, dice: &mut SmallRng) -> (String, Cure) {
    let nodes = sim.nodes();
    let node = nodes.choose(dice).cloned().unwrap_or_default();
    match kind {
        Kind::LinkCut => {
            sim.net.set_reach(&node, Reach::Refused);
            (format!("link to {node} cut"), Cure::Link(node))
        }
        Kind::LinkSilent => {
            sim.net.set_reach(&node, Reach::Silent);
            (format!("link to {node} silent"), Cure::Link(node))
        }
        Kind::PeersCut => {
            let others: Vec<&String> = nodes.iter().filter(|other| **other != node).collect();
            let other = others
                .choose(dice)
                .map_or(node.clone(), |other| (*other).clone());
            sim.fake.cut(&node, &other);
            (
                format!("wire between {node} and {other} cut"),
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

/// Fills a node's volume group but for one extent.
async fn fill(sim: &Sim, node: &str) -> bool {
    let host = sim.fake.host(node);
    let name = ["-n", BALLAST, VOLUME_GROUP, "-l", "95%FREE", "-y"].map(str::to_owned);
    host.run(Cmd::new("lvcreate").args(name))
        .await
        .is_ok_and(|output| output.success())
}

/// Mends something.
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
                    sim.trace.add(format_args!("ballast of {node} stays"));
                }
            }
        }
        Cure::Nothing => {}
    }
}

/// Mends everything.
pub async fn cure_all(sim: &mut Sim) {
    sim.fake.disarm();
    sim.store.revive();
    sim.store.set_full(None);
    // What was armed may have struck a command that is still under way: it is over when that is.
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
