//! Resources that share their volumes: these exist once, one resource is active, and the last one destroys them.

use linstor_api::code;

use super::*;
use crate::resource::{set_active, shared};

/// Alpha and beta, which is inactive, have one volume; gamma has its own replica.
fn on_san() -> Draft {
    let mut draft = cluster();
    for index in 0..2 {
        let row = draft.pool(&node(index), &StoragePoolName::parse("thin").unwrap());
        draft.put_storage_pool(StoragePool {
            kind: ProviderKind::Lvm,
            shared_name: Some("san".to_owned()),
            ..StoragePool::clone(row.unwrap())
        });
    }
    put_replica(&mut draft, 2);
    draft.edit_resource(&r1(), &node(1), |row| {
        row.inactive = true;
        row.drbd.as_mut().unwrap().node_id = 0;
    });
    draft
}

fn spec(draft: &Draft, index: usize) -> ResourceSpec {
    resource_spec(draft, &r1(), &node(index)).unwrap()
}

fn peers(draft: &Draft, index: usize) -> Vec<String> {
    let spec = spec(draft, index);
    let peers = spec.drbd().unwrap().peers.iter();
    peers.map(|peer| peer.node.to_string()).collect()
}

fn activation(draft: &Draft, observed: &Observed, index: usize) -> Result<(), Reply> {
    shared::check_activation(
        draft,
        observed,
        draft.resource(&r1(), &node(index)).unwrap(),
    )
}

/// Both nodes find the volume by the mark of the definition, changes of the group are made in turns, and peers know the
/// active resource only.
#[test]
fn volumes_exist_once() {
    let mut draft = on_san();
    let owners: Vec<_> = (0..3)
        .map(|index| spec(&draft, index).storage_owner())
        .collect();
    assert_eq!(owners, [uuid(4), uuid(4), uuid(42)]);
    let turns = |index: usize| {
        let spec = crate::project::node_spec(&draft, &node(index)).unwrap();
        spec.pools[0].turns.clone()
    };
    assert_eq!((turns(1).as_deref(), turns(2)), (Some("san"), None));
    assert_eq!(peers(&draft, 2), ["alpha"]);
    assert_eq!(
        (peers(&draft, 0), peers(&draft, 1)),
        (vec!["gamma".into()], vec!["gamma".into()])
    );
    draft.edit_resource(&r1(), &node(0), |row| row.inactive = true);
    assert_eq!(
        peers(&draft, 2),
        ["alpha"],
        "one of two that are down stands for both"
    );
    draft.edit_resource(&r1(), &node(1), |row| row.inactive = false);
    assert_eq!(peers(&draft, 2), ["beta"]);
}

/// A resource is activated once the other one is known to be down: its volumes may be open until then.
#[test]
fn one_at_a_time_is_active() {
    let mut draft = on_san();
    let mut observed = Observed::default();
    let refused = activation(&draft, &observed, 1).unwrap_err();
    let expected = code::FAIL_ONLY_ONE_ACT_RSC_PER_SHARED_STOR_POOL_ALLOWED;
    assert_eq!(refused.ret_code, expected);
    let since = draft.since(1).generation;
    set_active(&mut draft, &r1(), &node(0), false, 1);
    assert!(
        activation(&draft, &observed, 1).is_err(),
        "nothing is known of alpha"
    );
    applied(&mut observed, 0, since - 1, Outcome::Done);
    assert!(activation(&draft, &observed, 1).is_err(), "that was before");
    let failed = Outcome::Failed {
        replies: vec![Reply::new(1, "in use")],
    };
    applied(&mut observed, 0, since, failed);
    assert!(
        activation(&draft, &observed, 1).is_err(),
        "it is still mounted there"
    );
    applied(&mut observed, 0, since, Outcome::Done);
    assert_eq!(activation(&draft, &observed, 1), Ok(()));
    // Alpha can be activated again at once, as beta never was active.
    assert_eq!(activation(&draft, &Observed::default(), 0), Ok(()));
}

/// A resource that is deleted leaves the volumes to the other one.
#[test]
fn the_last_one_destroys_the_volumes() {
    let mut draft = on_san();
    let mut observed = Observed::default();
    (0..3).for_each(|index| online(&mut observed, index));
    let since = delete(&mut draft, 0);
    applied(&mut observed, 0, since.generation, Outcome::Done);
    draft.set_generation(since.generation);
    assert!(advance(&mut draft, &observed, &r1(), 2));
    let leaving = spec(&draft, 0);
    assert_eq!(leaving.target, Target::Destroyed);
    assert!(leaving.allow_last_copy && leaving.shared.unwrap().keep);
    applied(&mut observed, 0, since.generation + 1, Outcome::Done);
    assert!(advance(&mut draft, &observed, &r1(), 3));
    assert!(!exists(&draft, 0) && !spec(&draft, 1).shared.unwrap().keep);
}

/// Of two that are deleted together, one waits until the other has let go of the volumes.
#[test]
fn volumes_are_not_destroyed_below_another_node() {
    let mut draft = on_san();
    let mut observed = Observed::default();
    (0..3).for_each(|index| online(&mut observed, index));
    let since = delete(&mut draft, 1);
    delete(&mut draft, 0);
    applied(&mut observed, 1, since.generation, Outcome::Done);
    draft.set_generation(since.generation);
    while advance(&mut draft, &observed, &r1(), 2) {}
    assert_eq!(
        (target(&draft, 0), target(&draft, 1)),
        (Target::Leaving, Target::Leaving)
    );
    applied(&mut observed, 0, since.generation, Outcome::Done);
    while advance(&mut draft, &observed, &r1(), 3) {}
    assert_eq!(
        target(&draft, 1),
        Target::Leaving,
        "alpha has not reported yet"
    );
    draft.set_generation(since.generation + 1);
    applied(&mut observed, 0, since.generation + 1, Outcome::Done);
    while advance(&mut draft, &observed, &r1(), 4) {}
    assert!(!exists(&draft, 0));
    assert_eq!(target(&draft, 1), Target::Destroyed);
    assert!(!spec(&draft, 1).shared.unwrap().keep);
}
