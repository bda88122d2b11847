//! What the node is able to do changes while the satellite runs: it notices, tells, and tries again by itself.

use std::time::Duration;

use linstor_api::kind::ProviderKind;
use linstor_fake_host::{Effect, Fault};
use linstor_wire::status::{NodeInfo, Outcome};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, DrbdKind, Heard};
use crate::drbd::spec;

const ALONE: &[(&str, bool)] = &[("alpha", false)];

fn has_drbd(heard: &Heard) -> bool {
    heard.info.as_ref().is_some_and(|info| info.drbd.is_some())
}

fn has(heard: &Heard, kind: ProviderKind) -> bool {
    let has = |info: &NodeInfo| info.providers.contains(&kind);
    heard.info.as_ref().is_some_and(has)
}

fn is_done(heard: &Heard) -> bool {
    let outcome = heard.outcomes.get("Data");
    outcome.is_some_and(|(_, outcome)| *outcome == Outcome::Done)
}

/// A probe that fails at start costs a moment, not the time until somebody connects the node again.
#[tokio::test(start_paused = true)]
async fn a_probe_that_failed_is_repeated() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    bench.cluster.shut_down("alpha");
    bench.cluster.boot("alpha");
    let probe = Fault::next_with("alpha", "drbdadm --version", Effect::FailsBefore(1));
    bench.cluster.inject(probe.times(3));
    bench.restart("alpha");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.cluster.drbd_resources("alpha"), ["Data"]);
    bench.rests().await;
}

/// DRBD that is installed late is found within a minute, however long it was missing; the controller is told on the
/// connection that is there, and what failed for lack of it is tried again at once.
#[tokio::test(start_paused = true)]
async fn drbd_that_comes_late_is_found() {
    for missing in ["drbdadm", "module drbd"] {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        bench.cluster.shut_down("alpha");
        bench.cluster.uninstall("alpha", missing);
        bench.cluster.boot("alpha");
        bench.restart("alpha");
        bench.connect("alpha").await;
        bench.sync("alpha", &[]).await;
        let said = bench.fails("alpha", &spec("alpha", ALONE)).await;
        assert!(said.contains("This node has no DRBD."), "{said}");
        sleep(Duration::from_secs(1800)).await;
        assert!(!has_drbd(&bench.nodes["alpha"].heard.lock().unwrap()));
        bench.cluster.install("alpha", missing);
        let installed = Instant::now();
        bench.until("alpha", "that it has DRBD", has_drbd).await;
        assert!(installed.elapsed() <= Duration::from_secs(61));
        let found = Instant::now();
        bench.until("alpha", "that Data is up", is_done).await;
        assert!(found.elapsed() < Duration::from_secs(1), "{missing}");
        bench.rests().await;
    }
}

/// A tool that goes is missed, but not for one bad answer; one that comes back is found while a pool needs it.
#[tokio::test(start_paused = true)]
async fn tools_go_and_come_back() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    sleep(Duration::from_secs(120)).await;
    let hiccup = Fault::next_with("alpha", "zfs version", Effect::FailsBefore(1));
    bench.cluster.inject(hiccup);
    let messages = bench.nodes["alpha"].heard.lock().unwrap().messages;
    sleep(Duration::from_secs(1800)).await;
    assert_eq!(bench.cluster.disarm(), 0, "the fault has struck");
    let heard = bench.nodes["alpha"].heard.lock().unwrap().messages;
    assert_eq!(heard, messages, "one bad answer is no news");
    bench.cluster.uninstall("alpha", "zfs");
    sleep(Duration::from_secs(660)).await;
    {
        let heard = bench.nodes["alpha"].heard.lock().unwrap();
        assert!(!has(&heard, ProviderKind::Zfs) && !has(&heard, ProviderKind::ZfsThin));
        assert!(has(&heard, ProviderKind::LvmThin) && has_drbd(&heard));
    }
    bench.cluster.install("alpha", "zfs");
    sleep(Duration::from_secs(61)).await;
    assert!(has(
        &bench.nodes["alpha"].heard.lock().unwrap(),
        ProviderKind::Zfs
    ));
}

/// A host that is renamed says so by itself, and its resources follow when the controller has taken that over.
#[tokio::test(start_paused = true)]
async fn a_new_host_name_is_told() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let mut spec = spec("alpha", ALONE);
    bench.done("alpha", &spec).await;
    bench.cluster.set_host_name("alpha", "alpha2");
    let renamed = Instant::now();
    let told = |h: &Heard| h.info.as_ref().is_some_and(|info| info.uname == "alpha2");
    bench.until("alpha", "its new name", told).await;
    assert!(renamed.elapsed() < Duration::from_secs(35));
    sleep(Duration::from_secs(60)).await;
    assert!(!is_done(&bench.nodes["alpha"].heard.lock().unwrap()));
    spec.drbd_mut().expect("a DRBD layer").uname = "alpha2".into();
    bench.done("alpha", &spec).await;
}

/// A satellite with nothing missing probes six times an hour, and never loads a module again.
#[tokio::test(start_paused = true)]
async fn an_idle_satellite_seldom_probes() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    sleep(Duration::from_secs(60)).await;
    bench.cluster.take_journal();
    sleep(Duration::from_secs(3600)).await;
    let journal = bench.cluster.take_journal();
    let count = |text: &str| journal.iter().filter(|e| e.text.contains(text)).count();
    assert!((5..=6).contains(&count("drbdadm --version")));
    assert_eq!(count("modprobe"), 0);
}

/// A controller that connects while the first probe hangs is told the host's name at once, and the rest later.
#[tokio::test(start_paused = true)]
async fn the_name_needs_no_probe() {
    let mut bench = Bench::new();
    let hang = Fault::next_with("alpha", "drbdadm --version", Effect::Hangs);
    bench.cluster.inject(hang);
    bench.add_node("alpha", DrbdKind::V9).await;
    {
        let heard = bench.nodes["alpha"].heard.lock().unwrap();
        assert_eq!(heard.info.as_ref().expect("a welcome").uname, "alpha");
        assert!(!has_drbd(&heard));
    }
    bench.push("alpha", &spec("alpha", ALONE)).await;
    bench.until("alpha", "that it has DRBD", has_drbd).await;
    bench.until("alpha", "that Data is up", is_done).await;
}
