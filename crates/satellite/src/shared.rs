//! What the parts of a satellite share: the machine, what was seen of it, and the table of resources.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_host::Host;
use linstor_wire::spec::{NodeSpec, ResourceSpec};
use linstor_wire::status::{NodeInfo, Outcome};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::drbd::layer::MEND_INTERVAL;
use crate::drbd::picture::Picture;
use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::observation::Observations;
use crate::options::Options;
use crate::outbox::Outbox;
use crate::providers::Storage;
use crate::spec_store::{Identity, NodeRecord, Notes, Record, Revision, SpecStore, key};
use crate::suspension::Suspensions;

/// A resource and how it is doing.
#[derive(Debug)]
pub struct Tracked {
    /// What is kept on disk.
    pub record: Record,
    /// Whether the record is on disk as it is here. It is written before it is acted upon.
    pub saved: bool,
    /// The controller no longer has the resource: the record and DRBD's files go, what is on the node stays.
    pub forgotten: bool,
    /// When it is looked at next.
    pub due: Instant,
    /// The attempt that works on it, if one does.
    pub running: Option<u64>,
    /// Something changed while it was being worked on.
    pub again: bool,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// The controller waits for the outcome of this generation.
    pub owed: Option<u64>,
    /// The outcome that was told last.
    pub told: Option<Outcome>,
    /// What storage said last, by volume number and suffix.
    pub volumes: BTreeMap<(u32, StorageSuffix), VolumeFacts>,
    /// When DRBD was last told to reconnect or re-attach something that had been set up before.
    pub mended: Option<Instant>,
    /// When DRBD's files were last found to be right, and a digest of what they should say.
    pub files_checked: Option<(Instant, u64)>,
}

/// What storage said of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// The backing device.
    pub backing_device: Option<String>,
    /// Size of the backing volume.
    pub backing_kib: Option<u64>,
    /// What it takes in its pool.
    pub allocated_kib: Option<u64>,
}

impl Tracked {
    /// A resource that is to be looked at now.
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
            told: None,
            volumes: BTreeMap::new(),
            mended: None,
            files_checked: None,
        }
    }

    /// When DRBD may be told to mend something again, if that is still to come.
    pub fn mendable_at(&self) -> Option<Instant> {
        let at = self.mended? + MEND_INTERVAL;
        (at > Instant::now()).then_some(at)
    }
}

/// What is protected by one lock, which is never held across an await.
#[derive(Debug, Default)]
pub struct State {
    /// Who we are.
    pub identity: Option<Identity>,
    /// The node's spec.
    pub node: Option<Arc<NodeSpec>>,
    /// How new the node's spec is.
    pub node_revision: Revision,
    /// What the node is able to do.
    pub info: NodeInfo,
    /// The last probe found less than the one before, which is not believed yet.
    pub loss_suspected: bool,
    /// Version of the kernel's DRBD module when the node was last probed.
    pub module: Option<String>,
    /// Resources by key.
    pub resources: BTreeMap<String, Tracked>,
    /// What is to be told to the controller.
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
    /// What was seen of storage.
    pub observations: Observations,
    /// What was seen of DRBD.
    pub picture: Picture,
    /// Suspensions of I/O.
    pub suspensions: Suspensions,
    /// Resources are due.
    pub wake: Notify,
    /// There is something to tell.
    pub outgoing: Notify,
    /// The space of the pools may have changed.
    pub space_changed: Notify,
    /// Something that the node should be able to do was missed, or its pools are other ones.
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
            picture: Picture::default(),
            suspensions: Suspensions::default(),
            wake: Notify::new(),
            outgoing: Notify::new(),
            space_changed: Notify::new(),
            doubts: Notify::new(),
            changed: tokio::sync::watch::Sender::new(()),
            state: Mutex::default(),
        }
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
    pub fn tell(&self, change: impl FnOnce(&mut Outbox)) {
        change(&mut self.state().outbox);
        self.outgoing.notify_one();
    }

    /// Has a resource looked at now.
    pub fn mark_due(&self, key: &str) {
        if let Some(tracked) = self.state().resources.get_mut(key) {
            tracked.due = Instant::now();
            tracked.again |= tracked.running.is_some();
        }
        self.wake.notify_one();
    }

    /// Has every resource looked at now.
    pub fn mark_all_due(&self) {
        for tracked in self.state().resources.values_mut() {
            tracked.due = Instant::now();
            tracked.again |= tracked.running.is_some();
        }
        self.wake.notify_one();
    }

    /// Has every resource that could not be brought to its spec looked at now.
    pub fn mark_failed_due(&self) {
        for tracked in self.state().resources.values_mut() {
            let running = tracked.running.is_some();
            if running || tracked.failures > 0 {
                tracked.due = Instant::now();
                tracked.again |= running;
            }
        }
        self.wake.notify_one();
    }

    /// Takes over the node's spec, on disk first. False if the order is out of date.
    pub async fn take_node(&self, order: Order, spec: NodeSpec) -> Result<bool> {
        let _turn = self.machine.lock("record/node").await;
        let (obeyed, same) = {
            let state = self.state();
            // A node that came from another cluster, or was registered again, begins anew.
            let known = state
                .node
                .as_ref()
                .filter(|node| (node.cluster_id, node.uuid) == (spec.cluster_id, spec.uuid));
            let current = known.map_or(Revision::default(), |_| state.node_revision);
            let same = known.is_some_and(|node| **node == spec);
            (state.obeys(order, current), same)
        };
        if !obeyed {
            tracing::warn!(?order, "an outdated spec of the node is ignored");
            return Ok(false);
        }
        if !same {
            let record = NodeRecord {
                revision: order.revision,
                spec: spec.clone(),
            };
            self.store.save_node(self.machine.host(), &record).await?;
            self.state().node = Some(Arc::new(spec));
            // It may have a pool of a kind that was not found.
            self.doubts.notify_one();
        }
        self.state().node_revision = order.revision;
        Ok(true)
    }

    /// Takes over a spec. The attempt that follows writes it down before it acts. Fails if the node has obeyed a newer
    /// order for the resource; does nothing if the connection was replaced.
    pub fn take_spec(&self, order: Order, spec: ResourceSpec) -> Result<()> {
        let key = key(&spec.name);
        let (revision, generation) = (order.revision, order.revision.generation);
        let mut state = self.state();
        if state.connection != order.connection {
            return Ok(());
        }
        let current = state.resources.get(&key).map(|t| t.record.revision);
        if let Some(current) = current.filter(|current| *current > revision) {
            return Err(outdated(&spec.name, revision, current));
        }
        let Some(tracked) = state.resources.get_mut(&key) else {
            let record = Record {
                revision,
                spec,
                notes: Notes::default(),
            };
            let mut tracked = Tracked::new(record, false);
            tracked.owed = Some(generation);
            state.resources.insert(key, tracked);
            return Ok(());
        };
        tracked.record.revision = revision;
        tracked.owed = Some(generation);
        let came_back = std::mem::take(&mut tracked.forgotten);
        if tracked.record.spec == spec && !came_back {
            return Ok(());
        }
        // Notes are about this very replica; one of the same name that comes after it begins without.
        if tracked.record.spec.uuid != spec.uuid {
            tracked.record.notes = Notes::default();
            tracked.volumes.clear();
            tracked.mended = None;
            tracked.files_checked = None;
        }
        tracked.record.spec = spec;
        tracked.saved = false;
        tracked.failures = 0;
        Ok(())
    }

    /// Has the reconciler forget a resource, once it does not work on it: the controller no longer has it. Nothing
    /// happens if the order is out of date or about another identity of the same name.
    pub fn take_forget(&self, order: Order, key: &str, uuid: Option<Uuid>) {
        let mut state = self.state();
        let Some(current) = state.resources.get(key).map(|t| t.record.revision) else {
            return;
        };
        let obeyed = state.obeys(order, current);
        let found = state.resources.get_mut(key);
        let Some(tracked) = found.filter(|t| uuid.is_none_or(|uuid| t.record.spec.uuid == uuid))
        else {
            return;
        };
        if !obeyed {
            let resource = &tracked.record.spec.name;
            tracing::warn!(
                resource,
                ?order,
                ?current,
                "an outdated order to forget is ignored"
            );
            return;
        }
        tracked.record.revision = order.revision;
        tracked.forgotten = true;
        tracked.failures = 0;
        tracked.owed = None;
        tracked.due = Instant::now();
        drop(state);
        self.wake.notify_one();
    }

    /// Writes a record down, unless it is on disk as it is here.
    pub async fn save(&self, key: &str) -> Result<()> {
        let _turn = self.machine.lock(&format!("record/{key}")).await;
        let unsaved = {
            let state = self.state();
            let tracked = state.resources.get(key);
            tracked.filter(|t| !t.saved).map(|t| t.record.clone())
        };
        let Some(record) = unsaved else { return Ok(()) };
        self.store
            .save_resource(self.machine.host(), &record)
            .await?;
        if let Some(tracked) = self.state().resources.get_mut(key) {
            tracked.saved = tracked.record == record;
        }
        Ok(())
    }

    /// Changes the notes of a replica, on disk first. Does nothing if they stay the same, or if another replica has
    /// taken its name.
    pub async fn note(&self, key: &str, uuid: Uuid, change: impl FnOnce(&mut Notes)) -> Result<()> {
        let _turn = self.machine.lock(&format!("record/{key}")).await;
        let record = self.state().resources.get(key).map(|t| t.record.clone());
        let Some(mut record) = record.filter(|r| r.spec.uuid == uuid) else {
            return Ok(());
        };
        let before = record.notes.clone();
        change(&mut record.notes);
        if record.notes == before {
            return Ok(());
        }
        self.store
            .save_resource(self.machine.host(), &record)
            .await?;
        if let Some(tracked) = self.state().resources.get_mut(key) {
            tracked.record.notes = record.notes;
        }
        Ok(())
    }

    /// The notes of a resource.
    pub fn notes(&self, key: &str) -> Notes {
        let state = self.state();
        let tracked = state.resources.get(key);
        tracked.map(|t| t.record.notes.clone()).unwrap_or_default()
    }

    /// Drops a forgotten resource from disk and table, unless it came back meanwhile. Nothing is destroyed.
    pub async fn drop_forgotten(&self, key: &str) -> Result<()> {
        let _turn = self.machine.lock(&format!("record/{key}")).await;
        self.store.remove_resource(self.machine.host(), key).await?;
        let mut state = self.state();
        let Some(tracked) = state.resources.get_mut(key) else {
            return Ok(());
        };
        if !tracked.forgotten {
            tracked.saved = false;
            return Ok(());
        }
        let name = tracked.record.spec.name.clone();
        state.resources.remove(key);
        state.outbox.gone(&name);
        drop(state);
        self.outgoing.notify_one();
        tracing::info!(
            resource = name,
            "resource is no longer in the cluster, its spec was removed"
        );
        Ok(())
    }
}

fn outdated(resource: &str, given: Revision, current: Revision) -> Failure {
    Failure::new(
        code::FAIL_INVLD_CONF,
        format!("This node has a newer configuration of '{resource}' than the controller."),
    )
    .cause(format!(
        "The node's is of controller epoch {} and generation {}, the controller's of {} and {}.",
        current.epoch, current.generation, given.epoch, given.generation
    ))
    .correction("If the controller's database was restored from a backup, restart the controller.")
    .about("RscDfn", resource)
}
