//! What nodes are asked apart from specs: settings, drbd-reactor, the state of their machines; and copies of the database.

use std::process::Command;

use serde_json::json;
use tower::ServiceExt as _;

use super::*;

/// A cluster whose controller has a directory for files.
async fn with_directory(directory: &std::path::Path) -> World {
    let arguments = Arguments {
        config_directory: Some(directory.to_owned()),
        controller_directory: Some(directory.to_owned()),
        ..Arguments::default()
    };
    let config = Config::load(&arguments, &|_| None).expect("there is no file of settings");
    World::start(MemoryStore::new(), Satellites::default(), Some(config)).await
}

/// The settings of a satellite are shown, and its level of the log is changed.
#[tokio::test(start_paused = true)]
async fn settings_of_satellites() {
    let world = World::with_nodes(1).await;
    let config = world.get("/v1/nodes/n1/config").await;
    assert_eq!(config["config"], json!({"dir": "/etc/linstor"}));
    assert_eq!(config["log"]["level"], "INFO");
    assert_eq!(config["net"]["port"], 3366);
    let path = "/v1/nodes/n1/config";
    let level = r#"{"log":{"level":"debug"}}"#;
    world.check("PUT", path, level, 200, &["MODIFIED"]).await;
    for (body, name) in [
        (r#"{"log":{"level":"LOUD"}}"#, "FAIL_INVLD_CONF"),
        ("{}", "FAIL_UNKNOWN_ERROR"),
        ("", "API_CALL_PARSE_ERROR"),
    ] {
        world.check("PUT", path, body, 500, &[name]).await;
    }
    let nobody = "/v1/nodes/nobody/config";
    let absent = ["FAIL_NOT_FOUND_NODE"];
    world.check("GET", nobody, "", 404, &absent).await;
    world.check("PUT", nobody, level, 404, &absent).await;
}

/// The settings of a node that is away cannot be had now.
#[tokio::test(start_paused = true)]
async fn settings_of_a_node_that_is_away() {
    let world = World::new().await;
    world.satellites.away("alpha");
    world.call("POST", "/v1/nodes", NODE).await;
    let path = "/v1/nodes/alpha/config";
    world
        .check("GET", path, "", 503, &["WARN_NOT_CONNECTED"])
        .await;
    let level = r#"{"log":{"level":"DEBUG"}}"#;
    world
        .check("PUT", path, level, 500, &["FAIL_NOT_CONNECTED"])
        .await;
    let status = r#"{"nodes":["alpha"]}"#;
    let path = "/v1/nodes/exec/drbd-reactorctl/status";
    let answer = world.call("POST", path, status).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()[0]["exit_code"], -1);
}

/// The controller's level of the log is changed on all satellites, where that is asked for.
#[tokio::test(start_paused = true)]
async fn the_level_of_the_log_of_all() {
    let world = World::with_nodes(2).await;
    let body = r#"{"log":{"level_global":"INFO"}}"#;
    let path = "/v1/controller/config";
    world.check("PUT", path, body, 200, &["MODIFIED"]).await;
    world.satellites.away("n2");
    world.call("PUT", "/v1/nodes/n2/reconnect", "").await;
    let answer = world.call("PUT", path, body).await;
    assert_eq!(answer.names(), ["MODIFIED", "FAIL_NOT_CONNECTED"]);
}

/// Orders to drbd-reactor are answered for each node; what is no name of a configuration reaches none.
#[tokio::test(start_paused = true)]
async fn drbd_reactor() {
    let world = World::with_nodes(2).await;
    let call = async |order: &str, body: &str| {
        let path = format!("/v1/nodes/exec/drbd-reactorctl/{order}");
        world.call("POST", &path, body).await
    };
    let evict = r#"{"nodes":["n1"],"resource":"web","wait":true}"#;
    let answer = call("evict", evict).await;
    assert_eq!(
        answer.json(),
        json!([{"node": "n1", "exit_code": 0, "stdout_utf8": "Node 'n2' took over", "active_node": "n2"}])
    );
    let both = r#"{"nodes":["n1","N2"],"config":"web"}"#;
    for order in ["disable", "enable", "restart"] {
        let answer = call(order, both).await.json();
        assert_eq!(answer[1]["node"], "n2", "{order}");
        assert_eq!(answer[1]["exit_code"], 1);
        assert_eq!(answer[1]["stderr_utf8"], "no such configuration");
    }
    for (order, body, name) in [
        (
            "enable",
            r#"{"nodes":["n1"],"config":"../web"}"#,
            "FAIL_INVLD_CONF",
        ),
        (
            "enable",
            r#"{"nodes":["n1"],"config":"--now"}"#,
            "FAIL_INVLD_CONF",
        ),
        ("restart", r#"{"nodes":["n1"]}"#, "FAIL_INVLD_CONF"),
        ("status", r#"{"nodes":[]}"#, "FAIL_INVLD_NODE_NAME"),
        ("status", r#"{"nodes":["nobody"]}"#, "FAIL_NOT_FOUND_NODE"),
    ] {
        assert_eq!(call(order, body).await.names(), [name], "{order} {body}");
    }
}

/// A report for support has what each node gives, under names that do not leave their directory, and no secret of DRBD.
#[tokio::test(start_paused = true)]
async fn reports_for_support() {
    let directory = tempfile::tempdir().unwrap();
    let world = with_directory(directory.path()).await;
    world.add_node(1).await;
    // Once: another one of the same second has the same name.
    let request = Request::builder().uri("/v1/sos-report?include-ctrl=true");
    let request = request.body(Body::empty()).unwrap();
    let answer = world.app.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 201);
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    let replies: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    let made = replies[0]["obj_refs"]["path"].clone();
    assert!(std::path::Path::new(made.as_str().unwrap()).is_file());
    let answer = world
        .call("GET", "/v1/sos-report/download?nodes=n1", "")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let archive = directory.path().join("downloaded.tar.gz");
    std::fs::write(&archive, &answer.body).unwrap();
    let listed = Command::new("tar")
        .arg("-tzf")
        .arg(&archive)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for file in ["n1/.._lvs", "_Controller/node-list.json", "query-params"] {
        assert!(
            listed.lines().any(|line| line.ends_with(file)),
            "{file}\n{listed}"
        );
    }
    assert!(!listed.contains("/../"), "{listed}");
    let absent = ["FAIL_NOT_FOUND_NODE"];
    let path = "/v1/sos-report/download?nodes=nobody";
    world.check("GET", path, "", 404, &absent).await;
}

/// Copies of the database: in its own form, and as rows in JSON. No name leaves the directory, and nothing is overwritten.
#[tokio::test(start_paused = true)]
async fn copies_of_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let world = with_directory(directory.path()).await;
    world.add_node(1).await;
    let backup = "/v1/controller/backup/db";
    let named = r#"{"backup_name":"friday"}"#;
    world.check("POST", backup, named, 201, &["CREATED"]).await;
    let export = "/v1/controller/database/export";
    world.check("POST", export, named, 201, &["CREATED"]).await;
    let text = std::fs::read(directory.path().join("friday.json")).unwrap();
    let export_of: Value = serde_json::from_slice(&text).unwrap();
    let rows = export_of["rows"].as_array().unwrap();
    assert!(
        rows.iter()
            .any(|row| row["kind"] == "node" && row["row"]["name"] == "n1"),
        "{rows:?}"
    );
    world
        .check("POST", export, named, 500, &["FAIL_UNKNOWN_ERROR"])
        .await;
    for path in [backup, export] {
        let bad = r#"{"backup_name":"../friday"}"#;
        world
            .check("POST", path, bad, 500, &["FAIL_INVLD_CONF"])
            .await;
        let unknown = ["API_CALL_PARSE_ERROR"];
        world.check("POST", path, r#"{"x":1}"#, 400, &unknown).await;
        world.check("POST", path, "", 400, &unknown).await;
    }
}
