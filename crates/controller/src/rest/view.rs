//! `/v1/view/resources`

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::answer::in_pieces;
use super::request::Params;
use crate::cluster::Cluster;
use crate::ops::filter::{Names, PropFilter};
use crate::ops::resource::list::{self, Filter};

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new().route("/v1/view/resources", get(resources))
}

async fn resources(State(cluster): State<Cluster>, params: Params) -> Response {
    let filter = Filter {
        nodes: Names::new(params.all("nodes")),
        resources: Names::new(params.all("resources")),
        pools: Names::new(params.all("storage_pools")),
        props: PropFilter::new(params.all("props")),
    };
    let page = params.page();
    in_pieces(list::all(&cluster, filter, (page.offset, page.limit)))
}
