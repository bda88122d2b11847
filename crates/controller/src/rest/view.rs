//! `/v1/view/resources`

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::{Answer, in_pieces};
use super::request::Params;
use crate::cluster::Cluster;
use crate::ops::resource::list::{self, Filter};
use crate::transaction::Refusal;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new().route("/v1/view/resources", get(resources))
}

async fn resources(State(cluster): State<Cluster>, params: Params) -> Response {
    let [nodes, resources, pools, props] =
        ["nodes", "resources", "storage_pools", "props"].map(|name| params.all(name));
    let page = params.page();
    match Filter::parse(&cluster, nodes, resources, pools, props) {
        Ok(filter) => in_pieces(list::all(&cluster, filter, (page.offset, page.limit))),
        Err(Refusal(replies)) => Answer::ok(replies).into_response(),
    }
}
