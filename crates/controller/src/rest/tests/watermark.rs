//! Watermarks of storage pools, and pools in trouble.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt as _;

use super::World;

const PROPERTIES: &str = "/v1/nodes/n1/storage-pools/thin";

/// Creates a definition with a volume, for placement.
async fn definition(world: &World, name: &str) {
    let body = format!(r#"{{"resource_definition":{{"name":"{name}"}}}}"#);
    world.call("POST", "/v1/resource-definitions", &body).await;
    let body = r#"{"volume_definition":{"size_kib":65536}}"#;
    let path = format!("/v1/resource-definitions/{name}/volume-definitions");
    let answer = world.call("POST", &path, body).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

/// A pool above a mark is warned about, left out of placement, and takes nothing at all.
#[tokio::test(start_paused = true)]
async fn a_full_pool() {
    let world = World::with_nodes(1).await;
    world.satellites.filled("n1", 80);
    world.call("PUT", "/v1/nodes/n1/reconnect", "{}").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let pool = world.get(PROPERTIES).await;
    assert_eq!(pool["reports"], json!(null));
    let set = |mark: &str, percent: &str| {
        format!(r#"{{"override_props":{{"Watermark/{mark}":"{percent}"}}}}"#)
    };
    world.call("PUT", PROPERTIES, &set("Warn", "79.5")).await;
    let pool = world.get(PROPERTIES).await;
    assert_eq!(
        pool["reports"][0]["message"],
        "Storage pool 'thin' is 80.0 % full."
    );
    definition(&world, "placed").await;
    let autoplace = "/v1/resource-definitions/placed/autoplace";
    let body = r#"{"select_filter":{"place_count":1}}"#;
    let definitions = "/v1/storage-pool-definitions/thin";
    world.call("PUT", definitions, &set("Place", "70")).await;
    let answer = world.call("POST", autoplace, body).await;
    assert_eq!(answer.status, 500);
    let text = answer.json().to_string();
    assert!(text.contains("80.0 % full"), "{text}");
    // By hand it can be made, until the pool is protected.
    let create = "/v1/resource-definitions/placed/resources/n1";
    world
        .call("POST", "/v1/controller/properties", &set("Protect", "75"))
        .await;
    let by_hand = r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#;
    let answer = world.call("POST", create, by_hand).await;
    assert_eq!(answer.status, 500, "{}", answer.json());
    assert!(
        answer
            .json()
            .to_string()
            .contains("Watermark/Protect is 75 %")
    );
    world
        .call("POST", "/v1/controller/properties", &set("Protect", "90"))
        .await;
    let answer = world.call("POST", create, by_hand).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let answer = world.call("PUT", PROPERTIES, &set("Warn", "101")).await;
    assert_eq!(answer.status, 500);
    // Not through the server of the tests, which asks twice: the request itself is counted.
    let request = Request::builder().uri("/metrics").body(Body::empty());
    let answer = world.app.clone().oneshot(request.unwrap()).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    let figures = String::from_utf8_lossy(&body.unwrap()).into_owned();
    let line = r#"linstor_storage_pool_filled_ratio{storage_pool="thin",node="n1""#;
    let line = figures
        .lines()
        .find(|l| l.starts_with(line))
        .expect("a figure");
    assert!(line.ends_with(" 0.8"), "{line}");
    assert!(figures.contains("linstor_storage_pool_full_in_seconds"));
}

/// Options of programs are checked where they are set.
#[tokio::test(start_paused = true)]
async fn options_of_programs() {
    let world = World::with_nodes(1).await;
    for (key, value, status) in [
        ("LvcreateOptions", "-i 2 -I 64k", 200),
        ("LvcreateOptions", "--config x", 500),
        ("LvcreateOptions", "-n other", 500),
        ("LvcreatePvSelection", "--sort pv_used", 200),
        ("LvcreatePvSelection", "--config x", 500),
        ("ZfscreateOptions", "-o compression=lz4", 200),
        ("ZfscreateOptions", "-o mountpoint=/etc", 500),
    ] {
        let body = format!(r#"{{"override_props":{{"StorDriver/{key}":"{value}"}}}}"#);
        let answer = world.call("PUT", PROPERTIES, &body).await;
        assert_eq!(answer.status, status, "{key} {value}: {}", answer.json());
    }
}
