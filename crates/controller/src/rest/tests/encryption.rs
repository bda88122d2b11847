//! The master passphrase, and the secrets of remotes that it seals.

use super::World;

const PASSPHRASE: &str = "/v1/encryption/passphrase";

/// A passphrase is created once, entered and changed with the right one only.
#[tokio::test(start_paused = true)]
async fn the_passphrase_locks_and_unlocks() {
    let world = World::new().await;
    assert_eq!(world.get(PASSPHRASE).await["status"], "unset");
    for (method, body, status, codes) in [
        ("PATCH", r#""x""#, 500, "FAIL_MISSING_PROPS"),
        (
            "PUT",
            r#"{"old_passphrase":"a","new_passphrase":"b"}"#,
            500,
            "FAIL_EXISTS_CRYPT_PASSPHRASE",
        ),
        ("POST", "{}", 500, "FAIL_UNKNOWN_ERROR"),
        ("POST", "", 500, "API_CALL_PARSE_ERROR"),
        (
            "POST",
            r#"{"new_passphrase":""}"#,
            500,
            "FAIL_INVLD_CRYPT_PASSPHRASE",
        ),
        ("POST", r#"{"new_passphrase":"first pass"}"#, 201, "CREATED"),
        (
            "POST",
            r#"{"new_passphrase":"other"}"#,
            500,
            "FAIL_EXISTS_CRYPT_PASSPHRASE",
        ),
        ("PATCH", r#""nope""#, 500, "FAIL_MISSING_PROPS"),
        ("PATCH", r#""first pass""#, 200, "PASSPHRASE_ACCEPTED"),
        ("PATCH", "{}", 500, "API_CALL_PARSE_ERROR"),
        ("PATCH", "", 500, "API_CALL_PARSE_ERROR"),
        (
            "PUT",
            r#"{"old_passphrase":"nope","new_passphrase":"second"}"#,
            500,
            "FAIL_MISSING_PROPS",
        ),
        (
            "PUT",
            r#"{"old_passphrase":"first pass"}"#,
            500,
            "FAIL_UNKNOWN_ERROR",
        ),
        (
            "PUT",
            r#"{"new_passphrase":"second"}"#,
            500,
            "FAIL_EXISTS_CRYPT_PASSPHRASE",
        ),
        (
            "PUT",
            r#"{"old_passphrase":"first pass","new_passphrase":"second"}"#,
            200,
            "MODIFIED",
        ),
        ("PATCH", r#""first pass""#, 500, "FAIL_MISSING_PROPS"),
        ("PATCH", r#""second""#, 200, "PASSPHRASE_ACCEPTED"),
    ] {
        world
            .check(method, PASSPHRASE, body, status, &[codes])
            .await;
    }
    assert_eq!(world.get(PASSPHRASE).await["status"], "unlocked");
}

/// Without a master key no secret is stored; with one it is sealed, and neither rows nor answers have it in clear.
#[tokio::test(start_paused = true)]
async fn secrets_of_remotes_are_sealed() {
    let world = World::new().await;
    let linstor = r#"{"remote_name":"peer","url":"peer","passphrase":"sesame"}"#;
    let path = "/v1/remotes/linstor";
    world
        .check("POST", path, linstor, 404, &["FAIL_NOT_FOUND_CRYPT_KEY"])
        .await;
    let first = r#"{"new_passphrase":"first pass"}"#;
    world
        .check("POST", PASSPHRASE, first, 201, &["CREATED"])
        .await;
    world.check("POST", path, linstor, 200, &["CREATED"]).await;
    let ebs = r#"{"remote_name":"ebs","availability_zone":"eu-central-1a","access_key":"AKsesame","secret_key":"SKsesame"}"#;
    world
        .check("POST", "/v1/remotes/ebs", ebs, 200, &["CREATED"])
        .await;
    let model = world.cluster.model();
    for remote in model.remotes.values() {
        let key = linstor_model::model::RowKey::Remote(remote.name.clone());
        let row = model.row_json(&key).unwrap();
        assert!(
            row.contains("aes-256-gcm") && !row.contains("sesame"),
            "{row}"
        );
        assert!(!format!("{remote:?}").contains("sesame"));
    }
    let answers = world.get("/v1/remotes").await.to_string();
    assert!(
        !answers.contains("sesame") && !answers.contains("key"),
        "{answers}"
    );
    assert_eq!(
        world.get("/v1/remotes/ebs").await[0]["endpoint"],
        "https://ec2.eu-central-1.amazonaws.com"
    );
}

const GROUP: &str =
    r#"{"name":"safe","select_filter":{"place_count":2,"layer_stack":["drbd","luks","storage"]}}"#;

/// A cluster with a master passphrase and a group for encrypted resources.
async fn with_group() -> World {
    let world = World::with_nodes(2).await;
    world
        .check("POST", "/v1/resource-groups", GROUP, 201, &["CREATED"])
        .await;
    let path = "/v1/resource-groups/safe/volume-groups";
    world.check("POST", path, "{}", 201, &["CREATED"]).await;
    world
}

async fn create_passphrase(world: &World) {
    let body = r#"{"new_passphrase":"canary master"}"#;
    world
        .check("POST", PASSPHRASE, body, 201, &["CREATED"])
        .await;
}

async fn spawn(world: &World, name: &str, more: &str) -> super::Answered {
    let body = format!(r#"{{"resource_definition_name":"{name}","volume_sizes":[102400]{more}}}"#);
    world
        .call("POST", "/v1/resource-groups/safe/spawn", &body)
        .await
}

/// Keys are made with the first replica, the same for all, sealed in the row, and are in no answer; sizes have room for
/// the header.
#[tokio::test(start_paused = true)]
async fn keys_are_generated_and_sealed() {
    let world = with_group().await;
    let refused = spawn(&world, "data", "").await;
    assert_eq!(refused.names(), ["FAIL_NOT_FOUND_CRYPT_KEY"]);
    assert!(world.cluster.model().definitions.is_empty());
    create_passphrase(&world).await;
    let answer = spawn(&world, "data", "").await;
    assert_eq!(answer.status, 201, "{:?}", answer.json());
    let keys = world.satellites.keys();
    let (_, key) = &keys[0];
    assert!(key.len() == 44 && keys.iter().all(|(_, other)| other == key));
    let body = r#"{"passphrase":"canary volume","volume_definition":{"size_kib":102400}}"#;
    let path = "/v1/resource-definitions/data/volume-definitions";
    let answer = world.call("POST", path, body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    let sent = |(_, sent): &(String, String)| sent == "canary volume";
    assert!(world.satellites.keys().iter().filter(|k| sent(k)).count() >= 2);
    let mut shown = String::new();
    for path in [
        "/v1/resource-definitions?with_volume_definitions=true",
        "/v1/view/resources",
        "/v1/error-reports",
        "/v1/jobs",
        PASSPHRASE,
    ] {
        shown += &String::from_utf8(world.call("GET", path, "").await.body).unwrap();
    }
    let metrics = axum::http::Request::get("/metrics");
    let metrics = metrics.body(axum::body::Body::empty()).unwrap();
    shown += &String::from_utf8(world.server.send(metrics).await.body).unwrap();
    shown += &format!("{:?} {:?}", world.store, world.cluster.model());
    assert!(!shown.contains("canary") && !shown.contains(key.as_str()));
    let rows = world.get("/v1/view/resources").await;
    let luks = &rows[0]["layer_object"]["children"][0];
    assert_eq!(luks["type"], "LUKS");
    assert_eq!(luks["luks"]["luks_volumes"][0]["opened"], true);
    let device = "/dev/mapper/Linstor-Crypt-data_00000";
    assert_eq!(luks["luks"]["luks_volumes"][0]["device_path"], device);
    let drbd = &rows[0]["layer_object"]["drbd"]["drbd_volumes"][0];
    assert_eq!(drbd["backing_device"], device);
    let tie_breaker = &rows[2]["layer_object"]["children"];
    assert!(rows[2].is_null() || tie_breaker[0]["type"] == "STORAGE");
    let definitions = world.get(path).await;
    let sealed = &definitions[1]["props"]["Encryption/Passphrase"];
    assert!(sealed.as_str().is_some_and(|text| text.len() > 40));
    assert!(definitions[0]["props"]["Encryption/Passphrase"].is_null());
}

/// After a restart keys are withheld until the passphrase is entered: deletion works, growth and creation are refused with
/// the reason, and the jobs say what encrypted resources wait for.
#[tokio::test(start_paused = true)]
async fn a_locked_controller() {
    let mut world = with_group().await;
    create_passphrase(&world).await;
    for name in ["data", "gone"] {
        assert_eq!(spawn(&world, name, "").await.status, 201);
    }
    world.restart().await;
    assert_eq!(world.get(PASSPHRASE).await["status"], "locked");
    let waiting = "it waits for Locked";
    while !world.get("/v1/jobs").await.to_string().contains(waiting) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let rows = world.get("/v1/view/resources?resources=data").await;
    let luks = &rows[0]["layer_object"]["children"][0]["luks"]["luks_volumes"][0];
    assert_eq!(luks["opened"], false);
    assert_eq!(
        spawn(&world, "new", "").await.names(),
        ["FAIL_NOT_FOUND_CRYPT_KEY"]
    );
    let path = "/v1/resource-definitions/data/volume-definitions/0";
    let grow = r#"{"size_kib":204800}"#;
    world
        .check("PUT", path, grow, 404, &["FAIL_NOT_FOUND_CRYPT_KEY"])
        .await;
    let answer = world
        .call("DELETE", "/v1/resource-definitions/gone", "")
        .await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    let wrong = r#""nope""#;
    let began = tokio::time::Instant::now();
    world
        .check("PATCH", PASSPHRASE, wrong, 500, &["FAIL_MISSING_PROPS"])
        .await;
    assert!(began.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(world.get(PASSPHRASE).await["status"], "locked");
    let again = r#"{"new_passphrase":"another"}"#;
    world
        .check(
            "POST",
            PASSPHRASE,
            again,
            500,
            &["FAIL_EXISTS_CRYPT_PASSPHRASE"],
        )
        .await;
    let right = r#""canary master""#;
    world
        .check("PATCH", PASSPHRASE, right, 200, &["PASSPHRASE_ACCEPTED"])
        .await;
    while world.get("/v1/jobs").await.to_string().contains("Locked") {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let answer = world.call("PUT", path, grow).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
}

/// A passphrase that was mistyped or lost is replaced after a restart, as long as nothing is sealed with its key.
#[tokio::test(start_paused = true)]
async fn a_lost_passphrase_is_replaced() {
    let mut world = World::new().await;
    create_passphrase(&world).await;
    let again = r#"{"new_passphrase":"another"}"#;
    let refused = ["FAIL_EXISTS_CRYPT_PASSPHRASE"];
    world.check("POST", PASSPHRASE, again, 500, &refused).await;
    world.restart().await;
    world
        .check("POST", PASSPHRASE, again, 201, &["CREATED"])
        .await;
    let enter = r#""another""#;
    world
        .check("PATCH", PASSPHRASE, enter, 200, &["PASSPHRASE_ACCEPTED"])
        .await;
}

/// The key of a volume is changed on all nodes; the former one is dropped with the last of them.
#[tokio::test(start_paused = true)]
async fn the_key_of_a_volume_is_changed() {
    let world = with_group().await;
    create_passphrase(&world).await;
    assert_eq!(spawn(&world, "data", "").await.status, 201);
    let path = "/v1/resource-definitions/data/volume-definitions/0/encryption-passphrase";
    for (body, code) in [
        (r#"{"new_passphrase":""}"#, "FAIL_INVLD_CRYPT_PASSPHRASE"),
        (
            r#"{"new_passphrase":"two\nlines"}"#,
            "FAIL_INVLD_CRYPT_PASSPHRASE",
        ),
        ("{}", "FAIL_UNKNOWN_ERROR"),
    ] {
        world.check("PUT", path, body, 500, &[code]).await;
    }
    let body = r#"{"new_passphrase":"canary changed"}"#;
    world.check("PUT", path, body, 200, &["MODIFIED"]).await;
    let (_, key) = world.satellites.keys().pop().unwrap();
    assert_eq!(key, "canary changed");
    let changing = || {
        let model = world.cluster.model();
        let row = model.definitions.values().next().cloned().unwrap();
        row.volumes[&0].changes_key()
    };
    while changing() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    world.satellites.away("n2");
    world.cluster.reconnect(&"n2".parse().unwrap());
    let body = r#"{"new_passphrase":"canary third"}"#;
    let codes = ["MODIFIED", "WARN_NOT_CONNECTED"];
    world.check("PUT", path, body, 200, &codes).await;
    assert!(changing());
    world
        .check("PUT", path, body, 500, &["FAIL_RSC_BUSY"])
        .await;
}

/// Keys are not sent over links without TLS where the settings forbid it.
#[tokio::test(start_paused = true)]
async fn keys_over_plain_links() {
    let world = World::with_settings("[encrypt]\nkeys_on_plain_links = false").await;
    for number in 1..=2 {
        world.add_node(number).await;
    }
    create_passphrase(&world).await;
    let group = GROUP.replace("drbd\",\"luks", "luks").replace("2", "1");
    let answer = world.call("POST", "/v1/resource-groups", &group).await;
    assert_eq!(answer.status, 201, "{:?}", answer.json());
    let body = r#"{"resource_definition_name":"data","volume_sizes":[102400],"partial":true}"#;
    let answer = world
        .call("POST", "/v1/resource-groups/safe/spawn", body)
        .await;
    let text = answer.json().to_string();
    assert!(text.contains("PlainLink"), "{text}");
    assert!(
        world
            .satellites
            .keys()
            .iter()
            .all(|(_, key)| key.is_empty())
    );
}
