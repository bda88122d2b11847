//! Signatures on devices, which `blkid` finds, `wipefs` erases and `mkfs` writes.

use super::content::{BLOCK_BYTES, Block};
use super::machine::{Dev, Machine};

/// A signature: `blkid`'s name of its type, and its location.
pub(crate) struct Signature {
    pub(crate) kind: &'static str,
    pub(crate) magic: &'static [u8],
    pub(crate) block: u64,
    pub(crate) offset_bytes: u64,
}

/// Magic bytes within the first block: type, offset, magic.
const AT_START: &[(&str, usize, &[u8])] = &[
    ("crypto_LUKS", 0, b"LUKS\xba\xbe"),
    ("xfs", 0, b"XFSB"),
    ("ext4", 0x438, &[0x53, 0xef]),
    ("LVM2_member", 512, b"LABELONE"),
    ("bcache", 24, &[0xc6, 0x85, 0x73, 0xf6]),
];

/// The first bytes of DRBD's magic, the same in all versions.
const DRBD: &[u8] = &[0x83, 0x74, 0x02];

/// The last whole block of a device, where internal DRBD metadata has its superblock.
pub(crate) fn last_block(size_bytes: u64) -> Option<u64> {
    (size_bytes / BLOCK_BYTES).checked_sub(1)
}

/// All signatures on a device.
pub(crate) fn find(machine: &Machine, dev: &Dev) -> Vec<Signature> {
    let mut found = Vec::new();
    if let Dev::Disk(path) = dev
        && let Some(kind) = machine.disks.get(path).and_then(|disk| disk.used_by)
    {
        found.push(Signature {
            kind,
            magic: b"LABELONE",
            block: 0,
            offset_bytes: 512,
        });
    }
    if let Ok(Some(block)) = machine.get(dev, 0) {
        let bytes = block.bytes();
        for (kind, at, magic) in AT_START {
            if bytes[*at..].starts_with(magic) {
                let offset_bytes = *at as u64;
                found.push(Signature {
                    kind,
                    magic,
                    block: 0,
                    offset_bytes,
                });
            }
        }
        // External metadata.
        if matches!(block, Block::Metadata(_)) {
            found.push(Signature {
                kind: "drbd",
                magic: DRBD,
                block: 0,
                offset_bytes: 0,
            });
        }
    }
    if let Some(last) = last_block(machine.size_bytes(dev)).filter(|last| *last > 0)
        && let Ok(Some(Block::Metadata(_))) = machine.get(dev, last)
    {
        let offset_bytes = last * BLOCK_BYTES;
        found.push(Signature {
            kind: "drbd",
            magic: DRBD,
            block: last,
            offset_bytes,
        });
    }
    found
}

/// Removes all signatures.
pub(crate) fn wipe(machine: &mut Machine, dev: &Dev) {
    for signature in find(machine, dev) {
        // A failed device is not wiped; its next access reports the error.
        let _failed = machine.put(dev, signature.block, None);
    }
}

/// The first block of a new file system or LUKS device.
pub(crate) fn first_block(kind: &str, marker: u64) -> Option<Block> {
    let (_, at, magic) = AT_START.iter().find(|(name, ..)| *name == kind)?;
    let mut bytes = vec![0; BLOCK_BYTES as usize];
    bytes[*at..*at + magic.len()].copy_from_slice(magic);
    // Distinguishes one file system from another of the same kind.
    bytes[2048..2056].copy_from_slice(&marker.to_le_bytes());
    Block::of(&bytes)
}
