//! What callers get wrong, one line each: never a panic, always replies with a code.

use axum::body::Body;
use axum::http::Request;

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
    let node =
        |inner: &str| format!(r#"{{"name":"beta","type":"satellite","net_interfaces":[{inner}]}}"#);
    let volume = |inner: &str| format!(r#"{{"volume_definition":{{{inner}}}}}"#);
    let definition = |inner: &str| format!(r#"{{"resource_definition":{{"name":"new"{inner}}}}}"#);
    let path = "/v1/resource-definitions/res/volume-definitions";
    world
        .check(
            "POST",
            path,
            &volume(r#""size_kib":1024"#),
            200,
            &["CREATED"],
        )
        .await;
    let (nodes, groups) = ("/v1/nodes", "/v1/resource-groups");
    let definitions = "/v1/resource-definitions";
    let volumes = "/v1/resource-definitions/res/volume-definitions";
    let spawn = "/v1/resource-groups/rg/spawn";
    for (method, path, body, status, code) in [
        ("POST", nodes, "{".to_owned(), 500, "API_CALL_PARSE_ERROR"),
        ("POST", nodes, "[]".to_owned(), 500, "API_CALL_PARSE_ERROR"),
        (
            "POST",
            nodes,
            r#"{"nmae":"x"}"#.to_owned(),
            500,
            "API_CALL_PARSE_ERROR",
        ),
        (
            "POST",
            nodes,
            r#"{"name":{}}"#.to_owned(),
            500,
            "API_CALL_PARSE_ERROR",
        ),
        ("POST", nodes, "{}".to_owned(), 500, "FAIL_INVLD_NODE_NAME"),
        ("POST", nodes, node(""), 500, "FAIL_MISSING_NETCOM"),
        (
            "POST",
            nodes,
            node(r#"{"name":"default","address":"10.0.0.9"}"#),
            500,
            "FAIL_NO_STLT_CONN_DEFINED",
        ),
        (
            "POST",
            nodes,
            node(r#"{"name":"default","address":"node.example.com"}"#),
            500,
            "FAIL_INVLD_NET_ADDR",
        ),
        (
            "POST",
            nodes,
            node(r#"{"name":"a b","address":"10.0.0.9"}"#),
            500,
            "FAIL_INVLD_NET_NAME",
        ),
        (
            "POST",
            nodes,
            node(r#"{"name":"default","address":"10.0.0.9","satellite_port":99999}"#),
            500,
            "FAIL_INVLD_NET_PORT",
        ),
        (
            "POST",
            nodes,
            node(r#"{"name":"default","address":"10.0.0.9","satellite_encryption_type":"rot13"}"#),
            500,
            "FAIL_INVLD_ENCRYPT_TYPE",
        ),
        (
            "POST",
            nodes,
            r#"{"name":"beta","type":"toaster"}"#.to_owned(),
            500,
            "FAIL_INVLD_NODE_TYPE",
        ),
        // Processed at once by the original, so that nonsense is 400.
        ("POST", groups, "{".to_owned(), 400, "API_CALL_PARSE_ERROR"),
        (
            "POST",
            groups,
            r#"{"name":"new","select_filter":{"place_count":0}}"#.to_owned(),
            500,
            "FAIL_INVLD_PLACE_COUNT",
        ),
        (
            "POST",
            groups,
            r#"{"name":"new","select_filter":{"place_count":"many"}}"#.to_owned(),
            400,
            "API_CALL_PARSE_ERROR",
        ),
        (
            "POST",
            groups,
            r#"{"name":"new","peer_slots":99}"#.to_owned(),
            500,
            "FAIL_INVLD_PROP",
        ),
        (
            "POST",
            groups,
            r#"{"name":"new","props":{"NoSuchKey":"1"}}"#.to_owned(),
            500,
            "FAIL_INVLD_PROP",
        ),
        (
            "POST",
            groups,
            r#"{"name":"RG"}"#.to_owned(),
            500,
            "FAIL_EXISTS_RSC_GRP",
        ),
        (
            "POST",
            definitions,
            "nonsense".to_owned(),
            400,
            "API_CALL_PARSE_ERROR",
        ),
        (
            "POST",
            definitions,
            r#"{"resource_definition":{"name":"RES"}}"#.to_owned(),
            500,
            "FAIL_EXISTS_RSC_DFN",
        ),
        (
            "POST",
            definitions,
            "{}".to_owned(),
            500,
            "FAIL_MISSING_EXT_NAME",
        ),
        (
            "POST",
            definitions,
            definition(r#","resource_group_name":"none""#),
            404,
            "FAIL_NOT_FOUND_RSC_GRP",
        ),
        (
            "POST",
            definitions,
            definition(r#","layer_data":[{"type":"PIE"}]"#),
            500,
            "FAIL_INVLD_LAYER_KIND",
        ),
        (
            "POST",
            definitions,
            definition(r#","layer_data":[{"type":"STORAGE"},{"type":"DRBD"}]"#),
            500,
            "FAIL_INVLD_LAYER_STACK",
        ),
        (
            "POST",
            definitions,
            r#"{"drbd_port":70000,"resource_definition":{"name":"new"}}"#.to_owned(),
            500,
            "FAIL_INVLD_RSC_PORT",
        ),
        (
            "POST",
            definitions,
            r#"{"drbd_transport_type":"PIGEON","resource_definition":{"name":"new"}}"#.to_owned(),
            500,
            "FAIL_INVLD_TRANSPORT_TYPE",
        ),
        (
            "POST",
            volumes,
            volume(r#""size_kib":0"#),
            500,
            "FAIL_INVLD_VLM_SIZE",
        ),
        (
            "POST",
            volumes,
            volume(r#""size_kib":-1"#),
            500,
            "FAIL_INVLD_VLM_SIZE",
        ),
        (
            "POST",
            volumes,
            volume(r#""size_kib":9223372036854775807"#),
            500,
            "FAIL_INVLD_VLM_SIZE",
        ),
        (
            "POST",
            volumes,
            volume(r#""size_kib":92233720368547758070"#),
            500,
            "API_CALL_PARSE_ERROR",
        ),
        (
            "POST",
            volumes,
            volume(r#""size_kib":1024,"volume_number":65535"#),
            500,
            "FAIL_INVLD_VLM_NR",
        ),
        (
            "POST",
            volumes,
            volume(r#""size_kib":1024,"flags":["ENCRYPTED"]"#),
            404,
            "FAIL_NOT_FOUND_CRYPT_KEY",
        ),
        (
            "POST",
            volumes,
            r#"{"volume_definition":{"size_kib":1024},"drbd_minor_number":-5}"#.to_owned(),
            500,
            "FAIL_INVLD_MINOR_NR",
        ),
        (
            "PUT",
            "/v1/resource-definitions/res/volume-definitions/x",
            "{}".to_owned(),
            500,
            "FAIL_INVLD_VLM_NR",
        ),
        (
            "PUT",
            "/v1/resource-definitions/res/volume-definitions/7",
            "{}".to_owned(),
            404,
            "FAIL_NOT_FOUND_VLM_DFN",
        ),
        (
            "POST",
            "/v1/resource-definitions/none/volume-definitions",
            volume(r#""size_kib":1024"#),
            404,
            "FAIL_NOT_FOUND_RSC_DFN",
        ),
        (
            "POST",
            spawn,
            r#"{"resource_definition_name":"all","volume_sizes":[1024]}"#.to_owned(),
            500,
            "FAIL_INVLD_RSC_NAME",
        ),
        (
            "POST",
            spawn,
            r#"{"resource_definition_name":"new","volume_sizes":[-1]}"#.to_owned(),
            500,
            "FAIL_INVLD_VLM_SIZE",
        ),
        (
            "POST",
            spawn,
            r#"{"volume_sizes":"big"}"#.to_owned(),
            500,
            "API_CALL_PARSE_ERROR",
        ),
        (
            "POST",
            "/v1/resource-groups/none/spawn",
            r#"{"resource_definition_name":"new"}"#.to_owned(),
            404,
            "FAIL_NOT_FOUND_RSC_GRP",
        ),
        (
            "POST",
            "/v1/resource-definitions/res/resources",
            "{}".to_owned(),
            500,
            "API_CALL_PARSE_ERROR",
        ),
        (
            "POST",
            "/v1/resource-definitions/res/resources",
            r#"[{"resource":{}}]"#.to_owned(),
            500,
            "FAIL_INVLD_NODE_NAME",
        ),
        (
            "POST",
            "/v1/resource-definitions/res/resources/n1",
            r#"{"resource":{"props":{"StorPoolName":"nope"}}}"#.to_owned(),
            404,
            "FAIL_NOT_FOUND_STOR_POOL",
        ),
        (
            "POST",
            "/v1/resource-definitions/none/autoplace",
            String::new(),
            404,
            "FAIL_NOT_FOUND_RSC_DFN",
        ),
        (
            "PUT",
            "/v1/resource-definitions/res",
            r#"{"override_props":{"DrbdOptions/Net/protocol":"D"}}"#.to_owned(),
            500,
            "FAIL_INVLD_PROP",
        ),
        (
            "PUT",
            "/v1/resource-definitions/res",
            r#"{"resource_group":"none"}"#.to_owned(),
            404,
            "FAIL_NOT_FOUND_RSC_GRP",
        ),
        (
            "PUT",
            "/v1/nodes/none",
            "{}".to_owned(),
            404,
            "FAIL_NOT_FOUND_NODE",
        ),
    ] {
        let answer = world.call(method, path, &body).await;
        let first = answer.names().first().cloned().unwrap_or_default();
        assert_eq!(
            (answer.status.as_u16(), first.as_str()),
            (status, code),
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
        "/v1/resource-groups/rg/volume-groups/7",
        "/v1/resource-definitions/none",
        "/v1/resource-definitions/res/volume-definitions/7",
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
