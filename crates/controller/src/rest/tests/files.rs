//! External files.

use serde_json::json;

use super::World;

const FILE: &str = "/v1/files/%2Fetc%2Fa.conf";

/// A file is stored, listed with and without its content, replaced and deleted.
#[tokio::test(start_paused = true)]
async fn files_are_kept() {
    let world = World::with_nodes(1).await;
    assert_eq!(world.get("/v1/files").await, json!([]));
    let hello = r#"{"content":"aGVsbG8="}"#;
    world.check("PUT", FILE, hello, 200, &["MODIFIED"]).await;
    let world_text = r#"{"content":"d29ybGQ=","alt_suffixes":[".disabled"]}"#;
    world
        .check("PUT", FILE, world_text, 200, &["MODIFIED"])
        .await;
    let short = json!({"path": "/etc/a.conf", "alt_suffixes": [".disabled"]});
    let whole =
        json!({"path": "/etc/a.conf", "content": "d29ybGQ=", "alt_suffixes": [".disabled"]});
    assert_eq!(world.get("/v1/files").await, json!([short]));
    assert_eq!(world.get("/v1/files?content=True").await, json!([whole]));
    assert_eq!(world.get(FILE).await, whole);
    for (path, body, code) in [
        (FILE, r#"{"content":"not base64 !"}"#, "FAIL_UNKNOWN_ERROR"),
        (FILE, "{}", "FAIL_UNKNOWN_ERROR"),
        (FILE, r#"{"content":""}"#, "FAIL_INVLD_EXT_FILE"),
        (
            FILE,
            r#"{"content":"aGVsbG8=","alt_suffixes":["/../x"]}"#,
            "FAIL_INVLD_EXT_FILE",
        ),
        ("/v1/files/relative", hello, "FAIL_INVLD_EXT_FILE_NAME"),
        ("/v1/files/%2Fa%0Ab", hello, "FAIL_INVLD_EXT_FILE_NAME"),
        (FILE, "", "API_CALL_PARSE_ERROR"),
    ] {
        world.check("PUT", path, body, 500, &[code]).await;
    }
    assert_eq!(world.get(FILE).await, whole);
    let missing = world.call("GET", "/v1/files/%2Fnone", "").await;
    assert_eq!(missing.status, 404);
    for (path, node, allowed) in [
        ("%2Fetc%2Fa.conf", "n1", true),
        ("%2Fetc%2Fnone", "n1", true),
        ("%2Fusr%2Fa", "n1", false),
        ("relative", "n1", false),
        ("%2Fetc%2Fa.conf", "none", false),
    ] {
        let check = world.get(&format!("/v1/files/{path}/check/{node}")).await;
        assert_eq!(check, json!({"allowed": allowed}), "{path} {node}");
    }
    let status = format!("{FILE}/status/n1");
    let there = json!({"actual_path": "/etc/a.conf", "content_match": true});
    assert_eq!(world.get(&status).await, there);
    let large = format!(r#"{{"content":"{}"}}"#, "aaaa".repeat(200_000));
    world
        .check("PUT", FILE, &large, 500, &["FAIL_INVLD_EXT_FILE"])
        .await;
    let codes = ["DELETED", "MODIFIED", "DELETED"];
    world.check("DELETE", FILE, "", 200, &codes).await;
    world
        .check("DELETE", FILE, "", 200, &["WARN_NOT_FOUND"])
        .await;
    world
        .check("GET", &status, "", 404, &["FAIL_NOT_FOUND_EXT_FILE"])
        .await;
}

/// A resource definition that needs a file has a property, until the file is deleted. A node that does not
/// allow the file refuses it.
#[tokio::test(start_paused = true)]
async fn resource_definitions_need_files() {
    let world = World::with_nodes(1).await;
    let hello = r#"{"content":"aGVsbG8="}"#;
    world.check("PUT", FILE, hello, 200, &["MODIFIED"]).await;
    world
        .check(
            "PUT",
            "/v1/files/%2Fetc%2F..%2Fx",
            hello,
            200,
            &["MODIFIED"],
        )
        .await;
    let res = r#"{"resource_definition":{"name":"res"}}"#;
    world.call("POST", "/v1/resource-definitions", res).await;
    let files = "/v1/resource-definitions/res/files";
    let path = format!("{files}/%2Fetc%2Fa.conf");
    world.check("POST", &path, "", 200, &[]).await;
    let props = &world.get("/v1/resource-definitions/res").await["props"];
    assert_eq!(props["files/etc/a.conf"], "True");
    for (path, status, code) in [
        (format!("{files}/%2Fnone"), 404, "FAIL_NOT_FOUND_EXT_FILE"),
        (
            format!("{files}/%2Fetc%2F..%2Fx"),
            500,
            "FAIL_INVLD_EXT_FILE_NAME",
        ),
        (
            "/v1/resource-definitions/none/files/%2Fetc%2Fa.conf".to_owned(),
            404,
            "FAIL_NOT_FOUND_RSC_DFN",
        ),
    ] {
        world.check("POST", &path, "", status, &[code]).await;
    }
    let resource = r#"[{"resource":{"node_name":"n1","props":{"StorPoolName":"thin"}}}]"#;
    world
        .call("POST", "/v1/resource-definitions/res/resources", resource)
        .await;
    // It is needed already.
    world.check("POST", &path, "", 200, &[]).await;
    world.check("DELETE", &path, "", 200, &["MODIFIED"]).await;
    world.check("POST", &path, "", 200, &["MODIFIED"]).await;
    let elsewhere = "%2Fusr%2Fa";
    let put = format!("/v1/files/{elsewhere}");
    world.check("PUT", &put, hello, 200, &["MODIFIED"]).await;
    let refused = &["FAIL_ACC_DENIED_EXT_FILE"];
    let deploy = format!("{files}/{elsewhere}");
    world.check("POST", &deploy, "", 403, refused).await;
    world.call("DELETE", FILE, "").await;
    let props = &world.get("/v1/resource-definitions/res").await["props"];
    assert_eq!(props.get("files/etc/a.conf"), None);
}

/// A resource definition that no longer needs an external file loses its property.
#[tokio::test(start_paused = true)]
async fn files_are_undeployed() {
    let world = World::new().await;
    let hello = r#"{"content":"aGVsbG8="}"#;
    assert!(
        world
            .call("PUT", "/v1/files/%2Fetc%2Fa", hello)
            .await
            .status
            .is_success()
    );
    let res = r#"{"resource_definition":{"name":"res"}}"#;
    assert!(
        world
            .call("POST", "/v1/resource-definitions", res)
            .await
            .status
            .is_success()
    );
    let path = "/v1/resource-definitions/res/files/%2Fetc%2Fa";
    assert!(world.call("POST", path, "").await.status.is_success());
    assert!(world.call("DELETE", path, "").await.status.is_success());
    let props = world.get("/v1/resource-definitions/res").await;
    assert_eq!(props["props"].get("files/etc/a"), None);
}
