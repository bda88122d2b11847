//! `/v1/schedules`, and for which remotes and resource definitions they are enabled.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get, put};
use linstor_api::schedule::{BackupSchedule, Schedule, ScheduleModify};

use super::answer::{Answer, json, value};
use super::request::{NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::schedule::{self, Filter, Pair};

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    const USE: &str = "/v1/remotes/{remote}/backups/schedule/{schedule}";
    Router::new()
        .route("/v1/schedules", get(list).post(create))
        .route("/v1/schedules/{schedule}", put(modify).delete(remove))
        .route(&format!("{USE}/enable"), put(enable))
        .route(&format!("{USE}/disable"), put(disable))
        .route(&format!("{USE}/delete"), delete(remove_use))
        .route("/v1/view/schedules-by-resource", get(by_resource))
        .route("/v1/view/schedules-by-resource/{name}", get(details))
}

async fn list(State(cluster): State<Cluster>) -> Response {
    json(&schedule::list(&cluster))
}

async fn create(
    State(cluster): State<Cluster>,
    NeededBody(request): NeededBody<Schedule, false>,
) -> Answer {
    Answer::ok(schedule::create(&cluster, request).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(request): NeededBody<ScheduleModify, false>,
) -> Answer {
    Answer::ok(schedule::modify(&cluster, name, request).await)
}

async fn remove(State(cluster): State<Cluster>, Path(name): Path<String>) -> Answer {
    Answer::ok(schedule::delete(&cluster, name).await)
}

async fn enable(
    State(cluster): State<Cluster>,
    Path((remote, schedule)): Path<(String, String)>,
    NeededBody(request): NeededBody<BackupSchedule, false>,
) -> Answer {
    Answer::ok(schedule::enable(&cluster, Pair { remote, schedule }, request).await)
}

async fn disable(
    State(cluster): State<Cluster>,
    Path((remote, schedule)): Path<(String, String)>,
    NeededBody(request): NeededBody<BackupSchedule, false>,
) -> Answer {
    Answer::ok(schedule::disable(&cluster, Pair { remote, schedule }, request).await)
}

async fn remove_use(
    State(cluster): State<Cluster>,
    Path((remote, schedule)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let given = |key| params.first(key).map(str::to_owned);
    let (definition, group) = (given("rsc_dfn_name"), given("rsc_grp_name"));
    Answer::ok(schedule::remove(&cluster, Pair { remote, schedule }, definition, group).await)
}

async fn by_resource(State(cluster): State<Cluster>, params: Params) -> Response {
    let given = |key| params.first(key).map(str::to_owned);
    let filter = Filter {
        definition: given("rsc"),
        remote: given("remote"),
        schedule: given("schedule"),
        active_only: params.is_on("active-only"),
    };
    json(&schedule::by_resource(&cluster, &filter))
}

async fn details(State(cluster): State<Cluster>, Path(name): Path<String>) -> Response {
    value(schedule::details(&cluster, &name))
}
