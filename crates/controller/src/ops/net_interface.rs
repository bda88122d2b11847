//! Network interfaces: the addresses of a node, and which of them the controller connects to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use linstor_api::kind::Encryption;
use linstor_api::net_interface::NetInterface as Json;
use linstor_api::reply::Reply;
use linstor_api::{code, prop};
use linstor_model::model::RowKey;
use linstor_model::name::{NetInterfaceName, NodeName, ResourceName};
use linstor_model::props::address_of;
use linstor_model::{Model, NetInterface, Node, Resource, connection};
use uuid::Uuid;

use super::name;
use super::reply::{capital, deleted, exists, modified, not_found, nothing_to_delete, registered};
use super::request::Context;
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

fn label(node: &NodeName, name: impl std::fmt::Display) -> String {
    format!("netInterface '{name}' on node '{node}'")
}

fn context(mask: i64, node: &str, name: &str) -> Context {
    let object = format!("Node: '{node}', NetInterfaceName: '{name}'");
    Context::new(code::MASK_NET_IF | mask, object).about("Node", node)
}

/// An interface as answers show it.
pub fn show(row: &NetInterface) -> Json {
    Json {
        name: row.name.to_string(),
        address: row.address.to_string(),
        satellite_port: row.satellite_port.map(i32::from),
        satellite_encryption_type: row.encryption.map(Into::into),
        is_active: Some(row.active),
        uuid: Some(row.uuid.to_string()),
    }
}

/// All interfaces of a node, the one through which the controller connects being marked.
pub fn list(cluster: &Cluster, node: &str) -> Result<Vec<Json>, Refusal> {
    let node = name::node(node)?;
    let model = cluster.model();
    let row = name::known_node(&model, &node)?;
    Ok(row.net_interfaces.iter().map(show).collect())
}

/// One interface of a node.
pub fn one(cluster: &Cluster, node: &str, name: &str) -> Result<Json, Refusal> {
    let (node, name) = (name::node(node)?, name::net_interface(name)?);
    let model = cluster.model();
    let row = name::known_node(&model, &node)?;
    let found = row.net_interfaces.iter().find(|row| row.name == name);
    found.map(show).ok_or_else(|| missing(&node, &name))
}

fn missing(node: &NodeName, name: &NetInterfaceName) -> Refusal {
    not_found(code::FAIL_NOT_FOUND_NET_IF, &label(node, name)).into()
}

/// Reads an interface of a request.
pub fn parse(given: &Json, uuid: Uuid) -> Result<NetInterface, Refusal> {
    Ok(NetInterface {
        name: name::net_interface(&given.name)?,
        uuid,
        address: address(&given.address)?,
        satellite_port: port(given.satellite_port)?,
        encryption: encryption(given.satellite_encryption_type.as_deref())?,
        active: false,
    })
}

fn address(given: &str) -> Result<std::net::IpAddr, Refusal> {
    given.trim().parse().map_err(|_| {
        let shown: String = given
            .chars()
            .take(64)
            .flat_map(char::escape_debug)
            .collect();
        Reply::new(
            code::FAIL_INVLD_NET_ADDR,
            format!("The network address '{shown}' is invalid."),
        )
        .cause("It is neither an IPv4 nor an IPv6 address.")
        .correction(
            "Use an address like 10.0.0.1 or fd00::1; host names have to be resolved first.",
        )
        .into()
    })
}

fn port(given: Option<i32>) -> Result<Option<u16>, Refusal> {
    match given.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(port)) if port > 0 => Ok(Some(port)),
        Some(_) => Err(Reply::new(
            code::FAIL_INVLD_NET_PORT,
            format!("The port {} is not valid.", given.unwrap_or_default()),
        )
        .cause("Ports are numbers within limits.")
        .correction("Use a port from 1 to 65535.")
        .into()),
    }
}

fn encryption(given: Option<&str>) -> Result<Option<Encryption>, Refusal> {
    let Some(word) = given.filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    word.parse()
        .map(Some)
        .map_err(|error: linstor_api::kind::UnknownKind| {
            Reply::new(code::FAIL_INVLD_NET_TYPE, format!("{error}."))
                .cause("The encryption type is not known.")
                .correction("Use PLAIN or SSL.")
                .into()
        })
}

/// Whether the controller can connect to a satellite through it.
fn is_usable(row: &NetInterface) -> bool {
    row.satellite_port.is_some() && row.encryption.is_some()
}

/// Marks one usable interface as active, the given one or the first, and keeps the node's property in step. Says
/// whether there is one.
pub fn activate(node: &mut Node, wanted: Option<&NetInterfaceName>) -> bool {
    let current = node
        .net_interfaces
        .iter()
        .position(|row| row.active && is_usable(row));
    let wanted = wanted.and_then(|name| {
        let found = |row: &NetInterface| row.name == *name && is_usable(row);
        node.net_interfaces.iter().position(found)
    });
    let chosen = wanted
        .or(current)
        .or_else(|| node.net_interfaces.iter().position(is_usable));
    for (index, row) in node.net_interfaces.iter_mut().enumerate() {
        row.active = Some(index) == chosen;
    }
    match chosen {
        Some(index) => {
            let name = node.net_interfaces[index].name.to_string();
            node.props.insert(prop::CUR_STLT_CONN_NAME.to_owned(), name);
            true
        }
        None => {
            node.props.remove(prop::CUR_STLT_CONN_NAME);
            false
        }
    }
}

fn no_connection(message: String) -> Reply {
    Reply::new(code::WARN_NO_STLT_CONN_DEFINED, message)
        .correction("Create at least one netInterface with a valid PORT and COMMUNICATION-TYPE.")
}

fn check_active(wanted: Option<bool>, row: &NetInterface) -> Result<(), Refusal> {
    if wanted == Some(true) && !is_usable(row) {
        return Err(Reply::new(
            code::FAIL_MISSING_STLT_CONN,
            format!("The network interface '{}' cannot be active.", row.name),
        )
        .cause("It has no port or no encryption type for the connection to the satellite.")
        .correction("Give it both.")
        .into());
    }
    Ok(())
}

/// Commits a change of a node's interfaces; the plan says whether the controller has to connect anew.
async fn change<P: Send + 'static>(
    cluster: &Cluster,
    context: Context,
    parsed: Result<(NodeName, P), Refusal>,
    plan: impl FnOnce(&mut Transaction<'_>, &NodeName, P) -> Result<bool, Refusal> + Send + 'static,
) -> Vec<Reply> {
    let work = async {
        let (node, parsed) = parsed?;
        let target = node.clone();
        let committed = cluster.commit(move |tx| plan(tx, &target, parsed)).await?;
        let mut replies = committed.replies;
        if committed.value {
            cluster.reconnect(&node);
            replies.extend(no_certificate(cluster, &node));
        }
        Ok(replies)
    };
    context.run(work).await
}

/// The warning that a node cannot be reached over SSL, where the settings have no certificate for it.
pub fn no_certificate(cluster: &Cluster, name: &NodeName) -> Option<Reply> {
    let config = cluster.shared.config.as_ref();
    let model = cluster.model();
    let active = model
        .node(name)?
        .net_interfaces
        .iter()
        .find(|row| row.active)?;
    let has_certificate = config.is_some_and(|config| config.netcom.is_some());
    if active.encryption != Some(Encryption::Ssl) || has_certificate {
        return None;
    }
    let message = format!("The controller cannot connect to node '{name}'.");
    let reply = Reply::new(code::WARN_NOT_CONNECTED, message)
        .cause("Its active net interface is for SSL, and the controller has no certificate for links to satellites.")
        .correction(
            "Add section [netcom] to linstor.toml and restart the controller, or use the encryption type PLAIN.",
        );
    Some(reply)
}

/// Changes a node's row, and warns when no interface is active then. Says whether another one, or a changed one, is
/// active.
fn edit_node(
    tx: &mut Transaction<'_>,
    name: &NodeName,
    edit: impl FnOnce(&mut Node),
) -> Result<bool, Refusal> {
    let active = |node: &Node| node.net_interfaces.iter().find(|row| row.active).cloned();
    let before = active(name::known_node(tx, name)?);
    tx.edit_node(name, edit);
    let after = active(name::known_node(tx, name)?);
    if after.is_none() {
        tx.reply(no_connection(format!(
            "No active satellite-connection configured on node '{name}'!"
        )));
    }
    let changed = before != after;
    Ok(changed && after.is_some())
}

/// Adds an interface to a node.
pub async fn create(cluster: &Cluster, node: String, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &node, &request.name);
    let parse = || {
        let node = name::node(&node)?;
        let row = parse(&request, cluster.env().uuid())?;
        check_active(request.is_active, &row)?;
        let wanted = (request.is_active == Some(true)).then(|| row.name.clone());
        Ok((node, (row, wanted)))
    };
    change(cluster, context, parse(), |tx, node, (row, wanted)| {
        let what = label(node, &row.name);
        let mut known = name::known_node(tx, node)?.net_interfaces.iter();
        if known.any(|other| other.name == row.name) {
            return Err(exists(code::FAIL_EXISTS_NET_IF, &what).into());
        }
        tx.reply(registered(&what, row.uuid));
        edit_node(tx, node, |node| {
            node.net_interfaces.push(row);
            activate(node, wanted.as_ref());
        })
    })
    .await
}

fn place(node: &Node, name: &NetInterfaceName) -> Option<usize> {
    node.net_interfaces.iter().position(|row| row.name == *name)
}

/// Changes an interface.
pub async fn modify(cluster: &Cluster, node: String, name: String, request: Json) -> Vec<Reply> {
    let context = context(code::MASK_MOD, &node, &name);
    let parse = || {
        let (node, name) = (name::node(&node)?, name::net_interface(&name)?);
        let address = match request.address.as_str() {
            "" => None,
            given => Some(address(given)?),
        };
        let port = port(request.satellite_port)?;
        let encryption = encryption(request.satellite_encryption_type.as_deref())?;
        Ok((node, (name, address, port, encryption)))
    };
    let parsed = parse();
    change(cluster, context, parsed, move |tx, node, parsed| {
        let (name, address, port, encryption) = parsed;
        let known = name::known_node(tx, node)?.clone();
        let Some(place) = place(&known, &name) else {
            return Err(missing(node, &name));
        };
        let mut row = known.net_interfaces[place].clone();
        row.address = address.unwrap_or(row.address);
        row.satellite_port = port.or(row.satellite_port);
        row.encryption = encryption.or(row.encryption);
        check_active(request.is_active, &row)?;
        tx.reply(modified(&label(node, &row.name), row.uuid));
        let wanted = (request.is_active == Some(true)).then_some(&name);
        edit_node(tx, node, |node| {
            node.net_interfaces[place] = row;
            activate(node, wanted);
        })
    })
    .await
}

/// The addresses that the resources on a node have for DRBD: its own, and those of paths to each peer.
fn ends(model: &Model, node: &NodeName) -> BTreeMap<ResourceName, BTreeSet<IpAddr>> {
    let resources = model.resources_on(node).filter(|row| row.drbd.is_some());
    let of = |row: &Resource| {
        let own = address_of(model, row);
        let definition = model.definitions.get(&row.name);
        let peers = model
            .resources_of(&row.name)
            .filter(|peer| peer.node != *node);
        let paths = peers.flat_map(|peer| {
            let paths = definition.map(|row| connection::paths(model, row, node, &peer.node));
            paths.into_iter().flatten().map(|path| path.local)
        });
        own.into_iter().chain(paths).collect()
    };
    resources.map(|row| (row.name.clone(), of(row))).collect()
}

/// Says which resources are connected through other addresses than before.
fn moved(
    before: &BTreeMap<ResourceName, BTreeSet<IpAddr>>,
    after: &BTreeMap<ResourceName, BTreeSet<IpAddr>>,
) -> Option<Reply> {
    const NAMED_MAX: usize = 5;
    let changed = |(name, addresses): &(&ResourceName, &BTreeSet<IpAddr>)| {
        after.get(*name) != Some(*addresses)
    };
    let names: Vec<&str> = before
        .iter()
        .filter(changed)
        .map(|(name, _)| name.as_str())
        .collect();
    let others = match names.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} others"),
    };
    let named = names
        .iter()
        .take(NAMED_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    (!names.is_empty()).then(|| {
        Reply::new(
            code::MASK_WARN,
            format!("DRBD connected {named}{others} through this interface."),
        )
        .cause(format!(
            "The property {} or a path named it, or it was the default.",
            prop::PREF_NIC
        ))
        .details("Their connections go through another interface of the node from now on.")
        .correction("Check that the peers reach it, or add the interface again.")
    })
}

/// Removes an interface.
pub async fn delete(cluster: &Cluster, node: String, name: String) -> Vec<Reply> {
    let context = context(code::MASK_DEL, &node, &name);
    let parse = || Ok((name::node(&node)?, name::net_interface(&name)?));
    change(cluster, context, parse(), |tx, node, name| {
        let known = name::known_node(tx, node)?.clone();
        let Some(place) = place(&known, &name) else {
            return Err(
                nothing_to_delete(tx, &RowKey::Node(node.clone()), &label(node, &name)).into(),
            );
        };
        let row = &known.net_interfaces[place];
        let what = label(node, &row.name);
        tx.reply(deleted(&what, row.uuid));
        let before = ends(tx, node);
        tx.edit_node(node, |node| {
            node.net_interfaces.remove(place);
            activate(node, None);
        });
        let moved = moved(&before, &ends(tx, node));
        tx.replies(moved.map(|reply| reply.about("NetIf", name.as_str())));
        let left = name::known_node(tx, node)?
            .net_interfaces
            .iter()
            .any(|row| row.active);
        if row.active && !left {
            tx.reply(no_connection(format!(
                "{} was the last connection to the satellite!",
                capital(&what)
            )));
        }
        Ok(row.active)
    })
    .await
}
