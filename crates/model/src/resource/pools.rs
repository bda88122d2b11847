//! The storage pools of new volumes: named by the request, a property, a peer or the default.

use std::collections::BTreeMap;
use std::sync::Arc;

use linstor_api::code;
use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::prop;
use linstor_api::reply::Reply;

use crate::model::{DEFAULT_DISKLESS_POOL, DEFAULT_POOL, Model};
use crate::name::StoragePoolName;
use crate::props::{Purpose, Scope, effective};
use crate::{Resource, ResourceDefinition, StoragePool};

/// The requested pools.
pub(super) struct Wanted<'a> {
    /// One pool for all volumes.
    pub(super) named: Option<&'a StoragePoolName>,
    /// Diskless.
    pub(super) diskless: bool,
}

/// The pool of each volume of a replica.
pub(super) fn resolve(
    model: &Model,
    definition: &ResourceDefinition,
    row: &Resource,
    wanted: &Wanted<'_>,
) -> Result<BTreeMap<u32, StoragePoolName>, Vec<Reply>> {
    definition
        .volumes
        .iter()
        .filter(|(number, _)| !model.is_deleting_volume(&definition.name, **number))
        .map(|(number, _)| {
            Ok((
                *number,
                resolve_one(model, definition, row, *number, wanted)?,
            ))
        })
        .collect()
}

/// The pool of one volume.
pub(super) fn resolve_one(
    model: &Model,
    definition: &ResourceDefinition,
    row: &Resource,
    number: u32,
    wanted: &Wanted<'_>,
) -> Result<StoragePoolName, Vec<Reply>> {
    let scope = Scope {
        volume: Some(number),
        ..Scope::resource(model, definition, row)
    };
    let key = prop::STOR_POOL_NAME;
    let named = match wanted.named {
        Some(pool) => Some(pool.clone()),
        None => effective(model, Purpose::StoragePool, &scope, key)
            .and_then(|name| StoragePoolName::parse(name).ok()),
    };
    let exists = |pool: &StoragePoolName| model.pool(&row.node, pool);
    if wanted.diskless {
        // A pool with storage at a more distant level is for diskful resources.
        let diskless = |pool: &&Arc<StoragePool>| pool.kind == ProviderKind::Diskless;
        let named = named.as_ref().and_then(exists).filter(diskless);
        let default = default(DEFAULT_DISKLESS_POOL);
        return match named.or_else(|| exists(&default)) {
            Some(pool) => Ok(pool.name.clone()),
            None => Err(missing(definition, row, number, &default, Origin::Default)),
        };
    }
    if let Some(named) = named {
        return match exists(&named) {
            Some(pool) => Ok(pool.name.clone()),
            None => {
                let origin = match wanted.named {
                    Some(_) => Origin::Request,
                    None => Origin::Property,
                };
                Err(missing(definition, row, number, &named, origin))
            }
        };
    }
    let of_peers = model
        .resources_of(&definition.name)
        .filter(|peer| peer.node != row.node && !peer.is_diskless())
        .filter_map(|peer| exists(&peer.volumes.get(&number)?.pool));
    let default = default(DEFAULT_POOL);
    match of_peers.into_iter().next().or_else(|| exists(&default)) {
        Some(pool) => Ok(pool.name.clone()),
        None => Err(missing(definition, row, number, &default, Origin::Default)),
    }
}

/// The pools of a diskful volume's backing volumes in addition to its data: that of DRBD's metadata if the property
/// `StorPoolNameDrbdMeta` names one. `.internal`, or nothing, at a nearer level puts the metadata at the end of the
/// data.
pub(super) fn extra(
    model: &Model,
    definition: &ResourceDefinition,
    row: &Resource,
    number: u32,
) -> Result<BTreeMap<StorageSuffix, StoragePoolName>, Vec<Reply>> {
    let scope = Scope {
        volume: Some(number),
        ..Scope::resource(model, definition, row)
    };
    let key = prop::STOR_POOL_NAME_DRBD_META;
    let named = effective(model, Purpose::MetadataPool, &scope, key);
    let named = named.filter(|name| !name.is_empty() && *name != INTERNAL);
    let Some(named) = named.filter(|_| row.layer_stack.contains(&LayerKind::Drbd)) else {
        return Ok(BTreeMap::new());
    };
    let pool = StoragePoolName::parse(named).ok();
    let pool = pool.and_then(|pool| model.pool(&row.node, &pool));
    let Some(pool) = pool.filter(|pool| pool.kind.has_backing_device()) else {
        let text = format!(
            "The storage pool '{}' for DRBD's metadata of resource '{}', volume number {number}, has no storage on node '{}'.",
            named.escape_debug(),
            definition.name,
            row.node
        );
        return Err(vec![
            Reply::new(code::FAIL_NOT_FOUND_STOR_POOL, text)
                .correction(format!(
                    "Create the storage pool on the node, or set the property {key} to {INTERNAL}."
                ))
                .about("Node", row.node.as_str()),
        ]);
    };
    Ok(BTreeMap::from([(
        StorageSuffix::DrbdMeta,
        pool.name.clone(),
    )]))
}

/// The value of `StorPoolNameDrbdMeta` for internal metadata.
const INTERNAL: &str = ".internal";

fn default(name: &str) -> StoragePoolName {
    StoragePoolName::parse(name).expect("the names of default pools are names")
}

/// What names a pool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Request,
    Property,
    Default,
}

fn missing(
    definition: &ResourceDefinition,
    row: &Resource,
    number: u32,
    pool: &StoragePoolName,
    origin: Origin,
) -> Vec<Reply> {
    // LINSTOR counts every pool that the request does not name as a default.
    let (ret_code, what) = match origin {
        Origin::Default => (code::FAIL_NOT_FOUND_DFLT_STOR_POOL, "default storage pool"),
        Origin::Property => (code::FAIL_NOT_FOUND_DFLT_STOR_POOL, "storage pool"),
        Origin::Request => (code::FAIL_NOT_FOUND_STOR_POOL, "storage pool"),
    };
    let text = format!(
        "The {what} '{pool}' for resource '{}' for volume number '{number}' is not deployed on node '{}'.",
        definition.name, row.node
    );
    let reply = Reply::new(ret_code, text)
        .about("Node", row.node.as_str())
        .about("StorPoolDfn", pool.as_str())
        .correction(format!(
            "Create the storage pool on the node, or name another one (property {}).",
            prop::STOR_POOL_NAME
        ));
    vec![match origin {
        Origin::Default => {
            reply.cause("No other storage pool was named by the request or by a property.")
        }
        Origin::Property => reply.cause(format!("The property {} names it.", prop::STOR_POOL_NAME)),
        Origin::Request => reply,
    }]
}
