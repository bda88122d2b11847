//! `/v1/resource-definitions`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use linstor_api::resource_definition::{
    ResourceDefinitionClone, ResourceDefinitionCreate, ResourceDefinitionModify,
};

use super::answer::{Answer, in_pieces, value, with_status_of};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::filter::{Names, PropFilter};
use crate::ops::resource_definition;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/resource-definitions", get(list).post(create))
        .route(
            "/v1/resource-definitions/{name}",
            get(one).put(modify).delete(remove),
        )
        .route("/v1/resource-definitions/{name}/clone", post(clone))
        .route(
            "/v1/resource-definitions/{name}/clone/{clone}",
            get(clone_status),
        )
        .route(
            "/v1/resource-definitions/{name}/sync-status",
            get(sync_status),
        )
        .route("/v1/resource-definitions/{name}/quorum", get(quorum))
        .route(
            "/v1/resource-definitions/{name}/resources",
            delete(truncate),
        )
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    let names = Names::new(params.all("resource_definitions"));
    let props = PropFilter::new(params.all("props"));
    let with_volumes = params.is_on("with_volume_definitions");
    let page = params.page();
    let part = (page.offset, page.limit);
    let list = resource_definition::list(&cluster, names, props, with_volumes, part);
    in_pieces(list)
}

async fn one(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(resource_definition::one(&cluster, &name))
}

async fn clone(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<ResourceDefinitionClone, false>,
) -> Response {
    match resource_definition::clone(&cluster, name, request).await {
        Ok(started) => with_status_of(&started.messages, &started),
        Err(refusal) => value(Err::<(), _>(refusal)),
    }
}

async fn clone_status(
    State(cluster): State<Cluster>,
    Path((name, clone)): Path<(String, String)>,
) -> Response {
    value(resource_definition::clone_status(&cluster, &name, &clone))
}

async fn sync_status(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(resource_definition::sync_status(&cluster, &name))
}

async fn quorum(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(resource_definition::quorum(&cluster, &name))
}

async fn create(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<ResourceDefinitionCreate, true>,
) -> Answer {
    Answer::created(resource_definition::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<ResourceDefinitionModify, false>,
) -> Answer {
    Answer::ok(resource_definition::modify(&cluster, name, request).await)
}

async fn remove(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(resource_definition::delete(&cluster, name).await)
}

async fn truncate(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(resource_definition::truncate(&cluster, name).await)
}
