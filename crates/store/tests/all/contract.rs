//! What every store does.

use linstor_store::{MemoryStore, SqliteStore, Store, StoreError};

use crate::{put, remove, row};

async fn stores(dir: &tempfile::TempDir) -> Vec<Box<dyn Store>> {
    let sqlite = SqliteStore::open(dir.path().join("a/b/linstor.db")).await;
    vec![
        Box::new(MemoryStore::new()),
        Box::new(sqlite.expect("a new directory takes a file")),
    ]
}

/// A batch is there as a whole, ordered by kind and key, with the next generation.
#[tokio::test]
async fn batches_change_rows_and_count() {
    let dir = tempfile::tempdir().unwrap();
    for mut store in stores(&dir).await {
        assert_eq!(store.load().await.unwrap(), Default::default());
        let first = vec![put("B", "1"), put("A", "2")];
        assert_eq!(store.apply(0, first).await.unwrap(), 1);
        let second = vec![put("A", "3"), remove("B"), remove("none"), put("C", "ä\n")];
        assert_eq!(store.apply(1, second).await.unwrap(), 2);
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.generation, 2);
        assert_eq!(loaded.rows, [row("A", "3"), row("C", "ä\n")]);
        assert_eq!(store.generation().await.unwrap(), 2);
    }
}

/// A batch made for another generation changes nothing.
#[tokio::test]
async fn a_batch_for_another_generation_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mut store in stores(&dir).await {
        store.apply(0, vec![put("A", "1")]).await.unwrap();
        for wrong in [0, 2, 7] {
            let error = store.apply(wrong, vec![put("A", "x")]).await.unwrap_err();
            assert!(
                matches!(error, StoreError::Conflict { expected, found: 1 } if expected == wrong),
                "{error}"
            );
        }
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.generation, loaded.rows), (1, vec![row("A", "1")]));
    }
}
