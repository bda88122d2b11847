//! Resources made of snapshots: the definitions, the nodes, the pools, and what stands in the way.

use serde_json::{Value, json};

use super::World;
use super::story::spawned;

const SNAPSHOTS: &str = "/v1/resource-definitions/Res/snapshots";
const VOLUMES: &str = "/v1/resource-definitions/Res/snapshot-restore-volume-definition/s1";
const RESOURCES: &str = "/v1/resource-definitions/Res/snapshot-restore-resource/s1";

/// Nodes with a resource `Res` on the first two of them, and a snapshot `s1` of it.
async fn with_snapshot(nodes: u8) -> World {
    let world = spawned(nodes).await;
    let props = r#"{"override_props":{"Aux/of":"source"}}"#;
    world
        .call("PUT", "/v1/resource-definitions/Res", props)
        .await;
    let answer = world.call("POST", SNAPSHOTS, r#"{"name":"s1"}"#).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    world
}

async fn define(world: &World, name: &str) {
    let body = format!(r#"{{"resource_definition":{{"name":"{name}"}}}}"#);
    world
        .check("POST", "/v1/resource-definitions", &body, 201, &["CREATED"])
        .await;
}

/// Names of the entries of a restore, which has to succeed.
async fn restored(world: &World, path: &str, body: &str) -> Vec<Value> {
    let answer = world.call("POST", path, body).await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    answer.json().as_array().expect("entries").clone()
}

async fn rows(world: &World, name: &str) -> Vec<Value> {
    let view = format!("/v1/view/resources?resources={name}");
    world.get(&view).await.as_array().expect("rows").clone()
}

/// Definition, volume definitions, resources: those of the snapshot, with new identities; then the snapshot can be deleted,
/// and another replica added.
#[tokio::test(start_paused = true)]
async fn a_resource_is_restored() {
    let world = with_snapshot(3).await;
    define(&world, "new").await;
    let to = r#"{"to_resource":"new"}"#;
    let entries = restored(&world, VOLUMES, to).await;
    assert_eq!(entries.len(), 1, "{entries:#?}");
    let volumes = world
        .get("/v1/resource-definitions/new/volume-definitions")
        .await;
    assert_eq!(volumes[0]["size_kib"], 1_048_576);
    let entries = restored(&world, RESOURCES, to).await;
    let text = json!(entries).to_string();
    assert!(text.contains("Resource 'new' restored from resource 'Res', snapshot 's1'."));
    assert!(text.contains("Created resource 'new' on 'n1'"), "{text}");
    let (old, new) = (rows(&world, "Res").await, rows(&world, "new").await);
    let diskful = |rows: &[Value]| -> Vec<Value> {
        let rows = rows
            .iter()
            .filter(|row| row["layer_object"]["drbd"]["flags"] != json!(["DISKLESS"]));
        rows.filter(|row| row["volumes"][0]["provider_kind"] == "LVM_THIN")
            .cloned()
            .collect()
    };
    let (old, new) = (diskful(&old), diskful(&new));
    assert_eq!((old.len(), new.len()), (2, 2), "{new:#?}");
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(old["node_name"], new["node_name"]);
        assert_ne!(old["uuid"], new["uuid"]);
        let drbd = |row: &Value, member: &str| row["layer_object"]["drbd"][member].clone();
        assert_eq!(drbd(old, "node_id"), drbd(new, "node_id"));
        assert_ne!(drbd(old, "tcp_ports"), drbd(new, "tcp_ports"));
        assert_eq!(new["volumes"][0]["storage_pool_name"], "thin");
        assert_eq!(new["volumes"][0]["state"]["disk_state"], "UpToDate");
        assert!(!new["flags"].to_string().contains("RESTORE"), "{new:#}");
    }
    let definition = world.get("/v1/resource-definitions/new").await;
    assert_eq!(definition["props"]["Aux/of"], "source");
    let gi = async |world: &World, name: &str| {
        let path = format!("/v1/resource-definitions/{name}/volume-definitions");
        world.get(&path).await[0]["props"]["DrbdCurrentGi"].clone()
    };
    assert_ne!(gi(&world, "Res").await, gi(&world, "new").await);
    let one = format!("{SNAPSHOTS}/s1");
    let answer = world.call("DELETE", &one, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
}

/// What is missing, exists, or does not fit is named, and nothing is changed.
#[tokio::test(start_paused = true)]
async fn refusals() {
    let world = with_snapshot(3).await;
    let check = async |path: &str, body: &str, status: u16, name: &str| {
        world.check("POST", path, body, status, &[name]).await;
    };
    let to = r#"{"to_resource":"new"}"#;
    check(VOLUMES, to, 404, "FAIL_NOT_FOUND_RSC_DFN").await;
    check(RESOURCES, to, 404, "FAIL_NOT_FOUND_RSC_DFN").await;
    define(&world, "new").await;
    let none = RESOURCES.replace("s1", "none");
    check(&none, to, 404, "FAIL_NOT_FOUND_SNAPSHOT_DFN").await;
    check(
        RESOURCES,
        r#"{"to_resource":"Res"}"#,
        500,
        "FAIL_EXISTS_RSC",
    )
    .await;
    check(
        VOLUMES,
        r#"{"to_resource":"Res"}"#,
        500,
        "FAIL_EXISTS_VLM_DFN",
    )
    .await;
    let volumes = "/v1/resource-definitions/new/volume-definitions";
    let smaller = r#"{"volume_definition":{"size_kib":1048572}}"#;
    world.call("POST", volumes, smaller).await;
    check(RESOURCES, to, 500, "FAIL_INVLD_VLM_SIZE").await;
    world.call("DELETE", &format!("{volumes}/0"), "").await;
    let other = r#"{"volume_definition":{"size_kib":1048576,"volume_number":3}}"#;
    world.call("POST", volumes, other).await;
    check(RESOURCES, to, 404, "FAIL_NOT_FOUND_SNAPSHOT_VLM_DFN").await;
    world.call("DELETE", &format!("{volumes}/3"), "").await;
    restored(&world, VOLUMES, to).await;
    let on = |node: &str| format!(r#"{{"to_resource":"new","nodes":["{node}"]}}"#);
    check(RESOURCES, &on("none"), 404, "FAIL_NOT_FOUND_NODE").await;
    check(RESOURCES, &on("n3"), 404, "FAIL_NOT_FOUND_SNAPSHOT").await;
    // Other layers have their data elsewhere.
    let body = r#"{"resource_definition":{"name":"plain","layer_data":[{"type":"STORAGE"}]}}"#;
    world.call("POST", "/v1/resource-definitions", body).await;
    let plain = r#"{"to_resource":"plain"}"#;
    restored(&world, VOLUMES, plain).await;
    check(RESOURCES, plain, 500, "FAIL_INVLD_LAYER_STACK").await;
    assert_eq!(rows(&world, "new").await, Vec::<Value>::new());
    assert_eq!(rows(&world, "plain").await, Vec::<Value>::new());
    let definition = world.get("/v1/resource-definitions/new").await;
    assert_eq!(definition["props"].get("Aux/of"), None);
}

/// On one node, in another pool of the same storage; a pool of other storage is refused, one that is not there is not used.
#[tokio::test(start_paused = true)]
async fn nodes_and_pools() {
    let world = with_snapshot(3).await;
    for (name, kind, place) in [
        ("same", "LVM_THIN", "vg/thin"),
        ("other", "LVM_THIN", "vg/other"),
        ("thick", "LVM", "vg"),
    ] {
        let pool = format!(
            r#"{{"storage_pool_name":"{name}","provider_kind":"{kind}","props":{{"StorDriver/StorPoolName":"{place}"}}}}"#
        );
        let answer = world
            .call("POST", "/v1/nodes/n1/storage-pools", &pool)
            .await;
        assert_eq!(answer.status, 201, "{:#}", answer.json());
    }
    for (pool, used) in [
        ("same", Some("same")),
        ("none", Some("thin")),
        ("other", None),
        ("thick", None),
    ] {
        let name = format!("to-{pool}");
        define(&world, &name).await;
        let to = format!(r#"{{"to_resource":"{name}"}}"#);
        restored(&world, VOLUMES, &to).await;
        let body = format!(
            r#"{{"to_resource":"{name}","nodes":["N1"],"stor_pool_rename":{{"THIN":"{pool}"}}}}"#
        );
        let Some(used) = used else {
            world
                .check("POST", RESOURCES, &body, 500, &["FAIL_INVLD_STOR_DRIVER"])
                .await;
            assert_eq!(rows(&world, &name).await, Vec::<Value>::new());
            continue;
        };
        let entries = json!(restored(&world, RESOURCES, &body).await).to_string();
        assert_eq!(
            entries.contains("'none' does not exist"),
            pool == "none",
            "{entries}"
        );
        let rows = rows(&world, &name).await;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        assert_eq!(rows[0]["node_name"], "n1");
        assert_eq!(rows[0]["volumes"][0]["storage_pool_name"], used);
    }
}

/// A node that is away gets its part when it comes back; until then its part of the snapshot is not deleted.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_away() {
    let world = with_snapshot(2).await;
    define(&world, "new").await;
    let to = r#"{"to_resource":"new"}"#;
    restored(&world, VOLUMES, to).await;
    world.satellites.away("n1");
    world.call("PUT", "/v1/nodes/n1/reconnect", "{}").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let entries = restored(&world, RESOURCES, to).await;
    let text = json!(entries).to_string();
    assert!(
        text.contains("No active connection to satellite 'n1'"),
        "{text}"
    );
    let flags = |rows: &[Value]| -> Vec<bool> {
        let rows = rows.iter();
        rows.map(|row| row["flags"].to_string().contains("RESTORE_FROM_SNAPSHOT"))
            .collect()
    };
    assert_eq!(flags(&rows(&world, "new").await), [true, false]);
    let one = format!("{SNAPSHOTS}/s1");
    world.check("DELETE", &one, "", 500, &["FAIL_IN_USE"]).await;
    let answer = world.call("DELETE", &format!("{one}?nodes=n2"), "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    world.satellites.back("n1");
    world.call("PUT", "/v1/nodes/n1/reconnect", "{}").await;
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert_eq!(flags(&rows(&world, "new").await), [false, false]);
    let answer = world.call("DELETE", &one, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
}

/// One that failed, and one that is being deleted, is not restored.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_none() {
    let world = with_snapshot(2).await;
    define(&world, "new").await;
    let to = r#"{"to_resource":"new"}"#;
    restored(&world, VOLUMES, to).await;
    world.satellites.failing("n1");
    let answer = world.call("POST", SNAPSHOTS, r#"{"name":"s2"}"#).await;
    assert_eq!(answer.status, 500);
    let failed = RESOURCES.replace("s1", "s2");
    world
        .check("POST", &failed, to, 500, &["FAIL_UNKNOWN_ERROR"])
        .await;
    // Its deletion fails, too, and goes on.
    world.call("DELETE", &format!("{SNAPSHOTS}/s1"), "").await;
    world
        .check("POST", RESOURCES, to, 500, &["FAIL_RSC_BUSY"])
        .await;
    assert_eq!(rows(&world, "new").await, Vec::<Value>::new());
}

/// Without volume definitions the resources are empty, as LINSTOR makes them.
#[tokio::test(start_paused = true)]
async fn without_volume_definitions() {
    let world = with_snapshot(2).await;
    define(&world, "empty").await;
    let entries = restored(&world, RESOURCES, r#"{"to_resource":"empty"}"#).await;
    assert!(
        json!(entries)
            .to_string()
            .contains("No volumes to restore.")
    );
    let all = "/v1/resource-definitions/empty/resources";
    let rows = world.get(all).await;
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{entries:#?}");
    assert_eq!(rows[0].get("volumes"), None);
}
