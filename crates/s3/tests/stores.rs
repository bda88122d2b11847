//! The client against real stores, which `cargo xtask test --only "s3 stores"` starts: no quirk of one is the contract.

use std::time::Duration;

use bytes::Bytes;
use linstor_s3::{Bucket, Parts, Settings};
use linstor_wire::secret::Secret;

/// The stores, separated by blanks: `name=endpoint,bucket,access key,secret key`.
const STORES: &str = "LINSTOR_S3_STORES";
/// The smallest part that is not the last one.
const PART_BYTES: usize = 5 * 1024 * 1024;

fn stores() -> Vec<(String, Settings)> {
    let given = std::env::var(STORES).unwrap_or_else(|_| panic!("{STORES} names no stores"));
    let stores = given.split_whitespace().map(|store| {
        let (name, rest) = store.split_once('=').expect("a name");
        let parts: Vec<&str> = rest.split(',').collect();
        let [endpoint, bucket, access_key, secret_key] = parts[..] else {
            panic!("'{store}' has not all parts");
        };
        let settings = Settings {
            endpoint: endpoint.to_owned(),
            bucket: bucket.to_owned(),
            region: "us-east-1".to_owned(),
            use_path_style: true,
            access_key: Secret::new(access_key),
            secret_key: Secret::new(secret_key),
            timeout: Duration::from_secs(20),
        };
        (name.to_owned(), settings)
    });
    stores.collect()
}

async fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let all = bucket.for_each(prefix, |object| keys.push(object.key));
    all.await.expect("the store answers");
    keys
}

/// Each step on each store.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs stores: cargo xtask test --only 's3 stores'"]
async fn real_stores() {
    for (name, settings) in stores() {
        println!("{name}");
        let bucket = Bucket::new(&settings).expect("the settings are valid");
        let left = keys(&bucket, "").await;
        assert_eq!(bucket.delete(&left).await.unwrap(), [], "{name}");
        objects(&name, &bucket).await;
        pages(&name, &bucket).await;
        parts(&name, &bucket).await;
        streams(&name, &bucket).await;
        refusals(&name, &settings).await;
        assert_eq!(keys(&bucket, "").await, Vec::<String>::new(), "{name}");
    }
}

/// Keys as LINSTOR has them are written, read and deleted as they are.
async fn objects(name: &str, bucket: &Bucket) {
    let written = [
        "res_00000_back_20250328_150859",
        "res_back_20250328_150859.meta",
        "res_back_20250328_150859:site a+b&c=d%41^my_snap.meta",
        "dir/ü <x>",
    ];
    for key in written {
        bucket.put(key, Bytes::from(key)).await.unwrap();
        let read = bucket.get(key, 100).await.unwrap();
        assert_eq!(read, key, "{name}");
    }
    let mut listed = keys(bucket, "").await;
    listed.sort();
    let mut all = written.map(str::to_owned).to_vec();
    all.sort();
    assert_eq!(listed, all, "{name}");
    let mut some = keys(bucket, "res_back_").await;
    some.sort();
    assert_eq!(some, all[2..].to_vec(), "{name}");
    let missing = bucket.get("none", 100).await.unwrap_err();
    assert!(missing.is_not_found(), "{name}: {missing}");
    all.push("none".to_owned());
    assert_eq!(bucket.delete(&all).await.unwrap(), [], "{name}");
    assert_eq!(keys(bucket, "").await, Vec::<String>::new(), "{name}");
}

/// More objects than one answer has are listed once each, and deleted.
async fn pages(name: &str, bucket: &Bucket) {
    let all: Vec<String> = (0..2100).map(|n| format!("page/{n:05}")).collect();
    for some in all.chunks(50) {
        let puts = some.iter().map(|key| {
            let (bucket, key) = (bucket.clone(), key.clone());
            tokio::spawn(async move { bucket.put(&key, Bytes::from("x")).await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap().unwrap();
        }
    }
    assert_eq!(keys(bucket, "page/").await, all, "{name}");
    assert_eq!(keys(bucket, "page/0000").await, all[..10], "{name}");
    let first = bucket.list("page/", None).await.unwrap();
    let next = first.next.expect("there are more");
    let second = bucket.list("page/", Some(&next)).await.unwrap();
    assert_eq!(first.objects.len() + second.objects.len(), 2000, "{name}");
    assert_eq!(bucket.delete(&all).await.unwrap(), [], "{name}");
}

/// An object of parts is that of its parts; one that was begun and aborted leaves nothing.
async fn parts(name: &str, bucket: &Bucket) {
    let key = "res_00001_back_20250328_150859";
    let upload = bucket.begin(key).await.unwrap();
    let mut parts = Vec::new();
    for (index, bytes) in [PART_BYTES, PART_BYTES, 10].into_iter().enumerate() {
        let number = u16::try_from(index + 1).unwrap();
        let body = Bytes::from(vec![b'a' + u8::try_from(index).unwrap(); bytes]);
        parts.push(bucket.put_part(key, &upload, number, body).await.unwrap());
    }
    let numbers = |parts: &[linstor_s3::Part]| {
        let parts = parts.iter().map(|part| (part.number, part.bytes));
        parts.collect::<Vec<_>>()
    };
    let listed = bucket.parts(key, &upload).await.unwrap();
    assert_eq!(numbers(&listed), numbers(&parts), "{name}");
    bucket.complete(key, &upload, &parts).await.unwrap();
    let whole = bucket.get(key, 3 * PART_BYTES).await.unwrap();
    assert_eq!(whole.len(), 2 * PART_BYTES + 10, "{name}");
    assert_eq!(whole[PART_BYTES - 1..=PART_BYTES], *b"ab", "{name}");
    assert_eq!(
        bucket.delete(&[key.to_owned()]).await.unwrap(),
        [],
        "{name}"
    );
    let upload = bucket.begin(key).await.unwrap();
    let part = Bytes::from("x");
    bucket.put_part(key, &upload, 1, part).await.unwrap();
    for _ in 0..2 {
        bucket.abort(key, &upload).await.unwrap();
    }
    assert!(
        bucket.get(key, 1).await.unwrap_err().is_not_found(),
        "{name}"
    );
}

/// A stream of 23 MiB in parts, of which some are in files; interrupted, continued, read again.
async fn streams(name: &str, bucket: &Bucket) {
    let key = "res_00002_back_20250328_150859";
    let directory = tempfile::tempdir().unwrap();
    let part = u64::try_from(PART_BYTES).unwrap();
    let parts = Parts {
        sizes: vec![(2, part), (10, part + 1)],
        in_memory_max: part,
        directory: directory.path().to_owned(),
        at_once: 3,
    };
    let numbers = (0..23 * 1024 * 1024_u32 / 4).flat_map(u32::to_le_bytes);
    let content: Vec<u8> = numbers.collect();
    let upload = bucket.begin(key).await.unwrap();
    let first = Bytes::copy_from_slice(&content[..PART_BYTES]);
    bucket.put_part(key, &upload, 1, first).await.unwrap();
    let sent = std::sync::Arc::default();
    let mut from = &content[..];
    let written = bucket.write(key, &upload, &mut from, &parts, &sent).await;
    let bytes = u64::try_from(content.len()).unwrap();
    assert_eq!(written.unwrap(), bytes, "{name}");
    let (mut read, received) = (Vec::new(), std::sync::atomic::AtomicU64::new(0));
    let result = bucket.read_into(key, bytes, &mut read, &received).await;
    result.unwrap();
    assert!(read == content, "{name}");
    assert_eq!(
        bucket.delete(&[key.to_owned()]).await.unwrap(),
        [],
        "{name}"
    );
}

/// No bucket is an error with its reason.
async fn refusals(name: &str, settings: &Settings) {
    let mut other = settings.clone();
    other.bucket = "no-such-bucket".to_owned();
    let error = Bucket::new(&other).unwrap().check().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchBucket"), "{name}: {error}");
    // Moto checks no signatures.
    if name != "moto" {
        let mut other = settings.clone();
        other.secret_key = Secret::new("another");
        let error = Bucket::new(&other).unwrap().check().await.unwrap_err();
        assert_eq!(
            error.code(),
            Some("SignatureDoesNotMatch"),
            "{name}: {error}"
        );
    }
}
