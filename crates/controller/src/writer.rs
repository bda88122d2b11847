//! The one writer: takes what waits, runs it on a draft, stores it as one batch, publishes, answers.
//!
//! Group commit: while a batch is being made durable the next one gathers, so that many callers share one fsync. Each
//! change has a draft of its own on top of the changes before it and is settled on it; one that fails, or panics, leaves no
//! trace.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::{Draft, Model};
use linstor_store::{Store, StoreError, Write};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Committed, Superseded};
use crate::settle::settle;
use crate::transaction::{Refusal, Transaction};

/// How many commits share a batch at most.
const BATCH_COMMITS_MAX: usize = 256;
/// How often the store is asked what became of a batch before callers are told that it is not known.
const SETTLE_TRIES: u32 = 3;
/// How long to wait between two such questions.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// How often it is tried whether a database can be written again.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How often a store that does not answer is asked again.
const UNCERTAIN_RETRY: Duration = Duration::from_secs(1);

/// A commit that waits for the writer.
pub(crate) trait Change: Send {
    /// Runs the closure on a model and settles the change. Returns the changed draft, none when it was refused.
    fn run(&mut self, cluster: &Cluster, before: &Model) -> Option<Draft>;

    /// Answers the caller; `stored` is the generation and whether anything changed, or why nothing was stored.
    fn answer(self: Box<Self>, stored: Result<(u64, bool), &Refusal>);
}

type Answer<T> = oneshot::Sender<Result<Committed<T>, Refusal>>;

/// A commit with its closure and its caller.
pub(crate) struct Typed<T, F> {
    change: Option<F>,
    planned: Option<Result<(T, Vec<Reply>), Refusal>>,
    answer: Answer<T>,
}

impl<T, F> Typed<T, F> {
    pub(crate) fn new(change: F, answer: Answer<T>) -> Self {
        Typed {
            change: Some(change),
            planned: None,
            answer,
        }
    }
}

impl<T, F> Change for Typed<T, F>
where
    T: Send,
    F: FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send,
{
    fn run(&mut self, cluster: &Cluster, before: &Model) -> Option<Draft> {
        let change = self.change.take()?;
        let plan = || {
            let draft = Draft::new(before.clone());
            let mut tx = Transaction::new(draft, cluster.observed(), &**cluster.env());
            let value = change(&mut tx)?;
            settle(before, &mut tx)?;
            tx.check_held()?;
            let (draft, replies) = tx.into_parts();
            Ok((draft, value, replies))
        };
        // The draft is dropped with whatever state a panic left it in.
        let planned = catch_unwind(AssertUnwindSafe(plan))
            .unwrap_or_else(|panic| Err(panicked(&*panic).into()));
        match planned {
            Ok((draft, value, replies)) => {
                self.planned = Some(Ok((value, replies)));
                Some(draft)
            }
            Err(refusal) => {
                self.planned = Some(Err(refusal));
                None
            }
        }
    }

    fn answer(self: Box<Self>, stored: Result<(u64, bool), &Refusal>) {
        let result = match (self.planned, stored) {
            (Some(Err(refusal)), _) => Err(refusal),
            (Some(Ok(_)) | None, Err(refusal)) => Err(refusal.clone()),
            (Some(Ok((value, replies))), Ok((generation, changed))) => Ok(Committed {
                value,
                replies,
                generation,
                changed,
            }),
            (None, Ok(_)) => unreachable!("what was stored was run before"),
        };
        // A caller who went away does not take the change back.
        let _ = self.answer.send(result);
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Reply {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    Reply::new(
        code::FAIL_IMPL_ERROR,
        "The change was not made, because of a fault in the controller.",
    )
    .cause(text.unwrap_or_else(|| "It gave no reason.".to_owned()))
    .correction("Report this with the controller's log.")
}

/// A batch that is ready to be stored.
struct Prepared {
    model: Model,
    touched: BTreeSet<RowKey>,
    changes: Vec<(Box<dyn Change>, Effect)>,
}

/// What a change did to the draft.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Refused,
    Nothing,
    Changed,
}

/// How storing a batch went.
enum Stored {
    Yes,
    No(StoreError),
    Unknown(StoreError),
}

/// The writer's state.
pub(crate) struct Writer {
    cluster: Cluster,
    store: Box<dyn Store>,
    waiting: mpsc::Receiver<Box<dyn Change>>,
    /// A batch of which it is not known whether it got into the store. Nothing is written before it is settled.
    uncertain: Option<(Model, BTreeSet<RowKey>)>,
}

impl Writer {
    pub(crate) fn new(
        cluster: Cluster,
        store: Box<dyn Store>,
        waiting: mpsc::Receiver<Box<dyn Change>>,
    ) -> Self {
        Writer {
            cluster,
            store,
            waiting,
            uncertain: None,
        }
    }

    /// Serves commits until shutdown; what already waits then is still served.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: a flag. First, so that a busy queue cannot keep the writer alive.
                () = shutdown.cancelled(), if !self.waiting.is_closed() => self.waiting.close(),
                // Cancel-safe: nothing is taken unless this arm wins.
                taken = self.waiting.recv_many(&mut batch, BATCH_COMMITS_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    self.serve(std::mem::take(&mut batch)).await;
                }
                // Cancel-safe: a timer that begins anew is only later.
                () = tokio::time::sleep(PROBE_INTERVAL), if self.is_unwritable() => self.probe().await,
                // Cancel-safe: a timer that begins anew is only later.
                () = tokio::time::sleep(UNCERTAIN_RETRY), if self.uncertain.is_some() => {
                    // Still no answer: asked again with the next round.
                    let _ = self.settle_uncertain().await;
                }
            }
        }
    }

    async fn serve(&mut self, batch: Vec<Box<dyn Change>>) {
        if let Err(refusal) = self.may_write().await {
            for change in batch {
                change.answer(Err(&refusal));
            }
            return;
        }
        let prepared = prepare(&self.cluster, batch);
        if prepared.touched.is_empty() {
            let generation = prepared.model.generation;
            return answer_all(prepared.changes, Ok(generation));
        }
        let generation = prepared.model.generation + 1;
        let mut model = prepared.model;
        model.generation = generation;
        match self.store(&model, &prepared.touched).await {
            Stored::Yes => {
                self.set_writable();
                self.cluster.publish(Arc::new(model), &prepared.touched);
                answer_all(prepared.changes, Ok(generation));
            }
            Stored::No(error) => {
                self.set_unwritable(&error, prepared.changes.len());
                answer_all(prepared.changes, Err(&not_stored(&error).into()));
            }
            Stored::Unknown(error) => {
                tracing::error!(%error, "it is not known whether a batch was stored");
                self.set_unwritable(&error, prepared.changes.len());
                self.uncertain = Some((model, prepared.touched));
                answer_all(prepared.changes, Err(&not_known(&error).into()));
            }
        }
    }

    fn is_unwritable(&self) -> bool {
        self.uncertain.is_none()
            && self.cluster.shared.unwritable.borrow().is_some()
            && self.cluster.shared.superseded.borrow().is_none()
    }

    fn set_writable(&self) {
        let mut before = None;
        self.cluster.shared.unwritable.send_if_modified(|reason| {
            before = reason.take();
            before.is_some()
        });
        if before.is_some() {
            tracing::info!("the database can be written again");
        }
    }

    /// Logged when it begins: as long as it lasts, callers are told.
    fn set_unwritable(&self, error: &StoreError, commits: usize) {
        let reason = error.to_string();
        let before = self.cluster.shared.unwritable.send_replace(Some(reason));
        match before {
            None => tracing::error!(%error, commits, "a batch was not stored"),
            Some(_) => tracing::debug!(%error, commits, "a batch was not stored"),
        }
    }

    /// Finds out, by a batch without rows, whether the database can be written again.
    async fn probe(&mut self) {
        let mut model = Model::clone(&self.cluster.model());
        model.generation += 1;
        let nothing = BTreeSet::new();
        match self.store(&model, &nothing).await {
            Stored::Yes => {
                self.set_writable();
                self.cluster.publish(Arc::new(model), &nothing);
            }
            Stored::No(error) => self.set_unwritable(&error, 0),
            Stored::Unknown(error) => {
                self.set_unwritable(&error, 0);
                self.uncertain = Some((model, nothing));
            }
        }
    }

    /// Whether a batch may be written now; why not otherwise.
    async fn may_write(&mut self) -> Result<(), Refusal> {
        if self.cluster.shared.superseded.borrow().is_some() {
            return Err(superseded().into());
        }
        if self.uncertain.is_some()
            && let Err(error) = self.settle_uncertain().await
        {
            return Err(not_stored(&error).into());
        }
        if self.cluster.shared.superseded.borrow().is_some() {
            return Err(superseded().into());
        }
        Ok(())
    }

    async fn store(&mut self, model: &Model, touched: &BTreeSet<RowKey>) -> Stored {
        let expected = model.generation - 1;
        let batch: Vec<Write> = touched
            .iter()
            .map(|key| Write::new(key, model.row_json(key)))
            .collect();
        match self.store.apply(expected, batch).await {
            Ok(_) => Stored::Yes,
            Err(error @ StoreError::Conflict { .. }) => {
                self.fence(&error);
                Stored::No(error)
            }
            Err(error @ (StoreError::Failed { .. } | StoreError::NewerSchema { .. })) => {
                self.settle(expected, error).await
            }
        }
    }

    /// Finds out whether a batch whose writing failed is in the store all the same.
    async fn settle(&mut self, expected: u64, error: StoreError) -> Stored {
        for _ in 0..SETTLE_TRIES {
            match self.store.generation().await {
                Ok(found) if found == expected => return Stored::No(error),
                Ok(found) if found == expected + 1 => {
                    tracing::warn!(%error, "the store reported a failure, but the batch is in it");
                    return Stored::Yes;
                }
                Ok(found) => {
                    let error = StoreError::Conflict { expected, found };
                    self.fence(&error);
                    return Stored::No(error);
                }
                Err(_) => tokio::time::sleep(SETTLE_PAUSE).await,
            }
        }
        Stored::Unknown(error)
    }

    /// Asks what became of the uncertain batch, and publishes it if it is in the store.
    async fn settle_uncertain(&mut self) -> Result<(), StoreError> {
        let Some((model, touched)) = self.uncertain.take() else {
            return Ok(());
        };
        let expected = model.generation - 1;
        match self.store.generation().await {
            Ok(found) if found == expected => {
                tracing::warn!("the store is back; the batch in question is not in it");
                Ok(())
            }
            Ok(found) if found == model.generation => {
                tracing::warn!("the store is back; the batch in question is in it");
                self.set_writable();
                self.cluster.publish(Arc::new(model), &touched);
                Ok(())
            }
            Ok(found) => {
                self.fence(&StoreError::Conflict { expected, found });
                Ok(())
            }
            Err(error) => {
                self.uncertain = Some((model, touched));
                Err(error)
            }
        }
    }

    fn fence(&self, error: &StoreError) {
        tracing::error!(%error, "this controller stops writing");
        let by = Some(Superseded::InDatabase);
        self.cluster.shared.superseded.send_replace(by);
    }
}

/// Runs every change on a draft of its own, on top of the ones before it that succeeded.
fn prepare(cluster: &Cluster, batch: Vec<Box<dyn Change>>) -> Prepared {
    let mut prepared = Prepared {
        model: Model::clone(&cluster.model()),
        touched: BTreeSet::new(),
        changes: Vec::with_capacity(batch.len()),
    };
    for mut change in batch {
        let effect = match change.run(cluster, &prepared.model) {
            None => Effect::Refused,
            Some(draft) => take(&mut prepared, draft),
        };
        prepared.changes.push((change, effect));
    }
    prepared
}

/// Takes a draft over unless every row it touched is as before.
fn take(prepared: &mut Prepared, draft: Draft) -> Effect {
    let (model, touched) = draft.into_parts();
    let differs = |key: &RowKey| !prepared.model.has_same_row(&model, key);
    let differing: Vec<RowKey> = touched.into_iter().filter(differs).collect();
    if differing.is_empty() {
        return Effect::Nothing;
    }
    prepared.model = model;
    prepared.touched.extend(differing);
    Effect::Changed
}

fn answer_all(changes: Vec<(Box<dyn Change>, Effect)>, stored: Result<u64, &Refusal>) {
    for (change, effect) in changes {
        // A refused change has its answer already, whatever became of the others.
        change.answer(stored.map(|generation| (generation, effect == Effect::Changed)));
    }
}

fn not_stored(error: &StoreError) -> Reply {
    Reply::new(
        code::FAIL_SQL,
        "The change was not made, because it could not be stored.",
    )
    .cause(error.to_string())
    .correction("Check the controller's database and its file system, then try again.")
}

fn not_known(error: &StoreError) -> Reply {
    Reply::new(
        code::FAIL_SQL,
        "The change may or may not have been made: the database failed while it was being stored.",
    )
    .cause(error.to_string())
    .correction(
        "Check the controller's database; once it works again, look whether the change is there.",
    )
}

fn superseded() -> Reply {
    Reply::new(
        code::FAIL_SQL,
        "The change was not made: another controller has taken over the cluster.",
    )
    .correction("Use the other controller.")
}
