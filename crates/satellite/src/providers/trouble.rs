//! Storage pools in trouble: what the tools report of them, why it matters, and what helps.

use linstor_api::code;

use crate::failure::Failure;
use crate::tools::lvm::{LogicalVolume, VolumeGroup};
use crate::tools::thin::pool_device;
use crate::tools::zfs::PoolState;

/// How full the metadata of a thin pool may be before it counts as full: the last blocks cannot be used.
const METADATA_PERCENT_MAX: f64 = 99.5;

/// Why a pool cannot be used, or not be relied upon: shown with the pool, and a reason not to place anything there.
fn failure(what: &str, cause: String, correction: String) -> Failure {
    let ret_code = code::FAIL_STOR_POOL_CONFIGURATION_ERROR;
    Failure::new(ret_code, format!("{what} cannot be used."))
        .cause(cause)
        .correction(correction)
}

/// A pool that works and has lost something: a warning.
fn warning(what: &str, cause: String, correction: String) -> Failure {
    let number = code::FAIL_STOR_POOL_CONFIGURATION_ERROR & code::MASK_BITS_CODE;
    Failure::new(code::MASK_WARN | number, format!("{what} is in trouble."))
        .cause(cause)
        .correction(correction)
}

/// What is wrong with a volume group (`vgs(8)`, `vg_attr`).
pub fn of_group(vg: &str, group: &VolumeGroup) -> Option<Failure> {
    let letter = |at: usize| group.attr.as_bytes().get(at).copied();
    let what = format!("Volume group '{vg}'");
    let missing = group.missing_devices;
    if missing > 0 || letter(3) == Some(b'p') {
        return Some(failure(
            &what,
            format!("{} physical volume(s) of it are missing.", missing.max(1)),
            format!(
                "Bring the disks back, then run 'vgck {vg}' and 'vgextend --restoremissing {vg} DEVICE'; if they are \
                 lost, 'vgreduce --removemissing {vg}'."
            ),
        ));
    }
    if letter(0) == Some(b'r') {
        let cause = "It is read-only.";
        let correction =
            "Restore its metadata with write permission ('vgcfgrestore'), or use another one.";
        return Some(failure(&what, cause.into(), correction.into()));
    }
    None
}

/// What is wrong with a thin pool (`lvs(8)`, `lv_attr`).
pub fn of_thin_pool(vg: &str, name: &str, pool: &LogicalVolume) -> Option<Failure> {
    let letter = |at: usize| pool.attr.as_bytes().get(at).copied().unwrap_or(b'-');
    let full = format!("{vg}/{name}");
    let repair = || {
        format!(
            "Deactivate its volumes and run 'lvconvert --repair {full}', then activate it with 'lvchange -ay {full}'."
        )
    };
    let refresh = || format!("Run 'lvchange --refresh {full}'.");
    let metadata_full = pool
        .metadata_percent
        .is_some_and(|percent| percent >= METADATA_PERCENT_MAX);
    // The state, then the health, then the permission: the first ones hide the others.
    let (cause, correction) = match (letter(4), letter(8), letter(1)) {
        // Volumes keep an inactive pool in use, which then shows its space.
        (b'-', ..) if !pool.is_in_use() => (
            "It is not active, so that its volumes are not available and its space is not known.",
            format!("Run 'lvchange -ay {full}'."),
        ),
        (b's' | b'S' | b'M', ..) => (
            "It is suspended: every access to its volumes waits.",
            format!("Run 'dmsetup resume {}'.", pool_device(vg, name)),
        ),
        (b'c' | b'C', ..) => ("Its metadata has to be checked and repaired.", repair()),
        (b'd' | b'i', ..) => (
            "Its device has no table: it was activated only in part.",
            format!("Run 'lvchange -an {full}' and 'lvchange -ay {full}'."),
        ),
        (_, b'F', _) => (
            "It has failed: the kernel refuses every access to it.",
            repair(),
        ),
        (_, b'D', _) => (
            "It is out of data space: writes into its volumes wait or fail.",
            format!("Run 'lvextend -L +SIZE {full}', or delete volumes."),
        ),
        (_, b'M', _) => (
            "Its metadata is read-only, because it is full or damaged.",
            format!(
                "Run 'lvextend --poolmetadatasize +SIZE {full}'; if that does not help, 'lvconvert --repair {full}'."
            ),
        ),
        (_, b'p', _) => (
            "A physical volume below it is missing.",
            format!("Bring the disk back, then run 'lvchange --refresh {full}'."),
        ),
        (_, b'r', _) => (
            "A disk below it failed, and it has to be refreshed.",
            refresh(),
        ),
        (b'X', ..) | (_, b'X', _) => ("Its state is not known to LVM.", refresh()),
        (_, _, b'r' | b'R') => (
            "It is read-only.",
            format!("Run 'lvchange -p rw {full}', or 'lvchange --refresh {full}'."),
        ),
        _ if metadata_full => (
            "Its metadata is full: no new chunk can be allocated.",
            format!("Run 'lvextend --poolmetadatasize +SIZE {full}'."),
        ),
        _ => return None,
    };
    let what = format!("Thin pool '{full}'");
    Some(failure(&what, cause.to_owned(), correction))
}

/// The failure for a directory on a file system that is read-only.
pub fn of_read_only(directory: &str) -> Failure {
    failure(
        &format!("Directory '{directory}'"),
        "The file system that it is on is read-only, as the kernel makes one that has an error."
            .into(),
        "Check the file system and its disk, then mount it for writing.".into(),
    )
}

/// The failure for a directory that is not the one that the pool's volumes are in.
pub fn of_other_file_system(directory: &str, marker: &str) -> Failure {
    failure(
        &format!("Directory '{directory}'"),
        "It is on another file system than before: the pool's own one is not mounted.".into(),
        format!(
            "Mount the pool's file system there. If it was replaced, and none of the pool's volumes are needed any \
             more, delete the storage pool and create it again; '{marker}' identifies the directory."
        ),
    )
}

/// What is wrong with a zpool.
pub fn of_zpool(pool: &str, state: &PoolState) -> Option<Failure> {
    let what = format!("Zpool '{pool}'");
    let health = state.health.as_str();
    let (cause, correction) = match health {
        "ONLINE" if !state.read_only => return None,
        "ONLINE" => (
            "It is imported read-only.".to_owned(),
            format!("Run 'zpool export {pool}' and 'zpool import {pool}'."),
        ),
        "DEGRADED" => {
            let cause =
                "It is DEGRADED: a device failed or is missing, and its redundancy is lost.";
            let correction = format!(
                "See 'zpool status {pool}'; bring the device back ('zpool online') or replace it ('zpool replace')."
            );
            return Some(warning(&what, cause.into(), correction));
        }
        "SUSPENDED" => (
            "It is SUSPENDED: its devices fail, and every access waits.".to_owned(),
            format!("Bring the devices back, then run 'zpool clear {pool}'."),
        ),
        other => (
            format!("It is {}.", other.escape_debug()),
            format!(
                "See 'zpool status {pool}'; bring the devices back, then run 'zpool clear {pool}'."
            ),
        ),
    };
    Some(failure(&what, cause, correction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{lvm, zfs};

    fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split('|').collect())
    }

    fn check(name: &str, found: Option<Failure>, expected: &str) {
        match found {
            None => assert_eq!(expected, "", "{name}"),
            Some(failure) => {
                let reply = failure.reply();
                let cause = reply.cause.unwrap_or_default();
                assert!(
                    !expected.is_empty() && cause.contains(expected),
                    "{name}: {cause}"
                );
                assert!(reply.correction.is_some(), "{name}");
            }
        }
    }

    /// Every letter that means trouble is found in what `lvs` prints, and none that does not.
    #[test]
    fn volume_groups_and_thin_pools() {
        for cells in lines(include_str!("fixtures/lvs.txt")) {
            let [name, line, expected] = cells[..] else {
                panic!("{cells:?}");
            };
            let (pool, group) = lvm::parse_line(line).expect(name);
            let pool = Some(pool).filter(LogicalVolume::is_thin_pool);
            let of_pool = || of_thin_pool("vg", "thin", &pool?);
            let found = of_group("vg", &group).or_else(of_pool);
            check(name, found, expected);
        }
    }

    /// Every state of a zpool but one is trouble.
    #[test]
    fn zpools() {
        for cells in lines(include_str!("fixtures/zpool.txt")) {
            let [line, expected] = cells[..] else {
                panic!("{cells:?}");
            };
            let state = zfs::parse_pool_state(line).expect(line);
            check(line, of_zpool("tank", &state), expected);
        }
    }
}
