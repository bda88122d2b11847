//! A start: stored rows become the model.
//!
//! Rows are parsed one by one, on all processors, as that takes most of the time. Then they are taken in the order of their
//! kinds, because rows refer to rows of kinds before their own.

use std::fmt;
use std::num::NonZero;
use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::held::{self, Unreadable};
use crate::model::{Model, RowKey, RowKind, StoredRow};
use crate::process::ProcessId;
use crate::row_version::{Members, Migrations, RowVersions};
use crate::unknown::{self, Read, Unknown};
use crate::{
    AuthTokens, Controller, Draft, Epoch, ExternalFile, Held, KeyValueStore, MasterKey, Node,
    Process, Remote, Resource, ResourceDefinition, ResourceGroup, Schedule, SnapshotDefinition,
    StoragePool, StoragePoolDefinition,
};

/// Fewer rows than this are parsed sooner than another thread is started.
const ROWS_PER_THREAD_MIN: usize = 500;

impl Model {
    /// Builds the model from stored rows. Never fails: what cannot be read, or refers to what cannot be read, is held
    /// ([`crate::held`]) and the rest serves.
    pub fn load(generation: u64, rows: Vec<StoredRow>, fresh_cluster_id: Uuid) -> Model {
        let migrations = Migrations::default();
        Model::load_with(migrations, generation, rows, fresh_cluster_id)
    }

    /// See [`Model::load`]; with other migrations than those of this build.
    pub fn load_with(
        migrations: Migrations,
        generation: u64,
        rows: Vec<StoredRow>,
        fresh_cluster_id: Uuid,
    ) -> Model {
        let mut held = Held::default();
        let empty = Model {
            migrations,
            ..Model::empty(fresh_cluster_id)
        };
        let mut draft = Draft::new(empty);
        let controller = RowKind::Controller.as_str();
        if !rows.is_empty() && !rows.iter().any(|row| row.kind == controller) {
            let row = StoredRow {
                kind: controller.to_owned(),
                key: String::new(),
                json: String::new(),
            };
            held.add(row, "it is not there".to_owned().into());
        }
        let mut known: Vec<(RowKind, StoredRow)> = Vec::with_capacity(rows.len());
        for row in rows {
            match RowKind::parse(&row.kind) {
                Some(kind) => known.push((kind, row)),
                None => {
                    let reason = "this version knows no such kind of row".to_owned();
                    held.add(row, reason.into());
                }
            }
        }
        known.sort_by(|(a, one), (b, other)| (a, &one.key).cmp(&(b, &other.key)));
        let parsed = parse_all(&known, migrations);
        let mut made = Vec::new();
        for ((_, row), parsed) in known.into_iter().zip(parsed) {
            match parsed.and_then(|parsed| take_over(&mut draft, parsed)) {
                Ok(processes) => made.extend(processes),
                Err(unreadable) => held.add(row, unreadable),
            }
        }
        for process in made {
            if let Err((row, reason)) = put_made(&mut draft, generation, process) {
                held.add(row, reason.into());
            }
        }
        let mut model = draft.into_model();
        model.generation = generation;
        if !held.is_empty() {
            held::hold(&mut model, held);
        }
        model
    }
}

/// A row that was parsed and is stored under its own key. What it refers to has not been looked for.
struct Parsed {
    key: RowKey,
    row: Row,
    unknown: Option<Unknown>,
    is_older: bool,
    processes: Vec<Members>,
}

enum Row {
    RowVersions(RowVersions),
    Controller(Controller),
    Epoch(Epoch),
    Node(Node),
    StoragePoolDefinition(StoragePoolDefinition),
    StoragePool(StoragePool),
    ResourceGroup(ResourceGroup),
    ResourceDefinition(ResourceDefinition),
    Resource(Resource),
    SnapshotDefinition(SnapshotDefinition),
    KeyValueStore(KeyValueStore),
    MasterKey(MasterKey),
    AuthTokens(AuthTokens),
    Remote(Remote),
    Schedule(Schedule),
    ExternalFile(ExternalFile),
    Process(Process),
}

/// Parses all rows; the results have the rows' order.
fn parse_all(
    rows: &[(RowKind, StoredRow)],
    migrations: Migrations,
) -> Vec<Result<Parsed, Unreadable>> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors.min(rows.len() / ROWS_PER_THREAD_MIN).max(1);
    let parse_part = |part: &[(RowKind, StoredRow)]| -> Vec<Result<Parsed, Unreadable>> {
        let rows = part.iter();
        rows.map(|(kind, row)| parse(*kind, row, migrations))
            .collect()
    };
    let (own, others) = rows.split_at(rows.len() / threads);
    thread::scope(|scope| {
        let parts = others.chunks(own.len().max(1));
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(move || parse_part(part)))
            .collect();
        let mut parsed = parse_part(own);
        for part in parts {
            parsed.extend(part.join().expect("rows are parsed without panics"));
        }
        parsed
    })
}

fn parse(kind: RowKind, stored: &StoredRow, migrations: Migrations) -> Result<Parsed, Unreadable> {
    fn read<T: DeserializeOwned + Serialize>(
        kind: RowKind,
        stored: &StoredRow,
        migrations: Migrations,
        row: impl FnOnce(T) -> (RowKey, Row),
    ) -> Result<Parsed, Unreadable> {
        let read: Read<T> = unknown::read(&stored.json, kind, migrations)?;
        let (key, row) = row(read.row);
        let own = key.key();
        if own != stored.key {
            return Err(format!("it is stored under a key that is not its own ({own})").into());
        }
        Ok(Parsed {
            key,
            row,
            unknown: read.unknown,
            is_older: read.is_older,
            processes: read.processes,
        })
    }
    macro_rules! read {
        ($kind:ident, $row:ident => $key:expr) => {
            read::<$kind>(kind, stored, migrations, |$row| ($key, Row::$kind($row)))
        };
    }
    match kind {
        RowKind::RowVersions => read!(RowVersions, row => RowKey::RowVersions),
        RowKind::Controller => read!(Controller, row => RowKey::Controller),
        // If it is too small, satellites report that.
        RowKind::Epoch => read!(Epoch, row => RowKey::Epoch).or_else(|unreadable| {
            match held::epoch_number(&stored.json) {
                Some(number) if unreadable.newer.is_none() && stored.key.is_empty() => Ok(Parsed {
                    key: RowKey::Epoch,
                    row: Row::Epoch(Epoch {
                        number,
                        ..Epoch::default()
                    }),
                    unknown: None,
                    is_older: false,
                    processes: Vec::new(),
                }),
                _ => Err(unreadable),
            }
        }),
        RowKind::Node => read!(Node, row => RowKey::Node(row.name.clone())),
        RowKind::StoragePoolDefinition => read!(StoragePoolDefinition, row =>
            RowKey::StoragePoolDefinition(row.name.clone())),
        RowKind::StoragePool => read!(StoragePool, row =>
            RowKey::StoragePool(row.node.clone(), row.name.clone())),
        RowKind::ResourceGroup => read!(ResourceGroup, row =>
            RowKey::ResourceGroup(row.name.clone())),
        RowKind::ResourceDefinition => read!(ResourceDefinition, row =>
            RowKey::ResourceDefinition(row.name.clone())),
        RowKind::Resource => read!(Resource, row =>
            RowKey::Resource(row.name.clone(), row.node.clone())),
        RowKind::SnapshotDefinition => read!(SnapshotDefinition, row =>
            RowKey::SnapshotDefinition(row.resource.clone(), row.name.clone())),
        RowKind::KeyValueStore => read!(KeyValueStore, row =>
            RowKey::KeyValueStore(row.name.clone())),
        RowKind::MasterKey => read!(MasterKey, row => RowKey::MasterKey),
        RowKind::AuthTokens => read!(AuthTokens, row => RowKey::AuthTokens),
        RowKind::Remote => read!(Remote, row => RowKey::Remote(row.name.clone())),
        RowKind::Schedule => read!(Schedule, row => RowKey::Schedule(row.name.clone())),
        RowKind::ExternalFile => read!(ExternalFile, row => RowKey::ExternalFile(row.path.clone())),
        RowKind::Process => read!(Process, row => RowKey::Process(row.id)),
    }
}

/// Takes a row into the draft, or fails with what it refers to that is not there. Returns the processes that its migration
/// made of it.
fn take_over(draft: &mut Draft, parsed: Parsed) -> Result<Vec<Members>, Unreadable> {
    fn known(condition: bool, what: &str, name: &dyn fmt::Display) -> Result<(), String> {
        if condition {
            Ok(())
        } else {
            Err(format!(
                "it refers to {what} '{name}', which is not there or cannot be read"
            ))
        }
    }
    match parsed.row {
        Row::RowVersions(row) => draft.put_row_versions(row),
        Row::Controller(row) => {
            draft.put_epoch(Epoch {
                number: row.epoch,
                ..Epoch::default()
            });
            draft.put_controller(row);
        }
        Row::Epoch(row) => draft.put_epoch(row),
        Row::Node(row) => draft.put_node(row),
        Row::StoragePoolDefinition(row) => draft.put_storage_pool_definition(row),
        Row::StoragePool(row) => {
            known(draft.nodes.contains_key(&row.node), "node", &row.node)?;
            let definition = draft.pool_definitions.contains_key(&row.name);
            known(definition, "storage pool definition", &row.name)?;
            draft.put_storage_pool(row);
        }
        Row::ResourceGroup(row) => draft.put_resource_group(row),
        Row::ResourceDefinition(row) => {
            let group = draft.groups.contains_key(&row.group);
            known(group, "resource group", &row.group)?;
            draft.put_resource_definition(row);
        }
        Row::Resource(row) => {
            let definition = draft.definitions.contains_key(&row.name);
            known(definition, "resource definition", &row.name)?;
            known(draft.nodes.contains_key(&row.node), "node", &row.node)?;
            for pool in row.volumes.values().flat_map(|volume| volume.pools()) {
                let found = draft.pool(&row.node, pool).is_some();
                known(found, "storage pool", pool)?;
            }
            draft.put_resource(row);
        }
        Row::SnapshotDefinition(row) => {
            let definition = draft.definitions.contains_key(&row.resource);
            known(definition, "resource definition", &row.resource)?;
            for (node, part) in &row.snapshots {
                known(draft.nodes.contains_key(node), "node", node)?;
                for pool in part.pools() {
                    known(draft.pool(node, pool).is_some(), "storage pool", pool)?;
                }
            }
            draft.put_snapshot_definition(row);
        }
        Row::KeyValueStore(row) => draft.put_key_value_store(row),
        Row::MasterKey(row) => draft.put_master_key(row),
        Row::AuthTokens(row) => draft.put_auth_tokens(row),
        Row::Remote(row) => draft.put_remote(row),
        Row::Schedule(row) => draft.put_schedule(row),
        Row::ExternalFile(row) => draft.put_external_file(row),
        Row::Process(row) => {
            if let Some(missing) = row.missing(draft) {
                let reason = format!("it works on {missing}, which is not there or cannot be read");
                return Err(reason.into());
            }
            draft.put_process(row);
        }
    }
    draft.note_stored(parsed.key, parsed.unknown, parsed.is_older);
    Ok(parsed.processes)
}

/// Puts a process that was made of a row of an older version, unless it is stored already: processes are written before
/// the rows that they were made of.
fn put_made(
    draft: &mut Draft,
    generation: u64,
    mut row: Members,
) -> Result<(), (StoredRow, String)> {
    let id = ProcessId::next(draft, generation);
    row.insert("id".to_owned(), id.to_string().into());
    let made = Value::Object(row);
    let process = Process::deserialize(&made).map_err(|error| {
        let row = StoredRow {
            kind: RowKind::Process.as_str().to_owned(),
            key: id.to_string(),
            json: made.to_string(),
        };
        (
            row,
            format!("it cannot be made of a row of an older version: {error}"),
        )
    })?;
    let mut stored = draft.processes.values();
    if !stored.any(|stored| stored.subject() == process.subject()) {
        draft.put_process(process);
        draft.note_stored(RowKey::Process(id), None, true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::name::{NodeName, ResourceName};

    const NODES: usize = 3;
    /// Enough for several threads.
    const DEFINITIONS: usize = 2 * ROWS_PER_THREAD_MIN;

    fn stored(kind: &str, key: String, json: String) -> StoredRow {
        StoredRow {
            kind: kind.to_owned(),
            key: key.to_ascii_uppercase(),
            json,
        }
    }

    fn node_row(key: &str, name: &str, id: u128) -> StoredRow {
        let uuid = Uuid::from_u128(id);
        let json = format!(
            r#"{{"version":2,"name":"{name}","uuid":"{uuid}","node_type":"SATELLITE","net_interfaces":[]}}"#
        );
        stored("node", key.to_owned(), json)
    }

    fn definition(index: usize) -> StoredRow {
        let (name, uuid) = (format!("r{index}"), Uuid::from_u128(index as u128));
        let json = format!(
            r#"{{"version":2,"name":"{name}","uuid":"{uuid}","group":"g1","volumes":{{"0":{{"uuid":"{uuid}",
            "size_kib":4,"minor":{}}}}}}}"#,
            1000 + index
        );
        stored("resource_definition", name, json)
    }

    fn resource(index: usize) -> StoredRow {
        let (name, node) = (format!("r{index}"), format!("n{}", index % NODES));
        let uuid = Uuid::from_u128(index as u128);
        let json = format!(
            r#"{{"version":2,"node":"{node}","name":"{name}","uuid":"{uuid}","created_at":1,
            "layer_stack":["STORAGE"],"drbd":{{"node_id":0,"ports":[{}],"peer_slots":7}}}}"#,
            7000 + index / NODES
        );
        stored("resource", format!("{name}/{node}"), json)
    }

    fn rows() -> Vec<StoredRow> {
        let uuid = Uuid::from_u128(1);
        let controller = format!(r#"{{"cluster_id":"{uuid}","props":{{}}}}"#);
        let group = format!(r#"{{"name":"g1","uuid":"{uuid}"}}"#);
        let nodes = (0..NODES).map(|n| node_row(&format!("n{n}"), &format!("n{n}"), n as u128));
        let mut rows = vec![
            stored("controller", String::new(), controller),
            stored("resource_group", "g1".to_owned(), group),
        ];
        rows.extend(nodes);
        rows.extend((0..DEFINITIONS).flat_map(|index| [resource(index), definition(index)]));
        rows
    }

    /// The order of the rows, and which thread parsed them, makes no difference.
    #[test]
    fn rows_come_in_any_order() {
        let mut rows = rows();
        for _ in 0..2 {
            let model = Model::load(7, rows.clone(), Uuid::nil());
            assert!(model.held.is_empty(), "{:?}", model.held.rows());
            assert_eq!(model.resources.len(), DEFINITIONS);
            for index in 0..DEFINITIONS {
                let name = ResourceName::parse(&format!("r{index}")).unwrap();
                let owner = model.minor_owner(1000 + index as u32);
                assert_eq!(owner, Some((&name, 0)));
                let node = NodeName::parse(&format!("n{}", index % NODES)).unwrap();
                let port = 7000 + (index / NODES) as u16;
                assert_eq!(model.port_owner(&node, port), Some(&name));
            }
            rows.reverse();
        }
    }

    /// Each row that cannot be read is held, with its own reason, and all others are served.
    #[test]
    fn damaged_rows_are_named() {
        let mut rows = rows();
        let damaged: Vec<usize> = (9..rows.len()).step_by(97).collect();
        for index in &damaged {
            rows[*index].json.truncate(20);
        }
        let keys = damaged
            .iter()
            .map(|index| (rows[*index].kind.clone(), rows[*index].key.clone()));
        let keys: BTreeSet<(String, String)> = keys.collect();
        let model = Model::load(7, rows, Uuid::nil());
        let unread = model.held.rows().iter();
        let unread = unread.filter(|held| held.reason.contains("JSON"));
        let held = unread.map(|held| (held.row.kind.clone(), held.row.key.clone()));
        assert_eq!(held.collect::<BTreeSet<_>>(), keys);
        assert!(model.resources.len() > DEFINITIONS / 2);
    }

    /// A row under the key of another one is held and does not take the place of the row whose name it has.
    #[test]
    fn a_row_under_a_foreign_key_replaces_nothing() {
        let mut rows = rows();
        rows.push(node_row("n9", "n1", 99));
        let model = Model::load(7, rows, Uuid::nil());
        let node = &model.nodes[&NodeName::parse("n1").unwrap()];
        assert_eq!(node.uuid, Uuid::from_u128(1));
        assert_eq!(model.held.rows()[0].row.key, "N9");
    }
}
