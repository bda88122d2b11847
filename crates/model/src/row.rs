//! Rows: one per aggregate, stored as human-readable JSON under `(kind, key)`.
//!
//! What is stored: what users asked for, the numbers given out for it, and the step of every change that takes several
//! ([`crate::process`]). What is not: anything that a node reports (see [`crate::observed`]) and anything that follows
//! from other rows (the indexes of [`crate::Model`]). Times are milliseconds since the Unix epoch.

use linstor_api::sorted_map::SortedMap;
use serde::{Deserialize, Serialize};

/// Names and values.
pub type Props = SortedMap<String, String>;

/// When a change was asked for: the time for people, the generation for telling whether a node has tried it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Generation of the model that holds the change (see [`crate::Draft::since`]).
    pub generation: u64,
}

/// For `skip_serializing_if`: a member with the default is not written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
