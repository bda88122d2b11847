//! Reading the body of a request.
//!
//! LINSTOR's server refuses members that it does not know: it reads every body with a plain Jackson
//! `ObjectMapper`, whose default is to fail on unknown properties, and none of its request types opts out
//! (linstor-server: `controller/src/main/java/com/linbit/linstor/api/rest/v1/*.java` and
//! `.../v1/serializer/JsonGenTypes.java`). [`read`] does the same, because a misspelt member that is silently
//! dropped is worse than a refusal. Programs that read *answers* use `serde_json` directly and ignore what they do
//! not know, so that a newer server can tell them more.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::lenient::Lenient;

/// Why a body cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// It is no JSON, or a member has a value that its type cannot hold.
    Malformed(String),
    /// It has members that nobody knows; their paths.
    UnknownMembers(Vec<String>),
    /// It is `null`.
    Null,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Malformed(reason) => {
                write!(f, "the request body could not be understood: {reason}")
            }
            BodyError::UnknownMembers(paths) => {
                write!(
                    f,
                    "the request body has unknown members: {}",
                    paths.join(", ")
                )
            }
            BodyError::Null => f.write_str("the request body is null"),
        }
    }
}

impl std::error::Error for BodyError {}

/// At most so many unknown members are named in a refusal.
const NAMED_UNKNOWN_MAX: usize = 10;

/// Reads a request's body; an empty one counts as `{}`. As in LINSTOR, of a member that is there twice the last one counts,
/// and what follows the value does not.
pub fn read<T: Lenient + Default>(body: &[u8]) -> Result<T, BodyError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    match read_from(deserializer) {
        Err(BodyError::Malformed(reason)) if reason.starts_with("duplicate field") => {
            let deserializer = &mut serde_json::Deserializer::from_slice(body);
            let value = serde_json::Value::deserialize(deserializer);
            read_from(value.map_err(|error| BodyError::Malformed(error.to_string()))?)
        }
        result => result,
    }
}

fn read_from<'de, T: Lenient>(
    deserializer: impl Deserializer<'de, Error = serde_json::Error>,
) -> Result<T, BodyError> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < NAMED_UNKNOWN_MAX {
            unknown.push(path.to_string());
        }
    };
    let reader = serde_ignored::Deserializer::new(deserializer, &mut note);
    let value = T::read_or_null(reader).map_err(|error| BodyError::Malformed(error.to_string()))?;
    if !unknown.is_empty() {
        return Err(BodyError::UnknownMembers(unknown));
    }
    value.ok_or(BodyError::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource_group::ResourceGroupSpawn;

    /// Clients POST without a body where all members are optional.
    #[test]
    fn an_empty_body_is_an_empty_object() {
        for body in [
            "",
            " \n",
            "{}",
            "{ }",
            "{} {",
            r#"{"partial":true,"partial":false}"#,
        ] {
            assert_eq!(
                read::<ResourceGroupSpawn>(body.as_bytes()),
                Ok(Default::default())
            );
        }
        assert_eq!(read::<ResourceGroupSpawn>(b"null"), Err(BodyError::Null));
    }

    /// A misspelt member is named with its path, however deep it is.
    #[test]
    fn unknown_members_are_refused_by_name() {
        let body = br#"{"volume_sizes":[1],"select_filter":{"place_cout":2},"x":[]}"#;
        let error = read::<ResourceGroupSpawn>(body).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the request body has unknown members: select_filter.place_cout, x"
        );
    }

    /// Broken JSON says where it broke.
    #[test]
    fn malformed_bodies_say_where() {
        for body in ["{", "[]", r#"{"volume_sizes":["big"]}"#] {
            let error = read::<ResourceGroupSpawn>(body.as_bytes()).unwrap_err();
            assert!(
                error.to_string().contains("line 1 column"),
                "{body}: {error}"
            );
        }
    }
}
