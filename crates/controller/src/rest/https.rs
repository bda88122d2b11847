//! Where HTTPS is served, requests over HTTP are sent there, as LINSTOR's controller does: its clients find HTTPS by this answer.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use linstor_api::code;
use linstor_api::reply::Reply;

use super::answer::{self, Answer};
use super::server::Peer;
use crate::cluster::Cluster;
use crate::ops::metrics;

/// The answer to a request that belongs to HTTPS. Whether the controller lives may be asked over HTTP, and its figures unless a
/// property says otherwise: what asks for them often knows HTTP only.
pub(super) fn redirect(cluster: &Cluster, request: &Request) -> Option<Response> {
    let port = cluster.shared.https.port()?;
    let peer = request.extensions().get::<Peer>()?;
    let stays = match request.uri().path() {
        "/health" => true,
        "/metrics" => !metrics::need_https(cluster),
        _ => false,
    };
    if peer.is_secure || stays {
        return None;
    }
    let given = request.headers().get(header::HOST);
    let given = given.and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(host) = given.as_ref().or(request.uri().authority()) else {
        let reply = Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            "This controller is used over HTTPS.",
        )
        .cause("The request has no valid header 'Host', so that it cannot be sent there.")
        .correction(format!("Use https:// and port {port}."));
        let answer = Answer::fixed(StatusCode::BAD_REQUEST, reply);
        return Some(answer::finish(answer, cluster, "a request over HTTP"));
    };
    let path = request.uri().path_and_query();
    let path = path.map_or("/", |path| path.as_str());
    let location = format!("https://{}:{port}{path}", host.host());
    // LINSTOR's clients look for this status, and for the port alone.
    Some((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}
