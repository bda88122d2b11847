//! What a store answers with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use md5::{Digest as _, Md5};

/// The body of an answer; one with an error breaks the connection.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An object from a byte on; the connection breaks after `breaks_after` bytes, unless that is 0.
pub fn part(content: &Bytes, from: usize, breaks_after: usize) -> Response<Body> {
    let rest = content.slice(from.min(content.len())..);
    let length = rest.len();
    let body = match (1..length).contains(&breaks_after) {
        false => whole(rest),
        true => {
            let broken = std::io::Error::other("as the test wants it");
            let pieces = [Ok(Frame::data(rest.slice(..breaks_after))), Err(broken)];
            // The first piece is on its way before the connection breaks.
            let pieces = futures::stream::iter(pieces).then(|piece| async move {
                if piece.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                piece
            });
            StreamBody::new(pieces).boxed_unsync()
        }
    };
    let mut response = Response::new(body);
    if from > 0 {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let headers = response.headers_mut();
    headers.insert(
        "etag",
        etag(content).parse().expect("it has letters and digits"),
    );
    headers.insert("content-length", length.into());
    response
}

pub fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

pub fn refusal(status: u16, code: &str, message: &str, region: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a test gives a valid status");
    let region = match region {
        "" => String::new(),
        region => format!("<Region>{region}</Region>"),
    };
    text(
        status,
        format!("<Error><Code>{code}</Code><Message>{message}</Message>{region}</Error>"),
    )
}

pub fn etag(content: &[u8]) -> String {
    let digest = Md5::digest(content);
    let hex = digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    });
    format!("\"{hex}\"")
}

pub fn with_etag(of: &[u8], body: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(body));
    let etag = etag(of).parse().expect("it has letters and digits");
    response.headers_mut().insert("etag", etag);
    response
}

pub fn upload(id: &str) -> String {
    format!(
        "<InitiateMultipartUploadResult xmlns=\"{NAMESPACE}\"><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    )
}

pub fn completed(key: &str) -> String {
    let key = escape(key);
    format!(
        "<CompleteMultipartUploadResult xmlns=\"{NAMESPACE}\"><Key>{key}</Key></CompleteMultipartUploadResult>"
    )
}

pub fn parts(parts: &BTreeMap<u16, Bytes>) -> String {
    let entries: String = parts
        .iter()
        .map(|(number, content)| {
            format!(
                "<Part><PartNumber>{number}</PartNumber><LastModified>2026-01-01T00:00:00Z</LastModified>\
                 <ETag>{}</ETag><Size>{}</Size></Part>",
                etag(content),
                content.len()
            )
        })
        .collect();
    format!(
        "<ListPartsResult xmlns=\"{NAMESPACE}\"><MaxParts>1000</MaxParts><IsTruncated>false</IsTruncated>{entries}\
         </ListPartsResult>"
    )
}

pub fn list(page: &[(&String, &Bytes)], more: bool, token: &str, with_etags: bool) -> String {
    let entries: String = page
        .iter()
        .map(|(key, content)| {
            let etag = match with_etags {
                true => format!("<ETag>{}</ETag>", etag(content)),
                false => String::new(),
            };
            format!(
                "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>{etag}\
                 <Size>{}</Size></Contents>",
                escape(key),
                content.len()
            )
        })
        .collect();
    let token = match token {
        "" => String::new(),
        token => format!(
            "<NextContinuationToken>{}</NextContinuationToken>",
            escape(token)
        ),
    };
    format!(
        "<ListBucketResult xmlns=\"{NAMESPACE}\"><IsTruncated>{more}</IsTruncated>{token}{entries}</ListBucketResult>"
    )
}

pub fn deleted(gone: &[String], kept: &[String]) -> String {
    let gone = gone.iter().map(|key| {
        let key = escape(key);
        format!("<Deleted><Key>{key}</Key></Deleted>")
    });
    let kept = kept.iter().map(|key| {
        let key = escape(key);
        format!("<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>kept</Message></Error>")
    });
    let entries: String = gone.chain(kept).collect();
    format!("<DeleteResult xmlns=\"{NAMESPACE}\">{entries}</DeleteResult>")
}

/// The texts of all elements of a name.
pub fn members(text: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let parts = text.split(&begin).skip(1);
    let values = parts.filter_map(|part| Some(part.split_once(&end)?.0));
    values.map(unescape).collect()
}
