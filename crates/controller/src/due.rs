//! What the upkeep has to check, noted when it changes: at rest nothing is searched for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use linstor_api::prop;
use linstor_model::Resource;
use linstor_model::name::{NodeName, ResourceName};
use tokio::sync::Notify;

/// Who made a replica that a diskless resource in use became.
pub(crate) const AUTO_DISKFUL: &str = "auto-diskful";

/// A resource.
pub(crate) type Replica = (ResourceName, NodeName);

/// What is noted.
#[derive(Debug, Default)]
pub(crate) struct Due {
    noted: Mutex<Noted>,
    /// A storage pool or a node was added or restored.
    pub(crate) pool_added: Notify,
    /// A port was found in use.
    pub(crate) port_busy: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    /// Diskless resources that their nodes reported as in use, each with since when, in milliseconds since the Unix epoch.
    in_use: BTreeMap<Replica, u64>,
    /// Resources that got a disk as they were in use.
    auto_diskful: BTreeSet<Replica>,
    /// Resources whose port their node found in use.
    busy_ports: BTreeSet<(Replica, u16)>,
}

impl Due {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has reported whether its resource is in use.
    pub(crate) fn use_reported(&self, row: &Resource, in_use: bool, now_ms: u64) {
        let mut noted = self.lock();
        if in_use && row.is_diskless() {
            let replica = (row.name.clone(), row.node.clone());
            noted.in_use.entry(replica).or_insert(now_ms);
        } else if !noted.in_use.is_empty() {
            noted.in_use.remove(&(row.name.clone(), row.node.clone()));
        }
    }

    /// A resource was stored.
    pub(crate) fn stored(&self, row: &Resource) {
        let by = row.props.get(prop::DISKFUL_BY);
        if by.is_some_and(|by| by == AUTO_DISKFUL) {
            let replica = (row.name.clone(), row.node.clone());
            self.lock().auto_diskful.insert(replica);
        }
    }

    /// A node found the port of its resource in use.
    pub(crate) fn port_is_busy(&self, replica: Replica, port: u16) {
        self.lock().busy_ports.insert((replica, port));
        self.port_busy.notify_one();
    }

    /// The diskless resources in use, each with since when; those that the check refuses are dropped.
    pub(crate) fn in_use(&self, mut keep: impl FnMut(&Replica) -> bool) -> Vec<(Replica, u64)> {
        let mut noted = self.lock();
        noted.in_use.retain(|replica, _| keep(replica));
        let all = noted.in_use.iter();
        all.map(|(replica, since)| (replica.clone(), *since))
            .collect()
    }

    /// A resource in use counts from now on.
    pub(crate) fn in_use_again(&self, replica: &Replica, now_ms: u64) {
        if let Some(since) = self.lock().in_use.get_mut(replica) {
            *since = now_ms;
        }
    }

    /// The resources that got a disk as they were in use; those that the check refuses are dropped.
    pub(crate) fn auto_diskful(&self, keep: impl FnMut(&Replica) -> bool) -> Vec<Replica> {
        let mut noted = self.lock();
        noted.auto_diskful.retain(keep);
        noted.auto_diskful.iter().cloned().collect()
    }

    /// The ports found in use, which are taken from here.
    pub(crate) fn take_busy_ports(&self) -> BTreeSet<(Replica, u16)> {
        std::mem::take(&mut self.lock().busy_ports)
    }
}
