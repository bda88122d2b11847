//! The client against a store in memory that answers in unusual ways; real ones are used by `cargo xtask test`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use linstor_fake_s3::{ACCESS_KEY, BUCKET, Behaviour, Store};
use linstor_s3::{Bucket, DownloadError, Error, Parts, Settings, UploadError};
use linstor_wire::secret::Secret;

fn settings(store: &Store) -> Settings {
    Settings {
        endpoint: store.endpoint().to_owned(),
        bucket: BUCKET.to_owned(),
        region: "here".to_owned(),
        use_path_style: true,
        access_key: Secret::new(ACCESS_KEY),
        secret_key: Secret::new("secret"),
        timeout: Duration::from_secs(5),
    }
}

fn bucket(store: &Store) -> Bucket {
    Bucket::new(&settings(store)).expect("the settings are valid")
}

async fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let all = bucket.for_each(prefix, |object| keys.push(object.key));
    all.await.expect("the store answers");
    keys
}

/// All pages are read, whether the store says where the next one is or only that there is one; a prefix keeps the rest away.
#[tokio::test]
async fn listings_are_read_to_their_end() {
    for without_tokens in [false, true] {
        let store = Store::with(Behaviour {
            page_keys: 3,
            without_tokens,
            ..Behaviour::default()
        })
        .await;
        let bucket = bucket(&store);
        assert_eq!(keys(&bucket, "").await, Vec::<String>::new());
        let mut all: Vec<String> = (0..10).map(|n| format!("a/{n} <&>+ü")).collect();
        for key in &all {
            store.put(key, "x");
        }
        assert_eq!(keys(&bucket, "a/").await, all);
        for n in 0..1000 {
            store.put(&format!("other-{n}"), "x");
        }
        store.requests();
        all.retain(|key| key.starts_with("a/"));
        assert_eq!(keys(&bucket, "a/").await, all);
        assert_eq!(store.requests().len(), 4);
    }
}

/// Objects that the store knows no ETag of are listed like the others.
#[tokio::test]
async fn objects_without_etags_are_listed() {
    let store = Store::with(Behaviour {
        without_etags: true,
        ..Behaviour::default()
    })
    .await;
    store.put("one", "x");
    store.put("two", "x");
    let page = bucket(&store).list("", None).await.unwrap();
    let etags: Vec<Option<String>> = page.objects.into_iter().map(|o| o.etag).collect();
    assert_eq!(etags, [None, None]);
}

/// What an object has is what was written; what is too large is not read.
#[tokio::test]
async fn objects_are_written_and_read() {
    let store = Store::start().await;
    let bucket = bucket(&store);
    let key = "res_back_20250328_150859:x/y^my snap.meta";
    bucket.put(key, Bytes::from("content")).await.unwrap();
    assert_eq!(store.keys(), [key]);
    assert_eq!(bucket.get(key, 7).await.unwrap(), "content");
    let error = bucket.get(key, 6).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let error = bucket.get("none", 7).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(error.code(), Some("NoSuchKey"));
}

/// A busy store is asked again, a refusal is final, and a store that stays busy is given up.
#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let store = Store::start().await;
    let bucket = bucket(&store);
    store.fail(&[(503, "SlowDown"), (500, "InternalError")]);
    bucket.check().await.unwrap();
    assert_eq!(store.requests().len(), 3);
    store.fail(&[(403, "SignatureDoesNotMatch")]);
    let error = bucket.check().await.unwrap_err();
    assert_eq!(error.code(), Some("SignatureDoesNotMatch"));
    assert_eq!(store.requests().len(), 1);
    store.fail(&[(503, "SlowDown"); 4]);
    let error = bucket.check().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(store.requests().len(), 4);
}

/// The region that the store names is used, and an offer to pay is made where access is denied without; both are learnt once.
#[tokio::test]
async fn the_store_says_what_it_wants() {
    let store = Store::with(Behaviour {
        region: "there".to_owned(),
        requester_pays: true,
        ..Behaviour::default()
    })
    .await;
    let bucket = bucket(&store);
    bucket.check().await.unwrap();
    assert_eq!(store.requests().len(), 3);
    bucket.check().await.unwrap();
    assert_eq!(store.requests().len(), 1);
    store.fail(&[(403, "AccessDenied")]);
    assert_eq!(
        bucket.check().await.unwrap_err().code(),
        Some("AccessDenied")
    );
}

/// Objects are deleted together where the store can, one by one where not; what remains is named.
#[tokio::test]
async fn objects_are_deleted() {
    for deletes_singly in [false, true] {
        let store = Store::with(Behaviour {
            deletes_singly,
            undeletable: vec!["kept".to_owned()],
            ..Behaviour::default()
        })
        .await;
        let bucket = bucket(&store);
        let keys: Vec<String> = (0..1500).map(|n| format!("a<&>{n}")).collect();
        for key in &keys {
            store.put(key, "x");
        }
        store.put("kept", "x");
        let wanted = [&keys[..], &["kept".to_owned(), "none".to_owned()]].concat();
        let left = bucket.delete(&wanted).await.unwrap();
        let left: Vec<&str> = left.iter().map(|left| left.key.as_str()).collect();
        assert_eq!(left, ["kept"], "{deletes_singly}");
        assert_eq!(store.keys(), ["kept"]);
        // One more in vain, and one more that offers to pay.
        let requests = store.requests().len();
        assert_eq!(requests, if deletes_singly { 1504 } else { 2 });
    }
}

/// An object of parts has them in order; a part may be written twice; what is aborted leaves nothing, as often as it is.
#[tokio::test]
async fn objects_are_written_in_parts() {
    let store = Store::start().await;
    let bucket = bucket(&store);
    let upload = bucket.begin("key").await.unwrap();
    let first = bucket.put_part("key", &upload, 1, Bytes::from("one")).await;
    let first = first.unwrap();
    store.fail(&[(500, "InternalError")]);
    let second = bucket.put_part("key", &upload, 2, Bytes::from("two")).await;
    let second = second.unwrap();
    let again = bucket.put_part("key", &upload, 1, Bytes::from("one")).await;
    assert_eq!(again.unwrap(), first);
    let parts = [first, second];
    assert_eq!(bucket.parts("key", &upload).await.unwrap(), parts);
    assert!(store.get("key").is_none());
    let wrong = bucket.complete("key", &upload, &parts[..1]).await;
    assert_eq!(wrong.unwrap_err().code(), Some("InvalidPart"));
    bucket.complete("key", &upload, &parts).await.unwrap();
    assert_eq!(store.get("key").unwrap(), "onetwo");
    let upload = bucket.begin("other").await.unwrap();
    for _ in 0..2 {
        bucket.abort("other", &upload).await.unwrap();
    }
    assert_eq!(store.unfinished_uploads(), 0);
}

/// Nobody answers, somebody answers nonsense, or the keys are wrong: each is said.
#[tokio::test]
async fn failures_have_their_reasons() {
    let store = Store::start().await;
    let mut settings = settings(&store);
    settings.access_key = Secret::new("other");
    let wrong = Bucket::new(&settings).unwrap();
    let error = wrong.check().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidAccessKeyId"));
    settings.bucket = "none".to_owned();
    let error = Bucket::new(&settings).unwrap().check().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchBucket"));
    settings.endpoint = "http://127.0.0.1:1".to_owned();
    let error = Bucket::new(&settings).unwrap().check().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1:1") && text.contains("refused"),
        "{text}"
    );
    assert!(!text.contains("X-Amz"), "{text}");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    settings.endpoint = format!("http://{}", silent.local_addr().unwrap());
    settings.timeout = Duration::from_millis(50);
    let error = Bucket::new(&settings).unwrap().check().await.unwrap_err();
    assert!(matches!(error, Error::Late { .. }), "{error}");
}

fn small_parts(directory: &std::path::Path) -> Parts {
    Parts {
        sizes: vec![(3, 10), (6, 100)],
        in_memory_max: 10,
        directory: directory.to_owned(),
        at_once: 3,
    }
}

async fn write(
    bucket: &Bucket,
    upload: &str,
    content: &[u8],
    parts: &Parts,
) -> Result<u64, UploadError> {
    let mut from = content;
    let sent = Arc::new(AtomicU64::new(0));
    let result = bucket.write("key", upload, &mut from, parts, &sent).await;
    if let Ok(bytes) = &result {
        assert_eq!(sent.load(Ordering::Relaxed), *bytes);
    }
    result
}

/// A stream of any length becomes an object: parts in memory and in files, full or not, in their order.
#[tokio::test]
async fn streams_become_objects() {
    let store = Store::start().await;
    let bucket = bucket(&store);
    let directory = tempfile::tempdir().unwrap();
    let parts = small_parts(directory.path());
    for bytes in [0, 1, 9, 10, 11, 30, 31, 129, 130, 131, 329, 330] {
        let content: Vec<u8> = (0..bytes).map(|n: u32| n.to_le_bytes()[0]).collect();
        let upload = bucket.begin("key").await.unwrap();
        // A part that fails is sent again alone.
        store.fail(&[(503, "SlowDown")]);
        let written = write(&bucket, &upload, &content, &parts).await.unwrap();
        assert_eq!(written, u64::from(bytes));
        assert_eq!(store.get("key").unwrap(), content, "{bytes}");
        let mut read = Vec::new();
        let received = AtomicU64::new(0);
        let size = u64::from(bytes);
        bucket
            .read_into("key", size, &mut read, &received)
            .await
            .unwrap();
        assert_eq!(read, content, "{bytes}");
        let error = bucket
            .read_into("key", size + 1, &mut read, &received)
            .await;
        assert!(
            matches!(error, Err(DownloadError::Length { .. })),
            "{error:?}"
        );
    }
    let upload = bucket.begin("key").await.unwrap();
    let error = write(&bucket, &upload, &[0; 400], &parts)
        .await
        .unwrap_err();
    assert!(matches!(error, UploadError::TooLong), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// An upload that was interrupted sends only what the store has not, and another stream is not mixed with it.
#[tokio::test]
async fn uploads_go_on() {
    let store = Store::start().await;
    let bucket = bucket(&store);
    let directory = tempfile::tempdir().unwrap();
    let parts = small_parts(directory.path());
    let content: Vec<u8> = (0..200_u8).collect();
    let upload = bucket.begin("key").await.unwrap();
    for number in [1_u16, 3] {
        let at = usize::from(number - 1) * 10;
        let body = Bytes::copy_from_slice(&content[at..at + 10]);
        bucket.put_part("key", &upload, number, body).await.unwrap();
    }
    let wrong = Bytes::from("0123456789");
    bucket.put_part("key", &upload, 2, wrong).await.unwrap();
    store.requests();
    write(&bucket, &upload, &content, &parts).await.unwrap();
    assert_eq!(store.get("key").unwrap(), content);
    let sent = store.requests();
    let sent = sent.iter().filter(|line| line.contains("partNumber"));
    // The second part, and the fourth and fifth.
    assert_eq!(sent.count(), 3);
}

/// A store that stays away ends the upload with its reason, and a stream that fails too.
#[tokio::test]
async fn uploads_fail() {
    let store = Store::start().await;
    let bucket = bucket(&store);
    let directory = tempfile::tempdir().unwrap();
    let parts = small_parts(directory.path());
    let upload = bucket.begin("key").await.unwrap();
    // What is listed first, then the parts.
    bucket.parts("key", &upload).await.unwrap();
    store.behave(Behaviour {
        read_only: true,
        ..Behaviour::default()
    });
    let error = write(&bucket, &upload, &[0; 100], &parts)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    store.behave(Behaviour::default());
    let gone = Parts {
        directory: "/nonexistent".into(),
        ..parts
    };
    let error = write(&bucket, &upload, &[0; 100], &gone).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    bucket.abort("key", &upload).await.unwrap();
    assert_eq!((store.unfinished_uploads(), store.keys().len()), (0, 0));
}

/// A connection that breaks in the middle of an object goes on where it was, as long as the object is the same.
#[tokio::test]
async fn downloads_go_on() {
    let store = Store::start().await;
    let bucket = bucket(&store);
    let content: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    store.put("key", content.clone());
    store.behave(Behaviour {
        breaks_after: 30_000,
        ..Behaviour::default()
    });
    let (mut read, received) = (Vec::new(), AtomicU64::new(0));
    bucket
        .read_into("key", 100_000, &mut read, &received)
        .await
        .unwrap();
    assert_eq!(read, content);
    assert_eq!(received.load(Ordering::Relaxed), 100_000);
    assert_eq!(store.requests().len(), 4);
    let mut replacing = Replacing(&store);
    let error = bucket
        .read_into("key", 100_000, &mut replacing, &received)
        .await;
    assert!(
        matches!(error, Err(DownloadError::Replaced(_))),
        "{error:?}"
    );
}

/// Replaces the object that is read into it.
struct Replacing<'a>(&'a Store);

impl tokio::io::AsyncWrite for Replacing<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.put("key", "another");
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
