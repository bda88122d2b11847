//! Snapshots that are shipped to another cluster, and received: each step waits for its report or for what the other
//! controller says, whatever is lost ends it with the reason, and a user's own snapshot stays.

use std::collections::BTreeSet;

use linstor_api::code;
use linstor_wire::spec::{SnapshotTarget, Spec};

use super::*;
use crate::SnapshotDefinition;
use crate::name::{RemoteName, SnapshotName};
use crate::process::peer::{self, Peer};
use crate::process::restore_backup::{self, RestoreBackup};
use crate::process::ship_snapshot::{
    self, Base, Call, Receiver, ShipSnapshot, Step, Target as Wish,
};
use crate::remote::{Linstor, Remote, Target as Place};
use crate::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};

const KEY: &str = "the-private-key";

fn name(text: &str) -> SnapshotName {
    SnapshotName::parse(text).unwrap()
}

fn remote() -> RemoteName {
    RemoteName::parse("there").unwrap()
}

fn r2() -> ResourceName {
    ResourceName::parse("r2").unwrap()
}

fn put_remote(draft: &mut Draft) {
    draft.put_remote(Remote {
        name: remote(),
        uuid: uuid(50),
        target: Place::Linstor(Linstor {
            url: "http://there:3370".to_owned(),
            passphrase: None,
            cluster_id: Some(uuid(51)),
        }),
    });
}

fn put_snapshot(draft: &mut Draft, of: ResourceName, snapshot: &str, first: u128) {
    let mut next = first;
    let mut ids = || {
        next += 1;
        uuid(next)
    };
    let new = NewSnapshot {
        resource: r1(),
        name: name(snapshot),
        nodes: match of == r2() {
            true => [node(0)].into(),
            false => [node(0), node(1)].into(),
        },
        reason: SnapshotReason::Request,
        props: Default::default(),
    };
    let row = snapshot::row(draft, new, 7, &mut ids).unwrap();
    draft.put_snapshot_definition(SnapshotDefinition {
        resource: of,
        state: SnapshotState::Successful,
        ..row
    });
}

fn receiver(port: u16) -> Receiver {
    Receiver {
        id: uuid(u128::from(port)),
        address: "192.0.2.7".parse().unwrap(),
        port,
        certificate: "their certificate".to_owned(),
    }
}

/// The snapshot `s2`, based on `s1`, that the first node ships.
fn begun(own_snapshot: bool) -> (Draft, Observed, ProcessId) {
    let (mut draft, mut observed) = (cluster(), Observed::default());
    for index in 0..2 {
        online(&mut observed, index);
        disk(&mut observed, index, "UpToDate", false);
    }
    advance(&mut draft, &observed, &r1(), 500);
    put_remote(&mut draft);
    put_snapshot(&mut draft, r1(), "s1", 2000);
    put_snapshot(&mut draft, r1(), "s2", 3000);
    let base = draft.snapshot(&r1(), &name("s1")).unwrap().uuid;
    let shipped = ShipSnapshot {
        id: uuid(60),
        resource: r1(),
        snapshot: name("s2"),
        remote: remote(),
        remote_uuid: uuid(50),
        node: node(0),
        started_at: 900,
        base: Some(Base {
            snapshot: name("s1"),
            uuid: base,
            there: "s1_abc".to_owned(),
            node: "n".to_owned(),
        }),
        own_snapshot,
        target: Wish {
            resource: "copy".to_owned(),
            ..Wish::default()
        },
        identity: Secret::new(KEY),
        asked_at: None,
        accepted: false,
        receiver: None,
        failure: None,
        told: false,
        step: Step::Take,
    };
    let id = ship_snapshot::begin(&mut draft, shipped, 1_000);
    advance(&mut draft, &observed, &r1(), 1_000);
    (draft, observed, id)
}

fn target(draft: &Draft, of: ResourceName, snapshot: &str, index: usize) -> Option<SnapshotTarget> {
    let key = linstor_wire::Key::Snapshot(of, name(snapshot));
    let keys = Keys::Withheld(Withheld::Locked);
    match crate::project::spec(draft, &node(index), &key, keys)? {
        Spec::Snapshot(spec) => Some(spec.target.clone()),
        _ => None,
    }
}

fn report(
    draft: &Draft,
    observed: &mut Observed,
    (of, snapshot): (ResourceName, &str),
    outcome: Outcome,
) {
    let row = draft.snapshot(&of, &name(snapshot)).unwrap();
    let applied = Applied {
        uuid: row.on(&node(0)).unwrap().uuid,
        generation: draft.generation + 1,
        outcome,
        done: Vec::new(),
        at: 0,
        next_try: None,
    };
    let key = (of, name(snapshot), node(0));
    observed.snapshots.insert(key, Arc::new(applied));
}

fn step(draft: &Draft, id: ProcessId) -> Option<Step> {
    draft.outbound(id).map(|of| of.step)
}

fn call(draft: &Draft, id: ProcessId) -> Option<Call> {
    draft.outbound(id)?.call(&draft.processes[&id], draft)
}

fn prop_of(draft: &Draft, key: &str) -> Option<String> {
    let row = draft.snapshot(&r1(), &name("s2"))?;
    let key = format!("BackupShipping/Source/there/{key}");
    row.props.get(&key).cloned()
}

/// Offered, sent to where the other controller says, and over when it says so.
#[test]
fn a_snapshot_is_shipped() {
    let (mut draft, mut observed, id) = begun(false);
    assert_eq!(step(&draft, id), Some(Step::Offer));
    assert_eq!(call(&draft, id), Some(Call::Ship));
    assert_eq!(target(&draft, r1(), "s2", 0), None);
    ship_snapshot::accepted(&mut draft, id, 1_000);
    assert_eq!(call(&draft, id), None, "it is not asked again");
    assert!(ship_snapshot::receive(
        &mut draft,
        id,
        receiver(12_000),
        1_100
    ));
    assert_eq!(prop_of(&draft, "ShippingStatus").unwrap(), "Shipping");
    let Some(SnapshotTarget::SentToPeer(spec)) = target(&draft, r1(), "s2", 0) else {
        panic!("nothing is sent")
    };
    assert_eq!((spec.port, spec.limit_ms), (12_000, 300_000));
    assert_eq!(spec.base.as_ref().unwrap().snapshot, name("s1"));
    assert!(!format!("{spec:?} {:?}", draft.processes[&id]).contains(KEY));
    assert_eq!(
        target(&draft, r1(), "s2", 1),
        None,
        "the other node sends nothing"
    );
    assert!(draft.outbound_with(&r1(), &name("s1")).is_some());
    assert!(draft.is_being_sent(&r1(), &name("s1")));
    // The same again changes nothing; another port is another place.
    let since = draft.processes[&id].since;
    assert!(ship_snapshot::receive(
        &mut draft,
        id,
        receiver(12_000),
        1_200
    ));
    assert_eq!(draft.processes[&id].since, since);
    assert!(ship_snapshot::receive(
        &mut draft,
        id,
        receiver(12_001),
        1_300
    ));
    let Some(SnapshotTarget::SentToPeer(again)) = target(&draft, r1(), "s2", 0) else {
        panic!("nothing is sent")
    };
    assert_eq!(again.port, 12_001);
    assert_ne!(again.id, spec.id);
    report(&draft, &mut observed, (r1(), "s2"), Outcome::Done);
    advance(&mut draft, &observed, &r1(), 1_400);
    assert_eq!(step(&draft, id), Some(Step::Confirm));
    assert_eq!(target(&draft, r1(), "s2", 0), None);
    ship_snapshot::ended(&mut draft, id, None, 1_500);
    assert_eq!(step(&draft, id), None);
    assert_eq!(prop_of(&draft, "ShippingStatus").unwrap(), "Success");
}

/// Whatever ends it, the other controller is told unless it said so itself, and the snapshot has the reason. Only a
/// snapshot that was made for a shipment that was aborted is deleted.
#[test]
fn what_ends_it_is_said() {
    for own_snapshot in [false, true] {
        for way in [
            "cancel",
            "node",
            "there",
            "abort there",
            "remote",
            "silence",
        ] {
            let (mut draft, mut observed, id) = begun(own_snapshot);
            ship_snapshot::accepted(&mut draft, id, 1_000);
            let process = draft.processes[&id].clone();
            if way == "silence" {
                let of = draft.outbound(id).unwrap().clone();
                assert_eq!(of.silent(&process, &draft, 300_999), None);
                let why = of.silent(&process, &draft, 301_000).unwrap();
                ship_snapshot::failed(&mut draft, id, why, 301_000);
            } else {
                ship_snapshot::receive(&mut draft, id, receiver(12_000), 1_100);
            }
            let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, "It broke.");
            match way {
                "cancel" => {
                    cancel(&mut draft, &observed, &process, 1_200).unwrap();
                }
                "node" => {
                    let replies = vec![reply];
                    report(
                        &draft,
                        &mut observed,
                        (r1(), "s2"),
                        Outcome::Failed { replies },
                    );
                    advance(&mut draft, &observed, &r1(), 1_200);
                }
                "there" => ship_snapshot::ended(&mut draft, id, Some(reply), 1_200),
                "abort there" => ship_snapshot::aborted(&mut draft, id, 1_200),
                "remote" => {
                    draft.remove(&crate::model::RowKey::Remote(remote()));
                    advance(&mut draft, &observed, &r1(), 1_200);
                }
                _ => {}
            }
            assert_eq!(step(&draft, id), Some(Step::Abandon), "{way}");
            assert_eq!(
                target(&draft, r1(), "s2", 0),
                None,
                "{way}: nothing is sent any more"
            );
            let told = matches!(way, "there" | "abort there");
            assert_eq!(draft.outbound(id).unwrap().told, told, "{way}");
            assert_eq!(call(&draft, id), Some(Call::Abort));
            let again = draft.processes[&id].clone();
            assert!(
                cancel(&mut draft, &observed, &again, 1_250).is_err(),
                "{way}"
            );
            ship_snapshot::told(&mut draft, id, 1_300);
            assert_eq!(step(&draft, id), None, "{way}");
            let deletion = draft.deletion_of_snapshot(&r1(), &name("s2"));
            assert_eq!(deletion.is_some(), way == "cancel" && own_snapshot, "{way}");
            let status = prop_of(&draft, "ShippingStatus").unwrap();
            match way {
                "cancel" => assert_eq!(status, "Aborted"),
                _ => {
                    assert_eq!(status, "Failed", "{way}");
                    assert!(prop_of(&draft, "FailureReason").is_some(), "{way}");
                }
            }
            // What comes late finds nothing.
            ship_snapshot::ended(&mut draft, id, None, 1_400);
            assert!(!ship_snapshot::receive(
                &mut draft,
                id,
                receiver(12_000),
                1_400
            ));
        }
    }
}

/// A node sends as many at a time as it may.
#[test]
fn shipments_take_turns() {
    let (mut draft, observed, first) = begun(false);
    let mut controller = crate::Controller::clone(&draft.controller);
    let key = linstor_api::prop::MAX_CONCURRENT_BACKUPS.to_owned();
    controller.props.insert(key, "1".to_owned());
    draft.put_controller(controller);
    let mut second = draft.outbound(first).unwrap().clone();
    second.snapshot = name("s1");
    second.base = None;
    second.step = Step::Take;
    let second = ship_snapshot::begin(&mut draft, second, 1_100);
    advance(&mut draft, &observed, &r1(), 1_100);
    assert_eq!(call(&draft, first), Some(Call::Ship));
    assert_eq!(call(&draft, second), None);
    let waits = draft.processes[&second].waits(&draft, &observed);
    let Reason::State(why) = &waits[0].reason else {
        panic!("{waits:?}")
    };
    assert!(why.contains("MaxConcurrentBackupsPerNode"), "{why}");
    ship_snapshot::ended(&mut draft, first, None, 1_200);
    assert_eq!(call(&draft, second), Some(Call::Ship));
}

/// A snapshot that another cluster sends to a definition that was made for it.
fn received(makes_resource: bool) -> (Draft, Observed, ProcessId) {
    let (mut draft, mut observed) = (cluster(), Observed::default());
    online(&mut observed, 0);
    put_remote(&mut draft);
    let definition = draft.definitions[&r1()].clone();
    draft.put_resource_definition(ResourceDefinition {
        name: r2(),
        uuid: uuid(70),
        volumes: Default::default(),
        ..ResourceDefinition::clone(&definition)
    });
    put_snapshot(&mut draft, r2(), "s1", 2000);
    let port = peer::free_port(&draft, &node(0), &BTreeSet::new()).unwrap();
    assert_eq!(port, 12_000);
    let restore = RestoreBackup {
        id: uuid(60),
        resource: r2(),
        snapshot: name("s1"),
        remote: remote(),
        remote_uuid: uuid(50),
        node: node(0),
        backup: "r1_s1".to_owned(),
        objects: Default::default(),
        makes_resource,
        replaces: false,
        own_definition: true,
        own_snapshot: true,
        peer: Some(Peer {
            cluster: uuid(51),
            resource: "r1".to_owned(),
            snapshot: "s1".to_owned(),
            remote: "here".to_owned(),
            label: ".stlt;r1_s1_x".to_owned(),
            shipment: uuid(61),
            address: "192.0.2.7".parse().unwrap(),
            port,
            busy: BTreeSet::new(),
            identity: Secret::new(KEY),
            certificate: "their certificate".to_owned(),
            base: None,
            announced: false,
            told: false,
        }),
        failure: None,
        step: restore_backup::Step::Receive,
    };
    let id = restore_backup::begin(&mut draft, restore, 1_000);
    (draft, observed, id)
}

fn said(draft: &Draft, id: ProcessId) -> Option<peer::Call> {
    draft.restoration(id)?.call()
}

/// The sender is told where, and how it ended, and then it is over; a port that is taken is replaced.
#[test]
fn a_snapshot_is_received() {
    for makes_resource in [false, true] {
        let (mut draft, mut observed, id) = received(makes_resource);
        assert_eq!(said(&draft, id), Some(peer::Call::Announce));
        peer::announced(&mut draft, id, 12_000);
        assert_eq!(said(&draft, id), None);
        let busy = Reply::new(
            code::FAIL_POOL_EXHAUSTED_BACKUP_SHIPPING_TCP_PORT,
            "In use.",
        );
        let replies = vec![busy];
        report(
            &draft,
            &mut observed,
            (r2(), "s1"),
            Outcome::Failed { replies },
        );
        // What was reported before a commit does not count after it.
        let row = RowKey::ResourceDefinition(r2());
        assert!(advance_once(&mut draft, &observed, &row, 1_100));
        observed.snapshots.clear();
        assert_eq!(said(&draft, id), Some(peer::Call::Announce));
        peer::announced(&mut draft, id, 12_000);
        assert_eq!(
            said(&draft, id),
            Some(peer::Call::Announce),
            "that was the old port"
        );
        peer::announced(&mut draft, id, 12_001);
        let Some(SnapshotTarget::ReceivedFromPeer(spec)) = target(&draft, r2(), "s1", 0) else {
            panic!("nothing is received")
        };
        assert_eq!((spec.port, spec.shipment), (12_001, uuid(61)));
        assert!(!format!("{spec:?} {:?}", draft.processes[&id]).contains(KEY));
        report(&draft, &mut observed, (r2(), "s1"), Outcome::Done);
        assert!(advance(&mut draft, &observed, &r2(), 1_200));
        if makes_resource {
            assert_eq!(said(&draft, id), None);
            restore_backup::restored(&mut draft, id, 1_250);
        }
        assert_eq!(said(&draft, id), Some(peer::Call::End));
        assert!(draft.restoration_of(&r2()).is_none(), "it is restored");
        peer::told(&mut draft, id);
        assert!(draft.restoration(id).is_none());
        assert!(draft.snapshot(&r2(), &name("s1")).is_some());
    }
}

/// What has failed or was aborted is removed, and the sender is told before the definition goes; one that has aborted it
/// itself need not be.
#[test]
fn what_is_not_received_leaves_nothing() {
    for way in ["cancel", "abort there", "node"] {
        let (mut draft, mut observed, id) = received(true);
        peer::announced(&mut draft, id, 12_000);
        if way == "node" {
            let replies = vec![Reply::new(1, "It is damaged.")];
            report(
                &draft,
                &mut observed,
                (r2(), "s1"),
                Outcome::Failed { replies },
            );
        } else {
            if way == "abort there" {
                peer::aborted(&mut draft, id);
            }
            let process = draft.processes[&id].clone();
            cancel(&mut draft, &observed, &process, 1_100).unwrap();
        }
        assert!(advance(&mut draft, &observed, &r2(), 1_200));
        assert_eq!(
            target(&draft, r2(), "s1", 0),
            Some(SnapshotTarget::Destroyed)
        );
        report(&draft, &mut observed, (r2(), "s1"), Outcome::Done);
        advance(&mut draft, &observed, &r2(), 1_300);
        if way != "abort there" {
            assert_eq!(said(&draft, id), Some(peer::Call::End), "{way}");
            assert!(draft.definitions.contains_key(&r2()), "{way}");
            peer::told(&mut draft, id);
            assert!(advance(&mut draft, &observed, &r2(), 1_400));
        }
        assert!(draft.processes.is_empty(), "{way}");
        assert!(!draft.definitions.contains_key(&r2()), "{way}");
    }
}
