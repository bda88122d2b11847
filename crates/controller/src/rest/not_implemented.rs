//! Operations of LINSTOR's API that this program does not have yet.
//!
//! Each answers with an error that says so, status 500, as an array of replies: a client that depends on one must see
//! that, and nothing is ever pretended.

use axum::Router;
use axum::routing::{MethodFilter, on};

use super::answer::Answer;
use crate::cluster::Cluster;
use crate::ops::reply::not_implemented;

/// Method, path, and what it would do.
#[rustfmt::skip]
pub const OPERATIONS: &[(&str, &str, &str)] = &[
    ("POST", "/v1/internal/backups/requestPrepareAbort", "Shipping snapshots"),
    ("POST", "/v1/internal/backups/requestPrevSnap", "Shipping snapshots"),
    ("POST", "/v1/internal/backups/requestReceive", "Shipping snapshots"),
    ("POST", "/v1/internal/backups/requestReceiveDone", "Shipping snapshots"),
    ("POST", "/v1/internal/backups/requestShip", "Shipping snapshots"),
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
    router
}
