//! `/v1/node-connections` and `/v1/resource-definitions/{name}/resource-connections`
//!
//! Connections have no properties of their own yet, so there are none to list; changing one says so.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use super::answer::{json, value};
use crate::cluster::Cluster;
use crate::ops::names;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/node-connections", get(nodes))
        .route(
            "/v1/resource-definitions/{name}/resource-connections",
            get(resources),
        )
}

const NONE: [(); 0] = [];

async fn nodes() -> Response {
    json(&NONE)
}

async fn resources(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    let model = cluster.model();
    let known = names::resource(&name)
        .and_then(|name| names::known_definition(&model, &name).map(|_| NONE));
    value(known)
}
