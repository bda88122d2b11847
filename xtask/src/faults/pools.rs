//! Storage pools that are made of devices, and that get into trouble.

use anyhow::{Result, ensure};

use super::{HEAL_LIMIT, undoing};
use crate::cluster::Cluster;

/// LVM's own configuration of a machine.
const LVM_LOCAL: &str = "/etc/lvm/lvmlocal.conf";
/// Hides the second disk of the pool from LVM, under each of its names: LVM uses a device if one of them is accepted.
const NO_SECOND_DISK: &str = "devices { global_filter = [ \"a|^/dev/ubd[ab]$|\", \"r|.*|\" ] }\n";

/// A thin pool is made of two free disks, is deactivated, loses a disk, and is reported each time with the remedy.
pub fn in_trouble(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(3);
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    let free = |all: &[&str]| -> Result<String> {
        let list = [&["physical-storage", "list"], all].concat();
        cluster.linstor(&list)
    };
    let listed = free(&[])?;
    ensure!(
        listed.contains("node3[/dev/ubdb") && !listed.contains("/dev/ubda"),
        "not the free disks: {listed}"
    );
    ensure!(
        free(&["--all"])?.contains("/dev/ubda: "),
        "no reason why the disk of vg0 is not free"
    );
    let create = |devices: &[&str]| {
        let begin = ["physical-storage", "create-device-pool", "lvmthin", "node3"];
        let end = ["--pool-name", "vgtwo/tp", "--storage-pool", "two"];
        cluster.try_linstor(&[&begin, devices, &end].concat())
    };
    let refused = create(&["/dev/ubda"])?.text;
    ensure!(
        refused.contains("cannot be used"),
        "the disk of vg0 was not refused: {refused}"
    );
    on(&["mkfs.ext4", "-q", "/dev/ubdb"])?;
    let refused = create(&["/dev/ubdb", "/dev/ubdc"])?.text;
    ensure!(
        refused.contains("ext4"),
        "a disk with a file system was not refused: {refused}"
    );
    on(&["wipefs", "-q", "-a", "/dev/ubdb"])?;
    let made = create(&["/dev/ubdb", "/dev/ubdc"])?.text;
    shows(cluster, None).map_err(|error| error.context(made))?;
    ensure!(
        !free(&[])?.contains("node3["),
        "used disks are listed as free"
    );

    on(&["lvchange", "-an", "vgtwo/tp"])?;
    shows(cluster, Some("not active"))?;
    on(&["lvchange", "-ay", "vgtwo/tp"])?;
    shows(cluster, None)?;

    let lvm_local = on(&["cat", LVM_LOCAL])?;
    let without_disk = || -> Result<()> {
        cluster.lab.write_file(node, LVM_LOCAL, NO_SECOND_DISK)?;
        shows(cluster, Some("physical volume(s) of it are missing"))
    };
    undoing(without_disk, || {
        cluster.lab.write_file(node, LVM_LOCAL, lvm_local.as_str())
    })?;
    shows(cluster, None)?;
    cluster.linstor(&["storage-pool", "delete", "node3", "two"])?;
    on(&["vgremove", "-q", "-f", "vgtwo"])?;
    on(&["pvremove", "-q", "/dev/ubdb", "/dev/ubdc"]).map(drop)
}

/// Waits until the list of storage pools shows the pool with this reason, or without any.
fn shows(cluster: &Cluster, reason: Option<&str>) -> Result<()> {
    let mut last = String::new();
    let found = cluster.wait_until("the storage pool to be reported", HEAL_LIMIT, || {
        // Has all nodes report their space.
        cluster.try_linstor(&["resource-group", "query-max-volume-size", "DfltRscGrp"])?;
        last = cluster
            .try_linstor(&["storage-pool", "list", "-s", "two"])?
            .text;
        Ok(match reason {
            Some(reason) => last.contains("Error") && last.contains(reason),
            None => last.contains("Ok"),
        })
    });
    found.map_err(|error| error.context(format!("{reason:?} is not in {last}")))
}
