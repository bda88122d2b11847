//! The web interface: its pages are sent, and what its pages ask is answered.

use super::super::{Limits, router};
use super::World;
use super::http::Server;
use axum::body::Body;
use axum::http::Request;

fn with_pages() -> (tempfile::TempDir, Limits) {
    let parent = tempfile::tempdir().expect("a directory");
    let pages = parent.path().join("ui");
    std::fs::create_dir_all(pages.join("assets")).unwrap();
    std::fs::write(pages.join("index.html"), "<html>pages</html>").unwrap();
    std::fs::write(pages.join("assets/a b.js"), "run()").unwrap();
    std::fs::write(parent.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", pages.join("link")).unwrap();
    let limits = Limits {
        ui_directory: pages,
        ..Limits::default()
    };
    (parent, limits)
}

/// Files of the directory are sent with their types; nothing outside it is, whatever the path.
#[tokio::test(start_paused = true)]
async fn pages() {
    let world = World::new().await;
    let (_parent, limits) = with_pages();
    let server = Server::start(router(world.cluster.clone(), &limits));
    let get = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = server.send(request).await;
        let kind = answer
            .headers
            .get("content-type")
            .map(|kind| kind.to_str().unwrap().to_owned());
        (
            answer.status.as_u16(),
            kind.unwrap_or_default(),
            String::from_utf8(answer.body).unwrap(),
        )
    };
    let (status, _, _) = get("/").await;
    assert_eq!(status, 303);
    assert_eq!(get("/ui").await.0, 308);
    for path in ["/ui/", "/ui/index.html"] {
        let (status, kind, text) = get(path).await;
        assert_eq!(
            (status, &kind[..], &text[..]),
            (200, "text/html; charset=utf-8", "<html>pages</html>")
        );
    }
    let (status, kind, text) = get("/ui/assets/a%20b.js").await;
    assert_eq!(
        (status, &kind[..], &text[..]),
        (200, "text/javascript; charset=utf-8", "run()")
    );
    for path in [
        "/ui/none",
        "/ui/assets",
        "/ui/link",
        "/ui/../secret",
        "/ui/%2e%2e/secret",
        "/ui/assets/..%2f..%2f..%2fsecret",
        "/ui//etc/passwd",
        "/ui/%2fetc%2fpasswd",
    ] {
        let (status, _, text) = get(path).await;
        assert_eq!(status, 404, "{path}: {text}");
    }
    assert_eq!(world.call("GET", "/", "").await.status, 200);
    assert_eq!(world.call("GET", "/ui/", "").await.status, 404);
}

/// What is asked when a page is opened, and members that the page cannot do without.
const OPENED: [(&str, &[&str]); 32] = [
    ("/v1/controller/version", &["/version", "/rest_api_version"]),
    ("/v1/controller/properties", &[]),
    ("/v1/controller/config", &["/config", "/http/enabled"]),
    (
        "/v1/nodes",
        &[
            "/0/name",
            "/0/type",
            "/0/connection_status",
            "/0/net_interfaces/0/address",
        ],
    ),
    ("/v1/nodes?nodes=n1", &["/0/uuid", "/0/storage_providers"]),
    (
        "/v1/nodes/n1/net-interfaces",
        &["/0/name", "/0/satellite_port", "/0/is_active"],
    ),
    (
        "/v1/nodes/n1/storage-pools",
        &["/0/storage_pool_name", "/0/free_capacity"],
    ),
    ("/v1/stats/nodes", &["/count"]),
    ("/v1/stats/resources", &["/count"]),
    ("/v1/stats/resource-definitions", &["/count"]),
    ("/v1/stats/resource-groups", &["/count"]),
    ("/v1/stats/storage-pools", &["/count"]),
    ("/v1/space-report", &["/reportText"]),
    (
        "/v1/view/storage-pools",
        &["/0/node_name", "/0/provider_kind", "/0/total_capacity"],
    ),
    (
        "/v1/view/resources",
        &[
            "/0/name",
            "/0/node_name",
            "/0/volumes/0/storage_pool_name",
            "/0/create_timestamp",
        ],
    ),
    (
        "/v1/view/resources?limit=10&offset=0",
        &["/0/layer_object/type", "/0/state"],
    ),
    ("/v1/view/snapshots", &[]),
    ("/v1/view/schedules-by-resource", &[]),
    ("/v1/view/schedules-by-resource/res", &[]),
    (
        "/v1/resource-definitions",
        &["/0/name", "/0/resource_group_name"],
    ),
    (
        "/v1/resource-definitions?with_volume_definitions=true",
        &["/0/volume_definitions/0/size_kib"],
    ),
    (
        "/v1/resource-definitions/res/resources",
        &["/0/node_name", "/0/uuid"],
    ),
    (
        "/v1/resource-definitions/res/volume-definitions",
        &["/0/volume_number", "/0/size_kib"],
    ),
    (
        "/v1/resource-groups",
        &["/0/name", "/0/select_filter/place_count"],
    ),
    ("/v1/physical-storage/n1", &[]),
    ("/v1/remotes", &[]),
    ("/v1/schedules", &[]),
    ("/v1/files?content=true", &[]),
    ("/v1/key-value-store", &[]),
    ("/v1/error-reports?limit=10&offset=0", &[]),
    ("/v1/encryption/passphrase", &["/status"]),
    ("/v1/view/backup/queue", &[]),
];

/// What people do on the pages, in this order. The interface shows every entry that is no success as a failure.
const DONE: [(&str, &str, &str); 32] = [
    (
        "PUT",
        "/v1/key-value-store/__gui__settings",
        r#"{"override_props":{"mode":"LINSTOR","lang":"en"}}"#,
    ),
    (
        "POST",
        "/v1/controller/properties",
        r#"{"override_props":{"Aux/a":"1"},"delete_props":[]}"#,
    ),
    (
        "PUT",
        "/v1/nodes/n1",
        r#"{"override_props":{"Aux/site":"a"},"delete_props":[]}"#,
    ),
    (
        "POST",
        "/v1/nodes/n1/net-interfaces",
        r#"{"name":"second","address":"10.1.0.1"}"#,
    ),
    (
        "PUT",
        "/v1/nodes/n1/net-interfaces/second",
        r#"{"name":"second","address":"10.1.0.2","is_active":false}"#,
    ),
    ("DELETE", "/v1/nodes/n1/net-interfaces/second", ""),
    (
        "POST",
        "/v1/nodes/n1/storage-pools",
        r#"{"storage_pool_name":"more","provider_kind":"LVM","props":{"StorDriver/StorPoolName":"vg"}}"#,
    ),
    (
        "PUT",
        "/v1/nodes/n1/storage-pools/more",
        r#"{"override_props":{"Aux/tier":"gold"},"delete_props":[]}"#,
    ),
    ("DELETE", "/v1/nodes/n1/storage-pools/more", ""),
    (
        "POST",
        "/v1/resource-groups",
        r#"{"name":"rg","description":"","select_filter":{"place_count":"2",
        "storage_pool_list":["thin"],"diskless_on_remaining":false}}"#,
    ),
    ("POST", "/v1/resource-groups/rg/volume-groups", "{}"),
    (
        "PUT",
        "/v1/resource-groups/rg",
        r#"{"description":"for the test","select_filter":{"place_count":2}}"#,
    ),
    (
        "POST",
        "/v1/resource-groups/rg/spawn",
        r#"{"resource_definition_name":"web","volume_sizes":[4096],
        "definitions_only":false}"#,
    ),
    (
        "POST",
        "/v1/resource-definitions",
        r#"{"resource_definition":{"name":"one","resource_group_name":"rg"}}"#,
    ),
    (
        "POST",
        "/v1/resource-definitions/one/volume-definitions",
        r#"{"volume_definition":{"size_kib":4096}}"#,
    ),
    (
        "POST",
        "/v1/resource-definitions/one/autoplace",
        r#"{"diskless_on_remaining":false,"select_filter":{"place_count":2}}"#,
    ),
    (
        "POST",
        "/v1/resource-definitions/one/resources/n3",
        r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#,
    ),
    (
        "PUT",
        "/v1/resource-definitions/one",
        r#"{"override_props":{"Aux/a":"1"},"delete_props":[]}"#,
    ),
    (
        "PUT",
        "/v1/resource-definitions/one/resources/n3",
        r#"{"override_props":{"Aux/a":"1"},"delete_props":[]}"#,
    ),
    (
        "PUT",
        "/v1/resource-definitions/one/volume-definitions/0",
        r#"{"size_kib":8192}"#,
    ),
    ("DELETE", "/v1/resource-definitions/one/resources/n3", ""),
    (
        "POST",
        "/v1/resource-definitions/one/resources/n3/make-available",
        r#"{"diskful":false}"#,
    ),
    ("DELETE", "/v1/resource-definitions/one", ""),
    (
        "POST",
        "/v1/remotes/linstor",
        r#"{"remote_name":"other","url":"http://10.9.9.9:3370"}"#,
    ),
    (
        "POST",
        "/v1/schedules",
        r#"{"schedule_name":"daily","full_cron":"0 3 * * *","keep_local":2,"on_failure":"SKIP"}"#,
    ),
    (
        "PUT",
        "/v1/remotes/other/backups/schedule/daily/enable",
        r#"{"rsc_name":"web"}"#,
    ),
    (
        "PUT",
        "/v1/remotes/other/backups/schedule/daily/disable",
        r#"{"rsc_name":"web"}"#,
    ),
    ("DELETE", "/v1/schedules/daily", ""),
    ("DELETE", "/v1/remotes?remote_name=other", ""),
    (
        "PUT",
        "/v1/files/%2Fetc%2Fha.toml",
        r#"{"path":"/etc/ha.toml","content":"aGVsbG8="}"#,
    ),
    ("DELETE", "/v1/files/%2Fetc%2Fha.toml", ""),
    ("DELETE", "/v1/key-value-store/__gui__settings", ""),
];

/// Every request of the pages is answered without an error and with what they show.
#[tokio::test(start_paused = true)]
async fn requests() {
    let world = World::with_nodes(3).await;
    let group = r#"{"name":"st","select_filter":{"place_count":2,"layer_stack":["STORAGE"]}}"#;
    world.call("POST", "/v1/resource-groups", group).await;
    let spawn = r#"{"resource_definition_name":"res","volume_sizes":[4096]}"#;
    world
        .call("POST", "/v1/resource-groups/st/spawn", spawn)
        .await;
    let mut wrong = Vec::new();
    for (path, members) in OPENED {
        let shown = world.get(path).await;
        for member in members {
            if shown.pointer(member).is_none() {
                wrong.push(format!("{path} has no {member}: {shown}"));
            }
        }
    }
    // Figures change between two requests, so they are not read twice.
    let metrics = Request::builder().uri("/metrics").body(Body::empty());
    assert_eq!(world.server.send(metrics.unwrap()).await.status, 200);
    for (method, path, body) in DONE {
        let answer = world.call(method, path, body).await;
        let failed = answer.codes().into_iter().any(|code| code < 0);
        if failed || !answer.status.is_success() {
            wrong.push(format!("{method} {path}: {:#}", answer.json()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
