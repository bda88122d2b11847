//! Copies the content of volumes: of a snapshot that no volume can be made of in its pool, into a new volume. It goes on apart
//! from the attempts at the resource, which only begin it, and report how far it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linstor_api::code;
use linstor_host::Place;
use linstor_wire::Key;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::shared::Shared;
use crate::stop::{self, Awaited, Check};

/// How often it is looked how far copies are.
const LOOK: Duration = Duration::from_secs(1);
/// How much is read and written at a time, in bytes.
const CHUNK: usize = 1024 * 1024;
/// All of it, in hundredths of a percent.
const WHOLE: u64 = 10_000;

/// The volumes that are copied.
#[derive(Default)]
pub struct Copies {
    jobs: Mutex<BTreeMap<(Key, u32), Job>>,
    wake: Notify,
}

struct Job {
    id: Uuid,
    from: String,
    to: String,
    done: Arc<AtomicU64>,
    state: State,
}

enum State {
    Wanted,
    Running(AbortHandle),
    Ended(Result<()>),
}

impl Copies {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<(Key, u32), Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, of: &(Key, u32), id: Uuid) -> Check {
        match self.jobs().get(of).filter(|job| job.id == id) {
            Some(job) if !matches!(job.state, State::Ended(_)) => {
                let done = job.done.load(Ordering::Relaxed).min(WHOLE);
                Check::NotYet(u16::try_from(done).ok())
            }
            Some(_) | None => Check::Holds,
        }
    }

    /// Stops copying into the volumes of a resource, and waits until it has stopped.
    pub async fn stop(&self, shared: &Shared, key: &Key) {
        let stopped: BTreeMap<(Key, u32), Job> = {
            let mut jobs = self.jobs();
            let all = std::mem::take(&mut *jobs);
            let (own, others) = all.into_iter().partition(|((of, _), _)| of == key);
            *jobs = others;
            own
        };
        for ((key, number), job) in stopped {
            if let State::Running(task) = job.state {
                task.abort();
                drop(shared.machine.lock(&turn(&key, number)).await);
            }
        }
    }
}

fn turn(key: &Key, number: u32) -> String {
    format!("copy/{}/{number}", key.folded())
}

/// Copies what is wanted, until dropped.
pub async fn run(shared: Arc<Shared>) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    loop {
        for (of, job) in &mut *shared.copies.jobs() {
            if matches!(job.state, State::Wanted) {
                let paths = (job.from.clone(), job.to.clone());
                let work = carry_out(
                    Arc::clone(&shared),
                    of.clone(),
                    job.id,
                    paths,
                    Arc::clone(&job.done),
                );
                job.state = State::Running(tasks.spawn(work));
            }
        }
        tokio::select! {
            biased;
            // Cancel-safe. One that was stopped, or has panicked, is in no table.
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            // Cancel-safe: a missed wake-up is stored.
            () = shared.copies.wake.notified() => {}
            () = tokio::time::sleep(LOOK), if !tasks.is_empty() => {}
        }
        let keys: Vec<Key> = shared.copies.jobs().keys().map(|of| of.0.clone()).collect();
        for key in keys {
            shared.recheck(&key);
        }
    }
}

async fn carry_out(
    shared: Arc<Shared>,
    of: (Key, u32),
    id: Uuid,
    (from, to): (String, String),
    done: Arc<AtomicU64>,
) {
    let _turn = shared.machine.lock(&turn(&of.0, of.1)).await;
    let result = copy(&shared, &from, &to, &done).await;
    match &result {
        Ok(()) => tracing::info!(from, to, "copied"),
        Err(failure) => tracing::warn!(from, to, %failure, "not copied"),
    }
    if let Some(job) = shared.copies.jobs().get_mut(&of)
        && job.id == id
    {
        job.state = State::Ended(result);
    }
}

async fn copy(shared: &Shared, from: &str, to: &str, done: &AtomicU64) -> Result<()> {
    let host = shared.machine.host();
    let size = |path: String| async move {
        let found = host.block_device_size(Path::new(&path)).await?;
        found.ok_or_else(|| failed(to, format!("'{path}' does not exist.")))
    };
    let bytes = size(from.to_owned()).await?;
    let room = size(to.to_owned()).await?;
    if room < bytes {
        return Err(failed(
            to,
            format!("It has {room} bytes, and '{from}' has {bytes}."),
        ));
    }
    let mut offset = 0;
    while offset < bytes {
        let left = usize::try_from(bytes - offset).unwrap_or(CHUNK);
        let length = left.min(CHUNK);
        let content = host.read_at(Path::new(from), Place::FromStart(offset), length);
        let content = content.await?;
        if content.len() != length {
            return Err(failed(
                to,
                format!("'{from}' ends at {offset} of {bytes} bytes."),
            ));
        }
        host.write_at(Path::new(to), offset, content).await?;
        offset += length as u64;
        let share = u128::from(offset) * u128::from(WHOLE) / u128::from(bytes);
        done.store(u64::try_from(share).unwrap_or(WHOLE), Ordering::Relaxed);
    }
    Ok(host.sync(Path::new(to)).await?)
}

fn failed(to: &str, cause: String) -> Failure {
    Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("The data was not copied to '{to}'."),
    )
    .cause(cause)
}

impl Attempt<'_> {
    /// Whether it was begun to copy into a volume.
    pub fn copies(&self, number: u32, id: Uuid) -> bool {
        let jobs = self.shared.copies.jobs();
        let job = jobs.get(&(self.key.clone(), number));
        job.is_some_and(|job| job.id == id)
    }

    /// Begins to copy into a new volume, unless that goes on already; `id` is that of the instruction.
    pub fn begin_copy(&self, number: u32, id: Uuid, from: &str, to: &str) {
        let copies = &self.shared.copies;
        let of = (self.key.clone(), number);
        let mut jobs = copies.jobs();
        if jobs.get(&of).is_none_or(|job| job.id != id) {
            let job = Job {
                id,
                from: from.to_owned(),
                to: to.to_owned(),
                done: Arc::default(),
                state: State::Wanted,
            };
            jobs.insert(of, job);
            copies.wake.notify_one();
        }
    }

    /// Waits until what was begun is copied: the attempt ends meanwhile. What has failed is begun again by the next one.
    pub async fn copied(&self, number: u32, id: Uuid) -> stop::Result<()> {
        let of = (self.key.clone(), number);
        let own = of.clone();
        let condition = move |shared: &Shared| shared.copies.check(&own, id);
        let in_time = self.wait(Awaited::Copied(number), condition).await?;
        let ended = match self.shared.copies.jobs().remove(&of).map(|job| job.state) {
            Some(State::Ended(result)) => result,
            Some(State::Running(task)) => {
                task.abort();
                Err(failed(
                    self.spec.name.as_str(),
                    match in_time {
                        true => "It was interrupted.".to_owned(),
                        false => "Nothing was copied for ten minutes.".to_owned(),
                    },
                ))
            }
            Some(State::Wanted) | None => Err(failed(
                self.spec.name.as_str(),
                "It was interrupted.".to_owned(),
            )),
        };
        Ok(ended?)
    }
}
