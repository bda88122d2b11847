//! The state of all machines, of the network between them, and the pending events.

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
use super::tool::Rng;

/// Events queued for a reader; the stream of a reader with more of them ends, as with the kernel's.
pub(crate) const EVENTS_QUEUED_MAX: usize = 65_536;

/// The state of a whole fake cluster.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) machines: BTreeMap<String, Machine>,
    /// Pairs of nodes without a network between them, each in order.
    pub(crate) cut: BTreeSet<(String, String)>,
    pub(crate) rng: Rng,
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

/// Durations and rates of a fake cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Rate of a resync.
    pub resync_kib_per_second: u64,
    /// Duration of a command that changes nothing.
    pub read_time: Duration,
    /// Duration of a command that changes something.
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

/// A pending event.
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
    /// The state that was last sent to the reader.
    pub(crate) seen: BTreeMap<String, View>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        World {
            machines: BTreeMap::new(),
            cut: BTreeSet::new(),
            rng: Rng::new(seed),
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

    /// Schedules an event, unless an equal one is pending.
    pub(crate) fn after(&mut self, wait: Duration, timer: Timer) {
        if self.timers.values().any(|other| *other == timer) {
            return;
        }
        self.timer_count += 1;
        self.timers
            .insert((Instant::now() + wait, self.timer_count), timer);
    }

    /// The time of the next pending event.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(due, _)| *due)
    }

    /// Runs all events that are due.
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

    /// Whether an event is pending.
    pub(crate) fn is_quiet(&self) -> bool {
        self.timers.is_empty()
    }

    pub(crate) fn is_cut(&self, a: &str, b: &str) -> bool {
        self.cut.contains(&pair(a, b))
    }

    /// Updates quorum and dependent state after changes, and sends events to their readers.
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

    /// Sends the events since the last update; false if the reader was dropped or its queue is full.
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

/// A pair of names in order.
pub(crate) fn pair(a: &str, b: &str) -> (String, String) {
    if a < b {
        (a.to_owned(), b.to_owned())
    } else {
        (b.to_owned(), a.to_owned())
    }
}
