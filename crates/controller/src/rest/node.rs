//! `/v1/nodes`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get, put};
use linstor_api::config::SatelliteConfig;
use linstor_api::node::{Node, NodeEvacuate, NodeModify, NodeRestore};

use super::answer::{Answer, value};
use super::request::{Body, NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::filter::{Names, PropFilter};
use crate::ops::{config, name, node};

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/nodes", get(list).post(create))
        .route("/v1/nodes/{node}", get(one).put(modify).delete(remove))
        .route("/v1/nodes/{node}/config", get(config_of).put(modify_config))
        .route("/v1/nodes/{node}/lost", delete(lost))
        .route("/v1/nodes/{node}/reconnect", put(reconnect))
        .route("/v1/nodes/{node}/evacuate", put(evacuate))
        .route("/v1/nodes/{node}/evict", put(evict))
        .route("/v1/nodes/{node}/restore", put(restore))
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    let props = PropFilter::new(params.all("props"));
    let names = Names::parse(params.all("nodes"), name::node);
    let nodes = names.map(|names| node::list(&cluster, &names, &props));
    value(nodes.map(|nodes| params.page().of(nodes)))
}

async fn one(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(node::one(&cluster, &name))
}

async fn create(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<Node, false>,
) -> Answer {
    Answer::created(node::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<NodeModify, false>,
) -> Answer {
    Answer::ok(node::modify(&cluster, name, request).await)
}

async fn remove(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(node::delete(&cluster, name).await)
}

async fn lost(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(node::lost(&cluster, name).await)
}

async fn config_of(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(config::show_satellite(&cluster, &name).await)
}

async fn modify_config(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<SatelliteConfig, false>,
) -> Answer {
    Answer::ok(config::modify_satellite(&cluster, name, request).await)
}

async fn reconnect(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(node::reconnect(&cluster, name).await)
}

async fn evacuate(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    Body(request): Body<NodeEvacuate>,
) -> Answer {
    Answer::ok(node::evacuate(&cluster, name, request).await)
}

async fn evict(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(node::evict(&cluster, name).await)
}

async fn restore(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    Body(request): Body<NodeRestore>,
) -> Answer {
    Answer::ok(node::restore(&cluster, name, request).await)
}
