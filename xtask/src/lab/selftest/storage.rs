//! The storage stacks of the lab, which need the right kernel, modules and udev in guests.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::until;
use crate::lab::requirements::has_program;
use crate::lab::{Exec, Lab};
use crate::report::Report;

const DRBD_DEVICE: &str = "/dev/drbd/by-res/check/0";

/// Runs the checks whose programs and modules are installed.
pub fn run(report: &mut Report, lab: &Lab) {
    let lvm = "a thin volume is made on a data disk";
    if !has_program("lvm") || !has_program("thin_check") {
        report.skip(lvm, "lvm2 or thin-provisioning-tools is not installed");
    } else if report.check(lvm, || {
        thread::scope(|scope| {
            let peer = scope.spawn(|| thin(lab, 2));
            thin(lab, 1)?;
            peer.join()
                .unwrap_or_else(|_| anyhow::bail!("a thread panicked"))
        })
    }) {
        run_on_lvm(report, lab);
    }
    // Debian's kernel has no ZFS; `cargo xtask test` runs the check on the second kernel.
    if has_module(lab, "zfs") && has_program("zpool") {
        report.check("a zpool's data survives a power cut", || zfs_pool(lab));
    }
}

fn run_on_lvm(report: &mut Report, lab: &Lab) {
    let luks = "a LUKS device opens on a thin volume";
    if has_program("cryptsetup") {
        report.check(luks, || encrypt(lab));
    } else {
        report.skip(luks, "cryptsetup-bin is not installed");
    }
    let version = lab.exec_ok(1, &["cat", "/proc/drbd"]).unwrap_or_default();
    let version = version.split_whitespace().nth(1).unwrap_or_default();
    let drbd = &format!("DRBD {version} replicates from node1 to node2");
    if !has_program("drbdadm") {
        report.skip(drbd, "drbd-utils is not installed");
    } else if !has_module(lab, "drbd") {
        report.skip(drbd, "the kernel has no module drbd");
    } else if report.check(drbd, || replicate(lab)) {
        report.check("DRBD resynchronises after a cut link", || {
            catch_up_after_cut(lab)
        });
        report.check("DRBD resynchronises after a power cut", || {
            catch_up_after_power_cut(lab)
        });
    }
}

fn has_module(lab: &Lab, name: &str) -> bool {
    lab.exec(1, &["test", "-d", &format!("/sys/module/{name}")])
        .is_ok_and(|output| output.status.success())
}

fn thin(lab: &Lab, node: u8) -> Result<()> {
    lab.exec_ok(node, &["pvcreate", "-q", "/dev/ubda"])?;
    lab.exec_ok(node, &["vgcreate", "-q", "vg0", "/dev/ubda"])?;
    lab.exec_ok(node, &["lvcreate", "-q", "-L", "500M", "-T", "vg0/thin"])?;
    for name in ["check_00000", "secret"] {
        lab.exec_ok(
            node,
            &["lvcreate", "-q", "-V", "100M", "-T", "vg0/thin", "-n", name],
        )?;
    }
    lab.exec_ok(node, &["test", "-b", "/dev/vg0/check_00000"])?;
    Ok(())
}

fn encrypt(lab: &Lab) -> Result<()> {
    let format = ["cryptsetup", "luksFormat", "-q", "--pbkdf", "pbkdf2"];
    let format = [
        &format[..],
        &["--pbkdf-force-iterations", "1000", "/dev/vg0/secret", "-"],
    ];
    lab.run_ok(1, Exec::new(&format.concat()).stdin(&b"pass"[..]))?;
    let open = ["cryptsetup", "open", "/dev/vg0/secret", "plain", "-d", "-"];
    lab.run_ok(1, Exec::new(&open).stdin(&b"pass"[..]))?;
    lab.exec_ok(1, &["mkfs.ext4", "-q", "/dev/mapper/plain"])?;
    lab.exec_ok(1, &["cryptsetup", "close", "plain"])?;
    Ok(())
}

fn replicate(lab: &Lab) -> Result<()> {
    // The tools of DRBD 8 do not know node ids, and those of DRBD 9 require them.
    let nine = lab
        .exec_ok(1, &["cat", "/proc/drbd"])?
        .starts_with("version: 9");
    let host = |node: u8| {
        let id = if nine {
            format!("node-id {node};")
        } else {
            String::new()
        };
        format!("on node{node} {{ {id} address 10.77.0.{node}:7000; }}\n")
    };
    // The default intervals of ten seconds would make the checks slow.
    let text = format!(
        "resource check {{\nnet {{ ping-int 1; connect-int 1; }}\nvolume 0 {{ device minor 1000; disk /dev/vg0/check_00000; \
         meta-disk internal; }}\n{}{}}}\n",
        host(1),
        host(2)
    );
    for node in [1, 2] {
        lab.write_file(node, "/etc/drbd.d/check.res", text.clone())?;
        lab.exec_ok(node, &["drbdadm", "create-md", "--force", "check"])?;
        lab.exec_ok(node, &["drbdadm", "up", "check"])?;
    }
    until(|| state_is(lab, 1, "cstate", "Connected"))?;
    // Both sides are all zero: nothing to synchronise.
    lab.exec_ok(
        1,
        &["drbdadm", "new-current-uuid", "--clear-bitmap", "check/0"],
    )?;
    lab.exec_ok(1, &["drbdadm", "primary", "check"])?;
    lab.exec_ok(1, &["udevadm", "settle"])?;
    lab.exec_ok(1, &["mkfs.ext4", "-q", DRBD_DEVICE])
        .context("through udev's link")?;
    write_file(lab, "first")?;
    lab.exec_ok(1, &["drbdadm", "secondary", "check"])?;
    ensure!(read_on_peer(lab, "first")? == "first");
    Ok(())
}

fn write_file(lab: &Lab, name: &str) -> Result<()> {
    lab.exec_ok(1, &["drbdadm", "primary", "check"])?;
    lab.exec_ok(1, &["mount", DRBD_DEVICE, "/media"])?;
    lab.write_file(1, &format!("/media/{name}"), name)?;
    lab.exec_ok(1, &["umount", "/media"])?;
    lab.exec_ok(1, &["drbdadm", "secondary", "check"])?;
    Ok(())
}

fn read_on_peer(lab: &Lab, name: &str) -> Result<String> {
    lab.exec_ok(2, &["drbdadm", "primary", "check"])?;
    lab.exec_ok(2, &["mount", DRBD_DEVICE, "/media"])?;
    let text = lab.exec_ok(2, &["cat", &format!("/media/{name}")])?;
    lab.exec_ok(2, &["umount", "/media"])?;
    lab.exec_ok(2, &["drbdadm", "secondary", "check"])?;
    Ok(text)
}

fn catch_up_after_cut(lab: &Lab) -> Result<()> {
    lab.cut(1, 2)?;
    until(|| Ok(!state_is(lab, 1, "cstate", "Connected")?))?;
    write_file(lab, "second")?;
    lab.heal(1, 2)?;
    until(|| in_sync(lab))?;
    ensure!(read_on_peer(lab, "second")? == "second");
    Ok(())
}

fn catch_up_after_power_cut(lab: &Lab) -> Result<()> {
    lab.kill(2)?;
    write_file(lab, "third")?;
    lab.boot(2)?;
    // Logical volumes are activated at boot as on a real machine; DRBD resources are not.
    lab.exec_ok(2, &["drbdadm", "up", "check"])?;
    until(|| in_sync(lab))?;
    ensure!(read_on_peer(lab, "third")? == "third");
    Ok(())
}

fn in_sync(lab: &Lab) -> Result<bool> {
    Ok(
        state_is(lab, 1, "cstate", "Connected")?
            && state_is(lab, 1, "dstate", "UpToDate/UpToDate")?,
    )
}

fn state_is(lab: &Lab, node: u8, what: &str, wanted: &str) -> Result<bool> {
    Ok(lab.exec_ok(node, &["drbdadm", what, "check"])?.trim() == wanted)
}

/// A zpool with a volume and a snapshot is imported when its node boots.
pub fn zfs_pool(lab: &Lab) -> Result<()> {
    let create = ["zpool", "create", "-f", "tank", "/dev/ubdb"];
    lab.run_ok(3, Exec::new(&create).timeout(Duration::from_secs(60)))?;
    lab.exec_ok(3, &["zfs", "create", "-V", "100M", "tank/volume"])?;
    until(|| {
        Ok(lab
            .exec(3, &["test", "-b", "/dev/zvol/tank/volume"])?
            .status
            .success())
    })?;
    lab.exec_ok(3, &["mkfs.ext4", "-q", "/dev/zvol/tank/volume"])?;
    lab.exec_ok(3, &["zfs", "snapshot", "tank/volume@one"])?;
    lab.exec_ok(3, &["zpool", "sync"])?;
    lab.kill(3)?;
    lab.boot(3)?;
    lab.exec_ok(3, &["zfs", "list", "tank/volume@one"])?;
    until(|| {
        Ok(lab
            .exec(3, &["test", "-b", "/dev/zvol/tank/volume"])?
            .status
            .success())
    })?;
    Ok(())
}
