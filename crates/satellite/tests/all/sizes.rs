//! Sizes as they really are: the unit of each volume, devices that are not made larger, and tools that lie.

use std::time::Duration;

use linstor_fake_host::{Effect, Fault};
use linstor_host::{Cmd, Host};
use linstor_wire::spec::{ResourceSpec, Target};
use linstor_wire::status::Outcome;

use crate::bench::{Bench, DrbdKind};
use crate::drbd::{SIZE_KIB, TWO, disk, layer, nodes, spec, up};
use crate::growth::{drbd_kib, grow_storage, grown};
use crate::storage::{data, one_node, plain};

const POOLS: [&str; 6] = ["lvm", "thin", "zfs", "zfsthin", "file", "filethin"];

fn option(spec: &mut ResourceSpec, key: &str, line: &str) {
    let key = format!("StorDriver/{key}");
    data(spec).props.insert(key, line.to_owned());
}

fn backing_kib(bench: &Bench) -> u64 {
    bench.status("alpha", "Data").volumes[0]
        .backing_kib
        .expect("it is measured")
}

/// A zvol is made and grown in multiples of its own block size, however that was set and whatever the pool's is; LVM
/// rounds to stripes. What comes of it is measured.
#[tokio::test(start_paused = true)]
async fn the_unit_of_each_volume_counts() {
    for (pool, key, line, size_kib, made_kib, grown_kib) in [
        (
            "zfs",
            "ZfscreateOptions",
            "-o volblocksize=64k",
            100_000,
            100_032,
            200_000,
        ),
        (
            "zfs",
            "ZfscreateOptions",
            "-b 64k",
            100_000,
            100_032,
            200_000,
        ),
        (
            "zfsthin",
            "ZfscreateOptions",
            "-ovolblocksize=64K",
            100_000,
            100_032,
            200_000,
        ),
        ("zfsthin", "ZfscreateOptions", "", 100_004, 100_016, 200_000),
        ("lvm", "LvcreateOptions", "-i 4", 100_000, 114_688, 212_992),
        (
            "lvm",
            "LvcreateOptions",
            "--stripes=3",
            100_000,
            110_592,
            208_896,
        ),
        ("lvm", "LvcreateOptions", "", 100_000, 102_400, 200_704),
        (
            "lvm",
            "LvcreateOptions",
            "--type raid1 -m 1",
            100_000,
            102_400,
            200_704,
        ),
        (
            "lvm",
            "LvcreateOptions",
            "--type=raid5 -i 3",
            100_000,
            110_592,
            208_896,
        ),
        (
            "lvm",
            "LvcreateOptions",
            "--type raid6",
            100_000,
            110_592,
            208_896,
        ),
        ("lvm", "LvcreateType", "raid10", 100_000, 106_496, 204_800),
        ("lvm", "LvcreateType", "mirror", 100_000, 102_400, 200_704),
    ] {
        let mut bench = one_node().await;
        let mut spec = plain(pool, size_kib);
        option(&mut spec, key, line);
        bench.done("alpha", &spec).await;
        assert_eq!(backing_kib(&bench), made_kib, "{pool} {line}");
        bench.rests().await;
        // An option that changes later has no effect on the volume.
        option(&mut spec, key, "");
        data(&mut spec).size_kib = 200_000;
        bench.done("alpha", &spec).await;
        assert_eq!(backing_kib(&bench), grown_kib, "{pool} {line}");
        bench.rests().await;
    }
    // Not a multiple of the block size of the volume, but of the pool's.
    let mut bench = one_node().await;
    let mut spec = plain("zfs", 102_400);
    option(&mut spec, "ZfscreateOptions", "-b 64k");
    bench.done("alpha", &spec).await;
    data(&mut spec).size_kib = 102_416;
    bench.done("alpha", &spec).await;
    assert_eq!(backing_kib(&bench), 102_464);
}

/// Pools of LVM report the logical sectors of their disks.
#[tokio::test(start_paused = true)]
async fn sectors_are_reported() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.cluster.add_disk("alpha", "/dev/sdx", 4 << 20);
    bench.cluster.set_sector_bytes("alpha", "/dev/sdx", 4096);
    bench
        .cluster
        .run_on("alpha", "vgcreate", &["big", "/dev/sdx"]);
    let node = bench.nodes.get_mut("alpha").unwrap();
    let kind = linstor_api::kind::ProviderKind::Lvm;
    node.spec.pools.push(crate::bench::pool("big", kind, "big"));
    bench.sync("alpha", &[]).await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    let sectors = heard.pools.iter();
    let sectors: Vec<(&str, Option<u32>)> = sectors
        .map(|pool| (pool.name.as_str(), pool.sector_bytes))
        .collect();
    let of = |name: &str| sectors.iter().find(|(pool, _)| *pool == name).unwrap().1;
    assert_eq!(
        [of("lvm"), of("thin"), of("big"), of("zfs")],
        [Some(512), Some(512), Some(4096), None]
    );
}

/// Copies and parity take space: a pool whose volumes have them says so, and what does not fit is refused with the numbers
/// before a command is run.
#[tokio::test(start_paused = true)]
async fn copies_and_parity_count() {
    let mut bench = one_node().await;
    let free_kib = |bench: &Bench| {
        let heard = bench.nodes["alpha"].heard.lock().unwrap();
        let pool = heard.pools.iter().find(|pool| pool.name == "lvm");
        let pool = pool.expect("it is reported");
        (
            pool.free_kib.expect("its space is known"),
            pool.overhead_permille,
        )
    };
    let (free, none) = free_kib(&bench);
    assert_eq!(none, None);
    let mut spec = plain("lvm", free / 2 + 4096);
    option(&mut spec, "LvcreateOptions", "--type raid1 -m 1");
    bench.cluster.take_journal();
    let said = bench.fails("alpha", &spec).await;
    assert!(said.contains("KiB are needed"), "{said}");
    assert_eq!(bench.changes(), "");
    data(&mut spec).size_kib = 102_400;
    bench.done("alpha", &spec).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    // Two copies of 25 extents, and an extent of metadata for each.
    assert_eq!(free_kib(&bench).0, free - 2 * (102_400 + 4096));
    let node = bench.nodes.get_mut("alpha").unwrap();
    let mut pools = node.spec.pools.iter_mut();
    let pool = pools.find(|p| p.name.as_str() == "lvm").unwrap();
    let key = "StorDriver/LvcreateOptions".to_owned();
    pool.props.insert(key, "--type raid6 -i 4".into());
    let specs = [spec];
    bench.sync("alpha", &specs).await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(free_kib(&bench).1, Some(500));
}

/// On a full file system an older `fallocate` reports success and leaves an empty file: no device comes of it.
#[tokio::test(start_paused = true)]
async fn a_full_file_system_is_found_out() {
    let mut bench = one_node().await;
    bench.cluster.install_old_util_linux("alpha");
    let said = bench.fails("alpha", &plain("file", 64 << 20)).await;
    let ret_code = linstor_api::code::FAIL_NOT_ENOUGH_FREE_SPACE.to_string();
    assert!(said.contains(&ret_code) && said.contains("0 KiB"), "{said}");
    // Once there is room the volume is complete.
    let mut small = plain("file", 102_400);
    bench.done("alpha", &small).await;
    data(&mut small).size_kib = 64 << 20;
    let said = bench.fails("alpha", &small).await;
    assert!(said.contains("102400 KiB"), "{said}");
}

/// A volume that somebody has made larger is not made smaller by a growth that is based on an earlier query.
#[tokio::test(start_paused = true)]
async fn a_growth_makes_nothing_smaller() {
    for (pool, command) in [
        ("lvm", "lvresize --size 400000k -f vg0/Data_00000"),
        ("zfs", "zfs set volsize=400000KB tank/Data_00000"),
    ] {
        let mut bench = one_node().await;
        let mut spec = plain(pool, 102_400);
        bench.done("alpha", &spec).await;
        let mut words = command.split(' ');
        let cmd = Cmd::new(match words.next() {
            Some("lvresize") => "lvresize",
            _ => "zfs",
        });
        let host = bench.cluster.host("alpha");
        host.run(cmd.args(words)).await.expect("it is run");
        data(&mut spec).size_kib = 204_800;
        bench.done("alpha", &spec).await;
        assert!(backing_kib(&bench) >= 400_000, "{pool}");
    }
}

/// What a tool reports is not what it did: success and nothing, once or for some time, or an error and everything.
const LIES: [(Effect, u32); 4] = [
    (Effect::Lies, 1),
    (Effect::Lies, 3),
    (Effect::FailsAfter(1), 1),
    (Effect::FailsAfter(1), 3),
];

/// Nothing is reported as done that is not, nothing is done twice, and everything is done once the tool works.
#[tokio::test(start_paused = true)]
async fn tools_that_lie_are_found_out() {
    for pool in POOLS {
        for (lie, times) in LIES {
            let mut skip = 0;
            while lied_to(pool, lie, skip, times).await {
                skip += 1;
            }
            assert!(skip > 2, "{pool}: too few commands");
        }
    }
}

/// One life of a volume with a command that lies; false if there are not that many commands.
async fn lied_to(pool: &str, lie: Effect, skip: u32, times: u32) -> bool {
    let mut bench = one_node().await;
    let fault = Fault::next_change("alpha", lie);
    bench.cluster.inject(fault.after(skip).times(times));
    let mut spec = plain(pool, 102_400);
    let about = format!("{pool} {lie:?} {skip} {times}");
    for size_kib in [102_400, 204_800] {
        data(&mut spec).size_kib = size_kib;
        let outcome = bench.apply("alpha", &spec).await;
        let is_there = |bench: &Bench| {
            let status = bench.status("alpha", "Data");
            let device = status.volumes[0].device_path.clone().expect("a device");
            bench.cluster.device_kib("alpha", &device)
        };
        if outcome == Outcome::Done {
            assert!(is_there(&bench) >= Some(size_kib), "{about}");
        } else {
            bench.converges("alpha", "Data").await;
            assert!(is_there(&bench) >= Some(size_kib), "{about}");
        }
    }
    spec.target = Target::Destroyed;
    if bench.apply("alpha", &spec).await != Outcome::Done {
        bench.converges("alpha", "Data").await;
    }
    let left = bench.cluster.logical_volumes("alpha", "vg0");
    assert_eq!(left, ["thin"], "{about}");
    let struck = bench.cluster.disarm() == 0;
    bench.rests().await;
    struck
}

/// Below DRBD a backing volume has the size that it has, until the volume grows: a new replica in a pool with another unit,
/// or an option that changes, is no reason to make it larger.
#[tokio::test(start_paused = true)]
async fn a_volume_in_use_is_not_grown_by_the_way() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    bench.cluster.take_journal();
    let mut alpha = spec("alpha", TWO);
    alpha.volumes[0].fixed_size = true;
    data(&mut alpha).size_kib = 2 * SIZE_KIB;
    bench.done("alpha", &alpha).await;
    assert_eq!(bench.changes(), "");
    alpha.volumes[0].fixed_size = false;
    bench.done("alpha", &alpha).await;
    assert!(bench.changes().contains("lvresize"));
}

fn pinned(me: &str, kib: u64) -> ResourceSpec {
    let mut spec = spec(me, TWO);
    let options = &mut layer(&mut spec).volumes[0].disk_options;
    options.insert("size".into(), format!("{kib}k"));
    spec
}

/// Two replicas with different room have the size in the `.res` file, when they are made and when one joins another. It
/// stays so over reboots, and growth is no resync of everything.
#[tokio::test(start_paused = true)]
async fn a_pinned_size_holds() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    let kib = SIZE_KIB - 8192;
    bench.push("alpha", &pinned("alpha", kib)).await;
    let mut beta = pinned("beta", kib);
    data(&mut beta).size_kib = SIZE_KIB + 40_960;
    bench.push("beta", &beta).await;
    bench.converges("alpha", "Data").await;
    bench.converges("beta", "Data").await;
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    for node in ["alpha", "beta"] {
        assert_eq!(
            (drbd_kib(&bench, node), disk(&bench, node).as_str()),
            (kib, "UpToDate")
        );
    }
    bench.rests().await;
    bench.cluster.crash("alpha");
    bench.cluster.boot("alpha");
    bench.restart("alpha");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(
        (drbd_kib(&bench, "alpha"), disk(&bench, "alpha").as_str()),
        (kib, "UpToDate")
    );
}

/// A size that is added to the file of a volume that is up changes nothing; one that is less than what DRBD has is not
/// written, because DRBD would make the volume smaller.
#[tokio::test(start_paused = true)]
async fn a_pinned_size_makes_nothing_smaller() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let kib = drbd_kib(&bench, "alpha");
    for pinned_kib in [kib, kib - 4096] {
        for node in ["alpha", "beta"] {
            bench.done(node, &pinned(node, pinned_kib)).await;
        }
        for node in ["alpha", "beta"] {
            assert_eq!(drbd_kib(&bench, node), kib);
            let file = bench.cluster.file(node, "/var/lib/linstor.d/Data.res");
            let file = file.expect("a file");
            assert!(file.contains(&format!("size {kib}k;")), "{file}");
        }
        bench.cluster.crash("beta");
        bench.cluster.boot("beta");
        bench.restart("beta");
        tokio::time::sleep(Duration::from_secs(30)).await;
        bench.connect("beta").await;
        bench.sync("beta", &[pinned("beta", pinned_kib)]).await;
        bench.converges("beta", "Data").await;
        assert_eq!(
            (drbd_kib(&bench, "beta"), disk(&bench, "beta").as_str()),
            (kib, "UpToDate")
        );
    }
    bench.rests().await;
}

/// A volume whose size is pinned grows as any other: in two steps, and not by a resync of all that is new.
#[tokio::test(start_paused = true)]
async fn a_pinned_volume_grows() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let kib = drbd_kib(&bench, "alpha");
    for node in ["alpha", "beta"] {
        bench.done(node, &pinned(node, kib)).await;
    }
    grow_storage(&mut bench, 2).await;
    let options = |mut spec: ResourceSpec| {
        let options = &mut layer(&mut spec).volumes[0].disk_options;
        options.insert("size".into(), format!("{kib}k"));
        spec
    };
    bench.push("beta", &options(grown("beta", 2, false))).await;
    bench.cluster.take_journal();
    bench.done("alpha", &options(grown("alpha", 2, true))).await;
    let commands = bench.changes();
    assert!(commands.contains("--assume-clean"), "{commands}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    for node in ["alpha", "beta"] {
        assert_eq!(drbd_kib(&bench, node), 2 * SIZE_KIB - 4096, "{commands}");
    }
    assert!(bench.cluster.differences("Data", 0).is_empty());
    bench.rests().await;
}

/// A node that goes down after its storage has grown, and comes back before or after the other's storage has, does not let
/// DRBD grow by itself: what is equal then is only what was. Once DRBD grows, all replicas are the same.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_down_while_a_volume_grew() {
    for early in [true, false] {
        let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
        up(&mut bench, TWO).await;
        let kib = drbd_kib(&bench, "alpha");
        let size = |mut spec: ResourceSpec| {
            let options = &mut layer(&mut spec).volumes[0].disk_options;
            options.insert("size".into(), format!("{kib}k"));
            spec
        };
        bench.done("beta", &size(grown("beta", 2, false))).await;
        bench.cluster.crash("beta");
        if !early {
            bench.push("alpha", &size(grown("alpha", 2, false))).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        bench.cluster.boot("beta");
        bench.restart("beta");
        tokio::time::sleep(Duration::from_secs(30)).await;
        bench.connect("beta").await;
        bench.sync("beta", &[size(grown("beta", 2, false))]).await;
        bench.done("alpha", &size(grown("alpha", 2, false))).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        for node in ["alpha", "beta"] {
            let state = (drbd_kib(&bench, node), disk(&bench, node));
            assert_eq!(state, (kib, "UpToDate".into()), "early: {early}, {node}");
        }
        bench.done("alpha", &size(grown("alpha", 2, true))).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        for node in ["alpha", "beta"] {
            assert_eq!(
                drbd_kib(&bench, node),
                2 * SIZE_KIB - 4096,
                "early: {early}"
            );
        }
        assert!(
            bench.cluster.differences("Data", 0).is_empty(),
            "early: {early}"
        );
        bench.rests().await;
    }
}
