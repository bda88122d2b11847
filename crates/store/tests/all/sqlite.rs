//! What the SQLite store does besides.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use linstor_store::{SqliteStore, Store, StoreError, sqlite};
use rusqlite::Connection;

use crate::{put, row};

/// Rows are there when the file is opened again; nobody but the owner reads directory and file.
#[tokio::test]
async fn rows_outlive_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/linstor.db");
    let mut store = SqliteStore::open(&path).await.unwrap();
    store.apply(0, 1, vec![put("A", "1")]).await.unwrap();
    drop(store);
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
    first.apply(0, 1, vec![put("A", "1")]).await.unwrap();
    let error = second.apply(0, 1, vec![put("A", "2")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(second.generation().await.unwrap(), 1);
}

/// A file of a newer version is refused with a sentence, and left as it is.
#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
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
    store.apply(0, 1, rows).await.unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 8192].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let found = sqlite::check(&path);
    assert!(found.is_err() || !found.unwrap().is_empty());
}

/// The mode of a file, without its type.
fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// A copy is next to the database and nobody but the owner reads it; what was left of one that was cut off is removed.
#[tokio::test]
async fn a_copy_is_the_owners() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path().join("linstor.db"))
        .await
        .unwrap();
    store.apply(0, 1, vec![put("A", "1")]).await.unwrap();
    let partial = dir.path().join("linstor.rows-1-to-2.partial");
    std::fs::write(&partial, "half a copy").unwrap();
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o644)).unwrap();
    let place = store.copy("rows-1-to-2").await.unwrap();
    assert_eq!(
        place,
        dir.path().join("linstor.rows-1-to-2.db").to_string_lossy()
    );
    assert_eq!(mode(Path::new(&place)), 0o600);
    assert!(!partial.exists());
    assert_eq!(
        sqlite::check(Path::new(&place)).unwrap(),
        Vec::<String>::new()
    );
}

/// A file system in memory of its own, which root may mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", "size=2m", "tmpfs"],
            dir.path(),
        );
        mounted.then_some(SmallDisk(dir))
    }

    /// Writes until there is no room.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.0.path().join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0.path());
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the test mounts a disk of its own"
)]
fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let status = std::process::Command::new(program)
        .args(arguments)
        .arg(path)
        .status();
    status.is_ok_and(|status| status.success())
}

/// On a full disk the file is opened and read, whether or not the controller before ended properly, and writes and copies
/// say why they fail; with room again all works without a new start, and others may read the file.
#[tokio::test]
async fn a_full_disk_is_read() {
    for cut_off in [false, true] {
        let Some(disk) = SmallDisk::mount() else {
            eprintln!("skipped: mounting a file system needs root");
            return;
        };
        let path = disk.0.path().join("linstor.db");
        let mut store = SqliteStore::open(&path).await.unwrap();
        store.apply(0, 1, vec![put("A", "1")]).await.unwrap();
        let log = disk.0.path().join("linstor.db-wal");
        let log_of_a_killed_one = std::fs::read(&log).unwrap();
        drop(store);
        if cut_off {
            std::fs::write(&log, log_of_a_killed_one).unwrap();
        }
        let ballast = disk.fill();

        let mut store = SqliteStore::open(&path).await.unwrap();
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.generation, loaded.rows), (1, vec![row("A", "1")]));
        for _ in 0..2 {
            let error = store.apply(1, 2, vec![put("A", "2")]).await.unwrap_err();
            assert!(error.to_string().contains("full"), "{error}");
            let error = store.copy("rows-1-to-2").await.unwrap_err();
            assert!(error.to_string().contains("full"), "{error}");
            assert_eq!(store.generation().await.unwrap(), 1);
        }
        std::fs::remove_file(ballast).unwrap();
        store.apply(1, 2, vec![put("A", "2")]).await.unwrap();
        store.copy("rows-1-to-2").await.unwrap();
        assert_eq!(sqlite::check(&path).unwrap(), Vec::<String>::new());
        assert_eq!(store.load().await.unwrap().rows, [row("A", "2")]);
    }
}
