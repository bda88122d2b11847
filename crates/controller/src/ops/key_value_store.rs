//! Key-value stores: what client programs keep here for themselves. One exists as long as it has a key.

use std::collections::BTreeMap;

use linstor_api::code;
use linstor_api::key_value_store::{KeyValueStore as Json, KeyValueStoreModify};
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::{KeyValueStore, Props};

use super::name;
use super::reply::{not_found, nothing_to_delete};
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// The longest key and the longest value that LINSTOR's databases hold, in characters.
const KEY_CHARS_MAX: usize = 255;
const VALUE_CHARS_MAX: usize = 4096;

fn label(name: impl std::fmt::Display) -> String {
    format!("kvs '{name}'")
}

/// LINSTOR's replies about key-value stores have no references, and only the success of a change has operation and object
/// bits: those of a change of the controller.
fn context() -> Context {
    Context::new(0, "")
}

fn show(row: &KeyValueStore) -> Json {
    Json {
        name: row.name.to_string(),
        props: row.props.clone(),
    }
}

/// All stores.
pub fn list(cluster: &Cluster) -> Vec<Json> {
    let model = cluster.model();
    model
        .key_value_stores
        .values()
        .map(|row| show(row))
        .collect()
}

/// One store; the original answers a list of one.
pub fn one(cluster: &Cluster, name: &str) -> Result<Vec<Json>, Refusal> {
    let name = name::key_value_store(name)?;
    let model = cluster.model();
    match model.key_value_stores.get(&name) {
        Some(row) => Ok(vec![show(row)]),
        None => Err(not_found(code::FAIL_NOT_FOUND_KVS, &label(name)).into()),
    }
}

/// Changes a store; makes it with its first key and removes it with its last.
pub async fn modify(cluster: &Cluster, name: String, change: KeyValueStoreModify) -> Vec<Reply> {
    let parse = || name::key_value_store(&name);
    context()
        .change(cluster, parse, move |tx, name| {
            let known = tx.key_value_stores.get(&name);
            let before = known.map(|row| row.props.clone()).unwrap_or_default();
            let name = known.map_or(name, |row| row.name.clone());
            let props = changed(before, change)?;
            tx.reply(Reply::new(
                code::MASK_CTRL_CONF | code::MASK_MOD | code::MODIFIED,
                format!("Successfully updated properties of {}.", label(&name)),
            ));
            if props.is_empty() {
                tx.remove(&RowKey::KeyValueStore(name));
            } else {
                tx.put_key_value_store(KeyValueStore { name, props });
            }
            Ok(Wait::Nothing)
        })
        .await
}

/// Sets, removes, removes namespaces, in this order.
fn changed(before: Props, change: KeyValueStoreModify) -> Result<Props, Refusal> {
    // There may be any number of them: not one by one into the map of the row.
    let mut props: BTreeMap<String, String> = before.into_iter().collect();
    for (key, value) in change.override_props {
        let key = normal(&key);
        if key.chars().count() > KEY_CHARS_MAX {
            let rule = format!("A key has at most {KEY_CHARS_MAX} characters.");
            return Err(invalid("key", &key, rule));
        }
        let value = value.ok_or_else(|| {
            let rule = format!("The key '{}' has the value null.", key.escape_debug());
            invalid("value", "null", rule)
        })?;
        if value.chars().count() > VALUE_CHARS_MAX {
            let rule = format!("A value has at most {VALUE_CHARS_MAX} characters.");
            return Err(invalid("value", &value, rule));
        }
        props.insert(key, value);
    }
    for key in &change.delete_props {
        props.remove(&normal(key));
    }
    for namespace in &change.delete_namespaces {
        let namespace = normal(namespace);
        let inside = format!("{namespace}/");
        props.retain(|key, _| !(namespace.is_empty() || key.starts_with(&inside)));
    }
    Ok(props.into_iter().collect())
}

/// A key without empty parts.
fn normal(key: &str) -> String {
    let parts: Vec<&str> = key.split('/').filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

fn invalid(what: &str, given: &str, rule: String) -> Refusal {
    let shown: String = given
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect();
    Reply::new(code::FAIL_INVLD_PROP, format!("Invalid {what}: {shown}"))
        .cause(rule)
        .correction("Use a shorter text; delete a key with 'delete_props'.")
        .into()
}

/// Removes a store.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let parse = || name::key_value_store(&name);
    context()
        .change(cluster, parse, |tx, name| {
            let key = RowKey::KeyValueStore(name.clone());
            if !tx.key_value_stores.contains_key(&name) {
                return Err(nothing_to_delete(tx, &key, &label(&name)).into());
            }
            tx.remove(&key);
            let text = format!("{} deleted.", super::reply::capital(&label(&name)));
            tx.reply(Reply::new(code::DELETED, text));
            Ok(Wait::Nothing)
        })
        .await
}
