//! `/v1/resource-groups/{group}/volume-groups`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use linstor_api::volume_group::{VolumeGroup, VolumeGroupModify};

use super::answer::{Answer, value};
use super::request::{NeededBody, Params, SyncBody};
use crate::cluster::Cluster;
use crate::ops::volume_group;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route(
            "/v1/resource-groups/{group}/volume-groups",
            get(list).post(create),
        )
        .route(
            "/v1/resource-groups/{group}/volume-groups/{number}",
            get(one).put(modify).delete(remove),
        )
}

async fn list(
    State(cluster): State<Cluster>,
    Path(group): Path<String>,
    params: Params,
) -> Response {
    value(volume_group::list(&cluster, &group).map(|rows| params.page().of(rows)))
}

async fn one(
    State(cluster): State<Cluster>,
    Path((group, number)): Path<(String, String)>,
) -> Response {
    value(volume_group::one(&cluster, &group, &number))
}

async fn create(
    State(cluster): State<Cluster>,
    Path(group): Path<String>,
    SyncBody(request): SyncBody<VolumeGroup>,
) -> Answer {
    Answer::created(volume_group::create(&cluster, group, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((group, number)): Path<(String, String)>,
    NeededBody(request): NeededBody<VolumeGroupModify, false>,
) -> Answer {
    Answer::ok(volume_group::modify(&cluster, group, number, request).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path((group, number)): Path<(String, String)>,
) -> Answer {
    Answer::ok(volume_group::delete(&cluster, group, number).await)
}
