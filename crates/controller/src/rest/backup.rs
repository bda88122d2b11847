//! `/v1/remotes/{remote}/backups`, the queue of backups, and nodes of EBS remotes

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use linstor_api::backup::{
    BackupAbort, BackupCreate, BackupInfoRequest, BackupRestore, BackupShip,
};
use linstor_api::remote::NodeCreateEbs;
use linstor_api::reply::Reply;
use serde_json::json as value;

use super::answer::{Answer, json};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::backup::{self, Selection};
use crate::transaction::Refusal;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    const BACKUPS: &str = "/v1/remotes/{remote}/backups";
    Router::new()
        .route(BACKUPS, get(list).post(create).delete(remove))
        .route(&format!("{BACKUPS}/restore"), post(restore))
        .route(&format!("{BACKUPS}/info"), post(info))
        .route(&format!("{BACKUPS}/ship"), post(ship))
        .route(&format!("{BACKUPS}/abort"), post(abort))
        .route("/v1/view/backup/queue", get(queue))
        .route("/v1/nodes/ebs", post(create_ebs_node))
}

async fn list(State(cluster): State<Cluster>, Path(remote): Path<String>) -> Answer {
    Answer::ok(backup::list(&cluster, remote).await)
}

async fn create(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    NeededBody(request): NeededBody<BackupCreate, false>,
) -> Answer {
    Answer::created(backup::create(&cluster, remote, request).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    params: Params,
) -> Answer {
    let given = |key| params.first(key).is_some_and(|text| !text.is_empty());
    let selection = Selection {
        id: given("id"),
        id_prefix: given("id_prefix"),
        filter: ["timestamp", "resource_name", "node_name"]
            .into_iter()
            .any(given),
        all: params.is_on("all"),
        all_local_cluster: params.is_on("all_local_cluster"),
        s3_key: given("s3key"),
    };
    Answer::ok(backup::delete(&cluster, remote, selection).await)
}

/// A request that names no backup is answered with 400.
fn or_bad_request(result: Result<Vec<Reply>, Refusal>, done: fn(Vec<Reply>) -> Answer) -> Response {
    match result {
        Ok(replies) => done(replies).into_response(),
        Err(Refusal(replies)) => {
            let reply = replies.into_iter().next().expect("a refusal has a reason");
            Answer::fixed(StatusCode::BAD_REQUEST, reply)
        }
    }
}

async fn restore(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    NeededBody(request): NeededBody<BackupRestore, false>,
) -> Response {
    let result = backup::restore(&cluster, remote, request).await;
    or_bad_request(result, Answer::created)
}

async fn info(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    NeededBody(request): NeededBody<BackupInfoRequest, false>,
) -> Response {
    or_bad_request(backup::info(&cluster, remote, request).await, Answer::ok)
}

async fn ship(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    NeededBody(request): NeededBody<BackupShip, false>,
) -> Answer {
    Answer::created(backup::ship(&cluster, remote, request).await)
}

async fn abort(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    NeededBody(request): NeededBody<BackupAbort, false>,
) -> Answer {
    Answer::ok(backup::abort(&cluster, remote, request).await)
}

/// Nothing is queued: nothing makes backups.
async fn queue() -> Response {
    json(&value!({}))
}

async fn create_ebs_node(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<NodeCreateEbs, false>,
) -> Answer {
    Answer::created(backup::create_ebs_node(&cluster, request).await)
}
