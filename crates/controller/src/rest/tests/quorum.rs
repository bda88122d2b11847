//! Which nodes vote, and why.

use serde_json::{Value, json};

use super::World;
use super::story::spawned;

const PATH: &str = "/v1/resource-definitions/res/quorum";

async fn votes(world: &World) -> (Value, Vec<String>) {
    let report = world.get(PATH).await;
    let votes = report["votes"].as_array().unwrap().iter();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let votes = votes.map(|row| {
        format!(
            "{} {} {}",
            text(row, "node_name"),
            text(row, "kind"),
            text(row, "vote")
        )
    });
    (report.clone(), votes.collect())
}

/// Two replicas and a tie breaker; then three replicas; then a value of the user's.
#[tokio::test(start_paused = true)]
async fn explained() {
    let world = spawned(3).await;
    let (report, voters) = votes(&world).await;
    assert_eq!(
        voters,
        ["n1 DISKFUL disk", "n2 DISKFUL disk", "n3 TIE_BREAKER tie"]
    );
    assert_eq!(report["quorum"], "majority");
    assert_eq!(report["set_by"], "linstor");
    assert_eq!(
        (&report["disks_needed"], &report["failures_allowed"]),
        (&json!(1), &json!(1))
    );
    let why = report["tie_breaker"].as_str().unwrap();
    assert!(why.starts_with("there is one"), "{why}");

    let third = r#"[{"resource":{"node_name":"n3","props":{"StorPoolName":"thin"}}}]"#;
    let path = "/v1/resource-definitions/res/resources";
    assert_eq!(world.call("POST", path, third).await.status, 201);
    let (report, voters) = votes(&world).await;
    assert_eq!(
        voters,
        ["n1 DISKFUL disk", "n2 DISKFUL disk", "n3 DISKFUL disk"]
    );
    assert_eq!(
        (&report["disks_needed"], &report["failures_allowed"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        report["tie_breaker"],
        "none is needed: 3 diskful resources have a majority"
    );

    let body = r#"{"override_props":{"DrbdOptions/Resource/quorum":"off"}}"#;
    let answer = world
        .call("PUT", "/v1/resource-definitions/res", body)
        .await;
    assert_eq!(answer.status, 200);
    let (report, _) = votes(&world).await;
    assert_eq!(
        (&report["quorum"], &report["set_by"]),
        (&json!("off"), &json!("user"))
    );
    assert_eq!(report.get("disks_needed"), None);
}

/// A client does not vote, and what is not replicated has no quorum.
#[tokio::test(start_paused = true)]
async fn without_vote() {
    let world = spawned(4).await;
    let clients = r#"{"diskless_on_remaining":true,"select_filter":{"place_count":2}}"#;
    let path = "/v1/resource-definitions/res/autoplace";
    let answer = world.call("POST", path, clients).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let (report, voters) = votes(&world).await;
    assert!(
        voters.contains(&"n4 DRBD_CLIENT none".to_owned()),
        "{voters:?}"
    );
    let votes = report["votes"].as_array().unwrap();
    assert_eq!(votes[3]["reason"], "it is a DRBD client");

    let body = r#"{"resource_definition":{"name":"plain","layer_data":[{"type":"STORAGE"}]}}"#;
    assert_eq!(
        world
            .call("POST", "/v1/resource-definitions", body)
            .await
            .status,
        201
    );
    let answer = world
        .call("GET", "/v1/resource-definitions/plain/quorum", "")
        .await;
    assert_eq!(answer.names(), ["FAIL_INVLD_LAYER_STACK"]);
    let absent = world
        .call("GET", "/v1/resource-definitions/nosuch/quorum", "")
        .await;
    assert_eq!(absent.names(), ["FAIL_NOT_FOUND_RSC_DFN"]);
}
