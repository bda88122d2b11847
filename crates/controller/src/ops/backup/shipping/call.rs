//! Calls the controller of another cluster.

use std::time::Duration;

use axum::body::Bytes;
use hyper::header::{CONTENT_TYPE, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode, Uri};
use linstor_api::reply::Reply;
use linstor_api::{code, name};
use linstor_model::Remote;
use linstor_model::remote::Target;
use linstor_s3::Http;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::conversation::{HEADER, VERSION};
use crate::transaction::Refusal;

/// How long a connection to it may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long its answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The controller of another cluster.
pub struct Peer {
    http: Http,
    url: String,
    /// What its remote is called.
    pub name: String,
}

/// What it has answered.
pub struct Answered<T> {
    /// The body.
    pub body: T,
    /// It is a cluster of this program, of the same version of what nodes say.
    pub is_alike: bool,
    /// It has answered with 200.
    pub is_ok: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct NotAnswered {
    /// For a person.
    pub why: String,
    /// Another attempt may have an answer.
    pub is_transient: bool,
}

impl NotAnswered {
    /// As the reason that something was not done.
    pub fn reply(&self, message: impl Into<String>) -> Reply {
        Reply::new(code::FAIL_UNKNOWN_ERROR | code::MASK_BACKUP, message)
            .cause(self.why.clone())
            .correction("Check the URL of the remote, and that the controller of the other cluster runs and can be reached.")
    }
}

impl Peer {
    /// The cluster of a remote; refuses a remote of another kind.
    pub fn new(remote: &Remote) -> Result<Peer, Refusal> {
        let Target::Linstor(linstor) = &remote.target else {
            return Err(not_linstor(&remote.name).into());
        };
        let http = Http::new(linstor.url.starts_with("https:"), CONNECT_LIMIT);
        let http = http.map_err(|why| {
            Refusal::from(
                NotAnswered {
                    why,
                    is_transient: false,
                }
                .reply(format!("The remote {} cannot be used.", remote.name)),
            )
        })?;
        Ok(Peer {
            http,
            url: linstor.url.trim_end_matches('/').to_owned(),
            name: remote.name.to_string(),
        })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Says something, and reads the answer.
    pub async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        said: &impl Serialize,
    ) -> Result<Answered<T>, NotAnswered> {
        match timeout(ANSWER_LIMIT, self.attempt(path, said)).await {
            Ok(answered) => answered,
            Err(_) => Err(NotAnswered {
                why: format!(
                    "{} has not answered within {} s.",
                    self.url,
                    ANSWER_LIMIT.as_secs()
                ),
                is_transient: true,
            }),
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        path: &str,
        said: &impl Serialize,
    ) -> Result<Answered<T>, NotAnswered> {
        let failed = |is_transient: bool, error: String| NotAnswered {
            why: format!("{}: {error}", self.url),
            is_transient,
        };
        let body = serde_json::to_vec(said).map_err(|error| failed(false, error.to_string()))?;
        let uri = format!("{}/v1/internal/backups/{path}", self.url);
        let uri: Uri = uri
            .parse()
            .map_err(|_| failed(false, "it is not a valid URL".to_owned()))?;
        let mut request = Request::post(uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER, VERSION);
        if let Some(authorization) = self.http.proxy_authorization(&uri) {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        let request = request.body(linstor_s3::body(Bytes::from(body)));
        let request = request.map_err(|error| failed(false, error.to_string()))?;
        let answer = self.http.request(request).await;
        let answer = answer.map_err(|error| failed(true, all_of(&error)))?;
        let status = answer.status();
        let version = answer.headers().get(HEADER);
        let is_alike = version.is_some_and(|value| value == VERSION);
        let body = axum::body::Body::new(answer.into_body());
        let body = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await;
        let body = body.map_err(|error| failed(true, error.to_string()))?;
        match serde_json::from_slice(&body) {
            Ok(body) => Ok(Answered {
                body,
                is_alike,
                is_ok: status == StatusCode::OK,
            }),
            Err(_) => {
                let gateway = [
                    StatusCode::BAD_GATEWAY,
                    StatusCode::SERVICE_UNAVAILABLE,
                    StatusCode::GATEWAY_TIMEOUT,
                ];
                let is_transient = gateway.contains(&status);
                let why = format!("its answer with status {status} is not one of a controller");
                Err(failed(is_transient, why))
            }
        }
    }
}

/// An error with what is below it.
fn all_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}

/// Refuses a remote that is no cluster.
pub fn not_linstor(name: &name::RemoteName) -> Reply {
    let message = format!("The remote {name} is not a linstor remote.");
    Reply::new(code::FAIL_INVLD_REMOTE_NAME, message)
        .cause("Snapshots are shipped to LINSTOR clusters.")
        .correction("Use a linstor remote.")
}
