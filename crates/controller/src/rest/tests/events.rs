//! Streams of events, and figures for Prometheus.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::World;

const SOON: Duration = Duration::from_secs(5);

/// The frames of a stream, in the order in which they come.
struct Frames {
    body: BodyDataStream,
    text: String,
}

impl Frames {
    async fn of(world: &World, path: &str, last: Option<&str>) -> Frames {
        let mut request = Request::builder().uri(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = world.app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Frames {
            body: answer.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event's name and data; none when none comes soon.
    async fn next(&mut self) -> Option<(String, Value)> {
        while !self.text.contains("\n\n") {
            let piece = timeout(SOON, self.body.next()).await.ok()??;
            self.text
                .push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        let (frame, rest) = self.text.split_once("\n\n").unwrap();
        let (name, data) = frame.split_once('\n').expect("two lines");
        let name = name.strip_prefix("event: ").unwrap().to_owned();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        self.text = rest.to_owned();
        Some((name, data))
    }
}

/// Nodes are created, changed and deleted while somebody listens.
#[tokio::test(start_paused = true)]
async fn events_of_nodes() {
    let world = World::with_nodes(1).await;
    let mut frames = Frames::of(&world, "/v1/events/nodes", None).await;
    assert_eq!(
        frames.next().await,
        None,
        "what was there before is no event"
    );
    world.call("POST", "/v1/nodes", super::NODE).await;
    let (name, data) = frames.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["node"]["name"]),
        ("node-create", &json!("alpha"))
    );
    let change = r#"{"override_props":{"Aux/rack":"7"}}"#;
    world
        .check(
            "PUT",
            "/v1/nodes/n1",
            change,
            200,
            &["CREATED", "MODIFIED", "MODIFIED"],
        )
        .await;
    let modified = loop {
        // The satellite's host name may be news too.
        let (name, data) = frames.next().await.unwrap();
        assert_eq!(name, "node-modified");
        if data["new_node"]["props"]["Aux/rack"] == "7" {
            break data;
        }
    };
    assert_eq!(modified["old_node"]["props"].get("Aux/rack"), None);
    world.call("DELETE", "/v1/nodes/alpha", "").await;
    let gone = loop {
        let (name, data) = frames.next().await.unwrap();
        if name == "node-delete" {
            break data;
        }
    };
    assert_eq!(gone["node"]["name"], "alpha");
}

/// What may become primary is sent as it changes; who asks for what is gets that first.
#[tokio::test(start_paused = true)]
async fn events_of_promotion() {
    let world = World::with_nodes(2).await;
    let path = "/v1/events/drbd/promotion";
    let mut frames = Frames::of(&world, path, None).await;
    let spawn = r#"{"resource_definition_name":"res","volume_sizes":[8192]}"#;
    let group = r#"{"name":"rg","select_filter":{"place_count":2,"storage_pool":"thin"}}"#;
    world.call("POST", "/v1/resource-groups", group).await;
    let spawned = world
        .call("POST", "/v1/resource-groups/rg/spawn", spawn)
        .await;
    assert_eq!(spawned.status, 201);
    let of = |node: &str| {
        let data = json!({"resource_name": "res", "node_name": node, "may_promote": true});
        ("may-promote-change".to_owned(), data)
    };
    let mut seen = [frames.next().await.unwrap(), frames.next().await.unwrap()];
    seen.sort_by_key(|(_, data)| data.to_string());
    assert_eq!(seen, [of("n1"), of("n2")]);
    assert_eq!(frames.next().await, None);
    let mut replayed = Frames::of(&world, path, Some("current")).await;
    assert_eq!(replayed.next().await, Some(of("n1")));
    assert_eq!(replayed.next().await, Some(of("n2")));
    assert_eq!(replayed.next().await, None);
    let mut fresh = Frames::of(&world, path, None).await;
    assert_eq!(fresh.next().await, None);
}

/// Figures have LINSTOR's names and labels, and what is not wanted is left out.
#[tokio::test(start_paused = true)]
async fn figures() {
    let world = World::with_nodes(2).await;
    let group = r#"{"name":"rg","select_filter":{"place_count":2,"storage_pool":"thin"}}"#;
    world.call("POST", "/v1/resource-groups", group).await;
    let spawn = r#"{"resource_definition_name":"res","volume_sizes":[8192]}"#;
    world
        .call("POST", "/v1/resource-groups/rg/spawn", spawn)
        .await;
    // Each request counts: the two ways to ask for it differ.
    let text = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = world.app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/plain;version=0.0.4");
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX)
            .await
            .unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let all = text("/metrics").await;
    for line in [
        "linstor_node_state{node=\"n1\",nodetype=\"SATELLITE\",address=\"10.0.0.1\",port=\"3366\",encryption=\"PLAIN\"} 2",
        "linstor_resource_definition_count 1",
        "linstor_resource_definition_resource_count{name=\"res\",resource_group=\"rg\"} 2",
        "linstor_volume_definition_size_bytes{name=\"res\",volume_number=\"0\",resource_group=\"rg\"} 8388608",
        "linstor_resource_state{name=\"res\",node=\"n1\"} 0",
        "linstor_volume_state{resource=\"res\",node=\"n2\",volume=\"0\",device_path=\"/dev/drbd1000\",storage_pool=\"thin\"} 1",
        "linstor_storage_pool_error_count{storage_pool=\"thin\",node=\"n1\",driver=\"LVM_THIN\",backing_pool=\"vg/thin\"} 0",
        "linstor_restapi_request_duration_seconds_count{apicall=\"POST /v1/resource-groups/{group}/spawn\"} 1",
        "linstor_scrape_requests_count 1",
    ] {
        assert!(all.lines().any(|found| found == line), "{line}\n{all}");
    }
    let some = text("/metrics?resource=false&storage_pools=false").await;
    assert!(!some.contains("linstor_resource_state") && !some.contains("linstor_storage_pool"));
    assert!(some.contains("linstor_node_state"));
    let without = text("/metrics?error_reports=false").await;
    for (name, there) in [
        (
            "linstor_error_reports_count{module=\"CONTROLLER\",hostname=\"Controller\"}",
            true,
        ),
        (
            "linstor_apicall_duration_seconds_count{apicall=\"applied\",peer=\"n1\"}",
            true,
        ),
        (
            "linstor_apicall_duration_seconds_created{apicall=\"synced\",peer=\"n2\"}",
            true,
        ),
        (
            "linstor_restapi_request_duration_seconds_created{apicall=\"POST /v1/nodes\"}",
            true,
        ),
        ("linstor_node_reconnect_attempt_count{node=\"n1\"", true),
        ("process_cpu_seconds_total", true),
        ("process_start_time_seconds", true),
        ("process_max_fds", true),
        ("linstor_resource_count", false),
    ] {
        assert_eq!(
            all.lines().any(|line| line.starts_with(name)),
            there,
            "{name}\n{all}"
        );
    }
    assert!(!without.contains("linstor_error_reports_count"));
    let targets = world.get("/metrics/scrape-target").await;
    assert_eq!(
        targets,
        json!([{"targets": ["10.0.0.1:9942", "10.0.0.2:9942"]}])
    );
}
