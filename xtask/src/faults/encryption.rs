//! Encrypted volumes below DRBD: used, grown, and after a reboot opened once the passphrase is entered.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{HEAL_LIMIT, NODE_LIMIT, delete, device, same_everywhere, wait_for_job};
use crate::cluster::Cluster;
use crate::lab::Node;

const NAME: &str = "secret";
const PASSPHRASE: &str = "correct horse battery staple";
const OTHER_PASSPHRASE: &str = "nine lives of a canary";
/// Passphrase of the volume itself.
const OF_VOLUME: &str = "a canary in the volume";
/// What is written: as often as it fits into a MiB.
const TEXT: &str = "not to be found on the disk\n";
const MAPPED: &str = "/dev/mapper/Linstor-Crypt-secret_00000";

/// Data is encrypted on the disk, a locked controller leaves what is open as it is, and a rebooted node waits for the
/// passphrase. Blocks that were never written decrypt to other noise on each node unless DRBD synchronises them, so the
/// comparison of the replicas needs an initial synchronisation, of the grown part too.
pub fn locked(cluster: &mut Cluster) -> Result<()> {
    let (alpha, beta) = (cluster.node(2), cluster.node(3));
    let filter = cluster.set_log_filter("trace");
    cluster.kill_controller()?;
    cluster.start_controller()?;
    for node in [alpha, beta] {
        cluster.kill_satellite(node)?;
        cluster.start_satellite(node)?;
    }
    cluster.linstor(&["encryption", "create-passphrase", "-p", PASSPHRASE])?;
    cluster.linstor(&["rd", "create", NAME, "-l", "drbd,luks,storage"])?;
    let key = "DrbdOptions/ForceInitialSync";
    cluster.linstor(&["rd", "set-property", NAME, key, "True"])?;
    cluster.linstor(&["vd", "create", NAME, "40M", "--passphrase", OF_VOLUME])?;
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
    let change = ["encryption", "modify-passphrase"];
    let change = change.into_iter().chain(["--old-passphrase", PASSPHRASE]);
    let change = change.chain(["--new-passphrase", OTHER_PASSPHRASE]);
    cluster.linstor(&change.collect::<Vec<_>>())?;
    for node in cluster.lab.nodes() {
        no_trace(cluster, node)?;
    }
    cluster.set_log_filter(filter);

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

/// No secret is in what the programs have written, at the finest level of their logs: databases, specs, configuration of
/// DRBD, error reports and logs, as text or in base64.
fn no_trace(cluster: &Cluster, node: Node) -> Result<()> {
    // `base64` of each, without the last group, which depends on what follows.
    const SECRETS: [&str; 6] = [
        PASSPHRASE,
        OTHER_PASSPHRASE,
        OF_VOLUME,
        "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBs",
        "bmluZSBsaXZlcyBvZiBhIGNhbmFy",
        "YSBjYW5hcnkgaW4gdGhlIHZvbHVt",
    ];
    let log_of = |program: &str| format!("/mnt/{node}/{program}.log");
    let (controller, satellite) = (log_of("controller"), log_of("satellite"));
    let state = [
        "/var/lib/linstor",
        "/var/lib/linstor.d",
        &controller,
        &satellite,
    ];
    let find = |what: &[&str], places: &[&str]| {
        let mut grep = vec!["grep", "-rlaFs", "--devices=skip"];
        grep.extend(what.iter().flat_map(|text| ["-e", *text]));
        grep.extend(places);
        let found = cluster.lab.exec(node, &grep)?;
        ensure!(found.status.code().is_some(), "grep did not end on {node}");
        anyhow::Ok(String::from_utf8_lossy(&found.stdout).trim().to_owned())
    };
    let elsewhere = ["/var/log", "/etc/drbd.d", "/run", "/tmp"];
    let found = find(&SECRETS, &[&state[..], &elsewhere].concat())?;
    ensure!(found.is_empty(), "a secret is in {found} of {node}");
    let found = find(&[NAME], &state)?;
    ensure!(!found.is_empty(), "no file of {node} was read");
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
