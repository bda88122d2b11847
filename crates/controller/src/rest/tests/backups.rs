//! Remotes, schedules and what is asked of backups.

use serde_json::json;

use super::World;

const PASSPHRASE: &str = r#"{"new_passphrase":"pass"}"#;

/// A remote that is another cluster: created, listed, changed, deleted; its secrets and its id are never shown.
#[tokio::test(start_paused = true)]
async fn linstor_remotes() {
    let world = World::new().await;
    let path = "/v1/remotes/linstor";
    for (body, status, code) in [
        (
            r#"{"remote_name":"peer","url":"http://127.0.0.1:1"}"#,
            200,
            "CREATED",
        ),
        (
            r#"{"remote_name":"PEER","url":"http://127.0.0.1:1"}"#,
            500,
            "FAIL_EXISTS_REMOTE",
        ),
        (r#"{"remote_name":"l2","url":"host"}"#, 200, "CREATED"),
        (
            r#"{"remote_name":"l3","url":"not a url"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (r#"{"remote_name":"l4"}"#, 500, "FAIL_INVLD_BACKUP_CONFIG"),
        (r#"{"url":"http://a"}"#, 500, "FAIL_INVLD_BACKUP_CONFIG"),
        (
            r#"{"remote_name":"l5","url":"a","cluster_id":"x"}"#,
            500,
            "FAIL_INVLD_CONF",
        ),
        (
            r#"{"remote_name":"a b","url":"a"}"#,
            500,
            "FAIL_INVLD_REMOTE_NAME",
        ),
        (r#"{"nonsense":1}"#, 500, "API_CALL_PARSE_ERROR"),
        ("", 500, "API_CALL_PARSE_ERROR"),
    ] {
        world.check("POST", path, body, status, &[code]).await;
    }
    let list = json!([{"remote_name": "l2", "url": "http://host:3370"},
        {"remote_name": "peer", "url": "http://127.0.0.1:1"}]);
    assert_eq!(
        world.get("/v1/remotes").await,
        json!({"linstor_remotes": list})
    );
    for (name, body, status, code) in [
        ("peer", r#"{"url":"https://b"}"#, 200, "MODIFIED"),
        ("peer", "{}", 200, "MODIFIED"),
        ("peer", r#"{"url":"::"}"#, 500, "FAIL_UNKNOWN_ERROR"),
        ("none", r#"{"url":"b"}"#, 404, "FAIL_NOT_FOUND_REMOTE"),
    ] {
        world
            .check("PUT", &format!("{path}/{name}"), body, status, &[code])
            .await;
    }
    assert_eq!(world.get(path).await[1]["url"], "https://b:3371");
    let s3 = r#"{"bucket":"b"}"#;
    world
        .check(
            "PUT",
            "/v1/remotes/s3/peer",
            s3,
            500,
            &["FAIL_EXISTS_REMOTE"],
        )
        .await;
    let delete = "/v1/remotes?remote_name=peer";
    world
        .check("DELETE", delete, "", 200, &["DELETED", "DELETED"])
        .await;
    world
        .check("DELETE", delete, "", 200, &["WARN_NOT_FOUND"])
        .await;
    world
        .check(
            "DELETE",
            "/v1/remotes",
            "",
            500,
            &["FAIL_INVLD_REMOTE_NAME"],
        )
        .await;
}

/// A reference to an object that the request did not name is null.
#[tokio::test(start_paused = true)]
async fn what_is_not_named_is_null() {
    let world = World::new().await;
    let answer = world.call("POST", "/v1/remotes/s3", "{}").await;
    let entry = &answer.json()[0];
    assert_eq!(entry["obj_refs"], json!({"Remote": null}));
    let message = entry["message"].as_str().unwrap();
    assert!(message.ends_with("remote_name, endpoint, bucket, region, access_key, secret_key"));
    let reply: linstor_api::reply::Reply = serde_json::from_value(entry.clone()).unwrap();
    assert_eq!(serde_json::to_value(&reply).unwrap(), *entry);
}

/// An S3 remote needs a bucket that answers, and the master key.
#[tokio::test]
async fn s3_remotes() {
    let world = World::new().await;
    let store = linstor_fake_s3::Store::start().await;
    let s3 = |endpoint: &str| {
        json!({"remote_name": "s3", "endpoint": endpoint, "bucket": linstor_fake_s3::BUCKET, "region": "r",
            "access_key": linstor_fake_s3::ACCESS_KEY, "secret_key": "sk"})
        .to_string()
    };
    let good = s3(store.endpoint());
    let path = "/v1/remotes/s3";
    let locked = ["FAIL_NOT_FOUND_CRYPT_KEY"];
    world.check("POST", path, &good, 404, &locked).await;
    let passphrase = "/v1/encryption/passphrase";
    world
        .check("POST", passphrase, PASSPHRASE, 201, &["CREATED"])
        .await;
    for endpoint in ["http://127.0.0.1:1", "not a url"] {
        world
            .check("POST", path, &s3(endpoint), 500, &["FAIL_UNKNOWN_ERROR"])
            .await;
    }
    assert_eq!(world.get(path).await, json!([]));
    world.check("POST", path, &good, 200, &["CREATED"]).await;
    let expected = json!([{"remote_name": "s3", "endpoint": store.endpoint(), "bucket": "backups", "region": "r"}]);
    assert_eq!(world.get(path).await, expected);
    let change = r#"{"region":"c","secret_key":"other"}"#;
    world
        .check("PUT", "/v1/remotes/s3/s3", change, 200, &["MODIFIED"])
        .await;
    assert_eq!(world.get(path).await[0]["region"], "c");
}

/// A schedule: created, listed, changed, deleted.
#[tokio::test(start_paused = true)]
async fn schedules() {
    let world = World::new().await;
    let path = "/v1/schedules";
    assert_eq!(world.get(path).await, json!({}));
    for (body, status, code) in [
        (
            r#"{"schedule_name":"daily","full_cron":"0 3 * * *"}"#,
            200,
            "CREATED",
        ),
        (
            r#"{"schedule_name":"DAILY","full_cron":"0 3 * * *"}"#,
            500,
            "FAIL_EXISTS_SCHEDULE",
        ),
        (r#"{"schedule_name":"c1"}"#, 500, "FAIL_UNKNOWN_ERROR"),
        (
            r#"{"schedule_name":"c2","full_cron":"0 3 * * *","on_failure":"PANIC"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            r#"{"full_cron":"0 3 * * *"}"#,
            500,
            "FAIL_INVLD_SCHEDULE_NAME",
        ),
        (
            r#"{"schedule_name":"c3","full_cron":"0 3 * * *","keep_local":"x"}"#,
            500,
            "API_CALL_PARSE_ERROR",
        ),
    ] {
        world.check("POST", path, body, status, &[code]).await;
    }
    let bad_cron = r#"{"schedule_name":"c4","full_cron":"@daily"}"#;
    let answer = world.call("POST", path, bad_cron).await;
    assert_eq!(answer.status, 500);
    for body in [
        r#"{"inc_cron":"30 * * * *","keep_local":7,"keep_remote":3,"on_failure":"retry","max_retries":9}"#,
        r#"{"keep_local":-1,"full_cron":"0 4 * * *"}"#,
    ] {
        world
            .check("PUT", "/v1/schedules/daily", body, 200, &["MODIFIED"])
            .await;
    }
    let daily = json!({"schedule_name": "daily", "full_cron": "0 4 * * *", "inc_cron": "30 * * * *",
        "keep_remote": 3, "on_failure": "RETRY", "max_retries": 9});
    assert_eq!(world.get(path).await, json!({"data": [daily]}));
    world
        .check(
            "PUT",
            "/v1/schedules/daily",
            r#"{"inc_cron":""}"#,
            200,
            &["MODIFIED"],
        )
        .await;
    assert_eq!(world.get(path).await["data"][0].get("inc_cron"), None);
    for (name, body, status, code) in [
        (
            "daily",
            r#"{"full_cron":"nope"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        ("none", "{}", 404, "FAIL_NOT_FOUND_SCHEDULE"),
    ] {
        world
            .check("PUT", &format!("{path}/{name}"), body, status, &[code])
            .await;
    }
    world
        .check(
            "DELETE",
            "/v1/schedules/daily",
            "",
            200,
            &["DELETED", "DELETED"],
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/schedules/daily",
            "",
            200,
            &["WARN_NOT_FOUND"],
        )
        .await;
}

/// The nearest level decides whether a schedule is enabled, and what is deleted leaves no property behind.
#[tokio::test(start_paused = true)]
async fn schedules_are_inherited() {
    let world = World::new().await;
    for (path, body) in [
        (
            "/v1/remotes/linstor",
            r#"{"remote_name":"peer","url":"peer"}"#,
        ),
        (
            "/v1/schedules",
            r#"{"schedule_name":"daily","full_cron":"0 3 * * *","inc_cron":"0 * * * *"}"#,
        ),
        (
            "/v1/resource-definitions",
            r#"{"resource_definition":{"name":"res"}}"#,
        ),
        (
            "/v1/resource-definitions",
            r#"{"resource_definition":{"name":"other"}}"#,
        ),
    ] {
        assert!(
            world.call("POST", path, body).await.status.is_success(),
            "{path}"
        );
    }
    let r#use = "/v1/remotes/peer/backups/schedule/daily";
    let view = "/v1/view/schedules-by-resource";
    assert_eq!(world.get(view).await, json!({}));
    for (verb, body) in [
        ("enable", "{}"),
        ("enable", r#"{"grp_name":"DfltRscGrp"}"#),
        ("disable", r#"{"rsc_name":"res"}"#),
    ] {
        let path = format!("{use}/{verb}");
        world.check("PUT", &path, body, 200, &["MODIFIED"]).await;
    }
    let details = format!("{view}/res");
    let level = json!({"remote_name": "peer", "schedule_name": "daily", "ctrl": true, "rsc_grp": true, "rsc_dfn": false});
    assert_eq!(world.get(&details).await, json!({"data": [level]}));
    let rows = world.get(view).await;
    assert_eq!(rows["data"][0]["rsc_name"], "other");
    // There is no resource of which a backup could be made.
    assert_eq!(rows["data"][0]["reason"], "undeployed");
    assert_eq!(rows["data"][1]["reason"], "disabled");
    assert_eq!(rows["data"][1]["next_exec_time"], -1);
    let active = world.get(&format!("{view}?active-only=true")).await;
    assert_eq!(active["data"].as_array().unwrap().len(), 1);
    let delete = format!("{use}/delete?rsc_dfn_name=res");
    world.check("DELETE", &delete, "", 200, &["DELETED"]).await;
    assert_eq!(
        world.get(&format!("{view}?rsc=RES")).await["data"][0]["reason"],
        "undeployed"
    );
    for (path, body, code) in [
        (
            "/v1/remotes/none/backups/schedule/daily/enable",
            "{}",
            "FAIL_NOT_FOUND_REMOTE",
        ),
        (
            "/v1/remotes/peer/backups/schedule/none/enable",
            "{}",
            "FAIL_NOT_FOUND_SCHEDULE",
        ),
        (
            &format!("{use}/enable"),
            r#"{"rsc_name":"none"}"#,
            "FAIL_NOT_FOUND_RSC_DFN",
        ),
        (
            &format!("{use}/disable"),
            r#"{"grp_name":"none"}"#,
            "FAIL_NOT_FOUND_RSC_GRP",
        ),
    ] {
        world.check("PUT", path, body, 404, &[code]).await;
    }
    let hostile = r#"{"rsc_name":"res","node_name":"../x"}"#;
    world
        .check(
            "PUT",
            &format!("{use}/enable"),
            hostile,
            500,
            &["FAIL_INVLD_NODE_NAME"],
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/remotes?remote_name=PEER",
            "",
            200,
            &["DELETED", "DELETED"],
        )
        .await;
    let left = world.get("/v1/controller/properties").await.to_string();
    assert!(!left.contains("Schedule/"), "{left}");
    assert_eq!(world.get(view).await, json!({}));
}

/// What a request about backups names has to be there; then the answer names the ability that is missing.
#[tokio::test(start_paused = true)]
async fn absent_backups() {
    let world = World::new().await;
    let peer = r#"{"remote_name":"peer","url":"peer"}"#;
    world
        .check("POST", "/v1/remotes/linstor", peer, 200, &["CREATED"])
        .await;
    let res = r#"{"resource_definition":{"name":"res"}}"#;
    world.call("POST", "/v1/resource-definitions", res).await;
    let none = "/v1/remotes/none/backups";
    let on_peer = "/v1/remotes/peer/backups";
    for (method, path, body, status, code) in [
        ("GET", none, "", 404, "FAIL_NOT_FOUND_REMOTE"),
        ("GET", on_peer, "", 500, "FAIL_INVLD_REMOTE_NAME"),
        ("POST", none, "{}", 500, "FAIL_INVLD_RSC_NAME"),
        (
            "POST",
            none,
            r#"{"rsc_name":"none"}"#,
            404,
            "FAIL_NOT_FOUND_RSC_DFN",
        ),
        (
            "POST",
            none,
            r#"{"rsc_name":"res","snap_name":"a b"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            "POST",
            none,
            r#"{"rsc_name":"res"}"#,
            404,
            "FAIL_NOT_FOUND_REMOTE",
        ),
        (
            "POST",
            &format!("{none}/restore"),
            "{}",
            400,
            "FAIL_INVLD_REQUEST",
        ),
        (
            "POST",
            &format!("{none}/restore"),
            r#"{"src_rsc_name":"res","node_name":"none"}"#,
            404,
            "FAIL_NOT_FOUND_NODE",
        ),
        (
            "POST",
            &format!("{none}/info"),
            "{}",
            400,
            "FAIL_INVLD_REQUEST",
        ),
        (
            "POST",
            &format!("{none}/info"),
            r#"{"src_rsc_name":"res"}"#,
            404,
            "FAIL_NOT_FOUND_REMOTE",
        ),
        (
            "POST",
            &format!("{none}/ship"),
            "{}",
            404,
            "FAIL_NOT_FOUND_REMOTE",
        ),
        (
            "POST",
            &format!("{on_peer}/ship"),
            r#"{"src_rsc_name":"res","dst_rsc_name":"x2"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            "POST",
            &format!("{none}/abort"),
            r#"{"rsc_name":"res"}"#,
            404,
            "FAIL_NOT_FOUND_REMOTE",
        ),
        (
            "DELETE",
            &format!("{none}?all=true"),
            "",
            404,
            "FAIL_NOT_FOUND_REMOTE",
        ),
        (
            "DELETE",
            &format!("{none}?all=true&id=x"),
            "",
            500,
            "FAIL_INVLD_REQUEST",
        ),
        ("DELETE", none, "", 500, "FAIL_INVLD_REQUEST"),
        (
            "POST",
            "/v1/nodes/ebs",
            r#"{"name":"e1","ebs_remote_name":"none"}"#,
            404,
            "FAIL_NOT_FOUND_REMOTE",
        ),
    ] {
        world.check(method, path, body, status, &[code]).await;
    }
    world
        .check(
            "POST",
            &format!("{on_peer}/abort"),
            r#"{"rsc_name":"res"}"#,
            200,
            &[],
        )
        .await;
    assert_eq!(world.get("/v1/view/backup/queue").await, json!({}));
}

/// The endpoint of an EBS remote follows its region, unless one is given.
#[tokio::test(start_paused = true)]
async fn ebs_remotes() {
    let world = World::new().await;
    let pass = r#"{"new_passphrase":"pass"}"#;
    assert!(
        world
            .call("POST", "/v1/encryption/passphrase", pass)
            .await
            .status
            .is_success()
    );
    let ebs = r#"{"remote_name":"e1","endpoint":"http://a:1","region":"r","availability_zone":"z","access_key":"a",
        "secret_key":"s"}"#;
    assert!(
        world
            .call("POST", "/v1/remotes/ebs", ebs)
            .await
            .status
            .is_success()
    );
    let change = r#"{"region":"q"}"#;
    let path = "/v1/remotes/ebs/e1";
    world
        .check("PUT", path, change, 200, &["MODIFIED", "MODIFIED"])
        .await;
    let change = r#"{"region":"p","endpoint":"https://b"}"#;
    world.check("PUT", path, change, 200, &["MODIFIED"]).await;
    let expected = json!([{"remote_name": "e1", "endpoint": "https://b", "region": "p", "availability_zone": "z"}]);
    assert_eq!(world.get("/v1/remotes/ebs").await, expected);
}
