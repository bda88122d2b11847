//! Deactivating and activating a resource: its devices are brought down and up.

use crate::draft::Draft;
use crate::name::{NodeName, ResourceName};
use crate::process::{Kind, resize};

/// Activates or deactivates a resource; its data is preserved. Processes that wait for an activated resource wait until
/// it has applied its spec: what it applied while inactive does not count.
pub fn set_active(
    draft: &mut Draft,
    name: &ResourceName,
    node: &NodeName,
    active: bool,
    now_ms: u64,
) {
    let generation = draft.since(now_ms).generation;
    draft.edit_resource(name, node, |row| {
        row.inactive = !active;
        row.inactive_since = if active { 0 } else { generation };
    });
    let process = draft.resource(name, node);
    let process = process.and_then(|row| draft.process_of(row)).cloned();
    if let Some(process) = process
        && let Kind::RemoveDisk(_) = process.kind
    {
        draft.restart_step(process.id, process.kind.clone(), now_ms);
    }
    if active {
        resize::restart(draft, name, now_ms);
    }
}
