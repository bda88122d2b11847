//! Whether a volume is in use, asked before it is taken away.
//!
//! A process can open a device after this check; only the kernel's refusal to deactivate, detach or destroy it is safe.
//! The check gives the reason for the error message, and comes before steps that would be done halfway.

use std::path::Path;
use std::time::Duration;

use linstor_api::code;
use linstor_host::DeviceUse;
use tokio::time::{Instant, sleep};

use crate::failure::{Failure, Result};
use crate::machine::Machine;

/// A device above, DRBD's for example, releases a device some moments after it was taken down.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

/// Fails if a device is mounted, or another one lies on it.
pub async fn refuse(machine: &Machine, device: &str) -> Result<()> {
    let give_up = Instant::now() + RELEASE_LIMIT;
    loop {
        let cause = match machine.host().device_use(Path::new(device)).await {
            Ok(DeviceUse::Free) => return Ok(()),
            Ok(DeviceUse::Mounted { on }) => {
                return Err(failure(device, format!("It is mounted on '{on}'.")));
            }
            Ok(DeviceUse::Claimed { by: Some(by) }) => format!("It is held by {by}."),
            Ok(DeviceUse::Claimed { by: None }) => "Something holds it exclusively.".to_owned(),
            // Volumes of a disk that failed must be removable. The kernel refuses if the device is in use.
            Err(error) => {
                tracing::debug!(device, %error, "whether a device is in use cannot be determined");
                return Ok(());
            }
        };
        if Instant::now() >= give_up {
            return Err(failure(device, cause));
        }
        sleep(POLL).await;
    }
}

/// The failure of taking away a device that is in use.
pub fn failure(device: &str, cause: impl Into<String>) -> Failure {
    Failure::new(code::FAIL_IN_USE, format!("Device '{device}' is in use.")).cause(cause)
}
