//! `.../properties/info`: what is known of property keys

use axum::Router;
use axum::routing::get;
use serde::Serialize;

use super::answer::json;
use crate::cluster::Cluster;
use crate::ops::property::{Owner, info};

/// The routes of this noun. They are the same whatever the objects in their paths are.
pub fn routes() -> Router<Cluster> {
    let keys_of = [
        ("/v1/controller", Owner::Controller),
        ("/v1/nodes", Owner::Node),
        ("/v1/nodes/{node}/storage-pools", Owner::StoragePool),
        ("/v1/storage-pool-definitions", Owner::StoragePoolDefinition),
        ("/v1/resource-groups", Owner::ResourceGroup),
        (
            "/v1/resource-groups/{group}/volume-groups",
            Owner::VolumeGroup,
        ),
        ("/v1/resource-definitions", Owner::ResourceDefinition),
        ("/v1/resource-definitions/{name}/resources", Owner::Resource),
        (
            "/v1/resource-definitions/{name}/volume-definitions",
            Owner::VolumeDefinition,
        ),
        (
            "/v1/resource-definitions/{name}/resources/{node}/volumes",
            Owner::Volume,
        ),
        (
            "/v1/resource-definitions/{name}/resource-connections",
            Owner::ResourceConnection,
        ),
    ];
    let mut router = list(
        Router::new(),
        "/v1/controller/properties/info/all",
        info::all,
    );
    let proxy = "/v1/resource-definitions/{name}/drbd-proxy/properties/info";
    router = list(router, proxy, info::of_proxy);
    for (path, owner) in keys_of {
        router = list(router, &format!("{path}/properties/info"), move || {
            info::of(owner)
        });
    }
    router
}

fn list<T: Serialize>(
    router: Router<Cluster>,
    path: &str,
    of: impl Fn() -> T + Clone + Send + Sync + 'static,
) -> Router<Cluster> {
    router.route(path, get(|| async move { json(&of()) }))
}
