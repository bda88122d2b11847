//! Rolling a resource back to a snapshot.

use std::time::Duration;

use serde_json::json;

use super::World;
use super::story::spawned;

const RESOURCES: &str = "/v1/resource-definitions/Res/resources";
const SNAPSHOTS: &str = "/v1/resource-definitions/Res/snapshots";
const ROLLBACK: &str = "/v1/resource-definitions/Res/snapshot-rollback/s1";
const VOLUME: &str = "/v1/resource-definitions/Res/volume-definitions/0";

async fn snapshot(world: &World, name: &str) {
    let body = json!({ "name": name }).to_string();
    let answer = world.call("POST", SNAPSHOTS, &body).await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
}

/// The flags of the resources.
async fn flags(world: &World) -> Vec<String> {
    let rows = world.get(RESOURCES).await;
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["flags"].to_string()).collect()
}

/// Sizes are those of the snapshot again, newer snapshots remain, the safety snapshot goes, and the tie breaker is still
/// one. The body may be empty, and an unknown strategy is said.
#[tokio::test(start_paused = true)]
async fn a_rollback() {
    let world = spawned(3).await;
    let before = flags(&world).await;
    assert!(before.iter().any(|flags| flags.contains("TIE_BREAKER")));
    snapshot(&world, "s1").await;
    let grown = world.call("PUT", VOLUME, r#"{"size_kib":2097152}"#).await;
    assert_eq!(grown.status, 200, "{:#}", grown.json());
    snapshot(&world, "s2").await;
    for body in ["", "{}", r#"{"zfs_rollback_strategy":"odd"}"#] {
        let answer = world.call("POST", ROLLBACK, body).await;
        assert_eq!(answer.status, 200, "{:#}", answer.json());
        let text = answer.json().to_string();
        assert!(text.contains("Took snapshot 'safety-snap-"), "{text}");
        assert!(text.contains("Resource 'Res' restored from resource 'Res', snapshot 's1'."));
        assert_eq!(
            text.contains("There is no strategy 'odd'"),
            body.contains("odd")
        );
        assert_eq!(world.get(VOLUME).await["size_kib"], 1_048_576);
        assert_eq!(flags(&world).await, before);
        let left = world.get(SNAPSHOTS).await;
        let left: Vec<_> = left
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["name"])
            .collect();
        assert_eq!(left, ["s1", "s2"]);
        assert_eq!(world.get("/v1/jobs").await, json!([]));
    }
}

/// What stands in the way is said, all of it, before anything is touched.
#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way() {
    let world = spawned(3).await;
    snapshot(&world, "s1").await;
    let refused = async |body: &str, names: &[&str]| {
        let answer = world.call("POST", ROLLBACK, body).await;
        assert!(!answer.status.is_success(), "{:#}", answer.json());
        let found = answer.names();
        for name in names {
            assert!(found.iter().any(|found| found == name), "{found:?}");
        }
        assert_eq!(found.len(), names.len(), "{:#}", answer.json());
        assert_eq!(world.get("/v1/jobs").await, json!([]));
        assert_eq!(world.get(SNAPSHOTS).await.as_array().unwrap().len(), 1);
    };
    world.satellites.in_use("n1", "Res");
    world.satellites.away("n2");
    for node in ["n1", "n2"] {
        let path = format!("/v1/nodes/{node}/reconnect");
        world.call("PUT", &path, "{}").await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    refused("{}", &["FAIL_IN_USE", "FAIL_NOT_CONNECTED"]).await;
}

/// A node that fails at its part leads back to what was before.
#[tokio::test(start_paused = true)]
async fn a_node_that_fails() {
    let world = spawned(2).await;
    snapshot(&world, "s1").await;
    world.satellites.failing("n1");
    let answer = world.call("POST", ROLLBACK, "{}").await;
    assert_eq!(answer.status, 500, "{:#}", answer.json());
    world.satellites.working("n1");
    world.call("PUT", "/v1/nodes/n1/reconnect", "{}").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.get("/v1/jobs").await, json!([]));
    let left = world.get(SNAPSHOTS).await;
    assert_eq!(left.as_array().unwrap().len(), 1, "{left:#}");
    let answer = world.call("POST", ROLLBACK, "{}").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
}
