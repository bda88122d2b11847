//! `/v1/jobs`: what goes on; not part of LINSTOR's API.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::answer::json;
use super::request::Params;
use crate::cluster::Cluster;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new().route("/v1/jobs", get(list))
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    json(&params.page().of(cluster.jobs()))
}
