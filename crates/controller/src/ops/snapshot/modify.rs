//! Changing the properties of a snapshot.

use linstor_api::code;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_model::SnapshotDefinition;

use super::super::name;
use super::super::property::{self, Owner};
use super::super::request::Wait;
use super::context;
use crate::cluster::Cluster;

/// Changes a snapshot's properties.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    snapshot: String,
    change: PropertiesModify,
) -> Vec<Reply> {
    let parse = || Ok((name::resource(&name)?, name::snapshot(&snapshot)?, change));
    let context = context(code::MASK_MOD, &name, &snapshot);
    let plan = context.change(cluster, parse, |tx, (name, snapshot, change)| {
        name::known_definition(tx, &name)?;
        let row = name::known_snapshot(tx, &name, &snapshot)?;
        let mut row = SnapshotDefinition::clone(row);
        tx.replies(property::apply(Owner::Snapshot, &mut row.props, &change)?);
        tx.put_snapshot_definition(row);
        Ok(Wait::Nothing)
    });
    plan.await
}
