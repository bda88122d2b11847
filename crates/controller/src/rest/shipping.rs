//! `/v1/internal/backups`: what controllers say to each other while one ships a snapshot to the other

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Serialize;

use super::answer::{Answer, json};
use super::request::Plain;
use crate::cluster::Cluster;
use crate::ops::backup::shipping::conversation::{
    ABORT, Abort, DONE, Done, HEADER, PREV_SNAP, PrevSnap, RECEIVE, Receive, SHIP, Ship, VERSION,
};
use crate::ops::backup::shipping::{destination, source};

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    let path = |last: &str| format!("/v1/internal/backups/{last}");
    Router::new()
        .route(&path(PREV_SNAP), post(prev_snap))
        .route(&path(SHIP), post(ship))
        .route(&path(RECEIVE), post(receive))
        .route(&path(DONE), post(done))
        .route(&path(ABORT), post(abort))
}

/// Whether the other cluster says of itself that it is one of this program.
fn is_alike(headers: &HeaderMap) -> bool {
    headers.get(HEADER).is_some_and(|value| value == VERSION)
}

/// What is refused has status 500, as in LINSTOR.
fn answer<T: Serialize>(can_receive: bool, body: &T) -> Response {
    let mut response = json(body);
    if !can_receive {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    with_header(response)
}

fn with_header(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(HEADER, HeaderValue::from_static(VERSION));
    response
}

async fn prev_snap(
    State(cluster): State<Cluster>,
    headers: HeaderMap,
    Plain(said): Plain<PrevSnap>,
) -> Response {
    let body = destination::prev_snap(&cluster, &said, is_alike(&headers));
    answer(body.can_receive, &body)
}

async fn ship(
    State(cluster): State<Cluster>,
    headers: HeaderMap,
    Plain(said): Plain<Ship>,
) -> Response {
    let body = destination::ship(&cluster, said, is_alike(&headers)).await;
    answer(body.can_receive, &body)
}

async fn receive(State(cluster): State<Cluster>, Plain(said): Plain<Receive>) -> Response {
    with_header(Answer::ok(source::receive(&cluster, said).await).into_response())
}

async fn done(State(cluster): State<Cluster>, Plain(said): Plain<Done>) -> Response {
    with_header(Answer::ok(source::done(&cluster, said).await).into_response())
}

async fn abort(State(cluster): State<Cluster>, Plain(said): Plain<Abort>) -> Response {
    with_header(Answer::ok(source::abort(&cluster, said).await).into_response())
}
