//! The state of storage as last queried: one query per volume group, dataset or tool serves all attempts for a while.
//!
//! Own changes are entered when they succeeded, so that a hundred creations need no hundred queries. When a change
//! failed, the state is unknown and is queried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Result;
use crate::machine::Machine;
use crate::tools::losetup::LoopDevice;
use crate::tools::lvm::VolumeGroup;
use crate::tools::{losetup, lsblk, lvm, zfs};

/// Volumes and snapshots of a dataset by full name.
pub type Dataset = BTreeMap<String, zfs::Entry>;
/// Loop devices.
pub type Loops = Vec<LoopDevice>;

/// One observation. Its lock is held during the query, so that concurrent callers cause one query.
struct Slot<T>(tokio::sync::Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot(tokio::sync::Mutex::new(None))
    }
}

impl<T: Clone> Slot<T> {
    async fn get(
        &self,
        age_max: Duration,
        query: impl Future<Output = Result<T>>,
    ) -> Result<Arc<T>> {
        let mut slot = self.0.lock().await;
        if let Some((_, value)) = slot.as_ref().filter(|(seen, _)| seen.elapsed() < age_max) {
            return Ok(Arc::clone(value));
        }
        *slot = None;
        // What was changed during the query may not be in it.
        let begun = Instant::now();
        let value = Arc::new(query.await?);
        *slot = Some((begun, Arc::clone(&value)));
        Ok(value)
    }

    async fn change(&self, change: impl FnOnce(&mut T)) {
        if let Some((_, value)) = &mut *self.0.lock().await {
            change(Arc::make_mut(value));
        }
    }

    async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// All observations.
pub struct Observations {
    age_max: Duration,
    groups: Mutex<BTreeMap<String, Arc<Slot<Option<VolumeGroup>>>>>,
    /// Physical volumes of groups as they were last seen.
    devices: Mutex<BTreeMap<String, BTreeSet<String>>>,
    datasets: Mutex<BTreeMap<String, Arc<Slot<Option<Dataset>>>>>,
    loops: Slot<Loops>,
    /// The largest logical sector of devices, which never changes.
    sectors: tokio::sync::Mutex<BTreeMap<BTreeSet<String>, u32>>,
    /// Whether the file system of a directory has reflinks.
    reflinks: tokio::sync::Mutex<BTreeMap<String, bool>>,
}

impl Observations {
    /// Nothing was seen yet.
    pub fn new(age_max: Duration) -> Self {
        Observations {
            age_max,
            groups: Mutex::default(),
            devices: Mutex::default(),
            datasets: Mutex::default(),
            loops: Slot::default(),
            sectors: tokio::sync::Mutex::default(),
            reflinks: tokio::sync::Mutex::default(),
        }
    }

    fn group(&self, vg: &str) -> Arc<Slot<Option<VolumeGroup>>> {
        let mut groups = self.groups.lock().expect("no code panics while holding it");
        Arc::clone(groups.entry(vg.to_owned()).or_default())
    }

    fn known_devices(&self, vg: &str) -> Option<BTreeSet<String>> {
        let devices = self
            .devices
            .lock()
            .expect("no code panics while holding it");
        devices.get(vg).cloned()
    }

    fn remember_devices(&self, vg: &str, group: Option<&VolumeGroup>) {
        let mut devices = self
            .devices
            .lock()
            .expect("no code panics while holding it");
        match group {
            Some(group) => devices.insert(vg.to_owned(), group.devices.clone()),
            None => devices.remove(vg),
        };
    }

    fn dataset(&self, name: &str) -> Arc<Slot<Option<Dataset>>> {
        let mut sets = self
            .datasets
            .lock()
            .expect("no code panics while holding it");
        Arc::clone(sets.entry(name.to_owned()).or_default())
    }

    /// A volume group; `None` in it if it is not there.
    pub async fn lvm(&self, machine: &Machine, vg: &str) -> Result<Arc<Option<VolumeGroup>>> {
        self.lvm_within(machine, vg, self.age_max).await
    }

    /// A volume group as it was at most this long ago: free space is reported to people and must be recent.
    pub async fn lvm_within(
        &self,
        machine: &Machine,
        vg: &str,
        age_max: Duration,
    ) -> Result<Arc<Option<VolumeGroup>>> {
        let slot = self.group(vg);
        let known = self.known_devices(vg);
        let query = async {
            let group = lvm::observe(machine, vg, known).await?;
            self.remember_devices(vg, group.as_ref());
            Ok(group)
        };
        slot.get(age_max, query).await
    }

    /// Enters an own change of a volume group.
    pub async fn lvm_changed(&self, vg: &str, change: impl FnOnce(&mut VolumeGroup)) {
        let changed = |group: &mut Option<VolumeGroup>| {
            if let Some(group) = group {
                change(group);
            }
        };
        self.group(vg).change(changed).await;
    }

    /// The state of a volume group is unknown from now on.
    pub async fn lvm_unknown(&self, vg: &str) {
        self.group(vg).forget().await;
    }

    /// A dataset; `None` in it if it is not there.
    pub async fn zfs(&self, machine: &Machine, dataset: &str) -> Result<Arc<Option<Dataset>>> {
        self.zfs_within(machine, dataset, self.age_max).await
    }

    /// A dataset as it was at most this long ago.
    pub async fn zfs_within(
        &self,
        machine: &Machine,
        dataset: &str,
        age_max: Duration,
    ) -> Result<Arc<Option<Dataset>>> {
        let slot = self.dataset(dataset);
        slot.get(age_max, zfs::list(machine, dataset)).await
    }

    /// Enters an own change of a dataset.
    pub async fn zfs_changed(&self, dataset: &str, change: impl FnOnce(&mut Dataset)) {
        let changed = |entries: &mut Option<Dataset>| {
            if let Some(entries) = entries {
                change(entries);
            }
        };
        self.dataset(dataset).change(changed).await;
    }

    /// The state of a dataset is unknown from now on.
    pub async fn zfs_unknown(&self, dataset: &str) {
        self.dataset(dataset).forget().await;
    }

    /// All loop devices.
    pub async fn loops(&self, machine: &Machine) -> Result<Arc<Loops>> {
        self.loops.get(self.age_max, losetup::list(machine)).await
    }

    /// Enters an own change of the loop devices.
    pub async fn loops_changed(&self, change: impl FnOnce(&mut Loops)) {
        self.loops.change(change).await;
    }

    /// The state of the loop devices is unknown from now on.
    pub async fn loops_unknown(&self) {
        self.loops.forget().await;
    }

    /// The largest logical sector of some devices, in bytes; `None` if that is not known.
    pub async fn sector_bytes(
        &self,
        machine: &Machine,
        devices: &BTreeSet<String>,
    ) -> Result<Option<u32>> {
        let mut known = self.sectors.lock().await;
        if let Some(bytes) = known.get(devices) {
            return Ok(Some(*bytes));
        }
        let rows = lsblk::list(machine, devices.iter().map(String::as_str)).await?;
        let of_devices = rows.iter().filter(|row| devices.contains(&row.path));
        let largest = of_devices.map(|row| row.sector_bytes).max();
        let largest = largest.and_then(|bytes| u32::try_from(bytes).ok());
        let largest = largest.filter(|bytes| *bytes > 0);
        if let Some(bytes) = largest {
            known.insert(devices.clone(), bytes);
        }
        Ok(largest)
    }

    /// Whether the file system of a directory has reflinks; `None` if that cannot be found out.
    pub async fn reflinks(
        &self,
        directory: &str,
        probe: impl Future<Output = Result<Option<bool>>>,
    ) -> Result<Option<bool>> {
        let mut known = self.reflinks.lock().await;
        if let Some(has) = known.get(directory) {
            return Ok(Some(*has));
        }
        let found = probe.await?;
        if let Some(has) = found {
            known.insert(directory.to_owned(), has);
        }
        Ok(found)
    }

    /// Everything that can change is queried again.
    pub async fn all_unknown(&self) {
        let groups: Vec<_> = {
            let groups = self.groups.lock().expect("no code panics while holding it");
            groups.values().cloned().collect()
        };
        for slot in groups {
            slot.forget().await;
        }
        let datasets: Vec<_> = {
            let sets = self
                .datasets
                .lock()
                .expect("no code panics while holding it");
            sets.values().cloned().collect()
        };
        for slot in datasets {
            slot.forget().await;
        }
        self.loops.forget().await;
    }
}
