//! Rows that cannot be read. Their objects are held: satellites leave them as they are.
//!
//! A row that cannot be read is not absent. Were it taken for absent, peers would drop a node, satellites would forget
//! a resource, and its numbers would be given out again. So
//!
//! - a resource definition is held on every node when its row, or the row of one of its resources, cannot be read, or
//!   refers to a row that cannot be read: no spec of it is sent, and satellites are asked to leave it as it is;
//! - the spec of a node is held when the row of one of its storage pools cannot be read;
//! - everything is held when the controller's row cannot be read, because its properties are part of every spec;
//! - rows of what is held, and rows that they refer to, are not changed or removed; the rows themselves are not written;
//! - a process whose row cannot be read holds what it works on, as its step is not known; a process takes no step
//!   while anything that it works on is held;
//! - minors, ports and names that a held row has, as far as they can be read, are taken. Where they cannot be read, none
//!   of that kind is given out, as it might be one of them.
//!
//! It ends when the row was repaired and the controller started again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use linstor_api::code;
use linstor_api::reply::Reply;
use serde_json::Value;
use uuid::Uuid;

use crate::external_file::FilePath;
use crate::model::{Model, RowKey, RowKind, StoredRow};
use crate::name::{
    KeyValueStoreName, NodeName, RemoteName, ResourceGroupName, ResourceName, ScheduleName,
    SnapshotName, StoragePoolName,
};
use crate::process::Object;
use crate::{Controller, Process, Props};

/// What a person can do about rows that cannot be read.
pub const REPAIR: &str = "GET /v1/jobs lists the rows that cannot be read. Stop the controller, repair them in its \
     database (table 'rows') or restore the database, and start the controller again.";

const DETAILS: &str = "The objects of rows that cannot be read, and all objects that refer to them, remain as the satellites have them.";

/// A stored row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    /// The row as it is in the store.
    pub row: StoredRow,
    /// Why it cannot be read.
    pub reason: String,
    /// Its version, when only a newer controller reads it.
    pub newer: Option<u64>,
}

/// Why a row cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) reason: String,
    /// Its version, when only a newer controller reads it.
    pub(crate) newer: Option<u64>,
}

impl From<String> for Unreadable {
    fn from(reason: String) -> Self {
        Unreadable {
            reason,
            newer: None,
        }
    }
}

impl fmt::Display for HeldRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoredRow { kind, key, .. } = &self.row;
        write!(
            f,
            "The row '{}' of kind '{kind}': {}.",
            key.escape_debug(),
            self.reason
        )
    }
}

/// What a minor or port is taken by, where the row that has it cannot be read.
#[derive(Debug, Clone, Default)]
struct Numbers {
    taken: Vec<u32>,
    /// The row may have others that cannot be read.
    more: bool,
}

/// All rows that cannot be read, and what follows from them.
#[derive(Debug, Clone, Default)]
pub struct Held {
    rows: Vec<HeldRow>,
    everything: bool,
    cluster_unknown: bool,
    definitions: BTreeSet<ResourceName>,
    node_specs: BTreeSet<NodeName>,
    /// Rows that are not changed.
    frozen: BTreeSet<RowKey>,
    /// Rows that are not removed, because held rows refer to them.
    referred: BTreeSet<RowKey>,
    /// A held row refers to a group that cannot be read.
    any_group_referred: bool,
    /// Nodes with a held row that refers to pools that cannot be read.
    any_pool_referred: BTreeSet<NodeName>,
    minors_unknown: bool,
    ports_unknown: BTreeSet<NodeName>,
    all_ports_unknown: bool,
}

/// A key as messages have it.
fn object(key: &RowKey) -> String {
    match key {
        RowKey::RowVersions => "the versions of the rows".to_owned(),
        RowKey::Controller | RowKey::Epoch => "the controller".to_owned(),
        RowKey::Node(node) => format!("node '{node}'"),
        RowKey::StoragePoolDefinition(pool) => format!("storage pool definition '{pool}'"),
        RowKey::StoragePool(node, pool) => format!("storage pool '{pool}' on node '{node}'"),
        RowKey::ResourceGroup(group) => format!("resource group '{group}'"),
        RowKey::ResourceDefinition(name) => format!("resource definition '{name}'"),
        RowKey::Resource(name, node) => format!("resource '{name}' on node '{node}'"),
        RowKey::SnapshotDefinition(name, snapshot) => {
            format!("snapshot '{snapshot}' of resource '{name}'")
        }
        RowKey::KeyValueStore(name) => format!("key-value store '{name}'"),
        RowKey::MasterKey => "the master passphrase".to_owned(),
        RowKey::AuthTokens => "the tokens of the REST API".to_owned(),
        RowKey::Remote(name) => format!("remote '{name}'"),
        RowKey::Schedule(name) => format!("schedule '{name}'"),
        RowKey::ExternalFile(path) => format!("external file '{path}'"),
        RowKey::Process(id) => format!("job '{id}'"),
    }
}

impl Held {
    /// Every row that cannot be read.
    pub fn rows(&self) -> &[HeldRow] {
        &self.rows
    }

    /// Whether every row can be read.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether all specs are held.
    pub fn holds_everything(&self) -> bool {
        self.everything
    }

    /// Whether the cluster's identity cannot be read: no satellite can be called.
    pub fn is_cluster_unknown(&self) -> bool {
        self.cluster_unknown
    }

    /// Whether the resources of a definition are held on all nodes.
    pub fn holds_definition(&self, name: &ResourceName) -> bool {
        self.everything || self.definitions.contains(name)
    }

    /// Names of the definitions that are held, unless everything is.
    pub fn definitions(&self) -> impl Iterator<Item = &ResourceName> {
        self.definitions.iter()
    }

    /// Whether a node's own spec is held.
    pub fn holds_node_spec(&self, node: &NodeName) -> bool {
        self.everything || self.node_specs.contains(node)
    }

    /// Whether the minors of some held volume cannot be read.
    pub fn are_minors_unknown(&self) -> bool {
        self.minors_unknown
    }

    /// Whether the ports of some held resource on a node cannot be read.
    pub fn are_ports_unknown(&self, node: &NodeName) -> bool {
        self.all_ports_unknown || self.ports_unknown.contains(node)
    }

    /// Why a row is not changed, or with `removed` not removed. None when it may be.
    pub fn refuses(&self, key: &RowKey, removed: bool) -> Option<Reply> {
        let row = self.refusing(key, removed)?;
        let object = object(key);
        let mut reply = Reply::new(
            code::FAIL_SQL,
            format!("The change was not made, because {object} is held."),
        );
        reply = reply.cause(row.to_string()).details(DETAILS);
        Some(reply.correction(REPAIR))
    }

    /// Why a process takes no step, is not begun and not cancelled: something that it works on is held. None when
    /// nothing is.
    pub fn refuses_process(&self, process: &Process) -> Option<Reply> {
        if self.is_empty() {
            return None;
        }
        let keys = process.objects().into_iter().map(|object| match object {
            Object::Node(node) => RowKey::Node(node),
            Object::ResourceDefinition(name) | Object::VolumeDefinition(name, _) => {
                RowKey::ResourceDefinition(name)
            }
            Object::Resource(name, node) => RowKey::Resource(name, node),
            Object::Snapshot(name, snapshot) => RowKey::SnapshotDefinition(name, snapshot),
        });
        keys.into_iter().find_map(|key| self.refuses(&key, false))
    }

    fn refusing(&self, key: &RowKey, removed: bool) -> Option<&HeldRow> {
        if self.is_empty() {
            return None;
        }
        let frozen = match key {
            // Each row has its version itself. The epoch is a count, which satellites correct. Of a process what it
            // works on is asked for.
            RowKey::RowVersions | RowKey::Epoch | RowKey::Process(_) => false,
            RowKey::KeyValueStore(_)
            | RowKey::MasterKey
            | RowKey::AuthTokens
            | RowKey::Remote(_)
            | RowKey::Schedule(_)
            | RowKey::ExternalFile(_) => self.frozen.contains(key),
            _ if self.everything => true,
            RowKey::ResourceDefinition(name) | RowKey::Resource(name, _) => {
                self.definitions.contains(name)
            }
            RowKey::SnapshotDefinition(name, _) => {
                self.definitions.contains(name) || self.frozen.contains(key)
            }
            RowKey::StoragePool(node, _) => self.node_specs.contains(node),
            RowKey::Controller
            | RowKey::Node(_)
            | RowKey::StoragePoolDefinition(_)
            | RowKey::ResourceGroup(_) => self.frozen.contains(key),
        };
        let referred = removed
            && (self.referred.contains(key)
                || match key {
                    RowKey::ResourceGroup(_) => self.any_group_referred,
                    RowKey::StoragePool(node, _) => self.any_pool_referred.contains(node),
                    _ => false,
                });
        (frozen || referred).then(|| self.reason(key))
    }

    /// The held row that concerns a key most directly.
    fn reason(&self, key: &RowKey) -> &HeldRow {
        let text = key.key();
        let own = |held: &&HeldRow| held.row.kind == key.kind().as_str() && held.row.key == text;
        let name = match key {
            RowKey::ResourceDefinition(name)
            | RowKey::Resource(name, _)
            | RowKey::SnapshotDefinition(name, _) => Some(name.as_str()),
            _ => None,
        };
        let related = |held: &&HeldRow| {
            let parts = held.row.key.split('/');
            name.is_some_and(|name| parts.take(1).any(|part| part.eq_ignore_ascii_case(name)))
                || held.row.key.split('/').any(|part| part == text)
        };
        let mut rows = self.rows.iter();
        rows.clone()
            .find(own)
            .or_else(|| rows.clone().find(related))
            .or_else(|| rows.next())
            .expect("only asked when there are some")
    }

    /// Adds a row that cannot be read.
    pub(crate) fn add(&mut self, row: StoredRow, unreadable: Unreadable) {
        let value = serde_json::from_str(&row.json).unwrap_or(Value::Null);
        let parts: Vec<&str> = row.key.split('/').collect();
        // A row under another key than its own concerns both names.
        let inside = |member: &str| value.get(member).and_then(Value::as_str);
        let names = [parts[0]].into_iter().chain(inside("name"));
        let definitions: Vec<ResourceName> = names
            .filter_map(|name| ResourceName::parse(name).ok())
            .collect();
        let node = |part: Option<&&str>| part.and_then(|part| NodeName::parse(part).ok());
        match RowKind::parse(&row.kind) {
            Some(RowKind::Controller) => self.everything = true,
            Some(RowKind::Node) => match node(parts.first()) {
                Some(node) => self.freeze(RowKey::Node(node)),
                None => self.everything = true,
            },
            Some(RowKind::StoragePoolDefinition) => match StoragePoolName::parse(parts[0]) {
                Ok(pool) => self.freeze(RowKey::StoragePoolDefinition(pool)),
                Err(_) => self.everything = true,
            },
            Some(RowKind::StoragePool) => {
                let pool = parts
                    .get(1)
                    .and_then(|part| StoragePoolName::parse(part).ok());
                match (node(parts.first()), pool) {
                    (Some(node), Some(pool)) => {
                        self.referred.insert(RowKey::Node(node.clone()));
                        self.referred.insert(RowKey::StoragePoolDefinition(pool));
                        self.node_specs.insert(node);
                    }
                    _ => self.everything = true,
                }
            }
            Some(RowKind::ResourceGroup) => match ResourceGroupName::parse(parts[0]) {
                Ok(group) => self.freeze(RowKey::ResourceGroup(group)),
                Err(_) => self.everything = true,
            },
            Some(RowKind::ResourceDefinition) => {
                self.everything |= ResourceName::parse(parts[0]).is_err();
                self.definitions.extend(definitions);
                match inside("group").and_then(|group| ResourceGroupName::parse(group).ok()) {
                    Some(group) => drop(self.referred.insert(RowKey::ResourceGroup(group))),
                    None => self.any_group_referred = true,
                }
            }
            Some(RowKind::Resource) => {
                let on = node(parts.get(1));
                self.everything |= ResourceName::parse(parts[0]).is_err() || on.is_none();
                for name in definitions {
                    self.referred
                        .insert(RowKey::ResourceDefinition(name.clone()));
                    self.definitions.insert(name);
                }
                for node in on
                    .into_iter()
                    .chain(inside("node").and_then(|n| NodeName::parse(n).ok()))
                {
                    self.referred.insert(RowKey::Node(node.clone()));
                    self.any_pool_referred.insert(node);
                }
            }
            Some(RowKind::SnapshotDefinition) => {
                let name = ResourceName::parse(parts[0]);
                let snapshot = parts.get(1).and_then(|part| SnapshotName::parse(part).ok());
                match (name, snapshot) {
                    (Ok(name), Some(snapshot)) => {
                        self.referred
                            .insert(RowKey::ResourceDefinition(name.clone()));
                        self.freeze(RowKey::SnapshotDefinition(name, snapshot));
                    }
                    _ => self.everything = true,
                }
                // Which nodes and pools it is in is in the part that may not be readable.
                for node in texts(&row.json, "node").filter_map(|n| NodeName::parse(n).ok()) {
                    self.referred.insert(RowKey::Node(node.clone()));
                    self.any_pool_referred.insert(node);
                }
            }
            Some(RowKind::KeyValueStore) => {
                if let Ok(name) = KeyValueStoreName::parse(parts[0]) {
                    self.freeze(RowKey::KeyValueStore(name));
                }
            }
            Some(RowKind::MasterKey) => self.freeze(RowKey::MasterKey),
            Some(RowKind::AuthTokens) => self.freeze(RowKey::AuthTokens),
            Some(RowKind::Remote) => {
                if let Ok(name) = RemoteName::parse(parts[0]) {
                    self.freeze(RowKey::Remote(name));
                }
            }
            Some(RowKind::Schedule) => {
                if let Ok(name) = ScheduleName::parse(parts[0]) {
                    self.freeze(RowKey::Schedule(name));
                }
            }
            Some(RowKind::ExternalFile) => {
                if let Ok(path) = FilePath::parse(&row.key) {
                    self.freeze(RowKey::ExternalFile(path));
                }
            }
            Some(RowKind::Process) => self.hold_objects_of(&row.json),
            // A count, versions that the rows have too, or a kind of a newer version: nothing depends on it.
            Some(RowKind::RowVersions | RowKind::Epoch) | None => {}
        }
        let Unreadable { reason, newer } = unreadable;
        self.rows.push(HeldRow { row, reason, newer });
    }

    /// Holds what a process works on that cannot be read, as far as its text names it; everything when it names
    /// nothing.
    fn hold_objects_of(&mut self, json: &str) {
        let definitions = texts(json, "resource");
        let mut definitions = definitions
            .filter_map(|name| ResourceName::parse(name).ok())
            .peekable();
        let mut nodes = texts(json, "node")
            .filter_map(|node| NodeName::parse(node).ok())
            .peekable();
        if definitions.peek().is_some() {
            self.definitions.extend(definitions);
        } else if nodes.peek().is_some() {
            self.frozen.extend(nodes.map(RowKey::Node));
        } else {
            self.everything = true;
        }
    }

    fn freeze(&mut self, key: RowKey) {
        self.frozen.insert(key);
    }
}

/// Gives what the held rows describe its place in a model that was just loaded: numbers are taken, and nothing that is
/// held is moved on.
pub(crate) fn hold(model: &mut Model, mut held: Held) {
    for HeldRow { row, .. } in &held.rows {
        let parts: Vec<&str> = row.key.split('/').collect();
        let name = ResourceName::parse(parts[0]);
        match (row.kind.as_str(), name) {
            ("resource_definition", Ok(_)) => {
                let minors = numbers(&row.json, &["volumes", "*", "minor"]);
                held.minors_unknown |= minors.more;
                for minor in minors.taken {
                    model.used_minors.insert(minor);
                }
            }
            ("resource", Ok(_)) => {
                let ports = numbers(&row.json, &["drbd", "ports", "*"]);
                let Some(node) = parts.get(1).and_then(|part| NodeName::parse(part).ok()) else {
                    held.all_ports_unknown = true;
                    continue;
                };
                for port in ports.taken {
                    model
                        .used_ports
                        .entry(node.clone())
                        .or_default()
                        .insert(port);
                }
                if ports.more {
                    held.ports_unknown.insert(node);
                }
            }
            ("resource_definition", Err(_)) => held.minors_unknown = true,
            ("resource", Err(_)) => held.all_ports_unknown = true,
            _ => {}
        }
    }
    for name in &held.definitions {
        model.pending.remove(name);
    }
    if held.everything {
        model.pending.clear();
    }
    if let Some(row) = held.rows.iter().find(|held| held.row.kind == "controller") {
        match salvage_controller(&row.row.json) {
            Some(row) => model.controller = Arc::new(row),
            None => {
                held.cluster_unknown = true;
                model.controller = Arc::new(Controller {
                    cluster_id: Uuid::nil(),
                    epoch: 0,
                    props: Props::new(),
                    settling: Vec::new(),
                });
            }
        }
    }
    model.held = Arc::new(held);
}

/// What can be read of a controller row: at least the cluster's identity, which satellites know.
fn salvage_controller(json: &str) -> Option<Controller> {
    let value: Value = serde_json::from_str(json).ok()?;
    let cluster_id: Uuid = value.get("cluster_id")?.as_str()?.parse().ok()?;
    let props = value.get("props").and_then(Value::as_object);
    let props = props.into_iter().flatten().filter_map(|(key, value)| {
        let value = value.as_str()?.to_owned();
        Some((key.clone(), value))
    });
    Some(Controller {
        cluster_id,
        epoch: 0,
        props: props.collect(),
        settling: Vec::new(),
    })
}

/// What can be read of an epoch row.
pub(crate) fn epoch_number(json: &str) -> Option<u64> {
    let mut found = Vec::new();
    scan(json, "number", &mut found);
    found.first().copied().map(u64::from)
}

/// The numbers at a path of a row that cannot be read; `*` is any member or element.
fn numbers(json: &str, path: &[&str]) -> Numbers {
    let mut numbers = Numbers::default();
    match serde_json::from_str::<Value>(json) {
        Ok(value) if value.get("name").is_some() && value.get("uuid").is_some() => {
            collect(&value, path, &mut numbers);
        }
        _ => {
            let named = path.iter().rev().find(|step| **step != "*");
            scan(json, named.expect("a path has a name"), &mut numbers.taken);
            numbers.more = true;
        }
    }
    numbers
}

fn collect(value: &Value, path: &[&str], numbers: &mut Numbers) {
    let Some((step, rest)) = path.split_first() else {
        match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => numbers.taken.push(number),
            None => numbers.more = true,
        }
        return;
    };
    match value {
        Value::Object(members) if *step == "*" => {
            members
                .values()
                .for_each(|member| collect(member, rest, numbers));
        }
        Value::Array(elements) if *step == "*" => {
            elements
                .iter()
                .for_each(|element| collect(element, rest, numbers));
        }
        // A missing member is no number: volumes without DRBD have no minor.
        Value::Object(members) if *step != "*" => {
            if let Some(member) = members.get(*step) {
                collect(member, rest, numbers);
            }
        }
        _ => numbers.more = true,
    }
}

/// Texts that follow a member's name in text that may be no JSON.
fn texts<'a>(text: &'a str, member: &str) -> impl Iterator<Item = &'a str> {
    let quoted = format!("\"{member}\"");
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once(&quoted)?;
            rest = after;
            let value = after.trim_start_matches([' ', ':']).strip_prefix('"');
            if let Some((value, _)) = value.and_then(|value| value.split_once('"')) {
                return Some(value);
            }
        }
    })
}

/// Numbers that follow a member's name in text that is no JSON.
fn scan(text: &str, member: &str, taken: &mut Vec<u32>) {
    let quoted = format!("\"{member}\"");
    for (at, _) in text.match_indices(&quoted) {
        let rest = text[at + quoted.len()..].trim_start_matches([' ', ':', '[']);
        for number in rest.split(',') {
            let digits = number.trim_start();
            let end = digits.find(|c: char| !c.is_ascii_digit());
            let number = &digits[..end.unwrap_or(digits.len())];
            match number.parse() {
                Ok(number) => taken.push(number),
                Err(_) => break,
            }
        }
    }
}

#[cfg(test)]
mod tests;
