//! `/v1/nodes/{node}/storage-pools` and `/v1/view/storage-pools`

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use linstor_api::properties::PropertiesModify;
use linstor_api::storage_pool::StoragePool;

use super::answer::{Answer, json, value};
use super::request::{Body, NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::filter::{Names, PropFilter};
use crate::ops::storage_pool;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/view/storage-pools", get(view))
        .route("/v1/nodes/{node}/storage-pools", get(list).post(create))
        .route(
            "/v1/nodes/{node}/storage-pools/{pool}",
            get(one).put(modify).delete(remove),
        )
}

async fn view(State(cluster): State<Cluster>, params: Params) -> Response {
    let nodes = Names::new(params.all("nodes"));
    let pools = Names::new(params.all("storage_pools"));
    let props = PropFilter::new(params.all("props"));
    json(
        &params
            .page()
            .of(storage_pool::list(&cluster, &nodes, &pools, &props)),
    )
}

async fn list(
    State(cluster): State<Cluster>,
    Path(node): Path<String>,
    params: Params,
) -> Response {
    value(storage_pool::list_of(&cluster, &node).map(|rows| params.page().of(rows)))
}

async fn one(
    State(cluster): State<Cluster>,
    Path((node, pool)): Path<(String, String)>,
) -> Response {
    value(storage_pool::one(&cluster, &node, &pool))
}

async fn create(
    State(cluster): State<Cluster>,
    Path(node): Path<String>,
    NeededBody(request): NeededBody<StoragePool, false>,
) -> Response {
    match storage_pool::kind(&request.provider_kind) {
        Err(reply) => Answer::fixed(StatusCode::BAD_REQUEST, reply),
        Ok(_) => {
            Answer::created(storage_pool::create(&cluster, node, request).await).into_response()
        }
    }
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((node, pool)): Path<(String, String)>,
    Body(change): Body<PropertiesModify>,
) -> Answer {
    Answer::ok(storage_pool::modify(&cluster, node, pool, change).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path((node, pool)): Path<(String, String)>,
) -> Answer {
    Answer::ok(storage_pool::delete(&cluster, node, pool).await)
}
