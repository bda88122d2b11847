//! Resources from the first to the last: spawned, placed, made by hand, grown, toggled, deleted.

use super::World;

pub(super) const GROUP: &str =
    r#"{"name":"rg","select_filter":{"place_count":2,"storage_pool":"thin"}}"#;

pub(super) async fn spawned(nodes: u8) -> World {
    let world = World::with_nodes(nodes).await;
    world
        .check("POST", "/v1/resource-groups", GROUP, 201, &["CREATED"])
        .await;
    world
        .check(
            "POST",
            "/v1/resource-groups/rg/volume-groups",
            "{}",
            201,
            &["CREATED"],
        )
        .await;
    let body = r#"{"resource_definition_name":"Res","volume_sizes":[1048576]}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", body)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    assert!(
        !answer.names().iter().any(|name| name.starts_with("FAIL")),
        "{:?}",
        answer.names()
    );
    world
}

/// Spawn makes everything, and the lists show it.
#[tokio::test(start_paused = true)]
async fn spawning() {
    let world = spawned(2).await;
    let rows = world.get("/v1/view/resources").await;
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["name"], "Res");
    assert_eq!(rows[0]["node_name"], "n1");
    assert_eq!(rows[0]["state"]["in_use"], false);
    assert_eq!(
        rows[0]["props"],
        serde_json::json!({"StorPoolName": "thin"})
    );
    let volume = &rows[0]["volumes"][0];
    assert_eq!(volume["state"]["disk_state"], "UpToDate");
    assert_eq!(volume["device_path"], "/dev/drbd1000");
    assert_eq!(volume["provider_kind"], "LVM_THIN");
    assert_eq!(volume["layer_data_list"][1]["type"], "STORAGE");
    assert_eq!(
        rows[0]["layer_object"]["drbd"]["connections"]["n2"]["connected"],
        true
    );
    assert_eq!(
        world.get("/v1/resource-definitions/res/sync-status").await["synced_on_all"],
        true
    );
    let definition = world
        .get("/v1/resource-definitions?with_volume_definitions=true")
        .await;
    assert_eq!(
        definition[0]["volume_definitions"][0]["size_kib"],
        1_048_576
    );
    assert_eq!(
        definition[0]["volume_definitions"][0]["layer_data"][0]["data"]["minor_number"],
        1000
    );
}

/// What others need is not deleted; a definition goes with all that belongs to it, once.
#[tokio::test(start_paused = true)]
async fn deleting() {
    let world = spawned(2).await;
    world
        .check(
            "DELETE",
            "/v1/resource-groups/rg",
            "",
            500,
            &["FAIL_EXISTS_RSC_DFN"],
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/nodes/n1/storage-pools/thin",
            "",
            500,
            &["FAIL_IN_USE"],
        )
        .await;
    let answer = world
        .call("DELETE", "/v1/resource-definitions/RES", "")
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(world.get("/v1/view/resources").await, serde_json::json!([]));
    assert_eq!(world.get("/v1/jobs").await, serde_json::json!([]));
    world
        .check(
            "DELETE",
            "/v1/resource-definitions/res",
            "",
            200,
            &["WARN_NOT_FOUND"],
        )
        .await;
    world
        .check("DELETE", "/v1/resource-groups/rg", "", 200, &["DELETED"])
        .await;
}

/// A spawn that cannot be placed leaves nothing behind; asked for definitions only, it leaves them.
#[tokio::test(start_paused = true)]
async fn spawn_is_all_or_nothing() {
    let world = World::with_nodes(1).await;
    world.call("POST", "/v1/resource-groups", GROUP).await;
    let spawn = "/v1/resource-groups/rg/spawn";
    let body = r#"{"resource_definition_name":"res","volume_sizes":[1048576]}"#;
    let answer = world.call("POST", spawn, body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()[0].as_str()),
        (500, "FAIL_NOT_ENOUGH_NODES")
    );
    assert_eq!(
        world.get("/v1/resource-definitions").await,
        serde_json::json!([])
    );
    world
        .call("POST", "/v1/resource-groups/rg/volume-groups", "{}")
        .await;
    for sizes in ["[]", "[1024,1024]"] {
        let body = format!(r#"{{"resource_definition_name":"res","volume_sizes":{sizes}}}"#);
        world
            .check("POST", spawn, &body, 500, &["FAIL_INVLD_VLM_SIZES"])
            .await;
    }
    let body = r#"{"resource_definition_name":"res","volume_sizes":["1024",2048],"partial":true,"definitions_only":true,
        "resource_definition_props":{"Aux/a":"b"}}"#;
    let names = [
        "CREATED",
        "CREATED",
        "CREATED",
        "CREATED",
        "INFO_NO_RSC_SPAWNED",
    ];
    world.check("POST", spawn, body, 201, &names).await;
    let volumes = world
        .get("/v1/resource-definitions/res/volume-definitions")
        .await;
    assert_eq!(volumes.as_array().unwrap().len(), 2);
    let huge = r#"{"resource_definition_name":"big","volume_sizes":[1048576000000],"partial":true,"select_filter":{"place_count":1}}"#;
    let answer = world.call("POST", spawn, huge).await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()[0].as_str()),
        (500, "FAIL_NOT_ENOUGH_NODES")
    );
    world
        .check(
            "GET",
            "/v1/resource-definitions/big",
            "",
            404,
            &["FAIL_NOT_FOUND_RSC_DFN"],
        )
        .await;
    let external = r#"{"resource_definition_external_name":"my vol","volume_sizes":[1024],"partial":true,"definitions_only":true}"#;
    let answer = world.call("POST", spawn, external).await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        world.get("/v1/resource-definitions/my_vol").await["external_name"],
        "my vol"
    );
}

/// Resources by hand: diskful, the same again, diskless, converted; a batch is atomic.
#[tokio::test(start_paused = true)]
async fn resources_by_hand() {
    let world = World::with_nodes(3).await;
    world
        .call(
            "POST",
            "/v1/resource-definitions",
            r#"{"resource_definition":{"name":"res"}}"#,
        )
        .await;
    let all = "/v1/resource-definitions/res/resources";
    let volume = r#"{"volume_definition":{"size_kib":10240}}"#;
    let path = "/v1/resource-definitions/res/volume-definitions";
    world.check("POST", path, volume, 200, &["CREATED"]).await;
    let diskful = r#"[{"resource":{"node_name":"n1","props":{"StorPoolName":"thin"}}},
        {"resource":{"node_name":"nowhere"}}]"#;
    world
        .check("POST", all, diskful, 404, &["FAIL_NOT_FOUND_NODE"])
        .await;
    assert_eq!(world.get(all).await, serde_json::json!([]));
    let one = r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#;
    let answer = world.call("POST", &format!("{all}/n1"), one).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    assert_eq!(answer.names()[4..], ["MODIFIED"]);
    world
        .check(
            "POST",
            &format!("{all}/N1"),
            one,
            201,
            &["INFO_RSC_ALREADY_EXISTS"],
        )
        .await;
    let diskless = r#"{"resource":{"flags":["DISKLESS"]}}"#;
    let answer = world.call("POST", &format!("{all}/n2"), diskless).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let shown = world.get(&format!("{all}/n2")).await;
    assert_eq!(
        shown["flags"],
        serde_json::json!(["DISKLESS", "DRBD_DISKLESS"])
    );
    assert_eq!(shown.get("volumes"), None);
    let answer = world.call("DELETE", &format!("{all}/n1"), "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()),
        (500, vec!["FAIL_IN_USE".to_owned()])
    );
    let answer = world.call("POST", &format!("{all}/n2"), one).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let shown = world.get(&format!("{all}/n2")).await;
    assert_eq!(shown.get("flags"), None, "{shown:#}");
    let volume = world.get(&format!("{all}/n2/volumes/0")).await;
    assert_eq!(volume["storage_pool_name"], "thin");
}

/// Properties of resources and volumes are set, and found by.
#[tokio::test(start_paused = true)]
async fn properties() {
    let world = spawned(2).await;
    let all = "/v1/resource-definitions/res/resources";
    let path = "/v1/resource-definitions/res/volume-definitions";
    let props = r#"{"override_props":{"Aux/x":"1"}}"#;
    world
        .check(
            "PUT",
            &format!("{all}/n2/volumes/0"),
            props,
            200,
            &["CREATED", "MODIFIED"],
        )
        .await;
    world
        .check(
            "PUT",
            &format!("{all}/n2"),
            props,
            200,
            &["CREATED", "MODIFIED"],
        )
        .await;
    assert_eq!(
        world.get("/v1/view/resources?props=Aux/x=1").await[0]["node_name"],
        "n2"
    );
    let bad = r#"{"volume_definition":{"size_kib":10240,"volume_number":0}}"#;
    world
        .check("POST", path, bad, 500, &["FAIL_EXISTS_VLM_DFN"])
        .await;
}

/// Autoplace says when there is nothing to do, adds what is missing, and explains why it cannot.
#[tokio::test(start_paused = true)]
async fn autoplace_and_adjust() {
    let world = spawned(3).await;
    let path = "/v1/resource-definitions/res/autoplace";
    world
        .check("POST", path, "{}", 201, &["WARN_RSC_ALREADY_DEPLOYED"])
        .await;
    let more = r#"{"select_filter":{"place_count":"3"}}"#;
    let answer = world.call("POST", path, more).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let rows = world.get("/v1/resource-definitions/res/resources").await;
    let diskful = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row.get("flags").is_none());
    assert_eq!(diskful.count(), 3);
    let many = r#"{"select_filter":{"place_count":4}}"#;
    let answer = world.call("POST", path, many).await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()[0].as_str()),
        (500, "FAIL_NOT_ENOUGH_NODES")
    );
    let answer = world
        .call("POST", "/v1/resource-groups/rg/adjust", "")
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    world
        .check(
            "POST",
            "/v1/resource-groups/none/adjust",
            "",
            404,
            &["FAIL_NOT_FOUND_RSC_GRP"],
        )
        .await;
    assert_eq!(
        world
            .call("POST", "/v1/resource-groups/adjustall", "{}")
            .await
            .status,
        200
    );
}

/// A volume grows on all nodes; it does not shrink; the same size is a warning.
#[tokio::test(start_paused = true)]
async fn resize() {
    let world = spawned(2).await;
    let path = "/v1/resource-definitions/res/volume-definitions/0";
    let answer = world.call("PUT", path, r#"{"size_kib":2097152}"#).await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()),
        (200, vec!["MODIFIED".to_owned(); 9]),
        "{:#}",
        answer.json()
    );
    let shown = world.get(path).await;
    assert_eq!(shown["size_kib"], 2_097_152);
    assert_eq!(
        shown["flags"],
        serde_json::json!(["DRBD_INITIALIZED"]),
        "nothing is left of the resize"
    );
    let names = ["WARN_VLMDFN_RESIZE_SAME_SIZE", "MODIFIED"];
    world
        .check("PUT", path, r#"{"size_kib":"2097152"}"#, 200, &names)
        .await;
    world
        .check(
            "PUT",
            path,
            r#"{"size_kib":1048576}"#,
            500,
            &["FAIL_INVLD_VLM_SIZE"],
        )
        .await;
    world
        .check(
            "PUT",
            path,
            r#"{"size_kib":0}"#,
            500,
            &["FAIL_INVLD_VLM_SIZE"],
        )
        .await;
    let answer = world.call("DELETE", path, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    world
        .check("DELETE", path, "", 200, &["WARN_NOT_FOUND"])
        .await;
    assert_eq!(
        world.get("/v1/view/resources").await,
        serde_json::json!([]),
        "no volume, no row"
    );
    assert_eq!(
        world
            .get("/v1/resource-definitions/res/resources")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// A node that fails says so in the answer; one that is away is a warning, and the deletion waits for it as a job.
#[tokio::test(start_paused = true)]
async fn failing_and_absent_nodes() {
    let world = World::with_nodes(2).await;
    world.call("POST", "/v1/resource-groups", GROUP).await;
    world.satellites.failing("n2");
    let body = r#"{"resource_definition_name":"res","volume_sizes":[1048576]}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", body)
        .await;
    assert_eq!(answer.status, 500);
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("(n2) lvcreate failed"), "{said}");
    let world = spawned(2).await;
    world.satellites.away("n2");
    world
        .cluster
        .reconnect(&linstor_model::name::NodeName::parse("n2").unwrap());
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    assert_eq!(
        world.get("/v1/nodes/n2").await["connection_status"],
        "OFFLINE"
    );
    let rows = world.get("/v1/view/resources?nodes=n2").await;
    assert_eq!(rows[0].get("state"), None, "unknown is not said");
    let answer = world
        .call("DELETE", "/v1/resource-definitions/res/resources/n2", "")
        .await;
    let names = ["DELETED", "WARN_NOT_CONNECTED"];
    assert_eq!(
        (answer.status.as_u16(), answer.names()),
        (200, names.map(str::to_owned).to_vec())
    );
    assert_eq!(
        world.get("/v1/view/resources?nodes=n2").await[0]["flags"][0],
        "DELETE"
    );
    assert_eq!(world.get("/v1/jobs").await.as_array().unwrap().len(), 1);
    world
        .check("DELETE", "/v1/nodes/n2/lost", "", 200, &["DELETED"])
        .await;
    assert_eq!(world.get("/v1/view/resources").await[0]["node_name"], "n1");
}

/// Questions about space have answers before anything is made.
#[tokio::test(start_paused = true)]
async fn sizes() {
    let world = World::with_nodes(2).await;
    world.call("POST", "/v1/resource-groups", GROUP).await;
    let sizes = world
        .get("/v1/resource-groups/rg/query-max-volume-size")
        .await;
    assert_eq!(sizes["candidates"][0]["storage_pool"], "thin");
    assert_eq!(sizes["candidates"][0]["max_volume_size_kib"], 100 << 20);
    assert_eq!(sizes["default_max_oversubscription_ratio"], 20.0);
    let body = r#"{"place_count":2}"#;
    let same = world
        .call("OPTIONS", "/v1/query-max-volume-size", body)
        .await;
    assert_eq!(same.status, 200);
    assert_eq!(same.json()["candidates"][0]["storage_pool"], "thin");
    let info = world
        .call("POST", "/v1/resource-groups/rg/query-size-info", "{}")
        .await
        .json();
    assert_eq!(info["space_info"]["capacity_in_kib"], 100 << 20);
    assert_eq!(
        info["space_info"]["next_spawn_result"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let all = world
        .call(
            "POST",
            "/v1/queries/resource-groups/query-all-size-info",
            "",
        )
        .await
        .json();
    assert_eq!(
        all["result"]["rg"]["space_info"]["available_size_in_kib"],
        100 << 20
    );
    let path = "/v1/resource-groups/none/query-size-info";
    let answer = world.call("POST", path, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["reports"].as_array().map(Vec::len), Some(1));
}

/// Two that spawn at once cannot have the same space.
#[tokio::test(start_paused = true)]
async fn space_is_given_out_once() {
    let world = World::with_nodes(2).await;
    let pool = r#"{"storage_pool_name":"thick","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"vg"}}"#;
    for node in ["n1", "n2"] {
        let path = format!("/v1/nodes/{node}/storage-pools");
        assert_eq!(world.call("POST", &path, pool).await.status, 201);
    }
    let group = r#"{"name":"rg","select_filter":{"place_count":2,"storage_pool":"thick"}}"#;
    world
        .check("POST", "/v1/resource-groups", group, 201, &["CREATED"])
        .await;
    let spawn = |name: &str| {
        format!(r#"{{"resource_definition_name":"{name}","volume_sizes":[62914560]}}"#)
    };
    let (first, second) = (spawn("one"), spawn("two"));
    let path = "/v1/resource-groups/rg/spawn";
    let (first, second) = tokio::join!(
        world.call("POST", path, &first),
        world.call("POST", path, &second)
    );
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 500]);
    assert_eq!(
        world
            .get("/v1/view/resources")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        world
            .get("/v1/resource-definitions")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// A node with resources goes with all of them.
#[tokio::test(start_paused = true)]
async fn a_node_goes_with_its_resources() {
    let world = spawned(3).await;
    let answer = world.call("DELETE", "/v1/nodes/n1", "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    // One resource is left, for which neither tie breaker nor quorum makes sense.
    assert_eq!(
        answer.names(),
        [
            "DELETED",
            "INFO_TIE_BREAKER_DELETING",
            "INFO_PROP_REMOVED",
            "DELETED",
            "MODIFIED",
            "DELETED"
        ]
    );
    world
        .check("GET", "/v1/nodes/n1", "", 404, &["FAIL_NOT_FOUND_NODE"])
        .await;
    world
        .check(
            "GET",
            "/v1/view/resources?nodes=n1",
            "",
            404,
            &["FAIL_NOT_FOUND_NODE"],
        )
        .await;
    world
        .check(
            "GET",
            "/v1/view/storage-pools?nodes=n1",
            "",
            404,
            &["FAIL_NOT_FOUND_NODE"],
        )
        .await;
}
