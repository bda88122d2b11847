//! Who waits for news of which row, and what the answers of nodes have reached.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linstor_model::model::RowKey;
use linstor_model::name::NodeName;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Who is to be woken by what.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    rows: Mutex<BTreeMap<RowKey, Arc<Notify>>>,
    /// For waits on nodes and pools.
    pub(crate) nodes: Notify,
    /// The newest generation that may have changed specs of a definition or of a node, for those touched since the
    /// start.
    touched: Mutex<BTreeMap<RowKey, u64>>,
    /// The newest report of space that a node has answered.
    refreshed: Mutex<BTreeMap<NodeName, u64>>,
    /// Generation of the model at the start: what nodes have reached of it is not known before they are connected.
    started: u64,
}

impl Waiters {
    pub(crate) fn new(started: u64) -> Self {
        Waiters {
            started,
            ..Waiters::default()
        }
    }

    /// Something about a definition is new.
    pub(crate) fn wake(&self, row: &RowKey) {
        if let Some(waiting) = lock(&self.rows).get(row) {
            waiting.notify_waiters();
        }
    }

    /// Something about a node or its pools is new.
    pub(crate) fn wake_nodes(&self) {
        self.nodes.notify_waiters();
    }

    /// A node came or went, which is news for everybody.
    pub(crate) fn wake_all(&self) {
        self.wake_nodes();
        for waiting in lock(&self.rows).values() {
            waiting.notify_waiters();
        }
    }

    /// A commit may have changed specs of a definition or node, or removed it.
    pub(crate) fn touched(&self, row: &RowKey, generation: u64, exists: bool) {
        let mut touched = lock(&self.touched);
        if exists {
            touched.insert(row.clone(), generation);
        } else {
            touched.remove(row);
        }
    }

    /// A node has answered a request for a report of space.
    pub(crate) fn refreshed(&self, node: &NodeName, id: u64) {
        lock(&self.refreshed).insert(node.clone(), id);
        self.wake_nodes();
    }

    pub(crate) fn has_refreshed(&self, node: &NodeName, id: u64) -> bool {
        lock(&self.refreshed)
            .get(node)
            .is_some_and(|newest| *newest >= id)
    }

    /// The generation that a wait has to wait for: not a newer one than the last that touched the definition or node,
    /// since no spec is sent for later ones.
    pub(crate) fn effective(&self, row: &RowKey, generation: u64) -> u64 {
        let touched = lock(&self.touched).get(row).copied();
        generation.min(touched.unwrap_or(self.started))
    }

    pub(crate) fn subscribe(&self, row: RowKey) -> Subscription<'_> {
        let mut rows = lock(&self.rows);
        let notify = rows.entry(row.clone()).or_default();
        Subscription {
            notify: Arc::clone(notify),
            row,
            waiters: self,
        }
    }
}

/// No code panics while it holds one of these locks; if some did, the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the list of those who wait for a definition.
pub(crate) struct Subscription<'a> {
    pub(crate) notify: Arc<Notify>,
    row: RowKey,
    waiters: &'a Waiters,
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        let mut rows = lock(&self.waiters.rows);
        // The map's and this one: no other wait has it.
        if Arc::strong_count(&self.notify) == 2 {
            rows.remove(&self.row);
        }
    }
}

/// Checks until there is an answer or the deadline has passed; at least once.
pub(crate) async fn poll_until<T>(
    notify: &Notify,
    deadline: Instant,
    mut poll: impl FnMut() -> Option<T>,
) -> Option<T> {
    loop {
        let news = notify.notified();
        tokio::pin!(news);
        // Enabled before the check, so that no change between the two is missed.
        news.as_mut().enable();
        if let Some(answer) = poll() {
            return Some(answer);
        }
        if timeout_at(deadline, news).await.is_err() {
            return poll();
        }
    }
}
