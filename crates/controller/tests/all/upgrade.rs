//! Databases with rows of older and of newer versions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use linstor_controller::env::SeededEnv;
use linstor_controller::ops::controller::health;
use linstor_controller::start::StartError;
use linstor_controller::{Controller, Options};
use linstor_model::model::RowKind;
use linstor_model::{Migration, Migrations};
use linstor_store::memory::Fault;
use linstor_store::{Limits, Loaded, MemoryStore};
use serde_json::Value;

use crate::fixture::{Fixture, get, set};
use crate::satellite::Pipes;

/// Every value of a key-value store is another one in version 2.
static TABLE: [Migration; 1] = [Migration {
    kind: RowKind::KeyValueStore,
    from: 1,
    step: |row| {
        let props = row.get_mut("props").and_then(Value::as_object_mut);
        for value in props.ok_or("it has no props")?.values_mut() {
            *value = format!("{} in version 2", value.as_str().unwrap_or_default()).into();
        }
        Ok(Vec::new())
    },
}];

/// Fewer rows than are migrated.
const LIMITS: Limits = Limits {
    rows: 8,
    bytes: 64 * 1024,
};
const ROWS: usize = 20;

async fn start(store: &MemoryStore, migrations: Migrations) -> Result<Controller, StartError> {
    let options = Options {
        migrations,
        ..Options::default()
    };
    let (env, pipes) = (SeededEnv::new(2), Pipes::default());
    Controller::start(
        Box::new(store.clone()),
        Arc::new(env),
        Arc::new(pipes),
        options,
    )
    .await
}

async fn start_new(store: &MemoryStore) -> Result<Controller, StartError> {
    start(store, Migrations::new(&TABLE)).await
}

/// What a controller of the version before has left.
async fn left_by_the_version_before() -> MemoryStore {
    let store = MemoryStore::new();
    let fixture = Fixture::on(store.clone()).await;
    for n in 0..ROWS {
        let name = format!("kvs{n:02}");
        fixture
            .change(move |draft| set(draft, &name, "old").unwrap())
            .await;
    }
    fixture.controller.stop().await;
    store.set_limits(LIMITS);
    store
}

/// Versions of the rows of the kind that is migrated, with how many have it.
fn versions(contents: &Loaded) -> BTreeMap<u64, usize> {
    let mut versions = BTreeMap::new();
    for row in contents
        .rows
        .iter()
        .filter(|row| row.kind == "key_value_store")
    {
        let row: Value = serde_json::from_str(&row.json).unwrap();
        let version = row
            .get("version")
            .map_or(1, |version| version.as_u64().unwrap());
        assert_eq!(
            row["props"]["k"],
            if version == 1 {
                "old"
            } else {
                "old in version 2"
            }
        );
        *versions.entry(version).or_default() += 1;
    }
    versions
}

fn assert_upgraded(store: &MemoryStore, before: &Loaded) {
    assert_eq!(versions(&store.contents()), BTreeMap::from([(2, ROWS)]));
    let copies = store.copies();
    assert_eq!(copies.len(), 1, "{:?}", copies.keys());
    let (name, copy) = copies.first_key_value().unwrap();
    assert_eq!(
        *name,
        format!("rows-4-to-5-generation-{}", before.generation)
    );
    assert_eq!(copy, before);
}

/// The database is copied, then the versions are stored, then the rows in batches that the store takes; the next start
/// migrates nothing.
#[tokio::test(start_paused = true)]
async fn rows_are_migrated_after_a_copy() {
    let store = left_by_the_version_before().await;
    let (before, writes) = (store.contents(), store.journal().len());
    let controller = start_new(&store).await.unwrap();
    assert_eq!(
        get(&controller.cluster, "kvs07").as_deref(),
        Some("old in version 2")
    );
    controller
        .cluster
        .commit(|d| set(d, "new", "old in version 2"))
        .await
        .unwrap();
    controller.stop().await;
    let journal = &store.journal()[writes..];
    let kinds = |nth: usize| journal[nth].batch.iter().map(|write| write.kind.as_str());
    assert_eq!(kinds(0).collect::<Vec<_>>(), ["row_versions"]);
    let sizes: Vec<usize> = journal.iter().map(|entry| entry.batch.len()).collect();
    assert_eq!(
        sizes,
        [1, 8, 8, 4, 1, 1],
        "versions, rows, the start, the change"
    );
    assert_eq!(versions(&store.contents()), BTreeMap::from([(2, ROWS + 1)]));
    assert_eq!(store.copies().into_values().collect::<Vec<_>>(), [before]);

    let writes = store.attempts();
    let again = start_new(&store).await.unwrap();
    assert_eq!(store.attempts(), writes + 1, "only the start itself");
    assert_eq!(
        get(&again.cluster, "kvs07").as_deref(),
        Some("old in version 2")
    );
}

/// Whichever write the controller dies at, the next start ends what was begun, and the copy is the one of before.
#[tokio::test(start_paused = true)]
async fn a_migration_that_was_cut_off_goes_on() {
    for fault in [
        Fault::DeadBeforeWrite,
        Fault::DeadAfterWrite,
        Fault::BeforeWrite,
        Fault::AfterWrite,
    ] {
        for nth in 1..=5 {
            let store = left_by_the_version_before().await;
            let before = store.contents();
            store.fail_write(store.attempts() + nth, fault);
            // It may begin to serve, or not; then it is gone.
            drop(start_new(&store).await);
            store.revive();
            let cut_off = store.contents();
            assert!(versions(&cut_off).values().sum::<usize>() == ROWS);
            let controller = start_new(&store).await.unwrap();
            assert_upgraded(&store, &before);
            assert_eq!(controller.cluster.model().epoch.number, store_epoch(&store));
        }
    }
}

fn store_epoch(store: &MemoryStore) -> u64 {
    let rows = store.contents().rows;
    let row = rows.iter().find(|row| row.kind == "epoch").unwrap();
    let row: Value = serde_json::from_str(&row.json).unwrap();
    row["number"].as_u64().unwrap()
}

/// A controller of the version before neither serves nor writes a database that was migrated, wholly or in part, and says
/// who did and where the copy is. On the copy it starts.
#[tokio::test(start_paused = true)]
async fn an_older_controller_refuses_newer_rows() {
    for nth in [2, 3, 9] {
        let store = left_by_the_version_before().await;
        store.fail_write(store.attempts() + nth, Fault::DeadBeforeWrite);
        drop(start_new(&store).await);
        store.revive();
        let writes = store.attempts();
        let error = start(&store, Migrations::default())
            .await
            .err()
            .expect("it is refused");
        assert!(matches!(error, StartError::NewerRows(_)));
        let text = error.to_string();
        let place = store.copies().into_keys().next().unwrap();
        for part in [
            env!("CARGO_PKG_VERSION"),
            "'key_value_store' is of version 2",
            &place,
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(store.attempts(), writes, "nothing is written");
        let copy = MemoryStore::with(store.copies().into_values().next().unwrap());
        let controller = start(&copy, Migrations::default()).await.unwrap();
        assert_eq!(get(&controller.cluster, "kvs07").as_deref(), Some("old"));
    }
}

/// On a full disk the rows are migrated in memory and served; changes are refused with the reason until there is room.
#[tokio::test(start_paused = true)]
async fn a_full_disk_serves_migrated_rows() {
    let store = left_by_the_version_before().await;
    let before = store.contents();
    store.set_full(Some("database or disk is full"));
    let controller = start_new(&store).await.unwrap();
    let cluster = controller.cluster.clone();
    assert_eq!(get(&cluster, "kvs07").as_deref(), Some("old in version 2"));
    assert!(
        health(&cluster).contains("read-only: "),
        "{}",
        health(&cluster)
    );
    let refused = cluster.commit(|d| set(d, "new", "1")).await.unwrap_err().0;
    assert!(
        refused[0].cause.as_ref().unwrap().contains("disk is full"),
        "{refused:?}"
    );
    assert_eq!(store.contents(), before);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(store.contents(), before);
    store.set_full(None);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(health(&cluster), "");
    assert_upgraded(&store, &before);
    cluster.commit(|d| set(d, "new", "1")).await.unwrap();
}

/// A row that cannot be migrated is held as it is; the others are migrated, once.
#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_migrated_is_held() {
    let store = left_by_the_version_before().await;
    let bad = r#"{"name":"bad"}"#;
    store.plant("key_value_store", "BAD", bad);
    for starts in 1..=2 {
        let controller = start_new(&store).await.unwrap();
        let model = controller.cluster.model();
        assert_eq!(model.held.rows().len(), 1);
        assert!(
            model.held.rows()[0]
                .reason
                .contains("cannot be migrated: it has no props")
        );
        let rows = store.contents().rows;
        assert!(
            rows.iter().any(|row| row.json == bad),
            "start {starts}: it is as it was"
        );
        assert_eq!(store.copies().len(), 1);
    }
}

/// What one batch cannot hold is said, and no change is made.
#[tokio::test(start_paused = true)]
async fn a_row_larger_than_a_batch_is_refused() {
    let store = left_by_the_version_before().await;
    store.set_limits(Limits {
        rows: 8,
        bytes: 700,
    });
    let long = format!(r#"{{"name":"long","props":{{"k":"{}"}}}}"#, "x".repeat(700));
    store.plant("key_value_store", "LONG", &long);
    let controller = start_new(&store).await.unwrap();
    let refused = controller
        .cluster
        .commit(|d| set(d, "new", "1"))
        .await
        .unwrap_err()
        .0;
    assert!(
        refused[0]
            .cause
            .as_ref()
            .unwrap()
            .contains("at most 8 rows and 700 bytes"),
        "{refused:?}"
    );
    let health = health(&controller.cluster);
    assert!(health.contains("key_value_store LONG"), "{health}");
}
