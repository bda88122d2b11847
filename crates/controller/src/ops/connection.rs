//! Connections of nodes and of resources: their properties and paths.

use linstor_api::code;
use linstor_api::connection::{Connection as Json, DrbdProxyModify};
use linstor_api::properties::PropertiesModify;
use linstor_api::reply::Reply;
use linstor_model::connection::{self, Connection, pair};
use linstor_model::name::{NodeName, ResourceName};
use linstor_model::{Model, Node, Props, ResourceDefinition};

use super::name;
use super::property::{self, Owner};
use super::reply::{modified, not_found};
use super::request::{Context, Wait, wait};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// The namespace of paths: `Paths/<path>/<node>` is a net interface of the node.
const PATHS: &str = "Paths/";

fn between(first: &str, second: &str) -> String {
    format!("node connection between nodes '{first}' and '{second}'")
}

fn of_resource(name: &str, first: &str, second: &str) -> String {
    format!("resource connection between nodes '{first}' and '{second}' for resource '{name}'")
}

fn show(row: &Connection) -> Json {
    Json {
        node_a: row.first.to_string(),
        node_b: row.second.to_string(),
        props: row.props.clone(),
    }
}

/// The connections of nodes for which something is set; only those of the named nodes.
pub fn list(
    cluster: &Cluster,
    first: Option<&str>,
    second: Option<&str>,
) -> Result<Vec<Json>, Refusal> {
    let model = cluster.model();
    let mut named = Vec::new();
    for name in [first, second].into_iter().flatten() {
        named.push(name::known_node(&model, &name::node(name)?)?.name.clone());
    }
    let rows = model.nodes.values().flat_map(|node| &node.connections);
    let wanted = |row: &&Connection| {
        let has = |name: &NodeName| row.first == *name || row.second == *name;
        named.iter().all(has)
    };
    Ok(rows.filter(wanted).map(show).collect())
}

/// Changes the connection of two nodes, which exists from its first change on.
pub async fn modify(
    cluster: &Cluster,
    first: String,
    second: String,
    change: PropertiesModify,
) -> Vec<Reply> {
    let what = between(&first, &second);
    let context = Context::new(
        code::MASK_NODE_CONN | code::MASK_MOD,
        super::reply::capital(&what),
    )
    .about("FirstNode", &first)
    .about("SecondNode", &second);
    let work = async {
        let nodes = (name::node(&first)?, name::node(&second)?);
        let committed = cluster.commit(move |tx| {
            let rows = known_pair(tx, &nodes, &what)?;
            let known = connection::of_nodes(tx, &nodes.0, &nodes.1).cloned();
            let mut row =
                known.unwrap_or_else(|| Connection::new(tx.uuid(), &rows.0.name, &rows.1.name));
            apply(
                tx,
                Owner::NodeConnection,
                [&rows.0, &rows.1],
                &mut row.props,
                &change,
            )?;
            tx.reply(modified(&what, row.uuid));
            let (first, second) = (row.first.clone(), row.second.clone());
            tx.edit_node(&first, |node| connection::put(&mut node.connections, row));
            let both = tx.resources_on(&first).map(|row| row.name.clone());
            let both = both.filter(|name| tx.resource(name, &second).is_some());
            let definitions: Vec<ResourceName> = both.collect();
            let mut online = vec![first, second];
            online.retain(|node| tx.observed.is_online(node));
            Ok((definitions, online))
        });
        let committed = committed.await?;
        let (definitions, nodes) = committed.value;
        let mut replies = committed.replies;
        let generation = committed.generation;
        replies.append(&mut wait(cluster, Wait::Applied(definitions), generation).await);
        let applied = Reply::new(code::MODIFIED, "Node changes applied.");
        replies.append(&mut wait(cluster, Wait::Nodes(nodes, applied), generation).await);
        Ok(replies)
    };
    context.run(work).await
}

/// Two nodes that are there and are not the same. LINSTOR does not give a missing one the code of an absent node here.
fn known_pair(
    model: &Model,
    (first, second): &(NodeName, NodeName),
    what: &str,
) -> Result<(Node, Node), Refusal> {
    let refuse = |ret_code: i64, cause: String, correction: &str| -> Refusal {
        let message = format!("The {what} cannot be changed.");
        Reply::new(ret_code, message)
            .cause(cause)
            .correction(correction)
            .into()
    };
    if first == second {
        let cause = "A node has no connection to itself.".to_owned();
        return Err(refuse(code::FAIL_IMPL_ERROR, cause, "Name two nodes."));
    }
    let known = |name: &NodeName| {
        let node = model.node(name).map(|node| Node::clone(node));
        node.ok_or_else(|| {
            let cause = format!("Node '{name}' does not exist.");
            refuse(code::FAIL_UNKNOWN_ERROR, cause, "Create the node first.")
        })
    };
    Ok((known(first)?, known(second)?))
}

/// Changes properties; a path's ends must be net interfaces of the two nodes.
fn apply(
    tx: &mut Transaction<'_>,
    owner: Owner,
    nodes: [&Node; 2],
    props: &mut Props,
    change: &PropertiesModify,
) -> Result<(), Refusal> {
    let replies = property::apply(owner, props, change)?;
    for (key, interface) in props.iter() {
        let Some(end) = key.strip_prefix(PATHS) else {
            continue;
        };
        check_end(nodes, end, interface)?;
    }
    tx.replies(replies);
    for path in incomplete(props) {
        let message = format!("The path '{path}' has no effect yet.");
        let reply = Reply::new(code::WARN_UNEFFECTIVE_PROP, message)
            .cause("It names a net interface of one node only.")
            .correction(format!(
                "Set '{PATHS}{path}/<node>' for the other node too."
            ));
        tx.reply(reply);
    }
    Ok(())
}

fn check_end(nodes: [&Node; 2], end: &str, interface: &str) -> Result<(), Refusal> {
    let refuse = |cause: String, correction: &str| -> Refusal {
        let message = format!("The path '{}' is invalid.", end.escape_debug());
        Reply::new(code::FAIL_INVLD_PROP, message)
            .cause(cause)
            .correction(correction)
            .into()
    };
    let is = |node: &&&Node| {
        let name = end.split_once('/').map(|(_, name)| name);
        name.is_some_and(|name| node.name.as_str().eq_ignore_ascii_case(name))
    };
    let Some(node) = nodes.iter().find(is) else {
        let cause = "Its key does not end with the name of one of the two nodes.".to_owned();
        return Err(refuse(cause, "Use keys like 'Paths/<path>/<node>'."));
    };
    let mut known = node.net_interfaces.iter().map(|row| row.name.as_str());
    if known.any(|name| name.eq_ignore_ascii_case(interface)) {
        return Ok(());
    }
    let cause = format!(
        "The net interface '{}' is not known on node '{}'.",
        interface.escape_debug(),
        node.name
    );
    Err(refuse(
        cause,
        "Create the net interface first, or name another one.",
    ))
}

/// Paths with one end.
fn incomplete(props: &Props) -> Vec<String> {
    let ends = props
        .keys()
        .filter_map(|key| key.strip_prefix(PATHS)?.split_once('/'));
    let mut paths: Vec<&str> = ends.map(|(path, _)| path).collect();
    paths.sort_unstable();
    let once = paths.chunk_by(|a, b| a == b).filter(|same| same.len() == 1);
    once.map(|same| same[0].to_owned()).collect()
}

fn show_resource(definition: &ResourceDefinition, a: &NodeName, b: &NodeName) -> Json {
    let (first, second) = pair(a, b);
    let row = connection::of_resources(definition, a, b);
    Json {
        node_a: first.to_string(),
        node_b: second.to_string(),
        props: row.map(|row| row.props.clone()).unwrap_or_default(),
    }
}

/// The connections of all pairs of resources of a definition.
pub fn list_of(cluster: &Cluster, name: &str) -> Result<Vec<Json>, Refusal> {
    let model = cluster.model();
    let definition = name::known_definition(&model, &name::resource(name)?)?;
    let nodes: Vec<&NodeName> = model
        .resources_of(&definition.name)
        .map(|row| &row.node)
        .collect();
    let mut shown = Vec::new();
    for (index, first) in nodes.iter().enumerate() {
        for second in &nodes[index + 1..] {
            shown.push(show_resource(definition, first, second));
        }
    }
    Ok(shown)
}

/// The connection of the resources of a definition on two nodes.
pub fn one(cluster: &Cluster, name: &str, first: &str, second: &str) -> Result<Json, Refusal> {
    let model = cluster.model();
    let definition = name::known_definition(&model, &name::resource(name)?)?;
    let (first, second) = (name::node(first)?, name::node(second)?);
    let has = |node: &NodeName| {
        model
            .resource(&definition.name, node)
            .map(|row| row.node.clone())
    };
    match (has(&first), has(&second)) {
        (Some(first), Some(second)) if first != second => {
            Ok(show_resource(definition, &first, &second))
        }
        _ => {
            let what = format!("resource connection between '{first}' and '{second}'");
            Err(not_found(code::FAIL_NOT_FOUND_RSC_CONN, &what).into())
        }
    }
}

fn resource_context(name: &str, first: &str, second: &str, object: String) -> Context {
    Context::new(code::MASK_RSC_CONN | code::MASK_MOD, object)
        .about("FirstNode", first)
        .about("SecondNode", second)
        .about("RscDfn", name)
}

/// Changes the connection of two resources, which exists from its first change on.
pub async fn modify_resource(
    cluster: &Cluster,
    name: String,
    first: String,
    second: String,
    change: PropertiesModify,
) -> Vec<Reply> {
    let what = of_resource(&name, &first, &second);
    let context = resource_context(&name, &first, &second, super::reply::capital(&what));
    let parse = || {
        Ok((
            name::resource(&name)?,
            name::node(&first)?,
            name::node(&second)?,
        ))
    };
    let plan = context.change(cluster, parse, move |tx, (name, first, second)| {
        let nodes = known_resources(tx, &name, &first, &second, &what)?;
        let definition = name::known_definition(tx, &name)?;
        let known = connection::of_resources(definition, &first, &second).cloned();
        let mut row =
            known.unwrap_or_else(|| Connection::new(tx.uuid(), &nodes.0.name, &nodes.1.name));
        apply(
            tx,
            Owner::ResourceConnection,
            [&nodes.0, &nodes.1],
            &mut row.props,
            &change,
        )?;
        tx.reply(modified(&what, row.uuid));
        tx.edit_resource_definition(&name, |definition| {
            connection::put(&mut definition.connections, row);
        });
        Ok(Wait::Applied(vec![name]))
    });
    plan.await
}

/// Two nodes that have a resource of a definition.
fn known_resources(
    model: &Model,
    name: &ResourceName,
    first: &NodeName,
    second: &NodeName,
    what: &str,
) -> Result<(Node, Node), Refusal> {
    name::known_definition(model, name)?;
    name::known_node(model, first)?;
    name::known_node(model, second)?;
    let nodes = known_pair(model, &(first.clone(), second.clone()), what)?;
    for node in [first, second] {
        if model.resource(name, node).is_none() {
            let message = format!("There is no {what}.");
            return Err(Reply::new(code::FAIL_UNKNOWN_ERROR, message)
                .cause(format!("Node '{node}' has no resource '{name}'."))
                .correction("Create the resource first.")
                .into());
        }
    }
    Ok(nodes)
}

/// Puts DRBD Proxy between two resources, or takes it away.
pub async fn proxy(
    cluster: &Cluster,
    name: String,
    first: String,
    second: String,
    ability: &'static str,
) -> Vec<Reply> {
    let what = of_resource(&name, &first, &second);
    let object = format!("DRBD Proxy on {what}");
    let parse = || {
        Ok((
            name::resource(&name)?,
            name::node(&first)?,
            name::node(&second)?,
        ))
    };
    let plan = move |tx: &mut Transaction<'_>, (name, first, second)| {
        known_resources(tx, &name, &first, &second, &what)?;
        Err(super::reply::not_implemented(ability).into())
    };
    resource_context(&name, &first, &second, object)
        .change(cluster, parse, plan)
        .await
}

/// What compresses the data of DRBD Proxy.
const COMPRESSIONS: [&str; 5] = ["none", "zlib", "lzma", "lz4", "zstd"];

/// Changes the options of DRBD Proxy of a definition. They are stored; what they are for cannot be enabled yet.
pub async fn modify_proxy(cluster: &Cluster, name: String, request: DrbdProxyModify) -> Vec<Reply> {
    let object = format!("Resource definition: {name}");
    let parse = || {
        let given = request.compression_type.as_deref().unwrap_or_default();
        if !given.is_empty() && !COMPRESSIONS.contains(&given) {
            let ret_code = code::FAIL_INVLD_DRBD_PROXY_COMPRESSION_TYPE;
            let message = format!("Unknown compression type '{}'.", given.escape_debug());
            let known = format!("Use one of {}.", COMPRESSIONS.join(", "));
            return Err(Reply::new(ret_code, message).correction(known).into());
        }
        let mut set = request.override_props;
        let compression = request.compression_props.into_iter();
        set.extend(compression.map(|(key, value)| (key, Some(value))));
        let change = property::change(set, request.delete_props, request.delete_namespaces);
        Ok((name::resource(&name)?, change))
    };
    let context = Context::new(code::MASK_RSC_DFN | code::MASK_MOD, object).about("RscDfn", &name);
    let plan = |tx: &mut Transaction<'_>, (name, change): (ResourceName, PropertiesModify)| {
        let mut row = ResourceDefinition::clone(name::known_definition(tx, &name)?);
        let replies = property::apply(Owner::DrbdProxy, &mut row.props, &change)?;
        tx.replies(replies.into_iter().map(Reply::plain));
        let what = format!("proxy options for resource definition '{}'", row.name);
        tx.reply(modified(&what, row.uuid));
        tx.put_resource_definition(row);
        Ok(Wait::Nothing)
    };
    context.change(cluster, parse, plan).await
}
