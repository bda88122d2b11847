//! Resources: creating one, making it diskful or diskless.
//!
//! Used for all new resources: explicit requests, placement, tie breakers. All checks are made here, before the draft
//! changes.

mod active;
mod checks;
mod disk;
mod pools;
mod restore;
mod row;
pub mod shared;
mod volumes;

use linstor_api::code;
use linstor_api::kind::{LayerKind, ProviderKind};
use linstor_api::prop;
use linstor_api::reply::Reply;
use uuid::Uuid;

pub use active::set_active;
pub use disk::{GiveDisk, give_disk};
pub use restore::{RenamedPools, prepare_restore, restore_resource};
pub use row::{DiskKind, DrbdResource, Resource, Volume, VolumeSource};
pub use volumes::add_volume;

use crate::draft::Draft;
use crate::layer::luks;
use crate::master_key::Key;
use crate::model::Model;
use crate::name::{NodeName, ResourceName, StoragePoolName};
use crate::observed::Observed;
use crate::{Node, Props, ResourceDefinition};
use crate::{numbers, stack};

/// The inputs of planning that are not in the model: the time, and identities of new objects.
pub struct Seeds<'a> {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Returns a new identity with each call.
    pub uuid: &'a mut dyn FnMut() -> Uuid,
    /// Fills bytes with random ones that cannot be predicted.
    pub fill: &'a mut dyn FnMut(&mut [u8]),
    /// The master key, while it is there.
    pub master_key: Option<&'a Key>,
}

/// A resource to create.
#[derive(Debug, Clone)]
pub struct NewResource {
    /// Name of its resource definition.
    pub name: ResourceName,
    /// Name of its node.
    pub node: NodeName,
    /// Diskful, or the kind of diskless resource.
    pub disk: DiskKind,
    /// The storage pool of all its volumes, if the request or the placement names one.
    pub pool: Option<StoragePoolName>,
    /// Its properties.
    pub props: Props,
    /// Its layers, if the request names them.
    pub layer_stack: Option<Vec<LayerKind>>,
    /// Its DRBD node id, if the request names one.
    pub node_id: Option<i64>,
    /// Its TCP ports, if the request names them.
    pub ports: Vec<i64>,
    /// It is created inactive.
    pub inactive: bool,
}

impl NewResource {
    /// A resource with default values except for its node and its disk.
    pub fn new(name: ResourceName, node: NodeName, disk: DiskKind) -> Self {
        NewResource {
            name,
            node,
            disk,
            pool: None,
            props: Props::new(),
            layer_stack: None,
            node_id: None,
            ports: Vec::new(),
            inactive: false,
        }
    }
}

/// Creates a resource with all its volumes, and updates the initial replica and the granularity of its definition.
///
/// Returns the row and replies in addition to that of the creation. Existing resources, even those being deleted, are
/// refused: the caller handles them.
pub fn new_resource(
    draft: &mut Draft,
    observed: &Observed,
    seeds: &mut Seeds<'_>,
    new: NewResource,
) -> Result<(Resource, Vec<Reply>), Vec<Reply>> {
    let definition = checks::definition(draft, &new.name)?;
    checks::not_restored(draft, &definition)?;
    let node = checks::node(draft, &new.node)?;
    checks::absent(draft, &definition, &node)?;
    let layer_stack = stack::of_new_resource(draft, &definition, new.layer_stack.as_deref());
    stack::check(&layer_stack)?;
    stack::check_buildable(&layer_stack)?;
    let mut row = blank_row(seeds, &definition, &node, layer_stack, &new);
    let wanted = pools::Wanted {
        named: new.pool.as_ref(),
        diskless: new.disk.is_diskless(),
    };
    let resolved = pools::resolve(draft, &definition, &row, &wanted)?;
    let disk = disk_kind(draft, &node, &resolved, new.disk);
    for (number, pool) in resolved {
        let extra_storage = match disk.is_diskless() {
            true => Default::default(),
            false => pools::extra(draft, &definition, &row, number)?,
        };
        let volume = Volume {
            uuid: (seeds.uuid)(),
            pool,
            extra_storage,
            unit_kib: 0,
            props: Props::new(),
            source: None,
        };
        row.volumes.insert(number, volume);
        volumes::set_unit(draft, &definition, number, &mut row);
    }
    checks::layers(observed, &node, &row, disk)?;
    checks::drbd(draft, observed, &definition, &node, &row, disk)?;
    if !disk.is_diskless() {
        checks::pools(draft, observed, &definition, &node, &row)?;
    }
    if row.layer_stack.contains(&LayerKind::Drbd) {
        let sibling = shared::siblings(draft, &row).into_iter();
        let node_id = sibling
            .filter_map(|other| Some(other.drbd.as_ref()?.node_id))
            .next();
        row.drbd = Some(drbd(
            draft,
            observed,
            &definition,
            &node,
            &new,
            disk,
            node_id,
        )?);
        checks::peer_slots(draft, &definition, &row)?;
    }
    let mut replies = Vec::new();
    if !disk.is_diskless() && shared::check_activation(draft, observed, &row).is_err() {
        row.inactive = true;
        replies.push(deactivated(&row));
    }
    luks::generate_keys(draft, seeds, &row)?;
    draft.put_resource(row.clone());
    volumes::note_replica(draft, observed, &row);
    replies.extend(warnings(draft, &definition));
    Ok((row, replies))
}

fn blank_row(
    seeds: &mut Seeds<'_>,
    definition: &ResourceDefinition,
    node: &Node,
    layer_stack: Vec<LayerKind>,
    new: &NewResource,
) -> Resource {
    let mut props = new.props.clone();
    if let Some(pool) = &new.pool {
        props.insert(prop::STOR_POOL_NAME.to_owned(), pool.to_string());
    }
    Resource {
        node: node.name.clone(),
        name: definition.name.clone(),
        uuid: (seeds.uuid)(),
        created_at: seeds.now_ms,
        layer_stack,
        props,
        drbd: None,
        volumes: Default::default(),
        inactive: new.inactive,
        inactive_since: 0,
    }
}

/// A pool without storage requests a diskless resource, whatever the other parameters.
fn disk_kind(
    model: &Model,
    node: &Node,
    pools: &std::collections::BTreeMap<u32, StoragePoolName>,
    asked: DiskKind,
) -> DiskKind {
    let diskless = pools.values().any(|pool| {
        model
            .pool(&node.name, pool)
            .is_some_and(|pool| pool.kind == ProviderKind::Diskless)
    });
    match asked {
        DiskKind::Diskful if diskless => DiskKind::Diskless,
        DiskKind::Diskful | DiskKind::Diskless | DiskKind::TieBreaker | DiskKind::Client => asked,
    }
}

fn drbd(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    node: &Node,
    new: &NewResource,
    disk: DiskKind,
    of_sibling: Option<u32>,
) -> Result<DrbdResource, Vec<Reply>> {
    let node_id = match (of_sibling, new.node_id) {
        // It is in the metadata, which they share.
        (Some(id), _) => id,
        (None, Some(asked)) => numbers::check_node_id(model, &definition.name, asked)?,
        (None, None) => numbers::allocate_node_id(model, &definition.name)?,
    };
    let mut ports = Vec::new();
    for asked in &new.ports {
        ports.push(numbers::check_port(
            model,
            &node.name,
            &definition.name,
            *asked,
        )?);
    }
    if ports.is_empty() {
        let unusable = observed.unusable_ports(&node.name);
        ports.push(numbers::allocate_port(
            model, &node.name, definition, &unusable,
        )?);
    }
    let own = new
        .props
        .get(prop::PEER_SLOTS)
        .and_then(|text| text.trim().parse().ok());
    let own = own.filter(|slots| numbers::PEER_SLOTS.contains(slots));
    Ok(DrbdResource {
        node_id,
        ports,
        peer_slots: own.unwrap_or_else(|| numbers::peer_slots(model, definition)),
        disk,
        never_votes: false,
    })
}

fn deactivated(row: &Resource) -> Reply {
    let text = format!(
        "Resource '{}' on node '{}' is created inactive.",
        row.name, row.node
    );
    Reply::new(code::WARN_RSC_DEACTIVATED, text)
        .cause("Another active resource of the definition is in the same shared storage pool.")
        .correction("Deactivate that one first to activate this one.")
}

/// Replies about a definition whose resources are not usable.
fn warnings(model: &Model, definition: &ResourceDefinition) -> Option<Reply> {
    let name = &definition.name;
    if definition.volumes.is_empty() {
        let text = format!("No volumes have been defined for resource '{name}'");
        return Some(Reply::new(code::WARN_NOT_FOUND, text));
    }
    let all_diskless = model
        .resources_of(name)
        .filter(|replica| !model.is_deleting(replica))
        .all(|replica| {
            replica
                .drbd
                .as_ref()
                .is_some_and(|drbd| drbd.disk.is_diskless())
        });
    all_diskless.then(|| {
        Reply::new(
            code::WARN_ALL_DISKLESS,
            format!("Resource '{name}' has only diskless replicas."),
        )
        .cause("There is no diskful replica, so there is no data.")
        .correction("Create a diskful resource.")
    })
}

#[cfg(test)]
mod tests;
