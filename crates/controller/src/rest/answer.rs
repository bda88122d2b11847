//! Answers: replies with the status that follows from them (`docs/facts.md`, Answers), and JSON values.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use linstor_api::code;
use linstor_api::reply::Reply;
use serde::Serialize;

use crate::cluster::Cluster;
use crate::transaction::Refusal;

/// Replies and the status that they have when none of them is an error.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    replies: Vec<Reply>,
}

impl Answer {
    /// Replies of a call that succeeds with 200.
    pub fn ok(replies: Vec<Reply>) -> Self {
        Answer {
            status: StatusCode::OK,
            replies,
        }
    }

    /// Replies of a call that succeeds with 201.
    pub fn created(replies: Vec<Reply>) -> Self {
        Answer {
            status: StatusCode::CREATED,
            replies,
        }
    }

    /// One reply with a status of its own, which no code changes.
    pub fn fixed(status: StatusCode, reply: Reply) -> Response {
        let fixed = Fixed(status);
        let mut response = Answer::ok(vec![reply]).into_response();
        response.extensions_mut().insert(fixed);
        response
    }

    /// The answer's text and status at a moment.
    fn finish(
        mut self,
        fixed: Option<Fixed>,
        cluster: &Cluster,
        request: &str,
        now_ms: u64,
    ) -> Response {
        let status = fixed.map_or_else(|| status_of(self.status, &self.replies), |Fixed(s)| s);
        // A path or a method that does not exist is no error of a request, and whoever is not known makes no reports.
        if !matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNAUTHORIZED
        ) {
            let reports = &cluster.shared.error_reports;
            reports.add(&mut self.replies, request, now_ms);
        }
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_millisecond(now).unwrap_or(jiff::Timestamp::MAX);
        let now = now.to_string();
        for reply in &mut self.replies {
            reply.created_at.get_or_insert_with(|| now.clone());
        }
        json_with(status, &self.replies)
    }
}

#[derive(Debug, Clone, Copy)]
struct Fixed(StatusCode);

impl IntoResponse for Answer {
    /// The replies are an extension of an empty body until [`finish`] knows the time.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the replies that a handler left as an extension; `request` is its method and path.
pub fn finish(mut response: Response, cluster: &Cluster, request: &str) -> Response {
    let fixed = response.extensions_mut().remove::<Fixed>();
    let Some(answer) = response.extensions_mut().remove::<Answer>() else {
        return response;
    };
    let mut finished = answer.finish(fixed, cluster, request, cluster.env().now_ms());
    let mut given = std::mem::take(response.headers_mut());
    // That of the empty body that the answer had until now.
    given.remove(header::CONTENT_LENGTH);
    finished.headers_mut().extend(given);
    finished
}

/// The first error decides.
fn status_of(success: StatusCode, replies: &[Reply]) -> StatusCode {
    let Some(error) = replies.iter().find(|reply| reply.is_error()) else {
        return success;
    };
    match error.ret_code & code::MASK_BITS_CODE {
        300..=399 => StatusCode::NOT_FOUND,
        400..=499 => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A value with status 200.
pub fn json<T: Serialize>(value: &T) -> Response {
    json_with(StatusCode::OK, value)
}

/// A value that has replies in it: an error among them is one of the server, whatever its code.
pub fn with_status_of<T: Serialize>(replies: &[Reply], value: &T) -> Response {
    let status = match replies.iter().any(Reply::is_error) {
        true => StatusCode::INTERNAL_SERVER_ERROR,
        false => StatusCode::CREATED,
    };
    json_with(status, value)
}

fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let text = serde_json::to_vec(value).expect("answers are made of strings, numbers and lists");
    json_text(status, text)
}

/// A list of any length. A piece is made when the one before has been sent, so that a list costs no more memory than a
/// piece even when its reader is slow, and after each piece, which takes about half a millisecond, everything else on
/// this thread has its turn. A thread of its own would cost more than it saves: passing a piece on is dearer than
/// sending it. Should a piece after the first ones fail, the caller sees the answer break off.
pub fn in_pieces<P>(mut pieces: P) -> Response
where
    P: Iterator<Item = Vec<u8>> + Send + 'static,
{
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else {
        return json_text(StatusCode::OK, first);
    };
    let begin = futures::stream::iter([first, second]);
    let rest = futures::stream::unfold(pieces, |mut pieces| async move {
        tokio::task::yield_now().await;
        let piece = pieces.next()?;
        Some((piece, pieces))
    });
    // A compressor polls again after the end.
    let all = begin.chain(rest).map(Ok::<_, Infallible>).fuse();
    json_body(StatusCode::OK, Body::from_stream(all))
}

/// A text that is JSON already.
pub fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    json_body(status, Body::from(text.into()))
}

fn json_body(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A value that was asked for, or why there is none: a mere warning means that it cannot be had now.
pub fn value<T: Serialize>(result: Result<T, Refusal>) -> Response {
    match result {
        Ok(value) => json(&value),
        Err(Refusal(replies)) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Answer { status, replies }.into_response()
        }
    }
}

/// A list's text, or why there is none.
pub fn text(result: Result<Vec<u8>, Refusal>) -> Response {
    match result {
        Ok(text) => json_text(StatusCode::OK, text),
        Err(Refusal(replies)) => Answer::ok(replies).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first error decides; without one even a warning is a success.
    #[test]
    fn the_first_error_decides_the_status() {
        let status = |codes: &[i64]| {
            let replies: Vec<Reply> = codes.iter().map(|code| Reply::new(*code, "")).collect();
            status_of(StatusCode::CREATED, &replies).as_u16()
        };
        assert_eq!(status(&[]), 201);
        assert_eq!(
            status(&[code::CREATED, code::WARN_NOT_FOUND, code::INFO_NOOP]),
            201
        );
        assert_eq!(status(&[code::FAIL_NOT_FOUND_NODE, code::FAIL_IN_USE]), 404);
        assert_eq!(
            status(&[code::CREATED, code::FAIL_IN_USE, code::FAIL_NOT_FOUND_NODE]),
            500
        );
        assert_eq!(status(&[code::FAIL_ACC_DENIED_NODE]), 403);
        assert_eq!(status(&[code::FAIL_EXISTS_NODE]), 500);
        assert_eq!(status(&[code::API_CALL_PARSE_ERROR]), 500);
    }
}
