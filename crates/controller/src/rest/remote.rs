//! `/v1/remotes`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, put};
use linstor_api::remote::{EbsRemote, LinstorRemote, S3Remote};

use super::answer::{Answer, json};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::remote;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/remotes", get(list).delete(delete))
        .route("/v1/remotes/s3", get(list_s3).post(create_s3))
        .route("/v1/remotes/s3/{remote}", put(modify_s3))
        .route(
            "/v1/remotes/linstor",
            get(list_linstor).post(create_linstor),
        )
        .route("/v1/remotes/linstor/{remote}", put(modify_linstor))
        .route("/v1/remotes/ebs", get(list_ebs).post(create_ebs))
        .route("/v1/remotes/ebs/{remote}", put(modify_ebs))
        // Their paths are those of the backups of remotes that are named as a kind is.
        .route("/v1/remotes/s3/backups", put(modify_s3_backups))
        .route("/v1/remotes/linstor/backups", put(modify_linstor_backups))
        .route("/v1/remotes/ebs/backups", put(modify_ebs_backups))
}

const BACKUPS: &str = "backups";

async fn list(State(cluster): State<Cluster>) -> Response {
    json(&remote::list(&cluster))
}

async fn list_s3(State(cluster): State<Cluster>) -> Response {
    json(&remote::list(&cluster).s3_remotes)
}

async fn list_linstor(State(cluster): State<Cluster>) -> Response {
    json(&remote::list(&cluster).linstor_remotes)
}

async fn list_ebs(State(cluster): State<Cluster>) -> Response {
    json(&remote::list(&cluster).ebs_remotes)
}

async fn delete(State(cluster): State<Cluster>, params: Params) -> Answer {
    let name = params.first("remote_name").map(str::to_owned);
    Answer::ok(remote::delete(&cluster, name).await)
}

async fn create_s3(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<S3Remote, false>,
) -> Answer {
    Answer::ok(remote::create_s3(&cluster, request).await)
}

async fn modify_s3(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<S3Remote, false>,
) -> Answer {
    Answer::ok(remote::modify_s3(&cluster, name, request).await)
}

async fn create_linstor(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<LinstorRemote, false>,
) -> Answer {
    Answer::ok(remote::create_linstor(&cluster, request).await)
}

async fn modify_linstor(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<LinstorRemote, false>,
) -> Answer {
    Answer::ok(remote::modify_linstor(&cluster, name, request).await)
}

async fn create_ebs(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<EbsRemote, false>,
) -> Answer {
    Answer::ok(remote::create_ebs(&cluster, request).await)
}

async fn modify_ebs(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<EbsRemote, false>,
) -> Answer {
    Answer::ok(remote::modify_ebs(&cluster, name, request).await)
}

async fn modify_s3_backups(cluster: State<Cluster>, body: NeededBody<S3Remote, false>) -> Answer {
    modify_s3(cluster, Path(BACKUPS.to_owned()), body).await
}

async fn modify_linstor_backups(
    cluster: State<Cluster>,
    body: NeededBody<LinstorRemote, false>,
) -> Answer {
    modify_linstor(cluster, Path(BACKUPS.to_owned()), body).await
}

async fn modify_ebs_backups(cluster: State<Cluster>, body: NeededBody<EbsRemote, false>) -> Answer {
    modify_ebs(cluster, Path(BACKUPS.to_owned()), body).await
}
