//! Snapshots: taken on all nodes of a resource at one moment, listed, changed and deleted.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::story::spawned;

const ALL: &str = "/v1/resource-definitions/Res/snapshots";
const ONE: &str = "/v1/resource-definitions/res/snapshots/s1";
const MULTI: &str = "/v1/actions/snapshot/multi";

/// The nodes of the resource, those with a disk first.
async fn nodes(world: &World) -> Vec<String> {
    let rows = world.get("/v1/resource-definitions/Res/resources").await;
    let rows = rows.as_array().unwrap().iter();
    let mut nodes: Vec<(bool, String)> = rows
        .map(|row| {
            let name = row["node_name"].as_str().unwrap().to_owned();
            (row["flags"].to_string().contains("DISKLESS"), name)
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, name)| name).collect()
}

async fn messages(world: &World, method: &str, path: &str, body: &str, status: u16) -> Vec<String> {
    let answer = world.call(method, path, body).await;
    assert_eq!(answer.status, status, "{:#}", answer.json());
    let entries = answer.json();
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|entry| entry["message"].as_str().unwrap().to_owned())
        .collect()
}

/// I/O is suspended on all nodes, the diskless one too, the snapshot is taken where there is a disk, I/O is resumed; and
/// the snapshot has everything that clients read.
#[tokio::test(start_paused = true)]
async fn a_snapshots_life() {
    let world = spawned(3).await;
    let nodes = nodes(&world).await;
    let body = r#"{"name":"s1","snapshot_definition_props":{"Aux/why":"test"}}"#;
    let answer = world.call("POST", ALL, body).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let entries = answer.json();
    let text = entries.to_string();
    for node in &nodes {
        for part in [
            "Suspended IO of '[Res]' on",
            "Took snapshot of '[Res]' on",
            "Resumed IO of '[Res]' on",
        ] {
            assert!(text.contains(&format!("{part} '{node}'")), "{entries:#}");
        }
    }
    assert!(text.contains("New snapshot 's1' of resource 'Res' registered."));
    assert!(text.contains(&format!(
        "({}) Snapshot [LVM THIN] with name 's1'",
        nodes[0]
    )));
    assert_eq!(entries[0]["obj_refs"]["Snapshot"], "s1");
    let row = world.get(ONE).await;
    assert_eq!(row["flags"], json!(["SUCCESSFUL"]));
    assert_eq!(row["resource_name"], "Res");
    let mut with_disk = nodes[..2].to_vec();
    with_disk.sort();
    assert_eq!(row["nodes"], json!(with_disk));
    assert_eq!(row["snapshot_definition_props"]["Aux/why"], "test");
    assert_eq!(row["snapshot_definition_props"]["SequenceNumber"], "1");
    assert_eq!(row["props"]["SequenceNumber"], "1");
    assert_eq!(row["volume_definitions"][0]["size_kib"], 1_048_576);
    let times: Vec<&Value> = row["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["create_timestamp"])
        .collect();
    assert!(times[0].is_i64() && times[0] == times[1], "{times:?}");
    assert_eq!(world.get("/v1/jobs").await, json!([]));
    // Listed, with other names and nodes too.
    assert_eq!(world.get(ALL).await[0]["name"], "s1");
    let view = format!("/v1/view/snapshots?resources=RES&nodes={}", nodes[0]);
    assert_eq!(world.get(&view).await[0]["name"], "s1");
    let view = format!("/v1/view/snapshots?nodes={}", nodes[2]);
    assert_eq!(world.get(&view).await, json!([]));
    // Names compare without case.
    let again = r#"{"name":"S1"}"#;
    world
        .check("POST", ALL, again, 500, &["FAIL_EXISTS_SNAPSHOT_DFN"])
        .await;
    // The definition is not deleted while it has snapshots.
    let definition = "/v1/resource-definitions/Res";
    world
        .check("DELETE", definition, "", 500, &["FAIL_EXISTS_SNAPSHOT_DFN"])
        .await;
    let said = messages(&world, "DELETE", ONE, "", 200).await;
    assert_eq!(
        said.last().unwrap(),
        "Snapshot 's1' of resource 'res' deleted."
    );
    assert_eq!(said.len(), 8, "{said:#?}");
    assert_eq!(world.get(ALL).await, json!([]));
    world
        .check("DELETE", ONE, "", 200, &["WARN_NOT_FOUND"])
        .await;
    let answer = world.call("DELETE", definition, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
}

/// Properties of a snapshot can be set and removed, if they are free.
#[tokio::test(start_paused = true)]
async fn properties_of_a_snapshot() {
    let world = spawned(2).await;
    messages(&world, "POST", ALL, r#"{"name":"s1"}"#, 201).await;
    world
        .check(
            "PUT",
            ONE,
            r#"{"override_props":{"Aux/k":"v"}}"#,
            200,
            &["CREATED"],
        )
        .await;
    assert_eq!(world.get(ONE).await["props"]["Aux/k"], "v");
    world
        .check(
            "PUT",
            ONE,
            r#"{"delete_props":["Aux/k"]}"#,
            200,
            &["DELETED"],
        )
        .await;
    let bad = r#"{"override_props":{"SequenceNumber":"7"}}"#;
    world
        .check("PUT", ONE, bad, 500, &["FAIL_INVLD_PROP"])
        .await;
    let missing = "/v1/resource-definitions/Res/snapshots/none";
    let change = r#"{"override_props":{"Aux/k":"v"}}"#;
    world
        .check(
            "PUT",
            missing,
            change,
            404,
            &["FAIL_NOT_FOUND_SNAPSHOT_DFN"],
        )
        .await;
    let answer = world.call("GET", missing, "").await;
    assert_eq!(answer.names(), ["FAIL_NOT_FOUND_SNAPSHOT"]);
}

/// On some nodes only, and removed from some nodes only; nodes that do not have it are named.
#[tokio::test(start_paused = true)]
async fn some_nodes() {
    let world = spawned(3).await;
    let nodes = nodes(&world).await;
    let body = format!(r#"{{"name":"s1","nodes":["{}"]}}"#, nodes[2]);
    world
        .check("POST", ALL, &body, 500, &["FAIL_SNAPSHOTS_NOT_SUPPORTED"])
        .await;
    let body = r#"{"name":"s1","nodes":["none"]}"#;
    world
        .check("POST", ALL, body, 404, &["FAIL_NOT_FOUND_NODE"])
        .await;
    messages(&world, "POST", ALL, r#"{"name":"s1"}"#, 201).await;
    let from = format!("{ONE}?nodes={}&nodes=none", nodes[0].to_uppercase());
    let said = messages(&world, "DELETE", &from, "", 200).await;
    let said = said.join("\n");
    assert!(
        said.contains("was not found on given nodes: none"),
        "{said}"
    );
    assert!(
        said.contains(&format!("Deleted snapshot 's1' of 'res' on '{}'", nodes[0])),
        "{said}"
    );
    assert!(
        said.contains(&format!("Updated snapshot 's1' of 'res' on '{}'", nodes[1])),
        "{said}"
    );
    assert_eq!(world.get(ONE).await["nodes"], json!([nodes[1]]));
    let body = format!(r#"{{"name":"s2","nodes":["{}"]}}"#, nodes[1]);
    messages(&world, "POST", ALL, &body, 201).await;
    let number = &world.get(ALL).await[1]["snapshot_definition_props"]["SequenceNumber"];
    assert_eq!(number, "2");
}

/// Several at the same moment: all of them or none.
#[tokio::test(start_paused = true)]
async fn several_at_one_moment() {
    let world = spawned(2).await;
    let body = r#"{"resource_definition_name":"other","volume_sizes":[1048576]}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", body)
        .await;
    assert_eq!(answer.status, 201);
    let both = r#"{"snapshots":[{"name":"m1","resource_name":"Res"},{"name":"m1","resource_name":"other"}]}"#;
    let said = messages(&world, "POST", MULTI, both, 201).await;
    assert!(
        said.contains(&"Suspended IO of '[Res, other]' on 'n1' for snapshot".to_owned()),
        "{said:#?}"
    );
    let view = world.get("/v1/view/snapshots").await;
    let times: Vec<String> = view
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["snapshots"][0]["create_timestamp"].to_string())
        .collect();
    assert!(times.len() == 2 && times[0] == times[1], "{times:?}");
    // One of them exists: none is taken.
    let half = r#"{"snapshots":[{"name":"m2","resource_name":"other"},{"name":"m1","resource_name":"Res"}]}"#;
    world
        .check("POST", MULTI, half, 500, &["FAIL_EXISTS_SNAPSHOT_DFN"])
        .await;
    let twice = r#"{"snapshots":[{"name":"m3","resource_name":"Res"},{"name":"m3","resource_name":"Res"}]}"#;
    world
        .check("POST", MULTI, twice, 500, &["FAIL_EXISTS_SNAPSHOT_DFN"])
        .await;
    let none = r#"{"snapshots":[{"name":"m4","resource_name":"none"},{"name":"m4","resource_name":"Res"}]}"#;
    world
        .check("POST", MULTI, none, 404, &["FAIL_NOT_FOUND_RSC_DFN"])
        .await;
    world
        .check("POST", MULTI, r#"{"snapshots":[]}"#, 201, &[])
        .await;
    assert_eq!(
        world
            .get("/v1/view/snapshots")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// A node that fails at its part: the snapshot has failed with the reason, I/O is resumed, and it can be deleted.
#[tokio::test(start_paused = true)]
async fn a_node_that_fails() {
    let world = spawned(2).await;
    world.satellites.failing("n1");
    let answer = world.call("POST", ALL, r#"{"name":"s1"}"#).await;
    assert_eq!(answer.status, 500, "{:#}", answer.json());
    assert!(answer.json().to_string().contains("(n1) lvcreate failed"));
    let row = world.get(ONE).await;
    assert_eq!(row["flags"], json!(["FAILED_DEPLOYMENT"]));
    assert_eq!(world.get("/v1/jobs").await, json!([]), "nothing goes on");
    world.satellites.working("n1");
    let said = messages(&world, "DELETE", ONE, "", 200).await;
    assert_eq!(
        said.last().unwrap(),
        "Snapshot 's1' of resource 'res' deleted."
    );
}

/// A node that cannot suspend I/O, and one that never answers: the snapshot has failed within the time of a lease.
#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_suspend() {
    let world = spawned(2).await;
    world.satellites.mute("n2");
    let answer = world.call("POST", ALL, r#"{"name":"s1"}"#).await;
    assert_eq!(answer.status, 500, "{:#}", answer.json());
    assert!(answer.json().to_string().contains("not taken within 30 s"));
    assert_eq!(world.get(ONE).await["flags"], json!(["FAILED_DEPLOYMENT"]));
}

/// A controller that ends while a snapshot is taken: the next one notes that it failed.
#[tokio::test(start_paused = true)]
async fn a_restart_ends_it() {
    let mut world = spawned(2).await;
    world.satellites.mute("n2");
    let call = world.call("POST", ALL, r#"{"name":"s1"}"#);
    let unanswered = tokio::time::timeout(Duration::from_secs(2), call).await;
    assert!(unanswered.is_err());
    assert_eq!(world.get(ONE).await.get("flags"), None, "incomplete");
    world.restart().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let row = world.get(ONE).await;
    assert_eq!(row["flags"], json!(["FAILED_DEPLOYMENT"]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.get("/v1/jobs").await, json!([]));
}

/// What stands in the way is named, and nothing is changed.
#[tokio::test(start_paused = true)]
async fn refusals() {
    let world = spawned(2).await;
    let body = r#"{"resource_definition":{"name":"empty"}}"#;
    world.call("POST", "/v1/resource-definitions", body).await;
    let empty = "/v1/resource-definitions/empty/snapshots";
    let body = r#"{"name":"s1"}"#;
    world
        .check("POST", empty, body, 500, &["FAIL_NOT_CONNECTED"])
        .await;
    // Thick volumes have no snapshots.
    let pool = r#"{"storage_pool_name":"thick","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"vg"}}"#;
    world.call("POST", "/v1/nodes/n1/storage-pools", pool).await;
    let volume = r#"{"volume_definition":{"size_kib":8192}}"#;
    let volumes = "/v1/resource-definitions/empty/volume-definitions";
    world.call("POST", volumes, volume).await;
    let resource = r#"{"resource":{"props":{"StorPoolName":"thick"}}}"#;
    let answer = world
        .call(
            "POST",
            "/v1/resource-definitions/empty/resources/n1",
            resource,
        )
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    world
        .check("POST", empty, body, 500, &["FAIL_SNAPSHOTS_NOT_SUPPORTED"])
        .await;
    // A pool above its mark takes none.
    let protect = r#"{"override_props":{"Watermark/Snapshot":"10"}}"#;
    world.satellites.filled("n1", 50);
    world.call("PUT", "/v1/nodes/n1/reconnect", "{}").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world
        .call("POST", "/v1/controller/properties", protect)
        .await;
    world
        .check("POST", ALL, body, 500, &["FAIL_NOT_ENOUGH_FREE_SPACE"])
        .await;
    assert_eq!(world.get("/v1/view/snapshots").await, json!([]));
}

/// A storage pool with a snapshot is not deleted; a node is, with its part of the snapshot.
#[tokio::test(start_paused = true)]
async fn what_has_a_snapshot() {
    let world = spawned(2).await;
    messages(&world, "POST", ALL, r#"{"name":"s1"}"#, 201).await;
    let resource = "/v1/resource-definitions/Res/resources/n1";
    let answer = world.call("DELETE", resource, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let pool = "/v1/nodes/n1/storage-pools/thin";
    world.check("DELETE", pool, "", 500, &["FAIL_IN_USE"]).await;
    let answer = world.call("DELETE", "/v1/nodes/n1", "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(world.get(ONE).await["nodes"], json!(["n2"]));
}

/// Automatic snapshots: at the interval, with numbers that go on after a restart, no more than are retained, none made up
/// for, and none while a node is away.
#[tokio::test(start_paused = true)]
async fn automatic_snapshots() {
    let mut world = spawned(2).await;
    let set = |key: &str, value: &str| {
        format!(r#"{{"override_props":{{"AutoSnapshot/{key}":"{value}"}}}}"#)
    };
    let definition = "/v1/resource-definitions/Res";
    world.call("PUT", definition, &set("Keep", "2")).await;
    world.call("PUT", definition, &set("RunEvery", "15")).await;
    let names = async |world: &World| -> Vec<String> {
        let rows = world.get(ALL).await;
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(names(&world).await, ["autoSnap00000"], "at once");
    assert_eq!(
        world.get(ALL).await[0]["flags"],
        json!(["SUCCESSFUL", "AUTO_SNAPSHOT"])
    );
    tokio::time::sleep(Duration::from_secs(31 * 60)).await;
    assert_eq!(names(&world).await, ["autoSnap00001", "autoSnap00002"]);
    world.restart().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        names(&world).await.len(),
        2,
        "not before the interval is over"
    );
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    assert_eq!(names(&world).await, ["autoSnap00002", "autoSnap00003"]);
    let next = world.get(definition).await["props"]["AutoSnapshot/NextAutoId"].clone();
    assert_eq!(next, "4");
    world.satellites.away("n2");
    world.call("PUT", "/v1/nodes/n2/reconnect", "{}").await;
    tokio::time::sleep(Duration::from_secs(31 * 60)).await;
    assert_eq!(
        names(&world).await,
        ["autoSnap00002", "autoSnap00003"],
        "none while a node is away"
    );
}
