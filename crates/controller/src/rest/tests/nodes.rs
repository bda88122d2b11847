//! Nodes, their interfaces and pools, and the controller's own endpoints.

use linstor_api::code;

use serde_json::{Value, json};

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
        .check(
            "PUT",
            "/v1/nodes/alpha",
            set,
            200,
            &["CREATED", "MODIFIED", "MODIFIED"],
        )
        .await;
    let again = ["CREATED", "MODIFIED"];
    world
        .check("PUT", "/v1/nodes/alpha", set, 200, &again)
        .await;
    let nic = r#"{"override_props":{"PrefNic":"nosuch"}}"#;
    world
        .check("PUT", "/v1/nodes/alpha", nic, 500, &["FAIL_INVLD_PROP"])
        .await;
    let kind = r#"{"node_type":"Controller"}"#;
    world
        .check(
            "PUT",
            "/v1/nodes/alpha",
            kind,
            500,
            &["FAIL_INVLD_STOR_DRIVER"],
        )
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
        .check(
            "PUT",
            "/v1/nodes/alpha/reconnect",
            "",
            200,
            &["0x23c0000", "0x23c0009"],
        )
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
    let pool = r#"{"storage_pool_name":"away","provider_kind":"DISKLESS"}"#;
    let registered = ["CREATED", "WARN_NOT_CONNECTED"];
    world
        .check(
            "POST",
            "/v1/nodes/alpha/storage-pools",
            pool,
            201,
            &registered,
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/nodes/alpha/storage-pools/away",
            "",
            200,
            &["DELETED"],
        )
        .await;
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
            200,
            &["WARN_NOT_FOUND"],
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

/// Whoever deletes the interface that DRBD uses, or mixes IPv4 and IPv6, is warned with the resources.
#[tokio::test(start_paused = true)]
async fn interfaces_that_drbd_uses() {
    let world = super::story::spawned(2).await;
    let path = "/v1/nodes/n1/net-interfaces";
    let fast = r#"{"name":"fast","address":"192.168.0.1"}"#;
    world.check("POST", path, fast, 201, &["CREATED"]).await;
    let answer = world.call("DELETE", &format!("{path}/fast"), "").await;
    assert_eq!(answer.names(), ["DELETED"], "nothing uses it");
    world.check("POST", path, fast, 201, &["CREATED"]).await;
    let nic = r#"{"override_props":{"PrefNic":"fast"}}"#;
    assert_eq!(world.call("PUT", "/v1/nodes/n1", nic).await.status, 200);
    let answer = world.call("DELETE", &format!("{path}/fast"), "").await;
    let entries = answer.json();
    let message = entries[1]["message"].as_str().unwrap_or_default();
    assert_eq!(
        message, "DRBD connected Res through this interface.",
        "{entries:#}"
    );

    let six = r#"{"name":"fast","address":"fd00::1"}"#;
    let answer = world.call("POST", path, six).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        text.contains("some have IPv4, some IPv6"),
        "PrefNic names it: {text}"
    );
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
        .check(
            "POST",
            all,
            nowhere,
            201,
            &["CREATED", "MODIFIED", "MODIFIED"],
        )
        .await;
    let unknown = r#"{"storage_pool_name":"lvm","provider_kind":"FLOPPY"}"#;
    world
        .check("POST", all, unknown, 400, &["FAIL_INVLD_LAYER_KIND"])
        .await;
    world
        .check("POST", all, "", 500, &["API_CALL_PARSE_ERROR"])
        .await;
    let old = r#"{"storage_pool_name":"old","provider_kind":"LVM_THIN","props":{"StorDriver/LvmVg":"vg","StorDriver/ThinPool":"tp"}}"#;
    let names = ["CREATED", "CREATED", "MODIFIED", "MODIFIED"];
    world.check("POST", all, old, 201, &names).await;
    let props = world.get(&format!("{all}/old")).await["props"].clone();
    assert_eq!(props["StorDriver/StorPoolName"], "vg/tp");
    assert_eq!(props["StorDriver/internal/AllocationGranularity"], "64");
    let page = format!("{all}?limit=x");
    world
        .check("GET", &page, "", 500, &["FAIL_UNKNOWN_ERROR"])
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
    let names = [
        "CREATED",
        "CREATED",
        "FAIL_STOR_POOL_CONFIGURATION_ERROR",
        "FAIL_UNKNOWN_ERROR",
    ];
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
    let definitions = world.get("/v1/storage-pool-definitions").await;
    let names: Vec<_> = definitions.as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2, "not the diskless one: {names:?}");
    let nowhere = "/v1/nodes/none/storage-pools/thin";
    world
        .check("DELETE", nowhere, "", 200, &["WARN_NOT_FOUND"])
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

/// A node with a bare interface is reached where satellites listen; one that says something says all of it.
#[tokio::test(start_paused = true)]
async fn bare_interfaces_have_defaults() {
    let world = World::new().await;
    let node = |interface: &str, kind: &str| {
        let address = r#""name":"default","address":"10.0.0.9""#;
        format!(r#"{{"name":"bare","type":"{kind}","net_interfaces":[{{{address}{interface}}}]}}"#)
    };
    for (interface, kind) in [
        (r#","satellite_port":3366"#, "Satellite"),
        (r#","satellite_encryption_type":"PLAIN""#, "Satellite"),
        ("", "Auxiliary"),
    ] {
        let body = node(interface, kind);
        let refused = ["FAIL_NO_STLT_CONN_DEFINED"];
        world.check("POST", "/v1/nodes", &body, 500, &refused).await;
    }
    let body = node("", "Satellite");
    world
        .check("POST", "/v1/nodes", &body, 201, &["CREATED"])
        .await;
    let interface = &world.get("/v1/nodes/bare").await["net_interfaces"][0];
    assert_eq!(interface["satellite_port"], 3366);
    assert_eq!(interface["satellite_encryption_type"], "PLAIN");
}

/// A replica of a node that is evacuated moves, and restoring the node keeps both; a node that is online is not evicted.
#[tokio::test(start_paused = true)]
async fn nodes_are_emptied_and_restored() {
    let world = World::with_nodes(3).await;
    world
        .call(
            "POST",
            "/v1/resource-groups",
            r#"{"name":"grp","select_filter":{"place_count":1}}"#,
        )
        .await;
    world
        .call("POST", "/v1/resource-groups/grp/volume-groups", "{}")
        .await;
    let spawn = r#"{"resource_definition_name":"data","volume_sizes":[102400]}"#;
    world
        .call("POST", "/v1/resource-groups/grp/spawn", spawn)
        .await;
    let on = |rows: serde_json::Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["node_name"].as_str().unwrap().to_owned())
            .collect()
    };
    let path = "/v1/resource-definitions/data/resources";
    let first = on(world.get(path).await)[0].clone();
    let node = format!("/v1/nodes/{first}");
    let none: [&str; 0] = [];
    world
        .check("PUT", &format!("{node}/evacuate"), "", 200, &none)
        .await;
    assert_eq!(world.get(&node).await["flags"][0], "EVACUATE");
    let now = on(world.get(path).await);
    assert!(now.iter().any(|other| *other != first), "{now:?}");
    let restore = format!("{node}/restore");
    let answer = world.call("PUT", &restore, "{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.get(&node).await.get("flags"), None);
    let answer = world.call("PUT", &restore, "{}").await;
    assert_eq!(
        (answer.status.as_u16(), answer.codes()),
        (500, vec![code::MASK_ERROR])
    );
    world
        .check("PUT", &format!("{node}/evict"), "", 500, &["FAIL_IN_USE"])
        .await;
    for verb in ["evacuate", "evict", "restore"] {
        let path = format!("/v1/nodes/nosuch/{verb}");
        let answer = world.call("PUT", &path, "").await;
        assert_eq!(answer.codes(), [code::FAIL_NOT_FOUND_NODE], "{verb}");
    }
}

/// Connections of nodes and of resources are shown in one order however they are named, and are checked.
#[tokio::test(start_paused = true)]
async fn connections() {
    let world = World::with_nodes(3).await;
    let path = "/v1/node-connections/n2/n1";
    let set = r#"{"override_props":{"Paths/p/n1":"default","Paths/p/n2":"default","Aux/a":"1"}}"#;
    let names = ["CREATED", "MODIFIED", "MODIFIED", "MODIFIED"];
    world.check("PUT", path, set, 200, &names).await;
    let shown = world.get("/v1/node-connections?node_a=n2").await;
    assert_eq!(shown[0]["node_a"], "n1");
    assert_eq!(shown[0]["props"]["Paths/p/n1"], "default");
    for (path, body, refused) in [
        (
            path,
            r#"{"override_props":{"Paths/q/n1":"nosuch"}}"#,
            "FAIL_INVLD_PROP",
        ),
        (
            path,
            r#"{"override_props":{"Paths/q/n3":"default"}}"#,
            "FAIL_INVLD_PROP",
        ),
        (
            path,
            r#"{"override_props":{"Nonsense":"1"}}"#,
            "FAIL_INVLD_PROP",
        ),
        ("/v1/node-connections/n1/n1", "{}", "FAIL_IMPL_ERROR"),
        ("/v1/node-connections/n1/nx", "{}", "FAIL_UNKNOWN_ERROR"),
    ] {
        world.check("PUT", path, body, 500, &[refused]).await;
    }
    let of = "/v1/resource-definitions/data";
    let definition = r#"{"resource_definition":{"name":"data"}}"#;
    world
        .call("POST", "/v1/resource-definitions", definition)
        .await;
    let volume = r#"{"volume_definition":{"size_kib":102400}}"#;
    world
        .call("POST", &format!("{of}/volume-definitions"), volume)
        .await;
    let place = r#"{"select_filter":{"place_count":2,"node_name_list":["n1","n2"]}}"#;
    world.call("POST", &format!("{of}/autoplace"), place).await;
    let connections = format!("{of}/resource-connections");
    let one = format!("{connections}/n2/n1");
    let set = r#"{"override_props":{"DrbdOptions/Net/protocol":"A","Paths/p/n1":"default"}}"#;
    let names = ["CREATED", "WARN_UNEFFECTIVE_PROP", "MODIFIED"];
    world.check("PUT", &one, set, 200, &names).await;
    assert_eq!(
        world.get(&connections).await[0]["props"]["DrbdOptions/Net/protocol"],
        "A"
    );
    assert_eq!(world.get(&one).await["node_b"], "n2");
    let none = format!("{connections}/n1/nx");
    world
        .check("GET", &none, "", 404, &["FAIL_NOT_FOUND_RSC_CONN"])
        .await;
    let proxy = format!("{of}/drbd-proxy/enable/n1/n3");
    world
        .check("POST", &proxy, "{}", 500, &["FAIL_UNKNOWN_ERROR"])
        .await;
}

/// An error of a request becomes a report, once; it can be read by its id and deleted.
#[tokio::test(start_paused = true)]
async fn error_reports() {
    let world = World::new().await;
    let bad = NODE.replace("alpha", "-x");
    let first = world.call("POST", "/v1/nodes", &bad).await.json();
    let id = first[0]["error_report_ids"][0].as_str().unwrap().to_owned();
    let again = world.call("POST", "/v1/nodes", &bad).await.json();
    assert_eq!(again[0]["error_report_ids"][0], id.as_str());
    let absent = world.call("PUT", "/v1/nodes/nosuch", "{}").await.json();
    assert_eq!(
        absent[0].get("error_report_ids"),
        None,
        "nothing went wrong"
    );
    let one = format!("/v1/error-reports/{id}");
    let report = &world.get(&one).await[0];
    assert_eq!(report["exception"], "FAIL_INVLD_NODE_NAME");
    assert!(report["text"].as_str().unwrap().contains("How often: 2"));
    let list = world.get("/v1/error-reports?limit=5").await;
    assert_eq!(
        (list.as_array().unwrap().len(), list[0].get("text")),
        (1, None)
    );
    assert_eq!(world.get("/v1/stats/error-reports").await["count"], 1);
    for path in ["?to=1", "?since=9999999999999", "?node=n1"] {
        let path = format!("/v1/error-reports{path}");
        assert_eq!(world.get(&path).await, serde_json::json!([]), "{path}");
    }
    let all = "/v1/error-reports";
    world.check("PATCH", all, "{}", 200, &["INFO_NOOP"]).await;
    world.check("DELETE", &one, "", 200, &["DELETED"]).await;
    world.check("DELETE", &one, "", 200, &["INFO_NOOP"]).await;
}

/// The level of the log is checked; nothing else can be changed while the controller runs.
#[tokio::test(start_paused = true)]
async fn the_configuration() {
    let world = World::new().await;
    let path = "/v1/controller/config";
    assert_eq!(world.get(path).await["https"]["enabled"], false);
    for (body, status, name) in [
        (r#"{"log":{"level":"debug"}}"#, 200, "MODIFIED"),
        (r#"{"log":{"level":"LOUD"}}"#, 500, "FAIL_INVLD_CONF"),
        ("{}", 500, "FAIL_UNKNOWN_ERROR"),
        (r#"{"nonsense":1}"#, 500, "API_CALL_PARSE_ERROR"),
    ] {
        world.check("PUT", path, body, status, &[name]).await;
    }
}

/// A node that is away shows when it is evicted, unless that is not allowed.
#[tokio::test(start_paused = true)]
async fn the_time_of_an_eviction() {
    let world = World::with_nodes(1).await;
    world.satellites.away("alpha");
    world.call("POST", "/v1/nodes", NODE).await;
    let at = async || world.get("/v1/nodes/alpha").await["eviction_timestamp"].as_i64();
    assert_eq!(
        world.get("/v1/nodes/n1").await.get("eviction_timestamp"),
        None
    );
    let of_default = at().await.expect("the node is away");
    let set = async |path: &str, method: &str, key: &str, value: &str| {
        let body = format!(r#"{{"override_props":{{"DrbdOptions/{key}":"{value}"}}}}"#);
        let answer = world.call(method, path, &body).await;
        assert!(answer.status.is_success(), "{:?}", answer.names());
    };
    let controller = "/v1/controller/properties";
    set(controller, "POST", "AutoEvictAfterTime", "10").await;
    assert_eq!(at().await, Some(of_default - 50 * 60_000));
    set("/v1/nodes/alpha", "PUT", "AutoEvictAfterTime", "70").await;
    assert_eq!(at().await, Some(of_default + 10 * 60_000));
    set("/v1/nodes/alpha", "PUT", "AutoEvictAllowEviction", "false").await;
    assert_eq!(at().await, None);
}

/// That no interface can carry the connection to the satellite outranks what is wrong with a port.
#[tokio::test(start_paused = true)]
async fn no_interface_for_the_satellite() {
    let world = World::new().await;
    for port in [0, 70_000, 3366] {
        let interface =
            format!(r#"{{"name":"default","address":"10.0.0.1","satellite_port":{port}}}"#);
        let body = format!(r#"{{"name":"n1","type":"satellite","net_interfaces":[{interface}]}}"#);
        let names = ["FAIL_NO_STLT_CONN_DEFINED"];
        world.check("POST", "/v1/nodes", &body, 500, &names).await;
    }
}

/// The view of pools is by name, then node; its nodes have to exist.
#[tokio::test(start_paused = true)]
async fn pools_are_viewed_by_name() {
    let world = World::with_nodes(2).await;
    let shown = world.get("/v1/view/storage-pools?limit=3").await;
    let row = |row: &Value| format!("{} {}", row["storage_pool_name"], row["node_name"]);
    let rows: Vec<String> = shown.as_array().unwrap().iter().map(row).collect();
    let diskless = |node: &str| format!(r#""DfltDisklessStorPool" "{node}""#);
    assert_eq!(
        rows,
        [diskless("n1"), diskless("n2"), r#""thin" "n1""#.to_owned()]
    );
    for (query, status, name) in [
        ("nodes=nobody", 404, "FAIL_NOT_FOUND_NODE"),
        ("nodes=a%20b", 500, "FAIL_INVLD_NODE_NAME"),
        ("storage_pools=%00", 500, "FAIL_INVLD_STOR_POOL_NAME"),
    ] {
        let path = format!("/v1/view/storage-pools?{query}");
        world.check("GET", &path, "", status, &[name]).await;
    }
    assert_eq!(
        world
            .get("/v1/view/storage-pools?storage_pools=other")
            .await,
        json!([])
    );
    let bad = ["FAIL_INVLD_NODE_NAME"];
    world
        .check("GET", "/v1/nodes?nodes=%00", "", 500, &bad)
        .await;
    assert_eq!(world.get("/v1/nodes?nodes=nobody").await, json!([]));
}

/// What a node offered when it was last connected counts as long as it is away, after a start of the controller too.
#[tokio::test(start_paused = true)]
async fn what_a_node_offered_is_known() {
    let world = World::with_nodes(1).await;
    let before = world.get("/v1/nodes/n1").await;
    world.satellites.away("n1");
    world.call("PUT", "/v1/nodes/n1/reconnect", "").await;
    // As after a start.
    world.cluster.shared.observe(|observed| {
        let node = "n1".parse().expect("a name");
        observed.nodes.get_mut(&node).expect("it is known").info = None;
    });
    let shown = world.get("/v1/nodes/n1").await;
    assert_eq!(shown["connection_status"], "OFFLINE");
    assert_eq!(shown["storage_providers"], before["storage_providers"]);
    assert_eq!(shown["resource_layers"], before["resource_layers"]);
    let pool = async |kind: &str| {
        let body = format!(
            r#"{{"storage_pool_name":"{kind}","provider_kind":"{kind}","props":{{"StorDriver/StorPoolName":"vg"}}}}"#
        );
        world
            .call("POST", "/v1/nodes/n1/storage-pools", &body)
            .await
            .names()
    };
    assert!(pool("LVM").await.contains(&"CREATED".to_owned()));
    assert_eq!(pool("ZFS").await, ["FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER"]);
}

/// An interface for SSL is stored; whoever makes it the active one is warned that the controller cannot use it.
#[tokio::test(start_paused = true)]
async fn interfaces_for_ssl() {
    let world = World::with_nodes(1).await;
    let path = "/v1/nodes/n1/net-interfaces";
    let second = |active: bool| {
        format!(
            r#"{{"name":"second","address":"10.1.0.1","satellite_port":3367,"satellite_encryption_type":"SSL",
            "is_active":{active}}}"#
        )
    };
    world
        .check("POST", path, &second(false), 201, &["CREATED"])
        .await;
    let shown = world.get(&format!("{path}/second")).await;
    assert_eq!(shown["satellite_encryption_type"], "SSL");
    let codes = ["MODIFIED", "WARN_NOT_CONNECTED"];
    world
        .check("PUT", &format!("{path}/second"), &second(true), 200, &codes)
        .await;
}
