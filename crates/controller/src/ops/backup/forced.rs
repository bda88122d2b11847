//! Restoring a backup in place of the resources that are there. They are deleted once the backup is on the node, so that a
//! damaged one costs nothing.

use linstor_api::code;
use linstor_api::kind::LayerKind;
use linstor_model::name::ResourceName;
use linstor_model::props::{self, Purpose, Scope};

use super::super::{name, resource};
use super::restore::refused;
use crate::transaction::{Refusal, Transaction};

const ALLOW: &str = "BackupShipping/AllowForceRestore";

/// Refuses where resources must not, or cannot, be replaced by a backup with these layers.
pub(super) fn check(
    tx: &Transaction<'_>,
    id: &str,
    target: &ResourceName,
    layers: &[LayerKind],
) -> Result<(), Refusal> {
    let definition = name::known_definition(tx, target)?;
    let scope = Scope::definition(definition);
    let allowed = props::effective(tx, Purpose::Policy, &scope, ALLOW);
    // LINSTOR allows it where the property is not set.
    if allowed.is_some_and(|text| !props::is_true(text)) {
        let cause =
            format!("Resources of '{target}' must not be replaced, as '{ALLOW}' is not true.");
        let correction = "Restore it to a new resource, or change the property.";
        return Err(refused(id, code::FAIL_EXISTS_RSC, cause, correction));
    }
    if !definition.layer_stack.is_empty() && definition.layer_stack != layers {
        let cause = format!("Resource definition '{target}' has other layers than the backup.");
        let correction = "Restore it to a new resource.";
        return Err(refused(id, code::FAIL_INVLD_LAYER_STACK, cause, correction));
    }
    let mut nodes = tx.resources_of(target).map(|row| &row.node);
    match nodes.find(|node| tx.observed.in_use(target, node) == Some(true)) {
        Some(node) => Err(resource::in_use(target, node)),
        None => Ok(()),
    }
}
