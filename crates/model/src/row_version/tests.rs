//! Golden files of every kind and version of row, and the migrations of rows.
//!
//! `tests/rows/<kind>/v<version>[-<name>].json` holds rows as controllers of that version wrote them. A file is never
//! changed: a new version has files of its own.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::model::{RowKey, StoredRow};
use crate::name::KeyValueStoreName;
use crate::unknown::{self, Unknown};
use crate::{
    AuthTokens, Controller, Draft, Epoch, ExternalFile, KeyValueStore, MasterKey, Node, Process,
    Remote, Resource, ResourceDefinition, ResourceGroup, Schedule, SnapshotDefinition, StoragePool,
    StoragePoolDefinition,
};

fn read<T: DeserializeOwned + Serialize>(
    kind: RowKind,
    json: &str,
    migrations: Migrations,
) -> Result<(Value, Option<Unknown>), String> {
    let read = unknown::read::<T>(json, kind, migrations).map_err(|error| error.reason)?;
    let row = serde_json::to_value(&read.row).map_err(|error| error.to_string())?;
    Ok((row, read.unknown))
}

/// A row as today's code writes it after it has read it, and what in it was not known.
fn reread(
    kind: RowKind,
    json: &str,
    migrations: Migrations,
) -> Result<(Value, Option<Unknown>), String> {
    match kind {
        RowKind::RowVersions => read::<RowVersions>(kind, json, migrations),
        RowKind::Controller => read::<Controller>(kind, json, migrations),
        RowKind::Epoch => read::<Epoch>(kind, json, migrations),
        RowKind::Node => read::<Node>(kind, json, migrations),
        RowKind::StoragePoolDefinition => read::<StoragePoolDefinition>(kind, json, migrations),
        RowKind::StoragePool => read::<StoragePool>(kind, json, migrations),
        RowKind::ResourceGroup => read::<ResourceGroup>(kind, json, migrations),
        RowKind::ResourceDefinition => read::<ResourceDefinition>(kind, json, migrations),
        RowKind::Resource => read::<Resource>(kind, json, migrations),
        RowKind::SnapshotDefinition => read::<SnapshotDefinition>(kind, json, migrations),
        RowKind::KeyValueStore => read::<KeyValueStore>(kind, json, migrations),
        RowKind::MasterKey => read::<MasterKey>(kind, json, migrations),
        RowKind::AuthTokens => read::<AuthTokens>(kind, json, migrations),
        RowKind::Remote => read::<Remote>(kind, json, migrations),
        RowKind::Schedule => read::<Schedule>(kind, json, migrations),
        RowKind::ExternalFile => read::<ExternalFile>(kind, json, migrations),
        RowKind::Process => read::<Process>(kind, json, migrations),
    }
}

/// The golden files of a kind, with version and name.
fn files(directory: &Path, kind: RowKind) -> Vec<(u64, String, PathBuf)> {
    let entries = std::fs::read_dir(directory.join(kind.as_str()));
    let paths = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("it is listed").path());
    let mut files: Vec<(u64, String, PathBuf)> = paths
        .map(|path| {
            let stem = path
                .file_stem()
                .expect("a file")
                .to_string_lossy()
                .into_owned();
            let (version, name) = stem.split_once('-').unwrap_or((&stem, ""));
            let version = version
                .strip_prefix('v')
                .and_then(|digits| digits.parse().ok());
            (version.expect("v<version>"), name.to_owned(), path.clone())
        })
        .collect();
    files.sort();
    files
}

/// What is wrong with the golden files in a directory.
///
/// Each version that rows of a kind ever had has a file. A row of the version that is written now is read whole and
/// written as it was; a row of an older version becomes, by one migration, what the file of the same name and the next
/// version holds.
fn wrong(directory: &Path, migrations: Migrations) -> Vec<String> {
    let mut wrong = Vec::new();
    for kind in RowKind::ALL.iter().copied() {
        let (now, files) = (migrations.version(kind), files(directory, kind));
        for version in 1..=now {
            if !files.iter().any(|(of, ..)| *of == version) {
                wrong.push(format!("{kind:?}: there is no file of version {version}"));
            }
        }
        for (version, name, path) in &files {
            let about = path.display();
            let text = std::fs::read_to_string(path).expect("it is listed");
            let row: Value = serde_json::from_str(&text).expect("a golden file is JSON");
            if version_of(&row) != *version {
                wrong.push(format!("{about}: it has version {}", version_of(&row)));
                continue;
            }
            let mut expected = row.clone();
            expected
                .as_object_mut()
                .expect("an object")
                .remove("version");
            match reread(kind, &text, migrations) {
                Err(reason) => wrong.push(format!("{about}: {reason}")),
                Ok((_, Some(unknown))) => wrong.push(format!("{about}: not known: {unknown:?}")),
                Ok((again, None)) if *version == now && again != expected => {
                    wrong.push(format!("{about}: it is written again as {again}"));
                }
                Ok(_) => {}
            }
            if *version >= now {
                continue;
            }
            let migration = migrations.of(kind).nth(*version as usize - 1);
            let members = expected.as_object_mut().expect("an object");
            let migrated = (migration.expect("it is older").step)(members);
            let next = files
                .iter()
                .find(|(of, as_name, _)| (of, as_name) == (&(version + 1), name));
            let next = next.map(|(.., path)| std::fs::read_to_string(path).expect("it is listed"));
            let next = next.map(|text| {
                let mut next: Value = serde_json::from_str(&text).expect("a golden file is JSON");
                next.as_object_mut().expect("an object").remove("version");
                next
            });
            if migrated.is_err() || next.as_ref() != Some(&expected) {
                wrong.push(format!(
                    "{about}: it becomes {expected}, and the next version's file is {next:?}"
                ));
            }
        }
    }
    wrong
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rows")
}

/// Rows of every version that was ever written are read, and rows of today's are written as they were.
#[test]
fn golden_rows_are_read_and_written_again() {
    let wrong = wrong(&golden(), Migrations::default());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The value of version 1 moves to another member, then the members get a common one.
static TABLE: [Migration; 2] = [
    Migration {
        kind: RowKind::KeyValueStore,
        from: 1,
        step: |row| {
            let entries = row.remove("entries").ok_or("it has no entries")?;
            row.insert("values".to_owned(), entries);
            Ok(Vec::new())
        },
    },
    Migration {
        kind: RowKind::KeyValueStore,
        from: 2,
        step: |row| {
            let values = row.remove("values").ok_or("it has no values")?;
            row.insert("props".to_owned(), values);
            Ok(Vec::new())
        },
    },
];

fn table() -> Migrations {
    Migrations::new(&TABLE)
}

fn stored(kind: &str, key: &str, json: &Value) -> StoredRow {
    StoredRow {
        kind: kind.into(),
        key: key.into(),
        json: json.to_string(),
    }
}

fn load(rows: Vec<StoredRow>) -> Model {
    let controller = json!({"cluster_id": Uuid::from_u128(1), "props": {}});
    let mut all = vec![stored("controller", "", &controller)];
    all.extend(rows);
    Model::load_with(table(), 5, all, Uuid::nil())
}

/// A version without a golden file, and one that the file before does not become, are found.
#[test]
fn a_version_needs_a_golden_file() {
    let directory = tempfile::tempdir().expect("there is room");
    for kind in RowKind::ALL {
        let to = directory.path().join(kind.as_str());
        std::fs::create_dir(&to).expect("there is room");
        for (.., path) in files(&golden(), *kind) {
            let name = path.file_name().expect("a file");
            std::fs::copy(&path, to.join(name)).expect("there is room");
        }
    }
    let store = directory.path().join("key_value_store");
    let write = |name: &str, row: Value| {
        std::fs::write(store.join(name), row.to_string()).expect("there is room");
    };
    write("v1.json", json!({"name": "csi", "entries": {"a": "b"}}));
    let missing = wrong(directory.path(), table()).join("\n");
    for version in [2, 3] {
        let text = format!("KeyValueStore: there is no file of version {version}");
        assert!(missing.contains(&text), "{missing}");
    }
    write(
        "v2.json",
        json!({"version": 2, "name": "csi", "values": {"a": "b"}}),
    );
    write(
        "v3.json",
        json!({"version": 3, "name": "csi", "props": {"a": "c"}}),
    );
    let differs = wrong(directory.path(), table()).join("\n");
    assert!(differs.contains("v2.json: it becomes"), "{differs}");
    write(
        "v3.json",
        json!({"version": 3, "name": "csi", "props": {"a": "b"}}),
    );
    assert_eq!(wrong(directory.path(), table()), Vec::<String>::new());
    // The code of before does not know the version.
    assert!(!wrong(directory.path(), Migrations::default()).is_empty());
}

/// Rows of all versions side by side are read as rows of today's, with what is not known of them; those of older
/// versions are to be written, with their version.
#[test]
fn rows_of_all_versions_are_read() {
    let model = load(vec![
        stored(
            "key_value_store",
            "ONE",
            &json!({"name": "one", "entries": {"k": "1"}, "rack": 7}),
        ),
        stored(
            "key_value_store",
            "TWO",
            &json!({"values": {"k": "2"}, "name": "two", "version": 2}),
        ),
        stored(
            "key_value_store",
            "THREE",
            &json!({"version": 3, "name": "three", "props": {"k": "3"}}),
        ),
        stored(
            "key_value_store",
            "BAD",
            &json!({"name": "bad", "props": {"k": "4"}}),
        ),
    ]);
    let props = model
        .key_value_stores
        .values()
        .map(|row| row.props["k"].as_str());
    assert_eq!(props.collect::<Vec<_>>(), ["1", "3", "2"]);
    let older: Vec<String> = model.older_rows.iter().map(RowKey::key).collect();
    assert_eq!(older, ["ONE", "TWO"]);
    let held: Vec<&str> = model
        .held
        .rows()
        .iter()
        .map(|held| held.reason.as_str())
        .collect();
    assert_eq!(
        held,
        ["it is of version 1 and cannot be migrated: it has no entries"]
    );
    assert_eq!(model.newer_rows(), None);
    let json = model.row_json(&model.older_rows.get_min().expect("there are two").clone());
    let expected = r#"{"version":3,"name":"one","props":{"k":"1"},"rack":7}"#;
    assert_eq!(json.as_deref(), Some(expected));
    // A row of today's version is read again without a detour, and is not to be written.
    let again = load(vec![StoredRow {
        kind: "key_value_store".into(),
        key: "ONE".into(),
        json: expected.into(),
    }]);
    assert!(again.older_rows.is_empty() && again.held.is_empty());
    assert_eq!(
        again
            .row_json(&RowKey::KeyValueStore(
                KeyValueStoreName::parse("one").expect("a name")
            ))
            .as_deref(),
        Some(expected)
    );
}

/// An older controller names the version that wrote what it does not read, and the copy that it does read.
#[test]
fn newer_rows_are_explained() {
    let copy = |version: u64, place: &str| DatabaseCopy {
        versions: BTreeMap::from([("storage_pool".to_owned(), version)]),
        place: place.to_owned(),
    };
    let mut draft = Draft::new(Model::empty(Uuid::nil()));
    draft.put_row_versions(RowVersions {
        versions: BTreeMap::from([("storage_pool".to_owned(), 3), ("later".to_owned(), 9)]),
        written_by: "7.1.0".to_owned(),
        copies: vec![copy(1, "/a.db"), copy(1, "/b.db"), copy(2, "/c.db")],
    });
    let newer = draft.newer_rows().expect("storage pools are newer");
    assert_eq!(
        newer.to_string(),
        "linstor-controller 7.1.0 wrote rows that this version does not read: 'storage_pool' is of version 3, this \
         controller reads 1. Start that version or a newer one, or put the copy of the database that was made before, \
         /b.db, in the place of the database; what was changed since then is not in it"
    );
    let now = draft.row_versions_now("1.0.0");
    assert_eq!(now.versions["later"], 9, "kinds that are not known remain");
    assert_eq!(now.copies.len(), 3);
}

/// Migrations of a kind that leave a gap are a mistake in the table.
#[test]
#[should_panic(expected = "KeyValueStore")]
fn a_gap_between_migrations_is_found() {
    Migrations::new(&TABLE[1..]);
}

/// Steps in rows of version 1 become processes in the same steps. They are made again as long as they are not stored,
/// and only then, whichever of the rows were written when the controller ended.
#[test]
fn steps_in_rows_become_processes() {
    let rows: Vec<StoredRow> = include_str!("steps.rows")
        .lines()
        .map(|line| {
            let mut parts = line.splitn(3, ' ').map(str::to_owned);
            let mut part = || parts.next().expect("three parts");
            let (kind, key, json) = (part(), part(), part());
            let key = if key == "-" { String::new() } else { key };
            StoredRow { kind, key, json }
        })
        .collect();
    let made = |model: &Model| -> Vec<String> {
        assert!(model.held.is_empty(), "{:?}", model.held.rows());
        let processes = model.processes.values();
        let text = |kind: &crate::process::Kind| serde_json::to_string(kind).expect("a row");
        let mut made: Vec<String> = processes
            .map(|process| format!("{} {}", process.since.generation, text(&process.kind)))
            .collect();
        made.sort();
        made
    };
    let model = Model::load(41, rows.clone(), Uuid::nil());
    let expected = [
        r#"30 {"delete_node":{"node":"gamma","resources":0}}"#,
        r#"31 {"resize":{"resource":"r1","volume":0,"step":{"drbd":{"on":"beta"}}}}"#,
        r#"32 {"delete_volume_definition":{"resource":"r1","volume":1}}"#,
        r#"33 {"delete_resource":{"resource":"r1","node":"alpha","step":"take_down"}}"#,
        r#"33 {"delete_resource_definition":{"resource":"r1","resources":0}}"#,
        r#"34 {"resize":{"resource":"r2","volume":0,"step":"storage"}}"#,
        r#"35 {"delete_resource":{"resource":"r1","node":"beta","step":{"destroy":{"data_elsewhere":true}}}}"#,
        r#"35 {"delete_resource":{"resource":"r1","node":"gamma","step":{"destroy":{}}}}"#,
        r#"36 {"add_disk":{"resource":"r2","node":"alpha","was":"diskless"}}"#,
        r#"37 {"migrate":{"resource":"r2","node":"beta","from":"alpha","was":"diskless","step":"add_disk"}}"#,
        r#"38 {"remove_disk":{"resource":"r2","node":"gamma","storage":{"0":"thin"}}}"#,
    ];
    assert_eq!(made(&model), expected);
    let ids: Vec<_> = model.processes.keys().copied().collect();
    assert!(
        ids.iter()
            .all(|id| model.older_rows.contains(&RowKey::Process(*id)))
    );
    // In the order in which they are written: the processes first.
    let mut written = rows;
    for key in model.older_rows.iter().rev() {
        let row = StoredRow {
            kind: key.kind().as_str().to_owned(),
            key: key.key(),
            json: model.row_json(key).expect("it is there"),
        };
        written.retain(|old| (&old.kind, &old.key) != (&row.kind, &row.key));
        written.push(row);
        let again = Model::load(42, written.clone(), Uuid::nil());
        assert_eq!(made(&again), expected, "after {key}");
    }
    let last = Model::load(43, written, Uuid::nil());
    assert!(last.older_rows.is_empty());
    assert_eq!(last.processes.keys().copied().collect::<Vec<_>>(), ids);
}
