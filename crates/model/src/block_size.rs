//! The smallest unit in which a volume's device is written, in bytes: the largest logical sector below its replicas, and that
//! of encrypted volumes. DRBD takes it when it makes the device, and users of the device rely on it: a file system that was
//! made for sectors of 512 bytes may not be readable on sectors of 4096.
//!
//! Hence it is not changed while DRBD runs, and not once a replica was primary (`Linstor/Drbd/freeze-block-size`), unless a
//! user takes the latter back. A pool on larger sectors takes no replica of a volume whose unit cannot be changed.

use std::sync::Arc;

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_api::prop;
use linstor_api::reply::Reply;

use crate::model::Model;
use crate::observed::Observed;
use crate::props::{Purpose, Scope, effective, is_true};
use crate::{Resource, ResourceDefinition, StoragePool, VolumeDefinition};

/// That of devices which say nothing else.
const BYTES_MIN: u32 = 512;
/// The largest one that DRBD has.
const BYTES_MAX: u32 = 4096;

/// The logical sectors of a pool's devices, by its node's report.
pub(crate) fn of_pool(observed: &Observed, pool: &StoragePool) -> u32 {
    let seen = observed.pools.get(&(pool.node.clone(), pool.name.clone()));
    let bytes = seen.and_then(|seen| seen.status.sector_bytes);
    bytes.unwrap_or(BYTES_MIN).clamp(BYTES_MIN, BYTES_MAX)
}

fn of_replica(model: &Model, observed: &Observed, replica: &Resource, number: u32) -> u32 {
    if replica.layer_stack.contains(&LayerKind::Luks) {
        return BYTES_MAX;
    }
    let volume = replica.volumes.get(&number);
    let pool = volume.and_then(|volume| model.pool(&replica.node, &volume.pool));
    pool.map_or(BYTES_MIN, |pool| of_pool(observed, pool))
}

fn now(volume: &VolumeDefinition) -> Option<u32> {
    volume.props.get(prop::DRBD_DISK_BLOCK_SIZE)?.parse().ok()
}

/// Whether the unit must not change: DRBD runs, or a replica was primary.
fn is_fixed(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    volume: &VolumeDefinition,
) -> bool {
    let frozen = volume.props.get(prop::DRBD_FREEZE_BLOCK_SIZE);
    frozen.is_some_and(|value| is_true(value))
        || super::automatic::runs(model, observed, &definition.name)
}

/// The unit of a volume, if it has to be set; none where it is as it has to be, cannot be changed, or is not managed.
pub(crate) fn wanted(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    number: u32,
) -> Option<u32> {
    let volume = definition.volumes.get(&number)?;
    let scope = Scope::definition(definition);
    let key = prop::DRBD_AUTO_BLOCK_SIZE;
    let own = volume.props.get(key).map(String::as_str);
    let managed = own.or_else(|| effective(model, Purpose::Granularity, &scope, key));
    if managed.is_some_and(|value| !is_true(value)) {
        return None;
    }
    let on_disk = model.resources_of(&definition.name).filter(|replica| {
        let has_it = replica.volumes.contains_key(&number);
        has_it && !replica.is_diskless() && !model.is_deleting(replica)
    });
    let size = |replica: &Arc<Resource>| of_replica(model, observed, replica, number);
    let wanted = on_disk.map(size).max()?;
    let needed = now(volume).is_none_or(|now| now < wanted);
    (needed && !is_fixed(model, observed, definition, volume)).then_some(wanted)
}

/// Whether a replica of a volume has been primary since nobody has fixed its unit yet: from then on it is.
pub(crate) fn is_to_be_frozen(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    volume: &VolumeDefinition,
) -> bool {
    let is_primary = |replica: &Arc<Resource>| {
        let key = (definition.name.clone(), replica.node.clone());
        let status = observed.resources.get(&key);
        let status = status.filter(|status| status.uuid == replica.uuid);
        let drbd = status.and_then(|status| status.drbd.as_ref());
        drbd.is_some_and(|drbd| drbd.in_use)
    };
    !volume.props.contains_key(prop::DRBD_FREEZE_BLOCK_SIZE)
        && model.resources_of(&definition.name).any(is_primary)
}

/// The logical sectors of a pool and the unit of a volume of a definition that is written in a smaller one, and cannot be
/// changed; none if the pool can take its volumes.
pub(crate) fn conflict(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    pool: &StoragePool,
) -> Option<(u32, u32)> {
    let sector = of_pool(observed, pool);
    if sector <= BYTES_MIN || definition.drbd.is_none() {
        return None;
    }
    let mut fixed = definition.volumes.values().filter_map(|volume| {
        let unit = now(volume)?;
        is_fixed(model, observed, definition, volume).then_some(unit)
    });
    let unit = fixed.find(|unit| *unit < sector)?;
    Some((sector, unit))
}

/// Refuses a pool that cannot take the volumes of a definition.
pub(crate) fn check(
    model: &Model,
    observed: &Observed,
    definition: &ResourceDefinition,
    pool: &StoragePool,
) -> Result<(), Vec<Reply>> {
    let Some((sector, unit)) = conflict(model, observed, definition, pool) else {
        return Ok(());
    };
    let text = format!(
        "Storage pool '{}' on node '{}' cannot take a replica of '{}'.",
        pool.name, pool.node, definition.name
    );
    Err(vec![
        Reply::new(code::FAIL_INVLD_STOR_POOL_NAME, text)
            .cause(format!(
                "Its devices have logical sectors of {sector} bytes; the volume is written in units of {unit} bytes."
            ))
            .correction(format!(
                "Use a storage pool on devices with sectors of {unit} bytes. If nothing on the volume depends on its unit, \
                 deactivate all its resources and set property {} of the volume definition to False.",
                prop::DRBD_FREEZE_BLOCK_SIZE
            ))
            .about("Node", pool.node.as_str())
            .about("StorPoolDfn", pool.name.as_str()),
    ])
}
