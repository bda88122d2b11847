//! `/v1/controller`, `/health` and `/metrics`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use linstor_api::properties::PropertiesModify;

use super::answer::{Answer, json};
use super::request::Body;
use crate::cluster::Cluster;
use crate::ops::{controller, metrics};

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(exposition))
        .route("/v1/controller/version", get(version))
        .route("/v1/controller/take-over", post(take_over))
        .route("/v1/controller/properties", get(properties).post(modify))
        .route("/v1/controller/properties/{*key}", delete(remove))
}

/// Says that requests are served, and what keeps some of them from being served; a superseded controller ends instead of
/// answering.
async fn health(State(cluster): State<Cluster>) -> String {
    controller::health(&cluster)
}

async fn exposition(State(cluster): State<Cluster>) -> String {
    metrics::text(&cluster)
}

async fn version() -> Response {
    json(&controller::version())
}

async fn properties(State(cluster): State<Cluster>) -> Response {
    json(&controller::properties(&cluster))
}

async fn modify(State(cluster): State<Cluster>, Body(change): Body<PropertiesModify>) -> Answer {
    Answer::created(controller::modify(&cluster, change).await)
}

async fn take_over(State(cluster): State<Cluster>) -> Answer {
    Answer::ok(controller::take_over(&cluster).await)
}

async fn remove(State(cluster): State<Cluster>, Path(key): Path<String>) -> Answer {
    Answer::ok(controller::delete_property(&cluster, key).await)
}
