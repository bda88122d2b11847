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
use serde::Serialize;

use super::answer::{Answer, json};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::backup::{self, QueueFilter, Selection};
use crate::ops::filter::Names;
use crate::transaction::Refusal;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    const BACKUPS: &str = "/v1/remotes/{remote}/backups";
    let router = Router::new()
        .route(BACKUPS, get(list).post(create).delete(remove))
        .route(&format!("{BACKUPS}/restore"), post(restore))
        .route(&format!("{BACKUPS}/info"), post(info))
        .route(&format!("{BACKUPS}/verify"), post(verify))
        .route(&format!("{BACKUPS}/ship"), post(ship))
        .route(&format!("{BACKUPS}/abort"), post(abort))
        .route("/v1/view/backup/queue", get(queue))
        .route("/v1/nodes/ebs", post(create_ebs_node));
    // A remote may be named as a kind is: `/v1/remotes/s3/{remote}` must not hide its backups.
    ["s3", "linstor", "ebs"]
        .into_iter()
        .fold(router, |router, kind| {
            let path = || Path(kind.to_owned());
            let methods =
                get(move |cluster: State<Cluster>, params: Params| list(cluster, path(), params))
                    .post(
                        move |cluster: State<Cluster>, body: NeededBody<BackupCreate, false>| {
                            create(cluster, path(), body)
                        },
                    )
                    .delete(move |cluster: State<Cluster>, params: Params| {
                        remove(cluster, path(), params)
                    });
            router.route(&format!("/v1/remotes/{kind}/backups"), methods)
        })
}

async fn list(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    params: Params,
) -> Response {
    let text = |key| params.first(key).map(str::to_owned);
    or_refusal(backup::list(&cluster, remote, text("rsc_name"), text("snap_name")).await)
}

/// What was asked for, or why there is none.
fn or_refusal<T: Serialize>(result: Result<T, Refusal>) -> Response {
    match result {
        Ok(value) => json(&value),
        Err(Refusal(replies)) => Answer::ok(replies).into_response(),
    }
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
    let text = |key| params.first(key).map(str::to_owned);
    let selection = Selection {
        id: text("id"),
        id_prefix: text("id_prefix"),
        timestamp: text("timestamp"),
        resource: text("resource_name"),
        node: text("node_name"),
        all: params.is_on("all"),
        all_local_cluster: params.is_on("all_local_cluster"),
        s3_key: text("s3key"),
        cascading: params.is_on("cascading"),
        dry_run: params.is_on("dryrun"),
        keep_snapshots: params.is_on("keep_snaps"),
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
    match backup::info(&cluster, &remote, request).await {
        Ok(result) => or_refusal(result),
        Err(refusal) => or_bad_request(Err(refusal), Answer::ok),
    }
}

/// Not part of LINSTOR's API.
async fn verify(
    State(cluster): State<Cluster>,
    Path(remote): Path<String>,
    NeededBody(request): NeededBody<BackupInfoRequest, false>,
) -> Response {
    let result = backup::verify(&cluster, &remote, request).await;
    or_bad_request(result, Answer::ok)
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

async fn queue(State(cluster): State<Cluster>, params: Params) -> Response {
    let names = |key| Names::new(params.all(key));
    let filter = QueueFilter {
        nodes: names("nodes"),
        snapshots: names("snapshots"),
        resources: names("resources"),
        remotes: names("remotes"),
        by_snapshot: params.is_on("snap_to_node"),
    };
    json(&backup::queue(&cluster, &filter))
}

async fn create_ebs_node(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<NodeCreateEbs, false>,
) -> Answer {
    Answer::created(backup::create_ebs_node(&cluster, request).await)
}
