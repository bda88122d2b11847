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
        assert!(row.contains("sealed") && !row.contains("sesame"), "{row}");
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
