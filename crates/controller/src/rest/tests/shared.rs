//! Resources in storage pools that share their space: one at a time is active.

use serde_json::json;

use super::World;

const POOL: &str = r#"{"storage_pool_name":"san","provider_kind":"LVM","free_space_mgr_name":"san",
    "props":{"StorDriver/StorPoolName":"vgsan"}}"#;
const RESOURCES: &str = "/v1/resource-definitions/res/resources";

/// Two nodes on one disk, and a resource on each.
async fn shared() -> World {
    let world = World::new().await;
    for number in 1..=2 {
        world.add_node(number).await;
        let pools = format!("/v1/nodes/n{number}/storage-pools");
        let answer = world.call("POST", &pools, POOL).await;
        assert_eq!(answer.status, 201, "{:#}", answer.json());
    }
    let definition = r#"{"resource_definition":{"name":"res","layer_data":[{"type":"STORAGE"}]}}"#;
    world
        .call("POST", "/v1/resource-definitions", definition)
        .await;
    let volume = r#"{"volume_definition":{"size_kib":20480}}"#;
    let volumes = "/v1/resource-definitions/res/volume-definitions";
    world.call("POST", volumes, volume).await;
    for number in 1..=2 {
        let body = r#"{"resource":{"props":{"StorPoolName":"san"}}}"#;
        let answer = world
            .call("POST", &format!("{RESOURCES}/n{number}"), body)
            .await;
        assert_eq!(answer.status, 201, "{:#}", answer.json());
    }
    world
}

async fn flags(world: &World) -> Vec<serde_json::Value> {
    let mut flags = Vec::new();
    for node in ["n1", "n2"] {
        flags.push(world.get(&format!("{RESOURCES}/{node}")).await["flags"].clone());
    }
    flags
}

/// The second resource is inactive, is activated once the first is down, and stays when that is deleted.
#[tokio::test(start_paused = true)]
async fn one_resource_is_active() {
    let world = shared().await;
    assert_eq!(flags(&world).await, [json!(null), json!(["INACTIVE"])]);
    let activate = format!("{RESOURCES}/n2/activate");
    let refused = ["FAIL_ONLY_ONE_ACT_RSC_PER_SHARED_STOR_POOL_ALLOWED"];
    world.check("POST", &activate, "", 500, &refused).await;
    assert_eq!(flags(&world).await, [json!(null), json!(["INACTIVE"])]);
    let answer = world
        .call("POST", &format!("{RESOURCES}/n1/deactivate"), "")
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let answer = world.call("POST", &activate, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(flags(&world).await, [json!(["INACTIVE"]), json!(null)]);
    let answer = world.call("DELETE", &format!("{RESOURCES}/n1"), "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let rows = world.get(RESOURCES).await;
    assert_eq!(rows.as_array().unwrap().len(), 1);
}

/// A resource that is made available takes the volumes over from the other node.
#[tokio::test(start_paused = true)]
async fn made_available_where_it_is_needed() {
    let world = shared().await;
    let path = format!("{RESOURCES}/n2/make-available");
    let answer = world.call("POST", &path, "{}").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(flags(&world).await, [json!(["INACTIVE"]), json!(null)]);
}
