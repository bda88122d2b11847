//! `/v1/jobs`: operations in progress; not part of LINSTOR's API.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use linstor_api::job::JobCancel;

use super::answer::{Answer, json, value};
use super::request::{Body, Params};
use crate::cluster::Cluster;
use crate::ops::job;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/jobs", get(list))
        .route("/v1/jobs/{id}", get(one))
        .route("/v1/jobs/{id}/cancel", post(cancel))
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    json(&params.page().of(cluster.jobs()))
}

async fn one(State(cluster): State<Cluster>, Path(id): Path<String>) -> Response {
    value(job::one(&cluster, &id))
}

async fn cancel(
    State(cluster): State<Cluster>,
    Path(id): Path<String>,
    Body(request): Body<JobCancel>,
) -> Answer {
    Answer::ok(job::cancel(&cluster, id, request).await)
}
