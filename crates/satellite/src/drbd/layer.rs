//! The DRBD layer: files, metadata, `adjust`, and what comes before and after it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use linstor_api::code;
use linstor_api::drbd_state::{ConnectionState, DiskState};
use linstor_api::kind::{DrbdKind, LayerKind};
use linstor_wire::spec::{DrbdSpec, Target, VolumeSpec};
use tokio::time::Instant;

use super::{grow, last_copy, promotion, steps};
use crate::drbd::adm;
use crate::drbd::picture::Seen;
use crate::drbd::resfile::{self, Dialect, live_volumes};
use crate::drbd::status::{DrbdResource, connection_key};
use crate::failure::{Failure, Result};
use crate::layers::Attempt;
use crate::probe;
use crate::providers::Backing;
use crate::spec_store::{Notes, Stage};

/// How long the event stream may take to show what a command did.
const EVENTS_WAIT: Duration = Duration::from_secs(5);
/// How long a disk may take to attach before its state is told as it is.
const SETTLE_WAIT: Duration = Duration::from_secs(3);
/// How long the files are trusted after they were found to be right.
const FILES_INTERVAL: Duration = Duration::from_secs(600);
/// How long to leave a connection or disk alone that DRBD gave up after it had been set up.
pub const MEND_INTERVAL: Duration = Duration::from_secs(60);

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
}

/// What DRBD is to become.
struct Plan<'a> {
    drbd: &'a DrbdSpec,
    kind: DrbdKind,
    files: Files,
    text: String,
}

/// Brings the resource up on its backing devices.
pub async fn up(attempt: &Attempt<'_>, devices: &BTreeMap<u32, Backing>) -> Result<()> {
    let Some(drbd) = &attempt.spec.drbd else {
        return Ok(());
    };
    let plan = plan(attempt, drbd, devices)?;
    let seen = known(attempt).await?;
    let before = match &seen {
        Seen::Present(resource) => Some(resource),
        Seen::Absent | Seen::Unknown => None,
    };
    if before.is_none() {
        steps::check_port(attempt, drbd).await?;
        // What was known of other copies when DRBD was last down is out of date from now on.
        let change = |notes: &mut Notes| notes.last_copy = None;
        attempt.note(change).await?;
    }
    promotion::end_left_over(attempt, plan.kind, before).await?;
    steps::prepare_metadata(attempt, plan.kind, devices, before).await?;
    if let Some(resource) = before {
        let_go_of_disks(attempt, devices, resource).await?;
    }
    adjust(attempt, &plan, devices, before).await?;
    settle(attempt, devices).await;
    grow::ask_sizes(attempt).await;
    grow::grow(attempt, plan.kind, &plan.files.res).await?;
    grow::remember_sizes(attempt, before).await?;
    steps::make_filesystems(attempt, plan.kind, devices).await
}

/// Refuses what this node's DRBD cannot do, before anything is made for it.
pub fn check(attempt: &Attempt<'_>) -> Result<()> {
    let Some(drbd) = &attempt.spec.drbd else {
        return Ok(());
    };
    let uname = attempt.shared.machine.host().uname().node;
    if drbd.uname != uname {
        // The controller may not know the new name yet.
        attempt.shared.doubts.notify_one();
        return Err(Failure::new(
            code::FAIL_INVLD_NODE_NAME,
            format!(
                "This host is called '{uname}', but the controller calls it '{}'.",
                drbd.uname
            ),
        )
        .cause("drbdadm finds its own part of a resource by the name of the host.")
        .correction("The controller is told the name, and everything follows by itself."));
    }
    match kind(attempt)? {
        DrbdKind::Drbd84 => steps::check_drbd84(attempt, drbd),
        DrbdKind::Drbd9 => Ok(()),
    }
}

fn kind(attempt: &Attempt<'_>) -> Result<DrbdKind> {
    let info = attempt.drbd.as_ref().ok_or_else(|| {
        attempt.shared.doubts.notify_one();
        Failure::new(
            code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
            "This node has no DRBD.",
        )
        .cause(why_missing(attempt))
        .correction("Install drbd-utils and the kernel module, then run 'modprobe drbd'.")
    })?;
    Ok(info.kind)
}

/// What the probe that found no DRBD said.
fn why_missing(attempt: &Attempt<'_>) -> String {
    let state = attempt.shared.state();
    let reasons = state.info.unsupported_layers.get(&LayerKind::Drbd);
    reasons.map(|reasons| reasons.join(" ")).unwrap_or_else(|| {
        "The kernel module 'drbd' is not loaded, or drbd-utils are not installed.".to_owned()
    })
}

/// Whether module and tools know clients that do not vote.
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

fn plan<'a>(
    attempt: &Attempt<'_>,
    drbd: &'a DrbdSpec,
    devices: &BTreeMap<u32, Backing>,
) -> Result<Plan<'a>> {
    let kind = kind(attempt)?;
    let disks = devices
        .iter()
        .map(|(number, backing)| (*number, backing.path.clone()))
        .collect();
    let dialect = Dialect {
        kind,
        tiebreaker: knows_tiebreaker(attempt),
    };
    let file = resfile::generate(attempt.spec, drbd, &disks, dialect);
    if !file.dropped.is_empty() {
        tracing::debug!(
            resource = attempt.spec.name,
            dropped = ?file.dropped,
            "options that this DRBD does not know"
        );
    }
    Ok(Plan {
        drbd,
        kind,
        files: Files::of(attempt),
        text: file.text,
    })
}

/// What DRBD has, once that is known at all.
pub async fn known(attempt: &Attempt<'_>) -> Result<Seen> {
    let name = &attempt.spec.name;
    let picture = &attempt.shared.picture;
    let is_known = |seen: &Seen| *seen != Seen::Unknown;
    if picture.wait(name, EVENTS_WAIT, is_known).await {
        return Ok(picture.get(name));
    }
    Err(Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("The state of '{name}' in DRBD is not known."),
    )
    .cause("'drbdsetup events2' does not tell it; it is started again and again.")
    .correction("Look into the satellite's log for the reason."))
}

/// Detaches the disks of volumes that are to be diskless, if the data is safe elsewhere.
async fn let_go_of_disks(
    attempt: &Attempt<'_>,
    devices: &BTreeMap<u32, Backing>,
    resource: &DrbdResource,
) -> Result<()> {
    for volume in live_volumes(attempt.spec) {
        let Some(device) = resource.devices.get(&volume.number) else {
            continue;
        };
        if devices.contains_key(&volume.number) || device.disk == DiskState::Diskless {
            continue;
        }
        // DRBD is up, so that there is nothing to ask for.
        let _may_go = last_copy::guard(attempt, &[(volume.number, volume.pool.as_str())]).await?;
        adm::detach(&attempt.shared.machine, device.minor).await?;
        attempt.set_stage(volume.number, Stage::LetGo).await?;
    }
    Ok(())
}

async fn adjust(
    attempt: &Attempt<'_>,
    plan: &Plan<'_>,
    devices: &BTreeMap<u32, Backing>,
    before: Option<&DrbdResource>,
) -> Result<()> {
    let host = attempt.shared.machine.host();
    let wanted = resfile::body(&plan.text);
    let deviation = match deviation(attempt, plan, devices, before) {
        Deviation::Reconnect if !may_mend(attempt) => Deviation::None,
        Deviation::Detaching => return Err(lost_disk(attempt)),
        Deviation::Reattach if !may_mend(attempt) => return Err(lost_disk(attempt)),
        deviation => deviation,
    };
    let forgets = deviation == Deviation::Reconnect && may_forget(plan, before);
    if forgets {
        take_down(attempt).await?;
    }
    let before = before.filter(|_| !forgets);
    let digest = digest(wanted);
    if deviation == Deviation::None && files_are_right(attempt, digest) {
        return Ok(());
    }
    let old = steps::read_text(host, &plan.files.adjusted).await?;
    let same = old.as_deref().map(resfile::body) == Some(wanted);
    let written = steps::read_text(host, &plan.files.res).await?;
    if written.as_deref().map(resfile::body) != Some(wanted) {
        host.write_atomic(&plan.files.res, plan.text.as_bytes(), 0o600)
            .await?;
    }
    if !same || deviation != Deviation::None {
        tracing::info!(
            resource = attempt.spec.name,
            ?deviation,
            text_changed = !same,
            "adjust"
        );
        run_adjust(attempt, plan, old.as_deref(), before).await?;
    }
    if let Some(tracked) = attempt.shared.state().resources.get_mut(attempt.key) {
        tracked.files_checked = Some((Instant::now(), digest));
    }
    Ok(())
}

async fn run_adjust(
    attempt: &Attempt<'_>,
    plan: &Plan<'_>,
    old: Option<&str>,
    before: Option<&DrbdResource>,
) -> Result<()> {
    let machine = &attempt.shared.machine;
    let host = machine.host();
    let name = &attempt.spec.name;
    let removed = steps::removed_peers(plan.kind, plan.drbd, old, before);
    for id in &removed.connected {
        adm::del_peer(machine, name, *id).await?;
    }
    if let Err(failure) = grow::adjust(attempt, plan.kind, &plan.files.res).await {
        steps::put_back(host, &plan.files.res, old, &failure).await;
        return Err(failure.context(
            code::FAIL_UNKNOWN_ERROR,
            format!("DRBD does not accept the configuration of '{name}'."),
        ));
    }
    if !plan.drbd.diskless {
        for id in &removed.known {
            adm::forget_peer(machine, name, *id).await?;
        }
    }
    host.write_atomic(&plan.files.adjusted, plan.text.as_bytes(), 0o600)
        .await?;
    Ok(())
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Whether the files were found to be right not long ago. Reading them all in every pass is work for nothing.
fn files_are_right(attempt: &Attempt<'_>, digest: u64) -> bool {
    let state = attempt.shared.state();
    let checked = state
        .resources
        .get(attempt.key)
        .and_then(|t| t.files_checked);
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
    /// DRBD is about to give up a disk: there is nothing that could be attached yet.
    Detaching,
    /// Something is missing or too much.
    Structure,
}

fn deviation(
    attempt: &Attempt<'_>,
    plan: &Plan<'_>,
    devices: &BTreeMap<u32, Backing>,
    before: Option<&DrbdResource>,
) -> Deviation {
    let Some(resource) = before else {
        return Deviation::Structure;
    };
    let wanted: BTreeMap<u32, &VolumeSpec> =
        live_volumes(attempt.spec).map(|v| (v.number, v)).collect();
    if resource
        .devices
        .keys()
        .any(|number| !wanted.contains_key(number))
    {
        return Deviation::Structure;
    }
    let mut worst = Deviation::None;
    for (number, volume) in &wanted {
        let minor = volume.drbd.as_ref().map(|d| d.minor);
        let found = match resource.devices.get(number) {
            Some(device) if Some(device.minor) == minor => device,
            Some(_) | None => return Deviation::Structure,
        };
        if devices.contains_key(number) {
            worst = worst.max(disk_deviation(&found.disk, attempt.stage(*number)));
        }
    }
    worst.max(connections_deviation(plan, resource))
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

fn connections_deviation(plan: &Plan<'_>, resource: &DrbdResource) -> Deviation {
    let wanted: Vec<String> = match plan.kind {
        DrbdKind::Drbd9 => plan
            .drbd
            .peers
            .iter()
            .filter(|p| !(p.diskless && plan.drbd.diskless))
            .map(|p| connection_key(&p.uname, p.node_id))
            .collect(),
        // 8.4 does not name its one connection, which it has even if nobody is there.
        DrbdKind::Drbd84 => resource.connections.keys().take(1).cloned().collect(),
    };
    let missing = match plan.kind {
        DrbdKind::Drbd9 => wanted
            .iter()
            .any(|key| !resource.connections.contains_key(key)),
        DrbdKind::Drbd84 => wanted.is_empty() && !plan.drbd.peers.is_empty(),
    };
    let surplus = resource.connections.keys().any(|key| !wanted.contains(key));
    if surplus || (missing && plan.kind == DrbdKind::Drbd9) {
        return Deviation::Structure;
    }
    let stand_alone = resource
        .connections
        .values()
        .any(|c| c.state == ConnectionState::StandAlone);
    // 8.4 drops a connection that it gives up.
    if stand_alone || missing {
        return Deviation::Reconnect;
    }
    Deviation::None
}

/// Whether it is time to try again what DRBD gave up. Not at once, again and again: a failing disk would be
/// synchronised for ever.
fn may_mend(attempt: &Attempt<'_>) -> bool {
    let mut state = attempt.shared.state();
    let Some(tracked) = state.resources.get_mut(attempt.key) else {
        return false;
    };
    if tracked.mendable_at().is_some() {
        return false;
    }
    tracked.mended = Some(Instant::now());
    true
}

/// Whether DRBD may be taken down to make it forget which data it has shown. A node without a disk refuses peers whose data
/// does not descend from that, for as long as it is up; nothing else is lost with it while nobody uses it, and no peer in
/// use may need its vote.
fn may_forget(plan: &Plan<'_>, before: Option<&DrbdResource>) -> bool {
    plan.kind == DrbdKind::Drbd9
        && plan.drbd.diskless
        && before.is_some_and(|resource| !resource.has_primary())
}

fn lost_disk(attempt: &Attempt<'_>) -> Failure {
    Failure::new(
        code::FAIL_INVLD_RSC_STATE,
        format!("DRBD has given up a disk of '{}'.", attempt.spec.name),
    )
    .cause("The disk failed; the kernel's log has the reason. The data of the peers is used.")
    .correction("Attaching it is tried once a minute. Replace the disk if that does not help.")
}

/// Waits until the events show what `adjust` did, so that what is told next is true.
async fn settle(attempt: &Attempt<'_>, devices: &BTreeMap<u32, Backing>) {
    let done = |seen: &Seen| {
        let Seen::Present(resource) = seen else {
            return false;
        };
        live_volumes(attempt.spec).all(|volume| {
            let device = resource.devices.get(&volume.number);
            match device.map(|d| &d.disk) {
                None
                | Some(DiskState::Attaching | DiskState::Negotiating | DiskState::Detaching) => {
                    false
                }
                Some(DiskState::Diskless) => !devices.contains_key(&volume.number),
                Some(_) => true,
            }
        })
    };
    let picture = &attempt.shared.picture;
    picture.wait(&attempt.spec.name, SETTLE_WAIT, done).await;
}

/// Takes DRBD down and waits until that shows.
async fn take_down(attempt: &Attempt<'_>) -> Result<()> {
    let name = &attempt.spec.name;
    adm::down(&attempt.shared.machine, name)
        .await
        .map_err(|f| {
            f.context(
                code::FAIL_IN_USE,
                format!("'{name}' cannot be taken down in DRBD."),
            )
        })?;
    let is_gone = |seen: &Seen| *seen == Seen::Absent;
    if attempt
        .shared
        .picture
        .wait(name, EVENTS_WAIT, is_gone)
        .await
    {
        return Ok(());
    }
    Err(Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("'{name}' was taken down, but DRBD does not report it as gone."),
    ))
}

/// Takes the resource down and removes its file. Metadata and storage stay.
pub async fn down(attempt: &Attempt<'_>) -> Result<()> {
    if attempt.spec.drbd.is_none() {
        return Ok(());
    }
    // A module that nobody told us of can hold the resource all the same.
    let may_be_up = attempt.drbd.is_some()
        || probe::module_version(&attempt.shared.machine)
            .await
            .is_some();
    if may_be_up && let Seen::Present(resource) = known(attempt).await? {
        last_copy::remember(attempt, &resource).await?;
        if attempt.spec.target == Target::Down {
            // Another node may have grown it since the last pass, and its devices may grow while it is down.
            grow::ask_sizes(attempt).await;
            grow::remember_sizes(attempt, Some(&resource)).await?;
        }
        take_down(attempt).await?;
    }
    let files = Files::of(attempt);
    let host = attempt.shared.machine.host();
    host.remove_file(&files.res).await?;
    host.remove_file(&files.adjusted).await?;
    if let Some(tracked) = attempt.shared.state().resources.get_mut(attempt.key) {
        tracked.files_checked = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one attempt in a minute to attach a disk is not spent while DRBD still gets rid of it.
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
