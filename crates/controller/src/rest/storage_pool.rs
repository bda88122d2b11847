//! `/v1/nodes/{node}/storage-pools` and `/v1/view/storage-pools`

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use linstor_api::properties::PropertiesModify;
use linstor_api::storage_pool::StoragePool;

use super::answer::{Answer, value};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
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
    let [nodes, pools, props] = ["nodes", "storage_pools", "props"].map(|name| params.all(name));
    let rows = storage_pool::view(&cluster, nodes, pools, props);
    value(rows.map(|rows| params.page().of(rows)))
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
    NeededBody(change): NeededBody<PropertiesModify, false>,
) -> Answer {
    Answer::ok(storage_pool::modify(&cluster, node, pool, change).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path((node, pool)): Path<(String, String)>,
) -> Answer {
    Answer::ok(storage_pool::delete(&cluster, node, pool).await)
}
