//! Storage alone: every provider, its commands, its failures.

use expect_test::{Expect, expect};
use linstor_api::kind::StorageSuffix;
use linstor_fake_host::{Effect, Fault};
use linstor_host::{Cmd, Host};
use linstor_wire::spec::{
    Action, Instruction, LayerSpec, Props, ResourceSpec, StorageSpec, Target, VolumeSpec,
};
use linstor_wire::status::Outcome;
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind};

pub(crate) fn plain(pool: &str, size_kib: u64) -> ResourceSpec {
    ResourceSpec {
        name: "Data".parse().unwrap(),
        uuid: Uuid::from_u128(0xd1),
        target: Target::Up,
        allow_last_copy: false,
        layers: vec![LayerSpec::Storage],
        volumes: vec![VolumeSpec {
            number: 0,
            target: Target::Up,
            usable_kib: size_kib,
            fixed_size: false,
            storage: [(StorageSuffix::Data, storage(pool, size_kib))].into(),
        }],
        destroy_storage: Vec::new(),
        once: Vec::new(),
        roll_back: None,
        shared: None,
    }
}

pub(crate) fn storage(pool: &str, size_kib: u64) -> StorageSpec {
    StorageSpec {
        pool: pool.parse().unwrap(),
        size_kib,
        props: Props::new(),
    }
}

/// The backing volume with the data.
pub(crate) fn data(spec: &mut ResourceSpec) -> &mut StorageSpec {
    let storage = &mut spec.volumes[0].storage;
    storage.get_mut(&StorageSuffix::Data).expect("a disk")
}

/// The instruction to make a file system on volume 0.
pub(crate) fn make_file_system(id: u128, kind: &str, parameters: &str) -> Instruction {
    Instruction {
        id: Uuid::from_u128(id),
        volume: 0,
        action: Action::MakeFileSystem {
            kind: kind.into(),
            parameters: parameters.into(),
        },
    }
}

pub(crate) async fn one_node() -> Bench {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench
}

/// Creates, rests, grows, rests, destroys, rests; prints the commands.
async fn check(pool: &str, expected: Expect) {
    let mut bench = one_node().await;
    let mut spec = plain(pool, 102_400);
    let mut text = String::from("create\n");
    bench.done("alpha", &spec).await;
    text.push_str(&bench.changes());
    let status = bench.status("alpha", "Data");
    let device = status.volumes[0].device_path.clone().expect("a device");
    assert!(bench.cluster.has_device("alpha", &device), "{device}");
    bench.rests().await;
    data(&mut spec).size_kib = 204_800;
    bench.done("alpha", &spec).await;
    text.push_str("grow\n");
    text.push_str(&bench.changes());
    assert!(bench.status("alpha", "Data").volumes[0].backing_kib >= Some(204_800));
    bench.rests().await;
    spec.target = Target::Destroyed;
    bench.done("alpha", &spec).await;
    text.push_str("destroy\n");
    text.push_str(&bench.changes());
    bench.rests().await;
    assert!(!bench.cluster.has_device("alpha", &device), "{device}");
    expected.assert_eq(&text);
}

/// Thick LVM: wiped when new.
#[tokio::test(start_paused = true)]
async fn lvm() {
    check("lvm", expect![[r#"
        create
        alpha: lvcreate -y --size 102400k vg0 --name Data_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000000d1
        alpha: wipefs -a -f /dev/vg0/Data_00000
        alpha: zero /dev/vg0/Data_00000
        alpha: zero /dev/vg0/Data_00000
        grow
        alpha: lvresize --size 204800k -f vg0/Data_00000
        destroy
        alpha: lvchange -an vg0/Data_00000
        alpha: lvremove -f vg0/Data_00000
    "#]]).await;
}

/// Thin LVM.
#[tokio::test(start_paused = true)]
async fn lvm_thin() {
    check("thin", expect![[r#"
        create
        alpha: lvcreate -y --virtualsize 102400k vg0 --thinpool thin --name Data_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000000d1
        grow
        alpha: lvresize --size 204800k -f vg0/Data_00000
        destroy
        alpha: lvchange -an vg0/Data_00000
        alpha: lvremove -f vg0/Data_00000
    "#]]).await;
}

/// ZFS with reservation.
#[tokio::test(start_paused = true)]
async fn zfs() {
    check("zfs", expect![[r#"
        create
        alpha: zfs create -V 102400KB -o linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/00000000-0000-0000-0000-0000000000d1 tank/Data_00000
        grow
        alpha: zfs set volsize=204800KB tank/Data_00000
        destroy
        alpha: zfs destroy tank/Data_00000
    "#]]).await;
}

/// Sparse ZFS.
#[tokio::test(start_paused = true)]
async fn zfs_thin() {
    check("zfsthin", expect![[r#"
        create
        alpha: zfs create -s -V 102400KB -o linstor-rs:owner=00000000-0000-0000-0000-0000000000c1/00000000-0000-0000-0000-0000000000d1 tank/Data_00000
        grow
        alpha: zfs set volsize=204800KB tank/Data_00000
        destroy
        alpha: zfs destroy tank/Data_00000
    "#]]).await;
}

/// Allocated files.
#[tokio::test(start_paused = true)]
async fn file() {
    check(
        "file",
        expect![[r#"
        create
        alpha: write /srv/pool/Data_00000.img.owner
        alpha: fallocate -x -l 102400KiB /srv/pool/Data_00000.img
        alpha: losetup -f --show /srv/pool/Data_00000.img
        grow
        alpha: fallocate -x -l 204800KiB /srv/pool/Data_00000.img
        alpha: losetup -c /dev/loop0
        destroy
        alpha: losetup -d /dev/loop0
        alpha: remove /srv/pool/Data_00000.img
        alpha: remove /srv/pool/Data_00000.img.owner
    "#]],
    )
    .await;
}

/// Sparse files.
#[tokio::test(start_paused = true)]
async fn file_thin() {
    check(
        "filethin",
        expect![[r#"
        create
        alpha: write /srv/pool/Data_00000.img.owner
        alpha: truncate -s 102400KiB /srv/pool/Data_00000.img
        alpha: losetup -f --show /srv/pool/Data_00000.img
        grow
        alpha: truncate -s 204800KiB /srv/pool/Data_00000.img
        alpha: losetup -c /dev/loop0
        destroy
        alpha: losetup -d /dev/loop0
        alpha: remove /srv/pool/Data_00000.img
        alpha: remove /srv/pool/Data_00000.img.owner
    "#]],
    )
    .await;
}

/// Whichever command fails, before or after it did its work, the spec is reached in the end; and a second pass
/// changes nothing.
#[tokio::test(start_paused = true)]
async fn every_failure_is_overcome() {
    for pool in ["lvm", "thin", "zfs", "zfsthin", "file", "filethin"] {
        for effect in [Effect::FailsBefore(5), Effect::FailsAfter(5)] {
            let mut skip = 0;
            while overcome(pool, effect, skip).await {
                skip += 1;
            }
            assert!(skip > 1, "{pool}: too few commands");
        }
    }
}

/// One life of a volume with one failing command; false if there are not that many commands.
async fn overcome(pool: &str, effect: Effect, skip: u32) -> bool {
    let mut bench = one_node().await;
    bench
        .cluster
        .inject(Fault::next_change("alpha", effect).after(skip));
    let mut spec = plain(pool, 102_400);
    bench.push("alpha", &spec).await;
    bench.converges("alpha", "Data").await;
    data(&mut spec).size_kib = 204_800;
    let outcome = bench.apply("alpha", &spec).await;
    if outcome != Outcome::Done {
        bench.converges("alpha", "Data").await;
    }
    spec.target = Target::Destroyed;
    let outcome = bench.apply("alpha", &spec).await;
    if outcome != Outcome::Done {
        bench.converges("alpha", "Data").await;
    }
    let struck = bench.cluster.disarm() == 0;
    bench.rests().await;
    let left = bench.cluster.logical_volumes("alpha", "vg0");
    assert_eq!(left, ["thin"], "{pool} {effect:?} {skip}");
    struck
}

/// A volume of the right name that is not ours is neither used nor destroyed.
#[tokio::test(start_paused = true)]
async fn a_foreign_volume_is_left_alone() {
    for pool in ["lvm", "thin", "zfs", "file"] {
        let mut bench = one_node().await;
        let mut other = plain(pool, 102_400);
        bench.done("alpha", &other).await;
        // Another replica of the same name comes without the first having been destroyed.
        let mut spec = plain(pool, 102_400);
        spec.uuid = Uuid::from_u128(0xd2);
        bench.cluster.take_journal();
        let said = bench.fails("alpha", &spec).await;
        assert!(said.contains("does not belong to this resource"), "{said}");
        spec.target = Target::Destroyed;
        bench.done("alpha", &spec).await;
        assert_eq!(bench.changes(), "", "{pool}");
        other.target = Target::Destroyed;
        bench.done("alpha", &other).await;
    }
}

/// A volume whose pool is gone counts as destroyed, and a volume that should be up says what is missing.
#[tokio::test(start_paused = true)]
async fn an_absent_pool_is_no_obstacle_to_destruction() {
    for (pool, place) in [
        ("lvm", "vgx"),
        ("thin", "vgx/thin"),
        ("zfs", "tanx"),
        ("file", "/srx"),
    ] {
        let mut bench = one_node().await;
        let node = bench.nodes.get_mut("alpha").expect("alpha");
        let found = node
            .spec
            .pools
            .iter_mut()
            .find(|p| p.name.as_str() == pool)
            .expect("a pool");
        found
            .props
            .insert("StorDriver/StorPoolName".into(), place.into());
        let mut spec = plain(pool, 102_400);
        bench.sync("alpha", std::slice::from_ref(&spec)).await;
        let said = bench.fails("alpha", &spec).await;
        assert!(said.contains("does not exist on this node"), "{said}");
        let pools = bench.nodes["alpha"].heard.lock().unwrap().pools.clone();
        let status = pools
            .iter()
            .find(|p| p.name.as_str() == pool)
            .expect("a pool");
        assert!(status.problem.is_some(), "{status:?}");
        spec.target = Target::Destroyed;
        bench.done("alpha", &spec).await;
    }
}

/// A full pool says so, with the code that callers know.
#[tokio::test(start_paused = true)]
async fn a_full_pool_says_so() {
    let mut bench = one_node().await;
    let said = bench.fails("alpha", &plain("lvm", 64 << 20)).await;
    assert_eq!(bench.changes(), "", "refused before a command ran");
    assert!(said.contains("67108864 KiB are needed"), "{said}");
    let ret_code = linstor_api::code::FAIL_NOT_ENOUGH_FREE_SPACE.to_string();
    assert!(said.contains(&ret_code), "{said}");
}

/// What is hostile never reaches a command.
#[tokio::test(start_paused = true)]
async fn hostile_specs_run_nothing() {
    let mut bench = one_node().await;
    let mut sized = plain("lvm", 0);
    data(&mut sized).size_kib = 1;
    let mut optioned = plain("lvm", 102_400);
    let key = "StorDriver/LvcreateOptions".to_owned();
    data(&mut optioned).props.insert(key, "--name other".into());
    let mut twice = plain("lvm", 102_400);
    twice.volumes.push(twice.volumes[0].clone());
    for spec in [sized, optioned, twice] {
        bench.cluster.take_journal();
        bench.fails("alpha", &spec).await;
        assert_eq!(bench.changes(), "", "{spec:?}");
    }
}

/// How somebody has a volume in use.
#[derive(Debug, Clone, Copy)]
enum Usage {
    Mounted,
    /// Opened without a claim, as a virtual machine does: what a check before the removal does not see, because it is not
    /// claimed or because it is opened after the check.
    Open,
}

/// Type and identity of what is on a device.
async fn file_system(bench: &Bench, device: &str) -> String {
    let blkid = Cmd::new("blkid").args(["-o", "export", device]);
    let output = bench.cluster.host("alpha").run(blkid).await;
    output.expect("blkid").stdout
}

/// A volume in use is neither wiped nor removed, whatever the provider; the reason is LINSTOR's. Once it is closed it goes.
#[tokio::test(start_paused = true)]
async fn a_volume_in_use_keeps_its_data() {
    let pools = ["lvm", "thin", "zfs", "zfsthin", "file", "filethin"];
    for (pool, usage) in pools
        .into_iter()
        .flat_map(|pool| [(pool, Usage::Mounted), (pool, Usage::Open)])
    {
        let mut bench = one_node().await;
        let mut spec = plain(pool, 102_400);
        spec.once = vec![make_file_system(1, "ext4", "")];
        bench.done("alpha", &spec).await;
        let status = bench.status("alpha", "Data");
        let device = status.volumes[0].device_path.clone().expect("a device");
        let data = file_system(&bench, &device).await;
        assert!(data.contains("TYPE=ext4"), "{pool}: {data}");
        match usage {
            Usage::Mounted => bench.cluster.mount("alpha", &device, "/mnt/data"),
            Usage::Open => bench.cluster.open_device("alpha", &device),
        }
        spec.target = Target::Destroyed;
        let said = bench.fails("alpha", &spec).await;
        let what = format!("{pool} {usage:?}: {said}");
        let ret_code = linstor_api::code::FAIL_IN_USE.to_string();
        assert!(said.contains(&ret_code), "{what}");
        let refusal = "Resource 'Data' is still in use on node 'alpha'.";
        assert!(said.contains(refusal), "{what}");
        if matches!(usage, Usage::Mounted) {
            assert!(said.contains("It is mounted on '/mnt/data'."), "{what}");
        }
        tokio::time::sleep(std::time::Duration::from_secs(200)).await;
        assert_eq!(file_system(&bench, &device).await, data, "{what}");
        bench.cluster.close_device("alpha", &device);
        bench.converges("alpha", "Data").await;
        assert!(!bench.cluster.has_device("alpha", &device), "{what}");
        bench.rests().await;
    }
}

/// Two volumes, one of them in use: a volume definition that is deleted under a running resource is no different.
#[tokio::test(start_paused = true)]
async fn a_deleted_volume_in_use_keeps_its_data() {
    let mut bench = one_node().await;
    let mut spec = plain("lvm", 102_400);
    let mut second = spec.volumes[0].clone();
    second.number = 1;
    spec.volumes.push(second);
    bench.done("alpha", &spec).await;
    bench.cluster.mount("alpha", "/dev/vg0/Data_00001", "/mnt");
    bench.cluster.take_journal();
    spec.volumes[1].target = Target::Destroyed;
    let said = bench.fails("alpha", &spec).await;
    assert!(said.contains("is still in use"), "{said}");
    assert_eq!(bench.changes(), "");
    bench.cluster.close_device("alpha", "/dev/vg0/Data_00001");
    bench.converges("alpha", "Data").await;
    let left = bench.cluster.logical_volumes("alpha", "vg0");
    assert_eq!(left, ["Data_00000", "thin"]);
}

/// The attempt that creates a volume dies before it is noted as ready, and somebody mounts the volume: it is not taken
/// for new and wiped.
#[tokio::test(start_paused = true)]
async fn a_new_volume_in_use_is_not_wiped() {
    let mut bench = one_node().await;
    let fault = Fault::next_with("alpha", "zero", Effect::FailsBefore(5));
    bench.cluster.inject(fault);
    let spec = plain("lvm", 102_400);
    bench.fails("alpha", &spec).await;
    bench.cluster.mount("alpha", "/dev/vg0/Data_00000", "/mnt");
    bench.cluster.take_journal();
    bench.converges("alpha", "Data").await;
    assert_eq!(bench.changes(), "");
}

/// A FILE pool in a directory that is a symbolic link, or is mounted twice: LINSTOR's path is not the one that the kernel
/// shows. There is one loop device, it grows, and it is gone after the deletion, as is one that somebody else attached.
#[tokio::test(start_paused = true)]
async fn a_linked_directory_has_one_loop_device_per_file() {
    let mut bench = one_node().await;
    bench.cluster.add_link("alpha", "/srv/link", "/srv/pool");
    let node = bench.nodes.get_mut("alpha").expect("alpha");
    let found = node
        .spec
        .pools
        .iter_mut()
        .find(|p| p.name.as_str() == "filethin");
    let key = "StorDriver/StorPoolName".to_owned();
    found.expect("a pool").props.insert(key, "/srv/link".into());
    let mut spec = plain("filethin", 102_400);
    bench.sync("alpha", std::slice::from_ref(&spec)).await;
    bench.done("alpha", &spec).await;
    data(&mut spec).size_kib = 204_800;
    bench.done("alpha", &spec).await;
    expect![[r#"
        alpha: write /srv/link/Data_00000.img.owner
        alpha: truncate -s 102400KiB /srv/link/Data_00000.img
        alpha: losetup -f --show /srv/link/Data_00000.img
        alpha: truncate -s 204800KiB /srv/link/Data_00000.img
        alpha: losetup -c /dev/loop0
    "#]]
    .assert_eq(&bench.changes());
    bench.rests().await;
    let file = "/srv/pool/Data_00000.img";
    let host = bench.cluster.host("alpha");
    let attach = Cmd::new("losetup").args(["-f", "--show", file]);
    assert_eq!(host.run(attach).await.unwrap().stdout, "/dev/loop1\n");
    spec.target = Target::Destroyed;
    bench.done("alpha", &spec).await;
    for device in ["/dev/loop0", "/dev/loop1"] {
        assert!(!bench.cluster.has_device("alpha", device), "{device}");
    }
}

/// The file system that was asked for is made once.
#[tokio::test(start_paused = true)]
async fn a_file_system_is_made_once() {
    let mut bench = one_node().await;
    let mut spec = plain("thin", 102_400);
    spec.once = vec![make_file_system(1, "ext4", "-N 100 -L 'a b'")];
    bench.done("alpha", &spec).await;
    assert_eq!(bench.instructions_done("alpha"), [Uuid::from_u128(1)]);
    expect![[r#"
        alpha: lvcreate -y --virtualsize 102400k vg0 --thinpool thin --name Data_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000000d1
        alpha: mkfs.ext4 -q -F -E nodiscard -N 100 -L 'a b' /dev/vg0/Data_00000
    "#]].assert_eq(&bench.changes());
    bench.rests().await;
}

/// Ten volumes at once: one command that makes a volume each, and a number of queries that does not depend on their number;
/// nor does it when the satellite starts again.
#[tokio::test(start_paused = true)]
async fn many_volumes_need_few_queries() {
    for (pool, make) in [
        ("lvm", "lvcreate"),
        ("thin", "lvcreate"),
        ("zfs", "zfs create -V"),
        ("zfsthin", "zfs create -s"),
        ("file", "fallocate"),
        ("filethin", "truncate"),
    ] {
        let one = queries(pool, make, 1).await;
        assert_eq!(queries(pool, make, 10).await, one, "{pool}");
    }
}

/// How often what lists volumes is run: while so many are made, and when the satellite starts again.
async fn queries(pool: &str, make: &str, count: u128) -> [[usize; 5]; 2] {
    let runs = |bench: &Bench| {
        let journal = bench.cluster.take_journal();
        let lines: Vec<String> = journal.iter().map(|entry| entry.text.clone()).collect();
        let of = |begin: &str| lines.iter().filter(|line| line.starts_with(begin)).count();
        let lists = ["lvs ", "vgs ", "pvs ", "zfs list ", "losetup -l "];
        (lists.map(of), of(make) as u128)
    };
    let mut bench = one_node().await;
    bench.cluster.take_journal();
    let specs: Vec<ResourceSpec> = (0..count)
        .map(|number| ResourceSpec {
            name: format!("many{number}").parse().unwrap(),
            uuid: Uuid::from_u128(0xe0 + number),
            ..plain(pool, 102_400)
        })
        .collect();
    for spec in &specs {
        bench.push("alpha", spec).await;
    }
    for spec in &specs {
        bench.converges("alpha", spec.name.as_str()).await;
    }
    let (making, made) = runs(&bench);
    assert_eq!(made, count, "{pool}");
    bench.restart("alpha");
    bench.connect("alpha").await;
    bench.sync("alpha", &specs).await;
    for spec in &specs {
        bench.converges("alpha", spec.name.as_str()).await;
    }
    [making, runs(&bench).0]
}

/// A new volume is made on the physical volumes that the property selects.
#[tokio::test(start_paused = true)]
async fn physical_volumes_are_selected() {
    let mut bench = one_node().await;
    let mut spec = plain("lvm", 102_400);
    let key = "StorDriver/LvcreatePvSelection".to_owned();
    data(&mut spec)
        .props
        .insert(key.clone(), "--sort pv_name".into());
    bench.done("alpha", &spec).await;
    let made = bench.changes();
    let line = made.lines().next().expect("lvcreate");
    assert!(line.ends_with(" /dev/disk-vg0"), "{line}");
    let mut other = plain("lvm", 102_400);
    other.name = "other".parse().unwrap();
    other.uuid = Uuid::from_u128(0xd2);
    data(&mut other)
        .props
        .insert(key, "-S vg_name=nosuch".into());
    let why = bench.fails("alpha", &other).await;
    assert!(why.contains("selects no physical volume"), "{why}");
}
