//! Properties: what may be set where, what is answered, and what is known of keys.

use linstor_api::code;
use serde_json::{Value, json};

use super::World;

const PATH: &str = "/v1/controller/properties";
const SET: i64 = code::MASK_CTRL_CONF | code::MASK_CRT | code::CREATED;
const DELETED: i64 = code::MASK_CTRL_CONF | code::MASK_DEL | code::DELETED;
const APPLIED: i64 = code::MASK_CTRL_CONF | code::MASK_MOD | code::MASK_INFO;

impl World {
    /// Changes the controller's properties; returns status, codes and messages.
    async fn controller(&self, change: Value) -> (u16, Vec<i64>, Vec<String>) {
        let answer = self.call("POST", PATH, &change.to_string()).await;
        let entries = answer.json();
        let entries = entries.as_array().expect("replies are a list");
        let message = |entry: &Value| entry["message"].as_str().expect("a text").to_owned();
        let messages = entries.iter().map(message).collect();
        (answer.status.as_u16(), answer.codes(), messages)
    }
}

/// Each key has an entry; each node that is online says that it follows, unless nothing is new for it.
#[tokio::test(start_paused = true)]
async fn the_controllers_properties_are_answered_key_by_key() {
    let world = World::with_nodes(2).await;
    let set = json!({"override_props": {"Aux/site": "here"}});
    let (status, codes, messages) = world.controller(set.clone()).await;
    assert_eq!((status, codes), (201, vec![SET, APPLIED, APPLIED]));
    assert_eq!(messages[1], "(n1) Controller properties applied");
    assert_eq!(world.controller(set).await.1, [SET]);
    // What only the controller uses is no news for nodes, its removal is.
    let ratio = json!({"override_props": {"MaxOversubscriptionRatio": "5"}});
    assert_eq!(world.controller(ratio).await.1, [SET]);
    let delete = json!({"delete_props": ["MaxOversubscriptionRatio", "Aux/none"]});
    assert_eq!(
        world.controller(delete).await.1,
        [DELETED, DELETED, APPLIED, APPLIED]
    );
    for _ in 0..2 {
        let answer = world
            .call("DELETE", "/v1/controller/properties/Aux/site", "")
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.codes()),
            (200, vec![DELETED])
        );
    }
    assert_eq!(world.controller(json!({})).await, (201, vec![], vec![]));
}

/// A key or value that is wrong changes nothing, whatever else the request has.
#[tokio::test(start_paused = true)]
async fn what_the_controller_does_not_know_is_refused() {
    let world = World::new().await;
    let before = world.get(PATH).await;
    let invalid = code::MASK_CTRL_CONF | code::FAIL_INVLD_PROP;
    for (key, value, operation) in [
        ("Nonsense", json!("x"), code::MASK_CRT),
        ("/Aux/lead", json!("x"), code::MASK_CRT),
        ("Cluster/LocalID", json!("x"), code::MASK_CRT),
        ("Cluster/Remote/none", json!("x"), code::MASK_CRT),
        ("StorPoolName", json!("pool"), code::MASK_CRT),
        ("Aux/null", Value::Null, code::MASK_CRT),
        ("DrbdOptions/Net/protocol", json!("c"), code::MASK_CRT),
        ("ExtCmd/WaitTimeout", json!("-1"), code::MASK_CRT),
        ("TcpPortAutoRange", json!("abc"), code::MASK_CRT),
    ] {
        let change = json!({"override_props": {"Aux/good": "1", key: value}});
        let (status, codes, _) = world.controller(change).await;
        assert_eq!((status, codes), (500, vec![invalid | operation]), "{key}");
    }
    for (key, value, number) in [
        ("TcpPortAutoRange", "7000-70000", code::FAIL_INVLD_TCP_PORT),
        ("TcpPortAutoRange", "7200-7100", code::FAIL_INVLD_TCP_PORT),
        ("MinorNrAutoRange", "0-1048576", code::FAIL_INVLD_MINOR_NR),
    ] {
        let change = json!({"override_props": {key: value}});
        let expected = code::MASK_CTRL_CONF | code::MASK_MOD | number;
        assert_eq!(world.controller(change).await.1, [expected], "{value}");
    }
    for change in [
        json!({"delete_props": ["Nonsense"]}),
        json!({"delete_namespaces": ["Cluster"]}),
    ] {
        let (status, codes, _) = world.controller(change).await;
        assert_eq!((status, codes), (500, vec![invalid | code::MASK_DEL]));
    }
    assert_eq!(world.get(PATH).await, before);
}

/// A namespace is removed with all that is in it, and with nothing else.
#[tokio::test(start_paused = true)]
async fn namespaces_are_removed() {
    let world = World::new().await;
    let keys = ["Aux/a", "Aux/b/c", "Aux/bc", "Autoplacer/MaxThroughput"];
    let set: serde_json::Map<String, Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!("1")))
        .collect();
    assert_eq!(
        world.controller(json!({"override_props": set})).await.0,
        201
    );
    let delete = json!({"delete_namespaces": ["Aux/b", "Autoplacer", "Nothing"]});
    assert_eq!(world.controller(delete).await.0, 201);
    let left = world.get(PATH).await;
    let left: Vec<&str> = keys
        .into_iter()
        .filter(|key| left.get(key).is_some())
        .collect();
    assert_eq!(left, ["Aux/a", "Aux/bc"]);
}

/// Numbers that are given out follow a new range; an older name is stored under the newer one.
#[tokio::test(start_paused = true)]
async fn keys_with_consequences() {
    let world = World::new().await;
    let (_, codes, messages) = world
        .controller(json!({"override_props": {"TcpPortAutoRange": "7100-7199"}}))
        .await;
    assert_eq!(
        codes,
        [code::MASK_CTRL_CONF | code::MASK_MOD | code::MODIFIED, SET]
    );
    assert_eq!(
        messages[0],
        "The TCP port range was successfully updated to: 7100-7199"
    );
    let (_, codes, _) = world
        .controller(json!({"override_props": {"ExtCmdWaitTimeout": "1000"}}))
        .await;
    let deprecated = code::MASK_CTRL_CONF | code::MASK_MOD | code::WARN_DEPRECATED;
    assert_eq!(codes, [deprecated, SET]);
    let props = world.get(PATH).await;
    assert_eq!(props["ExtCmd/WaitTimeout"], "1000");
    assert_eq!(props.get("ExtCmdWaitTimeout"), None);
}

/// What is stored and not acted on yet says so, at the controller and elsewhere.
#[tokio::test(start_paused = true)]
async fn a_property_without_effect_says_so() {
    let world = World::new().await;
    let without_effect = |answer: &super::Answered| {
        let entries = answer.json();
        let details = entries
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|e| e["details"].as_str());
        let details = details.filter(|text| text.starts_with("Stored without effect"));
        details.map(str::to_owned).collect::<Vec<_>>()
    };
    let change = json!({"override_props": {"CopyAllSnaps": "true", "Aux/a": "1"}}).to_string();
    let said = "Stored without effect: nothing in this version acts on CopyAllSnaps.";
    let answer = world
        .call("PUT", "/v1/resource-groups/DfltRscGrp", &change)
        .await;
    assert_eq!(without_effect(&answer), [said]);
    let answer = world.call("POST", PATH, &change).await;
    assert_eq!(without_effect(&answer), [said]);
    // Links to satellites are encrypted as `linstor.toml` says, not as LINSTOR's properties do.
    let change = json!({"override_props": {"NetCom/SslConnector/keyStore": "/x"}}).to_string();
    let said = said.replace("CopyAllSnaps", "NetCom/SslConnector/keyStore");
    let answer = world.call("POST", PATH, &change).await;
    assert_eq!(without_effect(&answer), [said]);
    let change = json!({"override_props": {"AllowMixingStoragePoolDriver": "true"}}).to_string();
    let answer = world
        .call("PUT", "/v1/resource-groups/DfltRscGrp", &change)
        .await;
    assert!(without_effect(&answer).is_empty());
}

/// Each kind of object has a list of its keys: with the kind of values, their limits, defaults and units.
#[tokio::test(start_paused = true)]
async fn keys_are_explained() {
    let world = World::new().await;
    let info = async |path: &str| world.get(&format!("{path}/properties/info")).await;
    let has = |keys: &Value, key: &str| keys.get(key).is_some();
    let node = info("/v1/nodes").await;
    assert!(has(&node, "PrefNic") && !has(&node, "TcpPortAutoRange") && !has(&node, "PeerSlots"));
    assert!(has(
        &info("/v1/nodes/any/storage-pools").await,
        "StorDriver/StorPoolName"
    ));
    let volume = info("/v1/resource-definitions/any/volume-definitions").await;
    assert_eq!(
        volume["DrbdOptions/Disk/disk-timeout"],
        json!({"prop_type": "range", "value": "(0 - 6000)", "dflt": "0", "unit": "1/10 seconds"})
    );
    assert_eq!(
        volume["Cache/OpMode"]["value"],
        "(?:passthrough|writeback|writethrough)"
    );
    assert_eq!(volume, info("/v1/resource-groups/any/volume-groups").await);
    let connection = info("/v1/resource-definitions/any/resource-connections").await;
    assert_eq!(connection.as_object().map(serde_json::Map::len), Some(47));
    let all = world.get("/v1/controller/properties/info/all").await;
    assert_eq!(all["RSC_CONN"], connection);
    assert_eq!(all["VLM_GRP"], volume);
    assert_eq!(all["KVS"], json!({}));
    assert_eq!(all["CTRL"], info("/v1/controller").await);
    let proxy = info("/v1/resource-definitions/any/drbd-proxy").await;
    assert_eq!(
        proxy["DRBD_PROXY_ZSTD"]["DrbdOptions/ProxyCompression/level"]["dflt"],
        "3"
    );
}

/// Options that DRBD refuses together cannot be set together, at whatever objects they are; and nothing is changed.
#[tokio::test(start_paused = true)]
async fn options_that_drbd_refuses_together_are_refused() {
    let world = World::with_nodes(2).await;
    let group = "/v1/resource-groups/DfltRscGrp";
    let definition = "/v1/resource-definitions/res";
    let set = |key: &str, value: &str| json!({"override_props": {key: value}}).to_string();
    let two_primaries = set("DrbdOptions/Net/allow-two-primaries", "yes");
    let create = r#"{"resource_definition":{"name":"res"}}"#;
    assert_eq!(
        world
            .call("POST", "/v1/resource-definitions", create)
            .await
            .status,
        201
    );
    assert_eq!(
        world.call("PUT", definition, &two_primaries).await.status,
        200
    );
    let before = world.get(PATH).await;
    let answer = world
        .call("POST", PATH, &set("DrbdOptions/Net/protocol", "A"))
        .await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.names(), ["FAIL_INVLD_PROP"]);
    let reply = &answer.json()[0];
    let details = reply["details"].as_str().expect("a text");
    assert!(
        details.contains("at the resource definition 'res'"),
        "{details}"
    );
    assert!(details.contains("at the controller"), "{details}");
    assert_eq!(world.get(PATH).await, before);
    // A nearer value makes it fit.
    let protocol = set("DrbdOptions/Net/protocol", "C");
    assert_eq!(world.call("PUT", definition, &protocol).await.status, 200);
    let answer = world
        .call("POST", PATH, &set("DrbdOptions/Net/protocol", "A"))
        .await;
    assert_eq!(answer.status, 201);
    // Without it, it does not.
    let delete = r#"{"delete_props":["DrbdOptions/Net/protocol"]}"#;
    assert_eq!(world.call("PUT", definition, delete).await.status, 500);
    let pull_ahead = set("DrbdOptions/Net/on-congestion", "pull-ahead");
    assert_eq!(
        world.call("PUT", group, &pull_ahead).await.status,
        500,
        "the definition has protocol C"
    );
}

/// So are those of the connections of two nodes, and of two resources.
#[tokio::test(start_paused = true)]
async fn connections_that_drbd_refuses_are_refused() {
    let world = World::with_nodes(2).await;
    let spawn = r#"{"resource_definition_name":"res","volume_sizes":[8192]}"#;
    let path = "/v1/resource-groups/DfltRscGrp/spawn";
    assert_eq!(world.call("POST", path, spawn).await.status, 201);
    let set = |key: &str, value: &str| json!({"override_props": {key: value}}).to_string();
    let protocol = set("DrbdOptions/Net/protocol", "A");
    let two_primaries = set("DrbdOptions/Net/allow-two-primaries", "yes");
    let definition = "/v1/resource-definitions/res";
    let nodes = "/v1/node-connections/n1/n2";
    let resources = "/v1/resource-definitions/res/resource-connections/n1/n2";
    let put = async |path: &str, body: &str| world.call("PUT", path, body).await;
    assert_eq!(put(definition, &two_primaries).await.status, 200);
    for (path, place) in [
        (nodes, "at the connection of the two nodes"),
        (
            resources,
            "at the connection of resource 'res' between 'n1' and 'n2'",
        ),
    ] {
        let answer = put(path, &protocol).await;
        assert_eq!(
            (answer.status.as_u16(), answer.names()),
            (500, vec!["FAIL_INVLD_PROP".to_owned()])
        );
        let details = answer.json()[0]["details"].as_str().unwrap().to_owned();
        assert!(details.contains(place), "{details}");
        assert!(
            details.contains("at the resource definition 'res'"),
            "{details}"
        );
    }
    // The other way round.
    let delete = r#"{"delete_props":["DrbdOptions/Net/allow-two-primaries"]}"#;
    for path in [nodes, resources] {
        assert_eq!(put(definition, delete).await.status, 200);
        assert_eq!(put(path, &protocol).await.status, 200);
        assert_eq!(put(definition, &two_primaries).await.status, 500, "{path}");
        let delete = r#"{"delete_props":["DrbdOptions/Net/protocol"]}"#;
        assert_eq!(put(path, delete).await.status, 200);
    }
}

/// Where a disk is not used, a resource shows which objects say so, the nearest first.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_not_used_shows_why() {
    let world = World::with_nodes(1).await;
    let calls = [
        (
            "POST",
            "/v1/resource-definitions",
            r#"{"resource_definition":{"name":"res","layer_data":[{"type":"STORAGE"}]}}"#,
        ),
        (
            "POST",
            "/v1/resource-definitions/res/volume-definitions",
            r#"{"volume_definition":{"size_kib":4096}}"#,
        ),
        (
            "POST",
            "/v1/resource-definitions/res/resources/n1",
            r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#,
        ),
    ];
    for (method, path, body) in calls {
        let answer = world.call(method, path, body).await;
        assert!(answer.status.is_success(), "{path}: {:?}", answer.names());
    }
    let resource = "/v1/resource-definitions/res/resources/n1";
    assert_eq!(world.get(resource).await.get("effective_props"), None);
    let skip = r#"{"override_props":{"DrbdOptions/SkipDisk":"True"}}"#;
    for path in ["/v1/nodes/n1/storage-pools/thin", "/v1/nodes/n1"] {
        assert_eq!(world.call("PUT", path, skip).await.status, 200);
    }
    let shown = &world.get(resource).await["effective_props"]["DrbdOptions/SkipDisk"];
    let expected = json!({"type": "STORAGEPOOL", "value": "True", "other": [{"type": "NODE", "value": "True"}]});
    assert_eq!(*shown, expected);
}

/// A resource may be made with its own number of peer slots.
#[tokio::test(start_paused = true)]
async fn peer_slots_of_a_resource() {
    let world = World::with_nodes(2).await;
    let definition = r#"{"resource_definition":{"name":"res"}}"#;
    world
        .call("POST", "/v1/resource-definitions", definition)
        .await;
    let path = "/v1/resource-definitions/res";
    let volume = r#"{"volume_definition":{"size_kib":4096}}"#;
    world
        .call("POST", &format!("{path}/volume-definitions"), volume)
        .await;
    for (node, props, slots) in [("n1", r#","PeerSlots":"3""#, 3), ("n2", "", 7)] {
        let body = format!(r#"{{"resource":{{"props":{{"StorPoolName":"thin"{props}}}}}}}"#);
        let answer = world
            .call("POST", &format!("{path}/resources/{node}"), &body)
            .await;
        assert_eq!(answer.status, 201, "{:#}", answer.json());
        let shown = world.get(&format!("{path}/resources/{node}")).await;
        assert_eq!(shown["layer_object"]["drbd"]["peer_slots"], slots);
    }
}
