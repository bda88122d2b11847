//! `/v1/controller`, `/health` and `/metrics`

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use linstor_api::config::ControllerConfig;
use linstor_api::controller::DatabaseBackupRequest;
use linstor_api::properties::PropertiesModify;

use super::answer::{Answer, json};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::metrics::Wanted;
use crate::ops::{config, controller, database, metrics};

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(exposition))
        .route("/metrics/scrape-target", get(scrape_target))
        .route("/v1/controller/version", get(version))
        .route("/v1/controller/config", get(show_config).put(modify_config))
        .route("/v1/controller/take-over", post(take_over))
        .route("/v1/controller/backup/db", post(backup))
        .route("/v1/controller/database/export", post(export))
        .route("/v1/controller/properties", get(properties).post(modify))
        .route("/v1/controller/properties/{*key}", delete(remove))
}

/// Answers that requests are served: with nothing, as LINSTOR does, or with what keeps some of them from being served. A
/// superseded controller ends instead of answering.
async fn health(State(cluster): State<Cluster>) -> Response {
    match controller::health(&cluster) {
        text if text.is_empty() => ().into_response(),
        text => text.into_response(),
    }
}

async fn exposition(State(cluster): State<Cluster>, params: Params) -> Response {
    let is_off = |name| {
        let value = params.first(name);
        value.is_some_and(|value| value.eq_ignore_ascii_case("false"))
    };
    let wanted = Wanted {
        resources: !is_off("resource"),
        storage_pools: !is_off("storage_pools"),
        error_reports: !is_off("error_reports"),
    };
    let kind = [(header::CONTENT_TYPE, "text/plain;version=0.0.4")];
    (kind, metrics::text(&cluster, wanted)).into_response()
}

/// As Prometheus' discovery over HTTP has it.
async fn scrape_target(State(cluster): State<Cluster>) -> Response {
    json(&serde_json::json!([{ "targets": metrics::scrape_targets(&cluster) }]))
}

async fn version() -> Response {
    json(&controller::version())
}

async fn properties(State(cluster): State<Cluster>) -> Response {
    json(&controller::properties(&cluster))
}

async fn modify(
    State(cluster): State<Cluster>,
    NeededBody(change): NeededBody<PropertiesModify, false>,
) -> Answer {
    Answer::created(controller::modify(&cluster, change).await)
}

async fn take_over(State(cluster): State<Cluster>) -> Answer {
    Answer::ok(controller::take_over(&cluster).await)
}

async fn backup(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<DatabaseBackupRequest, true>,
) -> Answer {
    Answer::created(database::backup(&cluster, request).await)
}

async fn export(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<DatabaseBackupRequest, true>,
) -> Answer {
    Answer::created(database::export(&cluster, request).await)
}

async fn remove(State(cluster): State<Cluster>, Path(key): Path<String>) -> Answer {
    Answer::ok(controller::delete_property(&cluster, key).await)
}

async fn show_config(State(cluster): State<Cluster>) -> Response {
    json(&config::show(&cluster))
}

async fn modify_config(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<ControllerConfig, false>,
) -> Answer {
    Answer::ok(config::modify(&cluster, request).await)
}
