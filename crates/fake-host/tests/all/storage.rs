//! LVM, ZFS, files, crypt mappings.

use std::path::Path;

use linstor_fake_host::{DrbdKind, FakeCluster, FakeHost};
use linstor_host::{Host, Place};

use crate::lab::cmd;

fn one_node() -> (FakeCluster, FakeHost) {
    let cluster = FakeCluster::new(1);
    let host = cluster.add_host("n1", DrbdKind::V9);
    cluster.add_volume_group("n1", "vg", 1024 * 1024);
    cluster.add_thin_pool("n1", "vg", "thin", 102_400);
    cluster.add_zpool("n1", "tank", 1024 * 1024);
    cluster.add_mount("n1", "/srv/pool", 1024 * 1024);
    (cluster, host)
}

async fn run(host: &FakeHost, line: &str) -> String {
    host.run(cmd(line)).await.unwrap().ok().unwrap().stdout
}

/// The reports for a thin pool, a tagged thin volume and a thick one.
#[tokio::test(start_paused = true)]
async fn lvm_reports() {
    let (cluster, host) = one_node();
    run(
        &host,
        "lvcreate -y --virtualsize 153600k vg --thinpool thin --name r_00000 --addtag a.b",
    )
    .await;
    run(&host, "lvcreate -y --size 5000k vg --name t").await;
    run(&host, "lvchange -an vg/t").await;
    let columns =
        "lv_name,lv_path,lv_size,pool_lv,data_percent,metadata_percent,lv_attr,chunk_size,lv_tags";
    let line = format!("lvs -o {columns} --separator ; --noheadings --units k --nosuffix vg");
    assert_eq!(
        run(&host, &line).await,
        "  r_00000;/dev/vg/r_00000;155648.00;thin;0.00;;Vwi-a-tz--;0;a.b\n  \
         t;/dev/vg/t;8192.00;;;;-wi-------;0;\n  \
         thin;;102400.00;;0.00;10.94;twi-aotz--;64.00;\n"
    );
    let line =
        "vgs -o vg_extent_size,vg_size,vg_free --separator ; --noheadings --units k --nosuffix vg";
    assert_eq!(run(&host, line).await, "  4096.00;1048576.00;929792.00\n");
    assert_eq!(
        run(&host, "pvs -o pv_name --noheadings -S vg_name=vg").await,
        "  /dev/disk-vg\n"
    );
    assert_eq!(
        run(&host, "pvs -o pv_name --noheadings -S vg_name=none").await,
        ""
    );
    let absent = host
        .run(cmd("lvs --noheadings -o lv_name none"))
        .await
        .unwrap();
    assert_eq!(
        (absent.code, absent.stderr.contains("\"none\" not found")),
        (5, true)
    );
    assert!(!cluster.has_device("n1", "/dev/vg/t") && cluster.has_device("n1", "/dev/vg/r_00000"));
}

/// A thick volume has the old content of its extents, except where lvcreate wipes it.
#[tokio::test(start_paused = true)]
async fn thick_volumes_find_rubbish() {
    let (cluster, host) = one_node();
    cluster.litter("n1", "vg");
    run(&host, "lvcreate -y --size 8192k vg --name t").await;
    assert_ne!(cluster.peek("n1", "/dev/vg/t", 1), Some(0));
    run(
        &host,
        "drbdmeta --force 1000 v09 /dev/vg/t internal create-md 7",
    )
    .await;
    run(&host, "lvremove -f vg/t").await;
    run(
        &host,
        "lvcreate -y --zero n --wipesignatures n --size 8192k vg --name t",
    )
    .await;
    let get_gi = "drbdmeta --force --node-id 0 1000 v09 /dev/vg/t internal get-gi";
    assert!(
        host.run(cmd(get_gi)).await.unwrap().success(),
        "old metadata was not wiped"
    );
    run(&host, "lvremove -f vg/t").await;
    run(&host, "lvcreate -y --size 8192k vg --name t").await;
    assert_eq!(host.run(cmd(get_gi)).await.unwrap().code, 1);
}

/// Snapshots share chunks until one side is written, and writes to a full pool fail.
#[tokio::test(start_paused = true)]
async fn thin_snapshots_and_full_pools() {
    let (cluster, host) = one_node();
    run(
        &host,
        "lvcreate -y --virtualsize 204800k vg --thinpool thin --name a",
    )
    .await;
    run(&host, "mkfs.ext4 -q -F /dev/vg/a").await;
    run(
        &host,
        "lvcreate -y --snapshot --setactivationskip y --ignoreactivationskip --activate \
     y --name s vg/a -pr",
    )
    .await;
    let used = "lvs --noheadings -o data_percent vg/thin";
    assert_eq!(run(&host, used).await.trim(), "0.06");
    run(&host, "wipefs -a -f /dev/vg/a").await;
    assert_eq!(run(&host, used).await.trim(), "0.12");
    let kind = run(&host, "blkid -o export /dev/vg/s").await;
    assert!(kind.contains("TYPE=ext4"), "{kind}");
    assert_eq!(
        host.run(cmd("blkid -o export /dev/vg/a"))
            .await
            .unwrap()
            .code,
        2
    );
    run(&host, "lvconvert --merge vg/s").await;
    assert!(
        run(&host, "blkid -o export /dev/vg/a")
            .await
            .contains("ext4")
    );
    assert_eq!(cluster.logical_volumes("n1", "vg"), ["a", "thin"]);
    assert_eq!(run(&host, used).await.trim(), "0.06");
    // 100 MiB of pool under 200 MiB of volume.
    run(&host, "lvcreate -y --size 204800k vg --name full").await;
    cluster.litter("n1", "vg");
    run(&host, "lvremove -f vg/full").await;
    cluster.litter("n1", "vg");
    run(&host, "lvcreate -y --size 204800k vg --name full").await;
    let copied = host
        .run(cmd("dd if=/dev/vg/full of=/dev/vg/a"))
        .await
        .unwrap();
    assert_eq!(copied.code, 0, "one block per extent fits");
}

/// ZFS volumes, snapshots and clones.
#[tokio::test(start_paused = true)]
async fn zfs_volumes() {
    let (cluster, host) = one_node();
    run(
        &host,
        "zfs create -s -V 102400KB -o linstor-rs:owner=c/r tank/r_00000",
    )
    .await;
    run(&host, "zfs create -V 102400KB tank/thick").await;
    let line = "zfs list -r -H -p -o name,type,used,refer,volsize,volblocksize,linstor-rs:owner \
     -t volume,snapshot tank";
    assert_eq!(
        run(&host, line).await,
        "tank/r_00000\tvolume\t0\t0\t104857600\t16384\tc/r\n\
         tank/thick\tvolume\t104857600\t0\t104857600\t16384\t-\n"
    );
    let space = run(
        &host,
        "zfs get -H -p -o property,value available,used,quota tank",
    )
    .await;
    assert_eq!(space, "available\t968884224\nused\t104857600\nquota\t0\n");
    let dry = run(&host, "zfs create -n -P -V 1048576KB tank/linstor_dry_run").await;
    assert!(dry.contains("property\tvolblocksize\t16384\n"), "{dry}");
    assert!(cluster.has_device("n1", "/dev/zvol/tank/r_00000"));
    run(&host, "zfs snapshot tank/r_00000@s").await;
    run(&host, "zfs clone tank/r_00000@s tank/c").await;
    let refused = host.run(cmd("zfs destroy tank/r_00000")).await.unwrap();
    assert_eq!(refused.code, 1);
    run(&host, "zfs destroy -R tank/r_00000").await;
    let absent = host.run(cmd("zfs list -H -p tank/c")).await.unwrap();
    assert!(absent.stderr.contains("dataset does not exist"));
}

/// Files as loop devices, which do not survive a reboot.
#[tokio::test(start_paused = true)]
async fn file_volumes() {
    let (cluster, host) = one_node();
    run(&host, "truncate -s 102400KiB /srv/pool/a.img").await;
    assert_eq!(
        run(&host, "losetup -f --show /srv/pool/a.img").await,
        "/dev/loop0\n"
    );
    run(&host, "fallocate -x -l 204800KiB /srv/pool/b.img").await;
    let usage = host.file_usage(Path::new("/srv/pool/b.img")).await;
    let usage = usage.unwrap().expect("it is there");
    assert_eq!(
        (usage.size_bytes, usage.allocated_bytes),
        (209_715_200, 209_715_200)
    );
    let list = run(&host, "losetup -l -n --raw -O NAME,BACK-FILE").await;
    assert_eq!(list, "/dev/loop0 /srv/pool/a.img\n");
    let path = Path::new("/dev/loop0");
    assert_eq!(
        host.block_device_size(path).await.unwrap(),
        Some(104_857_600)
    );
    run(&host, "truncate -s 204800KiB /srv/pool/a.img").await;
    assert_eq!(
        host.block_device_size(path).await.unwrap(),
        Some(104_857_600)
    );
    run(&host, "losetup -c /dev/loop0").await;
    assert_eq!(
        host.block_device_size(path).await.unwrap(),
        Some(209_715_200)
    );
    cluster.crash("n1");
    let host = cluster.boot("n1");
    assert_eq!(
        run(&host, "losetup -l -n --raw -O NAME,BACK-FILE").await,
        ""
    );
    assert_eq!(host.block_device_size(path).await.unwrap(), None);
}

/// A crypt mapping needs the right passphrase, and its content starts after the header.
#[tokio::test(start_paused = true)]
async fn crypt_mappings() {
    let (_, host) = one_node();
    run(&host, "lvcreate -y --size 65536k vg --name t").await;
    let format = cmd("cryptsetup -q luksFormat --pbkdf-memory 262144 /dev/vg/t").stdin("key\n");
    host.run(format).await.unwrap().ok().unwrap();
    assert!(
        host.run(cmd("cryptsetup isLuks /dev/vg/t"))
            .await
            .unwrap()
            .success()
    );
    let open = || cmd("cryptsetup open --tries 1 /dev/vg/t Linstor-Crypt-t");
    assert_eq!(host.run(open().stdin("wrong\n")).await.unwrap().code, 2);
    host.run(open().stdin("key\n")).await.unwrap().ok().unwrap();
    assert!(
        run(&host, "dmsetup ls --target crypt")
            .await
            .starts_with("Linstor-Crypt-t\t")
    );
    let size = host
        .block_device_size(Path::new("/dev/mapper/Linstor-Crypt-t"))
        .await
        .unwrap();
    assert_eq!(size, Some((65_536 - 16_384) * 1024));
    run(&host, "mkfs.ext4 -q /dev/mapper/Linstor-Crypt-t").await;
    assert_eq!(
        host.run(cmd("lvremove -f vg/t")).await.unwrap().code,
        5,
        "in use"
    );
    run(&host, "cryptsetup close Linstor-Crypt-t").await;
    run(&host, "lvremove -f vg/t").await;
}

/// Bytes are read and zeroed at their position.
#[tokio::test(start_paused = true)]
async fn bytes_of_devices() {
    let (_, host) = one_node();
    run(&host, "lvcreate -y --size 8192k vg --name t").await;
    run(
        &host,
        "drbdmeta --force 1000 v09 /dev/vg/t internal create-md 7",
    )
    .await;
    let path = Path::new("/dev/vg/t");
    let end = host
        .read_at(path, Place::FromEnd(4096), 4096)
        .await
        .unwrap();
    assert_eq!(
        (end.len(), &end[60..64]),
        (4096, &[0x83, 0x74, 0x02, 0x6d][..])
    );
    host.zero(path, Place::FromEnd(4096), 4096).await.unwrap();
    let end = host
        .read_at(path, Place::FromEnd(4096), 8192)
        .await
        .unwrap();
    assert_eq!(end, vec![0; 4096]);
}
