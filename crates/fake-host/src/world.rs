//! All machines, what lies between them, and what is going to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use linstor_host::StreamEvent;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::data::Ledger;
use super::drbd::{self, View};
use super::fault::Armed;
use super::journal::Entry;
use super::machine::Machine;
use super::tool::Dice;

/// Events that a reader may be behind; one that is further behind loses its stream, as with the kernel's.
pub(crate) const EVENTS_QUEUED_MAX: usize = 65_536;

/// The state of a whole fake cluster.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) machines: BTreeMap<String, Machine>,
    /// Pairs of nodes that do not reach each other, in order.
    pub(crate) cut: BTreeSet<(String, String)>,
    pub(crate) dice: Dice,
    pub(crate) config: Config,
    /// Resources whose state may have changed, by node.
    pub(crate) touched: BTreeSet<(String, String)>,
    timers: BTreeMap<(Instant, u64), Timer>,
    timer_count: u64,
    pub(crate) streams: BTreeMap<u64, Stream>,
    pub(crate) stream_count: u64,
    pub(crate) journal: Vec<Entry>,
    pub(crate) faults: Vec<Armed>,
    pub(crate) ledger: Ledger,
    pub(crate) started: Instant,
}

/// Speeds of a fake cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How fast a resync copies.
    pub resync_kib_per_second: u64,
    /// How long a command takes that changes nothing.
    pub read_time: Duration,
    /// How long a command takes that changes something.
    pub change_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            resync_kib_per_second: 100 * 1024,
            read_time: Duration::from_millis(5),
            change_time: Duration::from_millis(20),
        }
    }
}

/// Something that happens by itself, later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    Members {
        node: String,
        resource: String,
    },
    Connect {
        node: String,
        resource: String,
        key: u32,
    },
    Resync {
        node: String,
        resource: String,
        key: u32,
        volume: u32,
    },
}

/// A running `drbdsetup events2`.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) node: String,
    /// Only this resource.
    pub(crate) resource: Option<String>,
    pub(crate) statistics: bool,
    pub(crate) events: mpsc::Sender<StreamEvent>,
    /// What the reader knows.
    pub(crate) seen: BTreeMap<String, View>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        World {
            machines: BTreeMap::new(),
            cut: BTreeSet::new(),
            dice: Dice::new(seed),
            config: Config::default(),
            touched: BTreeSet::new(),
            timers: BTreeMap::new(),
            timer_count: 0,
            streams: BTreeMap::new(),
            stream_count: 0,
            journal: Vec::new(),
            faults: Vec::new(),
            ledger: Ledger::default(),
            started: Instant::now(),
        }
    }

    /// Lets something happen later. What is already going to happen is not doubled.
    pub(crate) fn after(&mut self, wait: Duration, timer: Timer) {
        if self.timers.values().any(|other| *other == timer) {
            return;
        }
        self.timer_count += 1;
        self.timers
            .insert((Instant::now() + wait, self.timer_count), timer);
    }

    /// When the next thing happens.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(due, _)| *due)
    }

    /// Lets everything happen that is due.
    pub(crate) fn run_timers(&mut self, now: Instant) {
        while let Some(first) = self
            .timers
            .first_entry()
            .filter(|first| first.key().0 <= now)
        {
            match first.remove() {
                Timer::Members { node, resource } => drbd::agree(self, &node, &resource),
                Timer::Connect {
                    node,
                    resource,
                    key,
                } => {
                    drbd::try_connect(self, &node, &resource, key);
                }
                Timer::Resync {
                    node,
                    resource,
                    key,
                    volume,
                } => {
                    drbd::resync_tick(self, &node, &resource, key, volume);
                }
            }
        }
        self.settle();
    }

    /// Whether anything is still going to happen by itself.
    pub(crate) fn is_quiet(&self) -> bool {
        self.timers.is_empty()
    }

    pub(crate) fn is_cut(&self, a: &str, b: &str) -> bool {
        self.cut.contains(&pair(a, b))
    }

    /// Draws the consequences of what was changed and sends them to the readers of events.
    pub(crate) fn settle(&mut self) {
        let seen = drbd::settle(self);
        let mut ended = Vec::new();
        let mut streams = std::mem::take(&mut self.streams);
        for (id, stream) in &mut streams {
            for (node, name) in &seen {
                if *node != stream.node {
                    continue;
                }
                if stream.resource.as_ref().is_some_and(|only| only != name) {
                    continue;
                }
                if !self.publish(stream, name) {
                    ended.push(*id);
                    break;
                }
            }
        }
        streams.retain(|id, _| !ended.contains(id));
        self.streams = streams;
    }

    /// Sends what a reader does not know yet; false if it is gone or too far behind.
    fn publish(&self, stream: &mut Stream, name: &str) -> bool {
        let now = drbd::view(self, &stream.node, name);
        let before = stream.seen.get(name).cloned().unwrap_or_default();
        for line in drbd::changes(&before, &now, stream.statistics) {
            if stream.events.try_send(StreamEvent::Line(line)).is_err() {
                return false;
            }
        }
        if now.is_empty() {
            stream.seen.remove(name)
        } else {
            stream.seen.insert(name.to_owned(), now)
        };
        true
    }
}

/// A pair in order.
pub(crate) fn pair(a: &str, b: &str) -> (String, String) {
    if a < b {
        (a.to_owned(), b.to_owned())
    } else {
        (b.to_owned(), a.to_owned())
    }
}
