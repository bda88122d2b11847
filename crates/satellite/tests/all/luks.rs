//! Encrypted volumes: alone and below DRBD.

use std::time::Duration;

use expect_test::expect;
use linstor_fake_host::{Effect, Fault};
use linstor_host::{Cmd, Host};
use linstor_wire::Secret;
use linstor_wire::spec::{
    Action, Instruction, LayerSpec, LuksSpec, LuksVolumeSpec, ResourceSpec, Target, Withheld,
};
use linstor_wire::status::Outcome;
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind};
use crate::drbd::{SIZE_KIB, TWO, disk, nodes, spec};
use crate::growth::{drbd_kib, grown};
use crate::storage::data;

const KEY: &str = "canary-key-1";
const OTHER_KEY: &str = "canary-key-2";
const HEADER_KIB: u64 = 16_384;
const MAPPED: &str = "/dev/mapper/Linstor-Crypt-Data_00000";

/// The same resource with a LUKS layer above the storage.
pub(crate) fn encrypted(mut spec: ResourceSpec) -> ResourceSpec {
    let luks = LuksSpec {
        withheld: None,
        volumes: vec![LuksVolumeSpec {
            number: 0,
            key: Secret::new(KEY),
            generated: true,
            header_kib: HEADER_KIB,
            allow_discards: true,
            format_options: String::new(),
            open_options: String::new(),
        }],
    };
    let lowest = spec.layers.len() - 1;
    spec.layers.insert(lowest, LayerSpec::Luks(luks));
    data(&mut spec).size_kib += HEADER_KIB;
    spec
}

/// Encryption alone, in a pool.
fn alone(pool: &str) -> ResourceSpec {
    let mut spec = encrypted(spec("alpha", TWO));
    spec.layers.remove(0);
    spec.once.clear();
    data(&mut spec).pool = pool.parse().unwrap();
    spec
}

fn luks(spec: &mut ResourceSpec) -> &mut LuksSpec {
    let found = spec.layers.iter_mut().find_map(|layer| match layer {
        LayerSpec::Luks(luks) => Some(luks),
        _ => None,
    });
    found.expect("a LUKS layer")
}

/// As a controller sends it before the master passphrase is entered.
fn locked(mut spec: ResourceSpec) -> ResourceSpec {
    let layer = luks(&mut spec);
    layer.withheld = Some(Withheld::Locked);
    layer.volumes[0].key = Secret::default();
    spec
}

/// Two nodes with DRBD on LUKS.
async fn up(kind: DrbdKind) -> Bench {
    let mut bench = nodes(&["alpha", "beta"], kind).await;
    for name in ["alpha", "beta"] {
        bench.push(name, &encrypted(spec(name, TWO))).await;
    }
    for name in ["alpha", "beta"] {
        bench.converges(name, "Data").await;
    }
    assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
    bench
}

async fn waits(bench: &Bench, name: &str, expected: &str) {
    let waiting = |h: &crate::bench::Heard| match h.outcomes.get("Data") {
        Some((_, Outcome::Waiting { on, .. })) => on == expected,
        _ => false,
    };
    bench.until(name, expected, waiting).await;
}

/// Nothing of a node but the memory of its satellite has a key.
fn no_canary(bench: &Bench) {
    for name in bench.nodes.keys() {
        for (path, text) in bench.cluster.files(name) {
            assert!(!text.contains("canary"), "{path}");
        }
    }
    for entry in bench.cluster.journal() {
        assert!(!entry.text.contains("canary"), "{entry}");
    }
}

/// Every command of an encrypted volume's life.
#[tokio::test(start_paused = true)]
async fn a_life() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let mut spec = alone("thin");
    bench.done("alpha", &spec).await;
    expect![[r#"
        alpha: lvcreate -y --virtualsize 118784k vg0 --thinpool thin --name Data_00000 --addtag linstor-rs.00000000-0000-0000-0000-0000000000c1.00000000-0000-0000-0000-0000000000d0
        alpha: cryptsetup -q luksFormat --type luks2 --offset 32768 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vg0/Data_00000
        alpha: cryptsetup open --tries 1 --allow-discards /dev/vg0/Data_00000 Linstor-Crypt-Data_00000
    "#]].assert_eq(&bench.changes());
    let status = &bench.status("alpha", "Data").volumes[0];
    assert_eq!(status.device_path.as_deref(), Some(MAPPED));
    assert_eq!(status.usable_kib, Some(SIZE_KIB));
    assert_eq!(status.backing_kib, Some(SIZE_KIB + HEADER_KIB));
    assert_eq!(
        status.luks.as_ref().map(|luks| luks.size_kib),
        Some(SIZE_KIB)
    );
    bench.rests().await;
    data(&mut spec).size_kib += SIZE_KIB;
    bench.done("alpha", &spec).await;
    expect![[r#"
        alpha: lvresize --size 221184k -f vg0/Data_00000
        alpha: cryptsetup resize Linstor-Crypt-Data_00000
    "#]]
    .assert_eq(&bench.changes());
    let status = &bench.status("alpha", "Data").volumes[0];
    assert_eq!(status.usable_kib, Some(2 * SIZE_KIB));
    bench.rests().await;
    spec.target = Target::Down;
    bench.done("alpha", &spec).await;
    expect![[r#"
        alpha: cryptsetup close Linstor-Crypt-Data_00000
    "#]]
    .assert_eq(&bench.changes());
    assert_eq!(bench.status("alpha", "Data").volumes[0].luks, None);
    spec.target = Target::Up;
    bench.done("alpha", &spec).await;
    expect![[r#"
        alpha: cryptsetup open --tries 1 --allow-discards /dev/vg0/Data_00000 Linstor-Crypt-Data_00000
    "#]].assert_eq(&bench.changes());
    spec.target = Target::Destroyed;
    bench.done("alpha", &spec).await;
    expect![[r#"
        alpha: cryptsetup close Linstor-Crypt-Data_00000
        alpha: zero /dev/vg0/Data_00000
        alpha: lvchange -an vg0/Data_00000
        alpha: lvremove -f vg0/Data_00000
    "#]]
    .assert_eq(&bench.changes());
    bench.rests().await;
    no_canary(&bench);
}

/// In every kind of pool; a passphrase of a user is derived slowly, and options are passed on.
#[tokio::test(start_paused = true)]
async fn in_every_pool() {
    for pool in ["lvm", "zfs", "zfsthin", "file", "filethin"] {
        let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
        let mut spec = alone(pool);
        let volume = &mut luks(&mut spec).volumes[0];
        volume.generated = false;
        volume.format_options = "--offset 65536 --cipher aes-xts-plain64".to_owned();
        volume.header_kib = 32_768;
        data(&mut spec).size_kib = SIZE_KIB + 32_768;
        bench.done("alpha", &spec).await;
        let commands = bench.changes();
        let options = "--pbkdf-memory 262144 --offset 65536 --cipher aes-xts-plain64";
        assert!(commands.contains(options), "{commands}");
        let status = &bench.status("alpha", "Data").volumes[0];
        assert_eq!(status.usable_kib, Some(SIZE_KIB), "{pool}");
        data(&mut spec).size_kib += 8192;
        bench.done("alpha", &spec).await;
        let status = &bench.status("alpha", "Data").volumes[0];
        assert_eq!(status.usable_kib, Some(SIZE_KIB + 8192), "{pool}");
        bench.rests().await;
        spec.target = Target::Destroyed;
        bench.done("alpha", &spec).await;
        bench.rests().await;
        no_canary(&bench);
    }
}

/// DRBD on LUKS, on both kinds: used, grown, and still there after a power failure once the key arrives.
#[tokio::test(start_paused = true)]
async fn below_drbd() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        let mut bench = up(kind).await;
        let file = bench.cluster.file("alpha", "/var/lib/linstor.d/Data.res");
        let text = file.expect("a file");
        assert!(text.contains(&format!("disk {MAPPED};")), "{text}");
        for name in ["alpha", "beta"] {
            assert_eq!(disk(&bench, name), "UpToDate");
        }
        bench.rests().await;
        for name in ["alpha", "beta"] {
            bench.done(name, &encrypted(grown(name, 2, false))).await;
        }
        bench
            .done("alpha", &encrypted(grown("alpha", 2, true)))
            .await;
        for name in ["alpha", "beta"] {
            assert!(drbd_kib(&bench, name) >= 2 * SIZE_KIB - 4096, "{kind:?}");
        }
        assert!(bench.cluster.differences("Data", 0).is_empty());

        bench.cluster.crash("beta");
        bench.cluster.boot("beta");
        bench.restart("beta");
        bench.connect("beta").await;
        let beta = encrypted(grown("beta", 2, false));
        bench.sync("beta", &[locked(beta.clone())]).await;
        waits(&bench, "beta", "the master passphrase to be entered").await;
        assert_eq!(disk(&bench, "beta"), "absent");
        bench.done("beta", &beta).await;
        assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
        assert_eq!(disk(&bench, "beta"), "UpToDate");

        for name in ["alpha", "beta"] {
            let mut gone = locked(encrypted(grown(name, 2, false)));
            gone.target = Target::Destroyed;
            gone.allow_last_copy = true;
            bench.done(name, &gone).await;
            assert!(!bench.cluster.has_device(name, "/dev/vg0/Data_00000"));
        }
        assert_eq!(bench.cluster.violations(), Vec::<String>::new());
        no_canary(&bench);
    }
}

/// Without the key what is open remains open, what would have to be opened or grown waits, and others go on.
#[tokio::test(start_paused = true)]
async fn without_the_key() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    bench.done("alpha", &alone("thin")).await;
    bench.restart("alpha");
    bench.connect("alpha").await;
    let mut other = spec("alpha", TWO);
    other.name = "Plain".parse().unwrap();
    other.layers = vec![LayerSpec::Storage];
    other.once.clear();
    bench
        .sync("alpha", &[locked(alone("thin")), other.clone()])
        .await;
    bench.converges("alpha", "Data").await;
    bench.converges("alpha", "Plain").await;
    let mut larger = alone("thin");
    data(&mut larger).size_kib += SIZE_KIB;
    bench.push("alpha", &locked(larger.clone())).await;
    waits(&bench, "alpha", "the master passphrase to be entered").await;
    bench.done("alpha", &larger).await;

    bench.cluster.crash("alpha");
    bench.cluster.boot("alpha");
    bench.restart("alpha");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!bench.cluster.has_device("alpha", MAPPED));
    bench.connect("alpha").await;
    let mut plain_link = locked(larger.clone());
    luks(&mut plain_link).withheld = Some(Withheld::PlainLink);
    bench.sync("alpha", &[plain_link, other]).await;
    let why = "an encrypted link to the controller, which is set to send no keys over a plain one";
    waits(&bench, "alpha", why).await;
    bench.converges("alpha", "Plain").await;
    bench.done("alpha", &larger).await;
    assert!(bench.cluster.has_device("alpha", MAPPED));
    no_canary(&bench);
}

fn change(spec: &mut ResourceSpec, id: u128) -> Uuid {
    let id = Uuid::from_u128(id);
    luks(spec).volumes[0].key = Secret::new(OTHER_KEY);
    luks(spec).volumes[0].generated = false;
    spec.once.push(Instruction {
        id,
        volume: 0,
        action: Action::ChangeLuksKey {
            former: Secret::new(KEY),
        },
    });
    id
}

async fn opens_with(bench: &Bench, key: &str) -> bool {
    let cmd = Cmd::new("cryptsetup").args(["open", "--test-passphrase", "/dev/vg0/Data_00000"]);
    let host = bench.cluster.host("alpha");
    host.run(cmd.stdin(key)).await.expect("a host").success()
}

/// A new key replaces the former one in the header, while the device is open or closed, once.
#[tokio::test(start_paused = true)]
async fn the_key_is_changed() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    bench.done("alpha", &alone("thin")).await;
    bench.changes();
    let mut spec = alone("thin");
    let id = change(&mut spec, 0xc0);
    bench.done("alpha", &spec).await;
    assert_eq!(
        bench.changes(),
        "alpha: cryptsetup -q luksChangeKey /dev/vg0/Data_00000\n"
    );
    assert!(bench.instructions_done("alpha").contains(&id));
    assert!(opens_with(&bench, OTHER_KEY).await && !opens_with(&bench, KEY).await);
    bench.rests().await;
    bench.cluster.crash("alpha");
    bench.cluster.boot("alpha");
    bench.restart("alpha");
    bench.connect("alpha").await;
    bench.sync("alpha", std::slice::from_ref(&spec)).await;
    bench.converges("alpha", "Data").await;
    no_canary(&bench);
}

/// Whatever fails in the middle of creation, a change of the key or deletion: the next attempts come to the same end, and
/// what was written is not initialised again.
#[tokio::test(start_paused = true)]
async fn everything_survives_interruptions() {
    let mut changed = alone("thin");
    change(&mut changed, 0xc0);
    let mut gone = alone("thin");
    gone.target = Target::Destroyed;
    for (before, wanted) in [
        (None, alone("thin")),
        (Some(alone("thin")), changed),
        (Some(alone("thin")), gone),
    ] {
        for effect in [
            Effect::FailsBefore(1),
            Effect::FailsAfter(1),
            Effect::CrashBefore,
            Effect::CrashAfter,
        ] {
            for nth in 0.. {
                let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
                if let Some(before) = &before {
                    bench.done("alpha", before).await;
                }
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
                    bench.sync("alpha", std::slice::from_ref(&wanted)).await;
                }
                bench.converges("alpha", "Data").await;
                let exists = wanted.target == Target::Up;
                assert_eq!(bench.cluster.has_device("alpha", MAPPED), exists);
                let commands = bench.changes();
                if before.is_some() {
                    assert!(!commands.contains("luksFormat"), "{commands}");
                }
                bench.rests().await;
                no_canary(&bench);
                if unspent > 0 {
                    break;
                }
            }
        }
    }
}

/// A header that is gone, and a key that is not that of the header, are errors with the reason; nothing is overwritten.
#[tokio::test(start_paused = true)]
async fn headers_are_not_replaced() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let spec = alone("thin");
    bench.done("alpha", &spec).await;
    let mut down = spec.clone();
    down.target = Target::Down;
    bench.done("alpha", &down).await;
    bench.changes();
    let mut wrong = spec.clone();
    luks(&mut wrong).volumes[0].key = Secret::new(OTHER_KEY);
    let said = bench.fails("alpha", &wrong).await;
    assert!(said.contains("does not open its LUKS header"), "{said}");
    let alpha = bench.cluster.host("alpha");
    let device = std::path::Path::new("/dev/vg0/Data_00000");
    let start = linstor_host::Place::FromStart(0);
    alpha.zero(device, start, 1 << 20).await.expect("zeros");
    let said = bench.fails("alpha", &spec).await;
    assert!(said.contains("has no LUKS header any more"), "{said}");
    assert!(!bench.changes().contains("luksFormat"));
    no_canary(&bench);
}

/// A key that is no line, and a layer without a volume, are refused before anything is made.
#[tokio::test(start_paused = true)]
async fn hostile_specs_are_refused() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    for wrong in 0..4 {
        let mut spec = alone("thin");
        let volume = &mut luks(&mut spec).volumes[0];
        match wrong {
            0 => volume.key = Secret::new("canary\nline"),
            1 => volume.header_kib = 0,
            2 => luks(&mut spec).volumes.clear(),
            _ => spec.layers.insert(0, LayerSpec::Storage),
        }
        let said = bench.fails("alpha", &spec).await;
        assert!(said.contains("refused by the satellite"), "{said}");
    }
    let mut spec = alone("thin");
    luks(&mut spec).volumes[0].format_options = "--key-file /etc/shadow".to_owned();
    let said = bench.fails("alpha", &spec).await;
    assert!(
        said.contains("--key-file is set by the satellite"),
        "{said}"
    );
    assert!(!bench.changes().contains("cryptsetup"));
    no_canary(&bench);
}

/// A device of our name on something else is not used.
#[tokio::test(start_paused = true)]
async fn a_foreign_device_is_not_used() {
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    let alpha = bench.cluster.host("alpha");
    for (args, key) in [
        ("lvcreate -y --size 65536k vg0 --name other", ""),
        ("cryptsetup -q luksFormat /dev/vg0/other", "k\n"),
        (
            "cryptsetup open /dev/vg0/other Linstor-Crypt-Data_00000",
            "k\n",
        ),
    ] {
        let mut words = args.split(' ');
        let program = match words.next() {
            Some("lvcreate") => "lvcreate",
            _ => "cryptsetup",
        };
        let cmd = Cmd::new(program).args(words).stdin(key);
        assert!(alpha.run(cmd).await.expect("a host").success(), "{args}");
    }
    let said = bench.fails("alpha", &alone("thin")).await;
    assert!(said.contains("is not on '/dev/vg0/Data_00000'"), "{said}");
}

/// I/O of an encrypted volume without DRBD can be suspended.
#[tokio::test(start_paused = true)]
async fn io_is_suspended() {
    use linstor_wire::ToSatellite;
    use linstor_wire::message::SuspensionState;
    let mut bench = nodes(&["alpha"], DrbdKind::V9).await;
    bench.done("alpha", &alone("thin")).await;
    let lease = Uuid::from_u128(5);
    let suspend = ToSatellite::Suspend {
        lease,
        resources: vec!["Data".parse().unwrap()],
        duration_ms: 5000,
    };
    bench.send("alpha", suspend).await;
    let suspended =
        |h: &crate::bench::Heard| h.suspensions == [(lease, SuspensionState::Suspended)];
    bench.until("alpha", "the suspension", suspended).await;
    let commands = bench.changes();
    assert!(
        commands.contains("dmsetup suspend Linstor-Crypt-Data_00000"),
        "{commands}"
    );
}

/// A node dies after its storage has grown and before DRBD has: the growth ends once the node is back and has the key, and
/// what remains can be deleted meanwhile.
#[tokio::test(start_paused = true)]
async fn a_node_dies_in_the_middle_of_growth() {
    for kind in [DrbdKind::V9, DrbdKind::V84] {
        for deleted in [false, true] {
            let mut bench = up(kind).await;
            for name in ["alpha", "beta"] {
                bench.done(name, &encrypted(grown(name, 2, false))).await;
            }
            bench.cluster.crash("beta");
            bench
                .push("alpha", &encrypted(grown("alpha", 2, true)))
                .await;
            tokio::time::sleep(Duration::from_secs(90)).await;
            if deleted {
                let mut gone = encrypted(grown("alpha", 2, true));
                gone.target = Target::Destroyed;
                gone.allow_last_copy = true;
                bench.done("alpha", &gone).await;
                continue;
            }
            bench.cluster.boot("beta");
            bench.restart("beta");
            bench.connect("beta").await;
            let beta = encrypted(grown("beta", 2, false));
            bench.sync("beta", &[locked(beta.clone())]).await;
            tokio::time::sleep(Duration::from_secs(90)).await;
            bench.done("beta", &beta).await;
            bench.converges("alpha", "Data").await;
            assert!(bench.cluster.quiesce(Duration::from_secs(120)).await);
            for name in ["alpha", "beta"] {
                let size = drbd_kib(&bench, name);
                assert!(size >= 2 * SIZE_KIB - 4096, "{kind:?} {name} {size}");
                assert_eq!(disk(&bench, name), "UpToDate");
            }
            bench.rests().await;
        }
    }
}
