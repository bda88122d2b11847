//! Providers: one kind of storage pool each. They have volumes by name and owner, and know no layers.
//!
//! Every provider has the same four functions: find a volume, make sure that it exists and is large enough, destroy it,
//! and query the space of its pool. Those whose volumes can have snapshots take, find and destroy them, and make volumes
//! of them. A volume or snapshot is ours if it carries our mark; one of the right name without it is never used, never
//! changed and never destroyed.

pub mod file;
pub mod in_use;
pub mod lvm;
pub mod marked;
pub mod measure;
pub mod trouble;
pub mod zfs;

use linstor_api::{code, tool_option};
use linstor_wire::spec::Props;
use uuid::Uuid;

use crate::check::PoolPlace;
use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::observation::Observations;
use crate::tools::error::ErrorKind;

/// How long a new device may take to appear, in milliseconds.
const WAIT_MS_DEFAULT: u64 = 5000;
/// The longest that may be configured, in milliseconds.
const WAIT_MS_MAX: u64 = 120_000;

/// What providers work with.
#[derive(Clone, Copy)]
pub struct Storage<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The state of storage as last queried.
    pub observations: &'a Observations,
}

/// Whose a volume or a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: Uuid,
    /// The resource on this node; of a snapshot, the snapshot on this node.
    pub resource: Uuid,
}

impl Owner {
    /// The mark as an LVM tag.
    pub fn tag(&self) -> String {
        format!("linstor-rs.{}.{}", self.cluster, self.resource)
    }

    /// The mark as the value of a ZFS property or the content of a FILE volume's mark file.
    pub fn value(&self) -> String {
        format!("{}/{}", self.cluster, self.resource)
    }
}

/// A volume that should be there.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name in the pool.
    pub name: &'a str,
    /// Its size.
    pub size_kib: u64,
    /// Whose it is.
    pub owner: Owner,
    /// Properties of the storage driver.
    pub props: &'a Props,
    /// Its creation has begun and it holds no data.
    pub is_new: bool,
    /// The snapshot of the same pool whose content it has when it is made.
    pub source: Option<SnapshotOf<'a>>,
}

/// A snapshot of a volume.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotOf<'a> {
    /// Name of the volume in the pool.
    pub volume: &'a str,
    /// Whose the volume is.
    pub volume_owner: Owner,
    /// The snapshot's name.
    pub snapshot: &'a str,
    /// Whose the snapshot is.
    pub owner: Owner,
    /// Properties of the storage driver.
    pub props: &'a Props,
}

impl SnapshotOf<'_> {
    /// The name that it has in a pool whose snapshots stand among the volumes.
    pub(crate) fn name(&self) -> String {
        format!("{}_{}", self.volume, self.snapshot)
    }
}

/// A volume or a snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Its device; of a snapshot of ZFS its full name, of one of FILE the file.
    pub path: String,
    /// Its size.
    pub size_kib: u64,
    /// Space it takes in the pool, if that is known.
    pub allocated_kib: Option<u64>,
}

/// Whether a volume exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Its pool does not exist, so that it is not known whether the volume does.
    PoolAbsent,
    /// There is none.
    Absent,
    /// One of that name is there and is not ours; the failure of whoever wants to use it.
    Foreign(Failure),
    /// It is there.
    Present(Backing),
}

impl Presence {
    /// Of a volume that is there.
    fn of(backing: Backing, owned: Result<()>) -> Presence {
        match owned {
            Ok(()) => Presence::Present(backing),
            Err(failure) => Presence::Foreign(failure),
        }
    }
}

/// The space of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Space {
    /// Free KiB.
    pub free_kib: Option<u64>,
    /// Total KiB.
    pub total_kib: Option<u64>,
    /// Volumes are multiples of this many KiB.
    pub granularity_kib: Option<u64>,
    /// How full the metadata of a thin pool is, in thousandths.
    pub metadata_permille: Option<u32>,
    /// What a volume reserves beyond its size, in thousandths of it.
    pub overhead_permille: Option<u32>,
    /// Whether its file system can share blocks between files, where that is known.
    pub has_reflinks: Option<bool>,
    /// Why it cannot be used as it should, when it cannot.
    pub trouble: Option<Failure>,
    /// The largest logical sector of the devices below, where it is known and users of a volume see it.
    pub sector_bytes: Option<u32>,
    /// A thin pool allocates and discards in multiples of this many KiB.
    pub chunk_kib: Option<u64>,
}

/// A volume, if it exists.
pub async fn find(
    storage: Storage<'_>,
    place: &PoolPlace,
    name: &str,
    owner: Owner,
) -> Result<Presence> {
    match place {
        PoolPlace::Diskless => Ok(Presence::Absent),
        PoolPlace::Lvm { vg } => lvm::find(storage, vg, name, owner).await,
        PoolPlace::LvmThin { vg, .. } => lvm::find(storage, vg, name, owner).await,
        PoolPlace::Zfs { dataset, .. } => zfs::find(storage, dataset, name, owner).await,
        PoolPlace::File { directory, .. } => file::find(storage, directory, name, owner).await,
    }
}

/// Makes sure that a volume exists, has its device, and is large enough.
pub async fn ensure(
    storage: Storage<'_>,
    place: &PoolPlace,
    wanted: &Wanted<'_>,
) -> Result<Backing> {
    match place {
        PoolPlace::Diskless => Err(Failure::new(
            code::FAIL_INVLD_STOR_DRIVER,
            format!("'{}' cannot be stored in a diskless pool.", wanted.name),
        )),
        PoolPlace::Lvm { vg } => lvm::ensure(storage, vg, None, wanted).await,
        PoolPlace::LvmThin { vg, pool } => lvm::ensure(storage, vg, Some(pool), wanted).await,
        PoolPlace::Zfs { dataset, sparse } => zfs::ensure(storage, dataset, *sparse, wanted).await,
        PoolPlace::File { directory, sparse } => {
            file::ensure(storage, directory, *sparse, wanted).await
        }
    }
}

/// Destroys a volume of ours. One that is not there or not ours, and one whose pool is not there, is destroyed already.
/// One that is in use fails with `FAIL_IN_USE`, and its content is what it was.
pub async fn destroy(
    storage: Storage<'_>,
    place: &PoolPlace,
    name: &str,
    owner: Owner,
) -> Result<()> {
    match place {
        PoolPlace::Diskless => Ok(()),
        PoolPlace::Lvm { vg } => lvm::destroy(storage, vg, name, owner).await,
        PoolPlace::LvmThin { vg, .. } => lvm::destroy(storage, vg, name, owner).await,
        PoolPlace::Zfs { dataset, .. } => zfs::destroy(storage, dataset, name, owner).await,
        PoolPlace::File { directory, .. } => file::destroy(storage, directory, name, owner).await,
    }
}

/// Has the device of a volume of ours disappear on this node, so that another one can use the volume. Only pools that nodes
/// can share have such volumes. One that is in use fails with `FAIL_IN_USE`.
pub async fn release(
    storage: Storage<'_>,
    place: &PoolPlace,
    name: &str,
    owner: Owner,
) -> Result<()> {
    match place {
        PoolPlace::Lvm { vg } => lvm::release(storage, vg, name, owner).await,
        PoolPlace::File { directory, .. } => file::release(storage, directory, name, owner).await,
        PoolPlace::Diskless | PoolPlace::LvmThin { .. } | PoolPlace::Zfs { .. } => Ok(()),
    }
}

/// A snapshot, if it exists.
pub async fn find_snapshot(
    storage: Storage<'_>,
    place: &PoolPlace,
    of: &SnapshotOf<'_>,
) -> Result<Presence> {
    match place {
        PoolPlace::Diskless => Ok(Presence::Absent),
        PoolPlace::Lvm { vg } | PoolPlace::LvmThin { vg, .. } => {
            lvm::find(storage, vg, &of.name(), of.owner).await
        }
        PoolPlace::Zfs { dataset, .. } => zfs::find_snapshot(storage, dataset, of).await,
        PoolPlace::File { directory, .. } => file::find_snapshot(storage, directory, of).await,
    }
}

/// Takes a snapshot, unless it was taken already.
pub async fn take_snapshot(
    storage: Storage<'_>,
    place: &PoolPlace,
    of: &SnapshotOf<'_>,
) -> Result<Backing> {
    match place {
        PoolPlace::Diskless => Err(no_snapshots(of.volume)),
        // It is copied and removed: with each one that stays a thick volume would be slower.
        PoolPlace::Lvm { vg } => lvm::take_snapshot(storage, vg, None, of).await,
        PoolPlace::LvmThin { vg, pool } => lvm::take_snapshot(storage, vg, Some(pool), of).await,
        PoolPlace::Zfs { dataset, .. } => zfs::take_snapshot(storage, dataset, of).await,
        PoolPlace::File { directory, .. } => file::take_snapshot(storage, directory, of).await,
    }
}

/// Destroys a snapshot of ours. One that is not there or not ours, and one whose pool is not there, is destroyed already.
/// Volumes that were made of it have their content still.
pub async fn destroy_snapshot(
    storage: Storage<'_>,
    place: &PoolPlace,
    of: &SnapshotOf<'_>,
) -> Result<()> {
    match place {
        PoolPlace::Diskless => Ok(()),
        PoolPlace::Lvm { vg } | PoolPlace::LvmThin { vg, .. } => {
            lvm::destroy(storage, vg, &of.name(), of.owner).await
        }
        PoolPlace::Zfs { dataset, .. } => zfs::destroy_snapshot(storage, dataset, of).await,
        PoolPlace::File { directory, .. } => file::destroy_snapshot(storage, directory, of).await,
    }
}

/// Gives a volume the content and the size of a snapshot of it, in place. Only ZFS can, to the most recent snapshot.
pub async fn roll_back(storage: Storage<'_>, place: &PoolPlace, of: &SnapshotOf<'_>) -> Result<()> {
    match place {
        PoolPlace::Zfs { dataset, .. } => zfs::roll_back(storage, dataset, of).await,
        PoolPlace::Diskless
        | PoolPlace::Lvm { .. }
        | PoolPlace::LvmThin { .. }
        | PoolPlace::File { .. } => Err(Failure::new(
            code::FAIL_INVLD_STOR_DRIVER,
            format!("'{}' cannot be rolled back in place.", of.volume),
        )
        .cause("Only volumes of ZFS can.")),
    }
}

/// Destroys what was marked for deletion because something depended on it, and nothing depends on any more.
pub async fn reap(storage: Storage<'_>, place: &PoolPlace, cluster: Uuid) -> Result<()> {
    match place {
        PoolPlace::Zfs { dataset, .. } => zfs::reap(storage, dataset, cluster).await,
        PoolPlace::Diskless
        | PoolPlace::Lvm { .. }
        | PoolPlace::LvmThin { .. }
        | PoolPlace::File { .. } => Ok(()),
    }
}

/// The space of a pool. A pool that cannot be used is a failure with the reason.
pub async fn space(storage: Storage<'_>, place: &PoolPlace, props: &Props) -> Result<Space> {
    match place {
        PoolPlace::Diskless => Ok(Space::default()),
        PoolPlace::Lvm { vg } => lvm::space(storage, vg, None, props).await,
        PoolPlace::LvmThin { vg, pool } => lvm::space(storage, vg, Some(pool), props).await,
        PoolPlace::Zfs { dataset, sparse } => zfs::space(storage, dataset, *sparse, props).await,
        PoolPlace::File { directory, .. } => file::space(storage, directory).await,
    }
}

/// The failure for a volume of the right name that is not ours; `remove` and `adopt` are commands.
fn foreign(what: &str, mark: Option<&str>, owner: Owner, remove: &str, adopt: &str) -> Failure {
    let of_cluster = mark.is_some_and(|mark| mark.contains(&owner.cluster.to_string()));
    let correction = match of_cluster {
        true => format!(
            "An earlier replica of this cluster left it on this node. If its content is not needed, remove it with '{remove}'."
        ),
        false => format!(
            "Rename it if it is somebody else's, or choose another name for the resource or another storage pool. If it is \
             this resource's, mark it with '{adopt}'."
        ),
    };
    let cause = match mark {
        Some(mark) => format!("It carries the mark '{mark}' of another resource."),
        None => "It carries no mark of this cluster.".to_owned(),
    };
    Failure::new(
        code::FAIL_INVLD_STOR_DRIVER,
        format!("{what} exists, but does not belong to this resource; it was not changed."),
    )
    .cause(cause)
    .correction(correction)
}

/// The failure for a pool that does not exist.
fn absent(what: &str) -> Failure {
    Failure::new(
        code::FAIL_STOR_POOL_CONFIGURATION_ERROR,
        format!("{what} does not exist on this node."),
    )
    .cause("It was removed or renamed, or the disks that it is on are missing.")
    .correction("Restore it, or delete the storage pool.")
}

/// The failure for a volume of whose pool no snapshots can be taken.
fn no_snapshots(volume: &str) -> Failure {
    Failure::new(
        code::FAIL_SNAPSHOTS_NOT_SUPPORTED,
        format!("No snapshot of '{volume}' can be taken."),
    )
    .cause("Its storage pool does not support snapshots.")
    .correction("Move it to a storage pool of kind LVM_THIN, ZFS or ZFS_THIN, or FILE on a file system with reflinks.")
}

/// The failure for a volume or snapshot that is needed and not there.
fn lost(what: &str) -> Failure {
    Failure::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("{what} does not exist on this node."),
    )
    .cause("It was not the satellite that removed it, or its storage pool is another one.")
}

/// A failure to create or grow a volume, with the code of its reason.
fn no_room(failure: Failure, what: &str) -> Failure {
    let ret_code = match failure.kind() {
        ErrorKind::NoSpace => code::FAIL_NOT_ENOUGH_FREE_SPACE,
        _ if failure.code() == code::FAIL_NOT_ENOUGH_FREE_SPACE => failure.code(),
        _ => code::FAIL_UNKNOWN_ERROR,
    };
    failure.context(ret_code, what)
}

/// Options that a property has for its program.
fn extra_options(props: &Props, key: &str) -> Result<Vec<String>> {
    let (Some(line), Some(tool)) = (props.get(key), tool_option::of_property(key)) else {
        return Ok(Vec::new());
    };
    tool_option::parse_line(tool, line).map_err(|why| {
        Failure::new(
            code::FAIL_INVLD_PROP,
            format!("Property '{key}' cannot be used."),
        )
        .cause(format!("Its value is '{}': {why}.", line.escape_debug()))
        .correction(format!("Change property '{key}'."))
    })
}

/// How long a new device may take to appear.
fn appearance_limit(props: &Props) -> std::time::Duration {
    let ms = props
        .get("StorDriver/WaitTimeoutAfterCreate")
        .and_then(|ms| ms.parse().ok())
        .unwrap_or(WAIT_MS_DEFAULT);
    std::time::Duration::from_millis(ms.min(WAIT_MS_MAX))
}
