//! Makes volume groups, thin pools and zpools of block devices.
//!
//! Nothing that exists is changed: a device that is in use, or that has something on it, is refused, unless its
//! signatures are to be erased; so is the name of something that exists. What a failed step leaves behind is removed.

use std::collections::BTreeSet;
use std::path::Path;

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::tool_option;
use linstor_wire::question::{DevicePool, RaidLevel};

use crate::block_devices::{content, occupied};
use crate::check::{self, DevicePlace};
use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::providers::in_use;
use crate::shared::Shared;
use crate::tools::volume_group::{self, NewGroup};
use crate::tools::{filesystem, lsblk, zfs};

/// Makes the pool; what was done, an entry for each step.
pub async fn create(shared: &Shared, pool: &DevicePool) -> Result<Vec<Reply>> {
    let place = check::device_pool(pool)?;
    let machine = &shared.machine;
    let _turn = machine.lock("device-pool").await;
    check_devices(machine, pool).await?;
    refuse_existing(machine, &place).await?;
    if pool.wipe {
        for device in &pool.devices {
            filesystem::wipe(machine, device).await?;
        }
    }
    let made = match &place {
        DevicePlace::Lvm { vg, thin_pool } => {
            make_group(machine, pool, vg, thin_pool.as_deref()).await
        }
        DevicePlace::Zpool { name } => make_zpool(machine, pool, name).await,
    };
    shared.observations.all_unknown().await;
    shared.space_changed.notify_one();
    made
}

async fn refuse_existing(machine: &Machine, place: &DevicePlace) -> Result<()> {
    // `zpool create` refuses an existing zpool by itself.
    let DevicePlace::Lvm { vg, .. } = place else {
        return Ok(());
    };
    if !volume_group::exists(machine, vg).await? {
        return Ok(());
    }
    let message = format!("Volume group '{vg}' exists already on this node.");
    Err(Failure::new(code::FAIL_EXISTS_STOR_POOL, message)
        .cause("A new one was to be made of devices.")
        .correction("Create a storage pool on it, or choose another name."))
}

/// Refuses devices that do not exist, are in use, or have something on them.
async fn check_devices(machine: &Machine, pool: &DevicePool) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut sector_bytes = BTreeSet::new();
    for device in &pool.devices {
        let path = Path::new(device);
        if machine.host().block_device_size(path).await?.is_none() {
            return Err(Failure::new(
                code::FAIL_UNKNOWN_ERROR,
                format!("Device '{device}' does not exist on this node."),
            )
            .cause("There is no block device at that path.")
            .correction("See 'linstor physical-storage list' for the devices that can be used."));
        }
        let rows = lsblk::list(machine, [device.as_str()]).await?;
        let refuse = |cause: String| {
            let message = format!("Device '{device}' cannot be used for a pool.");
            Err(Failure::new(code::FAIL_IN_USE, message).cause(cause))
        };
        let Some(row) = rows.first() else {
            return refuse("'lsblk' does not list it.".to_owned());
        };
        if !seen.insert(row.path.clone()) {
            return refuse("It is given twice, under two names.".to_owned());
        }
        sector_bytes.insert(row.sector_bytes);
        if sector_bytes.len() > 1 {
            let sizes: Vec<String> = sector_bytes.iter().map(u64::to_string).collect();
            let sizes = sizes.join(" and ");
            return refuse(format!(
                "The devices have different logical sectors: {sizes} bytes."
            ));
        }
        if let Some(cause) = occupied(row, &rows) {
            return refuse(cause)
                .map_err(|f| f.correction("Use another device, or release this one."));
        }
        in_use::refuse(machine, device).await?;
        let Some(cause) = content(&filesystem::signatures(machine, device).await?) else {
            continue;
        };
        if !pool.wipe {
            return refuse(cause).map_err(|f| {
                f.correction(
                    "If its content is not needed, repeat the command with '--wipe-signatures', or run 'wipefs -a' on it.",
                )
            });
        }
        if let Some(vg) = volume_group::of_device(machine, device).await? {
            return refuse(format!("It is a physical volume of volume group '{vg}'."))
                .map_err(|f| f.correction("Remove it from the volume group first."));
        }
    }
    Ok(())
}

async fn make_group(
    machine: &Machine,
    pool: &DevicePool,
    vg: &str,
    thin_pool: Option<&str>,
) -> Result<Vec<Reply>> {
    let new = NewGroup::of(machine, vg, &pool.devices);
    let devices = pool.devices.join(", ");
    new.make_devices(&pool.pv_arguments)
        .await
        .map_err(|f| f.under(format!("No physical volumes can be made of {devices}.")))?;
    let mut done = vec![created(format!("Physical volumes created on {devices}."))];
    if let Err(failure) = new.make_group(&pool.vg_arguments).await {
        undo(new.remove_devices().await);
        return Err(failure.under(format!("Volume group '{vg}' cannot be created.")));
    }
    done.push(created(format!("Volume group '{vg}' created.")));
    if let Some(thin_pool) = thin_pool {
        let arguments = &pool.lv_arguments;
        let sized = tool_option::has(arguments, &["-l", "--extents", "-L", "--size"]);
        if let Err(failure) = new.make_thin_pool(thin_pool, !sized, arguments).await {
            undo(new.remove_group().await);
            undo(new.remove_devices().await);
            return Err(failure.under(format!("Thin pool '{vg}/{thin_pool}' cannot be created.")));
        }
        done.push(created(format!("Thin pool '{vg}/{thin_pool}' created.")));
    }
    Ok(done)
}

async fn make_zpool(machine: &Machine, pool: &DevicePool, name: &str) -> Result<Vec<Reply>> {
    zfs::create_pool(
        machine,
        name,
        &vdevs(pool),
        pool.wipe,
        &pool.zpool_arguments,
    )
    .await
    .map_err(|f| f.under(format!("Zpool '{name}' cannot be created.")))?;
    let devices = pool.devices.join(", ");
    Ok(vec![created(format!(
        "Zpool '{name}' created on {devices}."
    ))])
}

/// The devices with the words that combine them.
fn vdevs(pool: &DevicePool) -> Vec<String> {
    let mut words = Vec::new();
    match pool.raid {
        RaidLevel::Jbod => {}
        RaidLevel::Raid1 => words.push("mirror".to_owned()),
        RaidLevel::Raid5 => words.push("raidz1".to_owned()),
        RaidLevel::Raid6 => words.push("raidz2".to_owned()),
        RaidLevel::Raid10 => {
            for pair in pool.devices.chunks(2) {
                words.push("mirror".to_owned());
                words.extend(pair.iter().cloned());
            }
            return words;
        }
    }
    words.extend(pool.devices.iter().cloned());
    words
}

fn created(message: String) -> Reply {
    Reply::new(
        code::CREATED | code::MASK_CRT | code::MASK_PHYSICAL_DEVICE,
        message,
    )
}

/// The failure that made it necessary is the one that is reported.
fn undo(undone: Result<()>) {
    if let Err(failure) = undone {
        tracing::warn!(%failure, "a step towards a new pool could not be taken back");
    }
}

#[cfg(test)]
mod tests {
    use linstor_api::kind::ProviderKind;

    use super::*;

    /// Levels are words of `zpool create`.
    #[test]
    fn levels_of_zpools() {
        let words = |raid, count: u32| {
            let devices = (0..count).map(|n| format!("/dev/d{n}"));
            let pool = DevicePool {
                kind: ProviderKind::Zfs,
                place: "tank".into(),
                devices: devices.collect(),
                raid,
                wipe: false,
                pv_arguments: Vec::new(),
                vg_arguments: Vec::new(),
                lv_arguments: Vec::new(),
                zpool_arguments: Vec::new(),
            };
            vdevs(&pool).join(" ").replace("/dev/", "")
        };
        assert_eq!(words(RaidLevel::Jbod, 2), "d0 d1");
        assert_eq!(words(RaidLevel::Raid1, 2), "mirror d0 d1");
        assert_eq!(words(RaidLevel::Raid5, 3), "raidz1 d0 d1 d2");
        assert_eq!(words(RaidLevel::Raid6, 4), "raidz2 d0 d1 d2 d3");
        assert_eq!(words(RaidLevel::Raid10, 4), "mirror d0 d1 mirror d2 d3");
    }
}
