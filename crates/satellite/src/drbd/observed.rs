//! DRBD's state as `drbdsetup events2` reports it, and its changes, for attempts that wait for one.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use linstor_api::name::ResourceName;
use tokio::sync::watch;

use super::events::{Event, Object, parse};
use super::status::{DrbdResource, DrbdState};

/// Lines that may wait for the end of DRBD's first dump.
const QUEUED_MAX: usize = 100_000;

/// What is known of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// Nothing: events2 does not run, or its first dump is not complete.
    Unknown,
    /// DRBD does not have it.
    Absent,
    /// DRBD has it.
    Present(DrbdResource),
}

#[derive(Default)]
struct Inner {
    known: bool,
    state: DrbdState,
    /// Changes that arrived before the first dump was complete.
    queued: Vec<Event>,
}

/// The state of all resources in DRBD, and its changes.
pub struct ObservedDrbd {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

impl Default for ObservedDrbd {
    fn default() -> Self {
        ObservedDrbd {
            inner: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl ObservedDrbd {
    /// Forgets everything: the stream ended, or a new one begins.
    pub fn reset(&self) {
        *self.lock() = Inner::default();
        self.changed();
    }

    /// Takes a line of the stream. Returns the resources that changed; after a dump, all of them.
    pub fn feed(&self, line: &str) -> Vec<String> {
        let event = parse(line);
        let mut inner = self.lock();
        let inner = &mut *inner;
        let changed: Vec<String> = match event {
            Event::DumpDone => {
                inner.known = true;
                for event in std::mem::take(&mut inner.queued) {
                    inner.state.apply(event);
                }
                inner.state.resources.keys().cloned().collect()
            }
            event if !inner.known && !line.starts_with("exists") => {
                if inner.queued.len() < QUEUED_MAX {
                    inner.queued.push(event);
                }
                return Vec::new();
            }
            event => {
                let changed = inner.state.apply(event);
                if !inner.known {
                    return Vec::new();
                }
                changed.into_iter().collect()
            }
        };
        if inner.known {
            self.changed();
        }
        changed
    }

    /// Whether the first dump of events2 is complete.
    pub fn is_known(&self) -> bool {
        self.lock().known
    }

    /// What is known of a resource.
    pub fn get(&self, name: &ResourceName) -> Observed {
        let inner = self.lock();
        match inner.state.resources.get(name.as_str()) {
            _ if !inner.known => Observed::Unknown,
            Some(resource) => Observed::Present(resource.clone()),
            None => Observed::Absent,
        }
    }

    /// Reads all resources that DRBD has; `None` while they are not known.
    pub fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, DrbdResource>) -> T) -> Option<T> {
        let inner = self.lock();
        inner.known.then(|| read(&inner.state.resources))
    }

    /// Names of resources that are being synchronised.
    pub fn syncing(&self) -> Vec<String> {
        let inner = self.lock();
        let syncing = inner.state.resources.iter().filter(|(_, r)| r.is_syncing());
        syncing.map(|(name, _)| name.clone()).collect()
    }

    /// Enters the progress of resyncs from `drbdsetup status`; true if anything is different.
    pub fn progress(&self, name: &str, status: &str) -> bool {
        let mut inner = self.lock();
        let Some(resource) = inner.state.resources.get_mut(name) else {
            return false;
        };
        let mut changed = false;
        for (volume, done) in super::status::parse_progress(status) {
            for connection in resource.connections.values_mut() {
                // Only 8.4 needs this, which has one connection.
                if let Some(seen) = connection.volumes.get_mut(&volume) {
                    changed |= seen.done != Some(done);
                    seen.done = Some(done);
                }
            }
        }
        changed
    }

    /// Enters the sizes of volumes from the output of [`adm::now`](super::adm::now); true if any is different.
    pub fn sizes(&self, name: &ResourceName, lines: &str) -> bool {
        let mut inner = self.lock();
        let Some(resource) = inner.state.resources.get_mut(name.as_str()) else {
            return false;
        };
        let mut changed = false;
        for line in lines.lines() {
            let Event::Update {
                object: Object::Device(of, volume),
                fields,
                ..
            } = parse(line)
            else {
                continue;
            };
            let size = fields.get("size").and_then(|size| size.parse::<u64>().ok());
            let device = resource
                .devices
                .get_mut(&volume)
                .filter(|_| of == name.as_str());
            if let (Some(size), Some(device)) = (size, device) {
                changed |= device.size_kib != Some(size);
                device.size_kib = Some(size);
            }
        }
        drop(inner);
        if changed {
            self.changed();
        }
        changed
    }

    /// Waits until a condition holds for a resource; true if it did within `limit`.
    pub async fn wait(
        &self,
        name: &ResourceName,
        limit: Duration,
        holds: impl Fn(&Observed) -> bool,
    ) -> bool {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            while !holds(&self.get(name)) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok() && holds(&self.get(name))
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while holding it")
    }
}
