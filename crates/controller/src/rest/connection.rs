//! `/v1/node-connections`, `/v1/resource-definitions/{name}/resource-connections` and `.../drbd-proxy`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use linstor_api::connection::DrbdProxyModify;
use linstor_api::properties::PropertiesModify;

use super::answer::{Answer, value};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::connection;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/node-connections", get(list))
        .route("/v1/node-connections/{first}/{second}", put(modify))
        .route(
            "/v1/resource-definitions/{name}/resource-connections",
            get(list_of),
        )
        .route(
            "/v1/resource-definitions/{name}/resource-connections/{first}/{second}",
            get(one).put(modify_resource),
        )
        .route(
            "/v1/resource-definitions/{name}/drbd-proxy",
            put(modify_proxy),
        )
        .route(
            "/v1/resource-definitions/{name}/drbd-proxy/enable/{first}/{second}",
            post(enable_proxy),
        )
        .route(
            "/v1/resource-definitions/{name}/drbd-proxy/disable/{first}/{second}",
            post(disable_proxy),
        )
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    let nodes = (params.first("node_a"), params.first("node_b"));
    value(connection::list(&cluster, nodes.0, nodes.1))
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((first, second)): Path<(String, String)>,
    NeededBody(change): NeededBody<PropertiesModify, false>,
) -> Answer {
    Answer::ok(connection::modify(&cluster, first, second, change).await)
}

async fn list_of(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(connection::list_of(&cluster, &name))
}

async fn one(
    State(cluster): State<Cluster>,
    Path((name, first, second)): Path<(String, String, String)>,
) -> Response {
    value(connection::one(&cluster, &name, &first, &second))
}

async fn modify_resource(
    State(cluster): State<Cluster>,
    Path((name, first, second)): Path<(String, String, String)>,
    NeededBody(change): NeededBody<PropertiesModify, false>,
) -> Answer {
    Answer::ok(connection::modify_resource(&cluster, name, first, second, change).await)
}

async fn modify_proxy(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<DrbdProxyModify, false>,
) -> Answer {
    Answer::ok(connection::modify_proxy(&cluster, name, request).await)
}

async fn enable_proxy(
    State(cluster): State<Cluster>,
    Path((name, first, second)): Path<(String, String, String)>,
) -> Answer {
    let what = "Enabling DRBD Proxy";
    Answer::ok(connection::proxy(&cluster, name, first, second, what).await)
}

async fn disable_proxy(
    State(cluster): State<Cluster>,
    Path((name, first, second)): Path<(String, String, String)>,
) -> Answer {
    let what = "Disabling DRBD Proxy";
    Answer::ok(connection::proxy(&cluster, name, first, second, what).await)
}
