//! Resources of one definition in storage pools that share their space: their volumes exist once, and one resource at a
//! time may be active.

use std::collections::BTreeSet;
use std::sync::Arc;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_wire::spec::SharedStorage;
use uuid::Uuid;

use super::Resource;
use crate::ResourceDefinition;
use crate::model::Model;
use crate::observed::Observed;

/// Names of the shared spaces that a resource has volumes in, those of a disk that is being removed included.
fn spaces<'a>(model: &'a Model, row: &Resource) -> BTreeSet<&'a str> {
    let own = row.volumes.values().flat_map(|volume| volume.pools());
    let removed = model.removed_storage(row).into_iter().flatten();
    let pools = own.chain(removed.map(|(_, pool)| pool));
    pools
        .filter_map(|pool| model.pool(&row.node, pool)?.shared_name.as_deref())
        .collect()
}

/// The other resources of the definition that have the same volumes.
pub fn siblings<'a>(model: &'a Model, row: &Resource) -> Vec<&'a Arc<Resource>> {
    let own = spaces(model, row);
    if own.is_empty() {
        return Vec::new();
    }
    let others = model.resources_of(&row.name);
    others
        .filter(|other| other.node != row.node && !spaces(model, other).is_disjoint(&own))
        .collect()
}

/// Whose mark the backing volumes of a resource carry: that of its definition if another node's resource may come to
/// use them, its own otherwise.
pub fn owner(model: &Model, row: &Resource) -> Uuid {
    let definition = model.definitions.get(&row.name);
    let is_shared = !spaces(model, row).is_empty();
    let shared = definition.filter(|_| is_shared).map(|row| row.uuid);
    shared.unwrap_or(row.uuid)
}

/// What the node has to know of it; none where no space is shared.
pub(crate) fn spec(
    model: &Model,
    definition: &ResourceDefinition,
    row: &Resource,
) -> Option<SharedStorage> {
    (!spaces(model, row).is_empty()).then(|| SharedStorage {
        owner: definition.uuid,
        keep: keeps_storage(model, row),
    })
}

/// Whether the volumes are still there when the resource is destroyed, because another one has them. Of resources that
/// are deleted at the same time, the last one by name of its node destroys them.
pub(crate) fn keeps_storage(model: &Model, row: &Resource) -> bool {
    let mut others = siblings(model, row).into_iter();
    others.any(|other| !model.is_deleting(other) || other.node > row.node)
}

/// The resources that must be gone before this one destroys the volumes: they may still have them open.
pub(crate) fn awaited<'a>(model: &'a Model, row: &Resource) -> Vec<&'a Arc<Resource>> {
    match keeps_storage(model, row) {
        true => Vec::new(),
        false => siblings(model, row),
    }
}

/// Whether another resource stands for its volumes in DRBD: the active one, or the first by name of its node. They have
/// one node id, as they have one set of metadata.
pub(crate) fn is_represented(model: &Model, row: &Resource) -> bool {
    let mut others = siblings(model, row).into_iter();
    others.any(|other| {
        (other.inactive, model.is_deleting(other), &other.node)
            < (row.inactive, model.is_deleting(row), &row.node)
    })
}

/// Refuses to activate a resource while another one may have the same volumes open.
pub fn check_activation(model: &Model, observed: &Observed, row: &Resource) -> Result<(), Reply> {
    let refuse = |cause: String, correction: String| {
        let message = format!(
            "Resource '{}' on node '{}' cannot be activated.",
            row.name, row.node
        );
        Reply::new(
            code::FAIL_ONLY_ONE_ACT_RSC_PER_SHARED_STOR_POOL_ALLOWED,
            message,
        )
        .cause(cause)
        .details("One resource at a time may be active in a shared storage pool.")
        .correction(correction)
    };
    for other in siblings(model, row) {
        let (name, node) = (&other.name, &other.node);
        if !other.inactive {
            return Err(refuse(
                format!("The resource on node '{node}' is active in the same shared storage pool."),
                format!("Deactivate it first: 'linstor resource deactivate {node} {name}'."),
            ));
        }
        if !is_released(observed, other) {
            return Err(refuse(
                format!(
                    "Node '{node}' has not reported yet that the devices of its resource, which is in the same shared \
                     storage pool, are down."
                ),
                format!(
                    "Try again once it has; if the node will not come back, 'linstor node lost {node}' removes it."
                ),
            ));
        }
    }
    Ok(())
}

/// Whether an inactive resource has no device open: it never was active, or its node has reported that it is down.
fn is_released(observed: &Observed, row: &Resource) -> bool {
    row.inactive_since == 0
        || observed
            .applied_since(&row.name, &row.node, row.uuid, row.inactive_since)
            .is_some_and(|applied| applied.outcome == linstor_wire::status::Outcome::Done)
}
