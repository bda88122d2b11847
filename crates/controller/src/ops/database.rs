//! Copies of the database: as a file of its own kind, and as one of rows in JSON for any kind.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use linstor_api::code;
use linstor_api::controller::DatabaseBackupRequest as Request;
use linstor_api::name::FileName;
use linstor_api::reply::Reply;
use linstor_store::Loaded;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::request::Context;
use crate::cluster::Cluster;
use crate::config::Database;
use crate::transaction::Refusal;

/// Makes a copy of the database, next to it.
pub async fn backup(cluster: &Cluster, request: Request) -> Vec<Reply> {
    let work = async {
        let name = name(cluster, request, "")?;
        // Copies that the program makes by itself have other names.
        let place = cluster.copy_store(format!("backup-{name}")).await;
        let place = place.map_err(|error| failed(&error.to_string()))?;
        Ok(vec![made("Database backup", &place)])
    };
    context().run(work).await
}

/// Writes all rows into a file of JSON, next to the database.
pub async fn export(cluster: &Cluster, request: Request) -> Vec<Reply> {
    let work = async {
        let name = name(cluster, request, "linstordb-backup-")?;
        let directory = directory(cluster)?;
        let loaded = cluster.stored_rows().await;
        let loaded = loaded.map_err(|error| failed(&error.to_string()))?;
        let at = cluster.env().now_ms();
        let path = directory.join(format!("{name}.json"));
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || write_new(&path, &text(&loaded, at)));
        match written.await {
            Ok(Ok(())) => Ok(vec![made("Database export", &shown)]),
            Ok(Err(error)) => Err(failed(&format!("{shown}: {error}")).into()),
            Err(error) => Err(failed(&error.to_string()).into()),
        }
    };
    context().run(work).await
}

fn context() -> Context {
    Context::new(code::MASK_CTRL_CONF | code::MASK_CRT, "Database")
}

fn made(what: &str, place: &str) -> Reply {
    Reply::new(code::CREATED, format!("{what} created: {place}"))
        .details("It has all secrets of the cluster; only its owner can read it.")
        .about("Path", place)
}

fn failed(reason: &str) -> Reply {
    Reply::new(code::FAIL_UNKNOWN_ERROR, "The database was not copied.")
        .cause(reason)
        .correction("Make room in the directory of the database, and try again.")
}

/// The directory of the database.
pub(super) fn directory(cluster: &Cluster) -> Result<PathBuf, Refusal> {
    let config = cluster.shared.config.as_ref();
    let file = config.and_then(|config| match &config.database {
        Database::File(path) => std::path::absolute(path).ok(),
        Database::Memory => None,
    });
    let directory = file.and_then(|file| file.parent().map(PathBuf::from));
    directory.ok_or_else(|| {
        Reply::new(
            code::FAIL_UNKNOWN_ERROR,
            "The controller has no directory for files.",
        )
        .cause("Its database is in memory.")
        .correction("Start the controller with a database in a file.")
        .into()
    })
}

/// A time as names of files have it.
pub(super) fn stamp(cluster: &Cluster) -> String {
    let now = i64::try_from(cluster.env().now_ms()).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_millisecond(now).unwrap_or(jiff::Timestamp::MAX);
    now.strftime("%Y-%m-%d_%H-%M-%S").to_string()
}

fn name(cluster: &Cluster, request: Request, prefix: &str) -> Result<String, Refusal> {
    let Some(given) = request.backup_name.filter(|name| !name.is_empty()) else {
        return Ok(format!("{prefix}{}", stamp(cluster)));
    };
    let name = FileName::parse(&given).map_err(|error| {
        Reply::new(code::FAIL_INVLD_CONF, format!("{error}."))
            .cause("The name becomes that of a file next to the database.")
            .correction("Use letters, digits, '.', '-' and '_', beginning with a letter or '_'.")
    })?;
    Ok(name.to_string())
}

/// The rows as JSON. What is no JSON, because somebody edited it, is a string.
fn text(loaded: &Loaded, at: u64) -> Vec<u8> {
    let row = |json: &str| match serde_json::from_str::<&RawValue>(json) {
        Ok(raw) => serde_json::to_value(raw).unwrap_or(Value::Null),
        Err(_) => Value::String(json.to_owned()),
    };
    let rows = loaded
        .rows
        .iter()
        .map(|stored| json!({ "kind": stored.kind, "key": stored.key, "row": row(&stored.json) }));
    let export = json!({
        "linstor_version": env!("CARGO_PKG_VERSION"),
        "export_timestamp_ms": at,
        "generation": loaded.generation,
        "rows": rows.collect::<Vec<Value>>(),
    });
    serde_json::to_vec_pretty(&export).expect("rows have string keys only")
}

/// Writes a file that was not there, durably; only its owner can read it. Nothing is left of what could not be written.
pub(super) fn write_new(path: &std::path::Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        std::fs::remove_file(path).ok();
    }
    written
}
