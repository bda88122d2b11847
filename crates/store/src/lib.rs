//! Where the model is kept: rows as JSON, written in atomic batches.
//!
//! A [`Store`] holds rows `(kind, key, json)` and one number, the generation, which grows by one with each batch.
//! [`Store::apply`] is a compare-and-set on it: two controllers on one store cannot both write, and
//! [`Store::generation`] answers "did my batch get in?" after an error that left it open.
//!
//! Reading order: this file, [`memory`] (tests and simulation), [`sqlite`] (the default), [`migrate`].

pub mod memory;
pub mod migrate;
pub mod sqlite;

use async_trait::async_trait;
use linstor_model::model::{RowKey, StoredRow};

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// What a store held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Number of the last batch; 0 when nothing was ever written.
    pub generation: u64,
    /// All rows, ordered by kind and key.
    pub rows: Vec<StoredRow>,
}

/// One row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// See [`RowKey::kind`].
    pub kind: String,
    /// See [`RowKey::key`].
    pub key: String,
    /// The row's new JSON; none removes the row.
    pub json: Option<String>,
}

impl Write {
    /// The write that gives a row its JSON, or removes it.
    pub fn new(key: &RowKey, json: Option<String>) -> Self {
        Write {
            kind: key.kind().to_owned(),
            key: key.key(),
            json,
        }
    }
}

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote: nothing of this batch is in the store.
    #[error(
        "the store is at generation {found} where {expected} was expected: another controller writes to it"
    )]
    Conflict {
        /// The generation that the batch was made for.
        expected: u64,
        /// The store's generation.
        found: u64,
    },
    /// The store failed; whether the batch got in is told by [`Store::generation`].
    #[error("the store failed while {doing}: {reason}")]
    Failed {
        /// What it was doing.
        doing: &'static str,
        /// Why, in the store's words.
        reason: String,
    },
    /// The store was written by a newer version, whose rows this one would misread.
    #[error(
        "the store has schema {found}, this version knows schemas up to {known}; a newer version wrote it"
    )]
    NewerSchema {
        /// The store's schema.
        found: u32,
        /// The newest schema this version knows.
        known: u32,
    },
}

/// A place that keeps rows.
///
/// One caller at a time: the cluster's writer. A call that is dropped may or may not have had its effect.
#[async_trait]
pub trait Store: Send {
    /// Reads everything.
    async fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Writes a batch atomically and durably if the store is at the expected generation. Returns the new generation.
    async fn apply(&mut self, expected: u64, batch: Vec<Write>) -> Result<u64, StoreError>;

    /// The number of the last batch.
    async fn generation(&mut self) -> Result<u64, StoreError>;
}
