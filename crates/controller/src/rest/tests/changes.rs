//! Changes of smaller objects show in what is read afterwards, and older forms of calls do the same as newer ones.

use serde_json::{Value, json};

use super::World;
use super::story::spawned;

async fn succeeds(world: &World, method: &str, path: &str, body: &str) {
    let answer = world.call(method, path, body).await;
    assert!(
        answer.status.is_success(),
        "{method} {path}: {:#}",
        answer.json()
    );
}

/// Storage pool definitions, storage pools, resource groups and volume groups.
#[tokio::test(start_paused = true)]
async fn pools_and_groups() {
    let world = World::with_nodes(1).await;
    let rack = r#"{"override_props":{"Aux/rack":"7"}}"#;
    let pool = r#"{"storage_pool_name":"slow"}"#;
    succeeds(&world, "POST", "/v1/storage-pool-definitions", pool).await;
    let slow = "/v1/storage-pool-definitions/slow";
    succeeds(&world, "PUT", slow, rack).await;
    assert_eq!(world.get(slow).await["props"]["Aux/rack"], "7");
    let all = world.get("/v1/storage-pool-definitions").await.to_string();
    assert!(all.contains("slow") && all.contains("thin"), "{all}");
    let thin = "/v1/nodes/n1/storage-pools/thin";
    succeeds(&world, "PUT", thin, rack).await;
    assert_eq!(world.get(thin).await["props"]["Aux/rack"], "7");
    let group = "/v1/resource-groups/rg";
    succeeds(&world, "POST", "/v1/resource-groups", r#"{"name":"rg"}"#).await;
    succeeds(&world, "PUT", group, r#"{"description":"fast ones"}"#).await;
    assert_eq!(world.get(group).await["description"], "fast ones");
    let volumes = "/v1/resource-groups/rg/volume-groups";
    succeeds(&world, "POST", volumes, r#"{"volume_number":0}"#).await;
    succeeds(&world, "PUT", &format!("{volumes}/0"), rack).await;
    assert_eq!(world.get(volumes).await[0]["props"]["Aux/rack"], "7");
}

/// A disk comes and goes by the forms of the call without a body, and moves to another node.
#[tokio::test(start_paused = true)]
async fn older_forms_of_toggle_disk() {
    let world = spawned(3).await;
    let resources = "/v1/resource-definitions/res/resources";
    let diskless = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().expect("a list").iter();
        let diskless = rows.filter(|row| row.get("flags").is_some());
        let names = diskless.map(|row| row["node_name"].as_str().expect("a name").to_owned());
        names.collect()
    };
    let third = diskless(&world.get(resources).await).remove(0);
    let of_third = format!("{resources}/{third}");
    for (form, is_diskless) in [
        ("toggle-disk/diskful/thin", false),
        ("toggle-disk/diskless/DfltDisklessStorPool", true),
        ("toggle-disk/diskful", false),
        ("toggle-disk/diskless", true),
    ] {
        succeeds(&world, "PUT", &format!("{of_third}/{form}"), "").await;
        let there = diskless(&world.get(resources).await).contains(&third);
        assert_eq!(there, is_diskless, "{form}");
    }
    let volumes = world.get(&format!("{of_third}/volumes")).await;
    assert_eq!(volumes[0]["volume_number"], 0);
    let other = if third == "n1" { "n2" } else { "n1" };
    let migrate = format!("{of_third}/migrate-disk/{other}");
    succeeds(&world, "PUT", &migrate, "").await;
    assert!(!diskless(&world.get(resources).await).contains(&third));
    assert_eq!(world.get("/v1/node-connections").await, json!([]));
}

/// Nothing has to be taken over while no satellite obeys a newer controller.
#[tokio::test(start_paused = true)]
async fn take_over_without_need() {
    let world = World::new().await;
    world
        .check("POST", "/v1/controller/take-over", "", 200, &["MODIFIED"])
        .await;
}

/// Counts are those of the lists, and the report of used space is there for a cluster without volumes.
#[tokio::test(start_paused = true)]
async fn statistics() {
    let world = World::with_nodes(2).await;
    for (what, count) in [
        ("nodes", 2),
        ("resource-groups", 1),
        ("resource-definitions", 0),
        ("resources", 0),
    ] {
        let found = world.get(&format!("/v1/stats/{what}")).await;
        assert_eq!(found["count"], count, "{what}");
    }
    let pools = world.get("/v1/stats/storage-pools").await["count"].as_i64();
    assert!(pools >= Some(2), "{pools:?}");
    assert!(world.get("/v1/space-report").await.is_object());
}
