//! Encrypted volumes below DRBD: used, grown, and after a reboot opened once the passphrase is entered.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{HEAL_LIMIT, NODE_LIMIT, delete, device, same_everywhere, wait_for_job};
use crate::cluster::Cluster;
use crate::lab::Node;

const NAME: &str = "secret";
const PASSPHRASE: &str = "correct horse battery staple";
/// What is written: as often as it fits into a MiB.
const TEXT: &str = "not to be found on the disk\n";
const MAPPED: &str = "/dev/mapper/Linstor-Crypt-secret_00000";

/// Data is encrypted on the disk, a locked controller leaves what is open as it is, and a rebooted node waits for the
/// passphrase. Blocks that were never written decrypt to other noise on each node unless DRBD synchronises them, so the
/// comparison of the replicas needs an initial synchronisation, of the grown part too.
pub fn locked(cluster: &mut Cluster) -> Result<()> {
    let (alpha, beta) = (cluster.node(2), cluster.node(3));
    cluster.linstor(&["encryption", "create-passphrase", "-p", PASSPHRASE])?;
    cluster.linstor(&["rd", "create", NAME, "-l", "drbd,luks,storage"])?;
    let key = "DrbdOptions/ForceInitialSync";
    cluster.linstor(&["rd", "set-property", NAME, key, "True"])?;
    cluster.linstor(&["vd", "create", NAME, "40M"])?;
    for node in ["node2", "node3"] {
        cluster.linstor(&["resource", "create", node, NAME, "-s", "pool"])?;
    }
    cluster.wait_up_to_date(NAME, 2, HEAL_LIMIT)?;
    write(cluster, alpha)?;
    ensure!(!is_readable(cluster, beta)?, "the text is on the disk");
    cluster.linstor(&["vd", "set-size", NAME, "0", "60M"])?;
    let on_beta = device(cluster, NAME, beta)?;
    let sysfs = format!("/sys/block/{}/size", on_beta.trim_start_matches("/dev/"));
    cluster.wait_until("the device to grow", HEAL_LIMIT, || {
        let sectors = cluster.lab.exec_ok(beta, &["cat", &sysfs])?;
        Ok(sectors.trim().parse::<u64>()? >= 60 << 11)
    })?;
    cluster.wait_up_to_date(NAME, 2, HEAL_LIMIT)?;

    cluster.kill_controller()?;
    cluster.lab.kill(beta)?;
    cluster.lab.boot(beta)?;
    cluster.start_satellite(beta)?;
    cluster.start_controller()?;
    wait_for_job(
        cluster,
        NAME,
        "node3",
        &["the master passphrase to be entered"],
    )?;
    let list = cluster.linstor(&["resource", "list", "-r", NAME])?;
    ensure!(list.contains("LUKS not opened"), "{list}");
    let answer = cluster.try_linstor(&["encryption", "enter-passphrase", "-p", "wrong"])?;
    ensure!(answer.code != 0, "{}", answer.text);
    cluster.linstor(&["encryption", "enter-passphrase", "-p", PASSPHRASE])?;
    cluster.wait_up_to_date(NAME, 2, HEAL_LIMIT)?;
    same_everywhere(cluster, NAME, &[alpha, beta])?;

    delete(cluster, NAME)?;
    for node in [alpha, beta] {
        cluster.wait_until("the volume to be deleted", NODE_LIMIT, || {
            let mapped = cluster.lab.exec(node, &["test", "-e", MAPPED])?;
            let volumes = cluster
                .lab
                .exec_ok(node, &["lvs", "--noheadings", "-o", "lv_name", "vg0"])?;
            Ok(!mapped.status.success() && !volumes.contains(NAME))
        })?;
    }
    Ok(())
}

fn write(cluster: &Cluster, node: Node) -> Result<()> {
    let of = device(cluster, NAME, node)?;
    let on = |argv: &[&str]| cluster.lab.exec_ok(node, argv);
    let script = format!(
        "yes '{}' | head -c 1048576 | dd of={of} bs=64k conv=fsync",
        TEXT.trim()
    );
    on(&["drbdadm", "primary", NAME])?;
    let written = on(&["sh", "-c", &script]);
    cluster.wait_until("the device to be closed", Duration::from_secs(10), || {
        Ok(on(&["drbdadm", "secondary", NAME]).is_ok())
    })?;
    written.map(drop)
}

fn is_readable(cluster: &Cluster, node: Node) -> Result<bool> {
    let volume = "/dev/vg0/secret_00000";
    let found = cluster
        .lab
        .exec(node, &["grep", "-q", "-a", TEXT.trim(), volume])?;
    Ok(found.status.success())
}
