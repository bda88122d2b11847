//! A secret in a request: it does not show in debug output.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient::{Lenient, Omit};

/// A passphrase or key that a caller sends. Shows as `***`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        SecretText(value.into())
    }

    /// The secret itself; only for the place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Lenient for SecretText {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Ok(String::read_or_null(deserializer)?.map(SecretText))
    }
}

impl Omit for SecretText {
    fn omit(&self) -> bool {
        self.0.is_empty()
    }
}
