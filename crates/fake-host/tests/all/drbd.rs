//! DRBD between machines: which node has which data at which time.

use std::path::Path;
use std::time::Duration;

use linstor_fake_host::{AppIo, DrbdKind};
use linstor_host::{Host, Place};

use crate::lab::{Lab, Part, cmd};

const BOTH: [Part; 2] = [Part::First, Part::LikeDay0];

/// A new replica with day-0 metadata gets only the blocks written since, and accepts no I/O before its first
/// connection.
#[tokio::test(start_paused = true)]
async fn day0_skips_the_initial_sync() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let lab = Lab::new(2, kind);
        lab.deploy(2, &BOTH).await;
        lab.settle().await;
        assert_eq!(lab.disk(2), "Outdated");
        let subject = if kind == DrbdKind::V9 { "r" } else { "1000" };
        let refused = lab
            .try_run(2, &format!("drbdsetup primary {subject}"))
            .await;
        assert_eq!(
            (refused.code, refused.stderr.contains("UpToDate data")),
            (17, true)
        );
        lab.deploy(1, &BOTH).await;
        lab.settle().await;
        assert_eq!(
            (lab.disk(1), lab.disk(2)),
            ("UpToDate".into(), "UpToDate".into()),
            "{kind:?}"
        );
        assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
    }
}

/// A new replica with just-created metadata is Inconsistent until the initial sync has copied all blocks.
#[tokio::test(start_paused = true)]
async fn a_fresh_replica_is_filled() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let lab = Lab::new(2, kind);
        let parts = [Part::First, Part::FullSync];
        lab.deploy(1, &parts).await;
        lab.settle().await;
        promote(&lab, 1).await;
        lab.write(1, 5, 55);
        lab.write(1, 25_000, 77);
        lab.deploy(2, &parts).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(
            lab.link(1, 2),
            "Connected/SyncSource/Inconsistent",
            "{kind:?}"
        );
        // Written during the resync, before and after its position.
        lab.write(1, 3, 33);
        lab.write(1, 20_000, 44);
        lab.settle().await;
        assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
        let there = [5, 25_000, 3, 20_000].map(|block| lab.peek(2, block));
        assert_eq!(there, [55, 77, 33, 44]);
        assert!(lab.cluster.lost_writes("r").is_empty());
    }
}

async fn promote(lab: &Lab, node: usize) {
    if lab.kind == DrbdKind::V84 {
        lab.run(node, "drbdsetup primary 1000").await;
    }
    lab.open(node);
}

/// After the primary's machine crashed, the peer is promoted; the crashed one returns and is resynchronised.
#[tokio::test(start_paused = true)]
async fn a_lost_primary_loses_nothing() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let lab = Lab::new(2, kind);
        lab.deploy_all(&BOTH).await;
        promote(&lab, 1).await;
        lab.write(1, 1, 11);
        lab.cluster.crash("n1");
        assert_eq!(lab.link(2, 1), "Connecting/Off/DUnknown");
        promote(&lab, 2).await;
        assert_eq!(lab.cluster.read("n2", "r", 0, 1), Ok(11));
        lab.write(2, 2, 22);
        lab.reboot(1).await;
        assert_eq!(lab.link(2, 1), "Connected/Established/UpToDate", "{kind:?}");
        assert_eq!((lab.peek(1, 1), lab.peek(1, 2)), (11, 22));
        assert_eq!(lab.cluster.whole_copies("r", 0), ["n1", "n2"]);
    }
}

/// Writes on both sides of a network failure: split brain, both connections are StandAlone, no side discards data.
#[tokio::test(start_paused = true)]
async fn split_brain_stands_alone() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let lab = Lab::new(2, kind);
        lab.deploy_all(&BOTH).await;
        lab.cluster.cut("n1", "n2");
        promote(&lab, 1).await;
        lab.write(1, 1, 11);
        promote(&lab, 2).await;
        lab.write(2, 1, 22);
        lab.close(1);
        lab.close(2);
        lab.cluster.heal("n1", "n2");
        lab.settle().await;
        // 8.4 removes StandAlone connections.
        let alone = if kind == DrbdKind::V9 {
            "StandAlone/Off/DUnknown"
        } else {
            "none"
        };
        assert_eq!(
            (lab.link(1, 2), lab.link(2, 1)),
            (alone.into(), alone.into())
        );
        assert_eq!((lab.peek(1, 1), lab.peek(2, 1)), (11, 22));
    }
}

/// A split brain is resolved with `--discard-my-data` on one side.
#[tokio::test(start_paused = true)]
async fn split_brain_is_resolved_by_discarding() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.cluster.cut("n1", "n2");
    for node in [1, 2] {
        lab.open(node);
        lab.write(node, 1, node as u64);
        lab.close(node);
    }
    lab.cluster.heal("n1", "n2");
    lab.settle().await;
    lab.run(2, "drbdsetup connect --discard-my-data r 0").await;
    lab.run(1, "drbdsetup connect r 1").await;
    lab.settle().await;
    assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
    assert_eq!(lab.peek(2, 1), 1);
}

/// A network failure without writes needs no resync.
#[tokio::test(start_paused = true)]
async fn a_cut_link_heals() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.open(1);
    lab.write(1, 1, 1);
    lab.cluster.cut("n1", "n2");
    lab.write(1, 2, 2);
    assert_eq!(lab.peek(2, 2), 0);
    lab.cluster.heal("n1", "n2");
    lab.settle().await;
    assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
    assert_eq!(lab.peek(2, 2), 2);
}

/// Three replicas: two continue without the third, which is then resynchronised with the missed blocks only.
#[tokio::test(start_paused = true)]
async fn three_replicas() {
    let lab = Lab::with_quorum(3);
    let parts = [Part::First, Part::LikeDay0, Part::LikeDay0];
    lab.deploy_all(&parts).await;
    lab.open(1);
    lab.write(1, 1, 1);
    lab.cluster.crash("n3");
    lab.write(1, 2, 2);
    // The primary crashes as well, while only its disk is UpToDate: the remaining node has no quorum.
    lab.cluster.crash("n1");
    assert!(lab.cluster.open("n2", "r", 0).is_err());
    lab.reboot(3).await;
    assert_eq!(lab.link(2, 3), "Connected/Established/UpToDate");
    assert_eq!((lab.peek(3, 1), lab.peek(3, 2)), (1, 2));
    lab.open(3);
    lab.write(3, 3, 3);
    lab.close(3);
    lab.reboot(1).await;
    assert_eq!(lab.peek(1, 3), 3);
    assert!(lab.cluster.lost_writes("r").is_empty());
    assert_eq!(lab.cluster.whole_copies("r", 0), ["n1", "n2", "n3"]);
}

/// Two replicas and a diskless node: the side with the tie-breaker has quorum.
#[tokio::test(start_paused = true)]
async fn a_tie_breaker_decides() {
    let lab = Lab::with_quorum(3);
    lab.deploy_all(&[Part::First, Part::LikeDay0, Part::Diskless])
        .await;
    assert_eq!(lab.disk(3), "Diskless");
    lab.open(1);
    lab.write(1, 1, 1);
    lab.cluster.cut("n1", "n2");
    lab.cluster.cut("n1", "n3");
    assert_eq!(lab.cluster.write("n1", "r", 0, 2, 2), Err(AppIo::IoError));
    lab.open(2);
    lab.write(2, 3, 3);
    lab.close(2);
    lab.close(1);
    lab.cluster.heal("n1", "n2");
    lab.cluster.heal("n1", "n3");
    lab.settle().await;
    assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
    assert_eq!((lab.peek(1, 3), lab.peek(1, 2)), (3, 0));
    // A diskless node reads and writes through its peers.
    lab.open(3);
    lab.write(3, 4, 4);
    assert_eq!(lab.cluster.read("n3", "r", 0, 4), Ok(4));
    assert_eq!((lab.peek(1, 4), lab.peek(2, 4)), (4, 4));
}

/// With `on-no-quorum suspend-io` requests wait instead of failing.
#[tokio::test(start_paused = true)]
async fn lost_quorum_can_suspend() {
    let options = "options { quorum majority; on-no-quorum suspend-io; }";
    let lab = Lab {
        options,
        ..Lab::new(3, DrbdKind::V9)
    };
    lab.deploy_all(&[Part::First, Part::LikeDay0, Part::Diskless])
        .await;
    lab.open(1);
    lab.cluster.cut("n1", "n2");
    lab.cluster.cut("n1", "n3");
    assert_eq!(lab.cluster.write("n1", "r", 0, 2, 2), Err(AppIo::Suspended));
    assert!(
        lab.run(1, "drbdsetup status r")
            .await
            .contains("suspended:quorum")
    );
}

/// A third replica with day-0 metadata that is added later gets all blocks ever written, and no others.
#[tokio::test(start_paused = true)]
async fn a_later_replica_is_filled_from_day0() {
    let lab = Lab::new(3, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.open(1);
    lab.write(1, 9, 9);
    let parts = [Part::First, Part::LikeDay0, Part::LikeDay0];
    for node in [1, 2] {
        lab.write_file(node, &parts).await;
        lab.adjust(node).await;
    }
    lab.deploy(3, &parts).await;
    lab.settle().await;
    assert_eq!((lab.disk(3), lab.peek(3, 9)), ("UpToDate".into(), 9));
    assert_eq!(lab.link(2, 3), "Connected/Established/UpToDate");
}

/// A replica that was removed (`del-peer`, `forget-peer`) and created again gets a full sync.
#[tokio::test(start_paused = true)]
async fn a_replaced_replica_is_filled_again() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.open(1);
    lab.write(1, 9, 9);
    lab.run(2, "drbdsetup down r").await;
    lab.run(2, "lvremove -f vg/r_00000").await;
    lab.run(1, "drbdsetup del-peer r 1").await;
    lab.run(1, "drbdsetup forget-peer r 1").await;
    lab.write(1, 10, 10);
    lab.adjust(1).await;
    lab.deploy(2, &[Part::First, Part::FullSync]).await;
    lab.settle().await;
    assert_eq!((lab.peek(2, 9), lab.peek(2, 10)), (9, 10));
    assert!(lab.cluster.violations().is_empty());
}

/// Growing: first the backing devices, then DRBD, which resynchronises the new part.
#[tokio::test(start_paused = true)]
async fn resize() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let lab = Lab::new(2, kind);
        lab.deploy_all(&BOTH).await;
        promote(&lab, 1).await;
        lab.write(1, 1, 1);
        let old = lab.cluster.drbd("n1", "r", 0).unwrap().size_kib;
        lab.run(1, "lvresize --size 204800k -f vg/r_00000").await;
        lab.run(1, "drbdadm -c /var/lib/linstor.d/r.res resize r/0")
            .await;
        assert_eq!(
            lab.cluster.drbd("n1", "r", 0).unwrap().size_kib,
            old,
            "the peer has not grown"
        );
        lab.run(2, "lvresize --size 204800k -f vg/r_00000").await;
        lab.run(1, "drbdadm -c /var/lib/linstor.d/r.res resize r/0")
            .await;
        let new = lab.cluster.drbd("n2", "r", 0).unwrap().size_kib;
        assert_eq!(
            new,
            if kind == DrbdKind::V9 {
                204_720
            } else {
                204_756
            }
        );
        lab.settle().await;
        lab.write(1, 50_000, 5);
        assert_eq!((lab.peek(2, 50_000), lab.peek(2, 1)), (5, 1));
    }
}

/// The old location of internal metadata differs between replicas until it is written or copied: `--assume-clean` does
/// not copy it, a resize with `--size` before it does. All replicas store that size, and `adjust` removes it.
#[tokio::test(start_paused = true)]
async fn growth_uncovers_old_metadata() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        for limited in [false, true] {
            let lab = Lab::new(2, kind);
            lab.deploy_all(&BOTH).await;
            promote(&lab, 1).await;
            for node in [1, 2] {
                lab.run(node, "lvresize --size 204800k -f vg/r_00000").await;
            }
            let resize = "drbdadm -c /var/lib/linstor.d/r.res";
            if limited {
                lab.run(1, &format!("{resize} -- --size=103000k resize r/0"))
                    .await;
                assert_eq!(lab.cluster.drbd("n2", "r", 0).unwrap().size_kib, 103_000);
                let adjust = lab
                    .try_run(2, "drbdadm -c /var/lib/linstor.d/r.res adjust r")
                    .await;
                assert_ne!(adjust.code, 0, "it would resize during a resync");
                lab.settle().await;
                assert!(lab.cluster.differences("r", 0).is_empty());
            }
            lab.run(1, &format!("{resize} -- --assume-clean resize r/0"))
                .await;
            assert!(lab.cluster.drbd("n2", "r", 0).unwrap().size_kib > 204_000);
            assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
            let differing = lab.cluster.differences("r", 0);
            assert_eq!(differing.is_empty(), limited, "{kind:?} {differing:?}");
            lab.adjust(2).await;
        }
    }
}

/// If a device grew while DRBD was down, its internal metadata is not found until `check-resize` moves it.
#[tokio::test(start_paused = true)]
async fn growth_while_down_needs_check_resize() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.run(2, "drbdsetup down r").await;
    lab.run(2, "lvresize --size 204800k -f vg/r_00000").await;
    let get_gi = "drbdmeta --force --node-id 0 1000 v09 /dev/vg/r_00000 internal get-gi";
    let output = lab.try_run(2, get_gi).await;
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    let adjust = lab
        .try_run(2, "drbdadm -c /var/lib/linstor.d/r.res adjust r")
        .await;
    assert_eq!(adjust.code, 1);
    lab.run(
        2,
        "drbdmeta --force 1000 v09 /dev/vg/r_00000 internal check-resize",
    )
    .await;
    lab.adjust(2).await;
    lab.settle().await;
    assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
}

/// An I/O error below DRBD: the disk is detached, the application continues with the peer's.
#[tokio::test(start_paused = true)]
async fn an_io_error_drops_the_disk() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.cluster.break_device("n1", "/dev/vg/r_00000");
    lab.open(1);
    lab.write(1, 1, 1);
    assert_eq!((lab.disk(1), lab.peek(2, 1)), ("Diskless".into(), 1));
    assert_eq!(lab.cluster.read("n1", "r", 0, 1), Ok(1));
    lab.cluster.repair_device("n1", "/dev/vg/r_00000");
    lab.adjust(1).await;
    lab.settle().await;
    assert_eq!((lab.disk(1), lab.peek(1, 1)), ("UpToDate".into(), 1));
}

/// Peers with different secrets, ports or node ids never connect.
#[tokio::test(start_paused = true)]
async fn peers_must_agree() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy(1, &BOTH).await;
    lab.deploy(2, &BOTH).await;
    lab.run(2, "drbdsetup down r").await;
    let text = lab.cluster.file("n2", "/var/lib/linstor.d/r.res").unwrap();
    let host = lab.host(2);
    let path = Path::new("/var/lib/linstor.d/r.res");
    let other = text.replace("shared-secret \"s\"", "shared-secret \"t\"");
    host.write_atomic(path, other.as_bytes(), 0o600)
        .await
        .unwrap();
    lab.adjust(2).await;
    lab.settle().await;
    assert_eq!(lab.link(1, 2), "StandAlone/Off/DUnknown");
    lab.run(2, "drbdsetup down r").await;
    let other = text.replace("10.77.0.2:7000", "10.77.0.2:7001");
    host.write_atomic(path, other.as_bytes(), 0o600)
        .await
        .unwrap();
    lab.adjust(1).await;
    lab.adjust(2).await;
    lab.settle().await;
    assert_eq!(lab.link(1, 2), "Connecting/Off/DUnknown");
}

/// DRBD 8.4 supports neither diskless peers nor DRBD 9's configuration syntax.
#[tokio::test(start_paused = true)]
async fn drbd84_refuses_what_is_new() {
    let lab = Lab::new(2, DrbdKind::V84);
    let lab9 = Lab {
        kind: DrbdKind::V9,
        cluster: lab.cluster.clone(),
        options: "",
    };
    lab9.write_file(1, &BOTH).await;
    let refused = lab
        .try_run(1, "drbdadm -c /var/lib/linstor.d/r.res adjust r")
        .await;
    assert_eq!(refused.code, 10);
    assert!(
        refused.stderr.contains("but got 'node-id'"),
        "{}",
        refused.stderr
    );
}

/// Destroying the last complete copy of acknowledged data is reported with the command that did it.
#[tokio::test(start_paused = true)]
async fn destroying_the_last_copy_is_noticed() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.open(1);
    lab.write(1, 1, 1);
    lab.close(1);
    for node in [1, 2] {
        assert!(lab.cluster.violations().is_empty());
        lab.run(node, "drbdsetup down r").await;
        lab.run(node, "lvremove -f vg/r_00000").await;
    }
    let found = lab.cluster.violations();
    assert_eq!(
        found,
        ["the last complete copy of r/0 was destroyed by: n2: lvremove -f vg/r_00000"]
    );
}

/// An encrypted copy is there while its LUKS device is closed, after a power cut for example, and is lost with its header.
#[tokio::test(start_paused = true)]
async fn a_closed_luks_device_has_its_data() {
    let lab = Lab::new(2, DrbdKind::V9);
    let mapped = "/dev/mapper/Linstor-Crypt-r_00000";
    for node in [1, 2] {
        lab.run(node, "lvcreate -y --size 131072k vg --name luks")
            .await;
        let format = cmd("cryptsetup -q luksFormat /dev/vg/luks").stdin("key\n");
        lab.host(node).run(format).await.unwrap().ok().unwrap();
        let open = cmd("cryptsetup open /dev/vg/luks Linstor-Crypt-r_00000").stdin("key\n");
        lab.host(node).run(open).await.unwrap().ok().unwrap();
        lab.write_file(node, &BOTH).await;
        let path = Path::new("/var/lib/linstor.d/r.res");
        let text = lab
            .cluster
            .file(&format!("n{node}"), "/var/lib/linstor.d/r.res");
        let text = text.unwrap().replace("/dev/vg/r_00000", mapped);
        let host = lab.host(node);
        host.write_atomic(path, text.as_bytes(), 0o600)
            .await
            .unwrap();
        lab.create_metadata_on(mapped, node, BOTH[node - 1]).await;
        lab.adjust(node).await;
    }
    lab.settle().await;
    assert_eq!(lab.disk(2), "UpToDate");
    lab.open(1);
    lab.write(1, 1, 1);
    lab.close(1);
    lab.cluster.crash("n1");
    lab.run(2, "drbdsetup down r").await;
    lab.run(2, "cryptsetup close Linstor-Crypt-r_00000").await;
    lab.run(2, "lvchange -an vg/luks").await;
    assert_eq!(lab.cluster.violations(), Vec::<String>::new());
    assert_eq!(lab.cluster.whole_copies("r", 0), ["n1", "n2"]);
    lab.run(2, "lvremove -f vg/luks").await;
    assert_eq!(lab.cluster.violations(), Vec::<String>::new());
    lab.cluster.boot("n1");
    let luks = Path::new("/dev/vg/luks");
    lab.host(1)
        .zero(luks, Place::FromStart(0), 4096)
        .await
        .unwrap();
    assert_eq!(
        lab.cluster.violations(),
        ["the last complete copy of r/0 was destroyed by: n1: zero /dev/vg/luks"]
    );
}

/// A resync that was paused for another one goes on when the source of that one loses its disk.
#[tokio::test(start_paused = true)]
async fn a_paused_resync_goes_on_without_the_other_source() {
    let lab = Lab::new(3, DrbdKind::V9);
    let slow = |config: &mut linstor_fake_host::Config| config.resync_kib_per_second = 4096;
    lab.cluster.configure(slow);
    let parts = [Part::First, Part::LikeDay0, Part::FullSync];
    for node in [1, 2, 3] {
        lab.deploy(node, &parts).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let (from, paused) = match lab.link(3, 1).as_str() {
        "Connected/SyncTarget/UpToDate" => (1, 2),
        _ => (2, 1),
    };
    assert_eq!(lab.link(3, from), "Connected/SyncTarget/UpToDate");
    assert_eq!(lab.link(3, paused), "Connected/PausedSyncT/UpToDate");
    lab.run(from, "drbdsetup detach 1000 --diskless").await;
    lab.settle().await;
    assert_eq!(lab.link(3, paused), "Connected/Established/UpToDate");
    assert_eq!(lab.disk(3), "UpToDate");
}

/// A diskless node becomes a diskful one only after its peers have allocated a bitmap for it.
#[tokio::test(start_paused = true)]
async fn toggling_a_disk() {
    let lab = Lab::new(2, DrbdKind::V9);
    let before = [Part::First, Part::Diskless];
    lab.deploy_all(&before).await;
    lab.open(1);
    lab.write(1, 4, 4);
    lab.close(1);
    lab.write_file(2, &BOTH).await;
    lab.run(
        2,
        "lvcreate -y --virtualsize 102400k vg --thinpool thin --name r_00000",
    )
    .await;
    lab.create_metadata(2, Part::LikeDay0).await;
    let adjust = "drbdadm -c /var/lib/linstor.d/r.res adjust r";
    let refused = lab.try_run(2, adjust).await;
    assert_eq!(
        (
            refused.code,
            refused.stderr.contains("intentional diskless")
        ),
        (1, true)
    );
    lab.write_file(1, &BOTH).await;
    lab.adjust(1).await;
    lab.adjust(2).await;
    lab.settle().await;
    assert_eq!((lab.disk(2), lab.peek(2, 4)), ("UpToDate".into(), 4));
    // And diskless again.
    lab.run(2, "drbdsetup detach 1000 --diskless").await;
    for node in [1, 2] {
        lab.write_file(node, &before).await;
        lab.adjust(node).await;
    }
    lab.settle().await;
    assert!(
        lab.run(2, "drbdsetup status r")
            .await
            .contains("disk:Diskless client:yes")
    );
    lab.open(2);
    assert_eq!(lab.cluster.read("n2", "r", 0, 4), Ok(4));
}

/// If another process listens on the port, the connection is StandAlone, but the command succeeds.
#[tokio::test(start_paused = true)]
async fn a_busy_port() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let lab = Lab::new(2, kind);
        lab.cluster.occupy_port("n1", 7000, "nc");
        lab.deploy_all(&BOTH).await;
        let alone = if kind == DrbdKind::V9 {
            "StandAlone/Off/DUnknown"
        } else {
            "none"
        };
        assert_eq!(
            (lab.link(1, 2), lab.link(2, 1)),
            (alone.into(), "Connecting/Off/DUnknown".into())
        );
        lab.cluster.free_port("n1", 7000);
        lab.adjust(1).await;
        lab.settle().await;
        assert_eq!(lab.link(1, 2), "Connected/Established/UpToDate");
    }
}

/// `primary --force` overrides a lost quorum.
#[tokio::test(start_paused = true)]
async fn force_overrides_quorum() {
    let lab = Lab::with_quorum(3);
    lab.deploy_all(&[Part::First, Part::LikeDay0, Part::Diskless])
        .await;
    lab.cluster.crash("n2");
    lab.cluster.crash("n3");
    let refused = lab.try_run(1, "drbdsetup primary r").await;
    assert_eq!(
        (refused.code, refused.stderr.contains("(-25) No quorum")),
        (11, true)
    );
    lab.run(1, "drbdsetup primary --force r").await;
    lab.write(1, 1, 1);
}

/// `restore-md` sets all generation ids in one command, for both versions; a size beyond the device is reduced.
#[tokio::test(start_paused = true)]
async fn restored_metadata() {
    use linstor_host::Host;
    let lab = Lab::new(1, DrbdKind::V84);
    let host = lab.host(1);
    let path = std::path::Path::new("/run/md");
    lab.run(
        1,
        "lvcreate -y --virtualsize 102400k vg --thinpool thin --name x",
    )
    .await;
    let old = "version \"v08\";\nuuid { 0x1111222233334444; 0xDA00DA00DA00DA00; 0x0; 0x0; flags 0x00000011; }\n\
               la-size-sect 1099511627776;\nbm-byte-per-bit 4096;\ndevice-uuid 0x1;\nla-peer-max-bio-size 0;\n\
               al-stripes 1;\nal-stripe-size-4k 8;\nbm { }\n";
    host.write_atomic(path, old.as_bytes(), 0o600)
        .await
        .unwrap();
    let meta = "drbdmeta --force 1000 v08 /dev/vg/x internal";
    lab.run(1, &format!("{meta} create-md")).await;
    lab.run(1, &format!("{meta} restore-md /run/md")).await;
    assert_eq!(
        lab.run(1, &format!("{meta} get-gi")).await,
        "1111222233334444:DA00DA00DA00DA00:0000000000000000:0000000000000000:1:1:0:0:0:0:0\n"
    );
    assert!(
        lab.run(1, &format!("{meta} dump-md"))
            .await
            .contains("la-size-sect 204720;")
    );
    // Metadata of the other version is converted, not replaced.
    lab.run(
        1,
        "drbdmeta --force 1000 v09 /dev/vg/x internal create-md 7",
    )
    .await;
    let nine = lab
        .run(
            1,
            "drbdmeta --force --node-id 1 1000 v09 /dev/vg/x internal get-gi",
        )
        .await;
    assert!(
        nine.starts_with("1111222233334444:DA00DA00DA00DA00:"),
        "{nine}"
    );
    lab.run(1, "drbdmeta --force 1000 v09 /dev/vg/x internal wipe-md")
        .await;
    assert_eq!(lab.try_run(1, &format!("{meta} get-gi")).await.code, 1);
}

/// Writes to a full thin pool fail: DRBD detaches the disk, continues with the peer's, and resynchronises later.
#[tokio::test(start_paused = true)]
async fn a_full_pool_drops_the_disk() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    lab.open(1);
    lab.write(1, 1, 1);
    lab.cluster.fill_thin_pool("n2", "vg", "thin");
    let used = lab.run(2, "lvs --noheadings -o data_percent vg/thin").await;
    assert_eq!(used.trim(), "100.00");
    // In an allocated chunk, and in a new one.
    lab.write(1, 2, 2);
    assert_eq!(lab.disk(2), "UpToDate");
    lab.write(1, 20_000, 3);
    assert_eq!(
        (lab.disk(2), lab.disk(1)),
        ("Diskless".into(), "UpToDate".into())
    );
    lab.cluster.drain_thin_pool("n2", "vg", "thin");
    lab.adjust(2).await;
    lab.settle().await;
    assert_eq!((lab.disk(2), lab.peek(2, 20_000)), ("UpToDate".into(), 3));
    assert!(lab.cluster.lost_writes("r").is_empty());
}
