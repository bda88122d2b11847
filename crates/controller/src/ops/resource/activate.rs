//! Taking a resource's devices down while its data stays, and bringing them up again.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_model::resource;

use super::super::names;
use super::super::request::Wait;
use super::{context, describe, in_use};
use crate::cluster::Cluster;

/// Takes a resource's devices down, or brings them up.
pub async fn set_active(cluster: &Cluster, name: String, node: String, active: bool) -> Vec<Reply> {
    let parse = || Ok((names::resource(&name)?, names::node(&node)?));
    context(code::MASK_MOD, &name, &node)
        .change(cluster, parse, move |tx, (name, node)| {
            let row = names::known_resource(tx, &name, &node)?.clone();
            let verb = if active { "activated" } else { "deactivated" };
            if row.inactive != active {
                let message = format!("The {} is {verb} already.", describe(&row.name, &row.node));
                tx.reply(Reply::new(code::INFO_NOOP, message));
                return Ok(Wait::Nothing);
            }
            if !active && tx.observed.in_use(&name, &node) == Some(true) {
                return Err(in_use(&name, &node));
            }
            let now_ms = tx.now_ms;
            resource::set_active(tx, &name, &node, active, now_ms);
            let message = format!("Resource '{}' on node '{}' {verb}.", row.name, row.node);
            tx.reply(Reply::new(code::MODIFIED, message));
            Ok(Wait::Applied(vec![name]))
        })
        .await
}
