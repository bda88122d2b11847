//! `/v1/key-value-store`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use linstor_api::key_value_store::KeyValueStoreModify;

use super::answer::{Answer, json, value};
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::key_value_store;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new().route("/v1/key-value-store", get(list)).route(
        "/v1/key-value-store/{instance}",
        get(one).put(modify).delete(remove),
    )
}

async fn list(State(cluster): State<Cluster>) -> Response {
    json(&key_value_store::list(&cluster))
}

async fn one(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(key_value_store::one(&cluster, &name))
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(change): NeededBody<KeyValueStoreModify, true>,
) -> Answer {
    Answer::ok(key_value_store::modify(&cluster, name, change).await)
}

async fn remove(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(key_value_store::delete(&cluster, name).await)
}
