//! Takes and destroys snapshots. Between the two nothing is to be done about one, and it has no spec.

use linstor_api::code;
use linstor_wire::spec::SnapshotSpec;

use crate::check;
use crate::failure::{Failure, Result};

/// Brings a snapshot to its spec.
pub fn bring_to_spec(spec: &SnapshotSpec) -> Result<()> {
    check::snapshot(spec)?;
    let message = format!(
        "Snapshot '{}' of resource '{}' is refused.",
        spec.name, spec.resource
    );
    Err(Failure::new(code::FAIL_SNAPSHOTS_NOT_SUPPORTED, message)
        .cause("The storage pools of this version of the satellite have no snapshots."))
}
