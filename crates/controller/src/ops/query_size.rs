//! How large a volume could be, and how much space a resource group has.

use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::query_size::{
    MaxVolumeSizes, QueryAllSizeInfoResponse, QuerySizeInfoRequest, QuerySizeInfoResponse,
};

use super::reply::Refusal;
use crate::cluster::Cluster;

/// Not there yet.
pub async fn max_volume_size(_: &Cluster, _: &str) -> Result<MaxVolumeSizes, Refusal> {
    Ok(MaxVolumeSizes::default())
}
/// Not there yet.
pub async fn max_volume_size_of_filter(
    _: &Cluster,
    _: &AutoSelectFilter,
) -> Result<MaxVolumeSizes, Refusal> {
    Ok(MaxVolumeSizes::default())
}
/// Not there yet.
pub async fn size_info(
    _: &Cluster,
    _: &str,
    _: &QuerySizeInfoRequest,
) -> Result<QuerySizeInfoResponse, Refusal> {
    Ok(QuerySizeInfoResponse::default())
}
/// Not there yet.
pub async fn all_size_info(_: &Cluster, _: &QuerySizeInfoRequest) -> QueryAllSizeInfoResponse {
    QueryAllSizeInfoResponse::default()
}
