//! The SQLite file itself: schema, pragmas, statements.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use linstor_model::model::StoredRow;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::{Loaded, StoreError, Write};

/// How long to wait for another process that has the file locked, such as `sqlite3` in a person's hands.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// How many prepared statements are kept.
const STATEMENTS_MAX: usize = 16;
/// How many problems a check lists at most.
const PROBLEMS_MAX: usize = 20;

/// The version of the tables.
const TABLES_VERSION: u32 = 1;
const TABLES: &str = "
    CREATE TABLE rows (
        kind TEXT NOT NULL,
        key  TEXT NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    );
    CREATE TABLE meta (
        name  TEXT NOT NULL PRIMARY KEY,
        value INTEGER NOT NULL
    );
";

/// An open file.
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    sharing: Sharing,
}

/// How the file is shared with other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Others may read and write, such as `sqlite3` in a person's hands.
    Others,
    /// Nobody else may open it. SQLite then has the index of its log in memory instead of in a file, for which a full disk
    /// has no room.
    Nobody,
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Failed {
        doing,
        reason: match is_full(&error) {
            true => format!("its file system is full ({error})"),
            false => error.to_string(),
        },
    }
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        make_directory(path)?;
        // Before SQLite makes any file, as its others take the mode of this one: secrets are in them.
        restrict(path)?;
        let (connection, sharing) = match connect(path, Sharing::Others) {
            Err(error) if is_full(&error) => (connect(path, Sharing::Nobody), Sharing::Nobody),
            connected => (connected, Sharing::Others),
        };
        let mut database = Database {
            connection: connection.map_err(|error| StoreError::Failed {
                doing: "opening its file",
                reason: format!("{}: {error}", path.display()),
            })?,
            path: path.to_owned(),
            sharing,
        };
        database.check_tables()?;
        Ok(database)
    }

    /// Shares the file again, now that the disk may have room.
    fn share(&mut self) -> Result<(), StoreError> {
        if self.sharing == Sharing::Others {
            return Ok(());
        }
        let doing = failed("opening its file");
        // The file cannot be opened a second time while it is not shared.
        let nothing = Connection::open_in_memory().map_err(&doing)?;
        drop(std::mem::replace(&mut self.connection, nothing));
        match connect(&self.path, Sharing::Others) {
            Ok(connection) => {
                self.connection = connection;
                self.sharing = Sharing::Others;
                Ok(())
            }
            Err(error) => {
                self.connection = connect(&self.path, Sharing::Nobody).map_err(&doing)?;
                Err(doing(error))
            }
        }
    }

    /// Makes the tables when there are none; refuses those of a newer version.
    fn check_tables(&mut self) -> Result<(), StoreError> {
        let doing = failed("reading the version of its tables");
        let tables: i64 = self
            .connection
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'",
                [],
                |row| row.get(0),
            )
            .map_err(&doing)?;
        if tables == 0 {
            return self.create().map_err(failed("making its tables"));
        }
        let found = self.meta("schema").map_err(&doing)?.unwrap_or(0);
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        if found > TABLES_VERSION {
            return Err(StoreError::NewerTables {
                found,
                known: TABLES_VERSION,
            });
        }
        Ok(())
    }

    fn create(&mut self) -> Result<(), rusqlite::Error> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        set_meta(&transaction, "schema", i64::from(TABLES_VERSION))?;
        set_meta(&transaction, "generation", 0)?;
        transaction.commit()
    }

    fn meta(&self, name: &str) -> Result<Option<i64>, rusqlite::Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        statement.query_row([name], |row| row.get(0)).optional()
    }

    pub(super) fn generation(&mut self) -> Result<u64, StoreError> {
        let value = self
            .meta("generation")
            .map_err(failed("reading its generation"))?;
        Ok(value.map_or(0, i64::cast_unsigned))
    }

    pub(super) fn load(&mut self) -> Result<Loaded, StoreError> {
        let generation = self.generation()?;
        let rows = self.rows().map_err(failed("reading its rows"))?;
        Ok(Loaded { generation, rows })
    }

    fn rows(&self) -> Result<Vec<StoredRow>, rusqlite::Error> {
        // In the order in which they are in the file: by the primary key each row would be looked up by itself.
        let mut statement = self
            .connection
            .prepare("SELECT kind, key, json FROM rows NOT INDEXED")?;
        let rows = statement.query_map([], |row| {
            Ok(StoredRow {
                kind: text(row.get_ref(0)?),
                key: text(row.get_ref(1)?),
                json: text(row.get_ref(2)?),
            })
        })?;
        rows.collect()
    }

    /// A copy of the file, next to it. On disk, whole, before this returns; nobody but the owner can read it at any moment.
    pub(super) fn copy(&mut self, name: &str) -> Result<String, StoreError> {
        const DOING: &str = "making a copy of its file";
        self.share()?;
        let io = |path: &Path, error: std::io::Error| StoreError::Failed {
            doing: DOING,
            reason: format!("{}: {error}", path.display()),
        };
        let file = std::path::absolute(&self.path).map_err(|error| io(&self.path, error))?;
        let copy = file.with_extension(format!("{name}.db"));
        // A copy that was cut off never gets the final name.
        let partial = file.with_extension(format!("{name}.partial"));
        let remove = |path: &Path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, error)),
            _ => Ok(()),
        };
        remove(&partial)?;
        // SQLite fills an empty file that is there, and leaves it its mode.
        restrict(&partial)?;
        let filled = self
            .connection
            .execute("VACUUM INTO ?1", [partial.to_string_lossy()]);
        if let Err(error) = filled {
            // Room that the database itself may need.
            remove(&partial)?;
            return Err(failed(DOING)(error));
        }
        let sync = |path: &Path| {
            let synced = File::open(path).and_then(|file| file.sync_all());
            synced.map_err(|error| io(path, error))
        };
        sync(&partial)?;
        std::fs::rename(&partial, &copy).map_err(|error| io(&copy, error))?;
        sync(copy.parent().expect("an absolute path of a file has one"))?;
        Ok(copy.display().to_string())
    }

    pub(super) fn apply(
        &mut self,
        expected: u64,
        next: u64,
        batch: &[Write],
    ) -> Result<(), StoreError> {
        self.share()?;
        let doing = failed("writing a batch");
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&doing)?;
        let found: i64 = transaction
            .prepare_cached("SELECT value FROM meta WHERE name = 'generation'")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(&doing)?;
        let found = found.cast_unsigned();
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        for write in batch {
            match &write.json {
                Some(json) => put(&transaction, &write.kind, &write.key, json),
                None => remove(&transaction, &write.kind, &write.key),
            }
            .map_err(&doing)?;
        }
        set_meta(&transaction, "generation", next.cast_signed()).map_err(&doing)?;
        transaction.commit().map_err(&doing)
    }
}

fn put(connection: &Connection, kind: &str, key: &str, json: &str) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rows (kind, key, json) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind, key) DO UPDATE SET json = excluded.json",
    )?;
    statement.execute(params![kind, key, json]).map(drop)
}

fn remove(connection: &Connection, kind: &str, key: &str) -> Result<(), rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("DELETE FROM rows WHERE kind = ?1 AND key = ?2")?;
    statement.execute(params![kind, key]).map(drop)
}

fn set_meta(connection: &Connection, name: &str, value: i64) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?;
    statement.execute(params![name, value]).map(drop)
}

/// A column as text whatever it holds: a damaged row is for the model to set aside, not a reason to fail.
fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

fn connect(path: &Path, sharing: Sharing) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(BUSY_MAX)?;
    if sharing == Sharing::Nobody {
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode this is what makes each commit survive a power cut: the log is synced before the answer.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Whether it failed for want of room.
fn is_full(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return false;
    };
    let no_room = [
        rusqlite::ffi::SQLITE_FULL,
        rusqlite::ffi::SQLITE_IOERR_SHMSIZE,
    ];
    no_room.contains(&failure.extended_code)
}

/// Makes the directory, for the owner alone. One that is there keeps its mode: it is the administrator's.
fn make_directory(path: &Path) -> Result<(), StoreError> {
    let Some(directory) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| StoreError::Failed {
        doing: "making its directory",
        reason: format!("{}: {error}", directory.display()),
    })
}

/// Makes the file if it is not there, and lets nobody but its owner read it.
fn restrict(path: &Path) -> Result<(), StoreError> {
    let file = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    let restricted = file.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)));
    restricted.map_err(|error| StoreError::Failed {
        doing: "restricting its file to its owner",
        reason: format!("{}: {error}", path.display()),
    })
}

pub(super) fn check(path: &Path) -> Result<Vec<String>, StoreError> {
    let doing = failed("checking its file");
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(&doing)?;
    connection.busy_timeout(BUSY_MAX).map_err(&doing)?;
    let mut statement = connection
        .prepare(&format!("PRAGMA quick_check({PROBLEMS_MAX})"))
        .map_err(&doing)?;
    let lines = statement
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(&doing)?;
    let mut problems = Vec::new();
    for line in lines {
        let line = line.map_err(&doing)?;
        if line != "ok" {
            problems.push(line);
        }
    }
    Ok(problems)
}
