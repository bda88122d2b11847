//! `/v1/events`: streams of server-sent events.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use futures::{Stream, StreamExt};

use crate::cluster::Cluster;
use crate::ops::event;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/events/drbd/promotion", get(promotions))
        .route("/v1/events/nodes", get(nodes))
}

async fn promotions(State(cluster): State<Cluster>, headers: HeaderMap) -> Response {
    // LINSTOR's way to ask for what is, besides what will change.
    let last = headers.get("last-event-id");
    let replay = last.is_some_and(|id| id.as_bytes().eq_ignore_ascii_case(b"current"));
    events(event::promotions(&cluster, replay))
}

async fn nodes(State(cluster): State<Cluster>) -> Response {
    events(event::nodes(&cluster))
}

fn events(frames: impl Stream<Item = Vec<u8>> + Send + 'static) -> Response {
    let frames = frames.map(Ok::<_, Infallible>).fuse();
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    let fresh = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, fresh);
    response
}
