//! Applications' data: which writes were acknowledged, and whether they still exist.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{BLOCK_BYTES, Block};
use super::drbd::Disk;
use super::machine::{Dev, Machine};
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
    /// Devices that have been backing devices of the volume, by node and path.
    backings: BTreeSet<(String, String)>,
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
                    if let Some(backing) = &volume.backing {
                        found.push((
                            (name.clone(), *number),
                            (node.clone(), backing.path.clone()),
                        ));
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

    /// Nodes with a device that has every acknowledged write, whether the device is in use or not.
    pub(crate) fn whole_copies(&self, name: &str, number: u32) -> Vec<String> {
        let Some(written) = self.ledger.volumes.get(&(name.to_owned(), number)) else {
            return Vec::new();
        };
        let whole = |(node, path): &&(String, String)| {
            self.machines
                .get(node)
                .is_some_and(|machine| has_all(machine, path, &written.blocks))
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

fn has_all(machine: &Machine, path: &str, blocks: &BTreeMap<u64, Option<Block>>) -> bool {
    let Some(dev) = durable_device(machine, path) else {
        return false;
    };
    blocks
        .iter()
        .all(|(block, content)| machine.get(&dev, *block).as_ref() == Ok(content))
}

/// The device behind a path, even if it is not active: its data exists nevertheless.
fn durable_device(machine: &Machine, path: &str) -> Option<Dev> {
    if let Some(dev) = machine.device(path) {
        return Some(dev);
    }
    let (vg, lv) = path.strip_prefix("/dev/")?.split_once('/')?;
    machine
        .lvm
        .lv(vg, lv)
        .map(|_| Dev::Lv(vg.to_owned(), lv.to_owned()))
}
