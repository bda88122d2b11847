//! One machine: its disks, volumes, files, mappings and kernel.

use std::collections::{BTreeMap, BTreeSet};

use linstor_host::DeviceUse;

use super::content::{BLOCK_BYTES, Block, Blocks};
use super::crypt::Mapping;
use super::drbd::Kernel;
use super::files::Files;
use super::lvm::Lvm;
use super::zfs::Zfs;

/// The state of one machine. [`Machine::crash`] resets the volatile part.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) uname: String,
    pub(crate) addresses: BTreeSet<String>,
    pub(crate) up: bool,
    /// Number of boots; processes of an earlier boot no longer exist.
    pub(crate) boot: u64,
    /// Programs that are not installed.
    pub(crate) missing_tools: BTreeSet<String>,
    /// util-linux before 2.39.
    pub(crate) old_util_linux: bool,
    /// Ports on which a process listens, and the process.
    pub(crate) busy_ports: BTreeMap<u16, String>,
    /// Devices whose every access fails with an I/O error, by path.
    pub(crate) broken: BTreeSet<String>,
    pub(crate) disks: BTreeMap<String, Disk>,
    pub(crate) lvm: Lvm,
    pub(crate) zfs: Zfs,
    pub(crate) files: Files,
    /// Loop devices by number.
    pub(crate) loops: BTreeMap<u32, LoopDevice>,
    /// Open crypt mappings, by name.
    pub(crate) crypts: BTreeMap<String, Mapping>,
    /// Devices that a process has open.
    pub(crate) opened: BTreeSet<Dev>,
    /// Mounted devices and their mount points.
    pub(crate) mounted: BTreeMap<Dev, String>,
    /// Linear mappings by name, with the device below.
    pub(crate) linear: BTreeMap<String, Dev>,
    /// Logical volumes and crypt mappings whose I/O is suspended, by their names in the device mapper.
    pub(crate) suspended: BTreeSet<String>,
    /// Thin pools, by volume group and name, of whose metadata there is a snapshot.
    pub(crate) metadata_snapshots: BTreeSet<(String, String)>,
    pub(crate) modules: BTreeSet<String>,
    pub(crate) drbd: Kernel,
}

/// A whole disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) size_kib: u64,
    /// The volume group or zpool on it, as `blkid` would call its type.
    pub(crate) used_by: Option<&'static str>,
    /// Its logical sectors.
    pub(crate) sector_bytes: u32,
    pub(crate) blocks: Blocks,
}

#[derive(Debug)]
pub(crate) struct LoopDevice {
    pub(crate) file: String,
    /// The file's inode, which is unchanged when the file is removed.
    pub(crate) inode: u64,
    /// The device's size, which changes only by `losetup -c`.
    pub(crate) size_bytes: u64,
    /// It was detached while in use, and is removed with its last user.
    pub(crate) autoclear: bool,
}

/// A block device by its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dev {
    Disk(String),
    Lv(String, String),
    Zvol(String),
    Loop(u32),
    Crypt(String),
    Drbd(u32),
}

/// An access failed with an I/O error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IoFault;

impl Machine {
    pub(crate) fn new(uname: &str, drbd: Kernel) -> Self {
        Machine {
            uname: uname.to_owned(),
            addresses: BTreeSet::new(),
            up: true,
            boot: 1,
            missing_tools: BTreeSet::new(),
            old_util_linux: false,
            busy_ports: BTreeMap::new(),
            broken: BTreeSet::new(),
            disks: BTreeMap::new(),
            lvm: Lvm::default(),
            zfs: Zfs::default(),
            files: Files::default(),
            loops: BTreeMap::new(),
            crypts: BTreeMap::new(),
            opened: BTreeSet::new(),
            mounted: BTreeMap::new(),
            linear: BTreeMap::new(),
            suspended: BTreeSet::new(),
            metadata_snapshots: BTreeSet::new(),
            modules: BTreeSet::new(),
            drbd,
        }
    }

    /// Resets all state that is not on disk.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.loops.clear();
        self.crypts.clear();
        self.suspended.clear();
        self.opened.clear();
        self.mounted.clear();
        self.linear.clear();
        self.modules.clear();
        self.files.crash();
        self.drbd.crash();
    }

    /// Boots: activates zvols and the logical volumes without the activation-skip flag.
    pub(crate) fn boot(&mut self) {
        self.up = true;
        self.boot += 1;
        self.lvm.activate_at_boot();
    }

    /// The device at a path, if there is one.
    pub(crate) fn device(&self, path: &str) -> Option<Dev> {
        if self.disks.contains_key(path) {
            return Some(Dev::Disk(path.to_owned()));
        }
        let name = path.strip_prefix("/dev/")?;
        if let Some(zvol) = name.strip_prefix("zvol/") {
            return self.zfs.is_volume(zvol).then(|| Dev::Zvol(zvol.to_owned()));
        }
        if let Some(mapped) = name.strip_prefix("mapper/") {
            if self.crypts.contains_key(mapped) {
                return Some(Dev::Crypt(mapped.to_owned()));
            }
            return self.lvm.by_dm_name(mapped).map(|(vg, lv)| Dev::Lv(vg, lv));
        }
        if let Some(number) = name.strip_prefix("loop") {
            let number = number.parse().ok()?;
            return self
                .loops
                .contains_key(&number)
                .then_some(Dev::Loop(number));
        }
        if let Some(minor) = name.strip_prefix("drbd") {
            let minor = minor.parse().ok()?;
            return self.drbd.has_minor(minor).then_some(Dev::Drbd(minor));
        }
        let (vg, lv) = name.split_once('/')?;
        self.lvm
            .is_active(vg, lv)
            .then(|| Dev::Lv(vg.to_owned(), lv.to_owned()))
    }

    /// The canonical path of a device.
    pub(crate) fn path(&self, dev: &Dev) -> String {
        match dev {
            Dev::Disk(path) => path.clone(),
            Dev::Lv(vg, lv) => format!("/dev/{vg}/{lv}"),
            Dev::Zvol(name) => format!("/dev/zvol/{name}"),
            Dev::Loop(number) => format!("/dev/loop{number}"),
            Dev::Crypt(name) => format!("/dev/mapper/{name}"),
            Dev::Drbd(minor) => format!("/dev/drbd{minor}"),
        }
    }

    /// Size in bytes; zero for a DRBD device without data.
    pub(crate) fn size_bytes(&self, dev: &Dev) -> u64 {
        match dev {
            Dev::Disk(path) => self.disks.get(path).map_or(0, |disk| disk.size_kib * 1024),
            Dev::Lv(vg, lv) => self.lvm.lv(vg, lv).map_or(0, |lv| lv.size_kib * 1024),
            Dev::Zvol(name) => self.zfs.volume_size_bytes(name).unwrap_or(0),
            Dev::Loop(number) => self.loops.get(number).map_or(0, |l| l.size_bytes),
            Dev::Crypt(name) => self.crypts.get(name).map_or(0, |m| m.size_bytes),
            Dev::Drbd(minor) => self.drbd.size_kib(*minor) * 1024,
        }
    }

    /// Whether a device or anything below it has failed.
    pub(crate) fn is_broken(&self, dev: &Dev) -> bool {
        if self.broken.contains(&self.path(dev)) {
            return true;
        }
        match dev {
            Dev::Lv(vg, _) => self
                .lvm
                .pvs_of(vg)
                .iter()
                .any(|pv| self.broken.contains(pv)),
            Dev::Crypt(name) => self
                .crypts
                .get(name)
                .is_none_or(|mapping| self.is_broken(&mapping.backing)),
            Dev::Loop(number) => self
                .loops
                .get(number)
                .is_none_or(|l| !self.files.has_image(&l.file)),
            Dev::Disk(_) | Dev::Zvol(_) | Dev::Drbd(_) => false,
        }
    }

    /// The blocks that contain a device's content, and the offset in them. `None` for DRBD devices, whose content is
    /// that of a backing device, and for failed devices.
    fn store(&self, dev: &Dev) -> Option<(&Blocks, u64)> {
        if self.is_broken(dev) {
            return None;
        }
        let blocks = match dev {
            Dev::Disk(path) => &self.disks.get(path)?.blocks,
            Dev::Lv(vg, lv) => &self.lvm.lv(vg, lv)?.blocks,
            Dev::Zvol(name) => self.zfs.blocks(name)?,
            Dev::Loop(number) => &self.files.image(&self.loops.get(number)?.file)?.blocks,
            Dev::Crypt(name) => {
                let mapping = self.crypts.get(name)?;
                let (blocks, offset) = self.store(&mapping.backing)?;
                return Some((blocks, offset + mapping.offset_blocks));
            }
            Dev::Drbd(_) => return None,
        };
        Some((blocks, 0))
    }

    /// A reference to a block.
    pub(crate) fn block(&self, dev: &Dev, block: u64) -> Option<&Block> {
        let (blocks, offset) = self.store(dev)?;
        blocks.get(&(block + offset))
    }

    /// Reads a block.
    pub(crate) fn get(&self, dev: &Dev, block: u64) -> Result<Option<Block>, IoFault> {
        let (blocks, offset) = self.store(dev).ok_or(IoFault)?;
        Ok(blocks.get(&(block + offset)).cloned())
    }

    /// The blocks of a part of a device that are not zeros.
    pub(crate) fn range(&self, dev: &Dev, start: u64, end: u64) -> Result<Blocks, IoFault> {
        let (blocks, offset) = self.store(dev).ok_or(IoFault)?;
        let part = blocks.range(start + offset..end.saturating_add(offset));
        Ok(part
            .map(|(block, content)| (block - offset, content.clone()))
            .collect())
    }

    /// Writes a block; `None` is zeros.
    pub(crate) fn put(
        &mut self,
        dev: &Dev,
        block: u64,
        content: Option<Block>,
    ) -> Result<(), IoFault> {
        if self.is_broken(dev) || (block + 1) * BLOCK_BYTES > self.size_bytes(dev) {
            return Err(IoFault);
        }
        match dev {
            Dev::Disk(path) => {
                set(
                    &mut self.disks.get_mut(path).ok_or(IoFault)?.blocks,
                    block,
                    content,
                );
                Ok(())
            }
            Dev::Lv(vg, lv) => self.lvm.put(vg, lv, block, content),
            Dev::Zvol(name) => self.zfs.put(name, block, content),
            Dev::Loop(number) => {
                let file = self.loops.get(number).ok_or(IoFault)?.file.clone();
                set(
                    &mut self.files.image_mut(&file).ok_or(IoFault)?.blocks,
                    block,
                    content,
                );
                Ok(())
            }
            Dev::Crypt(name) => {
                let mapping = self.crypts.get(name).ok_or(IoFault)?;
                let (backing, offset) = (mapping.backing.clone(), mapping.offset_blocks);
                self.put(&backing, block + offset, content)
            }
            Dev::Drbd(_) => Err(IoFault),
        }
    }

    /// A block to change in place.
    pub(crate) fn block_mut(&mut self, dev: &Dev, block: u64) -> Option<&mut Block> {
        if self.is_broken(dev) {
            return None;
        }
        match dev {
            Dev::Disk(path) => self.disks.get_mut(path)?.blocks.get_mut(&block),
            Dev::Lv(vg, lv) => self
                .lvm
                .vgs
                .get_mut(vg)?
                .lvs
                .get_mut(lv)?
                .blocks
                .get_mut(&block),
            Dev::Zvol(name) => self.zfs.block_mut(name, block),
            Dev::Loop(number) => {
                let file = self.loops.get(number)?.file.clone();
                self.files.image_mut(&file)?.blocks.get_mut(&block)
            }
            Dev::Crypt(name) => {
                let mapping = self.crypts.get(name)?;
                let (backing, offset) = (mapping.backing.clone(), mapping.offset_blocks);
                self.block_mut(&backing, block + offset)
            }
            Dev::Drbd(_) => None,
        }
    }

    /// Whether this is one of the machine's addresses; given as `ipv4:1.2.3.4:7000`.
    pub(crate) fn has_address(&self, address: &str) -> bool {
        let host = address
            .strip_prefix("ipv4:")
            .or_else(|| address.strip_prefix("ipv6:"))
            .unwrap_or(address)
            .rsplit_once(':')
            .map_or("", |(host, _)| host);
        self.addresses.contains(host.trim_matches(['[', ']']))
    }

    /// The user of a device as text; a used device cannot be removed.
    pub(crate) fn user_of(&self, dev: &Dev) -> Option<String> {
        if self.opened.contains(dev) {
            return Some("a process".to_owned());
        }
        match self.device_use(dev) {
            DeviceUse::Free => None,
            DeviceUse::Mounted { on } => Some(format!("a mount on {on}")),
            DeviceUse::Claimed { by } => by,
        }
    }

    /// Who has claimed a device exclusively; a process that has it open does not claim it.
    pub(crate) fn device_use(&self, dev: &Dev) -> DeviceUse {
        if let Some(on) = self.mounted.get(dev) {
            return DeviceUse::Mounted { on: on.clone() };
        }
        let mut crypts = self.crypts.iter();
        let crypt = crypts.find(|(_, mapping)| mapping.backing == *dev);
        if let Some((name, _)) = crypt {
            return DeviceUse::Claimed {
                by: Some(format!("crypt mapping {name}")),
            };
        }
        let mapping = self.linear.iter().find(|(_, below)| *below == dev);
        if let Some((name, _)) = mapping {
            return DeviceUse::Claimed {
                by: Some(format!("mapping {name}")),
            };
        }
        match self.drbd.user_of_backing(dev) {
            Some(resource) => DeviceUse::Claimed {
                by: Some(format!("DRBD resource {resource}")),
            },
            None => DeviceUse::Free,
        }
    }

    /// Removes loop devices that were detached while in use and have no user any more.
    pub(crate) fn clear_detached_loops(&mut self) {
        let in_use = |number: u32| self.user_of(&Dev::Loop(number)).is_some();
        let gone: Vec<u32> = self
            .loops
            .iter()
            .filter(|(number, device)| device.autoclear && !in_use(**number))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.loops.remove(&number);
        }
    }
}

/// Sets or clears a block.
pub(crate) fn set(blocks: &mut Blocks, block: u64, content: Option<Block>) {
    match content {
        Some(content) => blocks.insert(block, content),
        None => blocks.remove(&block),
    };
}
