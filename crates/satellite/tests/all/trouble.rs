//! Storage pools in trouble: state, reason and remedy are reported, and end with the trouble.

use std::time::Duration;

use linstor_host::{Cmd, Host};
use linstor_wire::ToSatellite;
use linstor_wire::status::PoolStatus;

use crate::bench::{Bench, DrbdKind, Heard};

async fn one_node() -> Bench {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench
}

async fn run(bench: &Bench, line: &str) {
    let mut words = line.split(' ');
    let program = match words.next() {
        Some("lvchange") => "lvchange",
        Some("lvcreate") => "lvcreate",
        Some("vgexport") => "vgexport",
        Some("vgimport") => "vgimport",
        Some("cp") => "cp",
        other => panic!("{other:?}"),
    };
    let cmd = Cmd::new(program).args(words);
    let output = bench.cluster.host("alpha").run(cmd).await.expect(line);
    assert!(output.success(), "{line}: {}", output.stderr);
}

/// A pool as the node reports it now.
async fn pool(bench: &mut Bench, name: &str) -> PoolStatus {
    bench.generation += 1;
    let id = bench.generation;
    bench.send("alpha", ToSatellite::RefreshSpace { id }).await;
    let refreshed = |h: &Heard| h.refreshed.contains(&id);
    bench.until("alpha", "space", refreshed).await;
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    let found = heard.pools.iter().find(|pool| pool.name == name);
    found.cloned().expect(name)
}

fn cause(pool: &PoolStatus) -> String {
    let problem = pool.problem.as_ref();
    problem.and_then(|p| p.cause.clone()).unwrap_or_default()
}

/// An inactive thin pool has no known space; it is activated when the satellite starts.
#[tokio::test(start_paused = true)]
async fn an_inactive_thin_pool() {
    let mut bench = one_node().await;
    assert_eq!(pool(&mut bench, "thin").await.problem, None);
    run(&bench, "lvchange -an vg0/thin").await;
    let seen = pool(&mut bench, "thin").await;
    assert!(cause(&seen).contains("not active"), "{seen:?}");
    let problem = seen.problem.clone().expect("a problem");
    assert!(
        problem
            .correction
            .is_some_and(|text| text.contains("lvchange -ay vg0/thin"))
    );
    assert_eq!((seen.free_kib, seen.total_kib), (None, Some(2 << 20)));
    assert_eq!(pool(&mut bench, "lvm").await.problem, None);
    run(&bench, "lvchange -ay vg0/thin").await;
    let seen = pool(&mut bench, "thin").await;
    assert!(
        seen.problem.is_none() && seen.free_kib.is_some(),
        "{seen:?}"
    );
    run(&bench, "lvchange -an vg0/thin").await;
    bench.restart("alpha");
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.connect("alpha").await;
    bench.sync("alpha", &[]).await;
    assert_eq!(pool(&mut bench, "thin").await.problem, None);
}

/// An active volume keeps an inactive thin pool in use: it works and shows its space.
#[tokio::test(start_paused = true)]
async fn a_thin_pool_in_use_through_its_volume() {
    let mut bench = one_node().await;
    run(&bench, "lvcreate -V 100m vg0 --thinpool thin --name t").await;
    run(&bench, "lvchange -an vg0/thin").await;
    let seen = pool(&mut bench, "thin").await;
    assert!(
        seen.problem.is_none() && seen.free_kib.is_some(),
        "{seen:?}"
    );
    run(&bench, "lvchange -an vg0/t").await;
    let seen = pool(&mut bench, "thin").await;
    assert!(cause(&seen).contains("not active"), "{seen:?}");
}

/// An exported volume group is not an empty one: its volumes are neither made again nor taken for destroyed.
#[tokio::test(start_paused = true)]
async fn an_exported_volume_group() {
    let mut bench = one_node().await;
    let mut spec = crate::storage::plain("lvm", 102_400);
    bench.done("alpha", &spec).await;
    for line in ["lvchange -an vg0/Data_00000", "lvchange -an vg0/thin"] {
        run(&bench, line).await;
    }
    run(&bench, "vgexport vg0").await;
    let seen = pool(&mut bench, "lvm").await;
    assert!(cause(&seen).contains("It is exported"), "{seen:?}");
    spec.target = linstor_wire::spec::Target::Destroyed;
    let said = bench.fails("alpha", &spec).await;
    assert!(said.contains("vgimport vg0"), "{said}");
    run(&bench, "vgimport vg0").await;
    bench.converges("alpha", "Data").await;
    let left = bench.cluster.logical_volumes("alpha", "vg0");
    assert_eq!(left, ["thin"]);
}

/// A full thin pool, and a volume group that lost a disk.
#[tokio::test(start_paused = true)]
async fn volume_groups() {
    let mut bench = one_node().await;
    bench.cluster.fill_thin_pool("alpha", "vg0", "thin");
    let seen = pool(&mut bench, "thin").await;
    assert!(cause(&seen).contains("out of data space"), "{seen:?}");
    assert_eq!(seen.free_kib, Some(0));
    bench.cluster.drain_thin_pool("alpha", "vg0", "thin");
    bench.cluster.add_disk("alpha", "/dev/sdy", 4 << 20);
    let host = bench.cluster.host("alpha");
    let cmd = Cmd::new("vgcreate").args(["two", "/dev/sdx", "/dev/sdy"]);
    bench.cluster.add_disk("alpha", "/dev/sdx", 4 << 20);
    assert!(host.run(cmd).await.expect("a group").success());
    let node = bench.nodes.get_mut("alpha").unwrap();
    node.spec.pools.push(crate::bench::pool(
        "two",
        linstor_api::kind::ProviderKind::Lvm,
        "two",
    ));
    bench.sync("alpha", &[]).await;
    assert_eq!(pool(&mut bench, "two").await.problem, None);
    bench.cluster.remove_disk("alpha", "/dev/sdy");
    let seen = pool(&mut bench, "two").await;
    assert!(cause(&seen).contains("1 physical volume"), "{seen:?}");
    assert_eq!(pool(&mut bench, "lvm").await.problem, None);
}

/// A degraded zpool is a warning, one that cannot be written an error.
#[tokio::test(start_paused = true)]
async fn zpools() {
    let mut bench = one_node().await;
    for (health, read_only, is_error) in [
        ("DEGRADED", false, false),
        ("SUSPENDED", false, true),
        ("ONLINE", true, true),
    ] {
        bench
            .cluster
            .set_zpool_state("alpha", "tank", health, read_only);
        let seen = pool(&mut bench, "zfs").await;
        let problem = seen.problem.clone().expect(health);
        assert_eq!(problem.is_error(), is_error, "{health}");
        assert_eq!(seen.free_kib.is_none(), is_error, "{health}");
    }
    bench
        .cluster
        .set_zpool_state("alpha", "tank", "ONLINE", false);
    assert_eq!(pool(&mut bench, "zfs").await.problem, None);
}

/// Blocks that allocated volumes share with snapshots are allocated anew when they are written: they are not free for
/// others, and they are once the snapshot is gone.
#[tokio::test(start_paused = true)]
async fn shared_blocks_are_promised() {
    let mut bench = one_node().await;
    let mut spec = crate::storage::plain("file", 102_400);
    spec.once = vec![crate::storage::make_file_system(1, "ext4", "")];
    bench.done("alpha", &spec).await;
    let before = pool(&mut bench, "file").await.free_kib.expect("known");
    let device = bench.status("alpha", "Data").volumes[0].device_path.clone();
    let device = device.expect("a device");
    for block in 1..100 {
        bench.cluster.poke("alpha", &device, block, block);
    }
    assert_eq!(pool(&mut bench, "file").await.free_kib, Some(before));
    let (file, copy) = ("/srv/pool/Data_00000.img", "/srv/pool/Data_00000_s.img");
    run(&bench, &format!("cp --reflink=always {file} {copy}")).await;
    // 99 blocks and the one with the file system's signature.
    let thick = pool(&mut bench, "file").await.free_kib;
    assert_eq!(thick, Some(before - 400));
    assert_eq!(
        pool(&mut bench, "filethin").await.free_kib,
        Some(before),
        "nothing is promised to sparse files"
    );
    bench.cluster.poke("alpha", &device, 1, 77);
    let thick = pool(&mut bench, "file").await.free_kib;
    assert_eq!(thick, Some(before - 400), "one is no longer shared");
    let host = bench.cluster.host("alpha");
    host.remove_file(copy.as_ref()).await.expect("removed");
    assert_eq!(pool(&mut bench, "file").await.free_kib, Some(before));
}

/// A FILE pool whose file system is not mounted any more, and one whose directory is a file.
#[tokio::test(start_paused = true)]
async fn directories() {
    let mut bench = one_node().await;
    assert_eq!(pool(&mut bench, "file").await.problem, None);
    let host = bench.cluster.host("alpha");
    let id = std::path::Path::new("/srv/pool/.linstor-directory");
    let found = host.read(id).await.expect("it was written");
    host.write_atomic(id, b"another", 0o644)
        .await
        .expect("written");
    for name in ["file", "filethin"] {
        let seen = pool(&mut bench, name).await;
        assert!(cause(&seen).contains("another file system"), "{seen:?}");
    }
    host.remove_file(id).await.expect("removed");
    assert!(cause(&pool(&mut bench, "file").await).contains("another file system"));
    host.write_atomic(id, &found, 0o644).await.expect("written");
    assert_eq!(pool(&mut bench, "file").await.problem, None);
}
