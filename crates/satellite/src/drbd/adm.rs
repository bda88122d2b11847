//! Calls of drbdadm and drbdsetup, one function per use.
//!
//! drbdadm is always given the one file that it needs: it would otherwise read those of all resources each time.

use std::path::Path;
use std::time::Duration;

use linstor_api::kind::DrbdKind;
use linstor_api::name::ResourceName;
use linstor_host::{Cmd, Deadline};

use super::v84;
use crate::failure::Result;
use crate::machine::Machine;
use crate::tools::error::ErrorKind;

/// The first attach reads the whole bitmap and applies the activity log, so only a standstill ends it.
const ADJUST_STALL: Duration = Duration::from_secs(45);

/// `drbdadm adjust` with the resource's own file; without its disks if they are skipped.
pub async fn adjust(
    machine: &Machine,
    file: &Path,
    resource: &ResourceName,
    skip_disk: bool,
) -> Result<()> {
    let cmd = drbdadm(file)
        .args(["adjust"])
        .args(skip_disk.then_some("--skip-disk"))
        .arg(resource.as_str())
        .deadline(Deadline::stall(ADJUST_STALL));
    machine.run(cmd).await.map(drop)
}

/// Takes a resource down; does nothing if it is not up.
pub async fn down(machine: &Machine, resource: &ResourceName) -> Result<()> {
    let cmd = Cmd::new("drbdsetup").args(["down", resource.as_str()]);
    machine.run(cmd).await.map(drop)
}

/// Ends the connection of a resource that has one, and makes it anew.
pub async fn reconnect(machine: &Machine, file: &Path, resource: &ResourceName) -> Result<()> {
    for command in ["disconnect", "connect"] {
        machine
            .run(drbdadm(file).args([command, resource.as_str()]))
            .await?;
    }
    Ok(())
}

/// `drbdsetup primary`.
pub async fn primary(
    machine: &Machine,
    kind: DrbdKind,
    resource: &ResourceName,
    minor: u32,
) -> Result<()> {
    let cmd = Cmd::new("drbdsetup").arg("primary");
    machine
        .run(cmd.arg(v84::role_object(kind, resource, minor)))
        .await
        .map(drop)
}

/// `drbdsetup secondary`.
pub async fn secondary(
    machine: &Machine,
    kind: DrbdKind,
    resource: &ResourceName,
    minor: u32,
) -> Result<()> {
    let cmd = Cmd::new("drbdsetup").arg("secondary");
    machine
        .run(cmd.arg(v84::role_object(kind, resource, minor)))
        .await
        .map(drop)
}

/// Detaches a volume's disk on purpose: the replica is diskless from now on. Only DRBD 9 has that.
pub async fn detach(machine: &Machine, minor: u32) -> Result<()> {
    let minor = minor.to_string();
    let cmd = Cmd::new("drbdsetup").args(["detach", minor.as_str(), "--diskless"]);
    machine.run(cmd).await.map(drop)
}

/// Frees what DRBD has of a volume's disk that is gone. The replica is not diskless on purpose. Refused for the last good data.
pub async fn release_disk(machine: &Machine, minor: u32) -> Result<()> {
    let cmd = Cmd::new("drbdsetup").args(["detach".to_owned(), minor.to_string()]);
    machine.run(cmd).await.map(drop)
}

/// Removes a node that is no longer a peer, with its connection. It may be gone already: the attempt before has removed it,
/// and the event is not read yet.
pub async fn del_peer(machine: &Machine, resource: &ResourceName, node_id: u32) -> Result<()> {
    let cmd = Cmd::new("drbdsetup").args([
        "del-peer".to_owned(),
        resource.to_string(),
        node_id.to_string(),
    ]);
    match machine.run(cmd).await {
        Err(failure) if failure.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map(drop),
    }
}

/// Frees the bitmap slot of a node that is no longer a peer. A failure is only logged: a peer without a slot is no
/// error, and DRBD's exit code for that differs between versions.
pub async fn forget_peer(machine: &Machine, resource: &ResourceName, node_id: u32) -> Result<()> {
    let cmd = Cmd::new("drbdsetup").args([
        "forget-peer".to_owned(),
        resource.to_string(),
        node_id.to_string(),
    ]);
    let output = machine.try_run(cmd).await?;
    if !output.success() {
        tracing::debug!(
            cmd = output.cmd,
            stderr = output.stderr,
            "forget-peer failed: the peer had no bitmap slot"
        );
    }
    Ok(())
}

/// Resizes a volume to so many KiB, if all backing devices are that large, or to the size of the smallest one; and whether the
/// new space is the same on all replicas, and is not synchronised. A size is the limit for all replicas until the next resize
/// or until they are taken down. Succeeds without effect while a peer is away. `drbdadm` would wait for the size, and note
/// an end of the backing device where the metadata may not be (see [`super::ends`]).
pub async fn resize(
    machine: &Machine,
    minor: u32,
    size_kib: Option<u64>,
    assume_clean: bool,
) -> Result<()> {
    let cmd = Cmd::new("drbdsetup")
        .args(["resize".to_owned(), minor.to_string()])
        .args(size_kib.map(|kib| format!("--size={kib}K")))
        .args(assume_clean.then_some("--assume-clean"))
        .deadline(Deadline::stall(ADJUST_STALL));
    machine.run(cmd).await.map(drop)
}

/// Has drbd-utils note where the backing device of a minor ends that DRBD has attached.
pub async fn check_resize(machine: &Machine, minor: u32) -> Result<()> {
    let cmd = Cmd::new("drbdsetup").arg("check-resize");
    machine.run(cmd.arg(minor.to_string())).await.map(drop)
}

/// The command that prints DRBD's state and then each change of it.
pub fn events() -> Cmd {
    Cmd::new("drbdsetup").args(["events2", "--statistics"])
}

/// The command that prints a resource's state once, in the form of the events. The size of a volume changes without
/// an event.
pub fn now(resource: &ResourceName) -> Cmd {
    Cmd::new("drbdsetup").args(["events2", "--now", "--statistics", resource.as_str()])
}

/// The command that prints a resource's state once, with the progress of a resync that events of 8.4 do not have.
pub fn status(resource: &str) -> Cmd {
    Cmd::new("drbdsetup").args(["status", resource, "--verbose", "--statistics"])
}

fn drbdadm(file: &Path) -> Cmd {
    Cmd::new("drbdadm").arg("-c").arg(file.to_string_lossy())
}
