//! `/v1/resource-definitions/{name}/volume-definitions`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, put};
use linstor_api::volume_definition::{
    VolumeDefinitionCreate, VolumeDefinitionModify, VolumeDefinitionPassphrase,
};

use super::answer::{Answer, value};
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::volume_definition;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    const ALL: &str = "/v1/resource-definitions/{name}/volume-definitions";
    Router::new()
        .route(ALL, get(list).post(create))
        .route(
            &format!("{ALL}/{{number}}"),
            get(one).put(modify).delete(remove),
        )
        .route(
            &format!("{ALL}/{{number}}/encryption-passphrase"),
            put(set_passphrase),
        )
}

async fn list(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(volume_definition::list(&cluster, &name))
}

async fn one(
    State(cluster): State<Cluster>,
    Path((name, number)): Path<(String, String)>,
) -> Response {
    value(volume_definition::one(&cluster, &name, &number))
}

/// Success is 200 here, not 201.
async fn create(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<VolumeDefinitionCreate, false>,
) -> Answer {
    Answer::ok(volume_definition::create(&cluster, name, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((name, number)): Path<(String, String)>,
    NeededBody(request): NeededBody<VolumeDefinitionModify, false>,
) -> Answer {
    Answer::ok(volume_definition::modify(&cluster, name, number, request).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path((name, number)): Path<(String, String)>,
) -> Answer {
    Answer::ok(volume_definition::delete(&cluster, name, number).await)
}

async fn set_passphrase(
    State(cluster): State<Cluster>,
    Path((name, number)): Path<(String, String)>,
    NeededBody(request): NeededBody<VolumeDefinitionPassphrase, false>,
) -> Answer {
    Answer::ok(volume_definition::set_passphrase(&cluster, name, number, request).await)
}
