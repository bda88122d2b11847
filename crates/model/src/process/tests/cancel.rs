//! Cancelling, by a person and by a deadline.

use super::*;

/// A process is cancelled as long as nothing is lost by that; otherwise the error has the reason.
#[test]
fn cancelling_takes_back_what_can_be_taken_back() {
    let seen = |states: [&str; 3]| {
        let mut observed = Observed::default();
        for (index, state) in states.iter().enumerate() {
            online(&mut observed, index);
            disk(&mut observed, index, state, false);
        }
        observed
    };
    let good = seen(["UpToDate", "UpToDate", "Inconsistent"]);
    let only = |draft: &Draft| Process::clone(draft.processes.values().next().unwrap());
    let why = |draft: &mut Draft, observed: &Observed| {
        let process = only(draft);
        cancel(draft, observed, &process, 9).unwrap_err()
    };

    // A deletion, until its storage is destroyed.
    let before = cluster();
    let mut draft = before.clone();
    delete(&mut draft, 1);
    let process = only(&draft);
    cancel(&mut draft, &good, &process, 9).unwrap();
    assert!(draft.processes.is_empty());
    assert_eq!(target(&draft, 1), Target::Up);
    let since = delete(&mut draft, 1);
    let mut reached = good.clone();
    applied(&mut reached, 1, since.generation, Outcome::Done);
    draft.set_generation(since.generation);
    assert!(advance(&mut draft, &reached, &r1(), 2));
    assert!(why(&mut draft, &good).contains("is being destroyed"));

    // Of a definition: all its resources or none.
    let mut draft = before.clone();
    delete_resource_definition::begin(&mut draft, &r1(), 1);
    let whole = only(&draft);
    let part = Process::clone(draft.processes.values().nth(1).unwrap());
    assert!(
        cancel(&mut draft, &good, &part, 9)
            .unwrap_err()
            .contains("cancel that")
    );
    cancel(&mut draft, &good, &whole, 9).unwrap();
    assert!(draft.processes.is_empty());

    // A disk that is removed comes back, in a step of its own; a disk that is added is removed.
    let mut draft = before.clone();
    remove_disk(&mut draft, 1);
    let process = only(&draft);
    let id = process.id;
    cancel(&mut draft, &good, &process, 9).unwrap();
    assert!(!draft.resource(&r1(), &node(1)).unwrap().is_diskless());
    assert_eq!((only(&draft).id, only(&draft).cancelled), (id, true));
    assert!(matches!(only(&draft).kind, Kind::AddDisk(_)));
    assert!(why(&mut draft, &good).contains("cancelled already"));

    let mut draft = before.clone();
    put_replica(&mut draft, 2);
    draft.begin_process(migrate(), 1);
    let poor = seen(["Inconsistent", "Outdated", "UpToDate"]);
    assert!(why(&mut draft, &poor).contains("UpToDate"));
    let process = only(&draft);
    cancel(&mut draft, &good, &process, 9).unwrap();
    assert!(draft.resource(&r1(), &node(2)).unwrap().is_diskless());
    assert!(matches!(only(&draft).kind, Kind::RemoveDisk(_)));
    let pool = StoragePoolName::parse("thin").unwrap();
    assert_eq!(draft.pool_use(&node(2), &pool).volumes, 1);

    // A growth, even while DRBD grows; what has grown is not used.
    let mut draft = before.clone();
    let since = begin_growth(&mut draft);
    let process = only(&draft);
    cancel(&mut draft, &good, &process, 9).unwrap();
    assert_eq!(draft.definitions[&r1()].volumes[&0].size_kib, SIZE_KIB);
    begin_growth(&mut draft);
    (0..2).for_each(|index| applied(&mut reached, index, since.generation, Outcome::Done));
    draft.set_generation(since.generation);
    assert!(advance(&mut draft, &reached, &r1(), 2));
    let process = only(&draft);
    let undone = cancel(&mut draft, &good, &process, 9).unwrap();
    assert!(undone.remains.is_some() && draft.processes.is_empty());
    assert_eq!(draft.definitions[&r1()].volumes[&0].size_kib, SIZE_KIB);

    // A volume's deletion begins with its storage.
    let mut draft = before.clone();
    delete_volume_definition::begin(&mut draft, &r1(), 0, 1);
    assert!(why(&mut draft, &good).contains("is being destroyed"));
}

/// A process that has a deadline is cancelled at that time, or continues without one when it cannot be cancelled any
/// more.
#[test]
fn a_deadline_cancels() {
    let observed = Observed::default();
    let with_deadline = |draft: &mut Draft| {
        let process = Process::clone(draft.processes.values().next().unwrap());
        draft.put_process(Process {
            deadline: Some(100),
            ..process
        });
        assert_eq!(draft.first_deadline().unwrap().0, 100);
    };
    let mut draft = cluster();
    delete(&mut draft, 1);
    with_deadline(&mut draft);
    assert!(!advance(&mut draft, &observed, &r1(), 99));
    assert!(advance(&mut draft, &observed, &r1(), 100));
    assert!(draft.processes.is_empty() && draft.first_deadline().is_none());
    assert_eq!(target(&draft, 1), Target::Up);

    let mut draft = cluster();
    delete_volume_definition::begin(&mut draft, &r1(), 0, 1);
    with_deadline(&mut draft);
    assert!(advance(&mut draft, &observed, &r1(), 100));
    assert_eq!(draft.processes.len(), 1);
    assert!(draft.first_deadline().is_none());
}
