//! DRBD's metadata on a backing volume of its own, in another pool than the data.

use std::time::Duration;

use linstor_api::kind::StorageSuffix;
use linstor_host::{Cmd, Host};
use linstor_wire::spec::{ResourceSpec, StorageRef, Target};

use crate::bench::{Bench, DrbdKind};
use crate::drbd::{Layout, SIZE_KIB, TWO, disk, layer, nodes, spec};
use crate::storage::{data, storage};

const DATA: &str = "/dev/vg0/Data_00000";
const META: &str = "/dev/vg0/Data.meta_00000";

/// A resource on two nodes with its data in a thin pool and its metadata in a thick one.
fn external(me: &str, layout: Layout<'_>, data_kib: u64, meta_kib: u64) -> ResourceSpec {
    let mut spec = spec(me, layout);
    layer(&mut spec).volumes[0].internal_metadata_kib = 0;
    layer(&mut spec).volumes[0].grow_assume_clean = true;
    let volume = &mut spec.volumes[0];
    volume.usable_kib = data_kib;
    if !volume.storage.is_empty() {
        let meta = storage("lvm", meta_kib);
        volume.storage.insert(StorageSuffix::DrbdMeta, meta);
        data(&mut spec).size_kib = data_kib;
    }
    spec
}

async fn up(kind: DrbdKind) -> Bench {
    let mut bench = nodes(&["alpha", "beta"], kind).await;
    for name in ["alpha", "beta"] {
        bench.push(name, &external(name, TWO, SIZE_KIB, 4096)).await;
    }
    for name in ["alpha", "beta"] {
        bench.converges(name, "Data").await;
    }
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    bench
}

fn leftovers() -> Vec<StorageRef> {
    let of = |suffix, pool: &str| StorageRef {
        number: 0,
        suffix,
        pool: pool.parse().unwrap(),
    };
    vec![
        of(StorageSuffix::Data, "thin"),
        of(StorageSuffix::DrbdMeta, "lvm"),
    ]
}

/// Created, used, grown with its metadata, taken down and up, destroyed: on both kinds.
#[tokio::test(start_paused = true)]
async fn a_life_with_external_metadata() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = up(kind).await;
        let commands = bench.changes();
        let created = format!("{META} flex-external create-md");
        assert_eq!(commands.matches(&created).count(), 2, "{commands}");
        let alpha = bench.cluster.host("alpha");
        let file = alpha.read("/var/lib/linstor.d/Data.res".as_ref()).await;
        let text = String::from_utf8(file.expect("a file")).expect("text");
        assert!(text.contains(&format!("meta-disk {META};")), "{text}");
        assert_eq!(text.matches("meta-disk internal;").count(), 1, "{text}");
        for name in ["alpha", "beta"] {
            assert_eq!(disk(&bench, name), "UpToDate");
            let volume = bench.cluster.drbd(name, "Data", 0).expect("up");
            assert_eq!(
                volume.size_kib, SIZE_KIB,
                "all of the data's volume is used"
            );
        }
        let status = bench.status("alpha", "Data");
        let meta = &status.volumes[0].extra_storage[&StorageSuffix::DrbdMeta];
        assert_eq!(meta.device.as_deref(), Some(META));
        bench.rests().await;

        for name in ["alpha", "beta"] {
            bench
                .done(name, &external(name, TWO, 2 * SIZE_KIB, 8192))
                .await;
        }
        let mut growing = external("alpha", TWO, 2 * SIZE_KIB, 8192);
        layer(&mut growing).volumes[0].grow = true;
        bench.done("alpha", &growing).await;
        assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
        for name in ["alpha", "beta"] {
            let volume = bench.cluster.drbd(name, "Data", 0).expect("up");
            assert_eq!(volume.size_kib, 2 * SIZE_KIB);
        }
        assert!(bench.cluster.differences("Data", 0).is_empty());

        let mut beta = external("beta", TWO, 2 * SIZE_KIB, 8192);
        beta.target = Target::Down;
        bench.done("beta", &beta).await;
        bench
            .done("beta", &external("beta", TWO, 2 * SIZE_KIB, 8192))
            .await;
        assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
        assert_eq!(disk(&bench, "beta"), "UpToDate");
        let commands = bench.changes();
        assert!(!commands.contains("create-md"), "{commands}");

        for name in ["alpha", "beta"] {
            let mut gone = external(name, TWO, 2 * SIZE_KIB, 8192);
            gone.target = Target::Destroyed;
            gone.allow_last_copy = true;
            bench.done(name, &gone).await;
            for device in [DATA, META] {
                assert!(!bench.cluster.has_device(name, device), "{name} {device}");
            }
        }
        assert_eq!(bench.cluster.violations(), Vec::<String>::new());
        bench.rests().await;
    }
}

/// A disk is given up with its metadata, and comes back with new one.
#[tokio::test(start_paused = true)]
async fn a_disk_goes_with_its_metadata() {
    let mut bench = up(DrbdKind::V9).await;
    let without: Layout<'_> = &[("alpha", false), ("beta", true)];
    let mut beta = external("beta", without, SIZE_KIB, 4096);
    beta.destroy_storage = leftovers();
    bench
        .done("alpha", &external("alpha", without, SIZE_KIB, 4096))
        .await;
    bench.done("beta", &beta).await;
    for device in [DATA, META] {
        assert!(!bench.cluster.has_device("beta", device), "{device}");
    }
    bench
        .done("alpha", &external("alpha", TWO, SIZE_KIB, 4096))
        .await;
    bench
        .done("beta", &external("beta", TWO, SIZE_KIB, 4096))
        .await;
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    assert_eq!(disk(&bench, "beta"), "UpToDate");
    bench.rests().await;
}

/// Metadata that was in use and does not exist any more is not made anew, as that would give up data that may be the last of it. Data that
/// is gone is made anew, and old metadata that calls it up to date is not believed.
#[tokio::test(start_paused = true)]
async fn a_lost_half_of_a_disk() {
    for (lost, outcome) in [("vg0/Data.meta_00000", false), ("vg0/Data_00000", true)] {
        let mut bench = up(DrbdKind::V9).await;
        let mut beta = external("beta", TWO, SIZE_KIB, 4096);
        beta.target = Target::Down;
        bench.done("beta", &beta).await;
        let host = bench.cluster.host("beta");
        let removed = host.run(Cmd::new("lvremove").args(["-f", lost])).await;
        assert!(removed.expect("lvremove").success());
        bench.restart("beta");
        bench.connect("beta").await;
        bench.sync("beta", &[beta]).await;
        bench.changes();
        let beta = external("beta", TWO, SIZE_KIB, 4096);
        if outcome {
            bench.done("beta", &beta).await;
            assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
            assert_eq!(disk(&bench, "beta"), "UpToDate");
            assert!(bench.cluster.differences("Data", 0).is_empty());
            let commands = bench.changes();
            assert!(commands.contains("create-md"), "{commands}");
        } else {
            let said = bench.fails("beta", &beta).await;
            assert!(
                said.contains("was in use and does not exist any more"),
                "{said}"
            );
            let commands = bench.changes();
            assert!(!commands.contains("lvcreate"), "{commands}");
        }
    }
}
