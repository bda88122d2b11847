//! Disks below DRBD that fail and are repaired.

use std::time::Duration;

use linstor_fake_host::{Effect, Fault};
use linstor_wire::spec::InitialState;
use linstor_wire::status::Outcome;

use crate::bench::DrbdKind;
use crate::drbd::{Layout, TWO, disk, layer, nodes, spec, up};
use crate::last_copy::without_disk;

/// A disk that fails is reported, tried again now and then, and heals; its data comes from the peer meanwhile.
#[tokio::test(start_paused = true)]
async fn a_failing_disk_heals() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    bench.cluster.open("alpha", "Data", 0).expect("promoted");
    bench.cluster.break_device("alpha", "/dev/disk-vg0");
    bench
        .cluster
        .write("alpha", "Data", 0, 5, 55)
        .expect("written to the peer");
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(disk(&bench, "alpha"), "Diskless");
    let heard = bench.nodes["alpha"].heard.lock().unwrap().outcomes["Data"]
        .1
        .clone();
    assert!(matches!(heard, Outcome::Failed { .. }), "{heard:?}");
    bench.cluster.repair_device("alpha", "/dev/disk-vg0");
    tokio::time::sleep(Duration::from_secs(200)).await;
    bench.cluster.close("alpha", "Data", 0);
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
    assert_eq!(bench.cluster.lost_writes("Data"), Vec::<String>::new());
    bench.rests().await;
}

/// The kernel has kept the bitmap of a disk that is gone, and refuses every other one: it is detached, and attached once more.
#[tokio::test(start_paused = true)]
async fn a_stale_bitmap_is_detached() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    bench.cluster.leave_bitmap("alpha", "Data", 0);
    bench.cluster.take_journal();
    assert_eq!(disk(&bench, "alpha"), "Diskless");
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
    let commands = bench.changes();
    assert_eq!(commands.matches("detach 1000").count(), 1, "{commands}");
    bench.rests().await;
}

/// A disk whose attachment failed once is attached a minute later, not when a pause ends that is out of step.
#[tokio::test(start_paused = true)]
async fn a_repaired_disk_is_soon_in_use() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    bench.cluster.open("alpha", "Data", 0).expect("promoted");
    bench.cluster.break_device("alpha", "/dev/disk-vg0");
    bench
        .cluster
        .write("alpha", "Data", 0, 5, 55)
        .expect("written to the peer");
    // Pauses are 1, 2, 5, 10, 20, 40 and then 60 seconds: the next attempt is after 38, the one after it after 78.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(disk(&bench, "alpha"), "Diskless");
    bench.cluster.repair_device("alpha", "/dev/disk-vg0");
    let once = Fault::next_with("alpha", "adjust", Effect::FailsBefore(1));
    bench.cluster.inject(once);
    tokio::time::sleep(Duration::from_secs(75)).await;
    assert_eq!(bench.cluster.disarm(), 0, "the attachment failed once");
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
}

/// A disk that comes, goes and comes again within a minute is attached each time: it did not fail.
#[tokio::test(start_paused = true)]
async fn a_disk_comes_and_goes() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let without: Layout<'_> = &[("alpha", false), ("beta", true)];
    for _ in 0..3 {
        bench.done("alpha", &spec("alpha", without)).await;
        bench.done("beta", &without_disk()).await;
        assert_eq!(disk(&bench, "beta"), "Diskless");
        bench.done("alpha", &spec("alpha", TWO)).await;
        let mut beta = spec("beta", TWO);
        layer(&mut beta).volumes[0].initial = InitialState::FullSync;
        bench.done("beta", &beta).await;
        assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
        assert_eq!(disk(&bench, "beta"), "UpToDate");
    }
}

/// A disk that fails again each time it is attached is left alone in the end, which the controller hears; it is attached
/// again once its order to skip the disk is withdrawn.
#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_each_time_is_left_alone() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    bench.cluster.open("alpha", "Data", 0).expect("promoted");
    let mut value = 0;
    for pause in [1, 60, 120, 300, 600, 0] {
        bench.cluster.break_device("alpha", "/dev/disk-vg0");
        value += 1;
        let write = bench.cluster.write("alpha", "Data", 0, 5, value);
        write.expect("written to the peer");
        bench.cluster.repair_device("alpha", "/dev/disk-vg0");
        tokio::time::sleep(Duration::from_secs(pause + 5)).await;
        let expected = if pause > 0 { "UpToDate" } else { "Diskless" };
        assert_eq!(disk(&bench, "alpha"), expected, "after {pause} s");
    }
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(disk(&bench, "alpha"), "Diskless");
    let status = bench.status("alpha", "Data");
    assert!(status.drbd.is_some_and(|drbd| drbd.disk_given_up));
    let mut skips = spec("alpha", TWO);
    layer(&mut skips).skip_disk = true;
    bench.done("alpha", &skips).await;
    bench.rests().await;
    assert_eq!(disk(&bench, "alpha"), "Diskless");
    let status = bench.status("alpha", "Data");
    assert!(status.drbd.is_some_and(|drbd| !drbd.disk_given_up));
    bench.done("alpha", &spec("alpha", TWO)).await;
    bench.cluster.close("alpha", "Data", 0);
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
    assert_eq!(bench.cluster.lost_writes("Data"), Vec::<String>::new());
}

/// With the order to skip its disk a replica comes up without it after a reboot, whatever is the matter with the storage;
/// nothing of that is made or removed.
#[tokio::test(start_paused = true)]
async fn a_skipped_disk_is_not_touched() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let mut skips = spec("alpha", TWO);
    layer(&mut skips).skip_disk = true;
    bench.done("alpha", &skips).await;
    assert_eq!(disk(&bench, "alpha"), "UpToDate", "it is attached");
    bench.cluster.crash("alpha");
    bench.cluster.boot("alpha");
    bench.cluster.break_device("alpha", "/dev/disk-vg0");
    bench.restart("alpha");
    bench.connect("alpha").await;
    bench.sync("alpha", &[skips]).await;
    bench.converges("alpha", "Data").await;
    assert_eq!(disk(&bench, "alpha"), "Diskless");
    assert!(bench.cluster.has_device("alpha", "/dev/vg0/Data_00000"));
    bench.cluster.repair_device("alpha", "/dev/disk-vg0");
    bench.done("alpha", &spec("alpha", TWO)).await;
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
}
