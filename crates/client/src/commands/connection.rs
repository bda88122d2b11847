//! `linstor node-connection` and `linstor resource-connection`: what is set for two nodes, or for the replicas on them.

use linstor_api::connection::Connection;
use linstor_api::properties::{Properties, PropertiesModify};

use super::drbd_options::CONNECTION;
use super::list_options::{GROUP_BY, PASTABLE, SHOW_PROPS};
use super::rows::{has_flag, rows, text};
use crate::action::{Action, Screen, read};
use crate::define::{
    Arg, Command, Given, Names, drbd, group, list, list_properties, own, set_property, value,
};
use crate::failure::Failure;
use crate::output::table::Cell;

const NODE_A: Arg = value("node-a", "Name of one node").of(Names::Node);
const NODE_B: Arg = value("node-b", "Name of the other node").of(Names::Node);
const RESOURCE: Arg = value("resource", "Name of the resource").of(Names::Resource);
const PATH: Arg = value("path", "Name of the path");
const INTERFACE_A: Arg = value("interface-a", "Network interface of the first node");
const INTERFACE_B: Arg = value("interface-b", "Network interface of the second node");

const BETWEEN_NODES: &str = "PUT node-connections/{node-a}/{node-b}";
const BETWEEN_RESOURCES: &str =
    "PUT resource-definitions/{resource}/resource-connections/{node-a}/{node-b}";

pub const NODE_CONNECTION: Command = group(
    "node-connection nc",
    "Connections of nodes: options and network paths of all resources on two nodes",
    &[
        list(
            "List the connections",
            "GET node-connections",
            &[
                NODE_A_QUERY.maybe(),
                NODE_B_QUERY.maybe(),
                PASTABLE,
                GROUP_BY,
                SHOW_PROPS,
            ],
            |given, answer, screen| show(given, answer, ["Node A", "Node B"], false, screen),
        ),
        list_properties(
            "GET node-connections",
            &[NODE_A_QUERY, NODE_B_QUERY],
            |_, answer| {
                let connections: Vec<Connection> = read(answer)?;
                Ok(connections
                    .into_iter()
                    .next()
                    .map(|connection| connection.props))
            },
        ),
        set_property(BETWEEN_NODES, &[NODE_A, NODE_B]),
        drbd(
            "drbd-peer-options popt",
            BETWEEN_NODES,
            CONNECTION,
            &[NODE_A, NODE_B],
        ),
        group(
            "path p",
            "Network paths of DRBD between two nodes",
            &[
                own(
                    "create c",
                    "Add a path",
                    &[NODE_A, NODE_B, PATH, INTERFACE_A, INTERFACE_B],
                    |given| path_change(given, BETWEEN_NODES, true),
                ),
                own(
                    "delete d",
                    "Delete a path",
                    &[NODE_A, NODE_B, PATH],
                    |given| path_change(given, BETWEEN_NODES, false),
                ),
                own(
                    "list l",
                    "List the paths",
                    &[NODE_A_QUERY, NODE_B_QUERY, PASTABLE],
                    |given| path_list(given, "GET node-connections", &[NODE_A_QUERY, NODE_B_QUERY]),
                ),
            ],
        ),
    ],
);
const NODE_A_QUERY: Arg = NODE_A.query("node_a");
const NODE_B_QUERY: Arg = NODE_B.query("node_b");

pub const RESOURCE_CONNECTION: Command = group(
    "resource-connection rc",
    "Connections of resources: options and network paths of one resource on two nodes",
    &[
        list(
            "List the connections of a resource",
            "GET resource-definitions/{resource}/resource-connections",
            &[RESOURCE, PASTABLE, GROUP_BY, SHOW_PROPS],
            |given, answer, screen| show(given, answer, ["Source", "Target"], true, screen),
        ),
        list_properties(
            "GET resource-definitions/{resource}/resource-connections/{node-a}/{node-b}",
            &[NODE_A, NODE_B, RESOURCE],
            |_, answer| Ok(Some(read::<Connection>(answer)?.props)),
        ),
        set_property(BETWEEN_RESOURCES, &[NODE_A, NODE_B, RESOURCE]),
        PEER_OPTIONS,
        group(
            "path p",
            "Network paths of DRBD between two replicas of a resource",
            &[
                own(
                    "create c",
                    "Add a path",
                    &[NODE_A, NODE_B, RESOURCE, PATH, INTERFACE_A, INTERFACE_B],
                    |given| path_change(given, BETWEEN_RESOURCES, true),
                ),
                own(
                    "delete d",
                    "Delete a path",
                    &[NODE_A, NODE_B, RESOURCE, PATH],
                    |given| path_change(given, BETWEEN_RESOURCES, false),
                ),
                own(
                    "list l",
                    "List the paths",
                    &[NODE_A, NODE_B, RESOURCE, PASTABLE],
                    |given| {
                        path_list(
                            given,
                            "GET resource-definitions/{resource}/resource-connections",
                            &[],
                        )
                    },
                ),
            ],
        ),
    ],
);

/// Also a command of `resource`.
pub const PEER_OPTIONS: Command = drbd(
    "drbd-peer-options popt",
    BETWEEN_RESOURCES,
    CONNECTION,
    &[NODE_A, NODE_B, RESOURCE],
);

/// Longest text in the column Properties.
const PROPERTIES_CHARS: usize = 30;

fn show(
    given: &Given,
    answer: &str,
    nodes: [&str; 2],
    port: bool,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let show_props = given.list("show-props");
    let mut table = given.table(screen, &[nodes[0], nodes[1], "Properties"]);
    if port {
        table = table.column("Port");
    }
    table = table
        .properties(&show_props)
        .group_by(&given.list("groupby"));
    for row in rows(answer)?.iter().filter(|row| !has_flag(row, "DELETED")) {
        let props: Properties = serde_json::from_value(row["props"].clone()).unwrap_or_default();
        let short = |key: &str| key.rsplit('/').next().unwrap_or(key).to_owned();
        let all: Vec<String> = props
            .iter()
            .map(|(key, value)| format!("{}={value}", short(key)))
            .collect();
        let mut all = all.join(",");
        if all.chars().count() >= PROPERTIES_CHARS {
            all = all
                .chars()
                .take(PROPERTIES_CHARS)
                .chain("...".chars())
                .collect();
        }
        let mut cells: Vec<Cell> = vec![
            text(row, "node_a").into(),
            text(row, "node_b").into(),
            all.into(),
        ];
        if port {
            cells.push(text(row, "port").into());
        }
        cells.extend(super::list_options::property_cells(&show_props, &props));
        table.row(cells);
    }
    screen.table(table)
}

/// Namespace of the paths among the properties of a connection.
const PATHS: &str = "Paths/";

fn path_change(given: &Given, template: &str, create: bool) -> Result<Action, Failure> {
    let mut change = PropertiesModify::default();
    for (node, interface) in [("node-a", "interface-a"), ("node-b", "interface-b")] {
        let key = format!("{PATHS}{}/{}", given.need("path"), given.need(node));
        if create {
            let interface = given.need(interface).to_owned();
            change.override_props.insert(key, Some(interface));
        } else {
            change.delete_props.push(key);
        }
    }
    Action::modify(given.request(template, &[])?.body(&change))
}

fn path_list(given: &Given, template: &str, args: &'static [Arg]) -> Result<Action, Failure> {
    let request = given.request(template, args)?;
    let nodes = [
        given.need("node-a").to_owned(),
        given.need("node-b").to_owned(),
    ];
    Ok(Action::Properties {
        request,
        pastable: given.has("pastable"),
        find: Box::new(move |answer| {
            let connections: Vec<Connection> = read(answer)?;
            let is_one = |name: &str| nodes.iter().any(|node| node.eq_ignore_ascii_case(name));
            let mut same = connections
                .into_iter()
                .filter(|c| is_one(&c.node_a) && is_one(&c.node_b));
            let paths = |c: Connection| {
                c.props
                    .into_iter()
                    .filter(|(key, _)| key.starts_with(PATHS))
                    .collect()
            };
            Ok(same.next().map(paths))
        }),
    })
}
