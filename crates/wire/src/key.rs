//! Which object of a node a spec, an outcome or a wait is about.

use std::fmt;

use linstor_api::name::{ResourceName, SnapshotName};
use serde::{Deserialize, Serialize};

/// One unit of desired state on a node. Written as `node`, `resource/web` or `snapshot/web/s1`.
///
/// A new kind of object is one more variant, with its spec in [`crate::spec::Spec`]; the compiler then shows every
/// place that has to know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Key {
    /// The node itself: its storage pools and properties.
    Node,
    /// A resource on the node.
    Resource(ResourceName),
    /// A snapshot of a resource on the node, which may not have the resource any more.
    Snapshot(ResourceName, SnapshotName),
    /// A kind that this version does not know, or a name that is none, as it was written.
    Other(String),
}

impl Key {
    /// Of a resource whose name has not been checked.
    pub fn resource(name: &str) -> Key {
        match ResourceName::parse(name) {
            Ok(name) => Key::Resource(name),
            Err(_) => Key::Other(format!("resource/{name}")),
        }
    }

    /// Of `resource/snapshot`, if these are names.
    fn snapshot(names: &str) -> Option<Key> {
        let (name, snapshot) = names.split_once('/')?;
        let name = ResourceName::parse(name).ok()?;
        Some(Key::Snapshot(name, SnapshotName::parse(snapshot).ok()?))
    }

    /// In upper case: names that differ in case only are the same.
    pub fn folded(&self) -> String {
        self.to_string().to_ascii_uppercase()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Node => f.write_str("node"),
            Key::Resource(name) => write!(f, "resource/{name}"),
            Key::Snapshot(name, snapshot) => write!(f, "snapshot/{name}/{snapshot}"),
            Key::Other(text) => f.write_str(text),
        }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}

impl From<String> for Key {
    fn from(text: String) -> Key {
        match text.split_once('/') {
            None if text == "node" => Key::Node,
            Some(("resource", name)) => Key::resource(name),
            Some(("snapshot", names)) => Key::snapshot(names).unwrap_or(Key::Other(text)),
            None | Some(_) => Key::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key is one string, and is read back unchanged whether or not it is known.
    #[test]
    fn keys_survive_the_wire() {
        for text in [
            "node",
            "resource/web",
            "snapshot/web/s1",
            "snapshot/web",
            "snapshot/web/../x",
            "clone/web/s1",
            "resource/../x",
            "",
            "node/x",
        ] {
            let key: Key = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(&key).unwrap(), text);
            let known = matches!(text, "node" | "resource/web" | "snapshot/web/s1");
            assert_eq!(matches!(key, Key::Other(_)), !known, "{text}");
        }
        assert_eq!(Key::resource("WEB"), Key::resource("web"));
    }
}
