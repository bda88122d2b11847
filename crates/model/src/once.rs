//! What is carried out once in the life of a volume: it is made of a snapshot, its first generation begins, its file system
//! is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use linstor_api::drbd_state::DiskState;

use crate::draft::Draft;
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::{Resource, ResourceDefinition, VolumeDefinition, VolumeSource};

/// Notes what was carried out once: from the first generation of a volume's data on no replica begins a new one, and a file
/// system is made only once.
pub(crate) fn note_done(draft: &mut Draft, observed: &Observed, name: &ResourceName) -> bool {
    let Some(definition) = draft.definitions.get(name).cloned() else {
        return false;
    };
    let is_settled =
        |v: &VolumeDefinition| v.initialized && v.file_system_on.is_empty() && !v.changes_key();
    let restoring = draft.resources_of(name).any(|row| row.is_being_restored());
    if definition.volumes.values().all(is_settled) && !restoring {
        return false;
    }
    let mut noted = ResourceDefinition::clone(&definition);
    let mut restored = Vec::new();
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
            volume.key_changed(&replica.node, |id| done.contains(&id));
        }
        let is_done = |source: &VolumeSource| done.contains(&source.id);
        let mut sources = replica.volumes.values().filter_map(|v| v.source.as_ref());
        if sources.any(is_done) {
            let mut row = Resource::clone(replica);
            for volume in row.volumes.values_mut() {
                volume.source.take_if(|source| is_done(source));
            }
            restored.push(row);
        }
    }
    let changed = noted != *definition;
    if changed {
        draft.put_resource_definition(noted);
    }
    let any_restored = !restored.is_empty();
    for row in restored {
        draft.put_resource(row);
    }
    changed || any_restored
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

/// Chooses where the first generation begins of volumes for which a node was chosen that has no disk any more, and who
/// makes the file system in its place. When no disk is left at all, the next one begins a new generation.
pub(crate) fn pass_on(draft: &mut Draft, name: &ResourceName, node: &NodeName) {
    let Some(definition) = draft.definitions.get(name) else {
        return;
    };
    let with_disk = |replica: &&Arc<Resource>| !replica.is_diskless();
    let left = draft.resources_of(name).any(|replica| with_disk(&replica));
    let next = draft
        .resources_of(name)
        .filter(with_disk)
        .find(|replica| !draft.is_deleting(replica))
        .map(|replica| replica.node.clone());
    let replicated = draft
        .resources_of(name)
        .any(|replica| replica.drbd.is_some());
    let mut passed = ResourceDefinition::clone(definition);
    for volume in passed.volumes.values_mut() {
        volume.key_changed(node, |_| true);
        if !left {
            volume.initialized = false;
            volume.restored = false;
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
