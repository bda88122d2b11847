//! Snapshots of every provider, and volumes made of them: commands, content, failures, the order of deletion.

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use linstor_api::code;
use linstor_fake_host::{DrbdKind, Effect, FakeCluster, Fault};
use linstor_satellite::check::PoolPlace;
use linstor_satellite::failure::Result;
use linstor_satellite::machine::Machine;
use linstor_satellite::observation::Observations;
use linstor_satellite::providers::{
    self, Backing, Owner, Presence, SnapshotOf, Storage, Wanted, file,
};
use linstor_wire::spec::Props;
use uuid::Uuid;

const CLUSTER: Uuid = Uuid::from_u128(0xc1);
/// Blocks that tests write.
const BLOCKS: std::ops::Range<u64> = 0..8;

/// A node, and the providers on it.
struct Node {
    cluster: FakeCluster,
    machine: Machine,
    observations: Observations,
    place: PoolPlace,
    props: Props,
}

fn owner(id: u128) -> Owner {
    Owner {
        cluster: CLUSTER,
        resource: Uuid::from_u128(id),
    }
}

/// Names of the kinds of pools that have snapshots.
const KINDS: [&str; 5] = ["thin", "zfs", "zfsthin", "file", "filethin"];

impl Node {
    fn new(kind: &str) -> Node {
        let cluster = FakeCluster::new(1);
        let host = cluster.add_host("alpha", DrbdKind::V9);
        cluster.add_volume_group("alpha", "vg0", 4 << 20);
        cluster.add_thin_pool("alpha", "vg0", "thin", 2 << 20);
        cluster.add_zpool("alpha", "tank", 4 << 20);
        cluster.add_mount("alpha", "/srv/pool", 4 << 20);
        let place = match kind {
            "lvm" => PoolPlace::Lvm { vg: "vg0".into() },
            "thin" => PoolPlace::LvmThin {
                vg: "vg0".into(),
                pool: "thin".into(),
            },
            "zfs" | "zfsthin" => PoolPlace::Zfs {
                dataset: "tank".into(),
                sparse: kind == "zfsthin",
            },
            _ => PoolPlace::File {
                directory: "/srv/pool".into(),
                sparse: kind == "filethin",
            },
        };
        Node {
            cluster,
            machine: Machine::new(Arc::new(host)),
            observations: Observations::new(Duration::from_secs(60)),
            place,
            props: Props::new(),
        }
    }

    fn storage(&self) -> Storage<'_> {
        Storage {
            machine: &self.machine,
            observations: &self.observations,
        }
    }

    fn wanted<'a>(&'a self, name: &'a str, source: Option<SnapshotOf<'a>>) -> Wanted<'a> {
        Wanted {
            name,
            size_kib: 102_400,
            owner: owner(number(name)),
            props: &self.props,
            is_new: true,
            source,
        }
    }

    async fn make(&self, name: &str, source: Option<SnapshotOf<'_>>) -> Result<Backing> {
        providers::ensure(self.storage(), &self.place, &self.wanted(name, source)).await
    }

    /// Snapshot `snapshot` of volume `volume`.
    fn of<'a>(&'a self, volume: &'a str, snapshot: &'a str) -> SnapshotOf<'a> {
        SnapshotOf {
            volume,
            volume_owner: owner(number(volume)),
            snapshot,
            owner: owner(number(volume) << 64 | number(snapshot)),
            props: &self.props,
        }
    }

    async fn take(&self, of: SnapshotOf<'_>) -> Result<Backing> {
        providers::take_snapshot(self.storage(), &self.place, &of).await
    }

    async fn destroy(&self, name: &str) -> Result<()> {
        let owner = owner(number(name));
        providers::destroy(self.storage(), &self.place, name, owner).await
    }

    async fn destroy_snapshot(&self, of: SnapshotOf<'_>) -> Result<()> {
        providers::destroy_snapshot(self.storage(), &self.place, &of).await
    }

    async fn find(&self, of: SnapshotOf<'_>) -> Presence {
        let found = providers::find_snapshot(self.storage(), &self.place, &of).await;
        found.expect("it can be looked for")
    }

    fn write(&self, volume: &Backing, from: u64) {
        for block in BLOCKS.step_by(2) {
            let value = from + block;
            self.cluster.poke("alpha", &volume.path, block, value);
        }
    }

    fn content(&self, volume: &Backing) -> Vec<u64> {
        let read = |block| self.cluster.peek("alpha", &volume.path, block);
        BLOCKS.map(|block| read(block).expect("a block")).collect()
    }

    /// Commands that changed something since the last call.
    fn changes(&self) -> String {
        let journal = self.cluster.take_journal();
        let changes = journal.iter().filter(|entry| entry.mutating);
        let text = |text: String| match (text.find(" --config"), text.find("r|.*|\"] }' ")) {
            (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to + 10..]),
            _ => text,
        };
        changes
            .map(|entry| format!("{}\n", text(entry.to_string())))
            .collect()
    }
}

/// A number that belongs to a name.
fn number(name: &str) -> u128 {
    name.bytes()
        .fold(1, |number, byte| number * 31 % 1_000_003 + u128::from(byte))
}

/// What was written after the snapshot is not in the volume that is made of it; what is written there is not in the first
/// one. Taken, made or destroyed a second time, nothing is changed.
async fn check(kind: &str, expected: Expect) {
    let node = Node::new(kind);
    let volume = node.make("a_00000", None).await.expect("a volume");
    node.write(&volume, 10);
    let then = node.content(&volume);
    node.changes();
    let mut text = String::from("take\n");
    let taken = node
        .take(node.of("a_00000", "s1"))
        .await
        .expect("a snapshot");
    text.push_str(&node.changes());
    assert!(
        taken.size_kib >= 102_400 && taken.allocated_kib.is_some(),
        "{taken:?}"
    );
    let again = node
        .take(node.of("a_00000", "s1"))
        .await
        .expect("a snapshot");
    assert_eq!(again.path, taken.path);
    assert!(matches!(
        node.find(node.of("a_00000", "s1")).await,
        Presence::Present(_)
    ));
    node.write(&volume, 20);
    let source = node.of("a_00000", "s1");
    assert_eq!(node.changes(), "");
    text.push_str("restore\n");
    let copy = node.make("b_00000", Some(source)).await.expect("a copy");
    text.push_str(&node.changes());
    assert_eq!(node.content(&copy), then, "{kind}");
    node.write(&copy, 30);
    let copied = node.content(&copy);
    assert_ne!(node.content(&volume), copied);
    node.make("b_00000", Some(source)).await.expect("a copy");
    assert_eq!(
        (node.content(&copy), node.changes()),
        (copied, String::new())
    );
    text.push_str("destroy\n");
    node.destroy_snapshot(source).await.expect("destroyed");
    node.destroy_snapshot(source).await.expect("destroyed");
    assert_eq!(node.find(source).await, Presence::Absent);
    node.destroy("b_00000").await.expect("destroyed");
    text.push_str(&node.changes());
    expected.assert_eq(&text);
}

#[tokio::test(start_paused = true)]
async fn lvm_thin() {
    check("thin", expect![[r#"
        take
        alpha: lvcreate -y --snapshot --setactivationskip y --ignoreactivationskip --activate y --permission r --noudevsync --ignoremonitoring --name a_00000_s1 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-000a-a6ca-0000-0000000011df vg0/a_00000
        restore
        alpha: lvcreate -y --snapshot --setactivationskip n --activate y --name b_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000309a3 vg0/a_00000_s1
        destroy
        alpha: lvchange -an vg0/a_00000_s1
        alpha: lvremove -f vg0/a_00000_s1
        alpha: lvchange -an vg0/b_00000
        alpha: lvremove -f vg0/b_00000
    "#]]).await;
}

/// The snapshot cannot be destroyed while there is a volume of it: it is renamed, and destroyed with that volume.
#[tokio::test(start_paused = true)]
async fn zfs() {
    check("zfs", expect![[r#"
        take
        alpha: zfs snapshot -o linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/00000000-000a-a6ca-0000-0000000011df tank/a_00000@s1
        restore
        alpha: zfs clone -o linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/00000000-0000-0000-0000-0000000309a3 -o refreservation=102400KB tank/a_00000@s1 tank/b_00000
        destroy
        alpha: zfs rename tank/a_00000@s1 tank/a_00000@_deleted_s1_00000000000aa6ca00000000000011df
        alpha: zfs set linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/deleted tank/a_00000@_deleted_s1_00000000000aa6ca00000000000011df
        alpha: zfs destroy tank/b_00000
        alpha: zfs destroy tank/a_00000@_deleted_s1_00000000000aa6ca00000000000011df
    "#]]).await;
}

#[tokio::test(start_paused = true)]
async fn zfs_thin() {
    check("zfsthin", expect![[r#"
        take
        alpha: zfs snapshot -o linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/00000000-000a-a6ca-0000-0000000011df tank/a_00000@s1
        restore
        alpha: zfs clone -o linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/00000000-0000-0000-0000-0000000309a3 tank/a_00000@s1 tank/b_00000
        destroy
        alpha: zfs rename tank/a_00000@s1 tank/a_00000@_deleted_s1_00000000000aa6ca00000000000011df
        alpha: zfs set linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/deleted tank/a_00000@_deleted_s1_00000000000aa6ca00000000000011df
        alpha: zfs destroy tank/b_00000
        alpha: zfs destroy tank/a_00000@_deleted_s1_00000000000aa6ca00000000000011df
    "#]]).await;
}

#[tokio::test(start_paused = true)]
async fn files() {
    check(
        "filethin",
        expect![[r#"
        take
        alpha: write /srv/pool/a_00000_s1.img.owner
        alpha: cp --reflink=always /srv/pool/a_00000.img /srv/pool/a_00000_s1.img.copy
        alpha: rename /srv/pool/a_00000_s1.img.copy
        restore
        alpha: write /srv/pool/b_00000.img.owner
        alpha: cp --reflink=always /srv/pool/a_00000_s1.img /srv/pool/b_00000.img.copy
        alpha: rename /srv/pool/b_00000.img.copy
        alpha: losetup -f --show /srv/pool/b_00000.img
        destroy
        alpha: remove /srv/pool/a_00000_s1.img
        alpha: remove /srv/pool/a_00000_s1.img.owner
        alpha: losetup -d /dev/loop1
        alpha: remove /srv/pool/b_00000.img
        alpha: remove /srv/pool/b_00000.img.owner
    "#]],
    )
    .await;
}

/// Volumes, their snapshots, and volumes made of them are destroyed in every order: each is gone by its name at once, what
/// remains has its content, and in the end nothing is left.
#[tokio::test(start_paused = true)]
async fn every_order_of_deletion() {
    for kind in KINDS {
        for order in 0..120 {
            let node = Node::new(kind);
            let of_a = node.of("a_00000", "s1");
            let of_b = node.of("b_00000", "s2");
            let a = node.make("a_00000", None).await.expect("a");
            node.write(&a, 10);
            node.take(of_a).await.expect("s1");
            let b = node.make("b_00000", Some(of_a)).await.expect("b");
            node.write(&b, 20);
            node.take(of_b).await.expect("s2");
            let c = node.make("c_00000", Some(of_b)).await.expect("c");
            let mut volumes = vec![("a_00000", a), ("b_00000", b), ("c_00000", c)];
            let content = |volumes: &[(&str, Backing)]| {
                let all = volumes.iter();
                all.map(|(_, volume)| node.content(volume))
                    .collect::<Vec<_>>()
            };
            let mut steps = vec!["a_00000", "b_00000", "c_00000", "s1", "s2"];
            let mut index = order;
            while !steps.is_empty() {
                let at = index % steps.len();
                index /= steps.len();
                let name = steps.remove(at);
                let of = if name == "s1" { of_a } else { of_b };
                volumes.retain(|(volume, _)| *volume != name);
                let before = content(&volumes);
                match name {
                    "s1" | "s2" => node.destroy_snapshot(of).await.expect("destroyed"),
                    _ => node.destroy(name).await.expect("destroyed"),
                }
                assert_eq!(content(&volumes), before, "{kind} {order}");
                if name.starts_with('s') {
                    assert_eq!(node.find(of).await, Presence::Absent);
                }
            }
            assert_eq!(left(&node), Vec::<String>::new(), "{kind} {order}");
        }
    }
}

/// What is in the pools.
fn left(node: &Node) -> Vec<String> {
    let mut left = node.cluster.logical_volumes("alpha", "vg0");
    left.retain(|name| name != "thin");
    left.extend(node.cluster.zfs_volumes("alpha"));
    let files = node.cluster.files("alpha").into_keys();
    left.extend(files.chain(node.cluster.images("alpha")));
    left
}

/// Whichever command fails, before or after it did its work: the same calls again reach the end, with the right content.
#[tokio::test(start_paused = true)]
async fn every_failure_is_overcome() {
    for kind in KINDS {
        for effect in [Effect::FailsBefore(5), Effect::FailsAfter(5), Effect::Lies] {
            let mut skip = 0;
            while overcome(kind, effect, skip).await {
                skip += 1;
            }
            assert!(skip > 4, "{kind}: too few commands");
        }
    }
}

async fn overcome(kind: &str, effect: Effect, skip: u32) -> bool {
    let node = Node::new(kind);
    let a = node.make("a_00000", None).await.expect("a volume");
    node.write(&a, 10);
    let then = node.content(&a);
    let fault = Fault::next_change("alpha", effect).after(skip);
    node.cluster.inject(fault);
    let of = node.of("a_00000", "s1");
    let what = format!("{kind} {effect:?} {skip}");
    again(&what, async || node.take(of).await).await;
    node.write(&a, 20);
    let make = async || node.make("b_00000", Some(of)).await;
    let copy = again(&what, make).await;
    assert_eq!(node.content(&copy), then, "{what}");
    again(&what, async || node.destroy("a_00000").await).await;
    again(&what, async || node.destroy_snapshot(of).await).await;
    assert_eq!(node.content(&copy), then, "{what}");
    again(&what, async || node.destroy("b_00000").await).await;
    let struck = node.cluster.disarm() == 0;
    let reaped = providers::reap(node.storage(), &node.place, CLUSTER);
    reaped.await.expect("nothing fails any more");
    let left = left(&node);
    assert_eq!(left, Vec::<String>::new(), "{what}");
    struck
}

/// What a call returns that may fail some times.
async fn again<T>(what: &str, call: impl AsyncFn() -> Result<T>) -> T {
    let mut failed = call().await;
    for _ in 0..5 {
        match failed {
            Ok(found) => return found,
            Err(_) => failed = call().await,
        }
    }
    panic!("{what}: {}", failed.err().expect("a failure"));
}

/// A snapshot of the right name that is not ours is neither used nor destroyed, and none is taken of a volume that is not
/// ours.
#[tokio::test(start_paused = true)]
async fn foreign_snapshots_are_left_alone() {
    for kind in KINDS {
        let node = Node::new(kind);
        node.make("a_00000", None).await.expect("a volume");
        let of = node.of("a_00000", "s1");
        let other = SnapshotOf {
            owner: owner(7),
            ..of
        };
        node.take(other).await.expect("a snapshot");
        node.changes();
        assert!(
            matches!(node.find(of).await, Presence::Foreign(_)),
            "{kind}"
        );
        let refused = node.take(of).await.expect_err("not ours");
        assert!(refused.message().contains("does not belong"), "{refused}");
        node.make("b_00000", Some(of)).await.expect_err("not ours");
        node.destroy_snapshot(of).await.expect("destroyed already");
        let of_other = SnapshotOf {
            volume_owner: owner(8),
            ..node.of("a_00000", "s2")
        };
        node.take(of_other).await.expect_err("not our volume");
        assert!(
            matches!(node.find(other).await, Presence::Present(_)),
            "{kind}"
        );
    }
}

/// A volume has a snapshot that somebody made by hand: the volume's name is free at once, and the snapshot stays.
#[tokio::test(start_paused = true)]
async fn a_snapshot_made_by_hand_outlives_its_volume() {
    let node = Node::new("zfs");
    node.make("a_00000", None).await.expect("a volume");
    node.cluster
        .run_on("alpha", "zfs", &["snapshot", "tank/a_00000@mine"]);
    node.observations.all_unknown().await;
    node.destroy("a_00000").await.expect("destroyed");
    let reaped = providers::reap(node.storage(), &node.place, CLUSTER);
    reaped.await.expect("nothing to destroy");
    let left = node.cluster.zfs_volumes("alpha");
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().any(|name| name.ends_with("@mine")), "{left:?}");
    node.make("a_00000", None).await.expect("the name is free");
}

/// Where there can be no snapshot the reason is said, and nothing is left of the attempt.
#[tokio::test(start_paused = true)]
async fn refused_where_not_supported() {
    for kind in ["file", "filethin"] {
        let node = Node::new(kind);
        node.cluster.without_reflinks("alpha", "/srv/pool");
        node.make("a_00000", None).await.expect("a volume");
        let before = left(&node);
        let of = node.of("a_00000", "s1");
        let refused = node.take(of).await.expect_err("no snapshots");
        assert_eq!(
            refused.code(),
            code::FAIL_SNAPSHOTS_NOT_SUPPORTED,
            "{refused}"
        );
        assert_eq!(left(&node), before);
        assert!(refused.to_string().contains("no reflinks"), "{refused}");
    }
}

/// A snapshot of a thick volume has what the volume had, is removed without it, and is refused where there is no room for
/// all that may be overwritten.
#[tokio::test(start_paused = true)]
async fn a_thick_volume_outlives_its_snapshot() {
    let node = Node::new("lvm");
    node.make("a_00000", None).await.expect("a volume");
    let (device, snapshot) = ("/dev/vg0/a_00000", "/dev/vg0/a_00000_s1");
    node.cluster.poke("alpha", device, 2, 7);
    let of = node.of("a_00000", "s1");
    let taken = node.take(of).await.expect("a snapshot");
    assert_eq!(taken.path, snapshot);
    node.cluster.poke("alpha", device, 2, 8);
    let read = |path| node.cluster.peek("alpha", path, 2);
    assert_eq!((read(device), read(snapshot)), (Some(8), Some(7)));
    node.destroy_snapshot(of).await.expect("destroyed");
    assert_eq!(node.find(of).await, Presence::Absent);
    assert_eq!(read(device), Some(8), "it is active still");
    node.cluster.run_on(
        "alpha",
        "lvcreate",
        &["-y", "-L", "1900m", "-n", "other", "vg0"],
    );
    node.observations.lvm_unknown("vg0").await;
    let refused = node.take(of).await.expect_err("no room");
    assert_eq!(
        refused.code(),
        code::FAIL_NOT_ENOUGH_FREE_SPACE,
        "{refused}"
    );
}

/// Whether a directory's file system has reflinks is tried once.
#[tokio::test(start_paused = true)]
async fn reflinks_are_tried() {
    for has in [true, false] {
        let node = Node::new("file");
        if !has {
            node.cluster.without_reflinks("alpha", "/srv/pool");
        }
        let host = node.cluster.host("alpha");
        let path = "/srv/pool/.linstor-directory";
        let write = linstor_host::Host::write_atomic(&host, path.as_ref(), b"1", 0o600);
        write.await.expect("a file");
        for _ in 0..2 {
            let found = file::has_reflinks(node.storage(), "/srv/pool", path).await;
            assert_eq!(found.expect("it can be tried"), Some(has));
        }
        let changes = node.changes();
        assert_eq!(
            changes.matches("cp --reflink=always").count(),
            1,
            "{changes}"
        );
        assert_eq!(left(&node), [path], "nothing is left");
    }
}

/// A volume of a snapshot is made in the size that is asked for if that is larger, and grows as others do.
#[tokio::test(start_paused = true)]
async fn a_copy_can_be_larger() {
    for kind in KINDS {
        let node = Node::new(kind);
        let volume = node.make("a_00000", None).await.expect("a volume");
        node.write(&volume, 10);
        let of = node.of("a_00000", "s1");
        node.take(of).await.expect("a snapshot");
        let mut wanted = node.wanted("b_00000", Some(of));
        wanted.size_kib = 204_800;
        let copy = providers::ensure(node.storage(), &node.place, &wanted).await;
        let copy = copy.expect("a copy");
        assert_eq!(node.content(&copy), node.content(&volume), "{kind}");
        let size = node.cluster.device_kib("alpha", &copy.path);
        assert_eq!(size, Some(204_800), "{kind}");
    }
}

/// A volume is made anew of its snapshots, time and again, under its own name and for its own resource; each snapshot
/// remains, and all can be destroyed afterwards.
#[tokio::test(start_paused = true)]
async fn made_anew_of_its_snapshots() {
    for kind in KINDS {
        let node = Node::new(kind);
        let volume = node.make("a_00000", None).await.expect("a volume");
        let (first, second) = (node.of("a_00000", "s1"), node.of("a_00000", "s2"));
        node.write(&volume, 10);
        let then = node.content(&volume);
        node.take(first).await.expect("s1");
        node.write(&volume, 20);
        let later = node.content(&volume);
        node.take(second).await.expect("s2");
        for (of, content) in [
            (first, &then),
            (second, &later),
            (first, &then),
            (first, &then),
        ] {
            let owner = node.wanted("a_00000", None).owner;
            let destroyed = providers::destroy(node.storage(), &node.place, "a_00000", owner);
            destroyed.await.expect("destroyed");
            let wanted = node.wanted("a_00000", Some(of));
            let made = providers::ensure(node.storage(), &node.place, &wanted).await;
            let made = made.expect("made anew");
            assert_eq!(&node.content(&made), content, "{kind}");
        }
        let owner = node.wanted("a_00000", None).owner;
        let destroyed = providers::destroy(node.storage(), &node.place, "a_00000", owner);
        destroyed.await.expect("destroyed");
        for of in [first, second] {
            let destroyed = providers::destroy_snapshot(node.storage(), &node.place, &of);
            destroyed.await.expect("destroyed");
        }
        assert_eq!(left(&node), Vec::<String>::new(), "{kind}");
    }
}

/// ZFS rolls back to the most recent snapshot only, and not while the volume is in use.
#[tokio::test(start_paused = true)]
async fn rolled_back_in_place() {
    let node = Node::new("zfs");
    let volume = node.make("a_00000", None).await.expect("a volume");
    let (first, second) = (node.of("a_00000", "s1"), node.of("a_00000", "s2"));
    node.write(&volume, 10);
    node.take(first).await.expect("s1");
    node.write(&volume, 20);
    let then = node.content(&volume);
    node.take(second).await.expect("s2");
    node.write(&volume, 30);
    let refused = providers::roll_back(node.storage(), &node.place, &first).await;
    let refused = refused.expect_err("there is a later one").to_string();
    assert!(refused.contains("more recent snapshots"), "{refused}");
    node.cluster.mount("alpha", &volume.path, "/mnt");
    let refused = providers::roll_back(node.storage(), &node.place, &second).await;
    assert_eq!(refused.expect_err("in use").code(), code::FAIL_IN_USE);
    node.cluster.close_device("alpha", &volume.path);
    let done = providers::roll_back(node.storage(), &node.place, &second).await;
    done.expect("rolled back");
    assert_eq!(node.content(&volume), then);
    for kind in ["lvm", "thin", "filethin"] {
        let node = Node::new(kind);
        let of = node.of("a_00000", "s1");
        let refused = providers::roll_back(node.storage(), &node.place, &of).await;
        refused.expect_err("not in place");
    }
}

/// Options of the storage programs are those of the property; others are refused before anything is run.
#[tokio::test(start_paused = true)]
async fn options_of_properties() {
    let cases = [
        (
            "thin",
            "StorDriver/LvcreateSnapshotOptions",
            "--monitor n",
            "--name x",
        ),
        ("zfs", "StorDriver/ZfsSnapshotOptions", "-o my:prop=1", "-r"),
    ];
    for (kind, key, good, bad) in cases {
        let mut node = Node::new(kind);
        node.make("a_00000", None).await.expect("a volume");
        node.changes();
        node.props.insert(key.into(), bad.into());
        let refused = node.take(node.of("a_00000", "s1")).await;
        assert_eq!(refused.expect_err("refused").code(), code::FAIL_INVLD_PROP);
        assert_eq!(node.changes(), "");
        node.props.insert(key.into(), good.into());
        if kind == "zfs" {
            node.take(node.of("a_00000", "s1")).await.expect("taken");
            assert!(node.changes().contains(good));
        }
    }
}
