//! Sends snapshots into buckets and to nodes of other clusters, and receives them: each volume in one pass, in constant
//! memory, apart from the attempts at its snapshot, which only begin it, and report how far it is.

mod inbound;
mod outbound;
mod peer;
mod receive;
mod send;
mod unpack;
mod verify;
mod zfs;

pub use verify::verify;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linstor_api::code;
use linstor_s3::{Bucket, Error, Settings};
use linstor_wire::Key;
use linstor_wire::spec::{
    BaseSpec, BucketSpec, NodeSpec, ShippingLink, SnapshotSpec, SnapshotTarget,
};
use linstor_wire::status::Moved;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use crate::failure::{Failure, Result};
use crate::providers::{Owner, SnapshotOf};
use crate::shared::Shared;
use crate::stop::{self, Awaited, Check};

/// How often it is looked how far shipments are.
const LOOK: Duration = Duration::from_secs(1);
/// How long nothing may pass through the programs: a store may be away for a while.
const STALL: Duration = Duration::from_secs(900);
/// How much is between two stages, in bytes.
const BUFFER: usize = 1024 * 1024;
/// All of it, in hundredths of a percent.
const WHOLE: u64 = 10_000;

/// The snapshots that are sent or received.
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
struct Progress {
    /// When it was begun.
    since: Instant,
    /// Bytes of the volumes before the current one.
    earlier: AtomicU64,
    /// In hundredths of a percent: all volumes that were sent.
    before: AtomicU64,
    /// Part of the whole that the current volume is.
    share: AtomicU64,
    /// Bytes of the current volume that are to be read, or received.
    total: AtomicU64,
    /// How many of them were.
    done: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            since: Instant::now(),
            earlier: AtomicU64::new(0),
            before: AtomicU64::new(0),
            share: AtomicU64::new(0),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }
}

impl Progress {
    /// A volume is begun: how many were done, of how many.
    fn begin(&self, index: u64, count: u64) {
        let count = count.max(1);
        self.before.store(WHOLE * index / count, Ordering::Relaxed);
        self.share.store(WHOLE / count, Ordering::Relaxed);
        self.expect(0);
    }

    /// So many bytes of the current volume are to be read, or received.
    fn expect(&self, bytes: u64) {
        let done = self.done.swap(0, Ordering::Relaxed);
        self.earlier.fetch_add(done, Ordering::Relaxed);
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// So many of them were.
    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn moved(&self) -> Moved {
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let done = get(&self.done);
        let bytes = get(&self.earlier).saturating_add(done);
        let ms = self.since.elapsed().as_millis().max(1);
        let bytes_per_s = u128::from(bytes) * 1000 / ms;
        Moved {
            bytes,
            rest_bytes: get(&self.total).saturating_sub(done),
            bytes_per_s: u64::try_from(bytes_per_s).unwrap_or(u64::MAX),
        }
    }

    fn hundredths(&self) -> u16 {
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let total = get(&self.total).max(1);
        let done = get(&self.done).min(total);
        let part = u128::from(get(&self.share)) * u128::from(done) / u128::from(total);
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

    /// How much was moved of what is sent or received.
    pub fn moved(&self, key: &Key) -> Option<Moved> {
        let jobs = self.jobs();
        let job = jobs.get(key)?;
        matches!(job.state, State::Running(_)).then(|| job.progress.moved())
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
            // What it has made is in no list that was made before.
            shared.storage().observations.all_unknown().await;
        }
    }
}

fn turn(key: &Key) -> String {
    format!("shipment/{}", key.folded())
}

/// Sends and receives what is wanted, until dropped.
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
    let (id, result) = match &spec.target {
        SnapshotTarget::Sent(of) => {
            let sent = send::send_all(&shared, &spec, of, &node, &progress).await;
            (of.id, sent)
        }
        SnapshotTarget::Received(of) => {
            let received = receive::receive_all(&shared, &key, &spec, of, &node, &progress).await;
            (of.id, received)
        }
        SnapshotTarget::SentToPeer(of) => {
            let sent = outbound::send_all(&shared, &spec, of, &node, &progress).await;
            (of.id, sent)
        }
        SnapshotTarget::ReceivedFromPeer(of) => {
            let received = inbound::receive_all(&shared, &key, &spec, of, &node, &progress).await;
            (of.id, received)
        }
        SnapshotTarget::Taken { .. }
        | SnapshotTarget::TakenWhileDown
        | SnapshotTarget::Destroyed => return,
    };
    match &result {
        Ok(()) => tracing::info!(%key, "sent or received"),
        Err(failure) => tracing::warn!(%key, %failure, "not sent or received"),
    }
    if let Some(job) = shared.shipments.jobs().get_mut(&key)
        && job.id == id
    {
        job.state = State::Ended(result);
    }
}

/// Sends or receives a snapshot: begins that, and ends the attempt while it goes on.
pub async fn carry(
    shared: &Shared,
    key: &Key,
    spec: &SnapshotSpec,
    node: &NodeSpec,
    (id, bucket): (Uuid, &BucketSpec),
    what: Awaited,
) -> stop::Result<()> {
    if bucket.withheld.is_some() || bucket.access_key.is_empty() {
        let what = Awaited::BucketKeys(bucket.withheld);
        stop::wait(shared, key, what, |_| Check::NotYet(None))?;
    }
    go_on(shared, key, spec, node, id, what).await
}

/// Sends or receives a snapshot over a connection to another cluster's node, as [`carry`] does.
pub async fn carry_over(
    shared: &Shared,
    key: &Key,
    spec: &SnapshotSpec,
    node: &NodeSpec,
    (id, link): (Uuid, &ShippingLink),
    what: Awaited,
) -> stop::Result<()> {
    if link.own.is_empty() {
        let what = Awaited::BucketKeys(None);
        stop::wait(shared, key, what, |_| Check::NotYet(None))?;
    }
    go_on(shared, key, spec, node, id, what).await
}

async fn go_on(
    shared: &Shared,
    key: &Key,
    spec: &SnapshotSpec,
    node: &NodeSpec,
    id: Uuid,
    what: Awaited,
) -> stop::Result<()> {
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
    if !stop::wait(shared, key, what, condition)? {
        shared.shipments.stop(shared, key).await;
        return Err(failed(spec, "Nothing was moved for two hours.".to_owned()).into());
    }
    match shared.shipments.ended(key, id) {
        Some(result) => Ok(result?),
        None => Err(failed(spec, "It was interrupted.".to_owned()).into()),
    }
}

fn failed(spec: &SnapshotSpec, cause: String) -> Failure {
    let (name, snapshot) = (&spec.resource, &spec.name);
    let done = match spec.target {
        SnapshotTarget::Received(_) | SnapshotTarget::ReceivedFromPeer(_) => "received",
        _ => "sent",
    };
    Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("Snapshot '{snapshot}' of resource '{name}' was not {done}."),
    )
    .cause(cause)
}

fn volume_failed(spec: &SnapshotSpec, number: u32, cause: impl std::fmt::Display) -> Failure {
    failed(spec, format!("Volume {number}: {cause}"))
}

/// What a part of a snapshot is based on.
fn base_of<'a>(base: &'a BaseSpec, of: SnapshotOf<'a>) -> SnapshotOf<'a> {
    SnapshotOf {
        snapshot: base.snapshot.as_str(),
        owner: Owner {
            resource: base.uuid,
            ..of.owner
        },
        ..of
    }
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

fn of_store(spec: &SnapshotSpec, error: &Error) -> Failure {
    failed(spec, error.to_string()).correction(error.correction())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was moved counts over all volumes; the rest is that of the current one.
    #[tokio::test(start_paused = true)]
    async fn what_was_moved_is_counted() {
        let progress = Progress::default();
        progress.begin(0, 2);
        progress.expect(1000);
        progress.done.fetch_add(1000, Ordering::Relaxed);
        progress.begin(1, 2);
        progress.expect(4000);
        progress.done.fetch_add(3000, Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(2)).await;
        let moved = Moved {
            bytes: 4000,
            rest_bytes: 1000,
            bytes_per_s: 2000,
        };
        assert_eq!(progress.moved(), moved);
        assert_eq!(progress.hundredths(), 8750);
    }
}
