//! Operations of LINSTOR's API that this program does not have yet.
//!
//! Each answers with an error that says so, status 500, as an array of replies: a client that depends on one must see
//! that, and nothing is ever pretended. A list of what cannot exist here yet is truthfully empty; see [`EMPTY`].

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, get, on};

use super::answer::{Answer, json_text};
use crate::cluster::Cluster;
use crate::ops::reply::not_implemented;

/// Method, path, and what it would do.
#[rustfmt::skip]
pub const OPERATIONS: &[(&str, &str, &str)] = &[
    ("POST", "/v1/controller/auth/initialize-token-auth", "Authentication by token"),
    ("GET", "/v1/controller/auth/token", "Authentication by token"),
    ("POST", "/v1/controller/auth/token", "Authentication by token"),
    ("PUT", "/v1/controller/auth/token/{token}", "Authentication by token"),
    ("DELETE", "/v1/controller/auth/token/{token}", "Authentication by token"),
    ("POST", "/v1/controller/backup/db", "Backing up the database"),
    ("POST", "/v1/controller/database/export", "Exporting the database"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/disable", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/enable", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/evict", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/restart", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/status", "Control of drbd-reactor"),
    ("GET", "/v1/nodes/{node}/config", "Showing a satellite's configuration"),
    ("PUT", "/v1/nodes/{node}/config", "Changing a satellite's configuration"),
    ("GET", "/v1/physical-storage", "Finding unused devices"),
    ("GET", "/v1/physical-storage/{node}", "Finding unused devices"),
    ("POST", "/v1/physical-storage/{node}", "Making storage of unused devices"),
    ("GET", "/v1/sos-report", "Collecting a report for support"),
    ("GET", "/v1/sos-report/download", "Collecting a report for support"),
];

/// Lists of what cannot exist here yet, and their texts.
#[rustfmt::skip]
pub const EMPTY: &[(&str, &str)] = &[
];

/// The routes of what is not there.
pub fn routes() -> Router<Cluster> {
    let mut router = Router::new();
    for (method, path, what) in OPERATIONS {
        let method = match *method {
            "GET" => MethodFilter::GET,
            "PUT" => MethodFilter::PUT,
            "POST" => MethodFilter::POST,
            "PATCH" => MethodFilter::PATCH,
            _ => MethodFilter::DELETE,
        };
        let answer = move || async move { Answer::ok(vec![not_implemented(what)]) };
        router = router.route(path, on(method, answer));
    }
    for (path, text) in EMPTY {
        let empty =
            || async { json_text(StatusCode::OK, text.as_bytes().to_vec()).into_response() };
        router = router.route(path, get(empty));
    }
    router
}
