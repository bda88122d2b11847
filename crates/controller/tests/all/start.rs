//! Starts: fresh, again, and on a store that is not in order.

use linstor_model::name::{ResourceGroupName, StoragePoolName};
use linstor_store::MemoryStore;

use crate::fixture::{Fixture, get, node, set};

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

/// Rows that cannot be read are set aside and shown; the rest serves; a new row of the same key keeps the old text.
#[tokio::test(start_paused = true)]
async fn bad_rows_do_not_keep_it_from_starting() {
    let store = MemoryStore::new();
    let first = Fixture::on(store.clone()).await;
    first.cluster.commit(|d| set(d, "good", "1")).await.unwrap();
    drop(first);
    store.plant("key_value_store", "BAD", "{not json");
    store.plant("resource", "RSC/ALPHA", r#"{"node":"alpha"}"#);
    store.plant("dance", "X", "{}");

    let second = Fixture::on(store.clone()).await;
    assert_eq!(second.cluster.quarantined().len(), 3);
    assert_eq!(get(&second.cluster, "good").as_deref(), Some("1"));
    second
        .cluster
        .commit(|d| set(d, "bad", "new"))
        .await
        .unwrap();
    drop(second);
    let kept = |kind: &str| {
        let rows = store.contents().rows.into_iter();
        rows.filter(|row| row.kind == kind).collect::<Vec<_>>()
    };
    assert_eq!(kept("unreadable")[0].json, "{not json");
    assert_eq!(kept("dance").len(), 1, "what is not understood stays");

    let third = Fixture::on(store.clone()).await;
    assert_eq!(get(&third.cluster, "bad").as_deref(), Some("new"));
    assert_eq!(third.cluster.quarantined().len(), 2);
}

/// A damaged controller row gives up what can be read of it, the cluster's id above all: satellites know it.
#[tokio::test(start_paused = true)]
async fn a_damaged_controller_row_keeps_the_clusters_id() {
    let store = MemoryStore::new();
    let first = Fixture::on(store.clone()).await;
    let id = first.cluster.model().controller.cluster_id;
    drop(first);
    let damaged = format!(r#"{{"cluster_id":"{id}","epoch":"seven","props":{{"a":"b","c":1}}}}"#);
    store.plant("controller", "", &damaged);
    let second = Fixture::on(store).await;
    let row = &second.cluster.model().controller;
    assert_eq!((row.cluster_id, row.props["a"].as_str()), (id, "b"));
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
