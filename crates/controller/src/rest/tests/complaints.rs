//! What users of replicated storage complain about (`docs/complaints.md`), as far as no other test shows it.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::story::spawned;

const RESOURCES: &str = "/v1/resource-definitions/res/resources";

async fn nodes(world: &World) -> Vec<String> {
    let rows = world.get(RESOURCES).await;
    let rows = rows.as_array().unwrap().iter();
    let mut nodes: Vec<String> = rows
        .map(|row| row["node_name"].as_str().unwrap().to_owned())
        .collect();
    nodes.sort();
    nodes
}

/// A node that fails at everything delays the deletion on another one not at all; its own failure is on its own job.
#[tokio::test(start_paused = true)]
async fn another_nodes_failure_delays_no_deletion() {
    let world = spawned(3).await;
    let third = r#"[{"resource":{"node_name":"n3","props":{"StorPoolName":"thin"}}}]"#;
    assert_eq!(world.call("POST", RESOURCES, third).await.status, 201);
    // Otherwise n3 would become the tie breaker.
    let body = r#"{"override_props":{"DrbdOptions/auto-add-quorum-tiebreaker":"false"}}"#;
    assert_eq!(
        world
            .call("PUT", "/v1/resource-definitions/res", body)
            .await
            .status,
        200
    );
    world.satellites.failing("n2");
    let answer = world.call("DELETE", &format!("{RESOURCES}/n3"), "").await;
    assert!(
        answer.names().contains(&"DELETED".to_owned()),
        "{:#}",
        answer.json()
    );
    assert!(!nodes(&world).await.contains(&"n3".to_owned()));
    let jobs = world.get("/v1/jobs").await;
    let of = |job: &Value| job["obj_refs"]["Node"].as_str().map(str::to_owned);
    let jobs: Vec<_> = jobs.as_array().unwrap().iter().map(of).collect();
    assert_eq!(jobs, [Some("n2".to_owned())]);

    let answer = world
        .call("DELETE", "/v1/resource-definitions/res", "")
        .await;
    assert_eq!(answer.status, 500, "{:#}", answer.json());
    let failed = answer.json().to_string();
    assert!(failed.contains("(n2) lvcreate failed"), "{failed}");
    assert_eq!(nodes(&world).await, ["n2"], "n1 is done");
    world.satellites.works("n2");
    world.call("PUT", "/v1/nodes/n2/reconnect", "").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.get("/v1/resource-definitions").await, json!([]));
    assert_eq!(world.get("/v1/jobs").await, json!([]));
}

/// An evacuation goes on after a restart of the controller.
#[tokio::test(start_paused = true)]
async fn an_evacuation_survives_a_restart() {
    let mut world = spawned(2).await;
    let warned = ["WARN_NOT_EVACUATING"];
    world
        .check("PUT", "/v1/nodes/n1/evacuate", "", 200, &warned)
        .await;
    world.restart().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let jobs = world.get("/v1/jobs").await;
    assert_eq!(jobs[0]["kind"], "node-evacuate", "{jobs:#}");
    world.add_node(3).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(nodes(&world).await, ["n2", "n3"]);
}

/// All nodes restart their satellites one after the other: nothing is moved, and nothing is left to do.
#[tokio::test(start_paused = true)]
async fn a_rolling_restart_changes_nothing() {
    let world = spawned(3).await;
    let before = nodes(&world).await;
    for node in ["n1", "n2", "n3"] {
        world
            .call("PUT", &format!("/v1/nodes/{node}/reconnect"), "")
            .await;
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    assert_eq!(nodes(&world).await, before);
    assert_eq!(world.get("/v1/jobs").await, json!([]));
}
