//! `query-max-volume-size`, `query-size-info` and `query-all-size-info`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, options, post};
use linstor_api::auto_select_filter::AutoSelectFilter;
use linstor_api::query_size::QuerySizeInfoRequest;

use super::answer::{json, value};
use super::request::{Body, NeededBody};
use crate::cluster::Cluster;
use crate::ops::query_size;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route(
            "/v1/query-max-volume-size",
            options(max_volume_size_of_filter),
        )
        .route(
            "/v1/resource-groups/{group}/query-max-volume-size",
            get(max_volume_size),
        )
        .route(
            "/v1/resource-groups/{group}/query-size-info",
            post(size_info),
        )
        .route(
            "/v1/queries/resource-groups/query-all-size-info",
            post(all_size_info),
        )
}

async fn max_volume_size(State(cluster): State<Cluster>, Path(group): Path<String>) -> Response {
    value(query_size::max_volume_size(&cluster, &group).await)
}

async fn max_volume_size_of_filter(
    State(cluster): State<Cluster>,
    NeededBody(filter): NeededBody<AutoSelectFilter, false>,
) -> Response {
    value(query_size::max_volume_size_of_filter(&cluster, &filter).await)
}

async fn size_info(
    State(cluster): State<Cluster>,
    Path(group): Path<String>,
    Body(request): Body<QuerySizeInfoRequest>,
) -> Response {
    value(query_size::size_info(&cluster, &group, &request).await)
}

async fn all_size_info(
    State(cluster): State<Cluster>,
    Body(request): Body<QuerySizeInfoRequest>,
) -> Response {
    json(&query_size::all_size_info(&cluster, &request).await)
}
