//! Attempts end where they have to wait, and the next one begins when it is time.

use std::time::Duration;

use linstor_api::kind::StorageSuffix;
use linstor_fake_host::{Effect, Fault};
use linstor_host::{Cmd, Host};
use linstor_wire::ToSatellite;
use linstor_wire::spec::{ResourceSpec, Target};
use linstor_wire::status::Outcome;
use tokio::time::Instant;
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind, Heard};
use crate::drbd::{SIZE_KIB, TWO, disk, nodes, spec, up};
use crate::growth::{drbd_kib, grow_storage, grown};
use crate::last_copy::{beta_is_ahead, without_disk};
use crate::storage::storage;

/// What the object waits for, as the controller was told.
fn waits_for(heard: &Heard) -> Option<(&str, Option<u8>)> {
    match heard.outcomes.get("Data")? {
        (
            _,
            Outcome::Waiting {
                on, done_percent, ..
            },
        ) => Some((on, *done_percent)),
        _ => None,
    }
}

async fn until_it_waits(bench: &Bench, node: &str, on: &str) {
    let waits = |heard: &Heard| waits_for(heard).is_some_and(|(what, _)| what.contains(on));
    bench
        .until(node, &format!("that it waits for {on}"), waits)
        .await;
}

/// Two replicas with grown storage, of which alpha is to grow DRBD and cannot reach beta.
async fn growing_alone(kind: DrbdKind) -> Bench {
    let mut bench = nodes(&["alpha", "beta"], kind).await;
    up(&mut bench, TWO).await;
    grow_storage(&mut bench, 2).await;
    bench.cluster.cut("alpha", "beta");
    assert!(bench.cluster.quiesce(Duration::from_secs(60)).await);
    bench.push("alpha", &grown("alpha", 2, true)).await;
    bench
}

/// Beta, which alone has the newest data, is to give up its disk, and asks its peer after a reboot.
async fn asking() -> Bench {
    let mut bench = beta_is_ahead().await;
    bench.fails("beta", &without_disk()).await;
    bench.cluster.crash("beta");
    bench.cluster.boot("beta");
    bench.restart("beta");
    bench.connect("beta").await;
    bench.sync("beta", &[without_disk()]).await;
    until_it_waits(&bench, "beta", "a peer that has its data").await;
    bench
}

async fn is_done_at_once(bench: &mut Bench, node: &str, spec: &ResourceSpec) {
    let started = Instant::now();
    bench.done(node, spec).await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// A peer is away: a newer spec begins at once, not when the time of the older one is up.
#[tokio::test(start_paused = true)]
async fn a_newer_spec_ends_a_wait() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        for (target, last) in [(Target::Down, false), (Target::Destroyed, true)] {
            let mut bench = growing_alone(kind).await;
            until_it_waits(&bench, "alpha", "to be connected and up to date").await;
            let mut next = spec("alpha", TWO);
            next.target = target;
            next.allow_last_copy = last;
            is_done_at_once(&mut bench, "alpha", &next).await;
            assert_eq!(disk(&bench, "alpha"), "absent");
            bench.rests().await;
        }
    }
    let mut bench = asking().await;
    is_done_at_once(&mut bench, "beta", &spec("beta", TWO)).await;
    assert_eq!(disk(&bench, "beta"), "UpToDate");
}

/// A newer spec ends an attempt between its steps: what it has begun is not finished first.
#[tokio::test(start_paused = true)]
async fn a_newer_spec_ends_an_attempt() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let slow = Effect::Slow(Duration::from_secs(5));
    bench
        .cluster
        .inject(Fault::next_with("alpha", "lvcreate", slow));
    let mut spec = spec("alpha", &[("alpha", false)]);
    bench.push("alpha", &spec).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    spec.target = Target::Destroyed;
    spec.allow_last_copy = true;
    bench.done("alpha", &spec).await;
    let changes = bench.changes();
    assert!(!changes.contains("create-md"), "{changes}");
    assert!(!bench.cluster.has_device("alpha", "/dev/vg0/Data_00000"));
    bench.rests().await;
}

/// Nothing is asked while an object waits, and what it waits for ends that as soon as it happens.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_by_an_event() {
    let bench = asking().await;
    bench.cluster.take_journal();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let journal = bench.cluster.take_journal();
    let asked: Vec<String> = journal.iter().map(ToString::to_string).collect();
    let asked: Vec<&String> = asked
        .iter()
        .filter(|line| line.starts_with("beta"))
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
    bench.cluster.heal("alpha", "beta");
    assert!(bench.cluster.quiesce(Duration::from_secs(60)).await);
    let started = Instant::now();
    let done = |heard: &Heard| heard.outcomes["Data"].1 == Outcome::Done;
    bench.until("beta", "that it is done", done).await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(disk(&bench, "beta"), "Diskless");
    assert!(!bench.cluster.has_device("beta", "/dev/vg0/Data_00000"));
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
}

/// A wait has an end, and a reason then.
#[tokio::test(start_paused = true)]
async fn a_wait_that_takes_too_long_fails_with_the_reason() {
    for (node, seconds, why) in [
        ("beta", 15, "last up-to-date"),
        ("alpha", 5, "not connected, or not up to date"),
    ] {
        let mut bench = match node {
            "beta" => asking().await,
            _ => growing_alone(DrbdKind::V9).await,
        };
        let started = Instant::now();
        let failed = |heard: &Heard| match heard.outcomes.get("Data") {
            Some((_, Outcome::Failed { replies })) => format!("{replies:?}").contains(why),
            _ => false,
        };
        bench.until(node, "why it has failed", failed).await;
        let took = started.elapsed();
        assert!(took <= Duration::from_secs(seconds + 1), "{node}: {took:?}");
        assert!(took >= Duration::from_secs(seconds - 2), "{node}: {took:?}");
        bench.cluster.heal("alpha", "beta");
        bench.converges(node, "Data").await;
    }
}

/// The satellite starts again in the middle of a wait: it waits on, or fails and tries again, and gets there.
#[tokio::test(start_paused = true)]
async fn a_wait_survives_a_restart() {
    let mut bench = growing_alone(DrbdKind::V9).await;
    until_it_waits(&bench, "alpha", "to be connected and up to date").await;
    bench.restart("alpha");
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.connect("alpha").await;
    bench.sync("alpha", &[grown("alpha", 2, true)]).await;
    bench.cluster.heal("alpha", "beta");
    bench.converges("alpha", "Data").await;
    assert!(drbd_kib(&bench, "beta") >= 2 * SIZE_KIB - 4096);
    bench.rests().await;

    let mut bench = asking().await;
    bench.restart("beta");
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.connect("beta").await;
    bench.sync("beta", &[without_disk()]).await;
    bench.cluster.heal("alpha", "beta");
    bench.converges("beta", "Data").await;
    assert_eq!(disk(&bench, "beta"), "Diskless");
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
}

/// The controller is told what a resource waits for and how far that is; growth goes on when the resync has ended, however
/// long that takes.
#[tokio::test(start_paused = true)]
async fn a_wait_shows_how_far_it_is() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = nodes(&["alpha", "beta"], kind).await;
        up(&mut bench, TWO).await;
        bench
            .cluster
            .configure(|config| config.resync_kib_per_second = 40);
        bench.cluster.cut("alpha", "beta");
        assert!(bench.cluster.quiesce(Duration::from_secs(60)).await);
        let host = bench.cluster.host("alpha");
        let object = if kind == DrbdKind::V9 { "Data" } else { "1000" };
        let role = |role| Cmd::new("drbdsetup").args([role, object]);
        host.run(role("primary")).await.expect("primary");
        for block in 0..400 {
            let written = bench.cluster.write("alpha", "Data", 0, block, 7);
            written.expect("written");
        }
        host.run(role("secondary")).await.expect("secondary");
        bench.cluster.heal("alpha", "beta");
        tokio::time::sleep(Duration::from_secs(5)).await;
        grow_storage(&mut bench, 2).await;
        bench.push("alpha", &grown("alpha", 2, true)).await;
        let mut seen = Vec::new();
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let heard = bench.nodes["alpha"].heard.lock().unwrap();
            match waits_for(&heard) {
                Some((on, Some(percent))) if on.contains("resync") => seen.push(percent),
                _ => {}
            }
        }
        seen.dedup();
        assert!(seen.len() > 5 && seen.is_sorted(), "{kind:?}: {seen:?}");
        bench
            .cluster
            .configure(|config| config.resync_kib_per_second = 10_240);
        bench.converges("alpha", "Data").await;
        assert!(drbd_kib(&bench, "beta") >= 2 * SIZE_KIB - 4096);
    }
}

/// A resource is not changed while its I/O is suspended, since that would resume it, and at once when it is not any more.
#[tokio::test(start_paused = true)]
async fn a_suspended_resource_is_changed_afterwards() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let mut spec = spec("alpha", &[("alpha", false)]);
    bench.done("alpha", &spec).await;
    let lease = Uuid::from_u128(1);
    let suspend = ToSatellite::Suspend {
        lease,
        resources: vec!["data".parse().unwrap()],
        duration_ms: 20_000,
    };
    bench.send("alpha", suspend).await;
    bench
        .until("alpha", "a suspension", |h| !h.suspensions.is_empty())
        .await;
    bench.changes();
    let larger = (StorageSuffix::Data, storage("thin", 2 * SIZE_KIB));
    spec.volumes[0].storage = [larger].into();
    bench.push("alpha", &spec).await;
    until_it_waits(&bench, "alpha", "the end of a suspension").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let changes = bench.changes();
    assert_eq!(changes, "", "nothing is changed");
    bench.send("alpha", ToSatellite::Resume { lease }).await;
    let started = Instant::now();
    bench.converges("alpha", "Data").await;
    assert!(started.elapsed() < Duration::from_secs(1));
    let changes = bench.changes();
    let resumed = changes.find("resume-io").expect("resumed");
    let extended = changes.find("lvresize").expect("grown");
    assert!(resumed < extended, "{changes}");
}
