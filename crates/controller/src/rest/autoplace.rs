//! `/v1/resource-definitions/{name}/autoplace`

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use linstor_api::resource::AutoPlaceRequest;

use super::answer::Answer;
use super::request::NeededBody;
use crate::cluster::Cluster;
use crate::ops::autoplace;

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new().route("/v1/resource-definitions/{name}/autoplace", post(autoplace))
}

async fn autoplace(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<AutoPlaceRequest, false>,
) -> Answer {
    Answer::created(autoplace::autoplace(&cluster, name, request).await)
}
