//! Storage pool definitions: what the pools of one name have in common.

use linstor_api::code;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::storage_pool_definition::StoragePoolDefinition as Json;
use linstor_model::Model;
use linstor_model::model::{DEFAULT_DISKLESS_POOL, RowKey};
use linstor_model::name::StoragePoolName;
use linstor_model::{Props, StoragePoolDefinition};

use super::name;
use super::property::{self, Owner};
use super::reply::{capital, created, deleted, exists, modified, not_found};
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

fn label(name: impl std::fmt::Display) -> String {
    format!("storage pool definition '{name}'")
}

fn context(mask: i64, name: &str) -> Context {
    let object = format!("Storage pool definition: {name}");
    Context::new(code::MASK_STOR_POOL_DFN | mask, object).about("StorPoolDfn", name)
}

fn show(row: &StoragePoolDefinition) -> Json {
    Json {
        storage_pool_name: Some(row.name.to_string()),
        props: row.props.clone(),
    }
}

/// All definitions but that of the pool of diskless resources, which every node has.
pub fn list(cluster: &Cluster) -> Vec<Json> {
    let model = cluster.model();
    let rows = model.pool_definitions.values();
    let shown = rows.filter(|row| !is_diskless_default(&row.name));
    shown.map(|row| show(row)).collect()
}

fn is_diskless_default(name: &StoragePoolName) -> bool {
    name.as_str().eq_ignore_ascii_case(DEFAULT_DISKLESS_POOL)
}

/// One definition.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = name::pool(name)?;
    known(&cluster.model(), &name).map(show)
}

/// A definition that has to be there.
pub fn known<'a>(
    model: &'a Model,
    name: &StoragePoolName,
) -> Result<&'a StoragePoolDefinition, Refusal> {
    let row = model.pool_definitions.get(name).map(|row| &**row);
    row.ok_or_else(|| not_found(code::FAIL_NOT_FOUND_STOR_POOL_DFN, &label(name)).into())
}

/// Adds a definition.
pub async fn create(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let given = request.storage_pool_name;
    let context = context(code::MASK_CRT, given.as_deref().unwrap_or(UNNAMED));
    let name = given.unwrap_or_default();
    context
        .change(
            cluster,
            || name::pool(&name),
            move |tx, name| {
                if tx.pool_definitions.contains_key(&name) {
                    let what = label(&name);
                    return Err(exists(code::FAIL_EXISTS_STOR_POOL_DFN, &what).into());
                }
                let uuid = tx.uuid();
                tx.reply(created(&label(&name), uuid));
                let mut props = Props::new();
                let owner = Owner::StoragePoolDefinition;
                tx.replies(property::set(owner, &mut props, request.props)?);
                tx.put_storage_pool_definition(StoragePoolDefinition { name, uuid, props });
                Ok(Wait::Nothing)
            },
        )
        .await
}

/// Changes a definition's properties.
pub async fn modify(cluster: &Cluster, name: String, change: PropertiesModify) -> Vec<Reply> {
    context(code::MASK_MOD, &name)
        .change(
            cluster,
            || name::pool(&name),
            move |tx, name| {
                let mut row = StoragePoolDefinition::clone(known(tx, &name)?);
                let owner = Owner::StoragePoolDefinition;
                tx.replies(property::apply(owner, &mut row.props, &change)?);
                tx.reply(modified(&label(&row.name), row.uuid));
                tx.put_storage_pool_definition(row);
                Ok(Wait::Nothing)
            },
        )
        .await
}

/// Removes a definition that no pool has.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    context(code::MASK_DEL, &name)
        .change(cluster, || name::pool(&name), remove)
        .await
}

fn remove(tx: &mut Transaction<'_>, name: StoragePoolName) -> Result<Wait, Refusal> {
    let row = known(tx, &name)?.clone();
    let what = label(&row.name);
    let nodes: Vec<String> = tx
        .nodes
        .keys()
        .filter(|node| tx.pool(node, &name).is_some())
        .map(ToString::to_string)
        .collect();
    if !nodes.is_empty() || is_diskless_default(&name) {
        return Err(Reply::new(
            code::FAIL_IN_USE,
            format!("{} cannot be deleted.", capital(&what)),
        )
        .cause("There are storage pools of this name, or nodes will have one.")
        .details(format!("Nodes: {}", nodes.join(", ")))
        .correction("Delete the storage pools first.")
        .into());
    }
    tx.remove(&RowKey::StoragePoolDefinition(name));
    tx.reply(deleted(&what, row.uuid));
    Ok(Wait::Nothing)
}
