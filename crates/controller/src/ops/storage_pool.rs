//! Storage pools: the parts of nodes' storage that volumes are made of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use linstor_api::kind::ProviderKind;
use linstor_api::properties::{Properties, PropertiesModify};
use linstor_api::reply::Reply;
use linstor_api::storage_pool::StoragePool as Json;
use linstor_api::{code, prop};
use linstor_model::model::{DEFAULT_DISKLESS_POOL, RowKey};
use linstor_model::name::{NodeName, StoragePoolName};
use linstor_model::{Model, Observed, storage_pool};
use linstor_model::{Props, StoragePool, StoragePoolDefinition};
use tokio::time::Instant;
use uuid::Uuid;

use super::filter::{Names, PropFilter};
use super::names;
use super::property::{self, Owner};
use super::reply::{deleted, exists, modified, nothing_to_delete, registered};
use super::request::{Context, Wait};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How long a call waits for reports of space.
pub(super) const WAIT_SPACE: Duration = Duration::from_secs(15);

fn describe(node: &NodeName, pool: &StoragePoolName) -> String {
    format!("storage pool '{pool}' on node '{node}'")
}

fn context(mask: i64, node: &str, pool: &str) -> Context {
    let object = format!("Node: '{node}', Storage pool name: '{pool}'");
    Context::new(code::MASK_STOR_POOL | mask, object)
        .about("Node", node)
        .about("StorPoolDfn", pool)
}

/// A pool as answers show it.
pub fn show(pool: &StoragePool, observed: &Observed) -> Json {
    let seen = observed.pools.get(&(pool.node.clone(), pool.name.clone()));
    let capacity = |kib: Option<u64>| match pool.kind {
        ProviderKind::Diskless => Some(i64::MAX),
        _ => kib.and_then(|kib| i64::try_from(kib).ok()),
    };
    let mut reports = Vec::new();
    if let Some(problem) = seen.and_then(|seen| seen.status.problem.clone()) {
        reports.append(&mut crate::wait::of_satellite(&pool.node, &[problem]));
    }
    if !observed.is_online(&pool.node) {
        reports.push(crate::wait::not_connected(&pool.node));
    }
    let provisioning = if pool.kind.is_thin() { "Thin" } else { "Fat" };
    let snapshots = pool.kind.supports_snapshots();
    let own = format!("{};{}", pool.node, pool.name);
    Json {
        storage_pool_name: pool.name.to_string(),
        node_name: Some(pool.node.to_string()),
        provider_kind: pool.kind.into(),
        props: pool.props.clone(),
        static_traits: [
            (prop::TRAIT_PROVISIONING.to_owned(), provisioning.to_owned()),
            (
                prop::TRAIT_SUPPORTS_SNAPSHOTS.to_owned(),
                snapshots.to_string(),
            ),
        ]
        .into(),
        free_capacity: capacity(seen.and_then(|seen| seen.status.free_kib)),
        total_capacity: capacity(seen.and_then(|seen| seen.status.total_kib)),
        free_space_mgr_name: Some(pool.shared_name.clone().unwrap_or(own)),
        uuid: Some(pool.uuid.to_string()),
        reports,
        supports_snapshots: Some(snapshots),
        shared_space: None,
        external_locking: pool.external_locking,
    }
}

/// The pools that the filters leave.
pub fn list(cluster: &Cluster, nodes: &Names, pools: &Names, props: &PropFilter) -> Vec<Json> {
    let (model, observed) = (cluster.model(), cluster.observed());
    let wanted = model.pools.values().filter(|pool| {
        nodes.wants(pool.node.as_str())
            && pools.wants(pool.name.as_str())
            && props.meets(&pool.props)
    });
    wanted.map(|pool| show(pool, &observed)).collect()
}

/// All pools of a node.
pub fn list_of(cluster: &Cluster, node: &str) -> Result<Vec<Json>, Refusal> {
    let node = names::node(node)?;
    let (model, observed) = (cluster.model(), cluster.observed());
    names::known_node(&model, &node)?;
    Ok(model
        .pools_of(&node)
        .map(|pool| show(pool, &observed))
        .collect())
}

/// One pool of a node.
pub fn one(cluster: &Cluster, node: &str, pool: &str) -> Result<Json, Refusal> {
    let (node, pool) = (names::node(node)?, names::pool(pool)?);
    let model = cluster.model();
    let row = names::known_pool(&model, &node, &pool)?;
    Ok(show(row, &cluster.observed()))
}

/// Tells the cluster of a pool that a node has, and asks the node how large it is.
pub async fn create(cluster: &Cluster, node: String, mut request: Json) -> Vec<Reply> {
    property::name_place_of_pool(&mut request.props);
    let context = context(code::MASK_CRT, &node, &request.storage_pool_name);
    let work = async {
        let pool = parse(&node, &request, cluster.env().uuid())?;
        let (node, name) = (pool.node.clone(), pool.name.clone());
        let committed = cluster
            .commit(move |tx| add(tx, pool, request.props))
            .await?;
        let mut replies = committed.replies;
        replies.append(&mut applied(cluster, &node, &name, committed.generation).await);
        Ok(replies)
    };
    context.run(work).await
}

/// Reports of space that are not older than this are as good as new ones, in milliseconds: what was reserved since is
/// known here, and only what is written into thin volumes meanwhile is not.
const FRESH_MS: u64 = 5_000;
/// How long no pool's report is checked for its age after all were, in milliseconds: with thousands of pools that would be
/// most of the work of a spawn.
const CHECK_MS: u64 = 1_000;

/// Asks the nodes whose thin pools were not reported for a while for a report.
pub(super) async fn refresh_thin(cluster: &Cluster) {
    let checked = &cluster.shared.thin_space_checked;
    let now = cluster.env().now_ms();
    if now.abs_diff(checked.load(Ordering::Relaxed)) < CHECK_MS {
        return;
    }
    let (model, observed) = (cluster.model(), cluster.observed());
    let stale = |pool: &&Arc<StoragePool>| {
        let seen = observed.pools.get(&(pool.node.clone(), pool.name.clone()));
        pool.kind.is_thin()
            && pool.kind != ProviderKind::Diskless
            && observed.is_online(&pool.node)
            && seen.is_none_or(|seen| now.saturating_sub(seen.at) > FRESH_MS)
    };
    let nodes = model
        .pools
        .values()
        .filter(stale)
        .map(|pool| pool.node.clone());
    let nodes: Vec<NodeName> = nodes.collect::<BTreeSet<_>>().into_iter().collect();
    if !nodes.is_empty() {
        cluster
            .refresh_space(&nodes, Instant::now() + WAIT_SPACE)
            .await;
    }
    // Only now: whoever comes while reports are under way waits for them too.
    checked.store(now, Ordering::Relaxed);
}

/// What the node reports of a pool that is new or was changed. Its space is known then.
async fn applied(
    cluster: &Cluster,
    node: &NodeName,
    pool: &StoragePoolName,
    generation: u64,
) -> Vec<Reply> {
    let deadline = Instant::now() + WAIT_SPACE;
    let mut replies = cluster.wait_node_applied(node, generation, deadline).await;
    // The node's other pools may have failed.
    replies.retain(|reply| {
        let about = reply.obj_refs.get("StorPoolDfn");
        about.is_none_or(|about| about.eq_ignore_ascii_case(pool.as_str()))
    });
    replies
}

fn parse(node: &str, request: &Json, uuid: Uuid) -> Result<StoragePool, Refusal> {
    let node = names::node(node)?;
    let name = names::pool(&request.storage_pool_name)?;
    let kind: ProviderKind = request.provider_kind.parse().map_err(|error| {
        Reply::new(code::FAIL_INVLD_STOR_DRIVER, format!("{error}."))
            .cause("The provider kind is not known.")
            .correction(format!("Use one of {}.", ProviderKind::WORDS.join(", ")))
    })?;
    let place = request.props.get(prop::STOR_DRIVER_STOR_POOL_NAME);
    if kind.has_backing_device() && place.is_none_or(|place| place.is_empty()) {
        return Err(Reply::new(
            code::FAIL_MISSING_PROPS,
            format!("The storage pool '{name}' lacks the place it is in."),
        )
        .cause(format!(
            "The property {} is not given.",
            prop::STOR_DRIVER_STOR_POOL_NAME
        ))
        .correction("Give the volume group, the thin pool, the data set or the directory.")
        .into());
    }
    let shared_name = request
        .shared_space
        .clone()
        .or_else(|| request.free_space_mgr_name.clone())
        .filter(|shared| !shared.is_empty() && !shared.contains(';'));
    if let Some(shared) = &shared_name {
        check_shared(kind, shared)?;
    }
    Ok(StoragePool {
        node,
        name,
        uuid,
        kind,
        props: Props::new(),
        shared_name,
        external_locking: request.external_locking,
        granularity_kib: None,
    })
}

fn check_shared(kind: ProviderKind, shared: &str) -> Result<(), Refusal> {
    let first = shared.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let refuse = |cause: String, correction: &str| {
        let shown: String = shared
            .chars()
            .take(64)
            .flat_map(char::escape_debug)
            .collect();
        let message = format!("The shared space name '{shown}' is invalid.");
        let reply = Reply::new(code::FAIL_INVLD_FREE_SPACE_MGR_NAME, message);
        Err(reply.cause(cause).correction(correction).into())
    };
    if !first || !shared.chars().all(inner) || shared.len() > 48 {
        let cause = "It has characters that are not allowed, or too many.".to_owned();
        return refuse(cause, "Use up to 48 letters, digits, '-', '_' and '.'.");
    }
    match kind {
        ProviderKind::Lvm | ProviderKind::Diskless | ProviderKind::RemoteSpdk => Ok(()),
        _ => refuse(
            format!("Pools of kind {kind} cannot share their space with other nodes."),
            "Use a volume group on a shared device (LVM).",
        ),
    }
}

fn add(tx: &mut Transaction<'_>, mut pool: StoragePool, props: Properties) -> Result<(), Refusal> {
    let node = names::known_node(tx, &pool.node)?;
    if !node.node_type.has_satellite() {
        return Err(Reply::new(
            code::FAIL_INVLD_STOR_DRIVER,
            format!("The node '{}' cannot have storage pools.", node.name),
        )
        .cause(format!(
            "It is of type {}, which has no satellite.",
            node.node_type
        ))
        .correction("Use a node of type SATELLITE or COMBINED.")
        .into());
    }
    if tx.pool(&pool.node, &pool.name).is_some() {
        let what = describe(&pool.node, &pool.name);
        return Err(exists(code::FAIL_EXISTS_STOR_POOL, &what).into());
    }
    check_supported(&tx.observed, &pool)?;
    pool.node = node.name.clone();
    let known = tx
        .pool_definitions
        .get(&pool.name)
        .map(|row| row.name.clone());
    match known {
        // All pools of a name show it as it was first written.
        Some(known) => pool.name = known,
        None => {
            let uuid = tx.uuid();
            tx.put_storage_pool_definition(StoragePoolDefinition {
                name: pool.name.clone(),
                uuid,
                props: Props::new(),
            });
        }
    }
    tx.replies(property::set(Owner::StoragePool, &mut pool.props, props)?);
    tx.reply(registered(&describe(&pool.node, &pool.name), pool.uuid));
    tx.put_storage_pool(pool);
    Ok(())
}

fn check_supported(observed: &Observed, pool: &StoragePool) -> Result<(), Refusal> {
    let info = observed
        .nodes
        .get(&pool.node)
        .and_then(|status| status.info.as_deref());
    let Some(info) = info else {
        return Ok(());
    };
    if !pool.kind.has_backing_device() || info.providers.contains(&pool.kind) {
        return Ok(());
    }
    let why = info.unsupported_providers.get(&pool.kind);
    Err(Reply::new(
        code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER,
        format!(
            "Satellite '{}' does not support the provider {}.",
            pool.node, pool.kind
        ),
    )
    .cause(why.map_or_else(
        || "It has no driver for it.".to_owned(),
        |why| why.join("\n"),
    ))
    .correction("Install what is missing on the node and reconnect it, or use another kind.")
    .into())
}

/// Changes a pool's properties.
pub async fn modify(
    cluster: &Cluster,
    node: String,
    pool: String,
    change: PropertiesModify,
) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &node, &pool);
    let work = async {
        let (node, pool) = (names::node(&node)?, names::pool(&pool)?);
        let target = (node.clone(), pool.clone());
        let committed = cluster.commit(move |tx| {
            let mut row = StoragePool::clone(names::known_pool(tx, &target.0, &target.1)?);
            tx.replies(property::apply(
                Owner::StoragePool,
                &mut row.props,
                &change,
            )?);
            tx.reply(modified(&describe(&row.node, &row.name), row.uuid));
            tx.put_storage_pool(row);
            Ok(())
        });
        let committed = committed.await?;
        let mut replies = committed.replies;
        if committed.changed {
            replies.append(&mut applied(cluster, &node, &pool, committed.generation).await);
        }
        Ok(replies)
    };
    context.run(work).await
}

/// Forgets a pool that nothing is in.
pub async fn delete(cluster: &Cluster, node: String, pool: String) -> Vec<Reply> {
    let parse = || Ok((names::node(&node)?, names::pool(&pool)?));
    context(code::MASK_DEL, &node, &pool)
        .change(cluster, parse, remove)
        .await
}

fn remove(
    tx: &mut Transaction<'_>,
    (node, pool): (NodeName, StoragePoolName),
) -> Result<Wait, Refusal> {
    let (node, pool) = (&node, &pool);
    names::known_node(tx, node)?;
    if pool.as_str().eq_ignore_ascii_case(DEFAULT_DISKLESS_POOL) {
        return Err(Reply::new(
            code::FAIL_INVLD_STOR_POOL_NAME,
            format!("The default {} cannot be deleted.", describe(node, pool)),
        )
        .cause("Diskless resources need it.")
        .correction("Leave it; it takes no space.")
        .into());
    }
    let Some(row) = tx.pool(node, pool).cloned() else {
        return Err(nothing_to_delete(
            tx,
            &RowKey::StoragePool(node.clone(), pool.clone()),
            &describe(node, pool),
        )
        .into());
    };
    let volumes = volumes_in(tx, node, pool);
    if !volumes.is_empty() {
        return Err(Reply::new(
            code::FAIL_IN_USE,
            format!(
                "The specified {} cannot be deleted as volumes are in it.",
                describe(node, &row.name)
            ),
        )
        .cause("Their data would be lost.")
        .details(format!(
            "Volumes that are still using the storage pool:\n{}",
            volumes.join("\n")
        ))
        .correction("Delete the listed volumes first.")
        .into());
    }
    storage_pool::remove(tx, node, pool);
    tx.reply(deleted(&describe(&row.node, &row.name), row.uuid));
    Ok(Wait::Nothing)
}

fn volumes_in(model: &Model, node: &NodeName, pool: &StoragePoolName) -> Vec<String> {
    let mut volumes = Vec::new();
    for resource in model.resources_on(node) {
        let own = resource
            .volumes
            .iter()
            .filter(|(_, volume)| volume.pools().any(|used| used == pool));
        volumes.extend(own.map(|(number, _)| format!("{}/{number}", resource.name)));
        let removed = model.removed_storage(resource).into_iter().flatten();
        let left = removed.filter(|(_, from)| *from == pool);
        volumes.extend(left.map(|(number, _)| format!("{}/{number}", resource.name)));
    }
    volumes
}
