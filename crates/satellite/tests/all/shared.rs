//! Backing volumes that nodes share: one node after the other changes the volume group, a volume exists once, and whoever
//! is up uses what the other has left.

use linstor_fake_host::{Effect, Fault};
use linstor_wire::ToSatellite;
use linstor_wire::spec::{ResourceSpec, SharedStorage, Target};
use linstor_wire::status::Outcome;
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind};
use crate::storage::plain;

const OWNER: Uuid = Uuid::from_u128(0xdf);

/// Two nodes whose pool "lvm" is on the same disk.
async fn two_nodes() -> Bench {
    let mut bench = Bench::new();
    for node in ["alpha", "beta"] {
        bench.add_node(node, DrbdKind::V9).await;
        let spec = &mut bench.nodes.get_mut(node).unwrap().spec;
        spec.pools[0].turns = Some("san".to_owned());
        bench.sync(node, &[]).await;
    }
    bench.cluster.take_journal();
    bench
}

fn on_san(target: Target, keep: bool) -> ResourceSpec {
    ResourceSpec {
        target,
        shared: Some(SharedStorage { owner: OWNER, keep }),
        ..plain("lvm", 102_400)
    }
}

/// Grants the node the turn that it asks for.
async fn grant(bench: &mut Bench, node: &str) {
    let asks = |heard: &crate::bench::Heard| heard.turns.contains_key("san");
    bench.until(node, "that it wants its turn", asks).await;
    let granted = bench.nodes[node].heard.lock().unwrap().turns.clone();
    bench.send(node, ToSatellite::Turns { granted }).await;
}

async fn gives_back(bench: &Bench, node: &str) {
    let gave = |heard: &crate::bench::Heard| heard.turns.is_empty();
    bench.until(node, "that its turn is over", gave).await;
}

/// A volume is made when it is the node's turn, activated elsewhere without one, and removed by the last that has it.
#[tokio::test(start_paused = true)]
async fn a_volume_moves_from_node_to_node() {
    let mut bench = two_nodes().await;
    bench.push("alpha", &on_san(Target::Up, true)).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(bench.changes(), "", "it is not its turn");
    grant(&mut bench, "alpha").await;
    bench.converges("alpha", "Data").await;
    gives_back(&bench, "alpha").await;
    let made = bench.changes();
    assert!(
        made.contains("lvcreate") && made.contains(&OWNER.to_string()),
        "{made}"
    );
    let device = bench.status("alpha", "Data").volumes[0]
        .device_path
        .clone()
        .unwrap();

    bench.done("alpha", &on_san(Target::Down, true)).await;
    assert_eq!(bench.changes(), "alpha: lvchange -an vg0/Data_00000\n");
    assert!(!bench.cluster.has_device("alpha", &device));
    let status = bench.status("alpha", "Data");
    assert_eq!(status.volumes[0].backing_device, None);

    bench.cluster.see_volume_group("beta", "alpha", "vg0");
    bench.done("beta", &on_san(Target::Up, true)).await;
    assert_eq!(
        bench.changes(),
        "beta: lvchange -ay -K vg0/Data_00000\n",
        "used as it is"
    );
    assert_eq!(
        bench.status("beta", "Data").volumes[0].backing_kib,
        Some(102_400)
    );
    bench.rests().await;

    bench.done("alpha", &on_san(Target::Destroyed, true)).await;
    assert_eq!(bench.changes(), "", "beta has it");
    let generation = bench.push("beta", &on_san(Target::Destroyed, false)).await;
    grant(&mut bench, "beta").await;
    let is_told = |heard: &crate::bench::Heard| {
        heard.outcomes.get("Data") == Some(&(generation, Outcome::Done))
    };
    bench.until("beta", "that it is removed", is_told).await;
    assert_eq!(
        bench.changes(),
        "beta: lvchange -an vg0/Data_00000\nbeta: lvremove -f vg0/Data_00000\n"
    );
}

/// A volume that is in use is not taken away from its user.
#[tokio::test(start_paused = true)]
async fn a_volume_in_use_is_not_deactivated() {
    let mut bench = two_nodes().await;
    bench.push("alpha", &on_san(Target::Up, true)).await;
    grant(&mut bench, "alpha").await;
    bench.converges("alpha", "Data").await;
    bench.cluster.mount("alpha", "/dev/vg0/Data_00000", "/mnt");
    let said = bench.fails("alpha", &on_san(Target::Down, true)).await;
    assert!(said.contains("still in use"), "{said}");
    assert!(bench.cluster.has_device("alpha", "/dev/vg0/Data_00000"));
}

/// Another resource's volume of that name is left alone, and one of this cluster is no leftover.
#[tokio::test(start_paused = true)]
async fn a_foreign_volume_on_the_shared_disk_is_not_used() {
    let mut bench = two_nodes().await;
    bench.push("alpha", &on_san(Target::Up, true)).await;
    grant(&mut bench, "alpha").await;
    bench.converges("alpha", "Data").await;
    bench.cluster.see_volume_group("beta", "alpha", "vg0");
    let mut other = on_san(Target::Up, true);
    other.shared.as_mut().unwrap().owner = Uuid::from_u128(0xe0);
    let said = bench.fails("beta", &other).await;
    assert!(said.contains("does not belong to this resource"), "{said}");
}

/// A node that was about to make the volume, and is activated again after another node has used it, does not wipe it.
#[tokio::test(start_paused = true)]
async fn what_another_node_wrote_is_not_wiped() {
    let mut bench = two_nodes().await;
    let device = "/dev/vg0/Data_00000";
    bench
        .cluster
        .inject(Fault::next_with("alpha", "wipefs", Effect::FailsBefore(1)).times(1000));
    bench.push("alpha", &on_san(Target::Up, true)).await;
    grant(&mut bench, "alpha").await;
    let failed = |heard: &crate::bench::Heard| {
        let told = heard.outcomes.get("Data");
        told.is_some_and(|(_, outcome)| matches!(outcome, Outcome::Failed { .. }))
    };
    bench.until("alpha", "that it failed", failed).await;
    bench.cluster.disarm();
    bench.done("alpha", &on_san(Target::Down, true)).await;
    bench.cluster.see_volume_group("beta", "alpha", "vg0");
    bench.done("beta", &on_san(Target::Up, true)).await;
    bench.cluster.poke("beta", device, 0, 7);
    bench.done("beta", &on_san(Target::Down, true)).await;
    bench.cluster.see_volume_group("alpha", "beta", "vg0");
    bench.done("alpha", &on_san(Target::Up, true)).await;
    assert_eq!(bench.cluster.peek("alpha", device, 0), Some(7));
}
