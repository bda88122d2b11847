//! `/v1/resource-definitions/{name}/resources/{node}/volumes`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use linstor_api::properties::PropertiesModify;

use super::answer::{Answer, text};
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::resource::read;
use crate::ops::volume;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    const ALL: &str = "/v1/resource-definitions/{name}/resources/{node}/volumes";
    Router::new()
        .route(ALL, get(list))
        .route(&format!("{ALL}/{{number}}"), get(one).put(modify))
}

async fn list(
    State(cluster): State<Cluster>,
    Path((name, node)): Path<(String, String)>,
) -> Response {
    text(read::volumes(&cluster, &name, &node))
}

async fn one(
    State(cluster): State<Cluster>,
    Path((name, node, number)): Path<(String, String, String)>,
) -> Response {
    text(read::volume(&cluster, &name, &node, &number))
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((name, node, number)): Path<(String, String, String)>,
    NeededBody(change): NeededBody<PropertiesModify, false>,
) -> Answer {
    Answer::ok(volume::modify(&cluster, name, node, number, change).await)
}
