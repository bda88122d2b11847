//! The steps of the DRBD layer, each of which does nothing when there is nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use linstor_api::code;
use linstor_api::drbd_state::DiskState;
use linstor_api::kind::DrbdKind;
use linstor_host::{Host, PortState};
use linstor_wire::spec::{DrbdSpec, DrbdVolumeSpec, InitialState, VolumeSpec};

use super::promotion;
use crate::drbd::metadata::{self, Layout, Place};
use crate::drbd::picture::Seen;
use crate::drbd::resfile::{self, live_volumes};
use crate::drbd::status::{DrbdConnection, DrbdResource};
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::providers::Backing;
use crate::spec_store::{Notes, Stage};
use crate::tools::filesystem::{self, FileSystem};
use crate::tools::words;

/// How long a new volume may take until it can be made primary for its file system.
const PROMOTE_WAIT: Duration = Duration::from_secs(10);
/// Attempts to make a volume secondary again: udev still looks at a new file system.
const SECONDARY_ATTEMPTS: u32 = 7;
/// The first pause between them.
const SECONDARY_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between them.
const SECONDARY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// mkfs options that would make it look elsewhere.
const MKFS_RESERVED: &[&str] = &["-V", "-n"];

/// Refuses what the kernel's own DRBD 8.4 cannot do.
pub fn check_drbd84(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> Result<()> {
    let cause = if drbd.peers.len() > 1 {
        format!(
            "DRBD 8.4 replicates between two nodes, and '{}' is to be on {}.",
            attempt.spec.name,
            drbd.peers.len() + 1
        )
    } else if drbd.diskless || drbd.peers.iter().any(|p| p.diskless) {
        "DRBD 8.4 has no diskless replicas.".to_owned()
    } else if drbd.options.get("quorum").is_some_and(|q| q != "off") {
        "DRBD 8.4 has no quorum.".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::new(
        code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
        format!(
            "The DRBD on this node cannot do what '{}' needs.",
            attempt.spec.name
        ),
    )
    .cause(cause)
    .correction("Install DRBD 9 on the nodes, or place the resource on two nodes with disks.")
    .about("RscDfn", attempt.spec.name.clone()))
}

/// Refuses to set up a resource whose port somebody else has: DRBD would wait for its peers for ever.
pub async fn check_port(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> Result<()> {
    if drbd.peers.is_empty() {
        return Ok(());
    }
    match attempt.shared.machine.host().test_bind(drbd.port).await? {
        PortState::Free => Ok(()),
        PortState::Busy { holder } => {
            let by = match holder {
                Some(holder) => format!("Process {holder} listens on it."),
                None => {
                    "Something in the kernel listens on it, perhaps another DRBD resource.".into()
                }
            };
            Err(Failure::new(
                code::FAIL_INVLD_RSC_PORT,
                format!(
                    "TCP port {} of '{}' is in use on this node.",
                    drbd.port, attempt.spec.name
                ),
            )
            .cause(by)
            .correction("Free the port, or block it for DRBD with property 'TcpPortsBlocked'.")
            .about("TcpPort", drbd.port.to_string()))
        }
    }
}

/// Sees to it that every disk that is not attached has the metadata that it should have.
pub async fn prepare_metadata(
    attempt: &Attempt<'_>,
    kind: DrbdKind,
    devices: &BTreeMap<u32, Backing>,
    before: Option<&DrbdResource>,
) -> Result<()> {
    for volume in live_volumes(attempt.spec) {
        let (Some(layer), Some(backing)) = (&volume.drbd, devices.get(&volume.number)) else {
            continue;
        };
        let attached = before
            .and_then(|r| r.devices.get(&volume.number))
            .is_some_and(|d| d.disk != DiskState::Diskless);
        if attached {
            if attempt.stage(volume.number) != Some(Stage::Ready) {
                attempt.set_stage(volume.number, Stage::Ready).await?;
            }
            continue;
        }
        let place = Place {
            kind,
            minor: layer.minor,
            device: &backing.path,
        };
        match attempt.stage(volume.number) {
            Some(Stage::New) => {
                create_metadata(attempt, volume, layer, &place, layer.initial).await?;
            }
            Some(Stage::Replacement) => {
                let initial = InitialState::FullSync;
                create_metadata(attempt, volume, layer, &place, initial).await?;
            }
            stage @ (None | Some(Stage::Ready | Stage::LetGo)) => {
                find_metadata(attempt, volume, &place, stage).await?
            }
        }
    }
    Ok(())
}

async fn create_metadata(
    attempt: &Attempt<'_>,
    volume: &VolumeSpec,
    layer: &DrbdVolumeSpec,
    place: &Place<'_>,
    initial: InitialState,
) -> Result<()> {
    let Some(drbd) = &attempt.spec.drbd else {
        return Ok(());
    };
    let machine = &attempt.shared.machine;
    let layout = Layout {
        peer_slots: drbd.peer_slots,
        al_stripes: drbd.al_stripes,
        al_stripe_kib: drbd.al_stripe_kib,
    };
    metadata::create(machine, place, &layout).await?;
    let day0 = u64::from_str_radix(&layer.day0_gi, 16).unwrap_or(0);
    let file = format!("{}_{}.metadata", attempt.key, volume.number);
    let file = attempt.shared.options.state_directory.join(file);
    metadata::set_initial(machine, place, &layout, initial, day0, &file).await?;
    attempt.set_stage(volume.number, Stage::Ready).await
}

/// A disk that was in use must have metadata. It may lie where the device ended before it grew.
async fn find_metadata(
    attempt: &Attempt<'_>,
    volume: &VolumeSpec,
    place: &Place<'_>,
    stage: Option<Stage>,
) -> Result<()> {
    let machine = &attempt.shared.machine;
    if metadata::look(machine, place).await?.is_none() {
        metadata::follow_growth(machine, place).await?;
        if metadata::look(machine, place).await?.is_none() {
            return Err(Failure::new(
                code::FAIL_INVLD_RSC_STATE,
                format!(
                    "Volume {} of '{}' has lost its DRBD metadata.",
                    volume.number, attempt.spec.name
                ),
            )
            .cause(format!(
                "'{}' was in use by this resource, but has no metadata now. \
                 New metadata is not created, as that would give up what is on it.",
                place.device
            ))
            .correction("If another replica is up to date, delete this one and create it again."));
        }
    }
    if stage != Some(Stage::Ready) {
        attempt.set_stage(volume.number, Stage::Ready).await?;
        // It was not given up by DRBD but is to come back: at once.
        if let Some(tracked) = attempt.shared.state().resources.get_mut(attempt.key) {
            tracked.mended = None;
        }
    }
    Ok(())
}

/// Peers that are no longer ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// DRBD still has a connection to them.
    pub connected: BTreeSet<u32>,
    /// They may still have a bitmap slot.
    pub known: BTreeSet<u32>,
}

/// Finds peers that are no longer ones, in DRBD and in the file that was last adjusted to. 8.4 has no node ids.
pub fn removed_peers(
    kind: DrbdKind,
    drbd: &DrbdSpec,
    old: Option<&str>,
    before: Option<&DrbdResource>,
) -> Removed {
    if kind == DrbdKind::Drbd84 {
        return Removed::default();
    }
    let peers: BTreeMap<u32, &str> = drbd
        .peers
        .iter()
        .map(|p| (p.node_id, p.uname.as_str()))
        .collect();
    let stranger = |c: &&DrbdConnection| peers.get(&c.peer_node_id) != Some(&c.name.as_str());
    let connected: BTreeSet<u32> = before
        .into_iter()
        .flat_map(|r| r.connections.values())
        .filter(stranger)
        .map(|c| c.peer_node_id)
        .collect();
    let mut known = old.map(resfile::node_ids).unwrap_or_default();
    known.extend(&connected);
    known.retain(|id| *id != drbd.node_id && !peers.contains_key(id));
    Removed { connected, known }
}

/// A file as text; `None` if there is none.
pub async fn read_text(host: &dyn Host, path: &Path) -> Result<Option<String>> {
    match host.read(path).await {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// After a failed `adjust`: the file says again what was last accepted. A file that cannot be parsed must not stay,
/// as drbdadm would refuse to do anything for anybody who includes it.
pub async fn put_back(host: &dyn Host, res: &Path, old: Option<&str>, failure: &Failure) {
    let done = match old {
        Some(text) => host.write_atomic(res, text.as_bytes(), 0o600).await,
        None if failure.to_string().contains("Parse error") => {
            host.remove_file(res).await.map(drop)
        }
        None => Ok(()),
    };
    if let Err(error) = done {
        tracing::warn!(path = %res.display(), error = %error.source, "cannot put back a file");
    }
}

/// Makes the file systems that were asked for, once, on the node that holds the first copy.
pub async fn make_filesystems(
    attempt: &Attempt<'_>,
    kind: DrbdKind,
    devices: &BTreeMap<u32, Backing>,
) -> Result<()> {
    for volume in live_volumes(attempt.spec) {
        let Some(layer) = &volume.drbd else { continue };
        if !devices.contains_key(&volume.number) {
            continue;
        }
        let Some(wish) = FileSystemWish::of(volume)? else {
            continue;
        };
        let notes = attempt.notes();
        let done = notes
            .volumes
            .get(&volume.number)
            .is_some_and(|v| v.filesystem_done);
        if done || layer.initial != InitialState::First {
            continue;
        }
        make_one(attempt, kind, volume.number, layer.minor, &wish).await?;
        let number = volume.number;
        let change = |notes: &mut Notes| {
            notes.volumes.entry(number).or_default().filesystem_done = true;
        };
        attempt.note(change).await?;
    }
    Ok(())
}

/// The file system that properties ask for.
pub struct FileSystemWish {
    kind: FileSystem,
    parameters: Vec<String>,
}

impl FileSystemWish {
    /// Of a volume.
    pub fn of(volume: &VolumeSpec) -> Result<Option<Self>> {
        let Some(word) = volume.props.get("FileSystem/Type") else {
            return Ok(None);
        };
        let invalid = |key: &str, why: String| {
            Failure::new(
                code::FAIL_INVLD_PROP,
                format!(
                    "Property '{key}' of volume {} cannot be used.",
                    volume.number
                ),
            )
            .cause(why)
        };
        let kind = word
            .parse()
            .map_err(|why| invalid("FileSystem/Type", why))?;
        let line = volume.props.get("FileSystem/MkfsParams");
        let parameters = words::options(line.map_or("", String::as_str), MKFS_RESERVED)
            .map_err(|why| invalid("FileSystem/MkfsParams", why))?;
        Ok(Some(FileSystemWish { kind, parameters }))
    }

    /// Makes it, unless there is something on the device.
    pub async fn make_if_empty(&self, attempt: &Attempt<'_>, device: &str) -> Result<()> {
        let machine = &attempt.shared.machine;
        if filesystem::type_of(machine, device).await?.is_some() {
            return Ok(());
        }
        filesystem::make(machine, self.kind, &self.parameters, device).await
    }
}

async fn make_one(
    attempt: &Attempt<'_>,
    kind: DrbdKind,
    number: u32,
    minor: u32,
    wish: &FileSystemWish,
) -> Result<()> {
    let name = &attempt.spec.name;
    let promotable = |seen: &Seen| match seen {
        Seen::Present(r) => r.is_up_to_date(number) && r.may_promote.unwrap_or(true),
        Seen::Unknown | Seen::Absent => false,
    };
    attempt
        .shared
        .picture
        .wait(name, PROMOTE_WAIT, promotable)
        .await;
    promotion::begin(attempt, kind, minor).await?;
    let made = wish
        .make_if_empty(attempt, &format!("/dev/drbd{minor}"))
        .await;
    let mut pause = SECONDARY_PAUSE;
    for nth in 1..=SECONDARY_ATTEMPTS {
        match promotion::end(attempt, kind, minor).await {
            Ok(()) => break,
            Err(failure) if nth == SECONDARY_ATTEMPTS => return Err(failure),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(SECONDARY_PAUSE_MAX);
    }
    made.map_err(|f| {
        f.context(
            code::FAIL_UNKNOWN_ERROR,
            format!("No file system could be made on volume {number} of '{name}'."),
        )
    })
}
