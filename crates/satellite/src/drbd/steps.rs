//! The steps of the DRBD layer, each of which does nothing when there is nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use linstor_api::code;
use linstor_api::drbd_state::DiskState;
use linstor_api::kind::DrbdKind;
use linstor_host::{Host, PortState};
use linstor_wire::spec::{Action, DrbdSpec, DrbdVolumeSpec, InitialState, ResourceSpec};
use linstor_wire::status::ForeignDrbd;
use tokio::time::sleep;

use super::layer::Disks;
use super::metadata::{self, Content, Layout, Place};
use super::status::{DrbdConnection, DrbdResource};
use super::{ends, foreign, resfile, v84};
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::spec_store::Stage;
use crate::stop;
use crate::tools::error::ErrorKind;

/// How often a port that is in use is tried once more: the kernel closes the listener of a resource that was taken down a
/// little later, and a program that is being started has those of this process for a moment.
const PORT_TRIES: u32 = 10;
/// Pause before each further try.
const PORT_PAUSE: Duration = Duration::from_millis(200);

/// Refuses to set up a resource whose TCP port is in use: DRBD would wait for its peers for ever.
pub async fn check_port(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> Result<()> {
    if drbd.peers.is_empty() {
        return Ok(());
    }
    let host = attempt.shared.machine.host();
    let mut state = host.test_bind(drbd.port).await?;
    for _ in 0..PORT_TRIES {
        if state == PortState::Free {
            break;
        }
        sleep(PORT_PAUSE).await;
        state = host.test_bind(drbd.port).await?;
    }
    match state {
        PortState::Free => Ok(()),
        PortState::Busy { holder } => {
            let in_drbd = foreign::holder(attempt.shared, &attempt.spec.name, |other| {
                other.ports.contains(&drbd.port)
            });
            let by = match (holder, in_drbd) {
                (Some(holder), _) => format!("Process {holder} listens on it."),
                (None, Some(name)) => format!("DRBD's resource '{name}' listens on it."),
                (None, None) => {
                    "Something in the kernel listens on it, perhaps another DRBD resource.".into()
                }
            };
            Err(Failure::new(
                code::FAIL_INVLD_RSC_PORT,
                format!(
                    "TCP port {} of resource '{}' is in use on this node.",
                    drbd.port, attempt.spec.name
                ),
            )
            .cause(by)
            .correction("The controller chooses another port by itself. Block this one with the node's property 'TcpPortsBlocked'.")
            .about("TcpPort", drbd.port.to_string()))
        }
    }
}

/// Refuses to set up a resource whose minor another resource has in DRBD.
pub fn check_minors(attempt: &Attempt<'_>, drbd: &DrbdSpec) -> Result<()> {
    for volume in &drbd.volumes {
        let minor = volume.minor;
        let has_it = |other: &ForeignDrbd| other.minors.contains(&minor);
        let Some(holder) = foreign::holder(attempt.shared, &attempt.spec.name, has_it) else {
            continue;
        };
        let message = format!(
            "Minor {minor} of volume {} of resource '{}' is in use on this node.",
            volume.number, attempt.spec.name
        );
        return Err(Failure::new(code::FAIL_INVLD_MINOR_NR, message)
            .cause(format!("DRBD's resource '{holder}' has it."))
            .correction(
                "'linstor node forget' shows whether that is left of an earlier resource; take it down if it is not used.",
            ));
    }
    Ok(())
}

/// Sees to it that every disk that is not attached has the metadata that it should have.
pub async fn prepare_metadata(
    attempt: &Attempt<'_>,
    kind: DrbdKind,
    drbd: &DrbdSpec,
    disks: &Disks,
    before: Option<&DrbdResource>,
) -> stop::Result<()> {
    for volume in &drbd.volumes {
        attempt.go_on()?;
        let (number, Some(disk)) = (volume.number, disks.get(&volume.number)) else {
            continue;
        };
        let attached = before
            .and_then(|r| r.devices.get(&number))
            .is_some_and(|d| d.disk != DiskState::Diskless);
        if attached {
            if attempt.stage(number) != Some(Stage::Ready) {
                attempt.set_stage(number, Stage::Ready).await?;
            }
            continue;
        }
        let place = disk.metadata(kind, volume.minor);
        let content = match attempt.stage(number) {
            Some(Stage::New) if begins_generation(attempt.spec, number) => Content::NewGeneration,
            Some(Stage::New) => Content::Initial(volume.initial),
            Some(Stage::Replacement) => Content::Initial(InitialState::FullSync),
            stage @ (None | Some(Stage::Ready | Stage::Released)) => {
                find_metadata(attempt, number, &place, stage).await?;
                continue;
            }
        };
        create_metadata(attempt, drbd, volume, &place, content).await?;
    }
    Ok(())
}

fn begins_generation(spec: &ResourceSpec, number: u32) -> bool {
    let mut instructions = spec.once.iter();
    instructions.any(|i| i.volume == number && i.action == Action::NewGeneration)
}

async fn create_metadata(
    attempt: &Attempt<'_>,
    drbd: &DrbdSpec,
    volume: &DrbdVolumeSpec,
    place: &Place<'_>,
    content: Content,
) -> Result<()> {
    let machine = &attempt.shared.machine;
    let layout = Layout {
        peer_slots: drbd.peer_slots,
        al_stripes: drbd.al_stripes,
        al_stripe_kib: drbd.al_stripe_kib,
    };
    metadata::create(machine, place, &layout).await?;
    let day0 = u64::from_str_radix(&volume.day0_gi, 16).unwrap_or(0);
    let file = format!(
        "{}_{}.metadata",
        attempt.spec.name.as_str().to_ascii_uppercase(),
        volume.number
    );
    let file = attempt.shared.options.state_directory.join(file);
    metadata::set_content(machine, place, &layout, content, day0, &file).await?;
    attempt.set_stage(volume.number, Stage::Ready).await?;
    plan_attach(attempt, volume.number);
    Ok(())
}

/// The disk was not given up by DRBD: it is attached at once.
fn plan_attach(attempt: &Attempt<'_>, number: u32) {
    if let Some(tracked) = attempt.shared.state().objects.get_mut(attempt.key) {
        tracked.mending.plan(number);
    }
}

/// A disk that was in use must have metadata. It may lie where the device ended before it grew.
async fn find_metadata(
    attempt: &Attempt<'_>,
    number: u32,
    place: &Place<'_>,
    stage: Option<Stage>,
) -> Result<()> {
    if !ends::find(attempt, number, place).await? {
        return Err(no_metadata(attempt, number, place.device));
    }
    if stage != Some(Stage::Ready) {
        attempt.set_stage(number, Stage::Ready).await?;
        plan_attach(attempt, number);
    }
    Ok(())
}

/// A disk that was in use has no metadata.
pub fn no_metadata(attempt: &Attempt<'_>, number: u32, device: &str) -> Failure {
    Failure::new(
        code::FAIL_INVLD_RSC_STATE,
        format!(
            "Volume {number} of resource '{}' has no DRBD metadata any more.",
            attempt.spec.name
        ),
    )
    .cause(format!(
        "'{device}' was in use by this resource, but has no metadata now. \
         New metadata is not created, as that would give up what is on it."
    ))
    .correction("If another replica is up to date, delete this one and create it again.")
}

/// Peers that are no longer ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// DRBD still has a connection to them.
    pub connected: BTreeSet<u32>,
    /// They may still have a bitmap slot.
    pub known: BTreeSet<u32>,
}

/// Finds peers that are no longer ones, in DRBD and in the file that was last adjusted to.
pub fn removed_peers(
    kind: DrbdKind,
    drbd: &DrbdSpec,
    old: Option<&str>,
    before: Option<&DrbdResource>,
) -> Removed {
    if !v84::has_node_ids(kind) {
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

/// After a failed `adjust`: restores the last file that DRBD accepted. A file that cannot be parsed must not remain,
/// as drbdadm would refuse to do anything for anybody who includes it.
pub async fn put_back(host: &dyn Host, res: &Path, old: Option<&str>, failure: &Failure) {
    let done = match old {
        Some(text) => host.write_atomic(res, text.as_bytes(), 0o600).await,
        None if failure.kind() == ErrorKind::Syntax => host.remove_file(res).await.map(drop),
        None => Ok(()),
    };
    if let Err(error) = done {
        tracing::warn!(path = %res.display(), error = %error.source, "cannot restore the previous .res file");
    }
}
