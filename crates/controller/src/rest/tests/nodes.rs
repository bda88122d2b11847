//! Nodes, their interfaces and pools, and the controller's own endpoints.

use linstor_api::code;

use super::{NODE, World};

/// A node is made once, shows what it is, changes and goes.
#[tokio::test(start_paused = true)]
async fn a_nodes_life() {
    let world = World::new().await;
    let answer = world.call("POST", "/v1/nodes", NODE).await;
    assert_eq!(
        answer.codes(),
        [code::MASK_NODE | code::MASK_CRT | code::CREATED]
    );
    let node = world.get("/v1/nodes/ALPHA").await;
    assert_eq!(node["name"], "alpha");
    assert_eq!(node["connection_status"], "ONLINE");
    assert_eq!(node["props"]["CurStltConnName"], "default");
    assert_eq!(node["net_interfaces"][0]["is_active"], true);
    assert_eq!(node["resource_layers"][0], "DRBD");
    let pools = world.get("/v1/nodes/alpha/storage-pools").await;
    assert_eq!(pools[0]["storage_pool_name"], "DfltDisklessStorPool");
    assert_eq!(pools[0]["free_capacity"], i64::MAX);
    world
        .check(
            "POST",
            "/v1/nodes",
            &NODE.replace("alpha", "Alpha"),
            500,
            &["FAIL_EXISTS_NODE"],
        )
        .await;
    let set = r#"{"override_props":{"Aux/site":"a"}}"#;
    world
        .check("PUT", "/v1/nodes/alpha", set, 200, &["CREATED", "MODIFIED"])
        .await;
    assert_eq!(
        world
            .get("/v1/nodes?props=Aux/site=a")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        world
            .get("/v1/nodes?props=Aux/site=b")
            .await
            .as_array()
            .unwrap()
            .len(),
        0
    );
    world
        .check("PUT", "/v1/nodes/alpha/reconnect", "", 200, &["MODIFIED"])
        .await;
    world
        .check("DELETE", "/v1/nodes/alpha", "", 200, &["DELETED"])
        .await;
    world
        .check("DELETE", "/v1/nodes/alpha", "", 200, &["WARN_NOT_FOUND"])
        .await;
    let answer = world.call("GET", "/v1/nodes/alpha", "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()),
        (404, vec!["FAIL_NOT_FOUND_NODE".into()])
    );
}

/// A node that does not answer is there all the same, with a warning; it can be lost, a connected one cannot.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_away() {
    let world = World::with_nodes(1).await;
    world.satellites.away("alpha");
    world
        .check(
            "POST",
            "/v1/nodes",
            NODE,
            201,
            &["CREATED", "WARN_NOT_CONNECTED"],
        )
        .await;
    let node = world.get("/v1/nodes/alpha").await;
    assert_eq!(node["connection_status"], "OFFLINE");
    assert_eq!(node["props"].as_object().unwrap().len(), 1);
    world
        .check(
            "DELETE",
            "/v1/nodes/n1/lost",
            "",
            500,
            &["FAIL_EXISTS_NODE_CONN"],
        )
        .await;
    world
        .check("DELETE", "/v1/nodes/alpha/lost", "", 200, &["DELETED"])
        .await;
    world
        .check(
            "DELETE",
            "/v1/nodes/alpha/lost",
            "",
            404,
            &["FAIL_NOT_FOUND_NODE"],
        )
        .await;
}

/// Interfaces come, change and go; the active one is replaced, and its loss is a warning.
#[tokio::test(start_paused = true)]
async fn interfaces() {
    let world = World::new().await;
    world.call("POST", "/v1/nodes", NODE).await;
    let path = "/v1/nodes/alpha/net-interfaces";
    let other = r#"{"name":"other","address":"10.0.0.101"}"#;
    world.check("POST", path, other, 201, &["CREATED"]).await;
    world
        .check("POST", path, other, 500, &["FAIL_EXISTS_NET_IF"])
        .await;
    let one = format!("{path}/other");
    world
        .check(
            "PUT",
            &one,
            r#"{"is_active":true}"#,
            500,
            &["FAIL_MISSING_STLT_CONN"],
        )
        .await;
    let usable = r#"{"name":"other","address":"fd00::1","satellite_port":3366,"satellite_encryption_type":"plain","is_active":true}"#;
    let answer = world.call("PUT", &one, usable).await;
    assert_eq!(
        answer.codes(),
        [code::MASK_NET_IF | code::MASK_MOD | code::MODIFIED]
    );
    let shown = world.get(&one).await;
    assert_eq!(
        (shown["address"].as_str(), shown["is_active"].as_bool()),
        (Some("fd00::1"), Some(true))
    );
    assert_eq!(world.get(path).await[0]["name"], "default");
    world.check("DELETE", &one, "", 200, &["DELETED"]).await;
    assert_eq!(
        world.get("/v1/nodes/alpha").await["props"]["CurStltConnName"],
        "default"
    );
    let names = ["DELETED", "WARN_NO_STLT_CONN_DEFINED"];
    world
        .check("DELETE", &format!("{path}/default"), "", 200, &names)
        .await;
    world
        .check("DELETE", &one, "", 200, &["WARN_NOT_FOUND"])
        .await;
    world
        .check("GET", &one, "", 404, &["FAIL_NOT_FOUND_NET_IF"])
        .await;
}

/// Pools show what they are; what a node cannot do is refused with its reason.
#[tokio::test(start_paused = true)]
async fn pools() {
    let world = World::with_nodes(1).await;
    let pool = world.get("/v1/nodes/n1/storage-pools/THIN").await;
    assert_eq!(pool["free_capacity"], 100 << 20);
    assert_eq!(pool["static_traits"]["Provisioning"], "Thin");
    assert_eq!(pool["free_space_mgr_name"], "n1;thin");
    let all = "/v1/nodes/n1/storage-pools";
    let thin = r#"{"storage_pool_name":"Thin","provider_kind":"lvm_thin","props":{"StorDriver/StorPoolName":"a/b"}}"#;
    world
        .check("POST", all, thin, 500, &["FAIL_EXISTS_STOR_POOL"])
        .await;
    let zfs = r#"{"storage_pool_name":"zfs","provider_kind":"ZFS","props":{"StorDriver/StorPoolName":"a/b"}}"#;
    world
        .check(
            "POST",
            all,
            zfs,
            500,
            &["FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER"],
        )
        .await;
    let nowhere = r#"{"storage_pool_name":"lvm","provider_kind":"LVM"}"#;
    world
        .check("POST", all, nowhere, 500, &["FAIL_MISSING_PROPS"])
        .await;
    let unknown = r#"{"storage_pool_name":"lvm","provider_kind":"FLOPPY"}"#;
    world
        .check("POST", all, unknown, 500, &["FAIL_INVLD_STOR_DRIVER"])
        .await;
    let answer = world
        .call("POST", "/v1/nodes/none/storage-pools", zfs)
        .await;
    let expected = code::MASK_STOR_POOL | code::MASK_CRT | code::FAIL_NOT_FOUND_NODE;
    assert_eq!(answer.codes(), [expected]);
}

/// A pool that is broken is there and says so; what is in use stays, and the defaults stay.
#[tokio::test(start_paused = true)]
async fn pools_come_and_go() {
    let world = World::with_nodes(1).await;
    let all = "/v1/nodes/n1/storage-pools";
    let broken = r#"{"storage_pool_name":"broken","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"vg"}}"#;
    let names = ["CREATED", "CREATED", "FAIL_STOR_POOL_CONFIGURATION_ERROR"];
    world.check("POST", all, broken, 500, &names).await;
    let shown = world
        .get("/v1/view/storage-pools?storage_pools=broken&nodes=N1")
        .await;
    assert_eq!(
        shown[0]["reports"][0]["message"],
        "(n1) no such volume group"
    );
    assert_eq!(shown[0].get("free_capacity"), None);
    assert_eq!(
        world.get("/v1/storage-pool-definitions/broken").await["storage_pool_name"],
        "broken"
    );
    let in_use = ["FAIL_IN_USE"];
    world
        .check(
            "DELETE",
            "/v1/storage-pool-definitions/thin",
            "",
            500,
            &in_use,
        )
        .await;
    world
        .check("DELETE", &format!("{all}/broken"), "", 200, &["DELETED"])
        .await;
    world
        .check(
            "DELETE",
            &format!("{all}/broken"),
            "",
            200,
            &["WARN_NOT_FOUND"],
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/storage-pool-definitions/broken",
            "",
            404,
            &["FAIL_NOT_FOUND_STOR_POOL_DFN"],
        )
        .await;
    let diskless = format!("{all}/DfltDisklessStorPool");
    world
        .check("DELETE", &diskless, "", 500, &["FAIL_INVLD_STOR_POOL_NAME"])
        .await;
}

/// Properties of the controller are set, read and removed, also with slashes in the path.
#[tokio::test(start_paused = true)]
async fn controller_properties() {
    let world = World::new().await;
    let set = r#"{"override_props":{"TcpPortAutoRange":"7000-7010,8000","Aux/a/b":"1"}}"#;
    world
        .check(
            "POST",
            "/v1/controller/properties",
            set,
            201,
            &["CREATED", "MODIFIED", "CREATED"],
        )
        .await;
    let props = world.get("/v1/controller/properties").await;
    assert_eq!(props["TcpPortAutoRange"], "7000-7010,8000");
    world
        .check(
            "DELETE",
            "/v1/controller/properties/Aux/a/b",
            "",
            200,
            &["DELETED"],
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/controller/properties/Aux%2Fa%2Fb",
            "",
            200,
            &["DELETED"],
        )
        .await;
    let bad = r#"{"override_props":{"NoSuchKey":"1"}}"#;
    world
        .check(
            "POST",
            "/v1/controller/properties",
            bad,
            500,
            &["FAIL_INVLD_PROP"],
        )
        .await;
    let version = world.get("/v1/controller/version").await;
    assert_eq!(version["rest_api_version"], "1.28.0");
    assert_eq!(world.call("GET", "/health", "").await.status, 200);
}

/// A key-value store lives as long as it has a key.
#[tokio::test(start_paused = true)]
async fn key_value_stores() {
    let world = World::new().await;
    let path = "/v1/key-value-store/gui";
    world
        .check("GET", path, "", 404, &["FAIL_NOT_FOUND_KVS"])
        .await;
    let set = r#"{"override_props":{"any key/x":"{}","b":"2"}}"#;
    world.check("PUT", path, set, 200, &["MODIFIED"]).await;
    assert_eq!(world.get(path).await[0]["props"]["any key/x"], "{}");
    assert_eq!(world.get("/v1/key-value-store").await[0]["name"], "gui");
    let remove = r#"{"delete_props":["b"],"delete_namespaces":["any key"]}"#;
    world.check("PUT", path, remove, 200, &["MODIFIED"]).await;
    assert_eq!(
        world.get("/v1/key-value-store").await,
        serde_json::json!([])
    );
    world
        .check("DELETE", path, "", 200, &["WARN_NOT_FOUND"])
        .await;
}
