//! What every store does.

use linstor_store::{Limits, MemoryStore, SqliteStore, Store, StoreError};

use crate::{put, remove, row};

async fn stores(dir: &tempfile::TempDir) -> Vec<Box<dyn Store>> {
    let sqlite = SqliteStore::open(dir.path().join("a/b/linstor.db")).await;
    vec![
        Box::new(MemoryStore::new()),
        Box::new(sqlite.expect("a new directory takes a file")),
    ]
}

/// A batch is there as a whole, with the generation that was asked for.
#[tokio::test]
async fn batches_change_rows_and_count() {
    let dir = tempfile::tempdir().unwrap();
    for mut store in stores(&dir).await {
        assert_eq!(store.load().await.unwrap(), Default::default());
        let first = vec![put("B", "1"), put("A", "2")];
        store.apply(0, 1, first).await.unwrap();
        let second = vec![put("A", "3"), remove("B"), remove("none"), put("C", "ä\n")];
        store.apply(1, 4, second).await.unwrap();
        let mut loaded = store.load().await.unwrap();
        loaded.rows.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(loaded.generation, 4);
        assert_eq!(loaded.rows, [row("A", "3"), row("C", "ä\n")]);
        assert_eq!(store.generation().await.unwrap(), 4);
    }
}

/// A batch made for another generation changes nothing.
#[tokio::test]
async fn a_batch_for_another_generation_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mut store in stores(&dir).await {
        store.apply(0, 1, vec![put("A", "1")]).await.unwrap();
        for wrong in [0, 2, 7] {
            let error = store
                .apply(wrong, 9, vec![put("A", "x")])
                .await
                .unwrap_err();
            assert!(
                matches!(error, StoreError::Conflict { expected, found: 1 } if expected == wrong),
                "{error}"
            );
        }
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.generation, loaded.rows), (1, vec![row("A", "1")]));
    }
}

/// A copy holds what was there, whatever is written later; one of the same name replaces it.
#[tokio::test]
async fn a_copy_is_of_its_moment() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryStore::new();
    let path = dir.path().join("linstor.db");
    let sqlite = SqliteStore::open(&path).await.unwrap();
    let stores: [Box<dyn Store>; 2] = [Box::new(memory.clone()), Box::new(sqlite)];
    for mut store in stores {
        store.apply(0, 1, vec![put("A", "1")]).await.unwrap();
        store.copy("rows-1-to-2").await.unwrap();
        store.apply(1, 2, vec![put("A", "2")]).await.unwrap();
        store.copy("other").await.unwrap();
        let place = store.copy("rows-1-to-2").await.unwrap();
        store.apply(2, 3, vec![put("A", "3")]).await.unwrap();
        assert!(place.contains("rows-1-to-2"), "{place}");
        assert_eq!(store.load().await.unwrap().rows, [row("A", "3")]);
    }
    let copy = memory.copies().remove("rows-1-to-2").unwrap();
    assert_eq!((copy.generation, copy.rows), (2, vec![row("A", "2")]));
    let copy = dir.path().join("linstor.rows-1-to-2.db");
    let copy = SqliteStore::open(&copy)
        .await
        .unwrap()
        .load()
        .await
        .unwrap();
    assert_eq!((copy.generation, copy.rows), (2, vec![row("A", "2")]));
}

/// A store refuses a batch that is larger than it says, and takes one that is not.
#[tokio::test]
async fn a_batch_above_the_limits_is_refused() {
    let mut store = MemoryStore::new();
    let limits = Limits { rows: 2, bytes: 40 };
    store.set_limits(limits);
    assert_eq!(store.limits(), limits);
    let long = "x".repeat(40);
    for batch in [
        vec![put("A", "1"), put("B", "2"), remove("C")],
        vec![put("A", &long)],
    ] {
        assert!(!limits.allow(&batch));
        let error = store.apply(0, 1, batch).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("at most 2 rows and 40 bytes"), "{text}");
    }
    let batch = vec![put("A", "1"), put("B", "2")];
    assert!(limits.allow(&batch));
    store.apply(0, 1, batch).await.unwrap();
}
