//! Links: greeting, refusals, silence, strange frames, and which links there are.

use std::time::Duration;

use linstor_api::kind::{ConnectionStatus, DrbdKind};
use linstor_controller::Superseded;
use linstor_model::observed::NodeStatus;
use linstor_store::memory::Fault;
use linstor_wire::message::{NewerController, PROTOCOL, RefusalKind};
use linstor_wire::spec::DrbdSpec;
use linstor_wire::status::{DrbdInfo, NodeInfo};
use linstor_wire::{Key, ToController, ToSatellite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{
    Fixture, node, pool, put_node, put_replica, replicate, resource, seconds, set,
};
use crate::satellite::{Listener, Satellite, resources};

fn status(fixture: &Fixture, name: &str) -> NodeStatus {
    fixture.cluster.observed().nodes[&node(name)].clone()
}

/// A fixture with the node alpha, whose satellite takes calls.
async fn with_alpha() -> (Fixture, Listener) {
    let fixture = Fixture::new().await;
    let listener = fixture.pipes.listen("alpha");
    fixture.deployed("alpha").await;
    (fixture, listener)
}

async fn wait_status(fixture: &Fixture, name: &str, wanted: ConnectionStatus) -> NodeStatus {
    let name = node(name);
    let found = fixture.cluster.wait_node(&name, seconds(60), |status| {
        status.filter(|status| status.connection == wanted).cloned()
    });
    let found = found.await;
    found.unwrap_or_else(|| {
        panic!(
            "{wanted} is not reached: {:?}",
            fixture.cluster.observed().nodes
        )
    })
}

/// A satellite is greeted with the cluster's identity, synchronised, and online; its host is remembered.
#[tokio::test(start_paused = true)]
async fn a_satellite_comes_online() {
    let (fixture, mut listener) = with_alpha().await;
    let mut satellite = listener.accept().await;
    let model = fixture.cluster.model();
    let hello = satellite.next().await.unwrap();
    let ToSatellite::Hello {
        cluster_id,
        epoch,
        node_uuid,
        ..
    } = hello
    else {
        panic!("{hello:?}");
    };
    assert_eq!(cluster_id, model.controller.cluster_id);
    assert_eq!(epoch, model.epoch.number);
    assert_eq!(node_uuid, model.nodes[&node("alpha")].uuid);
    satellite
        .send(ToController::Welcome {
            protocol: PROTOCOL,
            version: "1.2.3".into(),
            info: NodeInfo {
                uname: "alpha.example".into(),
                ..NodeInfo::default()
            },
        })
        .await;
    wait_status(&fixture, "alpha", ConnectionStatus::Connected).await;
    let specs = satellite.sync().await;
    assert_eq!((specs.len(), specs[0].name.as_str()), (1, "rsc"));
    let online = wait_status(&fixture, "alpha", ConnectionStatus::Online).await;
    assert_eq!(online.version.as_deref(), Some("1.2.3"));
    assert_eq!(online.reason, None);
    let row = &fixture.cluster.model().nodes[&node("alpha")];
    assert_eq!(row.host.as_ref().unwrap().uname, "alpha.example");
    assert_eq!(row.props["NodeUname"], "alpha.example");
    assert_eq!(row.props["CurStltConnName"], "default");
}

/// A satellite that knows its controller already causes no write when it comes back.
#[tokio::test(start_paused = true)]
async fn a_reconnect_writes_nothing() {
    let (fixture, mut listener) = with_alpha().await;
    let (satellite, _) = listener.online("alpha").await;
    wait_status(&fixture, "alpha", ConnectionStatus::Online).await;
    let before = fixture.store.attempts();
    drop(satellite);
    let lost = wait_status(&fixture, "alpha", ConnectionStatus::Offline).await;
    assert!(lost.reason.unwrap().contains("closed"));
    let (_satellite, _) = listener.online("alpha").await;
    wait_status(&fixture, "alpha", ConnectionStatus::Online).await;
    assert_eq!(fixture.store.attempts(), before);
}

/// Each kind of refusal is a state of its own, with the satellite's words; the controller keeps trying.
#[tokio::test(start_paused = true)]
async fn refusals_are_told_apart() {
    let (fixture, mut listener) = with_alpha().await;
    for (kind, expected) in [
        (RefusalKind::OlderEpoch, ConnectionStatus::OtherController),
        (RefusalKind::Version, ConnectionStatus::VersionMismatch),
        (RefusalKind::Identity, ConnectionStatus::AuthenticationError),
    ] {
        let mut satellite = listener.accept().await;
        satellite.next().await.unwrap();
        let message = format!("no: {kind:?}");
        satellite
            .send(ToController::Refused {
                kind,
                message: message.clone(),
                newer: None,
            })
            .await;
        let status = wait_status(&fixture, "alpha", expected).await;
        assert_eq!(status.reason, Some(message));
    }
    listener.online("alpha").await;
}

/// A satellite that speaks a protocol of the future is not talked to.
#[tokio::test(start_paused = true)]
async fn another_protocol_is_a_version_mismatch() {
    let (fixture, mut listener) = with_alpha().await;
    let mut satellite = listener.accept().await;
    satellite.next().await.unwrap();
    satellite
        .send(ToController::Welcome {
            protocol: 99,
            version: "9.9".into(),
            info: NodeInfo::default(),
        })
        .await;
    let status = wait_status(&fixture, "alpha", ConnectionStatus::VersionMismatch).await;
    assert!(status.reason.unwrap().contains("9.9"));
}

/// A peer that takes the call and never answers does not hold the link up.
#[tokio::test(start_paused = true)]
async fn a_mute_peer_is_given_up() {
    let (fixture, mut listener) = with_alpha().await;
    let _mute = listener.accept().await;
    let status = fixture
        .cluster
        .wait_connected(&node("alpha"), seconds(60))
        .await
        .unwrap();
    assert_eq!(status.connection, ConnectionStatus::Offline);
    assert!(status.reason.unwrap().contains("did not answer"));
    listener.online("alpha").await;
}

/// A satellite that falls silent is lost after five seconds; one that answers pings stays, however long nothing happens.
#[tokio::test(start_paused = true)]
async fn silence_is_loss_and_pings_are_life() {
    let (fixture, mut listener) = with_alpha().await;
    let (mut satellite, _) = listener.online("alpha").await;
    satellite
        .while_idle(tokio::time::sleep(Duration::from_secs(120)))
        .await;
    assert_eq!(
        status(&fixture, "alpha").connection,
        ConnectionStatus::Online
    );
    let silent_since = tokio::time::Instant::now();
    let lost = wait_status(&fixture, "alpha", ConnectionStatus::Offline).await;
    let after = silent_since.elapsed();
    assert!(
        after >= Duration::from_secs(4) && after <= Duration::from_millis(5100),
        "{after:?}"
    );
    assert!(lost.reason.unwrap().contains("nothing was heard"));
}

/// Frames that are not understood are passed over; too many of them, or bytes that are no frames, end the connection
/// and nothing else.
#[tokio::test(start_paused = true)]
async fn strange_frames_do_no_harm() {
    let (fixture, mut listener) = with_alpha().await;
    let frame = |text: &str| {
        let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes
    };
    let welcome = serde_json::json!({"welcome": {
        "protocol": PROTOCOL, "version": "2", "info": {"uname": "alpha"}, "new": 1
    }});
    for junk in [
        vec![0xff; 64],
        frame("{}"),
        frame(r#"{"dance":{}}"#).repeat(20),
        frame(r#"{"pong":{"id":"x"}}"#).repeat(20),
    ] {
        let (_, mut stream) = listener.raw().await;
        stream
            .write_all(&frame(&welcome.to_string()))
            .await
            .unwrap();
        wait_status(&fixture, "alpha", ConnectionStatus::Connected).await;
        stream.write_all(&frame(r#"{"dance":{}}"#)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = status(&fixture, "alpha").connection;
        assert_eq!(
            now,
            ConnectionStatus::Connected,
            "one strange frame is survived"
        );
        stream.write_all(&junk).await.unwrap();
        if junk.len() == frame("{}").len() {
            drop(stream);
        } else {
            // Until the controller closes.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        wait_status(&fixture, "alpha", ConnectionStatus::Offline).await;
    }
    listener.online("alpha").await;
}

/// Reports about objects that the model does not have, or that were replaced, are passed over.
#[tokio::test(start_paused = true)]
async fn reports_about_strangers_are_passed_over() {
    let (fixture, mut listener) = with_alpha().await;
    let (mut satellite, specs) = listener.online("alpha").await;
    let stranger = fixture.cluster.env().uuid();
    for (name, uuid) in [
        ("rsc", stranger),
        ("other", specs[0].uuid),
        ("../x", stranger),
    ] {
        satellite
            .applied(name, uuid, 1, linstor_wire::status::Outcome::Done)
            .await;
        let status = linstor_wire::status::ResourceStatus {
            name: name.into(),
            uuid,
            ..Default::default()
        };
        satellite
            .send(ToController::Status {
                resources: vec![status],
                gone: vec![Key::resource("nothing")],
            })
            .await;
    }
    satellite.space(None, 5).await;
    let seen = |fixture: &Fixture| fixture.cluster.observed().pools.len();
    let cluster = &fixture.cluster;
    cluster
        .wait_node(&node("alpha"), seconds(5), |_| {
            (seen(&fixture) == 1).then_some(())
        })
        .await
        .unwrap();
    let observed = fixture.cluster.observed();
    assert!(observed.applied.is_empty() && observed.resources.is_empty());
}

/// Two nodes whose hosts have one name would write each other's files: the second one is refused.
#[tokio::test(start_paused = true)]
async fn two_hosts_of_one_name_are_refused() {
    let (fixture, mut alpha) = with_alpha().await;
    let _alpha = alpha.online("alpha").await;
    wait_status(&fixture, "alpha", ConnectionStatus::Online).await;
    let mut bravo = fixture.pipes.listen("bravo");
    let env = fixture.cluster.env().clone();
    fixture
        .change(move |draft| put_node(draft, &*env, "bravo"))
        .await;
    bravo.accept().await.welcome("ALPHA").await;
    let status = wait_status(&fixture, "bravo", ConnectionStatus::DuplicateUname).await;
    assert!(status.reason.unwrap().contains("'alpha'"));
    assert!(fixture.cluster.model().nodes[&node("bravo")].host.is_none());
}

fn info(uname: &str, drbd: Option<&str>) -> NodeInfo {
    NodeInfo {
        uname: uname.into(),
        drbd: drbd.map(|version| DrbdInfo {
            kind: DrbdKind::Drbd9,
            version: version.into(),
            utils: "9.22.0".into(),
        }),
        ..NodeInfo::default()
    }
}

/// The next spec of a resource that is like this.
async fn spec_with(satellite: &mut Satellite, is: impl Fn(&DrbdSpec) -> bool) -> DrbdSpec {
    loop {
        let message = satellite.next().await.expect("the connection stays");
        let ToSatellite::Apply { specs, .. } = message else {
            continue;
        };
        let mut specs = resources(&specs)
            .into_iter()
            .filter_map(|spec| spec.drbd().cloned());
        if let Some(found) = specs.find(|drbd| is(drbd)) {
            return found;
        }
    }
}

/// What a satellite finds out later counts as what it said in its welcome does: it is seen, kept, and peers' specs follow.
/// A node whose DRBD is lost is not thought able to do anything with it, but its row remembers which kind it was.
#[tokio::test(start_paused = true)]
async fn facts_told_later_are_taken_over() {
    let (fixture, mut alpha) = with_alpha().await;
    let mut bravo = fixture.pipes.listen("bravo");
    let env = fixture.cluster.env().clone();
    fixture
        .change(move |draft| {
            put_node(draft, &*env, "bravo");
            put_replica(draft, &*env, "rsc", "bravo");
            replicate(draft, "rsc");
        })
        .await;
    let (mut alpha, _) = alpha.online("alpha").await;
    let (mut bravo, _) = bravo.online("bravo").await;
    wait_status(&fixture, "alpha", ConnectionStatus::Online).await;
    wait_status(&fixture, "bravo", ConnectionStatus::Online).await;

    // The store is down for a moment: what was told is not lost by that.
    fixture.store.fail_next(Fault::BeforeWrite);
    let told = info("alpha2", Some("9.2.18"));
    let info_of = |told: &NodeInfo| ToController::Info { info: told.clone() };
    alpha.send(info_of(&told)).await;
    let own = spec_with(&mut alpha, |drbd| drbd.uname == "alpha2").await;
    assert_eq!(own.peers[0].uname, "bravo");
    spec_with(&mut bravo, |drbd| drbd.peers[0].uname == "alpha2").await;
    let row = || fixture.cluster.model().nodes[&node("alpha")].clone();
    let facts = row().host.clone().unwrap();
    assert_eq!(
        (facts.drbd, facts.drbd_version.as_deref()),
        (Some(DrbdKind::Drbd9), Some("9.2.18"))
    );
    assert_eq!(row().props["NodeUname"], "alpha2");
    assert_eq!(row().props["CurStltConnName"], "default");
    let seen = status(&fixture, "alpha");
    assert_eq!(seen.connection, ConnectionStatus::Online);
    assert_eq!(*seen.info.unwrap(), told);

    alpha.send(info_of(&info("alpha2", None))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&fixture, "alpha").info.unwrap().drbd, None);
    assert_eq!(row().host.clone().unwrap(), facts);

    // A name that another host has ends the connection, as it would have been refused at its begin.
    alpha.send(info_of(&info("BRAVO", None))).await;
    wait_status(&fixture, "alpha", ConnectionStatus::DuplicateUname).await;
    assert_eq!(row().host.clone().unwrap().uname, "alpha2");
}

/// Links follow the rows: a new address is dialled, a node without address or given up is not, a removed one is dropped.
#[tokio::test(start_paused = true)]
async fn links_follow_the_rows() {
    let (fixture, mut listener) = with_alpha().await;
    let (mut satellite, _) = listener.online("alpha").await;
    wait_status(&fixture, "alpha", ConnectionStatus::Online).await;
    let edit = |edit: fn(&mut linstor_model::Node)| {
        fixture.change(move |draft| draft.edit_node(&node("alpha"), edit))
    };
    edit(|row| row.net_interfaces[0].satellite_port = Some(4444)).await;
    assert!(
        satellite.next().await.is_none(),
        "the old connection is closed"
    );
    let (mut satellite, _) = listener.online("alpha").await;
    assert_eq!(satellite.target.address.port(), 4444);

    edit(|row| row.net_interfaces[0].satellite_port = None).await;
    assert!(satellite.next().await.is_none());
    wait_status(&fixture, "alpha", ConnectionStatus::NoStltConn).await;

    edit(|row| row.net_interfaces[0].satellite_port = Some(3366)).await;
    let (mut satellite, _) = listener.online("alpha").await;
    edit(|row| row.evicted = true).await;
    assert!(satellite.next().await.is_none());
    let calls = *fixture.pipes.calls.lock().unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*fixture.pipes.calls.lock().unwrap(), calls, "not dialled");

    edit(|row| row.evicted = false).await;
    let (mut satellite, _) = listener.online("alpha").await;
    fixture
        .change(|draft| {
            use linstor_model::model::RowKey;
            draft.remove(&RowKey::Resource(resource("rsc"), node("alpha")));
            draft.remove(&RowKey::StoragePool(node("alpha"), pool("DfltStorPool")));
            draft.remove(&RowKey::Node(node("alpha")));
        })
        .await;
    while satellite.next().await.is_some() {}
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(fixture.cluster.observed().nodes.is_empty(), "no ghost");
}

/// A wish to reconnect closes the connection and dials at once.
#[tokio::test(start_paused = true)]
async fn a_reconnect_is_made_at_once() {
    let (fixture, mut listener) = with_alpha().await;
    let (mut satellite, _) = listener.online("alpha").await;
    wait_status(&fixture, "alpha", ConnectionStatus::Online).await;
    let asked = tokio::time::Instant::now();
    fixture.cluster.reconnect(&node("alpha"));
    let alpha = node("alpha");
    // The wait does not end with what was before.
    let (status, satellite) =
        tokio::join!(fixture.cluster.wait_connected(&alpha, seconds(60)), async {
            assert!(satellite.next().await.is_none());
            listener.online("alpha").await
        });
    assert_eq!(status.unwrap().connection, ConnectionStatus::Online);
    assert!(asked.elapsed() < Duration::from_millis(50));
    drop((satellite, listener));
    fixture.cluster.reconnect(&alpha);
    let status = fixture.cluster.wait_connected(&alpha, seconds(60)).await;
    assert!(status.unwrap().reason.unwrap().contains("refuses"));
}

/// A wish to reconnect while an attempt is under way is met by that attempt: there is one call, not two.
#[tokio::test(start_paused = true)]
async fn a_wish_joins_an_attempt() {
    let (fixture, mut listener) = with_alpha().await;
    fixture.cluster.reconnect(&node("alpha"));
    let mut satellite = listener.accept().await;
    fixture.cluster.reconnect(&node("alpha"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    satellite.welcome("alpha").await;
    satellite.sync().await;
    let alpha = node("alpha");
    let status = satellite
        .while_idle(fixture.cluster.wait_connected(&alpha, seconds(5)))
        .await;
    assert_eq!(status.unwrap().connection, ConnectionStatus::Online);
    satellite
        .while_idle(tokio::time::sleep(Duration::from_secs(5)))
        .await;
    assert_eq!(*fixture.pipes.calls.lock().unwrap(), 1);
}

/// Attempts grow rarer, up to every ten seconds, and never stop; a failed one tells who waits for it why.
#[tokio::test(start_paused = true)]
async fn attempts_grow_rarer_and_never_stop() {
    let fixture = Fixture::new().await;
    fixture.deployed("alpha").await;
    let first = fixture
        .cluster
        .wait_connected(&node("alpha"), seconds(5))
        .await
        .unwrap();
    assert_eq!(first.reason.as_deref(), Some("10.0.0.1:3366 refuses"));
    let count = || *fixture.pipes.calls.lock().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!((3..=8).contains(&count()), "{} attempts in 3 s", count());
    tokio::time::sleep(Duration::from_secs(97)).await;
    let before = count();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let later = count() - before;
    assert!((10..=20).contains(&later), "{later} attempts in 100 s");
    assert_eq!(status(&fixture, "alpha").since, first.since);
}

/// Many nodes come online side by side.
#[tokio::test(start_paused = true)]
async fn a_hundred_satellites_come_online() {
    let fixture = Fixture::new().await;
    let names: Vec<String> = (0..100).map(|n| format!("node-{n}")).collect();
    let mut satellites = tokio::task::JoinSet::<Satellite>::new();
    for name in names.clone() {
        let mut listener = fixture.pipes.listen(&name);
        satellites.spawn(async move {
            let (mut satellite, _) = listener.online(&name).await;
            while satellite.next().await.is_some() {}
            satellite
        });
    }
    let env = fixture.cluster.env().clone();
    let rows = names.clone();
    fixture
        .change(move |draft| rows.iter().for_each(|name| put_node(draft, &*env, name)))
        .await;
    for name in &names {
        wait_status(&fixture, name, ConnectionStatus::Online).await;
    }
}

fn obeys(epoch: u64, connected: bool) -> ToController {
    ToController::Refused {
        kind: RefusalKind::OlderEpoch,
        message: "This satellite obeys another controller.".into(),
        newer: Some(NewerController { epoch, connected }),
    }
}

/// A database that counts behind what a satellite obeys is not brought past it by starts; a person can do so.
#[tokio::test(start_paused = true)]
async fn a_restored_database_waits_for_a_person() {
    let (fixture, mut listener) = with_alpha().await;
    let mut satellite = listener.accept().await;
    satellite.next().await.unwrap();
    satellite.send(obeys(3, false)).await;
    let status = wait_status(&fixture, "alpha", ConnectionStatus::OtherController).await;
    let reason = status.reason.unwrap();
    assert!(reason.contains("controller take-over"), "{reason}");
    // The refusal is stored before the next attempt.
    listener.accept().await;
    assert_eq!(fixture.cluster.model().epoch.newer, Some(3));
    let mut store = fixture.store.clone();
    fixture.controller.stop().await;
    for _ in 0..5 {
        let again = Fixture::on(store.clone()).await;
        assert_eq!(again.cluster.model().epoch.number, 1);
        store = again.store.clone();
        again.controller.stop().await;
    }
    let last = Fixture::on(store).await;
    let mut listener = last.pipes.listen("alpha");
    let replies = linstor_controller::ops::controller::take_over(&last.cluster).await;
    assert!(!replies[0].is_error(), "{replies:?}");
    let mut satellite = listener.accept().await;
    let Some(ToSatellite::Hello { epoch, start, .. }) = satellite.next().await else {
        panic!("no hello");
    };
    assert_eq!((epoch, start), (4, last.cluster.model().epoch.start));
    let again = linstor_controller::ops::controller::take_over(&last.cluster).await;
    assert!(
        again[0].message.contains("nothing was changed"),
        "{again:?}"
    );
}

/// A controller ends when a newer one is connected to a satellite, or took over a satellite that it had; it does not come
/// back by being started again.
#[tokio::test(start_paused = true)]
async fn a_superseded_controller_ends() {
    for had_it in [false, true] {
        let (fixture, mut listener) = with_alpha().await;
        if had_it {
            drop(listener.online("alpha").await);
        }
        let mut satellite = listener.accept().await;
        satellite.next().await.unwrap();
        satellite.send(obeys(2, !had_it)).await;
        assert_eq!(fixture.cluster.superseded().await, Superseded::AtSatellites);
        let refused = fixture.cluster.commit(|d| set(d, "k", "v")).await;
        assert!(refused.is_err());
        let store = fixture.store.clone();
        fixture.controller.stop().await;
        let again = Fixture::on(store).await;
        assert_eq!(again.cluster.model().epoch.number, 1);
    }
}

/// A satellite that claims an impossible epoch does not end anything, nor is its number taken over.
#[tokio::test(start_paused = true)]
async fn an_impossible_epoch_is_not_believed() {
    let (fixture, mut listener) = with_alpha().await;
    let mut satellite = listener.accept().await;
    satellite.next().await.unwrap();
    satellite.send(obeys(u64::MAX, true)).await;
    wait_status(&fixture, "alpha", ConnectionStatus::OtherController).await;
    listener.online("alpha").await;
    assert_eq!(fixture.cluster.model().epoch.newer, None);
}
