//! Where the model is kept: rows as JSON, written in atomic batches.
//!
//! A [`Store`] holds rows `(kind, key, json)` and one number, the generation, which grows with each batch.
//! [`Store::apply`] is a compare-and-set on it: two controllers on one store cannot both write, and
//! [`Store::generation`] answers "did my batch get in?" after an error that left it open.
//!
//! Reading order: this file, [`memory`] (tests and simulation), [`sqlite`] (the default).

pub mod memory;
pub mod sqlite;

use async_trait::async_trait;
use linstor_model::model::{RowKey, StoredRow};

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// What a store held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The generation that the last batch brought; 0 when nothing was ever written.
    pub generation: u64,
    /// All rows, in any order.
    pub rows: Vec<StoredRow>,
}

/// One row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// See [`linstor_model::model::RowKind`].
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
            kind: key.kind().as_str().to_owned(),
            key: key.key(),
            json,
        }
    }
}

impl Write {
    /// How much of [`Limits::bytes`] it takes.
    pub fn bytes(&self) -> usize {
        self.kind.len() + self.key.len() + self.json.as_ref().map_or(0, String::len)
    }
}

/// How much one batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows. What the store itself needs for the generation is not among them.
    pub rows: usize,
    /// Kinds, keys and JSON of all rows together, in bytes.
    pub bytes: usize,
}

impl Limits {
    /// Whatever memory holds.
    pub const NONE: Limits = Limits {
        rows: usize::MAX,
        bytes: usize::MAX,
    };

    /// Whether a batch of these writes is within them.
    pub fn allow<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> bool {
        let (mut rows, mut bytes) = (0, 0);
        for write in writes {
            rows += 1;
            bytes += write.bytes();
        }
        rows <= self.rows && bytes <= self.bytes
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
    /// The store failed; [`Store::generation`] shows whether the batch was written.
    #[error("the store failed while {doing}: {reason}")]
    Failed {
        /// What it was doing.
        doing: &'static str,
        /// Why, in the store's words.
        reason: String,
    },
    /// The batch is larger than the store takes: nothing of it is in the store.
    #[error(
        "{rows} rows of {bytes} bytes are to be written at once, and the database takes at most {} rows and {} bytes at once",
        limits.rows, limits.bytes
    )]
    TooLarge {
        /// Rows of the batch.
        rows: usize,
        /// Size of the batch, see [`Limits::bytes`].
        bytes: usize,
        /// What the store takes.
        limits: Limits,
    },
    /// A newer version made the tables.
    #[error(
        "the tables of the database are of version {found}, this version of the controller knows versions up to {known}: \
         a newer version made them"
    )]
    NewerTables {
        /// The version of the tables.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
}

/// A place that keeps rows.
///
/// One caller at a time: the cluster's writer. A call that is dropped may or may not have had its effect.
#[async_trait]
pub trait Store: Send {
    /// How much one batch may hold.
    fn limits(&self) -> Limits;

    /// Reads everything.
    async fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Writes a batch atomically and durably if the store is at the expected generation, and brings it to the next one, a
    /// larger number.
    async fn apply(
        &mut self,
        expected: u64,
        next: u64,
        batch: Vec<Write>,
    ) -> Result<(), StoreError>;

    /// The generation that the last batch brought.
    async fn generation(&mut self) -> Result<u64, StoreError>;

    /// Makes a copy of everything, durably, and says where it is. A copy of the same name is replaced; `name` is made of
    /// letters, digits and `-`.
    async fn copy(&mut self, name: &str) -> Result<String, StoreError>;
}
