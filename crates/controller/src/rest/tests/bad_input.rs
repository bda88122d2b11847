//! What callers get wrong, one line each: never a panic, always replies with a code.

use axum::body::Body;
use axum::http::Request;
use linstor_api::code;

use super::World;

/// Names that no object may have, in paths and bodies.
#[tokio::test(start_paused = true)]
async fn hostile_names() {
    let world = World::with_nodes(1).await;
    let names = [
        "-rf",
        "..%2F..%2Fetc",
        "a%20b",
        "a%0Ab",
        "%C3%A4%C3%B6",
        "a%22b",
        "x",
        "a;b",
        "%24(id)",
    ];
    for name in names {
        for (path, code) in [
            (format!("/v1/nodes/{name}"), "FAIL_INVLD_NODE_NAME"),
            (
                format!("/v1/resource-definitions/{name}"),
                "FAIL_INVLD_RSC_NAME",
            ),
            (
                format!("/v1/resource-groups/{name}"),
                "FAIL_INVLD_RSC_GRP_NAME",
            ),
            (
                format!("/v1/storage-pool-definitions/{name}"),
                "FAIL_INVLD_STOR_POOL_NAME",
            ),
            (
                format!("/v1/nodes/n1/net-interfaces/{name}"),
                "FAIL_INVLD_NET_NAME",
            ),
            (format!("/v1/key-value-store/{name}"), "FAIL_INVLD_KVS_NAME"),
        ] {
            for method in ["GET", "DELETE"] {
                let answer = world.call(method, &path, "").await;
                assert_eq!(
                    (answer.status.as_u16(), answer.names()),
                    (500, vec![code.to_owned()]),
                    "{path}"
                );
                let reply = &answer.json()[0];
                assert!(reply["cause"].is_string() && reply["correction"].is_string());
            }
        }
    }
}

/// Method, path, body; status, code of the first entry. There are a node `n1`, a group `rg` and a definition `res`.
#[rustfmt::skip]
const BODIES: &[(&str, &str, &str, u16, &str)] = &[
    ("POST", "/v1/nodes", "{", 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/nodes", "[]", 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/nodes", r#"{"nmae":"x"}"#, 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/nodes", r#"{"name":{}}"#, 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/nodes", "{}", 500, "FAIL_INVLD_NODE_NAME"),
    ("POST", "/v1/nodes",
        r#"{"name":"beta","type":"satellite","net_interfaces":[]}"#, 500, "FAIL_MISSING_NETCOM"),
    ("POST", "/v1/nodes",
        r#"{"name":"beta","type":"satellite","net_interfaces":[{"name":"default","address":"10.0.0.9","satellite_port":3366}]}"#,
        500, "FAIL_NO_STLT_CONN_DEFINED"),
    ("POST", "/v1/nodes",
        r#"{"name":"beta","type":"satellite","net_interfaces":[{"name":"default","address":"node.example.com"}]}"#,
        500, "FAIL_INVLD_NET_ADDR"),
    ("POST", "/v1/nodes",
        r#"{"name":"beta","type":"satellite","net_interfaces":[{"name":"a b","address":"10.0.0.9"}]}"#,
        500, "FAIL_INVLD_NET_NAME"),
    ("POST", "/v1/nodes",
        r#"{"name":"beta","type":"satellite","net_interfaces":[{"name":"default","address":"10.0.0.9","satellite_port":99999,"satellite_encryption_type":"plain"}]}"#,
        500, "FAIL_INVLD_NET_PORT"),
    ("POST", "/v1/nodes",
        r#"{"name":"beta","type":"satellite","net_interfaces":[{"name":"default","address":"10.0.0.9","satellite_encryption_type":"rot13"}]}"#,
        500, "FAIL_INVLD_NET_TYPE"),
    ("POST", "/v1/nodes", r#"{"name":"beta","type":"toaster"}"#, 500, "FAIL_INVLD_NODE_TYPE"),
    // Processed at once by the original, so that nonsense is 400.
    ("POST", "/v1/resource-groups", "{", 400, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-groups",
        r#"{"name":"new","select_filter":{"place_count":0}}"#, 500, "FAIL_INVLD_PLACE_COUNT"),
    ("POST", "/v1/resource-groups",
        r#"{"name":"new","select_filter":{"place_count":"many"}}"#, 400, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-groups", r#"{"name":"new","peer_slots":99}"#, 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-groups",
        r#"{"name":"new","props":{"NoSuchKey":"1"}}"#, 500, "FAIL_INVLD_PROP"),
    ("POST", "/v1/resource-groups", r#"{"name":"RG"}"#, 500, "FAIL_EXISTS_RSC_GRP"),
    ("POST", "/v1/resource-definitions", "nonsense", 400, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-definitions",
        r#"{"resource_definition":{"name":"RES"}}"#, 500, "FAIL_EXISTS_RSC_DFN"),
    ("POST", "/v1/resource-definitions", "{}", 500, "FAIL_MISSING_EXT_NAME"),
    ("POST", "/v1/resource-definitions",
        r#"{"resource_definition":{"name":"new","resource_group_name":"none"}}"#,
        404, "FAIL_NOT_FOUND_RSC_GRP"),
    ("POST", "/v1/resource-definitions",
        r#"{"resource_definition":{"name":"new","layer_data":[{"type":"PIE"}]}}"#,
        500, "FAIL_INVLD_LAYER_KIND"),
    ("POST", "/v1/resource-definitions",
        r#"{"resource_definition":{"name":"new","layer_data":[{"type":"STORAGE"},{"type":"DRBD"}]}}"#,
        500, "FAIL_INVLD_LAYER_STACK"),
    ("POST", "/v1/resource-definitions",
        r#"{"drbd_port":70000,"resource_definition":{"name":"new"}}"#, 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-definitions",
        r#"{"drbd_transport_type":"PIGEON","resource_definition":{"name":"new"}}"#,
        500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"size_kib":0}}"#, 500, "FAIL_INVLD_VLM_SIZE"),
    ("POST", "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"size_kib":-1}}"#, 500, "FAIL_INVLD_VLM_SIZE"),
    ("POST", "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"size_kib":1024,"flags":["NONSENSE"]}}"#, 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-groups", "", 400, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-groups", "null", 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-groups/rg/volume-groups",
        r#"{"flags":["NONSENSE"]}"#, 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-groups/rg/spawn", r#"{"volume_sizes":[1024]}"#, 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-definitions/res/resources", "[]", 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-definitions/res/resources/none", "{}", 404, "FAIL_NOT_FOUND_NODE"),
    ("POST", "/v1/resource-definitions/res/snapshots", r#"{"name":"x"}"#, 500, "FAIL_INVLD_SNAPSHOT_NAME"),
    ("POST", "/v1/resource-definitions/none/snapshots", r#"{"name":"snap"}"#, 404, "FAIL_NOT_FOUND_RSC_DFN"),
    ("POST", "/v1/resource-definitions/res/snapshot-rollback/snap", "", 404, "FAIL_NOT_FOUND_SNAPSHOT_DFN"),
    ("POST", "/v1/resource-definitions/res/snapshot-restore-resource/snap",
        r#"{"to_resource":"res"}"#, 404, "FAIL_NOT_FOUND_SNAPSHOT_DFN"),
    ("POST", "/v1/resource-definitions/none/clone", r#"{"name":"copy"}"#, 404, "FAIL_NOT_FOUND_RSC_DFN"),
    ("GET", "/v1/resource-definitions/res/clone/copy", "", 404, "FAIL_NOT_FOUND_RSC_DFN"),
    // An empty name is not the collection.
    ("DELETE", "/v1/resource-definitions/res/resources/", "", 404, "FAIL_UNKNOWN_ERROR"),
    ("DELETE", "/v1/resource-definitions/res/volume-definitions/", "", 404, "FAIL_UNKNOWN_ERROR"),
    ("DELETE", "/v1/resource-definitions/res/", "", 404, "FAIL_UNKNOWN_ERROR"),
    ("DELETE", "/v1/resource-groups/rg/volume-groups/0", "", 404, "FAIL_NOT_FOUND_VLM_GRP"),
    ("POST", "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"size_kib":92233720368547758070}}"#, 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"size_kib":1024,"volume_number":65535}}"#, 500, "FAIL_INVLD_VLM_NR"),
    ("POST", "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"size_kib":1024,"flags":["ENCRYPTED"]}}"#, 404, "FAIL_NOT_FOUND_CRYPT_KEY"),
    ("POST", "/v1/resource-definitions/res/volume-definitions",
        r#"{"volume_definition":{"size_kib":1024},"drbd_minor_number":-5}"#, 500, "FAIL_INVLD_MINOR_NR"),
    ("PUT", "/v1/resource-definitions/res/volume-definitions/x", "{}", 500, "FAIL_UNKNOWN_ERROR"),
    ("PUT", "/v1/resource-definitions/res/volume-definitions/7",
        "{}", 404, "FAIL_NOT_FOUND_VLM_DFN"),
    ("POST", "/v1/resource-definitions/none/volume-definitions",
        r#"{"volume_definition":{"size_kib":1024}}"#, 404, "FAIL_NOT_FOUND_RSC_DFN"),
    ("POST", "/v1/resource-groups/rg/spawn",
        r#"{"resource_definition_name":"all","volume_sizes":[1024]}"#, 500, "FAIL_INVLD_RSC_NAME"),
    ("POST", "/v1/resource-groups/rg/spawn",
        r#"{"resource_definition_name":"new","volume_sizes":[-1]}"#, 500, "FAIL_INVLD_VLM_SIZE"),
    ("POST", "/v1/resource-groups/rg/spawn",
        r#"{"volume_sizes":"big"}"#, 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-groups/none/spawn",
        r#"{"resource_definition_name":"new"}"#, 404, "FAIL_NOT_FOUND_RSC_GRP"),
    ("POST", "/v1/resource-definitions/res/resources", "{}", 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-definitions/res/resources",
        r#"[{"resource":{}}]"#, 500, "FAIL_UNKNOWN_ERROR"),
    ("POST", "/v1/resource-definitions/res/resources/n1",
        r#"{"resource":{"props":{"StorPoolName":"nope"}}}"#, 404, "FAIL_NOT_FOUND_STOR_POOL_DFN"),
    ("POST", "/v1/resource-definitions/none/autoplace", "", 500, "API_CALL_PARSE_ERROR"),
    ("POST", "/v1/resource-definitions/none/autoplace", "{}", 404, "FAIL_NOT_FOUND_RSC_DFN"),
    ("PUT", "/v1/resource-definitions/res",
        r#"{"override_props":{"DrbdOptions/Net/protocol":"D"}}"#, 500, "FAIL_INVLD_PROP"),
    ("PUT", "/v1/resource-definitions/res",
        r#"{"resource_group":"none"}"#, 404, "FAIL_NOT_FOUND_RSC_GRP"),
    ("PUT", "/v1/nodes/none", "{}", 404, "FAIL_NOT_FOUND_NODE"),
];

/// Bodies that make no sense for their endpoint: status, code.
#[tokio::test(start_paused = true)]
async fn bodies() {
    let world = World::with_nodes(1).await;
    world
        .call(
            "POST",
            "/v1/resource-definitions",
            r#"{"resource_definition":{"name":"res"}}"#,
        )
        .await;
    world
        .call("POST", "/v1/resource-groups", r#"{"name":"rg"}"#)
        .await;
    let volume = r#"{"volume_definition":{"size_kib":1024}}"#;
    let path = "/v1/resource-definitions/res/volume-definitions";
    world.check("POST", path, volume, 200, &["CREATED"]).await;
    for (method, path, body, status, code) in BODIES {
        let answer = world.call(method, path, body).await;
        let first = answer.names().first().cloned().unwrap_or_default();
        assert_eq!(
            (answer.status.as_u16(), first.as_str()),
            (*status, *code),
            "{method} {path} {body}"
        );
    }
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

/// A clone that cannot be is refused with its reason beside the place where its status would be, and nothing is made.
#[tokio::test(start_paused = true)]
async fn clones() {
    let world = World::with_nodes(1).await;
    let body = r#"{"resource_definition":{"name":"res"}}"#;
    world.call("POST", "/v1/resource-definitions", body).await;
    for (body, name, code) in [
        ("{}", "__invalid_name__", code::FAIL_INVLD_RSC_NAME),
        (r#"{"name":"a b"}"#, "a b", code::FAIL_INVLD_RSC_NAME),
        (r#"{"name":"res"}"#, "res", code::FAIL_EXISTS_RSC_DFN),
        (r#"{"name":"copy"}"#, "copy", code::FAIL_NOT_ENOUGH_NODES),
        (
            r#"{"name":"copy","resource_group":"none"}"#,
            "copy",
            code::FAIL_NOT_FOUND_RSC_GRP,
        ),
        (
            r#"{"name":"copy","layer_list":["PIE"]}"#,
            "copy",
            code::FAIL_INVLD_LAYER_KIND,
        ),
    ] {
        let answer = world
            .call("POST", "/v1/resource-definitions/res/clone", body)
            .await;
        assert_eq!(answer.status, 500, "{body}");
        let started = answer.json();
        assert_eq!(started["clone_name"], name);
        let location = format!(
            "/v1/resource-definitions/res/clone/{}",
            name.replace(' ', "%20")
        );
        assert_eq!(started["location"], location);
        let mask = code::MASK_RSC_DFN | code::MASK_CRT;
        assert_eq!(started["messages"][0]["ret_code"], code | mask, "{body}");
    }
    world
        .check(
            "GET",
            "/v1/resource-definitions/copy",
            "",
            404,
            &["FAIL_NOT_FOUND_RSC_DFN"],
        )
        .await;
}

/// Deleting what is not there is a warning nearly everywhere.
#[tokio::test(start_paused = true)]
async fn absent_deletes() {
    let world = World::with_nodes(1).await;
    world
        .call(
            "POST",
            "/v1/resource-definitions",
            r#"{"resource_definition":{"name":"res"}}"#,
        )
        .await;
    world
        .call("POST", "/v1/resource-groups", r#"{"name":"rg"}"#)
        .await;
    for path in [
        "/v1/nodes/none",
        "/v1/nodes/n1/net-interfaces/none",
        "/v1/nodes/n1/storage-pools/none",
        "/v1/resource-groups/none",
        "/v1/resource-definitions/none",
        "/v1/resource-definitions/res/volume-definitions/7",
        "/v1/resource-definitions/none/volume-definitions/7",
        "/v1/resource-definitions/none/snapshots/snap",
        "/v1/resource-definitions/res/resources/n1",
        "/v1/resource-definitions/res/resources",
        "/v1/key-value-store/none",
    ] {
        world
            .check("DELETE", path, "", 200, &["WARN_NOT_FOUND"])
            .await;
    }
}

/// A body of 100 MB is refused before it is read, announced or not.
#[tokio::test(start_paused = true)]
async fn large_bodies() {
    let world = World::new().await;
    let announced = Request::builder()
        .method("POST")
        .uri("/v1/nodes")
        .header("content-length", "104857600")
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(announced).await.status, 413);
    let chunk = axum::body::Bytes::from(vec![b' '; 1 << 20]);
    let chunks =
        futures::stream::iter((0..100).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    let streamed = Request::builder()
        .method("POST")
        .uri("/v1/nodes")
        .body(Body::from_stream(chunks))
        .unwrap();
    let answer = world.send(streamed).await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()),
        (413, vec!["API_CALL_PARSE_ERROR".into()])
    );
}
