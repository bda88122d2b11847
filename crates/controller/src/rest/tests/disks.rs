//! Disks that come and go, votes, and the data that stays.

use super::World;
use super::story::{GROUP, spawned};

/// With two replicas and a third node there is a tie breaker; deleting it by hand keeps it away.
#[tokio::test(start_paused = true)]
async fn tie_breakers() {
    let world = spawned(3).await;
    let rows = world.get("/v1/resource-definitions/res/resources").await;
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let breaker = rows
        .iter()
        .find(|row| {
            row["flags"]
                .as_array()
                .is_some_and(|flags| flags.contains(&"TIE_BREAKER".into()))
        })
        .expect("a tie breaker");
    let props = world.get("/v1/resource-definitions/res").await["props"].clone();
    assert_eq!(props["DrbdOptions/Resource/quorum"], "majority");
    let node = breaker["node_name"].as_str().unwrap();
    let path = format!("/v1/resource-definitions/res/resources/{node}");
    let answer = world.call("DELETE", &path, "").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.names().contains(&"INFO_PROP_SET".to_owned()),
        "{:?}",
        answer.names()
    );
    let rows = world.get("/v1/resource-definitions/res/resources").await;
    assert_eq!(rows.as_array().unwrap().len(), 2);
}

/// Disks come and go by both forms of the call; the last copy stays.
#[tokio::test(start_paused = true)]
async fn toggle_disk() {
    let world = spawned(3).await;
    let rows = world.get("/v1/resource-definitions/res/resources").await;
    let of = |diskless: bool| {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row.get("flags").is_some() == diskless);
        row.unwrap()["node_name"].as_str().unwrap().to_owned()
    };
    let (with, without) = (of(false), of(true));
    let one = |node: &str| format!("/v1/resource-definitions/res/resources/{node}");
    let body = r#"{"operation":"INTO_DRBD_DISKFUL","storage_pool":"thin"}"#;
    let answer = world
        .call("PUT", &format!("{}/toggle-disk", one(&without)), body)
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(world.get(&one(&without)).await.get("flags"), None);
    world
        .check(
            "PUT",
            &format!("{}/toggle-disk", one(&without)),
            body,
            200,
            &["WARN_RSC_ALREADY_HAS_DISK"],
        )
        .await;
    let answer = world
        .call("PUT", &format!("{}/toggle-disk/diskless", one(&with)), "")
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let shown = world.get(&one(&with)).await;
    assert_eq!(
        shown["flags"],
        serde_json::json!(["DISKLESS", "DRBD_DISKLESS"])
    );
    let client = r#"{"operation":"into_drbd_client"}"#;
    let answer = world
        .call("PUT", &format!("{}/toggle-disk", one(&with)), client)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        world.get(&one(&with)).await["layer_object"]["drbd"]["flags"][2],
        "CLIENT"
    );
    let nonsense = r#"{"operation":"sideways"}"#;
    let path = format!("{}/toggle-disk", one(&with));
    world
        .check("PUT", &path, nonsense, 500, &["API_CALL_PARSE_ERROR"])
        .await;
    let migrate = format!("{}/migrate-disk/{without}/thin", one(&with));
    let answer = world.call("PUT", &migrate, "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
}

/// The last disk does not go, neither by toggling nor by deleting beside diskless resources; nor does one in use.
#[tokio::test(start_paused = true)]
async fn data_is_kept() {
    let world = spawned(2).await;
    let one = |node: &str| format!("/v1/resource-definitions/res/resources/{node}");
    world.satellites.in_use("n1", "Res");
    let protocol = r#"{"override_props":{"DrbdOptions/Net/protocol":"A"}}"#;
    assert_eq!(
        world
            .call("PUT", "/v1/resource-definitions/res", protocol)
            .await
            .status,
        200
    );
    assert_eq!(world.get(&one("n1")).await["state"]["in_use"], true);
    world
        .check("DELETE", &one("n1"), "", 500, &["FAIL_IN_USE"])
        .await;
    world
        .check(
            "POST",
            &format!("{}/deactivate", one("n1")),
            "",
            500,
            &["FAIL_IN_USE"],
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/resource-definitions/res",
            "",
            500,
            &["FAIL_IN_USE"],
        )
        .await;
    world
        .check(
            "DELETE",
            "/v1/resource-definitions/res/resources",
            "",
            500,
            &["FAIL_IN_USE"],
        )
        .await;
    let volume = "/v1/resource-definitions/res/volume-definitions/0";
    world
        .check("DELETE", volume, "", 500, &["FAIL_IN_USE"])
        .await;
    world
        .check(
            "DELETE",
            "/v1/nodes/n1",
            "",
            500,
            &["FAIL_NODE_HAS_USED_RSC"],
        )
        .await;
    world.satellites.unused("n1", "Res");
    let answer = world.call("DELETE", &one("n2"), "").await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let path = format!("{}/toggle-disk/diskless", one("n1"));
    world
        .check("PUT", &path, "", 500, &["FAIL_INSUFFICIENT_REPLICA_COUNT"])
        .await;
}

/// Make-available gives the data where it is wanted, again and again; unmake takes what is merely diskless.
#[tokio::test(start_paused = true)]
async fn make_available() {
    let world = spawned(4).await;
    let rows = world.get("/v1/resource-definitions/res/resources").await;
    let used: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["node_name"].as_str().unwrap())
        .collect();
    let free = ["n1", "n2", "n3", "n4"]
        .into_iter()
        .find(|node| !used.contains(node))
        .unwrap();
    let path = format!("/v1/resource-definitions/res/resources/{free}");
    let answer = world
        .call("POST", &format!("{path}/make-available"), "{}")
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(world.get(&path).await["flags"][1], "DRBD_DISKLESS");
    world
        .check(
            "POST",
            &format!("{path}/make-available"),
            "{}",
            200,
            &["0x1340000"],
        )
        .await;
    let answer = world
        .call(
            "POST",
            &format!("{path}/make-available"),
            r#"{"diskful":true}"#,
        )
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    assert_eq!(world.get(&path).await.get("flags"), None);
    world
        .check(
            "POST",
            &format!("{path}/unmake-available"),
            "",
            200,
            &["INFO_NOOP"],
        )
        .await;
}

/// Deactivated devices are down and come up again; the second call says that nothing was to be done.
#[tokio::test(start_paused = true)]
async fn activate() {
    let world = spawned(2).await;
    let path = "/v1/resource-definitions/res/resources/n2";
    let answer = world.call("POST", &format!("{path}/deactivate"), "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        world.get(path).await["flags"],
        serde_json::json!(["INACTIVE"])
    );
    world
        .check(
            "POST",
            &format!("{path}/deactivate"),
            "",
            200,
            &["INFO_NOOP"],
        )
        .await;
    assert_eq!(
        world
            .call("POST", &format!("{path}/activate"), "")
            .await
            .status,
        200
    );
    assert_eq!(world.get(path).await.get("flags"), None);
}

/// With the kernel's own DRBD two replicas work, and a third is refused with a reason.
#[tokio::test(start_paused = true)]
async fn drbd_84() {
    let world = World::new().await;
    world.satellites.drbd84();
    for number in 1..=3 {
        world.add_node(number).await;
    }
    world.call("POST", "/v1/resource-groups", GROUP).await;
    let body = r#"{"resource_definition_name":"res","volume_sizes":[1048576]}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/rg/spawn", body)
        .await;
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    let rows = world.get("/v1/resource-definitions/res/resources").await;
    assert_eq!(rows.as_array().unwrap().len(), 2);
    for body in [
        r#"{"resource":{}}"#,
        r#"{"resource":{"flags":["DISKLESS"]}}"#,
    ] {
        for node in ["n1", "n2", "n3"] {
            let used = rows
                .as_array()
                .unwrap()
                .iter()
                .any(|row| row["node_name"] == node);
            if !used {
                let path = format!("/v1/resource-definitions/res/resources/{node}");
                let answer = world.call("POST", &path, body).await;
                assert_eq!(answer.status, 500, "{:#}", answer.json());
                assert!(String::from_utf8_lossy(&answer.body).contains("8.4"));
            }
        }
    }
    let path = "/v1/resource-definitions/res/resources/n1/toggle-disk/diskless";
    assert_eq!(world.call("PUT", path, "").await.status, 500);
}

/// A tie breaker that was switched off for the cluster goes, and comes back when it is switched on.
#[tokio::test(start_paused = true)]
async fn the_cluster_says_whether_ties_are_broken() {
    let world = spawned(3).await;
    let count = async || {
        world
            .get("/v1/resource-definitions/res/resources")
            .await
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count().await, 3);
    for (value, expected) in [("false", 2), ("true", 3)] {
        let body = format!(
            r#"{{"override_props":{{"DrbdOptions/auto-add-quorum-tiebreaker":"{value}"}}}}"#
        );
        let answer = world.call("POST", "/v1/controller/properties", &body).await;
        assert_eq!(answer.status, 201, "{:#}", answer.json());
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert_eq!(count().await, expected);
    }
}

/// The states of a toggle with both requests in each: the same again is no second change, the opposite takes it back.
#[tokio::test(start_paused = true)]
async fn states_of_toggle_disk() {
    let disk = "/v1/resource-definitions/res/resources/n3/toggle-disk";
    let request = |add: bool| match add {
        true => r#"{"operation":"into_drbd_diskful","storage_pool":"thin"}"#,
        false => r#"{"operation":"into_drbd_diskless"}"#,
    };
    let diskful = async |world: &World| {
        let row = world.get("/v1/resource-definitions/res/resources/n3").await;
        let flags = row["flags"].as_array().cloned().unwrap_or_default();
        !flags.iter().any(|flag| flag == "DISKLESS")
    };
    // A node that fails leaves a removal or an addition half-way.
    for (was_diskful, asked, then, is_diskful, code) in [
        (true, None, true, true, "WARN_RSC_ALREADY_HAS_DISK"),
        (true, None, false, false, "MODIFIED"),
        (true, Some(false), false, false, "INFO_NOOP"),
        (true, Some(false), true, true, "MODIFIED"),
        (false, None, true, true, "MODIFIED"),
        (false, None, false, false, "WARN_RSC_ALREADY_DISKLESS"),
        (false, Some(true), true, true, "INFO_NOOP"),
        (false, Some(true), false, false, "MODIFIED"),
    ] {
        let case = format!("{was_diskful} {asked:?} {then}");
        let world = super::story::spawned(3).await;
        let third = match was_diskful {
            true => r#"[{"resource":{"node_name":"n3","props":{"StorPoolName":"thin"}}}]"#,
            false => r#"[{"resource":{"node_name":"n3","flags":["DRBD_DISKLESS"]}}]"#,
        };
        let path = "/v1/resource-definitions/res/resources";
        assert_eq!(world.call("POST", path, third).await.status, 201, "{case}");
        if let Some(asked) = asked {
            world.satellites.failing("n3");
            world.call("PUT", disk, request(asked)).await;
            world.satellites.works("n3");
        }
        let answer = world.call("PUT", disk, request(then)).await;
        assert!(
            answer.names().iter().any(|name| name == code),
            "{case}: {:?}",
            answer.names()
        );
        // Whoever failed is asked again with the next change.
        let body = r#"{"override_props":{"DrbdOptions/Net/max-buffers":"3000"}}"#;
        world
            .call("PUT", "/v1/resource-definitions/res", body)
            .await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert_eq!(diskful(&world).await, is_diskful, "{case}");
        assert_eq!(world.get("/v1/jobs").await, serde_json::json!([]), "{case}");
    }
}
