//! Changing a resource's properties, or what kind of diskless resource it is.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::resource::ResourceModify;
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::{DiskKind, Resource};

use super::super::name;
use super::super::property::{self, Owner};
use super::super::reply::modified;
use super::super::request::Wait;
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// Changes a resource.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    node: String,
    request: ResourceModify,
) -> Vec<Reply> {
    let parse = || Ok((name::resource(&name)?, name::node(&node)?, request));
    context(code::MASK_MOD, &name, &node)
        .change(cluster, parse, edit)
        .await
}

fn edit(
    tx: &mut Transaction<'_>,
    (name, node, request): (ResourceName, NodeName, ResourceModify),
) -> Result<Wait, Refusal> {
    let mut row = Resource::clone(name::known_resource(tx, &name, &node)?);
    let change = property::change(
        request.override_props,
        request.delete_props,
        request.delete_namespaces,
    );
    tx.replies(property::apply(Owner::Resource, &mut row.props, &change)?);
    let kind = match (request.drbd_tiebreaker, request.drbd_client) {
        (Some(true), _) => Some(DiskKind::TieBreaker),
        (_, Some(true)) => Some(DiskKind::Client),
        (Some(false), _) | (_, Some(false)) => Some(DiskKind::Diskless),
        (None, None) => None,
    };
    if let Some(kind) = kind {
        match &mut row.drbd {
            Some(drbd) if drbd.disk.is_diskless() => drbd.disk = kind,
            _ => {
                return Err(Reply::new(
                    code::FAIL_INVLD_RSC_STATE,
                    format!("The {} is not diskless.", label(&name, &node)),
                )
                .cause("Only a diskless resource can be a tie breaker or a client.")
                .correction("Use toggle-disk first.")
                .into());
            }
        }
    }
    tx.reply(modified(&label(&row.name, &row.node), row.uuid));
    tx.put_resource(row);
    Ok(Wait::Applied(vec![name]))
}
