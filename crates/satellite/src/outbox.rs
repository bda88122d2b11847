//! What is to be reported to the controller. Newer reports replace older ones, so that it never grows beyond the
//! cluster, however slow the link is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use linstor_wire::message::SuspensionState;
use linstor_wire::question::Answer;
use linstor_wire::status::{Outcome, PoolStatus};
use linstor_wire::{Key, ToController};
use uuid::Uuid;

/// Pings that may wait for their answer.
const PONGS_MAX: usize = 64;

/// An outcome on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEntry {
    /// Generation of the spec that was tried.
    pub generation: u64,
    /// The object's identity.
    pub uuid: Uuid,
    /// How it went.
    pub outcome: Outcome,
    /// Ids of the spec's instructions that have been carried out.
    pub done: Vec<Uuid>,
    /// After a failure: how long until the next attempt, in milliseconds.
    pub retry_in_ms: Option<u64>,
}

/// All reports that have not been sent.
#[derive(Debug, Default)]
pub struct Outbox {
    pongs: VecDeque<u64>,
    applied: BTreeMap<Key, AppliedEntry>,
    status: BTreeSet<Key>,
    gone: BTreeSet<Key>,
    space: Option<Vec<PoolStatus>>,
    refreshed: VecDeque<u64>,
    synced: Option<u64>,
    suspensions: Vec<(Uuid, SuspensionState)>,
    answers: Vec<(u64, Answer)>,
    info: bool,
}

impl Outbox {
    /// A new connection begins: what was for the old one is of no use.
    pub fn clear(&mut self) {
        *self = Outbox::default();
    }

    /// A ping is to be answered.
    pub fn pong(&mut self, id: u64) {
        if self.pongs.len() == PONGS_MAX {
            self.pongs.pop_front();
        }
        self.pongs.push_back(id);
    }

    /// An attempt ended.
    pub fn applied(&mut self, key: &Key, entry: AppliedEntry) {
        self.applied.insert(key.clone(), entry);
        self.status.insert(key.clone());
    }

    /// A resource's status may have changed.
    pub fn status(&mut self, key: &Key) {
        self.status.insert(key.clone());
    }

    /// A resource was forgotten.
    pub fn gone(&mut self, key: &Key) {
        self.status.remove(key);
        self.gone.insert(key.clone());
    }

    /// The space of the pools was queried; `refresh` is the id of the request, if there was one.
    pub fn space(&mut self, pools: Vec<PoolStatus>, refresh: Option<u64>) {
        self.space = Some(pools);
        if let Some(id) = refresh {
            if self.refreshed.len() == PONGS_MAX {
                self.refreshed.pop_front();
            }
            self.refreshed.push_back(id);
        }
    }

    /// A full sync was taken over.
    pub fn synced(&mut self, generation: u64) {
        self.synced = Some(generation);
    }

    /// The state of a suspension of I/O changed. Nothing is replaced: there are few, and each is small.
    pub fn suspension(&mut self, lease: Uuid, state: SuspensionState) {
        self.suspensions.push((lease, state));
    }

    /// Changes of suspensions of I/O, in order.
    pub fn take_suspensions(&mut self) -> Vec<ToController> {
        let message = |(lease, state)| ToController::Suspension { lease, state };
        self.suspensions.drain(..).map(message).collect()
    }

    /// A question was answered. At most as many wait as questions are answered at the same time.
    pub fn answer(&mut self, id: u64, answer: Answer) {
        self.answers.push((id, answer));
    }

    /// Answers to questions.
    pub fn take_answers(&mut self) -> Vec<ToController> {
        let message = |(id, answer)| ToController::Answer { id, answer };
        self.answers.drain(..).map(message).collect()
    }

    /// The node's capabilities changed.
    pub fn info(&mut self) {
        self.info = true;
    }

    /// Whether the node's capabilities are to be reported.
    pub fn take_info(&mut self) -> bool {
        std::mem::take(&mut self.info)
    }

    /// Answers to pings, which never wait for anything.
    pub fn take_pongs(&mut self) -> Vec<ToController> {
        let pong = |id| ToController::Pong { id };
        self.pongs.drain(..).map(pong).collect()
    }

    /// Objects whose status is to be reported, and objects that were forgotten. Without `all`, only those whose outcome
    /// is to be reported: their status is sent before it.
    pub fn take_status(&mut self, all: bool) -> (Vec<Key>, Vec<Key>) {
        let taken: Vec<Key> = if all {
            std::mem::take(&mut self.status).into_iter().collect()
        } else {
            let waiting = self.applied.keys().filter(|k| self.status.contains(*k));
            waiting.cloned().collect()
        };
        for key in &taken {
            self.status.remove(key);
        }
        let gone = std::mem::take(&mut self.gone).into_iter().collect();
        (taken, gone)
    }

    /// Whether a status waits.
    pub fn has_status(&self) -> bool {
        !self.status.is_empty()
    }

    /// Outcomes.
    pub fn take_applied(&mut self) -> Vec<ToController> {
        std::mem::take(&mut self.applied)
            .into_iter()
            .map(|(key, entry)| ToController::Applied {
                generation: entry.generation,
                key,
                uuid: entry.uuid,
                outcome: entry.outcome,
                done: entry.done,
                retry_in_ms: entry.retry_in_ms,
            })
            .collect()
    }

    /// The pools, once per refresh that was asked for, or once.
    pub fn take_space(&mut self) -> Vec<ToController> {
        let Some(pools) = self.space.take() else {
            return Vec::new();
        };
        let mut asked: Vec<Option<u64>> = self.refreshed.drain(..).map(Some).collect();
        if asked.is_empty() {
            asked.push(None);
        }
        asked
            .into_iter()
            .map(|refresh| ToController::Space {
                refresh,
                pools: pools.clone(),
            })
            .collect()
    }

    /// The end of a full sync.
    pub fn take_synced(&mut self) -> Option<ToController> {
        let generation = self.synced.take()?;
        Some(ToController::Synced { generation })
    }
}
