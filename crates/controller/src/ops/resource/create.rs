//! Creating resources that a request names one by one, and what all who create resources share.

use linstor_api::flag::resource as flag;
use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::resource::ResourceCreate;
use linstor_api::{code, prop};
use linstor_model::name::{NodeName, ResourceName, StoragePoolName};
use linstor_model::process::delete_resource;
use linstor_model::resource::{GiveDisk, NewResource, give_disk, new_resource};
use linstor_model::stack;
use linstor_model::{DiskKind, Props, Resource, ResourceDefinition};

use super::super::property::{self, Owner};
use super::super::reply::{not_found, not_implemented, registered};
use super::super::request::{Context, Wait};
use super::super::{name, resource_definition};
use super::label;
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Creates a resource that a request names, with entries for it and its volumes.
pub(super) fn add(tx: &mut Transaction<'_>, new: NewResource) -> Result<NodeName, Refusal> {
    let row = add_placed(tx, new)?;
    tx.replies(registered_entries(&row));
    Ok(row.node)
}

/// Creates a resource. The first one decides the layers that its definition left open. The only entry is that of the
/// properties it was given.
pub(in super::super) fn add_placed(
    tx: &mut Transaction<'_>,
    new: NewResource,
) -> Result<Resource, Refusal> {
    let pool = new.pool.is_some().then_some(prop::STOR_POOL_NAME);
    let keys: Vec<&str> = pool
        .into_iter()
        .chain(new.props.keys().map(String::as_str))
        .collect();
    let keys = keys.join(",");
    let (row, warnings) =
        tx.plan(|draft, observed, seeds| new_resource(draft, observed, seeds, new))?;
    let definition = tx.definitions.get(&row.name);
    if definition.is_some_and(|definition| definition.layer_stack.is_empty()) {
        let layers = row.layer_stack.clone();
        tx.edit_resource_definition(&row.name, |definition| definition.layer_stack = layers);
    }
    if !keys.is_empty() {
        tx.reply(Reply::new(
            code::MASK_RSC | code::MASK_CRT | code::CREATED,
            format!("Successfully set property key(s): {keys}"),
        ));
    }
    for warning in warnings {
        tx.reply_once(warning);
    }
    Ok(row)
}

/// The entries of a new resource and of its volumes.
pub(super) fn registered_entries(row: &Resource) -> Vec<Reply> {
    let refs = |reply: Reply| {
        reply
            .about("Node", row.node.as_str())
            .about("RscDfn", row.name.as_str())
    };
    let what = label(&row.name, &row.node);
    let mut reply = refs(registered(&what, row.uuid));
    reply.ret_code |= code::MASK_RSC | code::MASK_CRT;
    let mut replies = vec![reply];
    for (number, volume) in &row.volumes {
        let message = format!("Volume with number '{number}' on {what} successfully registered");
        let reply = Reply::new(code::MASK_VLM | code::MASK_CRT | code::CREATED, message)
            .details(format!("Volume UUID is: {}", volume.uuid))
            .about("VlmNr", number.to_string())
            .about("UUID", volume.uuid.to_string());
        replies.push(refs(reply));
    }
    replies
}

/// Gives a diskless resource a disk.
pub(in super::super) fn add_disk(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    node: &NodeName,
    disk: GiveDisk,
) -> Result<(), Refusal> {
    tx.plan(|draft, observed, seeds| give_disk(draft, observed, seeds, name, node, disk))?;
    tx.reply(Reply::new(
        code::MASK_RSC | code::MASK_MOD | code::MODIFIED,
        format!("Addition of disk to {} registered", label(name, node)),
    ));
    Ok(())
}

/// The pool that a request names.
pub(super) fn named_pool(given: Option<&String>) -> Result<Option<StoragePoolName>, Refusal> {
    let named = given.filter(|name| !name.is_empty());
    named.map(|name| name::pool(name)).transpose()
}

/// A resource that a request asks for.
#[derive(Debug, Clone)]
struct Requested {
    node: NodeName,
    /// None when the request does not say what kind of disk.
    diskless: Option<DiskKind>,
    client: Option<bool>,
    inactive: bool,
    pool: Option<StoragePoolName>,
    props: Properties,
    layers: Option<Vec<LayerKind>>,
    /// The warning that the layers were extended.
    added: Option<Reply>,
    node_id: Option<i64>,
    ports: Vec<i64>,
}

/// Creates all resources of a request or none of them.
pub async fn create(cluster: &Cluster, name: String, requests: Vec<ResourceCreate>) -> Vec<Reply> {
    let parse = || {
        let name = name::resource(&name)?;
        let requested: Vec<Requested> = requests.iter().map(parse).collect::<Result<_, _>>()?;
        if requested.is_empty() {
            return Err(nothing_named("The request names no resource."));
        }
        Ok((name, requested))
    };
    Context::new(code::MASK_RSC | code::MASK_CRT, format!("Resource: {name}"))
        .about("RscDfn", &name)
        .fresh_space(true)
        .change(cluster, parse, add_all)
        .await
}

fn nothing_named(message: &str) -> Refusal {
    let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message);
    reply.correction("Name at least one node.").plain().into()
}

fn parse(request: &ResourceCreate) -> Result<Requested, Refusal> {
    let json = &request.resource;
    let Some(node) = &json.node_name else {
        return Err(nothing_named("A resource of the request names no node."));
    };
    name::known_flags(&flag::ALL, &json.flags).map_err(Refusal::plain)?;
    let bits = flag::ALL.bits_of(&json.flags);
    let has = |bit: u64| bits & bit == bit;
    if has(flag::NVME_INITIATOR) || has(flag::EBS_INITIATOR) {
        return Err(not_implemented("A diskless resource by NVMe or EBS").into());
    }
    if request.drbd_tcp_port_count.is_some_and(|count| count != 1) {
        return Err(not_implemented("A resource with several TCP ports").into());
    }
    let mut props = json.props.clone();
    let pool = named_pool(props.remove(prop::STOR_POOL_NAME).as_ref())?;
    let (layers, added) = stack::complete(stack::parse(&request.layer_list)?);
    let diskless = match () {
        () if has(flag::TIE_BREAKER) => Some(DiskKind::TieBreaker),
        () if has(flag::DISKLESS) => Some(DiskKind::Diskless),
        // A client needs no disk, unless one is named.
        () if request.drbd_client == Some(true) && pool.is_none() => Some(DiskKind::Client),
        () => None,
    };
    Ok(Requested {
        node: name::node(node)?,
        diskless: match (diskless, request.drbd_client) {
            (Some(DiskKind::Diskless), Some(true)) => Some(DiskKind::Client),
            (diskless, _) => diskless,
        },
        client: request.drbd_client,
        inactive: has(flag::INACTIVE),
        pool,
        props,
        layers: Some(layers).filter(|layers| !layers.is_empty()),
        added,
        node_id: request.drbd_node_id.map(i64::from),
        ports: request
            .drbd_tcp_ports
            .iter()
            .map(|port| i64::from(*port))
            .collect(),
    })
}

fn add_all(
    tx: &mut Transaction<'_>,
    (name, requested): (ResourceName, Vec<Requested>),
) -> Result<Wait, Refusal> {
    let definition = name::known_definition(tx, &name)?.clone();
    resource_definition::check_not_deleting(tx, &definition)?;
    let mut nodes = Vec::new();
    for wanted in requested {
        let node = name::known_node(tx, &wanted.node).map_err(Refusal::plain)?;
        let node = node.name.clone();
        check_pool(tx, &definition, &node, &wanted)?;
        match tx.resource(&name, &node).cloned() {
            Some(row) => change_existing(tx, &row, wanted, &mut nodes)?,
            None => {
                let mut props = Props::new();
                let replies = property::set(Owner::Resource, &mut props, wanted.props)?;
                // What is set is part of the entry about the new resource's properties.
                let warnings = replies
                    .into_iter()
                    .filter(|reply| !code::is_success(reply.ret_code));
                tx.replies(warnings.chain(wanted.added));
                let disk = wanted.diskless.unwrap_or(DiskKind::Diskful);
                let new = NewResource {
                    pool: wanted.pool,
                    props,
                    layer_stack: wanted.layers,
                    node_id: wanted.node_id,
                    ports: wanted.ports,
                    inactive: wanted.inactive,
                    ..NewResource::new(definition.name.clone(), node, disk)
                };
                let node = add(tx, new)?;
                tx.edit_resource(&name, &node, |row| {
                    if let Some(drbd) = &mut row.drbd {
                        drbd.never_votes = disk == DiskKind::Client;
                    }
                });
                nodes.push(node);
            }
        }
    }
    Ok(Wait::Deployed(name, nodes))
}

/// Checks that the pool that a request names exists somewhere, and that its layers can do without storage where the request
/// wants that.
fn check_pool(
    tx: &Transaction<'_>,
    definition: &ResourceDefinition,
    node: &NodeName,
    wanted: &Requested,
) -> Result<(), Refusal> {
    let mut diskless = wanted.diskless.is_some();
    if let Some(pool) = &wanted.pool {
        if !tx.pool_definitions.contains_key(pool) {
            let what = format!("storage pool definition '{pool}'");
            return Err(not_found(code::FAIL_NOT_FOUND_STOR_POOL_DFN, &what).into());
        }
        let row = tx.pool(node, pool);
        diskless |= row.is_some_and(|row| row.kind == ProviderKind::Diskless);
    }
    let layers = stack::of_new_resource(tx, definition, wanted.layers.as_deref());
    if !diskless || layers.contains(&LayerKind::Drbd) || layers.contains(&LayerKind::Nvme) {
        return Ok(());
    }
    let message = format!(
        "Resource '{}' cannot be diskless on node '{node}'.",
        definition.name
    );
    Err(Reply::new(code::FAIL_INVLD_LAYER_STACK, message)
        .cause("None of its layers supports resources without storage.")
        .correction("Name a storage pool with storage, or use the layers DRBD, STORAGE.")
        .into())
}

/// What a request means for a resource that exists already.
fn change_existing(
    tx: &mut Transaction<'_>,
    row: &Resource,
    wanted: Requested,
    nodes: &mut Vec<NodeName>,
) -> Result<(), Refusal> {
    let (name, node) = (&row.name, &row.node);
    let withdrawn = withdraw_deletion(tx, row)?;
    if withdrawn {
        let message = format!("Deletion of {} withdrawn", label(name, node));
        tx.reply(Reply::new(code::MODIFIED, message).about("Node", node.as_str()));
        nodes.push(node.clone());
    }
    if !row.is_diskless() {
        if !withdrawn {
            let message = format!("Resource '{name}' on node '{node}' already exists.");
            let reply = Reply::new(code::INFO_RSC_ALREADY_EXISTS, message);
            tx.reply(reply.about("Node", node.as_str()));
        }
        return Ok(());
    }
    if wanted.diskless.is_none() {
        let disk = GiveDisk {
            pool: wanted.pool,
            migrate_from: None,
            diskful_by: Some("user"),
        };
        add_disk(tx, name, node, disk)?;
        nodes.push(node.clone());
        return Ok(());
    }
    tx.edit_resource(name, node, |row| {
        if let Some(drbd) = &mut row.drbd {
            drbd.disk = match (wanted.client, drbd.disk) {
                (Some(true), _) => DiskKind::Client,
                (Some(false), _) | (None, DiskKind::TieBreaker) => DiskKind::Diskless,
                (None, disk) => disk,
            };
            drbd.never_votes = drbd.disk == DiskKind::Client && wanted.client == Some(true);
        }
    });
    Ok(())
}

/// Withdraws the deletion of a resource whose storage is still there. Returns whether it was being deleted.
pub(super) fn withdraw_deletion(tx: &mut Transaction<'_>, row: &Resource) -> Result<bool, Refusal> {
    let withdrawn = delete_resource::withdraw(tx, row);
    if withdrawn || !tx.is_deleting(row) {
        return Ok(withdrawn);
    }
    let message = format!("The {} is being deleted.", label(&row.name, &row.node));
    Err(Reply::new(code::FAIL_RSC_BUSY, message)
        .cause("Its storage is being removed, so that the deletion cannot be withdrawn any more.")
        .correction("Wait until it is deleted, then create it again.")
        .into())
}
