//! Suspensions of I/O: leases that the satellite holds by itself.
//!
//! A controller suspends the I/O of resources for a short time, to have snapshots of one instant on several nodes. A
//! suspension that is never resumed stops applications for good. So each one has a deadline here, whatever the
//! controller requests, and ends with the connection that it was requested on. Nothing of it goes through the
//! reconciler: an attempt that hangs delays no resumption. Attempts at its resources wait for its end: to activate or
//! grow a logical volume resumes it.
//!
//! What is about to be suspended is written down first; a satellite that starts resumes all that it finds there. It
//! resumes before it writes, since its own files may be on what is suspended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_api::name::ResourceName;
use linstor_host::{Cmd, Deadline};
use linstor_wire::Key;
use linstor_wire::message::{SUSPENSION_MAX, SuspensionEnd, SuspensionState};
use linstor_wire::spec::{LayerSpec, NodeSpec, ResourceSpec, Target, VolumeSpec};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OwnedMutexGuard, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::check::{PoolPlace, pool_place};
use crate::drbd::events::parse;
use crate::drbd::status::DrbdState;
use crate::drbd::{adm, v84};
use crate::failure::{Failure, Result};
use crate::layers::luks;
use crate::layers::storage::volume_name;
use crate::machine::Machine;
use crate::shared::Shared;
use crate::tools::lvm::mapped_name;

/// Suspensions that may be held at the same time.
const LEASES_MAX: usize = 64;
/// Pause between two attempts to resume.
const RESUME_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which the end of all suspensions is waited for.
const HELD_POLL: Duration = Duration::from_millis(100);
/// How old observations of the storage may be when I/O is suspended: the snapshots that are taken then need them.
const OBSERVATION_AGE: Duration = Duration::from_secs(1);
/// How long such an observation may delay a suspension.
const OBSERVATION_LIMIT: Duration = Duration::from_secs(1);
/// How long one command that resumes may take.
const RESUME_LIMIT: Duration = Duration::from_secs(10);

/// Something whose I/O can be suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A DRBD volume.
    Drbd {
        /// Name of the DRBD resource.
        resource: ResourceName,
        /// Its minor.
        minor: u32,
    },
    /// A logical volume, by its name in the device mapper.
    DeviceMapper {
        /// The name below `/dev/mapper`.
        name: String,
    },
}

/// What is written down of suspensions: what to resume after a crash.
pub type Suspended = BTreeMap<Uuid, Vec<Device>>;

/// A suspension that is held.
struct Lease {
    /// Number of the connection that it was asked on.
    connection: u64,
    /// The resources.
    keys: BTreeSet<Key>,
    /// When it ends, or the reason once it has been ended.
    term: watch::Sender<Term>,
    /// All I/O is suspended.
    suspended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    Until(Instant),
    Ended(SuspensionEnd),
}

/// An order of the controller that has been read and not yet begun.
struct Asked {
    connection: u64,
    lease: Uuid,
    resources: Vec<ResourceName>,
    until: Instant,
}

#[derive(Default)]
struct Table {
    asked: Vec<Asked>,
    leases: BTreeMap<Uuid, Lease>,
}

/// All suspensions of the node.
#[derive(Default)]
pub struct Suspensions {
    table: Mutex<Table>,
    asked: Notify,
    /// What is on disk, as it was written last.
    written: tokio::sync::Mutex<Suspended>,
}

impl Suspensions {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock; if some did, the table is still whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The controller requests to suspend I/O of resources, or to extend a suspension that is held. Nothing is
    /// suspended for longer than [`SUSPENSION_MAX`] after the order.
    pub fn suspend(
        &self,
        connection: u64,
        lease: Uuid,
        resources: Vec<ResourceName>,
        duration: Duration,
    ) {
        let until = Instant::now() + duration.min(SUSPENSION_MAX);
        let mut table = self.table();
        if let Some(held) = table.leases.get(&lease) {
            held.term.send_if_modified(|term| match term {
                Term::Until(at) => {
                    *at = until;
                    true
                }
                Term::Ended(_) => false,
            });
            return;
        }
        if table.asked.iter().any(|asked| asked.lease == lease) {
            return;
        }
        table.asked.push(Asked {
            connection,
            lease,
            resources,
            until,
        });
        drop(table);
        self.asked.notify_one();
    }

    /// The controller ends a suspension.
    pub fn resume(&self, lease: Uuid) {
        let mut table = self.table();
        table.asked.retain(|asked| asked.lease != lease);
        if let Some(held) = table.leases.get(&lease) {
            held.term.send_replace(Term::Ended(SuspensionEnd::Asked));
        }
    }

    /// Whether all I/O of a suspension is suspended, and its end has not begun.
    pub fn is_suspended(&self, lease: Uuid) -> bool {
        let table = self.table();
        let held = table.leases.get(&lease);
        held.is_some_and(|held| {
            let until = match *held.term.borrow() {
                Term::Until(until) => until,
                Term::Ended(_) => return false,
            };
            held.suspended && Instant::now() < until
        })
    }

    fn note_suspended(&self, lease: Uuid) {
        if let Some(held) = self.table().leases.get_mut(&lease) {
            held.suspended = true;
        }
    }

    /// Waits until no suspension is held. None is for longer than [`SUSPENSION_MAX`], unless I/O cannot be resumed, so this
    /// does not wait longer either.
    pub async fn none_held(&self) {
        let give_up = Instant::now() + SUSPENSION_MAX;
        while !self.table().leases.is_empty() && Instant::now() < give_up {
            sleep(HELD_POLL).await;
        }
    }

    /// Whether one has this resource, from before its I/O is suspended until after it is resumed.
    pub fn hold(&self, key: &Key) -> bool {
        let table = self.table();
        let mut leases = table.leases.values();
        leases.any(|lease| lease.keys.contains(key))
    }

    /// A connection ended, and with it the suspensions that were requested on it.
    pub fn connection_ended(&self, connection: u64) {
        let mut table = self.table();
        table.asked.retain(|asked| asked.connection != connection);
        for held in table.leases.values() {
            if held.connection == connection {
                held.term
                    .send_replace(Term::Ended(SuspensionEnd::ControllerLost));
            }
        }
    }
}

/// Resumes what an earlier run of the satellite left suspended, then holds suspensions until dropped.
pub async fn run(shared: Arc<Shared>, left_over: Suspended) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    *shared.suspensions.written.lock().await = left_over.clone();
    for (lease, devices) in left_over {
        tracing::warn!(%lease, ?devices, "I/O was left suspended by an earlier run; resuming it");
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let _turns = turns(&shared.machine, &devices).await;
            resume_all(&shared, lease, &devices, false).await;
        });
    }
    loop {
        tokio::select! {
            biased;
            // A suspension ended. Cancel-safe.
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a task that holds a suspension of I/O panicked");
                }
            }
            // Cancel-safe: a missed notice is stored.
            () = shared.suspensions.asked.notified() => begin(&shared, &mut tasks),
        }
    }
}

fn begin(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let mut table = shared.suspensions.table();
    for asked in std::mem::take(&mut table.asked) {
        if table.leases.len() >= LEASES_MAX {
            let failure = Failure::new(
                code::FAIL_IN_USE,
                format!("I/O is not suspended: this node already holds {LEASES_MAX} suspensions."),
            );
            report(shared, asked.connection, asked.lease, failed(failure));
            continue;
        }
        let (term, ends) = watch::channel(Term::Until(asked.until));
        let lease = Lease {
            connection: asked.connection,
            keys: asked.resources.iter().cloned().map(Key::Resource).collect(),
            term,
            suspended: false,
        };
        table.leases.insert(asked.lease, lease);
        tasks.spawn(hold(Arc::clone(shared), asked, ends));
    }
}

/// The life of one suspension.
async fn hold(shared: Arc<Shared>, asked: Asked, mut term: watch::Receiver<Term>) {
    let (lease, connection) = (asked.lease, asked.connection);
    let state = match devices_of(&shared, &asked.resources) {
        Err(failure) => failed(failure),
        Ok(devices) => {
            // Resuming what another suspension has ended must not end this one.
            let turns = tokio::select! {
                biased;
                end = ended(&mut term) => Err(end),
                turns = turns(&shared.machine, &devices) => Ok(turns),
            };
            let _turns = match turns {
                Ok(turns) => turns,
                Err(reason) => return finished(&shared, &asked, SuspensionState::Ended { reason }),
            };
            observe(&shared, &asked.resources).await;
            let suspended = tokio::select! {
                biased;
                // At any step of the commands: what they have suspended is resumed below.
                end = ended(&mut term) => Err(end),
                suspended = suspend_all(&shared, lease, &devices) => Ok(suspended),
            };
            let state = match suspended {
                Ok(Ok(())) => {
                    tracing::info!(%lease, resources = ?asked.resources, "I/O suspended");
                    shared.suspensions.note_suspended(lease);
                    report(&shared, connection, lease, SuspensionState::Suspended);
                    SuspensionState::Ended {
                        reason: ended(&mut term).await,
                    }
                }
                Ok(Err(failure)) => failed(failure),
                Err(reason) => SuspensionState::Ended { reason },
            };
            resume_all(&shared, lease, &devices, true).await;
            state
        }
    };
    finished(&shared, &asked, state);
}

fn finished(shared: &Shared, asked: &Asked, state: SuspensionState) {
    let (lease, resources) = (asked.lease, &asked.resources);
    tracing::info!(%lease, ?resources, ?state, "the suspension of I/O ended");
    let held = shared.suspensions.table().leases.remove(&lease);
    for key in held.iter().flat_map(|lease| &lease.keys) {
        shared.recheck(key);
    }
    report(shared, asked.connection, lease, state);
}

/// Waits until no other suspension has any of these devices.
async fn turns(machine: &Machine, devices: &[Device]) -> Vec<OwnedMutexGuard<()>> {
    let mut names: Vec<String> = devices
        .iter()
        .map(|d| format!("suspension/{d:?}"))
        .collect();
    // In one order, so that no two wait for each other.
    names.sort();
    names.dedup();
    let mut turns = Vec::new();
    for name in names {
        turns.push(machine.lock(&name).await);
    }
    turns
}

/// Waits for the end of a suspension.
async fn ended(term: &mut watch::Receiver<Term>) -> SuspensionEnd {
    loop {
        let until = match *term.borrow_and_update() {
            Term::Ended(reason) => return reason,
            Term::Until(until) => until,
        };
        match timeout_at(until, term.changed()).await {
            Ok(Ok(())) => {}
            // The sender lives as long as the suspension is in the table.
            Ok(Err(_)) | Err(_) => return SuspensionEnd::Expired,
        }
    }
}

fn failed(failure: Failure) -> SuspensionState {
    SuspensionState::Failed {
        replies: vec![failure.reply()],
    }
}

fn report(shared: &Shared, connection: u64, lease: Uuid, state: SuspensionState) {
    if shared.state().connection == connection {
        shared.report(|outbox| outbox.suspension(lease, state));
    }
}

/// What has to be suspended so that these resources have no I/O.
fn devices_of(shared: &Shared, resources: &[ResourceName]) -> Result<Vec<Device>> {
    let state = shared.state();
    let mut devices = Vec::new();
    for name in resources {
        let found = state.objects.get(&Key::Resource(name.clone()));
        let spec = found.and_then(|tracked| tracked.resource());
        let (Some(spec), Some(node)) = (spec, state.node()) else {
            return Err(refused(
                name,
                code::FAIL_NOT_FOUND_RSC,
                "This node has no spec of it.",
            ));
        };
        if spec.target != Target::Up {
            let cause = "It is not active on this node.";
            return Err(refused(name, code::FAIL_INVLD_RSC_STATE, cause));
        }
        devices.append(&mut devices_of_resource(spec, node)?);
    }
    Ok(devices)
}

/// The devices of the top layer: nothing below them has I/O of its own.
fn devices_of_resource(spec: &ResourceSpec, node: &NodeSpec) -> Result<Vec<Device>> {
    let volumes = spec.volumes.iter().filter(|v| v.target == Target::Up);
    match spec.layers.first() {
        Some(LayerSpec::Drbd(drbd)) => {
            let minors = volumes.filter_map(|volume| Some(drbd.volume(volume.number)?.minor));
            Ok(minors
                .map(|minor| Device::Drbd {
                    resource: spec.name.clone(),
                    minor,
                })
                .collect())
        }
        Some(LayerSpec::Luks(_)) => Ok(volumes
            .map(|volume| Device::DeviceMapper {
                name: luks::device_name(&volume_name(
                    &spec.name,
                    StorageSuffix::Data,
                    volume.number,
                )),
            })
            .collect()),
        // Others have no I/O that the kernel could hold back; each of their volumes is taken at one moment.
        Some(LayerSpec::Storage) | None => Ok(volumes
            .filter_map(|volume| logical_volume(spec, node, volume))
            .collect()),
    }
}

/// By its name and not by observations: right after a start there are none.
fn logical_volume(spec: &ResourceSpec, node: &NodeSpec, volume: &VolumeSpec) -> Option<Device> {
    let storage = volume.data()?;
    let mut pools = node.pools.iter();
    let pool = pools.find(|pool| pool.name == storage.pool)?;
    let vg = match pool_place(pool).ok()? {
        PoolPlace::Lvm { vg } | PoolPlace::LvmThin { vg, .. } => vg,
        _ => return None,
    };
    let lv = volume_name(&spec.name, StorageSuffix::Data, volume.number);
    Some(Device::DeviceMapper {
        name: mapped_name(&vg, &lv),
    })
}

/// Observes the storage of resources, so that nothing has to wait for that while their I/O is suspended.
async fn observe(shared: &Shared, resources: &[ResourceName]) {
    let mut groups = BTreeSet::new();
    {
        let state = shared.state();
        let specs = resources.iter().filter_map(|name| {
            let tracked = state.objects.get(&Key::Resource(name.clone()))?;
            tracked.resource()
        });
        let volumes = specs.flat_map(|spec| spec.volumes.iter());
        for storage in volumes.filter_map(|volume| volume.data()) {
            let mut pools = state.node().into_iter().flat_map(|node| &node.pools);
            let pool = pools.find(|pool| pool.name == storage.pool);
            if let Some(Ok(PoolPlace::LvmThin { vg, .. })) = pool.map(pool_place) {
                groups.insert(vg);
            }
        }
    }
    for vg in groups {
        let observations = &shared.observations;
        let seen = observations.lvm_within(&shared.machine, &vg, OBSERVATION_AGE);
        // Where it fails, the snapshot says why.
        if let Ok(Err(failure)) = tokio::time::timeout(OBSERVATION_LIMIT, seen).await {
            tracing::debug!(vg, %failure, "not observed before I/O is suspended");
        }
    }
}

fn refused(resource: &ResourceName, ret_code: i64, cause: &str) -> Failure {
    let message = format!("I/O of resource '{resource}' is not suspended.");
    Failure::new(ret_code, message)
        .cause(cause)
        .about("RscDfn", resource.as_str())
}

/// Suspends all devices, or fails with some of them suspended. At the same time, since each holds back applications until
/// the last one is resumed.
async fn suspend_all(shared: &Shared, lease: Uuid, devices: &[Device]) -> Result<()> {
    note(shared, lease, Some(devices)).await?;
    let each = devices
        .iter()
        .map(|device| suspend(&shared.machine, device));
    // All of them end before any failure does: one that went on could suspend what is being resumed.
    let ended = futures::future::join_all(each).await;
    ended.into_iter().collect()
}

async fn suspend(machine: &Machine, device: &Device) -> Result<()> {
    let cmd = match device {
        Device::Drbd { minor, .. } => Cmd::new("drbdsetup")
            .arg("suspend-io")
            .arg(minor.to_string()),
        Device::DeviceMapper { name } => Cmd::new("dmsetup").args(["suspend", name]),
    };
    // The lease's own deadline ends it.
    let cmd = cmd.deadline(Deadline::run(SUSPENSION_MAX));
    machine.run(cmd).await?;
    if is_suspended(machine, device).await? {
        return Ok(());
    }
    let message = format!(
        "I/O of {device:?} is not suspended, although the command to suspend it succeeded."
    );
    Err(Failure::new(code::FAIL_UNKNOWN_ERROR, message))
}

/// Resumes all devices, in as many attempts as that takes. What an earlier run has left may be resumed already.
async fn resume_all(shared: &Shared, lease: Uuid, devices: &[Device], by_this_run: bool) {
    let mut left: Vec<&Device> = devices.iter().collect();
    let mut attempts = 0_u32;
    loop {
        let each = left.iter().map(|device| async move {
            // Not a second time: DRBD 8.4 waits for all requests before it resumes what is not suspended, also for those
            // that it holds back, and blocks all others meanwhile.
            let known = by_this_run && attempts == 0;
            match known || is_suspended(&shared.machine, device).await? {
                true => resume(shared, device).await,
                false => release(shared, device).await,
            }
        });
        let ended = futures::future::join_all(each).await;
        let mut still = Vec::new();
        for (device, ended) in left.into_iter().zip(ended) {
            let Err(failure) = ended else { continue };
            if attempts == 0 {
                tracing::error!(%lease, ?device, %failure, "I/O cannot be resumed yet; trying again each second");
            }
            still.push(device);
        }
        if still.is_empty() {
            break;
        }
        left = still;
        attempts = attempts.saturating_add(1);
        sleep(RESUME_PAUSE).await;
    }
    if let Err(failure) = note(shared, lease, None).await {
        // The next start finds that nothing is suspended.
        tracing::warn!(%lease, %failure, "the end of a suspension of I/O cannot be stored");
    }
}

/// Whatever the program's exit code: the kernel decides whether I/O is resumed.
async fn resume(shared: &Shared, device: &Device) -> Result<()> {
    let machine = &shared.machine;
    let cmd = match device {
        Device::Drbd { minor, .. } => Cmd::new("drbdsetup")
            .arg("resume-io")
            .arg(minor.to_string()),
        Device::DeviceMapper { name } => Cmd::new("dmsetup").args(["resume", name]),
    };
    let output = machine
        .try_run(cmd.deadline(Deadline::run(RESUME_LIMIT)))
        .await?;
    if !is_suspended(machine, device).await? {
        return release(shared, device).await;
    }
    output.ok()?;
    let message = format!(
        "I/O of {device:?} is still suspended, although the command to resume it succeeded."
    );
    Err(Failure::new(code::FAIL_UNKNOWN_ERROR, message))
}

/// Has requests completed that were under way when I/O was suspended.
async fn release(shared: &Shared, device: &Device) -> Result<()> {
    let Device::Drbd { resource, minor } = device else {
        return Ok(());
    };
    let kind = shared.state().info.drbd.as_ref().map(|drbd| drbd.kind);
    let file = shared.options.res_directory.join(format!("{resource}.res"));
    v84::release_requests(&shared.machine, kind, &file, resource, *minor).await
}

/// Whether a device's I/O is suspended on request, by the kernel. That of a device that does not exist is not.
async fn is_suspended(machine: &Machine, device: &Device) -> Result<bool> {
    match device {
        Device::Drbd { resource, .. } => {
            let output = machine.try_run(adm::now(resource)).await?;
            let mut state = DrbdState::default();
            for line in output.stdout.lines() {
                state.apply(parse(line));
            }
            let found = state.resources.get(resource.as_str());
            Ok(found.is_some_and(|resource| resource.suspended.is_by_user()))
        }
        Device::DeviceMapper { name } => {
            let cmd =
                Cmd::new("dmsetup").args(["info", "-c", "--noheadings", "-o", "suspended", name]);
            let output = machine.try_run(cmd).await?;
            Ok(output.success() && output.stdout.trim() == "Suspended")
        }
    }
}

/// Writes down what is about to be suspended, or that it no longer is.
async fn note(shared: &Shared, lease: Uuid, devices: Option<&[Device]>) -> Result<()> {
    let mut written = shared.suspensions.written.lock().await;
    let mut next = written.clone();
    match devices {
        Some(devices) => drop(next.insert(lease, devices.to_vec())),
        None => drop(next.remove(&lease)),
    }
    let host = shared.machine.host();
    shared.store.save_suspended(host, &next).await?;
    *written = next;
    Ok(())
}
