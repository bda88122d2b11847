//! A cluster of fake machines: what tests set up, change and inspect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linstor_host::StreamEvent;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::content::{BLOCK_BYTES, Block};
use super::data::Ledger;
use super::drbd::{self, AppIo, DrbdKind, Kernel};
use super::fault::{Armed, Fault};
use super::host::FakeHost;
use super::journal::Entry;
use super::machine::{Disk, Machine};
use super::programs;
use super::tool::{Stop, ToolOutput};
use super::world::{Config, World, pair};

/// The state, and the task that advances it with time.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    wake: Arc<Notify>,
    driven: AtomicBool,
}

impl Shared {
    /// Gives access to the state. The lock is never held over an await.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        let before = world.next_timer();
        let result = work(&mut world);
        if world.next_timer() != before {
            self.wake.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task that advances the state, on the first use within a runtime.
    pub(crate) fn start_driver(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.driven.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::downgrade(self);
        let wake = Arc::clone(&self.wake);
        runtime.spawn(async move {
            loop {
                let next = match shared.upgrade() {
                    Some(shared) => {
                        let mut world = shared.lock();
                        world.run_timers(Instant::now());
                        world.next_timer()
                    }
                    None => return,
                };
                let due = async {
                    match next {
                        Some(next) => sleep_until(next).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    // Cancel-safe: both arms only wait.
                    () = wake.notified() => {}
                    () = due => {}
                }
            }
        });
    }

    pub(crate) fn crash(&self, node: &str) {
        self.with(|world| {
            drbd::lose_all(world, node, None);
            if let Some(machine) = world.machines.get_mut(node) {
                machine.crash();
            }
            world.streams.retain(|_, stream| stream.node != node);
            world.settle();
            world.audit(&format!("{node}: crash"));
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// A cluster of fake machines. Deterministic: the same seed and the same calls give the same events.
///
/// Times are those of `tokio::time`, so that a paused clock makes everything fast.
#[derive(Debug, Clone)]
pub struct FakeCluster {
    shared: Arc<Shared>,
}

/// The state of a DRBD volume on one node, for assertions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeState {
    /// `Primary` or `Secondary`.
    pub role: String,
    /// Disk state.
    pub disk: String,
    /// Whether the volume has quorum.
    pub quorum: bool,
    /// Size in KiB.
    pub size_kib: u64,
    /// Per peer, by name: connection state, replication state, peer's disk state.
    pub peers: BTreeMap<String, (String, String, String)>,
}

impl FakeCluster {
    /// A cluster without machines.
    pub fn new(seed: u64) -> Self {
        let shared = Shared {
            world: Mutex::new(World::new(seed)),
            wake: Arc::new(Notify::new()),
            driven: AtomicBool::new(false),
        };
        FakeCluster {
            shared: Arc::new(shared),
        }
    }

    /// Sets the durations of commands and the resync rate.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        self.shared.with(|world| change(&mut world.config));
    }

    /// Adds a machine. Its host name is the node's; its first address is `10.77.0.N` for the N-th machine.
    pub fn add_host(&self, node: &str, kind: DrbdKind) -> FakeHost {
        self.shared.with(|world| {
            let mut machine = Machine::new(node, Kernel::new(kind));
            machine
                .addresses
                .insert(format!("10.77.0.{}", world.machines.len() + 1));
            world.machines.insert(node.to_owned(), machine);
        });
        self.host(node)
    }

    /// The machine as booted now. Handles from before a crash remain unusable.
    pub fn host(&self, node: &str) -> FakeHost {
        let boot = self
            .shared
            .with(|world| world.machines.get(node).map_or(0, |m| m.boot));
        FakeHost {
            shared: Arc::clone(&self.shared),
            node: node.to_owned(),
            boot,
        }
    }

    fn machine<T>(&self, node: &str, work: impl FnOnce(&mut Machine) -> T) -> T {
        self.shared.with(|world| {
            let machine = world.machines.get_mut(node);
            work(machine.unwrap_or_else(|| panic!("there is no machine {node}")))
        })
    }

    /// Addresses of a machine.
    pub fn addresses(&self, node: &str) -> Vec<String> {
        self.machine(node, |machine| machine.addresses.iter().cloned().collect())
    }

    /// Adds an address to a machine.
    pub fn add_address(&self, node: &str, address: &str) {
        self.machine(node, |machine| machine.addresses.insert(address.to_owned()));
    }

    /// Sets the host name, which is the node's name by default.
    pub fn set_host_name(&self, node: &str, name: &str) {
        self.machine(node, |machine| name.clone_into(&mut machine.uname));
    }

    /// Adds an empty disk.
    pub fn add_disk(&self, node: &str, path: &str, size_kib: u64) {
        let disk = Disk {
            size_kib,
            used_by: None,
            sector_bytes: 512,
            blocks: Default::default(),
        };
        self.machine(node, |machine| machine.disks.insert(path.to_owned(), disk));
    }

    /// Gives a disk logical sectors of another size.
    pub fn set_sector_bytes(&self, node: &str, path: &str, bytes: u32) {
        self.machine(node, |machine| {
            if let Some(disk) = machine.disks.get_mut(path) {
                disk.sector_bytes = bytes;
            }
        });
    }

    /// Adds a volume group on a disk of its own (`/dev/disk-VG`).
    pub fn add_volume_group(&self, node: &str, vg: &str, size_kib: u64) {
        let disk = format!("/dev/disk-{vg}");
        // The first MiB is LVM's metadata, and the rest is a whole number of extents.
        self.add_disk(node, &disk, size_kib.next_multiple_of(4096) + 1024);
        self.run_on(node, "vgcreate", &[vg, &disk]);
    }

    /// A volume group that is on a disk of both machines: one sees it as the other has left it. What each of them has active
    /// is its own.
    pub fn see_volume_group(&self, node: &str, as_of: &str, vg: &str) {
        self.shared.with(|world| {
            let Some(mut group) = world
                .machines
                .get(as_of)
                .and_then(|m| m.lvm.vgs.get(vg).cloned())
            else {
                return;
            };
            let Some(machine) = world.machines.get_mut(node) else {
                return;
            };
            let own = machine.lvm.vgs.get(vg);
            for (name, lv) in &mut group.lvs {
                lv.active = own
                    .and_then(|own| own.lvs.get(name))
                    .is_some_and(|lv| lv.active);
            }
            machine.lvm.vgs.insert(vg.to_owned(), group);
        });
    }

    /// Adds a thin pool to a volume group.
    pub fn add_thin_pool(&self, node: &str, vg: &str, pool: &str, size_kib: u64) {
        let size = format!("{size_kib}k");
        self.run_on(
            node,
            "lvcreate",
            &["-L", &size, "-T", &format!("{vg}/{pool}")],
        );
    }

    /// Writes random data to all free space of a volume group, as used disks have it.
    pub fn litter(&self, node: &str, vg: &str) {
        self.shared.with(|world| {
            let World { machines, rng, .. } = world;
            let group = machines
                .get_mut(node)
                .and_then(|machine| machine.lvm.vgs.get_mut(vg));
            let Some(group) = group else { return };
            let free: Vec<u64> = group.free.iter().copied().collect();
            for extent in free {
                let rubbish = Block::Bytes(rng.next().to_le_bytes().to_vec());
                group.stale.entry(extent).or_default().insert(1, rubbish);
            }
        });
    }

    /// Allocates all free chunks of a thin pool: the next write that needs a new chunk fails.
    pub fn fill_thin_pool(&self, node: &str, vg: &str, pool: &str) {
        self.machine(node, |machine| machine.lvm.fill(vg, pool));
    }

    /// Frees the chunks that [`FakeCluster::fill_pool`] allocated.
    pub fn drain_thin_pool(&self, node: &str, vg: &str, pool: &str) {
        self.machine(node, |machine| machine.lvm.drain(vg, pool));
    }

    /// Sets the size of a zpool; a zpool smaller than its content is full.
    pub fn resize_zpool(&self, node: &str, pool: &str, size_kib: u64) {
        self.machine(node, |machine| {
            if let Some(pool) = machine.zfs.pools.get_mut(pool) {
                pool.size_bytes = size_kib * 1024;
            }
        });
    }

    /// Adds a zpool.
    pub fn add_zpool(&self, node: &str, pool: &str, size_kib: u64) {
        self.machine(node, |machine| machine.zfs.add_pool(pool, size_kib * 1024));
    }

    /// Sets the state of a zpool, as `zpool list` prints it, and whether it was imported read-only.
    pub fn set_zpool_state(&self, node: &str, pool: &str, health: &'static str, read_only: bool) {
        self.machine(node, |machine| {
            if let Some(pool) = machine.zfs.pools.get_mut(pool) {
                (pool.health, pool.read_only) = (health, read_only);
            }
        });
    }

    /// Removes a disk, as if it was pulled: volume groups miss it.
    pub fn remove_disk(&self, node: &str, path: &str) {
        self.machine(node, |machine| machine.disks.remove(path));
    }

    /// Adds a directory on a file system with this much space.
    pub fn add_mount(&self, node: &str, directory: &str, size_kib: u64) {
        self.machine(node, |machine| {
            machine.files.mounts.insert(directory.to_owned(), size_kib)
        });
    }

    /// Replaces the file system of a mounted directory by one whose files cannot share blocks.
    pub fn without_reflinks(&self, node: &str, directory: &str) {
        self.machine(node, |machine| {
            machine.files.without_reflinks.insert(directory.to_owned())
        });
    }

    /// Replaces OpenZFS 2.2 by 2.1, which has a smaller default volblocksize and prints less.
    pub fn use_zfs_2_1(&self, node: &str) {
        self.machine(node, |machine| machine.zfs.is_2_1 = true);
    }

    /// Volumes and snapshots of ZFS.
    pub fn zfs_volumes(&self, node: &str) -> Vec<String> {
        self.machine(node, |machine| machine.zfs.volumes())
    }

    /// Paths of the files that are large and sparse.
    pub fn images(&self, node: &str) -> Vec<String> {
        self.machine(node, |machine| machine.files.images())
    }

    /// Adds a symbolic link to a directory.
    pub fn add_link(&self, node: &str, link: &str, target: &str) {
        self.machine(node, |machine| {
            let links = &mut machine.files.links;
            links.insert(link.to_owned(), target.to_owned())
        });
    }

    /// Mounts a device that is not a DRBD device.
    pub fn mount(&self, node: &str, path: &str, on: &str) {
        self.machine(node, |machine| {
            let dev = machine.device(path).expect("a device");
            machine.mounted.insert(dev, on.to_owned());
        });
    }

    /// A process opens a device that is not a DRBD device, without claiming it.
    pub fn open_device(&self, node: &str, path: &str) {
        self.machine(node, |machine| {
            let dev = machine.device(path).expect("a device");
            machine.opened.insert(dev);
        });
    }

    /// Unmounts a device, and ends the process that has it open.
    pub fn close_device(&self, node: &str, path: &str) {
        self.machine(node, |machine| {
            let dev = machine.device(path).expect("a device");
            machine.mounted.remove(&dev);
            machine.opened.remove(&dev);
            machine.clear_detached_loops();
        });
    }

    /// Runs a tool immediately and without a journal entry, for the setup of a test.
    pub fn run_on(&self, node: &str, program: &str, args: &[&str]) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let result = self
            .shared
            .with(|world| programs::run(world, node, program, &args, &[]));
        match result {
            Ok(ToolOutput { code: 0, .. }) => {}
            Ok(output) | Err(Stop::Failed(output)) => {
                panic!("{program} {args:?}: {}", output.stderr)
            }
            Err(Stop::Missing(missing)) => panic!("{program} {args:?}: {missing:?}"),
            Err(Stop::Wait) => panic!("{program} {args:?} would wait"),
        }
    }

    /// Crashes a machine: power off, without a message to its peers.
    pub fn crash(&self, node: &str) {
        self.shared.crash(node);
    }

    /// Shuts a machine down in order: all resources become secondary and disconnect from their peers.
    pub fn shut_down(&self, node: &str) {
        self.shared.with(|world| {
            drbd::leave_all(world, node);
            world.settle();
        });
        self.shared.crash(node);
    }

    /// Boots a machine. Its storage is preserved; DRBD resources, loop devices and mappings are not.
    pub fn boot(&self, node: &str) -> FakeHost {
        self.machine(node, Machine::boot);
        self.host(node)
    }

    /// Whether a machine is up.
    pub fn is_up(&self, node: &str) -> bool {
        self.machine(node, |machine| machine.up)
    }

    /// Cuts the network between two machines.
    pub fn cut(&self, a: &str, b: &str) {
        self.shared.with(|world| {
            world.cut.insert(pair(a, b));
            drbd::lose_all(world, a, Some(b));
            world.settle();
        });
    }

    /// Restores the network between two machines.
    pub fn heal(&self, a: &str, b: &str) {
        self.shared.start_driver();
        self.shared.with(|world| {
            world.cut.remove(&pair(a, b));
            drbd::heal(world);
        });
    }

    /// Whether two machines reach each other.
    pub fn is_cut(&self, a: &str, b: &str) -> bool {
        self.shared.with(|world| world.is_cut(a, b))
    }

    /// Arms a fault.
    pub fn inject(&self, fault: Fault) {
        self.shared.with(|world| {
            world.faults.push(Armed {
                fault,
                passed: 0,
                struck: 0,
            })
        });
    }

    /// Removes all faults; returns how many were never injected.
    pub fn disarm(&self) -> usize {
        self.shared
            .with(|world| std::mem::take(&mut world.faults).len())
    }

    /// Uninstalls a program from a machine, or a kernel module (`module drbd`).
    pub fn uninstall(&self, node: &str, program: &str) {
        self.machine(node, |machine| {
            machine.missing_tools.insert(program.to_owned())
        });
    }

    /// Installs a program again.
    pub fn install(&self, node: &str, program: &str) {
        self.machine(node, |machine| machine.missing_tools.remove(program));
    }

    /// Installs a util-linux before 2.39: its `fallocate -x` succeeds on a full file system.
    pub fn install_old_util_linux(&self, node: &str) {
        self.machine(node, |machine| machine.old_util_linux = true);
    }

    /// Makes a process listen on a port.
    pub fn occupy_port(&self, node: &str, port: u16, holder: &str) {
        self.machine(node, |machine| {
            machine.busy_ports.insert(port, holder.to_owned())
        });
    }

    /// Frees a port. DRBD connections that are StandAlone because of it do not reconnect by themselves.
    pub fn free_port(&self, node: &str, port: u16) {
        self.machine(node, |machine| machine.busy_ports.remove(&port));
    }

    /// Makes every access to a device (or to all volumes on a physical volume) fail. DRBD detects it at the next
    /// access.
    pub fn break_device(&self, node: &str, path: &str) {
        self.machine(node, |machine| machine.broken.insert(path.to_owned()));
    }

    /// Ends the I/O errors of a device.
    pub fn repair_device(&self, node: &str, path: &str) {
        self.machine(node, |machine| machine.broken.remove(path));
    }

    /// Ends the `events2` streams of a machine, as if `drbdsetup` had been killed.
    pub fn end_streams(&self, node: &str) {
        self.shared.with(|world| {
            world.streams.retain(|_, stream| {
                if stream.node != node {
                    return true;
                }
                // If the queue is full, the end event is lost as well; the reader then sees the stream closed.
                let _full = stream.events.try_send(StreamEvent::Ended(Some(1)));
                false
            });
        });
    }

    /// All requests to the machines, oldest first.
    pub fn journal(&self) -> Vec<Entry> {
        self.shared.with(|world| world.journal.clone())
    }

    /// Returns the journal and clears it.
    pub fn take_journal(&self) -> Vec<Entry> {
        self.shared.with(|world| std::mem::take(&mut world.journal))
    }

    /// The text of a file; `None` if there is none.
    pub fn file(&self, node: &str, path: &str) -> Option<String> {
        self.machine(node, |machine| {
            Some(String::from_utf8_lossy(&machine.files.read(path).ok()?).into_owned())
        })
    }

    /// All text files of a machine.
    pub fn files(&self, node: &str) -> BTreeMap<String, String> {
        self.machine(node, |machine| machine.files.texts())
    }

    /// Permissions of a file.
    pub fn file_mode(&self, node: &str, path: &str) -> Option<u32> {
        self.machine(node, |machine| machine.files.mode(path))
    }

    /// Whether a block device exists.
    pub fn has_device(&self, node: &str, path: &str) -> bool {
        self.machine(node, |machine| machine.device(path).is_some())
    }

    /// Size of a block device in KiB.
    pub fn device_kib(&self, node: &str, path: &str) -> Option<u64> {
        self.machine(node, |machine| {
            let device = machine.device(path)?;
            Some(machine.size_bytes(&device) / 1024)
        })
    }

    /// Names of the logical volumes of a group.
    pub fn logical_volumes(&self, node: &str, vg: &str) -> Vec<String> {
        self.machine(node, |machine| {
            machine
                .lvm
                .vgs
                .get(vg)
                .map(|vg| vg.lvs.keys().cloned().collect())
                .unwrap_or_default()
        })
    }

    /// Names of the DRBD resources that are up on a machine.
    pub fn drbd_resources(&self, node: &str) -> Vec<String> {
        self.machine(node, |machine| {
            machine.drbd.resources.keys().cloned().collect()
        })
    }

    /// The state of a DRBD volume; `None` if it does not exist.
    pub fn drbd(&self, node: &str, resource: &str, volume: u32) -> Option<VolumeState> {
        self.shared
            .with(|world| drbd::volume_state(world, node, resource, volume))
    }

    /// Waits until no event is pending (resyncs, connection attempts), or until the limit;
    /// true if no event is pending.
    pub async fn quiesce(&self, limit: Duration) -> bool {
        self.shared.start_driver();
        let give_up = Instant::now() + limit;
        loop {
            if self.shared.with(|world| world.is_quiet()) {
                return true;
            }
            if Instant::now() >= give_up {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An application opens a DRBD device for writing and holds it open; DRBD 9 promotes the resource automatically.
    pub fn open(&self, node: &str, resource: &str, volume: u32) -> Result<(), String> {
        self.shared.start_driver();
        self.shared.with(|world| {
            let minor = minor(world, node, resource, volume).ok_or("no such device")?;
            let opened = drbd::open_device(world, node, minor);
            world.settle();
            opened.map_err(|refused| refused.text.to_owned())
        })
    }

    /// The application closes the device.
    pub fn close(&self, node: &str, resource: &str, volume: u32) {
        self.shared.with(|world| {
            if let Some(minor) = minor(world, node, resource, volume) {
                drbd::close_device(world, node, minor);
            }
            world.settle();
        });
    }

    /// A volume's disk is gone, and its bitmap remains in the kernel.
    pub fn leave_bitmap(&self, node: &str, resource: &str, volume: u32) {
        self.shared.with(|world| {
            world.fail_disk(node, resource, volume);
            if let Some(volume) = world.volume_mut(node, resource, volume) {
                volume.stale_bitmap = true;
            }
            world.settle();
        });
    }

    /// An application reads while I/O is suspended on DRBD 8.4, which holds the read back until the connection ends. A write of
    /// an application that has the device open is held back in any case.
    pub fn catch_read(&self, node: &str, resource: &str, volume: u32) {
        self.shared.with(|world| {
            if let Some(volume) = world.volume_mut(node, resource, volume) {
                volume.held.read = true;
            }
        });
    }

    /// Whether a request of an application is held back by DRBD 8.4 although I/O is not suspended, see
    /// [`FakeCluster::catch_read`].
    pub fn holds_requests(&self, node: &str, resource: &str) -> bool {
        self.shared.with(|world| {
            let found = world.resource(node, resource);
            let found = found.filter(|resource| !resource.suspended);
            let mut volumes = found.into_iter().flat_map(|found| found.volumes.values());
            volumes.any(|volume| volume.held != Default::default())
        })
    }

    /// An application writes a value into a block of 4 KiB of a device that is primary on this node. Acknowledged
    /// writes are recorded, see [`FakeCluster::lost_writes`].
    pub fn write(
        &self,
        node: &str,
        resource: &str,
        volume: u32,
        block: u64,
        value: u64,
    ) -> Result<(), AppIo> {
        self.shared.start_driver();
        self.shared.with(|world| {
            let content = Block::of(&value.to_le_bytes());
            let written = drbd::app_write(world, node, resource, volume, block, content.as_ref());
            if written.is_ok() {
                world.ledger.acknowledge(resource, volume, block, content);
            }
            world.settle();
            world.audit(&format!("{node}: application writes {resource}/{volume}"));
            written
        })
    }

    /// An application reads a block of a device that is primary on this node.
    pub fn read(&self, node: &str, resource: &str, volume: u32, block: u64) -> Result<u64, AppIo> {
        let content = self
            .shared
            .with(|world| drbd::app_read(world, node, resource, volume, block))?;
        Ok(content.map_or(0, |block| number(&block.bytes())))
    }

    /// A process writes a value into a block of a device that is not a DRBD device.
    pub fn poke(&self, node: &str, path: &str, block: u64, value: u64) {
        self.machine(node, |machine| {
            let dev = machine.device(path).expect("a device");
            let content = Block::of(&value.to_le_bytes());
            machine
                .put(&dev, block, content)
                .expect("it can be written");
        });
    }

    /// A block of any device as stored on disk.
    pub fn peek(&self, node: &str, path: &str, block: u64) -> Option<u64> {
        self.machine(node, |machine| {
            let dev = machine.device(path)?;
            let content = machine.get(&dev, block).ok()?;
            Some(content.map_or(0, |block| number(&block.bytes())))
        })
    }

    /// Acknowledged writes that an UpToDate replica lacks; empty if no data is lost. Meaningful when
    /// nothing is being written, and as long as no split brain was resolved by discarding one side's changes.
    pub fn lost_writes(&self, resource: &str) -> Vec<String> {
        self.shared.with(|world| world.lost_writes(resource))
    }

    /// Blocks of a volume that differ between UpToDate replicas, as `drbdadm verify` would find them.
    /// Meaningful when nothing is being written.
    pub fn differences(&self, resource: &str, volume: u32) -> BTreeSet<u64> {
        self.shared
            .with(|world| world.differences(resource, volume))
    }

    /// Nodes that have all acknowledged writes, whether DRBD is up there or not.
    pub fn whole_copies(&self, resource: &str, volume: u32) -> Vec<String> {
        self.shared.with(|world| {
            world.note_backings();
            world.whole_copies(resource, volume)
        })
    }

    /// Commands that destroyed the last complete copy of acknowledged data.
    pub fn violations(&self) -> Vec<String> {
        self.shared.with(|world| world.ledger.violations.clone())
    }

    /// Allows the data of a resource to be destroyed, because the resource is being deleted.
    pub fn release(&self, resource: &str) {
        self.shared.with(|world| world.ledger.release(resource));
    }

    /// Clears all recorded writes and violations.
    pub fn forget_writes(&self) {
        self.shared.with(|world| world.ledger = Ledger::default());
    }
}

fn minor(world: &World, node: &str, resource: &str, volume: u32) -> Option<u32> {
    world.machines.get(node).filter(|machine| machine.up)?;
    world
        .volume(node, resource, volume)
        .map(|volume| volume.minor)
}

fn number(bytes: &[u8]) -> u64 {
    debug_assert!(bytes.len() as u64 == BLOCK_BYTES);
    bytes[..8]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
