//! The REST API: extract, call [`crate::ops`], reply. Nothing here decides anything.
//!
//! [`router`] lists every route by noun. Around all of them: a request runs in a task of its own, so that a caller who
//! hangs up does not stop half-way what was begun, and a panic becomes an answer; callers authenticate where that is switched
//! on; replies get their time; answers are compressed on demand; web pages of other origins may call when the settings say so.

mod answer;
mod edge;
mod request;
mod server;

mod auth_token;
mod autoplace;
mod backup;
mod connection;
mod controller;
mod encryption;
mod error_report;
mod event;
mod external_file;
mod https;
mod job;
mod key_value_store;
mod leftover;
mod net_interface;
mod node;
mod physical_storage;
mod property;
mod query_size;
mod reactor;
mod remote;
mod resource;
mod resource_definition;
mod resource_group;
mod schedule;
mod shipping;
mod snapshot;
mod sos_report;
mod statistics;
mod storage_pool;
mod storage_pool_definition;
mod ui;
mod view;
mod volume;
mod volume_definition;
mod volume_group;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::Response;
use linstor_api::code;
use linstor_api::reply::Reply;
use tower::ServiceExt as _;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::cluster::Cluster;
use answer::Answer;
use edge::Edge;

pub use server::{Limits, Peer, serve};

/// The whole API on a cluster, for callers within limits.
pub fn router(cluster: Cluster, limits: &Limits) -> Router {
    let edge = Edge::new(cluster.clone(), limits);
    let routes = Router::new()
        .merge(auth_token::routes())
        .merge(autoplace::routes())
        .merge(backup::routes())
        .merge(connection::routes())
        .merge(controller::routes())
        .merge(encryption::routes())
        .merge(event::routes())
        .merge(external_file::routes())
        .merge(error_report::routes())
        .merge(job::routes())
        .merge(key_value_store::routes())
        .merge(leftover::routes())
        .merge(net_interface::routes())
        .merge(node::routes())
        .merge(physical_storage::routes())
        .merge(property::routes())
        .merge(query_size::routes())
        .merge(reactor::routes())
        .merge(remote::routes())
        .merge(resource::routes())
        .merge(resource_definition::routes())
        .merge(resource_group::routes())
        .merge(schedule::routes())
        .merge(snapshot::routes())
        .merge(sos_report::routes())
        .merge(statistics::routes())
        .merge(storage_pool::routes())
        .merge(storage_pool_definition::routes())
        .merge(ui::routes(&limits.ui_directory))
        .merge(view::routes())
        .merge(volume::routes())
        .merge(volume_definition::routes())
        .merge(volume_group::routes())
        .merge(shipping::routes())
        .route_layer(middleware::from_fn_with_state(cluster.clone(), edge::timed))
        .route_layer(middleware::from_fn_with_state(
            cluster.clone(),
            edge::authenticated,
        ))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(cluster);
    // What changes the path has to stand before the routing, hence a router around the router.
    let inner = routes.map_request(edge::plain_path);
    Router::new()
        .fallback_service(inner)
        .layer(middleware::from_fn_with_state(edge.clone(), edge::guard))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(middleware::from_fn_with_state(edge, edge::cross_origin))
}

async fn unknown_path(uri: Uri) -> Response {
    let path = uri.path().escape_debug();
    let reply = Reply::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("Path '{path}' not found on server."),
    );
    Answer::fixed(StatusCode::NOT_FOUND, reply)
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let path = uri.path().escape_debug();
    let reply = Reply::new(
        code::FAIL_UNKNOWN_ERROR,
        format!("Method '{method}' not allowed on path '{path}'."),
    );
    Answer::fixed(StatusCode::METHOD_NOT_ALLOWED, reply)
}

#[cfg(test)]
mod tests;
