//! What holds for every request.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt as _;

use super::super::Limits;
use super::World;

/// Unknown paths, wrong methods and broken escapes are answered with replies, trailing slashes do not count.
#[tokio::test(start_paused = true)]
async fn paths_and_methods() {
    let world = World::new().await;
    let answer = world.call("GET", "/v1/no/such", "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()),
        (404, vec!["FAIL_UNKNOWN_ERROR".into()])
    );
    assert_eq!(
        answer.json()[0]["message"],
        "Path '/v1/no/such' not found on server."
    );
    let answer = world.call("PATCH", "/v1/nodes", "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.names()),
        (405, vec!["FAIL_UNKNOWN_ERROR".into()])
    );
    assert_eq!(
        answer.json()[0]["message"],
        "Method 'PATCH' not allowed on path '/v1/nodes'."
    );
    world
        .check("GET", "/v1/nodes/%ff", "", 400, &["API_CALL_PARSE_ERROR"])
        .await;
    assert_eq!(world.get("/v1/nodes/?").await, serde_json::json!([]));
    let answer = world.call("GET", "/v1/no/such", "").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(
        answer.json()[0]["created_at"]
            .as_str()
            .unwrap()
            .contains('T')
    );
}

/// The address of the controller has a page for people, its health has no type, and figures come as text only.
#[tokio::test(start_paused = true)]
async fn the_page_of_the_root() {
    let world = World::new().await;
    let root = world.call("GET", "/", "").await;
    assert_eq!(root.status, 200);
    assert_eq!(root.headers["content-type"], "text/html; charset=utf-8");
    let health = world.call("GET", "/health", "").await;
    assert_eq!((health.status.as_u16(), &health.body[..]), (200, &b""[..]));
    assert!(!health.headers.contains_key("content-type"));
    let figures = async |accept: &str| {
        let request = Request::builder().uri("/metrics").header("accept", accept);
        let request = request.body(Body::empty()).unwrap();
        world.app.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(figures("text/plain;version=0.0.4, */*;q=0.1").await, 200);
    assert_eq!(figures("application/json").await, 500);
}

/// Web pages of other origins are refused, preflights too, unless the settings allow their origin; pages of the controller
/// and programs are not.
#[tokio::test(start_paused = true)]
async fn cross_origin() {
    let world = World::new().await;
    let ask = async |app: &axum::Router, method: &str, origin: &str| {
        let request = Request::builder()
            .method(method)
            .uri("/v1/nodes")
            .header("host", "controller:3370")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .body(Body::empty())
            .unwrap();
        app.clone().oneshot(request).await.unwrap()
    };
    for origin in ["http://evil", "http://controller:3370.evil", "null"] {
        for method in ["OPTIONS", "GET", "POST"] {
            let answer = ask(&world.app, method, origin).await;
            assert_eq!(answer.status(), 403, "{method} {origin}");
            assert_eq!(answer.headers().get("access-control-allow-origin"), None);
        }
    }
    assert_eq!(
        ask(&world.app, "GET", "http://Controller:3370")
            .await
            .status(),
        200
    );
    let allowed = |origin: &str| Limits {
        allowed_origins: vec![origin.to_owned()],
        ..Limits::default()
    };
    for configured in ["http://gui", "*"] {
        let app = super::super::router(world.cluster.clone(), &allowed(configured));
        let answer = ask(&app, "OPTIONS", "http://gui").await;
        assert_eq!(answer.status(), 200);
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], "http://gui");
        assert_eq!(headers["access-control-allow-headers"], "content-type");
        let answer = ask(&app, "GET", "http://gui").await;
        assert_eq!(
            answer.headers()["access-control-allow-origin"],
            "http://gui"
        );
    }
    let answer = world
        .call("OPTIONS", "/v1/query-max-volume-size", "{}")
        .await;
    assert_eq!(answer.names()[0], "FAIL_NOT_ENOUGH_NODES");
    let answer = world.call("OPTIONS", "/v1/nodes", "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(answer.headers["allow"], "GET,HEAD,OPTIONS,POST");
}

/// What a list is limited to has to make sense: names, nodes that exist, numbers.
#[tokio::test(start_paused = true)]
async fn parameters() {
    let world = World::with_nodes(1).await;
    for (query, status, name) in [
        ("nodes=", 500, "FAIL_INVLD_NODE_NAME"),
        ("nodes=n1,n2", 500, "FAIL_INVLD_NODE_NAME"),
        ("nodes=n1&nodes=none", 404, "FAIL_NOT_FOUND_NODE"),
        ("resources=", 500, "FAIL_INVLD_RSC_NAME"),
        ("storage_pools=a/b", 500, "FAIL_INVLD_STOR_POOL_NAME"),
        ("limit=many", 500, "FAIL_UNKNOWN_ERROR"),
        ("limit=99999999999", 500, "FAIL_UNKNOWN_ERROR"),
    ] {
        let path = format!("/v1/view/resources?{query}");
        world.check("GET", &path, "", status, &[name]).await;
    }
    let path = "/v1/view/resources?resources=none&storage_pools=none";
    assert_eq!(world.get(path).await, serde_json::json!([]));
}

/// One request more than the limit is refused at once; the others are not affected.
#[tokio::test(start_paused = true)]
async fn requests_are_counted() {
    let world = World::new().await;
    let limits = Limits {
        requests_max: 1,
        body_time_max: Duration::from_secs(5),
        ..Limits::default()
    };
    let app = super::super::router(world.cluster.clone(), &limits);
    let slow = Request::builder()
        .method("POST")
        .uri("/v1/nodes")
        .body(Body::from_stream(futures::stream::pending::<
            Result<Vec<u8>, std::io::Error>,
        >()))
        .unwrap();
    let slow = tokio::spawn(app.clone().oneshot(slow));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let get = || {
        Request::builder()
            .uri("/v1/nodes")
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(app.clone().oneshot(get()).await.unwrap().status(), 503);
    // A body that does not come ends its request, and makes room.
    assert_eq!(slow.await.unwrap().unwrap().status(), 408);
    assert_eq!(app.clone().oneshot(get()).await.unwrap().status(), 200);
}

/// Answers are compressed for those who ask.
#[tokio::test(start_paused = true)]
async fn compression() {
    let world = World::with_nodes(2).await;
    let get = |encoding: &str| {
        let request = Request::builder()
            .uri("/v1/nodes")
            .header("accept-encoding", encoding);
        world
            .server
            .send(request.body(Body::empty()).expect("a valid path"))
    };
    let compressed = get("gzip").await;
    assert_eq!(compressed.headers["content-encoding"], "gzip");
    let plain = get("identity").await;
    assert_eq!(plain.headers.get("content-encoding"), None);
    assert_eq!(compressed.json(), plain.json());
}

/// A caller who hangs up does not stop what was begun.
#[tokio::test(start_paused = true)]
async fn hanging_up_stops_nothing() {
    let world = World::new().await;
    let request = Request::builder()
        .method("POST")
        .uri("/v1/nodes")
        .body(Body::from(super::NODE))
        .unwrap();
    let call = world.app.clone().oneshot(request);
    // It has only just begun when it is dropped.
    let mut call = Box::pin(call);
    let once = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_ready()));
    assert!(!once.await, "the call was to be cut off");
    drop(call);
    assert!(world.cluster.model().nodes.is_empty());
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(world.get("/v1/nodes/alpha").await["name"], "alpha");
}

/// A panic in one request is an answer to it and nothing to the others.
#[tokio::test(start_paused = true)]
async fn panics_are_answers() {
    use tower::ServiceExt as _;

    let world = World::new().await;
    let state = crate::rest::edge::Edge::new(world.cluster.clone(), &Limits::default());
    let broken: fn() -> std::future::Ready<()> = || panic!("for the test");
    let app = axum::Router::new()
        .route("/", axum::routing::get(broken))
        .layer(axum::middleware::from_fn_with_state(
            state,
            crate::rest::edge::guard,
        ));
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(world.server.take_panics(), 1);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    let replies: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(replies[0]["ret_code"], linstor_api::code::FAIL_IMPL_ERROR);
}
