//! Options of DRBD that are fine by themselves and that DRBD refuses together, wherever each of them comes from.

use std::collections::BTreeSet;
use std::sync::Arc;

use linstor_api::code;
use linstor_api::prop::DRBD_NET_OPTIONS;
use linstor_api::reply::Reply;
use linstor_model::model::RowKey;
use linstor_model::name::{NodeName, ResourceGroupName, ResourceName};
use linstor_model::props::conflict::{self, Conflict};
use linstor_model::props::inherit::below;
use linstor_model::props::{Level, Purpose, Scope, chain};
use linstor_model::{Connection, Model, Props, ResourceDefinition, connection};

use crate::transaction::Refusal;

/// Refuses a change after which connections would have options that DRBD refuses together, and had not before.
pub fn check(before: &Model, after: &Model, touched: &BTreeSet<RowKey>) -> Result<(), Refusal> {
    let differ = |a: Option<&Props>, b: Option<&Props>| net(a) != net(b);
    let mut groups: BTreeSet<&ResourceGroupName> = BTreeSet::new();
    let mut definitions: BTreeSet<&ResourceName> = BTreeSet::new();
    // Those with resources on nodes whose connections changed.
    let mut of_nodes: BTreeSet<ResourceName> = BTreeSet::new();
    for key in touched {
        match key {
            RowKey::Controller
                if differ(
                    Some(&before.controller.props),
                    Some(&after.controller.props),
                ) =>
            {
                groups.extend(after.groups.keys());
            }
            RowKey::ResourceGroup(name) => {
                let props = |model: &'_ Model| model.groups.get(name).map(|row| row.props.clone());
                if differ(props(before).as_ref(), props(after).as_ref()) {
                    groups.insert(name);
                }
            }
            RowKey::ResourceDefinition(name) => {
                let rows = (before.definitions.get(name), after.definitions.get(name));
                let moved = rows.0.map(|row| &row.group) != rows.1.map(|row| &row.group);
                let own = differ(rows.0.map(|row| &row.props), rows.1.map(|row| &row.props));
                let [old, new] =
                    [rows.0, rows.1].map(|row| row.map(|row| connected(&row.connections)));
                if own || old != new || (moved && rows.0.is_some()) {
                    definitions.insert(name);
                }
            }
            RowKey::Node(name) => {
                let rows = [before.node(name), after.node(name)];
                let [old, new] = rows.map(|row| row.map(|row| connected(&row.connections)));
                if old != new {
                    of_nodes.extend(after.resources_on(name).map(|row| row.name.clone()));
                }
            }
            _ => {}
        }
    }
    for name in groups {
        if let Some(conflict) = of_group(after, name)
            && of_group(before, name).is_none()
        {
            return Err(refused(
                &conflict,
                &format!("resource group '{name}'"),
                None,
            ));
        }
        // The others have what their group has.
        let with_own = after.definitions_of(name).filter(|name| {
            let row = after.definitions.get(*name);
            row.is_some_and(|row| has_net(&row.props) || !pairs(after, row).is_empty())
        });
        definitions.extend(with_own);
    }
    for name in &definitions {
        if let Some(conflict) = of_definition(after, name)
            && of_definition(before, name).is_none()
        {
            let row = after.definitions.get(*name);
            let what = format!("resource definition '{name}'");
            return Err(refused(&conflict, &what, row));
        }
    }
    for name in definitions.into_iter().chain(&of_nodes) {
        let Some(row) = after.definitions.get(name) else {
            continue;
        };
        for (a, b) in pairs(after, row) {
            if let Some(conflict) = of_connection(after, name, a, b)
                && of_connection(before, name, a, b).is_none()
            {
                let what = format!("connection of resource '{name}' between '{a}' and '{b}'");
                return Err(refused(&conflict, &what, Some(row)));
            }
        }
    }
    Ok(())
}

/// Keys and values.
type Options = Vec<(String, String)>;

fn net(props: Option<&Props>) -> Options {
    let of = props
        .into_iter()
        .flat_map(|props| below(props, DRBD_NET_OPTIONS));
    of.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn has_net(props: &Props) -> bool {
    below(props, DRBD_NET_OPTIONS).next().is_some()
}

/// The connections that have options of their own, with these.
fn connected(connections: &[Connection]) -> Vec<(&NodeName, &NodeName, Options)> {
    let own = connections.iter().filter(|row| has_net(&row.props));
    own.map(|row| (&row.first, &row.second, net(Some(&row.props))))
        .collect()
}

/// The pairs of nodes whose connection of a definition has options of its own.
fn pairs<'a>(
    model: &'a Model,
    definition: &'a ResourceDefinition,
) -> BTreeSet<(&'a NodeName, &'a NodeName)> {
    let own = definition.connections.iter();
    let of_nodes = model
        .resources_of(&definition.name)
        .filter_map(|resource| model.node(&resource.node))
        .flat_map(|node| &node.connections)
        .filter(|row| model.resource(&definition.name, &row.second).is_some());
    own.chain(of_nodes)
        .filter(|row| has_net(&row.props))
        .map(|row| (&row.first, &row.second))
        .collect()
}

fn of_connection<'a>(
    model: &'a Model,
    name: &ResourceName,
    a: &NodeName,
    b: &NodeName,
) -> Option<Conflict<'a>> {
    let definition = model.definitions.get(name)?;
    let scope = Scope {
        connection: connection::of_resources(definition, a, b),
        node_connection: connection::of_nodes(model, a, b),
        ..Scope::definition(definition)
    };
    conflict::conflict(&chain(model, Purpose::DrbdConnection, &scope))
}

fn of_group<'a>(model: &'a Model, name: &ResourceGroupName) -> Option<Conflict<'a>> {
    let scope = Scope {
        group: Some(&**model.groups.get(name)?),
        ..Scope::default()
    };
    conflict::conflict(&chain(model, Purpose::DrbdConnection, &scope))
}

fn of_definition<'a>(model: &'a Model, name: &ResourceName) -> Option<Conflict<'a>> {
    let scope = Scope::definition(&**model.definitions.get(name)?);
    conflict::conflict(&chain(model, Purpose::DrbdConnection, &scope))
}

fn refused(
    conflict: &Conflict<'_>,
    what: &str,
    definition: Option<&Arc<ResourceDefinition>>,
) -> Refusal {
    let Conflict {
        key,
        value,
        protocol,
        needs,
        reason,
        ..
    } = conflict;
    let place = |level: Option<Level>| match level {
        None => "by default".to_owned(),
        Some(Level::Controller) => "at the controller".to_owned(),
        Some(Level::ResourceGroup) => match definition {
            Some(row) => format!("at the resource group '{}'", row.group),
            None => format!("at the {what}"),
        },
        Some(Level::ResourceDefinition) => match definition {
            Some(row) => format!("at the resource definition '{}'", row.name),
            None => format!("at the {what}"),
        },
        Some(Level::NodeConnection) => "at the connection of the two nodes".to_owned(),
        Some(_) => format!("at the {what}"),
    };
    Reply::new(
        code::FAIL_INVLD_PROP,
        format!(
            "DRBD refuses {key}={value} with protocol {protocol}, which the {what} would have."
        ),
    )
    .cause(format!("{reason} It needs protocol {needs}."))
    .details(format!(
        "{key} is set {}, protocol {protocol} {}.",
        place(Some(conflict.level)),
        place(conflict.protocol_level)
    ))
    .correction(format!(
        "Set {} to {needs}, or delete {key}, or set both in one request.",
        conflict::PROTOCOL
    ))
    .into()
}
