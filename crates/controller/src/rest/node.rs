//! `/v1/nodes`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get, put};
use linstor_api::node::{Node, NodeEvacuate, NodeModify, NodeRestore};

use super::answer::{Answer, json, value};
use super::request::{Body, Params};
use crate::cluster::Cluster;
use crate::ops::filter::{Names, PropFilter};
use crate::ops::node;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/nodes", get(list).post(create))
        .route("/v1/nodes/{node}", get(one).put(modify).delete(remove))
        .route("/v1/nodes/{node}/lost", delete(lost))
        .route("/v1/nodes/{node}/reconnect", put(reconnect))
        .route("/v1/nodes/{node}/evacuate", put(evacuate))
        .route("/v1/nodes/{node}/evict", put(evict))
        .route("/v1/nodes/{node}/restore", put(restore))
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    let names = Names::new(params.all("nodes"));
    let props = PropFilter::new(params.all("props"));
    json(&params.page().of(node::list(&cluster, &names, &props)))
}

async fn one(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(node::one(&cluster, &name))
}

async fn create(State(cluster): State<Cluster>, Body(request): Body<Node>) -> Answer {
    Answer::created(node::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    Body(request): Body<NodeModify>,
) -> Answer {
    Answer::ok(node::modify(&cluster, name, request).await)
}

async fn remove(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(node::delete(&cluster, name).await)
}

async fn lost(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(node::lost(&cluster, name).await)
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
