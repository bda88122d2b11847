//! A bucket, and what is in it.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use linstor_wire::secret::Secret;
use md5::{Digest as _, Md5};
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Credentials, UrlStyle};
use url::{Host, Url};

use crate::error::{Error, member};
use crate::http::Http;
use crate::request::Sent;

/// The header with the MD5 of a body, which the store compares.
pub(crate) const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
/// Stands for an ETag that is missing.
const NO_ETAG: &str = "none";
/// Keys of one answer to a listing; stores give no more.
const PAGE_KEYS: usize = 1000;

/// Where a bucket is, and how it is accessed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// URL of the store, or its host and port, which are then used with TLS.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The region that requests are signed for. Where a store names another one, that is used.
    pub region: String,
    /// Whether the bucket is part of the path instead of the host name. It is, too, where a host name cannot have it.
    pub use_path_style: bool,
    /// Access key.
    pub access_key: Secret,
    /// Secret key.
    pub secret_key: Secret,
    /// How long the store may take for an answer, and between two pieces of it.
    pub timeout: Duration,
}

/// A bucket. A clone is a pointer.
#[derive(Clone)]
pub struct Bucket(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub http: Http,
    pub credentials: Credentials,
    pub timeout: Duration,
    /// Replaced when the store names another region.
    signing: Mutex<Arc<rusty_s3::Bucket>>,
    host: String,
    style: UrlStyle,
    endpoint: Url,
    pub requester_pays: AtomicBool,
    /// The store cannot delete several objects at once.
    pub deletes_singly: AtomicBool,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signing = self.signing();
        let (host, name) = (&self.0.host, signing.name());
        write!(f, "Bucket({name} on {host})")
    }
}

/// An object in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// What tells its content from another one; none where the store does not know.
    pub etag: Option<String>,
    /// Its size.
    pub bytes: u64,
}

/// Objects in the order in which the store lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Some of the objects.
    pub objects: Vec<Object>,
    /// Where the next ones are, if there are any.
    pub next: Option<Position>,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// What the store calls it.
    Token(String),
    /// After a key, for stores that say that there is more, but not where.
    After(String),
}

impl Bucket {
    /// A bucket; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the endpoint or the bucket's name is not valid.
    pub fn new(settings: &Settings) -> Result<Bucket, Error> {
        let endpoint = endpoint(&settings.endpoint)?;
        let name = &settings.bucket;
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        {
            let shown = name.escape_debug();
            return Err(Error::Settings(format!(
                "'{shown}' is not the name of a bucket"
            )));
        }
        let style = match settings.use_path_style || !host_can_have(&endpoint, name) {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let host = endpoint.host_str().unwrap_or_default();
        let port = endpoint.port_or_known_default().unwrap_or_default();
        let is_https = endpoint.scheme() == "https";
        let http = Http::new(is_https, settings.timeout).map_err(Error::Settings)?;
        let signing = rusty_s3::Bucket::new(
            endpoint.clone(),
            style,
            name.clone(),
            settings.region.clone(),
        );
        let signing = signing.map_err(|error| Error::Settings(error.to_string()))?;
        Ok(Bucket(Arc::new(Inner {
            http,
            credentials: Credentials::new(
                settings.access_key.reveal(),
                settings.secret_key.reveal(),
            ),
            timeout: settings.timeout,
            signing: Mutex::new(Arc::new(signing)),
            host: format!("{host}:{port}"),
            style,
            endpoint,
            requester_pays: AtomicBool::new(false),
            deletes_singly: AtomicBool::new(false),
        })))
    }

    /// Host and port of the store.
    pub fn host(&self) -> String {
        self.0.host.clone()
    }

    pub(crate) fn signing(&self) -> Arc<rusty_s3::Bucket> {
        let signing = self.0.signing.lock();
        Arc::clone(&signing.unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs for another region from now on. Returns whether it is another one.
    pub(crate) fn sign_for(&self, region: &str) -> bool {
        let before = self.signing();
        if before.region() == region {
            return false;
        }
        let (endpoint, name) = (self.0.endpoint.clone(), before.name().to_owned());
        let Ok(signing) = rusty_s3::Bucket::new(endpoint, self.0.style, name, region.to_owned())
        else {
            return false;
        };
        let mut place = self
            .0
            .signing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(signing);
        true
    }

    /// Some of the objects whose keys begin with a prefix.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn list(&self, prefix: &str, at: Option<&Position>) -> Result<Page, Error> {
        self.list_some(prefix, at, PAGE_KEYS).await
    }

    /// Whether objects can be listed at all: asks for one.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn check(&self) -> Result<(), Error> {
        self.list_some("", None, 1).await.map(|_| ())
    }

    async fn list_some(
        &self,
        prefix: &str,
        at: Option<&Position>,
        keys_max: usize,
    ) -> Result<Page, Error> {
        let what = "listing the objects of the bucket";
        let sign = |signer: &crate::request::Signer<'_>| {
            let mut action = signer.bucket.list_objects_v2(Some(signer.credentials));
            action.with_prefix(prefix.to_owned());
            action.with_max_keys(keys_max);
            match at {
                None => {}
                Some(Position::Token(token)) => action.with_continuation_token(token.clone()),
                Some(Position::After(key)) => action.with_start_after(key.clone()),
            }
            signer.sign(action)
        };
        let response = self.call(what, Sent::default(), sign).await?;
        let text = self.text(what, response).await?;
        let unreadable = |reason: String| Error::Unreadable {
            what: what.to_owned(),
            reason,
        };
        let read = ListObjectsV2::parse_response(&with_etags(&text));
        let read = read.map_err(|error| unreadable(error.to_string()))?;
        let objects: Vec<Object> = read
            .contents
            .into_iter()
            .map(|object| Object {
                key: object.key,
                etag: Some(object.etag).filter(|etag| etag != NO_ETAG),
                bytes: object.size,
            })
            .collect();
        let more = member(&text, "IsTruncated").is_some_and(|text| text.trim() == "true");
        let token = read.next_continuation_token.filter(|text| !text.is_empty());
        let next = match (more, token, objects.last()) {
            (false, ..) => None,
            (true, Some(token), _) => Some(Position::Token(token)),
            (true, None, Some(last)) => Some(Position::After(last.key.clone())),
            (true, None, None) => {
                return Err(unreadable("there is more, but not where".to_owned()));
            }
        };
        // A listing that does not get on would never end.
        if next.is_some() && next.as_ref() == at {
            return Err(unreadable("it does not get on".to_owned()));
        }
        Ok(Page { objects, next })
    }

    /// All objects whose keys begin with a prefix, one after the other; a page of them is in memory at a time.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn for_each(&self, prefix: &str, mut each: impl FnMut(Object)) -> Result<(), Error> {
        let mut at = None;
        loop {
            let page = self.list(prefix, at.as_ref()).await?;
            page.objects.into_iter().for_each(&mut each);
            let Some(next) = page.next else {
                return Ok(());
            };
            at = Some(next);
        }
    }

    /// A small object.
    ///
    /// # Errors
    ///
    /// When there is none, it is larger than `bytes_max`, or the store does not answer.
    pub async fn get(&self, key: &str, bytes_max: usize) -> Result<Bytes, Error> {
        let what = format!("reading the object '{}'", key.escape_debug());
        let sign = |signer: &crate::request::Signer<'_>| {
            signer.sign(signer.bucket.get_object(Some(signer.credentials), key))
        };
        let response = self.call(&what, Sent::default(), sign).await?;
        let announced = response
            .headers()
            .get(hyper::header::CONTENT_LENGTH)
            .cloned();
        let bytes = self.read(&what, response, bytes_max).await?;
        let announced = announced.as_ref().map(HeaderValue::to_str);
        let announced = announced.and_then(|text| text.ok()?.parse::<usize>().ok());
        if announced.is_some_and(|announced| announced != bytes.len()) {
            let reason = "it is shorter than it should be".to_owned();
            return Err(Error::Unreadable { what, reason });
        }
        Ok(bytes)
    }

    /// Writes a small object, in one request. The store compares its MD5.
    ///
    /// # Errors
    ///
    /// When the store does not answer, or refuses.
    pub async fn put(&self, key: &str, body: Bytes) -> Result<(), Error> {
        let what = format!("writing the object '{}'", key.escape_debug());
        let headers = [(CONTENT_MD5, md5_of(&body))];
        let sent = Sent {
            body: body.into(),
            headers: &headers,
        };
        let sign = |signer: &crate::request::Signer<'_>| {
            signer.sign(signer.bucket.put_object(Some(signer.credentials), key))
        };
        let response = self.call(&what, sent, sign).await?;
        self.text(&what, response).await.map(|_| ())
    }
}

/// Stores leave out the ETag of an object that was not written through them: its element is empty then.
fn with_etags(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "<Contents>";
    let mut parts = text.split(BEGIN);
    let first = parts.next().unwrap_or_default();
    if parts.clone().all(|part| part.contains("<ETag>")) {
        return Cow::Borrowed(text);
    }
    let parts = parts.map(|part| match part.contains("<ETag>") {
        true => format!("{BEGIN}{part}"),
        false => format!("{BEGIN}<ETag>{NO_ETAG}</ETag>{part}"),
    });
    Cow::Owned(std::iter::once(first.to_owned()).chain(parts).collect())
}

pub(crate) fn md5_of(body: &[u8]) -> String {
    BASE64.encode(Md5::digest(body))
}

/// An endpoint with its scheme, which is https unless it is given.
fn endpoint(given: &str) -> Result<Url, Error> {
    let shown = given.escape_debug();
    let invalid = |why: String| Error::Settings(format!("'{shown}' is not a valid URL: {why}"));
    let lower = given.to_ascii_lowercase();
    let text = match lower.starts_with("http://") || lower.starts_with("https://") {
        true => given.to_owned(),
        false if given.contains("://") => {
            return Err(invalid(
                "it begins with neither http:// nor https://".to_owned(),
            ));
        }
        false => format!("https://{given}"),
    };
    let mut url = Url::parse(&text).map_err(|error| invalid(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it has a user".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("something follows the path".to_owned()));
    }
    if url.port() == Some(0) {
        return Err(invalid("0 is not a port".to_owned()));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Whether a bucket can be part of the host name: not of an address, and a certificate for all buckets has no dots in them.
fn host_can_have(endpoint: &Url, bucket: &str) -> bool {
    let is_name = matches!(endpoint.host(), Some(Host::Domain(_)));
    let is_label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let dots = endpoint.scheme() == "http" || !bucket.contains('.');
    is_name && dots && (3..=63).contains(&bucket.len()) && bucket.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str, bucket: &str) -> Settings {
        Settings {
            endpoint: endpoint.to_owned(),
            bucket: bucket.to_owned(),
            region: "r".to_owned(),
            use_path_style: false,
            access_key: Secret::new("the-access-key"),
            secret_key: Secret::new("the-secret-key"),
            timeout: Duration::from_secs(5),
        }
    }

    /// The bucket is part of the host name where that is possible, and of the path everywhere else.
    #[test]
    fn the_bucket_is_in_the_host_name_or_in_the_path() {
        let url = |endpoint: &str, bucket: &str, use_path_style| {
            let mut settings = settings(endpoint, bucket);
            settings.use_path_style = use_path_style;
            let bucket = Bucket::new(&settings).unwrap();
            bucket.signing().base_url().to_string()
        };
        assert_eq!(
            url("s3.example.com", "one", false),
            "https://one.s3.example.com/"
        );
        assert_eq!(
            url("s3.example.com", "one", true),
            "https://s3.example.com/one/"
        );
        assert_eq!(
            url("http://127.0.0.1:9000", "one", false),
            "http://127.0.0.1:9000/one/"
        );
        assert_eq!(
            url("https://s3.example.com", "one.two", false),
            "https://s3.example.com/one.two/"
        );
        assert_eq!(
            url("http://[::1]:1/", "Upper_case", false),
            "http://[::1]:1/Upper_case/"
        );
    }

    /// What is no endpoint or no bucket is refused, and no key is shown.
    #[test]
    fn bad_settings_are_refused() {
        for (endpoint, bucket) in [
            ("not a url", "b"),
            ("", "b"),
            ("ftp://a", "b"),
            ("http://u:p@a", "b"),
            ("http://a?x", "b"),
            ("http://a#x", "b"),
            ("http://a:0", "b"),
            ("http://a:99999", "b"),
            ("http://a", ""),
            ("http://a", "a/b"),
            ("http://a", "a\n"),
        ] {
            assert!(
                Bucket::new(&settings(endpoint, bucket)).is_err(),
                "{endpoint} {bucket}"
            );
        }
        let settings = settings("a", "b");
        let shown = format!("{settings:?} {:?}", Bucket::new(&settings).unwrap());
        assert!(!shown.contains("-key"), "{shown}");
    }
}
