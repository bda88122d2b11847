//! Balancing: missing resources are placed, surplus ones deleted, within the window that properties set.

use std::time::Duration;

use serde_json::Value;

use super::World;
use super::story::spawned;

const RESOURCES: &str = "/v1/resource-definitions/res/resources";

async fn diskful(world: &World) -> Vec<String> {
    let rows = world.get(RESOURCES).await;
    let rows = rows.as_array().unwrap().iter();
    let with_disk = rows.filter(|row| {
        let flags = row["flags"].as_array().cloned().unwrap_or_default();
        !flags
            .iter()
            .any(|flag| flag == "DISKLESS" || flag == "DELETE")
    });
    let mut nodes: Vec<String> = with_disk
        .map(|row| row["node_name"].as_str().unwrap().to_owned())
        .collect();
    nodes.sort();
    nodes
}

async fn set(world: &World, path: &str, key: &str, value: &str) -> Value {
    let body = format!(r#"{{"override_props":{{"{key}":"{value}"}}}}"#);
    let method = if path.ends_with("/properties") {
        "POST"
    } else {
        "PUT"
    };
    let answer = world.call(method, path, &body).await;
    assert!(answer.status.is_success(), "{:#}", answer.json());
    answer.json()
}

async fn hours(count: u64) {
    tokio::time::sleep(Duration::from_secs(count * 3600)).await;
}

/// The third replica of a group of two goes after the grace period, from the fullest pool; not while that is switched off.
#[tokio::test(start_paused = true)]
async fn a_surplus_replica_is_deleted() {
    let world = spawned(3).await;
    let third = r#"[{"resource":{"node_name":"n3","props":{"StorPoolName":"thin"}}}]"#;
    assert_eq!(world.call("POST", RESOURCES, third).await.status, 201);
    set(
        &world,
        "/v1/resource-definitions/res",
        "BalanceResourcesEnabled",
        "false",
    )
    .await;
    world.satellites.filled("n2", 50);
    hours(3).await;
    assert_eq!(
        diskful(&world).await,
        ["n1", "n2", "n3"],
        "it is switched off"
    );
    world.call("PUT", "/v1/nodes/n2/reconnect", "").await;
    set(
        &world,
        "/v1/resource-definitions/res",
        "BalanceResourcesEnabled",
        "true",
    )
    .await;
    set(
        &world,
        "/v1/controller/properties",
        "BalanceResourcesGracePeriod",
        "36000",
    )
    .await;
    hours(3).await;
    assert_eq!(
        diskful(&world).await,
        ["n1", "n2", "n3"],
        "they are too young"
    );
    set(
        &world,
        "/v1/controller/properties",
        "BalanceResourcesGracePeriod",
        "60",
    )
    .await;
    hours(2).await;
    assert_eq!(diskful(&world).await, ["n1", "n3"]);
    hours(2).await;
    assert_eq!(diskful(&world).await, ["n1", "n3"], "twice is as once");
}

/// A replica in use is not deleted.
#[tokio::test(start_paused = true)]
async fn a_replica_in_use_stays() {
    let world = spawned(3).await;
    let third = r#"[{"resource":{"node_name":"n3","props":{"StorPoolName":"thin"}}}]"#;
    assert_eq!(world.call("POST", RESOURCES, third).await.status, 201);
    for node in ["n1", "n2", "n3"] {
        world.satellites.in_use(node, "Res");
    }
    set(
        &world,
        "/v1/resource-definitions/res",
        "DrbdOptions/Net/max-buffers",
        "3000",
    )
    .await;
    hours(5).await;
    assert_eq!(diskful(&world).await, ["n1", "n2", "n3"]);
}

/// What is missing is placed soon after a node with a pool was added, once the grace period is over.
#[tokio::test(start_paused = true)]
async fn a_new_node_gets_what_is_missing() {
    let world = spawned(2).await;
    hours(2).await;
    let answer = world.call("DELETE", &format!("{RESOURCES}/n2"), "").await;
    assert_eq!(answer.status, 200);
    set(&world, "/v1/nodes/n2", "AutoplaceTarget", "no").await;
    hours(2).await;
    assert_eq!(diskful(&world).await, ["n1"], "no node can have it");
    world.add_node(3).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(diskful(&world).await, ["n1", "n3"]);
}
