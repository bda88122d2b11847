//! Block devices, and pools that are made of them.

use expect_test::expect;
use linstor_api::kind::ProviderKind;
use linstor_fake_host::{Effect, Fault};
use linstor_host::{Cmd, Host};
use linstor_wire::question::{Answer, BlockDevice, DevicePool, Question, RaidLevel};

use crate::bench::{Bench, DrbdKind};

async fn one_node() -> Bench {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    for disk in ["/dev/sdx", "/dev/sdy"] {
        bench.cluster.add_disk("alpha", disk, 4 << 20);
    }
    bench.cluster.take_journal();
    bench
}

async fn devices(bench: &mut Bench) -> Vec<BlockDevice> {
    match bench.ask("alpha", Question::BlockDevices).await {
        Answer::BlockDevices(devices) => devices,
        other => panic!("{other:?}"),
    }
}

fn pool(kind: ProviderKind, place: &str, devices: &[&str]) -> DevicePool {
    DevicePool {
        kind,
        place: place.into(),
        devices: devices.iter().map(|path| (*path).to_owned()).collect(),
        raid: RaidLevel::Jbod,
        wipe: false,
        pv_arguments: Vec::new(),
        vg_arguments: Vec::new(),
        lv_arguments: Vec::new(),
        zpool_arguments: Vec::new(),
    }
}

async fn make(bench: &mut Bench, pool: DevicePool) -> Answer {
    bench
        .ask("alpha", Question::CreateDevicePool(Box::new(pool)))
        .await
}

fn failed(answer: Answer) -> String {
    match answer {
        Answer::Failed(reply) => serde_json::to_string(&reply).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

/// Disks with something on them have the reason, free ones none.
#[tokio::test(start_paused = true)]
async fn devices_are_listed() {
    let mut bench = one_node().await;
    let free = |devices: &[BlockDevice]| {
        let free = devices.iter().filter(|d| d.unusable.is_none());
        free.map(|d| d.path.clone()).collect::<Vec<_>>()
    };
    let all = devices(&mut bench).await;
    assert_eq!(free(&all), ["/dev/sdx", "/dev/sdy"]);
    let lvm = all
        .iter()
        .find(|d| d.unusable.is_some())
        .expect("a disk of vg0");
    assert!(
        lvm.unusable
            .as_ref()
            .is_some_and(|why| why.contains("LVM2_member")),
        "{lvm:?}"
    );
    let thin = make(&mut bench, pool(ProviderKind::Lvm, "vg1", &["/dev/sdx"])).await;
    assert!(matches!(thin, Answer::Done(_)), "{thin:?}");
    assert_eq!(free(&devices(&mut bench).await), ["/dev/sdy"]);
}

/// The commands that make each kind of pool.
#[tokio::test(start_paused = true)]
async fn pools_are_made() {
    let mut bench = one_node().await;
    let mut thin = pool(ProviderKind::LvmThin, "vg1/thin", &["/dev/sdx"]);
    thin.vg_arguments = vec!["-s".into(), "8m".into()];
    thin.lv_arguments = vec!["-c".into(), "128k".into()];
    let done = make(&mut bench, thin).await;
    assert!(
        matches!(&done, Answer::Done(steps) if steps.len() == 3),
        "{done:?}"
    );
    expect![[r#"
        alpha: pvcreate /dev/sdx
        alpha: vgcreate -s 8m vg1 /dev/sdx
        alpha: lvcreate -y --type thin-pool --extents 100%FREE -c 128k --name thin vg1
    "#]]
    .assert_eq(&bench.changes());
    let done = make(
        &mut bench,
        pool(ProviderKind::ZfsThin, "tank1", &["/dev/sdy"]),
    )
    .await;
    assert!(matches!(done, Answer::Done(_)), "{done:?}");
    expect![[r#"
        alpha: zpool create -m none tank1 /dev/sdy
    "#]]
    .assert_eq(&bench.changes());
}

/// What is on a device is kept, unless it is to be erased; what exists or is in use is never touched.
#[tokio::test(start_paused = true)]
async fn content_is_kept() {
    let mut bench = one_node().await;
    let mkfs = Cmd::new("mkfs.ext4").arg("/dev/sdx");
    bench
        .cluster
        .host("alpha")
        .run(mkfs)
        .await
        .expect("a file system");
    bench.cluster.take_journal();
    let wanted = pool(ProviderKind::Lvm, "vg1", &["/dev/sdx"]);
    let why = failed(make(&mut bench, wanted.clone()).await);
    assert!(
        why.contains("ext4") && why.contains("--wipe-signatures"),
        "{why}"
    );
    for (place, device, reason) in [
        ("vg0", "/dev/sdy", "exists already"),
        ("vg1", "/dev/nosuch", "does not exist"),
        ("vg1", "/dev/../etc/passwd", "no path of a device"),
    ] {
        let why = failed(make(&mut bench, pool(ProviderKind::Lvm, place, &[device])).await);
        assert!(why.contains(reason), "{why}");
    }
    let twice = pool(ProviderKind::Lvm, "vg1", &["/dev/sdy", "/dev/sdy"]);
    assert!(failed(make(&mut bench, twice).await).contains("twice"));
    let of_vg0 = devices(&mut bench).await;
    let of_vg0 = of_vg0
        .iter()
        .find(|d| d.unusable.as_ref().is_some_and(|why| why.contains("LVM2")));
    let path = of_vg0.expect("a disk of vg0").path.clone();
    let mut stolen = pool(ProviderKind::Lvm, "vg1", &[&path]);
    stolen.wipe = true;
    let why = failed(make(&mut bench, stolen).await);
    assert!(
        why.contains("physical volume of volume group 'vg0'"),
        "{why}"
    );
    assert_eq!(bench.changes(), "");
    let erased = DevicePool {
        wipe: true,
        ..wanted
    };
    let done = make(&mut bench, erased).await;
    assert!(matches!(done, Answer::Done(_)), "{done:?}");
}

/// A step that fails takes back those before it.
#[tokio::test(start_paused = true)]
async fn a_failed_pool_is_taken_back() {
    let mut bench = one_node().await;
    let fault = Fault::next_with("alpha", "lvcreate", Effect::FailsBefore(5));
    bench.cluster.inject(fault);
    let why = failed(
        make(
            &mut bench,
            pool(ProviderKind::LvmThin, "vg1/thin", &["/dev/sdx"]),
        )
        .await,
    );
    assert!(
        why.contains("Thin pool 'vg1/thin' cannot be created"),
        "{why}"
    );
    expect![[r#"
        alpha: pvcreate /dev/sdx
        alpha: vgcreate vg1 /dev/sdx
        alpha: lvcreate -y --type thin-pool --extents 100%FREE --name thin vg1 -> 5
        alpha: vgremove vg1
        alpha: pvremove /dev/sdx
    "#]]
    .assert_eq(&bench.changes());
    let all = devices(&mut bench).await;
    assert!(
        all.iter()
            .any(|d| d.path == "/dev/sdx" && d.unusable.is_none()),
        "{all:?}"
    );
}
