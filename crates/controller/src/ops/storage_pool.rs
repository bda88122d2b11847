//! Storage pools: the parts of nodes' storage that volumes are made of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use linstor_api::kind::ProviderKind;
use linstor_api::properties::{Properties, PropertiesModify};
use linstor_api::reply::{Reply, UNNAMED};
use linstor_api::storage_pool::StoragePool as Json;
use linstor_api::{code, prop};
use linstor_model::model::{DEFAULT_DISKLESS_POOL, RowKey};
use linstor_model::name::{NodeName, StoragePoolName};
use linstor_model::{Model, Observed, storage_pool, watermark};
use linstor_model::{Props, StoragePool, StoragePoolDefinition};
use tokio::time::Instant;
use uuid::Uuid;

use super::filter::{Names, PropFilter};
use super::property::{self, Owner};
use super::reply::{deleted, exists, modified, not_carried_out, nothing_to_delete, registered};
use super::request::{Context, Wait};
use super::{name, snapshot, storage_pool_definition};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// How long a call waits for reports of space.
pub(super) const WAIT_SPACE: Duration = Duration::from_secs(15);

pub(super) fn label(node: &NodeName, pool: &StoragePoolName) -> String {
    format!("storage pool '{pool}' on node '{node}'")
}

fn context(mask: i64, node: &str, pool: &str) -> Context {
    let object = format!("Node: '{node}', Storage pool name: '{pool}'");
    Context::new(code::MASK_STOR_POOL | mask, object)
        .about("Node", node)
        .about("StorPoolDfn", pool)
}

/// A pool as answers show it.
pub fn show(model: &Model, pool: &StoragePool, observed: &Observed) -> Json {
    let seen = observed.pools.get(&(pool.node.clone(), pool.name.clone()));
    let capacity = |kib: Option<u64>| match pool.kind {
        ProviderKind::Diskless => Some(i64::MAX),
        _ => kib.and_then(|kib| i64::try_from(kib).ok()),
    };
    let mut reports = Vec::new();
    if let Some(problem) = seen.and_then(|seen| seen.status.problem.clone()) {
        reports.append(&mut crate::wait::of_satellite(&pool.node, &[problem]));
    }
    reports.extend(seen.and_then(|seen| watermark::warning(model, pool, &seen.status)));
    if !observed.is_online(&pool.node) {
        reports.push(crate::wait::not_connected(&pool.node));
    }
    let snapshots = observed.supports_snapshots(pool);
    let own = format!("{};{}", pool.node, pool.name);
    let mut traits = Properties::from([(
        prop::TRAIT_SUPPORTS_SNAPSHOTS.to_owned(),
        snapshots.to_string(),
    )]);
    if pool.kind.has_backing_device() {
        let provisioning = if pool.kind.is_thin() { "Thin" } else { "Fat" };
        traits.insert(prop::TRAIT_PROVISIONING.to_owned(), provisioning.to_owned());
    }
    let mut props = pool.props.clone();
    if let Some(kib) = granularity_kib(pool) {
        let key = prop::STOR_DRIVER_ALLOCATION_GRANULARITY.to_owned();
        props.insert(key, kib.to_string());
    }
    Json {
        storage_pool_name: pool.name.to_string(),
        node_name: Some(pool.node.to_string()),
        provider_kind: pool.kind.into(),
        props,
        static_traits: traits,
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

/// What volumes of a pool are multiples of, in KiB: as the satellite reports it, else the usual one of its provider.
pub(super) fn granularity_kib(pool: &StoragePool) -> Option<u64> {
    pool.granularity_kib.or(match pool.kind {
        ProviderKind::Lvm | ProviderKind::LvmThin => Some(4096),
        ProviderKind::File | ProviderKind::FileThin => Some(1),
        _ => None,
    })
}

/// The pools that the filters leave, by name, then node. Nodes have to exist; other names that do not exist match nothing.
pub fn view(
    cluster: &Cluster,
    nodes: Vec<String>,
    pools: Vec<String>,
    props: Vec<String>,
) -> Result<Vec<Json>, Refusal> {
    let model = cluster.model();
    let nodes = Names::parse(nodes, |node| {
        name::known_node(&model, &name::node(node)?).map(|_| ())
    })?;
    let pools = Names::parse(pools, name::pool)?;
    let mut rows = list(cluster, &nodes, &pools, &PropFilter::new(props));
    rows.sort_by_cached_key(|row| row.storage_pool_name.to_ascii_uppercase());
    Ok(rows)
}

/// The pools that the filters leave.
fn list(cluster: &Cluster, nodes: &Names, pools: &Names, props: &PropFilter) -> Vec<Json> {
    let (model, observed) = (cluster.model(), cluster.observed());
    let wanted = model.pools.values().filter(|pool| {
        nodes.wants(pool.node.as_str())
            && pools.wants(pool.name.as_str())
            && props.meets(&pool.props)
    });
    wanted.map(|pool| show(&model, pool, &observed)).collect()
}

/// All pools of a node.
pub fn list_of(cluster: &Cluster, node: &str) -> Result<Vec<Json>, Refusal> {
    let node = name::node(node)?;
    let (model, observed) = (cluster.model(), cluster.observed());
    name::known_node(&model, &node)?;
    Ok(model
        .pools_of(&node)
        .map(|pool| show(&model, pool, &observed))
        .collect())
}

/// One pool of a node.
pub fn one(cluster: &Cluster, node: &str, pool: &str) -> Result<Json, Refusal> {
    let (node, pool) = (name::node(node)?, name::pool(pool)?);
    let model = cluster.model();
    let row = name::known_pool(&model, &node, &pool)?;
    Ok(show(&model, row, &cluster.observed()))
}

/// Registers a storage pool of a node, and queries its space from the node.
pub async fn create(cluster: &Cluster, node: String, mut request: Json) -> Vec<Reply> {
    property::name_place_of_pool(&mut request.props);
    let given = Some(request.storage_pool_name.as_str()).filter(|name| !name.is_empty());
    let context = context(code::MASK_CRT, &node, given.unwrap_or(UNNAMED));
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

/// The kind of pool that a request names; refused without the call's bits, as the contract has it.
pub fn kind(given: &str) -> Result<ProviderKind, Reply> {
    given.parse().map_err(|error| {
        let reply = match given {
            "" => Reply::new(code::FAIL_INVLD_LAYER_KIND, "No provider kind is given."),
            _ => Reply::new(code::FAIL_INVLD_LAYER_KIND, format!("{error}.")),
        };
        let known = ProviderKind::WORDS.join(", ");
        reply
            .cause("The provider kind is not known.")
            .correction(format!("Use one of {known}."))
            .plain()
    })
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

/// What the node reports of a pool that is new or was changed, as entries of an answer. Its space is known then.
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
    let what = label(node, pool);
    if replies.is_empty() {
        let applied = Reply::new(code::MODIFIED, format!("Changes applied to {what}"));
        replies = crate::wait::of_satellite(node, &[applied]);
        let updated = format!("Storage pool updated on '{node}'");
        replies.push(Reply::new(code::MODIFIED, updated));
    } else if replies.iter().any(Reply::is_error) {
        replies.push(not_carried_out(&what));
    }
    replies
}

pub(super) fn parse(node: &str, request: &Json, uuid: Uuid) -> Result<StoragePool, Refusal> {
    let node = name::node(node)?;
    let name = name::pool(&request.storage_pool_name)?;
    let kind = kind(&request.provider_kind)?;
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
        ProviderKind::Lvm
        | ProviderKind::File
        | ProviderKind::FileThin
        | ProviderKind::Diskless
        | ProviderKind::RemoteSpdk => Ok(()),
        _ => refuse(
            format!("Pools of kind {kind} cannot share their space with other nodes."),
            "Use a volume group on a shared device (LVM), or a shared file system (FILE).",
        ),
    }
}

fn add(tx: &mut Transaction<'_>, mut pool: StoragePool, props: Properties) -> Result<(), Refusal> {
    let node = name::known_node(tx, &pool.node)?;
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
        let what = label(&pool.node, &pool.name);
        return Err(exists(code::FAIL_EXISTS_STOR_POOL, &what).into());
    }
    check_supported(tx, &tx.observed, &pool)?;
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
    tx.reply(registered(&label(&pool.node, &pool.name), pool.uuid));
    tx.put_storage_pool(pool);
    Ok(())
}

/// Kinds of pools that need no program on the node, so that every satellite offers them.
pub const WITHOUT_TOOLS: [ProviderKind; 4] = [
    ProviderKind::Diskless,
    ProviderKind::RemoteSpdk,
    ProviderKind::EbsInit,
    ProviderKind::EbsTarget,
];

fn offered<'a>(model: &'a Model, pool: &StoragePool) -> &'a [ProviderKind] {
    let host = model.node(&pool.node).and_then(|node| node.host.as_ref());
    host.map_or(&[], |host| &host.providers)
}

fn check_supported(model: &Model, observed: &Observed, pool: &StoragePool) -> Result<(), Refusal> {
    let status = observed.nodes.get(&pool.node);
    let info = status.and_then(|status| status.info.as_deref());
    match pool.kind {
        ProviderKind::Diskless => return Ok(()),
        ProviderKind::EbsInit | ProviderKind::EbsTarget => {
            let message = format!("The storage pool '{}' names no EBS remote.", pool.name);
            return Err(Reply::new(code::FAIL_INVLD_PROP, message)
                .cause("A pool of this kind is on an EBS remote, which this version cannot use.")
                .correction("Use another kind of storage pool.")
                .into());
        }
        kind if info.is_some_and(|info| info.providers.contains(&kind)) => return Ok(()),
        // Since the controller started the node was not connected: what it offered before counts.
        kind if info.is_none() && offered(model, pool).contains(&kind) => return Ok(()),
        _ => {}
    }
    let why = match info {
        Some(info) => info.unsupported_providers.get(&pool.kind),
        None => None,
    };
    let cause = match (info, why) {
        (_, Some(why)) => why.join("\n"),
        (Some(_), None) => "It has no driver for it.".to_owned(),
        (None, None) => {
            "It was never connected, so that it is not known what it can do.".to_owned()
        }
    };
    Err(Reply::new(
        code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER,
        format!(
            "Satellite '{}' does not support the provider {}.",
            pool.node, pool.kind
        ),
    )
    .cause(cause)
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
        let (node, pool) = (name::node(&node)?, name::pool(&pool)?);
        let target = (node.clone(), pool.clone());
        let committed = cluster.commit(move |tx| {
            name::known_node(tx, &target.0)?;
            storage_pool_definition::known(tx, &target.1)?;
            let mut row = StoragePool::clone(name::known_pool(tx, &target.0, &target.1)?);
            tx.replies(property::apply(
                Owner::StoragePool,
                &mut row.props,
                &change,
            )?);
            tx.reply(modified(&label(&row.node, &row.name), row.uuid));
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
    let parse = || Ok((name::node(&node)?, name::pool(&pool)?));
    context(code::MASK_DEL, &node, &pool)
        .change(cluster, parse, remove)
        .await
}

fn remove(
    tx: &mut Transaction<'_>,
    (node, pool): (NodeName, StoragePoolName),
) -> Result<Wait, Refusal> {
    let (node, pool) = (&node, &pool);
    if pool.as_str().eq_ignore_ascii_case(DEFAULT_DISKLESS_POOL) {
        return Err(Reply::new(
            code::FAIL_INVLD_STOR_POOL_NAME,
            format!("The default {} cannot be deleted.", label(node, pool)),
        )
        .cause("Diskless resources need it.")
        .correction("Leave it; it takes no space.")
        .into());
    }
    let Some(row) = tx.pool(node, pool).cloned() else {
        return Err(nothing_to_delete(
            tx,
            &RowKey::StoragePool(node.clone(), pool.clone()),
            &label(node, pool),
        )
        .into());
    };
    let volumes = volumes_in(tx, node, pool);
    if !volumes.is_empty() {
        return Err(Reply::new(
            code::FAIL_IN_USE,
            format!(
                "The specified {} cannot be deleted as volumes or snapshots are in it.",
                label(node, &row.name)
            ),
        )
        .cause("Their data would be lost.")
        .details(format!(
            "Volumes and snapshots that are still using the storage pool:\n{}",
            volumes.join("\n")
        ))
        .correction("Delete the listed volumes and snapshots first.")
        .into());
    }
    storage_pool::remove(tx, node, pool);
    tx.reply(deleted(&label(&row.node, &row.name), row.uuid));
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
    volumes.extend(snapshot::in_pool(model, node, pool));
    volumes
}
