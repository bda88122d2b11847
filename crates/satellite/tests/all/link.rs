//! The conversation: syncs, pings, fences.

use std::collections::BTreeSet;
use std::time::Duration;

use linstor_api::kind::ProviderKind;
use linstor_fake_host::{Effect, Fault};
use linstor_net::ControllerSide;
use linstor_wire::auth_token::hash;
use linstor_wire::message::{Forget, Held, NewerController, PROTOCOL, PROTOCOL_MIN, RefusalKind};
use linstor_wire::spec::{LayerSpec, ResourceSpec, Target};
use linstor_wire::status::Outcome;
use linstor_wire::{Key, Secret, ToController, ToSatellite, Wanted};
use uuid::Uuid;

use crate::bench::{Bench, DrbdKind, Heard, pool, wanted};
use crate::drbd::spec;
use crate::storage::data;

const ALONE: &[(&str, bool)] = &[("alpha", false)];

/// A ping is answered while everything else is stuck.
#[tokio::test(start_paused = true)]
async fn a_ping_never_waits() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench
        .cluster
        .inject(Fault::next_change("alpha", Effect::Hangs).times(1000));
    bench.push("alpha", &spec("alpha", ALONE)).await;
    bench.send("alpha", ToSatellite::Ping { id: 5 }).await;
    let started = tokio::time::Instant::now();
    bench
        .until("alpha", "a pong", |h: &Heard| h.pongs == [5])
        .await;
    assert!(started.elapsed() < Duration::from_millis(100));
}

/// Space is told after a sync, after changes and when asked.
#[tokio::test(start_paused = true)]
async fn space_is_told() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let of = |bench: &Bench, pool: &str| {
        let heard = bench.nodes["alpha"].heard.lock().unwrap();
        heard
            .pools
            .iter()
            .find(|p| p.name == pool)
            .cloned()
            .expect("a pool")
    };
    let before = of(&bench, "thin");
    assert_eq!(before.total_kib, Some(2 << 20));
    assert_eq!(before.granularity_kib, Some(4096));
    assert_eq!(of(&bench, "filethin").granularity_kib, Some(1));
    assert!(of(&bench, "zfs").granularity_kib.is_some());
    assert!(of(&bench, "zfs").free_kib <= Some(4 << 20));
    let mut thick = spec("alpha", ALONE);
    data(&mut thick).pool = "lvm".parse().unwrap();
    let free = of(&bench, "lvm").free_kib;
    bench.done("alpha", &thick).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(of(&bench, "lvm").free_kib < free);
    bench
        .send("alpha", ToSatellite::RefreshSpace { id: 9 })
        .await;
    bench
        .until("alpha", "space", |h: &Heard| h.refreshed == [9])
        .await;
}

/// The node's token of the REST API is written down where LINSTOR's clients look for it, and its hash is reported, also after
/// a restart.
#[tokio::test(start_paused = true)]
async fn the_nodes_token_is_written_down() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let reported = |heard: &Heard| heard.info.as_ref().and_then(|info| info.auth_token.clone());
    assert_eq!(
        reported(&bench.nodes["alpha"].heard.lock().unwrap()),
        Some(String::new())
    );
    let token = Secret::new("Zm9vYmFyMDEyMzQ1Njc4OWFiY2RlZjAx");
    let expected = Some(hash(token.reveal()));
    bench.send("alpha", ToSatellite::AuthToken { token }).await;
    bench
        .until("alpha", "the hash", |h: &Heard| reported(h) == expected)
        .await;
    let file = bench.cluster.file("alpha", "/var/lib/linstor.d/auth.json");
    let file = file.expect("it is written");
    assert_eq!(file, r#"{"token":"Zm9vYmFyMDEyMzQ1Njc4OWFiY2RlZjAx"}"#);
    bench.restart("alpha");
    bench.connect("alpha").await;
    bench
        .until("alpha", "the hash", |h: &Heard| reported(h) == expected)
        .await;
}

/// Only changes are told, and a quiet node is quiet.
#[tokio::test(start_paused = true)]
async fn a_quiet_node_says_nothing() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let before = bench.nodes["alpha"].heard.lock().unwrap().messages;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let after = bench.nodes["alpha"].heard.lock().unwrap().messages;
    assert_eq!(before, after);
}

/// What a sync does not name is forgotten, and stays as it is on the node.
#[tokio::test(start_paused = true)]
async fn the_unnamed_is_forgotten_but_not_destroyed() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    bench.sync("alpha", &[]).await;
    bench
        .until("alpha", "that it is gone", |h: &Heard| h.gone == ["Data"])
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.cluster.drbd_resources("alpha"), ["Data"]);
    assert!(
        bench
            .cluster
            .logical_volumes("alpha", "vg0")
            .contains(&"Data_00000".to_owned())
    );
    assert_eq!(
        bench.cluster.file("alpha", "/var/lib/linstor.d/Data.res"),
        None
    );
}

/// Forgetting one identity leaves another one of the same name.
#[tokio::test(start_paused = true)]
async fn forgetting_is_by_identity() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let mine = spec("alpha", ALONE);
    bench.done("alpha", &mine).await;
    for (uuid, gone) in [(Uuid::from_u128(1), 0), (mine.uuid, 1)] {
        bench.generation += 1;
        let forget = Forget {
            key: Key::resource("Data"),
            uuid,
        };
        let message = ToSatellite::Apply {
            generation: bench.generation,
            specs: Vec::new(),
            forget: vec![forget],
        };
        bench.send("alpha", message).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(bench.nodes["alpha"].heard.lock().unwrap().gone.len(), gone);
    }
}

/// What the controller cannot read is left as it is, by name or altogether; the rest is forgotten.
#[tokio::test(start_paused = true)]
async fn what_is_held_is_left_alone() {
    for held in [
        Held {
            all: true,
            keys: BTreeSet::new(),
        },
        Held {
            all: false,
            keys: BTreeSet::from([Key::resource("DATA")]),
        },
    ] {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        bench.done("alpha", &spec("alpha", ALONE)).await;
        bench.cluster.take_journal();
        bench.sync_holding("alpha", &[], held).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        let changes = bench.cluster.take_journal();
        let changes: Vec<_> = changes.iter().filter(|entry| entry.mutating).collect();
        assert!(changes.is_empty(), "{changes:?}");
        assert!(bench.nodes["alpha"].heard.lock().unwrap().gone.is_empty());
        let other = Held {
            all: false,
            keys: BTreeSet::from([Key::resource("other")]),
        };
        bench.sync_holding("alpha", &[], other).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(bench.nodes["alpha"].heard.lock().unwrap().gone, ["Data"]);
    }
}

/// An older controller is refused, also after a restart; a newer one takes over.
#[tokio::test(start_paused = true)]
async fn epochs_fence() {
    let mut bench = Bench::new();
    bench.epoch = 7;
    bench.add_node("alpha", DrbdKind::V9).await;
    let newer = |bench: &Bench| bench.nodes["alpha"].heard.lock().unwrap().newer.take();
    let obeyed = |connected| {
        Some(NewerController {
            epoch: 7,
            connected,
        })
    };
    bench.epoch = 6;
    bench.connect("alpha").await;
    assert!(bench.nodes["alpha"].heard.lock().unwrap().refused.is_some());
    assert_eq!(newer(&bench), obeyed(true));
    bench.restart("alpha");
    bench.connect("alpha").await;
    assert!(bench.nodes["alpha"].heard.lock().unwrap().refused.is_some());
    assert_eq!(
        newer(&bench),
        obeyed(false),
        "nobody is connected after a restart"
    );
    bench.epoch = 8;
    bench.connect("alpha").await;
    bench.sync("alpha", &[]).await;
}

/// Says hello with an epoch and leaves the answer to the test.
async fn call(bench: &Bench, name: &str, epoch: u64) -> ControllerSide {
    let node = &bench.nodes[name];
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let satellite = node.satellite.clone();
    tokio::spawn(async move { satellite.serve_connection(theirs).await });
    let mut connection = ControllerSide::new(ours);
    let hello = ToSatellite::Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL,
        version: "test".into(),
        cluster_id: node.spec.cluster_id,
        epoch,
        start: Uuid::from_u128(u128::from(epoch)),
        node_name: node.spec.name.clone(),
        node_uuid: node.spec.uuid,
    };
    connection.send(&hello).await.expect("hello");
    connection
}

/// A controller that is superseded while the node's tools are probed for it does not take the node over, and its older
/// epoch does not get onto the disk.
#[tokio::test(start_paused = true)]
async fn a_superseded_controller_does_not_take_over() {
    let mut bench = Bench::new();
    bench.epoch = 7;
    bench.add_node("alpha", DrbdKind::V9).await;
    bench
        .cluster
        .inject(Fault::next_with("alpha", "drbdadm", Effect::Hangs).times(1000));
    let mut newer = call(&bench, "alpha", 8).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut older = call(&bench, "alpha", 7).await;
    let welcome = newer.next().await.expect("an answer");
    assert!(
        matches!(welcome, Some(ToController::Welcome { .. })),
        "{welcome:?}"
    );
    let refused = older.next().await.expect("an answer");
    let kind = match refused {
        Some(ToController::Refused { kind, .. }) => Some(kind),
        _ => None,
    };
    assert_eq!(kind, Some(RefusalKind::OlderEpoch), "{refused:?}");
    bench.restart("alpha");
    bench.connect("alpha").await;
    assert!(bench.nodes["alpha"].heard.lock().unwrap().refused.is_some());
}

/// Of two specs of one resource the newer counts, whichever comes last; the older one is refused in words.
#[tokio::test(start_paused = true)]
async fn an_older_spec_is_refused() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let newer = spec("alpha", ALONE);
    bench.generation = 40;
    bench.done("alpha", &newer).await;
    let mut older = newer.clone();
    older.target = Target::Destroyed;
    older.allow_last_copy = true;
    for message in [
        ToSatellite::Apply {
            generation: 30,
            specs: vec![wanted(&older)],
            forget: Vec::new(),
        },
        ToSatellite::Apply {
            generation: 31,
            specs: Vec::new(),
            forget: vec![Forget {
                key: Key::resource("Data"),
                uuid: newer.uuid,
            }],
        },
    ] {
        bench.send("alpha", message).await;
        tokio::time::sleep(Duration::from_secs(70)).await;
    }
    assert_eq!(bench.cluster.drbd_resources("alpha"), ["Data"]);
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    assert_eq!(heard.gone, Vec::<String>::new());
    let (generation, outcome) = &heard.outcomes["Data"];
    assert_eq!(*generation, 30);
    assert!(
        format!("{outcome:?}").contains("newer configuration"),
        "{outcome:?}"
    );
}

/// What a satellite does not understand fails for that object, in words; the objects in the same frame are brought to
/// their specs. The object's spec before stays in force, and its outcomes do not hide the failure.
#[tokio::test(start_paused = true)]
async fn what_is_not_understood_fails_by_itself() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let old = spec("alpha", ALONE);
    bench.done("alpha", &old).await;
    let mut plain = spec("alpha", ALONE);
    plain.name = "Plain".parse().unwrap();
    plain.uuid = Uuid::from_u128(77);
    plain.layers = vec![LayerSpec::Storage];
    let changed = |spec: &ResourceSpec, change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = serde_json::to_value(wanted(spec)).expect("JSON");
        change(&mut json);
        serde_json::from_str::<Wanted>(&json.to_string()).expect("a frame")
    };
    bench.generation += 1;
    let generation = bench.generation;
    let message = ToSatellite::Apply {
        generation,
        specs: vec![
            changed(&old, &|json| json["spec"]["target"] = "sideways".into()),
            changed(&plain, &|json| {
                json["key"] = "resource/Secret".into();
                json["spec"]["name"] = "Secret".into();
                json["requires"] = serde_json::json!(["nvme"]);
                json["spec"]["nvme"] = serde_json::json!({"port": 4420});
            }),
            changed(&old, &|json| json["key"] = "volume/Data/0".into()),
            changed(&old, &|json| json["key"] = "resource/../Data".into()),
            changed(&plain, &|json| {
                json["key"] = "resource/-f".into();
                json["spec"]["name"] = "-f".into();
            }),
            changed(&plain, &|json| {
                json["key"] = "resource/Pool".into();
                json["spec"]["name"] = "Pool".into();
                json["spec"]["volumes"][0]["storage"][""]["pool"] = "a; b".into();
            }),
            wanted(&plain),
        ],
        forget: Vec::new(),
    };
    bench.send("alpha", message).await;
    bench.converges("alpha", "Plain").await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    for (object, why) in [
        ("Data", "sideways"),
        ("Secret", "nvme"),
        ("volume/Data/0", "not an object that it knows"),
        ("../Data", "not an object that it knows"),
        ("-f", "not an object that it knows"),
        ("Pool", "'a; b' is not a valid storage pool name"),
    ] {
        let (of, outcome) = &heard.outcomes[object];
        assert_eq!(*of, generation, "{object}");
        let Outcome::Failed { replies } = outcome else {
            panic!("{object}: {outcome:?}");
        };
        let cause = replies[0].cause.as_deref().expect("a cause");
        assert!(cause.contains(why), "{object}: {cause}");
    }
    assert_eq!(bench.cluster.drbd_resources("alpha"), ["Data"]);
    let volumes = bench.cluster.logical_volumes("alpha", "vg0");
    assert!(volumes.contains(&"Plain_00000".to_owned()), "{volumes:?}");
    assert!(
        !volumes.contains(&"Secret_00000".to_owned()),
        "nothing in clear text"
    );
}

/// The node's own spec has an outcome: a pool that cannot be used is named, and what is mended is found.
#[tokio::test(start_paused = true)]
async fn the_node_reports_its_pools() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    let done = |h: &Heard| matches!(h.node, Some((_, Outcome::Done)));
    bench.until("alpha", "that its pools are fine", done).await;
    let node = &mut bench.nodes.get_mut("alpha").expect("a node").spec;
    node.pools.push(pool("later", ProviderKind::Lvm, "vg7"));
    bench.sync("alpha", &[]).await;
    let failed = |h: &Heard| match &h.node {
        Some((_, Outcome::Failed { replies })) => {
            replies.len() == 1 && replies[0].obj_refs["StorPoolDfn"] == "later"
        }
        _ => false,
    };
    bench.until("alpha", "what is wrong", failed).await;
    bench.cluster.add_volume_group("alpha", "vg7", 1 << 20);
    bench.until("alpha", "that its pools are fine", done).await;
}

/// Forgetting waits for the attempt at work: nothing that it writes is left behind without an owner, not even when the
/// satellite starts again.
#[tokio::test(start_paused = true)]
async fn forgetting_waits_for_the_attempt_at_work() {
    for step in ["lvcreate", "create-md", "adjust"] {
        let mut bench = Bench::new();
        bench.add_node("alpha", DrbdKind::V9).await;
        let slow = Effect::Slow(Duration::from_secs(5));
        bench.cluster.inject(Fault::next_with("alpha", step, slow));
        let spec = spec("alpha", ALONE);
        bench.push("alpha", &spec).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        bench.generation += 1;
        let message = ToSatellite::Apply {
            generation: bench.generation,
            specs: Vec::new(),
            forget: vec![Forget {
                key: Key::resource("Data"),
                uuid: spec.uuid,
            }],
        };
        bench.send("alpha", message).await;
        bench
            .until("alpha", "that it is gone", |h: &Heard| h.gone == ["Data"])
            .await;
        tokio::time::sleep(Duration::from_secs(70)).await;
        for file in [
            "/var/lib/linstor.d/Data.res",
            "/var/lib/linstor.d/.backup/Data.res",
            "/var/lib/linstor/satellite/resources/DATA.json",
        ] {
            assert_eq!(bench.cluster.file("alpha", file), None, "{step}: {file}");
        }
    }
}

/// A file that cannot be read is put aside; the others serve.
#[tokio::test(start_paused = true)]
async fn a_corrupt_file_is_put_aside() {
    use linstor_host::Host;
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    let path = "/var/lib/linstor/satellite/resources/DATA.json";
    assert_eq!(bench.cluster.file_mode("alpha", path), Some(0o600));
    let host = bench.cluster.host("alpha");
    let bad = std::path::Path::new("/var/lib/linstor/satellite/resources/BAD.json");
    host.write_atomic(bad, b"{", 0o600).await.expect("written");
    bench.cluster.shut_down("alpha");
    bench.cluster.boot("alpha");
    bench.restart("alpha");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(bench.cluster.drbd_resources("alpha"), ["Data"]);
    let aside = format!("{}.unreadable", bad.display());
    assert!(bench.cluster.file("alpha", &aside).is_some());
}

/// What fails is told with each attempt, and when the next one is; the pauses grow to a minute, and so does the silence.
#[tokio::test(start_paused = true)]
async fn the_next_attempt_is_told() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.cluster.uninstall("alpha", "drbdmeta");
    let said = bench.fails("alpha", &spec("alpha", ALONE)).await;
    assert!(said.contains("drbdmeta"), "{said}");
    tokio::time::sleep(Duration::from_secs(240)).await;
    let retries = std::mem::take(&mut bench.nodes["alpha"].heard.lock().unwrap().retries);
    let pauses_s: Vec<u64> = retries
        .iter()
        .map(|pause| pause.expect("a time").div_ceil(1000))
        .collect();
    assert_eq!(pauses_s, [1, 2, 5, 10, 20, 40, 60, 60, 60]);
    bench.cluster.install("alpha", "drbdmeta");
    bench.converges("alpha", "Data").await;
    tokio::time::sleep(Duration::from_secs(240)).await;
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    assert_eq!(heard.retries, [None], "done, and nothing more to say");
}

/// A node that was lost and is registered again comes with old data, which went up at its boot: it is taken down, not shown
/// as the new replica, and what is left on the disk is named.
#[tokio::test(start_paused = true)]
async fn old_data_of_a_lost_node_is_not_served() {
    let mut bench = Bench::new();
    bench.add_node("alpha", DrbdKind::V9).await;
    bench.done("alpha", &spec("alpha", ALONE)).await;
    for uuid in [0xa1, 0xa2] {
        bench.cluster.crash("alpha");
        bench.cluster.boot("alpha");
        bench.restart("alpha");
        tokio::time::sleep(Duration::from_secs(30)).await;
        // Its own specs bring it up, whoever the controller is.
        let up = bench.cluster.drbd_resources("alpha");
        assert_eq!(up.is_empty(), uuid == 0xa2);
        bench.nodes.get_mut("alpha").unwrap().spec.uuid = Uuid::from_u128(uuid);
        bench.connect("alpha").await;
        bench.sync("alpha", &[]).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(bench.cluster.drbd_resources("alpha"), Vec::<String>::new());
    }
    let mut again = spec("alpha", ALONE);
    again.uuid = Uuid::from_u128(0xee);
    let said = bench.fails("alpha", &again).await;
    assert!(said.contains("lvremove vg0/Data_00000"), "{said}");
    let heard = bench.nodes["alpha"].heard.lock().unwrap();
    let status = heard.status.get("Data");
    assert!(status.is_none_or(|status| status.drbd.is_none()));
}
