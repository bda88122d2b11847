//! File systems that the satellite makes on new volumes, above all layers.

use linstor_api::code;
use linstor_api::kind::StorageSuffix;
use linstor_wire::spec::{Action, Instruction};

use super::{Attempt, Devices, begin_writing, end_writing};
use crate::failure::{Failure, Result};
use crate::spec_store::{FileSystemMade, Notes, VolumeNotes};
use crate::stop;
use crate::tools::filesystem::{self, FileSystem};
use crate::tools::option_line;

/// mkfs options that the satellite sets itself, or that name another device.
const MKFS_RESERVED: &[&str] = &["-V", "-n"];

/// Makes the file systems that instructions ask for and that are not noted as made.
pub async fn make(attempt: &Attempt<'_>, devices: &Devices) -> stop::Result<()> {
    for instruction in &attempt.spec.once {
        let Action::MakeFileSystem { kind, parameters } = &instruction.action else {
            continue;
        };
        let number = instruction.volume;
        let Some(device) = devices.get(&(number, StorageSuffix::Data)) else {
            continue;
        };
        if is_made(&attempt.notes(), instruction) {
            continue;
        }
        let wanted = Wanted::parse(number, kind, parameters)?;
        attempt.go_on()?;
        begin_writing(attempt, number).await?;
        let made = wanted.make_if_empty(attempt, &device.path).await;
        let noted = match made {
            Ok(kind) => {
                let made = FileSystemMade {
                    instruction: instruction.id,
                    kind,
                };
                let note = |notes: &mut VolumeNotes| notes.file_system = Some(made);
                attempt.note_volume(number, note).await
            }
            Err(failure) => {
                let name = &attempt.spec.name;
                let message = format!(
                    "No file system could be made on volume {number} of resource '{name}'."
                );
                Err(failure.context(code::FAIL_UNKNOWN_ERROR, message))
            }
        };
        let ended = end_writing(attempt, number).await;
        noted?;
        ended?;
    }
    Ok(())
}

/// Whether an instruction to make a file system was carried out, by the notes.
pub fn is_made(notes: &Notes, instruction: &Instruction) -> bool {
    let volume = notes.volumes.get(&instruction.volume);
    let made = volume.and_then(|volume| volume.file_system.as_ref());
    made.is_some_and(|made| made.instruction == instruction.id)
}

struct Wanted {
    kind: FileSystem,
    parameters: Vec<String>,
}

impl Wanted {
    fn parse(number: u32, kind: &str, parameters: &str) -> Result<Self> {
        let invalid = |key: &str, why: String| {
            let message = format!("Property '{key}' of volume {number} cannot be used.");
            Failure::new(code::FAIL_INVLD_PROP, message).cause(why)
        };
        Ok(Wanted {
            kind: kind
                .parse()
                .map_err(|why| invalid("FileSystem/Type", why))?,
            parameters: option_line::parse(parameters, MKFS_RESERVED)
                .map_err(|why| invalid("FileSystem/MkfsParams", why))?,
        })
    }

    /// Makes it, unless there is something on the device. Returns the type of what is there then.
    async fn make_if_empty(&self, attempt: &Attempt<'_>, device: &str) -> Result<String> {
        let machine = &attempt.shared.machine;
        if let Some(found) = filesystem::type_of(machine, device).await? {
            return Ok(found);
        }
        filesystem::make(machine, self.kind, &self.parameters, device).await?;
        Ok(self.kind.as_str().to_owned())
    }
}
