//! A spec on its way: read by itself, so that what one object needs and this version does not know fails for that
//! object alone.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::key::Key;
use crate::spec::{Action, SnapshotTarget, Spec};

/// What specs of this version may require of a satellite.
///
/// A reader ignores members that it does not know. A member that must not be ignored, because something else would be
/// built without it, has a feature of its own.
pub const FEATURES: &[&str] = &[
    DRBD,
    DRBD_PATHS,
    EXTERNAL_FILES,
    LUKS,
    SNAPSHOT_SOURCE,
    ROLL_BACK,
    SHIPMENT,
    RECEIPT,
    SHARED_STORAGE,
    TURNS,
    PEER_SHIPMENT,
];

/// The resource has a DRBD layer.
const DRBD: &str = "drbd";
/// A connection of the DRBD layer has paths of its own: without them DRBD would use another network.
const DRBD_PATHS: &str = "drbd-paths";
/// The node has external files.
const EXTERNAL_FILES: &str = "external-files";
/// The resource has a LUKS layer.
const LUKS: &str = "luks";
/// A volume is made of a snapshot: without it an empty one would be made.
const SNAPSHOT_SOURCE: &str = "snapshot-source";
/// The backing volumes are rolled back: without it they would be reported as if they were.
const ROLL_BACK: &str = "roll-back";
/// A snapshot is received from a bucket.
const RECEIPT: &str = "receipt";
/// Backing volumes are shared with other nodes: without it they would be destroyed while these have them.
const SHARED_STORAGE: &str = "shared-storage";
/// Nodes take turns at changing a shared pool: without it they would do so at the same time.
const TURNS: &str = "turns";
/// A snapshot is sent to, or received from, a node of another cluster.
const PEER_SHIPMENT: &str = "peer-shipment";
/// A snapshot is sent into a bucket.
const SHIPMENT: &str = "shipment";

/// What a node must have of one object. Its debug form leaves the spec out, which may have secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Wanted {
    /// The object.
    pub key: Key,
    /// Its identity on this node.
    pub uuid: Uuid,
    /// Features that a satellite must know to act on the spec.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: BTreeSet<String>,
    /// The spec as JSON.
    spec: Box<RawValue>,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        let rest = |w: &Self| (w.key.clone(), w.uuid, w.requires.clone());
        rest(self) == rest(other) && self.json() == other.json()
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted")
            .field("key", &self.key)
            .field("uuid", &self.uuid)
            .field("requires", &self.requires)
            .finish_non_exhaustive()
    }
}

impl Wanted {
    /// Of a spec.
    pub fn new(spec: &Spec) -> Wanted {
        let mut requires = BTreeSet::new();
        let json = match spec {
            Spec::Node(node) => {
                if !node.files.is_empty() {
                    requires.insert(EXTERNAL_FILES.to_owned());
                }
                if node.pools.iter().any(|pool| pool.turns.is_some()) {
                    requires.insert(TURNS.to_owned());
                }
                serde_json::value::to_raw_value(node)
            }
            Spec::Resource(resource) => {
                if let Some(drbd) = resource.drbd() {
                    requires.insert(DRBD.to_owned());
                    if drbd.peers.iter().any(|peer| !peer.paths.is_empty()) {
                        requires.insert(DRBD_PATHS.to_owned());
                    }
                }
                if resource.luks().is_some() {
                    requires.insert(LUKS.to_owned());
                }
                let mut once = resource.once.iter().map(|instruction| &instruction.action);
                if once.any(|action| matches!(action, Action::RestoreSnapshot(_))) {
                    requires.insert(SNAPSHOT_SOURCE.to_owned());
                }
                if resource.roll_back.is_some() {
                    requires.insert(ROLL_BACK.to_owned());
                }
                if resource.shared.is_some() {
                    requires.insert(SHARED_STORAGE.to_owned());
                }
                serde_json::value::to_raw_value(resource)
            }
            Spec::Snapshot(snapshot) => {
                let feature = match snapshot.target {
                    SnapshotTarget::Sent(_) => Some(SHIPMENT),
                    SnapshotTarget::Received(_) => Some(RECEIPT),
                    SnapshotTarget::SentToPeer(_) | SnapshotTarget::ReceivedFromPeer(_) => {
                        Some(PEER_SHIPMENT)
                    }
                    SnapshotTarget::Taken { .. }
                    | SnapshotTarget::TakenWhileDown
                    | SnapshotTarget::Destroyed => None,
                };
                requires.extend(feature.map(str::to_owned));
                serde_json::value::to_raw_value(snapshot)
            }
        };
        Wanted {
            key: spec.key(),
            uuid: spec.uuid(),
            requires,
            spec: json.expect("specs have string keys only"),
        }
    }

    /// The spec as it is sent.
    pub fn json(&self) -> &str {
        self.spec.get()
    }

    /// The spec, or as a text why this version does not understand it.
    pub fn read(&self) -> Result<Spec, String> {
        if let Key::Other(text) = &self.key {
            return Err(format!("'{text}' is not an object that it knows."));
        }
        let known = |feature: &&String| !FEATURES.contains(&feature.as_str());
        let unknown: Vec<&str> = self
            .requires
            .iter()
            .filter(known)
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            return Err(format!("It does not know: {}.", unknown.join(", ")));
        }
        let spec = match &self.key {
            Key::Node => serde_json::from_str(self.json()).map(Spec::Node),
            Key::Resource(_) | Key::Other(_) => {
                serde_json::from_str(self.json()).map(Spec::Resource)
            }
            Key::Snapshot(..) => serde_json::from_str(self.json()).map(Spec::Snapshot),
        };
        let spec =
            spec.map_err(|error| format!("The specification is not understood: {error}."))?;
        if (spec.key(), spec.uuid()) != (self.key.clone(), self.uuid) {
            return Err("The specification is of another object.".to_owned());
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::spec::{LayerSpec, ResourceSpec, Target};

    fn wanted() -> serde_json::Value {
        let spec = ResourceSpec {
            name: "web".parse().unwrap(),
            uuid: Uuid::from_u128(7),
            target: Target::Up,
            allow_last_copy: false,
            layers: vec![LayerSpec::Storage],
            volumes: Vec::new(),
            destroy_storage: Vec::new(),
            once: Vec::new(),
            roll_back: None,
            shared: None,
        };
        serde_json::to_value(Wanted::new(&Spec::Resource(Arc::new(spec)))).unwrap()
    }

    fn read(json: &serde_json::Value) -> Result<Spec, String> {
        serde_json::from_str::<Wanted>(&json.to_string())
            .unwrap()
            .read()
    }

    /// What is not understood fails for its object with the reason; a member that may be ignored is.
    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(read(&wanted()).is_ok());
        for (pointer, value, expected) in [
            ("/spec/target", "sideways".into(), Some("sideways")),
            (
                "/requires",
                serde_json::json!(["drbd", "nvme"]),
                Some("know: nvme."),
            ),
            ("/key", "clone/web/s1".into(), Some("clone/web/s1")),
            ("/key", "node".into(), Some("not understood")),
            ("/key", "resource/db".into(), Some("another object")),
            (
                "/uuid",
                Uuid::nil().to_string().into(),
                Some("another object"),
            ),
            ("/requires", serde_json::json!(["drbd"]), None),
        ] {
            let mut json = wanted();
            match json.pointer_mut(pointer) {
                Some(found) => *found = value,
                None => json[&pointer[1..]] = value,
            }
            match (read(&json), expected) {
                (Ok(_), None) => {}
                (Err(why), Some(expected)) => assert!(why.contains(expected), "{why}"),
                (read, _) => panic!("{pointer}: {read:?}"),
            }
        }
        let mut json = wanted();
        json["spec"]["colour"] = "blue".into();
        assert!(read(&json).is_ok(), "a member that requires nothing");
    }
}
