//! Checks of a new resource or a new disk.

use std::sync::Arc;

use linstor_api::code;
use linstor_api::kind::{DrbdKind, LayerKind};
use linstor_api::prop;
use linstor_api::reply::Reply;

use crate::block_size;
use crate::layer::{self, drbd84};
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::place::{
    drbd_of,
    filter::{may_mix, mixes_extents},
    info_of,
};
use crate::props::{Purpose, Scope, effective, is_true};
use crate::space;
use crate::{DiskKind, Node, Resource, ResourceDefinition, StoragePool};

fn refuse<T>(reply: Reply) -> Result<T, Vec<Reply>> {
    Err(vec![reply])
}

/// The definition, if resources of it can be created.
pub(super) fn definition(
    model: &Model,
    name: &ResourceName,
) -> Result<Arc<ResourceDefinition>, Vec<Reply>> {
    let Some(definition) = model.definitions.get(name) else {
        let text = format!("Resource definition '{name}' not found.");
        return refuse(
            Reply::new(code::FAIL_NOT_FOUND_RSC_DFN, text).about("RscDfn", name.as_str()),
        );
    };
    if model.is_deleting_definition(definition) {
        let text = format!("Resource definition '{name}' is being deleted.");
        return refuse(
            Reply::new(code::FAIL_RSC_BUSY, text)
                .correction("Wait until it is deleted, or choose another name."),
        );
    }
    Ok(Arc::clone(definition))
}

/// Refuses while a backup is being restored to a definition, whose first resource is made of that, and where a clone has
/// failed: what is made now would be taken for the data of its source.
pub(super) fn not_restored(
    model: &Model,
    definition: &ResourceDefinition,
) -> Result<(), Vec<Reply>> {
    let name = &definition.name;
    let restored = model.restoration_of(name);
    let restored = restored.filter(|(_, of)| of.makes_resource);
    let (cause, correction) = match (restored, &definition.clone_failure) {
        (Some((_, of)), _) => (
            format!("The backup '{}' is being restored to it.", of.backup),
            "Wait until that is done, or abort it.",
        ),
        (None, Some(_)) => (
            "It was to be a clone, which has failed: it has no data.".to_owned(),
            "Delete it, or clone it again.",
        ),
        (None, None) => return Ok(()),
    };
    let text = format!("Resource definition '{name}' cannot have other resources yet.");
    refuse(
        Reply::new(code::FAIL_RSC_BUSY, text)
            .cause(cause)
            .correction(correction),
    )
}

/// The node, if it can have new resources.
pub(super) fn node(model: &Model, name: &NodeName) -> Result<Arc<Node>, Vec<Reply>> {
    let Some(node) = model.nodes.get(name) else {
        let text = format!("Node '{name}' not found.");
        return refuse(Reply::new(code::FAIL_NOT_FOUND_NODE, text).about("Node", name.as_str()));
    };
    let name = &node.name;
    if !node.node_type.has_satellite() {
        let text = format!(
            "Node '{name}' of type {} cannot have resources.",
            node.node_type
        );
        return refuse(Reply::new(code::FAIL_INVLD_NODE_TYPE, text).about("Node", name.as_str()));
    }
    let state = if model.is_deleting_node(name) {
        Some("being deleted")
    } else if node.evacuate {
        Some("being evacuated")
    } else if node.evicted {
        Some("evicted")
    } else {
        None
    };
    match state {
        Some(state) => refuse(
            Reply::new(
                code::FAIL_EVACUATING,
                format!("Node '{name}' is {state} and cannot have new resources."),
            )
            .correction(format!("Choose another node, or restore '{name}' first."))
            .about("Node", name.as_str()),
        ),
        None => Ok(Arc::clone(node)),
    }
}

/// Checks that the resource does not exist on the node.
pub(super) fn absent(
    model: &Model,
    definition: &ResourceDefinition,
    node: &Node,
) -> Result<(), Vec<Reply>> {
    let Some(replica) = model.resource(&definition.name, &node.name) else {
        return Ok(());
    };
    let text = format!(
        "Resource '{}' on node '{}' exists already.",
        definition.name, node.name
    );
    let reply = Reply::new(code::FAIL_EXISTS_RSC, text);
    refuse(match model.is_deleting(replica) {
        true => reply
            .cause("It is being deleted.")
            .correction("Wait until it is deleted."),
        false => reply,
    })
}

/// Checks that the node supports every layer, if it has reported its layers. A diskless resource has nothing to encrypt.
pub(super) fn layers(
    observed: &Observed,
    node: &Node,
    row: &Resource,
    disk: DiskKind,
) -> Result<(), Vec<Reply>> {
    let Some(info) = info_of(observed, &node.name) else {
        return Ok(());
    };
    for layer in &row.layer_stack {
        if info.layers.contains(layer) || (disk.is_diskless() && *layer == LayerKind::Luks) {
            continue;
        }
        let text = format!(
            "Satellite '{}' does not support the layer {layer}.",
            node.name
        );
        let reasons = info.unsupported_layers.get(layer);
        let cause = reasons.filter(|reasons| !reasons.is_empty()).map_or_else(
            || {
                "The satellite did not find the programs or kernel modules that the layer needs."
                    .to_owned()
            },
            |reasons| reasons.join("; "),
        );
        return refuse(
            Reply::new(code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER, text)
                .cause(cause)
                .about("Node", node.name.as_str()),
        );
    }
    Ok(())
}

/// Checks that DRBD can connect the new replica with the existing ones: one DRBD version for all, and with 8.4 two
/// diskful replicas.
pub(super) fn drbd(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    node: &Node,
    row: &Resource,
    disk: DiskKind,
) -> Result<(), Vec<Reply>> {
    let name = &definition.name;
    let no = |cause: &str| {
        let text = format!("Resource '{name}' cannot be on node '{}'.", node.name);
        refuse(
            Reply::new(code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER, text)
                .cause(cause)
                .about("Node", node.name.as_str()),
        )
    };
    if !row.layer_stack.contains(&LayerKind::Drbd) {
        return match disk.is_diskless() {
            true => no("Without the DRBD layer there are no diskless resources."),
            false => Ok(()),
        };
    }
    if definition.drbd.is_none() {
        return no("Its resource definition has no DRBD layer.");
    }
    for (number, volume) in &definition.volumes {
        let limits = layer::drbd::SIZE_KIB_MIN..=layer::drbd::SIZE_KIB_MAX;
        if !limits.contains(&volume.size_kib) {
            let text = format!(
                "Volume number {number} of resource '{name}' cannot be replicated with its size of {} KiB.",
                volume.size_kib
            );
            return refuse(
                Reply::new(code::FAIL_INVLD_VLM_SIZE, text)
                    .cause(format!(
                        "DRBD replicates volumes from {} KiB to {} KiB.",
                        limits.start(),
                        limits.end()
                    ))
                    .correction("Change the size of the volume definition."),
            );
        }
    }
    let kind = drbd_of(model, observed, &node.name).0;
    let others: Vec<_> = model
        .resources_of(name)
        .filter(|other| other.node != node.name && !model.is_deleting(other))
        .collect();
    let kinds = others
        .iter()
        .filter_map(|other| drbd_of(model, observed, &other.node).0);
    let kinds: Vec<DrbdKind> = kinds.chain(kind).collect();
    if let Some(cause) = drbd84::refuses_mix(kinds.iter().copied()) {
        return no(cause);
    }
    let on_84 = kinds.first().copied();
    if !drbd84::is_84(on_84) {
        return Ok(());
    }
    if disk.is_diskless() {
        return no(
            "DRBD 8.4 does not support diskless resources; they need DRBD 9 on all nodes of the resource.",
        );
    }
    let diskful = others.iter().filter(|other| !other.is_diskless()).count();
    if diskful + 1 > drbd84::REPLICAS_MAX {
        return no(
            "DRBD 8.4 connects at most two replicas; more need DRBD 9 on all nodes of the resource.",
        );
    }
    // One that is being deleted is a peer until another one is known to have its data.
    let leaving = model
        .resources_of(name)
        .find(|other| other.node != node.name && model.is_deleting(other));
    match leaving {
        Some(leaving) if diskful + 2 > drbd84::REPLICAS_MAX => no(&format!(
            "DRBD 8.4 connects at most two replicas, and the one on node '{}' is still being deleted.",
            leaving.node
        )),
        _ => Ok(()),
    }
}

/// Checks that the pools can be mixed with each other and with those of other replicas, and have enough space.
pub(super) fn pools(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    node: &Node,
    row: &Resource,
) -> Result<(), Vec<Reply>> {
    let pools: Vec<(u32, &Arc<StoragePool>)> = row
        .volumes
        .iter()
        .filter_map(|(number, volume)| Some((*number, model.pool(&node.name, &volume.pool)?)))
        .collect();
    if row.layer_stack.contains(&LayerKind::Drbd)
        && pools.iter().any(|(_, pool)| pool.kind.is_thin())
        && pools.iter().any(|(_, pool)| !pool.kind.is_thin())
    {
        let text = "Mixing thin and thick storage pools are not allowed";
        return refuse(
            Reply::new(code::FAIL_INVLD_STOR_DRIVER, text)
                .cause(
                    "The volumes of one replicated resource on one node must be all thin or all thick.",
                )
                .about("Node", node.name.as_str()),
        );
    }
    for (_, pool) in &pools {
        provider(observed, node, pool)?;
        block_size::check(model, observed, definition, pool)?;
    }
    mixing(model, observed, definition, node, &pools)?;
    let mut needed: Vec<(Arc<StoragePool>, u64)> = Vec::new();
    for number in row.volumes.keys() {
        for (pool, kib) in needs(model, definition, *number, row) {
            match needed.iter_mut().find(|(known, _)| known.name == pool.name) {
                Some((_, sum)) => *sum = sum.saturating_add(kib),
                None => needed.push((pool, kib)),
            }
        }
    }
    for (pool, size) in needed {
        space::check(model, observed, &pool, size)?;
    }
    Ok(())
}

/// The space that a volume of a diskful replica needs in each pool; the DRBD part of the row need not exist yet.
pub(super) fn needs(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    row: &Resource,
) -> Vec<(Arc<StoragePool>, u64)> {
    let mut diskful = row.clone();
    diskful.drbd = row
        .layer_stack
        .contains(&LayerKind::Drbd)
        .then(|| crate::DrbdResource {
            node_id: 0,
            ports: Vec::new(),
            peer_slots: row.drbd.as_ref().map_or_else(
                || crate::numbers::peer_slots(model, definition),
                |drbd| drbd.peer_slots,
            ),
            disk: DiskKind::Diskful,
            never_votes: false,
        });
    let backing = layer::backing(definition, number, &diskful);
    let found = backing.into_iter().filter_map(|(suffix, kib)| {
        let pool = row.volumes.get(&number)?.pool_of(suffix)?;
        Some((Arc::clone(model.pool(&row.node, pool)?), kib))
    });
    found.collect()
}

fn provider(observed: &Observed, node: &Node, pool: &StoragePool) -> Result<(), Vec<Reply>> {
    let Some(info) = info_of(observed, &node.name) else {
        return Ok(());
    };
    if info.providers.is_empty() || info.providers.contains(&pool.kind) {
        return Ok(());
    }
    let text = format!(
        "Satellite '{}' does not support the provider {}.",
        node.name, pool.kind
    );
    let reasons = info.unsupported_providers.get(&pool.kind);
    let reply = Reply::new(code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER, text);
    refuse(match reasons {
        Some(reasons) if !reasons.is_empty() => reply.cause(reasons.join("; ")),
        Some(_) | None => reply,
    })
}

fn mixing(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    node: &Node,
    pools: &[(u32, &Arc<StoragePool>)],
) -> Result<(), Vec<Reply>> {
    let scope = Scope::definition(definition);
    let key = prop::ALLOW_MIXING_STOR_POOL_DRIVER;
    let allowed = effective(model, Purpose::Policy, &scope, key).is_some_and(is_true);
    let copes = drbd_of(model, observed, &node.name)
        .1
        .is_some_and(mixes_extents);
    let others = model.resources_of(&definition.name).filter(|other| {
        other.node != node.name && !model.is_deleting(other) && !other.is_diskless()
    });
    for other in others {
        let theirs_copes = drbd_of(model, observed, &other.node)
            .1
            .is_some_and(mixes_extents);
        for (number, pool) in pools {
            let volume = other.volumes.get(number);
            let Some(theirs) = volume.and_then(|volume| model.pool(&other.node, &volume.pool))
            else {
                continue;
            };
            if may_mix((pool.kind, copes), (theirs.kind, theirs_copes), allowed) {
                continue;
            }
            let text = format!(
                "Storage provider {} on node '{}' cannot be mixed with {} on node '{}'.",
                pool.kind, node.name, theirs.kind, other.node
            );
            return refuse(
                Reply::new(code::FAIL_SP_MIXING_NOT_ALLOWED, text)
                    .cause("Pools of these providers round sizes differently.")
                    .correction(format!(
                        "Use a storage pool of the same kind, or, with DRBD from 9.1.18 or 9.2.7 on \
                         on all nodes, allow it with the property {key}."
                    )),
            );
        }
    }
    Ok(())
}

/// Checks that the metadata of every diskful replica has peer slots for all others.
pub(super) fn peer_slots(
    model: &Model,
    definition: &ResourceDefinition,
    row: &Resource,
) -> Result<(), Vec<Reply>> {
    if row.is_diskless() {
        return Ok(());
    }
    let mut replicas: Vec<&Resource> = model
        .resources_of(&definition.name)
        .map(|replica| &**replica)
        .filter(|other| other.node != row.node && !other.is_diskless() && !model.is_deleting(other))
        .collect();
    replicas.push(row);
    let peers = replicas.len() as u32 - 1;
    let full = replicas.iter().find_map(|replica| {
        replica
            .drbd
            .as_ref()
            .filter(|drbd| drbd.peer_slots < peers)
            .map(|drbd| (replica, drbd))
    });
    let Some((replica, drbd)) = full else {
        return Ok(());
    };
    refuse(
        Reply::new(
            code::FAIL_INSUFFICIENT_PEER_SLOTS,
            format!(
                "Resource '{}' on node '{}' has insufficient peer slots to add another peer",
                definition.name, replica.node
            ),
        )
        .cause(format!(
            "Its metadata has room for {} peers; {peers} would be needed.",
            drbd.peer_slots
        ))
        .details("The number of peer slots is set when a resource is created.")
        .correction(
            "Delete and create the resources again, one by one, with more peer slots (property PeerSlotsNewResource).",
        ),
    )
}
