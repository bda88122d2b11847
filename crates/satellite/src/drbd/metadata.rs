//! DRBD's metadata on a backing device: reading it, creating it, and the generation ids of new metadata.

use std::path::Path;

use linstor_api::code;
use linstor_api::kind::DrbdKind;
use linstor_host::{Cmd, Deadline};
use linstor_wire::spec::InitialState;

use super::v84;
use crate::failure::{Failure, Result, printed};
use crate::machine::Machine;

/// The current id of metadata that has just been created and knows of no data.
const JUST_CREATED: u64 = 4;
/// Slots for peers in metadata of DRBD 9, used or not.
const PEER_SLOTS_ALL: u32 = 32;
/// The last size of the volume in the metadata. One of 0 would make the first attach mark everything as different;
/// one beyond the device is cut to it.
const LAST_SIZE_SECTORS: u64 = 1 << 40;
/// Metadata creation grows with the device, so only a standstill ends it.
const STALL: std::time::Duration = std::time::Duration::from_secs(45);

/// Where metadata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// Which DRBD.
    pub kind: DrbdKind,
    /// The DRBD device's minor number.
    pub minor: u32,
    /// The device that it is on.
    pub device: &'a str,
    /// Size of the device with the data, in KiB, when the metadata is not at its end.
    pub external: Option<u64>,
}

/// The first fields of the generation ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationIds {
    /// Of the data on the disk.
    pub current: u64,
    /// Of the data that the bitmap counts from.
    pub bitmap: u64,
    /// The disk is consistent.
    pub consistent: bool,
    /// The disk is, or was, up to date.
    pub up_to_date: bool,
}

impl GenerationIds {
    /// Nothing but the creation has happened to this metadata.
    pub fn is_just_created(&self) -> bool {
        self.current & !1 == JUST_CREATED
    }
}

impl std::str::FromStr for GenerationIds {
    type Err = String;

    fn from_str(line: &str) -> std::result::Result<Self, String> {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [current, bitmap, _, _, consistent, up_to_date, ..] = fields[..] else {
            return Err(format!("{} fields instead of at least 6", fields.len()));
        };
        let id = |text: &str| u64::from_str_radix(text, 16).map_err(|e| format!("{text:?}: {e}"));
        Ok(GenerationIds {
            current: id(current)?,
            bitmap: id(bitmap)?,
            consistent: consistent == "1",
            up_to_date: up_to_date == "1",
        })
    }
}

/// The generation ids in the metadata. `None` only if drbdmeta finds no metadata: taking any other failure for that
/// would destroy data.
pub async fn read(machine: &Machine, place: &Place<'_>) -> Result<Option<GenerationIds>> {
    let mut cmd = Cmd::new("drbdmeta").arg("--force");
    if v84::has_node_ids(place.kind) {
        cmd = cmd.args(["--node-id", "0"]);
    }
    let cmd = drbdmeta(cmd, place).arg("get-gi");
    let output = machine.try_run(cmd).await?;
    let line = output.stdout.lines().find(|l| l.matches(':').count() >= 6);
    match (output.code, line) {
        (0, Some(line)) => line.parse().map(Some).map_err(|reason| {
            Failure::new(
                code::FAIL_UNKNOWN_ERROR,
                format!("The DRBD metadata on '{}' cannot be read.", place.device),
            )
            .cause(reason)
            .details(line.to_owned())
        }),
        (1 | 255, None) => Ok(None),
        (exit_code, _) => Err(Failure::new(
            code::FAIL_UNKNOWN_ERROR,
            format!(
                "It is not known whether '{}' has DRBD metadata.",
                place.device
            ),
        )
        .cause(printed(&output))
        .details(format!("Exit code {exit_code} of command: {}", output.cmd))),
    }
}

/// How new metadata is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Peers that it has room for; 8.4 always has one.
    pub peer_slots: u32,
    /// Activity log stripes.
    pub al_stripes: u32,
    /// KiB per stripe.
    pub al_stripe_kib: u32,
}

/// Creates metadata of a volume without data: its content comes from a peer.
pub async fn create(machine: &Machine, place: &Place<'_>, layout: &Layout) -> Result<()> {
    let mut cmd = drbdmeta(Cmd::new("drbdmeta").arg("--force"), place).arg("create-md");
    if v84::has_node_ids(place.kind) {
        cmd = cmd.arg(layout.peer_slots.to_string());
    }
    if (layout.al_stripes, layout.al_stripe_kib) != (1, 32) {
        cmd = cmd
            .arg(format!("--al-stripes={}", layout.al_stripes))
            .arg(format!("--al-stripe-size-kB={}", layout.al_stripe_kib));
    }
    machine
        .run(cmd.deadline(Deadline::stall(STALL)))
        .await
        .map_err(|f| {
            f.context(
                code::FAIL_UNKNOWN_ERROR,
                format!("DRBD metadata cannot be created on '{}'.", place.device),
            )
        })?;
    Ok(())
}

/// What new metadata declares the data to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// It begins a new generation.
    NewGeneration,
    /// As of an older generation, or unknown.
    Initial(InitialState),
}

/// Writes the generation ids of a volume whose content is known. One command sets all slots.
pub async fn set_content(
    machine: &Machine,
    place: &Place<'_>,
    layout: &Layout,
    content: Content,
    day0: u64,
    file: &Path,
) -> Result<()> {
    let text = match content {
        Content::Initial(InitialState::FullSync) => return Ok(()),
        Content::NewGeneration => {
            // An even number, as the lowest bit means "primary".
            let current = machine.host().random_u64() & !1;
            dump(machine, place, layout, (current, day0), true)
        }
        Content::Initial(InitialState::SameAsDay0) => {
            dump(machine, place, layout, (day0, 0), false)
        }
    };
    machine
        .host()
        .write_atomic(file, text.as_bytes(), 0o600)
        .await?;
    let cmd = drbdmeta(Cmd::new("drbdmeta").arg("--force"), place)
        .arg("restore-md")
        .arg(file.to_string_lossy());
    let restored = machine.run(cmd.deadline(Deadline::stall(STALL))).await;
    machine.host().remove_file(file).await?;
    restored.map_err(|f| {
        f.context(
            code::FAIL_UNKNOWN_ERROR,
            format!("The generation ids of '{}' cannot be set.", place.device),
        )
    })?;
    Ok(())
}

/// Moves internal metadata to the end of a device that grew while DRBD did not have it open.
pub async fn follow_growth(machine: &Machine, place: &Place<'_>) -> Result<()> {
    machine.try_run(check_resize(place)).await?;
    Ok(())
}

/// Has drbd-utils note where a device ends that DRBD does not have attached; moves internal metadata to there that is where
/// they noted the end before.
pub async fn note_end(machine: &Machine, place: &Place<'_>) -> Result<()> {
    machine.run(check_resize(place)).await.map_err(|failure| {
        let message = format!(
            "Where '{}' ends is not noted for DRBD; it is not grown.",
            place.device
        );
        failure.under(message)
    })?;
    Ok(())
}

fn check_resize(place: &Place<'_>) -> Cmd {
    let cmd = drbdmeta(Cmd::new("drbdmeta").arg("--force"), place).arg("check-resize");
    cmd.deadline(Deadline::stall(STALL))
}

fn drbdmeta(cmd: Cmd, place: &Place<'_>) -> Cmd {
    let index = match place.external {
        Some(_) => "flex-external",
        None => "internal",
    };
    cmd.arg(place.minor.to_string())
        .args([v84::metadata_format(place.kind), place.device, index])
}

/// The text that `restore-md` reads, with the current and the bitmap id. Empty bitmaps leave those of the creation,
/// which are all zero.
///
/// A copy that equals day 0 is consistent but not up to date: it attaches as outdated, so that it can be promoted
/// only after it has been connected to the replica that began the first generation.
fn dump(
    machine: &Machine,
    place: &Place<'_>,
    layout: &Layout,
    ids: (u64, u64),
    up_to_date: bool,
) -> String {
    let device_uuid = machine.host().random_u64();
    // With external metadata DRBD does not reduce it.
    let size = place.external.map_or(LAST_SIZE_SECTORS, |kib| kib / 4 * 8);
    v84::metadata_dump(place.kind, layout, ids, up_to_date, device_uuid, size)
        .unwrap_or_else(|| dump_9(layout, ids, up_to_date, device_uuid, size))
}

fn dump_9(
    layout: &Layout,
    (current, bitmap): (u64, u64),
    up_to_date: bool,
    device_uuid: u64,
    last_size_sectors: u64,
) -> String {
    let flags = if up_to_date { 0x91 } else { 0x81 };
    let mut text = format!(
        "version \"v09\";\nmax-peers {};\nnode-id -1;\ncurrent-uuid 0x{current:016X};\nflags 0x{flags:08X};\n",
        layout.peer_slots
    );
    for slot in 0..PEER_SLOTS_ALL {
        text.push_str(&format!(
            "peer[{slot}] {{ bitmap-index -1; bitmap-uuid 0x{bitmap:016X}; \
             bitmap-dagtag 0x{:016X}; flags 0x{:08X}; }}\n",
            0, 0
        ));
    }
    text.push_str("history-uuids {\n");
    for _ in 0..PEER_SLOTS_ALL {
        text.push_str("0x0000000000000000;\n");
    }
    text.push_str(&format!(
        "}}\nla-size-sect {last_size_sectors};\nbm-byte-per-bit 4096;\ndevice-uuid 0x{device_uuid:016X};\n\
         la-peer-max-bio-size 0;\nal-stripes {};\nal-stripe-size-4k {};\n",
        layout.al_stripes,
        layout.al_stripe_kib / 4
    ));
    for index in 0..layout.peer_slots {
        text.push_str(&format!("bitmap[{index}] {{ }}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of both kinds; what is just created is recognised.
    #[test]
    fn generation_ids_are_read() {
        let nine = "0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:0:1:0:0:0:0:0:0:0\n";
        let ids: GenerationIds = nine.parse().unwrap();
        assert!(ids.is_just_created() && !ids.up_to_date);
        let old =
            "F79BB0174372CDCC:0000000000000000:DA01DA00DA00DA00:DA00DA00DA00DA00:1:1:0:1:0:0:0";
        let ids: GenerationIds = old.parse().unwrap();
        assert_eq!(ids.current, 0xF79B_B017_4372_CDCC);
        assert!(ids.consistent && ids.up_to_date && !ids.is_just_created());
    }

    proptest::proptest! {
        /// Whatever the tool prints, nothing panics.
        #[test]
        fn never_panics(line in ".{0,100}") {
            let _ = line.parse::<GenerationIds>();
        }
    }
}
