//! `/v1/files`, and the resource definitions that need them

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use linstor_api::code;
use linstor_api::external_file::ExternalFile;
use linstor_api::reply::Reply;
use serde::Serialize;

use super::answer::{Answer, json};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::external_file;
use crate::transaction::Refusal;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/files", get(list))
        .route("/v1/files/{file}", get(one).put(put).delete(remove))
        .route("/v1/files/{file}/check/{node}", get(check))
        .route("/v1/files/{file}/status/{node}", get(status))
        .route(
            "/v1/resource-definitions/{name}/files/{file}",
            post(deploy).delete(undeploy),
        )
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    json(&external_file::list(&cluster, params.is_on("content")))
}

async fn one(State(cluster): State<Cluster>, Path(path): Path<String>) -> Response {
    match external_file::one(&cluster, &path) {
        Some(file) => json(&file),
        // LINSTOR's code for it is not one of the "not found" codes.
        None => {
            let message = format!("External file '{}' not found.", path.escape_debug());
            let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message);
            Answer::fixed(StatusCode::NOT_FOUND, reply)
        }
    }
}

async fn put(
    State(cluster): State<Cluster>,
    Path(path): Path<String>,
    NeededBody(request): NeededBody<ExternalFile, false>,
) -> Answer {
    Answer::ok(external_file::put(&cluster, path, request).await)
}

async fn remove(State(cluster): State<Cluster>, Path(path): Path<String>) -> Answer {
    Answer::ok(external_file::delete(&cluster, path).await)
}

async fn check(
    State(cluster): State<Cluster>,
    Path((path, node)): Path<(String, String)>,
) -> Response {
    answer_of_node(external_file::check(&cluster, &path, &node).await)
}

async fn status(
    State(cluster): State<Cluster>,
    Path((path, node)): Path<(String, String)>,
) -> Response {
    answer_of_node(external_file::status(&cluster, &path, &node).await)
}

/// The contract's status where the satellite is not connected is 503.
fn answer_of_node<T: Serialize>(answered: Result<T, Refusal>) -> Response {
    let Refusal(mut replies) = match answered {
        Ok(state) => return json(&state),
        Err(refusal) => refusal,
    };
    match replies.as_slice() {
        [one] if one.ret_code == code::FAIL_NOT_CONNECTED => {
            Answer::fixed(StatusCode::SERVICE_UNAVAILABLE, replies.remove(0)).into_response()
        }
        _ => Answer::ok(replies).into_response(),
    }
}

async fn deploy(
    State(cluster): State<Cluster>,
    Path((name, path)): Path<(String, String)>,
) -> Answer {
    Answer::ok(external_file::deploy(&cluster, name, path).await)
}

async fn undeploy(
    State(cluster): State<Cluster>,
    Path((name, path)): Path<(String, String)>,
) -> Answer {
    Answer::ok(external_file::undeploy(&cluster, name, path).await)
}
