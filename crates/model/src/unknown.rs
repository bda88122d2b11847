//! Members of rows that this version does not know: a newer version wrote them, and they are written again with the
//! row.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::held::Unreadable;
use crate::model::RowKind;
use crate::row_version::{Members, Migrations, version_of};

/// What is not known of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Unknown {
    /// All of it.
    Whole(Value),
    /// Something in some of its members.
    Members(BTreeMap<String, Unknown>),
    /// Something in some of its elements, each known by its identity, or by its place.
    Elements(Vec<(Element, Unknown)>),
}

/// Which element of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// The one with this `uuid`.
    Uuid(String),
    /// The one at this place.
    At(usize),
}

/// A row that was read.
pub(crate) struct Read<T> {
    pub(crate) row: T,
    pub(crate) unknown: Option<Unknown>,
    /// It is of an older version in the database.
    pub(crate) is_older: bool,
    /// Processes that its migration made of it.
    pub(crate) processes: Vec<Members>,
}

/// How the JSON of a row begins that is of a later version than the first.
pub(crate) fn version_prefix(version: u64) -> String {
    format!("{{\"version\":{version},")
}

/// Reads a row of this or an older version, with what is not known of it. Costs next to nothing where the row is of
/// this version and everything is known.
pub(crate) fn read<T: DeserializeOwned + Serialize>(
    json: &str,
    kind: RowKind,
    migrations: Migrations,
) -> Result<Read<T>, Unreadable> {
    let current = migrations.version(kind);
    let mut error = None;
    if current == 1 || json.starts_with(&version_prefix(current)) {
        let mut strange = false;
        let mut reader = serde_json::Deserializer::from_str(json);
        let row: Result<T, _> = serde_ignored::deserialize(&mut reader, |path| {
            strange |= current == 1 || path.to_string() != "version";
        });
        match row.and_then(|row| reader.end().map(|()| row)) {
            Ok(row) if !strange => {
                return Ok(Read {
                    row,
                    unknown: None,
                    is_older: false,
                    processes: Vec::new(),
                });
            }
            Ok(_) => {}
            Err(reason) => error = Some(reason),
        }
    }
    let unreadable = |error: &serde_json::Error| format!("its JSON cannot be read: {error}");
    let mut stored: Value = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    let version = version_of(&stored);
    if version > current {
        return Err(Unreadable {
            reason: format!(
                "a newer version of the controller wrote it: it is of version {version}, this one reads {current}"
            ),
            newer: Some(version),
        });
    }
    let mut processes = Vec::new();
    if let Some(members) = stored.as_object_mut() {
        members.remove("version");
        processes = migrations.migrate(kind, version, members)?;
    }
    if version == current
        && let Some(error) = error
    {
        return Err(unreadable(&error).into());
    }
    let row: T = T::deserialize(&stored).map_err(|error| unreadable(&error))?;
    let known = serde_json::to_value(&row).map_err(|error| unreadable(&error))?;
    Ok(Read {
        row,
        unknown: difference(&stored, &known),
        is_older: version < current,
        processes,
    })
}

/// What is in the stored value and not in the known one.
fn difference(stored: &Value, known: &Value) -> Option<Unknown> {
    match (stored, known) {
        (Value::Object(stored), Value::Object(known)) => {
            let unknown = stored.iter().filter_map(|(name, value)| {
                let unknown = match known.get(name) {
                    Some(known) => difference(value, known)?,
                    // A known member with the default is not written.
                    None if value.is_null() => return None,
                    None => Unknown::Whole(value.clone()),
                };
                Some((name.clone(), unknown))
            });
            let unknown: BTreeMap<String, Unknown> = unknown.collect();
            (!unknown.is_empty()).then_some(Unknown::Members(unknown))
        }
        (Value::Array(stored), Value::Array(known)) if stored.len() == known.len() => {
            let pairs = stored.iter().zip(known).enumerate();
            let unknown = pairs.filter_map(|(place, (stored, known))| {
                let uuid = stored.get("uuid").and_then(Value::as_str);
                let element = uuid.map_or(Element::At(place), |uuid| Element::Uuid(uuid.into()));
                Some((element, difference(stored, known)?))
            });
            let unknown: Vec<(Element, Unknown)> = unknown.collect();
            (!unknown.is_empty()).then_some(Unknown::Elements(unknown))
        }
        _ => None,
    }
}

/// The JSON of a row with what is not known of it. What was in a removed part is removed with it.
pub(crate) fn write(json: &str, unknown: &Unknown) -> String {
    let mut value: Value = serde_json::from_str(json).expect("it was just written");
    add(&mut value, unknown);
    value.to_string()
}

fn add(value: &mut Value, unknown: &Unknown) {
    match (value, unknown) {
        (Value::Object(members), Unknown::Members(unknown)) => {
            for (name, unknown) in unknown {
                match (members.get_mut(name), unknown) {
                    (Some(member), unknown) => add(member, unknown),
                    (None, Unknown::Whole(whole)) => {
                        members.insert(name.clone(), whole.clone());
                    }
                    (None, Unknown::Members(_) | Unknown::Elements(_)) => {}
                }
            }
        }
        (Value::Array(elements), Unknown::Elements(unknown)) => {
            for (element, unknown) in unknown {
                let found = match element {
                    Element::At(place) => elements.get_mut(*place),
                    Element::Uuid(uuid) => {
                        let mut elements = elements.iter_mut();
                        elements
                            .find(|found| found.get("uuid").and_then(Value::as_str) == Some(uuid))
                    }
                };
                if let Some(found) = found {
                    add(found, unknown);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use crate::model::{RowKey, StoredRow};
    use crate::{Draft, Model, NetInterface, Node};

    fn load(node: &Value) -> Model {
        let controller = json!({"cluster_id": Uuid::from_u128(1), "props": {}});
        let row = |kind: &str, key: &str, json: &Value| StoredRow {
            kind: kind.into(),
            key: key.into(),
            json: json.to_string(),
        };
        let rows = vec![row("controller", "", &controller), row("node", "N1", node)];
        Model::load(1, rows, Uuid::nil())
    }

    use super::*;

    fn node() -> Value {
        let net_if = |n: u128| {
            json!({"name": format!("if{n}x"), "uuid": Uuid::from_u128(n), "address": "10.0.0.1",
                "satellite_port": null, "encryption": null, "active": n == 1, "mtu": n})
        };
        json!({"name": "n1", "uuid": Uuid::from_u128(7), "node_type": "SATELLITE",
            "net_interfaces": [net_if(1), net_if(2)], "rack": {"row": 3, "at": [1, 2]}, "version": 1})
    }

    /// An older controller that rewrites a row keeps what a newer one wrote, in nested objects and lists too; what
    /// belongs to a removed part is removed with it, and nothing of a removed row comes back.
    #[test]
    fn unknown_members_stay_when_a_row_is_rewritten() {
        let model = load(&node());
        assert!(model.held.is_empty(), "{:?}", model.held.rows());
        let name = model.nodes.keys().next().unwrap().clone();
        let key = RowKey::Node(name.clone());
        let mut draft = Draft::new(model);
        draft.edit_node(&name, |node: &mut Node| {
            node.props.insert("k".into(), "v".into());
            node.net_interfaces
                .retain(|net_if: &NetInterface| !net_if.active);
        });
        let written: Value = serde_json::from_str(&draft.row_json(&key).unwrap()).unwrap();
        assert_eq!(written["rack"], json!({"row": 3, "at": [1, 2]}));
        assert_eq!(written["props"]["k"], "v");
        let net_ifs = written["net_interfaces"].as_array().unwrap();
        assert_eq!((net_ifs.len(), &net_ifs[0]["mtu"]), (1, &json!(2)));

        let same = Node::clone(&draft.nodes[&name]);
        draft.remove(&key);
        draft.put_node(same);
        let written: Value = serde_json::from_str(&draft.row_json(&key).unwrap()).unwrap();
        assert_eq!(written.get("rack"), None);
    }

    /// A row of a newer version is held, whether or not it can be parsed, and the reason names its version.
    #[test]
    fn a_row_of_a_newer_version_is_held() {
        for (member, value) in [("rack", json!(1)), ("uuid", json!(5))] {
            let mut node = node();
            node["version"] = json!(3);
            node[member] = value;
            let model = load(&node);
            let reason = &model.held.rows()[0].reason;
            assert!(reason.contains("newer version"), "{reason}");
            assert!(model.nodes.is_empty());
            let newer = model.newer_rows().expect("it is newer");
            assert_eq!(newer.kinds, [("node".to_owned(), 3, 2)]);
        }
        assert_eq!(load(&node()).newer_rows(), None);
    }

    /// Without unknown members nothing is held in memory in addition to the row.
    #[test]
    fn known_rows_cost_nothing() {
        let mut node = node();
        let members = node.as_object_mut().unwrap();
        members.retain(|name, _| name != "rack" && name != "version");
        for net_if in members["net_interfaces"].as_array_mut().unwrap() {
            net_if.as_object_mut().unwrap().remove("mtu");
        }
        assert!(load(&node).unknown.is_empty());
    }
}
