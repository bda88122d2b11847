//! Volumes whose size is in the `.res` file: option `size` of section `disk`.
//!
//! `drbdadm adjust` has DRBD make a volume that is larger smaller, and attaching truncates it. What DRBD has, or had when it
//! was last seen, is therefore never undercut: another node may have grown it since the spec was made, or somebody by
//! hand.

use std::borrow::Cow;

use linstor_wire::spec::{DrbdSpec, DrbdVolumeSpec};

use super::grow;
use crate::layers::Attempt;

/// The option.
const SIZE: &str = "size";

/// The size that a spec has for a volume, in KiB.
pub fn kib(volume: &DrbdVolumeSpec) -> Option<u64> {
    let size = volume.disk_options.get(SIZE)?;
    size.trim_end_matches(['k', 'K']).parse().ok()
}

/// Whether the spec has a size for any volume.
pub fn is_any(drbd: &DrbdSpec) -> bool {
    drbd.volumes.iter().any(|volume| kib(volume).is_some())
}

/// The spec with sizes that no volume of this node exceeds.
pub fn safe<'a>(attempt: &Attempt<'_>, drbd: &'a DrbdSpec) -> Cow<'a, DrbdSpec> {
    let mut safe = Cow::Borrowed(drbd);
    let notes = attempt.notes();
    for (index, volume) in drbd.volumes.iter().enumerate() {
        let Some(pinned_kib) = kib(volume) else {
            continue;
        };
        let noted = notes.volumes.get(&volume.number);
        let noted_kib = noted.and_then(|noted| noted.remembered_kib);
        let seen_kib = grow::size_kib(attempt, volume.number);
        let known_kib = noted_kib.max(seen_kib).unwrap_or(0);
        if known_kib > pinned_kib {
            let options = &mut safe.to_mut().volumes[index].disk_options;
            options.insert(SIZE.to_owned(), format!("{known_kib}k"));
        }
    }
    safe
}
