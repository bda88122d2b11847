//! Nothing that may be the last up-to-date copy is let go of.

use std::time::Duration;

use linstor_wire::spec::{InitialState, ResourceSpec, StorageRef, Target};

use crate::bench::{Bench, DrbdKind};
use crate::drbd::{Layout, TWO, disk, layer, nodes, spec, up};

const BLOCK: u64 = 3;

/// Two replicas, of which the second one alone has what was written last.
pub(crate) async fn beta_is_ahead() -> Bench {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    bench.cluster.cut("alpha", "beta");
    assert!(bench.cluster.quiesce(Duration::from_secs(60)).await);
    bench.cluster.open("beta", "Data", 0).expect("open");
    bench
        .cluster
        .write("beta", "Data", 0, BLOCK, 7)
        .expect("write");
    bench.cluster.close("beta", "Data", 0);
    bench
}

/// Beta without its disk, which is to be destroyed.
pub(crate) fn without_disk() -> ResourceSpec {
    let mut beta = spec("beta", &[("alpha", false), ("beta", true)]);
    beta.destroy_storage.push(StorageRef {
        number: 0,
        suffix: linstor_api::kind::StorageSuffix::Data,
        pool: "thin".parse().unwrap(),
    });
    beta
}

/// A spec that uses a disk and has it destroyed is refused: nothing is known about which of the two is meant.
#[tokio::test(start_paused = true)]
async fn a_disk_is_not_both_used_and_destroyed() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let mut beta = spec("beta", TWO);
    beta.destroy_storage = without_disk().destroy_storage;
    let said = bench.fails("beta", &beta).await;
    assert!(said.contains("to be used and to be destroyed"), "{said}");
    assert_eq!(disk(&bench, "beta"), "UpToDate");
    assert!(bench.cluster.has_device("beta", "/dev/vg0/Data_00000"));
}

/// What was written last is on alpha in the end.
fn is_on_alpha(bench: &Bench) {
    assert_eq!(disk(bench, "alpha"), "UpToDate");
    assert_eq!(
        bench.cluster.peek("alpha", "/dev/vg0/Data_00000", BLOCK),
        Some(7)
    );
    assert_eq!(bench.cluster.violations(), Vec::<String>::new());
}

/// A replica that is to be deleted stays up, connected and in use until another one has its data; then it goes by itself.
#[tokio::test(start_paused = true)]
async fn leaving_waits_for_another_copy() {
    let mut bench = beta_is_ahead().await;
    let mut beta = spec("beta", TWO);
    beta.target = Target::Leaving;
    let said = bench.fails("beta", &beta).await;
    assert!(said.contains("last up-to-date"), "{said}");
    assert_eq!(disk(&bench, "beta"), "UpToDate");
    bench.cluster.heal("alpha", "beta");
    bench.converges("beta", "Data").await;
    assert_eq!(disk(&bench, "beta"), "absent");
    assert!(bench.cluster.has_device("beta", "/dev/vg0/Data_00000"));
    bench.rests().await;
    beta.target = Target::Destroyed;
    bench.done("beta", &beta).await;
    assert!(!bench.cluster.has_device("beta", "/dev/vg0/Data_00000"));
    is_on_alpha(&bench);
}

/// A replica whose only peer is still being synchronised waits for that, and then goes by itself: nothing failed.
#[tokio::test(start_paused = true)]
async fn leaving_waits_for_a_resync() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    let mut alpha = spec("alpha", TWO);
    layer(&mut alpha).volumes[0].initial = InitialState::FullSync;
    let mut beta = spec("beta", TWO);
    layer(&mut beta).volumes[0].initial = InitialState::FullSync;
    let slow = |config: &mut linstor_fake_host::Config| config.resync_kib_per_second = 4096;
    bench.cluster.configure(slow);
    bench.done("alpha", &alpha).await;
    bench.done("beta", &beta).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(disk(&bench, "beta"), "Inconsistent");
    alpha.target = Target::Leaving;
    bench.done("alpha", &alpha).await;
    assert_eq!(disk(&bench, "beta"), "UpToDate");
    assert_eq!(disk(&bench, "alpha"), "absent");
}

/// The same where only the disk goes, and the power with it: after the boot DRBD comes up with the disk, so that the peer
/// can fetch what it lacks.
#[tokio::test(start_paused = true)]
async fn a_disk_that_goes_is_asked_for_after_a_reboot() {
    let mut bench = beta_is_ahead().await;
    let said = bench.fails("beta", &without_disk()).await;
    assert!(said.contains("last up-to-date"), "{said}");
    assert_eq!(disk(&bench, "beta"), "UpToDate");
    bench.cluster.crash("beta");
    bench.cluster.boot("beta");
    bench.restart("beta");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let state = disk(&bench, "beta");
    assert!(!["absent", "Diskless"].contains(&state.as_str()), "{state}");
    assert!(bench.cluster.has_device("beta", "/dev/vg0/Data_00000"));
    bench.cluster.heal("alpha", "beta");
    tokio::time::sleep(Duration::from_secs(180)).await;
    assert_eq!(disk(&bench, "beta"), "Diskless");
    assert!(!bench.cluster.has_device("beta", "/dev/vg0/Data_00000"));
    is_on_alpha(&bench);
}

/// A disk that DRBD has let go of is not attached again when the power fails before it is destroyed.
#[tokio::test(start_paused = true)]
async fn a_disk_that_was_let_go_of_stays_so() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let without: Layout<'_> = &[("alpha", false), ("beta", true)];
    bench.done("beta", &spec("beta", without)).await;
    assert_eq!(disk(&bench, "beta"), "Diskless");
    bench.cluster.crash("beta");
    bench.cluster.boot("beta");
    bench.restart("beta");
    bench.connect("beta").await;
    bench.cluster.take_journal();
    bench.sync("beta", &[without_disk()]).await;
    bench.converges("beta", "Data").await;
    assert!(!bench.cluster.has_device("beta", "/dev/vg0/Data_00000"));
    // An attached disk would have to be let go of again.
    let changes = bench.changes();
    assert!(!changes.contains("detach"), "{changes}");
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
    assert_eq!(disk(&bench, "beta"), "Diskless");
}

/// A resource that was taken down can go only if the data was elsewhere when it went down.
#[tokio::test(start_paused = true)]
async fn down_then_destroyed() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let mut alpha = spec("alpha", TWO);
    alpha.target = Target::Down;
    bench.done("alpha", &alpha).await;
    assert_eq!(disk(&bench, "alpha"), "absent");
    let mut beta = spec("beta", TWO);
    beta.target = Target::Down;
    bench.done("beta", &beta).await;
    bench.rests().await;
    // When beta went down nobody else was up to date.
    beta.target = Target::Destroyed;
    let said = bench.fails("beta", &beta).await;
    assert!(said.contains("last up-to-date"), "{said}");
    alpha.target = Target::Destroyed;
    bench.done("alpha", &alpha).await;
    beta.target = Target::Up;
    bench.done("beta", &beta).await;
    assert_eq!(disk(&bench, "beta"), "UpToDate");
}
