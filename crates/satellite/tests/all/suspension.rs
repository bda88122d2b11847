//! Suspensions of I/O end by themselves, whoever is gone.

use std::time::Duration;

use linstor_api::kind::StorageSuffix;
use linstor_fake_host::{AppIo, Effect, Fault};
use linstor_host::{Cmd, Host};
use linstor_wire::message::{SuspensionEnd, SuspensionState};
use linstor_wire::spec::{
    LayerSpec, ResourceSpec, SnapshotSpec, SnapshotTarget, SnapshotVolumeSpec, Spec,
};
use linstor_wire::status::Outcome;
use linstor_wire::{ToSatellite, Wanted};
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind, Heard};
use crate::drbd::{SIZE_KIB, TWO, nodes, spec, up};
use crate::storage::storage;

const ALONE: &[(&str, bool)] = &[("alpha", false)];
const LEASE: Uuid = Uuid::from_u128(0x1ea5e);

/// A resource without DRBD.
fn plain(pool: &str) -> ResourceSpec {
    let mut plain = spec("alpha", ALONE);
    plain.layers = vec![LayerSpec::Storage];
    plain.once.clear();
    let disk = (StorageSuffix::Data, storage(pool, SIZE_KIB));
    plain.volumes[0].storage = [disk].into();
    plain
}

async fn suspend(bench: &mut Bench, duration_ms: u64) {
    let message = ToSatellite::Suspend {
        lease: LEASE,
        resources: vec!["Data".parse().unwrap()],
        duration_ms,
    };
    bench.send("alpha", message).await;
}

/// A node whose resource is open, with its I/O suspended for so long.
async fn suspended(kind: DrbdKind, duration_ms: u64) -> Bench {
    let mut bench = Bench::new();
    bench.add_node("alpha", kind).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    if kind == DrbdKind::V84 {
        let primary = Cmd::new("drbdsetup").args(["primary", "1000"]);
        bench.cluster.host("alpha").run(primary).await.unwrap();
    }
    bench.cluster.open("alpha", "Data", 0).unwrap();
    suspend(&mut bench, duration_ms).await;
    bench
        .until(
            "alpha",
            "that I/O is suspended",
            is(SuspensionState::Suspended),
        )
        .await;
    assert!(is_blocked(&bench));
    bench
}

fn is(expected: SuspensionState) -> impl Fn(&Heard) -> bool {
    move |heard| heard.suspensions.last() == Some(&(LEASE, expected.clone()))
}

fn ended(reason: SuspensionEnd) -> SuspensionState {
    SuspensionState::Ended { reason }
}

/// Whether an application's write waits.
fn is_blocked(bench: &Bench) -> bool {
    match bench.cluster.write("alpha", "Data", 0, 1, 7) {
        Ok(_) => false,
        Err(AppIo::Suspended) => true,
        Err(other) => panic!("{other}"),
    }
}

/// Waits until an application's write is served; how long that took.
async fn blocked_for(bench: &Bench) -> Duration {
    let started = tokio::time::Instant::now();
    while is_blocked(bench) {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{}",
            bench.commands_text()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    started.elapsed()
}

/// The controller ends what it began.
#[tokio::test(start_paused = true)]
async fn a_suspension_ends_on_request() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = suspended(kind, 10_000).await;
        bench
            .send("alpha", ToSatellite::Resume { lease: LEASE })
            .await;
        let asked = ended(SuspensionEnd::Asked);
        bench.until("alpha", "that I/O goes on", is(asked)).await;
        assert!(!is_blocked(&bench));
    }
}

/// I/O is suspended on DRBD 8.4 while an application has the device open.
async fn suspended_while_open() -> Bench {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V84).await;
    up(&mut bench, TWO).await;
    let primary = Cmd::new("drbdsetup").args(["primary", "1000"]);
    bench.cluster.host("alpha").run(primary).await.unwrap();
    bench.cluster.open("alpha", "Data", 0).unwrap();
    suspend(&mut bench, 10_000).await;
    let suspended = is(SuspensionState::Suspended);
    bench
        .until("alpha", "that I/O is suspended", suspended)
        .await;
    bench
}

/// DRBD 8.4 holds back requests that were under way; the satellite has them completed: a write by a flush, a read by a new
/// connection.
#[tokio::test(start_paused = true)]
async fn no_request_is_held_back() {
    for (with_read, expected) in [
        (
            false,
            "alpha: drbdsetup resume-io 1000\nalpha: sync --data /dev/drbd1000\n",
        ),
        (
            true,
            "alpha: drbdsetup resume-io 1000\nalpha: sync --data /dev/drbd1000\n\
             alpha: drbdadm -c /var/lib/linstor.d/Data.res disconnect Data\n\
             alpha: drbdadm -c /var/lib/linstor.d/Data.res connect Data\n",
        ),
    ] {
        let mut bench = suspended_while_open().await;
        if with_read {
            bench.cluster.catch_read("alpha", "Data", 0);
        }
        bench.changes();
        bench
            .send("alpha", ToSatellite::Resume { lease: LEASE })
            .await;
        let asked = ended(SuspensionEnd::Asked);
        bench.until("alpha", "that I/O goes on", is(asked)).await;
        assert!(!bench.cluster.holds_requests("alpha", "Data"));
        assert_eq!(bench.changes(), expected);
        assert!(!is_blocked(&bench));
    }
}

/// What was resumed is not resumed again while a read is held back: DRBD 8.4 would wait for the read, and hold back all others.
#[tokio::test(start_paused = true)]
async fn nothing_is_resumed_twice() {
    let mut bench = suspended_while_open().await;
    bench.cluster.catch_read("alpha", "Data", 0);
    let fault = Fault::next_with("alpha", "disconnect", Effect::FailsBefore(20));
    bench.cluster.inject(fault);
    bench.changes();
    bench
        .send("alpha", ToSatellite::Resume { lease: LEASE })
        .await;
    let asked = ended(SuspensionEnd::Asked);
    bench.until("alpha", "that I/O goes on", is(asked)).await;
    assert!(!bench.cluster.holds_requests("alpha", "Data"));
    let commands = bench.changes();
    assert_eq!(commands.matches("resume-io").count(), 1, "{commands}");
    assert_eq!(commands.matches(" disconnect").count(), 2, "{commands}");
}

/// A controller that is connected and forgets it: the time is up, however long it asked for.
#[tokio::test(start_paused = true)]
async fn a_suspension_expires() {
    for (asked_ms, at_most) in [(3_000, 4), (3_600_000, 31)] {
        let bench = suspended(DrbdKind::V9, asked_ms).await;
        assert!(blocked_for(&bench).await < Duration::from_secs(at_most));
        let expired = ended(SuspensionEnd::Expired);
        bench
            .until("alpha", "that the time is up", is(expired))
            .await;
    }
}

/// It lasts as long as the controller renews it, and does not come back under the same id once it has ended.
#[tokio::test(start_paused = true)]
async fn a_suspension_is_renewed() {
    let mut bench = suspended(DrbdKind::V9, 3_000).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        suspend(&mut bench, 3_000).await;
        assert!(is_blocked(&bench));
    }
    assert!(blocked_for(&bench).await < Duration::from_secs(4));
}

/// The connection breaks: at once.
#[tokio::test(start_paused = true)]
async fn a_suspension_ends_with_its_connection() {
    let mut bench = suspended(DrbdKind::V9, 30_000).await;
    bench.connect("alpha").await;
    assert!(blocked_for(&bench).await < Duration::from_secs(2));
}

/// The satellite dies and starts again without a controller: at once, and nothing is left to resume the next time.
#[tokio::test(start_paused = true)]
async fn a_suspension_ends_with_the_next_start() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = suspended(kind, 30_000).await;
        bench.restart("alpha");
        assert!(blocked_for(&bench).await < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_secs(5)).await;
        bench.cluster.take_journal();
        bench.restart("alpha");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(bench.changes(), "");
    }
}

/// The reconciler hangs: it delays nothing.
#[tokio::test(start_paused = true)]
async fn a_suspension_ends_while_an_attempt_hangs() {
    let mut bench = suspended(DrbdKind::V9, 5_000).await;
    let hangs = Fault::next_change("alpha", Effect::Hangs);
    bench.cluster.inject(hangs);
    let mut larger = spec("alpha", ALONE);
    let disk = (StorageSuffix::Data, storage("thin", 2 * SIZE_KIB));
    larger.volumes[0].storage = [disk].into();
    bench.push("alpha", &larger).await;
    assert!(blocked_for(&bench).await < Duration::from_secs(6));
}

/// `resume-io` fails for a while: it is tried until I/O goes on.
#[tokio::test(start_paused = true)]
async fn resuming_is_tried_until_it_works() {
    let mut bench = suspended(DrbdKind::V9, 10_000).await;
    let fails = Fault::next_change("alpha", Effect::FailsBefore(10)).times(3);
    bench.cluster.inject(fails);
    bench
        .send("alpha", ToSatellite::Resume { lease: LEASE })
        .await;
    assert!(blocked_for(&bench).await < Duration::from_secs(10));
}

/// A logical volume without DRBD is suspended in the device mapper; a file has nothing that could be.
#[tokio::test(start_paused = true)]
async fn volumes_without_drbd() {
    for pool in ["lvm", "thin"] {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        bench.done("alpha", &plain(pool)).await;
        bench.changes();
        suspend(&mut bench, 2_000).await;
        let expired = ended(SuspensionEnd::Expired);
        bench
            .until("alpha", "that the time is up", is(expired))
            .await;
        let both = "alpha: dmsetup suspend vg0-Data_00000\nalpha: dmsetup resume vg0-Data_00000\n";
        assert_eq!(bench.changes(), both);
    }
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &plain("file")).await;
    suspend(&mut bench, 2_000).await;
    let suspended = is(SuspensionState::Suspended);
    bench.until("alpha", "the suspension", suspended).await;
}

/// What one suspension has of a device is resumed before the next one begins, and does not end that one.
#[tokio::test(start_paused = true)]
async fn suspensions_of_one_device_follow_each_other() {
    let mut bench = suspended(DrbdKind::V9, 20_000).await;
    let slow = Fault::next_with("alpha", "resume-io", Effect::Slow(Duration::from_secs(3)));
    bench.cluster.inject(slow);
    bench
        .send("alpha", ToSatellite::Resume { lease: LEASE })
        .await;
    let next = Uuid::from_u128(2);
    let message = ToSatellite::Suspend {
        lease: next,
        resources: vec!["Data".parse().unwrap()],
        duration_ms: 20_000,
    };
    bench.send("alpha", message).await;
    let begun = (next, SuspensionState::Suspended);
    bench
        .until("alpha", "the next suspension", move |h| {
            h.suspensions.last() == Some(&begun)
        })
        .await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(is_blocked(&bench));
    assert!(blocked_for(&bench).await < Duration::from_secs(12));
}

/// A satellite that has just started has seen nothing of its volumes yet.
#[tokio::test(start_paused = true)]
async fn a_volume_is_suspended_right_after_a_start() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &plain("thin")).await;
    bench
        .cluster
        .inject(Fault::next_with("alpha", "lvs", Effect::Hangs).times(100));
    bench.restart("alpha");
    bench.connect("alpha").await;
    suspend(&mut bench, 2_000).await;
    let suspended = is(SuspensionState::Suspended);
    bench
        .until("alpha", "that I/O is suspended", suspended)
        .await;
}

/// The first attempt of a satellite that has just started meets a suspended volume: it does not resume it.
#[tokio::test(start_paused = true)]
async fn a_suspended_volume_is_active() {
    for pool in ["lvm", "thin"] {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        bench.done("alpha", &plain(pool)).await;
        let slow = Fault::next_with("alpha", "lvs", Effect::Slow(Duration::from_secs(3)));
        bench.cluster.inject(slow.times(100));
        bench.restart("alpha");
        bench.connect("alpha").await;
        bench.changes();
        suspend(&mut bench, 20_000).await;
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(bench.changes(), "alpha: dmsetup suspend vg0-Data_00000\n");
    }
}

/// What is not there is refused, and nothing else of the order is suspended.
#[tokio::test(start_paused = true)]
async fn all_or_nothing() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    bench.cluster.open("alpha", "Data", 0).unwrap();
    let message = ToSatellite::Suspend {
        lease: LEASE,
        resources: vec!["Data".parse().unwrap(), "Other".parse().unwrap()],
        duration_ms: 9_000,
    };
    bench.send("alpha", message).await;
    let failed = |heard: &Heard| {
        let last = heard.suspensions.last();
        last.is_some_and(|(_, state)| matches!(state, SuspensionState::Failed { .. }))
    };
    bench.until("alpha", "that it cannot", failed).await;
    assert!(!is_blocked(&bench));
}

/// A snapshot of the resource of [`plain`].
fn snapshot(pool: &str, target: SnapshotTarget) -> SnapshotSpec {
    SnapshotSpec {
        resource: "Data".parse().unwrap(),
        name: "s1".parse().unwrap(),
        uuid: Uuid::from_u128(0x51),
        resource_uuid: plain(pool).uuid,
        target,
        volumes: vec![SnapshotVolumeSpec {
            number: 0,
            suffix: StorageSuffix::Data,
            pool: pool.parse().unwrap(),
            size_kib: SIZE_KIB,
            props: Default::default(),
        }],
    }
}

/// What comes of a snapshot's spec.
async fn snapshot_outcome(bench: &mut Bench, spec: SnapshotSpec) -> Outcome {
    let wanted = Wanted::new(&Spec::from(spec));
    let generation = bench.push_wanted("alpha", wanted).await;
    let is_told = move |heard: &Heard| {
        let told = heard.outcomes.get("Data@s1");
        told.is_some_and(|(of, _)| *of >= generation)
    };
    bench
        .until("alpha", "the outcome of the snapshot", is_told)
        .await;
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    heard.outcomes["Data@s1"].1.clone()
}

/// A snapshot is taken while its suspension is held, and not before, after, or under another one; and destroyed whenever
/// that is asked for, as often as it is.
#[tokio::test(start_paused = true)]
async fn a_snapshot_needs_its_suspension() {
    for pool in ["thin", "zfs", "file"] {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        bench.done("alpha", &plain(pool)).await;
        bench.changes();
        let take = |lease| snapshot(pool, SnapshotTarget::Taken { lease });
        let refused = |outcome| matches!(outcome, Outcome::Failed { .. });
        assert!(
            refused(snapshot_outcome(&mut bench, take(LEASE)).await),
            "before"
        );
        assert_eq!(bench.changes(), "", "{pool}");
        suspend(&mut bench, 20_000).await;
        let suspended = is(SuspensionState::Suspended);
        bench.until("alpha", "the suspension", suspended).await;
        let other = take(Uuid::from_u128(3));
        assert!(
            refused(snapshot_outcome(&mut bench, other).await),
            "another one"
        );
        assert_eq!(
            snapshot_outcome(&mut bench, take(LEASE)).await,
            Outcome::Done
        );
        bench
            .send("alpha", ToSatellite::Resume { lease: LEASE })
            .await;
        let asked = ended(SuspensionEnd::Asked);
        bench.until("alpha", "that I/O goes on", is(asked)).await;
        // What was taken under it stays so.
        bench.changes();
        assert_eq!(
            snapshot_outcome(&mut bench, take(LEASE)).await,
            Outcome::Done
        );
        assert_eq!(bench.changes(), "", "{pool}");
        for _ in 0..2 {
            let destroyed = snapshot(pool, SnapshotTarget::Destroyed);
            assert_eq!(snapshot_outcome(&mut bench, destroyed).await, Outcome::Done);
        }
        bench.done("alpha", &plain(pool)).await;
    }
}

/// A suspension that ends while the snapshot is taken: it has failed, although its volume is there.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_takes_too_long() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &plain("thin")).await;
    suspend(&mut bench, 3_000).await;
    let suspended = is(SuspensionState::Suspended);
    bench.until("alpha", "the suspension", suspended).await;
    let slow = Fault::next_with("alpha", "lvcreate", Effect::Slow(Duration::from_secs(5)));
    bench.cluster.inject(slow);
    let taken = snapshot("thin", SnapshotTarget::Taken { lease: LEASE });
    let outcome = snapshot_outcome(&mut bench, taken).await;
    assert!(
        format!("{outcome:?}").contains("not suspended any more"),
        "{outcome:?}"
    );
    let destroyed = snapshot("thin", SnapshotTarget::Destroyed);
    assert_eq!(snapshot_outcome(&mut bench, destroyed).await, Outcome::Done);
    assert_eq!(
        bench.cluster.logical_volumes("alpha", "vg0"),
        ["Data_00000", "thin"]
    );
}
