//! Volumes: the numbered parts of a replica. They come and go with their definitions; only properties change.

use linstor_api::code;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_model::Resource;

use super::name;
use super::property::{self, Owner};
use super::reply::{modified, not_found};
use super::request::{Context, Wait};
use crate::cluster::Cluster;

/// Changes a volume's properties.
pub async fn modify(
    cluster: &Cluster,
    name: String,
    node: String,
    number: String,
    change: PropertiesModify,
) -> Vec<Reply> {
    let object = format!("Node: {node}, Resource: {name}, Volume number: {number}");
    let context = Context::new(code::MASK_VLM | code::MASK_MOD, object)
        .about("Node", &node)
        .about("RscDfn", &name)
        .about("VlmNr", &number);
    let parse = || {
        let name = name::resource(&name)?;
        Ok((name, name::node(&node)?, name::volume_number_text(&number)?))
    };
    context
        .change(cluster, parse, move |tx, (name, node, number)| {
            let mut row = Resource::clone(name::known_resource(tx, &name, &node)?);
            let what = format!(
                "volume with volume number '{number}' on resource '{}' on node '{}'",
                row.name, row.node
            );
            let Some(volume) = row.volumes.get_mut(&number) else {
                return Err(not_found(code::FAIL_NOT_FOUND_VLM, &what).into());
            };
            tx.replies(property::apply(Owner::Volume, &mut volume.props, &change)?);
            tx.reply(modified(&what, volume.uuid));
            tx.put_resource(row);
            Ok(Wait::Applied(vec![name]))
        })
        .await
}
