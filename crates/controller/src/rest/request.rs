//! What requests carry: bodies read leniently, and query parameters that may be repeated.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use linstor_api::code;
use linstor_api::lenient::Lenient;
use linstor_api::reply::Reply;
use linstor_api::request::BodyError;
use serde::de::DeserializeOwned;

use super::answer::Answer;

/// How large a body may be, and how long it may take; part of each request.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes_max: usize,
    /// Time.
    pub time_max: Duration,
}

/// The body of a call that LINSTOR processes asynchronously: nonsense is answered with 500.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// The body of a call that LINSTOR processes synchronously: nonsense is answered with 400.
#[derive(Debug)]
pub struct SyncBody<T>(pub T);

impl<S: Send + Sync, T: Lenient + Default> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        read(request, StatusCode::INTERNAL_SERVER_ERROR)
            .await
            .map(Body)
    }
}

impl<S: Send + Sync, T: Lenient + Default> FromRequest<S> for SyncBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        read(request, StatusCode::BAD_REQUEST).await.map(SyncBody)
    }
}

/// A body without which the call means nothing, processed synchronously or asynchronously as above.
#[derive(Debug)]
pub struct NeededBody<T, const SYNC: bool>(pub T);

impl<S: Send + Sync, T: Lenient + Default, const SYNC: bool> FromRequest<S>
    for NeededBody<T, SYNC>
{
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let bad = match SYNC {
            true => StatusCode::BAD_REQUEST,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = bytes(request).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(unparsable(bad, "the request has no body"));
        }
        parse(&body, bad).map(NeededBody)
    }
}

/// The body of a call between controllers, whose members have one form each.
#[derive(Debug)]
pub struct Plain<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Plain<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let body = bytes(request).await?;
        serde_json::from_slice(&body).map(Plain).map_err(|error| {
            // The words of the error quote what was found, which may be a key.
            let (line, column) = (error.line(), error.column());
            let details = format!("it is not understood at line {line}, column {column}");
            unparsable(StatusCode::INTERNAL_SERVER_ERROR, &details)
        })
    }
}

async fn read<T: Lenient + Default>(request: Request, bad: StatusCode) -> Result<T, Response> {
    parse(&bytes(request).await?, bad)
}

fn parse<T: Lenient + Default>(body: &[u8], bad: StatusCode) -> Result<T, Response> {
    linstor_api::request::read(body).map_err(|error| match error {
        BodyError::Null => {
            let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, "The request has no content.")
                .details(error.to_string())
                .correction("Send an object.");
            Answer::fixed(StatusCode::INTERNAL_SERVER_ERROR, reply)
        }
        BodyError::Malformed(_) | BodyError::UnknownMembers(_) => {
            unparsable(bad, &error.to_string())
        }
    })
}

fn unparsable(status: StatusCode, details: &str) -> Response {
    let reply = Reply::new(code::API_CALL_PARSE_ERROR, "Unable to parse input json.");
    Answer::fixed(status, reply.details(details))
}

async fn bytes(request: Request) -> Result<Bytes, Response> {
    let limits = request.extensions().get::<BodyLimits>().copied();
    let limits = limits.expect("the edge adds it to each request");
    let announced = request.headers().get("content-length");
    let announced = announced.and_then(|text| text.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limits.bytes_max) {
        return Err(too_large(limits));
    }
    // Without an announced length the limit is found while reading.
    let read = axum::body::to_bytes(request.into_body(), limits.bytes_max);
    match tokio::time::timeout(limits.time_max, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(too_large(limits)),
        Err(_) => Err(too_slow(limits)),
    }
}

fn too_large(limits: BodyLimits) -> Response {
    let reply = Reply::new(code::API_CALL_PARSE_ERROR, "The request body is too large.")
        .cause(format!("A body has at most {} bytes.", limits.bytes_max))
        .correction("Split the request into several, or raise 'body_bytes_max' in linstor.toml.");
    Answer::fixed(StatusCode::PAYLOAD_TOO_LARGE, reply)
}

fn too_slow(limits: BodyLimits) -> Response {
    let seconds = limits.time_max.as_secs();
    let message = "The request body did not arrive in time.";
    let reply = Reply::new(code::API_CALL_PARSE_ERROR, message)
        .cause(format!("A body has to be there within {seconds} s."))
        .correction("Send the request again, or raise 'body_seconds_max' in linstor.toml.");
    Answer::fixed(StatusCode::REQUEST_TIMEOUT, reply)
}

/// Query parameters in their order.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
            Ok(Query(pairs)) => Params(pairs).checked(),
            Err(error) => {
                let reply = Reply::new(code::API_CALL_PARSE_ERROR, "Unable to parse the query.")
                    .details(error.to_string());
                Err(Answer::fixed(StatusCode::BAD_REQUEST, reply).into_response())
            }
        }
    }
}

impl Params {
    /// Refused when a page's number is none.
    fn checked(self) -> Result<Self, Response> {
        for name in ["limit", "offset"] {
            let Some(text) = self.first(name) else {
                continue;
            };
            if text.parse::<i32>().is_err() {
                let message = format!("The parameter '{name}' is not a number of rows.");
                let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, message)
                    .cause(format!("It is '{}'.", text.escape_debug()))
                    .correction(format!("Give a whole number up to {}.", i32::MAX));
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Err(Answer::fixed(status, reply));
            }
        }
        Ok(self)
    }

    /// All values of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| value.clone()).collect()
    }

    /// A parameter's first value.
    pub fn first(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(key, _)| key == name);
        value.map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.first(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The part of a list that is wanted: `offset` has an effect only with a positive `limit`.
    pub fn page(&self) -> Page {
        let number = |name| self.first(name).and_then(|text| text.parse::<i64>().ok());
        let positive = |name| number(name).and_then(|n| usize::try_from(n).ok());
        match positive("limit") {
            Some(limit) if limit > 0 => Page {
                offset: positive("offset").unwrap_or(0),
                limit,
            },
            _ => Page::default(),
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// So many rows are left out.
    pub offset: usize,
    /// So many rows follow at most.
    pub limit: usize,
}

impl Page {
    /// The part of these rows.
    pub fn of<T>(&self, rows: Vec<T>) -> Vec<T> {
        rows.into_iter()
            .skip(self.offset)
            .take(self.limit)
            .collect()
    }
}

impl Default for Page {
    fn default() -> Self {
        Page {
            offset: 0,
            limit: usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        let pairs = pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Params(pairs.collect())
    }

    /// `limit=0` means everything, and `offset` alone means nothing.
    #[test]
    fn pages_follow_the_original() {
        let page = |pairs: &[(&str, &str)]| {
            let page = params(pairs).page();
            (page.offset, page.limit)
        };
        assert_eq!(page(&[("offset", "0"), ("limit", "0")]), (0, usize::MAX));
        assert_eq!(page(&[("offset", "5")]), (0, usize::MAX));
        assert_eq!(page(&[("offset", "5"), ("limit", "2")]), (5, 2));
        assert_eq!(page(&[("offset", "-1"), ("limit", "-2")]), (0, usize::MAX));
        assert_eq!(page(&[("limit", "many")]), (0, usize::MAX));
    }

    /// Booleans come in Python's spelling, and keys may be repeated.
    #[test]
    fn parameters_are_read_as_clients_write_them() {
        let params = params(&[("nodes", "a"), ("nodes", "b"), ("cached", "True")]);
        assert_eq!(params.all("nodes"), ["a", "b"]);
        assert!(params.is_on("cached") && !params.is_on("nodes") && !params.is_on("x"));
    }
}
