//! Backups: each step waits for its report, whatever is lost ends them with the reason, and nothing that was sent remains.

use std::collections::BTreeMap;

use linstor_wire::spec::{SnapshotTarget, Spec};
use linstor_wire::status::Moved;

use super::*;
use crate::master_key;
use crate::name::{RemoteName, SnapshotName};
use crate::process::ship_backup::{self, Base, ShipBackup, Step};
use crate::remote::{Remote, S3, Target as Place};
use crate::snapshot::{self, NewSnapshot, SnapshotReason, SnapshotState};

fn name(text: &str) -> SnapshotName {
    SnapshotName::parse(text).unwrap()
}

fn remote() -> RemoteName {
    RemoteName::parse("s3").unwrap()
}

fn key() -> master_key::Key {
    master_key::Key::new([7; master_key::KEY_BYTES])
}

fn put_snapshot(draft: &mut Draft, snapshot: &str, state: SnapshotState, first: u128) {
    let mut next = first;
    let mut ids = || {
        next += 1;
        uuid(next)
    };
    let new = NewSnapshot {
        resource: r1(),
        name: name(snapshot),
        nodes: [node(0), node(1)].into(),
        reason: SnapshotReason::Request,
        props: Default::default(),
    };
    let mut row = snapshot::row(draft, new, 7, &mut ids).unwrap();
    row.state = state;
    draft.put_snapshot_definition(row);
}

pub(super) fn put_remote(draft: &mut Draft) {
    let seal = |member: &str, secret: &str| {
        let purpose = Remote::purpose(uuid(50), member);
        key().seal([1; master_key::NONCE_BYTES], &purpose, &Secret::new(secret))
    };
    draft.put_remote(Remote {
        name: remote(),
        uuid: uuid(50),
        target: Place::S3(S3 {
            endpoint: "http://store".to_owned(),
            bucket: "backups".to_owned(),
            region: "r".to_owned(),
            access_key: seal("access_key", "the-access-key"),
            secret_key: seal("secret_key", "the-secret-key"),
            use_path_style: false,
        }),
    });
}

/// A backup of the snapshot `s2`, based on `s1`, that the first node sends.
fn begun(state: SnapshotState) -> (Draft, Observed, ProcessId) {
    let (mut draft, mut observed) = (cluster(), Observed::default());
    for index in 0..2 {
        online(&mut observed, index);
        disk(&mut observed, index, "UpToDate", false);
    }
    advance(&mut draft, &observed, &r1(), 500);
    put_remote(&mut draft);
    put_snapshot(&mut draft, "s1", SnapshotState::Successful, 2000);
    put_snapshot(&mut draft, "s2", state, 3000);
    let base = draft.snapshot(&r1(), &name("s1")).unwrap().uuid;
    let backup = ShipBackup {
        id: uuid(60),
        resource: r1(),
        snapshot: name("s2"),
        remote: remote(),
        remote_uuid: uuid(50),
        node: node(0),
        meta: "r1_back_20250328_150859.meta".to_owned(),
        started_at: 900,
        base: Some(Base {
            snapshot: name("s1"),
            uuid: base,
            meta: "r1_back_20250327_150859.meta".to_owned(),
        }),
        schedule: None,
        own_snapshot: true,
        uploads: BTreeMap::new(),
        failure: None,
        step: Step::Take,
    };
    let id = ship_backup::begin(&mut draft, backup, 1_000);
    advance(&mut draft, &observed, &r1(), 1_000);
    (draft, observed, id)
}

fn step(draft: &Draft, id: ProcessId) -> Option<Step> {
    draft.shipment(id).map(|of| of.step)
}

fn sent(draft: &Draft, index: usize, keys: Keys<'_>) -> Option<linstor_wire::spec::ShipmentSpec> {
    let key = linstor_wire::Key::Snapshot(r1(), name("s2"));
    match crate::project::spec(draft, &node(index), &key, keys)? {
        Spec::Snapshot(spec) => match &spec.target {
            SnapshotTarget::Sent(shipment) => Some(shipment.as_ref().clone()),
            _ => None,
        },
        _ => None,
    }
}

fn report(draft: &Draft, observed: &mut Observed, outcome: Outcome) {
    let row = draft.snapshot(&r1(), &name("s2")).unwrap();
    let applied = Applied {
        uuid: row.on(&node(0)).unwrap().uuid,
        generation: draft.generation + 1,
        outcome,
        done: Vec::new(),
        at: 0,
        next_try: None,
    };
    let key = (r1(), name("s2"), node(0));
    observed.snapshots.insert(key, Arc::new(applied));
}

fn status(draft: &Draft) -> String {
    let row = draft.snapshot(&r1(), &name("s2")).unwrap();
    row.props["BackupShipping/Source/s3/ShippingStatus"].clone()
}

fn uploads() -> BTreeMap<u32, String> {
    [(0, "upload".to_owned())].into()
}

/// Taken, begun by the controller, sent by the node, described by the controller.
#[test]
fn a_backup_is_made() {
    let (mut draft, mut observed, id) = begun(SnapshotState::Successful);
    assert_eq!(step(&draft, id), Some(Step::Begin));
    assert_eq!(sent(&draft, 0, Keys::Master(&key())), None);
    assert!(
        !advance(&mut draft, &observed, &r1(), 1_100),
        "it waits for the controller"
    );
    assert!(ship_backup::begun(&mut draft, id, uploads(), 1_200));
    assert_eq!(step(&draft, id), Some(Step::Send));
    assert_eq!(status(&draft), "Shipping");
    let key = key();
    let shipment = sent(&draft, 0, Keys::Master(&key)).unwrap();
    assert_eq!(shipment.bucket.secret_key.reveal(), "the-secret-key");
    assert_eq!(shipment.objects[&0].key, "r1_00000_back_20250328_150859");
    assert_eq!(shipment.base.as_ref().unwrap().snapshot, name("s1"));
    assert!(!format!("{shipment:?}").contains("the-secret-key"));
    assert_eq!(
        sent(&draft, 1, Keys::Master(&key)),
        None,
        "the other node sends nothing"
    );
    let locked = sent(&draft, 0, Keys::Withheld(Withheld::Locked)).unwrap();
    assert_eq!(locked.bucket.withheld, Some(Withheld::Locked));
    assert!(locked.bucket.secret_key.is_empty());
    let moved = Moved {
        bytes: 400,
        rest_bytes: 600,
        bytes_per_s: 20,
    };
    let waiting = Outcome::Waiting {
        on: "its volumes to be sent".to_owned(),
        done_percent: Some(40),
        moved: Some(moved),
    };
    report(&draft, &mut observed, waiting);
    assert!(!advance(&mut draft, &observed, &r1(), 1_300));
    let process = draft.processes[&id].clone();
    let progress = process.progress(&draft, &observed);
    assert_eq!(
        (progress.percent, progress.moved),
        (Some(40.0), Some(moved))
    );
    report(&draft, &mut observed, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 1_400));
    assert_eq!(step(&draft, id), Some(Step::Describe));
    assert!(ship_backup::described(&mut draft, id, Some(7), 900));
    assert_eq!(
        (step(&draft, id), status(&draft).as_str()),
        (None, "Success")
    );
    assert!(!ship_backup::described(&mut draft, id, Some(7), 900));
}

/// A snapshot, a base, a remote or a node's success that is missing ends it with the reason; the snapshot remains.
#[test]
fn what_is_lost_ends_it() {
    let failed = |change: &dyn Fn(&mut Draft, &mut Observed)| {
        let (mut draft, mut observed, id) = begun(SnapshotState::Successful);
        assert!(ship_backup::begun(&mut draft, id, uploads(), 1_200));
        change(&mut draft, &mut observed);
        assert!(advance(&mut draft, &observed, &r1(), 1_400));
        let backup = draft.shipment(id).unwrap().clone();
        assert_eq!(backup.step, Step::Abandon);
        let keys = [
            "r1_back_20250328_150859.meta",
            "r1_00000_back_20250328_150859",
        ];
        assert_eq!(backup.keys(), keys);
        ship_backup::abandoned(&mut draft, id, 1_500);
        assert_eq!(step(&draft, id), None);
        backup.failure.unwrap().cause.unwrap_or_default()
    };
    let why = failed(&|draft, _| draft.remove(&RowKey::Remote(remote())));
    assert!(why.contains("remote s3 was deleted"), "{why}");
    for (gone, words) in [("s1", "that it is based on"), ("s2", "no part")] {
        let why = failed(&|draft, _| draft.remove(&RowKey::SnapshotDefinition(r1(), name(gone))));
        assert!(why.contains(words), "{why}");
    }
    let why = failed(&|draft, observed| {
        let reply = Reply::new(1, "It was not sent.").cause("403");
        let replies = vec![reply];
        report(draft, observed, Outcome::Failed { replies });
    });
    assert_eq!(why, "403");
    let (draft, _, id) = begun(SnapshotState::FailedDeployment);
    assert_eq!(step(&draft, id), Some(Step::Abandon));
}

/// What a person cancels takes the snapshot that was made for it away; what has failed does not.
#[test]
fn an_aborted_backup_takes_its_own_snapshot_away() {
    let (mut draft, observed, id) = begun(SnapshotState::Successful);
    let process = draft.processes[&id].clone();
    cancel(&mut draft, &observed, &process, 1_300).unwrap();
    assert_eq!(
        (step(&draft, id), status(&draft).as_str()),
        (Some(Step::Abandon), "Aborting")
    );
    let process = draft.processes[&id].clone();
    assert!(cancel(&mut draft, &observed, &process, 1_300).is_err());
    assert!(
        !ship_backup::begun(&mut draft, id, uploads(), 1_300),
        "it is not wanted any more"
    );
    ship_backup::abandoned(&mut draft, id, 1_400);
    assert!(draft.deletion_of_snapshot(&r1(), &name("s2")).is_some());
    let (mut draft, observed, id) = begun(SnapshotState::Successful);
    let week = 1_000 + ship_backup::LIMIT.as_millis() as u64;
    assert!(advance(&mut draft, &observed, &r1(), week));
    ship_backup::abandoned(&mut draft, id, week);
    assert_eq!(status(&draft), "Failed");
    assert!(draft.deletion_of_snapshot(&r1(), &name("s2")).is_none());
}
