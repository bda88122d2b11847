//! `/v1/nodes/{node}/leftovers`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use linstor_api::leftover::LeftoversForget;

use super::answer::{Answer, value};
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::leftover;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/nodes/{node}/leftovers", get(list))
        .route("/v1/nodes/{node}/leftovers/forget", post(forget))
}

async fn list(State(cluster): State<Cluster>, Path(node): Path<String>) -> Response {
    value(leftover::list(&cluster, &node).await)
}

async fn forget(
    State(cluster): State<Cluster>,
    Path(node): Path<String>,
    NeededBody(request): NeededBody<LeftoversForget, false>,
) -> Answer {
    Answer::ok(leftover::forget(&cluster, &node, request).await)
}
