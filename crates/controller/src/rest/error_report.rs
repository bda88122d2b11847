//! `/v1/error-reports`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use linstor_api::error_report::ErrorReportFilter as Filter;

use super::answer::{Answer, json};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::error_report;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/error-reports", get(list).patch(delete))
        .route("/v1/error-reports/{id}", get(one).delete(remove))
}

async fn list(State(cluster): State<Cluster>, params: Params) -> Response {
    let number = |name| params.first(name).and_then(|text| text.parse().ok());
    let filter = Filter {
        nodes: params.all("node"),
        since: number("since"),
        to: number("to"),
        ..Filter::default()
    };
    let with_text = params.is_on("withContent");
    let page = params.page();
    json(&page.of(error_report::list(&cluster, &filter, with_text)))
}

fn of_id(id: String) -> Filter {
    Filter {
        ids: vec![id],
        ..Filter::default()
    }
}

async fn one(State(cluster): State<Cluster>, Path(id): Path<String>) -> Response {
    json(&error_report::list(&cluster, &of_id(id), true))
}

async fn remove(State(cluster): State<Cluster>, Path(id): Path<String>) -> Answer {
    Answer::ok(error_report::delete(&cluster, &of_id(id)))
}

async fn delete(
    State(cluster): State<Cluster>,
    NeededBody(filter): NeededBody<Filter, false>,
) -> Answer {
    Answer::ok(error_report::delete(&cluster, &filter))
}
