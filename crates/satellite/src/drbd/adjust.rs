//! Configures a resource in DRBD: its `.res` file, what DRBD has otherwise, and `drbdadm adjust`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use linstor_api::drbd_state::{ConnectionState, DiskState};
use linstor_api::kind::DrbdKind;
use linstor_api::{code, prop};
use linstor_wire::spec::DrbdSpec;
use tokio::time::Instant;

use super::layer::{self, Disks};
use super::mending::Attach;
use super::observed::Observed;
use super::resfile::{self, Dialect};
use super::status::{DrbdResource, connection_key};
use super::{adm, pinned, steps, v84};
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::spec_store::Stage;
use crate::stop::{self, Awaited};
use crate::tools::error::ErrorKind;

/// How long the files are trusted after they were found to be right.
const FILES_INTERVAL: Duration = Duration::from_secs(600);
/// How often drbdadm is called once more when it did not wait for a command of its own to end.
const SLOW_TRIES: u32 = 5;

/// The files of a resource.
pub struct Files {
    /// The file that drbdadm reads.
    pub res: PathBuf,
    /// The text that was last adjusted to: equal to the other when nothing is left to do.
    pub adjusted: PathBuf,
}

impl Files {
    /// Of a resource.
    pub fn of(attempt: &Attempt<'_>) -> Self {
        let directory = &attempt.shared.options.res_directory;
        let file = format!("{}.res", attempt.spec.name);
        Files {
            adjusted: directory.join(".backup").join(&file),
            res: directory.join(file),
        }
    }

    /// Removes them.
    pub async fn remove(&self, attempt: &Attempt<'_>) -> Result<()> {
        let host = attempt.shared.machine.host();
        host.remove_file(&self.res).await?;
        host.remove_file(&self.adjusted).await?;
        Ok(())
    }
}

/// What a resource is configured with in DRBD.
pub struct Configuration<'a> {
    drbd: &'a DrbdSpec,
    disks: &'a Disks,
    /// The kind of the loaded module.
    pub kind: DrbdKind,
    files: Files,
    text: String,
    /// Options that are not in it, as this DRBD does not have them.
    dropped: BTreeSet<String>,
}

impl<'a> Configuration<'a> {
    /// For a resource on these disks.
    pub fn of(attempt: &Attempt<'_>, drbd: &'a DrbdSpec, disks: &'a Disks) -> Result<Self> {
        let kind = layer::kind(attempt)?;
        let unknown = attempt.shared.state().info.unknown_drbd_options.clone();
        let dialect = Dialect {
            kind,
            tiebreaker: knows_tiebreaker(attempt),
            unknown: &unknown,
        };
        let file = resfile::generate(attempt.spec, &pinned::safe(attempt, drbd), disks, dialect);
        Ok(Configuration {
            drbd,
            disks,
            kind,
            files: Files::of(attempt),
            text: file.text,
            dropped: file.dropped,
        })
    }
}

/// Whether module and tools know option `tiebreaker`.
fn knows_tiebreaker(attempt: &Attempt<'_>) -> bool {
    let at_least = |version: &str, least: (u32, u32, u32)| {
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next()) >= least
    };
    attempt
        .drbd
        .as_ref()
        .is_some_and(|info| at_least(&info.version, (9, 3, 1)) && at_least(&info.utils, (9, 34, 0)))
}

/// Writes the `.res` file and runs `drbdadm adjust`, if DRBD has anything otherwise.
pub async fn adjust(
    attempt: &Attempt<'_>,
    config: &Configuration<'_>,
    before: Option<&DrbdResource>,
) -> stop::Result<()> {
    let host = attempt.shared.machine.host();
    let wanted = resfile::body(&config.text);
    let deviation = match deviation(attempt, config, before) {
        Deviation::Reconnect if !may_connect(attempt) => Deviation::None,
        Deviation::Detaching => return Err(lost_disk(attempt).into()),
        Deviation::Reattach => match may_attach(attempt) {
            Attach::Now => Deviation::Reattach,
            Attach::Later => return Err(lost_disk(attempt).into()),
            Attach::Never => return Err(given_up(attempt).into()),
        },
        deviation => deviation,
    };
    let forgets = deviation == Deviation::Reconnect && may_forget(config, before);
    if forgets {
        take_down(attempt).await?;
    }
    let before = before.filter(|_| !forgets);
    let digest = digest(wanted);
    if deviation == Deviation::None && files_are_right(attempt, digest) {
        return Ok(());
    }
    let old = steps::read_text(host, &config.files.adjusted).await?;
    let same = old.as_deref().map(resfile::body) == Some(wanted);
    let written = steps::read_text(host, &config.files.res).await?;
    if written.as_deref().map(resfile::body) != Some(wanted) {
        host.write_atomic(&config.files.res, config.text.as_bytes(), 0o600)
            .await?;
    }
    if !same || deviation != Deviation::None {
        tracing::info!(
            resource = %attempt.spec.name,
            ?deviation,
            text_changed = !same,
            "drbdadm adjust"
        );
        if !same && !config.dropped.is_empty() {
            tracing::warn!(
                resource = %attempt.spec.name,
                dropped = ?config.dropped,
                "options left out: the node's DRBD does not have them"
            );
        }
        run_adjust(attempt, config, old.as_deref(), before).await?;
        if let Some(tracked) = attempt.shared.state().objects.get_mut(attempt.key) {
            let again = deviation == Deviation::Reattach;
            tracked.mending.accepted(again);
        }
    }
    if let Some(tracked) = attempt.shared.state().objects.get_mut(attempt.key) {
        tracked.files_checked = Some((Instant::now(), digest));
    }
    Ok(())
}

async fn run_adjust(
    attempt: &Attempt<'_>,
    config: &Configuration<'_>,
    old: Option<&str>,
    before: Option<&DrbdResource>,
) -> Result<()> {
    let machine = &attempt.shared.machine;
    let host = machine.host();
    let name = &attempt.spec.name;
    let removed = steps::removed_peers(config.kind, config.drbd, old, before);
    for id in &removed.connected {
        adm::del_peer(machine, name, *id).await?;
    }
    let mut adjusted = v84::adjust(attempt, config.kind, config.drbd, &config.files.res).await;
    if matches!(&adjusted, Err(failure) if failure.kind() == ErrorKind::StaleBitmap) {
        tracing::warn!(resource = %name, "DRBD has a bitmap of a disk that is gone: detached, and attached once more");
        let is_attached = |number: u32| {
            let device = before.and_then(|resource| resource.devices.get(&number));
            device.is_some_and(|device| device.disk != DiskState::Diskless)
        };
        let volumes = config.drbd.volumes.iter();
        for volume in volumes.filter(|volume| !is_attached(volume.number)) {
            adm::release_disk(machine, volume.minor).await?;
        }
        adjusted = v84::adjust(attempt, config.kind, config.drbd, &config.files.res).await;
    }
    for _ in 0..SLOW_TRIES {
        // drbdadm waits a few seconds for each command, which goes on in the kernel; the next call finds what it did.
        if !matches!(&adjusted, Err(failure) if failure.kind() == ErrorKind::Slow) {
            break;
        }
        adjusted = v84::adjust(attempt, config.kind, config.drbd, &config.files.res).await;
    }
    if let Err(failure) = adjusted {
        if failure.kind() == ErrorKind::Slow {
            let message =
                format!("DRBD is slow to take over the configuration of resource '{name}'.");
            let failure = failure.context(code::FAIL_UNKNOWN_ERROR, message);
            return Err(failure.correction("The satellite tries again by itself."));
        }
        steps::put_back(host, &config.files.res, old, &failure).await;
        return Err(failure.context(
            code::FAIL_UNKNOWN_ERROR,
            format!("DRBD does not accept the configuration of resource '{name}'."),
        ));
    }
    if !config.drbd.diskless {
        for id in &removed.known {
            adm::forget_peer(machine, name, *id).await?;
        }
    }
    host.write_atomic(&config.files.adjusted, config.text.as_bytes(), 0o600)
        .await?;
    Ok(())
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Whether the files were read and found to be correct within [`FILES_INTERVAL`]. Reading them all in every pass is
/// useless work.
fn files_are_right(attempt: &Attempt<'_>, digest: u64) -> bool {
    let state = attempt.shared.state();
    let checked = state.objects.get(attempt.key).and_then(|t| t.files_checked);
    checked.is_some_and(|(at, seen)| seen == digest && at.elapsed() < FILES_INTERVAL)
}

/// How what DRBD has differs from what it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    /// Not at all.
    None,
    /// DRBD gave up a connection that had been set up, after a split brain for example.
    Reconnect,
    /// DRBD gave up a disk that had been set up, after an I/O error for example.
    Reattach,
    /// DRBD is detaching a failed disk: nothing can be attached yet.
    Detaching,
    /// Something is missing or too much.
    Structure,
}

fn deviation(
    attempt: &Attempt<'_>,
    config: &Configuration<'_>,
    before: Option<&DrbdResource>,
) -> Deviation {
    let Some(resource) = before else {
        return Deviation::Structure;
    };
    let wanted: BTreeMap<u32, Option<u32>> = attempt
        .live_volumes()
        .map(|v| (v.number, config.drbd.volume(v.number).map(|d| d.minor)))
        .collect();
    if resource
        .devices
        .keys()
        .any(|number| !wanted.contains_key(number))
    {
        return Deviation::Structure;
    }
    let mut worst = Deviation::None;
    for (number, minor) in &wanted {
        let found = match resource.devices.get(number) {
            Some(device) if Some(device.minor) == *minor => device,
            Some(_) | None => return Deviation::Structure,
        };
        if config.disks.contains_key(number) {
            let stage = attempt
                .stage(*number)
                .filter(|_| !is_planned(attempt, *number));
            worst = worst.max(disk_deviation(&found.disk, stage));
        }
    }
    worst.max(connections_deviation(config, resource))
}

/// Of a disk that should be attached.
fn disk_deviation(state: &DiskState, stage: Option<Stage>) -> Deviation {
    match (state, stage) {
        (DiskState::Diskless, Some(Stage::Ready)) => Deviation::Reattach,
        (DiskState::Failed, Some(Stage::Ready)) => Deviation::Detaching,
        (DiskState::Diskless | DiskState::Failed, None | Some(Stage::New | Stage::Replacement)) => {
            Deviation::Structure
        }
        _ => Deviation::None,
    }
}

fn connections_deviation(config: &Configuration<'_>, resource: &DrbdResource) -> Deviation {
    let connections = &resource.connections;
    let dropped = v84::connection_dropped(config.kind, config.drbd, connections);
    if dropped.is_none() {
        let peers = config.drbd.peers.iter();
        let wanted: Vec<String> = peers
            .filter(|p| !(p.diskless && config.drbd.diskless))
            .map(|p| connection_key(&p.uname, p.node_id))
            .collect();
        let missing = wanted.iter().any(|key| !connections.contains_key(key));
        if missing || connections.keys().any(|key| !wanted.contains(key)) {
            return Deviation::Structure;
        }
    }
    let stand_alone = connections
        .values()
        .any(|c| c.state == ConnectionState::StandAlone);
    match stand_alone || dropped == Some(true) {
        true => Deviation::Reconnect,
        false => Deviation::None,
    }
}

fn is_planned(attempt: &Attempt<'_>, volume: u32) -> bool {
    let state = attempt.shared.state();
    let tracked = state.objects.get(attempt.key);
    tracked.is_some_and(|tracked| tracked.mending.is_planned(volume))
}

/// Whether a connection that DRBD gave up is set up again now.
fn may_connect(attempt: &Attempt<'_>) -> bool {
    let mut state = attempt.shared.state();
    let tracked = state.objects.get_mut(attempt.key);
    tracked.is_some_and(|tracked| tracked.mending.may_connect())
}

/// Whether a disk that DRBD gave up is attached again; the controller hears when it never is.
fn may_attach(attempt: &Attempt<'_>) -> Attach {
    let mut state = attempt.shared.state();
    let Some(tracked) = state.objects.get_mut(attempt.key) else {
        return Attach::Later;
    };
    let may = tracked.mending.may_attach();
    if may == Attach::Never {
        state.outbox.status(attempt.key);
        drop(state);
        attempt.shared.outgoing.notify_one();
    }
    may
}

/// Whether DRBD may be taken down to make it forget which data it has shown. A node without a disk refuses peers whose
/// data does not descend from that, for as long as it is up. Nothing else is lost if the resource is primary nowhere:
/// neither an application's I/O nor a vote that a primary's quorum needs.
fn may_forget(config: &Configuration<'_>, before: Option<&DrbdResource>) -> bool {
    config.drbd.diskless && before.is_some_and(|resource| !resource.has_primary())
}

fn lost_disk(attempt: &Attempt<'_>) -> Failure {
    Failure::new(
        code::FAIL_INVLD_RSC_STATE,
        format!("DRBD has detached a disk of resource '{}'.", attempt.spec.name),
    )
    .cause("The disk failed; the kernel's log has the reason. The data is read from and written to the peers.")
    .correction("The satellite attaches it again after a minute, and after longer pauses if it fails again. Replace the disk.")
}

fn given_up(attempt: &Attempt<'_>) -> Failure {
    let name = &attempt.spec.name;
    Failure::new(
        code::FAIL_INVLD_RSC_STATE,
        format!("A disk of resource '{name}' failed each time it was attached, and is not attached any more."),
    )
    .cause("The disk failed; the kernel's log has the reason. The data is read from and written to the peers.")
    .correction(format!(
        "Replace the disk. Then remove the property '{}' of the resource, which has it attached again.",
        prop::DRBD_SKIP_DISK
    ))
}

/// Waits until DRBD's events show what `adjust` did, so that the next report has it. A disk that takes longer is
/// reported in its state at that time.
pub async fn settle(attempt: &Attempt<'_>, disks: &Disks) -> stop::Result<()> {
    let volumes = attempt.live_volumes().map(|volume| volume.number);
    let volumes: Vec<(u32, bool)> = volumes.map(|n| (n, disks.contains_key(&n))).collect();
    let done = move |seen: &Observed| {
        let Observed::Present(resource) = seen else {
            return false;
        };
        volumes.iter().all(|(number, has_disk)| {
            let device = resource.devices.get(number);
            match device.map(|d| &d.disk) {
                None
                | Some(DiskState::Attaching | DiskState::Negotiating | DiskState::Detaching) => {
                    false
                }
                Some(DiskState::Diskless) => !has_disk,
                Some(_) => true,
            }
        })
    };
    attempt.wait_for_drbd(Awaited::Disks, done).await.map(drop)
}

/// Takes DRBD down and waits until that shows.
pub async fn take_down(attempt: &Attempt<'_>) -> stop::Result<()> {
    let name = &attempt.spec.name;
    if !attempt.has_begun(Awaited::Down) {
        adm::down(&attempt.shared.machine, name)
            .await
            .map_err(|f| {
                f.context(
                    code::FAIL_IN_USE,
                    format!("DRBD cannot take down resource '{name}'."),
                )
            })?;
    }
    let is_gone = |seen: &Observed| *seen == Observed::Absent;
    if attempt.wait_for_drbd(Awaited::Down, is_gone).await? {
        return Ok(());
    }
    Err(Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("Resource '{name}' was taken down, but DRBD still reports it."),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one attempt in a minute to attach a disk is not spent while DRBD still detaches it.
    #[test]
    fn a_disk_is_attached_only_after_it_was_given_up() {
        let ready = Some(Stage::Ready);
        assert_eq!(
            disk_deviation(&DiskState::Failed, ready),
            Deviation::Detaching
        );
        assert_eq!(
            disk_deviation(&DiskState::Diskless, ready),
            Deviation::Reattach
        );
        assert_eq!(
            disk_deviation(&DiskState::Diskless, Some(Stage::New)),
            Deviation::Structure
        );
        assert_eq!(
            disk_deviation(&DiskState::Inconsistent, ready),
            Deviation::None
        );
    }
}
