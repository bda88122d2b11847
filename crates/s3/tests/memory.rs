//! How much memory a long stream takes: a process of its own, against a real store, which
//! `cargo xtask test --only "s3 stores"` starts.

use std::time::Duration;

use linstor_s3::{Bucket, Parts, Settings};
use linstor_wire::secret::Secret;
use tokio::io::AsyncReadExt as _;

/// The stream, in bytes: more than ten times the limit.
const STREAM_BYTES: u64 = 768 * 1024 * 1024;
/// What the stream may add to the process: the program itself, with the symbols of a debug build, is not counted.
const MEMORY_KIB_MAX: u64 = 48 * 1024;

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.expect("it has the peak").trim();
    let number = text.split(' ').next().expect("a number");
    number.parse().expect("a number")
}

/// A stream goes to the store and back in less than 48 MiB, whatever its length.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs stores: cargo xtask test --only 's3 stores'"]
async fn long_streams_take_little_memory() {
    let given = std::env::var("LINSTOR_S3_STORES").expect("it names stores");
    // Moto would have all of it in the same memory as its other objects.
    let store = given
        .split_whitespace()
        .find_map(|store| store.strip_prefix("s3proxy="));
    let parts: Vec<&str> = store.expect("s3proxy is there").split(',').collect();
    let [endpoint, bucket, access_key, secret_key] = parts[..] else {
        panic!("'{given}' has not all parts");
    };
    let bucket = Bucket::new(&Settings {
        endpoint: endpoint.to_owned(),
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        use_path_style: true,
        access_key: Secret::new(access_key),
        secret_key: Secret::new(secret_key),
        timeout: Duration::from_secs(60),
    })
    .expect("the settings are valid");
    let key = "long";
    let upload = bucket.begin(key).await.unwrap();
    let before = peak_kib();
    let mut from = tokio::io::repeat(7).take(STREAM_BYTES);
    let parts = Parts::new(std::env::temp_dir());
    let sent = std::sync::Arc::default();
    let written = bucket.write(key, &upload, &mut from, &parts, &sent).await;
    assert_eq!(written.unwrap(), STREAM_BYTES);
    let received = std::sync::atomic::AtomicU64::new(0);
    let mut into = tokio::io::sink();
    let read = bucket
        .read_into(key, STREAM_BYTES, &mut into, &received)
        .await;
    read.unwrap();
    let kib = peak_kib() - before;
    println!("{STREAM_BYTES} bytes sent and read with {kib} KiB more than {before} KiB");
    assert!(kib < MEMORY_KIB_MAX, "{kib} KiB");
    assert_eq!(bucket.delete(&[key.to_owned()]).await.unwrap(), []);
}
