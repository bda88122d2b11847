//! A change of the model while it is planned: the draft, and the time, the randomness and the observations that plans
//! need.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use linstor_api::reply::Reply;
use linstor_model::master_key::Key;
use linstor_model::model::RowKey;
use linstor_model::process::roll_back;
use linstor_model::resource::Seeds;
use linstor_model::{Draft, Model, Observed};
use linstor_store::{Limits, Write};
use uuid::Uuid;

use crate::env::Env;

/// Why a request changed nothing: at least one error, or a warning that there was nothing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal(pub Vec<Reply>);

impl Refusal {
    /// Whose replies are complete (see [`Reply::plain`]).
    pub fn plain(self) -> Self {
        Refusal(self.0.into_iter().map(Reply::plain).collect())
    }
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Refusal(vec![reply])
    }
}

impl From<Vec<Reply>> for Refusal {
    fn from(replies: Vec<Reply>) -> Self {
        Refusal(replies)
    }
}

/// A change while it is planned. Dropping it drops the change.
pub struct Transaction<'a> {
    before: Model,
    draft: Draft,
    /// What nodes reported.
    pub observed: Observed,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    env: &'a dyn Env,
    limits: Limits,
    unlocked: Option<Arc<Key>>,
    replies: Vec<Reply>,
}

impl Deref for Transaction<'_> {
    type Target = Draft;
    fn deref(&self) -> &Draft {
        &self.draft
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Draft {
        &mut self.draft
    }
}

impl<'a> Transaction<'a> {
    /// A change on top of a draft, as of now, for a store that takes so much at once.
    pub fn new(draft: Draft, observed: Observed, env: &'a dyn Env, limits: Limits) -> Self {
        Transaction {
            before: Model::clone(&draft),
            draft,
            observed,
            now_ms: env.now_ms(),
            env,
            limits,
            unlocked: None,
            replies: Vec::new(),
        }
    }

    /// With the master key, if it is there.
    pub fn with_master_key(mut self, key: Option<Arc<Key>>) -> Self {
        self.unlocked = key;
        self
    }

    /// Whether the master key is there.
    pub fn is_unlocked(&self) -> bool {
        self.unlocked.is_some()
    }

    /// Adds a reply for the caller, given once the change is durable.
    pub fn reply(&mut self, reply: Reply) {
        self.replies.push(reply);
    }

    /// Adds replies for the caller.
    pub fn replies(&mut self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.extend(replies);
    }

    /// Adds a reply unless it was given already.
    pub fn reply_once(&mut self, reply: Reply) {
        if !self.replies.contains(&reply) {
            self.replies.push(reply);
        }
    }

    /// Completes the replies after the first `count` ones.
    pub fn complete_replies(&mut self, count: usize, complete: impl Fn(Reply) -> Reply) {
        let added = self.replies.split_off(count);
        self.replies.extend(added.into_iter().map(complete));
    }

    /// Takes away the replies after the first `count` ones.
    pub fn split_replies(&mut self, count: usize) -> Vec<Reply> {
        self.replies.split_off(count)
    }

    /// How many replies there are so far.
    pub fn reply_count(&self) -> usize {
        self.replies.len()
    }

    /// Drops the replies after the first `count` ones.
    pub fn truncate_replies(&mut self, count: usize) {
        self.replies.truncate(count);
    }

    /// A new identity.
    pub fn uuid(&self) -> Uuid {
        self.env.uuid()
    }

    /// Random bytes that cannot be predicted.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.env.fill(&mut bytes);
        bytes
    }

    /// Runs a plan of the model.
    pub fn plan<T>(&mut self, plan: impl FnOnce(&mut Draft, &Observed, &mut Seeds<'_>) -> T) -> T {
        let env = self.env;
        let mut seeds = Seeds {
            now_ms: self.now_ms,
            uuid: &mut || env.uuid(),
            fill: &mut |bytes| env.fill(bytes),
            master_key: self.unlocked.as_deref(),
        };
        plan(&mut self.draft, &self.observed, &mut seeds)
    }

    /// Takes back what a plan did when it fails, its replies too.
    pub fn attempt<T>(
        &mut self,
        plan: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (savepoint, replies) = (self.draft.savepoint(), self.replies.len());
        let result = plan(self);
        if result.is_err() {
            self.draft.rollback(savepoint);
            self.replies.truncate(replies);
        }
        result
    }

    /// Runs a plan; takes back what it did, and returns nothing, where the store does not take it at once with what was
    /// planned before.
    pub fn if_fits<T>(&mut self, plan: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let (savepoint, replies) = (self.draft.savepoint(), self.replies.len());
        let result = plan(self);
        if self.fits() {
            return Some(result);
        }
        self.draft.rollback(savepoint);
        self.replies.truncate(replies);
        None
    }

    fn fits(&self) -> bool {
        if self.limits == Limits::NONE {
            return true;
        }
        let keys = self.draft.touched().iter();
        let writes: Vec<Write> = keys
            .map(|key| Write::new(key, self.draft.row_json(key)))
            .collect();
        self.limits.allow(&writes)
    }

    /// Refuses what a rollback that is under way does not bear.
    pub fn check_rollbacks(&self) -> Result<(), Refusal> {
        let refused = roll_back::refuses(&self.before, &self.draft);
        refused.map_or(Ok(()), |reply| Err(reply.into()))
    }

    /// Refuses when the change concerns what is held because its row cannot be read.
    pub fn check_held(&self) -> Result<(), Refusal> {
        if self.draft.held.is_empty() {
            return Ok(());
        }
        let changed = |key: &&RowKey| !self.before.has_same_row(&self.draft, key);
        let refused = self.draft.touched().iter().filter(changed).find_map(|key| {
            let held = &self.draft.held;
            if let RowKey::Process(id) = key {
                let versions = [self.before.processes.get(id), self.draft.processes.get(id)];
                let mut versions = versions.into_iter().flatten();
                return versions.find_map(|process| held.refuses_process(process));
            }
            held.refuses(key, self.draft.row_json(key).is_none())
        });
        refused.map_or(Ok(()), |reply| Err(reply.into()))
    }

    /// The changed draft and the replies.
    pub fn into_parts(self) -> (Draft, Vec<Reply>) {
        (self.draft, self.replies)
    }
}
