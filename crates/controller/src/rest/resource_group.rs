//! `/v1/resource-groups`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use linstor_api::resource_group::{
    ResourceGroup, ResourceGroupAdjust, ResourceGroupModify, ResourceGroupSpawn,
};

use super::answer::{Answer, json, value};
use super::request::{Body, NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::filter::{Names, PropFilter};
use crate::ops::resource_group;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/resource-groups", get(list).post(create))
        .route("/v1/resource-groups/adjustall", post(adjust_all))
        .route(
            "/v1/resource-groups/{group}",
            get(one).put(modify).delete(remove),
        )
        .route("/v1/resource-groups/{group}/spawn", post(spawn))
        .route("/v1/resource-groups/{group}/adjust", post(adjust))
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    let names = Names::new(params.all("resource_groups"));
    let props = PropFilter::new(params.all("props"));
    let page = params.page();
    let page = (page.offset, page.limit);
    json(&resource_group::list(&cluster, &names, &props, page))
}

async fn one(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(resource_group::one(&cluster, &name))
}

async fn create(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<ResourceGroup, true>,
) -> Answer {
    Answer::created(resource_group::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<ResourceGroupModify, false>,
) -> Answer {
    Answer::ok(resource_group::modify(&cluster, name, request).await)
}

async fn remove(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(resource_group::delete(&cluster, name).await)
}

async fn spawn(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<ResourceGroupSpawn, false>,
) -> Answer {
    Answer::created(resource_group::spawn(&cluster, name, request).await)
}

async fn adjust(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    Body(request): Body<ResourceGroupAdjust>,
) -> Answer {
    Answer::ok(resource_group::adjust(&cluster, Some(name), request).await)
}

async fn adjust_all(
    State(cluster): State<Cluster>,
    Body(request): Body<ResourceGroupAdjust>,
) -> Answer {
    Answer::ok(resource_group::adjust(&cluster, None, request).await)
}
