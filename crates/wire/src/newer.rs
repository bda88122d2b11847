//! Members of reports in which a newer satellite may name kinds of things that this version does not know: those are left
//! out, as nothing here can use them, and the rest of the report is read.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The elements of a list that are known.
pub(crate) fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let elements = Vec::<Value>::deserialize(deserializer)?.into_iter();
    Ok(elements
        .filter_map(|element| serde_json::from_value(element).ok())
        .collect())
}

/// The entries of a map whose keys are known.
pub(crate) fn with_known_keys<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: FromStr + Ord,
    V: Deserialize<'de>,
{
    let entries = BTreeMap::<String, V>::deserialize(deserializer)?.into_iter();
    Ok(entries
        .filter_map(|(key, value)| Some((key.parse().ok()?, value)))
        .collect())
}

/// The value, if it is of a kind that is known.
pub(crate) fn if_known<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
