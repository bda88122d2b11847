//! Faults that tests inject, and the journal.

use std::path::Path;
use std::time::Duration;

use linstor_fake_host::{Completion, DrbdKind, Effect, FakeCluster, Fault};
use linstor_host::{Cmd, Host, RunError};

use crate::lab::cmd;

fn one_node() -> FakeCluster {
    let cluster = FakeCluster::new(1);
    cluster.add_host("n1", DrbdKind::V9);
    cluster.add_volume_group("n1", "vg", 64 * 1024);
    cluster
}

/// A command that fails before its work changes nothing; one that fails after it has changed everything.
#[tokio::test(start_paused = true)]
async fn failing_before_and_after() {
    let cluster = one_node();
    let host = cluster.host("n1");
    cluster.inject(Fault::next_change("n1", Effect::FailsBefore(5)));
    let create = || cmd("lvcreate -y --size 4096k vg -n a");
    assert_eq!(host.run(create()).await.unwrap().code, 5);
    assert!(cluster.logical_volumes("n1", "vg").is_empty());
    cluster.inject(Fault::next_with("n1", "lvcreate", Effect::FailsAfter(5)));
    assert!(
        host.run(cmd("lvs --noheadings -o lv_name vg"))
            .await
            .unwrap()
            .success()
    );
    assert_eq!(host.run(create()).await.unwrap().code, 5);
    assert_eq!(cluster.logical_volumes("n1", "vg"), ["a"]);
    let journal: Vec<String> = cluster
        .take_journal()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        journal,
        [
            "n1: lvcreate -y --size 4096k vg -n a -> 5",
            "n1: lvs --noheadings -o lv_name vg",
            "n1: lvcreate -y --size 4096k vg -n a -> 5",
        ]
    );
}

/// A command that hangs is killed at its deadline and has changed nothing.
#[tokio::test(start_paused = true)]
async fn hanging() {
    let cluster = one_node();
    cluster.inject(Fault::next_change("n1", Effect::Hangs));
    let started = tokio::time::Instant::now();
    let ended = cluster
        .host("n1")
        .run(cmd("lvcreate -y --size 4096k vg -n a"))
        .await;
    assert!(matches!(ended, Err(RunError::TimedOut { .. })), "{ended:?}");
    assert_eq!(started.elapsed(), Duration::from_secs(45));
    assert_eq!(cluster.take_journal()[0].completion, Completion::TimedOut);
}

/// A machine crashes during a command: its handle is unusable, and the changes are on disk.
#[tokio::test(start_paused = true)]
async fn crashing() {
    let cluster = one_node();
    let host = cluster.host("n1");
    cluster.inject(Fault::next_change("n1", Effect::CrashAfter));
    let gone = host.run(cmd("lvcreate -y --size 4096k vg -n a")).await;
    assert!(matches!(gone, Err(RunError::HostGone { .. })), "{gone:?}");
    assert!(host.read(Path::new("/etc/hosts")).await.is_err());
    let host = cluster.boot("n1");
    assert_eq!(cluster.logical_volumes("n1", "vg"), ["a"]);
    assert!(
        host.block_device_size(Path::new("/dev/vg/a"))
            .await
            .unwrap()
            .is_some()
    );
}

/// A command that the fake does not implement never succeeds.
#[tokio::test(start_paused = true)]
async fn unknown_is_loud() {
    let cluster = one_node();
    let host = cluster.host("n1");
    for line in [
        "frobnicate",
        "lvcreate --frobnicate vg",
        "drbdadm -c x frobnicate r",
        "zfs send -R a",
    ] {
        let end = host.run(cmd(line)).await;
        let missing = matches!(end, Err(RunError::Unsupported { .. }))
            || matches!(&end, Ok(output) if line.contains("drbdadm") && !output.success());
        assert!(missing, "{line}: {end:?}");
    }
    cluster.uninstall("n1", "zfs");
    assert!(matches!(
        host.run(cmd("zfs list")).await,
        Err(RunError::NotFound { .. })
    ));
}

/// The journal distinguishes queries from changes.
#[tokio::test(start_paused = true)]
async fn mutating_is_marked() {
    let cluster = one_node();
    let host = cluster.host("n1");
    host.run(cmd("lvs --noheadings -o lv_name vg"))
        .await
        .unwrap();
    host.run(cmd("lvcreate -y --size 4096k vg -n a"))
        .await
        .unwrap();
    host.create_dir_all(Path::new("/var/lib/x")).await.unwrap();
    host.write_atomic(Path::new("/var/lib/x/f"), b"1", 0o600)
        .await
        .unwrap();
    host.remove_file(Path::new("/var/lib/x/nothing"))
        .await
        .unwrap();
    let mutating: Vec<String> = cluster
        .journal()
        .into_iter()
        .filter(|e| e.mutating)
        .map(|e| e.text)
        .collect();
    assert_eq!(
        mutating,
        ["lvcreate -y --size 4096k vg -n a", "write /var/lib/x/f"]
    );
    assert_eq!(cluster.file_mode("n1", "/var/lib/x/f"), Some(0o600));
    let _shown = Cmd::new("lvs");
}
