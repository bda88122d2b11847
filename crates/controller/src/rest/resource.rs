//! `/v1/resource-definitions/{name}/resources`

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use linstor_api::resource::{
    ResourceCreate, ResourceMakeAvailable, ResourceModify, ToggleDiskDiskful, ToggleDiskRequest,
};

use super::answer::{Answer, text};
use super::request::{Body, NeededBody, Params};
use crate::cluster::Cluster;
use crate::ops::resource::{self, Toggle, read};

const ONE: &str = "/v1/resource-definitions/{name}/resources/{node}";

/// The routes of this noun.
pub fn routes() -> Router<Cluster> {
    Router::new()
        .route(
            "/v1/resource-definitions/{name}/resources",
            get(list).post(create),
        )
        .route(ONE, get(one).post(create_on).put(modify).delete(remove))
        .route(&format!("{ONE}/make-available"), post(make_available))
        .route(&format!("{ONE}/unmake-available"), post(unmake_available))
        .route(&format!("{ONE}/activate"), post(activate))
        .route(&format!("{ONE}/deactivate"), post(deactivate))
        .route(&format!("{ONE}/toggle-disk"), put(toggle))
        .route(&format!("{ONE}/toggle-disk/diskful"), put(diskful))
        .route(
            &format!("{ONE}/toggle-disk/diskful/{{pool}}"),
            put(diskful_in),
        )
        .route(&format!("{ONE}/toggle-disk/diskless"), put(diskless))
        .route(
            &format!("{ONE}/toggle-disk/diskless/{{pool}}"),
            put(diskless_in),
        )
        .route(&format!("{ONE}/migrate-disk/{{from}}"), put(migrate))
        .route(
            &format!("{ONE}/migrate-disk/{{from}}/{{pool}}"),
            put(migrate_into),
        )
}

type Replica = Path<(String, String)>;

async fn list(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    params: Params,
) -> Response {
    let page = params.page();
    text(read::of_definition(
        &cluster,
        &name,
        (page.offset, page.limit),
    ))
}

async fn one(State(cluster): State<Cluster>, Path((name, node)): Replica) -> Response {
    text(read::one(&cluster, &name, &node))
}

async fn create(
    State(cluster): State<Cluster>,
    Path(name): Path<String>,
    NeededBody(requests): NeededBody<Vec<ResourceCreate>, false>,
) -> Answer {
    Answer::created(resource::create(&cluster, name, requests).await)
}

async fn create_on(
    State(cluster): State<Cluster>,
    Path((name, node)): Replica,
    NeededBody(mut request): NeededBody<ResourceCreate, false>,
) -> Answer {
    request.resource.node_name = Some(node);
    Answer::created(resource::create(&cluster, name, vec![request]).await)
}

async fn modify(
    State(cluster): State<Cluster>,
    Path((name, node)): Replica,
    NeededBody(request): NeededBody<ResourceModify, false>,
) -> Answer {
    Answer::ok(resource::modify(&cluster, name, node, request).await)
}

async fn remove(
    State(cluster): State<Cluster>,
    Path((name, node)): Replica,
    params: Params,
) -> Answer {
    let keep = params.is_on("keep_tiebreaker");
    Answer::ok(resource::delete(&cluster, name, node, keep).await)
}

async fn make_available(
    State(cluster): State<Cluster>,
    Path((name, node)): Replica,
    Body(request): Body<ResourceMakeAvailable>,
) -> Answer {
    Answer::ok(resource::make_available(&cluster, name, node, request).await)
}

async fn unmake_available(State(cluster): State<Cluster>, Path((name, node)): Replica) -> Answer {
    Answer::ok(resource::unmake_available(&cluster, name, node).await)
}

async fn activate(State(cluster): State<Cluster>, Path((name, node)): Replica) -> Answer {
    Answer::ok(resource::set_active(&cluster, name, node, true).await)
}

async fn deactivate(State(cluster): State<Cluster>, Path((name, node)): Replica) -> Answer {
    Answer::ok(resource::set_active(&cluster, name, node, false).await)
}

async fn toggle(
    State(cluster): State<Cluster>,
    Path((name, node)): Replica,
    NeededBody(request): NeededBody<ToggleDiskRequest, false>,
) -> Answer {
    Answer::ok(match Toggle::parse(request) {
        Ok(toggle) => resource::toggle(&cluster, name, node, toggle).await,
        Err(refusal) => refusal.0,
    })
}

async fn diskful(
    State(cluster): State<Cluster>,
    Path((name, node)): Replica,
    Body(request): Body<ToggleDiskDiskful>,
) -> Answer {
    let toggle = Toggle::diskful(None, None, request.layer_list);
    Answer::ok(resource::toggle(&cluster, name, node, toggle).await)
}

async fn diskful_in(
    State(cluster): State<Cluster>,
    Path((name, node, pool)): Path<(String, String, String)>,
    Body(request): Body<ToggleDiskDiskful>,
) -> Answer {
    let toggle = Toggle::diskful(Some(pool), None, request.layer_list);
    Answer::ok(resource::toggle(&cluster, name, node, toggle).await)
}

async fn diskless(State(cluster): State<Cluster>, Path((name, node)): Replica) -> Answer {
    Answer::ok(resource::toggle(&cluster, name, node, Toggle::diskless(None)).await)
}

async fn diskless_in(
    State(cluster): State<Cluster>,
    Path((name, node, pool)): Path<(String, String, String)>,
) -> Answer {
    Answer::ok(resource::toggle(&cluster, name, node, Toggle::diskless(Some(pool))).await)
}

async fn migrate(
    State(cluster): State<Cluster>,
    Path((name, node, from)): Path<(String, String, String)>,
) -> Answer {
    let toggle = Toggle::diskful(None, Some(from), vec![]);
    Answer::ok(resource::toggle(&cluster, name, node, toggle).await)
}

async fn migrate_into(
    State(cluster): State<Cluster>,
    Path((name, node, from, pool)): Path<(String, String, String, String)>,
) -> Answer {
    let toggle = Toggle::diskful(Some(pool), Some(from), vec![]);
    Answer::ok(resource::toggle(&cluster, name, node, toggle).await)
}
