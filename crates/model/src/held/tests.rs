//! What is held, and what is taken.

use super::*;

fn row(kind: &str, key: &str, json: &str) -> StoredRow {
    StoredRow {
        kind: kind.into(),
        key: key.into(),
        json: json.into(),
    }
}

fn loaded(rows: &[StoredRow]) -> Model {
    let controller = r#"{"cluster_id":"00000000-0000-0000-0000-000000000001","props":{}}"#;
    let mut all = vec![row("controller", "", controller)];
    all.extend(rows.iter().cloned());
    Model::load(1, all, Uuid::nil())
}

fn key(kind: RowKind) -> RowKey {
    let name = ResourceName::parse("r1").unwrap();
    let node = NodeName::parse("n1").unwrap();
    let pool = StoragePoolName::parse("pool").unwrap();
    match kind {
        RowKind::Controller => RowKey::Controller,
        RowKind::RowVersions => RowKey::RowVersions,
        RowKind::Epoch => RowKey::Epoch,
        RowKind::Node => RowKey::Node(node),
        RowKind::StoragePoolDefinition => RowKey::StoragePoolDefinition(pool),
        RowKind::StoragePool => RowKey::StoragePool(node, pool),
        RowKind::ResourceGroup => RowKey::ResourceGroup(ResourceGroupName::parse("g1").unwrap()),
        RowKind::ResourceDefinition => RowKey::ResourceDefinition(name),
        RowKind::Resource => RowKey::Resource(name, node),
        RowKind::SnapshotDefinition => {
            RowKey::SnapshotDefinition(name, SnapshotName::parse("s1").unwrap())
        }
        RowKind::KeyValueStore => RowKey::KeyValueStore(KeyValueStoreName::parse("kv").unwrap()),
        RowKind::MasterKey => RowKey::MasterKey,
        RowKind::AuthTokens => RowKey::AuthTokens,
        RowKind::Remote => RowKey::Remote(RemoteName::parse("s3").unwrap()),
        RowKind::Schedule => RowKey::Schedule(ScheduleName::parse("daily").unwrap()),
        RowKind::ExternalFile => RowKey::ExternalFile(FilePath::parse("/etc/a.conf").unwrap()),
        RowKind::Process => RowKey::Process("41".parse().unwrap()),
    }
}

/// Which rows are frozen, and which are only not removed, by each kind of damaged row.
#[test]
fn a_damaged_row_freezes_what_touches_it() {
    use RowKind::*;
    // No satellite depends on them.
    let alone = [
        KeyValueStore,
        MasterKey,
        AuthTokens,
        Remote,
        Schedule,
        ExternalFile,
    ];
    for damaged in RowKind::ALL.iter().copied() {
        let process = r#"{"id":"41","kind":{"delete_resource":{"resource":"r1","node":"n1","st"#;
        let json = if damaged == Process { process } else { "{" };
        let (changed, removed) = match damaged {
            // What everything depends on.
            Controller => {
                let all = RowKind::ALL.iter().copied();
                let all: Vec<RowKind> = all
                    .filter(|kind| {
                        !alone.contains(kind) && !matches!(kind, RowVersions | Epoch | Process)
                    })
                    .collect();
                (all.clone(), all)
            }
            // A count, which satellites correct, and versions, which the rows have too.
            Epoch | RowVersions => (vec![], vec![]),
            Node => (vec![Node], vec![Node]),
            StoragePoolDefinition => (vec![StoragePoolDefinition], vec![StoragePoolDefinition]),
            StoragePool => (
                vec![StoragePool],
                vec![Node, StoragePoolDefinition, StoragePool],
            ),
            ResourceGroup => (vec![ResourceGroup], vec![ResourceGroup]),
            ResourceDefinition => (
                vec![ResourceDefinition, Resource, SnapshotDefinition],
                vec![
                    ResourceGroup,
                    ResourceDefinition,
                    Resource,
                    SnapshotDefinition,
                ],
            ),
            Resource => (
                vec![ResourceDefinition, Resource, SnapshotDefinition],
                vec![
                    Node,
                    StoragePool,
                    ResourceDefinition,
                    Resource,
                    SnapshotDefinition,
                ],
            ),
            SnapshotDefinition => (
                vec![SnapshotDefinition],
                vec![ResourceDefinition, SnapshotDefinition],
            ),
            KeyValueStore | MasterKey | AuthTokens | Remote | Schedule | ExternalFile => {
                (vec![damaged], vec![damaged])
            }
            Process => (
                vec![ResourceDefinition, Resource, SnapshotDefinition],
                vec![ResourceDefinition, Resource, SnapshotDefinition],
            ),
        };
        let row = row(damaged.as_str(), &key(damaged).key(), json);
        let model = match damaged {
            Controller => Model::load(1, vec![row], Uuid::nil()),
            _ => loaded(&[row]),
        };
        let name = damaged.as_str();
        assert_eq!(model.held.rows().len(), 1, "{name}");
        let refused = |removed| {
            let refused = |kind: &RowKind| model.held.refuses(&key(*kind), removed).is_some();
            RowKind::ALL
                .iter()
                .copied()
                .filter(refused)
                .collect::<Vec<_>>()
        };
        assert_eq!(refused(false), changed, "changed with a damaged {name}");
        assert_eq!(refused(true), removed, "removed with a damaged {name}");
    }
}

/// A process whose row cannot be read holds the node that it is about, or everything when its row does not name it; one
/// that can be read takes no step while what it works on is held.
#[test]
fn processes_are_held() {
    let damaged = |json| loaded(&[row("process", "41", json)]).held;
    let held = damaged(r#"{"id":"41","kind":{"delete_node":{"node":"n1","reso"#);
    assert!(held.refuses(&key(RowKind::Node), false).is_some());
    assert!(!held.holds_everything());
    assert!(damaged(r#"{"id":"41","kind":{"from_the_future""#).holds_everything());

    let uuid = Uuid::from_u128(5);
    let group = format!(r#"{{"name":"g1","uuid":"{uuid}"}}"#);
    let definition = format!(r#"{{"name":"r1","uuid":"{uuid}","group":"g1"}}"#);
    let process = r#"{"id":"41","kind":{"delete_resource_definition":{"resource":"r1","resources":1}},
        "began_at":1,"since":{"at":1,"generation":1},"deadline":100}"#;
    let rows = [
        row("resource_group", "G1", &group),
        row("resource_definition", "R1", &definition),
        row("process", "41", process),
    ];
    let name = ResourceName::parse("r1").unwrap();
    for (extra, removed) in [
        (row("node", "N9", "{"), true),
        (row("resource", "R1/N1", "{"), false),
    ] {
        let rows: Vec<StoredRow> = rows.iter().cloned().chain([extra]).collect();
        let model = loaded(&rows);
        assert_eq!(model.processes.len(), 1);
        // Nobody waits for a deadline at which nothing can be done.
        assert_eq!(model.first_deadline().is_some(), removed);
        let observed = crate::Observed::default();
        let mut draft = crate::Draft::new(model);
        assert_eq!(
            crate::process::advance(&mut draft, &observed, &name, 1),
            removed
        );
        assert_eq!(!draft.definitions.contains_key(&name), removed);
    }
}

/// What refers to a row that cannot be read is held too: all resources on a damaged node, with their definitions.
#[test]
fn what_refers_to_a_damaged_row_is_held() {
    let uuid = Uuid::from_u128(5);
    let group = format!(r#"{{"name":"g1","uuid":"{uuid}"}}"#);
    let definition = format!(r#"{{"name":"r1","uuid":"{uuid}","group":"g1"}}"#);
    let resource = format!(
        r#"{{"node":"n1","name":"r1","uuid":"{uuid}","created_at":1,"layer_stack":["STORAGE"],
        "drbd":{{"node_id":0,"ports":[7005],"peer_slots":7}}}}"#
    );
    let model = loaded(&[
        row("node", "N1", "{"),
        row("resource_group", "G1", &group),
        row("resource_definition", "R1", &definition),
        row("resource", "R1/N1", &resource),
    ]);
    let name = ResourceName::parse("r1").unwrap();
    assert!(model.held.holds_definition(&name));
    assert!(model.definitions.contains_key(&name), "it can be read");
    let node = NodeName::parse("n1").unwrap();
    assert!(model.uses_port(&node, 7005));
    assert!(!model.held.are_ports_unknown(&node));
}

/// Minors and ports of a damaged row are taken as far as they can be read; none is given out where others may be.
#[test]
fn numbers_of_damaged_rows_stay_taken() {
    let uuid = Uuid::from_u128(5);
    let whole = format!(
        r#"{{"name":"r1","uuid":"{uuid}","group":7,"volumes":{{"0":{{"minor":1000}},"1":{{"minor":1002}}}}}}"#
    );
    let model = loaded(&[row("resource_definition", "R1", &whole)]);
    let used = |minor: &u32| model.uses_minor(*minor);
    assert_eq!((999..1005).filter(used).collect::<Vec<_>>(), [1000, 1002]);
    assert_eq!(
        crate::numbers::allocate_minor(&model, &crate::numbers::Ranges::default()),
        Ok(1001)
    );
    assert!(crate::numbers::check_minor(&model, 1002).is_err());
    for cut in [whole.len() - 1, whole.len() - 20] {
        let model = loaded(&[row("resource_definition", "R1", &whole[..cut])]);
        assert!(model.uses_minor(1000));
        let refused =
            crate::numbers::allocate_minor(&model, &crate::numbers::Ranges::default()).unwrap_err();
        assert!(refused[0].correction.is_some(), "{refused:?}");
        assert!(crate::numbers::check_minor(&model, 5).is_err());
    }
    let node = NodeName::parse("n1").unwrap();
    let model = loaded(&[row(
        "resource",
        "R1/N1",
        r#"{"drbd":{"ports":[7000, 7001],"no"#,
    )]);
    let used = |port: &u16| model.uses_port(&node, *port);
    assert_eq!((6999..7005).filter(used).collect::<Vec<_>>(), [7000, 7001]);
    assert!(model.held.are_ports_unknown(&node));
    assert!(
        !model
            .held
            .are_ports_unknown(&NodeName::parse("n2").unwrap())
    );
}

/// A row under a key that is no name, or without the controller's row, holds everything; so does a store of garbage.
#[test]
fn what_cannot_be_told_apart_is_held_altogether() {
    for (kind, at) in [
        ("node", "!"),
        ("resource", "R1"),
        ("resource_definition", ""),
        ("controller", ""),
    ] {
        let model = loaded(&[row(kind, at, "garbage")]);
        assert!(model.held.holds_everything(), "{kind} {at}");
        assert!(model.held.refuses(&key(RowKind::Resource), false).is_some());
        assert!(model.held.refuses(&RowKey::Epoch, false).is_none());
    }
    let model = Model::load(1, vec![row("node", "N1", "{}")], Uuid::nil());
    assert!(model.held.is_cluster_unknown());
    assert!(Model::load(0, Vec::new(), Uuid::nil()).held.is_empty());
}
