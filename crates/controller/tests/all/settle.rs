//! A policy that concerns many definitions: the first ones follow in its commit, the others in the background.

use std::sync::Arc;
use std::time::Duration;

use linstor_api::prop;
use linstor_controller::Cluster;
use linstor_model::Controller;
use linstor_store::Limits;
use linstor_store::memory::Fault;

use crate::fixture::{
    Fixture, put_node, put_replica, put_resource_definition, replicate, resource,
};

/// How many definitions one commit settles.
const AT_ONCE: usize = 64;

/// A cluster with so many replicated definitions, each of one resource.
async fn with_definitions(count: usize) -> Fixture {
    let fixture = Fixture::new().await;
    let env = Arc::clone(fixture.cluster.env());
    let change = move |draft: &mut linstor_model::Draft| {
        put_node(draft, &*env, "alpha");
        for number in 0..count {
            let name = format!("rsc{number:05}");
            put_resource_definition(draft, &*env, &name);
            put_replica(draft, &*env, &name, "alpha");
            replicate(draft, &name);
            draft.edit_resource_definition(&resource(&name), |row| {
                let minor = 1000 + u32::try_from(number).unwrap();
                row.volumes.get_mut(&0).unwrap().minor = Some(minor);
            });
        }
    };
    fixture.change(change).await;
    fixture
}

async fn set_quorum(cluster: &Cluster, value: &'static str) -> bool {
    let committed = cluster.commit(move |tx| {
        let mut row = Controller::clone(&tx.controller);
        let props = [
            (prop::DRBD_QUORUM, value),
            (prop::DRBD_QUORUM_SET_BY, "user"),
        ];
        for (key, value) in props {
            row.props.insert(key.to_owned(), value.to_owned());
        }
        tx.put_controller(row);
        Ok(())
    });
    committed.await.is_ok()
}

fn settled(cluster: &Cluster, value: &str) -> usize {
    let model = cluster.model();
    let quorum = |row: &linstor_model::ResourceDefinition| {
        row.props
            .get(prop::DRBD_QUORUM)
            .is_some_and(|quorum| quorum == value)
    };
    model.definitions.values().filter(|row| quorum(row)).count()
}

/// The commit of a controller property changes as many definitions as one commit may, the others follow soon, and then
/// nothing is written any more.
#[tokio::test(start_paused = true)]
async fn a_controller_property_is_followed_in_the_background() {
    const COUNT: usize = 1000;
    let fixture = with_definitions(COUNT).await;
    fixture.store.set_latency(Duration::from_millis(5));
    let before = fixture.store.attempts();
    assert!(set_quorum(&fixture.cluster, "majority").await);
    assert_eq!(settled(&fixture.cluster, "majority"), AT_ONCE);
    assert_eq!(fixture.cluster.model().controller.settling.len(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(settled(&fixture.cluster, "majority"), COUNT);
    assert!(fixture.cluster.model().controller.settling.is_empty());
    let writes = fixture.store.attempts() - before;
    assert_eq!(writes, COUNT.div_ceil(AT_ONCE) as u64);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fixture.store.attempts() - before, writes);
}

/// A second change while the first is still being followed: what counts at the end is the second.
#[tokio::test(start_paused = true)]
async fn the_last_change_counts() {
    const COUNT: usize = 300;
    let fixture = with_definitions(COUNT).await;
    fixture.store.set_latency(Duration::from_millis(5));
    assert!(set_quorum(&fixture.cluster, "majority").await);
    tokio::time::sleep(Duration::from_millis(12)).await;
    assert!(set_quorum(&fixture.cluster, "off").await);
    assert!(settled(&fixture.cluster, "off") < COUNT);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(settled(&fixture.cluster, "off"), COUNT);
    assert!(fixture.cluster.model().controller.settling.is_empty());
}

/// Whichever write the controller dies at, the next one goes on where it was.
#[tokio::test(start_paused = true)]
async fn a_restart_goes_on() {
    const COUNT: usize = 300;
    for fault in [Fault::DeadBeforeWrite, Fault::DeadAfterWrite] {
        for crash in 1..COUNT.div_ceil(AT_ONCE) as u64 {
            let fixture = with_definitions(COUNT).await;
            let next = fixture.store.attempts() + 1;
            fixture.store.fail_write(next + crash, fault);
            assert!(set_quorum(&fixture.cluster, "majority").await);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let done = settled(&fixture.cluster, "majority");
            assert!(done < COUNT, "{fault:?} at write {crash}");
            let store = fixture.store.clone();
            // Dropped, not stopped.
            drop(fixture);
            store.revive();
            let again = Fixture::on(store).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let done = settled(&again.cluster, "majority");
            assert_eq!(done, COUNT, "{fault:?} at write {crash}");
            assert!(again.cluster.model().controller.settling.is_empty());
        }
    }
}

/// Where the store takes little at once, each commit settles what fits.
#[tokio::test(start_paused = true)]
async fn a_commit_settles_what_fits() {
    const COUNT: usize = 100;
    const ROWS: usize = 8;
    let first = with_definitions(COUNT).await;
    let store = first.store.clone();
    first.controller.stop().await;
    store.set_limits(Limits {
        rows: ROWS,
        bytes: usize::MAX,
    });
    let fixture = Fixture::on(store.clone()).await;
    store.set_latency(Duration::from_millis(5));
    let before = store.journal().len();
    assert!(set_quorum(&fixture.cluster, "majority").await);
    let at_once = settled(&fixture.cluster, "majority");
    assert_eq!(at_once, ROWS - 1, "and the controller's row");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(settled(&fixture.cluster, "majority"), COUNT);
    assert!(fixture.cluster.model().controller.settling.is_empty());
    let commits = store.journal().len() - before;
    assert_eq!(commits, COUNT.div_ceil(ROWS - 1));
}
