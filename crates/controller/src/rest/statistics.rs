//! `/v1/stats` and `/v1/space-report`

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::answer::json;
use crate::cluster::Cluster;
use crate::ops::statistics::{self, Kind};

/// What is counted, as the path names it.
const COUNTED: [(&str, Kind); 6] = [
    ("/v1/stats/nodes", Kind::Nodes),
    ("/v1/stats/storage-pools", Kind::StoragePools),
    ("/v1/stats/resource-groups", Kind::ResourceGroups),
    ("/v1/stats/resource-definitions", Kind::ResourceDefinitions),
    ("/v1/stats/resources", Kind::Resources),
    ("/v1/stats/error-reports", Kind::ErrorReports),
];

/// The answer of a controller that does not record how much space is used over time.
#[derive(Serialize)]
struct SpaceReport {
    #[serde(rename = "reportText")]
    report_text: &'static str,
}

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    let mut router = Router::new().route("/v1/space-report", get(space));
    for (path, kind) in COUNTED {
        let count = move |State(cluster): State<Cluster>| async move {
            json(&statistics::count(&cluster, kind))
        };
        router = router.route(path, get(count));
    }
    router
}

async fn space() -> Response {
    json(&SpaceReport {
        report_text: "The SpaceTracking service is not installed.",
    })
}
