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
    ("POST", "/v1/controller/backup/db", "Backing up the database"),
    ("POST", "/v1/controller/database/export", "Exporting the database"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/disable", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/enable", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/evict", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/restart", "Control of drbd-reactor"),
    ("POST", "/v1/nodes/exec/drbd-reactorctl/status", "Control of drbd-reactor"),
    ("GET", "/v1/nodes/{node}/config", "Showing a satellite's configuration"),
    ("PUT", "/v1/nodes/{node}/config", "Changing a satellite's configuration"),
    ("GET", "/v1/sos-report", "Collecting a report for support"),
    ("GET", "/v1/sos-report/download", "Collecting a report for support"),
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
