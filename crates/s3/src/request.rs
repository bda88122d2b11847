//! A request: signed, sent, sent again where that helps, and its answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode, Uri};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rusty_s3::actions::S3Action;
use rusty_s3::{Credentials, Method};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::bucket::Bucket;
use crate::content::Content;
use crate::error::{Answered, Error};

/// How often a request is sent before its failure counts.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; the next ones are twice as long each.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a signature is valid: the difference between clocks that S3 itself tolerates.
const VALID: Duration = Duration::from_secs(15 * 60);
/// The largest answer about objects, in bytes: a page of 1,000 keys of 1 KiB, each byte escaped.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A body may take a second longer for each of these bytes.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Signs the requests of one attempt.
pub struct Signer<'a> {
    pub bucket: &'a rusty_s3::Bucket,
    pub credentials: &'a Credentials,
    requester_pays: bool,
}

impl Signer<'_> {
    pub fn sign<'b, A: S3Action<'b>>(&self, mut action: A) -> (hyper::Method, Url) {
        if self.requester_pays {
            action
                .query_mut()
                .insert("x-amz-request-payer", "requester");
        }
        let method = match A::METHOD {
            Method::Head => hyper::Method::HEAD,
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
            Method::Put => hyper::Method::PUT,
            Method::Delete => hyper::Method::DELETE,
        };
        (method, action.sign(VALID))
    }
}

/// What is sent apart from the URL.
#[derive(Default)]
pub struct Sent<'a> {
    pub body: Content,
    pub headers: &'a [(HeaderName, String)],
}

impl Bucket {
    /// Sends a request until it is answered with success, or there is no point in sending it again.
    pub(crate) async fn call(
        &self,
        what: &str,
        sent: Sent<'_>,
        sign: impl Fn(&Signer<'_>) -> (hyper::Method, Url),
    ) -> Result<Response<Incoming>, Error> {
        let mut pause = PAUSE;
        let mut left = ATTEMPTS;
        loop {
            let error = match self.attempt(what, &sent, &sign).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            // Both are learnt once, and cost no attempt.
            if self.learn_region(&error) || self.learn_who_pays(&error) {
                continue;
            }
            left -= 1;
            if left == 0 || !error.is_transient() {
                return Err(error);
            }
            tracing::debug!("{error}; trying again in {pause:?}");
            let part = SmallRng::from_os_rng().random::<f64>();
            sleep(pause.mul_f64(0.5 + part / 2.0)).await;
            pause *= 2;
        }
    }

    async fn attempt(
        &self,
        what: &str,
        sent: &Sent<'_>,
        sign: &impl Fn(&Signer<'_>) -> (hyper::Method, Url),
    ) -> Result<Response<Incoming>, Error> {
        let bucket = self.signing();
        let (method, url) = sign(&Signer {
            bucket: &bucket,
            credentials: &self.0.credentials,
            requester_pays: self.0.requester_pays.load(Ordering::Relaxed),
        });
        let uri: Uri = url
            .as_str()
            .parse()
            .map_err(|_| Error::Settings(format!("{what} has no valid URL")))?;
        let authorization = self.0.http.proxy_authorization(&uri);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in sent.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header(hyper::header::PROXY_AUTHORIZATION, authorization);
        }
        let request = request
            .body(sent.body.to_body())
            .map_err(|error| Error::Settings(format!("{what} cannot be asked for: {error}")))?;
        let longer = sent.body.len() / SLOWEST_BYTES_PER_SECOND;
        let limit = self.0.timeout.saturating_add(Duration::from_secs(longer));
        let response = match timeout(limit, self.0.http.request(request)).await {
            Err(_) => return Err(self.late(limit)),
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let region = region_of(response.headers());
        // What a refusal says is of use, but not needed.
        let text = self.read(what, response, ANSWER_BYTES_MAX).await;
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        Err(Error::Answered(self.refusal(what, status, &text, region)))
    }

    fn refusal(
        &self,
        what: &str,
        status: StatusCode,
        text: &str,
        region: Option<String>,
    ) -> Answered {
        let secrets = [self.0.credentials.key(), self.0.credentials.secret()];
        let mut answered = Answered::read(what, status, text, &secrets);
        answered.region = region.or(answered.region);
        answered
    }

    /// An error that the store reports with a status of success, after it had begun to answer.
    pub(crate) fn late_refusal(&self, what: &str, text: &str) -> Option<Error> {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        text.contains("<Error>")
            .then(|| Error::Answered(self.refusal(what, status, text, None)))
    }

    /// The whole body of an answer.
    pub(crate) async fn read(
        &self,
        what: &str,
        response: Response<Incoming>,
        bytes_max: usize,
    ) -> Result<Bytes, Error> {
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        loop {
            let frame = match timeout(self.0.timeout, body.frame()).await {
                Err(_) => return Err(self.late(self.0.timeout)),
                Ok(None) => return Ok(bytes.freeze()),
                Ok(Some(Err(error))) => return Err(self.unreachable(&error)),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > bytes_max {
                return Err(Error::TooLarge {
                    what: what.to_owned(),
                    bytes_max,
                });
            }
            bytes.extend_from_slice(&data);
        }
    }

    /// The text of an answer about objects.
    pub(crate) async fn text(
        &self,
        what: &str,
        response: Response<Incoming>,
    ) -> Result<String, Error> {
        let bytes = self.read(what, response, ANSWER_BYTES_MAX).await?;
        String::from_utf8(bytes.to_vec()).map_err(|error| Error::Unreadable {
            what: what.to_owned(),
            reason: error.to_string(),
        })
    }

    pub(crate) fn late(&self, limit: Duration) -> Error {
        Error::Late {
            host: self.host(),
            seconds: limit.as_secs(),
        }
    }

    /// The causes of an error have what a person wants to know; none of them names the URL.
    pub(crate) fn unreachable(&self, error: &dyn std::error::Error) -> Error {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            source = cause.source();
        }
        Error::Unreachable {
            host: self.host(),
            reason,
        }
    }

    /// Takes over the region that a store names in a refusal. Returns whether it is another one.
    fn learn_region(&self, error: &Error) -> bool {
        let Error::Answered(answered) = error else {
            return false;
        };
        let about_region = matches!(answered.status, 301 | 307 | 400);
        let region = answered.region.as_deref().filter(|_| about_region);
        region.is_some_and(|region| self.sign_for(region))
    }

    /// Offers to pay when access is denied: that is how buckets answer whose readers pay. Returns whether that is new.
    fn learn_who_pays(&self, error: &Error) -> bool {
        let denied = matches!(error, Error::Answered(answered) if answered.status == 403
            && answered.code == "AccessDenied");
        denied && !self.0.requester_pays.swap(true, Ordering::Relaxed)
    }
}

fn region_of(headers: &HeaderMap) -> Option<String> {
    let region = headers.get("x-amz-bucket-region")?;
    Some(region.to_str().ok()?.to_owned())
}
