//! What a node's link has still to send: filled by the writer with each commit, emptied by the link.
//!
//! A mailbox holds keys, not messages: ten commits on one definition are one entry, and the link projects the newest
//! model when it gets there. Its size is bounded by the number of resources on the node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linstor_model::name::NodeName;
use linstor_wire::Key;
use linstor_wire::question::{Answer, Question};
use tokio::sync::{Notify, oneshot};

/// What to send.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Objects whose spec on this node may have changed.
    pub(crate) keys: BTreeSet<Key>,
    /// Newest request for a report of the pools' space.
    pub(crate) refresh: Option<u64>,
    /// Questions; one whose caller waits no longer is not sent.
    pub(crate) questions: Vec<Asked>,
    /// The turns at shared spaces are to be sent.
    pub(crate) turns: bool,
}

/// A question with its caller, who finds this dropped when the connection ends before the answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The mailbox of one link.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
    /// A request asks to close the connection and to dial again.
    pub(crate) reconnect: Notify,
}

impl Mailbox {
    fn put(&self, put: impl FnOnce(&mut Mail)) {
        put(&mut lock(&self.mail));
        self.arrived.notify_one();
    }

    /// Empties the mailbox.
    pub(crate) fn take(&self) -> Mail {
        std::mem::take(&mut lock(&self.mail))
    }

    /// Waits until something was put in. Cancel-safe; may return when the mailbox is empty.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// All links' mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    boxes: Mutex<BTreeMap<NodeName, Arc<Mailbox>>>,
    /// A node's row changed: links may have to be started, stopped or dialled anew.
    pub(crate) nodes_changed: Notify,
    refresh_id: AtomicU64,
}

impl Mailboxes {
    /// The mailbox of a link that starts.
    pub(crate) fn open(&self, node: &NodeName) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        lock(&self.boxes).insert(node.clone(), Arc::clone(&mailbox));
        mailbox
    }

    /// The link has ended.
    pub(crate) fn close(&self, node: &NodeName) {
        lock(&self.boxes).remove(node);
    }

    fn of(&self, node: &NodeName) -> Option<Arc<Mailbox>> {
        lock(&self.boxes).get(node).cloned()
    }

    /// An object's spec may have changed on these nodes.
    pub(crate) fn touch<'a>(&self, key: &Key, nodes: impl IntoIterator<Item = &'a NodeName>) {
        for mailbox in nodes.into_iter().filter_map(|node| self.of(node)) {
            mailbox.put(|mail| {
                mail.keys.insert(key.clone());
            });
        }
    }

    /// Asks for a report of space; the id will come back with it.
    pub(crate) fn refresh(&self, node: &NodeName) -> u64 {
        let id = self.refresh_id.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(mailbox) = self.of(node) {
            mailbox.put(|mail| mail.refresh = Some(id));
        }
        id
    }

    /// Asks a node something; the answer is dropped without a link, and when its connection ends.
    pub(crate) fn ask(&self, node: &NodeName, question: Question) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        if let Some(mailbox) = self.of(node) {
            mailbox.put(|mail| mail.questions.push(Asked { question, answer }));
        }
        answered
    }

    /// A node has got other turns at shared spaces.
    pub(crate) fn turns(&self, node: &NodeName) {
        if let Some(mailbox) = self.of(node) {
            mailbox.put(|mail| mail.turns = true);
        }
    }

    /// Closes the node's connection and dials anew.
    pub(crate) fn reconnect(&self, node: &NodeName) {
        if let Some(mailbox) = self.of(node) {
            mailbox.reconnect.notify_one();
        }
    }
}

/// No code panics while it holds one of these locks; if some did, the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
