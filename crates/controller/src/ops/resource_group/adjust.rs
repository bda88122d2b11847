//! Bringing the definitions of groups to the number of resources that their rules ask for.

use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_api::resource_group::ResourceGroupAdjust;
use linstor_model::name::ResourceName;

use super::super::request::{Context, Wait, wait};
use super::super::{autoplace, name, select_filter, storage_pool};
use super::context;
use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// Adjusts every definition of a group, or of all groups.
pub async fn adjust(
    cluster: &Cluster,
    group: Option<String>,
    request: ResourceGroupAdjust,
) -> Vec<Reply> {
    let context = match &group {
        Some(group) => context(group),
        None => Context::new(code::MASK_RSC_GRP | code::MASK_CRT, "All resource groups"),
    };
    let work = async {
        let group = group.map(|given| name::group(&given)).transpose()?;
        let model = cluster.model();
        if let Some(group) = &group {
            name::known_group(&model, group)?;
        }
        storage_pool::refresh_thin(cluster).await;
        let wanted = model.definitions.values().filter(|row| {
            !model.is_deleting_definition(row)
                && group.as_ref().is_none_or(|group| row.group == *group)
        });
        let mut replies = Vec::new();
        for row in wanted {
            let adjusted = adjust_one(cluster, row.name.clone(), request.clone()).await;
            // One that cannot be placed does not keep the others from it.
            replies.append(&mut adjusted.unwrap_or_else(|refusal| refusal.0));
        }
        Ok(replies)
    };
    context.run(work).await
}

async fn adjust_one(
    cluster: &Cluster,
    name: ResourceName,
    request: ResourceGroupAdjust,
) -> Result<Vec<Reply>, Refusal> {
    let committed = cluster.commit(move |tx| {
        let definition = name::known_definition(tx, &name)?;
        let group = name::known_group(tx, &definition.group)?;
        let filter = select_filter::effective(&group.filter, request.select_filter.as_ref())?;
        let nodes = autoplace::place(tx, &name, &filter)?;
        Ok(Wait::Deployed(name, nodes))
    });
    let committed = committed.await?;
    let mut replies = committed.replies;
    if committed.changed {
        replies.append(&mut wait(cluster, committed.value, committed.generation).await);
    }
    Ok(replies)
}
