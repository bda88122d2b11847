//! Applications' data: which writes were acknowledged, and whether they still exist.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{BLOCK_BYTES, Block};
use super::drbd::Disk;
use super::machine::{Dev, IoFault, Machine};
use super::world::World;

/// The writes that DRBD acknowledged, per resource and volume.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    volumes: BTreeMap<(String, u32), Acknowledged>,
    /// Commands that destroyed the last complete copy.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug, Default)]
struct Acknowledged {
    blocks: BTreeMap<u64, Option<Block>>,
    /// What has been below the volume, by node.
    backings: BTreeSet<(String, Stored)>,
    copies_before: usize,
}

impl Ledger {
    pub(crate) fn acknowledge(
        &mut self,
        name: &str,
        number: u32,
        block: u64,
        content: Option<Block>,
    ) {
        let written = self.volumes.entry((name.to_owned(), number)).or_default();
        written.blocks.insert(block, content);
    }

    /// The resource is being deleted, or its data may be destroyed for another reason.
    pub(crate) fn release(&mut self, name: &str) {
        self.volumes.retain(|(resource, _), _| resource != name);
    }
}

impl World {
    /// Records which devices have the data; called before and after every command that may destroy some.
    pub(crate) fn note_backings(&mut self) {
        let mut found = Vec::new();
        for (node, machine) in &self.machines {
            for (name, resource) in &machine.drbd.resources {
                for (number, volume) in &resource.volumes {
                    let backing = volume.backing.as_ref();
                    if let Some(stored) = backing.and_then(|b| Stored::below(machine, &b.dev)) {
                        found.push(((name.clone(), *number), (node.clone(), stored)));
                    }
                }
            }
        }
        for (volume, place) in found {
            if let Some(written) = self.ledger.volumes.get_mut(&volume) {
                written.backings.insert(place);
            }
        }
    }

    /// Counts the complete copies; if the last one is destroyed, the command that did it is a violation.
    pub(crate) fn audit(&mut self, culprit: &str) {
        if self.ledger.volumes.is_empty() {
            return;
        }
        self.note_backings();
        let volumes: Vec<(String, u32)> = self.ledger.volumes.keys().cloned().collect();
        for volume in volumes {
            let copies = self.whole_copies(&volume.0, volume.1).len();
            let Some(written) = self.ledger.volumes.get_mut(&volume) else {
                continue;
            };
            if written.copies_before > 0 && copies == 0 {
                let (name, number) = &volume;
                let text = format!(
                    "the last complete copy of {name}/{number} was destroyed by: {culprit}"
                );
                self.ledger.violations.push(text);
            }
            if let Some(written) = self.ledger.volumes.get_mut(&volume) {
                written.copies_before = copies;
            }
        }
    }

    /// Nodes that have every acknowledged write on a disk, whether the devices above it are there or not: a machine that
    /// has no power, a logical volume that is not active and a LUKS device that is closed have their data nevertheless.
    pub(crate) fn whole_copies(&self, name: &str, number: u32) -> Vec<String> {
        let Some(written) = self.ledger.volumes.get(&(name.to_owned(), number)) else {
            return Vec::new();
        };
        let whole = |(node, stored): &&(String, Stored)| {
            self.machines
                .get(node)
                .is_some_and(|machine| stored.has_all(machine, &written.blocks))
        };
        written
            .backings
            .iter()
            .filter(whole)
            .map(|(node, _)| node.clone())
            .collect()
    }

    /// The acknowledged writes that UpToDate replicas lack.
    pub(crate) fn lost_writes(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        for ((resource, number), written) in &self.ledger.volumes {
            if resource != name {
                continue;
            }
            for (node, machine) in &self.machines {
                let Some(volume) = self.volume(node, name, *number) else {
                    continue;
                };
                let (Disk::UpToDate, Some(backing)) = (volume.disk, &volume.backing) else {
                    continue;
                };
                for (block, content) in &written.blocks {
                    let there = machine.get(&backing.dev, *block);
                    if there.as_ref() != Ok(content) {
                        found.push(format!(
                            "{node}: {name}/{number} block {block} is not as acknowledged"
                        ));
                    }
                }
            }
        }
        found
    }
}

impl World {
    /// Blocks of a volume that are not equal on all UpToDate replicas.
    pub(crate) fn differences(&self, name: &str, number: u32) -> BTreeSet<u64> {
        let mut copies = Vec::new();
        for (node, machine) in &self.machines {
            let Some(volume) = self.volume(node, name, number) else {
                continue;
            };
            if let (Disk::UpToDate, Some(backing)) = (volume.disk, &volume.backing) {
                let blocks = volume.size_kib * 1024 / BLOCK_BYTES;
                copies.extend(machine.range(&backing.dev, 0, blocks));
            }
        }
        let Some((first, others)) = copies.split_first() else {
            return BTreeSet::new();
        };
        let mut differing = BTreeSet::new();
        for other in others {
            let blocks = first.keys().chain(other.keys());
            differing.extend(blocks.filter(|block| first.get(block) != other.get(block)));
        }
        differing
    }
}

/// Where a backing device's content is: what remains of the device when LUKS is closed and no loop device is attached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Stored {
    medium: Medium,
    offset_blocks: u64,
    /// The block with the LUKS header, without which nobody can read the rest.
    header: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Medium {
    Device(Dev),
    File(String),
}

impl Stored {
    fn below(machine: &Machine, dev: &Dev) -> Option<Stored> {
        let medium = match dev {
            Dev::Crypt(name) => {
                let mapping = machine.crypts.get(name)?;
                let below = Stored::below(machine, &mapping.backing)?;
                return Some(Stored {
                    offset_blocks: below.offset_blocks + mapping.offset_blocks,
                    header: Some(below.offset_blocks),
                    medium: below.medium,
                });
            }
            Dev::Loop(number) => Medium::File(machine.loops.get(number)?.file.clone()),
            Dev::Disk(_) | Dev::Lv(..) | Dev::Zvol(_) => Medium::Device(dev.clone()),
            Dev::Drbd(_) => return None,
        };
        Some(Stored {
            medium,
            offset_blocks: 0,
            header: None,
        })
    }

    fn block(&self, machine: &Machine, block: u64) -> Result<Option<Block>, IoFault> {
        match &self.medium {
            Medium::Device(dev) => machine.get(dev, block),
            Medium::File(path) => {
                let image = machine.files.image(path).ok_or(IoFault)?;
                Ok(image.blocks.get(&block).cloned())
            }
        }
    }

    fn has_all(&self, machine: &Machine, blocks: &BTreeMap<u64, Option<Block>>) -> bool {
        let is_readable = self.header.is_none_or(|header| {
            let found = self.block(machine, header);
            matches!(found, Ok(Some(block)) if block.bytes().starts_with(b"LUKS"))
        });
        let is_there = |(block, content): (&u64, &Option<Block>)| {
            self.block(machine, block + self.offset_blocks).as_ref() == Ok(content)
        };
        is_readable && blocks.iter().all(is_there)
    }
}
