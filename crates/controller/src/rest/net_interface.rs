//! `/v1/nodes/{node}/net-interfaces`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use linstor_api::net_interface::NetInterface;

use super::answer::{Answer, value};
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::net_interface;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/nodes/{node}/net-interfaces", get(list).post(create))
        .route(
            "/v1/nodes/{node}/net-interfaces/{name}",
            get(one).put(modify).delete(remove),
        )
}

async fn list(State(cluster): State<Cluster>, Path(node): Path<String>) -> Response {
    value(net_interface::list(&cluster, &node))
}

async fn one(
    State(cluster): State<Cluster>,
    Path((node, name)): Path<(String, String)>,
) -> Response {
    value(net_interface::one(&cluster, &node, &name))
}

async fn create(
    State(cluster): State<Cluster>,
    Path(node): Path<String>,
    NeededBody(request): NeededBody<NetInterface, true>,
) -> Answer {
    Answer::created(net_interface::create(&cluster, node, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((node, name)): Path<(String, String)>,
    NeededBody(request): NeededBody<NetInterface, true>,
) -> Answer {
    Answer::ok(net_interface::modify(&cluster, node, name, request).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path((node, name)): Path<(String, String)>,
) -> Answer {
    Answer::ok(net_interface::delete(&cluster, node, name).await)
}
