//! Phases: changes that take longer than one commit, moved on by what nodes report.
//!
//! The phase is a field of the row; [`crate::project`] turns it into specs; [`advance`] looks at what nodes observed
//! and takes the next step. The same code runs in the happy case and after a restart of either side. Nothing here waits:
//! a step that cannot be taken yet is taken by a later call.

use std::collections::BTreeMap;
use std::sync::Arc;

use linstor_api::drbd_state::DiskState;
use linstor_wire::status::Outcome;

use crate::draft::Draft;
use crate::model::{DEFAULT_DISKLESS_POOL, DEFAULT_POOL, Model, RowKey};
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::{
    DiskKind, Resize, ResizeStep, Resource, ResourceDefinition, ResourcePhase, Since,
    VolumeDefinition,
};

/// Takes every step of a definition, its volumes and its replicas that can be taken now. Returns whether any was.
pub fn advance(draft: &mut Draft, observed: &Observed, name: &ResourceName, now_ms: u64) -> bool {
    let mut changed = note_done(draft, observed, name);
    let nodes: Vec<NodeName> = draft
        .resources_of(name)
        .map(|replica| replica.node.clone())
        .collect();
    for node in &nodes {
        changed |= advance_replica(draft, observed, name, node, now_ms);
    }
    changed |= advance_volumes(draft, observed, name, now_ms);
    changed |= finish_definition(draft, name);
    changed
}

/// Removes a node that is being deleted once its last replica is gone. Returns whether it did.
pub fn advance_node(draft: &mut Draft, name: &NodeName) -> bool {
    let gone = draft.node(name).is_some_and(|node| node.deleting.is_some())
        && draft.resource_count_on(name) == 0
        && draft
            .held
            .refuses(&RowKey::Node(name.clone()), true)
            .is_none();
    if gone {
        remove_node(draft, name);
    }
    gone
}

/// Removes a node's row and its pools, with definitions of pools that nobody has any more.
pub fn remove_node(draft: &mut Draft, name: &NodeName) {
    let pools: Vec<_> = draft.pools_of(name).map(|pool| pool.name.clone()).collect();
    for pool in pools {
        remove_pool(draft, name, &pool);
    }
    draft.remove(&RowKey::Node(name.clone()));
}

/// Removes a pool of a node, and its definition when it was the last one and no default.
pub fn remove_pool(draft: &mut Draft, node: &NodeName, pool: &crate::name::StoragePoolName) {
    draft.remove(&RowKey::StoragePool(node.clone(), pool.clone()));
    let used = draft
        .nodes
        .keys()
        .any(|other| draft.pool(other, pool).is_some());
    let default = [DEFAULT_POOL, DEFAULT_DISKLESS_POOL]
        .iter()
        .any(|name| pool.as_str().eq_ignore_ascii_case(name));
    if !used && !default {
        draft.remove(&RowKey::StoragePoolDefinition(pool.clone()));
    }
}

/// Whether the node has reached what was asked for then.
fn reached(observed: &Observed, replica: &Resource, since: Since) -> bool {
    observed
        .applied_since(&replica.name, &replica.node, replica.uuid, since.generation)
        .is_some_and(|applied| applied.outcome == Outcome::Done)
}

/// Notes what was carried out once: from the first generation of a volume's data on no replica begins a new one, and a file
/// system is made only once.
fn note_done(draft: &mut Draft, observed: &Observed, name: &ResourceName) -> bool {
    let Some(definition) = draft.definitions.get(name).cloned() else {
        return false;
    };
    let is_settled = |v: &VolumeDefinition| v.initialized && v.file_system_on.is_empty();
    if definition.volumes.values().all(is_settled) {
        return false;
    }
    let mut noted = ResourceDefinition::clone(&definition);
    for replica in draft.resources_of(name) {
        let applied = observed.applied_since(name, &replica.node, replica.uuid, 0);
        let done = applied.map_or(&[][..], |applied| &applied.done);
        let disks = disk_states(observed, replica);
        for (number, volume) in &mut noted.volumes {
            let up_to_date = disks.get(number) == Some(&DiskState::UpToDate);
            volume.initialized |= up_to_date || done.contains(&volume.uuid);
            let own = replica.volumes.get(number);
            if own.is_some_and(|own| done.contains(&own.uuid)) {
                volume.file_system_on.remove(&replica.node);
            }
        }
    }
    let changed = noted != *definition;
    if changed {
        draft.put_resource_definition(noted);
    }
    changed
}

/// The disk states of a replica's volumes, as far as its node can be believed.
fn disk_states(observed: &Observed, replica: &Resource) -> BTreeMap<u32, DiskState> {
    let status = observed
        .live(&replica.name, &replica.node)
        .filter(|status| status.uuid == replica.uuid);
    let volumes = status.into_iter().flat_map(|status| &status.volumes);
    volumes
        .filter_map(|volume| Some((volume.number, volume.disk_state.clone()?)))
        .collect()
}

fn advance_replica(
    draft: &mut Draft,
    observed: &Observed,
    name: &ResourceName,
    node: &NodeName,
    now_ms: u64,
) -> bool {
    let Some(replica) = draft.resource(name, node).cloned() else {
        return false;
    };
    match &replica.phase {
        ResourcePhase::Present => false,
        ResourcePhase::TakingDown { since } => {
            let down = reached(observed, &replica, *since);
            if down {
                let since = draft.since(now_ms);
                let vouched = data_is_elsewhere(draft, observed, &replica);
                draft.edit_resource(name, node, |replica| {
                    replica.phase = ResourcePhase::Destroying { since, vouched };
                });
            }
            down
        }
        ResourcePhase::Destroying { since, vouched } => {
            if reached(observed, &replica, *since) {
                remove_resource(draft, name, node);
                return true;
            }
            let vouches = !vouched && data_is_elsewhere(draft, observed, &replica);
            if vouches {
                let since = *since;
                draft.edit_resource(name, node, |replica| {
                    replica.phase = ResourcePhase::Destroying {
                        since,
                        vouched: true,
                    };
                });
            }
            vouches
        }
        ResourcePhase::AddingDisk {
            since,
            migrate_from,
        } => advance_adding(
            draft,
            observed,
            &replica,
            *since,
            migrate_from.as_ref(),
            now_ms,
        ),
        ResourcePhase::RemovingDisk { since, .. } => {
            // One that is down was not asked to let go of its disk.
            let removed = !replica.inactive && reached(observed, &replica, *since);
            if removed {
                draft.edit_resource(name, node, |replica| {
                    replica.phase = ResourcePhase::Present;
                    for volume in replica.volumes.values_mut() {
                        volume.extra_storage.clear();
                    }
                });
                pass_on_first_copy(draft, name, node);
            }
            removed
        }
    }
}

/// A new disk is done when it is made; when it replaces another replica, only once it is up to date and the other one is
/// not in use, so that the number of good copies never drops.
fn advance_adding(
    draft: &mut Draft,
    observed: &Observed,
    replica: &Resource,
    since: Since,
    migrate_from: Option<&NodeName>,
    now_ms: u64,
) -> bool {
    let (name, node) = (&replica.name, &replica.node);
    if !reached(observed, replica, since) {
        return false;
    }
    if let Some(source) = migrate_from
        && let Some(old) = draft.resource(name, source).cloned()
        && !old.phase.is_deleting()
    {
        let source_idle = observed.in_use(name, source) == Some(false);
        if !observed.is_up_to_date(name, node) || !source_idle {
            return false;
        }
        let since = draft.since(now_ms);
        draft.edit_resource(name, source, |old| {
            take_down(old, since);
        });
    }
    draft.edit_resource(name, node, |replica| {
        replica.phase = ResourcePhase::Present;
        replica.props.remove(linstor_api::prop::MIGRATE_FROM);
    });
    true
}

/// Takes a replica's devices up or down. What waits for one that comes up waits until its part is done: what it had
/// reached while it was down says nothing.
pub fn set_active(
    draft: &mut Draft,
    name: &ResourceName,
    node: &NodeName,
    active: bool,
    now_ms: u64,
) {
    let now = draft.since(now_ms);
    draft.edit_resource(name, node, |row| {
        row.inactive = !active;
        if let ResourcePhase::RemovingDisk { since, .. } = &mut row.phase {
            *since = now;
        }
    });
    let grows = draft.definitions.get(name).is_some_and(|definition| {
        let mut volumes = definition.volumes.values();
        volumes.any(|volume| volume.resize.is_some())
    });
    if !active || !grows {
        return;
    }
    draft.edit_resource_definition(name, |definition| {
        let volumes = definition.volumes.values_mut();
        for resize in volumes.filter_map(|volume| volume.resize.as_mut()) {
            *resize = Resize {
                since: now,
                step: ResizeStep::Storage,
            };
        }
    });
}

/// Begins the deletion of a replica: with DRBD its devices go down before its storage goes. One that is on
/// its way already goes on from where it is.
///
/// One that is just losing its disk still has it: it goes as if it had not begun to, so that its storage goes with it.
pub fn take_down(replica: &mut Resource, since: Since) {
    if replica.phase.is_deleting() {
        return;
    }
    if let ResourcePhase::RemovingDisk { storage, .. } = &replica.phase {
        for (number, pool) in storage {
            if let Some(volume) = replica.volumes.get_mut(number) {
                volume.pool = pool.clone();
            }
        }
        if let Some(drbd) = &mut replica.drbd {
            drbd.disk = DiskKind::Diskful;
        }
    }
    replica.phase = match replica.drbd {
        Some(_) => ResourcePhase::TakingDown { since },
        None => ResourcePhase::Destroying {
            since,
            vouched: false,
        },
    };
}

/// Removes a replica's row.
pub fn remove_resource(draft: &mut Draft, name: &ResourceName, node: &NodeName) {
    draft.remove(&RowKey::Resource(name.clone(), node.clone()));
    pass_on_first_copy(draft, name, node);
}

/// Chooses where the first generation begins of volumes for which a node was chosen that has no disk any more, and who
/// makes the file system in its place. When no disk is left at all, the next one begins a new generation.
fn pass_on_first_copy(draft: &mut Draft, name: &ResourceName, node: &NodeName) {
    let Some(definition) = draft.definitions.get(name) else {
        return;
    };
    let with_disk = |replica: &&Arc<Resource>| !replica.is_diskless();
    let left = draft.resources_of(name).any(|replica| with_disk(&replica));
    let next = draft
        .resources_of(name)
        .filter(with_disk)
        .find(|replica| !replica.phase.is_deleting())
        .map(|replica| replica.node.clone());
    let replicated = draft
        .resources_of(name)
        .any(|replica| replica.drbd.is_some());
    let mut passed = ResourceDefinition::clone(definition);
    for volume in passed.volumes.values_mut() {
        if !left {
            volume.initialized = false;
            volume.first_copy_on = None;
        } else if volume.first_copy_on.as_ref() == Some(node) {
            volume.first_copy_on.clone_from(&next);
        }
        if volume.file_system_on.remove(node) && left && replicated {
            volume.file_system_on.extend(next.clone());
        }
    }
    if passed != **definition {
        draft.put_resource_definition(passed);
    }
}

/// Whether a replica that goes takes nothing with it: it has no disk, or another one that stays is up to date, or none
/// with a disk stays at all (then this was the last one, and whoever deleted it was asked).
fn data_is_elsewhere(draft: &Draft, observed: &Observed, going: &Resource) -> bool {
    let name = &going.name;
    going.is_diskless()
        || goes_alone(draft, going)
        || staying(draft, name).any(|other| observed.is_up_to_date(name, &other.node))
}

/// Whether no replica with a disk stays when this one goes.
pub fn goes_alone(model: &Model, going: &Resource) -> bool {
    staying(model, &going.name).all(|other| other.node == going.node)
}

/// The replicas with a disk that stay.
fn staying<'a>(
    model: &'a Model,
    name: &'a ResourceName,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    model
        .resources_of(name)
        .filter(|replica| !replica.is_diskless() && !replica.phase.is_deleting())
}

fn advance_volumes(
    draft: &mut Draft,
    observed: &Observed,
    name: &ResourceName,
    now_ms: u64,
) -> bool {
    let Some(definition) = draft.definitions.get(name).cloned() else {
        return false;
    };
    let mut changed = false;
    for (number, volume) in &definition.volumes {
        if let Some(since) = volume.deleting {
            if draft
                .resources_of(name)
                .all(|replica| reached(observed, replica, since))
            {
                remove_volume(draft, name, *number);
                changed = true;
            }
        } else if volume.resize.is_some() {
            changed |= advance_resize(draft, observed, name, *number, volume, now_ms);
        }
    }
    changed
}

/// Removes a volume definition and its volumes.
pub fn remove_volume(draft: &mut Draft, name: &ResourceName, number: u32) {
    let nodes: Vec<NodeName> = draft
        .resources_of(name)
        .map(|replica| replica.node.clone())
        .collect();
    for node in nodes {
        draft.edit_resource(name, &node, |replica| {
            replica.volumes.remove(&number);
        });
    }
    draft.edit_resource_definition(name, |definition| {
        definition.volumes.remove(&number);
    });
}

fn advance_resize(
    draft: &mut Draft,
    observed: &Observed,
    name: &ResourceName,
    number: u32,
    volume: &VolumeDefinition,
    now_ms: u64,
) -> bool {
    let Some(resize) = &volume.resize else {
        return false;
    };
    let replicas: BTreeMap<NodeName, Resource> = draft
        .resources_of(name)
        .filter(|replica| !replica.phase.is_deleting())
        .map(|replica| (replica.node.clone(), Resource::clone(replica)))
        .collect();
    let next = match &resize.step {
        ResizeStep::Storage => {
            let grown = |replica: &Resource| {
                reached(observed, replica, resize.since) && !holds_up_growth(replica)
            };
            if !replicas.values().all(grown) {
                return false;
            }
            let replicated = |replica: &Resource| replica.drbd.is_some() && !replica.is_diskless();
            match grower(observed, name, &replicas) {
                Some(on) => Some(ResizeStep::Drbd { on }),
                None if replicas.values().any(replicated) => return false,
                None => None,
            }
        }
        ResizeStep::Drbd { on } => match replicas.get(on) {
            Some(replica) if may_grow(replica) && reached(observed, replica, resize.since) => None,
            // Somebody else grows it when the one that should have cannot.
            Some(replica) if may_grow(replica) && observed.is_online(on) => return false,
            _ => match grower(observed, name, &replicas) {
                Some(other) if other != *on => Some(ResizeStep::Drbd { on: other }),
                _ => return false,
            },
        },
    };
    let since = draft.since(now_ms);
    draft.edit_resource_definition(name, |definition| {
        if let Some(volume) = definition.volumes.get_mut(&number) {
            volume.resize = next.map(|step| Resize { since, step });
        }
    });
    true
}

/// Whether a replica waits for nothing but to be activated.
pub fn waits_for_activation(replica: &Resource) -> bool {
    replica.inactive && matches!(replica.phase, ResourcePhase::RemovingDisk { .. })
}

/// Whether a volume cannot grow because of this replica: DRBD grows nothing whose other replicas it does not see, and a
/// deactivated one is not seen. Its own part is done once it is activated.
pub fn holds_up_growth(replica: &Resource) -> bool {
    let replicated = replica.drbd.is_some() && !replica.is_diskless();
    replicated && replica.inactive && !replica.phase.is_deleting()
}

/// Whether DRBD of this replica can grow the volume for all.
fn may_grow(replica: &Resource) -> bool {
    replica.drbd.is_some() && !replica.is_diskless() && !replica.inactive
}

/// The replica that grows DRBD for all: diskful and up to date.
fn grower(
    observed: &Observed,
    name: &ResourceName,
    replicas: &BTreeMap<NodeName, Resource>,
) -> Option<NodeName> {
    replicas
        .values()
        .filter(|replica| may_grow(replica))
        .find(|replica| observed.is_up_to_date(name, &replica.node))
        .map(|replica| replica.node.clone())
}

fn finish_definition(draft: &mut Draft, name: &ResourceName) -> bool {
    let done = draft
        .definitions
        .get(name)
        .is_some_and(|definition| definition.deleting.is_some())
        && draft.resources_of(name).next().is_none();
    if done {
        draft.remove(&RowKey::ResourceDefinition(name.clone()));
    }
    done
}

#[cfg(test)]
mod tests;
