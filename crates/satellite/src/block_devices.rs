//! The whole block devices of the node, and which of them a pool can be made of.

use std::collections::BTreeMap;
use std::path::Path;

use linstor_host::{DeviceUse, FileId};
use linstor_wire::question::BlockDevice;

use crate::failure::Result;
use crate::machine::Machine;
use crate::tools::filesystem;
use crate::tools::lsblk::{self, Row};

/// Smaller devices are none that people mean.
const BYTES_MIN: u64 = 1 << 30;
/// Links to devices whose names remain.
const BY_ID: &str = "/dev/disk/by-id";
/// DRBD's major number.
const MAJOR_DRBD: u32 = 147;
/// Names of devices that have no storage of their own: memory, volumes of zpools, network block devices.
const WITHOUT_STORAGE: [&str; 5] = ["/dev/ram", "/dev/zram", "/dev/zd", "/dev/nbd", "/dev/fd"];

/// All whole devices, in the order of their paths.
pub async fn list(machine: &Machine) -> Result<Vec<BlockDevice>> {
    let rows = lsblk::list(machine, []).await?;
    let links = links(machine).await;
    let mut devices = BTreeMap::new();
    for row in rows.iter().filter(|row| is_whole(row)) {
        let mut device = BlockDevice {
            path: row.path.clone(),
            size_bytes: row.size_bytes,
            rotational: row.rotational,
            sector_bytes: row.sector_bytes,
            model: row.model.clone(),
            serial: row.serial.clone(),
            wwn: row.wwn.clone(),
            links: Vec::new(),
            unusable: unsuitable(row).or_else(|| occupied(row, &rows)),
        };
        if device.unusable.is_none() {
            device.unusable = match filesystem::signatures(machine, &row.path).await {
                Ok(found) => content(&found),
                Err(failure) => Some(format!("It cannot be read: {failure}")),
            };
        }
        if device.unusable.is_none() {
            device.unusable = claimed(machine, &row.path).await;
        }
        if let Some(id) = id_of(machine, &row.path).await {
            device.links = links.get(&id).cloned().unwrap_or_default();
        }
        devices.insert(row.path.clone(), device);
    }
    Ok(devices.into_values().collect())
}

fn is_whole(row: &Row) -> bool {
    matches!(row.kind.as_str(), "disk" | "mpath") || row.kind.starts_with("raid")
}

/// Why a device is none that a pool is made of, whatever is on it.
fn unsuitable(row: &Row) -> Option<String> {
    let reason = if row.major == MAJOR_DRBD {
        "It is a DRBD device."
    } else if WITHOUT_STORAGE
        .iter()
        .any(|name| row.path.starts_with(name))
    {
        "It has no storage of its own."
    } else if row.read_only {
        "It is read-only."
    } else if row.size_bytes < BYTES_MIN {
        "It is smaller than 1 GiB."
    } else {
        return None;
    };
    Some(reason.to_owned())
}

/// Which use of a device the list of devices shows, if any.
pub fn occupied(row: &Row, rows: &[Row]) -> Option<String> {
    let above = rows.iter().find(|other| other.parent == row.path);
    match above {
        Some(above) if above.kind == "mpath" => Some(format!(
            "It is a path of the multipath device '{}'.",
            above.path
        )),
        Some(above) if above.kind == "part" => {
            Some(format!("It has partitions, '{}' for example.", above.path))
        }
        Some(above) => Some(format!("'{}' lies on it.", above.path)),
        None if !row.mounted_on.is_empty() => {
            Some(format!("It is mounted on '{}'.", row.mounted_on))
        }
        None => None,
    }
}

/// What is on a device with these signatures, if anything is.
pub fn content(signatures: &[String]) -> Option<String> {
    let mut names: Vec<&str> = signatures.iter().map(String::as_str).collect();
    names.dedup();
    match names[..] {
        [] => None,
        [name] => Some(format!("It has a signature ({name}).")),
        _ => Some(format!("It has signatures ({}).", names.join(", "))),
    }
}

/// Who has claimed a device, if anybody has: also in ways that the list of devices does not show.
async fn claimed(machine: &Machine, path: &str) -> Option<String> {
    match machine.host().device_use(Path::new(path)).await {
        Ok(DeviceUse::Free) => None,
        Ok(DeviceUse::Mounted { on }) => Some(format!("It is mounted on '{on}'.")),
        Ok(DeviceUse::Claimed { by: Some(by) }) => Some(format!("It is held by {by}.")),
        Ok(DeviceUse::Claimed { by: None }) => Some("Something holds it exclusively.".to_owned()),
        Err(error) => Some(format!("It cannot be opened: {error}.")),
    }
}

async fn id_of(machine: &Machine, path: &str) -> Option<FileId> {
    let usage = machine.host().file_usage(Path::new(path)).await;
    usage.ok().flatten().map(|usage| usage.id)
}

/// The links to each device. A machine without udev has none.
async fn links(machine: &Machine) -> BTreeMap<FileId, Vec<String>> {
    let names = machine.host().list_dir(Path::new(BY_ID)).await;
    let mut links: BTreeMap<FileId, Vec<String>> = BTreeMap::new();
    for name in names.unwrap_or_default() {
        let path = format!("{BY_ID}/{name}");
        if let Some(id) = id_of(machine, &path).await {
            links.entry(id).or_default().push(path);
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, kind: &str) -> Row {
        Row {
            path: path.into(),
            kind: kind.into(),
            size_bytes: 10 << 30,
            ..Row::default()
        }
    }

    fn below(path: &str, kind: &str, parent: &str) -> Row {
        Row {
            parent: parent.into(),
            ..row(path, kind)
        }
    }

    fn reason(device: &Row, rows: &[Row]) -> String {
        unsuitable(device)
            .or_else(|| occupied(device, rows))
            .unwrap_or_default()
    }

    /// A free disk can be used; each other one has its reason.
    #[test]
    fn reasons() {
        let disk = row("/dev/sdb", "disk");
        assert_eq!(reason(&disk, &[]), "");
        let path = [below("/dev/mapper/mpatha", "mpath", "/dev/sdb")];
        assert!(reason(&disk, &path).contains("multipath device '/dev/mapper/mpatha'"));
        assert_eq!(
            reason(&path[0], &path),
            "",
            "the multipath device itself is free"
        );
        let part = [below("/dev/sdb1", "part", "/dev/sdb")];
        assert!(reason(&disk, &part).contains("partitions"));
        let lvm = [below("/dev/mapper/vg-lv", "lvm", "/dev/sdb")];
        assert!(reason(&disk, &lvm).contains("lies on it"));
        let with = |change: fn(&mut Row)| {
            let mut row = disk.clone();
            change(&mut row);
            reason(&row, &[])
        };
        let on_it = |names: &[&str]| {
            content(
                &names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(on_it(&[]), None);
        assert!(on_it(&["ext4"]).is_some_and(|why| why.contains("a signature (ext4)")));
        assert!(on_it(&["gpt", "gpt", "PMBR"]).is_some_and(|why| why.contains("(gpt, PMBR)")));
        assert!(with(|row| row.mounted_on = "/".into()).contains("mounted on '/'"));
        assert!(with(|row| row.size_bytes = 1 << 20).contains("smaller"));
        assert!(with(|row| row.read_only = true).contains("read-only"));
        assert!(with(|row| row.major = 147).contains("DRBD"));
        assert!(with(|row| row.path = "/dev/zram0".into()).contains("no storage"));
        assert!(is_whole(&row("/dev/md0", "raid1")) && !is_whole(&row("/dev/loop0", "loop")));
    }
}
