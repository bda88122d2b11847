//! Sends snapshots into buckets: each volume in one pass, in constant memory, apart from the attempts at its snapshot,
//! which only begin it, and report how far it is. What was sent before an interruption is not sent again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_host::{Cmd, Deadline, Pipe, Place};
use linstor_s3::{Bucket, Error, Parts, Settings, UploadError};
use linstor_wire::Key;
use linstor_wire::spec::{
    BucketSpec, NodeSpec, ObjectSpec, ShipmentSpec, SnapshotSpec, SnapshotVolumeSpec,
};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use crate::check::PoolPlace;
use crate::failure::{Failure, Result};
use crate::providers::{self, Owner, Presence, SnapshotOf, lvm};
use crate::shared::Shared;
use crate::snapshot::{name_of, place, snapshot_of};
use crate::stop::{self, Awaited, Check};
use crate::thin_stream::{self, Source, StreamError};
use crate::tools::thin;

/// How often it is looked how far shipments are.
const LOOK: Duration = Duration::from_secs(1);
/// How long nothing may pass through the programs: a store may be away for a while.
const STALL: Duration = Duration::from_secs(900);
/// How much is between two stages, in bytes.
const BUFFER: usize = 1024 * 1024;
/// All of it, in hundredths of a percent.
const WHOLE: u64 = 10_000;

/// The snapshots that are sent.
#[derive(Default)]
pub struct Shipments {
    jobs: Mutex<BTreeMap<Key, Job>>,
    wake: Notify,
}

struct Job {
    id: Uuid,
    spec: Arc<SnapshotSpec>,
    node: Arc<NodeSpec>,
    progress: Arc<Progress>,
    state: State,
}

enum State {
    Wanted,
    Running(AbortHandle),
    Ended(Result<()>),
}

/// How far a shipment is.
#[derive(Default)]
struct Progress {
    /// In hundredths of a percent: all volumes that were sent.
    before: AtomicU64,
    /// Part of the whole that the current volume is.
    share: AtomicU64,
    /// Bytes of the current volume that are to be read.
    total: AtomicU64,
    /// Bytes of it that were read.
    read: AtomicU64,
}

impl Progress {
    fn hundredths(&self) -> u16 {
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let total = get(&self.total).max(1);
        let read = get(&self.read).min(total);
        let part = u128::from(get(&self.share)) * u128::from(read) / u128::from(total);
        let all = u128::from(get(&self.before)) + part;
        u16::try_from(all).unwrap_or(WHOLE as u16).min(WHOLE as u16)
    }
}

impl Shipments {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<Key, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is, or how it ended.
    fn check(&self, key: &Key, id: Uuid) -> Check {
        match self.jobs().get(key).filter(|job| job.id == id) {
            None => Check::Holds,
            Some(job) => match &job.state {
                State::Ended(_) => Check::Holds,
                State::Wanted | State::Running(_) => Check::NotYet(Some(job.progress.hundredths())),
            },
        }
    }

    /// How it ended. What has failed can be begun again.
    fn ended(&self, key: &Key, id: Uuid) -> Option<Result<()>> {
        let mut jobs = self.jobs();
        let job = jobs.get(key).filter(|job| job.id == id)?;
        let State::Ended(result) = &job.state else {
            return None;
        };
        let result = result.clone();
        if result.is_err() {
            jobs.remove(key);
        }
        Some(result)
    }

    fn is_begun(&self, key: &Key, id: Uuid) -> bool {
        self.jobs().get(key).is_some_and(|job| job.id == id)
    }

    /// Stops a shipment, and waits until it has stopped.
    pub async fn stop(&self, shared: &Shared, key: &Key) {
        let Some(job) = self.jobs().remove(key) else {
            return;
        };
        if let State::Running(task) = job.state {
            task.abort();
            drop(shared.machine.lock(&turn(key)).await);
        }
    }
}

fn turn(key: &Key) -> String {
    format!("shipment/{}", key.folded())
}

/// Sends what is wanted, until dropped.
pub async fn run(shared: Arc<Shared>) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    loop {
        for (key, job) in &mut *shared.shipments.jobs() {
            if matches!(job.state, State::Wanted) {
                let work = carry_out(
                    Arc::clone(&shared),
                    key.clone(),
                    Arc::clone(&job.spec),
                    Arc::clone(&job.node),
                    Arc::clone(&job.progress),
                );
                job.state = State::Running(tasks.spawn(work));
            }
        }
        tokio::select! {
            biased;
            // Cancel-safe. One that was stopped, or has panicked, is in no table.
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            // Cancel-safe: a missed wake-up is stored.
            () = shared.shipments.wake.notified() => {}
            () = tokio::time::sleep(LOOK), if !tasks.is_empty() => {}
        }
        let keys: Vec<Key> = shared.shipments.jobs().keys().cloned().collect();
        for key in keys {
            shared.recheck(&key);
        }
    }
}

async fn carry_out(
    shared: Arc<Shared>,
    key: Key,
    spec: Arc<SnapshotSpec>,
    node: Arc<NodeSpec>,
    progress: Arc<Progress>,
) {
    let _turn = shared.machine.lock(&turn(&key)).await;
    let linstor_wire::spec::SnapshotTarget::Sent(shipment) = &spec.target else {
        return;
    };
    let result = send_all(&shared, &spec, shipment, &node, &progress).await;
    match &result {
        Ok(()) => tracing::info!(%key, "sent"),
        Err(failure) => tracing::warn!(%key, %failure, "not sent"),
    }
    if let Some(job) = shared.shipments.jobs().get_mut(&key)
        && job.id == shipment.id
    {
        job.state = State::Ended(result);
    }
}

/// Brings a snapshot into its bucket: begins that, and ends the attempt while it goes on.
pub async fn send(
    shared: &Shared,
    key: &Key,
    spec: &SnapshotSpec,
    shipment: &ShipmentSpec,
    node: &NodeSpec,
) -> stop::Result<()> {
    let bucket = &shipment.bucket;
    if bucket.withheld.is_some() || bucket.access_key.is_empty() {
        let what = Awaited::BucketKeys(bucket.withheld);
        stop::wait(shared, key, what, |_| Check::NotYet(None))?;
    }
    let id = shipment.id;
    if !shared.shipments.is_begun(key, id) {
        shared.shipments.stop(shared, key).await;
        let job = Job {
            id,
            spec: Arc::new(spec.clone()),
            node: Arc::new(node.clone()),
            progress: Arc::default(),
            state: State::Wanted,
        };
        shared.shipments.jobs().insert(key.clone(), job);
        shared.shipments.wake.notify_one();
    }
    let own = key.clone();
    let condition = move |shared: &Shared| shared.shipments.check(&own, id);
    if !stop::wait(shared, key, Awaited::Sent, condition)? {
        shared.shipments.stop(shared, key).await;
        return Err(failed(spec, "Nothing was sent for two hours.".to_owned()).into());
    }
    match shared.shipments.ended(key, id) {
        Some(result) => Ok(result?),
        None => Err(failed(spec, "It was interrupted.".to_owned()).into()),
    }
}

fn failed(spec: &SnapshotSpec, cause: String) -> Failure {
    let (name, snapshot) = (&spec.resource, &spec.name);
    Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("Snapshot '{snapshot}' of resource '{name}' was not sent."),
    )
    .cause(cause)
}

/// The bucket of a spec.
fn open(spec: &BucketSpec) -> std::result::Result<Bucket, Error> {
    Bucket::new(&Settings {
        endpoint: spec.endpoint.clone(),
        bucket: spec.name.clone(),
        region: spec.region.clone(),
        use_path_style: spec.use_path_style,
        access_key: spec.access_key.clone(),
        secret_key: spec.secret_key.clone(),
        timeout: Duration::from_millis(spec.timeout_ms.max(1)),
    })
}

async fn send_all(
    shared: &Arc<Shared>,
    spec: &SnapshotSpec,
    shipment: &ShipmentSpec,
    node: &NodeSpec,
    progress: &Arc<Progress>,
) -> Result<()> {
    let bucket = open(&shipment.bucket);
    let bucket = bucket.map_err(|error| of_store(spec, &error))?;
    let count = shipment.objects.len() as u64;
    for (index, (number, object)) in shipment.objects.iter().enumerate() {
        let mut volumes = spec.volumes.iter();
        let volume = volumes.find(|v| v.number == *number && v.suffix == StorageSuffix::Data);
        let volume = volume.ok_or_else(|| failed(spec, format!("It has no volume {number}.")))?;
        progress
            .before
            .store(WHOLE * index as u64 / count, Ordering::Relaxed);
        progress.share.store(WHOLE / count, Ordering::Relaxed);
        progress.read.store(0, Ordering::Relaxed);
        let sending = Sending {
            shared,
            spec,
            shipment,
            node,
            volume,
            bucket: &bucket,
            object,
            progress,
        };
        sending.send().await?;
    }
    Ok(())
}

fn of_store(spec: &SnapshotSpec, error: &Error) -> Failure {
    failed(spec, error.to_string()).correction(error.correction())
}

/// A volume on its way.
struct Sending<'a> {
    shared: &'a Arc<Shared>,
    spec: &'a SnapshotSpec,
    shipment: &'a ShipmentSpec,
    node: &'a NodeSpec,
    volume: &'a SnapshotVolumeSpec,
    bucket: &'a Bucket,
    object: &'a ObjectSpec,
    progress: &'a Arc<Progress>,
}

impl Sending<'_> {
    fn failed(&self, cause: impl std::fmt::Display) -> Failure {
        let number = self.volume.number;
        failed(self.spec, format!("Volume {number}: {cause}"))
    }

    async fn send(&self) -> Result<()> {
        let name = name_of(self.spec, self.volume);
        let place = place(self.node, self.volume)?;
        let of = snapshot_of(self.spec, self.node, self.volume, &name);
        let backing = self.find(&place, &of).await?;
        let base = self.shipment.base.as_ref();
        let base = base.map(|base| SnapshotOf {
            snapshot: base.snapshot.as_str(),
            owner: Owner {
                resource: base.uuid,
                ..of.owner
            },
            ..of
        });
        if let Some(base) = &base {
            self.find(&place, base).await?;
        }
        match &place {
            PoolPlace::LvmThin { vg, pool } => {
                lvm::activate(self.shared.storage(), vg, &of.name()).await?;
                let base = base.map(|base| base.name());
                let ranges = self.map(vg, pool, of.name(), base).await?;
                let total = ranges.mapped_bytes;
                self.progress.total.store(total, Ordering::Relaxed);
                self.send_thin(ranges, &backing.path, backing.size_kib * 1024)
                    .await
            }
            PoolPlace::Diskless
            | PoolPlace::Lvm { .. }
            | PoolPlace::Zfs { .. }
            | PoolPlace::File { .. } => {
                Err(self.failed("Snapshots in a storage pool of its kind cannot be sent."))
            }
        }
    }

    async fn find(&self, place: &PoolPlace, of: &SnapshotOf<'_>) -> Result<providers::Backing> {
        match providers::find_snapshot(self.shared.storage(), place, of).await? {
            Presence::Present(backing) => Ok(backing),
            Presence::Foreign(failure) => Err(failure),
            Presence::PoolAbsent | Presence::Absent => {
                let snapshot = of.snapshot;
                Err(self.failed(format!("The snapshot '{snapshot}' is not on this node.")))
            }
        }
    }

    /// In a task of its own: whatever becomes of the shipment, the snapshot of the pool's metadata is released.
    async fn map(
        &self,
        vg: &str,
        pool: &str,
        name: String,
        base: Option<String>,
    ) -> Result<thin::Ranges> {
        let shared = Arc::clone(self.shared);
        let (vg, pool) = (vg.to_owned(), pool.to_owned());
        let reading = tokio::spawn(async move {
            let directory = shared.options.state_directory.clone();
            let place = (vg.as_str(), pool.as_str());
            thin::map(&shared.machine, place, &name, base.as_deref(), &directory).await
        });
        reading.await.map_err(|error| self.failed(error))?
    }

    /// The stream of `thin_send` through zstd into the object.
    async fn send_thin(&self, ranges: thin::Ranges, path: &str, bytes: u64) -> Result<()> {
        let ranges = ranges.read().map_err(|error| self.failed(error))?;
        let device = Device {
            shared: Arc::clone(self.shared),
            path: path.to_owned(),
            progress: Arc::clone(self.progress),
        };
        // It is shut down after all was sent only: what breaks off must not be taken for the whole.
        let (mut into, mut plain) = tokio::io::duplex(BUFFER);
        let stream = async {
            thin_stream::send(ranges, bytes, &device, &mut into).await?;
            into.shutdown().await.map_err(StreamError::Stream)
        };
        let stream = async { stream.await.map_err(|error| self.failed(error)) };
        let (mut packed, mut from) = tokio::io::duplex(BUFFER);
        let host = self.shared.machine.host();
        let pipe = Pipe::new(Cmd::new("zstd").args(["--stdout", "--quiet"]));
        let pipe = pipe.deadline(Deadline::stall(STALL));
        let pack = async {
            let output: &mut (dyn AsyncWrite + Send + Unpin) = &mut packed;
            let ended = host.pipe(pipe, Some(&mut plain), Some(output)).await;
            ended.map(drop).map_err(|error| self.failed(error))
        };
        tokio::try_join!(stream, pack, self.write(&mut from))?;
        Ok(())
    }

    async fn write(&self, from: &mut (dyn tokio::io::AsyncRead + Send + Unpin)) -> Result<()> {
        let (key, upload) = (&self.object.key, &self.object.upload);
        let parts = Parts::new(self.shared.options.state_directory.clone());
        let sent = Arc::new(AtomicU64::new(0));
        let written = self.bucket.write(key, upload, from, &parts, &sent).await;
        match written {
            Ok(bytes) => {
                tracing::info!(key, bytes, "object written");
                Ok(())
            }
            // The outcome of an earlier attempt was lost: nobody else completes this upload.
            Err(UploadError::Store(error)) if error.is_not_found() && self.is_there().await => {
                // The stream is read to its end nevertheless: its programs have to end well.
                let drained = tokio::io::copy(from, &mut tokio::io::sink()).await;
                drained.map(drop).map_err(|error| self.failed(error))
            }
            Err(UploadError::Store(error)) => Err(of_store(self.spec, &error)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether the object is complete.
    async fn is_there(&self) -> bool {
        let key = &self.object.key;
        let listed = self.bucket.list(key, None).await;
        listed.is_ok_and(|page| page.objects.iter().any(|object| object.key == *key))
    }
}

/// The device of a snapshot.
struct Device {
    shared: Arc<Shared>,
    path: String,
    progress: Arc<Progress>,
}

#[async_trait]
impl Source for Device {
    async fn read(&self, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        let host = self.shared.machine.host();
        let place = Place::FromStart(offset);
        let read = host.read_at(Path::new(&self.path), place, length).await;
        let content = read.map_err(|error| error.source)?;
        self.progress.read.fetch_add(bytes, Ordering::Relaxed);
        Ok(content)
    }
}
