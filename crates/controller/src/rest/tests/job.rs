//! Jobs: shown one by one, and cancelled.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::story::spawned;

const RESOURCE: &str = "/v1/resource-definitions/res/resources/n1";

/// Begins the deletion of the resource on `n1`, which does not answer; returns the job.
async fn begin_deletion(world: &World) -> Value {
    let answer = world.call("DELETE", RESOURCE, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    job(world, "resource-delete", "Node", "n1").await
}

async fn job(world: &World, kind: &str, key: &str, name: &str) -> Value {
    let jobs = world.get("/v1/jobs").await;
    let mut all = jobs.as_array().unwrap().iter();
    let job = all.find(|job| job["kind"] == kind && job["obj_refs"][key] == name);
    job.unwrap_or_else(|| panic!("no {kind} in {jobs:#}"))
        .clone()
}

fn path(job: &Value) -> String {
    format!("/v1/jobs/{}", job["id"].as_str().unwrap())
}

async fn world() -> World {
    let world = spawned(3).await;
    world.satellites.away("n1");
    world
}

/// A deletion that has destroyed nothing yet is taken back, and the resource is there as before.
#[tokio::test(start_paused = true)]
async fn a_job_is_cancelled() {
    let world = world().await;
    let job = begin_deletion(&world).await;
    let shown = world.get(&path(&job)).await;
    assert_eq!(shown["phase"], "taking-down");
    assert_eq!((&shown["step"], &shown["steps"]), (&json!(1), &json!(2)));
    assert_eq!(shown["waiting_for"][0]["node"], "n1");
    let cancel = format!("{}/cancel", path(&job));
    let answer = world.call("POST", &cancel, "{}").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let reply = answer.json()[0].clone();
    assert_eq!(answer.names()[0], "MODIFIED");
    assert_eq!(reply["obj_refs"]["Job"], job["id"]);
    let message = format!(
        "Job {} (resource-delete, resource 'Res' on node 'n1') was cancelled.",
        job["id"].as_str().unwrap()
    );
    assert_eq!(reply["message"], message);
    assert_eq!(world.get(RESOURCE).await.get("flags"), None);
    for (method, path) in [("GET", path(&job)), ("POST", cancel)] {
        let not_found = ["FAIL_NOT_FOUND_JOB"];
        world.check(method, &path, "{}", 404, &not_found).await;
    }
}

/// A job that is given a time is cancelled then, if it is not finished.
#[tokio::test(start_paused = true)]
async fn a_job_is_cancelled_later() {
    let world = world().await;
    let job = begin_deletion(&world).await;
    let cancel = format!("{}/cancel", path(&job));
    for after_s in ["0", "-1", "99999999999"] {
        let body = format!(r#"{{"after_s":{after_s}}}"#);
        let refused = ["FAIL_INVLD_REQUEST"];
        world.check("POST", &cancel, &body, 500, &refused).await;
    }
    assert_eq!(world.get(&path(&job)).await.get("deadline"), None);
    let body = r#"{"after_s":600}"#;
    world.check("POST", &cancel, body, 200, &["MODIFIED"]).await;
    let shown = world.get(&path(&job)).await;
    assert!(shown["deadline"].as_i64() > shown["since"].as_i64());
    tokio::time::sleep(Duration::from_secs(590)).await;
    assert_eq!(world.get(&path(&job)).await["deadline"], shown["deadline"]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let not_found = ["FAIL_NOT_FOUND_JOB"];
    world.check("GET", &path(&job), "", 404, &not_found).await;
    assert_eq!(world.get(RESOURCE).await.get("flags"), None);
}

/// What cannot be taken back is not cancelled, and the answer says why; nor are jobs that are no processes.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_cancelled_goes_on() {
    let world = world().await;
    let volume = "/v1/resource-definitions/res/volume-definitions/0";
    let answer = world.call("DELETE", volume, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    for (kind, cause) in [
        ("volume-definition-delete", "is being destroyed"),
        ("resource-deploy", "has not yet brought"),
    ] {
        let job = job(&world, kind, "RscDfn", "Res").await;
        for body in ["{}", r#"{"after_s":600}"#] {
            let cancel = format!("{}/cancel", path(&job));
            let answer = world.call("POST", &cancel, body).await;
            assert_eq!(answer.status, 500);
            assert_eq!(answer.names(), ["FAIL_IN_USE"]);
            let reply = answer.json()[0].clone();
            assert!(
                reply["cause"].as_str().unwrap().contains(cause),
                "{reply:#}"
            );
            assert!(reply["correction"].is_string());
        }
        assert_eq!(world.get(&path(&job)).await["id"], job["id"]);
    }
}
