//! DRBD above storage, both kinds.

use std::time::Duration;

use expect_test::expect;
use linstor_api::drbd_state::{ConnectionState, DiskState, ReplicationState};
use linstor_api::kind::StorageSuffix;
use linstor_fake_host::{Effect, Fault};
use linstor_wire::Secret;
use linstor_wire::spec::{
    Action, DrbdSpec, DrbdVolumeSpec, InitialState, Instruction, LayerSpec, PeerSpec, Props,
    ResourceSpec, StorageRef, Target, VolumeSpec,
};
use linstor_wire::status::Outcome;
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind};
use crate::storage::{make_file_system, storage};

pub(crate) const SIZE_KIB: u64 = 102_400;

/// Where replicas are: name, diskless. Node ids follow the order.
pub(crate) type Layout<'a> = &'a [(&'a str, bool)];

fn address(name: &str) -> std::net::IpAddr {
    let last = ["alpha", "beta", "gamma"]
        .iter()
        .position(|n| *n == name)
        .expect("a node")
        + 1;
    format!("10.77.0.{last}").parse().expect("an address")
}

/// The spec of a resource on one node; the first node holds the first copy.
pub(crate) fn spec(me: &str, layout: Layout<'_>) -> ResourceSpec {
    let my_id = layout
        .iter()
        .position(|(n, _)| *n == me)
        .expect("a replica");
    let (_, diskless) = layout[my_id];
    let peers = layout
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| *name != me)
        .map(|(id, (name, diskless))| PeerSpec {
            node: name.parse().unwrap(),
            uname: (*name).into(),
            node_id: id as u32,
            address: address(name),
            port: 7000,
            local_address: None,
            paths: Vec::new(),
            diskless: *diskless,
            tiebreaker: true,
            net_options: Props::new(),
            disk_options: Props::new(),
        })
        .collect();
    let new_generation = Instruction {
        id: Uuid::from_u128(0xf0),
        volume: 0,
        action: Action::NewGeneration,
    };
    let disk = (StorageSuffix::Data, storage("thin", SIZE_KIB));
    ResourceSpec {
        name: "Data".parse().unwrap(),
        uuid: Uuid::from_u128(0xd0 + my_id as u128),
        target: Target::Up,
        allow_last_copy: false,
        layers: vec![
            LayerSpec::Drbd(Box::new(DrbdSpec {
                secret: Secret::new("c2VjcmV0c2VjcmV0c2Vj"),
                node_id: my_id as u32,
                uname: me.into(),
                address: address(me),
                port: 7000,
                diskless,
                skip_disk: false,
                peer_slots: 7,
                al_stripes: 1,
                al_stripe_kib: 32,
                options: Props::new(),
                net_options: Props::new(),
                disk_options: Props::new(),
                handlers: Props::new(),
                peers,
                volumes: vec![DrbdVolumeSpec {
                    number: 0,
                    minor: 1000,
                    day0_gi: "DA0DA0DA0DA0DA00".into(),
                    initial: InitialState::SameAsDay0,
                    grow: false,
                    grow_assume_clean: false,
                    granularity_kib: 0,
                    internal_metadata_kib: 4096,
                    disk_options: Props::new(),
                }],
            })),
            LayerSpec::Storage,
        ],
        volumes: vec![VolumeSpec {
            number: 0,
            target: Target::Up,
            usable_kib: SIZE_KIB - 4096,
            fixed_size: false,
            storage: [disk].into_iter().filter(|_| !diskless).collect(),
        }],
        destroy_storage: Vec::new(),
        once: [new_generation]
            .into_iter()
            .filter(|_| my_id == 0)
            .collect(),
        roll_back: None,
        shared: None,
    }
}

/// The DRBD layer of a spec.
pub(crate) fn layer(spec: &mut ResourceSpec) -> &mut DrbdSpec {
    spec.drbd_mut().expect("a DRBD layer")
}

pub(crate) async fn nodes(names: &[&str], kind: DrbdKind) -> Bench {
    let mut bench = Bench::new();
    for name in names {
        bench.add_node(name, kind).await;
    }
    bench
}

/// Brings all replicas up, as a controller does: all specs first, then the waiting.
pub(crate) async fn up(bench: &mut Bench, layout: Layout<'_>) {
    for (name, _) in layout {
        bench.push(name, &spec(name, layout)).await;
    }
    for (name, _) in layout {
        bench.converges(name, "Data").await;
    }
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
}

pub(crate) fn disk(bench: &Bench, name: &str) -> String {
    bench
        .cluster
        .drbd(name, "Data", 0)
        .map_or("absent".into(), |v| v.disk)
}

pub(crate) const TWO: Layout<'_> = &[("alpha", false), ("beta", false)];
const WITH_DISKLESS: Layout<'_> = &[("alpha", false), ("beta", false), ("gamma", true)];

/// One replica, DRBD 9: every command of its life.
#[tokio::test(start_paused = true)]
async fn a_life_on_drbd9() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    let mut alpha = spec("alpha", TWO);
    bench.done("alpha", &alpha).await;
    expect![[r#"
        alpha: lvcreate -y --virtualsize 102400k vg0 --thinpool thin --name Data_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000000d0
        alpha: drbdmeta --force 1000 v09 /dev/vg0/Data_00000 internal create-md 7
        alpha: drbdmeta --force 1000 v09 /dev/vg0/Data_00000 internal restore-md /var/lib/linstor/satellite/DATA_0.metadata
        alpha: write /var/lib/linstor.d/Data.res
        alpha: drbdadm -c /var/lib/linstor.d/Data.res adjust Data
        alpha: write /var/lib/linstor.d/.backup/Data.res
    "#]].assert_eq(&bench.changes());
    let file = bench
        .cluster
        .file("alpha", "/var/lib/linstor.d/Data.res")
        .expect("a file");
    expect![[r##"
        # Written by linstor-satellite. Changes made here are overwritten.
        resource "Data"
        {
            net
            {
                cram-hmac-alg sha1;
                shared-secret "c2VjcmV0c2VjcmV0c2Vj";
            }
            on "alpha"
            {
                volume 0
                {
                    disk /dev/vg0/Data_00000;
                    meta-disk internal;
                    device minor 1000;
                }
                node-id 0;
            }
            on "beta"
            {
                volume 0
                {
                    disk /dev/drbd/this/is/not/used;
                    meta-disk internal;
                    device minor 1000;
                }
                node-id 1;
            }
            connection
            {
                host "alpha" address ipv4 10.77.0.1:7000;
                host "beta" address ipv4 10.77.0.2:7000;
            }
        }
    "##]]
    .assert_eq(&file);
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
    bench.rests().await;
    alpha.target = Target::Destroyed;
    let said = bench.fails("alpha", &alpha).await;
    assert!(said.contains("last up-to-date"), "{said}");
    assert_eq!(bench.changes(), "");
    alpha.allow_last_copy = true;
    bench.cluster.release("Data");
    bench.done("alpha", &alpha).await;
    expect![[r#"
        alpha: drbdsetup down Data
        alpha: remove /var/lib/linstor.d/Data.res
        alpha: remove /var/lib/linstor.d/.backup/Data.res
        alpha: lvchange -an vg0/Data_00000
        alpha: lvremove -f vg0/Data_00000
    "#]]
    .assert_eq(&bench.changes());
    bench.rests().await;
}

/// One replica, DRBD 8.4.
#[tokio::test(start_paused = true)]
async fn a_life_on_drbd84() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V84).await;
    let mut alpha = spec("alpha", TWO);
    bench.done("alpha", &alpha).await;
    expect![[r#"
        alpha: lvcreate -y --virtualsize 102400k vg0 --thinpool thin --name Data_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000000d0
        alpha: drbdmeta --force 1000 v08 /dev/vg0/Data_00000 internal create-md
        alpha: drbdmeta --force 1000 v08 /dev/vg0/Data_00000 internal restore-md /var/lib/linstor/satellite/DATA_0.metadata
        alpha: write /var/lib/linstor.d/Data.res
        alpha: drbdadm -c /var/lib/linstor.d/Data.res adjust Data
        alpha: write /var/lib/linstor.d/.backup/Data.res
    "#]].assert_eq(&bench.changes());
    let file = bench
        .cluster
        .file("alpha", "/var/lib/linstor.d/Data.res")
        .expect("a file");
    expect![[r##"
        # Written by linstor-satellite. Changes made here are overwritten.
        resource "Data"
        {
            net
            {
                cram-hmac-alg sha1;
                protocol C;
                shared-secret "c2VjcmV0c2VjcmV0c2Vj";
            }
            disk
            {
                c-plan-ahead 0;
                resync-rate 100M;
            }
            on "alpha"
            {
                address ipv4 10.77.0.1:7000;
                volume 0
                {
                    disk /dev/vg0/Data_00000;
                    meta-disk internal;
                    device minor 1000;
                }
            }
            on "beta"
            {
                address ipv4 10.77.0.2:7000;
                volume 0
                {
                    disk /dev/drbd/this/is/not/used;
                    meta-disk internal;
                    device minor 1000;
                }
            }
        }
    "##]]
    .assert_eq(&file);
    assert_eq!(disk(&bench, "alpha"), "UpToDate");
    bench.rests().await;
    alpha.target = Target::Destroyed;
    alpha.allow_last_copy = true;
    bench.cluster.release("Data");
    bench.done("alpha", &alpha).await;
    expect![[r#"
        alpha: drbdsetup down Data
        alpha: remove /var/lib/linstor.d/Data.res
        alpha: remove /var/lib/linstor.d/.backup/Data.res
        alpha: lvchange -an vg0/Data_00000
        alpha: lvremove -f vg0/Data_00000
    "#]]
    .assert_eq(&bench.changes());
}

/// Two replicas and a diskless one meet without a full sync, data written anywhere is everywhere, and the status
/// says all that.
#[tokio::test(start_paused = true)]
async fn three_nodes_meet() {
    let mut bench = nodes(&["alpha", "beta", "gamma"], DrbdKind::V9).await;
    up(&mut bench, WITH_DISKLESS).await;
    for name in ["alpha", "beta"] {
        assert_eq!(disk(&bench, name), "UpToDate", "{name}");
    }
    bench.cluster.open("gamma", "Data", 0).expect("promoted");
    bench
        .cluster
        .write("gamma", "Data", 0, 7, 42)
        .expect("written");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gamma = bench.status("gamma", "Data");
    let drbd = gamma.drbd.expect("DRBD");
    assert!(
        drbd.in_use && drbd.connections["alpha"] == ConnectionState::Connected,
        "{drbd:?}"
    );
    assert_eq!(gamma.volumes[0].disk_state, Some(DiskState::Diskless));
    assert_eq!(
        gamma.volumes[0].device_path.as_deref(),
        Some("/dev/drbd1000")
    );
    let alpha = bench.status("alpha", "Data");
    assert_eq!(alpha.volumes[0].disk_state, Some(DiskState::UpToDate));
    assert_eq!(
        alpha.volumes[0].replication["beta"].state,
        ReplicationState::Established
    );
    bench.cluster.close("gamma", "Data", 0);
    assert_eq!(bench.cluster.lost_writes("Data"), Vec::<String>::new());
    bench.rests().await;
}

/// 8.4 insists on a peer, and each connection wants addresses of its own: replicas without a peer do not get into
/// each other's way.
#[tokio::test(start_paused = true)]
async fn drbd84_has_several_lonely_replicas() {
    let mut bench = nodes(&["alpha"], DrbdKind::V84).await;
    let alone: Layout<'_> = &[("alpha", false)];
    bench.done("alpha", &spec("alpha", alone)).await;
    bench.done("alpha", &second("alpha", alone)).await;
    assert_eq!(bench.cluster.drbd_resources("alpha"), ["Data", "Other"]);
}

/// drbdadm shows the secret when a command of it fails; nobody else does.
#[tokio::test(start_paused = true)]
async fn a_secret_is_not_told() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V84).await;
    bench.done("alpha", &spec("alpha", TWO)).await;
    let mut same_port = second("alpha", TWO);
    let drbd = layer(&mut same_port);
    let secret = drbd.secret.reveal().to_owned();
    drbd.peers[0].port = 7000;
    let said = bench.fails("alpha", &same_port).await;
    assert!(said.contains("--shared-secret=***"), "{said}");
    assert!(!said.contains(&secret), "{said}");
}

/// A secret is in DRBD's own files and in no other; the satellite has it from there when it starts without a controller.
#[tokio::test(start_paused = true)]
async fn a_secret_is_in_drbds_files_only() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let spec = spec("alpha", &[("alpha", false)]);
    bench.done("alpha", &spec).await;
    let drbd = spec.drbd().expect("a layer");
    let files = bench.cluster.files("alpha");
    let holders = files
        .iter()
        .filter(|(_, text)| text.contains(drbd.secret.reveal()));
    let holders: Vec<&String> = holders.map(|(path, _)| path).collect();
    let res = "/var/lib/linstor.d/Data.res";
    assert_eq!(holders, ["/var/lib/linstor.d/.backup/Data.res", res]);
    for path in holders {
        assert_eq!(
            bench.cluster.file_mode("alpha", path),
            Some(0o600),
            "{path}"
        );
    }
    bench.restart("alpha");
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(bench.cluster.file("alpha", res), files.get(res).cloned());
    bench.rests().await;
}

/// Another resource beside that of [`spec`].
fn second(me: &str, layout: Layout<'_>) -> ResourceSpec {
    let mut spec = spec(me, layout);
    spec.name = "Other".parse().unwrap();
    spec.uuid = Uuid::from_u128(0xe0);
    let drbd = layer(&mut spec);
    drbd.port = 7001;
    for peer in &mut drbd.peers {
        peer.port = 7001;
    }
    layer(&mut spec).volumes[0].minor = 1001;
    spec
}

/// 8.4: two nodes meet; what it cannot do is refused with a reason, and nothing is touched.
#[tokio::test(start_paused = true)]
async fn drbd84_does_two_nodes_and_refuses_more() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V84).await;
    let three: Layout<'_> = &[("alpha", false), ("beta", false), ("gamma", false)];
    let said = bench.fails("alpha", &spec("alpha", three)).await;
    assert!(said.contains("between two nodes"), "{said}");
    let mut quorum = spec("alpha", TWO);
    let drbd = layer(&mut quorum);
    drbd.options.insert("quorum".into(), "majority".into());
    let said = bench.fails("alpha", &quorum).await;
    assert!(said.contains("no quorum"), "{said}");
    let diskless: Layout<'_> = &[("alpha", false), ("beta", true)];
    let said = bench.fails("alpha", &spec("alpha", diskless)).await;
    assert!(said.contains("no diskless"), "{said}");
    assert_eq!(bench.changes(), "");
    up(&mut bench, TWO).await;
    for name in ["alpha", "beta"] {
        assert_eq!(disk(&bench, name), "UpToDate", "{name}");
    }
    bench.rests().await;
}

/// A port that somebody else has is named, with its holder, and the resource comes up when the port is free.
#[tokio::test(start_paused = true)]
async fn a_busy_port_is_named() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    bench.cluster.occupy_port("alpha", 7000, "ceph-mgr (4242)");
    let said = bench.fails("alpha", &spec("alpha", TWO)).await;
    assert!(said.contains("7000") && said.contains("ceph-mgr"), "{said}");
}

/// One of two replicas goes once the other has the data, and its peer forgets it.
#[tokio::test(start_paused = true)]
async fn a_replica_goes() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    bench.cluster.take_journal();
    let mut gone = spec("alpha", TWO);
    gone.target = Target::Destroyed;
    bench.done("alpha", &gone).await;
    let alone: Layout<'_> = &[("beta", false)];
    let mut rest = spec("beta", TWO);
    layer(&mut rest).peers.clear();
    assert_eq!(alone.len(), 1);
    bench.done("beta", &rest).await;
    expect![[r#"
        alpha: drbdsetup down Data
        alpha: remove /var/lib/linstor.d/Data.res
        alpha: remove /var/lib/linstor.d/.backup/Data.res
        alpha: lvchange -an vg0/Data_00000
        alpha: lvremove -f vg0/Data_00000
        beta: write /var/lib/linstor.d/Data.res
        beta: drbdsetup del-peer Data 0
        beta: drbdadm -c /var/lib/linstor.d/Data.res adjust Data
        beta: drbdsetup forget-peer Data 0
        beta: write /var/lib/linstor.d/.backup/Data.res
    "#]]
    .assert_eq(&bench.changes());
    bench.rests().await;
    assert_eq!(bench.cluster.violations(), Vec::<String>::new());
}

/// A replica becomes diskless: detached first, its volume destroyed only while a peer has the data; and back.
#[tokio::test(start_paused = true)]
async fn a_disk_goes_and_comes_back() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    up(&mut bench, TWO).await;
    let without: Layout<'_> = &[("alpha", false), ("beta", true)];
    bench.done("alpha", &spec("alpha", without)).await;
    bench.cluster.take_journal();
    let mut beta = spec("beta", without);
    beta.destroy_storage.push(StorageRef {
        number: 0,
        suffix: StorageSuffix::Data,
        pool: "thin".parse().unwrap(),
    });
    bench.done("beta", &beta).await;
    expect![[r#"
        beta: drbdsetup detach 1000 --diskless
        beta: write /var/lib/linstor.d/Data.res
        beta: drbdadm -c /var/lib/linstor.d/Data.res adjust Data
        beta: write /var/lib/linstor.d/.backup/Data.res
        beta: lvchange -an vg0/Data_00000
        beta: lvremove -f vg0/Data_00000
    "#]]
    .assert_eq(&bench.changes());
    assert_eq!(disk(&bench, "beta"), "Diskless");
    bench.rests().await;
    let mut back = spec("beta", TWO);
    layer(&mut back).volumes[0].initial = InitialState::FullSync;
    bench.done("alpha", &spec("alpha", TWO)).await;
    bench.done("beta", &back).await;
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    assert_eq!(disk(&bench, "beta"), "UpToDate");
    bench.rests().await;
}

/// Without its controller a rebooted node brings up what it last knew.
#[tokio::test(start_paused = true)]
async fn a_node_boots_without_its_controller() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = nodes(&["alpha", "beta"], kind).await;
        up(&mut bench, TWO).await;
        bench.cluster.shut_down("beta");
        bench.cluster.boot("beta");
        assert_eq!(disk(&bench, "beta"), "absent");
        bench.restart("beta");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(disk(&bench, "beta"), "UpToDate", "{kind:?}");
        // When the controller is back nothing has to be changed.
        bench.connect("beta").await;
        bench.cluster.take_journal();
        bench.sync("beta", &[spec("beta", TWO)]).await;
        bench.rests().await;
    }
}

/// A restarted satellite changes nothing, and DRBD never notices.
#[tokio::test(start_paused = true)]
async fn a_restart_changes_nothing() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = nodes(&["alpha", "beta"], kind).await;
        up(&mut bench, TWO).await;
        bench.cluster.take_journal();
        bench.restart("alpha");
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(bench.changes(), "", "{kind:?}");
    }
}

/// Whichever changing command fails or crashes the node on the way up, the resource comes up in the end, without a
/// lost write, and rests.
#[tokio::test(start_paused = true)]
async fn every_failure_on_the_way_up_is_overcome() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        for effect in [
            Effect::FailsBefore(10),
            Effect::FailsAfter(10),
            Effect::CrashBefore,
            Effect::CrashAfter,
        ] {
            let mut skip = 0;
            while overcome(kind, effect, skip).await {
                skip += 1;
            }
            assert!(skip > 3, "{kind:?}: too few commands");
        }
    }
}

async fn overcome(kind: DrbdKind, effect: Effect, skip: u32) -> bool {
    let mut bench = nodes(&["alpha", "beta"], kind).await;
    bench
        .cluster
        .inject(Fault::next_change("alpha", effect).after(skip));
    bench.push("beta", &spec("beta", TWO)).await;
    bench.push("alpha", &spec("alpha", TWO)).await;
    if matches!(effect, Effect::CrashBefore | Effect::CrashAfter) {
        tokio::time::sleep(Duration::from_secs(30)).await;
        if !bench.cluster.is_up("alpha") {
            bench.cluster.boot("alpha");
            bench.restart("alpha");
            bench.connect("alpha").await;
            bench.sync("alpha", &[spec("alpha", TWO)]).await;
        }
    }
    bench.converges("alpha", "Data").await;
    bench.converges("beta", "Data").await;
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    for name in ["alpha", "beta"] {
        assert_eq!(
            disk(&bench, name),
            "UpToDate",
            "{name} {kind:?} {effect:?} {skip}"
        );
    }
    let struck = bench.cluster.disarm() == 0;
    bench.rests().await;
    struck
}

/// The same on the way out; nothing is left behind.
#[tokio::test(start_paused = true)]
async fn every_failure_on_the_way_out_is_overcome() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        for effect in [
            Effect::FailsBefore(10),
            Effect::FailsAfter(10),
            Effect::CrashAfter,
        ] {
            let mut skip = 0;
            loop {
                let mut bench = nodes(&["alpha", "beta"], kind).await;
                up(&mut bench, TWO).await;
                bench
                    .cluster
                    .inject(Fault::next_change("alpha", effect).after(skip));
                let mut gone = spec("alpha", TWO);
                gone.target = Target::Destroyed;
                bench.push("alpha", &gone).await;
                tokio::time::sleep(Duration::from_secs(30)).await;
                if !bench.cluster.is_up("alpha") {
                    bench.cluster.boot("alpha");
                    bench.restart("alpha");
                    bench.connect("alpha").await;
                    bench.sync("alpha", &[gone.clone()]).await;
                }
                bench.converges("alpha", "Data").await;
                let struck = bench.cluster.disarm() == 0;
                bench.rests().await;
                let left = bench.cluster.logical_volumes("alpha", "vg0");
                assert_eq!(left, ["thin"], "{kind:?} {effect:?} {skip}");
                assert_eq!(bench.cluster.drbd_resources("alpha"), Vec::<String>::new());
                if !struck {
                    break;
                }
                skip += 1;
            }
        }
    }
}

/// A sick resource does not delay another one.
#[tokio::test(start_paused = true)]
async fn a_sick_resource_delays_nobody() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    bench
        .cluster
        .inject(Fault::next_with("alpha", "create-md", Effect::Hangs));
    bench.push("alpha", &spec("alpha", TWO)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut other = spec("alpha", TWO);
    other.name = "Other".parse().unwrap();
    other.uuid = Uuid::from_u128(0xee);
    layer(&mut other).port = 7001;
    layer(&mut other).volumes[0].minor = 1001;
    let started = tokio::time::Instant::now();
    bench.done("alpha", &other).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    bench.converges("alpha", "Data").await;
}

/// The file system that was asked for is made on the first copy, and the device is free again.
#[tokio::test(start_paused = true)]
async fn a_file_system_is_made() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = nodes(&["alpha", "beta"], kind).await;
        for name in ["beta", "alpha"] {
            let mut spec = spec(name, TWO);
            if name == "alpha" {
                spec.once.push(make_file_system(1, "xfs", ""));
            }
            bench.done(name, &spec).await;
        }
        let commands = bench.changes();
        assert_eq!(commands.matches("mkfs.xfs").count(), 1, "{commands}");
        assert_eq!(
            bench.cluster.drbd("alpha", "Data", 0).expect("up").role,
            "Secondary"
        );
        bench.rests().await;
    }
}

/// Whatever a peer of another cluster sends: options that would leave their statement are refused.
#[tokio::test(start_paused = true)]
async fn hostile_options_reach_no_file() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let mut hostile = spec("alpha", TWO);
    let drbd = layer(&mut hostile);
    drbd.net_options
        .insert("ping-int".into(), "10; } handlers { x \"reboot\"".into());
    bench.fails("alpha", &hostile).await;
    let mut named = spec("alpha", TWO);
    layer(&mut named).peers[0].uname = "beta\" { }".into();
    let outcome = bench.apply("alpha", &named).await;
    assert!(matches!(outcome, Outcome::Failed { .. }));
    assert_eq!(bench.changes(), "");
}

/// An option that the node's drbd-utils do not have is left out of the file, which drbdadm would refuse.
#[tokio::test(start_paused = true)]
async fn an_option_of_newer_tools_is_left_out() {
    let mut bench = nodes(&["alpha", "beta"], DrbdKind::V9).await;
    for node in ["alpha", "beta"] {
        let mut newer = spec(node, TWO);
        let drbd = layer(&mut newer);
        let option = |name: &str| (name.to_owned(), "yes".to_owned());
        drbd.net_options
            .extend([option("load-balance-paths"), option("use-rle")]);
        drbd.volumes[0]
            .disk_options
            .extend([option("discard-granularity")]);
        bench.done(node, &newer).await;
        let file = bench.cluster.file(node, "/var/lib/linstor.d/Data.res");
        let file = file.expect("a file");
        assert!(
            file.contains("use-rle") && !file.contains("load-balance"),
            "{file}"
        );
        assert!(!file.contains("discard-granularity"), "{file}");
    }
    bench.rests().await;
    assert_eq!(disk(&bench, "beta"), "UpToDate");
}

/// Hundreds of resources at once: one look at the volume group serves many, and nothing is done twice.
#[tokio::test(start_paused = true)]
async fn many_at_once() {
    const COUNT: u32 = 200;
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let specs: Vec<ResourceSpec> = (0..COUNT)
        .map(|n| {
            let mut one = spec("alpha", TWO);
            one.name = format!("r{n:04}").parse().unwrap();
            one.uuid = Uuid::from_u128(0x1000 + u128::from(n));
            layer(&mut one).port = 7000 + n as u16;
            layer(&mut one).volumes[0].minor = 1000 + n;
            one
        })
        .collect();
    bench.sync("alpha", &specs).await;
    for one in &specs {
        bench.converges("alpha", one.name.as_str()).await;
    }
    let journal = bench.cluster.take_journal();
    let count = |text: &str| journal.iter().filter(|e| e.text.starts_with(text)).count();
    assert_eq!(count("lvcreate"), COUNT as usize);
    assert_eq!(count("drbdadm -c"), COUNT as usize);
    assert!(count("lvs") < 30, "{}", count("lvs"));
    bench.rests().await;
    // A restarted satellite finds everything with a handful of commands.
    bench.restart("alpha");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let journal = bench.cluster.take_journal();
    let commands = journal
        .iter()
        .filter(|e| !e.text.starts_with("read "))
        .count();
    assert!(commands < 36, "{commands}");
}

/// A node without DRBD says what exactly it misses.
#[tokio::test(start_paused = true)]
async fn a_missing_tool_is_named() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    bench.cluster.uninstall("alpha", "drbdadm");
    bench.restart("alpha");
    bench.connect("alpha").await;
    bench.sync("alpha", &[]).await;
    let said = bench
        .fails("alpha", &spec("alpha", &[("alpha", false)]))
        .await;
    assert!(said.contains("has no DRBD"), "{said}");
    assert!(said.contains("'drbdadm' is not installed"), "{said}");
}
