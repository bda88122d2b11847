//! FILE and FILE_THIN: files behind loop devices, each with a small file that has the owner's mark. A snapshot is a file
//! that shares its blocks with the volume's, without a loop device.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linstor_host::{FileId, FileUsage};
use tokio::time::{Instant, sleep};

use super::{
    Backing, Owner, Presence, SnapshotOf, Space, Storage, Wanted, absent, appearance_limit,
    foreign, in_use, lost, measure, no_room, no_snapshots, trouble,
};
use crate::failure::Result;
use crate::machine::Machine;
use crate::observation::Loops;
use crate::tools::error::ErrorKind;
use crate::tools::files;
use crate::tools::losetup::{self, LoopDevice};

/// Files may have any size.
const GRANULARITY_KIB: u64 = 1;
/// udev opens devices for some moments when anything about them changes.
const DETACH_LIMIT: Duration = Duration::from_secs(2);
const DETACH_POLL: Duration = Duration::from_millis(50);
/// What the name of the marking file ends with.
const OWNER_SUFFIX: &str = ".owner";
/// What the name of a volume's file ends with.
pub(super) const FILE_SUFFIX: &str = ".img";
/// What the name of a copy that is being made ends with.
const COPY_SUFFIX: &str = ".copy";

pub(super) fn file_path(directory: &str, name: &str) -> String {
    format!("{directory}/{name}{FILE_SUFFIX}")
}

fn owner_path(file: &str) -> PathBuf {
    PathBuf::from(format!("{file}{OWNER_SUFFIX}"))
}

/// Every volume is checked whenever the satellite or the controller starts: a system call, not a program.
pub(super) async fn usage(storage: Storage<'_>, file: &str) -> Result<Option<FileUsage>> {
    Ok(storage.machine.host().file_usage(Path::new(file)).await?)
}

/// See [`super::find`].
pub async fn find(
    storage: Storage<'_>,
    directory: &str,
    name: &str,
    owner: Owner,
) -> Result<Presence> {
    let file = file_path(directory, name);
    let Some(usage) = usage(storage, &file).await? else {
        return Ok(match files::space(storage.machine, directory).await? {
            Some(_) => Presence::Absent,
            None => Presence::PoolAbsent,
        });
    };
    let owned = check_owner(storage, &file, owner).await;
    Ok(Presence::of(backing(storage, &usage).await?, owned))
}

/// A file with its loop device; the path is empty if there is none.
pub(super) async fn backing(storage: Storage<'_>, usage: &FileUsage) -> Result<Backing> {
    let loops = storage.observations.loops(storage.machine).await?;
    let mut found = loops.iter().filter(|l| l.is_whole && l.file == usage.id);
    Ok(Backing {
        path: found.next().map(|l| l.path.clone()).unwrap_or_default(),
        size_kib: usage.size_bytes / 1024,
        allocated_kib: Some(usage.allocated_bytes / 1024),
    })
}

/// See [`super::ensure`].
pub async fn ensure(
    storage: Storage<'_>,
    directory: &str,
    sparse: bool,
    wanted: &Wanted<'_>,
) -> Result<Backing> {
    let file = file_path(directory, wanted.name);
    let mut found = match find(storage, directory, wanted.name, wanted.owner).await? {
        Presence::Present(found) if found.size_kib >= wanted.size_kib => found,
        Presence::Present(_) => grow(storage, &file, sparse, wanted).await?,
        Presence::Foreign(failure) => return Err(failure),
        Presence::Absent | Presence::PoolAbsent => {
            create(storage, directory, &file, sparse, wanted).await?
        }
    };
    let limit = appearance_limit(wanted.props);
    if found.path.is_empty() {
        found.path = attach(storage, &file).await?;
    } else if measure::now(storage, &found.path).await? < wanted.size_kib {
        losetup::refresh(storage.machine, &found.path).await?;
    }
    let measured = measure::device(storage, &found.path, wanted.size_kib, limit).await;
    if measured.is_err() {
        storage.observations.loops_unknown().await;
    }
    measured.map(|_| found)
}

async fn attach(storage: Storage<'_>, file: &str) -> Result<String> {
    let _turn = storage.machine.lock("losetup").await;
    let attached = losetup::attach(storage.machine, file).await;
    let usage = usage(storage, file).await;
    let (Ok(path), Ok(Some(usage))) = (&attached, &usage) else {
        storage.observations.loops_unknown().await;
        return attached;
    };
    let device = LoopDevice {
        path: path.clone(),
        file: usage.id,
        is_whole: true,
    };
    let entered = |loops: &mut Loops| loops.push(device);
    storage.observations.loops_changed(entered).await;
    attached
}

async fn create(
    storage: Storage<'_>,
    directory: &str,
    file: &str,
    sparse: bool,
    wanted: &Wanted<'_>,
) -> Result<Backing> {
    if files::space(storage.machine, directory).await?.is_none() {
        return Err(absent(&format!("Directory '{directory}'")));
    }
    let mark = wanted.owner.value();
    let host = storage.machine.host();
    host.write_atomic(&owner_path(file), mark.as_bytes(), 0o600)
        .await?;
    let made = async {
        match &wanted.source {
            None => set_size(storage, file, sparse, wanted).await,
            Some(source) => {
                let snapshot = file_path(directory, &source.name());
                let found = usage(storage, &snapshot).await?;
                let found = found.ok_or_else(|| lost(&format!("Snapshot '{snapshot}'")))?;
                check_owner(storage, &snapshot, source.owner).await?;
                copy(storage, &snapshot, file).await?;
                // What was allocated and never written is a hole in the copy.
                match found.size_bytes / 1024 < wanted.size_kib || !sparse {
                    true => set_size(storage, file, sparse, wanted).await,
                    false => Ok(()),
                }
            }
        }
    };
    let made = made.await;
    made.map_err(|f| no_room(f, &format!("File '{file}' cannot be created.")))?;
    after_change(storage, file, wanted.size_kib).await
}

/// Makes a file that shares its blocks with another one. It gets its name when it is complete.
async fn copy(storage: Storage<'_>, file: &str, to: &str) -> Result<()> {
    let host = storage.machine.host();
    let unnamed = format!("{to}{COPY_SUFFIX}");
    if let Err(failure) = files::reflink(storage.machine, file, &unnamed).await {
        host.remove_file(Path::new(&unnamed)).await?;
        return Err(failure);
    }
    Ok(host.rename(Path::new(&unnamed), Path::new(to)).await?)
}

/// See [`super::find_snapshot`].
pub async fn find_snapshot(
    storage: Storage<'_>,
    directory: &str,
    of: &SnapshotOf<'_>,
) -> Result<Presence> {
    let found = find(storage, directory, &of.name(), of.owner).await?;
    Ok(match found {
        Presence::Present(backing) => Presence::Present(Backing {
            path: file_path(directory, &of.name()),
            ..backing
        }),
        Presence::PoolAbsent | Presence::Absent | Presence::Foreign(_) => found,
    })
}

/// See [`super::take_snapshot`].
pub async fn take_snapshot(
    storage: Storage<'_>,
    directory: &str,
    of: &SnapshotOf<'_>,
) -> Result<Backing> {
    match find_snapshot(storage, directory, of).await? {
        Presence::Present(taken) => return Ok(taken),
        Presence::Foreign(failure) => return Err(failure),
        Presence::Absent | Presence::PoolAbsent => {}
    }
    let volume = file_path(directory, of.volume);
    let Some(before) = usage(storage, &volume).await? else {
        return Err(lost(&format!("File '{volume}'")));
    };
    check_owner(storage, &volume, of.volume_owner).await?;
    let file = file_path(directory, &of.name());
    let host = storage.machine.host();
    let mark = of.owner.value();
    host.write_atomic(&owner_path(&file), mark.as_bytes(), 0o600)
        .await?;
    if let Err(failure) = copy(storage, &volume, &file).await {
        remove(storage, &file, of.owner, false).await?;
        return Err(match failure.kind() {
            ErrorKind::NoReflink => no_snapshots(of.volume)
                .cause(format!("The file system of '{directory}' has no reflinks.")),
            _ => no_room(failure, &format!("Snapshot '{file}' cannot be taken.")),
        });
    }
    let taken = usage(storage, &file).await?;
    let taken = taken.filter(|taken| taken.size_bytes == before.size_bytes);
    let taken = taken.ok_or_else(|| lost(&format!("Snapshot '{file}'")))?;
    Ok(Backing {
        path: file,
        size_kib: taken.size_bytes / 1024,
        allocated_kib: Some(taken.allocated_bytes / 1024),
    })
}

/// See [`super::destroy_snapshot`].
pub async fn destroy_snapshot(
    storage: Storage<'_>,
    directory: &str,
    of: &SnapshotOf<'_>,
) -> Result<()> {
    remove(storage, &file_path(directory, &of.name()), of.owner, false).await
}

/// Whether snapshots of the files of a directory can be taken: tried with a file in it. `None` if that is not known.
pub async fn has_reflinks(
    storage: Storage<'_>,
    directory: &str,
    file: &str,
) -> Result<Option<bool>> {
    let machine = storage.machine;
    let probe = async {
        let copy = format!("{file}{COPY_SUFFIX}");
        let made = files::reflink(machine, file, &copy).await;
        machine.host().remove_file(Path::new(&copy)).await?;
        match made {
            Ok(()) => Ok(Some(true)),
            Err(failure) if failure.kind() == ErrorKind::NoReflink => Ok(Some(false)),
            Err(failure) => {
                tracing::debug!(directory, %failure, "whether there are reflinks is not known");
                Ok(None)
            }
        }
    };
    storage.observations.reflinks(directory, probe).await
}

/// What the volumes of a directory can still take of its file system although they are allocated: blocks that they share
/// with snapshots, or with volumes that were made of these, are allocated anew when they are written.
pub async fn promised_kib(storage: Storage<'_>, directory: &str) -> Result<u64> {
    let mut names = storage
        .machine
        .host()
        .list_dir(Path::new(directory))
        .await?;
    names.retain(|name| name.ends_with(FILE_SUFFIX));
    // Blocks are shared by two files at least.
    if names.len() < 2 {
        return Ok(0);
    }
    let loops = storage.observations.loops(storage.machine).await?;
    let attached: BTreeSet<FileId> = loops.iter().map(|l| l.file).collect();
    let mut volumes = Vec::new();
    for name in names {
        let file = format!("{directory}/{name}");
        // Snapshots have no device, and nobody writes into them.
        let found = usage(storage, &file).await?;
        if found.is_some_and(|usage| attached.contains(&usage.id)) {
            volumes.push(file);
        }
    }
    files::shared_kib(storage.machine, &volumes).await
}

async fn grow(
    storage: Storage<'_>,
    file: &str,
    sparse: bool,
    wanted: &Wanted<'_>,
) -> Result<Backing> {
    set_size(storage, file, sparse, wanted)
        .await
        .map_err(|f| no_room(f, &format!("File '{file}' cannot be grown.")))?;
    after_change(storage, file, wanted.size_kib).await
}

async fn set_size(
    storage: Storage<'_>,
    file: &str,
    sparse: bool,
    wanted: &Wanted<'_>,
) -> Result<()> {
    if sparse {
        files::extend(storage.machine, file, wanted.size_kib).await
    } else {
        files::allocate(storage.machine, file, wanted.size_kib).await
    }
}

/// A file as it is now. `fallocate -x` of older versions of util-linux reports success on a full file system.
async fn after_change(storage: Storage<'_>, file: &str, least_kib: u64) -> Result<Backing> {
    let usage = usage(storage, file).await?;
    let size_kib = usage.as_ref().map_or(0, |usage| usage.size_bytes / 1024);
    let usage = usage.filter(|_| size_kib >= least_kib);
    let usage =
        usage.ok_or_else(|| measure::too_small(&format!("File '{file}'"), size_kib, least_kib))?;
    backing(storage, &usage).await
}

/// See [`super::destroy`].
pub async fn destroy(
    storage: Storage<'_>,
    directory: &str,
    name: &str,
    owner: Owner,
) -> Result<()> {
    remove(storage, &file_path(directory, name), owner, true).await
}

/// See [`super::release`].
pub async fn release(
    storage: Storage<'_>,
    directory: &str,
    name: &str,
    owner: Owner,
) -> Result<()> {
    let file = file_path(directory, name);
    let Some(usage) = usage(storage, &file).await? else {
        return Ok(());
    };
    if check_owner(storage, &file, owner).await.is_err() {
        return Ok(());
    }
    let what = || format!("The loop device of file '{file}' cannot be removed.");
    detach(storage, usage.id).await.map_err(|f| f.under(what()))
}

/// Removes a file of ours, and what a crash left of its creation.
async fn remove(storage: Storage<'_>, file: &str, owner: Owner, has_device: bool) -> Result<()> {
    let host = storage.machine.host();
    if let Some(usage) = usage(storage, file).await? {
        if let Err(failure) = check_owner(storage, file, owner).await {
            tracing::warn!(%failure, "not removed");
            return Ok(());
        }
        if has_device {
            detach(storage, usage.id).await.map_err(|f| {
                let what = format!("The loop device of file '{file}' cannot be removed.");
                f.under(what)
            })?;
        }
        host.remove_file(Path::new(file)).await?;
    }
    // The mark is removed last: a file without it would never be removed.
    if mark(storage, file).await? == Some(owner.value()) {
        let copy = format!("{file}{COPY_SUFFIX}");
        host.remove_file(Path::new(&copy)).await?;
        host.remove_file(&owner_path(file)).await?;
    }
    Ok(())
}

/// Removes all loop devices of a file, and believes that when none is left: the kernel removes one that is open when it
/// is closed, and calls that a success.
async fn detach(storage: Storage<'_>, id: FileId) -> Result<()> {
    let machine = storage.machine;
    {
        // A device that an earlier list has may be another file's by now.
        let _turn = machine.lock("losetup").await;
        storage.observations.loops_unknown().await;
        let devices = devices_of(machine, id).await?;
        for device in &devices {
            in_use::refuse(machine, device).await?;
        }
        for device in &devices {
            losetup::detach(machine, device).await?;
        }
    }
    let give_up = Instant::now() + DETACH_LIMIT;
    while let Some(device) = devices_of(machine, id).await?.first() {
        if Instant::now() >= give_up {
            return Err(in_use::failure(device, "A process has it open."));
        }
        sleep(DETACH_POLL).await;
    }
    // A list that was made meanwhile still has them, and the next file may get the inode of this one.
    storage.observations.loops_unknown().await;
    Ok(())
}

async fn devices_of(machine: &Machine, id: FileId) -> Result<Vec<String>> {
    let all = losetup::list(machine).await?.into_iter();
    Ok(all.filter(|l| l.file == id).map(|l| l.path).collect())
}

/// See [`super::space`].
pub async fn space(storage: Storage<'_>, directory: &str) -> Result<Space> {
    let seen = files::space(storage.machine, directory).await?;
    let (total, free) = seen.ok_or_else(|| absent(&format!("Directory '{directory}'")))?;
    Ok(Space {
        free_kib: Some(free),
        total_kib: Some(total),
        granularity_kib: Some(GRANULARITY_KIB),
        trouble: files::is_read_only(storage.machine, directory)
            .await
            .then(|| trouble::of_read_only(directory)),
        ..Space::default()
    })
}

pub(super) async fn mark(storage: Storage<'_>, file: &str) -> Result<Option<String>> {
    match storage.machine.host().read(&owner_path(file)).await {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

async fn check_owner(storage: Storage<'_>, file: &str, owner: Owner) -> Result<()> {
    let value = owner.value();
    let found = mark(storage, file).await?;
    if found.as_deref() == Some(value.as_str()) {
        return Ok(());
    }
    Err(foreign(
        &format!("File '{file}'"),
        found.as_deref(),
        owner,
        &format!("rm {file}"),
        &format!("echo {value} > {file}{OWNER_SUFFIX}"),
    ))
}
