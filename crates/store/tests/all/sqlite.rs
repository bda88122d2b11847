//! What the SQLite store does besides.

use std::os::unix::fs::PermissionsExt;

use linstor_store::{SqliteStore, Store, StoreError, sqlite};
use rusqlite::Connection;

use crate::{put, row};

/// Rows are there when the file is opened again; nobody but the owner reads directory and file.
#[tokio::test]
async fn rows_outlive_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/linstor.db");
    let mut store = SqliteStore::open(&path).await.unwrap();
    store.apply(0, vec![put("A", "1")]).await.unwrap();
    drop(store);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path), 0o600);
    let mut store = SqliteStore::open(&path).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.generation, loaded.rows), (1, vec![row("A", "1")]));
    assert_eq!(sqlite::check(&path).unwrap(), Vec::<String>::new());
}

/// Of two stores on one file the one that writes second learns that it came too late.
#[tokio::test]
async fn two_writers_fence_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linstor.db");
    let mut first = SqliteStore::open(&path).await.unwrap();
    let mut second = SqliteStore::open(&path).await.unwrap();
    first.apply(0, vec![put("A", "1")]).await.unwrap();
    let error = second.apply(0, vec![put("A", "2")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(second.generation().await.unwrap(), 1);
}

/// A file of a newer version is refused with a sentence, and left as it is.
#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linstor.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let raw = Connection::open(&path).unwrap();
    raw.execute("UPDATE meta SET value = 9 WHERE name = 'schema'", [])
        .unwrap();
    drop(raw);
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

/// A row that is not even text is read all the same: the model sets it aside.
#[tokio::test]
async fn a_row_of_another_type_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linstor.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let raw = Connection::open(&path).unwrap();
    raw.execute("INSERT INTO rows VALUES ('node', 'A', x'ff00')", [])
        .unwrap();
    drop(raw);
    let mut store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.load().await.unwrap().rows.len(), 1);
}

/// A file that is not a database is refused, and so is one that is damaged beyond reading; neither is written over.
#[tokio::test]
async fn what_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linstor.db");
    let text = "this is a letter and not a database\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    assert!(SqliteStore::open(&path).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

/// A check tells of damage that reading may not have met.
#[tokio::test]
async fn a_check_tells_of_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linstor.db");
    let mut store = SqliteStore::open(&path).await.unwrap();
    let long = "x".repeat(2000);
    let rows = (0..200).map(|n| put(&format!("K{n}"), &long)).collect();
    store.apply(0, rows).await.unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 8192].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let found = sqlite::check(&path);
    assert!(found.is_err() || !found.unwrap().is_empty());
}
