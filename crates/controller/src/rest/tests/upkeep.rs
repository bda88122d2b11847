//! What the controller does by itself: properties, eviction, evacuation that goes on, disks for those who need them.

use std::time::Duration;

use serde_json::Value;

use super::World;
use super::story::spawned;

const RESOURCES: &str = "/v1/resource-definitions/res/resources";

/// Nodes with their flags, in the order of names.
async fn shown(world: &World) -> Vec<String> {
    let rows = world.get(RESOURCES).await;
    let rows = rows.as_array().unwrap().iter();
    let mut shown: Vec<String> = rows
        .map(|row| {
            let flags = row["flags"].as_array().cloned().unwrap_or_default();
            let flags = flags.iter().filter_map(Value::as_str);
            let last: Vec<&str> = flags.collect();
            let node = row["node_name"].as_str().unwrap();
            format!("{node} {}", last.last().unwrap_or(&"DISKFUL"))
        })
        .collect();
    shown.sort();
    shown
}

/// Has all nodes of the resource report its state anew.
async fn report(world: &World, value: &str) {
    let body = format!(r#"{{"override_props":{{"DrbdOptions/Net/max-buffers":"{value}"}}}}"#);
    let answer = world
        .call("PUT", "/v1/resource-definitions/res", &body)
        .await;
    assert_eq!(answer.status, 200);
}

async fn set(world: &World, path: &str, key: &str, value: &str) {
    let body = format!(r#"{{"override_props":{{"{key}":"{value}"}}}}"#);
    let answer = world.call("PUT", path, &body).await;
    assert!(answer.status.is_success(), "{:#}", answer.json());
}

/// The verify algorithm is one that all nodes have, and a resync discards in chunks of the thin pools.
#[tokio::test(start_paused = true)]
async fn properties_of_a_new_resource() {
    let world = spawned(3).await;
    let definition = world.get("/v1/resource-definitions/res").await;
    assert_eq!(definition["props"]["DrbdOptions/auto-verify-alg"], "sha1");
    let volume = world
        .get("/v1/resource-definitions/res/volume-definitions/0")
        .await;
    let key = "DrbdOptions/Disk/rs-discard-granularity";
    assert_eq!(volume["props"][key], "65536");
}

/// An option that the nodes' drbd-utils do not have is set with a warning.
#[tokio::test(start_paused = true)]
async fn options_without_effect_are_named() {
    let world = spawned(2).await;
    let body =
        r#"{"override_props":{"DrbdOptions/Net/tls":"no","DrbdOptions/Net/max-buffers":"3000"}}"#;
    let answer = world
        .call("PUT", "/v1/resource-definitions/res", body)
        .await;
    let names = answer.names();
    let warnings = names.iter().filter(|name| *name == "WARN_UNEFFECTIVE_PROP");
    assert_eq!(warnings.count(), 1, "{:#}", answer.json());
}

/// A disk that its satellite does not attach any more has the property set; removing that has it attached again.
#[tokio::test(start_paused = true)]
async fn a_disk_that_failed_too_often_is_skipped() {
    let world = spawned(3).await;
    let node = shown(&world).await[0][..2].to_owned();
    world.satellites.gives_up(&node, "Res");
    report(&world, "3000").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let one = format!("{RESOURCES}/{node}");
    let key = "DrbdOptions/SkipDisk";
    assert_eq!(world.get(&one).await["props"][key], "True");
    assert_eq!(world.get("/v1/jobs").await[0]["kind"], "disk-skipped");
    let body = format!(r#"{{"delete_props":["{key}"]}}"#);
    world.satellites.attaches(&node, "Res");
    let answer = world.call("PUT", &one, &body).await;
    assert_eq!(answer.status, 200);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.get(&one).await["props"].get(key), None);
}

/// A node that is offline for too long is evicted, and another one takes its place; not while it is being maintained.
#[tokio::test(start_paused = true)]
async fn an_offline_node_is_evicted() {
    let world = spawned(3).await;
    assert_eq!(
        shown(&world).await,
        ["n1 DISKFUL", "n2 DISKFUL", "n3 TIE_BREAKER"]
    );
    let (node, allow) = ("/v1/nodes/n1", "DrbdOptions/AutoEvictAllowEviction");
    set(&world, node, allow, "false").await;
    set(&world, node, "DrbdOptions/AutoEvictAfterTime", "5").await;
    world.satellites.away("n1");
    tokio::time::sleep(Duration::from_secs(60)).await;
    report(&world, "3000").await;
    assert_eq!(world.get(node).await["connection_status"], "OFFLINE");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(
        world.get(node).await.get("flags"),
        None,
        "it is being maintained"
    );
    set(&world, node, allow, "true").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.get(node).await["flags"][1], "EVICTED");
    assert_eq!(
        shown(&world).await,
        ["n1 DISKFUL", "n2 DISKFUL", "n3 DISKFUL"]
    );
    // Restored before it is back, it has its time once more.
    let answer = world.call("PUT", "/v1/nodes/n1/restore", "{}").await;
    assert_eq!(answer.status, 200, "{:?}", answer.names());
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert_eq!(world.get(node).await.get("flags"), None);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.get(node).await["flags"][1], "EVICTED");
}

/// A replica that no other node can take stays, and moves when a node is added; twice is as once, and cancelling is final.
#[tokio::test(start_paused = true)]
async fn an_evacuation_goes_on() {
    let world = spawned(2).await;
    let evacuate = "/v1/nodes/n1/evacuate";
    for _ in 0..2 {
        let warned = ["WARN_NOT_EVACUATING"];
        world.check("PUT", evacuate, "", 200, &warned).await;
    }
    let jobs = world.get("/v1/jobs").await;
    assert_eq!(jobs[0]["kind"], "node-evacuate");
    world.add_node(3).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(shown(&world).await, ["n2 DISKFUL", "n3 DISKFUL"]);
    world.check("PUT", evacuate, "", 200, &[]).await;
    let jobs = world.get("/v1/jobs").await;
    assert_eq!(jobs, serde_json::json!([]));
    let answer = world.call("PUT", "/v1/nodes/n1/restore", "{}").await;
    assert_eq!(answer.status, 200);
}

/// A replica is deleted, not moved, where there are enough others; diskless ones go once they are not in use.
#[tokio::test(start_paused = true)]
async fn evacuation_makes_no_surplus() {
    let world = spawned(4).await;
    let body = r#"[{"resource":{"node_name":"n4","flags":["DRBD_DISKLESS"]}}]"#;
    assert_eq!(world.call("POST", RESOURCES, body).await.status, 201);
    let third = r#"[{"resource":{"node_name":"n3","props":{"StorPoolName":"thin"}}}]"#;
    assert_eq!(world.call("POST", RESOURCES, third).await.status, 201);
    let before = shown(&world).await;
    assert_eq!(before[..3], ["n1 DISKFUL", "n2 DISKFUL", "n3 DISKFUL"]);
    world.satellites.in_use("n4", "Res");
    report(&world, "3000").await;
    for node in ["n1", "n4"] {
        let path = format!("/v1/nodes/{node}/evacuate");
        assert_eq!(world.call("PUT", &path, "").await.status, 200);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let now = shown(&world).await;
    assert_eq!(now.len(), 3, "{now:?}");
    assert!(now[2].starts_with("n4"), "it is in use: {now:?}");
    world.satellites.unused("n4", "Res");
    report(&world, "4000").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let now = shown(&world).await;
    assert_eq!(now[..2], ["n2 DISKFUL", "n3 DISKFUL"]);
    assert!(!now.iter().any(|row| row.starts_with("n4")), "{now:?}");
}

/// A diskless resource that is in use for so many minutes gets a disk, and the replica that is one too many goes.
#[tokio::test(start_paused = true)]
async fn a_diskless_resource_in_use_gets_a_disk() {
    let world = spawned(3).await;
    set(
        &world,
        "/v1/resource-definitions/res",
        "DrbdOptions/auto-diskful",
        "5",
    )
    .await;
    world.satellites.in_use("n3", "Res");
    report(&world, "3000").await;
    tokio::time::sleep(Duration::from_secs(240)).await;
    let before = shown(&world).await;
    assert_eq!(before, ["n1 DISKFUL", "n2 DISKFUL", "n3 TIE_BREAKER"]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let now = shown(&world).await;
    assert!(now.contains(&"n3 DISKFUL".to_owned()), "{now:?}");
    let diskful = now
        .iter()
        .filter(|row| row.ends_with("DISKFUL") && !row.ends_with("DISKLESS"));
    assert_eq!(diskful.count(), 2, "{now:?}");
}
