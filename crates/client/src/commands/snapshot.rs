//! `linstor snapshot`: snapshots of resources.

use linstor_api::properties::Properties;
use linstor_api::size::format_kib;
use serde_json::{Value as Json, json};

use super::list_options::PASTABLE;
use super::rows::{entries, has_flag, rows, text, texts, time};
use crate::action::{Action, Screen};
use crate::define::{
    Arg, Command, Given, Names, flag, group, list, list_properties, modify, option, own,
    set_property, value,
};
use crate::failure::Failure;
use crate::output::color::Color;
use crate::output::table::Cell;
use crate::request::Request;

const RESOURCE: Arg = value("resource", "Name of the resource").of(Names::Resource);
const SNAPSHOT: Arg = value("snapshot", "Name of the snapshot").of(Names::Snapshot);
const NODES: Arg = option("--nodes -n", "Only on these nodes")
    .of(Names::Node)
    .many()
    .query("nodes");
const FROM_RESOURCE: Arg = option(
    "--from-resource --fr",
    "Resource whose snapshot is restored",
)
.of(Names::Resource)
.required();
const FROM_SNAPSHOT: Arg = option("--from-snapshot --fs", "Snapshot that is restored")
    .of(Names::Snapshot)
    .required();
const TO_RESOURCE: Arg = option("--to-resource --tr", "Resource that gets the data")
    .of(Names::Resource)
    .required()
    .body("to_resource");
const RENAME: Arg = option(
    "--storpool-rename",
    "Storage pools that replace those of the snapshot: old=new",
)
.any()
.pairs()
.body("stor_pool_rename");

pub const SNAPSHOT_COMMANDS: Command = group(
    "snapshot s",
    "Snapshots of resources",
    &[
        own(
            "create c",
            "Create a snapshot, on all diskful nodes or on those that are named",
            &[
                flag("--async", "Has no effect").hidden(),
                value(
                    "names",
                    "Names of nodes, then of the resource, then of the snapshot",
                )
                .many(),
            ],
            |given| {
                let (nodes, [resource, name]) =
                    given.split_last("names", ["RESOURCE", "SNAPSHOT"])?;
                let mut body = json!({ "name": name });
                add_nodes(&mut body, nodes);
                let path = ["resource-definitions", &resource, "snapshots"];
                Action::modify(Request::post(&path, &body))
            },
        ),
        own(
            "create-multiple cm",
            "Create snapshots of several resources at the same time",
            &[
                option(
                    "--nodes -n --node-names --node_names",
                    "Only on these nodes",
                )
                .of(Names::Node)
                .any(),
                option(
                    "--resources -r --resource-names --resource_names",
                    "The resources",
                )
                .of(Names::Resource)
                .many()
                .required(),
                SNAPSHOT,
            ],
            |given| {
                let one = |resource: &String| {
                    let mut body =
                        json!({"name": given.need("snapshot"), "resource_name": resource});
                    add_nodes(&mut body, given.list("nodes"));
                    body
                };
                let all: Vec<Json> = given.list("resources").iter().map(one).collect();
                let path = ["actions", "snapshot", "multi"];
                Action::modify(Request::post(&path, &json!({ "snapshots": all })))
            },
        ),
        modify(
            "delete d",
            "Delete a snapshot",
            "DELETE resource-definitions/{resource}/snapshots/{snapshot}",
            &[RESOURCE, SNAPSHOT, NODES],
        ),
        modify(
            "rollback rb",
            "Return a resource to the data of a snapshot",
            "POST resource-definitions/{resource}/snapshot-rollback/{snapshot}",
            &[
                RESOURCE,
                SNAPSHOT,
                option(
                    "--zfs-rollback-strategy",
                    "How ZFS volumes return to the snapshot",
                )
                .one_of(&["rollback", "clone", "dynamic"])
                .body("zfs_rollback_strategy"),
            ],
        ),
        list(
            "List the snapshots",
            "GET view/snapshots",
            &[
                PASTABLE,
                option("--resources -r", "Only of these resources")
                    .of(Names::Resource)
                    .many()
                    .query("resources"),
                NODES,
            ],
            show,
        ),
        list_properties(
            "GET view/snapshots",
            &[RESOURCE.query("resources"), SNAPSHOT],
            |given, answer| {
                let name = given.need("snapshot");
                let is_it = |row: &Json| text(row, "name").eq_ignore_ascii_case(name);
                let found = rows(answer)?.into_iter().find(is_it);
                let props =
                    |mut row: Json| serde_json::from_value::<Properties>(row["props"].take());
                Ok(found.map(|row| props(row).unwrap_or_default()))
            },
        ),
        set_property(
            "PUT resource-definitions/{resource}/snapshots/{snapshot}",
            &[RESOURCE, SNAPSHOT],
        ),
        group(
            "volume-definition vd",
            "Volume definitions of snapshots",
            &[modify(
                "restore rst",
                "Create the volume definitions of a snapshot in a resource definition",
                "POST resource-definitions/{from-resource}/snapshot-restore-volume-definition/{from-snapshot}",
                &[FROM_RESOURCE, FROM_SNAPSHOT, TO_RESOURCE],
            )],
        ),
        group(
            "resource r",
            "Resources of snapshots",
            &[modify(
                "restore rst",
                "Create resources with the data of a snapshot",
                "POST resource-definitions/{from-resource}/snapshot-restore-resource/{from-snapshot}",
                &[
                    value(
                        "nodes",
                        "Nodes; all that have the snapshot if none is named",
                    )
                    .of(Names::Node)
                    .any()
                    .body("nodes"),
                    FROM_RESOURCE,
                    FROM_SNAPSHOT,
                    TO_RESOURCE,
                    RENAME,
                ],
            )],
        ),
    ],
);

fn add_nodes(body: &mut Json, nodes: Vec<String>) {
    if !nodes.is_empty() {
        body["nodes"] = nodes.into();
    }
}

fn show(given: &Given, answer: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let columns = [
        "ResourceName",
        "SnapshotName",
        "NodeNames",
        "Volumes",
        "CreatedOn",
    ];
    let mut table = given
        .table(screen, &columns)
        .colored("State", Color::DarkGreen)
        .group_by(&[]);
    for row in &rows(answer)? {
        let nodes = entries(row["snapshots"].clone());
        let volume = |volume: &Json| {
            let size = volume["size_kib"].as_u64().unwrap_or_default();
            format!("{}: {}", text(volume, "volume_number"), format_kib(size))
        };
        let volumes = entries(row["volume_definitions"].clone());
        let volumes: Vec<String> = volumes.iter().map(volume).collect();
        table.row(vec![
            text(row, "resource_name").into(),
            text(row, "name").into(),
            texts(row, "nodes").join(", ").into(),
            volumes.join(", ").into(),
            nodes
                .first()
                .map_or(String::new(), |node| time(node, "create_timestamp"))
                .into(),
            state(row, &nodes),
        ]);
    }
    screen.table(table)
}

fn state(row: &Json, nodes: &[Json]) -> Cell {
    let is = |flag| has_flag(row, flag);
    let any = |flag| nodes.iter().any(|node| has_flag(node, flag));
    if is("DELETE") {
        return Cell::colored("DELETING", Color::Red);
    }
    if is("FAILED_DEPLOYMENT") {
        return Cell::colored("Failed", Color::Red);
    }
    if is("FAILED_DISCONNECT") {
        return Cell::colored("Satellite disconnected", Color::Red);
    }
    if !is("SUCCESSFUL") {
        return Cell::colored("Incomplete", Color::DarkBlue);
    }
    let ships = is("BACKUP") && is("SHIPPING");
    if ships && any("BACKUP_SOURCE") {
        return Cell::colored("Shipping", Color::Yellow);
    }
    if ships && any("BACKUP_TARGET") {
        return Cell::colored("Restoring", Color::Yellow);
    }
    let volumes = nodes
        .iter()
        .flat_map(|node| entries(node["snapshot_volumes"].clone()));
    let mut states = volumes.map(|volume| text(&volume, "state"));
    let state = states.find(|state| !state.is_empty() && state != "completed");
    let text = match state {
        Some(state) => format!("Successful ({state})"),
        None => "Successful".to_owned(),
    };
    Cell::colored(text, Color::DarkGreen)
}
