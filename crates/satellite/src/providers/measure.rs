//! Devices as they are after a command: its exit code is not believed.

use std::path::Path;
use std::time::Duration;

use linstor_api::code;
use tokio::time::{Instant, sleep};

use super::Storage;
use crate::failure::{Failure, Result};

/// A device shows its new size some moments after the command that makes it larger has ended.
const POLL: Duration = Duration::from_millis(50);

/// Waits until a device exists and has at least this size; returns its size in KiB.
pub async fn device(
    storage: Storage<'_>,
    device: &str,
    least_kib: u64,
    limit: Duration,
) -> Result<u64> {
    let host = storage.machine.host();
    let give_up = Instant::now() + limit;
    let mut bytes = host.wait_for_device(Path::new(device), limit).await?;
    while bytes / 1024 < least_kib {
        if Instant::now() >= give_up {
            let what = format!("Device '{device}'");
            return Err(too_small(&what, bytes / 1024, least_kib));
        }
        sleep(POLL).await;
        let now = host.block_device_size(Path::new(device)).await?;
        bytes = now.unwrap_or(0);
    }
    Ok(bytes / 1024)
}

/// As [`device`], for one that the device mapper has by now under this name, whether or not udev knows it yet.
pub async fn mapped(storage: Storage<'_>, name: &str, least_kib: u64) -> Result<u64> {
    let bytes = storage.machine.host().mapped_device_size(name).await?;
    let size_kib = bytes.unwrap_or(0) / 1024;
    if size_kib < least_kib {
        let what = format!("Device '/dev/mapper/{name}'");
        return Err(too_small(&what, size_kib, least_kib));
    }
    Ok(size_kib)
}

/// The size of a device in KiB, before it is made larger: an earlier query may not know of what was done by hand since, and
/// the tools would make it smaller. 0 if there is no such device.
pub async fn now(storage: Storage<'_>, device: &str) -> Result<u64> {
    let host = storage.machine.host();
    let bytes = host.block_device_size(Path::new(device)).await?;
    Ok(bytes.unwrap_or(0) / 1024)
}

/// The failure of a command that reported success and did less.
pub fn too_small(what: &str, size_kib: u64, least_kib: u64) -> Failure {
    Failure::new(
        code::FAIL_NOT_ENOUGH_FREE_SPACE,
        format!("{what} has {size_kib} KiB, {least_kib} KiB are needed."),
    )
    .cause("The command that makes it that large reported success. Its storage pool may be full.")
    .correction("Check the storage pool; the satellite tries again by itself.")
}

/// The failure of a removal that was reported as a success.
pub fn still_there(what: &str) -> Failure {
    Failure::new(code::FAIL_UNKNOWN_ERROR, format!("{what} still exists."))
        .cause("The command that removes it reported success.")
        .correction("See the kernel's log; the satellite tries again by itself.")
}
