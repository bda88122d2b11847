//! The SQLite file itself: schema, pragmas, statements.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use linstor_model::model::StoredRow;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::migrate::{SCHEMA, STEPS, migrate};
use crate::{Loaded, StoreError, Write};

/// How long to wait for another process that has the file locked, such as `sqlite3` in a person's hands.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// How many prepared statements are kept.
const STATEMENTS_MAX: usize = 16;
/// How many problems a check lists at most.
const PROBLEMS_MAX: usize = 20;

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
    /// The schema of the rows in it; differs from [`SCHEMA`] only until [`Database::load`].
    schema: u32,
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Failed {
        doing,
        reason: error.to_string(),
    }
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        make_directory(path)?;
        // Before SQLite makes any file, as its others take the mode of this one: secrets are in them.
        restrict(path)?;
        let connection = Connection::open(path).map_err(|error| StoreError::Failed {
            doing: "opening its file",
            reason: format!("{}: {error}", path.display()),
        })?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        configure(&connection).map_err(failed("setting up its file"))?;
        let mut database = Database {
            connection,
            path: path.to_owned(),
            schema: SCHEMA,
        };
        database.schema = database.find_schema()?;
        Ok(database)
    }

    /// The file's schema; makes the tables when there are none.
    fn find_schema(&mut self) -> Result<u32, StoreError> {
        let doing = failed("reading its schema");
        let tables: i64 = self
            .connection
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'",
                [],
                |row| row.get(0),
            )
            .map_err(&doing)?;
        if tables == 0 {
            self.create().map_err(failed("making its tables"))?;
            return Ok(SCHEMA);
        }
        let found = self.meta("schema").map_err(&doing)?.unwrap_or(0);
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        if found > SCHEMA {
            return Err(StoreError::NewerSchema {
                found,
                known: SCHEMA,
            });
        }
        Ok(found)
    }

    fn create(&mut self) -> Result<(), rusqlite::Error> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        set_meta(&transaction, "schema", i64::from(SCHEMA))?;
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
        if self.schema == SCHEMA {
            return Ok(Loaded { generation, rows });
        }
        let rows = migrate(self.schema, rows, STEPS);
        self.copy()?;
        self.replace_all(&rows)
            .map_err(failed("writing migrated rows"))?;
        self.schema = SCHEMA;
        Ok(Loaded { generation, rows })
    }

    fn rows(&self) -> Result<Vec<StoredRow>, rusqlite::Error> {
        let mut statement = self
            .connection
            .prepare("SELECT kind, key, json FROM rows ORDER BY kind, key")?;
        let rows = statement.query_map([], |row| {
            Ok(StoredRow {
                kind: text(row.get_ref(0)?),
                key: text(row.get_ref(1)?),
                json: text(row.get_ref(2)?),
            })
        })?;
        rows.collect()
    }

    /// A copy of the file as the older version wrote it, to go back to. On disk, whole, before this returns; nobody but
    /// the owner can read it at any moment.
    fn copy(&self) -> Result<(), StoreError> {
        let copy = self
            .path
            .with_extension(format!("schema-{}.db", self.schema));
        // A copy that was cut off never gets the final name.
        let partial = copy.with_extension("partial");
        let doing = "copying its file before a migration";
        let io = |error: std::io::Error| StoreError::Failed {
            doing,
            reason: format!("{}: {error}", copy.display()),
        };
        if let Err(error) = std::fs::remove_file(&partial)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(io(error));
        }
        // SQLite fills an empty file that is there, and leaves it its mode.
        restrict(&partial)?;
        self.connection
            .execute("VACUUM INTO ?1", [partial.to_string_lossy()])
            .map_err(failed(doing))?;
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        sync(&partial).map_err(io)?;
        std::fs::rename(&partial, &copy).map_err(io)?;
        match copy.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            Some(directory) => sync(directory).map_err(io),
            None => Ok(()),
        }
    }

    fn replace_all(&mut self, rows: &[StoredRow]) -> Result<(), rusqlite::Error> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("DELETE FROM rows", [])?;
        for row in rows {
            put(&transaction, &row.kind, &row.key, &row.json)?;
        }
        set_meta(&transaction, "schema", i64::from(SCHEMA))?;
        transaction.commit()
    }

    pub(super) fn apply(&mut self, expected: u64, batch: &[Write]) -> Result<u64, StoreError> {
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
        let generation = expected + 1;
        set_meta(&transaction, "generation", generation.cast_signed()).map_err(&doing)?;
        transaction.commit().map_err(&doing)?;
        Ok(generation)
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

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode this is what makes each commit survive a power cut: the log is synced before the answer.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(())
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
