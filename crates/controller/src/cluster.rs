//! The handle that everything else in the controller works with.
//!
//! Reads take a snapshot ([`Cluster::model`], [`Cluster::observed`]) and never wait. Writes are closures on a draft
//! ([`Cluster::commit`]) that one writer runs, stores and publishes (see [`crate::writer`]). Waiting for what a commit
//! brings about is in [`crate::wait`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::layer::luks;
use linstor_model::master_key::Key;
use linstor_model::master_key::linstor::Exported;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::process::Kind;
use linstor_model::{Model, Observed};
use linstor_store::Limits;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::commit::{Change, Committed, Typed};
use crate::config::Config;
use crate::due::Due;
use crate::env::Env;
use crate::error_report::ErrorReports;
use crate::https::Https;
use crate::mailbox::Mailboxes;
use crate::ops::backup::Verifications;
use crate::ops::backup::bucket::Descriptions;
use crate::ops::metrics::Requests;
use crate::store_request::StoreRequests;
use crate::tasks::advance::Pending;
use crate::transaction::{Refusal, Transaction};
use crate::turns::Turns;
use crate::waiters::Waiters;

/// How many commits may wait for the writer before callers wait to hand theirs over.
pub(crate) const COMMITS_WAITING_MAX: usize = 1024;

/// The cluster. A clone is a pointer.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) shared: Arc<Shared>,
    commits: mpsc::Sender<Box<dyn Change>>,
}

/// What all handles share.
pub(crate) struct Shared {
    pub(crate) model: ArcSwap<Model>,
    observed: ArcSwap<Observed>,
    /// Held for the time of an update only, never across an await; readers do not take it.
    observing: Mutex<()>,
    pub(crate) env: Arc<dyn Env>,
    /// How much the store takes at once.
    pub(crate) limits: Limits,
    pub(crate) store_requests: StoreRequests,
    pub(crate) error_reports: ErrorReports,
    /// The program's settings; none where it is a part of another program.
    pub(crate) config: Option<Config>,
    /// Whether the REST API is served over TLS.
    pub(crate) https: Https,
    pub(crate) waiters: Waiters,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) turns: Turns,
    /// Marked when the model or an observation of a node changes, for streams of events.
    news: watch::Sender<()>,
    pub(crate) requests: Requests,
    /// The master key, once its passphrase was set or entered.
    master_key: watch::Sender<Option<Arc<Key>>>,
    /// What seals the secrets that leave the cluster, for as long as the master key is there.
    exported: Mutex<Option<Arc<Exported>>>,
    /// Held while a passphrase is checked: one at a time, and a while longer after a wrong one.
    pub(crate) passphrase_check: tokio::sync::Mutex<()>,
    /// Descriptions of backups that were read: they are long, many, and rarely change.
    pub(crate) descriptions: Mutex<Descriptions>,
    /// Backups that are being verified.
    pub(crate) verifications: Verifications,
    pub(crate) pending: Pending,
    pub(crate) due: Due,
    /// Held by the link that makes the specs of a full sync: after a start all links have one to send, and requests are to
    /// be answered meanwhile.
    pub(crate) syncing: tokio::sync::Mutex<()>,
    /// Resources that were created or changed and were not made yet when their node last reported space, if it did.
    pub(crate) unmade: Mutex<BTreeMap<NodeName, BTreeSet<ResourceName>>>,
    /// When the age of all reports of thin pools was last checked, in milliseconds since the Unix epoch.
    pub(crate) thin_space_checked: AtomicU64,
    /// Definitions are left to be settled in the background.
    pub(crate) settling: Notify,
    /// Something was stored that may give the controller something to do for backups: a step, or a limit of them.
    pub(crate) backups: Notify,
    /// Something was stored that may make backups of schedules due.
    pub(crate) schedules: Notify,
    /// Why the database cannot be written; none while it can, or was not written yet.
    pub(crate) unwritable: watch::Sender<Option<String>>,
    /// Set once another controller has the cluster.
    pub(crate) superseded: watch::Sender<Option<Superseded>>,
}

impl Shared {
    pub(crate) fn observed(&self) -> Observed {
        Observed::clone(&self.observed.load())
    }

    /// Wakes streams of events.
    pub(crate) fn announce(&self) {
        if self.news.receiver_count() > 0 {
            self.news.send_replace(());
        }
    }

    /// Changes what is observed. The closure is short and does not come back here.
    ///
    /// A closure that checks its news against the model reads the model itself: what a commit removed is dropped from
    /// here after the commit was published, so that news of it either see that or are dropped too.
    pub(crate) fn observe<T>(&self, update: impl FnOnce(&mut Observed) -> T) -> T {
        let _one_at_a_time: MutexGuard<'_, ()> = self
            .observing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut observed = self.observed();
        let result = update(&mut observed);
        self.observed.store(Arc::new(observed));
        self.announce();
        result
    }
}

/// Who has the cluster instead of this controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded {
    /// Another controller writes to this one's database.
    InDatabase,
    /// Satellites obey another controller, which has a database of its own.
    AtSatellites,
}

impl Cluster {
    /// The handle to a loaded model, and the commits that a writer has to serve.
    pub(crate) fn new(
        model: Model,
        env: Arc<dyn Env>,
        limits: Limits,
        error_reports: ErrorReports,
        config: Option<Config>,
    ) -> (Cluster, mpsc::Receiver<Box<dyn Change>>) {
        let (commits, waiting) = mpsc::channel(COMMITS_WAITING_MAX);
        let shared = Arc::new(Shared {
            waiters: Waiters::new(model.generation),
            model: ArcSwap::from_pointee(model),
            observed: ArcSwap::default(),
            observing: Mutex::new(()),
            env,
            limits,
            store_requests: StoreRequests::default(),
            error_reports,
            config,
            https: Https::default(),
            mailboxes: Mailboxes::default(),
            turns: Turns::new(tokio::time::Instant::now()),
            news: watch::Sender::new(()),
            requests: Requests::default(),
            master_key: watch::Sender::new(None),
            exported: Mutex::default(),
            passphrase_check: tokio::sync::Mutex::default(),
            descriptions: Mutex::default(),
            verifications: Verifications::default(),
            pending: Pending::default(),
            due: Due::default(),
            syncing: tokio::sync::Mutex::default(),
            unmade: Mutex::default(),
            thin_space_checked: AtomicU64::new(0),
            settling: Notify::new(),
            backups: Notify::new(),
            schedules: Notify::new(),
            unwritable: watch::Sender::new(None),
            superseded: watch::Sender::new(None),
        });
        (Cluster { shared, commits }, waiting)
    }

    /// The model as of now.
    pub fn model(&self) -> Arc<Model> {
        self.shared.model.load_full()
    }

    /// What nodes have reported.
    pub fn observed(&self) -> Observed {
        self.shared.observed()
    }

    /// Time and randomness.
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.shared.env
    }

    /// Changes each time that the model or an observation of a node changes.
    pub fn news(&self) -> watch::Receiver<()> {
        self.shared.news.subscribe()
    }

    /// The key that seals secrets; none while it is not set, or its passphrase was not entered.
    pub fn master_key(&self) -> Option<Arc<Key>> {
        self.shared.master_key.borrow().clone()
    }

    /// What seals the secrets that leave the cluster; none while there is no master key.
    pub(crate) fn exported(&self) -> Option<Arc<Exported>> {
        let exported = self.shared.exported.lock();
        exported.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the master key for this controller's life, and has the keys of encrypted volumes sent.
    pub(crate) fn unlock(&self, key: Arc<Key>, exported: Exported) {
        let held = self.shared.exported.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(exported));
        if self.shared.master_key.send_replace(Some(key)).is_some() {
            return;
        }
        self.shared.schedules.notify_one();
        let model = self.model();
        for row in model.resources.values() {
            if luks::has_headers(row) {
                let key = linstor_wire::Key::Resource(row.name.clone());
                self.shared.mailboxes.touch(&key, [&row.node]);
            }
        }
        for process in model.processes.values() {
            if let Kind::RestoreBackup(of) = &process.kind {
                let key = linstor_wire::Key::Snapshot(of.resource.clone(), of.snapshot.clone());
                self.shared.mailboxes.touch(&key, [&of.node]);
            }
        }
        for (_, backup) in model.shipments() {
            let (name, snapshot) = (backup.resource.clone(), backup.snapshot.clone());
            let key = linstor_wire::Key::Snapshot(name, snapshot);
            self.shared.mailboxes.touch(&key, [&backup.node]);
        }
    }

    /// Changes the model: all of the closure's changes, durably, or none of them.
    ///
    /// The closure sees every earlier commit. It must not block: others wait behind it. Once it returns, what follows
    /// from its changes is settled (see [`crate::settle`]). A closure that changes nothing costs no write.
    ///
    /// # Errors
    ///
    /// The closure's refusal, or why its change could not be stored.
    pub async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Committed<T>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let change = Box::new(Typed::new(change, answer));
        if self.commits.send(change).await.is_err() {
            return Err(shutting_down().into());
        }
        // The writer drops an answer only when it is torn down in the middle; then the outcome is open.
        answered
            .await
            .unwrap_or_else(|_| Err(shutting_down().into()))
    }

    /// Ends when another controller has the cluster: this one must stop, as its model is out of date.
    pub async fn superseded(&self) -> Superseded {
        let mut superseded = self.shared.superseded.subscribe();
        let by = superseded.wait_for(Option::is_some).await;
        match by.ok().and_then(|by| *by) {
            Some(by) => by,
            // The sender lives as long as this handle.
            None => std::future::pending().await,
        }
    }
}

fn shutting_down() -> Reply {
    Reply::new(
        code::FAIL_UNKNOWN_ERROR,
        "The controller is shutting down, the change may not have been made.",
    )
    .correction("Try again.")
}
