//! Authentication with tokens.

use axum::body::Body;
use axum::http::{Request, header};
use linstor_model::name::NodeName;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::super::Peer;
use super::{Answered, World};

const TOKENS: &str = "/v1/controller/auth/token";
const INITIALIZE: &str = "/v1/controller/auth/initialize-token-auth";
const NODES: &str = "/v1/nodes";

/// Sends a request with an `Authorization` header.
async fn authorized(
    world: &World,
    method: &str,
    path: &str,
    authorization: &str,
    body: &str,
) -> Answered {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, authorization)
        .body(Body::from(body.to_owned()))
        .expect("tests write valid paths");
    world.send(request).await
}

/// Switches authentication on and returns the header with the first token.
async fn initialized(world: &World) -> String {
    let answer = world.call("POST", INITIALIZE, r#"{"no_https":true}"#).await;
    assert_eq!((answer.status.as_u16(), answer.codes()), (201, vec![1]));
    let answer = answer.json();
    let token = answer[0]["obj_refs"]["token"].as_str().expect("the token");
    let message = answer[0]["message"].as_str().expect("a message");
    assert!(message.contains(token), "{message}");
    format!("Bearer {token}")
}

/// A request from an address, as a server gets it.
async fn from_address(world: &World, authorization: &str, address: &str) -> u16 {
    let mut request = Request::builder()
        .uri(NODES)
        .header(header::AUTHORIZATION, authorization)
        .body(Body::empty())
        .expect("a valid path");
    let address = format!("{address}:4711").parse().expect("an address");
    request.extensions_mut().insert(Peer {
        address,
        is_secure: false,
    });
    let response = world.app.clone().oneshot(request).await;
    response.expect("infallible").status().as_u16()
}

/// Tokens are made, listed without themselves, changed and revoked.
#[tokio::test(start_paused = true)]
async fn a_tokens_life() {
    let world = World::new().await;
    assert_eq!(world.get(TOKENS).await, json!({"count": 0, "list": []}));
    for (body, code) in [
        ("{}", "FAIL_UNKNOWN_ERROR"),
        (
            r#"{"description":"a","expires_at":"nonsense"}"#,
            "FAIL_INVLD_CONF",
        ),
        (
            r#"{"description":"a","expires_at":"2001-01-01"}"#,
            "FAIL_INVLD_CONF",
        ),
        (
            r#"{"description":"a","expires_at":"2099-13-01"}"#,
            "FAIL_INVLD_CONF",
        ),
        (
            r#"{"description":"a","ip_filter":"nonsense"}"#,
            "FAIL_INVLD_CONF",
        ),
        (
            r#"{"description":"a","ip_filter":"192.0.2.0/24"}"#,
            "FAIL_INVLD_CONF",
        ),
        (r#"{"description":"a","x":1}"#, "API_CALL_PARSE_ERROR"),
    ] {
        world.check("POST", TOKENS, body, 500, &[code]).await;
    }
    let body = json!({"description": "d".repeat(1025)}).to_string();
    world
        .check("POST", TOKENS, &body, 500, &["FAIL_INVLD_CONF"])
        .await;
    assert_eq!(world.get(TOKENS).await["count"], 0, "nothing was made");
    let body =
        r#"{"description":"d","expires_at":"2099-12-31T23:00:00Z","ip_filter":"2001:db8::7"}"#;
    let answer = world.call("POST", TOKENS, body).await;
    assert_eq!((answer.status.as_u16(), answer.codes()), (201, vec![1]));
    let token = answer.json()[0]["obj_refs"]["token"]
        .as_str()
        .expect("the token")
        .to_owned();
    assert_eq!(token.len(), 32);
    let change = r#"{"description":"changed","is_active":false,"ip_filter":""}"#;
    world
        .check("PUT", &format!("{TOKENS}/1"), change, 200, &["MODIFIED"])
        .await;
    let listed = world.get(TOKENS).await;
    assert_eq!(listed["count"], 1);
    let listed = &listed["list"][0];
    assert_eq!(
        (
            &listed["id"],
            &listed["description"],
            &listed["is_active"],
            &listed["expires_at"]
        ),
        (
            &json!(1),
            &json!("changed"),
            &json!(false),
            &json!("2099-12-31T00:00:00Z")
        )
    );
    assert_eq!(
        (&listed["ip_filter"], &listed["is_user_token"]),
        (&Value::Null, &json!(true))
    );
    let absent = ["FAIL_NOT_FOUND_NODE"];
    world
        .check("PUT", &format!("{TOKENS}/999"), "{}", 404, &absent)
        .await;
    world
        .check(
            "PUT",
            &format!("{TOKENS}/x"),
            "{}",
            500,
            &["FAIL_UNKNOWN_ERROR"],
        )
        .await;
    world
        .check(
            "DELETE",
            &format!("{TOKENS}/999"),
            "",
            200,
            &["WARN_NOT_FOUND"],
        )
        .await;
    world
        .check("DELETE", &format!("{TOKENS}/1"), "", 200, &["DELETED"])
        .await;
    assert_eq!(world.get(TOKENS).await["count"], 0);
    // Ids are not used again, and nothing stored has a token.
    world
        .check("POST", TOKENS, r#"{"description":""}"#, 201, &["CREATED"])
        .await;
    assert_eq!(world.get(TOKENS).await["list"][0]["id"], 2);
    let stored = serde_json::to_string(&*world.cluster.model().auth_tokens).expect("a row");
    assert!(
        stored.contains(r#""last_id":2"#) && !stored.contains(&token),
        "{stored}"
    );
}

/// With authentication only who has a valid token is served, but everybody may ask whether the controller lives.
#[tokio::test(start_paused = true)]
async fn callers_authenticate() {
    let world = World::with_nodes(1).await;
    for body in ["{}", r#"{"no_https":false}"#] {
        world
            .check("POST", INITIALIZE, body, 500, &["FAIL_UNKNOWN_ERROR"])
            .await;
    }
    world
        .check(
            "POST",
            INITIALIZE,
            r#"{"x":1}"#,
            500,
            &["API_CALL_PARSE_ERROR"],
        )
        .await;
    // A switch without a token locks nobody out.
    let on = r#"{"override_props":{"Auth/TokenAuthenticationEnabled":"True"}}"#;
    assert_eq!(
        world
            .call("POST", "/v1/controller/properties", on)
            .await
            .status,
        201
    );
    world.get(NODES).await;

    let token = initialized(&world).await;
    for given in [
        "",
        "Bearer wrong",
        "Bearer ",
        "Basic YTpi",
        &token["Bearer ".len()..],
    ] {
        let answer = authorized(&world, "GET", "/v1/controller/version", given, "").await;
        assert_eq!(answer.names(), ["FAIL_ACC_DENIED_COMMAND"], "{given}");
        assert_eq!(answer.status, 401, "{given}");
        let realm = &answer.headers[header::WWW_AUTHENTICATE];
        assert_eq!(realm, "Bearer realm=\"linstor-controller\"");
        assert!(answer.json()[0]["error_report_ids"].is_null());
    }
    for path in ["/metrics", TOKENS, "/v1/error-reports", "/v1/events/nodes"] {
        assert_eq!(world.call("GET", path, "").await.status, 401, "{path}");
    }
    let create = r#"{"name":"n9","type":"satellite"}"#;
    assert_eq!(world.call("POST", NODES, create).await.status, 401);
    assert_eq!(world.call("GET", "/health", "").await.status, 200);
    assert_eq!(world.call("GET", "/v1/absent", "").await.status, 404);
    let answer = authorized(&world, "GET", NODES, &token.replace("Bearer", "bearer"), "").await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json().as_array().map(Vec::len)
        ),
        (200, Some(1))
    );
    let again = authorized(&world, "POST", INITIALIZE, &token, r#"{"no_https":true}"#).await;
    assert_eq!(
        (again.status.as_u16(), again.names()),
        (201, vec!["WARN_NO_EFFECT".to_owned()])
    );
    let listed = authorized(&world, "GET", TOKENS, &token, "").await.json();
    let of_node = json!({
        "id": 2, "description": "satellite:n1", "ip_filter": "10.0.0.1", "is_active": true,
        "is_user_token": false, "created_at": listed["list"][1]["created_at"],
    });
    assert_eq!(listed["list"][1], of_node);
    let of_node = world.satellites.token("n1").expect("the satellite has it");
    let of_node = format!("Bearer {}", of_node.reveal());
    assert_eq!(from_address(&world, &of_node, "10.0.0.1").await, 200);
    assert_eq!(from_address(&world, &of_node, "10.0.0.2").await, 401);
    // A satellite that was away, or is new, is given one when it connects; a revoked one is not replaced.
    world.satellites.token_lost("n1");
    world
        .cluster
        .reconnect(&NodeName::parse("n1").expect("a name"));
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(from_address(&world, &of_node, "10.0.0.1").await, 401);
    let renewed = world.satellites.token("n1").expect("the satellite has it");
    let renewed = format!("Bearer {}", renewed.reveal());
    assert_eq!(from_address(&world, &renewed, "10.0.0.1").await, 200);
    let revoked = authorized(&world, "DELETE", &format!("{TOKENS}/2"), &token, "").await;
    assert_eq!(revoked.names(), ["DELETED"]);
    assert_eq!(from_address(&world, &renewed, "10.0.0.1").await, 401);
    let off = r#"{"override_props":{"Auth/TokenAuthenticationEnabled":"False"}}"#;
    authorized(&world, "POST", "/v1/controller/properties", &token, off).await;
    world.get(NODES).await;
}

/// The last token with which a user gets in is neither revoked nor switched off.
#[tokio::test(start_paused = true)]
async fn nobody_is_locked_out() {
    let world = World::new().await;
    let first = initialized(&world).await;
    let path = format!("{TOKENS}/1");
    for (method, body) in [("DELETE", ""), ("PUT", r#"{"is_active":false}"#)] {
        let answer = authorized(&world, method, &path, &first, body).await;
        assert_eq!(answer.names(), ["FAIL_IN_USE"]);
    }
    let body = r#"{"description":"second","ip_filter":"192.0.2.7"}"#;
    let made = authorized(&world, "POST", TOKENS, &first, body)
        .await
        .json();
    let second = format!(
        "Bearer {}",
        made[0]["obj_refs"]["token"].as_str().expect("the token")
    );
    let answer = authorized(&world, "DELETE", &path, &first, "").await;
    assert_eq!(answer.names(), ["DELETED"]);
    assert_eq!(
        from_address(&world, &first, "192.0.2.7").await,
        401,
        "it is revoked"
    );
    assert_eq!(from_address(&world, &second, "192.0.2.7").await, 200);
    assert_eq!(
        from_address(&world, &second, "[::ffff:192.0.2.7]").await,
        200
    );
    assert_eq!(from_address(&world, &second, "192.0.2.8").await, 401);
}

/// Who has lost all tokens gets in with a setting of the controller's own file.
#[tokio::test(start_paused = true)]
async fn a_setting_lets_everybody_in() {
    let world = World::with_settings("[http]\ntoken_authentication = false\n").await;
    initialized(&world).await;
    world.get(NODES).await;
    let body = r#"{"description":"new"}"#;
    world.check("POST", TOKENS, body, 201, &["CREATED"]).await;
}
