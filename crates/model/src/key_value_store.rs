//! Key-value store instances of client programs.

use serde::{Deserialize, Serialize};

use crate::row::Props;

/// A key-value store instance of a client program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyValueStore {
    /// Its name.
    pub name: crate::name::KeyValueStoreName,
    /// What the client stored.
    pub props: Props,
}
