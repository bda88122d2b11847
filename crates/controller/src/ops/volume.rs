//! Volumes: the numbered parts of a replica. They come and go with their definitions; only properties change.

use linstor_api::code;
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_model::Resource;

use super::names;
use super::property::{self, Owner};
use super::reply::{Context, Refusal, modified, not_found};
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
    let work = async {
        let (name, node) = (names::resource(&name)?, names::node(&node)?);
        let number = names::volume_number_text(&number)?;
        let target = name.clone();
        let committed = cluster.commit(move |draft| {
            let known = names::known_resource(draft, &target, &node)?.clone();
            let mut row = Resource::clone(&known);
            let what = format!(
                "volume with volume number '{number}' on resource '{}' on node '{}'",
                row.name, row.node
            );
            let Some(volume) = row.volumes.get_mut(&number) else {
                return Err(Refusal::from(not_found(code::FAIL_NOT_FOUND_VLM, &what)).into());
            };
            let mut replies = Vec::new();
            property::apply(Owner::Volume, &mut volume.props, &change, &mut replies)?;
            replies.push(modified(&what, volume.uuid));
            if *known != row {
                draft.put_resource(row);
            }
            Ok(replies)
        });
        let committed = committed.await?;
        let mut replies = committed.value;
        if committed.changed {
            replies.append(&mut super::wait_all(cluster, &[name], committed.generation).await);
        }
        Ok(replies)
    };
    context.run(work).await
}
