//! Devices of nodes, and pools that are made of them.

use serde_json::json;

use super::World;

const PATH: &str = "/v1/physical-storage";

/// Devices of the same size and kind are one group; those in use are left out, and have their reason when asked for.
#[tokio::test(start_paused = true)]
async fn free_devices_are_listed() {
    let world = World::with_nodes(2).await;
    let device = json!({"device": "/dev/sdb", "model": "DISK", "serial": "S1", "links": ["/dev/disk/by-id/ata-sdb"]});
    let group = json!([{"size": 10_737_418_240_u64, "rotational": true, "nodes": {"n1": [device], "n2": [device]}}]);
    assert_eq!(world.get(PATH).await, group);
    let of_node = world.get("/v1/physical-storage/n1").await;
    assert_eq!(of_node[0]["device"], "/dev/sdb");
    assert_eq!(of_node[0]["size"], 10_737_418_240_u64);
    assert_eq!(of_node.as_array().unwrap().len(), 1);
    let all = world.get("/v1/physical-storage/n1?all=true").await;
    assert_eq!(
        all[0]["reason"],
        "It has partitions, '/dev/sda1' for example."
    );
    let nosuch = "/v1/physical-storage/nosuch";
    world
        .check("GET", nosuch, "", 404, &["FAIL_NOT_FOUND_NODE"])
        .await;
}

/// A node that is away is not in the list, and cannot be asked.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_away_is_not_asked() {
    let world = World::with_nodes(1).await;
    world.satellites.away("n1");
    world.call("PUT", "/v1/nodes/n1/reconnect", "{}").await;
    assert_eq!(world.get(PATH).await, json!([]));
    let n1 = "/v1/physical-storage/n1";
    world
        .check("GET", n1, "", 500, &["FAIL_NOT_CONNECTED"])
        .await;
}

/// A pool is made, and a storage pool on it; what cannot be done is refused before the node is asked.
#[tokio::test(start_paused = true)]
async fn pools_are_made_of_devices() {
    let world = World::with_nodes(1).await;
    let n1 = "/v1/physical-storage/n1";
    let body = r#"{"provider_kind":"LVM_THIN","device_paths":["/dev/sdb"],"pool_name":"fast",
        "with_storage_pool":{"name":"fast","props":{"Aux/tier":"1"}},"lv_create_arguments":["-c","128k"]}"#;
    let answer = world.call("POST", n1, body).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    assert_eq!(
        answer.json()[0]["message"],
        "(n1) Pool 'linstor_fast/fast' created."
    );
    let pool = world.get("/v1/nodes/n1/storage-pools/fast").await;
    assert_eq!(
        pool["props"]["StorDriver/StorPoolName"],
        "linstor_fast/fast"
    );
    assert_eq!(pool["props"]["Aux/tier"], "1");
    // The storage pool is there already: no device is touched.
    world
        .check("POST", n1, body, 500, &["FAIL_EXISTS_STOR_POOL"])
        .await;
    for (body, status, name) in [
        (r#"{}"#, 400, "FAIL_INVLD_LAYER_KIND"),
        (
            r#"{"provider_kind":"X","device_paths":["/dev/sdb"]}"#,
            400,
            "FAIL_INVLD_LAYER_KIND",
        ),
        (
            r#"{"provider_kind":"LVM","device_paths":[]}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            r#"{"provider_kind":"SPDK","device_paths":["/dev/sdb"]}"#,
            500,
            "FAIL_INVLD_PROVIDER",
        ),
        (
            r#"{"provider_kind":"FILE","device_paths":["/dev/sdb"]}"#,
            500,
            "FAIL_INVLD_PROVIDER",
        ),
        (
            r#"{"provider_kind":"LVM","device_paths":["/dev/nosuch"]}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            r#"{"provider_kind":"LVM","device_paths":["/dev/sdb"],"raid_level":"RAID6"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            r#"{"provider_kind":"ZFS","device_paths":["/dev/sdb"],"raid_level":"RAID9"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            r#"{"provider_kind":"LVM","device_paths":["/dev/sdb"],"vdo_enable":true}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            r#"{"provider_kind":"LVM","device_paths":["/dev/sdb"],"sed":true}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            r#"{"provider_kind":"LVM","device_paths":["/dev/sdb"],"vg_create_arguments":["--config","x"]}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
    ] {
        world.check("POST", n1, body, status, &[name]).await;
    }
    let body = r#"{"provider_kind":"LVM","device_paths":["/dev/sdb"]}"#;
    let nosuch = "/v1/physical-storage/nosuch";
    world
        .check("POST", nosuch, body, 404, &["FAIL_NOT_FOUND_NODE"])
        .await;
}
