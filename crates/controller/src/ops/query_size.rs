//! How large a volume could be, and how much space a resource group has.

use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::code;
use linstor_api::query_size::{
    Candidate, MaxVolumeSizes, QueryAllSizeInfoResponse, QuerySizeInfoRequest,
    QuerySizeInfoResponse, QuerySizeInfoSpaceInfo, QuerySizeInfoSpawnResult,
};
use linstor_api::reply::Reply;
use linstor_model::name::{NodeName, ResourceGroupName};
use linstor_model::place::query;
use linstor_model::space::{DEFAULT_OVERSUBSCRIPTION_RATIO, Ratios};
use linstor_model::{Model, Observed};
use linstor_model::{Props, ResourceGroup, SelectFilter};
use tokio::time::Instant;

use super::{name, select_filter};
use crate::cluster::Cluster;
use crate::transaction::Refusal;

fn kib(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Asks the nodes for fresh figures; those that do not answer keep their last ones.
async fn refresh(cluster: &Cluster) {
    let (model, observed) = (cluster.model(), cluster.observed());
    let online = model
        .satellites()
        .filter(|node| observed.is_online(&node.name));
    let nodes: Vec<NodeName> = online.map(|node| node.name.clone()).collect();
    cluster
        .refresh_space(&nodes, Instant::now() + super::storage_pool::WAIT_SPACE)
        .await;
}

/// The largest volume that a group could have in each pool.
pub async fn max_volume_size(cluster: &Cluster, group: &str) -> Result<MaxVolumeSizes, Refusal> {
    let group = name::group(group)?;
    name::known_group(&cluster.model(), &group)?;
    refresh(cluster).await;
    let model = cluster.model();
    let group = name::known_group(&model, &group)?;
    max_sizes(&model, &cluster.observed(), group, &group.filter)
}

/// The largest volume that a filter would allow in each pool.
pub async fn max_volume_size_of_filter(
    cluster: &Cluster,
    filter: &AutoSelectFilter,
) -> Result<MaxVolumeSizes, Refusal> {
    let filter = select_filter::effective(&SelectFilter::default(), Some(filter))?;
    refresh(cluster).await;
    let nobody = ResourceGroup {
        name: ResourceGroupName::parse(linstor_model::model::DEFAULT_GROUP)
            .expect("the constant is a valid name"),
        uuid: uuid::Uuid::nil(),
        description: None,
        filter: SelectFilter::default(),
        peer_slots: None,
        props: Props::new(),
        volume_groups: Default::default(),
    };
    max_sizes(&cluster.model(), &cluster.observed(), &nobody, &filter)
}

fn max_sizes(
    model: &Model,
    observed: &Observed,
    group: &ResourceGroup,
    filter: &SelectFilter,
) -> Result<MaxVolumeSizes, Refusal> {
    let sizes = query::max_sizes(model, observed, group, filter)?;
    let candidates = sizes.into_iter().map(|size| Candidate {
        storage_pool: Some(size.pool.to_string()),
        max_volume_size_kib: Some(kib(size.max_kib)),
        node_names: size.nodes.iter().map(ToString::to_string).collect(),
        all_thin: Some(size.all_thin),
    });
    Ok(MaxVolumeSizes {
        candidates: candidates.collect(),
        default_max_oversubscription_ratio: Some(DEFAULT_OVERSUBSCRIPTION_RATIO),
    })
}

/// The space of a group. Answers come from memory and are never older than the nodes' last reports, so that
/// `ignore_cache_older_than_sec` has nothing to choose from: 0 or more asks for no new reports.
pub async fn size_info(
    cluster: &Cluster,
    group: &str,
    request: &QuerySizeInfoRequest,
) -> Result<QuerySizeInfoResponse, Refusal> {
    let group = name::group(group)?;
    if let Err(Refusal(reports)) = name::known_group(&cluster.model(), &group) {
        // A report, not an error: so that a query of many groups answers for the others.
        return Ok(QuerySizeInfoResponse {
            space_info: None,
            reports,
        });
    }
    if request.ignore_cache_older_than_sec.unwrap_or(-1) < 0 {
        refresh(cluster).await;
    }
    let model = cluster.model();
    let group = name::known_group(&model, &group)?;
    let filter = select_filter::effective(&group.filter, request.select_filter.as_ref())?;
    Ok(one(&model, &cluster.observed(), group, &filter))
}

/// The space of every group.
pub async fn all_size_info(
    cluster: &Cluster,
    request: &QuerySizeInfoRequest,
) -> QueryAllSizeInfoResponse {
    if request.ignore_cache_older_than_sec.unwrap_or(-1) < 0 {
        refresh(cluster).await;
    }
    let (model, observed) = (cluster.model(), cluster.observed());
    let mut answer = QueryAllSizeInfoResponse::default();
    for group in model.groups.values() {
        let filter = match select_filter::effective(&group.filter, request.select_filter.as_ref()) {
            Ok(filter) => filter,
            Err(Refusal(replies)) => {
                answer.reports = replies;
                continue;
            }
        };
        let info = one(&model, &observed, group, &filter);
        answer.result.insert(group.name.to_string(), info);
    }
    answer
}

fn one(
    model: &Model,
    observed: &Observed,
    group: &ResourceGroup,
    filter: &SelectFilter,
) -> QuerySizeInfoResponse {
    let info = match query::size_info(model, observed, group, filter) {
        Ok(info) => info,
        Err(reports) => {
            return QuerySizeInfoResponse {
                space_info: None,
                reports,
            };
        }
    };
    // A warning: the space is there, and the numbers are right once the nodes support the layers.
    let unsupported = info.unsupported.map(|mut reply| {
        reply.ret_code = code::MASK_WARN | reply.ret_code & code::MASK_BITS_CODE;
        reply
    });
    let mut reports: Vec<Reply> = unsupported.into_iter().collect();
    if info.next.is_empty() {
        reports.push(Reply::new(
            code::MASK_WARN | code::MASK_RSC_GRP,
            format!(
                "No resource can be spawned from group '{}' now.",
                group.name
            ),
        ));
    }
    let least = |ratio: fn(&Ratios) -> f64| {
        info.next
            .iter()
            .map(|(_, ratios)| ratio(ratios))
            .reduce(f64::min)
    };
    let next = info
        .next
        .iter()
        .map(|(chosen, ratios)| QuerySizeInfoSpawnResult {
            node_name: chosen.node.to_string(),
            stor_pool_name: chosen.pool.to_string(),
            stor_pool_oversubscription_ratio: Some(ratios.base),
            stor_pool_free_capacity_oversubscription_ratio: Some(ratios.free),
            stor_pool_total_capacity_oversubscription_ratio: Some(ratios.total),
        });
    QuerySizeInfoResponse {
        space_info: Some(QuerySizeInfoSpaceInfo {
            max_vlm_size_in_kib: kib(info.max_kib),
            available_size_in_kib: Some(kib(info.available_kib)),
            capacity_in_kib: Some(kib(info.capacity_kib)),
            default_max_oversubscription_ratio: Some(DEFAULT_OVERSUBSCRIPTION_RATIO),
            max_oversubscription_ratio: least(|ratios| ratios.base),
            max_free_capacity_oversubscription_ratio: least(|ratios| ratios.free),
            max_total_capacity_oversubscription_ratio: least(|ratios| ratios.total),
            next_spawn_result: next.collect(),
        }),
        reports,
    }
}
