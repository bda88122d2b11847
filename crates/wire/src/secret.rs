//! A value that must not be printed, and is not written anywhere by accident.
//!
//! [`Secret`] has no serialised form of its own: a member of this type does not compile without stating how it is
//! serialised, `#[serde(with = "...")]` with one of the modules here. `docs/decisions/secrets.md` has what is stored
//! where.

use std::fmt;

/// A secret: shows as `***` in logs and debug output.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The secret itself; only for the place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is not known here.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The form in a message between controller and satellite: the secret itself, as the satellite has to write it into
/// DRBD's file. One that is not known is left out.
pub mod on_link {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Secret;

    /// Writes a secret into a message.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.reveal())
    }

    /// Reads a secret from a message.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// The form in the controller's store: an object that names how the secret is stored, so that a sealed one can stand in
/// the same place. Today there is only `{"clear": "..."}`.
pub mod in_store {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Secret;

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Stored<'a> {
        Clear(&'a str),
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        Clear(String),
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Found {
        /// As the first versions wrote it.
        Bare(String),
        Form(Form),
    }

    /// Writes a secret into a row.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        Stored::Clear(secret.reveal()).serialize(serializer)
    }

    /// Reads a secret from a row.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        match Found::deserialize(deserializer)? {
            Found::Bare(clear) | Found::Form(Form::Clear(clear)) => Ok(Secret(clear)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        #[serde(with = "in_store")]
        secret: Secret,
    }

    /// A row names how its secret is stored; one of the first versions is read, and nothing prints it.
    #[test]
    fn a_row_says_how_a_secret_is_kept() {
        let row: Row = serde_json::from_str(r#"{"secret":"s3"}"#).unwrap();
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(json, r#"{"secret":{"clear":"s3"}}"#);
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
        assert!(serde_json::from_str::<Row>(r#"{"secret":{"sealed":"x"}}"#).is_err());
        assert!(!format!("{row:?}").contains("s3"));
    }
}
