//! Volumes of resources, and data that a definition stores about its resources: initial replica, granularity, discards.

use linstor_api::kind::ProviderKind;
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_api::unit;

use crate::draft::Draft;
use crate::layer::luks;
use crate::model::Model;
use crate::name::{NodeName, ResourceName};
use crate::observed::Observed;
use crate::props::{self, Purpose, Scope, effective};
use crate::space;
use crate::{Props, Resource, ResourceDefinition, Volume, VolumeDefinition, device_size};

use super::{Seeds, checks, pools};

/// Creates the volumes of a new volume definition on all existing resources.
pub fn add_volume(
    draft: &mut Draft,
    observed: &Observed,
    seeds: &mut Seeds<'_>,
    name: &ResourceName,
    number: u32,
) -> Result<(), Vec<Reply>> {
    let definition = checks::definition(draft, name)?;
    let replicas: Vec<Resource> = draft
        .resources_of(name)
        .filter(|replica| !draft.is_deleting(replica) && !replica.volumes.contains_key(&number))
        .map(|replica| Resource::clone(replica))
        .collect();
    let mut changed = Vec::new();
    for mut replica in replicas {
        let diskless = replica.is_diskless();
        let wanted = pools::Wanted {
            named: None,
            diskless,
        };
        let pool = pools::resolve_one(draft, &definition, &replica, number, &wanted)?;
        let extra_storage = match diskless {
            true => Default::default(),
            false => pools::extra(draft, &definition, &replica, number)?,
        };
        let volume = Volume {
            uuid: (seeds.uuid)(),
            pool,
            extra_storage,
            unit_kib: 0,
            props: Props::new(),
            source: None,
        };
        replica.volumes.insert(number, volume);
        set_unit(draft, &definition, number, &mut replica);
        if !diskless {
            for (pool, kib) in checks::needs(draft, &definition, number, &replica) {
                space::check(draft, observed, &pool, kib)?;
            }
        }
        changed.push(replica);
    }
    for replica in &changed {
        luks::generate_keys(draft, seeds, replica)?;
        draft.put_resource(replica.clone());
    }
    // Online nodes first: the node of the initial replica must be online for the volume to become usable.
    changed.sort_by_key(|replica| !observed.is_online(&replica.node));
    for replica in &changed {
        note_replica(draft, observed, replica);
    }
    Ok(())
}

/// Stores the unit of a new backing volume.
pub(super) fn set_unit(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    row: &mut Resource,
) {
    let Some(volume) = row.volumes.get(&number) else {
        return;
    };
    let pool = model.pool(&row.node, &volume.pool);
    let unit_kib = pool.and_then(|pool| {
        let props = props::volume_storage_props(model, definition, number, row, Some(pool));
        let prop = |key: &str| props.get(key).map(String::as_str);
        unit::of_volume(pool.kind, pool.granularity_kib, prop)
    });
    if let Some(volume) = row.volumes.get_mut(&number) {
        volume.unit_kib = unit_kib.unwrap_or(0);
    }
}

/// Updates the definition after a resource was created or became diskful.
pub(super) fn note_replica(draft: &mut Draft, observed: &Observed, row: &Resource) {
    let Some(definition) = draft.definitions.get(&row.name) else {
        return;
    };
    if row.is_diskless() {
        return;
    }
    let mut noted = ResourceDefinition::clone(definition);
    freeze_initial_sync(draft, &mut noted);
    let in_use = primary(draft, observed, &row.name);
    for (number, own) in &row.volumes {
        let Some(pool) = draft.pool(&row.node, &own.pool) else {
            continue;
        };
        let discards = discard_zeroes(draft, definition, *number, pool.kind);
        let Some(volume) = noted.volumes.get_mut(number) else {
            continue;
        };
        let is_first = volume.first_copy_on.is_none();
        let on = match &mut volume.first_copy_on {
            Some(on) => on,
            none => none.insert(in_use.clone().unwrap_or_else(|| row.node.clone())),
        };
        // Without DRBD each resource has its own file system.
        let on = if row.drbd.is_some() { &*on } else { &row.node };
        if (is_first || row.drbd.is_none())
            && own.source.is_none()
            && props::file_system(draft, definition, *number, row).is_some()
        {
            volume.file_system_on.insert(on.clone());
        }
        volume.granularity_kib = volume.granularity_kib.max(own.unit_kib);
        note_discards(volume, discards);
        device_size::note_replica(draft, &mut noted, *number, row);
    }
    if noted != **definition {
        draft.put_resource_definition(noted);
    }
}

/// `ForceInitialSync` is stored once, with its value at the creation of the first resource.
fn freeze_initial_sync(model: &Model, definition: &mut ResourceDefinition) {
    if definition
        .props
        .contains_key(prop::DRBD_FORCE_INITIAL_SYNC_PERMANENT)
    {
        return;
    }
    let value = {
        let scope = Scope::definition(definition);
        effective(
            model,
            Purpose::Policy,
            &scope,
            prop::DRBD_FORCE_INITIAL_SYNC,
        )
        .map(str::to_owned)
    };
    if let Some(value) = value {
        let key = prop::DRBD_FORCE_INITIAL_SYNC_PERMANENT.to_owned();
        definition.props.insert(key, value);
    }
}

/// The diskful node on which the resource is in use.
fn primary(model: &Model, observed: &Observed, name: &ResourceName) -> Option<NodeName> {
    model
        .resources_of(name)
        .filter(|replica| !replica.is_diskless() && !model.is_deleting(replica))
        .find(|replica| observed.in_use(name, &replica.node) == Some(true))
        .map(|replica| replica.node.clone())
}

/// Whether discarded blocks read as zeros; none if a user has set the option.
fn discard_zeroes(
    model: &Model,
    definition: &ResourceDefinition,
    number: u32,
    kind: ProviderKind,
) -> Option<&'static str> {
    let scope = Scope {
        volume: Some(number),
        ..Scope::definition(definition)
    };
    let key = prop::DRBD_DISK_DISCARD_ZEROES_IF_ALIGNED;
    // The controller's value, which applies to all volumes, does not count here.
    let found = crate::props::chain(model, Purpose::Granularity, &scope).find(key);
    if found.is_some_and(|(_, level)| level != crate::props::Level::Controller) {
        return None;
    }
    Some(match kind {
        ProviderKind::LvmThin | ProviderKind::Zfs | ProviderKind::ZfsThin => "yes",
        ProviderKind::Diskless
        | ProviderKind::Lvm
        | ProviderKind::File
        | ProviderKind::FileThin
        | ProviderKind::Spdk
        | ProviderKind::RemoteSpdk
        | ProviderKind::EbsInit
        | ProviderKind::EbsTarget
        | ProviderKind::StorageSpaces
        | ProviderKind::StorageSpacesThin => "no",
    })
}

fn note_discards(volume: &mut VolumeDefinition, value: Option<&str>) {
    if let Some(value) = value {
        let key = prop::DRBD_DISK_DISCARD_ZEROES_IF_ALIGNED.to_owned();
        volume.props.insert(key, value.to_owned());
    }
}
