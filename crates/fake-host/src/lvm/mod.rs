//! LVM: volume groups, thick and thin volumes, snapshots.

mod change;
mod layout;
mod report;
mod setup;
mod thin;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use change::{lvchange, lvconvert, lvcreate, lvremove, lvrename, lvresize};
pub(crate) use report::{lvs, pvdisplay, pvs, vgs};
pub(crate) use setup::{lvmconfig, pvcreate, pvremove, vgcreate, vgexport, vgimport, vgremove};

pub(crate) use thin::{pool_of, thin_delta, thin_dump};

use layout::Layout;

use super::content::{BLOCK_BYTES, Block, Blocks};
use super::machine::{IoFault, set};

const KIB_PER_BLOCK: u64 = 4;
/// First id of the chunks of a thin pool that [`Lvm::fill`] allocates to no volume.
const FOREIGN_CHUNKS: u64 = 1 << 62;

/// All volume groups of a machine.
#[derive(Debug, Default)]
pub(crate) struct Lvm {
    pub(crate) vgs: BTreeMap<String, Vg>,
    /// Physical volumes that belong to no volume group.
    pub(crate) spare_pvs: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Vg {
    pub(crate) uuid: String,
    pub(crate) extent_kib: u64,
    /// The physical volumes; their extents form one pool.
    pub(crate) pvs: BTreeMap<String, u64>,
    /// Free extents.
    pub(crate) free: BTreeSet<u64>,
    /// Old content of free extents, which a new volume may contain.
    pub(crate) stale: BTreeMap<u64, Blocks>,
    pub(crate) lvs: BTreeMap<String, Lv>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) exported: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Lv {
    pub(crate) uuid: String,
    pub(crate) kind: LvKind,
    pub(crate) size_kib: u64,
    pub(crate) layout: Layout,
    /// Extents with copies, parity and metadata of the layout.
    pub(crate) overhead: Vec<u64>,
    pub(crate) blocks: Blocks,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) active: bool,
    pub(crate) read_only: bool,
    pub(crate) skip_activation: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum LvKind {
    Thick {
        extents: Vec<u64>,
    },
    /// A thick (copy-on-write) snapshot, which has extents for changed blocks.
    CowSnapshot {
        origin: String,
        extents: Vec<u64>,
    },
    ThinPool(ThinPool),
    Thin {
        pool: String,
        origin: Option<String>,
        /// The volume's chunks, and their reference counts in the pool.
        chunks: BTreeMap<u64, u64>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct ThinPool {
    pub(crate) extents: Vec<u64>,
    pub(crate) chunk_kib: u64,
    pub(crate) metadata_kib: u64,
    pub(crate) zero: bool,
    /// Number of volumes that share each allocated chunk.
    pub(crate) shares: BTreeMap<u64, u32>,
    pub(crate) next_chunk: u64,
}

impl ThinPool {
    pub(crate) fn used_kib(&self) -> u64 {
        self.shares.len() as u64 * self.chunk_kib
    }

    fn release(&mut self, chunk: u64) {
        if let Some(count) = self.shares.get_mut(&chunk) {
            *count -= 1;
            if *count == 0 {
                self.shares.remove(&chunk);
            }
        }
    }
}

impl Vg {
    /// The thin volumes of a pool.
    fn thin_of<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = &'a Lv> {
        let of = move |lv: &&Lv| matches!(&lv.kind, LvKind::Thin { pool: own, .. } if own == pool);
        self.lvs.values().filter(of)
    }

    pub(crate) fn thin_volumes(&self, pool: &str) -> usize {
        self.thin_of(pool).count()
    }

    pub(crate) fn active_thin_volumes(&self, pool: &str) -> usize {
        self.thin_of(pool).filter(|lv| lv.active).count()
    }

    pub(crate) fn blocks_per_extent(&self) -> u64 {
        self.extent_kib / KIB_PER_BLOCK
    }

    pub(crate) fn extents_for(&self, kib: u64) -> u64 {
        kib.div_ceil(self.extent_kib)
    }

    pub(crate) fn total_extents(&self) -> u64 {
        self.pvs.values().sum()
    }

    /// Takes free extents, lowest first.
    pub(crate) fn take(&mut self, count: u64) -> Option<Vec<u64>> {
        if (self.free.len() as u64) < count {
            return None;
        }
        Some((0..count).filter_map(|_| self.free.pop_first()).collect())
    }

    /// The content of these extents, as blocks of a volume whose extent number `first` is the first of them.
    pub(crate) fn pick_up(&mut self, extents: &[u64], first: u64) -> Blocks {
        let per_extent = self.blocks_per_extent();
        let mut found = Blocks::new();
        for (i, extent) in extents.iter().enumerate() {
            let base = (first + i as u64) * per_extent;
            for (block, content) in self.stale.remove(extent).unwrap_or_default() {
                found.insert(base + block, content);
            }
        }
        found
    }

    /// Frees extents; their content remains on them.
    pub(crate) fn give_back(&mut self, extents: &[u64], mut blocks: Blocks) {
        let per_extent = self.blocks_per_extent();
        for (i, extent) in extents.iter().enumerate() {
            let base = i as u64 * per_extent;
            let later = blocks.split_off(&(base + per_extent));
            let left: Blocks = blocks
                .into_iter()
                .map(|(block, c)| (block - base, c))
                .collect();
            if !left.is_empty() {
                self.stale.insert(*extent, left);
            }
            blocks = later;
            self.free.insert(*extent);
        }
    }

    pub(crate) fn pool_mut(&mut self, name: &str) -> Option<&mut ThinPool> {
        match &mut self.lvs.get_mut(name)?.kind {
            LvKind::ThinPool(pool) => Some(pool),
            LvKind::Thick { .. } | LvKind::CowSnapshot { .. } | LvKind::Thin { .. } => None,
        }
    }

    pub(crate) fn pool(&self, name: &str) -> Option<&ThinPool> {
        match &self.lvs.get(name)?.kind {
            LvKind::ThinPool(pool) => Some(pool),
            LvKind::Thick { .. } | LvKind::CowSnapshot { .. } | LvKind::Thin { .. } => None,
        }
    }

    /// Removes a volume; the content of a thick one remains on its extents.
    pub(crate) fn remove(&mut self, name: &str) {
        let Some(lv) = self.lvs.remove(name) else {
            return;
        };
        self.give_back(&lv.overhead, Blocks::new());
        match lv.kind {
            LvKind::Thick { extents } => self.give_back(&extents, lv.blocks),
            LvKind::CowSnapshot { extents, .. } => self.give_back(&extents, Blocks::new()),
            LvKind::ThinPool(pool) => {
                self.lvs.retain(
                    |_, lv| !matches!(&lv.kind, LvKind::Thin { pool: of, .. } if of == name),
                );
                self.give_back(&pool.extents, Blocks::new());
            }
            LvKind::Thin { pool, chunks, .. } => {
                if let Some(pool) = self.pool_mut(&pool) {
                    for chunk in chunks.values() {
                        pool.release(*chunk);
                    }
                }
                for other in self.lvs.values_mut() {
                    if let LvKind::Thin { origin, .. } = &mut other.kind
                        && origin.as_deref() == Some(name)
                    {
                        *origin = None;
                    }
                }
            }
        }
    }

    fn put(&mut self, name: &str, block: u64, content: Option<Block>) -> Result<(), IoFault> {
        let lv = self.lvs.get_mut(name).ok_or(IoFault)?;
        if lv.read_only {
            return Err(IoFault);
        }
        if let LvKind::Thin { pool, .. } = &lv.kind {
            let pool = pool.clone();
            // Zeros written to an unallocated chunk need no space: it reads as zeros.
            if content.is_some() || lv.blocks.contains_key(&block) {
                self.own_chunk(name, &pool, block)?;
            }
        }
        let lv = self.lvs.get_mut(name).ok_or(IoFault)?;
        set(&mut lv.blocks, block, content);
        Ok(())
    }

    /// Makes the chunk of a block exclusive to this volume.
    fn own_chunk(&mut self, name: &str, pool_name: &str, block: u64) -> Result<(), IoFault> {
        let pool_kib = self.lvs.get(pool_name).ok_or(IoFault)?.size_kib;
        let pool = self.pool_mut(pool_name).ok_or(IoFault)?;
        let chunk = block / (pool.chunk_kib / KIB_PER_BLOCK).max(1);
        let fits = pool.used_kib() + pool.chunk_kib <= pool_kib;
        let next = pool.next_chunk;
        let LvKind::Thin { chunks, .. } = &self.lvs.get(name).ok_or(IoFault)?.kind else {
            return Err(IoFault);
        };
        let current = chunks.get(&chunk).copied();
        let pool = self.pool_mut(pool_name).ok_or(IoFault)?;
        if current.is_some_and(|c| pool.shares.get(&c) == Some(&1)) {
            return Ok(());
        }
        if !fits {
            return Err(IoFault);
        }
        if let Some(shared) = current {
            pool.release(shared);
        }
        pool.next_chunk += 1;
        pool.shares.insert(next, 1);
        if let LvKind::Thin { chunks, .. } = &mut self.lvs.get_mut(name).ok_or(IoFault)?.kind {
            chunks.insert(chunk, next);
        }
        Ok(())
    }
}

impl Lvm {
    pub(crate) fn lv(&self, vg: &str, lv: &str) -> Option<&Lv> {
        self.vgs.get(vg)?.lvs.get(lv)
    }

    pub(crate) fn is_active(&self, vg: &str, lv: &str) -> bool {
        self.lv(vg, lv)
            .is_some_and(|lv| lv.active && !matches!(lv.kind, LvKind::ThinPool(_)))
    }

    pub(crate) fn pvs_of(&self, vg: &str) -> Vec<String> {
        self.vgs
            .get(vg)
            .map(|vg| vg.pvs.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// The active volume with this name in the device mapper.
    pub(crate) fn by_dm_name(&self, name: &str) -> Option<(String, String)> {
        for (vg_name, vg) in &self.vgs {
            for lv_name in vg.lvs.keys() {
                if dm_name(vg_name, lv_name) == name && self.is_active(vg_name, lv_name) {
                    return Some((vg_name.clone(), lv_name.clone()));
                }
            }
        }
        None
    }

    /// Allocates all free chunks of a thin pool to no volume.
    pub(crate) fn fill(&mut self, vg: &str, pool: &str) {
        let Some(vg) = self.vgs.get_mut(vg) else {
            return;
        };
        let size_kib = vg.lvs.get(pool).map_or(0, |lv| lv.size_kib);
        let Some(pool) = vg.pool_mut(pool) else {
            return;
        };
        let mut chunk = FOREIGN_CHUNKS;
        while pool.used_kib() + pool.chunk_kib <= size_kib {
            pool.shares.insert(chunk, 1);
            chunk += 1;
        }
    }

    /// Frees the chunks that [`Lvm::fill`] allocated.
    pub(crate) fn drain(&mut self, vg: &str, pool: &str) {
        if let Some(pool) = self.vgs.get_mut(vg).and_then(|vg| vg.pool_mut(pool)) {
            pool.shares.split_off(&FOREIGN_CHUNKS);
        }
    }

    pub(crate) fn activate_at_boot(&mut self) {
        for lv in self.vgs.values_mut().flat_map(|vg| vg.lvs.values_mut()) {
            lv.active = !lv.skip_activation;
        }
    }

    pub(crate) fn put(
        &mut self,
        vg: &str,
        lv: &str,
        block: u64,
        content: Option<Block>,
    ) -> Result<(), IoFault> {
        self.vgs.get_mut(vg).ok_or(IoFault)?.put(lv, block, content)
    }
}

/// The name in the device mapper: hyphens within names are doubled.
pub(crate) fn dm_name(vg: &str, lv: &str) -> String {
    format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"))
}

/// Removes the blocks beyond this size.
pub(crate) fn cut(blocks: &mut Blocks, size_kib: u64) {
    blocks.split_off(&(size_kib * 1024 / BLOCK_BYTES));
}
