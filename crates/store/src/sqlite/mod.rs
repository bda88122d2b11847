//! The default store: one SQLite file.
//!
//! Write-ahead log with `synchronous=FULL`: each batch is one transaction and one fsync, and what was acknowledged
//! survives a power cut. The rows are JSON in one table, so that `sqlite3 linstor.db` shows the cluster. A thread of its
//! own owns the connection, as SQLite blocks; callers hand it jobs and await the answers.
//!
//! A file is opened, and read, on a full disk too.

mod database;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::{Limits, Loaded, Store, StoreError, Write};
use database::Database;

type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// A store in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// None only while it is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the file, or makes it, with its directory, when it is not there. Refuses a file of a newer version.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        // Blocking, but short, and nothing else runs in a controller that has no store yet.
        let mut database = Database::open(&path)?;
        let (jobs, waiting) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                for job in waiting {
                    job(&mut database);
                }
            })
            .map_err(|error| StoreError::Failed {
                doing: "starting its thread",
                reason: error.to_string(),
            })?;
        Ok(SqliteStore {
            path,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn call<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |database| {
            // Nobody may be waiting any more; the work is done all the same.
            let _ = answer.send(work(database));
        });
        let gone = || StoreError::Failed {
            doing,
            reason: "its thread has ended".into(),
        };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for SqliteStore {
    /// Waits for the last write and closes the file properly.
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to close.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn limits(&self) -> Limits {
        Limits::NONE
    }

    async fn load(&mut self) -> Result<Loaded, StoreError> {
        self.call("reading all rows", |database| database.load())
            .await
    }

    async fn apply(
        &mut self,
        expected: u64,
        next: u64,
        batch: Vec<Write>,
    ) -> Result<(), StoreError> {
        self.call("writing a batch", move |database| {
            database.apply(expected, next, &batch)
        })
        .await
    }

    async fn generation(&mut self) -> Result<u64, StoreError> {
        self.call("reading the generation", |database| database.generation())
            .await
    }

    async fn copy(&mut self, name: &str) -> Result<String, StoreError> {
        let name = name.to_owned();
        self.call("making a copy", move |database| database.copy(&name))
            .await
    }
}

/// Checks the whole file while the store works, and returns its faults. Blocks; takes as long as
/// reading the file does.
pub fn check(path: &Path) -> Result<Vec<String>, StoreError> {
    database::check(path)
}
