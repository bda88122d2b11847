//! Disks below DRBD that fail and are repaired.

use std::time::Duration;

use linstor_fake_host::{Effect, Fault};
use linstor_wire::status::Outcome;

use crate::bench::DrbdKind;
use crate::drbd::{TWO, disk, nodes, up};

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
