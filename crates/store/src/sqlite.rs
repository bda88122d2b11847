//! placeholder
/// SQLite.
pub struct SqliteStore;
