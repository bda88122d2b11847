//! `/v1/controller/auth`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use linstor_api::auth_token::{AuthTokenCreate, AuthTokenModify, InitAuthToken};

use super::answer::{Answer, json};
use super::request::Body;
use crate::cluster::Cluster;
use crate::ops::auth_token;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    let initialize_token_auth = "/v1/controller/auth/initialize-token-auth";
    Router::new()
        .route(initialize_token_auth, post(initialize))
        .route("/v1/controller/auth/token", get(list).post(create))
        .route("/v1/controller/auth/token/{id}", put(modify).delete(remove))
}

async fn initialize(State(cluster): State<Cluster>, Body(request): Body<InitAuthToken>) -> Answer {
    Answer::created(auth_token::initialize(&cluster, request).await)
}

async fn list(State(cluster): State<Cluster>) -> Response {
    json(&auth_token::list(&cluster))
}

async fn create(State(cluster): State<Cluster>, Body(request): Body<AuthTokenCreate>) -> Answer {
    Answer::created(auth_token::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(id): Path<String>,
    Body(change): Body<AuthTokenModify>,
) -> Answer {
    Answer::ok(auth_token::modify(&cluster, &id, change).await)
}

async fn remove(State(cluster): State<Cluster>, Path(id): Path<String>) -> Answer {
    Answer::ok(auth_token::delete(&cluster, &id).await)
}
