//! What happens around every request.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use linstor_api::code;
use linstor_api::reply::Reply;

use super::answer::{self, Answer};
use crate::cluster::Cluster;

/// Clients write `/v1/physical-storage/` and `/v1/physical-storage` alike.
pub fn without_trailing_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let path = uri.path();
    if path.len() > 1 && path.ends_with('/') {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
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

/// Runs the request in a task of its own: a caller who hangs up does not cancel it, and a panic becomes an answer.
pub async fn guard(State(cluster): State<Cluster>, request: Request, next: Next) -> Response {
    if let Some(refusal) = undecodable(request.uri()) {
        return answer::finish(refusal, cluster.env().now_ms());
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%method, path, %error, "a request ended in a panic");
            panicked(&method, &path)
        }
    };
    answer::finish(response, cluster.env().now_ms())
}

fn panicked(method: &Method, path: &str) -> Response {
    let message = format!(
        "The request {method} {} failed in the controller.",
        path.escape_debug()
    );
    let reply = Reply::new(code::FAIL_IMPL_ERROR, message)
        .cause("This is an error of the program.")
        .details("Whatever it had committed before stays; the rest was not done.")
        .correction("Look at the objects concerned, and report the log of the controller.");
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

/// Lets web pages of any origin call. Only a real preflight is answered here: `OPTIONS` is also a method
/// of the API.
pub async fn cross_origin(request: Request, next: Next) -> Response {
    let asked = |name: HeaderName, headers: &HeaderMap| headers.get(name).cloned();
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let wanted = asked(header::ACCESS_CONTROL_REQUEST_HEADERS, request.headers());
    let mut response = if preflight {
        Response::new(Body::empty())
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    if preflight {
        let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let wanted = wanted.unwrap_or(HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("3600"),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slashes at the end go, the query stays.
    #[test]
    fn trailing_slashes_are_cut() {
        for (given, expected) in [
            ("/v1/nodes/", "/v1/nodes"),
            ("/v1/nodes//?a=b", "/v1/nodes?a=b"),
            ("/v1/nodes?a=b/", "/v1/nodes?a=b/"),
            ("/", "/"),
        ] {
            let request = Request::builder().uri(given).body(Body::empty()).unwrap();
            assert_eq!(without_trailing_slash(request).uri(), expected);
        }
    }

    /// Escapes must be whole and make text.
    #[test]
    fn broken_escapes_are_refused() {
        let bad = |path: &str| undecodable(&path.parse().unwrap()).is_some();
        assert!(bad("/v1/nodes/%ff") && bad("/v1/nodes/%4") && bad("/v1/nodes/%zz"));
        assert!(!bad("/v1/nodes/a%2Fb") && !bad("/v1/nodes/%C3%A4"));
    }
}
