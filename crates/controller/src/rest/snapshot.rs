//! `/v1/resource-definitions/{name}/snapshots`, and what is made of snapshots

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use linstor_api::properties::PropertiesModify;
use linstor_api::snapshot::{Snapshot, SnapshotCreateMulti, SnapshotRestore, SnapshotRollback};

use super::answer::{Answer, json, value};
use super::request::{Body, NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::filter::Names;
use crate::ops::name;
use crate::ops::snapshot;

type OfDefinition = Path<(String, String)>;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    const ALL: &str = "/v1/resource-definitions/{name}/snapshots";
    const DEFINITION: &str = "/v1/resource-definitions/{name}";
    Router::new()
        .route(ALL, get(list).post(create))
        .route(
            &format!("{ALL}/{{snapshot}}"),
            get(one).put(modify).delete(remove),
        )
        .route("/v1/view/snapshots", get(view))
        .route("/v1/actions/snapshot/multi", post(create_multi))
        .route(
            &format!("{DEFINITION}/snapshot-rollback/{{snapshot}}"),
            post(rollback),
        )
        .route(
            &format!("{DEFINITION}/snapshot-restore-resource/{{snapshot}}"),
            post(restore_resources),
        )
        .route(
            &format!("{DEFINITION}/snapshot-restore-volume-definition/{{snapshot}}"),
            post(restore_volume_definitions),
        )
}

async fn list(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    params: Params,
) -> Response {
    value(snapshot::list(&cluster, &name).map(|rows| params.page().of(rows)))
}

async fn view(State(cluster): State<Cluster>, params: Params) -> Response {
    let nodes = Names::parse(params.all("nodes"), name::node);
    let resources = Names::parse(params.all("resources"), name::resource);
    match nodes.and_then(|nodes| Ok((nodes, resources?))) {
        Ok((nodes, resources)) => {
            let rows = snapshot::view(&cluster, &nodes, &resources);
            json(&params.page().of(rows))
        }
        Err(refusal) => value(Err::<(), _>(refusal)),
    }
}

async fn one(State(cluster): State<Cluster>, Path((name, snapshot)): OfDefinition) -> Response {
    value(snapshot::one(&cluster, &name, &snapshot))
}

async fn create(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<Snapshot, false>,
) -> Answer {
    Answer::created(snapshot::create(&cluster, name, request).await)
}

async fn create_multi(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<SnapshotCreateMulti, false>,
) -> Answer {
    Answer::created(snapshot::create_multi(&cluster, request.snapshots).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((name, snapshot)): OfDefinition,
    NeededBody(request): NeededBody<PropertiesModify, false>,
) -> Answer {
    Answer::ok(snapshot::modify(&cluster, name, snapshot, request).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path((name, snapshot)): OfDefinition,
    params: Params,
) -> Answer {
    let nodes = params.all("nodes");
    Answer::ok(snapshot::delete(&cluster, name, snapshot, nodes).await)
}

async fn rollback(
    State(cluster): State<Cluster>,
    Path((name, snapshot)): OfDefinition,
    Body(request): Body<SnapshotRollback>,
) -> Answer {
    Answer::ok(snapshot::rollback(&cluster, name, snapshot, request).await)
}

async fn restore_resources(
    State(cluster): State<Cluster>,
    Path((name, snapshot)): OfDefinition,
    NeededBody(request): NeededBody<SnapshotRestore, false>,
) -> Answer {
    Answer::ok(snapshot::restore_resources(&cluster, name, snapshot, request).await)
}

async fn restore_volume_definitions(
    State(cluster): State<Cluster>,
    Path((name, snapshot)): OfDefinition,
    NeededBody(request): NeededBody<SnapshotRestore, false>,
) -> Answer {
    Answer::ok(snapshot::restore_volume_definitions(&cluster, name, snapshot, request).await)
}
