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
            let stripes = stripes(&words(LVCREATE_OPTIONS), prop(LVCREATE_TYPE));
            pool_kib?.saturating_mul(stripes)
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

/// Number of stripes that hold data: LVM rounds the extents of a volume up to a multiple of it.
fn stripes(words: &[String], segment_type: Option<&str>) -> u64 {
    let value = |short: &str, long: &str| {
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
    };
    let given = value("-i", "--stripes").and_then(|number| number.parse().ok());
    let given = given.filter(|number| (1..=STRIPES_MAX).contains(number));
    let kind = value("", "--type").or(segment_type).unwrap_or_default();
    match kind {
        "linear" | "raid1" | "mirror" | "thin" | "snapshot" => 1,
        raid6 if raid6.starts_with("raid6") => given.unwrap_or(3),
        raid if raid.starts_with("raid") => given.unwrap_or(2),
        _ => given.unwrap_or(1),
    }
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

    proptest::proptest! {
        /// No line panics.
        #[test]
        fn never_panics(line in ".{0,60}") {
            for (kind, key) in [(Lvm, LVCREATE_OPTIONS), (Zfs, ZFSCREATE_OPTIONS)] {
                let _ = unit(kind, Some(4096), key, &line);
            }
        }
    }
}
