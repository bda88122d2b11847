//! `/v1/physical-storage`

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use linstor_api::physical_storage::PhysicalStorageCreate;

use super::answer::{Answer, json, value};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::{physical_storage, storage_pool};

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/physical-storage", get(list))
        .route("/v1/physical-storage/{node}", get(of_node).post(create))
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    let rows = physical_storage::list(&cluster, params.is_on("all")).await;
    json(&params.page().of(rows))
}

async fn of_node(
    State(cluster): State<Cluster>,
    Path(node): Path<String>,
    params: Params,
) -> Response {
    value(physical_storage::of_node(&cluster, &node, params.is_on("all")).await)
}

async fn create(
    State(cluster): State<Cluster>,
    Path(node): Path<String>,
    NeededBody(request): NeededBody<PhysicalStorageCreate, false>,
) -> Response {
    match storage_pool::kind(&request.provider_kind) {
        Err(reply) => Answer::fixed(StatusCode::BAD_REQUEST, reply),
        Ok(kind) => {
            let replies = physical_storage::create(&cluster, &node, kind, request).await;
            Answer::created(replies).into_response()
        }
    }
}
