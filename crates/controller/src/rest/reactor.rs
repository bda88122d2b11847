//! `/v1/nodes/exec/drbd-reactorctl`

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use linstor_api::reactor::{ReactorExec, ReactorPlugin};

use super::answer::value;
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::reactor;

type Exec = NeededBody<ReactorExec, false>;
type Plugin = NeededBody<ReactorPlugin, false>;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    let all = Router::new()
        .route("/status", post(status))
        .route("/evict", post(evict))
        .route("/disable", post(disable))
        .route("/enable", post(enable))
        .route("/restart", post(restart));
    Router::new().nest("/v1/nodes/exec/drbd-reactorctl", all)
}

async fn status(State(cluster): State<Cluster>, NeededBody(request): Exec) -> Response {
    value(reactor::status(&cluster, request).await)
}

async fn evict(State(cluster): State<Cluster>, NeededBody(request): Exec) -> Response {
    value(reactor::evict(&cluster, request).await)
}

async fn disable(State(cluster): State<Cluster>, NeededBody(request): Plugin) -> Response {
    value(reactor::disable(&cluster, request).await)
}

async fn enable(State(cluster): State<Cluster>, NeededBody(request): Plugin) -> Response {
    value(reactor::enable(&cluster, request).await)
}

async fn restart(State(cluster): State<Cluster>, NeededBody(request): Plugin) -> Response {
    value(reactor::restart(&cluster, request).await)
}
