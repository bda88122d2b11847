//! What happens around every request.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use linstor_api::code;
use linstor_api::reply::Reply;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{self, Answer};
use super::https;
use super::request::BodyLimits;
use super::server::{Limits, Peer};
use crate::cluster::Cluster;
use crate::ops::auth_token;

/// Brings a path into the form that the routes have. Clients write `/v1/physical-storage/` and `/v1/physical-storage`
/// alike; but what is to be deleted is named in full, because an empty name would otherwise be its whole collection.
/// Parameters of a path element (`;a=b`) mean nothing to LINSTOR.
pub fn plain_path(mut request: Request) -> Request {
    let uri = request.uri();
    let given = uri.path();
    let elements = given.split('/');
    let path: Vec<&str> = elements
        .map(|element| element.split(';').next().unwrap_or(element))
        .collect();
    let mut path = path.join("/");
    // The web pages name their parts relative to their directory.
    if request.method() != Method::DELETE && path != "/ui/" {
        path.truncate(path.trim_end_matches('/').len().max(1));
    }
    if path != given {
        let target = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        if let Ok(uri) = target.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// What stands around every request.
#[derive(Clone)]
pub struct Edge {
    cluster: Cluster,
    limits: Arc<Limits>,
    free: Arc<Semaphore>,
}

impl Edge {
    /// For requests within limits.
    pub fn new(cluster: Cluster, limits: &Limits) -> Self {
        Edge {
            cluster,
            free: Arc::new(Semaphore::new(limits.requests_max)),
            limits: Arc::new(limits.clone()),
        }
    }
}

/// Runs the request in a task of its own: a caller who hangs up does not cancel it, and a panic becomes an answer.
pub async fn guard(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let name = reported_as(&method, &path);
    let finish = |response| answer::finish(response, &edge.cluster, &name);
    if let Some(refusal) = undecodable(request.uri()).or_else(|| media_refusal(&request)) {
        return finish(refusal);
    }
    let Ok(permit) = Arc::clone(&edge.free).try_acquire_owned() else {
        return finish(too_many(&edge.limits));
    };
    request.extensions_mut().insert(BodyLimits {
        bytes_max: edge.limits.body_bytes_max,
        time_max: edge.limits.body_time_max,
    });
    let work = tokio::spawn(async move {
        let _until_it_is_done = permit;
        next.run(request).await
    });
    let response = match timeout(edge.limits.request_time_max, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%method, path, %error, "a request ended in a panic");
            panicked(&method, &path)
        }
        Err(_) => too_long(&method, &path, &edge.limits),
    };
    let allowed = response.headers().get(header::ALLOW).cloned();
    let response = finish(response);
    match allowed {
        Some(allowed) if method == Method::OPTIONS => allowed_methods(&allowed),
        Some(_) | None => response,
    }
}

/// A request as error reports name it. What stands behind this path is a secret.
fn reported_as(method: &Method, path: &str) -> String {
    const TOKENS: &str = "/v1/controller/auth/token/";
    let path = match path.starts_with(TOKENS) {
        true => TOKENS,
        false => path,
    };
    format!("{method} {}", path.escape_debug())
}

/// The answer to `OPTIONS` of a path that has no operation of this method.
fn allowed_methods(allowed: &HeaderValue) -> Response {
    let allowed = allowed.to_str().unwrap_or_default();
    let mut methods: Vec<&str> = allowed.split(',').map(str::trim).collect();
    methods.push("OPTIONS");
    methods.retain(|method| !method.is_empty());
    methods.sort_unstable();
    let kind = (header::CONTENT_TYPE, "application/json".to_owned());
    ([kind, (header::ALLOW, methods.join(","))], ()).into_response()
}

/// Refuses what is sent or wanted in another form than JSON; metrics are text. Streams and downloads have forms of their own.
fn media_refusal(request: &Request) -> Option<Response> {
    let path = request.uri().path();
    let own = ["/v1/events", "/v1/sos-report", "/v1/error-reports"];
    let answers: [&str; 3] = match path {
        "/metrics" => ["text/plain", "text/*", "*/*"],
        _ if path.starts_with("/v1/") => ["application/json", "application/*", "*/*"],
        _ => return None,
    };
    if own.iter().any(|own| path.starts_with(own)) {
        return None;
    }
    let header = |name: HeaderName| {
        let values = request.headers().get_all(name).iter();
        let values: Vec<String> = values
            .filter_map(|value| value.to_str().ok())
            .map(str::to_ascii_lowercase)
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    let kinds = |value: &str, known: &[&str]| {
        let mut ranges = value
            .split(',')
            .map(|range| range.split(';').next().unwrap_or(range));
        ranges.any(|range| known.contains(&range.trim()))
    };
    let refuse = |message: &str, given: &str| {
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message)
            .cause(format!("The header is '{}'.", given.escape_debug()))
            .correction(format!("Use {}.", answers[0]));
        Some(Answer::fixed(StatusCode::INTERNAL_SERVER_ERROR, reply))
    };
    let sends = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    if let Some(given) = header(header::CONTENT_TYPE).filter(|_| sends)
        && !kinds(&given, &["application/json"])
    {
        return refuse("The type of the request's body is not supported.", &given);
    }
    if let Some(given) = header(header::ACCEPT)
        && !kinds(&given, &answers)
    {
        return refuse("Answers of the accepted types are not available.", &given);
    }
    None
}

/// Notes how long requests of each route take.
pub async fn timed(
    State(cluster): State<Cluster>,
    matched: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = format!("{} {}", request.method(), matched.as_str());
    let response = next.run(request).await;
    // Callers may invent any number of methods.
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        let now_ms = cluster.env().now_ms();
        cluster
            .shared
            .requests
            .took(&route, begun.elapsed(), now_ms);
    }
    response
}

/// Lets only callers in who authenticated with a token, where that is switched on. Whether the controller lives may be asked
/// by everybody, and the web interface's pages are no secret.
pub async fn authenticated(
    State(cluster): State<Cluster>,
    matched: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    const OPEN: [&str; 5] = ["/", "/health", "/ui", "/ui/", "/ui/{*path}"];
    if OPEN.contains(&matched.as_str()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>();
    let from = peer.map(|peer| peer.address.ip().to_canonical());
    let given = request.headers().get(header::AUTHORIZATION);
    let token = given.and_then(|given| bearer(given.to_str().ok()?));
    let Err(reply) = auth_token::check(&cluster, token, from) else {
        return next.run(request).await;
    };
    let mut response = Answer::fixed(StatusCode::UNAUTHORIZED, reply);
    let realm = HeaderValue::from_static("Bearer realm=\"linstor-controller\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, realm);
    response
}

/// The token of an `Authorization` header.
fn bearer(given: &str) -> Option<&str> {
    let (scheme, token) = given.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn too_many(limits: &Limits) -> Response {
    let message = "The controller is serving as many requests as it may.";
    let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause(format!(
            "At most {} requests run at a time.",
            limits.requests_max
        ))
        .correction("Send the request again later, or raise 'requests_max' in linstor.toml.");
    Answer::fixed(StatusCode::SERVICE_UNAVAILABLE, reply)
}

fn too_long(method: &Method, path: &str, limits: &Limits) -> Response {
    let path = path.escape_debug();
    let seconds = limits.request_time_max.as_secs();
    let message = format!("The request {method} {path} takes longer than {seconds} s.");
    let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message)
        .cause("The controller answers within this time.")
        .details("What it has begun continues.")
        .correction("See /v1/jobs for its progress and what it waits for.");
    Answer::fixed(StatusCode::SERVICE_UNAVAILABLE, reply)
}

fn panicked(method: &Method, path: &str) -> Response {
    let message = format!(
        "The request {method} {} failed in the controller.",
        path.escape_debug()
    );
    let reply = Reply::new(code::FAIL_IMPL_ERROR, message)
        .cause("This is an error of the program.")
        .details("What it had committed before is not undone; the rest was not done.")
        .correction("Check the objects concerned, and report the log of the controller.");
    Answer::ok(vec![reply]).into_response()
}

/// A path whose escapes are no text cannot name anything.
fn undecodable(uri: &Uri) -> Option<Response> {
    let path = uri.path();
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = (hex(rest.next()), hex(rest.next()));
        match digits {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Some(bad_path(path)),
        }
    }
    std::str::from_utf8(&bytes).is_err().then(|| bad_path(path))
}

fn hex(byte: Option<u8>) -> Option<u8> {
    let digit = char::from(byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn bad_path(path: &str) -> Response {
    let reply = Reply::new(
        code::API_CALL_PARSE_ERROR,
        format!("The path '{}' cannot be read.", path.escape_debug()),
    )
    .cause("Its escapes are not UTF-8.");
    Answer::fixed(StatusCode::BAD_REQUEST, reply)
}

/// Refuses requests of web pages that neither the controller itself nor an allowed origin has sent: without authentication
/// any page that an administrator visits could otherwise change the cluster. Programs send no origin. Only a real preflight
/// is answered here: `OPTIONS` is also a method of the API.
pub async fn cross_origin(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    if let Some(answer) = https::redirect(&edge.cluster, &request) {
        return answer;
    }
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let allowed = edge.limits.allowed_origins.iter();
    let allowed =
        allowed.filter(|allowed| *allowed == "*" || allowed.as_bytes() == origin.as_bytes());
    if allowed.count() == 0 {
        if is_own(&origin, headers) {
            return next.run(request).await;
        }
        return answer::finish(
            other_origin(&origin),
            &edge.cluster,
            "a request of another origin",
        );
    }
    let preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = if preflight {
        Response::new(Body::empty())
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if preflight {
        let wanted = wanted.unwrap_or(HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        let age = HeaderValue::from_static("3600");
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, age);
    }
    response
}

/// Whether a page of this controller sent the request.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(origin), Some(host)) = (origin.to_str(), headers.get(header::HOST)) else {
        return false;
    };
    let schemes = ["http://", "https://"];
    let authority = schemes
        .iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    authority.is_some_and(|authority| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

fn other_origin(origin: &HeaderValue) -> Response {
    let shown = String::from_utf8_lossy(origin.as_bytes());
    let message = format!(
        "Web pages of '{}' may not use this controller.",
        shown.escape_debug()
    );
    let reply = Reply::new(code::FAIL_ACC_DENIED_COMMAND, message)
        .cause("The request comes from a web page of another origin, and the settings do not allow it.")
        .correction("Add the origin to 'allowed_origins' in the section [http] of linstor.toml.");
    Answer::fixed(StatusCode::FORBIDDEN, reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slashes at the end are removed, the query is not.
    #[test]
    fn trailing_slashes_are_cut() {
        for (given, expected) in [
            ("/v1/nodes/", "/v1/nodes"),
            ("/v1/nodes//?a=b", "/v1/nodes?a=b"),
            ("/v1/nodes?a=b/", "/v1/nodes?a=b/"),
            ("/v1/nodes;a=b/alpha;c?a=b;c", "/v1/nodes/alpha?a=b;c"),
            ("/", "/"),
        ] {
            let request = Request::builder().uri(given).body(Body::empty()).unwrap();
            assert_eq!(plain_path(request).uri(), expected);
        }
        let delete = Request::builder().method("DELETE").uri("/v1/nodes/");
        assert_eq!(
            plain_path(delete.body(Body::empty()).unwrap()).uri(),
            "/v1/nodes/"
        );
    }

    /// A range with JSON in it is needed; no header at all means any.
    #[test]
    fn answers_are_json() {
        let accepts = |value: &str| {
            let request = Request::builder().uri("/v1/nodes").header("accept", value);
            media_refusal(&request.body(Body::empty()).unwrap()).is_none()
        };
        assert!(
            accepts("*/*")
                && accepts("application/*")
                && accepts("text/html, application/json;q=0.1")
        );
        assert!(!accepts("text/plain") && !accepts("application/xml, text/*"));
        let sends = |value: &str| {
            let request = Request::builder()
                .method("POST")
                .uri("/v1/nodes")
                .header("content-type", value);
            media_refusal(&request.body(Body::empty()).unwrap()).is_none()
        };
        assert!(
            sends("application/json")
                && sends("Application/JSON; charset=utf-8")
                && !sends("text/plain")
        );
    }

    /// Escapes must be whole and make text.
    #[test]
    fn broken_escapes_are_refused() {
        let bad = |path: &str| undecodable(&path.parse().unwrap()).is_some();
        assert!(bad("/v1/nodes/%ff") && bad("/v1/nodes/%4") && bad("/v1/nodes/%zz"));
        assert!(!bad("/v1/nodes/a%2Fb") && !bad("/v1/nodes/%C3%A4"));
    }
}
