//! Encryption: a LUKS header on each backing volume, and the device that opening it gives.
//!
//! The key of a volume is in specs while the controller has the master key, and never on a disk of the node. Without it
//! a device that is open remains so; a volume that would have to be opened or grown waits.

use std::path::Path;
use std::time::Duration;

use linstor_api::code;
use linstor_api::kind::{LayerKind, StorageSuffix};
use linstor_host::{DeviceUse, Place};
use linstor_wire::spec::{Action, LuksSpec, LuksVolumeSpec, StorageRef};
use linstor_wire::status::LuksStatus;

use super::{Attempt, Devices, storage};
use crate::failure::{Failure, Result};
use crate::providers::Backing;
use crate::spec_store::{Stage, VolumeNotes};
use crate::stop::{self, Awaited, Check};
use crate::tools::cryptsetup::{self, FORMAT_RESERVED, NewHeader, OPEN_RESERVED};
use crate::tools::error::ErrorKind;
use crate::tools::option_line;

/// Size of the largest header with default options: what is overwritten when a volume is deleted.
const HEADER_BYTES: u64 = 16 << 20;
/// How long an open device may take to appear below `/dev`.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);

/// The name of an open device in the device mapper.
pub fn device_name(volume_name: &str) -> String {
    format!("Linstor-Crypt-{volume_name}")
}

fn path_of(name: &str) -> String {
    format!("/dev/mapper/{name}")
}

/// One backing volume.
struct Volume<'a> {
    attempt: &'a Attempt<'a>,
    luks: &'a LuksSpec,
    spec: &'a LuksVolumeSpec,
    backing: &'a Backing,
    /// Name of the open device.
    name: String,
    /// It is a copy of a volume with a header.
    has_header: bool,
}

/// Opens every backing volume, with a new header where the volume is new, in the size of the device below.
pub async fn up(attempt: &Attempt<'_>, luks: &LuksSpec, below: &Devices) -> stop::Result<Devices> {
    let mut devices = Devices::new();
    for ((number, suffix), backing) in below {
        let Some(spec) = luks.volume(*number) else {
            continue;
        };
        attempt.go_on()?;
        let volume_name = storage::volume_name(&attempt.spec.name, *suffix, *number);
        let volume = Volume {
            attempt,
            luks,
            spec,
            backing,
            name: device_name(&volume_name),
            has_header: *suffix == StorageSuffix::Data
                && storage::source(attempt, *number).is_some(),
        };
        let device = volume.up().await?;
        if *suffix == StorageSuffix::Data {
            note_open(attempt, *number, Some(&device));
        }
        attempt.completed(LayerKind::Luks, *number).await?;
        devices.insert((*number, *suffix), device);
    }
    for (number, _) in below.keys() {
        note_key_changed(attempt, *number).await?;
    }
    Ok(devices)
}

impl Volume<'_> {
    async fn up(&self) -> stop::Result<Backing> {
        let found_kib = self.open_kib().await?;
        if found_kib.is_none() {
            self.await_key().await?;
            match self.attempt.stage(self.spec.number) {
                Some(Stage::New | Stage::Replacement) if !self.has_header => self.format().await?,
                _ => self.check_header().await?,
            }
        }
        self.change_key().await?;
        let mut size_kib = match found_kib {
            Some(kib) => kib,
            None => self.open().await?,
        };
        if size_kib < self.backing.size_kib.saturating_sub(self.spec.header_kib) {
            self.await_key().await?;
            let machine = &self.attempt.shared.machine;
            if !cryptsetup::resize(machine, &self.name, &self.spec.key).await? {
                return Err(self.wrong_key().into());
            }
            size_kib = self.size_kib().await?;
        }
        Ok(Backing {
            path: path_of(&self.name),
            size_kib,
            allocated_kib: None,
        })
    }

    /// Size of the device that was just opened or resized.
    async fn size_kib(&self) -> Result<u64> {
        let path = path_of(&self.name);
        let host = self.attempt.shared.machine.host();
        Ok(host
            .wait_for_device(Path::new(&path), APPEARS_WITHIN)
            .await?
            / 1024)
    }

    /// Size of the open device; none if there is none. One of this name that does not use the backing volume is not ours.
    async fn open_kib(&self) -> Result<Option<u64>> {
        let host = self.attempt.shared.machine.host();
        let path = path_of(&self.name);
        let Some(bytes) = host.block_device_size(Path::new(&path)).await? else {
            return Ok(None);
        };
        let backing = &self.backing.path;
        if host.device_use(Path::new(backing)).await? == DeviceUse::Free {
            let message =
                format!("'{path}' exists, but is not on '{backing}'; it was not changed.");
            return Err(
                Failure::new(code::FAIL_INVLD_STOR_DRIVER, message).correction(format!(
                    "If nothing uses it, close it with 'cryptsetup close {}'.",
                    self.name
                )),
            );
        }
        Ok(Some(bytes / 1024))
    }

    async fn await_key(&self) -> stop::Result<()> {
        if !self.spec.key.is_empty() {
            return Ok(());
        }
        // Only a new spec brings it.
        let never = |_: &crate::shared::Shared| Check::NotYet(None);
        self.attempt
            .wait(Awaited::Key(self.luks.withheld), never)
            .await?;
        let message = format!(
            "The key of volume {} of resource '{}' did not arrive.",
            self.spec.number, self.attempt.spec.name
        );
        Err(Failure::new(code::FAIL_NOT_FOUND_CRYPT_KEY, message).into())
    }

    /// Writes a header on a volume that holds no data. An attempt that was interrupted may have written one.
    async fn format(&self) -> Result<()> {
        let options = &self.spec.format_options;
        let header = NewHeader {
            header_kib: self.spec.header_kib,
            generated: self.spec.generated,
            options: &parse("StorDriver/LuksFormatOptions", options, FORMAT_RESERVED)?,
        };
        let (machine, path) = (&self.attempt.shared.machine, &self.backing.path);
        cryptsetup::format(machine, path, &header, &self.spec.key)
            .await
            .map_err(|failure| {
                let message = format!("No LUKS header could be written on '{path}'.");
                failure.under(message)
            })
    }

    /// A volume that was in use must have its header.
    async fn check_header(&self) -> Result<()> {
        let path = &self.backing.path;
        if cryptsetup::is_luks(&self.attempt.shared.machine, path).await? {
            return Ok(());
        }
        let message = format!("'{path}' has no LUKS header any more.");
        Err(Failure::new(code::FAIL_INVLD_RSC_STATE, message)
            .cause(
                "It was in use by this resource. A new header is not written, as that would give up what is on it.",
            )
            .correction(
                "Restore a copy of the header with 'cryptsetup luksHeaderRestore', or, if another replica is up to \
                 date, delete this one and create it again.",
            ))
    }

    /// Opens the device; its size in KiB.
    async fn open(&self) -> Result<u64> {
        let (machine, path) = (&self.attempt.shared.machine, &self.backing.path);
        let options = parse(
            "StorDriver/LuksOpenOptions",
            &self.spec.open_options,
            OPEN_RESERVED,
        )?;
        let discards = self.spec.allow_discards;
        let opened = cryptsetup::open(
            machine,
            path,
            &self.name,
            discards,
            &options,
            &self.spec.key,
        )
        .await;
        match opened.map_err(|failure| failure.under(format!("'{path}' cannot be opened.")))? {
            true => self.size_kib().await,
            false => Err(self.wrong_key()),
        }
    }

    fn wrong_key(&self) -> Failure {
        let path = &self.backing.path;
        let message = format!("The key of '{path}' does not open its LUKS header.");
        Failure::new(code::FAIL_INVLD_CRYPT_PASSPHRASE, message)
            .cause("The key was changed with other tools, or the header is that of another volume.")
            .correction(format!(
                "Set the key of the controller for the header with 'cryptsetup luksChangeKey {path}', or delete the \
                 resource on this node and create it again."
            ))
    }

    /// Gives the header its new key, if one was set. The header has the one or the other, whenever this is interrupted.
    async fn change_key(&self) -> stop::Result<()> {
        let Some(former) = self.former() else {
            return Ok(());
        };
        self.await_key().await?;
        let (machine, path, key) = (
            &self.attempt.shared.machine,
            &self.backing.path,
            &self.spec.key,
        );
        if cryptsetup::has_key(machine, path, key).await?
            || cryptsetup::change_key(machine, path, former, key).await?
        {
            return Ok(());
        }
        Err(self.wrong_key().into())
    }

    /// The key that the header may still have.
    fn former(&self) -> Option<&linstor_wire::Secret> {
        let number = self.spec.number;
        let notes = self.attempt.notes();
        let done = notes.volumes.get(&number).and_then(|v| v.key_changed);
        let mut once = self.attempt.spec.once.iter().filter(|i| i.volume == number);
        once.find_map(|instruction| match &instruction.action {
            Action::ChangeLuksKey { former } if done != Some(instruction.id) => Some(former),
            _ => None,
        })
    }
}

/// Notes that all headers of a volume have the key that an instruction asks for.
async fn note_key_changed(attempt: &Attempt<'_>, number: u32) -> Result<()> {
    let mut once = attempt.spec.once.iter().filter(|i| i.volume == number);
    let change = once.find(|i| matches!(i.action, Action::ChangeLuksKey { .. }));
    match change.map(|instruction| instruction.id) {
        Some(id) => {
            let note = |notes: &mut VolumeNotes| notes.key_changed = Some(id);
            attempt.note_volume(number, note).await
        }
        None => Ok(()),
    }
}

fn parse(key: &str, options: &str, reserved: &[&str]) -> Result<Vec<String>> {
    option_line::parse(options, reserved).map_err(|why| {
        let message = format!("Property '{key}' cannot be used.");
        Failure::new(code::FAIL_INVLD_PROP, message)
            .cause(format!("Its value is '{}': {why}.", options.escape_debug()))
            .correction(format!("Change property '{key}'."))
    })
}

/// Closes all devices.
pub async fn down(attempt: &Attempt<'_>) -> Result<()> {
    for volume in storage::own_volumes(attempt.spec) {
        close(attempt, &volume).await?;
    }
    Ok(())
}

/// Closes the device of a backing volume and overwrites the header, without which the content of the volume is lost.
pub async fn remove(attempt: &Attempt<'_>, volume: &StorageRef) -> Result<()> {
    close(attempt, volume).await?;
    if attempt
        .spec
        .shared
        .as_ref()
        .is_some_and(|shared| shared.keep)
    {
        return Ok(());
    }
    let Some(backing) = storage::find(attempt, volume).await? else {
        return Ok(());
    };
    let (machine, path) = (&attempt.shared.machine, Path::new(&backing.path));
    if machine.host().block_device_size(path).await?.is_none() {
        tracing::warn!(
            device = backing.path,
            "no device, its LUKS header is not overwritten"
        );
        return Ok(());
    }
    let luks = attempt
        .spec
        .luks()
        .and_then(|luks| luks.volume(volume.number));
    let bytes = luks.map_or(HEADER_BYTES, |luks| luks.header_kib * 1024);
    if cryptsetup::is_luks(machine, &backing.path).await? {
        machine
            .host()
            .zero(path, Place::FromStart(0), bytes)
            .await?;
    }
    Ok(())
}

async fn close(attempt: &Attempt<'_>, volume: &StorageRef) -> Result<()> {
    let machine = &attempt.shared.machine;
    let volume_name = storage::volume_name(&attempt.spec.name, volume.suffix, volume.number);
    let name = device_name(&volume_name);
    let path = path_of(&name);
    let size = machine.host().block_device_size(Path::new(&path)).await?;
    if size.is_some() {
        cryptsetup::close(machine, &name)
            .await
            .map_err(|failure| match failure.kind() {
                ErrorKind::InUse => storage::in_use(attempt, failure),
                _ => failure.under(format!("'{path}' cannot be closed.")),
            })?;
    }
    if volume.suffix == StorageSuffix::Data {
        note_open(attempt, volume.number, None);
    }
    Ok(())
}

/// Stores what is known of an open device; a change is reported to the controller.
fn note_open(attempt: &Attempt<'_>, number: u32, device: Option<&Backing>) {
    let mut state = attempt.shared.state();
    let Some(tracked) = state.objects.get_mut(attempt.key) else {
        return;
    };
    let changed = match device {
        None => tracked.luks.remove(&number).is_some(),
        Some(device) => {
            let status = LuksStatus {
                device: device.path.clone(),
                size_kib: device.size_kib,
            };
            tracked.luks.insert(number, status.clone()) != Some(status)
        }
    };
    if changed {
        state.outbox.status(attempt.key);
        drop(state);
        attempt.shared.outgoing.notify_one();
    }
}
