//! What the parts of a satellite share: the machine, the observations of it, and the table of objects.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_host::Host;
use linstor_wire::Key;
use linstor_wire::spec::{NodeSpec, ResourceSpec, Spec};
use linstor_wire::status::{LuksStatus, NodeInfo, Outcome};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

use crate::copying::Copies;
use crate::drbd::mending::Mending;
use crate::drbd::observed::ObservedDrbd;
use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::observation::Observations;
use crate::options::Options;
use crate::outbox::Outbox;
use crate::providers::Storage;
use crate::questions::QUESTIONS_MAX;
use crate::shipment::Shipments;
use crate::spec_store::{Identity, Notes, Record, Revision, SpecStore};
use crate::stop::{Awaited, Begun, Check, Waiting};
use crate::suspension::Suspensions;

/// How long after the last sign of growth the sizes of a resource are asked for.
const SIZES_WATCHED: Duration = Duration::from_secs(30);

/// An object with the state of the attempts at it.
#[derive(Debug)]
pub struct Tracked {
    /// What is on disk.
    pub record: Record,
    /// Whether the record is on disk as it is here. It is written before it is acted upon.
    pub saved: bool,
    /// The controller no longer has the resource: its record and `.res` file are removed, its volumes are not.
    pub forgotten: bool,
    /// When the next attempt is due.
    pub due: Instant,
    /// The attempt that works on it, if one does.
    pub running: Option<u64>,
    /// Something changed while it was being worked on.
    pub again: bool,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// The controller waits for the outcome of this generation.
    pub owed: Option<u64>,
    /// The outcome that was reported last.
    pub reported: Option<Outcome>,
    /// A newer spec was refused: outcomes of the one before it are not reported.
    pub refused: bool,
    /// Grows with each new spec, and when the object is forgotten or comes back.
    pub version: u64,
    /// What ended the last attempt, if it waits for something.
    pub waiting: Option<Waiting>,
    /// Waits that began since an attempt last came to an end.
    pub waits: BTreeMap<Awaited, Begun>,
    /// Facts about the backing volumes, by volume number and suffix.
    pub volumes: BTreeMap<(u32, StorageSuffix), VolumeFacts>,
    /// Open LUKS devices on the volumes with the data, by volume number.
    pub luks: BTreeMap<u32, LuksStatus>,
    /// What DRBD gave up, and what was done about it.
    pub mending: Mending,
    /// It is what an earlier identity of this node had, before that was lost: what DRBD has of it is out of date.
    pub former: bool,
    /// When the `.res` file was last found to be correct, and a digest of its content.
    pub files_checked: Option<(Instant, u64)>,
}

/// Facts about a backing volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// The backing device.
    pub backing_device: Option<String>,
    /// Size of the backing volume.
    pub backing_kib: Option<u64>,
    /// Space it takes in its pool.
    pub allocated_kib: Option<u64>,
}

impl Tracked {
    /// An object that an attempt is due for.
    pub fn new(record: Record, saved: bool) -> Self {
        Tracked {
            record,
            saved,
            forgotten: false,
            due: Instant::now(),
            running: None,
            again: false,
            failures: 0,
            owed: None,
            reported: None,
            refused: false,
            version: 0,
            waiting: None,
            waits: BTreeMap::new(),
            volumes: BTreeMap::new(),
            luks: BTreeMap::new(),
            mending: Mending::default(),
            former: false,
            files_checked: None,
        }
    }

    /// The spec of a resource.
    pub fn resource(&self) -> Option<&Arc<ResourceSpec>> {
        match &self.record.spec {
            Spec::Resource(resource) => Some(resource),
            Spec::Node(_) | Spec::Snapshot(_) => None,
        }
    }

    /// Discards the state of earlier attempts.
    fn begin_anew(&mut self) {
        self.version += 1;
        self.failures = 0;
        self.waiting = None;
        self.waits.clear();
    }

    /// Has an attempt made as soon as none is running.
    fn mark_due(&mut self) {
        self.due = Instant::now();
        self.again |= self.running.is_some();
    }
}

/// What is protected by one lock, which is never held across an await.
#[derive(Debug, Default)]
pub struct State {
    /// Who we are.
    pub identity: Option<Identity>,
    /// What the node is able to do.
    pub info: NodeInfo,
    /// The last probe found less than the one before, and another one has to confirm it.
    pub loss_suspected: bool,
    /// Version of the kernel's DRBD module when the node was last probed.
    pub module: Option<String>,
    /// The node and its resources.
    pub objects: BTreeMap<Key, Tracked>,
    /// What is to be reported to the controller.
    pub outbox: Outbox,
    /// Number of the connection that is served; older ones end.
    pub connection: u64,
    /// When the controller on that connection was last heard; none when nothing is connected.
    pub controller_heard: Option<Instant>,
    /// Attempts that were begun.
    pub attempts: u64,
    /// The specs on disk have been read.
    pub loaded: bool,
}

/// An order of a controller.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Number of the connection that it came on.
    pub connection: u64,
    /// How new it is.
    pub revision: Revision,
}

impl State {
    /// The node's spec.
    pub fn node(&self) -> Option<&Arc<NodeSpec>> {
        match &self.objects.get(&Key::Node)?.record.spec {
            Spec::Node(node) => Some(node),
            Spec::Resource(_) | Spec::Snapshot(_) => None,
        }
    }

    /// The resources that the controller has.
    pub fn resources(&self) -> impl Iterator<Item = (&Key, &Arc<ResourceSpec>)> {
        let objects = self
            .objects
            .iter()
            .filter(|(_, tracked)| !tracked.forgotten);
        objects.filter_map(|(key, tracked)| Some((key, tracked.resource()?)))
    }

    /// Has the status of every resource reported, if it has changed.
    pub fn report_all(&mut self) {
        let keys: Vec<Key> = self.resources().map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.outbox.status(key);
        }
    }

    /// Whether an order is to be obeyed by an object whose spec is this new: the connection that it came on has not
    /// been replaced, and nothing newer was ordered.
    fn obeys(&self, order: Order, current: Revision) -> bool {
        self.connection == order.connection && current <= order.revision
    }
}

/// Everything shared.
pub struct Shared {
    /// The machine.
    pub machine: Machine,
    /// Settings.
    pub options: Options,
    /// The files.
    pub store: SpecStore,
    /// The state of storage as last queried.
    pub observations: Observations,
    /// DRBD's state as its events report it.
    pub observed_drbd: ObservedDrbd,
    /// Suspensions of I/O.
    pub suspensions: Suspensions,
    /// Snapshots that are sent.
    pub shipments: Shipments,
    /// Volumes that are copied.
    pub copies: Copies,
    /// Questions of the controller that may be answered at the same time.
    pub questions: Arc<Semaphore>,
    /// Resources are due.
    pub wake: Notify,
    /// There is something to report.
    pub outgoing: Notify,
    /// The space of the pools may have changed.
    pub space_changed: Notify,
    /// What volumes take in the pools changes for a while.
    pub unsettled: AtomicBool,
    /// There are volumes that grow.
    pub sizes_watched: Notify,
    /// Resources with volumes that grow, each with when DRBD is not asked any more.
    watched: Mutex<BTreeMap<Key, Instant>>,
    /// A capability that a spec needs is missing, or the node's pools changed.
    pub doubts: Notify,
    /// Another connection took over, the specs were read, or the node was found to be able to do something else.
    pub changed: tokio::sync::watch::Sender<()>,
    state: Mutex<State>,
}

impl Shared {
    /// Nothing known, nothing begun.
    pub fn new(host: Arc<dyn Host>, options: Options) -> Self {
        Shared {
            machine: Machine::new(host),
            store: SpecStore::new(options.state_directory.clone()),
            observations: Observations::new(options.observation_age),
            options,
            observed_drbd: ObservedDrbd::default(),
            suspensions: Suspensions::default(),
            shipments: Shipments::default(),
            copies: Copies::default(),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            wake: Notify::new(),
            outgoing: Notify::new(),
            space_changed: Notify::new(),
            unsettled: AtomicBool::new(false),
            sizes_watched: Notify::new(),
            watched: Mutex::default(),
            doubts: Notify::new(),
            changed: tokio::sync::watch::Sender::new(()),
            state: Mutex::default(),
        }
    }

    /// The name of this node: that of the host, unless an option names another one.
    pub fn uname(&self) -> String {
        let given = self.options.node_name.clone();
        given.unwrap_or_else(|| self.machine.host().uname().node)
    }

    /// The state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding it")
    }

    /// What providers work with.
    pub fn storage(&self) -> Storage<'_> {
        Storage {
            machine: &self.machine,
            observations: &self.observations,
        }
    }

    /// Changes the outbox and wakes its reader.
    pub fn report(&self, change: impl FnOnce(&mut Outbox)) {
        change(&mut self.state().outbox);
        self.outgoing.notify_one();
    }

    /// A volume was made, grown or removed, or is being synchronised: the space of the pools changes now and for a while.
    pub fn space_unsettled(&self) {
        self.unsettled.store(true, Ordering::Relaxed);
        self.space_changed.notify_one();
    }

    /// Has the sizes of a resource's volumes asked for until they are those of its spec, or for a while.
    pub fn watch_size(&self, key: &Key) {
        self.watched()
            .insert(key.clone(), Instant::now() + SIZES_WATCHED);
        self.sizes_watched.notify_one();
    }

    /// The resources whose sizes are to be asked for.
    pub fn watched_sizes(&self) -> Vec<Key> {
        let mut watched = self.watched();
        watched.retain(|_, until| *until > Instant::now());
        watched.keys().cloned().collect()
    }

    /// The sizes of a resource need not be asked for.
    pub fn unwatch_size(&self, key: &Key) {
        self.watched().remove(key);
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<Key, Instant>> {
        self.watched
            .lock()
            .expect("no code panics while holding it")
    }

    /// Has an attempt at an object made now.
    pub fn mark_due(&self, key: &Key) {
        if let Some(tracked) = self.state().objects.get_mut(key) {
            tracked.mark_due();
        }
        self.wake.notify_one();
    }

    /// Has an attempt at every object made now.
    pub fn mark_all_due(&self) {
        let mut state = self.state();
        state.objects.values_mut().for_each(Tracked::mark_due);
        drop(state);
        self.wake.notify_one();
    }

    /// Has an attempt made now at every object that could not be brought to its spec.
    pub fn mark_failed_due(&self) {
        let mut state = self.state();
        let objects = state.objects.values_mut();
        objects
            .filter(|t| t.running.is_some() || t.failures > 0 || t.waiting.is_some())
            .for_each(Tracked::mark_due);
        drop(state);
        self.wake.notify_one();
    }

    /// Has an attempt made now at an object that waits, if what it waits for has happened.
    pub fn recheck(&self, key: &Key) {
        let waiting = |state: &State| state.objects.get(key)?.waiting.clone();
        let Some(waiting) = waiting(&self.state()) else {
            return;
        };
        // Without the lock: conditions read what has locks of its own.
        let check = (waiting.condition)(self);
        let mut state = self.state();
        let Some(tracked) = state.objects.get_mut(key) else {
            return;
        };
        let Some(waiting) = &mut tracked.waiting else {
            return;
        };
        match check {
            Check::Holds => tracked.mark_due(),
            Check::NotYet(done) if done != waiting.done => waiting.done = done,
            Check::NotYet(_) => return,
        }
        drop(state);
        self.wake.notify_one();
    }

    /// As [`Shared::recheck`], for every object that waits.
    pub fn recheck_all(&self) {
        let waiting: Vec<Key> = {
            let state = self.state();
            let objects = state.objects.iter();
            let waiting = objects.filter(|(_, tracked)| tracked.waiting.is_some());
            waiting.map(|(key, _)| key.clone()).collect()
        };
        for key in &waiting {
            self.recheck(key);
        }
    }

    /// Takes over a spec and has it tried. It is written to disk before it is acted on. Fails if the node has obeyed a
    /// newer order for the object; does nothing if the connection was replaced.
    pub fn take(&self, order: Order, spec: Spec) -> Result<()> {
        let key = spec.key();
        let revision = order.revision;
        let mut state = self.state();
        if state.connection != order.connection {
            return Ok(());
        }
        let current = state.objects.get(&key).map(|t| t.record.revision);
        if let Some(current) = current.filter(|current| *current > revision) {
            return Err(outdated(&key, revision, current));
        }
        let is_new = current.is_none();
        let tracked = state.objects.entry(key.clone()).or_insert_with(|| {
            let record = Record {
                revision,
                spec: spec.clone(),
                notes: Notes::default(),
            };
            Tracked::new(record, false)
        });
        tracked.record.revision = revision;
        tracked.owed = Some(revision.generation);
        tracked.refused = false;
        let came_back = std::mem::take(&mut tracked.forgotten);
        let changed = tracked.record.spec != spec;
        let grows = changed && grows(&tracked.record.spec, &spec);
        if changed || came_back {
            // Notes are about this very object; one of the same name that comes after it begins without.
            if tracked.record.spec.uuid() != spec.uuid() {
                tracked.record.notes = Notes::default();
                tracked.volumes.clear();
                tracked.luks.clear();
                tracked.mending = Mending::default();
                tracked.files_checked = None;
            }
            if skips_disk(&tracked.record.spec) && !skips_disk(&spec) {
                tracked.mending = Mending::default();
            }
            tracked.record.spec = spec;
            tracked.saved = false;
            tracked.begin_anew();
        }
        tracked.mark_due();
        if key == Key::Node && (is_new || changed) {
            if let Some(node) = state.node() {
                self.machine.set_limits(&node.props);
                self.machine.turns.set_pools(&node.pools);
            }
            // It may have a pool of a kind that was not found, and resources may have been waiting for it.
            state.objects.values_mut().for_each(Tracked::mark_due);
            self.doubts.notify_one();
            self.space_changed.notify_one();
        }
        drop(state);
        if grows {
            self.watch_size(&key);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Notes that a spec was not understood. The one before it remains in force.
    pub fn refuse(&self, key: &Key) {
        if let Some(tracked) = self.state().objects.get_mut(key) {
            tracked.refused = true;
        }
    }

    /// Has the reconciler forget an object, once it does not work on it: the controller no longer has it. Nothing
    /// happens if the order is out of date or about another identity of the same name.
    pub fn take_forget(&self, order: Order, key: &Key, uuid: Option<Uuid>) {
        let mut state = self.state();
        let Some(current) = state.objects.get(key).map(|t| t.record.revision) else {
            return;
        };
        let obeyed = state.obeys(order, current);
        let found = state.objects.get_mut(key).filter(|_| *key != Key::Node);
        let Some(tracked) = found.filter(|t| uuid.is_none_or(|uuid| t.record.spec.uuid() == uuid))
        else {
            return;
        };
        if !obeyed {
            tracing::warn!(%key, ?order, ?current, "outdated order to forget ignored");
            return;
        }
        tracked.record.revision = order.revision;
        tracked.forgotten = true;
        tracked.begin_anew();
        tracked.owed = None;
        tracked.mark_due();
        drop(state);
        self.wake.notify_one();
    }

    /// Writes a record down, unless it is on disk as it is here.
    pub async fn save(&self, key: &Key) -> Result<()> {
        let _turn = self.machine.lock(&format!("record/{}", key.folded())).await;
        let unsaved = {
            let state = self.state();
            let tracked = state.objects.get(key);
            tracked.filter(|t| !t.saved).map(|t| t.record.clone())
        };
        let Some(record) = unsaved else { return Ok(()) };
        self.store.save(self.machine.host(), &record).await?;
        if let Some(tracked) = self.state().objects.get_mut(key) {
            tracked.saved = tracked.record == record;
        }
        Ok(())
    }

    /// Changes the notes of a replica, on disk first. Does nothing if they do not change, or if another replica has
    /// taken its name.
    pub async fn note(&self, key: &Key, uuid: Uuid, change: impl FnOnce(&mut Notes)) -> Result<()> {
        let _turn = self.machine.lock(&format!("record/{}", key.folded())).await;
        let record = self.state().objects.get(key).map(|t| t.record.clone());
        let Some(mut record) = record.filter(|r| r.spec.uuid() == uuid) else {
            return Ok(());
        };
        let before = record.notes.clone();
        change(&mut record.notes);
        if record.notes == before {
            return Ok(());
        }
        self.store.save(self.machine.host(), &record).await?;
        if let Some(tracked) = self.state().objects.get_mut(key) {
            tracked.record.notes = record.notes;
        }
        Ok(())
    }

    /// The notes of an object.
    pub fn notes(&self, key: &Key) -> Notes {
        let state = self.state();
        let tracked = state.objects.get(key);
        tracked.map(|t| t.record.notes.clone()).unwrap_or_default()
    }

    /// Drops a forgotten object from disk and table, unless it came back meanwhile. Nothing is destroyed.
    pub async fn drop_forgotten(&self, key: &Key) -> Result<()> {
        let _turn = self.machine.lock(&format!("record/{}", key.folded())).await;
        self.store.remove(self.machine.host(), key).await?;
        let mut state = self.state();
        let Some(tracked) = state.objects.get_mut(key) else {
            return Ok(());
        };
        if !tracked.forgotten {
            tracked.saved = false;
            return Ok(());
        }
        state.objects.remove(key);
        state.outbox.gone(key);
        drop(state);
        self.outgoing.notify_one();
        tracing::info!(%key, "no longer in the cluster, its spec was removed");
        Ok(())
    }
}

/// Whether a volume is larger in a newer spec.
fn grows(before: &Spec, after: &Spec) -> bool {
    let (Spec::Resource(before), Spec::Resource(after)) = (before, after) else {
        return false;
    };
    let mut volumes = after.volumes.iter();
    volumes.any(|volume| {
        let mut all = before.volumes.iter();
        let old = all.find(|old| old.number == volume.number);
        old.is_some_and(|old| old.usable_kib < volume.usable_kib)
    })
}

fn skips_disk(spec: &Spec) -> bool {
    match spec {
        Spec::Resource(resource) => resource.drbd().is_some_and(|drbd| drbd.skip_disk),
        Spec::Node(_) | Spec::Snapshot(_) => false,
    }
}

fn outdated(key: &Key, given: Revision, current: Revision) -> Failure {
    Failure::new(
        code::FAIL_INVLD_CONF,
        format!("This node has a newer configuration of '{key}' than the controller."),
    )
    .cause(format!(
        "The node's is of controller epoch {} and generation {}, the controller's of {} and {}.",
        current.epoch, current.generation, given.epoch, given.generation
    ))
    .correction("If the controller's database was restored from a backup, restart the controller.")
}
