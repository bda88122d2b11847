//! `/v1/storage-pool-definitions`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use linstor_api::properties::PropertiesModify;
use linstor_api::storage_pool_definition::StoragePoolDefinition;

use super::answer::{Answer, json, value};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::storage_pool_definition;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/storage-pool-definitions", get(list).post(create))
        .route(
            "/v1/storage-pool-definitions/{pool}",
            get(one).put(modify).delete(remove),
        )
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    json(&params.page().of(storage_pool_definition::list(&cluster)))
}

async fn one(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(storage_pool_definition::one(&cluster, &name))
}

async fn create(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<StoragePoolDefinition, true>,
) -> Answer {
    Answer::created(storage_pool_definition::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(change): NeededBody<PropertiesModify, false>,
) -> Answer {
    Answer::ok(storage_pool_definition::modify(&cluster, name, change).await)
}

async fn remove(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(storage_pool_definition::delete(&cluster, name).await)
}
