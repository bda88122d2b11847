//! Where HTTPS is served.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;

use super::super::Peer;
use super::super::https::redirect;
use super::World;

/// Requests over HTTP are sent to the same host, with path and query; health and figures are answered.
#[tokio::test(start_paused = true)]
async fn plain_requests_are_redirected() {
    let world = World::new().await;
    let asked = |path: &str, host: &str, is_secure: bool| {
        let mut request = Request::builder()
            .uri(path)
            .header("host", host)
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Peer {
            address: "192.0.2.1:4711".parse().unwrap(),
            is_secure,
        });
        redirect(&world.cluster, &request)
    };
    assert!(asked("/v1/nodes", "c:3370", false).is_none());
    world.cluster.shared.https.serves(Some(3371));
    for (path, host, location) in [
        ("/v1/nodes", "c:3370", "https://c:3371/v1/nodes"),
        ("/v1/nodes?a=b&c", "c", "https://c:3371/v1/nodes?a=b&c"),
        ("/", "[fe80::1]:3370", "https://[fe80::1]:3371/"),
        (
            "/ui/index.html",
            "192.0.2.7:1",
            "https://192.0.2.7:3371/ui/index.html",
        ),
    ] {
        let answer = asked(path, host, false).unwrap();
        assert_eq!(answer.status(), 302);
        assert_eq!(answer.headers()[header::LOCATION], location);
        assert!(asked(path, host, true).is_none());
    }
    assert_eq!(asked("/v1/nodes", "a b", false).unwrap().status(), 400);
    assert!(asked("/health", "c", false).is_none());
    assert!(asked("/metrics", "c", false).is_none());
    let on = r#"{"override_props":{"REST/disable-http-metrics":"True"}}"#;
    world.call("POST", "/v1/controller/properties", on).await;
    assert_eq!(asked("/metrics", "c", false).unwrap().status(), 302);
    assert!(asked("/metrics", "c", true).is_none());
}
