//! Units of backing volumes: what the size of a volume in a storage pool is a multiple of. It is the pool's own unit,
//! unless an option with which volumes are created, on whatever object it is set, makes it another one.

use crate::kind::ProviderKind;
use crate::tool_option::split_line;

/// Options of `lvcreate`.
const LVCREATE_OPTIONS: &str = "StorDriver/LvcreateOptions";
/// The segment type of logical volumes.
const LVCREATE_TYPE: &str = "StorDriver/LvcreateType";
/// Options of `zfs create`.
const ZFSCREATE_OPTIONS: &str = "StorDriver/ZfscreateOptions";
/// Options of `zfs create` without a value, which can stand before another option in one word.
const ZFS_FLAGS: &str = "fnpPsuv";
/// The largest number of stripes that LVM makes.
const STRIPES_MAX: u64 = 128;
/// The largest number of further copies that LVM makes.
const MIRRORS_MAX: u64 = 10;
/// DRBD's sizes are multiples of this many KiB.
const DRBD_KIB: u64 = 4;

/// Unit in KiB of a volume in a pool of this kind, whose own unit is `pool_kib`, with the values of these properties; none
/// if the pool's unit counts and is not known.
pub fn of_volume<'a>(
    kind: ProviderKind,
    pool_kib: Option<u64>,
    prop: impl Fn(&str) -> Option<&'a str>,
) -> Option<u64> {
    // A line that cannot be split is refused where it is set, and again before a program gets it.
    let words = |key: &str| split_line(prop(key).unwrap_or_default()).unwrap_or_default();
    let unit = match kind {
        ProviderKind::Lvm => {
            let layout = Layout::of(&words(LVCREATE_OPTIONS), prop(LVCREATE_TYPE));
            pool_kib?.saturating_mul(layout.stripes)
        }
        ProviderKind::Zfs | ProviderKind::ZfsThin => {
            volume_block_kib(&words(ZFSCREATE_OPTIONS)).or(pool_kib)?
        }
        ProviderKind::File | ProviderKind::FileThin => pool_kib.unwrap_or(1),
        // Volumes of a thin pool are whole extents of its group, however the pool is striped.
        _ => pool_kib?,
    };
    Some(unit.max(DRBD_KIB))
}

/// What a thick logical volume takes beyond its size, in thousandths of it, with the values of these properties: copies and
/// parity. Its metadata, an extent for each copy or stripe, comes on top.
pub fn lvm_overhead_permille<'a>(prop: impl Fn(&str) -> Option<&'a str>) -> u32 {
    let words = split_line(prop(LVCREATE_OPTIONS).unwrap_or_default()).unwrap_or_default();
    let layout = Layout::of(&words, prop(LVCREATE_TYPE));
    let parity = layout.parity * 1000;
    u32::try_from(layout.mirrors * 1000 + parity.div_ceil(layout.stripes)).unwrap_or(u32::MAX)
}

/// How a logical volume lies on physical volumes (`lvmraid(7)`).
struct Layout {
    /// Stripes that hold data: LVM rounds the extents of a volume up to a multiple of it.
    stripes: u64,
    /// Copies of each block beyond the first one.
    mirrors: u64,
    /// Further stripes that hold parity.
    parity: u64,
}

impl Layout {
    fn of(words: &[String], segment_type: Option<&str>) -> Layout {
        let number = |short: &str, long: &str| last_value(words, short, long)?.parse::<u64>().ok();
        let stripes = number("-i", "--stripes").filter(|n| (1..=STRIPES_MAX).contains(n));
        let mirrors = number("-m", "--mirrors").filter(|n| *n <= MIRRORS_MAX);
        let kind = last_value(words, "", "--type").or(segment_type);
        let (stripes, mirrors, parity) = match kind.unwrap_or_default() {
            "linear" | "thin" | "snapshot" => (1, 0, 0),
            "raid1" | "mirror" => (1, mirrors.unwrap_or(1), 0),
            "raid10" => (stripes.unwrap_or(2), mirrors.unwrap_or(1), 0),
            raid0 if raid0.starts_with("raid0") => (stripes.unwrap_or(2), 0, 0),
            raid6 if raid6.starts_with("raid6") => (stripes.unwrap_or(3), 0, 2),
            raid if raid.starts_with("raid") => (stripes.unwrap_or(2), 0, 1),
            "striped" => (stripes.unwrap_or(1), 0, 0),
            _ => (stripes.unwrap_or(1), mirrors.unwrap_or(0), 0),
        };
        Layout {
            stripes,
            mirrors,
            parity,
        }
    }
}

/// The last value of an option in a command line; the short name may be empty.
fn last_value<'a>(words: &'a [String], short: &str, long: &str) -> Option<&'a str> {
    let mut found = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let glued = match word.strip_prefix(long) {
            Some(tail) => tail.strip_prefix('=').or(tail.is_empty().then_some("")),
            None if !word.starts_with("--") && !short.is_empty() => word.strip_prefix(short),
            None => None,
        };
        match glued {
            Some("") => found = rest.next().map(String::as_str),
            Some(value) => found = Some(value.trim_start_matches('=')),
            None => {}
        }
    }
    found
}

/// The `volblocksize` that options of `zfs create` set, in KiB.
pub fn volume_block_kib(words: &[String]) -> Option<u64> {
    let mut found = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(letters) = word.strip_prefix('-') else {
            continue;
        };
        let option = letters.trim_start_matches(|letter| ZFS_FLAGS.contains(letter));
        let (name, glued) = match option.chars().next() {
            Some(name) => (name, &option[name.len_utf8()..]),
            None => continue,
        };
        let value = match glued {
            "" => rest.next().map_or("", String::as_str),
            glued => glued,
        };
        match name {
            'b' => found = size_kib(value).or(found),
            'o' => {
                let block = value.strip_prefix("volblocksize=");
                found = block.and_then(size_kib).or(found);
            }
            _ => {}
        }
    }
    found
}

/// A size as ZFS reads it, in KiB.
pub fn size_kib(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: u64 = digits.parse().ok()?;
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => number,
        "k" | "kb" | "kib" => number.checked_mul(1 << 10)?,
        "m" | "mb" | "mib" => number.checked_mul(1 << 20)?,
        _ => return None,
    };
    (bytes > 0).then(|| bytes.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProviderKind::*;

    fn unit(kind: ProviderKind, pool_kib: Option<u64>, key: &str, line: &str) -> Option<u64> {
        of_volume(kind, pool_kib, |asked| (asked == key).then_some(line))
    }

    /// Every way to write a block size; the last one counts, and the pool's default without one.
    #[test]
    fn block_sizes_of_zfs() {
        for (line, kib) in [
            ("-b 64k", 64),
            ("-b64K", 64),
            ("-o volblocksize=64k", 64),
            ("-ovolblocksize=64K", 64),
            ("-o volblocksize=65536", 64),
            ("-o \"volblocksize=64KB\"", 64),
            ("-ps -b 1M -o compression=lz4", 1024),
            ("-pb 32KiB", 32),
            ("-b 8k -o volblocksize=128k", 128),
            ("-o compression=lz4", 16),
            ("-o note=-b -b 4k", 4),
            ("-b 512", 4),
            ("-b", 16),
            ("-b big", 16),
            ("", 16),
        ] {
            for kind in [Zfs, ZfsThin] {
                let found = unit(kind, Some(16), ZFSCREATE_OPTIONS, line);
                assert_eq!(found, Some(kib), "{line}");
            }
        }
        assert_eq!(unit(Zfs, None, ZFSCREATE_OPTIONS, "-b 64k"), Some(64));
        assert_eq!(unit(Zfs, None, ZFSCREATE_OPTIONS, ""), None);
    }

    /// Stripes with data count, with or without parity; mirrors do not.
    #[test]
    fn stripes_of_lvm() {
        for (line, stripes) in [
            ("-i 4", 4),
            ("-i4 -I 64k", 4),
            ("--stripes 3", 3),
            ("--stripes=3", 3),
            ("--type striped -i 2", 2),
            ("--type raid5 -i 3", 3),
            ("--type=raid5", 2),
            ("--type raid6", 3),
            ("--type raid6_zr -i 5", 5),
            ("--type raid10 -m 1 -i 2", 2),
            ("--type raid1 -m 1", 1),
            ("-m 1", 1),
            ("-m 1 -i 2", 2),
            ("-I 64k", 1),
            ("--nosync", 1),
            ("-i 1000", 1),
            ("", 1),
        ] {
            let found = unit(Lvm, Some(4096), LVCREATE_OPTIONS, line);
            assert_eq!(found, Some(stripes * 4096), "{line}");
            let thin = unit(LvmThin, Some(4096), LVCREATE_OPTIONS, line);
            assert_eq!(thin, Some(4096), "{line}");
        }
        assert_eq!(unit(Lvm, Some(4096), LVCREATE_TYPE, "raid5"), Some(8192));
        assert_eq!(unit(Lvm, None, LVCREATE_OPTIONS, "-i 2"), None);
        assert_eq!(unit(File, Some(1), LVCREATE_OPTIONS, "-i 2"), Some(4));
    }

    /// What LVM 2.03 takes for each layout, beyond the data and an extent of metadata for each leg.
    #[test]
    fn copies_and_parity_take_space() {
        for (line, permille) in [
            ("", 0),
            ("-i 4", 0),
            ("--type striped", 0),
            ("--type raid0", 0),
            ("--type raid1", 1000),
            ("--type raid1 -m 2", 2000),
            ("-m 1", 1000),
            ("-m1 -i 2", 1000),
            ("--type mirror", 1000),
            ("--type raid10 -i 3", 1000),
            ("--type raid4 -i 2", 500),
            ("--type raid5", 500),
            ("--type raid5 -i 3", 334),
            ("--type raid6", 667),
            ("--type raid6_zr --stripes=4", 500),
            ("-m many", 0),
        ] {
            let prop = |asked: &str| (asked == LVCREATE_OPTIONS).then_some(line);
            assert_eq!(lvm_overhead_permille(prop), permille, "{line}");
        }
        let by_type = |asked: &str| (asked == LVCREATE_TYPE).then_some("raid1");
        assert_eq!(lvm_overhead_permille(by_type), 1000);
    }

    proptest::proptest! {
        /// No line panics.
        #[test]
        fn never_panics(line in ".{0,60}") {
            for (kind, key) in [(Lvm, LVCREATE_OPTIONS), (Zfs, ZFSCREATE_OPTIONS)] {
                let _ = unit(kind, Some(4096), key, &line);
                let _ = lvm_overhead_permille(|_| Some(&line));
            }
        }
    }
}
