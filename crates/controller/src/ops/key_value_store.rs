//! Key-value stores: what client programs keep here for themselves. One exists as long as it has a key.

use linstor_api::code;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::{KeyValueStore, Props};
use serde::Serialize;

use super::names;
use super::property::{self, Owner};
use super::reply::{Context, Refusal, not_found, nothing_to_delete};
use crate::cluster::Cluster;

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
    let context = context(code::MASK_MOD, &name);
    let work = async {
        let name = names::key_value_store(&name)?;
        let committed = cluster.commit(move |draft| {
            let known = draft.key_value_stores.get(&name).cloned();
            let mut row = known.as_deref().cloned().unwrap_or_else(|| KeyValueStore {
                name: name.clone(),
                props: Props::new(),
            });
            property::apply(
                Owner::KeyValueStore,
                &mut row.props,
                &change,
                &mut Vec::new(),
            )?;
            let text = format!(
                "Successfully updated properties of {}.",
                describe(&row.name)
            );
            if row.props.is_empty() {
                if known.is_some() {
                    draft.remove(&RowKey::KeyValueStore(name));
                }
            } else if known.as_deref() != Some(&row) {
                draft.put_key_value_store(row);
            }
            Ok(vec![Reply::new(code::MODIFIED, text)])
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}

/// Removes a store.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = names::key_value_store(&name)?;
        let committed = cluster.commit(move |draft| {
            let Some(row) = draft.key_value_stores.get(&name).cloned() else {
                return Err(vec![nothing_to_delete(
                    draft,
                    &RowKey::KeyValueStore(name.clone()),
                    &describe(&name),
                )]);
            };
            draft.remove(&RowKey::KeyValueStore(name));
            let text = format!("Successfully deleted {}.", describe(&row.name));
            Ok(vec![Reply::new(code::DELETED, text)])
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}
