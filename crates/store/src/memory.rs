//! A store in memory, with faults on demand: for tests and the simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use linstor_model::model::StoredRow;

use crate::{Limits, Loaded, Store, StoreError, Write};

/// What goes wrong with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and the caller gets an error.
    BeforeWrite,
    /// Everything is written, and the caller gets an error.
    AfterWrite,
    /// Like [`Fault::BeforeWrite`], and from then on every call fails, until [`MemoryStore::revive`].
    DeadBeforeWrite,
    /// Like [`Fault::AfterWrite`], and from then on every call fails, until [`MemoryStore::revive`].
    DeadAfterWrite,
}

/// A batch that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The generation it made.
    pub generation: u64,
    /// Its rows.
    pub batch: Vec<Write>,
}

/// A store in memory. Clones share it, so that a test can look inside and a controller can be started on it again.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    generation: u64,
    rows: BTreeMap<(String, String), String>,
    journal: Vec<Entry>,
    attempts: u64,
    faults: BTreeMap<u64, Fault>,
    /// Why no write succeeds.
    full: Option<String>,
    dead: bool,
    latency: Duration,
    limits: Limits,
    copies: BTreeMap<String, Loaded>,
}

impl Default for State {
    fn default() -> Self {
        State {
            generation: 0,
            rows: BTreeMap::new(),
            journal: Vec::new(),
            attempts: 0,
            faults: BTreeMap::new(),
            full: None,
            dead: false,
            latency: Duration::ZERO,
            limits: Limits::NONE,
            copies: BTreeMap::new(),
        }
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// A store that holds what was loaded from somewhere.
    pub fn with(loaded: Loaded) -> Self {
        let store = MemoryStore::new();
        {
            let mut state = store.lock();
            state.generation = loaded.generation;
            for row in loaded.rows {
                state.rows.insert((row.kind, row.key), row.json);
            }
        }
        store
    }

    /// Lets the given write (the first one is 1, failed ones count) go wrong.
    pub fn fail_write(&self, nth: u64, fault: Fault) {
        self.lock().faults.insert(nth, fault);
    }

    /// Lets the next write go wrong.
    pub fn fail_next(&self, fault: Fault) {
        let mut state = self.lock();
        let nth = state.attempts + 1;
        state.faults.insert(nth, fault);
    }

    /// Ends a [`Fault::DeadBeforeWrite`] or [`Fault::DeadAfterWrite`], and takes back faults that have not happened yet.
    pub fn revive(&self) {
        let mut state = self.lock();
        state.dead = false;
        state.faults.clear();
    }

    /// Lets each write take this long.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Lets all writes and copies fail for this reason, or none any more. Reading works.
    pub fn set_full(&self, reason: Option<&str>) {
        self.lock().full = reason.map(str::to_owned);
    }

    /// Takes no larger batches from now on. A controller learns it when it starts.
    pub fn set_limits(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// The copies that were made, by name.
    pub fn copies(&self) -> BTreeMap<String, Loaded> {
        self.lock().copies.clone()
    }

    /// How many writes were tried.
    pub fn attempts(&self) -> u64 {
        self.lock().attempts
    }

    /// Every batch written since the store was made.
    pub fn journal(&self) -> Vec<Entry> {
        self.lock().journal.clone()
    }

    /// What is in it now.
    pub fn contents(&self) -> Loaded {
        let state = self.lock();
        let rows = state.rows.iter().map(|((kind, key), json)| StoredRow {
            kind: kind.clone(),
            key: key.clone(),
            json: json.clone(),
        });
        Loaded {
            generation: state.generation,
            rows: rows.collect(),
        }
    }

    /// Puts a row into the store behind everybody's back, without a new generation.
    pub fn plant(&self, kind: &str, key: &str, json: &str) {
        let mut state = self.lock();
        state.rows.insert((kind.into(), key.into()), json.into());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

impl State {
    fn alive(&self, doing: &'static str) -> Result<(), StoreError> {
        if self.dead {
            return Err(broken(doing));
        }
        Ok(())
    }

    fn has_room(&self, doing: &'static str) -> Result<(), StoreError> {
        match self.full.clone() {
            Some(reason) => Err(StoreError::Failed { doing, reason }),
            None => Ok(()),
        }
    }

    fn write(&mut self, generation: u64, batch: Vec<Write>) {
        self.generation = generation;
        for write in &batch {
            let key = (write.kind.clone(), write.key.clone());
            match &write.json {
                Some(json) => drop(self.rows.insert(key, json.clone())),
                None => drop(self.rows.remove(&key)),
            }
        }
        self.journal.push(Entry {
            generation: self.generation,
            batch,
        });
    }
}

fn broken(doing: &'static str) -> StoreError {
    StoreError::Failed {
        doing,
        reason: "a fault was asked for".into(),
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn limits(&self) -> Limits {
        self.lock().limits
    }

    async fn load(&mut self) -> Result<Loaded, StoreError> {
        self.lock().alive("reading all rows")?;
        Ok(self.contents())
    }

    async fn apply(
        &mut self,
        expected: u64,
        next: u64,
        batch: Vec<Write>,
    ) -> Result<(), StoreError> {
        const DOING: &str = "writing a batch";
        let latency = self.lock().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let mut state = self.lock();
        state.alive(DOING)?;
        state.has_room(DOING)?;
        let limits = state.limits;
        if !limits.allow(&batch) {
            return Err(StoreError::TooLarge {
                rows: batch.len(),
                bytes: batch.iter().map(Write::bytes).sum(),
                limits,
            });
        }
        state.attempts += 1;
        let attempt = state.attempts;
        let fault = state.faults.remove(&attempt);
        if matches!(fault, Some(Fault::DeadBeforeWrite | Fault::DeadAfterWrite)) {
            state.dead = true;
        }
        if matches!(fault, Some(Fault::BeforeWrite | Fault::DeadBeforeWrite)) {
            return Err(broken(DOING));
        }
        if state.generation != expected {
            return Err(StoreError::Conflict {
                expected,
                found: state.generation,
            });
        }
        state.write(next, batch);
        if fault.is_some() {
            return Err(broken(DOING));
        }
        Ok(())
    }

    async fn generation(&mut self) -> Result<u64, StoreError> {
        let state = self.lock();
        state.alive("reading the generation")?;
        Ok(state.generation)
    }

    async fn copy(&mut self, name: &str) -> Result<String, StoreError> {
        const DOING: &str = "making a copy";
        let contents = self.contents();
        let mut state = self.lock();
        state.alive(DOING)?;
        state.has_room(DOING)?;
        state.copies.insert(name.to_owned(), contents);
        Ok(format!("copy '{name}' in memory"))
    }
}
