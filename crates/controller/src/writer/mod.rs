//! The one writer: takes what waits, runs it on a draft, stores it as one batch, publishes, answers.
//!
//! Group commit: while a batch is being made durable the next one gathers, so that many callers share one fsync. Each
//! change has a draft of its own on top of the changes before it and is settled on it; one that fails, or panics,
//! leaves no trace. A batch is as large as the store takes it; a change is never divided.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::{Draft, Model};
use linstor_store::{Limits, Store, StoreError, Write};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Superseded};
use crate::commit::Change;
use crate::ops::property::check_combinations;
use crate::settle::settle;
use crate::store_request::StoreRequest;
use crate::transaction::{Refusal, Transaction};

mod upgrade;

/// How many commits share a batch at most.
const BATCH_COMMITS_MAX: usize = 256;
/// How often the store is asked what became of a batch before callers get the answer that it is not known.
const SETTLE_TRIES: u32 = 3;
/// How long to wait between two such questions.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// How often it is tried whether a database can be written again.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// The same where a try copies the database, which may fill the disk while it lasts.
const COPY_INTERVAL: Duration = Duration::from_secs(60);
/// How often a store that does not answer is asked again.
const UNCERTAIN_RETRY: Duration = Duration::from_secs(1);

/// Runs a change on a draft of its own and settles it. Returns the draft, none when the change was refused.
fn run(cluster: &Cluster, before: &Model, change: &mut dyn Change) -> Option<Draft> {
    let plan = || {
        let draft = Draft::new(before.clone());
        let limits = cluster.shared.limits;
        let mut tx = Transaction::new(draft, cluster.observed(), &**cluster.env(), limits)
            .with_master_key(cluster.master_key());
        change.plan(&mut tx)?;
        check_combinations(before, &tx, tx.touched())?;
        settle(before, &mut tx);
        tx.check_held()?;
        tx.check_rollbacks()?;
        Ok(tx.into_parts())
    };
    // The draft is dropped with whatever state a panic left it in.
    let planned =
        catch_unwind(AssertUnwindSafe(plan)).unwrap_or_else(|panic| Err(panicked(&*panic).into()));
    match planned {
        Ok((draft, replies)) => {
            change.planned(Ok(replies));
            Some(draft)
        }
        Err(refusal) => {
            change.planned(Err(refusal));
            None
        }
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
    writes: BTreeMap<RowKey, Write>,
    changes: Vec<(Box<dyn Change>, Effect)>,
}

/// A change that was planned on top of a batch that has no room for it.
struct Carried {
    change: Box<dyn Change>,
    model: Model,
    writes: BTreeMap<RowKey, Write>,
}

/// What a change did to the draft.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Refused,
    Nothing,
    Changed,
}

/// A batch of which it is not known whether it is in the store.
struct Uncertain {
    /// The store's generation without it.
    before: u64,
    model: Model,
    touched: BTreeSet<RowKey>,
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
    uncertain: Option<Uncertain>,
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
            let probe_interval = self.probe_interval();
            tokio::select! {
                biased;
                // Cancel-safe: a flag. First, so that a busy queue cannot keep the writer alive.
                () = shutdown.cancelled(), if !self.waiting.is_closed() => self.waiting.close(),
                // Cancel-safe: the notice is consumed only when this arm wins. Before commits, which may never pause.
                () = self.cluster.shared.store_requests.arrived.notified() => self.answer_requests().await,
                // Cancel-safe: nothing is taken unless this arm wins.
                taken = self.waiting.recv_many(&mut batch, BATCH_COMMITS_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    self.serve(std::mem::take(&mut batch)).await;
                }
                // Cancel-safe: a timer that begins anew is only later.
                () = tokio::time::sleep(probe_interval), if self.is_unwritable() => self.probe().await,
                // Cancel-safe: a timer that begins anew is only later.
                () = tokio::time::sleep(UNCERTAIN_RETRY), if self.uncertain.is_some() => {
                    // Still no answer: asked again with the next round.
                    let _ = self.settle_uncertain().await;
                }
            }
        }
    }

    async fn answer_requests(&mut self) {
        for request in self.cluster.shared.store_requests.take() {
            // Who asked may have given up.
            match request {
                StoreRequest::Copy(name, answer) => {
                    let _ = answer.send(self.store.copy(&name).await);
                }
                StoreRequest::Rows(answer) => {
                    let _ = answer.send(self.store.load().await);
                }
            }
        }
    }

    /// Serves commits in as few batches as the store takes them.
    async fn serve(&mut self, batch: Vec<Box<dyn Change>>) {
        let mut left = VecDeque::from(batch);
        let mut carried = None;
        while carried.is_some() || !left.is_empty() {
            if let Err(refusal) = self.may_write().await {
                return refuse_all(carried, left, &refusal);
            }
            let prepared = prepare(&self.cluster, &mut carried, &mut left);
            if prepared.writes.is_empty() {
                let generation = prepared.model.generation;
                answer_all(prepared.changes, Ok(generation));
                continue;
            }
            let touched = prepared.writes.keys().cloned().collect();
            let stored = self.write(prepared.model, prepared.writes, touched).await;
            answer_all(prepared.changes, stored.as_ref().copied());
            if let (Err(refusal), Some(Carried { change, .. })) =
                (&stored, carried.take_if(|_| stored.is_err()))
            {
                // It was planned on top of what was not stored.
                change.answer(Err(refusal));
            }
        }
    }

    /// Stores a batch, and publishes the model that it makes, in which `touched` rows differ. Returns its generation.
    async fn write(
        &mut self,
        model: Model,
        writes: BTreeMap<RowKey, Write>,
        touched: BTreeSet<RowKey>,
    ) -> Result<u64, Refusal> {
        let (before, generation) = (self.cluster.model().generation, model.generation);
        let batch: Vec<Write> = writes.into_values().collect();
        let (rows, started) = (batch.len(), Instant::now());
        let stored = self.store(before, generation, batch).await;
        let took_ms = started.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(rows, took_ms, "batch stored");
        match stored {
            Stored::Yes => {
                self.set_writable();
                self.cluster.publish(Arc::new(model), &touched);
                Ok(generation)
            }
            Stored::No(error) => {
                self.set_unwritable(&error);
                Err(not_stored(&error).into())
            }
            Stored::Unknown(error) => {
                tracing::error!(%error, "it is not known whether a batch was stored");
                self.set_unwritable(&error);
                self.uncertain = Some(Uncertain {
                    before,
                    model,
                    touched,
                });
                Err(not_known(&error).into())
            }
        }
    }

    fn is_unwritable(&self) -> bool {
        self.uncertain.is_none()
            && self.cluster.shared.unwritable.borrow().is_some()
            && self.cluster.shared.superseded.borrow().is_none()
    }

    fn probe_interval(&self) -> Duration {
        match self.cluster.model().older_rows.is_empty() {
            true => PROBE_INTERVAL,
            false => COPY_INTERVAL,
        }
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

    /// Logged when it begins: as long as it lasts, callers are refused with the reason.
    fn set_unwritable(&self, error: &StoreError) {
        if matches!(
            error,
            StoreError::Conflict { .. } | StoreError::TooLarge { .. }
        ) {
            // The database can be written, though not by this controller, or not that.
            return;
        }
        self.note_unwritable(error.to_string());
    }

    fn note_unwritable(&self, reason: String) {
        let unwritable = &self.cluster.shared.unwritable;
        match unwritable.send_replace(Some(reason.clone())) {
            None => tracing::error!(reason, "the database cannot be written"),
            Some(_) => tracing::debug!(reason, "the database still cannot be written"),
        }
    }

    /// Finds out, by a batch without rows, whether the database can be written again.
    async fn probe(&mut self) {
        // Whoever asks for a change is refused with the reason.
        if self.may_write().await.is_ok() {
            let mut model = Model::clone(&self.cluster.model());
            model.generation += 1;
            let _ = self.write(model, BTreeMap::new(), BTreeSet::new()).await;
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
        self.upgrade().await
    }

    async fn store(&mut self, expected: u64, next: u64, batch: Vec<Write>) -> Stored {
        match self.store.apply(expected, next, batch).await {
            Ok(()) => Stored::Yes,
            Err(error @ StoreError::Conflict { .. }) => {
                self.fence(&error);
                Stored::No(error)
            }
            Err(error @ StoreError::TooLarge { .. }) => Stored::No(error),
            Err(error @ (StoreError::Failed { .. } | StoreError::NewerTables { .. })) => {
                self.settle(expected, next, error).await
            }
        }
    }

    /// Finds out whether a batch whose writing failed is in the store all the same.
    async fn settle(&mut self, expected: u64, next: u64, error: StoreError) -> Stored {
        for _ in 0..SETTLE_TRIES {
            match self.store.generation().await {
                Ok(found) if found == expected => return Stored::No(error),
                Ok(found) if found == next => {
                    tracing::warn!(%error, "the database reported a failure, but the batch is in it");
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
        let Some(uncertain) = self.uncertain.take() else {
            return Ok(());
        };
        let expected = uncertain.before;
        match self.store.generation().await {
            Ok(found) if found == expected => {
                tracing::warn!("the database answers again; the unconfirmed batch is not in it");
                Ok(())
            }
            Ok(found) if found == uncertain.model.generation => {
                tracing::warn!("the database answers again; the unconfirmed batch is in it");
                self.set_writable();
                let (model, touched) = (uncertain.model, uncertain.touched);
                self.cluster.publish(Arc::new(model), &touched);
                Ok(())
            }
            Ok(found) => {
                self.fence(&StoreError::Conflict { expected, found });
                Ok(())
            }
            Err(error) => {
                self.uncertain = Some(uncertain);
                Err(error)
            }
        }
    }

    fn fence(&self, error: &StoreError) {
        tracing::error!(%error, "the controller stops writing to its database");
        let by = Some(Superseded::InDatabase);
        self.cluster.shared.superseded.send_replace(by);
    }
}

/// Runs each change on a draft of its own, on top of the ones before it that succeeded, until the batch is full.
fn prepare(
    cluster: &Cluster,
    carried: &mut Option<Carried>,
    left: &mut VecDeque<Box<dyn Change>>,
) -> Prepared {
    let limits = cluster.shared.limits;
    let mut prepared = Prepared {
        model: Model::clone(&cluster.model()),
        writes: BTreeMap::new(),
        changes: Vec::with_capacity(left.len() + 1),
    };
    // It was planned on top of what is stored now.
    if let Some(planned) = carried.take() {
        prepared.model = planned.model;
        prepared.writes = planned.writes;
        prepared.changes.push((planned.change, Effect::Changed));
    }
    while let Some(mut change) = left.pop_front() {
        let Some(draft) = run(cluster, &prepared.model, &mut *change) else {
            prepared.changes.push((change, Effect::Refused));
            continue;
        };
        let (model, writes) = differing(&prepared.model, draft);
        if writes.is_empty() {
            prepared.changes.push((change, Effect::Nothing));
        } else if !limits.allow(writes.values()) {
            change.planned(Err(too_large(writes.values(), limits).into()));
            prepared.changes.push((change, Effect::Refused));
        } else if !limits.allow(prepared.writes.values().chain(writes.values())) {
            *carried = Some(Carried {
                change,
                model,
                writes,
            });
            break;
        } else {
            prepared.model = model;
            prepared.writes.extend(writes);
            prepared.changes.push((change, Effect::Changed));
        }
    }
    prepared
}

/// The changed model, and the rows of it that are not as before.
fn differing(before: &Model, draft: Draft) -> (Model, BTreeMap<RowKey, Write>) {
    let (mut model, touched) = draft.into_parts();
    // See `Draft::since`.
    model.generation += 1;
    let touched = touched.into_iter();
    let differing = touched.filter(|key| !before.has_same_row(&model, key));
    let writes = differing.map(|key| {
        let write = Write::new(&key, model.row_json(&key));
        (key, write)
    });
    let writes = writes.collect();
    (model, writes)
}

fn refuse_all(carried: Option<Carried>, left: VecDeque<Box<dyn Change>>, refusal: &Refusal) {
    let carried = carried.map(|carried| carried.change);
    for change in carried.into_iter().chain(left) {
        change.answer(Err(refusal));
    }
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

fn too_large<'a>(writes: impl Iterator<Item = &'a Write> + Clone, limits: Limits) -> Reply {
    let error = StoreError::TooLarge {
        rows: writes.clone().count(),
        bytes: writes.map(Write::bytes).sum(),
        limits,
    };
    Reply::new(
        code::FAIL_SQL,
        "The change was not made, because it is larger than the database takes at once.",
    )
    .cause(error.to_string())
    .correction("Make the change in several smaller ones.")
}

fn not_known(error: &StoreError) -> Reply {
    Reply::new(
        code::FAIL_SQL,
        "The change may or may not have been made: the database failed while it was being stored.",
    )
    .cause(error.to_string())
    .correction(
        "Check the controller's database; once it works again, check whether the change was made.",
    )
}

fn superseded() -> Reply {
    Reply::new(
        code::FAIL_SQL,
        "The change was not made: another controller has taken over the cluster.",
    )
    .correction("Use the other controller.")
}
