//! Starts: fresh, again, and on a store that is not in order.

use std::time::Duration;

use linstor_model::name::{ResourceGroupName, StoragePoolName};
use linstor_store::MemoryStore;
use linstor_store::memory::Fault;

use crate::fixture::{Fixture, get, grow, node, resource, set};

/// A fresh database has what exists without anybody creating it, and a second start adds nothing but an epoch.
#[tokio::test(start_paused = true)]
async fn a_fresh_database_has_its_defaults_once() {
    let first = Fixture::new().await;
    let model = first.cluster.model();
    for name in ["DfltStorPool", "DfltDisklessStorPool"] {
        let pool = StoragePoolName::parse(name).unwrap();
        assert!(model.pool_definitions.contains_key(&pool));
    }
    let group = &model.groups[&ResourceGroupName::parse("DfltRscGrp").unwrap()];
    assert_eq!(group.filter.place_count, Some(2));
    let props = &model.controller.props;
    assert_eq!(props["DrbdOptions/auto-add-quorum-tiebreaker"], "True");
    assert_eq!(props["DrbdOptions/Resource/on-no-quorum"], "io-error");
    assert_eq!(first.store.attempts(), 1, "one write");
    assert_eq!(
        model.epoch.number, 1,
        "a count of starts, whatever the time is"
    );
    first.controller.stop().await;

    let second = Fixture::on(first.store.clone()).await;
    let again = second.cluster.model();
    assert_eq!(again.controller.cluster_id, model.controller.cluster_id);
    assert!(again.epoch.number > model.epoch.number);
    assert_eq!(again.groups, model.groups);
    assert_eq!(again.controller.props, model.controller.props);
}

/// Rows that cannot be read are held: shown, not written, and what they describe is not changed; the rest serves.
#[tokio::test(start_paused = true)]
async fn bad_rows_do_not_keep_it_from_starting() {
    let store = MemoryStore::new();
    let first = Fixture::on(store.clone()).await;
    first.cluster.commit(|d| set(d, "good", "1")).await.unwrap();
    drop(first);
    store.plant("key_value_store", "BAD", "{not json");
    store.plant("resource", "RSC/ALPHA", r#"{"node":"alpha"}"#);
    store.plant("dance", "XX", "{}");

    let second = Fixture::on(store.clone()).await;
    let model = second.cluster.model();
    assert_eq!(model.held.rows().len(), 3);
    assert_eq!(get(&second.cluster, "good").as_deref(), Some("1"));
    second
        .cluster
        .commit(|d| set(d, "good", "2"))
        .await
        .unwrap();
    let error = second.cluster.commit(|d| set(d, "bad", "new")).await;
    let error = error.unwrap_err().0.remove(0);
    assert!(
        error.message.contains("key-value store 'bad' is held"),
        "{error:?}"
    );
    assert!(error.cause.unwrap().contains("its JSON cannot be read"));
    assert!(error.correction.unwrap().contains("/v1/jobs"));
    let health = linstor_controller::ops::controller::health(&second.cluster);
    let jobs = second.cluster.jobs();
    let jobs: Vec<_> = jobs.iter().filter(|job| job.kind == "held-row").collect();
    assert_eq!(jobs.len(), 3);
    for key in ["BAD", "RSC/ALPHA", "XX"] {
        assert!(health.contains(key), "{health}");
        assert!(jobs.iter().any(|job| job.obj_refs["Key"] == key));
    }
    drop(second);
    let rows = store.contents().rows;
    for (kind, json) in [("key_value_store", "{not json"), ("dance", "{}")] {
        let stored = rows.iter().find(|row| row.kind == kind && row.json == json);
        assert!(stored.is_some(), "{kind} is as it was");
    }
}

/// A damaged controller row holds everything; satellites are called only if the cluster's identity can be read.
#[tokio::test(start_paused = true)]
async fn a_damaged_controller_row_holds_everything() {
    for readable in [true, false] {
        let store = MemoryStore::new();
        let first = Fixture::on(store.clone()).await;
        first.deployed("alpha").await;
        let id = first.cluster.model().controller.cluster_id;
        drop(first);
        let name = if readable { "cluster_id" } else { "cluster" };
        let damaged = format!(r#"{{"{name}":"{id}","props":{{"a":"b","c":1}}}}"#);
        store.plant("controller", "", &damaged);
        let second = Fixture::on(store.clone()).await;
        let _listener = second.pipes.listen("alpha");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let model = second.cluster.model();
        assert_eq!(model.controller.cluster_id == id, readable);
        assert_eq!(*second.pipes.calls.lock().unwrap() > 0, readable);
        let grown = second.cluster.commit(|d| {
            grow(d, "rsc");
            Ok(())
        });
        assert!(grown.await.is_err());
        assert!(model.resource(&resource("rsc"), &node("alpha")).is_some());
        let rows = store.contents().rows;
        assert!(
            rows.iter().any(|row| row.json == damaged),
            "it is not written"
        );
    }
}

/// A database that cannot be written is served: reads work, writes are refused with the reason, the health says so; it is
/// written again by itself once it can be.
#[tokio::test(start_paused = true)]
async fn a_start_needs_no_write() {
    let store = MemoryStore::new();
    let first = Fixture::on(store.clone()).await;
    first.cluster.commit(|d| set(d, "one", "1")).await.unwrap();
    first.controller.stop().await;
    let health = linstor_controller::ops::controller::health;
    let next = store.attempts() + 1;
    for nth in next..next + 20 {
        store.fail_write(nth, Fault::BeforeWrite);
    }
    let second = Fixture::on(store.clone()).await;
    assert_eq!(get(&second.cluster, "one").as_deref(), Some("1"));
    assert!(health(&second.cluster).contains("read-only: "));
    let refused = second
        .cluster
        .commit(|d| set(d, "two", "2"))
        .await
        .unwrap_err()
        .0;
    assert!(
        refused[0].message.contains("could not be stored"),
        "{refused:?}"
    );
    assert!(refused[0].correction.is_some());
    assert_eq!(second.cluster.model().epoch.number, 1, "as it is stored");
    store.revive();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(health(&second.cluster), "");
    assert_eq!(second.cluster.model().epoch.number, 2);
    second.cluster.commit(|d| set(d, "two", "2")).await.unwrap();
    second.controller.stop().await;

    let fresh = MemoryStore::new();
    fresh.fail_next(Fault::BeforeWrite);
    let started = linstor_controller::Controller::start(
        Box::new(fresh),
        std::sync::Arc::new(linstor_controller::env::SeededEnv::new(1)),
        std::sync::Arc::new(crate::satellite::Pipes::default()),
        linstor_controller::Options::default(),
    );
    assert!(
        started.await.is_err(),
        "a new cluster has to be stored first"
    );
}

/// The same seed takes the same course.
#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_rows() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let fixture = Fixture::new().await;
        fixture.deployed("alpha").await;
        assert!(fixture.cluster.model().node(&node("alpha")).is_some());
        fixture.controller.stop().await;
        runs.push(fixture.store.journal());
    }
    assert_eq!(runs[0], runs[1]);
}
