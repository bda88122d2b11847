//! Resources made of snapshots: the content is that of the snapshot on every node, whatever the layers and providers.

use std::time::Duration;

use expect_test::expect;
use linstor_api::kind::StorageSuffix;
use linstor_fake_host::{Effect, Fault};
use linstor_host::{Cmd, Host};
use linstor_wire::Secret;
use linstor_wire::message::SuspensionState;
use linstor_wire::spec::{
    Action, InitialState, Instruction, LayerSpec, ResourceSpec, SnapshotSource, SnapshotSpec,
    SnapshotTarget, SnapshotVolumeSpec, Spec, Target,
};
use linstor_wire::status::Outcome;
use linstor_wire::{ToSatellite, Wanted};
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind, Heard};
use crate::drbd::{Layout, TWO, layer, nodes, spec};
use crate::luks::encrypted;
use crate::storage::{data, storage};

const LEASE: Uuid = Uuid::from_u128(0x1ea5e);
/// Names the instruction to make the volume.
const SOURCE: Uuid = Uuid::from_u128(0x50);
/// Blocks that tests write.
const BLOCKS: std::ops::Range<u64> = 0..8;

fn snapshot_uuid(node: &str) -> Uuid {
    Uuid::from_u128(0x51 + node.len() as u128)
}

/// A resource that is made of the snapshot of another one, which is of this form.
fn copy(of: &ResourceSpec, node: &str) -> ResourceSpec {
    let mut copy = of.clone();
    copy.name = "Copy".parse().unwrap();
    copy.uuid = Uuid::from_u128(of.uuid.as_u128() + 0x100);
    if let Some(drbd) = copy.drbd_mut() {
        drbd.port = 7001;
        drbd.peers.iter_mut().for_each(|peer| peer.port = 7001);
        drbd.volumes[0].minor = 1001;
        drbd.volumes[0].day0_gi = "C0B7C0B7C0B7C0B6".to_owned();
    }
    copy.once.push(Instruction {
        id: SOURCE,
        volume: 0,
        action: Action::RestoreSnapshot(SnapshotSource {
            resource: of.name.clone(),
            resource_uuid: of.uuid,
            snapshot: "s1".parse().unwrap(),
            snapshot_uuid: snapshot_uuid(node),
        }),
    });
    copy
}

/// Takes snapshot `s1` of a resource on a node.
async fn take(bench: &mut Bench, node: &str, of: &ResourceSpec) {
    let suspend = ToSatellite::Suspend {
        lease: LEASE,
        resources: vec![of.name.clone()],
        duration_ms: 20_000,
    };
    bench.send(node, suspend).await;
    let suspended =
        |heard: &Heard| heard.suspensions.last() == Some(&(LEASE, SuspensionState::Suspended));
    bench.until(node, "the suspension", suspended).await;
    let volumes = of.volumes[0].storage.iter();
    let volumes = volumes.map(|(suffix, storage)| SnapshotVolumeSpec {
        number: 0,
        suffix: *suffix,
        pool: storage.pool.clone(),
        size_kib: storage.size_kib,
        props: Default::default(),
    });
    let snapshot = SnapshotSpec {
        resource: of.name.clone(),
        name: "s1".parse().unwrap(),
        uuid: snapshot_uuid(node),
        resource_uuid: of.uuid,
        target: SnapshotTarget::Taken { lease: LEASE },
        // Of metadata on thick storage none can be taken, and none is needed.
        volumes: volumes
            .filter(|v| v.suffix == StorageSuffix::Data)
            .collect(),
    };
    let wanted = Wanted::new(&Spec::from(snapshot));
    let generation = bench.push_wanted(node, wanted).await;
    let taken = move |heard: &Heard| {
        let told = heard.outcomes.get("Data@s1");
        told.is_some_and(|(of, outcome)| *of >= generation && *outcome == Outcome::Done)
    };
    bench.until(node, "the snapshot", taken).await;
    bench.send(node, ToSatellite::Resume { lease: LEASE }).await;
    let resumed = |heard: &Heard| {
        let last = heard.suspensions.last();
        last.is_some_and(|(_, state)| *state != SuspensionState::Suspended)
    };
    bench.until(node, "that I/O goes on", resumed).await;
}

/// What an application reads on a node.
fn content(bench: &Bench, node: &str, resource: &str) -> Vec<u64> {
    let read = |block| bench.cluster.read(node, resource, 0, block);
    BLOCKS.map(|block| read(block).expect("read")).collect()
}

async fn open(bench: &Bench, node: &str, resource: &str, kind: DrbdKind) {
    if kind == DrbdKind::V84 {
        let primary = [
            "-c",
            &format!("/var/lib/linstor.d/{resource}.res"),
            "primary",
            resource,
        ];
        let primary = Cmd::new("drbdadm").args(primary);
        let done = bench.cluster.host(node).run(primary).await.expect("a host");
        assert!(done.success(), "{done:?}");
    }
    bench.cluster.open(node, resource, 0).expect("opened");
}

async fn close(bench: &Bench, node: &str, resource: &str, kind: DrbdKind) {
    bench.cluster.close(node, resource, 0);
    if kind == DrbdKind::V84 {
        let secondary = Cmd::new("drbdadm").args([
            "-c",
            &format!("/var/lib/linstor.d/{resource}.res"),
            "secondary",
            resource,
        ]);
        let done = bench.cluster.host(node).run(secondary).await;
        assert!(done.expect("a host").success());
    }
}

fn write(bench: &Bench, node: &str, resource: &str, from: u64) {
    for block in BLOCKS.step_by(2) {
        let written = bench.cluster.write(node, resource, 0, block, from + block);
        written.expect("written");
    }
}

/// The forms of a replicated resource: how its specs are changed.
type Form = fn(ResourceSpec) -> ResourceSpec;

fn external(mut spec: ResourceSpec) -> ResourceSpec {
    layer(&mut spec).volumes[0].internal_metadata_kib = 0;
    let kib = data(&mut spec).size_kib;
    spec.volumes[0].usable_kib = kib;
    let meta = storage("lvm", 4096);
    spec.volumes[0]
        .storage
        .insert(StorageSuffix::DrbdMeta, meta);
    spec
}

fn in_pool<const ZFS: bool>(mut spec: ResourceSpec) -> ResourceSpec {
    let pool = if ZFS { "zfsthin" } else { "filethin" };
    data(&mut spec).pool = pool.parse().unwrap();
    spec
}

/// In a thick volume: the snapshot is copied.
fn thick(mut spec: ResourceSpec) -> ResourceSpec {
    data(&mut spec).pool = "lvm".parse().unwrap();
    spec
}

/// Both replicas are up to date with the content of the moment of the snapshot; what is written from then on is replicated,
/// and the first resource has what it had.
#[tokio::test(start_paused = true)]
async fn replicas_are_equal() {
    let forms: [(&str, Form); 7] = [
        ("thin", |spec| spec),
        ("thick", thick),
        ("LUKS on thick", |spec| encrypted(thick(spec))),
        ("LUKS", encrypted),
        ("external metadata", external),
        ("ZFS", in_pool::<true>),
        ("FILE", in_pool::<false>),
    ];
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        for (what, form) in forms {
            let mut bench = nodes(&["alpha", "beta"], kind).await;
            let replica = |node| form(spec(node, TWO));
            bring_up(&mut bench, "Data", replica).await;
            open(&bench, "alpha", "Data", kind).await;
            write(&bench, "alpha", "Data", 10);
            let then = content(&bench, "alpha", "Data");
            for node in ["alpha", "beta"] {
                take(&mut bench, node, &replica(node)).await;
            }
            write(&bench, "alpha", "Data", 20);
            let now = content(&bench, "alpha", "Data");
            assert_ne!(then, now);
            bench.changes();
            bring_up(&mut bench, "Copy", |node| copy(&replica(node), node)).await;
            let commands = bench.changes();
            assert!(
                !commands.contains("luksFormat /dev/vg0/Copy_00000"),
                "{commands}"
            );
            assert!(!commands.contains("mkfs"), "{commands}");
            for node in ["alpha", "beta"] {
                let state = bench.cluster.drbd(node, "Copy", 0).expect("up");
                assert_eq!(state.disk, "UpToDate", "{what} {kind:?} {node}");
            }
            assert!(bench.cluster.differences("Copy", 0).is_empty());
            for node in ["alpha", "beta"] {
                open(&bench, node, "Copy", kind).await;
                assert_eq!(
                    content(&bench, node, "Copy"),
                    then,
                    "{what} {kind:?} {node}"
                );
                close(&bench, node, "Copy", kind).await;
            }
            open(&bench, "beta", "Copy", kind).await;
            write(&bench, "beta", "Copy", 30);
            close(&bench, "beta", "Copy", kind).await;
            assert!(bench.cluster.differences("Copy", 0).is_empty());
            assert_eq!(content(&bench, "alpha", "Data"), now, "{what} {kind:?}");
            assert!(bench.instructions_done("alpha").contains(&SOURCE));
            bench.rests().await;
        }
    }
}

/// Brings a resource up on both nodes.
async fn bring_up(bench: &mut Bench, name: &str, replica: impl Fn(&'static str) -> ResourceSpec) {
    for node in ["alpha", "beta"] {
        bench.push(node, &replica(node)).await;
    }
    for node in ["alpha", "beta"] {
        bench.converges(node, name).await;
    }
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
}

const ALONE: Layout<'_> = &[("alpha", false)];

/// A resource of these layers without DRBD.
fn plain(encrypt: bool) -> ResourceSpec {
    let mut plain = spec("alpha", ALONE);
    if encrypt {
        plain = encrypted(plain);
    }
    plain.layers.remove(0);
    plain.once.clear();
    plain
}

/// Every command of it, alone and encrypted: no header is written, none is wiped.
#[tokio::test(start_paused = true)]
async fn commands() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    bench.done("alpha", &plain(true)).await;
    take(&mut bench, "alpha", &plain(true)).await;
    bench.changes();
    let wanted = copy(&plain(true), "alpha");
    bench.done("alpha", &wanted).await;
    expect![[r#"
        alpha: lvcreate -y --snapshot --setactivationskip n --activate y --name Copy_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000001d0 vg0/Data_00000_s1
        alpha: cryptsetup open --tries 1 --allow-discards /dev/vg0/Copy_00000 Linstor-Crypt-Copy_00000
    "#]].assert_eq(&bench.changes());
    // Once it is made, the instruction is done, and nothing is done again.
    assert!(bench.instructions_done("alpha").contains(&SOURCE));
    let mut later = wanted.clone();
    later.once.clear();
    bench.done("alpha", &later).await;
    assert_eq!(bench.changes(), "");
    // With another key: that of the header is replaced.
    let mut other = copy(&plain(true), "alpha");
    other.name = "Copy2".parse().unwrap();
    other.uuid = Uuid::from_u128(0x222);
    let LayerSpec::Luks(luks) = &mut other.layers[0] else {
        panic!("no LUKS layer")
    };
    let former = std::mem::replace(&mut luks.volumes[0].key, Secret::new("canary-key-2"));
    other.once.push(Instruction {
        id: Uuid::from_u128(0x52),
        volume: 0,
        action: Action::ChangeLuksKey { former },
    });
    bench.done("alpha", &other).await;
    assert!(bench.changes().contains("luksChangeKey"));
    for entry in bench.cluster.journal() {
        assert!(!entry.text.contains("canary"), "{entry}");
    }
}

/// A snapshot that is not there, or not the one that was taken, is a failure with the reason; an empty volume is not made.
/// A volume that was in use and is lost is not made of the snapshot once more.
#[tokio::test(start_paused = true)]
async fn an_older_content_is_not_made_again() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    let wanted = |node| copy(&spec(node, TWO), node);
    let said = bench.fails("alpha", &wanted("alpha")).await;
    assert!(said.contains("does not exist on this node"), "{said}");
    assert_eq!(bench.cluster.logical_volumes("alpha", "vg0"), ["thin"]);
    bring_up(&mut bench, "Data", |node| spec(node, TWO)).await;
    for node in ["alpha", "beta"] {
        take(&mut bench, node, &spec(node, TWO)).await;
    }
    let mut other = wanted("alpha");
    for instruction in &mut other.once {
        if let Action::RestoreSnapshot(source) = &mut instruction.action {
            source.snapshot_uuid = Uuid::from_u128(0x99);
        }
    }
    let said = bench.fails("alpha", &other).await;
    assert!(said.contains("does not belong to this resource"), "{said}");
    bring_up(&mut bench, "Copy", wanted).await;
    open(&bench, "alpha", "Copy", DrbdKind::V9).await;
    write(&bench, "alpha", "Copy", 40);
    let newest = content(&bench, "alpha", "Copy");
    bench.cluster.run_on("beta", "drbdsetup", &["down", "Copy"]);
    bench
        .cluster
        .run_on("beta", "lvremove", &["-f", "vg0/Copy_00000"]);
    // The controller has not heard yet that it was made.
    bench.restart("beta");
    bench.connect("beta").await;
    bench
        .sync("beta", &[spec("beta", TWO), wanted("beta")])
        .await;
    bench.converges("beta", "Copy").await;
    assert!(bench.cluster.quiesce(Duration::from_secs(300)).await);
    assert!(bench.cluster.differences("Copy", 0).is_empty());
    assert_eq!(content(&bench, "alpha", "Copy"), newest);
}

/// Parts of a snapshot are equal, so that nothing is synchronised: what somebody writes on one of them remains. Where they
/// may differ, one of them counts and the others get all of it.
#[tokio::test(start_paused = true)]
async fn parts_that_differ_are_synchronised() {
    for (kind, initial) in [
        (DrbdKind::V9, InitialState::SameAsDay0),
        (DrbdKind::V84, InitialState::SameAsDay0),
        (DrbdKind::V9, InitialState::FullSync),
        (DrbdKind::V84, InitialState::FullSync),
    ] {
        let mut bench = nodes(&["alpha", "beta"], kind).await;
        bring_up(&mut bench, "Data", |node| spec(node, TWO)).await;
        for node in ["alpha", "beta"] {
            let device = "/dev/vg0/Data_00000";
            bench.cluster.poke(node, device, 2, node.len() as u64);
            take(&mut bench, node, &spec(node, TWO)).await;
        }
        let replica = |node| {
            let mut replica = copy(&spec(node, TWO), node);
            layer(&mut replica).volumes[0].initial = initial;
            replica
        };
        bring_up(&mut bench, "Copy", replica).await;
        let read = |node| bench.cluster.peek(node, "/dev/vg0/Copy_00000", 2);
        let on_beta = match initial {
            InitialState::SameAsDay0 => 4,
            InitialState::FullSync => 5,
        };
        assert_eq!(
            (read("alpha"), read("beta")),
            (Some(5), Some(on_beta)),
            "{kind:?}"
        );
    }
}

/// Any command may fail, or be the last one before the power goes: afterwards the content is that of the snapshot.
#[tokio::test(start_paused = true)]
async fn whatever_is_interrupted() {
    let small = |spec: ResourceSpec| {
        // Each mebibyte is a command of its own.
        let mut spec = thick(spec);
        let smaller = data(&mut spec).size_kib - 8 * 1024;
        data(&mut spec).size_kib -= smaller;
        spec.volumes[0].usable_kib -= smaller;
        spec
    };
    let forms: [(&str, &dyn Fn(ResourceSpec) -> ResourceSpec); 3] = [
        ("thin", &|spec| spec),
        ("LUKS", &encrypted),
        ("thick", &small),
    ];
    for (what, form) in forms {
        for effect in [
            Effect::FailsBefore(1),
            Effect::FailsAfter(1),
            Effect::CrashBefore,
            Effect::CrashAfter,
        ] {
            for nth in 0.. {
                let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
                let first = form(spec("alpha", ALONE));
                bench.done("alpha", &first).await;
                open(&bench, "alpha", "Data", DrbdKind::V9).await;
                write(&bench, "alpha", "Data", 10);
                let then = content(&bench, "alpha", "Data");
                take(&mut bench, "alpha", &first).await;
                close(&bench, "alpha", "Data", DrbdKind::V9).await;
                let mut down = first.clone();
                down.target = Target::Down;
                bench.done("alpha", &down).await;
                let wanted = copy(&first, "alpha");
                bench.changes();
                let fault = Fault::next_change("alpha", effect);
                bench.cluster.inject(fault.after(nth));
                bench.push("alpha", &wanted).await;
                tokio::time::sleep(Duration::from_secs(20)).await;
                let unspent = bench.cluster.disarm();
                if !bench.cluster.is_up("alpha") {
                    bench.cluster.boot("alpha");
                    bench.restart("alpha");
                    bench.connect("alpha").await;
                    bench.sync("alpha", &[down.clone(), wanted.clone()]).await;
                }
                bench.converges("alpha", "Copy").await;
                assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
                open(&bench, "alpha", "Copy", DrbdKind::V9).await;
                let made = content(&bench, "alpha", "Copy");
                assert_eq!(made, then, "{what} {effect:?} {nth}: {}", bench.changes());
                if unspent > 0 {
                    break;
                }
            }
        }
    }
}

/// How far a copy is, is reported; one of a resource that is deleted ends before its volume is removed.
#[tokio::test(start_paused = true)]
async fn a_copy_is_given_up() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let first = thick(plain(false));
    bench.done("alpha", &first).await;
    take(&mut bench, "alpha", &first).await;
    let made = bench.changes();
    assert!(made.contains("lvcreate -y --snapshot --size "), "{made}");
    let slow = Effect::Slow(Duration::from_secs(1));
    let fault = Fault::next_change("alpha", slow).after(4).times(1000);
    bench.cluster.inject(fault);
    let mut wanted = copy(&first, "alpha");
    bench.push("alpha", &wanted).await;
    let is_told = |heard: &Heard| match heard.outcomes.get("Copy") {
        Some((
            _,
            Outcome::Waiting {
                on, done_percent, ..
            },
        )) => on == "the data of volume 0 to be copied" && done_percent.is_some_and(|p| p > 5),
        _ => false,
    };
    bench.until("alpha", "how far the copy is", is_told).await;
    wanted.target = Target::Destroyed;
    wanted.once.clear();
    bench.done("alpha", &wanted).await;
    bench.cluster.disarm();
    bench.changes();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.changes(), "", "nothing is written any more");
    let left = bench.cluster.logical_volumes("alpha", "vg0");
    assert_eq!(left, ["Data_00000", "Data_00000_s1", "thin"]);
}
