//! Key-value stores: what client programs keep here for themselves. One exists as long as it has a key.

use linstor_api::code;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::{KeyValueStore, Props};
use serde::Serialize;

use super::names;
use super::property::{self, Owner};
use super::reply::{not_found, nothing_to_delete};
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// A store as answers show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Json {
    /// Its name.
    pub name: String,
    /// Its keys and values.
    pub props: Props,
}

fn describe(name: impl std::fmt::Display) -> String {
    format!("KeyValueStore '{name}'")
}

fn context(mask: i64, name: &str) -> Context {
    Context::new(code::MASK_KVS | mask, format!("KeyValueStore: {name}"))
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
    let name = names::key_value_store(name)?;
    let model = cluster.model();
    match model.key_value_stores.get(&name) {
        Some(row) => Ok(vec![show(row)]),
        None => Err(not_found(code::FAIL_NOT_FOUND_KVS, &describe(name)).into()),
    }
}

/// Changes a store; makes it with its first key and removes it with its last.
pub async fn modify(cluster: &Cluster, name: String, change: PropertiesModify) -> Vec<Reply> {
    let parse = || names::key_value_store(&name);
    context(code::MASK_MOD, &name)
        .change(cluster, parse, move |tx, name| {
            let known = tx.key_value_stores.get(&name);
            let mut row = known.map_or_else(
                || KeyValueStore {
                    name: name.clone(),
                    props: Props::new(),
                },
                |row| KeyValueStore::clone(row),
            );
            property::apply(Owner::KeyValueStore, &mut row.props, &change)?;
            tx.reply(Reply::new(
                code::MODIFIED,
                format!(
                    "Successfully updated properties of {}.",
                    describe(&row.name)
                ),
            ));
            if row.props.is_empty() {
                tx.remove(&RowKey::KeyValueStore(name));
            } else {
                tx.put_key_value_store(row);
            }
            Ok(Wait::Nothing)
        })
        .await
}

/// Removes a store.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let parse = || names::key_value_store(&name);
    context(code::MASK_DEL, &name)
        .change(cluster, parse, |tx, name| {
            let Some(row) = tx.key_value_stores.get(&name).cloned() else {
                return Err(nothing_to_delete(
                    tx,
                    &RowKey::KeyValueStore(name.clone()),
                    &describe(&name),
                )
                .into());
            };
            tx.remove(&RowKey::KeyValueStore(name));
            let text = format!("Successfully deleted {}.", describe(&row.name));
            tx.reply(Reply::new(code::DELETED, text));
            Ok(Wait::Nothing)
        })
        .await
}
