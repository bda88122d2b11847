//! `/v1/sos-report`

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::Answer;
use super::request::Params;
use crate::cluster::Cluster;
use crate::ops::sos_report::{self, Wanted};
use crate::transaction::Refusal;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route("/v1/sos-report", get(create))
        .route("/v1/sos-report/download", get(download))
}

fn wanted(params: &Params) -> Wanted {
    let off = |value: &str| value.eq_ignore_ascii_case("false");
    Wanted {
        nodes: params.all("nodes"),
        resources: params.all("rscs"),
        exclude: params.all("exclude"),
        since: params.first("since").and_then(|since| since.parse().ok()),
        without_controller: params.first("include-ctrl").is_some_and(off),
    }
}

async fn create(State(cluster): State<Cluster>, params: Params) -> Answer {
    Answer::created(sos_report::create(&cluster, wanted(&params)).await)
}

async fn download(State(cluster): State<Cluster>, params: Params) -> Response {
    match sos_report::make(&cluster, wanted(&params)).await {
        Ok(report) => {
            let file = format!("attachment; filename=\"{}\"", report.file);
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (header::CONTENT_DISPOSITION, file),
            ];
            (headers, report.archive).into_response()
        }
        Err(Refusal(replies)) => Answer::ok(replies).into_response(),
    }
}
