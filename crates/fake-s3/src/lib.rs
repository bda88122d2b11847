//! A bucket of an S3 store in memory, which fails as it is told to, for tests.
//!
//! It checks the access key, not signatures: those are checked by the real stores that `cargo xtask test` starts.

mod answer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The only access key that a store accepts.
pub const ACCESS_KEY: &str = "access";
/// The only bucket that it has.
pub const BUCKET: &str = "backups";

/// How a store behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Keys in one answer to a listing.
    pub page_keys: usize,
    /// Says that there is more without saying where.
    pub without_tokens: bool,
    /// Does not know how to delete several objects at once.
    pub deletes_singly: bool,
    /// Denies access to whoever does not offer to pay.
    pub requester_pays: bool,
    /// The region that requests have to be signed for; any when empty.
    pub region: String,
    /// Listings have no ETags, as of objects that were not written through the store.
    pub without_etags: bool,
    /// Nothing can be written.
    pub read_only: bool,
    /// The connection breaks after so many bytes of an object; never when 0.
    pub breaks_after: usize,
    /// Objects with these beginnings cannot be deleted.
    pub undeletable: Vec<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            page_keys: 1000,
            without_tokens: false,
            deletes_singly: false,
            requester_pays: false,
            region: String::new(),
            without_etags: false,
            read_only: false,
            breaks_after: 0,
            undeletable: Vec::new(),
        }
    }
}

/// A store that listens on an address of this machine until it is dropped.
pub struct Store {
    endpoint: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, Upload>,
    begun: usize,
    failures: VecDeque<(u16, &'static str)>,
    requests: Vec<String>,
}

#[derive(Default)]
struct Upload {
    key: String,
    parts: BTreeMap<u16, Bytes>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Store {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Store {
    /// Starts a store.
    pub async fn start() -> Store {
        Store::with(Behaviour::default()).await
    }

    /// Starts a store that behaves so.
    pub async fn with(behaviour: Behaviour) -> Store {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State {
            behaviour,
            ..State::default()
        }));
        let served = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&served);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Store {
            endpoint: format!("http://{address}"),
            state,
            server,
        }
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Changes its behaviour.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// The next requests are answered so, one after the other.
    pub fn fail(&self, answers: &[(u16, &'static str)]) {
        lock(&self.state).failures.extend(answers);
    }

    /// Puts an object into the bucket.
    pub fn put(&self, key: &str, content: impl Into<Bytes>) {
        lock(&self.state)
            .objects
            .insert(key.to_owned(), content.into());
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) {
        lock(&self.state).objects.remove(key);
    }

    /// An object.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        lock(&self.state).objects.get(key).cloned()
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        lock(&self.state).objects.keys().cloned().collect()
    }

    /// How many uploads are neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        lock(&self.state).uploads.len()
    }

    /// The requests since it was asked last: method, path, and the arguments that are not about the signature.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).requests)
    }
}

/// A request without its signature.
struct Asked {
    method: Method,
    key: String,
    query: BTreeMap<String, String>,
    body: Bytes,
    /// Where an object is read from.
    from: usize,
    /// What it has to be.
    etag: Option<String>,
}

impl Asked {
    fn has(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }

    fn text(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

type Answer = Response<answer::Body>;

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let given = head.uri.query().unwrap_or_default();
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(given.as_bytes())
        .into_owned()
        .collect();
    let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let (range, etag) = (head.headers.get("range"), head.headers.get("if-match"));
    let from = |range: &HeaderValue| {
        let text = range.to_str().ok()?.strip_prefix("bytes=")?;
        text.strip_suffix('-')?.parse().ok()
    };
    let asked = Asked {
        method: head.method.clone(),
        key: key.to_owned(),
        query,
        body,
        from: range.and_then(from).unwrap_or(0),
        etag: etag.and_then(|etag| Some(etag.to_str().ok()?.to_owned())),
    };
    let mut state = lock(&state);
    let own: Vec<String> = asked
        .query
        .iter()
        .filter(|(name, _)| !name.starts_with("X-Amz-"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let line = format!("{} {path} {}", head.method, own.join("&"));
    state.requests.push(line);
    if let Some((status, code)) = state.failures.pop_front() {
        return Ok(answer::refusal(status, code, "as the test wants it", ""));
    }
    let md5 = head.headers.get("content-md5");
    let damaged = md5.is_some_and(|md5| md5 != BASE64.encode(Md5::digest(&asked.body)).as_str());
    let credential: Vec<&str> = asked.text("X-Amz-Credential").split('/').collect();
    let region = &state.behaviour.region;
    let refused = if bucket != BUCKET {
        Some((404, "NoSuchBucket", ""))
    } else if credential.first() != Some(&ACCESS_KEY) {
        Some((403, "InvalidAccessKeyId", ""))
    } else if !region.is_empty() && credential.get(2) != Some(&region.as_str()) {
        Some((400, "AuthorizationHeaderMalformed", region.as_str()))
    } else if state.behaviour.requester_pays && !asked.has("x-amz-request-payer") {
        Some((403, "AccessDenied", ""))
    } else if damaged {
        Some((400, "BadDigest", ""))
    } else {
        None
    };
    if let Some((status, code, region)) = refused {
        return Ok(answer::refusal(status, code, "refused", region));
    }
    Ok(state.serve(&asked))
}

fn empty(status: StatusCode) -> Answer {
    answer::text(status, String::new())
}

impl State {
    fn serve(&mut self, asked: &Asked) -> Answer {
        let key = asked.key.as_str();
        if self.behaviour.read_only && asked.method == Method::PUT {
            return answer::refusal(403, "AccessDenied", "read-only", "");
        }
        match (&asked.method, key.is_empty()) {
            (&Method::GET, true) => self.list(asked),
            (&Method::POST, true) if asked.has("delete") => self.delete_several(asked),
            (&Method::POST, false) if asked.has("uploads") => {
                self.begun += 1;
                let id = format!("upload-{}", self.begun);
                let upload = Upload {
                    key: key.to_owned(),
                    ..Upload::default()
                };
                self.uploads.insert(id.clone(), upload);
                answer::text(StatusCode::OK, answer::upload(&id))
            }
            (&Method::POST, false) if asked.has("uploadId") => self.complete(asked),
            (&Method::PUT, false) if asked.has("uploadId") => {
                let number = asked.text("partNumber").parse().unwrap_or(0);
                let Some(upload) = self.uploads.get_mut(asked.text("uploadId")) else {
                    return answer::refusal(404, "NoSuchUpload", "gone", "");
                };
                upload.parts.insert(number, asked.body.clone());
                answer::with_etag(&asked.body, Bytes::new())
            }
            (&Method::GET, false) if asked.has("uploadId") => {
                match self.uploads.get(asked.text("uploadId")) {
                    Some(upload) => answer::text(StatusCode::OK, answer::parts(&upload.parts)),
                    None => answer::refusal(404, "NoSuchUpload", "gone", ""),
                }
            }
            (&Method::DELETE, false) if asked.has("uploadId") => {
                match self.uploads.remove(asked.text("uploadId")) {
                    Some(_) => empty(StatusCode::NO_CONTENT),
                    None => answer::refusal(404, "NoSuchUpload", "gone", ""),
                }
            }
            (&Method::PUT, false) => {
                self.objects.insert(key.to_owned(), asked.body.clone());
                answer::with_etag(&asked.body, Bytes::new())
            }
            (&Method::GET, false) => match self.objects.get(key) {
                Some(content)
                    if asked
                        .etag
                        .as_ref()
                        .is_some_and(|e| *e != answer::etag(content)) =>
                {
                    answer::refusal(412, "PreconditionFailed", "another", "")
                }
                Some(content) => answer::part(content, asked.from, self.behaviour.breaks_after),
                None => answer::refusal(404, "NoSuchKey", "gone", ""),
            },
            (&Method::DELETE, false) => match self.is_undeletable(key) {
                true => answer::refusal(403, "AccessDenied", "kept", ""),
                false => {
                    self.objects.remove(key);
                    empty(StatusCode::NO_CONTENT)
                }
            },
            _ => answer::refusal(405, "MethodNotAllowed", "unknown", ""),
        }
    }

    fn is_undeletable(&self, key: &str) -> bool {
        let mut kept = self.behaviour.undeletable.iter();
        kept.any(|prefix| key.starts_with(prefix.as_str()))
    }

    fn list(&self, asked: &Asked) -> Answer {
        let prefix = asked.text("prefix");
        let after = match asked.text("continuation-token") {
            "" => asked.text("start-after"),
            token => token.trim_start_matches("token:"),
        };
        let wanted: usize = asked.text("max-keys").parse().unwrap_or(1000);
        let limit = wanted.min(self.behaviour.page_keys);
        let range = self.objects.range(prefix.to_owned()..);
        let mut found = range
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| key.as_str() > after || after.is_empty());
        let page: Vec<(&String, &Bytes)> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        let token = match page.last() {
            Some((key, _)) if more && !self.behaviour.without_tokens => format!("token:{key}"),
            _ => String::new(),
        };
        answer::text(
            StatusCode::OK,
            answer::list(&page, more, &token, !self.behaviour.without_etags),
        )
    }

    fn delete_several(&mut self, asked: &Asked) -> Answer {
        if self.behaviour.deletes_singly {
            return answer::refusal(501, "NotImplemented", "unknown", "");
        }
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let keys = answer::members(&body, "Key");
        let (kept, gone): (Vec<String>, Vec<String>) =
            keys.into_iter().partition(|key| self.is_undeletable(key));
        for key in &gone {
            self.objects.remove(key);
        }
        answer::text(StatusCode::OK, answer::deleted(&gone, &kept))
    }

    fn complete(&mut self, asked: &Asked) -> Answer {
        let Some(upload) = self.uploads.remove(asked.text("uploadId")) else {
            return answer::refusal(404, "NoSuchUpload", "gone", "");
        };
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let named = answer::members(&body, "ETag");
        let known: Vec<String> = upload
            .parts
            .values()
            .map(|part| answer::etag(part))
            .collect();
        if named != known || upload.key != asked.key {
            self.uploads
                .insert(asked.text("uploadId").to_owned(), upload);
            return answer::refusal(400, "InvalidPart", "other parts", "");
        }
        let content: Vec<u8> = upload
            .parts
            .values()
            .flat_map(|part| part.to_vec())
            .collect();
        self.objects.insert(upload.key, Bytes::from(content));
        answer::text(StatusCode::OK, answer::completed(&asked.key))
    }
}
