//! Storage pool definitions: what the pools of one name have in common.

use linstor_api::code;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_api::storage_pool_definition::StoragePoolDefinition as Json;
use linstor_model::Model;
use linstor_model::model::{DEFAULT_DISKLESS_POOL, DEFAULT_POOL, RowKey};
use linstor_model::name::StoragePoolName;
use linstor_model::{Props, StoragePoolDefinition};

use super::names;
use super::property::{self, Owner};
use super::reply::{Context, Refusal, created, deleted, exists, modified, not_found};
use crate::cluster::Cluster;

fn describe(name: impl std::fmt::Display) -> String {
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

/// All definitions.
pub fn list(cluster: &Cluster) -> Vec<Json> {
    let model = cluster.model();
    model
        .pool_definitions
        .values()
        .map(|row| show(row))
        .collect()
}

/// One definition.
pub fn one(cluster: &Cluster, name: &str) -> Result<Json, Refusal> {
    let name = names::pool(name)?;
    known(&cluster.model(), &name).map(show)
}

fn known<'a>(
    model: &'a Model,
    name: &StoragePoolName,
) -> Result<&'a StoragePoolDefinition, Refusal> {
    let row = model.pool_definitions.get(name).map(|row| &**row);
    row.ok_or_else(|| not_found(code::FAIL_NOT_FOUND_STOR_POOL_DFN, &describe(name)).into())
}

/// Adds a definition.
pub async fn create(cluster: &Cluster, request: Json) -> Vec<Reply> {
    let name = request.storage_pool_name.unwrap_or_default();
    let context = context(code::MASK_CRT, &name);
    let work = async {
        let name = names::pool(&name)?;
        let uuid = cluster.env().uuid();
        let committed = cluster.commit(move |draft| {
            if draft.pool_definitions.contains_key(&name) {
                return Err(vec![exists(
                    code::FAIL_EXISTS_STOR_POOL_DFN,
                    &describe(&name),
                )]);
            }
            let mut replies = vec![created(&describe(&name), uuid)];
            let change = property::change(request.props, vec![], vec![]);
            let mut props = Props::new();
            property::apply(
                Owner::StoragePoolDefinition,
                &mut props,
                &change,
                &mut replies,
            )?;
            draft.put_storage_pool_definition(StoragePoolDefinition { name, uuid, props });
            Ok(replies)
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}

/// Changes a definition's properties.
pub async fn modify(cluster: &Cluster, name: String, change: PropertiesModify) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &name);
    let work = async {
        let name = names::pool(&name)?;
        let committed = cluster.commit(move |draft| {
            let mut row = StoragePoolDefinition::clone(known(draft, &name)?);
            let mut replies = Vec::new();
            let changed = property::apply(
                Owner::StoragePoolDefinition,
                &mut row.props,
                &change,
                &mut replies,
            )?;
            replies.push(modified(&describe(&row.name), row.uuid));
            if changed {
                draft.put_storage_pool_definition(row);
            }
            Ok(replies)
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}

/// Removes a definition that no pool has.
pub async fn delete(cluster: &Cluster, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &name);
    let work = async {
        let name = names::pool(&name)?;
        let committed = cluster.commit(move |draft| {
            let row = known(draft, &name)?.clone();
            let is_default = [DEFAULT_POOL, DEFAULT_DISKLESS_POOL]
                .iter()
                .any(|default| name.as_str().eq_ignore_ascii_case(default));
            if is_default {
                return Err(vec![
                    Reply::new(
                        code::FAIL_INVLD_STOR_POOL_NAME,
                        format!("The default {} cannot be deleted.", describe(&row.name)),
                    )
                    .cause("It exists in every cluster.")
                    .correction("Leave it; it takes no space."),
                ]);
            }
            let nodes: Vec<String> = draft
                .nodes
                .keys()
                .filter(|node| draft.pool(node, &name).is_some())
                .map(ToString::to_string)
                .collect();
            if !nodes.is_empty() {
                return Err(vec![
                    Reply::new(
                        code::FAIL_IN_USE,
                        format!(
                            "{} cannot be deleted.",
                            super::reply::capital(&describe(&row.name))
                        ),
                    )
                    .cause("There are storage pools of this name.")
                    .details(format!("Nodes: {}", nodes.join(", ")))
                    .correction("Delete the storage pools first."),
                ]);
            }
            draft.remove(&RowKey::StoragePoolDefinition(name));
            Ok(vec![deleted(&describe(&row.name), row.uuid)])
        });
        Ok(committed.await?.value)
    };
    context.run(work).await
}
