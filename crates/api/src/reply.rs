//! The reply of a call: one entry per thing that happened.

use serde::{Deserialize, Serialize};

use crate::code;
use crate::sorted_map::SortedMap;

/// One entry of an answer. A list of them is the body of every modifying call and of every refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// What happened, as a signed number (see [`crate::code`]).
    pub ret_code: i64,
    /// What happened, for a person.
    pub message: String,
    /// Why it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// What the person can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
    /// Ids of error reports that tell more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_report_ids: Vec<String>,
    /// Which objects it is about, for example `Node` to `alpha`.
    #[serde(with = "references", skip_serializing_if = "SortedMap::is_empty")]
    pub obj_refs: SortedMap<String, String>,
    /// When it happened, ISO 8601 with offset; set where the answer leaves the controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Whether the entry is complete: its call adds no bits, references and details.
    #[serde(skip)]
    pub plain: bool,
}

/// The reference to an object that the request did not name. LINSTOR writes it as `null`. No name has this character.
pub const UNNAMED: &str = "\0";

/// References, with [`UNNAMED`] as `null`.
mod references {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{SortedMap, UNNAMED};

    pub(super) fn serialize<S: Serializer>(
        refs: &SortedMap<String, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if refs.values().all(|value| value != UNNAMED) {
            return refs.serialize(serializer);
        }
        let named = |value: &String| (value != UNNAMED).then(|| value.clone());
        let refs = refs.iter().map(|(key, value)| (key.clone(), named(value)));
        refs.collect::<SortedMap<_, _>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SortedMap<String, String>, D::Error> {
        let refs = SortedMap::<String, Option<String>>::deserialize(deserializer)?;
        let named = |value: Option<String>| value.unwrap_or_else(|| UNNAMED.to_owned());
        Ok(refs
            .into_iter()
            .map(|(key, value)| (key, named(value)))
            .collect())
    }
}

impl Reply {
    /// A reply with a code and a message.
    pub fn new(ret_code: i64, message: impl Into<String>) -> Self {
        Reply {
            ret_code,
            message: message.into(),
            ..Reply::default()
        }
    }

    /// With the reason.
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With more about it.
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// With what the person can do.
    pub fn correction(mut self, correction: impl Into<String>) -> Self {
        self.correction = Some(correction.into());
        self
    }

    /// With a reference to an object it is about (LINSTOR's key, for example `RscDfn`).
    pub fn about(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.obj_refs.insert(key.into(), value.into());
        self
    }

    /// As it is: LINSTOR refuses some values before it knows the call's operation and object, and gives such entries
    /// without their bits.
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Fills operation and object bits where the entry has none of its own.
    pub fn with_mask(mut self, mask: i64) -> Self {
        if self.ret_code & code::MASK_BITS_OP == 0 {
            self.ret_code |= mask & code::MASK_BITS_OP;
        }
        if self.ret_code & code::MASK_BITS_OBJ == 0 {
            self.ret_code |= mask & code::MASK_BITS_OBJ;
        }
        self
    }

    /// Whether this entry is an error.
    pub fn is_error(&self) -> bool {
        code::is_error(self.ret_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operation and object of the call fill only what the entry leaves open.
    #[test]
    fn mask_fills_only_empty_fields() {
        let own = Reply::new(code::MASK_VLM | code::CREATED, "x")
            .with_mask(code::MASK_RSC | code::MASK_CRT);
        assert_eq!(
            own.ret_code,
            code::MASK_VLM | code::MASK_CRT | code::CREATED
        );
    }

    /// Empty members stay out of the JSON.
    #[test]
    fn empty_members_are_omitted() {
        let text = serde_json::to_string(&Reply::new(3, "m")).unwrap();
        assert_eq!(text, r#"{"ret_code":3,"message":"m"}"#);
    }
}
