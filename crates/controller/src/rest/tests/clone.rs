//! Clones of resource definitions: made, asked for again, failed, refused.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::story::spawned;

const CLONE: &str = "/v1/resource-definitions/Res/clone";
const STATUS: &str = "/v1/resource-definitions/res/clone/copy";
const COPY: &str = "/v1/resource-definitions/copy";

async fn clone(world: &World, body: &str, status: u16) -> Value {
    let answer = world.call("POST", CLONE, body).await;
    assert_eq!(answer.status, status, "{:#}", answer.json());
    answer.json()
}

async fn ends(world: &World, status: &str) {
    for _ in 0..100 {
        let now = world.get(STATUS).await;
        if now == json!({ "status": status }) {
            return;
        }
        assert_eq!(now, json!({"status": "CLONING"}));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("not {status}: {:#}", world.get("/v1/jobs").await);
}

async fn rows(world: &World) -> Vec<Value> {
    let rows = world.get("/v1/view/resources?resources=copy").await;
    rows.as_array().expect("rows").clone()
}

/// Resources on the nodes of the source, with its properties but for what the request changes; no snapshot is left, and the
/// source can be deleted.
#[tokio::test(start_paused = true)]
async fn a_definition_is_cloned() {
    let world = spawned(3).await;
    let props = r#"{"override_props":{"Aux/a":"1","Aux/b":"1"}}"#;
    world
        .call("PUT", "/v1/resource-definitions/Res", props)
        .await;
    let body = r#"{"name":"copy","external_name":"a copy","override_props":{"Aux/a":"2"},"delete_props":["Aux/b"]}"#;
    let started = clone(&world, body, 201).await;
    assert_eq!(
        started["location"],
        "/v1/resource-definitions/Res/clone/copy"
    );
    assert_eq!(started["clone_name"], "copy");
    // Asked for again by a client that did not hear the answer.
    let again = world.call("POST", CLONE, body).await;
    assert!(
        [201, 500].contains(&again.status.as_u16()),
        "{:#}",
        again.json()
    );
    ends(&world, "COMPLETE").await;
    assert_eq!(world.get("/v1/view/snapshots").await, json!([]));
    let copy = world.get(COPY).await;
    assert_eq!(copy["external_name"], "a copy");
    assert_eq!(copy["props"]["Aux/a"], "2");
    assert_eq!(copy["props"].get("Aux/b"), None);
    assert_eq!(copy["props"]["cloned-from"], "Res");
    assert_eq!(copy.get("flags"), None);
    assert_eq!(copy["resource_group_name"], "rg");
    let disks = rows(&world).await;
    let disks = disks
        .iter()
        .filter(|row| row["volumes"][0]["provider_kind"] == "LVM_THIN");
    let states: Vec<_> = disks
        .map(|row| row["volumes"][0]["state"]["disk_state"].clone())
        .collect();
    assert_eq!(states, ["UpToDate", "UpToDate"]);
    assert_eq!(world.get("/v1/jobs").await, json!([]));
    let answer = clone(&world, r#"{"name":"copy"}"#, 500).await;
    let message = answer["messages"][0]["message"].to_string();
    assert!(
        message.contains("already exists") || message.contains("exists already"),
        "{message}"
    );
    let answer = world
        .call("DELETE", "/v1/resource-definitions/Res", "")
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(rows(&world).await.len(), 3);
}

/// A node that fails at the snapshot: the clone has failed, with nothing but its definition left, and can be asked for
/// again.
#[tokio::test(start_paused = true)]
async fn a_clone_that_fails() {
    let world = spawned(2).await;
    world.satellites.failing("n1");
    clone(&world, r#"{"name":"copy"}"#, 201).await;
    ends(&world, "FAILED").await;
    assert_eq!(world.get(COPY).await["flags"], json!(["FAILED"]));
    assert_eq!(rows(&world).await, Vec::<Value>::new());
    let path = format!("{COPY}/resources/n1/make-available");
    let busy = ["FAIL_RSC_BUSY"];
    world.check("POST", &path, "{}", 500, &busy).await;
    world.satellites.working("n1");
    tokio::time::sleep(Duration::from_secs(70)).await;
    let body = r#"{"name":"copy"}"#;
    clone(&world, body, 201).await;
    ends(&world, "COMPLETE").await;
    assert_eq!(rows(&world).await.len(), 2);
    assert_eq!(world.get("/v1/view/snapshots").await, json!([]));
}

/// Nobody is told of the clone before there is a snapshot: one that is deleted or whose time is up leaves nothing.
#[tokio::test(start_paused = true)]
async fn a_clone_that_is_deleted() {
    let world = spawned(2).await;
    world.satellites.mute("n2");
    clone(&world, r#"{"name":"copy"}"#, 201).await;
    assert_eq!(world.get(STATUS).await, json!({"status": "CLONING"}));
    assert_eq!(world.get(COPY).await["flags"], json!(["CLONING"]));
    world
        .check(
            "DELETE",
            "/v1/resource-definitions/Res",
            "",
            500,
            &["FAIL_EXISTS_SNAPSHOT_DFN"],
        )
        .await;
    let answer = world.call("DELETE", COPY, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.get("/v1/jobs").await, json!([]));
    assert_eq!(rows(&world).await, Vec::<Value>::new());
}

/// A thick volume on the first node.
async fn thick(world: &World, size_kib: u64) {
    let pool = r#"{"storage_pool_name":"thick","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"vg"}}"#;
    world.call("POST", "/v1/nodes/n1/storage-pools", pool).await;
    let body = r#"{"resource_definition":{"name":"thick"}}"#;
    world.call("POST", "/v1/resource-definitions", body).await;
    let volume = format!(r#"{{"volume_definition":{{"size_kib":{size_kib}}}}}"#);
    let volumes = "/v1/resource-definitions/thick/volume-definitions";
    world.call("POST", volumes, &volume).await;
    let resource = r#"{"resource":{"props":{"StorPoolName":"thick"}}}"#;
    let resources = "/v1/resource-definitions/thick/resources/n1";
    world.call("POST", resources, resource).await;
}

/// Thick volumes are cloned, though no snapshot of them can be asked for.
#[tokio::test(start_paused = true)]
async fn thick_volumes_are_copied() {
    let world = spawned(2).await;
    thick(&world, 8192).await;
    let snapshots = "/v1/resource-definitions/thick/snapshots";
    let refused = ["FAIL_SNAPSHOTS_NOT_SUPPORTED"];
    world
        .check("POST", snapshots, r#"{"name":"snap"}"#, 500, &refused)
        .await;
    let path = "/v1/resource-definitions/thick/clone";
    let answer = world.call("POST", path, r#"{"name":"copy"}"#).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let status = format!("{path}/copy");
    for _ in 0..100 {
        if world.get(&status).await == json!({"status": "COMPLETE"}) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.get(&status).await, json!({"status": "COMPLETE"}));
    let rows = rows(&world).await;
    assert_eq!(rows[0]["volumes"][0]["storage_pool_name"], "thick");
    assert_eq!(world.get("/v1/view/snapshots").await, json!([]));
}

/// What stands in the way is named, and nothing is made.
#[tokio::test(start_paused = true)]
async fn refusals() {
    let world = spawned(2).await;
    thick(&world, 60 << 20).await;
    let of_thick = "/v1/resource-definitions/thick/clone";
    let res = CLONE;
    for (path, body, said) in [
        (of_thick, r#"{"name":"copy"}"#, "Not enough free space"),
        (
            res,
            r#"{"name":"copy","layer_list":["STORAGE"]}"#,
            "other layers",
        ),
        (
            res,
            r#"{"name":"copy","volume_passphrases":["a"]}"#,
            "master key",
        ),
        (
            res,
            r#"{"name":"copy","override_props":{"DrbdOptions/ExactSize":"true"}}"#,
            "cannot be set on a clone",
        ),
        (
            res,
            r#"{"name":"copy","override_props":{"nonsense":"1"}}"#,
            "nonsense",
        ),
    ] {
        let answer = world.call("POST", path, body).await;
        assert_eq!(answer.status, 500, "{:#}", answer.json());
        let text = answer.json().to_string();
        assert!(text.contains(said), "{body}: {text}");
    }
    let answer = world.call("GET", COPY, "").await;
    assert_eq!(answer.status, 404);
    assert_eq!(world.get("/v1/jobs").await, json!([]));
}
